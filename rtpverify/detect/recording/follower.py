"""One stream against the recording: its channels found, checked, and their departures explained.

What is decided depends on frames alone, never on how they were cut into calls: pieces are examined when they end at
fixed frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain import FAULTS, SURE, Clipping, Explanation, FaultModel, anything, explain, explain_all
from rtpverify.detect.recording.limits import NOISY, LimitWatch
from rtpverify.detect.recording.locate import is_telling, locate
from rtpverify.detect.recording.model import Model, Noise, in_step, learn_noise, static_fit
from rtpverify.detect.recording.programme import Programme
from rtpverify.detect.recording.reference import event_of
from rtpverify.detect.recording.settings import Settings
from rtpverify.detect.recording.track import Broken, Read, Track
from rtpverify.dsp.align import candidates, correlate, fit
from rtpverify.dsp.levels import amplitude_ratio
from rtpverify.dsp.slip import FALSE_ALARM_Z
from rtpverify.events import DropoutSize, Event, Kind, SilenceSize, SlipSize

SEARCH_SECONDS = 0.5
"""Length of the piece that is looked for in the whole recording."""
LEAST_SEARCH_SECONDS = 0.05
"""A shorter piece is in too many places of a long recording by chance."""
LEAST_SEARCH_FRAMES = 64
"""The same, of places near the one that is expected."""
GUARD_SECONDS = 0.005
"""A stretch has ended where so much after it is right."""
SURE_SECONDS = 0.2
"""A stretch has ended where so much after it is right, however little it shows."""
EXPLAINED_SECONDS = 0.25
"""So much of a departure is explained at once: within this time it has to be reported, whatever follows."""
SURE_CONFIDENCE = 0.99
"""An explanation less likely than this waits for more frames, as long as it may."""
SCALED_SECONDS = 0.04
"""What changed for good is reported from so much of it."""
JUMP_SECONDS = 0.02
"""What plays from elsewhere is reported from so much of it at least, and at most three times that."""
REACH_SECONDS = 1.0
UNEXPLAINED_SECONDS = 0.1
"""Then a departure is reported, whatever it is."""
PENDING_SECONDS = 0.12
"""So long a jump may turn out to have been a stretch from elsewhere before it is reported."""
RETURN_SECONDS = 0.25
"""So long its event may become that of such a stretch."""
ANCHORED_SECONDS = 0.1
CLIPPING_HOLD_SECONDS = 1.0
DRIFTING_RELATIVE = 1e-3
"""What a gain that drifts may change within a block."""
MOST_ATTEMPTS = 3
"""So often a departure may look explained, and not be; then it is reported as it is."""
NOISY_SHARE = 0.1
"""Noise that has lasted leaves so much of the frames wrong."""
RETRY_BLOCKS = 5
"""A departure that lasts is examined this much less often."""
_FARTHER = 1e-7
"""By so much less a place that is as far as is sought at all is worth: more than arithmetic errs by, and less than what
a tone loses that does not come back to its phase."""
_HEARD = 3.0
"""Change from frame to frame, against the noise, from which on content is heard."""
_MOST_JUMPS = 16
_CHANGES: dict[Kind, Callable[[Model, Explanation], Model]] = {
    Kind.GAIN: lambda model, found: _times(model, amplitude_ratio(found.figure("gain_db"))),
    Kind.POLARITY: lambda model, _: _times(model, -1.0),
    Kind.DC_OFFSET: lambda model, found: replace(model, dc=model.dc + found.figure("dc_offset")),
    Kind.CHANNEL_SWAP: lambda model, found: replace(model, source=int(found.figure("reference_channel")) - 1),
}
"""What may change for good, and what the model is then."""


@dataclass(slots=True)
class _Jump:
    """A jump of the content that may be taken back: event, models from before it, and whether it is reported."""

    event: Event
    before: dict[int, Model]
    told: bool = False


class Follower:
    """One stream.

    Parameters
    ----------
    programme
        The recording.
    settings
        How it is compared.
    read
        Gives frames of each channel, and which of them are there.
    history_frames
        How far back they can be read.

    Attributes
    ----------
    events
        ReportedEvent since they were last taken, each with its channel from 0, or None where it is of all channels.
    """

    def __init__(self, programme: Programme, settings: Settings, read: list[Read], history_frames: int) -> None:
        self.programme = programme
        self.settings = settings
        self.history_frames = history_frames
        self.tracks = [Track(channel, settings, item) for channel, item in enumerate(read)]
        self.watches = [LimitWatch(channel, settings) for channel in range(len(read))]
        self.events: list[tuple[int | None, Event]] = []
        self._pending: list[_Jump] = []
        self.begin(0)

    def begin(self, frame: int) -> None:
        """Check from ``frame`` on, whatever came before.

        Parameters
        ----------
        frame
            The frame.
        """
        for track in self.tracks:
            track.model, track.broken, track.begin, track.position = None, None, frame, frame
            track.first_frame, track.normal = frame, None
            track.alike = []
            track.searches, track.search_at = 0, frame + self.settings.frames(SEARCH_SECONDS)
            if self.programme.in_step:
                self._acquire(track, in_step(self.programme, track.channel, self.settings.step))
        self._pending.clear()

    @staticmethod
    def _acquire(track: Track, model: Model) -> None:
        """Continue with the model of a channel that has been found, from where it is to be checked."""
        track.ever_acquired = True
        track.follow(model, track.begin)
        track.anchored_at = -1

    # Input ----------------------------------------------------------------------------------------------------------

    def advance(self, stop: int) -> None:
        """Check frames before ``stop``, which ends a block.

        Parameters
        ----------
        stop
            The frame.
        """
        self._advance(stop, final=False)

    def finish(self, stop: int) -> None:
        """Check all the rest, before frame ``stop``.

        Parameters
        ----------
        stop
            The frame.
        """
        self._advance(stop, final=True)
        self._tell_rest()
        for track, watch in zip(self.tracks, self.watches, strict=True):
            if track.model is not None:
                self._anchor(track, track.model)
                for window in track.measured.finish(track.position):
                    self._tell_all(track, watch.judge(window, track.model, last=True))
            self._tell_all(track, watch.finish(track.position, track.noisy_until))
            track.calm = None

    def restart(self, frame: int) -> None:
        """Check the rest before ``frame``, and what follows by itself.

        Parameters
        ----------
        frame
            The frame.
        """
        self.finish(frame)
        self.begin(frame)

    @property
    def horizon(self) -> int:
        """The frame up to which every event has been reported."""
        frames = [track.broken.frame if track.broken else track.position for track in self.tracks]
        return min([*frames, *(jump.event.start_frame for jump in self._pending if not jump.told)])

    def _advance(self, stop: int, *, final: bool) -> None:
        going = True
        while going:
            # In step, so that what happens on all channels is seen on all of them.
            steps = [self._step(track, stop, final=final) for track in self.tracks]
            going = any(steps)
            if self._pending:
                self._tell_pending(self._settled())

    def _settled(self) -> int:
        return min(track.broken.frame if track.broken else track.position for track in self.tracks)

    def _step(self, track: Track, stop: int, *, final: bool) -> bool:
        """Let a channel continue; return whether it got any further."""
        if track.model is None:
            return self._search(track, stop, final=final)
        if track.broken is not None:
            return self._explain(track, track.broken, stop, final=final)
        if track.position >= stop:
            return False
        track.judge(stop)
        self._watch(track)
        return True

    # Finding --------------------------------------------------------------------------------------------------------

    def _search(self, track: Track, stop: int, *, final: bool) -> bool:
        """Look for a channel that is not found yet, in the piece that ends at the next fixed frame."""
        settings = self.settings
        at = min(track.search_at, stop) if final else track.search_at
        start = max(at - settings.frames(SEARCH_SECONDS), track.begin)
        is_short = at - start < settings.frames(LEAST_SEARCH_SECONDS)
        # All that came of a recording that is played once is looked for near its start, however short it is.
        is_all = start == 0 and not self.programme.looped and at >= LEAST_SEARCH_FRAMES
        if stop < at or (is_short and not is_all):
            return False
        everywhere = not is_short and (track.searches < 4 or track.searches & (track.searches - 1) == 0)
        model = self._located(track, start, at, everywhere=everywhere)
        if model is None and final and at >= stop:
            model = self._located_in_part(track, start, at, everywhere=everywhere)
        if model is None:
            model = self._of_the_others(track, start, at, final=final)
        track.searches += 1
        track.search_at = at + settings.frames(SEARCH_SECONDS / 2)
        if model is None:
            oldest = max(track.begin, at - self.history_frames + settings.frames(SEARCH_SECONDS))
            track.unjudged += oldest - track.begin
            track.begin = track.position = oldest
            return not (final and at >= stop)
        self._acquire(track, model)
        return True

    def _located(self, track: Track, start: int, stop: int, *, everywhere: bool) -> Model | None:
        """Return where a piece of a channel lies in the recording."""
        x, valid = track.read(start, stop)
        others = [other.model for other in self.tracks if other.model is not None]
        return locate(
            self.programme,
            x,
            valid,
            start,
            channel=min(track.channel, self.programme.channels - 1),
            likely=[*others, *([track.last] if track.last else [])],
            expected=start,
            step=self.settings.step,
            everywhere=everywhere,
        )

    def _located_in_part(self, track: Track, start: int, stop: int, *, everywhere: bool) -> Model | None:
        """Return where the halves or quarters of the last piece lie: a fault in its midst is in few of them."""
        for parts in (2, 4):
            edges = np.linspace(start, stop, parts + 1).astype(np.int64).tolist()
            if edges[1] - edges[0] < LEAST_SEARCH_FRAMES:
                break
            for first, last in pairwise(edges):
                model = self._located(track, first, last, everywhere=everywhere)
                if model is not None:
                    return model
        return None

    def _of_the_others(self, track: Track, start: int, stop: int, *, final: bool) -> Model | None:
        """Return the model by which other channels were found, for one that should be heard there and was not found."""
        for other in self.tracks:
            if other.model is None or not (final or other.anchored_at >= 0):
                continue
            model = replace(other.model, source=min(track.channel, self.programme.channels - 1))
            if self._is_heard(model, start, stop):
                return model
        return None

    # Judging --------------------------------------------------------------------------------------------------------

    def _watch(self, track: Track) -> None:
        """Compare what was measured with the limits, once the model is sure."""
        model = track.model
        if model is None:
            return
        watch = self.watches[track.channel]
        if track.position - track.begin >= self.settings.frames(ANCHORED_SECONDS):
            self._anchor(track, model)
        if model.gain_drifts:
            self._tell_all(track, watch.follow_gain(model, track.position - self.settings.block_frames))
        windows, track.windows = track.windows, []
        for window in windows:
            self._tell_all(track, watch.judge(window, model))
            track.model = model = watch.learn(window, model)
        self._tell_all(track, watch.expire(track.position))
        if track.calm is not None and watch.noisy is not None:
            hold = CLIPPING_HOLD_SECONDS if watch.noisy.kind is Kind.CLIPPING else UNEXPLAINED_SECONDS
            since = track.position - track.noisy_until if watch.noisy.kind is Kind.NOISE else track.calm_frames
            if since >= self.settings.frames(hold):
                self._tell_all(track, watch.end_noise(track.noisy_until))
                track.measured.begin(track.position)
                track.model, track.calm = replace(model, noise=track.calm), None

    def _anchor(self, track: Track, model: Model) -> None:
        """Take a model for that of the channel, unless it has one: it has held for a while, or to the end."""
        if track.anchored_at < 0:
            track.anchored_at = track.position
            track.first = track.first or model
            self._tell_all(track, self.watches[track.channel].begin(model, track.begin))

    def _tell_all(self, track: Track, events: list[Event]) -> None:
        for event in events:
            self._tell(track, event)

    def _tell(self, track: Track | None, event: Event) -> None:
        self.events.append((None if track is None else track.channel, event))

    # Explaining -----------------------------------------------------------------------------------------------------

    def _explain(self, track: Track, broken: Broken, stop: int, *, final: bool) -> bool:
        """Try to explain a departure from the frames up to the next fixed one; return whether that was possible."""
        block = self.settings.block_frames
        due = max(broken.tried, broken.frame + block // 2) // block * block + block
        last = final and due >= stop
        if last:
            due = stop
        if due > stop or (due <= broken.tried and not last):
            return False
        broken.tried = due
        model = track.model
        if model is not None and track.attempts > MOST_ATTEMPTS:
            self._end_broken(track, broken, model, due, last=last)
            return True
        if model is None or self._plays_alike(track, broken, due):
            return True
        if self._is_explained(track, broken, model, due, last=last):
            return True
        if last:
            # Right frames behind the last wrong one are too few to be sure of, but nothing else follows.
            self._end_broken(track, broken, model, min(max(broken.wrong_until, broken.frame + 1), stop), last=True)
        elif due - broken.frame >= self.settings.frames(UNEXPLAINED_SECONDS):
            self._go_on_unexplained(track, broken, model, due)
        return True

    def _is_explained(self, track: Track, broken: Broken, model: Model, stop: int, *, last: bool) -> bool:
        length = stop - broken.frame
        if length > 2 * self.settings.frames(UNEXPLAINED_SECONDS):
            return self._has_passed(track, broken, model, stop) or (
                self._retries(stop)
                and (self._has_changed(track, broken, model, stop) or self._has_jumped(track, broken, model, stop))
            )
        changed = self.settings.frames(SCALED_SECONDS)
        fresh = length % changed < self.settings.block_frames
        if length >= changed and (fresh or last) and self._has_changed(track, broken, model, stop):
            return True
        if self._has_passed(track, broken, model, stop):
            return True
        return (last or length >= self.settings.frames(JUMP_SECONDS)) and self._has_jumped(track, broken, model, stop)

    @staticmethod
    def _plays_alike(track: Track, broken: Broken, stop: int) -> bool:
        """Continue at a place that no frame has separated from the model's so far, where nothing is wrong there."""
        for model in track.alike:
            if not track.residual(model, broken.frame, stop)[0].any():
                track.follow(model, broken.frame)
                return True
        return False

    def _retries(self, stop: int) -> bool:
        """Return whether a departure that lasts is to be explained again in the block that ends at a frame."""
        return stop // self.settings.block_frames % RETRY_BLOCKS == 0

    def _has_changed(self, track: Track, broken: Broken, model: Model, stop: int) -> bool:
        """Continue where gain, polarity, offset or channel changed, and no frames show yet that it is over."""
        start = max(broken.frame, stop - self.settings.frames(SURE_SECONDS))
        if broken.event is not None and start == broken.frame:
            start = stop - self.settings.frames(SCALED_SECONDS)
        x, valid = track.read(start, stop)
        if not is_telling(x[valid], self.settings.step):
            return False
        back = self._normal_again(track, model, start, stop)
        new = back or self._changed(track, model, start, stop)
        if new is None:
            return False
        since = broken.frame if broken.event is None else start
        position = track.turn(model, new, since, stop)
        self._close(track, broken, position)
        told = self.watches[track.channel].change(new, position)
        found = None if back is not None else track.explain_to(model, start, stop)
        for event in told:
            if found is not None and event.kind is found.kind:
                event.confidence, event.alternatives = found.confidence, found.alternatives
        self._tell_all(track, told)
        track.normal = None if back is not None else track.normal or model
        track.follow(new, max(position, since))
        return True

    def _normal_again(self, track: Track, model: Model, start: int, stop: int) -> Model | None:
        """Return the model from before all changes, where it holds again and the present one does not."""
        normal = track.normal
        if normal is None:
            return None
        back = replace(model, source=normal.source, gain=normal.gain, dc=normal.dc, noise=normal.noise)
        return None if track.residual(back, start, stop)[0].any() else back

    def _changed(self, track: Track, model: Model, start: int, stop: int) -> Model | None:
        """Return the model with what the latest frames show to have changed, None where that is nothing that lasts."""
        found = track.explain_to(model, start, stop)
        if found is None or found.ended or found.kind not in _CHANGES:
            return None
        new = _CHANGES[found.kind](model, found)
        x, valid = track.read(start, stop)
        expected = new.expected(start, stop)
        noise = learn_noise((x - expected)[valid], expected[valid], self.settings.step)
        if noise.sigma > self._left_over(track, model):
            return None
        energy = float(expected[valid] @ expected[valid])
        if found.kind is Kind.GAIN and energy > 0.0:
            # A gain that is known from a short stretch is off where the signal is louder.
            noise = replace(noise, relative=max(noise.relative, FALSE_ALARM_Z * noise.sigma / math.sqrt(energy)))
        new = replace(new, noise=noise if noise.sigma > model.noise.sigma else model.noise)
        return None if track.residual(new, start, stop)[0].any() else new

    def _left_over(self, track: Track, model: Model) -> float:
        """Return the RMS that may be left of a stretch that is explained."""
        sigma = (track.calm or model.noise).sigma
        return max(2.0 * sigma, 0.6 * (self.settings.step or 0.0), 1e-9)

    def _has_passed(self, track: Track, broken: Broken, model: Model, stop: int) -> bool:
        """Continue where the model holds again after a stretch."""
        start = max(broken.frame, stop - 2 * self.settings.frames(SURE_SECONDS))
        at = np.flatnonzero(track.residual(model, start, stop)[0])
        if len(at) == 0 and broken.event is None:
            if not self._holds(track, model, start, stop, patient=False):
                return False
            track.follow(model, stop)  # with the clock a little corrected, nothing was wrong
            return True
        if len(at):
            broken.wrong_until = start + int(at[-1]) + 1
        following = np.append(at[1:], stop - start)
        apart = np.flatnonzero(following - at > self.settings.frames(GUARD_SECONDS))
        right = list(zip((start + at[apart] + 1).tolist(), (start + following[apart]).tolist(), strict=True))
        if broken.event is not None:
            last = right[-1:] if len(at) else [(broken.wrong_until, stop)]
            if not last or last[0][1] < stop or not self._holds(track, model, *last[0], patient=True):
                return False
            self._end_broken(track, broken, model, last[0][0], known=stop)
            return True
        passed = [end for end, until in right if self._holds(track, model, end, until, patient=False)]
        if not passed:
            return False
        found = self._explanations(track, model, broken.frame, passed[-1], stop)
        late = stop - broken.frame >= self.settings.frames(UNEXPLAINED_SECONDS)
        if not late and self._may_tell_more(found):
            return False
        self._end_broken(track, broken, model, passed[-1], found)
        return True

    def _holds(self, track: Track, model: Model, start: int, stop: int, *, patient: bool) -> bool:
        """Return whether frames that are right are enough, and show enough, to be sure of the model.

        What was reported already can wait until something is conclusive; silence is not.
        """
        x, valid = track.read(start, stop)
        there = int(np.count_nonzero(valid))
        if there < self.settings.frames(GUARD_SECONDS):
            return False
        if self.programme.in_step or (there >= self.settings.frames(SURE_SECONDS) and not patient):
            return True
        return self._tells_its_place(model, x, valid, start)

    def _tells_its_place(self, model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int) -> bool:
        """Return whether frames that are right under a model would not be right at any other place as well."""
        if np.count_nonzero(valid) < 2:
            return False
        if self._is_in_step(model, x, valid, start):
            return True
        level = float(np.sqrt(np.mean(np.square(np.diff(x[valid])))))
        return level > 2.0 * model.noise.floor and is_telling(x[valid], self.settings.step)

    @staticmethod
    def _is_in_step(model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int) -> bool:
        """Return whether frames show, beyond what noise may do, that they are not even half a frame off the model."""
        expected = model.expected(start, start + len(x))
        slope = np.gradient(expected)[valid]
        energy = float(slope @ slope)
        # Frames that are equal, value for value, may still be off by what rounding hides.
        sigma = model.noise.sigma or model.noise.floor / math.sqrt(3.0)
        if energy <= (2.0 * FALSE_ALARM_Z * sigma) ** 2:
            return False
        return abs(float((x - expected)[valid] @ slope)) < 0.5 * energy

    @staticmethod
    def _may_tell_more(found: list[Explanation]) -> bool:
        """Return whether the next frames may say more: what it is, or that it is over."""
        return not found or any(item.confidence < SURE_CONFIDENCE for item in found) or not found[-1].ended

    def _has_jumped(self, track: Track, broken: Broken, model: Model, stop: int) -> bool:
        """Continue where the recording plays from elsewhere."""
        start = max(broken.frame, stop - 3 * self.settings.frames(JUMP_SECONDS))
        x, valid = track.read(start, stop)
        if not is_telling(x[valid], self.settings.step):
            return False
        x = np.where(valid, x, 0.0)
        reach, place = self.settings.frames(REACH_SECONDS), start + model.shift
        around = self.programme.read(model.source, place - reach, place + len(x) + reach)
        match = np.maximum(math.copysign(1.0, model.gain) * correlate(np.diff(x), np.diff(around)), 0.0)
        # Of places that are alike, as those of a steady tone are, the near ones are tried.
        match *= 1.0 - _FARTHER / reach * np.abs(np.arange(len(match)) - reach)
        found = candidates(match, _MOST_JUMPS, apart=1, share=0.6)
        fitting: dict[int, tuple[float, Model]] = {}
        for item in found:
            moved = self._fitted(model.moved(item.offset - reach), x, valid, start)
            apart = round(moved.position(start) - model.position(start))
            fits = apart and not track.residual(moved, start, stop)[0].any() and self._is_nearer(moved, model, x, start)
            if fits and self._is_heard(moved, start, stop):
                fitting.setdefault(apart, (track.log_likelihood(moved, start, stop), moved))
        # Where a tone comes nearly back to its phase, many places fit; those that are as likely as any are alike.
        least = max((likelihood for likelihood, _ in fitting.values()), default=0.0) - SURE
        alike = {apart: moved for apart, (likelihood, moved) in fitting.items() if likelihood >= least}
        sure = stop - broken.frame >= self.settings.frames(UNEXPLAINED_SECONDS)
        if not alike or (len(alike) > 1 and not sure):
            return False
        chosen = alike.pop(min(alike, key=abs))
        self._jump(track, broken, model, chosen, stop, [*alike.values()])
        return True

    @staticmethod
    def _is_heard(model: Model, start: int, stop: int) -> bool:
        """Return whether what a model expects exceeds the noise: a pause of the recording fits any silence."""
        change = np.diff(model.expected(start, stop))
        return float(np.sqrt(np.mean(np.square(change)))) > _HEARD * model.noise.sigma

    @staticmethod
    def _is_nearer(one: Model, other: Model, x: NDArray[np.float64], start: int) -> bool:
        """Return whether a piece is clearly what one model expects, and not the other."""
        near, far = (x - model.expected(start, start + len(x)) for model in (one, other))
        return float(near @ near) < 0.25 * float(far @ far)

    @staticmethod
    def _fitted(model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int) -> Model:
        """Return a model between the frames at the fraction of a frame that a piece shows."""
        for _ in range(2 if model.between_frames else 0):
            between = model.programme.between(model.source, model.positions(start, start + len(x)))
            found = fit(x, between.value, valid, between.slope)
            model = replace(model, fraction=model.fraction + float(np.clip(found.delay, -1.0, 1.0)))
        return model

    def _jump(
        self, track: Track, broken: Broken, model: Model, new: Model, stop: int, alike: Sequence[Model] = ()
    ) -> None:
        """Continue with content from elsewhere on every channel that plays it, or from places ``alike``; report it."""
        apart = self.programme.distance(round(new.position(stop) - model.position(stop)), 0)
        members = [track]
        members += [
            other
            for other in self.tracks
            if other is not track and self._jumps_along(other, model, new, broken.frame, stop)
        ]
        breaks = [item.broken.frame for item in members if item.broken]
        first = min(breaks)
        moved = {item.channel: self._moved(item, new, model) for item in members}
        others = {item.channel: [self._moved(item, other, model) for other in alike] for item in members}
        back = max(first - self.settings.block_frames, self._oldest(stop))
        reached = back
        for item in members:
            wrong, _ = item.residual(moved[item.channel], back, stop)
            if wrong.any():
                reached = max(reached, back + int(np.flatnonzero(wrong)[-1]) + 1)
        before = {item.channel: item.model for item in members if item.model is not None}
        go_on = max(first, reached)
        self._tell_jump(members, before, first, go_on, apart, stop)
        for item in members:
            if item.broken is not None:
                self._close(item, item.broken, go_on)
                item.skip(item.broken.frame, go_on)
            # What was right before the jump was seen on other channels has been counted.
            item.follow(moved[item.channel], max(go_on, item.position))
            item.alike = others[item.channel]

    @staticmethod
    def _moved(track: Track, new: Model, old: Model) -> Model:
        """Return the model of a channel that jumps as ``new`` does from ``old``."""
        if track.model is None:
            raise AssertionError(f"channel {track.channel} has no model to move")
        if track.model is old:
            return new
        fraction = track.model.fraction + new.fraction - old.fraction
        return replace(track.model, shift=track.model.shift + new.shift - old.shift, fraction=fraction)

    def _jumps_along(self, other: Track, model: Model, new: Model, frame: int, stop: int) -> bool:
        """Return whether another channel plays from the same place, or is silent and cannot show it."""
        while other.model is not None and other.broken is None and other.position < stop:
            other.judge(stop)
            self._watch(other)
        if other.model is None or abs(other.model.position(frame) - model.position(frame)) > 0.5:
            return False
        if other.broken is not None and other.broken.frame < frame - self.settings.block_frames:
            return False
        start = max(frame, stop - self.settings.frames(JUMP_SECONDS) // 2)
        return not other.residual(self._moved(other, new, model), start, stop)[0].any()

    def _tell_jump(
        self, members: list[Track], before: dict[int, Model], first: int, go_on: int, apart: int, stop: int
    ) -> None:
        """Report a jump, unless it takes back one before it, or it is where the stream was found."""
        if all(self._may_be_unfound(item, before[item.channel], first) for item in members):
            for item in members:
                item.begin = go_on
            return
        for item in members:
            self._anchor(item, before[item.channel])
        if self._takes_back(members, first, go_on, apart, stop):
            return
        milliseconds = 1000.0 * abs(apart) / self.settings.sample_rate_hz
        what = "missing" if apart > 0 else "played again or inserted"
        between = go_on - first
        message = f"{abs(apart)} frames ({milliseconds:.3f} ms) {what}"
        if between and apart != -between:
            message += f", {between} frames between are neither"
        event = Event(SlipSize(slip_frames=apart), first, between, message=message)
        members = [item for item in members if not self._rename(item, event, go_on)]
        for item in members:
            event_of = event if len(members) == len(self.tracks) else replace(event)
            jump = _Jump(event_of, {item.channel: before[item.channel]})
            if event_of is event and self._pending and self._pending[-1].event is event:
                self._pending[-1].before |= jump.before
            else:
                self._pending.append(jump)

    def _may_be_unfound(self, track: Track, model: Model, frame: int) -> bool:
        """Return whether the model of a channel up to a frame was perhaps never its: it has not held for long yet."""
        if track.anchored_at >= 0 or frame - track.begin >= self.settings.frames(ANCHORED_SECONDS):
            return False
        x, valid = track.read(track.begin, frame)
        return not self._tells_its_place(model, x, valid, track.begin)

    def _rename(self, track: Track, event: Event, go_on: int) -> bool:
        """Make what was reported of a channel meanwhile the event that it was, where nothing else remains of it.

        A jump into silence looks like a dropout until there is sound again.
        """
        told = None if track.broken is None else track.broken.event
        if track.broken is None or told is None or told.start_frame != go_on:
            return False
        told.size, told.message = event.size, event.message
        self._close(track, track.broken, go_on)
        return True

    def _takes_back(self, members: list[Track], first: int, go_on: int, apart: int, stop: int) -> bool:
        """Report a stretch from elsewhere instead, where jumps cancel out."""
        channels = {item.channel for item in members}
        whole = len(members) == len(self.tracks)
        run = [
            jump for jump in self._pending if (set(jump.before) == channels if whole else set(jump.before) <= channels)
        ]
        back = sum(getattr(jump.event.size, "slip_frames", 0) for jump in run) // (
            1 if whole else max(1, len(channels))
        )
        if not run or back + apart:
            return False
        told = {channel: [jump.event for jump in run if jump.told and channel in jump.before] for channel in channels}
        if any(len(events) > 1 for events in told.values()):
            return False
        start = run[0].event.start_frame
        for item in members:
            model = next(jump.before[item.channel] for jump in run if item.channel in jump.before)
            until = max(go_on if go_on > first else first, start + 1)
            events = [event_of(found) for found in self._explanations(item, model, start, until, max(stop, until))]
            for known in told[item.channel]:
                longest = max(events, key=lambda event: event.duration_frames)
                events = [event for event in events if event is not longest]
                _become(known, longest)
                if not whole or item is members[0]:
                    self._tell(None if whole else item, known)
            self._tell_all(item, events)
        self._pending = [jump for jump in self._pending if all(jump is not other for other in run)]
        return True

    def _tell_pending(self, settled: int) -> None:
        """Report jumps that have lasted, up to a frame; what lasts longer is not taken back any more."""
        told, final = (settled - self.settings.frames(seconds) for seconds in (PENDING_SECONDS, RETURN_SECONDS))
        for jump in self._pending:
            event = jump.event
            if event.start_frame < (final if jump.told else told):
                event.open, jump.told = event.start_frame >= final, True
                whole = len(jump.before) == len(self.tracks)
                self._tell(None if whole else self.tracks[next(iter(jump.before))], event)
        self._pending = [jump for jump in self._pending if not jump.told or jump.event.open]

    def _tell_rest(self) -> None:
        """Report jumps that nothing takes back any more."""
        self._tell_pending(max((jump.event.start_frame for jump in self._pending), default=0) + self.history_frames)

    # Departures that last -------------------------------------------------------------------------------------------

    def _go_on_unexplained(self, track: Track, broken: Broken, model: Model, stop: int) -> None:
        """Report a departure that has not ended, and look for the content in other forms and elsewhere."""
        if broken.event is None and self._is_back(track, broken, model, stop):
            return
        if (broken.event is None or self._retries(stop)) and self._is_noisier(track, broken, model, stop):
            return
        if broken.event is None:
            # What follows the last wrong frame may be right, and only tell too little to be sure.
            until = min(max(broken.wrong_until, broken.frame + 1), stop)
            event = event_of(self._explanations(track, model, broken.frame, until, stop)[-1], is_open=True)
            broken.event = self.watches[track.channel].resume(event)
            broken.event.duration_frames = stop - broken.event.start_frame
            self._tell(track, broken.event)
        else:
            broken.event.duration_frames = stop - broken.event.start_frame
        length, search = stop - broken.frame, self.settings.frames(SEARCH_SECONDS)
        if length < search * (1 << broken.searches) * 1.1:
            return
        broken.searches += 1
        start = stop - search
        x, valid = track.read(start, stop)
        found = locate(
            self.programme,
            x,
            valid,
            start,
            channel=model.source,
            likely=[model, *(other.model for other in self.tracks if other.model is not None and other is not track)],
            expected=round(model.position(start)),
            step=self.settings.step,
            everywhere=True,
        )
        moves = found is not None and not found.between_frames and found.shift != model.shift
        if found is not None and moves and self._is_better(found, model, x, valid, start):
            self._jump(track, broken, model, replace(found, noise=_calmer(found.noise, model.noise)), stop)
        elif found is not None and (found.between_frames or found.source != model.source):
            self._go_on_otherwise(track, broken, found, start, stop)

    def _is_back(self, track: Track, broken: Broken, model: Model, stop: int) -> bool:
        """Continue from before a jump that is not reported yet, where that explains all: silence shows no place."""
        for before in (jump.before[track.channel] for jump in self._pending if track.channel in jump.before):
            if not track.residual(before, broken.frame, stop)[0].any():
                self._jump(track, broken, model, before, stop)
                return True
        return False

    def _go_on_otherwise(self, track: Track, broken: Broken, found: Model, start: int, stop: int) -> None:
        """Continue with a model that was found again, from where it holds."""
        wrong, _ = track.residual(found, start, stop)
        reached = start + int(np.flatnonzero(wrong)[-1]) + 1 if wrong.any() else start
        if stop - reached < self.settings.frames(JUMP_SECONDS):
            return
        self._close(track, broken, reached)
        track.skip(broken.frame, reached)
        self._tell_all(track, self.watches[track.channel].change(found, reached))
        track.follow(found, reached)

    def _is_better(
        self, found: Model, model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int
    ) -> bool:
        """Return whether a piece follows from another place clearly, and not only as poorly as from where it should."""
        before = static_fit(model, x, valid, start, self.settings.step)
        return before is None or found.noise.sigma < 0.5 * before.noise.sigma

    def _is_noisier(self, track: Track, broken: Broken, model: Model, stop: int) -> bool:
        """Continue with more noise where the recording continues under it."""
        # A departure that already has an event of another kind must last longer before it becomes noise.
        seconds = UNEXPLAINED_SECONDS if broken.event is None else EXPLAINED_SECONDS
        start = max(broken.frame, stop - self.settings.frames(seconds))
        if broken.event is None and self._gain_drifts(track, model, broken.frame, stop):
            return True
        x, valid = track.read(start, stop)
        content = model.expected(start, stop)
        wrong, _ = track.residual(model, start, stop)
        if start != broken.frame and np.count_nonzero(wrong) < NOISY_SHARE * len(x):
            return False
        if not wrong[-max(1, len(wrong) // 4) :].any():
            return False
        found = track.explain_to(model, start, stop)
        if found is None or found.kind not in NOISY:
            return False
        if broken.event is not None and broken.event.kind not in NOISY and found.confidence < SURE_CONFIDENCE:
            return False
        residual = (x - content)[valid]
        sigma, peak = float(np.sqrt(np.mean(np.square(residual)))), float(np.abs(residual).max())
        noise = Noise(max(sigma, model.noise.sigma), max(1.5 * peak, model.noise.floor), model.noise.relative)
        first = found.start if start == broken.frame else broken.frame
        event = replace(event_of(found, is_open=True), start_frame=first, duration_frames=stop - first)
        if broken.event is not None:
            first = broken.event.start_frame
            _become(broken.event, replace(event, start_frame=first, duration_frames=stop - first))
            event = broken.event
        told = self.watches[track.channel].begin_noise(event)
        if not told:
            self._close(track, broken, start)
        self._tell_all(track, told)
        if track.calm is None:
            track.calm, track.noisy_until = model.noise, max(first, broken.wrong_until)
        track.skip(broken.frame, start)
        track.follow(replace(model, noise=noise), start)
        return True

    def _gain_drifts(self, track: Track, model: Model, start: int, stop: int) -> bool:
        """Continue with a gain that is followed, where it changes along a line."""
        x, valid = track.read(start, stop)
        if model.between_frames or not is_telling(x[valid], self.settings.step):
            return False
        content = model.content(start, stop)
        time = np.linspace(-1.0, 1.0, len(x))
        shape = np.stack([content, content * time, np.ones_like(x)], axis=1)[valid]
        weights = np.linalg.lstsq(shape, x[valid], rcond=None)[0]
        left = x[valid] - shape @ weights
        allowed, rms = self._left_over(track, model), float(np.sqrt(np.mean(np.square(left))))
        if abs(weights[1]) * float(np.linalg.norm(shape[:, 1])) <= FALSE_ALARM_Z * rms:
            return False  # it is level
        if rms > allowed or not 0.5 < weights[0] / model.gain < 2.0:
            return False
        noise = replace(model.noise, floor=max(model.noise.floor, 0.6 * (self.settings.step or 0.0)))
        noise = replace(noise, relative=max(noise.relative, DRIFTING_RELATIVE))
        if np.any(np.abs(left) > np.broadcast_to(noise.threshold(weights[0] * content), x.shape)[valid]):
            return False  # some frames are wrong by themselves
        track.follow(replace(model, gain=float(weights[0]), gain_drifts=True, noise=noise), start)
        return True

    def _close(self, track: Track, broken: Broken, stop: int) -> None:
        """End the event of a departure that was reported while it continued."""
        event, broken.event = broken.event, None
        if event is not None and event is not self.watches[track.channel].noisy:
            event.duration_frames = max(0, stop - event.start_frame)
            event.open = False
            self._tell(track, event)

    def _end_broken(
        self,
        track: Track,
        broken: Broken,
        model: Model,
        stop: int,
        found: list[Explanation] | None = None,
        *,
        known: int | None = None,
        last: bool = False,
    ) -> None:
        """Report a stretch that has ended, and continue after it; frames are known up to ``known``."""
        event = broken.event
        if event is None:
            for item in found or self._explanations(track, model, broken.frame, stop, stop):
                self._tell_stretch(track, item, stop, last=last)
        else:
            self._call_silence(track, event, stop, last=last)
            if known is None or self._is_over(track, model, event, stop, known):
                self._close(track, broken, stop)
            else:
                event.duration_frames, broken.event = stop - event.start_frame, None
                self._tell_all(track, self.watches[track.channel].recur(event))
        track.skip(broken.frame, stop)
        track.explained = stop
        track.follow(model, stop)

    def _tell_stretch(self, track: Track, found: Explanation, stop: int, *, last: bool) -> None:
        """Report what a stretch was; where nothing shows that it is over it may come again."""
        event = event_of(found)
        self._call_silence(track, event, stop, last=last)
        watch = self.watches[track.channel]
        self._tell_all(track, [event] if found.ended and not watch.recurs(event) else watch.recur(event))

    def _call_silence(self, track: Track, event: Event, stop: int, *, last: bool) -> None:
        """Call a dropout that the channel begins with, or that lasts to the end, what it is: no signal."""
        frames = stop - event.start_frame
        if event.size == DropoutSize(held_value=0.0):
            at_start = event.start_frame <= track.first_frame + 1 and frames >= self.settings.frames(GUARD_SECONDS)
            if at_start or (last and frames >= self.settings.frames(SURE_SECONDS)):
                event.size, event.message = SilenceSize(held_value=0.0), "no signal"

    def _explanations(self, track: Track, model: Model, start: int, stop: int, known: int) -> list[Explanation]:
        """Return what a stretch is that is wrong by a model, where frames are known up to ``known``; one at least."""
        longest = self.settings.frames(EXPLAINED_SECONDS)
        # What follows shows whether it is over.
        known = min(known, start + longest + self.settings.frames(JUMP_SECONDS))
        whole = track.departure(model, start, min(stop, start + longest), known)
        wrong = track.threshold(model, whole.start, whole.start + len(whole.x), whole.expected, whole.x)
        return explain_all(whole, wrong, _faults(self.watches[track.channel].clip_level)) or [anything(whole)]

    def _is_over(self, track: Track, model: Model, event: Event, stop: int, known: int) -> bool:
        """Return whether frames after ``stop``, up to ``known``, show that an event reported before is over."""
        start = max(event.start_frame, stop - self.settings.frames(EXPLAINED_SECONDS))
        if start >= stop:
            return True
        whole = track.departure(model, start, stop, min(known, stop + self.settings.frames(JUMP_SECONDS)))
        found = explain(whole, _faults(getattr(event.size, "clip_level", None)))
        return found is None or found.ended or found.kind is not event.kind

    def _oldest(self, stop: int) -> int:
        return max(0, stop - self.history_frames)


def _faults(clip_level: float | None) -> tuple[FaultModel, ...]:
    """Return the faults that are tried where peaks are being cut off at a level, or None is."""
    return FAULTS if clip_level is None else (*FAULTS, Clipping(clip_level))


def _become(event: Event, other: Event) -> None:
    """Let an event that was reported be another one."""
    event.size, event.message, event.open = other.size, other.message, other.open
    event.start_frame, event.duration_frames = other.start_frame, other.duration_frames
    event.confidence, event.alternatives = other.confidence, other.alternatives


def _calmer(one: Noise, other: Noise) -> Noise:
    return one if one.sigma < other.sigma else other


def _times(model: Model, gain: float) -> Model:
    return replace(model, gain=gain * model.gain, dc=gain * model.dc)
