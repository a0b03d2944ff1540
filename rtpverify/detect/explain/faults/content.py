"""Content that is not the one expected: arrived before, from elsewhere, of another channel, another tone, anything."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain.departure import Departure, FittedFrames
from rtpverify.detect.explain.likelihood import SMALLEST_SIGMA, Noise
from rtpverify.detect.explain.model import (
    Describe,
    Description,
    Explained,
    FaultModel,
    Fitted,
    following,
    told,
    with_noise,
    without_chain,
)
from rtpverify.dsp.align import candidates, correlate
from rtpverify.dsp.sine import FreeFit, fit_free, omega_deviation, refine_omega, share_near, strongest_line
from rtpverify.events import ChannelSwapSize, EventSize, FrequencySize, Kind, MismatchSize, RepeatSize, SlipSize

LEAST_COPY_FRAMES = 8
"""Fewer frames are somewhere in the past by chance."""
_PIECE_SECONDS = 0.05
"""So much of a departure says where it comes from; more costs time and says no more."""
_MOST_COPIES, _COPY_SHARE = 8, 0.9
"""So many places are compared frame by frame, those that correlate nearly as well as the best."""
_MOST_EXACT = 64
"""Places whose first frames are the same; content that repeats itself more often is found by the nearest anyway."""
_TELLING_COPY = 16.0
"""Range of a stretch, over the noise, from which on its copy differs from others by more than chance."""
_MOST_EXCHANGED_SECONDS = 0.2
"""Two packets or two buffers of a sound card, hardly longer."""
_CHANCE = 8
"""Frames at an edge that are right by chance."""
_LEAST_TONE_SECONDS = 0.005
_MOST_TONE_FRAMES = 4096
"""So many show a frequency that predicts a quarter of a second."""
_PURE = 0.05
"""A tone leaves less than this share of its amplitude."""
_LEAST_SHARE = 0.9
"""Of the power of a tone that is as pure lies near its line, whatever its edges do to the spectrum."""


class _Found(FaultModel):
    """Content that is searched for once: other frames show how noisy it is, and where it holds."""

    memoryless = False

    def again(self, found: Fitted, part: FittedFrames) -> Fitted | None:
        """Return the same content, with the noise of other frames."""
        return with_noise(part, found.signal, found.parameters, found.describe, found.prior)


class Repeat(_Found):
    """Frames that arrived before, exactly."""

    kind = Kind.REPEAT
    prior = 3.0
    least_seconds = 0.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the past from as far back as it holds the same frames.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        piece = _piece(part)
        back = _exact_copy(part.departure.x[piece], _before(part, piece))
        return [] if back is None else _repeated(part, [back])

    def again(self, found: Fitted, part: FittedFrames) -> Fitted | None:
        """Return the same past, with the noise of other frames.

        Parameters
        ----------
        found
            What was found.
        part
            The frames that are fitted.

        Returns
        -------
        Fitted or None
            None where it does not hold there.
        """
        return _copied(part, found.signal, found.describe)


class NoisyRepeat(Repeat):
    """The same with noise of its own."""

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Return whether it is tried only where all others leave more than noise.

        Parameters
        ----------
        departure
            The frames that depart.

        Returns
        -------
        bool
            Whether it is.
        """
        return True

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the past from as far back as it resembles the frames most.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        piece = _piece(part)
        x, past = part.departure.x[piece], _before(part, piece)
        level = part.departure.noise.level
        if not LEAST_COPY_FRAMES <= len(x) <= len(past) or np.ptp(x) <= _TELLING_COPY * level:
            return []
        match = correlate(x.astype(np.float32), past.astype(np.float32))
        places = candidates(match, _MOST_COPIES, apart=1, share=_COPY_SHARE)
        return _repeated(part, sorted(len(past) - place.offset for place in places if place.correlation > 0.0))


def _piece(part: FittedFrames) -> slice:
    """Return so many frames that arrived, all of them, as show where they come from: of the longest run of such."""
    core, departure = part.frames, part.departure
    edges = np.flatnonzero(np.diff(departure.valid[core], prepend=False, append=False)).reshape(-1, 2)
    if len(edges) == 0:
        return slice(core.start, core.start)
    first, last = edges[int(np.diff(edges, axis=1).argmax())].tolist()
    return slice(core.start + first, core.start + min(last, first + departure.frames(_PIECE_SECONDS)))


def _before(part: FittedFrames, piece: slice) -> NDArray[np.float64]:
    """Return all that is known from before a piece."""
    return part.departure.past[: len(part.departure.history) + piece.start]


