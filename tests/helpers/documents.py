"""Events as sinks are told them, for tests of what is done with them."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

from rtpverify.daemon.log import make_logger
from rtpverify.daemon.sinks.base import ReportedEvent
from rtpverify.events import Event, EventSize, GapSize, rfc3339

NOW_NS = 1_790_000_000_123_456_000


def document(number: int, **more: Any) -> dict[str, Any]:
    """Return the ``number``-th lost packet of a stream, in the published JSON form."""
    return {
        "stream": "left",
        "id": f"{number:012x}",
        "kind": "gap",
        "channel": None,
        "start_frame": number,
        "duration_frames": 48,
        "cause": "network",
        "fault": True,
        "open": False,
        "packets": [number, number],
        "time": rfc3339(NOW_NS + number * 1_000_000),
        "packets_lost": 1,
        "message": "1 packet lost in the network",
    } | more


class Telling:
    """A service that sinks may see, and events told by it."""

    def __init__(self, stream: str = "left") -> None:
        self._stream = SimpleNamespace(name=stream)
        self._lines = io.StringIO()
        self.log = make_logger(self._lines, "json")

    def told(self, number: int, *, is_new: bool = True, size: EventSize | None = None, **more: Any) -> ReportedEvent:
        """Return the ``number``-th lost packet as it is told, or what another ``size`` makes it."""
        event = Event(size or GapSize(), number, 48, packets=(number, number), time_ns=NOW_NS + number * 1_000_000)
        for name, value in more.items():
            setattr(event, name, value)
        event.id = f"{number:012x}"
        return ReportedEvent(self._stream, event, is_new)  # type: ignore[arg-type]

    @property
    def logged(self) -> list[dict[str, Any]]:
        """Lines of the log."""
        return [json.loads(line) for line in self._lines.getvalue().splitlines()]
