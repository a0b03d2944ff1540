"""One RTP stream: who sends it, how it is checked, and the events that were found in it.

Everything that costs time is done for all streams at once (:mod:`rtpverify.engine.verifier`). Frames of events count
from the stream's earliest packet.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields, replace

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.format_group import Analysis
from rtpverify.events import (
    TRANSPORT_KINDS,
    Event,
    Kind,
)
from rtpverify.failure import Failure
from rtpverify.media.timeline import MediaTime
from rtpverify.result import StreamResult
from rtpverify.rtp.batch import Flow
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.rtcp import Arrived, Bye, Report, SenderReport, SenderReports
from rtpverify.transport.counts import PacketCounts, WireGlance
from rtpverify.transport.packet_index import PacketIndex

MAX_EVENTS = 10_000
"""Events of one stream that are kept; further ones are reported and counted."""

RETURN_SECONDS = 0.5
"""Media time from the end of a stream within which numbers that break came with its return."""
UNKNOWN_RATE_HZ = 90_000
"""Clock rate of what is not decoded, mostly video (RFC 3551)."""


@dataclass(slots=True)
class FormatRow:
    """Where the frames of a stream go: its row in the analysis of its format.

    ``group`` is the number of that format and encoding; frames from ``start_frame`` on lie here, up to ``stop_frame``
    where the stream continued in another encoding there.
    """

    group: int
    analysis: Analysis
    row: int
    encoding: Encoding
    start_frame: int = 0
    stop_frame: int | None = None

    def holds(self, frame: int) -> bool:
        """Return whether a frame lies here.

        Parameters
        ----------
        frame
            Frame of the stream, counted from its earliest packet.

        Returns
        -------
        bool
            Whether it lies between the first and the last frame of this encoding.
        """
        return self.start_frame <= frame and (self.stop_frame is None or frame < self.stop_frame)


@dataclass(frozen=True, slots=True)
class Closed:
    """What stays of a stream that continues as another one, as something failed."""

    result: StreamResult
    wire: WireGlance


@dataclass(frozen=True, slots=True)
class Interruption:
    """An end after which a stream came back.

    Attributes
    ----------
    event
        As it was reported.
    frame
        The one after the last that had arrived.
    arrival_ns
        When the first packet after it arrived.
    """

    event: Event
    frame: int
    arrival_ns: int


@dataclass(slots=True)
class SenderRtcp:
    """What the sender of a stream reports of itself.

    Attributes
    ----------
    reports
        Its sender reports; None before the first.
    at_report
        Counts of the stream's packets when the latest one came.
    address
        ``address:port`` it comes from.
    said_goodbye
        Whether the sender said that it leaves, and has not started over since.
    goodbye_ns
        When it did.
    """

    reports: SenderReports | None = None
    at_report: PacketCounts = field(default_factory=PacketCounts)
    address: str | None = None
    said_goodbye: bool = False
    goodbye_ns: int | None = None

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock that was set: what arrived before counts by the new one.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        if self.goodbye_ns is not None:
            self.goodbye_ns += by_ns
        if self.reports is not None:
            self.reports.last_arrival_ns += by_ns

    def start_over(self) -> None:
        """Forget what holds only as long as the sender's numbers continue."""
        self.said_goodbye, self.goodbye_ns = False, None
        if self.reports is not None:
            self.reports.start_over()


@dataclass(slots=True)
class Suppression:
    """Silence that the sender does not send (RFC 3551 section 4.1).

    Attributes
    ----------
    pauses
        Pauses in which it suppressed silence.
    packets_beside
        Packets of comfort noise or telephone events.
    telephone_events
        Extended sequence numbers of the latest telephone events.
    has_comfort_noise
        Whether the sender described the noise of a silence (RFC 3389).
    """

    pauses: int = 0
    packets_beside: int = 0
    telephone_events: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    has_comfort_noise: bool = False

    @property
    def is_used(self) -> bool:
        """Whether the sender has shown that it does not send silence."""
        return self.has_comfort_noise or self.pauses > 0

    def take(self, sequence: int, *, is_noise: bool) -> None:
        """Take a packet of comfort noise, or of a telephone event.

        Parameters
        ----------
        sequence
            Extended sequence number of the packet.
        is_noise
            Whether it is comfort noise.
        """
        self.packets_beside += 1
        if is_noise:
            self.has_comfort_noise = True
        else:
            self.telephone_events.append(sequence)


