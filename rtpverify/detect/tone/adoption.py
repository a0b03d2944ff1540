"""Continuing with a tone that was found: at the start of a channel, or after it had been lost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import EVENT_Z
from rtpverify.detect.tone.absence import Absence
from rtpverify.detect.tone.acquisition import Acquired
from rtpverify.detect.tone.damage import tell_damage
from rtpverify.detect.tone.settings import ACQUISITION_BLOCKS
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sine import Sine, omega_deviation
from rtpverify.dsp.slip import slip_code
from rtpverify.events import Event, Kind

ExplainAll = Callable[[Track, int], None]
"""Explains a track up to a frame at which the signal ends."""

_CLOCK_OFF = 2e-6
"""By how much the clock of a test tone is off, relative, where it is to be a whole hertz."""
_SHORTEST_DAMAGE_FRAMES = 3
"""Fewer frames between the sine before and the sine after belong to the step from one to the other."""


def adopt(track: Track, absence: Absence, found: Acquired, explain_all: ExplainAll) -> None:
    """Take an acquired sine as the model, and explain what lies before it.

    Parameters
    ----------
    track, absence
        The channel, and what was there while no tone was.
    found
        The sine.
    explain_all
        Explains the start of the channel, seen backwards.
    """
    earlier_sigma = track.sigma
    track.sigma, track.threshold = found.sigma, track.settings.frame_threshold(found.sigma, found.peak)
    if track.code is None:
        hz = track.settings.reference_hz or _frequency_of(track, found)
        track.steps.code = slip_code(hz, track.settings.sample_rate_hz)
    absence.settle_unknown(found.start)
    start, lost, absence.lost, absence.unknown = absence.start, absence.lost, None, None
    first = _reach_back(track, found.sine, start, found.start)
    was_absent = absence.silence is not None or absence.foreign is not None
    absence.end_silence(first)
    was_foreign = absence.end_foreign(first)
    if lost is not None:
        if not was_absent and first - start >= _SHORTEST_DAMAGE_FRAMES:
            tell_damage(track, start, first, lost.sine)
        track.clean_from = first  # what lies between is damaged
        track.add_step(first, first, lost.sine, found.sine, max(track.sigma, earlier_sigma))
        track.start_anew(first)
        track.values_since = first
    elif was_foreign:
        track.start_anew(first)
    elif first > start and track.clean_from < first:
        _explain_backwards(track, found, start, explain_all)
        first = track.clean_from = found.start
    track.first = track.first or found
    track.follow(found.sine, found.stop - found.start)
    track.position = first
    track.quiet_blocks = 0
    track.ever_acquired = True


def _frequency_of(track: Track, found: Acquired) -> float:
    """Return the frequency by which lengths of slips are stated where none was stated: a whole hertz if it may be one.

    It may where noise, or what a clock may be off, explains the difference.
    """
    per_hz = 2.0 * math.pi / track.settings.sample_rate_hz
    hz = found.sine.omega / per_hz
    ratio = found.sigma / found.sine.amplitude
    spread_hz = EVENT_Z * omega_deviation(ratio, max(found.stop - found.start, 16)) / per_hz
    allowed_hz = spread_hz + _CLOCK_OFF * hz
    return float(round(hz)) if round(hz) and abs(hz - round(hz)) <= allowed_hz else hz


def _reach_back(track: Track, sine: Sine, low: int, high: int) -> int:
    """Return the first frame from ``low`` on (or a while back) from which ``sine`` holds up to ``high``."""
    low = max(low, high - 2 * ACQUISITION_BLOCKS * track.settings.block_frames)
    if high <= low:
        return high
    x, valid = track.read(low, high)
    bad = np.flatnonzero(valid & (np.abs(x - sine.at(low, high)) > 1.2 * track.threshold))
    return low + int(bad[-1]) + 1 if len(bad) else low


def _explain_backwards(track: Track, found: Acquired, start: int, explain_all: ExplainAll) -> None:
    """Explain the frames between the start of the channel and the first steady stretch, seen backwards from it.

    A sine seen backwards is a sine, so the same search serves; a jump of the content has the same length and sign.
    """
    mirror, turn = _mirror(track, found), found.start
    explain_all(mirror, turn - start)
    told: list[Event] = []
    for event in mirror.teller.events:
        if not any(event is other for other in told):
            told.append(event)
    for event in told:
        event.start_frame = turn - event.start_frame - event.duration_frames
        too_short = event.duration_frames < ACQUISITION_BLOCKS * track.settings.block_frames
        if event.kind is Kind.GAIN and event.start_frame <= start and mirror.sine is not None and not too_short:
            # Seen forwards, the level of the start is the reference, and what follows departs from it.
            track.monitor.level_reference, track.monitor.level_settled = mirror.sine.amplitude, True
            track.values_since = start + event.duration_frames
            told = [other for other in told if other is not event]
    track.teller.events += sorted(told, key=lambda event: event.start_frame)


def _mirror(track: Track, found: Acquired) -> Track:
    """Return a track that runs backwards from the first frame of an acquired sine."""
    turn, sine = found.start, found.sine

    def read(low: int, high: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        x, valid = track.read(turn - high, turn - low)
        return x[::-1], valid[::-1]

    moves = track.moves
    mirror = Track(track.settings, read, lambda *_: moves, mirrored=True)
    mirror.steps.code = track.code
    mirror.monitor.expect_tone_of(track.monitor)
    mirror.monitor.level_reference = sine.amplitude
    mirror.ever_acquired = True
    mirror.clean_from = mirror.values_since = turn - found.stop
    backwards = replace(sine, anchor=turn - 1 - sine.anchor, phase=-sine.phase, slope=-sine.slope)
    mirror.take_over(0, backwards, found.stop - found.start, track.sigma, track.threshold)
    return mirror
