"""Questions to a store of events. Reading never waits for the writer, nor the writer for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rtpverify.errors import SourceError
from rtpverify.history.store import BUSY_SECONDS, Document, check_layout
from rtpverify.report.printable import encodable
from rtpverify.sources.small_file import require_regular

_LARGEST = (1 << 63) - 1
"""SQLite's largest integer."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which events: those that fit everything asked for; an empty choice leaves all.

    Attributes
    ----------
    streams, kinds, causes
        One of these names each; in ``streams`` ``*``, ``?`` and ``[...]`` match other characters.
    since_ns, until_ns
        Arrival of the event's first packet (or, where that is not known, when it was reported), from and before.
    faults_only
        Without what was reported but is within the limits.
    ids
        One of these.
    limit
        Only so many, the latest; None: all.
    """

    streams: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    faults_only: bool = False
    ids: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """An answer.

    Attributes
    ----------
    events
        In their published JSON form, in order of time.
    total
        How many there are without the limit.
    times_ns
        When each was: what it is found and put in order by.
    """

    events: list[Document]
    total: int
    times_ns: list[int]


def find(path: Path, query: Query) -> FoundEvents:
    """Return the events of a store that a query asks for.

    Parameters
    ----------
    path
        The store.
    query
        What is asked for.

    Returns
    -------
    FoundEvents
        The latest ones in order of time, as many as asked for, and how many there are.

    Raises
    ------
    SourceError
        Where the store is not there, is none, or cannot be read.
    """
    condition, values = _condition(query)
    with _reading(path) as database:
        total = database.execute(f"SELECT count(*) FROM event WHERE {condition}", values).fetchone()[0]  # noqa: S608
        rows = database.execute(
            f"SELECT document, time_ns FROM event WHERE {condition} ORDER BY time_ns DESC, number DESC LIMIT ?",  # noqa: S608
            [*values, -1 if query.limit is None else _stored(query.limit)],
        ).fetchall()[::-1]
    return FoundEvents([json.loads(document) for document, _ in rows], total, [time_ns for _, time_ns in rows])


def streams(path: Path) -> list[str]:
    """Return the names of the streams that a store holds events of.

    Parameters
    ----------
    path
        The store.

    Returns
    -------
    list[str]
        In alphabetical order.

    Raises
    ------
    SourceError
        Where the store is not there, is none, or cannot be read.
    """
    with _reading(path) as database:
        return [name for (name,) in database.execute("SELECT DISTINCT stream FROM event ORDER BY stream")]


def _condition(query: Query) -> tuple[str, list[str | int]]:
    """Return the condition in SQL, with a place for each of the values."""
    conditions = ["1"]
    values: list[str | int] = []
    for column, wanted in (("kind", query.kinds), ("cause", query.causes), ("id", query.ids)):
        if wanted:
            conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    if query.streams:
        conditions.append(f"({' OR '.join(['stream GLOB ?'] * len(query.streams))})")
        values += query.streams
    if query.faults_only:
        conditions.append("fault = 1")
    for comparison, moment in ((">=", query.since_ns), ("<", query.until_ns)):
        if moment is not None:
            conditions.append(f"time_ns {comparison} ?")
            values.append(_stored(moment))
    # A store holds text that has an encoding; bytes of a command line that are no UTF-8 have none.
    return " AND ".join(conditions), [encodable(value) if isinstance(value, str) else value for value in values]


def _stored(value: int) -> int:
    """Return the nearest number to one that a store can hold: beyond its ends there is nothing to find."""
    return max(-_LARGEST, min(value, _LARGEST))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store to read from one state of it."""
    try:
        require_regular(path.stat())
        with closing(_connect(path)) as database:
            check_layout(database, path)
            database.execute("BEGIN")
            yield database
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise SourceError(f"{path}: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    """Connect for reading; on a disk that nobody can write to, without the help files that readers else share."""
    address = path.absolute().as_uri()
    database = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        database.close()
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise
        database = sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return database
