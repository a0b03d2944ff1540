"""The functions of ``import rtpverify`` that are more than one of the modules below: arrays or files in, results out.

Arrays have shape (n,) or (n, channels), floating, full scale ±1.0. Results are frozen dataclasses whose arrays have the
channel as their first axis, also where there is only one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import as_frames, positive
from rtpverify.errors import RequestError
from rtpverify.limits import PROFILES, Limits
from rtpverify.reference import Reference
from rtpverify.sender.tone import DEFAULT_FREQUENCY_HZ, DEFAULT_LEVEL_DBFS
from rtpverify.sources.audio.reference_text import parse_reference

if TYPE_CHECKING:
    from rtpverify.commands.inspect.measure import Inspection, View
    from rtpverify.result import Result

ARRAY = "array"
"""What results call a source that is no file."""


@dataclass(frozen=True, slots=True)
class Audio:
    """All of an audio file.

    Attributes
    ----------
    frames
        Shape (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.
    encoding, bits
        Name of the encoding; bits of its linear quantiser, None where there is none.
    channel_names
        What each channel is called; empty where nothing tells.
    warnings
        What to know before trusting it.
    """

    frames: NDArray[np.float64]
    sample_rate_hz: int
    encoding: str
    bits: int | None
    channel_names: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mfcc:
    """Mel-frequency cepstral coefficients, as librosa has them by default.

    Attributes
    ----------
    values
        Shape (channels, 20, columns), in dB.
    sample_rate_hz
        Frames per second.
    hop_frames
        Distance between columns; column c is centred on frame ``c * hop_frames``.
    """

    values: NDArray[np.float64]
    sample_rate_hz: float
    hop_frames: int

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """Middle of each column, shape (columns,)."""
        from rtpverify.dsp.spectrum import column_times

        return column_times(self.values.shape[2], self.hop_frames, self.sample_rate_hz)


def read(path: str | Path) -> Audio:
    """Return all of an audio file: WAV, FLAC, Ogg, MP3, AIFF; with the extra ``mp4`` also MP4/AAC and more.

    Raises
    ------
    SourceError
        Where it cannot be read to its end.
    """
    from rtpverify.sources.audio.file import open_audio

    audio = open_audio(path)
    frames = np.concatenate(list(audio.blocks(65536)))
    return Audio(frames, audio.sample_rate_hz, audio.encoding, audio.bits, audio.channel_names, audio.warnings)


def tone(
    frequency_hz: float | Sequence[float] = DEFAULT_FREQUENCY_HZ,
    *,
    seconds: float = 1.0,
    sample_rate_hz: int = 48000,
    channels: int = 1,
    level_dbfs: float = DEFAULT_LEVEL_DBFS,
    bits: int | None = None,
) -> NDArray[np.float64]:
    """Return the reference tone, whose phase is exact at any frame, however long it is.

    Parameters
    ----------
    frequency_hz
        One for all channels, or one per channel.
    seconds
        Length.
    sample_rate_hz, channels
        Format.
    level_dbfs
        A full-scale sine is 0.
    bits
        Round to this many, as ``rtpverify send`` does; None: not at all.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, channels), full scale ±1.0.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    from rtpverify.sender.tone import ToneSignal

    positive(seconds, "seconds")
    frequencies = [frequency_hz] if isinstance(frequency_hz, int | float) else list(frequency_hz)
    signal = ToneSignal(frequencies, sample_rate_hz, channels, level_dbfs=level_dbfs)
    frames = signal.read(0, round(seconds * sample_rate_hz))
    if bits is None:
        return frames
    if not 2 <= bits <= 32:
        raise RequestError(f"bits: {bits} is not from 2 to 32")
    scale = 2.0 ** (bits - 1)
    return np.asarray(np.clip(np.rint(frames * scale), -scale, scale - 1.0) / scale, np.float64)


