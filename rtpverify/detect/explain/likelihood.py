"""How likely residuals are, and the stretch of frames that speaks most for an explanation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.median import median

OUTLIER = math.log(1e-6 / 2.0)
"""Log-density of a frame that is anything: one in a million is, anywhere within full scale, 2 wide. A Gaussian alone
would let one wrong frame outweigh all others, and its sums leave float64."""
_CHANCE = 1.0
"""Nats by which an edge that is nowhere in particular is drawn outwards by noise."""
_UNCERTAIN = 0.05
"""What is expected is known to a twentieth of a step, where a frame may be half a step off: a whole step is a fault."""
SMALLEST_SIGMA = 1e-10
"""What float64 arithmetic leaves."""
_ROOT = math.sqrt(2.0 * math.pi)
_TWICE_ROUNDED = 2.0
"""What was rounded before a fault and after it is off by up to a whole step."""
_GAUSSIAN = 1.4826
"""Standard deviation of Gaussian noise over its median magnitude."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The residual of frames that are as expected.

    Attributes
    ----------
    sigma
        Standard deviation of its Gaussian part, full scale ±1.0: one number, or one for each frame, shape (n,).
    bound
        Deviation that is as likely as none: half a step where values are rounded without dither.
    """

    sigma: float | NDArray[np.float64]
    bound: float = 0.0

    @classmethod
    def of_rounding(cls, step: float) -> Noise:
        """Return that of a quantiser without dither, whose input is known.

        Parameters
        ----------
        step
            Of the quantiser.
        """
        return cls(_UNCERTAIN * step, step / 2.0)

    @property
    def rms(self) -> float:
        """All of it, over all frames."""
        power = self.sigma**2 if isinstance(self.sigma, float) else float(np.mean(np.square(self.sigma)))
        return math.sqrt(power + self.bound**2 / 3.0)

    @property
    def level(self) -> float:
        """Deviation that is usual: the Gaussian part on average, over what is as likely as none."""
        return (self.sigma if isinstance(self.sigma, float) else float(np.mean(self.sigma))) + self.bound

    def sigma_over(self, bound: float) -> float | NDArray[np.float64]:
        """Return the Gaussian part that makes the same noise of another bound.

        Parameters
        ----------
        bound
            The other bound.

        Returns
        -------
        float or NDArray[np.float64]
            RMS, shape (n,) where the noise differs from frame to frame.
        """
        more = (self.bound**2 - bound**2) / 3.0
        if more == 0.0:
            return self.sigma
        if isinstance(self.sigma, float):
            return math.sqrt(max(self.sigma**2 + more, SMALLEST_SIGMA**2))
        return np.asarray(np.sqrt(np.maximum(np.square(self.sigma) + more, SMALLEST_SIGMA**2)))

    def part(self, frames: slice, among: NDArray[np.bool_] | NDArray[np.intp] | slice = slice(None)) -> Noise:
        """Return that of some of the frames, or of some among them.

        Parameters
        ----------
        frames
            The frames.
        among
            Which of them, shape (n,).

        Returns
        -------
        Noise
            A copy.
        """
        return self if isinstance(self.sigma, float) else replace(self, sigma=self.sigma[frames][among])

    def times(self, scale: float) -> Noise:
        """Return the same, so many times as large: what is louder than two roundings is no rounding.

        Parameters
        ----------
        scale
            The factor.

        Returns
        -------
        Noise
            A copy.
        """
        if scale == 1.0:
            return self
        if self.bound and scale > _TWICE_ROUNDED:
            return Noise(scale * self.sigma_over(0.0))
        return Noise(self.sigma * scale, self.bound * scale)

    def scaled(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return residuals in standard deviations of all of the noise, shape (n,).

        Parameters
        ----------
        residual
            Shape (n,).

        Returns
        -------
        NDArray[np.float64]
            Shape (n,).
        """
        if isinstance(self.sigma, float):
            return residual / math.sqrt(self.sigma**2 + self.bound**2 / 3.0)
        return np.asarray(residual / np.sqrt(np.square(self.sigma) + self.bound**2 / 3.0))

    def excess(self, residual: NDArray[np.float64], *, robust: bool = True) -> tuple[float, float]:
        """Return how many times as large the noise is that residuals show, 1 at least, and the share that shows it.

        Parameters
        ----------
        residual
            Shape (n,).
        robust
            Whether to leave out frames that are likelier anything than noise (the mixture's likelihood at its maximum).

        Returns
        -------
        scale : float
            The factor.
        share : float
            From 0 to 1.
        """
        if len(residual) == 0:
            return 1.0, 1.0
        whole, size = self.scaled(residual), np.abs(residual)
        if not robust:
            return max(1.0, math.sqrt(float(whole @ whole) / len(whole))), 1.0
        scale = max(1.0, usual_deviation(np.abs(whole)))
        for _ in range(2):
            likely = size < self.times(scale).reach
            count = int(np.count_nonzero(likely))
            if count == 0:
                return scale, 0.0
            kept = whole if count == len(whole) else whole[likely]
            scale = max(1.0, math.sqrt(float(kept @ kept) / count))
            if count == len(whole):
                return scale, 1.0
        if self.bound and scale < _TWICE_ROUNDED:
            once, twice = (float(self.times(item).log_likelihood(residual).sum()) for item in (scale, _TWICE_ROUNDED))
            scale = _TWICE_ROUNDED if twice > once else scale
        return scale, np.count_nonzero(size < self.times(scale).reach) / len(size)

    @property
    def peak(self) -> float | NDArray[np.float64]:
        """Log-likelihood of a frame that is as expected, in nats; one number, or one for each frame."""
        if isinstance(self.sigma, float):
            return -math.log(self.sigma * _ROOT + 2.0 * self.bound)
        return np.asarray(-np.log(self.sigma * _ROOT + 2.0 * self.bound))

    @property
    def reach(self) -> float | NDArray[np.float64]:
        """Deviation from which on a frame is likelier anything; one number, or one for each frame."""
        if isinstance(self.sigma, float):
            return self.bound + self.sigma * math.sqrt(max(2.0 * (self.peak - OUTLIER), 0.0))
        return np.asarray(self.bound + self.sigma * np.sqrt(np.maximum(2.0 * (self.peak - OUTLIER), 0.0)))

    def log_likelihood(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-likelihood of each residual, in nats, shape (n,).

        Parameters
        ----------
        residual
            Shape (n,).

        Returns
        -------
        NDArray[np.float64]
            In nats.
        """
        z = np.abs(residual)
        if self.bound:
            z -= self.bound
            np.maximum(z, 0.0, out=z)
        z *= math.sqrt(0.5) / self.sigma
        np.multiply(z, z, out=z)
        np.subtract(self.peak, z, out=z)
        return np.maximum(z, OUTLIER, out=z)


def usual_deviation(magnitude: NDArray[np.float64]) -> float:
    """Return the standard deviation of Gaussian noise of the same median magnitude, shape (n,).

    Parameters
    ----------
    magnitude
        Shape (n,).

    Returns
    -------
    float
        The standard deviation.
    """
    return _GAUSSIAN * float(median(magnitude))


def best_interval(gain: NDArray[np.float64]) -> tuple[int, int, float]:
    """Return start, end and sum of the interval of greatest sum (Kadane's maximum subarray).

    Of those that are within a nat of it at either edge it is the shortest: what chance adds is no part of a fault.

    Parameters
    ----------
    gain
        Log-likelihood won by each frame, in nats, shape (n,).

    Returns
    -------
    start : int
        First index.
    stop : int
        The one after the last.
    sum : float
        In nats.
    """
    total = np.zeros(len(gain) + 1)
    np.cumsum(gain, out=total[1:])
    rise = total - np.minimum.accumulate(total)
    stop = int(rise.argmax())
    start = stop - int(total[: stop + 1][::-1].argmin())
    slack = min(_CHANCE, (total[stop] - total[start]) / 4.0)
    inner = total[start : stop + 1]
    stop = start + int((inner >= inner[-1] - slack).argmax())
    start += int(np.flatnonzero(inner[: stop - start + 1] <= inner[0] + slack)[-1])
    return start, stop, float(total[stop] - total[start])
