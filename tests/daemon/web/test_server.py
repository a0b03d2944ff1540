"""The server itself: metrics, health, headers, who may look, and what it costs who looks too slowly."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from rtpverify.daemon.configuration import parse_config
from rtpverify.daemon.metrics import Snapshot
from rtpverify.daemon.sinks.base import ReportedEvent
from rtpverify.daemon.web import server, sse
from rtpverify.daemon.web.server import WebServer
from rtpverify.daemon.web.table import MetricsTable
from rtpverify.engine.stream import Stream
from rtpverify.errors import ConfigurationError, SourceError
from rtpverify.events import Event, GapSize
from rtpverify.transport.packet_index import PacketIndex
from tests.daemon.web.bench import START_NS, Bench, Client, Sender, serving
from tests.engine.test_verifier import FLOWS
from tests.helpers.patience import PATIENCE_SECONDS

TOKEN, PASSWORD = "correct horse", "battery staple"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("application/openmetrics-text", "application/openmetrics-text"), ("*/*", "text/plain")],
)
async def test_metrics_come_in_the_form_asked_for(accept: str, content_type: str) -> None:
    async with (
        serving(Bench(lambda: Snapshot(receive_buffer_dropped=5))) as client,
        client.session.get(f"{client.url}/metrics", headers={"Accept": accept}) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        assert "rtpverify_receive_buffer_dropped_total 5\n" in await answer.text()


async def test_a_port_in_use_is_named() -> None:
    async with serving() as client:
        listen = client.server.listen
        second = WebServer(MetricsTable(listen=str(listen)), Bench())
        with pytest.raises(SourceError, match=rf"^metrics listen {listen}: Address already in use$"):
            await second.start()
        await second.stop()


async def test_health_and_readiness_are_two_things() -> None:
    async with serving() as client:
        for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
            async with client.session.get(client.url + path) as answer:
                assert (answer.status, await answer.text()) == (200, text)
        client.bench.reasons = ["history: disk full"]
        async with client.session.get(f"{client.url}/healthz") as answer:
            assert answer.status == 200
        problem = await client.get("/readyz", 503)
        assert (problem["detail"], problem["reasons"]) == ("history: disk full", ["history: disk full"])


@pytest.mark.parametrize("path", ["/", "/page/style.css", "/api/streams", "/api/nothing", "/metrics", "/api/live"])
async def test_every_answer_is_kept_from_harm(path: str) -> None:
    async with serving() as client, client.session.get(client.url + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] in ("no-store", "no-cache")


async def test_nothing_is_changed_by_a_request() -> None:
    """What a page from elsewhere can have a browser send changes nothing, as nothing does."""
    async with serving() as client:
        routes = [(method, re.sub(r"{\w+}", "a", path)) for method, path in sorted(client.server.http.routes)]
        assert {method for method, _ in routes} == {"GET", "HEAD"}
        for _, path in routes:
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                async with client.session.request(method, client.url + path, data=b"x" * 100_000) as answer:
                    assert answer.status == 405
                    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    [
        "/page/..%2f..%2f..%2fetc%2fpasswd",
        "/page/%2e%2e/server.py",
        "/api/events/a/evidence/..%2fevent.json",
        "//etc/passwd",
    ],
)
async def test_no_path_leads_out(path: str) -> None:
    async with serving() as client, client.session.get(URL(client.url + path, encoded=True)) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000,
        b"GET /" + b"a" * 20_000,
        b"\x16\x03\x01 no HTTP\r\n\r\n",
        b"GET /?\x7f HTTP/1.1",
    ],
)
async def test_what_is_too_long_or_no_request_is_refused(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as client:
        reader, writer = await asyncio.open_connection(client.server.listen.address, client.server.listen.port)
        writer.write(request_ + b"\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
        assert b"X-Content-Type-Options: nosniff" in head
        assert json.loads(body)["status"] == 400
        assert len(answer) < 2000
        writer.close()
        assert client.server.counts["requests_unreadable"] == 1
    assert caplog.records == []  # each would be a traceback on standard error
    assert not any(client.bench.defects.counts.values())


async def test_the_page_is_not_sent_twice() -> None:
    async with serving() as client:
        async with client.session.get(f"{client.url}/") as answer:
            assert answer.content_type == "text/html"
            etag = answer.headers["ETag"]
        async with client.session.get(f"{client.url}/", headers={"If-None-Match": etag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")


# Who may look -------------------------------------------------------------------------------------------------------


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    for name, text in (("token", TOKEN), ("password", PASSWORD)):
        (tmp_path / name).write_text(text + "\n")
    return {"token_file": str(tmp_path / "token"), "password_file": str(tmp_path / "password"), "user": "eve"}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer wrong", 401),
        (f"Bearer {PASSWORD}", 401),
        (basic("eve", PASSWORD), 200),
        (basic("adam", PASSWORD), 401),
        (basic("eve", "wrong"), 401),
        (basic("anybody", TOKEN), 200),
        ("Basic ???", 401),
        ("Basic", 401),
        ("Digest x", 401),
    ],
)
async def test_only_who_is_known_may_look(secrets: dict[str, str], authorization: str | None, status: int) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with serving(**secrets) as client:
        for path in ("/", "/api/streams", "/metrics", "/api/live", "/page/style.css", "/api/openapi.json"):
            async with client.session.get(client.url + path, headers=headers) as answer:
                assert answer.status == status, path
                if status == 401:
                    schemes = [value.split()[0] for value in answer.headers.getall("WWW-Authenticate")]
                    assert schemes == ["Bearer", "Basic"]
        for path in ("/healthz", "/readyz"):
            async with client.session.get(client.url + path) as answer:
                assert answer.status == 200


def mistakes(tmp_path: Path, *lines: str) -> list[str]:
    text = "\n".join(("[metrics]", *lines, "[[stream]]", 'name = "a"', 'source = "rtp://127.0.0.1:5004"'))
    with pytest.raises(ConfigurationError) as raised:
        parse_config(text + '\nreference = "none"\n', tmp_path / "bench.toml")
    return str(raised.value).removeprefix(str(tmp_path / "bench.toml")).splitlines()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['token_file = "none"'], ':2: metrics.token_file = "none": FOLDER/none: No such file or directory'),
        (['token_file = "short"'], ':2: metrics.token_file = "short": FOLDER/short: holds fewer than 8 characters'),
        (['token_file = "long"'], ':2: metrics.token_file = "long": FOLDER/long: holds more than one line'),
        (['user = "eve"'], ":1: metrics: user and password_file go together"),
        (['key = "short"'], ":1: metrics: key goes with a certificate"),
    ],
)
def test_a_wrong_secret_is_told_with_its_line(tmp_path: Path, lines: list[str], told: str) -> None:
    (tmp_path / "short").write_text("1234567\n")
    (tmp_path / "long").write_text("12345678\n12345678\n")
    assert mistakes(tmp_path, *lines) == [told.replace("FOLDER", str(tmp_path))]


def test_a_secret_is_never_shown(secrets: dict[str, str]) -> None:
    table = MetricsTable(**secrets)  # type: ignore[arg-type]
    assert TOKEN not in repr(table)
    assert PASSWORD not in repr(table)


async def test_an_open_door_is_told() -> None:
    with capture_logs() as log:
        async with serving(listen="0.0.0.0:0"):
            pass
    assert [line["event"] for line in log] == ["open to the network without token or password"]
    with capture_logs() as log:
        async with serving():
            pass
    assert log == []


async def test_with_a_certificate_it_speaks_tls_alone(certificate: dict[str, str]) -> None:
    async with serving(**certificate) as client:
        trust = ssl.create_default_context(cafile=certificate["certificate"])
        async with client.session.get(f"{client.url}/healthz", ssl=trust) as answer:
            assert answer.status == 200
        plain = client.url.replace("https", "http")
        with pytest.raises(aiohttp.ClientError):
            await client.session.get(f"{plain}/healthz")


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("no certificate\n")
    (line,) = mistakes(tmp_path, 'certificate = "none.pem"')
    assert line.startswith(f":1: metrics: certificate {tmp_path / 'none.pem'}: cannot be loaded: ")


# What it is called --------------------------------------------------------------------------------------------------

EVIL = "evil.example:9464"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (EVIL, 421),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.example@127.0.0.1", 421),
        ("[::1]evil.example", 421),
        ("127.0.0.1:9464:80", 421),
        ("bench", 421),
        ("", 421),
        ("127.0.0.1", 200),
        ("192.0.2.7:9464", 200),
        ("[::1]:9464", 200),
        ("localhost:1", 200),
        ("LocalHost.", 200),
        ("rtpverify.localhost", 200),
    ],
)
async def test_a_page_that_makes_its_own_name_lead_here_reads_nothing(host: str, status: int) -> None:
    async with serving() as client:
        for path in ("/", "/api/streams", "/api/live", "/metrics", "/healthz", "/page/style.css", "/none"):
            async with client.session.get(client.url + path, headers={"Host": host}) as answer:
                assert answer.status == (404 if path == "/none" and status == 200 else status), path
        assert client.server.counts["misdirected"] == (7 if status == 421 else 0)
        if status == 421:
            problem = await client.get("/api/streams", 421, headers={"Host": host})
            assert problem["title"] == "Misdirected Request"
            assert problem["detail"].startswith(f"Host: {host!r} is not a name of this server")


async def test_two_names_at_once_do_not_get_by() -> None:
    async with serving() as client:
        address = str(client.server.listen.address), client.server.listen.port
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /api/streams HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert (await reader.readline()).split()[1] in (b"400", b"421")
        writer.close()


async def test_who_sends_no_name_is_no_browser() -> None:
    async with serving() as client:
        reader, writer = await asyncio.open_connection(str(client.server.listen.address), client.server.listen.port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()


async def test_names_of_ones_own_are_answered() -> None:
    async with serving(hosts=["bench.Example.com", "*.studio.example"]) as client:
        for host, status in (
            ("bench.example.com", 200),
            ("BENCH.example.com.:443", 200),
            ("one.studio.example", 200),
            ("studio.example", 421),
            ("bench.example.com.evil.example", 421),
            ("localhost", 200),
        ):
            async with client.session.get(f"{client.url}/api/streams", headers={"Host": host}) as answer:
                assert answer.status == status, host


async def test_a_token_keeps_pages_out_whatever_they_call_it(secrets: dict[str, str]) -> None:
    headers = {"Host": EVIL}
    async with serving(**secrets) as client:
        await client.get("/api/streams", 401, headers=headers)
        await client.get("/api/streams", headers={**headers, "Authorization": f"Bearer {TOKEN}"})
    async with serving(**secrets, hosts=["bench"]) as client:
        await client.get("/api/streams", 421, headers={**headers, "Authorization": f"Bearer {TOKEN}"})


async def test_a_certificate_keeps_pages_out_whatever_they_call_it(certificate: dict[str, str]) -> None:
    async with serving(**certificate) as client:
        trust = ssl.create_default_context(cafile=certificate["certificate"])
        await client.get("/api/streams", headers={"Host": EVIL}, ssl=trust)


async def test_on_the_network_any_name_will_do_unless_some_are_told() -> None:
    async def status(client: Client, host: str) -> int:
        url = f"http://127.0.0.1:{client.server.listen.port}/metrics"
        async with client.session.get(url, headers={"Host": host}) as answer:
            return answer.status

    async with serving(listen="0.0.0.0:0") as client:
        assert await status(client, "rtpverify:9464") == 200  # as a Prometheus beside it in a container calls it
    async with serving(listen="0.0.0.0:0", hosts=["rtpverify"]) as client:
        assert [await status(client, host) for host in ("rtpverify:9464", "127.0.0.1", EVIL)] == [200, 200, 421]


@pytest.mark.parametrize("name", ["https://bench", "bench:9464", "bench.example/", "", "a b"])
def test_what_is_no_name_is_told(tmp_path: Path, name: str) -> None:
    (line,) = mistakes(tmp_path, f'hosts = ["bench", "{name}"]')
    assert line == f':2: metrics.hosts[2] = "{name}": is not a host name, or a pattern of some, without port'


# Live events --------------------------------------------------------------------------------------------------------


async def messages(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, Any]]:
    """Yield number, name and data of each message."""
    number, name = "", ""
    async for raw in answer.content:
        key, _, value = raw.decode().rstrip("\n").partition(": ")
        if key == "id":
            number = value
        elif key == "event":
            name = value
        elif key == "data":
            yield number, name, json.loads(value)
            number = ""


async def first(answer: aiohttp.ClientResponse, wanted: str) -> tuple[str, Any]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for number, name, data in messages(answer):
            if name == wanted:
                return number, data
    raise AssertionError(f"no {wanted}")


async def test_events_and_state_come_as_they_happen() -> None:
    async with serving() as client, client.session.get(f"{client.url}/api/live") as answer:
        assert answer.content_type == "text/event-stream"
        _, hello = await first(answer, "hello")
        assert set(hello) == {"version", "started"}
        client.bench.feed(Sender(seconds=1.0).send(lost=(500,)))
        _, data = await first(answer, "events")
        assert [(event["stream"], event["kind"]) for event in data["events"]] == [("a", "gap")]
        _, state = await first(answer, "state")
        assert [line["name"] for line in state["streams"]] == ["a", "b"]


async def test_of_a_storm_some_are_told_and_the_rest_is_counted() -> None:
    async with serving() as client, client.session.get(f"{client.url}/api/live") as answer:
        await first(answer, "hello")
        event = Event(GapSize(), 0, 48, message="lost", id="0")
        stream = Stream(0, client.bench.verifier.specs[0], FLOWS[0], 1, 97, None, 0, PacketIndex())
        told = [ReportedEvent(stream, replace(event, id=f"{number:012x}"), True) for number in range(120)]
        client.server.tell(told)
        _, data = await first(answer, "events")
        assert (len(data["events"]), data["left_out"]) == (server.EVENTS_AT_ONCE, 120 - server.EVENTS_AT_ONCE)
        async with client.session.get(f"{client.url}/api/events?limit=1000") as every:
            assert len((await every.json())["events"]) == 120


async def test_who_comes_back_gets_what_was_missed_and_only_that() -> None:
    async with serving() as client:
        client.bench.feed(Sender(seconds=0.5).send(lost=(200,)))
        async with client.session.get(f"{client.url}/api/live") as answer:
            client.bench.feed(Sender(seconds=2.0).send(lost=(200, 700))[499:1000])
            number, data = await first(answer, "events")
            assert [event["start_frame"] for event in data["events"]] == [700 * 48]
        client.bench.feed(Sender(seconds=2.0).send(lost=(200, 700, 1500))[998:])
        headers = {"Last-Event-ID": number}
        async with client.session.get(f"{client.url}/api/live", headers=headers) as answer:
            _, data = await first(answer, "events")
            assert [event["start_frame"] for event in data["events"]] == [1500 * 48]


@pytest.mark.parametrize("last", ["another-1", "nonsense", "{epoch}-99", "{epoch}-0"])
async def test_who_missed_too_much_is_told_so(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    monkeypatch.setattr(sse, "REMEMBERED", 2)
    async with serving() as client:
        for number in range(5):
            client.server.hub.say("events", {"number": number})
        headers = {"Last-Event-ID": last.format(epoch=client.server.hub.epoch)}
        async with client.session.get(f"{client.url}/api/live", headers=headers) as answer:
            await first(answer, "reset")


async def test_a_browser_that_reads_nothing_is_cut_off_and_costs_bounded_memory() -> None:
    async with serving() as client:
        reader, writer = await asyncio.open_connection(str(client.server.listen.address), client.server.listen.port)
        writer.write(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readexactly(12)
        speaker = client.server.hub
        assert speaker.clients == 1
        text = "x" * 10_000
        for _ in range(10_000):
            speaker.say("events", text)
            await asyncio.sleep(0)
            waiting = speaker.waiting
            assert waiting <= sse.MAX_WAITING
            if not speaker.clients:
                break
        assert speaker.clients == 0
        assert client.server.counts["live_clients_dropped"] == 1
        assert speaker.remembered_bytes <= sse.REMEMBERED_BYTES
        writer.close()


async def test_a_slow_browser_misses_states_but_no_event() -> None:
    speaker_counts: dict[str, int]
    async with serving() as client, client.session.get(f"{client.url}/api/live") as answer:
        await first(answer, "hello")
        speaker = client.server.hub
        for number in range(100):
            speaker.show({"number": number})
        speaker.say("events", {"number": 1})
        await first(answer, "events")
        _, state = await first(answer, "state")
        assert state == {"number": 99}
        speaker_counts = client.server.counts
    assert speaker_counts["live_states_skipped"] == 99


async def test_one_browser_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_CLIENTS", 1)
    async with serving() as client, client.session.get(f"{client.url}/api/live") as answer:
        await first(answer, "hello")
        await client.get("/api/live", 503)
        assert client.server.counts["live_clients_refused"] == 1


async def test_the_daemon_stops_though_somebody_listens() -> None:
    async with serving() as client:
        answer = await client.session.get(f"{client.url}/api/live")
        await first(answer, "hello")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.server.stop()
        answer.close()


async def test_looking_is_due_every_quarter_second_whatever_the_clock_does() -> None:
    looks: list[int] = []
    async with serving() as client:
        client.server.board.look = looks.append  # type: ignore[method-assign]
        for milliseconds in (0, 100, 249, 250, 400, 501, -60_000, -59_900, -59_749):
            client.server.tick(START_NS + milliseconds * 1_000_000)
    assert [(at - START_NS) // 1_000_000 for at in looks] == [0, 250, 501, -60_000, -59_749]


__all__ = ["Client"]
