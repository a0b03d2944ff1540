"""Where the monitor of a line has to be asked: level, offset, frequency and residual of its last second, at once.

The limits here are those of :mod:`.monitor` without its allowance for noise: whatever passes them is nothing to report,
and the rest is left to the monitor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.blocks.channel_models import Lines, NewBlocks, line_end
from rtpverify.detect.tone.blocks.movement import PREDICTOR_BLOCKS, Movement
from rtpverify.detect.tone.monitor import Monitor, Reading, bend_rms
from rtpverify.detect.tone.settings import Settings
from rtpverify.dsp.sine import block_time

LEAST_STEP_BLOCKS = 2
"""Blocks that have to lie on either side of a step."""


def step_position(values: NDArray[np.float64]) -> int | None:
    """Return the index of the first value after the best-fitting step; None where a straight line explains as much.

    Parameters
    ----------
    values
        Shape (n,).

    Returns
    -------
    int or None
        Index, at least 1.
    """
    n = len(values)
    if n < 2 * LEAST_STEP_BLOCKS:
        return None
    centred = values - values.mean()
    before = np.arange(LEAST_STEP_BLOCKS, n - LEAST_STEP_BLOCKS + 1)
    # What a step at each place takes off the sum of squares, and what a line does.
    explained = np.cumsum(centred)[before - 1] ** 2 * n / (before * (n - before))
    t = block_time(n)
    best = int(explained.argmax())
    return int(before[best]) if explained[best] > (centred @ t) ** 2 / float(t @ t) else None


@dataclass(frozen=True, slots=True)
class _Figures:
    """What the last blocks of each line show at the end of each new one, shape (m, count).

    Level, offset, residual and frequency are those of the last ``blocks``, level and offset also of the last
    ``recent`` ones.
    """

    blocks: NDArray[np.int64]
    recent: NDArray[np.int64]
    level: NDArray[np.float64]
    recent_level: NDArray[np.float64]
    dc: NDArray[np.float64]
    recent_dc: NDArray[np.float64]
    rms: NDArray[np.float64]
    omega: NDArray[np.float64]


def _figures(state: Lines, new: NewBlocks) -> _Figures:
    """Return what the last second shows at the end of each new block."""
    lines, count, n, window = new.lines, new.count, state.block_frames, state.window
    blocks = np.minimum(state.count[lines, None] + np.arange(1, count + 1), window)
    stop = window + np.arange(1, count + 1)
    at = np.arange(len(lines))[:, None]
    # One sum after another of everything that is asked for: of each figure the sum of its last so many blocks.
    sums = np.zeros((5, len(lines), window + count + 1))
    phase = new.phase - new.phase[:, -1:]  # keeps the sums small after hours of drift
    moment = phase * np.arange(window + count, dtype=np.float64)
    for values, figure in zip((new.amplitude, new.dc, new.power, phase, moment), sums, strict=True):
        np.cumsum(values, axis=1, out=figure[:, 1:])
    newest = sums[:, :, window + 1 :]
    total = newest - sums[:, at, stop - blocks]
    level, dc, rms = total[0] / blocks, total[1] / blocks, np.sqrt(total[2] / blocks)
    recent = np.minimum(blocks, PREDICTOR_BLOCKS)
    recent_level, recent_dc = (newest[:2] - sums[:2, at, stop - recent]) / recent
    middle = stop - (blocks + 1) / 2.0
    slope = 12.0 * (total[4] - middle * total[3]) / (blocks * (blocks**2 - 1.0))
    omega = state.omega[lines, None] + slope / n
    return _Figures(blocks, recent, level, recent_level, dc, recent_dc, rms, omega)


class LimitWatch:
    """Limits of all lines as arrays."""

    def __init__(self) -> None:
        self._departed = np.zeros(0, np.bool_)
        # Per line: reference level and how far it may be off, offset, frequency and how far off, residual (per
        # amplitude, absolute).
        self._limits = np.zeros((0, 7))
        # Per line: where the open departures of level, offset and residual began. They end with a later step.
        self._begun = np.zeros((0, 3), np.int64)

    def grow(self, lines: int) -> None:
        """Add lines.

        Parameters
        ----------
        lines
            How many.
        """
        self._departed = np.append(self._departed, np.zeros(lines, np.bool_))
        self._limits = np.concatenate([self._limits, np.full((lines, 7), math.nan)])
        self._begun = np.concatenate([self._begun, np.zeros((lines, 3), np.int64)])

    def reset(self, line: int) -> None:
        """Forget a line, which becomes another one.

        Parameters
        ----------
        line
            The line.
        """
        self._departed[line], self._limits[line], self._begun[line] = False, math.nan, 0

    def learn(self, line: int, settings: Settings, monitor: Monitor) -> None:
        """Write down what the monitor of a line holds now; a limit that is not known yet is always passed.

        Parameters
        ----------
        line
            The line.
        settings
            How it is checked.
        monitor
            Its monitor.
        """
        limits = settings.limits
        self._departed[line] = monitor.departed
        self._begun[line] = [monitor.begun(aspect) or 0 for aspect in ("level", "dc", "residual")]
        nominal_hz = monitor.nominal_hz if monitor.frequency_settled and monitor.nominal_hz else math.nan
        relative_residual = settings.residual_limit(1.0) if settings.residual_limit(0.0) == 0.0 else 0.0
        self._limits[line] = (
            monitor.level_reference if monitor.level_settled and monitor.level_reference else math.nan,
            10.0 ** (limits.max_level_change_db / 20.0) - 1.0,
            limits.max_dc_offset,
            2.0 * math.pi * nominal_hz / settings.sample_rate_hz,
            limits.max_frequency_error_ppm * 1e-6,
            relative_residual,
            settings.residual_limit(0.0),
        )

    def readings(
        self, state: Lines, movement: Movement, new: NewBlocks, clean_blocks: NDArray[np.int64]
    ) -> Iterator[tuple[int, Reading]]:
        """Yield what the monitors have to check, in order.

        Parameters
        ----------
        state
            What is known of all lines.
        movement
            How they move by themselves.
        new
            The blocks.
        clean_blocks
            How many of the new blocks of each line are clean, shape (m,).

        Yields
        ------
        tuple[int, Reading]
            The line, and its reading at the end of a clean block.
        """
        lines, n, window = new.lines, state.block_frames, state.window
        figures = _figures(state, new)
        suspicious = self._pass_limits(lines, figures)
        suspicious &= np.arange(new.count) < clean_blocks[:, None]
        blocks, recent = figures.blocks, figures.recent
        level, dc, rms, omega = figures.level, figures.dc, figures.rms, figures.omega

        for i, k in np.argwhere(suspicious).tolist():
            line, used = int(lines[i]), int(blocks[i, k]) * n
            last = int(k) + 1 + window

            level_begun, dc_begun, residual_begun = self._begun[line].tolist()

            def stepped(
                values: NDArray[np.float64], begun: int, i: int = i, last: int = last, used: int = used
            ) -> int | None:
                offset = int(new.first_block[i]) - window
                first = max(last - used // n, begun // n + 1 - offset if begun else 0)
                at = step_position(values[i, first:last])
                return None if at is None else (offset + first + at) * n

            yield (
                line,
                Reading(
                    start=int(new.first_block[i] + k + 1) * n - used,
                    frames=used,
                    amplitude=float(level[i, k]),
                    dc=float(dc[i, k]),
                    rms=float(rms[i, k]),
                    sigma=float(state.sigma[line]),
                    omega=float(omega[i, k]),
                    omega_frames=used,
                    recent_amplitude=float(figures.recent_level[i, k]),
                    recent_dc=float(figures.recent_dc[i, k]),
                    recent_frames=int(recent[i, k]) * n,
                    moves=movement.shown(line, float(omega[i, k])),
                    level_stepped=stepped(new.amplitude, level_begun),
                    dc_stepped=stepped(new.dc, dc_begun),
                    rms_stepped=stepped(new.power, residual_begun),
                    bend=bend_rms(*line_end(new.amplitude[i, k + 1 + window - int(recent[i, k]) : k + 1 + window])),
                ),
            )

    def any_pass(self, state: Lines, new: NewBlocks, lines: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether a monitor would have to be asked at any of the new blocks, shape (m,).

        Parameters
        ----------
        state, new
            What is known of stretches of lines, and their new blocks.
        lines
            The line that each of them is of, shape (m,).

        Returns
        -------
        NDArray[np.bool_]
            Whether one would.
        """
        return np.asarray(self._pass_limits(lines, _figures(state, new)).any(axis=1))

    def departed(self, lines: NDArray[np.int64]) -> bool:
        """Return whether a departure of any of these lines continues.

        Parameters
        ----------
        lines
            The lines, shape (m,).

        Returns
        -------
        bool
            Whether one does.
        """
        return bool(self._departed[lines].any())

    def _pass_limits(self, lines: NDArray[np.int64], figures: _Figures) -> NDArray[np.bool_]:
        """Return where a limit is passed or a departure continues, shape (lines, blocks)."""
        reference, level_limit, dc_limit, nominal, omega_limit, relative_residual, residual = self._limits[lines].T[
            :, :, None
        ]
        passed: NDArray[np.bool_] = ~(np.abs(figures.level / reference - 1.0) < level_limit)
        passed |= ~(np.abs(figures.recent_level / reference - 1.0) < level_limit)
        passed |= np.abs(figures.dc) > dc_limit
        passed |= np.abs(figures.recent_dc) > dc_limit
        passed |= ~(np.abs(figures.omega / nominal - 1.0) <= omega_limit)
        passed |= figures.rms > relative_residual * figures.level + residual
        passed |= self._departed[lines, None]
        return passed
