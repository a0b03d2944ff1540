"""What can go wrong with a stream, reported once.

An :class:`Event` is one fault. Frames count on the stream's media timeline (the unwrapped RTP
timestamp minus that of the earliest packet; the frame index of a file), channels count from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, dataclass_transform, get_type_hints

_EPOCH = datetime.fromtimestamp(0, UTC)


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
    SENDER_CHANGE = "sender_change"
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
    Kind.SENDER_CHANGE,
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


class Figure(NamedTuple):
    """What a figure of a size is, and which measure of events (of the metrics) its amount is."""

    documentation: str
    measure: str | None = None


SIZES: dict[Kind, type[EventSize]] = {}
"""The record of every kind."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class EventSize:
    """How large a fault of one kind is: one record for each kind, its figures in the units their names say.

    Each is annotated with a :class:`Figure`; one that was not measured is None.
    """

    kind: ClassVar[Kind]

    def __init_subclass__(cls, kind: Kind) -> None:
        cls.kind = kind
        SIZES[kind] = dataclass(frozen=True, kw_only=True)(cls)

    def as_dict(self) -> dict[str, Any]:
        """Return every figure by its name.

        Returns
        -------
        dict[str, Any]
            None for what was not measured.
        """
        return dict(vars(self))


@cache
def figures_of(kind: Kind) -> Mapping[str, tuple[Any, Figure]]:
    """Return the figures of a kind by name: the type of each, and what it is."""
    hints = get_type_hints(SIZES[kind], include_extras=True)
    hints.pop("kind")
    return {name: (hint.__origin__, hint.__metadata__[0]) for name, hint in hints.items()}


class GapSize(EventSize, kind=Kind.GAP):
    """Packets never arrived."""

    packets_lost: Annotated[int | None, Figure("packets that never arrived", "packets")] = None
    packets_dropped_by_host: Annotated[
        int | None, Figure("those that this host dropped meanwhile; null: none known")
    ] = None


class DuplicateSize(EventSize, kind=Kind.DUPLICATE):
    """Packets came more than once."""

    packets_counted: Annotated[int | None, Figure("packets received more than once", "packets")] = None


class ReorderSize(EventSize, kind=Kind.REORDER):
    """Packets came after a later one."""

    packets_counted: Annotated[int | None, Figure("packets received after a later one", "packets")] = None


class LateSize(EventSize, kind=Kind.LATE):
    """Packets came too late."""

    packets_counted: Annotated[int | None, Figure("packets received too late", "packets")] = None
    presentation_lead_seconds: Annotated[float | None, Figure("least lead of a packet before its presentation")] = None


class StallSize(EventSize, kind=Kind.STALL):
    """No packet for too long."""

    stall_seconds: Annotated[float | None, Figure("time without a packet", "duration")] = None


class JitterSize(EventSize, kind=Kind.JITTER):
    """The delay varied."""

    jitter_seconds: Annotated[float | None, Figure("interarrival jitter (RFC 3550)")] = None


class SenderChangeSize(EventSize, kind=Kind.SENDER_CHANGE):
    """Another address took over."""

    from_sender: Annotated[str | None, Figure("address and port before")] = None
    to_sender: Annotated[str | None, Figure("address and port after")] = None
    from_ssrc: Annotated[str | None, Figure("SSRC before")] = None
    to_ssrc: Annotated[str | None, Figure("SSRC after")] = None


class SsrcChangeSize(EventSize, kind=Kind.SSRC_CHANGE):
    """Another source took over."""

    from_ssrc: Annotated[str | None, Figure("SSRC before")] = None
    to_ssrc: Annotated[str | None, Figure("SSRC after")] = None


class PayloadTypeChangeSize(EventSize, kind=Kind.PAYLOAD_TYPE_CHANGE):
    """The payload type changed."""

    from_payload_type: Annotated[int | None, Figure("payload type before")] = None
    to_payload_type: Annotated[int | None, Figure("payload type after")] = None


class TimestampJumpSize(EventSize, kind=Kind.TIMESTAMP_JUMP):
    """Timestamps moved to another offset."""

    timestamp_jump_frames: Annotated[
        int | None, Figure("by how much the timestamp is ahead of the expected", "frames")
    ] = None
    timestamp_jumps: Annotated[int | None, Figure("jumps that are one fault; null: one")] = None
    timestamp_clock_ppm: Annotated[
        float | None, Figure("how fast the clock of the timestamps runs against the audio, where they are a frame each")
    ] = None


