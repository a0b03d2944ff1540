"""Network captures: pcap and pcapng as batches of UDP datagrams, from files, compressed files and pipes.

A file is mapped into memory and is itself the arena of the batches: no payload is copied. Damaged or foreign content
is counted, not raised; a compressed file that is damaged is, as what it held can't be known.
"""

from __future__ import annotations

import mmap
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.capture.datagrams import DatagramFinder
from rtpverify.sources.capture.pcap import HEADER_BYTES, PcapRecords, is_pcap
from rtpverify.sources.capture.pcapng import SECTION_HEADER_BYTES, PcapngRecords, is_pcapng
from rtpverify.sources.capture.records import CUT_OFF, RecordBatch, distinct
from rtpverify.sources.capture.stored_bytes import (
    MappedBytes,
    Read,
    StoredBytes,
    StreamedBytes,
    compression_of,
    decompressed,
    reading,
)

BATCH_RECORDS = 8192
_MAGIC_BYTES = 12


class CaptureReader:
    """A capture; iterating yields its UDP datagrams as batches, in file order, and starts from the top each time.

    Parameters
    ----------
    path
        The file, for messages.
    open_bytes
        Gives its bytes, from the start each time.

    Attributes
    ----------
    path
        The file.
    records
        Records read so far: what the capturing host saw on its link, whatever is in it.
    records_untimed
        How many of these the file gives no arrival time for; they carry that of the record before.
    last_ns
        When the last record so far was captured; 0 where the file gives no times.
    link_types
        Records by link type (``LINKTYPE_`` value of tcpdump.org).
    """

    def __init__(self, path: Path, open_bytes: Callable[[], AbstractContextManager[StoredBytes]]) -> None:
        self.path = path
        self.records = 0
        self.records_untimed = 0
        self.last_ns = 0
        self.link_types: Counter[int] = Counter()
        self._finder = DatagramFinder(most_flows=sys.maxsize)
        self._open_bytes = open_bytes

    @property
    def skipped(self) -> Counter[str]:
        """Records that gave no datagram, by reason.

        Those of :mod:`rtpverify.sources.capture.link_layer`, ``cut_off`` for a last record that is not whole,
        ``damaged`` for one that contradicts itself.
        """
        return self._finder.skipped

    @property
    def flows(self) -> list[Flow]:
        """Every flow seen; it only grows."""
        return self._finder.flows

    def __iter__(self) -> Iterator[PacketBatch]:
        """Yield the datagrams.

        Raises
        ------
        SourceError
            Where the bytes cannot be read or are no capture, the file header is not whole, or no record is of a link
            type that can be read.
        """
        self.records = self.records_untimed = self.last_ns = 0
        self.link_types.clear()
        self.skipped.clear()
        with self._open_bytes() as stored:
            yield from self._batches(stored)
        if self.records and self.skipped["link_type"] == self.records:
            types = ", ".join(str(link_type) for link_type in sorted(self.link_types))
            raise SourceError(f"{self.path}: capture of link type {types}, which is not supported")

    def _batches(self, stored: StoredBytes) -> Iterator[PacketBatch]:
        """Yield the datagrams in the records of these bytes."""
        form = self._format_of(stored)
        position, stopped = form.position, None
        while stopped is None:
            part = form.read(stored.data, stored.arena, position, BATCH_RECORDS, self.skipped)
            position, stopped = part.position, part.stopped
            if part.records is not None and len(part.records.offset):
                batch = self._batch(stored.arena, part.records)
                if len(batch):
                    yield batch
                stored.release(int(part.records.offset[0]))
            at_end = stopped == CUT_OFF or (stopped is None and position >= len(stored.data))
            if at_end and stored.more(position):
                position, stopped = 0, None
            elif at_end and stopped is None:
                return
        self.skipped[stopped] += 1

    def _format_of(self, stored: StoredBytes) -> PcapRecords | PcapngRecords:
        """Return what reads the records of these bytes."""
        while len(stored.data) < SECTION_HEADER_BYTES and stored.more(0):
            pass
        start = bytes(stored.data[:SECTION_HEADER_BYTES])
        if not start:
            raise SourceError(f"{self.path}: empty file")
        if not (is_pcap(start) or is_pcapng(start)):
            raise SourceError(f"{self.path}: not a pcap or pcapng capture: starts with {start[:4].hex(' ')}")
        header_bytes = HEADER_BYTES if is_pcap(start) else SECTION_HEADER_BYTES
        if len(start) < header_bytes:
            raise SourceError(f"{self.path}: capture header cut off: {len(start)} of {header_bytes} bytes")
        return PcapRecords(start) if is_pcap(start) else PcapngRecords()

    def _batch(self, arena: NDArray[np.uint8], records: RecordBatch) -> PacketBatch:
        """Return the datagrams in a batch of records."""
        count = len(records.offset)
        self.records += count
        self.records_untimed += records.untimed
        self.last_ns = max(self.last_ns, int(records.arrival_ns.max()))
        for link_type in distinct(records.link_type):
            self.link_types[link_type] += int(np.count_nonzero(records.link_type == link_type))

        return self._finder.find(arena, records)[0]


def is_capture(path: str | Path) -> bool:
    """Return by its content whether a file is a capture (pcap or pcapng, compressed or not), whatever its name.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        Whether it is.

    Raises
    ------
    SourceError
        Where there is no such file, it cannot be read, or what it is compressed with is damaged at its start.
    """
    path = Path(path)
    start = _read_start(path)
    if compression_of(start) is not None:
        with reading(path) as read:
            start = read()
    return is_pcap(start) or is_pcapng(start)


def read_capture(path: str | Path) -> CaptureReader:
    """Open a capture, pcap or pcapng, as it is or compressed with gzip or zstd.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    CaptureReader
        A reader at the first record.

    Raises
    ------
    SourceError
        Where there is no such file, it cannot be read, is empty, or is no capture.
    SourceError
        Where the file cannot be read, or is no capture.
    """
    path = Path(path)
    start = _read_start(path)
    if compression_of(start) is not None:
        return CaptureReader(path, lambda: _file_bytes(path))
    if not start:
        raise SourceError(f"{path}: empty file")
    if not (is_pcap(start) or is_pcapng(start)):
        raise SourceError(f"{path}: not a pcap or pcapng capture: starts with {start[:4].hex(' ')}")
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from error
    stored = MappedBytes(mapped)
    return CaptureReader(path, lambda: nullcontext(stored))


def stream_capture(read: Read, place: str) -> CaptureReader:
    """Return a capture of which a function gives the bytes as they come; it can be read once.

    Parameters
    ----------
    read
        Returns the next bytes, or none at the end.
    place
        What messages call it.

    Returns
    -------
    CaptureReader
        A reader at the first record.
    """
    return CaptureReader(Path(place), lambda: nullcontext(StreamedBytes(decompressed(read, place))))


@contextmanager
def _file_bytes(path: Path) -> Iterator[StoredBytes]:
    """Give the bytes of a compressed file."""
    with reading(path) as read:
        yield StreamedBytes(read)


def _read_start(path: Path) -> bytes:
    """Return the first bytes of a file; a pipe or device is refused, opening it might wait for ever."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path}: {'a directory' if path.is_dir() else 'not a regular file'}")
        with path.open("rb") as file:
            return file.read(_MAGIC_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{path}: {reason}") from error
