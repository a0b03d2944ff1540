"""What tshark makes of a capture, as the second opinion on every count."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.helpers.patience import PATIENCE_SECONDS


@dataclass
class Statistics:
    """A line of tshark's RTP stream statistics; its jitter is a fiction where it does not know the clock rate."""

    ssrc: int
    destination: str
    packets: int
    lost: int
    mean_interval_ms: float
    max_interval_ms: float
    max_jitter_ms: float


def _tshark(capture: Path, port: int, *arguments: str) -> str:
    command = ["tshark", "-n", "-r", str(capture), "-d", f"udp.port=={port},rtp", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout


def statistics(capture: Path, port: int) -> list[Statistics]:
    """Return the streams that tshark finds."""
    table = _tshark(capture, port, "-q", "-z", "rtp,streams")
    number = r"\s+(-?[\d.]+)"
    row = rf"(\S+)\s+(\d+) (0x[0-9A-F]{{8}})\s+\S+\s+(\d+)\s+(-?\d+) \(\S+\){6 * number}"
    return [
        Statistics(
            ssrc=int(ssrc, 16),
            destination=f"{address}:{port}",
            packets=int(packets),
            lost=int(lost),
            mean_interval_ms=float(numbers[1]),
            max_interval_ms=float(numbers[2]),
            max_jitter_ms=float(numbers[5]),
        )
        for address, port, ssrc, packets, lost, *numbers in re.findall(row, table)
    ]


def headers(capture: Path, port: int, destination: str = "") -> list[tuple[int, int]]:
    """Return sequence number and timestamp of every RTP packet (to a destination), as on the wire, in order."""
    which = f"rtp && ip.dst == {destination.partition(':')[0]}" if destination else "rtp"
    fields = _tshark(capture, port, "-Y", which, "-T", "fields", "-e", "rtp.seq", "-e", "rtp.timestamp")
    return [(int(sequence), int(timestamp)) for sequence, timestamp in map(str.split, fields.splitlines())]


def gaps(packets: list[tuple[int, int]], packet_frames: int) -> list[tuple[int, int, int]]:
    """Return start frame, frames and packets of every hole in packets that came in order."""
    found = []
    first = packets[0][1]
    for (sequence, timestamp), (next_sequence, next_timestamp) in pairwise(packets):
        missing = (next_sequence - sequence - 1) % 2**16
        if missing:
            start = (timestamp + packet_frames - first) % 2**32
            found.append((start, (next_timestamp - timestamp) % 2**32 - packet_frames, missing))
    return found
