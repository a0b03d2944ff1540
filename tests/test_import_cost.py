"""What it costs to load: processor time of new processes, each against another of the same run.

The least of several rounds counts, side by side, and more rounds are made where a busy machine hides it.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROUNDS = 40


@pytest.fixture
def is_at_most(tmp_path):
    """Tell whether Python with some arguments takes at most some share of what it takes with others."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(tmp_path)}
    # As in a user's shell: threads of OpenBLAS, which a test run does without, are part of what numpy costs.
    for name in ("PYTHONDONTWRITEBYTECODE", "OPENBLAS_NUM_THREADS"):
        environment.pop(name, None)

    def seconds(arguments):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def compare(arguments, share, others):
        seconds(arguments), seconds(others)  # compiles
        least = [float("inf"), float("inf")]
        for _ in range(ROUNDS):
            least = [min(least[0], seconds(arguments)), min(least[1], seconds(others))]
            if least[0] <= share * least[1]:
                return True
        return False

    return compare


def test_help_is_no_slower_than_to_import_numpy(is_at_most):
    assert is_at_most(["-m", "rtpverify", "--help"], 1.0, ["-c", "import numpy"])


def test_importing_it_costs_little_over_numpy(is_at_most):
    """50 ms over numpy's 90 or so would be a share of 1.5."""
    assert is_at_most(["-c", "import numpy, rtpverify"], 1.2, ["-c", "import numpy"])


def test_the_plugin_costs_little_over_pytest(is_at_most):
    """20 ms over pytest's 160 or so would be a share of 1.12."""
    assert is_at_most(["-c", "import pytest, rtpverify.pytest_plugin"], 1.1, ["-c", "import pytest"])
