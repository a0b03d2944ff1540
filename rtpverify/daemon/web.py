"""The daemon's HTTP server: metrics and health."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rtpverify.daemon.metrics import Exposition
from rtpverify.daemon.outlets import Bench, Outlet, OutletTable
from rtpverify.daemon.tables import Listen, ListenField
from rtpverify.errors import SourceError

if TYPE_CHECKING:
    from aiohttp import web


class MetricsTable(OutletTable):
    """``[metrics]``."""

    listen: ListenField = Listen("127.0.0.1", 9464)

    def open(self, bench: Bench) -> WebServer:
        """Return the server, not started yet."""
        return WebServer(self, bench)


class WebServer(Outlet):
    """Serves ``/metrics`` and ``/healthz``; text is rendered in a thread, never on the event loop.

    Attributes
    ----------
    listen
        Where it listens, with the port that was taken.
    """

    def __init__(self, table: MetricsTable, bench: Bench) -> None:
        from aiohttp import web

        super().__init__()
        self.listen = table.listen
        self._exposition = Exposition(lambda: bench.snapshot)
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._health)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        SourceError
            Where the address cannot be had.
        """
        from aiohttp import web

        await self._runner.setup()
        listen = self.listen
        site = web.TCPSite(self._runner, listen.address, listen.port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise SourceError(f"metrics listen {listen}: {reason}") from error
        self.listen = Listen(listen.address, self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        from aiohttp import web

        text, content_type = await self._exposition.scrape(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _health(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(text="ok\n")
