"""The thin live shell: a receiver, the verifier and one timer.

Rules: a tick is the only timer. The verifier's clock continues only to a moment before which all that arrived was
handed over (``clear_ns``): a packet that still waits in this host is never taken for lost, nor its stream for ended.
After a full batch, or a feed that took longer than a tick, the receiver is drained again at once; the loop's other
tasks get their turn between two drains. A tick is as long as it may be: the cost of waking up is shared by all packets
of a batch. What arrived since the last drain shows how long that is. At the end all that arrived before is taken in;
where that takes too long, the rest is counted as dropped by this host.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rtpverify.live.clock_watch import ClockWatch
from rtpverify.live.histogram import BucketCounter
from rtpverify.live.recent_peak import RecentPeak
from rtpverify.live.signals import STOP_SIGNALS, mind

if TYPE_CHECKING:
    from rtpverify.engine.verifier import StreamEvent, Verifier
    from rtpverify.rtp.batch import PacketBatch
    from rtpverify.sources.live.receiver import LiveInput

TICK_SECONDS = 0.06
"""Default of the longest time between two drains: what a drain costs hardly grows with its packets."""

SHORTEST_TICK_SECONDS = 0.005
"""Between drains that find nothing, too: how fast a stream begins is not known beforehand."""

GOOD_BATCH = 2560
"""Larger batches cost no less per packet, and leave the processor's caches; each has a cost of its own."""

FULLEST = 0.25
"""Part of the receive buffer that may fill up between two drains."""

ACCOUNTED_BYTES = 2304
"""What the kernel charges a receive buffer for a packet of up to an Ethernet frame, at most."""

FULL_BATCH = 4096
"""A batch of this many datagrams leaves more in the receiver."""

LONGEST_RETRY_SECONDS, MAX_DOUBLINGS = 1.0, 10
"""Between two drains that fail, doubled from a tick each time."""

LAST_SECONDS = 10.0
"""Longest time to take in what arrived before the end: well within what service managers wait."""

RECENT_SECONDS = 2.0
"""For how long the age of a packet shows how late this host is."""

BATCH_EDGES = (1, 10, 20, 50, 100, 200, 500, 1000, 2000, 4000)
LAG_EDGES_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

T = TypeVar("T")


@dataclass(slots=True)
class LiveStatistics:
    """How the loop itself fares.

    Attributes
    ----------
    batch_datagrams
        Datagrams per batch.
    lag_seconds, max_lag_seconds
        How late ticks began, and the latest of all: what the event loop's other work and this machine cost.
    age_seconds
        Time from the arrival of the oldest datagram of a batch until the batch was processed.
    busy_seconds
        Processor time spent on receiving and verifying.
    clear_ns
        What arrived before was handed over; 0 before the first drain.
    """

    ticks: int = 0
    batches: int = 0
    datagrams: int = 0
    max_lag_seconds: float = 0.0
    busy_seconds: float = 0.0
    clear_ns: int = 0
    batch_datagrams: BucketCounter = field(default_factory=lambda: BucketCounter(BATCH_EDGES))
    lag_seconds: BucketCounter = field(default_factory=lambda: BucketCounter(LAG_EDGES_SECONDS))
    age_seconds: BucketCounter = field(default_factory=lambda: BucketCounter(LAG_EDGES_SECONDS))
    _oldest_seconds: RecentPeak = field(default_factory=lambda: RecentPeak(RECENT_SECONDS))

    @property
    def behind_seconds(self) -> float:
        """How late this host is: the age of the oldest packet that waits now, or did in the last seconds.

        It may be less, never more, where no packet waits.
        """
        waiting_seconds = (time.time_ns() - self.clear_ns) / 1e9 if self.clear_ns else 0.0
        return max(waiting_seconds, self._oldest_seconds.at(time.monotonic()))

    def late(self, seconds: float) -> None:
        """Take in how late a tick began.

        Parameters
        ----------
        seconds
            Time after it was due.
        """
        self.lag_seconds.add(max(0.0, seconds))
        self.max_lag_seconds = max(self.max_lag_seconds, seconds)

    def took_in(self, datagrams: int, age_seconds: float) -> None:
        """Take in a batch whose oldest datagram is this old now.

        Parameters
        ----------
        datagrams
            Datagrams of the batch.
        age_seconds
            Age of its oldest one.
        """
        self.batches += 1
        self.datagrams += datagrams
        self.batch_datagrams.add(datagrams)
        self.age_seconds.add(age_seconds)
        self._oldest_seconds.add(time.monotonic(), age_seconds)


