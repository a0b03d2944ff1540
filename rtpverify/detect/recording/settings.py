"""What one stream is held to."""

from __future__ import annotations

from dataclasses import dataclass

from rtpverify.dsp.levels import amplitude_ratio, quantisation_rms
from rtpverify.limits import Limits

FLOAT_BITS = 24
"""Encodings without a uniform quantiser of their own are held to the limit of this many bits."""
COMPANDED_RESIDUAL_DB = -31.0
"""Residual that G.711 is allowed, relative to the signal: 6 dB above its own (ITU-T G.712, mid levels)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Format and limits of one stream; ``bits`` is None without linear quantisation, ``companded`` tells G.711."""

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
        """Return the largest residual RMS that is allowed where the signal has this RMS."""
        if self.limits.max_thd_n_db is not None:
            return level * amplitude_ratio(self.limits.max_thd_n_db)
        if self.companded:
            return level * amplitude_ratio(COMPANDED_RESIDUAL_DB)
        return quantisation_rms(self.bits or FLOAT_BITS) * amplitude_ratio(6.0)

    def frames(self, seconds: float) -> int:
        """Return a duration in frames, one at least."""
        return max(1, round(seconds * self.sample_rate_hz))
