"""Spectra that ``rtpverify inspect --npz`` wrote, turned back into sound.

With its phase a spectrogram is turned back exactly. From magnitudes alone phases are found (Griffin-Lim). Mel bands and
cepstral coefficients are first turned into a spectrogram.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.griffin_lim import ITERATIONS, Reconstruction, griffin_lim, spectral_error_db
from rtpverify.dsp.mel_inversion import sound_of_bands, sound_of_cepstra
from rtpverify.dsp.spectrum import FLOOR_DB, inverse
from rtpverify.errors import RequestError, SourceError


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

        Parameters
        ----------
        form
            Which of the spectra.
        iterations
            Iterations that find the phases.
        seed
            Of the phases before the first one.

        Returns
        -------
        Sound
            Samples of each channel.

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
        values, frames = self.arrays[_ARRAYS[form]], int(self.arrays["frames"])
        if form is Form.PHASE:
            made = self._exactly(values, frames)
        elif form is Form.SPECTROGRAM:
            fft, hop = int(self.arrays["fft_frames"]), int(self.arrays["hop_frames"])
            found = from_db(values)
            made = griffin_lim(found, fft_frames=fft, hop_frames=hop, frames=frames, iterations=iterations, seed=seed)
        else:
            invert = sound_of_cepstra if form is Form.MFCC else sound_of_bands
            try:
                made = invert(values, self.sample_rate_hz, frames=frames, iterations=iterations, seed=seed)
            except RequestError as error:
                raise RequestError(f"{self.path}: {error}") from None
        return Sound(made.frames, self.sample_rate_hz, made.error_db, f"made with {_SAYS[form]}")

    def _exactly(self, values: NDArray[np.complex128], frames: int) -> Reconstruction:
        fft, hop = int(self.arrays["fft_frames"]), int(self.arrays["hop_frames"])
        audio = inverse(values, fft, hop, frames)
        return Reconstruction(audio, spectral_error_db(audio, values, fft, hop))


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
    """Return the magnitudes of levels in dBFS; 0 where they are the lowest level that is written.

    Parameters
    ----------
    levels_db
        In dBFS, of any shape.

    Returns
    -------
    NDArray[np.float64]
        Of the same shape.
    """
    levels = levels_db.astype(np.float64)
    return np.where(levels <= FLOOR_DB + 1e-3, 0.0, 10.0 ** (levels / 20.0))


def is_npz(path: Path) -> bool:
    """Return by its content whether a file holds arrays.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        Whether it does.
    """
    return path.is_file() and zipfile.is_zipfile(path)


def read_spectra(path: Path) -> Spectra:
    """Read what ``rtpverify inspect --npz`` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Spectra
        The spectra that it holds.

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
