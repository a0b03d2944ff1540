"""What the payload type of each packet says: how it is decoded, and whether it holds audio of its stream at all."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.encodings import statement
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.placed import PlacedPacket
from rtpverify.engine.stream import Stream
from rtpverify.rtp.batch import RtpBatch
from rtpverify.rtp.payload import COMPANDED, FIRST_DYNAMIC, Encoding
from rtpverify.transport.demux import Held
from rtpverify.transport.placement import Mark
from rtpverify.transport.rows import Rows, RowTable

COMFORT_NOISE = (13, 19)
"""Payload types that a sender uses between stretches of speech (RFC 3389, and before it)."""
TELEPHONE_EVENT_BYTES = 4
"""Payload of a telephone event (RFC 4733 section 2.3)."""
_RESERVED = 0x40
BESIDE_NAMES = ("telephone-event", "tone", "cn")
"""What a session description calls payload types that are no audio of the stream."""


class PayloadTypes(Rows):
    """The payload types of every stream.

    Parameters
    ----------
    table
        Where the rows of streams come from.
    """

    FRESH: ClassVar = {
        "_encodings": lambda _: {},
        "_present": 0,
        "_bytes_per_frame": 0,
        "_is_speech": False,
        "_since": np.iinfo(np.int64).min,
    }
    _encodings: list[dict[int, Encoding | None]]
    """Encoding of each payload type that a stream has had."""
    _present: NDArray[np.int64]
    _bytes_per_frame: NDArray[np.int64]
    _is_speech: NDArray[np.bool_]
    """Whether the sender may leave silence out (RFC 3551 section 4.1)."""
    _since: NDArray[np.int64]
    """Unwrapped timestamp from which on the present payload type holds."""

    def __init__(self, table: RowTable[Stream]) -> None:
        self._table = table
        super().__init__(table)

    def add(self, stream: Stream) -> None:
        """Take in a stream with the payload type it begins with.

        Parameters
        ----------
        stream
            The stream.
        """
        index = stream.index
        self._encodings[index][stream.payload_type] = stream.encoding
        self._present[index] = stream.payload_type
        self._decode_as(index, stream.encoding)

    def take_over(self, stream: int, payload_type: int) -> None:
        """Let a source that begins with this payload type continue with a stream.

        Parameters
        ----------
        stream
            Index of the stream.
        payload_type
            RTP payload type, 0 to 127.
        """
        if self.encoding(stream, payload_type) == self._present_encoding(stream):
            self._present[stream] = self._table.owner(stream).payload_type = payload_type

    def encoding(self, stream: int, payload_type: int) -> Encoding | None:
        """Return how a payload type of a stream is decoded.

        Parameters
        ----------
        stream
            Index of the stream.
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        Encoding or None
            None where it cannot be decoded here.
        """
        known = self._encodings[stream]
        if payload_type not in known:
            spec = self._table.owner(stream).spec
            said = statement(spec, payload_type).encoding
            same = (had for had in known if statement(spec, had).encoding == said)
            # What the first packets showed of the channels holds for every payload type that is described alike.
            alike = next(same, None)
            known[payload_type] = said if alike is None else known[alike]
        return known[payload_type]

    def frames(self, part: RtpBatch, stream: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the frames in each payload, -1 where that is not known, and whether they are whole, shape (n,).

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Stream index of each packet, shape (n,).

        Returns
        -------
        tuple[NDArray[np.int64], NDArray[np.bool_]]
            Frames and whether the payload is a whole number of them, both of shape (n,).
        """
        per_frame = self._bytes_per_frame[stream]
        changed = self.changed(part, stream)
        if changed.any():
            for code in np.unique(stream[changed] << 8 | part.payload_type[changed]).tolist():
                encoding = self.encoding(code >> 8, code & 0xFF)
                per_frame[changed & (stream << 8 | part.payload_type == code)] = _bytes_per_frame(encoding)
        known = per_frame > 0
        frames = np.where(known, part.payload_length // np.maximum(per_frame, 1), -1)
        return frames, known & (frames * per_frame == part.payload_length)

    def changed(self, part: RtpBatch, stream: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which packets have another payload type than their stream has, shape (n,).

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Stream index of each packet, shape (n,).

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        changed: NDArray[np.bool_] = part.payload_type != self._present[stream]
        return changed

    def beside(self, part: RtpBatch, stream: NDArray[np.int64], changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which packets of another payload type than their stream's hold none of its audio, shape (n,).

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Stream index of each packet, shape (n,).
        changed
            Which packets to look at, shape (n,).

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        beside = np.zeros(len(part), np.bool_)
        kind = stream << 8 | part.payload_type
        for code in np.unique(kind[changed]).tolist():
            rows = np.flatnonzero(changed & (kind == code))
            said = _said_beside(self._table.owner(code >> 8).spec, code & 0xFF)
            if said is None:
                rows = rows[part.payload_length[rows] == TELEPHONE_EVENT_BYTES]
                there = rows[part.is_whole[rows]]
                is_other = part.source.arena[part.payload_offset[there] + 1] & _RESERVED != 0
                rows = np.setdiff1d(rows, there[is_other])
            beside[rows] = said is not False
        return beside

    def is_noise(self, stream: int, payload_type: int) -> bool:
        """Return whether what is no audio of the stream with this payload type is comfort noise.

        Parameters
        ----------
        stream
            Index of the stream.
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        bool
            Whether it is, by its number or by the session description.
        """
        announced = self._table.owner(stream).spec.announced
        name = announced.medium.rtpmaps.get(payload_type, "") if announced else ""
        return payload_type in COMFORT_NOISE or name.lower().startswith("cn/")

    def marks(self, part: RtpBatch, stream: NDArray[np.int64], beside: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Return what packets say of their place besides their numbers.

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Stream index of each packet, shape (n,).
        beside
            Which packets hold no audio of their stream, shape (n,).

        Returns
        -------
        NDArray[np.int64] or None
            A :class:`~rtpverify.transport.placement.Mark` for each, shape (n,); None where none says anything.
        """
        speech = self._is_speech[stream]
        if not (speech | beside).any():
            return None
        audio = np.where(part.marker, Mark.SPURT, Mark.SPEECH)
        return np.where(beside, Mark.BESIDE, np.where(speech, audio, Mark.NONE))

    def is_change(self, packet: PlacedPacket) -> bool:
        """Return whether a stream continues with another payload type from this packet on.

        Parameters
        ----------
        packet
            The packet and its place.

        Returns
        -------
        bool
            Whether its payload type is another one than the present.
        """
        stream = packet.stream
        is_later = packet.timestamp >= int(self._since[stream])
        return is_later and packet.payload_type != int(self._present[stream])

    def change(self, packet: PlacedPacket) -> bool:
        """Continue with the payload type of this packet; return whether its encoding is another one.

        Parameters
        ----------
        packet
            The first packet of the new payload type.

        Returns
        -------
        bool
            Whether it is.
        """
        stream, before = packet.stream, self._present_encoding(packet.stream)
        self._present[stream] = self._table.owner(stream).payload_type = packet.payload_type
        self._since[stream] = packet.timestamp
        self._decode_as(stream, packet.encoding)
        return packet.encoding != before

    def correct(self, stream: int, encoding: Encoding) -> None:
        """Decode the present payload type, and those described alike, in another encoding.

        Parameters
        ----------
        stream
            Index of the stream.
        encoding
            The encoding.
        """
        self._encodings[stream] = {int(self._present[stream]): encoding}
        self._decode_as(stream, encoding)

    def _present_encoding(self, stream: int) -> Encoding | None:
        return self._encodings[stream][int(self._present[stream])]

    def _decode_as(self, stream: int, encoding: Encoding | None) -> None:
        self._bytes_per_frame[stream] = _bytes_per_frame(encoding)
        self._is_speech[stream] = encoding is not None and encoding.name in COMPANDED


def _bytes_per_frame(encoding: Encoding | None) -> int:
    """Return the bytes of a frame, 0 where the encoding is not known."""
    return encoding.bytes_per_frame if encoding else 0


def lies_beside(spec: StreamSpec, packet: Held) -> bool:
    """Return whether a packet is no audio of the stream of its stream: comfort noise and telephone events.

    What a description calls so does; of payload types it says nothing of, those of comfort noise, and dynamic ones with
    what is a telephone event (four bytes, of which the reserved bit is 0).

    Parameters
    ----------
    spec
        What is expected of the stream.
    packet
        The packet.

    Returns
    -------
    bool
        Whether it does.
    """
    said = _said_beside(spec, packet.payload_type)
    if said is not None:
        return said
    is_other = not packet.cut_bytes and packet.payload[1:2] > b"" and packet.payload[1] & _RESERVED
    return packet.payload_bytes == TELEPHONE_EVENT_BYTES and not is_other


def _said_beside(spec: StreamSpec, payload_type: int) -> bool | None:
    """Return whether a payload type is no audio of the stream by what is said of it; None: its packets decide."""
    announced = spec.announced
    name = announced.medium.rtpmaps.get(payload_type, "").partition("/")[0] if announced else ""
    if name or payload_type in spec.encodings:
        return name.lower() in BESIDE_NAMES
    if payload_type in COMFORT_NOISE:
        return True
    return None if payload_type >= FIRST_DYNAMIC else False
