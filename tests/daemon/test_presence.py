"""Streams that stop, come back and never come, through a whole daemon: page, history, event log, webhook, metrics."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from rtpverify.daemon.configuration import parse_config
from rtpverify.daemon.service import Service
from rtpverify.errors import ConfigurationError
from rtpverify.history.query import Query, find
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import until

TEXT = """
[metrics]
listen = "127.0.0.1:0"
[history]
path = "events.sqlite"
[event_log]
path = "events.jsonl"
[[webhook]]
url = "http://127.0.0.1:{hook}/hook"
kinds = ["ended", "missing"]
[recorder]
path = "evidence"
before_seconds = 0.1
after_seconds = 0.0
longest_seconds = 0.1
[presence]
missing_after_seconds = 1
[[stream]]
name = "comes"
source = "rtp://127.0.0.1:{comes}"
encoding = "L24/48000/2"
reference = "tone:1283"
limits.max_stall_seconds = 60
[[stream]]
name = "never"
source = "rtp://127.0.0.1:{never}"
encoding = "L24/48000/2"
reference = "tone:1283"
"""


def free_ports(*names: str) -> dict[str, int]:
    """Return a free port for each name."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in names]
    ports = {}
    for name, item in zip(names, sockets, strict=True):
        item.bind(("127.0.0.1", 0))
        ports[name] = item.getsockname()[1]
    for item in sockets:
        item.close()
    return ports


