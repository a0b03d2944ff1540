"""What serves one connection: aiohttp's handler, which reports to the daemon instead of to ``logging``.

Anyone can send what is no HTTP. It is answered like every other error, and counted; a traceback for each, written while
the event loop waits, would be theirs to fill the log with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from rtpverify.daemon.web import problems

UNREADABLE = "requests_unreadable"
_MOST_CHARACTERS = 200
"""Of what is said about a request; it holds the request."""


class RequestHandler(web.RequestHandler):
    """Serves one connection.

    Parameters
    ----------
    server
        Whose connection it is.
    counts
        ``requests_unreadable`` is kept there.
    on_defect
        Called with an exception that nobody expected; it costs one request.
    headers
        Of every answer.
    **options
        As aiohttp's handler takes them.
    """

    def __init__(
        self,
        server: web.Server,
        counts: Counter[str],
        on_defect: Callable[[BaseException], None],
        headers: dict[str, str],
        **options: Any,
    ) -> None:
        super().__init__(server, access_log=None, **options)  # type: ignore[arg-type]  # aiohttp expects None here, too
        self._counts = counts
        self._on_defect = on_defect
        self._headers = headers

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request, or failed where nothing else answered; return the answer.

        Parameters
        ----------
        request
            The request.
        status
            Status of the answer.
        exc
            What was raised.
        message
            What aiohttp would answer.

        Returns
        -------
        web.StreamResponse
            What is answered.

        Raises
        ------
        ConnectionError
            Where a part of the answer was sent already.
        """
        if isinstance(exc, HttpProcessingError):
            self._counts[UNREADABLE] += 1
        elif exc is not None and not isinstance(exc, OSError):  # else the other end has gone
            self._on_defect(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        detail = " ".join((message or "the request failed; see the log").split())
        answer = problems.response(status, detail[:_MOST_CHARACTERS])
        answer.headers.update(self._headers)
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Report what aiohttp would log.

        Parameters
        ----------
        *args
            As aiohttp gives them.
        **options
            As aiohttp gives them.
        """
        error = options.get("exc_info")
        self._on_defect(error if isinstance(error, BaseException) else RuntimeError(*args))
