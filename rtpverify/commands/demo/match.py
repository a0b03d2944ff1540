"""What was injected against what was found.

Both sides speak of media frames, so no clock comes into it. An expected fault is met by an event of its kind, near its
frame, on its channel, with its sizes; a fault of all channels by one event, or by one on every channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtpverify.events import Event, Kind
from rtpverify.sender.faults import ExpectedEvent

EDGE_FRAMES = {Kind.GAP: 0, Kind.CLICK: 0, Kind.SLIP: 2, Kind.DROPOUT: 2, Kind.REPEAT: 2}
"""How far from its frame a fault with sharp edges may be reported; its duration too."""
SUSTAINED_FRAMES = 4800
"""The same for a departure that takes measuring."""
RELATIVE_SIZE = 0.05
"""How far a measured size may be off; a whole number must be met exactly."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An injected fault and the event that meets it; one of them is None where the other has no partner."""

    injected: ExpectedEvent | None
    found: Event | None

    @property
    def matched(self) -> bool:
        """Whether both are there."""
        return self.injected is not None and self.found is not None


def match(injected: Sequence[ExpectedEvent], found: Sequence[Event], channels: int) -> list[Finding]:
    """Pair what was injected with what was found in a stream of so many channels, in order of time.

    Each event is used once; what is no fault is omitted.

    Parameters
    ----------
    injected
        What was injected.
    found
        What was found.
    channels
        Channels of the stream.

    Returns
    -------
    list[Finding]
        One for each of what was injected, and for each fault that was not.
    """
    left = sorted((event for event in found if event.fault), key=lambda event: event.start_frame)
    findings = []
    for expected in injected:
        by_channel: dict[int | None, Event] = {}
        for event in left:
            if meets(event, expected):
                by_channel.setdefault(event.channel, event)
        if expected.channel is None and None not in by_channel:
            taken = list(by_channel.values()) if len(by_channel) == channels else []
        else:
            taken = list(by_channel.values())[:1]
        findings.append(Finding(expected, taken[0] if taken else None))
        left = [event for event in left if not any(event is item for item in taken)]
    findings += [Finding(None, event) for event in left]
    return sorted(findings, key=_start_frame)


def meets(event: Event, expected: ExpectedEvent) -> bool:
    """Return whether an event says what is expected.

    Parameters
    ----------
    event
        The event.
    expected
        What is expected.

    Returns
    -------
    bool
        Whether it does.
    """
    tolerance = EDGE_FRAMES.get(expected.kind, SUSTAINED_FRAMES)
    if event.kind is not expected.kind or abs(event.start_frame - expected.start_frame) > tolerance:
        return False
    if expected.channel is not None and event.channel != expected.channel:
        return False
    if expected.duration_frames is not None and abs(event.duration_frames - expected.duration_frames) > tolerance:
        return False
    return _same_size(event.size.as_dict(), expected.size)


def _same_size(found: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Compare the sizes that both sides have."""
    for name in found.keys() & expected.keys():
        if isinstance(expected[name], float):
            if found[name] is None or not math.isclose(found[name], expected[name], rel_tol=RELATIVE_SIZE):
                return False
        elif found[name] != expected[name]:
            return False
    return True


def _start_frame(finding: Finding) -> int:
    side = finding.injected or finding.found
    return side.start_frame if side else 0
