"""The summary for a terminal: verdict first, then each stream, the failed ones before the others."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import IO

from rtpverify.report import wording
from rtpverify.report.terminal import BOLD, DIM, Paper, Style, coloured
from rtpverify.result import Result, StreamResult, Verdict, event_wording

EVENTS_SHOWN = 20
"""Events of one stream that are listed; the rest is counted by kind."""

_LABEL_WIDTH = 9
_WARNING = coloured("yellow")
_STYLES = {
    Verdict.PASS: coloured("green", bold=True),
    Verdict.FAIL: coloured("red", bold=True),
    Verdict.INCONCLUSIVE: coloured("yellow", bold=True),
}


def write(result: Result, out: IO[str]) -> None:
    """Write the summary; colour only on a terminal, and none where ``NO_COLOR`` is set.

    Sentences are wrapped to a terminal's width; in a pipe or file each stays on its line.

    Parameters
    ----------
    result
        The result.
    out
        Where to.
    """
    paper = Paper(out)
    paper.line((result.verdict.upper(), _STYLES[result.verdict]), f"  {wording.headline(result)}")
    _labelled(paper, "Source", result.source, indent=0)
    if result.request is not None:
        _labelled(paper, "Asked", wording.asked(result.request), indent=0)
    if (count := wording.stream_count(result)) is not None:
        _labelled(paper, "Streams", count, indent=0, style=_STYLES[Verdict.FAIL])
    for line in wording.host_lines(result):
        _labelled(paper, "Host", line, indent=0)
    for warning in result.warnings:
        _labelled(paper, "Warning", warning, indent=0, style=_WARNING)
    for stream in wording.in_order(result.streams):
        paper.line()
        _stream(paper, stream)


def _labelled(paper: Paper, label: str, text: str, indent: int = 2, style: Style = DIM) -> None:
    """Print a label and its text, wrapped under itself."""
    first, *more = _wrapped(paper, text, indent + _LABEL_WIDTH)
    paper.line(" " * indent, (f"{label:{_LABEL_WIDTH}}", style), first)
    for line in more:
        paper.line(" " * (indent + _LABEL_WIDTH), line)


def _wrapped(paper: Paper, text: str, indent: int) -> list[str]:
    """Return the lines of a sentence that starts at column ``indent``; one line where this is no terminal."""
    if not paper.is_terminal:
        return [text]
    return textwrap.wrap(text, max(paper.width - indent, 40), break_on_hyphens=False) or [""]


def _stream(paper: Paper, stream: StreamResult) -> None:
    paper.line((wording.identity(stream), BOLD), "  ", (stream.verdict.upper(), _STYLES[stream.verdict]))
    _labelled(paper, "Format", wording.form(stream))
    for label, text in wording.transport(stream):
        _labelled(paper, label, text)
    for label, text in wording.comparison(stream):
        _labelled(paper, label, text)
    smallest = wording.sensitivity(stream)
    if smallest is not None:
        _labelled(paper, "Smallest", f"detectable fault: {smallest}")
    if stream.inconclusive:
        _labelled(paper, "Reason", stream.inconclusive, style=_WARNING)
    for warning in stream.warnings:
        _labelled(paper, "Warning", warning, style=_WARNING)
    if stream.signal:
        _signal(paper, stream)
    if stream.events:
        _events(paper, stream)


def _signal(paper: Paper, stream: StreamResult) -> None:
    rows = [wording.SIGNAL_COLUMNS, wording.SIGNAL_UNITS, *map(wording.signal_row, stream.signal)]
    title, unit, *lines = aligned(rows, right=range(len(wording.SIGNAL_COLUMNS)))
    paper.line()
    for line in (title, unit):
        paper.line("  ", (line, DIM))
    for line in lines:
        paper.line("  ", line)


def _events(paper: Paper, stream: StreamResult) -> None:
    shown, rest = event_wording.selected(stream.events, EVENTS_SHOWN)
    rows = [event_wording.EVENT_COLUMNS, *(event_wording.event_row(event, stream.sample_rate) for event in shown)]
    title, *lines = aligned(rows, right=range(3))
    indent = 2 + len(max((row[0] for row in rows), key=len)) + 2
    paper.line()
    paper.line("  ", (title, DIM))
    for event, line in zip(shown, lines, strict=True):
        paper.line("  ", line)
        if event.message:
            for part in _wrapped(paper, event.message, indent):
                paper.line(" " * indent, (part, DIM))
    if rest:
        paper.line(f"  and {len(rest):,} more: {event_wording.by_kind(rest)}")


def aligned(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """Return one line for each row, columns two spaces apart, those named in ``right`` flush right.

    Parameters
    ----------
    rows
        Cells of each row.
    right
        Columns that are flush right, counted from 0.

    Returns
    -------
    list[str]
        Without spaces at the ends.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
