"""Audio as arrays: of a file, of the reference tone, as cepstra.

Arrays have shape (n,) or (n, channels), floating, full scale ±1.0. Results are frozen dataclasses whose arrays have the
channel as their first axis, also where there is only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpverify.dsp.arrays import ShowsShapes, as_frames, positive
from rtpverify.errors import RequestError
from rtpverify.sender.tone import DEFAULT_FREQUENCY_HZ, DEFAULT_LEVEL_DBFS

if TYPE_CHECKING:
    pass

ARRAY = "array"
"""What results call a source that is no file."""

if TYPE_CHECKING:
    from rtpverify.dsp.griffin_lim import Reconstruction


@dataclass(frozen=True, slots=True, repr=False)
class Audio(ShowsShapes):
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
        What each channel is called; empty where nothing says.
    warnings
        What to know before trusting it.
    """

    frames: NDArray[np.float64]
    sample_rate_hz: int
    encoding: str
    bits: int | None
    channel_names: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Mfcc(ShowsShapes):
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

    def sound(self, *, frames: int | None = None, iterations: int = 64, seed: int = 0) -> Reconstruction:
        """Return sound with these coefficients, as nearly as it was found.

        Parameters
        ----------
        frames
            Length of the sound; None: as long as the columns reach.
        iterations, seed
            As :func:`rtpverify.griffin_lim` takes them.

        Returns
        -------
        Reconstruction
            The sound, and how far its mel bands are from those of the coefficients.

        Raises
        ------
        RequestError
            Where the extra ``mel`` is not installed.
        """
        from rtpverify.dsp.mel_inversion import sound_of_cepstra

        return sound_of_cepstra(self.values, self.sample_rate_hz, frames=frames, iterations=iterations, seed=seed)


def read(path: str | Path) -> Audio:
    """Return all of an audio file: WAV, FLAC, Ogg, MP3, AIFF; with the extra ``mp4`` also MP4/AAC and more.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Audio
        All frames, and the sample rate.

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

    Returns
    -------
    Mfcc
        20 coefficients for each column, and the times of the columns.

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
