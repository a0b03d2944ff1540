"""Following a tone through blocks in which no frame departs.

Each block refines the sine. What is too small for single frames shows in the block as a whole: a phase, level, offset
or noise that is not that of before.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import BLOCK_Z, SMALLEST_NOISE
from rtpverify.detect.tone.monitor import Reading
from rtpverify.detect.tone.phase import go_on_out_of_phase, phase_step
from rtpverify.detect.tone.regions import change_point, variance_change_point
from rtpverify.detect.tone.settings import noise_power_range
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sine import FreeFit, fit_free, wrap_phase

MODEL_BLOCKS = 8
"""How much of the undisturbed signal before a frame the model rests on, at most."""


def follow_quiet(track: Track, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> None:
    """Follow frames ``start`` …, at most a block of them, in which none departs.

    Parameters
    ----------
    track
        The channel; its model is that of before.
    start
        First frame.
    x, valid
        Frames, and which of them are there, shape (n,).
    """
    block, stop = track.settings.block_frames, start + len(x)
    frames = int(np.count_nonzero(valid))
    if frames < block // 2:
        return
    local = fit_free(x, start, track.model.omega, valid)
    if local is None:
        return
    if _phase_steps(track, start, x, local) or _values_change(track, start, stop, local):
        track.quiet_blocks = 0
        return
    track.exact_frames += frames
    if len(x) == block:
        track.quiet_blocks += 1
    low, whole = _refine(track, start, stop, local)
    track.follow(whole.sine, whole.frames)
    # Values that changed since are measured on what came after the change.
    moved = track.values_since > low
    values, values_from = (local, start) if moved else (whole, low)
    track.judge(Reading.of(values_from, values, local, whole, track.sigma, track.moves))


def _phase_steps(track: Track, start: int, x: NDArray[np.float64], local: FreeFit) -> bool:
    """Continue after a step of the phase where the block's own is not that of the model; return whether it is not.

    The step may be anywhere in the block, or late in the one before, which did not show it.
    """
    model, stop = track.model, start + len(x)
    deviation = math.hypot(track.deviation(stop), track.phase_sigma() * math.sqrt(2.0 / local.frames))
    phase = wrap_phase(local.sine.phase - model.phase_at(local.sine.anchor))
    if abs(phase) <= max(BLOCK_Z * deviation / model.amplitude, track.noticed_phase):
        return False
    go_on_out_of_phase(track, phase_step(track, max(track.clean_from, start - track.settings.block_frames), stop))
    return True


def _values_change(track: Track, start: int, stop: int, local: FreeFit) -> bool:
    """Follow level, offset and noise: two blocks in a row that differ mean that they have changed, and when."""
    power = (local.rms / track.sigma) ** 2
    low_power, high_power = noise_power_range(local.frames, np.array(track.power_spread))
    noise_differs = not bool(low_power < power < high_power)
    if not noise_differs and not track.values_differ(local.sine, track.model, local.frames):
        track.unsettled = False
        return False
    if not track.unsettled:
        track.unsettled = True
        return True
    track.unsettled = False
    low = max(track.clean_from, start - 2 * track.settings.block_frames)
    x, valid = track.read(low, stop)
    before = np.where(valid, x - track.model.at(low, stop), 0.0)
    if noise_differs:
        frame = low + variance_change_point(before)
        track.sigma = max(local.rms, SMALLEST_NOISE)
        track.threshold = track.settings.frame_threshold(track.sigma, local.peak)
    else:
        frame = low + change_point(before, np.where(valid, x - local.sine.at(low, stop), 0.0))
    track.values_since = frame
    track.start_anew(frame)
    track.follow(local.sine, local.frames)
    return True


def _refine(track: Track, start: int, stop: int, local: FreeFit) -> tuple[int, FreeFit]:
    """Fit the sine to as much of what is undisturbed as one sine explains; return its first frame and the fit."""
    for blocks in (MODEL_BLOCKS, MODEL_BLOCKS // 2, MODEL_BLOCKS // 4):
        low = max(track.clean_from, stop - blocks * track.settings.block_frames)
        if low >= start:
            break
        x, valid = track.read(low, stop)
        whole = fit_free(x, low, track.model.omega, valid)
        if whole is None:
            break
        # More than chance adds is a drift: too long for one sine.
        if whole.rms <= max(local.rms, track.sigma) * (1.0 + BLOCK_Z / math.sqrt(2.0 * whole.frames)):
            return low, whole
    return start, local
