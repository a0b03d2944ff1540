"""A place where a frame departs from the tone, and the signal around it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.regions import first_cluster_end
from rtpverify.detect.tone.track import Track

LOOKAHEAD_SECONDS, RETURN_SECONDS = 0.06, 0.21
"""How far past a departure is looked before it is decided what it is, and whether the tone of before returns."""
MILD = 3.0
"""Departures of less than this many thresholds may be a model that is slightly off."""
GUARD_FRAMES = 32
"""Good frames that separate one group of wrong frames from the next."""


@dataclass(frozen=True)
class Departure:
    """Frames around the first one that the model of before does not explain.

    Attributes
    ----------
    low
        Frame of index 0 of the arrays, at most a block before the departure.
    at
        Index of the first frame that departs.
    x, valid, residual, bad
        Frames, which of them are there, what the model leaves of them, and which of them depart, shape (n,).
    guard_frames
        Good frames that end a group of wrong ones: a period of the tone at least, because a wrong one crosses it.
    mild_limit
        Residual below which the model may be slightly off.
    final
        Whether the frames reach to the end of the stream.
    """

    low: int
    at: int
    x: NDArray[np.float64]
    valid: NDArray[np.bool_]
    residual: NDArray[np.float64]
    bad: NDArray[np.bool_]
    guard_frames: int
    mild_limit: float
    final: bool

    @property
    def frame(self) -> int:
        """First frame that departs."""
        return self.low + self.at

    @property
    def look(self) -> int:
        """First frame past those that may be examined."""
        return self.low + len(self.x)

    @property
    def begins_mildly(self) -> bool:
        """Whether the first frame that departs does so by little."""
        return abs(float(self.residual[self.at])) < self.mild_limit

    @cached_property
    def end(self) -> int:
        """Index of the first frame after the first group of wrong ones."""
        return self.at + first_cluster_end(self.bad[self.at :], self.guard_frames)

    @property
    def end_frame(self) -> int:
        """First frame after the first group of wrong ones."""
        return self.low + self.end


def look_around(track: Track, frame: int, look: int, *, final: bool) -> Departure:
    """Return the departure at ``frame`` with the signal up to frame ``look``; ``final`` where that is its end.

    Parameters
    ----------
    track
        The channel.
    frame
        First frame that deviates.
    look
        The frame after the last that is known.
    final
        Whether the signal ends there.

    Returns
    -------
    Departure
        The frames, and what departs among them.
    """
    low = max(frame - track.settings.block_frames, min(track.clean_from, frame))
    x, valid = track.read(low, look)
    residual = np.where(valid, x - track.model.at(low, look), 0.0)
    bad = np.abs(residual) > track.allowance(look)
    bad[frame - low] = True  # also where it departs by less than the model's uncertainty grows until ``look``
    return Departure(
        low,
        frame - low,
        x,
        valid,
        residual,
        bad,
        max(GUARD_FRAMES, math.ceil(2.0 * math.pi / track.pace) + 2),
        MILD * track.threshold,
        final,
    )
