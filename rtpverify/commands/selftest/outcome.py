"""What became of each fault that was made on purpose."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rtpverify.events import Event, Kind
from rtpverify.result import Request
from rtpverify.sender.faults import ExpectedEvent

NEAR_SECONDS = 0.3
"""How far from its place an event may begin that a fault explains."""


class Outcome(StrEnum):
    """What became of a fault."""

    FOUND = "found"
    MISSED = "missed"
    BELOW = "below"
    """Not found, and too small for the limits or for what can be seen."""
    BLIND = "blind"
    """Not found, as this reference cannot show it."""
    NONE = "none"
    """This format cannot have it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One fault that was made, or one clean stream.

    Attributes
    ----------
    kind
        None for a clean stream.
    fault
        As ``send --fault`` takes it.
    size
        The size in words; empty where the kind has none.
    over
        ``wire`` or ``engine``.
    outcome
        None for a clean stream.
    reason
        Why it could not be found, where that is known.
    false
        Faults that were reported and not made.
    """

    kind: Kind | None
    fault: str
    size: str
    over: str
    outcome: Outcome | None
    reason: str = ""
    false: tuple[str, ...] = ()

    @property
    def is_bad(self) -> bool:
        """Whether something was missed, or reported that was not there."""
        return self.outcome is Outcome.MISSED or bool(self.false)


@dataclass(slots=True)
class SelfTest:
    """All that was tried.

    Attributes
    ----------
    path
        Which way packets went, in words.
    detection_limits
        In words; None where none are known.
    warnings
        What a reader should know before trusting it.
    """

    format: str
    path: str
    request: Request
    tried: list[Tried] = field(default_factory=list)
    detection_limits: str | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """How many faults had each outcome, and how many were reported that were not made."""
        counts = {str(outcome): sum(one.outcome is outcome for one in self.tried) for outcome in Outcome}
        return counts | {"false": sum(len(one.false) for one in self.tried)}

    @property
    def passed(self) -> bool:
        """Whether nothing was missed and nothing reported that was not there."""
        return not any(one.is_bad for one in self.tried)


def judged(
    expected: Sequence[ExpectedEvent],
    found: Sequence[Event],
    sample_rate_hz: int,
    *,
    counted: bool = False,
    usual: Collection[Kind] = (),
    required: bool = True,
) -> tuple[bool, tuple[str, ...]]:
    """Return whether a fault was found, and which faults were reported that it does not explain.

    Parameters
    ----------
    expected
        What the fault makes.
    found
        What was reported.
    sample_rate_hz
        Sample rate of the stream.
    counted
        Whether what is only counted was.
    usual
        Kinds of faults that are reported of clean audio, too, and are no news here.
    required
        Whether it must be found; what is seen of a smaller fault, while it lasts, may go by any name.

    Returns
    -------
    is_found : bool
        Whether it was found.
    unexplained : tuple of str
        Faults that were reported beyond it.
    """
    near = round(NEAR_SECONDS * sample_rate_hz)
    faults = [event for event in found if event.fault]

    def is_within(item: ExpectedEvent, event: Event) -> bool:
        stop = math.inf if item.duration_frames is None else item.start_frame + item.duration_frames + near
        of_it = item.channel is None or event.channel in (None, item.channel)
        return of_it and item.start_frame - near <= event.start_frame <= stop

    def explains(item: ExpectedEvent, event: Event) -> bool:
        return event.kind is item.kind and is_within(item, event)

    is_explained = explains if required else is_within
    seen = [counted if item.counted_only else any(explains(item, event) for event in faults) for item in expected]
    news = [event for event in faults if event.kind not in usual]
    false = [event for event in news if not any(is_explained(item, event) for item in expected)]
    return bool(seen) and all(seen), tuple(
        f"{event.kind} at {event.start_frame / sample_rate_hz:.3f} s: {event.message or event.kind}" for event in false
    )
