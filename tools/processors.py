"""Runs the tests as other machines would: with other kernels of numpy and OpenBLAS, and beside busy processes.

`make test-processors`, or some of it: `make test-processors RUNS='numpy Haswell'`. numpy and OpenBLAS choose their
kernels by what the processor can do, and no two kernels round alike. A test that passes with the kernels of one
processor only is wrong; so is one that passes only while nothing else runs.

- numpy: the features by which it chooses are switched off, so that its baseline remains.
- Haswell, Sandybridge: OpenBLAS, in numpy and in scipy, takes the kernels of these, and numpy does without the features
  that they do not have.
- load: every core has a busy process beside the tests.

What cannot be done on this machine is not run, and the last lines say why. That the other kernels are in use is looked
at, not assumed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNELS = {"Haswell": ("AVX2", "FMA3"), "Sandybridge": ("AVX",)}
"""Kernels of OpenBLAS, and what a processor must have for them, as numpy names it."""
_NEWER = {"Haswell": ("AVX512", "X86_V4"), "Sandybridge": ("",)}
"""How the names of features begin that numpy chooses kernels by, and that these processors do not have."""
CLOCKLESS = ("tests/detect", "tests/dsp", "tests/engine", "tests/media", "tests/rtp", "tests/transport")
"""Tests of what has neither a clock nor a socket, as lint proves: nothing that runs beside them can matter."""
NOT_NUMERICAL = (
    "tests/cli", "tests/commands/batch", "tests/commands/demo", "tests/commands/test_ending.py", "tests/daemon",
    "tests/end_to_end", "tests/evidence", "tests/history", "tests/live", "tests/observability", "tests/report",
    "tests/result", "tests/sources/capture", "tests/sources/live", "tests/sources/ring", "tests/test_import_cost.py",
    "tests/test_other_systems.py", "tests/test_package.py", "tests/test_pytest_plugin.py",
    "tests/test_robot_library.py", "tests/tools",
)  # fmt: skip
"""Tests of what receives, hands on, stores and shows the numbers that the rest computes."""


@dataclass(frozen=True)
class Processor:
    """What numpy and OpenBLAS take the processor for.

    Attributes
    ----------
    dispatched
        Features for which this numpy has kernels beyond its baseline.
    features
        Those that numpy sees and that are not switched off, dispatched or not.
    kernels
        The kernels in use of each OpenBLAS that numpy and scipy have loaded.
    """

    dispatched: tuple[str, ...]
    features: frozenset[str]
    kernels: tuple[str, ...]

    @classmethod
    def here(cls) -> Processor:
        """Return how it is in this process."""
        import scipy.linalg  # noqa: F401 - it has an OpenBLAS of its own
        from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
        from threadpoolctl import threadpool_info

        return cls(
            tuple(__cpu_dispatch__),
            frozenset(name for name, there in __cpu_features__.items() if there),
            tuple(info["architecture"] for info in threadpool_info() if info["internal_api"] == "openblas"),
        )

    @classmethod
    def within(cls, environment: Mapping[str, str]) -> Processor:
        """Return how it is in a process with more in its environment."""
        command = [sys.executable, __file__, "--describe"]
        done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
        said = json.loads(done.stdout)
        return cls(tuple(said["dispatched"]), frozenset(said["features"]), tuple(said["kernels"]))

    def described(self) -> str:
        """Return it for :meth:`within`."""
        fields = {"dispatched": self.dispatched, "features": sorted(self.features), "kernels": self.kernels}
        return json.dumps(fields)


@dataclass(frozen=True)
class Run:
    """One run of tests.

    Attributes
    ----------
    left_out
        Tests, files and folders of them, for which the run makes no difference.
    environment
        What it adds to the environment.
    switched_off, kernels
        What must be so for the environment to have taken effect: features that are gone, kernels that are in use.
    loaded
        Whether every core has a busy process meanwhile.
    impossible
        Why it cannot be done here; empty where it can.
    """

    name: str
    left_out: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()
    kernels: str = ""
    loaded: bool = False
    impossible: str = ""

    def fault(self, found: Processor) -> str:
        """Tell what of the environment did not take effect; empty where all did."""
        still = [name for name in self.switched_off if name in found.features]
        if still:
            return f"numpy still uses {' '.join(still)}"
        others = [name for name in found.kernels if name != self.kernels]
        if self.kernels and (others or not found.kernels):
            return f"OpenBLAS uses the kernels of {' '.join(others) or 'no processor'}"
        return ""


def runs(here: Processor) -> list[Run]:
    """Return every run, possible on this processor or not."""
    usable = tuple(name for name in here.dispatched if name in here.features)
    baseline = Run(
        "numpy",
        NOT_NUMERICAL,
        _without(usable),
        switched_off=usable,
        impossible="" if usable else "numpy uses nothing beyond its baseline on this processor",
    )
    others = []
    for name in KERNELS:
        newer = tuple(feature for feature in usable if feature.startswith(_NEWER[name]))
        environment = {"OPENBLAS_CORETYPE": name, **_without(newer)}
        others.append(Run(name, NOT_NUMERICAL, environment, newer, kernels=name, impossible=_obstacle(here, name)))
    return [baseline, *others, Run("load", CLOCKLESS, loaded=True)]


def _without(features: Sequence[str]) -> dict[str, str]:
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(features)} if features else {}


def _obstacle(here: Processor, kernels: str) -> str:
    """Tell why OpenBLAS cannot be given some kernels here, or need not be."""
    if not here.kernels:
        return "numpy and scipy do without OpenBLAS here"
    if set(here.kernels) == {kernels}:
        return "these are the kernels that OpenBLAS takes here anyway"
    missing = [name for name in KERNELS[kernels] if name not in here.features]
    return f"this processor has no {' '.join(missing)}" if missing else ""


@contextmanager
def busy_cores() -> Iterator[int]:
    """Keep a process busy for every core that we may use; yield their number."""
    # Each ends by itself where this process is no more.
    code = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(100_000))"
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield count
    finally:
        for process in processes:
            process.kill()
            process.wait()


def outcome(run: Run, pytest: Sequence[str]) -> tuple[bool, str]:
    """Do a run; return whether it is in order, and how it went in a few words."""
    if run.impossible:
        return True, f"not run: {run.impossible}"
    print("\n==", run.name, *(f"{key}={value!r}" for key, value in run.environment.items()), flush=True)
    fault = run.fault(Processor.within(run.environment))
    if fault:
        return False, f"not run, the environment has no effect: {fault}"
    command = [sys.executable, "-m", "pytest", *(f"--ignore={path}" for path in run.left_out), *pytest]
    with busy_cores() if run.loaded else nullcontext(0) as count:
        print(f"{count} busy processes beside it", flush=True)
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, **run.environment}, check=False).returncode
    return status == 0, "passed" if status == 0 else f"failed: pytest ended with status {status}"


def main() -> None:
    """Do what was asked for, all of it even where some fails, and tell how it went."""
    parser = argparse.ArgumentParser(description="Run the tests with other kernels, and under load.")
    parser.add_argument("run", nargs="*", help=f"which to do (numpy, {', '.join(KERNELS)}, load); all if left out")
    parser.add_argument("--pytest", default="--numprocesses auto", help="arguments of pytest (default: %(default)s)")
    parser.add_argument("--describe", action="store_true", help="print what the kernels are here, and nothing else")
    options = parser.parse_args()
    if options.describe:
        print(Processor.here().described())
        return
    planned = runs(Processor.within({}))
    unknown = set(options.run) - {run.name for run in planned}
    if unknown:
        parser.error(f"no such run: {' '.join(sorted(unknown))}")
    chosen = [run for run in planned if not options.run or run.name in options.run]
    outcomes = [(run.name, *outcome(run, options.pytest.split())) for run in chosen]
    print()
    for name, _, words in outcomes:
        print(f"{name}: {words}")
    sys.exit(not all(well for _, well, _ in outcomes))


if __name__ == "__main__":
    main()
