"""Session descriptions (RFC 8866) of streams that are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from rtpverify.rtp.payload import Encoding


@dataclass(frozen=True, slots=True)
class DescribedStream:
    """One stream, as a description has it.

    Attributes
    ----------
    destinations
        Address and port; two of them are legs that carry the same packets (ST 2022-7).
    senders
        Where each leg comes from; it becomes a source filter of a multicast group.
    has_rtcp
        Whether RTCP goes to the next port.
    """

    name: str
    destinations: tuple[tuple[str, int], ...]
    senders: tuple[str, ...]
    payload_type: int
    encoding: Encoding
    packet_frames: int
    ttl: int
    has_rtcp: bool = False


def write_sdp(name: str, session_id: int, streams: Sequence[DescribedStream]) -> str:
    """Return a description of streams, with CRLF at the end of each line.

    Parameters
    ----------
    name
        Of the session.
    session_id
        What distinguishes it from other sessions of this host, such as the time at which it began.
    streams
        The streams, one medium each.

    Returns
    -------
    str
        The description.
    """
    origin = streams[0].senders[0]
    lines = ["v=0", f"o=- {session_id} {session_id} {_net(origin)}", f"s={name}", "t=0 0"]
    groups = [stream for stream in streams if len(stream.destinations) > 1]
    lines += [f"a=group:DUP {' '.join(_mids(streams, stream))}" for stream in groups]
    for stream in streams:
        mids = _mids(streams, stream) if len(stream.destinations) > 1 else [""]
        for (address, port), sender, mid in zip(stream.destinations, stream.senders, mids, strict=True):
            lines += _medium(stream, address, port, sender, mid)
    return "\r\n".join(lines) + "\r\n"


def _mids(streams: Sequence[DescribedStream], stream: DescribedStream) -> list[str]:
    """Return the identifications of a stream's legs (RFC 5888)."""
    number = list(streams).index(stream) + 1
    return [f"{number}{leg}" for leg in "ab"[: len(stream.destinations)]]


def _medium(stream: DescribedStream, address: str, port: int, sender: str, mid: str) -> list[str]:
    encoding, number = stream.encoding, stream.payload_type
    ip = ip_address(address)
    ttl = f"/{stream.ttl}" if ip.is_multicast and ip.version == 4 else ""
    packet_time_ms = 1000 * stream.packet_frames / encoding.sample_rate_hz
    lines = [
        f"m=audio {port} RTP/AVP {number}",
        f"i={stream.name}",
        f"c={_net(address)}{ttl}",
        f"a=rtpmap:{number} {encoding}",
        f"a=ptime:{packet_time_ms:.12g}",
        f"a=framecount:{stream.packet_frames}",
        "a=sendonly",
    ]
    if ip.is_multicast and not ip_address(sender).is_unspecified:
        lines.append(f"a=source-filter: incl {_net(address)} {sender}")
    if stream.has_rtcp:
        lines.append(f"a=rtcp:{port + 1}")
    return [*lines, f"a=mid:{mid}"] if mid else lines


def _net(address: str) -> str:
    return f"IN IP{ip_address(address).version} {address}"
