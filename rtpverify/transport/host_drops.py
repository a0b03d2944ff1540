"""What this host dropped while a stream was on: packets that the network had delivered.

The kernel says with each datagram how many it has dropped on that socket before it. Where that grows between two
packets of a stream, those that are missing between them may be among the dropped ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MAX_NOTES = 64
"""Drops remembered per stream; losses are told within seconds."""
_FAR = 1 << 15


class HostDrops:
    """Drops between the packets of any number of streams."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, int], tuple[int, int]] = {}
        """By stream and flow: how many had been dropped at the latest packet, and its sequence number."""
        self._notes: dict[int, deque[tuple[int, int, int]]] = {}
        """By stream: after which sequence number, before which, and how many."""

    def take(
        self,
        stream: NDArray[np.int64],
        flow: NDArray[np.int64],
        sequence: NDArray[np.int64],
        dropped: NDArray[np.int64],
    ) -> None:
        """Take packets in order of arrival: extended sequence numbers, and what was dropped before each, shape (n,)."""
        pairs = stream << 32 | flow
        for pair in np.unique(pairs).tolist():
            rows = np.flatnonzero(pairs == pair)
            key = divmod(pair, 1 << 32)
            count, last = self._before.get(key, (0, int(sequence[rows[0]]) - _FAR))
            for row in rows[np.diff(dropped[rows], prepend=count) != 0].tolist():
                more = int(dropped[row]) - count
                if more > 0:
                    notes = self._notes.setdefault(key[0], deque(maxlen=MAX_NOTES))
                    notes.append((self._sequence_before(rows, row, sequence, last), int(sequence[row]), more))
                count = int(dropped[row])
            self._before[key] = count, int(sequence[rows[-1]])

    def between(self, stream: int, first: int, last: int) -> int:
        """Return how many this host dropped while the packets from ``first`` to ``last`` should have come."""
        notes = self._notes.get(stream, ())
        return sum(count for after, before, count in notes if after <= last and before >= first)

    def forget(self, stream: int) -> None:
        """Forget a stream; its index is another's."""
        self._notes.pop(stream, None)
        self._before = {key: value for key, value in self._before.items() if key[0] != stream}

    def renumber(self, number_of: Mapping[int, int]) -> None:
        """Know flows by other numbers, and forget those that have none."""
        known = self._before.items()
        self._before = {(stream, number_of[flow]): value for (stream, flow), value in known if flow in number_of}

    @staticmethod
    def _sequence_before(rows: NDArray[np.intp], row: int, sequence: NDArray[np.int64], last: int) -> int:
        """Return the sequence number of the packet before the one in a row."""
        place = int(np.searchsorted(rows, row))
        return int(sequence[rows[place - 1]]) if place else last
