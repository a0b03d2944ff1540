"""Clean streams: what good senders, converters and wandering generators put out, and no verifier finds fault with."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.limits import PROFILES
from rtpverify.reference import Tone
from rtpverify.sender.signal import Dither, gaussian, quantise

WANDER_PPM = 1.0
"""How far the frequency wanders, up and down: half of what the digital profile allows."""

_ROUNDING_LSB = {"none": 1 / 12**0.5, "rpdf": 1 / 6**0.5, "tpdf": 1 / 2}
"""RMS of what quantising leaves behind, by dither, in steps."""
NOISE_MARGIN_DB = 6.0


class NoiseFloor:
    """What lies under a signal that is quantised to ``bits`` with a dither and has noise: RMS, full scale ±1.0."""

    bits: int
    dither: str
    noise_dbfs: float | None

    @property
    def step(self) -> float:
        """Smallest step."""
        return float(2.0 ** (1 - self.bits))

    @property
    def noise_rms(self) -> float:
        """RMS of the noise, ``noise_dbfs`` of a full-scale sine."""
        return 0.0 if self.noise_dbfs is None else float(10 ** (self.noise_dbfs / 20) / math.sqrt(2))

    @property
    def sigma(self) -> float:
        """RMS of rounding, dither and noise."""
        return math.hypot(_ROUNDING_LSB[self.dither] * self.step, self.noise_rms)


@dataclass(frozen=True)
class Clean(NoiseFloor):
    """A sine whose frequency goes up and down by ``wander_ppm_per_second``, with noise, dither and rounding.

    Any stretch can be read on its own, and comes out the same however it is cut.
    """

    rate_hz: int = 48000
    channels: int = 1
    bits: int = 16
    dither: Dither = "none"
    noise_dbfs: float | None = None
    frequency_hz: float = 997.0
    level_dbfs: float = -6.0
    wander_ppm_per_second: float = 0.0
    profile: str = "digital"
    seed: int = 0

    def read(self, start: int, frames: int) -> NDArray[np.float64]:
        """Return frames from ``start``, shape (frames, channels)."""
        step = Fraction(str(self.frequency_hz)) / self.rate_hz
        first = start * step.numerator % step.denominator
        residue = (first + step.numerator * np.arange(frames, dtype=np.int64)) % step.denominator
        cycles = residue / step.denominator + self.wandered_cycles(start, frames) + self.seed % 997 / 997
        wave = 10 ** (self.level_dbfs / 20) * np.sin(2 * np.pi * cycles)
        samples = np.repeat(wave[:, None], self.channels, axis=1)
        if self.noise_dbfs is not None:
            samples += 10 ** (self.noise_dbfs / 20) / np.sqrt(2) * gaussian(self.seed, start, frames, self.channels)
        return quantise(samples, self.bits, self.dither, self.seed, start)

    def wandered_cycles(self, start: int, frames: int) -> NDArray[np.float64] | float:
        """Return the integral of a triangular wave of ±WANDER_PPM with this slope, cycles."""
        if not self.wander_ppm_per_second:
            return 0.0
        quarter = WANDER_PPM / self.wander_ppm_per_second
        t = (start + np.arange(frames)) / self.rate_hz % (4 * quarter)
        rising, falling = np.minimum(t, quarter), np.clip(t - quarter, 0, 2 * quarter)
        last = np.maximum(t - 3 * quarter, 0)
        ppm_seconds = (
            self.wander_ppm_per_second * (rising**2 - falling**2 + last**2) / 2 + WANDER_PPM * (falling - last)
            # the triangle: up to +WANDER_PPM, down to -WANDER_PPM, up to 0
        )
        return ppm_seconds * 1e-6 * self.frequency_hz

    def verifier(self, profile: str | None = None) -> FrameVerifier:
        """Return what judges it; noise that belongs to the stream is allowed for, where its profile limits it."""
        limits = PROFILES[profile or self.profile]
        if self.noise_dbfs is not None or limits.max_thd_n_db is not None:
            allowed_db = 20 * math.log10(self.sigma * math.sqrt(2)) - self.level_dbfs + NOISE_MARGIN_DB
            limits = replace(limits, max_thd_n_db=max(allowed_db, limits.max_thd_n_db or -300))
        return FrameVerifier(
            Tone((self.frequency_hz,)), limits, self.rate_hz, self.channels, f"L{self.bits}", self.bits
        )


def draw_clean(rng: random.Random) -> Clean:
    """Return a random clean stream."""
    rate_hz = rng.choice([8000, 11025, 16000, 22050, 32000, 44100, 47952, 48000, 48000, 48048, 88200, 96000, 192000])
    frequencies = [
        20.0,
        50.0,
        100.0,
        440.0,
        997.0,
        1000.0,
        1283.0,
        3150.0,
        round(rng.uniform(30, rate_hz / 2 - 200), 1),
    ]
    level_dbfs = rng.choice([-0.1, -1.0, -6.0, -20.0, -40.0, -60.0])
    noise_dbfs = rng.choice([None, None, None, -60.0, -80.0])
    if noise_dbfs is not None and (noise_dbfs > level_dbfs - 20 or level_dbfs > -1.0):
        noise_dbfs = None
    return Clean(
        rate_hz=rate_hz,
        channels=rng.choice([1, 1, 2]),
        bits=rng.choice([16, 24]),
        dither=rng.choice(["none", "rpdf", "tpdf"]),
        noise_dbfs=noise_dbfs,
        frequency_hz=rng.choice([hz for hz in frequencies if hz < rate_hz / 2 - 50]),
        level_dbfs=level_dbfs,
        wander_ppm_per_second=rng.choice([0.0, 0.0, 0.03, 0.1]),
        profile=rng.choice(["digital", "analog"]),
        seed=rng.randrange(2**31),
    )
