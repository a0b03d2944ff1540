"""Datagrams and RTP headers as structs of arrays.

Every source yields :class:`PacketBatch`; everything after it works on whole batches. Payload bytes stay where the
source put them (one arena), arrays hold offsets into it. Order is arrival order. All integers are host order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 12
"""Size of the fixed RTP header (RFC 3550 section 5.1)."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The two ends of a datagram, each as ``address:port`` (``[address]:port`` for IPv6)."""

    sender: str
    destination: str


@dataclass(slots=True)
class PacketBatch:
    """Datagrams in order of arrival.

    Attributes
    ----------
    arena
        Bytes, shape (any,), dtype uint8.
    offset, length
        Where each datagram's UDP payload starts in ``arena`` and how many bytes of it are there, shape (n,), int64.
    arrival_ns
        Arrival time in ns since the Unix epoch (UTC), shape (n,), int64.
    flow
        Index into ``flows``, shape (n,), int64.
    flows
        Every flow the source has seen; it only grows, so an index stays valid, until a live source is asked to
        forget some (:meth:`rtpverify.engine.verifier.Verifier.keep_flows`), which makes another list.
    timed
        Whether the source knows when each datagram arrived; otherwise ``arrival_ns`` is only in order.
    host_dropped
        How many datagrams this host had dropped on the socket of each, before it, shape (n,), int64; None where that
        is not known, or 0 for all.
    cut_bytes
        How many bytes at the end of each a capture omitted (snap length), shape (n,), int64; None: none of any.
    """

    arena: NDArray[np.uint8]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    flow: NDArray[np.int64]
    flows: Sequence[Flow]
    timed: bool = True
    host_dropped: NDArray[np.int64] | None = None
    cut_bytes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, rows: NDArray[np.int64]) -> PacketBatch:
        """Return some of the datagrams, in that order.

        Parameters
        ----------
        rows
            Indices of the datagrams wanted, shape (n,).

        Returns
        -------
        PacketBatch
            These datagrams, in that order, over the same arena.
        """
        dropped = None if self.host_dropped is None else self.host_dropped[rows]
        return replace(
            self,
            offset=self.offset[rows],
            length=self.length[rows],
            arrival_ns=self.arrival_ns[rows],
            flow=self.flow[rows],
            host_dropped=dropped,
            cut_bytes=None if self.cut_bytes is None else self.cut_bytes[rows],
        )

    def by_arrival(self) -> PacketBatch:
        """Return the same datagrams in order of arrival, where several sockets follow one another.

        Returns
        -------
        PacketBatch
            The batch itself where it is in order already.
        """
        if (self.arrival_ns[1:] >= self.arrival_ns[:-1]).all():
            return self
        return self.take(np.argsort(self.arrival_ns, kind="stable"))


@dataclass(slots=True)
class RtpBatch:
    """The packets of a :class:`PacketBatch` that are RTP, header fields apart.

    All arrays have shape (n,) and dtype int64 unless said otherwise. ``row`` is the index in the source batch;
    ``payload_offset`` and ``payload_length`` delimit the payload in the arena, without CSRC list, header extension
    and padding. Of packets that a capture cut off, ``payload_length`` is what was sent.
    """

    source: PacketBatch
    row: NDArray[np.int64]
    payload_type: NDArray[np.int64]
    marker: NDArray[np.bool_]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    ssrc: NDArray[np.int64]
    payload_offset: NDArray[np.int64]
    payload_length: NDArray[np.int64]
    discarded: Counter[str]
    """Datagrams that are no RTP, by reason: ``short``, ``version``, ``rtcp``, ``csrc``, ``extension``, ``padding``."""
    rtcp: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows of the source batch that are RTCP."""
    copy: NDArray[np.int64] | None = None
    """Which of several SSRCs that carry the same each packet had; ``ssrc`` is the first of them then."""
    cut_bytes: NDArray[np.int64] | None = None
    """How many bytes at the end of each payload a capture omitted; None: none of any."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def arrival_ns(self) -> NDArray[np.int64]:
        """Arrival time of each packet in ns since the Unix epoch, shape (n,)."""
        return self.source.arrival_ns[self.row]

    @property
    def flow(self) -> NDArray[np.int64]:
        """Flow index of each packet, shape (n,)."""
        return self.source.flow[self.row]

    @property
    def is_whole(self) -> NDArray[np.bool_]:
        """Whether the whole payload of each packet is there, shape (n,)."""
        return np.ones(len(self), np.bool_) if self.cut_bytes is None else self.cut_bytes == 0

    def take(self, index: NDArray[np.int64]) -> RtpBatch:
        """Return the packets at ``index`` (not ``row``), in that order; ``discarded`` stays with the whole.

        Parameters
        ----------
        index
            Indices of the packets wanted, shape (n,).

        Returns
        -------
        RtpBatch
            These packets, in that order, of the same source.
        """
        return RtpBatch(
            source=self.source,
            row=self.row[index],
            payload_type=self.payload_type[index],
            marker=self.marker[index],
            sequence=self.sequence[index],
            timestamp=self.timestamp[index],
            ssrc=self.ssrc[index],
            payload_offset=self.payload_offset[index],
            payload_length=self.payload_length[index],
            discarded=Counter(),
            copy=None if self.copy is None else self.copy[index],
            cut_bytes=None if self.cut_bytes is None else self.cut_bytes[index],
        )


