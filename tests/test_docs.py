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
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile
import yaml

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
    "pip install . pytest",
    "pytest",  # test_the_build_of_the_tutorial_turns_red
    "pytest --rtp-evidence=evidence --junitxml=junit.xml",
    "rtpverify example-config",  # tests/test_package.py
    "make docs",  # .ci/run
    "make demo",  # .ci/run's tests of the demo
    "pip install 'rtpverify[nats]'",
    "nats-server -js",  # tests/daemon/nats
    "rtpverify fleet nats://nats.example.com:4222",  # tests/commands/fleet
    "rtpverify fleet nats://nats.example.com:4222 --watch",
    "rtpverify fleet nats://nats.example.com:4222 --json",
    "rtpverify fleet nats://nats.example.com:4222 --listen 127.0.0.1:9465",
    "make test",
    "make lint",
    "make format",
    "make bench-live",
    "make bench-latency",
    "make bench-files",
    "make bench-capture",
    "make bench-scale",
    "make bench-regression",
    "make dashboards",  # tests/observability
    "docker compose --profile demo up",
    "promtool check rules configs/prometheus/rules/recording.yml configs/prometheus/rules/alerts.yml",
    "amtool check-config configs/alertmanager/alertmanager.yml",
    (
        r"""sed -i "s|runbook: '\(.*\) in docs/alerts.md'|runbook_url: https://docs.example/alerts#\L\1|" """
        "configs/prometheus/rules/alerts.yml"
    ),  # tests/observability
    "rtpverify demo",  # tests/test_demo.py
    "rtpverify selftest",  # tests/commands/selftest
    "rtpverify selftest --encoding L16/48000/2 --reference tone:997,1499 --profile analog --html selftest.html",
    (
        "rtpverify batch 's3://recordings/2026/**/*.wav' --out s3://recordings/results --scheduler tcp://192.0.2.10:8786"
    ),  # tests/commands/batch: test_a_store_as_source_and_target, test_cluster.py
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


def test_the_examples_of_the_api(studio, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(studio)
    flags = doctest.REPORT_NDIFF | doctest.ELLIPSIS
    with _alone(tmp_path_factory.getbasetemp().parent):
        text = _patient((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
        found = doctest.DocTestRunner(optionflags=flags).run(
            doctest.DocTestParser().get_doctest(text, {}, "api.md", "docs/api.md", 0)
        )
    assert found.attempted > 35
    assert found.failed == 0


def _patient(text):
    """Let a machine that is busy stall a sender: that is no fault of the example."""
    return re.sub(r"""(encoding="[^"]*", reference="[^"]*")\)""", r"""\1, limits={"max_stall_seconds": 60})""", text)


def _python(page):
    """Return the Python of a page, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _files(page):
    """Return the files that a page shows, by their names: blocks that begin with one."""
    named = ((re.match(r"# (\w+\.py)\n", block), block) for block in _python(page))
    return {name[1]: block for name, block in named if name}


@pytest.fixture
def bench(tmp_path, tmp_path_factory):
    """Run a command in a folder with files of a bench; ``rtpverify`` is that of this checkout, and so is the plugin."""
    programs = tmp_path / "programs"
    programs.mkdir()
    plugin = "" if entry_points(group="pytest11", name="rtpverify") else "-p rtpverify.pytest_plugin"
    for name, arguments in (("rtpverify", "-m rtpverify"), ("pytest", f"-m pytest -p no:labgrid {plugin}")):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "200"}
    ini = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"

    def run(command, files):
        for name, text in {"pytest.ini": ini, **files}.items():
            (tmp_path / name).write_text(_patient(text))
        with _alone(tmp_path_factory.getbasetemp().parent):
            command = ["sh", "-c", command]
            return subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)

    return run


def test_the_build_of_the_tutorial_turns_red(bench, tmp_path):
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    [printed] = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    files = _files("docs/tutorial.md")
    assert sorted(files) == ["conftest.py", "test_audio.py", "test_more.py"]
    green = bench("pytest", files)
    assert green.returncode == 0, green.stdout
    assert "2 passed" in green.stdout
    [faults] = [block for block in _python("docs/tutorial.md") if block.startswith("FAULTS = ")]
    files["conftest.py"] = files["conftest.py"].replace("FAULTS = []\n", faults)
    red = bench("pytest --rtp-evidence=evidence --junitxml=junit.xml", files)
    assert red.returncode == 1, red.stdout
    assert "1 failed, 1 passed" in red.stdout
    said = [_shape(line) for line in red.stdout.splitlines()]
    assert [line for line in printed.splitlines() if _shape(line) not in said] == []
    [again] = re.findall(r"^```bash\n(rtpverify check .*?)\n```$", page, re.MULTILINE)
    assert bench(again, {}).returncode == 1
    suites = ET.fromstring((tmp_path / "junit.xml").read_bytes())  # noqa: S314
    reasons = {item.get("value") for item in suites.iter("property") if item.get("name") == "rtpverify.reason"}
    assert "1 gap, 1 dropout" in reasons


def test_the_script_of_the_tutorial_is_a_build_without_pytest(bench, tmp_path):
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    [script] = re.findall(r"^```bash\n(#!/bin/sh\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ended = bench(script, {})
    assert ended.returncode == 1
    assert "Smallest detectable fault" in re.sub(r"\s+", " ", ended.stdout)
    suites = ET.fromstring((tmp_path / "junit.xml").read_bytes())  # noqa: S314
    failures = [failure.attrib for failure in suites.iter("failure")]
    assert {"type": "dropout", "message": "muted for 960 frames"} in failures
    assert "muted for 960 frames" in (tmp_path / "report.html").read_text()


def test_the_tests_of_the_page_on_pytest_and_of_the_readme_pass(bench):
    [readme] = _python("README.md")
    assert readme in _python("docs/howto.md")
    device = """
import pytest

@pytest.fixture
def start_the_device(rtp_sender):
    return lambda: rtp_sender("rtp://127.0.0.1:5004")
"""
    readme = readme.replace("239.1.2.3", "127.0.0.1").replace("(rtp_verifier)", "(rtp_verifier, start_the_device)")
    files = {**_files("docs/pytest.md"), "test_readme.py": "import pytest\n" + readme, "conftest.py": device}
    ended = bench("pytest", files)
    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout


def test_the_files_for_ci_run_what_the_tutorial_runs():
    commands = {"pytest --rtp-evidence=evidence --junitxml=junit.xml", "pip install wheels/rtpverify-*.whl pytest"}
    github = yaml.safe_load((ROOT / "examples" / "ci" / "github-actions.yml").read_text())
    steps = github["jobs"]["audio"]["steps"]
    assert {step["run"] for step in steps if "run" in step} == commands
    gitlab = yaml.safe_load((ROOT / "examples" / "ci" / "gitlab-ci.yml").read_text())
    assert set(gitlab["audio"]["script"]) == commands
    [shown] = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    assert {**gitlab["audio"], **yaml.safe_load(shown)["audio"]} == gitlab["audio"]
    jenkins = (ROOT / "examples" / "ci" / "Jenkinsfile").read_text()
    assert set(re.findall(r"sh '\.venv/bin/(.*)'", jenkins)) == commands


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


def test_what_is_covered_elsewhere_is_in_the_documentation():
    assert {example.command for example in EXAMPLES} >= COVERED_ELSEWHERE


RUN_HERE = [example for example in EXAMPLES if example.command not in COVERED_ELSEWHERE]


@pytest.mark.parametrize("example", RUN_HERE, ids=lambda example: f"{example.place} {example.command}")
def test_example(example, folder, tmp_path_factory):
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
