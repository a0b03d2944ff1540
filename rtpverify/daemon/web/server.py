"""The daemon's HTTP server."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rtpverify.daemon.metrics import Exposition
from rtpverify.daemon.sinks.base import ReportedEvent, Sink
from rtpverify.daemon.web import problems
from rtpverify.daemon.web.api import Api, ready
from rtpverify.daemon.web.assets import Assets
from rtpverify.daemon.web.connections import Connections
from rtpverify.daemon.web.context import ServiceView
from rtpverify.daemon.web.request_handler import UNREADABLE, RequestHandler
from rtpverify.daemon.web.sse import Hub
from rtpverify.daemon.web.stream_status import Board
from rtpverify.errors import SourceError
from rtpverify.sources.live.endpoint import join_address

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from rtpverify.daemon.web.table import MetricsTable

LOOK_NS = 250_000_000
"""Time between two looks at the streams."""
EVENTS_AT_ONCE = 50
"""Most events of one message to browsers; the rest of a storm is counted there and asked for."""
ANSWER_SECONDS = 20.0
"""Longest time to make an answer."""
IDLE_SECONDS = 30.0
"""How long a connection may wait for a request, or for its other end to take an answer."""
OPEN_TO_ALL = ("/healthz", "/readyz")

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


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
    listen
        Where it listens, with the port that was taken.
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
        self.listen = table.listen
        refused = ("unauthorized", "misdirected", UNREADABLE)
        names = ("live_clients_refused", "live_clients_dropped", "live_states_skipped", *refused)
        self.counts.update(dict.fromkeys(names, 0))
        self._table = table
        self._service = service
        self._access = table.access()
        self._host_names = table.host_names()
        self._exposition = Exposition(lambda: service.snapshot)
        self.board = Board(service)
        self.api = Api(service, self.board)
        self.hub = Hub(f"{time.time_ns():x}", self.counts)
        self._next_look_ns = 0
        self._now_ns = time.time_ns()
        self._runner = web.AppRunner(self._application(), shutdown_timeout=1.0)
        self.connections = Connections(self._serve_one, self.counts, self._take_defect)

    @property
    def routes(self) -> set[tuple[str, str]]:
        """Method and path, with its parameters in braces, of everything that it answers."""
        routes = self._runner.app.router.routes()
        return {(route.method, route.resource.canonical) for route in routes if route.resource is not None}

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[problems.telling(self._service.log, self._service.defects), self._guard()])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/api/live", self._live)
        self.api.add_routes(app)
        Assets().add_routes(app)
        app.on_response_prepare.append(_add_headers)
        return app

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        SourceError
            Where the address cannot be obtained.
        """
        await self._runner.setup()
        try:
            self.listen = self.connections.listen(self.listen, self._table.tls())
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise SourceError(f"metrics listen {self.listen}: {reason}") from error
        if self._table.is_open:
            self._service.log.warning("open to the network without token or password", listen=str(self.listen))

    @property
    def url(self) -> str:
        """Where the page is, as this host sees it."""
        return f"{'https' if self._table.certificate else 'http'}://{self.listen}/"

    @property
    def network_url(self) -> str | None:
        """Where the page is, as others see it that know this host by its name; None where they cannot see it."""
        address = ip_address(self.listen.address)
        if address.is_loopback:
            return None
        host = join_address(socket.gethostname() if address.is_unspecified else self.listen.address, self.listen.port)
        return f"{'https' if self._table.certificate else 'http'}://{host}/"

    async def stop(self) -> None:
        """Close every connection."""
        self.hub.close()
        await self.connections.stop_listening()
        await self._runner.cleanup()
        self.connections.end_all()

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

    # Requests -------------------------------------------------------------------------------------------------------

    def _serve_one(self) -> asyncio.Protocol:
        """Return what serves a new connection."""
        assert self._runner.server is not None  # noqa: S101 - it is set up before anybody can connect
        return RequestHandler(
            self._runner.server,
            self.counts,
            self._take_defect,
            _HEADERS,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=1.0,
        )

    def _take_defect(self, error: BaseException) -> None:
        """Report an exception that cost a connection, or a request of it."""
        self._service.defects.take("page", "a connection", error)

    def _guard(self) -> Any:
        """Return the middleware that asks who is there and for whom, and lets nothing take too long."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            _give_up_dead(request.transport)
            with self.connections.answering(request.transport):
                return await self._answer(request, handler)

        return guard

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        names = self._host_names
        strange = None if names is None else names.strange(request.headers.getall("Host", []))
        if strange is not None:
            self.counts["misdirected"] += 1
            detail = (
                f"Host: {strange[:80]!r} is not a name of this server; add it to metrics.hosts in the configuration"
            )
            return problems.response(421, detail)
        authorization = request.headers.get("Authorization")
        if request.path not in OPEN_TO_ALL and not self._access.allows(authorization):
            self.counts["unauthorized"] += authorization is not None
            answer = problems.response(401, "a token or password is required")
            for challenge in self._access.challenges:
                answer.headers.add("WWW-Authenticate", challenge)
            return answer
        if request.path == "/api/live":
            return await handler(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await handler(request)

    # Answers --------------------------------------------------------------------------------------------------------

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return await self.hub.listen(request, self.api.about())

    async def _metrics(self, request: web.Request) -> web.Response:
        text, content_type = await self._exposition.scrape(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        return ready(self._service.unready())


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _give_up_dead(transport: asyncio.BaseTransport | None) -> None:
    """Have the kernel end a connection whose other end takes nothing for too long (Linux)."""
    connection = transport.get_extra_info("socket") if transport is not None else None
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if connection is not None and option is not None:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, option, round(1000 * IDLE_SECONDS))
