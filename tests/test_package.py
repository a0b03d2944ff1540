"""What is installed: the package as it is built, and what an index shows of it."""

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _build(form, sources, folder):
    build = f"import hatchling.build; hatchling.build.build_{form}({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=sources, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel as it is made for a release: from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    _build("sdist", ROOT, folder)
    [archive] = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder, filter="data")
    _build("wheel", folder / archive.name.removesuffix(".tar.gz"), folder)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith("rtpverify/")}
    kept = {
        f"{folder}/{path.relative_to(ROOT / source).as_posix()}"
        for folder, source in (("rtpverify", "rtpverify"), ("rtpverify/configs", "configs"))
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == kept
    assert {"rtpverify/configs/bench.toml", "rtpverify/daemon/web/page/index.html", "rtpverify/py.typed"} <= shipped


def test_a_build_is_the_same_every_time(wheel, tmp_path):
    [archive] = wheel.parent.glob("*.tar.gz")
    for form, known in (("sdist", archive), ("wheel", wheel)):
        _build(form, ROOT, tmp_path)
        assert (tmp_path / known.name).read_bytes() == known.read_bytes()


def test_the_installed_package_writes_its_examples(wheel, tmp_path):
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-m", "rtpverify"]
    subprocess.run([*command, "example-config", "mine"], cwd=tmp_path, env=environment, check=True)
    subprocess.run([*command, "serve", "--check-config", "mine/bench.toml"], cwd=tmp_path, env=environment, check=True)


def test_the_description_is_the_readme_without_what_an_index_cannot_show(metadata):
    text = metadata.get_payload()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "![" in readme
    assert "![" not in text
    assert [target for target in re.findall(r"\]\(([^)]*)\)", text) if not target.startswith("https://")] == []
    headings = re.findall(r"^#+ .*$", readme, re.MULTILINE)
    assert re.findall(r"^#+ .*$", text, re.MULTILINE) == headings
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_who_made_it_and_nothing_that_is_nowhere(metadata):
    assert metadata["Author"] == "rtpverify maintainers"
    assert metadata["License-Expression"] == "GPL-3.0-or-later"
    assert metadata.get_all("Project-URL") is None
    assert metadata["Home-page"] is None


def test_pytest_finds_its_plugin(wheel, tmp_path):
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-m", "pytest", "--fixtures", "-q", "-p", "no:cacheprovider"]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert re.search(r"^rtp_verifier -- installed/rtpverify/pytest_plugin\.py:\d+$", found.stdout, re.MULTILINE)
