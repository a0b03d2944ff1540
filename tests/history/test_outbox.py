from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rtpverify.errors import SourceError
from rtpverify.history.outbox import Outbox
from rtpverify.history.store import Store
from tests.helpers.documents import NOW_NS, document


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store(path, max_age_seconds=1e9, max_bytes=1 << 30)) as store:
        yield store


@pytest.fixture
def outbox(store: Store) -> Iterator[Outbox]:
    with closing(Outbox(store.path)) as outbox:
        yield outbox


def write(store: Store, *numbers: int, **more: Any) -> None:
    store.write([document(number, **more) for number in numbers], NOW_NS)


def frames(outbox: Outbox) -> list[int]:
    return [item.document["start_frame"] for item in outbox.next(100)]


def test_events_wait_in_order_until_they_are_sent(store: Store, outbox: Outbox) -> None:
    write(store, 1, 2, 3)
    first, second = outbox.next(2)
    assert (first.document, second.document) == (document(1), document(2))
    assert first.revision < second.revision
    outbox.remove([first.revision, second.revision])
    assert frames(outbox) == [3]
    assert outbox.waiting == 1


def test_what_was_there_before_waits_too(store: Store, path: Path) -> None:
    write(store, 1, 2)
    with closing(Outbox(path)) as outbox:
        write(store, 3)
        assert frames(outbox) == [1, 2, 3]
        place = outbox.place
    with closing(Outbox(path)) as again:
        assert again.place == place
        assert frames(again) == [1, 2, 3]


def test_an_event_that_lasts_waits_when_it_begins_and_when_it_is_over(store: Store, outbox: Outbox) -> None:
    write(store, 1, open=True)
    (begun,) = outbox.next(9)
    outbox.remove([begun.revision])
    write(store, 1, open=True, duration_frames=96)
    assert outbox.next(9) == []
    write(store, 1, duration_frames=144)
    (ended,) = outbox.next(9)
    assert ended.document == document(1, duration_frames=144)
    assert ended.revision > begun.revision
    outbox.remove([ended.revision])
    write(store, 1, duration_frames=144)
    assert outbox.next(9) == []
    write(store, 1, duration_frames=144, cause="unknown")
    assert [item.document["cause"] for item in outbox.next(9)] == ["unknown"]


def test_what_begins_and_ends_before_it_is_sent_waits_once(store: Store, outbox: Outbox) -> None:
    write(store, 1, open=True)
    (begun,) = outbox.next(9)
    write(store, 2)
    write(store, 1)
    assert [item.document["open"] for item in outbox.next(9)] == [False, False]
    assert frames(outbox) == [2, 1]
    outbox.remove([begun.revision])  # was sent as it began; its end has still to be
    assert frames(outbox) == [2, 1]


def test_an_end_that_nobody_saw_waits(store: Store, outbox: Outbox) -> None:
    write(store, 1, open=True)
    outbox.remove_to(outbox.next(9)[-1].revision)
    store.begin(NOW_NS)
    assert [item.document["cut_off"] for item in outbox.next(9)] == [True]


def test_what_the_store_removes_unsent_is_counted(path: Path) -> None:
    with closing(Store(path, max_age_seconds=1.0, max_bytes=1 << 30)) as store, closing(Outbox(path)) as outbox:
        write(store, 1, 2)
        outbox.remove([outbox.next(1)[0].revision])
        assert store.trim(NOW_NS + 10_000_000_000) == 2
        assert (outbox.waiting, outbox.lost) == (0, 1)


def test_revisions_are_never_given_again(store: Store, outbox: Outbox) -> None:
    write(store, 1, 2, 3)
    before = outbox.next(9)
    outbox.list_again([before[0].revision, before[1].revision])
    assert frames(outbox) == [3, 1, 2]
    latest = outbox.next(9)[-1].revision
    outbox.remove_to(latest)
    assert outbox.waiting == 0
    write(store, 4)
    assert outbox.next(9)[0].revision > latest


def test_a_store_in_its_place_is_another_one(outbox: Outbox, path: Path) -> None:
    assert not outbox.is_gone
    path.unlink()
    assert outbox.is_gone
    with closing(Store(path, max_age_seconds=1e9, max_bytes=1 << 30)), closing(Outbox(path)) as other:
        assert other.place != outbox.place
    assert outbox.is_gone


def test_a_store_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Outbox(tmp_path / "none.sqlite")
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (number)")
    with pytest.raises(SourceError, match="another program"):
        Outbox(path)
    path.write_bytes(b"x" * 4096)
    with pytest.raises(sqlite3.DatabaseError):
        Outbox(path)
