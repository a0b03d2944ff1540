"""Copies of one stream that travel over several paths (ST 2022-7, RFC 7198), merged before anything else is checked.

Rules: packets are copies where SSRC, sequence number and timestamp agree. The copy that arrives first continues, the
first copy over each further leg is absorbed; a second copy over the *same* leg continues, so that it is counted as the
duplicate it is. Copies are matched over the last :data:`RING` sequence numbers. What each leg alone brought is counted
besides, by the rules of :mod:`rtpverify.transport.sequence`. Neither a clock nor the cut into batches matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import Flow, RtpBatch, gather
from rtpverify.transport.counts import PacketCounts
from rtpverify.transport.rows import Rows, RowTable
from rtpverify.transport.sequence import SequenceTracker

RING = 8192
"""Sequence numbers over which copies are matched: a skew of one second at packets of 125 µs."""
MAX_LEGS = 8
"""Paths of one stream."""
LATEST_FLOWS = 2
"""Flows of a leg that are remembered where there are too many: a sender that starts over has another port."""
MAX_LISTED = 16
"""Packets of which the copies differ that are kept by number; all of them are counted."""

_LEG_BITS = 3
_ROW_SHIFT = 48
_COPY_SHIFT = 24
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xC2B2AE3D27D4EB4F)
_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True)
class LegEnds:
    """Which packets are one leg; None means any ``address:port``, ``sender`` may be an address alone.

    ``ssrc`` is that of the leg where legs differ in it, and ``copy`` its place among them.
    """

    destination: str | None
    sender: str | None = None
    ssrc: int | None = None
    copy: int = 0

    def matches(self, flow: Flow) -> bool:
        """Return whether packets of this flow came over this leg.

        Parameters
        ----------
        flow
            The flow.

        Returns
        -------
        bool
            Whether they agree in what is stated of both ends.
        """
        if self.destination is not None and flow.destination != self.destination:
            return False
        return self.sender is None or self.sender in (flow.sender, flow.sender.rpartition(":")[0].strip("[]"))


@dataclass(frozen=True, slots=True)
class LegState:
    """What one leg brought so far.

    Attributes
    ----------
    ends
        Which flows are this leg.
    flow
        The first flow heard on it; None where nothing came.
    counts
        Packets of this leg alone.
    skew_seconds, max_skew_seconds
        How late after the first copy the latest packet came that more than one leg brought, and the most of all;
        None where there was none.
    last_arrival_ns
        None where nothing came.
    """

    ends: LegEnds
    flow: Flow | None
    counts: PacketCounts
    skew_seconds: float | None
    max_skew_seconds: float | None
    last_arrival_ns: int | None


@dataclass(slots=True)
class _Merged:
    """One stream: its legs, which of them each flow is, and what differed."""

    ends: list[LegEnds]
    is_open: bool
    """Whether every flow not seen before is another leg."""
    leg_of_flow: dict[tuple[int, int], int] = field(default_factory=dict)
    """By flow and copy."""
    first_flow: dict[int, Flow] = field(default_factory=dict)
    differing: int = 0
    listed: list[int] = field(default_factory=list)

    def leg(self, number: int, flow: Flow, copy: int) -> int:
        """Return the leg of a flow, which has this number, and copy; -1 where there is no room for one more."""
        leg = self.leg_of_flow.get((number, copy))
        if leg is None:
            here = (leg for leg, ends in enumerate(self.ends) if ends.matches(flow) and ends.copy == copy)
            leg = next(here, -1)
            if leg < 0 and self.is_open and len(self.ends) < MAX_LEGS:
                leg = len(self.ends)
                self.ends.append(LegEnds(flow.destination, flow.sender))
            self.leg_of_flow[number, copy] = leg
            self.first_flow.setdefault(leg, flow)
        return leg


class LegMerger(Rows):
    """Merges the legs of any number of streams.

    Parameters
    ----------
    table
        Where the rows of streams come from.

    Attributes
    ----------
    refused
        Packets that came over no leg, by reason: ``too_many_legs``.
    """

    FRESH: ClassVar = {"_row": -1}
    _row: NDArray[np.int64]
    """Number of each stream among those that have legs; -1 where it has none."""

    def __init__(self, table: RowTable[Any]) -> None:
        self.refused: Counter[str] = Counter()
        self._streams: list[_Merged] = []
        self._free: list[int] = []
        self._places: RowTable[None] = RowTable()
        self._tracker = SequenceTracker(self._places)
        # The ring of each row, one after another.
        self._key = np.zeros(0, np.int64)
        self._legs = np.zeros(0, np.uint8)
        self._first_leg = np.zeros(0, np.int8)
        self._arrival_ns = np.zeros(0, np.int64)
        self._digest = np.zeros(0, np.uint64)
        # By row and leg.
        self._skew_ns = np.zeros(0)
        self._max_skew_ns = np.zeros(0)
        self._last_arrival_ns = np.zeros(0, np.int64)
        super().__init__(table)

    def fresh_row(self, row: int) -> None:
        """Make a row fresh; what its stream had of legs is another's.

        Parameters
        ----------
        row
            Row of the stream.
        """
        if row < len(self._row) and self._row[row] >= 0:
            self._give_back(int(self._row[row]))
        super().fresh_row(row)

    def add(self, stream: int, ends: Sequence[LegEnds], window_frames: int) -> None:
        """Take in a stream.

        Parameters
        ----------
        stream
            Its index.
        ends
            Its legs; where empty, every flow that brings it is one.
        window_frames
            Reorder window of a leg.
        """
        row = self._free.pop() if self._free else self._new_row()
        self._streams[row] = _Merged(list(ends), not ends)
        self._row[stream] = row
        for leg in range(MAX_LEGS):
            self._tracker.set_window(row * MAX_LEGS + leg, window_frames)

    def _give_back(self, row: int) -> None:
        """Let another stream have the legs of one."""
        self._free.append(row)
        self._key[row * RING : (row + 1) * RING] = -1
        places = slice(row * MAX_LEGS, (row + 1) * MAX_LEGS)
        self._skew_ns[places] = self._max_skew_ns[places] = np.nan
        self._last_arrival_ns[places] = -1
        for place in range(row * MAX_LEGS, (row + 1) * MAX_LEGS):
            self._places.renew(place)

    def flows_in_use(self) -> set[int]:
        """Return the flows that may bring more packets of a leg: the latest ones of each.

        Returns
        -------
        set[int]
            Indices of flows.
        """
        found: set[int] = set()
        for row in self._row[self._row >= 0].tolist():
            of_leg: dict[int, list[int]] = {}
            for (flow, _), leg in self._streams[row].leg_of_flow.items():
                of_leg.setdefault(leg, []).append(flow)
            found.update(flow for leg, flows in of_leg.items() if leg >= 0 for flow in flows[-LATEST_FLOWS:])
        return found

    def renumber(self, number_of: Mapping[int, int]) -> None:
        """Know flows by other numbers, and forget those that have none.

        Parameters
        ----------
        number_of
            New number of each flow that is kept.
        """
        for merged in self._streams:
            known = merged.leg_of_flow.items()
            merged.leg_of_flow = {(number_of[flow], copy): leg for (flow, copy), leg in known if flow in number_of}

    def _new_row(self) -> int:
        """Make room for one more stream; return its row."""
        self._streams.append(_Merged([], is_open=True))
        for _ in range(MAX_LEGS):
            self._places.allocate()
        self._key = np.append(self._key, np.full(RING, -1))
        self._legs = np.append(self._legs, np.zeros(RING, np.uint8))
        self._first_leg = np.append(self._first_leg, np.zeros(RING, np.int8))
        self._arrival_ns = np.append(self._arrival_ns, np.zeros(RING, np.int64))
        self._digest = np.append(self._digest, np.zeros(RING, np.uint64))
        self._skew_ns = np.append(self._skew_ns, np.full(MAX_LEGS, np.nan))
        self._max_skew_ns = np.append(self._max_skew_ns, np.full(MAX_LEGS, np.nan))
        self._last_arrival_ns = np.append(self._last_arrival_ns, np.full(MAX_LEGS, -1))
        return len(self._streams) - 1

    def merge(self, part: RtpBatch, stream: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which packets continue, shape (n,): all but the copies that further legs brought.

        Parameters
        ----------
        part
            Packets in order of arrival.
        stream
            Stream index of each, shape (n,).
        frames
            Frames in each payload, shape (n,); negative where unknown.

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        kept = np.ones(len(part), np.bool_)
        row = self._row[stream]
        at = np.flatnonzero(row >= 0)
        if len(at) == 0:
            return kept
        number = part.flow[at] if part.copy is None else part.copy[at] << _COPY_SHIFT | part.flow[at]
        leg = self._leg(row[at], number, part.source.flows)
        if leg.min() < 0:
            refused = leg < 0
            self.refused["too_many_legs"] += int(np.count_nonzero(refused))
            kept[at[refused]] = False
            at, leg = at[~refused], leg[~refused]
        row = row[at]
        ours = part.take(at)
        place, arrival_ns = row * MAX_LEGS + leg, ours.arrival_ns
        self._tracker.update(place, ours.sequence, ours.timestamp, frames[at])
        self._last_arrival_ns[place] = arrival_ns
        there = ours.payload_length if ours.cut_bytes is None else ours.payload_length - ours.cut_bytes
        digest = payload_digest(part.source.arena, ours.payload_offset, there)
        digest += ours.payload_type.astype(np.uint64)
        kept[at] = self._first_copies(row, leg, ours.sequence, ours.timestamp, arrival_ns, digest)
        return kept

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock that was set: what arrived before counts by the new one.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        self._arrival_ns += by_ns
        self._last_arrival_ns[self._last_arrival_ns >= 0] += by_ns

    def succeed(self, stream: int) -> None:
        """Take a stream's next packets, on every leg, for the first of another sender, who continues the stream.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        row = int(self._row[stream])
        if row < 0:
            return
        self._key[row * RING : (row + 1) * RING] = -1
        for leg in range(len(self._streams[row].ends)):
            if self._last_arrival_ns[row * MAX_LEGS + leg] >= 0:
                self._tracker.succeed(row * MAX_LEGS + leg)

    def finish(self) -> None:
        """End the input: what is missing on a leg is lost."""
        self._tracker.finish()

    def legs(self, stream: int) -> list[LegState]:
        """Return what each leg of a stream brought so far; nothing where it has no legs.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        list of LegState
            In the order in which they are expected, or were first heard.
        """
        row = int(self._row[stream])
        if row < 0:
            return []
        merged = self._streams[row]
        return [
            LegState(
                ends=ends,
                flow=merged.first_flow.get(leg),
                counts=self._tracker.counts(place),
                skew_seconds=_seconds(self._skew_ns[place]),
                max_skew_seconds=_seconds(self._max_skew_ns[place]),
                last_arrival_ns=int(self._last_arrival_ns[place]) if leg in merged.first_flow else None,
            )
            for leg, ends in enumerate(merged.ends)
            for place in (row * MAX_LEGS + leg,)
        ]

    def differing(self, stream: int) -> tuple[int, list[int]]:
        """Return how many copies differ from the first, and the sequence numbers of the first of them.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        tuple[int, list[int]]
            The count, and sequence numbers as on the wire.
        """
        row = int(self._row[stream])
        return (0, []) if row < 0 else (self._streams[row].differing, list(self._streams[row].listed))

    def _leg(self, row: NDArray[np.int64], number: NDArray[np.int64], flows: Sequence[Flow]) -> NDArray[np.int64]:
        """Return the leg of each packet, -1 where it has none; ``number`` is that of its flow and copy."""
        distinct, first, inverse = np.unique(row << 32 | number, return_index=True, return_inverse=True)
        leg = np.empty(len(distinct), np.int64)
        for place in np.argsort(first).tolist():  # so that legs are numbered in order of appearance
            copy, flow = divmod(int(distinct[place] & 0xFFFFFFFF), 1 << _COPY_SHIFT)
            leg[place] = self._streams[int(distinct[place] >> 32)].leg(flow, flows[flow], copy)
        legs: NDArray[np.int64] = leg[inverse.reshape(-1)]
        return legs

    def _first_copies(
        self,
        row: NDArray[np.int64],
        leg: NDArray[np.int64],
        sequence: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
        digest: NDArray[np.uint64],
    ) -> NDArray[np.bool_]:
        """Return which packets are passed on, shape (n,); compare and measure the copies that do not."""
        slot = row * RING + sequence % RING
        key = sequence << 32 | timestamp
        packet = row << _ROW_SHIFT | key
        _, first, inverse = np.unique(packet, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        if len(np.unique(slot[first])) < len(first):
            # One of two packets would take the other's place in the ring: what comes first must be done first.
            half = len(row) // 2
            parts = [
                self._first_copies(row[cut], leg[cut], sequence[cut], timestamp[cut], arrival_ns[cut], digest[cut])
                for cut in (slice(half), slice(half, None))
            ]
            return np.concatenate(parts)
        known = self._key[slot] == key
        _, first_of_leg = np.unique(packet << _LEG_BITS | leg, return_index=True)
        is_new_on_leg = np.zeros(len(row), np.bool_)
        is_new_on_leg[first_of_leg] = True
        is_new_on_leg &= ~(known & (self._legs[slot] >> leg & 1).astype(np.bool_))
        is_first = np.zeros(len(row), np.bool_)
        is_first[first] = True
        is_first &= ~known
        copy = np.flatnonzero(is_new_on_leg & ~is_first)

        new = np.flatnonzero(is_first)
        at = slot[new]
        self._key[at], self._legs[at], self._first_leg[at] = key[new], 0, leg[new]
        self._arrival_ns[at], self._digest[at] = arrival_ns[new], digest[new]
        np.bitwise_or.at(self._legs, slot, (1 << leg).astype(np.uint8))
        if len(copy):
            self._measure(row[copy], leg[copy], slot[copy], arrival_ns[copy])
            for i in copy[digest[copy] != self._digest[slot[copy]]].tolist():
                merged = self._streams[int(row[i])]
                merged.differing += 1
                if len(merged.listed) < MAX_LISTED:
                    merged.listed.append(int(sequence[i]))
        kept: NDArray[np.bool_] = is_first | ~is_new_on_leg
        return kept

    def _measure(
        self, row: NDArray[np.int64], leg: NDArray[np.int64], slot: NDArray[np.int64], arrival_ns: NDArray[np.int64]
    ) -> None:
        """Measure how far copies came after each other, for their leg and that of the first one."""
        behind = arrival_ns - self._arrival_ns[slot]
        place = np.stack([row * MAX_LEGS + leg, row * MAX_LEGS + self._first_leg[slot]], axis=1).reshape(-1)
        skew_ns = np.maximum(np.stack([behind, -behind], axis=1).reshape(-1), 0)
        self._skew_ns[place] = skew_ns
        np.fmax.at(self._max_skew_ns, place, skew_ns)


def payload_digest(
    arena: NDArray[np.uint8], offset: NDArray[np.int64], length: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Return 64 bits of each payload, shape (n,), that differ where payloads do; no protection against a forger.

    Parameters
    ----------
    arena
        Bytes of all datagrams.
    offset
        First byte of each payload, shape (n,).
    length
        Bytes of each payload, shape (n,).

    Returns
    -------
    NDArray[np.uint64]
        Shape (n,).
    """
    digest = np.empty(len(offset), np.uint64)
    for size in np.unique(length).tolist():
        rows = np.flatnonzero(length == size)
        whole = np.zeros((len(rows), -(-size // 8) * 8), np.uint8)
        whole[:, :size] = gather(arena, offset[rows], size)
        words = whole.view(np.uint64)
        words *= np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN | np.uint64(1)
        words ^= words >> _HALF
        words *= _MIX
        words ^= words >> _HALF
        digest[rows] = words.sum(axis=1, dtype=np.uint64) + np.uint64(size << 8)
    return digest


def _seconds(time_ns: float) -> float | None:
    return None if np.isnan(time_ns) else float(time_ns) / 1e9
