"""Pure searches in a damaged stretch of one channel; indices count from the start of the arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def equal_run(x: NDArray[np.float64], index: int) -> tuple[int, int]:
    """Return start and end of the run of equal values that contains ``index``.

    Parameters
    ----------
    x
        Shape (n,).
    index
        Where it is.

    Returns
    -------
    start : int
        First index.
    stop : int
        The one after the last.
    """
    return band_run(x, index, float(x[index]), 0.0)


def band_run(x: NDArray[np.float64], index: int, value: float, bound: float) -> tuple[int, int]:
    """Return start and end of the run around ``index`` that stays within ``bound`` of ``value``; empty where none.

    Parameters
    ----------
    x
        Shape (n,).
    index
        Where it is.
    value
        The middle of the band.
    bound
        Half its width.

    Returns
    -------
    start : int
        First index.
    stop : int
        The one after the last.
    """
    outside = np.abs(x - value) > bound
    if outside[index]:
        return index, index
    after = np.flatnonzero(outside[index:])
    before = np.flatnonzero(outside[:index])
    return (int(before[-1]) + 1 if len(before) else 0), (index + int(after[0]) if len(after) else len(x))


def first_cluster_end(bad: NDArray[np.bool_], guard: int) -> int:
    """Return the end of the first group of bad frames that is followed by ``guard`` good ones, or by none bad.

    Parameters
    ----------
    bad
        Shape (n,).
    guard
        Good frames that end a group.

    Returns
    -------
    int
        Index.
    """
    position = np.flatnonzero(bad)
    gaps = np.flatnonzero(np.diff(position) > guard)
    return int(position[gaps[0]] if len(gaps) else position[-1]) + 1


def change_point(before: NDArray[np.float64], after: NDArray[np.float64]) -> int:
    """Return where one model gives way to another, by maximum likelihood.

    ``before`` and ``after`` are the residuals of the same frames under either model; the result is the first frame
    that belongs to the second.

    Parameters
    ----------
    before
        Residual under the model before, shape (n,).
    after
        Residual under the model after, shape (n,).

    Returns
    -------
    int
        Index, 0 to n.
    """
    cost = np.concatenate([[0.0], np.cumsum(before**2 - after**2)])
    return int(cost.argmin())


def phase_step_position(residual: NDArray[np.float64], slope: NDArray[np.float64]) -> tuple[int, float, float]:
    """Return at which frame, and by how much, the phase of a sine steps by least squares, and the power that shows it.

    Parameters
    ----------
    residual
        What the sine leaves of the frames, shape (n,).
    slope
        Its derivative by its phase, shape (n,).

    Returns
    -------
    frame : int
        Index.
    step_rad : float
        The step.
    power : float
        What it explains of the residual.
    """
    products, powers = (np.cumsum(values[::-1])[::-1] for values in (residual * slope, slope * slope))
    explained = np.divide(products**2, powers, out=np.zeros_like(powers), where=powers > 0.0)
    at = int(explained.argmax())
    power = float(powers[at])
    return at, float(products[at]) / power if power > 0.0 else 0.0, power


def variance_change_point(residual: NDArray[np.float64]) -> int:
    """Return the frame at which the variance of a residual changes most likely (Gaussian likelihood).

    The first, where one variance explains all of it as well: two parameters more have to pay (BIC).

    Parameters
    ----------
    residual
        Shape (n,).

    Returns
    -------
    int
        Index.
    """
    n = len(residual)
    energy = np.cumsum(residual**2)
    index = np.arange(8, n - 8)
    if len(index) == 0:
        return 0
    left = np.maximum(energy[index - 1] / index, 1e-30)
    right = np.maximum((energy[-1] - energy[index - 1]) / (n - index), 1e-30)
    cost = index * np.log(left) + (n - index) * np.log(right)
    least = int(cost.argmin())
    return int(index[least]) if n * math.log(max(energy[-1] / n, 1e-30)) - cost[least] > 2.0 * math.log(n) else 0
