"""From an event on the wire to metric, page and webhook, at the 99th percentile, while scrapers ask without a pause.

Sends stereo L24/48 kHz streams in packets of 1 ms over loopback, from a process of its own, some of them with faults.
A latency is the time from the arrival of the event's first packet, as the kernel stamped it (the event's `time`), until
the event was seen: as an exemplar in the metrics of a scraper that asks again as soon as it is answered, as a
server-sent event of the page, and in the body of a request to the webhook. Prints what it ran, on what, what came out,
and what is unfair about it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import aiohttp
import numpy as np
from aiohttp import web

import rtpverify
from rtpverify.sender.faults import Fault, parse_fault
from rtpverify.sender.rtp_sender import Progress, Sender, StreamSettings
from rtpverify.sender.tone import ToneSignal
from rtpverify.sources.live.endpoint import Endpoint

ADDRESS = "127.0.0.1"
SPAWN = multiprocessing.get_context("spawn")
WARM_UP_SECONDS = 4.0
"""Until every tone is found."""
REST_SECONDS = 2.0
TARGET_SECONDS = 0.25
KINDS = {"gap": "loss:at={at:.4f},packets=1", "click": "click:at={at:.4f},size=0.1,channel=1"}
"""Kinds that are told at once, and how they are ordered."""
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
SAMPLE = re.compile(r'^rtpverify_events_total\{stream="([^"]+)",kind="(\w+)".*# \{event_id="(\w+)"\} 1 ([\d.]+)$', re.M)

FAIRNESS = f"""\
gap        a lost packet is told once it has left the reorder window (50 ms), so no earlier than that
click      told once what follows the damage has shown that it is over
sample     the start of the first scrape that shows the event, which is the time Prometheus gives its samples
scrape     the same scrape, read to its end. The scraper asks again as soon as it has an answer, which the daemon puts
           off so that writing metrics takes a fifth of a core at most; one that asks every 5 s sees an event up to 5 s
           later, whatever the daemon does
page       what a browser is sent over /api/live, without the browser's own drawing
webhook    from a client in the machine's own network stack; the connection is kept open, as the daemon does
all        sender, daemon, scrapers, page and webhook share this machine; the first {WARM_UP_SECONDS:g} s are left out.
           The clock is the kernel's at arrival; a sender that is held up behind the first packet of an event, and a
           benchmark that is held up itself, make latencies longer: how long they were at most is told"""


@dataclass
class Seen:
    """When each event was first seen, by sink and kind, in seconds after its first packet."""

    latencies: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    known: set[tuple[str, str]] = field(default_factory=set)
    begin: float = math.inf

    def see(self, sink: str, event_id: str, kind: str, time_seconds: float, now: float | None = None) -> None:
        """Note that a sink shows an event, now if no time is given."""
        now = now or time.time()
        if kind in KINDS and (sink, event_id) not in self.known:
            self.known.add((sink, event_id))
            if time_seconds >= self.begin:
                self.latencies[sink, kind].append(now - time_seconds)

    def see_document(self, sink: str, document: dict[str, object]) -> None:
        """Note an event in its published form."""
        if document["time"] is not None:
            arrived = datetime.fromisoformat(str(document["time"])).timestamp()
            self.see(sink, str(document["id"]), str(document["kind"]), arrived)


def faults(stream: int, seconds: float) -> list[Fault]:
    """Return what happens to a stream: a fault about every half second, at a moment nothing else agrees with."""
    rng = np.random.default_rng(stream)
    kind = list(KINDS.values())[stream % len(KINDS)]
    moments = np.arange(1.0, seconds, 0.5)
    return [parse_fault(kind.format(at=at)) for at in (moments + rng.uniform(0.0, 0.3, len(moments))).tolist()]


def run_sender(
    first_port: int, streams: int, faulty: int, seconds: float, sent: Synchronized[int], late: Synchronized[float]
) -> None:
    """Send, in a process of its own, and keep ``sent`` and ``late`` (seconds, at most) up to date."""

    def count(progress: Progress) -> None:
        sent.value = progress.packets_sent
        late.value = progress.max_late_seconds

    settings = [
        StreamSettings(
            Endpoint(ADDRESS, first_port + 2 * k),
            signal=ToneSignal([1283.0 + 2 * k]),
            ssrc=k + 1,
            faults=faults(k, seconds) if k < faulty else (),
        )
        for k in range(streams)
    ]
    with Sender(settings, duration_seconds=seconds) as sender:
        sender.run(count, every_seconds=0.01)


def configuration(first_port: int, streams: int, webhook_port: int) -> str:
    """Return the daemon's configuration."""
    text = f'[metrics]\nlisten = "{ADDRESS}:{first_port - 1}"\n[log]\nstate_seconds = 3600\n'
    text += f'[[webhook]]\nurl = "http://{ADDRESS}:{webhook_port}/"\n'
    for k in range(streams):
        text += f'[[stream]]\nname = "bench-{k}"\nsource = "rtp://{ADDRESS}:{first_port + 2 * k}"\n'
        text += f'encoding = "L24/48000/2"\nreference = "tone:{1283 + 2 * k}"\n'
    return text


