"""How likely residuals are, and the stretch of frames that speaks most for an explanation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

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
    """What is left of frames that are as expected.

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
        """Return that of a quantiser without dither, whose input is known."""
        return cls(_UNCERTAIN * step, step / 2.0)

    @property
    def rms(self) -> float:
        """All of it, over all frames."""
        return math.sqrt(float(np.mean(np.square(self.sigma))) + self.bound**2 / 3.0)

    def sigma_over(self, bound: float) -> float | NDArray[np.float64]:
        """Return the Gaussian part that makes the same noise of another bound."""
        more = (self.bound**2 - bound**2) / 3.0
        return self.sigma if more == 0.0 else np.sqrt(np.maximum(np.square(self.sigma) + more, SMALLEST_SIGMA**2))

    def part(self, frames: slice, among: NDArray[np.bool_] | slice = slice(None)) -> Noise:
        """Return that of some of the frames, or of some among them."""
        return self if isinstance(self.sigma, float) else replace(self, sigma=self.sigma[frames][among])

    def times(self, scale: float) -> Noise:
        """Return the same, so many times as large: what is louder than two roundings is no rounding."""
        if scale == 1.0:
            return self
        if self.bound and scale > _TWICE_ROUNDED:
            return Noise(scale * np.sqrt(np.square(self.sigma) + self.bound**2 / 3.0))
        return Noise(self.sigma * scale, self.bound * scale)

    def excess(self, residual: NDArray[np.float64], *, robust: bool = True) -> tuple[float, float]:
        """Return how many times as large the noise is that residuals show, 1 at least, and the share that shows it.

        Parameters
        ----------
        residual
            Shape (n,).
        robust
            Whether to leave out frames that are likelier anything than noise (the mixture's likelihood at its maximum).
        """
        if len(residual) == 0:
            return 1.0, 1.0
        whole = residual / np.sqrt(np.square(self.sigma) + self.bound**2 / 3.0)
        if not robust:
            return max(1.0, math.sqrt(float(whole @ whole) / len(whole))), 1.0
        scale = max(1.0, _GAUSSIAN * float(np.median(np.abs(whole))))
        for _ in range(2):
            likely = self.times(scale).log_likelihood(residual) > OUTLIER
            if likely.all():
                kept = whole
            elif likely.any():
                kept = whole[likely]
            else:
                return scale, 0.0
            scale = max(1.0, math.sqrt(float(kept @ kept) / len(kept)))
            if len(kept) == len(whole):
                return scale, 1.0
        if self.bound and scale < _TWICE_ROUNDED:
            once, twice = (float(self.times(item).log_likelihood(residual).sum()) for item in (scale, _TWICE_ROUNDED))
            scale = _TWICE_ROUNDED if twice > once else scale
        return scale, float(np.mean(self.times(scale).log_likelihood(residual) > OUTLIER))

    def log_likelihood(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-likelihood of each residual, in nats, shape (n,)."""
        z = np.abs(residual)
        if self.bound:
            z -= self.bound
            np.maximum(z, 0.0, out=z)
        z /= self.sigma
        np.square(z, out=z)
        z *= -0.5
        z -= np.log(self.sigma * _ROOT + 2.0 * self.bound)
        return np.maximum(z, OUTLIER, out=z)


def best_interval(gain: NDArray[np.float64]) -> tuple[int, int, float]:
    """Return start, end and sum of the interval of greatest sum (Kadane's maximum subarray).

    Of those that are within a nat of it at either edge it is the shortest: what chance adds is no part of a fault.
    """
    total = np.concatenate([[0.0], np.cumsum(gain)])
    rise = total - np.minimum.accumulate(total)
    stop = int(rise.argmax())
    start = stop - int(total[: stop + 1][::-1].argmin())
    slack = min(_CHANCE, (total[stop] - total[start]) / 4.0)
    inner = total[start : stop + 1]
    stop = start + int((inner >= inner[-1] - slack).argmax())
    start += int(np.flatnonzero(inner[: stop - start + 1] <= inner[0] + slack)[-1])
    return start, stop, float(total[stop] - total[start])
