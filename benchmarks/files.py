"""Speed and memory of ``rtpverify check`` on long files, next to tools that only measure (``make bench-files``)."""

import argparse
import tempfile
from pathlib import Path

from benchmarks.material import FREQUENCY_HZ, write_audio
from benchmarks.measuring import OURS, Command, circumstances, measure, ours, show

STEREO_TIMES_REAL_TIME = 1500
"""How fast an hour of 24-bit stereo should be checked."""


def commands(folder: Path, seconds: int) -> list[Command]:
    """Write the files, and return what is run on them."""
    found = []
    works = (("16-bit mono", 1, "PCM_16", 2.0, 1.0), ("24-bit stereo", 2, "PCM_24", None, 1.2))
    for name, channels, subtype, than_ffmpeg, than_sox in works:
        path = str(write_audio(folder / f"{subtype}.wav", seconds, channels, subtype))
        work = f"{name} WAV, {seconds} s"
        astats = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-af", "astats", "-f", "null", "-"]
        found += [
            Command(work, OURS, ours("check", path, "--reference", f"tone:{FREQUENCY_HZ}")),
            Command(work, "ffmpeg astats", astats, than_ffmpeg),
            Command(work, "sox stats", ["sox", path, "-n", "stats"], than_sox),
        ]
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600, help="length of the files (3600)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is run (5)")
    parser.add_argument("--json", type=Path, help="write the figures to a file, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(commands(Path(folder), options.seconds), options.rounds)
    show(rows, circumstances(), options.json)
    for row in rows:
        if row.tool == OURS:
            print(f"{row.work}: {options.seconds / min(row.cpu_seconds):,.0f} x real time by processor time")
    print(f"wanted of 24-bit stereo: {STEREO_TIMES_REAL_TIME:,} x real time")


if __name__ == "__main__":
    main()
