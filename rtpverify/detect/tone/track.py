"""The tone of one channel as far as it is known: the sine of before, how certain it is, and since when it holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import EVENT_Z, SMALLEST_NOISE
from rtpverify.detect.tone.acquisition import Acquired
from rtpverify.detect.tone.forms import residual_form
from rtpverify.detect.tone.monitor import Form, Monitor, Reading, Values
from rtpverify.detect.tone.moves import STILL, Moves, moving_sigma
from rtpverify.detect.tone.settings import ACQUISITION_BLOCKS, FLOAT_BITS, Settings
from rtpverify.detect.tone.steps import Step, StepResolver
from rtpverify.detect.tone.telling import Teller
from rtpverify.dsp.levels import DB_PER_NEPER, quantisation_rms
from rtpverify.dsp.sine import FreeFit, Sine
from rtpverify.dsp.slip import SlipCode
from rtpverify.events import Event, Kind

Read = Callable[[int, int], tuple[NDArray[np.float64], NDArray[np.bool_]]]
"""Gives frames ``start`` to ``stop`` of a channel, and which of them are valid."""
MovesAt = Callable[[int, float], Moves]
"""Returns how a channel moves, as known before a frame; by the frequency of its tone, rad per frame."""

LARGEST_DRIFT = 0.1
"""Relative change of level within a model's frames that is no drift: a fit to something else may slope at will."""
LARGEST_WANDER = 1e-4
"""Relative change of frequency that is no wander of the same tone."""


def _bend(sine: Sine, away: float) -> float:
    """Return how far a level that drifts in dB leaves a straight line within so many frames."""
    change = abs(sine.slope) * away
    return sine.amplitude * change**2 / 2.0 if change < LARGEST_DRIFT else 0.0


