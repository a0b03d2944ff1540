"""Nothing is imported while packets are received."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtpverify.sender.faults import FAULTS, parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.daemon import audited
from tests.daemon.beside import free_ports, sending
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

IMPORTED_LATER = """
import ast, sys
from pathlib import Path
import rtpverify.daemon.service, rtpverify.daemon.process, rtpverify.live.loop
from rtpverify.live.preload import load_all
load_all()
rtpverify.live.loop.run(__import__("asyncio").sleep(0))
for name, module in sorted(sys.modules.items()):
    if not name.startswith("rtpverify.") or name.endswith("__main__"):
        continue
    for function in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                wanted = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                wanted += [node.module] if isinstance(node, ast.ImportFrom) else []
                for one in wanted:
                    if one not in sys.modules:
                        print(f"{name}:{node.lineno} {one}")
"""
AT_THE_START_ALONE = {
    # Which receiver there is, is chosen once; how the daemon itself starts; commands.
    "rtpverify.sources.live.asyncio_udp",
    "rtpverify.sources.live.recvmmsg",
    "rtpverify.sources.ring.endpoint_receiver",
    # Captures that are read, which a daemon does not do.
    "compression.zstd",
    "rtpverify.daemon.log",
    # What a result says in a test or notebook.
    "rtpverify.result.complaint",
    "rtpverify.result.dataframe",
    "rtpverify.result.notebook",
}


def test_no_function_of_the_daemon_imports_what_is_not_loaded_at_the_start() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED_LATER], capture_output=True, text=True, check=True)
    later = [line for line in done.stdout.splitlines() if line.split()[1] not in AT_THE_START_ALONE]
    assert later == []


STREAM = """
[[stream]]
name = "{name}"
source = "rtp://127.0.0.1:{port}"
encoding = "L24/48000/2"
reference = "{reference}"
"""

CONFIGURATION = """
metrics.listen = "127.0.0.1:0"
log.format = "json"
receive.receiver_reports = true

[history]
path = "events.sqlite"

[event_log]
path = "events.jsonl"

[recorder]
path = "evidence"
max_per_minute = 100

[[webhook]]
url = "http://localhost:{webhook}/"
faults_only = false

