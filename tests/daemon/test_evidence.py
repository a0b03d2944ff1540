"""One daemon, one sender, one slip: it is in the history, on standard output, at the webhook and in the evidence."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from aiohttp import web
from click.testing import CliRunner

from rtpverify.cli import app as cli
from rtpverify.evidence.folder import evidence_in
from rtpverify.history.query import Query, find
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import PATIENCE_SECONDS, until

CONFIGURATION = """
[metrics]
listen = "127.0.0.1:0"

[history]
path = "events.sqlite"

[event_log]
path = "-"

[recorder]
path = "evidence"

[[webhook]]
url = "http://127.0.0.1:{webhook}/hook"
kinds = ["slip"]

[[stream]]
name = "left"
source = "rtp://127.0.0.1:{rtp}"
encoding = "L24/48000/2"
reference = "tone:1283"
limits.max_stall_seconds = 60
"""


async def test_an_event_is_in_every_place(tmp_path: Path, monkeypatch: Any) -> None:
    posted: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        posted.extend((await request.json())["events"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = tmp_path / "bench.toml"
    configuration.write_text(CONFIGURATION.format(webhook=runner.addresses[0][1], rtp=port))
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtpverify", "serve", str(configuration)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert daemon.stdout
        assert daemon.stderr
        while b"waiting" not in await daemon.stderr.readline():
            pass
        settings = StreamSettings(Endpoint("127.0.0.1", port), ssrc=1, faults=[parse_fault("slip:at=1.5,frames=48")])
        with Sender([settings], duration_seconds=4) as sender:
            sender.start()
            await until(lambda: posted)
            await until(lambda: evidence_in(tmp_path / "evidence"))
            assert await asyncio.to_thread(sender.wait, PATIENCE_SECONDS)
        daemon.send_signal(signal.SIGTERM)
        output, log = await asyncio.wait_for(daemon.communicate(), PATIENCE_SECONDS)
        assert daemon.returncode == 0, log.decode()
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()
        await runner.cleanup()

    (event,) = find(tmp_path / "events.sqlite", Query(kinds=("slip",))).events
    assert (event["stream"], event["start_frame"], event["slip_frames"]) == ("left", 72_000, 48)
    assert posted[-1] == event
    assert event in [json.loads(line) for line in output.decode().splitlines()]
    (item,) = [item for item in evidence_in(tmp_path / "evidence") if item.kind == "slip"]
    assert item.id == event["id"]
    assert item.document()["event"] == event
    monkeypatch.chdir(item.path)
    outcome = CliRunner().invoke(cli.main, [*shlex.split(item.document()["check"])[1:], "--json", "-"])
    found = [one for one in json.loads(outcome.stdout)["streams"][0]["events"] if one["kind"] == "slip"]
    assert [one["slip_frames"] for one in found] == [48]
    assert found[0]["start_frame"] == item.document()["clip"]["event_frame"]
