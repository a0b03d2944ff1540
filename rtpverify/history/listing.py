"""Events of a store as a table, JSON, JSON lines or CSV; also kinds that this version does not know."""

from __future__ import annotations

import csv
import json
import textwrap
from typing import IO, Literal

from rtpverify.events import ByteOrderSize, Event
from rtpverify.history.query import FoundEvents
from rtpverify.history.store import Document
from rtpverify.report.terminal import BOLD, DIM, Paper, coloured
from rtpverify.report.text import aligned
from rtpverify.result import event_wording

SCHEMA = "rtpverify.events/1"

Form = Literal["table", "json", "jsonl", "csv"]

CSV_COLUMNS = (
    *("time", "stream", "kind", "cause", "fault", "open", "channel", "start_frame", "duration_frames"),
    *("first_packet", "last_packet", "sizes", "message", "id"),
)

_NO_SIZES = (Event(ByteOrderSize(), 0).to_dict().keys() - {"confidence", "alternatives"}) | {"stream", "cut_off"}
"""What every event may have in columns of its own; the rest are the figures of its kind."""


def write(found: FoundEvents, form: Form, out: IO[str]) -> None:
    """Write events in order of time.

    Parameters
    ----------
    found
        What a query found.
    form
        How to write it.
    out
        Where to.
    """
    match form:
        case "json":
            answer = {"schema": SCHEMA, "total": found.total, "events": found.events}
            json.dump(answer, out, indent=2, ensure_ascii=False)
            out.write("\n")
        case "jsonl":
            lines = (json.dumps(event, ensure_ascii=False, separators=(",", ":")) for event in found.events)
            out.writelines(f"{line}\n" for line in lines)
        case "csv":
            _write_csv(found, out)
        case "table":
            _write_table(found, out)


def _write_csv(found: FoundEvents, out: IO[str]) -> None:
    """Write one line an event; the sizes of its kind are a JSON object in one cell."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for document in found.events:
        first, last = document["packets"] or ("", "")
        sizes = {name: value for name, value in document.items() if name not in _NO_SIZES and value is not None}
        common = [_plain(document[name]) for name in CSV_COLUMNS[:9]]
        text = json.dumps(sizes, ensure_ascii=False) if sizes else ""
        table.writerow([*common, first, last, text, document["message"], document["id"]])


def _plain(value: object) -> object:
    """Return what CSV shows: nothing for None, truth as in JSON."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def _write_table(found: FoundEvents, out: IO[str]) -> None:
    """Write one line an event, its sentence at the end, or below where a terminal is too narrow for both."""
    paper = Paper(out)
    if not found.events:
        paper.line("no matching event")
        return
    title, *lines = aligned([_TITLES, *map(_cells, found.events)], right=(4, 5))
    what = [document["message"] + _ending(document) for document in found.events]
    width = max(map(len, [title, *lines]))
    beside = not paper.is_terminal or width + 2 + max(map(len, what)) <= paper.width
    paper.line((f"{title:{width}}  What" if beside else title, BOLD))
    for line, sentence, document in zip(lines, what, found.events, strict=True):
        text = f"{line:{width}}  {sentence}" if beside else line
        if document["fault"]:
            at, cause = title.index("Cause"), document["cause"]
            paper.line(text[:at], (cause, _STYLES.get(cause, {})), text[at + len(cause) :])
        else:
            paper.line((text, DIM))
        if not beside:
            for part in textwrap.wrap(sentence, max(paper.width - _INDENT, 40)):
                paper.line((" " * _INDENT + part, DIM))
    if found.total > len(found.events):
        paper.line(f"the latest {len(found.events):,} of {found.total:,} events; --limit 0 lists all")


_TITLES = ("Time (UTC)", "Stream", "Kind", "Cause", "Ch", "Frame", "Id")
_INDENT = 25
"""Of what is below a line: the width of its time."""


def _cells(document: Document) -> tuple[str, ...]:
    return (
        _moment(document),
        document["stream"],
        document["kind"] if document["fault"] else f"{document['kind']} (no fault)",
        document["cause"],
        "all" if document["channel"] is None else str(document["channel"]),
        f"{document['start_frame']:,}",
        document["id"],
    )


_STYLES = {"network": coloured("blue"), "upstream": coloured("red"), "unknown": coloured("yellow")}
"""As in the reports."""


def _moment(document: Document) -> str:
    """Write the arrival of an event's first packet to the millisecond."""
    time: str | None = document["time"]
    return event_wording.UNMEASURED if time is None else time[:23].replace("T", " ")


def _ending(document: Document) -> str:
    """Say what is known of an event's end, where that is not in its sentence."""
    if document.get("cut_off"):
        return " (still open when monitoring stopped)"
    return " (ongoing)" if document["open"] else ""
