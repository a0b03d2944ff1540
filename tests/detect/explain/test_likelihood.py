"""Likelihoods by quadrature, intervals by trying all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.detect.explain.likelihood import Noise, best_interval


@pytest.mark.parametrize("noise", [Noise(0.01), Noise(1e-4, 1e-3), Noise.of_rounding(2.0**-15)])
def test_a_density_is_one(noise):
    reach = noise.bound + 5.0 * noise.sigma  # as far as it is more than an outlier's
    x = np.linspace(-reach, reach, 400_001)
    assert np.exp(noise.log_likelihood(x.copy())).mean() * 2 * reach == pytest.approx(1.0, abs=2e-3)


def test_rounding_is_as_likely_anywhere_within_half_a_step():
    step = 2.0**-15
    likelihood = Noise.of_rounding(step).log_likelihood(np.array([0.0, 0.49, -0.5, 0.6, 0.7, 1.0, 1e4]) * step)
    assert likelihood[0] == likelihood[1] == likelihood[2] > likelihood[3] > likelihood[4] > likelihood[5]
    assert likelihood[5] == likelihood[6] == math.log(5e-7)


def test_noise_of_each_frame_is_its_own():
    sigma = np.array([0.1, 0.2, 0.4])
    whole = Noise(sigma).log_likelihood(np.array([0.1, 0.1, 0.1]))
    alone = [Noise(float(item)).log_likelihood(np.array([0.1]))[0] for item in sigma]
    assert whole == pytest.approx(alone)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40))
def test_the_best_interval_is_that_of_trying_all(values):
    gain = np.array(values, np.float64)
    start, stop, total = best_interval(gain)
    sums = {(a, b): gain[a:b].sum() for a in range(len(gain) + 1) for b in range(a, len(gain) + 1)}
    most = max(sums.values())
    assert total == gain[start:stop].sum()
    assert most - 2.0 <= total <= most
    if most > 2.0:
        assert gain[start] > 0
        assert gain[stop - 1] > 0


def test_what_chance_adds_at_an_edge_is_left_out():
    gain = np.concatenate([[0.3], np.full(1000, -1e-4), np.full(50, 5.0), np.full(500, 0.0), [0.5], np.full(20, -1.0)])
    assert best_interval(gain)[:2] == (1001, 1051)