[[folder]]
path = "."
reference = "tone"
"""

FAULTS_OF = {
    "one": ["loss:packets=3", "slip:frames=48", "dropout:frames=480", "click:size=0.1", "gain:db=-3,duration=0.4"],
    "two": ["repeat:frames=2400", "polarity:duration=0.4", "noise:dbfs=-40,duration=0.4", "silence:duration=0.4"],
    "three": ["clipping:level=0.05,duration=0.4", "distortion:duration=0.4", "dc_offset:duration=0.4"],
    "four": ["frequency:ppm=100,duration=0.4", "sample_rate:made_for=44100,duration=0.4", "byte_order:duration=0.4"],
    "five": ["channel_swap:duration=0.4", "word_length:duration=0.4", "reorder", "duplicate", "late:delay=0.2"],
    "six": ["timestamp_jump:frames=96", "timestamp_error:packets=5", "stall:seconds=0.3", "ssrc_change", "restart"],
    "seven": ["payload_type_change:to=96", "ended:bye=yes"],
    "eight": ["missing"],
}
"""Every kind of fault there is, in streams that can bear it."""


def faults_of(name: str) -> list[str]:
    """Return the faults of a stream one after another, with their times."""
    written = []
    for number, fault in enumerate(FAULTS_OF[name]):
        kind, _, rest = fault.partition(":")
        at = "" if FAULTS[kind].whole else f"at={1.0 + 0.9 * number:g}"
        written.append(f"{kind}:{','.join(filter(None, (at, rest)))}".removesuffix(":"))
    return written


def test_every_kind_of_fault_is_sent() -> None:
    assert {fault.partition(":")[0] for faults in FAULTS_OF.values() for fault in faults} == set(FAULTS)


def settings(port: int, faults: list[str]) -> StreamSettings:
    return StreamSettings(Endpoint("127.0.0.1", port), ssrc=port, faults=[parse_fault(fault) for fault in faults])


@contextmanager
def taking_webhooks() -> Iterator[tuple[int, list[bytes]]]:
    """Take webhooks; yield the port, and what came."""
    came: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, came
        server.shutdown()


def get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
            return answer.read()
    except urllib.error.HTTPError as error:
        return error.read()


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGHUP")
def test_events_pages_reloads_and_the_end_import_nothing(tmp_path: Path) -> None:
    ports = dict(zip([*FAULTS_OF, "recorded", "described"], free_ports(len(FAULTS_OF) + 2), strict=True))
    noise = np.random.default_rng(1).standard_normal((48_000, 2)) / 8
    soundfile.write(tmp_path / "noise.wav", noise, 48_000, subtype="PCM_24")
    path, log_path, imported = tmp_path / "bench.toml", tmp_path / "log", tmp_path / "imported"
    streams = [STREAM.format(name=name, port=ports[name], reference="tone:1283") for name in FAULTS_OF]
    recorded = STREAM.format(name="recorded", port=ports["recorded"], reference="noise.wav")

    def lines(event: str) -> list[dict[str, object]]:
        whole = [line for line in log_path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in map(json.loads, whole) if line["event"] == event]

    with taking_webhooks() as (webhook, came), log_path.open("w") as log:
        text = CONFIGURATION.format(webhook=webhook)
        path.write_text(text + "".join(streams))
        command = [sys.executable, audited.__file__, str(imported), "serve", str(path)]
        with subprocess.Popen(command, stderr=log) as daemon:
            try:
                wait_until(lambda: lines("listening") or daemon.poll() is not None, log_path.read_text)
                url = str(lines("listening")[0]["page"])
                (tmp_path / "described.sdp").write_text(
                    "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=x\nt=0 0\nc=IN IP4 127.0.0.1\n"
                    f"m=audio {ports['described']} RTP/AVP 97\na=rtpmap:97 L24/48000/2\n"
                )
                with Sender(
                    [settings(ports[name], faults_of(name)) for name in FAULTS_OF], duration_seconds=6
                ) as sender:
                    sender.start()
                    sender.wait(PATIENCE_SECONDS)
                wait_until(lambda: b'"described"' in get(f"{url}api/streams"))
                # Only now is anything compared with a recording.
                path.write_text(text + "".join(streams) + recorded)
                daemon.send_signal(signal.SIGHUP)
                wait_until(lambda: b'"recorded"' in get(f"{url}api/streams"))
                with sending(ports["recorded"], ports["described"], seconds=2.0) as sender:
                    sender.wait(PATIENCE_SECONDS)
                wait_until(lambda: has_evidence(url))
                for page in (
                    "", "metrics", "readyz", "none", "api/openapi.json", "api/events?limit=0", "api/streams/one",
                    "api/streams/one/history", "api/streams/one/scope", "api/streams/recorded/scope",
                ):  # fmt: skip
                    get(url + page)
                wait_until(lambda: came)
                path.write_text("nonsense")
                daemon.send_signal(signal.SIGHUP)
                wait_until(lambda: lines("configuration not applied"))
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(PATIENCE_SECONDS) == 0, log_path.read_text()
            finally:
                daemon.kill()
    assert imported.read_text() == ""
    assert not lines("defect of rtpverify")


def has_evidence(url: str) -> bool:
    """Look at the evidence of an event, where there is some."""
    for event in json.loads(get(f"{url}api/events"))["events"]:
        for file in event["evidence"]:
            assert len(get(f"{url}api/events/{event['id']}/evidence/{file['name']}")) == file["size"]
            return True
    return False


def test_a_live_check_imports_nothing_after_it_listens(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    imported = tmp_path / "imported"
    command = [sys.executable, audited.__file__, str(imported), "check", f"rtp://127.0.0.1:{port}"]
    command += ["--encoding", "L24/48000/2", "--reference", "tone:1283", "--until-end", "--duration", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as checking:
        wait_until(imported.exists)  # it listens
        with sending(port, seconds=3.0, faults=["slip:at=1,frames=48", "loss:at=2,packets=3"]) as sender:
            sender.wait(PATIENCE_SECONDS)
        checking.communicate(timeout=PATIENCE_SECONDS)
    assert checking.returncode == 1
    assert imported.read_text() == ""
