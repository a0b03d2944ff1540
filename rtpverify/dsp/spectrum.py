"""The short-time Fourier transform, forth and back.

Conventions
-----------
Column c looks at frames around ``c * hop_frames``: the window is centred there, and beyond the ends of the audio are
zeros, so there are ``1 + n // hop_frames`` columns. The window is a periodic Hann. Values are scaled by twice the
inverse of its sum: a sine in the middle of a bin has there the magnitude of its amplitude, and so 0 dB is a full-scale
sine (dBFS as AES17 has it). A sine between two bins reads up to 1.42 dB less (the Hann window's scalloping loss).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import ShowsShapes, as_frames, positive
from rtpverify.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

FFT_FRAMES = 2048
HOP_FRAMES = 512
FLOOR_DB = -200.0
"""Least level that is reported: below the rounding errors of float64 arithmetic on full-scale audio."""

_COLUMNS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, repr=False)
class Spectrogram(ShowsShapes):
    """Spectra over time.

    Attributes
    ----------
    values
        Shape (channels, bins, columns), complex; the magnitude of a sine in the middle of a bin is its amplitude.
    sample_rate_hz
        Frames per second.
    fft_frames, hop_frames
        Length of the window, and the distance between columns.
    frames
        Length of the audio.
    """

    values: NDArray[np.complex128]
    sample_rate_hz: float
    fft_frames: int
    hop_frames: int
    frames: int

    @property
    def frequencies_hz(self) -> NDArray[np.float64]:
        """Middle of each bin, shape (bins,)."""
        return bin_frequencies(self.fft_frames, self.sample_rate_hz)

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """Middle of each column, shape (columns,)."""
        return column_times(self.values.shape[2], self.hop_frames, self.sample_rate_hz)

    @property
    def magnitude(self) -> NDArray[np.float64]:
        """Shape (channels, bins, columns); 1.0 is a full-scale sine."""
        return np.asarray(np.abs(self.values), np.float64)

    @property
    def dbfs(self) -> NDArray[np.float64]:
        """Shape (channels, bins, columns); 0 dBFS is a full-scale sine, -200 dBFS the least that is reported."""
        return to_db(np.abs(self.values))

    def inverse(self) -> NDArray[np.float64]:
        """Return the audio again, shape (frames, channels); exact but for rounding.

        Returns
        -------
        NDArray[np.float64]
            Shape (frames, channels).
        """
        return inverse(self.values, self.fft_frames, self.hop_frames, self.frames)


def spectrogram(
    frames: ArrayLike, sample_rate_hz: float, *, fft_frames: int = FFT_FRAMES, hop_frames: int = HOP_FRAMES
) -> Spectrogram:
    """Return the short-time spectra of audio.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.
    fft_frames
        Length of the window: frequency resolution is about ``4 * sample_rate_hz / fft_frames``.
    hop_frames
        Distance between columns; at most half of ``fft_frames``, so that no frame is omitted.

    Returns
    -------
    Spectrogram
        Columns in the middle of their windows.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    array = as_frames(frames)
    positive(sample_rate_hz, "sample_rate_hz")
    stft = Stft(array.shape[1], fft_frames, hop_frames)
    parts = [*stft.add(array), *stft.finish()]
    values = np.concatenate(parts).transpose(1, 2, 0)
    return Spectrogram(values, float(sample_rate_hz), fft_frames, hop_frames, len(array))


