"""How a stream is encoded: what is said of it, as far as its first packets bear it out.

A frame has as many bytes as a payload divided by the step of the timestamps; whether it is one sample of three bytes or
three of one, the samples show (:mod:`rtpverify.rtp.readings`). Where packets contradict what is said, either it or the
timestamps are wrong (there are senders that count bytes, channels or milliseconds): the one that keeps time with the
arrival of the packets is right. Without such times it is what makes the samples audio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rtpverify.engine.clock_rates import (
    MAX_CLOCK_ERROR_PPM,
    MAX_RATE_ERROR,
    MAX_ROUGH_ERROR,
    SAMPLE_RATES_HZ,
    PacketClock,
    rate_in_use,
)
from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import ConfigurationError
from rtpverify.rtp.payload import Encoding, static_encoding, static_name
from rtpverify.rtp.readings import MIN_GAIN, SampleEvidence, code_bits, is_audio, readings
from rtpverify.rtp.serial import wrap_difference
from rtpverify.transport.demux import MAX_HELD_PACKETS, Held

MAX_TIME_ERROR = 1 + MAX_ROUGH_ERROR
"""Timestamps keep time with the arrival of packets up to this factor."""
TIMED_NS = 100_000_000
"""Time in which packets come that show for sure how fast a sender's timestamps run."""
MAX_BYTES_OF_TELEPHONY = 2
"""Longer frames, of words of several bytes, are not taken for many channels of one byte each."""
SRTP_TAG_BYTES = (4, 10, 16)
"""What encryption adds to a payload (RFC 3711, RFC 7714)."""


FEW_PACKETS = 8
ENOUGH_FRAMES = 128
"""Packets that are waited for, and more where they hold fewer frames, so that samples show."""
MANY_PACKETS = MAX_HELD_PACKETS
"""Packets that are waited for, so that times show."""


class Decision(NamedTuple):
    """How a stream is decoded.

    Attributes
    ----------
    encoding
        None where that is not known: the stream is followed by its transport alone.
    doubt
        Why the result is not to be relied upon, where packets contradict what is said or nothing is said.
    packets_wanted
        Packets of the stream that it is worth to wait for; 0 where more would show nothing more.
    """

    encoding: Encoding | None
    doubt: str | None = None
    packets_wanted: int = 0


@dataclass(frozen=True, slots=True)
class EncodingStatement:
    """What is said of a payload type, and by whom, as the beginning of a sentence.

    Attributes
    ----------
    is_asked
        Whether the request or a description says it, and no standard.
    is_open
        Whether nothing is said: the packets decide.
    remedy
        How to say another encoding, which comes next.
    """

    encoding: Encoding | None
    text: str
    is_asked: bool = False
    is_open: bool = False
    remedy: str = "set --encoding"


def statement(spec: StreamSpec, payload_type: int) -> EncodingStatement:
    """Return what the request, a session description or RFC 3551 says of a payload type.

    Parameters
    ----------
    spec
        What is expected of the stream.
    payload_type
        RTP payload type, 0 to 127.

    Returns
    -------
    EncodingStatement
        The statement, with who made it.
    """
    announced = spec.announced
    encoding = spec.encoding_of(payload_type)
    if encoding is None and announced is not None and not announced.medium.is_encrypted:
        encoding = announced.encoding(payload_type)
    if encoding is None:
        is_known = announced.is_known(payload_type) if announced else static_name(payload_type) is not None
        return EncodingStatement(None, spec.why_undecodable(payload_type), is_open=not is_known)
    if encoding == spec.encodings.get(payload_type) or encoding not in (static_encoding(payload_type), spec.encoding):
        place = f"{announced.place}: " if announced else ""
        remedy = f"announce a=rtpmap:{payload_type}"
        return EncodingStatement(encoding, f"{place}{encoding} announced", is_asked=True, remedy=remedy)
    if encoding == static_encoding(payload_type):
        text = f"payload type {payload_type} is {encoding} (RFC 3551)"
        return EncodingStatement(encoding, text, remedy=f"give --sdp with a=rtpmap:{payload_type}")
    return EncodingStatement(encoding, f"encoding {encoding} is given", is_asked=True)


