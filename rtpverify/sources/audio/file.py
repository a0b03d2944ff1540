"""Audio files as blocks of frames: WAV (RF64, W64 too), AIFF, FLAC, Ogg, MP3, MP4 and what else FFmpeg knows.

The container is examined first: whether it is whole, how long it is, whether its form changes. What is plain is then
read by libsndfile (:mod:`rtpverify.sources.audio.sndfile`), everything else by PyAV where that is installed
(:mod:`rtpverify.sources.audio.libav`). Sample values are scaled to full scale ±1.0, integers exactly: a sample k of b
bits is k * 2**-(b-1).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.sources.audio import libav, mpeg, sndfile
from rtpverify.sources.audio.blocks import cut
from rtpverify.sources.audio.chunks import Chunk, chunks_of
from rtpverify.sources.audio.file_stamp import HeldFile
from rtpverify.sources.audio.flac import frames_of, stream_info
from rtpverify.sources.audio.ogg import check_alike, links_of
from rtpverify.sources.audio.probe import AudioProbe, UnsuitedError
from rtpverify.sources.audio.wave import PCM, Packing, WaveForm, packing_of, wave_form

_FLOATING = ("F32", "F64")
_SEEKABLE = (*_FLOATING, "PCMU", "PCMA")
_WORD_LENGTHS = (16, 20, 24)
_SCANNED_FRAMES = 1 << 16
_BY_SNDFILE = ("VORBIS", "OPUS")
"""Codecs in Ogg that libsndfile reads."""
_WAVE_TAGS = (PCM, 3, 6, 7)
"""WAV's codecs without a decoder's delay: linear, floating point, A-law and µ-law."""
_NEEDS = {b"mp4": "is MP4", b"EBML": "is Matroska"}
"""Why libsndfile is not for a form of container."""
_HEADER_BYTES = 4096
"""After a header of a file without audio there is less than this."""
_NO_LENGTH = "its header states no length (written to a pipe, or still being written); read to its end"


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
        What each channel is called, such as ``L`` and ``R``; empty where nothing says.
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
    spans: tuple[sndfile.Span, ...] = field(default=(), compare=False, repr=False)
    """Where the streams lie that follow one another in it, where there are several."""
    packing: Packing | None = field(default=None, compare=False, repr=False)
    """How its samples lie in wider containers, where they do."""
    held: HeldFile | None = field(default=None, compare=False, repr=False)

    def hold(self) -> AudioFile:
        """Return the same file, to be read for long: see :class:`rtpverify.sources.audio.file_stamp.HeldFile`.

        Returns
        -------
        AudioFile
            The file, which must not change from now on.

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
        """Return what a reader of all of it should know, once it has been read.

        Returns
        -------
        list of str
            Warnings, one sentence each.
        """
        grown = "it has grown since it was opened; the added part is not read"
        return [*self.warnings, *([grown] if self.has_grown else [])]

    @property
    def seekable(self) -> bool:
        """Whether its codec can start at any frame and give what it gives there when read from the beginning."""
        return not self.by_libav and not self.spans and (self.bits is not None or self.encoding in _SEEKABLE)

    @property
    def is_lossy(self) -> bool:
        """Whether its codec keeps what is heard and not the samples."""
        return self.bits is None and self.encoding not in _SEEKABLE

    @property
    def is_floating(self) -> bool:
        """Whether its samples are stored in floating point."""
        return self.encoding in _FLOATING

    def rounded_bits(self) -> int | None:
        """Return the word length, of 16, 20 and 24 bits, that samples in floating point were rounded to; None if none.

        Returns
        -------
        int or None
            Bits.

        Raises
        ------
        SourceError
            Where the file cannot be read.
        """
        widest = max(_WORD_LENGTHS)
        used = 0
        for block in self.blocks(_SCANNED_FRAMES):
            steps = np.where(np.isfinite(block), block, 0.0) * 2.0 ** (widest - 1)
            if not np.array_equal(steps, np.rint(steps)):
                return None
            used |= int(np.bitwise_or.reduce(steps.astype(np.int64), axis=None))
        empty = (used & -used).bit_length() - 1 if used else 0
        return min(bits for bits in _WORD_LENGTHS if bits >= widest - empty)

    def require_finite(self) -> None:
        """Raise SourceError at the first value that is NaN or infinite: what others are compared with has none."""
        if not self.is_floating:
            return
        frame = 0
        for block in self.blocks(_SCANNED_FRAMES):
            finite = np.isfinite(block)
            if not finite.all():
                at, channel = (int(place[0]) for place in np.nonzero(~finite))
                raise SourceError(
                    f"{self.path}: channel {channel + 1}, frame {frame + at}: {block[at, channel]} is no sample"
                )
            frame += len(block)

    def blocks(self, frames_per_block: int, *, start: int = 0) -> Iterator[NDArray[np.float64]]:
        """Yield the audio from frame ``start``, each block of shape (n, channels), n = ``frames_per_block``.

        Only the last block may be shorter. A block stays as it is when the next one is read. What is not
        :attr:`seekable` is read from its beginning.

        Parameters
        ----------
        frames_per_block
            Frames of each block but the last.
        start
            First frame.

        Returns
        -------
        iterator of NDArray[np.float64]
            Full scale ±1.0, shape (n, channels).

        Raises
        ------
        SourceError
            Where the file cannot be read to the end it announces.
        """
        return self._blocks(frames_per_block, start, np.float64)

    def single_blocks(self, frames_per_block: int, *, start: int = 0) -> Iterator[NDArray[np.float32]]:
        """Yield the same as :meth:`blocks`, rounded to single precision.

        Parameters
        ----------
        frames_per_block
            Frames of each block but the last.
        start
            First frame.

        Returns
        -------
        iterator of NDArray[np.float32]
            Full scale ±1.0, shape (n, channels).
        """
        return self._blocks(frames_per_block, start, np.float32)

    def _blocks(self, frames_per_block: int, start: int, dtype: sndfile.Float) -> Iterator[NDArray[Any]]:
        if self.packing is not None:
            return self._unpacked(self.packing, frames_per_block, start, dtype)
        if self.by_libav:
            read = cut(libav.read(self.path, self.frames, self.source), frames_per_block)
            return (block.astype(dtype, copy=False) for block in read)
        return sndfile.read(self.path, self.source, self.spans, self.frames, start, frames_per_block, dtype)

    def _unpacked(
        self, packing: Packing, frames_per_block: int, start: int, dtype: sndfile.Float
    ) -> Iterator[NDArray[Any]]:
        """Yield samples that are read as they lie in the file."""
        with _opened(self.path, self.source) as file:
            for first in range(start, self.frames, frames_per_block):
                wanted = min(frames_per_block, self.frames - first)
                block = packing.read(file, first, wanted)
                if len(block) < wanted:
                    raise SourceError(f"{self.path}: cut off: {first + len(block)} of {self.frames} frames are there")
                yield np.multiply(block, 2.0**-31, dtype=dtype)


