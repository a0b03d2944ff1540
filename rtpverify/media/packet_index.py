"""Decoded packets; which of them carried which frames, and when it arrived, for the last seconds of a stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REMEMBERED_SECONDS = 4.0
_MOST_PACKETS = 1 << 16


@dataclass(slots=True)
class Packets:
    """Decoded packets of one length.

    ``row`` is the row of the stream, ``sequence`` and ``timestamp`` are extended, all of shape (n,); ``samples`` has
    shape (n, frames, channels).
    """

    row: NDArray[np.int64]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    samples: NDArray[np.float32]

    def take(self, chosen: NDArray[np.bool_]) -> Packets:
        """Return some of the packets."""
        return Packets(
            self.row[chosen],
            self.sequence[chosen],
            self.timestamp[chosen],
            self.arrival_ns[chosen],
            self.samples[chosen],
        )


class PacketIndex:
    """Rings over the extended sequence number, one a stream.

    Parameters
    ----------
    packet_frames, sample_rate_hz
        Usual size of a packet, which says how many packets the remembered time holds.
    """

    def __init__(self, packet_frames: int, sample_rate_hz: int) -> None:
        wanted = max(256.0, REMEMBERED_SECONDS * sample_rate_hz / max(packet_frames, 1))
        self._size = min(1 << int(np.ceil(np.log2(wanted))), _MOST_PACKETS)
        self._streams = 0
        self._sequence = np.zeros((0, self._size), np.int64)
        self._frame = np.zeros((0, self._size), np.int64)
        self._arrival_ns = np.zeros((0, self._size), np.int64)

    def add(self) -> None:
        """Add a stream."""
        self._streams += 1
        if self._streams <= len(self._sequence):
            return
        for name in ("_sequence", "_frame", "_arrival_ns"):
            more = np.full((self._streams, self._size), -1, np.int64)
            setattr(self, name, np.concatenate([getattr(self, name), more]))

    def reset(self, row: int) -> None:
        """Forget a stream; its row is another's."""
        for ring in (self._sequence, self._frame, self._arrival_ns):
            ring[row] = -1

    def write(
        self,
        row: NDArray[np.int64],
        sequence: NDArray[np.int64],
        frame: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
    ) -> None:
        """Remember packets: stream, extended sequence number, first frame and arrival of each, shape (n,)."""
        slot = sequence % self._size
        self._sequence[row, slot] = sequence
        self._frame[row, slot] = frame
        self._arrival_ns[row, slot] = arrival_ns

    def carriers(self, row: int, start: int, stop: int) -> tuple[int, int] | None:
        """Return first and last sequence number that carried frames ``start`` to ``stop``, None where forgotten."""
        known = np.flatnonzero((self._arrival_ns[row] >= 0) & (self._frame[row] < stop))
        if len(known) == 0:
            return None
        frames, sequences = self._frame[row, known], self._sequence[row, known]
        first = known[frames <= start]
        if len(first) == 0:
            return None
        begin = int(self._sequence[row, first[self._frame[row, first].argmax()]])
        return begin, max(begin, int(sequences[frames.argmax()]))

    def arrival_ns(self, row: int, sequence: int) -> int | None:
        """Return when a packet arrived, None where it did not or is forgotten."""
        slot = sequence % self._size
        return int(self._arrival_ns[row, slot]) if self._sequence[row, slot] == sequence else None

    def frame(self, row: int, sequence: int) -> int | None:
        """Return the first frame of a packet, None where it did not arrive or is forgotten."""
        slot = sequence % self._size
        return int(self._frame[row, slot]) if self._sequence[row, slot] == sequence else None
