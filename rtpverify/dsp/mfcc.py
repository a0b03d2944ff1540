"""Mel-frequency cepstral coefficients as librosa computes them by default, block by block.

Windows of 2048 frames every 512, periodic Hann, centred with zeros before the start and after the end; power in 128 mel
bands (Slaney's scale, filters of equal area, rounded to single precision as librosa has them); 10·log10 of at least
1e-10, floored 80 dB under the maximum of the whole signal; DCT-II, orthonormal; the first 20.

One vector is of one window; vector i is centred on frame 512 i. The signal has one channel, full scale ±1.0, and
is taken at its own rate (``librosa.load(path, sr=None)``; librosa's default would resample to 22050 Hz).

Computed in double precision throughout, whatever the precision of the signal. librosa works in that of its input, so
its coefficients of a file it loaded (float32) carry rounding errors of up to 1e-4. Equal windows have equal
coefficients, wherever they are.

Sources: Davis and Mermelstein, IEEE Trans. ASSP 28 (1980); Slaney, Auditory Toolbox, Interval Research 1998-010.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WINDOW_FRAMES = 2048
HOP_FRAMES = 512
BANDS = 128
COEFFICIENTS = 20
RANGE_DB = 80.0
"""How far under the maximum of the whole signal the power of a band is floored."""
_LEAST_POWER = 1e-10
_BANDS_AT_ONCE = 16
"""Neighbouring filters share one product of matrices: each alone is nearly empty, all at once too."""
_WINDOWS_AT_ONCE = 64
_WINDOWS_READ = 512
WINDOWS_KEPT = 1 << 15
"""Up to so many windows (5.8 minutes at 48 kHz) the levels of all are held until their maximum is known."""


class Samples(Protocol):
    """The frames of one channel, full scale ±1.0: an array, or what reads slices of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice, /) -> NDArray[Any]: ...


def mfcc(signal: NDArray[np.floating], rate_hz: float) -> NDArray[np.float64]:
    """Return the coefficients of a signal of shape (n,), shape (1 + n // 512, 20).

    Parameters
    ----------
    signal
        Full scale ±1.0, shape (n,).
    rate_hz
        Sample rate.

    Returns
    -------
    NDArray[np.float64]
        Shape (1 + n // 512, 20), as librosa has them.
    """
    return Cepstra(signal, rate_hz)[:]


class Cepstra:
    """The coefficients of a signal, a sequence of vectors of which a slice is computed when asked for.

    What was computed last is kept, so that slices that move on and overlap cost no window twice.

    Parameters
    ----------
    signal
        The signal.
    rate_hz
        Its sample rate.
    """

    def __init__(self, signal: Samples, rate_hz: float) -> None:
        self._signal = signal
        self._rate_hz = rate_hz
        self._first = 0
        self._kept = np.empty((0, COEFFICIENTS))
        if len(self) <= WINDOWS_KEPT:
            levels = self._levels(0, len(self))
            self._floor_db = float(levels.max()) - RANGE_DB
            self._kept = _cepstra(levels, self._floor_db)
        else:
            self._floor_db = max(float(self._levels(*span).max()) for span in self._spans(0, len(self))) - RANGE_DB

    def __len__(self) -> int:
        return _windows(self._signal)

    def __getitem__(self, windows: slice) -> NDArray[np.float64]:
        first, stop, _ = windows.indices(len(self))
        kept_stop = self._first + len(self._kept)
        if not self._first <= first <= kept_stop:
            self._first, self._kept, kept_stop = first, self._kept[:0], first
        if stop > kept_stop:
            new = [_cepstra(self._levels(*span), self._floor_db) for span in self._spans(kept_stop, stop)]
            self._kept = np.concatenate([self._kept[first - self._first :], *new])
            self._first = first
        return self._kept[first - self._first : stop - self._first]

    @staticmethod
    def _spans(first: int, stop: int) -> list[tuple[int, int]]:
        return [(start, min(start + _WINDOWS_READ, stop)) for start in range(first, stop, _WINDOWS_READ)]

    def _levels(self, first: int, stop: int) -> NDArray[np.float64]:
        """Return the band levels of windows ``first`` to ``stop``, shape (n, 128), in dB, no floor."""
        return np.concatenate(
            [
                _levels_of(_cut(_frames_of(self._signal, window, min(window + _WINDOWS_AT_ONCE, stop))), self._rate_hz)
                for window in range(first, stop, _WINDOWS_AT_ONCE)
            ]
        )


