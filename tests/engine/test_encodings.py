"""What is said of an encoding, and what the first packets show of it."""

import numpy as np
import pytest

from rtpverify.engine.encodings import EncodingStatement, FirstPackets, decide, statement
from rtpverify.engine.expectation import StreamSpec
from rtpverify.rtp.payload import encode, parse_rtpmap, static_encoding
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.transport.demux import Held
from tests.engine.test_verifier import START_NS, Sender, verify

PACKETS = 64


def held(
    sent="L16/48000/2",
    packet_frames=48,
    *,
    step=None,
    payloads=None,
    packets=PACKETS,
    interval_ns=None,
    silent=False,
    lost=(),
):
    """Return the first packets of a tone, as the demultiplexer holds them."""
    form = parse_rtpmap(sent)
    frame = np.arange(packets * packet_frames)
    tone = 0.0 if silent else 0.3 * np.sin(2 * np.pi * 440 * frame / form.sample_rate_hz)
    samples = np.repeat(np.broadcast_to(tone, len(frame))[:, None], form.channels, axis=1)
    samples = samples * np.linspace(1, 0.7, form.channels)
    interval_ns = round(1e9 * packet_frames / form.sample_rate_hz) if interval_ns is None else interval_ns
    found = []
    for index in range(packets):
        payload = encode(form, samples[index * packet_frames : (index + 1) * packet_frames])
        payload = payload if payloads is None else payloads(index, payload)
        timestamp = index * packet_frames if step is None else step(index)
        found.append(
            Held(
                row=None,
                flow=0,
                payload_type=96,
                sequence=(65_530 + index) % 65_536,
                timestamp=(2**32 - 500 + timestamp) % 2**32,
                arrival_ns=10**18 + index * interval_ns,
                datagram=payload,
                payload_start=0,
                payload_bytes=len(payload),
            )
        )
    return [packet for index, packet in enumerate(found) if index not in lost]


def decision(said, packets, *, is_judged=True):
    spec = StreamSpec(encoding=parse_rtpmap(said) if said else None)
    return decide(statement(spec, packets[0].payload_type), FirstPackets(packets), is_judged=is_judged)


ALL = [
    ("L16/48000/1", 48),
    ("L16/48000/2", 48),
    ("L24/48000/2", 6),
    ("L24/48000/8", 48),
    ("L24/96000/2", 12),
    ("L16/44100/2", 441),
    ("AM824/48000/2", 48),
    ("L20/48000/2", 48),
    ("L8/8000/1", 160),
    ("PCMU/8000/1", 160),
    ("PCMA/8000/1", 240),
    ("F32/48000/2", 48),
]


@pytest.mark.parametrize(("sent", "packet_frames"), ALL)
def test_what_is_right_is_left_alone(sent, packet_frames):
    for packets in (held(sent, packet_frames), held(sent, packet_frames, lost=(1, 4)), held(sent, packet_frames)[:2]):
        assert decision(sent, packets)[:2] == (parse_rtpmap(sent), None)


@pytest.mark.parametrize(("sent", "packet_frames"), ALL)
@pytest.mark.parametrize("said", ["L16/48000/1", "L16/48000/2", "L24/48000/2", "L16/48000/3", "L24/48000/1"])
def test_what_the_packets_contradict_is_told_and_put_right(sent, packet_frames, said):
    form = parse_rtpmap(sent)
    said = said.replace("48000", str(form.sample_rate_hz))
    if said == sent:
        return
    found = decision(said, held(sent, packet_frames))
    assert found.encoding == form
    assert found.doubt.startswith(f"encoding {said} is given, but ")
    assert found.doubt.endswith(f"set --encoding {sent}")


@pytest.mark.parametrize(("sent", "packet_frames"), ALL)
def test_what_is_not_said_is_found(sent, packet_frames):
    found = decision(None, held(sent, packet_frames))
    assert found.encoding == parse_rtpmap(sent)
    size = packet_frames * found.encoding.bytes_per_frame
    assert f"{size}-byte payloads, {packet_frames} frames: the samples say {sent}" in found.doubt
    assert decision(None, held(sent, packet_frames), is_judged=False)[:2] == (None, None)


def test_silence_names_the_candidates():
    found = decision(None, held(silent=True))
    assert found.encoding is None
    assert (
        "192-byte payloads, 48 frames: L16/48000/2 or F32/48000/1 or AM824/48000/1; the samples do not show"
        in found.doubt
    )
    # What is said holds, and the channel count as the length has it.
    assert decision("L16/48000/2", held(silent=True))[:2] == (parse_rtpmap("L16/48000/2"), None)
    found = decision("L16/48000/1", held(silent=True))
    assert str(found.encoding) == "L16/48000/2"
    found = decision("L24/48000/1", held(silent=True))
    assert found.encoding is None
    assert "AM824/48000/1; the samples do not show which" in found.doubt


