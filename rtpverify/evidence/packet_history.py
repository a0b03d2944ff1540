"""The datagrams of the last seconds, as they arrived.

One thread puts batches in, each copied once and not examined; any thread may take what is there. Memory is bounded in
time and in bytes, whatever arrives.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import HEADER_BYTES, Flow, PacketBatch, gather, header_field

_RTCP_BYTES = 8
"""Header of an RTCP packet and the SSRC of its sender."""


@dataclass(frozen=True, slots=True)
class DatagramBlock:
    """Datagrams of one length.

    Attributes
    ----------
    data
        Their bytes, shape (n, length), dtype uint8.
    arrival_ns
        Arrival time in ns since the Unix epoch (UTC), shape (n,), int64.
    flow
        Index into ``flows``, shape (n,), int64.
    """

    data: NDArray[np.uint8]
    arrival_ns: NDArray[np.int64]
    flow: NDArray[np.int64]
    flows: Sequence[Flow]

    @property
    def size_bytes(self) -> int:
        """Memory it takes."""
        return self.data.nbytes + self.arrival_ns.nbytes + self.flow.nbytes


class PacketHistory:
    """Remembers datagrams.

    Parameters
    ----------
    seconds, max_bytes
        How long, and how much at most.

    Attributes
    ----------
    size_bytes
        Memory that is taken.
    """

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.size_bytes = 0
        self._span_ns = round(seconds * 1e9)
        self._max_bytes = max_bytes
        self._pieces: deque[tuple[int, DatagramBlock]] = deque()
        """With the latest arrival of each."""
        self._lock = threading.Lock()

    def put(self, batch: PacketBatch) -> None:
        """Remember a batch, and forget what is too old.

        Parameters
        ----------
        batch
            Datagrams in any order; they are copied.
        """
        if len(batch) == 0:
            return
        pieces = [(int(piece.arrival_ns.max()), piece) for piece in _copied(batch)]
        latest_ns = max(at for at, _ in pieces)
        with self._lock:
            for at, piece in pieces:
                self._pieces.append((at, piece))
                self.size_bytes += piece.size_bytes
            while self._pieces and (
                self._pieces[0][0] < latest_ns - self._span_ns or self.size_bytes > self._max_bytes
            ):
                _, piece = self._pieces.popleft()
                self.size_bytes -= piece.size_bytes

    def pieces(self) -> list[DatagramBlock]:
        """Return everything remembered, in the order it was put in.

        Returns
        -------
        list[DatagramBlock]
            The datagrams of one flow and batch each.
        """
        with self._lock:
            return [piece for _, piece in self._pieces]


def _copied(batch: PacketBatch) -> list[DatagramBlock]:
    """Return a batch in pieces of one length each, none of which shares memory with it."""
    length = batch.length
    if (length == length[0]).all():
        rows = gather(batch.arena, batch.offset, int(length[0]))
        data = rows if rows.flags.owndata else rows.copy()
        return [DatagramBlock(data, batch.arrival_ns.copy(), batch.flow.copy(), batch.flows)]
    pieces = []
    for size in np.unique(length).tolist():
        at = np.flatnonzero(length == size)
        rows = gather(batch.arena, batch.offset[at], size)
        data = rows if rows.flags.owndata else rows.copy()
        pieces.append(DatagramBlock(data, batch.arrival_ns[at], batch.flow[at], batch.flows))
    return pieces


def select(
    pieces: Sequence[DatagramBlock],
    matches: Callable[[Flow], bool],
    ssrcs: Collection[int] | None,
    start_ns: int,
    stop_ns: int,
) -> PacketBatch:
    """Return the datagrams of some sources in a stretch of time, RTCP of theirs too, in order of arrival.

    Parameters
    ----------
    pieces
        Datagrams in any order.
    matches
        Which flows may carry them.
    ssrcs
        The sources; None: all, and what is no RTP as well.
    start_ns, stop_ns
        From and before, by arrival.

    Returns
    -------
    PacketBatch
        Copies, in order of arrival.
    """
    flows: list[Flow] = []
    numbers: dict[Flow, int] = {}
    wanted_ssrcs = None if ssrcs is None else np.array(sorted(ssrcs), np.int64)
    chosen: list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]] = []
    number_of: dict[int, NDArray[np.int64]] = {}
    for piece in pieces:
        if wanted_ssrcs is not None and piece.data.shape[1] < _RTCP_BYTES:
            continue
        inside = (piece.arrival_ns >= start_ns) & (piece.arrival_ns < stop_ns)
        if not inside.any():
            continue
        if id(piece.flows) not in number_of:
            for flow in piece.flows:
                if flow not in numbers and matches(flow):
                    numbers[flow] = len(flows)
                    flows.append(flow)
            number_of[id(piece.flows)] = np.array([numbers.get(flow, -1) for flow in piece.flows], np.int64)
        number = number_of[id(piece.flows)][piece.flow]
        rows = np.flatnonzero((number >= 0) & inside)
        if len(rows) and wanted_ssrcs is not None:
            rows = rows[np.isin(_ssrcs(piece.data[rows]), wanted_ssrcs)]
        if len(rows):
            chosen.append((piece.data[rows], piece.arrival_ns[rows], number[rows]))
    return _joined(chosen, flows)


def _ssrcs(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the SSRC of each datagram, shape (n,); -1 where it is too short to have one."""
    is_rtcp = (data[:, 1] >= 192) & (data[:, 1] <= 223)
    ssrc = np.full(len(data), -1, np.int64)
    if data.shape[1] >= HEADER_BYTES:
        ssrc = header_field(data, 8, ">u4")
    ssrc[is_rtcp] = header_field(data[is_rtcp], 4, ">u4")
    return ssrc


def _joined(
    chosen: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]], flows: Sequence[Flow]
) -> PacketBatch:
    """Return datagrams of several lengths as one batch, in order of arrival."""
    if not chosen:
        none = np.zeros(0, np.int64)
        return PacketBatch(none.astype(np.uint8), none, none, none, none, flows)
    length = np.concatenate([np.full(len(data), data.shape[1], np.int64) for data, _, _ in chosen])
    batch = PacketBatch(
        arena=np.concatenate([data.reshape(-1) for data, _, _ in chosen]),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=np.concatenate([arrival_ns for _, arrival_ns, _ in chosen]),
        flow=np.concatenate([flow for _, _, flow in chosen]),
        flows=flows,
    )
    order = np.argsort(batch.arrival_ns, kind="stable")
    return PacketBatch(
        batch.arena, batch.offset[order], length[order], batch.arrival_ns[order], batch.flow[order], flows
    )
