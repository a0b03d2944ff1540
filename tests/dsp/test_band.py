import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.band import BandFilter
from rtpverify.errors import RequestError

RATE_HZ = 48000


def filtered(audio, low_hz, high_hz, cuts=()):
    band = BandFilter(low_hz, high_hz, RATE_HZ, audio.shape[1])
    parts = [part for block in np.split(audio, cuts) for part in band.add(block)] + [*band.finish()]
    return np.concatenate(parts)


def tone(frequency_hz, frames=RATE_HZ):
    return np.sin(2 * np.pi * frequency_hz * np.arange(frames)[:, None] / RATE_HZ)


@pytest.mark.parametrize(("low_hz", "high_hz"), [(300, 3400), (0, 1000), (1000, 24000), (50, 60)])
def test_what_is_inside_stays_in_place_and_what_is_outside_goes(low_hz, high_hz):
    middle = slice(12000, 36000)
    width_low, width_high = max(20, 0.1 * low_hz), max(20, 0.1 * high_hz)
    inside = (low_hz + high_hz) / 2 if low_hz else 0.9 * high_hz - width_high
    for frequency_hz in {inside, (low_hz + width_low) if low_hz and high_hz > 100 else inside}:
        np.testing.assert_allclose(
            filtered(tone(frequency_hz), low_hz, high_hz)[middle],
            tone(frequency_hz)[middle],
            atol=0.3 if high_hz < 100 else 1e-3,
        )
    for outside in [low_hz - width_low] * bool(low_hz > width_low) + [high_hz + width_high] * bool(high_hz < 20000):
        assert np.abs(filtered(tone(outside), low_hz, high_hz)[middle]).max() < 2e-5


def test_all_of_it_is_the_audio_itself():
    audio = np.random.default_rng(1).normal(size=(5000, 2))
    np.testing.assert_array_equal(filtered(audio, 0, 24000), audio)


@settings(max_examples=10, derandomize=True)
@given(st.lists(st.integers(0, 9000), max_size=4))
def test_the_cut_into_blocks_changes_nothing(cuts):
    audio = np.random.default_rng(1).normal(size=(9000, 2))
    np.testing.assert_allclose(filtered(audio, 500, 2000, sorted(cuts)), filtered(audio, 500, 2000), atol=1e-12)


@pytest.mark.parametrize(("low_hz", "high_hz"), [(100, 100), (-1, 50), (100, 24001)])
def test_what_is_no_band(low_hz, high_hz):
    with pytest.raises(RequestError, match="no band from 0 to half the sample rate of 48000 Hz"):
        BandFilter(low_hz, high_hz, RATE_HZ, 1)
