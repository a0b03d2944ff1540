"""A departure that is only a slow change of the sine."""

from __future__ import annotations

import math

import numpy as np

from rtpverify.detect.tone.departure import Departure
from rtpverify.detect.tone.monitor import Reading
from rtpverify.detect.tone.phase import go_on_out_of_phase, is_noticed, phase_step
from rtpverify.detect.tone.regions import equal_run
from rtpverify.detect.tone.settings import LEAST_WINDOW_FRAMES
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sine import distinct_phases, fit_free

MOST_SINGLE = 2
"""Frames that depart by themselves."""
RECURRENCES = 3
"""How often a frame departs again before it is no fault of that frame."""


def drifts(track: Track, departure: Departure) -> bool:
    """Follow a departure that is only a slow change of the sine: one fit across it leaves nothing.

    Parameters
    ----------
    track
        The channel; it continues after the departure where it is one.
    departure
        The departure.

    Returns
    -------
    bool
        Whether it is.
    """
    block, low, at = track.settings.block_frames, departure.low, departure.at
    stop = min(at + block // 2, len(departure.x))
    first = max(stop - block, track.clean_from - low, 0)
    followed = stop - at >= LEAST_WINDOW_FRAMES or departure.final
    # What is left at the end of a stream is held against a model that may be some blocks old.
    mild = departure.begins_mildly or departure.final
    if not mild or stop - first < LEAST_WINDOW_FRAMES or not followed:
        return False
    fit = fit_free(departure.x[first:stop], low + first, track.model.omega, departure.valid[first:stop])
    if fit is None or fit.peak > track.fit_allowance(fit):
        return False
    if np.count_nonzero(departure.bad) <= MOST_SINGLE and not _recurs(track, departure):
        # A drift would take more and more frames along. This one is in the middle of the fit, where it is certain.
        off = np.abs(departure.x[first:stop] - fit.sine.at(low + first, low + stop))
        if off[departure.bad[first:stop]].max(initial=0.0) > track.threshold:
            return False
    if fit.rms > track.fit_rms_allowance(fit):
        return False
    step = phase_step(track, low + first, low + stop)
    if step.rms < fit.rms and is_noticed(track, step):
        go_on_out_of_phase(track, step)
        track.position = low + stop
        return True
    if track.values_differ(fit.sine, track.model, fit.frames):
        track.values_since = max(low + first, track.values_since)
    track.follow(fit.sine, fit.frames)
    track.position = low + stop
    track.judge(Reading.of(low + first, fit, fit, fit, track.sigma, track.moves))
    return True


def _recurs(track: Track, departure: Departure) -> bool:
    """Return whether the frame departs, before or after, wherever the tone is at its phase.

    That is how plain rounding changes where the few phases of a tone move on slowly.
    """
    if not track.settings.is_plain(track.threshold):
        return False
    phases, at = distinct_phases(track.model.omega, track.settings.block_frames), departure.at
    same = departure.residual[at % phases :: phases]
    departs = same * math.copysign(1.0, departure.residual[at]) > track.threshold
    start, stop = equal_run(departs.astype(np.float64), at // phases)
    return stop - start > RECURRENCES
