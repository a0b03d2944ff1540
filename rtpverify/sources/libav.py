"""Audio that libsndfile cannot read (MP4 and AAC, Matroska, WavPack, AC-3, …), through PyAV where it is installed.

A container may promise any length; only what the decoder gives is counted. An MP4's edit list says where the audio
begins and ends inside its codec frames: the priming before it is left out by the decoder, the filling after it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.sources.channelnames import names_of

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

EXTRA = "mp4"
"""Extra of the package that brings PyAV."""

_ENCODINGS = {"aac": "AAC", "mp3float": "MP3", "mp3": "MP3"}
_STATES_END = "mp4"
"""Part of the name of containers whose duration is that of the audio, exactly."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one pass over the first audio stream of a file found. ``frames`` is what can be decoded."""

    sample_rate_hz: int
    channels: int
    frames: int
    encoding: str
    names: tuple[str, ...]
    warnings: tuple[str, ...]


def is_installed() -> bool:
    """Tell whether PyAV can be imported."""
    return find_spec("av") is not None


def probe(path: Path) -> Probe | None:
    """Decode a file once and tell what is in it; None where it holds no audio that FFmpeg knows.

    Raises
    ------
    SourceError
        Where it is damaged or cut off.
    """
    import av

    try:
        container = av.open(str(path))
    except av.FFmpegError:
        return None
    with container:
        streams = container.streams.audio
        if not streams:
            return None
        stream = streams[0]
        context = stream.codec_context
        warnings = (f"holds {len(streams)} audio streams; this is the first",) if len(streams) > 1 else ()
        positions = [channel.name for channel in context.layout.channels]
        rate_hz, channels = context.sample_rate, len(positions)
        announced = _announced_frames(container, stream)
        encoding = _ENCODINGS.get(context.name, context.name.upper())
        frames = sum(part.samples for part in _decoded(path, container, stream))
    if frames == 0:
        raise SourceError(f"{path}: holds no audio frames")
    if announced is not None:
        if frames < announced:
            raise SourceError(f"{path}: cut off: {frames} of {announced} frames are there")
        frames = announced
    is_known = len(positions) > 1 and all(position.isupper() for position in positions)
    return Probe(rate_hz, channels, frames, encoding, names_of(positions) if is_known else (), warnings)


def read(path: Path, frames: int, source: Path) -> Iterator[NDArray[np.float64]]:
    """Yield the first ``frames`` frames of a file that :func:`probe` found, each block of shape (n, channels).

    Parameters
    ----------
    path, source
        What the file is told as, and what is opened.

    Raises
    ------
    SourceError
        Where it cannot be read any more, or is damaged.
    """
    import av

    left = frames
    try:
        container = av.open(str(source))
    except av.FFmpegError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    with container:
        for part in _decoded(path, container, container.streams.audio[0]):
            block = _samples(part)[:left]
            left -= len(block)
            yield block
            if left <= 0:
                return


def _announced_frames(container: InputContainer, stream: AudioStream) -> int | None:
    """Return how many frames a container says there are, where it says so exactly."""
    if _STATES_END not in container.format.name or stream.duration is None or stream.time_base is None:
        return None
    return round(stream.duration * stream.time_base * stream.codec_context.sample_rate)


def _decoded(path: Path, container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Yield decoded frames, with damage told as what it is."""
    import av

    done = 0
    with _quiet():
        try:
            for part in container.decode(stream):
                done += part.samples
                yield part
        except av.FFmpegError as error:
            raise SourceError(f"{path}: damaged or cut off after {done} frames: {error.strerror}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep FFmpeg's own messages from the terminal: what matters is told as an error."""
    import av.logging

    before = av.logging.get_level()
    av.logging.set_level(None)
    try:
        yield
    finally:
        av.logging.set_level(before)


def _samples(part: AudioFrame) -> NDArray[np.float64]:
    """Return a decoded frame's samples, shape (n, channels), full scale ±1.0."""
    raw = part.to_ndarray()
    channels = len(part.layout.channels)
    planar = raw if part.format.is_planar else raw.reshape(-1, channels).T
    if planar.dtype == np.uint8:
        return (planar.T.astype(np.float64) - 128.0) * 2.0**-7
    if planar.dtype.kind == "i":
        return np.multiply(planar.T, 2.0 ** (1 - 8 * planar.dtype.itemsize), dtype=np.float64)
    return planar.T.astype(np.float64)
