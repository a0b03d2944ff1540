"""What the values of a channel are like: extremes, level, offset, noise, and whether "silence" is silence.

Levels are in dBFS as AES17 has it: a full-scale sine is 0, and so is its RMS; a peak is reported as the level of a sine
that has it. The level leaves out the mean, which is reported as the DC offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import as_frames, positive
from rtpverify.dsp.levels import dbfs, decibels
from rtpverify.dsp.silence import Silence, classify

_SEGMENT_SECONDS = 0.25
"""Of the spectra that noise is read from, at least."""
_KAISER_BETA = 24.0
"""Side lobes below -200 dB: the noise under a 24-bit tone is not its leakage."""
_MEDIAN_OF_NOISE = math.log(2.0)
"""Median of the power of one spectral line of noise, relative to its mean (chi-square, two degrees of freedom)."""
_SEGMENTS_AT_ONCE = 16
_LEAST_POWER = 1e-20
"""A median below says that there are lines or single frames, and no noise between them."""


@dataclass(frozen=True, slots=True)
class Levels:
    """One channel's figures. What cannot be determined is None.

    Attributes
    ----------
    channel
        From 1.
    frames
        Length.
    minimum, maximum
        Full scale ±1.0.
    minimum_frame, maximum_frame
        Where they are first.
    peak_dbfs
        Larger of the two, from zero.
    level_dbfs
        RMS without the mean.
    crest_db
        Largest departure from the mean against the RMS; 3.01 for a sine.
    dc_offset
        Mean.
    noise_floor_dbfs
        Broadband noise in the quietest quarter of a second that is not digital silence: level of white noise whose
        spectrum has the median of the spectrum there, so tones do not count.
    frames_zero
        Frames that are exactly 0.
    frames_full_scale
        Frames at the ends of the range (-1.0, and 1.0 less one step of the quantiser), or beyond.
    longest_run_frames
        Longest stretch of one and the same value.
    bits_used
        Bits down to the lowest that is ever set; None where the quantiser has no steps or every frame is 0.
    silence
        What is there where it sounds like nothing; None where there is a signal.
    """

    channel: int
    frames: int
    minimum: float
    maximum: float
    minimum_frame: int
    maximum_frame: int
    peak_dbfs: float | None
    level_dbfs: float | None
    crest_db: float | None
    dc_offset: float
    noise_floor_dbfs: float | None
    frames_zero: int
    frames_full_scale: int
    longest_run_frames: int
    bits_used: int | None
    silence: Silence | None


def levels(frames: ArrayLike, sample_rate_hz: float, *, bits: int | None = None) -> tuple[Levels, ...]:
    """Return the figures of each channel.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.
    bits
        Of the quantiser, where the values are whole multiples of its step ``2**(1 - bits)``; None where there is none.

    Returns
    -------
    tuple[Levels, ...]
        One for each channel.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    array = as_frames(frames)
    positive(sample_rate_hz, "sample_rate_hz")
    meter = LevelMeter(array.shape[1], sample_rate_hz, bits)
    meter.add(array)
    return meter.result()


