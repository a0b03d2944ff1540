"""What a channel carries now, for who watches it: figures of its last moments, not of all that was steady so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.blocks.channel_models import Lines
from rtpverify.detect.tone.settings import Settings
from rtpverify.dsp.levels import FULL_SCALE_SINE_RMS, dbfs, decibels
from rtpverify.result import Signal


def present_level(measured: Signal, x: NDArray[np.float64]) -> Signal:
    """Return level and offset of frames that hold no steady tone; pure silence has no level in dB.

    Parameters
    ----------
    measured
        What was measured so far; what is counted there stays.
    x
        Frames, shape (n,), full scale ±1.0.

    Returns
    -------
    Signal
        A copy.
    """
    rms = float(np.sqrt(np.mean(np.square(x)))) if len(x) else 0.0
    level_dbfs = dbfs(rms) if rms > 0.0 else None
    return _figures(measured, level_dbfs=level_dbfs, dc_offset=float(x.mean()) if len(x) else None)


def present_tones(
    measured: Sequence[Signal],
    lines: Lines,
    which: NDArray[np.int64],
    settings: Sequence[Settings],
    harmonics: NDArray[np.float64],
) -> list[Signal]:
    """Return the figures of the last second of locked lines.

    Parameters
    ----------
    measured
        What was measured so far of each; what is counted there stays.
    lines
        What is known of all lines.
    which
        The lines, shape (m,).
    settings
        How each of them is checked.
    harmonics
        Sum of the squared amplitudes of harmonics, shape (m,); NaN where not measured.

    Returns
    -------
    list[Signal]
        One for each of ``which``.
    """
    known = np.minimum(lines.count[which], lines.window)
    weight = (np.arange(lines.window) >= lines.window - known[:, None]) / known[:, None]
    amplitude = np.einsum("mw,mw->m", lines.amplitude[which], weight)
    dc = np.einsum("mw,mw->m", lines.dc[which], weight)
    rms = np.sqrt(np.einsum("mw,mw->m", lines.power[which], weight))
    # The slope of the straight line through the phases that are known.
    time = (np.arange(lines.window) - (lines.window - (known[:, None] + 1) / 2.0)) * weight
    slope = np.einsum("mw,mw->m", lines.phase[which], time) / ((known**2 - 1) / 12.0)
    omega = lines.omega[which] + slope / lines.block_frames
    columns = (column.tolist() for column in (amplitude, dc, rms, omega, harmonics))
    return [_tone(signal, item, *values) for signal, item, *values in zip(measured, settings, *columns, strict=True)]


def _tone(
    measured: Signal, settings: Settings, amplitude: float, dc: float, rms: float, omega: float, harmonics: float
) -> Signal:
    tone_rms = amplitude * FULL_SCALE_SINE_RMS
    hz, reference_hz = omega * settings.sample_rate_hz / (2.0 * math.pi), settings.reference_hz
    return _figures(
        measured,
        frequency_hz=hz,
        frequency_error_ppm=None if reference_hz is None else (hz / reference_hz - 1.0) * 1e6,
        level_dbfs=dbfs(math.hypot(tone_rms, rms)),
        dc_offset=dc,
        residual_dbfs=dbfs(rms) if rms > 0.0 else None,
        thd_plus_n_db=decibels(rms / tone_rms) if rms > 0.0 else None,
        thd_db=decibels(math.sqrt(harmonics) / amplitude) if harmonics > 0.0 else None,
    )


def _figures(
    measured: Signal,
    *,
    level_dbfs: float | None,
    dc_offset: float | None,
    frequency_hz: float | None = None,
    frequency_error_ppm: float | None = None,
    residual_dbfs: float | None = None,
    thd_plus_n_db: float | None = None,
    thd_db: float | None = None,
) -> Signal:
    """Return what was measured with the figures of now; what is not known now is None."""
    return replace(
        measured,
        level_dbfs=level_dbfs,
        dc_offset=dc_offset,
        frequency_hz=frequency_hz,
        frequency_error_ppm=frequency_error_ppm,
        residual_dbfs=residual_dbfs,
        thd_plus_n_db=thd_plus_n_db,
        thd_db=thd_db,
        noise_floor_dbfs=None,
    )