MADE_UP = {
    "ramp": lambda n: n & 255,
    "steep ramp": lambda n: 7 * n & 255,
    "ramp of each packet": lambda n: n % 160,
    "packet number": lambda n: n // 160 & 255,
    "packet number and ramp": lambda n: (n // 160 ^ n % 160) & 255,
    "triangle": lambda n: abs(n % 510 - 255),
    "square": lambda n: np.where(n // 40 % 2, 200, 50),
    "word counter": lambda n: (n // 2 >> 8 * (1 - n % 2)) & 255,
    "long word counter": lambda n: (n // 4 >> 8 * (3 - n % 4)) & 255,
    "text": lambda n: np.frombuffer(b"The quick brown fox jumps over the lazy dog. ", np.uint8)[n % 45],
    "letters": lambda n: np.random.default_rng(1).integers(65, 91, len(n)),
    "noise": lambda n: np.random.default_rng(1).integers(0, 256, len(n)),
}


@pytest.mark.parametrize("payload_type", [0, 8, 10, 11])
@pytest.mark.parametrize("fill", MADE_UP)
def test_payloads_that_somebody_made_up_contradict_no_standard(fill, payload_type):
    form = static_encoding(payload_type)
    octets = MADE_UP[fill](np.arange(PACKETS * 160 * form.bytes_per_frame)).astype(np.uint8).tobytes()
    size = 160 * form.bytes_per_frame
    packets = held(str(form), 160, payloads=lambda index, _: octets[index * size :][:size])
    for packet in packets:
        packet.payload_type = payload_type
    assert decision(None, packets)[:2] == (form, None)
    assert decision(None, packets[:3])[:2] == (form, None)


@pytest.mark.parametrize(("payload_type", "sent"), [(0, "PCMA/8000/1"), (8, "PCMU/8000/1"), (0, "L8/8000/1")])
def test_audio_contradicts_a_standard(payload_type, sent):
    packets = held(sent, 160)
    for packet in packets:
        packet.payload_type = payload_type
    found = decision(None, packets)
    assert str(found.encoding) == sent
    assert f"(RFC 3551), but the samples say {sent}, used for this check" in found.doubt


@pytest.mark.parametrize(
    ("count", "interval_ns"), [("bytes", None), ("channels", None), ("ms", None), ("bytes", 0), ("ms", 0)]
)
@pytest.mark.parametrize("sent", ["L16/48000/2", "L24/48000/2", "L16/48000/1"])
def test_timestamps_that_count_something_else_are_no_matter_of_the_encoding(sent, count, interval_ns):
    """By the arrival of the packets, and where that is not known (all at once) by the samples."""
    form = parse_rtpmap(sent)
    unit = {"bytes": 48 * form.bytes_per_frame, "channels": 48 * form.channels, "ms": 1}[count]
    packets = held(sent, step=lambda index: index * unit, interval_ns=interval_ns)
    assert decision(sent, packets)[:2] == (form, None)


@pytest.mark.parametrize("step", [lambda _: 7, lambda index: -48 * index, lambda index: 48 * index + (-1) ** index])
def test_timestamps_that_are_off_are_no_matter_of_the_encoding(step):
    assert decision("L16/48000/2", held(step=step))[:2] == (parse_rtpmap("L16/48000/2"), None)


@pytest.mark.parametrize("tag", [4, 10])
def test_encrypted_audio_is_told(tag):
    noise = np.random.default_rng(1).bytes(200 * PACKETS)
    packets = held("PCMA/8000/1", 160, payloads=lambda index, _: noise[index * 200 :][: 160 + tag])
    for packet in packets:
        packet.payload_type = 8
    found = decision(None, packets)
    assert found.encoding is None
    assert found.doubt.startswith("payload type 8 is PCMA/8000/1 (RFC 3551), but payloads of ")
    assert "encrypted (SRTP)" in found.doubt


def test_compressed_audio_is_no_pcm():
    rng = np.random.default_rng(1)
    packets = held(packet_frames=960, payloads=lambda *_: rng.bytes(int(rng.integers(60, 110))))
    found = decision(None, packets)
    assert found.encoding is None
    assert "bytes with timestamps 960 apart fit no PCM" in found.doubt
    found = decision("L16/48000/2", packets)
    assert found.encoding is None
    for packet in packets:
        packet.payload_type = 18
    assert decision(None, packets).doubt == "payload type 18: G729 is not supported"


def test_packets_of_several_lengths():
    """Writers that cut a block of 1024 frames: 365, 365 and 294."""
    lengths, form = [365, 365, 294] * 6, parse_rtpmap("L16/48000/2")
    starts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(starts[-1]) / 48_000)
    samples = np.repeat(tone[:, None], 2, axis=1)
    packets = held(
        packets=len(lengths),
        step=lambda index: starts[index],
        payloads=lambda index, _: encode(form, samples[starts[index] : starts[index + 1]]),
    )
    assert decision("L16/48000/2", packets)[:2] == (form, None)
    assert decision("L16/48000/1", packets).encoding == form


def test_one_packet_tells_nothing():
    said = EncodingStatement(parse_rtpmap("L24/48000/2"), "announced")
    assert decide(said, FirstPackets(held()[:1]), is_judged=True).encoding == said.encoding


@pytest.mark.parametrize("said", ["L24/96000/4", "L16/96000/1", None])
def test_packets_that_come_unevenly(said):
    """Arrival tells how fast timestamps run as far as it is steady; the samples tell the rest."""
    for seed in range(10):
        rng, packets = np.random.default_rng(seed), held("L24/96000/2", 96)
        for packet in packets:
            packet.arrival_ns += round(abs(rng.normal(0, 2e6)))
        found = decision(said, sorted(packets, key=lambda packet: packet.arrival_ns))
        known = parse_rtpmap("L24/96000/2")
        assert found.encoding in ((known,) if said else (known, None))


@pytest.mark.parametrize(
    ("said_hz", "real_hz"), [(44_100, 48_000), (48_000, 44_100), (48_000, 96_000), (96_000, 48_000), (16_000, 8000)]
)
@pytest.mark.parametrize("packet_seconds", [0.001, 0.004, 0.02])
def test_a_rate_that_the_packets_contradict_is_put_right(said_hz, real_hz, packet_seconds):
    frames = round(packet_seconds * real_hz)
    rng, packets = np.random.default_rng(said_hz), held(f"L16/{real_hz}/2", frames)
    for packet in packets:
        packet.arrival_ns += round(abs(rng.normal(0, 5e4)))
    found = decision(f"L16/{said_hz}/2", packets)
    assert str(found.encoding) == f"L16/{real_hz}/2"
    assert f"is given, but payloads of {4 * frames} bytes with timestamps {frames} apart every " in found.doubt
    assert found.doubt.endswith(f"set --encoding L16/{real_hz}/2")
    # As soon as it may be so, more packets are waited for.
    assert decision(f"L16/{said_hz}/2", packets[:2]).packets_wanted
    assert decision(f"L16/{said_hz}/2", packets[:8]).packets_wanted or packet_seconds > 0.01
    assert not decision(f"L16/{real_hz}/2", packets[:8]).packets_wanted


def test_rate_and_channels_are_put_right_together():
    found = decision("L16/44100/1", held("L16/48000/2"))
    assert str(found.encoding) == "L16/48000/2"
    assert "say L16/48000/2, used" in found.doubt


BURSTS = {
    "sixteen at a time": lambda n: n // 16 * 16,
    "of 3072 frames": lambda n: n // 64 * 64,
    "the first ones at once, the others late": lambda n: np.where(n < 35, 0, 64),
    "catching up": lambda n: np.maximum(n, 24),
    "with a pause": lambda n: n + 12 * (n > 40),
    "with much jitter": lambda n: n + np.random.default_rng(2).exponential(4, len(n)),
    "a quarter too fast": lambda n: 0.8 * n,
    "by a slow oscillator": lambda n: 1.0005 * n,
}


@pytest.mark.parametrize("burst", BURSTS)
@pytest.mark.parametrize("start", [0, 7, 31, 50])
def test_bursts_contradict_no_rate(burst, start):
    packets = held("L16/48000/2")
    times = np.sort(BURSTS[burst](np.arange(start, start + PACKETS)))
    for packet, milliseconds in zip(packets, times, strict=True):
        packet.arrival_ns = 10**18 + round(1e6 * float(milliseconds))
    for count in (8, 16, 32, PACKETS):
        assert decision("L16/48000/2", packets[:count])[:2] == (parse_rtpmap("L16/48000/2"), None)


def test_the_clock_of_telephony_is_of_8_khz():
    packets = held("PCMU/8000/1", 160, interval_ns=10**7)
    assert decision("PCMU/8000/1", packets)[:2] == (parse_rtpmap("PCMU/8000/1"), None)


def test_a_rate_that_only_the_whole_stream_shows():
    """What was measured by the wrong clock is no fault; what the network did is one."""
    sender = Sender("L16/48000/2", 48, 2.5)
    packets = sender.send(lost=[2000])
    hasty = [(max(at, START_NS + 100_000_000), flow, datagram) for at, flow, datagram in packets]
    spec = StreamSpec("stream", encodings={97: parse_rtpmap("L16/44100/2")}, reference=parse_reference("tone:997"))
    [stream] = verify(hasty, spec)[0].result("test").streams
    assert stream.inconclusive == (
        "L16/44100/2 announced, but packets arrived at 48000 frames a second: L16/48000/2; "
        "announce a=rtpmap:97 L16/48000/2"
    )
    assert [str(event.kind) for event in stream.events if event.fault] == ["gap"]
    assert [str(event.kind) for event in stream.events if not event.fault] == ["sample_rate"]
