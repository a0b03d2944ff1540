"""Spectra that ``rtpverify inspect --npz`` wrote, turned back into sound.

With its phase a spectrogram is turned back exactly. From magnitudes alone phases are found (Griffin-Lim). Mel bands and
cepstral coefficients are first turned into a spectrogram, by librosa.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.griffin_lim import ITERATIONS, Reconstruction, griffin_lim, spectral_error_db
from rtpverify.dsp.mfcc import BANDS, HOP_FRAMES, WINDOW_FRAMES, mel_filters
from rtpverify.dsp.spectrum import FLOOR_DB, hann, inverse, spectrogram
from rtpverify.errors import RequestError, SourceError

EXTRA = "mel"


class Form(StrEnum):
    """What of a file is turned back into sound."""

    PHASE = "phase"
    SPECTROGRAM = "spectrogram"
    MEL = "mel"
    MFCC = "mfcc"


_ARRAYS = {
    Form.PHASE: "spectrogram_values",
    Form.SPECTROGRAM: "spectrogram_dbfs",
    Form.MEL: "mel_db",
    Form.MFCC: "mfcc_db",
}
_SAYS = {
    Form.PHASE: "its own phase",
    Form.SPECTROGRAM: "phases found from its magnitudes",
    Form.MEL: "a spectrogram and phases found from its mel bands",
    Form.MFCC: "a spectrogram and phases found from its cepstral coefficients",
}


@dataclass(frozen=True, slots=True)
class Spectra:
    """What one file holds.

    Attributes
    ----------
    path
        The file.
    arrays
        By name.
    """

    path: Path
    arrays: dict[str, NDArray[Any]]

    @property
    def forms(self) -> list[Form]:
        """What can be turned back, the most exact first."""
        return [form for form, name in _ARRAYS.items() if name in self.arrays]

    @property
    def sample_rate_hz(self) -> int:
        """Frames per second."""
        return int(self.arrays["sample_rate_hz"])

    def sound(self, form: Form | None = None, *, iterations: int = ITERATIONS, seed: int = 0) -> Sound:
        """Return the sound of a form; None: of the most exact one that there is.

        Raises
        ------
        RequestError
            Where there is no such form, or librosa is needed and missing.
        """
        if form is None or form not in self.forms:
            if form is not None or not self.forms:
                wanted = form or "spectrogram, mel or mfcc"
                raise RequestError(f"{self.path}: holds no {wanted}; inspect --npz writes it with --show")
            form = self.forms[0]
        if form in (Form.MEL, Form.MFCC) and find_spec("librosa") is None:
            raise RequestError(f"{self.path}: {form} needs librosa: install rtpverify[{EXTRA}]")
        values, frames = self.arrays[_ARRAYS[form]], int(self.arrays["frames"])
        if form is Form.PHASE:
            made = self._exactly(values, frames)
        elif form is Form.SPECTROGRAM:
            fft, hop = int(self.arrays["fft_frames"]), int(self.arrays["hop_frames"])
            found = from_db(values)
            made = griffin_lim(found, fft_frames=fft, hop_frames=hop, frames=frames, iterations=iterations, seed=seed)
        else:
            made = self._from_bands(form, values, frames, iterations, seed)
        return Sound(made.frames, self.sample_rate_hz, made.error_db, f"made with {_SAYS[form]}")

    def _exactly(self, values: NDArray[np.complex128], frames: int) -> Reconstruction:
        fft, hop = int(self.arrays["fft_frames"]), int(self.arrays["hop_frames"])
        audio = inverse(values, fft, hop, frames)
        return Reconstruction(audio, spectral_error_db(audio, values, fft, hop))

    def _from_bands(
        self, form: Form, values: NDArray[np.float32], frames: int, iterations: int, seed: int
    ) -> Reconstruction:
        import librosa

        scale = hann(WINDOW_FRAMES).sum() / 2.0
        bands, magnitudes = [], []
        for channel in values:
            if form is Form.MFCC:
                band = librosa.feature.inverse.mfcc_to_mel(channel.astype(np.float64), n_mels=BANDS)
            else:
                band = 10.0 ** (channel.astype(np.float64) / 10.0)
            bands.append(band)
            magnitude = librosa.feature.inverse.mel_to_stft(band, sr=self.sample_rate_hz, n_fft=WINDOW_FRAMES)
            magnitudes.append(magnitude / scale)
        made = griffin_lim(
            np.stack(magnitudes),
            fft_frames=WINDOW_FRAMES,
            hop_frames=HOP_FRAMES,
            frames=frames,
            iterations=iterations,
            seed=seed,
        )
        return Reconstruction(made.frames, self._band_error_db(made.frames, np.sqrt(np.stack(bands)), scale))

    def _band_error_db(self, audio: NDArray[np.float64], wanted: NDArray[np.float64], scale: float) -> float | None:
        """Return how far the mel bands of audio are from the ones wanted (square roots of their power)."""
        values = spectrogram(audio, self.sample_rate_hz, fft_frames=WINDOW_FRAMES, hop_frames=HOP_FRAMES).values
        filters = mel_filters(self.sample_rate_hz).astype(np.float64)
        found = np.sqrt(filters @ np.abs(values[:, :, : wanted.shape[2]] * scale) ** 2)
        energy = float(np.sum(wanted**2))
        error = float(np.sum((found - wanted) ** 2))
        return None if energy == 0.0 else 10.0 * float(np.log10(max(error / energy, 1e-30)))


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio made from spectra.

    Attributes
    ----------
    frames
        Shape (n, channels), full scale ±1.0.
    sample_rate_hz
        Frames per second.
    error_db
        How far the spectra of this audio are from those of the file: energy of the difference against theirs; None
        where they are all 0.
    how
        How it was made.
    """

    frames: NDArray[np.float64]
    sample_rate_hz: int
    error_db: float | None
    how: str


def from_db(levels_db: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the magnitudes of levels in dBFS; 0 where they are the least that is told."""
    levels = levels_db.astype(np.float64)
    return np.where(levels <= FLOOR_DB + 1e-3, 0.0, 10.0 ** (levels / 20.0))


def is_npz(path: Path) -> bool:
    """Tell by its content whether a file holds arrays."""
    return path.is_file() and zipfile.is_zipfile(path)


def read_spectra(path: Path) -> Spectra:
    """Read what ``rtpverify inspect --npz`` wrote.

    Raises
    ------
    SourceError
        Where it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise SourceError(f"{path}: not a whole NPZ file: {error}") from error
    if not {"sample_rate_hz", "frames"} <= set(arrays):
        raise SourceError(f"{path}: not written by rtpverify inspect --npz: it lacks sample_rate_hz or frames")
    return Spectra(path, arrays)
