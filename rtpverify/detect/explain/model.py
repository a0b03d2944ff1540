"""What every fault model says, and the form that nearly all of them have: a signal, and noise."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure, FittedFrames
from rtpverify.detect.explain.likelihood import SMALLEST_SIGMA, Noise, usual_deviation
from rtpverify.events import EventSize, Kind

LONGEST_CLICK_SECONDS = 0.001
"""One or a few wrong frames are a click up to this length; what lasts longer has a form."""
_LOUDER = 1.05
"""Noise this much louder than in order was fitted, and costs a parameter."""
_NEARLY_ALL, _LITTLE_MORE = 0.9, 2.0
"""Share of the frames that an explanation has to hold for to be complete, and how many times the noise of order it may
leave of them: what was rounded before and after a fault is that of two roundings."""
_FOLLOWS = 0.5
"""What leaves more than noise explains frames only where it leaves less than this share of their energy."""
_STANDS_OUT = 6.3
"""Standard deviations that no frame of a second is off by chance."""

Description = tuple[EventSize, str]
"""Size of an event, and its message."""
Describe = Callable[[Departure, slice], Description]
"""Makes them of the frames of a departure that the event has in the end."""


def told(size: EventSize, text: str) -> Describe:
    """Return what describes frames by a size and a message that are known beforehand.

    Parameters
    ----------
    size
        The size.
    text
        The message.

    Returns
    -------
    Describe
        A function of departure and frames.
    """
    return lambda *_: (size, text)


class Fitted(Protocol):
    """A fault model with its parameters fitted to some frames.

    Attributes
    ----------
    parameters
        How many real numbers were fitted, each of which may be anything up to full scale.
    spreads
        How many others: how loud the noise is.
    prior
        What it costs beyond them, in nats.
    complete
        Whether nothing but the noise is left.
    """

    @property
    def parameters(self) -> int: ...  # noqa: D102

    @property
    def spreads(self) -> int: ...  # noqa: D102

    @property
    def prior(self) -> float: ...  # noqa: D102

    @property
    def complete(self) -> bool: ...  # noqa: D102

    @property
    def signal(self) -> NDArray[np.float64]:
        """What it expects of the frames of the departure, shape (n,)."""

    @property
    def noise(self) -> Noise:
        """How noisy they are then."""

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame of the departure, in nats, shape (n,).

        Parameters
        ----------
        departure
            The frames that depart.

        Returns
        -------
        NDArray[np.float64]
            In nats.
        """

    @property
    def describe(self) -> Describe:
        """What makes size and message of its event."""


class FaultModel(ABC):
    """One kind of fault: what it makes of the expected signal.

    Attributes
    ----------
    kind
        Name of its events.
    prior
        What it costs, in nats, however well it explains: the logarithm of how much rarer it is than the commonest.
    least_seconds, most_seconds
        How long it lasts.
    memoryless
        Whether what it makes of a frame depends on nothing but what is expected of that frame: a few frames of many
        show how well it explains them.
    """

    kind: Kind
    prior: float = 0.0
    least_seconds: float = LONGEST_CLICK_SECONDS
    most_seconds: float = math.inf
    memoryless: bool = True

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Return whether it is tried only where all others leave more than noise.

        Parameters
        ----------
        departure
            The frames that depart.

        Returns
        -------
        bool
            Whether it is.
        """
        return False

    @abstractmethod
    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return how it explains some frames, with fitted parameters, once for each place it can lie; or not at all.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """

    def again(self, found: Fitted, part: FittedFrames) -> Fitted | None:  # noqa: ARG002
        """Return what it has found fitted to other frames, or None where it does not explain them.

        Parameters
        ----------
        found
            What was found.
        part
            The frames that are fitted.

        Returns
        -------
        Fitted or None
            None where it does not hold there.
        """
        return next(iter(self.fit(part)), None)


@dataclass(frozen=True)
class Explained:
    """A signal and noise around it.

    Attributes
    ----------
    describe
        Makes size and message of its event.
    """

    signal: NDArray[np.float64]
    noise: Noise
    parameters: int
    describe: Describe
    complete: bool = True
    prior: float = 0.0
    spreads: int = 0

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame of the departure, in nats, shape (n,).

        Parameters
        ----------
        departure
            The frames that depart.

        Returns
        -------
        NDArray[np.float64]
            In nats.
        """
        return self.noise.log_likelihood(departure.x - self.signal)


def with_noise(
    part: FittedFrames,
    signal: NDArray[np.float64],
    parameters: int,
    describe: Describe,
    prior: float = 0.0,
    *,
    robust: bool = True,
) -> Explained:
    """Return an explanation by a signal, and the noise of the channel in order or as much more as it leaves.

    Where it is ``robust`` frames that are wrong all the same, as a click within is, say nothing of the noise.

    Parameters
    ----------
    part
        The frames that are fitted.
    signal
        What is expected of all frames of the departure, shape (n,).
    parameters
        How many were fitted.
    describe
        Makes size and message.
    prior
        What the explanation costs beforehand, in nats.
    robust
        Whether frames that are wrong all the same say nothing of the noise.

    Returns
    -------
    Explained
        The explanation.
    """
    noise = part.departure.noise
    scale, share = part.noise.excess(part.x - part.of(signal), robust=robust)
    louder = noise.times(scale)
    complete = share >= _NEARLY_ALL and louder.rms <= _LITTLE_MORE * noise.rms
    return Explained(signal, louder, parameters, describe, complete, prior, int(scale > _LOUDER))


def following(part: FittedFrames, found: Explained) -> list[Explained]:
    """Return an explanation in a list, empty where the frames do not follow the signal: they are anything else.

    Parameters
    ----------
    part
        The frames that are fitted.
    found
        What was found.

    Returns
    -------
    list[Explained]
        The same in a list, or an empty list.
    """
    if found.complete:
        return [found]
    left = part.x - part.of(found.signal)
    return [found] if float(left @ left) < _FOLLOWS * part.spread else []


def without_chain(
    part: FittedFrames,
    signal: NDArray[np.float64],
    parameters: int,
    describe: Describe,
    *,
    most: float,
    prior: float = 0.0,
) -> Explained | None:
    """Return an explanation of frames that bypass the noise of the channel: exact, or at most ``most`` times as noisy.

    Half of the frames decide how exact, so that a click within does not.

    Parameters
    ----------
    part
        The frames that are fitted.
    signal
        What is expected of all frames of the departure, shape (n,).
    parameters
        How many were fitted.
    describe
        Makes size and message.
    most
        The noise that is allowed, relative to that of the channel.
    prior
        What the explanation costs beforehand, in nats.

    Returns
    -------
    Explained or None
        None where the frames are noisier.
    """
    x = part.x
    if len(x) == 0:
        return None
    step = part.departure.step
    least = Noise.of_rounding(step) if step is not None else Noise(SMALLEST_SIGMA)
    sigma = _usual_deviation(x - part.of(signal), max(0.5 * (step or 0.0), SMALLEST_SIGMA))
    if sigma > most * max(part.departure.noise.rms, 0.5 * (step or 0.0)):
        return None
    noise = least if sigma <= least.rms else Noise(sigma)
    return Explained(signal, noise, parameters, describe, prior=prior)


def _usual_deviation(residual: NDArray[np.float64], least: float) -> float:
    """Return the standard deviation of residuals, shape (n,), without those that exceed it, or of the least."""
    off = np.abs(residual)
    most = _STANDS_OUT * max(usual_deviation(off), least)
    usual = off if off.max() <= most else off[off <= most]
    return math.sqrt(float(usual @ usual) / len(usual))
