"""Moments as people write them: RFC 3339, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction

from rtpverify.errors import RequestError
from rtpverify.events import nanoseconds

_UNIT_NS = {
    unit: seconds * 1_000_000_000
    for unit, seconds in (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("min", 60), ("s", 1))
}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(w|d|h|min|m|s)")
_AGO = re.compile(rf"({_LENGTH.pattern}\s*)+(ago)?", re.IGNORECASE)


def parse_moment(text: str, now_ns: int, place: str) -> int:
    """Return a moment in ns since the Unix epoch.

    Parameters
    ----------
    text
        ``2026-11-22T14:03:07Z`` or less of it (a date alone is its midnight, without an offset it is this host's time),
        how long ago (``90s``, ``2h ago``, ``1d 12h``), or ``now``.
    now_ns
        What time it is.
    place
        Where it was written, for messages.

    Returns
    -------
    int
        In ns since the Unix epoch.

    Raises
    ------
    RequestError
        Where it is none of these; the message starts with ``place`` and holds the text.
    """
    written = text.strip()
    if written.lower() == "now":
        return now_ns
    try:
        if _AGO.fullmatch(written):
            parts = _LENGTH.findall(written.lower())
            return now_ns - round(sum(Fraction(number) * _UNIT_NS[unit] for number, unit in parts))
        return nanoseconds(_with_zone(datetime.fromisoformat(written)))
    except ValueError:
        raise RequestError(
            f"{place}: {text!r} is neither a time such as 2026-11-22T14:03:07Z nor how long ago, such as 2h or 1d 12h"
        ) from None


def _with_zone(moment: datetime) -> datetime:
    """Return a moment in this host's time zone where it names none; in the first and last year that is UTC."""
    if moment.tzinfo is not None:
        return moment
    try:
        return moment.astimezone()
    except (OverflowError, ValueError):
        return moment.replace(tzinfo=UTC)
