"""An HTTP server that asks who is there, and that no client can wear out; what it answers is given to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rtpverify.daemon.sinks.base import SinkContext
from rtpverify.daemon.web import problems
from rtpverify.daemon.web.connections import Connections
from rtpverify.daemon.web.request_handler import UNREADABLE, RequestHandler
from rtpverify.daemon.web.sse import Hub
from rtpverify.errors import SourceError
from rtpverify.sources.live.endpoint import join_address

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from rtpverify.daemon.web.table import MetricsTable

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


class HttpServer:
    """Answers over HTTP: routes of its owner, live events, and whether it lives.

    Parameters
    ----------
    table
        Where it listens, and who may look.
    context
        Its log, and what contains exceptions that nobody expected.
    counts
        What it refuses is counted there.
    add_routes
        Called once with the application, to add what is answered.
    about
        Called for each live client: what it is sent first, in values of JSON's types.
    epoch
        Distinguishes the numbers of live events of this run from those of another.

    Attributes
    ----------
    listen
        Where it listens, with the port that was taken.
    hub
        What sends live events to pages that are open.
    connections
        The connections that are open.
    """

    def __init__(
        self,
        table: MetricsTable,
        context: SinkContext,
        counts: Counter[str],
        add_routes: Callable[[web.Application], None],
        about: Callable[[], dict[str, Any]],
        *,
        epoch: str,
    ) -> None:
        self.listen = table.listen
        self.counts = counts
        refused = ("unauthorized", "misdirected", UNREADABLE)
        names = ("live_clients_refused", "live_clients_dropped", "live_states_skipped", *refused)
        counts.update(dict.fromkeys(names, 0))
        self._table = table
        self._context = context
        self._about = about
        self._access = table.access()
        self._host_names = table.host_names()
        self.hub = Hub(epoch, counts)
        self._runner = web.AppRunner(self._application(add_routes), shutdown_timeout=1.0)
        self.connections = Connections(self._serve_one, self.counts, self._take_defect)

    @property
    def routes(self) -> set[tuple[str, str]]:
        """Method and path, with its parameters in braces, of everything that it answers."""
        routes = self._runner.app.router.routes()
        return {(route.method, route.resource.canonical) for route in routes if route.resource is not None}

    def _application(self, add_routes: Callable[[web.Application], None]) -> web.Application:
        app = web.Application(middlewares=[problems.telling(self._context.log, self._context.defects), self._guard()])
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/api/live", self._live)
        add_routes(app)
        app.on_response_prepare.append(_add_headers)
        return app

    async def start(self, place: str) -> None:
        """Listen.

        Parameters
        ----------
        place
            What a message calls its address.

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
            raise SourceError(f"{place} {self.listen}: {reason}") from error
        if self._table.is_open:
            self._context.log.warning("open to the network without token or password", listen=str(self.listen))

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
        self._context.defects.take("page", "a connection", error)

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

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return await self.hub.listen(request, self._about())

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")


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
