"""What "silence" is made of: nothing at all, a constant, the lowest bit, dither, noise, or a signal far down.

Every kind sounds like nothing, and each says something else of the equipment: a muted output gives zeros, a converter
its dither or noise, a forgotten fader a signal at -70 dBFS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.levels import FULL_SCALE_SINE_RMS, dbfs, decibels
from rtpverify.dsp.median import median

FAINT = 10.0 ** (-60.0 / 20.0)
"""Audio that stays this near to its mean is called silent."""
_DITHER_STEPS = 2.0
"""TPDF dither, rounded, reaches one step from the mean, its mean lies anywhere between two: 2 with rounding."""
_LINE = 100.0
"""Of the median of the spectrum: noise of one segment reaches 20 times in a day, a mean of several less."""


class SilenceKind(StrEnum):
    """What is there instead of a signal."""

    DIGITAL_SILENCE = "digital silence"
    DC_ONLY = "DC only"
    ONE_LSB = "one LSB"
    DITHER_ONLY = "dither only"
    LOW_LEVEL_NOISE = "low-level noise"
    LOW_LEVEL_SIGNAL = "low-level signal"


@dataclass(frozen=True, slots=True)
class Silence:
    """A verdict on a channel that sounds like nothing.

    Attributes
    ----------
    kind
        What is there.
    level_dbfs
        RMS without the mean; of DC, that of a sine whose peak is the constant; None for digital silence.
    frequency_hz
        Strongest spectral line of a low-level signal; None where there is none.
    text
        One line that says so.
    """

    kind: SilenceKind
    level_dbfs: float | None
    frequency_hz: float | None
    text: str

    @property
    def is_silent(self) -> bool:
        """Whether it is what silence should be: every frame 0."""
        return self.kind is SilenceKind.DIGITAL_SILENCE


def classify(
    low: float,
    high: float,
    mean: float,
    rms: float,
    *,
    lsb: float | None,
    step: float | None,
    spectrum: NDArray[np.float64] | None,
    sample_rate_hz: float,
    frames: int,
) -> Silence | None:
    """Return what a channel holds instead of a signal; None where there is one.

    Parameters
    ----------
    low, high, mean, rms
        Of the channel, full scale ±1.0; ``rms`` without the mean.
    lsb
        Step of the encoding; None where there is none.
    step
        Of the lowest bit in use; None where there are no steps.
    spectrum
        Mean power spectrum from 0 to half the sample rate, 0 in the first bins, shape (bins,); None where all is
        constant.
    sample_rate_hz
        Frames per second.
    frames
        Length of the channel.

    Returns
    -------
    Silence or None
        What it is, with its text.
    """
    if low == high == 0.0:
        return Silence(SilenceKind.DIGITAL_SILENCE, None, None, "silent: every frame is 0")
    if low == high:
        level = decibels(abs(low))
        return Silence(SilenceKind.DC_ONLY, level, None, f"not silent: DC only, every frame is {_value(low, lsb)}")
    if max(high - mean, mean - low) >= FAINT:
        return None
    level, above = dbfs(rms), f", on DC of {_value(mean, None)}" if abs(mean) > FAINT / 10 else ""
    if lsb is not None and step is not None and high - low <= 1.5 * step:
        return Silence(SilenceKind.ONE_LSB, level, None, _one_lsb(low, high, mean, lsb, step, level, frames))
    line = _line(spectrum, sample_rate_hz)
    if line is not None:
        frequency, strength = line
        text = (
            f"not silent: a signal at {level:.1f} dBFS{above}, strongest at {frequency:,.0f} Hz ({strength:.1f} dBFS)"
        )
        return Silence(SilenceKind.LOW_LEVEL_SIGNAL, level, frequency, text)
    if step is not None and max(high - mean, mean - low) <= _DITHER_STEPS * step:
        bits, least, most = 1 - round(math.log2(step)), round(low / step), round(high / step)
        text = f"not silent: dither of {bits} bits only, {least:+d} to {most:+d} LSB, {level:.1f} dBFS"
        return Silence(SilenceKind.DITHER_ONLY, level, None, text)
    return Silence(SilenceKind.LOW_LEVEL_NOISE, level, None, f"not silent: noise at {level:.1f} dBFS{above}, no tone")


def _one_lsb(low: float, high: float, mean: float, lsb: float, step: float, level_dbfs: float, frames: int) -> str:
    """Say how often the lowest bit differs."""
    usual, other = (low, high) if mean - low < high - mean else (high, low)
    count = round(abs(mean - usual) / step * frames)
    what = "one LSB" if step == lsb else f"the lowest of {1 - round(math.log2(step))} bits in use"
    return (
        f"not silent: {what}, {count:,} of {frames:,} frames are {_value(other, lsb)} and the rest "
        f"{_value(usual, lsb)}, {level_dbfs:.1f} dBFS"
    )


def _value(value: float, lsb: float | None) -> str:
    """Write a value in steps of the encoding where there are such, and as a level."""
    level = f"{decibels(abs(value)):.1f} dBFS" if value else "0"
    if lsb is None:
        return f"{value:+.3g} of full scale ({level})" if value else level
    steps = round(value / lsb)
    return f"{steps:+,d} LSB ({level})" if steps else "0"


def _line(spectrum: NDArray[np.float64] | None, sample_rate_hz: float) -> tuple[float, float] | None:
    """Return frequency in Hz and level in dBFS of the strongest line that rises out of the noise, if one does."""
    if spectrum is None:
        return None
    peak = int(spectrum.argmax())
    typical = float(median(spectrum[spectrum > 0.0])) if (spectrum > 0.0).any() else 0.0
    if spectrum[peak] <= _LINE * typical or spectrum[peak] == 0.0:
        return None
    # A line spreads over the window's main lobe: its power is the sum there.
    around = spectrum[max(0, peak - 10) : peak + 11]
    size = 2 * (len(spectrum) - 1)
    rms = float(np.sqrt(2.0 * around.sum() / size))
    centre = float(np.arange(max(0, peak - 10), max(0, peak - 10) + len(around)) @ around / around.sum())
    return centre * sample_rate_hz / size, decibels(rms / FULL_SCALE_SINE_RMS)