@dataclass(slots=True)
class StreamLog:
    """The events of one stream, as they are reported.

    Attributes
    ----------
    identity
        What makes the names of its events its own.
    events
        Those that are kept, by id.
    left_out
        Events beyond those.
    media_time
        Where frames lie on the media timeline.
    timestamp_error
        The ``timestamp_error`` that is open.
    timestamp_jump
        The latest one, which a next one may join.
    """

    identity: str
    events: dict[str, Event] = field(default_factory=dict)
    left_out: int = 0
    media_time: MediaTime = field(default_factory=MediaTime)
    timestamp_error: Event | None = None
    timestamp_jump: Event | None = None
    _shifted: dict[int, tuple[Event, Event]] = field(default_factory=dict)
    """Events that are still open where frames are shifted: as they are kept, and as they are reported."""

    def add(self, event: Event) -> bool:
        """Name an event and keep it where there is room; return whether it is new.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        bool
            Whether no event of its id was reported before.
        """
        event.name(self.identity)
        # What has the identity of an event that was reported is that event, found again.
        is_new = event.id not in self.events
        if is_new and len(self.events) >= MAX_EVENTS:
            self.left_out += 1
        else:
            self.events[event.id] = event
        return is_new

    def on_media_time(self, event: Event) -> Event:
        """Return an event on the media timeline: a copy where frames are shifted there, always the same while open.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        Event
            The event itself where no frames are shifted.
        """
        # A jump lies at the end of what was before it.
        shift_frames = self.media_time.shift(event.start_frame - (event.kind is Kind.TIMESTAMP_JUMP))
        if not shift_frames:
            return event
        _, told = self._shifted.get(id(event), (event, None))
        if told is None:
            told = replace(event)
        for item in fields(event):
            setattr(told, item.name, getattr(event, item.name))
        told.start_frame += shift_frames
        if event.open:
            self._shifted[id(event)] = event, told
        else:
            self._shifted.pop(id(event), None)
        if event.id in self.events:
            self.events[event.id] = told
        return told

    def close_signal(self, frame: int) -> list[Event]:
        """Let what the signal showed end at ``frame``; return the events that were open.

        Parameters
        ----------
        frame
            Frame of the stream, counted from its earliest packet.

        Returns
        -------
        list of Event
            Those that changed.
        """
        kept = {id(told): event for event, told in self._shifted.values()}
        ended = [
            kept.get(id(event), event)
            for event in self.events.values()
            if event.open and event.kind not in TRANSPORT_KINDS
        ]
        for event in ended:
            event.open = False
            event.duration_frames = max(event.duration_frames, frame - event.start_frame)
        return ended

    def in_order(self) -> list[Event]:
        """Return the events that are kept, by frame and channel.

        Returns
        -------
        list of Event
            The events.
        """
        return sorted(self.events.values(), key=lambda event: (event.start_frame, event.channel or 0))


