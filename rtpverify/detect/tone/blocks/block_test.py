"""New blocks of many lines, and whether each goes on where those before left off.

A block is *steady* when phase, level, offset and noise are those that the blocks before predict, and *clean* when no
frame of it departs either. Steps too faint for single blocks show in the straight line through a second of phases.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import SMALLEST_NOISE
from rtpverify.detect.tone.blocks.channel_models import PREDICTOR_BLOCKS, Lines, NewBlocks, line_end, line_ends
from rtpverify.detect.tone.settings import noise_power_range
from rtpverify.detect.tone.steps import Step
from rtpverify.dsp.sine import MODEL_COLUMNS, BlockFit, Sine, block_time, fit_runs, tone_basis
from rtpverify.dsp.slip import FALSE_ALARM_Z


def _predictor(n: int) -> NDArray[np.float64]:
    """Return the weights that carry the straight line through ``n`` points on to the next, shape (n,)."""
    t = block_time(n)
    return 1.0 / n + t * ((n + 1) / 2.0) / float(t @ t)


def _step_estimators(n: int) -> NDArray[np.float64]:
    """Return the weights that measure a step at each of ``n`` points on a straight line, shape (n, n).

    Zero where there are too few points on one side of the step.
    """
    t = block_time(n)
    weights = np.zeros((n, n))
    for at in range(PREDICTOR_BLOCKS // 2, n - PREDICTOR_BLOCKS // 2 + 1):
        weights[at] = np.linalg.pinv(np.array([np.ones(n), t, np.arange(n) >= at]))[:, 2]
    return weights


_WEIGHTS = _predictor(PREDICTOR_BLOCKS)
_PREDICTION_FACTOR = math.sqrt(1.0 + float(_WEIGHTS @ _WEIGHTS))
"""Deviation of a prediction's error over that of one block."""


def take_blocks(
    state: Lines,
    lines: NDArray[np.int64],
    x: NDArray[np.float64],
    valid: NDArray[np.bool_],
    first_block: NDArray[np.int64],
    due: NDArray[np.int64],
) -> NewBlocks:
    """Fit the first ``due`` blocks of locked lines; ``x`` and ``valid`` have shape (m, count, n)."""
    m, count, n = x.shape
    is_due = np.arange(count) < due[:, None]
    holes: NDArray[np.bool_] = np.logical_not(valid.all(axis=2)) & is_due
    frames = np.full((m, count), n)
    if holes.any():
        frames = np.count_nonzero(valid, axis=2)
        _fill(state, lines, x, valid, holes)
    fit = _fit(state.omega[lines], x)
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


def _fit(omega: NDArray[np.float64], x: NDArray[np.float64]) -> BlockFit:
    """Fit all blocks; lines of one basis frequency go through one product of matrices."""
    m, count, n = x.shape
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
    """Put the expected tone where frames are missing, so that the rest of the block can still be judged."""
    n = state.block_frames
    for i, k in np.argwhere(holes).tolist():
        start = (k + 1) * n  # frames from the start of the last clean block
        hole = ~valid[i, k]
        x[i, k, hole] = state.sine(int(lines[i]), 1).at(start, start + n)[hole]


def are_clean(state: Lines, new: NewBlocks) -> NDArray[np.bool_]:
    """Tell which blocks go on where those before left off, and hold no frame that departs, shape (m, count)."""
    steady = _are_steady(state, new) & new.judgeable
    return steady & _peaks_fit(state, new, steady)


