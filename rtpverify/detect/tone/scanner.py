"""Frame-by-frame explanation of one channel where it is not plainly clean.

The scanner carries a model (the sine of before) forward block by block. Where the signal departs from it, the scanner
looks a fixed number of frames ahead, so that what it concludes depends on the signal alone and not on how the input
was cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.acquisition import Acquired, acquire
from rtpverify.detect.tone.forms import residual_form
from rtpverify.detect.tone.monitor import Form, Monitor, Reading, nominal_frequency
from rtpverify.detect.tone.regions import (
    change_point,
    equal_run,
    find_copy,
    first_cluster_end,
    first_steady_window,
    variance_change_point,
)
from rtpverify.detect.tone.settings import SMALLEST_NOISE, Settings
from rtpverify.detect.tone.steps import Step, StepResolver
from rtpverify.dsp.sine import Sine, fit_free, fit_phasor, wrap_phase
from rtpverify.dsp.slip import FALSE_ALARM_Z, SlipCode, slip_code
from rtpverify.events import Event, Kind

Read = Callable[[int, int], tuple[NDArray[np.float64], NDArray[np.bool_]]]

LOOKAHEAD_BLOCKS = 3
"""How far past a departure the scanner looks before it decides."""
ACQUISITION_BLOCKS = 5
"""How much of the signal an acquisition looks at."""
MODEL_BLOCKS = 8
"""How much of the undisturbed signal before a frame the model rests on, at most."""
LEAST_MUTED_FRAMES = 3
"""Shorter runs of equal values are wrong frames, not a dropout."""
LONGEST_CLICK_SECONDS = 0.001
"""Longer unexplained stretches are noise."""
LEAST_WINDOW_FRAMES = 64
GUARD_FRAMES = 32
"""Good frames that separate one group of wrong frames from the next."""
TELL_OPEN_SECONDS = 0.2
"""A dropout or silence that lasts longer is told while it still goes on."""
NOISE_POWER_RANGE = (0.65, 1.45)
"""Residual power of a block relative to the channel's own: outside, the noise has changed."""


@dataclass(slots=True)
class _Muted:
    """A stretch that is muted or held at ``value``, within ``bound`` of it."""

    event: Event
    value: float
    bound: float


