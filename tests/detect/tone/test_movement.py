"""What a tone does by itself is learned, and told from what happens to it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.detect.tone.blocks.movement import Innovations, Movement
from rtpverify.detect.tone.moves import MEDIAN_BLOCKS, Moves, moving_sigma
from rtpverify.dsp.sine import fit_blocks, tone_basis
from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.events import Kind
from rtpverify.limits import PROFILES
from rtpverify.reference import Tone

RATE_HZ, BLOCK = 48000, 960
OMEGA = 2 * math.pi * 997 / RATE_HZ


def result(frames, profile="analog"):
    verifier = FrameVerifier(Tone((997.0,)), PROFILES[profile], RATE_HZ, frames.shape[1], "L24", 24)
    verifier.feed(frames)
    verifier.finish()
    return verifier.result("x").streams[0]


def tone(seconds, ppm=0.0, phase=0.3, amplitude=0.5, noise=2e-6, seed=0):
    """Return a tone whose frequency is off by ``ppm``, which may be an array, and noise."""
    n = round(seconds * RATE_HZ)
    turned = np.cumsum(np.broadcast_to(np.asarray(ppm, float), n)) * 1e-6 * OMEGA
    wave = amplitude * np.sin(OMEGA * np.arange(n) + turned + phase)
    return np.rint((wave + noise * np.random.default_rng(seed).standard_normal(n)) * 2**23)[:, None] / 2**23


def flutter(seconds, ppm, hz):
    return ppm * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def test_what_a_wandering_clock_hides_is_stated():
    still, moving = (result(tone(6, ppm)).signal[0].sensitivity for ppm in (0.0, flutter(6, 1.5, 4.0)))
    assert not still.phase_step_rad > 2e-4
    assert 10 * still.phase_step_rad < moving.phase_step_rad < 0.02


@pytest.mark.parametrize("hz", [1.0, 4.0])
def test_a_jump_stands_out_of_a_wander(hz):
    ppm = flutter(6, 1.5, hz)
    assert not result(tone(6, ppm)).events
    x = np.delete(tone(6, ppm), slice(150_000, 150_001), axis=0)
    [event] = result(x).events
    assert event.kind is Kind.SLIP
    assert abs(event.start_frame - 150_000) <= 40


def test_a_frequency_that_changes_at_once_is_no_jump():
    ppm = np.where(np.arange(6 * RATE_HZ) < 130_000, 0.0, 5.0)
    assert not result(tone(6, ppm)).events


@pytest.mark.parametrize("db", [-3.0, -12.0])
@pytest.mark.parametrize("frame", [96_000, 96_311, 96_900])
def test_an_attenuator_takes_tone_and_noise_at_one_frame(db, frame):
    x = tone(4, noise=1e-4, seed=frame)
    x[frame:] = np.rint(x[frame:] * 10 ** (db / 20) * 2**23) / 2**23
    [event] = [event for event in result(x).events if event.kind is Kind.GAIN]
    assert abs(event.start_frame - frame) <= 4
    assert event.size.gain_db == pytest.approx(db, abs=0.01)


@pytest.mark.parametrize(("degrees", "kinds"), [(180.0, [Kind.POLARITY]), (179.76, []), (180.05, []), (90.0, [])])
def test_half_a_period_is_an_inversion_and_less_is_a_phase(degrees, kinds):
    x = np.concatenate([tone(1.5, phase=0.0), tone(1.5, phase=math.radians(degrees), seed=1)], axis=1)
    assert [event.kind for event in result(x).events] == kinds


def recorded(x):
    """Return the movement of one line whose blocks these are."""
    movement = Movement(BLOCK, RATE_HZ, 50)
    movement.grow(1)
    count = len(x) // BLOCK
    fit = fit_blocks(x[: count * BLOCK].reshape(count, BLOCK), tone_basis(OMEGA, BLOCK)).reshape(1, count)
    whole = np.ones((1, count), bool)
    movement.record(np.array([0]), np.array([0]), fit, whole, fit.square_sum / BLOCK)
    return movement, count


def test_white_noise_moves_a_tone_by_itself():
    movement, count = recorded(tone(2, noise=1e-4)[:, 0])
    moves = movement.moves(0, count, 0.0)
    for move in (moves.phase[0], moves.level, moves.dc):
        assert move == pytest.approx(1e-4, rel=0.6)
        assert moving_sigma(1e-4, move) == 1e-4


@pytest.mark.parametrize("slips", [1, 3])
def test_a_few_jumps_are_no_movement(slips):
    x = tone(1, noise=1e-4)[:, 0]
    for slip in range(slips):
        x = np.delete(x, slice(20_000 + 5000 * slip, 20_048 + 5000 * slip))
    movement, count = recorded(x)
    assert moving_sigma(1e-4, movement.moves(0, count, 0.0).phase[0]) == 1e-4


def test_too_few_blocks_tell_nothing():
    movement, _ = recorded(tone(1)[:, 0])
    assert movement.moves(0, MEDIAN_BLOCKS // 2, 0.0).phase[0] == 0.0
    assert movement.moves(0, MEDIAN_BLOCKS // 2 + 2, 0.0).phase[0] > 0.0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99))
def test_learning_does_not_depend_on_how_blocks_come(cuts, seed):
    rng, total = np.random.default_rng(seed), sum(cuts)
    square, counts = rng.exponential(size=(1, total, 5)), np.ones((1, total, 5))
    counts[0, :, 3:] = np.arange(total)[:, None] >= [3, 7]
    noise = rng.exponential(size=(1, total))
    lines = np.array([0])

    def learned(pieces):
        movement, start = Movement(BLOCK, RATE_HZ, 50), 0
        movement.grow(1)
        for piece in pieces:
            part = slice(start, start + piece)
            new = Innovations((square * counts)[:, part], counts[:, part], noise[:, part])
            movement.learn(lines, new, np.ones((1, piece), bool))
            start += piece
        return movement.square[0], movement.seen[0], movement.power[0]

    for got, wanted in zip(learned(cuts), learned([total]), strict=True):
        assert got == pytest.approx(wanted, rel=1e-9)


def test_longer_stretches_show_what_moves_slowly():
    moves = Moves((1.0, 2.0, 3.0), halves=(8, 25), block_frames=BLOCK)
    assert [moves.phase_over(blocks * BLOCK) for blocks in (1, 8, 9, 25, 40)] == [2.0, 2.0, 3.0, 3.0, 3.0]


def test_jumps_every_50_ms_are_jumps():
    """Most blocks are out of step with those before, and none moves within itself."""
    n, every = 3 * RATE_HZ, 2400
    frame = np.arange(n)
    x = np.rint(0.5 * np.sin(OMEGA * (frame + 7 * (frame // every))) * 2**23)[:, None] / 2**23
    events = result(x).events
    assert {event.kind for event in events} == {Kind.SLIP}
    assert [event.start_frame for event in events] == pytest.approx(list(range(every, n, every)), abs=4)
