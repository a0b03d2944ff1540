"""Faults that last: from the frame at which one begins, what it makes of the tone is what is expected.

A departure that is not over soon is explained by its first frames. The sine that is there then is followed, with the
noise that is there, until frames are again as they were before the fault; the frames around its end show where that is.
Faults within it depart from what is expected then, and are explained as all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain import FAULTS, Explanation, explain
from rtpverify.detect.explain import Departure as Stretch
from rtpverify.detect.noise_thresholds import EVENT_Z, FRAME_Z, SMALLEST_NOISE
from rtpverify.detect.tone.absence import Absence
from rtpverify.detect.tone.acquisition import LARGEST_RESIDUAL
from rtpverify.detect.tone.damage import explanations, stretch_of, tell_explanation
from rtpverify.detect.tone.departure import Departure
from rtpverify.detect.tone.forms import harmonics_db
from rtpverify.detect.tone.monitor import Reading, Values
from rtpverify.detect.tone.quiet import MODEL_BLOCKS
from rtpverify.detect.tone.reference import ToneReference
from rtpverify.detect.tone.settings import LEAST_WINDOW_FRAMES, noise_power_range
from rtpverify.detect.tone.steps import GRACE_FRAMES
from rtpverify.detect.tone.track import Lasting, Muted, Track
from rtpverify.dsp.levels import DB_PER_NEPER, FULL_SCALE_SINE_RMS, dbfs, decibels
from rtpverify.dsp.sine import FreeFit, Sine, fit_free, fit_phasor, omega_deviation
from rtpverify.events import SIZES, Event, Kind, SlipSize

STEPS = frozenset({Kind.SLIP, Kind.REPEAT, Kind.POLARITY})
"""What shows as a step of the tone's phase."""
ANOTHER_SINE = frozenset({Kind.GAIN, Kind.DC_OFFSET, Kind.FREQUENCY})
"""What makes another sine of it."""
ASPECTS = {
    Kind.GAIN: "level",
    Kind.DC_OFFSET: "dc",
    Kind.FREQUENCY: "frequency",
    Kind.CLIPPING: "residual",
    Kind.DISTORTION: "residual",
    Kind.NOISE: "residual",
    Kind.WORD_LENGTH: "residual",
}
"""Which limit a fault that leaves a tone passes."""
_WITH_VALUES = frozenset({"frequency", "residual"})
"""Those of faults that come with a level and an offset of their own."""
_SURROUNDINGS_BLOCKS = 4
"""Blocks before a fault is seen to be over that are searched for its end: the first half of them is the fault's."""


@dataclass(frozen=True)
class _Begun:
    """What a departure is the beginning of.

    Attributes
    ----------
    stretch, found
        Its frames, and what explains them.
    lasting
        The one of these that is not over.
    known
        Frame up to which it is known: the next of these that is not over begins there.
    """

    stretch: Stretch
    found: list[Explanation]
    lasting: Explanation
    known: int

    @property
    def within(self) -> list[Explanation]:
        """What is over, within it or before."""
        return [item for item in self.found if item.ended and item is not self.lasting and item.start < self.known]


def _begun(track: Track, departure: Departure) -> _Begun | None:
    """Return what has begun and is not over; None where nothing has."""
    stretch = stretch_of(track, departure.frame, departure.look, track.model, None)
    found = explanations(track, stretch, track.model)
    lasting = next((item for item in found if not item.ended), None)
    # A jump that gives way to something else is no return.
    jumps = [one for one, other in pairwise(found) if one.kind in STEPS and 0 <= other.start - one.stop <= GRACE_FRAMES]
    if jumps and (lasting is None or jumps[0].start < lasting.start):
        lasting = jumps[0]
    if lasting is None:
        return None
    after = [item.start for item in found if item.start > lasting.start and (not item.ended or item in jumps)]
    known = min([departure.look, *after, *([lasting.stop] if lasting.ended else [])])
    return None if known - lasting.start < LEAST_WINDOW_FRAMES else _Begun(stretch, found, lasting, known)


def lasts(track: Track, absence: Absence, soon: Departure, later: Departure) -> bool:
    """Explain what has begun and is not over, and continue with what it makes of the tone.

    Parameters
    ----------
    track
        The channel.
    absence
        What is known of a tone that is not there.
    soon, later
        The frames that depart, for a short while and for a longer one.

    Returns
    -------
    bool
        Whether something explains it.
    """
    begun = _begun(track, later)
    if begun is None or begun.lasting.kind is Kind.NOISE:
        # Of several faults in a row noise explains most; the first frames tell the first of them.
        first = _begun(track, soon)
        begun = first if first is not None and first.lasting.kind in STEPS | ANOTHER_SINE else begun
    return begun is not None and _continue_with(track, absence, begun)


