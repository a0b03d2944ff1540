"""Recordings to verify with: like music and like speech, made here, and what can happen to them."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtpverify.dsp.align import interpolate
from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.limits import PROFILES
from rtpverify.reference import Recording
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.signal_faults import DamagedSignal

RATE_HZ = 48000


@lru_cache(maxsize=8)
def music(seconds, seed=0, rate_hz=RATE_HZ):
    """Chords with attacks, harmonics and rests, and something like drums: two channels."""
    rng, frames = np.random.default_rng(seed), int(seconds * rate_hz)
    out, at = np.zeros((frames, 2)), 0.0
    while at < seconds:
        length = rng.uniform(0.15, 0.6)
        start, t = int(at * rate_hz), np.arange(int(length * rate_hz)) / rate_hz
        stop = min(frames, start + len(t))
        for _ in range(3):
            pitch_hz = 110 * 2 ** (rng.integers(0, 36) / 12)
            note = sum(np.sin(2 * np.pi * pitch_hz * h * t + rng.uniform(0, 6)) / h**1.3 for h in range(1, 8))
            note = note * np.minimum(t / 0.005, 1) * np.exp(-t * rng.uniform(2, 8))
            out[start:stop] += 0.12 * note[: stop - start, None] * rng.uniform(0.2, 0.8, 2)
        if rng.random() < 0.5:
            hit = 0.15 * rng.standard_normal((2000, 2)) * np.exp(-np.arange(2000) / 400)[:, None]
            out[start : start + 2000] += hit[: frames - start]
        at += length * rng.uniform(0.5, 1)
    return 0.7 * out / np.abs(out).max()


@lru_cache(maxsize=8)
def speech(seconds, seed=0, rate_hz=RATE_HZ):
    """Gliding vowels, hisses and pauses: two channels, the second delayed and softer."""
    rng, frames = np.random.default_rng(seed), int(seconds * rate_hz)
    out, at = np.zeros(frames), 0.1
    while at < seconds:
        length = rng.uniform(0.08, 0.25)
        start, t = int(at * rate_hz), np.arange(int(length * rate_hz)) / rate_hz
        if rng.random() < 0.75:
            pitch_hz = rng.uniform(90, 180) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * t + rng.uniform(0, 6)))
            phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
            formants = rng.uniform(300, 800), rng.uniform(900, 2200), rng.uniform(2300, 3200)
            sound = sum(
                0.1
                * np.sin(h * phase + rng.uniform(0, 6))
                * sum(1 / (1 + ((h * 130 - f) / 120) ** 2) for f in formants)
                for h in range(1, 30)
            )
        else:
            sound = 0.05 * rng.standard_normal(len(t))
        stop = min(frames, start + len(t))
        out[start:stop] += (sound * np.sqrt(np.sin(np.pi * np.arange(len(t)) / len(t))))[: stop - start]
        at += length * rng.uniform(0.9, 1.1) + (rng.uniform(0.1, 0.5) if rng.random() < 0.2 else 0.0)
    out *= 0.6 / np.abs(out).max()
    return np.stack([out, 0.7 * np.roll(out, 31)], axis=1)


MATERIAL = {"music": music, "speech": speech}


def quantised(x, bits=16):
    return np.clip(np.rint(x * 2.0 ** (bits - 1)), -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) * 2.0 ** (1 - bits)


class Audio:
    """Frames as a reference and as a signal to damage."""

    bandwidth = 0.5
    period_frames = None

    def __init__(self, frames, sample_rate_hz=RATE_HZ):
        self._data, self.sample_rate_hz = frames, sample_rate_hz
        self.frames, self.channels = frames.shape
        self.peak = np.abs(frames).max(axis=0)

    def read(self, start, stop):
        out = np.zeros((stop - start, self.channels))
        first, last = max(start, 0), min(stop, self.frames)
        if first < last:
            out[first - start : last - start] = self._data[first:last]
        return out


class Played(Audio):
    """The same as a signal that is sent."""

    def read(self, start, frames):
        return super().read(start, start + frames)


def damaged(frames, *faults, bits=16):
    """Frames with faults in their written form, and what a perfect verifier reports."""
    signal = DamagedSignal(Played(frames), [parse_fault(fault) for fault in faults], bits=bits)
    return signal.read(0, len(frames)), signal.expected


def verify(reference, received, *, bits=16, profile="digital", looped=False, cuts=(), limits=None):
    """Hold frames against others; return the stream's result."""
    audio = Audio(reference)
    recording = Recording(Path("reference.wav"), lambda _: audio, audio.channels, RATE_HZ, looped)
    verifier = FrameVerifier(recording, limits or PROFILES[profile], RATE_HZ, received.shape[1], f"L{bits}", bits)
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(received)), len(received)]
    for start, stop in pairwise(edges):
        verifier.feed(received[start:stop])
    verifier.finish()
    return verifier.result("received").streams[0]


def converted(frames, *, delay=0.37, ppm=0.0, gain=0.8, noise=1e-5, seed=1, bits=24):
    """Frames as they come out of converters: between the frames, by another clock, softer, with noise."""
    length = int((len(frames) - 400) / (1 + abs(ppm) * 1e-6))
    position = 100 + delay + np.arange(length) * (1 + ppm * 1e-6)
    out = gain * np.stack([interpolate(frames[:, c], position).value for c in range(frames.shape[1])], axis=1)
    return quantised(out + noise * np.random.default_rng(seed).standard_normal(out.shape), bits)


def told(result):
    """Return kind, channel, start and duration of every event."""
    return [(str(e.kind), e.channel, e.start_frame, e.duration_frames) for e in result.events]
