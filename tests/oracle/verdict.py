"""What the package says of the oracle's streams, and what of that is wrong."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, log10, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.limits import PROFILES
from rtpverify.reference import Recording, Tone
from rtpverify.result import StreamResult
from tests.oracle.faults import Case, Truth
from tests.oracle.signals import Frames, Stream

ALLOWED_DB = 15.0
"""From the noise of a stream to its limit: more than the tone is ever attenuated by, less than any noise is a fault."""


class _Played:
    """A recording as the package reads one."""

    bandwidth = 0.5

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.frames, self.channels = frames.shape

    def read(self, start: int, stop: int) -> Frames:
        out = np.zeros((stop - start, self.channels))
        first, last = max(start, 0), min(stop, self.frames)
        if first < last:
            out[first - start : last - start] = self._frames[first:last]
        return out


def verify(stream: Stream, frames: Frames, profile: str = "digital", allowed_db: float = ALLOWED_DB) -> StreamResult:
    """Return what is said of frames, shape (n, channels); the noise and dither of the stream are allowed for."""
    limits = PROFILES[profile]
    if stream.reference == "recording" and stream.noise_dbfs is not None:
        limits = replace(limits, max_thd_n_db=0.0)
    elif profile == "digital" and stream.is_noisy and (stream.noise_dbfs is not None or stream.dither != "none"):
        limits = replace(limits, max_thd_n_db=20 * log10(sqrt(2) * stream.sigma) - stream.level_dbfs + allowed_db)
    reference: Tone | Recording
    if stream.reference == "tone":
        reference = Tone(tuple(stream.frequency_of(channel) for channel in range(stream.channels)))
    else:
        played = _Played(stream.recorded())
        reference = Recording(Path("reference.wav"), lambda _: played, stream.channels, stream.rate_hz, looped=False)
    encoding = f"L{stream.bits}"
    verifier = FrameVerifier(reference, limits, stream.rate_hz, stream.channels, encoding, stream.bits)
    verifier.feed(frames)
    verifier.finish()
    return verifier.result("oracle").streams[0]


def complaints(case: Case, frames: Frames | None = None, truths: list[Truth] | None = None) -> list[str]:
    """Return what is wrong with what is said of a case, or of other frames than its own; nothing where all is right."""
    frames, truths = case.frames if frames is None else frames, case.truths if truths is None else truths
    result = verify(case.stream, frames)
    left = list(result.events)
    wrong = []
    for truth in truths:
        taken = _taken(case, truth, left)
        if not taken:
            wrong.append(f"missed {_wanted(truth)}")
        left = [event for event in left if not any(event is item for item in taken)]
    wrong += [f"said {_said(event, truths)}" for event in left]
    if result.inconclusive and not left:
        wrong.append(f"inconclusive: {result.inconclusive}")
    return wrong


def _taken(case: Case, truth: Truth, events: list[Any]) -> list[Any]:
    """Return the events that say what is true: one, one for each channel, or a slip there and one back."""
    channels = truth.channels or tuple(range(1, case.stream.channels + 1))
    fitting = [event for event in events if event.kind in truth.kinds and _sizes_agree(case, truth, event)]
    whole = [event for event in fitting if _edges_agree(truth, event)]
    if truth.channels is None:
        for event in whole:
            if event.channel is None:
                return [event]
    apart = [event for event in whole if event.channel in channels]
    if len({event.channel for event in apart}) == len(channels) == len(apart):
        return apart
    if truth.as_two_slips:
        slips = [event for event in events if event.kind == "slip" and event.channel in (None, *channels)]
        there = [event for event in slips if _near(event, truth.start, truth.start_slack)]
        back = [event for event in slips if _near(event, truth.stop, truth.stop_slack)]
        if len(there) == len(back) and len(there) in (1, len(channels)):
            return there + back
    return []


def _near(event: Any, frame: int, slack: tuple[int, int]) -> bool:
    return -slack[0] <= event.start_frame - frame <= slack[1]


def _edges_agree(truth: Truth, event: Any) -> bool:
    early, late = truth.stop_slack
    off = event.start_frame + event.duration_frames - truth.stop
    ends = truth.instant or -early <= off <= late
    return _near(event, truth.start, truth.start_slack) and ends


def _sizes_agree(case: Case, truth: Truth, event: Any) -> bool:
    for name, (value, tolerance) in truth.size.items():
        found = getattr(event.size, name, None)
        if name == "slip_frames" and case.stream.content == "tone":
            if case.stream.reference == "tone" and not _slip_is_told(case.stream):
                continue
            period = round(case.stream.rate_hz / _gcd(case.stream))
            if found is None or (found - value) % period:
                return False
        elif found is None or abs(abs(found) - abs(value)) > tolerance or found * value < 0:
            return False
    return True


def _gcd(stream: Stream) -> int:
    return gcd(*(round(stream.frequency_of(channel)) for channel in range(stream.channels)), stream.rate_hz)


def _slip_is_told(stream: Stream) -> bool:
    """Whether the phase step of one frame stands out of the noise of a second on either side (Cramér–Rao)."""
    amplitude = 10 ** (stream.level_dbfs / 20)
    deviation = 4 * stream.sigma / (amplitude * sqrt(stream.rate_hz))
    return 2 * 6.3 * deviation < pi * _gcd(stream) / stream.rate_hz


def _wanted(truth: Truth) -> str:
    length = "rest" if truth.permanent else truth.stop - truth.start
    sizes = {name: value for name, (value, _) in truth.size.items()}
    return f"{'/'.join(truth.kinds)} {truth.channels or ''} at {truth.start} for {length} {sizes or ''}"


def _said(event: Any, truths: list[Truth]) -> str:
    """Return an event, its edges relative to the nearest truth."""
    nearest = min(truths, key=lambda truth: abs(truth.start - event.start_frame), default=None)
    place = f"at {event.start_frame} for {event.duration_frames}"
    if nearest is not None:
        stop = event.start_frame + event.duration_frames
        place = f"start {event.start_frame - nearest.start:+d}, stop {stop - nearest.stop:+d}"
    return f"{event.kind} {event.channel or ''} {place} {event.size}{'' if event.fault else ' (no fault)'}"
