"""Where the lag jumps: the frames at which one piece ends and the next begins, and what lies between them.

Positions count in frames of the low rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtpverify.detect.recording.course import Piece
from rtpverify.detect.recording.trail import BLOCK
from rtpverify.dsp.decimate import BoundedSignal, interpolated

FOREIGN_COST = 0.5
"""What a frame costs that matches neither side, against its square."""
_LEAST_POWER = 1e-5
"""The same at least, against the mean square of the recording."""
_BACK, _AHEAD = 8192, 4096
"""How far into either piece the splice may lie: what repeats itself matches at more than one lag for a while."""


@dataclass(frozen=True, slots=True)
class Splice:
    """A jump of the lag.

    Attributes
    ----------
    start, stop
        Received frames between which the content matches neither piece; equal where one follows the other at once.
    jump
        Change of lag: positive where frames were inserted.
    unexplained
        Share of the power around it that neither piece explains.
    """

    start: int
    stop: int
    jump: float
    unexplained: float


def locate(
    reference: BoundedSignal,
    received: BoundedSignal,
    sides: tuple[Piece, Piece],
    gain: float,
    power: float,
) -> Splice:
    """Find where one piece ends and the next begins.

    Of all pairs of such frames, the one that leaves the least of the received recording unexplained.

    Parameters
    ----------
    reference, received
        Both recordings, one channel each.
    sides
        The pieces before and after.
    gain
        Of the received recording over its reference.
    power
        Mean square of the received recording.

    Returns
    -------
    Splice
        Where the one gives way to the other.
    """
    before, after = sides
    first = max(int(before.centre[0]), int(before.centre[-1]) - _BACK)
    last = min(int(after.centre[-1]), int(after.centre[0]) + _AHEAD) + BLOCK // 2
    frames = np.arange(first, min(last, len(received)), dtype=np.float64)
    heard = received.between(first, first + len(frames))[:, 0].astype(np.float64)
    left, right = (
        np.square(heard - gain * interpolated(reference, frames - side.lag_at(frames))[:, 0]) for side in sides
    )
    foreign = FOREIGN_COST * np.square(heard) + _LEAST_POWER * power
    costs = [np.concatenate([[0.0], np.cumsum(cost)]) for cost in (left, foreign, right)]
    left_costs = costs[0] - costs[1]
    best_left = np.minimum.accumulate(left_costs)
    totals = best_left + costs[1] - costs[2]
    stop = int(totals.argmin())
    unexplained = float(totals[stop] + costs[2][-1]) / max(float(heard @ heard), _LEAST_POWER * power)
    start = int(np.argmin(left_costs[: stop + 1]))
    middle = np.array([first + (start + stop) / 2.0])
    jump = float(after.lag_at(middle)[0] - before.lag_at(middle)[0])
    return Splice(first + start, first + stop, jump, unexplained)
