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
from rtpverify.dsp.sample_words import empty_low_bits
from rtpverify.events import DropoutSize, Event

EDGE_FRAMES = 8
"""How far before the end of a noisy dropout the signal may be back already."""
MEAN_FRAMES = 256
"""How much of a noisy dropout is averaged to find the frame that it holds."""


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
    start, stop = departure.low + _start(track, departure, run), departure.low + run.stop
    ends, held_last = run.stop < len(departure.x), False
    event = Event(DropoutSize(held_value=run.value), start)
    muted = Muted(event, run.value, run.bound)
    if ends:
        stop, held_last = _end(track, muted, stop)
    if stop - start < LEAST_MUTED_FRAMES:
        return False
    track.muted = muted
    track.position = stop
    if ends:
        track.end_muted(stop, held_last=held_last)
    return True


def follow_muted(track: Track, muted: Muted, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> None:
    """Go on with a dropout through frames ``x`` at the track's position, or to where the signal is back."""
    back = np.flatnonzero(valid & (np.abs(x - muted.value) > muted.bound))
    if len(back):
        stop, held_last = _end(track, muted, track.position + int(back[0]))
        track.end_muted(stop, held_last=held_last)
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
    step = _step(track, x[exact.stop :][valid[exact.stop :]])
    runs = [run for run in runs if _is_held(track, int(np.count_nonzero(valid[run.start : run.stop])), run.bound, step)]
    if not runs:
        return None
    longest = max(runs, key=lambda run: run.stop)
    # One frame more within the noise may be the signal that passes there, unless it is off the sine.
    one_more = longest.stop == exact.stop + 1 and not departure.bad[exact.stop]
    run = exact if exact in runs and (exact.stop >= longest.stop or one_more) else longest
    there = np.flatnonzero(valid[run.start : run.stop])
    return _Run(run.start + int(there[0]), run.start + int(there[-1]) + 1, run.value, run.bound)


def _start(track: Track, departure: Departure, run: _Run) -> int:
    """Return the index where a run really starts: the frame that is held belongs to the signal.

    Backwards in time it is the last of the run.
    """
    x, start = departure.x, run.start
    if run.bound > 0.0:
        part = slice(start, departure.at + 1)
        start += change_point(departure.residual[part], x[part] - run.value)
        is_good = bool(x[start] == run.value)
    else:
        is_good = not departure.bad[start]
    return start + int(is_good and run.value != 0.0 and not track.mirrored)


def _end(track: Track, muted: Muted, stop: int) -> tuple[int, bool]:
    """Return where a dropout ends whose value is left at frame ``stop``, and whether its last frame is a good one.

    With noise on it, the signal may be back within the noise a few frames before.
    """
    start = max(muted.event.start_frame, stop - MEAN_FRAMES)
    x, valid = track.read(start, stop)
    off, residual = np.where(valid, [x - muted.value, x - track.model.at(start, stop)], 0.0)
    if muted.bound > 0.0:
        tail = max(0, len(x) - EDGE_FRAMES)
        stop = start + tail + change_point(off[tail:], residual[tail:])
    if not track.mirrored or muted.value == 0.0:
        return stop, False
    fits = valid & (np.abs(residual) <= track.allowance(stop)) & (np.abs(off) <= muted.bound)
    if muted.bound == 0.0:
        return stop, bool(fits[-1])
    good = _held_frame(x, valid, x - residual, fits, stop - start)
    return (stop, False) if good is None else (start + good + 1, True)


def _held_frame(
    x: NDArray[np.float64], valid: NDArray[np.bool_], sine: NDArray[np.float64], fits: NDArray[np.bool_], stop: int
) -> int | None:
    """Return the index of the good frame whose value was held before it, with noise on it; None where there is none.

    Of the frames next to ``stop``, where the run seems to end, that fit the sine as well as the value, it is the one
    where the sine comes nearest to the mean of the run.
    """
    around = [index for index in (stop - 1, stop) if 0 <= index < len(x) and fits[index]]
    if not around:
        return None
    others = np.flatnonzero(~fits)
    first, last = others[others < around[0]], others[others > around[0]]
    low, high = int(first[-1]) + 1 if len(first) else 0, int(last[0]) if len(last) else len(x)
    held = x[:low][valid[:low]]
    return low + int(np.abs(sine[low:high] - held.mean()).argmin()) if len(held) else None


def _step(track: Track, after: NDArray[np.float64]) -> float:
    """Return the smallest step of what follows a run, where a shortened word length may make the sine hold a value."""
    settings = track.settings
    return settings.step * 2.0 ** (0 if settings.bits is None else empty_low_bits(after, settings.bits))


def _is_held(track: Track, frames: int, bound: float, step: float) -> bool:
    """Tell whether a run within ``bound`` of one value is longer than the sine stays there at its peaks."""
    band = 2.0 * bound + step
    if band >= 2.0 * track.model.amplitude:
        return False  # all of the sine lies within
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
