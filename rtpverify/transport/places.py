"""Which sources find a place among the streams that are followed, and which are refused.

A stream that is expected has :data:`RESERVED` places of its own, so that a flood at one port costs no stream at another
its place, nor, unless it has many senders, the one that is expected there. Beyond those there is a bounded number of
places for whoever comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_STREAMS = 256
"""Streams at a time beyond those in reserved places, unless set otherwise."""
RESERVED = 4
"""Places of each stream that is expected."""
RESERVED_FOR_SENDER = 1
"""How many of those one host may take: what else comes from there competes for the other places."""
MAX_REFUSED = 4096
"""Refused sources that are remembered; one that is forgotten has to prove itself again, to be refused again."""


class Claim(NamedTuple):
    """Why a source may have a reserved place: number and name of what is expected, and the host that sends."""

    stream: tuple[int, str]
    sender: str


class Places:
    """Gives places to sources, which are known by their keys.

    Parameters
    ----------
    max_streams
        Places that are not reserved.
    claim
        The claim of what comes over a flow; None where no certain stream is expected.

    Attributes
    ----------
    refused_packets
        Packets of sources that found no place.
    refused_streams
        How many sources found none, by the stream of their claim (None: no certain one).
    """

    def __init__(self, max_streams: int, claim: Callable[[int], Claim | None]) -> None:
        self._max_streams = max_streams
        self._claim = claim
        self._taken: dict[int, Claim | None] = {}
        """Streams that have a place, and the claim by which it is a reserved one."""
        self._reserved: Counter[Hashable] = Counter()
        """Reserved places that are taken, by stream and by claim."""
        self._others = 0
        """Other places that are taken."""
        self._refused: dict[int, None] = {}
        self.refused_packets = 0
        self.refused_streams: Counter[tuple[int, str] | None] = Counter()

    def group(self, flow: int) -> tuple[int, str] | None:
        """Return what sources of this flow compete with: those of the same group.

        Parameters
        ----------
        flow
            Index of the flow.

        Returns
        -------
        tuple[int, str] or None
            The stream whose place they could take; None where they share those of all others.
        """
        claim = self._claim(flow)
        return None if claim is None else claim.stream

    def has_room(self, flow: int) -> bool:
        """Return whether a source of this flow finds a place.

        Parameters
        ----------
        flow
            Index of the flow.

        Returns
        -------
        bool
            Whether there is one now.
        """
        return self._reservation(flow) is not None or self._others < self._max_streams

    def take(self, stream: int, flow: int) -> None:
        """Give a stream a place.

        Parameters
        ----------
        stream
            Index of the stream.
        flow
            Index of the flow.
        """
        claim = self._taken[stream] = self._reservation(flow)
        if claim is None:
            self._others += 1
        else:
            self._reserved.update((claim, claim.stream))

    def release(self, stream: int) -> None:
        """Let another stream have the place of this one.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        claim = self._taken.pop(stream)
        if claim is None:
            self._others -= 1
        else:
            self._reserved.subtract((claim, claim.stream))
            self._reserved = +self._reserved
        self.reconsider()

    def refuse(self, key: int, flow: int, packets: int) -> None:
        """Count packets of a source that found no place.

        Parameters
        ----------
        key
            The source: flow and SSRC as one number.
        flow
            Index of the flow.
        packets
            Packets of it that came so far.
        """
        self.refused_packets += packets
        if key not in self._refused:
            self.refused_streams[self.group(flow)] += 1
            self._refused[key] = None
            if len(self._refused) > MAX_REFUSED:
                del self._refused[next(iter(self._refused))]

    def has_refused(self, key: int) -> bool:
        """Return whether a source found no place.

        Parameters
        ----------
        key
            The source: flow and SSRC as one number.

        Returns
        -------
        bool
            True until there is room again.
        """
        return key in self._refused

    def are_refused(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some sources found no place, shape (n,).

        Parameters
        ----------
        keys
            Sources: flow and SSRC as one number each, shape (n,).

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        if not self._refused:
            return np.zeros(len(keys), np.bool_)
        return np.isin(keys, np.fromiter(self._refused, np.int64, len(self._refused)))

    def reconsider(self) -> None:
        """Let sources that were refused try again: there may be a place for them now."""
        self._refused.clear()

    def _reservation(self, flow: int) -> Claim | None:
        """Return the claim by which a source of this flow gets a reserved place, None where there is none left."""
        claim = self._claim(flow)
        if claim is None or self._reserved[claim] >= RESERVED_FOR_SENDER or self._reserved[claim.stream] >= RESERVED:
            return None
        return claim
