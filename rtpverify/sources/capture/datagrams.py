"""From records of one arena to a batch of datagrams, with numbered flows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Set
from ipaddress import ip_address

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.capture.checksum import are_right
from rtpverify.sources.capture.link_layer import Datagrams, find_datagrams
from rtpverify.sources.capture.records import RecordBatch
from rtpverify.sources.live.endpoint import join_address
from rtpverify.sources.live.flow_table import DISCARD_REASONS, FlowTable

PlaceOf = Callable[[str, str, int], tuple[str, Set[str] | None] | None]


def _everywhere(_sender: str, address: str, port: int) -> tuple[str, None]:
    return join_address(address, port), None


class DatagramFinder:
    """Finds the UDP datagrams in records, whoever they are addressed to.

    Parameters
    ----------
    most_flows
        Datagrams of further flows are skipped.
    place_of
        Returns for a sender's address, a destination's and its port what flows call the destination, and which senders
        are taken (None: all); None where such a datagram is not received, which is not counted. By default all are.

    Attributes
    ----------
    skipped
        Records that gave no datagram, by reason: those of :mod:`rtpverify.sources.capture.link_layer`, ``checksum`` for
        one that is wrong, and ``flows``.
    """

    def __init__(self, most_flows: int, place_of: PlaceOf = _everywhere) -> None:
        self.skipped: Counter[str] = Counter()
        self._place_of = place_of
        self._table = FlowTable(most_flows)

    @property
    def flows(self) -> list[Flow]:
        """Every flow found so far; it grows until some are forgotten."""
        return self._table.flows

    def keep_flows(self, numbers: Iterable[int]) -> None:
        """Forget all flows but these; from the next batch on, they are numbered by their place here.

        Parameters
        ----------
        numbers
            Present numbers of the flows that are kept; their place here is the new number.
        """
        self._table.keep(numbers)

    def places_changed(self) -> None:
        """Ask again where datagrams are received; flows keep their numbers."""
        self._table.forget(lambda _ends: True)

    def find(self, arena: NDArray[np.uint8], records: RecordBatch) -> tuple[PacketBatch, NDArray[np.int64]]:
        """Return the datagrams, and the record of each as an index, shape (n,).

        Parameters
        ----------
        arena
            Bytes of the records.
        records
            The records.

        Returns
        -------
        tuple[PacketBatch, NDArray[np.int64]]
            Datagrams in the order of their records, and the index of the record of each.
        """
        count = len(records.offset)
        offset = np.full(count, -1, np.int64)
        length = np.empty(count, np.int64)
        cut_bytes = np.zeros(count, np.int64)
        flow = np.full(count, -1, np.int64)
        for datagrams in find_datagrams(arena, records, self.skipped):
            if records.unverified is not None:
                self._drop_damaged(arena, datagrams, records.unverified)
            offset[datagrams.row] = datagrams.offset
            length[datagrams.row] = datagrams.length
            cut_bytes[datagrams.row] = datagrams.cut_bytes
            if len(datagrams.row):
                flow[datagrams.row] = self._flows_of(datagrams.ends)
        if (strange := (offset >= 0) & (flow < 0)).any():
            for code, reason in DISCARD_REASONS.items():
                self.skipped[reason] += int(np.count_nonzero(flow[strange] == code))
            self.skipped = +self.skipped
        found = np.flatnonzero(flow >= 0)
        rows = slice(None) if len(found) == count else found
        return (
            PacketBatch(
                arena,
                offset[rows],
                length[rows],
                records.arrival_ns[rows],
                flow[rows],
                self.flows,
                records.untimed == 0,
                cut_bytes=cut_bytes[rows] if cut_bytes.any() else None,
            ),
            found,
        )

    def _drop_damaged(self, arena: NDArray[np.uint8], datagrams: Datagrams, unverified: NDArray[np.bool_]) -> None:
        """Drop and count the datagrams whose checksum is wrong; of those that were cut off, it cannot be known."""
        rows = np.flatnonzero(unverified[datagrams.row] & (datagrams.cut_bytes == 0))
        if len(rows):
            addresses = np.ascontiguousarray(datagrams.ends[rows, :-4])
            right = are_right(arena, datagrams.offset[rows], datagrams.length[rows], addresses)
            if wrong := int(np.count_nonzero(~right)):
                self.skipped["checksum"] += wrong
                datagrams.drop(rows[~right])

    def _flows_of(self, ends: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the flow of each datagram by its two ends, or a negative reason, shape (n,)."""
        if (ends == ends[0]).all():
            return np.full(len(ends), self._number(ends[0].tobytes()))
        keys = np.ascontiguousarray(ends).view(f"V{ends.shape[1]}")[:, 0]
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        number_by_rank = np.empty(len(first), np.int64)
        for rank in np.argsort(first):  # so that flows are numbered in order of appearance
            number_by_rank[rank] = self._number(ends[first[rank]].tobytes())
        return number_by_rank[inverse.reshape(-1)]

    def _number(self, ends: bytes) -> int:
        """Return the number of the flow between two ends, a new one where they have not been seen."""
        number = self._table.known.get(ends)
        if number is None:
            address_bytes = (len(ends) - 4) // 2
            sender, destination = (str(ip_address(ends[at : at + address_bytes])) for at in (0, address_bytes))
            sender_port, port = (int.from_bytes(ends[at:][:2], "big") for at in (-4, -2))
            place = self._place_of(sender, destination, port)
            number = self._table.learn(ends, sender, sender_port, place)
        return number