@dataclass(slots=True)
class _Container:
    """What a file's container says, before anything is decoded.

    Attributes
    ----------
    frames
        Its length, where the container states it better than the reader does.
    needs
        Why libsndfile is not for it; None where it is.
    wave, audio
        Format and audio of a WAV file.
    spans
        Streams that follow one another, where there are several.
    """

    frames: int | None = None
    needs: str | None = None
    wave: WaveForm | None = None
    audio: Chunk | None = None
    spans: tuple[sndfile.Span, ...] = ()
    warnings: list[str] = field(default_factory=list)


def open_audio(path: str | Path) -> AudioFile:
    """Open an audio file by its content, whatever its name.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    AudioFile
        The file, of which the length is known.

    Raises
    ------
    SourceError
        Where there is no such file, it is no regular file (a pipe has no end), cannot be read, is empty, is no audio,
        holds no frames, is cut off or damaged, announces more than it holds (the length that a writer to a pipe puts
        for "unknown" is none), changes its sample rate or channel count, or needs PyAV, which is not there.
    """
    path = Path(path)
    _check_regular(path)
    with _opened(path, path) as file:
        size = path.stat().st_size
        if size == 0:
            raise SourceError(f"{path}: empty file")
        container = _look(path, file, size)
        try:
            if container.needs is not None:
                raise UnsuitedError(container.needs)
            found = sndfile.probe(path, container.spans, container.frames)
            by_libav = False
        except UnsuitedError as unsuited:
            found = _by_libav(path, file, unsuited, container.needs)
            by_libav = True
        packing = None
        wave, audio = container.wave, container.audio
        if wave is not None and audio is not None and wave.is_wide and not by_libav:
            found, packing = _unpack(file, found, wave, audio, size)
        elif wave is not None and audio is not None and wave.is_24_bit and not by_libav and not container.spans:
            packing = Packing(audio.start, wave.sample_bytes, wave.channels, wave.valid_bits)
    if found.frames == 0:
        raise SourceError(f"{path}: holds no audio frames")
    return AudioFile(
        path=path,
        sample_rate_hz=found.sample_rate_hz,
        channels=found.channels,
        frames=found.frames,
        encoding=found.encoding,
        bits=found.bits,
        channel_names=(wave.names if wave else ()) or found.names,
        warnings=(*container.warnings, *found.warnings),
        bytes_when_opened=size,
        by_libav=by_libav,
        spans=container.spans,
        packing=packing,
    )


