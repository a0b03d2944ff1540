"""The metrics of the contract, rendered from immutable snapshots.

The event loop makes a :class:`Snapshot` and hands it over; everything else here runs in another thread, so that a
scrape costs the receive path nothing but the interpreter lock. A value that could not be measured is absent, a counter
of a configured stream stands at 0 before its first packet: Prometheus cannot see the first increase of a counter that
springs into being at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import rtpverify
from rtpverify.events import DEFAULT_CAUSE, Cause, Kind
from rtpverify.reference import Reference, Tone
from rtpverify.result import Signal

PACKET_COUNTERS = {
    "received": "Packets received, copies included.",
    "expected": "Distinct packets received, and packets lost.",
    "lost": "Packets whose place was never filled.",
    "duplicated": "Copies of packets beyond the first.",
    "reordered": "Packets that came after a later one, within the reorder window.",
    "late": "Packets that came after the reorder window.",
}
"""Counters of packets and what each says; ``rtpverify_packets_NAME_total`` shows ``Transport.packets_NAME``."""

_TRANSPORT_KINDS = (
    Kind.GAP,
    Kind.DUPLICATE,
    Kind.REORDER,
    Kind.LATE,
    Kind.STALL,
    Kind.JITTER,
    Kind.SSRC_CHANGE,
    Kind.PAYLOAD_TYPE_CHANGE,
    Kind.TIMESTAMP_JUMP,
    Kind.RESTART,
)


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One configured stream at one moment.

    Attributes
    ----------
    packets
        Totals by the names of ``PACKET_COUNTERS``; they never fall.
    events
        Totals by kind and cause; they never fall.
    signal
        What each channel carries.
    """

    name: str
    up: bool = False
    packets: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    jitter_seconds: float | None = None
    clock_drift_ppm: float | None = None
    signal: tuple[Signal, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a scrape shows.

    Attributes
    ----------
    discarded
        Datagrams that were no RTP of any stream, by reason.
    outlets
        What became of events and files, by outlet and outcome; see :class:`rtpverify.daemon.outlets.Outlet`.
    last_reload_successful, last_reload_seconds
        Whether the configuration was taken over when it was last read, and when one last was, in seconds since the
        Unix epoch.
    """

    streams: tuple[StreamSnapshot, ...] = ()
    discarded: Mapping[str, int] = field(default_factory=dict)
    receive_buffer_dropped: int = 0
    outlets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    last_reload_successful: bool = True
    last_reload_seconds: float | None = None


def countable_events(reference: Reference) -> dict[tuple[str, str], int]:
    """Return a count of 0 for every kind and cause that a stream held against ``reference`` can tell."""
    kinds: Iterable[Kind] = _TRANSPORT_KINDS
    if reference is not None:
        kinds = [kind for kind in Kind if kind is not Kind.MISMATCH or not isinstance(reference, Tone)]
    counts = {}
    for kind in kinds:
        cause = DEFAULT_CAUSE.get(kind, Cause.UPSTREAM)
        for possible in (Cause.NETWORK, Cause.UPSTREAM) if cause is Cause.UNKNOWN else (cause,):
            counts[str(kind), str(possible)] = 0
    return counts


class SnapshotCollector(Collector):
    """Shows the latest snapshot to prometheus_client; ``latest`` returns it and is called in the rendering thread."""

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family, also those without a sample."""
        snapshot = self._latest()
        build = GaugeMetricFamily("rtpverify_build_info", "Always 1; the version is a label.", labels=["version"])
        build.add_metric([rtpverify.__version__], 1)
        yield build
        yield from _stream_families(snapshot.streams)
        yield from _channel_families(snapshot.streams)
        dropped = CounterMetricFamily(
            "rtpverify_receive_buffer_dropped", "Packets the host lost after the network had delivered them."
        )
        dropped.add_metric([], snapshot.receive_buffer_dropped)
        yield dropped
        discarded = CounterMetricFamily(
            "rtpverify_datagrams_discarded", "Datagrams that are no RTP of any configured stream.", labels=["reason"]
        )
        for reason, count in sorted(snapshot.discarded.items()):
            discarded.add_metric([reason], count)
        yield discarded


def _stream_families(streams: Iterable[StreamSnapshot]) -> Iterator[Metric]:
    """Yield what is measured once per stream."""
    up = GaugeMetricFamily("rtpverify_stream_up", "1 while packets of the stream arrive, else 0.", labels=["stream"])
    packets = {
        name: CounterMetricFamily(f"rtpverify_packets_{name}", text, labels=["stream"])
        for name, text in PACKET_COUNTERS.items()
    }
    jitter = GaugeMetricFamily(
        "rtpverify_interarrival_jitter_seconds", "Interarrival jitter (RFC 3550 section 6.4.1).", labels=["stream"]
    )
    drift = GaugeMetricFamily(
        "rtpverify_clock_drift_ratio",
        "Rate of the sender's media clock against the arrival clock, less 1; positive when the sender runs fast.",
        labels=["stream"],
    )
    events = CounterMetricFamily(
        "rtpverify_events", "Events told, by kind and cause.", labels=["stream", "kind", "cause"]
    )
    for stream in streams:
        up.add_metric([stream.name], stream.up)
        for name, count in stream.packets.items():
            packets[name].add_metric([stream.name], count)
        if stream.jitter_seconds is not None:
            jitter.add_metric([stream.name], stream.jitter_seconds)
        if stream.clock_drift_ppm is not None:
            drift.add_metric([stream.name], stream.clock_drift_ppm * 1e-6)
        for (kind, cause), count in stream.events.items():
            events.add_metric([stream.name, kind, cause], count)
    yield from (up, *packets.values(), jitter, drift, events)


_SIGNAL_GAUGES = {
    "level_dbfs": ("rtpverify_level_dbfs", "RMS level; a full-scale sine is at 0 dBFS (AES17)."),
    "residual_dbfs": ("rtpverify_residual_dbfs", "RMS of what is left when the reference is taken off."),
    "thd_plus_n_db": ("rtpverify_thd_plus_n_db", "Distortion and noise relative to the fundamental."),
    "frequency_hz": ("rtpverify_frequency_hertz", "Frequency of the tone."),
    "dc_offset": ("rtpverify_dc_offset_ratio", "DC offset as a fraction of full scale."),
}


def _channel_families(streams: Iterable[StreamSnapshot]) -> Iterator[Metric]:
    """Yield what is measured per channel."""
    gauges = {
        field_name: GaugeMetricFamily(name, text, labels=["stream", "channel"])
        for field_name, (name, text) in _SIGNAL_GAUGES.items()
    }
    for stream in streams:
        for signal in stream.signal:
            for field_name, gauge in gauges.items():
                value = getattr(signal, field_name)
                if value is not None:
                    gauge.add_metric([stream.name, str(signal.channel)], value)
    yield from gauges.values()


class Exposition:
    """Renders snapshots as text. Safe to use from any thread."""

    def __init__(self, latest: Callable[[], Snapshot]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(SnapshotCollector(latest))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the text and its content type: OpenMetrics where the ``Accept`` header asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
