"""Which of several encodings a payload is written in, as far as its samples show.

Audio is predictable: a few samples show roughly what the next one is. Read in a wrong word size, byte order or channel
count, the bytes of one sample are taken for parts of others, and what comes out is not. So every *reading* of the same
bytes is checked by the length of a code for them: each channel is predicted from its own past, the residual is coded
as Gaussian noise, the predictor is paid for. Code lengths of the same bytes are comparable whatever the reading, and
their difference is a log-likelihood ratio in bits. Noise, silence and encrypted payloads are equally long in every
reading, and then nothing is said.

What a standard or a description says is wrong only if samples are audio in another reading beyond doubt; payloads that
somebody made up (counters, fill patterns, text) are often simpler in another reading, and say nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import ConfigurationError
from rtpverify.rtp.payload import COMPANDED, FORMATS, Encoding

ORDERS = (0, 1, 2, 4)
"""Samples from which the next one of a channel is predicted."""
MIN_GAIN = 0.05
"""A reading is what the samples say where its code is shorter than every other one by this fraction of the payload …"""
MIN_GAIN_BITS = 64.0
"""… and by this many bits: by chance, one of two readings would be once in 2^64 times."""
MIN_REFUTING_GAIN = 0.2
"""What is said is refuted by a reading whose code is shorter than its own by this fraction …"""
MIN_GAIN_OVER_NOISE = 0.01
"""… or by this fraction of the payload, where what is said makes white noise at full scale of a channel …"""
NOISE, AUDIO = 0.985, 0.98
"""… which takes more than the first share of its bits, while each channel of the other takes less than the second."""
MAX_WORD_BYTES = 4
MIN_FRAMES = 16
"""Different frames it takes: of a few that come again and again any numbers can be made."""
MAX_FRAMES = 2048
"""Frames that are examined: more show nothing new."""
MAX_FLOAT = 2.0**16
"""No sample of audio is larger."""
MIN_FLOAT = 2.0**-64
"""None differs from silence by less."""
ROUNDING = 1e-13
_GAUSS_BITS = 0.5 * float(np.log2(2 * np.pi * np.e))


def readings(bytes_per_frame: int, sample_rate_hz: int) -> list[Encoding]:
    """Return every encoding known that has frames of so many bytes.

    Parameters
    ----------
    bytes_per_frame
        Bytes of a frame over all channels.
    sample_rate_hz
        Sample rate of the encodings.

    Returns
    -------
    list of Encoding
        Each word size that divides a frame, with the channels that makes.
    """
    found = []
    for name, form in FORMATS.items():
        channels, rest = divmod(8 * bytes_per_frame, form.wire_bits)
        if not rest:
            try:
                found.append(Encoding(name, sample_rate_hz, channels))
            except ConfigurationError:
                continue  # more channels, or a higher rate, than anything has
    return found


class SampleEvidence:
    """What the samples of a payload say of several readings; the codes of each are compared once.

    Parameters
    ----------
    candidates
        Readings of one frame size.
    payload
        Whole frames one after the other, any number.
    """

    def __init__(self, candidates: Sequence[Encoding], payload: bytes) -> None:
        self._candidates = candidates
        self._octets = _telling(candidates, payload)

    @cached_property
    def said(self) -> Encoding | None:
        """The encoding that the samples show, None where they show none."""
        return self._shortest(MIN_GAIN)

    def refuting(self, said: Encoding) -> Encoding | None:
        """Return what samples are beyond doubt where that is not what is said; None where that may be.

        Parameters
        ----------
        said
            The encoding that is stated.

        Returns
        -------
        Encoding or None
            The encoding that the samples show; None where they do not contradict ``said``.
        """
        found, octets = self.said, self._octets
        if octets is None or found == said:
            return None
        likely = self._shortest(MIN_GAIN_OVER_NOISE)
        if likely in (None, said) or _counts(octets):
            return None
        if found is not None:
            is_much = self._bits[found] <= (1 - MIN_REFUTING_GAIN) * code_bits(said, octets)
            if is_much and _is_in_order(found, octets):
                return found
        return likely if likely is not None and _is_noise_instead(said, likely, octets) else None

    def _shortest(self, min_gain: float) -> Encoding | None:
        """Return the reading with the shortest code, None where others are not longer by this part of the payload."""
        octets = self._octets
        if octets is None:
            return None
        best, second = sorted(self._bits, key=lambda reading: self._bits[reading])[:2]
        enough = max(min_gain * 8 * len(octets), MIN_GAIN_BITS)
        is_clear = self._bits[second] - self._bits[best] >= enough
        # Words whose bytes are swapped are a fault of the samples, not another encoding.
        return best if is_clear and self._swapped_bits - self._bits[best] >= enough else None

    @cached_property
    def _bits(self) -> dict[Encoding, float]:
        octets = self._octets
        return {} if octets is None else {reading: code_bits(reading, octets) for reading in self._candidates}

    @cached_property
    def _swapped_bits(self) -> float:
        octets = self._octets
        return np.inf if octets is None else min(_swapped_bits(reading, octets) for reading in self._candidates)


def _telling(candidates: Sequence[Encoding], payload: bytes) -> NDArray[np.uint8] | None:
    """Return the octets of a payload that show something, None where none do."""
    if len(candidates) < 2:
        return None
    frame_bytes = candidates[0].bytes_per_frame
    frames = min(len(payload) // frame_bytes, MAX_FRAMES)
    octets = np.frombuffer(payload[: frames * frame_bytes], np.uint8)
    if frames < MIN_FRAMES or len(np.unique(octets.reshape(-1, frame_bytes), axis=0)) < MIN_FRAMES:
        return None
    return octets


def _is_in_order(found: Encoding, octets: NDArray[np.uint8]) -> bool:
    """Return whether each frame is predicted from those before, as those of audio; numbers of any kind come anyhow."""
    shuffled = np.random.default_rng(0).permutation(octets.reshape(-1, found.bytes_per_frame)).reshape(-1)
    return code_bits(found, shuffled) - code_bits(found, octets) >= MIN_GAIN * 8 * len(octets)


def _is_noise_instead(said: Encoding, found: Encoding, octets: NDArray[np.uint8]) -> bool:
    """Return whether what is said makes full-scale white noise of a channel where another reading is audio.

    Of a word whose high byte is noise the low byte is noise as well, in every reading: nobody can know more of it than
    that. So a reading that does has found the low byte of one word, and the high byte of another, taken for a word.
    """
    if not {said.name, found.name} <= set(_LINEAR):
        return False
    share, expected = _share_of_bits(said, octets), _share_of_bits(found, octets)
    return bool((share > NOISE).any() and (expected < AUDIO).all())


def _share_of_bits(encoding: Encoding, octets: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what part of the bits in use of each channel a code takes, 0 where nothing changes, shape (channels,)."""
    bits = FORMATS[encoding.name].wire_bits
    value = _linear(encoding.name, octets)
    used = np.bitwise_or.reduce(value.reshape(-1, encoding.channels), axis=0)
    used_bits = bits - np.log2(np.maximum(used & -used, 1))
    coded = _channel_bits(_integers(value), encoding.channels, bits)
    return np.where(coded > bits, coded / (len(value) // encoding.channels * used_bits), 0.0)


def is_audio(encoding: Encoding, payload: bytes) -> bool | None:
    """Return whether samples are as predictable as those of audio; None for silence, which shows nothing.

    Parameters
    ----------
    encoding
        The encoding.
    payload
        Whole frames.

    Returns
    -------
    bool or None
        None where all samples are equal.
    """
    frames = min(len(payload) // encoding.bytes_per_frame, MAX_FRAMES)
    octets = np.frombuffer(payload[: frames * encoding.bytes_per_frame], np.uint8)
    if len(octets) == 0 or (octets == octets[0]).all():
        return None
    return code_bits(encoding, octets) <= (1 - MIN_GAIN) * 8 * len(octets) - MIN_GAIN_BITS


def code_bits(encoding: Encoding, octets: NDArray[np.uint8]) -> float:
    """Return the bits that a code for whole frames takes, which knows them to be samples of an encoding.

    Parameters
    ----------
    encoding
        The encoding.
    octets
        Payload bytes, shape (frames, bytes of a frame).

    Returns
    -------
    float
        Bits a frame, of the best adaptive code for differences of neighbouring samples.
    """
    wire_bits = FORMATS[encoding.name].wire_bits
    if encoding.name == "AM824":
        words = octets.view(">u4").astype(np.int64)
        flags, audio = words >> 24, _signed(words & 0xFFFFFF, 24)
        parts = [(_integers(flags), 8), (_integers(audio), 24)]
    elif encoding.name == "F32":
        parts = [(_floats(octets.view(">f4")), wire_bits)]
    elif encoding.name in _COMPANDED:
        level, step = _COMPANDED[encoding.name]
        parts = [(_Samples(level[octets], step[octets], is_integer=False), wire_bits)]
    else:
        parts = [(_integers(_linear(encoding.name, octets)), wire_bits)]
    return sum(_bits(samples, encoding.channels, bits) for samples, bits in parts)


@dataclass(frozen=True, slots=True)
class _Samples:
    """Values, shape (n,), and how far apart those lie there that can be written."""

    value: NDArray[np.float64]
    step: NDArray[np.float64]
    is_integer: bool


def _counts(octets: NDArray[np.uint8]) -> bool:
    """Return whether bytes mostly continue in straight lines, as words of some size: low bytes of audio never do."""
    for word_bytes in range(1, MAX_WORD_BYTES + 1):
        words = octets[: len(octets) // word_bytes * word_bytes].reshape(-1, word_bytes)
        if (np.median(np.diff(words, 2, axis=0), axis=0) == 0).all():
            return True
    return False


def _swapped_bits(encoding: Encoding, octets: NDArray[np.uint8]) -> float:
    """Return the same for samples whose least significant byte comes first."""
    if encoding.name not in ("L16", "L24"):
        return np.inf
    return code_bits(encoding, octets.reshape(-1, FORMATS[encoding.name].wire_bits // 8)[:, ::-1].reshape(-1))


def _bits(samples: _Samples, channels: int, bits: int) -> float:
    """Return the bits of the shortest codes of interleaved channels in words of so many bits."""
    return float(_channel_bits(samples, channels, bits).sum())


def _channel_bits(samples: _Samples, channels: int, bits: int) -> NDArray[np.float64]:
    """Return the same for each channel, shape (channels,)."""
    value, step = samples.value.reshape(-1, channels), samples.step.reshape(-1, channels)
    if samples.is_integer:
        # Low bits that are always empty are no part of the samples.
        used = np.bitwise_or.reduce(value.astype(np.int64), axis=0)
        step = np.broadcast_to(np.maximum(used & -used, 1).astype(np.float64), value.shape)
    constant = (value == value[0]).all(axis=0)
    coded = np.isfinite(value).all(axis=0) & ~constant
    shortest = np.where(constant, float(bits), float(len(value) * bits))
    for order in ORDERS if coded.any() else ():
        shortest[coded] = np.minimum(shortest[coded], _predicted_bits(value[:, coded], step[:, coded], order, bits))
    return shortest


def _predicted_bits(
    value: NDArray[np.float64], step: NDArray[np.float64], order: int, bits: int
) -> NDArray[np.float64]:
    """Return the bits of each channel, shape (channels,), whose samples are predicted from ``order`` of those before.

    Parameters
    ----------
    value, step
        Shape (n, channels).
    """
    count = len(value) - order
    if count <= 2 * order + 2:
        return np.full(value.shape[1], np.inf)
    scale = step.max(axis=0)
    value, step = (value / scale).T, (step / scale).T
    past = np.ones((len(value), count, order + 1))
    for lag in range(1, order + 1):
        past[:, :, lag] = value[:, order - lag : -lag]
    target = value[:, order:, None]
    products = past.transpose(0, 2, 1) @ past
    # What rounding adds, and as much as arithmetic can distinguish.
    floor = np.maximum(count / 12, ROUNDING * np.trace(products, axis1=1, axis2=2))
    weights = np.linalg.solve(products + floor[:, None, None] * np.eye(order + 1), past.transpose(0, 2, 1) @ target)
    residual = (target - past @ weights)[:, :, 0]
    variance = (residual * residual).mean(axis=1) + (step * step).mean(axis=1) / 12
    model = order * bits + 0.5 * (order + 2) * float(np.log2(count))
    found: NDArray[np.float64] = (
        model + count * (0.5 * np.log2(variance) + _GAUSS_BITS) - np.log2(step[:, order:]).sum(axis=1)
    )
    return found


def _integers(words: NDArray[np.int64]) -> _Samples:
    return _Samples(words.astype(np.float64), np.ones(len(words)), is_integer=True)


def _floats(words: NDArray[np.float32]) -> _Samples:
    """Return floating-point samples, nan where no audio has any; those of fixed point as multiples of their step."""
    with np.errstate(invalid="ignore"):
        value = words.astype(np.float64)
        size = np.abs(value)
        value[~((size < MAX_FLOAT) & ((size > MIN_FLOAT) | (size == 0)))] = np.nan
        grid = value * 2.0**31
        if (grid == np.rint(grid)).all():
            return _integers(grid.astype(np.int64))
    _, exponent = np.frexp(np.where(size > MIN_FLOAT, size, MIN_FLOAT))
    return _Samples(value, np.ldexp(1.0, exponent - 24), is_integer=False)


def _linear(name: str, octets: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the samples of a linear encoding as integers, shape (samples,)."""
    match name:
        case "L8":
            return octets.astype(np.int64) - 128
        case "L16":
            return octets.view(">i2").astype(np.int64)
        case "L20":
            pairs = octets.reshape(-1, 5).astype(np.int64)
            first = pairs[:, 0] << 12 | pairs[:, 1] << 4 | pairs[:, 2] >> 4
            second = (pairs[:, 2] & 15) << 16 | pairs[:, 3] << 8 | pairs[:, 4]
            return _signed(np.stack([first, second], 1).reshape(-1), 20)
        case _:
            parts = octets.reshape(-1, 3).astype(np.int64)
            return _signed(parts[:, 0] << 16 | parts[:, 1] << 8 | parts[:, 2], 24)


def _signed(words: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return two's complement numbers of so many bits as integers."""
    signed: NDArray[np.int64] = words - ((words >> (bits - 1)) << bits)
    return signed


def _companded(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return level and distance to the next level of each code, shape (256,)."""
    level = FORMATS[name].decode(np.arange(256, dtype=np.uint8).reshape(1, -1))[0].astype(np.float64)
    order = np.argsort(level, kind="stable")
    step = np.empty(256)
    step[order] = np.maximum(
        np.diff(level[order], append=level[order[-1]]), np.diff(level[order], prepend=level[order[0]])
    )
    return level, step


_LINEAR = ("L16", "L20", "L24")
"""Encodings whose words have several bytes, the most significant one first."""
_COMPANDED = {name: _companded(name) for name in COMPANDED}
