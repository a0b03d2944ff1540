"""Session announcements (SAP, RFC 2974): datagrams in, the sessions that are announced out.

Rules: a datagram is an announcement or is counted under one reason; nothing raises on its content. An announcement is
known by its originating source and message identifier hash; another one of the same ``o=`` line takes its place. What
is kept is bounded.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address

from rtpverify.errors import ConfigurationError
from rtpverify.rtp.sdp import SessionDescription
from rtpverify.rtp.sdp_reader import parse_sdp, sdp_text

PORT = 9875
GROUPS = ("224.2.127.254", "239.255.255.255", "ff02::2:7ffe", "ff05::2:7ffe", "ff08::2:7ffe", "ff0e::2:7ffe")
"""Global and administratively scoped IPv4; link-local, site, organisation and global IPv6 (RFC 2974 section 3)."""
MAX_TEXT_BYTES = 1 << 16
"""Longest description, decompressed: a small datagram must not take large memory."""
MAX_SESSIONS = 1024

_MIME_TYPE = b"application/sdp"


@dataclass(frozen=True, slots=True)
class Message:
    """One SAP packet.

    Attributes
    ----------
    origin
        Address of the originating source.
    identifier
        Message identifier hash; changes with the content.
    deletes
        Whether it ends the session.
    authenticated
        Whether authentication data came with it; it is not checked.
    text
        The description; of a deletion at least its ``o=`` line, or nothing.
    """

    origin: str
    identifier: int
    deletes: bool
    authenticated: bool
    text: str

    @property
    def place(self) -> str:
        """Where lines of the description are, for messages: by whom it is announced, and its name."""
        return f"announced by {self.origin} as {_field(self.text, 's')!r}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A session that is announced, with the packet that said so."""

    message: Message
    description: SessionDescription
    owner: str
    """The ``o=`` line without its version: what makes two descriptions one session (RFC 8866 section 5.2)."""

    @property
    def name(self) -> str:
        """The ``s=`` line."""
        return self.description.name


def parse_sap(datagram: bytes) -> Message | str:
    """Read a SAP packet (RFC 2974 section 6); return the reason where it cannot be read.

    Reasons: ``short``, ``version``, ``encrypted``, ``compression`` (not zlib, cut off, or of more than 64 KiB),
    ``type`` (no SDP).

    Parameters
    ----------
    datagram
        Payload of one UDP datagram.

    Returns
    -------
    Message or str
        The message, or why it cannot be read.
    """
    if len(datagram) < 8:
        return "short"
    flags = datagram[0]
    if flags >> 5 != 1:
        return "version"
    address_bytes = 16 if flags & 0x10 else 4
    start = 4 + address_bytes + 4 * datagram[1]
    if len(datagram) < start:
        return "short"
    if flags & 0x02:
        return "encrypted"
    payload = datagram[start:]
    if flags & 0x01:
        inflated = _inflated(payload)
        if inflated is None:
            return "compression"
        payload = inflated
    # The payload type was not there in the first version, and may be omitted.
    if not payload.startswith((b"v=0", b"o=")) and payload:
        mime_type, zero, payload = payload.partition(b"\0")
        if not zero or mime_type.lower() != _MIME_TYPE:
            return "type"
    return Message(
        origin=str(ip_address(datagram[4 : 4 + address_bytes])),
        identifier=int.from_bytes(datagram[2:4], "big"),
        deletes=bool(flags & 0x04),
        authenticated=datagram[1] > 0,
        text=sdp_text(payload),
    )


def write_sap(origin: str, text: str, *, deletes: bool = False) -> bytes:
    """Write an announcement, or the deletion, of a description (RFC 2974 section 6), without compression.

    Parameters
    ----------
    origin
        Address of the announcing host.
    text
        The description.
    deletes
        Whether the session is withdrawn.

    Returns
    -------
    bytes
        The datagram.
    """
    source = ip_address(origin)
    first = 1 << 5 | (0x10 if source.version == 6 else 0) | (0x04 if deletes else 0)
    identifier = zlib.crc32(text.encode()) & 0xFFFF or 1
    return struct.pack(">BBH", first, 0, identifier) + source.packed + _MIME_TYPE + b"\0" + text.encode()


def group_for(address: str) -> str:
    """Return the group in which a session at an address is announced (RFC 2974 section 3): that of its scope.

    Parameters
    ----------
    address
        Address that the session's packets are sent to.

    Returns
    -------
    str
        The multicast address.
    """
    destination = ip_address(address)
    if destination.version == 6:
        scope = int(address.split(":", maxsplit=1)[0][-1], 16) if destination.is_multicast else 0xE
        return f"ff0{scope:x}::2:7ffe"
    is_administrative = address.startswith("239.")
    return GROUPS[1] if is_administrative else GROUPS[0]


def _inflated(payload: bytes) -> bytes | None:
    """Return what was compressed (RFC 1950); None where it was not, or is too much."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(payload, MAX_TEXT_BYTES + 1)
    except zlib.error:
        return None
    return data if stream.eof and len(data) <= MAX_TEXT_BYTES else None


class SessionDirectory:
    """The sessions that are announced.

    Parameters
    ----------
    max_sessions
        Sessions that are kept at a time; further ones are counted.

    Attributes
    ----------
    sessions
        By owner, in order of first announcement.
    discarded
        Packets that announced nothing, by reason: those of :func:`parse_sap`, ``sdp`` (no session description),
        ``full`` (more sessions than are kept), ``unknown`` (deletes what was not announced).
    mistakes
        What is wrong with descriptions, one line each, bounded.
    """

    MAX_MISTAKES = 16

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self.sessions: dict[str, Announcement] = {}
        self.discarded: Counter[str] = Counter()
        self.mistakes: dict[str, None] = {}
        self._max_sessions = max_sessions

    def take(self, datagram: bytes) -> Announcement | None:
        """Take a datagram; return the session where it is new or has changed.

        Parameters
        ----------
        datagram
            Payload of one UDP datagram.

        Returns
        -------
        Announcement or None
            The session; None where the datagram says nothing new, or is no SAP.
        """
        message = parse_sap(datagram)
        if isinstance(message, str):
            self.discarded[message] += 1
            return None
        if message.deletes:
            self._delete(message)
            return None
        owner = _owner(message)
        known = self.sessions.get(owner)
        if known is not None and known.message == message:
            return None
        if known is None and len(self.sessions) >= self._max_sessions:
            self.discarded["full"] += 1
            return None
        try:
            description = parse_sdp(message.text, message.place)
        except ConfigurationError as error:
            self.discarded["sdp"] += 1
            if len(self.mistakes) < self.MAX_MISTAKES:
                self.mistakes[str(error)] = None
            return None
        announcement = Announcement(message, description, owner)
        self.sessions[owner] = announcement
        return announcement

    def _delete(self, message: Message) -> None:
        """Forget a session that ends: only its own source may say so."""
        for owner, known in self.sessions.items():
            same_source = known.message.origin == message.origin
            if same_source and (known.message.identifier == message.identifier or owner == _owner(message)):
                del self.sessions[owner]
                return
        self.discarded["unknown"] += 1


def _owner(message: Message) -> str:
    """Return the ``o=`` line less its version, with the source: others cannot take its place."""
    line = _field(message.text, "o")
    fields = line.split()
    identity = fields[:2] + fields[3:] if len(fields) == 6 else [line or f"{message.identifier:04x}"]
    return " ".join([message.origin, *identity])


def _field(text: str, kind: str) -> str:
    """Return the first line of a type, without that; nothing where there is none."""
    return next((row[2:].strip() for row in text.splitlines() if row.startswith(f"{kind}=")), "")
