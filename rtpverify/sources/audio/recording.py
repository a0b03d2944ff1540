"""Recordings as references: any stretch of an audio file, at any sample rate, in bounded memory.

Blocks that were read are kept for a while; codecs in which one cannot seek to the frame are decoded from the start
again when an earlier stretch is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from math import gcd
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.resample import PASSBAND, resample
from rtpverify.reference import Recording
from rtpverify.sources.audio.file import AudioFile, open_audio
from rtpverify.sources.audio.file_stamp import stamp_of

Float = TypeVar("Float", np.float32, np.float64)

CACHE_BYTES = 48 << 20
"""Decoded blocks that are kept of one file at one rate."""
SEEKABLE_CACHE_BYTES = 3 << 20
"""The same of a file in which any block is found again in no time."""
_BLOCK_FRAMES = 1 << 15
_MARGIN_FRAMES = 4096
"""Frames around a block that the resampling filter sees."""


def open_recording(path: Path, *, looped: bool = True) -> Recording:
    """Open an audio file as a reference, at whatever sample rate the audio has that is compared with it.

    The file is read as it is now for as long as the reference is there, whatever takes its name.

    Parameters
    ----------
    path
        The file.
    looped
        Whether it is played again and again.

    Returns
    -------
    Recording
        The reference.

    Raises
    ------
    SourceError
        As :func:`rtpverify.sources.audio.file.open_audio`, and where it holds a value that is not finite.
    SourceError
        Where it cannot be read.
    """
    return recording_of(open_audio(path).hold(), looped=looped)


def recording_of(file: AudioFile, *, looped: bool = True) -> Recording:
    """Return an audio file that was opened as a reference.

    Parameters
    ----------
    file
        The file.
    looped
        Whether it is played again and again.

    Returns
    -------
    Recording
        The reference.

    Raises
    ------
    SourceError
        Where it cannot be read, or holds a value that is not finite.
    """
    file.require_finite()

    @cache
    def at_rate(sample_rate_hz: int) -> RecordingAudio:
        return RecordingAudio(file, sample_rate_hz)

    return Recording(file.path, at_rate, file.channels, file.sample_rate_hz, looped, stamp=stamp_of(file.source))


class RecordingAudio:
    """The audio of a file at one sample rate; a :class:`rtpverify.reference.ReferenceAudio`.

    Values that are no finite numbers read as 0.

    Parameters
    ----------
    file
        The file.
    sample_rate_hz
        Rate at which it is played; the file is resampled where it has another.
    """

    def __init__(self, file: AudioFile, sample_rate_hz: int) -> None:
        self.file = file
        self.sample_rate_hz = sample_rate_hz
        self.channels = file.channels
        common = gcd(sample_rate_hz, file.sample_rate_hz)
        # So many frames of the one rate last exactly as long as so many of the other.
        self._up, self._down = sample_rate_hz // common, file.sample_rate_hz // common
        self.frames = -(-file.frames * self._up // self._down)
        self.is_resampled = self._up != self._down
        narrow = min(1.0, file.sample_rate_hz / sample_rate_hz) * PASSBAND
        self.bandwidth = 0.5 * narrow if self.is_resampled else 0.5
        self._block = self._up * max(1, _BLOCK_FRAMES // self._up)
        self._cache: OrderedDict[int, NDArray[np.float64]] = OrderedDict()
        is_cheap = file.seekable and not self.is_resampled
        cache_bytes = SEEKABLE_CACHE_BYTES if is_cheap else CACHE_BYTES
        self._kept = max(4, cache_bytes // (self._block * self.channels * 8))
        self._decoder = _Decoder(file)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return frames ``start`` to ``stop``, shape (stop - start, channels); zeros outside the file.

        Parameters
        ----------
        start
            First frame.
        stop
            Frame after the last one.

        Returns
        -------
        NDArray[np.float64]
            Full scale ±1.0.

        Raises
        ------
        SourceError
            Where the file cannot be read there.
        """
        first, last = max(start, 0), min(stop, self.frames)
        if first // self._block == (last - 1) // self._block and (first, last) == (start, stop):
            at = first // self._block
            return self._cached(at)[first - at * self._block : last - at * self._block]
        out = np.zeros((stop - start, self.channels))
        while first < last:
            at = first // self._block
            until = min(last, (at + 1) * self._block)
            part = self._cached(at)[first - at * self._block : until - at * self._block]
            out[first - start : first - start + len(part)] = part
            first = until
        return out

    def single_blocks(self, start: int) -> Iterator[NDArray[np.float32]]:
        """Yield the audio from frame ``start`` on in single precision, each block of shape (n, channels).

        Parameters
        ----------
        start
            First frame.

        Yields
        ------
        NDArray[np.float32]
            Full scale ±1.0, shape (n, channels).
        """
        if self.is_resampled:
            for first in range(start, self.frames, _BLOCK_FRAMES):
                yield self.read(first, min(first + _BLOCK_FRAMES, self.frames)).astype(np.float32)
        elif self.file.seekable:
            yield from map(_finite, self.file.single_blocks(_BLOCK_FRAMES, start=start))
        else:
            for block in self.file.single_blocks(_BLOCK_FRAMES):
                if start < len(block):
                    yield _finite(block[start:])
                start = max(start - len(block), 0)

    def _cached(self, at: int) -> NDArray[np.float64]:
        block = self._cache.get(at)
        if block is None:
            block = self._cache[at] = self._load(at * self._block)
            if len(self._cache) > self._kept:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(at)
        return block

    def _load(self, start: int) -> NDArray[np.float64]:
        if not self.is_resampled:
            return self._decoder.read(start, start + self._block)
        margin = self._down * -(-_MARGIN_FRAMES // self._down)
        first = start // self._up * self._down
        frames = self._block // self._up * self._down
        wide = self._decoder.read(first - margin, first + frames + margin)
        skip = margin // self._down * self._up
        return resample(wide, self.file.sample_rate_hz, self.sample_rate_hz)[skip : skip + self._block]


def _finite(block: NDArray[Float]) -> NDArray[Float]:
    return block if np.isfinite(block).all() else np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)


