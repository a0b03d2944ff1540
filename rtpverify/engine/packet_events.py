"""The events of packets: what happened to the numbers, times and senders of a stream, with its figures in words.

Frames count from the stream's earliest packet.
"""

from __future__ import annotations

from rtpverify.engine.stream import Stream
from rtpverify.events import (
    Cause,
    EndedSize,
    Event,
    EventSize,
    GapSize,
    Kind,
    PayloadTypeChangeSize,
    RestartSize,
    SenderChangeSize,
    SsrcChangeSize,
    StallSize,
    TimestampErrorSize,
    TimestampJumpSize,
)
from rtpverify.transport.placement import Discontinuity, Gap, TimestampError
from rtpverify.transport.timestamp_patterns import pattern_of


def gap_event(stream: Stream, gap: Gap, host_dropped: int = 0) -> Event:
    """Return the event of packets that never arrived; so many were dropped by this host meanwhile.

    Parameters
    ----------
    stream
        The stream.
    gap
        The packets.
    host_dropped
        Packets that this host dropped meanwhile.

    Returns
    -------
    Event
        A ``gap`` event.
    """
    start = gap.start_frame - (stream.origin or 0)
    packets = f"{gap.packets} packet{'s' if gap.packets > 1 else ''}"
    where = "on all legs" if stream.spec.is_merged else "in the network"
    if stream.encoding is None:
        message = f"{packets} lost {where}; length unknown"
    elif gap.frames:
        message = f"{packets} lost {where}, {gap.frames} frames{_milliseconds(stream, gap.frames)} never arrived"
    else:
        message = f"{packets} skipped by sequence number, no frame missing"
    event = Event(
        GapSize(packets_lost=gap.packets),
        start,
        gap.frames,
        packets=(gap.first_sequence, gap.last_sequence),
        message=message,
    )
    if host_dropped:
        # Not the network's doing, or not only.
        event.cause = Cause.UNKNOWN
        event.size = GapSize(packets_lost=gap.packets, packets_dropped_by_host=host_dropped)
        event.fault = host_dropped < gap.packets
        event.message += f"; this host dropped {host_dropped} at that time because its receive buffer was full"
    event.time_ns = stream.packets.arrival_ns(stream.index, gap.last_sequence + 1)
    return event


def jump_event(stream: Stream, jump: Discontinuity) -> Event:
    """Return the event of a sender whose numbers jumped.

    Parameters
    ----------
    stream
        The stream.
    jump
        Where and how they jumped.

    Returns
    -------
    Event
        A ``restart``, ``timestamp_jump`` or ``ssrc_change`` event.
    """
    kind = Kind(str(jump.kind))
    frame = jump.frame - (stream.origin or 0)
    numbers = (
        f"sequence {jump.from_sequence} expected, {jump.to_sequence} received; "
        f"timestamp {jump.from_timestamp} expected, {jump.to_timestamp} received"
    )
    size: EventSize = TimestampJumpSize(timestamp_jump_frames=jump.frames)
    if kind is Kind.SSRC_CHANGE:
        size = SsrcChangeSize(from_ssrc=f"0x{stream.ssrc_before:08x}", to_ssrc=f"0x{stream.ssrc:08x}")
        left = "sent RTCP BYE" if stream.rtcp.said_goodbye else "stopped"
        message = f"SSRC 0x{stream.ssrc_before:08x} {left} and 0x{stream.ssrc:08x} continues the stream"
    elif kind is Kind.RESTART:
        size = RestartSize(timestamp_jump_frames=jump.frames)
        message = f"the sender restarted: {numbers}"
    else:
        before = stream.log.timestamp_jump
        if jump.joins and before is not None:
            return _joined(before, jump, frame)
        message = f"the RTP timestamp jumped: {numbers}"
    event = Event(size, frame, packets=(jump.sequence, jump.sequence), message=message)
    stream.log.timestamp_jump = event if kind is Kind.TIMESTAMP_JUMP else None
    event.fault = not (kind is Kind.SSRC_CHANGE and stream.rtcp.said_goodbye)
    event.time_ns = stream.packets.arrival_ns(stream.index, jump.sequence)
    return event


