"""What a stream costs, measured; and from that what many cost, computed: the table of docs/scale.md.

A daemon verifies STREAMS streams (L24/48000/2, packets of 1 ms) that are sent to it over loopback, with an event now
and then; it publishes to a real nats-server, and its metrics are read as Prometheus does. Processor time is that of
the daemon's process, so a busy machine makes it larger by what others do to its caches, and nothing else.

    python benchmarks/fleet.py [STREAMS [SECONDS]]
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtpverify.daemon.nats.subjects import EVENTS, STATES
from rtpverify.history.outbox import Outbox
from rtpverify.history.query import Query, find
from rtpverify.history.store import Document, Store
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint

PACKETS_A_SECOND = 1000
"""Of each stream. On a busy machine the sender may send fewer: processor time is counted for each packet received."""
STATE_SECONDS = 5.0
SCRAPE_SECONDS = 15.0
EVENTS_A_DAY = 100
"""Of each stream, in the table: one that is far from well."""
FLEETS = ((1, 64), (4, 256), (16, 1_000), (160, 10_000))
"""Benches and streams of the table's columns."""


@dataclass(frozen=True)
class Measured:
    """What one stream, bench or event costs."""

    cpu_seconds_a_second: float
    """Of one stream: processor time, with its part of what the daemon itself takes."""
    memory_bytes: float
    """Of one stream beyond the first."""
    memory_fixed_bytes: float
    series: float
    """Of one stream, in the metrics."""
    series_fixed: int
    scrape_bytes: float
    """Of one stream, in each scrape."""
    state_bytes: float
    """Of a stream's message, as the NATS server keeps it."""
    event_bytes: float
    """The same of an event."""
    history_bytes: float
    """Of an event, in a history that has many."""


