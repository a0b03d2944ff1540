"""Timestamps that contradict the sequence numbers: one event, nothing lost by it, and the audio judged all the same."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.limits import PROFILES, with_values
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import Encoding, encode, parse_rtpmap
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.transport_faults import FirstHeader, TransportPlan
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.transport.placement import TimestampError
from rtpverify.transport.timestamp_patterns import pattern_of
from tests.helpers import faulty

START_NS = 1_790_000_000_000_000_000
RATE_HZ, FRAMES = 48_000, 48
PATTERNS = {
    "pattern=scattered,by=1": "scattered",
    "pattern=scattered,by=700": "scattered",
    "pattern=every,packets=100": "rounded",
    "pattern=every,packets=3": "rounded",
    "pattern=shared,packets=2": "shared",
    "pattern=shared,packets=5": "shared",
    "pattern=frozen": "frozen",
    "pattern=backwards": "backwards",
    "pattern=rounded,by=36": "rounded",
    "pattern=counting,step=288": "bytes",
    "pattern=counting,step=96": "samples",
    "pattern=counting,step=1": "milliseconds",
    "pattern=counting,step=1000": "microseconds",
    "pattern=counting,step=90": "clock_rate",
}


def spec_of(reference="tone:1283", profile="digital", encoding="L24/48000/2"):
    form = parse_rtpmap(encoding)
    return StreamSpec("stream", encodings={97: form}, reference=parse_reference(reference), limits=PROFILES[profile])


def found(faults, seconds=1.5, batch_packets=97, **spec):
    """Return the only stream's result."""
    verifier = Verifier([spec_of(**spec)])
    for batch in faulty.packets(faults, seconds, batch_packets=batch_packets):
        verifier.feed(batch)
    verifier.finish()
    [stream] = verifier.result("test").streams
    return stream


def expected(fault, seconds=1.5):
    plan = TransportPlan([parse_fault(fault)], FirstHeader(1, 97, 0, 0), packet_frames=FRAMES, sample_rate_hz=RATE_HZ)
    [event] = plan.expected(round(seconds * RATE_HZ / FRAMES))
    return event


def brief(events):
    return [(str(event.kind), event.start_frame, event.duration_frames) for event in events]


