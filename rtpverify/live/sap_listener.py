"""Announced sessions (SAP, RFC 2974), heard in every group that can be joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtpverify.errors import RequestError
from rtpverify.rtp.sap import GROUPS, PORT, Announcement, SessionDirectory
from rtpverify.sources.joint_receiver import open_joint_receiver
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.receiver import Receiver
from rtpverify.sources.open_receiver import Backend
from rtpverify.sources.ring.tap import is_tap

if TYPE_CHECKING:
    from rtpverify.rtp.batch import PacketBatch


class SapListener:
    """Hears announcements in every group that can be joined; a context that holds its sockets.

    Parameters
    ----------
    interface
        Name or address of the interface, or a tap (``capture://eth1``); None: that of the route.
    backend
        What receives; None: what this system has.
    groups
        Multicast addresses to listen to.

    Attributes
    ----------
    directory
        What is announced.
    refused
        Why a group could not be joined, by group.

    Raises
    ------
    RequestError
        On entering, where not one group can be joined.
    """

    def __init__(
        self, interface: str | None = None, backend: Backend | None = None, groups: Sequence[str] = GROUPS
    ) -> None:
        self.directory = SessionDirectory()
        self.refused: dict[str, str] = {}
        self._interface = interface
        self._backend = backend
        self._groups = groups
        self._receivers: list[Receiver] = []

    def __enter__(self) -> SapListener:
        endpoints = [Endpoint(group, PORT, None, self._interface) for group in self._groups]
        # One each: a host without IPv6, or without a route to one group, hears the others. A tap joins none.
        for together in [endpoints] if is_tap(self._interface) else [[one] for one in endpoints]:
            try:
                self._receivers.append(open_joint_receiver(together, self._backend))
            except RequestError as error:
                self.refused |= {endpoint.address: str(error) for endpoint in together}
        if not self._receivers:
            raise RequestError(next(iter(self.refused.values())))
        return self

    def __exit__(self, *_: object) -> None:
        for receiver in self._receivers:
            receiver.close()

    def drain(self) -> list[Announcement]:
        """Take what has arrived, without waiting; return sessions that are new or have changed.

        Returns
        -------
        list of Announcement
            In order of arrival.
        """
        found = []
        for receiver in self._receivers:
            batch = receiver.drain()
            if batch is not None:
                found += [item for datagram in _datagrams(batch) if (item := self.directory.take(datagram))]
        return found


def _datagrams(batch: PacketBatch) -> list[bytes]:
    return [
        batch.arena[start : start + length].tobytes()
        for start, length in zip(batch.offset.tolist(), batch.length.tolist(), strict=True)
    ]
