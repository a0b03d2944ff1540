"""Clean chains with converters: all in them is what an analogue path may do, and none of it is a fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.oracle.signals import Frames

Course = Frames
"""A value at every frame."""


@dataclass(frozen=True)
class Chain:
    """A tone through converters.

    Attributes
    ----------
    imperfections
        Names of what is in it, of :data:`IMPERFECTIONS`.
    """

    imperfections: tuple[str, ...]
    rate_hz: int = 48000
    bits: int = 24
    frequency_hz: float = 997.0
    level_dbfs: float = -6.0
    noise_db: float = -80.0
    """Of white noise, relative to the tone; whatever else is added is as far below it."""
    seconds: float = 12.0
    seed: int = 0

    def made(self) -> Frames:
        """Return its frames, shape (n, 1)."""
        made = _Made(self)
        for name in self.imperfections:
            IMPERFECTIONS[name](made)
        return made.rounded()


class _Made:
    """What becomes of a tone: its clock, its level, and what is added."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.rng = random.Random(f"{chain.seed}/{chain.imperfections}")
        self.random = np.random.default_rng(self.rng.getrandbits(32))
        self.frames = round(chain.seconds * chain.rate_hz)
        self.seconds = np.arange(self.frames) / chain.rate_hz
        self.ppm = np.zeros(self.frames)
        self.gain = np.ones(self.frames)
        self.added = np.zeros(self.frames)
        self.resampled = False

    def relative(self, decibels: float) -> float:
        """Return an amplitude, from what it is relative to the tone."""
        return float(10 ** ((self.chain.level_dbfs + decibels) / 20))

    def line(self, hz: float | Frames, decibels: float) -> Frames:
        return self.relative(decibels) * np.sin(
            2 * np.pi * np.cumsum(np.broadcast_to(hz, self.frames)) / self.chain.rate_hz + self.rng.uniform(0, 6.28)
        )

    def smooth(self, hz: float) -> Frames:
        """Return noise below a frequency, RMS 1."""
        spectrum = np.fft.rfft(self.random.standard_normal(self.frames))
        frequencies = np.fft.rfftfreq(self.frames, 1 / self.chain.rate_hz)
        spectrum /= np.maximum(frequencies / hz, 1.0) ** 2
        spectrum[0] = 0.0
        noise = np.fft.irfft(spectrum, self.frames)
        return np.asarray(noise / noise.std())

    def rounded(self) -> Frames:
        chain = self.chain
        amplitude = 10 ** (chain.level_dbfs / 20)
        late_frames = np.cumsum(self.ppm) * 1e-6
        if self.resampled:
            tone = self._converted(amplitude, np.arange(self.frames) + late_frames)
        else:
            w = 2 * np.pi * chain.frequency_hz / chain.rate_hz
            tone = amplitude * np.sin(w * (np.arange(self.frames) + late_frames) + self.rng.uniform(0, 6.28))
        noise = self.relative(chain.noise_db) / np.sqrt(2) * self.random.standard_normal(self.frames)
        x = self.gain * tone + self.added + noise
        step = 2.0 ** (1 - chain.bits)
        dither = self.random.uniform(-0.5, 0.5, (2, self.frames)).sum(axis=0)
        return np.asarray(np.rint(x / step + dither) * step)[:, None]

    def _converted(self, amplitude: float, places: Frames) -> Frames:
        """Read a 16-bit tone between its frames, as an asynchronous converter does: 48 taps, Kaiser window."""
        taps = np.arange(-23, 25)
        grid = np.linspace(-24.5, 24.5, 20_000)
        kernel = np.sinc(grid) * np.kaiser(len(grid), 9.0)
        w = 2 * np.pi * self.chain.frequency_hz / self.chain.rate_hz
        source = np.rint(amplitude * np.sin(w * np.arange(-40, self.frames + 100)) * 32768) / 32768
        whole = np.floor(places).astype(np.int64)
        out = np.zeros(self.frames)
        for tap in taps:
            value = np.interp(places - whole - tap, grid, kernel)
            out += source[np.clip(whole + tap + 40, 0, len(source) - 1)] * value
        return out


def wander(made: _Made) -> None:
    """A clock that goes to and fro by a few ppm, over 5 to 20 s."""
    period, phase = made.rng.uniform(5, 20), made.rng.uniform(0, 6.28)
    made.ppm += made.rng.uniform(1, 5) * np.sin(2 * np.pi * made.seconds / period + phase)


def crystal(made: _Made) -> None:
    """A clock whose frequency walks at random, about 0.1 ppm in a second."""
    made.ppm += 0.1 * np.cumsum(made.random.standard_normal(made.frames)) / np.sqrt(made.chain.rate_hz)


