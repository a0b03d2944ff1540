"""What a sustained departure is, by its form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.levels import decibels
from rtpverify.dsp.sine import MODEL_COLUMNS, fit_free, tone_basis
from rtpverify.events import Kind

_NEAR_PEAK = 0.995
_SINE_NEAR_PEAK = 2.0 / math.pi * math.acos(_NEAR_PEAK)
"""Share of the time that a sine spends within 0.5 % of its peaks."""


def empty_low_bits(x: NDArray[np.float64], bits: int) -> int:
    """Return how many low bits of ``bits``-bit samples are always zero; 0 where too few values tell."""
    integers = np.unique(np.abs(np.rint(x * 2.0 ** (bits - 1))).astype(np.int64))
    integers = integers[integers != 0]
    if len(integers) == 0:
        return 0
    used = int(np.bitwise_or.reduce(integers))
    empty = (used & -used).bit_length() - 1
    # Each value has its low bits empty by chance once in 2**empty: believe it at one in a million.
    return empty if len(integers) * empty >= 20 else 0


def residual_form(x: NDArray[np.float64], omega: float, bits: int | None) -> tuple[Kind, dict[str, float | int]]:
    """Tell what kind of departure the frames of a tone show, and its size.

    Parameters
    ----------
    x
        A stretch of some periods with the departure, shape (n,).
    omega
        Frequency of the tone, rad per frame.
    bits
        Word length of the encoding, None where it has none.
    """
    empty = empty_low_bits(x, bits) if bits is not None else 0
    if bits is not None and empty > 0:
        return Kind.WORD_LENGTH, {"effective_bits": bits - empty}
    fit = fit_free(x, 0, omega)
    if fit is None:
        return Kind.NOISE, {}
    basis = tone_basis(fit.sine.omega, len(x))
    coefficients = x @ basis.solver
    harmonics = float(np.sum(coefficients[MODEL_COLUMNS:] ** 2)) / 2.0
    if harmonics < 0.5 * fit.rms**2:
        return Kind.NOISE, {}
    thd_db = decibels(math.sqrt(2.0 * harmonics) / fit.sine.amplitude)
    ac = np.abs(x - fit.sine.dc)
    near_peak = float(np.mean(ac >= _NEAR_PEAK * ac.max()))
    # A sine of few phases may have more of them near its peaks than others have.
    sine = np.abs(fit.sine.at(0, len(x)) - fit.sine.dc)
    expected = max(_SINE_NEAR_PEAK, float(np.mean(sine >= _NEAR_PEAK * sine.max())))
    if near_peak > 1.8 * expected:
        return Kind.CLIPPING, {"thd_db": thd_db, "clip_level": float(ac.max())}
    return Kind.DISTORTION, {"thd_db": thd_db}


def swap_bytes(x: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Return samples of 16 or 24 bits with their bytes in the other order."""
    integers = np.rint(x * 2.0 ** (bits - 1)).astype(np.int64)
    swapped = np.zeros_like(integers)
    for shift in range(0, bits, 8):
        swapped |= (integers >> shift & 0xFF) << (bits - 8 - shift)
    swapped -= (swapped >> (bits - 1) & 1) << bits
    return swapped / 2.0 ** (bits - 1)


def wrong_bits(x: NDArray[np.float64], expected: NDArray[np.float64], bits: int) -> int:
    """Return how many bits of ``bits``-bit samples differ from those of the rounded expectation."""
    scale, mask = 2.0 ** (bits - 1), (1 << bits) - 1
    got = np.rint(x * scale).astype(np.int64)
    wanted = np.rint(np.clip(expected * scale, -scale, scale - 1)).astype(np.int64)
    return int(np.bitwise_count((got ^ wanted) & mask).sum())
