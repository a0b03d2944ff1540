"""The store of events: one SQLite file, written by one process, read by any.

Rules: a document (an event in its published JSON form, with its ``stream``) is kept whole as JSON; what is asked for by
value is in columns of its own too. An event that is written again replaces what was known of it. The file is
in WAL mode: readers never wait for the writer, a writer that is killed loses at most what it had not written yet, and a
host that loses power at most its last seconds. Nothing here starts a thread or catches an error of the disk.

The layout is version 1 (``PRAGMA user_version``). A file of another program or of a later version is refused.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rtpverify.errors import DamagedError, SourceError
from rtpverify.events import nanoseconds
from rtpverify.report.json import strict
from rtpverify.sources.small_file import require_regular

APPLICATION_ID = 0x72747076
"""``rtpv``: whose file this is, in SQLite's header."""
LAYOUT_VERSION = 1
DEFAULT_PATH = Path("/var/lib/rtpverify/events.sqlite")
"""Where a service of the system keeps it."""
BUSY_SECONDS = 5.0
"""How long another process may hold the file before that is an error."""
SHRINK_TO = 0.9
"""Part of the size limit that is left when the oldest events were removed for it."""
REMOVED_AT_ONCE = 20_000
"""Most events removed in one go: removing takes time in which nothing is written."""

Document = dict[str, Any]
"""An event in its published JSON form, with its ``stream``."""

_LAYOUT = """
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    stream TEXT NOT NULL,
    kind TEXT NOT NULL,
    cause TEXT NOT NULL,
    fault INTEGER NOT NULL,
    open INTEGER NOT NULL,
    time_ns INTEGER NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (id, stream)
);
CREATE INDEX event_by_time ON event (time_ns);
CREATE INDEX event_by_stream ON event (stream, time_ns);
"""

_RUN = """
CREATE TABLE IF NOT EXISTS run (began_ns INTEGER NOT NULL, written_ns INTEGER NOT NULL, has_ended INTEGER NOT NULL)
"""
"""The latest run of a writer. Stores of before have no such table, and those who read before know nothing of it."""

_WRITE = """
INSERT INTO event (id, stream, kind, cause, fault, open, time_ns, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id, stream) DO UPDATE SET
    kind = excluded.kind, cause = excluded.cause, fault = excluded.fault, open = excluded.open,
    document = excluded.document
"""

_CUT_OFF = """
UPDATE event SET open = 0, document = json_set(document, '$.open', json('false'), '$.cut_off', json('true'))
WHERE open = 1
"""


