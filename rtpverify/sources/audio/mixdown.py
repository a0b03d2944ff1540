"""A recording as one channel, read on as its slices are asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.distance import mono
from rtpverify.sources.audio.recording import RecordingAudio


class Mono:
    """The mean of all channels of a recording, in single precision; a :class:`rtpverify.dsp.mfcc.Samples`.

    Slices that overlap and move on are read in one go; one that starts before the last did is read again.

    Parameters
    ----------
    audio
        The recording.
    """

    def __init__(self, audio: RecordingAudio) -> None:
        self._audio = audio
        self._blocks: Iterator[NDArray[np.float32]] | None = None
        self._start = 0
        self._kept = np.empty(0, dtype=np.float32)

    def __len__(self) -> int:
        return self._audio.frames

    def __getitem__(self, frames: slice, /) -> NDArray[np.float32]:
        start, stop, _ = frames.indices(len(self))
        if self._blocks is None or not self._start <= start <= self._start + len(self._kept):
            self._start, self._kept = start, self._kept[:0]
            self._blocks = self._audio.single_blocks(start)
        parts, known = [self._kept[start - self._start :]], self._start + len(self._kept)
        self._start = start
        while known < stop:
            parts.append(mono(next(self._blocks)))
            known += len(parts[-1])
        self._kept = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return self._kept[: max(stop - start, 0)]