class _Pace:
    """How long to wait for the next batch, by what came with the last one."""

    def __init__(self, longest_seconds: float, receive_buffer_bytes: int) -> None:
        self._longest_seconds = longest_seconds
        self._shortest_seconds = min(SHORTEST_TICK_SECONDS, longest_seconds)
        self._most_of_a_flow = max(FULLEST * receive_buffer_bytes / ACCOUNTED_BYTES, 1.0)

    def seconds(self, batch: PacketBatch | None, gathered_seconds: float) -> float:
        """Return the next tick, where ``batch`` is what arrived in ``gathered_seconds``."""
        if batch is None:
            return self._shortest_seconds
        fill = max(len(batch) / GOOD_BATCH, int(np.bincount(batch.flow).max()) / self._most_of_a_flow)
        return min(max(gathered_seconds / fill, self._shortest_seconds), self._longest_seconds)


class _Deadline:
    """When a check is over, in seconds of the event loop's clock; ``at`` is infinite where only a signal ends it."""

    def __init__(self, now: float, duration_seconds: float | None, wait_seconds: float | None) -> None:
        self._duration_seconds = float("inf") if duration_seconds is None else duration_seconds
        self._waits = wait_seconds is not None
        self.at = now + (self._duration_seconds if wait_seconds is None else wait_seconds)

    def look_for(self, verifier: Verifier, now: float) -> None:
        """Count the duration from the first packet, once a stream that is waited for is there."""
        if self._waits and verifier.streams:
            self._waits = False
            since_ns = time.time_ns() - min(stream.first_arrival_ns for stream in verifier.streams)
            self.at = now - since_ns / 1e9 + self._duration_seconds


def _ignore_events(_told: Sequence[StreamEvent]) -> None:
    """Take events that nobody asked for."""


def _ignore_batch(_batch: PacketBatch) -> None:
    """Take datagrams that nobody asked for."""


def _ignore_tick(_now_ns: int) -> None:
    """Take a tick that nobody asked for."""


def _mind_clock(
    clock: ClockWatch, verifier: Verifier, batch: PacketBatch | None, on_clock_step: Callable[[int], None]
) -> None:
    """Let a verifier, and the packets that it gets next, continue by the clock where that was set."""
    step_ns = clock.take_step()
    if step_ns:
        verifier.shift_clock(step_ns)
        if batch is not None:
            clock.correct(batch, step_ns)
        on_clock_step(step_ns)