class TimestampErrorSize(EventSize, kind=Kind.TIMESTAMP_ERROR):
    """Timestamps contradict the sequence numbers."""

    packets_deviating: Annotated[int | None, Figure("packets with a deviating timestamp")] = None
    timestamp_deviation_frames: Annotated[
        int | None, Figure("largest deviation, positive where the timestamp is ahead")
    ] = None
    timestamp_deviation_seconds: Annotated[float | None, Figure("the same in time")] = None
    timestamp_pattern: Annotated[str | None, Figure("what the timestamps are instead; null: unknown")] = None
    packets_sharing: Annotated[int | None, Figure("packets with one timestamp, of the pattern `shared`")] = None
    timestamp_rate_hz: Annotated[float | None, Figure("rate of the timestamps, of the pattern `clock_rate`")] = None
    timestamp_quantum_frames: Annotated[
        int | None, Figure("what timestamps are rounded to, of the pattern `rounded`")
    ] = None
    timestamp_clock_ppm: Annotated[
        float | None, Figure("how fast their clock runs against the audio, of the pattern `rounded`; null: unknown")
    ] = None
    timestamp_moved_frames: Annotated[
        int | None, Figure("by how much timestamps moved for good meanwhile; null: not at all")
    ] = None


class RestartSize(EventSize, kind=Kind.RESTART):
    """The sender began again."""

    timestamp_jump_frames: Annotated[
        int | None, Figure("by how much the timestamp is ahead of the expected", "frames")
    ] = None


class EndedSize(EventSize, kind=Kind.ENDED):
    """The stream stopped."""

    ended_seconds: Annotated[float | None, Figure("time without a packet", "duration")] = None


class MissingSize(EventSize, kind=Kind.MISSING):
    """The stream never came."""

    missing_seconds: Annotated[float | None, Figure("time waited", "duration")] = None


class SlipSize(EventSize, kind=Kind.SLIP):
    """The content jumped."""

    slip_frames: Annotated[int | None, Figure("frames missing (positive) or inserted; null: too noisy", "frames")] = (
        None
    )
    phase_step_rad: Annotated[float | None, Figure("step of the tone's phase")] = None
    candidate_slip_frames: Annotated[
        list[int] | None, Figure("whole packets that fit, where the length is not known")
    ] = None


class DropoutSize(EventSize, kind=Kind.DROPOUT):
    """Frames hold one value."""

    held_value: Annotated[float | None, Figure("the value of all frames; 0: muted")] = None


class RepeatSize(EventSize, kind=Kind.REPEAT):
    """Frames arrived that had arrived before."""

    repeat_distance_frames: Annotated[int | None, Figure("how long before the frames had arrived", "frames")] = None


class ClickSize(EventSize, kind=Kind.CLICK):
    """A few frames are wrong."""

    deviation: Annotated[float | None, Figure("largest deviation from the reference", "ratio")] = None
    bit_errors: Annotated[int | None, Figure("wrong bits, where the right ones are known")] = None


class GainSize(EventSize, kind=Kind.GAIN):
    """The level changed."""

    gain_db: Annotated[float | None, Figure("change of level", "db")] = None
    drift_db_per_second: Annotated[float | None, Figure("its rate, where the sender made it drift")] = None


class ClippingSize(EventSize, kind=Kind.CLIPPING):
    """Peaks are cut off."""

    clip_level: Annotated[float | None, Figure("where peaks are cut off", "ratio")] = None
    residual_dbfs: Annotated[float | None, Figure("signal minus reference")] = None
    thd_plus_n_db: Annotated[float | None, Figure("the same relative to the signal")] = None
    thd_db: Annotated[float | None, Figure("harmonics relative to the tone")] = None


class DistortionSize(EventSize, kind=Kind.DISTORTION):
    """The signal is bent."""

    residual_dbfs: Annotated[float | None, Figure("signal minus reference", "ratio")] = None
    thd_plus_n_db: Annotated[float | None, Figure("the same relative to the signal")] = None
    thd_db: Annotated[float | None, Figure("harmonics relative to the tone")] = None


class NoiseSize(EventSize, kind=Kind.NOISE):
    """Something is added to the signal."""

    residual_dbfs: Annotated[float | None, Figure("signal minus reference", "ratio")] = None
    thd_plus_n_db: Annotated[float | None, Figure("the same relative to the signal")] = None
    deviation: Annotated[float | None, Figure("largest deviation from the reference", "ratio")] = None


class DcOffsetSize(EventSize, kind=Kind.DC_OFFSET):
    """The signal is offset."""

    dc_offset: Annotated[float | None, Figure("offset", "ratio")] = None


class FrequencySize(EventSize, kind=Kind.FREQUENCY):
    """The tone has another frequency."""

    frequency_hz: Annotated[float | None, Figure("frequency of the tone")] = None
    frequency_error_ppm: Annotated[float | None, Figure("its deviation from the reference", "ratio")] = None


class SampleRateSize(EventSize, kind=Kind.SAMPLE_RATE):
    """The content was made for another sample rate."""

    frequency_hz: Annotated[float | None, Figure("frequency of the tone")] = None
    frequency_error_ppm: Annotated[float | None, Figure("its deviation from the reference", "ratio")] = None
    content_rate_hz: Annotated[int | None, Figure("sample rate of the content")] = None


class SilenceSize(EventSize, kind=Kind.SILENCE):
    """There is no signal."""

    held_value: Annotated[float | None, Figure("the value of all frames")] = None


