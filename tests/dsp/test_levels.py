"""Levels against textbook values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.dsp.levels import FULL_SCALE_SINE_RMS, amplitude_ratio, dbfs, decibels, quantisation_rms


def test_dbfs_is_that_of_aes17():
    one_period = np.sin(2 * np.pi * np.arange(48) / 48)
    assert dbfs(float(np.sqrt(np.mean(one_period**2)))) == pytest.approx(0.0, abs=1e-12)
    assert dbfs(1.0) == pytest.approx(3.0103, abs=1e-4)  # a square wave
    assert dbfs(float(np.sqrt(np.mean((one_period / 2) ** 2)))) == pytest.approx(-6.0206, abs=1e-4)


@pytest.mark.parametrize(("ratio", "level_db"), [(1.0, 0.0), (10.0, 20.0), (0.001, -60.0), (2.0, 6.0205999)])
def test_decibels_count_amplitudes(ratio, level_db):
    assert decibels(ratio) == pytest.approx(level_db, abs=1e-6)
    assert amplitude_ratio(level_db) == pytest.approx(ratio, rel=1e-8)


def test_nothing_is_infinitely_far_down():
    assert decibels(0.0) == -math.inf
    assert dbfs(0.0) == -math.inf


@given(st.floats(-200, 200))
def test_there_and_back(level_db):
    assert decibels(amplitude_ratio(level_db)) == pytest.approx(level_db, abs=1e-9)


@pytest.mark.parametrize(("bits", "level_dbfs"), [(8, -49.93), (16, -98.09), (20, -122.17), (24, -146.26)])
def test_the_quantiser_limit_is_that_of_the_textbook(bits, level_dbfs):
    """6.02 n + 1.76 dB below a full-scale sine."""
    assert dbfs(quantisation_rms(bits)) == pytest.approx(level_dbfs, abs=0.01)
    assert dbfs(quantisation_rms(bits)) == pytest.approx(-(6.0206 * bits + 1.7609), abs=1e-3)


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_the_quantiser_limit_is_what_rounding_leaves(bits):
    x = np.random.default_rng(1).uniform(-1, 1, 200_000)
    step = 2.0 ** (1 - bits)
    error = np.rint(x / step) * step - x
    assert np.sqrt(np.mean(error**2)) == pytest.approx(quantisation_rms(bits), rel=0.01)


def test_full_scale_sine_rms():
    assert pytest.approx(1 / math.sqrt(2)) == FULL_SCALE_SINE_RMS
