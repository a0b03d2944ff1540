"""What a live receiver offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol, Self

from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.live.endpoint import Endpoint


class LiveInput(Protocol):
    """What takes in packets as they come, and is drained on a tick.

    Attributes
    ----------
    clear_ns
        A time, in ns since the Unix epoch, before which all that arrived was handed over; 0 before the first drain.
    """

    clear_ns: int

    @property
    def discarded(self) -> Counter[str]:
        """Datagrams that came and were thrown away, by reason."""

    @property
    def flows(self) -> list[Flow]:
        """Every flow seen so far; it grows until some are forgotten."""

    def keep_flows(self, numbers: Iterable[int]) -> None:
        """Forget all flows but these; from the next batch on, they are numbered by their place here.

        Parameters
        ----------
        numbers
            Present numbers of the flows that are kept; their place here is the new number.
        """

    @property
    def dropped(self) -> int:
        """Packets this host lost after the network had delivered them."""

    @property
    def receive_buffer_bytes(self) -> int:
        """The smallest receive buffer granted, as the kernel accounts it."""

    def take_fill(self) -> float | None:
        """Return which part of a receive buffer was full before it was read, the most since the last call.

        Every drain asks one socket, in turn. None where the system does not show.

        Returns
        -------
        float or None
            From 0 to 1; None where nothing was read, or the system does not show.
        """

    def drain(self) -> PacketBatch | None:
        """Take what has arrived, without waiting; None where nothing has. The next call may overwrite the arena.

        Returns
        -------
        PacketBatch or None
            Datagrams in order of arrival.
        """

    def abandon(self, until_ns: int) -> None:
        """Throw away what arrived before a time and still waits; it counts as dropped by this host.

        Parameters
        ----------
        until_ns
            In ns since the Unix epoch.
        """

    def dropped_to(self) -> dict[str, int]:
        """Return what this host dropped so far by the destination of its sockets; ``""``: of any destination.

        Returns
        -------
        dict[str, int]
            Packets, by ``address:port``.
        """

    def close(self) -> None:
        """Close it. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Receiver(LiveInput, Protocol):
    """A set of open sockets."""

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive on more endpoints; SourceError where one cannot be opened, and then none is added.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive no longer on endpoints that were added; the others lose nothing.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