def parse(batch: PacketBatch) -> RtpBatch:
    """Read the RTP headers of a batch (RFC 3550 section 5.1); never raises on their content.

    A datagram whose second byte is 192 to 223 is RTCP (RFC 5761 section 4) and counted as such. Each datagram that is
    no RTP is counted under the first reason that holds.

    Parameters
    ----------
    batch
        Datagrams, of any content.

    Returns
    -------
    RtpBatch
        The packets that are RTP, in the same order, and how many datagrams are not, by reason.
    """
    discarded: Counter[str] = Counter()
    row = np.flatnonzero(batch.length >= HEADER_BYTES)
    if len(row) != len(batch):
        discarded["short"] = len(batch) - len(row)
    header = gather(batch.arena, batch.offset[row], HEADER_BYTES)

    version_ok = (header[:, 0] & 0xC0) == 0x80
    rtp = version_ok & ((header[:, 1] < 192) | (header[:, 1] > 223))
    rtcp = row[version_ok & ~rtp]
    if not rtp.all():
        other_version = len(row) - int(np.count_nonzero(version_ok))
        discarded.update({"version": other_version, "rtcp": int(np.count_nonzero(version_ok & ~rtp))})
        row, header = row[rtp], header[rtp]

    offset = batch.offset[row] + HEADER_BYTES
    there = batch.length[row] - HEADER_BYTES
    cut = None if batch.cut_bytes is None else batch.cut_bytes[row]
    length = there.copy() if cut is None else there + cut
    if (header[:, 0] != 0x80).any():
        # The last byte, which says the padding, is the first that is cut off.
        first_byte = header[:, 0] if cut is None else np.where(cut > 0, header[:, 0] & ~np.uint8(0x20), header[:, 0])
        fits = _trim(batch.arena, first_byte, offset, length, there, discarded)
        row, header, offset, length = row[fits], header[fits], offset[fits], length[fits]
        cut = None if cut is None else cut[fits]

    return RtpBatch(
        source=batch,
        row=row,
        payload_type=(header[:, 1] & 0x7F).astype(np.int64),
        marker=header[:, 1] >= 0x80,
        sequence=header_field(header, 2, ">u2"),
        timestamp=header_field(header, 4, ">u4"),
        ssrc=header_field(header, 8, ">u4"),
        payload_offset=offset,
        payload_length=length,
        discarded=+discarded,
        rtcp=rtcp if batch.cut_bytes is None else rtcp[batch.cut_bytes[rtcp] == 0],
        cut_bytes=None if cut is None else np.minimum(cut, length),
    )


def gather(arena: NDArray[np.uint8], offset: NDArray[np.int64], length: int) -> NDArray[np.uint8]:
    """Return ``length`` bytes from each offset, shape (n, length).

    Equally spaced offsets (a receive arena, a capture of one stream) give a view, others a copy.

    Parameters
    ----------
    arena
        Bytes of all datagrams.
    offset
        First byte of each, shape (n,).
    length
        Bytes of each.

    Returns
    -------
    NDArray[np.uint8]
        Shape (n, length).
    """
    n = len(offset)
    if n == 0:
        return np.empty((0, length), np.uint8)
    first = int(offset[0])
    if n == 1:
        return arena[first : first + length].reshape(1, length)
    stride = int(offset[1]) - first
    if stride > 0 and (np.diff(offset) == stride).all():
        return np.lib.stride_tricks.as_strided(arena[first:], (n, length), (stride, 1), writeable=False)
    # Indexing the windows copies row by row, ten times as fast as an index per byte.
    windows = np.lib.stride_tricks.as_strided(arena, (len(arena) - length + 1, length), (1, 1), writeable=False)
    rows: NDArray[np.uint8] = windows[offset]
    return rows


def header_field(header: NDArray[np.uint8], start: int, dtype: str) -> NDArray[np.int64]:
    """Return the field of type ``dtype`` (which states its byte order) at byte ``start`` of every header, as int64.

    Parameters
    ----------
    header
        Header bytes, shape (n, bytes).
    start
        First byte of the field.
    dtype
        NumPy type, such as ``">u4"``.

    Returns
    -------
    NDArray[np.int64]
        Shape (n,).
    """
    field = np.ascontiguousarray(header[:, start : start + np.dtype(dtype).itemsize])
    return field.view(dtype)[:, 0].astype(np.int64)


def _trim(
    arena: NDArray[np.uint8],
    first_byte: NDArray[np.uint8],
    offset: NDArray[np.int64],
    length: NDArray[np.int64],
    there: NDArray[np.int64],
    discarded: Counter[str],
) -> NDArray[np.bool_]:
    """Take CSRC list, extension and padding off ``offset`` and ``length`` in place; return which packets hold.

    ``there`` counts the bytes of each that were captured.
    """
    csrc_bytes = 4 * (first_byte & 0x0F).astype(np.int64)
    offset += csrc_bytes
    length -= csrc_bytes
    fits = length >= 0
    discarded["csrc"] += int(np.count_nonzero(~fits))

    extended = fits & ((first_byte & 0x10) != 0)
    short = extended & (there - csrc_bytes < 4)
    rows = np.flatnonzero(extended & ~short)
    words = arena[offset[rows] + 2].astype(np.int64) << 8 | arena[offset[rows] + 3]
    offset[rows] += 4 + 4 * words
    length[rows] -= 4 + 4 * words
    short |= extended & (length < 0)
    discarded["extension"] += int(np.count_nonzero(short))
    fits &= ~short

    padded = fits & ((first_byte & 0x20) != 0)
    empty = padded & (length < 1)
    rows = np.flatnonzero(padded & ~empty)
    padding = arena[offset[rows] + length[rows] - 1].astype(np.int64)
    wrong = (padding == 0) | (padding > length[rows])
    length[rows[~wrong]] -= padding[~wrong]
    empty[rows[wrong]] = True
    discarded["padding"] += int(np.count_nonzero(empty))
    fits &= ~empty
    return fits
