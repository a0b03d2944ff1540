"""How long before it is to be played each packet arrives.

A media clock that is *direct* (RFC 7273 section 5.2) runs with a reference clock from that clock's epoch on, so a
timestamp says when its frame was sampled. A receiver plays it a *link offset* later (AES67 section 7.4; ST 2110-10
section 7). The lead is presentation time less arrival: a packet with less than none passes every loss check, and every
receiver throws it away.

Timestamps wrap (after a day at 48 kHz); the turn nearest to the arrival counts. Where that is further off than
:data:`FAR_SECONDS`, sender and arrival clock are not the same clock, and there is no lead to speak of.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.sdp import Media
from rtpverify.transport.rows import Rows, RowTable

HostClock = Literal["utc", "tai"]
"""What arrival times count: seconds of UTC or of TAI since 1970."""

FAR_SECONDS = 1.0
"""Timestamps that are further off the arrival clock, at their best, follow another one."""

_TAI_LESS_UTC = ((1_483_228_800, 37), (1_435_708_800, 36), (1_341_100_800, 35), (1_230_768_000, 34), (0, 33))
"""Start in Unix time and seconds, the latest first (IERS Bulletin C)."""
_NTP_EPOCH_SECONDS = -2_208_988_800
_GPS_EPOCH_SECONDS = 315_964_800
_TAI_LESS_GPS = 19


def seconds_to_add(medium: Media | None, host_clock: HostClock, unix_seconds: int) -> int | None:
    """Return what makes the host's time that of the reference clock since its epoch, around a moment.

    Parameters
    ----------
    medium
        What is announced; None, or one that names no clocks: PTP, as AES67 and ST 2110 have it.
    host_clock
        What arrival times count.
    unix_seconds
        The moment, in seconds since the Unix epoch: leap seconds depend on it.

    Returns
    -------
    int or None
        None where the media clock does not follow a clock that is known here.
    """
    clocks = medium.reference_clocks if medium else []
    if medium and medium.media_clock is not None and medium.media_clock.kind != "direct":
        return None
    leap = next(seconds for start, seconds in _TAI_LESS_UTC if unix_seconds >= start)
    to_tai = leap if host_clock == "utc" else 0
    for kind in [clock.kind for clock in clocks] or ["ptp"]:
        if kind == "ptp":
            return to_tai
        if kind in ("gps", "gal"):
            return to_tai - _TAI_LESS_GPS - _GPS_EPOCH_SECONDS
        if kind == "ntp":
            return to_tai - leap - _NTP_EPOCH_SECONDS
    return None


class Presentation(Rows):
    """Presentation leads of any number of streams; that of a fresh row is not measured.

    Parameters
    ----------
    table
        Where the rows of streams come from; None where the caller gives them out itself.

    Attributes
    ----------
    measures
        Whether the lead of any stream was ever to be measured.
    """

    FRESH: ClassVar = {
        "_rate": 0,
        "_epoch": 0,
        "_link_offset": 0.0,
        "_limit": 0.0,
        "_latest": np.nan,
        "_least": np.inf,
        "_nearest": np.inf,
        "_short": 0,
    }
    _rate: NDArray[np.int64]
    """Timestamp units a second; 0 where a stream's lead is not measured."""
    _epoch: NDArray[np.int64]
    """Timestamp at the Unix epoch of the arrival clock, as a whole number that does not wrap."""
    _link_offset: NDArray[np.float64]
    _limit: NDArray[np.float64]
    _latest: NDArray[np.float64]
    _least: NDArray[np.float64]
    _nearest: NDArray[np.float64]
    """Least distance of any timestamp to the arrival clock, seconds."""
    _short: NDArray[np.int64]

    def __init__(self, table: RowTable[Any] | None = None) -> None:
        self.measures = False
        super().__init__(table)

    def set(
        self, stream: int, rate_hz: int, add_seconds: int, offset: int, link_offset_seconds: float, least_seconds: float
    ) -> None:
        """Measure a stream's lead from its next packet on.

        Parameters
        ----------
        stream
            Index of the stream.
        rate_hz
            Clock rate: timestamp units a second; 0 where it is not known.
        add_seconds
            From :func:`seconds_to_add`.
        offset
            Timestamp at the reference clock's epoch.
        link_offset_seconds
            Time from sampling to presentation.
        least_seconds
            Packets with less lead are counted.
        """
        self.measures = True
        self._rate[stream] = rate_hz
        self._epoch[stream] = offset + add_seconds * rate_hz
        self._link_offset[stream], self._limit[stream] = link_offset_seconds, least_seconds

    def stop(self, stream: int) -> None:
        """Measure a stream's lead no more; what was measured stays.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        self._rate[stream] = 0

    def update(self, stream: NDArray[np.int64], timestamp: NDArray[np.int64], arrival_ns: NDArray[np.int64]) -> None:
        """Take packets in order of arrival: timestamps as on the wire, shape (n,).

        Parameters
        ----------
        stream
            Stream index of each packet, shape (n,).
        timestamp
            RTP timestamp of each packet as on the wire, shape (n,).
        arrival_ns
            Arrival of each packet in ns since the Unix epoch, shape (n,), in order.
        """
        known = self._rate[stream] > 0
        stream, timestamp, arrival_ns = stream[known], timestamp[known], arrival_ns[known]
        rate = self._rate[stream]
        seconds, rest_ns = np.divmod(arrival_ns, 1_000_000_000)
        whole, part = np.divmod(rest_ns * rate, 1_000_000_000)
        clock = seconds * rate + whole + self._epoch[stream]
        ahead = (timestamp - clock + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
        off = (ahead - part / 1e9) / rate
        lead = off + self._link_offset[stream]
        np.minimum.at(self._nearest, stream, np.abs(off))
        np.minimum.at(self._least, stream, lead)
        np.add.at(self._short, stream, lead < self._limit[stream])
        self._latest[stream] = lead

    def lead_seconds(self, stream: int) -> tuple[float, float] | None:
        """Return the lead of the latest packet and the least of all; None where there is none to speak of.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        tuple[float, float] or None
            Seconds of the latest packet and the least; negative where a packet came too late.
        """
        if not self._has(stream) or self._nearest[stream] > FAR_SECONDS:
            return None
        return float(self._latest[stream]), float(self._least[stream])

    def off_seconds(self, stream: int) -> float | None:
        """Return how far the timestamps are off the arrival clock, where they follow another one; else None.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            Seconds, of the packet that is nearest.
        """
        if not self._has(stream) or self._nearest[stream] <= FAR_SECONDS:
            return None
        return float(self._nearest[stream])

    def packets_short(self, stream: int) -> int | None:
        """Return how many packets had less than the least lead; None where there is none to speak of.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        int or None
            Packets.
        """
        return int(self._short[stream]) if self.lead_seconds(stream) is not None else None

    def _has(self, stream: int) -> bool:
        return not np.isnan(self._latest[stream])
