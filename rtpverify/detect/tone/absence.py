"""What is there while no tone is: silence, or something else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.acquisition import is_byte_swapped
from rtpverify.detect.tone.damage import tell_damage
from rtpverify.detect.tone.regions import band_run, equal_run
from rtpverify.detect.tone.settings import ACQUISITION_BLOCKS, LEAST_MUTED_FRAMES, LEAST_WINDOW_FRAMES
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sine import Sine
from rtpverify.events import SIZES, ByteOrderSize, Event, Kind, NoiseSize

LOOK_BACK_SECONDS = 1.0
"""What came before the first tone for no longer than this is explained backwards from it."""

_BEFORE_THE_TONE = "something else was there before the tone"


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
        """Where the tone was lost, while it is looked for again."""
        self.silence: Event | None = None
        self.foreign: Event | None = None
        """Something that is neither tone nor silence."""
        self.unknown: int | None = None
        """First frame of what came before the first tone and is not explained yet: neither tone nor silence."""
        self._left: list[Event] = []
        """Stretches before the first tone that stay unknown, to be reported if there is one."""

    @property
    def start(self) -> int:
        """First frame without the tone, as far as is known."""
        event = self.silence or self.foreign
        if event is not None:
            return event.start_frame
        if self.unknown is not None:
            return self.unknown
        return self.lost.frame if self.lost is not None else self._track.position

    def horizon(self, frame: int) -> int:
        """Return up to which frame every event has been reported, where all before ``frame`` are explained.

        Parameters
        ----------
        frame
            The frame.

        Returns
        -------
        int
            A frame, at most that one.
        """
        if self.unknown is not None and self._may_look_back(frame):
            frame = min(frame, self.unknown)
        for event in (self.silence, self.foreign):
            if event is not None and not event.open:
                frame = min(frame, event.start_frame)
        if self.lost is not None and self.foreign is None:
            frame = min(frame, self.lost.frame)
        return frame

    def _may_look_back(self, frame: int) -> bool:
        """Return whether what is unknown may be explained backwards from ``frame``: it is recent, and not reported."""
        if self.unknown is None or self.foreign is not None or (self.silence is not None and self.silence.open):
            return False
        return frame - self.unknown <= LOOK_BACK_SECONDS * self._track.settings.sample_rate_hz

    def lose_tone(self, frame: int) -> None:
        """Nothing explains what begins at ``frame``: look for the tone again.

        Parameters
        ----------
        frame
            The frame.
        """
        track = self._track
        track.note_damage(frame, frame)
        self.lost = Lost(frame, track.model)
        track.sine = None
        track.position = frame

    def begin_foreign(self, event: Event, stop: int) -> None:
        """Something that is neither tone nor silence has begun, and reaches to frame ``stop`` at least.

        Parameters
        ----------
        event
            What it is taken for.
        stop
            The frame.
        """
        self.foreign = event
        self._track.position = stop
        self._track.teller.grow(event, stop)

    def leading_run(self, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> int:
        """Return how many frames at the start hold one value or dithered silence, 0 where a sine might do so too.

        Parameters
        ----------
        x
            The frames, shape (n,).
        valid
            Which of them are there, shape (n,).

        Returns
        -------
        int
            Frames.
        """
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
        # Frames that are missing hold nothing.
        return run if int(np.count_nonzero(valid[:run])) >= min(least, int(np.count_nonzero(valid))) else 0

    def silent_since(self, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> int:
        """Return from which frame on it is as silent as in the frames ``x`` at the track's position.

        Parameters
        ----------
        x
            The frames, shape (n,).
        valid
            Which of them are there, shape (n,).

        Returns
        -------
        int
            Frame.
        """
        if self.silence is not None:
            return self.silence.start_frame
        track = self._track
        low = max(self.start, track.position - ACQUISITION_BLOCKS * track.settings.block_frames)
        if low >= track.position or not valid.any():
            return track.position
        before, there = track.read(low, track.position)
        value = float(np.median(x[valid]))
        loud = np.flatnonzero(there & (np.abs(before - value) > np.abs(x[valid] - value).max()))
        return low + int(loud[-1]) + 1 if len(loud) else low

    def go_on_silent(self, stop: int, start: int) -> None:
        """Continue with silence up to frame ``stop``; it began at ``start`` where it is new.

        Parameters
        ----------
        stop
            The frame.
        start
            First frame of the silence.
        """
        track = self._track
        if self.silence is None:
            self.end_foreign(start)
            self.silence = Event(SIZES[Kind.DROPOUT if track.ever_acquired else Kind.SILENCE](), start)
        track.position = stop
        track.teller.grow(self.silence, stop, "no signal for")

    def stay(self, x: NDArray[np.float64], valid: NDArray[np.bool_], stop: int) -> None:
        """Something that is neither tone nor silence is in the frames ``x`` from the track's position to ``stop``.

        Parameters
        ----------
        x
            The frames, shape (n,).
        valid
            Which of them are there, shape (n,).
        stop
            The frame after the last of them.
        """
        track = self._track
        self.end_silence(track.position)
        start = self.lost.frame if self.lost else track.position
        if self.foreign is None and is_byte_swapped(track.settings, x, valid, track.monitor.nominal_hz):
            self._leave_unknown(start)
            self.foreign = Event(ByteOrderSize(), start, message="the bytes of each sample are swapped")
        elif self.foreign is None and track.ever_acquired:
            message = _BEFORE_THE_TONE if track.mirrored else "the tone is gone, something else is there"
            self.foreign = Event(NoiseSize(), start, message=message)
        elif self.foreign is None and self.unknown is None:
            self.unknown = start
        track.position = stop
        if self.foreign is not None:
            track.teller.grow(self.foreign, stop)

    def end_silence(self, stop: int) -> None:
        """End the silence, if there is one, before frame ``stop``.

        Parameters
        ----------
        stop
            The frame.
        """
        event, self.silence = self.silence, None
        if event is None:
            return
        track = self._track
        track.clean_from = track.values_since = stop
        if self.lost is not None:
            self.lost = replace(self.lost, frame=stop)
        # Before the first tone, a few quiet frames are no silence: something else may pass through zero.
        from_the_start = event.start_frame == 0 and stop >= LEAST_MUTED_FRAMES
        if track.ever_acquired or event.open or from_the_start:
            self._leave_unknown(event.start_frame)
            track.teller.end(event, stop)

    def settle_unknown(self, frame: int) -> None:
        """Decide about what is unknown before a tone that was found at ``frame``.

        It is explained backwards from there, or reported as something else where it is too long ago or what followed it
        has been reported.

        Parameters
        ----------
        frame
            First frame of the tone.
        """
        track, unknown = self._track, self.unknown
        if unknown is not None and self._may_look_back(frame):
            self.silence, track.clean_from = None, unknown
        elif unknown is not None and self.silence is None and self.foreign is None:
            self.foreign, self.unknown = Event(NoiseSize(), unknown, message=_BEFORE_THE_TONE), None
        else:
            self._leave_unknown(self.start)
        for event in self._left:
            track.teller.tell(event)
        self._left.clear()

    def _leave_unknown(self, stop: int) -> None:
        """Leave unknown what came up to frame ``stop``: it is reported if a tone is found."""
        unknown, self.unknown = self.unknown, None
        if unknown is not None and stop - unknown >= LEAST_WINDOW_FRAMES:
            self._left.append(Event(NoiseSize(), unknown, stop - unknown, message=_BEFORE_THE_TONE))

    def end_foreign(self, stop: int) -> bool:
        """End what is neither tone nor silence before frame ``stop``.

        Parameters
        ----------
        stop
            The frame.

        Returns
        -------
        bool
            Whether there was such.
        """
        event, self.foreign = self.foreign, None
        if event is not None:
            self._track.teller.end(event, stop)
        return event is not None

    def finish(self, stop: int) -> None:
        """End everything at the end of the stream.

        Parameters
        ----------
        stop
            The frame after the last.
        """
        if self.silence is not None:
            if not self._track.mirrored:
                self._track.teller.call_silence(self.silence, stop)
            self.end_silence(stop)
        if not self.end_foreign(stop) and self.lost is not None:
            tell_damage(self._track, self.lost.frame, stop, self.lost.sine)
