"""What was found of one stream, put together as a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rtpverify.engine.blind_spots import blindness, why_inconclusive
from rtpverify.engine.clock_rates import MAX_CLOCK_ERROR_PPM
from rtpverify.engine.encodings import late_contradiction, statement
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.stream import Stream
from rtpverify.errors import RequestError
from rtpverify.events import TRANSPORT_KINDS, Event, Kind
from rtpverify.result import Leg, Rtcp, StreamResult, Transport
from rtpverify.rtp.rtcp import TOLERANCE_PACKETS
from rtpverify.transport.arrivals import DOWN_NS
from rtpverify.transport.placement import PacketCounts

_WITHOUT_RATE = frozenset(TRANSPORT_KINDS) - {Kind.JITTER}
"""Kinds that are no matter of how many frames make a second."""


def missing_result(spec: StreamSpec, event: Event) -> StreamResult:
    """Return what there is to say of a stream that was expected and never came."""
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


def stream_result(stream: Stream) -> StreamResult:
    """Return what was found of a stream so far."""
    counts = stream.counts or PacketCounts()
    result = StreamResult(
        sample_rate=stream.encoding.sample_rate_hz if stream.encoding else None,
        channels=stream.encoding.channels if stream.encoding else None,
        encoding=stream.encoding.name if stream.encoding else None,
        frames=stream.end_frame + stream.media_time.shift(stream.end_frame),
        ssrc=stream.ssrc,
        sender=stream.flow.sender,
        destination=stream.flow.destination,
        payload_type=stream.payload_type,
        packet_time_seconds=stream.packet_time_seconds,
        transport=Transport(
            packets_received=counts.received,
            packets_expected=counts.expected,
            packets_lost=counts.lost,
            packets_duplicated=counts.duplicated,
            packets_reordered=counts.reordered,
            packets_late=counts.late,
            jitter_seconds=stream.jitter_seconds,
            clock_drift_ppm=stream.clock_drift_ppm,
            packets_stray=counts.stray,
            packets_odd_length=stream.odd_lengths,
            packets_left_out=stream.packets_left_out,
            packets_beside=stream.packets_beside,
            presentation_lead_seconds=stream.lead_seconds[0] if stream.lead_seconds else None,
            min_presentation_lead_seconds=stream.lead_seconds[1] if stream.lead_seconds else None,
            packets_short_of_lead=stream.packets_short_of_lead,
            pauses=stream.pauses,
            rtcp=_rtcp(stream),
            **(stream.wire.as_fields(stream.packet_time_seconds) if stream.wire else {}),
        ),
        events=sorted(stream.events.values(), key=lambda event: (event.start_frame, event.channel or 0)),
    )
    if stream.packets_cut and stream.spec.reference is None:
        result.warnings.append(_cut(stream))
    if stream.odd_lengths:
        result.warnings.append(
            f"{stream.odd_lengths} packets do not contain a whole number of {stream.encoding} frames"
        )
    sent = stream.reports.packets if stream.reports else None
    if sent and abs(sent[0] - sent[1]) > max(TOLERANCE_PACKETS, _packets_in_window(stream)):
        result.warnings.append(f"RTCP sender reports count {sent[0]} packets, sequence numbers {sent[1]}")
    if stream.wire and stream.wire.packet_time_changes[0]:
        result.warnings.append(stream.wire.packet_times())
    if stream.pauses:
        result.warnings.append(
            f"silence suppression: {stream.pauses} pause{'s' if stream.pauses > 1 else ''}; "
            "faults during a pause cannot be detected"
        )
    if stream.spec.limits.link_offset_seconds is not None and stream.lead_seconds is None:
        result.warnings.append(f"presentation lead not measured: {_no_lead(stream)}")
    if _is_stamped_at_transmission(stream):
        result.warnings.append(
            "the presentation lead equals the link offset: the sender timestamps packets at transmission, not at "
            "sampling, so the lead does not include the sender's own delay"
        )
    if stream.events_left_out:
        result.warnings.append(f"{stream.events_left_out} further events omitted from this result")
    _add_doubt(stream, result)
    _add_legs(stream, result)
    if stream.failure is None:
        _add_signal(stream, result)
    else:
        result.inconclusive = _failed(stream)
    _add_announced(stream, result)
    _add_left_out(stream, result)
    return result


def _add_doubt(stream: Stream, result: StreamResult) -> None:
    """Add that packets contradict their encoding where that is no reason to conclude nothing, and a clock that does."""
    late = _late_doubt(stream)
    doubt = stream.doubt or late
    if doubt is not None and _is_aside(stream):
        result.warnings.insert(0, doubt)
    if late is not None:
        # What was measured by a wrong clock is no fault of the sender's.
        result.events = [replace(event, fault=event.fault and event.kind in _WITHOUT_RATE) for event in result.events]
    elif stream.encoding is not None and abs(stream.clock_drift_ppm or 0.0) > MAX_CLOCK_ERROR_PPM:
        hz = stream.encoding.sample_rate_hz * (1 + (stream.clock_drift_ppm or 0.0) / 1e6)
        said = statement(stream.spec, stream.payload_type).text
        result.warnings.insert(0, f"{said}, but packets arrived at about {hz:.0f} frames a second")


def _late_doubt(stream: Stream) -> str | None:
    """Say that the packets keep time at another rate than the encoding has, where only the whole stream shows it."""
    if stream.encoding is None:
        return None
    said = statement(stream.spec, stream.payload_type)
    return late_contradiction(said, stream.encoding, stream.clock_drift_ppm)


def _is_stamped_at_transmission(stream: Stream) -> bool:
    """Tell whether packets come at their very timestamps: then these are not those of the sampling."""
    link_offset = stream.spec.limits.link_offset_seconds
    if link_offset is None or stream.lead_seconds is None or not stream.packet_time_seconds:
        return False
    # What was sampled at its timestamp takes at least its packet time to be sent.
    return link_offset - stream.lead_seconds[0] < stream.packet_time_seconds / 2


def without_figures(stream: Stream) -> StreamResult:
    """Return what is known of a stream whose figures cannot be put together."""
    return StreamResult(
        ssrc=stream.ssrc,
        sender=stream.flow.sender,
        destination=stream.flow.destination,
        payload_type=stream.payload_type,
        events=sorted(stream.events.values(), key=lambda event: (event.start_frame, event.channel or 0)),
        inconclusive=_failed(stream),
    )


def _failed(stream: Stream) -> str | None:
    """Say why a stream is judged no further, where that is so."""
    failure = stream.failure
    if failure is None:
        return None
    if isinstance(failure.error, RequestError):
        return str(failure.error)
    return f"internal error in rtpverify: its {failure.where} could not be checked further ({failure.message})"


def _add_left_out(stream: Stream, result: StreamResult) -> None:
    """Add how many packets were not read, and why: past their limit nothing can be concluded but faults."""
    stray, left_out = (stream.counts or PacketCounts()).stray, stream.packets_left_out
    reasons = [f"{stray} outside the sequence window"] if stray else []
    if left_out > stray:
        reasons.append(f"{left_out - stray} not decodable")
    limit = stream.spec.limits.max_packets_left_out
    text = f"{left_out} packet{'s' if left_out > 1 else ''} ignored (limit {limit:g}): {', '.join(reasons)}"
    if left_out > limit:
        result.inconclusive = result.inconclusive or text
    elif left_out:
        result.warnings.append(text)


def _no_lead(stream: Stream) -> str:
    """Say why there is no presentation lead."""
    if stream.clock_off_seconds is not None:
        return f"the timestamps are {stream.clock_off_seconds:.1f} s off the clock of this host"
    if stream.encoding is None:
        return "the clock rate is not known"
    if stream.lead_clock is None:
        return "the media clock follows no known reference clock"
    return "no arrival times"


def _add_legs(stream: Stream, result: StreamResult) -> None:
    """Add what each path alone brought, where there are several."""
    if len(stream.legs) < 2:
        if stream.spec.redundant:
            result.warnings.append("packets arrived on only one leg: no redundancy")
        return
    for leg in stream.legs:
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
            result.warnings.append(f"no packet arrived on {name}: no redundancy")
        elif stream.last_arrival_ns - leg.last_arrival_ns >= DOWN_NS:
            silent_seconds = (stream.last_arrival_ns - leg.last_arrival_ns) / 1e9
            result.warnings.append(f"no packet arrived on {name} for the last {silent_seconds:.1f} s")
    result.packets_differing, listed = stream.differing
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
        packet_time_seconds=stream.packet_time_seconds,
        is_leg=bool(stream.legs),
    )


def _cut(stream: Stream) -> str:
    """Say what a capture left out of the stream's packets."""
    count = f"{stream.packets_cut} packet{'s' if stream.packets_cut > 1 else ''}"
    return f"the capture contains only the beginning of {count} (snap length): transport checked, signal not checked"


