"""A channel of a recording as the engine of explanations sees it, and the events of what it explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain import Explanation, Moved
from rtpverify.detect.explain import Noise as Spread
from rtpverify.detect.noise_thresholds import SMALLEST_NOISE, is_plain
from rtpverify.detect.recording.model import Model
from rtpverify.detect.recording.settings import Settings
from rtpverify.dsp.align import candidates, correlate
from rtpverify.dsp.slip import FALSE_ALARM_Z
from rtpverify.events import ChannelSwapSize, Event, RepeatSize, SlipSize

REACH_SECONDS = 1.0
_MOST_PLACES, _SHARE = 4, 0.9
_AS_GOOD = 2.0
"""Places that leave up to so many times the energy of the best, or of the noise, are as good; the nearest counts."""
_RECTANGULAR = math.sqrt(12.0)


@dataclass(frozen=True)
class ModelReference:
    """What a model expects of a channel."""

    model: Model
    settings: Settings

    @property
    def sample_rate_hz(self) -> int:
        """Of the stream."""
        return self.settings.sample_rate_hz

    @property
    def bits(self) -> int | None:
        """Word length of the encoding."""
        return self.settings.bits

    @property
    def omega(self) -> float | None:
        """A recording has no frequency."""
        return None

    @property
    def backwards(self) -> bool:
        """Whether time runs backwards: never."""
        return False

    def expected(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return what is expected of frames ``start`` to ``stop``, shape (stop - start,).

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        NDArray[np.float64]
            Full scale ±1.0.
        """
        return self.model.expected(start, stop)

    def noise(self, start: int, stop: int) -> Spread:
        """Return the noise of these frames in order.

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        Spread
            The noise.
        """
        model, settings, step = self.model, self.settings, self.settings.step
        if step is not None and is_plain(step, model.noise.floor):
            return Spread.of_rounding(step)
        sigma = max(model.noise.sigma, SMALLEST_NOISE)
        if model.is_static and not settings.companded:
            return Spread(sigma)
        expected = model.expected(start, stop)
        # What goes with the signal is known by the deviation that no frame reaches.
        threshold = model.threshold(start, stop, expected, expected) / FALSE_ALARM_Z
        if settings.companded:
            threshold = np.maximum(threshold, settings.companding(expected) / _RECTANGULAR)
        return Spread(np.maximum(np.broadcast_to(threshold, expected.shape), sigma))

    def elsewhere(self, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> Sequence[Moved]:
        """Return where else in the recording, within a second, frames may be.

        Parameters
        ----------
        start
            First frame.
        x
            The frames, shape (n,).
        valid
            Which of them are there, shape (n,).

        Returns
        -------
        Sequence[Moved]
            Few, the likeliest first.
        """
        reach, model = self.settings.frames(REACH_SECONDS), self.model
        place = round(model.position(start))
        around = model.programme.read(model.source, place - reach, place + len(x) + reach)
        piece = np.diff(np.where(valid, x, 0.0)).astype(np.float32)
        match = math.copysign(1.0, model.gain) * correlate(piece, np.diff(around).astype(np.float32))
        found = candidates(np.maximum(match, 0.0), _MOST_PLACES, apart=1, share=_SHARE)
        lags = sorted((item.offset - reach for item in found if item.offset != reach), key=abs)
        moved = [replace(self, model=model.moved(lag)) for lag in lags]
        left = [float(np.sum(np.square(x - item.expected(start, start + len(x))), where=valid)) for item in moved]
        least = max(min(left, default=0.0), len(x) * self.noise(start, start + len(x)).rms ** 2)
        prior = math.log(2.0 * reach)
        return [
            Moved(item, SlipSize(slip_frames=lag), 0, prior)
            for item, lag, energy in zip(moved, lags, left, strict=True)
            if energy <= _AS_GOOD * least
        ]

    def others(self) -> Sequence[Moved]:
        """Return what the other channels of the recording hold at the same place.

        Returns
        -------
        Sequence[Moved]
            One for each other channel.
        """
        model = self.model
        sources = (source for source in range(model.programme.channels) if source != model.source)
        return [
            Moved(replace(self, model=replace(model, source=source)), ChannelSwapSize(reference_channel=source + 1), 0)
            for source in sources
        ]


def event_of(found: Explanation, *, is_open: bool = False) -> Event:
    """Return the event of an explanation: content from earlier on, and in phase again afterwards, is a repeat.

    Parameters
    ----------
    found
        The explanation.
    is_open
        Whether it continues.

    Returns
    -------
    Event
        The event.
    """
    size, message = found.size, found.message
    if found.ended and isinstance(size, SlipSize) and size.slip_frames is not None and size.slip_frames < 0:
        size = RepeatSize(repeat_distance_frames=-size.slip_frames)
        message = f"had arrived {size.repeat_distance_frames} frames before"
    return Event(
        size,
        found.start,
        found.stop - found.start,
        message=message,
        confidence=found.confidence,
        alternatives=found.alternatives,
        open=is_open,
    )
