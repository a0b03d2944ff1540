"""What the steady part of each channel measures: sums over clean blocks, in bounded memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.settings import Settings
from rtpverify.dsp.levels import FULL_SCALE_SINE_RMS, dbfs, decibels
from rtpverify.dsp.sine import MAX_HARMONIC, MODEL_COLUMNS, BlockFit, Sine
from rtpverify.result import Signal

_ORDERS = np.arange(2, MAX_HARMONIC + 1)


def turned_harmonics(fit: BlockFit) -> NDArray[np.complex128]:
    """Return the harmonics of blocks with the phase of the fundamental taken out, one axis more than ``fit``.

    They add up over blocks, while noise averages away.

    Parameters
    ----------
    fit
        The blocks.

    Returns
    -------
    NDArray[np.complex128]
        Complex amplitudes, shape of the fit and one axis more.
    """
    amplitude = np.abs(fit.z)
    unit = np.divide(fit.z.conj(), amplitude, out=np.zeros_like(fit.z), where=amplitude > 0)
    turned: NDArray[np.complex128] = fit.harmonics * unit[..., None] ** _ORDERS
    return turned


class Measurements:
    """Sums over the clean blocks of every line.

    The frequency is the slope of the straight line through the phases of each undisturbed run of blocks, runs weighted
    by what they show (the inverse of the variance, n³ - n for n blocks). Harmonics are summed with the phase of the
    fundamental taken out, so that noise averages away.
    """

    def __init__(self) -> None:
        self._sums = np.zeros((0, 5))  # blocks, amplitude², offset, residual², frames
        self._harmonics = np.zeros((0, MAX_HARMONIC - 1), np.complex128)
        self._stretch_start = np.zeros((0, MAX_HARMONIC), np.complex128)  # blocks and harmonics before it
        self._stretch_harmonics = np.zeros(0)  # power of those of the last whole stretch; NaN before the end of one
        self._run = np.zeros((0, 3))  # blocks, sum of phase, sum of index times phase
        self._run_omega = np.zeros(0)
        self._omega = np.zeros((0, 2))  # weight, weighted angular frequency
        self._block = 0

    def grow(self, lines: int) -> None:
        """Add lines.

        Parameters
        ----------
        lines
            How many.
        """
        self._sums = np.concatenate([self._sums, np.zeros((lines, 5))])
        self._harmonics = np.concatenate([self._harmonics, np.zeros((lines, MAX_HARMONIC - 1))])
        self._stretch_start = np.concatenate([self._stretch_start, np.zeros((lines, MAX_HARMONIC))])
        self._stretch_harmonics = np.append(self._stretch_harmonics, np.full(lines, np.nan))
        self._run = np.concatenate([self._run, np.zeros((lines, 3))])
        self._run_omega = np.append(self._run_omega, np.zeros(lines))
        self._omega = np.concatenate([self._omega, np.zeros((lines, 2))])

    def reset(self, line: int) -> None:
        """Forget a line, which becomes another one.

        Parameters
        ----------
        line
            The line.
        """
        for sums in (self._sums, self._harmonics, self._stretch_start, self._run, self._run_omega, self._omega):
            sums[line] = 0.0
        self._stretch_harmonics[line] = np.nan

    def begin(self, lines: NDArray[np.int64]) -> None:
        """Begin an undisturbed run of blocks on these lines.

        Parameters
        ----------
        lines
            The lines, shape (m,).
        """
        self._run[lines] = 0.0
        self._begin_stretch(lines)
        self._stretch_harmonics[lines] = np.nan

    def renew_harmonics(self, lines: NDArray[np.int64]) -> None:
        """End a stretch of blocks whose harmonics are measured together, and begin the next.

        Parameters
        ----------
        lines
            The lines, shape (m,).
        """
        self._stretch_harmonics[lines] = self._harmonics_since(lines)
        self._begin_stretch(lines)

    def latest_harmonics(self, lines: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the sum of the squared amplitudes of harmonics in the last whole stretch of each line.

        In the run so far, where there was none; NaN where no block is measured.

        Parameters
        ----------
        lines
            The lines, shape (m,).

        Returns
        -------
        NDArray[np.float64]
            Full scale ±1.0 squared, shape (m,).
        """
        latest = self._stretch_harmonics[lines]
        return np.where(np.isnan(latest), self._harmonics_since(lines), latest)

    def _begin_stretch(self, lines: NDArray[np.int64]) -> None:
        self._stretch_start[lines, 0] = self._sums[lines, 0]
        self._stretch_start[lines, 1:] = self._harmonics[lines]

    def _harmonics_since(self, lines: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the power of the mean harmonics since the present stretch began; NaN where no block is of it."""
        before = self._stretch_start[lines]
        blocks = self._sums[lines, 0] - before[:, 0].real
        power = np.sum(np.abs(self._harmonics[lines] - before[:, 1:]) ** 2, axis=1)
        mean: NDArray[np.float64] = np.divide(power, blocks**2, out=np.full(len(lines), np.nan), where=blocks > 0)
        return mean

    def add(
        self,
        lines: NDArray[np.int64],
        omega: NDArray[np.float64],
        fit: BlockFit,
        phase: NDArray[np.float64],
        frames: NDArray[np.int64],
        kept: NDArray[np.bool_],
    ) -> None:
        """Add blocks that continue where the run's blocks before ended.

        Parameters
        ----------
        lines, omega
            Lines and the basis frequency of each, rad per frame, shape (m,).
        fit
            Fits of leading shape (m, k).
        phase
            Phase of each block relative to the rotation of the basis, rad, shape (m, k).
        frames, kept
            Valid frames of each block, and which blocks count, shape (m, k).
        """
        self._block = fit.n
        amplitude = np.abs(fit.z)
        count = kept.sum(axis=1)
        self._sums[lines] += np.stack(
            [
                count,
                (amplitude**2 * kept).sum(axis=1),
                (fit.dc * kept).sum(axis=1),
                (fit.square_sum * kept).sum(axis=1),
                (frames * kept).sum(axis=1),
            ],
            axis=1,
        )
        self._harmonics[lines] += (turned_harmonics(fit) * kept[:, :, None]).sum(axis=1)
        self._run_omega[lines] = omega
        index = self._run[lines, 0][:, None] + np.arange(kept.shape[1])
        self._run[lines] += np.stack([count, (phase * kept).sum(axis=1), (index * phase * kept).sum(axis=1)], axis=1)

    def end(self, line: int) -> None:
        """End the undisturbed run of a line.

        Parameters
        ----------
        line
            The line.
        """
        self._omega[line] += self._run_weight(line)
        self._run[line] = 0.0

    def _run_weight(self, line: int) -> tuple[float, float]:
        """Return weight and weighted frequency of the present run."""
        n, total, moment = self._run[line]
        if n < 2:
            return 0.0, 0.0
        weight = n * (n * n - 1.0)
        slope = 12.0 * (moment - (n - 1.0) / 2.0 * total) / weight
        return weight, weight * (self._run_omega[line] + slope / self._block)

    def signal(self, line: int, settings: Settings, model: Sine | None, sigma: float) -> Signal:
        """Return the figures of a line.

        Parameters
        ----------
        line
            The line.
        settings
            How it is checked.
        model
            Used where too little was steady for any block to count.
        sigma
            RMS of its noise.

        Returns
        -------
        Signal
            What was not measured is None.
        """
        blocks, power, offset, residual, frames = self._sums[line]
        result = Signal(settings.channel + 1)
        if blocks == 0:
            if model is None:
                return result
            omega, amplitude, dc, rms = model.omega, model.amplitude, model.dc, sigma
        else:
            run_weight, run_omega = self._run_weight(line)
            weight, weighted = self._omega[line]
            omega = float((weighted + run_omega) / (weight + run_weight))
            amplitude, dc = math.sqrt(power / blocks), float(offset / blocks)
            rms = math.sqrt(residual / max(frames - MODEL_COLUMNS * blocks, 1.0))
            harmonics = float(np.sum(np.abs(self._harmonics[line] / blocks) ** 2))
            if harmonics > 0.0:
                result.thd_db = decibels(math.sqrt(harmonics) / amplitude)
            noise = rms**2 - harmonics / 2.0
            if noise > 0.0:
                result.noise_floor_dbfs = dbfs(math.sqrt(noise))
        result.frequency_hz = omega * settings.sample_rate_hz / (2.0 * math.pi)
        tone_rms = amplitude * FULL_SCALE_SINE_RMS
        result.level_dbfs = dbfs(math.hypot(tone_rms, rms))
        result.dc_offset = dc
        if rms > 0.0:
            result.residual_dbfs = dbfs(rms)
            result.thd_plus_n_db = decibels(rms / tone_rms)
        if settings.reference_hz is not None:
            result.frequency_error_ppm = (result.frequency_hz / settings.reference_hz - 1.0) * 1e6
        return result
