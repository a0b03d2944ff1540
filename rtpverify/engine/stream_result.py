"""What was found of one stream, put together as a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rtpverify.engine.clock_rates import MAX_CLOCK_ERROR_PPM
from rtpverify.engine.encodings import late_contradiction, statement
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.format_group import blindness
from rtpverify.engine.pipeline import Intake
from rtpverify.engine.stream import Stream
from rtpverify.errors import RequestError
from rtpverify.events import (
    TRANSPORT_KINDS,
    Cause,
    DuplicateSize,
    Event,
    JitterSize,
    Kind,
    LateSize,
    ReorderSize,
)
from rtpverify.result import Leg, Rtcp, StreamResult, Transport
from rtpverify.rtp.rtcp import TOLERANCE_PACKETS
from rtpverify.transport.arrivals import DOWN_NS
from rtpverify.transport.counts import PacketCounts
from rtpverify.transport.redundancy import LegMerger
from rtpverify.transport.timing import INTERVAL_EDGES_NS

_WITHOUT_RATE = frozenset(TRANSPORT_KINDS) - {Kind.JITTER}
"""Kinds that are no matter of how many frames make a second."""


def missing_result(spec: StreamSpec, event: Event) -> StreamResult:
    """Return what there is to say of a stream that was expected and never came.

    Parameters
    ----------
    spec
        What is expected of the stream.
    event
        Its ``missing`` event.

    Returns
    -------
    StreamResult
        Without figures.
    """
    encodings = set(spec.encodings.values())
    encoding = encodings.pop() if len(encodings) == 1 else spec.encoding
    return StreamResult(
        sample_rate=encoding.sample_rate_hz if encoding else None,
        channels=encoding.channels if encoding else None,
        encoding=encoding.name if encoding else None,
        sender=spec.sender,
        destination=spec.place,
        transport=Transport(),
        events=[event],
        inconclusive=None if event.fault else event.message,
    )


def stream_result(stream: Stream, intake: Intake, merger: LegMerger | None) -> StreamResult:
    """Return what was found of a stream so far: its figures are read where they are counted and measured.

    Parameters
    ----------
    stream
        The stream, which is not closed.
    intake
        Has the packets of all streams.
    merger
        Has the legs of those that have some; None where none has.

    Returns
    -------
    StreamResult
        The result so far.
    """
    intake.arrivals.judge()
    index, encoding = stream.index, stream.encoding
    transport = _transport(stream, intake)
    packet_time_seconds = intake.arrivals.timing.packet_time_seconds(index)
    end_frame = intake.tracker.end_frame(index)
    result = StreamResult(
        sample_rate=encoding.sample_rate_hz if encoding else None,
        channels=encoding.channels if encoding else None,
        encoding=encoding.name if encoding else None,
        frames=end_frame + stream.log.media_time.shift(end_frame),
        ssrc=stream.ssrc,
        sender=stream.flow.sender,
        destination=stream.flow.destination,
        payload_type=stream.payload_type,
        packet_time_seconds=packet_time_seconds,
        transport=transport,
        events=stream.log.in_order(),
    )
    cut = _cut(int(intake.packets_cut[index]))
    result.warnings += _warnings(stream, intake, transport, packet_time_seconds)
    if cut and stream.spec.reference is None:
        result.warnings.insert(0, cut)
    late = _late_doubt(stream, transport.clock_drift_ppm)
    _add_doubt(stream, late, transport.clock_drift_ppm or 0.0, result)
    if merger is not None:
        _add_legs(stream, merger, int(intake.arrivals.last_ns[index]), result)
    if stream.failure is None:
        _add_signal(stream, result)
        result.inconclusive = next(_reasons(stream, stream.doubt or late, end_frame, cut), None)
    else:
        result.inconclusive = _failed(stream)
    _add_announced(stream, result)
    _add_left_out(stream, transport, result)
    _add_host_drops(stream, int(intake.host_drops.total[index]), result)
    return result


def _add_doubt(stream: Stream, late: str | None, clock_drift_ppm: float, result: StreamResult) -> None:
    """Add that packets contradict their encoding where that is no reason to conclude nothing, and a clock that does."""
    doubt = stream.doubt or late
    if doubt is not None and _is_aside(stream):
        result.warnings.insert(0, doubt)
    if late is not None:
        # What was measured by a wrong clock is no fault of the sender's.
        result.events = [replace(event, fault=event.fault and event.kind in _WITHOUT_RATE) for event in result.events]
    elif stream.encoding is not None and abs(clock_drift_ppm) > MAX_CLOCK_ERROR_PPM:
        hz = stream.encoding.sample_rate_hz * (1 + clock_drift_ppm / 1e6)
        said = statement(stream.spec, stream.payload_type).text
        result.warnings.insert(0, f"{said}, but packets arrived at about {hz:.0f} frames a second")


def _late_doubt(stream: Stream, clock_drift_ppm: float | None) -> str | None:
    """Say that the packets keep time at another rate than the encoding has, where only the whole stream shows it."""
    if stream.encoding is None or abs(clock_drift_ppm or 0.0) <= MAX_CLOCK_ERROR_PPM:
        return None
    return late_contradiction(statement(stream.spec, stream.payload_type), stream.encoding, clock_drift_ppm)


def _transport(stream: Stream, intake: Intake) -> Transport:
    """Return what the wire did to the packets of a stream."""
    index, timing = stream.index, intake.arrivals.timing
    counts, pattern = intake.tracker.counts(index), intake.tracker.loss_pattern(index)
    packet_time_seconds = timing.packet_time_seconds(index)
    lead = intake.presentation.lead_seconds(index) if intake.presentation.measures else None
    edges = [*(edge / 1e9 for edge in INTERVAL_EDGES_NS), None]

    def duration(packets: float | None) -> float | None:
        return None if packets is None or packet_time_seconds is None else packets * packet_time_seconds

    return Transport(
        packets_received=counts.received,
        packets_expected=counts.expected,
        packets_lost=counts.lost,
        packets_duplicated=counts.duplicated,
        packets_reordered=counts.reordered,
        packets_late=counts.late,
        jitter_seconds=timing.jitter_seconds(index),
        clock_drift_ppm=timing.clock_drift_ppm(index),
        packets_stray=counts.stray,
        packets_odd_length=int(intake.odd_lengths[index]),
        packets_left_out=intake.packets_left_out(stream),
        packets_beside=stream.suppression.packets_beside,
        presentation_lead_seconds=lead[0] if lead else None,
        min_presentation_lead_seconds=lead[1] if lead else None,
        packets_short_of_lead=intake.presentation.packets_short(index) if lead else None,
        pauses=stream.suppression.pauses,
        rtcp=_rtcp(stream, intake, counts),
        loss_run_lengths={str(length): count for length, count in sorted(intake.tracker.run_lengths(index).items())},
        loss_bursts=pattern.bursts,
        burst_density=pattern.burst_density,
        gap_density=pattern.gap_density,
        burst_duration_seconds=duration(pattern.burst_packets),
        gap_duration_seconds=duration(pattern.gap_packets),
        max_jitter_seconds=timing.max_jitter_seconds(index),
        tsdf_seconds=timing.tsdf_seconds(index),
        max_tsdf_seconds=timing.max_tsdf_seconds(index),
        longest_interval_seconds=timing.longest_interval_seconds(index),
        mean_interval_seconds=timing.mean_interval_seconds(index),
        interarrival_histogram=[
            (edge, count) for edge, count in zip(edges, timing.intervals(index), strict=True) if count
        ],
        packet_time_changes=timing.packet_time_changes(index)[0],
    )


def _warnings(stream: Stream, intake: Intake, transport: Transport, packet_time_seconds: float | None) -> Iterator[str]:
    """Yield what is to be known of a stream's packets that is no event."""
    limits = stream.spec.limits
    if transport.packets_odd_length:
        yield f"{transport.packets_odd_length} packets do not contain a whole number of {stream.encoding} frames"
    sent = stream.rtcp.reports.packets if stream.rtcp.reports else None
    packet_time = packet_time_seconds or 0.0
    packets_in_window = limits.reorder_window_seconds / (packet_time or 1.0)
    if sent and abs(sent[0] - sent[1]) > max(TOLERANCE_PACKETS, packets_in_window):
        yield f"RTCP sender reports count {sent[0]} packets, sequence numbers {sent[1]}"
    if transport.packet_time_changes:
        count, listed = intake.arrivals.timing.packet_time_changes(stream.index)
        steps = ", ".join(f"from {1e3 * before:g} to {1e3 * after:g} ms" for before, after in listed)
        yield f"packet time changed {steps or f'{count} times'}{', …' if len(listed) < count else ''}"
    if transport.pauses:
        yield (
            f"silence suppression: {transport.pauses} pause{'s' if transport.pauses > 1 else ''}; "
            "faults during a pause cannot be detected"
        )
    link_offset, lead_seconds = limits.link_offset_seconds, transport.presentation_lead_seconds
    if link_offset is not None and lead_seconds is None:
        yield f"presentation lead not measured: {_no_lead(stream, intake)}"
    # What was sampled at its timestamp takes at least its packet time to be sent.
    elif link_offset is not None and lead_seconds is not None and link_offset - lead_seconds < 0.5 * packet_time:
        yield (
            "the presentation lead equals the link offset: the sender timestamps packets at transmission, not at "
            "sampling, so the lead does not include the sender's own delay"
        )
    if stream.log.left_out:
        yield f"{stream.log.left_out} further events omitted from this result"


