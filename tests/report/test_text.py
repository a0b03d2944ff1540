import io
import re

from rtpverify.report import text
from tests.helpers.terminal import Terminal


def _written(result):
    out = io.StringIO()
    text.write(result, out)
    return out.getvalue()


def test_verdict_is_the_first_word(passed, failed, nothing):
    assert _written(passed).startswith("PASS  1 stream verified, no fault\n")
    assert _written(failed).startswith("FAIL  4 faults in 1 of 2 streams")
    assert _written(nothing).startswith("INCONCLUSIVE  nothing to verify arrived\n")


def test_clean_stream_shows_its_figures(passed):
    lines = _written(passed).splitlines()
    assert "Stream 0x007c3d72  192.0.2.7:5004 → 239.1.2.3:5004  PASS" in lines
    assert "  Timing   jitter 21.3 µs, sender's clock +24.6 ppm relative to arrival" in lines
    assert "   1  1000.00057  +0.570  -20.000   -1.5e-05     -98.4  -78.4  -121.3    16" in lines
    assert any("cannot reveal slips of 48 frames" in line for line in lines)


def test_events_stand_in_order_of_time_with_place_and_cause(failed):
    lines = _written(failed).splitlines()
    gap = next(index for index, line in enumerate(lines) if " gap " in line and "1.000000" in line)
    slip = next(index for index, line in enumerate(lines) if " slip " in line and "1.458333" in line)
    assert gap < slip
    assert lines[gap].split() == [
        "1.000000",
        "48,000",
        "all",
        "gap",
        "network",
        "66541-66542",
        "96",
        "frames",
        "(2",
        "ms)",
    ]
    assert lines[gap + 1].strip() == "2 packets lost"


def test_a_departure_within_limits_is_told_but_no_fault(failed):
    assert "word_length (no fault)" in _written(failed)


def test_what_the_host_lost_is_said(failed):
    assert "this host lost 3 packets" in _written(failed)
    assert "12 datagrams ignored: 12 RTCP that belongs to no stream" in _written(failed)


def test_many_events_are_counted(many):
    written = _written(many)
    assert "and 181 more: 181 gap" in written
    assert " slip " in written
    assert len(written.splitlines()) < 60


def test_in_a_pipe_no_line_ends_in_blanks_or_holds_colour(failed):
    written = _written(failed)
    assert "\x1b" not in written
    assert all(line == line.rstrip() for line in written.splitlines())


def test_colour_only_on_a_terminal_and_not_with_no_color(failed, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    text.write(failed, out)
    assert "\x1b[31m\x1b[1mFAIL\x1b[0m" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    text.write(failed, out)
    assert "\x1b" not in out.getvalue()


def test_sentences_wrap_on_a_narrow_terminal(failed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    text.write(failed, out)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    message = [line for line in plain.splitlines() if "the content jumped" in line or "dropped them" in line]
    assert len(message) == 2
    assert all(len(line) <= 72 for line in message)
