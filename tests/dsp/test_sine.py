"""Fits of a sine: textbook values, and the Cramér–Rao bounds by Monte Carlo."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.sine import (
    MODEL_COLUMNS,
    Sine,
    block_time,
    find_omega,
    fit_blocks,
    fit_free,
    fit_phasor,
    omega_deviation,
    refine_omega,
    tone_basis,
    wrap_phase,
)

OMEGA = 2 * math.pi * 997 / 48000
TRIALS = 1500


@pytest.fixture
def seeded():
    """A generator whose seed is another one each time; pytest prints it where a test fails."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def tone(n, omega=OMEGA, amplitude=0.5, phase=0.3, dc=0.0, slope=0.0):
    t = block_time(n)
    return amplitude * (1 + slope * t) * np.cos(omega * t + phase) + dc


@pytest.mark.parametrize("n", [1, 2, 5, 960])
def test_block_time_is_centred(n):
    t = block_time(n)
    assert t.sum() == pytest.approx(0.0, abs=1e-9)
    assert len(t) == n
    assert (np.diff(t) == 1).all()


@given(st.floats(-1000, 1000))
def test_wrapped_phase_is_the_same_angle(phase):
    wrapped = wrap_phase(phase)
    assert -math.pi < wrapped <= math.pi
    assert math.cos(wrapped - phase) == pytest.approx(1.0, abs=1e-9)


def test_half_a_turn_wraps_to_plus_pi():
    assert wrap_phase(math.pi) == math.pi
    assert wrap_phase(-math.pi) == math.pi
    assert wrap_phase(0.0) == 0.0


@given(
    st.floats(0.05, 3.0),
    st.integers(200, 2000),
    st.floats(1e-3, 1.0),
    st.floats(-math.pi, math.pi),
    st.floats(-0.1, 0.1),
    st.floats(-1e-5, 1e-5),
)
@settings(max_examples=50)
def test_a_sine_of_the_basis_is_fitted_exactly(omega, n, amplitude, phase, dc, slope):
    fit = fit_blocks(tone(n, omega, amplitude, phase, dc, slope)[None], tone_basis(omega, n))
    assert abs(fit.z[0]) == pytest.approx(amplitude, rel=1e-7)
    assert abs(wrap_phase(float(np.angle(fit.z[0])) - phase)) < 1e-7
    assert fit.dc[0] == pytest.approx(dc, abs=1e-9)
    assert (fit.slope_z / fit.z).real[0] == pytest.approx(slope, abs=1e-8)
    assert fit.d_omega[0] == pytest.approx(0.0, abs=1e-8)
    assert fit.peak[0] < 1e-9
    assert fit.square_sum[0] < 1e-15


def test_a_small_offset_of_frequency_is_its_derivative():
    n, off = 960, 1e-6
    fit = fit_blocks(tone(n, OMEGA + off)[None], tone_basis(OMEGA, n))
    assert fit.d_omega[0] == pytest.approx(off, rel=1e-3)


def test_silence_has_no_offset_of_frequency():
    fit = fit_blocks(np.zeros((3, 960)), tone_basis(OMEGA, 960))
    assert (fit.d_omega == 0).all()
    assert (fit.z == 0).all()


@pytest.mark.parametrize("order", [2, 3, 7, 10])
def test_harmonics_are_told_apart(order):
    n = 960
    t = block_time(n)
    x = tone(n) + 0.01 * np.cos(order * OMEGA * t + 0.7)
    fit = fit_blocks(x[None], tone_basis(OMEGA, n))
    sizes = np.abs(fit.harmonics[0])
    assert sizes[order - 2] == pytest.approx(0.01, rel=1e-6)
    assert float(np.angle(fit.harmonics[0, order - 2])) == pytest.approx(0.7, abs=1e-6)
    assert np.delete(sizes, order - 2).max() < 1e-9
    assert fit.square_sum[0] == pytest.approx(n * 0.01**2 / 2, rel=0.01)


def test_harmonics_above_half_the_rate_are_left_out():
    basis = tone_basis(2 * math.pi * 0.2, 960)
    assert basis.harmonics == (2,)
    fit = fit_blocks(np.ones((2, 960)), basis)
    assert fit.harmonics.shape == (2, 9)
    assert (fit.harmonics[:, 1:] == 0).all()


def test_leading_shape():
    fit = fit_blocks(np.stack([tone(960)] * 6), tone_basis(OMEGA, 960)).reshape(2, 3)
    assert fit.z.shape == (2, 3)
    assert fit.harmonics.shape == (2, 3, 9)


