"""Thresholds and block lengths."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.detect.noise_thresholds import FRAME_Z
from rtpverify.detect.tone.settings import Settings, block_frames
from rtpverify.dsp.sine import distinct_errors, fit_blocks, tone_basis
from rtpverify.limits import Limits

RATES_HZ = [8000, 11025, 16000, 44100, 48000, 96000, 192000]


def settings(bits=16, companded=False, limits=None, references_hz=(997.0,)):
    return Settings(0, 48000, 960, 48, bits, companded, references_hz, limits or Limits())


@given(st.sampled_from(RATES_HZ), st.floats(0.001, 0.999))
def test_blocks_hold_four_periods_and_at_most_a_second(rate_hz, share):
    hz = 20.0 + share * (rate_hz / 2 - 40.0)
    frames = block_frames(rate_hz, (hz,))
    assert rate_hz // 50 <= frames <= rate_hz
    assert frames % (rate_hz // 50) == 0
    assert frames / rate_hz * min(hz, rate_hz / 2 - hz) >= 4 * 0.99


def test_blocks_of_usual_tones_are_20_ms():
    assert block_frames(48000, (997.0,)) == 960
    assert block_frames(48000, (None,)) == 960
    assert block_frames(48000, (997.0, 50.0)) == block_frames(48000, (50.0,)) > 960


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize(("rms", "bound"), [(1 / math.sqrt(12), 0.5), (1 / math.sqrt(6), 1.0), (0.5, 1.5)])
def test_rounding_and_dither_are_bounded(bits, rms, bound):
    subject = settings(bits)
    assert bound <= subject.frame_threshold(rms * subject.step, 0.9 * bound * subject.step) / subject.step < bound + 0.2


def test_other_noise_is_gaussian():
    assert settings().frame_threshold(0.01, 0.03) == pytest.approx(FRAME_Z * 0.01)
    step = settings().step
    assert settings().frame_threshold(0.5 * step, 3 * step) == pytest.approx(FRAME_Z * 0.5 * step)
    assert settings(None).frame_threshold(0.0, 0.0) > 0.0


def test_the_residual_limit_is_6_db_above_the_quantiser():
    assert settings().residual_limit(0.5) == pytest.approx(2**-15 / math.sqrt(12) * 10**0.3)
    assert settings(limits=Limits(max_thd_n_db=-60.0)).residual_limit(0.5) == pytest.approx(0.5 / math.sqrt(2) / 1000)
    assert settings(None, companded=True).residual_limit(1.0) == pytest.approx(10 ** (-31 / 20) / math.sqrt(2))


def test_one_reference_or_one_per_channel():
    assert settings(references_hz=(None,)).reference_hz is None
    assert Settings(1, 48000, 960, 48, 16, False, (997.0, 1499.0), Limits()).reference_hz == 1499.0


@pytest.mark.parametrize(("hz", "rate_hz", "steps"), [(1283.0, 48000, 102.4), (1283.0, 96000, 203.0)])
def test_rounding_that_beats_with_the_tone_is_no_step_of_the_phase(hz, rate_hz, steps):
    """The rounding of each block is measured, and stays within what is allowed for; it may well come close."""
    n, omega = rate_hz // 50, 2 * math.pi * hz / rate_hz
    x = np.rint(steps * np.cos(omega * np.arange(100 * n) + 0.3))
    z = fit_blocks(x.reshape(100, n), tone_basis(omega, n)).z
    phase = np.unwrap(np.angle(z * np.exp(-1j * omega * n * np.arange(100))))
    form = Settings(0, rate_hz, n, 1, 16, False, (hz,), Limits())
    amplitude, sigma = steps * form.step, 0.3 * form.step
    beat = form.beat(omega, amplitude, sigma, form.step)
    assert np.ptp(phase) / 2 == pytest.approx(beat, rel=0.4)
    assert form.least_phase(omega, amplitude, sigma, 0.0, form.step) > 2 * np.ptp(phase) / 2
    assert form.beat(omega, amplitude, 0.5 * form.step, form.step) == 0.0  # dither leaves none
    assert form.beat(omega, 0.5, sigma, form.step) == 0.0


@pytest.mark.parametrize(
    ("hz", "amplitude", "errors"),
    [
        (1000.0, 16384.0, 48),
        (1000.0005, 16384.0, 49),  # moves on by a step in 960 frames
        (2401.0, 3277.0, 960),  # 20 phases that move on by 400 steps
        (997.0, 16384.0, 960),
    ],
)
def test_rounding_errors_come_again_where_the_phases_stay_to_the_step(hz, amplitude, errors):
    assert distinct_errors(2 * math.pi * hz / 48000, amplitude, 960) == errors
