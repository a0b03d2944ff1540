"""Clean audio gives no event. ``make soak`` does the same for a day of each format."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from rtpverify import check
from tests.helpers.clean import WANDER_PPM, Clean, draw_clean
from tests.helpers.seeds import generator

STREAMS = 24
SECONDS = 25
STARTED, ENDS = 18 * 960, 4800
"""Frames that it takes to know how a tone moves, and those of a codec that ends."""
"""Ten minutes in all."""


@pytest.mark.parametrize("number", range(STREAMS))
def test_a_clean_stream_tells_nothing(number):
    stream = draw_clean(generator(f"clean {number}"))
    verifier = stream.verifier()
    for start in range(0, SECONDS * stream.rate_hz, stream.rate_hz):
        verifier.feed(stream.read(start, stream.rate_hz))
    verifier.finish()
    result = verifier.result("clean").streams[0]
    assert not [event for event in result.events if event.fault], stream
    assert not result.inconclusive, stream
    for signal in result.signal:
        assert signal.frequency_hz == pytest.approx(stream.frequency_hz, rel=2 * WANDER_PPM * 1e-6, abs=1e-3), stream


@pytest.mark.parametrize("frames", [275_625, 275_500, 275_441])
def test_a_tone_that_wanders_ends_between_blocks(frames):
    """What is left behind the last block is held against a model of some blocks before."""
    stream = Clean(
        rate_hz=11025,
        bits=24,
        dither="none",
        frequency_hz=2184.0,
        level_dbfs=-6.0,
        wander_ppm_per_second=0.1,
        seed=865894120,
    )
    verifier = stream.verifier()
    verifier.feed(stream.read(0, frames))
    verifier.finish()
    assert not verifier.result("clean").streams[0].events


def test_the_generator_wanders_as_it_says():
    stream = Clean(wander_ppm_per_second=0.1, bits=24)
    seconds = np.arange(0, 41) * stream.rate_hz
    wandered = np.array([np.broadcast_to(stream.wandered_cycles(int(at), 1), 1)[0] for at in seconds])
    ppm = np.diff(wandered) / stream.frequency_hz * 1e6
    assert ppm.max() == pytest.approx(WANDER_PPM, abs=0.06)
    assert ppm.min() == pytest.approx(-WANDER_PPM, abs=0.06)
    assert np.abs(np.diff(ppm)).max() <= 0.1 + 1e-9
    assert wandered[40] == pytest.approx(0.0, abs=1e-12)


def test_a_clean_stream_is_the_same_however_it_is_read():
    stream = Clean(wander_ppm_per_second=0.1, dither="tpdf", noise_dbfs=-80.0)
    whole = stream.read(1_000_000, 5000)
    assert np.array_equal(whole, np.concatenate([stream.read(1_000_000, 1), stream.read(1_000_001, 4999)]))


@pytest.mark.parametrize("dither", ["none", "rpdf", "tpdf"])
@pytest.mark.parametrize(("bits", "noise_dbfs"), [(16, None), (16, -85.0), (24, None)])
def test_what_lies_under_a_clean_sine_is_what_it_says(dither, bits, noise_dbfs):
    stream = Clean(bits=bits, dither=dither, noise_dbfs=noise_dbfs)
    n = 50_000
    left = stream.read(0, n)[:, 0] - 10 ** (-6 / 20) * np.sin(2 * np.pi * 997 * np.arange(n) / 48_000)
    assert np.sqrt(np.mean(np.square(left))) == pytest.approx(stream.sigma, rel=0.02)


def test_what_is_not_clean_is_told():
    stream = Clean(dither="tpdf")
    x = stream.read(0, 2 * stream.rate_hz)
    x[50_000] += 0.001
    verifier = stream.verifier()
    verifier.feed(x)
    assert [(str(event.kind), event.start_frame) for event in verifier.finish()] or verifier.result("x").streams[
        0
    ].events


@pytest.mark.parametrize("form", ["mp3", "ogg"])
@pytest.mark.parametrize("frequency_hz", [440.0, 1000.0])
def test_a_codec_that_moves_the_phase_all_the_time_repeats_nothing(tmp_path, form, frequency_hz):
    """What it leaves is noise beside the tone; level and phase move as they have done all the time."""
    path = tmp_path / f"tone.{form}"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(4 * 48000) / 48000), 48000)
    result = check(path, reference=f"tone:{frequency_hz:g}")
    amid = [event for event in result.streams[0].events if STARTED < event.start_frame < 4 * 48000 - ENDS]
    kinds = Counter(str(event.kind) for event in amid)
    assert result.streams[0].events
    assert not kinds.keys() & {"slip", "repeat", "gain", "frequency", "dropout", "polarity"}
