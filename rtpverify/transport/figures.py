"""What the wire did to one stream, as other modules ask for it."""

from __future__ import annotations

from dataclasses import dataclass

from rtpverify.transport.placement import PacketCounts


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
