"""Audio that libsndfile cannot read, or not to its end (MP4, MP3, Matroska, …), through PyAV where it is installed.

A container may promise any length; only what the decoder gives is counted. Where the audio begins and ends inside its
codec frames is said by an MP4's edit list or iTunSMPB tag, or by an MP3's LAME tag: the priming before it is omitted
by FFmpeg, the filling after it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.sources.audio import mpeg
from rtpverify.sources.audio.channel_names import names_of
from rtpverify.sources.audio.probe import AudioProbe, UnsuitedError

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

EXTRA = "mp4"
"""Extra of the package that brings PyAV."""

_ENCODINGS = (
    {
        "mp3float": "MP3",
        "mp2float": "MPEG_LAYER_II",
        "mp1float": "MPEG_LAYER_I",
        "libspeex": "SPEEX",
        "libopus": "OPUS",
        "pcm_alaw": "PCMA",
        "pcm_mulaw": "PCMU",
    }
    | dict.fromkeys(("pcm_f32le", "pcm_f32be"), "F32")
    | dict.fromkeys(("pcm_f64le", "pcm_f64be"), "F64")
)
_TIMED = "mov,mp4"
"""How the name of containers begins whose duration says where the audio ends, exactly."""
_COUNTED = ("wv", "tta", "ape")
"""Containers that state how many frames they hold, and after which tags follow."""
_RAW = ("mp3", "aac")
"""Containers that are codec frames one after the other, each beginning with eleven set bits, and tags around them."""
_TUNES_TAG = re.compile(r"^\s*[0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{8} ([0-9A-F]{16})(?: |$)", re.IGNORECASE)
"""iTunSMPB: priming and length in frames."""
_MPEG = ("mp1", "mp2", "mp3")
_PCM = re.compile(r"pcm_[su](\d+)")
_FLAC_STREAMINFO_BYTES = 34
_ALAC_BITS_AT = 17
"""Where the magic cookie of ALAC, with its atom's header, says how many bits a sample has."""


def is_installed() -> bool:
    """Return whether PyAV can be imported.

    Returns
    -------
    bool
        Whether the extra ``mp4`` is there.
    """
    return find_spec("av") is not None


def probe(path: Path, codec_frames: int | None = None) -> AudioProbe:
    """Decode a file once and return what is in it.

    Parameters
    ----------
    path
        The file.
    codec_frames
        How many it states in a way that FFmpeg does not check, if it does.

    Returns
    -------
    AudioProbe
        Its form and length.

    Raises
    ------
    SourceError
        Where it is damaged or cut off, or its sample rate or channel count changes.
    UnsuitedError
        Where it holds no audio that FFmpeg can read.
    """
    import av

    with _heard() as said:
        try:
            container = _open(path)
        except av.FFmpegError as error:
            raise UnsuitedError(error.strerror) from error
        with container:
            if not container.streams.audio:
                raise UnsuitedError("it holds no audio")
            found = _Pass(path, container)
            for _ in found.parts():
                pass
            streams = len(container.streams.audio)
            context = found.stream.codec_context
            positions = [channel.name for channel in context.layout.channels]
            codec, bits = context.name, _bits(context)
    if found.form is None:
        raise SourceError(f"{path}: holds no audio frames")
    frames, warnings = found.length()
    if codec_frames is not None and found.codec_frames < codec_frames:
        raise SourceError(f"{path}: cut off: {found.codec_frames} of {codec_frames} codec frames are there")
    if codec_frames is not None and found.codec_frames > codec_frames:
        warnings.append(f"its header states {codec_frames} codec frames, {found.codec_frames} are present and are read")
    if streams > 1:
        warnings.append(f"holds {streams} audio streams; this is the first")
    complaints = [message for _, name, message in said if name == codec]
    if complaints:
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        warnings.append(f"its decoder reports: {complaints[0].strip()}{more}")
    rate_hz, channels = found.form
    is_known = channels > 1 and len(positions) == channels and all(position.isupper() for position in positions)
    names = names_of(positions) if is_known else ()
    encoding = f"L{bits}" if bits and codec != "alac" else _ENCODINGS.get(codec, codec.upper())
    return AudioProbe(rate_hz, channels, frames, encoding, bits, names, tuple(warnings))


