"""The files that a configuration consists of: whether they changed, and what they say now.

A change counts once the files stayed the same from one look to the next, so that one that is just being written is not
read. Looking and reading take the disk: not on the event loop.
"""

from __future__ import annotations

from pathlib import Path

from rtpverify.daemon.configuration import Configuration, read_config
from rtpverify.reference import Recording
from rtpverify.sources.audio.file_stamp import Stamp, stamp_of

Stamps = dict[Path, Stamp | None]


class ConfigurationFiles:
    """A configuration's file, and the session descriptions and recordings that it names.

    Parameters
    ----------
    path
        The file.
    configuration
        What was read of it just now.
    """

    def __init__(self, path: Path, configuration: Configuration) -> None:
        self._path = path
        self._files = _files(path, configuration)
        self._read = self._seen = self._stamps()

    def have_changed(self) -> bool:
        """Return whether there is something to read.

        Returns
        -------
        bool
            True once a file has stayed the same since the last call, and is another one than was read.
        """
        before, self._seen = self._seen, self._stamps()
        return self._seen != self._read and self._seen == before

    def read(self) -> Configuration:
        """Read the configuration; what cannot be taken over is not read again until it changes.

        Returns
        -------
        Configuration
            What it says now.

        Raises
        ------
        ConfigurationError
            With every mistake, one line each.
        """
        self._read = self._seen = self._stamps()
        return read_config(self._path)

    def taken_over(self, configuration: Configuration) -> None:
        """Read the files of the configuration that was read last.

        Parameters
        ----------
        configuration
            What was read last.
        """
        self._files = _files(self._path, configuration)
        self._read = self._seen = {path: self._read.get(path, stamp_of(path)) for path in self._files}

    def _stamps(self) -> Stamps:
        return {path: stamp_of(path) for path in self._files}


def _files(path: Path, configuration: Configuration) -> list[Path]:
    tables = [
        *configuration.stream,
        *configuration.folder,
        *([configuration.announced] if configuration.announced else []),
    ]
    recordings = {table.reference.path for table in tables if isinstance(table.reference, Recording)}
    return [path, *(Path(table.sdp.place) for table in configuration.stream if table.sdp is not None), *recordings]
