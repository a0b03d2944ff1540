"""The examples are run with the packages that they are for, where these are installed; others in tests of their own."""

import os
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.ports import free_port

ROOT = Path(__file__).parents[1]
OWN_PLUGIN = () if entry_points(group="pytest11", name="rtpverify") else ("-p", "rtpverify.pytest_plugin")
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


@pytest.fixture
def pytest_in(tmp_path):
    """Run pytest in a copy of an example, with the command ``rtpverify`` of this checkout on the path."""

    def run(example, *options, **variables):
        folder = tmp_path / example
        shutil.copytree(ROOT / "examples" / example, folder)
        (folder / "pytest.ini").write_text(INI)
        program = tmp_path / "rtpverify"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rtpverify "$@"\n')
        program.chmod(0o755)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
        command = [sys.executable, "-m", "pytest", *OWN_PLUGIN, "-q", *options]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.skipif(find_spec("labgrid") is None, reason="needs labgrid")
@pytest.mark.parametrize(("fault", "status"), [("", 0), ("dropout:at=0.5,duration=0.02", 1)])
def test_labgrid(pytest_in, fault, status):
    options = ("--lg-env", "env.yaml", "-k", "from_the_moment") if fault else ("--lg-env", "env.yaml")
    stream = f"rtp://127.0.0.1:{free_port()}"
    ended = pytest_in("labgrid", *options, DEVICE_STREAM=stream, DEVICE_FAULT=fault)
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert ("1 dropout" in ended.stdout) == bool(fault)


@pytest.mark.skipif(find_spec("check_jsonschema") is None, reason="needs check-jsonschema")
@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("github-actions.yml", ["vendor.github-workflows"]),
        ("gitlab-ci.yml", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_files_for_ci_are_what_their_servers_read(name, schema):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, ROOT / "examples" / "ci" / name]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


NOTEBOOK = """
import rtpverify
stream, form = "{stream}", "L16/48000/1"
asked = dict(encoding=form, reference="tone:997", limits=dict(max_stall_seconds=60))
with rtpverify.verify(stream, **asked) as verifier:
    with rtpverify.send(stream, encoding=form, frequency=997, faults=["loss:at=0.2,packets=3"], duration=0.4) as sender:
        verifier.wait_for_audio(timeout=60)
        sender.wait()
        verifier.stop()
verifier.result
%%
async with rtpverify.verify(stream, **asked) as verifier:
    async with rtpverify.send(stream, encoding=form, frequency=997):
        await verifier.wait_for_audio_async(timeout=60)
        await verifier.stop_async()
rtpverify.envelope(rtpverify.tone(997, seconds=0.1), 48000)
"""


@pytest.mark.skipif(find_spec("nbclient") is None or find_spec("ipykernel") is None, reason="needs nbclient, ipykernel")
def test_a_notebook(monkeypatch, tmp_path):
    """In a real kernel, whose event loop runs."""
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    cells = NOTEBOOK.format(stream=f"rtp://127.0.0.1:{free_port()}").split("%%")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    first, second = (cell.outputs[-1]["data"] for cell in notebook.cells)
    assert first["text/plain"].startswith("<Result FAIL: 1 gap (1 stream of rtp://127.0.0.1:")
    assert "<svg" in first["text/html"]
    assert second["text/plain"].startswith("Envelope(minimum=<float64 (1, 10)>")


def test_a_script_without_a_test_framework():
    command = [sys.executable, ROOT / "examples" / "verify_a_device.py", f"rtp://127.0.0.1:{free_port()}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "<Result FAIL: 1 gap, 1 slip (1 stream of rtp://127.0.0.1:" in ended.stdout
