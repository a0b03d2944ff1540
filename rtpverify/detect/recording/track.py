"""One channel of one stream: its model, what is checked of it, and the departure that is being explained."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain import Departure, Explanation, change_frame, explain
from rtpverify.detect.recording.measurement import Measurement, Window
from rtpverify.detect.recording.model import MOST_RELATIVE, Model, Noise
from rtpverify.detect.recording.reference import ModelReference
from rtpverify.detect.recording.settings import Settings
from rtpverify.events import Event

Read = Callable[[int, int], tuple[NDArray[np.float64], NDArray[np.bool_]]]

SPAN_BLOCKS = 64
"""Blocks that are checked at once where nothing has to be followed."""
WINDOW_SECONDS = 1.0
HISTORY_SECONDS = 1.0
"""How long before a departure the same frames are looked for."""
BEFORE_SECONDS = 0.005
"""An edge may lie so long before the first frame that shows."""
TURN_SECONDS = 0.04
"""How far from the first frame that is wrong for sure a change may have begun: noise hides a small one for so long."""
_DELAY_WANDER = 0.001
"""Frames by which the place may wander in a block, one standard deviation."""
_GAIN_WANDER = 1e-4
_DELAY_SHARE = 0.2
"""Share of a measured delay that is followed; the clock follows critically damped."""
_RATE_SHARE = _DELAY_SHARE**2 / (2.0 - _DELAY_SHARE)
_LEAST_RELATIVE = 1e-4
"""Residual that interpolation may leave, relative to the signal."""
_LARGEST_RATE = 1e-3
_MODELS_KEPT = 16


@dataclass(slots=True)
class Broken:
    """A departure: its first wrong frame, up to where it was examined, and its event once it is reported.

    ``wrong_until`` is the frame after the last wrong one that was seen.
    """

    frame: int
    tried: int
    wrong_until: int
    event: Event | None = None
    searches: int = 0


class Track:
    """One channel, checked up to ``position``.

    Parameters
    ----------
    channel
        Counted from 0.
    settings
        How it is checked.
    read
        Returns frames of the channel, and which of them are there.

    Attributes
    ----------
    model
        None as long as the channel has not been found in the recording.
    begin, first_frame
        Frame from which it is to be checked, while it has no model, and that from which on it is of one sender.
    searches, search_at
        How often it was looked for, and the frame up to which the next piece is taken.
    anchored
        Whether the model has held for a while since the channel was found.
    broken
        The departure that is being explained.
    windows
        Completed windows that wait to be checked.
    """

    def __init__(self, channel: int, settings: Settings, read: Read) -> None:
        self.channel = channel
        self.settings = settings
        self.read = read
        self.model: Model | None = None
        self.first: Model | None = None
        self.last: Model | None = None
        self.normal: Model | None = None
        """The model from before gain, polarity, offset or channel changed, while they have."""
        self.begin = self.position = self.first_frame = 0
        self.searches = 0
        self.search_at = 0
        self.anchored_at = 0
        self.alike: list[Model] = []
        """Models of other places, as likely as that of the model when the content jumped to it."""
        self.broken: Broken | None = None
        self.broken_at = -1
        self._explanation: tuple[tuple[Model, int, int], Explanation | None] | None = None
        """The latest, and what it is of: in one block it is asked for more than once."""
        self.explained = 0
        """The frame up to which all that departs is reported."""
        self.attempts = 0
        """How often what explained the departure at ``broken_at`` did not hold there."""
        self.measured = Measurement(settings.frames(WINDOW_SECONDS))
        self.windows: list[Window] = []
        self.ever_acquired = False
        self.calm: Noise | None = None
        """Noise from before a noisy stretch that continues."""
        self.noisy_until = 0
        """The frame after the last one that is wrong for that noise."""
        self.calm_frames = 0
        """Frames since then that were not silent."""
        self._followed: deque[tuple[int, Model]] = deque(maxlen=_MODELS_KEPT)
        """The latest models, and from which frame on each was followed."""
        self.unjudged = 0
        """Frames that had left the history before the channel was found."""

    def follow(self, model: Model, position: int) -> None:
        """Continue with a model from a frame.

        Parameters
        ----------
        model
            The model.
        position
            The frame.
        """
        self._followed.append((position, model))
        self.model = self.last = model
        self.position = position
        self.broken = None
        self.measured.begin(position)

    def model_before(self, frame: int) -> Model | None:
        """Return the model that was followed up to a frame, the oldest that is known at least.

        Parameters
        ----------
        frame
            The frame.

        Returns
        -------
        Model or None
            None where none was followed.
        """
        known = [model for position, model in self._followed if position < frame]
        return known[-1] if known else self._followed[0][1] if self._followed else None

    def judge(self, stop: int) -> None:
        """Check frames up to ``stop`` or the first one that is wrong.

        Parameters
        ----------
        stop
            The frame after the last.
        """
        model, block = self.model, self.settings.block_frames
        if model is None:
            raise AssertionError(f"channel {self.channel} has no model")
        # What is followed, or depends on its surroundings, is judged in fixed pieces, however the input is cut.
        single = not model.is_static or self.calm is not None
        whole = self.position // block + (1 if single else SPAN_BLOCKS)
        stop = min(stop, whole * block)
        x, valid = self.read(self.position, stop)
        if model.is_identity and self.calm is None and valid.all() and model.holds(self.position, stop).all():
            content = model.content(self.position, stop)
            if np.array_equal(x, content):
                self.last = model
                self.windows += self.measured.add_equal(self.position, x)
                self.position += len(x)
                return
        if model.between_frames:
            content, residual, wrong, after = self._follow_clock(model, x, valid, stop)
        else:
            content = model.content(self.position, stop)
            after = self._follow_gain(model, x, content, valid) if model.gain_drifts else model
            expected = content if after.is_identity else after.gain * content + after.dc
            residual = x - expected
            wrong = valid & (np.abs(residual) > self.threshold(after, self.position, stop, expected, x))
        if wrong.any():
            first = int(wrong.argmax())
            x, content, residual, valid = x[:first], content[:first], residual[:first], valid[:first]
            frame = self.position + first
            self.attempts = self.attempts + 1 if frame == self.broken_at else 0
            self.broken_at = frame
            self.broken = Broken(frame, frame, frame + 1)
        else:
            self.model = self.last = after
        if self.calm is not None:
            self._watch_calm(x, residual, valid, self.calm)
        held = np.full(len(x), np.nan) if model.between_frames else content
        there = valid & model.holds(self.position, self.position + len(x))
        self.measured.compare(self.position, x, held, there)
        self.windows += self.measured.add(self.position, x, content, residual, valid)
        self.position += len(x)

    def _watch_calm(
        self, x: NDArray[np.float64], residual: NDArray[np.float64], valid: NDArray[np.bool_], calm: Noise
    ) -> None:
        """Note whether a noisy stretch has ended."""
        noisy = np.flatnonzero(valid & (np.abs(residual) > calm.floor))
        if len(noisy):
            self.noisy_until = self.position + int(noisy[-1]) + 1
            self.calm_frames = 0
            x = x[int(noisy[-1]) :]
        self.calm_frames += int(np.count_nonzero(np.diff(x)))

    @staticmethod
    def _follow_gain(
        model: Model, x: NDArray[np.float64], content: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> Model:
        """Return the model at the gain of a block."""
        energy = float(content[valid] @ content[valid])
        if energy < 1e4 * max(model.noise.sigma, 1e-9) ** 2:
            return model
        return replace(model, gain=float((x[valid] - model.dc) @ content[valid]) / energy)

    def _follow_clock(
        self, model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], stop: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], Model]:
        """Return content, residual and wrong frames of a block, and the model after it, clock and gain followed."""
        between = model.programme.between(model.source, model.positions(self.position, stop))
        expected = model.gain * between.value + model.dc
        slope = model.gain * between.slope
        noise = model.noise
        threshold = self.threshold(model, self.position, stop, expected, x)
        residual = np.where(valid, x - expected, 0.0)
        # A wrong frame must not pull the clock along.
        mild = np.clip(residual, -threshold, threshold)
        sigma = max(noise.sigma, 1e-9)
        delay = float(mild @ slope) / (float(slope @ slope) + (sigma / _DELAY_WANDER) ** 2)
        residual = np.where(valid, residual - delay * slope, 0.0)
        wrong = valid & (np.abs(residual) > threshold)
        energy = float(expected @ expected)
        gain = float(np.clip(residual, -threshold, threshold) @ expected) / (energy + (sigma / _GAIN_WANDER) ** 2)
        frames = stop - self.position
        middle = self.position + (frames - 1) / 2
        fraction = model.fraction + model.rate * (middle - model.anchor) + _DELAY_SHARE * delay
        whole = round(fraction)
        rate = float(np.clip(model.rate + _RATE_SHARE * delay / frames, -_LARGEST_RATE, _LARGEST_RATE))
        after = replace(
            model,
            shift=model.shift + whole,
            fraction=fraction - whole,
            anchor=middle,
            rate=rate,
            gain=model.gain * (1.0 + 0.2 * gain),
            noise=replace(noise, relative=self._relative(noise.relative, residual, expected, noise.floor)),
        )
        return between.value, residual, wrong, after

    @staticmethod
    def _relative(relative: float, residual: NDArray[np.float64], expected: NDArray[np.float64], floor: float) -> float:
        """Return what a residual may have that goes with the signal: slowly more where it comes near it."""
        relative = max(relative, _LEAST_RELATIVE)
        peak = float(np.abs(expected).max(initial=0.0))
        seen = (float(np.abs(residual).max(initial=0.0)) - floor) / peak if peak > 0.0 else 0.0
        return min(max(relative, min(seen / 0.7, 1.15 * relative)), MOST_RELATIVE)

    def skip(self, start: int, stop: int) -> None:
        """Count frames of a stretch that is not checked, because it is wrong.

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.
        """
        if self.model is not None and start < stop:
            x, valid = self.read(start, stop)
            held = self.model.content(start, stop) if not self.model.between_frames else np.full(len(x), np.nan)
            self.measured.compare(start, x, held, valid & self.model.holds(start, stop))

    def residual(self, model: Model, start: int, stop: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which frames are wrong under a model, and which of them are there.

        Parameters
        ----------
        model
            The model.
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        wrong : NDArray[np.bool_]
            Shape (stop - start,).
        valid : NDArray[np.bool_]
            Shape (stop - start,).
        """
        x, valid = self.read(start, stop)
        expected = model.expected(start, stop)
        return valid & (np.abs(x - expected) > self.threshold(model, start, stop, expected, x)), valid

    def departure(self, model: Model, start: int, stop: int, known: int) -> Departure:
        """Return frames ``start`` to ``stop``, which are wrong by a model, and what is around them up to ``known``.

        Parameters
        ----------
        model
            The model.
        start
            First frame.
        stop
            The frame after the last.
        known
            The frame after the last that is known.

        Returns
        -------
        Departure
            The departure.
        """
        before = max(self.begin, min(self.explained, start), start - self.settings.frames(BEFORE_SECONDS), 0)
        x, valid = self.read(before, known)
        past, there = self.read(max(0, before - self.settings.frames(HISTORY_SECONDS)), before)
        history = past if there.all() else np.where(there, past, 0.0)
        reference = ModelReference(model, self.settings)
        return Departure(before, x, valid, start - before, stop - before, history, reference)

    def explain_to(self, model: Model, start: int, stop: int) -> Explanation | None:
        """Return the best explanation of frames that are wrong by a model, up to the last that is known.

        Parameters
        ----------
        model
            The model.
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        Explanation or None
            None where nothing explains them.
        """
        key = model, start, stop
        if self._explanation is None or self._explanation[0] != key:
            self._explanation = key, explain(self.departure(model, start, stop, stop))
        return self._explanation[1]

    def log_likelihood(self, model: Model, start: int, stop: int) -> float:
        """Return how likely the frames that arrived are under a model, in nats.

        Parameters
        ----------
        model
            The model.
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        float
            In nats.
        """
        return float(self._log_likelihood(model, start, stop).sum())

    def _log_likelihood(self, model: Model, start: int, stop: int) -> NDArray[np.float64]:
        """Return that of each frame, 0 for those that did not arrive, shape (stop - start,)."""
        x, valid = self.read(start, stop)
        likelihood = (
            ModelReference(model, self.settings).noise(start, stop).log_likelihood(x - model.expected(start, stop))
        )
        return np.where(valid, likelihood, 0.0)

    def turn(self, old: Model, new: Model, first: int, stop: int) -> int:
        """Return the frame at which one model gives way to another, near the first frame that is wrong by the old.

        Parameters
        ----------
        old
            The model before.
        new
            The model after.
        first
            The first frame that is wrong by the old one.
        stop
            The frame after the last.

        Returns
        -------
        int
            First frame of the new one.
        """
        reach = self.settings.frames(TURN_SECONDS)
        start, stop = max(self.begin, first - reach, 0), min(stop, first + reach)
        return start + change_frame(self._log_likelihood(old, start, stop), self._log_likelihood(new, start, stop))

    def threshold(
        self, model: Model, start: int, stop: int, expected: NDArray[np.float64], x: NDArray[np.float64]
    ) -> NDArray[np.float64] | float:
        """Return the deviation that no clean frame reaches under a model.

        What G.711 rounds off is known, however quiet the frames were that the noise was learned from; where it rounds
        nothing, because the recording is of its values, each frame has to be exact.

        Parameters
        ----------
        model
            The model.
        start
            First frame.
        stop
            The frame after the last.
        expected
            What the frames should be, shape (stop - start,).
        x
            What they are, shape (stop - start,).

        Returns
        -------
        NDArray[np.float64] or float
            Full scale ±1.0, shape (stop - start,) where it differs.
        """
        threshold = model.threshold(start, stop, expected, x)
        if self.settings.companded and model.noise.sigma > 0.0:
            return np.maximum(threshold, self.settings.companding(expected))
        return threshold