class _Decoder:
    """Frames of a file by number, read on where the last stretch ended, or from where one has to start."""

    def __init__(self, file: AudioFile) -> None:
        self._file = file
        self._blocks: Iterator[NDArray[np.float64]] = iter(())
        self._recent: list[NDArray[np.float64]] = []
        self._start = self._stop = 0
        """What ``_recent`` holds."""

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return a stretch, shape (stop - start, channels); zeros outside the file."""
        first, last = max(start, 0), min(stop, self._file.frames)
        if first >= last:
            return np.zeros((stop - start, self._file.channels))
        if first < self._start or first > self._stop + _MARGIN_FRAMES or not self._recent:
            self._start = self._stop = self._seek(first)
            self._recent = []
        while self._stop < last:
            block = _finite(next(self._blocks))
            self._recent.append(block)
            self._stop += len(block)
            while self._recent and self._start + len(self._recent[0]) <= first:
                self._start += len(self._recent.pop(0))
        known = np.concatenate(self._recent) if len(self._recent) > 1 else self._recent[0]
        part = known[first - self._start : last - self._start]
        if len(part) == stop - start:
            out = part
        else:
            out = np.zeros((stop - start, self._file.channels))
            out[first - start : last - start] = part
        while self._recent and self._start + len(self._recent[0]) < last - 2 * _MARGIN_FRAMES:
            self._start += len(self._recent.pop(0))
        return out

    def _seek(self, frame: int) -> int:
        """Let the next block begin at a frame, or before it; return where."""
        if frame and self._file.seekable:
            self._blocks = self._file.blocks(_BLOCK_FRAMES, start=frame)
            return frame
        self._blocks = self._file.blocks(_BLOCK_FRAMES)
        return 0