class FirstPackets:
    """The first packets of one payload type of a stream, at least one, each once.

    Parameters
    ----------
    packets
        Packets of one payload type, in order of arrival.

    Attributes
    ----------
    payload
        Their payloads one after the other, without those that a capture cut off.
    spans
        Bytes of payload and step to the next timestamp of each packet whose next one came.
    """

    def __init__(self, packets: Sequence[Held]) -> None:
        by_sequence = {
            wrap_difference(packet.sequence, packets[0].sequence, 16): packet for packet in reversed(packets)
        }
        in_order = sorted(by_sequence.items())
        self.packets = [packet for _, packet in in_order]
        self.clock = PacketClock(self.packets)
        self.payload = b"".join(packet.payload for packet in self.packets if not packet.cut_bytes)
        self.spans = [
            (one.payload_bytes, wrap_difference(other.timestamp, one.timestamp, 32))
            for (at, one), (then, other) in pairwise(in_order)
            if then == at + 1
        ]
        self.packet_bytes, self.step = Counter(self.spans).most_common(1)[0][0] if self.spans else (0, 0)

    @property
    def bytes_per_frame(self) -> int | None:
        """Bytes of a frame, as payloads and timestamps have it; None where they do not agree on a whole number."""
        exact = Counter(size // step for size, step in self.spans if step > 0 and size and size % step == 0)
        if exact:
            [(bytes_per_frame, count)] = exact.most_common(1)
            if 3 * count >= 2 * len(self.spans):
                return bytes_per_frame
        # Rounded from a clock, steps are a frame longer or shorter.
        sizes, steps = zip(*self.spans, strict=True) if self.spans else ((), ())
        if len(set(sizes)) != 1 or len(set(steps)) < 2 or min(steps) <= 0:
            return None
        bytes_per_frame = round(sum(sizes) / sum(steps))
        frames, rest = divmod(sizes[0], max(bytes_per_frame, 1))
        return None if rest or any(abs(step - frames) > 2 for step in steps) else bytes_per_frame

    @property
    def ticks_per_second(self) -> float | None:
        """How fast the timestamps run against the arrival of the packets, roughly; None where they do not show it."""
        return self.clock.ticks_per_second(MAX_ROUGH_ERROR)

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate in use that the timestamps run at; None where there is none, or arrival varies too much to show."""
        ticks = self.clock.ticks_per_second(MAX_RATE_ERROR)
        return None if ticks is None else rate_in_use(ticks, MAX_RATE_ERROR)

    def few(self, encoding: Encoding) -> int:
        """Return how many packets of an encoding hold enough samples.

        Parameters
        ----------
        encoding
            The encoding.

        Returns
        -------
        int
            Packets, from ``FEW_PACKETS`` to ``MANY_PACKETS``.
        """
        frames = max(self.packet_bytes // encoding.bytes_per_frame, 1)
        return min(max(FEW_PACKETS, -(-ENOUGH_FRAMES // frames)), MANY_PACKETS)

    @property
    def is_silent(self) -> bool:
        """Whether all bytes are the same: such samples show nothing."""
        return not self.payload.strip(self.payload[:1])

    @property
    def more_wanted(self) -> int:
        """Packets that are worth to wait for, for the time they keep; 0 where more would not show more."""
        first, last = self.packets[0].arrival_ns, self.packets[-1].arrival_ns
        return 0 if len(self.packets) >= FEW_PACKETS and last - first >= TIMED_NS else MANY_PACKETS

    def shape(self) -> str:
        """Say what the packets show.

        Returns
        -------
        str
            A clause for a message.
        """
        sizes, steps = sorted({size for size, _ in self.spans}), sorted({step for _, step in self.spans})
        if not sizes:
            return "a single packet"
        return f"payloads of {_range(sizes)} bytes with timestamps {_range(steps)} apart"


def decide(said: EncodingStatement, first: FirstPackets, *, is_judged: bool) -> Decision:
    """Return how a stream is decoded, from what is said of it and its first packets.

    Parameters
    ----------
    said
        What is stated of the payload type.
    first
        The first packets of the stream, of that payload type.
    is_judged
        Whether its signal is to be checked; for transport alone no encoding has to be found.

    Returns
    -------
    Decision
        The encoding, what speaks against it, and how many packets would show more.
    """
    if said.encoding is None:
        if is_judged:
            return _unsaid(said, first)
        return Decision(None)
    if not first.spans:
        return Decision(said.encoding, packets_wanted=FEW_PACKETS)
    return _in_time(said, _in_size(said, said.encoding, first), first)


def _in_size(said: EncodingStatement, encoding: Encoding, first: FirstPackets) -> Decision:
    """Decide by how long frames are, and by the samples."""
    frame_bytes = first.bytes_per_frame
    if frame_bytes == encoding.bytes_per_frame:
        return _same_size(said, encoding, first)
    if frame_bytes is None:
        return _no_size(said, encoding, first)
    return _other_size(said, encoding, frame_bytes, first)


def _in_time(said: EncodingStatement, decision: Decision, first: FirstPackets) -> Decision:
    """Put the sample rate right where packets come at another one, with as many frames as timestamps count."""
    encoding = decision.encoding
    if encoding is None or first.bytes_per_frame != encoding.bytes_per_frame:
        return decision
    rate_hz = first.clock.other_rate_hz(encoding)
    if rate_hz is None:
        wanted = min(first.clock.packets_wanted(encoding.sample_rate_hz), first.more_wanted)
        return decision._replace(packets_wanted=max(decision.packets_wanted, wanted))
    what = f"{first.shape()} every {1e3 * first.step / rate_hz:.3g} ms"
    wanted = max(decision.packets_wanted, first.more_wanted)
    return contradiction(said, replace(encoding, sample_rate_hz=rate_hz), what, wanted)


def late_contradiction(said: EncodingStatement, encoding: Encoding, clock_drift_ppm: float | None) -> str | None:
    """Say that a stream as a whole came at another rate in use than its encoding has; None where it did not.

    Parameters
    ----------
    said
        What is stated of the payload type.
    encoding
        The encoding.
    clock_drift_ppm
        How fast the sender's clock runs against the arrival clock, by that encoding.

    Returns
    -------
    str or None
        A sentence for the result.
    """
    hz = encoding.sample_rate_hz * (1 + (clock_drift_ppm or 0.0) / 1e6)
    rate_hz = rate_in_use(hz, MAX_CLOCK_ERROR_PPM / 1e6, encoding.name)
    if rate_hz is None or abs(hz / encoding.sample_rate_hz - 1) <= MAX_RATE_ERROR:
        return None
    found = replace(encoding, sample_rate_hz=rate_hz)
    return f"{said.text}, but packets arrived at {hz:.0f} frames a second: {found}; {said.remedy} {found}"


def _unsaid(said: EncodingStatement, first: FirstPackets) -> Decision:
    """Find an encoding of which nothing is said."""
    if not said.is_open:
        return Decision(None, said.text)
    rate_hz = first.sample_rate_hz
    frame_bytes = first.bytes_per_frame
    if frame_bytes is None:
        return Decision(
            None, f"{said.text}; {first.shape()} fit no PCM encoding: compressed audio, or not audio", first.more_wanted
        )
    candidates = readings(frame_bytes, rate_hz or SAMPLE_RATES_HZ[0])
    found = SampleEvidence(candidates, first.payload).said
    shape = f"{said.text}; {first.packet_bytes}-byte payloads, {first.step} frames"
    if found is None or rate_hz is None:
        names = _names([found] if found else candidates, rate_hz)
        why = "the packets do not show its sample rate" if found else "the samples do not show which"
        return Decision(None, f"{shape}: {names}; {why}", first.more_wanted if rate_hz else MANY_PACKETS)
    return Decision(found, f"{shape}: the samples say {found}, used for this check; set --encoding {found}")


def _same_size(said: EncodingStatement, encoding: Encoding, first: FirstPackets) -> Decision:
    """Check the word size where frames are as long as they should be."""
    candidates = readings(encoding.bytes_per_frame, encoding.sample_rate_hz)
    if encoding.bytes_per_frame > MAX_BYTES_OF_TELEPHONY and encoding.bytes_per_frame > encoding.channels:
        candidates = [one for one in candidates if one.bytes_per_frame > one.channels]
    samples = SampleEvidence(candidates, first.payload)
    found = samples.refuting(encoding)
    if found is not None:
        return contradiction(said, found, "the samples")
    is_told = first.is_silent or samples.said == encoding
    return Decision(encoding, packets_wanted=0 if is_told else first.few(encoding))


def contradiction(said: EncodingStatement, found: Encoding, what: str, packets_wanted: int = 0) -> Decision:
    """Return the decision for an encoding that is another one than is said.

    Parameters
    ----------
    said
        What is stated of the payload type.
    found
        The encoding that the packets show.
    what
        What they show it by, for the message.
    packets_wanted
        Packets that would show more.

    Returns
    -------
    Decision
        The decision.
    """
    doubt = f"{said.text}, but {what} say {found}, used for this check; {said.remedy} {found}"
    return Decision(found, doubt, packets_wanted)


def _no_size(said: EncodingStatement, encoding: Encoding, first: FirstPackets) -> Decision:
    """Decide where payload and timestamps agree on no size of a frame."""
    sound = is_audio(encoding, first.payload)
    is_whole = all(size % encoding.bytes_per_frame == 0 for size, _ in first.spans)
    if first.step <= 0 or (is_whole and sound is not False):
        # Timestamps that are off are a fault of the stream, and no matter of its encoding.
        return Decision(encoding, packets_wanted=0 if sound else FEW_PACKETS)
    what = f"{said.text}, but {first.shape()} fit neither this nor any other PCM encoding"
    extra = first.packet_bytes - first.step * encoding.bytes_per_frame
    if extra in SRTP_TAG_BYTES and len(set(first.spans)) == 1:
        what += f"; {extra} bytes more than expected and noise-like samples: probably encrypted (SRTP)"
    return Decision(None, what, first.more_wanted)


def _other_size(said: EncodingStatement, encoding: Encoding, frame_bytes: int, first: FirstPackets) -> Decision:
    """Decide where frames are longer or shorter than is said: by a wrong encoding, or by wrong timestamps."""
    candidates = readings(frame_bytes, encoding.sample_rate_hz)
    keeps_time = _keeps_time(encoding, first)
    wanted = first.more_wanted if keeps_time is None else 0
    if keeps_time is None:
        keeps_time = _sounds_better(encoding, candidates, first.payload)
    if keeps_time:
        return _same_size(said, encoding, first)._replace(packets_wanted=wanted)
    by_length = _with_channels(encoding, frame_bytes)
    samples = SampleEvidence(candidates, first.payload)
    found = samples.said if by_length is None else samples.refuting(by_length)
    if found is not None:
        return contradiction(said, found, f"{first.shape()} and their samples", wanted)
    if by_length is not None:
        return contradiction(said, by_length, first.shape(), wanted)
    names = _names(candidates, encoding.sample_rate_hz) or "no PCM"
    return Decision(
        None, f"{said.text}, but {first.shape()} fit {names}; the samples do not show which", first.more_wanted
    )


def _keeps_time(encoding: Encoding, first: FirstPackets) -> bool | None:
    """Return whether the frames of an encoding, and not the timestamps, keep time with the arrival of the packets."""
    ticks = first.ticks_per_second
    if ticks is None:
        return None
    frames, rest = divmod(first.packet_bytes, encoding.bytes_per_frame)
    by_timestamps = _is_rate(ticks, encoding)
    by_frames = not rest and _is_rate(ticks * frames / first.step, encoding)
    return by_frames if by_frames != by_timestamps else None


def _is_rate(hz: float, encoding: Encoding) -> bool:
    return 1 / MAX_TIME_ERROR < hz / encoding.sample_rate_hz < MAX_TIME_ERROR


def _sounds_better(encoding: Encoding, candidates: Sequence[Encoding], payload: bytes) -> bool:
    """Return whether samples are audio in this encoding, and less so in any of the others."""

    def bits(one: Encoding) -> float:
        octets = np.frombuffer(payload[: len(payload) // one.bytes_per_frame * one.bytes_per_frame], np.uint8)
        return code_bits(one, octets)

    if not is_audio(encoding, payload):
        return False
    return bits(encoding) + MIN_GAIN * 8 * len(payload) <= min(map(bits, candidates), default=8.0 * len(payload))


def _with_channels(encoding: Encoding, bytes_per_frame: int) -> Encoding | None:
    """Return the same encoding with as many channels as fill a frame."""
    channels, rest = divmod(bytes_per_frame * encoding.channels, encoding.bytes_per_frame)
    if rest:
        return None
    try:
        return replace(encoding, channels=channels)
    except ConfigurationError:
        return None


def _names(encodings: Sequence[Encoding], rate_hz: int | None) -> str:
    """Write encodings, without those of single bytes where longer words fit as well."""
    longer = [one for one in encodings if one.bytes_per_frame // one.channels > 1] or encodings
    names = [str(one) if rate_hz else f"{one.name}/…/{one.channels}" for one in longer]
    return " or ".join(names)


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"
