"""``check`` of live senders that stop, and of described streams that do not come: real processes, nothing timed.

A sender is over when its thread is. That a second has gone by since, which is what these tests are about, is seen on
the clock; however slow a machine is, it only gets later.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from rtpverify.cli.app import main
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

FORMAT = ("--encoding", "L24/48000/2", "--reference", "tone:1283", "--max-stall-seconds", "60")
SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=two
c=IN IP4 127.0.0.1
t=0 0
m=audio {one} RTP/AVP 97
a=rtpmap:97 L24/48000/2
m=audio {two} RTP/AVP 97
a=rtpmap:97 L24/48000/2
"""

Check = Callable[..., "subprocess.Popen[str]"]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


@pytest.fixture
def check() -> Iterator[Check]:
    """Start ``rtpverify check`` and wait until it listens on ports; whatever is left of it at the end is killed."""
    with ExitStack() as stack:

        def start(*arguments: object, ports: Sequence[int]) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "rtpverify", "check", *map(str, arguments), "--json", "-"]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)

            def bound() -> bool:
                assert process.poll() is None, process.communicate()
                table = Path("/proc/net/udp").read_text(encoding="ascii")
                return all(f":{port:04X} " in table for port in ports)

            wait_until(bound)
            return process

        yield start


def send(*ports: int, seconds: float = 0.5, faults: Sequence[str] = ()) -> float:
    """Send to each port; return when that was over."""
    settings = [
        StreamSettings(Endpoint("127.0.0.1", port), faults=[parse_fault(text) for text in faults]) for port in ports
    ]
    with Sender(settings, duration_seconds=seconds) as sender:
        sender.run()
    return time.monotonic()


