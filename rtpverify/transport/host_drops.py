"""What this host dropped while a stream was on: packets that the network had delivered.

The kernel says with each datagram how many it has dropped on that socket before it. Where that grows between two
packets of a stream, those that are missing between them may be among the dropped ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.transport.rows import Rows

MAX_NOTES = 64
"""Drops remembered per stream; losses are reported within seconds."""
_FAR = 1 << 15


class HostDrops(Rows):
    """Drops between the packets of any number of streams.

    Attributes
    ----------
    total
        How many were dropped of each stream's sockets since it began, shape (streams,): its own may be among them.
    """

    FRESH: ClassVar = {
        "_before": lambda _: {},
        "_notes": lambda _: deque(maxlen=MAX_NOTES),
        "_is_late": False,
        "total": 0,
    }
    total: NDArray[np.int64]
    _is_late: NDArray[np.bool_]
    """Whether something had been dropped before the stream began, on whatever socket."""
    _before: list[dict[int, tuple[int, int]]]
    """By flow: how many had been dropped at the latest packet of the stream, and its sequence number."""
    _notes: list[deque[tuple[int, int, int]]]
    """After which sequence number, before which, and how many."""
    _has_dropped = False

    def begin(self, stream: int) -> None:
        """Take note that a stream begins.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        self._is_late[stream] = self._has_dropped

    def take(
        self,
        stream: NDArray[np.int64],
        flow: NDArray[np.int64],
        sequence: NDArray[np.int64],
        dropped: NDArray[np.int64],
    ) -> None:
        """Take packets in order of arrival: extended sequence numbers, and what was dropped before each, shape (n,).

        Parameters
        ----------
        stream
            Stream index of each packet, shape (n,).
        flow
            Flow of each packet, shape (n,).
        sequence
            Extended sequence number of each packet, shape (n,).
        dropped
            What had been dropped on its socket before each packet, shape (n,).
        """
        self._has_dropped = True
        pairs = stream << 32 | flow
        for pair in np.unique(pairs).tolist():
            rows = np.flatnonzero(pairs == pair)
            row_of, flow_of = divmod(pair, 1 << 32)
            count, last = self._before[row_of].get(flow_of, (0, int(sequence[rows[0]]) - _FAR))
            for row in rows[np.diff(dropped[rows], prepend=count) != 0].tolist():
                more = int(dropped[row]) - count
                if more > 0:
                    before = self._sequence_before(rows, row, sequence, last)
                    self._notes[row_of].append((before, int(sequence[row]), more))
                    if flow_of in self._before[row_of] or not self._is_late[row_of]:
                        self.total[row_of] += more
                count = int(dropped[row])
            self._before[row_of][flow_of] = count, int(sequence[rows[-1]])

    def take_last(self, stream: int, flow: int, dropped: int) -> None:
        """Take what was dropped on the socket of a flow up to now, whether packets follow or not.

        Parameters
        ----------
        stream
            Index of the stream.
        flow
            Index of the flow.
        dropped
            What had been dropped on its socket.
        """
        count, last = self._before[stream].get(flow, (dropped if self._is_late[stream] else 0, 0))
        self.total[stream] += max(dropped - count, 0)
        self._before[stream][flow] = dropped, last

    def between(self, stream: int, first: int, last: int) -> int:
        """Return how many this host dropped while the packets from ``first`` to ``last`` should have come.

        Parameters
        ----------
        stream
            Index of the stream.
        first
            Extended sequence number of the first packet.
        last
            That of the last one.

        Returns
        -------
        int
            Packets, of all senders to that socket.
        """
        return sum(count for after, before, count in self._notes[stream] if after <= last and before >= first)

    def renumber(self, number_of: Mapping[int, int]) -> None:
        """Know flows by other numbers, and forget those that have none.

        Parameters
        ----------
        number_of
            New number of each flow that is kept.
        """
        self._before = [
            {number_of[flow]: value for flow, value in before.items() if flow in number_of} for before in self._before
        ]

    @staticmethod
    def _sequence_before(rows: NDArray[np.intp], row: int, sequence: NDArray[np.int64], last: int) -> int:
        """Return the sequence number of the packet before the one in a row."""
        place = int(np.searchsorted(rows, row))
        return int(sequence[rows[place - 1]]) if place else last
