"""What a stream costs that is full of faults: processor time for each of them, beside that of an earlier revision.

A fault every 50 ms on each of eight channels, of five kinds in turn, in a tone and against a recording. Run by
``make bench-faults``; ``BEFORE=main~20`` measures that revision in the same run, round by round, and gives ratios.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ, CHANNELS, SECONDS, EVERY = 48_000, 8, 6, 2400
FREQUENCY_HZ = 1283.0
STEP = 2.0**-23


def programme() -> NDArray[np.float64]:
    """Return something like music, another on each channel, shape (n, channels)."""
    rng, t = np.random.default_rng(1), np.arange((SECONDS + 1) * RATE_HZ) / RATE_HZ
    columns = []
    for _ in range(CHANNELS):
        partials = (
            np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) * (1.1 + np.sin(2 * np.pi * rng.uniform(0.5, 4) * t))
            for hz in rng.uniform(80, 4000, 12)
        )
        columns.append(0.02 * sum(partials) + 1e-3 * rng.standard_normal(len(t)))
    return np.rint(np.stack(columns, axis=1) / STEP) * STEP


def tone() -> NDArray[np.float64]:
    """Return a tone, another phase on each channel, shape (n, channels)."""
    t = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    phases = 2 * np.pi * FREQUENCY_HZ * t[:, None] + np.arange(CHANNELS)
    return np.rint(0.3 * np.sin(phases) / STEP) * STEP


def spoilt(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Return frames with faults from the second second on, and how many there are."""
    rng, x, count = np.random.default_rng(2), x.copy(), 0
    for number, at in enumerate(range(RATE_HZ, len(x) - 2 * EVERY, EVERY)):
        frames = int(rng.integers(48, EVERY // 2))
        for channel in range(CHANNELS):
            start = at + 7 * channel
            part, kind = x[start : start + frames, channel], number % 5
            if kind == 0:
                part[:] = 0.0
            elif kind == 1:
                part *= 0.5
            elif kind == 2:
                part[0] += 0.1
            elif kind == 3:
                part += 1e-3 * rng.standard_normal(frames)
            else:
                part[:] = x[start - 2000 : start - 2000 + frames, channel].copy()
            count += 1
    return np.rint(x / STEP) * STEP, count


class _Played:
    """A recording as the package reads one."""

    bandwidth, period_frames, sample_rate_hz = 0.5, None, RATE_HZ

    def __init__(self, frames: NDArray[np.float64]) -> None:
        self._frames, (self.frames, self.channels) = frames, frames.shape

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        out = np.zeros((stop - start, self.channels))
        first, last = max(start, 0), min(stop, self.frames)
        if first < last:
            out[first - start : last - start] = self._frames[first:last]
        return out


def cpu_seconds(x: NDArray[np.float64], played: NDArray[np.float64] | None) -> float:
    """Return the processor time of verifying frames that come in packets of 10 ms."""
    from rtpverify.engine.file_verifier import FrameVerifier
    from rtpverify.limits import PROFILES
    from rtpverify.reference import Recording, Tone

    reference: Tone | Recording = Tone((FREQUENCY_HZ,))
    if played is not None:
        audio = _Played(played)
        reference = Recording(Path("played.wav"), lambda _: audio, CHANNELS, RATE_HZ, looped=False)
    verifier = FrameVerifier(reference, PROFILES["digital"], RATE_HZ, CHANNELS, "L24", 24)
    start = time.process_time()
    for first in range(0, len(x), 480):
        verifier.feed(x[first : first + 480])
    verifier.finish()
    verifier.result("faults")
    return time.process_time() - start


def figures() -> dict[str, dict[str, float]]:
    """Return, for a tone and a recording, milliseconds for each fault and channel, and processor time over duration."""
    music = programme()
    found = {}
    for name, x, played in (("tone", tone(), None), ("recording", music[: SECONDS * RATE_HZ], music)):
        faulty, count = spoilt(x)
        cpu_seconds(x[:RATE_HZ], played)  # loads what is loaded once
        clean, spent = cpu_seconds(x, played), cpu_seconds(faulty, played)
        found[name] = {
            "fault_ms": 1e3 * (spent - clean) / count,
            "load": spent / SECONDS,
            "clean_load": clean / SECONDS,
        }
    return found


def measured(tree: Path) -> dict[str, dict[str, float]]:
    """Return the figures of the package in a tree."""
    command = [sys.executable, __file__, "--measure"]
    environment = os.environ | {"PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the least of some rounds, and its ratio to that of the earlier revision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="print the figures of one round as JSON")
    parser.add_argument("--before", help="an earlier revision to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run (3)")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(figures()))
        return
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": here}
        if options.before:
            archive = subprocess.run(
                ["git", "archive", options.before, "rtpverify"], cwd=here, check=True, capture_output=True
            ).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
                packed.extractall(folder, filter="data")
            trees["before"] = Path(folder)
        rounds: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in trees}
        for _ in range(options.rounds):
            for name, tree in trees.items():
                rounds[name].append(measured(tree))
    units = {
        "fault_ms": "ms of processor time for each fault",
        "load": "of real time, all faulty",
        "clean_load": "of real time, clean",
    }
    for reference in rounds["now"][0]:
        for figure, unit in units.items():
            least = {name: min(item[reference][figure] for item in items) for name, items in rounds.items()}
            ratio = f", {least['now'] / least['before']:.2f} of {options.before}" if "before" in least else ""
            print(f"{reference:9s} {least['now']:7.3f} {unit}{ratio}")


if __name__ == "__main__":
    main()
