"""Streams of senders that we did not write, over loopback, live and from a capture of the same run."""

import pytest

from tests.end_to_end import wire
from tests.end_to_end.programs import check_capture, free_port, run_live

pytestmark = pytest.mark.end_to_end

SECONDS = 2


def gstreamer(encoding, *elements, packet_seconds=0.001, frames=480):
    """Send a sine of 997 Hz with GStreamer, which computes it in double precision and cuts off what does not fit."""
    bits = encoding[1:3]
    buffers = SECONDS * 48000 // frames
    source = f"audiotestsrc wave=sine freq=997 samplesperbuffer={frames} num-buffers={buffers}"
    form = f"audio/x-raw,format=S{bits}BE,rate=48000,channels=2"
    payloader = f"rtpL{bits}pay pt=97 seqnum-offset=64900 timestamp-offset=4294950000"
    if packet_seconds:
        payloader += " min-ptime={0} max-ptime={0}".format(round(packet_seconds * 1e9))

    def command(port):
        chain = [source, form, payloader, *elements, f"udpsink host=127.0.0.1 port={port}"]
        return ["gst-launch-1.0", "-q", *" ! ".join(chain).split()]

    return command


def ffmpeg(source, codec, *options):
    """Send with ffmpeg."""

    def command(port):
        target = ["-ar", "48000", "-ac", "2", "-f", "rtp", *options, f"rtp://127.0.0.1:{port}"]
        return ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", source, "-c:a", codec, *target]

    return command


@pytest.fixture
def live(tmp_path):
    """Run a sender, a function from port to command, and rtpverify."""

    def run(sender, *options, duration=None):
        port = free_port()
        return run_live(tmp_path, port, sender(port), options, duration)

    return run


EXACT_SINE = f"aevalsrc='0.1*sin(2*PI*997*t)|0.1*sin(2*PI*997*t)':s=48000:d={SECONDS},asetnsamples=48"
TABLE_SINE = f"sine=frequency=997:sample_rate=48000:duration={SECONDS}"
"""Read from a table of 16 bits: its residual, measured apart from rtpverify, is 74.7 dB below the tone as L16 and
78.7 dB as L24."""


def arguments(encoding, *more):
    return ("--encoding", encoding, "--reference", "tone:997", *more)


def assert_agrees(run, *options):
    """Live counts are tshark's, and the capture of the run gives the same counts and events as the run itself."""
    [seen] = wire.statistics(run.capture, run.port)
    transport = run.stream["transport"]
    assert run.stream["ssrc"] == f"0x{seen.ssrc:08x}"
    assert transport["packets_received"] == seen.packets
    assert transport["packets_lost"] == seen.lost
    assert transport["packets_expected"] == seen.packets + seen.lost
    assert run.result["receive_buffer_dropped"] == 0
    exit_status, of_capture = check_capture(run.capture, *options)
    assert exit_status == run.exit_status
    [stream] = of_capture["streams"]
    for count, value in transport.items():
        if count.startswith("packets_"):
            assert stream["transport"][count] == value, count
    assert [told(event) for event in stream["events"]] == [told(event) for event in run.stream["events"]]
    for live, recorded in zip(run.stream["signal"], stream["signal"], strict=True):
        assert live["frequency_hz"] == pytest.approx(recorded["frequency_hz"], rel=1e-8)
        assert live["level_dbfs"] == pytest.approx(recorded["level_dbfs"], abs=1e-3)
        assert live["residual_dbfs"] == pytest.approx(recorded["residual_dbfs"], abs=0.1)


def told(event):
    """Return an event without what hangs on arrival times, which the capture takes elsewhere."""
    return {name: value for name, value in event.items() if name not in ("id", "time")}


CLEAN = {
    "gstreamer L24": (gstreamer("L24/48000/2"), "L24/48000/2", (), 2000),
    "gstreamer L16": (gstreamer("L16/48000/2"), "L16/48000/2", (), 2000),
    "gstreamer as it comes": (gstreamer("L24/48000/2", packet_seconds=None, frames=1024), "L24/48000/2", (), None),
    "ffmpeg L24": (ffmpeg(EXACT_SINE, "pcm_s24be"), "L24/48000/2", (), 2000),
    "ffmpeg L16, its sine": (ffmpeg(TABLE_SINE, "pcm_s16be"), "L16/48000/2", (), 282),
    "ffmpeg L24, its sine": (ffmpeg(TABLE_SINE, "pcm_s24be"), "L24/48000/2", ("--max-thd-n-db", "-75"), 469),
}


