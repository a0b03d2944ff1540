"""Steps of a tone's phase: slips, repeats, inversions.

A step is measured between the sine before and the sine after it, each fitted with its own frequency, so that a wander
of the generator is no step. The stretches are as long as an exact answer needs, and never so long that a turn of the
wander would show more than the noise does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import EVENT_Z
from rtpverify.detect.tone.moves import STILL, Moves, moving_sigma
from rtpverify.detect.tone.settings import Settings, phase_window_frames, wander_phase
from rtpverify.dsp.levels import DB_PER_NEPER
from rtpverify.dsp.sine import FreeFit, Sine, fit_free, fit_phasor, wrap_phase
from rtpverify.dsp.slip import FALSE_ALARM_Z, SlipCode
from rtpverify.events import Event, Kind, PolaritySize, RepeatSize, SlipSize

_BEFORE_BLOCKS = 8
_LONGEST_REPEAT_SECONDS = 0.25
_LONGEST_LOST_BUFFER_SECONDS = 0.01
LEAST_AFTER_FRAMES = 8
"""A step that less of the signal follows is not measured."""
_PARTS = 4
"""Phases of a block that distinguish a step from a corner."""
GRACE_FRAMES = 4
"""How exactly the ends of a step are located."""

Read = Callable[[int, int], tuple[NDArray[np.float64], NDArray[np.bool_]]]


@dataclass(slots=True)
class Step:
    """A place where one sine gives way to another.

    ``frame`` is the first of the new. The signal is undisturbed under ``before`` from ``before_start`` to
    ``before_stop``, and under the new sine from ``resume`` on, up to ``stop`` where that is known. ``sigma`` is the
    noise on the noisier side; smaller phase steps than ``least_phase``, rad, are none. ``moves`` is how the tone
    moved before.
    """

    frame: int
    before_start: int
    before_stop: int
    resume: int
    before: Sine
    sigma: float
    least_phase: float
    moves: Moves = STILL
    stop: int | None = None

    def ratio(self, frames: float) -> float:
        """Return the noise over the amplitude that moves the phase between stretches of so many frames.

        Parameters
        ----------
        frames
            Length of either stretch.

        Returns
        -------
        float
            A ratio.
        """
        return moving_sigma(self.sigma, self.moves.phase_over(frames)) / self.before.amplitude


@dataclass(slots=True)
class _Held:
    """A slip that is a repeat if the phase comes back before ``deadline``."""

    event: Event
    phase_step: float
    deviation: float
    deadline: int


class StepResolver:
    """Turns located steps into events, in order.

    Parameters
    ----------
    settings
        How the channel is checked.
    read
        Returns frames of the channel.
    tell
        Called with each event.
    level_jumped
        Called with the frame of a step and the level before it.
    """

    def __init__(
        self, settings: Settings, read: Read, tell: Callable[[Event], None], level_jumped: Callable[[int, float], None]
    ) -> None:
        self.settings = settings
        self.code: SlipCode | None = None
        self._read = read
        self._tell = tell
        self._level_jumped = level_jumped
        self._pending: Step | None = None
        self._held: _Held | None = None
        self.inverted: Event | None = None
        """The inversion that continues."""

    @property
    def waiting(self) -> bool:
        """Whether a step or a held slip still waits for more of the signal."""
        return self._pending is not None or self._held is not None

    def horizon(self, frame: int) -> int:
        """Return up to which frame every step has been reported, where all before ``frame`` are known.

        Parameters
        ----------
        frame
            The frame.

        Returns
        -------
        int
            A frame, at most that one.
        """
        if self._held is not None:
            frame = min(frame, self._held.event.start_frame)
        if self._pending is not None:
            frame = min(frame, self._pending.frame)
        return frame

    def add(self, step: Step) -> None:
        """Take a new step; one that still waits is resolved with what lies between.

        The frames next to a step may belong to either side: where there are enough others, they are not used.

        Parameters
        ----------
        step
            The step.
        """
        self.interrupt(step.frame)
        if step.before_stop - step.before_start >= 4 * GRACE_FRAMES:
            step.before_stop -= GRACE_FRAMES
        step.resume += GRACE_FRAMES
        self._pending = step

    def interrupt(self, frame: int) -> None:
        """Another event begins at ``frame``: the signal after a waiting step is undisturbed only up to there.

        Parameters
        ----------
        frame
            The frame.
        """
        if self._pending is not None:
            self._pending.stop = max(frame, self._pending.resume)
            self.resolve(frame)

    def resolve(self, limit: int, *, final: bool = False) -> None:
        """Resolve what can be with the signal up to ``limit``.

        Parameters
        ----------
        limit
            The frame after the last that is known.
        final
            Whether the signal ends there.
        """
        step = self._pending
        if step is not None:
            length = self._length_after(step, limit, final)
            if length is not None:
                self._pending = None
                self._measure(step, length)
        held = self._held
        if held is not None and self._pending is None and (final or limit > held.deadline):
            self._release()

    def _length_after(self, step: Step, limit: int, final: bool) -> int | None:
        """Return how many frames after the step to measure, None where more must be waited for."""
        block, longest = self.settings.block_frames, self._longest(step)
        available = min(limit if step.stop is None else min(step.stop, limit), step.resume + longest) - step.resume
        wanted = self._wanted_deviation
        for length in range(block, available + 1, block):
            before = self._before_length(step, length)
            if min(_deviations(step, step.ratio(max(before, length)), before, length)) <= wanted:
                return length
        done = final or step.stop is not None or available >= longest
        return max(available, 0) if done else None

    @property
    def _wanted_deviation(self) -> float:
        """Standard deviation of a phase step that distinguishes every slip from its neighbours, rad."""
        return self.code.phase_quantum / 2.0 / FALSE_ALARM_Z if self.code else math.inf

    def _longest(self, step: Step) -> int:
        """Return how many frames on either side of a step may be measured."""
        longest = phase_window_frames(
            step.before.omega, self.settings.sample_rate_hz, step.sigma / step.before.amplitude
        )
        # Longer stretches average the noise, and show more of what the tone moves by itself.
        shorter = [half * self.settings.block_frames for half in step.moves.halves]
        lengths = [length for length in shorter if length < longest] + [longest]
        return min(lengths, key=lambda length: step.ratio(length) / math.sqrt(length))

    def _before_length(self, step: Step, after: int) -> int:
        longest = min(step.before_stop - step.before_start, self._longest(step))
        return min(longest, max(_BEFORE_BLOCKS * self.settings.block_frames, after))

    def _measure(self, step: Step, length: int) -> None:
        """Measure a step over ``length`` frames after it and report what it is."""
        measured = self._phase_step(step, length)
        if measured is None:
            self._release()
            return
        phase_step, deviation = measured
        wander = wander_phase(
            step.before.omega, self.settings.sample_rate_hz, max(length, self._before_length(step, length))
        )
        tolerance = max(EVENT_Z * math.hypot(deviation, step.moves.clock_rad) + wander, step.least_phase)
        if abs(phase_step) <= tolerance:
            self._release()
            return
        held = self._held
        if held is not None:
            apart = abs(wrap_phase(held.phase_step + phase_step))
            allowed = max(EVENT_Z * math.hypot(deviation, held.deviation), step.least_phase)
            if step.frame <= held.deadline and apart <= allowed:
                self._held = None
                self._tell(self._as_repeat(held.event, step.frame))
                return
            self._release()
        quantum = self.code.phase_quantum if self.code else 0.0
        # Where rounding moves the phase by more than half the step of a slip, it makes the length of one uncertain.
        uncertain = step.least_phase / EVENT_Z if step.least_phase > quantum / 2.0 else 0.0
        event = self._event(step.frame, phase_step, max(deviation, uncertain))
        if event.kind is Kind.POLARITY and self.inverted is not None:
            self.end_inversion(step.frame)
            return
        if event.kind is Kind.POLARITY:
            self.inverted = event
        slip_frames = getattr(event.size, "slip_frames", None)
        reach = self._longest_repeat(slip_frames)
        if event.kind is Kind.SLIP and reach:
            self._held = _Held(event, phase_step, deviation, step.frame + reach + GRACE_FRAMES)
        else:
            self._tell(event)

    def _is_lost_buffer(self, slip_frames: int | None) -> bool:
        """Return whether a slip is of a few whole packets: only then is half a period not taken for an inversion."""
        packet_frames = self.settings.packet_frames
        if slip_frames is None or packet_frames <= 1 or slip_frames % packet_frames:
            return False
        return abs(slip_frames) <= _LONGEST_LOST_BUFFER_SECONDS * self.settings.sample_rate_hz

    def begin_inversion(self, frame: int) -> None:
        """Report that the channel is inverted from ``frame`` on.

        Parameters
        ----------
        frame
            The frame.
        """
        self.inverted = _inversion(frame)
        self._tell(self.inverted)

    def end_inversion(self, frame: int) -> None:
        """End an inversion: the polarity is back, or the stream has ended.

        Parameters
        ----------
        frame
            The first frame with the polarity of before.
        """
        event, self.inverted = self.inverted, None
        if event is not None:
            event.duration_frames, event.open = frame - event.start_frame, False
            self._tell(event)

    @property
    def ambiguous(self) -> bool:
        """Whether a slip is known only modulo less than 20 ms, so that its sign shows nothing."""
        return self.code is not None and self.code.blind_frames < 0.02 * self.settings.sample_rate_hz

    def is_from_ahead(self, slip_frames: int | None) -> bool:
        """Return whether a slip is to content that has not arrived before.

        Parameters
        ----------
        slip_frames
            By how many frames; None where unknown.

        Returns
        -------
        bool
            Whether it is.
        """
        return slip_frames is not None and self._longest_repeat(slip_frames) == 0

    def _longest_repeat(self, slip_frames: int | None) -> int:
        """Return of how many frames a repeat may be at most that begins with this slip, 0 where it is none."""
        longest = int(_LONGEST_REPEAT_SECONDS * self.settings.sample_rate_hz)
        if slip_frames is None or self.code is None or self.code.blind_frames < longest:
            return longest
        nearest = -slip_frames % self.code.blind_frames
        return min(nearest, longest) if slip_frames < 0 or nearest <= longest else 0

    def repeat_distance(self, slip_frames: int, frames: int) -> int | None:
        """Return how many frames earlier a stretch arrived first that is phase-shifted by so many.

        It cannot come from ahead. Of the distances that the step allows, the one nearest to the length of the stretch
        counts, as of a buffer that is sent twice. None where they are too many, or all too far.

        Parameters
        ----------
        slip_frames
            By how many frames it is shifted.
        frames
            Its length.

        Returns
        -------
        int or None
            Frames.
        """
        if self.code is None or self.ambiguous:
            return None
        blind, longest = self.code.blind_frames, _LONGEST_REPEAT_SECONDS * self.settings.sample_rate_hz
        nearest = -slip_frames % blind
        distance = nearest + max(0, round((frames - nearest) / blind)) * blind
        return distance if slip_frames < 0 or distance <= longest else None

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._tell(held.event)

    def _phase_step(self, step: Step, length: int) -> tuple[float, float] | None:
        """Return the phase step and its standard deviation, rad."""
        before = self._fit_before(step, length)
        if before is None or length < LEAST_AFTER_FRAMES:
            return None
        omega = before.sine.omega
        x, valid = self._read(step.resume, step.resume + length)
        ratio = step.ratio(max(before.frames, length))
        own, common = _deviations(step, ratio, before.frames, length)
        if length < 3.0 * math.pi / omega:
            # Too short for a frequency or an offset of its own.
            fixed = fit_phasor(x - before.sine.dc, step.resume, omega, valid, with_dc=False)
            return None if fixed is None else (wrap_phase(fixed.phase - before.sine.phase_at(fixed.anchor)), common)
        after = fit_free(x, step.resume, omega, valid)
        if after is None:
            return None
        self._judge_level(step, before, after, own)
        phase_step = wrap_phase(after.sine.phase_at(step.frame) - before.sine.phase_at(step.frame))
        if abs(phase_step) > EVENT_Z * own and self._is_corner(step, before.sine, length):
            return 0.0, own
        if own <= self._wanted_deviation or own <= common:
            return phase_step, own
        fixed = fit_phasor(x, step.resume, omega, valid)
        if fixed is None:
            return None
        return wrap_phase(fixed.phase - before.sine.phase_at(fixed.anchor)), common

    def _is_corner(self, step: Step, before: Sine, length: int) -> bool:
        """Return whether a frequency that changed, without a jump, leaves less of the phases than the step."""
        hop = self.settings.block_frames // _PARTS
        count = (min(step.frame - step.before_start, length) // hop, length // hop)
        start = step.frame - count[0] * hop
        stop = step.frame + count[1] * hop
        x, valid = self._read(start, stop)
        if min(count) < 2 * _PARTS or not valid.all():
            return False
        frames = np.arange(start, stop)
        z = ((x - before.dc) * np.exp(-1j * (before.omega * (frames - before.anchor) + before.phase))).reshape(-1, hop)
        window = 1.0 - np.cos(2.0 * math.pi * (np.arange(hop) + 0.5) / hop)
        phase = np.unwrap(np.angle(z @ window))
        t = np.arange(len(phase), dtype=np.float64)
        line = [np.ones(len(t)), t]
        at = float(count[0])
        stepped = _left(phase, [*line, (t >= at).astype(np.float64), np.maximum(t + 0.5 - at, 0.0)])
        corners = range(_PARTS, len(phase) - _PARTS)
        return stepped > min(_left(phase, [*line, np.maximum(t + 0.5 - corner, 0.0)]) for corner in corners)

    def _judge_level(self, step: Step, before: FreeFit, after: FreeFit, deviation: float) -> None:
        """Report a jump of level or offset, as against a drift: the two lines do not meet at the step."""
        frame = step.frame
        limits, level = self.settings.limits, before.sine.amplitude_at(frame)
        spread = (
            EVENT_Z * deviation * before.sine.amplitude * max(1.0, max(step.moves.level, step.moves.dc) / step.sigma)
        )
        jump = abs(after.sine.amplitude_at(frame) - level)
        if jump > max(spread, limits.max_level_change_db / DB_PER_NEPER * level) or abs(
            after.sine.dc - before.sine.dc
        ) > max(spread, limits.max_dc_offset):
            self._level_jumped(frame, level)

    def _fit_before(self, step: Step, after: int) -> FreeFit | None:
        length = self._before_length(step, after)
        if length < 16:
            # Too little to fit: the sine that was carried up to here stands in for it.
            return FreeFit(step.before, 0.0, 0.0, 16)
        start = step.before_stop - length
        x, valid = self._read(start, step.before_stop)
        return fit_free(x, start, step.before.omega, valid)

    def _event(self, frame: int, phase_step: float, deviation: float) -> Event:
        """Name a step of the phase."""
        rate_hz = self.settings.sample_rate_hz
        slip_frames = self.code.decode(phase_step, deviation) if self.code else None
        size = SlipSize(slip_frames=slip_frames, phase_step_rad=phase_step)
        half_period = math.pi - abs(phase_step) <= EVENT_Z * deviation + 1e-6
        if half_period and not self._is_lost_buffer(slip_frames):
            return Event(PolaritySize(phase_step_rad=phase_step), frame, message="polarity inverted", open=True)
        if slip_frames is None:
            candidates = (
                self.code.candidates(phase_step, deviation, self.settings.packet_frames, rate_hz)
                if self.code and self.settings.packet_frames > 1
                else []
            )
            text = f"content jumped: phase step of {phase_step:+.5f} rad, too noisy to say how many frames"
            if candidates:
                size = replace(size, candidate_slip_frames=candidates)
                text += f"; whole packets that fit: {', '.join(map(str, candidates))}"
            return Event(size, frame, message=text)
        missing = f"{slip_frames} frames are missing" if slip_frames > 0 else f"{-slip_frames} frames were inserted"
        text = f"content jumped while the timeline continued: {missing} ({1000 * abs(slip_frames) / rate_hz:.3f} ms)"
        if self.code and self.code.blind_frames < rate_hz:
            text += f", known modulo {self.code.blind_frames} frames"
        return Event(size, frame, message=text)

    def _as_repeat(self, slip: Event, stop: int) -> Event:
        return self.repeat_out_of_step(
            slip.start_frame, stop - slip.start_frame, getattr(slip.size, "slip_frames", None)
        )

    def distance_out_of_step(self, frames: int, slip_frames: int | None) -> int | None:
        """Return how far back ``frames`` frames come from that are phase-shifted by so many; None where unknown.

        Parameters
        ----------
        frames
            Their number.
        slip_frames
            By how many frames they are shifted.

        Returns
        -------
        int or None
            Frames.
        """
        return None if slip_frames is None else self.repeat_distance(slip_frames, frames)

    def repeat_out_of_step(self, start: int, frames: int, slip_frames: int | None) -> Event:
        """Return the event of ``frames`` frames that are phase-shifted by so many (None: unknown).

        Parameters
        ----------
        start
            First frame.
        frames
            Their number.
        slip_frames
            By how many frames they are shifted.

        Returns
        -------
        Event
            A ``repeat``.
        """
        distance = self.distance_out_of_step(frames, slip_frames)
        event = repeat_event(start, frames, distance)
        if distance is not None and self.code and self.code.blind_frames < self.settings.sample_rate_hz:
            event.message += f", known modulo {self.code.blind_frames} frames"
        return event


def repeat_event(start: int, frames: int, distance: int | None) -> Event:
    """Return the event of ``frames`` frames that are those of ``distance`` frames before (None: unknown).

    Parameters
    ----------
    start
        First frame.
    frames
        Their number.
    distance
        In frames.

    Returns
    -------
    Event
        A ``repeat``.
    """
    message = f"{frames} frames were replaced by earlier ones"
    if distance is not None:
        message = f"{frames} frames were replaced by those of {distance} frames before"
    return Event(RepeatSize(repeat_distance_frames=distance), start, frames, message=message)


def _left(values: NDArray[np.float64], columns: list[NDArray[np.float64]]) -> float:
    """Return the sum of the squares that the best sum of columns leaves of values."""
    matrix = np.array(columns).T
    off = values - matrix @ np.linalg.lstsq(matrix, values, rcond=None)[0]
    return float(off @ off)


def _inversion(frame: int) -> Event:
    return Event(PolaritySize(), frame, message="polarity inverted", open=True)


def _deviations(step: Step, ratio: float, before: int, after: int) -> tuple[float, float]:
    """Return the standard deviation of a step, rad: with a frequency of its own on either side, and with a common one.

    ``ratio`` is noise over amplitude; ``before`` and ``after`` are the frames measured (Cramér–Rao bounds, carried from
    the middle of each stretch to the step).
    """
    before, after = max(before, 16), max(after, 1)
    to_step = step.frame - step.before_stop + before / 2.0
    from_step = step.resume - step.frame + after / 2.0
    middles = 2.0 / before + 2.0 / after
    own = middles + 24.0 * (to_step**2 / before**3 + from_step**2 / after**3)
    common = middles + 24.0 * (to_step + from_step) ** 2 / before**3
    return ratio * math.sqrt(own), ratio * math.sqrt(common)
