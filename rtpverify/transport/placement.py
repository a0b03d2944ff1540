"""What is found out about the packets of a stream: their places, what is missing, where the sender's numbers broke."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol


class Jump(StrEnum):
    """How a stream's numbers broke."""

    RESTART = "restart"
    TIMESTAMP = "timestamp_jump"
    SSRC = "ssrc_change"
    PAUSE = "pause"
    """No fault: the sender left silence out."""


class Mark(IntEnum):
    """What a packet says of its place, besides its numbers."""

    NONE = 0
    SPURT = 1
    """The first one after silence that was omitted."""
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
    """The sender's numbers broke, and further packets bear that out.

    Attributes
    ----------
    sequence, frame
        Extended sequence number and unwrapped timestamp of the first packet after the break.
    from_sequence, from_timestamp
        What the packet after the head should have had on the wire.
    to_sequence, to_timestamp
        What the first packet after the break has.
    frames
        How far the timestamp is off, wrap-safe: positive where it jumped ahead.
    joins
        Whether it is one fault with the jump before it.
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
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Break:
    """Delays of the packets from this one on are not compared with those before; ``sequence`` is extended."""

    stream: int
    sequence: int


@dataclass(frozen=True, slots=True)
class TimestampError:
    """Timestamps that contradict the sequence numbers without settling.

    Attributes
    ----------
    first_sequence, last_sequence
        Extended sequence numbers of the first and the last packet that deviates.
    start_frame, frames
        Place of the first one, and what lies from there to the end of the last one.
    packets
        How many deviate.
    deviation
        The largest, in frames: positive where the timestamp lies ahead of its place.
    spread
        Frames between the least and the greatest deviation.
    moves, moved
        How often, and by how many frames in all, timestamps settled on another base meanwhile.
    move_frames
        From the first of these moves to the last one.
    steps
        How far timestamps advanced from one packet to the next where that is not what it holds, and how often, the
        most frequent step first.
    step_frames
        What those packets hold.
    quantum
        Greatest common divisor of the steps.
    is_open
        Whether it may continue; a later one with the same start takes its place.
    """

    stream: int
    first_sequence: int
    last_sequence: int
    start_frame: int
    frames: int
    packets: int
    deviation: int
    spread: int
    moves: int
    moved: int
    move_frames: int
    steps: tuple[tuple[int, int], ...]
    step_frames: int
    quantum: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """A packet held by an earlier update is accepted after all; fields as in :class:`Verdicts`."""

    stream: int
    sequence: int
    timestamp: int


@dataclass(slots=True)
class StreamFindings:
    """What became certain of a stream."""

    gaps: list[Gap] = field(default_factory=list)
    discontinuities: list[Discontinuity] = field(default_factory=list)
    timestamp_errors: list[TimestampError] = field(default_factory=list)

    def forget(self, stream: int) -> None:
        """Leave out what was found of a stream.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        self.gaps = [item for item in self.gaps if item.stream != stream]
        self.discontinuities = [item for item in self.discontinuities if item.stream != stream]
        self.timestamp_errors = [item for item in self.timestamp_errors if item.stream != stream]

    def move_to(self, other: StreamFindings) -> None:
        """Hand everything over.

        Parameters
        ----------
        other
            Takes the findings.
        """
        other.gaps += self.gaps
        other.discontinuities += self.discontinuities
        other.timestamp_errors += self.timestamp_errors
        self.gaps, self.discontinuities, self.timestamp_errors = [], [], []


class Verdicts(Protocol):
    """Where verdicts go: those of this update by row, and what became certain."""

    found: StreamFindings
    breaks: list[Break]
    resolved: list[Resolved]

    def accept(self, row: int, sequence: int, timestamp: int) -> None:
        """Accept the packet in this row.

        Parameters
        ----------
        row
            Row of the packet in the update.
        sequence
            Extended sequence number.
        timestamp
            Unwrapped timestamp, in frames.
        """

    def hold(self, row: int) -> None:
        """Leave the packet in this row open.

        Parameters
        ----------
        row
            Row of the packet in the update.
        """
