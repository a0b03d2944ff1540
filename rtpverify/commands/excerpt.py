"""``--start`` and ``--duration``: the part of a capture or file that is verified."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rtpverify.errors import RequestError

if TYPE_CHECKING:
    from rtpverify.rtp.batch import PacketBatch


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Which part of a capture or file is verified, in seconds: of arrival since the first RTP packet, or of audio."""

    start_seconds: float = 0.0
    duration_seconds: float | None = None

    def frames(self, sample_rate_hz: int) -> tuple[int, float]:
        """Return the first frame, and the one after the last or infinity.

        Parameters
        ----------
        sample_rate_hz
            Sample rate of the audio.

        Returns
        -------
        start : int
            First frame.
        stop : float
            The frame after the last, or infinity.
        """
        start = round(self.start_seconds * sample_rate_hz)
        if self.duration_seconds is None:
            return start, math.inf
        return start, start + max(1, round(self.duration_seconds * sample_rate_hz))

    @property
    def is_whole(self) -> bool:
        """Whether nothing is omitted."""
        return self.start_seconds == 0.0 and self.duration_seconds is None

    def of(self, batches: Iterable[PacketBatch], source: str) -> Iterator[PacketBatch]:
        """Yield what arrived in a time counted from the first RTP packet.

        Parameters
        ----------
        batches
            Datagrams in order of arrival.
        source
            What messages call it.

        Yields
        ------
        PacketBatch
            The datagrams of one batch that are part of it.

        Raises
        ------
        RequestError
            Where a capture does not say when its packets arrived, or ended before the part begins.
        """
        from rtpverify.rtp.batch import parse

        first_ns: int | None = None
        last_seconds, is_reached = 0.0, False
        for batch in batches:
            if not batch.timed:
                option = "--start" if self.start_seconds else "--duration"
                raise RequestError(f"{source}: has no arrival times, so {option} cannot be applied")
            if first_ns is None:
                arrived = parse(batch).arrival_ns
                first_ns = int(arrived.min()) if len(arrived) else None
            if first_ns is None:
                yield batch
                continue
            since = (batch.arrival_ns - first_ns) / 1e9 - self.start_seconds
            end = math.inf if self.duration_seconds is None else self.duration_seconds
            last_seconds = max(last_seconds, float(since.max(initial=-math.inf)) + self.start_seconds)
            is_reached |= bool((since >= 0.0).any())
            if len(kept := np.flatnonzero((since >= 0.0) & (since < end))):
                yield batch.take(kept)
            elif len(batch) and (since >= end).all():
                return
        if first_ns is not None and not is_reached:
            raise RequestError(
                f"{source}: --start {self.start_seconds:g} is after its last packet, "
                f"{last_seconds:.3f} s after its first"
            )


WHOLE = Excerpt()
"""All of it."""
