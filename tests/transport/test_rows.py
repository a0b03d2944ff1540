"""Rows: given out by one table, fresh in every store; packets brought together by them."""

from collections import Counter
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtpverify.transport.rows import Rows, RowTable, group_by_stream


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


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=40))
def test_a_row_is_given_out_to_one_owner_at_a_time_and_is_fresh(steps: list[int | None]) -> None:
    """None takes a row, a number gives that one back; a store that is attached late has them all."""
    table: RowTable[str] = RowTable()
    store = Store(table)
    held: set[int] = set()
    for number, step in enumerate(steps):
        if step is None:
            row = table.allocate()
            assert row not in held
            assert row == min(set(range(len(held) + 1)) - held)
            assert (store.count[row], store.ring[row].tolist()) == (3, [-1, -1])
            store.count[row], store.ring[row] = number, number
            table.owners[row] = f"{number}"
            held.add(row)
        elif step in held:
            assert table.owner(step) == str(store.count[step])
            table.retire(step)
            held.remove(step)
            with pytest.raises(AssertionError, match=f"row {step}"):
                table.owner(step)
    assert len(Store(table).count) == len(table) == len(store.count)


def test_what_was_written_stays_while_columns_grow() -> None:
    table: RowTable[str] = RowTable()
    store = Store(table)
    for row in range(40):
        assert table.allocate() == row
        store.count[row], store.ring[row] = row, row
    assert store.count.tolist() == list(range(40))
    assert store.ring.tolist() == [[row, row] for row in range(40)]


@given(streams=st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_groups_hold_each_row_once_in_order(streams: list[int]) -> None:
    stream = np.array(streams)
    groups = group_by_stream(stream)
    assert groups.stream.tolist() == sorted(set(streams))
    together = np.arange(len(streams))[groups.rows]
    for i, one in enumerate(groups.stream):
        expected = [row for row, value in enumerate(streams) if value == one]
        assert groups.rows_of(i).tolist() == expected
        assert together[groups.first[i] : groups.stop[i]].tolist() == expected
    assert groups.count.sum() == len(streams)
