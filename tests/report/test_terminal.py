import io

import pytest

from rtpverify.report.terminal import BOLD, Paper, coloured
from tests.helpers.terminal import Terminal


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def _written(out):
    Paper(out).line("plain ", ("bold", BOLD), (" red", coloured("red")))
    return out.getvalue()


STYLED = "plain \x1b[1mbold\x1b[0m\x1b[31m red\x1b[0m\n"


def test_a_terminal_gets_styles_and_a_file_none():
    assert _written(Terminal()) == STYLED
    assert _written(io.StringIO()) == "plain bold red\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_styles(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert _written(Terminal()) == "plain bold red\n"


def test_styles_are_forced_for_a_log_that_shows_them(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert _written(io.StringIO()) == STYLED
    monkeypatch.setenv("NO_COLOR", "1")
    assert _written(io.StringIO()) == "plain bold red\n"


def test_columns_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    assert Paper(Terminal()).width == 72
