"""What tshark makes of a capture, as the second opinion on every count."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass
class Statistics:
    """A line of tshark's RTP stream statistics."""

    ssrc: int
    packets: int
    lost: int


def _tshark(capture: Path, port: int, *arguments: str) -> str:
    command = ["tshark", "-n", "-r", str(capture), "-d", f"udp.port=={port},rtp", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def statistics(capture: Path, port: int) -> list[Statistics]:
    """Return the streams that tshark finds."""
    table = _tshark(capture, port, "-q", "-z", "rtp,streams")
    rows = re.findall(r"(0x[0-9A-F]{8})\s+\S+\s+(\d+)\s+(-?\d+) \(", table)
    return [Statistics(int(ssrc, 16), int(packets), int(lost)) for ssrc, packets, lost in rows]


def headers(capture: Path, port: int) -> list[tuple[int, int]]:
    """Return sequence number and timestamp of every RTP packet, as on the wire, in order."""
    fields = _tshark(capture, port, "-Y", "rtp", "-T", "fields", "-e", "rtp.seq", "-e", "rtp.timestamp")
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
