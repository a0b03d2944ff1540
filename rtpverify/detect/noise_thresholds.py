"""From which deviation on a single frame is wrong."""

from __future__ import annotations

import math

from rtpverify.dsp.slip import FALSE_ALARM_Z

SMALLEST_NOISE = 1e-10
"""Residual RMS below which float64 arithmetic, not the signal, would be judged."""

# Sum of rounding and dither as (RMS, bound), both in steps of the quantiser: plain rounding, RPDF and TPDF dither.
_QUANTISERS = ((1 / math.sqrt(12), 0.5), (1 / math.sqrt(6), 1.0), (0.5, 1.5))

_PLAIN_BOUND = 0.55
"""What rounding without dither, and the uncertainty of what is expected, leave at most, in steps of the quantiser."""


def frame_threshold(step: float | None, sigma: float, peak: float) -> float:
    """Return the deviation that no frame of clean signal reaches.

    Rounding and dither are bounded, so where the residual is theirs a single wrong step stands out; other noise is
    taken as Gaussian.

    Parameters
    ----------
    step
        Of the quantiser; None where there is no uniform one.
    sigma, peak
        RMS and largest value of the residual.
    """
    bound = quantiser_bound(step, sigma, peak)
    return bound if bound is not None else FALSE_ALARM_Z * max(sigma, SMALLEST_NOISE)


def quantiser_bound(step: float | None, sigma: float, peak: float) -> float | None:
    """Return what the residual of rounding or dither stays below, None where a residual is not of that kind."""
    if step is not None:
        if peak <= _PLAIN_BOUND * step and sigma < _QUANTISERS[0][0] * 1.2 * step:
            # A signal that takes few different values has less noise than the formula says, or more.
            return _PLAIN_BOUND * step
        for rms, bound in _QUANTISERS[1:]:
            limit = (bound + 0.05) * step
            if abs(sigma / step - rms) < 0.04 * rms and peak <= limit:
                return limit
    return None


def is_plain(step: float, threshold: float) -> bool:
    """Tell whether a threshold is that of plain rounding, where every clean frame equals the rounded signal."""
    return threshold < _QUANTISERS[0][1] * 1.2 * step
