"""Sound from cepstral coefficients and mel bands: bands from coefficients, spectra from bands (librosa), then phases.

What bands do not hold is lost: structure within a band, and all phases. How far the bands of the sound are from those
asked for is part of the answer.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.griffin_lim import ITERATIONS, Reconstruction, griffin_lim
from rtpverify.dsp.mfcc import BANDS, HOP_FRAMES, WINDOW_FRAMES, mel_filters
from rtpverify.dsp.spectrum import hann, spectrogram
from rtpverify.errors import RequestError

EXTRA = "mel"


def sound_of_cepstra(
    values: NDArray[np.floating],
    sample_rate_hz: float,
    *,
    frames: int | None = None,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> Reconstruction:
    """Return sound whose mel bands are those of cepstral coefficients, as nearly as it was found.

    Parameters
    ----------
    values
        As :func:`rtpverify.dsp.mfcc.mfcc` has them for each channel, shape (channels, coefficients, columns), in dB.
    sample_rate_hz
        Frames per second.
    frames
        Length of the sound; None: as long as the columns reach.
    iterations, seed
        As :func:`rtpverify.dsp.griffin_lim.griffin_lim` takes them.

    Returns
    -------
    Reconstruction
        The sound, and how far its spectra are from those asked for.

    Raises
    ------
    RequestError
        Where librosa is missing.
    """
    _require("mfcc")
    import librosa

    power = [librosa.feature.inverse.mfcc_to_mel(channel.astype(np.float64), n_mels=BANDS) for channel in values]
    return _sound(np.stack(power), sample_rate_hz, frames, iterations, seed)


def sound_of_bands(
    values_db: NDArray[np.floating],
    sample_rate_hz: float,
    *,
    frames: int | None = None,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> Reconstruction:
    """Return sound with these powers in mel bands, shape (channels, 128, columns) in dB; see :func:`sound_of_cepstra`.

    Parameters
    ----------
    values_db
        Shape (channels, 128, columns).
    sample_rate_hz
        Frames per second.
    frames
        Length of the sound; None: as long as the columns reach.
    iterations
        Griffin-Lim iterations.
    seed
        Seed of the random phases that it begins with.

    Returns
    -------
    Reconstruction
        The sound, and how far its spectra are from those asked for.

    Raises
    ------
    RequestError
        Where librosa is missing.
    RequestError
        Where an argument is unusable, or librosa (extra ``mel``) is not installed.
    """
    _require("mel")
    return _sound(10.0 ** (values_db.astype(np.float64) / 10.0), sample_rate_hz, frames, iterations, seed)


def _require(form: str) -> None:
    if find_spec("librosa") is None:
        raise RequestError(f"{form} needs librosa: install rtpverify[{EXTRA}]")


def _sound(
    power: NDArray[np.float64], sample_rate_hz: float, frames: int | None, iterations: int, seed: int
) -> Reconstruction:
    import librosa

    scale = float(hann(WINDOW_FRAMES).sum() / 2.0)
    magnitudes = [librosa.feature.inverse.mel_to_stft(band, sr=sample_rate_hz, n_fft=WINDOW_FRAMES) for band in power]
    made = griffin_lim(
        np.stack(magnitudes) / scale,
        fft_frames=WINDOW_FRAMES,
        hop_frames=HOP_FRAMES,
        frames=frames,
        iterations=iterations,
        seed=seed,
    )
    return Reconstruction(made.frames, _error_db(made.frames, np.sqrt(power), sample_rate_hz, scale))


def _error_db(
    audio: NDArray[np.float64], wanted: NDArray[np.float64], sample_rate_hz: float, scale: float
) -> float | None:
    """Return how far the mel bands of audio are from the ones wanted (square roots of their power)."""
    values = spectrogram(audio, sample_rate_hz, fft_frames=WINDOW_FRAMES, hop_frames=HOP_FRAMES).values
    filters = mel_filters(sample_rate_hz).astype(np.float64)
    found = np.sqrt(filters @ np.abs(values[:, :, : wanted.shape[2]] * scale) ** 2)
    wanted = wanted[:, :, : found.shape[2]]
    energy, error = float(np.sum(wanted**2)), float(np.sum((found - wanted) ** 2))
    return None if energy == 0.0 else 10.0 * float(np.log10(max(error / energy, 1e-30)))
