"""Levels in decibels.

dBFS follows AES17: a sine whose peaks reach full scale (±1.0) has a level of 0 dBFS, so a square wave reaches +3.01.
"""

from __future__ import annotations

import math

FULL_SCALE_SINE_RMS = math.sqrt(0.5)
"""RMS of a sine with a peak of 1.0: the reference of dBFS (AES17)."""
DB_PER_NEPER = 20.0 / math.log(10.0)
"""Decibels of a small relative change of amplitude, per unit of it."""


def decibels(ratio: float) -> float:
    """Return 20·log10 of an amplitude ratio; minus infinity for 0.

    Parameters
    ----------
    ratio
        At least 0.

    Returns
    -------
    float
        In dB.
    """
    return 20.0 * math.log10(ratio) if ratio > 0.0 else -math.inf


_LARGEST_DB = 6160.0
"""From here on, no double holds the ratio."""


def amplitude_ratio(level_db: float) -> float:
    """Return the amplitude ratio of a level in dB.

    Parameters
    ----------
    level_db
        In dB.

    Returns
    -------
    float
        The ratio.
    """
    return math.pow(10.0, level_db / 20.0) if level_db < _LARGEST_DB else math.inf


def dbfs(rms: float) -> float:
    """Return the level in dBFS of a signal with this RMS (full scale ±1.0).

    Parameters
    ----------
    rms
        At least 0.

    Returns
    -------
    float
        0 dBFS is a full-scale sine (AES17).
    """
    return decibels(rms / FULL_SCALE_SINE_RMS)


def quantisation_rms(bits: int) -> float:
    """Return the RMS of the error of rounding to ``bits`` bits: 1/√12 of a step of 2**(1-bits).

    Parameters
    ----------
    bits
        Word length.

    Returns
    -------
    float
        Full scale ±1.0.
    """
    return 2.0 ** (1 - bits) / math.sqrt(12.0)
