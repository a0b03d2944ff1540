"""Wrong frames that one explanation holds for: after them the tone of before continues, or what follows begins."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np

from rtpverify.detect.explain import FAULTS, Explanation, anything, explain_all
from rtpverify.detect.explain import Departure as Stretch
from rtpverify.detect.explain.faults.content import NoisyRepeat
from rtpverify.detect.noise_thresholds import EVENT_Z
from rtpverify.detect.tone.departure import Departure
from rtpverify.detect.tone.moves import moving_sigma
from rtpverify.detect.tone.reference import ToneReference
from rtpverify.detect.tone.settings import LEAST_WINDOW_FRAMES
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sine import Sine, fit_phasor, wrap_phase
from rtpverify.events import ClickSize, DcOffsetSize, Event, FrequencySize, GainSize, Kind, SlipSize, WordLengthSize

LONGEST_CLICK_SECONDS = 0.001
"""Longer stretches are vague where they begin: they may be the start of something that stays."""
LEAST_REPEAT_FRAMES = 8
"""A shorter stretch of something else is not looked for in what came before."""
TONE_FAULTS = tuple(fault for fault in FAULTS if not isinstance(fault, NoisyRepeat))
"""A noisy copy of a tone is the tone at another phase: no search through the past shows more."""
BEFORE_SECONDS, AFTER_SECONDS = 0.015, 0.025
"""Frames around a stretch among which its edges are looked for."""


def passes(track: Track, departure: Departure) -> bool:
    """Explain wrong frames after which the model of before holds again.

    Parameters
    ----------
    track
        The channel; it continues after the departure where it is one.
    departure
        The frames that depart.

    Returns
    -------
    bool
        Whether it is.
    """
    end = _end(track, departure)
    if end is None:
        return False
    pass_over(track, departure.frame, departure.low + end, departure.look)
    return True


def _end(track: Track, departure: Departure) -> int | None:
    """Return the index of the first frame from which on the model of before holds again; None where it does not yet."""
    wrong = departure.at + np.flatnonzero(departure.bad[departure.at :])
    there = np.cumsum(departure.valid)  # frames that are missing show no end
    last = np.append(np.flatnonzero(np.diff(there[wrong]) > departure.guard_frames), len(wrong) - 1)
    for end in (wrong[last] + 1).tolist():
        # Not only the guard: at the very end of the stream, a single wrong frame is followed by what is left.
        short = departure.final and end < len(departure.x) and end - departure.at < LEAST_REPEAT_FRAMES
        if there[-1] - there[end - 1] < departure.guard_frames and not short:
            return None
        if _same_after(track, departure, end):
            return int(end)
    return None


def fills_the_end(track: Track, departure: Departure) -> bool:
    """Report wrong frames at the end of the stream, where nothing that follows can say more.

    Parameters
    ----------
    track
        The channel.
    departure
        The frames that depart.

    Returns
    -------
    bool
        Whether there are such.
    """
    if departure.final:
        pass_over(track, departure.frame, departure.end_frame, departure.end_frame)
    return departure.final


def _same_after(track: Track, departure: Departure, end: int) -> bool:
    """Return whether the model of before holds again after wrong frames up to index ``end``.

    Where too little follows before the next departure, a vague one (slight, or long) has not ended.
    """
    begin = end + int(departure.valid[end:].argmax()) if end < len(departure.x) else end
    start, look, bad = departure.low + begin, departure.look, departure.bad[begin:]
    stop = min(look, start + track.settings.block_frames)
    bad = bad[: stop - start]
    if bad.any():
        stop = start + int(bad.argmax())
    if np.count_nonzero(departure.valid[begin : stop - departure.low]) < LEAST_WINDOW_FRAMES:
        return not _is_vague(track, departure, end) or (departure.final and stop == look)
    x, valid = track.read(start, stop)
    sine = fit_phasor(x, start, track.model.omega, valid)
    if sine is None:
        return True
    model, frames, deviation = track.model, int(np.count_nonzero(valid)), track.deviation(stop)
    if EVENT_Z * deviation > model.amplitude / 2.0:
        return False  # anything would do
    rms = float((x - model.at(start, stop))[valid].std())
    if rms > track.sigma * (1.0 + EVENT_Z / math.sqrt(2.0 * frames)) + deviation:
        return False
    expected, moves = model.amplitude_at(sine.anchor), track.moves

    def spread(sigma: float) -> float:
        return EVENT_Z * math.hypot(deviation, moving_sigma(track.sigma, sigma) * math.sqrt(2.0 / frames))

    return (
        abs(wrap_phase(sine.phase - model.phase_at(sine.anchor))) <= spread(track.phase_sigma()) / expected
        and abs(sine.amplitude - expected) <= spread(moves.level)
        and abs(sine.dc - model.dc) <= spread(moves.dc)
    )


def _is_vague(track: Track, departure: Departure, end: int) -> bool:
    """Return whether a group of wrong frames is so slight or so long that it may be the start of something."""
    group = departure.residual[departure.at : end]
    if float(np.abs(group).max()) < departure.mild_limit:
        return True
    return len(group) > LONGEST_CLICK_SECONDS * track.settings.sample_rate_hz


def pass_over(track: Track, start: int, stop: int, known: int) -> None:
    """Explain damaged frames, and follow the model of before after them; frames are known up to ``known``.

    Parameters
    ----------
    track
        The channel.
    start
        First frame.
    stop
        The frame after the last.
    known
        The frame after the last that is known.
    """
    damaged = tell_damage(track, start, stop, track.model, known)
    track.note_damage(*damaged)
    track.position = damaged[1]


def tell_damage(track: Track, start: int, stop: int, model: Sine, known: int | None = None) -> tuple[int, int]:
    """Report what frames ``start`` to ``stop`` are that the sine before, ``model``, does not explain.

    Parameters
    ----------
    track
        The channel.
    start
        First frame.
    stop
        The frame after the last.
    model
        The sine before.
    known
        Up to where the frames after are compared with the model, too; None where something else follows.

    Returns
    -------
    tuple of int
        Which frames are damaged, as far as is found.
    """
    stretch = stretch_of(track, start, stop, model, known)
    found = explanations(track, stretch, model) or [anything(stretch)]
    for explanation in found:
        tell_explanation(track, explanation)
    return min(start, found[0].start), max(stop, *(explanation.stop for explanation in found))


def explanations(track: Track, stretch: Stretch, model: Sine) -> list[Explanation]:
    """Return what explains frames that the sine before, ``model``, does not, in the order of their starts.

    Parameters
    ----------
    track
        The channel.
    stretch
        The frames.
    model
        The sine before.

    Returns
    -------
    list[Explanation]
        In order of time.
    """
    wrong = track.allowance(stretch.start + len(stretch.x), model)
    found = explain_all(stretch, wrong, TONE_FAULTS)
    if not all(item.kind is not Kind.FREQUENCY or _is_another(track, item) for item in found):
        # A frequency within its limit is no fault.
        found = explain_all(stretch, wrong, [fault for fault in TONE_FAULTS if fault.kind is not Kind.FREQUENCY])
    # Frames that neither of two explains as it should tell nothing of their edges: the first one was found for them.
    for index, (one, other) in enumerate(itertools.pairwise(found), start=1):
        if one.start < other.start < one.stop < other.stop:
            found[index] = replace(other, start=one.stop)
    return found


def _is_another(track: Track, found: Explanation) -> bool:
    return track.monitor.frequency_event(found.start, found.figure("frequency_hz")) is not None


def stretch_of(track: Track, start: int, stop: int, model: Sine, known: int | None) -> Stretch:
    """Return frames that are to be explained, and those around them.

    Parameters
    ----------
    track
        The channel.
    start
        First frame.
    stop
        The frame after the last.
    model
        The sine before.
    known
        The frame after the last that is known.

    Returns
    -------
    Stretch
        The stretch.
    """
    settings, rate_hz = track.settings, track.settings.sample_rate_hz
    low = max(start - round(BEFORE_SECONDS * rate_hz), min(track.clean_from, start))
    high = stop if known is None else min(known, stop + round(AFTER_SECONDS * rate_hz))
    x, valid = track.read(low, high)
    # The next fault is explained by itself.
    behind = np.flatnonzero(valid & (np.abs(x - model.at(low, high)) > track.allowance(high, model)))
    behind = behind[behind >= stop - low]
    if len(behind):
        x, valid = x[: behind[0]], valid[: behind[0]]
    history = np.zeros(0)
    if not track.mirrored:
        past, there = track.read(low - rate_hz, low)
        history = past if there.all() else np.where(there, past, 0.0)
    uncertain, plain = track.deviation(high, model), settings.is_plain(track.threshold)
    reference = ToneReference(model, settings, track.code, track.sigma, uncertain, plain, track.mirrored)
    return Stretch(low, x, valid, start - low, stop - low, history, reference)


def tell_explanation(track: Track, found: Explanation) -> None:
    """Report an explanation, where it passes the limits that its kind has.

    Parameters
    ----------
    track
        The channel.
    found
        The explanation.
    """
    limits, size, frames = track.settings.limits, found.size, found.stop - found.start
    event = Event(
        size, found.start, frames, message=found.message, confidence=found.confidence, alternatives=found.alternatives
    )
    if isinstance(size, GainSize) and abs(size.gain_db or 0.0) <= limits.max_level_change_db:
        return
    if isinstance(size, DcOffsetSize) and abs(size.dc_offset or 0.0) <= limits.max_dc_offset:
        return
    if isinstance(size, FrequencySize):
        named = track.monitor.frequency_event(found.start, size.frequency_hz or 0.0)
        if named is None:
            return
        event = replace(event, size=named.size, message=named.message)
    elif isinstance(size, SlipSize):
        distance = track.steps.distance_out_of_step(frames, size.slip_frames)
        # Content from ahead has not arrived before.
        if size.slip_frames is None or track.steps.ambiguous or distance is not None:
            repeat = track.steps.repeat_out_of_step(found.start, frames, size.slip_frames)
            event = replace(event, size=repeat.size, message=repeat.message)
    elif isinstance(size, WordLengthSize):
        event.fault = limits.word_length_is_fault
    elif isinstance(size, ClickSize):
        track.bit_errors += size.bit_errors or 0
    track.teller.tell(event)
