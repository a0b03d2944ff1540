"""Text of a session description in, what it says of audio out.

What a receiver of audio needs is read: where the packets go, who sends them, how they are encoded, which clocks hold,
which media are copies of each other. Attributes that nothing here needs and media that are not audio are passed over.

Rule: a line that cannot be read costs what it says and nothing else. It is named in ``warnings`` and reading continues.
Only a medium without a place where its packets arrive cannot be received, and that one alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from rtpverify.errors import ConfigurationError
from rtpverify.rtp.payload import FORMATS, parse_rtpmap, static_encoding
from rtpverify.rtp.sdp import Connection, Media, MediaClock, ReferenceClock, SessionDescription, SourceFilter

MAX_PACKET_TIME_MS = 1000.0
MAX_WARNINGS = 32
"""Warnings of one description that are kept; what follows is counted. Anybody can announce anything."""

_AUDIO = "audio"
_LINE_TYPES = frozenset("vosiuepcbtrzkam")
"""Those of RFC 8866 section 5."""


@dataclass(slots=True)
class _Line:
    """One line; ``label`` is how messages call it."""

    place: str
    number: int
    type: str
    name: str
    value: str
    warnings: list[str]

    @property
    def label(self) -> str:
        return f"a={self.name}" if self.type == "a" else f"{self.type}="

    def error(self, reason: str) -> ConfigurationError:
        """Return the error that this line holds a bad value."""
        return ConfigurationError(f"{self.place}:{self.number}: {self.label}: {_shown(self.value)} {reason}")

    def warn(self, reason: str) -> None:
        """Note that a part of this line is not used."""
        self.warnings.append(str(self.error(reason)))


def _shown(text: str) -> str:
    """Write a value as messages show it: what steers a terminal escaped, and not all of a long one."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


