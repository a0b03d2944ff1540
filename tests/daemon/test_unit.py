"""The unit file for systemd, by systemd's own judgement."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.patience import PATIENCE_SECONDS

UNIT = Path(__file__).parents[2] / "configs" / "rtpverify.service"
MOST_EXPOSURE_TENTHS = 15

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def test_it_holds_no_mistake() -> None:
    done = analyze("verify", str(UNIT))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_would_be_seen(tmp_path: Path) -> None:
    broken = tmp_path / UNIT.name
    broken.write_text(UNIT.read_text().replace("Type=notify", "Type=notfy"))
    assert "notfy" in analyze("verify", str(broken)).stderr


def test_it_is_exposed_to_little() -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE_TENTHS}", str(UNIT))
    assert done.returncode == 0, done.stdout[-500:]
