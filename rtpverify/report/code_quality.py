"""The result as a GitLab code quality report: faults appear in the merge request.

GitLab compares fingerprints between branches, so that of a fault holds what stays from run to run: source, stream,
kind, channel, and which of that kind it is; never its time or SSRC.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import PurePath
from typing import Any

from rtpverify.report import wording
from rtpverify.result import Result, Verdict
from rtpverify.result.event_wording import event_row


def render(result: Result) -> str:
    """Return the faults as JSON; an empty list where there are none.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        GitLab's code quality format.
    """
    seen: Counter[tuple[object, ...]] = Counter()
    issues = []

    def add(severity: str, name: str, description: str, *identity: object) -> None:
        seen[name, *identity] += 1
        key = repr((PurePath(result.source).name, name, *identity, seen[name, *identity]))
        issues.append(_issue(result.source, severity, name, description, key))

    counted = wording.stream_count(result)
    if counted is not None:
        add("major", "streams", counted)
    for stream in result.streams:
        for event in sorted(stream.events, key=lambda event: event.start_frame):
            if event.fault:
                time, _, channel, kind, cause, _, size = event_row(event, stream.sample_rate)
                text = f"{kind} at {time} s, channel {channel}: {event.message or kind} ({size}; {cause})"
                add("major", kind, text, stream.destination, event.channel)
    if result.verdict is Verdict.INCONCLUSIVE:
        add("minor", "inconclusive", wording.headline(result))
    return json.dumps(issues, indent=2, ensure_ascii=False) + "\n"


def _issue(source: str, severity: str, name: str, description: str, key: str) -> dict[str, Any]:
    return {
        "description": description,
        "check_name": f"rtpverify/{name}",
        "fingerprint": hashlib.sha256(key.encode()).hexdigest(),
        "severity": severity,
        "location": {"path": source, "lines": {"begin": 1}},
    }