@pytest.mark.parametrize("duration", ["", ",duration=0.45"])
@pytest.mark.parametrize(("pattern", "name"), PATTERNS.items())
def test_one_event_for_the_whole_stretch(pattern, name, duration):
    fault = f"timestamp_error:at=0.1,{pattern}{duration}"  # timestamps wrap within it
    stream, truth = found([fault]), expected(fault)
    [event] = stream.events
    assert brief([event]) == [("timestamp_error", truth.start_frame, truth.duration_frames)]
    assert (str(event.cause), event.fault, event.open, event.channel) == ("upstream", True, False, None)
    assert event.size.packets_deviating == truth.size["packets_deviating"]
    assert abs(event.size.timestamp_deviation_frames) == abs(truth.size["timestamp_deviation_frames"])
    assert event.size.timestamp_pattern == name
    first = 65_000 + truth.start_frame // FRAMES
    assert event.packets == (first, first - 1 + truth.duration_frames // FRAMES)
    counts = stream.transport
    assert (counts.packets_received, counts.packets_lost, counts.packets_left_out) == (1500, 0, 0)
    assert counts.packets_stray == counts.packets_duplicated == counts.packets_reordered == 0
    assert str(stream.verdict) == "fail"
    assert stream.frames == 1500 * FRAMES
    assert stream.signal[0].frequency_hz == pytest.approx(1283, abs=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_wrong_with_the_audio_meanwhile_is_found(pattern):
    faults = [f"timestamp_error:at=0.1,{pattern}", "dropout:at=0.6,frames=500", "slip:at=1,frames=7"]
    stream = found(faults)
    told = {event.kind: event for event in stream.events}
    assert sorted(map(str, told)) == ["dropout", "slip", "timestamp_error"]
    assert len(stream.events) == 3
    assert brief([told["dropout"]]) == [("dropout", 28_800, 500)]
    assert (told["slip"].start_frame, told["slip"].size.slip_frames) == (48_000, 7)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_the_network_does_meanwhile_is_counted(pattern):
    faults = [
        f"timestamp_error:at=0.1,{pattern}",
        "loss:at=0.5,packets=3",
        "duplicate:at=0.7,packets=2",
        "reorder:at=0.8,by=4",
        "late:at=0.9,delay=0.1",
    ]
    stream = found(faults)
    told = [item for item in brief(stream.events) if item[0] != "timestamp_error"]
    assert told == [("gap", 24_000, 3 * FRAMES), ("gap", 43_200, FRAMES)]
    assert len(stream.events) == 3
    counts = stream.transport
    assert (counts.packets_received, counts.packets_lost, counts.packets_duplicated) == (1496, 4, 2)
    assert (counts.packets_reordered, counts.packets_late, counts.packets_stray) == (1, 1, 0)


def test_a_jump_and_then_jitter_are_two():
    faults = ["timestamp_jump:at=0.3,frames=9600", "timestamp_error:at=1.6,pattern=scattered,by=2,duration=0.3"]
    stream = found(faults, seconds=2.5)
    assert [str(event.kind) for event in stream.events] == ["timestamp_jump", "timestamp_error"]
    jump, error = stream.events
    assert (jump.start_frame, jump.size.timestamp_jump_frames) == (14_400, 9600)
    assert error.start_frame >= 76_800 + 9600
    assert abs(error.size.timestamp_deviation_frames) == 2


def test_two_errors_far_apart_are_two():
    faults = [f"timestamp_error:at={at},pattern=frozen,duration=0.1" for at in (0.2, 1.8)]
    assert [str(event.kind) for event in found(faults, seconds=2.5).events] == ["timestamp_error"] * 2


def test_what_settles_again_and_again_is_one_fault():
    """A sender that sets its timestamps anew every 0.2 s."""
    faults = [f"timestamp_jump:at={at / 10},frames={-70 if at % 2 else 100}" for at in range(2, 14)]
    stream = found(faults, seconds=2.0)
    [event] = stream.events
    assert (str(event.kind), event.start_frame, event.duration_frames) == ("timestamp_jump", 9600, 48 * 1100)
    assert (event.size.timestamp_jump_frames, event.size.timestamp_jumps) == (30 * 6, 12)
    assert event.size.timestamp_clock_ppm is None
    assert stream.transport.packets_lost == 0


def of_wall_clock(ppm, seconds, scatter_frames=0.0, packet_frames=480):
    """Return the events of a sender whose timestamps are rounded from a clock that is off."""
    rng = np.random.default_rng(1)
    verifier = Verifier([spec_of(reference="none")])
    packets = []
    for index in range(round(seconds * RATE_HZ / packet_frames)):
        timestamp = round(packet_frames * index * (1 + ppm / 1e6) + scatter_frames * rng.normal())
        head = struct.pack(">BBHII", 0x80, 97, index % 65_536, timestamp % 2**32, 1)
        packets.append(head + bytes(6 * packet_frames))
    length = np.array([len(packet) for packet in packets], np.int64)
    arrival_ns = START_NS + np.arange(len(packets)) * packet_frames * 10**9 // RATE_HZ
    flow, flows = np.zeros(len(packets), np.int64), [Flow("192.0.2.7:5004", "239.1.2.3:5004")]
    octets = np.frombuffer(b"".join(packets), np.uint8)
    verifier.feed(PacketBatch(octets, np.cumsum(length) - length, length, arrival_ns, flow, flows))
    verifier.finish()
    return verifier.result("test").streams[0].events


@pytest.mark.parametrize("ppm", [10, -10, 2.5, 60])
@pytest.mark.parametrize("scatter_frames", [0.0, 0.1])
def test_a_clock_that_is_some_ppm_off_is_one_fault(ppm, scatter_frames):
    seconds = 60.0
    [event] = of_wall_clock(ppm, seconds, scatter_frames)
    settles = not scatter_frames and abs(ppm) < 50  # at 60 ppm it moves every 0.35 s
    assert str(event.kind) == ("timestamp_jump" if settles else "timestamp_error")
    drift_frames = ppm * 1e-6 * seconds * RATE_HZ
    assert event.size.timestamp_clock_ppm == pytest.approx(ppm, rel=1.5 / abs(drift_frames))


def test_a_frame_now_and_a_frame_much_later_are_two_faults():
    kinds = [str(event.kind) for event in of_wall_clock(0.5, 150.0)]
    assert kinds == ["timestamp_jump"] * 4


@pytest.mark.parametrize(("by", "is_fault"), [(40, False), (49, True)])
def test_a_limit_of_a_millisecond(by, is_fault):
    stream = found([f"timestamp_error:at=0.3,pattern=every,packets=7,by={by}"], profile="analog")
    [event] = stream.events
    assert (str(event.kind), event.fault) == ("timestamp_error", is_fault)
    assert event.size.timestamp_deviation_seconds == pytest.approx(by / RATE_HZ)
    assert str(stream.verdict) == ("fail" if is_fault else "pass")


def test_an_error_that_goes_on_is_told_while_it_does():
    verifier = Verifier([spec_of()])
    told = []
    for batch in faulty.packets(["timestamp_error:at=0.1,pattern=shared"], 4.0):
        told += verifier.feed(batch)
    assert [item.is_new for item in told] == [True, *[False] * (len(told) - 1)]
    assert len(told) >= 3  # about once a second
    assert told[0].event.open
    told = verifier.finish()
    assert [(item.is_new, item.event.open) for item in told] == [(False, False)]


# --- packets of any length and timestamp -----------------------------------------------------------------------------


def datagrams(lengths, timestamps, encoding, payload_type=97, sequence=65_500):
    """Return datagrams of a tone, one after the other, of so many frames and with these timestamps."""
    frame = np.arange(sum(lengths))
    tone = np.repeat(0.3 * np.sin(2 * np.pi * 997 * frame / encoding.sample_rate_hz)[:, None], encoding.channels, 1)
    ends = np.cumsum([0, *lengths])
    return [
        struct.pack(">BBHII", 0x80, payload_type, (sequence + i) % 65536, timestamp % 2**32, 7)
        + encode(encoding, tone[start:stop])
        for i, (timestamp, (start, stop)) in enumerate(zip(timestamps, pairwise(ends.tolist()), strict=True))
    ]


def verified(packets, spec, times_ns, cuts=()):
    length = np.array([len(packet) for packet in packets], np.int64)
    offset = np.cumsum(length) - length
    verifier = Verifier([spec])
    for start, stop in pairwise([0, *sorted(set(cuts)), len(packets)]):
        batch = PacketBatch(
            arena=np.frombuffer(b"".join(packets), np.uint8),
            offset=offset[start:stop],
            length=length[start:stop],
            arrival_ns=START_NS + np.asarray(times_ns, np.int64)[start:stop],
            flow=np.zeros(stop - start, np.int64),
            flows=[Flow("192.0.2.7:5004", "239.1.2.3:5004")],
        )
        verifier.feed(batch)
    verifier.finish()
    [stream] = verifier.result("test").streams
    return stream


@pytest.mark.parametrize(
    "lengths", [[44 + (i % 10 == 9) for i in range(1500)], [(365, 365, 294)[i % 3] for i in range(300)]]
)
@pytest.mark.parametrize("known", [True, False])
def test_packets_of_different_lengths_are_in_step(lengths, known):
    encoding = Encoding("L16", 44_100, 1)
    starts = np.cumsum([0, *lengths[:-1]]) + 2**32 - 20_000
    spec = StreamSpec("stream", encodings={97: encoding} if known else {}, reference=parse_reference("none"))
    stream = verified(datagrams(lengths, starts.tolist(), encoding), spec, (starts - starts[0]) * 10**9 // 44_100)
    assert stream.events == []
    assert (stream.transport.packets_received, stream.transport.packets_lost) == (len(lengths), 0)
    assert str(stream.verdict) == "pass"


def test_packets_of_different_lengths_whose_timestamps_are_off():
    """Their lengths say where they lie: the tone goes on, and a loss among them is as long as it was."""
    lengths = [44 + (i % 10 == 9) for i in range(1500)]
    encoding = Encoding("L16", 44_100, 1)
    starts = np.cumsum([0, *lengths[:-1]])
    off = np.where(np.arange(1500) > 300, np.random.default_rng(1).integers(-40, 41, 1500), 0)
    packets = datagrams(lengths, (starts + off).tolist(), encoding)
    spec = StreamSpec("stream", encodings={97: encoding}, reference=parse_reference("tone:997"))
    stream = verified(packets, spec, starts * 10**9 // 44_100)
    assert [str(event.kind) for event in stream.events] == ["timestamp_error"]


OTHERS = [
    "loss:at=0.4,packets=2",
    "reorder:at=0.42,by=3",
    "duplicate:at=0.3,packets=9",
    "dropout:at=0.5,frames=99",
    "timestamp_jump:at=0.6,frames=960",
    "restart:at=0.55",
]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])
@given(
    fault=st.sampled_from(sorted(PATTERNS)),
    at=st.floats(0.01, 0.7),
    duration=st.floats(0.002, 0.5),
    others=st.sets(st.sampled_from(OTHERS)),
    size=st.integers(1, 300),
)
def test_the_cut_into_batches_changes_nothing(fault, at, duration, others, size):
    faults = [f"timestamp_error:at={at:.3f},duration={duration:.3f},{fault}", *sorted(others)]
    whole = found(faults, seconds=0.8, batch_packets=10_000)
    pieces = found(faults, seconds=0.8, batch_packets=size)
    assert brief(pieces.events) == brief(whole.events)
    assert [event.size for event in pieces.events if event.kind.startswith("timestamp")] == [
        event.size for event in whole.events if event.kind.startswith("timestamp")
    ]
    for name in ("packets_received", "packets_lost", "packets_stray", "packets_reordered", "packets_left_out"):
        assert getattr(pieces.transport, name) == getattr(whole.transport, name)
    for name in ("jitter_seconds", "max_jitter_seconds", "clock_drift_ppm", "tsdf_seconds"):
        one, other = getattr(pieces.transport, name), getattr(whole.transport, name)
        assert one == (other if other is None else pytest.approx(other, abs=1e-9))


@settings(max_examples=60, deadline=None)
@given(
    reference=st.sampled_from(["none", "tone:997"]),
    wrong=st.dictionaries(
        st.integers(5, 195), st.sampled_from(["odd", "empty", "unknown", "wild", "far"]), min_size=1, max_size=8
    ),
    limit=st.sampled_from([0, 1, 3]),
)
def test_nothing_unread_passes(reference, wrong, limit):
    """Packets that hold no whole frames, that nobody can decode, and that fit nowhere."""
    encoding = Encoding("L16", 48_000, 2)
    packets = datagrams([48] * 200, [48 * i for i in range(200)], encoding)
    sent, times = [], []
    for i, packet in enumerate(packets):
        what = wrong.get(i)
        if what == "odd":
            packet = packet[:-1]  # noqa: PLW2901
        elif what == "empty":
            packet = packet[:12]  # noqa: PLW2901
        elif what == "unknown":
            packet = packet[:1] + b"\x60" + packet[2:]  # noqa: PLW2901
        elif what is not None:
            sequence, timestamp = (65_500 + i - 2, 1 << 30) if what == "wild" else (30_000 + 500 * i, 7)
            sent.append(struct.pack(">BBHII", 0x80, 97, sequence % 65536, timestamp, 7) + packet[12:])
            times.append(i * 1_000_000 - 1)
        sent.append(packet)
        times.append(i * 1_000_000)
    spec = StreamSpec(
        "stream",
        encodings={97: encoding},
        reference=parse_reference(reference),
        limits=with_values(PROFILES["digital"], {"max_packets_left_out": limit}, "test"),
    )
    stream = verified(sent, spec, times, cuts=range(0, len(sent), 17))
    counts = stream.transport
    assert counts.packets_lost == 0
    assert counts.packets_left_out == len(wrong)
    if len(wrong) > limit:
        assert str(stream.verdict) != "pass"
    if stream.verdict == "inconclusive":
        assert f"{len(wrong)} packet" in stream.inconclusive


def test_video_and_the_like_are_followed_by_their_numbers():
    packets = [
        struct.pack(">BBHII", 0x80, 96 | 0x80 * (k == 9), 10 * picture + k, 1800 * picture, 7) + bytes(1200)
        for picture in range(50)
        for k in range(10)
    ]
    spec = StreamSpec("stream", reference=parse_reference("none"))
    kept = [packet for i, packet in enumerate(packets) if i not in (77, 78)]
    stream = verified(kept, spec, np.arange(498) * 2_000_000)
    assert (stream.transport.packets_received, stream.transport.packets_lost) == (498, 2)
    [gap] = stream.events
    assert (str(gap.kind), gap.packets, gap.message) == (
        "gap",
        (77, 78),
        "2 packets lost in the network; length unknown",
    )


def test_a_loss_and_another_packet_time_at_once():
    encoding = Encoding("PCMA", 8000, 1)
    lengths = [160] * 200 + [320] * 200
    starts = np.cumsum([0, *lengths[:-1]]) + np.where(np.arange(400) < 200, 0, 18 * 160 + 17 * 320)
    packets = datagrams(lengths, starts.tolist(), encoding, payload_type=8, sequence=0)
    packets = [
        packet if i < 200 else packet[:2] + struct.pack(">H", 35 + i) + packet[4:] for i, packet in enumerate(packets)
    ]
    stream = verified(packets, StreamSpec("stream", reference=parse_reference("none")), starts * 125_000)
    assert brief(stream.events) == [("gap", 32_000, 18 * 160 + 17 * 320)]
    assert stream.transport.packets_lost == 35
    assert "packet time changed from 20 to 40 ms" in stream.warnings


# --- patterns by themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "quantum", "spread", "name", "figures"),
    [
        ({0: 99, 4800: 1}, 4800, 4752, "frozen", {}),
        ({0: 3, 240: 1}, 240, 192, "frozen", {}),
        ({0: 60, 144: 30}, 144, 96, "shared", {"packets_sharing": 3}),
        ({-48: 50}, 48, 5000, "backwards", {}),
        ({1: 40}, 1, 2000, "milliseconds", {}),
        ({1: 40, 2: 10}, 1, 2000, "clock_rate", {"timestamp_rate_hz": 1200.0}),
        ({0: 10, 1: 40, -20_000: 1}, 1, 2000, "clock_rate", {"timestamp_rate_hz": 800.0}),
        (dict.fromkeys(range(-700, 700, 20), 1), 1, 1400, "scattered", {}),
        ({90: 40}, 90, 2000, "clock_rate", {"timestamp_rate_hz": 90_000.0}),
        ({36: 20, 72: 10}, 36, 36, "rounded", {"timestamp_quantum_frames": 36}),
        ({47: 10, 49: 10}, 1, 1, "rounded", {"timestamp_quantum_frames": 1}),
        ({47: 10, 50: 10, 46: 5}, 1, 4, "scattered", {}),
        ({}, 0, 0, None, {}),
    ],
)
def test_patterns(steps, quantum, spread, name, figures):
    total = sum(steps.values())
    in_order = tuple(sorted(steps.items(), key=lambda item: -item[1]))
    error = TimestampError(0, 1, 2, 0, 48, total, 7, spread, 0, 0, 0, in_order, 48 * total, quantum, is_open=False)
    pattern = pattern_of(error, Encoding("L24", 48_000, 2))
    assert (pattern.name, pattern.size) == (name, figures)