def settling(made: _Made) -> None:
    """A PTP servo that swings to its place."""
    decay, turn = made.rng.uniform(1.5, 3), made.rng.uniform(0.5, 2)
    made.ppm += made.rng.uniform(2, 6) * np.exp(-made.seconds / decay) * np.cos(turn * made.seconds)


def servo(made: _Made) -> None:
    """A servo that sets another frequency each second."""
    steps = made.rng.uniform(0.05, 0.5) * made.random.standard_normal(int(made.chain.seconds) + 2)
    made.ppm += steps[(made.seconds + made.rng.random()).astype(np.int64)]


def warm_up(made: _Made) -> None:
    """An oscillator that becomes warm."""
    made.ppm += made.rng.choice([-1, 1]) * made.rng.uniform(3, 20) * np.exp(-made.seconds / made.rng.uniform(3, 30))


def flutter(made: _Made) -> None:
    """A modulated clock: 1.5 ppm a few times a second."""
    made.ppm += made.rng.uniform(0.5, 1.5) * np.sin(2 * np.pi * made.rng.uniform(2, 6) * made.seconds)


def hum(made: _Made) -> None:
    """Of the mains, with its harmonics."""
    mains = made.rng.choice([50.0, 60.0]) * (1 + made.rng.uniform(-1e-3, 1e-3))
    loudest = made.rng.uniform(-90, -68)
    for harmonic in range(1, 8):
        made.added += made.line(harmonic * mains, loudest - 4 * harmonic - made.rng.uniform(0, 12))


def flicker(made: _Made) -> None:
    """Noise of the electronics whose power goes with 1/f."""
    spectrum = np.fft.rfft(made.random.standard_normal(made.frames))
    spectrum[1:] /= np.sqrt(np.fft.rfftfreq(made.frames, 1 / made.chain.rate_hz)[1:])
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, made.frames)
    made.added += noise / noise.std() * made.relative(made.rng.uniform(-95, -70))


def unsteady_level(made: _Made) -> None:
    """A reference voltage with slow noise: the level follows it."""
    made.gain *= 1 + 10 ** made.rng.uniform(-5.5, -4) * made.smooth(made.rng.uniform(0.5, 30))


def level_drift(made: _Made) -> None:
    """Gain that follows the temperature, within 0.06 dB."""
    phase = made.seconds / made.rng.uniform(3, 12) + made.rng.uniform(0, 6.28)
    change_db = made.rng.uniform(0.005, 0.03) * np.sin(phase)
    made.gain *= 10 ** (change_db / 20)


def converter(made: _Made) -> None:
    """An asynchronous sample rate converter whose ratio moves."""
    made.resampled = True
    made.ppm += made.rng.uniform(-40, 40) + made.rng.uniform(0.5, 3) * np.sin(made.seconds / made.rng.uniform(0.5, 3))


def idle_tones(made: _Made) -> None:
    """Of a delta-sigma modulator: spurious tones that move slowly."""
    for _ in range(made.rng.randrange(1, 4)):
        hz = made.rng.uniform(2000, 0.45 * made.chain.rate_hz) + made.rng.uniform(-20, 20) * made.seconds
        made.added += made.line(hz, made.rng.uniform(-110, -80))


def offset_drift(made: _Made) -> None:
    """An offset that follows the temperature."""
    made.added += made.rng.uniform(-2e-3, 2e-3) + made.rng.uniform(1e-5, 3e-4) * np.sin(
        made.seconds / made.rng.uniform(2, 10)
    )


def curve(made: _Made) -> None:
    """Harmonics, 72 dB and more below the tone."""
    for harmonic in (2, 3, 5):
        made.added += made.line(harmonic * made.chain.frequency_hz, made.rng.uniform(-110, -72))


IMPERFECTIONS: dict[str, Callable[[_Made], None]] = {
    make.__name__: make
    for make in (
        *(wander, crystal, settling, servo, warm_up, flutter),
        *(hum, flicker, unsteady_level, level_drift, converter, idle_tones, offset_drift, curve),
    )
}
"""By name."""


def draw(rng: random.Random, imperfection: str | None = None, **fixed: object) -> Chain:
    """Return a chain with one imperfection, or with several at random."""
    several = tuple(rng.sample(sorted(IMPERFECTIONS), rng.randrange(1, 5)))
    drawn = {
        "rate_hz": rng.choice([44100, 48000, 48000, 96000]),
        "bits": rng.choice([16, 24, 24]),
        "frequency_hz": rng.choice([997.0, 1000.0, 1283.0, float(rng.randrange(200, 5000))]),
        "level_dbfs": rng.choice([-3.0, -6.0, -12.0]),
        "noise_db": rng.uniform(-110, -67),
        "seed": rng.getrandbits(32),
    }
    return Chain(several if imperfection is None else (imperfection,), **(drawn | fixed))  # type: ignore[arg-type]
