"""CPU per received packet: a bare receive loop, the daemon with its detectors on, and GStreamer, in one run.

Sends stereo L24/48 kHz streams in packets of 1 ms over loopback, each to a port of its own, from a process of its own,
and lets each receiver take them in turn. Prints what it ran, on what, what came out, and what is unfair about it.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np

import rtpverify
from rtpverify.live.loop import GOOD_BATCH, TICK_SECONDS
from rtpverify.sender.rtp_sender import Progress, Sender, StreamSettings
from rtpverify.sender.tone import ToneSignal
from rtpverify.sources.live import mmsg
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.recvmmsg import UdpReceiver
from rtpverify.sources.live.sockets import open_sockets

WARM_UP_SECONDS = 3.0
START_SECONDS = 30.0
ADDRESS = "127.0.0.1"
SPAWN = multiprocessing.get_context("spawn")

FAIRNESS = f"""\
bare       recvmmsg through ctypes on the daemon's tick ({1000 * TICK_SECONDS:g} ms, or {GOOD_BATCH} packets), one
           socket a stream, one call a socket and tick, all datagrams into one 2 KiB, no address, no time; in C it
           would save some of the Python around it
drain      (on request) the daemon's receiver alone, with addresses and arrival times, its batches thrown away
rtpverify  `rtpverify serve` with its detectors on, its metrics read at the end only; what receives is what it takes
           by itself
ring       the same with `backend = "ring"`, where this process may read packets from a ring
gstreamer  does less than the daemon: it takes the packets apart and throws the samples away, nothing is verified;
           it does more, too: it wakes for each packet as a player must, where the daemon may let a tick pass