@pytest.mark.parametrize(("n", "amplitude", "sigma", "omega"), [
    (960, 0.5, 1e-3, OMEGA),
    (882, 1.0, 1e-5, 2 * math.pi * 1283 / 44100),
    (4000, 0.01, 1e-3, 2 * math.pi * 0.31),
    (960, 0.3, 0.01, 2 * math.pi * 0.497),
])  # fmt: skip
def test_block_fit_reaches_the_bounds(seeded, n, amplitude, sigma, omega):
    if min(omega, math.pi - omega) * n < 4 * 2 * math.pi:
        n *= 4
    phase = seeded.uniform(-math.pi, math.pi)
    x = tone(n, omega, amplitude, phase, 0.01) + sigma * seeded.standard_normal((TRIALS, n))
    fit = fit_blocks(x, tone_basis(omega, n))
    ratio = sigma / amplitude
    errors = {
        "amplitude": (np.abs(fit.z) - amplitude, sigma * math.sqrt(2 / n)),
        "phase": (np.angle(fit.z * np.exp(-1j * phase)), ratio * math.sqrt(2 / n)),
        "dc": (fit.dc - 0.01, sigma / math.sqrt(n)),
        "omega": (fit.d_omega, omega_deviation(ratio, n)),
        "slope": ((fit.slope_z / fit.z).real, omega_deviation(ratio, n)),
    }
    for name, (error, bound) in errors.items():
        assert 0.85 < math.sqrt(float(np.mean(error**2))) / bound < 1.2, name
    sigma2 = fit.square_sum / (n - MODEL_COLUMNS)
    assert float(sigma2.mean()) == pytest.approx(sigma**2, rel=0.01)


def test_the_bound_of_the_frequency_is_that_of_the_design():
    n, sigma, amplitude = 1000, 0.01, 0.5
    assert omega_deviation(sigma / amplitude, n) ** 2 == pytest.approx(24 * sigma**2 / (amplitude**2 * n**3))


def test_free_fit_reaches_the_bounds(seeded):
    n, amplitude, sigma, trials = 960, 0.5, 1e-3, 400
    errors = []
    for _ in range(trials):
        phase, off = seeded.uniform(-math.pi, math.pi), seeded.uniform(-0.2, 0.2) * math.pi / n
        x = tone(n, OMEGA + off, amplitude, phase, 0.002) + sigma * seeded.standard_normal(n)
        fit = fit_free(x, 0, OMEGA)
        sine = fit.sine
        errors.append(
            (sine.amplitude - amplitude, wrap_phase(sine.phase - phase), sine.omega - OMEGA - off, sine.dc - 0.002)
        )
    found = np.sqrt(np.mean(np.square(errors), axis=0))
    bounds = [
        sigma * math.sqrt(2 / n),
        sigma / amplitude * math.sqrt(2 / n),
        omega_deviation(sigma / amplitude, n),
        sigma / math.sqrt(n),
    ]
    for name, value, bound in zip(("amplitude", "phase", "omega", "dc"), found, bounds, strict=True):
        assert 0.8 < value / bound < 1.2, name


def test_refined_frequency_reaches_its_bound(seeded):
    n, amplitude, sigma = 960, 0.5, 1e-2
    errors = []
    for _ in range(400):
        omega = OMEGA * seeded.uniform(0.98, 1.02)
        x = tone(n, omega, amplitude, seeded.uniform(-3, 3)) + sigma * seeded.standard_normal(n)
        errors.append(find_omega(x) - omega)
    assert 0.8 < math.sqrt(np.mean(np.square(errors))) / omega_deviation(sigma / amplitude, n) < 1.2


def test_phasor_fit_reaches_the_bounds_and_skips_holes(seeded):
    n, amplitude, sigma = 700, 0.2, 1e-3
    valid = np.ones(n, bool)
    valid[100:300] = False
    used, errors = 500, []
    for _ in range(600):
        x = tone(n, OMEGA, amplitude, 1.0, 0.01) + sigma * seeded.standard_normal(n)
        x[~valid] = 9.0
        sine = fit_phasor(x, 50, OMEGA, valid)
        errors.append((sine.amplitude - amplitude, sine.phase - 1.0, sine.dc - 0.01))
    found = np.sqrt(np.mean(np.square(errors), axis=0))
    assert found[0] / (sigma * math.sqrt(2 / used)) < 1.2
    assert found[1] / (sigma / amplitude * math.sqrt(2 / used)) < 1.2
    assert found[2] / (sigma / math.sqrt(used)) < 1.2
    assert sine.anchor == 50 + (n - 1) / 2


