"""Stores with one row a stream, whose columns grow together.

A row is there in every column of a store or in none: whoever opens a stream calls :meth:`Rows.fresh_row` of each store,
and nothing else makes columns longer. So no column can be read before it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

Item = TypeVar("Item")


def put(items: list[Item], row: int, item: Item) -> None:
    """Set the item of a row in a list, or append it where that is the next one."""
    items[row : row + 1] = [item]


class Rows:
    """A store with one row a stream.

    Attributes
    ----------
    FRESH
        Every column and what a fresh row of it holds: a number for an array of shape (rows,), an array of shape
        (n, …) for one of shape (rows, n, …), a function of the row for a list. Its dtype is that of the value.
    """

    FRESH: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self._columns: dict[str, Callable[[int], Any] | np.ndarray[Any, Any]] = {}
        for name, fresh in self.FRESH.items():
            value = fresh if callable(fresh) else np.asarray(fresh)
            self._columns[name] = value
            setattr(self, name, np.zeros((0, *value.shape), value.dtype) if isinstance(value, np.ndarray) else [])

    def fresh_row(self, row: int) -> None:
        """Give a stream a fresh row: the next one, or one whose stream is gone."""
        for name, fresh in self._columns.items():
            column = getattr(self, name)
            if not isinstance(fresh, np.ndarray):
                column[row : row + 1] = [fresh(row)]
            elif row == len(column):
                setattr(self, name, np.concatenate([column, fresh[None]]))
            else:
                column[row] = fresh
