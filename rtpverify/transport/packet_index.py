"""Which packets carried which frames, and when they arrived, for the last seconds of each stream."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.transport.rows import Groups, Rows, RowTable, group_by_stream

REMEMBERED_SECONDS = 5.0
"""Media time that is remembered before what has been checked: further back no detector looks."""
FEWEST_PACKETS = 256
"""Packets of each stream that are remembered, however short they are."""
MOST_PACKETS = 1 << 16
"""The same where many packets carry little time, or none: they must not fill the memory."""
_NEVER = -(1 << 62)
PACKET = np.dtype(
    [("sequence", np.int64), ("timestamp", np.int64), ("arrival_ns", np.int64), ("is_audio", np.bool_)], align=True
)
"""What is remembered of a packet."""


class PacketIndex(Rows):
    """The latest packets of every stream, in order of arrival.

    Each stream has a ring as long as it needs: what arrived in the last :data:`REMEMBERED_SECONDS` of its media time
    before the packets at hand, and those. So nothing is forgotten before it is checked, whatever the packet time and
    however many packets come at once. All rings lie in one piece of memory.

    Parameters
    ----------
    table
        Where the rows of streams come from; None where the caller gives them out itself.
    """

    FRESH: ClassVar = {"_start": 0, "_size": 0, "_count": 0, "_newest": _NEVER, "_remembered": 0, "_first": _NEVER}
    _start: NDArray[np.int64]
    """Where each stream's ring starts."""
    _size: NDArray[np.int64]
    """How long it is: 0 or a power of two."""
    _count: NDArray[np.int64]
    """Packets of each stream so far."""
    _newest: NDArray[np.int64]
    """Timestamp furthest ahead."""
    _remembered: NDArray[np.int64]
    """Frames that are remembered."""
    _first: NDArray[np.int64]
    """Sequence number of the packet that arrived first."""

    def __init__(self, table: RowTable[Any] | None = None) -> None:
        self._packets = np.zeros(0, PACKET)
        """All rings, one after another, and room for further ones."""
        self._used = 0
        self._free: dict[int, list[int]] = {}
        """Where rings start that no stream has any more, by their length."""
        super().__init__(table)

    def fresh_row(self, row: int) -> None:
        """Make a row fresh; its ring is another's.

        Parameters
        ----------
        row
            Row of the stream.
        """
        if row < len(self._size):
            self._give_back(row)
        super().fresh_row(row)

    @property
    def memory_bytes(self) -> int:
        """Memory of all rings, and of the room for further ones."""
        return self._packets.nbytes

    def set_rate(self, row: int, rate_hz: int) -> None:
        """Set how many units of its timestamps a stream has in a second.

        Parameters
        ----------
        row
            Row of the stream.
        rate_hz
            Clock rate: timestamp units a second; 0 where it is not known.
        """
        self._remembered[row] = round(REMEMBERED_SECONDS * rate_hz)

    def write(
        self,
        stream: NDArray[np.int64],
        sequence: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
        is_audio: NDArray[np.bool_],
        groups: Groups | None = None,
    ) -> None:
        """Remember packets, in order of arrival.

        Parameters
        ----------
        stream, sequence, timestamp, arrival_ns
            Stream, extended sequence number, unwrapped timestamp and arrival of each, shape (n,).
        is_audio
            Whether it carries frames of its stream, and no comfort noise or telephone event, shape (n,).
        groups
            The packets by stream, where that is known.
        """
        if len(stream) == 0:
            return
        groups = groups or group_by_stream(stream)
        of, coming = groups.stream, groups.count
        for group in np.flatnonzero(self._is_short(of, coming)).tolist():
            self._make_room(int(of[group]), int(coming[group]))
        count, timestamp = self._count[of], timestamp[groups.rows]
        position = np.repeat(count - groups.first, coming) + np.arange(len(stream))
        slot = np.repeat(self._start[of], coming) + (position & np.repeat(self._size[of] - 1, coming))
        self._packets["sequence"][slot] = sequence[groups.rows]
        self._packets["timestamp"][slot] = timestamp
        self._packets["arrival_ns"][slot] = arrival_ns[groups.rows]
        self._packets["is_audio"][slot] = is_audio[groups.rows]
        self._count[of] = count + coming
        begins = self._first[of] == _NEVER
        self._first[of[begins]] = sequence[groups.rows][groups.first[begins]]
        self._newest[of] = np.maximum(self._newest[of], np.maximum.reduceat(timestamp, groups.first))

    def carriers(self, row: int, start: int, stop: int) -> tuple[int, int] | None:
        """Return first and last sequence number that carried timestamps ``start`` to ``stop``, None where forgotten.

        Parameters
        ----------
        row
            Row of the stream.
        start
            First timestamp, unwrapped.
        stop
            The one after the last.

        Returns
        -------
        tuple[int, int] or None
            Extended sequence numbers; None where the packets are forgotten.
        """
        known = self._ring(row)
        known = known[known["is_audio"]]
        begun = known[known["timestamp"] <= start]
        if len(begun) == 0:
            return None
        first = int(begun["sequence"][begun["timestamp"].argmax()])
        within = known[known["timestamp"] < max(stop, start + 1)]
        return first, max(first, int(within["sequence"][within["timestamp"].argmax()]))

    def first_sequence(self, row: int) -> int | None:
        """Return the sequence number of the packet that arrived first, however long ago, None where none did.

        Parameters
        ----------
        row
            Row of the stream.

        Returns
        -------
        int or None
            Extended sequence number.
        """
        first = int(self._first[row])
        return None if first == _NEVER else first

    def arrival_ns(self, row: int, sequence: int) -> int | None:
        """Return when a packet arrived, None where it did not or is forgotten.

        Parameters
        ----------
        row
            Row of the stream.
        sequence
            Extended sequence number.

        Returns
        -------
        int or None
            In ns since the Unix epoch.
        """
        return self._find(row, sequence, "arrival_ns")

    def timestamp(self, row: int, sequence: int) -> int | None:
        """Return the unwrapped timestamp of a packet, None where it did not arrive or is forgotten.

        Parameters
        ----------
        row
            Row of the stream.
        sequence
            Extended sequence number.

        Returns
        -------
        int or None
            In frames.
        """
        return self._find(row, sequence, "timestamp")

    def _find(self, row: int, sequence: int, field: str) -> int | None:
        known = self._ring(row)
        found = known[field][known["sequence"] == sequence]
        return int(found[-1]) if len(found) else None

    def _ring(self, row: int) -> NDArray[np.void]:
        """Return the packets of a stream, the oldest first."""
        count, size = int(self._count[row]), int(self._size[row])
        packets: NDArray[np.void] = self._packets[
            self._start[row] + (np.arange(max(0, count - size), count) & size - 1)
        ]
        return packets

    def _is_short(self, of: NDArray[np.int64], coming: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return in which rings so many packets would take the place of some that are still needed."""
        size = self._size[of]
        short = size < coming
        last_lost = self._count[of] + coming - size - 1
        at = np.flatnonzero((last_lost >= 0) & ~short & (size < MOST_PACKETS))
        slot = self._start[of[at]] + (last_lost[at] & size[at] - 1)
        short[at] = self._packets["timestamp"][slot] > self._newest[of[at]] - self._remembered[of[at]]
        return short

    def _make_room(self, row: int, coming: int) -> None:
        """Give a stream a ring that is long enough for so many packets to come and those that are still needed."""
        known = self._ring(row)
        needed = np.flatnonzero(known["timestamp"] > self._newest[row] - self._remembered[row])
        kept = known[needed[0] :] if len(needed) else known[:0]
        wanted = max(FEWEST_PACKETS, coming, min(coming + len(kept), MOST_PACKETS))
        size = 1 << (wanted - 1).bit_length()
        kept = kept[max(0, len(kept) + coming - size) :]
        self._give_back(row)
        start = self._find_place(size)
        self._packets[start : start + len(kept)] = kept
        self._start[row], self._size[row], self._count[row] = start, size, len(kept)

    def _find_place(self, size: int) -> int:
        """Return where a ring of this length may lie."""
        if self._free.get(size):
            return self._free[size].pop()
        start, self._used = self._used, self._used + size
        if self._used > len(self._packets):
            longer = np.zeros(max(self._used, 2 * len(self._packets)), PACKET)
            longer[:start] = self._packets[:start]
            self._packets = longer
        return start

    def _give_back(self, row: int) -> None:
        """Let another stream have the ring of this one."""
        if size := int(self._size[row]):
            self._free.setdefault(size, []).append(int(self._start[row]))