def past_limits(stream: Stream, intake: Intake) -> list[Event]:
    """Return events for counts and times of a stream that ends and is past a limit of the user's own.

    Parameters
    ----------
    stream
        The stream.
    intake
        Has the packets of all streams.

    Returns
    -------
    list of Event
        Over the whole stream: ``duplicate``, ``reorder``, ``late`` or ``jitter``.
    """
    index, limits, end_frame = stream.index, stream.spec.limits, intake.tracker.end_frame(stream.index)
    counts, events = intake.tracker.counts(index), []
    for size, count, limit, what in (
        (DuplicateSize, counts.duplicated, limits.max_duplicated, "received more than once"),
        (ReorderSize, counts.reordered, limits.max_reordered, "received after a later one"),
        (LateSize, counts.late, limits.max_late, "received after the reorder window"),
    ):
        if limit is not None and count > limit:
            message = f"{count} packets {what}, limit {limit:g}"
            events.append(Event(size(packets_counted=count), 0, end_frame, message=message))
    if limits.max_jitter_seconds is not None:
        intake.arrivals.judge()
        jitter = intake.arrivals.timing.jitter_seconds(index) or 0.0
        if jitter > limits.max_jitter_seconds:
            message = f"interarrival jitter of {1e3 * jitter:.3f} ms, limit {1e3 * limits.max_jitter_seconds:.3f} ms"
            events.append(Event(JitterSize(jitter_seconds=jitter), 0, end_frame, cause=Cause.UNKNOWN, message=message))
    lead = intake.presentation.lead_seconds(index) if intake.presentation.measures else None
    short = intake.presentation.packets_short(index) if lead else None
    if lead and short:
        message = f"{short} packet{'s' if short > 1 else ''} arrived too late for presentation: lead down to "
        message += f"{1e3 * lead[1]:.3f} ms, limit {1e3 * limits.min_presentation_lead_seconds:g} ms"
        late = LateSize(presentation_lead_seconds=lead[1], packets_counted=short)
        events.append(Event(late, 0, end_frame, cause=Cause.UNKNOWN, message=message))
    for event in events:
        first = intake.packets.first_sequence(index)
        event.packets = None if first is None else (first, intake.tracker.head_sequence(index))
        event.time_ns = stream.first_arrival_ns
    return events


