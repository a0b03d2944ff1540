from __future__ import annotations

import json
from typing import Any

import pytest

from rtpverify.commands.fleet.benches import MOST_EVENTS, Fleet
from rtpverify.daemon.nats.messages import EVENT_SCHEMA, encode
from rtpverify.daemon.web.answers import Health
from tests.helpers.documents import document
from tests.helpers.fleet import about, line, state

NOW_NS = 1_790_000_000_000_000_000


def fleet(*messages: dict[str, Any], sent_ns: int = NOW_NS) -> Fleet:
    found = Fleet()
    for message in messages:
        found.take(encode(message), sent_ns)
    return found


def bench(*lines: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [about("north", "b", [one["name"] for one in lines], **more), *(state("north", "b", one) for one in lines)]


@pytest.mark.parametrize(
    ("lines", "more", "health", "reason"),
    [
        ([line("a"), line("c")], {}, Health.OK, "no fault in 2 streams"),
        ([line("a"), line("c", "fault")], {}, Health.FAULT, "1 with a fault"),
        ([line("a", "down"), line("c", "fault"), line("d", "fault")], {}, Health.DOWN, "1 down, 2 with a fault"),
        ([line("a")], {"reasons": ["history: disk full"]}, Health.UNJUDGED, "history: disk full"),
        ([line("a", "fault")], {"reasons": ["history: disk full"]}, Health.FAULT, "1 with a fault"),
        ([], {}, Health.WAITING, "no stream yet"),
    ],
)
def test_a_bench_fares_as_its_worst_stream(
    lines: list[dict[str, Any]], more: dict[str, Any], health: Health, reason: str
) -> None:
    (one,) = fleet(*bench(*lines, **more)).benches.values()
    assert one.health(NOW_NS) == (health, reason)


def test_one_that_is_not_heard_is_down_and_one_that_was_stopped_is_not() -> None:
    (one,) = fleet(*bench(line("a"), state_seconds=5.0)).benches.values()
    assert one.health(NOW_NS + 16_000_000_000)[0] is Health.OK
    assert one.health(NOW_NS + 20_000_000_000) == (Health.DOWN, "nothing heard for 20 s")
    (one,) = fleet(*bench(line("a"), state="stopped")).benches.values()
    assert one.health(NOW_NS + 20_000_000_000)[0] is Health.WAITING


def test_a_stream_that_a_bench_no_longer_has_is_not_shown() -> None:
    found = fleet(*bench(line("a"), line("gone", "down")), about("north", "b", ["a"]))
    (one,) = found.benches.values()
    assert [stream["name"] for stream in one.streams] == ["a"]


def test_the_worst_comes_first() -> None:
    found = fleet(
        *bench(line("a")), about("south", "x", ["s"]), state("south", "x", line("s", "down")), about("a", "y", [])
    )
    assert [(one.site, one.name) for one in found.in_order(NOW_NS)] == [("south", "x"), ("a", "y"), ("north", "b")]
    shown = found.document(NOW_NS, with_streams=True)
    assert [one["streams"]["down"] for one in shown["benches"]] == [1, 0, 0]
    assert shown["benches"][0]["lines"][0]["name"] == "s"
    json.dumps(shown, allow_nan=False)


def test_an_event_is_known_once_however_often_it_comes() -> None:
    found = Fleet()

    def take(number: int, **more: Any) -> Any:
        content = {"schema": EVENT_SCHEMA, "site": "north", "bench": "b", "event": document(number, **more)}
        return found.take(encode(content), NOW_NS)

    assert take(1, open=True)["bench"] == "b"
    assert take(1, open=True) is None
    assert take(1)["open"] is False
    assert len(found.events) == 1
    for number in range(2 * MOST_EVENTS):
        take(number)
    assert len(found.events) == MOST_EVENTS


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b"null", b'"x"', b"{}",
        b'{"schema": "rtpverify.fleet.bench/2", "site": "a", "bench": "b"}',
        b'{"schema": "rtpverify.fleet.state/1", "site": "a", "bench": "b", "stream": {"name": "s", "health": "odd"}}',
        b'{"schema": "rtpverify.fleet.event/1", "site": "a", "bench": "b"}',
    ],
)  # fmt: skip
def test_what_others_publish_costs_nothing(content: bytes) -> None:
    found = Fleet()
    assert found.take(content, NOW_NS) is None
    found.document(NOW_NS, with_streams=True)


def test_prometheus_gets_those_it_can_reach() -> None:
    found = fleet(
        *bench(line("a")),
        about("north", "hidden", [], url=None),
        about("north", "off", [], state="stopped"),
        about("south", "tls", [], url="https://10.0.0.7:9464/"),
    )
    assert found.targets() == [
        {"targets": ["b.example.com:9464"], "labels": {"site": "north", "bench": "b", "__scheme__": "http"}},
        {"targets": ["10.0.0.7:9464"], "labels": {"site": "south", "bench": "tls", "__scheme__": "https"}},
    ]
