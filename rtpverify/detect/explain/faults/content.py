"""Content that is not the one expected: arrived before, from elsewhere, of another channel, another tone, anything."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure
from rtpverify.detect.explain.likelihood import SMALLEST_SIGMA, Noise
from rtpverify.detect.explain.model import (
    LONGEST_CLICK_SECONDS,
    Cheap,
    Description,
    Explained,
    Fitted,
    following,
    told,
    with_noise,
    without_chain,
)
from rtpverify.dsp.align import candidates, correlate
from rtpverify.dsp.sine import FreeFit, find_omega, fit_free, omega_deviation
from rtpverify.events import ChannelSwapSize, EventSize, FrequencySize, Kind, MismatchSize, RepeatSize, SlipSize

LEAST_COPY_FRAMES = 8
"""Fewer frames are somewhere in the past by chance."""
_PIECE_SECONDS = 0.05
"""So much of a departure says where it comes from; more costs time and says no more."""
_MOST_COPIES, _COPY_SHARE = 8, 0.9
"""So many places are compared frame by frame, those that correlate nearly as well as the best."""
_MOST_EXACT = 64
"""Places whose first frames are the same; content that repeats itself more often is told by the nearest anyway."""
_TELLING_COPY = 16.0
"""Range of a stretch, over the noise, from which on its copy differs from others by more than chance."""
_MOST_EXCHANGED_SECONDS = 0.2
"""Two packets or two buffers of a sound card, hardly longer."""
_CHANCE = 8
"""Frames at an edge that are right by chance."""
_LEAST_TONE_SECONDS = 0.005
_MOST_TONE_FRAMES = 4096
"""So many tell a frequency that predicts a quarter of a second."""
_PURE = 0.05
"""A tone leaves less than this share of its amplitude."""


class Repeat(Cheap):
    """Frames that arrived before, exactly."""

    kind = Kind.REPEAT
    prior = 3.0
    least_seconds, most_seconds = 0.0, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the past from as far back as it holds the same frames."""
        past, piece = departure.past, _piece(departure, core)
        back = _exact_copy(departure.x[piece], past[: len(departure.history) + piece.start])
        return [] if back is None else _repeated(departure, core, past, [back])


class NoisyRepeat:
    """The same with noise of its own."""

    kind = Kind.REPEAT
    prior = 3.0
    least_seconds, most_seconds = 0.0, math.inf

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Tell that it correlates frames with the whole past."""
        return True

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the past from as far back as it resembles the frames most."""
        past, piece = departure.past, _piece(departure, core)
        x, past_only = departure.x[piece], past[: len(departure.history) + piece.start]
        level = float(np.mean(departure.noise.sigma)) + departure.noise.bound
        if not LEAST_COPY_FRAMES <= len(x) <= len(past_only) or np.ptp(x) <= _TELLING_COPY * level:
            return []
        places = candidates(correlate(x, past_only), _MOST_COPIES, apart=1, share=_COPY_SHARE)
        back = sorted(len(past_only) - place.offset for place in places if place.correlation > 0.0)
        return _repeated(departure, core, past, back)


def _piece(departure: Departure, core: slice) -> slice:
    """Return so many frames that arrived, all of them, as tell where they come from: of the longest run of such."""
    edges = np.flatnonzero(np.diff(departure.valid[core], prepend=False, append=False)).reshape(-1, 2)
    if len(edges) == 0:
        return slice(core.start, core.start)
    first, last = edges[int(np.diff(edges, axis=1).argmax())].tolist()
    return slice(core.start + first, core.start + min(last, first + departure.frames(_PIECE_SECONDS)))


