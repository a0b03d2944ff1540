"""What each layer may know: the core has neither a clock nor a socket, and packets know nothing of signals."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rtpverify"
CORE = [
    *(path for folder in ("rtp", "transport", "media", "dsp", "detect", "engine") for path in
    PACKAGE.glob(f"{folder}/**/*.py")), PACKAGE / "scope.py",
]  # fmt: skip
OUTSIDE = {
    "aiohttp", "asyncio", "asyncio_dgram", "logging", "prometheus_client", "select", "selectors", "socket",
    "structlog", "subprocess", "threading", "time", "uvloop",
}  # fmt: skip


def imports(path):
    """Return every module that a file imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_does_no_input_or_output(path):
    names = imports(path)
    assert OUTSIDE.isdisjoint(name.partition(".")[0] for name in names)
    outer = [name for name in names if name.startswith(("rtpverify.sources", "rtpverify.daemon", "rtpverify.report."))]
    assert outer == []


def test_packets_and_signals_know_nothing_of_each_other():
    for one, other in (("rtp", "dsp"), ("dsp", "rtp")):
        for path in PACKAGE.glob(f"{one}/**/*.py"):
            assert not [name for name in imports(path) if name.startswith(f"rtpverify.{other}")], path
