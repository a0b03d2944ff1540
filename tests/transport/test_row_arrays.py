"""Stores whose columns grow together."""

from collections import Counter
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.transport.row_arrays import Rows


class Store(Rows):
    FRESH: ClassVar = {"count": 3, "level": np.nan, "ring": np.full(2, -1), "names": lambda row: f"row {row}"}
    count: NDArray[np.int64]
    level: NDArray[np.float64]
    ring: NDArray[np.int64]
    names: list[str]


def test_every_column_has_the_row_once_it_is_there() -> None:
    store = Store()
    assert [len(getattr(store, name)) for name in Store.FRESH] == [0, 0, 0, 0]
    for row in range(3):
        store.fresh_row(row)
        assert [len(getattr(store, name)) for name in Store.FRESH] == [row + 1] * 4
    assert (store.count.dtype, store.level.dtype, store.ring.shape) == (np.int64, np.float64, (3, 2))


def test_a_row_that_is_another_s_knows_nothing_of_the_one_before() -> None:
    store = Store()
    for row in range(2):
        store.fresh_row(row)
    store.count[:], store.ring[:], store.names[1] = 9, 9, "gone"
    store.fresh_row(1)
    assert store.count.tolist() == [9, 3]
    assert store.ring.tolist() == [[9, 9], [-1, -1]]
    assert store.names == ["row 0", "row 1"]


def test_lists_of_fresh_rows_are_their_own() -> None:
    class Counts(Rows):
        FRESH: ClassVar = {"of": lambda _: Counter()}
        of: list[Counter[str]]

    store = Counts()
    store.fresh_row(0)
    store.fresh_row(1)
    store.of[0]["a"] += 1
    assert not store.of[1]
