"""What a detector says of the signal that a channel should carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.likelihood import Noise
from rtpverify.events import EventSize


class Reference(Protocol):
    """A tone or a recording as one channel should carry it: with its place, level and offset.

    Attributes
    ----------
    sample_rate_hz
        Of the stream.
    bits
        Word length of the encoding; None where it has no uniform quantiser.
    omega
        Frequency of a tone, rad per frame; None where the reference is no tone.
    backwards
        Whether time runs backwards.
    """

    @property
    def sample_rate_hz(self) -> int: ...  # noqa: D102

    @property
    def bits(self) -> int | None: ...  # noqa: D102

    @property
    def omega(self) -> float | None: ...  # noqa: D102

    @property
    def backwards(self) -> bool: ...  # noqa: D102

    def expected(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return what is expected of frames ``start`` to ``stop``, shape (stop - start,).

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.
        """

    def noise(self, start: int, stop: int) -> Noise:
        """Return the noise of these frames in order.

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.
        """

    def elsewhere(self, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> Sequence[Moved]:
        """Return from where else the content of frames ``start`` … may be; the likeliest first, few, or none.

        Other places of a recording, other phases of a tone.

        Parameters
        ----------
        start
            First frame.
        x
            The frames, shape (n,).
        valid
            Which of them are there, shape (n,).
        """

    def others(self) -> Sequence[Moved]:
        """Return what the other channels should carry, which may have been exchanged with this one."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A reference from another place, or of another channel.

    Attributes
    ----------
    reference
        What is expected there.
    size
        That of the event: a :class:`~rtpverify.events.SlipSize`, or of another channel a
        :class:`~rtpverify.events.ChannelSwapSize`.
    parameters
        How many real numbers were fitted to find it.
    prior
        What it costs, in nats, that it is this one of all that could be.
    """

    reference: Reference
    size: EventSize
    parameters: int = 1
    prior: float = 0.0
