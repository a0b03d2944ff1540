"""What the payload type of each packet says: how it is decoded, and whether it holds audio of its stream at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.announced import fitting
from rtpverify.frames import COMPANDED
from rtpverify.reference import Tone
from rtpverify.rtp.batch import RtpBatch
from rtpverify.rtp.demux import Part
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.sequence import Placement
from rtpverify.rtp.verdicts import Mark
from rtpverify.rtp.wrap import wrap_difference
from rtpverify.slots import put, put_value
from rtpverify.spec import StreamSpec
from rtpverify.stream import Stream

COMFORT_NOISE = 13
"""Payload type that a sender uses between stretches of speech (RFC 3389)."""
TELEPHONE_EVENT_BYTES = 4
"""Payload of a telephone event (RFC 4733 section 2.3)."""
FIRST_DYNAMIC = 96
"""Least payload type whose encoding is agreed on elsewhere (RFC 3551)."""
FIRST_PACKETS = 8
"""Packets of a new stream that are looked at for its packet time."""


@dataclass(frozen=True, slots=True)
class Change:
    """A stream goes on with another payload type, from the packet in this row on."""

    stream: int
    row: int
    payload_type: int


class PayloadTypes:
    """The present payload type of every stream; arrays run over streams."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []
        self._present = np.zeros(0, np.int64)
        self._bytes_per_frame = np.zeros(0, np.int64)
        self._foreign = np.zeros(0, np.bool_)
        """Whether the present payload type is decoded otherwise than the one the stream began with."""
        self._is_speech = np.zeros(0, np.bool_)
        """Whether the sender may leave silence out (RFC 3551 section 4.1)."""

    def add(self, stream: Stream) -> None:
        """Take in a stream with the payload type it begins with."""
        index, encoding = stream.index, stream.encoding
        put(self._streams, index, stream)
        self._present = put_value(self._present, index, stream.payload_type)
        bytes_per_frame = encoding.bytes_per_frame if encoding else 0
        self._bytes_per_frame = put_value(self._bytes_per_frame, index, bytes_per_frame)
        self._foreign = put_value(self._foreign, index, False)
        is_speech = encoding is not None and encoding.name in COMPANDED
        self._is_speech = put_value(self._is_speech, index, is_speech)

    def take_over(self, stream: int, payload_type: int) -> None:
        """Let a source with this payload type go on with a stream."""
        self._present[stream] = payload_type

    def frames(self, part: RtpBatch, stream: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the frames in each payload, -1 where that is not known, and whether they are whole, shape (n,)."""
        per_frame = self._bytes_per_frame[stream]
        known = per_frame > 0
        frames = np.where(known, part.payload_length // np.maximum(per_frame, 1), -1)
        return frames, known & (frames * per_frame == part.payload_length)

    def changed(self, part: RtpBatch, stream: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which packets have another payload type than their stream has, shape (n,)."""
        changed: NDArray[np.bool_] = part.payload_type != self._present[stream]
        return changed

    def is_foreign(self, stream: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which packets belong to a stream that is no longer decoded, shape (n,)."""
        return self._foreign[stream]

    def marks(self, part: RtpBatch, stream: NDArray[np.int64], beside: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Return what packets say of their place beside their numbers."""
        speech = self._is_speech[stream]
        if not (speech | beside).any():
            return None
        audio = np.where(part.marker, Mark.SPURT, Mark.SPEECH)
        return np.where(beside, Mark.BESIDE, np.where(speech, audio, Mark.NONE))

    def follow(
        self,
        part: RtpBatch,
        stream: NDArray[np.int64],
        placement: Placement,
        beside: NDArray[np.bool_],
        changing: NDArray[np.int64],
    ) -> tuple[list[Change], NDArray[np.bool_]]:
        """Go on with other payload types in the streams ``changing`` that have some.

        Return the changes, and which packets cannot be decoded as the rest of their stream.
        """
        foreign = np.zeros(len(part), np.bool_)
        changes = []
        for row in np.flatnonzero(np.isin(stream, changing) & ~beside).tolist():
            index, payload_type = int(stream[row]), int(part.payload_type[row])
            owner = self._streams[index]
            foreign[row] = owner.spec.encoding_of(payload_type) != owner.encoding
            if payload_type != self._present[index] and placement.accepted[row]:
                changes.append(Change(index, row, payload_type))
                self._present[index] = payload_type
                self._foreign[index] = foreign[row]
        return changes, foreign


def lie_beside(part: RtpBatch, changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which packets of another payload type lie beside the audio: comfort noise and telephone events."""
    event = (part.payload_type >= FIRST_DYNAMIC) & (part.payload_length == TELEPHONE_EVENT_BYTES)
    beside: NDArray[np.bool_] = changed & ((part.payload_type == COMFORT_NOISE) | event)
    return beside


def first_encoding(parts: Sequence[Part], index: int, spec: StreamSpec, payload_type: int) -> Encoding | None:
    """Return how a new stream is decoded; what a description says of the channels gives way to its first packets."""
    encoding = spec.encoding_of(payload_type)
    if spec.announced is None:
        return encoding
    encoding = encoding or spec.announced.encoding(payload_type)
    if encoding is None:
        return None
    seen: tuple[int, int] | None = None
    for part, of, _ in parts:
        for row in np.flatnonzero((of == index) & (part.payload_type == payload_type))[:FIRST_PACKETS].tolist():
            sequence, timestamp = int(part.sequence[row]), int(part.timestamp[row])
            if seen is not None and sequence != seen[0]:
                steps = wrap_difference(sequence, seen[0], 16)
                step, rest = divmod(wrap_difference(timestamp, seen[1], 32), steps)
                if rest or not _takes_any_channels(spec):
                    return encoding
                return fitting(encoding, int(part.payload_length[row]), step)
            seen = seen or (sequence, timestamp)
    return encoding


def _takes_any_channels(spec: StreamSpec) -> bool:
    """Tell whether the reference holds for another number of channels than announced."""
    return not isinstance(spec.reference, Tone) or len(spec.reference.frequencies_hz) <= 1