@pytest.mark.parametrize("name", CLEAN)
def test_clean_stream(live, name):
    sender, encoding, limits, packets = CLEAN[name]
    # A busy machine may hold the sender up: that is a stall, which is looked at elsewhere.
    options = arguments(encoding, *limits, "--max-stall-seconds", "10")
    run = live(sender, *options)
    assert run.stream["events"] == []
    assert (run.exit_status, run.result["verdict"]) == (0, "pass")
    assert run.stream["transport"]["packets_lost"] == 0
    if packets is not None:
        assert run.stream["transport"]["packets_received"] == packets
    assert run.stream["signal"][0]["frequency_hz"] == pytest.approx(997, rel=1e-6)
    assert_agrees(run, *options)


def test_the_duration_ends_it_and_a_sender_that_stopped_before_is_a_fault(live):
    run = live(gstreamer("L16/48000/2"), *arguments("L16/48000/2"), duration=SECONDS + 8)
    assert run.stream["transport"]["packets_received"] == 2000
    [event] = run.stream["events"]
    assert (event["kind"], event["start_frame"], event["open"]) == ("ended", 96_000, False)
    assert run.exit_status == 1


@pytest.mark.parametrize("encoding", ["L24/48000/2", "L16/48000/2"])
def test_lost_packets(live, encoding):
    """Each hole that the capture shows is one gap, to the frame, and nothing else is told."""
    options = arguments(encoding, "--max-stall-seconds", "10")
    run = live(gstreamer(encoding, "netsim drop-probability=0.02"), *options)
    holes = wire.gaps(wire.headers(run.capture, run.port), 48)
    assert holes
    events = run.stream["events"]
    assert {(event["kind"], event["cause"], event["channel"]) for event in events} == {("gap", "network", None)}
    assert [(event["start_frame"], event["duration_frames"], event["packets_lost"]) for event in events] == holes
    assert run.exit_status == 1
    assert_agrees(run, *options)


def test_duplicated_packets(live):
    """Copies are counted and no fault."""
    options = arguments("L24/48000/2", "--max-stall-seconds", "10")
    run = live(gstreamer("L24/48000/2", "netsim duplicate-probability=0.02"), *options)
    packets = wire.headers(run.capture, run.port)
    transport = run.stream["transport"]
    assert transport["packets_duplicated"] == len(packets) - len(set(packets)) > 0
    assert transport["packets_received"] == len(set(packets)) == 2000
    assert run.stream["events"] == []
    assert run.exit_status == 0


def test_reordered_packets(live):
    """Packets that come after later ones are put in their place."""
    # A hiccup of this machine may delay a packet further: that would make it late, which is another thing.
    options = [*arguments("L24/48000/2"), "--reorder-window-seconds", "0.5"]
    delayed = "netsim delay-probability=0.02 min-delay=3 max-delay=12"
    run = live(gstreamer("L24/48000/2", delayed), *options)
    numbers = [(sequence - 64900) % 2**16 for sequence, _ in wire.headers(run.capture, run.port)]
    behind = sum(number < max(numbers[:index], default=0) for index, number in enumerate(numbers))
    transport = run.stream["transport"]
    assert transport["packets_reordered"] == behind > 0
    # A packet that is still delayed when GStreamer ends is never sent.
    missing = 2000 - len(set(numbers))
    assert (transport["packets_received"], transport["packets_late"]) == (2000 - missing, 0)
    assert sum(event["packets_lost"] for event in run.stream["events"]) <= missing <= 12


def test_a_sine_that_is_not_pure_is_told(live):
    """At the default limits ffmpeg's table is a fault of a 24-bit path: the tone is judged, not only the packets."""
    run = live(ffmpeg(TABLE_SINE, "pcm_s24be"), *arguments("L24/48000/2"))
    assert run.exit_status == 1
    assert {event["cause"] for event in run.stream["events"]} == {"upstream"}
    assert run.stream["signal"][0]["thd_plus_n_db"] == pytest.approx(-78.7, abs=0.5)
