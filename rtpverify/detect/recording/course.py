"""The course of the content through a recording that was recoded: pieces in which its lag changes slowly.

Positions and lags count in frames of the low rate (see :mod:`rtpverify.detect.recording.trail`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.recording.trail import Trail
from rtpverify.dsp.median import median

_SMOOTHED_BLOCKS = 32
"""Blocks on each side over which the lag is taken for a straight line: two seconds at 8 kHz."""
SHORT_BLOCKS = 24
_GOOD = 0.93
"""Least correlation of a short piece, against that of most blocks: a steady note nearly matches at many lags."""
_OUTLIER = 3.0
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the received recording in which the lag has no step.

    Attributes
    ----------
    centre, lag
        Where its lag was measured, smoothed, both of shape (n,).
    slope
        Change of lag per frame over the whole piece: positive where the received recording has more frames.
    """

    centre: NDArray[np.float64]
    lag: NDArray[np.float64]
    slope: float

    def lag_at(self, frame: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the lag of received frames, beyond the ends of the piece by its slope.

        Parameters
        ----------
        frame
            Received frames, of any shape.

        Returns
        -------
        NDArray[np.float64]
            In frames, of the same shape.
        """
        inside = np.interp(frame, self.centre, self.lag)
        beyond = np.minimum(frame - self.centre[0], 0.0) + np.maximum(frame - self.centre[-1], 0.0)
        return np.asarray(inside + self.slope * beyond)


def pieces_of(trail: Trail) -> list[Piece]:
    """Return the pieces of a trail, in order, without those that match too poorly to be one.

    Parameters
    ----------
    trail
        Where the blocks of a recording lie.

    Returns
    -------
    list[Piece]
        In order of time.
    """
    slope = common_slope(trail)
    typical = float(median(trail.correlation))
    blocks = [np.flatnonzero(trail.piece == number) for number in np.unique(trail.piece)]
    return [
        Piece(trail.centre[at], _smooth(trail.centre[at], trail.lag[at], slope), slope)
        for at in blocks
        if len(at) > SHORT_BLOCKS or median(trail.correlation[at]) >= _GOOD * typical
    ]


def common_slope(trail: Trail) -> float:
    """Return the slope of the lag that all pieces share, by least squares without outliers.

    Parameters
    ----------
    trail
        Where the blocks of a recording lie.

    Returns
    -------
    float
        In frames of lag for each frame received.
    """
    x, y = trail.centre.copy(), trail.lag.copy()
    weight = np.ones(len(x))
    slope = 0.0
    for _ in range(_ROUNDS):
        total = np.maximum(np.bincount(trail.piece, weight), 1e-12)
        x -= (np.bincount(trail.piece, weight * x) / total)[trail.piece]
        y -= (np.bincount(trail.piece, weight * y) / total)[trail.piece]
        spread = float(weight @ (x * x))
        if spread <= 0.0:
            return 0.0
        slope = float(weight @ (x * y)) / spread
        off = np.abs(y - slope * x)
        weight = (off <= _OUTLIER * median(off) + 1e-6).astype(np.float64)
    return slope


def _smooth(centre: NDArray[np.float64], lag: NDArray[np.float64], slope: float) -> NDArray[np.float64]:
    """Return the lag by a straight line through the blocks around each, without outliers.

    Where there are few around, the line has the common slope.
    """
    rest = lag - lag[0] - slope * (centre - centre[0])
    smooth = np.full(len(lag), median(rest))
    first = np.maximum(np.arange(len(lag)) - _SMOOTHED_BLOCKS, 0)
    stop = np.minimum(np.arange(len(lag)) + _SMOOTHED_BLOCKS + 1, len(lag))
    for _ in range(_ROUNDS):
        off = np.abs(rest - smooth)
        weight = (off <= _OUTLIER * median(off) + 0.05).astype(np.float64)
        # Sums of w, wx, wxx, wy, wxy over the blocks around each; x from the block itself.
        columns = np.stack([weight, weight * centre, weight * centre**2, weight * rest, weight * centre * rest])
        sums = np.concatenate([np.zeros((5, 1)), np.cumsum(columns, axis=1)], axis=1)
        n, x, xx, y, xy = sums[:, stop] - sums[:, first]
        n = np.maximum(n, 1.0)
        spread, joint = xx - x * x / n, xy - x * y / n
        wide = n > _SMOOTHED_BLOCKS
        line = np.divide(joint, spread, out=np.zeros(len(lag)), where=wide & (spread > 0.0))
        smooth = y / n + line * (centre - x / n)
    return np.asarray(lag[0] + slope * (centre - centre[0]) + smooth)
