"""How commands end: real processes, with real pipes, devices and signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtpverify.commands.output import write_text
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

COMMAND = [sys.executable, "-m", "rtpverify"]


@pytest.fixture
def clean(tmp_path):
    """A recording that passes."""
    path = tmp_path / "clean.wav"
    write_tone(path, 2.0)
    return path


@pytest.fixture
def faulty(tmp_path):
    path = tmp_path / "faulty.wav"
    write_tone(path, 2.0, lost=slice(48_000, 48_100))
    return path


def write_tone(path, seconds, lost=slice(0)):
    tone = 0.1 * np.sin(2 * np.pi * 1283 * np.arange(round(48_000 * seconds)) / 48_000)
    tone[lost] = 0
    soundfile.write(path, tone, 48_000, "PCM_24")


@pytest.fixture
def endless(tmp_path):
    """A recording of hours, most of it a hole in the disk: reading it takes longer than any test waits."""
    path = tmp_path / "endless.wav"
    write_tone(path, 1.0)
    content = bytearray(path.read_bytes())
    size = 2_000_000_000
    content[4:8] = (size + 36).to_bytes(4, "little")
    content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    os.truncate(path, 44 + size)
    return path


def run(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run([*COMMAND, *map(str, arguments)], text=True, **options)


def into(place, *arguments):
    """Run a command whose standard output goes to a file or device."""
    with Path(place).open("w") as out:
        return run(*arguments, stdout=out)


def into_closed_pipe(*arguments, **options):
    """Run a command whose reader has gone before it writes anything."""
    read, write = os.pipe()
    os.close(read)
    try:
        return run(*arguments, stdout=write, **options)
    finally:
        os.close(write)


class TestReaderThatGoes:
    """``check ... | head -1`` ends as ``check ...`` does."""

    def test_verdict_keeps_its_status(self, clean, faulty):
        for path, status in ((clean, 0), (faulty, 1)):
            outcome = into_closed_pipe("check", path)
            assert (outcome.returncode, outcome.stderr) == (status, "")

    @pytest.mark.parametrize("form", ["json", "junit", "html"])
    def test_reports(self, faulty, form):
        outcome = into_closed_pipe("check", faulty, f"--{form}", "-")
        assert outcome.returncode == 1
        assert outcome.stderr.startswith("FAIL")

    def test_report_into_the_pipe_by_its_path(self, faulty):
        outcome = into_closed_pipe("check", faulty, "--json", "/dev/stdout")
        assert (outcome.returncode, outcome.stderr) == (1, "")

    def test_reader_that_goes_after_a_line(self, faulty):
        command = f"{sys.executable} -m rtpverify check {faulty} --json - 2>&1 | head -n 1; echo ${{PIPESTATUS[0]}}"
        outcome = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert outcome.stdout == "{\n1\n"

    def test_other_commands(self, clean, faulty):
        assert into_closed_pipe("compare", clean, faulty).returncode == 1
        assert into_closed_pipe("compare", clean, clean).returncode == 0
        for arguments in (["inspect", clean, "--json", "-"], ["inspect", clean], ["--help"], ["--version"]):
            outcome = into_closed_pipe(*arguments)
            assert outcome.returncode == 0
            assert "Traceback" not in outcome.stderr

    def test_standard_error_that_nobody_reads(self, clean, tmp_path):
        read, write = os.pipe()
        os.close(read)
        assert run("check", clean, stderr=write).returncode == 0
        assert run("check", tmp_path / "none.wav", stderr=write).returncode == 2
        os.close(write)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
class TestOutputThatCannotBeWritten:
    """Status 2, and one line that says what."""

    def test_standard_output(self, clean, faulty, tmp_path):
        commands = (
            ["check", clean],
            ["check", faulty, "--json", "-"],
            ["compare", clean, clean],
            ["inspect", clean],
            ["inspect", clean, "--json", "-"],
            ["listen", clean, "--out", tmp_path / "left.wav"],
            ["--help"],
        )
        for arguments in commands:
            outcome = into("/dev/full", *arguments)
            said = "rtpverify: standard output: No space left on device\n"
            assert (outcome.returncode, outcome.stderr) == (2, said), arguments

    def test_standard_output_that_is_closed(self, clean):
        command = f"{sys.executable} -m rtpverify check {clean} >&-"
        outcome = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert (outcome.returncode, outcome.stderr) == (2, "rtpverify: standard output: Bad file descriptor\n")

    @pytest.mark.parametrize("option", ["--json", "--junit", "--html"])
    def test_reports_of_check(self, clean, option):
        outcome = run("check", clean, option, "/dev/full")
        assert outcome.returncode == 2
        assert outcome.stderr == f"rtpverify: {option} /dev/full: No space left on device\n"

    @pytest.mark.parametrize("option", ["--json", "--html", "--npz", "--png"])
    def test_sinks_of_inspect(self, clean, option):
        outcome = run("inspect", clean, option, "/dev/full", "--force")
        assert outcome.returncode == 2
        assert outcome.stderr == f"rtpverify: {option} /dev/full: No space left on device\n"

    def test_audio(self, clean):
        assert run("tone", "/dev/full", "--duration", 1).stderr == "rtpverify: /dev/full: No space left on device\n"
        outcome = run("listen", clean, "--out", "/dev/full")
        assert (outcome.returncode, outcome.stderr) == (2, "rtpverify: --out /dev/full: No space left on device\n")

    def test_disk_that_fills_up_keeps_no_half_file(self, clean, small_disk):
        write_tone(clean, 30.0)
        for arguments in (
            ["tone", small_disk / "a.wav", "--duration", 60],
            ["inspect", clean, "--npz", small_disk / "a.npz"],
            ["inspect", clean, "--csv", small_disk / "a.csv", "--show", "spectrogram"],
        ):
            outcome = run(*arguments)
            [line] = outcome.stderr.splitlines()
            assert outcome.returncode == 2
            assert line.endswith("No space left on device")
        assert [path.name for path in small_disk.iterdir()] == ["a-levels.csv"]  # which is whole

    def test_failing_write_leaves_the_old_file(self, clean, small_disk):
        kept = small_disk / "a.wav"
        kept.write_bytes(clean.read_bytes()[:1000])
        assert run("listen", clean, "--out", kept, "--force", "--gain", "auto").returncode == 0
        before = kept.read_bytes()
        assert run("tone", kept, "--duration", 60).returncode == 2
        assert kept.read_bytes() == before
        assert list(small_disk.iterdir()) == [kept]


class Started:
    """A command that runs until a signal ends it."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err

    def wait_for_open(self, path):
        """Wait until the command has opened a file."""
        self.wait_until(lambda: any(fd.is_file() and fd.samefile(path) for fd in self.opened()))

    def wait_for_port(self, port):
        """Wait until the command receives on a UDP port: the command itself, and no other."""
        self.wait_until(lambda: inodes(port) & {str(fd.readlink()) for fd in self.opened()})

    def opened(self):
        """Yield what the process has opened; it may close any of them meanwhile."""
        for fd in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                fd.readlink()
                yield fd

    def wait_until(self, condition):
        def holds():
            assert self.process.poll() is None, self.process.communicate()
            with contextlib.suppress(OSError):
                return condition()

        wait_until(holds)


