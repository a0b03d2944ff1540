"""The constant-Q transform: a spectrum whose bins are at equal ratios, as the ear and music have it (Brown 1991).

Bin k has the frequency ``lowest_hz * 2**(k / bins_per_octave)`` and looks through a Hann window of ``Q`` periods with
``Q = 1 / (2**(1 / bins_per_octave) - 1)``: long for low tones, short for high ones. The windows of all bins are centred
on the same frame. A sine in the middle of a bin reads its amplitude there, as in :mod:`rtpverify.dsp.spectrum`.

Low octaves are computed on audio of half, a quarter, … of the sample rate (Schörkhuber & Klapuri 2010), where their
windows are short: every octave costs the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import ShowsShapes, as_frames, positive
from rtpverify.dsp.resample import resample
from rtpverify.dsp.spectrum import HOP_FRAMES, column_times, to_db
from rtpverify.errors import RequestError

LOWEST_HZ = 32.703195662574764
"""C1."""
BINS_PER_OCTAVE = 24
MAX_BINS_PER_OCTAVE = 96

_HIGHEST = 0.9
"""Of half the sample rate: highest bin that is made unless set otherwise."""
_CLEAR = 0.4
"""Of the sample rate: bins above are computed at twice that rate. Halving the rate keeps everything below."""
_FILTER_REACH = 256
"""Frames, at the lower rate, that the filter of a halving looks ahead or back."""
_SEGMENT_FRAMES = 1 << 19
_PARTS_OF_A_FRAME = 16
_WINDOWS_AT_ONCE = 1 << 21
"""Samples gathered at a time."""


@dataclass(frozen=True, slots=True, repr=False)
class ConstantQ(ShowsShapes):
    """Spectra at equal ratios over time.

    Attributes
    ----------
    values
        Shape (channels, bins, columns), complex; the magnitude of a sine in the middle of a bin is its amplitude, the
        phase that of its cosine at the column's frame.
    frequencies_hz
        Middle of each bin, shape (bins,).
    sample_rate_hz
        Frames per second.
    bins_per_octave
        Resolution.
    hop_frames
        Distance between columns; column c is centred on frame ``c * hop_frames``.
    """

    values: NDArray[np.complex128]
    frequencies_hz: NDArray[np.float64]
    sample_rate_hz: float
    bins_per_octave: int
    hop_frames: int

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


def constant_q(
    frames: ArrayLike,
    sample_rate_hz: float,
    *,
    lowest_hz: float = LOWEST_HZ,
    highest_hz: float | None = None,
    bins_per_octave: int = BINS_PER_OCTAVE,
    hop_frames: int = HOP_FRAMES,
) -> ConstantQ:
    """Return the constant-Q spectra of audio.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.
    lowest_hz
        Frequency of the first bin.
    highest_hz
        No bin above; None: 0.9 of half the sample rate.
    bins_per_octave
        12 is a semitone; 1 to 96.
    hop_frames
        Distance between columns.

    Returns
    -------
    ConstantQ
        The spectra, with frequencies and times.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    array = as_frames(frames)
    plan = Plan.of(sample_rate_hz, lowest_hz, highest_hz, bins_per_octave)
    stream = ConstantQStream(plan, array.shape[1], hop_frames)
    parts = [*stream.add(array), *stream.finish()]
    values = np.concatenate(parts).transpose(1, 2, 0)
    return ConstantQ(values, plan.frequencies_hz, float(sample_rate_hz), bins_per_octave, hop_frames)