def mfcc(frames: ArrayLike, sample_rate_hz: float) -> Mfcc:
    """Return the cepstral coefficients of each channel.

    Parameters
    ----------
    frames
        Shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    from rtpverify.dsp import mfcc as cepstra

    array = as_frames(frames)
    positive(sample_rate_hz, "sample_rate_hz")
    values = [cepstra.mfcc(np.ascontiguousarray(column), sample_rate_hz).T for column in array.T]
    return Mfcc(np.asarray(np.stack(values), np.float64), float(sample_rate_hz), cepstra.HOP_FRAMES)


def check(
    source: str | Path | ArrayLike,
    sample_rate_hz: int | None = None,
    *,
    reference: str | Reference = "tone",
    profile: str = "digital",
    limits: Limits | None = None,
    bits: int | None = None,
) -> Result:
    """Hold audio against a tone or a recording; packets too, where the source is a capture.

    Parameters
    ----------
    source
        Path of an audio file or capture, an address, or audio: shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Of audio that is an array.
    reference
        As ``rtpverify check --reference`` has it: ``"tone:997"``, ``"tone"``, the path of a recording.
    profile
        ``"digital"`` or ``"analog"``: the limits where ``limits`` is None.
    bits
        Of the quantiser that an array went through; None: not known, and the word length is not checked.

    Returns
    -------
    Result
        Its ``verdict``, and ``streams`` with what was measured and the events.

    Raises
    ------
    RequestError
        Where the request or source is unusable.
    """
    if profile not in PROFILES:
        raise RequestError(f"profile: {profile!r} is not one of {', '.join(PROFILES)}")
    held = parse_reference(reference) if isinstance(reference, str) else reference
    limits = limits or PROFILES[profile]
    if isinstance(source, str | Path):
        from rtpverify.commands.check import check as check_source

        return check_source(str(source), reference=held, limits=limits)
    from rtpverify.engine.file_verifier import FrameVerifier

    array, rate_hz = as_frames(source, "source"), _rate(sample_rate_hz)
    if held is None:
        raise RequestError("reference none leaves nothing to verify: an array has no transport")
    encoding = f"L{bits}" if bits else "F64"
    verifier = FrameVerifier(held, limits, rate_hz, array.shape[1], encoding, bits)
    verifier.feed(array)
    verifier.finish()
    return verifier.result(ARRAY)


def compare(
    reference: str | Path | ArrayLike,
    received: str | Path | ArrayLike,
    sample_rate_hz: int | None = None,
    *,
    limits: Limits | None = None,
    with_distance: bool = True,
) -> Result:
    """Compare a recording with the one that it should be: the same, or where and how they differ.

    Parameters
    ----------
    reference, received
        Paths of audio files, or audio: shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Of arrays.
    limits
        What counts as a fault; None: those of ``digital``.
    with_distance
        Measure the distance by dynamic time warping of cepstra, too.

    Returns
    -------
    Result
        One stream: ``comparison`` tells place, gain, clock and equal frames of each channel, ``events`` what differs.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    from rtpverify.commands.compare import compare as compare_files

    has_arrays = not (isinstance(reference, str | Path) and isinstance(received, str | Path))
    rate_hz = _rate(sample_rate_hz) if has_arrays else 0
    with _as_files(rate_hz, reference=reference, received=received) as (reference_path, received_path):
        result = compare_files(
            reference_path, received_path, limits=limits or PROFILES["digital"], with_distance=with_distance
        )
    if not isinstance(received, str | Path):
        result.source = ARRAY
    return result


def inspect(
    source: str | Path, *, views: Sequence[str | View] = (), at_seconds: Sequence[float] = (), **options: object
) -> Inspection:
    """Look at a file or capture in one pass: figures of each channel, and any of the views, at full resolution.

    Parameters
    ----------
    source
        As ``rtpverify inspect`` takes it.
    views
        Of ``"waveform"``, ``"histogram"``, ``"spectrogram"``, ``"constant-q"``, ``"mel"``, ``"mfcc"``.
    at_seconds
        Times at which values are wanted.
    **options
        Further fields of :class:`rtpverify.commands.inspect.measure.InspectRequest`.

    Raises
    ------
    RequestError
        Where the request or source is unusable.
    """
    from rtpverify.commands.audio_source import open_source
    from rtpverify.commands.inspect.measure import InspectRequest, View, measure

    try:
        chosen = tuple(View(view) for view in views)
    except ValueError as error:
        raise RequestError(f"views: {error}; there are {', '.join(View)}") from None
    try:
        request = replace(InspectRequest(views=chosen, at_seconds=tuple(at_seconds), keeps_data=True), **options)  # type: ignore[arg-type]
    except TypeError as error:
        raise RequestError(f"inspect: {error}") from None
    return measure(open_source(str(source)), str(source), request)


def _rate(sample_rate_hz: int | None) -> int:
    """Return the sample rate that an array needs."""
    if sample_rate_hz is None:
        raise RequestError("sample_rate_hz: an array has none of its own; give it")
    positive(sample_rate_hz, "sample_rate_hz")
    return sample_rate_hz


@contextmanager
def _as_files(rate_hz: int, **arrays: str | Path | ArrayLike) -> Iterator[list[Path]]:
    """Give arrays as files, exactly; paths as they are."""
    import soundfile

    with tempfile.TemporaryDirectory(prefix="rtpverify-") as folder:
        paths = []
        for name, array in arrays.items():
            if isinstance(array, str | Path):
                paths.append(Path(array))
                continue
            path = Path(folder) / f"{name}.wav"
            soundfile.write(path, as_frames(array, name), rate_hz, "DOUBLE")
            paths.append(path)
        yield paths
