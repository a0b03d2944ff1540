"""The clips of ``make bench-detection``: 48 standard faults, one a clip, and clips without a fault.

Every clip is the same tone in the same format and of the same length, written as a 16-bit WAV file. A sixteen-bit
stereo tone of 997 Hz is what the peers take without further ado; the length is a power of two because alsabat analyses
no more than the longest such prefix.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from rtpverify.sender.faults import ExpectedEvent, parse_fault
from rtpverify.sender.signal import Dither
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import FrequencyChange, ToneSignal

RATE_HZ = 48000
CHANNELS = 2
BITS = 16
FREQUENCY_HZ = 997.0
LEVEL_DBFS = -6.0
FRAMES = 1 << 17
LONG_FRAMES = 1 << 21
"""Of the clip that the time is taken with."""
LATEST_START_SECONDS = 1.6
WANDER_STEP_FRAMES = 2400

FAULTS = (
    "slip:at={t},frames=1",
    "slip:at={t},frames=48",
    "slip:at={t},frames=-48",
    "slip:at={t},frames=480",
    "slip:at={t},frames=-960",
    "slip:at={t},frames=4801",
    "slip:at={t},frames=48,channel=1",
    "dropout:at={t},frames=5",
    "dropout:at={t},frames=48",
    "dropout:at={t},frames=480",
    "dropout:at={t},duration=0.5",
    "dropout:at={t},frames=48,mode=hold",
    "dropout:at={t},frames=4800,mode=hold,channel=1",
    "repeat:at={t},frames=48",
    "repeat:at={t},frames=480",
    "repeat:at={t},frames=480,channel=2",
    "click:at={t},size=0.05",
    "click:at={t},size=-0.3,channel=1",
    "click:at={t},size=0.1,frames=4",
    "click:at={t},bit=10,channel=2",
    "click:at={t},bit=0",
    "gain:at={t},db=-1",
    "gain:at={t},db=0.02",
    "gain:at={t},db=3,duration=0.4",
    "gain:at={t},db=0.1,channel=2",
    "gain:at={t},drift_db_per_second=-1",
    "clipping:at={t},level=0.4",
    "clipping:at={t},level=0.49,channel=1",
    "clipping:at={t},level=0.3,duration=0.5",
    "distortion:at={t},harmonics_db=-40",
    "distortion:at={t},harmonics_db=-60/-60,duration=0.7",
    "noise:at={t},dbfs=-40,channel=1",
    "noise:at={t},dbfs=-60,duration=0.5",
    "noise:at={t},dbfs=-80",
    "dc_offset:at={t},offset=0.001",
    "dc_offset:at={t},offset=0.0001,duration=0.5",
    "frequency:at={t},ppm=10",
    "frequency:at={t},ppm=-100",
    "frequency:at={t},hz=1010",
    "frequency:at={t},hz=440,duration=0.6",
    "frequency:at=0,ppm=5",
    "sample_rate:at=0,made_for=44100",
    "silence:at={t}",
    "silence:at=0,channel=2",
    "polarity:at={t},channel=1",
    "word_length:at=0,bits=12",
    "word_length:at=0,bits=15",
    "byte_order:at={t}",
)
"""``{t}`` is drawn anew for each fault and seed."""

CLEAN: tuple[tuple[str, Dither, int], ...] = (
    ("plain", "none", 1),
    ("dithered", "tpdf", 5),
    ("wandering", "none", 3),
    ("wandering", "tpdf", 3),
)
"""The sorts of clip without a fault, and how many of each."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One WAV file.

    Attributes
    ----------
    sort
        Which fault, or which sort of clean clip.
    expected
        What a perfect verifier says of it; None where there is nothing to say.
    """

    path: Path
    sort: str
    expected: ExpectedEvent | None = None


def faulty(folder: Path, seed: int, dither: Dither) -> Iterator[Clip]:
    """Write and yield a clip for every fault."""
    chance = random.Random(seed)
    for number, template in enumerate(FAULTS):
        text = template.format(t=round(chance.uniform(0.3, LATEST_START_SECONDS), 5))
        signal = DamagedSignal(tone(), [parse_fault(text)], bits=BITS, dither=dither, seed=chance.randrange(1 << 20))
        expected = signal.expected[0]
        if expected.duration_frames is None:
            expected = replace(expected, duration_frames=FRAMES - expected.start_frame)
        yield Clip(_write(folder / f"fault-{number:02}.wav", signal, FRAMES), text, expected)


def clean(folder: Path, seed: int, name: str) -> list[Clip]:
    """Write the clips without a fault; those of another ``name`` have other dither and wander otherwise."""
    chance = random.Random(f"{seed} {name}")
    clips = []
    for number, (sort, dither) in enumerate((sort, dither) for sort, dither, count in CLEAN for _ in range(count)):
        source = tone(_wander(chance) if sort == "wandering" else ())
        signal = DamagedSignal(source, bits=BITS, dither=dither, seed=chance.randrange(1 << 20))
        clips.append(Clip(_write(folder / f"{name}-{number:02}.wav", signal, FRAMES), sort))
    return clips


def long(folder: Path, seed: int) -> Clip:
    """Write a clean, dithered clip to take the time with."""
    signal = DamagedSignal(tone(), bits=BITS, dither="tpdf", seed=seed)
    return Clip(_write(folder / "long.wav", signal, LONG_FRAMES), "long")


def tone(changes: Sequence[FrequencyChange] = ()) -> ToneSignal:
    """Return the tone that every clip is made of."""
    return ToneSignal((FREQUENCY_HZ,), RATE_HZ, CHANNELS, level_dbfs=LEVEL_DBFS, changes=changes)


def _wander(chance: random.Random) -> list[FrequencyChange]:
    """Return a frequency that moves slowly, less than 1.3 ppm off: inside the limit of 2 ppm."""
    offset_ppm, swing_ppm = chance.uniform(-0.5, 0.5), chance.uniform(0.2, 0.8)
    period_seconds, phase = chance.uniform(2, 6), chance.uniform(0, 2 * math.pi)
    changes = []
    for frame in range(0, FRAMES, WANDER_STEP_FRAMES):
        turn = 2 * math.pi * frame / RATE_HZ / period_seconds + phase
        ppm = round(offset_ppm + swing_ppm * math.sin(turn), 4)
        frequency_hz = Fraction(str(FREQUENCY_HZ)) * (1 + Fraction(str(ppm)) / 1_000_000)
        changes += [FrequencyChange(frame, channel, frequency_hz) for channel in range(CHANNELS)]
    return changes


def _write(path: Path, signal: DamagedSignal, frames: int) -> Path:
    samples = np.rint(signal.read(0, frames) * 2.0 ** (BITS - 1)).astype(np.int16)
    soundfile.write(path, samples, RATE_HZ, "PCM_16")
    return path
