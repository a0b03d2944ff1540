"""Audio samples in RTP payloads: how each encoding is written, to and from numbers.

Samples have full scale at ±1.0. They decode to float32, which holds every value of every encoding: integer ·
2^-(bits-1), exactly; they encode to the nearest integer, clipped. Samples are interleaved by channel, most
significant byte first.
Adding an encoding is one entry in :data:`FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import ConfigurationError
from rtpverify.rtp.batch import gather

MAX_SAMPLE_RATE_HZ = 1_536_000
MAX_CHANNELS = 1024
COMPANDED = frozenset({"PCMU", "PCMA"})
"""Encodings whose quantiser is not uniform (ITU-T G.711)."""
FIRST_DYNAMIC = 96
LAST_PAYLOAD_TYPE = 127
"""Payload types from here on mean what a description says (RFC 3551 section 3)."""

Decoder = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Payload bytes, shape (n, bytes), to samples, shape (n, samples)."""
Encoder = Callable[[NDArray[np.float64]], NDArray[np.generic]]
"""Samples, shape (samples,), to an array whose memory is the payload."""


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """How one encoding writes a sample.

    Attributes
    ----------
    wire_bits
        Bits a sample takes in the payload.
    bits
        Bits of the uniform quantiser; None where there is none (companded, float).
    decode, encode
        Between payload bytes and samples.
    """

    wire_bits: int
    bits: int | None
    decode: Decoder
    encode: Encoder


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoding, sample rate and channel count of a stream, as in an SDP ``rtpmap``.

    Attributes
    ----------
    name
        Key in :data:`FORMATS`.
    sample_rate_hz
        Frames per second; also the clock rate of the RTP timestamp.
    channels
        Samples per frame.

    Raises
    ------
    ConfigurationError
        For an unknown name, a rate or channel count out of bounds, or a frame that is no whole number of bytes
        (L20 with an odd channel count).
    """

    name: str
    sample_rate_hz: int
    channels: int

    def __post_init__(self) -> None:
        if self.name not in FORMATS:
            raise ConfigurationError(f"encoding {self.name!r} is unknown; known are {', '.join(FORMATS)}")
        if not 1 <= self.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
            raise ConfigurationError(f"sample rate {self.sample_rate_hz} Hz is not in 1 to {MAX_SAMPLE_RATE_HZ}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ConfigurationError(f"channel count {self.channels} is not in 1 to {MAX_CHANNELS}")
        if self.channels * FORMATS[self.name].wire_bits % 8:
            raise ConfigurationError(f"a frame of {self} is no whole number of bytes; the channel count must be even")

    @property
    def bytes_per_frame(self) -> int:
        """Bytes of payload per frame."""
        return self.channels * FORMATS[self.name].wire_bits // 8

    @property
    def bits(self) -> int | None:
        """Bits of the uniform quantiser; None for companded and float encodings."""
        return FORMATS[self.name].bits

    def __str__(self) -> str:
        return f"{self.name}/{self.sample_rate_hz}/{self.channels}"


def parse_rtpmap(text: str, place: str = "--encoding") -> Encoding:
    """Read ``name/rate`` or ``name/rate/channels`` (RFC 8866 section 6.6); names are known in any case.

    Parameters
    ----------
    text
        What follows the payload type in ``a=rtpmap``.
    place
        What the text is a value of, for the message of an error.

    Returns
    -------
    Encoding
        The encoding; one channel where none are stated.

    Raises
    ------
    ConfigurationError
        Where the text is no such thing or cannot be decoded; the message starts with ``place`` and holds the text.
    """
    name, *numbers = text.strip().split("/")
    if not 1 <= len(numbers) <= 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise ConfigurationError(f"{place}: {text!r} is not NAME/RATE or NAME/RATE/CHANNELS, such as L24/48000/2")
    if any(len(number) > 9 for number in numbers):
        raise ConfigurationError(f"{place}: {text!r}: number out of range")
    try:
        return Encoding(name.upper(), int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 1)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {text!r}: {error}") from None


def parse_encodings(texts: Iterable[str], place: str = "--encoding") -> tuple[Encoding | None, dict[int, Encoding]]:
    """Read several encodings: ``L24/48000/2`` for every payload type, ``96=L16/48000/2`` for one of them.

    Parameters
    ----------
    texts
        Values of ``--encoding``.
    place
        What the text is a value of, for the message of an error.

    Returns
    -------
    Encoding or None
        That for payload types without one of their own.
    dict
        The others, by payload type.

    Raises
    ------
    ConfigurationError
        As :func:`parse_rtpmap`, for a payload type that is none, and for two encodings of one.
    """
    given: dict[int | None, Encoding] = {}
    for text in texts:
        number, equals, rtpmap = text.rpartition("=")
        payload_type = None
        if equals:
            number = number.strip()
            if not (number.isascii() and number.isdigit() and int(number) <= LAST_PAYLOAD_TYPE):
                raise ConfigurationError(
                    f"{place}: {text!r}: payload type {number!r} is not a number from 0 to {LAST_PAYLOAD_TYPE}"
                )
            payload_type = int(number)
        encoding = parse_rtpmap(rtpmap, f"{place}: {text!r}" if equals else place)
        if given.setdefault(payload_type, encoding) != encoding:
            of = "all payload types" if payload_type is None else f"payload type {payload_type}"
            raise ConfigurationError(
                f"{place}: {given[payload_type]} and {encoding} are both given for {of}; "
                "write PAYLOAD_TYPE=NAME/RATE/CHANNELS for each type"
            )
    by_type = {number: encoding for number, encoding in given.items() if number is not None}
    return given.get(None), by_type


def static_encoding(payload_type: int) -> Encoding | None:
    """Return the encoding that RFC 3551 section 6 assigns to a payload type, if it is one decoded here.

    Parameters
    ----------
    payload_type
        RTP payload type, 0 to 127.

    Returns
    -------
    Encoding or None
        The encoding; None where the payload type is dynamic, or of something else.
    """
    return _STATIC.get(payload_type)


def static_name(payload_type: int) -> str | None:
    """Return the name that RFC 3551 section 6 gives a static payload type, if it has one.

    Parameters
    ----------
    payload_type
        RTP payload type, 0 to 127.

    Returns
    -------
    str or None
        Such as ``"G722"``; None where the payload type is dynamic or unassigned.
    """
    return _STATIC_NAMES.get(payload_type)


def decode(encoding: Encoding, arena: NDArray[np.uint8], offset: NDArray[np.int64], frames: int) -> NDArray[np.float32]:
    """Decode payloads of equal length.

    Parameters
    ----------
    encoding
        The encoding.
    arena
        Bytes, shape (any,).
    offset
        Where each payload starts in ``arena``, shape (n,); ``frames`` whole frames must follow it.
    frames
        Frames in each payload.

    Returns
    -------
    NDArray[np.float32]
        Shape (n, frames, channels), full scale ±1.0.
    """
    raw = gather(arena, offset, frames * encoding.bytes_per_frame)
    return FORMATS[encoding.name].decode(raw).reshape(len(offset), frames, encoding.channels)


def encode(encoding: Encoding, samples: NDArray[np.float64]) -> bytes:
    """Encode frames, shape (frames, channels), as one payload.

    Values on the grid of the encoding come back exactly from :func:`decode`; others go to the nearest one, and what
    lies beyond full scale is clipped (by F32 not).

    Parameters
    ----------
    encoding
        The encoding.
    samples
        Full scale ±1.0, shape (frames, channels); what lies beyond is clipped.

    Returns
    -------
    bytes
        The payload.
    """
    return FORMATS[encoding.name].encode(samples.reshape(-1)).tobytes()


def is_rounded_to(name: str, exact: NDArray[np.float64], coded: NDArray[np.float64], slack: float) -> bool:
    """Return whether samples are others as an encoding rounds them.

    Parameters
    ----------
    name
        Name of the encoding.
    exact
        What was encoded, full scale ±1.0.
    coded
        What the code means, of the same shape.
    slack
        How far from the middle between two levels either of them will do: encoders differ there.

    Returns
    -------
    bool
        Whether all of them are.
    """
    form = FORMATS[name]
    coded_off = (form.encode((exact + off).reshape(-1)).view(np.uint8).reshape(1, -1) for off in (-slack, slack))
    low, high = (form.decode(raw)[0] for raw in coded_off)
    flat = coded.reshape(-1)
    return bool(np.all((low <= flat) & (flat <= high)))


def _quantise(samples: NDArray[np.float64], bits: int) -> NDArray[np.int64]:
    """Round to integers of ``bits`` bits, clipped."""
    full_scale = 1 << (bits - 1)
    return np.clip(np.rint(samples * full_scale), -full_scale, full_scale - 1).astype(np.int64)


def _decode_l8(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Offset binary (RFC 3551 section 4.5.10)."""
    samples: NDArray[np.float32] = np.subtract(raw, 128.0, dtype=np.float32)
    samples *= np.float32(2.0**-7)
    return samples