@given(st.floats(0.02, 3.12), st.floats(-math.pi, math.pi), st.floats(1e-3, 1.0))
@settings(max_examples=60)
def test_a_tone_is_found_without_a_hint(omega, phase, amplitude):
    n = 4800
    assert find_omega(tone(n, omega, amplitude, phase)) == pytest.approx(omega, abs=1e-9)


@pytest.mark.parametrize("x", [np.zeros(1000), np.full(1000, 0.5), np.full(1000, np.nan), np.ones(8), np.zeros(0)])
def test_no_tone_is_found_where_there_is_none(x):
    assert find_omega(x) is None


@pytest.mark.parametrize("omega", [0.0, math.pi, -1.0, 4.0])
def test_frequencies_outside_the_band_are_not_refined(omega):
    assert refine_omega(tone(960), omega) is None


def test_silence_is_not_refined():
    assert refine_omega(np.zeros(960), OMEGA) is None


@given(st.floats(-0.9, 0.9))
@settings(max_examples=30)
def test_a_guess_within_a_bin_is_refined(bins):
    assert refine_omega(tone(960), OMEGA + bins * 2 * math.pi / 960) == pytest.approx(OMEGA, abs=1e-9)


@pytest.mark.parametrize("fit", [lambda x, v: fit_phasor(x, 0, OMEGA, v), lambda x, v: fit_free(x, 0, OMEGA, v)])
def test_too_few_frames_are_not_fitted(fit):
    x = tone(960)
    valid = np.zeros(960, bool)
    valid[:3] = True
    assert fit(x, valid) is None
    assert fit(x[:3], np.ones(3, bool)) is None


def test_silence_is_no_free_sine():
    assert fit_free(np.zeros(960), 0, OMEGA) is None


def test_a_free_fit_leaves_holes_out():
    x, valid = tone(960, OMEGA * 1.0001, dc=0.01), np.ones(960, bool)
    valid[200:400] = False
    x[~valid] = -1.0
    fit = fit_free(x, 1000, OMEGA, valid)
    assert fit.frames == 760
    assert fit.sine.omega == pytest.approx(OMEGA * 1.0001, rel=1e-10)
    assert fit.peak < 1e-9
    at = fit.sine.at(1000, 1960)
    assert np.abs(at - x)[valid].max() < 1e-9


def test_a_sine_is_the_same_however_it_is_cut():
    sine = Sine(OMEGA, 100.5, 0.2, 0.5, 0.01, 1e-6)
    whole = sine.at(-50, 400)
    parts = np.concatenate([sine.at(-50, 7), sine.at(7, 400)])
    np.testing.assert_allclose(parts, whole, rtol=0, atol=4 * np.finfo(float).eps)
    assert sine.at(7, 7).shape == (0,)
    assert sine.amplitude_at(100.5) == 0.5
    assert sine.amplitude_at(200.5) == pytest.approx(0.5 * (1 + 1e-4))
    assert sine.phase_at(101.5) == pytest.approx(0.2 + OMEGA)
    frame = 300
    value = sine.amplitude_at(frame) * math.cos(sine.phase_at(frame)) + sine.dc
    assert whole[frame + 50] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("frequency_hz", [997, 1283, 6007])
def test_thd_n_of_a_full_scale_sine_is_the_limit_of_the_quantiser(bits, frequency_hz):
    """SNR = 6.02 n + 1.76 dB, to 0.2 dB."""
    omega, n, blocks = 2 * math.pi * frequency_hz / 48000, 960, 50
    step = 2.0 ** (1 - bits)
    x = Sine(omega, 0.0, 0.4, 1.0 - step, 0.0).at(0, n * blocks)
    x = (np.rint(x / step) * step).reshape(blocks, n)
    fit = fit_blocks(x, tone_basis(omega, n))
    rms = math.sqrt(float(fit.square_sum.sum()) / (blocks * (n - MODEL_COLUMNS)))
    thd_n_db = 20 * math.log10(rms / (float(np.abs(fit.z).mean()) / math.sqrt(2)))
    assert thd_n_db == pytest.approx(-(6.0206 * bits + 1.7609), abs=0.2)


def test_a_fit_that_runs_away_to_no_frequency_is_none():
    walk = np.cumsum(np.random.default_rng(0).standard_normal(960))
    assert fit_free(walk, 0, 2 * math.pi * 60 / 48000) is None