def _exact_copy(x: NDArray[np.float64], past: NDArray[np.float64]) -> int | None:
    """Return how many frames back a piece lies in the past, which ends where it begins; None where it does not."""
    n = len(x)
    if not LEAST_COPY_FRAMES <= n <= len(past) or np.ptp(x) == 0.0:
        return None
    starts = np.flatnonzero(past[: len(past) - n + 1] == x[0])
    for offset in (n // 2, n - 1, n // 4, 3 * n // 4):
        starts = starts[past[starts + offset] == x[offset]]
    same = (int(start) for start in starts[::-1][:_MOST_EXACT] if np.array_equal(past[start : start + n], x))
    return next((len(past) - start for start in same), None)


def _repeated(part: FittedFrames, back: Sequence[int]) -> list[Explained]:
    """Return the nearest place in the past that explains the frames."""
    departure = part.departure
    past, before = departure.past, len(departure.history)
    for lag in back:
        signal = np.zeros(len(departure.x))
        first = max(0, lag - before)
        signal[first:] = past[before + first - lag : before + len(departure.x) - lag]
        text, size = f"had arrived {lag} frames before", RepeatSize(repeat_distance_frames=lag)
        found = _copied(part, signal, told(size, text))
        if found is not None:
            return [found]
    return []


def _copied(part: FittedFrames, signal: NDArray[np.float64], describe: Describe) -> Explained | None:
    # Which of all lags it is has to be said; nearer ones are likelier, and found first.
    return without_chain(part, signal, 0, describe, most=2.0, prior=math.log(len(part.departure.past)))


class _SearchedFor(_Found):
    """What has to be looked for in a recording, at a cost, and shows at once in a tone."""

    def costly(self, departure: Departure) -> bool:
        """Return whether it is tried only where all others leave more than noise.

        Parameters
        ----------
        departure
            The frames that depart.

        Returns
        -------
        bool
            Whether it is.
        """
        return departure.reference.omega is None


class Slip(_SearchedFor):
    """Content of another place of the reference: as if frames were missing, or came twice."""

    kind = Kind.SLIP
    prior = 2.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the reference from wherever it knows the content of the frames to be.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        departure, piece = part.departure, _start(part)
        moved = departure.reference.elsewhere(departure.start + piece.start, departure.x[piece], part.among[piece])
        places = (
            with_noise(
                part, departure.at(item.reference), item.parameters, told(item.size, _slipped(item.size)), item.prior
            )
            for item in moved
        )
        # Of the many places of a recording some resemble any frames; the right one leaves nothing of them.
        return [
            found for place in places for found in following(part, place) if found.complete or departure.reference.omega
        ]


def _start(part: FittedFrames) -> slice:
    """Return so many frames from the first on as show where they come from."""
    core = part.frames
    return slice(core.start, min(core.stop, core.start + part.departure.frames(_PIECE_SECONDS)))


def _slipped(size: EventSize) -> str:
    frames = size.slip_frames if isinstance(size, SlipSize) else None
    if frames is None:
        return "content from elsewhere"
    return f"{abs(frames)} frames {'missing' if frames > 0 else 'played again or inserted'}"


def _exchanged(size: EventSize) -> str:
    channel = size.reference_channel if isinstance(size, ChannelSwapSize) else None
    return f"carries channel {channel} of the reference"


class ChannelSwap(_SearchedFor):
    """What another channel should carry."""

    kind = Kind.CHANNEL_SWAP
    prior = 1.5

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return what is expected of the channel that the frames resemble most.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        departure = part.departure
        others = departure.reference.others()
        if not others:
            return []
        piece = departure.part(_start(part), part.among)
        first, last = departure.start + piece.frames.start, departure.start + piece.frames.stop
        left = [item.reference.expected(first, last) - departure.x[piece.frames] for item in others]
        energy = [float(np.sum(np.square(residual), where=part.among[piece.frames])) for residual in left]
        item = others[int(np.argmin(energy))]
        text = told(item.size, _exchanged(item.size))
        return following(part, with_noise(part, departure.at(item.reference), item.parameters, text, item.prior))


class Exchanged(_Found):
    """Two neighbouring blocks of equal length, each in the other's place."""

    kind = Kind.MISMATCH
    prior = 3.0
    least_seconds, most_seconds = 0.0, _MOST_EXCHANGED_SECONDS

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Return whether it is tried only where all others leave more than noise.

        Parameters
        ----------
        departure
            The frames that depart.

        Returns
        -------
        bool
            Whether it is.
        """
        return True

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the blocks whose middle lies where the one gives way to the other.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        departure = part.departure
        n = departure.stop - departure.first
        if n < 2 * LEAST_COPY_FRAMES or departure.reference.omega is not None:
            return []
        half = (n + 1) // 2
        blocks = range(half, half + min(_CHANCE, n // 8) + 1)
        found = (self._of(departure, block) for block in self._likely(departure, blocks))
        return [item for item in found if item is not None][:1]

    @staticmethod
    def _likely(departure: Departure, blocks: range) -> list[int]:
        """Return the lengths at which most frames in the midst of the first block are those expected a block later."""
        quarter = (departure.stop - departure.first) // 4
        first = departure.first + quarter // 2
        x = departure.x[first : first + quarter]
        start = departure.start + first + blocks[0]
        later = departure.reference.expected(start, start + quarter + len(blocks))
        reach = departure.noise.part(slice(first, first + quarter)).reach
        likely = (np.count_nonzero(np.abs(x - later[k : k + quarter]) < reach) for k in range(len(blocks)))
        return [block for block, count in zip(blocks, likely, strict=True) if 2 * count > quarter]

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
        found = with_noise(
            departure.part(slice(start, stop)), signal, 2, told(MismatchSize(exchanged_frames=block), text)
        )
        return found if found.complete else None


class Frequency(FaultModel):
    """Another tone."""

    kind = Kind.FREQUENCY
    prior = 2.0
    least_seconds = _LEAST_TONE_SECONDS
    memoryless = False

    def costly(self, departure: Departure) -> bool:  # noqa: ARG002
        """Return whether it is tried only where all others leave more than noise.

        Parameters
        ----------
        departure
            The frames that depart.

        Returns
        -------
        bool
            Whether it is.
        """
        return True

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return the tone that the frames are, where its frequency is not the one expected.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        departure, core = part.departure, part.frames
        valid, start = departure.valid[core], departure.start + core.start
        found = _tone(departure.x[core], valid, start)
        if found is None:
            return []
        omega = departure.reference.omega
        if omega is None:
            should = _tone(departure.expected[core], valid, start)
            omega = None if should is None else should.sine.omega
        if omega is None:
            return []
        sine = found.sine
        noise = max(found.rms, departure.noise.level - departure.noise.bound) / sine.amplitude
        if abs(sine.omega - omega) < 4.0 * omega_deviation(noise, core.stop - core.start):
            return []
        frequency_hz = sine.omega * departure.reference.sample_rate_hz / (2.0 * math.pi)
        signal = sine.at(departure.start, departure.start + len(departure.x))
        text = f"a tone of {frequency_hz:.3f} Hz"
        return [with_noise(part, signal, 4, told(FrequencySize(frequency_hz=frequency_hz), text))]


def _tone(x: NDArray[np.float64], valid: NDArray[np.bool_], start: int) -> FreeFit | None:
    """Return the tone that the frames in the middle are; None where they are none."""
    first = max(0, len(x) - _MOST_TONE_FRAMES) // 2
    part = slice(first, first + _MOST_TONE_FRAMES)
    x, valid, start = x[part], valid[part], start + first
    x = np.where(valid, x, 0.0)
    line = strongest_line(x)
    if line is None or (valid.all() and share_near(x[None], line)[0] < _LEAST_SHARE):
        return None
    omega = refine_omega(x, line)
    found = None if omega is None else fit_free(x, start, omega, valid)
    return None if found is None or found.rms > _PURE * found.sine.amplitude else found


def describe_mismatch(departure: Departure, frames: slice) -> Description:
    """Return size and message of anything but the reference.

    Parameters
    ----------
    departure
        The frames that depart.
    frames
        The frames.

    Returns
    -------
    Description
        Size and message.
    """
    off = float(np.abs(departure.part(frames).residual).max(initial=0.0))
    return MismatchSize(deviation=off), f"not what the recording holds, off by up to {off:.3g} of full scale"


class Mismatch(FaultModel):
    """Frames that have nothing to do with the recording."""

    kind = Kind.MISMATCH
    prior = 2.0

    def fit(self, part: FittedFrames) -> Sequence[Fitted]:
        """Return noise of the level of the frames, whatever was expected.

        Parameters
        ----------
        part
            The frames that are fitted.

        Returns
        -------
        Sequence[Fitted]
            The explanations with their parameters; none where it does not hold.
        """
        x, departure = part.x, part.departure
        if departure.reference.omega is not None or len(x) == 0:
            return []
        middle = float(x.mean())
        noise = Noise(max(math.sqrt(part.spread / len(x)), SMALLEST_SIGMA, departure.step or 0.0))
        return [Explained(np.full(len(departure.x), middle), noise, 1, describe_mismatch, complete=False, spreads=1)]
