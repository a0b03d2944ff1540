"""Faults as annotations of a job of GitHub Actions: workflow commands, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rtpverify.report import wording
from rtpverify.result import Result, Verdict
from rtpverify.result.event_wording import event_row

MOST = 10
"""GitHub shows as many of a kind for each step."""


def lines(result: Result) -> list[str]:
    """Return one error for each fault, the rest counted in the last one; a warning where no verdict was possible.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    list[str]
        Workflow commands of GitHub Actions.
    """
    found = list(islice(_errors(result), MOST + 1))
    if len(found) > MOST:
        found[MOST - 1 :] = [_command("error", "rtpverify", f"{wording.headline(result)} (see the report for all)")]
    if result.verdict is Verdict.INCONCLUSIVE:
        found.append(_command("warning", "rtpverify: inconclusive", f"{result.source}: {wording.headline(result)}"))
    return found


def _errors(result: Result) -> Iterator[str]:
    counted = wording.stream_count(result)
    if counted is not None:
        yield _command("error", "rtpverify: streams", f"{result.source}: {counted}")
    for stream in wording.in_order(result.streams):
        name = " ".join(wording.identity(stream).split())
        for event in sorted(stream.events, key=lambda event: event.start_frame):
            if event.fault:
                time, frame, channel, kind, cause, _, size = event_row(event, stream.sample_rate)
                where = f"{result.source}, {name}, channel {channel}, {time} s (frame {frame})"
                yield _command("error", f"rtpverify: {kind}", f"{where}: {event.message or kind} ({size}; {cause})")


def _command(level: str, title: str, message: str) -> str:
    """Write a workflow command; what would end it or a property is escaped as GitHub has it."""
    for character, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        title, message = title.replace(character, escaped), message.replace(character, escaped)
    title = title.replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{message}"
