"""The daemon: streams from a configuration, verified live, seen in the log and in ``/metrics``.

Everything here runs on the event loop beside reception, so each step is short: the streams are measured in turn, each
every ``REFRESH_NS``, and a storm of events costs a bounded number of log lines.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from structlog.typing import FilteringBoundLogger

from rtpverify.daemon.announced import AnnouncedSessions
from rtpverify.daemon.config import Configuration
from rtpverify.daemon.expectation import Followed
from rtpverify.daemon.folder import SdpFolder
from rtpverify.daemon.metrics.snapshot import LoopSnapshot, Snapshot
from rtpverify.daemon.notify import Notifier
from rtpverify.daemon.outlets import AnyOutlet, Outlet, OutletTable, Told
from rtpverify.daemon.reload import ConfigurationFiles
from rtpverify.daemon.roster import CONFIGURED, Change, Roster
from rtpverify.daemon.state import StreamState
from rtpverify.daemon.web.server import WebServer
from rtpverify.errors import RequestError
from rtpverify.live import LiveStatistics, run_live
from rtpverify.result import Result
from rtpverify.rtp.batch import PacketBatch
from rtpverify.sources.feedback import Feedback
from rtpverify.sources.flows import MAX_FLOWS
from rtpverify.sources.receiver import open_receiver
from rtpverify.verifier import StreamEvent, Verifier

REFRESH_NS = 2_000_000_000
"""How old a measurement in the metrics may be. Counts of events are never older than a tick."""

STILL_NS = 2_000_000_000
"""A receive loop that did not go round for so long does not move."""

TURNS_NS = 250_000_000
"""How often streams are measured: several at a time, as the first one warms the caches for the others."""

WATCH_SECONDS = 1.0
"""How often files, announcements and interfaces are looked at."""

MANY_FLOWS = MAX_FLOWS // 2
"""Past so many flows those that no stream needs are forgotten: every start of a sender may bring another port."""

SPARE_IDENTITIES = 64
"""Past so many streams of the verifier more than there are names, those of senders long gone are forgotten."""
IDLE_NS = 60_000_000_000
"""How long a sender is silent that is long gone, where another one goes on under the name."""

MAX_EVENT_LINES = 20
"""Most events of one stream that are logged one by one between two lines of its state."""


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
        *,
        path: Path | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        streams = [table.followed for table in configuration.stream]
        self.verifier = Verifier([stream.spec for stream in streams], host_clock=configuration.receive.host_clock)
        self.states = {stream.name: StreamState(stream.spec) for stream in streams}
        self.log = log
        self.statistics = LiveStatistics()
        self.snapshot = Snapshot(tuple(state.snapshot for state in self.states.values()))
        self._feedback = Feedback(self.verifier, time.time_ns()) if configuration.receive.receiver_reports else None
        self._configuration = configuration
        self._configured = ConfigurationFiles(path, configuration) if path else None
        self._notifier = notifier or Notifier(None)
        self._turns: deque[tuple[int, StreamState]] = deque()
        self._last_line_ns: dict[str, int] = {}
        self._known_streams = 0
        self._event_lines: Counter[str] = Counter()
        self._next_totals_ns = 0
        self._next_turns_ns = 0
        self._announced = _announced_sessions(configuration)
        self._folders = [SdpFolder(table) for table in configuration.folder]
        self._mistakes: dict[str, None] = {}
        """What is wrong with files of folders and announced sessions at present."""
        self._reload_asked = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.outlets = {section: table.open(self) for section, table in outlet_tables(configuration)}
        self._to_stop: dict[str, Outlet] = {}
        self._opened = AsyncExitStack()
        self._last_tick_ns: int | None = None

    async def __aenter__(self) -> Self:
        receive = self._configuration.receive
        async with AsyncExitStack() as opening:
            self._receiver = opening.enter_context(open_receiver([], receive.backend, receive.buffer_bytes))
            if self._feedback is not None:
                opening.enter_context(self._feedback)
            self.roster = Roster(self._receiver)
            self.roster.update(self._configured_streams(self._configuration))
            if self._announced is not None:
                self._announced.__enter__()
            opening.callback(self._stop_listening)
            opening.push_async_callback(self._stop_outlets)
            for section, outlet in self.outlets.items():
                await self._start(section, outlet)
            self._opened = opening.pop_all()
        self.log.info("listening", streams=len(self.states), metrics=self.metrics_url)
        for stream in self.roster:
            self._log_waiting(stream)
        await self._look_around(at_once=True)
        self._note_reload(taken_over=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._notifier.stopping()
        await self._opened.aclose()
        self._notifier.close()

    async def _start(self, section: str, outlet: Outlet) -> None:
        """Start an outlet; it is stopped with the others, also where it cannot start."""
        self._to_stop[section] = outlet
        await outlet.start()

    async def _stop_outlets(self) -> None:
        """Stop every outlet, the last one first."""
        async with AsyncExitStack() as stack:
            for outlet in self._to_stop.values():
                stack.push_async_callback(outlet.stop)

    def _stop_listening(self) -> None:
        if self._announced is not None:
            self._announced.__exit__()

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
        if self._last_tick_ns is None:
            return ["not receiving yet"]
        reasons = []
        if (still_ns := time.monotonic_ns() - self._last_tick_ns) > STILL_NS:
            reasons.append(f"no packet was looked at for {still_ns / 1e9:.1f} s")
        reasons += [f"no interface {name!r} on this host" for name in self.roster.missing_interfaces]
        return reasons + [f"{section}: {outlet.trouble}" for section, outlet in self.outlets.items() if outlet.trouble]

    async def run(self, stop: asyncio.Event, duration_seconds: float | None = None) -> Result:
        """Verify until ``stop`` is set or the duration is over, log a summary, and return what was found.

        Raises
        ------
        SourceError
            Where a socket fails.
        """
        now_ns = time.time_ns()
        self._turns.clear()
        for number, state in enumerate(self.states.values()):
            self._turns.append((now_ns + number * REFRESH_NS // len(self.states), state))
            self._last_line_ns[state.name] = now_ns
        self._watching = asyncio.create_task(self._watch())
        try:
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
        finally:
            self._watching.cancel()
            await asyncio.wait([self._watching])
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
        if self._last_tick_ns is None:
            self._notifier.ready(self._status())
        self._last_tick_ns = time.monotonic_ns()
        self._notifier.alive(self._last_tick_ns, self._status)
        if self._feedback is not None:
            self._feedback.tick(now_ns)
        for outlet in self.outlets.values():
            outlet.tick(now_ns)
        if len(self.verifier.streams) > self._known_streams:
            self._welcome()
        if now_ns >= self._next_totals_ns:
            self._next_totals_ns = now_ns + REFRESH_NS
            self._renew_totals()
            if len(self._receiver.flows) > MANY_FLOWS:
                self._receiver.keep_flows(self.verifier.keep_flows().tolist())
            if len(self.verifier.streams) > len(self.states) + SPARE_IDENTITIES:
                self._forget_identities(now_ns - IDLE_NS)
            if self._watching is not None and self._watching.done():
                self._watching.result()
        if not self._turns or self._turns[0][0] > now_ns or now_ns < self._next_turns_ns:
            return
        self._next_turns_ns = now_ns + TURNS_NS
        while self._turns[0][0] <= now_ns:
            due_ns, state = self._turns.popleft()
            periods = (now_ns - due_ns) // REFRESH_NS + 1
            self._turns.append((due_ns + periods * REFRESH_NS, state))
            self._refresh(state, now_ns)
        self._renew_snapshot()

    def _forget_identities(self, before_ns: int) -> None:
        """Forget what senders were before they became others, where that was long ago."""
        for state in self.states.values():
            for stream in state.silent_identities(before_ns):
                state.refresh(self.verifier, before_ns + IDLE_NS)
                self._tell(self.verifier.forget(stream))
                state.forget(stream)
        self._known_streams = len(self.verifier.streams)

    def _status(self) -> str:
        """Return a line for ``systemctl status``."""
        up = sum(state.up for state in self.states.values())
        return f"{up} of {len(self.states)} streams up"

    # Configuration --------------------------------------------------------------------------------------------------

    def ask_reload(self) -> None:
        """Have the configuration read again soon, whether its file changed or not."""
        self._reload_asked.set()

    async def _watch(self) -> None:
        """Follow what changes outside: the configuration, folders, announcements, interfaces."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reload_asked.wait(), WATCH_SECONDS)
            asked = self._reload_asked.is_set()
            self._reload_asked.clear()
            configured = self._configured
            if configured and (asked or await asyncio.to_thread(configured.have_changed)):
                await self._reload(configured)
            await self._look_around(at_once=asked)

    async def _reload(self, configured: ConfigurationFiles) -> None:
        """Read the configuration again, and take it over as a whole or not at all."""
        self._notifier.reloading()
        try:
            configuration = await asyncio.to_thread(configured.read)
            await self._take_over(configuration)
        except RequestError as error:
            for line in str(error).splitlines():
                self.log.error("configuration not taken over", reason=line)
            self._note_reload(taken_over=False)
        else:
            configured.taken_over(configuration)
            self._note_reload(taken_over=True)
        self._notifier.ready(self._status())

    async def _take_over(self, configuration: Configuration) -> None:
        """Go on with another configuration.

        Raises
        ------
        RequestError
            Where it cannot be had; then everything is as before.
        """
        before = self._configuration
        folders = [
            next((folder for folder in self._folders if folder.table == table), None) or SdpFolder(table)
            for table in configuration.folder
        ]
        wanted = self._configured_streams(configuration)
        for folder in self._folders:
            if folder not in folders:
                wanted |= dict.fromkeys(folder.streams, ())
        announced = self._announced
        if configuration.announced != before.announced:
            announced = _announced_sessions(configuration)
            wanted |= dict.fromkeys(self._announced.origins if self._announced else (), ())
        origins = {origin: self.roster.followed_from(origin) for origin in wanted}
        async with AsyncExitStack() as undo:
            if announced is not None and announced is not self._announced:
                undo.enter_context(announced)
            change = self._follow(wanted)
            undo.callback(self._follow, origins)
            await self._swap_outlets(dict(outlet_tables(before)), dict(outlet_tables(configuration)))
            undo.pop_all()
        if announced is not self._announced:
            self._stop_listening()
        self._configuration, self._folders, self._announced = configuration, folders, announced
        late = ["receive"] if configuration.receive != before.receive else []
        late += ["log.format"] if configuration.log.format != before.log.format else []
        if late:
            self.log.warning("takes effect at the next start", changed=late)
        names = {"added": change.added, "changed": change.changed, "removed": change.removed}
        self.log.info("configuration taken over", **names)

    async def _swap_outlets(self, before: Mapping[str, OutletTable], after: Mapping[str, OutletTable]) -> None:
        """Let other outlets take the place of those whose section changed.

        Raises
        ------
        RequestError
            Where one cannot start; then those of before are started again.
        """
        changed = [section for section in {**before, **after} if before.get(section) != after.get(section)]
        done: list[str] = []
        try:
            for section in changed:
                done.append(section)
                await self._swap_outlet(section, after.get(section))
        except RequestError:
            for section in done:
                try:
                    await self._swap_outlet(section, before.get(section))
                except RequestError as error:
                    self.log.error("outlet lost", outlet=section, reason=str(error))
            raise

    async def _swap_outlet(self, section: str, table: OutletTable | None) -> None:
        """Stop the outlet of a section, and start another one where there is a table for it."""
        self.outlets.pop(section, None)
        known = self._to_stop.pop(section, None)
        if known is not None:
            await known.stop()
        if table is not None:
            self.outlets[section] = table.open(self)
            await self._start(section, self.outlets[section])

    def _note_reload(self, *, taken_over: bool) -> None:
        """Let a scrape see how the last reading went."""
        seconds = time.time() if taken_over else self.snapshot.last_reload_seconds
        self.snapshot = replace(self.snapshot, last_reload_successful=taken_over, last_reload_seconds=seconds)

    # Streams that come and go ---------------------------------------------------------------------------------------

    @staticmethod
    def _configured_streams(configuration: Configuration) -> dict[str, Sequence[Followed]]:
        return {CONFIGURED: [table.followed for table in configuration.stream]}

    async def _look_around(self, *, at_once: bool = False) -> None:
        """Follow what folders hold and sessions announce now, and interfaces that came back."""
        wanted: dict[str, Sequence[Followed]] = {}
        mistakes: list[str] = []
        for folder in self._folders:
            look = await asyncio.to_thread(folder.look, at_once=at_once)
            wanted |= look.streams
            mistakes += look.mistakes
        if self._announced is not None:
            wanted |= self._announced.hear(self.states)
            mistakes += self._announced.refused.values()
        mistakes += self._follow_each(wanted)
        for reason in mistakes:
            if reason not in self._mistakes:
                self.log.warning("not followed", reason=reason)
        self._mistakes = dict.fromkeys(mistakes)
        if len(mistakes) != self.snapshot.sources_refused:
            self.snapshot = replace(self.snapshot, sources_refused=len(mistakes))
        gone, back = self.roster.follow_interfaces()
        if gone:
            self.log.warning("interface gone", interfaces=gone)
        if back:
            self.log.info("interface back", interfaces=back)

    def _follow_each(self, found: Mapping[str, Sequence[Followed]]) -> list[str]:
        """Follow what was found outside the configuration; return why some of it cannot be."""
        lost = [origin for origin in self.roster.origins if origin != CONFIGURED and origin not in found]
        wanted: dict[str, Sequence[Followed]] = dict.fromkeys(lost, ()) | dict(found)
        wanted = {origin: new for origin, new in wanted.items() if list(new) != list(self.roster.followed_from(origin))}
        if not wanted:
            return []
        try:
            self._follow(wanted)
        except RequestError:
            reasons = []
            for origin, streams in wanted.items():  # what goes comes first: it may make room
                try:
                    self._follow({origin: streams})
                except RequestError as error:
                    reasons.append(str(error))
            return reasons
        return []

    def _follow(self, wanted: Mapping[str, Sequence[Followed]]) -> Change:
        """Follow other streams from some origins; those that are the same are not touched.

        Raises
        ------
        SourceError
            Where one cannot be followed; then nothing has changed.
        """
        change = self.roster.update(wanted)
        if not change:
            return change
        self._welcome()
        now_ns = time.time_ns()
        for stream in change.gone:
            state = self.states[stream.name]
            state.refresh(self.verifier, now_ns)
            self._tell(self.verifier.remove(stream.spec))
            self.log.info("summary", **state.summary(whole=True), event_lines_left_out=self._left_out(stream.name))
        self._known_streams = len(self.verifier.streams)
        for name in change.removed:
            del self.states[name], self._last_line_ns[name]
            self.log.info("no longer followed", stream=name)
        self._turns = deque(turn for turn in self._turns if self.states.get(turn[1].name) is turn[1])
        for stream in change.new:
            self.verifier.add(stream.spec)
            if stream.name in self.states:
                self.states[stream.name].expect(stream.spec)
            else:
                state = self.states[stream.name] = StreamState(stream.spec)
                self._turns.append((now_ns + REFRESH_NS, state))
                self._last_line_ns[stream.name] = now_ns
            self._log_waiting(stream)
        self._renew_snapshot()
        return change

    def _log_waiting(self, stream: Followed) -> None:
        self.log.info("waiting", stream=stream.name, source=" ".join(map(str, stream.endpoints)))

    # Measuring ------------------------------------------------------------------------------------------------------

    @property
    def _line_interval_ns(self) -> int:
        return round(self._configuration.log.state_seconds * 1e9)

    def _refresh(self, state: StreamState, now_ns: int) -> None:
        """Measure one stream; log it where it went up or down, or where its line is due."""
        if state.refresh(self.verifier, now_ns):
            write = self.log.info if state.up else self.log.warning
            write("stream up" if state.up else "stream down", stream=state.name)
        if now_ns - self._last_line_ns[state.name] >= self._line_interval_ns:
            self._last_line_ns[state.name] = now_ns
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


def outlet_tables(configuration: Configuration) -> Iterator[tuple[str, OutletTable]]:
    """Yield the tables that make outlets, with their sections."""
    for section, value in configuration:
        if isinstance(value, OutletTable):
            yield section, value
        elif isinstance(value, tuple):
            for number, table in enumerate(value, 1):
                if isinstance(table, OutletTable):
                    yield f"{section}[{number}]", table


def _announced_sessions(configuration: Configuration) -> AnnouncedSessions | None:
    table = configuration.announced
    return None if table is None else AnnouncedSessions(table, configuration.receive.backend)
