"""The daemon as a process: signals at any time, what systemd is told, configurations that are only checked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from rtpverify.cli import app as cli
from rtpverify.daemon import process as life
from rtpverify.daemon.configuration import read_config
from rtpverify.daemon.sd_notify import Notifier
from rtpverify.daemon.service import Service
from rtpverify.errors import ConfigurationError
from tests.daemon.test_reload import free_ports, sdp, stream
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

HEAD = '[metrics]\nlisten = "127.0.0.1:0"\n[log]\nformat = "json"\n'


@contextmanager
def listening(folder: Path, *, abstract: bool = False) -> Iterator[tuple[socket.socket, str]]:
    """Stand in for systemd; yield the socket and what NOTIFY_SOCKET says."""
    name = f"rtpverify-{os.getpid()}-{time.monotonic_ns()}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}" if abstract else name)
        sock.settimeout(PATIENCE_SECONDS)
        yield sock, f"@{name}" if abstract else name


def next_of(sock: socket.socket, first: str) -> dict[str, str]:
    """Return the next message of a kind, skipping others."""
    while True:
        fields = dict(line.split("=", 1) for line in sock.recv(4096).decode().splitlines())
        if first in fields:
            return fields


@contextmanager
def process(path: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "rtpverify", "serve", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def log_of(running: subprocess.Popen[str]) -> list[dict[str, object]]:
    _, log = running.communicate(timeout=PATIENCE_SECONDS)
    return [json.loads(line) for line in log.splitlines()]


def test_systemd_is_told_of_every_turn_of_its_life(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    path = tmp_path / "bench.toml"
    path.write_text(HEAD + stream("a", port))
    with (
        listening(tmp_path) as (sock, name),
        process(path, NOTIFY_SOCKET=name, WATCHDOG_USEC="200000") as running,
    ):
        assert next_of(sock, "READY")["STATUS"] == "0 of 1 streams up"
        signs = [time.monotonic() for _ in range(5) if next_of(sock, "WATCHDOG")["WATCHDOG"] == "1"]
        assert signs[-1] - signs[0] >= 0.3
        running.send_signal(signal.SIGHUP)
        before_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        reloading = next_of(sock, "RELOADING")
        assert abs(int(reloading["MONOTONIC_USEC"]) - before_usec) < 10_000_000
        next_of(sock, "READY")
        path.write_text("nonsense")
        running.send_signal(signal.SIGHUP)
        next_of(sock, "RELOADING")
        next_of(sock, "READY")
        running.send_signal(signal.SIGTERM)
        next_of(sock, "STOPPING")
        lines = log_of(running)
        assert running.returncode == 0
    told = [line["event"] for line in lines]
    assert told.index("configuration applied") < told.index("configuration not applied") < told.index("summary")
    assert told[-1] == "stopped"


async def test_only_a_receive_loop_that_goes_round_feeds_the_watchdog(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    path = tmp_path / "bench.toml"
    path.write_text(HEAD + stream("a", port))
    stop = asyncio.Event()
    with listening(tmp_path) as (sock, name):
        sock.setblocking(False)
        notifier = Notifier(name, 100_000_000)
        async with Service(read_config(path), structlog.get_logger().bind(), notifier=notifier) as service:
            await asyncio.sleep(0.3)
            with pytest.raises(BlockingIOError):
                sock.recv(4096)
            running = asyncio.create_task(service.run(stop))
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert (await asyncio.get_running_loop().sock_recv(sock, 4096)).startswith(b"READY=1")
                assert (await asyncio.get_running_loop().sock_recv(sock, 4096)).startswith(b"WATCHDOG=1")
            stop.set()
            await running


@pytest.mark.parametrize("delay_seconds", [0.0, 0.6])
def test_being_stopped_while_it_starts_up_is_a_clean_end(tmp_path: Path, delay_seconds: float) -> None:
    (port,) = free_ports(1)
    path = tmp_path / "bench.toml"
    path.write_text(HEAD + stream("a", port))
    with process(path) as running:
        wait_for_daemon(running.pid)
        time.sleep(delay_seconds)
        running.send_signal(signal.SIGTERM)
        lines = log_of(running)
        assert running.returncode == 0
    assert [line["event"] for line in lines][-2:] == ["summary", "stopped"]


def wait_for_daemon(pid: int) -> None:
    """Wait until the daemon minds signals, of which SIGHUP is only its own: before that there is no daemon yet."""

    def minds() -> bool:
        text = Path(f"/proc/{pid}/status").read_text()
        caught = int(next(line for line in text.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        return bool(caught >> (signal.SIGHUP - 1) & 1)

    wait_until(minds)


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_reach_a_socket_by_path_or_abstract_name(tmp_path: Path, abstract: bool) -> None:
    with listening(tmp_path, abstract=abstract) as (sock, name):
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"})
        notifier.ready("fine")
        assert sock.recv(4096) == b"READY=1\nSTATUS=fine"
        for now_ns in (0, 1_400_000_000, 1_500_000_000, 1_600_000_000):
            notifier.alive(now_ns, lambda: "up")
        notifier.stopping()
        assert [sock.recv(4096) for _ in range(3)] == [b"WATCHDOG=1\nSTATUS=up"] * 2 + [b"STOPPING=1"]
        notifier.close()
        notifier.close()
        notifier.stopping()


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid() + 1)}]
)
def test_without_a_supervisor_nothing_is_said(environment: dict[str, str]) -> None:
    notifier = Notifier.from_environment(environment)
    notifier.ready("")
    notifier.alive(0, lambda: pytest.fail("nobody asked"))
    notifier.close()


def test_a_supervisor_that_does_not_listen_holds_nothing_up(tmp_path: Path) -> None:
    with listening(tmp_path) as (_, name):
        notifier = Notifier(name, 2)
        for now_ns in range(5000):
            notifier.alive(now_ns, lambda: "up")
    notifier.alive(10_000, lambda: "gone")
    notifier.close()


def test_a_configuration_is_checked_with_the_files_it_names(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    folder = '[[folder]]\npath = "streams"\nreference = "tone"\n'
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "a.sdp").write_text(sdp(5006))
    path.write_text(HEAD + stream("b", 5004) + folder)
    done = CliRunner().invoke(cli.main, ["serve", "--check-config", str(path)])
    assert (done.exit_code, done.output) == (0, f"{path}: 2 streams\n")
    (tmp_path / "streams" / "a.sdp").write_text("v=0")
    (tmp_path / "streams" / "b.sdp").write_text("nothing")
    done = CliRunner().invoke(cli.main, ["serve", "--check-config", str(path)])
    assert done.exit_code == 2
    assert [line.partition("streams/")[2][:5] for line in done.output.splitlines()] == ["a.sdp", "b.sdp"]
    path.write_text(HEAD + stream("b", 5004) + folder.replace("streams", "nowhere"))
    with pytest.raises(ConfigurationError) as caught:
        life.check(path)
    assert str(caught.value) == f'{path}:13: folder[1].path = "nowhere": there is no such folder'
