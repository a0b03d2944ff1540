"""What a run found, in some lines and on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from rtpverify.commands.batch.job import Row, Status
from rtpverify.failure import DEFECT_STATUS
from rtpverify.report.html import STYLE
from rtpverify.result import Request

LISTED = 2000
"""Members on the page that did not pass; the table has all."""
SHOWN = 10
"""The same in a terminal."""

_ORDER = (Status.DEFECT, Status.FAIL, Status.UNREADABLE, Status.INCONCLUSIVE, Status.PASS)
_CLASS = {Status.PASS: "pass", Status.FAIL: "fail", Status.DEFECT: "fail"}


def exit_status(rows: Iterable[Row]) -> int:
    """Return the exit status of a run: the first of these that holds for any member.

    70: rtpverify itself failed; 1: it has faults; 2: it is unreadable; 3: it is inconclusive, or there are no members.
    Else 0.

    Parameters
    ----------
    rows
        What was verified.

    Returns
    -------
    int
        Exit status.
    """
    found = {row["status"] for row in rows}
    order = ((Status.DEFECT, DEFECT_STATUS), (Status.FAIL, 1), (Status.UNREADABLE, 2), (Status.INCONCLUSIVE, 3))
    return next((status for name, status in order if name in found), 0 if found else 3)


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the summary for a terminal: how many of each, and the first that did not pass.

    Parameters
    ----------
    rows
        What was verified.

    Returns
    -------
    list[str]
        Lines without newlines.
    """
    counts = Counter(row["status"] for row in rows)
    told = ", ".join(f"{counts[status]:,} {status}" for status in _ORDER if counts[status])
    out = [f"{len(rows):,} member{'' if len(rows) == 1 else 's'}: {told or 'none found'}"]
    bad = _not_passed(rows)
    out += [f"  {row['status']:<12} {row['member']}: {reason(row)}" for row in bad[:SHOWN]]
    if len(bad) > SHOWN:
        out.append(f"  and {len(bad) - SHOWN:,} more")
    return out


def reason(row: Row) -> str:
    """Return why a member did not pass, in one line.

    Parameters
    ----------
    row
        The member's row.

    Returns
    -------
    str
        Without a full stop.
    """
    if row.get("traceback"):
        return f"internal error: {row['error']}; please report it with {row['traceback']}, where the traceback is"
    if row["error"]:
        return str(row["error"]).strip().splitlines()[-1]
    kinds = Counter(event["kind"] for event in _faults(row))
    if kinds:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    streams = (row["result"] or {}).get("streams") or []
    return next((stream["inconclusive"] for stream in streams if stream.get("inconclusive")), "no stream arrived")


def page(rows: Sequence[Row], request: Request) -> str:
    """Return the page: what was asked, how many of each, faults by kind, and each member that did not pass.

    Parameters
    ----------
    rows
        What was verified.
    request
        What was asked for.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.
    """
    counts = Counter(row["status"] for row in rows)
    kinds = Counter(event["kind"] for row in rows for event in _faults(row))
    with_kind = Counter(kind for row in rows for kind in {event["kind"] for event in _faults(row)})
    bad = _not_passed(rows)
    asked = {
        "Reference": request.reference,
        "Encoding": request.encoding,
        "Profile": request.profile,
        "Limits": ", ".join(f"{name} {value}" for name, value in request.limits.items()),
        "Command": request.command,
        "Version": f"rtpverify {request.version}",
        "Time": request.time,
        "Host": request.host,
    }
    cards = [
        _section("Members", _table(("", "Members"), [(str(one), f"{counts[one]:,}") for one in _ORDER if counts[one]])),
        _section(
            "Faults by kind",
            _table(
                ("Kind", "Events", "Members"),
                [(kind, f"{count:,}", f"{with_kind[kind]:,}") for kind, count in kinds.most_common()],
            ),
        )
        if kinds
        else "",
        _section("Asked for", _list({name: value for name, value in asked.items() if value})),
        _section(
            f"Not passed ({len(bad):,})",
            _table(
                ("Status", "Member", "Reason", "First fault at frame"),
                [(row["status"], row["member"], reason(row), _first_frame(row)) for row in bad[:LISTED]],
            )
            + (f"<p>{len(bad) - LISTED:,} more are in the table.</p>" if len(bad) > LISTED else ""),
        )
        if bad
        else "",
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{len(rows):,} members – rtpverify</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>rtpverify</h1>{_badges(counts)}<span class="source">{escape(lines(rows)[0])}</span></header>
{"".join(cards)}
</body>
</html>
"""


def _not_passed(rows: Iterable[Row]) -> list[Row]:
    """Return the members that did not pass, the worst first."""
    rank = {status: number for number, status in enumerate(_ORDER)}
    return sorted((row for row in rows if row["status"] != Status.PASS), key=lambda row: rank[row["status"]])


def _faults(row: Row) -> list[dict[str, Any]]:
    streams = (row["result"] or {}).get("streams") or []
    return [event for stream in streams for event in stream.get("events", []) if event.get("fault", True)]


def _first_frame(row: Row) -> str:
    frames = [event["start_frame"] for event in _faults(row) if event.get("start_frame") is not None]
    return f"{min(frames):,}" if frames else ""


def _badges(counts: Counter[str]) -> str:
    worst = next((status for status in _ORDER if counts[status]), Status.INCONCLUSIVE)
    return f'<span class="verdict {_CLASS.get(worst, "inconclusive")}">{worst}</span>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _list(items: dict[str, Any]) -> str:
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in items.items())
    return f"<dl>{listed}</dl>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    columns = "".join(f"<th>{escape(name)}</th>" for name in head)
    cells = ("".join(f'<td class="text">{escape(str(cell))}</td>' for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="scroll"><table><tr>{columns}</tr>{body}</table></div>'
