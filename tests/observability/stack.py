"""A bench as at a user's: daemon, Prometheus and Alertmanager with the files of configs/, and faults sent to it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.payload import Encoding
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sender.tone import ToneSignal
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
PROGRAMS = {"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}
"""Programs and the Debian packages they come with."""
CLOCK_SECONDS = 2208988800
"""From 1900, where NTP begins, to 1970."""
SSRC = 0x5EED0001

DAEMON = """
[metrics]
listen = "127.0.0.1:{metrics}"
[log]
format = "json"
[history]
path = "events.sqlite"
[[stream]]
name = "main"
source = "rtp://127.0.0.1:{main}"
encoding = "L24/48000/2"
reference = "tone:1283,997"
[[stream]]
name = "ill"
source = "rtp://127.0.0.1:{ill}"
encoding = "L24/48000/4"
reference = "tone:1283"
[[stream]]
name = "late"
source = "rtp://127.0.0.1:{late}"
encoding = "L24/48000/2"
reference = "tone:1283"
missing_after_seconds = 1
[[stream]]
name = "legs"
sdp = "legs.sdp"
reference = "tone:1283"
"""

LEGS = """v=0
o=- 77 1 IN IP4 127.0.0.1
s=two legs
t=0 0
a=group:DUP 1 2
m=audio {one} RTP/AVP 97
c=IN IP4 127.0.0.1
a=rtpmap:97 L24/48000/2
a=mid:1
m=audio {two} RTP/AVP 97
c=IN IP4 127.0.0.1
a=rtpmap:97 L24/48000/2
a=mid:2
"""

FAULTS = (
    "loss:at=1.2,packets=3",
    "duplicate:at=1.5",
    "reorder:at=1.6,by=2",
    "click:at=2,size=0.1,channel=1",
    "slip:at=2.5,frames=48",
    "gain:at=2.8,db=-3,duration=0.6",
    "loss:at=3.2,packets=5",
    "click:at=4,size=0.2,channel=2",
    "slip:at=4.5,frames=-96",
    "gain:at=6,db=-1,duration=0.5",
    "distortion:at=7,harmonics_db=-40",
)
"""Each kind that ends comes twice: a histogram that springs into being shows its first value to nobody."""

ILL = (
    "frequency:at=1,ppm=50,channel=1",
    "silence:at=1,channel=2",
    "polarity:at=1,channel=3",
    "timestamp_error:at=1,pattern=scattered,by=3",
)


class Leaky(ToneSignal):
    """Two tones, and 60 dB below the first what leaks of it into the second channel."""

    period_frames = None

    def read(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        samples = super().read(start_frame, frames)
        return samples + 1e-3 * np.stack([np.zeros(len(samples)), samples[:, 0]], axis=1)


@dataclass
class Bench:
    """What runs, and what it told."""

    prometheus: str
    metrics: str
    folder: Path
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def api(self, path: str, **query: str | float) -> Any:
        with urllib.request.urlopen(  # noqa: S310
            f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=PATIENCE_SECONDS
        ) as answer:
            return json.load(answer)["data"]

    def ask(self, expr: str, *, instant: bool) -> list[Any]:
        """Return what an expression gives: now, or at any time in the last minute.

        Raises
        ------
        HTTPError
            Where Prometheus refuses the expression.
        """
        now = time.time()
        found = (
            self.api("query", query=expr, time=now)
            if instant
            else self.api("query_range", query=expr, start=now - 60, end=now, step=1)
        )
        return list(found["result"])


def until(look: Callable[[], Any]) -> Any:
    """Look again and again until something is seen."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        seen = None
        with suppress(OSError):
            seen = look()
        if seen or time.monotonic() > give_up:
            return seen
        time.sleep(0.2)


def ports(*names: str) -> dict[str, int]:
    """Return ports that are free for TCP or UDP."""
    with ExitStack() as stack:
        found = {}
        for name in names:
            kind = socket.SOCK_DGRAM if name in ("main", "ill", "late", "one", "two") else socket.SOCK_STREAM
            item = stack.enter_context(socket.socket(socket.AF_INET, kind))
            item.bind(("127.0.0.1", 0))
            found[name] = item.getsockname()[1]
        return found


