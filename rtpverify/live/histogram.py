"""Counts of values by size, for figures whose spread matters more than their mean."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """What a histogram held at one moment.

    Attributes
    ----------
    edges
        Upper edges, ascending; a value on an edge lies below it.
    counts
        Values below each edge and above the one before, and those above the last: one more than there are edges.
    total
        Sum of all values.
    """

    edges: Sequence[float]
    counts: Sequence[int]
    total: float


class BucketCounter:
    """Counts values in buckets with fixed edges, ascending.

    Parameters
    ----------
    edges
        Upper ends of the buckets, ascending; one more holds what is above.
    """

    __slots__ = ("_counts", "_edges", "_total")

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = tuple(edges)
        self._counts = [0] * (len(self._edges) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value.

        Parameters
        ----------
        value
            In the unit of the edges.
        """
        self._counts[bisect_left(self._edges, value)] += 1
        self._total += value

    def counts(self) -> BucketCounts:
        """Return what it holds now.

        Returns
        -------
        BucketCounts
            A copy.
        """
        return BucketCounts(self._edges, tuple(self._counts), self._total)
