"""An audio file as a signal to send."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.sources.audiofile import AudioFile, open_audio

_BLOCK_FRAMES = 65536


class FileSignal:
    """A recording, once or over and over; a :class:`rtpverify.sender.signal.Signal`. Read as it is needed.

    Raises
    ------
    SourceError
        Where the file cannot be read or holds no audio.
    """

    period_frames: int | None = None

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        import soundfile

        audio = open_audio(path)
        self.sample_rate_hz = audio.sample_rate_hz
        self.channels = audio.channels
        self._path = path
        # By its descriptor: soundfile would judge a path by its extension.
        self._file = soundfile.SoundFile(_decoded(audio) if audio.by_libav else os.open(path, os.O_RDONLY))
        self._length = audio.frames
        self.frames = None if loop else self._length
        self._loop = loop

    @property
    def peak(self) -> NDArray[np.float64]:
        """Full scale: what a recording is meant to reach is not known. Shape (channels,)."""
        return np.ones(self.channels)

    def read(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return a stretch, shape (frames, channels); zeros before the beginning and after the end.

        Raises
        ------
        SourceError
            Where the file cannot be read there.
        """
        import soundfile

        out = np.zeros((frames, self.channels))
        done = 0
        while done < frames:
            frame = start_frame + done
            if self._loop:
                frame %= self._length
            count = min(frames - done, self._length - frame) if frame >= 0 else min(frames - done, -frame)
            if count <= 0:
                break
            if frame >= 0:
                try:
                    self._file.seek(frame)
                    part = self._file.read(count, dtype="float64", always_2d=True)
                except soundfile.LibsndfileError as error:
                    raise SourceError(f"{self._path}: {error}") from error
                out[done : done + len(part)] = part
            done += count
        return out


def _decoded(audio: AudioFile) -> int:
    """Return the audio of a file that only PyAV can read, as the descriptor of a WAV file without a name."""
    import soundfile

    with tempfile.TemporaryFile(prefix="rtpverify-") as file:
        with soundfile.SoundFile(file, "w", audio.sample_rate_hz, audio.channels, "FLOAT", format="RF64") as wav:
            for block in audio.blocks(_BLOCK_FRAMES):
                wav.write(block)
        file.flush()
        descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
