"""What senders and receivers report of themselves (RFC 3550 section 6).

:func:`parse_rtcp` reads compound packets and never raises on their content; what it cannot read it counts by reason.
:class:`SenderReports` compares a sender's reports with what arrived of its packets.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rtpverify.rtp.serial import wrap_difference

NTP_UNITS = 1 << 32
"""Units of an NTP timestamp in a second."""
MIN_DRIFT_SECONDS = 1.0
"""Time between two sender reports that it takes to show a drift."""
TOLERANCE_PACKETS = 4
"""Packets that may be on their way while a report comes, however few the reorder window holds."""


@dataclass(frozen=True, slots=True)
class ReceptionBlock:
    """What a receiver says of one sender (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    last_report: int
    delay_since_last_report: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """``ntp`` in units of 2**-32 s since 1900, ``timestamp`` as on the wire at that moment."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReceptionBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What a participant that does not send says of others."""

    ssrc: int
    blocks: tuple[ReceptionBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """Items of one source by their type (1 is the canonical name)."""

    ssrc: int
    items: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Bye:
    """Sources that leave, and why."""

    ssrcs: tuple[int, ...]
    reason: str = ""


Report = SenderReport | ReceiverReport | SourceDescription | Bye


@dataclass(slots=True)
class Compound:
    """The packets of one datagram, and how many could not be read, by reason: ``version``, ``truncated``, ``type``."""

    reports: list[Report] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)


def parse_rtcp(datagram: bytes) -> Compound:
    """Read a compound RTCP packet; what is cut off or unknown is counted.

    Parameters
    ----------
    datagram
        Payload of one UDP datagram.

    Returns
    -------
    Compound
        The reports that were read, and what was not.
    """
    found, at = Compound(), 0
    while at < len(datagram):
        if len(datagram) - at < 4:
            found.unread["truncated"] += 1
            break
        first, kind, words = struct.unpack_from(">BBH", datagram, at)
        if first >> 6 != 2:
            found.unread["version"] += 1
            break
        body = datagram[at + 4 : at + 4 + 4 * words]
        at += 4 + 4 * words
        if len(body) < 4 * words:
            found.unread["truncated"] += 1
            break
        if first & 0x20 and body:
            body = body[: max(len(body) - body[-1], 0)]
        try:
            _read(kind, first & 0x1F, body, found)
        except struct.error:
            found.unread["truncated"] += 1
    return found


def write_receiver_report(ssrc: int, blocks: Sequence[ReceptionBlock], cname: str) -> bytes:
    """Write a receiver report, up to 31 blocks, and the source description that must go with it.

    RFC 3550 section 6.1 wants both in every datagram.

    Parameters
    ----------
    ssrc
        SSRC of the receiver.
    blocks
        What is reported, one block a source.
    cname
        Canonical name of the receiver (RFC 3550 section 6.5.1).

    Returns
    -------
    bytes
        The compound packet.
    """
    report = struct.pack(">BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), ssrc)
    for block in blocks:
        loss = block.fraction_lost << 24 | block.cumulative_lost & 0xFFFFFF
        sequence, jitter = block.highest_sequence, block.jitter
        fields = block.ssrc, loss, sequence, jitter, block.last_report, block.delay_since_last_report
        report += struct.pack(">IIIIII", *fields)
    return report + _description(ssrc, cname)


def write_sender_report(report: SenderReport, cname: str) -> bytes:
    """Write a sender report without reception blocks (RFC 3550 section 6.4.1), and the sender's canonical name.

    Parameters
    ----------
    report
        The report.
    cname
        Canonical name of the sender (RFC 3550 section 6.5.1).

    Returns
    -------
    bytes
        The compound packet.
    """
    words = struct.pack(
        ">BBHIQIII",
        0x80,
        200,
        6,
        report.ssrc,
        report.ntp,
        report.timestamp & 0xFFFFFFFF,
        report.packets & 0xFFFFFFFF,
        report.octets & 0xFFFFFFFF,
    )
    return words + _description(report.ssrc, cname)


def write_goodbye(ssrc: int, cname: str) -> bytes:
    """Write what a participant says as it leaves: an empty report and a description before it, as in any datagram.

    Parameters
    ----------
    ssrc
        SSRC of the participant.
    cname
        Its canonical name (RFC 3550 section 6.5.1).

    Returns
    -------
    bytes
        The compound packet.
    """
    return write_receiver_report(ssrc, [], cname) + struct.pack(">BBHI", 0x81, 203, 1, ssrc)


def _description(ssrc: int, cname: str) -> bytes:
    """Write a source description of the canonical name alone."""
    item = struct.pack(">BB", 1, len(cname)) + cname.encode("ascii")
    item += bytes(4 - len(item) % 4)
    return struct.pack(">BBHI", 0x81, 202, 1 + len(item) // 4, ssrc) + item


def _read(kind: int, count: int, body: bytes, found: Compound) -> None:
    """Read one packet; raises struct.error where it is too short for what it says."""
    if kind == 200:
        ssrc, ntp, timestamp, packets, octets = struct.unpack_from(">IQIII", body)
        found.reports.append(SenderReport(ssrc, ntp, timestamp, packets, octets, _blocks(body, 24, count)))
    elif kind == 201:
        (ssrc,) = struct.unpack_from(">I", body)
        found.reports.append(ReceiverReport(ssrc, _blocks(body, 4, count)))
    elif kind == 202:
        found.reports += _descriptions(body, count)
    elif kind == 203:
        ssrcs = struct.unpack_from(f">{count}I", body)
        reason = body[4 * count + 1 :][: body[4 * count]] if len(body) > 4 * count else b""
        found.reports.append(Bye(ssrcs, reason.decode("utf-8", "replace")))
    else:
        found.unread["type"] += 1


def _blocks(body: bytes, start: int, count: int) -> tuple[ReceptionBlock, ...]:
    blocks = []
    for at in range(start, start + 24 * count, 24):
        ssrc, loss, highest, jitter, last, delay = struct.unpack_from(">IIIIII", body, at)
        lost = loss & 0xFFFFFF
        blocks.append(ReceptionBlock(ssrc, loss >> 24, lost - ((lost & 0x800000) << 1), highest, jitter, last, delay))
    return tuple(blocks)


def _descriptions(body: bytes, count: int) -> list[SourceDescription]:
    found, at = [], 0
    for _ in range(count):
        (ssrc,) = struct.unpack_from(">I", body, at)
        at += 4
        items = []
        while at < len(body) and body[at]:
            kind, length = struct.unpack_from(">BB", body, at)
            (text,) = struct.unpack_from(f">{length}s", body, at + 2)
            items.append((kind, text.decode("utf-8", "replace")))
            at += 2 + length
        at += 4 - at % 4  # at least one zero ends the items, up to the next word
        found.append(SourceDescription(ssrc, tuple(items)))
    return found


@dataclass(frozen=True, slots=True)
class Arrived:
    """What has arrived of a sender's packets when a report comes: the highest extended sequence number, and bytes."""

    sequence: int
    octets: int


class SenderReports:
    """The reports of one sender against its packets.

    Parameters
    ----------
    rate_hz
        Clock rate of the timestamps in its reports.

    Attributes
    ----------
    count
        Reports so far.
    last_ntp, last_arrival_ns
        Of the latest one.
    """

    def __init__(self, rate_hz: int) -> None:
        self.count = 0
        self.last_ntp = 0
        self.last_arrival_ns = 0
        self._rate_hz = rate_hz
        self._first: tuple[SenderReport, Arrived] | None = None
        self._last: tuple[SenderReport, Arrived] | None = None
        self._media_frames = 0

    def add(self, report: SenderReport, arrived: Arrived, arrival_ns: int) -> None:
        """Take in a report, with what had arrived before it.

        Parameters
        ----------
        report
            The report.
        arrived
            What had come of the sender's packets before it.
        arrival_ns
            When it arrived, in ns since the Unix epoch.
        """
        self.count += 1
        self.last_ntp, self.last_arrival_ns = report.ntp, arrival_ns
        if self._first is None or self._last is None:
            self._first = self._last = (report, arrived)
            return
        self._media_frames += wrap_difference(report.timestamp, self._last[0].timestamp, 32)
        self._last = (report, arrived)

    def start_over(self) -> None:
        """Compare nothing from here on with what was before: the sender's numbers broke."""
        self._first = self._last = None
        self._media_frames = 0

    @property
    def drift_ppm(self) -> float | None:
        """How fast the media clock runs against the sender's own NTP time; positive: fast."""
        if self._first is None or self._last is None:
            return None
        elapsed_seconds = (self._last[0].ntp - self._first[0].ntp) / NTP_UNITS
        if elapsed_seconds < MIN_DRIFT_SECONDS:
            return None
        return (self._media_frames / self._rate_hz / elapsed_seconds - 1.0) * 1e6

    @property
    def packets(self) -> tuple[int, int] | None:
        """Packets sent between the first and the latest report: as the sender says, and as sequence numbers show."""
        if self._first is None or self._last is None or self._first is self._last:
            return None
        said = (self._last[0].packets - self._first[0].packets) & 0xFFFFFFFF
        return said, self._last[1].sequence - self._first[1].sequence

    @property
    def octets(self) -> tuple[int, int] | None:
        """Payload bytes between the first and the latest report: as the sender says, and as arrived."""
        if self._first is None or self._last is None or self._first is self._last:
            return None
        said = (self._last[0].octets - self._first[0].octets) & 0xFFFFFFFF
        return said, self._last[1].octets - self._first[1].octets
