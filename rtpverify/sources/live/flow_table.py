"""The flows of a live source, numbered in order of appearance and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from rtpverify.rtp.batch import Flow
from rtpverify.sources.live.endpoint import join_address

FLOWS_FULL = -1
"""Instead of an index: the table is full."""
WRONG_SENDER = -2
"""Instead of an index: the endpoint takes only other senders."""

DISCARD_REASONS = {FLOWS_FULL: "flows", WRONG_SENDER: "sender"}
"""Under which name datagrams without an index are counted."""

MAX_FLOWS = 4096
"""Anybody can send from any number of ports: what is remembered of them must not grow without end."""
RESERVED_FLOWS = 16
"""Flows to each destination for which there is room in any case: what floods one port fills no other's."""


class FlowTable:
    """Numbers (sender, destination), each once; ``flows`` grows up to ``max_flows``, until some are forgotten.

    Beyond those there is room for :data:`RESERVED_FLOWS` to each destination.
    """

    def __init__(self, max_flows: int = MAX_FLOWS) -> None:
        self.flows: list[Flow] = []
        self._numbers: dict[Flow, int] = {}
        self._to: Counter[str] = Counter()
        """How many there are to each destination."""
        self._max_flows = max_flows

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

    def keep(self, numbers: Iterable[int]) -> dict[int, int]:
        """Forget all flows but these, whose place here is their number from now on; return the numbers by the old.

        ``flows`` becomes another list: batches that hold the one of before stay right.
        """
        kept = list(numbers)
        self.flows = [self.flows[number] for number in kept]
        self._numbers = {flow: number for number, flow in enumerate(self.flows)}
        self._to = Counter(flow.destination for flow in self.flows)
        return {old: number for number, old in enumerate(kept)}
