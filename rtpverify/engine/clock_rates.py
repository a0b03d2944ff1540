"""How fast a sender's timestamps run by the arrival of its packets, and at which of the rates in use that is.

Bursts and jitter make the first packets a bad clock, so each answer says how far off it may be, and there is none where
that is too much. What a whole stream shows (:mod:`rtpverify.transport.timing`) is exact, and comes late.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median, quantiles

from rtpverify.rtp.payload import COMPANDED, Encoding
from rtpverify.rtp.serial import wrap_difference
from rtpverify.transport.demux import MAX_HELD_PACKETS, Held

SAMPLE_RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
"""Rates that a clock is taken to have which nothing describes."""
MAX_RATE_ERROR = 0.04
"""How far off such a rate may be: 44.1 and 48 kHz are 8 % apart."""
MAX_ROUGH_ERROR = 0.3
"""How far off ticks may be that show their unit: those of bytes or milliseconds are off by two at least."""
MAX_STEADY_ERROR = 0.02
"""How far off first packets may be that contradict the rate which is said."""
MAX_CLOCK_ERROR_PPM = 5000.0
"""A clock further off than this runs at another rate: bad oscillators are 0.02 % off."""
MIN_PACKETS = 8
MIN_TIMED_NS = 5_000_000
"""Packets, and the time in which they come, that show how fast a sender's timestamps run, at least."""


def rate_in_use(hz: float, max_error: float, name: str = "") -> int | None:
    """Return the rate in use that a measured one is, to within such a fraction; None where it is none.

    ``name`` is the encoding's, where that is known: G.711 is of 8 kHz (RFC 3551 section 4.5.14).

    Parameters
    ----------
    hz
        The rate that was measured.
    max_error
        Fraction by which it may be off.
    name
        Name of the encoding, ``""`` where it is not known.

    Returns
    -------
    int or None
        In Hz.
    """
    rates_hz = (8000,) if name in COMPANDED else SAMPLE_RATES_HZ
    nearest = min(rates_hz, key=lambda rate_hz: abs(hz - rate_hz))
    return nearest if abs(hz / nearest - 1) <= max_error else None


class PacketClock:
    """The clock that the first packets of a stream show.

    Parameters
    ----------
    packets
        In order of their numbers.
    """

    def __init__(self, packets: Sequence[Held]) -> None:
        self._packets = packets

    def ticks_per_second(self, max_error: float) -> float | None:
        """Return how fast the timestamps run, None where that cannot be determined to within such a fraction.

        Parameters
        ----------
        max_error
            Fraction by which it may be off.

        Returns
        -------
        float or None
            Timestamp units a second.
        """
        slopes = self._slopes
        if len(slopes) < 2:
            return None
        low, middle, high = quantiles(slopes)
        # Two standard errors of a median of normal deviates, whose quartiles are 1.35 deviations apart.
        error = 2 * 1.25 * (high - low) / 1.35 / len(slopes) ** 0.5
        return middle if error <= max_error * abs(middle) else None

    def other_rate_hz(self, said: Encoding) -> int | None:
        """Return the rate in use at which packets come beyond doubt, where that is not the one which is said.

        Parameters
        ----------
        said
            What is stated of the payload type.

        Returns
        -------
        int or None
            In Hz; None where the packets do not contradict it.
        """
        ticks = self.ticks_per_second(MAX_STEADY_ERROR)
        if ticks is None or abs(ticks / said.sample_rate_hz - 1) <= MAX_RATE_ERROR or self._burst > MAX_STEADY_ERROR:
            return None
        return rate_in_use(ticks, MAX_STEADY_ERROR, said.name)

    def packets_wanted(self, said_hz: int) -> int:
        """Return how many packets it takes to show whether the rate is the one that is said; 0 where it seems so.

        Parameters
        ----------
        said_hz
            Sample rate that is stated.

        Returns
        -------
        int
            Packets, those that came included.
        """
        first, last, count = self._packets[0], self._packets[-1], len(self._packets)
        if count < MIN_PACKETS:
            elapsed = wrap_difference(last.timestamp, first.timestamp, 32) / said_hz
            is_near = abs((last.arrival_ns - first.arrival_ns) / 1e9 - elapsed) <= MAX_RATE_ERROR * elapsed
            return 0 if is_near else MIN_PACKETS
        ticks = self.ticks_per_second(MAX_ROUGH_ERROR)
        return MAX_HELD_PACKETS if ticks is not None and abs(ticks / said_hz - 1) > MAX_RATE_ERROR else 0

    @property
    def _slopes(self) -> list[float]:
        """Timestamp units a second between packets of the first and of the second half."""
        half, packets = len(self._packets) // 2, self._packets
        if len(packets) < MIN_PACKETS or packets[-1].arrival_ns - packets[0].arrival_ns < MIN_TIMED_NS:
            return []
        return [
            wrap_difference(other.timestamp, one.timestamp, 32) * 1e9 / max(other.arrival_ns - one.arrival_ns, 1)
            for one, other in zip(packets, packets[half:], strict=False)
        ]

    @property
    def _burst(self) -> float:
        """How far off bursts may put the slopes: the longest silence over the usual one, as part of their length."""
        times = sorted(packet.arrival_ns for packet in self._packets)
        silences = [after - before for before, after in pairwise(times)]
        return (max(silences) - median(silences)) / ((times[-1] - times[0]) / 2)
