"""What is published, as JSON: the forms that the sender makes and the fleet reads."""

from __future__ import annotations

import json
from typing import Any, Literal, TypedDict

from rtpverify.daemon.web.answers import HostAnswer, LineAnswer
from rtpverify.report.json import strict

EVENT_SCHEMA, STATE_SCHEMA, BENCH_SCHEMA = (f"rtpverify.fleet.{kind}/1" for kind in ("event", "state", "bench"))


class StateMessage(TypedDict):
    """How a stream fares: a line of ``/api/streams``, of which bench, and when that was."""

    schema: str
    site: str
    bench: str
    time: str
    stream: LineAnswer


class BenchMessage(TypedDict):
    """How a daemon fares.

    ``events_waiting`` have not been published yet; ``events_lost`` were removed from the history before they were.
    """

    schema: str
    site: str
    bench: str
    time: str
    state: Literal["running", "stopped"]
    version: str
    started: str
    state_seconds: float
    url: str | None
    """Of its page, as others reach it; None where they cannot."""
    reasons: list[str]
    """Why it does not do its whole work."""
    host: HostAnswer
    streams: list[str]
    events_waiting: int
    events_lost: int


def encode(message: Any) -> bytes:
    """Return a message as it is published.

    Parameters
    ----------
    message
        One of these forms.

    Returns
    -------
    bytes
        JSON.
    """
    return json.dumps(strict(message), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
