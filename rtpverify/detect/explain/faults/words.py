"""Samples whose bits are wrong: the lowest empty, or bytes in the other order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure, FittedFrames
from rtpverify.detect.explain.likelihood import OUTLIER, Noise
from rtpverify.detect.explain.model import Describe, FaultModel, Fitted, told
from rtpverify.dsp.sample_words import empty_low_bits, swap_bytes
from rtpverify.events import ByteOrderSize, Kind, WordLengthSize

_SWAPPED_BITS = (16, 24)
_FORMED, _CHANCE = 0.75, 1e-3
"""Share of the frames that have the value which their form gives them, from which on they have that form; and the least
chance that one has not."""


_FORMS = (np.floor, np.rint, np.trunc)
"""How values come to a coarser grid: cut off, rounded, cut off towards zero."""


@dataclass(frozen=True)
class _Empty:
    """Values on a coarser grid, near what was expected: which of them, ``form`` says for a ``share`` of the frames.

    Of the others, rounding and noise decide.
    """

    signal: NDArray[np.float64]
    noise: Noise
    bits: int
    empty: int
    share: float
    parameters: int = 0
    spreads: int = 1
    prior: float = 0.0
    complete: bool = True

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame: as likely for all values of the grid within a step of it, or the one it has."""
        coarse = 2.0 ** (1 + self.empty - self.bits)
        scaled = departure.x / coarse
        left = np.maximum(np.abs(departure.x - departure.expected) - coarse, 0.0)
        # One of about two values of the grid, each of which stands for as many values as a step of the encoding.
        each = -math.log(2.0 * 2.0 ** (1 - self.bits)) - 0.5 * np.square(left / departure.noise.sigma)
        if self.share > 0.0:
            formed = departure.noise.log_likelihood(departure.x - self.signal) + math.log(self.share)
            each = np.maximum(each + math.log(max(1.0 - self.share, _CHANCE)), formed)
        return np.where(scaled == np.rint(scaled), np.maximum(each, OUTLIER), OUTLIER)

    @property
    def describe(self) -> Describe:
        """What makes size and message of its event."""
        return told(WordLengthSize(effective_bits=self.bits - self.empty), f"the lowest {self.empty} bits are empty")


class WordLength(FaultModel):
    """The lowest bits are empty, and are not in what was expected."""

    kind = Kind.WORD_LENGTH

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the grid that all frames are on.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        departure, bits = part.departure, part.departure.reference.bits
        empty = 0 if bits is None else empty_low_bits(part.x, bits)
        if bits is None or not empty or empty_low_bits(part.expected, bits) >= empty:
            return []
        step, coarse = 2.0 ** (1 - bits), 2.0 ** (1 + empty - bits)
        words = np.rint(departure.expected / step) * (step / coarse)
        forms = [form(words) * coarse for form in _FORMS]
        shares = [float(np.mean(part.x == part.of(signal))) for signal in forms]
        likeliest = int(np.argmax(shares))
        signal = forms[likeliest]
        share = shares[likeliest] if shares[likeliest] > _FORMED else 0.0
        return [_Empty(signal, departure.noise, bits, empty, share)]


@dataclass(frozen=True)
class _Swapped:
    """Samples that are in order when their bytes are exchanged."""

    signal: NDArray[np.float64]
    noise: Noise
    bits: int
    parameters: int = 0
    spreads: int = 0
    prior: float = 0.0
    complete: bool = True

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame with its bytes exchanged."""
        return departure.noise.log_likelihood(swap_bytes(departure.x, self.bits) - departure.expected)

    @property
    def describe(self) -> Describe:
        """What makes size and message of its event."""
        return told(ByteOrderSize(), "bytes of each sample in the wrong order")


class ByteOrder(FaultModel):
    """Bytes of each sample in the wrong order."""

    kind = Kind.BYTE_ORDER
    prior = 2.0
    least_seconds = 0.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the samples with their bytes exchanged.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        departure, bits = part.departure, part.departure.reference.bits
        if bits not in _SWAPPED_BITS:
            return []
        return [_Swapped(swap_bytes(departure.expected, bits), departure.noise, bits)]
