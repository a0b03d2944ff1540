"""What every fault model tells, and the form that nearly all of them have: a signal, and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure
from rtpverify.detect.explain.likelihood import Noise
from rtpverify.events import Kind

LONGEST_CLICK_SECONDS = 0.001
"""One or a few wrong frames are a click up to this length; what lasts longer has a form."""
SMALLEST_NOISE = 1e-10
"""What float64 arithmetic leaves."""
_LOUDER = 1.05
"""Noise this much louder than in order was fitted, and costs a parameter."""
_NEARLY_ALL, _LITTLE_MORE = 0.9, 1.5
"""Share of the frames that an explanation has to hold for to be complete, and how many times the noise of order it may
leave of them: what was rounded before and after a fault is that of two roundings."""
_FOLLOWS = 0.5
"""What leaves more than noise explains frames only where it leaves less than this share of their energy."""
_GAUSSIAN = 1.4826
"""Standard deviation of Gaussian noise over its median magnitude."""

Description = tuple[dict[str, Any], str]
"""Size of an event, and its message."""


class Fitted(Protocol):
    """A fault model with its parameters fitted to some frames.

    Attributes
    ----------
    parameters
        How many real numbers were fitted, the level of the noise among them.
    prior
        What it costs beyond them, in nats.
    complete
        Whether nothing but the noise is left.
    """

    @property
    def parameters(self) -> int: ...  # noqa: D102

    @property
    def prior(self) -> float: ...  # noqa: D102

    @property
    def complete(self) -> bool: ...  # noqa: D102

    @property
    def signal(self) -> NDArray[np.float64]:
        """What it expects of the frames of the departure, shape (n,)."""

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame of the departure, in nats, shape (n,)."""

    def describe(self, departure: Departure, frames: slice) -> Description:
        """Return size and message of its event over some frames."""


class Cheap:
    """What every model is that does not search."""

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Tell that it is always tried."""
        return False


class FaultModel(Protocol):
    """One kind of fault: what it makes of the expected signal.

    Attributes
    ----------
    kind
        Name of its events.
    prior
        What it costs, in nats, however well it explains: the logarithm of how much rarer it is than the commonest.
    least_seconds, most_seconds
        How long it lasts.
    """

    kind: Kind
    prior: float
    least_seconds: float
    most_seconds: float

    def costly(self, departure: Departure) -> bool:
        """Tell whether it is tried only where all others leave more than noise: it searches for milliseconds."""

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return how it explains some frames, with fitted parameters, once for each place it can lie; or not at all."""


@dataclass(frozen=True)
class Explained:
    """A signal and noise around it.

    Attributes
    ----------
    size, text
        Of the event.
    """

    signal: NDArray[np.float64]
    noise: Noise
    parameters: int
    size: dict[str, Any]
    text: str
    complete: bool = True
    prior: float = 0.0

    def log_likelihood(self, departure: Departure) -> NDArray[np.float64]:
        """Return that of each frame of the departure, in nats, shape (n,)."""
        return self.noise.log_likelihood(departure.x - self.signal)

    def describe(self, departure: Departure, frames: slice) -> Description:  # noqa: ARG002
        """Return size and message of the event."""
        return self.size, self.text


def with_noise(
    departure: Departure,
    core: slice,
    signal: NDArray[np.float64],
    parameters: int,
    size: dict[str, Any],
    text: str,
    prior: float = 0.0,
    *,
    robust: bool = True,
) -> Explained:
    """Return an explanation by a signal, and the noise of the channel in order or as much more as it leaves.

    Where it is ``robust`` frames that are wrong all the same, as a click within is, say nothing of the noise.
    """
    noise = departure.noise
    x, m = departure.seen(core, departure.x, signal)
    sigma = noise if isinstance(noise.sigma, float) else Noise(noise.sigma[core][departure.valid[core]], noise.bound)
    scale, share = sigma.excess(x - m, robust=robust)
    louder = noise.times(scale)
    complete = share >= _NEARLY_ALL and louder.rms < _LITTLE_MORE * noise.rms
    return Explained(signal, louder, parameters + (scale > _LOUDER), size, text, complete, prior)


def following(departure: Departure, core: slice, found: Explained) -> list[Explained]:
    """Return an explanation in a list, empty where the frames do not follow the signal: they are anything else."""
    x, signal = departure.seen(core, departure.x, found.signal)
    centred, left = x - x.mean(), x - signal
    return [found] if found.complete or float(left @ left) < _FOLLOWS * float(centred @ centred) else []


def without_chain(
    departure: Departure,
    core: slice,
    signal: NDArray[np.float64],
    parameters: int,
    size: dict[str, Any],
    text: str,
    *,
    most: float,
    prior: float = 0.0,
) -> Explained | None:
    """Return an explanation of frames that bypass the noise of the channel: exact, or at most ``most`` times as noisy.

    Half of the frames decide how exact, so that a click within does not.
    """
    x, m = departure.seen(core, departure.x, signal)
    if len(x) == 0:
        return None
    step = departure.step
    least = Noise.of_rounding(step) if step is not None else Noise(SMALLEST_NOISE)
    usual = float(np.mean(departure.noise.sigma))
    sigma = max(_GAUSSIAN * float(np.median(np.abs(x - m))), float(least.sigma))
    if sigma > most * max(usual, 0.5 * (step or 0.0)):
        return None
    noise = least if sigma == least.sigma else Noise(sigma)
    return Explained(signal, noise, parameters, size, text, prior=prior)
