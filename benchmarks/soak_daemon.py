"""An hour of the daemon with 64 streams and an event a second. Run by ``make soak-daemon``.

What ``serve`` counts in the end must be what the sender made: packets, losses and clicks of every stream. Memory and
open descriptors are looked at every few seconds; once its minutes of history are full, neither may grow. ``MINUTES``
and ``STREAMS`` make it shorter and smaller; in less than half an hour growth is shown and no fault. Exits with 1 where
a count differs or something grows.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint

MINUTES = float(os.environ.get("MINUTES", "60"))
STREAMS = int(os.environ.get("STREAMS", "64"))
FIRST_PORT, PAGE = 21_000, 21_999
LOOK_SECONDS = 5.0
WARM_MINUTES = 30.0
PACKETS_A_SECOND = 1000
MAX_GROWTH_BYTES_AN_HOUR = 32 << 20
MAX_GROWTH_DESCRIPTORS_AN_HOUR = 2.0


def faults(stream: int, seconds: float) -> list[str]:
    """Return the faults of one stream, losses and clicks in turn: of all streams together one comes each second."""
    times = np.arange(2.0 + stream, seconds - 2.0, STREAMS)
    return [
        f"loss:at={at},packets=2" if number % 2 else f"click:at={at},frames=3,size=0.05"
        for number, at in enumerate(times)
    ]


def seen(process: int) -> tuple[int, int]:
    """Return resident bytes and open descriptors of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{process}/fd").iterdir()))


def counted(metrics: str, name: str, **labels: str) -> int:
    """Return the sum of a counter over the series that bear some labels."""
    total = 0.0
    for line in metrics.splitlines():
        found = re.fullmatch(rf"{name}{{(.*?)}} (\S+)", line)
        if found and all(f'{key}="{value}"' in found[1] for key, value in labels.items()):
            total += float(found[2])
    return round(total)


def slope(times: list[float], values: list[int]) -> float:
    """Return by how much values grow an hour, without the first third, in which it warms up."""
    first = len(times) // 3
    return float(np.polyfit(np.array(times[first:]) / 3600.0, np.array(values[first:], float), 1)[0])


def main() -> int:
    """Run it; return the exit status."""
    seconds = 60.0 * MINUTES
    settings = [
        StreamSettings(
            Endpoint("127.0.0.1", FIRST_PORT + 2 * number),
            ssrc=number + 1,
            faults=[parse_fault(text) for text in faults(number, seconds)],
        )
        for number in range(STREAMS)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        streams = "".join(
            f'[[stream]]\nname = "s{number}"\nsource = "rtp://127.0.0.1:{FIRST_PORT + 2 * number}"\n'
            'encoding = "L24/48000/2"\nreference = "tone:1283"\n'
            for number in range(STREAMS)
        )
        (folder / "soak.toml").write_text(
            f'[metrics]\nlisten = "127.0.0.1:{PAGE}"\n[history]\npath = "events.sqlite"\n'
            f'[log]\nformat = "json"\n{streams}'
        )
        log = (folder / "log").open("w")
        daemon = subprocess.Popen([sys.executable, "-m", "rtpverify", "serve", str(folder / "soak.toml")], stderr=log)
        while '"listening"' not in (folder / "log").read_text():
            time.sleep(0.1)
        times: list[float] = []
        memory: list[int] = []
        descriptors: list[int] = []
        with Sender(settings, duration_seconds=seconds) as sender:
            sender.start()
            began = time.monotonic()
            while not sender.wait(LOOK_SECONDS):
                used, opened = seen(daemon.pid)
                times.append(time.monotonic() - began)
                memory.append(used)
                descriptors.append(opened)
            time.sleep(0.5)
            with urllib.request.urlopen(f"http://127.0.0.1:{PAGE}/metrics", timeout=60) as answer:
                metrics = answer.read().decode()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
        summaries = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line.startswith("{")]
        received = {
            line["stream"]: (line["received"], line["lost"]) for line in summaries if line["event"] == "summary"
        }
    wrong = []
    for number in range(STREAMS):
        made = faults(number, seconds)
        lost = 2 * sum(text.startswith("loss") for text in made)
        clicks = sum(text.startswith("click") for text in made)
        expected = (round(seconds * PACKETS_A_SECOND) - lost, lost)
        if received[f"s{number}"] != expected:
            wrong.append(f"s{number}: received and lost {received[f's{number}']}, sent {expected}")
        found = counted(metrics, "rtpverify_events_total", stream=f"s{number}", kind="click")
        if found != clicks:
            wrong.append(f"s{number}: {found} clicks, {clicks} made")
    dropped = counted(metrics.replace("_total ", "_total{} "), "rtpverify_receive_buffer_dropped_total")
    growth, more = slope(times, memory), slope(times, descriptors)
    print(f"{STREAMS} streams for {MINUTES:g} min, {len(times)} looks, {dropped} packets dropped by this host")
    print(f"memory {memory[-1] / 2**20:.0f} MiB, {growth / 2**20:+.2f} MiB an hour")
    print(f"descriptors {descriptors[-1]}, {more:+.2f} an hour")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    is_warm = MINUTES >= WARM_MINUTES
    grows = growth > MAX_GROWTH_BYTES_AN_HOUR or more > MAX_GROWTH_DESCRIPTORS_AN_HOUR
    return 1 if wrong or (grows and is_warm) else 0


if __name__ == "__main__":
    sys.exit(main())
