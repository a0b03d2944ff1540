"""What a source must show before its packets become a stream, and which of its payload types the stream is of.

Datagrams that happen to look like RTP are common: the second byte of BACnet, DNS and many others reads as a payload
type that exists. Where a request, a session description or a configured port describes a payload type, two packets of
it are enough (RFC 3550 A.1). Where nothing does, it takes more of them, one behind the other in sequence as they
arrive, and in time.

The payload type of a stream is that of its audio, whichever came first: comfort noise and telephone events lie beside
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from rtpverify.encodings import FirstPackets, decide, statement
from rtpverify.payload_types import TELEPHONE_EVENT_BYTES, lies_beside
from rtpverify.rtp.demux import MAX_HELD_PACKETS, Held
from rtpverify.rtp.wrap import wrap_difference
from rtpverify.spec import StreamSpec

MIN_IN_TIME = 3
"""Packets behind one another whose timestamps go on that prove a source which nothing describes."""
MIN_IN_ORDER = 16
"""The same where timestamps stand still or leap about; many packets of video have one timestamp."""
MAX_STEP = 1 << 20
"""How far a timestamp goes on from one packet to the next: 11 s at 96 kHz."""


class Admission:
    """Judges the packets of sources.

    Parameters
    ----------
    spec_of
        What is expected of a flow.
    """

    def __init__(self, spec_of: Callable[[int], StreamSpec]) -> None:
        self._spec_of = spec_of

    def __call__(self, packets: Sequence[Held], at_end: bool) -> int | None:
        """Return the payload type of the stream that packets prove, None while they prove none.

        A source that is proved still waits, for a bounded number of packets, until what they show of its encoding is
        clear; nothing of it is lost by that.
        """
        if len(packets) < 2:
            return None
        spec, is_last = self._spec_of(packets[-1].flow), at_end or len(packets) > MAX_HELD_PACKETS
        audio = [packet for packet in packets if not lies_beside(spec, packet)]
        if not audio and not is_last:
            return None
        own = own_payload_type(spec, audio or packets)
        if not self._is_proved(spec, own, packets):
            return None
        first = FirstPackets([packet for packet in packets if packet.payload_type == own])
        count = len(first.packets)
        if is_last or not audio:
            return own
        # Looked at each time it has doubled: to look takes longer than to wait.
        if count & (count - 1):
            return None
        decision = decide(statement(spec, own), first, is_judged=spec.reference is not None)
        return own if count >= decision.packets_wanted else None

    def _is_proved(self, spec: StreamSpec, own: int, packets: Sequence[Held]) -> bool:
        """Tell whether packets are those of one sender of RTP."""
        ours = [packet for packet in packets if packet.payload_type == own or lies_beside(spec, packet)]
        distinct = list({packet.sequence: packet for packet in ours}.values())
        if spec.describes(own):
            return len(distinct) > 1
        steps = _steps(spec, distinct)
        in_time = sum(0 < step <= MAX_STEP for step in steps)
        if 2 * len(steps) >= len(distinct) - 1 and (in_time >= MIN_IN_TIME or len(steps) >= MIN_IN_ORDER):
            return True
        # Where many packets overtake one another, their timestamps follow their sequence numbers all the same.
        start = distinct[0].sequence
        steps = _steps(spec, sorted(distinct, key=lambda packet: wrap_difference(packet.sequence, start, 16)))
        in_time = sum(0 < step <= MAX_STEP for step in steps)
        return in_time >= MIN_IN_ORDER and 4 * in_time >= 3 * len(steps)


def _steps(spec: StreamSpec, packets: Sequence[Held]) -> list[int]:
    """Return the steps of the timestamps between packets of which one has the next sequence number."""
    return [
        wrap_difference(_time(spec, other), _time(spec, one), 32)
        for one, other in pairwise(packets)
        if wrap_difference(other.sequence, one.sequence, 16) == 1
    ]


def _time(spec: StreamSpec, packet: Held) -> int:
    """Return the timestamp of a packet; a telephone event keeps that of its start, and tells its duration so far."""
    if packet.payload_bytes != TELEPHONE_EVENT_BYTES or packet.cut_bytes or not lies_beside(spec, packet):
        return packet.timestamp
    return packet.timestamp + int.from_bytes(packet.payload[2:4], "big") & 0xFFFFFFFF


def own_payload_type(spec: StreamSpec, packets: Sequence[Held]) -> int:
    """Return the payload type of the first packet that can be decoded; of the first one where none can."""
    known = (packet for packet in packets if statement(spec, packet.payload_type).encoding is not None)
    return next(known, packets[0]).payload_type
