"""Frames of one channel that depart from what is expected, and all that is known around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.likelihood import Noise
from rtpverify.detect.explain.reference import Reference


@dataclass(frozen=True)
class Departure:
    """A stretch that is to be explained; all indices count from the start of its arrays.

    Parameters
    ----------
    start
        Number of the first frame, on the media timeline.
    x
        What arrived, full scale ±1.0, shape (n,): from before the first wrong frame up to what is known.
    valid
        Which of the frames arrived, shape (n,).
    first, stop
        The first frame that is wrong, and the frame after the last one.
    history
        Frames before ``start``, shape (m,), NaN for those that never arrived.
    reference
        What the channel should carry.
    assumed
        What is taken as expected, and its noise, instead of what the reference says; shape (n,).
    fitting
        Frames that parameters are fitted to, shape (n,); all that arrived where it is None.
    """

    start: int
    x: NDArray[np.float64]
    valid: NDArray[np.bool_]
    first: int
    stop: int
    history: NDArray[np.float64]
    reference: Reference
    assumed: tuple[NDArray[np.float64], Noise] | None = None
    fitting: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.stop <= len(self.x) == len(self.valid):
            raise ValueError(f"frames {self.first} to {self.stop} are no part of {len(self.x)} frames")

    @cached_property
    def expected(self) -> NDArray[np.float64]:
        """What is expected of the frames, shape (n,)."""
        return self.at(self.reference) if self.assumed is None else self.assumed[0]

    @cached_property
    def noise(self) -> Noise:
        """How noisy the frames are in order."""
        return self.reference.noise(self.start, self.start + len(self.x)) if self.assumed is None else self.assumed[1]

    @cached_property
    def in_order(self) -> NDArray[np.float64]:
        """Log-likelihood of each frame if all is in order, shape (n,)."""
        return self.noise.log_likelihood(self.x - self.expected)

    @property
    def step(self) -> float | None:
        """Step of the quantiser, full scale ±1.0; None where there is none."""
        bits = self.reference.bits
        return None if bits is None else 2.0 ** (1 - bits)

    @property
    def past(self) -> NDArray[np.float64]:
        """All frames that are known, those before the first of ``x`` too; 0 for those that never arrived."""
        known: NDArray[np.float64] = np.concatenate([self.history, np.where(self.valid, self.x, 0.0)])
        return np.nan_to_num(known)

    @property
    def fitted_frames(self) -> NDArray[np.bool_]:
        """Frames that parameters are fitted to, shape (n,)."""
        return self.valid if self.fitting is None else self.fitting

    def at(self, reference: Reference, lag: int = 0) -> NDArray[np.float64]:
        """Return what another reference, or this one so many frames later, expects of the frames, shape (n,)."""
        return reference.expected(self.start + lag, self.start + lag + len(self.x))

    def seen(self, frames: slice, *signals: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return, of signals over the whole departure, those of some frames that arrived and are fitted to."""
        valid = self.fitted_frames[frames]
        if valid.all():
            return [signal[frames] for signal in signals]
        return [signal[frames][valid] for signal in signals]

    def frames(self, seconds: float) -> int:
        """Return a duration in frames, one at least."""
        return max(1, round(seconds * self.reference.sample_rate_hz))

    def assuming(self, signal: NDArray[np.float64], noise: Noise, frames: slice) -> Departure:
        """Return the same, with a signal and its noise taken as expected of some frames."""
        expected, sigma = self.expected.copy(), np.broadcast_to(self.noise.sigma, len(self.x)).copy()
        expected[frames] = signal[frames]
        sigma[frames] = noise.part(frames).sigma_over(self.noise.bound)
        return replace(self, assumed=(expected, Noise(sigma, self.noise.bound)))
