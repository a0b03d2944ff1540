"""Something added: for a frame or a few, or for longer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtpverify.detect.explain.departure import Departure
from rtpverify.detect.explain.model import LONGEST_CLICK_SECONDS, Cheap, Description, Explained, Fitted, with_noise
from rtpverify.dsp.levels import dbfs
from rtpverify.dsp.sample_words import wrong_bits
from rtpverify.events import Kind


def residual_dbfs(departure: Departure, frames: slice) -> float:
    """Return the level of what the expected signal leaves of some frames."""
    [left] = departure.seen(frames, departure.x - departure.expected)
    return dbfs(math.sqrt(max(float(np.mean(np.square(left))), 1e-30))) if len(left) else -300.0


@dataclass(frozen=True)
class _Added(Explained):
    """Noise over what was expected."""

    def describe(self, departure: Departure, frames: slice) -> Description:
        level = residual_dbfs(departure, frames)
        return {"residual_dbfs": level}, f"residual of {level:.1f} dBFS"


@dataclass(frozen=True)
class _Wrong(Explained):
    """A frame or a few that are anything."""

    def describe(self, departure: Departure, frames: slice) -> Description:
        x, expected = departure.seen(frames, departure.x, departure.expected)
        off, bits = float(np.abs(x - expected).max(initial=0.0)), departure.reference.bits
        size: dict[str, float | int] = {"deviation": off}
        if bits is not None and departure.noise.bound:
            size["bit_errors"] = wrong_bits(x, expected, bits)
        return size, f"{frames.stop - frames.start} frame(s) off by up to {off:.3g} of full scale"


class Hiss(Cheap):
    """Noise, louder than in order."""

    kind = Kind.NOISE
    prior = 0.0
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the expected signal with the noise that is there."""
        found = with_noise(departure, core, departure.expected, 0, {}, "", robust=False)
        return [] if found.complete else [_Added(**vars(found))]


class Click(Cheap):
    """One or a few frames that are anything."""

    kind = Kind.CLICK
    prior = 0.0
    least_seconds, most_seconds = 0.0, LONGEST_CLICK_SECONDS

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the expected signal with the deviation that is there."""
        return [_Wrong(**vars(with_noise(departure, core, departure.expected, 0, {}, "", robust=False)))]
