from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from rtpverify.live.loop import FULL_BATCH, GOOD_BATCH, SHORTEST_TICK_SECONDS, LiveStatistics, _Pace, run, run_live
from rtpverify.rtp.batch import Flow, PacketBatch
from tests.helpers.patience import PATIENCE_SECONDS


def datagrams(count: int) -> PacketBatch:
    zeros = np.zeros(count, np.int64)
    return PacketBatch(np.zeros(1, np.uint8), zeros, zeros, zeros, zeros, [Flow("192.0.2.1:1", "192.0.2.2:2")])


class Script:
    """A receiver that hands over batches of the given sizes (0: nothing has arrived), and the verifier beside it.

    ``calls`` holds what was called, in order, with the time of each ``drain`` and the argument of each ``advance``.
    """

    def __init__(
        self, sizes: Sequence[int], feed: Callable[[], object] = lambda: None, receive_buffer_bytes: int = 16 << 20
    ) -> None:
        self.calls: list[tuple[str, int]] = []
        self.merges = False
        self.clear_ns = 0
        self.receive_buffer_bytes = receive_buffer_bytes
        self.ended = False
        self._sizes = list(sizes)
        self._feed = feed

    def drain(self) -> PacketBatch | None:
        size = self._sizes.pop(0) if self._sizes else 0
        if size < FULL_BATCH:
            self.clear_ns = time.time_ns()
        self.calls.append(("drain", time.time_ns()))
        return datagrams(size) if size else None

    def abandon(self, until_ns: int) -> None:
        if self.clear_ns < until_ns:
            self.calls.append(("abandon", until_ns))
            self.clear_ns = until_ns

    def feed(self, batch: PacketBatch) -> list[Any]:
        self.calls.append(("feed", len(batch)))
        self._feed()
        return [f"fed {len(batch)}"]

    def dropped_to(self) -> dict[str, int]:
        return {}

    def take_host_drops(self, dropped_to: dict[str, int]) -> None:
        assert dropped_to == {}

    def advance(self, now_ns: int) -> list[Any]:
        self.calls.append(("advance", now_ns))
        return []

    def has_ended(self, _now_ns: int) -> bool:
        return self.ended

    def finish(self, now_ns: int) -> list[Any]:
        self.calls.append(("finish", now_ns))
        return ["finished"]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


async def live(script: Script, **options: Any) -> LiveStatistics:
    return await run_live(script, script, **options)  # type: ignore[arg-type]


async def test_the_clock_goes_on_only_to_before_the_drain_that_found_nothing_more() -> None:
    script = Script([3, FULL_BATCH, FULL_BATCH, 1, 0])
    await live(script, duration_seconds=0.05, tick_seconds=0.001)
    assert script.names[:10] == [
        *("drain", "feed", "advance"),
        *("drain", "feed", "advance", "drain", "feed", "advance", "drain"),
    ]
    drained_ns = 0
    for name, value in script.calls:
        if name == "drain":
            drained_ns = value
        if name == "advance":
            assert value <= drained_ns


async def test_a_full_batch_is_followed_by_another_drain_without_a_pause() -> None:
    stop = asyncio.Event()
    script = Script([FULL_BATCH] * 20, feed=lambda: stop.set() if script.names.count("feed") == 20 else None)
    await asyncio.wait_for(live(script, stop=stop, tick_seconds=30), timeout=PATIENCE_SECONDS)
    assert script.names.count("feed") == 20


async def test_other_tasks_get_their_turn_between_two_drains() -> None:
    turns = []
    stop = asyncio.Event()

    async def other() -> None:
        for _ in range(5):
            turns.append(len(script.calls))
            await asyncio.sleep(0)
        stop.set()

    script = Script([FULL_BATCH] * 1000)
    task = asyncio.create_task(other())
    await live(script, stop=stop)
    await task
    assert turns == sorted(set(turns))
    assert turns[-1] < 100


async def test_a_feed_longer_than_the_tick_shows_as_lag_and_the_next_drain_comes_at_once() -> None:
    stop = asyncio.Event()

    def feed() -> None:
        time.sleep(0.01)
        if script.names.count("feed") == 5:
            stop.set()

    script = Script([1] * 5, feed=feed)
    statistics = await live(script, stop=stop, tick_seconds=0.001)
    assert statistics.max_lag_seconds >= 0.008
    assert statistics.batches == 5
    assert statistics.datagrams == 5


@pytest.mark.parametrize(
    ("size", "receive_buffer_bytes", "longest_seconds"),
    [
        pytest.param(1, 16 << 20, 0.05, id="as long as allowed where little arrives"),
        pytest.param(0, 16 << 20, SHORTEST_TICK_SECONDS, id="short while nothing arrives"),
        pytest.param(GOOD_BATCH, 16 << 20, SHORTEST_TICK_SECONDS, id="short where much arrives"),
        pytest.param(100, 400_000, SHORTEST_TICK_SECONDS, id="short where the receive buffer is small"),
    ],
)
def test_a_tick_is_as_long_as_what_arrives_allows(size: int, receive_buffer_bytes: int, longest_seconds: float) -> None:
    pace = _Pace(0.05, receive_buffer_bytes)
    seconds = pace.seconds(datagrams(size) if size else None, SHORTEST_TICK_SECONDS)
    assert seconds == longest_seconds


