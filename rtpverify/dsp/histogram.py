"""How often each sample value occurs, in bins that fit the audio whatever its level.

The bins are powers of two wide and bin k holds the values from ``k * width`` up to, not including, ``(k + 1) * width``.
They begin as fine as the quantiser's step where there is one, and are put together in pairs when the audio turns out to
be louder: one pass is enough, and integers are counted exactly as long as there are at most 4096 of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import ShowsShapes, as_frames

HALF_BINS = 2048
"""Bins on each side of zero."""
_FINEST = 2.0**-40


@dataclass(frozen=True, slots=True, repr=False)
class Histogram(ShowsShapes):
    """How often values occur.

    Attributes
    ----------
    counts
        Samples in each bin, shape (channels, bins); the first and last bin hold some of at least one channel.
    edges
        Where the bins begin, and the last one ends: shape (bins + 1,), full scale ±1.0.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]

    def coarser(self, bins: int) -> Histogram:
        """Return the same with at most ``bins`` bins, 2 or more, neighbours put together by twos.

        Parameters
        ----------
        bins
            Bins at most, 2 or more.

        Returns
        -------
        Histogram
            Counts over the same range.
        """
        counts, edges = self.counts, self.edges
        first = round(edges[0] / (edges[1] - edges[0]))
        while counts.shape[1] > bins:
            counts = np.pad(counts, ((0, 0), (first % 2, 0)))
            edges = np.concatenate([[edges[0] - (edges[1] - edges[0])] * (first % 2), edges])
            if counts.shape[1] % 2:
                counts = np.pad(counts, ((0, 0), (0, 1)))
                edges = np.append(edges, 2 * edges[-1] - edges[-2])
            counts, edges, first = counts.reshape(len(counts), -1, 2).sum(axis=2), edges[::2], first // 2
        return Histogram(counts, edges)


def histogram(frames: ArrayLike, *, bits: int | None = None) -> Histogram:
    """Return how often each value occurs.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), full scale ±1.0.
    bits
        Of the quantiser, where the values are whole multiples of its step; None where there is none.

    Returns
    -------
    Histogram
        Counts of each channel.

    Raises
    ------
    RequestError
        Where the audio is unusable.
    """
    array = as_frames(frames)
    meter = HistogramMeter(array.shape[1], bits)
    meter.add(array)
    return meter.result()


class HistogramMeter:
    """The histogram of audio that comes block by block.

    Parameters
    ----------
    channels
        Channels of the audio.
    bits
        Word length, whose steps are the finest bins; None: none is known.
    """

    def __init__(self, channels: int, bits: int | None) -> None:
        self._finest = 2.0 ** (1 - bits) if bits else _FINEST
        self._width = self._finest
        self._counts = np.zeros((channels, 2 * HALF_BINS), np.int64)

    def add(self, block: NDArray[np.float64]) -> None:
        """Take the next frames, shape (n, channels).

        Parameters
        ----------
        block
            Full scale ±1.0, shape (n, channels).
        """
        if not len(block):
            return
        low, high = float(block.min()), float(block.max())
        while math.floor(high / self._width) >= HALF_BINS or math.floor(low / self._width) < -HALF_BINS:
            self._widen()
        index = np.floor(block / self._width).astype(np.int64) + HALF_BINS
        index += np.arange(index.shape[1]) * 2 * HALF_BINS
        self._counts += np.bincount(index.ravel(), minlength=self._counts.size).reshape(self._counts.shape)

    def result(self) -> Histogram:
        """Return the histogram of what has come so far.

        Returns
        -------
        Histogram
            Counts of each channel.
        """
        used = np.flatnonzero(self._counts.any(axis=0))
        first, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (HALF_BINS, HALF_BINS + 1)
        edges = np.asarray((np.arange(first, stop + 1) - HALF_BINS) * self._width, np.float64)
        return Histogram(self._counts[:, first:stop].copy(), edges)

    def _widen(self) -> None:
        """Double the width of a bin."""
        half = self._counts.reshape(len(self._counts), -1, 2).sum(axis=2)
        self._counts = np.pad(half, ((0, 0), (HALF_BINS // 2, HALF_BINS // 2)))
        self._width *= 2.0
