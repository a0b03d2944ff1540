"""``rtpverify compare`` beside MFCC and DTW as most write it, and on long recordings. Run by ``make bench-compare``.

Pairs of 60 s (``SECONDS``): equal, with a mute of 1 ms and 48 frames missing, and (with ffmpeg) through MP3. Every run
is a process of its own, start of the interpreter and imports included; the two take turns, once before it counts.
Then pairs of one length after the other (``HOURS=1,10``, or none) are made in a temporary folder and compared: what
does each hour take?
Prints figures, asserts none of them.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 48000
SECONDS = int(os.environ.get("SECONDS", "60"))
HOURS = tuple(float(hours) for hours in os.environ.get("HOURS", "1,10").split(",") if hours != "none")
RUNS = int(os.environ.get("RUNS", "3"))
BLOCK_SECONDS = 60
MOST_SECONDS = float(os.environ.get("MOST_SECONDS", "7200"))
"""After so long a run is ended."""

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Modules are compiled once, in a run that is not counted, as they are when a package is installed."""

PEER = """
import sys
import librosa
from dtw import dtw
x, y = (librosa.feature.mfcc(y=signal, sr=rate_hz).T
        for signal, rate_hz in (librosa.load(path, sr=None) for path in sys.argv[1:]))
print(dtw(x, y).normalizedDistance)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one process took, and the last figure of the line that tells the distance."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    status: int
    said: str


def music(seconds: int, seed: int) -> NDArray[np.float64]:
    """Return decaying chords over faint noise, one channel."""
    rng = np.random.default_rng(seed)
    out = 1e-3 * rng.standard_normal(seconds * RATE_HZ)
    for _ in range(8 * seconds):
        start = int(rng.integers(0, len(out)))
        time_s = np.arange(min(RATE_HZ, len(out) - start)) / RATE_HZ
        pitch_hz = 110 * 2 ** (rng.integers(0, 36) / 12)
        note = sum(np.sin(2 * np.pi * h * pitch_hz * time_s) / h for h in range(1, 5))
        out[start : start + len(time_s)] += 0.05 * np.exp(-5 * time_s) * note
    return np.clip(out, -1.0, 1.0)


def blocks(seconds: int) -> Iterator[NDArray[np.float64]]:
    """Yield music without end, minute by minute, no two alike: each is made of few, at levels of its own."""
    minutes = [music(BLOCK_SECONDS, seed) for seed in range(4)]
    rng = np.random.default_rng(9)
    for _ in range(0, seconds, BLOCK_SECONDS):
        weights = rng.uniform(0.1, 0.5, len(minutes))
        shifts = rng.integers(0, BLOCK_SECONDS * RATE_HZ, len(minutes))
        mixed = sum(
            weight * np.roll(minute, shift) for weight, minute, shift in zip(weights, minutes, shifts, strict=True)
        )
        yield np.clip(np.asarray(mixed), -1.0, 1.0)


LAUNCHER = """
import json, os, subprocess, sys, tempfile, time
for request in sys.stdin:
    command, environment, most_seconds = json.loads(request)
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True, env=environment)
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            if time.perf_counter() - start > most_seconds:
                process.kill()
            time.sleep(0.002)
        wall = time.perf_counter() - start
        output.seek(0)
        cpu = usage.ru_utime + usage.ru_stime
        answer = [wall, cpu, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status), output.read().splitlines()]
    print(json.dumps(answer), flush=True)
"""
"""Starts the processes: the system counts the memory of the one that starts another as that one's, too."""


@cache
def launcher() -> subprocess.Popen[str]:
    """Return the small process that starts the others."""
    command = [sys.executable, "-I", "-S", "-c", LAUNCHER]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measured(command: list[str]) -> Run:
    """Run a process to its end."""
    process = launcher()
    if process.stdin is None or process.stdout is None:
        raise AssertionError("the launcher has pipes")
    print(json.dumps([command, ENVIRONMENT, MOST_SECONDS]), file=process.stdin, flush=True)
    wall, cpu, peak_mib, status, lines = json.loads(process.stdout.readline())
    words = next((line.split() for line in lines if "Distance" in line), lines[-1].split() if lines else [])
    said = words[1] if words[:1] == ["Distance"] else " ".join(words)[:60]
    return Run(wall, cpu, peak_mib, status, said)


