"""What of a store has not been sent on yet: a list kept by the store itself, so that nothing comes between the two.

Rules: triggers of the database add an event to the list in the same transaction that stores it: when it is new, and
when it has ended or changed after that. It leaves the list when whoever it is sent to has confirmed it. An event that
begins and ends before it is sent is sent once, as it ended. Each entry has a revision that is never given again; what
is sent carries it (:attr:`Outbox.place`), so that the other side can say how far it has come.

A store that had no list yet has everything in it, in order of number. Another connection than that of the writer reads
and shortens it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rtpverify.history.store import BUSY_SECONDS, Document, check_layout, transaction

_LAYOUT = """
CREATE TABLE outbox (revision INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL UNIQUE);
CREATE TABLE outbox_state (place TEXT NOT NULL, lost INTEGER NOT NULL);
INSERT INTO outbox (number) SELECT number FROM event ORDER BY number;
CREATE TRIGGER outbox_new AFTER INSERT ON event BEGIN
    INSERT INTO outbox (number) VALUES (NEW.number);
END;
CREATE TRIGGER outbox_changed AFTER UPDATE ON event WHEN NEW.open = 0 AND NEW.document <> OLD.document BEGIN
    DELETE FROM outbox WHERE number = NEW.number;
    INSERT INTO outbox (number) VALUES (NEW.number);
END;
CREATE TRIGGER outbox_removed AFTER DELETE ON event WHEN OLD.number IN (SELECT number FROM outbox) BEGIN
    DELETE FROM outbox WHERE number = OLD.number;
    UPDATE outbox_state SET lost = lost + 1;
END;
"""


@dataclass(frozen=True, slots=True)
class Unsent:
    """An event that waits to be sent.

    Attributes
    ----------
    revision
        Larger than that of every event that was listed before it.
    document
        The event as it is stored now.
    """

    revision: int
    document: Document


class Outbox:
    """The events of a store that wait to be sent; the list is made where the store has none.

    Parameters
    ----------
    path
        The store.

    Attributes
    ----------
    place
        Identifies this list; another store, also one that takes its place, has another.

    Raises
    ------
    SourceError
        Where the file is of another program, or of a later version of this one.
    sqlite3.Error, OSError
        Where the store is not there (yet), or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = path.stat().st_ino
        self._database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        try:
            check_layout(self._database, path)
            self.place = self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> str:
        database = self._database
        database.execute("PRAGMA synchronous = NORMAL")
        with transaction(self._database):
            if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'outbox'").fetchone():
                for statement in _statements(_LAYOUT):
                    database.execute(statement)
                database.execute("INSERT INTO outbox_state VALUES (?, 0)", (secrets.token_hex(4),))
            place: str = database.execute("SELECT place FROM outbox_state").fetchone()[0]
        return place

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return int(self._database.execute("SELECT count(*) FROM outbox").fetchone()[0])

    @property
    def lost(self) -> int:
        """How many events the store removed, for their age or its size, before they were sent."""
        return int(self._database.execute("SELECT lost FROM outbox_state").fetchone()[0])

    @property
    def is_gone(self) -> bool:
        """Whether the file was removed or replaced."""
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def next(self, most: int) -> list[Unsent]:
        """Return the events that have waited longest, in order of their revisions.

        Parameters
        ----------
        most
            How many at most.

        Returns
        -------
        list[Unsent]
            Those of the lowest revisions.

        Raises
        ------
        sqlite3.Error
            Where the store cannot be read.
        """
        rows = self._database.execute(
            "SELECT revision, document FROM outbox JOIN event USING (number) ORDER BY revision LIMIT ?", (most,)
        )
        return [Unsent(revision, json.loads(document)) for revision, document in rows.fetchall()]

    def remove(self, revisions: Iterable[int]) -> None:
        """Take events off the list: they were sent. One that changed meanwhile has another revision, and stays.

        Parameters
        ----------
        revisions
            Theirs, as they were sent.

        Raises
        ------
        sqlite3.Error
            Where that cannot be written; then all of them stay.
        """
        with transaction(self._database):
            self._database.executemany("DELETE FROM outbox WHERE revision = ?", [(one,) for one in revisions])

    def remove_to(self, revision: int) -> None:
        """Take all events off the list up to a revision: the other side has them.

        Parameters
        ----------
        revision
            The last one that the other side has.

        Raises
        ------
        sqlite3.Error
            Where that cannot be written.
        """
        self._database.execute("DELETE FROM outbox WHERE revision <= ?", (revision,))

    def list_again(self, revisions: Iterable[int]) -> None:
        """Give events the latest revisions: later ones were sent, they were not.

        Parameters
        ----------
        revisions
            Theirs.

        Raises
        ------
        sqlite3.Error
            Where that cannot be written; then nothing has changed.
        """
        with transaction(self._database):
            for revision in revisions:
                row = self._database.execute("DELETE FROM outbox WHERE revision = ? RETURNING number", (revision,))
                self._database.executemany("INSERT INTO outbox (number) VALUES (?)", row.fetchall())

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._database.close()


def _statements(script: str) -> Iterable[str]:
    """Yield the statements of a script: ``executescript`` would end the transaction."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
