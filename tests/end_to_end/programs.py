"""A real sender, a capture of what it sends, and rtpverify as a process of its own, together."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rtpverify.cli.app import main
from tests.helpers.patience import PATIENCE_SECONDS


@dataclass
class Run:
    """One live run: what rtpverify said, and the capture of the same packets."""

    exit_status: int
    result: dict[str, Any]
    capture: Path
    port: int

    @property
    def stream(self) -> dict[str, Any]:
        [stream] = self.result["streams"]
        return stream


def require(*programs: str) -> None:
    """Skip where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_capture(capture: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Check a capture; return exit status and result."""
    outcome = CliRunner().invoke(main, ["check", str(capture), *options, "--json", "-"], catch_exceptions=False)
    assert outcome.exit_code in (0, 1), outcome.stderr
    return outcome.exit_code, json.loads(outcome.stdout)


def run_live(folder: Path, port: int, sender: Sequence[str], options: Sequence[str], duration: float | None) -> Run:
    """Let ``rtpverify check`` listen while a sender sends and dumpcap captures the same packets.

    The check ends after ``duration`` seconds, or when the stream has ended, which is no fault then.
    """
    require(sender[0], "dumpcap", "tshark")
    capture, result = folder / "run.pcapng", folder / "live.json"
    command = [sys.executable, "-m", "rtpverify", "check", f"rtp://127.0.0.1:{port}", *options]
    command += ["--duration", str(duration or PATIENCE_SECONDS), "--json", str(result)]
    command += ["--until-end"] if duration is None else []
    with contextlib.ExitStack() as stack:
        stack.enter_context(_capturing(port, capture))
        check = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(check.kill)
        wait_until_bound(port, check)
        subprocess.run(sender, check=True, timeout=PATIENCE_SECONDS, capture_output=True)
        _, stderr = check.communicate(timeout=PATIENCE_SECONDS)
    assert check.returncode in (0, 1), stderr
    return Run(check.returncode, json.loads(result.read_text(encoding="utf-8")), capture, port)


@contextlib.contextmanager
def _capturing(port: int, path: Path) -> Iterator[None]:
    """Capture one port on loopback; skip where that is not allowed."""
    command = ["dumpcap", "-q", "-i", "lo", "-f", f"udp dst port {port}", "-w", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line.strip())
                if line.startswith("File:"):  # dumpcap says so once it captures
                    break
            else:
                pytest.skip(f"dumpcap captures nothing on loopback: {' '.join(said)}")
            yield
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            report = process.stderr.read()
            assert "/0 (pcap:0/dumpcap:0" in report, report  # nothing is missing from the capture
        finally:
            process.kill()


def wait_until_bound(port: int, process: subprocess.Popen[str]) -> None:
    """Return once the process listens; to ask the kernel is to disturb nobody."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    entry = f":{port:04X} "
    while time.monotonic() < deadline and process.poll() is None:
        if entry in Path("/proc/net/udp").read_text(encoding="ascii"):
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"rtpverify does not listen: {process.communicate()[1]}")