class Scanner:
    """One channel of one stream, while it is not plainly clean.

    Parameters
    ----------
    settings
        Format, reference and limits.
    read
        Gives frames ``start`` to ``stop`` of the channel and which of them are valid.
    mirrored
        Whether ``read`` runs backwards in time.
    """

    def __init__(self, settings: Settings, read: Read, *, mirrored: bool = False) -> None:
        self.settings = settings
        self.read = read
        self.position = 0
        """First frame that is not explained yet."""
        self.model: Sine | None = None
        self.model_frames = 0
        self.sigma = SMALLEST_NOISE
        self.threshold = math.inf
        self.clean_from = 0
        """End of the last event: from here on the signal is undisturbed."""
        self.values_since = 0
        """Where the present level, offset and noise began."""
        self.quiet_blocks = 0
        self.ever_acquired = False
        self.events: list[Event] = []
        self.code: SlipCode | None = None
        self.monitor = Monitor(settings, self.events.append, self._form)
        self.steps = StepResolver(settings, read, self.events.append)
        self._mirrored = mirrored
        self._muted: _Muted | None = None
        self._silence: Event | None = None
        self._lost: tuple[int, Sine] | None = None
        self._foreign: Event | None = None
        self._strange_blocks = 0
        self._judged_until = 0
        self._undisturbed_before: tuple[int, int] = (0, 0)

    @property
    def quiet(self) -> bool:
        """Whether the channel may be judged block by block again."""
        return self.model is not None and self._muted is None and self.quiet_blocks >= 2

    @property
    def horizon(self) -> int:
        """Frame up to which every event that begins there has been told."""
        frame = self.position
        muted = self._muted.event if self._muted is not None else None
        for event in (muted, self._silence, self._foreign):
            if event is not None and not event.open:
                frame = min(frame, event.start_frame)
        if self._lost is not None and self._foreign is None:
            frame = min(frame, self._lost[0])
        return self.steps.horizon(frame)

    def advance(self, limit: int, *, final: bool = False) -> None:
        """Explain the channel up to frame ``limit``, as far as that can be decided, or until it is quiet again."""
        while self.position < limit and (final or not self.quiet):
            if not (self._scan(limit, final) if self.model is not None else self._acquire(limit, final)):
                break
        self.steps.resolve(min(limit, self.position), self.sigma, final=final)

    def finish(self, stop: int) -> None:
        """End everything that is still open at the end of the stream."""
        self.steps.resolve(stop, self.sigma, final=True)
        if self._muted is not None:
            self._end(self._muted.event, stop, self._muted_text(self._muted))
        if self._silence is not None:
            self._end_silence(stop)
        if self._foreign is not None:
            self._end(self._foreign, stop)
        elif self._lost is not None:
            self._tell_damage(self._lost[0], stop, self._lost[1])
        self.monitor.close(stop)

    def take_over(self, frame: int, model: Sine, frames: int, sigma: float, threshold: float) -> None:
        """Go on from ``frame`` where the bank stopped, with its model, which rests on ``frames`` frames."""
        self.position = frame
        self.model, self.model_frames = model, frames
        self.sigma, self.threshold = sigma, threshold
        self.quiet_blocks = 0
        self._strange_blocks = 0

    # Acquisition ----------------------------------------------------------------------------------------------------

    def _acquire(self, limit: int, final: bool) -> bool:
        """Find the sine from the present position on; return whether anything was decided."""
        stop = self.position + ACQUISITION_BLOCKS * self.settings.block_frames
        if limit < stop:
            if not final:
                return False
            stop = limit
        x, valid = self.read(self.position, stop)
        if not valid.any():
            self.position = stop
            return True
        silent = self._leading_silence(x, valid)
        if silent:
            self._go_on_silent(silent)
            if silent == len(x):
                return True
        if self._silence is not None:
            self._end_silence(self.position)
            return True
        found = acquire(self.settings, x, valid, self.position, self.monitor.nominal_hz)
        if found is None:
            self._stay_lost(stop)
        else:
            self._adopt(found)
        return True

    def _leading_silence(self, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> int:
        """Return how many frames at the start hold one value, 0 where a sine might do so too."""
        first = int(valid.argmax())
        run = equal_run(np.where(valid, x, x[first]), first)[1]
        run = int(np.flatnonzero(valid[:run])[-1]) + 1
        lowest_hz = self.settings.reference_hz or 20.0
        least = max(LEAST_MUTED_FRAMES, int(self.settings.sample_rate_hz / lowest_hz / 8.0) + 1)
        return run if run >= min(least, len(x)) else 0

    def _go_on_silent(self, frames: int) -> None:
        if self._silence is None:
            self._silence = Event(Kind.DROPOUT if self.ever_acquired else Kind.SILENCE, self.position)
        self.position += frames
        self._grow(self._silence, self.position, "no signal for")

    def _end_silence(self, stop: int) -> None:
        event, self._silence = self._silence, None
        if event is not None:
            self._end(event, stop)
            self.clean_from = self.values_since = stop

    def _stay_lost(self, stop: int) -> None:
        """No tone was found up to ``stop``."""
        if self.ever_acquired and self._foreign is None:
            start = self._lost[0] if self._lost else self.position
            self._foreign = Event(Kind.NOISE, start, message="the tone is gone, something else is there")
        self.position = stop
        if self._foreign is not None:
            self._grow(self._foreign, stop, "")

    def _adopt(self, found: Acquired) -> None:
        """Take an acquired sine as the model, and explain what lies before it."""
        self.sigma, self.threshold = found.sigma, self.settings.frame_threshold(found.sigma, found.peak)
        if self.code is None:
            rate_hz = self.settings.sample_rate_hz
            hz = self.settings.reference_hz or nominal_frequency(found.sine.omega * rate_hz / (2.0 * math.pi))
            self.code = self.steps.code = slip_code(hz, rate_hz)
        lost, self._lost = self._lost, None
        start = lost[0] if lost else self.position
        first = self._reach_back(found.sine, start, found.start)
        if lost is not None:
            before = lost[1]
            if self._foreign is not None:
                self._end(self._foreign, first)
                self._foreign = None
            elif first - start > 2:
                self._tell_damage(start, first, before)
            if abs(found.sine.omega / before.omega - 1.0) < 1e-4:
                self._add_step(first, first, before)
            self.monitor.step(first)
            self._start_anew(first)
            self.values_since = first
        elif first > start:
            self._explain_backwards(found, start)
            first = self.clean_from = found.start
        self.model, self.model_frames = found.sine, found.stop - found.start
        self.position = first
        self.quiet_blocks = 0
        self.ever_acquired = True

    def _reach_back(self, sine: Sine, low: int, high: int) -> int:
        """Return the first frame from which on ``sine`` holds up to ``high``."""
        if high <= low:
            return high
        x, valid = self.read(low, high)
        bad = np.flatnonzero(valid & (np.abs(x - sine.at(low, high)) > 1.2 * self.threshold))
        return low + int(bad[-1]) + 1 if len(bad) else low

    def _explain_backwards(self, found: Acquired, start: int) -> None:
        """Explain the frames between the start of the channel and the first steady stretch, seen backwards from it.

        A sine seen backwards is a sine, so the same search serves; a jump of the content has the same length and sign.
        """
        turn = found.start

        def read(low: int, high: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            x, valid = self.read(turn - high, turn - low)
            return x[::-1], valid[::-1]

        mirror = Scanner(self.settings, read, mirrored=True)
        mirror.code = mirror.steps.code = self.code
        mirror.monitor.nominal_hz = self.monitor.nominal_hz
        mirror.monitor.level_reference = found.sine.amplitude
        mirror.ever_acquired = True
        mirror.clean_from = mirror.values_since = turn - found.stop
        sine = replace(found.sine, anchor=turn - 1 - found.sine.anchor, phase=-found.sine.phase)
        mirror.take_over(0, sine, found.stop - found.start, self.sigma, self.threshold)
        mirror.advance(turn - start, final=True)
        mirror.finish(turn - start)
        told: list[Event] = []
        for event in mirror.events:
            if not any(event is other for other in told):
                told.append(event)
        for event in told:
            event.start_frame = turn - event.start_frame - event.duration_frames
        self.events += sorted(told, key=lambda event: event.start_frame)

    # Scanning -------------------------------------------------------------------------------------------------------

    def _scan(self, limit: int, final: bool) -> bool:
        """Explain up to the next edge of a block; return whether anything was decided."""
        block = self.settings.block_frames
        start, stop = self.position, (self.position // block + 1) * block
        if stop > limit:
            if not final:
                return False
            stop = limit
        x, valid = self.read(start, stop)
        if self._muted is not None:
            self._follow_muted(self._muted, x, valid, stop)
            return True
        model = self._model
        residual = x - model.at(start, stop)
        bad = valid & (np.abs(residual) > self._allowance())
        if not bad.any():
            self.position = stop
            self._go_on_quiet(start, x, valid, residual)
            return True
        departure = start + int(bad.argmax())
        look = departure + LOOKAHEAD_BLOCKS * block
        if look > limit:
            if not final:
                return False
            look = limit
        self.quiet_blocks = 0
        self.steps.interrupt(departure, self.sigma)
        self._explain(departure, look, final=look == limit and final)
        return True

    @property
    def _model(self) -> Sine:
        if self.model is None:
            raise AssertionError("the channel has no model")
        return self.model

    def _allowance(self) -> float:
        """Return the largest deviation that noise and the model's own uncertainty explain."""
        return self.threshold + 3.0 * self.sigma * math.sqrt(8.0 / max(self.model_frames, 8))

    def _go_on_quiet(
        self, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_], residual: NDArray[np.float64]
    ) -> None:
        """Follow a block in which no frame departs: refine the model, notice what is too small for single frames."""
        block, stop = self.settings.block_frames, start + len(x)
        frames = int(np.count_nonzero(valid))
        if frames < block // 2:
            return
        local = fit_free(x, start, self._model.omega, valid)
        if local is None:
            return
        ratio = self.sigma / self._model.amplitude
        phase = wrap_phase(local.sine.phase - self._model.phase_at(local.sine.anchor))
        least = self.code.phase_quantum / 2.0 if self.code else 0.0
        if abs(phase) > max(FALSE_ALARM_Z * ratio * math.sqrt(2.0 / frames + 8.0 / self.model_frames), least):
            after = np.where(valid, x - local.sine.at(start, stop), 0.0)
            frame = start + change_point(np.where(valid, residual, 0.0), after)
            self._add_step(frame, frame, self._model)
            self._start_anew(frame)
            self.model, self.model_frames = local.sine, frames
            self.quiet_blocks = 0
            return
        self._watch_values(start, local.sine, local.rms, local.peak, frames, residual[valid])
        if len(x) == block:
            self.quiet_blocks += 1
        low = max(self.clean_from, stop - MODEL_BLOCKS * block)
        if low < start:
            whole_x, whole_valid = self.read(low, stop)
            whole = fit_free(whole_x, low, self._model.omega, whole_valid) or local
        else:
            low, whole = start, local
        self.model, self.model_frames = whole.sine, whole.frames
        # Values that changed since are measured on what came after the change.
        moved = self.values_since > low
        values, values_from, values_frames = (local, start, frames) if moved else (whole, low, whole.frames)
        sine = values.sine
        reading = Reading(
            values_from, values_frames, sine.amplitude, sine.dc, values.rms, self.sigma, whole.sine.omega, whole.frames
        )
        self.judge(reading)

    def judge(self, reading: Reading) -> None:
        """Hold a steady stretch against the limits; a departure began where the values last changed, if just now."""
        recent = self._judged_until - 2 * self.settings.block_frames
        newest = reading.stop - self.settings.block_frames
        since = self.values_since if self.values_since >= recent else max(newest, self._judged_until)
        self.monitor.judge(reading, since)
        self._judged_until = reading.stop

    def _watch_values(
        self, start: int, sine: Sine, rms: float, peak: float, frames: int, residual: NDArray[np.float64]
    ) -> None:
        """Notice where level, offset or noise take other values than the model's."""
        power = (rms / self.sigma) ** 2
        if not NOISE_POWER_RANGE[0] < power < NOISE_POWER_RANGE[1]:
            self._strange_blocks += 1
            if self._strange_blocks >= 2:
                self.values_since = start + variance_change_point(residual) if power > 1.0 else start
                self.sigma = max(rms, SMALLEST_NOISE)
                self.threshold = self.settings.frame_threshold(self.sigma, peak)
                self._strange_blocks = 0
        else:
            self._strange_blocks = 0
        if self._values_differ(sine, self._model, frames):
            self.values_since = start

    # Explanations ---------------------------------------------------------------------------------------------------

    def _explain(self, departure: int, look: int, *, final: bool) -> None:
        """Say what departs at frame ``departure``, with the signal up to ``look``; ``final`` where that is its end."""
        low = max(departure - self.settings.block_frames, min(self.clean_from, departure))
        x, valid = self.read(low, look)
        residual = np.where(valid, x - self._model.at(low, look), 0.0)
        bad = np.abs(residual) > self._allowance()
        at = departure - low
        if self._begin_muted(low, at, x, valid, bad):
            return
        guard = max(GUARD_FRAMES, math.ceil(2.0 * math.pi / self._model.omega) + 2)
        end = at + first_cluster_end(bad[at:], guard)
        if (look - low - end >= guard or final) and self._same_after(low + end, look, bad[end:]):
            short = end - at <= max(LONGEST_CLICK_SECONDS * self.settings.sample_rate_hz, 8) or not final
            if short or look - low - end >= guard:
                self._tell_damage(departure, low + end, self._model)
                self._note_damage(departure, low + end)
                self.position = low + end
                return
        if not self._step(low, at, x, valid, residual):
            self._lose(departure)

    def _same_after(self, start: int, look: int, bad: NDArray[np.bool_]) -> bool:
        """Tell whether the model of before holds again from frame ``start`` on."""
        stop = min(look, start + self.settings.block_frames)
        bad = bad[: stop - start]
        if bad.any():
            stop = start + int(bad.argmax())
        if stop - start < LEAST_WINDOW_FRAMES:
            return True
        x, valid = self.read(start, stop)
        sine = fit_phasor(x, start, self._model.omega, valid)
        if sine is None:
            return True
        model, frames = self._model, int(np.count_nonzero(valid))
        spread = FALSE_ALARM_Z * self.sigma * math.sqrt(4.0 / frames + 8.0 / max(self.model_frames, 8))
        least = self.code.phase_quantum / 2.0 if self.code else 0.0
        return (
            abs(wrap_phase(sine.phase - model.phase_at(sine.anchor))) <= max(spread / model.amplitude, least)
            and abs(sine.amplitude - model.amplitude)
            <= max(spread, self.settings.limits.max_level_change_db / 8.686 / 2.0 * model.amplitude)
            and abs(sine.dc - model.dc) <= max(spread, self.settings.limits.max_dc_offset / 2.0)
        )

    def _begin_muted(
        self, low: int, at: int, x: NDArray[np.float64], valid: NDArray[np.bool_], bad: NDArray[np.bool_]
    ) -> bool:
        """Begin a dropout where frames hold one value that the sine would not hold."""
        start, stop = equal_run(np.where(valid, x, x[at]), at)
        while not valid[start]:
            start += 1
        while not valid[stop - 1]:
            stop -= 1
        natural = int(2.0 * math.sqrt(self.settings.step / self._model.amplitude) / self._model.omega) + 1
        if stop - start < max(LEAST_MUTED_FRAMES, natural + 2) or self._is_flat_top(x[at], x[stop:], stop - start):
            return False
        if x[at] != 0.0 and not self._mirrored and not bad[start]:
            start += 1  # the frame that is held is itself a good one
        self._muted = _Muted(Event(Kind.DROPOUT, low + start, size={"held_value": float(x[at])}), float(x[at]), 0.0)
        self.position = low + stop
        if low + stop < low + len(x):
            self._end_muted(low + stop, held_last=bool(x[at] != 0.0 and self._mirrored and not bad[stop - 1]))
        return True

    def _is_flat_top(self, value: float, after: NDArray[np.float64], run: int) -> bool:
        """Tell whether a run of equal values is a clipped peak: the same value is reached again, and never passed."""
        period = math.ceil(2.0 * math.pi / self._model.omega)
        if run > period // 2 or value == 0.0:
            return False
        following = after[: 3 * period] * math.copysign(1.0, value)
        return bool(np.count_nonzero(following >= abs(value)) >= run and following.max() <= abs(value) * 1.001)

    def _follow_muted(self, muted: _Muted, x: NDArray[np.float64], valid: NDArray[np.bool_], stop: int) -> None:
        """Go on with a dropout up to ``stop``, or to where the signal is back."""
        back = np.flatnonzero(valid & (np.abs(x - muted.value) > muted.bound))
        if len(back):
            self._end_muted(self.position + int(back[0]))
        else:
            self.position = stop
            self._grow(muted.event, stop, self._muted_text(muted))

    def _end_muted(self, stop: int, *, held_last: bool = False) -> None:
        muted, self._muted = self._muted, None
        if muted is None:
            return
        self.position = stop
        self._note_damage(muted.event.start_frame, stop)
        self._end(muted.event, stop - 1 if held_last else stop, self._muted_text(muted))

    def _muted_text(self, muted: _Muted) -> str:
        return "muted for" if muted.value == 0.0 else f"held at {muted.value:+.6f} for"

    def _step(
        self, low: int, at: int, x: NDArray[np.float64], valid: NDArray[np.bool_], residual: NDArray[np.float64]
    ) -> bool:
        """Find another sine of the same frequency after the departure; return whether there is one."""
        model, allowance = self._model, self._allowance()
        window = max(LEAST_WINDOW_FRAMES, math.ceil(3.0 * math.pi / model.omega))
        found = first_steady_window(x[at:], valid[at:], low + at, model.omega, window, allowance)
        if found is None:
            return False
        steady, sine = at + found[0], found[1]
        if sine.amplitude < 0.05 * model.amplitude:
            bound = 1.5 * float(np.abs(x[steady : steady + window] - sine.dc).max())
            self._muted = _Muted(Event(Kind.DROPOUT, low + at), sine.dc, bound)
            self.position = low + steady
            return True
        sine, frames = self._widen(sine, low, steady, window, x, valid)
        after = np.where(valid, x - sine.at(low, low + len(x)), 0.0)
        first = max(0, self.clean_from - low)
        frame = first + change_point(residual[first : steady + window], after[first : steady + window])
        unexplained = np.concatenate([np.abs(residual[:frame]), np.abs(after[frame:])]) > allowance
        wrong = at + np.flatnonzero(unexplained[at:steady])
        resume = frame
        if len(wrong) > 2:
            self._tell_damage(low + int(wrong[0]), low + int(wrong[-1]) + 1, model)
            resume = frame = max(frame, int(wrong[-1]) + 1)
        self._add_step(low + frame, low + resume, model)
        if self._values_differ(sine, model, window):
            self.monitor.step(low + frame)
            self.values_since = low + frame
        self._start_anew(low + frame)
        self.model, self.model_frames = sine, frames
        self.position = low + steady
        return True

    def _widen(
        self, sine: Sine, low: int, steady: int, window: int, x: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> tuple[Sine, int]:
        """Fit the sine of a steady window again to as much of what follows as it explains."""
        residual = np.abs(x - sine.at(low, low + len(x)))
        limit = self.threshold + 4.0 * self.sigma * math.sqrt(8.0 / window)
        wrong = np.flatnonzero((residual > limit) & valid)
        wrong = wrong[wrong >= steady + window]
        stop = int(wrong[0]) if len(wrong) else len(x)
        wider = fit_phasor(x[steady:stop], low + steady, sine.omega, valid[steady:stop])
        return (wider, stop - steady) if wider is not None else (sine, window)

    def _values_differ(self, sine: Sine, model: Sine, frames: int) -> bool:
        """Tell whether level or offset of two sines differ beyond noise and half their limits."""
        limits = self.settings.limits
        spread = FALSE_ALARM_Z * self.sigma * math.sqrt(4.0 / frames + 2.0 / max(self.model_frames, 8))
        level = limits.max_level_change_db / 8.686 / 2.0 * model.amplitude
        return abs(sine.amplitude - model.amplitude) > max(spread, level) or abs(sine.dc - model.dc) > max(
            spread, limits.max_dc_offset / 2.0
        )

    def _add_step(self, frame: int, resume: int, before: Sine) -> None:
        """Have a step measured between the longest undisturbed stretch before it and what follows."""
        span = (self.clean_from, frame)
        if span[1] - span[0] < self.settings.block_frames // 2:
            span = max(span, self._undisturbed_before, key=lambda item: item[1] - item[0])
        self.steps.add(Step(frame, *span, resume, before), self.sigma)

    def _start_anew(self, frame: int) -> None:
        """Another sine begins at ``frame``: nothing before it tells about what follows."""
        self.clean_from = frame
        self._undisturbed_before = (frame, frame)

    def _note_damage(self, start: int, stop: int) -> None:
        """Frames ``start`` to ``stop`` are damaged; the sine goes on after them as far as is known."""
        before = (self.clean_from, start)
        if before[1] - before[0] >= min(
            self._undisturbed_before[1] - self._undisturbed_before[0], self.settings.block_frames
        ):
            self._undisturbed_before = before
        self.clean_from = stop

    def _lose(self, departure: int) -> None:
        """Nothing explains what begins at ``departure``: look for the tone anew."""
        self._note_damage(departure, departure)
        self._lost = (departure, self._model)
        self.model = None
        self.position = departure

    # Telling --------------------------------------------------------------------------------------------------------

    def _tell_damage(self, start: int, stop: int, model: Sine) -> None:
        """Tell of frames that neither the sine before nor the sine after explains."""
        x, valid = self.read(start, stop)
        frames = stop - start
        deviation = float(np.abs(np.where(valid, x - model.at(start, stop), 0.0)).max(initial=0.0))
        distance = self._repeat_distance(start, x, valid) if frames >= LEAST_MUTED_FRAMES + 5 else None
        if distance is not None:
            message = f"{frames} frames were replaced by those of {distance} frames before"
            event = Event(Kind.REPEAT, start, frames, size={"repeat_distance_frames": distance}, message=message)
        elif frames <= LONGEST_CLICK_SECONDS * self.settings.sample_rate_hz:
            message = f"{frames} frame(s) off by up to {deviation:.3g} of full scale"
            event = Event(Kind.CLICK, start, frames, size={"deviation": deviation}, message=message)
        else:
            message = f"{frames} frames of something else, off by up to {deviation:.3g} of full scale"
            event = Event(Kind.NOISE, start, frames, size={"deviation": deviation}, message=message)
        self.events.append(event)

    def _repeat_distance(self, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> int | None:
        """Return how far back a damaged stretch stands already, None where it does not."""
        if not valid.all() or self._mirrored:
            return None
        history, there = self.read(start - self.settings.sample_rate_hz, start)
        return find_copy(x, np.where(there, history, np.nan))

    def _grow(self, event: Event, stop: int, text: str) -> None:
        """Follow an event that goes on; tell of it once it is long."""
        event.duration_frames = stop - event.start_frame
        if text:
            event.message = f"{text} {event.duration_frames} frames"
        if not event.open and event.duration_frames >= TELL_OPEN_SECONDS * self.settings.sample_rate_hz:
            event.open = True
            self.events.append(event)

    def _end(self, event: Event, stop: int, text: str = "") -> None:
        """End an event and tell of it."""
        event.duration_frames, event.open = max(0, stop - event.start_frame), False
        if text or event.kind is Kind.SILENCE:
            event.message = f"{text or 'no signal for'} {event.duration_frames} frames"
        self.events.append(event)

    def _form(self, start: int, stop: int, omega: float) -> Form:
        """Tell what kind of residual a stretch shows."""
        stop = min(stop, start + ACQUISITION_BLOCKS * self.settings.block_frames)
        x, valid = self.read(start, stop)
        return residual_form(x[valid], omega, self.settings.bits) if valid.any() else (Kind.NOISE, {})
