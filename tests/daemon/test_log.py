from __future__ import annotations

import io
import json
import threading
from typing import Literal

import pytest

from rtpverify.daemon.log import LogWriter, make_logger
from tests.helpers.patience import PATIENCE_SECONDS


class Gate(io.StringIO):
    """A file whose reader holds it up until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.open.wait(PATIENCE_SECONDS)
        return super().write(text)


def test_a_reader_that_stands_still_holds_up_nobody_and_is_counted() -> None:
    file = Gate()
    writer = LogWriter(file, max_lines=3)
    writer.write("0\n")
    assert file.reached.wait(PATIENCE_SECONDS)
    for number in range(1, 10):
        writer.write(f"{number}\n")
    assert writer.dropped == 6
    file.open.set()
    writer.close()
    assert file.getvalue() == "0\n1\n2\n3\n"


def test_a_reader_that_has_gone_ends_nothing() -> None:
    file = io.StringIO()
    file.close()
    with LogWriter(file) as writer:
        writer.write("lost\n")
    assert writer.dropped == 1


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_line_holds_its_fields(form: Literal["console", "json"]) -> None:
    file = io.StringIO()
    with LogWriter(file) as writer:
        make_logger(writer, form).warning("event", stream="a", kind="gap", start_frame=48)
    (line,) = file.getvalue().splitlines()
    if form == "json":
        fields = json.loads(line)
        assert fields.pop("timestamp").endswith("Z")
        assert fields == {"event": "event", "level": "warning", "stream": "a", "kind": "gap", "start_frame": 48}
    else:
        assert "stream=a kind=gap start_frame=48" in line


@pytest.mark.parametrize("form", ["console", "json"])
def test_text_from_the_network_steers_no_terminal(form: Literal["console", "json"]) -> None:
    file = io.StringIO()
    with LogWriter(file) as writer:
        make_logger(writer, form).info("event", stream="a\x1b[31m\u202eb\udcff")
    (line,) = file.getvalue().splitlines()
    assert line.encode().isascii()
    assert line.isprintable()
    if form == "console":
        assert r"stream=a\x1b[31m\u202eb\xff" in line
