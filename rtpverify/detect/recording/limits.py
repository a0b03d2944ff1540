"""What lasts: gain, polarity, channel, offset, clock and residual of a channel against the limits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from rtpverify.detect.recording.measurement import Window
from rtpverify.detect.recording.model import Model
from rtpverify.detect.recording.settings import Settings
from rtpverify.dsp.levels import DB_PER_NEPER, dbfs, decibels
from rtpverify.dsp.slip import FALSE_ALARM_Z
from rtpverify.events import SIZES, Event, EventSize, Kind

RECURRING_SECONDS = 1.0
"""What comes and goes with the signal is one event, where nothing between shows that it was over."""
LEVEL_SECONDS = 0.5
"""What of a recording shows its level where it was found."""
_ALIKE = 0.05
"""Sizes of one fault, seen twice, differ by less than this share."""
NOISY = frozenset({Kind.NOISE, Kind.DISTORTION, Kind.CLIPPING, Kind.WORD_LENGTH})
"""Kinds of a residual past its limit; one at a time."""
_RATE_ERROR_PPM = 0.25
"""How far the clock of a channel with little noise may be off as it is followed."""
_STEADY_DB = 0.001
"""A gain that changes less than this in a second no longer drifts."""


class LimitWatch:
    """Departures of one channel that last: each is one event, from where it begins to where it ends.

    Parameters
    ----------
    channel
        Counted from 0.
    settings
        How it is checked.

    Attributes
    ----------
    noisy
        The event of noise, or whatever else remains over the recording, that continues.
    """

    def __init__(self, channel: int, settings: Settings) -> None:
        self._channel = channel
        self._settings = settings
        self._open: dict[Kind, Event] = {}
        self._recurring: dict[Kind, Event] = {}
        self._gain: float | None = None
        """Gain that the channel is held to."""
        self._last_gain: float | None = None
        self._loudest = 0.0
        """RMS of the loudest window so far that holds content."""
        self.noisy: Event | None = None

    # As it is found, and changes ------------------------------------------------------------------------------------

    def begin(self, model: Model, frame: int) -> list[Event]:
        """Return what is wrong with a channel as it was found.

        Parameters
        ----------
        model
            The model.
        frame
            Its first frame.

        Returns
        -------
        list[Event]
            Events that begin.
        """
        if self._gain is None:
            self._gain = 1.0 if self._settings.limits.max_gain_db is not None else abs(model.gain)
        return self.change(model, frame)

    def change(self, model: Model, frame: int) -> list[Event]:
        """Return the events of a channel that follows another model from a frame on: begun, and ended.

        Parameters
        ----------
        model
            The model.
        frame
            The frame.

        Returns
        -------
        list[Event]
            In order of time.
        """
        own = self._channel if model.programme.channels > 1 else 0
        size = {"reference_channel": model.source + 1}
        text = f"carries channel {model.source + 1} of the recording"
        told = self._set(Kind.CHANNEL_SWAP, model.source != own, frame, size, text)
        told += self._set(Kind.POLARITY, model.gain < 0.0, frame, {}, "inverted")
        told += self._judge_gain(model.gain, 0.0, frame, self._level(model, frame))
        return told + self._judge_dc(model.dc, 0.0, frame)

    def _level(self, model: Model, frame: int) -> float | None:
        """Return the RMS of the recording from a frame on, where the limit of its gain depends on it."""
        if not self._settings.companded:
            return None
        content = model.content(frame, frame + self._settings.frames(LEVEL_SECONDS))
        return float(np.sqrt(np.mean(np.square(content))))

    def _judge_gain(self, gain: float, error: float, frame: int, level: float | None = None) -> list[Event]:
        """Hold a gain with this standard deviation, of a recording with this RMS, against the limit."""
        if self._gain is None or gain == 0.0:
            return []
        change_db = decibels(abs(gain) / self._gain)
        limit_db = self._settings.max_level_change_db(level)
        beyond_db = abs(change_db) - limit_db
        if 0.0 <= beyond_db <= FALSE_ALARM_Z * DB_PER_NEPER * error / self._gain:
            return []
        text = f"level changed by {change_db:+.3f} dB"
        return self._set(Kind.GAIN, beyond_db > 0.0, frame, {"gain_db": change_db}, text)

    def _judge_dc(self, dc: float, error: float, frame: int) -> list[Event]:
        beyond = abs(dc) - self._settings.max_dc_offset
        if 0.0 <= beyond <= FALSE_ALARM_Z * error:
            return []
        return self._set(Kind.DC_OFFSET, beyond > 0.0, frame, {"dc_offset": dc}, f"offset of {dc:+.2e} of full scale")

    # As it goes on --------------------------------------------------------------------------------------------------

    def follow_gain(self, model: Model, frame: int) -> list[Event]:
        """Return the events of a gain that drifts, known for the block at a frame.

        Parameters
        ----------
        model
            The model.
        frame
            The frame.

        Returns
        -------
        list[Event]
            In order of time.
        """
        return self._judge_gain(model.gain, 0.0, frame) if self.noisy is None else []

    def judge(self, window: Window, model: Model, *, last: bool = False) -> list[Event]:
        """Return the events of what a window shows to be past a limit, or within it again.

        Parameters
        ----------
        window
            The window.
        model
            The model.
        last
            Whether no other follows.

        Returns
        -------
        list[Event]
            In order of time.
        """
        if self.noisy is not None or self._recurring:
            return []
        told = []
        if window.gain is not None:
            level = window.level / abs(window.gain) if window.gain else None
            told += self._judge_gain(window.gain, window.gain_error, window.start, level)
        told += self._judge_dc(window.dc, window.dc_error, window.start)
        ppm = 1e6 * model.rate
        beyond_ppm = abs(ppm) - self._settings.limits.max_frequency_error_ppm
        wrong = model.between_frames and beyond_ppm > (0.0 if Kind.FREQUENCY in self._open else _RATE_ERROR_PPM)
        text = f"content runs {abs(ppm):.2f} ppm {'fast' if ppm > 0 else 'slow'}"
        told += self._set(Kind.FREQUENCY, wrong, window.start, {"frequency_error_ppm": ppm}, text)
        if model.gain_drifts or not model.programme.is_whole:
            return told
        # Where the limit is relative, what a pause holds is measured against what is heard otherwise; before anything
        # is, against nothing yet.
        if window.level > 2.0 * window.residual:
            self._loudest = max(self._loudest, window.level)
        elif self._settings.residual_limit_is_relative and not self._loudest and not last:
            return told
        chance = 1.0 + FALSE_ALARM_Z / (2.0 * window.frames) ** 0.5
        too_much = window.residual > chance * self._settings.residual_limit(max(window.level, self._loudest))
        text = f"residual of {dbfs(window.residual):.1f} dBFS"
        size = {"residual_dbfs": dbfs(window.residual)}
        return told + self._set(Kind.NOISE, too_much, window.start, size, text)

    def learn(self, window: Window, model: Model) -> Model:
        """Return the model with its gain as a window shows it, better than the short piece that it was learned from.

        Parameters
        ----------
        window
            The window.
        model
            The model.

        Returns
        -------
        Model
            A copy.
        """
        gain, last = window.gain, self._last_gain
        self._last_gain = gain
        if self.noisy is not None or model.between_frames or model.is_static or gain is None or gain * model.gain <= 0:
            return model
        if model.gain_drifts:
            if not last or not gain or abs(decibels(abs(gain / last))) > _STEADY_DB:
                return model
            model = replace(model, gain_drifts=False)
        if abs(gain - model.gain) > FALSE_ALARM_Z * window.gain_error + 2.0 * model.noise.relative:
            return model
        relative = FALSE_ALARM_Z * window.gain_error
        negligible = relative < 0.02 * (self._settings.step or 0.0)
        noise = replace(model.noise, relative=0.0 if negligible else min(relative, model.noise.relative))
        return replace(model, gain=gain, noise=noise)

    # What comes and goes --------------------------------------------------------------------------------------------

    def recurs(self, event: Event) -> bool:
        """Return whether an event is one that has not ended for sure, once more.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        bool
            Whether it is.
        """
        known = self._lasting(event.kind)
        return known is not None and _are_alike(known.size, event.size)

    def _lasting(self, kind: Kind) -> Event | None:
        return self.noisy if self.noisy is not None and self.noisy.kind is kind else self._recurring.get(kind)

    def recur(self, event: Event) -> list[Event]:
        """Take a stretch of what comes and goes; return its event, and the one of its kind that was another.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        list[Event]
            The event, and the one of its kind that was another.
        """
        known = self._lasting(event.kind)
        if known is not None and self.recurs(event):
            known.duration_frames = event.start_frame + event.duration_frames - known.start_frame
            return [known]
        over = [self._recurring.pop(event.kind)] if event.kind in self._recurring else []
        for other in over:
            other.open = False
        event.open = True
        self._recurring[event.kind] = event
        return [*over, event]

    def resume(self, event: Event) -> Event:
        """Return the event that has not ended for sure, where this is it once more; it is followed elsewhere then.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        Event
            The event.
        """
        known = self._lasting(event.kind)
        if known is None or not self.recurs(event):
            return event
        if known is not self.noisy:
            del self._recurring[event.kind]
        return known

    @property
    def clip_level(self) -> float | None:
        """Where peaks are being cut off."""
        known = self._recurring.get(Kind.CLIPPING)
        return None if known is None else getattr(known.size, "clip_level", None)

    def expire(self, frame: int) -> list[Event]:
        """Return the events of what has not come again up to a frame.

        Parameters
        ----------
        frame
            The frame.

        Returns
        -------
        list[Event]
            Those that have ended.
        """
        hold = self._settings.frames(RECURRING_SECONDS)
        over = [
            kind for kind, event in self._recurring.items() if event.start_frame + event.duration_frames + hold < frame
        ]
        told = [self._recurring.pop(kind) for kind in over]
        for event in told:
            event.open = False
        return told

    # Noise ----------------------------------------------------------------------------------------------------------

    def begin_noise(self, event: Event) -> list[Event]:
        """Take the event of noise that has begun.

        Parameters
        ----------
        event
            The event.

        Returns
        -------
        list[Event]
            That event, and what it ends.
        """
        if event.kind is Kind.WORD_LENGTH:
            event.fault = self._settings.limits.word_length_is_fault
        if self.noisy is not None or any(kind in self._open for kind in NOISY):
            return []
        known = self._recurring.pop(event.kind, None)
        self.noisy = event if known is None else known
        return [self.noisy]

    def end_noise(self, frame: int) -> list[Event]:
        """Return the event of noise that has ended before a frame.

        Parameters
        ----------
        frame
            The frame.

        Returns
        -------
        list[Event]
            That event.
        """
        event, self.noisy = self.noisy, None
        if event is None:
            return []
        event.open, event.duration_frames = False, max(0, frame - event.start_frame)
        return [event]

    def finish(self, stop: int, noisy_until: int) -> list[Event]:
        """Return the events that lasted to the end, noise to the last frame that it made wrong.

        Parameters
        ----------
        stop
            The frame after the last.
        noisy_until
            The last frame that noise made wrong.

        Returns
        -------
        list[Event]
            In order of time.
        """
        for event in self._open.values():
            event.duration_frames = max(event.duration_frames, stop - event.start_frame)
        lasting = [*self._open.values(), *([self.noisy] if self.noisy else [])]
        if self.noisy is not None:
            self.noisy.duration_frames = noisy_until - self.noisy.start_frame
        recurring = list(self._recurring.values())
        for event in recurring:
            event.open = False
        self._open.clear()
        self._recurring.clear()
        self.noisy = self._last_gain = None
        return lasting + recurring

    def _set(self, kind: Kind, wrong: bool, frame: int, size: dict[str, Any], text: str) -> list[Event]:
        """Begin, continue with or end the event of a kind."""
        known = self._open.get(kind)
        if known is None:
            if not wrong:
                return []
            self._open[kind] = Event(SIZES[kind](**size), frame, message=text, open=True)
            return [self._open[kind]]
        if not wrong:
            del self._open[kind]
            known.open, known.duration_frames = False, max(0, frame - known.start_frame)
            return [known]
        known.duration_frames = max(known.duration_frames, frame - known.start_frame)
        name = next(iter(size), None)
        if name and abs(size[name]) > 1.1 * abs(getattr(known.size, name)):
            known.size, known.message = SIZES[kind](**size), text
            return [known]
        return []


def _are_alike(one: EventSize, other: EventSize) -> bool:
    """Return whether two sizes are those of one fault, seen twice."""
    pairs = ((value, other.as_dict().get(name)) for name, value in one.as_dict().items())
    return all(a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=_ALIKE)) for a, b in pairs)
