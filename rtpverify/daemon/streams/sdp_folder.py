"""``[[folder]]``: streams that session descriptions in a folder describe, as files come, change and go.

A file is taken once it stayed the same from one look to the next, so that one that is just being written is not read.
What is wrong with a file is reported, and what was read of it before stays in force; so do all streams of a folder that
cannot be read. Looking takes the disk: not on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from rtpverify.daemon.config.base import PathField, mistake
from rtpverify.daemon.streams.expected import ExpectationTable, FollowedStream, followed_of, label, named
from rtpverify.errors import RequestError
from rtpverify.live.sdp_session import read_session
from rtpverify.sources.audio.file_stamp import Stamp, stamp_of


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise mistake("is no folder" if path.exists() else "there is no such folder")
    return path


class FolderTable(ExpectationTable):
    """``[[folder]]``: the streams of every session description in a folder."""

    path: Annotated[PathField, AfterValidator(_folder)]
    pattern: Annotated[str, Field(strict=True, min_length=1)] = "*.sdp"
    """Which files are read, with ``*``, ``?`` and ``[...]``."""
    max_streams: Annotated[int, Field(strict=True, ge=1, le=256)] = 64


@dataclass(slots=True)
class _File:
    """A file as it was read last, and what came of it."""

    stamp: Stamp | None
    streams: Sequence[FollowedStream] = ()
    mistake: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What is in a folder.

    Attributes
    ----------
    streams
        By file.
    mistakes
        What is wrong, one line each.
    """

    streams: dict[str, Sequence[FollowedStream]] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()


class SdpFolder:
    """Looks at a folder again and again.

    Parameters
    ----------
    table
        Its table of the configuration.
    """

    def __init__(self, table: FolderTable) -> None:
        self.table = table
        self.streams: dict[str, Sequence[FollowedStream]] = {}
        """What is to be followed as of the last look, by file."""
        self._files: dict[Path, _File] = {}
        self._seen: dict[Path, Stamp | None] = {}

    def look(self, *, at_once: bool = False) -> Look:
        """Read what is new or has changed; return everything that is to be followed.

        Parameters
        ----------
        at_once
            Take files also where they changed since the last look.

        Returns
        -------
        Look
            Streams by file, and what could not be read.
        """
        try:
            # Not glob(), to which a folder that cannot be read is an empty one.
            paths = sorted(path for path in self.table.path.iterdir() if path.match(self.table.pattern))
        except OSError as error:
            return self._found((f"{self.table.path}: {error.strerror}; its streams are kept",))
        before, self._seen = self._seen, {path: stamp_of(path) for path in paths}
        for path in self._files.keys() - self._seen.keys():
            del self._files[path]
        for path, stamp in self._seen.items():
            known = self._files.get(path)
            is_steady = at_once or (path in before and before[path] == stamp)
            if is_steady and (known is None or known.stamp != stamp):
                self._files[path] = self._read(path, stamp, () if known is None else known.streams)
        return self._found()

    def _read(self, path: Path, stamp: Stamp | None, before: Sequence[FollowedStream]) -> _File:
        try:
            streams = followed_of(read_session(path), self.table)
        except RequestError as error:
            text = str(error)
            return _File(stamp, before, text if text.startswith(str(path)) else f"{path}: {text}")
        return _File(stamp, named(streams, label(path.stem)))

    def _found(self, mistakes: Iterable[str] = ()) -> Look:
        """Return the streams of all files, as many as are allowed."""
        streams: dict[str, Sequence[FollowedStream]] = {}
        told = [*mistakes, *(known.mistake for known in self._files.values() if known.mistake)]
        left = self.table.max_streams
        for path, known in sorted(self._files.items()):
            if len(known.streams) > left:
                told.append(f"{path}: has {len(known.streams)} streams, {left} of max_streams are left")
            else:
                left -= len(known.streams)
                streams[str(path)] = known.streams
        self.streams = streams
        return Look(streams, tuple(told))