class Stft:
    """Spectra of audio that comes block by block.

    Parameters
    ----------
    channels
        Channels of the audio.
    fft_frames
        Length of the window in frames, even and at least 16.
    hop_frames
        Distance between columns in frames, at most half of the window.

    Raises
    ------
    RequestError
        For a window below 16 frames, or a hop that is none or leaves frames out.
    """

    def __init__(self, channels: int, fft_frames: int, hop_frames: int) -> None:
        check_window(fft_frames, hop_frames)
        self._size, self._hop = fft_frames, hop_frames
        self._window = hann(fft_frames) * (2.0 / hann(fft_frames).sum())
        self._waiting = np.zeros((fft_frames // 2, channels))
        self._frames = 0
        self._columns = 0

    def add(self, block: NDArray[np.float64]) -> Iterator[NDArray[np.complex128]]:
        """Take the next frames, shape (n, channels); yield the columns that are whole, each (c, channels, bins).

        Parameters
        ----------
        block
            Full scale ±1.0, shape (n, channels).

        Yields
        ------
        NDArray[np.complex128]
            Shape (columns, channels, bins).
        """
        self._frames += len(block)
        yield from self._take(block)

    def finish(self) -> Iterator[NDArray[np.complex128]]:
        """End the audio; yield the columns that are left.

        Yields
        ------
        NDArray[np.complex128]
            Shape (columns, channels, bins).
        """
        columns = 1 + self._frames // self._hop
        last = (columns - 1) * self._hop + self._size
        have = self._columns * self._hop + len(self._waiting)
        yield from self._take(np.zeros((max(0, last - have), self._waiting.shape[1])))

    def _take(self, block: NDArray[np.float64]) -> Iterator[NDArray[np.complex128]]:
        joined = np.concatenate([self._waiting, block])
        count = max(0, 1 + (len(joined) - self._size) // self._hop)
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(joined, self._size, axis=0)[:: self._hop][:count]
            for start in range(0, count, _COLUMNS_AT_ONCE):
                part = windows[start : start + _COLUMNS_AT_ONCE] * self._window
                yield np.asarray(np.fft.rfft(part, axis=-1), np.complex128)
            self._columns += count
        self._waiting = joined[count * self._hop :].copy()


def inverse(
    values: NDArray[np.complex128], fft_frames: int, hop_frames: int, frames: int | None = None
) -> NDArray[np.float64]:
    """Return the audio whose spectra are nearest to these, in the sense of least squares (Griffin & Lim 1984).

    Parameters
    ----------
    values
        Shape (channels, bins, columns), scaled as :class:`Spectrogram` has it.
    fft_frames
        Length of the window in frames.
    hop_frames
        Distance between columns in frames.
    frames
        Length of the audio; None: as long as the columns reach.

    Returns
    -------
    NDArray[np.float64]
        Shape (frames, channels). Of spectra that are those of audio, that audio.

    Raises
    ------
    RequestError
        Where the number of bins does not belong to ``fft_frames``, or an argument is unusable.
    """
    check_window(fft_frames, hop_frames)
    channels, bins, columns = values.shape
    if bins != fft_frames // 2 + 1:
        raise RequestError(f"values: {bins} bins are not those of fft_frames {fft_frames} ({fft_frames // 2 + 1})")
    window = hann(fft_frames)
    length = (columns - 1) * hop_frames + fft_frames
    audio, weight = np.zeros((length, channels)), np.zeros(length)
    scale = window.sum() / 2.0
    for first in range(0, columns, _COLUMNS_AT_ONCE):
        part = np.fft.irfft(values[:, :, first : first + _COLUMNS_AT_ONCE] * scale, fft_frames, axis=1)
        for index in range(part.shape[2]):
            start = (first + index) * hop_frames
            audio[start : start + fft_frames] += (part[:, :, index] * window).T
            weight[start : start + fft_frames] += window**2
    audio /= np.maximum(weight, np.finfo(np.float64).tiny)[:, None]
    start = fft_frames // 2
    stop = start + frames if frames is not None else length - start
    if stop > length:
        raise RequestError(f"frames: {frames} are more than {columns} columns reach")
    return audio[start:stop]


def check_window(fft_frames: int, hop_frames: int) -> None:
    """Raise RequestError for a window below 16 frames or an odd one, or a hop that is none or leaves frames out.

    Parameters
    ----------
    fft_frames
        Length of the window in frames.
    hop_frames
        Distance between columns in frames.

    Raises
    ------
    RequestError
        Where the window cannot be used, with the value.
    """
    if fft_frames < 16 or fft_frames % 2:
        raise RequestError(f"fft_frames: {fft_frames} is not an even number from 16 on")
    if not 1 <= hop_frames <= fft_frames // 2:
        raise RequestError(f"hop_frames: {hop_frames} is not from 1 to half of fft_frames ({fft_frames // 2})")


def bin_frequencies(fft_frames: int, sample_rate_hz: float) -> NDArray[np.float64]:
    """Return the middle of each bin in Hz, shape (fft_frames // 2 + 1,).

    Parameters
    ----------
    fft_frames
        Length of the window in frames.
    sample_rate_hz
        Frames per second.

    Returns
    -------
    NDArray[np.float64]
        In Hz.
    """
    return np.asarray(np.arange(fft_frames // 2 + 1) * (sample_rate_hz / fft_frames), np.float64)


def column_times(columns: int, hop_frames: int, sample_rate_hz: float) -> NDArray[np.float64]:
    """Return where each column is in seconds, shape (columns,).

    Parameters
    ----------
    columns
        Columns.
    hop_frames
        Distance between columns in frames.
    sample_rate_hz
        Frames per second.

    Returns
    -------
    NDArray[np.float64]
        In seconds since the start of the audio.
    """
    return np.asarray(np.arange(columns) * (hop_frames / sample_rate_hz), np.float64)


@lru_cache(maxsize=16)
def hann(size: int) -> NDArray[np.float64]:
    """Return the periodic Hann window, shape (size,).

    Parameters
    ----------
    size
        Frames.

    Returns
    -------
    NDArray[np.float64]
        Read-only; it is kept for the next call.
    """
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
    window.flags.writeable = False
    return window


def to_db(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 20·log10 of amplitudes, :data:`FLOOR_DB` at least.

    Parameters
    ----------
    magnitude
        Of any shape.

    Returns
    -------
    NDArray[np.float64]
        Of the same shape, dB.
    """
    return np.asarray(20.0 * np.log10(np.maximum(magnitude, 10.0 ** (FLOOR_DB / 20.0))), np.float64)
