"""The pcap file format (draft-ietf-opsawg-pcap): a header, then records of 16 bytes and what was captured each."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import header_field
from rtpverify.sources.capture.records import Chain, ReadPart, RecordBatch, read_headers, walk
from rtpverify.sources.capture.stored_bytes import Data

HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16
LARGEST_CAPTURE_BYTES = 262144
"""Largest snap length of libpcap; a record that states more is damaged."""

_MAGIC: dict[bytes, tuple[str, int]] = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""Byte order, and ns in a unit of the fractional seconds, by the first four bytes."""
_LINK_TYPE_BITS = 0x03FFFFFF


def is_pcap(start: bytes) -> bool:
    """Return by its first bytes whether a file is a pcap capture.

    Parameters
    ----------
    start
        The first four bytes.

    Returns
    -------
    bool
        Whether it is, of either byte order and unit of time.
    """
    return start[:4] in _MAGIC


class PcapRecords:
    """The records of a pcap capture, some at a time.

    Parameters
    ----------
    start
        The bytes that it begins with, at least :data:`HEADER_BYTES`.
    """

    def __init__(self, start: bytes) -> None:
        order, self._unit_ns = _MAGIC[start[:4]]
        self._order = order
        self._link_type = struct.unpack_from(f"{order}I", start, 20)[0] & _LINK_TYPE_BITS
        self._chain = Chain(
            order, size_at=8, overhead_bytes=RECORD_HEADER_BYTES, smallest=0, largest=LARGEST_CAPTURE_BYTES
        )
        self.position = HEADER_BYTES
        """Of the first record."""

    def read(
        self,
        data: Data,
        arena: NDArray[np.uint8],
        position: int,
        most: int,
        skipped: Counter[str],  # noqa: ARG002 - only pcapng has records that are damaged alone
    ) -> ReadPart:
        """Return the records from ``position`` on, at most so many.

        Parameters
        ----------
        data, arena
            The bytes at hand, twice: as a buffer and as an array of shape (any,).
        position
            Offset in the file, in bytes.
        most
            Records at most.
        skipped
            Takes the count of records that are passed over, by reason.

        Returns
        -------
        ReadPart
            The records, and where the next one begins.
        """
        stretch = walk(data, self._chain, position, most)
        header = read_headers(arena, stretch.start, RECORD_HEADER_BYTES)
        seconds, fraction, length = (header_field(header, at, f"{self._order}u4") for at in (0, 4, 8))
        records = RecordBatch(
            offset=stretch.start + RECORD_HEADER_BYTES,
            length=length,
            arrival_ns=seconds * 1_000_000_000 + fraction * self._unit_ns,
            link_type=np.full(len(length), self._link_type),
        )
        return ReadPart(records, stretch.position, stretch.stopped)
