"""Crosstalk: how much of the other channels' tones a channel carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.levels import decibels
from rtpverify.dsp.sine import block_time

_LEAST_PERIODS_APART = 3.0
"""Tones must differ by this many periods over the stretch that is examined, or they can't be distinguished."""
_SIGNIFICANT = 10.0
"""Leaked power over that of the noise in the same line of the spectrum, above which it counts as measured."""


@dataclass(slots=True)
class Crosstalk:
    """Power of other channels' tones in one channel, averaged over stretches. Keys are channels from 0."""

    _power: dict[int, float] = field(default_factory=dict)
    _noise: float = 0.0
    _stretches: int = 0

    @property
    def measured(self) -> bool:
        """Whether any stretch was measured."""
        return self._stretches > 0

    def measure(self, x: NDArray[np.float64], omega: float, others: Mapping[int, float], sigma: float) -> None:
        """Take in a steady stretch.

        Parameters
        ----------
        x
            Frames of the channel, shape (n,).
        omega, others
            Frequency of its own tone, and of the other channels' by channel, rad per frame.
        sigma
            RMS of its residual.
        """
        n = len(x)
        apart = 2.0 * math.pi * _LEAST_PERIODS_APART / n
        others = {channel: other for channel, other in others.items() if abs(other - omega) > apart}
        distinct = sorted(set(others.values()))
        if not distinct or n < 16 * (len(distinct) + 1):
            return
        t = block_time(n)
        columns = [np.ones(n)]
        for frequency in (omega, *distinct):
            columns += [np.cos(frequency * t), np.sin(frequency * t)]
        solution = np.linalg.lstsq(np.array(columns).T, x, rcond=None)[0]
        for channel, other in others.items():
            at = 3 + 2 * distinct.index(other)
            power = float(solution[at] ** 2 + solution[at + 1] ** 2)
            self._power[channel] = self._power.get(channel, 0.0) + power
        self._noise += 4.0 * sigma**2 / n
        self._stretches += 1

    def worst_db(self, amplitudes: Mapping[int, float]) -> float | None:
        """Return the strongest crosstalk relative to the tone where it belongs, by amplitudes of the channels.

        None where nothing exceeds the noise.

        Parameters
        ----------
        amplitudes
            Amplitude of the tone of each channel, full scale ±1.0.

        Returns
        -------
        float or None
            In dB; None where nothing is distinct from the noise.
        """
        levels = [
            decibels(math.sqrt((power - self._noise) / self._stretches) / amplitudes[channel])
            for channel, power in self._power.items()
            if channel in amplitudes and power > _SIGNIFICANT * self._noise
        ]
        return max(levels, default=None)
