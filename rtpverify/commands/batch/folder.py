"""The folder that the results go to, on this machine or in a store: whole files by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rtpverify.commands.batch.members import is_remote, store_of
from rtpverify.commands.output import replacing
from rtpverify.errors import OutputError


class Folder(Protocol):
    """Where files are written whole, and read again."""

    def names(self) -> list[str]:
        """Return the names of the files in it, in order; none where it is not there."""

    def read(self, name: str) -> bytes:
        """Return what a file holds.

        Parameters
        ----------
        name
            Name of the file.

        Raises
        ------
        OutputError
            Where it cannot be read.
        """

    def write(self, name: str, content: bytes) -> None:
        """Write a file, which has its name once it is whole.

        Parameters
        ----------
        name
            Name of the file.
        content
            What it is to hold.

        Raises
        ------
        OutputError
            Where it cannot be written.
        """

    def remove(self, name: str) -> None:
        """Remove a file.

        Parameters
        ----------
        name
            Name of the file.
        """


def open_folder(address: str) -> Folder:
    """Return a folder by its path or address; it is made when something is written.

    Parameters
    ----------
    address
        A path, or an address of fsspec.

    Returns
    -------
    Folder
        The folder.
    """
    return _Store(address) if is_remote(address) else _Local(Path(address))


class _Local:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        try:
            return sorted(item.name for item in self._path.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutputError(f"--out {self._path}: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise OutputError(f"--out {self._path / name}: {error.strerror}") from error

    def write(self, name: str, content: bytes) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"--out {self._path}: {error.strerror}") from error
        with replacing("--out", self._path / name) as place:
            place.write_bytes(content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


class _Store:
    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._store, self._path = store_of(self._address)

    def names(self) -> list[str]:
        try:
            self._store.invalidate_cache()
            return sorted(str(name).rpartition("/")[2] for name in self._store.ls(self._path, detail=False))
        except FileNotFoundError:
            return []
        except Exception as error:
            raise OutputError(f"--out {self._address}: {error}") from error

    def read(self, name: str) -> bytes:
        try:
            return bytes(self._store.cat_file(f"{self._path}/{name}"))
        except Exception as error:
            raise OutputError(f"--out {self._address}/{name}: {error}") from error

    def write(self, name: str, content: bytes) -> None:
        try:
            self._store.makedirs(self._path, exist_ok=True)
            self._store.pipe_file(f"{self._path}/{name}", content)
        except Exception as error:
            raise OutputError(f"--out {self._address}/{name}: {error}") from error

    def remove(self, name: str) -> None:
        try:
            self._store.rm_file(f"{self._path}/{name}")
        except Exception as error:
            raise OutputError(f"--out {self._address}/{name}: {error}") from error