@contextmanager
def running(*command: str | Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the context."""
    with subprocess.Popen(list(map(str, command)), **options) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def free_ports(count: int, kind: socket.SocketKind) -> list[int]:
    """Return ports of loopback that nobody uses."""
    sockets = [socket.socket(socket.AF_INET, kind) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def ask(url: str) -> bytes:
    """Return what an address answers, once it does."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own
                return bytes(answer.read())
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


def used(process: int) -> tuple[float, int]:
    """Return the processor time of a process in seconds, and its memory in bytes."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return (int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def received(metrics: str) -> float:
    """Return how many packets were received of all streams."""
    found = re.findall(r"^rtpverify_packets_received_total\{.*?\} (\S+)", metrics, re.MULTILINE)
    return sum(map(float, found))


def observe(streams: int, seconds: float) -> dict[str, float]:
    """Let a daemon verify so many streams, and return what it used."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rtp = free_ports(streams, socket.SOCK_DGRAM)
        nats, monitor, web = free_ports(3, socket.SOCK_STREAM)
        (folder / "nats.conf").write_text(
            f'listen: "127.0.0.1:{nats}"\nhttp: "127.0.0.1:{monitor}"\njetstream {{ store_dir: "{folder}/js" }}\n'
        )
        text = (
            f'[metrics]\nlisten = "127.0.0.1:{web}"\n[log]\nformat = "json"\n[history]\npath = "events.sqlite"\n'
            f'[nats]\nservers = ["nats://127.0.0.1:{nats}"]\nsite = "north"\nstate_seconds = {STATE_SECONDS}\n'
        )
        for number, port in enumerate(rtp):
            text += f'[[stream]]\nname = "studio-{number:03d}"\nsource = "rtp://127.0.0.1:{port}"\n'
            text += 'encoding = "L24/48000/2"\nreference = "tone:1283"\n'
        (folder / "bench.toml").write_text(text)
        log = (folder / "log").open("wb")
        with (
            running("nats-server", "-c", folder / "nats.conf", stderr=subprocess.DEVNULL),
            running(sys.executable, "-m", "rtpverify", "serve", folder / "bench.toml", stderr=log) as daemon,
        ):
            base = f"http://127.0.0.1:{web}"
            ask(f"{base}/healthz")
            faults = [parse_fault("loss:at=3,packets=2")]
            settings = [
                StreamSettings(Endpoint("127.0.0.1", port), ssrc=port, sequence=0, timestamp=0, faults=faults)
                for port in rtp
            ]
            with Sender(settings, duration_seconds=seconds + 30) as sender:
                sender.start()
                time.sleep(8.0)  # every stream has been measured, and its event reported
                before = received(ask(f"{base}/metrics").decode())
                cpu, _ = used(daemon.pid)
                time.sleep(seconds)
                cpu = used(daemon.pid)[0] - cpu
                memory = used(daemon.pid)[1]
                metrics = ask(f"{base}/metrics").decode()
                stored = json.loads(ask(f"http://127.0.0.1:{monitor}/jsz?streams=true"))
        events = find(folder / "events.sqlite", Query()).events
        of_history = history_bytes(events, folder) if events else 0.0
    series = [line for line in metrics.splitlines() if line and not line.startswith("#")]
    dropped = re.search(r"^rtpverify_receive_buffer_dropped_total (\d+)", metrics, re.MULTILINE)
    return {
        "cpu": cpu,
        "packets": received(metrics) - before,
        "memory": float(memory),
        "series": float(len(series)),
        "scrape": float(len(metrics)),
        "dropped": float(dropped[1]) if dropped else 0.0,
        "event": _message_bytes(stored, EVENTS),
        "state": _message_bytes(stored, STATES),
        "history": of_history,
    }


def _message_bytes(server: dict[str, Any], stream: str) -> float:
    """Return what a message takes in a stream of JetStream, its headers included."""
    of_account = [one for account in server["account_details"] for one in account["stream_detail"]]
    (found,) = [one["state"] for one in of_account if one["name"] == stream]
    return float(found["bytes"] / found["messages"])


def history_bytes(documents: Sequence[Document], folder: Path) -> float:
    """Return what an event takes in a history that has many, for ever new ids and the list of those to publish."""
    many = 5000
    made = Store(folder / "many.sqlite", max_age_seconds=1e9, max_bytes=1 << 40)
    with closing(made) as store, closing(Outbox(store.path)):
        copies = [{**documents[number % len(documents)], "id": f"{number:012x}"} for number in range(many)]
        store.write(copies, time.time_ns())
        return store.bytes_used / many


def measure(streams: int, seconds: float) -> Measured:
    """Measure one stream and many; what a stream costs is what the many cost beyond the one."""
    one, many = observe(1, seconds), observe(streams, seconds)
    more = streams - 1
    if many["dropped"]:
        print(f"this host dropped {many['dropped']:.0f} packets: too many streams for it", file=sys.stderr)
    return Measured(
        cpu_seconds_a_second=PACKETS_A_SECOND * many["cpu"] / many["packets"],
        memory_bytes=(many["memory"] - one["memory"]) / more,
        memory_fixed_bytes=one["memory"],
        series=(many["series"] - one["series"]) / more,
        series_fixed=round(one["series"] - (many["series"] - one["series"]) / more),
        scrape_bytes=(many["scrape"] - one["scrape"]) / more,
        state_bytes=many["state"],
        event_bytes=many["event"],
        history_bytes=many["history"],
    )


def table(measured: Measured) -> list[str]:
    """Return the table, computed from what was measured."""
    network = 8 * PACKETS_A_SECOND * (48 * 2 * 3 + 12 + 8 + 20 + 18)
    rows: list[tuple[str, list[str]]] = []

    def row(title: str, of: list[float], form: str) -> None:
        rows.append((title, [form.format(value) for value in of]))

    benches, streams = [count for count, _ in FLEETS], [count for _, count in FLEETS]
    row("cores that verify", [n * measured.cpu_seconds_a_second for n in streams], "{:.1f}")
    memory = [b * measured.memory_fixed_bytes + n * measured.memory_bytes for b, n in FLEETS]
    row("memory of all daemons, GiB", [value / 2**30 for value in memory], "{:.1f}")
    row("received, Mbit/s (L24, 2 channels, 1 ms)", [n * network / 1e6 for n in streams], "{:,.0f}")
    series = [b * measured.series_fixed + n * measured.series for b, n in FLEETS]
    row("series in Prometheus", series, "{:,.0f}")
    row("samples a second, scraped every 15 s", [value / SCRAPE_SECONDS for value in series], "{:,.0f}")
    row("to NATS, states, kbit/s", [n * measured.state_bytes / STATE_SECONDS * 8 / 1e3 for n in streams], "{:,.0f}")
    events = [n * EVENTS_A_DAY for n in streams]
    row(f"events a day, {EVENTS_A_DAY} a stream", [float(value) for value in events], "{:,.0f}")
    row("in NATS, events of 30 days, GB", [value * 30 * measured.event_bytes / 1e9 for value in events], "{:.1f}")
    row("histories, 90 days, GB", [value * 90 * measured.history_bytes / 1e9 for value in events], "{:.1f}")
    row("evidence at most, GiB (1 GiB a bench)", [float(value) for value in benches], "{:,.0f}")
    heads = [f"{b} bench{'es' if b > 1 else ''}, {n:,} streams" for b, n in FLEETS]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    return lines + [f"| {title} | " + " | ".join(cells) + " |" for title, cells in rows]


def main() -> None:
    """Measure, and print figures and table."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    load = os.getloadavg()[0]
    measured = measure(streams, seconds)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load before {load:.1f}; {streams} streams, {seconds:g} s each"
    )
    of_stream = [
        f"{100 * measured.cpu_seconds_a_second:.2f} % of a core",
        f"{measured.memory_bytes / 2**20:.1f} MiB",
        f"{measured.series:.0f} series",
        f"{measured.scrape_bytes / 1e3:.1f} kB a scrape",
        f"{measured.state_bytes:.0f} B in NATS every {STATE_SECONDS:g} s",
    ]
    print(f"one stream: {', '.join(of_stream)}")
    print(f"one daemon: {measured.memory_fixed_bytes / 2**20:.0f} MiB, {measured.series_fixed} series")
    print(f"one event: {measured.event_bytes:.0f} B in NATS, {measured.history_bytes:.0f} B in the history")
    print("\n".join(table(measured)))


if __name__ == "__main__":
    main()
