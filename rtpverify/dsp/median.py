"""The median.

``np.median`` loads numpy's masked arrays with its first call: some 8 ms, which a short command need not take.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def median(values: ArrayLike, axis: int | None = None) -> NDArray[np.floating]:
    """Return the median along an axis that is not empty, or of all; the mean of both middle ones of an even number.

    Parameters
    ----------
    values
        Of any shape.
    axis
        The axis; None: all values.

    Returns
    -------
    NDArray[np.floating]
        Of the shape of ``values`` without that axis.
    """
    x = np.asarray(values)
    if axis is None:
        x, axis = x.ravel(), 0
    n = x.shape[axis]
    middle = [(n - 1) // 2, n // 2]
    return np.asarray(np.partition(x, middle, axis=axis).take(middle, axis=axis).mean(axis=axis))
