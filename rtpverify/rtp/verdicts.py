"""What is found out about the packets of a stream: their places, what is missing, where the sender's numbers broke."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Protocol


@dataclass(slots=True)
class Counts:
    """Packets of one stream; ``received`` are distinct."""

    received: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    late: int = 0
    stray: int = 0

    @property
    def expected(self) -> int:
        """Packets that should have come so far."""
        return self.received + self.lost

    def copy(self) -> Counts:
        """Return the counters as they stand."""
        return replace(self)


class Jump(StrEnum):
    """How a stream's numbers broke."""

    RESTART = "restart"
    TIMESTAMP = "timestamp_jump"
    SSRC = "ssrc_change"
    PAUSE = "pause"
    """No fault: the sender left silence out."""


class Mark(IntEnum):
    """What a packet says of its place, beside its numbers."""

    NONE = 0
    SPURT = 1
    """The first one after silence that was left out."""
    BESIDE = 2
    """It holds no audio of the stream's encoding."""
    SPEECH = 3
    """Its sender may leave silence out; the packet that would say so may be lost."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive packets of one stream that are lost for good.

    ``first_sequence`` and ``last_sequence`` are extended; ``start_frame`` is an unwrapped timestamp. ``frames`` is 0
    where the sender skipped sequence numbers but no media time.
    """

    stream: int
    first_sequence: int
    last_sequence: int
    start_frame: int
    frames: int

    @property
    def packets(self) -> int:
        """Number of packets lost."""
        return self.last_sequence - self.first_sequence + 1


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """The sender's numbers broke, and two packets bear that out.

    Attributes
    ----------
    sequence, frame
        Extended sequence number and unwrapped timestamp of the first packet behind the break.
    from_sequence, from_timestamp
        What the packet behind the head should have had on the wire.
    to_sequence, to_timestamp
        What the first packet behind the break has.
    frames
        How far the timestamp is off, wrap-safe: positive where it jumped ahead.
    """

    stream: int
    kind: Jump
    sequence: int
    frame: int
    from_sequence: int
    to_sequence: int
    from_timestamp: int
    to_timestamp: int
    frames: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """A packet held by an earlier update is accepted after all; fields as in :class:`Verdicts`."""

    stream: int
    sequence: int
    timestamp: int


class Verdicts(Protocol):
    """Where verdicts go: those of this update by row, and what became certain."""

    gaps: list[Gap]
    discontinuities: list[Discontinuity]
    resolved: list[Resolved]

    def accept(self, row: int, sequence: int, timestamp: int) -> None:
        """Accept the packet in this row."""

    def hold(self, row: int) -> None:
        """Leave the packet in this row open."""
