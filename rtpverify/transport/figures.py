"""What the wire did to one stream, as other modules ask for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from rtpverify.transport.loss_pattern import LossPattern
from rtpverify.transport.placement import PacketCounts
from rtpverify.transport.timing import INTERVAL_EDGES_NS


@dataclass(frozen=True, slots=True)
class WireGlance:
    """What the wire did to a stream so far, as far as it is seen at a glance."""

    packets_expected: int
    packets_lost: int
    packets_left_out: int
    jitter_seconds: float | None
    last_arrival_ns: int


@dataclass(frozen=True, slots=True)
class Reception:
    """What a receiver would report of a stream (RFC 3550 section 6.4.1)."""

    counts: PacketCounts
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
