"""Frame-by-frame explanation of one channel where it is not plainly clean.

The scanner carries the sine of before forward block by block. Where a frame departs from it, the scanner looks a fixed
number of frames ahead, so that what it concludes depends on the signal alone and not on how the input was cut: whether
the sine has only changed slowly, whether it continues after wrong frames, and what has begun where it does not. Where
nothing explains that, the tone is lost and looked for again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.absence import Absence
from rtpverify.detect.tone.acquisition import Acquired, acquire, is_silent
from rtpverify.detect.tone.adoption import adopt
from rtpverify.detect.tone.damage import fills_the_end, passes
from rtpverify.detect.tone.departure import LOOKAHEAD_SECONDS, RETURN_SECONDS, Departure, look_around
from rtpverify.detect.tone.drift import drifts
from rtpverify.detect.tone.lasting import ends_muted, finish, jumps_ahead, lasts, returns, seems_as_before
from rtpverify.detect.tone.moves import SETTLING_BLOCKS
from rtpverify.detect.tone.quiet import follow_quiet
from rtpverify.detect.tone.settings import ACQUISITION_BLOCKS, LEAST_WINDOW_FRAMES
from rtpverify.detect.tone.track import Muted, Track
from rtpverify.events import Event

MOST_TRIES = 8
"""Explanations of one frame, each of which leaves it unexplained: in noise, sines may be taken in turn for ever."""


class Scanner:
    """One channel of one stream, while it is not plainly clean.

    Parameters
    ----------
    track
        State of the channel.
    """

    def __init__(self, track: Track) -> None:
        self.track = track
        self._absence = Absence(track)
        self._tries = 0
        self._settled = 0
        """Frame up to which the first blocks of a tone have to be seen before it is continued with."""
        self._run_ended = False
        """Whether a short run of one value has just ended: what follows another is examined as a whole."""
        self._awaited: int | None = None
        """The frame whose departure only more of the signal explains."""

    @property
    def events(self) -> list[Event]:
        """What was reported; whoever takes the events empties the list."""
        return self.track.teller.events

    @property
    def quiet(self) -> bool:
        """Whether the channel may be checked block by block again."""
        return self.track.sine is not None and self.track.muted is None and self.track.quiet_blocks >= 2

    @property
    def horizon(self) -> int:
        """Frame up to which every event that begins there has been reported."""
        frame, muted = self.track.position, self.track.muted
        if muted is not None and not muted.event.open:
            frame = min(frame, muted.event.start_frame)
        return self.track.steps.horizon(self._absence.horizon(frame))

    def advance(self, limit: int, *, final: bool = False) -> None:
        """Explain the channel up to frame ``limit``, as far as that can be decided, or until it is undisturbed again.

        Parameters
        ----------
        limit
            The frame.
        final
            Whether the signal ends there.
        """
        track = self.track
        while track.position < limit and (final or not self.quiet):
            start = track.position
            if not (self._scan(limit, final) if track.sine is not None else self._acquire(limit, final)):
                break
            self._tries = self._tries + 1 if track.position <= start else 0
            if self._tries > MOST_TRIES:
                track.position += 1
        track.steps.resolve(min(limit, track.position), final=final)

    def finish(self, stop: int) -> None:
        """End everything that is still open at the end of the stream.

        Parameters
        ----------
        stop
            The frame after the last.
        """
        track = self.track
        track.steps.resolve(stop, final=True)
        track.judge_end(stop)
        if track.muted is not None:
            if not track.mirrored:
                track.teller.call_silence(track.muted.event, stop)
            track.teller.end(track.muted.event, stop, track.muted.text)
        self._absence.finish(stop)
        track.steps.end_inversion(stop)
        if track.lasting:
            finish(track, stop)
        track.monitor.close(stop)

    def _acquire(self, limit: int, final: bool) -> bool:
        """Find the sine from the present position on; return whether anything was decided."""
        track, absence = self.track, self._absence
        stop = track.position + ACQUISITION_BLOCKS * track.settings.block_frames
        if limit < stop:
            if not final:
                return False
            stop = limit
        if limit < self._settled and not final:
            return False
        x, valid = track.read(track.position, stop)
        if not valid.any():
            track.position = stop
            return True
        run = absence.leading_run(x, valid)
        # In what holds each value for some frames, one run after another would be looked at.
        if self._run_ended and run < track.settings.block_frames:
            run = 0
        self._run_ended = 0 < run < len(x)
        if run:
            since = absence.silent_since(x[:run], valid[:run])
            if not self._find_before_silence(since):
                absence.go_on_silent(track.position + run, since)
                if run < len(x):
                    absence.end_silence(track.position)
            return True
        found = self._find(x, valid)
        if found is None:
            self._do_without(x, valid, stop)
        elif not found.confirmed and found.start > track.position and not final:
            # Only the end of what was looked at may be a tone: look again from there.
            before = slice(0, found.start - track.position)
            self._do_without(x[before], valid[before], found.start)
        else:
            self._settled = found.start + SETTLING_BLOCKS * track.settings.block_frames
            if not track.ever_acquired and limit < self._settled and not final:
                return False
            track.moves_until = max(track.moves_until, self._settled)
            adopt(track, absence, found, _explain_all)
        return True

    def _find(self, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> Acquired | None:
        """Return the tone in frames ``x`` from the present position on.

        Within something else it is one where it is as clean as the tone before was, or as the limits ask for.
        """
        track = self.track
        found = acquire(track.settings, x, valid, track.position, track.monitor.nominal_hz)
        if found is None or self._absence.foreign is None or not track.ever_acquired:
            return found
        limit = track.settings.residual_limit(found.sine.amplitude)
        return found if found.sigma <= max(track.rms_allowance(found.stop - found.start), limit) else None

    def _do_without(self, x: NDArray[np.float64], valid: NDArray[np.bool_], stop: int) -> None:
        """Continue through frames ``x`` from the present position to ``stop``, which hold no tone."""
        track, absence = self.track, self._absence
        if absence.foreign is not None or not valid.any() or not is_silent(track.settings, x[valid]):
            absence.stay(x, valid, stop)
            return
        since = absence.silent_since(x, valid)
        if not self._find_before_silence(since):
            absence.go_on_silent(stop, since)

    def _find_before_silence(self, frame: int) -> bool:
        """Look for a tone too short to be found by itself in what is unknown before it is silent from ``frame`` on.

        Returns whether there was one: it is continued with from there.
        """
        track, absence = self.track, self._absence
        if absence.unknown is None or absence.silence is not None or absence.foreign is not None:
            return False
        low = max(absence.unknown, frame - ACQUISITION_BLOCKS * track.settings.block_frames)
        if frame - low < LEAST_WINDOW_FRAMES:
            return False
        x, valid = track.read(low, frame)
        found = acquire(track.settings, x, valid, low, track.monitor.nominal_hz)
        if found is not None:
            adopt(track, absence, found, _explain_all)
        return found is not None

    def _scan(self, limit: int, final: bool) -> bool:
        """Explain up to the next edge of a block; return whether anything was decided."""
        track, block = self.track, self.track.settings.block_frames
        start, stop = track.position, (track.position // block + 1) * block
        if stop > limit:
            if not final:
                return False
            stop = limit
        x, valid = track.read(start, stop)
        if track.muted is not None:
            return self._follow_muted(track.muted, x, valid, limit, final)
        residual = x - track.model.at(start, stop)
        # A sine that has just been found behind here is as uncertain at the start as at the end.
        bad = valid & (np.abs(residual) > max(track.allowance(start), track.allowance(stop)))
        if not bad.any():
            if track.lasting and seems_as_before(track, start, x, valid):
                later = self._look(start, RETURN_SECONDS, limit, final)
                if later is None:
                    return False
                if returns(track, later):
                    return True
            track.position = stop
            follow_quiet(track, start, x, valid)
            return True
        return self._explain(start + int(bad.argmax()), limit, final)

    def _follow_muted(
        self, muted: Muted, x: NDArray[np.float64], valid: NDArray[np.bool_], limit: int, final: bool
    ) -> bool:
        """Continue with a dropout through frames ``x`` from the present position, or to where the signal is back."""
        track = self.track
        back = np.flatnonzero(valid & (np.abs(x - muted.value) > muted.bound))
        if len(back) == 0:
            track.position += len(x)
            track.teller.grow(muted.event, track.position, muted.text)
            return True
        departure = self._look(track.position + int(back[0]), LOOKAHEAD_SECONDS, limit, final)
        if departure is not None:
            ends_muted(track, muted, departure)
        return departure is not None

    def _explain(self, frame: int, limit: int, final: bool) -> bool:
        """Explain what begins at a frame; return whether that could be decided."""
        track = self.track
        soon = self._look(frame, LOOKAHEAD_SECONDS, limit, final)
        later = self._look(frame, RETURN_SECONDS, limit, final)
        if soon is None or (later is None and track.lasting):
            return False
        track.quiet_blocks = 0
        track.steps.interrupt(frame)
        if track.lasting and later is not None and returns(track, later):
            return True
        is_new, self._awaited = self._awaited != frame, None
        if is_new and (drifts(track, soon) or passes(track, soon) or jumps_ahead(track, self._absence, soon)):
            return True
        if later is None:
            self._awaited = frame
            return False
        if passes(track, later) or lasts(track, self._absence, soon, later):
            return True
        if not fills_the_end(track, soon):
            self._absence.lose_tone(frame)
        return True

    def _look(self, frame: int, seconds: float, limit: int, final: bool) -> Departure | None:
        """Return what begins at a frame, with so much after it; None where that is not known yet."""
        settings = self.track.settings
        look = frame + max(3 * settings.block_frames, round(seconds * settings.sample_rate_hz))
        if limit < look and not final:
            return None
        return look_around(self.track, frame, min(look, limit), final=final and limit <= look)


def _explain_all(track: Track, stop: int) -> None:
    """Explain a track whose signal ends before frame ``stop``."""
    scanner = Scanner(track)
    scanner.advance(stop, final=True)
    scanner.finish(stop)
