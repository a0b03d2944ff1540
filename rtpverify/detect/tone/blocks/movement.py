"""How much the tone of a line moves by itself: its process noise, learned from what it does.

A synthetic tone moves by no more than its noise explains. Clocks wander and flutter, converters drift, a codec moves
phase and level from block to block; none of that is a fault within the limits. Two things are learned of every line:
the mean square of the innovations of blocks in order (with a memory of :data:`MEMORY_SECONDS`, so that tails count as
they are), and the median movement of all its latest blocks, which holds even where most blocks depart.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.moves import MEDIAN_BLOCKS, Moves
from rtpverify.dsp.median import median
from rtpverify.dsp.sine import BlockFit, block_time

PREDICTOR_BLOCKS = 8
"""Blocks whose straight line predicts the phase of the next."""
MEMORY_SECONDS = 5.0
"""How long a movement is remembered: the period of a slow servo, and of the wander that an oven makes."""
RING_BLOCKS = 128
"""Blocks whose phasors are kept: what a scanner may lag by, and :data:`MEDIAN_BLOCKS` before."""
CLOCK_SECONDS = 2e-8
"""RMS by which a clock may err before a second has shown its own: 1.5 ppm of flutter at 4 Hz moves by 42 ns RMS."""
LEAST_WINDOWS = 24
"""Steps by lines of a length that a line has shown before one of them can show: half a second of them."""
_LEARNED = ("square", "power", "seen", "_waiting", "_waits")
_MEDIAN_Z = 0.6745
"""Median of the magnitude of a Gaussian, in deviations."""
_CURVATURE_FACTOR = math.sqrt(6.0)
"""Deviation of the second difference of independent values over that of one."""


def _predictor(n: int) -> NDArray[np.float64]:
    """Return the weights that carry the straight line through ``n`` points on to the next, shape (n,)."""
    t = block_time(n)
    return 1.0 / n + t * ((n + 1) / 2.0) / float(t @ t)


PREDICTOR = _predictor(PREDICTOR_BLOCKS)
PREDICTION_FACTOR = math.sqrt(1.0 + float(PREDICTOR @ PREDICTOR))
"""Deviation of a prediction's error over that of one block."""


@dataclass(frozen=True, slots=True)
class Innovations:
    """What new blocks of lines hold that those before do not predict.

    Attributes
    ----------
    square
        Of phase, level and offset off the straight lines through those before, and of steps of the phase in the midst
        of straight lines, as squares of the RMS of white noise that would make as much, shape (m, count, 3 + scales).
    counts
        1 where there are blocks enough for each of these, else 0; the same shape.
    noise
        Mean square of the residual over that of the line, shape (m, count).
    """

    square: NDArray[np.float64]
    counts: NDArray[np.float64]
    noise: NDArray[np.float64]


