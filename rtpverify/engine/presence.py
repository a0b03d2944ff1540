"""Whether what is expected arrives: streams that end, come back, or never come.

How long nothing comes of a stream says what became of it. Past :data:`rtpverify.transport.demux.SILENT_NS` another
source may continue in its place; past ``max_stall_seconds`` the next packet ends a stall; past
:data:`rtpverify.transport.arrivals.DOWN_NS`, or ten packet times, it has ended. A sender that leaves silence out has
only paused until ``down_after_seconds`` are over; one that sends RTCP BYE has ended at once.

A check decides this once, at its end. Where it is watched (:class:`Ends`), an event is open until packets come again.
Time is arrival time: a stream has ended only once all that arrived before is taken in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.engine.packet_events import end_event, end_message, sender_change_event
from rtpverify.engine.stream import Interruption, Stream
from rtpverify.events import EndedSize, Event, Kind, MissingSize
from rtpverify.transport.arrivals import Arrivals
from rtpverify.transport.demux import SILENT_NS
from rtpverify.transport.sequence import SequenceTracker

GOODBYE_NS = 2 * SILENT_NS
"""After a BYE packets may still be on their way, and a source that continues in this place is known by then."""

GOES_ON = ": the sender stopped, or its packets no longer reach this host"
CAME_BACK = ", then it came back"
CAME = ", then it came"
GIVEN_UP = ", then it was no longer expected"
UP_TO_THE_END = " up to the end"
IF_MEANT = " up to the end of the check; use --until-end for a sender that is meant to stop"


class Ends(Enum):
    """What it means that a stream ends before the input does."""

    FAULT = "fault"
    """It is reported at the end of the input."""
    ALLOWED = "allowed"
    """Nothing."""
    WATCHED = "watched"
    """It is reported while it lasts, as is that something has not come yet."""


@dataclass(eq=False, slots=True)
class AwaitedStream:
    """Something that is expected, and what came of it.

    Attributes
    ----------
    since_ns
        When it began to be waited for; None where no clock says.
    streams
        Those that came and are not forgotten.
    came
        Whether any ever did.
    sender
        The stream of the address that sends it: of several, until another one took over.
    event, ended
        That it never came, or has ended, and the stream that did; the event is open while that lasts.
    """

    spec: StreamSpec
    since_ns: int | None = None
    streams: list[Stream] = field(default_factory=list)
    came: bool = False
    sender: Stream | None = None
    event: Event | None = None
    ended: Stream | None = None

    @property
    def name(self) -> str:
        """Its configured name."""
        return self.spec.name

    @property
    def is_down(self) -> bool:
        """Whether it was reported to be missing or to have ended, and that still holds."""
        return self.event is not None and self.event.open

    def is_alternative(self, other: AwaitedStream) -> bool:
        """Return whether one of the two is enough: senders of one description, any of which may send.

        Parameters
        ----------
        other
            What else is expected.

        Returns
        -------
        bool
            Whether they are senders of one description.
        """
        mine, its = self.spec, other.spec
        return mine.announced is not None and mine.announced == its.announced and mine.destination == its.destination

    def missing(self, now_ns: int | None, *, fault: bool) -> Event:
        """Return the event of something that never came; the time is None where no clock says.

        Parameters
        ----------
        now_ns
            The time, in ns since the Unix epoch.
        fault
            Whether it is a fault.

        Returns
        -------
        Event
            A ``missing`` event.
        """
        seconds = None if now_ns is None or self.since_ns is None else (now_ns - self.since_ns) / 1e9
        size, message = {"missing_seconds": seconds}, self.missing_message(seconds)
        return Event(MissingSize(**size), 0, time_ns=self.since_ns, fault=fault, message=message)

    def told(self, event: Event) -> tuple[Event, bool]:
        """Take an event in; return it as it is reported, and whether it is new.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        tuple[Event, bool]
            The event with its id, and whether it had none before.
        """
        is_new = not event.id
        event.name(f"{self.name or self.spec.place}@{self.since_ns}")
        return event, is_new

    def missing_message(self, seconds: float | None) -> str:
        """Say that it never came.

        Parameters
        ----------
        seconds
            For how long; None where no clock says.

        Returns
        -------
        str
            The message of the event.
        """
        announced = f", which {self.spec.announced.place} describes" if self.spec.announced else ""
        lasted = "" if seconds is None else f" for {seconds:.1f} s"
        return f"no packet{lasted} of {self.spec.place}{announced}"


class Presence:
    """Follows whether what is expected arrives.

    Parameters
    ----------
    specs, selection
        What is expected, and what of it is wanted.
    arrivals, tracker
        When packets came, and where they belong.
    tell
        Takes events, of a stream or of something that never came.
    ends
        What it means that a stream ends.

    Attributes
    ----------
    watches
        Whether what ends, or does not come, is reported while that lasts.
    """

    def __init__(
        self,
        specs: Sequence[StreamSpec],
        selection: Selection | None,
        arrivals: Arrivals,
        tracker: SequenceTracker,
        tell: Callable[[Stream | AwaitedStream, Event], None],
        *,
        ends: Ends,
    ) -> None:
        self._selection = selection
        self._arrivals = arrivals
        self._tracker = tracker
        self._tell = tell
        self._ends = ends
        self.watches = ends is Ends.WATCHED
        self._expected = [AwaitedStream(spec) for spec in specs]
        self._new = list(self._expected)
        self._down: list[AwaitedStream] = []
        self._now_ns: int | None = None
        self._due_ns: float = 0.0
        """Nothing that is known now ends or is missing before."""

    # What is expected -----------------------------------------------------------------------------------------------

    def expect(self, spec: StreamSpec) -> None:
        """Expect one more stream.

        Parameters
        ----------
        spec
            What is expected.
        """
        self._expected.append(AwaitedStream(spec))
        self._new.append(self._expected[-1])
        self._due_ns = 0.0

    def expect_no_more(self, spec: StreamSpec) -> None:
        """Expect a stream no longer, of which every stream was forgotten.

        Parameters
        ----------
        spec
            What is no longer expected.
        """
        item = self._of(spec)
        self._close(item, self._now_ns, GIVEN_UP)
        self._expected.remove(item)

    def add(self, stream: Stream) -> None:
        """Take in a stream that came.

        Parameters
        ----------
        stream
            The stream.
        """
        item = self._of(stream.spec)
        if item.is_down or (self.watches and item.streams and self._was_silent(item, stream.first_arrival_ns)):
            self._over(item, stream.first_arrival_ns)
        item.came = True
        item.sender = item.sender or stream
        item.streams.append(stream)
        self._due_ns = 0.0

    def forget(self, stream: Stream) -> None:
        """Continue without a stream.

        Parameters
        ----------
        stream
            The stream.
        """
        item = self._of(stream.spec)
        if item.ended is stream:
            self._close(item, self._now_ns, GIVEN_UP)
        item.streams.remove(stream)
        if item.sender is stream:
            item.sender = next(iter(item.streams), None)

    def is_up(self, name: str) -> bool:
        """Return whether packets of what bears a name arrive.

        Parameters
        ----------
        name
            Configured name.

        Returns
        -------
        bool
            Whether it came and has not ended.
        """
        return any(item.came and not item.is_down for item in self._expected if item.name == name)

    def absent(self) -> list[tuple[StreamSpec, Event]]:
        """Return what never came, as far as that was reported.

        Returns
        -------
        list[tuple[StreamSpec, Event]]
            Each with its ``missing`` event.
        """
        return [(item.spec, item.event) for item in self._expected if not item.came and item.event is not None]

    # While it lasts -------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Let the arrival clock continue; all that arrived before is taken in.

        Parameters
        ----------
        now_ns
            Arrival clock, in ns since the Unix epoch.
        """
        self._now_ns = now_ns
        for item in self._new:
            item.since_ns = now_ns
        self._new.clear()
        if not self.watches or now_ns < self._due_ns:
            return
        self._due_ns = float("inf")
        for item in self._expected:
            if len(item.streams) > 1:
                self._due_ns = min(self._due_ns, self._look_for_successor(item, now_ns))
            if item.is_down:
                continue
            at_ns = self._ended_at_ns(item) if item.came else self._missing_at_ns(item)
            if now_ns < at_ns:
                self._due_ns = min(self._due_ns, at_ns)
            elif item.came:
                item.ended = self._latest(item)
                self._open(item, item.ended, self._end_of(item.ended, now_ns, GOES_ON))
            else:
                self._open(item, item, item.missing(now_ns, fault=True))

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock that was set: what arrived before counts by the new one.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        self._due_ns = 0.0
        self._now_ns = None if self._now_ns is None else self._now_ns + by_ns
        for item in self._expected:
            item.since_ns = None if item.since_ns is None else item.since_ns + by_ns
            if item.event is not None and item.event.time_ns is not None:
                item.event.time_ns += by_ns
            for stream in item.streams:
                stream.rtcp.shift_clock(by_ns)

    def look_again(self) -> None:
        """Take note that a stream may have ended: its sender sent RTCP BYE."""
        self._due_ns = 0.0

    def returns(self, stream: NDArray[np.int64], arrival_ns: NDArray[np.int64]) -> list[tuple[int, AwaitedStream]]:
        """Return the packets, by row, with which something that is watched comes back that had ended before.

        Parameters
        ----------
        stream, arrival_ns
            Stream index and arrival of packets that are taken in next, shape (n,).

        Returns
        -------
        list[tuple[int, AwaitedStream]]
            Row and what comes back with it, in order of rows.
        """
        if len(stream) == 0:
            return []
        suspect = self._arrivals.may_follow_an_end(stream, arrival_ns)
        if self._down:
            suspect |= np.isin(stream, [one.index for item in self._down for one in item.streams])
        if not suspect.any():
            return []
        indices = set(stream[suspect].tolist())
        found: list[tuple[int, AwaitedStream]] = []
        for item in self._expected:
            of_item = [one.index for one in item.streams]
            if indices.isdisjoint(of_item):
                continue
            rows = np.flatnonzero(np.isin(stream, of_item))
            latest = self._latest(item)
            last_ns = self._last_ns(latest)
            heard_ns = np.maximum.accumulate(np.append(last_ns, arrival_ns[rows]))
            back = arrival_ns[rows] - heard_ns[:-1] >= self._patience_ns(latest)
            back[0] |= item.is_down
            found += [(row, item) for row in rows[back].tolist()]
        return sorted(found, key=lambda entry: entry[0])

    def come_back(self, item: AwaitedStream, stream: Stream, at_ns: int) -> None:
        """Take note that a packet of a stream arrived after an end; it is not taken in yet.

        Parameters
        ----------
        item
            What comes back.
        stream
            The stream.
        at_ns
            Arrival of the packet, in ns since the Unix epoch.
        """
        frame = self._tracker.end_frame(stream.index)
        stream.interruption = Interruption(self._over(item, at_ns), frame, at_ns)

    # At the end -----------------------------------------------------------------------------------------------------

    def finish(self, now_ns: int | None) -> None:
        """Check at the end of the input.

        Parameters
        ----------
        now_ns
            Time up to which all that arrived is taken in; None where there is no such time, as in a capture.
        """
        for item in list(self._down):
            self._close(item, now_ns, UP_TO_THE_END)
        if self.watches:
            return
        some_came = any(item.came for item in self._expected)
        for item in self._expected:
            if not item.came and self._is_wanted(item):
                item.event = item.missing(now_ns, fault=some_came)
                self._tell(item, item.event)
            if len(item.streams) > 1:
                is_live = now_ns is not None and self._ends is Ends.FAULT
                end_ns = max(map(self._last_ns, item.streams)) if now_ns is None else now_ns
                self._look_for_successor(item, end_ns, ends_are_told=is_live)
            if now_ns is None or self._ends is Ends.ALLOWED:
                continue
            for stream in item.streams:
                if now_ns >= self._stream_ended_at_ns(stream):
                    self._tell(stream, self._end_of(stream, now_ns, IF_MEANT))

    def has_ended(self, now_ns: int) -> bool:
        """Return whether streams came and all of them have ended; all that arrived before is taken in.

        Parameters
        ----------
        now_ns
            Arrival clock, in ns since the Unix epoch.

        Returns
        -------
        bool
            False where none came.
        """
        streams = [stream for item in self._expected for stream in item.streams]
        return bool(streams) and all(now_ns >= self._stream_ended_at_ns(stream) for stream in streams)

    def silent_ns(self, stream: Stream, end_ns: int) -> int | None:
        """Return how long before ``end_ns`` a stream ended, None where it did not.

        Parameters
        ----------
        stream
            The stream.
        end_ns
            End of the check, in ns since the Unix epoch.

        Returns
        -------
        int or None
            Time since its last packet.
        """
        silent_ns = end_ns - self._last_ns(stream)
        return silent_ns if silent_ns >= self._patience_ns(stream) else None

    def _look_for_successor(self, item: AwaitedStream, now_ns: int, *, ends_are_told: bool = False) -> float:
        """See whether another address took over what is expected; return when to look again.

        ``ends_are_told``: that the sender before has ended is reported by itself.
        """
        before = item.sender
        others = [one for one in item.streams if before and one.sender_address != before.sender_address]
        if before is None or not others or not item.spec.is_configured or item.spec.is_merged:
            return float("inf")
        ended_ns, last_ns = self._stream_ended_at_ns(before), self._last_ns(before)
        after = max(others, key=self._last_ns)
        if now_ns < ended_ns or self._last_ns(after) <= last_ns:
            return float("inf") if item.is_down else ended_ns
        is_told = item.event is not None and item.ended is before and item.event.time_ns == last_ns
        fault = not (is_told or ends_are_told or before.rtcp.said_goodbye)
        item.sender = after
        self._tell(after, sender_change_event(after, before, last_ns, fault=fault))
        return 0.0

    # Checking --------------------------------------------------------------------------------------------------------

    def _of(self, spec: StreamSpec) -> AwaitedStream:
        return next(item for item in self._expected if item.spec == spec)

    def _latest(self, item: AwaitedStream) -> Stream:
        return max(item.streams, key=self._last_ns)

    def _last_ns(self, stream: Stream) -> int:
        """Return when the last packet of a stream arrived."""
        return int(self._arrivals.last_ns[stream.index])

    def _patience_ns(self, stream: Stream) -> int:
        """Return for how long nothing comes of a stream that has ended."""
        down_ns = int(self._arrivals.down_ns[stream.index])
        return max(down_ns, round(1e9 * stream.spec.down_after_seconds)) if stream.suppression.is_used else down_ns

    def _stream_ended_at_ns(self, stream: Stream) -> int:
        """Return when a stream has ended, unless a packet comes before."""
        last_ns, goodbye_ns = self._last_ns(stream), stream.rtcp.goodbye_ns
        if goodbye_ns is not None and last_ns <= goodbye_ns + SILENT_NS:
            return goodbye_ns + (GOODBYE_NS if self.watches else 0)
        return last_ns + self._patience_ns(stream)

    def _ended_at_ns(self, item: AwaitedStream) -> float:
        return max((self._stream_ended_at_ns(stream) for stream in item.streams), default=float("inf"))

    def _was_silent(self, item: AwaitedStream, at_ns: int) -> bool:
        latest = self._latest(item)
        return at_ns - self._last_ns(latest) >= self._patience_ns(latest)

    def _missing_at_ns(self, item: AwaitedStream) -> float:
        if item.since_ns is None or not self._is_wanted(item):
            return float("inf")
        return item.since_ns + 1e9 * item.spec.missing_after_seconds

    def _is_wanted(self, item: AwaitedStream) -> bool:
        """Return whether something that is configured or described has to come."""
        spec = item.spec
        if not spec.name and spec.announced is None:
            return False
        if self._selection is not None and not self._selection.picks(spec):
            return False
        return not any(other.came and item.is_alternative(other) for other in self._expected)

    # Telling --------------------------------------------------------------------------------------------------------

    def _end_of(self, stream: Stream, now_ns: int, went_on: str) -> Event:
        """Return the event of a stream of which nothing came since its last packet."""
        frame, sequence = self._tracker.end_frame(stream.index), self._tracker.head_sequence(stream.index)
        return end_event(stream, frame, sequence, self._last_ns(stream), now_ns, went_on)

    def _open(self, item: AwaitedStream, of: Stream | AwaitedStream, event: Event) -> None:
        item.event, event.open = event, True
        self._down.append(item)
        self._tell(of, event)

    def _over(self, item: AwaitedStream, at_ns: int) -> Event:
        """Close what was reported of something that came now, or report now that it had ended; return that."""
        self._due_ns = 0.0
        if item.event is not None and item.event.open:
            self._close(item, at_ns, CAME_BACK if item.came else CAME)
            return item.event
        item.ended = self._latest(item)
        item.event = self._end_of(item.ended, at_ns, CAME_BACK)
        self._tell(item.ended, item.event)
        return item.event

    def _close(self, item: AwaitedStream, at_ns: int | None, went_on: str) -> None:
        """Close what was reported of something, and say how it continued."""
        event = item.event
        if event is None or not event.open:
            return
        self._down.remove(item)
        event.open = False
        seconds = None if at_ns is None or event.time_ns is None else (at_ns - event.time_ns) / 1e9
        if event.kind is Kind.MISSING or item.ended is None:
            event.size = MissingSize(missing_seconds=seconds)
            event.message = f"{item.missing_message(seconds)}{went_on}"
            self._tell(item, event)
        else:
            event.size = EndedSize(ended_seconds=seconds)
            event.message = end_message(item.ended, seconds, went_on)
            self._tell(item.ended, event)
