"""The thin live shell: a receiver, the verifier and one timer.

Rules: a tick is the only timer. The verifier's clock goes on only to a moment at which the receiver was found empty
afterwards: a packet that still waits in this host is never taken for lost. After a full batch, or a feed that took
longer than a tick, the receiver is drained again at once; the loop's other tasks get their turn between two drains.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rtpverify.sources.receiver import Receiver
    from rtpverify.verifier import StreamEvent, Verifier

TICK_SECONDS = 0.04
"""Default time between two drains.

What a drain costs hardly grows with its packets, so few drains are cheap. A socket buffer of the size that Linux gives
without privilege still holds one and a half such times of 125 µs stereo packets (512 measured, of 48 bytes).
"""

FULL_BATCH = 2048
"""A batch of this many datagrams leaves more behind in the receiver."""

MAX_LAST_STEPS = 32
"""Most full batches taken in after the end: more than any receive buffer holds, and an end under a flood."""

T = TypeVar("T")


@dataclass(slots=True)
class LiveStatistics:
    """How the loop itself fares.

    Attributes
    ----------
    lag_seconds, max_lag_seconds
        How late the latest tick began, and the latest of all: what the event loop's other work and this machine cost.
    """

    ticks: int = 0
    batches: int = 0
    datagrams: int = 0
    lag_seconds: float = 0.0
    max_lag_seconds: float = 0.0

    def late(self, seconds: float) -> None:
        """Take in how late a tick began."""
        self.lag_seconds = max(0.0, seconds)
        self.max_lag_seconds = max(self.max_lag_seconds, seconds)


def _ignore_events(_told: Sequence[StreamEvent]) -> None:
    """Take events that nobody asked for."""


def _ignore_tick(_now_ns: int) -> None:
    """Take a tick that nobody asked for."""


async def run_live(
    verifier: Verifier,
    receiver: Receiver,
    *,
    duration_seconds: float | None = None,
    stop: asyncio.Event | None = None,
    on_events: Callable[[Sequence[StreamEvent]], None] = _ignore_events,
    on_tick: Callable[[int], None] = _ignore_tick,
    tick_seconds: float = TICK_SECONDS,
    statistics: LiveStatistics | None = None,
) -> LiveStatistics:
    """Verify until ``stop`` is set or the duration is over, then take in what still waits and finish.

    Parameters
    ----------
    on_events
        Called on the event loop with the events of every drain that told any; must be quick.
    on_tick
        Called after every drain with the time in ns since the Unix epoch; must be quick.
    statistics
        Kept up to date while the loop runs, and returned.

    Raises
    ------
    SourceError
        Where a socket fails.
    """
    statistics = statistics or LiveStatistics()

    def tell(told: Sequence[StreamEvent]) -> None:
        if told:
            on_events(told)

    def step() -> bool:
        """Drain once; return whether more waits."""
        now_ns = time.time_ns()
        batch = receiver.drain()
        statistics.ticks += 1
        more = False
        if batch is not None:
            more = len(batch) >= FULL_BATCH
            statistics.batches += 1
            statistics.datagrams += len(batch)
            tell(verifier.feed(batch))
        if not more:
            tell(verifier.advance(now_ns))
        on_tick(now_ns)
        return more

    loop = asyncio.get_running_loop()
    due = loop.time()
    end = due + duration_seconds if duration_seconds is not None else float("inf")
    while loop.time() < end and not (stop is not None and stop.is_set()):
        more = step()
        due += tick_seconds
        late = loop.time() - due
        if more or late >= 0:
            due = loop.time()
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(-late)
            late = loop.time() - due
        statistics.late(late)
    last_steps = 0
    while step() and last_steps < MAX_LAST_STEPS:
        last_steps += 1
    tell(verifier.finish())
    return statistics


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on uvloop where there is one, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        loop_factory = None
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)