@contextmanager
def program(*command: str | Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block is left."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


@contextmanager
def webhook(alerts: list[dict[str, Any]]) -> Iterator[int]:
    """Take what Alertmanager posts; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            alerts.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def report(sequence_packets: int, frames: int) -> bytes:
    """Return a sender report (RFC 3550 section 6.4.1) of the stream "main" as of now."""
    ntp = int((time.time() + CLOCK_SECONDS) * 2**32)
    return struct.pack(
        ">BBHIQIII", 0x80, 200, 6, SSRC, ntp, frames & 0xFFFFFFFF, sequence_packets, sequence_packets * 288
    )


@contextmanager
def sending(at: dict[str, int]) -> Iterator[None]:
    """Send faults to "main", with sender reports and junk, lasting ones to "ill", and two legs of which one loses.

    "late" comes and goes.
    """
    same: dict[str, int] = {"ssrc": 7, "sequence": 100, "timestamp": 1000}

    def to(name: str, *faults: str, **more: Any) -> StreamSettings:
        return StreamSettings(Endpoint("127.0.0.1", at[name]), faults=[parse_fault(text) for text in faults], **more)

    streams = [
        to("main", *FAULTS, signal=Leaky([1283.0, 997.0]), ssrc=SSRC, sequence=0, timestamp=0),
        to("ill", *ILL, encoding=Encoding("L24", 48000, 4), signal=ToneSignal([1283.0], channels=4)),
        to("late", "missing:seconds=6", "ended:at=4"),
        to("one", **same),
        to("two", "loss:at=2,packets=4", **same),
    ]
    stop = threading.Event()

    def reports(started: float) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while not stop.wait(0.5):
                frames = round((time.monotonic() - started) * 48000)
                for datagram in (report(frames // 48, frames), b"junk"):
                    sock.sendto(datagram, ("127.0.0.1", at["main"]))

    with Sender(streams) as sender:
        sender.start()
        thread = threading.Thread(target=reports, args=(time.monotonic(),))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def copied(folder: Path, at: dict[str, int]) -> None:
    """Copy configs/ with this bench's addresses, and everything five times as fast."""
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(CONFIGS / name, folder / name)
    for target, port in (
        ("rtpverify", at["metrics"]),
        ("alertmanager", at["alertmanager"]),
        ("prometheus", at["prometheus"]),
    ):
        path = folder / "prometheus" / "targets" / f"{target}.yml"
        path.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", path.read_text()))
    path = folder / "prometheus" / "prometheus.yml"
    path.write_text(path.read_text().replace("_interval: 5s", "_interval: 1s"))
    path = folder / "alertmanager" / "alertmanager.yml"
    text = (
        path.read_text()
        .replace("group_wait: 5s", "group_wait: 0s")
        .replace("group_interval: 1m", "group_interval: 1s")
        .replace("127.0.0.1:9465", f"127.0.0.1:{at['webhook']}")
    )
    path.write_text(text)
    (folder / "legs.sdp").write_text(LEGS.format(**at))
    (folder / "bench.toml").write_text(DAEMON.format(**at))


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Run everything; yield once Prometheus has seen the daemon and faults are on their way."""
    at = ports("metrics", "prometheus", "alertmanager", "main", "ill", "late", "one", "two")
    made = Bench(f"http://127.0.0.1:{at['prometheus']}", f"http://127.0.0.1:{at['metrics']}/metrics", folder)
    with ExitStack() as stack:
        at["webhook"] = stack.enter_context(webhook(made.alerts))
        copied(folder, at)
        stack.enter_context(
            program(sys.executable, "-m", "rtpverify", "serve", folder / "bench.toml", log=folder / "daemon.log")
        )
        stack.enter_context(
            program(
                "prometheus-alertmanager",
                f"--config.file={folder / 'alertmanager' / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager-data'}",
                f"--web.listen-address=127.0.0.1:{at['alertmanager']}",
                "--cluster.listen-address=",
                log=folder / "alertmanager.log",
            )
        )
        stack.enter_context(
            program(
                "prometheus",
                f"--config.file={folder / 'prometheus' / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus-data'}",
                f"--web.listen-address=127.0.0.1:{at['prometheus']}",
                "--enable-feature=exemplar-storage",
                "--web.console.libraries=/nonexistent",
                log=folder / "prometheus.log",
            )
        )
        up = until(lambda: made.ask('up{job="rtpverify"} == 1', instant=True))
        assert up, (folder / "daemon.log").read_text() + (folder / "prometheus.log").read_text()
        stack.enter_context(sending(at))
        yield made
