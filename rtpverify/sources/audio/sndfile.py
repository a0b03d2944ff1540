"""Audio that libsndfile reads: WAV, RF64, W64, AIFF, CAF, AU, FLAC, Ogg Vorbis and Opus."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.sources.audio.blocks import cut
from rtpverify.sources.audio.channel_names import names_by_format
from rtpverify.sources.audio.mpeg import is_mpeg
from rtpverify.sources.audio.probe import AudioProbe, UnsuitedError

if TYPE_CHECKING:
    from soundfile import SoundFile

_PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_ALAC_BITS = {"ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}
_ENCODING = {"FLOAT": "F32", "DOUBLE": "F64", "ULAW": "PCMU", "ALAW": "PCMA", "MPEG_LAYER_III": "MP3"} | dict.fromkeys(
    _ALAC_BITS, "ALAC"
)
_FLOATING = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_SAMPLES_PER_READ = 1 << 17
"""A call takes some 100 µs: small blocks are cut from larger reads."""
_FRAMES_UNKNOWN = 1 << 62
"""libsndfile says 2**63 - 1 of a FLAC file that was written to a pipe."""

Span = tuple[int, int]
"""First byte and one past the last."""
Float = type[np.float32] | type[np.float64]


def probe(path: Path, spans: Sequence[Span] = (), frames: int | None = None) -> AudioProbe:
    """Return what is in a file by its header.

    Parameters
    ----------
    path
        The file.
    spans
        Where the streams lie that follow one another in it; empty for the whole file.
    frames
        Its length, where it is known better than by its header.

    Returns
    -------
    AudioProbe
        Its form and length.

    Raises
    ------
    SourceError
        Where it cannot be opened, or holds nothing.
    UnsuitedError
        Where libsndfile does not know its format, or it does not state how long it is.
    """
    total = 0
    with ExitStack() as stack:
        for span in spans or (None,):
            file = stack.enter_context(_opened(path, path, span))
            total += file.frames
        subtype, form, rate_hz, channels = file.subtype, file.format, file.samplerate, file.channels
    if frames is None and total >= _FRAMES_UNKNOWN:
        raise UnsuitedError("does not state how many frames it holds")
    bits = _PCM_BITS.get(subtype)
    return AudioProbe(
        rate_hz,
        channels,
        total if frames is None else frames,
        f"L{bits}" if bits else _ENCODING.get(subtype, subtype),
        bits or _ALAC_BITS.get(subtype),
        names_by_format("FLAC" if form == "FLAC" else subtype, channels),
        (),
    )


def read(
    path: Path, source: Path, spans: Sequence[Span], frames: int, start: int, frames_per_block: int, dtype: Float
) -> Iterator[NDArray[np.floating]]:
    """Yield a file's audio from frame ``start``, each block but the last of ``frames_per_block`` frames.

    Parameters
    ----------
    path, source
        What the file is reported as, and what is opened.
    spans, frames
        As :func:`probe` took and gave them; of a file with spans ``start`` is 0.
    start
        First frame.
    frames_per_block
        Frames of each block but the last.
    dtype
        ``numpy.float32`` or ``numpy.float64``.

    Yields
    ------
    NDArray[np.floating]
        Shape (n, channels).

    Raises
    ------
    SourceError
        Where the file cannot be read to its end.
    """
    if spans:
        yield from cut(_chained(path, source, spans, frames_per_block, dtype), frames_per_block)
        return
    with _opened(path, source, None) as file:
        if start:
            file.seek(start)
        for block in _scaled(path, file, start, frames, frames_per_block, dtype):
            for first in range(0, len(block), frames_per_block):
                yield block[first : first + frames_per_block]


def _chained(
    path: Path, source: Path, spans: Sequence[Span], frames_per_block: int, dtype: Float
) -> Iterator[NDArray[np.floating]]:
    """Yield streams that follow one another, as they are read."""
    for span in spans:
        with _opened(path, source, span) as file:
            yield from _scaled(path, file, 0, file.frames, frames_per_block, dtype)


def _scaled(
    path: Path, file: SoundFile, done: int, stop: int, frames_per_block: int, dtype: Float
) -> Iterator[NDArray[np.floating]]:
    """Yield what an open file holds, as it is read, with full scale ±1.0."""
    stored, scale = _storage(file.subtype)
    most = frames_per_block * max(1, _SAMPLES_PER_READ // (file.channels * frames_per_block))
    wanted = frames_per_block  # who starts somewhere may want no more
    while done < stop:
        try:
            with _unheard(mpeg=file.subtype.startswith("MPEG")):
                block = file.read(min(wanted, stop - done), dtype=stored, always_2d=True)
        except RuntimeError as error:
            raise SourceError(f"{path}: damaged or cut off after {done} of {stop} frames: {error}") from error
        if not len(block):
            raise SourceError(f"{path}: cut off: {done} of {stop} frames are there")
        done += len(block)
        wanted = min(2 * wanted, most)
        yield block.astype(dtype, copy=False) if scale is None else np.multiply(block, scale, dtype=dtype)


class _Part(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, file: BinaryIO, span: Span) -> None:
        self._file, self._span, self._at = file, span, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._span[1] - self._span[0]}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # soundfile gives one of bytes
        start, stop = self._span
        self._file.seek(start + self._at)
        raw = self._file.read(max(0, min(len(buffer), stop - start - self._at)))
        buffer[: len(raw)] = raw
        self._at += len(raw)
        return len(raw)

    def write(self, _data: object, /) -> int:
        raise io.UnsupportedOperation("only read")


@contextmanager
def _opened(path: Path, source: Path, span: Span | None) -> Iterator[SoundFile]:
    """Open a file, reported as ``path``, for reading by its descriptor: soundfile would go by its extension."""
    import soundfile

    try:
        with source.open("rb", buffering=0) as file:  # the descriptor is where the file is
            try:
                with _unheard(mpeg=is_mpeg(file)):
                    file.seek(0)
                    what = file.fileno() if span is None else _Part(file, span)
                    sound = soundfile.SoundFile(what, closefd=False)
            except soundfile.LibsndfileError as error:
                raise UnsuitedError(f"not a readable audio file: {error.error_string}") from error
            # soundfile seeks to where it is after every read of what is seekable: in MP3 silence comes then, until the
            # decoder has what it needs.
            sound.seekable = lambda: False
            with sound:
                yield sound
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{path}: {reason}") from error


@contextmanager
def _unheard(*, mpeg: bool) -> Iterator[None]:
    """Keep what libmpg123 writes to the process's standard error from it, while it opens or decodes."""
    if not mpeg:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _storage(subtype: str) -> tuple[str, float | None]:
    """Return the dtype to read samples of a codec in, and what scales it to ±1.0.

    Integers are read as such and scaled here: libsndfile takes three times as long to turn 16 bits into float64.
    """
    if subtype in _FLOATING:
        return "float64", None
    wide = _PCM_BITS.get(subtype, _ALAC_BITS.get(subtype, 16)) > 16
    return ("int32", 2.0**-31) if wide else ("int16", 2.0**-15)