def _packets_in_window(stream: Stream) -> float:
    return stream.spec.limits.reorder_window_seconds / (stream.packet_time_seconds or 1.0)


def _rtcp(stream: Stream) -> Rtcp | None:
    """Return what the sender reports of itself against what came, and what a receiver would report."""
    reports = stream.reports
    if reports is None:
        return Rtcp(said_goodbye=True) if stream.said_goodbye else None
    counts = stream.counts or PacketCounts()
    expected = counts.expected - stream.at_report.expected
    lost = counts.lost - stream.at_report.lost
    rate_hz = stream.encoding.sample_rate_hz if stream.encoding else 0
    sent, octets = reports.packets or (None, None), reports.octets or (None, None)
    return Rtcp(
        sender_reports=reports.count,
        media_clock_drift_ppm=reports.drift_ppm,
        packets_sent=sent[0],
        packets_by_sequence=sent[1],
        octets_sent=octets[0],
        octets_received=octets[1],
        said_goodbye=stream.said_goodbye,
        fraction_lost=lost / expected if expected > 0 else None,
        cumulative_lost=counts.lost,
        extended_highest_sequence=stream.extended_sequence,
        jitter_frames=None if stream.jitter_seconds is None else round(stream.jitter_seconds * rate_hz),
        last_sender_report=reports.last_ntp >> 16 & 0xFFFFFFFF,
        delay_since_last_sender_report_seconds=max(stream.last_arrival_ns - reports.last_arrival_ns, 0) / 1e9,
    )


