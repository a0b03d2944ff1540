"""From which deviation on a value is wrong, at one false-alarm rate for each channel and day."""

from __future__ import annotations

import math
from statistics import NormalDist

FALSE_ALARMS_PER_DAY = 0.001
"""How many events a clean channel may show by chance, of each family of tests below."""


def false_alarm_z(tests_per_second: float) -> float:
    """Return the deviations of a Gaussian that so many tests a second exceed by chance at that rate (both sides).

    Parameters
    ----------
    tests_per_second
        How often it is tested.

    Returns
    -------
    float
        In standard deviations.
    """
    return -NormalDist().inv_cdf(FALSE_ALARMS_PER_DAY / (86400.0 * tests_per_second) / 2.0)


FRAME_Z = false_alarm_z(48_000.0)
"""Every frame, at 48 kHz."""
BLOCK_Z = false_alarm_z(50.0 * 6.0)
"""Phase, level, offset and noise of every block of 20 ms, and steps of the phase by lines of two lengths."""
EVENT_Z = false_alarm_z(1.0 / 60.0)
"""What is measured where a frame or a block has departed already: once a minute at most, in a channel in order."""

SMALLEST_NOISE = 1e-10
"""Residual RMS below which float64 arithmetic, not the signal, would be checked."""

# Sum of rounding and dither as (RMS, bound), both in steps of the quantiser: plain rounding, RPDF and TPDF dither.
_QUANTISERS = ((1 / math.sqrt(12), 0.5), (1 / math.sqrt(6), 1.0), (0.5, 1.5))

_TAIL_Z = 5.3
"""Deviations of Gaussian noise by which its sum with TPDF dither passes the dither's bound as rarely as it alone passes
``FRAME_Z``: of noise of s steps φ(z)·s³/z⁴ of the frames do (s is 0.13 where it just begins to show)."""
ROUNDING_MARGIN = 1.2
"""A signal that takes few different values has less noise than the formula of rounding says, or so much more."""
_PLAIN_BOUND = 0.55
"""What rounding without dither, and the uncertainty of what is expected, leave at most, in steps of the quantiser."""


def frame_threshold(step: float | None, sigma: float, peak: float) -> float:
    """Return the deviation that no frame of clean signal reaches.

    Rounding and dither are bounded, so where the residual is theirs a single wrong step shows; other noise is
    taken as Gaussian.

    Parameters
    ----------
    step
        Of the quantiser; None where there is no uniform one.
    sigma, peak
        RMS and largest value of the residual.

    Returns
    -------
    float
        As a fraction of full scale.
    """
    bound = quantiser_bound(step, sigma, peak)
    return bound if bound is not None else FRAME_Z * max(sigma, SMALLEST_NOISE)


def quantiser_bound(step: float | None, sigma: float, peak: float) -> float | None:
    """Return what the residual of rounding or dither stays below, None where a residual is not of that kind.

    Parameters
    ----------
    step
        Of the quantiser; None where there is no uniform one.
    sigma
        RMS of the residual.
    peak
        Largest value of the residual.

    Returns
    -------
    float or None
        As a fraction of full scale.
    """
    if step is not None:
        if peak <= _PLAIN_BOUND * step and sigma < _QUANTISERS[0][0] * ROUNDING_MARGIN * step:
            return _PLAIN_BOUND * step
        for rms, bound in _QUANTISERS[1:]:
            # Noise of the chain on top of it, as far as there is some, reaches past the bound.
            noise = math.sqrt(max(sigma**2 - (rms * step) ** 2, 0.0))
            limit = (bound + 0.05) * step + _TAIL_Z * noise
            if abs(sigma / step - rms) < 0.04 * rms and peak <= limit:
                return limit
    return None


def is_plain(step: float, threshold: float) -> bool:
    """Return whether a threshold is that of plain rounding, where every clean frame equals the rounded signal.

    Parameters
    ----------
    step
        Of the quantiser.
    threshold
        What :func:`frame_threshold` returned.

    Returns
    -------
    bool
        Whether it is.
    """
    return threshold < _QUANTISERS[0][1] * 1.2 * step
