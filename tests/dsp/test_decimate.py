"""A signal at a fraction of its rate is the signal, but for what that rate cannot hold, wherever it is asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.dsp import decimate
from rtpverify.dsp.decimate import Decimated, Mixed, interpolated, telling_factor

FRAMES = 6000


def tone(cycles, frames=FRAMES, phases=(0.0,)):
    """A sine of so many cycles per frame on each channel."""
    return np.sin(2 * np.pi * cycles * np.arange(frames)[:, None] + np.array(phases))


def inner(x, margin=64):
    return x[margin:-margin]


@pytest.mark.parametrize("factor", [1, 2, 3, 6])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_what_the_lower_rate_holds_stays_where_it_is(factor, share):
    x = tone(share / 2 / factor, phases=(0.0, 1.0))
    low = Decimated(x, factor)
    assert len(low) == -(-FRAMES // factor)
    assert low.channels == 2
    found = low.between(0, len(low))
    assert found.dtype == np.float32
    np.testing.assert_allclose(inner(found), inner(x[::factor]), atol=2e-3)


@pytest.mark.parametrize("factor", [2, 3, 6])
@pytest.mark.parametrize("share", [1.2, 1.5])
def test_what_it_cannot_hold_is_gone(factor, share):
    low = Decimated(tone(share / 2 / factor), factor)
    assert np.abs(inner(low.between(0, len(low)))).max() < 2e-3


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_a_constant_keeps_its_level_and_what_lies_around_it_is_silent(factor):
    low = Decimated(np.full((1000, 1), 0.5), factor)
    found = low.between(-100, len(low) + 100)
    assert len(found) == len(low) + 200
    np.testing.assert_allclose(found[100 + 20 : -100 - 20], 0.5, atol=1e-6)
    assert not found[: 100 - 20].any()
    assert not found[-100 + 20 :].any()
    assert not low.between(-5000, -4000).any()
    assert not low.between(5000, 5010).any()


@given(
    factor=st.sampled_from([1, 2, 3, 7]),
    slices=st.lists(st.tuples(st.integers(-60, 400), st.integers(0, 200)), min_size=1, max_size=6),
    frames=st.integers(1, 1500),
)
def test_slices_are_parts_of_the_whole_in_any_order(factor, slices, frames):
    x = np.random.default_rng(frames).uniform(-1, 1, (frames, 2))
    whole = Decimated(x, factor).between(-60, 600)
    low = Decimated(x, factor)
    for start, count in slices:
        np.testing.assert_allclose(low.between(start, start + count), whole[60 + start : 60 + start + count], atol=1e-6)


def test_pieces_and_what_is_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(decimate, "_FRAMES_AT_ONCE", 50)
    monkeypatch.setattr(decimate, "_KEPT_FRAMES", 120)
    x = np.random.default_rng(1).uniform(-1, 1, (2000, 1))
    asked = []

    class Read:
        shape = x.shape

        def __getitem__(self, frames):
            asked.append(frames.stop - frames.start)
            return x[frames]

    low = Decimated(Read(), 2)
    whole = Decimated(x, 2).between(0, 1100)
    for start in range(0, 1000, 40):
        np.testing.assert_allclose(low.between(start, start + 60), whole[start : start + 60], atol=1e-6)
    assert max(asked) <= 2 * (50 + 17)
    assert sum(asked) < 2.5 * 2000  # each frame is computed once
    np.testing.assert_allclose(low.between(0, 30), whole[:30], atol=1e-6)  # and again where it was given up


def test_powers_are_mean_products():
    x = np.random.default_rng(2).uniform(-1, 1, (40_000, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    np.testing.assert_allclose(Decimated(x, 1).powers(), x.T @ x / len(x), rtol=1e-5)
    np.testing.assert_allclose(Decimated(x, 1).powers(most=100), x[:100].T @ x[:100] / 100, rtol=1e-5)
    np.testing.assert_allclose(Decimated(x, 1).powers(most=10**6), x.T @ x / len(x), rtol=1e-5)
    assert Decimated(np.zeros((0, 2)), 3).powers().tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_channels_are_mixed():
    x = np.random.default_rng(3).uniform(-1, 1, (300, 2))
    low = Decimated(x, 1)
    mixed = Mixed(low, np.array([0.25, -2.0], np.float32))
    assert len(mixed) == 300
    found = mixed.between(-5, 305)
    assert found.shape == (310, 1)
    np.testing.assert_allclose(found[5:-5, 0], x @ [0.25, -2.0], atol=1e-6)
    one = Decimated(x[:, :1], 1)
    assert np.array_equal(Mixed(one, np.array([7.0], np.float32)).between(0, 300), one.between(0, 300))


@pytest.mark.parametrize(
    ("cycles", "factor"), [(0.2 / 16, 8), (1 / 4 / 8 * 0.9, 8), (1 / 4 / 4 * 0.9, 4), (1 / 4 / 2 * 0.9, 2), (0.3, 1)]
)
def test_the_rate_is_divided_while_what_moves_is_left(cycles, factor):
    assert telling_factor(tone(cycles, 50_000), 8) == factor
    assert telling_factor(tone(cycles, 50_000) + 100.0, 8) == factor  # an offset does not move
    assert telling_factor(tone(cycles, 1000), 8) == factor


def test_a_hundredth_of_the_power_is_enough():
    low, high = tone(0.01, 50_000), tone(0.4, 50_000)
    assert telling_factor(high + 0.12 * low, 8) == 8
    assert telling_factor(high + 0.08 * low, 8) == 1


def test_what_does_not_move_says_nothing():
    assert telling_factor(np.zeros((5000, 1)), 6) == 6
    assert telling_factor(np.zeros((0, 1)), 6) == 6


@pytest.mark.parametrize("cycles", [0.01, 0.2, 0.42])
@pytest.mark.parametrize("step", [1.0, 0.999, 1.01, 0.25])
def test_between_frames_lies_the_signal(cycles, step):
    x = tone(cycles, 2000, phases=(0.0, 0.7))
    position = 50.3 + step * np.arange(1500)
    position = position[position < 1900]
    found = interpolated(Decimated(x, 1), position)
    wanted = np.sin(2 * np.pi * cycles * position[:, None] + np.array([0.0, 0.7]))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 10 ** (-43 / 20) * 1.5
    if step == 1.0:
        on_frames = interpolated(Decimated(x, 1), np.arange(100.0, 200.0))
        np.testing.assert_allclose(on_frames, x[100:200], atol=1e-3)


def test_around_the_signal_there_is_nothing_to_interpolate():
    found = interpolated(Decimated(np.ones((10, 1)), 1), np.array([-30.5, 5.0, 40.5]))
    assert found[0] == found[2] == 0.0
    assert found[1] == pytest.approx(1.0, abs=0.02)
