"""Streams that begin with silence: their encoding shows later, and no fault is made up meanwhile."""

import numpy as np
import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.engine.test_verifier import Sender, assert_same, verify

SILENT = 0.4
"""Seconds."""


def late(encoding, packet_frames, **options):
    """Return a sender whose tone begins after silence."""
    rate_hz = parse_rtpmap(encoding).sample_rate_hz
    return Sender(encoding, packet_frames, seconds=2.0, dropouts={0: round(SILENT * rate_hz)}, **options)


def result(sender, said, cuts=(), **options):
    spec = StreamSpec(
        encoding=parse_rtpmap(said) if said else None, reference=parse_reference(f"tone:{sender.frequency_hz:g}")
    )
    verifier, told = verify(sender.send(), spec, cuts, **options)
    [stream] = verifier.result("test").streams
    return verifier, told, stream


@pytest.mark.parametrize(
    ("sent", "packet_frames", "said"),
    [
        ("L24/48000/2", 48, "L16/48000/3"),
        ("L24/48000/2", 6, "L16/48000/3"),
        ("L16/48000/3", 48, "L24/48000/2"),
        ("L24/48000/2", 48, None),
        ("PCMA/8000/1", 160, "PCMU/8000/1"),
    ],
)
def test_another_encoding_shows_with_the_first_sound(sent, packet_frames, said):
    sender = late(sent, packet_frames)
    whole, _, stream = result(sender, said)
    assert [event for event in stream.events if event.kind != "silence"] == []
    assert stream.encoding == sent.partition("/")[0]
    assert f"the samples say {sent}" in stream.inconclusive
    assert stream.transport.packets_received == sender.packets
    assert stream.signal[0].frequency_hz == pytest.approx(sender.frequency_hz, abs=0.01)
    first = round(SILENT * sender.packets / 2.0)
    for cuts in (range(first - 3, first + 12), [700]):
        assert_same(result(sender, said, cuts)[0], whole)


@pytest.mark.parametrize(("sent", "packet_frames"), [("L24/48000/2", 48), ("L16/48000/1", 48), ("PCMU/8000/1", 160)])
def test_the_right_encoding_is_left_alone(sent, packet_frames):
    sender = late(sent, packet_frames)
    _, _, stream = result(sender, sent)
    assert stream.inconclusive is None
    assert [str(event.kind) for event in stream.events] == ["silence"]
    assert stream.warnings == []
    assert stream.transport.packets_received == sender.packets


def test_what_is_held_back_at_the_end_is_taken():
    sender = Sender(seconds=0.1, dropouts={0: 98 * 48}, frequency_hz=3.0)
    verifier, _, stream = result(sender, "L24/48000/2")
    assert stream.transport.packets_received == 100
    assert not verifier.is_open(verifier.streams[0])


def test_a_stream_that_is_forgotten_is_listened_to_no_longer():
    sender = Sender(amplitude=0.0)
    verifier = verify(sender.send()[:500], StreamSpec(encoding=sender.form, reference=parse_reference("tone")))[0]
    [stream] = verifier.streams
    verifier.forget(stream)
    assert not verifier.is_open(stream)


def test_a_faint_hum_tells_too():
    """A few steps of the quantiser are sound enough."""
    sender = Sender("L24/48000/2", seconds=0.5, amplitude=0.0)
    hum = 40 * np.sin(2 * np.pi * 100 * np.arange(sender.packets * 48) / 48000)
    dither = np.random.default_rng(1).uniform(-1, 1, (sender.packets * 48, 2))
    sender.samples = lambda: np.rint(hum[:, np.newaxis] + dither) * 2.0**-23
    _, _, stream = result(sender, "L16/48000/3")
    assert stream.encoding == "L24"


def test_dither_alone_contradicts_nothing():
    """Numbers that come in any order may be anything: no audio beyond doubt."""
    sender = Sender("L24/48000/2", seconds=0.5, amplitude=0.0)
    rng = np.random.default_rng(1)
    sender.samples = lambda: rng.integers(-2, 3, (sender.packets * 48, 2)) * 2.0**-23
    _, _, stream = result(sender, "L16/48000/3")
    assert stream.encoding == "L16"
