"""The Hilbert envelope: the magnitude of the analytic signal, which is the amplitude of a sine at each frame.

The quadrature is a Kaiser-windowed FIR Hilbert transformer (Oppenheim and Schafer, Discrete-Time Signal Processing,
section 12.4), as audio comes block by block: at 48 kHz exact to 80 dB from 30 Hz to 30 Hz below half the sample rate.
Before the first frame and after the last one the signal is taken to be 0.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HALF_FRAMES = 4095
"""Frames on either side that one value depends on."""
_KAISER_BETA = 7.9
"""80 dB."""
_FRAMES_AT_ONCE = (1 << 16) - 2 * HALF_FRAMES


@lru_cache(maxsize=1)
def _taps() -> NDArray[np.float64]:
    """Return the impulse response, shape (2 * HALF_FRAMES + 1,)."""
    n = np.arange(-HALF_FRAMES, HALF_FRAMES + 1)
    ideal = np.where(n % 2 != 0, 2.0 / (np.pi * np.where(n == 0, 1, n)), 0.0)
    return np.asarray(ideal * np.kaiser(len(n), _KAISER_BETA), np.float64)


@lru_cache(maxsize=4)
def _response(size: int) -> NDArray[np.complex128]:
    """Return its spectrum for transforms of a size, shape (size // 2 + 1, 1)."""
    return np.asarray(np.fft.rfft(_taps(), size)[:, None], np.complex128)


def analytic_magnitude(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Hilbert envelope at each frame but :data:`HALF_FRAMES` at either end.

    Parameters
    ----------
    frames
        Shape (n, channels), n at least ``2 * HALF_FRAMES``.

    Returns
    -------
    NDArray[np.float64]
        Shape (n - 2 * HALF_FRAMES, channels).
    """
    count = len(frames) - 2 * HALF_FRAMES
    if count < 1:
        return np.empty((0, frames.shape[1]))
    size = 1 << (len(frames) - 1).bit_length()
    # The circular convolution is the linear one from the length of the response on.
    turned = np.fft.irfft(np.fft.rfft(frames, size, axis=0) * _response(size), size, axis=0)
    quadrature = turned[2 * HALF_FRAMES : 2 * HALF_FRAMES + count]
    return np.asarray(np.hypot(frames[HALF_FRAMES : HALF_FRAMES + count], quadrature), np.float64)


class HilbertMeter:
    """The Hilbert envelope of audio that comes block by block, :data:`HALF_FRAMES` later.

    Parameters
    ----------
    channels
        Channels of the audio.
    """

    def __init__(self, channels: int) -> None:
        self._kept = np.zeros((HALF_FRAMES, channels))

    def add(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the next frames, shape (n, channels); return the envelope as far as it is known now.

        Parameters
        ----------
        block
            Full scale ±1.0, shape (n, channels).

        Returns
        -------
        NDArray[np.float64]
            Shape (m, channels).
        """
        known = [np.empty((0, block.shape[1]))]
        for start in range(0, len(block), _FRAMES_AT_ONCE):
            joined = np.concatenate([self._kept, block[start : start + _FRAMES_AT_ONCE]])
            known.append(analytic_magnitude(joined))
            self._kept = joined[len(known[-1]) :].copy()
        return np.concatenate(known)

    def rest(self) -> NDArray[np.float64]:
        """Return the envelope of the frames that are left, if no more come.

        Returns
        -------
        NDArray[np.float64]
            Shape (m, channels).
        """
        return analytic_magnitude(np.concatenate([self._kept, np.zeros((HALF_FRAMES, self._kept.shape[1]))]))