all        the kernel charges the way of a packet through loopback to the sender; CPU is user and system time of all
           threads from /proc/PID/task/*/schedstat, start-up and the first 3 s left out; host lost is the kernel's own
           count of datagrams dropped at the receiver's sockets (/proc/net/udp) since they were opened; the time is
           over the packets that the sender says it sent meanwhile"""


@dataclass(slots=True)
class Row:
    """What one receiver did with so many streams.

    Attributes
    ----------
    lost_by_host
        Packets the kernel dropped at its sockets.
    lost_by_stream
        Packets the receiver itself says were lost; None where it does not say.
    events
        Faults the receiver told of streams that have none; None where it does not judge.
    """

    receiver: str
    streams: int
    packets: int
    cpu_us_per_packet: float
    core_percent: float
    lost_by_host: int
    lost_by_stream: int | None = None
    events: int | None = None


def frequency_hz(stream: int) -> float:
    """Give each stream a tone of its own; odd, so that it repeats after a second and hides no usual slip."""
    return 1283.0 + 2 * stream


def tick_seconds(streams: int) -> float:
    """Return the daemon's tick under this load."""
    return min(TICK_SECONDS, GOOD_BATCH / (1000 * streams))


def ports(first: int, streams: int) -> list[int]:
    """Return the ports of the streams: even ones, as RTP has them."""
    return [first + 2 * k for k in range(streams)]


def run_sender(first_port: int, streams: int, seconds: float, sent: Synchronized[int]) -> None:
    """Send, in a process of its own, and keep ``sent`` up to date."""

    def count(progress: Progress) -> None:
        sent.value = progress.packets_sent

    settings = [
        StreamSettings(Endpoint(ADDRESS, port), signal=ToneSignal([frequency_hz(k)]), ssrc=k + 1)
        for k, port in enumerate(ports(first_port, streams))
    ]
    with Sender(settings, duration_seconds=seconds) as sender:
        sender.run(count, every_seconds=0.01)


def run_bare(first_port: int, streams: int) -> None:
    """Receive and throw away, in a process of its own, until it is ended."""
    opened = open_sockets(Endpoint(ADDRESS, port) for port in ports(first_port, streams))
    descriptors = [item.socket.fileno() for item in opened]
    slot = np.empty((1, 2048), np.uint8)
    messages, buffers = mmsg.messages(1024)
    buffers["base"] = slot.ctypes.data
    buffers["length"] = slot.shape[1]
    address = messages.ctypes.data
    while True:
        for descriptor in descriptors:
            while mmsg.receive(descriptor, address, len(messages)) == len(messages):
                pass
        time.sleep(tick_seconds(streams))


def run_drain(first_port: int, streams: int) -> None:
    """Receive as the daemon does and throw the batches away, in a process of its own, until it is ended."""
    receiver = UdpReceiver([Endpoint(ADDRESS, port) for port in ports(first_port, streams)])
    while True:
        receiver.drain()
        time.sleep(tick_seconds(streams))


@contextmanager
def loop(target: Callable[[int, int], None], first_port: int, streams: int) -> Iterator[int]:
    """Run a receive loop of this file in a process of its own; yield its id."""
    process = SPAWN.Process(target=target, args=(first_port, streams), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        yield process.pid
    finally:
        process.terminate()
        process.join()


@contextmanager
def program(command: list[str], log: Path) -> Iterator[int]:
    """Run a program until the block is left; yield its process id. Its output is shown where it ends by itself."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process.pid
            ended = process.poll() is not None
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
    if ended:
        raise SystemExit(f"{command[:4]} ended with {process.returncode}:\n{log.read_text(errors='replace')[-2000:]}")


def daemon_config(first_port: int, streams: int, metrics_port: int, backend: str | None = None) -> str:
    """Return the daemon's configuration."""
    text = f'[metrics]\nlisten = "{ADDRESS}:{metrics_port}"\n'
    text += f'[receive]\nbackend = "{backend}"\n' if backend else ""
    for k, port in enumerate(ports(first_port, streams)):
        text += f'\n[[stream]]\nname = "bench-{k}"\nsource = "rtp://{ADDRESS}:{port}"\nencoding = "L24/48000/2"\n'
        text += f'reference = "tone:{frequency_hz(k):g}"\n'
    return text


def gstreamer_command(first_port: int, streams: int) -> list[str]:
    """Return the receive-only pipelines, all in one process."""
    caps = "application/x-rtp,media=audio,clock-rate=48000,encoding-name=L24,channels=2,payload=97"
    pipelines = [
        f"udpsrc address={ADDRESS} port={port} buffer-size={8 << 20} caps={caps} "
        "! rtpjitterbuffer ! rtpL24depay ! audioconvert ! fakesink"
        for port in ports(first_port, streams)
    ]
    return ["gst-launch-1.0", "-q", *" ".join(pipelines).split()]


DAEMONS = ("rtpverify", "ring")
LOOPS = {"bare": run_bare, "drain": run_drain}


def cpu_ns(process_id: int) -> int:
    """Return the CPU time of all threads that a process has, in ns."""
    tasks = Path(f"/proc/{process_id}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def udp_sockets() -> dict[int, int]:
    """Return what the kernel dropped at each local UDP port."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return {int(line.split()[1].split(":")[1], 16): int(line.split()[-1]) for line in lines}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; give up after half a minute."""
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what} in {START_SECONDS:g} s")
        time.sleep(0.05)


def metric_sum(metrics_port: int, name: str) -> int:
    """Return the sum of a metric of the daemon over its labels."""
    with urllib.request.urlopen(f"http://{ADDRESS}:{metrics_port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return round(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))))


def measure(receiver: str, first_port: int, streams: int, seconds: float, folder: Path) -> Row:
    """Run one receiver against so many streams."""
    metrics_port = first_port - 1
    if receiver in LOOPS:
        running = loop(LOOPS[receiver], first_port, streams)
    elif receiver == "gstreamer":
        running = program(gstreamer_command(first_port, streams), folder / "gstreamer.log")
    else:
        configuration = folder / f"bench-{streams}.toml"
        backend = receiver if receiver == "ring" else None
        configuration.write_text(daemon_config(first_port, streams, metrics_port, backend))
        running = program([sys.executable, "-m", "rtpverify", "serve", str(configuration)], folder / "rtpverify.log")
    with running as process_id:
        mine = set(ports(first_port, streams))
        wait_until(lambda: mine <= udp_sockets().keys(), f"{receiver} did not open {streams} ports from {first_port}")
        sent = SPAWN.Value("q", 0)
        sender = SPAWN.Process(
            target=run_sender, args=(first_port, streams, WARM_UP_SECONDS + seconds + 1.0, sent), daemon=True
        )
        sender.start()
        wait_until(lambda: sent.value > 0, "the sender sent nothing")
        time.sleep(WARM_UP_SECONDS)
        before_ns, before_packets, start = cpu_ns(process_id), sent.value, time.monotonic()
        time.sleep(seconds)
        used_ns, packets = cpu_ns(process_id) - before_ns, sent.value - before_packets
        elapsed_seconds = time.monotonic() - start
        if packets <= 0:
            raise SystemExit(f"the sender of {streams} streams sent nothing in {seconds:g} s: this machine is too busy")
        sender.join()
        time.sleep(1.0)
        drops = udp_sockets()
        row = Row(
            receiver=receiver,
            streams=streams,
            packets=packets,
            cpu_us_per_packet=used_ns / packets / 1000,
            core_percent=used_ns / elapsed_seconds / 1e7,
            lost_by_host=sum(drops[port] for port in mine),
        )
        if receiver == "ring":
            row.lost_by_host = metric_sum(metrics_port, "rtpverify_receive_buffer_dropped_total")
        if receiver in DAEMONS:
            row.lost_by_stream = metric_sum(metrics_port, "rtpverify_packets_lost_total")
            row.events = metric_sum(metrics_port, "rtpverify_events_total")
    return row


def versions() -> dict[str, str]:
    """Return what was measured, and on what."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    found = {
        "rtpverify": rtpverify.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "cpu": f"{multiprocessing.cpu_count()} × {cpu}",
        "command": " ".join(["python", *sys.argv]),
    }
    if shutil.which("gst-launch-1.0"):
        told = subprocess.run(["gst-launch-1.0", "--version"], capture_output=True, text=True, check=True).stdout
        found["gstreamer"] = told.split()[2]
    return found


def write_table(rows: list[Row]) -> None:
    """Print the figures, each beside the bare loop's and GStreamer's of the same load."""
    print(f"{'streams':>7}  {'receiver':10} {'packets':>9} {'CPU µs/packet':>13} {'% of a core':>11}", end="")
    print(f" {'× bare':>7} {'× gst':>6} {'host lost':>9} {'lost':>5} {'events':>6}")
    for row in rows:
        others = {other.receiver: other.cpu_us_per_packet for other in rows if other.streams == row.streams}
        ratios = [row.cpu_us_per_packet / others.get(name, math.nan) for name in ("bare", "gstreamer")]
        told = ["-" if value is None else str(value) for value in (row.lost_by_stream, row.events)]
        print(f"{row.streams:7}  {row.receiver:10} {row.packets:9} {row.cpu_us_per_packet:13.2f}", end="")
        print(f" {row.core_percent:11.1f} {ratios[0]:7.2f} {ratios[1]:6.2f} {row.lost_by_host:9}", end="")
        print(f" {told[0]:>5} {told[1]:>6}")


def main() -> None:
    """Run the benchmark."""
    usual = ["bare", "rtpverify", "ring", "gstreamer"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each measurement lasts (10)")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64], help="loads to measure (1 16 64)")
    parser.add_argument(
        "--receivers", nargs="+", choices=[*usual, "drain"], default=usual, help="which to run, in order"
    )
    parser.add_argument("--port", type=int, default=20000, help="first port; the one below it serves metrics (20000)")
    parser.add_argument("--json", type=Path, help="write the figures to a file, too")
    options = parser.parse_args()
    if sys.platform != "linux":
        raise SystemExit("needs Linux: recvmmsg and /proc")
    if "gstreamer" in options.receivers and not shutil.which("gst-launch-1.0"):
        print("gst-launch-1.0 is not there (Debian: gstreamer1.0-tools, gstreamer1.0-plugins-good); left out\n")
        options.receivers.remove("gstreamer")
    known = versions()
    for name, value in known.items():
        print(f"{name:10} {value}")
    print()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for streams in options.streams:
            for receiver in options.receivers:
                print(f"{streams} stream(s) to {receiver} ...", file=sys.stderr)
                rows.append(measure(receiver, options.port, streams, options.seconds, Path(folder)))
    write_table(rows)
    print(f"\n{FAIRNESS}")
    if options.json is not None:
        figures = {"versions": known, "seconds": options.seconds, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
