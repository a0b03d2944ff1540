"""Files that are chunks with a length each (WAV, AIFF, CAF, AU, MP4, Matroska): what they promise, and what is there.

Only heads are read. A chunk that is longer than the rest of the file was cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_RIFF = (b"RIFF", b"RF64", b"BW64", b"RIFX")
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_HEAD_BYTES = 24
_W64_WAVE = bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
_MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
_MOST_CHUNKS = 1 << 16
_AUDIO = (b"data", b"SSND", b"mdat")
_SIZE_BEFORE = 0xFFFFFFFF
"""Size of a chunk whose true one the ``ds64`` chunk has (EBU Tech 3306)."""
_FARTHEST = (1 << 63) - 1
"""Where a file can be read at most."""
_UNKNOWN = ((1 << 64) - 1, _FARTHEST)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: its name, where its content begins, and how many bytes its head promises (None: to the end)."""

    name: bytes
    start: int
    size: int | None

    @property
    def is_audio(self) -> bool:
        """Whether it holds the samples."""
        return self.name in _AUDIO

    def missing(self, file_bytes: int) -> int:
        """Return how many of its bytes are not there.

        Parameters
        ----------
        file_bytes
            Length of the file.

        Returns
        -------
        int
            Bytes; 0 where it is whole.
        """
        return 0 if self.size is None else max(0, self.start + self.size - file_bytes)


def chunks_of(file: BinaryIO) -> tuple[bytes, list[Chunk]]:
    """Return the form of a file (``WAVE``, ``AIFF``, ``AIFC``, ``caff``, ``.snd``, ``mp4``, ``EBML``) and its chunks.

    The form is empty where it has none of these; a head that is not whole gives no chunk.

    Parameters
    ----------
    file
        The file, open for reading in binary.

    Returns
    -------
    tuple[bytes, list[Chunk]]
        The form, ``b""`` where it is none of these, and its chunks in order.
    """
    file.seek(0)
    head = file.read(40)
    if head[:4] in _RIFF and head[8:12] == b"WAVE":
        return b"WAVE", list(_riff(file, "big" if head[:4] == b"RIFX" else "little"))
    if head[:16] == _W64 and head[24:40] == _W64_WAVE:
        return b"WAVE", list(_w64(file))
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return head[8:12], list(_even(file, 12, "big"))
    if head[:4] == b"caff":
        return b"caff", list(_caf(file))
    if head[:4] == b".snd":
        size = int.from_bytes(head[8:12])
        return b".snd", [Chunk(b"data", int.from_bytes(head[4:8]), None if size == _SIZE_BEFORE else size)]
    if head[4:8] in _MP4_FIRST:
        return b"mp4", list(_boxes(file))
    if head[:4] == _EBML:
        return b"EBML", list(_elements(file))
    return b"", []


def _read_at(file: BinaryIO, at: int, count: int) -> bytes:
    """Return bytes of a place that a length in the file leads to, maybe further than any file is long."""
    if at > _FARTHEST:
        return b""
    file.seek(at)
    return file.read(count)


def _even(file: BinaryIO, at: int, order: str) -> Iterator[Chunk]:
    """Yield chunks with a name and a length of 4 bytes each, filled to even places."""
    for _ in range(_MOST_CHUNKS):
        head = _read_at(file, at, 8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], order)  # type: ignore[arg-type]
        yield Chunk(head[:4], at + 8, size)
        at += 8 + size + size % 2


def _riff(file: BinaryIO, order: str) -> Iterator[Chunk]:
    """Yield the chunks of a RIFF or RF64 file, long ones with the size that ``ds64`` has for them."""
    long_data: int | None = None
    at = 12
    while True:
        chunk = next(_even(file, at, order), None)
        if chunk is None:
            return
        if chunk.name == b"ds64":
            long_data = int.from_bytes(_read_at(file, chunk.start + 8, 8), "little")
        if chunk.name == b"data" and chunk.size == _SIZE_BEFORE and long_data is not None:
            chunk = Chunk(chunk.name, chunk.start, None if long_data in _UNKNOWN else long_data)
        yield chunk
        if chunk.size is None:
            return
        at = chunk.start + chunk.size + chunk.size % 2


def _w64(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks of a Sony Wave64 file: a GUID, a length that counts its head, filled to eight bytes."""
    at = len(_W64) + _W64_HEAD_BYTES
    for _ in range(_MOST_CHUNKS):
        head = _read_at(file, at, _W64_HEAD_BYTES)
        size = int.from_bytes(head[16:], "little")
        if len(head) < _W64_HEAD_BYTES or size < _W64_HEAD_BYTES:
            return
        yield Chunk(head[:4], at + _W64_HEAD_BYTES, None if size in _UNKNOWN else size - _W64_HEAD_BYTES)
        at += -(-size // 8) * 8


def _caf(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks of a Core Audio file; only its last one may have a length of -1, to the end."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        head = _read_at(file, at, 12)
        if len(head) < 12:
            return
        size = int.from_bytes(head[4:], signed=True)
        yield Chunk(head[:4], at + 12, None if size < 0 else size)
        if size < 0:
            return
        at += 12 + size


def _boxes(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the top boxes of an ISO base media file (ISO/IEC 14496-12 section 4.2), also one whose head is cut."""
    at = 0
    for _ in range(_MOST_CHUNKS):
        head = _read_at(file, at, 16)
        if not head:
            return
        size, length = int.from_bytes(head[:4]), 8
        if size == 1:
            size, length = int.from_bytes(head[8:]), 16
        if size == 0 and len(head) >= length:
            yield Chunk(head[4:8], at + length, None)
            return
        yield Chunk(head[4:8], at + length, max(size - length, 0))
        at += max(size, length)


def _elements(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the segment of a Matroska file, whose length all ones say is unknown (RFC 8794 section 6.2)."""
    at = 0
    for _ in range(2):
        head = _read_at(file, at, 12)
        if len(head) < 12:
            return
        length = 9 - head[4].bit_length()
        size = int.from_bytes(head[4 : 4 + length]) & (1 << 7 * length) - 1
        if head[:4] == _SEGMENT:
            yield Chunk(b"data", at + 4 + length, None if size == (1 << 7 * length) - 1 else size)
            return
        at += 4 + length + size
