"""A band of the spectrum, cut out by a linear-phase filter whose delay is taken out.

Windowed-sinc design with a Kaiser window: 100 dB down outside, flat to 0.001 dB inside, and between them a tenth of
the edge's frequency, 20 Hz at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import RequestError

_ATTENUATION_DB = 100.0
_LEAST_TRANSITION_HZ = 20.0
_TRANSITION = 0.1


class BandFilter:
    """Passes the band from ``low_hz`` to ``high_hz`` of audio that comes block by block; 0 and half the rate are open.

    Parameters
    ----------
    low_hz, high_hz
        Ends of the band.
    sample_rate_hz
        Frames per second.
    channels
        Channels of the audio.

    Raises
    ------
    RequestError
        Where this is no band below half the sample rate.
    """

    def __init__(self, low_hz: float, high_hz: float, sample_rate_hz: float, channels: int) -> None:
        if not 0 <= low_hz < high_hz <= sample_rate_hz / 2:
            raise RequestError(
                f"band {low_hz:g}:{high_hz:g}: no band from 0 to half the sample rate of {sample_rate_hz:g} Hz"
            )
        edges = [edge for edge in (low_hz, high_hz) if 0 < edge < sample_rate_hz / 2]
        self._taps = _design(low_hz, high_hz, edges, sample_rate_hz)
        self._delay = len(self._taps) // 2
        self._waiting = np.zeros((self._delay, channels))

    def add(self, block: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """Take the next frames, shape (n, channels); yield those that are settled.

        Parameters
        ----------
        block
            Full scale ±1.0, shape (n, channels).

        Yields
        ------
        NDArray[np.float64]
            Shape (m, channels).
        """
        joined = np.concatenate([self._waiting, block])
        if len(joined) >= len(self._taps) and len(block):
            import scipy.signal

            yield np.asarray(scipy.signal.oaconvolve(joined, self._taps[:, None], mode="valid", axes=0), np.float64)
            joined = joined[len(joined) - len(self._taps) + 1 :]
        self._waiting = joined.copy()

    def finish(self) -> Iterator[NDArray[np.float64]]:
        """End the audio; yield the rest.

        Yields
        ------
        NDArray[np.float64]
            Shape (m, channels).
        """
        yield from self.add(np.zeros((self._delay, self._waiting.shape[1])))


def _design(low_hz: float, high_hz: float, edges: list[float], rate_hz: float) -> NDArray[np.float64]:
    """Return the filter's taps, an odd number."""
    if not edges:
        return np.ones(1)
    width_hz = min(max(_LEAST_TRANSITION_HZ, _TRANSITION * edge) for edge in edges)
    order = (_ATTENUATION_DB - 7.95) / (2.285 * 2.0 * math.pi * width_hz / rate_hz)
    half = math.ceil(order / 2)
    beta = 0.1102 * (_ATTENUATION_DB - 8.7)
    offset = np.arange(-half, half + 1)
    # The ideal band is the difference of two ideal low passes.
    taps = sum(
        sign * 2.0 * edge / rate_hz * np.sinc(2.0 * edge / rate_hz * offset)
        for sign, edge in ((1.0, high_hz), (-1.0, low_hz))
        if edge
    )
    return np.asarray(taps * np.kaiser(len(offset), beta), np.float64)
