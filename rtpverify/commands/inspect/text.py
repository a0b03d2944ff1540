"""What was seen, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rtpverify.commands.inspect import layout
from rtpverify.commands.inspect.measure import Inspection
from rtpverify.report.text import aligned


def lines(inspection: Inspection) -> Iterator[str]:
    """Yield the lines of the summary.

    Parameters
    ----------
    inspection
        What was measured.

    Yields
    ------
    str
        A line without a newline.
    """
    yield inspection.source.name
    yield f"  Format   {layout.title(inspection)}"
    for warning in inspection.warnings:
        yield f"  Warning  {warning}"
    rows = [layout.row(inspection, channel) for channel in range(inspection.source.channels)]
    yield ""
    right = range(1, len(layout.COLUMNS))
    yield from (f"  {line}" for line in aligned([layout.COLUMNS, layout.UNITS, *rows], right=right))
    told = [("Silence", layout.silence_lines(inspection)), ("Value at", layout.value_lines(inspection))]
    for label, found in told:
        if found:
            yield ""
            yield from (f"  {label:9}{line}" for line in found)
