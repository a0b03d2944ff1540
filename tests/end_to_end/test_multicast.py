"""Two hosts on one wire: who is heard with and without a source filter."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
LISTENER, FIRST, SECOND = 1, 2, 3
FIRST_SSRC, SECOND_SSRC = "0x00000001", "0x00000002"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


@dataclass(frozen=True)
class Wire:
    """A receiving and a sending host with a cable between them; the sending one has two addresses."""

    receiver: str
    sender: str
    port: str

    def command(self, host, *arguments):
        return ["ip", "netns", "exec", host, *arguments]

    def rtpverify(self, host, *arguments):
        return subprocess.Popen(
            self.command(host, sys.executable, "-m", "rtpverify", *arguments),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read(self, host, path):
        return subprocess.run(
            self.command(host, "cat", path), check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        ).stdout

    def streams(self, source):
        """Send from both addresses and return the SSRCs heard, and what the kernel filters meanwhile."""
        group = source.partition("@")[2] or source.removeprefix("rtp://")
        group = group.partition("?")[0]
        is_ipv6 = group.startswith("[")
        senders = []
        for number, ssrc in ((FIRST, FIRST_SSRC), (SECOND, SECOND_SSRC)):
            destination = f"rtp://{address(number, is_ipv6)}@{group}?interface={self.port}"
            senders.append(self.rtpverify(self.sender, "send", destination, "--ssrc", ssrc, "--duration", "60"))
        check = None
        try:
            check = self.rtpverify(
                self.receiver, "check", source, "--encoding", "L24/48000/2", "--reference", "none", "--json", "-",
                "--duration", "2",
            )  # fmt: skip
            path = "/proc/net/mcfilter6" if is_ipv6 else "/proc/net/mcfilter"
            filters = ""
            while check.poll() is None:
                filters = max(filters, self.read(self.receiver, path), key=len)  # empty again at its end
                time.sleep(0.2)
            result = json.loads(check.communicate(timeout=PATIENCE_SECONDS)[0])
        finally:
            for process in [*senders, *([check] if check else [])]:
                process.kill()
                process.communicate(timeout=PATIENCE_SECONDS)
        assert all(stream["transport"]["packets_received"] > 10 for stream in result["streams"])
        return sorted(stream["ssrc"] for stream in result["streams"]), filters.splitlines()[1:], result["discarded"]


def address(number, is_ipv6):
    return f"[fd00:5eed::{number}]" if is_ipv6 else f"10.213.77.{number}"


def plug_in(hosts):
    """Connect two hosts, the second with two addresses."""
    ip("link", "add", "wire0", "netns", hosts[0], "type", "veth", "peer", "name", "wire0", "netns", hosts[1])
    for host, numbers in zip(hosts, ([LISTENER], [FIRST, SECOND]), strict=True):
        for number in numbers:
            ip("-n", host, "addr", "add", f"10.213.77.{number}/24", "dev", "wire0")
            ip("-n", host, "addr", "add", f"fd00:5eed::{number}/64", "dev", "wire0", "nodad")
        for name in ("lo", "wire0"):
            ip("-n", host, "link", "set", name, "up")


@pytest.fixture(scope="module")
def wire():
    if shutil.which("ip") is None:
        pytest.skip("no ip command (Debian package iproute2)")
    hosts = [f"rtpverify-{os.getpid()}-{side}" for side in "rs"]
    made = []
    try:
        try:
            for host in hosts:
                ip("netns", "add", host)
                made.append(host)
            plug_in(hosts)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no right to make network namespaces: {error.stderr.strip()}")
        yield Wire(*hosts, "wire0")
    finally:
        for host in made:
            ip("netns", "del", host)


def test_a_source_filter_lets_only_that_sender_in(wire):
    heard, filters, discarded = wire.streams("rtp://10.213.77.2@232.1.2.3:5004?interface=wire0")
    assert heard == [FIRST_SSRC]
    assert discarded == {}  # the kernel keeps the other one out
    [joined] = filters
    assert joined.split()[2:] == ["0xe8010203", "0x0ad54d02", "1", "0"]  # one socket includes this source


def test_a_source_filter_of_ipv6(wire):
    heard, filters, _ = wire.streams("rtp://[fd00:5eed::3]@[ff3e::8000:1]:5004?interface=wire0")
    assert heard == [SECOND_SSRC]
    [joined] = filters
    assert joined.split()[2:] == ["ff3e0000000000000000000080000001", "fd005eed000000000000000000000003", "1", "0"]


@pytest.mark.parametrize(
    "source", ["rtp://239.1.2.3:5004?interface=10.213.77.1", "rtp://[ff15::5eed]:5004?interface=fd00:5eed::1"]
)
def test_without_one_both_are_heard(wire, source):
    heard, filters, _ = wire.streams(source)
    assert heard == [FIRST_SSRC, SECOND_SSRC]
    assert filters == []


DAEMON = """
[metrics]
listen = "127.0.0.1:0"
[log]
format = "json"
[[stream]]
name = "a"
source = "rtp://239.1.2.3:5004"
interface = "wire0"
encoding = "L24/48000/2"
reference = "tone:1283"
"""


def test_a_daemon_hears_a_group_again_when_its_interface_comes_back(wire, tmp_path):
    (tmp_path / "bench.toml").write_text(DAEMON)
    processes = [wire.rtpverify(wire.receiver, "serve", str(tmp_path / "bench.toml"))]
    limit = threading.Timer(PATIENCE_SECONDS, processes[0].kill)
    limit.start()

    def send():
        destination = f"rtp://{address(FIRST, False)}@239.1.2.3:5004?interface={wire.port}"
        processes.append(wire.rtpverify(wire.sender, "send", destination, "--duration", "60"))

    def until(*events):
        """Return the lines of these events, which may come in any order."""
        found = {}
        for line in processes[0].stderr:
            fields = json.loads(line)
            if fields["event"] in events:
                found[fields["event"]] = fields
            if len(found) == len(events):
                return [found[event] for event in events]
        raise AssertionError(f"the daemon ended before {events}, of which came {sorted(found)}")

    try:
        until("waiting")
        send()
        until("stream up")
        ip("-n", wire.receiver, "link", "del", "wire0")
        gone, _ = until("interface gone", "stream down")
        assert gone["interfaces"] == ["wire0"]
        plug_in([wire.receiver, wire.sender])
        [back] = until("interface back")
        assert back["interfaces"] == ["wire0"]
        send()
        until("stream up")
        processes[0].terminate()
        [stopped] = until("stopped")
        assert stopped["discarded"] == {}
        assert processes[0].wait(PATIENCE_SECONDS) == 0
    finally:
        limit.cancel()
        for process in processes:
            process.kill()
            process.communicate(timeout=PATIENCE_SECONDS)
