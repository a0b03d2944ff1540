"""A stretch of wrong frames after which the tone of before goes on: clicks, repeats, bursts of something else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import EVENT_Z
from rtpverify.detect.tone.departure import Departure
from rtpverify.detect.tone.moves import moving_sigma
from rtpverify.detect.tone.regions import change_point, find_copy
from rtpverify.detect.tone.settings import LEAST_WINDOW_FRAMES
from rtpverify.detect.tone.steps import repeat_event
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sample_words import wrong_bits
from rtpverify.dsp.sine import Sine, fit_phasor, wrap_phase
from rtpverify.events import ClickSize, Event, NoiseSize

LONGEST_CLICK_SECONDS = 0.001
"""Longer unexplained stretches are noise."""
LEAST_REPEAT_FRAMES = 8
"""A shorter stretch of something else is not looked for in what came before."""
EDGE_FRAMES = 16
"""How far the edges of a repeat may lie outside the frames that tell it."""


def passes(track: Track, departure: Departure) -> bool:
    """Tell of a group of wrong frames behind which the model of before holds again."""
    start, end = departure.at, departure.end
    # Not only the guard: at the very end of the stream, a single wrong frame is followed by what is left.
    followed = departure.look - departure.end_frame >= departure.guard_frames or (
        departure.final and end < len(departure.x) and end - start < LEAST_REPEAT_FRAMES
    )
    if not followed or not _same_after(track, departure):
        return False
    pass_over(track, departure.frame, departure.end_frame)
    return True


def fills_the_end(track: Track, departure: Departure) -> bool:
    """Tell of wrong frames at the end of the stream, where nothing that follows can say more."""
    if departure.final:
        pass_over(track, departure.frame, departure.end_frame)
    return departure.final


def pass_over(track: Track, start: int, stop: int) -> None:
    """Tell of damaged frames and go on behind them with the model of before."""
    tell_damage(track, start, stop, track.model)
    track.note_damage(start, stop)
    track.position = stop


def _same_after(track: Track, departure: Departure) -> bool:
    """Tell whether the model of before holds again behind the first group of wrong frames.

    Where too little follows before the next departure, a vague one (slight, or long) has not ended.
    """
    start, look, bad = departure.end_frame, departure.look, departure.bad[departure.end :]
    stop = min(look, start + track.settings.block_frames)
    bad = bad[: stop - start]
    if bad.any():
        stop = start + int(bad.argmax())
    if stop - start < LEAST_WINDOW_FRAMES:
        return not (_is_vague(track, departure) and stop < look)
    x, valid = track.read(start, stop)
    sine = fit_phasor(x, start, track.model.omega, valid)
    if sine is None:
        return True
    model, frames, deviation = track.model, int(np.count_nonzero(valid)), track.deviation(stop)
    rms = float((x - model.at(start, stop))[valid].std())
    if rms > track.sigma * (1.0 + EVENT_Z / math.sqrt(2.0 * frames)) + deviation:
        return False
    expected, moves = model.amplitude_at(sine.anchor), track.moves

    def spread(sigma: float) -> float:
        return EVENT_Z * math.hypot(deviation, moving_sigma(track.sigma, sigma) * math.sqrt(2.0 / frames))

    return (
        abs(wrap_phase(sine.phase - model.phase_at(sine.anchor))) <= spread(track.phase_sigma(model)) / expected
        and abs(sine.amplitude - expected) <= spread(moves.level)
        and abs(sine.dc - model.dc) <= spread(moves.dc)
    )


def _is_vague(track: Track, departure: Departure) -> bool:
    """Tell whether a group of wrong frames is so slight or so long that it may be the start of something."""
    group = departure.residual[departure.at : departure.end]
    if float(np.abs(group).max()) < departure.mild_limit:
        return True
    return len(group) > LONGEST_CLICK_SECONDS * track.settings.sample_rate_hz


def tell_damage(track: Track, start: int, stop: int, model: Sine) -> None:
    """Tell of frames ``start`` to ``stop``, which neither the sine before, ``model``, nor the sine after explains."""
    settings, frames = track.settings, stop - start
    x, valid = track.read(start, stop)
    expected, plain = model.at(start, stop), settings.is_plain(track.threshold)
    if plain:
        expected = np.rint(expected / settings.step) * settings.step
    deviation = float(np.abs(np.where(valid, x - expected, 0.0)).max(initial=0.0))
    event = _repeat(track, start, x, valid, model)
    if event is None and frames <= LONGEST_CLICK_SECONDS * settings.sample_rate_hz:
        message = f"{frames} frame(s) off by up to {deviation:.3g} of full scale"
        bit_errors = wrong_bits(x[valid], expected[valid], settings.bits or 0) if plain else None
        track.bit_errors += bit_errors or 0
        event = Event(ClickSize(deviation=deviation, bit_errors=bit_errors), start, frames, message=message)
    elif event is None:
        message = f"{frames} frames of something else, off by up to {deviation:.3g} of full scale"
        event = Event(NoiseSize(deviation=deviation), start, frames, message=message)
    track.teller.tell(event)


def _repeat(track: Track, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_], model: Sine) -> Event | None:
    """Return the event of a damaged stretch that is an earlier one, None where it is not.

    An exact copy is one; so is the same sine out of step, where the step is that of an earlier stretch.
    """
    if len(x) < LEAST_REPEAT_FRAMES or not valid.all():
        return None
    if not track.mirrored:
        history, there = track.read(start - track.settings.sample_rate_hz, start)
        distance = find_copy(x, np.where(there, history, np.nan))
        if distance is not None:
            return repeat_event(start, len(x), distance)
    sine = fit_phasor(x - model.dc, start, model.omega, with_dc=False)
    if sine is None or np.abs(x - model.dc - sine.at(start, start + len(x))).max() > track.allowance(start, model):
        return None
    deviation = track.sigma * math.sqrt(2.0 / len(x)) / model.amplitude
    level_deviation = moving_sigma(track.sigma, track.moves.level) * math.sqrt(2.0 / len(x)) / model.amplitude
    if abs(sine.amplitude / model.amplitude - 1.0) > EVENT_Z * level_deviation + 1e-3:
        return None
    step = wrap_phase(sine.phase - model.phase_at(sine.anchor)) * (-1.0 if track.mirrored else 1.0)
    if abs(step) <= EVENT_Z * track.phase_sigma(model) * math.sqrt(2.0 / len(x)) / model.amplitude:
        return None
    slip_frames = track.code.decode(step, deviation) if track.code else None
    steps = track.steps
    if slip_frames is not None and not steps.ambiguous and steps.repeat_distance(slip_frames, len(x)) is None:
        return None  # content from ahead has not arrived before
    first, stop = _edges(track, start, start + len(x), model, replace(sine, dc=model.dc))
    return steps.repeat_out_of_step(first, stop - first, slip_frames)


def _edges(track: Track, start: int, stop: int, outside: Sine, inside: Sine) -> tuple[int, int]:
    """Return where one sine most likely gives way to another and back, near the first and last frames that tell."""
    low, high, middle = start - EDGE_FRAMES, stop + EDGE_FRAMES, (start + stop) // 2
    x, valid = track.read(low, high)
    out = np.where(valid, x - outside.at(low, high), 0.0)
    into = np.where(valid, x - inside.at(low, high), 0.0)
    half = middle - low
    return low + change_point(out[:half], into[:half]), middle + change_point(into[half:], out[half:])
