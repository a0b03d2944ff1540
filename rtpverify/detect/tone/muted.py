"""Dropouts: frames that are muted, or hold one value, where the tone would not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.departure import Departure
from rtpverify.detect.tone.regions import band_run, change_point, equal_run
from rtpverify.detect.tone.settings import LEAST_MUTED_FRAMES
from rtpverify.detect.tone.track import Muted, Track
from rtpverify.events import Event, Kind

EDGE_FRAMES = 8
"""How far before the end of a noisy dropout the signal may be back already."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Indices ``start`` to ``stop`` hold ``value`` within ``bound``."""

    start: int
    stop: int
    value: float
    bound: float


def begins_muted(track: Track, departure: Departure) -> bool:
    """Begin a dropout where frames hold one value that the sine would not hold, exactly or within the noise."""
    run = _longest_run(track, departure)
    if run is None or _is_flat_top(track, run, departure.x[run.stop :]):
        return False
    start, stop, held_last = _edges(track, departure, run)
    if stop - start < LEAST_MUTED_FRAMES:
        return False
    event = Event(Kind.DROPOUT, departure.low + start, size={"held_value": run.value})
    track.muted = Muted(event, run.value, run.bound)
    track.position = departure.low + stop
    if run.stop < len(departure.x):
        track.end_muted(departure.low + stop, held_last=held_last)
    return True


def follow_muted(track: Track, muted: Muted, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> None:
    """Go on with a dropout through frames ``x`` at the track's position, or to where the signal is back."""
    back = np.flatnonzero(valid & (np.abs(x - muted.value) > muted.bound))
    if len(back):
        track.end_muted(track.position + int(back[0]))
    else:
        track.position += len(x)
        track.teller.grow(muted.event, track.position, muted.text)


def _longest_run(track: Track, departure: Departure) -> _Run | None:
    """Return the longest run around the departure that holds a value for longer than the sine does."""
    at, x, valid = departure.at, departure.x, departure.valid
    filled = np.where(valid, x, x[at])
    # Backwards in time the frame that is held comes last; the first held one stands in for it.
    before = at if track.mirrored else at - 1
    held = float(x[before]) if before >= 0 and valid[before] else 0.0
    noise = track.threshold + track.settings.step
    exact = _Run(*equal_run(filled, at), float(x[at]), 0.0)
    # Exactly one value, silence with noise on it, the last good frame held with noise on it: the longest holds.
    runs = [exact]
    runs += [
        _Run(*band_run(filled, at, value, bound), value, bound) for value, bound in ((0.0, noise), (held, 2 * noise))
    ]
    runs = [run for run in runs if _is_held(track, int(np.count_nonzero(valid[run.start : run.stop])), run.bound)]
    if not runs:
        return None
    longest = max(runs, key=lambda run: run.stop)
    # One frame more within the noise may be the signal that passes there, unless it is off the sine.
    one_more = longest.stop == exact.stop + 1 and not departure.bad[exact.stop]
    run = exact if exact in runs and (exact.stop >= longest.stop or one_more) else longest
    there = np.flatnonzero(valid[run.start : run.stop])
    return _Run(run.start + int(there[0]), run.start + int(there[-1]) + 1, run.value, run.bound)


def _edges(track: Track, departure: Departure, run: _Run) -> tuple[int, int, bool]:
    """Return where a run really starts and stops, and whether its last frame is a good one that is held from there.

    The frame that is held belongs to the signal; backwards in time it is the last of the run.
    """
    x, residual, bad = departure.x, departure.residual, departure.bad
    start, stop, value = run.start, run.stop, run.value
    exact, ends = run.bound == 0.0, run.stop < len(x)
    if not exact:
        part = slice(start, departure.at + 1)
        start += change_point(residual[part], x[part] - value)
        start += int(x[start] == value != 0.0)
    elif value != 0.0 and not track.mirrored and not bad[start]:
        start += 1
    held_last = bool(ends and exact and value != 0.0 and track.mirrored and not bad[stop - 1])
    if ends and not exact:
        tail = slice(max(start, stop - EDGE_FRAMES), stop)
        stop = tail.start + change_point(x[tail] - value, residual[tail])
    return start, stop, held_last


def _is_held(track: Track, frames: int, bound: float) -> bool:
    """Tell whether a run within ``bound`` of one value is longer than the sine stays there at its peaks."""
    band = 2.0 * bound + track.settings.step
    natural = int(2.0 * math.sqrt(band / track.model.amplitude) / track.pace) + 1
    return frames >= max(LEAST_MUTED_FRAMES, natural + 2)


def _is_flat_top(track: Track, run: _Run, after: NDArray[np.float64]) -> bool:
    """Tell whether a run of equal values is a clipped peak: the same value is reached again, and never passed."""
    period, frames = math.ceil(2.0 * math.pi / track.pace), run.stop - run.start
    if frames > period // 2 or abs(run.value) <= run.bound:
        return False
    following = after[: 3 * period] * math.copysign(1.0, run.value)
    level = abs(run.value)
    reached = np.count_nonzero(following >= level - run.bound)
    return bool(reached >= frames and following.max(initial=0.0) <= level * 1.001 + run.bound)
