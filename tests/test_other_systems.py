"""What runs where there is nothing of Linux: everything but ``recvmmsg`` and the packet ring."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import soundfile

from tests.daemon.beside import free_ports
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

ENCODING = ("--encoding", "L24/48000/2", "--reference", "tone:1283")


def on(system):
    """Return the command line as it is on another system, as far as that can be shown here."""
    return [sys.executable, "-m", "tests.helpers.elsewhere", system]


@pytest.fixture
def tone(tmp_path):
    path = tmp_path / "tone.wav"
    wave = 0.1 * np.sin(2 * np.pi * 1283 * np.arange(48_000) / 48_000)
    soundfile.write(path, np.stack([wave, wave], axis=1), 48_000, "PCM_24")
    return path


@contextlib.contextmanager
def ended_by(process, number):
    """End a process by a signal, or kill it where something fails."""
    try:
        yield
        process.send_signal(number)
        process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()


def test_files(tone):
    for arguments, status in (
        (("check", tone, "--reference", "tone:1283", "--json", tone.with_name("result.json")), 0),
        (("compare", tone, tone), 0),
        (("inspect", tone), 0),
    ):
        run = subprocess.run([*on("win32"), *map(str, arguments)], capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (status, "")
    assert json.loads(tone.with_name("result.json").read_text())["verdict"] == "pass"


def test_live(tmp_path):
    (port,) = free_ports(1)
    where, report = f"rtp://127.0.0.1:{port}", tmp_path / "live.json"
    sending = subprocess.Popen([*on("darwin"), "send", where], stderr=subprocess.DEVNULL)
    checking = subprocess.Popen([*on("darwin"), "check", where, *ENCODING, "--duration", "1", "--json", str(report)])
    with ended_by(sending, signal.SIGINT):
        assert checking.wait(PATIENCE_SECONDS) in (0, 1, 3)
    result = json.loads(report.read_text())
    assert result["streams"][0]["transport"]["packets_received"] > 100


def test_daemon(tmp_path):
    port, page = free_ports(2)
    (tmp_path / "bench.toml").write_text(
        f'[log]\nformat = "json"\n[metrics]\nlisten = "127.0.0.1:{page}"\n[history]\npath = "events.sqlite"\n'
        '[recorder]\npath = "evidence"\n[event_log]\npath = "events.jsonl"\n'
        f'[[stream]]\nname = "a"\nsource = "rtp://127.0.0.1:{port}"\nencoding = "L24/48000/2"\n'
        'reference = "tone:1283"\n'
    )
    log = tmp_path / "log"
    with log.open("w") as file:
        serving = subprocess.Popen([*on("win32"), "serve", str(tmp_path / "bench.toml")], stderr=file)
    with ended_by(serving, signal.SIGINT):
        wait_until(lambda: '"listening"' in log.read_text() or serving.poll() is not None, log.read_text)
        fault = ("--fault", "click:at=1,frames=3,size=0.01", "--fault", "loss:at=1.2,packets=3")
        subprocess.run(
            [*on("win32"), "send", f"rtp://127.0.0.1:{port}", "--duration", "1.5", *fault], capture_output=True
        )
        assert serving.poll() is None, log.read_text()
        wait_until(lambda: list((tmp_path / "evidence").glob("*_click_*")), log.read_text)
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics", timeout=PATIENCE_SECONDS).read().decode()
        assert re.search(r'rtpverify_events_total\{stream="a",kind="click"[^}]*\} 1', metrics)
    assert serving.returncode == 0, log.read_text()
    kinds = {json.loads(line)["kind"] for line in (tmp_path / "events.jsonl").read_text().splitlines()}
    assert {"click", "gap"} <= kinds
    events = subprocess.run(
        [*on("win32"), "events", str(tmp_path / "events.sqlite"), "--kind", "click"], capture_output=True
    )
    assert events.returncode == 0
