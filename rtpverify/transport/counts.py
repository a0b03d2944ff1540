"""What is counted of the packets of a stream, and how its losses lie together.

A *burst* (RFC 3611 section 4.7.2) begins and ends with a lost packet and holds no :data:`G_MIN` packets received one
after the other; a single lost packet with that many received on either side is none. What lies outside of bursts is a
*gap* in the words of the RFC: there only single packets are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

G_MIN = 16


@dataclass(slots=True)
class PacketCounts:
    """Packets of one stream; ``received`` are distinct."""

    received: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    late: int = 0
    stray: int = 0

    @property
    def expected(self) -> int:
        """Packets that should have come so far."""
        return self.received + self.lost

    def copy(self) -> PacketCounts:
        """Return the counters as they are.

        Returns
        -------
        PacketCounts
            Counters that do not change with these.
        """
        return replace(self)


@dataclass(frozen=True, slots=True)
class LossPattern:
    """Losses of one stream. Densities are fractions of lost packets, None where there is no such stretch.

    ``burst_packets`` and ``gap_packets`` are the mean lengths of bursts and of the stretches between them.
    """

    bursts: int
    burst_density: float | None
    gap_density: float | None
    burst_packets: float | None
    gap_packets: float | None


class Bursts:
    """Losses of one stream, reported in order."""

    __slots__ = ("_first", "_last", "_lost", "_packets_in_bursts", "bursts", "lost_alone", "lost_in_bursts")

    def __init__(self) -> None:
        self.bursts = 0
        self.lost_in_bursts = 0
        self.lost_alone = 0
        self._packets_in_bursts = 0
        self._first = self._last = self._lost = 0

    def add(self, first: int, last: int) -> None:
        """Take in that the packets from ``first`` to ``last`` (extended sequence numbers) are lost.

        Parameters
        ----------
        first
            The first of them.
        last
            The last of them.
        """
        if self._lost and first - self._last - 1 >= G_MIN:
            self._end()
        if not self._lost:
            self._first = first
        self._last = last
        self._lost += last - first + 1

    def pattern(self, expected: int) -> LossPattern:
        """Return the figures of a stream of which ``expected`` packets should have come so far.

        Parameters
        ----------
        expected
            Packets that should have come so far.

        Returns
        -------
        LossPattern
            The figures; losses after the last long stretch of received packets count too.
        """
        whole = Bursts()
        for name in self.__slots__:
            setattr(whole, name, getattr(self, name))
        whole._end()
        in_gaps = max(expected - whole._packets_in_bursts, 0)
        return LossPattern(
            bursts=whole.bursts,
            burst_density=whole.lost_in_bursts / whole._packets_in_bursts if whole.bursts else None,
            gap_density=whole.lost_alone / in_gaps if in_gaps else None,
            burst_packets=whole._packets_in_bursts / whole.bursts if whole.bursts else None,
            gap_packets=in_gaps / (whole.bursts + 1) if in_gaps else None,
        )

    def _end(self) -> None:
        """Count what was lost since the last long stretch of received packets."""
        if self._lost == 1:
            self.lost_alone += 1
        elif self._lost:
            self.bursts += 1
            self.lost_in_bursts += self._lost
            self._packets_in_bursts += self._last - self._first + 1
        self._lost = 0


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
        """Return the time since the latest sender report in units of 2**-16 s, 0 where none came.

        Parameters
        ----------
        now_ns
            Time of the report, in ns since the Unix epoch.

        Returns
        -------
        int
            DLSR of RFC 3550 section 6.4.1, at most 2**32 - 1.
        """
        if not self.last_report:
            return 0
        return min(max(now_ns - self.last_report_ns, 0) * 65536 // 10**9, 0xFFFFFFFF)
