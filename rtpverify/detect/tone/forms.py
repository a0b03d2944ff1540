"""What a sustained departure is, by its form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.levels import decibels
from rtpverify.dsp.sample_words import empty_low_bits
from rtpverify.dsp.sine import MODEL_COLUMNS, FreeFit, fit_free, tone_basis
from rtpverify.events import Kind

_NEAR_PEAK = 0.995
_SINE_NEAR_PEAK = 2.0 / math.pi * math.acos(_NEAR_PEAK)
"""Share of the time that a sine spends within 0.5 % of its peaks."""


def residual_form(x: NDArray[np.float64], omega: float, bits: int | None) -> tuple[Kind, dict[str, float | int]]:
    """Return what kind of departure the frames of a tone show, and its size.

    Parameters
    ----------
    x
        A stretch of some periods with the departure, shape (n,).
    omega
        Frequency of the tone, rad per frame.
    bits
        Word length of the encoding, None where it has none.

    Returns
    -------
    kind : Kind
        The kind.
    size : dict of str to float or int
        Its figures by name.
    """
    empty = empty_low_bits(x, bits) if bits is not None else 0
    if bits is not None and empty > 0:
        return Kind.WORD_LENGTH, {"effective_bits": bits - empty}
    fit = fit_free(x, 0, omega)
    if fit is None:
        return Kind.NOISE, {}
    thd_db = harmonics_db(x, fit)
    if 10.0 ** (thd_db / 10.0) * fit.sine.amplitude**2 < fit.rms**2:
        return Kind.NOISE, {}
    ac = np.abs(x - fit.sine.dc)
    near_peak = float(np.mean(ac >= _NEAR_PEAK * ac.max()))
    # A sine of few phases may have more of them near its peaks than others have.
    sine = np.abs(fit.sine.at(0, len(x)) - fit.sine.dc)
    expected = max(_SINE_NEAR_PEAK, float(np.mean(sine >= _NEAR_PEAK * sine.max())))
    if near_peak > 1.8 * expected:
        return Kind.CLIPPING, {"thd_db": thd_db, "clip_level": float(ac.max())}
    return Kind.DISTORTION, {"thd_db": thd_db}


def harmonics_db(x: NDArray[np.float64], fit: FreeFit) -> float:
    """Return the level of the harmonics in frames relative to their tone, a sine fitted to all of them, dB.

    Parameters
    ----------
    x
        The frames, shape (n,).
    fit
        The sine.

    Returns
    -------
    float
        In dB.
    """
    coefficients = x @ tone_basis(fit.sine.omega, len(x)).solver
    return decibels(math.sqrt(float(np.sum(coefficients[MODEL_COLUMNS:] ** 2))) / fit.sine.amplitude)
