"""The daemon: streams from a configuration, verified live, seen in the log and in ``/metrics``.

Everything here runs on the event loop beside reception, so each step is short: the streams are measured in turn, each
every ``REFRESH_NS``, and a storm of events costs a bounded number of log lines.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from structlog.typing import FilteringBoundLogger

from rtpverify.daemon.announced import AnnouncedSessions
from rtpverify.daemon.config import Configuration, read_config
from rtpverify.daemon.log import LogWriter, make_logger
from rtpverify.daemon.metrics.snapshot import LoopSnapshot, Snapshot
from rtpverify.daemon.outlets import AnyOutlet, Outlet, OutletTable, Told
from rtpverify.daemon.state import StreamState
from rtpverify.daemon.web.server import WebServer
from rtpverify.discover import Listener
from rtpverify.errors import RequestError
from rtpverify.live import LiveStatistics, run, run_live
from rtpverify.result import Result
from rtpverify.rtp.batch import PacketBatch
from rtpverify.sources.endpoint import Endpoint
from rtpverify.sources.receiver import open_receiver
from rtpverify.spec import StreamSpec
from rtpverify.verifier import StreamEvent, Verifier

REFRESH_NS = 2_000_000_000
"""How old a measurement in the metrics may be. Counts of events are never older than a tick."""

STILL_NS = 2_000_000_000
"""A receive loop that did not go round for so long does not move."""

TURNS_NS = 250_000_000
"""How often streams are measured: several at a time, as the first one warms the caches for the others."""

MAX_EVENT_LINES = 20
"""Most events of one stream that are logged one by one between two lines of its state."""


def serve(config_path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit status.

    Raises
    ------
    ConfigurationError
        With every mistake of the configuration.
    SourceError
        Where a port cannot be had, or a socket fails.
    """
    configuration = read_config(config_path)
    with LogWriter(sys.stderr) as writer:
        run(_serve(configuration, make_logger(writer, configuration.log.format)))
    return 0


async def _serve(configuration: Configuration, log: FilteringBoundLogger) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Service(configuration, log) as service:
        await service.run(stop)


