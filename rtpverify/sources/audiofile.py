"""Audio files: WAV (RF64, W64 too), AIFF, FLAC, Ogg, MP3 and what else libsndfile reads, as blocks of frames.

Sample values are scaled to full scale ±1.0, integers exactly: a sample k of b bits is k * 2**-(b-1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError

if TYPE_CHECKING:
    from soundfile import SoundFile

_PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_ALAC_BITS = {"ALAC_16": 16, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}
_ENCODING = {"FLOAT": "F32", "DOUBLE": "F64", "ULAW": "PCMU", "ALAW": "PCMA", "MPEG_LAYER_III": "MP3"} | dict.fromkeys(
    _ALAC_BITS, "ALAC"
)
_FLOATING = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")

_SAMPLES_PER_READ = 1 << 17
"""A call takes some 100 µs, and in FLAC a seek: small blocks are cut from larger reads."""
_FRAMES_UNKNOWN = 1 << 62
"""libsndfile says 2**63 - 1 of a FLAC file that was written to a pipe."""
_ANNOUNCED_BYTES = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""How libsndfile's log tells a header that promises more than the file holds: WAV, AIFF, AU, W64."""
_ANNOUNCED_FRAMES = re.compile(r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_MPEG_START_BYTES = 4096
_OGG_CUT_OFF = "File ended unexpectedly"


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
    """

    path: Path
    sample_rate_hz: int
    channels: int
    frames: int
    encoding: str
    bits: int | None

    def blocks(self, frames_per_block: int) -> Iterator[NDArray[np.float64]]:
        """Yield the audio from its start, each block of shape (n, channels), n = ``frames_per_block``.

        Only the last block may be shorter. A block stays as it is when the next one is read.

        Raises
        ------
        SourceError
            Where the file cannot be read to the end it announces.
        """
        frames_read = 0
        frames_per_read = frames_per_block * max(1, _SAMPLES_PER_READ // (self.channels * frames_per_block))
        with _opened(self.path) as file:
            dtype, scale = _storage(file.subtype)
            while frames_read < self.frames:
                try:
                    block = file.read(frames_per_read, dtype=dtype, always_2d=True)
                except RuntimeError as error:
                    raise SourceError(
                        f"{self.path}: damaged or cut off after {frames_read} of {self.frames} frames: {error}"
                    ) from error
                if not len(block):
                    raise SourceError(f"{self.path}: cut off: {frames_read} of {self.frames} frames are there")
                frames_read += len(block)
                scaled = block if scale is None else np.multiply(block, scale, dtype=np.float64)
                for start in range(0, len(scaled), frames_per_block):
                    yield scaled[start : start + frames_per_block]


def open_audio(path: str | Path) -> AudioFile:
    """Open an audio file by its content, whatever its name.

    Raises
    ------
    SourceError
        Where there is no such file, it cannot be read, is empty, is no audio, holds no frames, announces more than it
        holds (the length that a writer to a pipe puts for "unknown" is none), or does not tell how long it is (MP3
        and FLAC that were written to a pipe; a guess would leave their end unread).
    """
    path = Path(path)
    with _opened(path) as file:
        subtype = file.subtype
        if file.frames >= _FRAMES_UNKNOWN or (file.format == "MP3" and not _mpeg_states_length(path)):
            raise SourceError(f"{path}: does not state how many frames it holds; convert it to WAV first")
        _check_complete(path, file.extra_info, file.channels)
        if file.frames == 0:
            raise SourceError(f"{path}: holds no audio frames")
        bits = _PCM_BITS.get(subtype)
        return AudioFile(
            path=path,
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            frames=file.frames,
            encoding=f"L{bits}" if bits else _ENCODING.get(subtype, subtype),
            bits=bits or _ALAC_BITS.get(subtype),
        )


@contextmanager
def _opened(path: Path) -> Iterator[SoundFile]:
    """Open a file for reading by its descriptor: soundfile would judge a path by its extension."""
    import soundfile

    try:
        if not path.is_dir() and path.stat().st_size == 0:
            raise SourceError(f"{path}: empty file")
        with path.open("rb") as file:
            try:
                sound = soundfile.SoundFile(file.fileno(), closefd=False)
            except soundfile.LibsndfileError as error:
                raise SourceError(f"{path}: not an audio file that can be read: {error.error_string}") from error
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


def _check_complete(path: Path, log: str, channels: int) -> None:
    """Raise SourceError where libsndfile's log tells that the file was cut off."""
    for announced, present in _ANNOUNCED_BYTES.findall(log):
        missing = int(announced) - int(present)
        if missing >= channels and not _means_unknown(int(announced)):
            raise SourceError(f"{path}: cut off: {present} of {announced} bytes of audio are there")
    for present, announced in _ANNOUNCED_FRAMES.findall(log):
        if int(present) < int(announced):
            raise SourceError(f"{path}: cut off: {present} of {announced} frames are there")
    if _OGG_CUT_OFF in log:
        raise SourceError(f"{path}: cut off: the end of the stream is missing")


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
