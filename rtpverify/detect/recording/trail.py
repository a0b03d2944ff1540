"""Where each piece of a received recording lies in its reference, also where it was recoded and its clock is off.

Works on both at a low rate and mixed to one channel; positions count in frames of that rate. The *lag* of a received
frame is its position less that of the same content in the reference. Blocks are correlated with the reference where the
ones before them let them be expected, so that the clock may drift and wander; where that fails for some of them, the
content is sought farther and farther off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.align import Candidate, candidates, correlate
from rtpverify.dsp.decimate import BoundedSignal, interpolated
from rtpverify.dsp.median import median

BLOCK = 2048
"""Frames of a block: a quarter of a second at 8 kHz."""
HOP = 512
_NEAR = 24
"""How far from the expected lag a block is sought: 3 ms at 8 kHz."""
_TRANSFORM = 2160
"""A quick length for transforms that holds a block and how far it is sought."""
_STEADY = 8
"""How far the lag of a block may be off the expected one to be followed: 1 ms."""
_TYPICAL_AT_FIRST = 0.8
_FOLLOWED, _CONFIRMED = 0.6, 0.85
"""Least correlation of a block that is followed, and of those that confirm a place, against that of most blocks."""
_FARTHER = 0.05
_LONGEST_PERIOD, _PERIOD_PIECES = 8000, 12
_PERIODIC, _OTHERWISE = 0.98, 0.5
"""Correlation of a signal with itself a period later, and that between, at most."""
_FARTHER_PLACE, _INVERTED_PLACE = 0.02, 0.01
"""By how much less a place is worth that is as far as is sought, and one where content would be inverted."""
_AS_GOOD, _SAME = 4.0, 1e-4
"""A place is as good as the best where so many times as much is unexplained, and so much of the whole besides."""
_LEAST_HERE, _LEAST_ANCHOR = 0.5, 0.6
RATE_BLOCKS = 256
"""Blocks from which the rates of the clocks are taken first: 16 s at 8 kHz."""
_BETTER = 0.15
"""By how much a far place must correlate better than the expected one, to be believed."""
_ANCHOR = 4096
_FIRST_BLOCKS, _MOST_BLOCKS = 8, 64
_MISSES = 3
"""So many blocks in a row that do not match where expected, and the content is sought elsewhere."""
_CONFIRMING = 8
"""Blocks by which a place is tried, of which half must match."""
_SLOPE_BLOCKS = 24
_MOST_SLOPE = 0.02
_REACHES = ((0, 16_384), (64, 131_072), (512, 2_400_000))
"""After so many blocks without a match (4 and 33 s), the content is sought so far off: 2, 16 and 300 s."""
_ANCHOR_STEPS = (4, 16, 64)
"""Blocks from one anchor to the next, at each of these reaches."""
_QUIET = 1e-5
"""Power of a block, against the mean of the recording, under which it shows nothing: 50 dB."""
_PEAKS = 4
_SEARCHED = 1 << 18
"""Frames of the reference that are searched at once."""


@dataclass(slots=True)
class Trail:
    """The blocks of the received recording whose content was found in the reference, in order.

    Attributes
    ----------
    centre
        Middle of the block, received frames at the low rate.
    lag
        Its lag, frames at the low rate.
    correlation
        With the reference there, -1 to 1.
    piece
        Number of the piece it belongs to: a new one begins where the lag jumps.
    """

    centre: NDArray[np.float64]
    lag: NDArray[np.float64]
    correlation: NDArray[np.float64]
    piece: NDArray[np.int64]


@dataclass(slots=True)
class _Found:
    centre: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    correlation: list[float] = field(default_factory=list)
    piece: list[int] = field(default_factory=list)

    def trail(self) -> Trail:
        """Return it as arrays."""
        return Trail(
            np.array(self.centre), np.array(self.lag), np.array(self.correlation), np.array(self.piece, dtype=int)
        )


class Tracker:
    """Follows the content of a received recording through its reference.

    Parameters
    ----------
    reference, received
        Both at the low rate, one channel each.
    power
        Mean square of the received recording.
    """

    def __init__(self, reference: BoundedSignal, received: BoundedSignal, power: float) -> None:
        self._has_begun = False
        self._reference, self._received = reference, received
        self._blocks = max(0, (len(received) - BLOCK) // HOP + 1)
        self.power = power
        self._found = _Found()
        self._slope = 0.0
        self._typical = _TYPICAL_AT_FIRST
        self._piece = 0
        self._polarity = 1.0
        """Sign of the correlation of the place that is followed."""

    @property
    def _quiet(self) -> float:
        """Energy of a block under which it shows nothing."""
        return _QUIET * self.power * BLOCK

    def begin(self, blocks: int = RATE_BLOCKS) -> Trail:
        """Return where the first blocks lie, less surely than :meth:`follow`: the rates of the clocks are learnt.

        Parameters
        ----------
        blocks
            How many.

        Returns
        -------
        Trail
            Their lags.
        """
        self._follow(min(blocks, self._blocks))
        found, self._found, self._piece = self._found, _Found(), 0
        if len(found.lag) >= _SLOPE_BLOCKS:
            self._typical = float(median(found.correlation))
        self._has_begun = True
        return found.trail()

    def follow(self) -> Trail:
        """Return where every block lies that could be found.

        Returns
        -------
        Trail
            Their lags.
        """
        if not self._has_begun:
            self.begin()
        self._follow(self._blocks)
        return self._found.trail()

    def _follow(self, stop: int) -> None:
        """Follow the blocks up to one."""
        block, batch = self._seek(0, stop), _FIRST_BLOCKS
        while block < stop:
            batch = min(batch, stop - block)
            taken, missed = self._take(block, batch)
            block += taken
            batch = min(2 * batch, _MOST_BLOCKS) if taken == batch else _FIRST_BLOCKS
            if missed:
                block = self._seek(block, stop)

    def _expected(self, centre: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the lag expected of blocks after the last one found."""
        found = self._found
        return np.asarray(found.lag[-1] + self._slope * (np.asarray(centre) - found.centre[-1]))

    def _take(self, block: int, count: int) -> tuple[int, bool]:
        """Follow some blocks; return how many were settled, and whether those after them are nowhere near."""
        centre = np.arange(block, block + count, dtype=np.float64) * HOP + BLOCK / 2
        expected = self._expected(centre)
        lag, correlation, power = self._near(block, count, expected, self._polarity)
        quiet = power < self._quiet
        good = (correlation >= _FOLLOWED * self._typical) & (np.abs(lag - expected) <= _STEADY) & ~quiet
        misses = 0
        for i in range(count):
            if good[i]:
                misses = 0
                self._add(float(centre[i]), float(lag[i]), float(correlation[i]))
            elif not quiet[i]:
                misses += 1
                if misses == _MISSES:
                    self._fit_slope()
                    return i + 1 - misses, True
        self._fit_slope()
        return count, False

    def _add(self, centre: float, lag: float, correlation: float) -> None:
        found = self._found
        found.centre.append(centre)
        found.lag.append(lag)
        found.correlation.append(correlation)
        found.piece.append(self._piece)

    def _fit_slope(self) -> None:
        """Take the slope of the lag from the latest blocks of this piece; keep it where they are too few."""
        found = self._found
        first = len(found.lag) - 1
        while first > 0 and found.piece[first - 1] == self._piece and len(found.lag) - first < 4 * _SLOPE_BLOCKS:
            first -= 1
        if len(found.lag) - first < _SLOPE_BLOCKS:
            return
        x, y = np.array(found.centre[first:]), np.array(found.lag[first:])
        x -= x.mean()
        slope = float(x @ y / (x @ x))
        off = np.abs(y - y.mean() - slope * x)
        keep = off <= 3.0 * median(off) + 1e-6
        x, y = x[keep] - x[keep].mean(), y[keep]
        self._slope = float(np.clip(x @ y / (x @ x), -_MOST_SLOPE, _MOST_SLOPE))

    def _near(
        self, block: int, count: int, expected: NDArray[np.float64], polarity: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return lag, correlation and power of blocks, sought about the lag expected of each, in one polarity."""
        start, stop = block * HOP, (block + count - 1) * HOP + BLOCK
        pieces = np.lib.stride_tricks.sliding_window_view(self._of_received(start, stop), BLOCK)[::HOP]
        # An offset resembles every other offset: only what moves tells a place.
        pieces = pieces - pieces.mean(axis=1, keepdims=True)
        frames = np.arange(start - _NEAR, stop + _NEAR, dtype=np.float64)
        line = expected[0] + self._slope * (frames - (start + BLOCK / 2))
        reference = interpolated(self._reference, frames - line)[:, 0]
        stretches = np.lib.stride_tricks.sliding_window_view(reference, BLOCK + 2 * _NEAR)[::HOP]
        spectra = np.fft.rfft(stretches, _TRANSFORM) * np.conj(np.fft.rfft(pieces, _TRANSFORM))
        products = np.fft.irfft(spectra, _TRANSFORM)[:, : 2 * _NEAR + 1]
        power = np.square(pieces, dtype=np.float64).sum(axis=1)
        energy = _sums_of_blocks(np.square(stretches, dtype=np.float64))
        energy = np.maximum(energy - np.square(_sums_of_blocks(stretches)) / BLOCK, 1e-12 * energy)
        scale = np.sqrt(np.maximum(energy, 1e-9 * energy.max(axis=1, keepdims=True)) * power[:, None])
        ratio = polarity * np.divide(products, scale, out=np.zeros_like(scale), where=scale > 0.0)
        # Of peaks that are nearly alike, as those of a steady note are, the one nearest to the expected lag.
        size = ratio - _FARTHER * np.abs(np.arange(-_NEAR, _NEAR + 1)) / _NEAR
        size[:, [0, -1]] = -1.0
        peak = size.argmax(axis=1)
        at = np.arange(count)
        left, middle, right = (ratio[at, peak + shift] for shift in (-1, 0, 1))
        curve = left - 2.0 * middle + right
        shift = np.divide(0.5 * (left - right), curve, out=np.zeros(count), where=curve < -1e-12)
        lag = expected[0] + self._slope * HOP * at + (_NEAR - peak) - np.clip(shift, -0.5, 0.5)
        return lag, middle, power

    def _seek(self, block: int, last: int) -> int:
        """Seek content from a block on, wherever it may be; return the block to continue with, ``last`` if none is."""
        since = block
        while block < last:
            reach, step = self._reach(block - since)
            anchor = interpolated(self._received, block * HOP + np.arange(_ANCHOR) / (1.0 - self._slope))[:, 0]
            if float(anchor @ anchor) >= self._quiet * _ANCHOR / BLOCK:
                for candidate in self._places(block, anchor.astype(np.float32), reach):
                    following = self._confirm(block, candidate)
                    if following is not None:
                        return following
            block += step
        return last

    def _reach(self, blocks: int) -> tuple[int, int]:
        """Return how far to seek after so many blocks without a match, and the step from one anchor to the next."""
        if not self._found.lag:
            return max(len(self._reference), len(self._received)), _ANCHOR_STEPS[0] if blocks < 128 else 32
        level = max(i for i, (after, _) in enumerate(_REACHES) if blocks >= after)
        return _REACHES[level][1], _ANCHOR_STEPS[level]

    def _places(self, block: int, anchor: NDArray[np.float32], reach: int) -> Iterator[Candidate]:
        """Yield the lags a block may have, the likeliest first."""
        start = block * HOP
        expected = round(float(self._expected(start))) if self._found.lag else 0
        low = max(start - expected - reach, -_ANCHOR // 2)
        high = min(start - expected + reach, len(self._reference) + _ANCHOR // 2)
        here = 0.0
        if self._found.lag:
            around = self._of_reference(start - expected - _NEAR, start - expected + _NEAR + _ANCHOR)
            near = candidates(_preferring(correlate(anchor, around), _NEAR, _NEAR), 1, 16)
            here = abs(near[0].correlation) if near else 0.0
            if here >= _LEAST_HERE:
                yield Candidate(expected + _NEAR - near[0].offset, near[0].correlation)
        least = max(_LEAST_ANCHOR, here + _BETTER)
        places = [
            Candidate(start - (first + place.offset), place.correlation)
            for first in range(low, high - _ANCHOR, _SEARCHED)
            for place in candidates(
                _preferring(
                    correlate(anchor, self._of_reference(first, min(first + _SEARCHED + _ANCHOR, high))),
                    start - expected - first,
                    reach,
                ),
                _PEAKS,
                16,
            )
            if abs(place.correlation) >= least
        ]
        yield from sorted(places, key=lambda place: -abs(place.correlation))[:_PEAKS]

    def _confirm(self, block: int, place: Candidate) -> int | None:
        """Take the first of some blocks that match at a lag, and return the one after it; None if too few do."""
        count = min(_CONFIRMING, self._blocks - block)
        # The lag of a place is that of the first frame; blocks have that of their middle.
        expected = place.offset + self._slope * (np.arange(count, dtype=np.float64) * HOP + BLOCK / 2)
        polarity = math.copysign(1.0, place.correlation)
        lag, correlation, power = self._near(block, count, expected, polarity)
        loud = power >= self._quiet
        if not loud.any():
            return None
        # Half a frame beside its lag, content with high tones resembles itself by three quarters: look again there.
        likely = loud & (correlation >= median(correlation[loud]))
        expected = expected + median((lag - expected)[likely])
        lag, correlation, power = self._near(block, count, expected, polarity)
        off = lag - expected
        good = loud & (correlation >= _FOLLOWED * self._typical)
        if not good.any():
            return None
        good &= np.abs(off - median(off[good])) <= _STEADY
        if 2 * np.count_nonzero(good) <= count or median(correlation[good]) < _CONFIRMED * self._typical:
            return None
        index = int(np.flatnonzero(good)[0])
        centre = (block + index) * HOP + BLOCK / 2
        if self._found.lag:
            self._piece += abs(float(lag[index]) - float(self._expected(centre))) > _STEADY
        self._add(centre, float(lag[index]), float(correlation[index]))
        self._polarity = polarity
        return block + index + 1

    def _of_received(self, start: int, stop: int) -> NDArray[np.float32]:
        return np.asarray(self._received.between(start, stop)[:, 0])

    def _of_reference(self, start: int, stop: int) -> NDArray[np.float32]:
        return np.asarray(self._reference.between(start, stop)[:, 0])


def period_of(signal: BoundedSignal) -> int | None:
    """Return after how many frames a signal repeats itself all along, None where it does not within a second.

    What is missing of such a signal, as of a steady tone, leaves no trace where it is as long, or many times as long.

    Parameters
    ----------
    signal
        The signal.

    Returns
    -------
    int or None
        In frames.
    """
    shifts = np.zeros(_LONGEST_PERIOD + 1)
    pieces = 0
    for start in np.linspace(0, max(0, len(signal) - _ANCHOR - _LONGEST_PERIOD), _PERIOD_PIECES).astype(int).tolist():
        around = np.asarray(signal.between(start, start + _ANCHOR + _LONGEST_PERIOD)[:, 0], np.float64)
        around -= around.mean()
        if start + len(around) <= len(signal) and float(around @ around) > 0.0:
            shifts += correlate(around[:_ANCHOR], around)
            pieces += 1
    if not pieces:
        return None
    shifts /= pieces
    # From where it no longer resembles itself because it has hardly moved.
    apart = int(np.argmax(shifts < _OTHERWISE)) if (shifts < _OTHERWISE).any() else len(shifts)
    alike = apart + np.flatnonzero(shifts[apart:] > _PERIODIC)
    return int(alike[0]) if len(alike) else None


def _preferring(correlation: NDArray[np.float32], expected: int, reach: int) -> NDArray[np.float32]:
    """Return a correlation in which places that are alike, as those of a steady tone are, yield to the likeliest.

    That is the nearest to the expected one that is upright. What a codec adds makes one of them look better by chance.
    """
    size = np.abs(correlation)
    best = float(size.max(initial=0.0))
    as_good = 1.0 - np.square(size) <= _AS_GOOD * (1.0 - min(best, 1.0) ** 2) + _SAME
    as_good[1:-1] &= (size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:])
    far = np.abs(np.arange(len(correlation)) - expected) / reach
    weight = 1.0 - _FARTHER_PLACE * np.minimum(far, 1.0) - _INVERTED_PLACE * (correlation < 0.0)
    return np.asarray(np.copysign(np.where(as_good, best, size), correlation) * weight, np.float32)


def _sums_of_blocks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sums of the blocks that begin at each of the first values, shape (count, 2 _NEAR + 1)."""
    sums = np.cumsum(values, axis=1, dtype=np.float64)
    blocks = sums[:, BLOCK - 1 :].copy()
    blocks[:, 1:] -= sums[:, : 2 * _NEAR]
    return blocks
