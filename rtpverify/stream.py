"""One RTP stream: what the wire did to it and what its signal was, put together.

Everything that costs time is done for all streams at once (:mod:`rtpverify.verifier`); a :class:`Stream` is where the
two timelines meet. Frames of events count from the stream's earliest packet.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rtpverify.analysis import Analysis
from rtpverify.events import Cause, Event, Kind
from rtpverify.mediatime import MediaTime
from rtpverify.packets import PacketIndex
from rtpverify.result import Leg, Rtcp, StreamResult, Transport
from rtpverify.rtp.batch import Flow
from rtpverify.rtp.bursts import LossPattern
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.redundancy import LegState
from rtpverify.rtp.rtcp import TOLERANCE_PACKETS, Arrived, Bye, Report, SenderReport, SenderReports
from rtpverify.rtp.timing import INTERVAL_EDGES_NS
from rtpverify.rtp.verdicts import Counts, Discontinuity, Gap
from rtpverify.sensitivity import blindness, why_inconclusive
from rtpverify.spec import StreamSpec

SILENT_LEG_NS = 1_000_000_000
"""A leg that is this far behind the others has fallen silent."""
MAX_EVENTS = 10_000
"""Events of one stream that are kept; further ones are told and counted."""


@dataclass(slots=True)
class Track:
    """Where the frames of a stream go: its row in the analysis of its format.

    ``group`` is the number of that format and encoding; frames from ``start_frame`` on lie here, up to ``stop_frame``
    where the stream went on in another encoding there.
    """

    group: int
    analysis: Analysis
    packets: PacketIndex
    row: int
    encoding: Encoding
    start_frame: int = 0
    stop_frame: int | None = None

    def holds(self, frame: int) -> bool:
        """Tell whether a frame lies here."""
        return self.start_frame <= frame and (self.stop_frame is None or frame < self.stop_frame)


@dataclass(frozen=True, slots=True)
class WireGlance:
    """What the wire did to a stream so far, as far as it is seen at a glance."""

    counts: Counts
    jitter_seconds: float | None
    last_arrival_ns: int


@dataclass(frozen=True, slots=True)
class Reception:
    """What a receiver would report of a stream (RFC 3550 section 6.4.1)."""

    counts: Counts
    sequence: int
    jitter_frames: int | None
    last_arrival_ns: int
    last_report: int
    """Middle 32 bits of the NTP time in the latest sender report, 0 where none came."""
    last_report_ns: int

    def delay_since_last_report(self, now_ns: int) -> int:
        """Return the time since the latest sender report in units of 2**-16 s, 0 where none came."""
        if not self.last_report:
            return 0
        return min(max(now_ns - self.last_report_ns, 0) * 65536 // 10**9, 0xFFFFFFFF)


@dataclass(slots=True)
class WireFigures:
    """What is measured of a stream's packets beside the counts."""

    run_lengths: Counter[int]
    pattern: LossPattern
    intervals: list[int]
    packet_time_changes: tuple[int, list[tuple[float, float]]]
    max_jitter_seconds: float | None
    tsdf_seconds: float | None
    max_tsdf_seconds: float | None
    longest_interval_seconds: float | None
    mean_interval_seconds: float | None

    def as_fields(self, packet_time_seconds: float | None) -> dict[str, Any]:
        """Return the fields of :class:`rtpverify.result.Transport`."""
        pattern = self.pattern

        def duration(packets: float | None) -> float | None:
            return None if packets is None or packet_time_seconds is None else packets * packet_time_seconds

        edges = [*(edge / 1e9 for edge in INTERVAL_EDGES_NS), None]
        return {
            "loss_run_lengths": {str(length): count for length, count in sorted(self.run_lengths.items())},
            "loss_bursts": pattern.bursts,
            "burst_density": pattern.burst_density,
            "gap_density": pattern.gap_density,
            "burst_duration_seconds": duration(pattern.burst_packets),
            "gap_duration_seconds": duration(pattern.gap_packets),
            "max_jitter_seconds": self.max_jitter_seconds,
            "tsdf_seconds": self.tsdf_seconds,
            "max_tsdf_seconds": self.max_tsdf_seconds,
            "longest_interval_seconds": self.longest_interval_seconds,
            "mean_interval_seconds": self.mean_interval_seconds,
            "interarrival_histogram": [
                (edge, count) for edge, count in zip(edges, self.intervals, strict=True) if count
            ],
            "packet_time_changes": self.packet_time_changes[0],
        }

    def packet_times(self) -> str:
        """Say how the packet time changed."""
        count, listed = self.packet_time_changes
        steps = ", ".join(f"from {1e3 * before:g} to {1e3 * after:g} ms" for before, after in listed)
        return f"packet time changed {steps or f'{count} times'}{', …' if len(listed) < count else ''}"


