"""A departure to another sine of the same frequency, or nearly: out of step, at another level or offset."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.damage import LEAST_REPEAT_FRAMES, tell_damage
from rtpverify.detect.tone.departure import Departure
from rtpverify.detect.tone.regions import change_point, first_steady_window
from rtpverify.detect.tone.settings import LEAST_WINDOW_FRAMES
from rtpverify.detect.tone.track import LARGEST_WANDER, Muted, Track
from rtpverify.dsp.sine import Sine, fit_free, fit_phasor, wrap_phase
from rtpverify.events import DropoutSize, Event

LEAST_AMPLITUDE = 0.05
"""A sine of less than this share of the one before is a rest of it in a dropout."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of ``frames`` frames from index ``start`` on that ``sine`` explains.

    Its frequency rests on ``rate_frames`` frames.
    """

    start: int
    frames: int
    sine: Sine
    rate_frames: int


def jumps_ahead(track: Track, departure: Departure) -> bool:
    """Find the same tone further ahead behind the departure, and go on with it at once: it cannot be a repeat."""
    window = _find_window(track, departure)
    if window is None:
        return False
    sine, frames = _widen(track, departure, window)
    model = track.model
    if frames < track.settings.block_frames or track.values_differ(sine, model, window.frames):
        return False
    step = wrap_phase(sine.phase - model.phase_at(sine.anchor))
    deviation = track.sigma * math.sqrt(2.0 / frames) / model.amplitude
    if abs(sine.omega / model.omega - 1.0) > LARGEST_WANDER or not track.steps.is_from_ahead(step, deviation):
        return False
    return goes_on_as_another_sine(track, departure)


def goes_on_as_another_sine(track: Track, departure: Departure) -> bool:
    """Find another sine of the same frequency behind the departure, and go on with it."""
    window = _find_window(track, departure)
    if window is None:
        return False
    if window.sine.amplitude < LEAST_AMPLITUDE * track.model.amplitude:
        _go_on_muted(track, departure, window)
        return True
    model, low = track.model, departure.low
    sine, frames = _widen(track, departure, window)
    frame, wrong = _locate(track, departure, window, sine)
    resume = frame
    if len(wrong) > 2:
        first, last = int(wrong[0]), int(wrong[-1]) + 1
        between = _out_of_step(track, departure, slice(first, last))
        if between is not None and not track.values_differ(between, model, len(wrong)):
            # Out of step first, and something else a moment later.
            _go_out_of_step(track, low + first, between, len(wrong))
            track.position = low + last
            return True
        tell_damage(track, low + first, low + last, model)
        resume = frame = max(frame, last)
        track.note_damage(low + first, low + frame)
    track.add_step(low + frame, low + resume, model, sine)
    if track.values_differ(sine, model, window.frames):
        track.values_since = low + frame
    track.start_anew(low + frame)
    track.follow(sine, frames, window.rate_frames)
    track.position = low + window.start
    return True


def ends_out_of_step(track: Track, departure: Departure) -> bool:
    """Explain the last frames of the signal as the same sine out of step, where they are too few for a window."""
    if not departure.final:
        return False
    sine = _out_of_step(track, departure, slice(departure.at, len(departure.x)))
    if sine is None:
        return False
    _go_out_of_step(track, departure.frame, sine, departure.look - departure.frame)
    track.position = departure.look
    return True


def _find_window(track: Track, departure: Departure) -> _Window | None:
    """Return the first stretch behind the departure that one sine explains.

    A short window of the known frequency finds it soonest. Where the departure is mild, the frequency may have changed,
    which only a whole block of its own frequency shows.
    """
    found = _free_window(track, departure) if departure.begins_mildly else None
    if found is not None:
        return found
    at, omega = departure.at, track.model.omega
    frames = max(LEAST_WINDOW_FRAMES, math.ceil(3.0 * math.pi / track.pace))
    steady = first_steady_window(
        departure.x[at:],
        departure.valid[at:],
        departure.frame,
        omega,
        frames,
        track.allowance(departure.frame),
        track.rms_allowance(frames),
    )
    if steady is not None:
        return _Window(at + steady[0], frames, steady[1], track.rate_frames)
    return _free_window(track, departure)


def _free_window(track: Track, departure: Departure) -> _Window | None:
    """Return the first whole block soon after the departure that a sine of nearly the same frequency explains."""
    block = track.settings.block_frames
    for offset in (0, block // 8, block // 4, block // 2, block, 2 * block):
        start = departure.at + offset
        part = slice(start, start + block)
        if part.stop > len(departure.x):
            break
        fit = fit_free(departure.x[part], departure.low + start, track.model.omega, departure.valid[part])
        if fit is not None and fit.peak <= track.fit_allowance(fit):
            return _Window(start, block, fit.sine, block)
    return None


def _go_on_muted(track: Track, departure: Departure, window: _Window) -> None:
    """Begin a dropout that lets a little of the tone through."""
    dc, held = window.sine.dc, departure.x[window.start : window.start + window.frames]
    bound = 1.5 * float(np.abs(held - dc).max())
    track.muted = Muted(Event(DropoutSize(), departure.frame), dc, bound)
    track.position = departure.low + window.start


def _widen(track: Track, departure: Departure, window: _Window) -> tuple[Sine, int]:
    """Fit the sine of a window again to as much of what follows as it explains; return it and how many frames."""
    low, x, valid, sine = departure.low, departure.x, departure.valid, window.sine
    start, end = window.start, window.start + window.frames

    def wrong(sine: Sine) -> NDArray[np.bool_]:
        limit = track.threshold + 4.0 * track.sigma * math.sqrt(8.0 / window.frames)
        return (np.abs(x - sine.at(low, low + len(x))) > limit) & valid

    behind = np.flatnonzero(wrong(sine)[end:])
    stop = end + int(behind[0]) if len(behind) else len(x)
    if sine.slope:
        return sine, window.frames
    wider = fit_phasor(x[start:stop], low + start, sine.omega, valid[start:stop])
    # A sine that explains what follows, and the window no more, is none to go on with.
    if wider is None or wrong(wider)[start:end].any():
        return sine, window.frames
    return wider, stop - start


def _locate(track: Track, departure: Departure, window: _Window, after: Sine) -> tuple[int, NDArray[np.intp]]:
    """Return the index of the first frame of the sine after, and those of frames that neither sine explains."""
    low, x, valid, before = departure.low, departure.x, departure.valid, departure.residual
    behind = np.where(valid, x - after.at(low, low + len(x)), 0.0)
    part = slice(max(0, track.clean_from - low), window.start + window.frames)
    frame = part.start + change_point(before[part], behind[part])
    while not valid[frame]:
        frame += 1  # what lies in a hole is told by the first frame behind it
    unexplained = np.concatenate([np.abs(before[:frame]), np.abs(behind[frame:])]) > track.allowance(departure.frame)
    return frame, departure.at + np.flatnonzero(unexplained[departure.at : window.start])


def _out_of_step(track: Track, departure: Departure, part: slice) -> Sine | None:
    """Return the sine that explains a few frames as the same tone out of step, None where it does not."""
    model, low = track.model, departure.low
    x, valid = departure.x[part], departure.valid[part]
    if len(x) < LEAST_REPEAT_FRAMES:
        return None
    sine = fit_phasor(x - model.dc, low + part.start, model.omega, valid, with_dc=False)
    if sine is None:
        return None
    sine = replace(sine, dc=model.dc)
    off = np.where(valid, x - sine.at(low + part.start, low + part.stop), 0.0)
    return sine if np.abs(off).max() <= track.allowance(low + part.stop) else None


def _go_out_of_step(track: Track, frame: int, sine: Sine, frames: int) -> None:
    """Go on with a sine that ``frames`` frames from ``frame`` on tell."""
    model = track.model
    track.add_step(frame, frame, model, sine)
    if track.values_differ(sine, model, frames):
        track.values_since = frame
    track.start_anew(frame)
    track.follow(sine, frames, track.rate_frames)
