"""The daemon: streams from a configuration, verified live, seen in the log and in ``/metrics``.

Everything here runs on the event loop besides reception, so each step is short: the streams are measured in turn, each
every ``REFRESH_NS``, and a storm of events costs a bounded number of log lines.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from structlog.typing import FilteringBoundLogger

from rtpverify.daemon.configuration import Configuration
from rtpverify.daemon.defects import Defects
from rtpverify.daemon.metrics.snapshot import LoopSnapshot, SinkSnapshot, Snapshot
from rtpverify.daemon.sd_notify import Notifier
from rtpverify.daemon.sink_set import SinkSet
from rtpverify.daemon.sinks.base import ReportedEvent, Sink
from rtpverify.daemon.streams.expected import FollowedStream
from rtpverify.daemon.streams.followed import CONFIGURED, Change, Roster
from rtpverify.daemon.streams.state import StreamState
from rtpverify.daemon.supervisor import Supervisor, configured_streams
from rtpverify.daemon.web.context import AnySink
from rtpverify.daemon.web.server import WebServer
from rtpverify.engine.presence import Ends
from rtpverify.engine.stream import Stream
from rtpverify.engine.verifier import StreamEvent, Verifier
from rtpverify.errors import SourceError
from rtpverify.live.loop import LiveStatistics, run_live
from rtpverify.live.preload import load_all
from rtpverify.live.receiver_reports import Feedback
from rtpverify.result import Result
from rtpverify.rtp.batch import PacketBatch
from rtpverify.sources.joint_receiver import open_joint_receiver
from rtpverify.sources.live.flow_table import MAX_FLOWS

REFRESH_NS = 2_000_000_000
"""How old a measurement in the metrics may be. Counts of events are never older than a tick."""

STILL_NS = 2_000_000_000
"""A receive loop that did not go round for so long does not move."""

BEHIND_SECONDS = 1.0
"""A packet that waited for so long says that this host does not keep up."""

TURNS_NS = 250_000_000
"""How often it is seen which streams are up, and streams are measured: several at a time, as the first one warms the
caches for the others."""

MANY_FLOWS = MAX_FLOWS // 2
"""Past so many flows those that no stream needs are forgotten: every start of a sender may bring another port."""

SPARE_IDENTITIES = 64
"""Past so many streams of the verifier more than there are names, those of senders long gone are forgotten."""
IDLE_NS = 60_000_000_000
"""How long a sender is silent that is long gone, where another one continues under the name."""

MAX_EVENT_LINES = 20
"""Most events of one stream that are logged one by one between two lines of its state."""


class Service:
    """One run of the daemon; an asynchronous context that holds its sockets.

    Parameters
    ----------
    configuration
        What it does.
    log
        Where it reports.
    path
        File of the configuration; None where it is never read again.
    notifier
        Speaks to the service manager.
    ends
        What it means that a stream ends.

    Attributes
    ----------
    verifier
        What verifies.
    states
        What is known of each configured stream, by name.
    defects
        What contains exceptions that nobody expected, and reports them.
    sink_set
        What gets every event.
    roster
        Which streams are followed; set while the context is entered.
    snapshot
        What a scrape may see; replaced as a whole, never changed.
    statistics
        How the live loop fares.

    Raises
    ------
    SourceError
        On entering, where a port cannot be obtained.
    """

    def __init__(
        self,
        configuration: Configuration,
        log: FilteringBoundLogger,
        *,
        path: Path | None = None,
        notifier: Notifier | None = None,
        ends: Ends = Ends.WATCHED,
    ) -> None:
        streams = configured_streams(configuration)
        host_clock = configuration.receive.host_clock
        self.verifier = Verifier([stream.spec for stream in streams], host_clock=host_clock, ends=ends)
        self.states = {stream.name: StreamState(stream.spec) for stream in streams}
        self.log = log
        self.defects = Defects(log)
        self.statistics = LiveStatistics()
        self.snapshot = Snapshot(tuple(state.snapshot for state in self.states.values()))
        self._feedback = Feedback(self.verifier, time.time_ns()) if configuration.receive.receiver_reports else None
        self._notifier = notifier or Notifier(None)
        self._turns: deque[tuple[int, StreamState]] = deque()
        self._last_line_ns: dict[str, int] = {}
        self._known_streams = 0
        self._event_lines: Counter[str] = Counter()
        self._next_totals_ns = 0
        self._next_watch_ns = 0
        self._next_turns_ns = 0
        self._supervisor = Supervisor(self, configuration, path, self._notifier, self._status)
        self._supervising: asyncio.Task[None] | None = None
        self.sink_set = SinkSet(configuration, self)
        self._opened = AsyncExitStack()
        self._last_tick_ns: int | None = None
        self._not_receiving: str | None = None
        """Why packets cannot be received at present."""

    async def __aenter__(self) -> Self:
        configuration = self._supervisor.configuration
        receive = configuration.receive
        load_all()
        async with AsyncExitStack() as opening:
            receiver = open_joint_receiver([], receive.backend, receive.buffer_bytes)
            self._receiver = opening.enter_context(receiver)
            if self._feedback is not None:
                opening.enter_context(self._feedback)
            self.roster = Roster(self._receiver)
            self.roster.update({CONFIGURED: configured_streams(configuration)})
            await opening.enter_async_context(self.sink_set)
            web = self.sink(WebServer)
            page = web.url if web else None
            self.log.info("listening", streams=len(self.states), page=page, metrics=self.metrics_url)
            self._log_waiting(list(self.roster))
            await opening.enter_async_context(self._supervisor)
            self._opened = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()
        self._notifier.close()

    @property
    def metrics_url(self) -> str:
        """Where the metrics are, while the context is entered."""
        web = self.sink(WebServer)
        return f"{web.url}metrics" if web else ""

    @property
    def sinks(self) -> Mapping[str, Sink]:
        """What gets every event, by the section of the configuration that made it."""
        return self.sink_set.by_section

    def sink(self, kind: type[AnySink]) -> AnySink | None:
        """Return the sink of a kind, where there is one.

        Parameters
        ----------
        kind
            Class of the sink.

        Returns
        -------
        AnySink or None
            The sink.
        """
        return next((sink for sink in self.sinks.values() if isinstance(sink, kind)), None)

    @property
    def behind_seconds(self) -> float:
        """How late this host is: :attr:`rtpverify.live.loop.LiveStatistics.behind_seconds`."""
        return self.statistics.behind_seconds

    def unready(self) -> list[str]:
        """Return why the daemon does not do its whole work at present; nothing while it does.

        Returns
        -------
        list[str]
            Reasons, one line each.
        """
        if self._last_tick_ns is None:
            return ["not receiving yet"]
        reasons = []
        if (still_ns := time.monotonic_ns() - self._last_tick_ns) > STILL_NS:
            reasons.append(f"receive loop idle for {still_ns / 1e9:.1f} s")
        elif (behind_seconds := self.behind_seconds) > BEHIND_SECONDS:
            reasons.append(f"packets have waited {behind_seconds:.1f} s: more arrive than this host can verify")
        if self._not_receiving is not None:
            reasons.append(f"cannot receive: {self._not_receiving}")
        reasons += [f"no interface {name!r} on this host" for name in self.roster.missing_interfaces]
        reasons += [f"{section}: {sink.trouble}" for section, sink in self.sinks.items() if sink.trouble]
        latest = {stream.name: stream for stream in self.verifier.streams if stream.closed is None}
        failed = {name: stream.failure for name, stream in latest.items() if stream.failure is not None}
        reasons += [f"stream {name}: not checked: {failure.message}" for name, failure in failed.items()]
        return reasons + self.defects.recent()

    def ask_reload(self) -> None:
        """Have the configuration read again soon, whether its file changed or not."""
        self._supervisor.ask_reload()

    async def run(self, stop: asyncio.Event, duration_seconds: float | None = None) -> Result:
        """Verify until ``stop`` is set or the duration is over, log a summary, and return what was found.

        Parameters
        ----------
        stop
            Ends it once set.
        duration_seconds
            None: until ``stop`` is set.

        Returns
        -------
        Result
            Of all streams.
        """
        now_ns = time.time_ns()
        self._turns.clear()
        for number, state in enumerate(self.states.values()):
            self._turns.append((now_ns + number * REFRESH_NS // len(self.states), state))
            self._last_line_ns[state.name] = now_ns
        self._supervising = asyncio.create_task(self._supervisor.run())
        try:
            await run_live(
                self.verifier,
                self._receiver,
                duration_seconds=duration_seconds,
                stop=stop,
                on_events=self._tell,
                on_batch=self._take,
                on_tick=self._tick,
                on_clock_step=self._log_clock_step,
                on_failure=self._not_receive,
                tick_seconds=self._supervisor.configuration.receive.tick_seconds,
                statistics=self.statistics,
            )
        finally:
            self._supervising.cancel()
            await asyncio.wait([self._supervising])
        result = self.verifier.result("serve", self._receiver.dropped)
        for state in self.states.values():
            self._measure(state, time.time_ns())
            self._log_summary(state)
        self.defects.take_failures(self.verifier.take_failures())
        self.log.info(
            "stopped",
            verdict=str(result.verdict),
            receive_buffer_dropped=result.receive_buffer_dropped,
            discarded=result.discarded,
            max_lag_seconds=round(self.statistics.max_lag_seconds, 4),
        )
        return result

    def _log_clock_step(self, step_ns: int) -> None:
        """Log that the clock of this host was set: times of events before are by the old one."""
        self.log.warning("clock of this host set", seconds=round(step_ns / 1e9, 6), reason="arrivals are corrected")

    def _not_receive(self, error: Exception) -> None:
        """Report that packets were not received or verified; it is tried again."""
        if not isinstance(error, SourceError):
            self.defects.take("loop", "reception", error)
        elif str(error) != self._not_receiving:
            self._not_receiving = str(error)
            self.log.error("cannot receive", reason=str(error))

    def _take(self, batch: PacketBatch) -> None:
        """Show sinks what arrived."""
        for section, sink in self.sinks.items():
            with self.defects.contained("outlet", section):
                sink.take(batch)

    def _tell(self, events: Sequence[StreamEvent]) -> None:
        """Count and log events, and hand them to the sinks."""
        told = [ReportedEvent(item.stream, item.event, item.is_new) for item in events]
        for item in told:
            with self.defects.contained("stream", item.name):
                self.states[item.name].count(item)
                if item.is_new or not item.event.open:
                    self._log_event(item)
        self._renew_snapshot()
        for section, sink in self.sinks.items():
            with self.defects.contained("outlet", section):
                sink.tell(told)

    def _log_event(self, told: ReportedEvent) -> None:
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
        """Let sinks work, take in who came, and see how the streams fare where it is time."""
        if self._not_receiving is not None:
            self._not_receiving = None
            self.log.info("receiving again")
        if self.verifier.failures:
            self.defects.take_failures(self.verifier.take_failures())
        with self.defects.contained("loop", "service manager"):
            if self._last_tick_ns is None:
                self._notifier.ready(self._status())
            self._last_tick_ns = time.monotonic_ns()
            self._notifier.alive(self._last_tick_ns, self._status)
        with self.defects.contained("loop", "receiver reports"):
            if self._feedback is not None:
                self._feedback.tick(now_ns)
        for section, sink in self.sinks.items():
            with self.defects.contained("outlet", section):
                sink.tick(now_ns)
        if len(self.verifier.streams) > self._known_streams:
            self._welcome()
        if now_ns >= self._next_totals_ns:
            self._next_totals_ns = now_ns + REFRESH_NS
            with self.defects.contained("loop", "counts of this host"):
                self._renew_totals()
                self._tell_refused()
                self.verifier.take_host_drops(self._receiver.dropped_to())
            with self.defects.contained("loop", "senders long gone"):
                if len(self._receiver.flows) > MANY_FLOWS:
                    self._receiver.keep_flows(self.verifier.keep_flows().tolist())
                if len(self.verifier.streams) > len(self.states) + SPARE_IDENTITIES:
                    self._forget_identities(now_ns - IDLE_NS)
        if now_ns >= self._next_watch_ns:
            self._next_watch_ns = now_ns + TURNS_NS
            self._watch()
        if now_ns >= self._next_turns_ns:
            self._next_turns_ns = now_ns + TURNS_NS
            self._take_turns(now_ns)

    def _watch(self) -> None:
        """See which streams are up."""
        for state in self.states.values():
            if state.watch(self.verifier):
                write = self.log.info if state.up else self.log.warning
                write("stream up" if state.up else "stream down", stream=state.name)

    def _take_turns(self, now_ns: int) -> None:
        """Measure the streams whose turn it is."""
        while self._turns and self._turns[0][0] <= now_ns:
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

    # Streams that come and go ---------------------------------------------------------------------------------------

    def follow(self, wanted: Mapping[str, Sequence[FollowedStream]]) -> Change:
        """Follow other streams from some origins; those that are the same are not touched.

        Parameters
        ----------
        wanted
            Streams by origin.

        Returns
        -------
        Change
            What began and what ended.

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
            self._measure(state, now_ns)
            self._tell(self.verifier.remove(stream.spec))
            self._log_summary(state)
        self._known_streams = len(self.verifier.streams)
        for name in change.removed:
            del self.states[name], self._last_line_ns[name]
            self.log.info("no longer monitored", stream=name)
        self._turns = deque(turn for turn in self._turns if self.states.get(turn[1].name) is turn[1])
        for stream in change.new:
            self.verifier.add(stream.spec)
            if stream.name in self.states:
                self.states[stream.name].expect(stream.spec)
            else:
                state = self.states[stream.name] = StreamState(stream.spec)
                self._turns.append((now_ns + REFRESH_NS, state))
                self._last_line_ns[stream.name] = now_ns
        self._log_waiting(change.new)
        self._renew_snapshot()
        return change

    def _log_waiting(self, streams: Sequence[FollowedStream]) -> None:
        """Log what is followed from now on, and once what could not be read of the descriptions it is known from."""
        for stream in streams:
            self.log.info("waiting", stream=stream.name, source=" ".join(map(str, stream.endpoints)))
        for warning in dict.fromkeys(warning for stream in streams for warning in stream.spec.warnings):
            self.log.warning("session description", reason=warning)

    # Measuring ------------------------------------------------------------------------------------------------------

    @property
    def _line_interval_ns(self) -> int:
        return round(self._supervisor.configuration.log.state_seconds * 1e9)

    def _measure(self, state: StreamState, now_ns: int) -> None:
        """Measure one stream."""
        with self.defects.contained("stream", state.name):
            state.refresh(self.verifier, now_ns)

    def _refresh(self, state: StreamState, now_ns: int) -> None:
        """Measure one stream; log it where its line is due."""
        with self.defects.contained("stream", state.name):
            state.refresh(self.verifier, now_ns)
            if now_ns - self._last_line_ns[state.name] >= self._line_interval_ns:
                self._last_line_ns[state.name] = now_ns
                self.log.info("state", **state.summary(), event_lines_left_out=self._left_out(state.name))

    def _log_summary(self, state: StreamState) -> None:
        """Log what was found of a stream, as of its last measurement."""
        with self.defects.contained("stream", state.name):
            self.log.info("summary", **state.summary(whole=True), event_lines_left_out=self._left_out(state.name))

    def _welcome(self) -> None:
        """Log the streams that appeared since the last call, and hand them to the states they belong to."""
        for stream in self.verifier.streams[self._known_streams :]:
            with self.defects.contained("stream", stream.name):
                self._welcome_one(stream)
        self._known_streams = len(self.verifier.streams)

    def _welcome_one(self, stream: Stream) -> None:
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
                "not decoded, only transport is verified",
                stream=stream.name,
                reason=stream.spec.why_undecodable(stream.payload_type),
            )

    def _renew_snapshot(self) -> None:
        """Let a scrape see what is known of the streams, and what failed."""
        streams = tuple(state.snapshot for state in self.states.values())
        self.snapshot = replace(self.snapshot, streams=streams, defects=dict(self.defects.counts))

    def _tell_refused(self) -> None:
        """Let a scrape see which streams found no place, and log it."""
        refused, before = self.verifier.refused_streams, self.snapshot.streams_refused
        self.snapshot = replace(self.snapshot, streams_refused=refused)
        for name, count in refused.items():
            if more := count - before.get(name, 0):
                self.log.warning(
                    "streams refused",
                    stream=name,
                    streams=more,
                    reason="more senders or SSRCs came to its port than are followed at a time; they are not verified",
                )

    def _renew_totals(self) -> None:
        """Let a scrape see the counts of this host; they take a system call per socket."""
        self.snapshot = replace(
            self.snapshot,
            discarded=dict(self.verifier.discarded + self._receiver.discarded),
            receive_buffer_dropped=self._receiver.dropped,
            receive_buffer_bytes=self._receiver.receive_buffer_bytes,
            receive_buffer_fill=self._receiver.take_fill(),
            behind_seconds=self.behind_seconds,
            loop=LoopSnapshot(
                self.statistics.ticks,
                self.statistics.busy_seconds,
                self.statistics.batch_datagrams.counts(),
                self.statistics.lag_seconds.counts(),
                self.statistics.age_seconds.counts(),
            ),
            sinks={
                section: SinkSnapshot(dict(sink.counts), sink.waiting, sink.trouble is None)
                for section, sink in self.sinks.items()
            },
        )
