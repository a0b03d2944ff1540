"""The daemon's HTTP server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from rtpverify.daemon.metrics import Exposition
from rtpverify.daemon.sinks.base import ReportedEvent, Sink
from rtpverify.daemon.web.api import Api, ready
from rtpverify.daemon.web.assets import Assets
from rtpverify.daemon.web.context import ServiceView
from rtpverify.daemon.web.http_server import HttpServer
from rtpverify.daemon.web.stream_status import Board

if TYPE_CHECKING:
    from rtpverify.daemon.config.base import Listen
    from rtpverify.daemon.web.table import MetricsTable

LOOK_NS = 250_000_000
"""Time between two looks at the streams."""
EVENTS_AT_ONCE = 50
"""Most events of one message to browsers; the rest of a storm is counted there and asked for."""


class WebServer(Sink):
    """Serves metrics, health, the API, live events and the page.

    Parameters
    ----------
    table
        Its table of the configuration.
    service
        What it may know of the service.

    Attributes
    ----------
    http
        The server itself.
    counts
        ``live_clients_refused``, ``live_clients_dropped``, ``live_states_skipped``, ``unauthorized``, ``misdirected``,
        ``requests_unreadable``, and those of :mod:`rtpverify.daemon.web.connections`.
    board, api, hub
        What is shown of the streams, what answers requests for it, and what sends it to pages that are open.
    connections
        The connections that are open.
    """

    def __init__(self, table: MetricsTable, service: ServiceView) -> None:
        super().__init__()
        self._service = service
        self._exposition = Exposition(lambda: service.snapshot)
        self.board = Board(service)
        self.api = Api(service, self.board)
        epoch = f"{time.time_ns():x}"
        self.http = HttpServer(table, service, self.counts, self._add_routes, self.api.about, epoch=epoch)
        self.hub = self.http.hub
        self.connections = self.http.connections
        self._next_look_ns = 0
        self._now_ns = time.time_ns()

    def _add_routes(self, app: web.Application) -> None:
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/readyz", self._ready)
        self.api.add_routes(app)
        Assets().add_routes(app)

    @property
    def listen(self) -> Listen:
        """Where it listens, with the port that was taken."""
        return self.http.listen

    @property
    def url(self) -> str:
        """Where the page is, as this host sees it."""
        return self.http.url

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        SourceError
            Where the address cannot be obtained.
        """
        await self.http.start("metrics listen")

    async def stop(self) -> None:
        """Close every connection."""
        await self.http.stop()

    def tell(self, told: Sequence[ReportedEvent]) -> None:
        """Report to browsers at once.

        Parameters
        ----------
        told
            Events with their streams.
        """
        self.board.tell(told, self._now_ns)
        documents = self.api.tell(told, self._now_ns)
        shown = documents[:EVENTS_AT_ONCE]
        self.hub.say("events", {"events": shown, "left_out": len(documents) - len(shown)})

    def tick(self, now_ns: int) -> None:
        """Read the streams, where it is time.

        Parameters
        ----------
        now_ns
            Time, in ns since the Unix epoch.
        """
        self._now_ns = now_ns
        if not self._next_look_ns - LOOK_NS <= now_ns < self._next_look_ns:
            self._next_look_ns = now_ns + LOOK_NS
            self.board.look(now_ns)
            if self.hub.clients:
                self.hub.show(self.api.streams())

    # Answers --------------------------------------------------------------------------------------------------------

    async def _metrics(self, request: web.Request) -> web.Response:
        text, content_type = await self._exposition.scrape(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _ready(self, _request: web.Request) -> web.Response:
        return ready(self._service.unready())