class Service:
    """One run of the daemon; an asynchronous context that holds its sockets.

    Attributes
    ----------
    verifier
        What verifies.
    states
        What is known of each configured stream, by name.
    outlets
        What is told every event, by the section of the configuration that made it.
    snapshot
        What a scrape may see; replaced as a whole, never changed.
    statistics
        How the live loop fares.

    Raises
    ------
    SourceError
        On entering, where a port cannot be had.
    """

    def __init__(
        self,
        configuration: Configuration,
        log: FilteringBoundLogger,
    ) -> None:
        specs = [table.spec() for table in configuration.stream]
        self.verifier = Verifier(specs, host_clock=configuration.receive.host_clock)
        self.states = {spec.name: StreamState(spec) for spec in specs}
        self.log = log
        self.statistics = LiveStatistics()
        self._configuration = configuration
        self._line_interval_ns = round(configuration.log.state_seconds * 1e9)
        self._turns: deque[tuple[int, StreamState]] = deque()
        self._next_line_ns: dict[str, int] = {}
        self._known_streams = 0
        self._event_lines: Counter[str] = Counter()
        self._next_totals_ns = 0
        self._next_turns_ns = 0
        self.snapshot = Snapshot(tuple(state.snapshot for state in self.states.values()))
        announced = configuration.announced
        self._announced = AnnouncedSessions(announced) if announced else None
        self._listener = Listener(announced.interface, configuration.receive.backend) if announced else None
        self.outlets = {section: table.open(self) for section, table in _outlet_tables(configuration)}
        self._opened = AsyncExitStack()
        self._last_tick_ns: int | None = None

    async def __aenter__(self) -> Self:
        receive = self._configuration.receive
        async with AsyncExitStack() as opening:
            endpoints = [endpoint for table in self._configuration.stream for endpoint in table.endpoints]
            self._receiver = opening.enter_context(open_receiver(endpoints, receive.backend, receive.buffer_bytes))
            if self._listener is not None:
                opening.enter_context(self._listener)
            for outlet in self.outlets.values():
                await opening.enter_async_context(_started(outlet))
            self._opened = opening.pop_all()
        self.log.info("listening", streams=len(self.states), metrics=self.metrics_url)
        for table in self._configuration.stream:
            self.log.info("waiting", stream=table.name, source=" ".join(map(str, table.endpoints)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    @property
    def metrics_url(self) -> str:
        """Where the metrics are, while the context is entered."""
        web = self.outlet(WebServer)
        return f"http://{web.listen}/metrics" if web else ""

    def outlet(self, kind: type[AnyOutlet]) -> AnyOutlet | None:
        """Return the outlet of a kind, where there is one."""
        return next((outlet for outlet in self.outlets.values() if isinstance(outlet, kind)), None)

    def unready(self) -> list[str]:
        """Return why the daemon does not do its whole work at present; nothing while it does."""
        reasons = [f"{section}: {outlet.trouble}" for section, outlet in self.outlets.items() if outlet.trouble]
        if self._last_tick_ns is None:
            reasons.insert(0, "not receiving yet")
        elif (still_ns := time.monotonic_ns() - self._last_tick_ns) > STILL_NS:
            reasons.insert(0, f"no packet was looked at for {still_ns / 1e9:.1f} s")
        return reasons

    async def run(self, stop: asyncio.Event, duration_seconds: float | None = None) -> Result:
        """Verify until ``stop`` is set or the duration is over, log a summary, and return what was found.

        Raises
        ------
        SourceError
            Where a socket fails.
        """
        now_ns = time.time_ns()
        for number, state in enumerate(self.states.values()):
            self._turns.append((now_ns + number * REFRESH_NS // len(self.states), state))
            self._next_line_ns[state.name] = now_ns + self._line_interval_ns
        await run_live(
            self.verifier,
            self._receiver,
            duration_seconds=duration_seconds,
            stop=stop,
            on_events=self._tell,
            on_batch=self._take,
            on_tick=self._tick,
            tick_seconds=self._configuration.receive.tick_seconds,
            statistics=self.statistics,
        )
        result = self.verifier.result("serve", self._receiver.dropped)
        for state in self.states.values():
            state.refresh(self.verifier, time.time_ns())
            self.log.info("summary", **state.summary(whole=True), event_lines_left_out=self._left_out(state.name))
        self.log.info(
            "stopped",
            verdict=str(result.verdict),
            receive_buffer_dropped=result.receive_buffer_dropped,
            discarded=result.discarded,
            max_lag_seconds=round(self.statistics.max_lag_seconds, 4),
        )
        return result

    def _take(self, batch: PacketBatch) -> None:
        """Show outlets what arrived."""
        for outlet in self.outlets.values():
            outlet.take(batch)

    def _tell(self, events: Sequence[StreamEvent]) -> None:
        """Count and log events, and tell the outlets."""
        told = [Told(item.stream, item.event, item.is_new) for item in events]
        for item in told:
            self.states[item.name].count(item)
            if item.is_new or not item.event.open:
                self._log_event(item)
        self._renew_snapshot()
        for outlet in self.outlets.values():
            outlet.tell(told)

    def _log_event(self, told: Told) -> None:
        """Log that an event began or ended, but never a flood of them."""
        name = told.name
        self._event_lines[name] += 1
        if self._event_lines[name] > MAX_EVENT_LINES:
            return
        write = self.log.warning if told.event.fault else self.log.info
        fields = {key: value for key, value in told.document.items() if value is not None}
        write("event" if told.is_new else "event ended", **fields)

    def _left_out(self, name: str) -> int:
        """Return how many event lines of a stream were not logged since the last call."""
        return max(0, self._event_lines.pop(name, 0) - MAX_EVENT_LINES)

    def _tick(self, now_ns: int) -> None:
        """Measure the streams whose turn it is."""
        self._last_tick_ns = time.monotonic_ns()
        for outlet in self.outlets.values():
            outlet.tick(now_ns)
        if len(self.verifier.streams) > self._known_streams:
            self._welcome()
        if now_ns >= self._next_totals_ns:
            self._next_totals_ns = now_ns + REFRESH_NS
            self._hear_announcements(now_ns)
            self._renew_totals()
        if not self._turns or self._turns[0][0] > now_ns or now_ns < self._next_turns_ns:
            return
        self._next_turns_ns = now_ns + TURNS_NS
        while self._turns[0][0] <= now_ns:
            due_ns, state = self._turns.popleft()
            periods = (now_ns - due_ns) // REFRESH_NS + 1
            self._turns.append((due_ns + periods * REFRESH_NS, state))
            self._refresh(state, now_ns)
        self._renew_snapshot()

    def _hear_announcements(self, now_ns: int) -> None:
        """Follow sessions that are announced and asked for; one that cannot be followed is logged and left alone."""
        if self._listener is None or self._announced is None:
            return
        for announcement in self._listener.drain():
            try:
                for endpoints, spec in self._announced.streams_of(announcement, self.states):
                    self._follow(endpoints, spec, now_ns)
            except RequestError as error:
                self.log.warning("announced session not followed", reason=str(error))

    def _follow(self, endpoints: Sequence[Endpoint], spec: StreamSpec, now_ns: int) -> None:
        """Verify one more stream."""
        self._receiver.add(endpoints)
        self.verifier.add(spec)
        state = self.states[spec.name] = StreamState(spec)
        self._turns.append((now_ns + REFRESH_NS, state))
        self._next_line_ns[spec.name] = now_ns + self._line_interval_ns
        self.log.info("announced", stream=spec.name, source=" ".join(map(str, endpoints)))

    def _refresh(self, state: StreamState, now_ns: int) -> None:
        """Measure one stream; log it where it went up or down, or where its line is due."""
        if state.refresh(self.verifier, now_ns):
            write = self.log.info if state.up else self.log.warning
            write("stream up" if state.up else "stream down", stream=state.name)
        if now_ns >= self._next_line_ns[state.name]:
            self._next_line_ns[state.name] = now_ns + self._line_interval_ns
            self.log.info("state", **state.summary(), event_lines_left_out=self._left_out(state.name))

    def _welcome(self) -> None:
        """Log the streams that appeared since the last call, and hand them to the states they belong to."""
        for stream in self.verifier.streams[self._known_streams :]:
            self.states[stream.name].add(stream)
            result = self.verifier.result_of(stream)
            self.log.info(
                "stream appeared",
                stream=stream.name,
                sender=result.sender,
                destination=result.destination,
                ssrc=None if result.ssrc is None else f"0x{result.ssrc:08x}",
                payload_type=result.payload_type,
                encoding=str(stream.encoding) if stream.encoding else None,
            )
            if stream.encoding is None and stream.spec.reference is not None:
                self.log.warning(
                    "encoding unknown, transport alone is verified",
                    stream=stream.name,
                    payload_type=result.payload_type,
                )
        self._known_streams = len(self.verifier.streams)

    def _renew_snapshot(self) -> None:
        """Let a scrape see what is known of the streams."""
        self.snapshot = replace(self.snapshot, streams=tuple(state.snapshot for state in self.states.values()))

    def _renew_totals(self) -> None:
        """Let a scrape see the counts of this host; they take a system call per socket."""
        self.snapshot = replace(
            self.snapshot,
            discarded=dict(self.verifier.discarded + self._receiver.discarded),
            receive_buffer_dropped=self._receiver.dropped,
            receive_buffer_bytes=self._receiver.receive_buffer_bytes,
            receive_buffer_fill=self._receiver.take_fill(),
            loop=LoopSnapshot(
                self.statistics.ticks,
                self.statistics.busy_seconds,
                self.statistics.batch_datagrams.counts(),
                self.statistics.lag_seconds.counts(),
                self.statistics.age_seconds.counts(),
            ),
            outlets={section: dict(outlet.counts) for section, outlet in self.outlets.items()},
        )


def _outlet_tables(configuration: Configuration) -> Iterator[tuple[str, OutletTable]]:
    """Yield the tables that make outlets, with their sections."""
    for section, value in configuration:
        if isinstance(value, OutletTable):
            yield section, value
        elif isinstance(value, tuple):
            for number, table in enumerate(value, 1):
                if isinstance(table, OutletTable):
                    yield f"{section}[{number}]", table


@asynccontextmanager
async def _started(outlet: Outlet) -> AsyncIterator[Outlet]:
    """Start an outlet, and stop it in any case."""
    try:
        await outlet.start()
        yield outlet
    finally:
        await outlet.stop()
