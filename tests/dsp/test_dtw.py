"""Warping against dtw-python, and against paths that can be told beforehand."""

import numpy as np
import pytest
from dtw import dtw
from hypothesis import given, settings
from hypothesis import strategies as st

import rtpverify.dsp.dtw as module
from rtpverify.dsp.dtw import Band, align, distance, straight_band


def cost_of(alignment, x, y):
    """Return what a path costs by the definition of symmetric2, normalised."""
    steps = np.diff(alignment.rows) + np.diff(alignment.columns)
    assert set(np.diff(alignment.rows)) | set(np.diff(alignment.columns)) <= {0, 1}
    assert (alignment.rows[0], alignment.columns[0]) == (0, 0)
    assert (alignment.rows[-1], alignment.columns[-1]) == (len(x) - 1, len(y) - 1)
    d = np.linalg.norm(x[alignment.rows] - y[alignment.columns], axis=1)
    return (d[0] + (steps * d[1:]).sum()) / (len(x) + len(y))


def sequences(seed, n, m, warp):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)).cumsum(axis=0)
    if warp == "still":
        x = np.repeat(x[: 1 + n // 20], 20, axis=0)[:n]
    if warp == "unrelated":
        return x, rng.standard_normal((m, 3)).cumsum(axis=0)
    places = np.clip(np.sort(rng.uniform(0, n - 1, m)) if warp == "uneven" else np.linspace(0, n - 1, m), 0, n - 1)
    return x, x[np.rint(places).astype(int)] + 0.05 * rng.standard_normal((m, 3))


@settings(deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 150),
    st.integers(1, 150),
    st.sampled_from(["unrelated", "uneven", "even", "still"]),
    st.integers(1, 5),
    st.sampled_from([1, 4, 16, 96]),
    st.sampled_from([0, 1 << 20]),
)
def test_distance_is_that_of_dtw_python(seed, n, m, warp, pieces, early_rows, table_pairs):
    x, y = sequences(seed, n, m, warp)
    expected = dtw(x, y, distance_only=True).normalizedDistance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_RADIUS", 2)
        patch.setattr(module, "_ROWS_AT_ONCE", 16)
        patch.setattr(module, "_PIECES", pieces)
        patch.setattr(module, "_EARLY_ROWS", early_rows)
        patch.setattr(module, "_TABLE_PAIRS", table_pairs)
        assert distance(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**31),
    st.integers(1, 80),
    st.integers(1, 80),
    st.sampled_from(["unrelated", "uneven", "even", "still"]),
)
def test_path_costs_what_that_of_dtw_python_does(seed, n, m, warp):
    x, y = sequences(seed, n, m, warp)
    library = align(x, y)
    own = align(x, y, straight_band(n, m, m))
    assert library.distance == pytest.approx(dtw(x, y).normalizedDistance, rel=1e-12)
    for alignment in (library, own):
        assert cost_of(alignment, x, y) == pytest.approx(library.distance, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.integers(2, 80), st.integers(3, 20))
def test_within_a_band_it_is_that_of_dtw_python_within_it(seed, n, radius):
    x, y = sequences(seed, n, n, "uneven")
    expected = dtw(x, y, window_type="sakoechiba", window_args={"window_size": radius}).normalizedDistance
    alignment = align(x, y, Band(np.arange(n), radius))
    assert alignment.distance == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert np.abs(alignment.rows - alignment.columns).max() <= radius


@pytest.mark.parametrize(("early_rows", "found"), [(32, True), (1, False)])
def test_pieces_are_joined_where_their_paths_have_come_together(monkeypatch, early_rows, found):
    monkeypatch.setattr(module, "_PIECES", 4)
    monkeypatch.setattr(module, "_EARLY_ROWS", early_rows)
    x, y = sequences(7, 400, 400, "even")
    ways = module.BothWays(x, y, straight_band(400, 400, 6))
    joined = ways.in_pieces()
    assert (joined is not None) == found
    if joined is not None:
        whole = ways.follow(np.zeros(1, dtype=np.int64), 400, set())
        for one, other in zip(joined, (whole.first, whole.last, whole.costs[399]), strict=True):
            there = np.isfinite(other)
            assert np.array_equal(there, np.isfinite(one))
            assert np.allclose(one[there], other[there], rtol=1e-9)


def test_equal_sequences_are_at_zero():
    x = np.random.default_rng(1).standard_normal((500, 20)) * 100
    assert distance(x, x.copy()) == 0.0


def test_a_long_detour_is_found():
    """The cheapest path lies farther off the straight line than the band that is tried first."""
    rng = np.random.default_rng(2)
    x = 10 * rng.standard_normal((600, 20))
    y = np.concatenate([x[:100], np.repeat(x[100:101], 200, axis=0), x[101:]])
    assert distance(x, y) == pytest.approx(0.0, abs=1e-12)
    y = np.concatenate([x[300:], x[:300]])
    assert distance(x, y) == pytest.approx(dtw(x, y, distance_only=True).normalizedDistance, rel=1e-9)


def test_long_sequences_are_held_near_the_straight_line(monkeypatch):
    monkeypatch.setattr(module, "EXACT_PAIRS", 0)
    monkeypatch.setattr(module, "_LONG_RADIUS", 5)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((200, 4))
    y = np.concatenate([x[:3], x])[:200]
    expected = dtw(x, y, window_type="sakoechiba", window_args={"window_size": 5}).normalizedDistance
    assert distance(x, y) == pytest.approx(expected, rel=1e-9)