def timestamp_error_event(stream: Stream, error: TimestampError) -> Event:
    """Return the event of timestamps that contradict the sequence numbers: the same while that continues.

    Parameters
    ----------
    stream
        The stream.
    error
        The timestamps.

    Returns
    -------
    Event
        A ``timestamp_error`` event.
    """
    encoding = stream.encoding
    if encoding is None:
        raise AssertionError("timestamps of packets that are not decoded contradict nothing")
    pattern, rate_hz = pattern_of(error, encoding), encoding.sample_rate_hz
    start, largest = error.start_frame - (stream.origin or 0), abs(error.deviation) / rate_hz
    size = TimestampErrorSize(
        packets_deviating=error.packets,
        timestamp_deviation_frames=error.deviation,
        timestamp_deviation_seconds=error.deviation / rate_hz,
        timestamp_pattern=pattern.name,
        timestamp_moved_frames=error.moved if error.moves else None,
        **pattern.size,
    )
    packets = f"{error.packets} packet{'s' if error.packets > 1 else ''}"
    message = (
        f"timestamps of {packets} contradict the sequence numbers: they {pattern.text}, up to "
        f"{abs(error.deviation)} frames ({1e3 * largest:.3f} ms) off; no packet was lost"
    )
    if error.moves:
        times = f"{error.moves} time{'s' if error.moves > 1 else ''}"
        message += f"; they moved to a new offset {times}, {error.moved} frames in all"
    event, stream.log.timestamp_error = stream.log.timestamp_error, None
    if event is None or event.start_frame != start:
        event = Event(size, start)
        event.time_ns = stream.packets.arrival_ns(stream.index, error.first_sequence)
    event.duration_frames, event.open = error.frames, error.is_open
    event.size, event.message = size, message
    event.packets = error.first_sequence, error.last_sequence
    event.fault = largest > stream.spec.limits.max_timestamp_error_seconds
    if error.is_open:
        stream.log.timestamp_error = event
    return event


def stall_event(sequence: int, frame: int, seconds: float, arrival_ns: int) -> Event:
    """Return the event of a sender that was silent for too long.

    Parameters
    ----------
    sequence
        Extended sequence number of the packet after it.
    frame
        First frame of that packet.
    seconds
        How long nothing came.
    arrival_ns
        Arrival of that packet, in ns since the Unix epoch.

    Returns
    -------
    Event
        A ``stall`` event.
    """
    message = f"no packet for {1000 * seconds:.1f} ms, then the stream continued where it had stopped"
    return Event(
        StallSize(stall_seconds=seconds),
        frame,
        packets=(sequence, sequence),
        time_ns=arrival_ns,
        message=message,
    )


def end_event(stream: Stream, frame: int, sequence: int, last_ns: int, now_ns: int, outcome: str) -> Event:
    """Return the event of a stream of which nothing came since its last packet, in ``frame`` at ``last_ns``.

    Parameters
    ----------
    stream
        The stream.
    frame
        Frame after the last packet.
    sequence
        Extended sequence number of the last packet.
    last_ns
        Its arrival, in ns since the Unix epoch.
    now_ns
        Arrival clock, in ns since the Unix epoch.
    outcome
        What became of the stream, for the message.

    Returns
    -------
    Event
        An ``ended`` event.
    """
    return Event(
        EndedSize(ended_seconds=(now_ns - last_ns) / 1e9),
        frame,
        cause=Cause.UPSTREAM if stream.rtcp.said_goodbye else Cause.UNKNOWN,
        packets=(sequence, sequence),
        time_ns=last_ns,
        message=end_message(stream, (now_ns - last_ns) / 1e9, outcome),
    )