class Store:
    """The writer's side of a store.

    Parameters
    ----------
    path
        The file; made where there is none, as is its folder.
    max_age_seconds, max_bytes
        Events beyond these are removed by :meth:`trim`, the oldest first.

    Raises
    ------
    DamagedError
        Where what the file holds contradicts itself.
    SourceError
        Where the file is of another program, or of a later version of this one.
    sqlite3.Error, OSError
        Where it cannot be opened, made or read.
    """

    def __init__(self, path: Path, *, max_age_seconds: float, max_bytes: int) -> None:
        self.path = path
        self._max_age_ns = round(max_age_seconds * 1e9)
        self._max_bytes = max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path)
        # A thread of the owner's writes; it is never two at a time.
        self._database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            check_layout(self._database, path)
            self._prepare()
            self._inode = path.stat().st_ino
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        database = self._database
        empty = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise DamagedError(f"{self.path}: damaged: {' '.join(found.split())}")
        if empty:
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 4194304")
        with transaction(self._database):
            if empty:
                for statement in _LAYOUT.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")
            database.execute(_RUN)

    def begin(self, now_ns: int) -> int | None:
        """Begin a run; of events that the one before left open, note that nobody saw their end.

        Parameters
        ----------
        now_ns
            When it begins, in ns since the Unix epoch.

        Returns
        -------
        int or None
            When the run before wrote last, where it did not :meth:`end`: events after that may be missing. Else None.

        Raises
        ------
        sqlite3.Error
            Where that cannot be written.
        """
        with transaction(self._database):
            self._database.execute(_CUT_OFF)
            before = self._database.execute("SELECT written_ns FROM run WHERE has_ended = 0").fetchone()
            self._database.execute("DELETE FROM run")
            self._database.execute("INSERT INTO run VALUES (?, ?, 0)", (now_ns, now_ns))
        return None if before is None else int(before[0])

    @property
    def has_begun(self) -> bool:
        """Whether a run began that has not ended."""
        return bool(self._database.execute("SELECT count(*) FROM run WHERE has_ended = 0").fetchone()[0])

    def end(self) -> None:
        """End a run: all that it had to write is written.

        Raises
        ------
        sqlite3.Error
            Where that cannot be written.
        """
        with transaction(self._database):
            self._database.execute("UPDATE run SET has_ended = 1")

    def write(self, documents: Iterable[Document], now_ns: int) -> int:
        """Keep events, all or none of them.

        Parameters
        ----------
        documents
            With ``id``, ``stream``, ``kind``, ``cause``, ``fault``, ``open`` and ``time`` (RFC 3339 or None).
        now_ns
            Used as the time of an event that has none.

        Returns
        -------
        int
            How many.

        Raises
        ------
        sqlite3.Error
            Where they cannot be written; nothing is kept then.
        """
        rows = [
            (
                document["id"],
                document["stream"],
                document["kind"],
                document["cause"],
                document["fault"],
                document["open"],
                nanoseconds(datetime.fromisoformat(document["time"])) if document["time"] else now_ns,
                json.dumps(strict(document), ensure_ascii=False, separators=(",", ":"), allow_nan=False),
            )
            for document in documents
        ]
        with transaction(self._database):
            self._database.executemany(_WRITE, rows)
            self._database.execute("UPDATE run SET written_ns = ?", (now_ns,))
        return len(rows)

    def trim(self, now_ns: int) -> int:
        """Remove events that are past the age or the size kept, a limited number at a time.

        Parameters
        ----------
        now_ns
            In ns since the Unix epoch.

        Returns
        -------
        int
            How many were removed.

        Raises
        ------
        sqlite3.Error
            Where that cannot be done.
        """
        oldest_ns = now_ns - self._max_age_ns
        removed = self._remove("time_ns < ?", oldest_ns, REMOVED_AT_ONCE)
        used = self.bytes_used
        if used > self._max_bytes:
            count = self._database.execute("SELECT count(*) FROM event").fetchone()[0]
            share = 1.0 - SHRINK_TO * self._max_bytes / used
            removed += self._remove("1", None, min(round(share * count) + 1, REMOVED_AT_ONCE))
        if removed:
            self._database.execute("PRAGMA incremental_vacuum").fetchall()
        return removed

    def _remove(self, condition: str, value: int | None, most: int) -> int:
        chosen = f"SELECT number FROM event WHERE {condition} ORDER BY time_ns LIMIT ?"  # noqa: S608 - our own words
        values = [most] if value is None else [value, most]
        with transaction(self._database):
            cursor = self._database.execute(f"DELETE FROM event WHERE number IN ({chosen})", values)  # noqa: S608
        return cursor.rowcount

    @property
    def bytes_used(self) -> int:
        """Size of what the file holds, without what a write-ahead log adds for a while (4 MiB)."""
        pages, free, size = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (int(pages) - int(free)) * int(size)

    @property
    def is_gone(self) -> bool:
        """Whether the file was removed or replaced, so that what is written now is written to nowhere."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._database.close()


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Do all of what is done inside, or nothing.

    Parameters
    ----------
    database
        Where it is done; it is in no transaction yet.

    Yields
    ------
    None
        While it is done.

    Raises
    ------
    sqlite3.Error
        Where it cannot be done.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk has rolled back already
            database.execute("ROLLBACK")
        raise


def _make(path: Path) -> None:
    """Make an empty file that only its owner may read, where there is none; its helper files take that over.

    Raises
    ------
    SourceError
        Where it is no regular file: SQLite would wait for a pipe for ever.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise OSError(error.errno, error.strerror) from None
    status = path.stat()
    try:
        require_regular(status)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None


def check_layout(database: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours.

    Parameters
    ----------
    database
        The file, opened.
    path
        Where it is, for messages.

    Raises
    ------
    SourceError
        Where it is of another program, or of a later version of this one.
    sqlite3.Error
        Where it cannot be read, or is no database.
    """
    owner, version, tables = (
        database.execute(text).fetchone()[0]
        for text in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
    )
    if tables == 0:
        return
    if owner != APPLICATION_ID:
        raise SourceError(f"{path}: is a database of another program, not a history of events")
    if version > LAYOUT_VERSION:
        raise SourceError(f"{path}: has layout {version}; this version of rtpverify knows {LAYOUT_VERSION}")


def is_damage(error: Exception) -> bool:
    """Return whether an error means that the file itself is broken, and no second try will do.

    Parameters
    ----------
    error
        What SQLite raised.

    Returns
    -------
    bool
        False where it may pass: a full disk, a lock.
    """
    if isinstance(error, DamagedError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, sqlite3.DatabaseError) and code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def set_aside(path: Path, now_ns: int) -> Path:
    """Move a broken store out of the way, its write-ahead log with it.

    Parameters
    ----------
    path
        The store.
    now_ns
        In ns since the Unix epoch; the new name has it.

    Returns
    -------
    Path
        Where it is now.

    Raises
    ------
    OSError
        Where it cannot be moved.
    """
    stamp = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for ending in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside
