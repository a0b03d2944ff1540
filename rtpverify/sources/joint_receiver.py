"""Endpoints at sockets, and endpoints that are taken from taps, as one receiver.

An endpoint whose interface is a tap (``capture://eth1``) is not received by this host: its packets are picked from all
that passes there. The endpoints of one tap share its ring. One input is drained at a time, in turn.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np

from rtpverify.errors import SourceError
from rtpverify.sources.live.sockets import RECEIVE_BUFFER_BYTES
from rtpverify.sources.open_receiver import open_receiver
from rtpverify.sources.ring.tap import is_tap, parse_taps

if TYPE_CHECKING:
    from rtpverify.rtp.batch import Flow, PacketBatch
    from rtpverify.sources.live.endpoint import Endpoint
    from rtpverify.sources.live.receiver import LiveInput, Receiver
    from rtpverify.sources.open_receiver import Backend
    from rtpverify.sources.ring.receiver import TapReceiver

RETRY_SECONDS = 1.0
"""How long a tap that failed is left alone."""


class _Input:
    """One of the inputs, and the numbers that its flows have among those of all."""

    def __init__(self, receiver: LiveInput) -> None:
        self.receiver = receiver
        self.numbers = np.zeros(0, np.int64)
        self.fault = ""
        self.retry_at = 0.0


class JointReceiver:
    """Receives at sockets and from taps; a :class:`rtpverify.sources.live.receiver.Receiver`.

    Parameters
    ----------
    sockets
        Receives at the endpoints that are no taps'; closed with this.

    Attributes
    ----------
    clear_ns
        A time, in ns since the Unix epoch, before which all that arrived was handed over; 0 before the first drain.
    """

    def __init__(self, sockets: Receiver) -> None:
        self.clear_ns = 0
        self._sockets = sockets
        self._taps: dict[str, TapReceiver] = {}
        self._inputs = [_Input(sockets)]
        self._turn = 0
        self._dropped_before = 0
        """What taps that are closed have dropped."""
        self._number: dict[Flow, int] | None = None
        """Number of each flow once there was a tap; before, flows are those of the sockets."""
        self._flows: list[Flow] = []

    @property
    def flows(self) -> list[Flow]:
        """Every flow seen so far; it grows until some are forgotten."""
        return self._sockets.flows if self._number is None else self._flows

    @property
    def discarded(self) -> Counter[str]:
        """Datagrams that came and were thrown away, by reason."""
        return sum((Counter(item.receiver.discarded) for item in self._inputs), Counter())

    @property
    def dropped(self) -> int:
        """Packets this host lost after the network had delivered them."""
        return self._dropped_before + sum(item.receiver.dropped for item in self._inputs)

    def dropped_to(self) -> dict[str, int]:
        """Return what this host dropped so far by destination; whose packets a tap dropped is not known.

        Returns
        -------
        dict[str, int]
            Packets, by ``address:port``; ``""``: of any other destination.
        """
        dropped = dict(self._sockets.dropped_to())
        for receiver in self._taps.values():
            dropped |= dict.fromkeys(receiver.destinations, receiver.dropped)
        return dropped

    @property
    def receive_buffer_bytes(self) -> int:
        """The smallest receive buffer or ring."""
        return min(item.receiver.receive_buffer_bytes for item in self._inputs)

    def take_fill(self) -> float | None:
        """Return which part of a buffer or ring was full before it was read, the most since the last call.

        Returns
        -------
        float or None
            From 0 to 1; None where nothing was read, or the system does not show.
        """
        fills = [item.receiver.take_fill() for item in self._inputs]
        return max((fill for fill in fills if fill is not None), default=None)

    def keep_flows(self, numbers: Iterable[int]) -> None:
        """Forget all flows but these; from the next batch on, they are numbered by their place here.

        Parameters
        ----------
        numbers
            Present numbers of the flows that are kept; their place here is the new number.
        """
        if self._number is None:
            self._sockets.keep_flows(numbers)
            return
        for item in self._inputs:
            self._number_flows(item)
        kept = list(numbers)
        place_of = {number: place for place, number in enumerate(kept)}
        self._flows = [self._flows[number] for number in kept]
        self._number = {flow: number for number, flow in enumerate(self._flows)}
        for item in self._inputs:
            own = [at for at, number in enumerate(item.numbers.tolist()) if number in place_of]
            item.numbers = np.array([place_of[int(item.numbers[at])] for at in own], np.int64)
            item.receiver.keep_flows(own)

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive on more endpoints; SourceError where one cannot be opened, and then none is added.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        at_sockets, by_tap = _divided(endpoints)
        self._sockets.add(at_sockets)
        opened: list[str] = []
        try:
            for text in by_tap:
                if text not in self._taps:
                    self._open(text)
                    opened.append(text)
        except SourceError:
            for text in opened:
                self._close(text)
            self._sockets.remove(at_sockets)
            raise
        for text, theirs in by_tap.items():
            self._taps[text].add(theirs)

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive no longer on endpoints that were added; the others lose nothing.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        at_sockets, by_tap = _divided(endpoints)
        self._sockets.remove(at_sockets)
        for text, theirs in by_tap.items():
            if text in self._taps:  # not where it could not be opened again
                self._taps[text].remove(theirs)
                if not self._taps[text].destinations:
                    self._close(text)

    def _open(self, text: str) -> None:
        """Open a tap; from now on flows are those of several inputs."""
        from rtpverify.sources.ring.receiver import TapReceiver

        receiver = TapReceiver(parse_taps(text), endpoints=())
        if self._number is None:
            self._number = {}
            self._number_flows(self._inputs[0])
        self._taps[text] = receiver
        self._inputs.append(_Input(receiver))

    def _close(self, text: str) -> None:
        """Close a tap; its flows keep their numbers until they are forgotten."""
        receiver = self._taps.pop(text)
        self._inputs = [item for item in self._inputs if item.receiver is not receiver]
        receiver.close()
        self._dropped_before += receiver.dropped

    def _number_flows(self, item: _Input) -> None:
        """Give flows that an input has seen since their numbers; one seen before, at a tap of then, keeps its own."""
        new = item.receiver.flows[len(item.numbers) :]
        if not new or self._number is None:
            return
        for flow in new:
            if self._number.setdefault(flow, len(self._flows)) == len(self._flows):
                self._flows.append(flow)
        item.numbers = np.append(item.numbers, [self._number[flow] for flow in new])

    def drain(self) -> PacketBatch | None:
        """Take what has arrived at one of the inputs, without waiting; None where nothing has at any.

        Returns
        -------
        PacketBatch or None
            Datagrams in order of arrival.

        Raises
        ------
        SourceError
            Where an input has failed, once each time; the others are drained by the next calls.
        """
        for _ in self._inputs:
            self._turn = (self._turn + 1) % len(self._inputs)
            item = self._inputs[self._turn]
            batch = self._drained(item)
            # An input that was added, or has failed, does not hold back the clock.
            clear = [one.receiver.clear_ns for one in self._inputs if one.receiver.clear_ns and not one.fault]
            self.clear_ns = max(self.clear_ns, min(clear, default=0))
            if batch is None:
                continue
            if self._number is None:
                return batch
            self._number_flows(item)
            return replace(batch, flow=item.numbers[batch.flow], flows=self._flows)
        return None

    def _drained(self, item: _Input) -> PacketBatch | None:
        """Drain one input, unless it has just failed."""
        if item.fault and time.monotonic() < item.retry_at:
            return None
        try:
            batch = item.receiver.drain()
        except SourceError as error:
            if len(self._inputs) == 1:
                raise
            item.retry_at = time.monotonic() + RETRY_SECONDS
            if str(error) == item.fault:
                return None
            item.fault = str(error)
            raise
        item.fault = ""
        return batch

    def abandon(self, until_ns: int) -> None:
        """Throw away what arrived before a time and still waits; it counts as dropped by this host.

        Parameters
        ----------
        until_ns
            In ns since the Unix epoch.
        """
        for item in self._inputs:
            if not item.fault:
                item.receiver.abandon(until_ns)

    def close(self) -> None:
        """Close every socket and ring. May be called twice."""
        for item in self._inputs:
            item.receiver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_joint_receiver(
    endpoints: Iterable[Endpoint],
    backend: Backend | None = None,
    receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
) -> JointReceiver:
    """Open what receives at endpoints of either kind, to which more may be added.

    Parameters
    ----------
    endpoints
        Where packets are sent to.
    backend
        What receives at those that are no taps'; None: what this system has.
    receive_buffer_bytes
        Receive buffer asked of the kernel.

    Returns
    -------
    JointReceiver
        Open; to be closed by the caller.

    Raises
    ------
    SourceError
        Where a socket or ring cannot be opened; the message names it and the reason.
    """
    receiver = JointReceiver(open_receiver([], backend, receive_buffer_bytes))
    try:
        receiver.add(endpoints)
    except SourceError:
        receiver.close()
        raise
    return receiver


def _divided(endpoints: Iterable[Endpoint]) -> tuple[list[Endpoint], dict[str, list[Endpoint]]]:
    """Return the endpoints at sockets, and those of each tap."""
    at_sockets: list[Endpoint] = []
    by_tap: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        if is_tap(endpoint.interface):
            by_tap.setdefault(str(endpoint.interface), []).append(endpoint)
        else:
            at_sockets.append(endpoint)
    return at_sockets, by_tap