def outcome(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert "Traceback" not in stderr
    return process.returncode, json.loads(stdout)


def kinds(result: dict[str, Any]) -> list[list[str]]:
    return [[event["kind"] for event in stream["events"]] for stream in result["streams"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sender_that_stopped_before_a_check_without_duration_was_ended(check: Check, number: signal.Signals) -> None:
    [port] = free_ports(1)
    process = check(f"rtp://127.0.0.1:{port}", *FORMAT, ports=[port])
    over = send(port)
    wait_until(lambda: time.monotonic() > over + 1.1)
    process.send_signal(number)
    status, result = outcome(process)
    assert (status, result["verdict"]) == (1, "fail")
    [stream] = result["streams"]
    [event] = stream["events"]
    assert (event["kind"], event["cause"], event["start_frame"], event["open"]) == ("ended", "unknown", 24_000, False)
    assert event["ended_seconds"] >= 1
    assert "--until-end" in event["message"]


def test_until_end_waits_for_the_end_which_is_no_fault(check: Check) -> None:
    [port] = free_ports(1)
    process = check(f"rtp://127.0.0.1:{port}", *FORMAT, "--until-end", ports=[port])
    send(port)
    status, result = outcome(process)
    assert (status, kinds(result)) == (0, [[]])
    assert result["streams"][0]["transport"]["packets_received"] == 500


def test_until_end_waits_for_all_of_them(check: Check, tmp_path: Path) -> None:
    one, two = free_ports(2)
    (tmp_path / "two.sdp").write_text(SDP.format(one=one, two=two))
    process = check(tmp_path / "two.sdp", *FORMAT[2:], "--until-end", ports=[one, two])
    settings = [StreamSettings(Endpoint("127.0.0.1", port)) for port in (one, two)]
    with Sender(settings[:1], duration_seconds=0.3) as first, Sender(settings[1:]) as second:
        second.start()
        wait_until(lambda: second.progress.packets_sent > 100)
        first.run()
        over = time.monotonic()
        wait_until(lambda: time.monotonic() > over + 1.5)
        assert process.poll() is None
    status, result = outcome(process)
    assert (status, kinds(result)) == (0, [[], []])


@pytest.mark.parametrize("bye", ["yes", "mux"])
def test_a_goodbye_ends_it_at_once(check: Check, bye: str) -> None:
    """Nothing but the goodbye could tell within the second that a stream has before it is over."""
    [port] = free_ports(1)
    process = check(f"rtp://127.0.0.1:{port}", *FORMAT, "--until-end", "--rtcp", ports=[port])
    send(port, seconds=0.6, faults=[f"ended:at=0.5,bye={bye}"])
    status, result = outcome(process)
    assert (status, kinds(result)) == (0, [[]])
    assert result["streams"][0]["transport"]["rtcp"]["said_goodbye"]


def test_of_two_media_one_never_comes(check: Check, tmp_path: Path) -> None:
    one, two = free_ports(2)
    description = tmp_path / "two.sdp"
    description.write_text(SDP.format(one=one, two=two))
    forms = {name: tmp_path / f"result.{name}" for name in ("junit", "html")}
    options = [item for name, path in forms.items() for item in (f"--{name}", path)]
    process = check(description, *FORMAT[2:], "--until-end", *options, ports=[one, two])
    send(one)
    status, result = outcome(process)
    assert (status, kinds(result)) == (1, [[], ["missing"]])
    came, missing = result["streams"]
    assert (came["verdict"], missing["verdict"], missing["ssrc"]) == ("pass", "fail", None)
    assert missing["destination"] == f"127.0.0.1:{two}"
    assert missing["transport"]["packets_received"] == 0
    root = ET.parse(forms["junit"]).getroot()  # noqa: S314
    [failure] = root.iter("failure")
    assert failure.get("type") == "missing"
    page = forms["html"].read_text()
    assert f"127.0.0.1:{two}" in page
    assert "missing" in page


def test_where_none_comes_it_is_inconclusive(check: Check, tmp_path: Path) -> None:
    ports = free_ports(2)
    description = tmp_path / "two.sdp"
    description.write_text(SDP.format(one=ports[0], two=ports[1]))
    process = check(description, *FORMAT[2:], ports=ports)
    process.send_signal(signal.SIGINT)
    status, result = outcome(process)
    assert (status, result["verdict"], kinds(result)) == (3, "inconclusive", [["missing"], ["missing"]])


def test_a_busy_receiver_takes_a_sender_that_goes_on_for_nothing_else(check: Check) -> None:
    """Held up for two seconds, it finds the packets of that time in its sockets."""
    [port] = free_ports(1)
    process = check(f"rtp://127.0.0.1:{port}", *FORMAT, "--duration", "600", ports=[port])
    settings = StreamSettings(Endpoint("127.0.0.1", port), packet_time_seconds=0.005)
    with Sender([settings]) as sender:
        sender.start()
        wait_until(lambda: sender.progress.packets_sent > 100)
        process.send_signal(signal.SIGSTOP)
        begun = sender.progress.elapsed_seconds
        wait_until(lambda: sender.progress.elapsed_seconds > begun + 2)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        status, result = outcome(process)
    assert (status, kinds(result)) == (0, [[]])


class TestCaptures:
    def test_a_stream_that_ends_before_the_capture_is_a_warning(self, write_capture: Callable[..., Path]) -> None:
        path = write_capture(seconds=0.5)
        arguments = ["check", str(path), "--encoding", "L24/48000/2", "--reference", "tone:997", "--json", "-"]
        for seconds, warnings in ((1, []), (3, ["no packet in the last 2.5 s of the capture"])):
            # What else goes over the wire shows that the capture went on.
            last = struct.pack("<IIII", 1_790_000_000 + seconds, 0, 60, 60) + bytes(60)
            path.write_bytes(path.read_bytes() + last)
            result = CliRunner().invoke(main, arguments)
            assert result.exit_code == 0, result.output
            [stream] = json.loads(result.stdout)["streams"]
            assert (stream["events"], stream["warnings"]) == ([], warnings)

    def test_until_end_is_for_live_sources(self, write_capture: Callable[..., Path]) -> None:
        result = CliRunner().invoke(main, ["check", str(write_capture(seconds=0.2)), "--until-end"])
        assert result.exit_code == 2
        assert "--until-end is for live sources" in result.stderr

    def test_a_described_medium_that_the_capture_lacks(
        self, write_capture: Callable[..., Path], tmp_path: Path
    ) -> None:
        path, description = write_capture(seconds=0.5), tmp_path / "two.sdp"
        text = SDP.format(one=5004, two=5006).replace("c=IN IP4 127.0.0.1", "c=IN IP4 239.1.2.3/32")
        description.write_text(text)
        arguments = ["check", str(path), "--sdp", str(description), "--reference", "tone:997", "--json", "-"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1, result.output
        came, missing = json.loads(result.stdout)["streams"]
        assert (came["verdict"], missing["verdict"], missing["destination"]) == ("pass", "fail", "239.1.2.3:5006")
        description.write_text(text.replace("239.1.2.3", "239.9.9.9"))
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 3
        assert [stream["ssrc"] for stream in json.loads(result.stdout)["streams"]] == [None, None]
