"""``[nats]``: every event of the history, and how streams and daemon fare, to a NATS server.

Everything happens in a thread of its own, with an event loop and a connection to the history of its own: a server that
is slow or away costs nothing but space on the disk, as events wait in the history (:mod:`rtpverify.history.outbox`). An
event leaves the list once the server has confirmed it. What was sent when a connection or a process ended may have been
stored without being confirmed: so each session begins by asking what the server has of this bench, and the server
knows a message again by its identity. States do not wait: of those only the latest is of use.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtpverify.daemon.nats.messages import BENCH_SCHEMA, EVENT_SCHEMA, STATE_SCHEMA, BenchMessage, encode
from rtpverify.daemon.nats.server import LostError, NatsConnection, connected, require_nats, said
from rtpverify.daemon.nats.subjects import EVENTS, MESSAGE_ID, STATES, Subject, message_id, revision_in, subject
from rtpverify.daemon.nats.table import NatsTable
from rtpverify.daemon.sinks.base import Sink
from rtpverify.daemon.sinks.history import History
from rtpverify.daemon.sinks.queue import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS
from rtpverify.daemon.web.answers import LineAnswer
from rtpverify.daemon.web.server import WebServer
from rtpverify.errors import RequestError
from rtpverify.events import rfc3339
from rtpverify.history.outbox import Outbox, Unsent
from rtpverify.version import __version__

if TYPE_CHECKING:
    from rtpverify.daemon.web.context import ServiceView

LOOK_NS = 1_000_000_000
"""Time between two looks at the streams: another state is published at once, figures every ``state_seconds``."""
POLL_SECONDS = 0.1
"""How soon an event in the history is published."""
MOST_EVENTS = 256
"""Published before the server is waited for."""
STOP_SECONDS = 5.0
"""Most time for the rest, at the end; what remains is published after the next start."""

_TOO_LARGE = ("maximum payload", "message size exceeds maximum allowed")
"""What the server, or the library, says of a message that it will never take."""


@dataclass(frozen=True, slots=True)
class _Report:
    """How streams and daemon fare at a moment, as the event loop saw it."""

    bench: BenchMessage
    lines: Sequence[LineAnswer]


class NatsPublisher(Sink):
    """Publishes what the history holds, and states.

    ``counts`` has ``written`` (events the server has), ``refused`` (too large for it), ``dropped`` (removed from the
    history before they were published), ``failed`` (sessions), ``states`` (messages of states).

    Parameters
    ----------
    table
        Where to, and as whom.
    service
        What is published of it.
    """

    def __init__(self, table: NatsTable, service: ServiceView) -> None:
        super().__init__()
        self._table = table
        self._service = service
        self._log = service.log
        self._names = table.site, table.bench or socket.gethostname()
        self._started = rfc3339(time.time_ns()) or ""
        self._history: History | None = None
        self._report: _Report | None = None
        self._shown: dict[str, str] = {}
        """The state of each stream that was published last."""
        self._states_due = 0.0
        self._next_look_ns = 0
        self._waiting = self._lost_before = 0
        self._wait_seconds = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.counts.update(dict.fromkeys(("written", "refused", "dropped", "failed", "states"), 0))

    @property
    def waiting(self) -> int:
        """How many events of the history have not been published yet."""
        return self._waiting

    async def start(self) -> None:
        """Begin to publish.

        Raises
        ------
        RequestError
            Where what speaks to NATS is not installed.
        """
        require_nats()
        self._history = self._service.sink(History)
        self._thread = threading.Thread(target=self._run, name="nats", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Publish the rest, where that is quick."""
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def tick(self, now_ns: int) -> None:
        """See how streams and daemon fare, where it is time.

        Parameters
        ----------
        now_ns
            The time, in ns since the Unix epoch.
        """
        if self._next_look_ns - LOOK_NS <= now_ns < self._next_look_ns:
            return
        self._next_look_ns = now_ns + LOOK_NS
        self._history = self._service.sink(History)
        web = self._service.sink(WebServer)
        if web is not None:
            answer = web.api.streams()
            site, bench = self._names
            self._report = _Report(
                {
                    "schema": BENCH_SCHEMA,
                    "site": site,
                    "bench": bench,
                    "time": rfc3339(now_ns) or "",
                    "state": "running",
                    "version": __version__,
                    "started": self._started,
                    "state_seconds": self._table.state_seconds,
                    "url": self._table.url or web.http.network_url,
                    "reasons": self._service.unready(),
                    "host": answer["host"],
                    "streams": [line["name"] for line in answer["streams"]],
                    "events_waiting": self._waiting,
                    "events_lost": self.counts["dropped"],
                },
                answer["streams"],
            )

    # In the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        """Publish, from one session to the next, until this is to end."""
        while True:
            try:
                await self._session()
                return
            except (LostError, RequestError, OSError, sqlite3.Error) as error:
                self._fail(str(error) if isinstance(error, LostError | RequestError) else said(error))
            except Exception as error:
                from nats.errors import Error

                if isinstance(error, Error):
                    self._fail(said(error))
                else:
                    self._service.defects.take("outlet", "nats", error)
            if self._closing.is_set():
                return
            self._wait_seconds = min(max(FIRST_WAIT_SECONDS, 2 * self._wait_seconds), LONGEST_WAIT_SECONDS)
            await self._pause(self._wait_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    async def _session(self) -> None:
        """Publish until this is to end; raise where that cannot continue."""
        history = self._present_history()
        outbox = Outbox(history.path)
        try:
            self._lost_before = outbox.lost - self.counts["dropped"]
            self._waiting = outbox.waiting
            async with connected(self._table, "/".join(self._names)) as connection:
                await connection.make_streams(replicas=self._table.replicas, keep_days=self._table.keep_days)
                await self._take_position(connection, outbox)
                self._wait_seconds, self._states_due, self._shown = 0.0, 0.0, {}
                self._note(None)
                while not self._closing.is_set():
                    connection.require()
                    if outbox.is_gone or history is not self._history:
                        raise LostError(f"{history.path}: removed or replaced")
                    await self._publish_events(connection, outbox)
                    await self._publish_states(connection)
                    await self._pause(POLL_SECONDS)
                await self._publish_rest(connection, outbox)
        finally:
            outbox.close()

    def _present_history(self) -> History:
        if self._history is None:
            raise LostError("the history, from which events are published, is not there")
        return self._history

    async def _take_position(self, connection: NatsConnection, outbox: Outbox) -> None:
        """Take off the list what the server has, confirmed or not: it stores a bench's events in order."""
        from nats.js.errors import NotFoundError

        mine = subject(Subject.EVENT, *self._names)
        try:
            latest = await connection.answer(connection.jetstream.get_last_msg(EVENTS, mine))
        except NotFoundError:
            return
        revision = revision_in((latest.headers or {}).get(MESSAGE_ID, ""), outbox.place)
        if revision is not None:
            outbox.remove_to(revision)

    async def _publish_events(self, connection: NatsConnection, outbox: Outbox) -> None:
        """Publish all events that wait."""
        while unsent := outbox.next(MOST_EVENTS):
            failures = await connection.publish([self.message_of(item, outbox.place) for item in unsent], EVENTS)
            refused = [
                item
                for item, failure in zip(unsent, failures, strict=True)
                if failure is not None and failure.startswith(_TOO_LARGE)
            ]
            for item in refused:
                event = item.document["id"]
                self._log.error("nats refused event", to=self._table.place, id=event, reason="too large")
            taken = [item for item, failure in zip(unsent, failures, strict=True) if failure is None]
            outbox.remove(item.revision for item in [*taken, *refused])
            self.counts["written"] += len(taken)
            self.counts["refused"] += len(refused)
            self._waiting = outbox.waiting
            left = [item for item in unsent if item not in taken and item not in refused]
            if left:
                outbox.list_again(item.revision for item in left)
                raise LostError(next(failure for failure in failures if failure and not failure.startswith(_TOO_LARGE)))
        self._waiting = 0
        self.counts["dropped"] = outbox.lost - self._lost_before

    def message_of(self, unsent: Unsent, place: str) -> tuple[str, bytes, dict[str, str]]:
        """Return the message of an event.

        Parameters
        ----------
        unsent
            The event.
        place
            What distinguishes this history from others of the bench.

        Returns
        -------
        subject : str
            Where it is published.
        content : bytes
            JSON.
        headers : dict of str to str
            With the identity by which the server knows copies.
        """
        site, bench = self._names
        document = unsent.document
        stream = document["stream"]
        identity = message_id(site, bench, stream, document["id"], place, unsent.revision)
        content = {"schema": EVENT_SCHEMA, "site": site, "bench": bench, "event": document}
        return subject(Subject.EVENT, site, bench, stream), encode(content), {MESSAGE_ID: identity}

    async def _publish_states(self, connection: NatsConnection) -> None:
        """Publish states that are others than before, and where it is time all of them."""
        report = self._report
        if report is None:
            return
        is_due = time.monotonic() >= self._states_due
        lines = [line for line in report.lines if is_due or self._shown.get(line["name"]) != line["health"]]
        if not is_due and not lines:
            return
        if is_due:
            self._states_due = time.monotonic() + self._table.state_seconds
        await self._say(connection, report.bench, lines)

    async def _say(self, connection: NatsConnection, bench: BenchMessage, lines: Sequence[LineAnswer]) -> None:
        of = {"site": bench["site"], "bench": bench["bench"], "time": bench["time"]}
        messages = [
            (
                subject(Subject.STATE, *self._names, line["name"]),
                encode({"schema": STATE_SCHEMA, **of, "stream": line}),
                dict[str, str](),
            )
            for line in lines
        ]
        messages.append((subject(Subject.BENCH, *self._names), encode(bench), {}))
        failures = await connection.publish(messages, STATES)
        if failure := next((failure for failure in failures if failure is not None), None):
            raise LostError(failure)
        self.counts["states"] += len(messages)
        self._shown.update((line["name"], line["health"]) for line in lines)

    async def _publish_rest(self, connection: NatsConnection, outbox: Outbox) -> None:
        """Publish what the history still writes as the daemon ends, and that it has ended."""
        give_up = time.monotonic() + STOP_SECONDS / 2
        history = self._present_history()
        while history.waiting and time.monotonic() < give_up:
            await asyncio.sleep(POLL_SECONDS)
        await self._publish_events(connection, outbox)
        if self._report is not None:
            time_now = rfc3339(time.time_ns()) or ""
            bench: BenchMessage = {**self._report.bench, "state": "stopped", "time": time_now}
            await self._say(connection, bench, [])

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until this is to end."""
        give_up = time.monotonic() + seconds
        while not self._closing.is_set() and (left := give_up - time.monotonic()) > 0:
            await asyncio.sleep(min(left, POLL_SECONDS))

    def _fail(self, reason: str) -> None:
        self.counts["failed"] += 1
        self._note(reason)

    def _note(self, reason: str | None) -> None:
        trouble = f"{self._table.place}: {reason}" if reason else None
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if reason:
            self._log.error("nats not reached", to=self._table.place, reason=reason)
        else:
            self._log.info("nats reached again", to=self._table.place)
