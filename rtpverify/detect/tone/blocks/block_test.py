"""New blocks of many lines, and whether each continues where those before ended.

A block is *steady* when phase, level, offset and noise are those that the blocks before predict, and *clean* when no
frame of it departs either. Steps too faint for single blocks show in the straight line through a second of phases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import BLOCK_Z, SMALLEST_NOISE
from rtpverify.detect.tone.blocks.channel_models import Lines, NewBlocks, line_end, line_ends
from rtpverify.detect.tone.blocks.movement import (
    PREDICTION_FACTOR,
    PREDICTOR,
    PREDICTOR_BLOCKS,
    Innovations,
    Movement,
)
from rtpverify.detect.tone.moves import Moves
from rtpverify.detect.tone.settings import noise_power_range
from rtpverify.detect.tone.steps import Step
from rtpverify.dsp.sine import CACHED_SAMPLES, MODEL_COLUMNS, BlockFit, Sine, block_time, fit_runs, tone_basis

Change = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Form of a change, by the points that it lies after."""


def _change_estimators(n: int, change: Change) -> NDArray[np.float64]:
    """Return the weights that measure a change at each of ``n`` points on a straight line, shape (n, n).

    Zero where there are too few points on one side of it.
    """
    t, point = block_time(n), np.arange(n, dtype=np.float64)
    weights = np.zeros((n, n))
    for at in range(PREDICTOR_BLOCKS // 2, n - PREDICTOR_BLOCKS // 2 + 1):
        weights[at] = np.linalg.pinv(np.array([np.ones(n), t, change(point - at)]))[:, 2]
    return weights


def _scored(estimators: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights that give what each change explains, as deviations of one point."""
    scored: NDArray[np.float64] = estimators / np.maximum(np.linalg.norm(estimators, axis=1), SMALLEST_NOISE)[:, None]
    return scored


DC_FACTOR = math.sqrt(1.0 + 1.0 / PREDICTOR_BLOCKS)
"""Deviation of an offset off the mean of those before over that of one block."""


_SURPRISE = (*(-PREDICTOR).tolist(), 1.0)
"""Weights that give how far a block is off the straight line through those before."""
_DC_SURPRISE = (*[-1.0 / PREDICTOR_BLOCKS] * PREDICTOR_BLOCKS, 1.0)
"""Weights that give how far an offset is off the mean of those before."""


@lru_cache(maxsize=256)
def _banded(weights: tuple[float, ...], known: int, count: int) -> NDArray[np.float64]:
    """Return the matrix that gives the weighted sum of the values up to each of the last ``count``.

    Of so many values as are ``known`` before, and these; shape (known + count, count).
    """
    matrix = np.zeros((known + count, count))
    for column in range(count):
        stop = known + column + 1
        matrix[stop - len(weights) : stop, column] = weights
    return matrix


def take_blocks(
    state: Lines,
    lines: NDArray[np.int64],
    x: NDArray[np.float64],
    valid: NDArray[np.bool_],
    first_block: NDArray[np.int64],
    due: NDArray[np.int64],
) -> NewBlocks:
    """Fit the first ``due`` blocks of locked lines.

    Parameters
    ----------
    state
        What is known of all lines.
    lines
        The lines, shape (m,).
    x
        Their frames, shape (m, count, n).
    valid
        Which of them are there, shape (m, count, n).
    first_block
        Number of the first block of each, shape (m,).
    due
        Blocks of each, shape (m,).

    Returns
    -------
    NewBlocks
        The fits, shape (m, count) each.
    """
    _, count, n = x.shape
    is_due = np.arange(count) < due[:, None]
    holes: NDArray[np.bool_] = np.logical_not(valid.all(axis=2)) & is_due
    frames = np.full(holes.shape, n)
    if holes.any():
        frames = np.count_nonzero(valid, axis=2)
        _fill(state, lines, x, valid, holes)
    return _fitted(state, lines, x, valid, first_block, due, is_due, holes, frames)


def take_whole_blocks(
    state: Lines, lines: NDArray[np.int64], x: NDArray[np.floating], first_block: NDArray[np.int64]
) -> NewBlocks:
    """Fit blocks of locked lines of which every frame is there.

    Parameters
    ----------
    state
        What is known of all lines.
    lines
        The lines, shape (m,).
    x
        Their frames, shape (m, count, n); only read.
    first_block
        Number of the first block of each, shape (m,).

    Returns
    -------
    NewBlocks
        The fits, shape (m, count) each.
    """
    m, count, n = x.shape
    every = np.broadcast_to(np.True_, x.shape)
    due, holes = np.full(m, count), np.zeros((m, count), np.bool_)
    return _fitted(state, lines, x, every, first_block, due, ~holes, holes, np.full((m, count), n))


def _fitted(
    state: Lines,
    lines: NDArray[np.int64],
    x: NDArray[np.floating],
    valid: NDArray[np.bool_],
    first_block: NDArray[np.int64],
    due: NDArray[np.int64],
    is_due: NDArray[np.bool_],
    holes: NDArray[np.bool_],
    frames: NDArray[np.int64],
) -> NewBlocks:
    """Return blocks with what a fit shows of them."""
    m, count, n = x.shape
    fit = fit_lines(state.omega[lines], x)
    rotation = np.exp(-1j * state.omega[lines] * n)
    before = np.concatenate([state.last_z[lines, None], fit.z[:, :-1]], axis=1)
    advance = np.angle(fit.z * before.conj() * rotation[:, None])
    phase = np.concatenate([state.phase[lines], np.zeros((m, count))], axis=1)
    phase[:, -count:] = phase[:, -count - 1][:, None] + np.cumsum(advance, axis=1)
    power = fit.square_sum / np.maximum(frames - MODEL_COLUMNS, 1)
    return NewBlocks(
        lines,
        first_block,
        due,
        x,
        valid,
        is_due,
        holes,
        frames,
        fit,
        phase,
        np.concatenate([state.amplitude[lines], np.abs(fit.z)], axis=1),
        np.concatenate([state.dc[lines], fit.dc], axis=1),
        np.concatenate([state.power[lines], power], axis=1),
    )


def fit_lines(omega: NDArray[np.float64], x: NDArray[np.floating]) -> BlockFit:
    """Fit all blocks; lines of one basis frequency that lie together go through one product of matrices.

    Parameters
    ----------
    omega
        Frequency of each line, rad per frame, shape (m,).
    x
        Their frames, shape (m, count, n).

    Returns
    -------
    BlockFit
        The fits, shape (m, count) each.
    """
    m, count, n = x.shape
    if not x.flags.c_contiguous:
        bases = [tone_basis(value, n) for value in omega.tolist()]
        return BlockFit.stacked([fit_runs(one, [(basis, count)]) for one, basis in zip(x, bases, strict=True)])
    order = np.argsort(omega, kind="stable")
    first = np.flatnonzero(np.diff(omega[order], prepend=-1.0))
    runs = np.diff(first, append=m) * count
    bases = [tone_basis(value, n) for value in omega[order[first]].tolist()]
    in_order = bool((np.diff(order) > 0).all())
    sorted_x = x if in_order else x[order]
    fit = fit_runs(sorted_x.reshape(m * count, n), list(zip(bases, runs.tolist(), strict=True))).reshape(m, count)
    return fit if in_order else fit.take(np.argsort(order))


def _fill(
    state: Lines, lines: NDArray[np.int64], x: NDArray[np.float64], valid: NDArray[np.bool_], holes: NDArray[np.bool_]
) -> None:
    """Put the expected tone where frames are missing, so that the rest of the block can still be checked."""
    n = state.block_frames
    for i, k in np.argwhere(holes).tolist():
        start = (k + 1) * n  # frames from the start of the last clean block
        hole = ~valid[i, k]
        x[i, k, hole] = state.sine(int(lines[i]), 1).at(start, start + n)[hole]


@dataclass(frozen=True, slots=True)
class BlockVerdicts:
    """Which new blocks are clean, and with which a step too faint for single blocks shows, shape (m, count).

    ``by`` is for each of these the scale at which it shows most, shape (m, count).
    """

    clean: NDArray[np.bool_]
    faint: NDArray[np.bool_]
    by: NDArray[np.int64]


class BlockTest:
    """Compares new blocks with those before.

    Parameters
    ----------
    movement
        How much each line moves by itself.
    window
        Blocks of a second.
    """

    def __init__(self, movement: Movement, window: int) -> None:
        self._movement = movement
        self._window = window
        self._weights: dict[int, NDArray[np.float64]] = {}
        self._steps = [FaintStep(2 * half) for half in movement.halves]
        self._needed = np.array([1, 1, 1, *(2 * half for half in movement.halves)], np.int64)
        self._factors = np.array(
            [PREDICTION_FACTOR, PREDICTION_FACTOR, DC_FACTOR, *(step.factor for step in self._steps)]
        )

    def innovations(self, state: Lines, new: NewBlocks) -> Innovations:
        """Return what the new blocks hold that those before do not predict.

        Parameters
        ----------
        state
            What is known of all lines.
        new
            The blocks.

        Returns
        -------
        Innovations
            Shape (m, count, 3 + scales).
        """
        lines, count, scales = new.lines, new.count, len(self._steps)
        off = np.empty((len(lines), count, 3 + scales))
        phases = (new.phase @ self._phase_weights(count)).reshape(len(lines), 1 + scales, count)
        off[:, :, 0], off[:, :, 3:] = phases[:, 0], phases[:, 1:].transpose(0, 2, 1)
        off[:, :, 1] = new.amplitude @ _banded(_SURPRISE, state.window, count)
        off[:, :, 2] = new.dc @ _banded(_DC_SURPRISE, state.window, count)
        level = state.amplitude[lines, -1][:, None]
        off[:, :, 0] *= level
        off[:, :, 3:] *= level[:, :, None]
        off *= math.sqrt(state.block_frames / 2.0) / self._factors
        blocks = state.count[lines, None] + np.arange(1, count + 1)
        counts = (blocks[:, :, None] >= self._needed).astype(np.float64)
        return Innovations(off * off * counts, counts, new.power[:, -count:] / state.sigma[lines, None] ** 2)

    def _phase_weights(self, count: int) -> NDArray[np.float64]:
        """Return the weights that give surprises, then steps by length, of the last ``count`` of the known phases."""
        if count not in self._weights:
            forms = [_SURPRISE, *(tuple(step.weights.tolist()) for step in self._steps)]
            self._weights[count] = np.concatenate([_banded(form, self._window, count) for form in forms], axis=1)
        return self._weights[count]

    def judge(self, state: Lines, movement: Movement, new: NewBlocks, found: Innovations) -> BlockVerdicts:
        """Return which blocks continue where those before ended, and with which a faint step of the phase shows.

        Parameters
        ----------
        state
            What is known of all lines.
        movement
            How they move by themselves.
        new
            The blocks.
        found
            What :meth:`innovations` returned of them.

        Returns
        -------
        BlockVerdicts
            Shape (m, count).
        """
        lines, n = new.lines, state.block_frames
        level = np.maximum(state.amplitude[lines, -1], SMALLEST_NOISE)
        limit = movement.sigma_before(lines, found, state.sigma[lines], state.omega[lines] * level)
        limit *= BLOCK_Z
        scale = math.sqrt(n / 2.0)
        # As white noise makes them, the innovations know no unit: so do what is below notice, or within half a limit.
        unnoticed = scale / PREDICTION_FACTOR * level
        np.maximum(limit[:, :, 0], (state.noticed_phase[lines] * unnoticed)[:, None], out=limit[:, :, 0])
        np.maximum(limit[:, :, 1], (state.half_level_limit[lines] * unnoticed)[:, None], out=limit[:, :, 1])
        np.maximum(limit[:, :, 2], (state.half_dc_limit[lines] * scale / DC_FACTOR)[:, None], out=limit[:, :, 2])
        within = found.square <= limit * limit
        rounding = state.sigma[lines] < state.rounding_sigma[lines]
        low, high = noise_power_range(n, np.where(rounding, 0.0, np.sqrt(movement.power[lines])))
        steady = within[:, :, :3].all(axis=2) & new.judgeable
        steady &= (found.noise > low[:, None]) & (found.noise < high[:, None])
        clean = steady & _peaks_fit(state, new, steady)
        return BlockVerdicts(clean, *self._faint_steps(state, new, found, limit[:, :, 3:], clean))

    def _faint_steps(
        self, state: Lines, new: NewBlocks, found: Innovations, limit: NDArray[np.float64], clean: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return with which clean blocks a step shows, and at which scale most."""
        if not self._steps:
            return np.zeros_like(clean), np.zeros(clean.shape, np.int64)
        lines = new.lines
        level = np.maximum(state.amplitude[lines, -1], SMALLEST_NOISE)
        least = (state.least_phase[lines] * level * math.sqrt(state.block_frames / 2.0))[:, None] / self._factors[3:]
        np.maximum(limit, least[:, None], out=limit)
        square = np.where(clean[:, :, None], found.square[:, :, 3:], 0.0)
        excess = square / (limit * limit)
        for i, k, scale in np.argwhere(excess > 1.0).tolist():
            if self._steps[scale].is_corner(new.phase[i, : k + 1 + state.window]):
                excess[i, k, scale] = 0.0
        return excess.max(axis=2) > 1.0, excess.argmax(axis=2)

    def faint_step(self, state: Lines, line: int, block: int, phase: NDArray[np.float64], scale: int) -> Step:
        """Return the step in the phases of the blocks up to ``block``, to be measured.

        Parameters
        ----------
        state
            What is known of all lines.
        line
            The line.
        block
            Number of the latest block.
        phase
            Phases of the latest blocks, rad, shape (n,).
        scale
            Which of the lengths of straight lines shows it.

        Returns
        -------
        Step
            Where one sine gives way to the other, as far as blocks show.
        """
        moves = self._movement.moves(line, block, float(state.omega[line]))
        return self._steps[scale].step(state, line, block, phase, moves)


def _peaks_fit(state: Lines, new: NewBlocks, steady: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return in which blocks no frame departs, shape (m, count).

    A block's own fit is least certain at its edges. Where it leaves a little more than the threshold, the sine of
    the latest blocks together decides.
    """
    lines, fit, n = new.lines, new.fit, state.block_frames
    fits: NDArray[np.bool_] = fit.peak <= state.threshold[lines, None]
    margin = 6.0 * state.sigma[lines] * math.sqrt(8.0 / n)
    close = steady & ~fits & (fit.peak <= (state.threshold[lines] + margin)[:, None])
    i, k = np.nonzero(close)
    if len(i):
        newest = state.window + 1 - PREDICTOR_BLOCKS + k[:, None] + np.arange(PREDICTOR_BLOCKS)
        at = i[:, None]
        last_phase, bend = line_ends(new.phase[at, newest])
        level, slope = line_ends(new.amplitude[at, newest])
        angle = np.angle(fit.z[i, k]) + last_phase - new.phase[i, newest[:, -1]]
        z = level * np.exp(1j * angle)
        # To first order in the block, as the fit itself.
        slope_z = z * (slope / level + 1j * bend) / n
        dc = new.dc[at, newest].mean(axis=1)
        model = np.stack([z.real, -z.imag, dc, slope_z.real, -slope_z.imag], axis=1)
        fits[i, k] = _largest_left(new, i, k, model, state.omega[lines[i]]) <= state.threshold[lines[i]]
    return fits


def _largest_left(
    new: NewBlocks,
    i: NDArray[np.intp],
    k: NDArray[np.intp],
    model: NDArray[np.float64],
    omegas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the largest deviation of blocks ``i, k`` from the models of these frequencies, a few blocks at a time."""
    peak = np.empty(len(i))
    rows = max(1, CACHED_SAMPLES // new.fit.n)
    for omega in np.unique(omegas).tolist():
        columns = tone_basis(omega, new.fit.n).columns[:MODEL_COLUMNS]
        same = np.flatnonzero(omegas == omega)
        for start in range(0, len(same), rows):
            part = same[start : start + rows]
            left = model[part] @ columns
            np.subtract(new.samples(i[part], k[part]), left, out=left)
            if new.holes[i[part], k[part]].any():
                left[~new.valid[i[part], k[part]]] = 0.0
            peak[part] = np.maximum(left.max(axis=1), -left.min(axis=1))
    return peak


class FaintStep:
    """Steps of the phase too faint for single blocks.

    A straight line with a step in its middle is laid through the latest phases. The middle is examined because there a
    constant change of the frequency has no part in the step. Where one is found, it lies where the line with a step
    leaves least.

    Parameters
    ----------
    blocks
        Through how many phases.

    Attributes
    ----------
    weights
        They give the step in the midst of so many phases, shape (blocks,).
    factor
        Deviation of a step over that of the phase of one block.
    """

    def __init__(self, blocks: int) -> None:
        estimators = _change_estimators(blocks, lambda t: (t >= 0.0).astype(np.float64))
        self._blocks = blocks
        self.weights: NDArray[np.float64] = estimators[blocks // 2]
        self.factor = float(np.linalg.norm(self.weights))
        self._steps = _scored(estimators)
        self._corners = _scored(_change_estimators(blocks, lambda t: np.maximum(t + 0.5, 0.0)))

    def is_corner(self, phase: NDArray[np.float64]) -> bool:
        """Return whether the phases of the latest blocks show a change of the frequency rather than a step.

        Parameters
        ----------
        phase
            Phases of the latest blocks, rad, shape (n,).

        Returns
        -------
        bool
            Whether they do.
        """
        phase = phase[-self._blocks :]
        return float(np.abs(self._corners @ phase).max()) > float(np.abs(self._steps @ phase).max())

    def step(self, state: Lines, line: int, block: int, phase: NDArray[np.float64], moves: Moves) -> Step:
        """Return the step in the phases of the blocks up to ``block``, to be measured.

        Parameters
        ----------
        state
            What is known of all lines.
        line
            The line.
        block
            Number of the latest block.
        phase
            Phases of the latest blocks, rad, shape (n,).
        moves
            How much the line moves by itself.

        Returns
        -------
        Step
            Where one sine gives way to the other, as far as blocks show.
        """
        n, phase = state.block_frames, phase[-self._blocks :]
        at = int(np.abs(self._steps @ phase).argmax())
        frame = (block + 1 - self._blocks + at) * n
        last, bend = line_end(phase[:at])
        # The phasor of the last block before ``block`` belongs to the last but one of these phases.
        angle = float(np.angle(state.last_z[line])) + last - float(phase[-2])
        turns = float(state.omega[line]) * n * (self._blocks - 1 - at)
        before = Sine(
            float(state.omega[line]) + bend / n,
            frame - (n + 1) / 2.0,
            angle - turns,
            float(state.amplitude[line].mean()),
            float(state.dc[line].mean()),
        )
        sigma, least_phase = float(state.sigma[line]), float(state.least_phase[line])
        return Step(frame, frame - at * n, frame, frame, before, sigma, least_phase, moves)
