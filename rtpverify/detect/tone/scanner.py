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

from rtpverify.detect.tone.acquisition import Acquired, acquire, is_byte_swapped, is_silent
from rtpverify.detect.tone.forms import residual_form, wrong_bits
from rtpverify.detect.tone.monitor import Form, Monitor, Reading, nominal_frequency
from rtpverify.detect.tone.regions import (
    band_run,
    change_point,
    equal_run,
    find_copy,
    first_cluster_end,
    first_steady_window,
    variance_change_point,
)
from rtpverify.detect.tone.settings import SMALLEST_NOISE, Settings
from rtpverify.detect.tone.steps import Step, StepResolver
from rtpverify.dsp.sine import FreeFit, Sine, fit_free, fit_phasor, wrap_phase
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
LARGEST_WANDER = 1e-4
"""Relative change of frequency that is no wander of the same tone."""
MILD = 3.0
"""Departures of less than this many thresholds may be a model that is slightly off."""
LEAST_WINDOW_FRAMES = 64
EDGE_FRAMES = 16
"""How far the edges of a repeat may lie outside the frames that tell it."""
LEAST_REPEAT_FRAMES = 8
"""A shorter stretch of something else is not looked for in what came before."""
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
        self.first: Sine | None = None
        """The sine of the first acquisition."""
        self.model: Sine | None = None
        self.model_frames = 0
        """How many frames level and phase of the model rest on."""
        self.rate_frames = 0
        """How many frames its frequency rests on."""
        self.sigma = SMALLEST_NOISE
        self.threshold = math.inf
        self.clean_from = 0
        """End of the last event: from here on the signal is undisturbed."""
        self.values_since = 0
        """Where the present level, offset and noise began."""
        self.quiet_blocks = 0
        self.ever_acquired = False
        self.bit_errors = 0
        """Wrong bits in wrong frames, counted while the residual is that of plain rounding."""
        self.events: list[Event] = []
        self.code: SlipCode | None = None
        self.monitor = Monitor(settings, self.events.append, self._form)
        self.steps = StepResolver(settings, read, self.events.append, self.monitor.step)
        self._mirrored = mirrored
        self._muted: _Muted | None = None
        self._silence: Event | None = None
        self._lost: tuple[int, Sine] | None = None
        self._foreign: Event | None = None
        self._unsettled = False
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
        self.steps.resolve(min(limit, self.position), final=final)

    def finish(self, stop: int) -> None:
        """End everything that is still open at the end of the stream."""
        self.steps.resolve(stop, final=True)
        if self.model is not None and self._judged_until <= self.values_since < stop:
            self._judge_end(stop)
        if self._muted is not None:
            self._call_silence(self._muted.event, stop)
            self._end(self._muted.event, stop, self._muted_text(self._muted))
        if self._silence is not None:
            self._call_silence(self._silence, stop)
            self._end_silence(stop)
        if self._foreign is not None:
            self._end(self._foreign, stop)
        elif self._lost is not None:
            self._tell_damage(self._lost[0], stop, self._lost[1])
        self.steps.end_inversion(stop)
        self.monitor.close(stop)

    def _judge_end(self, stop: int) -> None:
        """Judge the values of the last frames, which fill no block."""
        sine, start = self._model, self.values_since
        frames = min(self.model_frames, stop - start)
        self.monitor.judge(
            Reading(
                stop - frames,
                frames,
                sine.amplitude,
                sine.dc,
                self.sigma,
                self.sigma,
                sine.omega,
                self.rate_frames,
                sine.amplitude,
                frames,
            ),
            start,
        )

    def _call_silence(self, event: Event, stop: int) -> None:
        """Call a dropout that is long and never ended what it is: a channel without signal."""
        if stop - event.start_frame >= TELL_OPEN_SECONDS * self.settings.sample_rate_hz and not self._mirrored:
            event.kind = Kind.SILENCE

    def succeed(self, earlier: Scanner, frame: int) -> None:
        """Begin at ``frame``, where another sine may begin, in place of a scanner that has finished.

        What was told, and which tone is expected, stay; its level, phase and noise are found anew.
        """
        self.position = self.clean_from = self.values_since = self._judged_until = frame
        self._undisturbed_before = (frame, frame)
        self.ever_acquired, self.bit_errors = earlier.ever_acquired, earlier.bit_errors
        self.code = self.steps.code = earlier.code
        self.monitor.nominal_hz = earlier.monitor.nominal_hz
        self.events += earlier.events

    def take_over(self, frame: int, model: Sine, frames: int, sigma: float, threshold: float) -> None:
        """Go on from ``frame`` where the bank stopped, with its model, which rests on ``frames`` frames."""
        self.position = frame
        self._follow_model(model, frames)
        self.sigma, self.threshold = sigma, threshold
        self.quiet_blocks = 0
        self._unsettled = False

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
        run = self._leading_run(x, valid)
        if run:
            self._go_on_silent(run)
            if run == len(x):
                return True
        if self._silence is not None and run:
            self._end_silence(self.position)
            return True
        found = acquire(self.settings, x, valid, self.position, self.monitor.nominal_hz)
        if found is None:
            self._stay_without_tone(x, valid, stop)
        elif not found.confirmed and found.start > self.position and not final:
            # Only the end of what was looked at may be a tone: look again from there.
            self._stay_without_tone(x[: found.start - self.position], valid[: found.start - self.position], found.start)
        else:
            self._adopt(found)
        return True

    def _leading_run(self, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> int:
        """Return how many frames at the start hold one value or dithered silence, 0 where a sine might do so too."""
        first = int(valid.argmax())
        filled = np.where(valid, x, x[first])
        run = max(equal_run(filled, first)[1], band_run(filled, first, 0.0, 1.5 * self.settings.step)[1])
        run = int(np.flatnonzero(valid[:run])[-1]) + 1
        nominal_hz = self.settings.reference_hz or 20.0
        lowest_hz = min(nominal_hz, self.settings.sample_rate_hz / 2.0 - nominal_hz)
        # Where a tone was lost, a clipped peak holds one value for up to half a period.
        share = 1.0 if self._lost else 8.0
        least = max(LEAST_MUTED_FRAMES, int(self.settings.sample_rate_hz / lowest_hz / share) + 1)
        return run if run >= min(least, len(x)) else 0

    def _go_on_silent(self, frames: int) -> None:
        if self._silence is None:
            self._silence = Event(Kind.DROPOUT if self.ever_acquired else Kind.SILENCE, self.position)
        self.position += frames
        self._grow(self._silence, self.position, "no signal for")

    def _end_silence(self, stop: int) -> None:
        event, self._silence = self._silence, None
        if event is None:
            return
        self.clean_from = self.values_since = stop
        if self.ever_acquired or event.open or event.start_frame == 0:
            self._end(event, stop)

    def _stay_without_tone(self, x: NDArray[np.float64], valid: NDArray[np.bool_], stop: int) -> None:
        """No tone was found up to ``stop``: it is silent, or something else is there."""
        start = self._lost[0] if self._lost else self.position
        there = x[valid]
        if self._foreign is None and len(there) and is_silent(self.settings, there):
            if self._silence is None:
                self._silence = Event(Kind.DROPOUT if self.ever_acquired else Kind.SILENCE, start)
            self.position = stop
            self._grow(self._silence, stop, "no signal for")
            return
        if self._silence is not None:
            self._end_silence(self.position)
        if self._foreign is None and is_byte_swapped(self.settings, x, valid, self.monitor.nominal_hz):
            self._foreign = Event(Kind.BYTE_ORDER, start, message="the bytes of each sample are swapped")
        elif self._foreign is None and self.ever_acquired:
            self._foreign = Event(Kind.NOISE, start, message="the tone is gone, something else is there")
        self.position = stop
        if self._foreign is not None:
            self._grow(self._foreign, stop, "")

    def _adopt(self, found: Acquired) -> None:
        """Take an acquired sine as the model, and explain what lies before it."""
        earlier_sigma = self.sigma
        self.sigma, self.threshold = found.sigma, self.settings.frame_threshold(found.sigma, found.peak)
        if self.code is None:
            rate_hz = self.settings.sample_rate_hz
            hz = self.settings.reference_hz or nominal_frequency(found.sine.omega * rate_hz / (2.0 * math.pi))
            self.code = self.steps.code = slip_code(hz, rate_hz)
        lost, self._lost = self._lost, None
        start = lost[0] if lost else self.position
        if self._silence is not None:
            start = self._silence.start_frame
        elif self._foreign is not None:
            start = self._foreign.start_frame
        first = self._reach_back(found.sine, start, found.start)
        if self._silence is not None:
            self._end_silence(first)
        if self._foreign is not None and lost is None:
            self._end(self._foreign, first)
            self._foreign = None
            self._start_anew(first)
        elif lost is not None:
            before = lost[1]
            if self._foreign is not None:
                self._end(self._foreign, first)
                self._foreign = None
            elif first - start > 2:
                self._tell_damage(start, first, before)
            self.clean_from = first  # what lies between is damaged
            self._add_step(first, first, before, found.sine, max(self.sigma, earlier_sigma))
            self._start_anew(first)
            self.values_since = first
        elif first > start and self.clean_from < first:
            self._explain_backwards(found, start)
            first = self.clean_from = found.start
        self.first = self.first or found.sine
        self._follow_model(found.sine, found.stop - found.start)
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
        sine = replace(
            found.sine, anchor=turn - 1 - found.sine.anchor, phase=-found.sine.phase, slope=-found.sine.slope
        )
        mirror.take_over(0, sine, found.stop - found.start, self.sigma, self.threshold)
        mirror.advance(turn - start, final=True)
        mirror.finish(turn - start)
        told: list[Event] = []
        for event in mirror.events:
            if not any(event is other for other in told):
                told.append(event)
        for event in told:
            event.start_frame = turn - event.start_frame - event.duration_frames
            if event.kind is Kind.GAIN and event.start_frame <= start and mirror.model is not None:
                # Seen forwards, the level of the start is the reference, and what follows departs from it.
                self.monitor.level_reference, self.monitor.level_settled = mirror.model.amplitude, True
                self.values_since = start + event.duration_frames
                told = [other for other in told if other is not event]
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
        bad = valid & (np.abs(residual) > self._allowance(stop))
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
        self.steps.interrupt(departure)
        self._explain(departure, look, final=look == limit and final)
        return True

    @property
    def _model(self) -> Sine:
        if self.model is None:
            raise AssertionError("the channel has no model")
        return self.model

    @property
    def least_phase(self) -> float:
        """Phase step, rad, below which nothing is told."""
        if self.model is None:
            return 0.0
        quantum = self.code.phase_quantum if self.code else 0.0
        return self.settings.least_phase(self.model.omega, self.model.amplitude, self.sigma, quantum)

    @property
    def _pace(self) -> float:
        """Angular frequency of the sine, or of its beat with half the sample rate: how fast it takes all its values."""
        return min(self._model.omega, math.pi - self._model.omega)

    def _allowance(self, stop: int) -> float:
        """Return the largest deviation up to frame ``stop`` that noise and the model's own uncertainty explain."""
        return self.threshold + 3.5 * self._model_deviation(stop)

    def _model_deviation(self, stop: int) -> float:
        """Return the standard deviation of the model carried to frame ``stop`` (Cramér–Rao bounds)."""
        away = abs(stop - self._model.anchor)
        frames = max(self.model_frames, 16)
        return self.sigma * math.sqrt(5.0 / frames + 48.0 * away**2 / max(self.rate_frames, 16) ** 3)

    def _follow_model(self, sine: Sine, frames: int, rate_frames: int | None = None) -> None:
        """Carry on with a sine fitted to ``frames`` frames; its frequency may rest on more."""
        self.model, self.model_frames, self.rate_frames = sine, frames, rate_frames or frames

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
        deviation = math.hypot(self._model_deviation(stop), self.sigma * math.sqrt(2.0 / frames))
        phase = wrap_phase(local.sine.phase - self._model.phase_at(local.sine.anchor))
        if abs(phase) > max(FALSE_ALARM_Z * deviation / self._model.amplitude, self.least_phase):
            after = np.where(valid, x - local.sine.at(start, stop), 0.0)
            frame = start + change_point(np.where(valid, residual, 0.0), after)
            self._add_step(frame, frame, self._model, local.sine)
            self._start_anew(frame)
            self._follow_model(local.sine, frames)
            self.quiet_blocks = 0
            return
        if self._values_change(start, stop, local):
            self.quiet_blocks = 0
            return
        if len(x) == block:
            self.quiet_blocks += 1
        low = max(self.clean_from, stop - MODEL_BLOCKS * block)
        if low < start:
            whole_x, whole_valid = self.read(low, stop)
            whole = fit_free(whole_x, low, self._model.omega, whole_valid) or local
            if whole.rms > 1.2 * max(local.rms, self.sigma):
                low, whole = start, local  # too long for one sine: something drifts
        else:
            low, whole = start, local
        self._follow_model(whole.sine, whole.frames)
        # Values that changed since are measured on what came after the change.
        moved = self.values_since > low
        values, values_from, values_frames = (local, start, frames) if moved else (whole, low, whole.frames)
        sine = values.sine
        self.judge(
            Reading(
                values_from,
                values_frames,
                sine.amplitude,
                sine.dc,
                values.rms,
                self.sigma,
                whole.sine.omega,
                whole.frames,
                local.sine.amplitude,
                frames,
            )
        )

    def _values_change(self, start: int, stop: int, local: FreeFit) -> bool:
        """Follow level, offset and noise: two blocks in a row that differ mean that they have changed, and when."""
        power = (local.rms / self.sigma) ** 2
        noise_differs = not NOISE_POWER_RANGE[0] < power < NOISE_POWER_RANGE[1]
        if not noise_differs and not self._values_differ(local.sine, self._model, local.frames):
            self._unsettled = False
            return False
        if not self._unsettled:
            self._unsettled = True
            return True
        self._unsettled = False
        low = max(self.clean_from, start - 2 * self.settings.block_frames)
        x, valid = self.read(low, stop)
        before = np.where(valid, x - self._model.at(low, stop), 0.0)
        if noise_differs:
            frame = low + variance_change_point(before)
            self.sigma = max(local.rms, SMALLEST_NOISE)
            self.threshold = self.settings.frame_threshold(self.sigma, local.peak)
        else:
            frame = low + change_point(before, np.where(valid, x - local.sine.at(low, stop), 0.0))
        self.values_since = frame
        self._start_anew(frame)
        self._follow_model(local.sine, local.frames)
        return True

    def judge(self, reading: Reading) -> None:
        """Hold a steady stretch against the limits; a departure began where the values last changed, if just now."""
        recent = self._judged_until - 2 * self.settings.block_frames
        newest = reading.stop - self.settings.block_frames
        since = self.values_since if self.values_since >= recent else max(newest, self._judged_until)
        self.monitor.judge(reading, since)
        self._judged_until = reading.stop

    # Explanations ---------------------------------------------------------------------------------------------------

    def _explain(self, departure: int, look: int, *, final: bool) -> None:
        """Say what departs at frame ``departure``, with the signal up to ``look``; ``final`` where that is its end."""
        low = max(departure - self.settings.block_frames, min(self.clean_from, departure))
        x, valid = self.read(low, look)
        residual = np.where(valid, x - self._model.at(low, look), 0.0)
        bad = np.abs(residual) > self._allowance(look)
        at = departure - low
        if self._begin_muted(low, at, x, valid, bad, residual):
            return
        if self._drifted(low, at, x, valid, residual, final=final):
            return
        guard = max(GUARD_FRAMES, math.ceil(2.0 * math.pi / self._pace) + 2)
        end = at + first_cluster_end(bad[at:], guard)
        mild = float(np.abs(residual[at:end]).max()) < MILD * self.threshold
        followed = look - low - end >= guard or (final and end < len(x) and end - at < LEAST_REPEAT_FRAMES)
        vague = mild or end - at > LONGEST_CLICK_SECONDS * self.settings.sample_rate_hz
        if followed and self._same_after(low + end, look, bad[end:], vague=vague):
            self._tell_damage(departure, low + end, self._model)
            self._note_damage(departure, low + end)
            self.position = low + end
        elif self._step(low, at, x, valid, residual):
            return
        elif final and self._last_step(low, at, x, valid):
            self.position = look
        elif final:
            self._tell_damage(departure, low + end, self._model)
            self._note_damage(departure, low + end)
            self.position = low + end
        else:
            self._lose(departure)

    def _last_step(self, low: int, at: int, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> bool:
        """Explain the last frames of the signal as the same sine out of step, where they are too few for a window."""
        sine = self._out_of_step(low, slice(at, len(x)), x, valid)
        if sine is None:
            return False
        self._go_out_of_step(low + at, sine, len(x) - at)
        return True

    def _out_of_step(self, low: int, part: slice, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> Sine | None:
        """Return the sine that explains a few frames as the same tone out of step, None where it does not."""
        model, frames = self._model, part.stop - part.start
        if frames < LEAST_REPEAT_FRAMES:
            return None
        sine = fit_phasor(x[part] - model.dc, low + part.start, model.omega, valid[part], with_dc=False)
        if sine is None:
            return None
        sine = replace(sine, dc=model.dc)
        off = np.where(valid[part], x[part] - sine.at(low + part.start, low + part.stop), 0.0)
        return sine if np.abs(off).max() <= self._allowance(low + part.stop) else None

    def _go_out_of_step(self, frame: int, sine: Sine, frames: int) -> None:
        """Go on with a sine that ``frames`` frames from ``frame`` on tell."""
        model = self._model
        self._add_step(frame, frame, model, sine)
        if self._values_differ(sine, model, frames):
            self.values_since = frame
        self._start_anew(frame)
        self._follow_model(sine, frames, self.rate_frames)

    def _drifted(
        self,
        low: int,
        at: int,
        x: NDArray[np.float64],
        valid: NDArray[np.bool_],
        residual: NDArray[np.float64],
        *,
        final: bool,
    ) -> bool:
        """Follow a departure that is only a slow change of the sine: one fit across it leaves nothing."""
        block = self.settings.block_frames
        stop = min(at + block // 2, len(x))
        first = max(stop - block, self.clean_from - low, 0)
        followed = stop - at >= LEAST_WINDOW_FRAMES or final
        if abs(residual[at]) > MILD * self.threshold or stop - first < LEAST_WINDOW_FRAMES or not followed:
            return False
        fit = fit_free(x[first:stop], low + first, self._model.omega, valid[first:stop])
        if fit is None or fit.peak > self.threshold + 3.5 * self.sigma * math.sqrt(16.0 / fit.frames):
            return False
        if fit.rms > self.sigma * (1.0 + FALSE_ALARM_Z / math.sqrt(2.0 * fit.frames)):
            return False
        if self._values_differ(fit.sine, self._model, fit.frames):
            self.values_since = max(low + first, self.values_since)
        self._follow_model(fit.sine, fit.frames)
        self.position = low + stop
        sine = fit.sine
        self.judge(
            Reading(
                low + first,
                stop - first,
                sine.amplitude,
                sine.dc,
                fit.rms,
                self.sigma,
                sine.omega,
                fit.frames,
                sine.amplitude,
                fit.frames,
            )
        )
        return True

    def _same_after(self, start: int, look: int, bad: NDArray[np.bool_], *, vague: bool) -> bool:
        """Tell whether the model of before holds again from frame ``start`` on.

        Where too little follows before the next departure, a ``vague`` one (slight, or long) has not ended.
        """
        stop = min(look, start + self.settings.block_frames)
        bad = bad[: stop - start]
        if bad.any():
            stop = start + int(bad.argmax())
        if stop - start < LEAST_WINDOW_FRAMES:
            return not (vague and stop < look)
        x, valid = self.read(start, stop)
        sine = fit_phasor(x, start, self._model.omega, valid)
        if sine is None:
            return True
        model, frames = self._model, int(np.count_nonzero(valid))
        rms = float((x - model.at(start, stop))[valid].std())
        if rms > self.sigma * (1.0 + FALSE_ALARM_Z / math.sqrt(2.0 * frames)) + self._model_deviation(stop):
            return False
        spread = FALSE_ALARM_Z * math.hypot(self._model_deviation(stop), self.sigma * math.sqrt(2.0 / frames))
        expected = model.amplitude_at(sine.anchor)
        return (
            abs(wrap_phase(sine.phase - model.phase_at(sine.anchor))) <= spread / expected
            and abs(sine.amplitude - expected) <= spread
            and abs(sine.dc - model.dc) <= spread
        )

    def _begin_muted(
        self,
        low: int,
        at: int,
        x: NDArray[np.float64],
        valid: NDArray[np.bool_],
        bad: NDArray[np.bool_],
        residual: NDArray[np.float64],
    ) -> bool:
        """Begin a dropout where frames hold one value that the sine would not hold, exactly or within the noise."""
        filled = np.where(valid, x, x[at])
        held = float(x[at - 1]) if at > 0 and valid[at - 1] else 0.0
        noise = self.threshold + self.settings.step
        # Exactly one value, silence with noise on it, the last good frame held with noise on it: the longest holds.
        runs = [(*equal_run(filled, at), float(x[at]), 0.0)]
        runs += [
            (*band_run(filled, at, value, bound), value, bound) for value, bound in ((0.0, noise), (held, 2 * noise))
        ]
        runs = [run for run in runs if self._is_held(int(np.count_nonzero(valid[run[0] : run[1]])), run[3])]
        if not runs:
            return False
        exact = runs[0]
        start, stop, value, bound = max(runs, key=lambda run: run[1])
        if exact[3] == 0.0 and exact[1] >= stop - 1:
            start, stop, value, bound = exact
        while not valid[start]:
            start += 1
        while not valid[stop - 1]:
            stop -= 1
        if self._is_flat_top(value, bound, x[stop:], stop - start):
            return False
        if bound > 0.0:
            start += change_point(residual[start : at + 1], x[start : at + 1] - value)
            start += int(x[start] == value != 0.0)
        elif value != 0.0 and not self._mirrored and not bad[start]:
            start += 1  # the frame that is held is itself a good one
        ends = stop < len(x)
        held_last = bool(ends and bound == 0.0 and value != 0.0 and self._mirrored and not bad[stop - 1])
        if ends and bound > 0.0:
            tail = slice(max(start, stop - 8), stop)
            stop = tail.start + change_point(x[tail] - value, residual[tail])
        if stop - start < LEAST_MUTED_FRAMES:
            return False
        self._muted = _Muted(Event(Kind.DROPOUT, low + start, size={"held_value": value}), value, bound)
        self.position = low + stop
        if ends:
            self._end_muted(low + stop, held_last=held_last)
        return True

    def _is_held(self, frames: int, bound: float) -> bool:
        """Tell whether a run within ``bound`` of one value is longer than the sine stays there at its peaks."""
        band = 2.0 * bound + self.settings.step
        natural = int(2.0 * math.sqrt(band / self._model.amplitude) / self._pace) + 1
        return frames >= max(LEAST_MUTED_FRAMES, natural + 2)

    def _is_flat_top(self, value: float, bound: float, after: NDArray[np.float64], run: int) -> bool:
        """Tell whether a run of equal values is a clipped peak: the same value is reached again, and never passed."""
        period = math.ceil(2.0 * math.pi / self._pace)
        if run > period // 2 or abs(value) <= bound:
            return False
        following = after[: 3 * period] * math.copysign(1.0, value)
        level = abs(value)
        reached = np.count_nonzero(following >= level - bound)
        return bool(reached >= run and following.max(initial=0.0) <= level * 1.001 + bound)

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
        model, allowance = self._model, self._allowance(low + at)
        window = max(LEAST_WINDOW_FRAMES, math.ceil(3.0 * math.pi / self._pace))
        fixed = (window, self.rate_frames)
        free = (self.settings.block_frames, self.settings.block_frames)
        found = self._free_window(low, at, x, valid) if abs(residual[at]) < MILD * self.threshold else None
        window, rate_frames = free
        if found is None:
            found = first_steady_window(x[at:], valid[at:], low + at, model.omega, fixed[0], allowance)
            window, rate_frames = fixed
        if found is None:
            found = self._free_window(low, at, x, valid)
            window, rate_frames = free
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
        while not valid[frame]:
            frame += 1  # what lies in a hole is told by the first frame behind it
        unexplained = np.concatenate([np.abs(residual[:frame]), np.abs(after[frame:])]) > allowance
        wrong = at + np.flatnonzero(unexplained[at:steady])
        resume = frame
        if len(wrong) > 2:
            between = self._out_of_step(low, slice(int(wrong[0]), int(wrong[-1]) + 1), x, valid)
            if between is not None and not self._values_differ(between, model, len(wrong)):
                # Out of step first, and something else a moment later.
                self._go_out_of_step(low + int(wrong[0]), between, len(wrong))
                self.position = low + int(wrong[-1]) + 1
                return True
            self._tell_damage(low + int(wrong[0]), low + int(wrong[-1]) + 1, model)
            resume = frame = max(frame, int(wrong[-1]) + 1)
            self._note_damage(low + int(wrong[0]), low + frame)
        self._add_step(low + frame, low + resume, model, sine)
        if self._values_differ(sine, model, window):
            self.values_since = low + frame
        self._start_anew(low + frame)
        self._follow_model(sine, frames, rate_frames)
        self.position = low + steady
        return True

    def _free_window(
        self, low: int, at: int, x: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> tuple[int, Sine] | None:
        """Return the first whole block soon after the departure that a sine of nearly the same frequency explains."""
        block = self.settings.block_frames
        for offset in (0, block // 8, block // 4, block // 2, block, 2 * block):
            part = slice(at + offset, at + offset + block)
            if part.stop > len(x):
                break
            fit = fit_free(x[part], low + part.start, self._model.omega, valid[part])
            if fit is not None and fit.peak <= self.threshold + 3.5 * self.sigma * math.sqrt(16.0 / block):
                return offset, fit.sine
        return None

    def _widen(
        self, sine: Sine, low: int, steady: int, window: int, x: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> tuple[Sine, int]:
        """Fit the sine of a steady window again to as much of what follows as it explains."""
        residual = np.abs(x - sine.at(low, low + len(x)))
        limit = self.threshold + 4.0 * self.sigma * math.sqrt(8.0 / window)
        wrong = np.flatnonzero((residual > limit) & valid)
        wrong = wrong[wrong >= steady + window]
        stop = int(wrong[0]) if len(wrong) else len(x)
        if sine.slope:
            return sine, window
        wider = fit_phasor(x[steady:stop], low + steady, sine.omega, valid[steady:stop])
        return (wider, stop - steady) if wider is not None else (sine, window)

    def _values_differ(self, sine: Sine, model: Sine, frames: int) -> bool:
        """Tell whether level or offset of two sines differ beyond noise and half their limits."""
        limits = self.settings.limits
        spread = FALSE_ALARM_Z * self.sigma * math.sqrt(2.0 / frames + 2.0 / max(self.model_frames, 8))
        level = limits.max_level_change_db / 8.686 / 2.0 * model.amplitude
        moved = sine.amplitude - model.amplitude_at(sine.anchor)
        return abs(moved) > max(spread, level) or abs(sine.dc - model.dc) > max(spread, limits.max_dc_offset / 2.0)

    def _add_step(self, frame: int, resume: int, before: Sine, after: Sine, sigma: float | None = None) -> None:
        """Have a step measured between the longest undisturbed stretch before it and what follows.

        Where the frequency is another, nothing can be said of the phase.
        """
        if abs(after.omega / before.omega - 1.0) > LARGEST_WANDER:
            self.steps.interrupt(frame)
            return
        span = (self.clean_from, frame)
        if span[1] - span[0] < self.settings.block_frames // 2:
            span = max(span, self._undisturbed_before, key=lambda item: item[1] - item[0])
        self.steps.add(Step(frame, *span, resume, before, sigma or self.sigma, self.least_phase))

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
        expected, plain = model.at(start, stop), self.settings.is_plain(self.threshold)
        if plain:
            expected = np.rint(expected / self.settings.step) * self.settings.step
        off = np.where(valid, x - expected, 0.0)
        deviation = float(np.abs(off).max(initial=0.0))
        repeat = self._repeat(start, x, valid, model)
        if repeat is not None:
            event = repeat
        elif frames <= LONGEST_CLICK_SECONDS * self.settings.sample_rate_hz:
            message = f"{frames} frame(s) off by up to {deviation:.3g} of full scale"
            size: dict[str, float | int] = {"deviation": deviation}
            if plain:
                size["bit_errors"] = wrong_bits(x[valid], expected[valid], self.settings.bits or 0)
                self.bit_errors += int(size["bit_errors"])
            event = Event(Kind.CLICK, start, frames, size=size, message=message)
        else:
            message = f"{frames} frames of something else, off by up to {deviation:.3g} of full scale"
            event = Event(Kind.NOISE, start, frames, size={"deviation": deviation}, message=message)
        self.events.append(event)

    def _repeat(self, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_], model: Sine) -> Event | None:
        """Return the event of a damaged stretch that is an earlier one, None where it is not.

        An exact copy is one; so is the same sine out of step, where the step is that of an earlier stretch.
        """
        if len(x) < LEAST_REPEAT_FRAMES or not valid.all():
            return None
        if not self._mirrored:
            history, there = self.read(start - self.settings.sample_rate_hz, start)
            distance = find_copy(x, np.where(there, history, np.nan))
            if distance is not None:
                return _repeat_event(start, len(x), distance)
        sine = fit_phasor(x - model.dc, start, model.omega, with_dc=False)
        if sine is None or np.abs(x - model.dc - sine.at(start, start + len(x))).max() > self._allowance(start):
            return None
        deviation = self.sigma * math.sqrt(2.0 / len(x)) / model.amplitude
        if abs(sine.amplitude / model.amplitude - 1.0) > FALSE_ALARM_Z * deviation + 1e-3:
            return None
        step = wrap_phase(sine.phase - model.phase_at(sine.anchor)) * (-1.0 if self._mirrored else 1.0)
        slip_frames = self.code.decode(step, deviation) if self.code else None
        if slip_frames is not None and slip_frames > 0:
            return None  # content from ahead has not arrived before
        first, stop = self._edges(start, start + len(x), model, replace(sine, dc=model.dc))
        return _repeat_event(first, stop - first, None if slip_frames is None else -slip_frames)

    def _edges(self, start: int, stop: int, outside: Sine, inside: Sine) -> tuple[int, int]:
        """Return where one sine most likely gives way to another and back, near the first and last frames that tell."""
        low, high, middle = start - EDGE_FRAMES, stop + EDGE_FRAMES, (start + stop) // 2
        x, valid = self.read(low, high)
        out = np.where(valid, x - outside.at(low, high), 0.0)
        into = np.where(valid, x - inside.at(low, high), 0.0)
        half = middle - low
        return low + change_point(out[:half], into[:half]), middle + change_point(into[half:], out[half:])

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


def _repeat_event(start: int, frames: int, distance: int | None) -> Event:
    message = f"{frames} frames were replaced by earlier ones"
    if distance is not None:
        message = f"{frames} frames were replaced by those of {distance} frames before"
    return Event(Kind.REPEAT, start, frames, size={"repeat_distance_frames": distance}, message=message)
