"""What an assertion says that a check did not meet: each fault with time, channel, cause and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rtpverify.events import Event
from rtpverify.result.event_wording import by_kind, counted, event_row, selected

EVENTS_LISTED = 50
"""Of one stream; the rest is counted by kind."""


class FaultyStream(Protocol):
    """A stream with faults."""

    @property
    def title(self) -> str:
        """What distinguishes it from the others."""

    @property
    def sample_rate(self) -> int | None:
        """Frames per second."""


def complaint(source: str, faults: Sequence[tuple[FaultyStream, Event]], doubts: Sequence[str]) -> str:
    """Return what is wrong, one line for each fault and each reason for which something was not verified.

    Parameters
    ----------
    source
        Name of the source.
    faults
        Each with its stream.
    doubts
        Why something was not verified.

    Returns
    -------
    str
        Lines without a newline at the end.
    """
    what = [counted(len(faults), "fault") + f": {by_kind(event for _, event in faults)}"] if faults else []
    what += ["not everything could be verified"] if doubts else []
    lines = [f"{source}: {'; '.join(what)}", *(f"  {doubt}" for doubt in doubts)]
    streams = {id(stream): stream for stream, _ in faults}
    for key, stream in streams.items():
        if len(streams) > 1:
            lines.append(f"  {stream.title}:")
        shown, rest = selected([event for its, event in faults if id(its) == key], EVENTS_LISTED)
        lines += [f"  {_line(event, stream.sample_rate)}" for event in shown]
        if rest:
            lines.append(f"  and {len(rest):,} more: {by_kind(rest)}")
    return "\n".join(lines)


def _line(event: Event, sample_rate: int | None) -> str:
    """Return when, where, what, why and how much, and what the event itself says."""
    time, frame, channel, kind, cause, packets, size = event_row(event, sample_rate)
    where = "all channels" if event.channel is None else f"channel {channel}"
    carried = f", packets {packets}" if event.packets else ""
    said = f": {event.message}" if event.message else ""
    return f"{kind} at {time} s (frame {frame}), {where}, cause {cause}, {size}{carried}{said}"
