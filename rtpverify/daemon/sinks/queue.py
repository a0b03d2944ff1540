"""What waits for something slow: a bounded queue, and a thread of its own that empties it.

Rules: ``put`` never waits; what does not fit is dropped and counted. What cannot be written stays in the queue and is
tried again, at growing intervals drawn at random, until it can or the queue is closed; meanwhile ``trouble`` says why.
Nothing that happens in the thread reaches the event loop but through these figures.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
"""Between two tries: the most, doubled from the first each time. The least is half of it."""


class LaterError(Exception):
    """What was asked to write says when to try again, at the soonest.

    Parameters
    ----------
    message
        Why.
    wait_seconds
        How long to wait at least.
    """

    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class Backlog(Generic[T]):
    """Hands items to ``write`` in order, all that wait at once.

    Parameters
    ----------
    name
        Of the thread.
    write
        Called in the thread with items; takes all of them, or raises and takes none. Returns whether that proves that
        it works: not where it gave all of them up.
    capacity
        Most items that wait.
    errors
        What ``write`` and ``idle`` may raise where trying again is of use; anything else is a mistake of ours.
    counts
        ``written``, ``dropped`` and ``failed`` (tries) are kept there.
    on_trouble
        Called in the thread when trouble begins or changes, with the reason, and with None when it is over.
    on_defect
        Called in the thread with anything else that is raised: it costs the item that it concerns.
    idle, idle_seconds
        Called in the thread every ``idle_seconds``, whether items wait or not.
    finish
        Called in the thread at its end.
    count
        Called with the number of items that are done with, where not all of those count as ``written``.
    most
        Most items handed over at once.

    Attributes
    ----------
    trouble
        Why nothing is written at present; None while it is.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[T]], bool],
        *,
        capacity: int,
        errors: tuple[type[Exception], ...],
        counts: Counter[str],
        on_trouble: Callable[[str | None], None],
        on_defect: Callable[[Exception], None],
        idle: Callable[[], None] | None = None,
        idle_seconds: float = 60.0,
        finish: Callable[[], None] = lambda: None,
        count: Callable[[int], None] | None = None,
        most: int = 1000,
    ) -> None:
        self.trouble: str | None = None
        self._write = write
        self._capacity = capacity
        self._errors = errors
        self._counts = counts
        self._on_trouble = on_trouble
        self._on_defect = on_defect
        self._suspects = 0
        """Items that are handed over one by one, as all of them together could not be."""
        self._idle = idle
        self._idle_seconds = idle_seconds
        self._idle_at = time.monotonic()
        self._finish = finish
        self._count = count or self._count_written
        self._most = most
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = False
        counts.update({"written": 0, "dropped": 0, "failed": 0})
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return len(self._items)

    def put(self, items: Sequence[T]) -> None:
        """Take items, or as many as there is room for.

        Parameters
        ----------
        items
            They are written in this order.
        """
        with self._changed:
            room = max(0, self._capacity - len(self._items))
            self._items.extend(items[:room])
            self._counts["dropped"] += max(0, len(items) - room)
            self._changed.notify()

    def close(self, timeout_seconds: float) -> None:
        """Write what waits, but not for ever; what could not be written is dropped. May be called twice.

        Parameters
        ----------
        timeout_seconds
            How long to wait at most.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_seconds)
        with self._changed:
            self._counts["dropped"] += len(self._items)
            self._items.clear()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._finish()

    def _work(self) -> None:
        """Write until closed; what is tried last after that may fail."""
        longest_seconds = 0.0
        wait_seconds: float | None = None
        while True:
            closing, batch = self._next(wait_seconds)
            works = True
            try:
                if batch:
                    works = self._write(batch)
                    self._done(len(batch))
                    batch = []
                if self._idle is not None and time.monotonic() >= self._idle_at and not closing:
                    self._idle_at = time.monotonic() + self._idle_seconds
                    self._idle()
            except self._errors as error:
                self._counts["failed"] += 1
                self._tell(reason(error))
                longest_seconds = min(max(FIRST_WAIT_SECONDS, 2 * longest_seconds), LONGEST_WAIT_SECONDS)
                wait_seconds = longest_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                if isinstance(error, LaterError):
                    wait_seconds = max(wait_seconds, error.wait_seconds)
                if closing:
                    return
            except Exception as error:
                self._on_defect(error)
                self._narrow(len(batch))
                wait_seconds = None
            else:
                if works:
                    self._tell(None)
                longest_seconds, wait_seconds = 0.0, None
                if closing and not self._items:
                    return

    def _next(self, wait_seconds: float | None) -> tuple[bool, list[T]]:
        """Wait for items, or in trouble for the next try; return whether this is the end, and what waits."""
        with self._changed:
            if wait_seconds is not None:  # a new item is no reason to try sooner
                self._changed.wait_for(lambda: self._closing, wait_seconds)
            else:
                until_idle = None if self._idle is None else max(0.0, self._idle_at - time.monotonic())
                self._changed.wait_for(lambda: self._closing or bool(self._items), until_idle)
            return self._closing, list(islice(self._items, 1 if self._suspects else self._most))

    def _narrow(self, count: int) -> None:
        """Continue one by one with items that could not be written; without one that could not by itself."""
        if count == 1:
            self._suspects = max(0, self._suspects - 1)
            with self._changed:
                self._items.popleft()
                self._counts["dropped"] += 1
        else:
            self._suspects = count

    def _done(self, count: int) -> None:
        with self._changed:
            self._suspects = max(0, self._suspects - count)
            for _ in range(min(count, len(self._items))):  # fewer where they were given up meanwhile
                self._items.popleft()
            self._count(count)

    def _count_written(self, count: int) -> None:
        self._counts["written"] += count

    def _tell(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_trouble(trouble)


def reason(error: Exception) -> str:
    """Return what an error says, on one line; of an error of the system what and where, without its number.

    Parameters
    ----------
    error
        The error.

    Returns
    -------
    str
        Without a full stop.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__
