"""Which kernels the tests are run with elsewhere, and how it is told whether they were in use."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.patience import wait_until

PATH = Path(__file__).parents[2] / "tools" / "processors.py"
SPEC = importlib.util.spec_from_file_location("processors", PATH)
processors = importlib.util.module_from_spec(SPEC)
sys.modules["processors"] = processors  # where dataclasses look for annotations
SPEC.loader.exec_module(processors)
Processor, runs = processors.Processor, processors.runs

NUMPY = ("X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR")
SKYLAKE = Processor(NUMPY, frozenset({"AVX", "AVX2", "FMA3", "X86_V3", "X86_V4"}), ("SkylakeX", "SkylakeX"))


def planned(here):
    return {run.name: run for run in runs(here)}


def test_what_a_processor_has_is_switched_off_and_nothing_else():
    run = planned(SKYLAKE)
    assert run["numpy"].environment == {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4"}
    assert run["Haswell"].environment == {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}
    assert run["Sandybridge"].environment == {
        "OPENBLAS_CORETYPE": "Sandybridge",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
    }
    assert run["load"].loaded
    assert not any(one.impossible for one in run.values())


@pytest.mark.parametrize(
    ("here", "impossible"),
    [
        (
            Processor(("ASIMDHP", "SVE"), frozenset({"ASIMD", "ASIMDHP"}), ("neoversen1",)),
            {"Haswell": "this processor has no AVX2 FMA3", "Sandybridge": "this processor has no AVX"},
        ),
        (
            Processor(NUMPY, frozenset({"AVX", "SSE42"}), ("Sandybridge",)),
            {
                "numpy": "numpy uses nothing beyond its baseline on this processor",
                "Haswell": "this processor has no AVX2 FMA3",
                "Sandybridge": "these are the kernels that OpenBLAS takes here anyway",
            },
        ),
        (
            Processor(NUMPY, SKYLAKE.features, ()),
            dict.fromkeys(("Haswell", "Sandybridge"), "numpy and scipy do without OpenBLAS here"),
        ),
    ],
    ids=["aarch64", "without AVX2", "another library"],
)
def test_what_cannot_be_done_says_why(here, impossible):
    assert {name: run.impossible for name, run in planned(here).items() if run.impossible} == impossible
    name, why = next(iter(impossible.items()))
    assert processors.outcome(planned(here)[name], []) == (True, f"not run: {why}")


def test_an_environment_without_effect_is_a_fault():
    run = planned(SKYLAKE)
    assert run["numpy"].fault(SKYLAKE) == "numpy still uses X86_V3 X86_V4"
    assert run["Haswell"].fault(SKYLAKE) == "numpy still uses X86_V4"
    one_of_two = Processor(NUMPY, frozenset({"AVX"}), ("Haswell", "SkylakeX"))
    assert run["Haswell"].fault(one_of_two) == "OpenBLAS uses the kernels of SkylakeX"
    assert run["Haswell"].fault(Processor(NUMPY, frozenset(), ("Haswell", "Haswell"))) == ""
    assert run["numpy"].fault(one_of_two) == run["load"].fault(SKYLAKE) == ""


def test_what_is_switched_off_on_this_machine_is_off():
    for run in runs(Processor.within({})):
        if not run.impossible:
            assert run.fault(Processor.within(run.environment)) == ""


def test_what_is_left_out_is_there():
    root = PATH.parents[1]
    assert all((root / path).exists() for run in runs(SKYLAKE) for path in run.left_out)


def test_every_test_has_a_run_for_which_it_matters():
    kernels, load = (planned(SKYLAKE)[name].left_out for name in ("numpy", "load"))
    assert not any(one == other or other.startswith(f"{one}/") for one in load for other in kernels)


def test_a_run_that_fails_fails_all(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert 1 == 2\n")
    command = [sys.executable, PATH, "--pytest", f"-q -p no:cacheprovider {tmp_path}", "load"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "load: failed: pytest ended with status 1"
    done = subprocess.run([*command[:-1], "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such run: nonsense" in done.stderr


def test_busy_processes_end_with_their_parent():
    code = f"import sys; sys.path.insert(0, {str(PATH.parent)!r}); import processors, os\n"
    code += "with processors.busy_cores() as count: print(os.getpid(), count, flush=True); os._exit(0)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid, count = map(int, parent.stdout.readline().split())
    assert count >= 1
    wait_until(lambda: not any(f"getppid() == {pid}" in words for words in command_lines()))


def command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace")
        except OSError:
            continue
