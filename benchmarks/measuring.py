"""What benchmarks of commands have in common: commands in turn, their processor time, and a table of ratios.

Ratios are of the least processor time that each command took in one run of the benchmark: a busy machine makes
commands slower, never faster. Every sample is kept, with host, processor features and versions.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import rtpverify

OURS = "rtpverify"
_FEATURES = ("avx512f", "avx2", "sve", "asimd")
"""Features of processors that NumPy and OpenBLAS have kernels for, the best first."""


@dataclass(slots=True)
class Row:
    """One command on one input.

    Attributes
    ----------
    work
        What it was given.
    tool
        Who did it.
    cpu_seconds
        Processor time of each run, start-up included.
    peak_mib
        Most memory of any run.
    wanted
        How many times as fast as this tool ours should be; None where that is not asked.
    """

    work: str
    tool: str
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    wanted: float | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What is run; ``wanted`` as in :class:`Row`."""

    work: str
    tool: str
    words: Sequence[str]
    wanted: float | None = None

    @property
    def is_there(self) -> bool:
        """Whether the program is installed."""
        return shutil.which(self.words[0]) is not None


def ours(*words: str) -> list[str]:
    """Return the words that run a command of ours."""
    return [sys.executable, "-m", "rtpverify", *words]


def run(words: Sequence[str]) -> tuple[float, float]:
    """Run a command; return its processor time in seconds and its peak memory in MiB."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}:\n{said.decode(errors='replace')[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(commands: Sequence[Command], rounds: int) -> list[Row]:
    """Run commands in turn, all of them so many times; those that are not installed are shown and left out."""
    there = [command for command in commands if command.is_there]
    for command in commands:
        if command not in there:
            print(f"{command.words[0]} is not installed: {command.work} is not compared with it")
    rows = [Row(command.work, command.tool, wanted=command.wanted) for command in there]
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} ...", file=sys.stderr)
        for command, row in zip(there, rows, strict=True):
            seconds, peak_mib = run(command.words)
            row.cpu_seconds.append(seconds)
            row.peak_mib = max(row.peak_mib, peak_mib)
    return rows


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return how many times as fast ours was as each other tool, by work and tool."""
    best = {row.work: min(row.cpu_seconds) for row in rows if row.tool == OURS}
    return {
        f"{row.work}: {row.tool}": min(row.cpu_seconds) / best[row.work]
        for row in rows
        if row.tool != OURS and row.work in best
    }


def processor() -> str:
    """Return the class of this processor: machine and the best feature that kernels are chosen by."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.is_file() else set()
    return f"{platform.machine()}-{next((name for name in _FEATURES if name in flags), 'plain')}"


def circumstances() -> dict[str, str]:
    """Return what was measured, and on what."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        OURS: rtpverify.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "cpu": f"{os.cpu_count()} x {model or platform.machine()}",
        "class": processor(),
        "disabled": os.environ.get("NPY_DISABLE_CPU_FEATURES", ""),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "command": " ".join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
    }


def show(rows: Sequence[Row], known: Mapping[str, str], path: Path | None = None) -> None:
    """Print the table, and write everything to a file where one is named."""
    for name, value in known.items():
        print(f"{name:10} {value}")
    found = ratios(rows)
    print(f"\n{'work':44} {'tool':22} {'CPU s':>7} {'MiB':>5} {'times as fast':>13} {'wanted':>6}  all runs")
    for row in rows:
        ratio = found.get(f"{row.work}: {row.tool}")
        times = "" if ratio is None else f"{ratio:.2f}"
        wanted = "" if row.wanted is None else f"{row.wanted:g}"
        runs = " ".join(f"{seconds:.2f}" for seconds in row.cpu_seconds)
        least = min(row.cpu_seconds)
        print(f"{row.work:44} {row.tool:22} {least:7.2f} {row.peak_mib:5.0f} {times:>13} {wanted:>6}  {runs}")
    if path is not None:
        figures = {"circumstances": dict(known), "rows": [asdict(row) for row in rows], "ratios": found}
        path.write_text(json.dumps(figures, indent=2) + "\n")
