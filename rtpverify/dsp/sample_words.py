"""The bits of samples: low ones that are empty, bytes in the other order, and how many are wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def empty_low_bits(x: NDArray[np.float64], bits: int) -> int:
    """Return how many low bits of ``bits``-bit samples are always zero; 0 where too few values show.

    Parameters
    ----------
    x
        Samples, full scale ±1.0, shape (n,).
    bits
        Word length.

    Returns
    -------
    int
        Bits.
    """
    integers = np.abs(np.rint(x * 2.0 ** (bits - 1))).astype(np.int64)
    used = int(np.bitwise_or.reduce(integers))
    empty = (used & -used).bit_length() - 1
    if empty <= 0:
        return 0
    integers = np.unique(integers[integers != 0])
    # Each value has its low bits empty by chance once in 2**empty: believe it at one in a million.
    return empty if len(integers) * empty >= 20 else 0


def swap_bytes(x: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Return samples of 16 or 24 bits with their bytes in the other order.

    Parameters
    ----------
    x
        Samples, full scale ±1.0, shape (n,).
    bits
        Word length.

    Returns
    -------
    NDArray[np.float64]
        Shape (n,).
    """
    integers = np.rint(x * 2.0 ** (bits - 1)).astype(np.int64)
    swapped = np.zeros_like(integers)
    for shift in range(0, bits, 8):
        swapped |= (integers >> shift & 0xFF) << (bits - 8 - shift)
    swapped -= (swapped >> (bits - 1) & 1) << bits
    return swapped / 2.0 ** (bits - 1)


def wrong_bits(x: NDArray[np.float64], expected: NDArray[np.float64], bits: int) -> int:
    """Return how many bits of ``bits``-bit samples differ from those of the rounded expectation.

    Parameters
    ----------
    x
        Samples, full scale ±1.0, shape (n,).
    expected
        What they should be, shape (n,).
    bits
        Word length.

    Returns
    -------
    int
        Bits over all samples.
    """
    scale, mask = 2.0 ** (bits - 1), (1 << bits) - 1
    got = np.rint(x * scale).astype(np.int64)
    wanted = np.rint(np.clip(expected * scale, -scale, scale - 1)).astype(np.int64)
    return int(np.bitwise_count((got ^ wanted) & mask).sum())
