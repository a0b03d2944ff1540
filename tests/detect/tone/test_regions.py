"""Searches in a damaged stretch."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.detect.tone.regions import (
    band_run,
    change_point,
    equal_run,
    first_cluster_end,
    variance_change_point,
)

OMEGA = 2 * math.pi * 997 / 48000


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.data())
def test_a_run_of_equal_values_is_as_long_as_it_gets(values, data):
    index = data.draw(st.integers(0, len(values) - 1))
    start, stop = equal_run(np.array(values, float), index)
    assert start <= index < stop
    assert set(values[start:stop]) == {values[index]}
    assert start == 0 or values[start - 1] != values[index]
    assert stop == len(values) or values[stop] != values[index]


def test_a_band_holds_what_is_within_it():
    x = np.array([0.5, 0.02, -0.01, 0.0, 0.03, 0.2])
    assert band_run(x, 2, 0.0, 0.03) == (1, 5)
    assert band_run(x, 0, 0.0, 0.03) == (0, 0)
    assert band_run(x, 5, 0.0, 1.0) == (0, 6)


def test_the_first_cluster_ends_before_enough_good_frames():
    bad = np.zeros(100, bool)
    bad[[10, 12, 20, 60]] = True
    assert first_cluster_end(bad, 32) == 21
    assert first_cluster_end(bad, 5) == 13
    assert first_cluster_end(bad, 90) == 61


@given(st.integers(0, 200), st.integers(0, 2**32))
def test_a_change_from_one_model_to_another_is_found(frame, seed):
    x = 0.01 * np.random.default_rng(seed).standard_normal(200)
    x[frame:] += 1.0
    assert change_point(x, x - 1.0) == frame


@given(st.integers(40, 160), st.integers(0, 2**32))
def test_a_change_of_noise_is_found(frame, seed):
    x = np.random.default_rng(seed).standard_normal(200)
    x[frame:] *= 1000
    assert abs(variance_change_point(x) - frame) <= 3


def test_no_change_of_noise_in_too_little():
    assert variance_change_point(np.ones(10)) == 0
