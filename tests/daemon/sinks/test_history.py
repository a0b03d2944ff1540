from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from rtpverify.daemon.sinks import history
from rtpverify.daemon.sinks.history import History, HistoryTable
from rtpverify.errors import SourceError
from rtpverify.history.query import Query, find
from rtpverify.history.store import Store
from tests.helpers.documents import NOW_NS, Telling, document
from tests.helpers.patience import until
from tests.helpers.sinks import started

pytestmark = pytest.mark.usefixtures("impatient")

Opening = Callable[..., AbstractAsyncContextManager[History]]


@pytest.fixture
def opened(bench: Telling) -> Opening:
    def opened(path: Path | str, **options: object) -> AbstractAsyncContextManager[History]:
        table = HistoryTable.model_validate({"path": str(path), **options})
        return started(History(table, bench))  # type: ignore[arg-type]

    return opened


def kept(path: Path) -> list[int]:
    return [event["start_frame"] for event in find(path, Query()).events]


async def test_events_told_are_kept(opened: Opening, bench: Telling, tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.sqlite"
    async with opened(path) as sink:
        sink.tell([bench.told(1), bench.told(2)])
        await until(lambda: sink.counts["written"] == 2)
        assert kept(path) == [1, 2]
        sink.tell([bench.told(3)])
    assert kept(path) == [1, 2, 3]
    assert sink.counts == {"written": 3, "dropped": 0, "failed": 0, "trimmed": 0, "set_aside": 0}
    assert sink.waiting == 0


async def test_of_an_event_that_goes_on_not_every_change_but_the_last_is_written(
    opened: Opening, bench: Telling, tmp_path: Path
) -> None:
    path = tmp_path / "events.sqlite"
    async with opened(path) as sink:
        for frames in range(500):
            for number in (1, 2):
                sink.tell([bench.told(number, is_new=not frames, open=True, duration_frames=frames)])
        sink.tell([bench.told(1, is_new=False, duration_frames=777)])
        await until(lambda: sink.waiting == 0)
        assert sink.counts["written"] < 100
    first, second = find(path, Query()).events
    assert (first["duration_frames"], first["open"]) == (777, False)
    assert (second["duration_frames"], second["open"]) == (499, True)


async def test_only_what_went_on_before_the_daemon_began_is_cut_off(
    opened: Opening, bench: Telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.sqlite"
    async with opened(path) as sink:
        sink.tell([bench.told(1, open=True)])
    async with opened(path) as sink:
        sink.tell([bench.told(2, open=True)])
        await until(lambda: sink.counts["written"] == 1)
        write, failed = Store.write, []

        def fail_once(store: Store, *args: object) -> int:
            if not failed:
                failed.append(store)
                raise sqlite3.OperationalError("disk I/O error")
            return write(store, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(Store, "write", fail_once)
        sink.tell([bench.told(3)])
        await until(lambda: sink.counts["written"] == 2)
        events = find(path, Query()).events
    assert [(event["open"], event.get("cut_off")) for event in events] == [(False, True), (True, None), (False, None)]


async def test_a_run_that_was_killed_is_told_by_the_next(opened: Opening, bench: Telling, tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    async with opened(path) as sink:
        sink.tell([bench.told(1)])
    async with opened(path) as sink:
        path.unlink()
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["written"] == 1)
        copy = tmp_path / "killed.sqlite"
        with closing(sqlite3.connect(path)) as alive, closing(sqlite3.connect(copy)) as other:
            alive.backup(other)
    async with opened(copy):
        pass
    async with opened(copy):
        pass
    removed, line = bench.logged
    assert removed["event"] == "history removed, new one created"
    assert line["event"] == "history not closed by the last run"
    assert line["store"] == str(copy)
    assert line["written"] is not None


async def test_what_is_too_old_goes_while_it_runs(
    opened: Opening, bench: Telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "TRIM_SECONDS", 0.02)
    monkeypatch.setattr("time.time_ns", lambda: NOW_NS + 86_400_000_000_000)
    async with opened(tmp_path / "events.sqlite", max_age_days=1) as sink:
        sink.tell([bench.told(-1), bench.told(0), bench.told(1)])
        await until(lambda: sink.counts["trimmed"] == 1)
    assert kept(tmp_path / "events.sqlite") == [0, 1]


async def test_a_full_disk_is_told_and_what_fits_is_written_when_there_is_room(
    opened: Opening, bench: Telling, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CAPACITY", 50)
    path = small_disk / "events.sqlite"
    filler = small_disk / "filler"
    async with opened(path) as sink:
        sink.tell([bench.told(0)])
        await until(lambda: sink.counts["written"] == 1)
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(2 << 20))
        number = 0
        while sink.trouble is None:
            number += 1
            sink.tell([bench.told(number)])
            await until(lambda: sink.waiting == 0 or sink.trouble)
            assert number < 20_000
        assert sink.trouble == f"{path}: database or disk is full"
        for more in range(number + 1, number + 101):
            sink.tell([bench.told(more)])
        assert sink.waiting == 50
        assert sink.counts["dropped"] == 51
        filler.unlink()
        await until(lambda: sink.trouble is None)
        await until(lambda: sink.waiting == 0)
    assert kept(path) == list(range(number + 50))
    lines = [line["event"] for line in bench.logged]
    assert lines == ["history not written", "history writable again"]


async def test_a_read_only_disk_is_told_and_verification_goes_on(
    opened: Opening, bench: Telling, small_disk: Path
) -> None:
    path = small_disk / "events.sqlite"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    async with opened(path) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.trouble)
        assert str(sink.trouble) == f"{path}: Read-only file system"
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        await until(lambda: sink.counts["written"] == 1)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=False)
    assert kept(path) == [1]


@pytest.mark.parametrize("when", ["before", "while it runs"])
async def test_a_broken_store_is_moved_aside_and_begun_anew(
    opened: Opening, bench: Telling, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.sqlite"
    connect, connections = sqlite3.connect, []

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        connections.append(connect(*args, **options))
        return connections[-1]

    with closing(Store(path, max_age_seconds=1e9, max_bytes=1 << 30)) as store:
        store.write([document(number) for number in range(2000)], NOW_NS)

    def damage() -> None:
        content = bytearray(path.read_bytes())
        content[4096:] = os.urandom(len(content) - 4096)
        path.write_bytes(content)

    if when == "before":
        damage()
    monkeypatch.setattr(sqlite3, "connect", noted)
    async with opened(path) as sink:
        if when != "before":
            for pragma in ("cache_size = 1", "shrink_memory"):  # else it may not read them again for long
                connections[-1].execute(f"PRAGMA {pragma}")
            damage()
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
        assert sink.counts["set_aside"] == 1
    assert kept(path) == [1]
    (aside,) = tmp_path.glob("events.sqlite.damaged-*Z")
    assert aside.stat().st_size > 100_000
    (line,) = [line for line in bench.logged if line["event"] == "history damaged, new one created"]
    assert line["moved_to"] == str(aside)


async def test_a_store_that_is_removed_while_it_runs_is_begun_anew(
    opened: Opening, bench: Telling, tmp_path: Path
) -> None:
    path = tmp_path / "events.sqlite"
    async with opened(path) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
        path.unlink()
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["written"] == 2)
    assert kept(path) == [2]


async def test_another_programs_file_is_refused_at_the_start(opened: Opening, tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mail (subject TEXT)")
    with pytest.raises(SourceError, match="database of another program"):
        async with opened(path):
            pass
