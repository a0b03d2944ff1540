"""The members of an archive: which files the patterns name, here or in any store that fsspec knows."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from rtpverify.engine.share import WHOLE, Share
from rtpverify.errors import RequestError, SourceError

_REMOTE = "://"


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One file of an archive.

    Attributes
    ----------
    address
        Its path, or its address in a store.
    size_bytes
        None where the store does not say.
    version
        What changes when the file does: time of its last change, or the store's own mark.
    share
        The streams that are checked here, where the others are elsewhere (:mod:`rtpverify.commands.batch.shares`).
    """

    address: str
    size_bytes: int | None = None
    version: str = ""
    share: Share = WHOLE


def is_remote(address: str) -> bool:
    """Return whether an address is that of a store, and no path of this machine.

    Parameters
    ----------
    address
        The address.

    Returns
    -------
    bool
        Whether it is.
    """
    return _REMOTE in address


def find_members(patterns: Iterable[str]) -> list[Member]:
    """Return the files that patterns name, each once, in order of their addresses.

    Parameters
    ----------
    patterns
        Paths, globs (``**`` is any number of folders), folders (all files in them), or the same as an address of
        fsspec, such as ``s3://bucket/2026/*.pcap``. Hidden files are found only by their own names.

    Returns
    -------
    list[Member]
        With size and time of the last change.

    Raises
    ------
    RequestError
        Where a store cannot be reached, or fsspec is not installed.
    """
    found: dict[str, Member] = {}
    for pattern in patterns:
        for member in _remote(pattern) if is_remote(pattern) else _local(pattern):
            found[member.address] = member
    return sorted(found.values())


def _local(pattern: str) -> Iterator[Member]:
    path = Path(pattern)
    if path.is_dir():
        names: Iterable[str] = glob.iglob(f"{glob.escape(pattern)}/**", recursive=True)  # noqa: PTH207
    elif path.exists():
        names = [pattern]
    else:
        names = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - an absolute pattern, too
    for name in names:
        place = Path(name)
        if not place.is_dir():
            status = place.stat() if place.exists() else None
            version = "" if status is None else str(status.st_mtime_ns)
            yield Member(str(place.absolute()), None if status is None else status.st_size, version)


def _remote(pattern: str) -> Iterator[Member]:
    store, path = store_of(pattern)
    try:
        listed = store.find(path, detail=True) if store.isdir(path) else store.glob(path, detail=True)
        for name, about in listed.items():
            if about.get("type") == "file":
                mark = next((about[key] for key in ("ETag", "etag", "LastModified", "mtime") if about.get(key)), "")
                yield Member(store.unstrip_protocol(name), about.get("size"), str(mark))
    except Exception as error:
        raise RequestError(f"{pattern}: {error}") from error


def store_of(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it.

    Parameters
    ----------
    address
        An address of fsspec.

    Returns
    -------
    store : fsspec.AbstractFileSystem
        The file system.
    path : str
        The path in it.

    Raises
    ------
    RequestError
        Where fsspec, or what it needs for this kind of store, is not installed.
    """
    try:
        from fsspec.core import url_to_fs

        store, path = url_to_fs(address)
    except ImportError as error:
        raise RequestError(f"{address}: {error}; pip install 'rtpverify[batch]' and what the store needs") from error
    except ValueError as error:
        raise RequestError(f"{address}: {error}") from error
    return store, path


@contextmanager
def at_hand(member: Member) -> Iterator[Path]:
    """Give a path at which a member can be read: its own, or that of a copy which is removed afterwards.

    Parameters
    ----------
    member
        The member.

    Yields
    ------
    Path
        The path.

    Raises
    ------
    SourceError
        Where it cannot be fetched.
    """
    if not is_remote(member.address):
        yield Path(member.address)
        return
    with TemporaryDirectory(prefix="rtpverify-") as folder:
        copy = Path(folder) / PurePosixPath(member.address).name
        store, path = store_of(member.address)
        try:
            store.get_file(path, str(copy))
        except Exception as error:
            raise SourceError(f"{member.address}: {error}") from error
        yield copy
