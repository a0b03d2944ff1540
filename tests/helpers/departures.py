"""Tones and speech with a fault, and references for them, as the engine of explanations sees them.

Nothing here shares code with the product: faults are made of numpy alone, and sizes are what was put in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain import Departure, Moved, Noise
from rtpverify.events import ChannelSwapSize, SlipSize

RATE_HZ = 48000
HISTORY = 48000
BEFORE, AFTER = 720, 1200


@dataclass(frozen=True)
class Signal:
    """What is expected, frame by frame; a tone where ``omega`` says so."""

    frames: NDArray[np.float64]
    bits: int | None = 24
    sigma: float | None = None
    omega: float | None = None
    backwards: bool = False
    lags: tuple[int, ...] = ()
    other: NDArray[np.float64] | None = field(default=None, repr=False)
    sample_rate_hz: int = RATE_HZ

    def expected(self, start, stop):
        out = np.zeros(stop - start)
        first, last = max(start, 0), min(stop, len(self.frames))
        out[first - start : last - start] = self.frames[first:last]
        return out

    def noise(self, *_):
        return Noise.of_rounding(2.0 ** (1 - self.bits)) if self.sigma is None else Noise(self.sigma)

    def elsewhere(self, *_):
        return [Moved(Later(self, lag), SlipSize(slip_frames=lag), 0, math.log(RATE_HZ)) for lag in self.lags]

    def others(self):
        return (
            []
            if self.other is None
            else [Moved(Signal(self.other, self.bits), ChannelSwapSize(reference_channel=2), 0)]
        )


@dataclass(frozen=True)
class Later:
    """The same so many frames further on."""

    signal: Signal
    lag: int

    def expected(self, start, stop):
        return self.signal.expected(start + self.lag, stop + self.lag)


def quantised(x, bits, dither=None):
    scale = 2.0 ** (bits - 1)
    add = 0.0 if dither is None else dither.random(len(x)) - dither.random(len(x))
    return np.clip(np.rint(x * scale + add), -scale, scale - 1) / scale


def tone(frames, hz=997.0, amplitude=0.1, phase=0.3):
    return amplitude * np.sin(2 * np.pi * hz / RATE_HZ * np.arange(frames) + phase)


def speech(frames, seed):
    """Gliding harmonics that swell and fade, with pauses of a tenth of a second."""
    rng, t = np.random.default_rng(seed), np.arange(frames) / RATE_HZ
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 2.3 * t + rng.uniform(0, 6))) / RATE_HZ
    sound = sum(np.sin(h * pitch + rng.uniform(0, 6)) / h for h in range(1, 12))
    swell = np.maximum(np.sin(2 * np.pi * 3.1 * t + rng.uniform(0, 6)), 0.0) ** 0.5
    hiss = 0.02 * rng.standard_normal(frames)
    return 0.1 * (sound * swell + hiss * swell[::-1])


def departure(signal, received, first, stop, *, after=AFTER, valid=None, start=None):
    """What an engine is given of it: the first wrong frames are where a detector would see them, not where they are."""
    start = max(0, first - BEFORE) if start is None else start
    end = min(len(received), stop + after)
    there = np.ones(end - start, bool) if valid is None else valid[start:end]
    off = np.flatnonzero(np.abs(received[start:end] - signal.expected(start, end))[there] > threshold(signal))
    at = np.flatnonzero(there)[off]
    history = received[max(0, start - HISTORY) : start].copy()
    return Departure(start, received[start:end], there, int(at[0]), int(at[-1]) + 1, history, signal)


def threshold(signal):
    return 0.55 * 2.0 ** (1 - signal.bits) if signal.sigma is None else 6.3 * signal.sigma