def sdp_text(data: bytes) -> str:
    """Return the text of a description: UTF-8, or else Latin-1, in which old senders name their sessions.

    Parameters
    ----------
    data
        Bytes of a file or of a SAP message.

    Returns
    -------
    str
        The text.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_sdp(text: str, place: str) -> SessionDescription:
    """Read a session description.

    Parameters
    ----------
    text
        A description (RFC 8866).
    place
        File name or address, for messages.

    Returns
    -------
    SessionDescription
        What it says of audio; a line that cannot be read costs what it says.

    Raises
    ------
    ConfigurationError
        Where it is none: nothing starts it, or no medium is in it.
    """
    reading = _Reading(place)
    for line in _lines(text, place, reading.warnings):
        reading.take(line)
    return reading.description()


class _Reading:
    """A description as far as it has been read, line by line."""

    def __init__(self, place: str) -> None:
        self.warnings: list[str] = []
        self._place = place
        self._name = ""
        self._session = Media(line=0, port=0, protocol="", payload_types=())
        self._media: list[Media] = []
        self._others: list[str] = []
        self._current: Media | None = self._session
        """What lines are about now; None in a medium that is not audio."""
        self._other_mids: list[str] = []
        self._groups: list[_Line] = []
        self._nowhere: dict[int, str] = {}
        """Why a ``c=`` line gives no address, by the line of its medium, 0 for the session."""

    def take(self, line: _Line) -> None:
        """Read one more line."""
        current = self._current
        if line.type == "m":
            self._begin(line)
        elif line.type == "a" and line.name == "group":
            self._groups.append(line)
        elif current is None:
            if line.type == "a" and line.name == "mid":
                self._other_mids.append(line.value)
        elif line.type == "s":
            self._name = self._name or line.value
        elif line.type == "c":
            try:
                _take_connection(current, line)
            except ConfigurationError as error:
                self._nowhere[current.line] = str(error)
        elif line.type == "a" and line.name in _ATTRIBUTES:
            try:
                _ATTRIBUTES[line.name](current, line)
            except ConfigurationError as error:
                self.warnings.append(f"{error}; line ignored")

    def _begin(self, line: _Line) -> None:
        kind = next(iter(line.value.split()), "")
        if kind.lower() == _AUDIO:
            self._current = _parse_media(line)
            self._media.append(self._current)
        else:
            self._current = None
            self._others.append(kind)

    def description(self) -> SessionDescription:
        """Return what was read; raise ConfigurationError where no medium is in it."""
        if not self._media and not self._others:
            raise ConfigurationError(f"{self._place}: no m= line")
        for medium in self._media:
            _inherit(medium, self._session)
            self._place_medium(medium)
        mids = [*self._other_mids, *(medium.mid for medium in self._media if medium.mid)]
        duplicates = [found for line in self._groups if (found := _parse_group(line, mids))]
        keys = "comes with keys: if the sender encrypts, its audio cannot be decoded"
        self.warnings += [
            f"{self._place}:{medium.may_encrypt}: the medium of line {medium.line} {keys}"
            for medium in self._media
            if medium.may_encrypt and not medium.is_encrypted and not medium.unusable
        ]
        reasons = [medium.unusable for medium in self._media if medium.unusable]
        self.warnings += [f"{reason}; medium ignored" for reason in reasons]
        self.warnings += [f"{why}; line ignored" for why in self._nowhere.values() if why not in reasons]
        more = len(self.warnings) - MAX_WARNINGS
        if more > 0:
            self.warnings[MAX_WARNINGS:] = [f"{self._place}: {more} further lines could not be read"]
        return SessionDescription(self._name, self._media, self._others, duplicates, self.warnings)

    def _place_medium(self, medium: Media) -> None:
        """Note where no line says where a medium goes."""
        if medium.connection is None and medium.unusable is None:
            nothing = f"{self._place}:{medium.line}: no c= line says where this medium goes"
            medium.unusable = self._nowhere.get(medium.line) or self._nowhere.get(self._session.line) or nothing


def _lines(text: str, place: str, warnings: list[str]) -> Iterator[_Line]:
    """Take a description apart; empty lines are let through, and lines may be indented."""
    rows = [row.strip(" \t\0") for row in re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))]
    for number in range(_start(rows, place, warnings), len(rows) + 1):
        row = rows[number - 1]
        kind, separator, value = row.partition("=")
        kind = kind.rstrip()
        if not row:
            continue
        if not separator or len(kind) != 1 or kind not in _LINE_TYPES:
            what = "is not TYPE=VALUE with a type of one letter that session descriptions have"
            warnings.append(f"{place}:{number}: {_shown(row)} {what}; line ignored")
            continue
        if kind == "v":
            warnings.append(f"{place}:{number}: another session description begins here; it is ignored")
            return
        name = ""
        if kind == "a":
            name, _, value = value.partition(":")
        yield _Line(place, number, kind, name.strip().lower(), value.strip(), warnings)


def _start(rows: Sequence[str], place: str, warnings: list[str]) -> int:
    """Return the number of the first line after ``v=0``: programs and protocols put lines of their own before it."""
    start = next((number for number, row in enumerate(rows, 1) if re.match(r"v\s*=", row)), None)
    first = next((number for number, row in enumerate(rows, 1) if row), 1)
    if start is None:
        if not any(row.startswith("m=") for row in rows):
            shown = _shown(rows[first - 1][:40])
            raise ConfigurationError(f"{place}:{first}: no session description: starts with {shown}, not 'v=0'")
        warnings.append(f"{place}:{first}: starts with {_shown(rows[first - 1])}, not 'v=0'; accepted")
        return first
    if before := sum(map(bool, rows[: start - 1])):
        lines = "1 line" if before == 1 else f"{before} lines"
        warnings.append(f"{place}:{first}: {_shown(rows[first - 1])}: {lines} before v=0 ignored")
    version = rows[start - 1].partition("=")[2].strip()
    if version != "0":
        warnings.append(f"{place}:{start}: v=: {_shown(version)} is not 0, the only version there is; accepted")
    return start + 1


def _inherit(medium: Media, session: Media) -> None:
    """Let what the session says hold where the medium says nothing, and static payload types where no rtpmap does."""
    medium.connection = medium.connection or session.connection
    medium.source_filters = medium.source_filters or session.source_filters
    medium.reference_clocks = medium.reference_clocks or session.reference_clocks
    medium.media_clock = medium.media_clock or session.media_clock
    medium.ptime_ms = session.ptime_ms if medium.ptime_ms is None else medium.ptime_ms
    medium.framecount = medium.framecount or session.framecount
    for payload_type in medium.payload_types:
        encoding = static_encoding(payload_type)
        if encoding is not None and payload_type not in medium.rtpmaps:
            medium.encodings[payload_type] = encoding
    if medium.is_encrypted:
        medium.encodings = {}


def _integer(line: _Line, text: str, low: int, high: int, what: str) -> int:
    """Read a decimal number in ``low`` to ``high``."""
    if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise line.error(f"has {what} {_shown(text)}, which is not in {low} to {high}")
    return int(text)


def _parse_media(line: _Line) -> Media:
    """Read ``m=audio 5004 RTP/AVP 96 97`` (RFC 8866 section 5.14)."""
    port, ports, protocol, formats = 0, "", "", list[str]()
    unusable = None
    try:
        _, port_text, protocol, *formats = line.value.split()
        port_text, _, ports = port_text.partition("/")
        port = _integer(line, port_text, 0, 65535, "port")
        if port == 0:
            raise line.error("has port 0, which means that this medium is not in use")
        if not _is_rtp_over_udp(protocol):
            raise line.error(f"has protocol {_shown(protocol)}, which is not RTP over UDP")
    except ValueError:
        unusable = str(line.error("is not audio PORT PROTOCOL FORMAT..."))
    except ConfigurationError as error:
        unusable = str(error)
    if ports not in ("", "1"):
        line.warn("names several ports; only the first is read")
    payload_types = [int(text) for text in formats if re.fullmatch(r"[0-9]{1,3}", text) and int(text) <= 127]
    if len(payload_types) < max(len(formats), 1) and unusable is None:
        line.warn("does not name payload types from 0 to 127 alone; the others are ignored")
    return Media(line.number, port, protocol, tuple(payload_types), unusable)


def _is_rtp_over_udp(protocol: str) -> bool:
    """Return whether packets are RTP in UDP: ``RTP/AVP``, ``UDP/TLS/RTP/SAVPF``."""
    parts = protocol.upper().split("/")
    return "RTP" in parts and not {"TCP", "DCCP", "SCTP"} & {*parts}


def _ip_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _take_connection(medium: Media, line: _Line) -> None:
    """Read ``c=IN IP4 239.1.2.3/32`` (RFC 8866 section 5.7); of several addresses the first."""
    parts = line.value.split()
    found = ((known, rest) for text, _, rest in (part.partition("/") for part in parts) if (known := _ip_address(text)))
    address, rest = next(found, (None, ""))
    if address is None:
        raise line.error("holds no IP address; it would be IN IP4 ADDRESS or IN IP6 ADDRESS")
    if parts[:2] != ["IN", f"IP{address.version}"] or len(parts) != 3:
        line.warn(f"is not IN IP{address.version} ADDRESS; the address is used")
    numbers = rest.split("/") if rest else []
    ttl, count = None, numbers
    if address.version == 4:
        ttl, count = next(iter(numbers), None), numbers[1:]
    if not all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers) or (ttl and int(ttl) > 255):
        line.warn(f"has {_shown(rest)} after the address, which is neither a TTL nor a number of addresses")
        ttl = None
    elif any(int(number) > 1 for number in count):
        line.warn("names several addresses; only the first is read")
    if medium.connection is None:
        medium.connection = Connection(str(address), None if ttl is None else int(ttl))
    elif medium.connection.address != str(address):
        line.warn(f"is a second address; {medium.connection.address} stays")


def _parse_group(line: _Line, mids: Sequence[str]) -> tuple[str, ...]:
    """Read ``group:DUP primary secondary``; groups of other kinds are empty, as are those of one medium."""
    semantics, *named = line.value.split() or [""]
    if semantics != "DUP":
        return ()
    known = tuple(mid for mid in dict.fromkeys(named) if mid in mids)
    unknown = [_shown(mid) for mid in dict.fromkeys(named) if mid not in mids]
    nobody = f"names {', '.join(unknown)}, but no medium has that a=mid" if unknown else ""
    if len(known) < 2:
        line.warn(f"{nobody or 'does not name two media'}; line ignored")
        return ()
    if nobody:
        line.warn(f"{nobody}; that part ignored")
    return known


def _read_rtpmap(medium: Media, line: _Line) -> None:
    """Read ``rtpmap:98 L24/48000/8``."""
    if medium.line == 0:
        raise line.error("comes before the first m= line, so it belongs to no medium")
    number, text, *rest = [*line.value.split(), "", ""]
    payload_type = _integer(line, number, 0, 127, "payload type")
    if not re.fullmatch(r"[^/\s]+/[0-9]+(/\S*)?", text):
        raise line.error("is not PAYLOAD-TYPE NAME/RATE or PAYLOAD-TYPE NAME/RATE/CHANNELS")
    if any(rest):
        line.warn(f"continues after {_shown(text)}; the rest is ignored")
    text = text.rstrip("/")
    known = medium.rtpmaps.setdefault(payload_type, text)
    if known != text:
        raise line.error(f"is a second rtpmap of payload type {payload_type}; {known} stays")
    if medium.payload_types and payload_type not in medium.payload_types:
        line.warn(f"is of payload type {payload_type}, which the m= line does not name")
    if text.partition("/")[0].upper() in FORMATS:
        medium.encodings[payload_type] = parse_rtpmap(text, f"{line.place}:{line.number}: {line.label}")


def _read_fmtp(medium: Media, line: _Line) -> None:
    number, _, text = line.value.partition(" ")
    payload_type = _integer(line, number, 0, 127, "payload type")
    pairs = (item.strip().partition("=") for item in text.split(";") if item.strip())
    medium.format_parameters[payload_type] = {name.strip(): value.strip() for name, _, value in pairs}


def _read_ptime(medium: Media, line: _Line) -> None:
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", line.value) or not 0 < float(line.value) <= MAX_PACKET_TIME_MS:
        raise line.error(f"is not a packet time in ms above 0 and up to {MAX_PACKET_TIME_MS:g}")
    ptime_ms = float(line.value)
    if medium.ptime_ms not in (None, ptime_ms):
        raise line.error(f"is a second packet time; {medium.ptime_ms:g} ms stays")
    medium.ptime_ms = ptime_ms


def _read_keys(medium: Media, line: _Line) -> None:
    """Note that a medium comes with keys (RFC 4568, RFC 8122); they are nobody's business."""
    medium.may_encrypt = medium.may_encrypt or line.number