class Hook:
    """A host that takes webhooks."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.port = 0

    async def __aenter__(self) -> Hook:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.events += (await request.json())["events"]
        return web.Response(status=204)


async def send(port: int, ssrc: int, seconds: float = 0.5, *faults: str) -> None:
    settings = StreamSettings(
        Endpoint("127.0.0.1", port), ssrc=ssrc, faults=[parse_fault(text) for text in faults], sequence=1, timestamp=1
    )
    with Sender([settings], duration_seconds=seconds) as sender:
        sender.start()
        while not await asyncio.to_thread(sender.wait, 0.05):
            pass


async def metrics(service: Service) -> dict[tuple[str, ...], float]:
    async with aiohttp.ClientSession() as session, session.get(service.metrics_url) as answer:
        text = await answer.text()
    return {
        (sample.name, *(sample.labels[name] for name in ("stream", "kind", "cause") if name in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def page(service: Service, name: str) -> dict[str, Any]:
    url = service.metrics_url.removesuffix("metrics") + "api/streams"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.json())["streams"]
    return next(line for line in lines if line["name"] == name)


async def test_a_sender_that_stops_and_returns_twice_beside_one_that_never_comes(tmp_path: Path) -> None:
    ports = free_ports("comes", "never")
    path = tmp_path / "bench.toml"
    async with Hook() as hook:
        configuration = parse_config(TEXT.format(hook=hook.port, **ports), path)
        stop = asyncio.Event()
        async with Service(configuration, structlog.get_logger().bind()) as service:

            def total(kind: str, name: str = "comes") -> int:
                counts = service.states[name].snapshot.events
                return sum(count for (of, _), count in counts.items() if of == kind)

            def opened(kind: str, name: str = "comes") -> int:
                counts = service.states[name].snapshot.open_events
                return sum(count for (of, _), count in counts.items() if of == kind)

            running = asyncio.create_task(service.run(stop))
            await send(ports["comes"], 1)
            await until(lambda: total("ended") == 1 and opened("missing", "never") == 1)
            await until(lambda: not service.states["comes"].up)
            seen = await metrics(service)
            assert seen["rtpverify_stream_up", "comes"] == seen["rtpverify_stream_up", "never"] == 0
            assert seen["rtpverify_open_events", "comes", "ended", "unknown"] == 1
            assert seen["rtpverify_open_events", "never", "missing", "unknown"] == 1
            assert seen["rtpverify_events_total", "never", "missing", "unknown"] == 1
            assert ((await page(service, "comes"))["health"], (await page(service, "never"))["health"]) == (
                "down",
                "down",
            )
            assert "no packet" in (await page(service, "never"))["reason"]

            await send(ports["comes"], 2, 0.5, "ended:at=0.4,bye=mux")
            await until(lambda: total("ended") == 2)
            assert opened("ended") == 1
            await send(ports["comes"], 2)
            await until(lambda: total("ended") == 3)
            await until(lambda: len({event["id"] for event in hook.events}) == 4)
            stop.set()
            await running

    kept = find(tmp_path / "events.sqlite", Query(kinds=("ended", "missing"))).events
    ended = [event for event in kept if event["kind"] == "ended"]
    [missing] = [event for event in kept if event["kind"] == "missing"]
    assert [event["cause"] for event in ended] == ["unknown", "upstream", "unknown"]
    assert not any(event["open"] for event in kept)
    assert [event["ended_seconds"] >= 1 for event in (ended[0], ended[2])] == [True, True]
    assert (missing["stream"], missing["fault"], missing["start_frame"], missing["packets"]) == ("never", True, 0, None)
    assert missing["missing_seconds"] > 1
    assert ended[0]["start_frame"] == 24_000
    assert all(event["time"] for event in kept)
    ids = {event["id"] for event in kept}
    assert len(ids) == 4
    assert {event["id"] for event in hook.events} == ids

    others = {event["kind"] for event in find(tmp_path / "events.sqlite", Query(faults_only=True)).events}
    assert others == {"ended", "missing"}, "one interruption is one fault"
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    of = [line for line in lines if line["kind"] == "ended"]
    assert {line["id"] for line in of} == {event["id"] for event in ended}
    assert [line["open"] for line in of if line["id"] == ended[0]["id"]] == [True, False]
    evidence = [json.loads(path.read_text())["event"]["kind"] for path in (tmp_path / "evidence").glob("**/event.json")]
    assert "ended" in evidence
    assert "missing" not in evidence


async def test_what_a_reload_takes_away_is_over_and_what_it_brings_is_waited_for(tmp_path: Path) -> None:
    ports = free_ports("comes", "never")
    text = (
        TEXT.format(hook=9, **ports)
        .replace("[[webhook]]", "[receive]")
        .replace('url = "http://127.0.0.1:9/hook"\nkinds = ["ended", "missing"]\n', "")
    )
    path = tmp_path / "bench.toml"
    path.write_text(text)
    stop = asyncio.Event()

    def names(service: Service) -> Callable[[], bool]:
        return lambda: set(service.states) == {"comes", "other"}

    async with Service(parse_config(text, path), structlog.get_logger().bind(), path=path) as service:
        running = asyncio.create_task(service.run(stop))
        await until(lambda: any(kind == "missing" for kind, _ in service.states["never"].snapshot.open_events))
        path.write_text(text.replace('"never"', '"other"'))
        service.ask_reload()
        await until(names(service))
        await until(lambda: any(kind == "missing" for kind, _ in service.states["other"].snapshot.open_events))
        stop.set()
        await running
    kept = find(tmp_path / "events.sqlite", Query(kinds=("missing",), streams=("never", "other"))).events
    assert [(event["stream"], event["open"]) for event in kept] == [("never", False), ("other", False)]
    assert "no longer expected" in kept[0]["message"]


async def test_a_daemon_that_starts_anew_tells_what_is_still_away_with_an_id_of_its_own(tmp_path: Path) -> None:
    ports = free_ports("comes", "never")
    text = (
        TEXT.format(hook=9, **ports)
        .replace("[[webhook]]", "[receive]")
        .replace('url = "http://127.0.0.1:9/hook"\nkinds = ["ended", "missing"]\n', "")
    )
    for _ in range(2):
        stop = asyncio.Event()
        async with Service(parse_config(text, tmp_path / "bench.toml"), structlog.get_logger().bind()) as service:
            running = asyncio.create_task(service.run(stop))
            await until(lambda: all(state.snapshot.open_events for state in service.states.values()))
            stop.set()
            await running
    kept = find(tmp_path / "events.sqlite", Query(kinds=("missing",), streams=("never",))).events
    assert len({event["id"] for event in kept}) == len(kept) == 2
    assert kept[0]["time"] < kept[1]["time"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[presence]\ndown_after_seconds = 0\n", "c.toml:2: presence.down_after_seconds = 0: should be greater than"),
        ('[presence]\nmissing_after_seconds = "1"\n', 'c.toml:2: presence.missing_after_seconds = "1": should be'),
        ("[presence]\nafter = 1\n", "c.toml:2: presence.after = 1: is not known; known are down_after_seconds, miss"),
    ],
)
def test_mistakes_name_line_key_and_value(text: str, mistake: str) -> None:
    stream = '[[stream]]\nname = "a"\nsource = "rtp://127.0.0.1:5004"\nreference = "none"\n'
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text + stream, Path("c.toml"))
    assert mistake in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"c.toml:5: stream\[1\].missing_after_seconds = -1: should be"):
        parse_config(stream + "missing_after_seconds = -1", Path("c.toml"))


@pytest.mark.parametrize("table", ['[[folder]]\npath = "."\n', '[announced]\nnames = ["*"]\n'])
def test_the_default_holds_wherever_streams_come_from(table: str, tmp_path: Path) -> None:
    text = f'[presence]\nmissing_after_seconds = 3\n{table}reference = "none"\ndown_after_seconds = 20\n'
    configuration = parse_config(text, tmp_path / "c.toml")
    expected = configuration.announced or configuration.folder[0]
    spec = expected.base_spec()
    assert (spec.missing_after_seconds, spec.down_after_seconds) == (3, 20)
