"""An archive for tests: recordings that pass, fail, are silent or no audio at all; and work that kills its process."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from rtpverify.commands.batch.job import Job, Row, Status, verify
from rtpverify.commands.batch.members import Member
from rtpverify.limits import PROFILES
from rtpverify.report.request import request_now

RATE_HZ = 48000
FREQUENCY_HZ = 997.0


def job(reference: str = "tone:997") -> Job:
    """Return what every member is checked for."""
    limits = PROFILES["digital"]
    request = request_now("rtpverify batch", reference=reference, encoding=None, profile="digital", limits=limits)
    return Job(request, reference, limits)


def write_tone(path: Path, seconds: float = 1.0, muted: tuple[int, int] | None = None) -> None:
    """Write a tone of 24 bits, of which some frames may be muted."""
    frames = 0.5 * np.sin(2 * np.pi * FREQUENCY_HZ / RATE_HZ * np.arange(int(seconds * RATE_HZ)))
    if muted is not None:
        frames[slice(*muted)] = 0.0
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, frames, RATE_HZ, subtype="PCM_24")


def write_archive(folder: Path, clean: int = 3) -> dict[str, Status]:
    """Write an archive; return what becomes of each member, by its path relative to the folder."""
    expected = {}
    for number in range(clean):
        name = f"clean/{number:03d}.wav"
        write_tone(folder / name, 0.2)
        expected[name] = Status.PASS
    write_tone(folder / "muted.wav", 1.0, (20000, 20480))
    (folder / "notes.wav").write_text("no audio")
    (folder / "empty.wav").write_bytes(b"")
    return expected | {
        "muted.wav": Status.FAIL,
        "notes.wav": Status.UNREADABLE,
        "empty.wav": Status.UNREADABLE,
    }


def deadly(wanted: Job, members: Sequence[Member], attempt: int) -> list[Row]:
    """Verify, but die at a member whose name says so."""
    if any("deadly" in member.address for member in members):
        os.kill(os.getpid(), signal.SIGKILL)
    return verify(wanted, members, attempt)


def deadly_at_first(wanted: Job, members: Sequence[Member], attempt: int) -> list[Row]:
    """Die at such a member the first time only."""
    return deadly(wanted, members, attempt) if attempt == 1 else verify(wanted, members, attempt)
