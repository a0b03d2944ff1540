from __future__ import annotations

import re
import subprocess
import sys

from rtpverify.commands.demo import FAULTS
from tests.helpers.patience import PATIENCE_SECONDS


def test_everything_injected_is_found_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rtpverify", "demo"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.search(r"^Metrics while this runs: http://127\.0\.0\.1:\d+/metrics$", done.stdout, re.MULTILINE)
    for fault in FAULTS:
        assert fault in done.stdout
    assert done.stdout.count("✓") == len(FAULTS) + 1
    assert "✗" not in done.stdout
    assert "\x1b" not in done.stdout
    assert re.search(r"^ clean +pass +10000 +0 +-20\.0 +1283\.0 +-146\.\d +0 *$", done.stdout, re.MULTILINE), (
        done.stdout
    )
    assert re.search(
        r"^ faulty +fail +9997 +3 +-20\.\d+ +1283\.0 +-\d\d\.\d(?:/-\d\d\.\d)? +8 *$", done.stdout, re.MULTILINE
    )
