"""Defects of the daemon itself: contained where they arise, reported in log, metrics and ``/readyz``, and survived."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rtpverify.errors import RequestError
from rtpverify.failure import Failure, in_one_line
from rtpverify.live import defect_files

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

RECENT_SECONDS = 300.0
"""So long a defect keeps the daemon from being ready."""
MOST_KEPT = 20
"""Tracebacks that one run writes to files, and defects that are logged one by one; all of them are counted."""
PLACES = ("input", "encoding", "transport", "signal", "result", "stream", "outlet", "page", "supervisor", "loop")
"""Where defects may arise: first what the verifier does, then what is done for one stream, for a sink, for a
request, by the supervisor, and by the receive loop besides."""
_SAID = {"outlet": "sink"}
"""How a place is called in messages, where its published label is another word."""


class Defects:
    """Contains exceptions that nobody expected. May be used in any thread.

    Parameters
    ----------
    log
        Where they are reported.

    Attributes
    ----------
    counts
        How many there were at each of :data:`PLACES`.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self.counts = Counter(dict.fromkeys(PLACES, 0))
        self._log = log
        self._lock = threading.Lock()
        self._latest: dict[tuple[str, str], float] = {}
        """When each was seen last, by place and what is said of it; on the monotonic clock."""

    @contextmanager
    def contained(self, where: str, of: str | None = None) -> Iterator[None]:
        """Let an exception cost this step alone; ``of`` names the stream, sink or path.

        Parameters
        ----------
        where
            Where it happened, one of :data:`PLACES`.
        of
            Name of the stream, sink or path that it concerns.

        Yields
        ------
        None
            Nothing.
        """
        try:
            yield
        except Exception as error:
            self.take(where, of, error)

    def take(self, where: str, of: str | None, error: BaseException) -> None:
        """Report an exception.

        Parameters
        ----------
        where
            Where it happened, one of :data:`PLACES`.
        of
            Name of the stream, sink or path that it concerns.
        error
            The exception.
        """
        self._tell(where, of, in_one_line(error), "".join(traceback.format_exception(error)))

    def take_failures(self, failures: Iterable[Failure]) -> None:
        """Report what the verifier has contained; a reference that cannot hold is no defect.

        Parameters
        ----------
        failures
            What was contained.
        """
        for failure in failures:
            if isinstance(failure.error, RequestError):
                self._log.warning("not checked", stream=failure.stream, reason=str(failure.error))
            else:
                self._tell(failure.where, failure.stream, failure.message, failure.traceback)

    def _tell(self, where: str, of: str | None, message: str, text: str) -> None:
        what = _SAID.get(where, where) + (f" of {of}" if of else "")
        with self._lock:
            self.counts[where] += 1
            is_new = (what, message) not in self._latest
            if is_new and len(self._latest) >= MOST_KEPT:
                return
            self._latest[what, message] = time.monotonic()
        if is_new:
            kept = defect_files.keep(text)
            place = {"traceback": str(kept)} if kept else {"text": text}
            self._log.error("defect of rtpverify", where=where, of=of, reason=message, **place)

    def recent(self) -> list[str]:
        """Return what happened lately, one line each.

        Returns
        -------
        list[str]
            The latest last.
        """
        since = time.monotonic() - RECENT_SECONDS
        with self._lock:
            return [
                f"internal error in rtpverify: {what}: {message}"
                for (what, message), seen in self._latest.items()
                if seen >= since
            ]