def _add_signal(stream: Stream, result: StreamResult) -> None:
    """Add what was measured of the signal, and why it is not checked where it is not."""
    if stream.judged_anew is not None:
        result.warnings.append(
            f"internal error in rtpverify in a stream of the same format: check restarted at frame {stream.judged_anew}"
        )
    track = stream.track or next(reversed(stream.earlier), None)
    if track is not None:
        result.signal = track.analysis.detector.signal(track.row)
        result.comparison = track.analysis.detector.comparison(track.row)
        result.warnings += blindness(result.signal, track.encoding.sample_rate_hz)
    result.inconclusive = next(_reasons(stream), None)
    if stream.earlier and stream.not_judged is None:
        result.warnings.append(
            f"the encoding is {stream.encoding} from frame {stream.encoding_since} on; "
            "signal measurements cover the time since then"
        )


def _reasons(stream: Stream) -> Iterator[str]:
    """Yield why a stream cannot pass, the weightiest first."""
    reference = stream.spec.reference
    doubt = stream.doubt or _late_doubt(stream)
    if doubt is not None and not _is_aside(stream):
        yield doubt
    if reference is None:
        return
    tracks = [track for track in (*stream.earlier, stream.track) if track is not None]
    if stream.encoding is None:
        yield stream.spec.why_undecodable(stream.payload_type)
    if stream.packets_cut:
        yield _cut(stream)
    if not tracks:
        yield stream.not_judged or "no complete audio packet arrived"
    why_not = [why_inconclusive(track.analysis, track.row, reference, stream.end_frame) for track in tracks]
    yield from (why for why in why_not[-1:] if why is not None and None not in why_not)
    if stream.not_judged is not None:
        yield f"from frame {stream.encoding_since} on nothing is checked: {stream.not_judged}"


def _is_aside(stream: Stream) -> bool:
    """Tell whether a doubt about the encoding takes nothing from what was asked for: transport, by no encoding."""
    return stream.spec.reference is None and not statement(stream.spec, stream.payload_type).is_asked