@dataclass(frozen=True, slots=True)
class _Octave:
    """Bins that are computed at one rate: that of the audio, halved so many times.

    ``lengths`` and ``cycles`` are length of the window and cycles per frame at that rate, shape (bins,).
    """

    halvings: int
    bins: slice
    lengths: NDArray[np.float64]
    cycles: NDArray[np.float64]

    @property
    def half(self) -> int:
        """Frames that the longest window reaches to each side."""
        return math.ceil(float(self.lengths[0]) / 2) + 1

    def kernel(self, late: float) -> NDArray[np.float64]:
        """Return windowed waves whose centre is ``late`` frames before the middle row.

        Shape (1 + 2 half, 2 bins): cosines, then sines.
        """
        offset = np.arange(-self.half, self.half + 1, dtype=np.float64)[:, None] + late
        window = 0.5 + 0.5 * np.cos(2 * np.pi * offset / self.lengths)
        window[np.abs(offset) >= self.lengths / 2] = 0.0
        window *= 2.0 / window.sum(axis=0)
        angle = 2 * np.pi * offset * self.cycles
        return np.concatenate([window * np.cos(angle), -window * np.sin(angle)], axis=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which bins there are and how each is computed.

    Attributes
    ----------
    sample_rate_hz
        Of the audio.
    frequencies_hz
        Middle of each bin, shape (bins,).
    octaves
        From the lowest bins to the highest.
    reach_frames
        How far a column looks to each side.
    """

    sample_rate_hz: float
    frequencies_hz: NDArray[np.float64]
    octaves: tuple[_Octave, ...]
    reach_frames: int

    @classmethod
    def of(cls, sample_rate_hz: float, lowest_hz: float, highest_hz: float | None, bins_per_octave: int) -> Plan:
        """Plan the transform.

        Parameters
        ----------
        sample_rate_hz
            Frames per second.
        lowest_hz
            Middle of the lowest bin.
        highest_hz
            The highest; None: 0.9 times half the sample rate.
        bins_per_octave
            Bins of each octave.

        Returns
        -------
        Plan
            The plan.

        Raises
        ------
        RequestError
            Where an argument is unusable, or no bin is left.
        RequestError
            Where an argument is unusable.
        """
        positive(sample_rate_hz, "sample_rate_hz")
        positive(lowest_hz, "lowest_hz")
        if not 1 <= bins_per_octave <= MAX_BINS_PER_OCTAVE:
            raise RequestError(f"bins_per_octave: {bins_per_octave} is not from 1 to {MAX_BINS_PER_OCTAVE}")
        highest_hz = _HIGHEST * sample_rate_hz / 2 if highest_hz is None else highest_hz
        if not lowest_hz <= highest_hz < sample_rate_hz / 2:
            raise RequestError(
                f"lowest_hz {lowest_hz:g} to highest_hz {highest_hz:g} is no range below half the sample rate of "
                f"{sample_rate_hz:g} Hz"
            )
        count = 1 + math.floor(bins_per_octave * math.log2(highest_hz / lowest_hz) + 1e-9)
        frequencies = lowest_hz * 2.0 ** (np.arange(count) / bins_per_octave)
        q = 1.0 / (2.0 ** (1.0 / bins_per_octave) - 1.0)
        halvings = np.maximum(0, np.floor(np.log2(_CLEAR * sample_rate_hz / frequencies))).astype(int)
        octaves = []
        for halved in sorted(set(halvings.tolist()), reverse=True):
            at = np.flatnonzero(halvings == halved)
            cycles = frequencies[at] * (2**halved / sample_rate_hz)
            octaves.append(_Octave(int(halved), slice(int(at[0]), int(at[-1]) + 1), q / cycles, cycles))
        reach = max((octave.half + 2 + 2 * _FILTER_REACH) << octave.halvings for octave in octaves)
        return cls(float(sample_rate_hz), frequencies, tuple(octaves), reach)


class ConstantQStream:
    """Constant-Q spectra of audio that comes block by block.

    Parameters
    ----------
    plan
        Which bins there are.
    channels
        Of the audio.
    hop_frames
        Distance between columns.
    holds_peaks
        Where windows are shorter than a hop, audio between them would not be seen at all: take the largest value of
        the hop there.
    """

    def __init__(self, plan: Plan, channels: int, hop_frames: int, *, holds_peaks: bool = False) -> None:
        if hop_frames < 1:
            raise RequestError(f"hop_frames: {hop_frames} is not at least 1")
        self._plan, self._hop, self._holds_peaks = plan, hop_frames, holds_peaks
        self._reach = plan.reach_frames + hop_frames * holds_peaks
        self._grain = 1 << max(octave.halvings for octave in plan.octaves)
        self._start = -self._reach // self._grain * self._grain
        self._blocks = [np.zeros((-self._start, channels))]
        self._held = -self._start
        self._frames = 0
        self._column = 0

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
        for start in range(0, len(block), _SEGMENT_FRAMES):
            part = block[start : start + _SEGMENT_FRAMES]
            self._frames += len(part)
            self._hold(part)
            if self._held >= _SEGMENT_FRAMES + 2 * self._reach:
                last = (self._start + self._held - self._reach) // self._hop
                yield from self._columns(last)

    def finish(self) -> Iterator[NDArray[np.complex128]]:
        """End the audio; yield the columns that are left.

        Yields
        ------
        NDArray[np.complex128]
            Shape (columns, channels, bins).
        """
        self._hold(np.zeros((self._reach + self._hop, self._blocks[0].shape[1])))
        yield from self._columns(1 + self._frames // self._hop)

    def _hold(self, part: NDArray[np.float64]) -> None:
        self._blocks.append(part)
        self._held += len(part)

    def _columns(self, stop: int) -> Iterator[NDArray[np.complex128]]:
        """Yield the columns up to ``stop``, and forget what no later one looks at."""
        if stop <= self._column:
            return
        audio = np.concatenate(self._blocks)
        centre = np.arange(self._column, stop) * self._hop - self._start
        out = np.empty((len(centre), audio.shape[1], len(self._plan.frequencies_hz)), np.complex128)
        halved, halvings = np.ascontiguousarray(audio), 0
        for octave in reversed(self._plan.octaves):
            while halvings < octave.halvings:
                halved, halvings = resample(halved, 2, 1), halvings + 1
            part = self._octave(octave, halved, centre)
            for offset in self._between(octave):
                other = self._octave(octave, halved, centre + offset)
                part = np.where(np.abs(other) > np.abs(part), other, part)
            out[:, :, octave.bins] = part
        yield out
        self._column = stop
        keep = (stop * self._hop - self._start - self._reach) // self._grain * self._grain
        audio = audio[max(0, keep) :].copy()
        self._start += max(0, keep)
        self._blocks, self._held = [audio], len(audio)

    def _between(self, octave: _Octave) -> list[int]:
        """Return where else to look within the hop around a column, frames from its middle."""
        if not self._holds_peaks:
            return []
        parts = math.ceil(2 * self._hop / (float(octave.lengths[-1]) * (1 << octave.halvings)))
        offsets = [round(self._hop * (2 * part + 1 - parts) / (2 * parts)) for part in range(parts)]
        return [offset for offset in offsets if offset] if parts > 1 else []

    def _octave(self, octave: _Octave, audio: NDArray[np.float64], centre: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Return one octave's columns, shape (columns, channels, bins)."""
        half, bins, scale = octave.half, len(octave.cycles), 1 << octave.halvings
        windows = np.lib.stride_tricks.sliding_window_view(audio, 2 * half + 1, axis=0)
        nearest = (centre + scale // 2) >> octave.halvings
        # Between two frames of the lower rate the windows themselves are moved, by sixteenths of a frame.
        grain = max(1, scale // _PARTS_OF_A_FRAME)
        late, rest = np.divmod((nearest << octave.halvings) - centre + grain // 2, grain)
        out = np.empty((len(centre), audio.shape[1], bins), np.complex128)
        at_once = max(1, _WINDOWS_AT_ONCE // ((2 * half + 1) * audio.shape[1]))
        for moved in np.unique(late).tolist():
            kernel = octave.kernel(moved * grain / scale)
            rows = np.flatnonzero(late == moved)
            for start in range(0, len(rows), at_once):
                part = rows[start : start + at_once]
                found = windows[nearest[part] - half] @ kernel
                out[part] = found[..., :bins] + 1j * found[..., bins:]
        turn = np.exp(-2j * np.pi / scale * (rest - grain // 2)[:, None] * octave.cycles)
        return np.asarray(out * turn[:, None, :], np.complex128)