def end_message(stream: Stream, seconds: float | None, outcome: str) -> str:
    """Say that nothing came of the stream.

    Parameters
    ----------
    stream
        The stream.
    seconds
        For how long nothing came; None where no clock says.
    outcome
        What became of the stream, for the message.

    Returns
    -------
    str
        The message of the event.
    """
    lasted = "" if seconds is None else f" for {seconds:.1f} s"
    what = "the sender sent RTCP BYE, no packet" if stream.rtcp.said_goodbye else "no packet"
    return f"{what}{lasted}{outcome}"


def payload_type_change_event(stream: Stream, payload_type: int, sequence: int, frame: int, arrival_ns: int) -> Event:
    """Return the event of a sender that changed its payload type.

    Parameters
    ----------
    stream
        The stream.
    payload_type
        The new payload type.
    sequence
        Extended sequence number of its first packet.
    frame
        First frame of that packet.
    arrival_ns
        When it arrived, in ns since the Unix epoch.

    Returns
    -------
    Event
        A ``payload_type_change`` event.
    """
    message = f"payload type changed from {stream.payload_type} to {payload_type}"
    return Event(
        PayloadTypeChangeSize(from_payload_type=stream.payload_type, to_payload_type=payload_type),
        frame,
        packets=(sequence, sequence),
        time_ns=arrival_ns,
        message=message,
    )


def sender_change_event(stream: Stream, before: Stream, silent_since_ns: int, *, fault: bool) -> Event:
    """Return the event of an address from which packets come in place of another one's, which is silent since.

    Parameters
    ----------
    stream
        The stream.
    before
        The stream in whose place it comes.
    silent_since_ns
        When the last packet of that one arrived, in ns since the Unix epoch.
    fault
        Whether it is a fault.

    Returns
    -------
    Event
        A ``sender_change`` event.
    """
    began_ns = max(stream.first_arrival_ns, silent_since_ns)
    rate_hz = stream.encoding.sample_rate_hz if stream.encoding else 0
    left = "sent RTCP BYE" if before.rtcp.said_goodbye else "is silent"
    size = SenderChangeSize(
        from_sender=before.flow.sender,
        to_sender=stream.flow.sender,
        from_ssrc=f"0x{before.ssrc:08x}",
        to_ssrc=f"0x{stream.ssrc:08x}",
    )
    return Event(
        size,
        round((began_ns - stream.first_arrival_ns) / 1e9 * rate_hz),
        time_ns=began_ns,
        message=f"{before.flow.sender} {left}, and {stream.flow.sender} sends in its place",
        fault=fault,
    )


def _milliseconds(stream: Stream, frames: int) -> str:
    return f" ({1000 * frames / stream.encoding.sample_rate_hz:.3f} ms)" if stream.encoding else ""


def _joined(event: Event, jump: Discontinuity, frame: int) -> Event:
    """Return the event of timestamps that jumped, with a further jump shortly after."""
    before = event.size
    if not isinstance(before, TimestampJumpSize):
        raise AssertionError("only timestamps that jumped can jump again")
    times, moved = (before.timestamp_jumps or 1) + 1, (before.timestamp_jump_frames or 0) + jump.frames
    event.duration_frames = frame - event.start_frame
    event.packets = (event.packets[0], jump.sequence) if event.packets else None
    event.message = f"the RTP timestamp jumped {times} times, {moved:+,} frames in all, the last time {jump.frames:+,}"
    ppm: float | None = None
    if abs(moved) == times and event.duration_frames > 0:
        ppm = 1e6 * (moved - jump.frames) / event.duration_frames
        clock = f"{abs(ppm):.3g} ppm {'fast' if ppm > 0 else 'slow'}"
        event.message += f": it is rounded from a clock that runs {clock} against the audio"
    event.size = TimestampJumpSize(timestamp_jump_frames=moved, timestamp_jumps=times, timestamp_clock_ppm=ppm)
    return event
