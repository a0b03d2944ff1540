"""What is known of every locked line: its latest blocks, noise and thresholds, as arrays over all lines.

A *line* is one channel of one stream: line ``row * channels + channel``. Phases are kept relative to the rotation of
the line's basis frequency from block to block, so that nothing loses precision however long a stream runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import SMALLEST_NOISE
from rtpverify.detect.tone.blocks.movement import PREDICTOR_BLOCKS
from rtpverify.detect.tone.settings import Settings
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.levels import DB_PER_NEPER
from rtpverify.dsp.sine import BlockFit, Sine, block_time, wrap_phase

SEED_BLOCKS = 2
"""Quiet blocks that a line begins with."""


def line_ends(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the straight line through each row of values at its last point, and its slope, shape (rows,) each.

    Parameters
    ----------
    values
        Shape (rows, n).

    Returns
    -------
    end : NDArray[np.float64]
        Value at the last point, shape (rows,).
    slope : NDArray[np.float64]
        For each point, shape (rows,).
    """
    t = block_time(values.shape[1])
    slope = values @ t / float(t @ t)
    return values.mean(axis=1) + slope * float(t[-1]), slope


def line_end(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the straight line through values at its last point, and its slope.

    Parameters
    ----------
    values
        Shape (n,).

    Returns
    -------
    end : float
        Value at the last point.
    slope : float
        For each point.
    """
    end, slope = line_ends(values[None])
    return float(end[0]), float(slope[0])


@dataclass(frozen=True, slots=True)
class NewBlocks:
    """Blocks of ``m`` locked lines, ``count`` at most of each, and what a fit says of them.

    Attributes
    ----------
    lines, first_block, due
        Lines, the number of the first block of each, and how many blocks of each are there, shape (m,).
    x, valid
        Frames and which of them are there, shape (m, count, n); frames that are not hold the expected tone. Where
        lines are ``stretches`` of fewer ones, those of each line lie one after another: (m / stretches, …, n).
    is_due, holes
        Which blocks are there, and in which of them frames are missing, shape (m, count).
    frames
        Valid frames of each block, shape (m, count).
    fit
        Fits of leading shape (m, count).
    phase, amplitude, dc, power
        As in :class:`Lines`, with the new blocks after those that are remembered, shape (m, window + count).
    """

    lines: NDArray[np.int64]
    first_block: NDArray[np.int64]
    due: NDArray[np.int64]
    x: NDArray[np.floating]
    valid: NDArray[np.bool_]
    is_due: NDArray[np.bool_]
    holes: NDArray[np.bool_]
    frames: NDArray[np.int64]
    fit: BlockFit
    phase: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    dc: NDArray[np.float64]
    power: NDArray[np.float64]
    stretches: int = 1

    def samples(self, i: NDArray[np.intp], k: NDArray[np.intp]) -> NDArray[np.floating]:
        """Return the frames of blocks ``k`` of lines ``i``, shape (len(i), n).

        Parameters
        ----------
        i
            Which of the lines, shape (k,).
        k
            Which of their blocks, shape (k,).

        Returns
        -------
        NDArray[np.floating]
            Full scale ±1.0.
        """
        part: NDArray[np.floating] = self.x[i // self.stretches, i % self.stretches * self.count + k]
        return part

    @property
    def count(self) -> int:
        """Blocks of the line that has most."""
        return len(self.is_due[0])

    @property
    def judgeable(self) -> NDArray[np.bool_]:
        """Blocks that are there, at least half of them, shape (m, count)."""
        judgeable: NDArray[np.bool_] = self.is_due & (self.frames >= self.fit.n // 2)
        return judgeable


_COLUMNS = (
    "locked",
    "omega",
    "last_z",
    "phase",
    "amplitude",
    "dc",
    "power",
    "count",
    "sigma",
    "peak",
    "threshold",
    "least_phase",
    "noticed_phase",
    "half_level_limit",
    "half_dc_limit",
    "rounding_sigma",
)


class Lines:
    """State of all lines; every array has one row for each.

    Parameters
    ----------
    block_frames
        Length of a block.
    window
        Blocks that are remembered: a second, at least ``PREDICTOR_BLOCKS``.

    Attributes
    ----------
    locked
        Whether the line is checked block by block; what follows holds only where it is.
    omega
        Basis frequency, rad per frame.
    last_z
        Phasor of the last clean block.
    phase, amplitude, dc, power
        Of the latest clean blocks, shape (lines, window): phase relative to the basis, rad; amplitude, offset and mean
        square of the residual, full scale ±1.0.
    count
        Clean blocks since the line was locked.
    sigma, peak, threshold
        RMS and largest value of the residual, and the deviation that no clean frame reaches.
    least_phase, noticed_phase
        Phase step, rad, below which nothing is reported, and that by which a block may be off unnoticed.
    half_level_limit, half_dc_limit
        Half the limits: of a relative change of level, and of the offset.
    rounding_sigma
        RMS up to which the residual is that of rounding without dither; 0 where there is no quantiser.
    """

    def __init__(self, block_frames: int, window: int) -> None:
        self.block_frames = block_frames
        self.window = window
        self.locked = np.zeros(0, np.bool_)
        self.omega = np.zeros(0)
        self.last_z = np.zeros(0, np.complex128)
        self.phase = np.zeros((0, window))
        self.amplitude = np.zeros((0, window))
        self.dc = np.zeros((0, window))
        self.power = np.zeros((0, window))
        self.count = np.zeros(0, np.int64)
        self.sigma = np.zeros(0)
        self.peak = np.zeros(0)
        self.threshold = np.zeros(0)
        self.least_phase = np.zeros(0)
        self.noticed_phase = np.zeros(0)
        self.half_level_limit = np.zeros(0)
        self.half_dc_limit = np.zeros(0)
        self.rounding_sigma = np.zeros(0)

    def of(self, lines: NDArray[np.int64]) -> Lines:
        """Return what is known of these lines, in that order and any number of times, apart from this.

        Parameters
        ----------
        lines
            The lines, shape (m,).

        Returns
        -------
        Lines
            Copies.
        """
        part = Lines(self.block_frames, self.window)
        for name in _COLUMNS:
            setattr(part, name, getattr(self, name)[lines])
        return part

    def put(self, lines: NDArray[np.int64], other: Lines, rows: NDArray[np.int64]) -> None:
        """Take over what is known elsewhere of lines: that of ``rows`` there.

        Parameters
        ----------
        lines
            The lines, shape (m,).
        other
            Where more is known of them.
        rows
            Their rows there, shape (m,).
        """
        for name in _COLUMNS:
            getattr(self, name)[lines] = getattr(other, name)[rows]

    def add(self, settings: list[Settings]) -> None:
        """Add lines, not locked.

        Parameters
        ----------
        settings
            How each of them is checked.
        """
        n = len(settings)
        for name in (
            "locked",
            "last_z",
            "count",
            "omega",
            "sigma",
            "peak",
            "threshold",
            "least_phase",
            "noticed_phase",
        ):
            array = getattr(self, name)
            setattr(self, name, np.append(array, np.zeros(n, array.dtype)))
        for name in ("phase", "amplitude", "dc", "power"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros((n, self.window))]))
        level_limits = [item.limits.max_level_change_db / DB_PER_NEPER / 2.0 for item in settings]
        self.half_level_limit = np.append(self.half_level_limit, level_limits)
        self.half_dc_limit = np.append(self.half_dc_limit, [item.limits.max_dc_offset / 2.0 for item in settings])
        self.rounding_sigma = np.append(self.rounding_sigma, [item.rounding_sigma for item in settings])

    def reset(self, line: int, settings: Settings) -> None:
        """Make a line that is not needed any more another one, not locked.

        Parameters
        ----------
        line
            The line.
        settings
            How it is checked.
        """
        self.locked[line] = False
        self.half_level_limit[line] = settings.limits.max_level_change_db / DB_PER_NEPER / 2.0
        self.half_dc_limit[line] = settings.limits.max_dc_offset / 2.0
        self.rounding_sigma[line] = settings.rounding_sigma

    def lock(self, line: int, track: Track, block: int, seed: BlockFit) -> None:
        """Take a line over from a track that is undisturbed up to ``block``.

        Parameters
        ----------
        line
            The line.
        track
            The track.
        block
            Number of its next block.
        seed
            Fits of its last blocks.
        """
        n, model = self.block_frames, track.model
        self.omega[line] = model.omega
        self.last_z[line] = seed.z[-1]
        # Blocks before the seed are taken from the track's model.
        middles = (block - 1) * n + (n - 1) / 2.0 + np.arange(1 - self.window, 1) * n
        self.phase[line] = 0.0
        self.phase[line, -1] = wrap_phase(float(np.angle(seed.z[1] * np.conj(seed.z[0]))) - model.omega * n)
        self.amplitude[line] = model.amplitude * (1.0 + model.slope * (middles - model.anchor))
        self.amplitude[line, -SEED_BLOCKS:] = np.abs(seed.z)
        self.dc[line] = model.dc
        self.dc[line, -SEED_BLOCKS:] = seed.dc
        self.power[line] = track.sigma**2
        self.count[line] = SEED_BLOCKS
        self.sigma[line] = track.sigma
        self.peak[line] = 0.0
        self.threshold[line] = track.threshold
        self.least_phase[line], self.noticed_phase[line] = track.least_phase, track.noticed_phase
        self.locked[line] = True

    def known_blocks(self, line: int) -> int:
        """Return how many clean blocks are remembered.

        Parameters
        ----------
        line
            The line.

        Returns
        -------
        int
            Blocks.
        """
        return min(int(self.count[line]), self.window)

    def sine(self, line: int, block: int) -> Sine:
        """Return the sine of a line whose last clean block is the one before ``block``.

        Phase and level are the straight lines through those of the latest blocks.

        Parameters
        ----------
        line
            The line.
        block
            Number of its next block.

        Returns
        -------
        Sine
            With the phase at the first frame of that block.
        """
        n = self.block_frames
        newest = slice(self.window - PREDICTOR_BLOCKS, None)
        phase = self.phase[line, newest]
        last_phase, bend = line_end(phase)
        level, slope = line_end(self.amplitude[line, newest])
        angle = float(np.angle(complex(self.last_z[line]))) + last_phase - float(phase[-1])
        dc = float(self.dc[line, newest].mean())
        sine = Sine(float(self.omega[line]) + bend / n, (n - 1) / 2.0, angle, level, dc, slope / n / level)
        return replace(sine, anchor=sine.anchor + (block - 1) * n)

    def renew_noise(self, line: int, settings: Settings) -> None:
        """Renew noise and threshold from the last second.

        Parameters
        ----------
        line
            The line.
        settings
            How it is checked.
        """
        sigma = math.sqrt(float(self.power[line, -self.known_blocks(line) :].mean()))
        self.sigma[line] = max(sigma, SMALLEST_NOISE)
        self.threshold[line] = settings.frame_threshold(sigma, float(self.peak[line]))

    def go_on(self, new: NewBlocks, clean_blocks: NDArray[np.int64], kept: NDArray[np.bool_]) -> None:
        """Continue from the last clean block of each line.

        Parameters
        ----------
        new
            The new blocks.
        clean_blocks, kept
            How many of them are clean, shape (m,), and which, shape (m, count).
        """
        lines = new.lines
        newest = clean_blocks[:, None] + np.arange(self.window)
        at = np.arange(len(lines))[:, None]
        self.phase[lines] = new.phase[at, newest]
        self.amplitude[lines] = new.amplitude[at, newest]
        self.dc[lines] = new.dc[at, newest]
        self.power[lines] = new.power[at, newest]
        self.count[lines] += clean_blocks
        self.last_z[lines] = np.where(clean_blocks > 0, new.fit.z[at[:, 0], clean_blocks - 1], self.last_z[lines])
        # What a block's own fit leaves beyond the threshold, the latest blocks together do not.
        peak = np.minimum(np.where(kept, new.fit.peak, 0.0).max(axis=1), self.threshold[lines])
        self.peak[lines] = np.maximum(self.peak[lines], peak)
