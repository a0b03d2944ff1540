"""Audio of streams, kept in temporary files: memory does not grow with its length.

Frames lie where the media timeline has them; what never arrived reads as zeros and is counted.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.stream import Stream
from rtpverify.errors import SourceError

_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True)
class SpooledAudio:
    """Audio in a temporary file, which is gone with the last reference to it.

    Attributes
    ----------
    sample_rate_hz, channels, frames, encoding, bits, channel_names, warnings
        As an audio file has them.
    """

    sample_rate_hz: int
    channels: int
    frames: int
    encoding: str
    bits: int | None
    channel_names: tuple[str, ...]
    warnings: tuple[str, ...]
    _scratch: _Scratch

    def told(self) -> list[str]:
        """Return what a reader of all of it should know.

        Returns
        -------
        list[str]
            Sentences.
        """
        return list(self.warnings)

    def blocks(self, frames_per_block: int) -> Iterator[NDArray[np.float64]]:
        """Yield the audio from its start, each block of shape (n, channels); only the last one may be shorter.

        Parameters
        ----------
        frames_per_block
            Frames of a block.

        Yields
        ------
        NDArray[np.float64]
            Full scale ±1.0.
        """
        size = self.channels * _SAMPLE_BYTES
        for start in range(0, self.frames, frames_per_block):
            count = min(frames_per_block, self.frames - start)
            self._scratch.file.seek(start * size)
            raw = self._scratch.file.read(count * size).ljust(count * size, b"\0")
            yield np.frombuffer(raw, np.float32).reshape(count, self.channels).astype(np.float64)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return frames ``start`` to ``stop``, shape (stop - start, channels); zeros outside.

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        NDArray[np.float64]
            Full scale ±1.0.
        """
        first, last = max(start, 0), min(stop, self.frames)
        out = np.zeros((stop - start, self.channels))
        if first < last:
            size = self.channels * _SAMPLE_BYTES
            self._scratch.file.seek(first * size)
            raw = self._scratch.file.read((last - first) * size).ljust((last - first) * size, b"\0")
            out[first - start : last - start] = np.frombuffer(raw, np.float32).reshape(-1, self.channels)
        return out


class _Scratch:
    """A temporary file that is closed, and so gone, with the last reference to it."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(prefix="rtpverify-")  # noqa: SIM115
        weakref.finalize(self, self.file.close)


class _Track:
    """One stream's file."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.scratch = _Scratch()
        self.frames_there = 0
        self.stop_frame = 0

    def write(self, frame: NDArray[np.int64], samples: NDArray[np.float32]) -> None:
        """Write packets, shape (n, frames, channels), runs of neighbours at once."""
        count, length, channels = samples.shape
        breaks = np.flatnonzero(np.diff(frame) != length) + 1
        for part in np.split(np.arange(count), breaks):
            self.scratch.file.seek(int(frame[part[0]]) * channels * _SAMPLE_BYTES)
            self.scratch.file.write(samples[part].astype(np.float32).tobytes())
        self.frames_there += count * length
        self.stop_frame = max(self.stop_frame, int(frame.max()) + length)


class Spool:
    """Keeps the audio of every stream that a verifier decodes; its :meth:`take` is the verifier's ``on_frames``.

    Raises
    ------
    SourceError
        Where the temporary files cannot be written.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}

    def take(self, stream: Stream, frame: NDArray[np.int64], samples: NDArray[np.float32]) -> None:
        """Take packets of one stream: their first frames, shape (n,), and samples, shape (n, frames, channels).

        Parameters
        ----------
        stream
            The stream.
        frame
            First frame of each packet, shape (n,).
        samples
            Full scale ±1.0, shape (n, frames, channels).

        Raises
        ------
        SourceError
            Where the disk does not take it.
        """
        try:
            track = self._tracks.get(stream.index)
            if track is None or track.stream is not stream:
                track = self._tracks[stream.index] = _Track(stream)
            track.write(frame, samples)
        except OSError as error:
            raise SourceError(f"temporary file in {tempfile.gettempdir()}: {error.strerror}") from error

    @property
    def streams(self) -> list[Stream]:
        """The streams of which there is audio."""
        return [track.stream for track in self._tracks.values()]

    def audio(self, stream: Stream) -> SpooledAudio:
        """Return what has been kept of a stream.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        SpooledAudio
            To be read again.
        """
        track = next(track for track in self._tracks.values() if track.stream is stream)
        if stream.encoding is None:
            raise AssertionError("a stream that was decoded has an encoding")
        track.scratch.file.flush()
        form, frames = stream.encoding, track.stop_frame
        missing = frames - track.frames_there
        warnings = [] if stream.doubt is None else [stream.doubt]
        if missing > 0:
            warnings.append(f"{missing:,} of {frames:,} frames never arrived and read as 0")
        announced = stream.spec.announced
        labels = announced.labels(stream.payload_type, form.channels) if announced else []
        return SpooledAudio(
            form.sample_rate_hz,
            form.channels,
            frames,
            form.name,
            form.bits,
            tuple(labels) or (("L", "R") if form.channels == 2 else ()),
            tuple(warnings),
            track.scratch,
        )
