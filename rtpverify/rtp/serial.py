"""Differences of numbers that wrap around: the one place where that is reckoned."""

from __future__ import annotations


def wrap_difference(later: int, earlier: int, bits: int) -> int:
    """Return ``later - earlier`` of numbers that wrap, as the signed number nearest to 0.

    Parameters
    ----------
    later
        The number that is thought to come later.
    earlier
        The other number.
    bits
        Width of both.

    Returns
    -------
    int
        Between ``-2**(bits - 1)`` and ``2**(bits - 1) - 1``.
    """
    half = 1 << (bits - 1)
    return ((later - earlier + half) & ((1 << bits) - 1)) - half
