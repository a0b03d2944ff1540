"""What a session description says of a stream, compared with what its packets show.

Where the two contradict each other the packets win: they are what a receiver has to play. Each contradiction is one
line that names the place in the description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtpverify.rtp.channel_order import channel_labels
from rtpverify.rtp.payload import FIRST_DYNAMIC, Encoding, static_name
from rtpverify.rtp.sdp import Media


@dataclass(frozen=True, slots=True)
class Announced:
    """A medium of a session description, and where that is, as ``FILE:LINE``."""

    place: str
    medium: Media

    def encoding(self, payload_type: int) -> Encoding | None:
        """Return the encoding of a payload type; of a dynamic one not announced, the only encoding there is.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        Encoding or None
            None where it is not known, or not decoded here.
        """
        known = self.medium.encodings.get(payload_type)
        distinct = set(self.medium.encodings.values())
        is_strange = payload_type >= FIRST_DYNAMIC and payload_type not in self.medium.rtpmaps
        return distinct.pop() if known is None and is_strange and len(distinct) == 1 else known

    def is_known(self, payload_type: int) -> bool:
        """Return whether the description says what a payload type is, though it may not be decoded here.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        bool
            True for static payload types too, where they are listed.
        """
        medium = self.medium
        is_static = payload_type in medium.payload_types and static_name(payload_type) is not None
        return medium.is_encrypted or payload_type in medium.rtpmaps or is_static

    def channel_order(self, payload_type: int) -> str | None:
        """Return the channel order announced; of a payload type that is not, the only one there is.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        str or None
            None where it is not stated.
        """
        if payload_type not in self.medium.payload_types and len(self.medium.payload_types) == 1:
            payload_type = self.medium.payload_types[0]
        return self.medium.channel_order(payload_type)

    def labels(self, payload_type: int, channels: int) -> list[str]:
        """Return what each channel is called; nothing where that is not said, or not of this many channels.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.
        channels
            Channels of the stream.

        Returns
        -------
        list of str
            One label a channel; empty where they are not known.
        """
        order = self.channel_order(payload_type)
        return channel_labels(order, channels) if order else []

    def contradictions(
        self,
        *,
        destination: str,
        payload_type: int,
        encoding: Encoding | None,
        packet_time_seconds: float | None,
        is_leg: bool,
    ) -> Iterator[str]:
        """Yield a line for each thing that the packets show to be otherwise.

        Parameters
        ----------
        destination
            ``address:port`` that the packets are sent to.
        payload_type
            Payload type of the packets.
        encoding, packet_time_seconds
            As the packets have it; None where that is not known.
        is_leg
            Whether the stream has legs, of which each is at the address announced for it.

        Yields
        ------
        str
            Sentences for the warnings of a result.
        """
        medium, place = self.medium, self.place
        if medium.destination and destination != medium.destination and not is_leg and not self._is_anywhere:
            yield f"{place}: announced for {medium.destination}, packets go to {destination}"
        if medium.payload_types and payload_type not in medium.payload_types:
            said = ", ".join(map(str, medium.payload_types))
            yield f"{place}: payload type {said} announced, packets have {payload_type}"
        said_encoding = self.encoding(payload_type)
        if encoding is None or said_encoding is None:
            return
        order = self.channel_order(payload_type)
        if order and not channel_labels(order, encoding.channels):
            yield f"{place}: channel-order {order} does not name {encoding.channels} channels"
        rate_hz = encoding.sample_rate_hz
        bounds = medium.packet_frames(said_encoding)
        if bounds and packet_time_seconds is not None:
            frames = packet_time_seconds * rate_hz
            if frames <= bounds[0] - 1 or frames >= bounds[1] + 1:
                what = "framecount" if bounds == medium.framecount else "ptime"
                said_ms = " to ".join(f"{1000 * bound / rate_hz:g}" for bound in dict.fromkeys(bounds))
                yield f"{place}: {what} of {said_ms} ms announced, packets contain {1000 * packet_time_seconds:g} ms"

    @property
    def _is_anywhere(self) -> bool:
        """Whether an unspecified address means every one."""
        connection = self.medium.connection
        return connection is not None and connection.address in ("0.0.0.0", "::")  # noqa: S104 - none is bound
