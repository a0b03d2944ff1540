"""Rows of a batch grouped by stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Groups:
    """Rows brought together by stream, in their order within each.

    Attributes
    ----------
    rows
        Index that brings an array of the batch into this order; a slice where it already is.
    stream
        Stream of each group, ascending.
    first, stop
        Where each group starts and ends.
    """

    rows: NDArray[np.intp] | slice
    stream: NDArray[np.int64]
    first: NDArray[np.intp]
    stop: NDArray[np.intp]

    @property
    def count(self) -> NDArray[np.intp]:
        """Rows of each group."""
        return self.stop - self.first

    def rows_of(self, group: int) -> NDArray[np.intp]:
        """Return the rows of one group as they stand in the batch."""
        first, stop = int(self.first[group]), int(self.stop[group])
        return np.arange(first, stop) if isinstance(self.rows, slice) else self.rows[first:stop]


def group_by_stream(stream: NDArray[np.int64]) -> Groups:
    """Group the rows of a batch that is not empty by their stream, shape (n,)."""
    rows: NDArray[np.intp] | slice = slice(None)
    if (stream[1:] < stream[:-1]).any():
        # Short integers are sorted by their digits, several times as fast; there are never so many streams.
        rows = np.argsort(stream.astype(np.uint16), kind="stable")
        stream = stream[rows]
    change = np.flatnonzero(stream[1:] != stream[:-1]) + 1
    first = np.concatenate(([0], change))
    return Groups(rows, stream[first], first, np.concatenate((change, [len(stream)])))
