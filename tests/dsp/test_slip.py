"""Slips from phase steps: the theory holds for every tone, rate and length."""

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rtpverify.dsp.slip import FALSE_ALARM_Z, SlipCode, slip_code

RATES_HZ = st.sampled_from([8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000])
TONES_HZ = st.one_of(
    st.integers(20, 95_999).map(float),
    st.integers(20_000, 95_999_999).map(lambda millihertz: millihertz / 1000),
    st.sampled_from([997.0, 1000.0, 1283.0, 440.0, 3150.0]),
)


def phase_step(frequency_hz, rate_hz, frames):
    """The step of a slip, exactly, rad."""
    turns = Fraction(round(frequency_hz * 1000), 1000) * frames / rate_hz
    return 2 * math.pi * float(turns % 1)


@pytest.mark.parametrize(
    ("frequency_hz", "rate_hz", "blind"),
    [(997, 48000, 48000), (1000, 48000, 48), (1283, 48000, 48000), (1000, 44100, 441), (440, 48000, 1200)],
)
def test_blind_frames(frequency_hz, rate_hz, blind):
    assert slip_code(frequency_hz, rate_hz).blind_frames == blind
    assert blind == rate_hz // math.gcd(frequency_hz, rate_hz)


def test_figures_of_the_design():
    """48 frames of 997 Hz at 48 kHz step the phase by 0.019 rad; 1283 Hz by at least 0.83 rad for usual blocks."""
    near = (phase_step(997, 48000, 48) + math.pi) % (2 * math.pi) - math.pi
    assert abs(near) == pytest.approx(0.019, abs=0.001)
    for frames in (6, 12, 16, 48, 64, 96, 128, 192, 240, 256, 480, 512, 960, 1024):
        step = (phase_step(1283, 48000, frames) + math.pi) % (2 * math.pi) - math.pi
        assert abs(step) > 0.82, frames


@given(TONES_HZ, RATES_HZ, st.integers(-1_000_000, 1_000_000), st.integers(-2, 2), st.floats(-0.49, 0.49))
def test_every_slip_is_told_modulo_the_blind_frames(frequency_hz, rate_hz, frames, turns, error):
    assume(frequency_hz < rate_hz / 2)
    code = slip_code(frequency_hz, rate_hz)
    measured = phase_step(frequency_hz, rate_hz, frames) + 2 * math.pi * turns + error * code.phase_quantum
    assume(code.phase_quantum > 1e-9)  # beyond it float64 holds no such error
    decoded = code.decode(measured, code.phase_quantum / 2 / FALSE_ALARM_Z * 0.999)
    assert (decoded - frames) % code.blind_frames == 0
    assert abs(decoded) <= code.blind_frames / 2
    if abs(frames) < code.blind_frames / 2:
        assert decoded == frames


@given(TONES_HZ, RATES_HZ, st.floats(0, 10))
def test_nothing_is_invented_where_noise_leaves_several(frequency_hz, rate_hz, relative):
    assume(frequency_hz < rate_hz / 2)
    code = slip_code(frequency_hz, rate_hz)
    limit = code.phase_quantum / 2 / FALSE_ALARM_Z
    assume(abs(relative - 1) > 1e-9)
    assert (code.decode(code.phase_quantum, relative * limit) is None) == (relative > 1)


@given(TONES_HZ, RATES_HZ, st.floats(0.01, 0.49), st.sampled_from([-1, 1]))
def test_a_step_between_two_slips_is_none(frequency_hz, rate_hz, off, sign):
    assume(frequency_hz < rate_hz / 2)
    code = slip_code(frequency_hz, rate_hz)
    deviation = 0.5 * off * code.phase_quantum / FALSE_ALARM_Z
    assume(off * code.phase_quantum > 1e-6)
    assert code.decode(sign * off * code.phase_quantum, deviation) is None


@given(
    st.sampled_from([997.0, 1283.0, 1000.0, 440.0]),
    st.sampled_from([44100, 48000, 96000]),
    st.sampled_from([6, 48, 64, 192, 480]),
    st.integers(1, 20),
    st.sampled_from([-1, 1]),
    st.floats(1e-5, 3e-3),
    st.floats(-4, 4),
)
def test_candidates_hold_the_slip_that_happened(frequency_hz, rate_hz, packet_frames, packets, sign, deviation, off):
    code = slip_code(frequency_hz, rate_hz)
    frames = sign * packets * packet_frames
    assume(abs(frames) <= code.blind_frames)
    measured = phase_step(frequency_hz, rate_hz, frames) + off * deviation
    found = code.candidates(measured, deviation, packet_frames, rate_hz * 1000, most=10_000)
    assert any((frames - item) % code.blind_frames == 0 for item in found)
    assert all(item % packet_frames == 0 for item in found)
    assert [abs(item) for item in found] == sorted(abs(item) for item in found)
    tolerance = FALSE_ALARM_Z * deviation + code.phase_quantum / 2
    for item in found:
        apart = (phase_step(frequency_hz, rate_hz, item) - measured + math.pi) % (2 * math.pi) - math.pi
        assert abs(apart) <= tolerance + 1e-9


def test_candidates_are_limited():
    assert len(slip_code(997, 48000).candidates(0.1, 1.0, 48, 48000, most=5)) == 5
    assert slip_code(997, 48000).candidates(0.1, 1.0, 48, 96) == [48, -48, 96, -96]
    assert SlipCode(1, 48000).candidates(1.0, 1e-9, 48000, 48000) == []


def test_a_tone_that_steps_by_whole_periods_is_blind_to_everything():
    code = SlipCode(1, 1)
    assert code.decode(0.0, 0.0) == 0
    assert code.blind_frames == 1


def test_no_code_without_a_frequency():
    assert slip_code(0.0, 48000) is None
    assert slip_code(0.0001, 48000) is None  # rounds to nothing
