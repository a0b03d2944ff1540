"""Packets whose place in their stream is known: a batch of them, and one by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import RtpBatch
from rtpverify.rtp.payload import Encoding
from rtpverify.transport.sequence import Placement


@dataclass(slots=True)
class PlacedBatch:
    """Packets and what became of them, arrays of shape (n,).

    ``frames`` counts those that can be written: 0 where a packet holds no whole ones.
    """

    part: RtpBatch
    stream: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    frames: NDArray[np.int64]
    placement: Placement


@dataclass(frozen=True, slots=True)
class PlacedPacket:
    """One packet by itself, and its place; ``payload`` is a copy."""

    stream: int
    payload_type: int
    encoding: Encoding | None
    sequence: int
    timestamp: int
    arrival_ns: int
    frames: int
    payload: NDArray[np.uint8]
