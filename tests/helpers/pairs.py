"""Random pairs of recordings: what was sent, and what became of it."""

from dataclasses import dataclass

import numpy as np

from tests.helpers.programme import RATE_HZ, music, speech

MATERIALS = ("noise", "music", "speech", "tone", "square", "constant", "silence", "impulses", "faint", "full")
CHANGES = (
    "none", "cut", "inserted", "repeated", "gain", "noise", "muted", "inverted", "offset", "click", "reversed",
    "other", "late", "early", "truncated", "shorter", "longer", "one_channel",
)  # fmt: skip
LOSSLESS = (("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("wav", "PCM_U8"), ("flac", "PCM_16"))
LOSSY = (("mp3", None), ("ogg", "VORBIS"), ("wav", "ULAW"))


@dataclass(frozen=True)
class Pair:
    """Two recordings, shapes (frames, channels), and how the second came from the first."""

    reference: np.ndarray
    received: np.ndarray
    material: str
    change: str


def material(kind, frames, channels, rng):
    """Return frames of a kind of material, shape (frames, channels)."""
    t = np.arange(frames)[:, None] / RATE_HZ
    start = int(rng.integers(0, 3 * RATE_HZ))
    stretch = slice(start, start + frames)
    match kind:
        case "noise":
            return 0.1 * rng.standard_normal((frames, channels))
        case "music":
            return np.resize(music(5, seed=1)[stretch], (frames, channels))
        case "speech":
            return np.resize(speech(5, seed=2)[stretch], (frames, channels))
        case "tone":
            return rng.uniform(0.01, 0.99) * np.sin(
                2 * np.pi * rng.choice([997, 1000, 440.1, 60, 9001]) * t + np.zeros(channels)
            )
        case "square":
            return 0.5 * np.sign(np.sin(2 * np.pi * rng.uniform(50, 2000) * t + np.zeros(channels)))
        case "constant":
            return np.full((frames, channels), rng.uniform(-1, 0.99))
        case "silence":
            return np.zeros((frames, channels))
        case "impulses":
            return (rng.random((frames, channels)) < 0.01) * 0.7
        case "faint":
            return 3e-5 * rng.standard_normal((frames, channels))
    return rng.uniform(-1.0, 0.999, (frames, channels))


def changed(kind, x, rng):  # noqa: C901 - one line for each kind
    """Return what becomes of frames, shape (n, channels)."""
    frames = len(x)
    at, count = int(rng.integers(0, frames)), int(rng.integers(1, max(2, frames // 3)))
    y = x.copy()
    match kind:
        case "cut":
            y = np.delete(y, slice(at, at + count), axis=0)
        case "inserted":
            y = np.insert(y, at, np.zeros((count, x.shape[1])), axis=0)
        case "repeated":
            y = np.concatenate([y[:at], y[max(0, at - count) :]])
        case "gain":
            y *= rng.uniform(0.1, 0.9)
        case "noise":
            y += 0.01 * rng.standard_normal(y.shape)
        case "muted":
            y[at : at + count] = 0.0
        case "inverted":
            y *= -1.0
        case "offset":
            y += 0.05
        case "click":
            y[at] += 0.3 if y[at, 0] < 0.5 else -0.3
        case "reversed":
            y = y[::-1].copy()
        case "other":
            y = material("noise", frames, x.shape[1], rng)
        case "late":
            y = np.concatenate([np.zeros((count, x.shape[1])), y])
        case "early":
            y = y[count:]
        case "truncated":
            y = np.round(y * 32) / 32
        case "shorter":
            y = y[: frames - count]
        case "longer":
            y = np.concatenate([y, material("noise", count, x.shape[1], rng)])
        case "one_channel":
            y[:, -1] = 0.0
    return np.clip(y if len(y) else x[:1], -1.0, 0.999)


def random_pair(rng, longest=20_000):
    """Return a random pair, from a single frame on."""
    frames = int(np.exp(rng.uniform(0.0, np.log(longest))))
    kind, change = str(rng.choice(MATERIALS)), str(rng.choice(CHANGES))
    x = np.clip(material(kind, frames, int(rng.integers(1, 4)), rng), -1.0, 0.999)
    return Pair(x, changed(change, x, rng), kind, change)