def _are_steady(state: Lines, new: NewBlocks) -> NDArray[np.bool_]:
    """Tell in which blocks phase, level, offset and noise are those that the blocks before predict."""
    lines, count, window = new.lines, new.count, state.window
    sigma, level = state.sigma[lines, None], state.amplitude[lines, -1][:, None]
    spread = FALSE_ALARM_Z * sigma * math.sqrt(2.0 / state.block_frames)
    first = window - PREDICTOR_BLOCKS

    def before(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the blocks that precede each new block, shape (m, count, PREDICTOR_BLOCKS)."""
        return np.lib.stride_tricks.sliding_window_view(values[:, first:-1], PREDICTOR_BLOCKS, axis=1)

    surprise = np.abs(new.phase[:, window:] - before(new.phase) @ _WEIGHTS)
    steady: NDArray[np.bool_] = surprise <= np.maximum(
        _PREDICTION_FACTOR * spread / level, state.noticed_phase[lines, None]
    )
    mean_spread = spread * math.sqrt(1.0 + 1.0 / PREDICTOR_BLOCKS)
    level_change = np.abs(new.amplitude[:, window:] - before(new.amplitude) @ _WEIGHTS)
    steady &= level_change <= np.maximum(_PREDICTION_FACTOR * spread, state.half_level_limit[lines, None] * level)
    dc_change = np.abs(new.dc[:, window:] - before(new.dc).mean(axis=2))
    steady &= dc_change <= np.maximum(mean_spread, state.half_dc_limit[lines, None])
    ratio = new.power[:, -count:] / sigma**2
    low, high = noise_power_range(state.block_frames)
    steady &= (ratio > low) & (ratio < high)
    return steady


def _peaks_fit(state: Lines, new: NewBlocks, steady: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell in which blocks no frame departs, shape (m, count).

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
        omegas = state.omega[lines[i]]
        residual = new.x[i, k]
        for omega in np.unique(omegas).tolist():
            same = omegas == omega
            residual[same] -= model[same] @ tone_basis(omega, n).columns[:MODEL_COLUMNS]
        if new.holes[i, k].any():
            residual[~new.valid[i, k]] = 0.0
        peak = np.maximum(residual.max(axis=1), -residual.min(axis=1))
        fits[i, k] = peak <= state.threshold[lines[i]]
    return fits


class FaintSteps:
    """Steps of the phase too faint for single blocks.

    A straight line with a step in its middle is laid through the last second of phases. The middle is looked at because
    there a constant change of the frequency has no part in the step. Where one is found, it lies where the line with a
    step leaves least.

    Parameters
    ----------
    window
        Blocks of a second.
    """

    def __init__(self, window: int) -> None:
        estimators = _step_estimators(window)
        self._weights: NDArray[np.float64] = estimators[window // 2]
        self._factor = float(np.linalg.norm(self._weights))
        self._scores = estimators / np.maximum(np.linalg.norm(estimators, axis=1), SMALLEST_NOISE)[:, None]

    def find(self, state: Lines, new: NewBlocks) -> NDArray[np.bool_]:
        """Tell with which blocks a step in the middle of the last second stands out of the noise, (m, count)."""
        lines, count = new.lines, new.count
        known: NDArray[np.bool_] = state.count[lines, None] + np.arange(1, count + 1) >= state.window
        if not known.any():
            return known
        windows = np.lib.stride_tricks.sliding_window_view(new.phase[:, 1:], state.window, axis=1)
        step = np.abs(windows @ self._weights)
        level = np.maximum(new.amplitude[:, -count:], SMALLEST_NOISE)
        deviation = state.sigma[lines, None] / level * math.sqrt(2.0 / state.block_frames) * self._factor
        return known & (step > np.maximum(FALSE_ALARM_Z * deviation, state.least_phase[lines, None]))

    def step(self, state: Lines, line: int, block: int, phase: NDArray[np.float64]) -> Step:
        """Return the step in the phases of the blocks up to ``block``, to be measured."""
        n, at = state.block_frames, int(np.abs(self._scores @ phase).argmax())
        frame = (block + 1 - state.window + at) * n
        last, bend = line_end(phase[:at])
        # The phasor of the last block before ``block`` belongs to the last but one of these phases.
        angle = float(np.angle(state.last_z[line])) + last - float(phase[-2])
        turns = float(state.omega[line]) * n * (state.window - 1 - at)
        before = Sine(
            float(state.omega[line]) + bend / n,
            frame - (n + 1) / 2.0,
            angle - turns,
            float(state.amplitude[line].mean()),
            float(state.dc[line].mean()),
        )
        sigma, least_phase = float(state.sigma[line]), float(state.least_phase[line])
        return Step(frame, frame - at * n, frame, frame, before, sigma, least_phase)