def _exact_copy(x: NDArray[np.float64], past: NDArray[np.float64]) -> int | None:
    """Return how many frames back a piece stands in the past, which ends where it begins; None where it does not."""
    n = len(x)
    if not LEAST_COPY_FRAMES <= n <= len(past) or np.ptp(x) == 0.0:
        return None
    starts = np.flatnonzero(past[: len(past) - n + 1] == x[0])
    for offset in (n // 2, n - 1, n // 4, 3 * n // 4):
        starts = starts[past[starts + offset] == x[offset]]
    same = (int(start) for start in starts[::-1][:_MOST_EXACT] if np.array_equal(past[start : start + n], x))
    return next((len(past) - start for start in same), None)


def _repeated(departure: Departure, core: slice, past: NDArray[np.float64], back: Sequence[int]) -> list[Explained]:
    """Return the nearest place in the past that explains the frames."""
    before = len(departure.history)
    for lag in back:
        signal = np.zeros(len(departure.x))
        first = max(0, lag - before)
        signal[first:] = past[before + first - lag : before + len(departure.x) - lag]
        text, size = f"had arrived {lag} frames before", RepeatSize(repeat_distance_frames=lag)
        # Which of all lags it is has to be said; nearer ones are likelier, and found first.
        found = without_chain(departure, core, signal, 0, told(size, text), most=2.0, prior=math.log(len(past)))
        if found is not None:
            return [found]
    return []


class Slip:
    """Content of another place of the reference: as if frames were missing, or came twice."""

    kind = Kind.SLIP
    prior = 2.0
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def costly(self, departure: Departure) -> bool:
        """Tell whether it correlates frames with a recording."""
        return departure.reference.omega is None

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the reference from wherever it knows the content of the frames to be."""
        part = slice(core.start, min(core.stop, core.start + departure.frames(_PIECE_SECONDS)))
        moved = departure.reference.elsewhere(departure.start + part.start, departure.x[part], departure.valid[part])
        fitted = (
            with_noise(
                departure,
                core,
                departure.at(item.reference),
                item.parameters,
                told(item.size, _slipped(item.size)),
                item.prior,
            )
            for item in moved
        )
        return [item for found in fitted for item in following(departure, core, found)]


def _slipped(size: EventSize) -> str:
    frames = size.slip_frames if isinstance(size, SlipSize) else None
    if frames is None:
        return "content from elsewhere"
    return f"{abs(frames)} frames {'missing' if frames > 0 else 'played again or inserted'}"


def _exchanged(size: EventSize) -> str:
    channel = size.reference_channel if isinstance(size, ChannelSwapSize) else None
    return f"carries channel {channel} of the reference"


class ChannelSwap(Cheap):
    """What another channel should carry."""

    kind = Kind.CHANNEL_SWAP
    prior = 3.0
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return what is expected of the channel that the frames resemble most."""
        others = departure.reference.others()
        if not others:
            return []
        part = slice(core.start, min(core.stop, core.start + departure.frames(_PIECE_SECONDS)))
        first, last = departure.start + part.start, departure.start + part.stop
        [x] = departure.seen(part, departure.x)
        left = [item.reference.expected(first, last)[departure.fitted_frames[part]] - x for item in others]
        item = others[int(np.argmin([float(residual @ residual) for residual in left]))]
        text = told(item.size, _exchanged(item.size))
        found = with_noise(departure, core, departure.at(item.reference), item.parameters, text, item.prior)
        return following(departure, core, found)


class Exchanged:
    """Two neighbouring blocks of equal length, each in the other's place."""

    kind = Kind.MISMATCH
    prior = 3.0
    least_seconds, most_seconds = 0.0, _MOST_EXCHANGED_SECONDS

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Tell that it compares the frames with many places."""
        return True

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:  # noqa: ARG002
        """Return the blocks whose middle lies where the one gives way to the other."""
        n = departure.stop - departure.first
        if n < 2 * LEAST_COPY_FRAMES or departure.reference.omega is not None:
            return []
        half = (n + 1) // 2
        found = [self._of(departure, block) for block in range(half, half + min(_CHANCE, n // 8) + 1)]
        return [item for item in found if item is not None][:1]

    @staticmethod
    def _of(departure: Departure, block: int) -> Explained | None:
        later, earlier = (departure.at(departure.reference, lag) for lag in (block, -block))
        near = slice(max(0, departure.first - _CHANCE), departure.stop)
        gain = [departure.noise.log_likelihood(departure.x - signal)[near] for signal in (later, earlier)]
        middle = near.start + int(np.concatenate([[0.0], np.cumsum(gain[0] - gain[1])]).argmax())
        start, stop = middle - block, middle + block
        if start < 0 or stop > len(departure.x):
            return None
        signal = departure.expected.copy()
        signal[start:middle], signal[middle:stop] = later[start:middle], earlier[middle:stop]
        text = f"two blocks of {block} frames, each in the other's place"
        found = with_noise(departure, slice(start, stop), signal, 2, told(MismatchSize(exchanged_frames=block), text))
        return found if found.complete else None


class Frequency:
    """Another tone."""

    kind = Kind.FREQUENCY
    prior = 2.0
    least_seconds, most_seconds = _LEAST_TONE_SECONDS, math.inf

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Tell that it searches a spectrum, and fits a frequency."""
        return True

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return the tone that the frames are, where its frequency is not the one expected."""
        valid = departure.valid[core]
        found = _tone(departure.x[core], valid, departure.start + core.start)
        omega = departure.reference.omega
        if omega is None:
            should = _tone(departure.expected[core], valid, departure.start + core.start)
            omega = None if should is None else should.sine.omega
        if found is None or omega is None:
            return []
        sine = found.sine
        noise = max(found.rms, float(np.mean(departure.noise.sigma))) / sine.amplitude
        if abs(sine.omega - omega) < 4.0 * omega_deviation(noise, core.stop - core.start):
            return []
        frequency_hz = sine.omega * departure.reference.sample_rate_hz / (2.0 * math.pi)
        signal = sine.at(departure.start, departure.start + len(departure.x))
        text = f"a tone of {frequency_hz:.3f} Hz"
        return [with_noise(departure, core, signal, 4, told(FrequencySize(frequency_hz=frequency_hz), text))]


def _tone(x: NDArray[np.float64], valid: NDArray[np.bool_], start: int) -> FreeFit | None:
    """Return the tone that the frames in the middle are; None where they are none."""
    first = max(0, len(x) - _MOST_TONE_FRAMES) // 2
    part = slice(first, first + _MOST_TONE_FRAMES)
    x, valid, start = x[part], valid[part], start + first
    omega = find_omega(np.where(valid, x, 0.0))
    found = None if omega is None else fit_free(x, start, omega, valid)
    return None if found is None or found.rms > _PURE * found.sine.amplitude else found


def describe_mismatch(departure: Departure, frames: slice) -> Description:
    """Return size and message of anything but the reference."""
    x, expected = departure.seen(frames, departure.x, departure.expected)
    off = float(np.abs(x - expected).max(initial=0.0))
    return MismatchSize(deviation=off), f"not what the recording holds, off by up to {off:.3g} of full scale"


class Mismatch(Cheap):
    """Frames that have nothing to do with the recording."""

    kind = Kind.MISMATCH
    prior = 2.0
    least_seconds, most_seconds = LONGEST_CLICK_SECONDS, math.inf

    def fit(self, departure: Departure, core: slice) -> Sequence[Fitted]:
        """Return noise of the level of the frames, whatever was expected."""
        [x] = departure.seen(core, departure.x)
        if departure.reference.omega is not None or len(x) == 0:
            return []
        middle, spread = float(x.mean()), float(x.std())
        noise = Noise(max(spread, SMALLEST_SIGMA, departure.step or 0.0))
        return [Explained(np.full(len(departure.x), middle), noise, 1, describe_mismatch, complete=False, spreads=1)]
