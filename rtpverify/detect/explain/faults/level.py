"""What makes each frame of the expected signal another one: gain, polarity, offset, a bent or cut curve, one value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure
from rtpverify.detect.explain.faults.noise import residual_dbfs
from rtpverify.detect.explain.model import (
    LONGEST_CLICK_SECONDS,
    Cheap,
    Description,
    Explained,
    Fitted,
    following,
    with_noise,
    without_chain,
)
from rtpverify.dsp.levels import decibels
from rtpverify.events import Kind

LEAST_GAIN, MOST_GAIN = 1e-3, 1e3
"""Less gain than -60 dB is no signal, and the reciprocal for what was too low before."""
_DEGREE = 5
"""Of the curve that distorts: harmonics up to the fifth, as devices are specified."""
_LEAST_CLIPPED_FRAMES = 2
_LEAST_HELD_FRAMES = 3
"""Fewer equal frames come about by chance on any crest."""
_NARROW = 8.0
"""Levels apart by less than so many times the noise are one value."""


class Gain(Cheap):
    """Another level."""

    kind = Kind.GAIN
    prior = 0.5
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the expected signal at the gain of least squares."""
        x, y = departure.seen(core, departure.x, departure.expected)
        energy = float(y @ y)
        gain = float(x @ y) / energy if energy > 0.0 else 0.0
        if not LEAST_GAIN < gain < MOST_GAIN:
            return []
        change_db = decibels(gain)
        text = f"level changed by {change_db:+.3f} dB"
        found = with_noise(departure, core, gain * departure.expected, 1, {"gain_db": change_db}, text)
        return following(departure, core, found)


class Polarity(Cheap):
    """Inverted."""

    kind = Kind.POLARITY
    prior = 2.0
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the expected signal, inverted."""
        return following(departure, core, with_noise(departure, core, -departure.expected, 0, {}, "inverted"))


class DcOffset(Cheap):
    """An offset."""

    kind = Kind.DC_OFFSET
    prior = 0.5
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the expected signal with the mean of what it leaves."""
        x, y = departure.seen(core, departure.x, departure.expected)
        offset = float(np.mean(x - y)) if len(x) else 0.0
        text = f"offset of {offset:+.2e} of full scale"
        found = with_noise(departure, core, departure.expected + offset, 1, {"dc_offset": offset}, text)
        return following(departure, core, found)


class Dropout(Cheap):
    """One value, held: often zero."""

    kind = Kind.DROPOUT
    prior = 0.5
    least_seconds, most_seconds = 0.0, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the middle value."""
        [x] = departure.seen(core, departure.x)
        if len(x) < _LEAST_HELD_FRAMES:
            return []
        value = float(np.median(x))
        low = 2.0 * max(float(np.mean(departure.noise.sigma)), departure.step or 0.0)
        text = "muted" if (abs(value) <= low and np.ptp(x) > 0.0) or value == 0.0 else f"held at {value:.6g}"
        signal = np.full(len(departure.x), value)
        found = without_chain(departure, core, signal, 1, {"held_value": value}, text, most=1.5)
        return [] if found is None else [found]


class Clipping(Cheap):
    """Cut off above one level, or below another."""

    kind = Kind.CLIPPING
    prior = 0.0
    least_seconds, most_seconds = 0.0, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the expected signal between the levels beyond which it does not go."""
        x, y = departure.seen(core, departure.x, departure.expected)
        if len(x) < _LEAST_CLIPPED_FRAMES:
            return []
        sigma = float(np.mean(departure.noise.sigma)) + departure.noise.bound
        high, above = _ceiling(x, y, sigma)
        low, below = _ceiling(-x, -y, sigma)
        if above + below < _LEAST_CLIPPED_FRAMES or high + low < _NARROW * sigma:
            return []
        one = abs(high - low) < _NARROW * sigma
        level = max(item for item, count in ((high, above), (low, below)) if count)
        signal = np.clip(departure.expected, -low if below else None, high if above else None)
        text = f"clipped at {level:.4g} of full scale"
        sides = 2 if above and below and not one else 1
        found = with_noise(departure, core, signal, sides, {"clip_level": level}, text)
        return following(departure, core, found)


def _ceiling(x: NDArray[np.float64], y: NDArray[np.float64], sigma: float) -> tuple[float, int]:
    """Return the level that a signal does not exceed where it should, and how many frames should."""
    level = float(x.max())
    for _ in range(2):
        beyond = y > level + sigma
        count = int(np.count_nonzero(beyond))
        if not count:
            break
        # In noise the highest frame lies above the level, and most of those at it around it.
        level = float(np.median(x[beyond]))
    return level, int(np.count_nonzero(y > level + sigma))


@dataclass(frozen=True)
class _Bent(Explained):
    """A curve through which the expected signal went."""

    def describe(self, departure: Departure, frames: slice) -> Description:
        level = residual_dbfs(departure, frames)
        return {"residual_dbfs": level}, f"distorted, residual of {level:.1f} dBFS"


class Distortion(Cheap):
    """Bent by a curve without memory."""

    kind = Kind.DISTORTION
    prior = 2.0
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return a polynomial of the expected signal."""
        x, y = departure.seen(core, departure.x, departure.expected)
        peak = float(np.abs(departure.expected).max(initial=0.0))
        if len(x) <= 2 * _DEGREE or peak == 0.0:
            return []
        curve = np.polynomial.chebyshev.chebvander(y / peak, _DEGREE)
        products = curve.T @ curve
        # A ridge far below rounding: some columns vanish where the signal takes few values.
        products += 1e-12 * float(np.trace(products)) * np.eye(_DEGREE + 1)
        weights = np.linalg.solve(products, curve.T @ x)
        if weights[1] <= 0.0:
            return []
        signal = np.polynomial.chebyshev.chebval(departure.expected / peak, weights)
        found = with_noise(departure, core, signal, _DEGREE + 1, {}, "")
        return following(departure, core, _Bent(**vars(found)))
