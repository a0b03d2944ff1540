"""Audio whose spectra have given magnitudes: phases are found by going back and forth.

Griffin & Lim, "Signal estimation from modified short-time Fourier transform" (1984), with the momentum of Perraudin,
Balazs & Søndergaard, "A fast Griffin-Lim algorithm" (2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.arrays import ShowsShapes
from rtpverify.dsp.levels import decibels
from rtpverify.dsp.spectrum import FFT_FRAMES, HOP_FRAMES, inverse, spectrogram
from rtpverify.errors import RequestError

ITERATIONS = 64
MOMENTUM = 0.99


@dataclass(frozen=True, slots=True, repr=False)
class Reconstruction(ShowsShapes):
    """Audio made from a spectrogram.

    Attributes
    ----------
    frames
        Shape (n, channels), full scale ±1.0.
    error_db
        How far the spectra of this audio are from the ones asked for: the energy of the difference of magnitudes (of
        values, where phases were given) against theirs; None where they are all 0.
    """

    frames: NDArray[np.float64]
    error_db: float | None


def griffin_lim(
    magnitude: NDArray[np.float64],
    *,
    fft_frames: int = FFT_FRAMES,
    hop_frames: int = HOP_FRAMES,
    frames: int | None = None,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> Reconstruction:
    """Return audio whose spectrogram has these magnitudes, as nearly as it was found.

    Parameters
    ----------
    magnitude
        Shape (channels, bins, columns) or (bins, columns), at least 0, scaled as
        :class:`rtpverify.dsp.spectrum.Spectrogram` has it.
    fft_frames, hop_frames
        Of the spectrogram.
    frames
        Length of the audio; None: as long as the columns reach.
    iterations
        Each brings it nearer, the first ones most.
    seed
        Of the random phases that it begins with.

    Returns
    -------
    Reconstruction
        The audio, and how far its spectra are from those asked for.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    wanted = np.asarray(magnitude, np.float64)
    wanted = wanted[None] if wanted.ndim == 2 else wanted
    if wanted.ndim != 3 or not np.isfinite(wanted).all() or (wanted < 0).any():
        raise RequestError("magnitude: not of shape (channels, bins, columns) with finite values from 0 on")
    if iterations < 1:
        raise RequestError(f"iterations: {iterations} is not at least 1")
    length = frames if frames is not None else (wanted.shape[2] - 1) * hop_frames
    if length < 1:
        raise RequestError(f"magnitude: {wanted.shape[2]} column(s) at hop {hop_frames} hold no frame")
    phase = np.exp(2j * np.pi * np.random.default_rng(seed).random(wanted.shape))
    before = np.zeros_like(phase)
    for _ in range(iterations):
        audio = inverse(wanted * phase, fft_frames, hop_frames, length)
        rebuilt = spectrogram(audio, 1.0, fft_frames=fft_frames, hop_frames=hop_frames).values
        rebuilt = rebuilt[:, :, : wanted.shape[2]]
        ahead = rebuilt + MOMENTUM * (rebuilt - before)
        phase = ahead / np.maximum(np.abs(ahead), np.finfo(np.float64).tiny)
        before = rebuilt
    audio = inverse(wanted * phase, fft_frames, hop_frames, length)
    return Reconstruction(audio, spectral_error_db(audio, wanted, fft_frames, hop_frames))


def spectral_error_db(
    audio: NDArray[np.float64], wanted: NDArray[np.float64] | NDArray[np.complex128], fft_frames: int, hop_frames: int
) -> float | None:
    """Return how far the spectra of audio, shape (n, channels), are from ``wanted``, shape (channels, bins, columns).

    Complex values are compared as such, real ones as magnitudes.

    Parameters
    ----------
    audio
        Shape (n, channels).
    wanted
        Shape (channels, bins, columns).
    fft_frames
        Length of the window in frames.
    hop_frames
        Distance between columns in frames.

    Returns
    -------
    float or None
        Energy of the difference against that of ``wanted``, dB; None where that is 0.
    """
    energy = float(np.sum(np.abs(wanted) ** 2))
    if energy == 0.0:
        return None
    values = spectrogram(audio, 1.0, fft_frames=fft_frames, hop_frames=hop_frames).values[:, :, : wanted.shape[2]]
    rebuilt = values if np.iscomplexobj(wanted) else np.abs(values)
    return decibels(float(np.sqrt(np.sum(np.abs(rebuilt - wanted) ** 2) / energy)))
