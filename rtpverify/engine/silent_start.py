"""Streams that begin with silence: how their samples are written shows when the first comes that is none.

From then on a few packets are held back until their samples show how they are to be read, and are then played back. So
what was read in another encoding is silence, and no fault is found in it that is none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.encodings import MANY_PACKETS, Decision, FirstPackets, decide, statement
from rtpverify.engine.stream import Stream
from rtpverify.rtp.batch import RtpBatch, gather
from rtpverify.transport.demux import Held, hold
from rtpverify.transport.rows import RowTable

LOOKED_AT_BYTES = 32
"""Bytes at the beginning of a payload that are all the same in silence."""


class FirstSound(NamedTuple):
    """What the first packets of a stream that are no silence have shown.

    ``row`` is that of the last of them in the packets that were sifted, -1 at the end of the input.
    """

    row: int
    stream: Stream
    decision: Decision
    packets: list[Held]


class Hearing:
    """Listens to streams that have been silent so far.

    Parameters
    ----------
    table
        Where the rows of streams come from.

    Attributes
    ----------
    streams
        They, by index.
    """

    def __init__(self, table: RowTable[Stream]) -> None:
        self.streams: dict[int, Stream] = {}
        self._held: dict[int, list[Held]] = {}
        table.attach(self)

    def fresh_row(self, row: int) -> None:
        """Listen to the stream of a row no longer.

        Parameters
        ----------
        row
            Row of the stream.
        """
        self.streams.pop(row, None)
        self._held.pop(row, None)

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock that was set: what arrived before counts by the new one.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        for packets in self._held.values():
            for packet in packets:
                packet.arrival_ns += by_ns

    def sift(self, part: RtpBatch, stream: NDArray[np.int64]) -> tuple[NDArray[np.bool_], list[FirstSound]]:
        """Hold back packets from the first that is no silence on.

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Stream index of each packet, shape (n,).

        Returns
        -------
        held, heard
            Which packets are held back, shape (n,), and the streams of which enough were heard, in order of rows; their
            packets have to be taken next.
        """
        held, heard = np.zeros(len(part), np.bool_), []
        for row in self._rows(part, stream).tolist():
            index = int(stream[row])
            if index not in self.streams:
                continue
            packets = self._held.setdefault(index, [])
            packets.append(hold(part, row))
            held[row] = True
            count = len(packets)
            decision = _decide(self.streams[index], packets) if not count & (count - 1) else None
            if decision is not None and count >= min(decision.packets_wanted, MANY_PACKETS):
                heard.append(FirstSound(row, self.streams[index], decision, packets))
                self.fresh_row(index)
        return held, heard

    def finish(self) -> list[FirstSound]:
        """End the input; return what is still held back.

        Returns
        -------
        list of FirstSound
            One for each stream of which packets are held back.
        """
        heard = [
            FirstSound(-1, self.streams[index], _decide(self.streams[index], packets), packets)
            for index, packets in self._held.items()
        ]
        self.streams, self._held = {}, {}
        return heard

    def _rows(self, part: RtpBatch, stream: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the packets of each stream from the first that is no silence on, in order."""
        ours = np.isin(stream, list(self.streams)) & part.is_whole & (part.payload_length > 1)
        rows = np.flatnonzero(ours)
        if len(rows) == 0:
            return rows
        size = min(int(part.payload_length[rows].min()), LOOKED_AT_BYTES)
        start = gather(part.source.arena, part.payload_offset[rows], size)
        is_loud = (start != start[:, :1]).any(axis=1)
        chosen = np.zeros(len(rows), np.bool_)
        for index in np.unique(stream[rows]).tolist():
            mine = (stream[rows] == index) & (part.payload_type[rows] == self.streams[index].payload_type)
            loud = np.flatnonzero(mine & is_loud)
            if index in self._held:
                chosen |= mine
            elif len(loud):
                chosen[loud[0] :] |= mine[loud[0] :]
        return rows[chosen]


def _decide(stream: Stream, packets: list[Held]) -> Decision:
    return decide(statement(stream.spec, stream.payload_type), FirstPackets(packets), is_judged=True)
