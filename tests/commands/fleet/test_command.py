"""The command against a real nats-server: table, JSON, page in a real browser, and what Prometheus reads."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rtpverify.daemon.nats.server import NatsConnection, ServerTable, connected
from tests.daemon.web import chromium
from tests.helpers.fleet import line, publish, publish_event
from tests.helpers.nats_server import NatsServer, free_tcp_port
from tests.helpers.patience import PATIENCE_SECONDS, until

ROOT = Path(__file__).parents[3]
PICTURES = os.environ.get("RTPVERIFY_PICTURES")
"""Where the page is pictured, for whoever wants to look."""


@pytest.fixture
def server(tmp_path: Path) -> NatsServer:
    return NatsServer(tmp_path / "nats")


@asynccontextmanager
async def published(server: NatsServer) -> AsyncIterator[NatsConnection]:
    """Let a server run with what four daemons have published."""
    table = ServerTable.model_validate({"servers": [server.url]}, context=Path())
    async with server.running(), connected(table, "test") as connection:
        await connection.make_streams(replicas=1, keep_days=1)
        await publish(connection, "north", "bench-1", [line("in-1"), line("in-2", "fault"), line("in-3", "down")])
        await publish(connection, "north", "bench-2", [line(f"s{number}") for number in range(12)])
        await publish(
            connection, "south", "bench-7", [line("mic"), line("line", "recent")], reasons=["webhook[1]: away"]
        )
        await publish(connection, "south", "bench-8", [line("a", "waiting")], state="stopped")
        yield connection


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtpverify", "fleet", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "160", **environment},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "rtpverify", "fleet", *arguments]
    with log.open("wb") as file, subprocess.Popen(command, stderr=file) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()


async def test_all_benches_in_the_terminal(server: NatsServer) -> None:
    async with published(server):
        status, out, _ = await run(server.url)
    assert status == 1
    rows = [text.split() for text in out.splitlines() if "bench-" in text]
    assert [row[2] for row in rows] == ["bench-1", "bench-7", "bench-8", "bench-2"]
    assert rows[0][:6] == ["down", "north", "bench-1", "3", "1", "3"]
    assert "1 down, 1 with a fault" in out
    assert out.rstrip().splitlines()[-1] == "4 benches, 18 streams: 1 with a fault or down, 1 not verified"


async def test_all_benches_as_json(server: NatsServer) -> None:
    async with published(server):
        status, out, _ = await run(server.url, "--json")
    found = json.loads(out)
    assert (status, found["schema"]) == (1, "rtpverify.fleet/1")
    assert [(one["site"], one["health"], len(one["lines"])) for one in found["benches"]] == [
        ("north", "down", 3),
        ("south", "unjudged", 2),
        ("south", "waiting", 1),
        ("north", "ok", 12),
    ]


async def test_no_bench_has_published(server: NatsServer) -> None:
    async with server.running():
        assert await run(server.url) == (3, "no bench has published yet\n", "")


async def test_no_server(server: NatsServer, tmp_path: Path) -> None:
    status, out, err = await run(server.url)
    assert (status, out) == (2, "")
    assert err == f"rtpverify: {server.url}: Connection refused\n"
    for place, said in [
        ("http://x", "is not nats://HOST[:PORT]"),
        (str(tmp_path / "none.toml"), "none.toml: No such file or directory"),
    ]:
        status, _, err = await run(place)
        assert status == 2
        assert said in err
    path = tmp_path / "fleet.toml"
    path.write_text('[nats]\nservers = ["nats://h"]\nsites = "x"\n[page]\nlisten = "localhost:1"\n')
    status, _, err = await run(str(path))
    assert status == 2
    assert [text.partition("fleet.toml")[2] for text in err.splitlines()] == [
        ':3: nats.sites = "x": is not known',
        ':5: page.listen = "localhost:1": is not ADDRESS:PORT with a numeric address',
    ]


async def test_the_page(server: NatsServer, tmp_path: Path) -> None:
    if chromium.CHROMIUM is None:
        pytest.skip("chromium is not there")
    log, targets = tmp_path / "fleet.log", tmp_path / "targets.json"
    async with published(server) as connection:
        with serving(log, server.url, "--listen", "127.0.0.1:0", "--targets", str(targets)), chromium.running() as port:
            await until(lambda: "nats reached" in log.read_text() and "page=" in log.read_text(), log.read_text)
            url = log.read_text().partition("page=")[2].split()[0]
            async with aiohttp.ClientSession() as session, session.get(f"{url}api/sd") as answer:
                assert answer.content_type == "application/json"
                groups = await answer.json()
            assert [group["labels"]["bench"] for group in groups] == ["bench-1", "bench-2", "bench-7"]
            await until(targets.exists)
            assert json.loads(targets.read_text()) == groups
            async with chromium.browsing(port) as browser:
                await _look(browser, url, connection)
                await _lose(browser, server)
                assert [request for request in browser.requests if not request.startswith(url)] == ["about:blank"] * (
                    browser.requests.count("about:blank")
                )


async def _look(browser: chromium.Browser, url: str, connection: NatsConnection) -> None:
    await browser.size(1280, 900)
    await browser.open(url)
    await browser.until("document.querySelectorAll('.benches tbody tr').length === 4")
    names = "[...document.querySelectorAll('.benches tbody .name')].map((cell) => cell.innerText).join()"
    assert await browser.see(names) == "bench-1,bench-7,bench-8,bench-2"
    headline = await browser.see("document.querySelector('.fleet h1').innerText")
    assert headline == "4 benches, 18 streams: 1 down, 1 not verified"
    streams = "[...document.querySelectorAll('.overview tbody .name a')].map((link) => [link.innerText, link.href])"
    assert await browser.see(f"{streams}[0]") == [
        "north bench-1 in-3",
        "http://bench-1.example.com:9464/#/streams/in-3",
    ]
    assert await browser.see("document.title") == "✕ 2 of 18 – rtpverify"
    await _picture(browser, "fleet")
    await publish_event(connection, "north", "bench-1", 7, open=True)
    await browser.until("document.getElementById('announcer').innerText.includes('north bench-1 left')")
    await browser.see("location.hash = '#/benches/north/bench-2'")
    await browser.until("document.querySelectorAll('.overview tbody tr').length === 12")
    await _picture(browser, "bench")
    await browser.prefer(color_scheme="dark")
    await browser.see("location.hash = '#/'")
    await browser.until("document.querySelectorAll('.overview tbody tr').length === 4")
    await publish(connection, "north", "bench-1", [line("in-1"), line("in-2"), line("in-3")])
    await browser.until("document.querySelector('.fleet h1').innerText === '4 benches, 18 streams: 1 not verified'")
    await browser.size(480, 900)
    await browser.until("document.documentElement.scrollWidth <= 480")
    await _picture(browser, "narrow")
    assert browser.complaints == []


async def _lose(browser: chromium.Browser, server: NatsServer) -> None:
    server.kill()
    await browser.until("document.getElementById('host').innerText.includes('nats')")
    await server.start()
    await browser.until("document.getElementById('host').hidden")


async def _picture(browser: Any, name: str) -> None:
    if PICTURES:
        await browser.picture(Path(PICTURES) / f"scale17-{name}.png", whole=True)


async def test_a_page_that_asks_for_a_token(server: NatsServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse\n")
    (tmp_path / "fleet.toml").write_text(
        f'[nats]\nservers = ["{server.url}"]\n[page]\nlisten = "127.0.0.1:0"\ntoken_file = "token"\n'
    )
    log = tmp_path / "fleet.log"
    async with published(server):
        with serving(log, str(tmp_path / "fleet.toml"), "--page"):
            await until(lambda: "nats reached" in log.read_text() and "page=" in log.read_text(), log.read_text)
            url = log.read_text().partition("page=")[2].split()[0]
            async with aiohttp.ClientSession() as session:
                for path, token, status in [
                    ("api/sd", None, 401),
                    ("api/sd", "correct horse", 200),
                    ("healthz", None, 200),
                    ("readyz", None, 200),
                    ("api/fleet", "correct horse", 200),
                    ("api/fleet/north/bench-1", "correct horse", 200),
                    ("api/fleet/north/none", "correct horse", 404),
                    ("api/fleet?x=1", "correct horse", 400),
                ]:
                    headers = {"Authorization": f"Bearer {token}"} if token else {}
                    async with session.get(url + path, headers=headers) as answer:
                        assert answer.status == status, path


async def test_prometheus_finds_the_daemons(server: NatsServer, tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not there")
    log, found = tmp_path / "fleet.log", set()

    async def look(session: aiohttp.ClientSession, url: str) -> bool:
        nonlocal found
        try:
            async with session.get(f"{url}/api/v1/targets") as answer:
                targets = (await answer.json())["data"]["activeTargets"]
        except aiohttp.ClientError:
            return False
        found = {(one["labels"]["site"], one["labels"]["bench"], one["scrapeUrl"]) for one in targets}
        return bool(found)

    async with published(server):
        with serving(log, server.url, "--listen", "127.0.0.1:0"):
            await until(lambda: "nats reached" in log.read_text() and "page=" in log.read_text(), log.read_text)
            page = log.read_text().partition("page=")[2].split()[0]
            text = (ROOT / "examples" / "fleet" / "prometheus-site.yml").read_text()
            text = text.partition("remote_write:")[0].replace("http://127.0.0.1:9465/", page)
            (tmp_path / "prometheus.yml").write_text(text.replace("../../configs", str(ROOT / "configs")))
            place = f"127.0.0.1:{free_tcp_port()}"
            command = ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address={place}"]
            with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as prometheus:
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS), aiohttp.ClientSession() as session:
                        while not await look(session, f"http://{place}"):
                            await asyncio.sleep(0.05)
                finally:
                    prometheus.kill()
    assert found == {
        ("north", "bench-1", "http://bench-1.example.com:9464/metrics"),
        ("north", "bench-2", "http://bench-2.example.com:9464/metrics"),
    }
