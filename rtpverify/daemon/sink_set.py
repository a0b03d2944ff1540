"""The outlets of a configuration: started together, stopped together, exchanged one by one as sections change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rtpverify.daemon.configuration import Configuration
from rtpverify.daemon.sinks.base import Outlet, OutletTable
from rtpverify.daemon.sinks.event_log import EventLog, EventLogTable
from rtpverify.daemon.sinks.evidence import Recorder, RecorderTable
from rtpverify.daemon.sinks.history import History, HistoryTable
from rtpverify.daemon.sinks.webhook import Webhook, WebhookTable
from rtpverify.daemon.web.context import ServiceView
from rtpverify.daemon.web.server import WebServer
from rtpverify.daemon.web.table import MetricsTable

SINKS: dict[type[OutletTable], Callable[[Any, ServiceView], Outlet]] = {
    MetricsTable: WebServer,
    HistoryTable: History,
    EventLogTable: EventLog,
    WebhookTable: Webhook,
    RecorderTable: Recorder,
}
"""What each kind of table makes, of that table and the service."""


def sink_of(table: OutletTable, service: ServiceView) -> Outlet:
    """Return the outlet of a table, not started yet."""
    return SINKS[type(table)](table, service)


def outlet_tables(configuration: Configuration) -> dict[str, OutletTable]:
    """Return the tables that make outlets, by section; of a list of tables, each with its number."""
    return dict(_tables(configuration))


def _tables(configuration: Configuration) -> Iterator[tuple[str, OutletTable]]:
    for section, value in configuration:
        if isinstance(value, OutletTable):
            yield section, value
        elif isinstance(value, tuple):
            for number, table in enumerate(value, 1):
                if isinstance(table, OutletTable):
                    yield f"{section}[{number}]", table


class OutletSet:
    """The outlets of a service; an asynchronous context in which they run.

    Attributes
    ----------
    by_section
        Every outlet that is there now.

    Raises
    ------
    RequestError
        On entering, where one cannot start; those before it are stopped.
    """

    def __init__(self, configuration: Configuration, service: ServiceView) -> None:
        self._service = service
        self.by_section = {section: sink_of(table, service) for section, table in outlet_tables(configuration).items()}
        self._to_stop: dict[str, Outlet] = {}

    async def __aenter__(self) -> OutletSet:
        try:
            for section in self.by_section:
                await self._start(section)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self._stop(section, outlet) for section, outlet in self._to_stop.items()))

    async def swap(self, before: Mapping[str, OutletTable], after: Mapping[str, OutletTable]) -> None:
        """Let other outlets take the place of those whose table changed.

        Raises
        ------
        RequestError
            Where one cannot start; then those of before are started again.
        """
        done: list[str] = []
        try:
            for section in {**before, **after}:
                if before.get(section) != after.get(section):
                    done.append(section)
                    await self._swap(section, after.get(section))
        except Exception:
            for section in done:
                try:
                    await self._swap(section, before.get(section))
                except Exception as error:
                    self._service.log.error("outlet lost", outlet=section, reason=str(error))
            raise

    async def _swap(self, section: str, table: OutletTable | None) -> None:
        """Stop the outlet of a section, and start another one where there is a table for it."""
        self.by_section.pop(section, None)
        known = self._to_stop.pop(section, None)
        if known is not None:
            await self._stop(section, known)
        if table is not None:
            self.by_section[section] = sink_of(table, self._service)
            await self._start(section)

    async def _stop(self, section: str, outlet: Outlet) -> None:
        """Stop an outlet; others are stopped also where it cannot."""
        with self._service.defects.contained("outlet", section):
            await outlet.stop()

    async def _start(self, section: str) -> None:
        """Start an outlet; it is to be stopped also where it cannot start."""
        self._to_stop[section] = self.by_section[section]
        await self._to_stop[section].start()
