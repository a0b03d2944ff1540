"""Departures by their form."""

import math

import numpy as np
import pytest

from rtpverify.detect.tone.forms import residual_form
from rtpverify.events import Kind

OMEGA = 2 * math.pi * 997 / 48000
N = 4800


def tone(amplitude=0.5):
    return amplitude * np.sin(OMEGA * np.arange(N) + 0.2)


def rounded(x, bits):
    return np.rint(x * 2 ** (bits - 1)) / 2 ** (bits - 1)


def test_forms():
    rng = np.random.default_rng(1)
    noisy = rounded(tone() + 1e-3 * rng.standard_normal(N), 24)
    assert residual_form(noisy, OMEGA, 24)[0] is Kind.NOISE
    kind, size = residual_form(rounded(tone() + 0.005 * np.cos(2 * OMEGA * np.arange(N)), 24), OMEGA, 24)
    assert kind is Kind.DISTORTION
    assert size["thd_db"] == pytest.approx(-40.0, abs=0.1)
    kind, size = residual_form(rounded(np.clip(tone(), -0.4, 0.4), 24), OMEGA, 24)
    assert kind is Kind.CLIPPING
    assert size["clip_level"] == pytest.approx(0.4, rel=0.01)
    kind, size = residual_form(rounded(tone(), 12), OMEGA, 16)
    assert (kind, size["effective_bits"]) == (Kind.WORD_LENGTH, 12)


def test_what_is_no_sine_at_all_is_noise():
    assert residual_form(np.zeros(N), OMEGA, None)[0] is Kind.NOISE
    assert residual_form(np.zeros(3), OMEGA, 16)[0] is Kind.NOISE
