"""What sockets would receive, read from a ring: the same endpoints, flows and counts, for less CPU time.

Sockets are opened all the same: they join groups, keep ports, and keep the kernel from answering that nobody listens;
but they take nothing. A packet counts as theirs where it came in for this host, untagged, on an interface that belongs
to no bridge or bond, whose own packets come again from that; or where this host sent it to a group, of which the kernel
gives its own sockets a copy.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.capture.datagrams import DatagramFinder
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.flow_table import MAX_FLOWS
from rtpverify.sources.live.sockets import RECEIVE_BUFFER_BYTES, SocketTable, interface_index
from rtpverify.sources.ring.addressees import Addressees
from rtpverify.sources.ring.packet_filter import attach, nothing_program, ports_program
from rtpverify.sources.ring.packet_ring import PacketRing
from rtpverify.sources.ring.receiver import HIDES_AUDIO, MAX_BATCH
from rtpverify.sources.ring.tap import EVERY_INTERFACE, Tap

_SMALLEST_BUFFER_BYTES = 4096
_RING_MB = 128
"""One ring has to last as long as the buffers of all sockets do: a second of 64 streams of 1 ms."""
_INTERFACES = Path("/sys/class/net")
_LOOK_AGAIN_NS = 1_000_000_000
"""How long what is known of interfaces is taken for right."""


class RingReceiver:
    """Receives on many endpoints at once; a :class:`rtpverify.sources.live.receiver.Receiver`. Linux only.

    Parameters
    ----------
    endpoints
        Where to receive.
    receive_buffer_bytes
        Size of the ring, where that is more than 128 MiB.
    max_flows
        Datagrams of further senders are discarded.

    Attributes
    ----------
    clear_ns
        A time, in ns since the Unix epoch, before which all that arrived was handed over; 0 before the first drain.

    Raises
    ------
    SourceError
        Where a socket or the ring cannot be opened; the message names the address, or says what to do.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        max_flows: int = MAX_FLOWS,
    ) -> None:
        self.clear_ns = 0
        self._abandoned = 0
        self._fill: float | None = None
        self._sockets = SocketTable(_SMALLEST_BUFFER_BYTES)
        self._addressees = Addressees(every_group=False)
        self._finder = DatagramFinder(max_flows, self._addressees.of)
        self._discarded: Counter[str] = Counter()
        self._is_through: dict[tuple[int, int], bool] = {}
        """Whether a flow is received at an interface, by both their numbers."""
        self._has_master: dict[int, bool] = {}
        self._asked_ns = 0
        ring_mb = max(_RING_MB, receive_buffer_bytes >> 20)
        self._ring = PacketRing(Tap(EVERY_INTERFACE, ring_mb=ring_mb, outgoing=True), nothing_program())
        try:
            self.add(endpoints)
        except SourceError:
            self.close()
            raise

    @property
    def flows(self) -> list[Flow]:
        """Every flow seen so far; it grows until some are forgotten."""
        return self._finder.flows

    def keep_flows(self, numbers: Iterable[int]) -> None:
        """Forget all flows but these; from the next batch on, they are numbered by their place here.

        Parameters
        ----------
        numbers
            Their present numbers, ascending.
        """
        self._finder.keep_flows(numbers)
        self._is_through.clear()

    @property
    def discarded(self) -> Counter[str]:
        """Datagrams that came and were thrown away, by reason."""
        reasons = (*HIDES_AUDIO, "sender")
        skipped = self._finder.skipped
        return self._discarded + Counter({reason: skipped[reason] for reason in reasons})

    @property
    def dropped(self) -> int:
        """Packets this host dropped, the ring being full; asks the kernel."""
        self._ring.count_dropped()
        return self._ring.dropped + self._abandoned

    def dropped_to(self) -> dict[str, int]:
        """Return what this host dropped so far: whose packets they were, a ring does not know.

        Returns
        -------
        dict of str to int
            Packets, under ``""``.
        """
        return {"": self.dropped}

    @property
    def receive_buffer_bytes(self) -> int:
        """The size of the ring."""
        return self._ring.slots * self._ring.tap.slot_bytes

    def take_fill(self) -> float | None:
        """Return which part of the ring was full before it was read, the most since the last call.

        Returns
        -------
        float or None
            From 0 to 1; None where nothing was read since.
        """
        fill, self._fill = self._fill, None
        return fill

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive on more endpoints, or, where one of them cannot be opened, on none of them.

        Parameters
        ----------
        endpoints
            Where to receive.

        Raises
        ------
        SourceError
            Where one cannot be opened.
        """
        opened, _ = self._sockets.add(endpoints)
        for number in opened:
            attach(self._sockets[number].socket, nothing_program())
        self._places_changed()

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive no longer on endpoints that were added; the others lose nothing.

        Parameters
        ----------
        endpoints
            What was given before.
        """
        needless, _ = self._sockets.remove(endpoints)
        for number in needless:
            self._sockets.close(number)
        self._places_changed()

    def _places_changed(self) -> None:
        endpoints: dict[tuple[str, int], list[Endpoint]] = {}
        for item in self._sockets:
            endpoints.setdefault((item.endpoint.address, item.endpoint.port), []).extend(item.endpoints)
        self._addressees.endpoints = endpoints
        self._finder.places_changed()
        self._is_through.clear()
        self._ring.pass_only(ports_program(port for _, port in endpoints))

    def drain(self) -> PacketBatch | None:
        """Take what has arrived, without waiting; None where nothing has.

        Returns
        -------
        PacketBatch
            In order of arrival, at most 4096 datagrams: after a full batch more may be waiting. Its arena is the
            kernel's again after the next call; copy what is to be kept.
        """
        now_ns, ring = time.time_ns(), self._ring
        count = ring.take(MAX_BATCH)
        self._fill = max(self._fill or 0.0, count / ring.slots)
        self.clear_ns = max(self.clear_ns, ring.clear_ns(now_ns))
        if not count:
            return None
        dropped, interfaces = ring.host_dropped(), ring.interfaces()
        if now_ns - self._asked_ns > _LOOK_AGAIN_NS:
            self._has_master.clear()
            self._asked_ns = now_ns
        ours = np.flatnonzero(ring.for_this_host() & ~self._belong_to_others(interfaces))
        batch, rows = self._finder.find(ring.arena, ring.records().take(ours))
        rows = ours[rows]
        if dropped is not None:
            batch.host_dropped = dropped[rows]
        kept = self._kept(batch, interfaces[rows])
        if len(kept) < len(batch):
            batch = batch.take(kept)
        return batch if len(batch) else None

    def _kept(self, batch: PacketBatch, interfaces: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return which datagrams are whole and came through the interface that is asked for, as indices."""
        kept = np.ones(len(batch), np.bool_)
        if batch.cut_bytes is not None:
            kept = batch.cut_bytes == 0
            self._discarded["truncated"] += int(np.count_nonzero(~kept))
        if any(item.endpoint.interface is not None for item in self._sockets):
            pairs = batch.flow << 32 | interfaces
            for pair in np.unique(pairs).tolist():
                if not self._comes_through(pair >> 32, pair & 0xFFFFFFFF):
                    kept &= pairs != pair
        return np.flatnonzero(kept)

    def _comes_through(self, flow: int, interface: int) -> bool:
        """Return whether a flow is received at an interface."""
        known = self._is_through.get((flow, interface))
        if known is None:
            address, _, port = self.flows[flow].destination.rpartition(":")
            there = self._addressees.endpoints.get((address.strip("[]"), int(port)), [])
            wanted = {None if one.interface is None else _index(one.interface) for one in there}
            known = self._is_through[flow, interface] = None in wanted or interface in wanted
        return known

    def _belong_to_others(self, interfaces: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return whether each interface is part of a bridge or bond, shape (n,)."""
        found = np.zeros(len(interfaces), np.bool_)
        for index in np.unique(interfaces).tolist():
            if index not in self._has_master:
                self._has_master[index] = _has_master(index)
            if self._has_master[index]:
                found |= interfaces == index
        return found

    def abandon(self, until_ns: int) -> None:
        """Throw away what arrived before a time and still waits; it counts as dropped by this host.

        Parameters
        ----------
        until_ns
            In ns since the Unix epoch.
        """
        while self.clear_ns < until_ns and (batch := self.drain()) is not None:
            self._abandoned += int(np.count_nonzero(batch.arrival_ns < until_ns))

    def close(self) -> None:
        """Close the sockets and the ring. May be called twice."""
        self._sockets.close_all()
        self._ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _index(interface: str) -> int:
    """Return the index of an interface given by name or address; 0 where it is gone."""
    try:
        return interface_index(interface)
    except OSError:
        return 0


def _has_master(index: int) -> bool:
    """Return whether an interface is part of another one."""
    try:
        return (_INTERFACES / socket.if_indextoname(index) / "master").exists()
    except OSError:
        return False
