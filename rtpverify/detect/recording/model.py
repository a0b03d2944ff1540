"""How a channel follows from the recording: place, gain, offset, and the noise that is left."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import SMALLEST_NOISE, quantiser_bound
from rtpverify.detect.recording.programme import Programme
from rtpverify.dsp.align import HALF_TAPS, fit
from rtpverify.dsp.slip import FALSE_ALARM_Z

_ENVELOPE_FRAMES = 64
_RELATIVE_MARGIN = 2.0
"""How much further than seen a residual that goes with the signal may go."""
MOST_RELATIVE = 0.03
"""What goes with the signal is no more than this: a click in a short stretch would explain itself."""
_GAIN_TOLERANCE = 1e-7
"""A gain this near to 1 is 1 (1e-6 dB), and any that noise leaves uncertain by as much as it is off."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The residual of a clean channel.

    Attributes
    ----------
    sigma
        RMS.
    floor
        Deviation that no clean frame reaches, however quiet the recording is there.
    relative
        What may be added to it, as a fraction of the signal around the frame.
    """

    sigma: float
    floor: float
    relative: float = 0.0

    def threshold(self, expected: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """Return the deviation that no clean frame reaches, for frames that are expected to be ``expected``.

        Parameters
        ----------
        expected
            What the frames should be, shape (n,).

        Returns
        -------
        NDArray[np.float64] or float
            As a fraction of full scale, shape (n,) where it differs.
        """
        if self.relative == 0.0 or len(expected) == 0:
            return self.floor
        return self.floor + self.relative * _envelope(expected)


def learn_noise(residual: NDArray[np.float64], expected: NDArray[np.float64], step: float | None) -> Noise:
    """Return the noise of a stretch in which nothing is wrong.

    Rounding and dither are known by their RMS and peak. Otherwise the quietest stretches show the noise, and what the
    others have more of is proportional to the signal (interpolation, distortion).

    Parameters
    ----------
    residual
        What remains without the recording, shape (n,).
    expected
        What the recording has there, shape (n,).
    step
        Of the quantiser, None where there is none.

    Returns
    -------
    Noise
        The noise.
    """
    sigma, peak = float(np.sqrt(np.mean(np.square(residual)))), float(np.abs(residual).max(initial=0.0))
    if peak <= SMALLEST_NOISE:
        return Noise(0.0, 0.5 * step if step else FALSE_ALARM_Z * SMALLEST_NOISE)
    bound = quantiser_bound(step, sigma, peak)
    if bound is not None:
        return Noise(sigma, bound)
    count = len(residual) // _ENVELOPE_FRAMES
    if count < 5:
        return Noise(sigma, FALSE_ALARM_Z * sigma)
    pieces = residual[: count * _ENVELOPE_FRAMES].reshape(count, -1)
    power, peaks = np.mean(np.square(pieces), axis=1), np.abs(pieces).max(axis=1)
    envelope = _envelope(expected[: count * _ENVELOPE_FRAMES])[::_ENVELOPE_FRAMES]
    quiet = np.argsort(envelope)[: max(5, count // 5)]
    floor = FALSE_ALARM_Z * max(math.sqrt(float(power[quiet].mean())), SMALLEST_NOISE, 0.3 * (step or 0.0))
    above = np.maximum(peaks - floor, 0.0) / np.maximum(envelope, SMALLEST_NOISE)
    return Noise(sigma, floor, min(_RELATIVE_MARGIN * float(above.max()), MOST_RELATIVE))


def _envelope(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest value around each frame, over a piece of 64 frames and its neighbours."""
    count = -(-len(x) // _ENVELOPE_FRAMES)
    padded = np.zeros(count * _ENVELOPE_FRAMES)
    padded[: len(x)] = np.abs(x)
    peaks = padded.reshape(count, -1).max(axis=1)
    wide = peaks.copy()
    np.maximum(wide[1:], peaks[:-1], out=wide[1:])
    np.maximum(wide[:-1], peaks[1:], out=wide[:-1])
    return np.repeat(wide, _ENVELOPE_FRAMES)[: len(x)]


@dataclass(frozen=True, slots=True)
class Model:
    """Frame n is ``gain`` times the recording at n + shift + fraction + rate · (n - anchor), plus ``dc``.

    Attributes
    ----------
    source
        Channel of the recording, from 0.
    shift
        Whole frames.
    fraction, rate, anchor
        Part of a frame, and frames per frame by which the content runs faster than the timeline, seen from the anchor.
    """

    programme: Programme
    source: int
    shift: int
    noise: Noise
    fraction: float = 0.0
    rate: float = 0.0
    anchor: float = 0.0
    gain: float = 1.0
    dc: float = 0.0
    gain_drifts: bool = False
    """Whether the gain is followed from block to block."""

    @property
    def between_frames(self) -> bool:
        """Whether the content lies between the frames of the recording."""
        return self.fraction != 0.0 or self.rate != 0.0

    @property
    def is_static(self) -> bool:
        """Whether every frame is checked by the same figures."""
        followed = self.between_frames or self.gain_drifts
        return not followed and self.noise.relative == 0.0 and self.programme.is_whole

    @property
    def is_identity(self) -> bool:
        """Whether the frames are those of the recording, as they are."""
        return not self.between_frames and not self.gain_drifts and self.gain == 1.0 and self.dc == 0.0

    def content(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the recording's frames for ``start`` to ``stop``, neither gained nor offset.

        Parameters
        ----------
        start
            First frame.
        stop
            The one after the last.

        Returns
        -------
        NDArray[np.float64]
            Shape (stop - start,).
        """
        if not self.between_frames:
            return self.programme.read(self.source, start + self.shift, stop + self.shift)
        return self.programme.between(self.source, self.positions(start, stop)).value

    def positions(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return where in the recording each frame from ``start`` to ``stop`` lies.

        Parameters
        ----------
        start
            First frame.
        stop
            The one after the last.

        Returns
        -------
        NDArray[np.float64]
            In frames of the recording, shape (stop - start,).
        """
        frame = np.arange(start, stop, dtype=np.float64)
        return frame + self.shift + self.fraction + self.rate * (frame - self.anchor)

    def holds(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return of each frame from ``start`` to ``stop`` whether it lies within the recording, shape (stop - start,).

        Parameters
        ----------
        start
            First frame.
        stop
            The one after the last.

        Returns
        -------
        NDArray[np.bool_]
            Whether it does.
        """
        first = round(self.position(start))
        return self.programme.holds(first, first + stop - start)

    def position(self, frame: int) -> float:
        """Return where in the recording a frame lies.

        Parameters
        ----------
        frame
            The frame.

        Returns
        -------
        float
            In frames of the recording.
        """
        return frame + self.shift + self.fraction + self.rate * (frame - self.anchor)

    def expected(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return what the channel should hold from ``start`` to ``stop``.

        Parameters
        ----------
        start
            First frame.
        stop
            The one after the last.

        Returns
        -------
        NDArray[np.float64]
            Shape (stop - start,).
        """
        content = self.content(start, stop)
        return content if self.gain == 1.0 and self.dc == 0.0 else self.gain * content + self.dc

    def threshold(
        self, start: int, stop: int, expected: NDArray[np.float64], x: NDArray[np.float64]
    ) -> NDArray[np.float64] | float:
        """Return the deviation that no clean frame from ``start`` to ``stop`` reaches.

        ``expected`` is what they should be, ``x`` what they are. Next to half the sample rate nothing is known of what
        lies between the frames, and of a recording that was resampled.

        Parameters
        ----------
        start
            First frame.
        stop
            The one after the last.
        expected
            What the frames should be, shape (stop - start,).
        x
            What they are, shape (stop - start,).

        Returns
        -------
        NDArray[np.float64] or float
            As a fraction of full scale, shape (stop - start,) where it differs.
        """
        threshold = self.noise.threshold(expected)
        if (not self.between_frames and self.programme.is_whole) or stop == start:
            return threshold
        first = round(self.position(start)) - HALF_TAPS
        content = self.programme.read(self.source, first, first + stop - start + 2 * HALF_TAPS)
        taps = _edge_taps(self.programme.edge)
        threshold = threshold + abs(self.gain) * _envelope(np.convolve(content, taps, "valid"))
        if not self.programme.is_whole:
            threshold = threshold + _envelope(np.convolve(np.pad(x, HALF_TAPS, "symmetric"), taps, "valid"))
        return threshold

    def moved(self, frames: int) -> Model:
        """Return the same, that many frames further on in the recording.

        Parameters
        ----------
        frames
            How far.

        Returns
        -------
        Model
            A copy.
        """
        return replace(self, shift=self.shift + frames)


@lru_cache(maxsize=8)
def _edge_taps(edge: float) -> NDArray[np.float64]:
    """Return a filter that lets pass what lies above a share of the sample rate."""
    frame = np.arange(-HALF_TAPS, HALF_TAPS + 1)
    low = 2 * edge * np.sinc(2 * edge * frame) * np.kaiser(2 * HALF_TAPS + 1, 7.0)
    taps: NDArray[np.float64] = -low
    taps[HALF_TAPS] += 1.0
    return taps


def static_fit(
    model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int, step: float | None
) -> Model | None:
    """Return the model with gain and offset of a stretch, None where the recording is silent in it, or not in it.

    Parameters
    ----------
    model
        Where the stretch lies.
    x
        The stretch, shape (n,).
    valid
        Which of its frames are there, shape (n,).
    start
        Number of its first frame.
    step
        Of the quantiser, None where there is none.

    Returns
    -------
    Model or None
        A copy.
    """
    content = model.content(start, start + len(x))
    found = fit(x, content, valid)
    if not np.any(content[valid]) or found.gain == 0.0:
        return None
    gain = found.gain
    energy = float(np.sum(np.square(content[valid])))
    if abs(gain) * math.sqrt(energy) <= FALSE_ALARM_Z * found.rms:
        return None
    if abs(abs(gain) - 1.0) < max(_GAIN_TOLERANCE, FALSE_ALARM_Z * found.rms / math.sqrt(energy)):
        gain = math.copysign(1.0, gain)
    residual = np.where(valid, x - gain * content, 0.0)
    dc = float(residual[valid].mean())
    if abs(dc) * math.sqrt(np.count_nonzero(valid)) <= FALSE_ALARM_Z * max(
        float(residual[valid].std()), (step or 0) / 4
    ):
        dc = 0.0
    residual = np.where(valid, residual - dc, 0.0)
    noise = learn_noise(residual[valid], gain * content[valid], step)
    if abs(gain) != 1.0:
        # A gain that is known from a short stretch is off where the signal is louder.
        error = FALSE_ALARM_Z * noise.sigma / math.sqrt(energy)
        noise = replace(noise, relative=max(noise.relative, error))
    return replace(model, gain=gain, dc=dc, noise=noise)


def in_step(programme: Programme, channel: int, step: float | None) -> Model:
    """Return the model of a channel of which frame n is frame n of the recording, as it is.

    Parameters
    ----------
    programme
        The recording.
    channel
        Channel of the recording, from 0.
    step
        Of the quantiser, None where there is none.

    Returns
    -------
    Model
        Without gain, offset or a clock of its own.
    """
    noise = learn_noise(np.zeros(1), np.zeros(1), step)
    return Model(programme, min(channel, programme.channels - 1), 0, noise)
