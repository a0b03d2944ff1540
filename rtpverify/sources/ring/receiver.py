"""Live input from taps: what the rings of some interfaces hold, as batches of datagrams."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.capture.datagrams import DatagramFinder
from rtpverify.sources.capture.records import RecordBatch
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.flow_table import MAX_FLOWS
from rtpverify.sources.ring.addressees import Addressees
from rtpverify.sources.ring.packet_ring import PacketRing
from rtpverify.sources.ring.tap import Tap

MAX_BATCH = 4096
"""Most frames of one batch."""
HIDES_AUDIO = ("fragment", "malformed", "checksum", "flows")
"""Reasons for which a frame gave no datagram although it may have held one of ours."""


class TapReceiver:
    """Receives what passes some interfaces; a :class:`rtpverify.sources.live.receiver.LiveInput`.

    Parameters
    ----------
    taps
        One for each interface, at least one.
    endpoints
        Only what is sent to these is taken; None: all.

    Attributes
    ----------
    clear_ns
        A time, in ns since the Unix epoch, before which all that passed was handed over; 0 before the first drain.

    Raises
    ------
    SourceError
        Where a ring cannot be obtained; the message names the interface and what to do.
    """

    def __init__(self, taps: Sequence[Tap], endpoints: Iterable[Endpoint] | None = None) -> None:
        self.clear_ns = 0
        self._endpoints: Counter[Endpoint] | None = None
        self._addressees = Addressees(every_group=True)
        if endpoints is None:
            self._finder = DatagramFinder(MAX_FLOWS)
        else:
            self._endpoints = Counter()
            self._finder = DatagramFinder(MAX_FLOWS, self._addressees.of)
            self.add(endpoints)
        self._rings: list[PacketRing] = []
        self._dropped_before = 0
        """Frames that were dropped in rings closed since."""
        self._fill: float | None = None
        try:
            for tap in taps:
                self._rings.append(PacketRing(tap))
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

    @property
    def discarded(self) -> Counter[str]:
        """Frames that may have held RTP and were not read, by reason."""
        return Counter({reason: self._finder.skipped[reason] for reason in HIDES_AUDIO if self._finder.skipped[reason]})

    @property
    def dropped(self) -> int:
        """Frames this host dropped, the rings being full; asks the kernel."""
        for ring in self._rings:
            ring.count_dropped()
        return self._dropped_before + sum(ring.dropped for ring in self._rings)

    @property
    def receive_buffer_bytes(self) -> int:
        """The size of the smallest ring."""
        return min(ring.slots * ring.tap.slot_bytes for ring in self._rings)

    @property
    def destinations(self) -> list[str]:
        """Where what is taken is sent to, as ``address:port``; empty where all is taken."""
        return [part.destination for endpoint in self._endpoints or () for part in endpoint.parts]

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        """Take what is sent to more endpoints.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        self._take_of(Counter(endpoints), Counter())

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        """Take no longer what is sent to endpoints that were added.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        self._take_of(Counter(), Counter(endpoints))

    def _take_of(self, more: Counter[Endpoint], fewer: Counter[Endpoint]) -> None:
        """Change which endpoints' packets are taken."""
        self._endpoints = (self._endpoints or Counter()) + more - fewer
        by_place: dict[tuple[str, int], list[Endpoint]] = {}
        for endpoint in self._endpoints:
            for part in endpoint.parts:
                by_place.setdefault((part.address, part.port), []).append(part)
        self._addressees.endpoints = by_place
        self._finder.places_changed()

    def take_fill(self) -> float | None:
        """Return which part of a ring was full before it was read, the most since the last call.

        Returns
        -------
        float or None
            From 0 to 1; None where nothing was read since.
        """
        fill, self._fill = self._fill, None
        return fill

    def drain(self) -> PacketBatch | None:
        """Take what has passed, without waiting; None where nothing has.

        Returns
        -------
        PacketBatch
            In order of arrival for each interface, the interfaces one after another. At most 4096 datagrams: after a
            full batch more may be waiting. Its arena is the kernel's again after the next call; copy what is to be
            kept.

        Raises
        ------
        SourceError
            Where an interface went down or away; it is opened again by a later call, once it is there.
        """
        now_ns = time.time_ns()
        for number, ring in enumerate(self._rings):
            if not ring.is_current:
                self._rings[number] = PacketRing(ring.tap)  # raises while the interface is not there
                ring.close()
                self._dropped_before += ring.dropped
            self._rings[number].raise_fault()
        room = MAX_BATCH // len(self._rings)
        counts = [ring.take(room) for ring in self._rings]
        fill = max(count / ring.slots for count, ring in zip(counts, self._rings, strict=True))
        self._fill = max(self._fill or 0.0, fill)
        self.clear_ns = max(self.clear_ns, min(ring.clear_ns(now_ns) for ring in self._rings))
        filled = [ring for ring, count in zip(self._rings, counts, strict=True) if count]
        if not filled:
            return None
        arena, records, host_dropped = _together(filled)
        batch, rows = self._finder.find(arena, records)
        if not len(batch):
            return None
        if host_dropped is not None:
            batch.host_dropped = host_dropped[rows]
        return batch

    def dropped_to(self) -> dict[str, int]:
        """Return what this host dropped so far: whose packets they were, a ring does not know.

        Returns
        -------
        dict[str, int]
            Packets under the name ``""``.
        """
        return {"": self.dropped}

    def abandon(self, until_ns: int) -> None:
        """Throw away what passed before a time and still waits; it counts as dropped by this host.

        Parameters
        ----------
        until_ns
            In ns since the Unix epoch.
        """
        while self.clear_ns < until_ns and (batch := self.drain()) is not None:
            self._dropped_before += len(batch)

    def close(self) -> None:
        """Close every ring. May be called twice."""
        for ring in self._rings:
            ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _together(rings: Sequence[PacketRing]) -> tuple[NDArray[np.uint8], RecordBatch, NDArray[np.int64] | None]:
    """Return what was taken from some rings as records of one arena, and what this host had dropped before each.

    The arena of one ring is its own memory; what several hold is copied into one.
    """
    dropped = [ring.host_dropped() for ring in rings]
    parts = [ring.records() for ring in rings]
    if len(rings) == 1:
        return rings[0].arena, parts[0], dropped[0]
    frames = [ring.taken_bytes for ring in rings]
    # Where each ring's part begins in the arena of all, less where it began in its own.
    moved = np.cumsum([0, *(len(part) for part in frames[:-1])]) - [ring.taken_start for ring in rings]
    records = RecordBatch(
        np.concatenate([part.offset + move for part, move in zip(parts, moved, strict=True)]),
        np.concatenate([part.length for part in parts]),
        np.concatenate([part.arrival_ns for part in parts]),
        np.concatenate([part.link_type for part in parts]),
        unverified=np.concatenate([part.unverified for part in parts if part.unverified is not None]),
    )
    counted = [
        np.zeros(len(part.offset), np.int64) if count is None else count
        for part, count in zip(parts, dropped, strict=True)
    ]
    return np.concatenate(frames), records, np.concatenate(counted) if any(c is not None for c in dropped) else None
