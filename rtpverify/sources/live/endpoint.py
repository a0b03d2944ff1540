"""Where RTP is received: ``rtp://[SENDER@]ADDRESS:PORT[?interface=eth0]``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from rtpverify.errors import ConfigurationError

SCHEME = "rtp://"
LOCALHOST = "127.0.0.1"
"""What ``localhost`` means; other names would take a resolver, and may mean several addresses."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port to receive on.

    Attributes
    ----------
    address
        IPv4 or IPv6, an address of this host, the unspecified one, or a multicast group.
    port
        1 to 65535.
    sender
        Only datagrams from this address; makes a multicast reception source-specific.
    interface
        Name or address of the network interface; None leaves the choice to the routing table.
    rtcp_port
        Where RTCP is received besides; None: only where it comes to the same port.
    """

    address: str
    port: int
    sender: str | None = None
    interface: str | None = None
    rtcp_port: int | None = None

    def with_rtcp(self, port: int | None = None) -> Endpoint:
        """Return the endpoint with RTCP on this port, or on the next one (RFC 3550 section 11) where there is one.

        Parameters
        ----------
        port
            UDP port; None: the next one.

        Returns
        -------
        Endpoint
            The endpoint; the same where there is no port left.
        """
        port = self.port + 1 if port is None else port
        return replace(self, rtcp_port=port if port != self.port and port <= 65535 else None)

    @property
    def parts(self) -> tuple[Endpoint, ...]:
        """What is to be bound: for RTP, and for RTCP where that has a port of its own."""
        rtp = replace(self, rtcp_port=None)
        return (rtp,) if self.rtcp_port is None else (rtp, replace(rtp, port=self.rtcp_port))

    @property
    def destination(self) -> str:
        """The ``address:port`` that flows of this endpoint carry (``[address]:port`` for IPv6)."""
        return join_address(self.address, self.port)

    @property
    def is_multicast(self) -> bool:
        """Whether the address is a group to join."""
        return ipaddress.ip_address(self.address).is_multicast

    @property
    def is_ipv6(self) -> bool:
        """Whether the address is IPv6."""
        return ":" in self.address

    def __str__(self) -> str:
        sender = "" if self.sender is None else f"{_bracket(self.sender)}@"
        interface = "" if self.interface is None else f"?interface={self.interface}"
        return f"{SCHEME}{sender}{self.destination}{interface}"


def join_address(address: str, port: int) -> str:
    """Write address and port as one text, IPv6 in brackets.

    Parameters
    ----------
    address
        Address, without port.
    port
        UDP port.

    Returns
    -------
    str
        ``address:port``, IPv6 in brackets.
    """
    return f"{_bracket(address)}:{port}"


def parse_endpoint(text: str, place: str = "SOURCE") -> Endpoint:
    """Read ``rtp://[SENDER@]ADDRESS:PORT[?interface=NAME_OR_ADDRESS]``; IPv6 is in brackets.

    Parameters
    ----------
    text
        The address.
    place
        What the text is a value of, for the message of an error.

    Returns
    -------
    Endpoint
        The endpoint.

    Raises
    ------
    ConfigurationError
        Where a part is missing or unusable; the message starts with ``place`` and names the value.
    RequestError
        Where it is none, with what is wrong.
    """
    where = f"{place}: {text!r}"
    if not text.startswith(SCHEME):
        raise ConfigurationError(f"{where} does not start with {SCHEME}")
    location, _, query = text.removeprefix(SCHEME).partition("?")
    sender_text, at, host_port = location.rpartition("@")
    host, colon, port_text = host_port.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")):
        raise ConfigurationError(f"{where} is not rtp://[SENDER@]ADDRESS:PORT (write an IPv6 address in brackets)")
    address, scope = _ip_address(host, where, "address")
    sender = _ip_address(sender_text, where, "sender")[0] if at else None
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text) <= 65535):
        raise ConfigurationError(f"{where}: port {port_text!r} is not a number from 1 to 65535")
    if sender is not None and (":" in sender) != (":" in address):
        raise ConfigurationError(f"{where}: sender {sender} and address {address} differ in IP version")
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    interface = options.pop("interface", scope)
    if options:
        raise ConfigurationError(f"{where}: unknown option {next(iter(options))!r}; known is interface")
    if interface == "":
        raise ConfigurationError(f"{where}: interface '' is empty")
    return Endpoint(address, int(port_text), sender, interface)


def _ip_address(text: str, where: str, part: str) -> tuple[str, str | None]:
    """Return an address in its canonical form, and its IPv6 scope."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    bare = LOCALHOST if bare.lower() == "localhost" else bare
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ConfigurationError(f"{where}: {part} {text!r} is not an IP address; names are not resolved") from None
    scope = getattr(address, "scope_id", None)
    return str(address).partition("%")[0], scope


def _bracket(address: str) -> str:
    return f"[{address}]" if ":" in address else address
