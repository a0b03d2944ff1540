"""``[history]``: every event into a store, from which ``rtpverify events`` and the page read.

The disk belongs to a thread: a full, slow, read-only or broken one never holds reception up. Events wait for it, as
many as ``CAPACITY``, and what does not fit is counted. A store that is broken is moved aside and begun again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from pydantic import Field

from rtpverify.daemon.config.base import PathField
from rtpverify.daemon.sinks.base import ReportedEvent, Sink, SinkContext, SinkTable
from rtpverify.daemon.sinks.queue import Backlog
from rtpverify.errors import RequestError
from rtpverify.events import rfc3339
from rtpverify.history.store import Document, Store, is_damage, set_aside

CAPACITY = 20_000
"""Most events that wait for the disk."""
TRIM_SECONDS = 60.0
"""How often events past age and size are removed."""
CHANGE_NS = 1_000_000_000
"""An event that continues is written again no more often than this."""
STOP_SECONDS = 3.0
"""Most time for the rest, at the end."""

_ERRORS = (sqlite3.Error, OSError, RequestError)


class HistoryTable(SinkTable):
    """``[history]``."""

    path: PathField
    max_age_days: Annotated[float, Field(strict=True, gt=0, le=36_500)] = 90.0
    max_bytes: Annotated[int, Field(strict=True, ge=1 << 20)] = 256 << 20
    """Of the store's file; the oldest events go."""


class History(Sink):
    """Keeps every event, as it was last reported.

    Parameters
    ----------
    table
        Its table of the configuration.
    context
        What it may know of the service.

    Attributes
    ----------
    path
        The store, for :mod:`rtpverify.history.query`.
    counts
        ``written``, ``dropped`` (events that found no room), ``failed`` (writes), ``trimmed`` (events removed for age
        or size), ``set_aside`` (broken stores).
    """

    def __init__(self, table: HistoryTable, context: SinkContext) -> None:
        super().__init__()
        self.path = table.path
        self._table = table
        self._log = context.log
        self._context = context
        self._store: Store | None = None
        self._backlog: Backlog[Document] | None = None
        self._has_begun = False
        self._open: dict[str, tuple[int, ReportedEvent]] = {}
        """Events that continue: when each is written next, and how it was reported last."""
        self.counts.update({"trimmed": 0, "set_aside": 0})

    @property
    def waiting(self) -> int:
        """How many events wait for the disk."""
        return self._backlog.waiting if self._backlog else 0

    async def start(self) -> None:
        """Open the store, or keep trying where the disk does not let us.

        Raises
        ------
        SourceError
            Where the file is another program's, or a later version's.
        """
        with suppress(sqlite3.Error, OSError):  # the thread tries again, and tells
            await asyncio.to_thread(self._opened)
        self._backlog = Backlog(
            "history",
            self._write,
            capacity=CAPACITY,
            errors=_ERRORS,
            counts=self.counts,
            on_trouble=self._note,
            on_defect=lambda error: self._context.defects.take("outlet", "history", error),
            idle=self._trim,
            idle_seconds=TRIM_SECONDS,
            finish=self._end,
        )

    async def stop(self) -> None:
        """Write the rest."""
        if self._backlog is not None:
            self._backlog.put([told.document for _, told in self._open.values()])
            await asyncio.to_thread(self._backlog.close, STOP_SECONDS)

    def tell(self, told: Sequence[ReportedEvent]) -> None:
        """Take events; of one that continues, not every change.

        Parameters
        ----------
        told
            Events with their streams.
        """
        now_ns = time.monotonic_ns()
        due = [item.document for item in told if self._is_due(item, now_ns)]
        if due and self._backlog is not None:
            self._backlog.put(due)

    def _is_due(self, told: ReportedEvent, now_ns: int) -> bool:
        event = told.event
        if not event.open:
            self._open.pop(event.id, None)
            return True
        next_ns, _ = self._open.get(event.id, (0, told))
        due = now_ns >= next_ns
        self._open[event.id] = (now_ns + CHANGE_NS if due else next_ns, told)
        return due

    # In the thread --------------------------------------------------------------------------------------------------

    def _opened(self) -> Store:
        """Return the store, open; a broken one is moved aside first."""
        if self._store is not None and self._store.is_gone:
            self._log.warning("history removed, new one created", store=str(self.path))
            self._close()
        if self._store is None:
            age_seconds = self._table.max_age_days * 86_400
            try:
                self._store = Store(self.path, max_age_seconds=age_seconds, max_bytes=self._table.max_bytes)
                self._begin(self._store)
            except _ERRORS as error:
                if not is_damage(error):
                    raise
                self._set_aside(error)
                self._store = Store(self.path, max_age_seconds=age_seconds, max_bytes=self._table.max_bytes)
                self._begin(self._store)
        return self._store

    def _begin(self, store: Store) -> None:
        """Begin a run in a store, once in each; say where the one before did not end."""
        if self._has_begun and store.has_begun:
            return
        written_ns = store.begin(time.time_ns())
        self._has_begun = True
        if written_ns is not None:
            self._log.warning(
                "history not closed by the last run",
                store=str(self.path),
                written=rfc3339(written_ns),
                reason="it was killed or the host failed: events after that time may be missing",
            )

    def _end(self) -> None:
        """End the run, where all was written, and close the store."""
        if self._store is not None and self._has_begun and not self.waiting:
            with suppress(sqlite3.Error):
                self._store.end()
        self._close()

    def _write(self, documents: Sequence[Document]) -> bool:
        try:
            self._opened().write(documents, time.time_ns())
        except _ERRORS as error:
            self._give_up(error)
            raise
        return True

    def _trim(self) -> None:
        try:
            while trimmed := self._opened().trim(time.time_ns()):
                self.counts["trimmed"] += trimmed
        except _ERRORS as error:
            self._give_up(error)
            raise

    def _give_up(self, error: Exception) -> None:
        """Close the store, so that the next try opens it again: the disk may be another one by then."""
        self._close()
        if is_damage(error):
            self._set_aside(error)

    def _close(self) -> None:
        if self._store is not None:
            with suppress(sqlite3.Error):
                self._store.close()
            self._store = None

    def _set_aside(self, error: Exception) -> None:
        aside = set_aside(self.path, time.time_ns())
        self.counts["set_aside"] += 1
        self._log.error(
            "history damaged, new one created", store=str(self.path), moved_to=str(aside), reason=str(error)
        )

    def _note(self, trouble: str | None) -> None:
        self.trouble = f"{self.path}: {trouble}" if trouble else None
        if trouble:
            self._log.error("history not written", store=str(self.path), reason=trouble)
        else:
            self._log.info("history writable again", store=str(self.path))
