"""The waveform's envelope: smallest and largest value of every hop, so that no peak is lost however coarse it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import as_frames, positive
from rtpverify.errors import RequestError


@dataclass(frozen=True, slots=True)
class Envelope:
    """Smallest and largest value of each hop.

    Attributes
    ----------
    minimum, maximum
        Shape (channels, hops), full scale ±1.0. The last hop may be shorter than the others.
    hop_frames
        Length of a hop.
    sample_rate_hz
        Frames per second.
    """

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    hop_frames: int
    sample_rate_hz: float

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """Where each hop begins, shape (hops,)."""
        return np.asarray(np.arange(self.minimum.shape[1]) * (self.hop_frames / self.sample_rate_hz), np.float64)


def envelope(frames: ArrayLike, sample_rate_hz: float, *, hop_frames: int = 480) -> Envelope:
    """Return the envelope of audio.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.
    hop_frames
        Frames that one pair of values stands for.

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


class EnvelopeMeter:
    """The envelope of audio that comes block by block."""

    def __init__(self, channels: int, hop_frames: int) -> None:
        if hop_frames < 1:
            raise RequestError(f"hop_frames: {hop_frames} is not at least 1")
        self._hop = hop_frames
        self._rest = np.empty((0, channels))
        self._low: list[NDArray[np.float64]] = []
        self._high: list[NDArray[np.float64]] = []

    def add(self, block: NDArray[np.float64]) -> None:
        """Take the next frames, shape (n, channels)."""
        joined = np.concatenate([self._rest, block]) if len(self._rest) else block
        whole = len(joined) // self._hop * self._hop
        if whole:
            hops = joined[:whole].reshape(-1, self._hop, joined.shape[1])
            self._low.append(hops.min(axis=1))
            self._high.append(hops.max(axis=1))
        self._rest = joined[whole:].copy()

    def result(self, sample_rate_hz: float) -> Envelope:
        """Return the envelope of what has come so far."""
        low, high, rest = list(self._low), list(self._high), self._rest
        if len(rest):
            low.append(rest.min(axis=0)[None])
            high.append(rest.max(axis=0)[None])
        empty = np.empty((0, rest.shape[1]))
        return Envelope(
            np.concatenate([empty, *low]).T, np.concatenate([empty, *high]).T, self._hop, float(sample_rate_hz)
        )