def jumps_ahead(track: Track, absence: Absence, soon: Departure) -> bool:
    """Continue at once with the tone from further ahead: it has not arrived before, and so is no copy that may end.

    Parameters
    ----------
    track
        The channel.
    absence
        What is known of a tone that is not there.
    soon
        The frames that depart, for a short while.

    Returns
    -------
    bool
        Whether it does.
    """
    begun = _begun(track, soon)
    if begun is None or begun.lasting.ended or not isinstance(begun.lasting.size, SlipSize):
        return False
    if begun.known - begun.lasting.start < track.settings.block_frames:
        return False
    return track.steps.is_from_ahead(begun.lasting.size.slip_frames) and _continue_with(track, absence, begun)


def _continue_with(track: Track, absence: Absence, begun: _Begun) -> bool:
    """Continue with what has begun; return whether there is something to continue with."""
    stretch, lasting, known = begun.stretch, begun.lasting, begun.known
    if lasting.kind is Kind.DROPOUT:
        _begin_muted(track, stretch, lasting, known)
    elif lasting.kind is Kind.BYTE_ORDER:
        absence.lose_tone(lasting.start)
        absence.begin_foreign(_event_of(lasting), known)
    elif lasting.kind in STEPS:
        if not _step(track, stretch, lasting, known, max([lasting.start, *(item.stop for item in begun.within)])):
            return False
    elif lasting.kind not in ASPECTS or not _follow(track, absence, stretch, lasting, known):
        return False
    for item in begun.within:
        tell_explanation(track, item)
    return True


def _step(track: Track, stretch: Stretch, found: Explanation, known: int, resume: int) -> bool:
    """Have a step of the phase measured, and continue with the sine that is undisturbed from frame ``resume`` on."""
    before, rate_frames = track.model, track.rate_frames
    fit = _fit(track, stretch, found, known, before.omega)
    if known - found.start < track.settings.block_frames:
        fit = _fit_known(stretch, found, known, before.omega)  # too short for a frequency of its own
    if fit is None:
        return False
    track.add_step(found.start, resume, before, fit.sine)
    _take(track, fit, found.start)
    track.follow(fit.sine, fit.frames, max(fit.frames, rate_frames))
    if resume > found.start:
        track.note_damage(found.start, resume)
    track.monitor.judge(_reading(track, fit), found.start)
    track.position = known
    return True


def _fit_known(stretch: Stretch, found: Explanation, known: int, omega: float) -> FreeFit | None:
    """Fit a sine of a known frequency to the frames up to ``known`` that a fault explains."""
    part = slice(found.start - stretch.start, known - stretch.start)
    fits = (stretch.valid & found.fits)[part]
    sine = fit_phasor(stretch.x[part], found.start, omega, fits)
    if sine is None:
        return None
    left = (stretch.x[part] - sine.at(found.start, known))[fits]
    return FreeFit(sine, float(left.std()), float(np.abs(left).max()), len(left))


def _fit(track: Track, stretch: Stretch, found: Explanation, known: int, omega: float) -> FreeFit | None:
    """Fit a sine near ``omega`` to the last frames that a fault explains, of those up to ``known``."""
    start = max(found.start, known - MODEL_BLOCKS * track.settings.block_frames)
    part = slice(start - stretch.start, known - stretch.start)
    return fit_free(stretch.x[part], start, omega, (stretch.valid & found.fits)[part])


def _follow(track: Track, absence: Absence, stretch: Stretch, found: Explanation, look: int) -> bool:
    """Continue with the sine that is there while a fault lasts; return whether there is one, or surely none."""
    settings, before = track.settings, track.model
    omega = before.omega
    if found.kind is Kind.FREQUENCY:
        omega = 2.0 * math.pi * found.figure("frequency_hz") / settings.sample_rate_hz
    fit = _fit(track, stretch, found, look, omega)
    if found.kind is Kind.NOISE and (fit is None or fit.rms > LARGEST_RESIDUAL * fit.sine.amplitude):
        absence.lose_tone(found.start)
        absence.begin_foreign(_event_of(found), look)
        return True
    if fit is None or (found.kind is Kind.NOISE and fit.rms <= track.rms_allowance(fit.frames)):
        return False  # the same tone as clean as before, but elsewhere
    lasting = Lasting(found.kind, ASPECTS[found.kind], found.start, before, track.sigma, track.threshold)
    _take(track, fit, found.start)
    if lasting.aspect in _WITH_VALUES:
        values = Values(fit.sine.amplitude, fit.sine.dc, fit.frames, fit.frames)
        lasting = replace(lasting, values=track.monitor.expect(values))
    track.lasting.append(lasting)
    if lasting.aspect == "residual":
        x = stretch.x[: look - stretch.start][-fit.frames :]
        if fit.rms > settings.residual_limit(fit.sine.amplitude):
            track.monitor.begin(lasting.aspect, _residual_event(track, found, x, fit), look)
    else:
        track.monitor.judge(_reading(track, fit), found.start)
    opened = track.monitor.opened(lasting.aspect)
    if opened is not None and opened.start_frame == found.start:
        opened.confidence, opened.alternatives = found.confidence, found.alternatives
    else:
        track.forget(lasting)
    track.position = look
    return True


