"""The summary for a terminal: verdict first, then each stream, the failed ones before the others."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import IO, TYPE_CHECKING

from rtpverify.report import figures
from rtpverify.result import Result, StreamResult, Verdict

if TYPE_CHECKING:
    from rich.console import Console

EVENTS_SHOWN = 20
"""Events of one stream that are listed; the rest is counted by kind."""

_LABEL_WIDTH = 9
_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


def write(result: Result, out: IO[str]) -> None:
    """Write the summary; colour only on a terminal, and none where ``NO_COLOR`` is set.

    Sentences are wrapped to a terminal's width; in a pipe or file each stays on its line.
    """
    from rich.console import Console

    console = Console(file=out, highlight=False, markup=False, emoji=False, soft_wrap=True)
    _print(console, (result.verdict.upper(), _STYLES[result.verdict]), f"  {figures.headline(result)}")
    _labelled(console, "Source", result.source, indent=0)
    for line in figures.host_lines(result):
        _labelled(console, "Host", line, indent=0)
    for stream in figures.in_order(result.streams):
        console.print()
        _stream(console, stream)


def _print(console: Console, *parts: str | tuple[str, str]) -> None:
    """Print one line of parts, each text or text and style."""
    from rich.text import Text

    console.print(Text.assemble(*parts))


def _labelled(console: Console, label: str, text: str, indent: int = 2, style: str = "dim") -> None:
    """Print a label and its text, wrapped under itself."""
    first, *more = _wrapped(console, text, indent + _LABEL_WIDTH)
    _print(console, " " * indent, (f"{label:{_LABEL_WIDTH}}", style), first)
    for line in more:
        _print(console, " " * (indent + _LABEL_WIDTH), line)


def _wrapped(console: Console, text: str, indent: int) -> list[str]:
    """Return the lines of a sentence that starts at column ``indent``; one line where this is no terminal."""
    if not console.is_terminal:
        return [text]
    return textwrap.wrap(text, max(console.width - indent, 40), break_on_hyphens=False) or [""]


def _stream(console: Console, stream: StreamResult) -> None:
    _print(console, (figures.identity(stream), "bold"), "  ", (stream.verdict.upper(), _STYLES[stream.verdict]))
    _labelled(console, "Format", figures.form(stream))
    for label, text in figures.transport(stream):
        _labelled(console, label, text)
    for label, text in figures.comparison(stream):
        _labelled(console, label, text)
    smallest = figures.sensitivity(stream)
    if smallest is not None:
        _labelled(console, "Smallest", smallest)
    if stream.inconclusive:
        _labelled(console, "Unjudged", stream.inconclusive, style="yellow")
    for warning in stream.warnings:
        _labelled(console, "Warning", warning, style="yellow")
    if stream.signal:
        _signal(console, stream)
    if stream.events:
        _events(console, stream)


def _signal(console: Console, stream: StreamResult) -> None:
    rows = [figures.SIGNAL_COLUMNS, figures.SIGNAL_UNITS, *map(figures.signal_row, stream.signal)]
    title, unit, *lines = aligned(rows, right=range(len(figures.SIGNAL_COLUMNS)))
    console.print()
    for line in (title, unit):
        _print(console, "  ", (line, "dim"))
    for line in lines:
        _print(console, "  ", line)


def _events(console: Console, stream: StreamResult) -> None:
    shown, rest = figures.selected(stream.events, EVENTS_SHOWN)
    rows = [figures.EVENT_COLUMNS, *(figures.event_row(event, stream.sample_rate) for event in shown)]
    title, *lines = aligned(rows, right=range(3))
    indent = 2 + len(max((row[0] for row in rows), key=len)) + 2
    console.print()
    _print(console, "  ", (title, "dim"))
    for event, line in zip(shown, lines, strict=True):
        _print(console, "  ", line)
        if event.message:
            for part in _wrapped(console, event.message, indent):
                _print(console, " " * indent, (part, "dim"))
    if rest:
        console.print(f"  and {len(rest):,} more: {figures.by_kind(rest)}")


def aligned(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """Return one line for each row, columns two spaces apart, those named in ``right`` flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
