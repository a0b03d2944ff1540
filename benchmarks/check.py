"""Speed and memory of ``rtpverify check`` on a long recording, as a whole process. Run by ``make bench-check``.

Writes an hour of a stereo tone to a temporary WAV file, checks it in a process of its own, start of the interpreter
included, and prints the figures; asserts none of them.
"""

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 48000
HOURS = float(os.environ.get("HOURS", "1"))
RUNS = 2
FREQUENCY_HZ = 1283
"""A whole number of periods fits one second, so a second of it can be written over and over."""


def write_tone(path: Path, seconds: int) -> None:
    """Write a 24-bit stereo tone."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    second = np.repeat(0.5 * np.sin(2 * np.pi * FREQUENCY_HZ * time_s)[:, None], 2, axis=1)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_24") as file:
        for _ in range(seconds):
            file.write(second)


def main() -> None:
    """Print one line per run."""
    seconds = round(3600 * HOURS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hour.wav"
        write_tone(path, seconds)
        command = [sys.executable, "-m", "rtpverify", "check", str(path), "--reference", f"tone:{FREQUENCY_HZ}"]
        print(
            f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"
        )
        print(f"rtpverify check tone.wav --reference tone:{FREQUENCY_HZ}   ({seconds} s of L24/{RATE_HZ}/2)")
        for run in range(1, RUNS + 1):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            process = subprocess.run(command, check=False, capture_output=True, text=True)
            elapsed = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"run {run}: {elapsed:.2f} s, {seconds / elapsed:.0f} x real time, CPU {cpu:.2f} s, "
                f"peak memory {after.ru_maxrss / 1024:.0f} MiB, exit status {process.returncode}: "
                f"{(process.stdout or process.stderr).partition(chr(10))[0]}"
            )


if __name__ == "__main__":
    main()
