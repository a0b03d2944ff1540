from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import PATIENCE_SECONDS

CONFIGURATION = """
[metrics]
listen = "127.0.0.1:{metrics}"

[log]
format = "json"
state_seconds = 1

[[stream]]
name = "left"
source = "rtp://127.0.0.1:{left}"
encoding = "L24/48000/2"
reference = "tone:1283"
limits.max_stall_seconds = 60

[[stream]]
name = "right"
source = "rtp://127.0.0.1:{right}"
encoding = "L24/48000/2"
reference = "tone:1283"
"""


Samples = dict[tuple[str, ...], float]


def free_ports() -> dict[str, int]:
    with ExitStack() as stack:
        ports = {}
        for name, kind in (("metrics", socket.SOCK_STREAM), ("left", socket.SOCK_DGRAM), ("right", socket.SOCK_DGRAM)):
            item = stack.enter_context(socket.socket(socket.AF_INET, kind))
            item.bind(("127.0.0.1", 0))
            ports[name] = item.getsockname()[1]
        return ports


@contextmanager
def daemon(folder: Path, text: str) -> Iterator[subprocess.Popen[str]]:
    path = folder / "bench.toml"
    path.write_text(text)
    with subprocess.Popen(
        [sys.executable, "-m", "rtpverify", "serve", str(path)], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
        text = answer.read().decode()
    order = ("stream", "channel", "kind", "cause")
    return {
        (sample.name, *(sample.labels[name] for name in order if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def until(look: Callable[[], Samples], holds: Callable[[Samples], bool]) -> Samples:
    """Look again and again until what is seen holds; a daemon that is not there yet is not seen."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            seen = look()
        except OSError:
            seen = None
        if seen is not None and holds(seen):
            return seen
        assert time.monotonic() < give_up, seen
        time.sleep(0.1)


def test_streams_are_seen_in_metrics_and_log_until_a_clean_stop(tmp_path: Path) -> None:
    ports = free_ports()
    to = StreamSettings(Endpoint("127.0.0.1", ports["left"]), ssrc=1, faults=[parse_fault("loss:at=1,packets=3")])
    again = StreamSettings(Endpoint("127.0.0.1", ports["left"]), ssrc=2)

    def look() -> Samples:
        return scrape(ports["metrics"])

    with daemon(tmp_path, CONFIGURATION.format(**ports)) as process:
        idle = until(look, bool)
        assert (idle["rtpverify_stream_up", "left"], idle["rtpverify_packets_received_total", "left"]) == (0, 0)
        with Sender([to], duration_seconds=3) as sender:
            sender.start()
            first = until(look, lambda seen: seen["rtpverify_packets_lost_total", "left"] == 3)
            assert sender.wait(PATIENCE_SECONDS)
        assert first["rtpverify_stream_up", "left"] == 1
        assert first["rtpverify_stream_up", "right"] == 0
        assert first["rtpverify_events_total", "left", "gap", "network"] == 1
        whole = until(look, lambda seen: seen["rtpverify_packets_received_total", "left"] == 2997)
        assert whole["rtpverify_packets_expected_total", "left"] == 3000
        assert whole["rtpverify_level_dbfs", "left", "2"] == pytest.approx(-20, abs=0.01)
        assert ("rtpverify_level_dbfs", "right", "1") not in whole
        with Sender([again], duration_seconds=1) as sender:
            sender.start()
            assert sender.wait(PATIENCE_SECONDS)
        anew = until(look, lambda seen: seen["rtpverify_packets_received_total", "left"] == 3997)
        assert anew["rtpverify_packets_lost_total", "left"] == 3
        assert anew["rtpverify_receive_buffer_dropped_total",] == 0
        until(look, lambda seen: seen["rtpverify_stream_up", "left"] == 0)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0

    lines = [json.loads(line) for line in log.splitlines()]
    told = [line["event"] for line in lines if line.get("stream") == "left"]
    assert {"waiting", "stream appeared", "stream up", "event", "state", "stream down", "summary"} <= set(told)
    (gap,) = (line for line in lines if line.get("kind") == "gap")
    assert (gap["start_frame"], gap["duration_frames"], gap["stream"]) == (48000, 144, "left")
    assert re.fullmatch("[0-9a-f]{12}", gap["id"])
    summaries = {line["stream"]: line for line in lines if line["event"] == "summary"}
    assert (summaries["left"]["received"], summaries["left"]["lost"]) == (3997, 3)
    assert summaries["right"]["state"] == "waiting"
    assert lines[-1]["event"] == "stopped"


def test_the_summary_is_of_all_that_came_until_the_stop(tmp_path: Path) -> None:
    ports = free_ports()
    with daemon(tmp_path, CONFIGURATION.format(**ports)) as process:
        until(lambda: scrape(ports["metrics"]), bool)
        with Sender([StreamSettings(Endpoint("127.0.0.1", ports["left"]))], duration_seconds=0.5) as sender:
            sender.start()
            assert sender.wait(PATIENCE_SECONDS)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    lines = [json.loads(line) for line in log.splitlines()]
    (received,) = (line["received"] for line in lines if line["event"] == "summary" and line["stream"] == "left")
    assert received == 500


@pytest.mark.parametrize(("name", "kind"), [("left", socket.SOCK_DGRAM), ("metrics", socket.SOCK_STREAM)])
def test_a_port_in_use_ends_it_with_a_line_that_names_it(tmp_path: Path, name: str, kind: socket.SocketKind) -> None:
    ports = free_ports()
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", ports[name]))
        if kind is socket.SOCK_STREAM:
            other.listen()
        with daemon(tmp_path, CONFIGURATION.format(**ports)) as process:
            _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    (line,) = log.splitlines()
    assert str(ports[name]) in line
    assert "in use" in line


def test_a_malformed_configuration_ends_it_with_a_line_for_each_mistake(tmp_path: Path) -> None:
    text = CONFIGURATION.format(metrics=99999, left=0, right=5004).replace("tone:1283", "tone:30000")
    with daemon(tmp_path, text) as process:
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    lines = log.splitlines()
    assert [re.sub(".*bench.toml:", "", line).split(" = ")[0] for line in lines] == [
        "3: metrics.listen",
        "11: stream[1].source",
        "13: stream[1].reference",
        "20: stream[2].reference",
    ]
