"""The residual of audio when its tone is removed, to be listened to.

The tone is fitted again in short blocks that overlap by half, with its frequency, level and phase free to drift, and
what the blocks leave is cross-faded. Frames that are far off the tone (clicks, dropouts) do not take part in the fit,
so they stay as they are. Where the tone itself jumps (a slip), the blocks that span the jump cannot follow: a slip
sounds as a burst as long as a block. Offset and low frequencies stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.median import median
from rtpverify.dsp.sine import BlockFit, Sine, block_time, fit_blocks, fit_free, tone_basis
from rtpverify.dsp.spectrum import hann

BLOCK_SECONDS = 0.1
_PERIODS = 20
"""A block holds so many periods of the tone at least."""
_OUTLIER_DEVIATIONS = 8.0
"""A frame that is this many standard deviations off the tone does not take part."""
_MOST_PASSES = 8
_LEAST_DEVIATION = 1e-9
_FOLLOWED = 1e-4
"""Phase in rad that the frequency may be off by over a block before it is corrected."""


def block_frames(omega: float, sample_rate_hz: float) -> int:
    """Return the length of a block for a tone of ``omega`` rad per frame, an even number.

    Parameters
    ----------
    omega
        Angular frequency, rad per frame.
    sample_rate_hz
        Frames per second.

    Returns
    -------
    int
        Frames.
    """
    return 2 * math.ceil(max(BLOCK_SECONDS * sample_rate_hz, _PERIODS * 2.0 * math.pi / omega) / 2)


class ToneRemover:
    """Takes a tone away from each channel of audio that comes block by block.

    Parameters
    ----------
    omegas
        Frequency of each channel's tone, rad per frame.
    size
        Frames of a fit, even.
    """

    def __init__(self, omegas: Sequence[float], size: int) -> None:
        self._omegas, self._size = list(omegas), size
        channels = len(omegas)
        self._waiting = np.zeros((0, channels))
        self._window = hann(2 * size)[1::2]  # at half frames: nowhere 0
        self._tail = np.zeros((size // 2, channels))
        self._tail_weight = np.zeros(size // 2)

    def add(self, block: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """Take the next frames, shape (n, channels); yield the residual of those that are settled.

        Parameters
        ----------
        block
            Full scale ±1.0, shape (n, channels).

        Yields
        ------
        NDArray[np.float64]
            Shape (m, channels).
        """
        self._waiting = np.concatenate([self._waiting, block])
        hop = self._size // 2
        # The last whole block waits: the end of the audio may fall into it.
        rows = (len(self._waiting) - self._size) // hop
        if rows > 0:
            yield self._take(rows)

    def finish(self) -> Iterator[NDArray[np.float64]]:
        """End the audio; yield the residual of the rest.

        Yields
        ------
        NDArray[np.float64]
            Shape (m, channels).
        """
        hop, audio = self._size // 2, self._waiting
        if len(audio) >= self._size:
            yield self._take(1 + (len(audio) - self._size) // hop)
            audio = self._waiting
        if not len(audio):
            return
        # What is shorter than a block is checked with the fit of its own frames alone.
        out = np.stack(
            [self._fitted_row(audio[:, channel], omega) for channel, omega in enumerate(self._omegas)], axis=1
        )
        weight = np.maximum(1.0 - self._tail_weight[: len(audio)], 0.0) if len(audio) <= hop else None
        if weight is None:
            weight = np.ones(len(audio))
            weight[:hop] = np.maximum(1.0 - self._tail_weight, 0.0)
        out *= weight[:, None]
        reach = min(hop, len(audio))
        out[:reach] += self._tail[:reach]
        total = weight.copy()
        total[:reach] += self._tail_weight[:reach]
        yield out / total[:, None]

    def _take(self, rows: int) -> NDArray[np.float64]:
        """Return the rest of as many half blocks."""
        size, hop = self._size, self._size // 2
        out = np.zeros(((rows + 1) * hop, len(self._omegas)))
        weight = np.zeros(len(out))
        for index in range(rows):
            weight[index * hop : index * hop + size] += self._window
        for channel in range(len(self._omegas)):
            column = np.ascontiguousarray(self._waiting[:, channel])
            windows = np.lib.stride_tricks.sliding_window_view(column, size)[::hop][:rows]
            left = self._residual(np.ascontiguousarray(windows), channel) * self._window
            for index in range(rows):
                out[index * hop : index * hop + size, channel] += left[index]
        out[:hop] += self._tail
        weight[:hop] += self._tail_weight
        self._tail, self._tail_weight = out[rows * hop :].copy(), weight[rows * hop :].copy()
        self._waiting = self._waiting[rows * hop :].copy()
        return np.asarray(out[: rows * hop] / weight[: rows * hop, None], np.float64)

    def _residual(self, windows: NDArray[np.float64], channel: int) -> NDArray[np.float64]:
        """Return what the tone leaves in blocks of one channel, shape (rows, size)."""
        omega = self._omegas[channel]
        fit = fit_blocks(windows, tone_basis(omega, self._size))
        off = float(median(fit.d_omega))
        if abs(off) * self._size > _FOLLOWED and 0.0 < omega + off < math.pi and abs(off) * self._size < math.pi:
            omega = self._omegas[channel] = omega + off
            fit = fit_blocks(windows, tone_basis(omega, self._size))
        left = windows - _tones(fit, omega)
        deviation = 1.4826 * median(np.abs(left - fit.dc[:, None]), axis=1)
        odd = np.abs(left - fit.dc[:, None]).max(axis=1) > _OUTLIER_DEVIATIONS * np.maximum(deviation, _LEAST_DEVIATION)
        for row in np.flatnonzero(odd).tolist():
            left[row] = self._fitted_row(windows[row], omega)
        return left

    def _fitted_row(self, x: NDArray[np.float64], omega: float) -> NDArray[np.float64]:
        """Return what a tone leaves that is fitted to the frames that are near it, shape (n,)."""
        valid = np.ones(len(x), np.bool_)
        sine: Sine | None = None
        for _ in range(_MOST_PASSES):
            fit = fit_free(x, 0, omega, valid)
            if fit is None or abs(fit.sine.omega - omega) * len(x) > math.pi:
                break
            sine = fit.sine
            off = np.abs(x - sine.at(0, len(x)))
            deviation = max(1.4826 * float(median(off)), _LEAST_DEVIATION)
            before, valid = valid, off <= _OUTLIER_DEVIATIONS * deviation
            if (before == valid).all():
                break
        if sine is None:
            return x
        return np.asarray(x - (sine.at(0, len(x)) - sine.dc), np.float64)


def _tones(fit: BlockFit, omega: float) -> NDArray[np.float64]:
    """Return the fitted tones without their offset, shape (rows, n)."""
    t = block_time(fit.n)
    cos, sin = np.cos(omega * t), np.sin(omega * t)
    steady = np.outer(fit.z.real, cos) - np.outer(fit.z.imag, sin)
    return np.asarray(steady + np.outer(fit.slope_z.real, t * cos) - np.outer(fit.slope_z.imag, t * sin), np.float64)
