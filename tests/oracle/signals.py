"""Audio made from formulas: tones, speech and music, what is under them, and files of them.

Nothing here knows the package: what it says of audio is tested against what is made here.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float64]
Content = Literal["tone", "speech", "music"]
Dither = Literal["none", "rpdf", "tpdf"]
MARGIN = 24_000
"""Frames of content before the first and after the last one, for what takes its frames from elsewhere."""
LONGEST = 500_000
"""Frames of a piece of speech or music, made for 48 kHz; at other rates it is slower or faster."""


def tone(frames: int, rate_hz: int, frequency_hz: float, phase_rad: float) -> Frames:
    """Return a sine of amplitude 1."""
    return np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(frames) + phase_rad)


@lru_cache(maxsize=8)
def speech(seed: int) -> Frames:
    """Return glottal pulses through resonances that move, with fricatives and short pauses, peak 1."""
    frames, rate_hz = LONGEST, 48_000
    rng = np.random.default_rng(seed)
    knots = np.arange(0, frames + rate_hz, rate_hz // 8)
    t = np.arange(frames)

    def course(low: float, high: float) -> Frames:
        return np.interp(t, knots, rng.uniform(low, high, len(knots)))

    pitch = np.cumsum(course(90.0, 220.0)) / rate_hz
    out = np.zeros(frames)
    resonances = [(course(250, 800), 90.0), (course(900, 2300), 140.0), (course(2400, 3300), 220.0)]
    for harmonic in range(1, 24):
        hz = harmonic * np.gradient(pitch) * rate_hz
        gain = sum(1 / (1 + ((hz - centre) / width) ** 2) for centre, width in resonances)
        out += gain * np.sin(2 * np.pi * harmonic * pitch + rng.uniform(0, 6.28)) / harmonic**0.3
    out *= np.interp(t, knots, rng.choice([0.15, 0.6, 1.0], len(knots)))
    hiss = np.diff(rng.standard_normal(frames + 1)) * np.interp(t, knots, rng.choice([0.02, 0.02, 0.4], len(knots)))
    out += 0.3 * hiss + 0.01 * rng.standard_normal(frames)
    return np.asarray(out / np.abs(out).max())


@lru_cache(maxsize=8)
def music(seed: int) -> Frames:
    """Return plucked notes of a scale, several at a time, over a drone and brushes, peak 1."""
    frames, rate_hz = LONGEST, 48_000
    rng = np.random.default_rng(seed)
    out = 0.02 * rng.standard_normal(frames) + 0.1 * tone(frames, rate_hz, rng.uniform(50, 90), 0.0)
    at = 0
    while at < frames:
        t = np.arange(min(frames - at, rate_hz)) / rate_hz
        hz = 130.8 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16]) / 12)
        for partial in range(1, 9):
            sound = np.sin(2 * np.pi * partial * hz * (1 + 1e-4 * partial**2) * t + rng.uniform(0, 6.28))
            out[at : at + len(t)] += sound * np.exp(-t * (2 + partial)) / partial * rng.uniform(0.3, 1)
        at += int(rate_hz * rng.uniform(0.08, 0.3))
    return np.asarray(out / np.abs(out).max())


@dataclass(frozen=True)
class Stream:
    """One clean stream, and whether a verifier is given the tone or a recording as its reference."""

    content: Content = "tone"
    reference: Literal["tone", "recording"] = "tone"
    rate_hz: int = 48000
    bits: int = 24
    channels: int = 1
    dither: Dither = "none"
    noise_dbfs: float | None = None
    """RMS of white noise, a full-scale sine at 0."""
    frequency_hz: float = 997.0
    level_dbfs: float = -6.0
    """Of the tone; of the peak of anything else."""
    seconds: float = 4.0
    seed: int = 0

    @property
    def frames(self) -> int:
        return round(self.seconds * self.rate_hz)

    @property
    def step(self) -> float:
        """Of the quantiser."""
        return 2.0 ** (1 - self.bits)

    @property
    def noise_rms(self) -> float:
        return 0.0 if self.noise_dbfs is None else 10 ** (self.noise_dbfs / 20) / np.sqrt(2)

    @property
    def is_noisy(self) -> bool:
        """Whether more than the content is in what is sent."""
        return self.reference == "tone" or self.noise_dbfs is not None

    @property
    def sigma(self) -> float:
        """RMS of what is under the content: rounding, dither and noise.

        Of a recording that comes back bit by bit nothing is: some hundredth of a step stands for that.
        """
        if not self.is_noisy:
            return 0.01 * self.step
        dithered = {"none": 1.0, "rpdf": 2.0, "tpdf": 3.0}["none" if self.reference == "recording" else self.dither]
        return float(np.hypot(self.step * np.sqrt(dithered / 12), self.noise_rms))

    @cached_property
    def content_frames(self) -> Frames:
        """The content with :data:`MARGIN` frames on both sides, before any rounding; shape (n, channels)."""
        n = self.frames + 2 * MARGIN
        rng = np.random.default_rng([self.seed, 1])
        scale = 10 ** (self.level_dbfs / 20)
        columns = []
        for channel in range(self.channels):
            if self.content == "tone":
                columns.append(tone(n, self.rate_hz, self.frequency_of(channel), rng.uniform(0, 6.28)))
            else:
                make = speech if self.content == "speech" else music
                start = 997 * self.seed % (LONGEST - n)
                columns.append(make(self.seed % 2 + 10 * channel)[start : start + n])
        return scale * np.stack(columns, axis=1)

    def frequency_of(self, channel: int) -> float:
        """Of the tone; the second channel has one of its own."""
        return self.frequency_hz if channel == 0 else round(1.37 * self.frequency_hz)

    def finished(self, content: Frames) -> Frames:
        """Return content with the stream's own noise and dither, in steps of its quantiser."""
        rng = np.random.default_rng([self.seed, 2])
        noise = rng.standard_normal(content.shape) if self.noise_dbfs is not None else 0.0
        if self.reference == "recording":
            content = self._rounded(content, np.random.default_rng([self.seed, 3]), "none")
            return (
                self._rounded(content + self.noise_rms * noise, rng, "none") if self.noise_dbfs is not None else content
            )
        return self._rounded(content + self.noise_rms * noise, rng, self.dither)

    def _rounded(self, x: Frames, rng: np.random.Generator, dither: Dither) -> Frames:
        spread = {"none": 0, "rpdf": 1, "tpdf": 2}[dither]
        steps = x / self.step + sum(rng.uniform(-0.5, 0.5, x.shape) for _ in range(spread))
        top = 2.0 ** (self.bits - 1)
        return np.asarray(np.clip(np.rint(steps), -top, top - 1) * self.step)

    def within(self, frames: Frames) -> Frames:
        """Return the frames that are sent, without the margins."""
        return frames[MARGIN : MARGIN + self.frames]

    def recorded(self) -> Frames:
        """Return the recording that was played: longer than what is sent, so that its end is not missed."""
        return self._rounded(self.content_frames, np.random.default_rng([self.seed, 3]), "none")[MARGIN:]


def write_wav(path: Path, frames: Frames, rate_hz: int, bits: int) -> None:
    """Write frames that are whole steps of 16 or 24 bits, shape (n, channels)."""
    values = np.rint(frames * 2.0 ** (bits - 1)).astype("<i4")
    raw = values.view(np.uint8).reshape(*values.shape, 4)[..., : bits // 8]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate_hz)
        file.writeframes(raw.tobytes())
