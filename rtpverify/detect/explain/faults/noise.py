"""Something added: for a frame or a few, or for longer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure, FittedFrames
from rtpverify.detect.explain.likelihood import Noise
from rtpverify.detect.explain.model import (
    LONGEST_CLICK_SECONDS,
    Describe,
    Description,
    FaultModel,
    Fitted,
    with_noise,
)
from rtpverify.dsp.levels import dbfs
from rtpverify.dsp.sample_words import wrong_bits
from rtpverify.events import ClickSize, Kind, NoiseSize

_LEAST_SCATTERED = 4
"""Fewer wrong frames are clicks."""


def residual_dbfs(departure: Departure, frames: slice) -> float:
    """Return the level of what the expected signal leaves of some frames.

    Parameters
    ----------
    departure
        The frames that depart.
    frames
        The frames.

    Returns
    -------
    float
        In dBFS.
    """
    left = departure.part(frames).residual
    return dbfs(math.sqrt(max(float(np.mean(np.square(left))), 1e-30))) if len(left) else -300.0


def describe_noise(departure: Departure, frames: slice) -> Description:
    """Return size and message of noise over what was expected.

    Parameters
    ----------
    departure
        The frames that depart.
    frames
        The frames.

    Returns
    -------
    Description
        Size and message.
    """
    level = residual_dbfs(departure, frames)
    return NoiseSize(residual_dbfs=level), f"residual of {level:.1f} dBFS"


def describe_click(departure: Departure, frames: slice) -> Description:
    """Return size and message of a frame or a few that are anything.

    Parameters
    ----------
    departure
        The frames that depart.
    frames
        The frames.

    Returns
    -------
    Description
        Size and message.
    """
    part = departure.part(frames)
    off, bits = float(np.abs(part.residual).max(initial=0.0)), departure.reference.bits
    errors = wrong_bits(part.x, part.expected, bits) if bits is not None and departure.noise.bound else None
    count = frames.stop - frames.start
    return ClickSize(
        deviation=off, bit_errors=errors
    ), f"{count} frame{'s' if count > 1 else ''} off by up to {off:.3g} of full scale"


class Hiss(FaultModel):
    """Noise, louder than in order."""

    kind = Kind.NOISE

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the expected signal with the noise that is there.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        found = with_noise(part, part.departure.expected, 0, describe_noise, robust=False)
        return [] if found.complete else [found]


@dataclass(frozen=True)
class _Mixed:
    """Frames in order among others that are anything: which, nothing says."""

    signal: NDArray[np.float64]
    noise: Noise
    share: float
    density: float
    describe: Describe
    parameters: int = 0
    spreads: int = 1
    prior: float = 0.0
    complete: bool = False

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame, which is either."""
        likely = departure.in_order + math.log1p(-self.share)
        return np.logaddexp(likely, math.log(self.share * self.density))


class Scattered(FaultModel):
    """Many wrong frames among right ones."""

    kind = Kind.NOISE

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return how many frames are wrong, and how far they may be off.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        departure, left = part.departure, np.abs(part.residual)
        count = int(np.count_nonzero(left >= part.noise.reach))
        if not _LEAST_SCATTERED <= count < len(left):
            return []
        density = 0.5 / float(left.max())
        return [_Mixed(departure.expected, departure.noise, count / len(left), density, describe_noise)]


class Click(FaultModel):
    """One or a few frames that are anything."""

    kind = Kind.CLICK
    least_seconds, most_seconds = 0.0, LONGEST_CLICK_SECONDS

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the expected signal, or anything up to full scale.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        return [_Mixed(part.departure.expected, part.departure.noise, 0.5, 0.5, describe_click, spreads=0)]
