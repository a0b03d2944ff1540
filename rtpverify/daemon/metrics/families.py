"""Which metric shows what of a snapshot. A value that could not be measured has no sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from rtpverify.daemon.metrics.event_sizes import SIZES
from rtpverify.daemon.metrics.snapshot import LegSnapshot, Snapshot, StreamSnapshot
from rtpverify.daemon.metrics.text import Family, labels
from rtpverify.live.histogram import BucketCounts
from rtpverify.version import __version__

Shown = tuple[str, str, Callable[[Any], float | BucketCounts | None]]
"""Name, documentation, and what it shows of a stream, leg or channel."""

PACKETS = {
    "received": "Packets received, including copies.",
    "expected": "Distinct packets received, and packets lost.",
    "lost": "Packets that never arrived.",
    "duplicated": "Copies of packets beyond the first.",
    "reordered": "Packets received after a later one, within the reorder window.",
    "late": "Packets received after the reorder window.",
}

TROUBLES = ("dropped", "failed")
"""Outcomes that are at 0 from the beginning, so that the first of them shows."""


def _packets(name: str) -> Callable[[StreamSnapshot | LegSnapshot], int | None]:
    return lambda of: of.packets.get(name)


def _count(name: str) -> Callable[[StreamSnapshot], int | None]:
    return lambda stream: stream.counts.get(name)


def _transport(name: str, scale: float = 1.0) -> Callable[[StreamSnapshot], float | None]:
    """Show a figure of the transport."""

    def show(stream: StreamSnapshot) -> float | None:
        value = getattr(stream.transport, name, None)
        return None if value is None else value * scale

    return show


def _rtcp(name: str, scale: float = 1.0) -> Callable[[StreamSnapshot], float | None]:
    """Show a figure of what the sender reports."""

    def show(stream: StreamSnapshot) -> float | None:
        value = getattr(stream.transport.rtcp, name, None) if stream.transport else None
        return None if value is None else value * scale

    return show


_STREAM_COUNTERS: Sequence[Shown] = (
    *((f"rtpverify_packets_{name}", text, _packets(name)) for name, text in PACKETS.items()),
    ("rtpverify_packets_stray", "Packets outside the sequence window.", _count("packets_stray")),
    (
        "rtpverify_packets_odd_length",
        "Packets whose payload is not a whole number of frames.",
        _count("packets_odd_length"),
    ),
    ("rtpverify_packets_left_out", "Packets of the stream that were ignored.", _count("packets_left_out")),
    ("rtpverify_packets_beside", "Packets of comfort noise and telephone events.", _count("packets_beside")),
    ("rtpverify_packets_differing", "Copies on other legs with a different payload.", lambda s: s.packets_differing),
    (
        "rtpverify_packets_short_of_lead",
        "Packets received too late for presentation; needs a link offset.",
        _count("packets_short_of_lead"),
    ),
    ("rtpverify_pauses", "Pauses in which the sender suppressed silence.", _count("pauses")),
    ("rtpverify_loss_bursts", "Bursts of lost packets (RFC 3611 section 4.7.2, Gmin 16).", _count("loss_bursts")),
    ("rtpverify_packet_time_changes", "Permanent changes of the packet time.", _count("packet_time_changes")),
)

_STREAM_GAUGES: Sequence[Shown] = (
    ("rtpverify_stream_up", "1 while packets of the stream arrive, else 0.", lambda s: s.up),
    ("rtpverify_stream_judged", "1 while the signal is compared with its reference, else 0.", lambda s: s.judged),
    (
        "rtpverify_last_packet_timestamp_seconds",
        "Arrival of the last packet, seconds since the Unix epoch.",
        lambda s: None if s.last_packet_ns is None else s.last_packet_ns / 1e9,
    ),
    ("rtpverify_packet_time_seconds", "Packet time, inferred from timestamps.", lambda s: s.packet_time_seconds),
    ("rtpverify_interarrival_jitter_seconds", "Interarrival jitter (RFC 3550).", _transport("jitter_seconds")),
    ("rtpverify_interarrival_jitter_max_seconds", "Maximum of the jitter.", _transport("max_jitter_seconds")),
    (
        "rtpverify_clock_drift_ratio",
        "Rate of the sender's media clock relative to the arrival clock, minus 1; positive when the sender runs fast.",
        _transport("clock_drift_ppm", 1e-6),
    ),
    (
        "rtpverify_delay_factor_seconds",
        "Time-stamped delay factor of the last complete window (EBU Tech 3337).",
        _transport("tsdf_seconds"),
    ),
    ("rtpverify_delay_factor_max_seconds", "Maximum of the delay factor.", _transport("max_tsdf_seconds")),
    (
        "rtpverify_presentation_lead_seconds",
        "Presentation time of the last packet minus its arrival time; needs a link offset.",
        _transport("presentation_lead_seconds"),
    ),
    (
        "rtpverify_presentation_lead_min_seconds",
        "Minimum of the presentation lead.",
        _transport("min_presentation_lead_seconds"),
    ),
    (
        "rtpverify_interarrival_max_seconds",
        "Longest time between two packets.",
        _transport("longest_interval_seconds"),
    ),
    (
        "rtpverify_loss_burst_density_ratio",
        "Fraction of packets lost within bursts (RFC 3611 section 4.7.2).",
        _transport("burst_density"),
    ),
    ("rtpverify_loss_gap_density_ratio", "Fraction of packets lost between bursts.", _transport("gap_density")),
    ("rtpverify_loss_burst_duration_seconds", "Mean duration of bursts.", _transport("burst_duration_seconds")),
    (
        "rtpverify_loss_gap_duration_seconds",
        "Mean duration of the gaps between bursts.",
        _transport("gap_duration_seconds"),
    ),
    (
        "rtpverify_rtcp_clock_drift_ratio",
        "Rate of the sender's media clock relative to its own NTP time, minus 1.",
        _rtcp("media_clock_drift_ppm", 1e-6),
    ),
    (
        "rtpverify_rtcp_fraction_lost_ratio",
        "Fraction of packets lost since the latest sender report.",
        _rtcp("fraction_lost"),
    ),
    (
        "rtpverify_rtcp_sender_report_age_seconds",
        "Time from the latest sender report to the last packet.",
        _rtcp("delay_since_last_sender_report_seconds"),
    ),
    ("rtpverify_rtcp_said_goodbye", "1 once the sender has sent RTCP BYE.", _rtcp("said_goodbye")),
)

_STREAM_HISTOGRAMS: Sequence[Shown] = (
    ("rtpverify_interarrival_seconds", "Times between packets.", lambda s: s.intervals),
)

_LEG_COUNTERS: Sequence[Shown] = tuple(
    (f"rtpverify_leg_packets_{name}", f"One leg: {text[0].lower()}{text[1:]}", _packets(name))
    for name, text in PACKETS.items()
)

_LEG_GAUGES: Sequence[Shown] = (
    ("rtpverify_leg_skew_seconds", "Delay of the latest packet after the first copy.", lambda of: of.skew_seconds),
)


def _ppm(value: float | None) -> float | None:
    return None if value is None else value * 1e-6


_CHANNEL_GAUGES: Sequence[Shown] = (
    ("rtpverify_level_dbfs", "RMS level; a full-scale sine is at 0 dBFS (AES17).", lambda c: c.level_dbfs),
    ("rtpverify_residual_dbfs", "RMS of the residual (signal minus reference).", lambda c: c.residual_dbfs),
    ("rtpverify_thd_plus_n_db", "Distortion and noise relative to the fundamental.", lambda c: c.thd_plus_n_db),
    ("rtpverify_thd_db", "Harmonic distortion relative to the fundamental.", lambda c: c.thd_db),
    ("rtpverify_frequency_hertz", "Frequency of the tone.", lambda c: c.frequency_hz),
    (
        "rtpverify_frequency_error_ratio",
        "Frequency of the tone relative to its reference, minus 1.",
        lambda c: _ppm(c.frequency_error_ppm),
    ),
    ("rtpverify_dc_offset_ratio", "DC offset as a fraction of full scale.", lambda c: c.dc_offset),
    (
        "rtpverify_crosstalk_db",
        "Level of the strongest tone of another channel in this channel, relative to its level in that channel.",
        lambda c: c.crosstalk_db,
    ),
    (
        "rtpverify_effective_word_length",
        "Bits that are not always empty.",
        lambda c: c.effective_bits,
    ),
    (
        "rtpverify_smallest_click_ratio",
        "Smallest detectable deviation of a single frame, as a fraction of full scale.",
        lambda c: c.sensitivity.click if c.sensitivity else None,
    ),
)

_CHANNEL_COUNTERS = {
    "frames_exact": ("rtpverify_frames_exact", "Frames that equal the rounded reference."),
    "bit_errors": ("rtpverify_bit_errors", "Bit errors in frames that differ from the rounded reference."),
}

_HOST_COUNTERS: Sequence[Shown] = (
    (
        "rtpverify_receive_buffer_dropped",
        "Packets lost in this host after the network had delivered them.",
        lambda s: s.receive_buffer_dropped,
    ),
)

_HOST_GAUGES: Sequence[Shown] = (
    ("rtpverify_receive_buffer_bytes", "Smallest receive buffer granted.", lambda s: s.receive_buffer_bytes),
    (
        "rtpverify_receive_buffer_fill_ratio",
        "Highest fill level of a receive buffer in the last seconds, as a fraction of its size.",
        lambda s: s.receive_buffer_fill,
    ),
    (
        "rtpverify_oldest_packet_age_seconds",
        "Age of the oldest packet that waits to be processed, the highest of the last seconds.",
        lambda s: s.behind_seconds,
    ),
    (
        "rtpverify_config_last_reload_successful",
        "1 if the last reload of the configuration succeeded, else 0.",
        lambda s: s.last_reload_successful,
    ),
    (
        "rtpverify_config_last_reload_success_timestamp_seconds",
        "Time of the last successful reload, seconds since the Unix epoch.",
        lambda s: s.last_reload_seconds,
    ),
    (
        "rtpverify_sources_refused",
        "Session descriptions and announced sessions that cannot be monitored.",
        lambda s: s.sources_refused,
    ),
)

_LOOP_COUNTERS: Sequence[Shown] = (
    ("rtpverify_ticks", "Reads of the sockets.", lambda of: of.ticks),
    ("rtpverify_busy_seconds", "Processor time spent on receiving and verifying.", lambda of: of.busy_seconds),
)

_LOOP_HISTOGRAMS: Sequence[Shown] = (
    ("rtpverify_batch_datagrams", "Datagrams per batch.", lambda of: of.batch_datagrams),
    ("rtpverify_tick_lag_seconds", "Delay of reads of the sockets after they were due.", lambda of: of.lag_seconds),
    (
        "rtpverify_processing_lag_seconds",
        "Time from the arrival of the oldest datagram of a batch until the batch was processed.",
        lambda of: of.age_seconds,
    ),
)


def families(snapshot: Snapshot) -> Iterator[Family]:
    """Yield every metric of a snapshot, also those without a sample.

    Parameters
    ----------
    snapshot
        What was measured.

    Yields
    ------
    Family
        Metric with its samples.
    """
    build = Family("rtpverify_build_info", "gauge", "Always 1; the version is a label.")
    build.add(labels({"version": __version__}), 1)
    yield build
    streams = [(labels({"stream": stream.name}), stream) for stream in snapshot.streams]
    yield _formats(streams)
    yield from _shown("counter", _STREAM_COUNTERS, streams)
    yield from _shown("gauge", _STREAM_GAUGES, streams)
    yield from _shown("histogram", _STREAM_HISTOGRAMS, streams)
    yield from _events(streams)
    legs = [(f'{label},leg="{number}"', leg) for label, stream in streams for number, leg in enumerate(stream.legs, 1)]
    yield from _shown("counter", _LEG_COUNTERS, legs)
    yield from _shown("gauge", _LEG_GAUGES, legs)
    channels = [
        (f'{label},channel="{signal.channel}"', signal) for label, stream in streams for signal in stream.signal
    ]
    yield from _shown("gauge", _CHANNEL_GAUGES, channels)
    for field, (name, text) in _CHANNEL_COUNTERS.items():
        family = Family(name, "counter", text)
        for label, stream in streams:
            for (counted, channel), count in stream.channel_counts.items():
                if counted == field:
                    family.add(f'{label},channel="{channel}"', count)
        yield family
    yield from _host(snapshot)


def _shown(
    kind: Literal["counter", "gauge", "histogram"], shown: Sequence[Shown], items: Iterable[tuple[str, Any]]
) -> Iterator[Family]:
    """Yield one family for each of ``shown``, with one sample for each of ``items`` and its labels."""
    for name, text, show in shown:
        yield Family(
            name, kind, text, [(label, value, None) for label, item in items if (value := show(item)) is not None]
        )


def _formats(streams: Iterable[tuple[str, StreamSnapshot]]) -> Family:
    """Return what the streams are; their encodings are configured or announced, so bounded."""
    family = Family("rtpverify_stream_info", "gauge", "Always 1; the encoding is a label.")
    for label, stream in streams:
        if stream.encoding is not None:
            family.add(f"{label},{labels({'encoding': stream.encoding})}", 1)
    return family


def _events(streams: Iterable[tuple[str, StreamSnapshot]]) -> Iterator[Family]:
    """Yield what is reported of events."""
    told = Family("rtpverify_events", "counter", "Events, by kind and cause.")
    open_now = Family("rtpverify_open_events", "gauge", "Ongoing events, by kind and cause.")
    sizes = {name: Family(size.name, "histogram", size.documentation) for name, size in SIZES.items()}
    for label, stream in streams:
        for (kind, cause), count in stream.events.items():
            told.add(f'{label},kind="{kind}",cause="{cause}"', count, stream.exemplars.get((kind, cause)))
        for (kind, cause), count in stream.open_events.items():
            open_now.add(f'{label},kind="{kind}",cause="{cause}"', count)
        for (size, kind), counts in stream.sizes.items():
            sizes[size].add(f'{label},kind="{kind}"', counts)
    yield from (told, open_now, *sizes.values())


def _host(snapshot: Snapshot) -> Iterator[Family]:
    """Yield what is known of this host and of the daemon itself."""
    host = [("", snapshot)]
    yield from _shown("counter", _HOST_COUNTERS, host)
    yield from _shown("gauge", _HOST_GAUGES, host)
    loop = [("", snapshot.loop)] if snapshot.loop else []
    yield from _shown("counter", _LOOP_COUNTERS, loop)
    yield from _shown("histogram", _LOOP_HISTOGRAMS, loop)
    discarded = Family("rtpverify_datagrams_discarded", "counter", "Datagrams that are not RTP of any stream.")
    for reason, count in sorted(snapshot.discarded.items()):
        discarded.add(labels({"reason": reason}), count)
    yield discarded
    refused = Family(
        "rtpverify_streams_refused", "counter", "Streams that are not verified because all places are taken."
    )
    for stream in snapshot.streams:
        refused.add(labels({"stream": stream.name}), snapshot.streams_refused.get(stream.name, 0))
    yield refused
    defects = Family(
        "rtpverify_internal_errors", "counter", "Internal errors in rtpverify, by the component they occurred in."
    )
    for where, count in snapshot.defects.items():
        defects.add(labels({"where": where}), count)
    yield defects
    outcomes = Family("rtpverify_outlet", "counter", "Events and files, by sink and outcome.")
    waiting = Family("rtpverify_outlet_waiting", "gauge", "Events and files that wait to be written or sent.")
    works = Family("rtpverify_outlet_up", "gauge", "1 while a sink works, else 0.")
    for name, sink in snapshot.sinks.items():
        label = labels({"outlet": name})
        for outcome in sorted({*TROUBLES, *sink.counts}):
            outcomes.add(f"{label},{labels({'outcome': outcome})}", sink.counts.get(outcome, 0))
        waiting.add(label, sink.waiting)
        works.add(label, sink.works)
    yield from (outcomes, waiting, works)
