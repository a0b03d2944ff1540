"""Session descriptions (RFC 8866), as far as AES67 and ST 2110-30/31 senders write them.

What a receiver needs is read and checked: where the packets go, who sends them, how they are encoded, which clocks
hold, which media are copies of each other. Other lines are let through unread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from rtpverify.errors import ConfigurationError
from rtpverify.rtp.payload import FORMATS, Encoding, parse_rtpmap, static_encoding

MAX_PACKET_TIME_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Connection:
    """Where packets go (``c=``, RFC 8866 section 5.7); ``ttl`` is None for unicast and IPv6."""

    address: str
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """Senders allowed or, where not ``include``, refused (RFC 4570); ``destination`` is an address or ``*``."""

    include: bool
    destination: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReferenceClock:
    """What timestamps are locked to (``ts-refclk``, RFC 7273 section 4).

    ``kind`` is ``ptp``, ``ntp``, ``gps``, ``localmac``, …; ``detail`` what follows it, such as a PTP version,
    grandmaster and domain (``IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:0``); ``traceable`` a clock traceable to TAI.
    """

    kind: str
    detail: str

    @property
    def traceable(self) -> bool:
        """Whether the clock is said to be traceable to a global one."""
        return self.kind in ("gps", "gal", "glonass") or self.detail.split(":")[-1].strip("/") == "traceable"


@dataclass(frozen=True, slots=True)
class MediaClock:
    """How timestamps follow the reference clock (``mediaclk``, RFC 7273 section 5).

    ``offset`` is the timestamp at the reference clock's epoch where ``kind`` is ``direct``, and None where not stated.
    """

    kind: str
    offset: int | None


@dataclass(slots=True)
class Media:
    """One medium: its ``m=`` line and the attributes that hold for it, those of the session included."""

    line: int
    kind: str
    port: int
    protocol: str
    payload_types: tuple[int, ...]
    connection: Connection | None = None
    encodings: dict[int, Encoding] = field(default_factory=dict)
    """By payload type: from ``rtpmap``, or static. What cannot be decoded here is left out."""
    rtpmaps: dict[int, str] = field(default_factory=dict)
    format_parameters: dict[int, dict[str, str]] = field(default_factory=dict)
    ptime_ms: float | None = None
    framecount: int | None = None
    source_filters: list[SourceFilter] = field(default_factory=list)
    reference_clocks: list[ReferenceClock] = field(default_factory=list)
    media_clock: MediaClock | None = None
    mid: str | None = None
    duplicate_ssrcs: list[tuple[int, ...]] = field(default_factory=list)
    """Groups of SSRCs that carry the same (``ssrc-group:DUP``, RFC 7104)."""
    rtcp_port: int | None = None
    """Where RTCP goes (``rtcp``, RFC 3605; that of RTP where ``rtcp-mux``, RFC 5761); None: to the next port."""

    @property
    def destination(self) -> str | None:
        """``address:port`` as in :class:`rtpverify.rtp.batch.Flow`; None without a ``c=`` line."""
        if self.connection is None:
            return None
        address = self.connection.address
        return f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"

    @property
    def senders(self) -> tuple[str, ...]:
        """Addresses that may send here; empty where any may."""
        address = self.connection.address if self.connection else None
        return tuple(
            source
            for one in self.source_filters
            if one.include and one.destination in ("*", address)
            for source in one.sources
        )

    def packet_frames(self, encoding: Encoding) -> int | None:
        """Return the frames of a packet: ``framecount``, or ``ptime`` rounded, which often has two digits only."""
        if self.framecount is not None or self.ptime_ms is None:
            return self.framecount
        return round(self.ptime_ms * encoding.sample_rate_hz / 1000)

    def channel_order(self, payload_type: int) -> str | None:
        """Return the channel order (ST 2110-30 section 6.2.2), such as ``SMPTE2110.(ST)``."""
        return self.format_parameters.get(payload_type, {}).get("channel-order")


@dataclass(slots=True)
class SessionDescription:
    """A whole session."""

    name: str
    media: list[Media]
    duplicates: list[tuple[str, ...]]
    """Groups of ``mid`` that carry the same (``group:DUP``, RFC 7104; ST 2022-7)."""

    @property
    def audio(self) -> list[Media]:
        """The media that are audio and in use (port 0 means rejected)."""
        return [medium for medium in self.media if medium.kind == "audio" and medium.port]

    def medium(self, mid: str) -> Media:
        """Return the medium of this ``mid``."""
        return next(medium for medium in self.media if medium.mid == mid)


@dataclass(slots=True)
class _Line:
    """One line; ``label`` is how messages call it."""

    place: str
    number: int
    type: str
    name: str
    value: str

    @property
    def label(self) -> str:
        return f"a={self.name}" if self.type == "a" else f"{self.type}="

    def error(self, reason: str) -> ConfigurationError:
        """Return the error that this line holds a bad value."""
        return ConfigurationError(f"{self.place}:{self.number}: {self.label}: {self.value!r} {reason}")


def parse_sdp(text: str, place: str) -> SessionDescription:
    """Read a session description.

    Parameters
    ----------
    place
        File name or address, for messages.

    Raises
    ------
    ConfigurationError
        Where it is none, or an attribute read here is malformed or contradicts another; the message names place,
        line, attribute and value.
    """
    session = Media(line=0, kind="session", port=0, protocol="", payload_types=())
    media: list[Media] = []
    name = ""
    groups: list[_Line] = []
    for line in _lines(text, place):
        if line.type == "m":
            media.append(_parse_media(line))
        elif line.type == "c":
            (media[-1] if media else session).connection = _parse_connection(line)
        elif line.type == "s":
            name = line.value
        elif line.type == "a" and line.name == "group":
            groups.append(line)
        elif line.type == "a" and line.name in _ATTRIBUTES:
            _ATTRIBUTES[line.name](media[-1] if media else session, line)
    if not media:
        raise ConfigurationError(f"{place}: no m= line")
    for medium in media:
        _inherit(medium, session)
    return SessionDescription(name, media, [found for line in groups if (found := _parse_group(line, media))])


def _lines(text: str, place: str) -> Iterator[_Line]:
    """Take a description apart; empty lines at its end are let through."""
    rows = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff").rstrip("\r\n \t\0"))
    if rows[0].strip() != "v=0":
        raise ConfigurationError(f"{place}:1: no session description: starts with {rows[0][:40]!r}, not 'v=0'")
    for number, row in enumerate(rows, 1):
        kind, separator, value = row.partition("=")
        if not separator or len(kind) != 1 or not kind.isalpha():
            raise ConfigurationError(f"{place}:{number}: {row[:80]!r} is not TYPE=VALUE with a type of one letter")
        name = ""
        if kind == "a":
            name, _, value = value.partition(":")
        yield _Line(place, number, kind, name.strip(), value.strip())


def _inherit(medium: Media, session: Media) -> None:
    """Let what the session says hold where the medium says nothing, and static payload types where no rtpmap does."""
    medium.connection = medium.connection or session.connection
    medium.source_filters = medium.source_filters or session.source_filters
    medium.reference_clocks = medium.reference_clocks or session.reference_clocks
    medium.media_clock = medium.media_clock or session.media_clock
    medium.ptime_ms = session.ptime_ms if medium.ptime_ms is None else medium.ptime_ms
    for payload_type in medium.payload_types:
        encoding = static_encoding(payload_type)
        if encoding is not None and payload_type not in medium.rtpmaps:
            medium.encodings[payload_type] = encoding


def _integer(line: _Line, text: str, low: int, high: int, what: str) -> int:
    """Read a decimal number in ``low`` to ``high``."""
    if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise line.error(f"has {what} {text!r}, which is not in {low} to {high}")
    return int(text)


def _parse_media(line: _Line) -> Media:
    """Read ``m=audio 5004 RTP/AVP 96 97`` (RFC 8866 section 5.14)."""
    kind, *rest = line.value.split() or [""]
    if len(rest) < 3:
        raise line.error("is not MEDIA PORT PROTOCOL FORMAT...")
    port = _integer(line, rest[0].partition("/")[0], 0, 65535, "port")
    formats: tuple[int, ...] = ()
    if rest[1].startswith("RTP/"):
        formats = tuple(_integer(line, text, 0, 127, "payload type") for text in rest[2:])
    return Media(line.number, kind, port, rest[1], formats)


def _address(line: _Line, family: str, text: str) -> str:
    """Read an address of this family in its usual spelling; host names pass as they are."""
    try:
        address = ip_address(text)
    except ValueError:
        if (family == "IP4" and re.fullmatch(r"[0-9.]*", text)) or ":" in text or not text:
            raise line.error(f"has {text!r}, which is not an address") from None
        return text
    if f"IP{address.version}" != family:
        raise line.error(f"has {text!r}, which is not an address of {family}")
    return str(address)


def _network(line: _Line, network: str, family: str) -> None:
    """Check the network and address types."""
    if network != "IN" or family not in ("IP4", "IP6"):
        raise line.error("does not say IN IP4 or IN IP6")


def _parse_connection(line: _Line) -> Connection:
    """Read ``c=IN IP4 239.1.2.3/32`` (RFC 8866 section 5.7); of several addresses the first."""
    parts = line.value.split()
    if len(parts) != 3:
        raise line.error("is not IN IP4 ADDRESS or IN IP6 ADDRESS")
    network, family, text = parts
    _network(line, network, family)
    text, *numbers = text.split("/")
    address = _address(line, family, text)
    ttl = _integer(line, numbers[0], 0, 255, "TTL") if numbers and family == "IP4" else None
    return Connection(address, ttl)


def _parse_group(line: _Line, media: list[Media]) -> tuple[str, ...]:
    """Read ``group:DUP primary secondary``; groups of other kinds are empty."""
    semantics, *mids = line.value.split() or [""]
    if semantics != "DUP":
        return ()
    known = [medium.mid for medium in media]
    for mid in mids:
        if mid not in known:
            raise line.error(f"names {mid!r}, but no medium has that a=mid")
    if len(set(mids)) < 2:
        raise line.error("does not name two media")
    return tuple(mids)


def _read_rtpmap(medium: Media, line: _Line) -> None:
    number, _, text = line.value.partition(" ")
    payload_type = _integer(line, number, 0, 127, "payload type")
    text = text.strip()
    if payload_type in medium.rtpmaps:
        raise line.error(f"is a second rtpmap of payload type {payload_type}")
    if not re.fullmatch(r"[^/\s]+/[0-9]+(/\S+)?", text):
        raise line.error("is not PAYLOAD-TYPE NAME/RATE or PAYLOAD-TYPE NAME/RATE/CHANNELS")
    medium.rtpmaps[payload_type] = text
    if text.partition("/")[0].upper() in FORMATS:
        medium.encodings[payload_type] = parse_rtpmap(text, f"{line.place}:{line.number}: {line.label}")


def _read_fmtp(medium: Media, line: _Line) -> None:
    number, _, text = line.value.partition(" ")
    if medium.protocol.startswith("RTP/"):
        payload_type = _integer(line, number, 0, 127, "payload type")
        pairs = (item.strip().partition("=") for item in text.split(";") if item.strip())
        medium.format_parameters[payload_type] = {name.strip(): value.strip() for name, _, value in pairs}


def _read_ptime(medium: Media, line: _Line) -> None:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", line.value) or not 0 < float(line.value) <= MAX_PACKET_TIME_MS:
        raise line.error(f"is not a packet time in ms above 0 and up to {MAX_PACKET_TIME_MS:g}")
    medium.ptime_ms = float(line.value)


def _read_framecount(medium: Media, line: _Line) -> None:
    medium.framecount = _integer(line, line.value, 1, 65535, "frame count")


def _read_source_filter(medium: Media, line: _Line) -> None:
    """Read ``source-filter: incl IN IP4 239.1.2.3 192.0.2.7`` (RFC 4570)."""
    parts = line.value.split()
    if len(parts) < 5 or parts[0] not in ("incl", "excl"):
        raise line.error("is not incl or excl, IN IP4 or IN IP6, DESTINATION SOURCE...")
    mode, network, family, destination, *sources = parts
    if family == "*":
        family = "IP6" if ":" in sources[0] else "IP4"
    _network(line, network, family)
    if destination != "*":
        destination = _address(line, family, destination)
    found = tuple(_address(line, family, source) for source in sources)
    medium.source_filters.append(SourceFilter(mode == "incl", destination, found))


def _read_reference_clock(medium: Media, line: _Line) -> None:
    kind, _, detail = line.value.partition("=")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_:-]*", kind) or (kind in ("ptp", "ntp", "localmac") and not detail):
        raise line.error("is not a reference clock, such as ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:0")
    medium.reference_clocks.append(ReferenceClock(kind, detail))


def _read_media_clock(medium: Media, line: _Line) -> None:
    """Read ``mediaclk:direct=0``, with ``id=…`` before it and ``rate=…`` behind it where they are."""
    words = [word for word in line.value.split() if not word.startswith("id=")]
    kind, separator, offset = (words or [""])[0].partition("=")
    if not kind:
        raise line.error("is not a media clock, such as direct=0 or sender")
    if kind == "direct" and separator:
        medium.media_clock = MediaClock(kind, _integer(line, offset, 0, (1 << 32) - 1, "offset"))
    else:
        medium.media_clock = MediaClock(kind, None)


def _read_ssrc_group(medium: Media, line: _Line) -> None:
    """Read ``ssrc-group:DUP 1000 1010``; groups of other kinds are let through."""
    semantics, *numbers = line.value.split() or [""]
    if semantics != "DUP":
        return
    ssrcs = tuple(_integer(line, number, 0, (1 << 32) - 1, "SSRC") for number in numbers)
    if len(set(ssrcs)) < 2:
        raise line.error("does not name two SSRCs")
    medium.duplicate_ssrcs.append(ssrcs)


def _read_rtcp(medium: Media, line: _Line) -> None:
    """Read ``rtcp:53020``, with an address behind it or without."""
    port = _integer(line, (line.value.split() or [""])[0], 1, 65535, "port")
    medium.rtcp_port = port if medium.rtcp_port is None else medium.rtcp_port


def _read_rtcp_mux(medium: Media, _line: _Line) -> None:
    medium.rtcp_port = medium.port


def _read_mid(medium: Media, line: _Line) -> None:
    medium.mid = line.value


_ATTRIBUTES: dict[str, Callable[[Media, _Line], None]] = {
    "rtpmap": _read_rtpmap,
    "fmtp": _read_fmtp,
    "ptime": _read_ptime,
    "framecount": _read_framecount,
    "source-filter": _read_source_filter,
    "ts-refclk": _read_reference_clock,
    "mediaclk": _read_media_clock,
    "mid": _read_mid,
    "ssrc-group": _read_ssrc_group,
    "rtcp": _read_rtcp,
    "rtcp-mux": _read_rtcp_mux,
}
