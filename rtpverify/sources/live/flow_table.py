"""The flows of a live source, numbered in order of appearance and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Set
from typing import Any

from rtpverify.rtp.batch import Flow
from rtpverify.sources.live.endpoint import join_address

FLOWS_FULL = -1
"""Instead of an index: the table is full."""
WRONG_SENDER = -2
"""Instead of an index: the endpoint takes only other senders."""
NOT_OURS = -3
"""Instead of an index: nothing is received at this destination."""

DISCARD_REASONS = {FLOWS_FULL: "flows", WRONG_SENDER: "sender"}
"""Under which name datagrams without an index are counted."""

MAX_FLOWS = 4096
"""Anybody can send from any number of ports: what is remembered of them must not grow without end."""
RESERVED_FLOWS = 16
"""Flows to each destination for which there is room in any case: what floods one port fills no other's."""


class FlowTable:
    """Numbers (sender, destination), each once, until some are forgotten.

    Parameters
    ----------
    max_flows
        Flows that are numbered at a time; beyond those there is room for :data:`RESERVED_FLOWS` to each destination.

    Attributes
    ----------
    flows
        Every flow by its number.
    known
        Numbers, or why there is none, by what a source knows the two ends by; bounded as well.
    """

    def __init__(self, max_flows: int = MAX_FLOWS) -> None:
        self.flows: list[Flow] = []
        self.known: dict[Any, int] = {}
        self._numbers: dict[Flow, int] = {}
        self._to: Counter[str] = Counter()
        """How many there are to each destination."""
        self._max_flows = max_flows

    def learn(self, key: Hashable, address: str, port: int, place: tuple[str, Set[str] | None] | None) -> int:
        """Return the number of a flow, or why it has none, and remember it by the source's own key.

        Parameters
        ----------
        key
            What the source knows the two ends by.
        address, port
            Of the sender.
        place
            Destination and senders as of :meth:`index`; None where such datagrams are not received.

        Returns
        -------
        int
            The number, or why there is none (negative).
        """
        number = NOT_OURS if place is None else self.index(address, port, *place)
        if len(self.known) < 2 * self._max_flows:
            self.known[key] = number
        return number

    def index(self, address: str, port: int, destination: str, senders: Set[str] | None) -> int:
        """Return the number of a flow, or why it has none.

        Parameters
        ----------
        address, port
            Of the sender.
        destination
            As :attr:`rtpverify.sources.live.endpoint.Endpoint.destination`.
        senders
            The addresses the endpoint takes; None takes all.

        Returns
        -------
        int
            The number, or why there is none (negative).
        """
        if senders is not None and address not in senders:
            return WRONG_SENDER
        flow = Flow(join_address(address, port), destination)
        number = self._numbers.get(flow)
        if number is not None:
            return number
        if len(self.flows) >= self._max_flows and self._to[destination] >= RESERVED_FLOWS:
            return FLOWS_FULL
        self._to[destination] += 1
        self.flows.append(flow)
        self._numbers[flow] = len(self.flows) - 1
        return len(self.flows) - 1

    def forget(self, is_old: Callable[[Any], bool]) -> None:
        """Look again at the ends of some keys when they are next seen; their flows keep their numbers.

        Parameters
        ----------
        is_old
            Says of a key whether its ends may mean another flow now.
        """
        self.known = {key: number for key, number in self.known.items() if not is_old(key)}

    def keep(self, numbers: Iterable[int]) -> dict[int, int]:
        """Forget all flows but these, whose place here is their number from now on; return the numbers by the old.

        ``flows`` becomes another list: batches that hold the one of before stay right.

        Parameters
        ----------
        numbers
            Present numbers of the flows that are kept; their place here is the new number.

        Returns
        -------
        dict[int, int]
            New number of each flow that is kept.
        """
        kept = list(numbers)
        self.flows = [self.flows[number] for number in kept]
        self._numbers = {flow: number for number, flow in enumerate(self.flows)}
        self._to = Counter(flow.destination for flow in self.flows)
        number_of = {old: number for number, old in enumerate(kept)}
        self.known = {key: number_of[number] for key, number in self.known.items() if number in number_of}
        return number_of
