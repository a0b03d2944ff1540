"""The files of the page: read once, known by name, so that no path of a request ever reaches the file system."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from rtpverify.daemon.web.problems import not_found

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}


class Assets:
    """Serves the page at ``/`` and its files below ``/page/``."""

    def __init__(self) -> None:
        page = files("rtpverify.daemon.web").joinpath("page")
        shared = files("rtpverify.report").joinpath("page", "axes.js")
        items = [*(item for item in page.iterdir() if item.name.split(".")[-1] in _TYPES), shared]
        self._files = {item.name: item.read_bytes() for item in items}

    def add_routes(self, app: web.Application) -> None:
        """Add what is served to an application.

        Parameters
        ----------
        app
            The application.
        """
        app.router.add_get("/", self._serve("index.html"))
        app.router.add_get("/page/{name}", self._by_name)

    async def _by_name(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._files:
            raise not_found(f"/page/{name[:40]}: is not there")
        return await self._serve(name)(request)

    def _serve(self, name: str) -> Handler:
        content = self._files[name]
        etag = sha256(content).hexdigest()[:16]
        content_type = _TYPES[name.rpartition(".")[2]]

        async def serve(request: web.Request) -> web.StreamResponse:
            known = request.if_none_match or ()
            if any(tag.value == etag for tag in known):
                answer = web.Response(status=304)
            else:
                answer = web.Response(body=content, content_type=content_type, charset="utf-8")
            answer.etag = etag
            answer.headers["Cache-Control"] = "no-cache"
            return answer

        return serve
