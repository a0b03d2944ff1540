"""Inputs that tests of the whole program share."""

import gc
import os
import signal
import struct
import subprocess
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from rtpverify.rtp.payload import encode, parse_rtpmap
from tests.helpers.seeds import SEED

# No test is held to a time: a busy machine is no fault of the program.
settings.register_profile("untimed", deadline=None, derandomize=SEED == "0")
settings.load_profile("untimed")

# Where the tests run in the background of a shell, Ctrl-C is ignored, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start two workers more than there are cores: some tests wait for programs and packets."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 2


def pytest_collection_finish() -> None:
    """Take what was collected out of the garbage collector's way: it stays until the end."""
    gc.freeze()


def pytest_report_header() -> str:
    """Tell how to repeat the run."""
    return f"RTPVERIFY_SEED={SEED}"


_START_NS = 1_790_000_000_000_000_000


@pytest.fixture
def write_capture(tmp_path: Path) -> Callable[..., Path]:
    """Write a capture of one stream with a tone: pcap in nanoseconds, Ethernet, IPv4, UDP, RTP."""

    def write(
        name: str = "capture.pcap",
        *,
        encoding: str = "L24/48000/2",
        payload_type: int = 97,
        frequency_hz: float = 997.0,
        seconds: float = 2.0,
        packet_frames: int = 48,
        lost: Collection[int] = (),
        jitter_ns: float = 0.0,
    ) -> Path:
        form = parse_rtpmap(encoding)
        packets = round(seconds * form.sample_rate_hz / packet_frames)
        frame = np.arange(packets * packet_frames)
        tone = 0.5 * np.sin(2 * np.pi * frequency_hz * frame / form.sample_rate_hz)
        samples = np.repeat(tone[:, None], form.channels, axis=1).reshape(packets, packet_frames, form.channels)
        late_ns = np.abs(np.random.default_rng(1).normal(0, jitter_ns, packets))
        records = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)]
        for index in range(packets):
            if index in lost:
                continue
            rtp = struct.pack(">BBHII", 0x80, payload_type, (65_500 + index) % 65536, index * packet_frames, 0x5EED0001)
            rtp += encode(form, samples[index])
            udp = struct.pack(">HHHH", 5004, 5004, 8 + len(rtp), 0) + rtp
            ends = bytes([192, 0, 2, 7, 239, 1, 2, 3])
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 16, 17, 0) + ends + udp
            ethernet = bytes.fromhex("01005e010203 020000000007 0800") + ip
            time_ns = _START_NS + round(index * packet_frames * 1e9 / form.sample_rate_hz + late_ns[index])
            seconds_ns = divmod(time_ns, 1_000_000_000)
            records.append(struct.pack("<IIII", *seconds_ns, len(ethernet), len(ethernet)) + ethernet)
        path = tmp_path / name
        path.write_bytes(b"".join(records))
        return path

    return write


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