@dataclass(frozen=True, slots=True)
class Muted:
    """A stretch that is muted or held at ``value``, within ``bound`` of it (full scale ±1.0), and its event."""

    event: Event
    value: float
    bound: float

    @property
    def text(self) -> str:
        """What happened; a number of frames follows."""
        return "muted for" if self.value == 0.0 else f"held at {self.value:+.6f} for"


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fault that lasts, and the tone, its noise and threshold as they were before it, full scale ±1.0.

    ``values`` are what was expected then, where it changes level and offset itself; None where it does not.
    """

    kind: Kind
    aspect: str
    start: int
    before: Sine
    sigma: float
    threshold: float
    values: Values | None = None


class Track:
    """State of one channel, shared by all that explain it.

    Parameters
    ----------
    settings
        Format, reference and limits.
    read
        Gives frames of the channel.
    moves_at
        Returns how the channel moves by itself.
    mirrored
        Whether ``read`` runs backwards in time.
    """

    def __init__(
        self, settings: Settings, read: Read, moves_at: MovesAt = lambda *_: STILL, *, mirrored: bool = False
    ) -> None:
        self.settings = settings
        self.read = read
        self.mirrored = mirrored
        self.teller = Teller(settings.sample_rate_hz)
        self.monitor = Monitor(settings, self.teller.tell, self._form)
        self.steps = StepResolver(settings, read, self.teller.tell, self.monitor.step)
        self.position = 0
        """First frame that is not explained yet."""
        self.first: Acquired | None = None
        """The first acquisition."""
        self.sine: Sine | None = None
        """The sine of before, carried forward; None where there is no tone."""
        self.frames = 0
        """How many frames level and phase of the sine rest on."""
        self.rate_frames = 0
        """How many frames its frequency rests on."""
        self.sigma = SMALLEST_NOISE
        """RMS of what the sine leaves of clean signal, full scale ±1.0."""
        self.threshold = math.inf
        """Deviation that no frame of clean signal reaches, full scale ±1.0."""
        self.clean_from = 0
        """End of the last event: from here on the signal is undisturbed."""
        self.values_since = 0
        """Where the present level, offset and noise began."""
        self.quiet_blocks = 0
        """Whole blocks since the last departure."""
        self.unsettled = False
        """Whether the latest block's level, offset or noise differed from those before."""
        self.ever_acquired = False
        self.exact_frames = 0
        """Frames that were followed without a departure."""
        self.bit_errors = 0
        """Wrong bits in wrong frames, counted while the residual is that of plain rounding."""
        self.muted: Muted | None = None
        """The dropout that continues."""
        self.lasting: list[Lasting] = []
        """Faults that last, each within those before it."""
        self.moves_until = 0
        """Frame up to which the first blocks have shown how the channel moves."""
        self._moves_at = moves_at
        self._moves: tuple[int, Moves] = (-1, STILL)
        """How the channel moves, and of which block that is known."""
        self._judged_until = 0
        self._undisturbed_before: tuple[int, int] = (0, 0)

    @property
    def model(self) -> Sine:
        """The sine of before, where there must be one."""
        if self.sine is None:
            raise AssertionError("the channel has no model")
        return self.sine

    @property
    def code(self) -> SlipCode | None:
        """How lengths of slips show in the tone's phase; None before a tone was found."""
        return self.steps.code

    @property
    def pace(self) -> float:
        """Angular frequency, rad per frame, of the sine or of its beat with half the sample rate.

        It shows how fast the sine takes all its values.
        """
        return min(self.model.omega, math.pi - self.model.omega)

    @property
    def least_phase(self) -> float:
        """Phase step, rad, below which nothing is reported; 0 without a tone."""
        return self._least_phase(1.0)

    @property
    def noticed_phase(self) -> float:
        """Phase by which a block may be off unnoticed, rad: less than a slip in the midst of it makes."""
        return self._least_phase(0.5)

    def _least_phase(self, share: float) -> float:
        if self.sine is None:
            return 0.0
        quantum = share * self.code.phase_quantum if self.code else 0.0
        step = self.monitor.rounding_step
        return self.settings.least_phase(self.sine.omega, self.sine.amplitude, self.sigma, quantum, step)

    @property
    def moves(self) -> Moves:
        """How the channel moves by itself, as known before the present block."""
        frame = max(self.position, self.moves_until)
        block = frame // self.settings.block_frames
        if self._moves[0] != block:
            self._moves = block, self._moves_at(frame, self.sine.omega if self.sine else 0.0)
        return self._moves[1]

    def phase_sigma(self, lost: Sine | None = None) -> float:
        """Return the noise that moves the phase from block to block as the channel does, full scale ±1.0.

        Rounding without dither repeats, and moves blocks by more than a frame can show. ``lost`` is the model where it
        has been lost.

        Parameters
        ----------
        lost
            The model where it has been lost.

        Returns
        -------
        float
            RMS, full scale ±1.0.
        """
        if self.settings.is_plain(self.threshold):
            return self.sigma
        moves, block = self.moves, self.settings.block_frames
        clock = moves.clock_rad * (lost or self.model).amplitude * math.sqrt(block / 2.0)
        return math.hypot(moving_sigma(self.sigma, moves.phase_over(block)), clock)

    @property
    def power_spread(self) -> float:
        """Relative standard deviation of a block's noise power that has been shown; 0 where it is of rounding."""
        return 0.0 if self.sigma < self.settings.rounding_sigma else self.moves.power

    def deviation(self, stop: int, lost: Sine | None = None) -> float:
        """Return the standard deviation of the model carried to frame ``stop``, full scale ±1.0 (Cramér–Rao bounds).

        ``lost`` is the model where it has been lost.

        Parameters
        ----------
        stop
            The frame.
        lost
            The model where it has been lost.

        Returns
        -------
        float
            RMS, full scale ±1.0.
        """
        away = abs(stop - (lost or self.model).anchor)
        frames = max(self.frames, 16)
        return self.phase_sigma(lost) * math.sqrt(5.0 / frames + 48.0 * away**2 / max(self.rate_frames, 16) ** 3)

    def allowance(self, stop: int, lost: Sine | None = None) -> float:
        """Return the largest deviation up to frame ``stop`` that noise and the model's own uncertainty explain.

        Parameters
        ----------
        stop
            The frame.
        lost
            The model where it has been lost.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        model = lost or self.model
        bend = _bend(model, abs(stop - model.anchor) + self.frames / 2.0)
        return self.threshold + 3.5 * self.deviation(stop, lost) + bend

    def fit_allowance(self, fit: FreeFit) -> float:
        """Return the largest residual that noise leaves of a fit whose frequency and slope are free.

        A fit takes on some of the errors of plain rounding where the tone takes few phases, the more the fewer. As long
        as the phases stay the same, that does not show; once the errors change it does, at the same frames again and
        again.

        Parameters
        ----------
        fit
            The fit.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        spread = 3.5 * self._rounding_sigma * math.sqrt(16.0 / self._telling(fit))
        return self.threshold + spread + _bend(fit.sine, fit.frames / 2.0)

    def fit_rms_allowance(self, fit: FreeFit) -> float:
        """Return the largest RMS that noise leaves of a fit whose frequency and slope are free.

        Parameters
        ----------
        fit
            The fit.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        return self._rounding_sigma * (1.0 + EVENT_Z / math.sqrt(2.0 * self._telling(fit)))

    def _telling(self, fit: FreeFit) -> int:
        """Return how many frames of a fit show something new of the noise, 16 at least."""
        sine = fit.sine
        return max(self.settings.telling_frames(sine.omega, sine.amplitude, self.sigma, fit.frames), 16)

    @property
    def _rounding_sigma(self) -> float:
        """RMS of the noise, under plain rounding at least what that is: a tone of few phases may have had luck."""
        if not self.settings.is_plain(self.threshold):
            return self.sigma
        return max(self.sigma, quantisation_rms(self.settings.bits or FLOAT_BITS))

    def rms_allowance(self, frames: int, sigma: float | None = None) -> float:
        """Return the largest RMS that noise and rounding leave of a fit over so many frames, whatever the level.

        ``sigma`` is the noise where it is not that of now.

        Parameters
        ----------
        frames
            How many.
        sigma
            The noise where it is not that of now.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        if self.settings.companded:
            return math.inf  # the noise follows the level
        sigma = max(sigma or self.sigma, quantisation_rms(self.settings.bits or FLOAT_BITS))
        return sigma * (1.0 + EVENT_Z / math.sqrt(2.0 * frames))

    def values_differ(self, sine: Sine, model: Sine, frames: int) -> bool:
        """Return whether level or offset of two sines differ beyond noise and half their limits.

        Parameters
        ----------
        sine
            A sine fitted to some frames.
        model
            One that rests on those of the track.
        frames
            How many ``sine`` rests on.

        Returns
        -------
        bool
            Whether they do.
        """
        limits = self.settings.limits
        spread = EVENT_Z * math.sqrt(2.0 / frames + 2.0 / max(self.frames, 8))
        level_spread, dc_spread = (
            spread * moving_sigma(self.sigma, move) for move in (self.moves.level, self.moves.dc)
        )
        level = limits.max_level_change_db / DB_PER_NEPER / 2.0 * model.amplitude
        moved = abs(sine.amplitude - model.amplitude_at(sine.anchor))
        return moved > max(level_spread, level) or abs(sine.dc - model.dc) > max(dc_spread, limits.max_dc_offset / 2.0)

    # Following ------------------------------------------------------------------------------------------------------

    def follow(self, sine: Sine, frames: int, rate_frames: int | None = None) -> None:
        """Continue with a sine fitted to ``frames`` frames; its frequency may rest on more.

        Parameters
        ----------
        sine
            The sine.
        frames
            Frames that level, offset and phase rest on.
        rate_frames
            Frames that its frequency rests on.
        """
        self.sine, self.frames, self.rate_frames = sine, frames, rate_frames or frames

    def start_anew(self, frame: int) -> None:
        """Another sine begins at ``frame``: nothing before it shows anything of what follows.

        Parameters
        ----------
        frame
            Its first frame.
        """
        self.clean_from = frame
        self._undisturbed_before = (frame, frame)

    def note_damage(self, start: int, stop: int) -> None:
        """Note that frames ``start`` to ``stop`` are damaged; the sine continues after them as far as is known.

        Parameters
        ----------
        start
            First frame.
        stop
            The one after the last.
        """
        before = (self.clean_from, start)
        longest = self._undisturbed_before[1] - self._undisturbed_before[0]
        if start - self.clean_from >= min(longest, self.settings.block_frames):
            self._undisturbed_before = before
        self.clean_from = stop

    def add_step(self, frame: int, resume: int, before: Sine, after: Sine, sigma: float | None = None) -> None:
        """Have a step measured between the longest undisturbed stretch before it and what follows.

        Where the frequency is another, nothing can be said of the phase.

        Parameters
        ----------
        frame
            First frame of the new sine.
        resume
            Frame from which on it is undisturbed.
        before
            The sine before.
        after
            The sine after.
        sigma
            Noise on the noisier side, where it is not that of now.
        """
        if abs(after.omega / before.omega - 1.0) > LARGEST_WANDER:
            self.steps.interrupt(frame)
            return
        span = (self.clean_from, frame)
        if span[1] - span[0] < self.settings.block_frames // 2:
            span = max(span, self._undisturbed_before, key=lambda item: item[1] - item[0])
        self.steps.add(Step(frame, *span, resume, before, sigma or self.sigma, self.least_phase, self.moves))

    def begin_at(self, frame: int, earlier: Track) -> None:
        """Begin at ``frame``, where another sine may begin, in place of a track that has ended.

        What was reported, and which tone is expected, stay; its level, phase and noise are found again.

        Parameters
        ----------
        frame
            The frame.
        earlier
            The track that has ended.
        """
        self.position = self.values_since = self._judged_until = frame
        self.start_anew(frame)
        self.ever_acquired, self.bit_errors = earlier.ever_acquired, earlier.bit_errors
        self.exact_frames = earlier.exact_frames
        self.steps.code = earlier.code
        self.monitor.expect_tone_of(earlier.monitor)
        self.teller.events += earlier.teller.events

    def take_over(self, frame: int, model: Sine, frames: int, sigma: float, threshold: float) -> None:
        """Continue from ``frame`` with the sine of somebody else, which rests on ``frames`` frames.

        Parameters
        ----------
        frame
            The frame.
        model
            The sine.
        frames
            What it rests on.
        sigma
            RMS of the noise.
        threshold
            Deviation that no clean frame reaches.
        """
        self.position = frame
        self.follow(model, frames)
        self.sigma, self.threshold = sigma, threshold
        self.quiet_blocks = 0
        self.unsettled = False

    def end_muted(self, stop: int) -> None:
        """End the dropout: frame ``stop`` is the first of the signal again.

        Parameters
        ----------
        stop
            The frame.
        """
        muted, self.muted = self.muted, None
        if muted is None:
            return
        self.position = stop
        self.note_damage(muted.event.start_frame, stop)
        self.teller.end(muted.event, stop, muted.text)

    # Limits ---------------------------------------------------------------------------------------------------------

    def judge(self, reading: Reading) -> None:
        """Compare a steady stretch with the limits; a departure began where the values last changed, if just now.

        Parameters
        ----------
        reading
            What the stretch shows.
        """
        recent = self._judged_until - 2 * self.settings.block_frames
        newest = reading.stop - self.settings.block_frames
        located = self.values_since >= recent
        since = self.values_since if located else max(newest, self._judged_until)
        self.monitor.judge(reading, since, located=located)
        self.forget(*(item for item in self.lasting if self.monitor.opened(item.aspect) is None))
        self._judged_until = reading.stop

    def forget(self, *ended: Lasting) -> None:
        """Expect no more what faults made of the tone that are over.

        Parameters
        ----------
        *ended
            The faults that are over.
        """
        for item in reversed(ended):
            self.lasting.remove(item)
            if item.values is not None:
                self.monitor.expect(item.values)

    def judge_end(self, stop: int) -> None:
        """Check values that began in the last frames, which fill no block.

        Parameters
        ----------
        stop
            The frame after the last.
        """
        if self.sine is None or not self._judged_until <= self.values_since < stop:
            return
        frames = min(self.frames, stop - self.values_since)
        sine, sigma = self.sine, self.sigma
        reading = Reading(
            start=stop - frames,
            frames=frames,
            amplitude=sine.amplitude,
            dc=sine.dc,
            rms=sigma,
            sigma=sigma,
            omega=sine.omega,
            omega_frames=self.rate_frames,
            recent_amplitude=sine.amplitude,
            recent_dc=sine.dc,
            recent_frames=frames,
            moves=self.moves,
        )
        self.monitor.judge(reading, self.values_since)

    def _form(self, start: int, stop: int, omega: float) -> Form:
        """Return what kind of residual a stretch shows."""
        stop = min(stop, start + ACQUISITION_BLOCKS * self.settings.block_frames)
        x, valid = self.read(start, stop)
        return residual_form(x[valid], omega, self.settings.bits) if valid.any() else (Kind.NOISE, {})
