"""Parameters of requests: read whole, and refused by name and value."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from rtpverify.daemon.web.problems import bad_parameter
from rtpverify.events import Cause, Kind, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

LARGEST_FRAME = 1 << 62


def known_only(request: web.Request, known: Collection[str]) -> None:
    """Refuse a request with a parameter that is not known: one that is misspelt must not pass for absent.

    Parameters
    ----------
    request
        The request.
    known
        Names of parameters.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where it has another one.
    """
    for name, value in request.query.items():
        if name not in known:
            raise bad_parameter(name, value, f"known here; known are {', '.join(known) or 'none'}")
        if len(request.query.getall(name)) > 1:
            raise bad_parameter(name, value, "given once")


def integer(request: web.Request, name: str, low: int, high: int) -> int | None:
    """Return a whole number, None where it is omitted.

    Parameters
    ----------
    request
        The request.
    name
        Name of the parameter.
    low
        The least value.
    high
        The greatest value.

    Returns
    -------
    int or None
        Its value.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where it is none, or out of range.
    """
    text = request.query.get(name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and low <= int(text) <= high):
        raise bad_parameter(name, text, f"a whole number from {low} to {high}")
    return int(text)


def number(request: web.Request, name: str, low: float, high: float) -> float | None:
    """Return a number, None where it is omitted.

    Parameters
    ----------
    request
        The request.
    name
        Name of the parameter.
    low
        The least value.
    high
        The greatest value.

    Returns
    -------
    float or None
        Its value.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where it is none, or out of range.
    """
    text = request.query.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise bad_parameter(name, text, f"a number from {low:g} to {high:g}")
    return value


def choice(request: web.Request, name: str, known: Collection[str]) -> str | None:
    """Return one of some words, None where it is omitted.

    Parameters
    ----------
    request
        The request.
    name
        Name of the parameter.
    known
        The words.

    Returns
    -------
    str or None
        The word.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where it is another one.
    """
    text = request.query.get(name)
    if text is not None and text not in known:
        raise bad_parameter(name, text, f"one of {', '.join(known)}")
    return text


def name(request: web.Request, parameter: str) -> str | None:
    """Return a name of a stream, None where it is omitted.

    Parameters
    ----------
    request
        The request.
    parameter
        Name of the parameter.

    Returns
    -------
    str or None
        The name.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where it can be no name.
    """
    text = request.query.get(parameter)
    if text is not None and not re.fullmatch("[A-Za-z0-9_.-]{1,63}", text):
        raise bad_parameter(parameter, text, "a name of letters, digits, '_', '-' and '.'")
    return text


def kind(request: web.Request) -> str | None:
    """Return a kind of events, None where it is omitted.

    Parameters
    ----------
    request
        The request.

    Returns
    -------
    str or None
        The kind.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where there is no such kind.
    """
    return choice(request, "kind", [str(item) for item in Kind])


def cause(request: web.Request) -> str | None:
    """Return a cause of events, None where it is omitted.

    Parameters
    ----------
    request
        The request.

    Returns
    -------
    str or None
        The cause.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where there is no such cause.
    """
    return choice(request, "cause", [str(item) for item in Cause])


def moment(request: web.Request, name: str) -> int | None:
    """Return a moment in ns since the Unix epoch, None where it is omitted.

    Parameters
    ----------
    request
        The request.
    name
        Name of the parameter.

    Returns
    -------
    int or None
        In ns since the Unix epoch.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where it is none.
    """
    text = request.query.get(name)
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise bad_parameter(name, text, "a time of RFC 3339, such as 2026-01-31T12:00:00Z")
    return nanoseconds(when)


def cursor(request: web.Request) -> tuple[int, int] | None:
    """Return where a page continues: the moment of the last event shown, and how many of that moment were.

    Parameters
    ----------
    request
        The request.

    Returns
    -------
    moment_ns : int
        In ns since the Unix epoch.
    shown : int
        Events of that moment that were shown.

    Raises
    ------
    aiohttp.web.HTTPBadRequest
        Where it is none that an answer gave.
    """
    text = request.query.get("cursor")
    if text is None:
        return None
    at, _, shown = text.partition(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in (at, shown)):
        raise bad_parameter("cursor", text, "one that an answer gave")
    return int(at), int(shown)
