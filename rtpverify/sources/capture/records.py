"""What both capture formats have in common: records that chain one after another, each stating its own size.

A chain of records of one size is followed without a loop: that a record has the size of the one before says where the
next one starts, so equal sizes at equal distances are the chain, not a guess at it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import gather
from rtpverify.sources.capture.stored_bytes import Data

CUT_OFF = "cut_off"
"""Reason: the bytes end within this record."""
DAMAGED = "damaged"
"""Reason: the record contradicts itself; where its end is unknown, what follows is not read."""

_PROBE_RECORDS = 32
_LONGEST_STRETCH_RECORDS = 1024


@dataclass(slots=True)
class RecordBatch:
    """What was captured, in file order; all arrays have shape (n,) and dtype int64.

    Attributes
    ----------
    offset, length
        Where each record's bytes start in the file and how many bytes of it were captured.
    arrival_ns
        Capture time in ns since the Unix epoch (UTC).
    link_type
        Type of the first header, a ``LINKTYPE_`` value of tcpdump.org.
    untimed
        How many of the records the file gives no time for.
    unverified
        Whether the UDP checksum of each is still to be verified, shape (n,), bool; None: of none. A file does not say:
        of what the capturing host sent, checksums were often not computed yet.
    """

    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    link_type: NDArray[np.int64]
    untimed: int = 0
    unverified: NDArray[np.bool_] | None = None

    def take(self, rows: NDArray[np.int64]) -> RecordBatch:
        """Return some of the records, in that order.

        Parameters
        ----------
        rows
            Indices of the records wanted, shape (n,).

        Returns
        -------
        RecordBatch
            These records, over the same arena.
        """
        return RecordBatch(
            self.offset[rows],
            self.length[rows],
            self.arrival_ns[rows],
            self.link_type[rows],
            self.untimed,
            None if self.unverified is None else self.unverified[rows],
        )


@dataclass(frozen=True, slots=True)
class Chain:
    """How the records of a file follow each other.

    Attributes
    ----------
    byte_order
        ``<`` or ``>``.
    size_at
        Byte of the record at which its 32-bit size is.
    overhead_bytes
        Bytes of the record that its size does not count.
    smallest, largest
        Sizes beyond these are damage.
    """

    byte_order: str
    size_at: int
    overhead_bytes: int
    smallest: int
    largest: int


@dataclass(slots=True)
class Walk:
    """A stretch of a chain.

    Attributes
    ----------
    start
        Where each complete record starts, shape (n,), int64.
    position
        Where the next record starts.
    stopped
        Why there is no next record (``CUT_OFF`` or ``DAMAGED``), None while there may be.
    """

    start: NDArray[np.int64]
    position: int
    stopped: str | None


@dataclass(slots=True)
class ReadPart:
    """Some records, and where the next ones start.

    Attributes
    ----------
    records
        None where there are none.
    position, stopped
        As a :class:`Walk` has them.
    """

    records: RecordBatch | None
    position: int
    stopped: str | None


def read_headers(arena: NDArray[np.uint8], position: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Return ``size`` bytes from each position, shape (n, size), brought together, as each is read many times.

    Parameters
    ----------
    arena
        Bytes of the records.
    position
        First byte of each, shape (n,).
    size
        Bytes of each.

    Returns
    -------
    NDArray[np.uint8]
        Shape (n, size).
    """
    rows = gather(arena, position, size)
    return np.ascontiguousarray(rows.view(f"V{size}")).view(np.uint8)  # a row at a time, not a byte at a time


def distinct(values: NDArray[np.int64]) -> list[int]:
    """Return the different values, in order; most often there is only one.

    Parameters
    ----------
    values
        Shape (n,).

    Returns
    -------
    list of int
        In ascending order.
    """
    if len(values) and (values == values[0]).all():
        return [int(values[0])]
    different: list[int] = np.unique(values).tolist()
    return different


def walk(data: Data, chain: Chain, position: int, limit: int) -> Walk:
    """Follow a chain from ``position`` over at most ``limit`` records or to its end.

    Parameters
    ----------
    data
        The file.
    chain
        How one record leads to the next.
    position
        Offset in the file, in bytes.
    limit
        Records at most.

    Returns
    -------
    Walk
        Offsets of the records, and where it ended.
    """
    parts: list[NDArray[np.int64]] = []
    count = 0
    stretch = 16
    stopped = None
    read_size = struct.Struct(f"{chain.byte_order}I").unpack_from
    end = len(data)
    while count < limit and position < end and stopped is None:
        stride, stopped = _record_bytes(data, chain, position)
        if stopped is not None:
            break
        run = _equal_run(data, chain, position, stride, limit - count)
        if run >= _PROBE_RECORDS:
            parts.append(np.arange(position, position + run * stride, stride))
            position += run * stride
            count += run
            stretch = 16
            continue

        starts = []
        last_start = end - chain.size_at - 4
        for _ in range(min(stretch, limit - count)):
            if position > last_start:
                break
            size = read_size(data, position + chain.size_at)[0]
            following = position + chain.overhead_bytes + size
            if following > end or not chain.smallest <= size <= chain.largest:
                break
            starts.append(position)
            position = following
        parts.append(np.array(starts, np.int64))
        count += len(starts)
        stretch = min(2 * stretch, _LONGEST_STRETCH_RECORDS)
    return Walk(np.concatenate(parts) if parts else np.empty(0, np.int64), position, stopped)


def _record_bytes(data: Data, chain: Chain, position: int) -> tuple[int, str | None]:
    """Return how many bytes the record at ``position`` takes, or why it cannot be read."""
    remaining = len(data) - position
    if remaining < chain.size_at + 4:
        return 0, CUT_OFF
    size = struct.unpack_from(f"{chain.byte_order}I", data, position + chain.size_at)[0]
    if not chain.smallest <= size <= chain.largest:
        return 0, DAMAGED
    record_bytes = chain.overhead_bytes + size
    return record_bytes, CUT_OFF if record_bytes > remaining else None


def _equal_run(data: Data, chain: Chain, position: int, stride: int, limit: int) -> int:
    """Count the complete records from ``position`` on, at most ``limit``, that all take ``stride`` bytes."""
    limit = min(limit, (len(data) - position) // stride)
    done, width = 0, _PROBE_RECORDS
    while done < limit:
        width = min(width, limit - done)
        size: NDArray[np.uint32] = np.ndarray(
            (width,), f"{chain.byte_order}u4", data, position + done * stride + chain.size_at, (stride,)
        )
        differs = size != stride - chain.overhead_bytes
        first = int(differs.argmax())
        if differs[first]:
            return done + first
        done += width
        width *= 4
    return done
