"""Session descriptions (RFC 8866), as far as AES67 and ST 2110-30/31 senders write them: what one says.

:mod:`rtpverify.rtp.sdp_reader` reads it from text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtpverify.rtp.payload import Encoding, static_name


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
    """One audio medium: its ``m=`` line and the attributes that hold for it, those of the session included."""

    line: int
    port: int
    protocol: str
    payload_types: tuple[int, ...]
    unusable: str | None = None
    """Why it cannot be received, with its place; None where it can."""
    connection: Connection | None = None
    encodings: dict[int, Encoding] = field(default_factory=dict)
    """By payload type: from ``rtpmap``, or static. What cannot be decoded here is omitted."""
    rtpmaps: dict[int, str] = field(default_factory=dict)
    format_parameters: dict[int, dict[str, str]] = field(default_factory=dict)
    ptime_ms: float | None = None
    framecount: tuple[int, int] | None = None
    """Fewest and most frames of a packet: the same where the sender names one number (RAVENNA)."""
    source_filters: list[SourceFilter] = field(default_factory=list)
    reference_clocks: list[ReferenceClock] = field(default_factory=list)
    media_clock: MediaClock | None = None
    mid: str | None = None
    duplicate_ssrcs: list[tuple[int, ...]] = field(default_factory=list)
    """Groups of SSRCs that carry the same (``ssrc-group:DUP``, RFC 7104)."""
    may_encrypt: int = 0
    """Line on which the sender of an unencrypted profile offers keys (``crypto``, ``fingerprint``); 0: on none."""
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
        address = self.connection.address if self.connection else ""
        return tuple(
            source
            for one in self.source_filters
            if one.include and one.destination in ("*", address)
            for source in one.sources
            if (":" in source) == (":" in address)
        )

    @property
    def is_encrypted(self) -> bool:
        """Whether the payload is encrypted (SRTP, RFC 3711): ``RTP/SAVP``, ``UDP/TLS/RTP/SAVPF``."""
        return "SAVP" in self.protocol.upper()

    @property
    def is_decodable(self) -> bool:
        """Whether the audio of any payload type can be decoded."""
        return bool(self.encodings)

    def why_undecodable(self, payload_type: int | None = None) -> str:
        """Say why a payload type cannot be decoded; of several, or of the medium, why none can.

        Parameters
        ----------
        payload_type
            RTP payload type; None for those of the whole medium.

        Returns
        -------
        str
            A clause for a message.
        """
        if self.is_encrypted:
            return f"the payload is encrypted ({self.protocol})"
        if payload_type is not None and payload_type not in self.rtpmaps:
            name = static_name(payload_type)
            return f"payload type {payload_type}: " + (f"{name} is not supported" if name else "encoding unknown")
        asked = self.rtpmaps if payload_type is None else {payload_type: self.rtpmaps[payload_type]}
        if not asked:
            return "no valid a=rtpmap line describes its encoding"
        named = ", ".join(f"{number} ({text})" for number, text in asked.items())
        return f"payload type {named} is not supported" if len(asked) == 1 else f"none of {named} is decoded here"

    def packet_frames(self, encoding: Encoding) -> tuple[int, int] | None:
        """Return the fewest and most frames of a packet.

        ``framecount`` is exact, where it is one number; ``ptime`` often has two digits only and is rounded.

        Parameters
        ----------
        encoding
            Its sample rate is what packet times in ms are counted in.

        Returns
        -------
        tuple[int, int] or None
            Fewest and most frames; None where no packet time is stated.
        """
        if self.ptime_ms is None or (self.framecount is not None and self.framecount[0] == self.framecount[1]):
            return self.framecount
        frames = round(self.ptime_ms * encoding.sample_rate_hz / 1000)
        return frames, frames

    def channel_order(self, payload_type: int) -> str | None:
        """Return the channel order (ST 2110-30 section 6.2.2), such as ``SMPTE2110.(ST)``.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        str or None
            None where it is not stated.
        """
        return self.format_parameters.get(payload_type, {}).get("channel-order")


@dataclass(slots=True)
class SessionDescription:
    """A whole session.

    Attributes
    ----------
    name
        Its ``s=`` line.
    media
        The audio media, those that cannot be received included.
    others
        What the media are that are not audio: ``video``, ``application``, …
    duplicates
        Groups of ``mid`` that carry the same (``group:DUP``, RFC 7104; ST 2022-7), each of at least two.
    warnings
        What could not be read, one line each with place, line number and value, in order of lines.
    """

    name: str
    media: list[Media]
    others: list[str]
    duplicates: list[tuple[str, ...]]
    warnings: list[str]

    @property
    def audio(self) -> list[Media]:
        """The audio media that can be received."""
        return [medium for medium in self.media if medium.unusable is None]

    def medium(self, mid: str) -> Media:
        """Return the audio medium of this ``mid``.

        Parameters
        ----------
        mid
            Value of ``a=mid`` (RFC 5888).

        Returns
        -------
        Media
            The medium.

        Raises
        ------
        RequestError
            Where there is none of that name.
        """
        return next(medium for medium in self.media if medium.mid == mid)
