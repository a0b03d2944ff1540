"""Events as outlets are told them, for tests of what is done with them."""

from __future__ import annotations

from typing import Any

from rtpverify.result import rfc3339

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
        "message": "1 packet lost on the way",
    } | more
