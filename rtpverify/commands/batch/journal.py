"""What a run has done so far, kept in its folder: a run that was stopped continues where it was.

The journal is written in parts, each a whole file: a run that is killed loses the rows since the last one and no more,
in a folder of this machine as in a store that cannot append.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rtpverify.commands.batch.folder import Folder
from rtpverify.commands.batch.job import Job, Row, Status
from rtpverify.commands.batch.members import Member
from rtpverify.errors import OutputError, RequestError

REQUEST = "request.json"
_PREFIX = "journal-"
_MOST_ROWS, _MOST_SECONDS = 500, 5.0
"""A part is written with the row that makes so many, or comes so long after the part before."""
_SAME = ("reference", "limits", "encoding", "sdp", "streams", "redundant", "duration_seconds")
"""What two runs must have in common to go into one folder, and the version."""


class Journal:
    """The rows of a run, old and new.

    Parameters
    ----------
    folder
        Where it is kept.
    job
        What is asked for.

    Attributes
    ----------
    rows
        By address of the member, the latest of each.

    Raises
    ------
    RequestError
        Where the folder holds another run, or other files.
    """

    def __init__(self, folder: Folder, job: Job) -> None:
        self.rows: dict[str, Row] = {}
        self._folder = folder
        self._unwritten: list[Row] = []
        self._written = time.monotonic()
        names = folder.names()
        parts = [name for name in names if name.startswith(_PREFIX)]
        self._parts = len(parts)
        if REQUEST in names:
            _require_same(json.loads(folder.read(REQUEST)), _described(job))
        elif names:
            raise RequestError(
                f"--out: the folder holds {names[0]}, which is of no run of rtpverify batch; name another"
            )
        else:
            folder.write(REQUEST, _line(_described(job)))
        for part in parts:
            for line in folder.read(part).splitlines():
                row = json.loads(line)
                self.rows[row["member"]] = row

    def remaining(self, members: Iterable[Member]) -> list[Member]:
        """Return the members that were not verified yet, have changed since, or could not be read.

        Parameters
        ----------
        members
            All members.

        Returns
        -------
        list[Member]
            In the same order.
        """
        return [member for member in members if not self._is_done(member)]

    def _is_done(self, member: Member) -> bool:
        row = self.rows.get(member.address)
        if row is None or row["status"] in (Status.UNREADABLE, Status.DEFECT):
            return False
        return (row["size_bytes"], row["version"]) == (member.size_bytes, member.version)

    def add(self, rows: Iterable[Row]) -> None:
        """Take in rows; they are written a little later.

        Parameters
        ----------
        rows
            What was verified.
        """
        for row in rows:
            self.rows[row["member"]] = row
            self._unwritten.append(row)
        if len(self._unwritten) >= _MOST_ROWS or time.monotonic() - self._written > _MOST_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is not written yet."""
        if self._unwritten:
            self._folder.write(f"{_PREFIX}{self._parts:06d}.jsonl", b"".join(map(_line, self._unwritten)))
            self._parts += 1
            self._unwritten = []
        self._written = time.monotonic()


def _described(job: Job) -> dict[str, Any]:
    wanted = asdict(job)
    return {"version": job.request.version, "command": job.request.command, **{name: wanted[name] for name in _SAME}}


def _require_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse a folder in which another request, or another version, has left its rows."""
    now = json.loads(_line(now))
    for name in ("version", *_SAME):
        if before.get(name) != now[name]:
            raise RequestError(
                f"--out: the folder holds a run with {name} {_short(before.get(name))}, not {_short(now[name])}; "
                "name another folder"
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _line(value: dict[str, Any]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        raise OutputError(f"a row cannot be written: {error}") from error
