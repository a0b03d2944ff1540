"""Alignment against direct computation, and interpolation against sines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.align import candidates, correlate, fit, interpolate


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.integers(2, 200), st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_correlation_is_the_cosine_at_every_offset(length, more, seed):
    rng = np.random.default_rng(seed)
    piece, reference = rng.standard_normal(length), rng.standard_normal(length + more)
    direct = [
        piece @ part / np.linalg.norm(piece) / np.linalg.norm(part)
        for part in np.lib.stride_tricks.sliding_window_view(reference, length)
    ]
    np.testing.assert_allclose(correlate(piece, reference), direct, atol=1e-9)


def test_a_piece_is_found_in_a_long_reference_with_silence():
    reference = np.random.default_rng(1).standard_normal(300000)
    reference[50000:120000] = 0.0
    piece = -0.1 * reference[222222 : 222222 + 5000]
    [best] = candidates(correlate(piece, reference), 1, apart=10)
    assert best.offset == 222222
    assert best.correlation == pytest.approx(-1.0)
    assert not correlate(np.zeros(100), reference).any()


def test_candidates_are_apart():
    correlation = np.array([0.0, 0.9, 1.0, 0.95, 0.0, 0.0, -0.97, 0.0])
    assert [item.offset for item in candidates(correlation, 5, apart=2)] == [2, 6]
    assert candidates(np.zeros(5), 3, apart=1) == []


@pytest.mark.parametrize(("share", "error_db"), [(0.01, -95), (0.2, -95), (0.4, -80)])
@pytest.mark.parametrize("pace", [1.0, 1.0001, 0.999])
def test_values_and_slopes_between_the_frames(share, error_db, pace):
    omega = 2 * np.pi * share
    position = 60.37 + np.arange(4000) * pace
    found = interpolate(np.sin(omega * np.arange(4200) + 1), position)
    allowed = 10 ** (error_db / 20)
    np.testing.assert_allclose(found.value, np.sin(omega * position + 1), atol=allowed)
    np.testing.assert_allclose(found.slope, omega * np.cos(omega * position + 1), atol=3 * allowed)


def test_fit_finds_gain_offset_delay_and_rate():
    t = np.arange(4000.0)
    wave = lambda at: np.sin(0.07 * at) + 0.5 * np.sin(0.31 * at + 2)  # noqa: E731
    slope = 0.07 * np.cos(0.07 * t) + 0.155 * np.cos(0.31 * t + 2)
    middle = t - t.mean()
    received = 0.8 * wave(t + 1e-4 + 1e-8 * middle) + 0.01
    found = fit(received, wave(t), np.ones(4000, np.bool_), slope, with_rate=True)
    assert found.gain == pytest.approx(0.8, abs=1e-6)
    assert found.dc == pytest.approx(0.01, abs=1e-7)
    assert found.delay == pytest.approx(1e-4, rel=1e-3)
    assert found.rate == pytest.approx(1e-8, rel=1e-2)
    assert found.rms < 1e-6


def test_frames_that_are_not_there_do_not_count():
    rng = np.random.default_rng(1)
    reference, valid = rng.standard_normal(1000), np.ones(1000, np.bool_)
    received = 2.0 * reference
    received[100:200], valid[100:200] = 99.0, False
    assert fit(received, reference, valid).gain == pytest.approx(2.0)
    assert fit(received, np.zeros(1000), valid).gain == 1.0