async def scrape(session: aiohttp.ClientSession, url: str, seen: Seen | None, durations: list[float]) -> None:
    """Ask for the metrics again and again."""
    while True:
        started = time.time()
        async with session.get(url, headers={"Accept": OPENMETRICS}) as answer:
            text = await answer.text()
        read = time.time()
        durations.append(read - started)
        if seen is not None:
            for _, kind, event_id, moment in SAMPLE.findall(text):
                seen.see("sample", event_id, kind, float(moment), started)
                seen.see("scrape", event_id, kind, float(moment), read)


async def watch(held_up: list[float]) -> None:
    """See how late this process itself is."""
    while True:
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        held_up.append(time.monotonic() - due)


async def listen(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    """Read what a browser is sent."""
    name = ""
    async with session.get(url) as answer:
        async for line in answer.content:
            field_name, _, value = line.decode().rstrip("\n").partition(": ")
            if field_name == "event":
                name = value
            elif field_name == "data" and name == "events":
                for document in json.loads(value)["events"]:
                    seen.see_document("page", document)


@asynccontextmanager
async def webhook(seen: Seen) -> AsyncIterator[int]:
    """Take what the daemon posts; yield the port."""

    async def take(request: web.Request) -> web.Response:
        for document in (await request.json())["events"]:
            seen.see_document("webhook", document)
        return web.Response()

    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def daemon(first_port: int, streams: int, webhook_port: int, folder: Path) -> AsyncIterator[int]:
    """Run the daemon; yield its process id once it answers."""
    path, log = folder / "bench.toml", folder / "daemon.log"
    path.write_text(configuration(first_port, streams, webhook_port))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rtpverify", "serve", str(path), stdout=output, stderr=output
        )
        try:
            async with aiohttp.ClientSession() as session:
                for _ in range(600):
                    with suppress(aiohttp.ClientError):
                        async with session.get(f"http://{ADDRESS}:{first_port - 1}/healthz"):
                            break
                    await asyncio.sleep(0.05)
                else:
                    raise SystemExit(f"the daemon does not answer:\n{log.read_text()[-2000:]}")
            yield process.pid
        finally:
            process.terminate()
            await process.wait()


