from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from rtpverify.daemon.sinks import queue as module
from rtpverify.daemon.sinks.queue import Backlog
from tests.helpers.patience import PATIENCE_SECONDS, wait_until


class Disk:
    """Takes items; ``fails`` and ``slow`` may be set while it is used."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.fails: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.troubles: list[str | None] = []
        self.defects: list[Exception] = []
        self.counts: Counter[str] = Counter()
        self.poison: set[int] = set()
        self.idled = 0
        self.gives_up = False
        self.entered = threading.Event()

    def write(self, items: Sequence[int]) -> bool:
        self.entered.set()
        self.free.wait(PATIENCE_SECONDS)
        if self.fails:
            raise self.fails
        if not self.poison.isdisjoint(items):
            raise KeyError("what nobody expects")
        self.calls.append(list(items))
        return not self.gives_up

    def idle(self) -> None:
        self.idled += 1

    @property
    def written(self) -> list[int]:
        return [item for call in self.calls for item in call]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.02)


def backlog_of(disk: Disk, **options: Any) -> Backlog[int]:
    settings = {"capacity": 100, "errors": (OSError,), "counts": disk.counts, "on_trouble": disk.troubles.append}
    settings |= {"on_defect": disk.defects.append} | options
    return Backlog("test", disk.write, **settings)


def test_items_are_written_in_order_and_all_that_wait_at_once(disk: Disk) -> None:
    disk.free.clear()
    backlog = backlog_of(disk, most=50)
    backlog.put([0])
    assert disk.entered.wait(PATIENCE_SECONDS)
    for start in range(1, 61, 10):
        backlog.put(list(range(start, start + 10)))
    disk.free.set()
    backlog.close(PATIENCE_SECONDS)
    assert disk.written == list(range(61))
    assert [len(call) for call in disk.calls] == [1, 50, 10]
    assert disk.counts == {"written": 61, "dropped": 0, "failed": 0}


def test_a_disk_that_hangs_holds_nobody_up_and_what_does_not_fit_is_counted(disk: Disk) -> None:
    disk.free.clear()
    backlog = backlog_of(disk, capacity=100)
    start = time.monotonic()
    for _ in range(50):
        backlog.put(list(range(10)))
    backlog.close(0.05)
    assert time.monotonic() - start < PATIENCE_SECONDS
    assert disk.counts["dropped"] == 500
    disk.free.set()


def test_what_could_not_be_written_is_tried_again_and_trouble_told_once(disk: Disk) -> None:
    disk.fails = OSError(28, "No space left on device", "/disk/file")
    backlog = backlog_of(disk)
    backlog.put([1, 2])
    wait_until(lambda: disk.counts["failed"] >= 3)
    assert backlog.trouble == "/disk/file: No space left on device"
    backlog.put([3])
    disk.fails = None
    wait_until(lambda: backlog.waiting == 0)
    backlog.close(PATIENCE_SECONDS)
    assert disk.written == [1, 2, 3]
    assert backlog.trouble is None
    assert disk.troubles == ["/disk/file: No space left on device", None]


def test_a_new_item_does_not_make_it_try_sooner(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 30.0)
    disk.fails = OSError("broken")
    backlog = backlog_of(disk)
    backlog.put([1])
    wait_until(lambda: disk.counts["failed"] == 1)
    for item in range(50):
        backlog.put([item])
    time.sleep(0.05)
    assert disk.counts["failed"] == 1
    backlog.close(PATIENCE_SECONDS)
    assert disk.counts == {"written": 0, "dropped": 51, "failed": 2}


def test_what_waits_at_the_end_is_written(disk: Disk) -> None:
    disk.free.clear()
    backlog = backlog_of(disk, most=10)
    for item in range(100):
        backlog.put([item])
    threading.Timer(0.05, disk.free.set).start()
    backlog.close(PATIENCE_SECONDS)
    backlog.close(PATIENCE_SECONDS)
    assert disk.written == list(range(100))


def test_idle_work_is_done_while_nothing_comes_and_while_much_does(disk: Disk) -> None:
    backlog = backlog_of(disk, idle=disk.idle, idle_seconds=0.01)
    wait_until(lambda: disk.idled >= 3)
    before = disk.idled

    def put_and_look() -> bool:
        backlog.put([1])
        return disk.idled >= before + 3

    wait_until(put_and_look)
    backlog.close(PATIENCE_SECONDS)


def test_what_is_given_up_does_not_end_the_trouble(disk: Disk) -> None:
    backlog = backlog_of(disk)
    disk.fails = OSError("broken")
    backlog.put([1])
    wait_until(lambda: disk.counts["failed"] >= 1)
    disk.gives_up, disk.fails = True, None
    wait_until(lambda: backlog.waiting == 0)
    assert backlog.trouble == "broken"
    disk.gives_up = False
    backlog.put([2])
    backlog.close(PATIENCE_SECONDS)
    assert disk.troubles == ["broken", None]


def test_item_that_cannot_be_written_costs_itself(disk: Disk) -> None:
    disk.poison = {3, 6}
    disk.free.clear()
    backlog = backlog_of(disk)
    backlog.put([0])
    assert disk.entered.wait(PATIENCE_SECONDS)
    backlog.put([1, 2, 3, 4, 5, 6, 7])
    disk.free.set()
    backlog.close(PATIENCE_SECONDS)
    assert disk.written == [0, 1, 2, 4, 5, 7]
    assert disk.counts["dropped"] == 2
    assert {type(error) for error in disk.defects} == {KeyError}
    assert backlog.trouble is None


def test_idle_that_fails_costs_no_item(disk: Disk) -> None:
    def idle() -> None:
        raise KeyError("what nobody expects")

    backlog = backlog_of(disk, idle=idle, idle_seconds=0.0)
    for item in range(5):
        backlog.put([item])
    backlog.close(PATIENCE_SECONDS)
    assert disk.written == [0, 1, 2, 3, 4]
    assert disk.defects
