"""The daemon's log: structlog on the event loop, the writing in a thread.

A terminal that is held or a pipe that nobody reads must not stop reception: lines wait in a bounded queue, and those
that do not fit are counted, not waited for.
"""

from __future__ import annotations

import queue
import sys
import threading
from types import TracebackType
from typing import Literal, Self, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from rtpverify.report.printable import printable

MAX_WAITING_LINES = 10_000


class LogWriter:
    """A text file that a thread writes. ``write`` never blocks; ``dropped`` counts the lines it could not take.

    Parameters
    ----------
    file
        Where to.
    max_lines
        Lines that may wait.
    """

    def __init__(self, file: TextIO, max_lines: int = MAX_WAITING_LINES) -> None:
        self.dropped = 0
        self._file = file
        self._lines: queue.Queue[str | None] = queue.Queue(max_lines)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Hand ``text`` over, or drop it where too much waits.

        Parameters
        ----------
        text
            Whole lines.

        Returns
        -------
        int
            Length of the text, as a file would return it.
        """
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread flushes whenever nothing more waits."""

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Wait until everything is written, but not for ever.

        Parameters
        ----------
        timeout_seconds
            How long to wait at most.
        """
        try:
            self._lines.put(None, timeout=timeout_seconds)
        except queue.Full:
            return
        self._thread.join(timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                self._file.write(text)
                if self._lines.empty():
                    self._file.flush()
            except (OSError, ValueError):  # the reader has gone; verification goes on
                self.dropped += 1


def make_logger(writer: LogWriter | TextIO, form: Literal["console", "json"]) -> FilteringBoundLogger:
    """Return a logger of its own (nothing global is configured) that writes lines of the given form.

    Parameters
    ----------
    writer
        Where lines go.
    form
        ``console`` for people, ``json`` for machines.

    Returns
    -------
    FilteringBoundLogger
        Its methods never block where the writer does not.
    """
    last: list[Processor]
    if form == "json":
        last = [structlog.processors.JSONRenderer()]
    else:
        last = [_printable, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False, pad_event_to=24)]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(writer),  # type: ignore[arg-type]
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        cache_logger_on_first_use=True,
    )
    return logger


def _printable(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """Escape what would steer a terminal in text that may come from the network; JSON escapes by itself."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}
