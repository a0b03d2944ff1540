"""Audio files: WAV (RF64, W64 too), AIFF, FLAC, Ogg, MP3 and what else libsndfile reads, as blocks of frames.

What libsndfile cannot read (MP4 and AAC first of all) is read by PyAV where that is installed
(:mod:`rtpverify.sources.libav`). Sample values are scaled to full scale ±1.0, integers exactly: a sample k of b bits
is k * 2**-(b-1).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.sources import libav
from rtpverify.sources.channelnames import names_by_format, names_by_wave_header
from rtpverify.sources.held import HeldFile

if TYPE_CHECKING:
    from soundfile import SoundFile

_PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_ALAC_BITS = {"ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}
_ENCODING = {"FLOAT": "F32", "DOUBLE": "F64", "ULAW": "PCMU", "ALAW": "PCMA", "MPEG_LAYER_III": "MP3"} | dict.fromkeys(
    _ALAC_BITS, "ALAC"
)
_FLOATING = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_SEEKABLE = ("F32", "F64", "PCMU", "PCMA")

_SAMPLES_PER_READ = 1 << 17
"""A call takes some 100 µs: small blocks are cut from larger reads."""
_FRAMES_UNKNOWN = 1 << 62
"""libsndfile says 2**63 - 1 of a FLAC file that was written to a pipe."""
_ANNOUNCED_BYTES = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""How libsndfile's log tells a header that promises more than the file holds: WAV, AIFF, AU, W64."""
_ANNOUNCED_FRAMES = re.compile(r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_MPEG_START_BYTES = 4096
_OGG_CUT_OFF = "File ended unexpectedly"
_NOT_RECOGNISED = "Format not recognised"
_HEADER_BYTES = 4096
"""Behind a header of a file without audio there is less than this."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    """An audio file that can be read.

    Attributes
    ----------
    path
        The file.
    sample_rate_hz, channels, frames
        As its header states them.
    encoding
        ``L8``, ``L16``, ``L24``, ``L32`` for linear PCM (FLAC is that, too), ``F32``, ``F64``, ``PCMU``, ``PCMA``,
        otherwise libsndfile's name of the codec.
    bits
        Quantiser bits of linear PCM; None otherwise.
    channel_names
        What each channel is called, such as ``L`` and ``R``; empty where nothing tells.
    warnings
        What a reader should know before trusting the file.
    """

    path: Path
    sample_rate_hz: int
    channels: int
    frames: int
    encoding: str
    bits: int | None
    channel_names: tuple[str, ...] = field(default=(), compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    bytes_when_opened: int = field(default=0, compare=False)
    by_libav: bool = field(default=False, compare=False)
    """Whether PyAV reads it, not libsndfile."""
    held: HeldFile | None = field(default=None, compare=False, repr=False)

    def hold(self) -> AudioFile:
        """Return the same file, to be read for long: see :class:`rtpverify.sources.held.HeldFile`.

        Raises
        ------
        SourceError
            Where it is not there any more.
        """
        try:
            return replace(self, held=HeldFile(self.path))
        except OSError as error:
            raise SourceError(f"{self.path}: {error.strerror}") from error

    @property
    def source(self) -> Path:
        """What is opened to read it."""
        return self.path if self.held is None else self.held.path

    @property
    def has_grown(self) -> bool:
        """Whether something has been written to the file since it was opened; that part is not read."""
        return self.source.stat().st_size > self.bytes_when_opened

    def told(self) -> list[str]:
        """Return what a reader of all of it should know, once it has been read."""
        grown = "it has grown since it was opened; what was added is not read"
        return [*self.warnings, *([grown] if self.has_grown else [])]

    @property
    def seekable(self) -> bool:
        """Whether its codec can start at any frame and give what it gives there when read from the beginning."""
        return not self.by_libav and (self.bits is not None or self.encoding in _SEEKABLE)

    @property
    def is_lossy(self) -> bool:
        """Whether its codec keeps what is heard and not the samples."""
        return self.bits is None and self.encoding not in _SEEKABLE

    def blocks(self, frames_per_block: int, *, start: int = 0) -> Iterator[NDArray[np.float64]]:
        """Yield the audio from frame ``start``, each block of shape (n, channels), n = ``frames_per_block``.

        Only the last block may be shorter. A block stays as it is when the next one is read. What is not
        :attr:`seekable` is read from its beginning.

        Raises
        ------
        SourceError
            Where the file cannot be read to the end it announces.
        """
        if self.by_libav:
            yield from _cut(libav.read(self.path, self.frames, self.source), frames_per_block)
        else:
            yield from self._blocks(frames_per_block, start, np.float64)

    def single_blocks(self, frames_per_block: int, *, start: int = 0) -> Iterator[NDArray[np.float32]]:
        """Yield the same as :meth:`blocks`, rounded to single precision."""
        if self.by_libav:
            for block in self.blocks(frames_per_block, start=start):
                yield block.astype(np.float32)
        else:
            yield from self._blocks(frames_per_block, start, np.float32)

    def _blocks(self, frames_per_block: int, start: int, dtype: type[np.floating]) -> Iterator[NDArray[Any]]:
        """Yield the audio as libsndfile reads it."""
        frames_read = start
        most_per_read = frames_per_block * max(1, _SAMPLES_PER_READ // (self.channels * frames_per_block))
        frames_per_read = frames_per_block  # who starts somewhere may want no more
        with _opened(self.path, self.source) as file:
            stored, scale = _storage(file.subtype)
            if start:
                file.seek(start)
            while frames_read < self.frames:
                try:
                    block = file.read(min(frames_per_read, self.frames - frames_read), dtype=stored, always_2d=True)
                except RuntimeError as error:
                    raise SourceError(
                        f"{self.path}: damaged or cut off after {frames_read} of {self.frames} frames: {error}"
                    ) from error
                if not len(block):
                    raise SourceError(f"{self.path}: cut off: {frames_read} of {self.frames} frames are there")
                frames_read += len(block)
                frames_per_read = min(2 * frames_per_read, most_per_read)
                scaled = block.astype(dtype, copy=False) if scale is None else np.multiply(block, scale, dtype=dtype)
                for start in range(0, len(scaled), frames_per_block):
                    yield scaled[start : start + frames_per_block]


def open_audio(path: str | Path) -> AudioFile:
    """Open an audio file by its content, whatever its name.

    Raises
    ------
    SourceError
        Where there is no such file, it is no regular file (a pipe has no end), cannot be read, is empty, is no audio,
        holds no frames, announces more than it holds (the length that a writer to a pipe puts for "unknown" is none),
        or does not tell how long it is (MP3 and FLAC that were written to a pipe; a guess would leave their end
        unread) and PyAV is not there to count.
    """
    path = Path(path)
    _check_regular(path)
    try:
        return _open_by_libsndfile(path)
    except _UnsuitedError as unsuited:
        if not libav.is_installed():
            hint = f"install rtpverify[{libav.EXTRA}] for MP4/AAC and more" if unsuited.is_strange else unsuited.hint
            raise SourceError(f"{path}: {unsuited}; {hint}") from unsuited.__cause__
        found = libav.probe(path)
        if found is None:
            raise SourceError(f"{path}: {unsuited}") from unsuited.__cause__
        bits = unsuited.bits
    return AudioFile(
        path=path,
        sample_rate_hz=found.sample_rate_hz,
        channels=found.channels,
        frames=found.frames,
        encoding=f"L{bits}" if bits else found.encoding,
        bits=bits,
        channel_names=found.names,
        warnings=found.warnings,
        bytes_when_opened=path.stat().st_size,
        by_libav=True,
    )


class _UnsuitedError(Exception):
    """libsndfile cannot read a file to its end; ``is_strange`` where it does not know the format at all."""

    hint = f"convert it to WAV or install rtpverify[{libav.EXTRA}]"

    def __init__(self, message: str, *, is_strange: bool, bits: int | None = None) -> None:
        super().__init__(message)
        self.is_strange = is_strange
        self.bits = bits


def _open_by_libsndfile(path: Path) -> AudioFile:
    with _opened(path, path) as file:
        subtype = file.subtype
        bits = _PCM_BITS.get(subtype)
        if file.frames >= _FRAMES_UNKNOWN or (file.format == "MP3" and not _mpeg_states_length(path)):
            raise _UnsuitedError("does not state how many frames it holds", is_strange=False, bits=bits)
        states_length = _check_complete(path, file.extra_info, file.channels)
        size = path.stat().st_size
        if file.frames == 0:
            if size > _HEADER_BYTES and re.search(r"^\s*data : 0$", file.extra_info, re.MULTILINE):
                raise SourceError(
                    f"{path}: its header states no audio, yet {size} bytes are there: it is still being written, or "
                    "its writer was stopped"
                )
            raise SourceError(f"{path}: holds no audio frames")
        with path.open("rb") as header:
            names = names_by_wave_header(header, file.channels)
        unknown = "its header states no length: it was written to a pipe, or is still being written; read to its end"
        return AudioFile(
            path=path,
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            frames=file.frames,
            encoding=f"L{bits}" if bits else _ENCODING.get(subtype, subtype),
            bits=bits or _ALAC_BITS.get(subtype),
            channel_names=names or names_by_format("FLAC" if file.format == "FLAC" else subtype, file.channels),
            warnings=() if states_length else (unknown,),
            bytes_when_opened=size,
        )


def _cut(blocks: Iterable[NDArray[np.float64]], frames_per_block: int) -> Iterator[NDArray[np.float64]]:
    """Yield the same frames in blocks of one length, the last one perhaps shorter."""
    waiting: list[NDArray[np.float64]] = []
    frames = 0
    for block in blocks:
        waiting.append(block)
        frames += len(block)
        if frames >= frames_per_block:
            joined = np.concatenate(waiting)
            whole = frames - frames % frames_per_block
            for start in range(0, whole, frames_per_block):
                yield joined[start : start + frames_per_block]
            waiting, frames = [joined[whole:]], frames - whole
    if frames:
        yield np.concatenate(waiting)


def _check_regular(path: Path) -> None:
    """Raise SourceError for what is no file with an end; opening a pipe would wait for a writer."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{path}: {reason}") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise SourceError(f"{path}: is {kind}, not a file: it has no end")