def without_figures(stream: Stream) -> StreamResult:
    """Return what is known of a stream whose figures cannot be put together.

    Parameters
    ----------
    stream
        The stream.

    Returns
    -------
    StreamResult
        Identity and events alone.
    """
    return StreamResult(
        ssrc=stream.ssrc,
        sender=stream.flow.sender,
        destination=stream.flow.destination,
        payload_type=stream.payload_type,
        events=stream.log.in_order(),
        inconclusive=_failed(stream),
    )


def _failed(stream: Stream) -> str | None:
    """Say why a stream is checked no further, where that is so."""
    failure = stream.failure
    if failure is None:
        return None
    if isinstance(failure.error, RequestError):
        return str(failure.error)
    return f"internal error in rtpverify: its {failure.where} could not be checked further ({failure.message})"


def _add_left_out(stream: Stream, transport: Transport, result: StreamResult) -> None:
    """Add how many packets were not read, and why: past their limit nothing can be concluded but faults."""
    stray, left_out = transport.packets_stray, transport.packets_left_out
    reasons = [f"{stray} outside the sequence window"] if stray else []
    if left_out > stray:
        reasons.append(f"{left_out - stray} not decodable")
    limit = stream.spec.limits.max_packets_left_out
    text = f"{left_out} packet{'s' if left_out > 1 else ''} ignored (limit {limit:g}): {', '.join(reasons)}"
    if left_out > limit:
        result.inconclusive = result.inconclusive or text
    elif left_out:
        result.warnings.append(text)


