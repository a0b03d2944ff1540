"""Sustained departures of one channel: level, offset, frequency and residual against the limits.

A departure is one event from where it begins to where it ends, however long. It counts only as far as the measurement's
own uncertainty cannot explain it. Sizes are rounded to less than any measurement resolves, so that the last bits of
sums, which hang on how the input was cut, do not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rtpverify.detect.noise_thresholds import BLOCK_Z
from rtpverify.detect.tone.moves import STILL, Moves, moving_sigma
from rtpverify.detect.tone.settings import Settings
from rtpverify.dsp.levels import DB_PER_NEPER, FULL_SCALE_SINE_RMS, dbfs, decibels
from rtpverify.dsp.sine import FreeFit, omega_deviation
from rtpverify.events import SIZES, ChannelSwapSize, DcOffsetSize, Event, FrequencySize, GainSize, Kind, SampleRateSize

COMMON_RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400, 192000)
_SAME_STEP_FRAMES = 64
_SLOPE_OF_BEAT = 5.0
"""Slope of the straight line through a stretch of a beat, over its amplitude and times the length of the stretch."""
_REFERENCE_SECONDS = 0.9
"""How much of the beginning the reference level is averaged over, and a frequency that is to be found."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A steady stretch of ``frames`` frames from ``start``, measured as a whole.

    The frequency is measured over ``omega_frames`` of it; ``recent_amplitude`` and ``recent_dc`` over its last
    ``recent_frames``.
    ``moves`` is how the tone moves by itself.
    ``bend`` is the part of ``rms`` that is the curvature of a level drift (see :func:`bend_rms`).
    ``level_stepped``, ``dc_stepped`` and ``rms_stepped`` are the frames where these stepped, None where a drift fits
    better or nothing is known.
    """

    start: int
    frames: int
    amplitude: float
    dc: float
    rms: float
    sigma: float
    omega: float
    omega_frames: int
    recent_amplitude: float
    recent_dc: float
    recent_frames: int
    moves: Moves = STILL
    bend: float = 0.0
    level_stepped: int | None = None
    dc_stepped: int | None = None
    rms_stepped: int | None = None

    @classmethod
    def of(cls, start: int, values: FreeFit, recent: FreeFit, whole: FreeFit, sigma: float, moves: Moves) -> Reading:
        """Return what fits show of frames from ``start`` on: of the values, their end, and all of the frequency.

        Parameters
        ----------
        start
            First frame.
        values
            Fit of level and offset.
        recent
            Fit of their end.
        whole
            Fit of the frequency.
        sigma
            RMS of the noise.
        moves
            How much the channel moves by itself.
        """
        sine = values.sine
        return cls(
            start=start,
            frames=values.frames,
            amplitude=sine.amplitude,
            dc=sine.dc,
            rms=values.rms,
            sigma=sigma,
            omega=whole.sine.omega,
            omega_frames=whole.frames,
            recent_amplitude=recent.sine.amplitude,
            recent_dc=recent.sine.dc,
            recent_frames=recent.frames,
            moves=moves,
            bend=bend_rms(sine.amplitude, sine.amplitude * sine.slope * values.frames),
        )

    @property
    def stop(self) -> int:
        """First frame after the stretch."""
        return self.start + self.frames


class Values(NamedTuple):
    """Level and offset that are expected, full scale ±1.0, and how many frames either rests on."""

    level: float | None
    dc: float
    level_frames: float
    dc_frames: float


Form = tuple[Kind, dict[str, float | int]]
"""Kind of a residual and the sizes that go with it."""


class Monitor:
    """Checks readings against the limits and keeps the events that are still open.

    Parameters
    ----------
    settings
        The channel.
    tell
        Takes each new event; an event that is open changes in place until it ends.
    form
        Returns what kind of residual the frames around a start show.
    """

    def __init__(
        self, settings: Settings, tell: Callable[[Event], None], form: Callable[[int, int, float], Form]
    ) -> None:
        self.settings = settings
        self.nominal_hz = settings.reference_hz
        """Frequency that the tone is held to: that of the reference, or what was measured at first."""
        self.frequency_settled = settings.reference_hz is not None
        """Whether it stays as it is: where it was stated, after a second without departure, or the first departure."""
        self._nominal_spread = 0.0
        """How far noise may have taken it, relative."""
        self.level_reference: float | None = None
        self.level_settled = False
        """Whether the reference level stays as it is: after a second without departure, or the first departure."""
        self.dc_reference, self._dc_frames = 0.0, math.inf
        self._tell = tell
        self._form = form
        self._open: dict[str, Event] = {}
        self._measured_frames: dict[str, int] = {}
        self._reference_frames: float = 1
        self._level_before_step: float | None = None
        self._reopen_at: dict[str, int] = {}
        self._ended_at: dict[str, int] = {}
        self._shaped = False
        """Whether a residual that is not plain noise continues."""
        self._shaped_until = 0

    def expect_tone_of(self, other: Monitor) -> None:
        """Expect the frequency that another monitor of the same channel expects.

        Parameters
        ----------
        other
            The other monitor.
        """
        self.nominal_hz, self.frequency_settled = other.nominal_hz, other.frequency_settled
        self._nominal_spread = other._nominal_spread

    @property
    def departed(self) -> bool:
        """Whether any departure is open."""
        return bool(self._open)

    def judge(self, reading: Reading, since: int, *, located: bool = True) -> None:
        """Check a steady stretch.

        Where its values began to hold is only known about where they are not ``located``: then the steps that the
        reading shows say more.

        Parameters
        ----------
        reading
            What the stretch shows.
        since
            Frame from which on its values hold.
        located
            Whether that is exact.
        """

        def begun(stepped: int | None) -> int:
            return since if located or stepped is None else stepped

        self._judge_residual(reading, begun(reading.rms_stepped))
        self._judge_frequency(reading, since)
        # Clipping, distortion and truncation move level and offset: these are theirs while they go on.
        if self._shaped or reading.stop - max(reading.recent_frames, reading.frames) < self._shaped_until:
            return
        self._judge_level(reading, begun(reading.level_stepped))
        self._judge_dc(reading, begun(reading.dc_stepped))

    def begin(self, aspect: str, event: Event, stop: int) -> None:
        """Take a departure that is known to have begun, and lasts up to frame ``stop`` at least.

        Parameters
        ----------
        aspect
            Level, dc, frequency or residual.
        event
            The departure.
        stop
            The frame after the last that shows it.
        """
        self.close(event.start_frame, aspect)
        self._depart(aspect, stop, event)

    def expect(self, values: Values) -> Values:
        """Expect other values: what something else makes of them is no gain. Returns those expected so far.

        Parameters
        ----------
        values
            What is expected from now on.

        Returns
        -------
        Values
            Those before.
        """
        before = Values(self.level_reference, self.dc_reference, self._reference_frames, self._dc_frames)
        self.level_reference, self.dc_reference, self._reference_frames, self._dc_frames = values
        self.level_settled = True
        return before

    def opened(self, aspect: str) -> Event | None:
        """Return the open departure of an aspect (level, dc, frequency, residual); None where there is none.

        Parameters
        ----------
        aspect
            Level, dc, frequency or residual.

        Returns
        -------
        Event or None
            The departure.
        """
        return self._open.get(aspect)

    def begun(self, aspect: str) -> int | None:
        """Return where the open departure of an aspect (level, dc, frequency, residual) began, None where none is.

        Parameters
        ----------
        aspect
            Level, dc, frequency or residual.

        Returns
        -------
        int or None
            Frame.
        """
        event = self._open.get(aspect)
        return None if event is None else event.start_frame

    @property
    def rounding_step(self) -> float:
        """Smallest step of what arrives: that of the encoding, or of a word length that is shortened."""
        residual = self._open.get("residual")
        if residual is None or residual.kind is not Kind.WORD_LENGTH:
            return self.settings.step
        return float(2.0 ** (1 - getattr(residual.size, "effective_bits", 0)))

    def tells(self, kind: Kind) -> bool:
        """Return whether a departure of this kind is open.

        Parameters
        ----------
        kind
            The kind.

        Returns
        -------
        bool
            Whether one is.
        """
        return any(event.kind is kind for event in self._open.values())

    def close(self, frame: int, *keys: str) -> None:
        """End the departures of these aspects (all without an argument) at a frame.

        Parameters
        ----------
        frame
            The frame.
        *keys
            Level, dc, frequency or residual.
        """
        for key in keys or tuple(self._open):
            event = self._open.pop(key, None)
            if event is not None:
                event.duration_frames = max(0, frame - event.start_frame)
                event.open = False
                self._tell(event)

    def step(self, frame: int, level: float) -> None:
        """Separate at a located step what was open before it, at this level, from what continues after it.

        Parameters
        ----------
        frame
            The frame.
        level
            Amplitude before it.
        """
        for key in ("level", "dc"):
            event = self._open.get(key)
            if event is not None and event.start_frame < frame - _SAME_STEP_FRAMES:
                self.close(frame, key)
                self._reopen_at[key] = frame
                if key == "level":
                    self._level_before_step = level

    def _depart(self, key: str, frame: int, event: Event | None, measured_frames: int = 0) -> None:
        """Open, continue with or end the departure of one aspect; ``event`` is None where the limit holds.

        The largest size counts, of those that were measured over the most frames (``measured_frames``): the first
        glimpse of a departure is the least certain.
        """
        current, reopen_at = self._open.get(key), self._reopen_at.pop(key, None)
        if event is None:
            self.close(frame, key)
        elif current is None:
            event.open = True
            event.start_frame = event.start_frame if reopen_at is None else reopen_at
            event.duration_frames = max(0, frame - event.start_frame)
            self._open[key], self._measured_frames[key] = event, measured_frames
            self._tell(event)
        else:
            current.duration_frames = max(0, frame - current.start_frame)
            more = measured_frames - self._measured_frames[key]
            if more > 0 or (more == 0 and _magnitude(event) > _magnitude(current)):
                self._measured_frames[key] = measured_frames
                current.size, current.message = event.size, event.message

    def _departure(
        self, key: str, reading: Reading, recent: float, whole: float, limit: float, spread: Callable[[int], float]
    ) -> float | None:
        """Return by how much a value departs, None where its limit holds.

        The end of a stretch shows a departure at once, the whole of it a fainter one. What the end alone would show
        also ends with it; after that the whole is of use again once nothing of the departure is left in it. A fainter
        one ends where it is surely back within the limit: noise about the limit is one departure, not many.

        Parameters
        ----------
        recent, whole
            The value at the end of the stretch, and over all of it.
        limit, spread
            The limit, and how far noise may take the value over so many frames.
        """
        allowed_recent = limit + spread(reading.recent_frames)
        if abs(recent) > allowed_recent:
            return recent
        current = self._open.get(key)
        seen_at_once = current is not None and _magnitude(current) > 2.0 * allowed_recent
        if current is not None and not seen_at_once and abs(recent) > _still(limit, spread(reading.recent_frames)):
            return whole
        whole_departs = abs(whole) > limit + spread(reading.frames) and reading.start >= self._ended_at.get(key, 0)
        if whole_departs and not seen_at_once:
            return whole
        if current is not None:
            self._ended_at[key] = reading.stop
        return None

    def _telling(self, reading: Reading, frames: int) -> int:
        """Return how many of ``frames`` frames of a reading show something new."""
        step = self.rounding_step
        return self.settings.telling_frames(reading.omega, reading.amplitude, reading.sigma, frames, step)

    def _moves_by(self, noise: float, move: float) -> float:
        """Return by how much a value moves from block to block beyond what noise does, full scale ±1.0.

        Longer stretches need not move by less: a codec keeps a level for a while.
        """
        return move * math.sqrt(2.0 / self.settings.block_frames) if moving_sigma(noise, move) > noise else 0.0

    def _judge_level(self, reading: Reading, since: int) -> None:
        if self.level_reference is None:
            self.level_reference, self._reference_frames = reading.amplitude, self._telling(reading, reading.frames)
        reference = self.level_reference
        limit_db = self.settings.limits.max_level_change_db
        noise = max(reading.sigma, reading.rms)
        moves = self._moves_by(noise, reading.moves.level)

        def spread_db(frames: int) -> float:
            spread = noise * math.sqrt(2.0 / self._telling(reading, frames) + 2.0 / self._reference_frames)
            return DB_PER_NEPER * BLOCK_Z * math.hypot(spread, math.sqrt(2.0) * moves) / reading.amplitude

        recent_db, whole_db = decibels(reading.recent_amplitude / reference), decibels(reading.amplitude / reference)
        change_db = self._departure("level", reading, recent_db, whole_db, limit_db, spread_db)
        if change_db is None:
            self._level_before_step = None
            self._depart("level", since, None)
            if not self.level_settled and reading.frames >= _REFERENCE_SECONDS * self.settings.sample_rate_hz:
                self.level_reference, self._reference_frames = reading.amplitude, self._telling(reading, reading.frames)
                self.level_settled = True
            return
        self.level_settled = True  # what departed does not move the reference
        before_step_db = decibels((self._level_before_step or reference) / reference)
        gain_db = change_db - before_step_db
        if "level" not in self._open and abs(gain_db) <= limit_db:
            return  # the level of before the step, which was told then
        message = f"level changed by {gain_db:+.3f} dB, limit ±{limit_db:g} dB"
        event = Event(GainSize(gain_db=round(gain_db, 4)), since, message=message)
        self._depart("level", reading.stop, event)

    def _judge_dc(self, reading: Reading, since: int) -> None:
        limit = self.settings.limits.max_dc_offset
        noise = max(reading.sigma, reading.rms)
        moves = self._moves_by(noise, reading.moves.dc)

        def spread(frames: int) -> float:
            expected = noise / math.sqrt(self._dc_frames)
            return BLOCK_Z * math.hypot(noise / math.sqrt(self._telling(reading, frames)), expected, moves)

        recent, whole = reading.recent_dc - self.dc_reference, reading.dc - self.dc_reference
        dc = self._departure("dc", reading, recent, whole, limit, spread)
        if dc is None:
            self._depart("dc", since, None)
            return
        message = f"DC offset of {dc:+.2e} of full scale, limit {limit:g}"
        size = {"dc_offset": round(dc, 10)}
        self._depart("dc", reading.stop, Event(DcOffsetSize(**size), since, message=message))

    def _judge_frequency(self, reading: Reading, since: int) -> None:
        rate_hz = self.settings.sample_rate_hz
        hz = float(reading.omega) * rate_hz / (2.0 * math.pi)
        moves = moving_sigma(reading.sigma, reading.moves.phase_over(reading.omega_frames / 2.0))
        deviation = omega_deviation(moves / reading.amplitude, max(reading.omega_frames, 16))
        beat = self.settings.beat(reading.omega, reading.amplitude, reading.sigma, self.rounding_step)
        spread = BLOCK_Z * deviation + _SLOPE_OF_BEAT * beat / max(reading.omega_frames, 16)
        # A slope of the phase by what the clock may have done within the stretch.
        spread += BLOCK_Z * math.sqrt(12.0) * reading.moves.clock_rad / max(reading.omega_frames, 16)
        spread /= reading.omega
        if self.nominal_hz is None:
            self.nominal_hz, self._nominal_spread = hz, spread
        error_ppm = (hz / self.nominal_hz - 1.0) * 1e6
        uncertainty_ppm = math.hypot(spread, self._nominal_spread) * 1e6
        limit_ppm = self.settings.limits.max_frequency_error_ppm
        is_open = "frequency" in self._open
        if abs(error_ppm) <= (_still(limit_ppm, uncertainty_ppm) if is_open else limit_ppm + uncertainty_ppm):
            self._depart("frequency", since, None)
            if not self.frequency_settled:
                self.nominal_hz, self._nominal_spread = hz, spread
                self.frequency_settled = reading.omega_frames >= _REFERENCE_SECONDS * rate_hz
            return
        self.frequency_settled = True  # what departed does not move the reference
        self._depart("frequency", reading.stop, self._frequency_event(since, hz, error_ppm), reading.omega_frames)

    def frequency_event(self, start: int, hz: float) -> Event | None:
        """Return the event of a tone of this frequency that begins at a frame; None where the limit holds.

        Parameters
        ----------
        start
            First frame.
        hz
            Frequency.

        Returns
        -------
        Event or None
            The event.
        """
        error_ppm = (hz / (self.nominal_hz or hz) - 1.0) * 1e6
        if abs(error_ppm) <= self.settings.limits.max_frequency_error_ppm:
            return None
        return self._frequency_event(start, hz, error_ppm)

    def _frequency_event(self, since: int, hz: float, error_ppm: float) -> Event:
        rate_hz = self.settings.sample_rate_hz
        nominal_hz = self.nominal_hz or hz
        frequency_hz, error_ppm = round(hz, 7), round(error_ppm, 4)
        for other, other_hz in enumerate(self.settings.references_hz):
            if other_hz not in (None, self.settings.reference_hz) and abs(hz / (other_hz or hz) - 1.0) < 1e-4:
                message = f"carries the {other_hz:g} Hz of channel {other + 1} instead of {nominal_hz:g} Hz"
                return Event(
                    ChannelSwapSize(
                        reference_channel=other + 1, frequency_hz=frequency_hz, frequency_error_ppm=error_ppm
                    ),
                    since,
                    message=message,
                )
        for content_hz in COMMON_RATES_HZ:
            if content_hz != rate_hz and abs(hz * content_hz / (nominal_hz * rate_hz) - 1.0) < 3e-4:
                message = (
                    f"content of {content_hz} Hz played at {rate_hz} Hz: {nominal_hz:g} Hz comes out as {hz:.3f} Hz"
                )
                return Event(
                    SampleRateSize(
                        content_rate_hz=content_hz, frequency_hz=frequency_hz, frequency_error_ppm=error_ppm
                    ),
                    since,
                    message=message,
                )
        wanted = f"{nominal_hz:.4f} Hz at first" if self.settings.reference_hz is None else f"{nominal_hz:g} Hz"
        message = f"tone of {hz:.4f} Hz instead of {wanted} ({error_ppm:+.2f} ppm)"
        return Event(FrequencySize(frequency_hz=frequency_hz, frequency_error_ppm=error_ppm), since, message=message)

    def _judge_residual(self, reading: Reading, since: int) -> None:
        limit = self.settings.residual_limit(reading.amplitude)
        spread = BLOCK_Z / math.sqrt(2.0 * reading.frames)
        uncertainty = _still(1.0, spread) if "residual" in self._open else 1.0 + spread
        if reading.rms <= math.hypot(limit, reading.bend) * uncertainty:
            self._depart("residual", since, None)
            if self._shaped:
                self._shaped, self._shaped_until = False, since
            return
        if "residual" in self._open:
            self._depart("residual", reading.stop, self._open["residual"])
            return
        kind, form_size = self._form(since, reading.stop, reading.omega)
        if kind is not Kind.NOISE:
            self._shaped = self.level_settled = True
        thd_n_db = decibels(reading.rms / (reading.amplitude * FULL_SCALE_SINE_RMS))
        size = {"residual_dbfs": round(dbfs(reading.rms), 4), "thd_plus_n_db": round(thd_n_db, 4), **form_size}
        message = f"{_FORM_TEXT[kind]}: residual {size['residual_dbfs']:.1f} dBFS, limit {dbfs(limit):.1f} dBFS"
        fault = kind is not Kind.WORD_LENGTH or self.settings.limits.word_length_is_fault
        self._depart("residual", reading.stop, Event(SIZES[kind](**size), since, message=message, fault=fault))


_FORM_TEXT = {
    Kind.NOISE: "noise above the limit",
    Kind.DISTORTION: "harmonic distortion",
    Kind.CLIPPING: "clipped peaks",
    Kind.WORD_LENGTH: "word length shortened",
}


def bend_rms(amplitude: float, change: float) -> float:
    """Return the RMS that a level drift of constant dB per second leaves of a straight-line fit, full scale ±1.0.

    Parameters
    ----------
    amplitude
        Amplitude of the tone.
    change
        How much it changes over the frames of the fit.

    Returns
    -------
    float
        Full scale ±1.0.

    Notes
    -----
    Over n frames ``exp(a t)`` bends by ``(a t)² / 2`` off the straight line, whose deviation from its own mean is
    ``(a n)² / √720``; the tone carries ``1 / √2`` of it.
    """
    return change**2 / amplitude / math.sqrt(1440.0)


def _still(limit: float, spread: float) -> float:
    """Return what a departure that continues has to fall below to end, where noise moves it by ``spread`` at most."""
    return max(limit - spread, limit / 2.0)


def _magnitude(event: Event) -> float:
    """Return how large a departure is, to compare it with itself a moment later."""
    amounts = (getattr(event.size, name, None) for name in ("gain_db", "dc_offset", "frequency_error_ppm"))
    return max((abs(float(amount)) for amount in amounts if amount is not None), default=0.0)