def _look(path: Path, file: BinaryIO, size: int) -> _Container:
    """Look at a container: what it states, and whether it is whole."""
    found = _Container()
    form, chunks = chunks_of(file)
    if form:
        _check_chunks(path, form, chunks, size, found)
        if form == b"WAVE":
            found.wave = wave_form(file, chunks)
            if found.wave is not None and found.wave.tag not in _WAVE_TAGS and libav.is_installed():
                found.needs = "needs a decoder with a delay of its own"
        found.needs = _NEEDS.get(form, found.needs)
        return found
    if info := stream_info(file):
        frames = frames_of(path, file, info)
        if not info.frames:
            found.warnings.append(_NO_LENGTH)
        elif frames > info.frames:
            found.needs = f"its header states {info.frames} frames, {frames} are present"
            found.warnings.append(f"{found.needs} and are read")
        found.frames = frames
        return found
    if links := links_of(path, file):
        check_alike(path, links)
        if links[0].codec not in _BY_SNDFILE:
            found.needs = f"is {links[0].codec} in Ogg"
        elif len(links) > 1:
            starts = [link.start_byte for link in links]
            found.spans = tuple(zip(starts, [*starts[1:], size], strict=True))
        return found
    if mpeg.is_mpeg(file):
        found.needs = _mpeg_needs(path, file, size)
    return found


def _check_chunks(path: Path, form: bytes, chunks: list[Chunk], size: int, found: _Container) -> None:
    """Raise SourceError where a chunk of audio, or one that it cannot be read without, is not whole."""
    for chunk in chunks:
        if chunk.is_audio:
            found.audio = found.audio or chunk
        if chunk.is_audio and form == b"WAVE" and chunk.size == 0 and size > _HEADER_BYTES:
            raise SourceError(
                f"{path}: its header states no audio, yet {size} bytes are there: it is still being written, or its "
                "writer was stopped"
            )
        if chunk.is_audio and (chunk.size is None or _means_unknown(chunk.size)):
            if form not in _NEEDS:
                found.warnings.append(_NO_LENGTH)
            return
        missing = chunk.missing(size)
        if not missing:
            continue
        if chunk.is_audio:
            what = f"{max(0, size - chunk.start)} of {chunk.size} bytes of audio are there"
            raise SourceError(f"{path}: cut off: {what}")
        name = chunk.name.decode("ascii", "replace").strip()
        if form in (b"mp4", b"caff") and (chunk.name.isalnum() or len(chunk.name) < 4):
            raise SourceError(f"{path}: cut off: {missing} bytes of its {name or 'last'} part are missing")
        if found.audio is not None:
            found.warnings.append(f"cut off after the audio: {missing} bytes of its chunk {name} are missing")


def _means_unknown(announced_bytes: int) -> bool:
    """Return whether a length is what writers to a pipe put for "unknown": all ones (ffmpeg), just below 2**31."""
    return 0xFFFFFF00 <= announced_bytes <= 0xFFFFFFFF or 0x7FFF0000 <= announced_bytes <= 0x7FFFFFFF


def _mpeg_needs(path: Path, file: BinaryIO, size: int) -> str | None:
    """Return why MPEG audio is not for libsndfile: FFmpeg sees where its form changes, and what follows its length."""
    stated = mpeg.statement(file)
    if stated is None or stated.codec_frames is None:
        return "does not state how many frames it holds"
    if stated.bytes is not None and stated.start + stated.bytes > size:
        raise SourceError(f"{path}: cut off: {size - stated.start} of {stated.bytes} bytes of audio are there")
    if mpeg.goes_on(file, stated):
        return "continues after the length that it states"
    return "is MPEG audio" if libav.is_installed() else None


def _by_libav(path: Path, file: BinaryIO, unsuited: UnsuitedError, needs: str | None) -> AudioProbe:
    """Return what PyAV finds in a file that libsndfile is not for."""
    if not libav.is_installed():
        hint = f"convert it to WAV or install rtpverify[{libav.EXTRA}]"
        raise SourceError(f"{path}: {unsuited}; {hint}") from unsuited.__cause__
    stated = mpeg.statement(file) if mpeg.is_mpeg(file) else None
    try:
        return libav.probe(path, stated.codec_frames if stated else None)
    except UnsuitedError as error:
        reason = f"not a readable audio file: {error}" if needs else unsuited
        raise SourceError(f"{path}: {reason}") from error


def _unpack(
    file: BinaryIO, found: AudioProbe, wave: WaveForm, audio: Chunk, size: int
) -> tuple[AudioProbe, Packing | None]:
    """Return what is in a file whose samples have fewer bits than the bytes they lie in, and how they lie there."""
    available = size - audio.start if audio.size is None else min(audio.size, size - audio.start)
    frames = available // (wave.sample_bytes * wave.channels)
    packing = packing_of(file, wave, audio.start, frames)
    warnings = found.warnings
    if packing.bits != wave.valid_bits:
        warnings = (f"its header states {wave.valid_bits} bits, and its samples use {packing.bits}",)
    found = replace(found, frames=frames, encoding=f"L{packing.bits}", bits=packing.bits, warnings=warnings)
    return found, packing if wave.is_padded or packing.shift else None


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


def _opened(path: Path, source: Path) -> BinaryIO:
    """Open a file that is reported as ``path``.

    Raises
    ------
    SourceError
        Where it cannot be opened.
    """
    try:
        return source.open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"{path}: {reason}") from error
