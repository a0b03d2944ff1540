"""Where a capture's bytes come from: a file in memory, a compressed file, or a pipe that is read as it fills.

A reader walks over ``data`` and asks for ``more`` where a record is not whole yet. A mapped file has no more; of what
is streamed, only the part that is not read yet stays in memory.
"""

from __future__ import annotations

import gzip
import io
import mmap
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError

Data = mmap.mmap | bytes
Read = Callable[[], bytes]
"""Returns the next bytes, at least one, or none at the end."""

CHUNK_BYTES = 1 << 20
_RELEASE_BYTES = 64 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
COMPRESSIONS = {_GZIP: "gzip", _ZSTD: "zstd"}
"""Name of the compression by the first bytes (RFC 1952, RFC 8878)."""


class StoredBytes(Protocol):
    """The bytes of a capture, or the part of them that is at hand.

    Attributes
    ----------
    data, arena
        What is at hand, twice: as a buffer and as an array of shape (any,), dtype uint8.
    """

    data: Data
    arena: NDArray[np.uint8]

    def more(self, position: int) -> bool:
        """Get what follows; ``data`` then begins with what it had from ``position`` on. False: nothing follows.

        Parameters
        ----------
        position
            Offset in the file, in bytes.

        Returns
        -------
        bool
            Whether something follows.
        """

    def release(self, position: int) -> None:
        """Let go of the memory before ``position``, where that can be more than the host has.

        Parameters
        ----------
        position
            Offset in the file, in bytes.
        """


class MappedBytes:
    """A file that is mapped into memory, and is itself the arena: no payload is copied.

    Parameters
    ----------
    mapped
        The whole file.
    """

    def __init__(self, mapped: mmap.mmap) -> None:
        self.data: Data = mapped
        self.arena = np.frombuffer(mapped, np.uint8)
        self._mapped = mapped
        self._released = 0
        if hasattr(mmap, "MADV_SEQUENTIAL"):
            mapped.madvise(mmap.MADV_SEQUENTIAL)

    def more(self, position: int) -> bool:  # noqa: ARG002 - all of it is at hand
        """Return False.

        Parameters
        ----------
        position
            Offset in the file, in bytes.

        Returns
        -------
        bool
            The whole file is there from the start.
        """
        return False

    def release(self, position: int) -> None:
        """Let go of whole pages before ``position``.

        Parameters
        ----------
        position
            Offset in the file, in bytes.
        """
        if position - self._released < _RELEASE_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
            return
        size = (position - self._released) // mmap.PAGESIZE * mmap.PAGESIZE
        self._mapped.madvise(mmap.MADV_DONTNEED, self._released, size)
        self._released += size


class StreamedBytes:
    """Bytes that come one after another.

    Parameters
    ----------
    read
        Returns so many bytes, fewer at the end.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._hold(b"")

    def _hold(self, data: bytes) -> None:
        self.data: Data = data
        self.arena = np.frombuffer(data, np.uint8)

    def more(self, position: int) -> bool:
        """Wait for bytes; return False at the end.

        Parameters
        ----------
        position
            Offset in the file, in bytes.

        Returns
        -------
        bool
            Whether something came.
        """
        following = self._read()
        if following:
            self._hold(bytes(self.data[position:]) + following)
        return bool(following)

    def release(self, position: int) -> None:
        """Do nothing: what was read is forgotten with the next bytes.

        Parameters
        ----------
        position
            Offset in the file, in bytes.
        """


def compression_of(start: bytes) -> str | None:
    """Return the name of the compression that bytes begin with, None where they begin with none.

    Parameters
    ----------
    start
        The first bytes, four at least.

    Returns
    -------
    str or None
        ``"gzip"`` or ``"zstd"``.
    """
    return next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), None)


@contextmanager
def reading(path: Path) -> Iterator[Read]:
    """Give a function that reads a file, decompressed where it is compressed.

    Parameters
    ----------
    path
        The file.

    Yields
    ------
    Read
        Returns so many bytes, fewer at the end.

    Raises
    ------
    SourceError
        Where the file cannot be opened, and as :func:`decompressed`.
    """
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    with file:
        yield decompressed(lambda: file.read(CHUNK_BYTES) or b"", str(path))


def decompressed(read: Read, place: str) -> Read:
    """Return a function that gives what ``read`` gives, decompressed where it is compressed.

    Parameters
    ----------
    read
        Returns so many bytes, fewer at the end.
    place
        What the text is a value of, for the message of an error.

    Returns
    -------
    Read
        The same, of what is compressed.

    Raises
    ------
    SourceError
        From the function, where the compressed data is damaged or cut off; it names ``place``, and how far it is whole.
    SourceError
        Where what decompresses it is not installed.
    """
    start = read()
    while 0 < len(start) < max(map(len, COMPRESSIONS)) and (following := read()):
        start += following
    name = compression_of(start)
    source = _Resumed(start, read)
    if name is None:
        return lambda: source.read(CHUNK_BYTES)
    file, damage = _opened(name, source)
    done = 0

    def read_on() -> bytes:
        nonlocal done
        try:
            data = file.read(CHUNK_BYTES)
        except EOFError:
            what = "ends before its end"
        except damage as error:
            what = f"is damaged ({error})"
        else:
            done += len(data)
            return bytes(data)
        raise SourceError(
            f"{place}: its {name} data {what} after {done:,} bytes of the capture; copy it again, or check what "
            f"{name} -dc still gives of it"
        )

    return read_on


class _Resumed(io.RawIOBase):
    """What has been read already, then what a function gives."""

    def __init__(self, start: bytes, read: Read) -> None:
        super().__init__()
        self._rest, self._read = start, read

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._rest or self._read()
        size = len(data) if size < 0 else size
        self._rest = data[size:]
        return data[:size]


def _opened(name: str, source: _Resumed) -> tuple[Any, tuple[type[Exception], ...]]:
    """Return a file that decompresses as it is read, and what it raises for damaged data."""
    if name == "gzip":
        return gzip.GzipFile(fileobj=source, mode="rb"), (gzip.BadGzipFile, zlib.error)
    try:
        from compression.zstd import ZstdError, ZstdFile
    except ImportError:  # before Python 3.14
        from backports.zstd import ZstdError, ZstdFile
    return ZstdFile(source, "rb"), (ZstdError,)
