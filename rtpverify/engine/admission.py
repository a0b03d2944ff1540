"""What a source must show before its packets become a stream, and which of its payload types the stream is of.

Datagrams that happen to look like RTP are common: the second byte of BACnet, DNS and many others reads as a payload
type that exists. Where a request, a session description or a configured port describes a payload type, two packets of
it are enough (RFC 3550 A.1). Where nothing does, it takes more of them, one after the other in sequence as they
arrive, and in time.

The payload type of a stream is that of its audio, whichever came first: comfort noise and telephone events are none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from rtpverify.engine.encodings import FirstPackets, decide, statement
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.payload_types import TELEPHONE_EVENT_BYTES, lies_beside
from rtpverify.rtp.batch import Flow
from rtpverify.rtp.payload import FIRST_DYNAMIC
from rtpverify.rtp.serial import wrap_difference
from rtpverify.transport.demux import MAX_HELD_PACKETS, Held

MIN_IN_TIME = 3
"""Consecutive packets whose timestamps continue that prove a source which nothing describes."""
MIN_IN_ORDER = 16
"""The same where timestamps do not advance or leap about; many packets of video have one timestamp."""
MAX_AHEAD = 4
"""How far the sequence number continues where packets between were lost."""
MAX_NAMED = 4
"""Sources of too few packets that a message names."""
MAX_STEP = 1 << 20
"""How far a timestamp continues from one packet to the next: 11 s at 96 kHz."""


class Admission:
    """Checks the packets of sources.

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
        decision = decide(statement(spec, own), first, is_judged=spec.wants_encoding)
        return own if count >= decision.packets_wanted else None

    def shortfall(self, sources: Sequence[Sequence[Held]], flows: Sequence[Flow]) -> str | None:
        """Say which sources began like streams and sent too few packets to be one, what it takes, and what to do.

        Parameters
        ----------
        sources
            Packets of each source that was never proved.
        flows
            Of the input, by number.

        Returns
        -------
        str or None
            A sentence for the result; None where there are no such sources.
        """
        short = [text for packets in sources if (text := self._too_few(packets, flows))]
        if not short:
            return None
        more = f", and {len(short) - MAX_NAMED} more" if len(short) > MAX_NAMED else ""
        return (
            f"not verified: {', '.join(short[:MAX_NAMED])}{more}. A payload type that nothing describes is taken for "
            f"RTP from {MIN_IN_TIME + 1} packets in sequence with advancing timestamps on ({MIN_IN_ORDER + 1} without)"
            f"; described with --sdp, or from {FIRST_DYNAMIC} on with --encoding, 2 are enough"
        )

    def _too_few(self, packets: Sequence[Held], flows: Sequence[Flow]) -> str | None:
        """Name a source whose packets follow one another, or of which a single one was expected; None for others."""
        spec, first = self._spec_of(packets[-1].flow), packets[0]
        own = own_payload_type(spec, packets)
        steps = _steps(spec, packets)
        follow = sum(0 < ahead <= MAX_AHEAD for ahead, _ in steps)
        if not (spec.describes(own) if not steps else 2 * follow >= len(steps)):
            return None
        count, ends = len(packets), flows[first.flow]
        ssrc = int.from_bytes(first.datagram[8:12], "big")
        what = f"{count} packet{'s' if count > 1 else ''} of payload type {own}"
        return f"{what} from {ends.sender} to {ends.destination} (SSRC 0x{ssrc:08x})"

    def _is_proved(self, spec: StreamSpec, own: int, packets: Sequence[Held]) -> bool:
        """Return whether packets are those of one sender of RTP."""
        ours = [packet for packet in packets if packet.payload_type == own or lies_beside(spec, packet)]
        distinct = list({packet.sequence: packet for packet in ours}.values())
        if spec.describes(own):
            return len(distinct) > 1
        # As they arrive; where many packets overtake one another, timestamps follow the numbers all the same.
        start = distinct[0].sequence
        in_order = sorted(distinct, key=lambda packet: wrap_difference(packet.sequence, start, 16))
        return _go_on(_steps(spec, distinct), MIN_IN_TIME, 0.5) or _go_on(_steps(spec, in_order), MIN_IN_ORDER, 0.75)


def _go_on(steps: Sequence[tuple[int, int]], min_in_time: int, fraction: float) -> bool:
    """Return whether so many steps, and most of all, lead on in sequence and time, or many in sequence alone."""
    in_time = sum(0 < ahead <= MAX_AHEAD and 0 < step <= MAX_STEP for ahead, step in steps)
    in_order = sum(ahead == 1 for ahead, _ in steps)
    wanted = fraction * len(steps)
    return in_time >= max(min_in_time, wanted) or (fraction <= 0.5 and in_order >= max(MIN_IN_ORDER, wanted))


def _steps(spec: StreamSpec, packets: Sequence[Held]) -> list[tuple[int, int]]:
    """Return the steps from one packet to the next, in sequence and in time."""
    return [
        (
            wrap_difference(other.sequence, one.sequence, 16),
            wrap_difference(_time(spec, other), _time(spec, one), 32),
        )
        for one, other in pairwise(packets)
    ]


def _time(spec: StreamSpec, packet: Held) -> int:
    """Return the timestamp of a packet; a telephone event keeps that of its start, and says its duration so far."""
    if packet.payload_bytes != TELEPHONE_EVENT_BYTES or packet.cut_bytes or not lies_beside(spec, packet):
        return packet.timestamp
    return packet.timestamp + int.from_bytes(packet.payload[2:4], "big") & 0xFFFFFFFF


def own_payload_type(spec: StreamSpec, packets: Sequence[Held]) -> int:
    """Return the payload type of the first packet that can be decoded; of the first one where none can.

    Parameters
    ----------
    spec
        What is expected of the stream.
    packets
        Its first packets, in order of arrival.

    Returns
    -------
    int
        The payload type.
    """
    known = (packet for packet in packets if statement(spec, packet.payload_type).encoding is not None)
    return next(known, packets[0]).payload_type
