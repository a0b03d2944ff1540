"""``[event_log]``: events as JSON lines, to standard output or a file.

A line is written whole or not at all, also where the disk fills up. Nothing but a regular file is opened: a pipe would
hold the writer up until somebody reads it, and can be neither rotated nor cut back. A file that was moved away
(logrotate) or removed is begun again with the next event; without such a helper the file is rotated here once it
reaches its size.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from rtpverify.daemon.config.base import mistake, path_of
from rtpverify.daemon.sinks.base import ReportedEvent, Sink, SinkContext
from rtpverify.daemon.sinks.event_filter import ChoosingTable
from rtpverify.daemon.sinks.queue import Backlog
from rtpverify.report.json import strict
from rtpverify.sources.small_file import require_regular

STANDARD_OUTPUT = Path("-")
CAPACITY = 20_000
"""Most events that wait for the disk or the reader."""
STOP_SECONDS = 2.0
"""Most time for the rest, at the end."""


def _target(value: object, info: ValidationInfo) -> Path:
    if value == "-":
        return STANDARD_OUTPUT
    path = path_of(value, info)
    try:
        require_regular(path.stat())
    except FileNotFoundError:
        pass  # it is made with the first event
    except OSError as error:
        raise mistake(f"{error.strerror}; - is standard output") from None
    return path


class EventLogTable(ChoosingTable):
    """``[event_log]``."""

    path: Annotated[Path, BeforeValidator(_target)]
    """``-`` is standard output."""
    faults_only: Annotated[bool, Field(strict=True)] = False
    max_bytes: Annotated[int, Field(strict=True, ge=4096)] = 100 << 20
    """Of the file; then it becomes ``NAME.1``, and that ``NAME.2``."""
    files: Annotated[int, Field(strict=True, ge=1, le=1000)] = 5
    """Kept in all."""


class EventLog(Sink):
    """Writes events as they begin and as they end.

    ``counts`` has ``written``, ``dropped`` (events that found no room), ``failed`` (writes).

    Parameters
    ----------
    table
        Its table of the configuration.
    context
        What it may know of the service.
    """

    def __init__(self, table: EventLogTable, context: SinkContext) -> None:
        super().__init__()
        self._table = table
        self._log = context.log
        self._context = context
        self._file = LineFile(table.path, table.max_bytes, table.files)
        self._backlog: Backlog[dict[str, Any]] | None = None

    @property
    def waiting(self) -> int:
        """How many events wait to be written."""
        return self._backlog.waiting if self._backlog else 0

    async def start(self) -> None:
        """Begin to write; the file is opened with the first event."""
        self._backlog = Backlog(
            "event log",
            self._write,
            capacity=CAPACITY,
            errors=(OSError,),
            counts=self.counts,
            on_trouble=self._note,
            on_defect=lambda error: self._context.defects.take("outlet", "event log", error),
        )

    async def stop(self) -> None:
        """Write the rest."""
        if self._backlog is not None:
            await asyncio.to_thread(self._backlog.close, STOP_SECONDS)
        self._file.close()

    def tell(self, told: Sequence[ReportedEvent]) -> None:
        """Take events.

        Parameters
        ----------
        told
            Events with their streams.
        """
        chosen = self._table.chosen(told)
        if chosen and self._backlog is not None:
            self._backlog.put([item.document for item in chosen])

    def _write(self, documents: Sequence[dict[str, Any]]) -> bool:
        lines = (json.dumps(strict(document), ensure_ascii=False, allow_nan=False) for document in documents)
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        return True

    def _note(self, trouble: str | None) -> None:
        place = "standard output" if self._table.path == STANDARD_OUTPUT else str(self._table.path)
        self.trouble = f"{place}: {trouble}" if trouble else None
        if trouble:
            self._log.error("event log not written", to=place, reason=trouble)
        else:
            self._log.info("event log writable again", to=place)


class LineFile:
    """A file that whole lines are appended to.

    Parameters
    ----------
    path
        ``-`` is standard output.
    max_bytes, files
        Past so many bytes the file is put aside; so many files there are in all.
    """

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._descriptor = -1

    def write(self, lines: bytes) -> None:
        """Append lines, all or none.

        Parameters
        ----------
        lines
            Whole lines.

        Raises
        ------
        OSError
            Where they cannot be written.
        """
        if self._path == STANDARD_OUTPUT:
            _write_all(1, lines)
            return
        descriptor = self._current(len(lines))
        size = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, lines)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise OSError(error.errno, error.strerror) from error

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _current(self, more_bytes: int) -> int:
        """Return the file that bears the name at present, with room for some more."""
        try:
            named = self._path.stat()
            require_regular(named)
        except FileNotFoundError:
            self.close()
        else:
            if named.st_size and named.st_size + more_bytes > self._max_bytes:
                self.close()
                self._put_aside()
            elif self._descriptor >= 0 and not os.path.samestat(named, os.fstat(self._descriptor)):
                self.close()
        if self._descriptor < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
            descriptor = os.open(self._path, flags, 0o666)
            try:
                require_regular(os.fstat(descriptor))  # another may have taken the name meanwhile
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
        return self._descriptor

    def _put_aside(self) -> None:
        """Give each file the name of the one before it; the oldest goes."""
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._files))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            with suppress(FileNotFoundError):
                newer.rename(older)
        if len(names) == 1:
            self._path.unlink()


def _write_all(descriptor: int, content: bytes) -> None:
    """Write everything, in as many pieces as it takes."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
