"""How figures are written, for every report that people read: text and HTML say the same in the same words.

A value that was not measured is :data:`UNMEASURED`, never a number.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtpverify.report.discarded import in_words
from rtpverify.result import Leg, Request, Result, Signal, StreamResult, Transport, Verdict
from rtpverify.result.event_wording import UNMEASURED, by_kind, counted, number, seconds

SIGNAL_COLUMNS = ("Ch", "Frequency", "Error", "Level", "DC offset", "Residual", "THD+N", "THD", "Bits")
SIGNAL_UNITS = ("", "Hz", "ppm", "dBFS", "of FS", "dBFS", "dB", "dB", "")


def headline(result: Result) -> str:
    """Say in one line why the verdict is what it is.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        Without a full stop.
    """
    if result.verdict is Verdict.FAIL:
        faults = [event for stream in result.streams for event in stream.events if event.fault]
        failed = sum(stream.verdict is Verdict.FAIL for stream in result.streams)
        where = f" in {failed} of {len(result.streams)} streams" if len(result.streams) > 1 else ""
        found = [f"{counted(len(faults), 'fault')}{where}: {by_kind(faults)}"] if faults else []
        came = [f"{came_of(result)}"] if result.is_miscounted else []
        return "; ".join([*found, *came, *filter(None, [_unjudged(result)])])
    if result.verdict is Verdict.PASS:
        judged = counted(len(result.streams), "stream")
        if not any(stream.signal for stream in result.streams):
            judged = f"transport of {judged}"
        return f"{judged} verified, no fault"
    if not result.streams and not result.failures:
        return "nothing to verify arrived"
    defects = dict.fromkeys(f"internal error in rtpverify: {failure.message}" for failure in result.failures)
    return _unjudged(result) or "; ".join(defects)


def _unjudged(result: Result) -> str:
    """Say why streams could not be verified, and how many of them where there are others; nothing where all were."""
    reasons = [stream.inconclusive for stream in result.streams if stream.inconclusive]
    of_all = f"{len(reasons)} of {len(result.streams)} streams not checked: " if len(result.streams) > 1 else ""
    unjudged = [of_all + "; ".join(dict.fromkeys(reasons))] if reasons else []
    return "; ".join([*unjudged, *([refused(result)] if result.streams_refused else [])])


def came_of(result: Result) -> str:
    """Say how many streams came of those that were expected.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        Such as ``2 streams of 3 expected``.
    """
    return f"{counted(result.streams_came, 'stream')} of {result.streams_expected} expected"


def stream_count(result: Result) -> str | None:
    """Say which streams came where they are more or fewer than expected; None where they are not.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str or None
        A sentence.
    """
    if not result.is_miscounted:
        return None
    listed = "; ".join(" ".join(identity(stream).split()) for stream in result.arrived)
    unlisted = f"; and {result.streams_refused:,} more" if result.streams_refused else ""
    return f"{came_of(result)}: {listed}{unlisted}"


def refused(result: Result) -> str:
    """Say how many streams found no place.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        A sentence.
    """
    count = counted(result.streams_refused, "more stream")
    return f"{count} came than are verified at a time, and {'was' if result.streams_refused == 1 else 'were'} not"


def request(result: Result) -> list[tuple[str, str]]:
    """Return label and value of what was asked for, when and where.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    list[tuple[str, str]]
        Nothing where it is not known.
    """
    asked = result.request
    if asked is None:
        return []
    lines = [("Reference", asked.reference), ("Limits", limits(asked))]
    if asked.encoding is not None:
        lines.insert(1, ("Encoding", f"{asked.encoding}, for payload types that nothing else describes"))
    return [*lines, ("Command", asked.command), ("Made", f"{asked.time} by rtpverify {asked.version} on {asked.host}")]


def asked(what: Request) -> str:
    """Write in one line what audio was compared with, and by which limits.

    Parameters
    ----------
    what
        The request.

    Returns
    -------
    str
        Without a full stop.
    """
    encoding = f", encoding {what.encoding}" if what.encoding is not None else ""
    return f"reference {what.reference}{encoding}, {limits(what)}"


def limits(asked: Request) -> str:
    """Write the profile, and the limits that are not the profile's.

    Parameters
    ----------
    asked
        The request.

    Returns
    -------
    str
        Parts separated by commas.
    """
    own = "".join(f", {name.replace('_', ' ')} {_limit(value)}" for name, value in asked.limits.items())
    return f"profile {asked.profile}{own}"


def _limit(value: float | bool | None) -> str:
    """Write the value of a limit."""
    if value is None:
        return "not checked"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:g}"


def in_order(streams: Iterable[StreamResult]) -> list[StreamResult]:
    """Return the failed streams first, then what could not be verified, then the rest.

    Parameters
    ----------
    streams
        The streams.

    Returns
    -------
    list[StreamResult]
        In order of appearance within each group.
    """
    order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    return sorted(streams, key=lambda stream: order.index(stream.verdict))


def host_lines(result: Result) -> list[str]:
    """Say what this host lost and what was no RTP, where there is any of it.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    list[str]
        Sentences.
    """
    lines = []
    if result.receive_buffer_dropped:
        lines.append(
            f"this host lost {counted(result.receive_buffer_dropped, 'packet')} after the network delivered them"
        )
    if result.discarded:
        lines.append(f"{counted(sum(result.discarded.values()), 'datagram')} ignored: {in_words(result.discarded)}")
    return lines


def identity(stream: StreamResult) -> str:
    """Name a stream by what it shows of itself: SSRC and both ends; a file's only stream is just that.

    Parameters
    ----------
    stream
        The stream.

    Returns
    -------
    str
        In one line.
    """
    if stream.transport is None:
        return "File"
    name = "Missing stream" if stream.ssrc is None else f"Stream 0x{stream.ssrc:08x}"
    return f"{name}  {stream.sender or UNMEASURED} → {stream.destination or UNMEASURED}"


def form(stream: StreamResult) -> str:
    """Write encoding, payload type, packet time and length.

    Parameters
    ----------
    stream
        The stream.

    Returns
    -------
    str
        Parts separated by commas.
    """
    name = stream.encoding or "encoding unknown"
    parts = [f"{name}/{stream.sample_rate}/{stream.channels}" if stream.sample_rate else name]
    if stream.payload_type is not None:
        parts.append(f"payload type {stream.payload_type}")
    if stream.packet_time_seconds is not None:
        parts.append(f"{seconds(stream.packet_time_seconds)} packets")
    if stream.sample_rate:
        parts.append(f"{stream.frames / stream.sample_rate:.3f} s ({stream.frames:,} frames)")
    return ", ".join(parts)


def transport(stream: StreamResult) -> list[tuple[str, str]]:
    """Return label and value of what the wire did; nothing for a file.

    Parameters
    ----------
    stream
        The stream.

    Returns
    -------
    list[tuple[str, str]]
        In the order in which they are shown.
    """
    wire = stream.transport
    if wire is None:
        return []
    lost = f"{wire.packets_lost:,} lost"
    if wire.packets_lost and wire.packets_expected:
        lost += f" ({100 * wire.packets_lost / wire.packets_expected:.2g} %)"
    packets = (
        f"{wire.packets_received:,} received of {wire.packets_expected:,}",
        lost,
        f"{wire.packets_duplicated:,} duplicated",
        f"{wire.packets_reordered:,} reordered",
        f"{wire.packets_late:,} late",
        *((f"{wire.packets_left_out:,} ignored",) if wire.packets_left_out else ()),
    )
    drift = number(wire.clock_drift_ppm, "+.1f") + (" ppm" if wire.clock_drift_ppm is not None else "")
    legs = [("Leg", leg_line(number, leg)) for number, leg in enumerate(stream.legs, 1)]
    timing = f"jitter {seconds(wire.jitter_seconds)}, sender's clock {drift} relative to arrival"
    if wire.max_tsdf_seconds is not None:
        timing += f", delay factor up to {seconds(wire.max_tsdf_seconds)}"
    if wire.min_presentation_lead_seconds is not None:
        timing += f", presentation lead at least {1e3 * wire.min_presentation_lead_seconds:.3f} ms"
    losses = [("Losses", loss_line(wire))] if sum(wire.loss_run_lengths.values()) > 1 else []
    return [("Packets", ", ".join(packets)), *losses, *legs, ("Timing", timing)]


def loss_line(wire: Transport) -> str:
    """Write how losses lie together.

    Parameters
    ----------
    wire
        Figures of the transport.

    Returns
    -------
    str
        Parts separated by commas.
    """
    longest = max(map(int, wire.loss_run_lengths))
    line = f"up to {counted(longest, 'packet')} in a row, {counted(wire.loss_bursts, 'burst')}"
    if wire.burst_density is not None and wire.burst_duration_seconds is not None:
        line += f" that lost {100 * wire.burst_density:.3g} % of {seconds(wire.burst_duration_seconds)} on average"
    return line


def leg_line(number: int, leg: Leg) -> str:
    """Write what one leg alone brought, and how long after the first copies its own came.

    Parameters
    ----------
    number
        Which leg, from 1.
    leg
        Its figures.

    Returns
    -------
    str
        Parts separated by commas.
    """
    lost = f"{leg.packets_received:,} received of {leg.packets_expected:,}, {leg.packets_lost:,} lost"
    skew = f"skew {seconds(leg.skew_seconds)} (at most {seconds(leg.max_skew_seconds)})"
    ssrc = "" if leg.ssrc is None else f"SSRC {leg.ssrc}, "
    return f"{number}: {ssrc}{leg.sender or UNMEASURED} → {leg.destination or UNMEASURED}, {lost}, {skew}"


def signal_row(signal: Signal) -> tuple[str, ...]:
    """Return the cells of one channel, under :data:`SIGNAL_COLUMNS`.

    Parameters
    ----------
    signal
        Figures of the channel.

    Returns
    -------
    tuple[str, ...]
        One text for each column.
    """
    return (
        f"{signal.channel} {signal.label}" if signal.label else str(signal.channel),
        number(signal.frequency_hz, ".5f"),
        number(signal.frequency_error_ppm, "+.3f"),
        number(signal.level_dbfs, ".3f"),
        number(signal.dc_offset, "+.1e"),
        number(signal.residual_dbfs, ".1f"),
        number(signal.thd_plus_n_db, ".1f"),
        number(signal.thd_db, ".1f"),
        number(signal.effective_bits, "d"),
    )


def comparison(stream: StreamResult) -> list[tuple[str, str]]:
    """Return label and value of how a stream follows from the recording that it was compared with.

    Parameters
    ----------
    stream
        The stream.

    Returns
    -------
    list[tuple[str, str]]
        Nothing where it was not compared with a recording.
    """
    found = stream.comparison
    if found is None:
        return []
    name = f"{found.reference}, {seconds(found.reference_frames / (stream.sample_rate or 1))}"
    if stream.sample_rate and found.reference_sample_rate != stream.sample_rate:
        name += f", resampled from {found.reference_sample_rate} Hz"
    lines = [("Against", name)]
    for channel in found.channels:
        if channel.offset_frames is None:
            lines.append((f"Ch {channel.channel}", "not found in the recording"))
            continue
        equal = (
            "recoded"
            if found.recoded
            else f"{channel.frames_equal:,} of {channel.frames_compared:,} frames bit-identical"
        )
        if channel.first_different_frame is not None and not found.recoded:
            equal += f" (first difference: {channel.first_different_frame:,})"
        offset = f"{channel.offset_frames:+,.3f}".removesuffix(".000")
        parts = [equal, f"offset {offset} frames", f"gain {number(channel.gain_db, '+.3f')} dB"]
        if channel.inverted:
            parts[-1] += ", inverted"
        if channel.clock_offset_ppm:
            parts.append(f"clock {number(channel.clock_offset_ppm, '+.2f')} ppm")
        if channel.reference_channel != channel.channel and len(found.channels) > 1:
            parts.append(f"channel {channel.reference_channel} of the recording")
        lines.append((f"Ch {channel.channel}", ", ".join(parts)))
    if found.mfcc_dtw_distance is not None:
        lines.append(("Distance", f"{found.mfcc_dtw_distance:.4g} (MFCC and DTW, normalised)"))
    return lines


def sensitivity(stream: StreamResult) -> str | None:
    """Write the smallest faults that every channel could have shown, None where nothing was measured.

    Parameters
    ----------
    stream
        The stream.

    Returns
    -------
    str or None
        Parts separated by commas.
    """
    known = [signal.sensitivity for signal in stream.signal if signal.sensitivity is not None]
    if not known:
        return None
    exact = all(item.exact_slips for item in known)
    return (
        f"click of {max(item.click for item in known):.1e} FS, "
        f"level step of {max(item.level_step_db for item in known):.2g} dB, "
        f"phase step of {max(item.phase_step_rad for item in known):.1e} rad; "
        f"slip length {'exact' if exact else 'approximate'}"
    )