class Movement:
    """Process noise of all lines.

    Parameters
    ----------
    block_frames, sample_rate_hz
        Length of a block, and the rate.
    window
        Blocks of a second.

    Attributes
    ----------
    halves
        Blocks on either side of the steps that are looked for in the midst of straight lines.
    square
        Mean square of the innovations, shape (lines, 3 + scales): of phase, level and offset from block to block, then
        of the phase's steps by :attr:`halves`.
    power
        Mean square of the deviation of a block's noise power from the mean, relative, shape (lines,).
    seen
        Innovations that ``square`` rests on, shape (lines, 1 + scales); the memory at most.
    """

    def __init__(self, block_frames: int, sample_rate_hz: int, window: int) -> None:
        self.halves = tuple(sorted({half for half in (PREDICTOR_BLOCKS, window // 2) if 4 <= half <= window // 2}))
        self._block_frames = block_frames
        self._window = window
        self._memory = max(MEMORY_SECONDS * sample_rate_hz / block_frames, MEDIAN_BLOCKS)
        self._clock_frames = CLOCK_SECONDS * sample_rate_hz
        self.square = np.zeros((0, 3 + len(self.halves)))
        self.power = np.zeros(0)
        self.seen = np.zeros((0, 1 + len(self.halves)))
        self._waiting = np.zeros((0, max(self.halves, default=0), len(self.halves)))
        self._waits = np.zeros_like(self._waiting)
        self._ring = np.zeros((0, RING_BLOCKS, 6))
        self._block = np.zeros((0, RING_BLOCKS), np.int64)

    def grow(self, lines: int) -> None:
        """Add lines.

        Parameters
        ----------
        lines
            How many.
        """
        for name in ("square", "power", "seen", "_waiting", "_waits", "_ring"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros((lines, *array.shape[1:]), array.dtype)]))
        self._block = np.concatenate([self._block, np.full((lines, RING_BLOCKS), -1)])

    def of(self, lines: NDArray[np.int64]) -> Movement:
        """Return how these lines move, in that order and any number of times, apart from this and without medians.

        Parameters
        ----------
        lines
            The lines, shape (m,).

        Returns
        -------
        Movement
            Copies.
        """
        part = copy(self)
        for name in _LEARNED:
            setattr(part, name, getattr(self, name)[lines])
        return part

    def put(self, lines: NDArray[np.int64], other: Movement, rows: NDArray[np.int64]) -> None:
        """Take over what was learned elsewhere of lines: that of ``rows`` there.

        Parameters
        ----------
        lines
            The lines, shape (m,).
        other
            Where more was learned of them.
        rows
            Their rows there, shape (m,).
        """
        for name in _LEARNED:
            getattr(self, name)[lines] = getattr(other, name)[rows]

    def reset(self, line: int) -> None:
        """Forget a line, which becomes another one.

        Parameters
        ----------
        line
            The line.
        """
        self.square[line], self.power[line], self.seen[line], self._block[line] = 0.0, 0.0, 0.0, -1

    def record(
        self,
        lines: NDArray[np.int64],
        first_block: NDArray[np.int64],
        fit: BlockFit,
        whole: NDArray[np.bool_],
        noise: NDArray[np.float64],
    ) -> None:
        """Keep what all blocks of these lines hold, in order or not.

        Parameters
        ----------
        lines, first_block
            Lines, and the number of the first block of each, shape (m,).
        fit
            Fits of leading shape (m, count).
        whole
            Which blocks are there as a whole, shape (m, count).
        noise
            Mean square of what each fit leaves, shape (m, count).
        """
        block = first_block[:, None] + np.arange(whole.shape[1])
        at = lines[:, None], block % RING_BLOCKS
        slope = np.divide(fit.slope_z, fit.z, out=np.zeros_like(fit.z), where=fit.z != 0)
        self._ring[at] = np.stack([fit.z.real, fit.z.imag, slope.real, slope.imag, fit.dc, noise], axis=2)
        self._block[at] = np.where(whole, block, -1)

    def sigma_before(
        self, lines: NDArray[np.int64], new: Innovations, sigma: NDArray[np.float64], omega_level: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the RMS of white noise that moves phase, level, offset and steps as what came before each block.

        Parameters
        ----------
        lines
            The lines, shape (m,).
        new
            What the blocks hold that is new; each counts for those that follow it.
        sigma
            Noise of each line, shape (m,).
        omega_level
            Frequency times amplitude, full scale per frame, shape (m,).

        Returns
        -------
        NDArray[np.float64]
            Shape (m, count, 3 + scales).
        """
        square, counts = self._due(lines, new)
        earlier, count = np.zeros_like(square), np.zeros_like(square)
        np.cumsum(square[:, :-1], axis=1, out=earlier[:, 1:])
        np.cumsum(counts[:, :-1], axis=1, out=count[:, 1:])
        seen = self._seen_of_each(lines)[:, None]
        total = seen + count
        mean = np.divide(
            earlier + (seen * self.square[lines][:, None]), total, out=np.zeros_like(earlier), where=total > 0.0
        )
        np.maximum(mean, sigma[:, None, None] ** 2, out=mean)
        clock = (omega_level * self._clock_frames / PREDICTION_FACTOR) ** 2 * (self._block_frames / 2.0)
        mean[:, :, 0] += clock[:, None] * (total[:, :, 0] < self._window)
        # A step that is new by its own movement alone is none.
        mean[:, :, 3:][total[:, :, 3:] < LEAST_WINDOWS] = np.inf
        return np.sqrt(mean)

    def _due(self, lines: NDArray[np.int64], new: Innovations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what counts as known after each new block, and how often, shape (m, count, 3 + scales).

        A step is in all the lines that reach over it: these count once the lines in whose midst it may be have passed.
        """
        square, counts = new.square.copy(), new.counts.copy()
        longest, count = self._waiting.shape[1], square.shape[1]
        for scale, half in enumerate(self.halves):
            late = slice(longest - half, longest - half + count)
            for values, waiting in ((square, self._waiting[lines, :, scale]), (counts, self._waits[lines, :, scale])):
                values[:, :, 3 + scale] = np.concatenate([waiting, values[:, :, 3 + scale]], axis=1)[:, late]
        return square, counts

    def _seen_of_each(self, lines: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return on how many innovations each of ``square`` rests, shape (m, 3 + scales)."""
        return self.seen[lines][:, [0, 0, 0, *range(1, 1 + len(self.halves))]]

    def learn(self, lines: NDArray[np.int64], new: Innovations, kept: NDArray[np.bool_]) -> None:
        """Learn from the blocks that were ``kept``, the first so many of each line, shape (m, count).

        Parameters
        ----------
        lines
            The lines, shape (m,).
        new
            What the blocks hold that is new.
        kept
            The first so many of each line, shape (m, count).
        """
        each = kept[:, :, None]
        square, counts = self._due(lines, new)
        power = ((new.noise - 1.0) ** 2 * kept).sum(axis=1)
        self._add(lines, (square * each).sum(axis=1), (counts * each).sum(axis=1), power)
        newest = kept.sum(axis=1)[:, None] + np.arange(self._waiting.shape[1])
        at = np.arange(len(lines))[:, None]
        for store, values in ((self._waiting, new.square), (self._waits, new.counts)):
            store[lines] = np.concatenate([store[lines], values[:, :, 3:]], axis=1)[at, newest]

    def _add(
        self,
        lines: NDArray[np.int64],
        square: NDArray[np.float64],
        added: NDArray[np.float64],
        power: NDArray[np.float64],
    ) -> None:
        """Add sums over blocks to what lines have shown.

        Parameters
        ----------
        lines
            Lines, shape (m,).
        square, added
            Of the innovations, and how many they are, shape (m, 3 + scales).
        power
            Of the squared deviations of the noise power, shape (m,).
        """
        seen = self._seen_of_each(lines)
        total = np.maximum(seen + added, 1.0)
        weight = added[:, 0] / total[:, 0]
        self.square[lines] = (seen * self.square[lines] + square) / total
        self.power[lines] += weight * (power / np.maximum(added[:, 0], 1.0) - self.power[lines])
        self.seen[lines] += added[:, 2:]

    def foresee(self, rows: NDArray[np.int64], new: Innovations) -> None:
        """Write down what is known after each stretch of blocks if all of them are clean.

        As :meth:`learn` and :meth:`forget` would after each.

        Parameters
        ----------
        rows
            Rows at the beginning of each stretch and after the last, shape (m, stretches + 1); the first is known.
        new
            Of ``m * stretches`` lines, each a stretch.
        """
        m, count, blocks = len(rows), rows.shape[1] - 1, new.noise.shape[1]
        longest = self._waiting.shape[1]
        at = np.arange(count + 1)[:, None] * blocks + np.arange(longest)
        for store, values in ((self._waiting, new.square), (self._waits, new.counts)):
            steps = values[:, :, 3:].reshape(m, count * blocks, -1)
            store[rows] = np.concatenate([store[rows[:, 0]], steps], axis=1)[:, at]
        square, counts = (values.sum(axis=1) for values in self._due(rows[:, :-1].ravel(), new))
        power = ((new.noise - 1.0) ** 2).sum(axis=1)
        for before in range(count):
            here, after = rows[:, before], rows[:, before + 1]
            for values in (self.square, self.power, self.seen):
                values[after] = values[here]
            stretch = slice(before, None, count)
            self._add(after, square[stretch], counts[stretch], power[stretch])
            self.forget(after)

    def forget(self, lines: NDArray[np.int64]) -> None:
        """Let what was seen long ago count less.

        Parameters
        ----------
        lines
            The lines, shape (m,).
        """
        self.seen[lines] = np.minimum(self.seen[lines], self._memory)

    def lock(self, line: int, block: int) -> None:
        """Begin to check a line by blocks, from ``block`` on: it moves as most of those before.

        Parameters
        ----------
        line
            The line.
        block
            Number of its first block.
        """
        self._waits[line] = self._waiting[line] = 0.0
        phase, level, dc, power = self._medians(line, block)
        self.square[line, :3] = np.maximum(self.square[line, :3], np.square([phase, level, dc]))
        self.power[line] = max(self.power[line], power**2)
        if phase > 0.0:
            self.seen[line, 0] = max(self.seen[line, 0], MEDIAN_BLOCKS)

    def shown(self, line: int, omega: float) -> Moves:
        """Return how much a line of frequency ``omega``, rad per frame, moves, as its blocks in order have shown.

        Parameters
        ----------
        line
            The line.
        omega
            Its frequency, rad per frame.

        Returns
        -------
        Moves
            Its movement.
        """
        phase, level, dc, *steps = np.sqrt(self.square[line]).tolist()
        power, clock_rad = math.sqrt(self.power[line]), self._clock_frames * omega
        if self.seen[line, 0] >= self._window:
            clock_rad = 0.0
        return Moves((phase, *steps), level, dc, power, clock_rad, self.halves, self._block_frames)

    def moves(self, line: int, block: int, omega: float) -> Moves:
        """Return how much a line moves, as its blocks in order and most of those before ``block`` have shown.

        Parameters
        ----------
        line
            The line.
        block
            Number of its next block.
        omega
            Its frequency, rad per frame.

        Returns
        -------
        Moves
            Its movement.
        """
        shown, (phase, level, dc, power) = self.shown(line, omega), self._medians(line, block)
        return replace(
            shown,
            phase=(max(shown.phase[0], phase), *shown.phase[1:]),
            level=max(shown.level, level),
            dc=max(shown.dc, dc),
            power=max(shown.power, power),
        )

    def _medians(self, line: int, block: int) -> tuple[float, float, float, float]:
        """Return the movement of phase, level, offset and noise power of most blocks before ``block``; 0 if unknown."""
        at = np.arange(block - MEDIAN_BLOCKS, block) % RING_BLOCKS
        known = self._block[line, at] == np.arange(block - MEDIAN_BLOCKS, block)
        whole = known[2:] & known[1:-1] & known[:-2]
        if 2 * np.count_nonzero(whole) < MEDIAN_BLOCKS:
            return 0.0, 0.0, 0.0, 0.0
        real, imaginary, fade, turn, dc, noise = self._ring[line, at].T
        z = real + 1j * imaginary
        level = np.abs(z)
        advance = z[1:] * z[:-1].conj()
        bend = np.angle(advance[1:] * advance[:-1].conj())[whole]
        scale = math.sqrt(self._block_frames / 2.0) / _CURVATURE_FACTOR / _MEDIAN_Z
        middle = float(median(level[known]))
        # What moves from block to block moves within them; where something jumps now and then, most blocks are still.
        within = math.sqrt(self._block_frames**3 / 24.0) / _MEDIAN_Z * middle
        turns, fades = (float(median(np.abs(part - median(part)))) for part in (turn[known], fade[known]))
        phase_rms = min(float(median(np.abs(bend))) * scale * middle, turns * within)
        level_rms = min(float(median(np.abs(np.diff(level, 2)[whole]))) * scale, fades * within)
        dc_rms = float(median(np.abs(np.diff(dc, 2)[whole]))) * scale
        usual = float(median(noise[known]))
        spread = float(median(np.abs(noise[known] / usual - 1.0))) / _MEDIAN_Z if usual > 0.0 else 0.0
        return phase_rms, level_rms, dc_rms, spread
