"""Whatever a channel carries, a detector answers, and soon: nothing raises, nothing is explained for ever.

``make corpus`` draws many more.
"""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.limits import PROFILES
from rtpverify.reference import Recording, Tone
from rtpverify.sender.signal import quantise
from tests.helpers.programme import Audio
from tests.helpers.seeds import generator

CASES = int(os.environ.get("RTPVERIFY_CORPUS_CASES", "1"))
SECONDS = 2
MOST_EVENTS = 3000
"""A bound that only something that goes round in circles reaches."""


@dataclass
class Part:
    """Frames ``x`` of a tone at some seconds, and how strongly something is done to them."""

    x: np.ndarray
    at: np.ndarray
    level: float
    amount: float
    tone: float
    rng: np.random.Generator
    draw: random.Random

    @property
    def n(self):
        return len(self.x)

    def sine(self, phase=0.0):
        return self.level * np.sin(self.tone * self.at + phase)

    def jumps(self):
        steps = (self.rng.random(self.n) < 5 / self.n) * self.rng.integers(-100, 100, self.n)
        return np.cumsum(steps) / 48_000

    def some(self):
        return self.rng.random(self.n) < self.draw.choice([0.001, 0.02, 0.3])


TREATMENTS = {
    "noise": lambda p: p.x + p.amount * p.rng.standard_normal(p.n),
    "burst": lambda p: p.level * p.rng.uniform(-1, 1, p.n),
    "walk": lambda p: p.level * np.cumsum(p.rng.standard_normal(p.n)) / p.n**0.5,
    "tremolo": lambda p: p.x * (1 + min(1, p.amount / p.level) * np.sin(p.draw.uniform(3, 1200) * p.at)),
    "vibrato": lambda p: p.sine(20 * p.amount / p.level * np.sin(p.draw.uniform(3, 300) * p.at)),
    "sweep": lambda p: p.sine(p.draw.uniform(-300, 300) * (p.at - p.at[0]) ** 2),
    "square": lambda p: p.level * np.sign(p.x),
    "another tone": lambda p: p.x + p.amount * np.sin(p.draw.uniform(100, 20_000) * p.at),
    "hum": lambda p: p.x + p.amount * np.sign(np.sin(100 * np.pi * p.at)),
    "clipped": lambda p: np.clip(p.x, -0.7 * p.level, 0.7 * p.level),
    "upside down": lambda p: -p.x,
    "ramp": lambda p: p.x * np.linspace(1, p.draw.uniform(0, 2), p.n),
    "another rate": lambda p: p.sine(p.tone * p.at * p.draw.uniform(-1e-3, 1e-3)),
    "few bits": lambda p: np.round(p.x * 2.0 ** p.draw.choice([4, 8, 12])) / 2.0 ** p.draw.choice([4, 8, 12]),
    "clicks": lambda p: p.x + p.amount * p.rng.standard_normal(p.n) * p.some(),
    "holes": lambda p: p.x * np.repeat(p.rng.random(p.n // 24 + 1) < 0.8, 24)[: p.n],
    "jumps": lambda p: p.sine(p.tone * p.jumps()),
}


@pytest.mark.parametrize("kind", TREATMENTS)
def test_every_signal_has_an_answer(kind):
    draw = generator(f"any signal {kind}")
    for _ in range(CASES):
        rate_hz, bits = draw.choice([8000, 44100, 48000, 96000]), draw.choice([16, 24])
        frequency_hz = draw.choice([440.0, 997.0, 1283.0, round(draw.uniform(30, rate_hz / 2 - 300), 1)])
        level = 10 ** (draw.choice([-1, -6, -20, -40, -60]) / 20)
        rng, at = np.random.default_rng(draw.randrange(2**31)), np.arange(SECONDS * rate_hz) / rate_hz
        tone = 2 * np.pi * frequency_hz
        x = level * np.sin(tone * at + draw.uniform(0, 6))
        for treatment in [kind, *draw.choices(list(TREATMENTS), k=draw.choice([0, 0, 1, 2]))]:
            start = draw.randrange(len(x) - 100)
            stop = min(len(x), start + draw.choice([50, 480, 4800, rate_hz // 2, len(x)]))
            amount = level * 10 ** (draw.uniform(-90, 6) / 20)
            part = Part(x[start:stop], at[start:stop], level, amount, tone, rng, draw)
            x[start:stop] = TREATMENTS[treatment](part)
        frames = quantise(np.clip(x, -1, 1)[:, None], bits, draw.choice(["none", "tpdf"]), draw.randrange(1000))
        reference = Tone((frequency_hz,)) if draw.random() < 0.8 else Tone()
        limits = PROFILES[draw.choice(["digital", "analog"])]
        verifier = FrameVerifier(reference, limits, rate_hz, 1, f"L{bits}", bits)
        for start in range(0, len(frames), 4801):
            verifier.feed(frames[start : start + 4801])
        verifier.finish()
        [stream] = verifier.result("any").streams
        assert len(stream.events) < MOST_EVENTS
        assert all(0 <= event.start_frame <= len(frames) and not event.open for event in stream.events)


FORMS = {
    "nothing": lambda n, _: np.zeros(n),
    "one value": lambda n, _: np.full(n, 0.3),
    "noise": lambda n, rng: rng.uniform(-1, 1, n),
    "faint noise": lambda n, rng: 1e-4 * rng.standard_normal(n),
    "walk": lambda n, rng: np.cumsum(rng.standard_normal(n)) / 200,
    "steps": lambda n, rng: np.repeat(rng.uniform(-1, 1, n // 37 + 1), 37)[:n],
    "square": lambda n, _: 0.5 * np.sign(np.sin(0.13 * np.arange(n) + 0.1)),
    "sine": lambda n, _: 0.5 * np.sin(2 * np.pi * 997 / 48_000 * np.arange(n)),
    "sweep": lambda n, _: 0.5 * np.sin(1e-5 * np.arange(n) ** 2),
    "full scale": lambda n, rng: rng.choice([-1.0, 1.0], n),
    "now and then": lambda n, rng: rng.uniform(-1, 1, n) * (np.sin(np.arange(n) / 700) > 0.7),
}


@pytest.mark.parametrize("against", ["tone", "recording"])
@pytest.mark.parametrize("form", FORMS)
def test_any_length_of_anything_has_an_answer(form, against):
    """One frame to three seconds, against a tone, and against itself with something else in it, or something else."""
    draw = generator(f"any length {form} {against}")
    for frames in [1, *(round(10 ** draw.uniform(0.3, 5.16)) for _ in range(2 * CASES))]:
        rng = np.random.default_rng(draw.randrange(2**31))
        x = quantise(np.clip(FORMS[form](frames, rng), -1, 1)[:, None], 24, "none", 1)
        reference = Tone((997.0,))
        if against == "recording":
            content = x.copy() if draw.random() < 0.7 else FORMS[draw.choice(list(FORMS))](frames, rng)[:, None]
            start = draw.randrange(frames)
            other = FORMS[draw.choice(list(FORMS))](frames, rng)[:, None]
            x[start:][:4800] = quantise(np.clip(other, -1, 1), 24, "none", 1)[start:][:4800]
            audio = Audio(content)
            reference = Recording(Path("any.wav"), lambda _, audio=audio: audio, 1, 48_000, draw.random() < 0.3)
        verifier = FrameVerifier(reference, PROFILES["digital"], 48_000, 1, "L24", 24)
        piece = draw.choice([1 + frames // 7, 4801])
        for first in range(0, frames, piece):
            verifier.feed(x[first : first + piece])
        verifier.finish()
        [stream] = verifier.result("any").streams
        assert len(stream.events) < MOST_EVENTS
        assert all(0 <= event.start_frame <= frames for event in stream.events)