def _add_host_drops(stream: Stream, dropped: int, result: StreamResult) -> None:
    """Add that this host dropped packets that may be the stream's: what they held, nobody knows."""
    if not dropped:
        return
    text = f"this host dropped {dropped} packet{'s' if dropped > 1 else ''} at the stream's socket"
    if stream.spec.is_merged:
        result.warnings.append(f"{text}, of one leg or another")
    elif result.inconclusive is None:
        result.inconclusive, result.is_signal_conclusive = f"{text}: more arrived than it could take", True


def _no_lead(stream: Stream, intake: Intake) -> str:
    """Say why there is no presentation lead."""
    off_seconds = intake.presentation.off_seconds(stream.index)
    if off_seconds is not None:
        return f"the timestamps are {off_seconds:.1f} s off the clock of this host"
    if stream.encoding is None:
        return "the clock rate is not known"
    if intake.lead_clock[stream.index] is None:
        return "the media clock follows no known reference clock"
    return "no arrival times"


def _add_legs(stream: Stream, merger: LegMerger, last_arrival_ns: int, result: StreamResult) -> None:
    """Add what each path alone brought, where there are several."""
    legs = merger.legs(stream.index)
    if len(legs) < 2:
        if stream.spec.redundant:
            result.warnings.append("packets arrived on only one leg: no redundancy")
        return
    for leg in legs:
        counts = leg.counts
        result.legs.append(
            Leg(
                sender=leg.flow.sender if leg.flow else leg.ends.sender,
                destination=leg.flow.destination if leg.flow else leg.ends.destination,
                ssrc=None if leg.ends.ssrc is None else f"0x{leg.ends.ssrc:08x}",
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
        its = result.legs[-1]
        which = its.destination if its.ssrc is None else f"SSRC {its.ssrc}"
        name = f"leg {len(result.legs)} ({which})"
        if leg.last_arrival_ns is None:
            result.warnings.append(f"no packet arrived on {name}: no redundancy")
        elif last_arrival_ns - leg.last_arrival_ns >= DOWN_NS:
            silent_seconds = (last_arrival_ns - leg.last_arrival_ns) / 1e9
            result.warnings.append(f"no packet arrived on {name} for the last {silent_seconds:.1f} s")
    result.packets_differing, listed = merger.differing(stream.index)
    if result.packets_differing:
        numbers = ", ".join(map(str, listed)) + (", …" if len(listed) < result.packets_differing else "")
        count = f"{result.packets_differing} packet{'s' if result.packets_differing > 1 else ''}"
        result.warnings.append(
            f"the legs carry different payloads in {count} (sequence {numbers}); the first copy is used"
        )


def _add_announced(stream: Stream, result: StreamResult) -> None:
    """Add what a session description says of the stream, and where the packets contradict it."""
    announced = stream.spec.announced
    if announced is None:
        return
    result.channel_order = announced.channel_order(stream.payload_type)
    labels = announced.labels(stream.payload_type, stream.encoding.channels) if stream.encoding else []
    for signal, label in zip(result.signal, labels, strict=False):
        signal.label = label or None
    result.warnings += announced.contradictions(
        destination=stream.flow.destination,
        payload_type=stream.payload_type,
        encoding=stream.encoding,
        packet_time_seconds=result.packet_time_seconds,
        is_leg=stream.spec.is_merged,
    )


def _cut(packets: int) -> str | None:
    """Say that a capture omitted some of so many packets, None where there is none."""
    count = f"{packets} packet{'s' if packets > 1 else ''}"
    text = f"the capture contains only the beginning of {count} (snap length): transport checked, signal not checked"
    return text if packets else None


def _rtcp(stream: Stream, intake: Intake, counts: PacketCounts) -> Rtcp | None:
    """Return what the sender reports of itself against what came, and what a receiver would report."""
    said, reports = stream.rtcp, stream.rtcp.reports
    if reports is None:
        return Rtcp(said_goodbye=True) if said.said_goodbye else None
    expected, lost = counts.expected - said.at_report.expected, counts.lost - said.at_report.lost
    rate_hz = stream.encoding.sample_rate_hz if stream.encoding else 0
    jitter_seconds = intake.arrivals.timing.jitter_seconds(stream.index)
    since_ns = int(intake.arrivals.last_ns[stream.index]) - reports.last_arrival_ns
    sent, octets = reports.packets or (None, None), reports.octets or (None, None)
    return Rtcp(
        sender_reports=reports.count,
        media_clock_drift_ppm=reports.drift_ppm,
        packets_sent=sent[0],
        packets_by_sequence=sent[1],
        octets_sent=octets[0],
        octets_received=octets[1],
        said_goodbye=said.said_goodbye,
        fraction_lost=lost / expected if expected > 0 else None,
        cumulative_lost=counts.lost,
        extended_highest_sequence=intake.tracker.head_sequence(stream.index),
        jitter_frames=None if jitter_seconds is None else round(jitter_seconds * rate_hz),
        last_sender_report=reports.last_ntp >> 16 & 0xFFFFFFFF,
        delay_since_last_sender_report_seconds=max(since_ns, 0) / 1e9,
    )


def _add_signal(stream: Stream, result: StreamResult) -> None:
    """Add what was measured of the signal, and why it is not checked where it is not."""
    if stream.restarted_frame is not None:
        result.warnings.append(
            "internal error in rtpverify in a stream of the same format: "
            f"check restarted at frame {stream.restarted_frame}"
        )
    track = stream.track or next(reversed(stream.earlier), None)
    if track is not None:
        result.signal = track.analysis.detector.signal(track.row)
        result.comparison = track.analysis.detector.comparison(track.row)
        result.warnings += blindness(result.signal, track.encoding.sample_rate_hz)
    if stream.earlier and stream.not_checked is None:
        result.warnings.append(
            f"the encoding is {stream.encoding} from frame {stream.encoding_since} on; "
            "signal measurements cover the time since then"
        )


def _reasons(stream: Stream, doubt: str | None, end_frame: int, cut: str | None) -> Iterator[str]:
    """Yield why a stream cannot pass, the weightiest first."""
    reference = stream.spec.reference
    if doubt is not None and not _is_aside(stream):
        yield doubt
    if reference is None:
        return
    tracks = [track for track in (*stream.earlier, stream.track) if track is not None]
    if stream.encoding is None:
        yield stream.spec.why_undecodable(stream.payload_type)
    if cut:
        yield cut
    if not tracks:
        yield stream.not_checked or "no complete audio packet arrived"
    why_not = [track.analysis.why_inconclusive(track.row, reference, end_frame) for track in tracks]
    yield from (why for why in why_not[-1:] if why is not None and None not in why_not)
    if stream.not_checked is not None:
        yield f"from frame {stream.encoding_since} on nothing is checked: {stream.not_checked}"


def _is_aside(stream: Stream) -> bool:
    """Return whether a doubt about the encoding takes nothing from what was asked for: transport, by no encoding."""
    return stream.spec.reference is None and not statement(stream.spec, stream.payload_type).is_asked
