"""The waveform's envelope, hop by hop: extremes, so that no peak is lost however coarse it is, RMS and amplitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import ShowsShapes, as_frames, positive
from rtpverify.dsp.hilbert import HALF_FRAMES, HilbertMeter, analytic_magnitude
from rtpverify.errors import RequestError

HOP_FRAMES = 480
_POINTS_A_HOP = 16
"""Of the Hilbert envelope, so that it is followed between hops as well."""


@dataclass(frozen=True, slots=True, repr=False)
class EnvelopePoint(ShowsShapes):
    """The envelope at one time, one number per channel, full scale ±1.0.

    Attributes
    ----------
    peak
        Largest magnitude, shape (channels,).
    rms
        Root mean square, shape (channels,): that of a sine is its amplitude over the square root of 2.
    hilbert
        Magnitude of the analytic signal, shape (channels,): that of a sine is its amplitude.
    """

    peak: NDArray[np.float64]
    rms: NDArray[np.float64]
    hilbert: NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class Envelope(ShowsShapes):
    """Extremes, RMS and Hilbert envelope of each hop.

    Attributes
    ----------
    minimum, maximum
        Shape (channels, hops), full scale ±1.0. The last hop may be shorter than the others.
    rms
        Root mean square of each hop, shape (channels, hops).
    hilbert
        Magnitude of the analytic signal (:mod:`rtpverify.dsp.hilbert`) every ``hilbert_step_frames``, from the first
        frame on; shape (channels, points).
    hop_frames, hilbert_step_frames
        Length of a hop, and a sixteenth of it, at least 1.
    sample_rate_hz
        Frames per second.
    """

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    rms: NDArray[np.float64]
    hilbert: NDArray[np.float64]
    hop_frames: int
    hilbert_step_frames: int
    sample_rate_hz: float

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """Where each hop begins, shape (hops,)."""
        return np.asarray(np.arange(self.minimum.shape[1]) * (self.hop_frames / self.sample_rate_hz), np.float64)

    def at(self, seconds: float) -> EnvelopePoint:
        """Return the envelope at a time.

        Peak and RMS are those of the hop that holds the time; the Hilbert envelope is interpolated linearly.

        Parameters
        ----------
        seconds
            Time since the start.

        Returns
        -------
        EnvelopePoint
            Of each channel.

        Raises
        ------
        RequestError
            For a time before the first hop or after the last one.
        """
        hops = self.minimum.shape[1]
        place = seconds * self.sample_rate_hz / self.hop_frames
        if not 0 <= place <= hops:
            length = hops * self.hop_frames / self.sample_rate_hz
            raise RequestError(f"seconds: {seconds:g} is not within the {length:g} s of this envelope")
        hop = min(int(place), hops - 1)
        return EnvelopePoint(
            peak=np.maximum(-self.minimum[:, hop], self.maximum[:, hop]),
            rms=self.rms[:, hop].copy(),
            hilbert=self.hilbert_at(np.array([seconds]))[:, 0],
        )

    def hilbert_at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Hilbert envelope at times, shape (channels, len(seconds)), interpolated linearly.

        Parameters
        ----------
        seconds
            Times since the start, shape (n,).

        Returns
        -------
        NDArray[np.float64]
            Shape (channels, n).
        """
        points = np.arange(self.hilbert.shape[1]) * (self.hilbert_step_frames / self.sample_rate_hz)
        return np.stack([np.interp(seconds, points, channel) for channel in self.hilbert])


