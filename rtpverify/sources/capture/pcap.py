"""The pcap file format (draft-ietf-opsawg-pcap): a header, then records of 16 bytes and what was captured each."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import header_field
from rtpverify.sources.capture.records import Chain, RecordBatch, read_headers, walk

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
    """Tell by its first bytes whether a file is a pcap capture."""
    return start[:4] in _MAGIC


def read_pcap(
    mapped: mmap, arena: NDArray[np.uint8], skipped: Counter[str], batch_records: int
) -> Iterator[RecordBatch]:
    """Yield the records of a pcap file; a last record that is not whole is counted in ``skipped``.

    Parameters
    ----------
    mapped, arena
        The file, twice: as a buffer and as an array of shape (any,).
    batch_records
        Most records in a batch.

    Raises
    ------
    SourceError
        Where the file header is not whole.
    """
    if len(mapped) < HEADER_BYTES:
        raise SourceError(f"capture header cut off: {len(mapped)} of {HEADER_BYTES} bytes")
    order, unit_ns = _MAGIC[mapped[:4]]
    link_type = struct.unpack_from(f"{order}I", mapped, 20)[0] & _LINK_TYPE_BITS
    chain = Chain(order, size_at=8, overhead_bytes=RECORD_HEADER_BYTES, smallest=0, largest=LARGEST_CAPTURE_BYTES)
    position = HEADER_BYTES
    stopped = None
    while stopped is None and position < len(mapped):
        stretch = walk(mapped, chain, position, batch_records)
        position, stopped = stretch.position, stretch.stopped
        header = read_headers(arena, stretch.start, RECORD_HEADER_BYTES)
        seconds, fraction, length = (header_field(header, at, f"{order}u4") for at in (0, 4, 8))
        yield RecordBatch(
            offset=stretch.start + RECORD_HEADER_BYTES,
            length=length,
            arrival_ns=seconds * 1_000_000_000 + fraction * unit_ns,
            link_type=np.full(len(length), link_type),
        )
    if stopped is not None:
        skipped[stopped] += 1
