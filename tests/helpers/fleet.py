"""What daemons publish, made up: benches with streams in any state."""

from __future__ import annotations

import time
from typing import Any

from rtpverify.daemon.nats.messages import BENCH_SCHEMA, EVENT_SCHEMA, STATE_SCHEMA, encode
from rtpverify.daemon.nats.server import NatsConnection
from rtpverify.daemon.nats.subjects import EVENTS, STATES, Subject, subject
from rtpverify.events import rfc3339
from tests.helpers.documents import document


def line(name: str, health: str = "ok", **more: Any) -> dict[str, Any]:
    """Return a line of ``/api/streams``."""
    bad = health in ("fault", "recent")
    fault = {"id": "0123456789ab", "kind": "gap", "channel": None, "time": None, "message": "3 packets lost"}
    return {
        "name": name,
        "health": health,
        "reason": "3 packets lost in the network" if bad else "no packet for 4 s" if health == "down" else "no fault",
        "judged": "signal",
        "reference": "tone",
        "level_dbfs": [-20.0, -20.0],
        "residual_dbfs": [-146.3, -146.3],
        "followed": [True, True],
        "packets_expected": 100_000,
        "packets_lost": 3 if bad else 0,
        "loss_ratio": 0.0,
        "jitter_seconds": 1e-5,
        "faults": 1 if bad else 0,
        "open_faults": [],
        "last_fault": {**fault, "open": False} if bad else None,
        "quiet_seconds": 12.0 if bad else None,
    } | more


def state(site: str, bench: str, stream: dict[str, Any]) -> dict[str, Any]:
    """Return a message of a stream."""
    return {"schema": STATE_SCHEMA, "site": site, "bench": bench, "time": rfc3339(time.time_ns()), "stream": stream}


def about(site: str, bench: str, streams: list[str], **more: Any) -> dict[str, Any]:
    """Return a message of a daemon."""
    return {
        "schema": BENCH_SCHEMA,
        "site": site,
        "bench": bench,
        "time": rfc3339(time.time_ns()),
        "state": "running",
        "version": "0.2.0",
        "started": rfc3339(time.time_ns()),
        "state_seconds": 300.0,
        "url": f"http://{bench}.example.com:9464/",
        "reasons": [],
        "host": {"behind_seconds": 0.0, "receive_buffer_dropped": 0, "sinks": []},
        "streams": streams,
        "events_waiting": 0,
        "events_lost": 0,
    } | more


async def publish(
    connection: NatsConnection, site: str, bench: str, streams: list[dict[str, Any]], **more: Any
) -> None:
    """Publish a daemon and its streams."""
    messages: list[tuple[str, bytes, dict[str, str]]] = [
        (subject(Subject.STATE, site, bench, one["name"]), encode(state(site, bench, one)), {}) for one in streams
    ]
    of_bench = about(site, bench, [one["name"] for one in streams], **more)
    messages.append((subject(Subject.BENCH, site, bench), encode(of_bench), {}))
    assert not any(await connection.publish(messages, STATES))


async def publish_event(connection: NatsConnection, site: str, bench: str, number: int, **more: Any) -> None:
    """Publish an event."""
    event = document(number, **more)
    content = {"schema": EVENT_SCHEMA, "site": site, "bench": bench, "event": event}
    message = subject(Subject.EVENT, site, bench, event["stream"]), encode(content), dict[str, str]()
    assert await connection.publish([message], EVENTS) == [None]