@dataclass(slots=True)
class Stream:
    """One stream of one sender.

    Attributes
    ----------
    index
        Stream index in the demultiplexer and the sequence tracker.
    encoding
        None where nothing tells how the payload is decoded; transport is followed all the same.
    track
        Where its frames go now; None without a reference or an encoding.
    origin
        Unwrapped timestamp of frame 0, None until the earliest packet is known.
    """

    index: int
    spec: StreamSpec
    flow: Flow
    ssrc: int
    payload_type: int
    encoding: Encoding | None
    first_arrival_ns: int
    last_arrival_ns: int
    track: Track | None = None
    origin: int | None = None
    earlier: list[Track] = field(default_factory=list)
    """Where frames went before the encoding changed, the latest ones."""
    events: dict[str, Event] = field(default_factory=dict)
    before: int = 0
    """The SSRC before, where another one took over."""
    odd_lengths: int = 0
    """Packets whose payload is no whole number of frames."""
    counts: Counts | None = None
    end_frame: int = 0
    jitter_seconds: float | None = None
    clock_drift_ppm: float | None = None
    packet_time_seconds: float | None = None
    wire: WireFigures | None = None
    lead_seconds: tuple[float, float] | None = None
    """Presentation lead of the latest packet, and the least."""
    lead_clock: int | None = None
    """Seconds from the host's clock to the one that timestamps follow; None where that is not known."""
    clock_off_seconds: float | None = None
    """How far timestamps are off the host's clock, where they do not follow it."""
    packets_short_of_lead: int | None = None
    extended_sequence: int = 0
    reports: SenderReports | None = None
    rtcp_sender: str | None = None
    """Where the sender's RTCP comes from."""
    said_goodbye: bool = False
    """Whether the sender said that it leaves, and has not started over since."""
    _at_report: Counts = field(default_factory=Counts)
    """Counts when the latest sender report came."""
    media_time: MediaTime = field(default_factory=MediaTime)
    events_left_out: int = 0
    """Events beyond those that are kept."""
    encoding_since: int = 0
    """Frame from which on the present encoding holds."""
    not_judged: str | None = None
    """Why what comes since then is not judged."""
    pauses: int = 0
    """Stretches of silence that the sender left out."""
    packets_beside: int = 0
    """Packets of comfort noise or telephone events."""
    _identity: str = ""
    _shifted: dict[int, tuple[Event, Event]] = field(default_factory=dict)
    """Events that are still open where frames are shifted: as they are kept, and as they are told."""

    def __post_init__(self) -> None:
        self._identity = f"{self.ssrc:08x}@{self.first_arrival_ns}"

    legs: list[LegState] = field(default_factory=list)
    differing: tuple[int, list[int]] = (0, [])
    """How many copies over the legs differ from the first, and some of their sequence numbers."""

    @property
    def name(self) -> str:
        """Configured name of the stream."""
        return self.spec.name

    def gap(self, gap: Gap, host_dropped: int = 0) -> Event:
        """Return the event of packets that never arrived; so many were dropped by this host meanwhile."""
        start = gap.start_frame - (self.origin or 0)
        packets = f"{gap.packets} packet{'s' if gap.packets > 1 else ''}"
        if gap.frames:
            where = "on all legs" if self.spec.is_merged else "on the way"
            message = f"{packets} lost {where}, {gap.frames} frames{self._milliseconds(gap.frames)} never arrived"
        else:
            message = f"{packets} skipped by sequence number, no frame is missing"
        event = Event(
            Kind.GAP,
            start,
            gap.frames,
            size={"packets_lost": gap.packets},
            packets=(gap.first_sequence, gap.last_sequence),
            message=message,
        )
        if host_dropped:
            # Not the network's doing, or not only.
            event.cause = Cause.UNKNOWN
            event.size["packets_dropped_by_host"] = host_dropped
            event.message += f"; this host dropped {host_dropped} just then, its receive buffer was full"
        event.time_ns = self._arrival_ns(start, gap.last_sequence + 1)
        return event

    @property
    def has_source_filter(self) -> bool:
        """Whether packets are taken of certain senders only."""
        ends = self.spec.legs or (self.spec,)
        return any(end.sender is not None for end in ends)

    def take_report(self, report: Report, arrived: Arrived, counts: Counts, arrival_ns: int, sender: str) -> None:
        """Take what the sender reports of itself, with what had come of its packets before.

        ``sender`` is the ``address:port`` it came from.
        """
        self.rtcp_sender = sender
        if isinstance(report, Bye):
            self.said_goodbye = True
        elif isinstance(report, SenderReport) and self.encoding is not None:
            self.reports = self.reports or SenderReports(self.encoding.sample_rate_hz)
            self.reports.add(report, arrived, arrival_ns)
            self._at_report = counts

    def start_over(self) -> None:
        """Forget what holds only as long as the sender's numbers go on."""
        self.said_goodbye = False
        if self.reports is not None:
            self.reports.start_over()

    def take_over(self, ssrc: int, flow: Flow) -> None:
        """Go on with another source."""
        self.before, self.ssrc, self.flow = self.ssrc, ssrc, flow

    def go_on_in(self, payload_type: int, encoding: Encoding | None, frame: int) -> None:
        """Go on in another encoding from ``frame`` on; None: in one that is not known."""
        self.not_judged = None if encoding else f"payload type {payload_type}: encoding unknown"
        self.encoding, self.encoding_since = encoding or self.encoding, frame

    def jump(self, jump: Discontinuity) -> Event:
        """Return the event of a sender whose numbers jumped."""
        kind = Kind(str(jump.kind))
        frame = jump.frame - (self.origin or 0)
        numbers = (
            f"sequence {jump.from_sequence} expected, {jump.to_sequence} came; "
            f"timestamp {jump.from_timestamp} expected, {jump.to_timestamp} came"
        )
        size: dict[str, Any] = {"timestamp_jump_frames": jump.frames}
        if kind is Kind.SSRC_CHANGE:
            size = {"from_ssrc": f"0x{self.before:08x}", "to_ssrc": f"0x{self.ssrc:08x}"}
            left = "said goodbye" if self.said_goodbye else "fell silent"
            message = f"SSRC 0x{self.before:08x} {left} and 0x{self.ssrc:08x} goes on in its place"
        elif kind is Kind.RESTART:
            message = f"the sender started over: {numbers}"
        else:
            message = f"the RTP timestamp jumped: {numbers}"
        event = Event(kind, frame, size=size, packets=(jump.sequence, jump.sequence), message=message)
        event.fault = not (kind is Kind.SSRC_CHANGE and self.said_goodbye)
        event.time_ns = self._arrival_ns(frame, jump.sequence)
        return event

    def stall(self, sequence: int, frame: int, seconds: float, arrival_ns: int) -> Event:
        """Return the event of a sender that was silent for too long."""
        message = f"no packet for {1000 * seconds:.1f} ms, then the stream went on where it had stopped"
        return Event(
            Kind.STALL,
            frame,
            size={"stall_seconds": seconds},
            packets=(sequence, sequence),
            time_ns=arrival_ns,
            message=message,
        )

    def payload_type_change(self, payload_type: int, sequence: int, frame: int, arrival_ns: int) -> Event:
        """Return the event of a sender that changed its payload type."""
        message = f"payload type changed from {self.payload_type} to {payload_type}"
        return Event(
            Kind.PAYLOAD_TYPE_CHANGE,
            frame,
            size={"from_payload_type": self.payload_type, "to_payload_type": payload_type},
            packets=(sequence, sequence),
            time_ns=arrival_ns,
            message=message,
        )

    def told(self, event: Event) -> tuple[Event, bool]:
        """Take an event in; return it as it is told, and whether it is new."""
        stop = event.start_frame + max(event.duration_frames, 1)
        track = self.track_at(event.start_frame)
        if event.id:
            if event.packets is not None and track is not None and not event.open:
                last = track.packets.carriers(track.row, stop - 1, stop)
                event.packets = (event.packets[0], max(last or event.packets))
            return self._on_media_time(event), False
        if event.packets is None and track is not None:
            event.packets = track.packets.carriers(track.row, event.start_frame, stop)
            if event.packets is not None:
                event.time_ns = track.packets.arrival_ns(track.row, event.packets[0])
        event.time_ns = event.time_ns or None  # 0 where a capture holds no times at all
        event.name(self._identity)
        # What has the identity of an event that was told is that event, judged anew.
        is_new = event.id not in self.events
        if is_new and len(self.events) >= MAX_EVENTS:
            self.events_left_out += 1
        else:
            self.events[event.id] = event
        return self._on_media_time(event), is_new

    def track_at(self, frame: int) -> Track | None:
        """Return where a frame lies, None where it is not judged or that is forgotten."""
        if self.track is not None and self.track.start_frame <= frame:
            return self.track
        return next((track for track in reversed(self.earlier) if track.holds(frame)), None)

    def _arrival_ns(self, frame: int, sequence: int) -> int | None:
        """Return when a packet arrived that holds a frame, None where it did not or is forgotten."""
        track = self.track_at(frame)
        return None if track is None else track.packets.arrival_ns(track.row, sequence)

    def _on_media_time(self, event: Event) -> Event:
        """Return an event on the media timeline: a copy where frames are shifted there, always the same while open."""
        shift = self.media_time.shift(event.start_frame)
        if not shift:
            return event
        _, told = self._shifted.get(id(event), (event, None))
        if told is None:
            told = replace(event)
        for item in fields(event):
            setattr(told, item.name, getattr(event, item.name))
        told.start_frame += shift
        if event.open:
            self._shifted[id(event)] = event, told
        else:
            self._shifted.pop(id(event), None)
        if event.id in self.events:
            self.events[event.id] = told
        return told

    def judge_counts(self) -> list[Event]:
        """Return events for counts that are past a limit of one's own."""
        if self.counts is None:
            return []
        limits, counts = self.spec.limits, self.counts
        events = []
        for kind, count, limit, what in (
            (Kind.DUPLICATE, counts.duplicated, limits.max_duplicated, "came more than once"),
            (Kind.REORDER, counts.reordered, limits.max_reordered, "came after a later one"),
            (Kind.LATE, counts.late, limits.max_late, "came after the reorder window"),
        ):
            if limit is not None and count > limit:
                message = f"{count} packets {what}, limit {limit:g}"
                events.append(Event(kind, 0, self.end_frame, size={"packets_counted": count}, message=message))
        if limits.max_jitter_seconds is not None and (self.jitter_seconds or 0.0) > limits.max_jitter_seconds:
            message = f"interarrival jitter of {1e3 * (self.jitter_seconds or 0):.3f} ms"
            message += f", limit {1e3 * limits.max_jitter_seconds:.3f} ms"
            size = {"jitter_seconds": self.jitter_seconds}
            events.append(Event(Kind.JITTER, 0, self.end_frame, cause=Cause.UNKNOWN, size=size, message=message))
        if self.packets_short_of_lead and self.lead_seconds:
            count, least = self.packets_short_of_lead, self.lead_seconds[1]
            message = f"{count} packet{'s' if count > 1 else ''} came too late to be presented: lead down to "
            message += f"{1e3 * least:.3f} ms, at least {1e3 * limits.min_presentation_lead_seconds:g} ms wanted"
            size = {"presentation_lead_seconds": least, "packets_counted": count}
            events.append(Event(Kind.LATE, 0, self.end_frame, cause=Cause.UNKNOWN, size=size, message=message))
        return events

    def result(self) -> StreamResult:
        """Return what was found so far."""
        counts = self.counts or Counts()
        result = StreamResult(
            sample_rate=self.encoding.sample_rate_hz if self.encoding else None,
            channels=self.encoding.channels if self.encoding else None,
            encoding=self.encoding.name if self.encoding else None,
            frames=self.end_frame + self.media_time.shift(self.end_frame),
            ssrc=self.ssrc,
            sender=self.flow.sender,
            destination=self.flow.destination,
            payload_type=self.payload_type,
            packet_time_seconds=self.packet_time_seconds,
            transport=Transport(
                packets_received=counts.received,
                packets_expected=counts.expected,
                packets_lost=counts.lost,
                packets_duplicated=counts.duplicated,
                packets_reordered=counts.reordered,
                packets_late=counts.late,
                jitter_seconds=self.jitter_seconds,
                clock_drift_ppm=self.clock_drift_ppm,
                packets_stray=counts.stray,
                packets_odd_length=self.odd_lengths,
                packets_beside=self.packets_beside,
                presentation_lead_seconds=self.lead_seconds[0] if self.lead_seconds else None,
                min_presentation_lead_seconds=self.lead_seconds[1] if self.lead_seconds else None,
                packets_short_of_lead=self.packets_short_of_lead,
                pauses=self.pauses,
                rtcp=self._rtcp(),
                **(self.wire.as_fields(self.packet_time_seconds) if self.wire else {}),
            ),
            events=sorted(self.events.values(), key=lambda event: (event.start_frame, event.channel or 0)),
        )
        if self.odd_lengths:
            result.warnings.append(f"{self.odd_lengths} packets hold no whole number of {self.encoding} frames")
        sent = self.reports.packets if self.reports else None
        if sent and abs(sent[0] - sent[1]) > max(TOLERANCE_PACKETS, self._packets_in_window):
            result.warnings.append(
                f"the sender says it sent {sent[0]} packets between its reports, sequence numbers tell {sent[1]}"
            )
        if self.wire and self.wire.packet_time_changes[0]:
            result.warnings.append(self.wire.packet_times())
        if self.pauses:
            result.warnings.append(
                f"the sender left silence out {self.pauses} time{'s' if self.pauses > 1 else ''}; "
                "what it hid there cannot be told"
            )
        if self.spec.limits.link_offset_seconds is not None and self.lead_seconds is None:
            result.warnings.append(f"presentation lead not measured: {self._no_lead()}")
        if self.events_left_out:
            result.warnings.append(f"{self.events_left_out} more events were told than are kept here")
        if counts.stray:
            result.warnings.append(f"{counts.stray} packets fit nowhere in the stream and were left out")
        self._add_legs(result)
        self._add_signal(result)
        self._add_announced(result)
        return result

    def _no_lead(self) -> str:
        """Say why there is no presentation lead."""
        if self.clock_off_seconds is not None:
            return f"the timestamps are {self.clock_off_seconds:.1f} s off the clock of this host"
        if self.encoding is None:
            return "the clock rate is not known"
        if self.lead_clock is None:
            return "the media clock follows no clock that is known here"
        return "no times of arrival"

    def _add_legs(self, result: StreamResult) -> None:
        """Add what each path alone brought, where there are several."""
        if len(self.legs) < 2:
            if self.spec.redundant:
                result.warnings.append("only one leg brought packets: no redundancy")
            return
        for leg in self.legs:
            counts = leg.counts
            result.legs.append(
                Leg(
                    sender=leg.flow.sender if leg.flow else leg.ends.sender,
                    destination=leg.flow.destination if leg.flow else leg.ends.destination,
                    ssrc=leg.ends.ssrc,
                    packets_received=counts.received,
                    packets_expected=counts.expected,
                    packets_lost=counts.lost,
                    packets_duplicated=counts.duplicated,
                    packets_reordered=counts.reordered,
                    packets_late=counts.late,
                    skew_seconds=leg.skew_seconds,
                    max_skew_seconds=leg.max_skew_seconds,
                )
            )
            which = result.legs[-1].destination if leg.ends.ssrc is None else f"SSRC 0x{leg.ends.ssrc:08x}"
            name = f"leg {len(result.legs)} ({which})"
            if leg.last_arrival_ns is None:
                result.warnings.append(f"nothing came over {name}: no redundancy")
            elif self.last_arrival_ns - leg.last_arrival_ns > SILENT_LEG_NS:
                silent_seconds = (self.last_arrival_ns - leg.last_arrival_ns) / 1e9
                result.warnings.append(f"nothing came over {name} for the last {silent_seconds:.1f} s")
        result.packets_differing, listed = self.differing
        if result.packets_differing:
            numbers = ", ".join(map(str, listed)) + (", …" if len(listed) < result.packets_differing else "")
            count = f"{result.packets_differing} packet{'s' if result.packets_differing > 1 else ''}"
            result.warnings.append(
                f"the legs carry different payloads in {count} (sequence {numbers}); the copy that came first counts"
            )

    def _add_announced(self, result: StreamResult) -> None:
        """Add what a session description says of the stream, and where the packets contradict it."""
        announced = self.spec.announced
        if announced is None:
            return
        result.channel_order = announced.channel_order(self.payload_type)
        labels = announced.labels(self.payload_type, self.encoding.channels) if self.encoding else []
        for signal, label in zip(result.signal, labels, strict=False):
            signal.label = label or None
        result.warnings += announced.contradictions(
            destination=self.flow.destination,
            payload_type=self.payload_type,
            encoding=self.encoding,
            packet_time_seconds=self.packet_time_seconds,
            clock_drift_ppm=self.clock_drift_ppm,
            is_leg=bool(self.legs),
        )

    @property
    def _packets_in_window(self) -> float:
        return self.spec.limits.reorder_window_seconds / (self.packet_time_seconds or 1.0)

    def _rtcp(self) -> Rtcp | None:
        """Return what the sender reports of itself against what came, and what a receiver would report."""
        reports = self.reports
        if reports is None:
            return Rtcp(said_goodbye=True) if self.said_goodbye else None
        counts = self.counts or Counts()
        expected = counts.expected - self._at_report.expected
        lost = counts.lost - self._at_report.lost
        rate_hz = self.encoding.sample_rate_hz if self.encoding else 0
        sent, octets = reports.packets or (None, None), reports.octets or (None, None)
        return Rtcp(
            sender_reports=reports.count,
            media_clock_drift_ppm=reports.drift_ppm,
            packets_sent=sent[0],
            packets_by_sequence=sent[1],
            octets_sent=octets[0],
            octets_received=octets[1],
            said_goodbye=self.said_goodbye,
            fraction_lost=lost / expected if expected > 0 else None,
            cumulative_lost=counts.lost,
            extended_highest_sequence=self.extended_sequence,
            jitter_frames=None if self.jitter_seconds is None else round(self.jitter_seconds * rate_hz),
            last_sender_report=reports.last_ntp >> 16 & 0xFFFFFFFF,
            delay_since_last_sender_report_seconds=max(self.last_arrival_ns - reports.last_arrival_ns, 0) / 1e9,
        )

    def _add_signal(self, result: StreamResult) -> None:
        if self.spec.reference is None:
            return
        track = self.track or next(reversed(self.earlier), None)
        if self.encoding is None:
            result.inconclusive = f"payload type {self.payload_type}: encoding unknown"
        elif track is None:
            result.inconclusive = "no whole packet of audio arrived"
        else:
            result.signal = track.analysis.detector.signal(track.row)
            result.warnings += blindness(result.signal, track.encoding.sample_rate_hz)
            why_not = [
                why_inconclusive(one.analysis, one.row, self.spec, self.end_frame) for one in (*self.earlier, track)
            ]
            result.inconclusive = None if None in why_not else why_not[-1]
        if self.not_judged is not None:
            result.warnings.append(f"from frame {self.encoding_since} on nothing is judged: {self.not_judged}")
        elif self.earlier:
            result.warnings.append(
                f"the encoding is {self.encoding} from frame {self.encoding_since} on; "
                "what is measured of the signal is of the time since then"
            )

    def _milliseconds(self, frames: int) -> str:
        return f" ({1000 * frames / self.encoding.sample_rate_hz:.3f} ms)" if self.encoding else ""