def read(path: Path, frames: int, source: Path) -> Iterator[NDArray[np.float64]]:
    """Yield the first ``frames`` frames of a file that :func:`probe` found, each block of shape (n, channels).

    Parameters
    ----------
    path
        What the file is called in messages.
    frames
        Frames wanted.
    source
        What is opened.

    Yields
    ------
    NDArray[np.float64]
        Shape (n, channels).

    Raises
    ------
    SourceError
        Where it cannot be read any more, or is damaged.
    """
    import av

    left = frames
    try:
        container = _open(source)
    except av.FFmpegError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    with container:
        for part in _Pass(path, container).parts():
            block = _samples(part)[:left]
            left -= len(block)
            yield block
            if left <= 0:
                return


def _open(path: Path) -> InputContainer:
    """Open a file, whatever characters its tags are written in."""
    import av

    return av.open(str(path), metadata_errors="replace")


class _Pass:
    """One pass over the first audio stream of a container, and what it shows of its length."""

    def __init__(self, path: Path, container: InputContainer) -> None:
        self._path = path
        self._container = container
        self.stream: AudioStream = container.streams.audio[0]
        # Read before the first packet: at the end of a file, FFmpeg may have another one, or none.
        self._duration = self.stream.duration
        self.form: tuple[int, int] | None = None
        """Sample rate and channels of the first frames; None before there are any."""
        self._done = 0
        self._longest = 0
        """Frames decoded, and most of them at a time."""
        self._packet_start: int | None = None
        self._start: int | None = None
        """Where the first packet lies in the container's time, and the first frame that was decoded."""
        self.codec_frames = 0
        """Packets of audio."""
        self._bytes_left_out = 0

    def parts(self) -> Iterator[AudioFrame]:
        """Yield decoded frames.

        Raises
        ------
        SourceError
            At damage, and where the sample rate or the channel count changes.
        """
        import av

        try:
            for packet in self._container.demux(self.stream):
                if self._packet_start is None:
                    self._packet_start = packet.dts
                for part in self._decoded(packet):
                    self._check_form(self._form(packet, part))
                    if self._start is None:
                        self._start = part.pts
                    self._done += part.samples
                    self._longest = max(self._longest, part.samples)
                    yield part
        except av.error.DecoderNotFoundError as error:
            raise UnsuitedError("there is no decoder for its audio") from error
        except av.FFmpegError as error:
            stated = self._stated()
            if stated is None or self._done < stated:
                raise SourceError(
                    f"{self._path}: damaged or cut off after {self._done} frames: {error.strerror}"
                ) from error

    def _decoded(self, packet: Packet[AudioStream]) -> list[AudioFrame]:
        """Return what a packet holds: nothing where it is no codec frame, but what lies around them."""
        import av

        self.codec_frames += packet.size > 0
        try:
            return packet.decode()
        except av.FFmpegError:
            if self._container.format.name not in _RAW or mpeg.has_sync(bytes(packet)[:2]):
                raise
            self.codec_frames -= 1
            self._bytes_left_out += packet.size
            return []

    def _form(self, packet: Packet[AudioStream], part: AudioFrame) -> tuple[int, int]:
        """Return sample rate and channels: of MPEG audio by its own head, as FFmpeg's come late."""
        stated = mpeg.form(bytes(packet)[:4]) if self.stream.codec_context.name.startswith(_MPEG) else None
        return stated or (part.sample_rate, len(part.layout.channels))

    def _check_form(self, form: tuple[int, int]) -> None:
        if self.form is None:
            self.form = form
        if form == self.form:
            return
        (rate_hz, channels), (next_rate_hz, next_channels) = self.form, form
        changes = [f"sample rate changes from {rate_hz} Hz to {next_rate_hz} Hz"] if rate_hz != next_rate_hz else []
        if channels != next_channels:
            changes.append(f"channel count changes from {channels} to {next_channels}")
        raise SourceError(
            f"{self._path}: its {' and its '.join(changes)} at frame {self._done} ({self._done / rate_hz:.3f} s): "
            "split it there"
        )

    def length(self) -> tuple[int, list[str]]:
        """Return how many frames there are, the filling of the last codec frames omitted, and what is odd of it."""
        warnings = []
        if self._bytes_left_out:
            warnings.append(f"{self._bytes_left_out} bytes of it are not audio and were skipped")
        stated = self._stated()
        if stated is None or not self._container.format.name.startswith(_TIMED):
            return self._done, warnings
        if 0 < self._done - stated < self._longest or (self._tagged() and self._done > stated):
            return stated, warnings
        if self._done > stated:
            warnings.append(f"its header states {stated} frames, {self._done} are present and are read")
        return self._done, warnings

    def _tagged(self) -> int | None:
        """Return the length that an iTunSMPB tag states, where its priming is what was omitted."""
        tag = _TUNES_TAG.match(self._container.metadata.get("iTunSMPB", ""))
        if tag is None or self._start is None:
            return None
        priming, frames = (int(digits, 16) for digits in tag.groups())
        return frames if self._start - (self._packet_start or 0) == priming and 0 < frames <= self._done else None

    def _stated(self) -> int | None:
        """Return how many frames the container says there are, from the first one decoded, where it says so exactly."""
        start, duration = self._start, self._duration
        if start is None or duration is None or self.stream.time_base is None or self.form is None:
            return None
        if not self._container.format.name.startswith(_TIMED):
            return self._in_frames(duration) if self._container.format.name in _COUNTED else None
        tagged = self._tagged()
        if tagged is not None:
            return tagged
        # Priming that no edit list takes out lies after the container's zero, what an edit list takes out before it.
        end = max(self._packet_start or 0, 0) + duration
        return self._in_frames(end - start)

    def _in_frames(self, duration: int) -> int:
        rate_hz = self.form[0] if self.form else 0
        return round(duration * (self.stream.time_base or 0) * rate_hz)