@contextmanager
def _opened(path: Path, source: Path) -> Iterator[SoundFile]:
    """Open a file, told as ``path``, for reading by its descriptor: soundfile would judge it by its extension."""
    import soundfile

    try:
        if not source.is_dir() and source.stat().st_size == 0:
            raise SourceError(f"{path}: empty file")
        with source.open("rb") as file:
            try:
                sound = soundfile.SoundFile(file.fileno(), closefd=False)
            except soundfile.LibsndfileError as error:
                reason = error.error_string
                message = f"not an audio file that can be read: {reason}"
                if reason.startswith(_NOT_RECOGNISED):
                    raise _UnsuitedError(message, is_strange=True) from error
                raise SourceError(f"{path}: {message}") from error
            # soundfile seeks to where it is after every read of what is seekable: in MP3 silence comes then, until the
            # decoder has what it needs.
            sound.seekable = lambda: False
            with sound:
                yield sound
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{path}: {reason}") from error


def _storage(subtype: str) -> tuple[str, float | None]:
    """Return the dtype to read samples of a codec in, and what scales it to ±1.0.

    Integers are read as such and scaled here: libsndfile takes three times as long to turn 16 bits into float64.
    """
    if subtype in _FLOATING:
        return "float64", None
    wide = _PCM_BITS.get(subtype, _ALAC_BITS.get(subtype, 16)) > 16
    return ("int32", 2.0**-31) if wide else ("int16", 2.0**-15)