def line(name: str, run: Run) -> str:
    """Return the line of a run."""
    return (
        f"{name:28} {run.wall_seconds:9.2f} s  CPU {run.cpu_seconds:9.2f} s  peak {run.peak_mib:7.0f} MiB  "
        f"status {run.status}  distance {run.said}"
    )


def short_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Write the pairs of files that both are given."""
    reference = music(SECONDS, 1)
    paths = {name: folder / f"{name}.wav" for name in ("reference", "equal", "damaged")}
    for path, signal in zip(paths.values(), (reference, reference, damaged(reference)), strict=True):
        soundfile.write(path, signal, RATE_HZ, subtype="PCM_16")
    pairs = {"equal": paths["equal"], "mute and slip": paths["damaged"]}
    if shutil.which("ffmpeg"):
        coded, decoded = folder / "coded.mp3", folder / "decoded.wav"
        for source, target in ((paths["reference"], coded), (coded, decoded)):
            subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-i", source, target], check=True)
        pairs["through MP3"] = decoded
    return {name: (paths["reference"], path) for name, path in pairs.items()}


def side_by_side(folder: Path) -> None:
    """Print what both take for each pair, the best of some runs of each."""
    for name, (reference, received) in short_pairs(folder).items():
        files = [str(reference), str(received)]
        commands = {
            "rtpverify compare": [sys.executable, "-m", "rtpverify", "compare", *files],
            "librosa MFCC + dtw-python": [sys.executable, "-W", "ignore", "-c", PEER, *files],
        }
        runs: dict[str, list[Run]] = {title: [] for title in commands}
        for number in range(1 + RUNS):
            for title, command in commands.items():
                run = measured(command)
                if number:
                    runs[title].append(run)
        print(f"\n{SECONDS} s of L16/{RATE_HZ}/1, {name}: the quickest of {RUNS} runs each, in turns")
        best = {title: min(taken, key=lambda run: run.wall_seconds) for title, taken in runs.items()}
        for title, run in best.items():
            print(line(title, run))
        ours, theirs = best.values()
        if theirs.status == 0:
            print(
                f"{theirs.wall_seconds / ours.wall_seconds:.1f} times as fast, "
                f"{theirs.peak_mib / ours.peak_mib:.1f} times less memory"
            )


def damaged(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signal with 1 ms muted at a third, and 48 frames missing at the half."""
    third, half = len(signal) // 3, len(signal) // 2
    return np.concatenate([signal[:third], np.zeros(48), signal[third + 48 : half], signal[half + 48 :]])


def long_pair(folder: Path, hours: float) -> tuple[Path, Path]:
    """Write a recording and a copy of it with a mute and missing frames in the middle, block by block."""
    seconds = round(3600 * hours)
    paths = folder / "long.wav", folder / "copy.wav"
    files = [soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16", format="RF64") for path in paths]
    middle = seconds // BLOCK_SECONDS // 2
    for number, block in enumerate(blocks(seconds)):
        files[0].write(block)
        files[1].write(damaged(block) if number == middle else block)
    for file in files:
        file.close()
    return paths


def long_pairs(folder: Path) -> None:
    """Print what comparing takes for each length."""
    print("\nLong pairs, L16/48000/1, a mute of 1 ms and 48 frames missing in the middle")
    for hours in HOURS:
        needed = 2 * 2 * RATE_HZ * 3600 * hours
        if shutil.disk_usage(folder).free < 1.2 * needed:
            print(f"{hours:g} h: left out, {needed / 1e9:.1f} GB do not fit in {folder}")
            continue
        pair = long_pair(folder, hours)
        run = measured([sys.executable, "-m", "rtpverify", "compare", *map(str, pair)])
        print(line(f"{hours:g} h", run) + f"  {run.wall_seconds / hours:.1f} s an hour", flush=True)
        for path in pair:
            path.unlink()


def main() -> None:
    """Print every comparison."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"load when it began: {os.getloadavg()[0]:.1f}")
    launcher()
    with tempfile.TemporaryDirectory() as name:
        side_by_side(Path(name))
        if HOURS:
            long_pairs(Path(name))


if __name__ == "__main__":
    main()
