"""What lies between the frames of a signal: a sinc under a Kaiser window, whose taps are polynomials of the fraction.

C. W. Farrow, "A continuously variable digital delay element", ISCAS 1988.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=4)
def farrow_taps(half_taps: int, kaiser_beta: float, order: int) -> NDArray[np.float64]:
    """Return the taps of each power of the fraction, the highest first, shape (order + 1, 2 half_taps + 1).

    Parameters
    ----------
    half_taps
        Taps on either side of the middle one.
    kaiser_beta
        Shape of the Kaiser window.
    order
        Degree of the polynomials.

    Returns
    -------
    NDArray[np.float64]
        Shape (order + 1, 2 half_taps + 1).
    """
    nodes = np.cos(np.pi * (np.arange(32) + 0.5) / 32) / 2
    frame = np.arange(-half_taps, half_taps + 1)
    at = nodes[:, None] - frame
    window = np.i0(kaiser_beta * np.sqrt(np.maximum(0.0, 1 - (at / (half_taps + 0.5)) ** 2))) / np.i0(kaiser_beta)
    powers = np.polynomial.polynomial.polyfit(nodes, np.sinc(at) * window, order)
    return np.ascontiguousarray(powers[::-1])


def farrow_coefficients(x: NDArray[np.floating], taps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return what each frame of a stretch has at each power of the fraction, shape (order + 1, n).

    Parameters
    ----------
    x
        The stretch and half the taps more on either side, shape (n + 2 half_taps,).
    taps
        Of :func:`farrow_taps`.

    Returns
    -------
    NDArray[np.floating]
        Shape (order + 1, n).
    """
    around = np.lib.stride_tricks.sliding_window_view(x, len(x) - taps.shape[1] + 1)
    return np.asarray(taps @ around)
