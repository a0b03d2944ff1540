"""Which endpoint takes a packet that passes, by where it is addressed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from rtpverify.sources.live.endpoint import Endpoint

_EVERY_ADDRESS = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - what endpoints call it


class Addressees:
    """Endpoints by address and port.

    Parameters
    ----------
    every_group
        Whether the unspecified address means groups, too: a socket would have to join them.

    Attributes
    ----------
    endpoints
        Those of each address and port.
    """

    def __init__(self, *, every_group: bool) -> None:
        self.endpoints: Mapping[tuple[str, int], Sequence[Endpoint]] = {}
        self._every_group = every_group

    def of(self, sender: str, address: str, port: int) -> tuple[str, frozenset[str] | None] | None:
        """Return the destination and senders of the endpoints that take what goes to an address.

        None where there are none, or a group was joined for other senders: a socket would not see that either.

        Parameters
        ----------
        sender
            Address of the sender.
        address, port
            Where it sends to.

        Returns
        -------
        tuple[str, frozenset[str] or None] or None
            What flows call the destination, and the senders that are taken (None: all).
        """
        parsed = ip_address(address)
        there = self.endpoints.get((address, port))
        if there is None and (self._every_group or not parsed.is_multicast):
            there = self.endpoints.get((_EVERY_ADDRESS[parsed.version], port))
        if not there:
            return None
        named = frozenset(endpoint.sender for endpoint in there if endpoint.sender is not None)
        senders = named if all(endpoint.sender is not None for endpoint in there) else None
        if parsed.is_multicast and senders is not None and sender not in senders:
            return None
        return there[0].destination, senders
