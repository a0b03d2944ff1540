"""Axes of every picture: at which round values they are marked, and how those are written."""

from __future__ import annotations

import math


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Return the round values within a range: multiples of 1, 2 or 5 times a power of ten.

    Parameters
    ----------
    low, high
        The range; both ends are marked where they are round.
    most
        Steps between marks, at most.

    Returns
    -------
    list of float
        In ascending order; ``low`` alone where the range is empty.
    """
    span = high - low
    if span <= 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if span / (step * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def frequency_ticks(low_hz: float, high_hz: float) -> list[float]:
    """Return the round frequencies of a logarithmic axis, such as 20, 50 and 100 Hz.

    Parameters
    ----------
    low_hz, high_hz
        Its ends, above 0.

    Returns
    -------
    list of float
        In ascending order.
    """
    powers = range(math.floor(math.log10(low_hz)), math.ceil(math.log10(high_hz)) + 1)
    found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [frequency_hz for frequency_hz in found if low_hz <= frequency_hz <= high_hz]


def frequency_text(frequency_hz: float) -> str:
    """Return how a frequency is written on an axis in Hz: 50, 2k, 20k.

    Parameters
    ----------
    frequency_hz
        In Hz.

    Returns
    -------
    str
        Its label.
    """
    return f"{frequency_hz / 1000:g}k" if frequency_hz >= 1000 else f"{frequency_hz:g}"


def time_text(time_seconds: float, span_seconds: float) -> str:
    """Return how a time is written: in seconds, or in hours, minutes and seconds where the axis is long.

    Parameters
    ----------
    time_seconds
        In seconds.
    span_seconds
        Length of the axis, in seconds.

    Returns
    -------
    str
        Its label.
    """
    if span_seconds < 600:
        return f"{time_seconds:.9g}"
    whole = round(time_seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def time_label(span_seconds: float) -> str:
    """Return the name of a time axis.

    Parameters
    ----------
    span_seconds
        Length of the axis, in seconds.

    Returns
    -------
    str
        With the unit.
    """
    return "Time, s" if span_seconds < 600 else "Time, h:mm:ss"
