"""Every command that the documentation shows is run, and what it is said to print is what it prints."""

import doctest
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile

from rtpverify.evidence.packet_history import PacketHistory, select
from rtpverify.evidence.pcap_writer import pcap
from rtpverify.history.store import Store
from tests.helpers.documents import NOW_NS, document
from tests.helpers.faulty import packets
from tests.helpers.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[1]

COVERED_ELSEWHERE = {
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "pip install .",  # tests/test_package.py
    "rtpverify example-config",  # tests/test_package.py
    "make docs",  # .ci/run
    "make demo",  # .ci/run's tests of the demo
    "make test",
    "make lint",
    "make format",
    "make bench-live",
    "make bench-latency",
    "make bench-check",
    "make dashboards",  # tests/observability
    "docker compose up",
    "docker compose --profile demo up",
    "promtool check rules configs/prometheus/rules/recording.yml configs/prometheus/rules/alerts.yml",
    "amtool check-config configs/alertmanager/alertmanager.yml",
    (
        r"""sed -i "s|runbook: '\(.*\) in docs/alerts.md'|runbook_url: https://docs.example/alerts#\L\1|" """
        "configs/prometheus/rules/alerts.yml"
    ),  # tests/observability
    "rtpverify demo",  # tests/test_demo.py
    (
        "rtpverify batch 's3://recordings/2026/**/*.wav' --out s3://recordings/results --scheduler tcp://192.0.2.10:8786"
    ),  # tests/commands/batch: test_a_store_as_source_and_target, test_cluster.py
    "curl http://127.0.0.1:9464/metrics",  # tests/daemon
}
"""Commands that are not run here, and what holds them instead."""

OPENS_PORTS = re.compile(r"rtp://|\.sdp|serve|discover")

UNTIL_STOPPED = ("rtpverify serve configs",)
"""Commands that go on until SIGTERM, and then end with status 0."""

SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=tone
c=IN IP4 127.0.0.1
t=0 0
m=audio 5004 RTP/AVP 97
a=rtpmap:97 L24/48000/2
a=ptime:1
"""


@dataclass(frozen=True)
class Example:
    place: str
    command: str
    output: str | None
    """What the documentation says is printed; None where it says nothing."""


def _examples():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for block in re.finditer(r"^```(sh|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, block.start()) + 1
            place = f"{path.name}:{line}"
            if block[1] == "sh":
                for written in block[2].splitlines():
                    command = re.sub(r"(^| )#.*", "", written).strip()
                    if command:
                        yield Example(place, command, None)
            else:
                for part in re.split(r"^\$ ", block[2], flags=re.MULTILINE)[1:]:
                    command, _, output = part.partition("\n")
                    yield Example(place, command.strip(), output.strip() or None)


EXAMPLES = list({(example.command, example.output): example for example in _examples()}.values())


@pytest.fixture
def folder(tmp_path, write_capture, studio):
    """A folder with the inputs that the documentation names."""
    write_capture("capture.pcap", lost=(700, 701), jitter_ns=20_000)
    tone = 0.5 * np.sin(2 * np.pi * 997 * np.arange(96000) / 48000)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1), 48000, "PCM_24")
    noise = np.round(np.random.default_rng(1).uniform(-(2**13), 2**13, (96000, 2))) / 2**15
    soundfile.write(tmp_path / "reference.wav", noise, 48000, "PCM_16")
    soundfile.write(tmp_path / "received.wav", np.delete(noise, slice(50000, 50048), axis=0), 48000, "PCM_16")
    (tmp_path / "stream.sdp").write_text(SDP)
    (tmp_path / "limits.toml").write_text("max_thd_n_db = -60\n")
    with closing(Store(tmp_path / "events.sqlite", max_age_seconds=1e9, max_bytes=1 << 30)) as history:
        history.write([document(number) for number in range(3)], NOW_NS)
    (tmp_path / "packets.pcap").write_bytes(_evidence())
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    shutil.copy(studio / "studio.wav", tmp_path)
    shutil.copy(studio / "spectra.npz", tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    """A folder with what examples/look_at_a_recording.py makes, and spectra that inspect wrote."""
    path = tmp_path_factory.mktemp("studio")
    _run([ROOT / "examples" / "look_at_a_recording.py"], path)
    tone = np.round(2**22 * np.sin(2 * np.pi * 997 * np.arange(96000) / 48000)) / 2**23
    soundfile.write(path / "tone.wav", np.stack([tone, tone], axis=1), 48000, "PCM_24")
    _run(["-m", "rtpverify", "inspect", "tone.wav", "--npz", "spectra.npz", "--show", "spectrogram", "--phase"], path)
    return path


def _run(arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, check=True, capture_output=True)


def test_the_examples_of_the_api(studio, monkeypatch):
    monkeypatch.chdir(studio)
    found = doctest.testfile(str(ROOT / "docs" / "api.md"), module_relative=False, optionflags=doctest.REPORT_NDIFF)
    assert found.attempted > 20
    assert found.failed == 0


def test_the_build_of_the_tutorial_turns_red(tmp_path, tmp_path_factory):
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    [script] = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [printed] = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    program = tmp_path / "rtpverify"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rtpverify "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with _alone(tmp_path_factory.getbasetemp().parent):
        command = ["sh", "-c", script]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    lines = [_shape(line) for line in ended.stdout.splitlines()]
    assert [line for line in printed.splitlines() if _shape(line) not in lines] == []
    assert "Smallest detectable fault" in text
    assert "Smallest detectable fault" in ended.stdout
    suites = ET.fromstring((tmp_path / "junit.xml").read_bytes())  # noqa: S314
    failures = [failure.attrib for failure in suites.iter("failure")]
    assert {"type": "dropout", "message": "muted for 960 frames"} in failures
    assert "muted for 960 frames" in (tmp_path / "report.html").read_text()


def _evidence():
    """Return the packets of a slip, as the flight recorder keeps them."""
    ring = PacketHistory(10, 1 << 30)
    for batch in packets(["slip:at=1,frames=48"], 2):
        ring.put(batch)
    return pcap(select(ring.pieces(), lambda _: True, [0x5EED0001], 0, 1 << 62))


def test_there_are_examples():
    assert {example.place.partition(":")[0] for example in EXAMPLES} >= {"README.md", "usage.md", "result.md"}


@contextmanager
def _alone(folder):
    """Let one test at a time, of all that run side by side, open the ports that the documentation names."""
    with (folder / "ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.place} {example.command}")
def test_example(example, folder, tmp_path_factory):
    if example.command in COVERED_ELSEWHERE:
        return
    with _alone(tmp_path_factory.getbasetemp().parent) if OPENS_PORTS.search(example.command) else nullcontext():
        _try(example, folder)


def _try(example, folder):
    """Run an example."""
    # The words are the documentation's, the time is ours.
    program, *arguments = shlex.split(re.sub(r"--duration \S+", "--duration 0.3", example.command))
    assert program == "rtpverify", f"{example.command!r} is neither run nor listed as covered elsewhere"
    process = subprocess.Popen(
        [sys.executable, "-m", "rtpverify", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
    )
    if example.command.startswith(UNTIL_STOPPED):
        assert process.stderr.readline()  # it is up
        process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert "Traceback" not in stderr
    allowed = {0} if example.command.startswith(UNTIL_STOPPED) else {0, 1, 3}
    assert process.returncode in allowed, stderr
    if example.output is not None:
        assert _shape(stdout) == _shape(example.output)


def _shape(output):
    """Return the output's words, numbers and widths apart: the last digits of a measurement differ between machines."""
    return re.sub(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]\d+)?", "0", output).split()