class ChannelSwapSize(EventSize, kind=Kind.CHANNEL_SWAP):
    """A channel carries another one."""

    reference_channel: Annotated[int | None, Figure("channel of the reference that is heard here")] = None
    frequency_hz: Annotated[float | None, Figure("frequency of its tone")] = None
    frequency_error_ppm: Annotated[float | None, Figure("deviation from the tone of this channel", "ratio")] = None


class PolaritySize(EventSize, kind=Kind.POLARITY):
    """The signal is inverted."""

    phase_step_rad: Annotated[float | None, Figure("step of the tone's phase")] = None


class WordLengthSize(EventSize, kind=Kind.WORD_LENGTH):
    """Low bits are always zero."""

    effective_bits: Annotated[int | None, Figure("bits without those that are always zero")] = None
    residual_dbfs: Annotated[float | None, Figure("signal minus reference", "ratio")] = None
    thd_plus_n_db: Annotated[float | None, Figure("the same relative to the signal")] = None


class ByteOrderSize(EventSize, kind=Kind.BYTE_ORDER):
    """The bytes of each sample are swapped."""


class MismatchSize(EventSize, kind=Kind.MISMATCH):
    """Something else than the reference is there."""

    deviation: Annotated[float | None, Figure("largest deviation from the reference", "ratio")] = None
    exchanged_frames: Annotated[int | None, Figure("length of two neighbouring blocks, each in the other's place")] = (
        None
    )
    missing_frames: Annotated[int | None, Figure("frames of the reference that were never received", "frames")] = None
    period_frames: Annotated[int | None, Figure("after which the reference repeats itself")] = None


@dataclass(slots=True)
class Event:
    """One fault of one stream.

    Attributes
    ----------
    size
        How large it is; its type says what happened: the ``kind``.
    cause
        Where it arose; by default that of its kind.
    channel
        Counted from 1; ``None`` where the event concerns all channels or none.
    start_frame, duration_frames
        On the media timeline; ``duration_frames`` is 0 for an instant. While ``open``, the duration is what has
        been seen of it so far.
    message
        One sentence an engineer can act on.
    confidence
        Posterior probability of its kind among the fault models that were compared; None where none were.
    alternatives
        Other kinds with a probability above 0.05; None where no models were compared.
    fault
        False where the event is reported but the limits do not count it as a fault.
    packets
        First and last extended sequence number that carried the fault.
    time_ns
        Arrival of its first packet, in ns since the Unix epoch (UTC).
    id
        Stays the same in every sink; empty until the stream names it.
    open
        True while the fault still continues.
    """

    size: EventSize
    start_frame: int
    duration_frames: int = 0
    channel: int | None = None
    message: str = ""
    cause: Cause | None = None
    confidence: float | None = None
    alternatives: Mapping[Kind, float] | None = None
    fault: bool = True
    packets: tuple[int, int] | None = None
    time_ns: int | None = None
    id: str = ""
    open: bool = False

    def __post_init__(self) -> None:
        if self.cause is None:
            self.cause = DEFAULT_CAUSE.get(self.kind, Cause.UPSTREAM)

    @property
    def kind(self) -> Kind:
        """What happened."""
        return self.size.kind

    def to_dict(self) -> dict[str, Any]:
        """Return the event in the published JSON form: the figures of its kind are next to the common fields.

        Returns
        -------
        dict[str, Any]
            Values of JSON's types.
        """
        return {
            "id": self.id,
            "kind": str(self.kind),
            "channel": self.channel,
            "start_frame": self.start_frame,
            "duration_frames": self.duration_frames,
            "cause": str(self.cause),
            "fault": self.fault,
            "open": self.open,
            "packets": list(self.packets) if self.packets else None,
            "time": rfc3339(self.time_ns),
            **self.size.as_dict(),
            "confidence": self.confidence,
            "alternatives": self.alternatives and {str(kind): value for kind, value in self.alternatives.items()},
            "message": self.message,
        }

    def __getitem__(self, field: str) -> Any:
        """Return a field by its name in JSON, such as ``event["slip_frames"]``."""
        return self.to_dict()[field]

    def name(self, stream: str) -> None:
        """Give the event its identity: a digest of the stream's name, the kind, the channel and the start.

        Parameters
        ----------
        stream
            What makes the names of a stream's events its own.
        """
        from hashlib import blake2s

        text = f"{stream}/{self.kind}/{self.channel}/{self.start_frame}"
        self.id = blake2s(text.encode(), digest_size=6).hexdigest()


def rfc3339(time_ns: int | None) -> str | None:
    """Write a time in ns since the Unix epoch as RFC 3339 in UTC with microseconds.

    Parameters
    ----------
    time_ns
        In ns since the Unix epoch; None where it is not known.

    Returns
    -------
    str or None
        Such as ``2026-11-22T14:03:07.000000Z``; None where the time is.
    """
    if time_ns is None:
        return None
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).replace(microsecond=time_ns // 1000 % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def nanoseconds(moment: datetime) -> int:
    """Return a moment that has a time zone in ns since the Unix epoch, to the microsecond.

    Parameters
    ----------
    moment
        A moment that has a time zone.

    Returns
    -------
    int
        In ns.
    """
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
