"""Errors as ``application/problem+json`` (RFC 9457), whoever raises them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from rtpverify.errors import RequestError

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler
    from structlog.typing import FilteringBoundLogger

    from rtpverify.daemon.defects import Defects

CONTENT_TYPE = "application/problem+json"


def body_of(status: int, detail: str, **more: Any) -> str:
    """Return the JSON text of a problem; ``more`` are members of its own.

    Parameters
    ----------
    status
        Status of the answer.
    detail
        What happened, and what to do.
    **more
        Members of its own.

    Returns
    -------
    str
        A problem of RFC 9457.
    """
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return json.dumps(document, ensure_ascii=False)


def response(status: int, detail: str, **more: Any) -> web.Response:
    """Return the answer that states a problem.

    Parameters
    ----------
    status
        Status of the answer.
    detail
        What happened, and what to do.
    **more
        Members of its own.

    Returns
    -------
    web.Response
        With ``application/problem+json``.
    """
    return web.Response(status=status, text=body_of(status, detail, **more), content_type=CONTENT_TYPE)


def bad_parameter(name: str, value: str, wanted: str) -> web.HTTPBadRequest:
    """Return what is raised where a parameter of a request is not what is wanted.

    Parameters
    ----------
    name
        Name of the parameter.
    value
        Its value.
    wanted
        What it has to be.

    Returns
    -------
    web.HTTPBadRequest
        To be raised.
    """
    detail = f"{name}: {value[:80]!r} is not {wanted}"
    return web.HTTPBadRequest(text=body_of(400, detail, parameter=name), content_type=CONTENT_TYPE)


def not_found(detail: str) -> web.HTTPNotFound:
    """Return what is raised where something is not there.

    Parameters
    ----------
    detail
        What is not there.

    Returns
    -------
    web.HTTPNotFound
        To be raised.
    """
    return web.HTTPNotFound(text=body_of(404, detail), content_type=CONTENT_TYPE)


def telling(log: FilteringBoundLogger, defects: Defects) -> Any:
    """Return the middleware that answers every error with a problem; what is our own mistake is also logged.

    Parameters
    ----------
    log
        Where mistakes of ours are reported.
    defects
        What counts them.

    Returns
    -------
    Any
        For :class:`aiohttp.web.Application`.
    """

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400 or error.content_type == CONTENT_TYPE:
                raise
            detail = f"{request.method} {request.path}: {error.reason}"
            answer = response(error.status, detail)
            for name in ("Allow", "WWW-Authenticate"):
                for value in error.headers.getall(name, []):
                    answer.headers.add(name, value)
            return answer
        except RequestError as error:
            return response(503, str(error))
        except TimeoutError:
            return response(503, f"{request.method} {request.path}: took too long")
        except OSError:
            raise  # the other end has gone
        except Exception as error:
            log.error("request failed", method=request.method, path=request.path, reason=repr(error))
            resource = request.match_info.route.resource
            defects.take("page", resource.canonical if resource else None, error)
            return response(500, "the request failed; see the log")

    return tell
