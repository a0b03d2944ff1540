"""What can go wrong with a stream, told once.

An :class:`Event` is one fault. Frames count on the stream's media timeline (the unwrapped RTP
timestamp minus that of the earliest packet; the frame index of a file), channels count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Where a fault arose, seen from the receiver."""

    NETWORK = "network"
    UPSTREAM = "upstream"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What happened; the names are part of the published contract."""

    GAP = "gap"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    LATE = "late"
    STALL = "stall"
    JITTER = "jitter"
    SSRC_CHANGE = "ssrc_change"
    PAYLOAD_TYPE_CHANGE = "payload_type_change"
    TIMESTAMP_JUMP = "timestamp_jump"
    TIMESTAMP_ERROR = "timestamp_error"
    RESTART = "restart"
    ENDED = "ended"
    MISSING = "missing"
    SLIP = "slip"
    DROPOUT = "dropout"
    REPEAT = "repeat"
    CLICK = "click"
    GAIN = "gain"
    CLIPPING = "clipping"
    DISTORTION = "distortion"
    NOISE = "noise"
    DC_OFFSET = "dc_offset"
    FREQUENCY = "frequency"
    SAMPLE_RATE = "sample_rate"
    SILENCE = "silence"
    CHANNEL_SWAP = "channel_swap"
    POLARITY = "polarity"
    WORD_LENGTH = "word_length"
    BYTE_ORDER = "byte_order"
    MISMATCH = "mismatch"


TRANSPORT_KINDS = (
    Kind.GAP,
    Kind.DUPLICATE,
    Kind.REORDER,
    Kind.LATE,
    Kind.STALL,
    Kind.JITTER,
    Kind.SSRC_CHANGE,
    Kind.PAYLOAD_TYPE_CHANGE,
    Kind.TIMESTAMP_JUMP,
    Kind.TIMESTAMP_ERROR,
    Kind.RESTART,
    Kind.ENDED,
    Kind.MISSING,
)
"""What packets show, whatever they hold; the others are of the signal."""

DEFAULT_CAUSE: dict[Kind, Cause] = {
    Kind.GAP: Cause.NETWORK,
    Kind.DUPLICATE: Cause.NETWORK,
    Kind.REORDER: Cause.NETWORK,
    Kind.LATE: Cause.NETWORK,
    Kind.STALL: Cause.UNKNOWN,
    Kind.JITTER: Cause.UNKNOWN,
    Kind.ENDED: Cause.UNKNOWN,
    Kind.MISSING: Cause.UNKNOWN,
}


@dataclass(slots=True)
class Event:
    """One fault of one stream.

    Attributes
    ----------
    kind, cause
        What happened and where it arose; ``cause`` defaults by kind.
    channel
        Counted from 1; ``None`` where the event concerns all channels or none.
    start_frame, duration_frames
        On the media timeline; ``duration_frames`` is 0 for an instant. While ``open``, the duration is what has
        been seen of it so far.
    message
        One sentence an engineer can act on.
    size
        The figures of the event's kind (``slip_frames``, ``gain_db``, ``deviation``, …), in the units their names say.
    fault
        False where the event is told but the limits do not count it as a fault.
    packets
        First and last extended sequence number that carried the fault.
    time_ns
        Arrival of its first packet, in ns since the Unix epoch (UTC).
    id
        Stays the same in every outlet; empty until the stream names it.
    open
        True while the fault still goes on.
    """

    kind: Kind
    start_frame: int
    duration_frames: int = 0
    channel: int | None = None
    message: str = ""
    size: dict[str, Any] = field(default_factory=dict)
    cause: Cause | None = None
    fault: bool = True
    packets: tuple[int, int] | None = None
    time_ns: int | None = None
    id: str = ""
    open: bool = False

    def __post_init__(self) -> None:
        if self.cause is None:
            self.cause = DEFAULT_CAUSE.get(self.kind, Cause.UPSTREAM)

    def name(self, stream: str) -> None:
        """Give the event its identity: a digest of the stream's name, the kind, the channel and the start."""
        from hashlib import blake2s

        text = f"{stream}/{self.kind}/{self.channel}/{self.start_frame}"
        self.id = blake2s(text.encode(), digest_size=6).hexdigest()