def _begin_muted(track: Track, stretch: Stretch, found: Explanation, known: int) -> None:
    """Begin a dropout of which frames up to ``known`` are known."""
    value = found.figure("held_value")
    inside = slice(found.start - stretch.start, known - stretch.start)
    off = np.abs(stretch.x - value)[inside][(stretch.valid & found.fits)[inside]]
    bound = FRAME_Z * found.noise.rms if off.any() else 0.0
    track.muted = Muted(_event_of(found), value, bound)
    track.position = known
    track.teller.grow(track.muted.event, known, track.muted.text)


def ends_muted(track: Track, muted: Muted, departure: Departure) -> None:
    """End a dropout that a departure is no part of, and before it what the signal of before explains as well.

    Parameters
    ----------
    track
        The channel.
    muted
        The dropout.
    departure
        The frames that depart.
    """
    low = max(muted.event.start_frame, departure.frame - _SURROUNDINGS_BLOCKS * track.settings.block_frames)
    stretch = stretch_of(track, low, departure.frame, track.model, departure.look)
    found = explain(stretch, [fault for fault in FAULTS if fault.kind is Kind.DROPOUT])
    track.end_muted(departure.frame if found is None else found.stop)


def returns(track: Track, departure: Departure) -> bool:
    """End what lasts where frames are as they were before it, and continue with them.

    Parameters
    ----------
    track
        The channel.
    departure
        The frames that depart.

    Returns
    -------
    bool
        Whether they are.
    """
    for depth, lasting in enumerate(track.lasting):
        start = max(departure.frame, departure.look - MODEL_BLOCKS * track.settings.block_frames)
        part = slice(start - departure.low, None)
        fit = fit_free(departure.x[part], start, lasting.before.omega, departure.valid[part])
        if fit is not None and _is_as_before(track, lasting, fit):
            low = max(lasting.start, departure.frame - _SURROUNDINGS_BLOCKS * track.settings.block_frames)
            around, spread = slice(low, departure.look), fit.rms * math.sqrt(5.0 / fit.frames)
            found = _among_order(track, lasting, around, fit.sine, spread, (departure.frame - low) // 2)
            stop = departure.frame if found is None else found.stop
            track.add_step(stop, stop, track.model, fit.sine)
            track.sigma, track.threshold = lasting.sigma, lasting.threshold
            ended = track.lasting[depth:]
            track.forget(*ended)
            _take(track, fit, stop)
            track.monitor.judge(_reading(track, fit), stop)
            track.monitor.close(stop, *(item.aspect for item in ended))
            track.position = departure.look
            return True
    return False


def finish(track: Track, stop: int) -> None:
    """End what lasts up to the end of the stream, at the last frame that shows it.

    Parameters
    ----------
    track
        The channel.
    stop
        The frame after the last.
    """
    for lasting in reversed(track.lasting):
        if lasting.aspect != "residual" or track.sine is None:
            continue
        low = max(lasting.start, stop - _SURROUNDINGS_BLOCKS * track.settings.block_frames)
        x, valid = track.read(low, stop)
        fit = fit_free(x, low, track.model.omega, valid)
        if fit is None:
            continue
        sine = replace(fit.sine, amplitude=lasting.before.amplitude, dc=lasting.before.dc, slope=0.0)
        found = _among_order(track, lasting, slice(low, stop), sine, fit.rms * math.sqrt(5.0 / fit.frames))
        if found is None:
            continue
        # The sine is known better by the frames that the fault leaves as they are.
        same = valid & (np.abs(found.signal - sine.at(low, stop)) <= SMALLEST_NOISE)
        again = fit_free(x, low, sine.omega, same) if np.count_nonzero(same) >= LEAST_WINDOW_FRAMES else None
        if again is not None:
            spread = again.rms * math.sqrt(5.0 / again.frames)
            found = _among_order(track, lasting, slice(low, stop), again.sine, spread) or found
        track.monitor.close(found.stop, lasting.aspect)


def seems_as_before(track: Track, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> bool:
    """Return whether frames ``start`` … in which none departs, half a block at least, are as before what lasts.

    Parameters
    ----------
    track
        The channel.
    start
        First frame.
    x
        The frames, shape (n,).
    valid
        Which of them are there, shape (n,).

    Returns
    -------
    bool
        Whether they are.
    """
    if np.count_nonzero(valid) < track.settings.block_frames // 2:
        return False
    fits = [(lasting, fit_free(x, start, lasting.before.omega, valid)) for lasting in track.lasting]
    return any(fit is not None and _is_as_before(track, lasting, fit) for lasting, fit in fits)


def _is_as_before(track: Track, lasting: Lasting, fit: FreeFit) -> bool:
    """Return whether frames are those of the tone as it was before a fault, at whatever phase."""
    limits, before, sine, n = track.settings.limits, lasting.before, fit.sine, fit.frames
    spread = EVENT_Z * lasting.sigma * math.sqrt(4.0 / n)
    rate_spread = EVENT_Z * omega_deviation(lasting.sigma / before.amplitude, n)
    level = limits.max_level_change_db / DB_PER_NEPER / 2.0 * before.amplitude
    return (
        fit.rms <= track.rms_allowance(n, lasting.sigma)
        and abs(sine.omega - before.omega) <= limits.max_frequency_error_ppm / 2e6 * before.omega + rate_spread
        and abs(sine.amplitude - before.amplitude) <= max(spread, level)
        and abs(sine.dc - before.dc) <= max(spread, limits.max_dc_offset / 2.0)
    )


def _among_order(
    track: Track, lasting: Lasting, frames: slice, sine: Sine, spread: float, wrong: int | None = None
) -> Explanation | None:
    """Return what a fault that lasts explains better than ``sine``, the tone in order, does.

    Parameters
    ----------
    frames
        Around the end of the fault.
    spread
        How far noise may have taken the sine.
    wrong
        So many of the frames are surely the fault's; None: all.
    """
    settings = track.settings
    x, valid = track.read(frames.start, frames.stop)
    plain = settings.is_plain(lasting.threshold)
    reference = ToneReference(sine, settings, track.code, lasting.sigma, spread, plain, track.mirrored)
    stop = len(x) if wrong is None else max(1, wrong)
    stretch = Stretch(frames.start, x, valid, 0, stop, np.zeros(0), reference)
    return explain(stretch, [fault for fault in FAULTS if fault.kind is lasting.kind])


def _take(track: Track, fit: FreeFit, frame: int) -> None:
    """Continue with a sine that holds from a frame on, and with its noise where that is another."""
    low, high = noise_power_range(fit.frames, np.array(track.power_spread))
    if fit.peak > track.threshold or not low < (fit.rms / track.sigma) ** 2 < high:
        track.sigma = max(fit.rms, SMALLEST_NOISE)
        track.threshold = track.settings.frame_threshold(track.sigma, fit.peak)
    track.values_since = frame
    track.unsettled = False
    track.start_anew(frame)
    track.follow(fit.sine, fit.frames)


def _reading(track: Track, fit: FreeFit) -> Reading:
    start = round(fit.sine.anchor - (fit.frames - 1) / 2.0)
    return Reading.of(start, fit, fit, fit, track.sigma, track.moves)


def _residual_event(track: Track, found: Explanation, x: NDArray[np.float64], fit: FreeFit) -> Event:
    """Return the event of what leaves a residual of the tone, with all that its kind measures."""
    size = found.size.as_dict()
    measured = {
        "residual_dbfs": round(dbfs(fit.rms), 4),
        "thd_plus_n_db": round(decibels(fit.rms / (fit.sine.amplitude * FULL_SCALE_SINE_RMS)), 4),
        "thd_db": harmonics_db(x, fit) if "thd_db" in size else None,
    }
    size |= {name: value for name, value in measured.items() if name in size}
    event = _event_of(replace(found, size=SIZES[found.kind](**size)))
    event.fault = found.kind is not Kind.WORD_LENGTH or track.settings.limits.word_length_is_fault
    return event


def _event_of(found: Explanation) -> Event:
    return Event(
        found.size, found.start, message=found.message, confidence=found.confidence, alternatives=found.alternatives
    )
