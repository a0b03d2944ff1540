"""A signal at a fraction of its rate, computed where it is asked for."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.farrow import farrow_coefficients, farrow_taps

_TAPS_PER_STEP = 16
_PASS = 0.86
"""Edge of the filter, as a share of the lower rate's half."""
_HALF_TAPS, _KAISER_BETA, _ORDER = 10, 4.5, 5
"""Of interpolation: up to 0.43 of the rate, which the filter lets pass, no error is above -43 dB."""
_FRAMES_AT_ONCE = 1 << 14
_KEPT_FRAMES = 1 << 20
"""At 8 kHz two minutes: where these are all, every frame is computed once."""
_PIECES, _PIECE_FRAMES = 32, 4096
_LEAST_SHARE = 0.01
"""Share of the power below a quarter of a lower rate, at least: with less, what a codec adds is as loud as it."""


class Frames(Protocol):
    """Frames of shape (n, channels), full scale ±1.0: an array, or what reads slices of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames and channels."""

    def __getitem__(self, frames: slice, /) -> NDArray[Any]: ...


class BoundedSignal(Protocol):
    """A signal that is silent before its start and after its end."""

    def __len__(self) -> int: ...

    def between(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return frames ``start`` to ``stop``, either of them anywhere, shape (stop - start, channels).

        Parameters
        ----------
        start
            First frame.
        stop
            Frame after the last one.

        Returns
        -------
        NDArray[np.float32]
            Zeros before the start and after the end.
        """


class Decimated:
    """Every ``factor``-th frame of a signal, low-passed: frame k lies on frame k * factor of the signal.

    Before its start and after its end the signal is silent. What was computed last is kept, for slices that overlap.

    Parameters
    ----------
    signal
        The signal.
    factor
        What its rate is divided by.
    """

    def __init__(self, signal: Frames, factor: int) -> None:
        self._signal = signal
        self._factor = factor
        self._kept_start = 0
        self._kept = np.empty((0, signal.shape[1]), dtype=np.float32)

    @property
    def channels(self) -> int:
        """Channels of the signal."""
        return self._signal.shape[1]

    def __len__(self) -> int:
        return (self._signal.shape[0] + self._factor - 1) // self._factor

    def between(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return frames ``start`` to ``stop``, either of them anywhere, shape (stop - start, channels).

        Parameters
        ----------
        start
            First frame.
        stop
            Frame after the last one.

        Returns
        -------
        NDArray[np.float32]
            Zeros before the start and after the end.
        """
        kept_stop = self._kept_start + len(self._kept)
        if not self._kept_start <= start <= kept_stop:
            self._kept, self._kept_start, kept_stop = self._kept[:0], start, start
        if stop > kept_stop:
            pieces = [
                self._compute(first, min(first + _FRAMES_AT_ONCE, stop))
                for first in range(kept_stop, stop, _FRAMES_AT_ONCE)
            ]
            keep_from = max(self._kept_start, min(start, stop - _KEPT_FRAMES))
            self._kept = np.concatenate([self._kept[keep_from - self._kept_start :], *pieces])
            self._kept_start = keep_from
        return self._kept[start - self._kept_start : stop - self._kept_start]

    def powers(self, most: int | None = None) -> NDArray[np.float64]:
        """Return the mean products of all channels with each other, of all frames or so many of the first.

        Shape (channels, channels).

        Parameters
        ----------
        most
            Frames at most; None: all.

        Returns
        -------
        NDArray[np.float64]
            Shape (channels, channels).
        """
        count = len(self) if most is None else min(most, len(self))
        total = np.zeros((self.channels, self.channels))
        for start in range(0, count, _FRAMES_AT_ONCE):
            frames = self.between(start, min(start + _FRAMES_AT_ONCE, count)).astype(np.float64)
            total += frames.T @ frames
        return total / max(count, 1)

    def _compute(self, start: int, stop: int) -> NDArray[np.float32]:
        factor = self._factor
        taps = _low_pass(factor)
        steps = len(taps)
        first = (start - steps // 2) * factor
        last = first + (stop - start - 1 + steps) * factor
        frames = self._signal.shape[0]
        there = np.asarray(self._signal[min(max(first, 0), frames) : max(min(last, frames), 0)], dtype=np.float32)
        if len(there) < last - first:
            before = min(max(-first, 0), last - first)
            there = np.pad(there, ((before, last - first - len(there) - before), (0, 0)))
        if factor == 1:
            return there
        # Each run of ``factor`` frames meets all taps once; frame k is the sum of part j times run k + j over all j.
        runs = there.reshape(-1, factor, self.channels)
        out = np.zeros((stop - start, self.channels), dtype=np.float32)
        for channel in range(self.channels):
            products = taps @ runs[:, :, channel].T
            for step, product in enumerate(products):
                out[:, channel] += product[step : step + stop - start]
        return out


class Mixed:
    """A signal whose channels are mixed to one.

    Parameters
    ----------
    signal
        The signal.
    weights
        Of its channels.
    """

    def __init__(self, signal: BoundedSignal, weights: NDArray[np.float32]) -> None:
        self._signal = signal
        self._weights = weights[:, None]

    def __len__(self) -> int:
        return len(self._signal)

    def between(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return frames ``start`` to ``stop``, either of them anywhere, shape (stop - start, 1).

        Parameters
        ----------
        start
            First frame.
        stop
            Frame after the last one.

        Returns
        -------
        NDArray[np.float32]
            Zeros before the start and after the end.
        """
        frames = self._signal.between(start, stop)
        return frames if len(self._weights) == 1 else np.asarray(frames @ self._weights)


def telling_factor(signal: Frames, most: int) -> int:
    """Return by how much the rate of a signal can be divided while enough of what moves in it is left.

    Parameters
    ----------
    signal
        The signal. Pieces from all over it are read.
    most
        Largest factor.

    Returns
    -------
    int
        Of 1 to ``most``; ``most`` for a signal that does not move at all.
    """
    length = min(signal.shape[0], _PIECE_FRAMES)
    if not length:
        return most
    powers = np.zeros(length // 2 + 1)
    for start in np.unique(np.linspace(0, signal.shape[0] - length, _PIECES).astype(np.int64)).tolist():
        piece = np.asarray(signal[start : start + length], dtype=np.float64)
        spectra = np.fft.rfft((piece - piece.mean(axis=0)) * np.hanning(length)[:, None], axis=0)
        powers += np.square(np.abs(spectra)).sum(axis=1)
    held = np.cumsum(powers)
    for factor in range(most, 1, -1):
        if held[length // (4 * factor)] >= _LEAST_SHARE * held[-1]:
            return factor
    return 1


def interpolated(signal: BoundedSignal, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a signal between its frames, shape (n, channels), up to where the filter of :class:`Decimated` lets pass.

    Positions rise; what lies before the signal's start or after its end is silent.

    Parameters
    ----------
    signal
        The signal.
    position
        Positions in frames, shape (n,).

    Returns
    -------
    NDArray[np.float64]
        Shape (n, channels).
    """
    whole = np.rint(position).astype(np.int64)
    fraction, low = position - whole, int(whole.min())
    values = signal.between(low - _HALF_TAPS, int(whole.max()) + _HALF_TAPS + 1)
    taps = farrow_taps(_HALF_TAPS, _KAISER_BETA, _ORDER).astype(np.float32)
    out = np.zeros((len(position), values.shape[1]))
    for channel in range(values.shape[1]):
        for coefficient in farrow_coefficients(values[:, channel], taps)[:, whole - low]:
            out[:, channel] = out[:, channel] * fraction + coefficient
    return out


@lru_cache(maxsize=8)
def _low_pass(factor: int) -> NDArray[np.float32]:
    """Return the taps of a low-pass at the half of the lower rate, shape (steps, factor).

    A sinc under a Blackman window, whose middle is the first of part ``steps // 2``.
    """
    if factor == 1:
        return np.ones((1, 1), dtype=np.float32)
    half = _TAPS_PER_STEP * factor // 2
    at = np.arange(-half, half + 1)
    taps = np.sinc(_PASS * at / factor) * np.blackman(2 * half + 3)[1:-1]
    whole = np.append(taps / math.fsum(taps), np.zeros(factor - 1))
    return np.asarray(whole.reshape(-1, factor), dtype=np.float32)
