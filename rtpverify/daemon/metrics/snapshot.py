"""What a scrape shows, as of one moment: immutable, so good for any thread.

The event loop makes a :class:`Snapshot` and hands it over; everything else of the metrics runs in another thread. A
counter of a configured stream is at 0 before its first packet: Prometheus cannot see the first increase of a
counter that springs into being at 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rtpverify.daemon.metrics.text import Exemplar
from rtpverify.events import DEFAULT_CAUSE, TRANSPORT_KINDS, Cause, Kind
from rtpverify.live.histogram import BucketCounts
from rtpverify.reference import Reference, Tone
from rtpverify.result import Signal, Transport

PACKET_COUNTERS = ("received", "expected", "lost", "duplicated", "reordered", "late")
"""``packets_NAME`` of :class:`rtpverify.result.Transport` and of :class:`rtpverify.result.Leg`."""

OTHER_COUNTERS = (
    "packets_stray",
    "packets_odd_length",
    "packets_left_out",
    "packets_beside",
    "pauses",
    "loss_bursts",
    "packet_time_changes",
)
"""Further counts of :class:`rtpverify.result.Transport`."""

MEASURED_COUNTERS = ("packets_short_of_lead",)
"""Counts of :class:`rtpverify.result.Transport` that are None where they are not measured."""

CHANNEL_COUNTERS = ("frames_exact", "bit_errors")
"""Counts of :class:`rtpverify.result.Signal`."""

Key = tuple[str, str]
"""Kind and cause of events, or kind of size and kind of event."""


@dataclass(frozen=True, slots=True)
class LegSnapshot:
    """One of several paths of a stream; ``packets`` are totals by the names of ``PACKET_COUNTERS``."""

    packets: Mapping[str, int]
    skew_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """One configured stream at one moment. Totals never fall, whatever identities the stream takes.

    Attributes
    ----------
    packets, counts
        Totals by the names of ``PACKET_COUNTERS``, and of ``OTHER_COUNTERS`` and ``MEASURED_COUNTERS``.
    packets_differing
        Copies over several legs that are not what the first copy was; None without legs.
    events, open_events
        Events reported so far, and those that continue, by kind and cause.
    exemplars
        The latest event of each kind and cause.
    sizes
        Of events that ended, by size (a name of :data:`rtpverify.daemon.metrics.event_sizes.SIZES`) and kind.
    intervals
        Inter-arrival times in seconds.
    transport
        As the identity heard last has it; None before the first packet.
    judged
        Whether the signal is compared with its reference; None where there is none.
    last_packet_ns
        Arrival of the last packet, seconds since the Unix epoch.
    signal
        What each channel carries now.
    channel_counts
        Totals by the names of ``CHANNEL_COUNTERS`` and channel, as far as they could be counted.
    """

    name: str
    up: bool = False
    packets: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    packets_differing: int | None = None
    events: Mapping[Key, int] = field(default_factory=dict)
    open_events: Mapping[Key, int] = field(default_factory=dict)
    exemplars: Mapping[Key, Exemplar] = field(default_factory=dict)
    sizes: Mapping[Key, BucketCounts] = field(default_factory=dict)
    intervals: BucketCounts | None = None
    transport: Transport | None = None
    encoding: str | None = None
    packet_time_seconds: float | None = None
    judged: bool | None = None
    last_packet_ns: int | None = None
    legs: tuple[LegSnapshot, ...] = ()
    signal: tuple[Signal, ...] = ()
    channel_counts: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def jitter_seconds(self) -> float | None:
        """Interarrival jitter (RFC 3550)."""
        return self.transport.jitter_seconds if self.transport else None

    @property
    def clock_drift_ppm(self) -> float | None:
        """How fast the sender's media clock runs against the arrival clock."""
        return self.transport.clock_drift_ppm if self.transport else None


@dataclass(frozen=True, slots=True)
class LoopSnapshot:
    """How the receive loop fares; the histograms are those of :class:`rtpverify.live.loop.LiveStatistics`."""

    ticks: int
    busy_seconds: float
    batch_datagrams: BucketCounts
    lag_seconds: BucketCounts
    age_seconds: BucketCounts


@dataclass(frozen=True, slots=True)
class SinkSnapshot:
    """One of :class:`rtpverify.daemon.sinks.base.Sink`: its counts, how much waits, and whether it does its work."""

    counts: Mapping[str, int]
    waiting: int
    works: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a scrape shows.

    Attributes
    ----------
    discarded
        Datagrams that were no RTP of any stream, by reason.
    sinks
        By the section of the configuration that made them.
    loop
        How the receive loop fares; None before it runs.
    receive_buffer_bytes, receive_buffer_fill
        Smallest receive buffer granted, and the part of one that was full at most, before it was read.
    behind_seconds
        Age of the oldest packet that waits to be processed, the most of the last seconds.
    last_reload_successful, last_reload_seconds
        Whether the configuration was taken over when it was last read, and when one last was, in seconds since the
        Unix epoch.
    defects
        Exceptions that nobody expected, and that were contained, by where.
    streams_refused
        Streams that found no place, by the name under which they would have been verified.
    sources_refused
        Session descriptions and announced sessions that cannot be monitored.
    """

    streams: tuple[StreamSnapshot, ...] = ()
    discarded: Mapping[str, int] = field(default_factory=dict)
    receive_buffer_dropped: int = 0
    receive_buffer_bytes: int | None = None
    receive_buffer_fill: float | None = None
    behind_seconds: float | None = None
    loop: LoopSnapshot | None = None
    sinks: Mapping[str, SinkSnapshot] = field(default_factory=dict)
    last_reload_successful: bool = True
    last_reload_seconds: float | None = None
    streams_refused: Mapping[str, int] = field(default_factory=dict)
    sources_refused: int = 0
    defects: Mapping[str, int] = field(default_factory=dict)


def countable_events(reference: Reference) -> dict[Key, int]:
    """Return a count of 0 for every kind and cause that a stream compared with ``reference`` can show.

    Parameters
    ----------
    reference
        What the stream is compared with.

    Returns
    -------
    dict[Key, int]
        Counts by kind and cause.
    """
    kinds: Iterable[Kind] = TRANSPORT_KINDS
    if reference is not None:
        kinds = [kind for kind in Kind if kind is not Kind.MISMATCH or not isinstance(reference, Tone)]
    counts = {}
    for kind in kinds:
        cause = DEFAULT_CAUSE.get(kind, Cause.UPSTREAM)
        possible = (cause, Cause.UNKNOWN) if kind is Kind.GAP else Cause if cause is Cause.UNKNOWN else (cause,)
        for one in possible:
            counts[str(kind), str(one)] = 0
    return counts