def _read_framecount(medium: Media, line: _Line) -> None:
    """Read ``framecount:48``, or the fewest and the most: ``framecount:48-768``."""
    low, dash, high = line.value.partition("-")
    fewest = _integer(line, low, 1, 65535, "frame count")
    medium.framecount = fewest, _integer(line, high, fewest, 65535, "frame count") if dash else fewest


def _read_source_filter(medium: Media, line: _Line) -> None:
    """Read ``source-filter: incl IN IP4 239.1.2.3 192.0.2.7`` (RFC 4570)."""
    parts = line.value.split()
    if len(parts) < 5 or parts[0] not in ("incl", "excl") or parts[1] != "IN" or parts[2] not in ("IP4", "IP6", "*"):
        raise line.error("is not incl or excl, IN IP4 or IN IP6, DESTINATION SOURCE...")
    mode, _, _, destination, *sources = parts
    found = [str(_ip_address(text) or "") for text in (destination, *sources)]
    if destination == "*":
        found[0] = destination
    if "" in found:
        raise line.error(f"has {_shown(parts[3 + found.index('')])}, which is not an address")
    medium.source_filters.append(SourceFilter(mode == "incl", found[0], tuple(found[1:])))


def _read_reference_clock(medium: Media, line: _Line) -> None:
    kind, _, detail = line.value.partition("=")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_:-]*", kind) or (kind in ("ptp", "ntp", "localmac") and not detail):
        raise line.error("is not a reference clock, such as ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:0")
    medium.reference_clocks.append(ReferenceClock(kind, detail))


def _read_media_clock(medium: Media, line: _Line) -> None:
    """Read ``mediaclk:direct=0``, with ``id=…`` before it and ``rate=…`` after it where they are."""
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
    """Read ``rtcp:53020``, with an address after it or without."""
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
    "crypto": _read_keys,
    "fingerprint": _read_keys,
    "framecount": _read_framecount,
    "source-filter": _read_source_filter,
    "ts-refclk": _read_reference_clock,
    "mediaclk": _read_media_clock,
    "mid": _read_mid,
    "ssrc-group": _read_ssrc_group,
    "rtcp": _read_rtcp,
    "rtcp-mux": _read_rtcp_mux,
}