def _encode_l8(samples: NDArray[np.float64]) -> NDArray[np.generic]:
    return (_quantise(samples, 8) + 128).astype(np.uint8)


def _decode_l16(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = np.multiply(raw.view(">i2"), 2.0**-15, dtype=np.float32)
    return samples


def _encode_l16(samples: NDArray[np.float64]) -> NDArray[np.generic]:
    return _quantise(samples, 16).astype(">i2")


def _from_high_bits(words: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return samples that are in the upper 24 bits of words, the others 0; exact."""
    samples: NDArray[np.float32] = np.multiply(words, np.float32(2.0**-31), dtype=np.float32)
    return samples


def _decode_l20(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Two samples in five bytes (RFC 3190 section 4)."""
    pairs = raw.reshape(len(raw), raw.shape[1] // 5, 5).astype(np.int32)
    words = np.empty((*pairs.shape[:2], 2), np.int32)
    words[..., 0] = pairs[..., 0] << 24 | pairs[..., 1] << 16 | (pairs[..., 2] & 0xF0) << 8
    words[..., 1] = (pairs[..., 2] & 0x0F) << 28 | pairs[..., 3] << 20 | pairs[..., 4] << 12
    return _from_high_bits(words.reshape(len(raw), raw.shape[1] * 2 // 5))


def _encode_l20(samples: NDArray[np.float64]) -> NDArray[np.generic]:
    first, second = (_quantise(samples, 20) & 0xFFFFF).reshape(-1, 2).T
    both = first << 20 | second
    return both.astype(">i8").view(np.uint8).reshape(-1, 8)[:, 3:]


def _decode_l24(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows, count = raw.shape[0], raw.shape[1] // 3
    words = np.empty((rows, count), np.int32)
    if words.size == 0:
        return words.astype(np.float32)
    if count > 1:
        # Four bytes every three: the lowest is of the next sample. Only the last one has no next.
        raw = raw if raw.strides[1] == 1 else np.ascontiguousarray(raw)
        apart = raw.strides[0], 3
        np.copyto(words[:, :-1], np.lib.stride_tricks.as_strided(raw[0, :4].view(">i4"), (rows, count - 1), apart))
    high, middle, low = raw[:, -3:].T.astype(np.int32)
    words[:, -1] = high << 24 | middle << 16 | low << 8
    words &= np.int32(-256)
    return _from_high_bits(words)


def _encode_l24(samples: NDArray[np.float64]) -> NDArray[np.generic]:
    return _quantise(samples, 24).astype(">i4").view(np.uint8).reshape(-1, 4)[:, 1:]


def _decode_f32(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """IEEE 754 binary32. What is not finite becomes 0.0: a fault of that sample, not of every sum it enters."""
    with np.errstate(invalid="ignore"):
        samples = raw.view(">f4").astype(np.float32)
    finite = np.isfinite(samples)
    if not finite.all():
        samples[~finite] = 0.0
    return samples


def _encode_f32(samples: NDArray[np.float64]) -> NDArray[np.generic]:
    return samples.astype(">f4")


def _decode_am824(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One AES3 subframe in four bytes (ST 2110-31): flags, then 24 bits of audio."""
    words = raw.view(">i4").astype(np.int32)
    words <<= 8
    return _from_high_bits(words)


def _encode_am824(samples: NDArray[np.float64]) -> NDArray[np.generic]:
    """Write the flags as 0: valid, no user data, no channel status block."""
    return (_quantise(samples, 24) & 0xFFFFFF).astype(">u4")


def _mu_law_levels() -> NDArray[np.float64]:
    """Return the level of each code of G.711 µ-law, shape (256,)."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    levels: NDArray[np.float64] = np.where(code & 0x80, -magnitude, magnitude) * 2.0**-15
    return levels


def _a_law_levels() -> NDArray[np.float64]:
    """Return the level of each code of G.711 A-law, shape (256,)."""
    code = np.arange(256) ^ 0x55
    exponent = code >> 4 & 7
    magnitude = ((code & 0x0F) << 4) + np.where(exponent, 0x108, 8) << np.maximum(exponent - 1, 0)
    levels: NDArray[np.float64] = np.where(code & 0x80, magnitude, -magnitude) * 2.0**-15
    return levels


def _companded(levels: NDArray[np.float64]) -> PayloadFormat:
    """Return the format of an 8-bit code with these levels (G.711), as 16-bit figures: full scale is 32768."""
    # Of two codes for zero the higher one is positive zero, which encoders send.
    sorted_levels, reversed_code = np.unique(levels[::-1], return_index=True)
    codes = (255 - reversed_code).astype(np.uint8)
    levels32 = levels.astype(np.float32)
    thresholds = (sorted_levels[1:] + sorted_levels[:-1]) / 2
    return PayloadFormat(
        wire_bits=8,
        bits=None,
        decode=lambda raw: levels32[raw],
        encode=lambda samples: codes[np.searchsorted(thresholds, samples, side="right")],
    )


FORMATS: dict[str, PayloadFormat] = {
    "L8": PayloadFormat(8, 8, _decode_l8, _encode_l8),
    "L16": PayloadFormat(16, 16, _decode_l16, _encode_l16),
    "L20": PayloadFormat(20, 20, _decode_l20, _encode_l20),
    "L24": PayloadFormat(24, 24, _decode_l24, _encode_l24),
    "F32": PayloadFormat(32, None, _decode_f32, _encode_f32),
    "AM824": PayloadFormat(32, 24, _decode_am824, _encode_am824),
    "PCMU": _companded(_mu_law_levels()),
    "PCMA": _companded(_a_law_levels()),
}
"""Every encoding known, by its name in an rtpmap. ``F32`` (no registered name exists) is 32-bit float."""

_STATIC = {
    0: Encoding("PCMU", 8000, 1),
    8: Encoding("PCMA", 8000, 1),
    10: Encoding("L16", 44100, 2),
    11: Encoding("L16", 44100, 1),
}

_STATIC_NAMES = {
    0: "PCMU",
    3: "GSM",
    4: "G723",
    5: "DVI4",
    6: "DVI4",
    7: "LPC",
    8: "PCMA",
    9: "G722",
    10: "L16",
    11: "L16",
    12: "QCELP",
    13: "comfort noise",
    14: "MPEG audio",
    15: "G728",
    16: "DVI4",
    17: "DVI4",
    18: "G729",
    25: "CelB video",
    26: "JPEG video",
    28: "nv video",
    31: "H261 video",
    32: "MPEG video",
    33: "MPEG transport stream",
    34: "H263 video",
}
