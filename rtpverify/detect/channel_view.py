"""What a detector shows somebody who looks on: all channels at a glance, and the sine that one of them follows.

Cheap enough to be asked several times a second for every stream; nothing is changed by looking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.sine import Sine


@dataclass(frozen=True, slots=True)
class Glance:
    """The last second of the channels of some rows; every array has shape (rows, channels).

    Attributes
    ----------
    followed
        Whether the channel carries its reference, undisturbed.
    rms
        Of all it carries, full scale ±1.0; over the last block where it is not followed. NaN before the first block.
    residual_rms
        RMS of what the reference leaves, full scale ±1.0; NaN where not followed.
    phase_rad
        Phase against an ideal reference that began at frame 0, in (-π, π]; NaN where not followed.
    """

    followed: NDArray[np.bool_]
    rms: NDArray[np.float64]
    residual_rms: NDArray[np.float64]
    phase_rad: NDArray[np.float64]


class Content(Protocol):
    """What a recording gives."""

    def __call__(self, start: int, stop: int, before: int | None) -> NDArray[np.float64]:
        """Return what is expected of frames ``start`` to ``stop``: as it is followed now, or was before a frame."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What one channel is compared with now.

    Attributes
    ----------
    sine
        The sine that is expected to continue; None where there is no tone.
    reference_hz
        Frequency that the sine should have; None before a tone was found where it is to be found.
    threshold
        Deviation that no frame of clean signal reaches, full scale ±1.0; None without a reference.
    content
        The recording that is expected to continue; None where there is none.
    """

    sine: Sine | None
    reference_hz: float | None
    threshold: float | None
    content: Content | None = None
