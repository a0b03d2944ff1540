"""The folder of evidence: one folder for each event, the oldest removed where there is too much.

Rules: the folder of an event appears whole or not at all. Names begin with the event's time, so that they sort by it,
and end with its id. What does not look like ours is left alone.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENT, PACKETS, AUDIO, PLOT = "event.json", "packets.pcap", "audio.wav", "plot.svg"
FILES = (EVENT, PACKETS, AUDIO, PLOT)
"""What an event's folder may hold; audio and plot not where nothing shows how the packets are decoded."""

_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)_([A-Za-z0-9_.-]+)_([a-z_]+)_([0-9a-f]{12})")
_PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is kept of one event: its folder, and what the folder's name says."""

    path: Path
    id: str
    stream: str
    kind: str

    @property
    def files(self) -> dict[str, Path]:
        """The files there are, by their names."""
        return {name: self.path / name for name in FILES if (self.path / name).is_file()}

    def document(self) -> dict[str, Any]:
        """Return what ``event.json`` says.

        Returns
        -------
        dict[str, Any]
            The content of the file.

        Raises
        ------
        OSError, ValueError
            Where it cannot be read; it may have been removed meanwhile.
        """
        content: dict[str, Any] = json.loads((self.path / EVENT).read_text(encoding="utf-8"))
        return content


def evidence_in(root: Path) -> list[Evidence]:
    """Return all evidence of a folder, the oldest first; nothing where there is no such folder.

    Parameters
    ----------
    root
        The folder.

    Returns
    -------
    list[Evidence]
        One for each folder with the name of evidence.
    """
    try:
        names = sorted(path.name for path in root.iterdir())
    except OSError:
        return []
    found = [(name, _NAME.fullmatch(name)) for name in names]
    return [Evidence(root / name, match[4], match[2], match[3]) for name, match in found if match]


def evidence_of(root: Path, event_id: str) -> Evidence | None:
    """Return the evidence of an event, None where there is none; any text may be asked for.

    Parameters
    ----------
    root
        The folder.
    event_id
        Id of the event.

    Returns
    -------
    Evidence or None
        The latest where there are several.
    """
    return next((item for item in reversed(evidence_in(root)) if item.id == event_id), None)


class EvidenceFolder:
    """The writer's side of a folder of evidence; one at a time.

    Parameters
    ----------
    root
        Made where there is none.
    max_bytes
        Of everything in it.

    Attributes
    ----------
    size_bytes
        Of everything in it.

    Raises
    ------
    OSError
        Where it cannot be made or read.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self._max_bytes = max_bytes
        root.mkdir(parents=True, exist_ok=True)
        for left in root.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left, ignore_errors=True)
        self.size_bytes = self._measured()

    def add(self, time: str, stream: str, kind: str, event_id: str, files: Mapping[str, bytes]) -> int:
        """Keep files as the evidence of an event; remove the oldest where there is too much.

        Parameters
        ----------
        time
            Of the event, RFC 3339 in UTC with microseconds.
        stream
            Name of the stream.
        kind
            Kind of the event.
        event_id
            Its id.
        files
            Content by name.

        Returns
        -------
        int
            How many others were removed.

        Raises
        ------
        OSError
            Where they cannot be written; nothing is left of them then.
        """
        stamp = time.replace("-", "").replace(":", "")[:19] + "Z"
        name = f"{stamp}_{stream}_{kind}_{event_id}"
        partial = self.root / f"{_PARTIAL}{name}"
        size = sum(map(len, files.values()))
        removed = self._make_room(size)
        try:
            partial.mkdir(0o700)
            for file, content in files.items():
                _write(partial / file, content)
            shutil.rmtree(self.root / name, ignore_errors=True)
            partial.rename(self.root / name)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.size_bytes += size
        return removed

    def renew(self, event_id: str, content: bytes) -> None:
        """Replace ``event.json`` of an event that has evidence.

        Parameters
        ----------
        event_id
            Id of the event.
        content
            The new content.

        Raises
        ------
        OSError
            Where it cannot be written; it is left as it was then.
        """
        kept = evidence_of(self.root, event_id)
        if kept is None:
            return
        partial = kept.path / f"{_PARTIAL}{EVENT}"
        try:
            _write(partial, content)
            partial.replace(kept.path / EVENT)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _make_room(self, size_bytes: int) -> int:
        """Remove the oldest until something fits; return how many."""
        if size_bytes > self._max_bytes:
            raise OSError(errno.EFBIG, f"{size_bytes} bytes exceed the size limit of the folder", str(self.root))
        if self.size_bytes + size_bytes <= self._max_bytes:
            return 0
        self.size_bytes = self._measured()  # somebody may have tidied up
        removed = 0
        for item in evidence_in(self.root):
            if self.size_bytes + size_bytes <= self._max_bytes:
                break
            self.size_bytes -= _size(item.path)
            shutil.rmtree(item.path)
            removed += 1
        return removed

    def _measured(self) -> int:
        return sum(_size(item.path) for item in evidence_in(self.root))


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read: it holds what was said."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    with os.scandir(folder) as items:
        return sum(item.stat().st_size for item in items if item.is_file(follow_symlinks=False))
