import subprocess
import sys

import pytest

from rtpverify import __version__
from rtpverify.cli import app as cli
from tests.helpers.command import run


def test_version():
    assert run("--version").output == f"rtpverify {__version__}\n"


def test_help_names_every_command():
    output = run("--help").output
    for command in ("check", "demo", "send", "serve", "tone"):
        assert f"\n  {command} " in output


@pytest.mark.parametrize("command", [[], *([name] for name in cli.main.commands)], ids="".join)
def test_help_loads_nothing_heavy(command):
    arguments = [*command, "--help"]
    script = f"import sys; from rtpverify.cli.app import main\ntry: main({arguments})\nexcept SystemExit: pass\n"
    script += "print(sorted({'numpy', 'scipy', 'rich', 'aiohttp', 'pydantic', 'soundfile'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"
