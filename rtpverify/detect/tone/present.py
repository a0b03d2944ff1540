"""What a channel carries now, for who watches it: figures of its last moments, not of all that was steady so far."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.lines import Lines, line_end
from rtpverify.detect.tone.measurement import turned_harmonics
from rtpverify.detect.tone.settings import Settings
from rtpverify.dsp.levels import FULL_SCALE_SINE_RMS, dbfs, decibels
from rtpverify.dsp.sine import fit_blocks, tone_basis

Figures = dict[str, float | None]
"""Values by the names of fields of :class:`rtpverify.result.Signal`."""

_NOTHING: Figures = dict.fromkeys(
    (
        "frequency_hz",
        "frequency_error_ppm",
        "level_dbfs",
        "dc_offset",
        "residual_dbfs",
        "thd_db",
        "thd_plus_n_db",
        "noise_floor_dbfs",
    )
)


def present_level(x: NDArray[np.float64]) -> Figures:
    """Return level and offset of frames that hold no steady tone; pure silence has no level in dB.

    Parameters
    ----------
    x
        Frames, shape (n,), full scale ±1.0.
    """
    if len(x) == 0:
        return dict(_NOTHING)
    rms = float(np.sqrt(np.mean(np.square(x))))
    return _NOTHING | {"level_dbfs": dbfs(rms) if rms > 0.0 else None, "dc_offset": float(x.mean())}


def present_tone(lines: Lines, line: int, settings: Settings, x: NDArray[np.float64]) -> Figures:
    """Return the figures of the last second of a locked line.

    Parameters
    ----------
    x
        Its last whole blocks, shape (blocks * n,), to find harmonics in; empty where frames are missing.
    """
    newest = slice(-lines.known_blocks(line), None)
    amplitude = float(lines.amplitude[line, newest].mean())
    rms = math.sqrt(float(lines.power[line, newest].mean()))
    phase = lines.phase[line, newest]
    slope = line_end(phase - phase[-1])[1]
    hz = (float(lines.omega[line]) + slope / lines.block_frames) * settings.sample_rate_hz / (2.0 * math.pi)
    tone_rms = amplitude * FULL_SCALE_SINE_RMS
    figures = _NOTHING | {
        "frequency_hz": hz,
        "level_dbfs": dbfs(math.hypot(tone_rms, rms)),
        "dc_offset": float(lines.dc[line, newest].mean()),
    }
    if settings.reference_hz is not None:
        figures["frequency_error_ppm"] = (hz / settings.reference_hz - 1.0) * 1e6
    if rms > 0.0:
        figures |= {"residual_dbfs": dbfs(rms), "thd_plus_n_db": decibels(rms / tone_rms)}
    if len(x):
        fit = fit_blocks(x.reshape(-1, lines.block_frames), tone_basis(float(lines.omega[line]), lines.block_frames))
        harmonics = float(np.sum(np.abs(turned_harmonics(fit).sum(axis=0) / len(fit.z)) ** 2))
        if harmonics > 0.0:
            figures["thd_db"] = decibels(math.sqrt(harmonics) / amplitude)
    return figures
