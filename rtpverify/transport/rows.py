"""Rows: each stream has one, in every store; and the packets of a batch brought together by them.

A :class:`RowTable` is the one place that gives rows out and takes them back. A row is fresh in every store from the
moment it is given out, so no column can be read before it is there, and what one stream left is never another's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Owner = TypeVar("Owner")


class RowStore(Protocol):
    """What keeps something of every row."""

    def fresh_row(self, row: int) -> None:
        """Forget what is kept of a row, or begin the next one.

        Parameters
        ----------
        row
            Row of the stream.
        """


class RowTable(Generic[Owner]):
    """Which rows there are, and whose each is.

    Attributes
    ----------
    owners
        Whose each row is; None while it is nobody's.
    """

    def __init__(self) -> None:
        self.owners: list[Owner | None] = []
        self._stores: list[RowStore] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.owners)

    def attach(self, store: RowStore) -> None:
        """Let a store keep something of every row, of those that are there too.

        Parameters
        ----------
        store
            The store.
        """
        for row in range(len(self)):
            store.fresh_row(row)
        self._stores.append(store)

    def allocate(self) -> int:
        """Give out a row, the lowest that is free; it is fresh in every store.

        Returns
        -------
        int
            The row.
        """
        if self._free:
            row = min(self._free)
            self._free.remove(row)
        else:
            row = len(self.owners)
            self.owners.append(None)
            self.renew(row)
        return row

    def renew(self, row: int) -> None:
        """Make a row fresh in every store, for another owner.

        Parameters
        ----------
        row
            Row of the stream.
        """
        self.owners[row] = None
        for store in self._stores:
            store.fresh_row(row)

    def retire(self, row: int) -> None:
        """Take a row back; another owner may get it.

        Parameters
        ----------
        row
            Row of the stream.
        """
        self.renew(row)
        self._free.append(row)

    def owner(self, row: int) -> Owner:
        """Return whose a row is.

        Parameters
        ----------
        row
            Row of the stream.

        Returns
        -------
        Owner
            The owner.

        Raises
        ------
        AssertionError
            Where it is nobody's.
        """
        owner = self.owners[row]
        if owner is None:
            raise AssertionError(f"row {row} is nobody's")
        return owner


class Rows:
    """A store of columns, which grow together.

    Parameters
    ----------
    table
        Where the rows come from; None where the caller gives them out itself, one after another.

    Attributes
    ----------
    FRESH
        Every column and what a fresh row of it holds: a number for an array of shape (rows,), an array of shape
        (n, …) for one of shape (rows, n, …), a function of the row for a list. Its dtype is that of the value.
    """

    FRESH: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, table: RowTable[Any] | None = None) -> None:
        self._fresh: dict[str, Callable[[int], Any] | np.ndarray[Any, Any]] = {}
        self._room: dict[str, np.ndarray[Any, Any]] = {}
        """Each array with room for further rows: a column is its beginning."""
        for name, fresh in self.FRESH.items():
            value = fresh if callable(fresh) else np.asarray(fresh)
            self._fresh[name] = value
            if isinstance(value, np.ndarray):
                self._room[name] = np.zeros((0, *value.shape), value.dtype)
            setattr(self, name, self._room.get(name, []))
        if table is not None:
            table.attach(self)

    def fresh_row(self, row: int) -> None:
        """Make a row fresh: the next one, or one whose owner is gone.

        Parameters
        ----------
        row
            Row of the stream.
        """
        for name, fresh in self._fresh.items():
            column = getattr(self, name)
            if not isinstance(fresh, np.ndarray):
                column[row : row + 1] = [fresh(row)]
                continue
            if row == len(column):
                column = self._grown(name, row + 1)
            column[row] = fresh

    def _grown(self, name: str, rows: int) -> np.ndarray[Any, Any]:
        """Return a column that has so many rows; its memory doubles where there is no room."""
        room = self._room[name]
        if rows > len(room):
            self._room[name] = np.zeros((2 * rows, *room.shape[1:]), room.dtype)
            self._room[name][: len(room)] = room
        column = self._room[name][:rows]
        setattr(self, name, column)
        return column


@dataclass(slots=True)
class Groups:
    """Packets of a batch brought together by their rows, in their order within each.

    Attributes
    ----------
    rows
        Index that brings an array of the batch into this order; a slice where it already is.
    stream
        Stream of each group, ascending.
    first, stop
        Where each group starts and ends.
    """

    rows: NDArray[np.intp] | slice
    stream: NDArray[np.int64]
    first: NDArray[np.intp]
    stop: NDArray[np.intp]

    @property
    def count(self) -> NDArray[np.intp]:
        """Packets of each group."""
        return self.stop - self.first

    def rows_of(self, group: int) -> NDArray[np.intp]:
        """Return where the packets of one group are in the batch.

        Parameters
        ----------
        group
            Index of the group.

        Returns
        -------
        NDArray[np.intp]
            Shape (n,), in order.
        """
        first, stop = int(self.first[group]), int(self.stop[group])
        return np.arange(first, stop) if isinstance(self.rows, slice) else self.rows[first:stop]


def group_by_stream(stream: NDArray[np.int64]) -> Groups:
    """Group the packets of a batch that is not empty by their stream, shape (n,).

    Parameters
    ----------
    stream
        Stream index of each packet, shape (n,).

    Returns
    -------
    Groups
        The groups, in the order of their streams.
    """
    rows: NDArray[np.intp] | slice = slice(None)
    if (stream[1:] < stream[:-1]).any():
        # Short integers are sorted by their digits, several times as fast; there are never so many streams.
        rows = np.argsort(stream.astype(np.uint16), kind="stable")
        stream = stream[rows]
    change = np.flatnonzero(stream[1:] != stream[:-1]) + 1
    first = np.concatenate(([0], change))
    return Groups(rows, stream[first], first, np.concatenate((change, [len(stream)])))
