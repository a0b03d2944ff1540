"""The self-test for a terminal and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import IO, Any

from rtpverify.commands.selftest.outcome import Outcome, SelfTest, Tried
from rtpverify.report.json import strict
from rtpverify.report.terminal import BOLD, DIM, Paper, coloured
from rtpverify.report.text import aligned
from rtpverify.result.event_wording import counted

SCHEMA = "rtpverify.selftest/1"
COLUMNS = ("Fault", "Over the wire", "Smallest found", "Too small to be seen", "Missed")
_NOTHING = "–"
_WAYS = {"wire": "over the wire", "engine": "through the engine"}
_WORDS = {
    Outcome.FOUND: "found",
    Outcome.MISSED: "MISSED",
    Outcome.BELOW: "below the limits",
    Outcome.BLIND: "blind",
    Outcome.NONE: "not possible",
}


def headline(test: SelfTest) -> str:
    """Say in one line what came of it.

    Parameters
    ----------
    test
        The self-test.

    Returns
    -------
    str
        Without a full stop.
    """
    counts = test.counts
    tried = counts["found"] + counts["missed"]
    unseen = f", {counts['blind']} that this reference cannot show" if counts["blind"] else ""
    found = f"{counts['found']} of {tried} faults found"
    return f"{found}, {counts['missed']} missed, {counted(counts['false'], 'false alarm')}{unseen}"


def rows(test: SelfTest) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each kind, under :data:`COLUMNS`.

    Parameters
    ----------
    test
        The self-test.

    Yields
    ------
    tuple[str, ...]
        One text for each column.
    """
    for kind in dict.fromkeys(one.kind for one in test.tried if one.kind is not None):
        mine = [one for one in test.tried if one.kind is kind]
        wire = [one for one in mine if one.over == "wire"]
        sized = [one for one in mine if one.over == "engine" and one.size]
        found = [one.size for one in sized if one.outcome is Outcome.FOUND]
        below = [one.size for one in sized if one.outcome in (Outcome.BELOW, Outcome.BLIND)]
        yield (
            str(kind),
            ", ".join(_WORDS[one.outcome] for one in wire if one.outcome) or _NOTHING,
            found[-1] if found else _NOTHING,
            below[0] if below else _NOTHING,
            ", ".join(one.size for one in sized if one.outcome is Outcome.MISSED) or _NOTHING,
        )


def remarks(test: SelfTest) -> Iterator[str]:
    """Yield a line for what was missed, reported though it was not there, or cannot be shown.

    Parameters
    ----------
    test
        The self-test.

    Yields
    ------
    str
        A sentence.
    """
    yield from dict.fromkeys(test.warnings)
    for one in test.tried:
        name = "clean audio" if one.kind is None else one.fault
        if one.outcome is Outcome.MISSED:
            yield f"missed {_WAYS[one.over]}: {name}"
        for text in one.false:
            yield f"false alarm {_WAYS[one.over]} with {name}: {text}"
    yield from dict.fromkeys(f"{one.kind}: {one.reason}" for one in test.tried if one.reason)


def write(test: SelfTest, out: IO[str]) -> None:
    """Write the matrix; colour only on a terminal.

    Parameters
    ----------
    test
        The self-test.
    out
        Where to.
    """
    paper = Paper(out)
    verdict = ("PASS", coloured("green", bold=True)) if test.passed else ("FAIL", coloured("red", bold=True))
    paper.line(verdict, f"  {headline(test)}")
    for label, text in facts(test):
        paper.line((f"{label:10}", DIM), text)
    paper.line()
    title, *lines = aligned([COLUMNS, *rows(test)], right=())
    paper.line((title, BOLD))
    for line in lines:
        paper.line(line)
    for line in remarks(test):
        paper.line(line)


def facts(test: SelfTest) -> Sequence[tuple[str, str]]:
    """Return label and value of what was tested, and how.

    Parameters
    ----------
    test
        The self-test.

    Returns
    -------
    Sequence[tuple[str, str]]
        In the order in which they are shown.
    """
    asked = test.request
    own = "".join(f", {name.replace('_', ' ')} {value}" for name, value in asked.limits.items())
    times = Counter(f"{one.size} {_WAYS[one.over]}" for one in test.tried if one.kind is None)
    false = sum(len(one.false) for one in test.tried if one.kind is None)
    clean = " and ".join(f"{count} x {text}" if count > 1 else text for text, count in times.items())
    return [
        ("Format", f"{test.format}, reference {asked.reference}"),
        ("Limits", f"profile {asked.profile}{own}"),
        ("Path", test.path),
        ("Clean", f"{clean}: {counted(false, 'false alarm')}"),
        ("Smallest", f"detectable fault: {test.detection_limits or _NOTHING}"),
        ("Command", asked.command),
        ("Made", f"{asked.time} by rtpverify {asked.version} on {asked.host}, in {test.seconds:.0f} s"),
    ]


def render_json(test: SelfTest) -> str:
    """Return the self-test as JSON (schema ``rtpverify.selftest/1``).

    Parameters
    ----------
    test
        The self-test.

    Returns
    -------
    str
        JSON.
    """
    document = {
        "schema": SCHEMA,
        "verdict": "pass" if test.passed else "fail",
        "request": asdict(test.request),
        "format": test.format,
        "path": test.path,
        "counts": test.counts,
        "detection_limits": test.detection_limits,
        "warnings": test.warnings,
        "tried": [_as_dict(one) for one in test.tried],
    }
    return json.dumps(strict(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _as_dict(one: Tried) -> dict[str, Any]:
    return {
        "kind": None if one.kind is None else str(one.kind),
        "fault": one.fault,
        "size": one.size,
        "over": one.over,
        "outcome": None if one.outcome is None else str(one.outcome),
        "reason": one.reason or None,
        "false_alarms": list(one.false),
    }
