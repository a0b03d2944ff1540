"""Finding the sine: where a channel starts, and after it was lost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import SMALLEST_NOISE
from rtpverify.detect.tone.settings import Settings
from rtpverify.dsp.sample_words import swap_bytes
from rtpverify.dsp.sine import FreeFit, Sine, fit_free, refine_omega, share_near, strongest_line

LARGEST_RESIDUAL = 0.35
"""Residual RMS over amplitude above which a fit is not taken for a tone (a signal-to-noise ratio of 6 dB)."""
_LARGEST_RESIDUAL_OF_ANY = 0.1
"""The same where the frequency is to be found, over all that is examined."""
_LEAST_SHARE, _LEAST_SHARE_OF_ANY = 0.5, 0.9
"""Share of a block's power near the tone, below which a fit would find none: these residuals leave 0.8 and 0.98."""
_LEAST_PERIODS = 1.5
"""A fit over fewer periods than this distinguishes no tone from an offset that drifts, or from one that alternates."""
_LARGEST_FADE = 0.2
"""Relative change of level over a block above which a fit is not taken for a steady tone."""
_LARGEST_AMPLITUDE = 16.0
"""Floating-point audio may pass full scale, but not without end."""
QUIET_RMS = 2.2e-4
"""A stretch without a tone is silent below this RMS (-70 dBFS), or below four steps of its encoding."""


@dataclass(frozen=True, slots=True)
class Acquired:
    """A sine that frames ``start`` to ``stop`` are made of, and the noise on it.

    ``confirmed`` is False where a single block was a tone, so that its noise may be a fault's.
    """

    sine: Sine
    start: int
    stop: int
    sigma: float
    peak: float
    confirmed: bool


def acquire(
    settings: Settings, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int, nominal_hz: float | None
) -> Acquired | None:
    """Find the tone in frames ``start`` …, first at its nominal frequency, then anywhere.

    Returns None where no sine is distinct from the rest.

    Parameters
    ----------
    settings
        How the channel is checked.
    x
        The frames, shape (n,).
    valid
        Which of them are there, shape (n,).
    start
        Number of the first one.
    nominal_hz
        Frequency that it should have; None where it is to be found.

    Returns
    -------
    Acquired or None
        None where no sine is distinct from the rest.
    """
    if nominal_hz is not None:
        found = _at(settings, x, valid, start, 2.0 * math.pi * nominal_hz / settings.sample_rate_hz)
        if found is not None:
            return found
    filled = np.where(valid, x, 0.0)
    line = strongest_line(filled)
    if line is None:
        return None
    least = _LEAST_SHARE if nominal_hz is not None else _LEAST_SHARE_OF_ANY
    if not (_shares(settings, x, valid, line) > least).any():
        return None
    omega = refine_omega(filled, line)
    found = None if omega is None else _at(settings, x, valid, start, omega)
    if found is None or nominal_hz is not None:
        return found
    # Any frequency would do: speech and music hold one for a moment, a test tone all the time.
    whole = fit_free(x, start, found.sine.omega, valid)
    return found if whole is not None and whole.rms < _LARGEST_RESIDUAL_OF_ANY * whole.sine.amplitude else None


def _at(
    settings: Settings, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int, omega: float
) -> Acquired | None:
    """Find the longest run of blocks that one sine near ``omega`` explains as well as the best block."""
    n = min(settings.block_frames, len(x))
    edges = [(i, i + n) for i in range(0, len(x) - n + 1, n)]
    fits: list[FreeFit | None] = []
    for (low, high), share in zip(edges, _shares(settings, x, valid, omega).tolist(), strict=True):
        if share < _LEAST_SHARE:
            fits.append(None)
            continue
        fit = fit_free(x[low:high], start + low, omega, valid[low:high])
        fits.append(fit if fit is not None and _is_tone(fit) and fit.frames >= n // 2 else None)
    usable = sorted(fit.rms for fit in fits if fit is not None)
    if not usable:
        return None
    # Faults raise the residual of the blocks they hit, so the quiet half tells the noise.
    sigma = max(usable[(len(usable) - 1) // 2], SMALLEST_NOISE)
    steady = [
        fit is not None
        and fit.rms <= 1.15 * sigma
        and fit.peak <= settings.frame_threshold(fit.rms, fit.peak) + SMALLEST_NOISE
        for fit in fits
    ]
    if not any(steady):
        steady = [fit is not None and fit.rms <= usable[0] for fit in fits]
    first = steady.index(True)
    last = first
    joint = fits[first]
    while last + 1 < len(edges) and steady[last + 1]:
        low, high = edges[first][0], edges[last + 1][1]
        wider = fit_free(x[low:high], start + low, omega, valid[low:high])
        if wider is None or wider.rms > 1.15 * sigma:
            break
        joint, last = wider, last + 1
    if joint is None:  # pragma: no cover - a steady block always has a fit
        return None
    rms = max(joint.rms, SMALLEST_NOISE)
    return Acquired(
        joint.sine, start + edges[first][0], start + edges[last][1], rms, joint.peak, confirmed=len(usable) > 1
    )


def _shares(settings: Settings, x: NDArray[np.float64], valid: NDArray[np.bool_], omega: float) -> NDArray[np.float64]:
    """Return the share of power near a frequency in each block, 1 where frames are missing: a fit must show there."""
    n = min(settings.block_frames, len(x))
    count = len(x) // n
    shape = count, n
    whole = valid[: count * n].reshape(shape).all(axis=1)
    return np.where(whole, share_near(x[: count * n].reshape(shape), omega), 1.0)


def _is_tone(fit: FreeFit) -> bool:
    """Return whether a fit is a steady tone: it exceeds its residual, and does not fade in or out."""
    sine = fit.sine
    return (
        fit.rms < LARGEST_RESIDUAL * sine.amplitude
        and 16.0 * SMALLEST_NOISE < sine.amplitude < _LARGEST_AMPLITUDE
        and min(sine.omega, math.pi - sine.omega) * fit.frames > 2.0 * math.pi * _LEAST_PERIODS
        and abs(sine.slope) * fit.frames < _LARGEST_FADE
    )


def is_silent(settings: Settings, x: NDArray[np.float64]) -> bool:
    """Return whether frames in which no tone was found are silence and not some other signal.

    Parameters
    ----------
    settings
        How the channel is checked.
    x
        The frames, shape (n,).

    Returns
    -------
    bool
        Whether they are.
    """
    return float(x.std()) < max(QUIET_RMS, 4.0 * settings.step)


def is_byte_swapped(
    settings: Settings, x: NDArray[np.float64], valid: NDArray[np.bool_], nominal_hz: float | None
) -> bool:
    """Return whether frames in which no tone was found hold one once their bytes are swapped.

    Parameters
    ----------
    settings
        How the channel is checked.
    x
        The frames, shape (n,).
    valid
        Which of them are there, shape (n,).
    nominal_hz
        Frequency that it should have; None where it is to be found.

    Returns
    -------
    bool
        Whether they do.
    """
    if settings.bits not in (16, 24, 32):
        return False
    return acquire(settings, swap_bytes(x, settings.bits), valid, 0, nominal_hz) is not None
