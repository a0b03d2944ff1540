"""The pcapng file format (draft-ietf-opsawg-pcapng): blocks that state their length and type, in sections.

A section has its own byte order and its own interfaces; an interface has its own link type and clock resolution.
Blocks that are no packet blocks are passed over.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import header_field
from rtpverify.sources.capture.records import (
    CUT_OFF,
    DAMAGED,
    Chain,
    ReadPart,
    RecordBatch,
    Walk,
    distinct,
    read_headers,
    walk,
)
from rtpverify.sources.capture.stored_bytes import Data

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
OBSOLETE_PACKET = 2
SIMPLE_PACKET = 3
ENHANCED_PACKET = 6

LARGEST_BLOCK_BYTES = 16 << 20
"""No packet block comes near; one that states more is damaged."""
SECTION_HEADER_BYTES = 28

_BYTE_ORDER_MAGIC = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_SMALLEST_BLOCK_BYTES = 12
_TRAILER_BYTES = 4
_INTERFACE_OVERHEAD_BYTES = 20
_SIMPLE_OVERHEAD_BYTES = 16
_PACKET_OVERHEAD_BYTES = 32
"""Of enhanced and obsolete packet blocks, whose headers differ only in how wide the interface number is."""
_END_OF_OPTIONS, _IF_TSRESOL, _IF_TSOFFSET = 0, 9, 14


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a section. ``resolution`` is the if_tsresol byte: units are 10**-n s, or 2**-n s with bit 7."""

    link_type: int
    snap_length: int
    resolution: int = 6
    offset_seconds: int = 0

    def arrival_ns(self, timestamp: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Turn timestamps of this interface into ns since the Unix epoch; absurd ones wrap.

        Parameters
        ----------
        timestamp
            In the interface's own unit, shape (n,).

        Returns
        -------
        NDArray[np.int64]
            Shape (n,).
        """
        exponent = self.resolution & 0x7F
        if self.resolution & 0x80:
            ns = _binary_fraction_ns(timestamp, exponent)
        elif exponent <= 9:
            ns = timestamp * np.uint64(10 ** (9 - exponent))
        else:
            ns = timestamp // np.uint64(min(10 ** (exponent - 9), 2**64 - 1))
        offset_ns = self.offset_seconds * 1_000_000_000 % 2**64
        return (ns + np.uint64(offset_ns)).view(np.int64)


@dataclass(slots=True)
class _Section:
    """What the blocks of a section share; ``last_ns`` is the time of its last packet that had one."""

    byte_order: str
    interfaces: list[Interface] = field(default_factory=list)
    last_ns: int = 0

    def u32(self, header: NDArray[np.uint8], start: int) -> NDArray[np.int64]:
        """Return a 32-bit field of every header."""
        return header_field(header, start, f"{self.byte_order}u4")


def is_pcapng(start: bytes) -> bool:
    """Return by its first 12 bytes whether a file is a pcapng capture.

    Parameters
    ----------
    start
        The first 12 bytes.

    Returns
    -------
    bool
        Whether it is, of either byte order.
    """
    return start[:4] == SECTION_HEADER.to_bytes(4, "big") and start[8:12] in _BYTE_ORDER_MAGIC


class PcapngRecords:
    """The records of a pcapng capture, some at a time; damaged blocks are counted in ``skipped``.

    A packet without a time (a simple packet block has none) is given that of the packet before.
    """

    def __init__(self) -> None:
        self._section = _Section("<")
        self.position = 0
        """Of the first block."""

    def read(self, data: Data, arena: NDArray[np.uint8], position: int, most: int, skipped: Counter[str]) -> ReadPart:
        """Return the records from ``position`` on, at most so many; see :meth:`.pcap.PcapRecords.read`.

        Parameters
        ----------
        data
            The file.
        arena
            Bytes of the records, shape (n,).
        position
            Offset in the file, in bytes.
        most
            Records at most.
        skipped
            Counts what is no record, by reason.

        Returns
        -------
        ReadPart
            The records, and where the next one begins.
        """
        if _section_starts(data, position):
            order = _BYTE_ORDER_MAGIC.get(data[position + 8 : position + 12])
            if order is None:
                return ReadPart(None, position, CUT_OFF if len(data) - position < SECTION_HEADER_BYTES else DAMAGED)
            self._section = _Section(order, last_ns=self._section.last_ns)
            position, stopped = _pass_section_header(data, arena, self._section, position)
            return ReadPart(None, position, stopped)
        section = self._section
        stretch = walk(data, _chain(section, _SMALLEST_BLOCK_BYTES), position, most)
        position, stopped = stretch.position, stretch.stopped
        if stopped is not None and _section_starts(data, position):
            stopped = None  # its size was read in the byte order of the section before
        blocks = _Blocks.read(arena, section, stretch)
        section_header = np.flatnonzero(blocks.kind == SECTION_HEADER)
        if len(section_header):
            position, stopped = int(blocks.start[section_header[0]]), None
            blocks = blocks.first(int(section_header[0]))
        whole = blocks.count_whole(arena, section)
        if whole < len(blocks.start):
            stopped = DAMAGED
            blocks = blocks.first(whole)
        return ReadPart(_packets(arena, section, blocks, skipped), position, stopped)


def _section_starts(data: Data, position: int) -> bool:
    return data[position : position + 4] == SECTION_HEADER.to_bytes(4, "big")


def _chain(section: _Section, smallest: int) -> Chain:
    return Chain(section.byte_order, size_at=4, overhead_bytes=0, smallest=smallest, largest=LARGEST_BLOCK_BYTES)


def _pass_section_header(
    data: Data, arena: NDArray[np.uint8], section: _Section, position: int
) -> tuple[int, str | None]:
    """Return where the section's first block starts, or why it cannot be determined."""
    stretch = walk(data, _chain(section, SECTION_HEADER_BYTES), position, 1)
    if stretch.stopped is None and not _Blocks.read(arena, section, stretch).count_whole(arena, section):
        return stretch.position, DAMAGED
    return stretch.position, stretch.stopped


@dataclass(slots=True)
class _Blocks:
    """Blocks in file order: where they start, how long they are, and their type; shape (n,), int64."""

    start: NDArray[np.int64]
    size: NDArray[np.int64]
    kind: NDArray[np.int64]

    @classmethod
    def read(cls, arena: NDArray[np.uint8], section: _Section, stretch: Walk) -> _Blocks:
        """Read the common header of the blocks of a stretch."""
        kind = section.u32(read_headers(arena, stretch.start, 4), 0)
        return cls(stretch.start, np.diff(stretch.start, append=stretch.position), kind)

    def select(self, rows: NDArray[np.bool_] | slice) -> _Blocks:
        """Return some of the blocks."""
        return _Blocks(self.start[rows], self.size[rows], self.kind[rows])

    def first(self, count: int) -> _Blocks:
        """Return the first ``count`` blocks."""
        return self.select(slice(count))

    def count_whole(self, arena: NDArray[np.uint8], section: _Section) -> int:
        """Count the blocks before the first whose length is no multiple of 4 or not repeated at its end."""
        trailer = section.u32(read_headers(arena, self.start + self.size - 4, 4), 0)
        broken = np.flatnonzero((trailer != self.size) | (self.size % 4 != 0))
        return int(broken[0]) if len(broken) else len(self.start)


def _packets(arena: NDArray[np.uint8], section: _Section, blocks: _Blocks, skipped: Counter[str]) -> RecordBatch:
    """Return the packets of a stretch of blocks, and take note of the interfaces that it describes."""
    if (blocks.kind != ENHANCED_PACKET).any():
        for row in np.flatnonzero(blocks.kind == INTERFACE_DESCRIPTION):
            _describe_interface(arena, section, int(blocks.start[row]), int(blocks.size[row]), skipped)
        blocks = blocks.select(np.isin(blocks.kind, (ENHANCED_PACKET, SIMPLE_PACKET, OBSOLETE_PACKET)))

    overhead = np.where(blocks.kind == SIMPLE_PACKET, _SIMPLE_OVERHEAD_BYTES, _PACKET_OVERHEAD_BYTES)
    if len(damaged := np.flatnonzero(blocks.size < overhead)):
        skipped[DAMAGED] += len(damaged)
        blocks, overhead = blocks.select(blocks.size >= overhead), np.delete(overhead, damaged)
    timed = blocks.kind != SIMPLE_PACKET
    interface, timestamp, length = _packet_headers(arena, section, blocks, timed)

    sound = (interface < len(section.interfaces)) & (length <= blocks.size - overhead)
    if not sound.all():
        skipped[DAMAGED] += int(np.count_nonzero(~sound))
        blocks, overhead, timed = blocks.select(sound), overhead[sound], timed[sound]
        interface, timestamp, length = interface[sound], timestamp[sound], length[sound]

    arrival_ns = np.zeros(len(length), np.int64)
    link_type = np.zeros(len(length), np.int64)
    for index in distinct(interface):
        rows = interface == index
        arrival_ns[rows] = section.interfaces[index].arrival_ns(timestamp[rows])
        link_type[rows] = section.interfaces[index].link_type
    untimed = len(timed) - int(np.count_nonzero(timed))
    if untimed:
        before = np.maximum.accumulate(np.where(timed, np.arange(len(timed)), -1))
        arrival_ns = np.where(before >= 0, arrival_ns[before], section.last_ns)
    if len(arrival_ns):
        section.last_ns = int(arrival_ns[-1])
    return RecordBatch(blocks.start + overhead - _TRAILER_BYTES, length, arrival_ns, link_type, untimed)


def _packet_headers(
    arena: NDArray[np.uint8], section: _Section, blocks: _Blocks, timed: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Return interface, timestamp and captured length of each packet block; simple ones have no timestamp (0)."""
    header = read_headers(arena, blocks.start[timed] + 8, 20)
    interface = section.u32(header, 0)
    if (obsolete := blocks.kind[timed] == OBSOLETE_PACKET).any():
        interface = np.where(obsolete, header_field(header, 0, f"{section.byte_order}u2"), interface)
    timestamp = section.u32(header, 4).view(np.uint64) << np.uint64(32) | section.u32(header, 8).view(np.uint64)
    length = section.u32(header, 12)
    if timed.all():
        return interface, timestamp, length

    every_interface = np.zeros(len(timed), np.int64)
    every_timestamp = np.zeros(len(timed), np.uint64)
    every_length = np.empty(len(timed), np.int64)
    every_interface[timed], every_timestamp[timed], every_length[timed] = interface, timestamp, length
    packet_length = section.u32(read_headers(arena, blocks.start[~timed] + 8, 4), 0)
    snap_length = section.interfaces[0].snap_length if section.interfaces else 0
    every_length[~timed] = np.minimum(packet_length, snap_length or LARGEST_BLOCK_BYTES)
    return every_interface, every_timestamp, every_length


def _describe_interface(
    arena: NDArray[np.uint8], section: _Section, start: int, size: int, skipped: Counter[str]
) -> None:
    """Add the interface of an interface description block; options that are not whole are passed over."""
    if size < _INTERFACE_OVERHEAD_BYTES:
        skipped[DAMAGED] += 1
        return
    body = arena[start + 8 : start + size - _TRAILER_BYTES].tobytes()
    order = section.byte_order
    link_type, snap_length = struct.unpack_from(f"{order}HxxI", body)
    options: dict[int, bytes] = {}
    at = 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(f"{order}HH", body, at)
        if code == _END_OF_OPTIONS:
            break
        options[code] = body[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
    resolution = options.get(_IF_TSRESOL, b"")
    offset = options.get(_IF_TSOFFSET, b"")
    section.interfaces.append(
        Interface(
            link_type,
            snap_length,
            resolution=resolution[0] if len(resolution) == 1 else 6,
            offset_seconds=struct.unpack(f"{order}q", offset)[0] if len(offset) == 8 else 0,
        )
    )


def _binary_fraction_ns(timestamp: NDArray[np.uint64], exponent: int) -> NDArray[np.uint64]:
    """Turn units of 2**-exponent s into ns; bits below 2**-34 s (58 ps) are cut so that nothing overflows."""
    if exponent > 34:
        timestamp = timestamp >> np.uint64(min(exponent - 34, 63))
        exponent = 34
    seconds = timestamp >> np.uint64(exponent)
    fraction = timestamp & np.uint64((1 << exponent) - 1)
    billion = np.uint64(1_000_000_000)
    return seconds * billion + (fraction * billion >> np.uint64(exponent))