def cpu_seconds(process_id: int) -> float:
    """Return the CPU time of all threads that a process has."""
    tasks = Path(f"/proc/{process_id}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def total(text: str, name: str) -> float:
    """Return the sum of a metric over its labels."""
    return sum(float(line.split(" ")[1]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Run it, and return what came out."""
    seen, first = Seen(), options.port
    seconds = WARM_UP_SECONDS + options.seconds
    durations: list[float] = []
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        webhook(seen) as webhook_port,
        daemon(first, options.streams, webhook_port, folder) as process_id,
        aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        base = f"http://{ADDRESS}:{first - 1}"
        sent, late = SPAWN.Value("q", 0), SPAWN.Value("d", 0.0)
        sender = SPAWN.Process(
            target=run_sender, args=(first, options.streams, options.faulty, seconds, sent, late), daemon=True
        )
        sender.start()
        tasks = [asyncio.create_task(listen(session, f"{base}/api/live", seen))]
        tasks += [
            asyncio.create_task(scrape(session, f"{base}/metrics", None if k else seen, durations))
            for k in range(options.scrapers)
        ]
        held_up: list[float] = []
        tasks.append(asyncio.create_task(watch(held_up)))
        while sent.value == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(WARM_UP_SECONDS)
        held_up.clear()
        seen.begin, load, before_cpu, before = time.time(), os.getloadavg(), cpu_seconds(process_id), sent.value
        await asyncio.sleep(options.seconds - 0.5)
        used, packets, took = cpu_seconds(process_id) - before_cpu, sent.value - before, time.time() - seen.begin
        await asyncio.to_thread(sender.join)
        await asyncio.sleep(REST_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                raise SystemExit(f"a client ended: {task.exception()!r}")
        async with session.get(f"{base}/metrics") as answer:
            text = await answer.text()
    injected = sum(fault.kind == "loss" for k in range(options.faulty) for fault in faults(k, seconds))
    return {
        "load_average": [round(value, 2) for value in load],
        "packets_sent": sent.value,
        "packets_received": int(total(text, "rtpverify_packets_received_total")),
        "packets_lost": int(total(text, "rtpverify_packets_lost_total")),
        "packets_left_out_by_the_sender": injected,
        "dropped_by_this_host": int(total(text, "rtpverify_receive_buffer_dropped_total")),
        "scrapes": len(durations),
        "scrape_seconds_median": statistics.median(durations),
        "scrape_seconds_most": max(durations),
        "renderings": int(total(text, "rtpverify_render_duration_seconds_count")),
        "sender_late_seconds_most": late.value,
        "benchmark_held_up_seconds_most": max(held_up),
        "daemon_percent_of_a_core": 100 * used / took,
        "daemon_us_per_packet": 1e6 * used / packets,
        "events": int(total(text, "rtpverify_events_total")),
        "latency_seconds": {f"{sink} {kind}": sorted(found) for (sink, kind), found in seen.latencies.items()},
    }


def versions() -> dict[str, str]:
    """Return what was measured, and on what."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "rtpverify": rtpverify.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "aiohttp": aiohttp.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "cpu": f"{os.cpu_count()} × {cpu}",
        "command": " ".join(["python", *sys.argv]),
    }


def write(found: dict[str, object], show: Callable[[str], None] = print) -> bool:
    """Print the figures; return whether the target is met."""
    latencies = found["latency_seconds"]
    assert isinstance(latencies, dict)
    show(f"{'':15} {'events':>7} {'median':>8} {'90 %':>8} {'99 %':>8} {'most':>8}   ms")
    worst = 0.0
    for name in sorted(latencies):
        at = np.percentile(latencies[name], [50, 90, 99, 100]) * 1e3
        worst = max(worst, float(at[2])) if not name.startswith("scrape") else worst
        show(f"{name:15} {len(latencies[name]):7} " + " ".join(f"{value:8.1f}" for value in at))
    show("")
    for name, value in found.items():
        if name != "latency_seconds":
            show(f"{name:31} {value if not isinstance(value, float) else f'{value:.4g}'}")
    lost = int(str(found["packets_lost"])) - int(str(found["packets_left_out_by_the_sender"]))
    show(f"\n99 % within {worst:.0f} ms (target {1e3 * TARGET_SECONDS:.0f} ms); packets lost under scrapes: {lost}")
    return worst <= 1e3 * TARGET_SECONDS and lost == 0 and found["dropped_by_this_host"] == 0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to measure (30)")
    parser.add_argument("--streams", type=int, default=64, help="streams (64)")
    parser.add_argument("--faulty", type=int, default=8, help="streams that faults come on (8)")
    parser.add_argument("--scrapers", type=int, default=4, help="scrapers that ask without a pause (4)")
    parser.add_argument("--port", type=int, default=21000, help="first port; the one below it serves metrics (21000)")
    parser.add_argument("--json", type=Path, help="write the figures and every latency to a file, too")
    options = parser.parse_args()
    known = versions()
    for name, value in known.items():
        print(f"{name:10} {value}")
    print()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(options, Path(folder)))
    met = write(found)
    print(f"\n{FAIRNESS}")
    if options.json is not None:
        options.json.write_text(json.dumps({"versions": known, **found}, indent=2) + "\n")
    sys.exit(not met)


if __name__ == "__main__":
    main()
