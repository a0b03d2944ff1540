"""Packets of one stream that are missing: they may still come; once they leave the window they are lost for good."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from rtpverify.transport.counts import Bursts
from rtpverify.transport.placement import Gap

LONGEST_RUN = 1 << 16
"""Runs of loss from this length on are counted as one length."""
RECENT_SEQUENCES = 1 << 15
"""How far back losses are remembered; sequence numbers reach no further."""


@dataclass(slots=True)
class Hole:
    """Missing packets between two received ones, evenly spread over ``start`` to ``end`` (unwrapped frames)."""

    first: int
    count: int
    start: int
    end: int
    lost: int = 0
    """Packets from the first one on that left the window."""

    def frame(self, index: int) -> int:
        """Return where the packet at ``index`` starts.

        Parameters
        ----------
        index
            Index of the packet in the hole.

        Returns
        -------
        int
            Unwrapped timestamp.
        """
        return self.start + (self.end - self.start) * index // self.count

    def passed(self, limit: int) -> int:
        """Return how many packets, from the first one on, start before ``limit``.

        Parameters
        ----------
        limit
            Unwrapped timestamp.

        Returns
        -------
        int
            Packets.
        """
        ahead = limit - self.start
        if ahead <= 0:
            return 0
        frames = self.end - self.start
        return min(self.count, -(-ahead * self.count // frames)) if frames else self.count


class Missing:
    """Holes in the sequence of one stream, and what became of them.

    Parameters
    ----------
    stream
        Index of the stream.

    Attributes
    ----------
    run_lengths
        How often so many packets in a row were lost.
    bursts
        How losses lie together.
    """

    __slots__ = ("_holes", "_lost_runs", "_stream", "bursts", "run_lengths")

    def __init__(self, stream: int) -> None:
        self.run_lengths: Counter[int] = Counter()
        self.bursts = Bursts()
        self._stream = stream
        self._holes: list[Hole] = []
        self._lost_runs: deque[tuple[int, int]] = deque()

    def __bool__(self) -> bool:
        return bool(self._holes)

    @property
    def front(self) -> int | None:
        """Unwrapped timestamp of the first packet that is missing and may still come."""
        return min((hole.frame(hole.lost) for hole in self._holes), default=None)

    def add(self, hole: Hole, *, first: bool = False) -> None:
        """Miss packets after all that are missing, or before them.

        Parameters
        ----------
        hole
            What is missing.
        first
            Whether it lies before all the others.
        """
        self._holes.insert(0 if first else len(self._holes), hole)

    def at(self, sequence: int) -> Hole | None:
        """Return the hole in which a packet belongs.

        Parameters
        ----------
        sequence
            Extended sequence number.

        Returns
        -------
        Hole or None
            The hole; None where the packet is not missing.
        """
        return next((hole for hole in self._holes if hole.first <= sequence < hole.first + hole.count), None)

    def fill(self, hole: Hole, sequence: int, start: int, end: int) -> None:
        """Take a packet out of its hole, with the frames from ``start`` to ``end``.

        Parameters
        ----------
        hole
            The hole that the packet lies in.
        sequence
            Extended sequence number.
        start
            Unwrapped timestamp of the packet.
        end
            The timestamp after its last frame.
        """
        before, after = sequence - hole.first, hole.first + hole.count - sequence - 1
        parts = []
        if before:
            parts.append(Hole(hole.first, before, hole.start, start, hole.lost))
        if after:
            parts.append(Hole(sequence + 1, after, end, hole.end))
        index = self._holes.index(hole)
        self._holes[index : index + 1] = parts

    def was_lost(self, sequence: int) -> bool:
        """Return whether a packet was given up.

        Parameters
        ----------
        sequence
            Extended sequence number.

        Returns
        -------
        bool
            True for packets that came after they were counted as lost; those long ago are forgotten.
        """
        return any(first <= sequence <= last for first, last in self._lost_runs)

    def close(self, passed: Callable[[Hole], int], head_sequence: int, gaps: list[Gap]) -> int:
        """Give up packets; return how many those are, and append what became gaps.

        ``passed`` says how many of a hole, from the first one on, have left the window.

        Parameters
        ----------
        passed
            Returns how many packets of a hole, from the first one on, have left the window.
        head_sequence
            Extended sequence number of the packet furthest ahead.
        gaps
            Takes the holes that are lost as a whole.

        Returns
        -------
        int
            Packets that are lost with this call.
        """
        kept, given_up = [], 0
        for hole in self._holes:
            lost = max(hole.lost, passed(hole))
            given_up += lost - hole.lost
            hole.lost = lost
            if lost < hole.count:
                kept.append(hole)
                continue
            last = hole.first + hole.count - 1
            gaps.append(Gap(self._stream, hole.first, last, hole.start, hole.end - hole.start))
            self.run_lengths[min(hole.count, LONGEST_RUN)] += 1
            self.bursts.add(hole.first, last)
            self._lost_runs.append((hole.first, last))
        self._holes = kept
        while self._lost_runs and self._lost_runs[0][1] < head_sequence - RECENT_SEQUENCES:
            self._lost_runs.popleft()
        return given_up
