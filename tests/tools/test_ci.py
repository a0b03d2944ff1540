"""What CI does where a package cannot be had, with programs that stand in for those of Debian, and for make."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.patience import PATIENCE_SECONDS

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"
PACKAGES = re.search(r"packages=\((.*?)\)", SCRIPT.read_text(), re.DOTALL)[1].split()
DPKG_QUERY = 'for last; do :; done; grep -qx "$last" "$STATE/installed" && printf installed'
APT_GET = """
echo "$*" >> "$STATE/calls"
[ "$1" = install ] || exit 0
shift
for package; do case "$package" in -*) continue ;; esac; grep -qx "$package" "$STATE/absent" && exit 100; done
for package; do echo "$package" >> "$STATE/installed"; done
"""


@pytest.fixture
def ci(tmp_path):
    """Run it on a machine where some packages are installed and some are to be had nowhere."""

    def run(installed, absent=(), user=0, make="exit 0"):
        programs = {
            "dpkg-query": DPKG_QUERY,
            "apt-get": APT_GET,
            "id": f"echo {user}",
            "make": f'echo "make $*" >> "$STATE/calls"; {make}',
        }
        for name, text in programs.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        for name, lines in (("installed", installed), ("absent", absent), ("calls", ())):
            (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "STATE": str(tmp_path)}
        done = subprocess.run(
            ["bash", SCRIPT], env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        return done.returncode, done.stderr, calls, set((tmp_path / "installed").read_text().split())

    return run


def test_with_all_tools_there_nothing_is_installed(ci):
    assert ci(PACKAGES)[:3] == (0, "", ["make lint docs test coverage check-release"])


def test_what_is_missing_is_installed(ci):
    status, said, calls, installed = ci(PACKAGES[3:])
    assert (status, said) == (0, "")
    assert calls[0].startswith("update")
    assert calls[-1] == "make lint docs test coverage check-release"
    assert installed >= set(PACKAGES)


def test_one_that_cannot_be_had_keeps_no_other_away_and_fails_after_the_tests(ci):
    status, said, calls, installed = ci(PACKAGES[3:], absent=PACKAGES[1:2])
    assert (status, said) == (1, f"not installed, and what needs them was skipped: {PACKAGES[1]}\n")
    assert calls[-1] == "make lint docs test coverage check-release"
    assert set(PACKAGES) - installed == {PACKAGES[1]}


def test_where_nothing_may_be_installed_it_is_said(ci):
    status, said, calls, _ = ci(PACKAGES[2:], user=1000)
    assert (status, said) == (0, f"not installed, and what needs them was skipped: {' '.join(PACKAGES[:2])}\n")
    assert calls == ["make lint docs test coverage check-release"]


def test_tests_that_fail_fail_it(ci):
    assert ci(PACKAGES, make="exit 2")[0] == 2