class LevelMeter:
    """The figures of audio that comes block by block.

    Parameters
    ----------
    channels
        Channels of the audio.
    sample_rate_hz
        Frames per second.
    bits
        Word length of the encoding; None: none is known.
    """

    def __init__(self, channels: int, sample_rate_hz: float, bits: int | None) -> None:
        self._rate_hz, self._bits, self._channels = sample_rate_hz, bits, channels
        self._frames = 0
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._low_at, self._high_at = np.zeros((2, channels), np.int64)
        self._sum, self._square_sum = np.zeros((2, channels))
        self._zero, self._full = np.zeros((2, channels), np.int64)
        self._used = np.zeros(channels, np.int64)
        self._last = np.full(channels, np.nan)
        self._run, self._longest = np.zeros((2, channels), np.int64)
        self._spectra = _Spectra(channels, sample_rate_hz)

    def add(self, block: NDArray[np.float64]) -> None:
        """Take the next frames, shape (n, channels).

        Parameters
        ----------
        block
            Full scale ±1.0, shape (n, channels).
        """
        if not len(block):
            return
        low, high = block.min(axis=0), block.max(axis=0)
        self._low_at = np.where(low < self._low, self._frames + block.argmin(axis=0), self._low_at)
        self._high_at = np.where(high > self._high, self._frames + block.argmax(axis=0), self._high_at)
        self._low, self._high = np.minimum(low, self._low), np.maximum(high, self._high)
        self._sum += block.sum(axis=0)
        self._square_sum += np.einsum("nc,nc->c", block, block)
        self._zero += np.count_nonzero(block == 0.0, axis=0)
        step = 2.0 ** (1 - self._bits) if self._bits else 0.0
        self._full += np.count_nonzero((block >= 1.0 - step) | (block <= -1.0), axis=0)
        if self._bits:
            whole = np.rint(block * 2.0 ** (self._bits - 1)).astype(np.int64)
            self._used |= np.bitwise_or.reduce(whole, axis=0)
        self._follow_runs(block)
        self._spectra.add(block)
        self._frames += len(block)

    def result(self) -> tuple[Levels, ...]:
        """Return the figures of what has come so far, at least one frame.

        Returns
        -------
        tuple[Levels, ...]
            One for each channel.
        """
        return tuple(self._of(channel) for channel in range(self._channels))

    def _follow_runs(self, block: NDArray[np.float64]) -> None:
        """Find the longest stretch of one value, also across blocks."""
        for channel in range(self._channels):
            column = block[:, channel]
            changes = np.flatnonzero(np.diff(column)) + 1
            edges = np.concatenate([[0], changes, [len(column)]])
            runs = np.diff(edges)
            if column[0] == self._last[channel]:
                runs[0] += self._run[channel]
            self._longest[channel] = max(self._longest[channel], runs.max())
            self._run[channel], self._last[channel] = runs[-1], column[-1]

    def _of(self, channel: int) -> Levels:
        low, high = float(self._low[channel]), float(self._high[channel])
        mean = float(self._sum[channel]) / self._frames
        is_constant = low == high
        mean = low if is_constant else mean
        variance = max(0.0, float(self._square_sum[channel]) / self._frames - mean * mean)
        rms = 0.0 if is_constant else math.sqrt(variance)
        peak, departure = max(abs(low), abs(high)), max(high - mean, mean - low)
        used = int(self._used[channel])
        bits_used = None
        if self._bits and used:
            bits_used = self._bits - ((used & -used).bit_length() - 1)
        noise, spectrum = self._spectra.of(channel)
        return Levels(
            channel=channel + 1,
            frames=self._frames,
            minimum=low,
            maximum=high,
            minimum_frame=int(self._low_at[channel]),
            maximum_frame=int(self._high_at[channel]),
            peak_dbfs=decibels(peak) if peak else None,
            level_dbfs=dbfs(rms) if rms else None,
            crest_db=decibels(departure / rms) if rms else None,
            dc_offset=mean,
            noise_floor_dbfs=dbfs(noise) if noise else None,
            frames_zero=int(self._zero[channel]),
            frames_full_scale=int(self._full[channel]),
            longest_run_frames=int(self._longest[channel]),
            bits_used=bits_used,
            silence=classify(
                low,
                high,
                mean,
                rms,
                lsb=2.0 ** (1 - self._bits) if self._bits else None,
                step=2.0 ** (1 - bits_used) if bits_used else None,
                spectrum=spectrum,
                sample_rate_hz=self._rate_hz,
                frames=self._frames,
            ),
        )


class _Spectra:
    """Power spectra of consecutive segments of every channel: the mean of all, and the quietest one's median."""

    def __init__(self, channels: int, sample_rate_hz: float) -> None:
        self._size = 1 << max(8, math.ceil(math.log2(_SEGMENT_SECONDS * sample_rate_hz)))
        self._window = np.kaiser(self._size, _KAISER_BETA)
        self._scale = 1.0 / float(self._window @ self._window)
        self._clear = math.ceil(_KAISER_BETA / math.pi) + 2
        """Bins that DC leaks into."""
        self._rest = np.empty((0, channels))
        self._sum = np.zeros((channels, self._size // 2 + 1))
        self._segments = np.zeros(channels, np.int64)
        self._quietest = np.full(channels, np.inf)

    def add(self, block: NDArray[np.float64]) -> None:
        """Take the next frames, shape (n, channels)."""
        joined = np.concatenate([self._rest, block]) if len(self._rest) else block
        whole = len(joined) // self._size * self._size
        segments = joined[:whole].reshape(-1, self._size, joined.shape[1])
        for start in range(0, len(segments), _SEGMENTS_AT_ONCE):
            self._take(segments[start : start + _SEGMENTS_AT_ONCE])
        self._rest = joined[whole:].copy()

    def of(self, channel: int) -> tuple[float | None, NDArray[np.float64] | None]:
        """Return the RMS of the noise, and the mean power spectrum from a few bins on; None where nothing was there.

        Audio shorter than one segment is taken as one, with zeros after it.
        """
        if not self._segments.any() and len(self._rest):
            short, self._rest = self._rest, self._rest[:0]
            padded = np.zeros((1, self._size, short.shape[1]))
            padded[0, : len(short)] = short - short.mean(axis=0)
            self._take(padded * math.sqrt(self._size / len(short)))
        if not self._segments[channel]:
            return None, None
        noise = float(self._quietest[channel])
        return (math.sqrt(noise) if noise > _LEAST_POWER else None), self._sum[channel] / self._segments[channel]

    def _take(self, segments: NDArray[np.float64]) -> None:
        """Take segments of shape (k, size, channels)."""
        centred = segments - segments.mean(axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(centred.transpose(0, 2, 1) * self._window, axis=-1)) ** 2 * self._scale
        power[..., : self._clear] = 0.0
        median = np.median(power[..., self._clear :], axis=-1) / _MEDIAN_OF_NOISE
        sounds = (segments != segments[:, :1]).any(axis=1)
        self._quietest = np.minimum(self._quietest, np.where(sounds, median, np.inf).min(axis=0))
        self._sum += np.where(sounds[..., None], power, 0.0).sum(axis=0)
        self._segments += np.count_nonzero(sounds, axis=0)
