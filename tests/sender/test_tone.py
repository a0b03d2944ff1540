import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.errors import RequestError
from rtpverify.sender.tone import FrequencyChange, ToneSignal

ROUNDING = 4e-15
"""Twice that of a phase of up to 2π, here and there, and that of a sine, which no two processors compute alike."""


def exact(frequency_hz, rate_hz, frame):
    """The textbook: the phase as a fraction, taken modulo one turn before any rounding."""
    return math.sin(2 * math.pi * float(Fraction(str(frequency_hz)) * frame / rate_hz % 1))


@given(
    st.sampled_from([997.0, 1000.0, 1283.0, 0.1, 440.123456]),
    st.sampled_from([8000, 44100, 48000, 192000]),
    st.integers(0, 10**13),
)
def test_phase_is_exact_however_late(frequency_hz, rate_hz, frame):
    block = ToneSignal([frequency_hz], rate_hz, 1, level_dbfs=0.0).read(frame, 3)[:, 0]
    np.testing.assert_allclose(
        block, [exact(frequency_hz, rate_hz, frame + k) for k in range(3)], rtol=0, atol=ROUNDING
    )


def test_level_is_that_of_a_sine_with_full_scale_at_0_dbfs():
    samples = ToneSignal([1000.0], level_dbfs=-20.0).read(0, 48000)
    assert 10 * np.log10(2 * np.mean(samples**2)) == pytest.approx(-20.0, abs=1e-9)


def test_one_frequency_a_channel():
    samples = ToneSignal([997.0, 1499.0], level_dbfs=0.0).read(123, 10)
    for channel, frequency_hz in enumerate([997.0, 1499.0]):
        expected = [exact(frequency_hz, 48000, 123 + k) for k in range(10)]
        np.testing.assert_allclose(samples[:, channel], expected, rtol=0, atol=ROUNDING)


def test_period():
    assert ToneSignal([1000.0]).period_frames == 48
    assert ToneSignal([1283.0]).period_frames == 48000
    assert ToneSignal([1000.0, 997.0]).period_frames == 48000
    assert ToneSignal([997.5]).period_frames == 6400
    tone = ToneSignal([1283.0])
    assert (tone.read(7, 100) == tone.read(7 + 48000 * 12345, 100)).all()


def test_a_change_of_frequency_keeps_the_phase():
    rate_hz, at = 48000, 1001
    tone = ToneSignal([1000.0], rate_hz, 1, level_dbfs=0.0).changed([FrequencyChange(at, 0, Fraction(1200))])
    samples = tone.read(0, 3000)[:, 0]
    frames = np.arange(3000)
    turns = np.where(frames < at, 1000 * frames, 1000 * at + 1200 * (frames - at)) / rate_hz
    np.testing.assert_allclose(samples, np.sin(2 * np.pi * turns), atol=1e-11)
    assert tone.period_frames is None


@pytest.mark.parametrize(
    ("frequencies_hz", "options", "value"),
    [
        ([24000.0], {}, "24000 Hz"),
        ([0.0], {}, "0 Hz"),
        ([math.nan], {}, "nan Hz"),
        ([1.0, 2.0, 3.0], {}, "3 frequencies"),
        ([1000.0], {"level_dbfs": 3.0}, "level 3 dBFS"),
        ([1000.0], {"level_dbfs": math.nan}, "level nan dBFS"),
    ],
)
def test_what_is_no_tone_is_refused(frequencies_hz, options, value):
    with pytest.raises(RequestError, match=value):
        ToneSignal(frequencies_hz, **options)
