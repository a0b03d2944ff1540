"""Where descriptors run out, the server does without first, and reception loses nothing."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtpverify.daemon import descriptors
from tests.daemon.beside import free_ports, sending
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
LIMIT = 192
PACKETS, LOST = 1500, 3


class Daemon:
    """A daemon in a process of its own with few descriptors, and what it writes."""

    def __init__(self, folder: Path, program: list[str], *, limit: int = LIMIT) -> None:
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "serve", str(folder / "bench.toml")],
                stderr=log,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),  # noqa: PLW1509
            )
        self.wait(lambda: self.logged("listening"))
        self.url = str(self.logged("listening")[0]["page"])

    def wait(self, holds: Callable[[], object]) -> None:
        def holds_or_ended() -> object:
            assert self.process.poll() is None, self.log.read_text()
            return holds()

        wait_until(holds_or_ended, self.log.read_text)

    def logged(self, event: str) -> list[dict[str, object]]:
        lines = [line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def open_descriptors(self) -> dict[int, str]:
        found = {}
        for path in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found[int(path.name)] = str(path.readlink())
        return found

    def packets(self, count: str, trust: ssl.SSLContext | None = None) -> int | None:
        """Return a count of stream ``a``; None where the server could not answer."""
        try:
            with urllib.request.urlopen(f"{self.url}metrics", context=trust, timeout=30) as answer:  # noqa: S310
                found = re.search(rf'rtpverify_packets_{count}_total{{stream="a"}} (\d+)', answer.read().decode())
        except OSError:
            return None
        return int(found[1]) if found else None

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 0, self.log.read_text()


@contextlib.contextmanager
def daemon(folder: Path, program: list[str], configuration: str) -> Iterator[Daemon]:
    (folder / "bench.toml").write_text(configuration)
    running = Daemon(folder, program)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def configuration(port: int, metrics: str = "", more: str = "") -> str:
    return (
        f'[metrics]\nlisten = "127.0.0.1:0"\n{metrics}\n[log]\nformat = "json"\n{more}\n[[stream]]\nname = "a"\n'
        f'source = "rtp://127.0.0.1:{port}"\nencoding = "L24/48000/2"\nreference = "tone:1283"\n'
        "limits.max_stall_seconds = 60\n"
    )


@linux_only
@pytest.mark.parametrize("encrypted", [False, True])
def test_connections_that_never_ask_leave_reception_and_the_others_alone(
    tmp_path: Path, encrypted: bool, request: pytest.FixtureRequest
) -> None:
    (port,) = free_ports(1)
    metrics, trust = "", None
    if encrypted:
        names: dict[str, str] = request.getfixturevalue("certificate")
        metrics = "\n".join(f'{name} = "{path}"' for name, path in names.items())
        trust = ssl.create_default_context(cafile=names["certificate"])
    with daemon(tmp_path, ["-m", "rtpverify"], configuration(port, metrics)) as running:
        host, _, number = running.url.split("/")[2].partition(":")
        first_reserved = LIMIT - min(descriptors.RESERVED, LIMIT // 2)
        silent = []
        for _ in range(2 * LIMIT):
            with contextlib.suppress(OSError):
                silent.append(socket.create_connection((host, int(number)), timeout=PATIENCE_SECONDS))
        sockets = [at for at, name in running.open_descriptors().items() if name.startswith("socket")]
        assert len(sockets) > 8
        assert max(sockets) <= first_reserved  # the one that is looked at before it is refused
        with sending(port, seconds=PACKETS / 1000, faults=[f"loss:at=1,packets={LOST}"]) as sender:
            sender.wait(PATIENCE_SECONDS)
        running.wait(lambda: running.packets("received", trust) == PACKETS - LOST)
        running.wait(lambda: running.packets("lost", trust) == LOST)
        for one in silent:
            one.close()
        running.end()
    assert not running.logged("defect of rtpverify")


SINKS = """
[history]
path = "events.sqlite"

[event_log]
path = "events.jsonl"

[recorder]
path = "evidence"

[[webhook]]
url = "http://127.0.0.1:9/"
"""


@linux_only
def test_reception_is_exact_while_nothing_can_be_opened(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    program = [str(Path(__file__).parent / "exhausted.py")]
    with daemon(tmp_path, program, configuration(port, more=SINKS)) as running:
        running.wait(lambda: running.packets("received") == 0)
        running.process.send_signal(signal.SIGUSR1)
        running.wait(lambda: len(running.open_descriptors()) == LIMIT)
        with sending(port, seconds=PACKETS / 1000, faults=[f"loss:at=1,packets={LOST}"]) as sender:
            sender.wait(PATIENCE_SECONDS)
        running.wait(lambda: [line for line in running.logged("event") if line["kind"] == "gap"])
        running.wait(lambda: running.logged("stream down"))  # all was taken in
        assert len(running.open_descriptors()) == LIMIT
        running.process.send_signal(signal.SIGUSR2)
        running.wait(lambda: running.packets("received") == PACKETS - LOST)
        running.wait(lambda: running.packets("lost") == LOST)
        running.wait(lambda: '"gap"' in read(tmp_path / "events.jsonl"))
        running.end()
    assert not running.logged("defect of rtpverify")
    listed = [sys.executable, "-m", "rtpverify", "events", str(tmp_path / "events.sqlite"), "--kind", "gap"]
    assert "gap" in subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize(("soft", "hard"), [(64, 128), (128, 128)])
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int) -> None:
    program = (
        "import resource; from rtpverify.daemon import descriptors as d; d.raise_limit();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], d.first_reserved())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(hard), str(hard - hard // 2)]


def test_of_a_high_limit_so_many_are_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for soft, first in ((4096, 4096 - descriptors.RESERVED), (resource.RLIM_INFINITY, sys.maxsize)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, limit))
        assert descriptors.first_reserved() == first
