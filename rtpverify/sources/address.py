"""Where a live stream is received: ``rtp://[SENDER@]ADDRESS:PORT``."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from rtpverify.errors import RequestError

SCHEME = "rtp://"


@dataclass(frozen=True, slots=True)
class RtpAddress:
    """A unicast or multicast destination; ``sender`` makes it source-specific. Addresses are numeric, IPv4 or IPv6."""

    address: str
    port: int
    sender: str | None = None

    @property
    def destination(self) -> str:
        """``address:port``, as a flow writes it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def __str__(self) -> str:
        sender = f"[{self.sender}]" if self.sender and ":" in self.sender else self.sender
        return f"{SCHEME}{sender}@{self.destination}" if sender else f"{SCHEME}{self.destination}"


def parse_rtp_address(text: str) -> RtpAddress:
    """Read ``rtp://[SENDER@]ADDRESS:PORT``; an IPv6 address stands in brackets.

    Raises
    ------
    RequestError
        Where the text is no such thing; the message starts with the text.
    """
    if not text.startswith(SCHEME):
        raise RequestError(f"{text}: is not rtp://[SENDER@]ADDRESS:PORT")
    sender, at, destination = text.removeprefix(SCHEME).rpartition("@")
    address, _, port = destination.rpartition(":")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise RequestError(f"{text}: {port!r} is not a port from 1 to 65535")
    return RtpAddress(_numeric(address, text), int(port), _numeric(sender, text) if at else None)


def _numeric(address: str, text: str) -> str:
    """Return the canonical form of an IPv4 address or an IPv6 address in brackets."""
    bracketed = address.startswith("[") and address.endswith("]")
    try:
        numeric = ip_address(address[1:-1] if bracketed else address)
    except ValueError:
        raise RequestError(f"{text}: {address!r} is not a numeric address") from None
    if bracketed != (numeric.version == 6):
        raise RequestError(f"{text}: {address!r}: an IPv6 address, and no other, stands in brackets")
    return str(numeric)
