"""The sinks of a configuration: started together, stopped together, exchanged one by one as sections change.

Rules: what the caller can mend (RequestError: a port that is taken) ends the start, or the reload, as a whole. Any
other exception while a sink is made or started costs that sink alone: it is reported, ``trouble`` says so, and it
is tried again at growing intervals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rtpverify.daemon.configuration import Configuration
from rtpverify.daemon.nats.publisher import NatsPublisher
from rtpverify.daemon.nats.table import NatsTable
from rtpverify.daemon.sinks.base import Sink, SinkTable
from rtpverify.daemon.sinks.event_log import EventLog, EventLogTable
from rtpverify.daemon.sinks.evidence import Recorder, RecorderTable
from rtpverify.daemon.sinks.history import History, HistoryTable
from rtpverify.daemon.sinks.webhook import Webhook, WebhookTable
from rtpverify.daemon.web.context import ServiceView
from rtpverify.daemon.web.server import WebServer
from rtpverify.daemon.web.table import MetricsTable
from rtpverify.errors import RequestError
from rtpverify.failure import in_one_line

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 60.0
"""Until a sink that could not start is tried again; doubled each time."""

SINKS: dict[type[SinkTable], Callable[[Any, ServiceView], Sink]] = {
    MetricsTable: WebServer,
    HistoryTable: History,
    EventLogTable: EventLog,
    WebhookTable: Webhook,
    RecorderTable: Recorder,
    NatsTable: NatsPublisher,
}
"""What each kind of table makes, of that table and the service."""


def sink_of(table: SinkTable, service: ServiceView) -> Sink:
    """Return the sink of a table, not started yet.

    Parameters
    ----------
    table
        Its table of the configuration.
    service
        What it may know of the service.

    Returns
    -------
    Sink
        A sink.
    """
    return SINKS[type(table)](table, service)


def sink_tables(configuration: Configuration) -> dict[str, SinkTable]:
    """Return the tables that make sinks, by section; of a list of tables, each with its number.

    Parameters
    ----------
    configuration
        The configuration.

    Returns
    -------
    dict[str, SinkTable]
        Tables by section.
    """
    return dict(_tables(configuration))


def _tables(configuration: Configuration) -> Iterator[tuple[str, SinkTable]]:
    for section, value in configuration:
        if isinstance(value, SinkTable):
            yield section, value
        elif isinstance(value, tuple):
            for number, table in enumerate(value, 1):
                if isinstance(table, SinkTable):
                    yield f"{section}[{number}]", table


class _NotStarted(Sink):
    """Takes the place of a sink that could not start; events are not kept for it."""

    def __init__(self, table: SinkTable, reason: str, wait_seconds: float) -> None:
        super().__init__()
        self.table = table
        self.trouble = f"could not start: {reason}"
        self.wait_seconds = wait_seconds
        self.due = time.monotonic() + wait_seconds


class SinkSet:
    """The sinks of a service; an asynchronous context in which they run.

    Parameters
    ----------
    configuration
        Which sinks.
    service
        What they may know of the service.

    Attributes
    ----------
    by_section
        Every sink that is there now; none before the context is entered.

    Raises
    ------
    RequestError
        On entering, where one cannot start and the caller can mend that; those before it are stopped.
    """

    def __init__(self, configuration: Configuration, service: ServiceView) -> None:
        self._service = service
        self._tables = sink_tables(configuration)
        self.by_section: dict[str, Sink] = {}

    async def __aenter__(self) -> SinkSet:
        try:
            for section, table in self._tables.items():
                await self._start(section, table)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self._stop(section, sink) for section, sink in self.by_section.items()))

    async def swap(self, before: Mapping[str, SinkTable], after: Mapping[str, SinkTable]) -> None:
        """Let other sinks take the place of those whose table changed.

        Parameters
        ----------
        before
            Tables by section, as they were.
        after
            Tables by section, as they are to be.

        Raises
        ------
        RequestError
            Where one cannot start and the caller can mend that; then those of before are started again.
        """
        done: list[str] = []
        try:
            for section in {**before, **after}:
                if before.get(section) != after.get(section):
                    done.append(section)
                    await self._swap(section, after.get(section))
        except RequestError:
            for section in done:
                try:
                    await self._swap(section, before.get(section))
                except RequestError as error:
                    self._service.log.error("sink lost", outlet=section, reason=str(error))
                    self._wait(section, before[section], error)
            raise

    async def retry(self) -> None:
        """Start again, where it is time, what could not start."""
        now = time.monotonic()
        for section, sink in list(self.by_section.items()):
            if isinstance(sink, _NotStarted) and sink.due <= now:
                try:
                    await self._start(section, sink.table, sink.wait_seconds)
                except RequestError as error:
                    self._wait(section, sink.table, error, sink.wait_seconds)
                if self.by_section[section].trouble is None:
                    self._service.log.info("sink started", outlet=section)

    async def _swap(self, section: str, table: SinkTable | None) -> None:
        """Stop the sink of a section, and start another one where there is a table for it."""
        known = self.by_section.pop(section, None)
        if known is not None:
            await self._stop(section, known)
        if table is not None:
            await self._start(section, table)

    async def _stop(self, section: str, sink: Sink) -> None:
        """Stop a sink; others are stopped also where it cannot."""
        with self._service.defects.contained("outlet", section):
            await sink.stop()

    async def _start(self, section: str, table: SinkTable, waited_seconds: float = 0.0) -> None:
        """Make and start a sink; where that raises what nobody expected, have it tried again later."""
        sink = None
        try:
            sink = self.by_section[section] = sink_of(table, self._service)
            await sink.start()
        except BaseException as error:
            if sink is not None:
                del self.by_section[section]
                await self._stop(section, sink)
            if isinstance(error, RequestError) or not isinstance(error, Exception):
                raise
            self._service.defects.take("outlet", section, error)
            self._wait(section, table, error, waited_seconds)

    def _wait(self, section: str, table: SinkTable, error: Exception, waited_seconds: float = 0.0) -> None:
        """Have a sink started later, after twice the time that was waited before."""
        wait_seconds = min(max(2 * waited_seconds, FIRST_RETRY_SECONDS), LONGEST_RETRY_SECONDS)
        reason = str(error) if isinstance(error, RequestError) else in_one_line(error)
        self.by_section[section] = _NotStarted(table, reason, wait_seconds)