def _bits(context: AudioCodecContext) -> int | None:
    """Return how many bits a sample has before it is coded, where the codec is linear or lossless and says so."""
    extra = context.extradata or b""
    if context.name == "flac" and len(extra) >= _FLAC_STREAMINFO_BYTES:
        return (int.from_bytes(extra[12:14]) >> 4 & 0x1F) + 1
    if context.name == "alac" and len(extra) > _ALAC_BITS_AT:
        return extra[_ALAC_BITS_AT]
    pcm = _PCM.match(context.name)
    return int(pcm[1]) if pcm else None


@contextmanager
def _heard() -> Iterator[list[tuple[int, str, str]]]:
    """Keep FFmpeg's own messages from the terminal; return those of errors: level, who says it, message."""
    import av.logging

    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said:
            yield said
    finally:
        av.logging.set_level(before)


def _samples(part: AudioFrame) -> NDArray[np.float64]:
    """Return a decoded frame's samples, shape (n, channels), full scale ±1.0."""
    channels = len(part.layout.channels)
    if part.format.name == "s64":
        wide = np.frombuffer(bytes(part.planes[0]), np.int64, part.samples * channels)
        return np.multiply(wide.reshape(-1, channels), 2.0**-63, dtype=np.float64)
    raw = part.to_ndarray()
    planar = raw if part.format.is_planar else raw.reshape(-1, channels).T
    if planar.dtype == np.uint8:
        return (planar.T.astype(np.float64) - 128.0) * 2.0**-7
    if planar.dtype.kind == "i":
        return np.multiply(planar.T, 2.0 ** (1 - 8 * planar.dtype.itemsize), dtype=np.float64)
    return planar.T.astype(np.float64)