def inodes(port):
    """Return the sockets on a UDP port of this host, as links of open files name them."""
    tables = [Path(f"/proc/net/{name}") for name in ("udp", "udp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()]
    return {f"socket:[{fields[9]}]" for fields in lines if fields[1].endswith(f":{port:04X}")}


STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", STATUS)
class TestInterrupted:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["check", "{source}", "--json", "{folder}/out.json"],
            ["compare", "{source}", "{source}", "--json", "{folder}/out.json"],
            ["inspect", "{source}", "--json", "{folder}/out.json"],
            ["listen", "{source}", "--out", "{folder}/out.wav"],
        ],
        ids=lambda arguments: arguments[0],
    )
    def test_while_a_file_is_read(self, arguments, number, endless, tmp_path):
        folder = tmp_path / "out"
        folder.mkdir()
        started = Started(*(item.format(source=endless, folder=folder) for item in arguments))
        started.wait_for_open(endless)
        assert started.end(number) == (STATUS[number], "", "")
        assert list(folder.iterdir()) == []

    def test_while_a_file_is_written(self, number, tmp_path):
        started = Started("tone", tmp_path / "long.wav", "--duration", 6000)
        started.wait_until(lambda: list(tmp_path.iterdir()))
        assert started.end(number) == (STATUS[number], "", "")
        assert list(tmp_path.iterdir()) == []

    def test_live_check_ends_with_its_verdict(self, number, tmp_path):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        address, result = f"rtp://127.0.0.1:{port}", tmp_path / "result.json"
        started = Started("check", address, "--encoding", "L16/48000", "--reference", "none", "--json", result)
        started.wait_for_port(port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for index in range(50):
                packet = bytes([0x80, 97]) + index.to_bytes(2, "big") + (48 * index).to_bytes(4, "big") + bytes(4 + 96)
                sender.sendto(packet, ("127.0.0.1", port))
        status, out, err = started.end(number)
        found = json.loads(result.read_text())
        assert err == f"listening on {address}\n"
        assert found["streams"][0]["transport"]["packets_received"] == 50
        assert (status, found["verdict"]) in ((0, "pass"), (1, "fail"))
        assert out.lower().startswith(found["verdict"])

    def test_discover_lists_what_it_heard(self, number):
        started = Started("discover", "--duration", 60)
        started.wait_for_port(9875)
        status, out, err = started.end(number)
        assert (status, out, err) == (3, "no session announced\n", "")

    def test_sender_says_what_it_sent(self, number):
        started = Started("send", "rtp://127.0.0.1:9")
        for line in started.process.stderr:
            if "Ctrl-C ends it" in line:
                break
        status, _, err = started.end(number)
        assert status == 0
        assert "sent " in err
        assert "Traceback" not in err

    def test_where_python_ignores_what_is_raised(self, number):
        """In a finalizer, here; the import system has others, which run by chance."""
        code = f"""
import os, signal, sys, time
from rtpverify.commands.ending import end_at_termination, exit_status
class Last:
    def __del__(self):
        os.kill(os.getpid(), {int(number)})
        for _ in range(1000):
            pass
def command():
    last = Last()
    del last
    time.sleep({PATIENCE_SECONDS})
    return 0
end_at_termination()
sys.exit(exit_status(command))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert (done.returncode, done.stderr) == (STATUS[number], "")


@pytest.mark.parametrize("moment", ["open", "close", "chmod"])
def test_an_interrupt_at_any_moment_leaves_no_half_file(moment, tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("before")
    function = getattr(os, moment)

    def interrupted(*arguments, **options):
        function(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text("", tmp_path / "a.txt", "after")
    monkeypatch.undo()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "before")]


INJECTION = """
import importlib, sys
module, name, raised = sys.argv[1:4]
del sys.argv[1:4]
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
def fail(*_args, **_options):
    exec(raised)
setattr(owner, last, fail)
from rtpverify.__main__ import main
main()
"""
RECURSION = "deeper = lambda deeper: deeper(deeper)\ndeeper(deeper)"


def run_injected(module, name, raised, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", INJECTION, module, name, raised, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


class TestDefect:
    """An exception that nobody expected: status 70, one line, the traceback in a file."""

    COMMANDS = (
        ("rtpverify.engine.file_verifier", "FrameVerifier.feed", ["check", "{clean}"]),
        ("rtpverify.engine.verifier", "Verifier.result", ["check", "{capture}", "--encoding", "L24/48000/2"]),
        ("rtpverify.report.html", "render", ["check", "{clean}", "--html", "-"]),
        ("rtpverify.commands.compare", "compare", ["compare", "{clean}", "{clean}"]),
        ("rtpverify.commands.inspect.command", "measure", ["inspect", "{clean}"]),
        ("rtpverify.commands.listen.command", "open_source", ["listen", "{clean}", "--out", "{folder}/out.wav"]),
        ("rtpverify.commands.send", "Sender", ["send", "--duration", "1"]),
        ("rtpverify.commands.wav_writer", "header", ["tone", "{folder}/out.wav"]),
        ("rtpverify.commands.discover", "SapListener", ["discover", "--duration", "1"]),
        ("rtpverify.history.query", "find", ["events", "{folder}/events.sqlite"]),
        ("rtpverify.daemon.configuration", "read_config", ["serve", "{folder}/config.toml"]),
        ("rtpverify.commands.demo", "_free_ports", ["demo"]),
    )

    @pytest.mark.parametrize(("module", "name", "arguments"), COMMANDS, ids=[" ".join(c[2][:1]) for c in COMMANDS])
    def test_every_command(self, module, name, arguments, clean, write_capture, tmp_path):
        folder = tmp_path / "out"
        folder.mkdir()
        places = {"clean": clean, "capture": write_capture(), "folder": folder}
        arguments = [item.format(**places) for item in arguments]
        outcome = run_injected(
            module, name, "raise IndexError('7 is out\\nof bounds')", *arguments, TMPDIR=str(tmp_path)
        )
        assert outcome.returncode == 70
        assert outcome.stdout == ""
        [line] = outcome.stderr.splitlines()
        assert "IndexError: 7 is out of bounds" in line
        [kept] = tmp_path.glob("rtpverify-*.traceback")
        assert str(kept) in line
        assert "Traceback (most recent call last)" in kept.read_text()
        assert " ".join(arguments) in kept.read_text()
        assert kept.stat().st_mode & 0o077 == 0
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize(
        ("raised", "named"),
        [
            ("raise MemoryError", "MemoryError"),
            (RECURSION, "RecursionError"),
            ("raise BrokenPipeError(32, 'Broken pipe')", "BrokenPipeError"),
            ("raise EOFError", "EOFError"),
            ("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])", "ExceptionGroup"),
        ],
    )
    def test_every_kind(self, raised, named, clean, tmp_path):
        outcome = run_injected(
            "rtpverify.engine.file_verifier", "FrameVerifier.feed", raised, "check", clean, TMPDIR=str(tmp_path)
        )
        assert outcome.returncode == 70
        [line] = outcome.stderr.splitlines()
        assert named in line
        assert len(list(tmp_path.glob("rtpverify-*.traceback"))) == 1

    def test_traceback_that_cannot_be_kept(self, clean):
        hidden = "import tempfile; tempfile.mkstemp = lambda **_: open('/dev/full/none'); raise IndexError('here')"
        outcome = run_injected("rtpverify.engine.file_verifier", "FrameVerifier.feed", hidden, "check", clean)
        assert outcome.returncode == 70
        assert "Traceback (most recent call last)" in outcome.stderr
        assert outcome.stderr.splitlines()[-1] == "rtpverify: internal error: IndexError: here"

    def test_of_another_process_of_the_command(self, tmp_path):
        broken = tmp_path / "sitecustomize.py"
        broken.write_text(
            "import sys\n"
            "if '--multiprocessing-fork' in sys.argv:\n"
            "    import rtpverify.sender.rtp_sender\n"
            "    rtpverify.sender.rtp_sender.send = lambda *_: 1 // 0\n"
        )
        outcome = subprocess.run(
            [*COMMAND, "demo"],
            capture_output=True,
            text=True,
            env=os.environ
            | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "TMPDIR": str(tmp_path)},
        )
        assert outcome.returncode == 70
        assert "ZeroDivisionError" in outcome.stderr
        assert "Traceback" not in outcome.stderr