def cepstra_of_both(
    reference: Samples, received: Samples, rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coefficients of two signals, both held, each of shape (1 + n // 512, 20).

    Windows that are equal in both, at the same place, are computed once.

    Parameters
    ----------
    reference
        Shape (n,).
    received
        Shape (m,).
    rate_hz
        Sample rate of both.

    Returns
    -------
    tuple[NDArray[np.float64], NDArray[np.float64]]
        Shapes (1 + n // 512, 20) and (1 + m // 512, 20).
    """
    counts = _windows(reference), _windows(received)
    levels = [np.empty((count, BANDS)) for count in counts]
    for first in range(0, max(counts), _WINDOWS_AT_ONCE):
        stop = first + _WINDOWS_AT_ONCE
        frames = [
            _frames_of(signal, first, min(stop, count))
            for signal, count in zip((reference, received), counts, strict=True)
            if first < count
        ]
        if len(frames) < len(counts):
            levels[counts[0] <= first][first:stop] = _levels_of(_cut(frames[0]), rate_hz)
            continue
        shared = min(len(part) for part in frames) // HOP_FRAMES
        equal = (frames[0][: shared * HOP_FRAMES] == frames[1][: shared * HOP_FRAMES]).reshape(shared, -1).all(axis=1)
        whole = np.asarray(np.lib.stride_tricks.sliding_window_view(equal, WINDOW_FRAMES // HOP_FRAMES).all(axis=1))
        levels[0][first:stop] = _levels_of(_cut(frames[0]), rate_hz)
        windows = _cut(frames[1])
        same = np.zeros(len(windows), dtype=bool)
        same[: len(whole)] = whole
        at = first + np.flatnonzero(same)
        levels[1][at] = levels[0][at]
        if not same.all():
            levels[1][first:stop][~same] = _levels_of(windows[~same], rate_hz)
    one, other = levels
    return _cepstra(one, float(one.max()) - RANGE_DB), _cepstra(other, float(other.max()) - RANGE_DB)


def _windows(signal: Samples) -> int:
    return 1 + len(signal) // HOP_FRAMES


def _cepstra(levels_db: NDArray[np.float64], floor_db: float) -> NDArray[np.float64]:
    out = np.empty((len(levels_db), COEFFICIENTS))
    for first in range(0, len(levels_db), _WINDOWS_READ):
        part = slice(first, first + _WINDOWS_READ)
        np.matmul(np.maximum(levels_db[part], floor_db), _cosines(), out=out[part])
    return out


def _frames_of(signal: Samples, first: int, stop: int) -> NDArray[np.floating]:
    """Return the frames of windows ``first`` to ``stop``, shape (512 (stop - first - 1) + 2048,)."""
    start = first * HOP_FRAMES - WINDOW_FRAMES // 2
    end = start + (stop - first - 1) * HOP_FRAMES + WINDOW_FRAMES
    there = signal[max(start, 0) : min(end, len(signal))]
    if len(there) < end - start:
        there = np.pad(there, (max(-start, 0), max(end - len(signal), 0)))
    return there


def _cut(frames: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the windows of frames, shape (n, 2048)."""
    shape = 1 + (len(frames) - WINDOW_FRAMES) // HOP_FRAMES, WINDOW_FRAMES
    (step,) = frames.strides
    return np.lib.stride_tricks.as_strided(frames, shape, (HOP_FRAMES * step, step), writeable=False)


def _levels_of(windows: NDArray[np.floating], rate_hz: float) -> NDArray[np.float64]:
    """Return the band levels of windows of shape (n, 2048), shape (n, 128), in dB, no floor."""
    spectrum = np.fft.rfft(windows * _hann())
    squares = np.square(spectrum.view(np.float64))
    power = squares[:, ::2] + squares[:, 1::2]
    levels = np.empty((len(windows), BANDS))
    for band, bins, weights in _filter_groups(rate_hz):
        np.matmul(power[:, bins], weights, out=levels[:, band])
    np.log10(np.maximum(levels, _LEAST_POWER, out=levels), out=levels)
    levels *= 10.0
    return levels


@lru_cache(maxsize=1)
def _hann() -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * math.pi / WINDOW_FRAMES * np.arange(WINDOW_FRAMES)))


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """Return the first columns of the orthonormal DCT-II, shape (128, 20)."""
    angle = math.pi / BANDS * np.outer(np.arange(BANDS) + 0.5, np.arange(COEFFICIENTS))
    columns = math.sqrt(2.0 / BANDS) * np.cos(angle)
    columns[:, 0] = math.sqrt(1.0 / BANDS)
    return np.asarray(columns)


def mel_filters(rate_hz: float) -> NDArray[np.float32]:
    """Return the weight of each bin of the spectrum in each band, shape (128, 1025).

    Triangles between neighbouring points of Slaney's scale (linear to 1 kHz, then logarithmic), each of area 1 over
    frequency in Hz.

    Parameters
    ----------
    rate_hz
        Sample rate.

    Returns
    -------
    NDArray[np.float32]
        Shape (128, 1025).
    """
    linear_hz, knee_hz = 200.0 / 3.0, 1000.0
    knee, log_step = knee_hz / linear_hz, math.log(6.4) / 27.0
    half_hz = rate_hz / 2.0
    highest = half_hz / linear_hz if half_hz < knee_hz else knee + math.log(half_hz / knee_hz) / log_step
    mel = np.linspace(0.0, highest, BANDS + 2)
    with np.errstate(over="ignore"):
        corner_hz = np.where(mel < knee, linear_hz * mel, knee_hz * np.exp(log_step * (mel - knee)))
    bin_hz = np.arange(WINDOW_FRAMES // 2 + 1) * (rate_hz / WINDOW_FRAMES)
    width_hz = np.diff(corner_hz)[:, None]
    ramp_hz = corner_hz[:, None] - bin_hz
    triangles = np.maximum(0.0, np.minimum(-ramp_hz[:-2] / width_hz[:-1], ramp_hz[2:] / width_hz[1:]))
    # Rounded before and after the scaling, as librosa does.
    return np.asarray(
        triangles.astype(np.float32) * (2.0 / (corner_hz[2:] - corner_hz[:-2]))[:, None], dtype=np.float32
    )


@lru_cache(maxsize=8)
def _filter_groups(rate_hz: float) -> list[tuple[slice, slice, NDArray[np.float64]]]:
    """Return the bands of each group of filters, the bins that they reach, and their weights there (bins, bands)."""
    filters = mel_filters(rate_hz)
    groups = []
    for first in range(0, BANDS, _BANDS_AT_ONCE):
        band = slice(first, first + _BANDS_AT_ONCE)
        bins = np.flatnonzero(filters[band].any(axis=0))
        reach = slice(int(bins[0]), int(bins[-1]) + 1) if len(bins) else slice(0, 0)
        groups.append((band, reach, np.ascontiguousarray(filters[band, reach].T, dtype=np.float64)))
    return groups
