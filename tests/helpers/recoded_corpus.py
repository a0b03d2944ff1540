"""The corpus of recoded recordings: through MP3 and AAC by another clock, with pieces missing or inserted.

Where content is faint, nobody can tell where a piece is missing, nor that it was: places are drawn where there is
sound.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from rtpverify.commands.compare import compare
from rtpverify.events import Kind
from rtpverify.result import StreamResult
from tests.helpers.programme import MATERIAL, RATE_HZ

SECONDS = 10
_SEEDS = 12
LENGTH_SLACK_SECONDS = 0.005
PLACE_SLACK_SECONDS = 0.06
_ENCODERS = {"mp3": ("libmp3lame", "mp3"), "aac": ("aac", "m4a")}
_LOUD = 0.1
"""RMS around a place, against that of the whole, from which on there is sound."""


@dataclass(frozen=True)
class Case:
    """A recording, what is cut out of it or put into it, and its way through a codec."""

    edit: str = ""
    """``missing``, ``silence``, ``again`` (the same once more) or ``other``; none: clean."""
    at_frame: int = 0
    frames: int = 0
    material: str = "music"
    piece: int = 0
    codec: str = "mp3"
    bit_rate: str = "128k"
    ppm: float = 1000.0
    mono: bool = False
    keeps_codec: bool = False
    """Whether the coded file itself is compared, not one that was decoded from it."""

    @property
    def reference(self) -> NDArray[np.float64]:
        frames = MATERIAL[self.material](SECONDS, seed=self.piece)
        return frames[:, :1] if self.mono else frames

    @property
    def received(self) -> NDArray[np.float64]:
        """The recording with its edit, at its clock."""
        frames, at = self.reference, self.at_frame
        piece = {
            "silence": lambda: np.zeros((self.frames, frames.shape[1])),
            "again": lambda: frames[at - self.frames : at],
            "other": lambda: MATERIAL[self.material](SECONDS, seed=self.piece + 100)[: self.frames, : frames.shape[1]],
        }
        if self.edit == "missing":
            frames = np.delete(frames, slice(at, at + self.frames), axis=0)
        elif self.edit:
            frames = np.insert(frames, at, piece[self.edit](), axis=0)
        return np.asarray(soxr.resample(frames, 1e6, 1e6 + self.ppm)) if self.ppm else frames

    def run(self, folder: Path) -> StreamResult:
        """Code and decode it, and compare."""
        encoder, suffix = _ENCODERS[self.codec]
        source, coded, out = (folder / name for name in ("source.wav", f"coded.{suffix}", "decoded.wav"))
        reference = folder / "reference.wav"
        soundfile.write(reference, self.reference, RATE_HZ, subtype="PCM_16")
        soundfile.write(source, self.received, RATE_HZ, subtype="PCM_16")
        convert = ["ffmpeg", "-loglevel", "error", "-y", "-i"]
        subprocess.run([*convert, source, "-c:a", encoder, "-b:a", self.bit_rate, coded], check=True)
        if not self.keeps_codec:
            subprocess.run([*convert, coded, out], check=True)
        received = coded if self.keeps_codec else out
        return compare(reference, received, with_distance=False).streams[0]


def complaints(case: Case, result: StreamResult) -> list[str]:
    """Return what is wrong with a result: nothing for a perfect verifier."""
    told = [
        f"{e.kind} {e.channel} at {e.start_frame} for {e.duration_frames} {e.size}" for e in result.events if e.fault
    ]
    wrong = [] if result.comparison and result.comparison.recoded else ["not taken for recoded"]
    if result.inconclusive:
        wrong.append(f"inconclusive: {result.inconclusive}")
    if not case.edit:
        return wrong + [f"not injected: {text}" for text in told]
    slips = [event for event in result.events if event.kind is Kind.SLIP]
    if len(told) != 1 or len(slips) != 1:
        return [*wrong, f"told: {told}"]
    length = -slips[0].size.slip_frames if case.edit != "missing" else slips[0].size.slip_frames
    if abs(length - case.frames) > LENGTH_SLACK_SECONDS * RATE_HZ:
        wrong.append(f"{length} frames, not {case.frames}")
    stretched = case.at_frame * (1 + 1e-6 * case.ppm)
    # What was played again may be taken for its first time or its second.
    early = case.frames if case.edit == "again" else 0
    if not -early - PLACE_SLACK_SECONDS * RATE_HZ <= slips[0].start_frame - stretched <= PLACE_SLACK_SECONDS * RATE_HZ:
        wrong.append(f"at {slips[0].start_frame}, not {stretched:.0f}")
    return wrong


def draw_clean(rng: random.Random) -> Case:
    """Return a random recording that went through a codec and nothing else."""
    return Case(
        material=rng.choice(list(MATERIAL)),
        piece=rng.randrange(_SEEDS),
        codec=rng.choice(list(_ENCODERS)),
        bit_rate=rng.choice(["128k", "128k", "192k", "256k", "320k"]),
        ppm=rng.choice([0.0, 50.0, -50.0, 1000.0, -1000.0]),
        mono=rng.random() < 0.3,
        keeps_codec=rng.random() < 0.3,
    )


def draw(rng: random.Random, edit: str) -> Case:
    """Return a random recording with an edit where there is sound."""
    while True:
        clean = draw_clean(rng)
        frames = round(np.exp(rng.uniform(np.log(0.02), np.log(1.0))) * RATE_HZ)
        at = rng.randrange(int(2.5 * RATE_HZ), int((SECONDS - 3.5) * RATE_HZ))
        case = Case(**{**vars(clean), "edit": edit, "at_frame": at, "frames": frames})
        if _has_sound(case):
            return case


def _has_sound(case: Case) -> bool:
    """Tell whether there is sound, and not one that repeats itself, on both sides of the place, and in what goes."""
    whole, at, n = case.reference[:, 0], case.at_frame, case.frames
    rms = float(np.sqrt(np.mean(np.square(whole))))
    reach = RATE_HZ // 10
    pieces = [whole[at - reach : at], whole[at : at + reach], whole[at + n : at + n + reach]]
    if case.edit == "again":
        pieces.append(whole[at - n : at])
    return all(float(np.sqrt(np.mean(np.square(piece)))) > _LOUD * rms for piece in pieces)


EDITS = ("missing", "silence", "again", "other")