@dataclass(slots=True)
class Stream:
    """One stream of one sender: what it is and how it is checked.

    What was counted and measured of it is read from those that count and measure, by its index.

    Attributes
    ----------
    index
        Its row in every store (:class:`~rtpverify.transport.rows.RowTable`).
    encoding
        None where nothing shows how the payload is decoded; transport is followed all the same.
    packets
        Where its latest packets are known by its index.
    doubt
        Why the encoding is not to be relied upon.
    track
        Where its frames go now; None without a reference or an encoding.
    earlier
        Where frames went before the encoding changed, the latest ones.
    encoding_since
        Frame from which on the present encoding holds.
    not_checked
        Why what comes since then is not checked.
    origin
        Unwrapped timestamp of frame 0, None until the earliest packet is known.
    ssrc_before
        The SSRC before, where another one took over.
    interruption
        The latest end after which it came back.
    failure
        Why its signal is not checked any more, where that is a defect of ours or the caller's mistake.
    closed
        What was found, where it continues as another stream and nothing more comes to this one.
    restarted_frame
        Frame from which on its signal is checked from nothing, as something failed that others had a part in.
    is_checked
        Whether its audio is checked here (:mod:`rtpverify.engine.share`).
    """

    index: int
    spec: StreamSpec
    flow: Flow
    ssrc: int
    payload_type: int
    encoding: Encoding | None
    first_arrival_ns: int
    packets: PacketIndex = field(repr=False)
    doubt: str | None = None
    track: FormatRow | None = None
    earlier: list[FormatRow] = field(default_factory=list)
    encoding_since: int = 0
    not_checked: str | None = None
    origin: int | None = None
    ssrc_before: int = 0
    rtcp: SenderRtcp = field(default_factory=SenderRtcp)
    suppression: Suppression = field(default_factory=Suppression)
    interruption: Interruption | None = None
    failure: Failure | None = None
    closed: Closed | None = None
    restarted_frame: int | None = None
    is_checked: bool = True
    log: StreamLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = StreamLog(f"{self.ssrc:08x}@{self.first_arrival_ns}")

    @property
    def name(self) -> str:
        """Configured name of the stream."""
        return self.spec.name

    @property
    def has_source_filter(self) -> bool:
        """Whether packets are taken of certain senders only."""
        ends = self.spec.legs or (self.spec,)
        return any(end.sender is not None for end in ends)

    def take_report(self, report: Report, arrived: Arrived, counts: PacketCounts, arrival_ns: int, sender: str) -> None:
        """Take what the sender reports of itself, with what had come of its packets before.

        ``sender`` is the ``address:port`` it came from.

        Parameters
        ----------
        report
            The report.
        arrived
            Head and octets of its packets by then.
        counts
            Counts of its packets by then.
        arrival_ns
            When it arrived, in ns since the Unix epoch.
        sender
            ``address:port`` the report came from.
        """
        self.rtcp.address = sender
        if isinstance(report, Bye):
            self.rtcp.said_goodbye, self.rtcp.goodbye_ns = True, arrival_ns
        elif isinstance(report, SenderReport) and self.encoding is not None:
            self.rtcp.reports = self.rtcp.reports or SenderReports(self.encoding.sample_rate_hz)
            self.rtcp.reports.add(report, arrived, arrival_ns)
            self.rtcp.at_report = counts

    def take_over(self, ssrc: int, flow: Flow) -> None:
        """Continue with another source.

        Parameters
        ----------
        ssrc
            SSRC of the new source.
        flow
            Its two ends.
        """
        self.ssrc_before, self.ssrc, self.flow = self.ssrc, ssrc, flow

    @property
    def sender_address(self) -> str:
        """Address of the host that sends it, without its port."""
        return self.flow.sender.rpartition(":")[0]

    def go_on_in(self, encoding: Encoding | None, frame: int) -> None:
        """Continue in another encoding from ``frame`` on; None: in one that is not known.

        Parameters
        ----------
        encoding
            The encoding.
        frame
            Frame of the stream, counted from its earliest packet.
        """
        self.not_checked = None if encoding else self.spec.why_undecodable(self.payload_type)
        self.encoding, self.encoding_since = encoding or self.encoding, frame

    def end_within(self, start_ns: int, stop_ns: int) -> Event | None:
        """Return the end after which it came back within a silence, None where it did not.

        Parameters
        ----------
        start_ns
            Start of the silence, in ns since the Unix epoch.
        stop_ns
            Its end.

        Returns
        -------
        Event or None
            The ``ended`` event.
        """
        back = self.interruption
        return back.event if back is not None and start_ns < back.arrival_ns <= stop_ns else None

    def end_before(self, frame: int) -> Event | None:
        """Return the end after which it came back with what lies at a frame, None where it came back otherwise.

        Parameters
        ----------
        frame
            Frame of the stream, counted from its earliest packet.

        Returns
        -------
        Event or None
            The ``ended`` event.
        """
        back = self.interruption
        rate_hz = self.encoding.sample_rate_hz if self.encoding else UNKNOWN_RATE_HZ
        return back.event if back is not None and 0 <= frame - back.frame <= RETURN_SECONDS * rate_hz else None

    def told(self, event: Event) -> tuple[Event, bool]:
        """Take an event in; return it as reported, and whether it is new.

        Parameters
        ----------
        event
            A new event, or one that has changed.

        Returns
        -------
        tuple[Event, bool]
            The event with id, packets, arrival and place on the media timeline, and whether it is new.
        """
        stop = event.start_frame + max(event.duration_frames, 1)
        if event.id:
            if event.packets is not None and event.kind not in TRANSPORT_KINDS and not event.open:
                last = self._carriers(stop - 1, stop)
                event.packets = (event.packets[0], max(last or event.packets))
            return self.log.on_media_time(event), False
        if event.packets is None:
            event.packets = self._carriers(event.start_frame, stop)
        if event.packets is not None and event.time_ns is None:
            event.time_ns = self.packets.arrival_ns(self.index, event.packets[0])
        event.time_ns = event.time_ns or None  # 0 where a capture holds no times at all
        is_new = self.log.add(event)
        return self.log.on_media_time(event), is_new

    def track_at(self, frame: int) -> FormatRow | None:
        """Return where a frame lies, None where it is not checked or that is forgotten.

        Parameters
        ----------
        frame
            Frame of the stream, counted from its earliest packet.

        Returns
        -------
        FormatRow or None
            The track of the encoding it is in.
        """
        if self.track is not None and self.track.start_frame <= frame:
            return self.track
        return next((track for track in reversed(self.earlier) if track.holds(frame)), None)

    def frame_of(self, sequence: int) -> int | None:
        """Return the first frame of a packet, None where it did not arrive or is forgotten.

        Parameters
        ----------
        sequence
            Extended sequence number of the packet.

        Returns
        -------
        int or None
            Counted from the stream's earliest packet.
        """
        timestamp = self.packets.timestamp(self.index, sequence)
        return None if timestamp is None else timestamp - (self.origin or 0)

    def _carriers(self, start: int, stop: int) -> tuple[int, int] | None:
        """Return first and last sequence number of the packets that carried frames, None where that is forgotten."""
        origin = self.origin or 0
        return self.packets.carriers(self.index, start + origin, stop + origin)