def envelope(frames: ArrayLike, sample_rate_hz: float, *, hop_frames: int = HOP_FRAMES) -> Envelope:
    """Return the envelope of audio.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.
    hop_frames
        Frames that one value of each kind covers.

    Returns
    -------
    Envelope
        At regular times.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    array = as_frames(frames)
    positive(sample_rate_hz, "sample_rate_hz")
    meter = EnvelopeMeter(array.shape[1], hop_frames)
    meter.add(array)
    return meter.result(sample_rate_hz)


class PointMeter:
    """The envelope at one frame of audio that comes block by block: over a hop around it, amplitude at itself.

    Parameters
    ----------
    frame
        Which, from 0.
    channels
        Channels of the audio.
    hop_frames
        Over which peak and RMS are taken, the frame in the middle.
    """

    def __init__(self, frame: int, channels: int, hop_frames: int = HOP_FRAMES) -> None:
        self._first = frame - HALF_FRAMES
        self._hop = min(hop_frames, 2 * HALF_FRAMES)
        self._around = np.zeros((2 * HALF_FRAMES + 1, channels))
        self._is_there = np.zeros(len(self._around), np.bool_)

    @property
    def last_frame(self) -> int:
        """The last frame that counts."""
        return self._first + len(self._around) - 1

    def add(self, first: int, block: NDArray[np.float64]) -> None:
        """Take frames from ``first`` on, shape (n, channels); what is not finite counts as 0.

        Parameters
        ----------
        first
            Frame that the block begins with.
        block
            Full scale ±1.0, shape (n, channels).
        """
        start, stop = max(first, self._first), min(first + len(block), self.last_frame + 1)
        if start < stop:
            part = block[start - first : stop - first]
            self._around[start - self._first : stop - self._first] = np.where(np.isfinite(part), part, 0.0)
            self._is_there[start - self._first : stop - self._first] = True

    def result(self) -> EnvelopePoint:
        """Return the envelope there; what came of the audio at its ends is all that counts.

        Returns
        -------
        EnvelopePoint
            Of each channel.
        """
        start = HALF_FRAMES - self._hop // 2
        hop = self._around[start : start + self._hop][self._is_there[start : start + self._hop]]
        return EnvelopePoint(
            peak=np.abs(hop).max(axis=0),
            rms=np.sqrt(np.mean(hop**2, axis=0)),
            hilbert=analytic_magnitude(self._around)[0],
        )


class EnvelopeMeter:
    """The envelope of audio that comes block by block.

    Parameters
    ----------
    channels
        Channels of the audio.
    hop_frames
        Over which peak and RMS are taken, one after the other.
    """

    def __init__(self, channels: int, hop_frames: int) -> None:
        if hop_frames < 1:
            raise RequestError(f"hop_frames: {hop_frames} is not at least 1")
        self._hop = hop_frames
        self._rest = np.empty((0, channels))
        self._found: list[NDArray[np.float64]] = []
        self._step = max(1, hop_frames // _POINTS_A_HOP)
        self._skip = 0
        """Frames until the next point of the Hilbert envelope."""
        self._hilbert = HilbertMeter(channels)
        self._points: list[NDArray[np.float64]] = []

    def add(self, block: NDArray[np.float64]) -> None:
        """Take the next frames, shape (n, channels).

        Parameters
        ----------
        block
            Full scale ±1.0, shape (n, channels).
        """
        joined = np.concatenate([self._rest, block]) if len(self._rest) else block
        whole = len(joined) // self._hop * self._hop
        if whole:
            self._found.append(_figures(joined[:whole].reshape(-1, self._hop, joined.shape[1])))
        self._rest = joined[whole:].copy()
        known = self._hilbert.add(block)
        self._points.append(known[self._skip :: self._step].copy())
        self._skip = (self._skip - len(known)) % self._step

    def result(self, sample_rate_hz: float) -> Envelope:
        """Return the envelope of what has come so far, at least one frame.

        Parameters
        ----------
        sample_rate_hz
            Frames per second.

        Returns
        -------
        Envelope
            At regular times.
        """
        rest = [_figures(self._rest[None])] if len(self._rest) else []
        low, high, square = np.concatenate([*self._found, *rest], axis=1).transpose(0, 2, 1)
        points = np.concatenate([*self._points, self._hilbert.rest()[self._skip :: self._step]])
        return Envelope(low, high, np.sqrt(square), points.T, self._hop, self._step, float(sample_rate_hz))


def _figures(hops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return smallest, largest and mean square value of hops of shape (hops, frames, channels), each as one row."""
    return np.stack([hops.min(axis=1), hops.max(axis=1), np.mean(hops**2, axis=1)])
