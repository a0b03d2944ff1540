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
        Frames before ``start``, shape (m,), 0 for those that never arrived.
    reference
        What the channel should carry.
    assumed
        What is taken as expected, and its noise, instead of what the reference says; shape (n,).
    """

    start: int
    x: NDArray[np.float64]
    valid: NDArray[np.bool_]
    first: int
    stop: int
    history: NDArray[np.float64]
    reference: Reference
    assumed: tuple[NDArray[np.float64], Noise] | None = None

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

    @cached_property
    def is_whole(self) -> bool:
        """Whether all frames arrived."""
        return bool(self.valid.all())

    @property
    def step(self) -> float | None:
        """Step of the quantiser, full scale ±1.0; None where there is none."""
        bits = self.reference.bits
        return None if bits is None else 2.0 ** (1 - bits)

    @cached_property
    def past(self) -> NDArray[np.float64]:
        """All frames that are known, those before the first of ``x`` too; 0 for those that never arrived."""
        return np.concatenate([self.history, self.x if self.is_whole else np.where(self.valid, self.x, 0.0)])

    def at(self, reference: Reference, lag: int = 0) -> NDArray[np.float64]:
        """Return what another reference, or this one so many frames later, expects of the frames, shape (n,).

        Parameters
        ----------
        reference
            A reference.
        lag
            By how many frames its content is earlier.

        Returns
        -------
        NDArray[np.float64]
            Full scale ±1.0.
        """
        return reference.expected(self.start + lag, self.start + lag + len(self.x))

    def part(self, frames: slice, among: NDArray[np.bool_] | None = None) -> FittedFrames:
        """Return those of some frames that arrived, or only those ``among`` all of the departure, shape (n,).

        Parameters
        ----------
        frames
            The frames.
        among
            Which of all that departs, shape (n,).

        Returns
        -------
        FittedFrames
            What models are fitted to.
        """
        return FittedFrames(self, frames, self.valid if among is None else among)

    def thinned(self, frames: slice, most: int) -> Departure:
        """Return at most so many of some frames, evenly spread, as if they were all; they have no place any more.

        Parameters
        ----------
        frames
            The frames.
        most
            How many at most.

        Returns
        -------
        Departure
            A departure of these frames.
        """
        count = frames.stop - frames.start
        at = frames.start + np.arange(min(most, count)) * count // min(most, count)
        few = replace(self, x=self.x[at], valid=self.valid[at], first=0, stop=len(at), history=self.history[:0])
        return replace(few, assumed=(self.expected[at], self.noise.part(slice(None), at)))

    def frames(self, seconds: float) -> int:
        """Return a duration in frames, one at least.

        Parameters
        ----------
        seconds
            The duration.

        Returns
        -------
        int
            Frames.
        """
        return max(1, round(seconds * self.reference.sample_rate_hz))

    def assuming(self, signal: NDArray[np.float64], noise: Noise, frames: slice) -> Departure:
        """Return the same, with a signal and its noise taken as expected of some frames.

        Parameters
        ----------
        signal
            What is expected, shape (n,).
        noise
            Its noise.
        frames
            Where it holds.

        Returns
        -------
        Departure
            A copy.
        """
        expected, sigma = self.expected.copy(), np.broadcast_to(self.noise.sigma, len(self.x)).copy()
        expected[frames] = signal[frames]
        sigma[frames] = noise.part(frames).sigma_over(self.noise.bound)
        return replace(self, assumed=(expected, Noise(sigma, self.noise.bound)))


@dataclass(frozen=True)
class FittedFrames:
    """Frames of a departure that parameters are fitted to.

    Parameters
    ----------
    departure
        What they are of.
    frames
        Where they are in it.
    among
        Which frames of the departure may be taken, shape (n,).
    """

    departure: Departure
    frames: slice
    among: NDArray[np.bool_]

    def of(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return those frames of a signal over the whole departure, shape (m,).

        Parameters
        ----------
        signal
            Over the whole departure, shape (n,).

        Returns
        -------
        NDArray[np.float64]
            Shape (m,).
        """
        kept = self._kept
        return signal[self.frames] if kept is None else signal[self.frames][kept]

    @cached_property
    def _kept(self) -> NDArray[np.bool_] | None:
        among = self.among[self.frames]
        return None if among.all() else among

    @cached_property
    def x(self) -> NDArray[np.float64]:
        """What arrived, shape (m,)."""
        return self.of(self.departure.x)

    @cached_property
    def expected(self) -> NDArray[np.float64]:
        """What was expected of them, shape (m,)."""
        return self.of(self.departure.expected)

    @cached_property
    def residual(self) -> NDArray[np.float64]:
        """What the expected signal leaves of them, shape (m,)."""
        return np.asarray(self.x - self.expected)

    @cached_property
    def noise(self) -> Noise:
        """How noisy they are in order."""
        kept = self._kept
        return self.departure.noise.part(self.frames, slice(None) if kept is None else kept)

    @cached_property
    def spread(self) -> float:
        """Energy of what arrived about its mean."""
        centred = self.x - self.x.mean()
        return float(centred @ centred)
