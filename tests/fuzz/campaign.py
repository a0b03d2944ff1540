"""The long run of targets, guided by the branches that inputs reach (atheris), as ``make fuzz`` starts it.

    python -m tests.fuzz.campaign [TARGET...] [--inputs N] [--seconds S] [--seed N]

What it finds lies in ``build/fuzz/TARGET``: ``corpus`` with an input for each new branch, from which the next run
starts, and ``crash-...`` or ``timeout-...`` with what failed. A line for each states how many
inputs were run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.target import Target

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "fuzz"
SLOWEST_SECONDS = 30
"""An input that takes longer hangs."""
MOST_MEBIBYTES = 2048
GUIDED_BY = "RTPVERIFY_FUZZ_GUIDED_BY"
"""Names, in the process that takes inputs, the packages and modules whose branches guide it."""


def main() -> int:
    """Run targets, one after the other; return the exit status of the first that failed."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all, if none is given: {', '.join(TARGETS)}")
    parser.add_argument("--inputs", type=int, help="most inputs; what each target asks for where nothing is given")
    parser.add_argument("--seconds", type=float, help="longest time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    statuses = []
    for name in asked.targets or TARGETS:
        target = TARGETS[name]
        inputs, seconds = asked.inputs, asked.seconds
        if inputs is None and seconds is None:
            inputs, seconds = target.inputs, None if target.hours is None else 3600 * target.hours
        statuses.append(run(name, target, inputs or -1, round(seconds or 0), asked.seed))
    return next(filter(None, statuses), 0)


def run(name: str, target: Target, inputs: int, seconds: int, seed: int) -> int:
    """Run a target in a process of its own, which the fuzzer ends; return its exit status."""
    folder = FOLDER / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(target.corpus):
        (corpus / f"seed-{number}").write_bytes(content)
    options = {
        "runs": inputs,
        "max_total_time": seconds,
        "max_len": max(target.longest, *map(len, target.corpus)),
        "timeout": SLOWEST_SECONDS,
        "rss_limit_mb": MOST_MEBIBYTES,
        "artifact_prefix": f"{folder}/",
        "seed": seed,
    }
    flags = [f"-{option}={value}" for option, value in options.items()]
    command = [sys.executable, "-m", "tests.fuzz.campaign", name, *flags, corpus]
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, GUIDED_BY: " ".join(target.guided_by)}
        done = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)
    said = (folder / "log").read_text(encoding="utf-8", errors="backslashreplace")
    if done.returncode:
        print("\n".join(said.splitlines()[-60:]), file=sys.stderr)
    ran = max(map(int, re.findall(r"^#(\d+)\t", said, re.MULTILINE)), default=0)
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    print(
        f"{name}: {ran} inputs in {time.monotonic() - began:.0f} s, exit status {done.returncode}, seed {seed}, "
        f"{time.strftime('%Y-%m-%d')}, commit {commit}",
        flush=True,
    )
    return done.returncode


def fuzz(name: str, guided_by: Sequence[str]) -> None:
    """Take inputs until the fuzzer ends the process."""
    import atheris

    class Others(frozenset[str]):
        """Every module but those that guide."""

        def __contains__(self, module: object) -> bool:
            return not any(module == one or str(module).startswith(f"{one}.") for one in guided_by)

    with atheris.instrument_imports(include=sorted({one.partition(".")[0] for one in guided_by})):
        finder = next(one for one in sys.meta_path if hasattr(one, "_exclude_modules"))
        finder._exclude_modules = Others()  # noqa: SLF001 - atheris has no other way
        from tests.fuzz.targets import TARGETS

        target = TARGETS[name]
        opened = target.open()
        take = opened.__enter__()
        for seed in target.corpus:  # what is imported where it is used guides, too
            take(seed)
    atheris.Setup(sys.argv[1:], take)
    atheris.Fuzz()


if __name__ == "__main__":
    if guided := os.environ.get(GUIDED_BY):
        fuzz(sys.argv[1], guided.split())
    else:
        sys.exit(main())
