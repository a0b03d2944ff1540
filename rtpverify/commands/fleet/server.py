"""The fleet over HTTP: the page, with the parts of a daemon's own, the same as JSON, and targets for Prometheus."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rtpverify.commands.fleet.benches import Document, Fleet
from rtpverify.daemon.defects import Defects
from rtpverify.daemon.web import parameters
from rtpverify.daemon.web.answers import Health
from rtpverify.daemon.web.assets import Assets
from rtpverify.daemon.web.http_server import HttpServer
from rtpverify.daemon.web.problems import not_found
from rtpverify.events import rfc3339
from rtpverify.version import __version__

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from rtpverify.daemon.web.table import MetricsTable

SHOW_SECONDS = 1.0
"""Time between two states that pages are sent."""
MOST_STREAMS = 200
"""Streams of all benches on one page: those that are not well, the worst first. Those of one bench are all shown."""
_RANKS = {health: rank for rank, health in enumerate(Health)}


class FleetServer:
    """Serves a fleet.

    Parameters
    ----------
    table
        Where, and who may look.
    fleet
        What is shown.
    log
        Where defects, and that it is open to all, are reported.

    Attributes
    ----------
    http
        The server itself.
    trouble
        Why nothing new is known; None while NATS is read.
    """

    def __init__(self, table: MetricsTable, fleet: Fleet, log: FilteringBoundLogger) -> None:
        self.log = log
        self.defects = Defects(log)
        self.trouble: str | None = None
        self._fleet = fleet
        self._started = rfc3339(time.time_ns())
        epoch = f"{time.time_ns():x}"
        self.http = HttpServer(table, self, Counter(), self._add_routes, self._about, epoch=epoch)

    def _add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/fleet", self._all)
        app.router.add_get("/api/fleet/{site}/{bench}", self._bench)
        app.router.add_get("/api/sd", self._targets)
        app.router.add_get("/readyz", self._ready)
        Assets().add_routes(app)

    def _about(self) -> Document:
        return {"version": __version__, "started": self._started, "shows": "fleet"}

    async def show(self, stop: asyncio.Event) -> None:
        """Send pages that are open the state, until ``stop`` is set.

        Parameters
        ----------
        stop
            Ends it.
        """
        while not stop.is_set():
            with self.defects.contained("page", "fleet"):
                if self.http.hub.clients:
                    self.http.hub.show(self.state())
            await asyncio.sleep(SHOW_SECONDS)

    def tell(self, event: Document) -> None:
        """Show pages an event.

        Parameters
        ----------
        event
            With its site and bench.
        """
        named = {**event, "stream": f"{event['site']} {event['bench']} {event['stream']}"}
        self.http.hub.say("events", {"events": [named], "left_out": 0})

    def state(self) -> Document:
        """Return what a page shows.

        Returns
        -------
        dict[str, Any]
            Benches, and the streams that are not well, in the form of ``/api/streams``.
        """
        now_ns = time.time_ns()
        lines = [
            _named(bench.site, bench.name, bench.about, line)
            for bench in self._fleet.benches.values()
            for line in bench.streams
            if line["health"] != Health.OK
        ]
        lines.sort(key=lambda line: (_RANKS[Health(line["health"])], line["name"]))
        host = {"behind_seconds": 0.0, "receive_buffer_dropped": 0, "sinks": []}
        if self.trouble is not None:
            host["sinks"] = [{"name": "nats", "waiting": 0, "trouble": self.trouble}]
        return {**self._fleet.document(now_ns), "host": host, "streams": lines[:MOST_STREAMS]}

    # Answers --------------------------------------------------------------------------------------------------------

    async def _all(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ())
        return _json(self._fleet.document(time.time_ns()))

    async def _bench(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ())
        site, name = request.match_info["site"], request.match_info["bench"]
        bench = self._fleet.benches.get((site, name))
        if bench is None:
            raise not_found(f"bench {site[:60]}/{name[:60]}: has not published")
        lines = [_named(site, name, bench.about, line) for line in bench.streams]
        return _json({**bench.document(time.time_ns()), "lines": lines})

    async def _targets(self, request: web.Request) -> web.Response:
        parameters.known_only(request, ())
        return _json(self._fleet.targets())

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"{self.trouble or 'ready'}\n", status=200 if self.trouble is None else 503)


def _named(site: str, bench: str, about: Document | None, line: Document) -> Document:
    """Return a stream's line with a name that is its own in all the fleet, and the address of its page."""
    url = about and about["url"]
    href = f"{url.rstrip('/')}/#/streams/{line['name']}" if url else None
    return {**line, "name": f"{site} {bench} {line['name']}", "href": href}


def _json(document: Any) -> web.Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return web.Response(text=text, content_type="application/json")