def _check_complete(path: Path, log: str, channels: int) -> bool:
    """Raise SourceError where libsndfile's log tells that the file was cut off; return whether it states a length."""
    states_length = True
    for announced, present in _ANNOUNCED_BYTES.findall(log):
        if _means_unknown(int(announced)):
            states_length = False
        elif int(announced) - int(present) >= channels:
            raise SourceError(f"{path}: cut off: {present} of {announced} bytes of audio are there")
    for present, announced in _ANNOUNCED_FRAMES.findall(log):
        if int(present) < int(announced):
            raise SourceError(f"{path}: cut off: {present} of {announced} frames are there")
    if _OGG_CUT_OFF in log:
        raise SourceError(f"{path}: cut off: the end of the stream is missing")
    return states_length


def _means_unknown(announced_bytes: int) -> bool:
    """Tell whether a length is what writers to a pipe put for "unknown": all ones (ffmpeg), just below 2**31."""
    return announced_bytes >= 0xFFFFFF00 or 0x7FFF0000 <= announced_bytes <= 0x7FFFFFFF


def _mpeg_states_length(path: Path) -> bool:
    """Tell whether an MPEG audio file opens with a frame count (Xing or Info header); libsndfile guesses otherwise."""
    with path.open("rb") as file:
        tag = file.read(10)
        tag_bytes = 0
        if tag[:3] == b"ID3" and len(tag) == 10:
            for byte in tag[6:]:  # "synchsafe": 7 bits a byte (ID3v2 section 3.1)
                tag_bytes = tag_bytes << 7 | byte & 0x7F
            tag_bytes += len(tag)
        file.seek(tag_bytes)
        start = file.read(_MPEG_START_BYTES)
    return b"Xing" in start or b"Info" in start
