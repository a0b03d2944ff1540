"""Resampling against the same sine computed at the other rate, and block by block against all at once."""

import numpy as np
import pytest

from rtpverify.dsp.resample import PASSBAND, resample


def sine(frequency_hz, rate_hz, frames):
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(frames) / rate_hz + 0.3)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 48000), (48000, 44100), (96000, 48000), (8000, 48000)])
def test_a_sine_stays_where_and_what_it_is(from_hz, to_hz):
    frequency_hz = PASSBAND * min(from_hz, to_hz) / 2
    out = resample(sine(frequency_hz, from_hz, from_hz), from_hz, to_hz)
    assert out.shape == (to_hz,)
    middle = slice(to_hz // 4, 3 * to_hz // 4)
    wanted = sine(frequency_hz, to_hz, to_hz)[middle]
    gain = out[middle] @ wanted / (wanted @ wanted)
    assert abs(20 * np.log10(gain)) < 0.01
    assert np.abs(out[middle] - gain * wanted).max() < 1e-8


def test_what_does_not_fit_is_gone():
    out = resample(sine(15000, 48000, 48000), 48000, 16000)
    assert np.abs(out[2000:-2000]).max() < 1e-8


def test_equal_rates_change_nothing():
    frames = np.random.default_rng(1).normal(size=(100, 2))
    assert resample(frames, 48000, 48000) is frames
