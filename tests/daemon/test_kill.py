"""A daemon that is killed, or stopped for a while, at any moment under load."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rtpverify.evidence.folder import EVENT, PACKETS, evidence_in
from rtpverify.history.query import Query, find
from rtpverify.history.store import Store
from tests.daemon.beside import free_ports, running, sending
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

KILLS = int(os.environ.get("RTPVERIFY_KILLS", "1"))
FAULTS = [f"click:at={at / 10},frames=3,channel=1,size=0.01" for at in range(12, 200 * (KILLS + 1), 4)]


def configuration(folder: Path, port: int) -> str:
    return (
        f'[log]\nformat = "json"\n[metrics]\nlisten = "127.0.0.1:{free_ports(1)[0]}"\n'
        f'[history]\npath = "{folder}/events.sqlite"\n'
        f'[recorder]\npath = "{folder}/evidence"\nbefore_seconds = 0.1\nafter_seconds = 0.1\n'
        f'[[stream]]\nname = "a"\nsource = "rtp://127.0.0.1:{port}"\nencoding = "L24/48000/2"\n'
        'reference = "tone:1283"\n'
    )


@contextmanager
def daemon(path: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as file,
        subprocess.Popen([sys.executable, "-m", "rtpverify", "serve", str(path)], stderr=file) as process,
    ):
        try:
            wait_until(lambda: "listening" in log.read_text() or process.poll() is not None)
            yield process
        finally:
            process.kill()


def logged(log: Path, event: str) -> list[dict[str, Any]]:
    """Return lines of the log; the last one may be half written."""
    lines = [line for line in log.read_text().split("\n")[:-1] if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["event"] == event]


def test_killed_at_random_under_load(tmp_path: Path) -> None:
    rng = random.Random(7)
    (port,) = free_ports(1)
    path, store = tmp_path / "bench.toml", tmp_path / "events.sqlite"
    path.write_text(configuration(tmp_path, port))
    kept: dict[str, dict[str, Any]] = {}
    with sending(port, seconds=3600.0, faults=FAULTS):
        for number in range(KILLS + 1):
            log = tmp_path / f"{number}.log"
            with daemon(path, log) as process:
                assert process.poll() is None, log.read_text()  # no port was left bound
                assert len(logged(log, "history not closed by the last run")) == (number > 0)
                wait_until(lambda log=log: logged(log, "event"))
                time.sleep(rng.uniform(0.0, 0.5))
                process.send_signal(signal.SIGKILL if number < KILLS else signal.SIGTERM)
                process.wait(PATIENCE_SECONDS)
            events = find(store, Query()).events
            ids = [event["id"] for event in events]
            assert len(set(ids)) == len(ids)
            found = {event["id"]: event for event in events}
            assert kept.keys() <= found.keys()
            kept = found
            for case in evidence_in(tmp_path / "evidence"):
                assert case.document()["event"]["id"] == case.id
                assert {EVENT, PACKETS} <= case.files.keys()
                for file in case.files.values():
                    assert file.stat().st_size > 0
                    if file.suffix == ".wav":
                        with wave.open(str(file)) as audio:
                            assert audio.getnframes() > 0
    assert process.returncode == 0
    told = {line["id"] for number in range(KILLS + 1) for line in logged(tmp_path / f"{number}.log", "event")}
    # What a kill can cost is what was told in its last moments, before the disk had it.
    assert len(told - kept.keys()) <= 2 * KILLS
    assert not any(event["open"] for event in kept.values())
    with closing(Store(store, max_age_seconds=1e9, max_bytes=1 << 30)) as ended:
        assert not ended.has_begun


@pytest.mark.parametrize("buffer_bytes", [8 << 20, 1 << 16])
async def test_a_process_that_is_stopped_for_a_while_blames_itself(tmp_path: Path, buffer_bytes: int) -> None:
    """SIGSTOP and SIGCONT, and an event loop that something holds up, look alike from within."""
    (port,) = free_ports(1)
    text = f'[metrics]\nlisten = "127.0.0.1:0"\n[receive]\nbuffer_bytes = {buffer_bytes}\n'
    text += f'[[stream]]\nname = "a"\nsource = "rtp://127.0.0.1:{port}"\nencoding = "L24/48000/2"\n'
    text += 'reference = "tone:1283"\n'
    async with running(tmp_path / "bench.toml", text) as bench:
        with sending(port, seconds=1.5) as sender:
            await bench.until(lambda: bench.service.verifier.streams)
            time.sleep(0.5)  # holds the loop up
            await asyncio.to_thread(sender.wait)
    result = bench.result
    assert result is not None
    (stream,) = result.streams
    transport = stream.transport
    assert transport is not None
    assert transport.packets_received + result.receive_buffer_dropped == 1500
    faults = {(str(event.kind), str(event.cause)) for event in stream.events}
    if result.receive_buffer_dropped == 0:
        assert faults <= {("ended", "unknown")}
    else:
        assert stream.inconclusive is not None
        assert "this host dropped" in stream.inconclusive
        assert ("gap", "unknown") in faults
        assert ("gap", "network") not in faults
    assert buffer_bytes > 1 << 16 or result.receive_buffer_dropped > 0
