"""Compares ratios of bench-files and bench-capture with those committed of the same class of processors.

Run by ``make bench-regression``; ``--record`` writes them down instead.

Exit status 1 where one is more than :data:`WORSE` worse, 2 where there is nothing to compare with.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import capture, files
from benchmarks.measuring import circumstances, measure, processor, ratios, show

BASELINE = Path(__file__).with_name("baseline.json")
WORSE = 0.2
FILE_SECONDS, CAPTURE_SECONDS = 900, 300
"""Long enough that start-up is the smaller part, short enough for every change."""


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is run (5)")
    parser.add_argument("--record", action="store_true", help="write the ratios down as those of this processor class")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = files.commands(Path(folder), FILE_SECONDS) + capture.commands(Path(folder), CAPTURE_SECONDS)
        rows = measure(commands, options.rounds)
    known, found = circumstances(), ratios(rows)
    show(rows, known)
    baseline = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {}
    if options.record:
        samples = {f"{row.work}: {row.tool}": [round(seconds, 3) for seconds in row.cpu_seconds] for row in rows}
        baseline[processor()] = {
            "circumstances": known,
            "ratios": {name: round(ratio, 3) for name, ratio in found.items()},
            "cpu_seconds": samples,
        }
        BASELINE.write_text(json.dumps(baseline, indent=2, sort_keys=True) + "\n")
        return 0
    committed = baseline.get(processor(), {}).get("ratios", {})
    compared = {name: (ratio, committed[name]) for name, ratio in found.items() if name in committed}
    if not compared:
        print(f"\nno ratios of {processor()} in {BASELINE.name}: record them with --record", file=sys.stderr)
        return 2
    worse = {name: pair for name, pair in compared.items() if pair[0] < (1.0 - WORSE) * pair[1]}
    for name, (now, before) in worse.items():
        print(f"worse: {name}: {now:.2f} times as fast, {before:.2f} when it was recorded")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