async def run_live(
    verifier: Verifier,
    receiver: LiveInput,
    *,
    duration_seconds: float | None = None,
    wait_seconds: float | None = None,
    stop: asyncio.Event | None = None,
    on_events: Callable[[Sequence[StreamEvent]], None] = _ignore_events,
    on_batch: Callable[[PacketBatch], None] = _ignore_batch,
    on_tick: Callable[[int], None] = _ignore_tick,
    tick_seconds: float = TICK_SECONDS,
    on_clock_step: Callable[[int], None] = _ignore_tick,
    on_failure: Callable[[Exception], None] | None = None,
    statistics: LiveStatistics | None = None,
    until_end: bool = False,
) -> LiveStatistics:
    """Verify until ``stop`` is set or the duration is over, then take in what still waits and finish.

    Parameters
    ----------
    verifier
        Takes the packets.
    receiver
        Gives them.
    duration_seconds
        How long; None: until ``stop``.
    wait_seconds
        How long to wait for a stream; once there is one, the duration counts from its first packet. None: it counts
        from now on.
    stop
        Ends it when set; None: the duration alone.
    on_events
        Called on the event loop with the events of every drain that had any; must be quick.
    on_batch
        Called with the datagrams of every drain before they are verified; must be quick.
    on_tick
        Called after every drain with the time in ns since the Unix epoch; must be quick.
    tick_seconds
        Longest time between two drains; the more arrives, the shorter it gets.
    on_clock_step
        Called with how far the clock of this host was set forward, in ns.
    on_failure
        Called with what receiving or verifying raised; then it is tried again, at growing intervals, and packets wait
        in the sockets. None: it is raised.
    statistics
        Kept up to date while the loop runs, and returned.
    until_end
        Finish when all streams that came have ended, too.

    Returns
    -------
    LiveStatistics
        How the loop fared.

    Raises
    ------
    SourceError
        Where a socket fails and there is no ``on_failure``.
    """
    statistics = statistics or LiveStatistics()

    def tell(told: Sequence[StreamEvent]) -> None:
        if told:
            on_events(told)

    clock = ClockWatch()
    pace = _Pace(tick_seconds, receiver.receive_buffer_bytes)
    tick, drained = 0.0, time.monotonic()

    has_ended = False

    def step() -> bool:
        """Drain once; return whether more waits."""
        nonlocal tick, drained, has_ended
        started, now_ns = time.monotonic(), time.time_ns()
        batch = receiver.drain()
        _mind_clock(clock, verifier, batch, on_clock_step)
        before, drained = drained, time.monotonic()
        tick = pace.seconds(batch, drained - before)
        statistics.ticks += 1
        more = False
        if batch is not None:
            more = len(batch) >= FULL_BATCH
            on_batch(batch)
            oldest_ns = int(batch.arrival_ns.min())
            # Legs are received one after another; which copy came first must not depend on that.
            tell(verifier.feed(batch.by_arrival() if verifier.merges else batch))
            statistics.took_in(len(batch), (time.time_ns() - oldest_ns) / 1e9)
        statistics.clear_ns = receiver.clear_ns
        tell(verifier.advance(receiver.clear_ns))
        has_ended = until_end and verifier.has_ended(receiver.clear_ns)
        on_tick(now_ns)
        statistics.busy_seconds += time.monotonic() - started
        return more

    failures = 0

    def attempt() -> bool:
        """Drain once, or wait longer until the next time; return whether more waits."""
        nonlocal tick, failures
        try:
            more = step()
        except Exception as error:
            if on_failure is None:
                raise
            on_failure(error)
            tick = min(tick_seconds * 2**failures, LONGEST_RETRY_SECONDS)
            failures = min(failures + 1, MAX_DOUBLINGS)
            return False
        failures = 0
        return more

    loop = asyncio.get_running_loop()
    due = loop.time()
    deadline = _Deadline(due, duration_seconds, wait_seconds)
    while loop.time() < deadline.at and not (has_ended or (stop is not None and stop.is_set())):
        more = attempt()
        deadline.look_for(verifier, loop.time())
        due += tick
        late = loop.time() - due
        if more or late >= 0:
            due = loop.time()
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(-late)
            late = loop.time() - due
        statistics.late(late)
    ended_ns, end = time.time_ns(), loop.time() + LAST_SECONDS
    while receiver.clear_ns < ended_ns and loop.time() < end:
        attempt()
        if failures:
            break
        await asyncio.sleep(0)
    receiver.abandon(ended_ns)
    verifier.take_host_drops(receiver.dropped_to())
    tell(verifier.finish(receiver.clear_ns))
    return statistics


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on uvloop where there is one, else on asyncio's own loop.

    Parameters
    ----------
    main
        The coroutine.

    Returns
    -------
    T
        What it returns.
    """
    try:
        import uvloop
    except ImportError:
        loop_factory = None
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)


@contextlib.contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM set ``stop``, where this thread gets signals; afterwards they do what they did before.

    Parameters
    ----------
    stop
        Set by the first signal.

    Yields
    ------
    None
        Nothing.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        for number in before:
            mind(loop, number, stop.set)
    except (RuntimeError, ValueError):  # not the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)
