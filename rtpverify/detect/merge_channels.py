"""One fault on all channels at once is one event.

Channels are checked apart. What they report of one instant is put together once every channel is explained past it:
events of one kind and size on *all* channels become one event without a channel; anything else stays one event per
channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rtpverify.events import Event, Kind

SUSTAINED = frozenset(
    {
        Kind.GAIN,
        Kind.CLIPPING,
        Kind.DISTORTION,
        Kind.NOISE,
        Kind.DC_OFFSET,
        Kind.FREQUENCY,
        Kind.SAMPLE_RATE,
        Kind.SILENCE,
        Kind.WORD_LENGTH,
        Kind.BYTE_ORDER,
    }
)
"""Kinds whose start is known to a few blocks only where it was too faint for single frames."""
INSTANT_TOLERANCE_FRAMES = 8
"""How far the starts of one fault may lie apart on different channels."""


@dataclass(slots=True)
class _Published:
    """An event that was reported, and the channels' events that it replaces."""

    event: Event
    members: list[Event]


class ChannelMerger:
    """Puts the channels' events of one stream together.

    Parameters
    ----------
    channels
        Channels of the stream.
    sustained_tolerance_frames
        How far the starts of one sustained fault may lie apart.
    """

    def __init__(self, channels: int, sustained_tolerance_frames: int) -> None:
        self._channels = channels
        self._sustained_tolerance = sustained_tolerance_frames
        self._waiting: list[tuple[int, Event]] = []
        self._published: dict[int, _Published] = {}
        self._changed: list[_Published] = []

    @property
    def waiting(self) -> bool:
        """Whether an event waits for the other channels."""
        return bool(self._waiting)

    def add(self, channel: int | None, event: Event) -> None:
        """Take an event of a channel (from 0), or one of all channels; one that was taken before has changed.

        Parameters
        ----------
        channel
            Counted from 0; None: all of them.
        event
            The event.
        """
        if channel is None:
            self._changed.append(_Published(event, [event]))
            return
        known = self._published.get(id(event))
        if known is not None:
            if not any(other is known for other in self._changed):
                self._changed.append(known)
        elif not any(other is event for _, other in self._waiting):
            self._waiting.append((channel, event))

    def take(self, horizon: int | None) -> list[Event]:
        """Return events that are new or have changed; channels are explained up to ``horizon`` (None: to the end).

        Parameters
        ----------
        horizon
            Frame; None: to the end.

        Returns
        -------
        list[Event]
            In the order of their starts.
        """
        told: list[Event] = []
        for published in self._changed:
            self._update(published)
            told.append(published.event)
            if not published.event.open:
                self._forget(published)
        self._changed.clear()
        self._waiting.sort(key=lambda item: item[1].start_frame)
        while self._waiting:
            first = self._waiting[0][1]
            if horizon is not None and first.start_frame + self._tolerance(first) >= horizon:
                break
            group = self._group_of_first()
            self._waiting = [item for item in self._waiting if not any(item is other for other in group)]
            told += self._publish(group)
        return told

    def _tolerance(self, event: Event) -> int:
        return self._sustained_tolerance if event.kind in SUSTAINED else INSTANT_TOLERANCE_FRAMES

    def _group_of_first(self) -> list[tuple[int, Event]]:
        """Return the first waiting event with those of other channels that are the same fault."""
        first = self._waiting[0]
        group = [first]
        for item in self._waiting[1:]:
            apart = item[1].start_frame - first[1].start_frame
            if apart > self._tolerance(first[1]):
                break
            if item[0] not in {channel for channel, _ in group} and _same_fault(first[1], item[1]):
                group.append(item)
        return group

    def _publish(self, group: list[tuple[int, Event]]) -> list[Event]:
        if len(group) == self._channels > 1:
            members = [event for _, event in group]
            # Some channels show a fault later than it begins: the first of them tells.
            merged = replace(members[0], channel=None, start_frame=min(event.start_frame for event in members))
            published = [_Published(merged, members)]
            self._update(published[0])
        else:
            published = []
            for channel, event in group:
                event.channel = channel + 1
                published.append(_Published(event, [event]))
        for item in published:
            if item.event.open:
                self._published |= {id(member): item for member in item.members}
        return [item.event for item in published]

    def _update(self, published: _Published) -> None:
        event, members = published.event, published.members
        if members == [event]:
            return
        end = max(member.start_frame + member.duration_frames for member in members)
        instant = all(member.duration_frames == 0 for member in members)
        event.duration_frames = 0 if instant else end - event.start_frame
        event.open = any(member.open for member in members)
        event.size, event.message = members[0].size, members[0].message

    def _forget(self, published: _Published) -> None:
        for member in published.members:
            self._published.pop(id(member), None)


def _same_fault(a: Event, b: Event) -> bool:
    """Return whether events of two channels are the same fault: kind and whole-number sizes agree."""
    return a.kind is b.kind and getattr(a.size, "slip_frames", None) == getattr(b.size, "slip_frames", None)
