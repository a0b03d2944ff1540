"""What a release needs before it is one, run by ``make check-release`` and ``make sbom``.

check
    Source distribution and wheel are built twice and must be the same (``SOURCE_DATE_EPOCH``); the wheel is installed
    without extras by every Python found, with nothing of the repository in sight; dependencies must agree and their
    licences must go with the GPL; every command runs. For a Python that is not here, wheels of every dependency must
    exist.
sbom
    Writes what the wheel brings along as CycloneDX (build/sbom.cdx.json).
"""

from __future__ import annotations

import email
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
NEXT = "3.14"
"""A Python that need not be here: of it only the wheels are asked for."""
EPOCH = "1767225600"
"""When a release is made that names no other time: 1 January 2026."""
SYSTEM = {
    "LANG": "C.UTF-8",
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
COMPATIBLE = (
    "apache",
    "bsd",
    "gpl",
    "isc",
    "lgpl",
    "mit",
    "mozilla",
    "mpl",
    "psf",
    "python software",
    "unlicense",
    "zero",
)
"""Licences whose code may be part of a work under the GPL, version 3 or later, by a word of their names."""

LICENCES = """
import json
from importlib.metadata import distributions
print(json.dumps({one.metadata["Name"]: one.metadata.get("License-Expression") or " ".join(
    line for name, line in one.metadata.items() if name == "Classifier" and line.startswith("License")
    or name == "License" and len(line) < 100) for one in distributions()}))
"""


def run(*command: object, folder: Path = ROOT, **environment: str) -> str:
    """Run a command, and end with what it wrote where it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**SYSTEM, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> dict[str, str]:
    """Build source distribution and, from it, the wheel; return the digest of each."""
    source = "import hatchling.build as build, sys; build.build_{}(sys.argv[1])"
    epoch = os.environ.get("SOURCE_DATE_EPOCH", EPOCH)
    run(sys.executable, "-c", source.format("sdist"), folder, SOURCE_DATE_EPOCH=epoch)
    [archive] = folder.glob("*.tar.gz")
    unpacked = folder / archive.name.removesuffix(".tar.gz")
    shutil.unpack_archive(archive, folder, filter="data")
    run(sys.executable, "-c", source.format("wheel"), folder, folder=unpacked, SOURCE_DATE_EPOCH=epoch)
    shutil.rmtree(unpacked)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def install(python: str, wheel: Path, folder: Path) -> Path:
    """Install a wheel into an environment of its own; return its interpreter."""
    run(python, "-m", "venv", folder)
    inside = folder / "bin" / "python"
    run(inside, "-m", "pip", "install", "--quiet", wheel, folder=folder)
    return inside


def check_installed(python: Path, folder: Path) -> str:
    """Run every command of an installed package; return what was installed."""
    run(python, "-m", "pip", "check", folder=folder)
    licences: dict[str, str] = json.loads(run(python, "-c", LICENCES, folder=folder))
    doubtful = {
        name: said
        for name, said in licences.items()
        if not any(word in said.lower() for word in COMPATIBLE) and name not in ("pip", "setuptools")
    }
    if doubtful:
        raise SystemExit(f"licences that are not known to go with the GPL: {doubtful}")
    listing = "from rtpverify.cli.app import main; import click; print(*main.list_commands(click.Context(main)))"
    commands = run(python, "-c", listing, folder=folder).split()
    for command in commands:
        run(python, "-m", "rtpverify", command, "--help", folder=folder)
    run(python, "-m", "rtpverify", "tone", "tone.wav", "--duration", "1", folder=folder)
    run(python, "-m", "rtpverify", "check", "tone.wav", "--reference", "tone:1283", folder=folder)
    run(python, "-m", "rtpverify", "compare", "tone.wav", "tone.wav", folder=folder)
    run(python, "-m", "rtpverify", "example-config", "examples", folder=folder)
    run(python, "-m", "rtpverify", "serve", "--check-config", "examples/bench.toml", folder=folder)
    return f"{len(commands)} commands, {len(licences)} distributions"


def needed_by(version: str, wheel: Path) -> list[str]:
    """Return what a wheel needs, without extras, by a Python other than this one: pip asks this one for markers."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    needed = map(Requirement, metadata.get_all("Requires-Dist", []))
    other = {"python_version": version, "python_full_version": f"{version}.0", "extra": ""}
    return [f"{one.name}{one.specifier}" for one in needed if one.marker is None or one.marker.evaluate(other)]


def interpreter(name: str) -> str | None:
    """Return the interpreter of a name, None where there is none; pyenv keeps those apart that are not switched to."""

    def runs(path: object) -> bool:
        return subprocess.run([str(path), "--version"], check=False, capture_output=True).returncode == 0

    found = shutil.which(name)
    if found is not None and runs(found):
        return found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next((str(path) for path in sorted(root.glob(f"versions/*/bin/{name}")) if runs(path)), None)


def check(folder: Path) -> None:
    """Check everything, one line for each part."""
    first, second = folder / "first", folder / "second"
    for place in (first, second):
        place.mkdir()
    digests = build(first)
    if digests != build(second):
        raise SystemExit(f"builds differ: {digests}")
    print("reproducible:", *(f"{digest[:16]} {name}" for name, digest in digests.items()))
    [wheel] = first.glob("*.whl")
    for name in PYTHONS:
        python = interpreter(name)
        if python is None:
            print(f"{name}: not here")
            continue
        inside = install(python, wheel, folder / name)
        print(f"{name}: {check_installed(inside, folder / name)}", flush=True)
    only = ("--python-version", NEXT, "--only-binary=:all:", "--quiet", "--dest", folder / NEXT)
    run(sys.executable, "-m", "pip", "download", *only, *needed_by(NEXT, wheel))
    print(f"{NEXT}: {len(list((folder / NEXT).iterdir()))} wheels resolve; nothing was run")


def sbom(folder: Path) -> None:
    """Write what an installation consists of."""
    (folder / "dist").mkdir()
    build(folder / "dist")
    [wheel] = (folder / "dist").glob("*.whl")
    inside = install(sys.executable, wheel, folder / "environment")
    out = ROOT / "build" / "sbom.cdx.json"
    out.parent.mkdir(exist_ok=True)
    tool = (
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--output-reproducible",
        "--pyproject",
        ROOT / "pyproject.toml",
    )
    run(*tool, "--output-file", out, inside, SOURCE_DATE_EPOCH=os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
    print(f"{out.relative_to(ROOT)}: {len(json.loads(out.read_text(encoding='utf-8'))['components'])} components")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        {"check": check, "sbom": sbom}[sys.argv[1]](Path(name))
