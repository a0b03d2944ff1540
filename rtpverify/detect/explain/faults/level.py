"""What makes each frame of the expected signal another one: gain, polarity, offset, a bent or cut curve, one value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure, FittedFrames
from rtpverify.detect.explain.faults.noise import residual_dbfs
from rtpverify.detect.explain.model import (
    Description,
    Explained,
    FaultModel,
    Fitted,
    following,
    told,
    with_noise,
    without_chain,
)
from rtpverify.dsp.levels import decibels
from rtpverify.dsp.median import median
from rtpverify.events import ClippingSize, DcOffsetSize, DistortionSize, DropoutSize, GainSize, Kind, PolaritySize

LEAST_GAIN, MOST_GAIN = 1e-3, 1e3
"""Less gain than -60 dB is no signal, and the reciprocal for what was too low before."""
_DEGREE = 5
"""Of the curve that distorts: harmonics up to the fifth, as devices are specified."""
_FAR = 3.0
"""Frames are cut where they are off by more than so many times the noise."""
_LEAST_HELD_FRAMES = 3
"""Fewer equal frames come about by chance on any crest."""
_PLAUSIBLE = 4.5
"""Nats below the likeliest at which a frame is three deviations off."""
_FIRST_MUTED = 2.0
"""Nats: more than what chance may add at an edge."""
_ROUNDS_TO_ANYTHING = 1.02
"""An offset of up to half a step (and what the mean of a few frames is off by) changes what values are rounded to."""
_NARROW = 8.0
"""Levels apart by less than so many times the noise are one value."""


class Gain(FaultModel):
    """Another level."""

    kind = Kind.GAIN
    prior = 0.5

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the expected signal at the gain of least squares.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        energy = float(part.expected @ part.expected)
        gain = float(part.x @ part.expected) / energy if energy > 0.0 else 0.0
        if not LEAST_GAIN < gain < MOST_GAIN:
            return []
        change_db = decibels(gain)
        text = f"level changed by {change_db:+.3f} dB"
        signal = gain * part.departure.expected
        return following(part, with_noise(part, signal, 1, told(GainSize(gain_db=change_db), text)))


class Polarity(FaultModel):
    """Inverted."""

    kind = Kind.POLARITY
    prior = 2.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the expected signal, inverted.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        return following(part, with_noise(part, -part.departure.expected, 0, told(PolaritySize(), "inverted")))


class DcOffset(FaultModel):
    """An offset."""

    kind = Kind.DC_OFFSET
    prior = 0.5

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the expected signal with the mean of what it leaves.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        offset = float(part.residual.mean()) if len(part.x) else 0.0
        if abs(offset) <= part.departure.noise.bound * _ROUNDS_TO_ANYTHING:
            return []
        text = f"offset of {offset:+.2e} of full scale"
        signal = part.departure.expected + offset
        return following(part, with_noise(part, signal, 1, told(DcOffsetSize(dc_offset=offset), text)))


class Dropout(FaultModel):
    """One value, held: often zero."""

    kind = Kind.DROPOUT
    prior = 0.5
    least_seconds = 0.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the middle value.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        x, noise = part.x, part.departure.noise
        if len(x) < _LEAST_HELD_FRAMES or np.ptp(part.expected) < _NARROW * noise.level:
            return []
        value = float(median(x))
        near = x[np.abs(x - value) <= _NARROW * noise.level]
        value = float(near.mean()) if len(near) else value
        low = 2.0 * max(noise.level - noise.bound, part.departure.step or 0.0)
        is_muted = value == 0.0 or (abs(value) <= low and np.ptp(x) > 0.0)
        text = "muted" if is_muted else f"held at {value:.6g}"
        size = DropoutSize(held_value=0.0 if is_muted else value)
        signal = np.full(len(part.departure.x), value)
        found = without_chain(
            part, signal, 1, lambda _, frames: (size, f"{text} for {frames.stop - frames.start} frames"), most=1.5
        )
        if found is None:
            return []
        return [(_Muted if is_muted else _Held)(**vars(found))]


class _Muted(Explained):
    """Silence; where the signal is silent too, a frame before others that are off is the first that is muted."""

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame; a silent one in order before others is more likely muted than not."""
        first = _last_in_order(departure) & (departure.x == 0.0)
        return np.where(first, departure.in_order + _FIRST_MUTED, super().log_likelihood(departure))


