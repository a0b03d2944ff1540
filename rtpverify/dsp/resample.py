"""Change of sample rate, by soxr: one place, so that every part of rtpverify hears the same filter.

soxr's "very high quality" keeps everything up to 0.91 of half the lower rate within 0.01 dB, holds images and aliases
below -170 dB and has linear phase. Its delay is taken out: frame k of the input is at k · to / from of the output.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUALITY = "VHQ"
PASSBAND = 0.91
"""Highest frequency that is kept, as a fraction of half the lower sample rate."""


def resampled_length(frames: int, from_hz: float, to_hz: float) -> int:
    """Return how many frames ``frames`` of one sample rate become at another: the same time, rounded.

    Parameters
    ----------
    frames
        Length at the first rate.
    from_hz
        The first sample rate.
    to_hz
        The other one.

    Returns
    -------
    int
        Frames.
    """
    return round(frames * to_hz / from_hz)


def resample(frames: NDArray[np.float64], from_hz: float, to_hz: float) -> NDArray[np.float64]:
    """Return the same audio at another sample rate.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels).
    from_hz, to_hz
        Sample rates, above 0; they need not be whole numbers.

    Returns
    -------
    NDArray[np.float64]
        Shape (m,) or (m, channels) with m as :func:`resampled_length` says; the input itself where the rates are
        equal.
    """
    if from_hz == to_hz:
        return frames
    import soxr

    out: NDArray[np.float64] = soxr.resample(np.ascontiguousarray(frames, np.float64), from_hz, to_hz, quality=QUALITY)
    return fitted(out, resampled_length(len(frames), from_hz, to_hz))


def fitted(frames: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return frames cut, or filled up with zeros, to a length.

    Parameters
    ----------
    frames
        Shape (n, channels).
    length
        Frames wanted.

    Returns
    -------
    NDArray[np.float64]
        Shape (length, channels).
    """
    if len(frames) >= length:
        return frames[:length]
    return np.concatenate([frames, np.zeros((length - len(frames), *frames.shape[1:]))])
