"""What one stream is held to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.levels import amplitude_ratio, decibels, quantisation_rms
from rtpverify.limits import Limits

FLOAT_BITS = 24
"""Encodings without a uniform quantiser of their own are held to the limit of this many bits."""
COMPANDED_RESIDUAL_DB = -37.0
"""What G.711 rounds off, relative to the signal (ITU-T G.712, mid levels)."""
COMPANDED_BITS = 12
"""The smallest step of A-law, which is larger than that of µ-law, is that of so many bits."""
COMPANDED_SHARE = 1 / 16
"""A step of G.711 is at most the smallest one and this share of the value (ITU-T G.711, tables 1 and 2)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Format and limits of one stream; ``bits`` is None without linear quantisation, ``companded`` is G.711."""

    sample_rate_hz: int
    channels: int
    block_frames: int
    bits: int | None
    companded: bool
    limits: Limits

    @property
    def step(self) -> float | None:
        """Step of the quantiser, full scale ±1.0."""
        return None if self.bits is None else 2.0 ** (1 - self.bits)

    @property
    def residual_limit_is_relative(self) -> bool:
        """Whether the residual's limit goes with the level of the signal."""
        return self.companded or self.limits.max_thd_n_db is not None

    def residual_limit(self, level: float) -> float:
        """Return the largest residual RMS that is allowed where the signal has this RMS.

        Parameters
        ----------
        level
            RMS of the signal.

        Returns
        -------
        float
            RMS, as a fraction of full scale.
        """
        if self.limits.max_thd_n_db is not None:
            return level * amplitude_ratio(self.limits.max_thd_n_db)
        margin = amplitude_ratio(6.0)
        if self.companded:
            return self.companding_rms(level) * margin
        return quantisation_rms(self.bits or FLOAT_BITS) * margin

    @property
    def max_dc_offset(self) -> float:
        """Largest offset that is allowed: A-law has no zero, and writes silence as half its smallest step."""
        least = 2.0**-COMPANDED_BITS if self.companded else 0.0
        return max(self.limits.max_dc_offset, least)

    def max_level_change_db(self, level: float | None = None) -> float:
        """Return the largest change of level that is allowed where the recording has this RMS, None: a usual one.

        What G.711 rounds off is proportional to the signal, and changes its level by as much as it is large.

        Parameters
        ----------
        level
            RMS of the recording.

        Returns
        -------
        float
            In dB.
        """
        if not self.companded:
            return self.limits.max_level_change_db
        share = amplitude_ratio(COMPANDED_RESIDUAL_DB)
        if level is not None:
            # Near zero it goes all one way: A-law writes half a step for whatever is smaller, or an encoder truncates.
            share = max(share, 2.0**-COMPANDED_BITS / max(level, 2.0**-FLOAT_BITS))
        return max(self.limits.max_level_change_db, decibels(1.0 + share))

    @staticmethod
    def companding_rms(level: float) -> float:
        """Return the RMS of what G.711 rounds off a signal of this RMS.

        Parameters
        ----------
        level
            RMS of the signal.

        Returns
        -------
        float
            As a fraction of full scale.
        """
        return max(level * amplitude_ratio(COMPANDED_RESIDUAL_DB), quantisation_rms(COMPANDED_BITS))

    def companding(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far G.711 may be off values, shape (n,): a step of theirs, where an encoder truncates.

        Parameters
        ----------
        expected
            The values, shape (n,).

        Returns
        -------
        NDArray[np.float64]
            As a fraction of full scale, shape (n,).
        """
        return 2.0 ** (1 - COMPANDED_BITS) + COMPANDED_SHARE * np.abs(expected)

    def frames(self, seconds: float) -> int:
        """Return a duration in frames, one at least.

        Parameters
        ----------
        seconds
            The duration.

        Returns
        -------
        int
            At least 1.
        """
        return max(1, round(seconds * self.sample_rate_hz))
