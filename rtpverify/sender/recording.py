"""An audio file as a signal to send."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtpverify.sources.audio.file import open_audio
from rtpverify.sources.audio.recording import RecordingAudio


class FileSignal:
    """A recording, once or repeated; a :class:`rtpverify.sender.signal.SentSignal`. It is read while it is sent.

    Parameters
    ----------
    path
        The file.
    loop
        Whether it begins again at its end.

    Raises
    ------
    SourceError
        Where the file cannot be read, holds no audio, or a value that is no finite number.
    """

    period_frames: int | None = None

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        file = open_audio(path)
        file.require_finite()
        self.sample_rate_hz = file.sample_rate_hz
        self.channels = file.channels
        self._audio = RecordingAudio(file.hold(), file.sample_rate_hz)
        self._length = file.frames
        self.frames = None if loop else self._length
        self._loop = loop

    @property
    def peak(self) -> NDArray[np.float64]:
        """Full scale: what a recording is meant to reach is not known. Shape (channels,)."""
        return np.ones(self.channels)

    def read(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return a stretch, shape (frames, channels); zeros before the beginning and after the end.

        Parameters
        ----------
        start_frame
            First frame.
        frames
            How many.

        Returns
        -------
        NDArray[np.float64]
            Shape (frames, channels), full scale ±1.0.

        Raises
        ------
        SourceError
            Where the file cannot be read there.
        """
        if not self._loop:
            return self._audio.read(start_frame, start_frame + frames).copy()
        out = np.empty((frames, self.channels))
        done = 0
        while done < frames:
            frame = (start_frame + done) % self._length
            count = min(frames - done, self._length - frame)
            out[done : done + count] = self._audio.read(frame, frame + count)
            done += count
        return out
