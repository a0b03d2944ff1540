"""The daemon's HTTP server: metrics and health."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

from rtpverify.daemon.config import Listen
from rtpverify.daemon.metrics import Exposition
from rtpverify.errors import SourceError


class WebServer:
    """Serves ``/metrics`` and ``/healthz``; text is rendered in a thread, never on the event loop."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition
        self._rendering = asyncio.Lock()
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._health)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, listen: Listen) -> Listen:
        """Listen; return where, with the port that was taken.

        Raises
        ------
        SourceError
            Where the address cannot be had.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, listen.address, listen.port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise SourceError(f"metrics listen {listen}: {reason}") from error
        return Listen(listen.address, self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        async with self._rendering:  # one at a time: many scrapers must not share the interpreter with the receiver
            text, content_type = await asyncio.to_thread(self._exposition.render, request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")