class _Held(Explained):
    """The value of the frame before, which is in order."""

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame; the last in order before others is the one that was held, and is in order."""
        return np.where(_last_in_order(departure), departure.in_order, super().log_likelihood(departure))


def _last_in_order(departure: Departure) -> NDArray[np.bool_]:
    """Return which frames are in order, and not the one that comes next in time; shape (n,)."""
    right = departure.in_order > departure.in_order.max() - _PLAUSIBLE
    after = np.insert(right[:-1], 0, False) if departure.reference.backwards else np.append(right[1:], False)
    return np.asarray(right & ~after, np.bool_)


class Clipping(FaultModel):
    """Cut off above one level, and as far below.

    Parameters
    ----------
    level
        The magnitude at which it is known to clip; None where it is to be found.
    """

    kind = Kind.CLIPPING
    prior = 0.0
    least_seconds = 0.0

    def __init__(self, level: float | None = None) -> None:
        self._level = level

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the expected signal within the level beyond which it does not go.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        x, y = part.x, part.expected
        level = self._level or _ceiling(x * np.sign(y), np.abs(y), part.departure.noise.level)
        return [] if level is None else _cut(part, -level, level, int(self._level is None))


class OneSidedClipping(FaultModel):
    """Cut off above one level, or below another."""

    kind = Kind.CLIPPING
    prior = 0.0
    least_seconds = 0.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the expected signal between the levels beyond which it does not go.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        x, y, sigma = part.x, part.expected, part.departure.noise.level
        high, low = _ceiling(x, y, sigma), _ceiling(-x, -y, sigma)
        if high is None and low is None:
            return []
        return _cut(part, None if low is None else -low, high, (high is not None) + (low is not None))


def _cut(part: FittedFrames, low: float | None, high: float | None, parameters: int) -> list[Explained]:
    signal = np.clip(part.departure.expected, low, high)
    level = max(abs(item) for item in (low, high) if item is not None)
    describe = told(ClippingSize(clip_level=level), f"clipped at {level:.4g} of full scale")
    if _goes_on_higher(part, signal):
        return []
    return following(part, with_noise(part, signal, parameters, describe))


def _goes_on_higher(part: FittedFrames, signal: NDArray[np.float64]) -> bool:
    """Return whether all is one crest, as high as it should be on both sides of what is cut: nothing is cut off."""
    departure, before, after = part.departure, part.frames.start - 1, part.frames.stop
    if before < 0 or after >= len(signal):
        return False
    around = slice(before, after + 1)
    least = _FAR * departure.noise.rms
    if not np.all(np.abs(departure.expected[around] - signal[around]) > least):
        return False
    return bool(max(abs(departure.expected[at] - departure.x[at]) for at in (before, after)) <= least)


def _ceiling(x: NDArray[np.float64], y: NDArray[np.float64], sigma: float) -> float | None:
    """Return the level at which a signal is cut that should be higher; None where it is nowhere."""
    cut = y - x > _FAR * sigma
    level = 0.0
    for _ in range(2):
        if not cut.any():
            return None
        level = float(median(x[cut]))
        cut = y > level + sigma
    return level if level > 0.0 else None


def _describe_bent(departure: Departure, frames: slice) -> Description:
    level = residual_dbfs(departure, frames)
    return DistortionSize(residual_dbfs=level), f"distorted, residual of {level:.1f} dBFS"


class Distortion(FaultModel):
    """Bent by a curve without memory; gain and offset are special cases of it, likelier where they are enough."""

    kind = Kind.DISTORTION
    prior = 6.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return a polynomial of the expected signal.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        x, expected = part.x, part.departure.expected
        peak = float(np.abs(expected).max(initial=0.0))
        if len(x) <= 2 * _DEGREE or peak == 0.0:
            return []
        curve = np.polynomial.chebyshev.chebvander(part.expected / peak, _DEGREE)
        products = curve.T @ curve
        # A ridge far below rounding: some columns vanish where the signal takes few values.
        products += 1e-12 * float(np.trace(products)) * np.eye(_DEGREE + 1)
        weights = np.linalg.solve(products, curve.T @ x)
        if weights[1] <= 0.0:
            return []
        signal = np.polynomial.chebyshev.chebval(expected / peak, weights)
        return following(part, with_noise(part, signal, _DEGREE + 1, _describe_bent))