def test_the_pace_settles_at_once() -> None:
    pace = _Pace(0.05, 64 << 20)
    packets_per_second = 64_000
    seconds = SHORTEST_TICK_SECONDS
    for _ in range(3):
        seconds = pace.seconds(datagrams(round(packets_per_second * seconds)), seconds)
        assert seconds * packets_per_second == pytest.approx(GOOD_BATCH, rel=0.01)


async def test_what_still_waits_at_the_end_is_taken_in_and_then_it_finishes() -> None:
    told: list[Any] = []
    stop = asyncio.Event()
    stop.set()
    script = Script([FULL_BATCH, 7, 0])
    await live(script, stop=stop, on_events=told.extend)
    assert told == [f"fed {FULL_BATCH}", "fed 7", "finished"]
    assert script.names == ["drain", "feed", "advance", "drain", "feed", "advance", "finish"]


async def test_the_clock_at_the_end_is_that_at_which_the_receiver_was_empty() -> None:
    script = Script([3, FULL_BATCH, 1, 0])
    await live(script, duration_seconds=0.02, tick_seconds=0.001)
    assert script.calls[-1] == ("finish", script.clear_ns)
    assert ("advance", script.clear_ns) in script.calls


async def test_until_end_goes_on_until_all_have_ended() -> None:
    script = Script([1] * 5, feed=lambda: setattr(script, "ended", script.names.count("feed") == 5))
    await asyncio.wait_for(live(script, until_end=True, tick_seconds=0.001), timeout=PATIENCE_SECONDS)
    assert script.names.count("feed") == 5
    ended = Script([1] * 5)
    ended.ended = True
    await live(ended, duration_seconds=0.05, tick_seconds=0.001)
    assert ended.names.count("feed") == 5, "nothing but the duration ends it where that is not asked for"


async def test_a_host_that_cannot_keep_up_ends_all_the_same_and_counts_what_it_left(monkeypatch) -> None:
    monkeypatch.setattr("rtpverify.live.loop.LAST_SECONDS", 0.05)
    script = Script([FULL_BATCH] * 1_000_000)
    began_ns = time.time_ns()
    await live(script, duration_seconds=0)
    assert script.names[-2:] == ["abandon", "finish"]
    assert began_ns <= script.calls[-2][1] <= time.time_ns()


def test_how_far_this_host_is_behind(monkeypatch) -> None:
    statistics, now = LiveStatistics(), [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.time_ns", lambda: round(now[0] * 1e9))
    assert statistics.behind_seconds == 0.0
    statistics.clear_ns = time.time_ns()
    statistics.took_in(10, 0.75)
    now[0] += 0.5
    assert statistics.behind_seconds == 0.75, "the oldest packet of the last seconds"
    now[0] += 0.5
    assert statistics.behind_seconds == 1.0, "what has not been read since may hold a packet"
    now[0] += 30.0
    assert statistics.behind_seconds == 31.0
    statistics.clear_ns = time.time_ns()
    assert statistics.behind_seconds == 0.0


async def test_every_tick_is_told() -> None:
    ticks: list[int] = []
    statistics = await live(Script([0, 1]), duration_seconds=0.02, tick_seconds=0.002, on_tick=ticks.append)
    assert len(ticks) == statistics.ticks > 1
    assert ticks == sorted(ticks)


def test_it_runs_on_uvloop_where_there_is_one() -> None:
    async def name() -> str:
        return type(asyncio.get_running_loop()).__module__

    try:
        import uvloop  # noqa: F401
    except ImportError:
        assert run(name()).startswith("asyncio")
    else:
        assert run(name()).startswith("uvloop")


class Failing(Script):
    """A receiver whose drains of some numbers raise."""

    def __init__(self, sizes: Sequence[int], fails: Sequence[int]) -> None:
        super().__init__(sizes)
        self._fails = fails
        self._drains = 0

    def drain(self) -> PacketBatch | None:
        self._drains += 1
        if self._drains - 1 in self._fails:
            raise ValueError("no drain")
        return super().drain()


async def test_what_fails_is_tried_again_at_growing_intervals_and_nothing_else_ends() -> None:
    script, told = Failing([3, 2, 1], fails=range(1, 6)), list[Exception]()
    ticks: list[int] = []
    stop = asyncio.Event()

    def end_with_the_last(batch: PacketBatch) -> None:
        if len(batch) == 1:
            stop.set()

    loop = asyncio.get_running_loop()
    began = loop.time()
    failed_after: list[float] = []

    def note(error: Exception) -> None:
        told.append(error)
        failed_after.append(loop.time() - began)

    await live(script, stop=stop, tick_seconds=0.01, on_failure=note, on_batch=end_with_the_last, on_tick=ticks.append)
    assert [str(error) for error in told] == ["no drain"] * 5
    assert [size for name, size in script.calls if name == "feed"] == [3, 2, 1]
    assert len(ticks) == script.names.count("drain")  # what fails does not look alive
    # A tick that began late makes the next wait shorter, but never the sum of all.
    assert all(after >= 0.01 * (2**number - 1) for number, after in enumerate(failed_after))


async def test_the_clock_stands_still_while_nothing_can_be_received() -> None:
    script = Failing([0], fails=range(1, 1000))
    await live(script, duration_seconds=0.1, tick_seconds=0.01, on_failure=lambda _: None)
    assert script.names.count("advance") == 1


async def test_what_fails_in_a_check_is_raised() -> None:
    with pytest.raises(ValueError, match="no drain"):
        await live(Failing([], fails=[0]), duration_seconds=1)
