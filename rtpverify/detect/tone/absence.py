"""What is there while no tone is: silence, or something else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.acquisition import is_byte_swapped, is_silent
from rtpverify.detect.tone.damage import tell_damage
from rtpverify.detect.tone.regions import band_run, equal_run
from rtpverify.detect.tone.settings import LEAST_MUTED_FRAMES
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sine import Sine
from rtpverify.events import Event, Kind


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing explains what begins at ``frame``, where the tone had been ``sine``."""

    frame: int
    sine: Sine


class Absence:
    """The stretch without a tone that one channel is in, if it is in one.

    Parameters
    ----------
    track
        The channel.
    """

    def __init__(self, track: Track) -> None:
        self._track = track
        self.lost: Lost | None = None
        """Where the tone was lost, while it is looked for anew."""
        self.silence: Event | None = None
        self.foreign: Event | None = None
        """Something that is neither tone nor silence."""

    @property
    def start(self) -> int:
        """First frame without the tone, as far as is known."""
        event = self.silence or self.foreign
        if event is not None:
            return event.start_frame
        return self.lost.frame if self.lost is not None else self._track.position

    def horizon(self, frame: int) -> int:
        """Return up to which frame every event has been told, where all before ``frame`` are explained."""
        for event in (self.silence, self.foreign):
            if event is not None and not event.open:
                frame = min(frame, event.start_frame)
        if self.lost is not None and self.foreign is None:
            frame = min(frame, self.lost.frame)
        return frame

    def lose_tone(self, frame: int) -> None:
        """Nothing explains what begins at ``frame``: look for the tone anew."""
        track = self._track
        track.note_damage(frame, frame)
        self.lost = Lost(frame, track.model)
        track.sine = None
        track.position = frame

    def leading_run(self, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> int:
        """Return how many frames at the start hold one value or dithered silence, 0 where a sine might do so too."""
        settings, rate_hz = self._track.settings, self._track.settings.sample_rate_hz
        first = int(valid.argmax())
        filled = np.where(valid, x, x[first])
        run = max(equal_run(filled, first)[1], band_run(filled, first, 0.0, 1.5 * settings.step)[1])
        run = int(np.flatnonzero(valid[:run])[-1]) + 1
        nominal_hz = settings.reference_hz or 20.0
        lowest_hz = min(nominal_hz, rate_hz / 2.0 - nominal_hz)
        # Where a tone was lost, a clipped peak holds one value for up to half a period.
        share = 1.0 if self.lost else 8.0
        least = max(LEAST_MUTED_FRAMES, int(rate_hz / lowest_hz / share) + 1)
        return run if run >= min(least, len(x)) else 0

    def go_on_silent(self, stop: int, start: int) -> None:
        """Go on with silence up to frame ``stop``; it began at ``start`` where it is new."""
        track = self._track
        if self.silence is None:
            self.silence = Event(Kind.DROPOUT if track.ever_acquired else Kind.SILENCE, start)
        track.position = stop
        track.teller.grow(self.silence, stop, "no signal for")

    def stay(self, x: NDArray[np.float64], valid: NDArray[np.bool_], stop: int) -> None:
        """No tone is in the frames ``x`` from the track's position to ``stop``: they are silent, or something else."""
        track = self._track
        start = self.lost.frame if self.lost else track.position
        there = x[valid]
        if self.foreign is None and len(there) and is_silent(track.settings, there):
            self.go_on_silent(stop, start)
            return
        self.end_silence(track.position)
        if self.foreign is None and is_byte_swapped(track.settings, x, valid, track.monitor.nominal_hz):
            self.foreign = Event(Kind.BYTE_ORDER, start, message="the bytes of each sample are swapped")
        elif self.foreign is None and track.ever_acquired:
            self.foreign = Event(Kind.NOISE, start, message="the tone is gone, something else is there")
        track.position = stop
        if self.foreign is not None:
            track.teller.grow(self.foreign, stop)

    def end_silence(self, stop: int) -> None:
        """End the silence, if there is one, before frame ``stop``."""
        event, self.silence = self.silence, None
        if event is None:
            return
        track = self._track
        track.clean_from = track.values_since = stop
        # Before the first tone, a few quiet frames are no silence: something else may pass through zero.
        from_the_start = event.start_frame == 0 and stop >= LEAST_MUTED_FRAMES
        if track.ever_acquired or event.open or from_the_start:
            track.teller.end(event, stop)

    def end_foreign(self, stop: int) -> bool:
        """End what is neither tone nor silence before frame ``stop``; return whether there was such."""
        event, self.foreign = self.foreign, None
        if event is not None:
            self._track.teller.end(event, stop)
        return event is not None

    def finish(self, stop: int) -> None:
        """End everything at the end of the stream."""
        if self.silence is not None:
            if not self._track.mirrored:
                self._track.teller.call_silence(self.silence, stop)
            self.end_silence(stop)
        if not self.end_foreign(stop) and self.lost is not None:
            tell_damage(self._track, self.lost.frame, stop, self.lost.sine)
