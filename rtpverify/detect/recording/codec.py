"""Whether the residual of a recording is what a lossy codec leaves.

Pieces of the recording are compared with the reference to below the frame, and the residual is examined in bands.
Codecs hide their noise under the content: in every band it rises and falls with it, and where the content is faint it
comes near to it. The noise of converters and quantisers stays as it is; what a wandering clock leaves rises with the
content, but is far below it in every band; distortion is a function of the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.align import HALF_TAPS, candidates, correlate, fit, interpolate
from rtpverify.dsp.median import median

PIECE_FRAMES = 4096
REACH_FRAMES = 128
"""How far around its expected place a piece is sought."""
_FITS = 3
_MOST_OFF = (-1.0, -0.02), (1.0, 0.02)
"""By how much a fit may correct delay (frames) and rate: what resembles nothing would go anywhere."""
_BANDS = 16
_HIGHEST = 0.4
"""Share of the sample rate that is examined: interpolation leaves something of its own near half the rate."""
_LEAST_POWER = 1e-20
_FOLLOWS = 0.43
"""By how much the residual in a band rises with the content there, in dB per dB: codecs 0.49 to 1, noise 0."""
_LEAST_SPREAD = 1.0
"""Mean square by which the content must rise and fall, in dB: of a steady tone nothing can be said."""
_BELOW_DB = -33.0
"""The residual in most bands, against the content there: codecs leave -28 dB and more, a clock that wanders -37 dB."""
_BENT_DB = 1.5
"""Distortion is explained so far by a function of the sample; what a codec leaves, by 0.2 dB, seldom 0.7."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Powers in bands, each of shape (16,): of the reference, of the residual, and with its scale bent."""

    content: NDArray[np.float64]
    left: NDArray[np.float64]
    unbent: NDArray[np.float64]


def probe(heard: NDArray[np.float64], around: NDArray[np.float64]) -> Probe | None:
    """Compare a piece with the stretch of the reference in which it lies.

    Parameters
    ----------
    heard
        Shape (4096,).
    around
        Shape (4096 + 2 · 128,), the place that is expected in its middle.

    Returns
    -------
    Probe or None
        None where it is not there.
    """
    found = candidates(correlate(heard, around), 1, 1)
    if not found:
        return None
    frame = np.arange(len(heard), dtype=np.float64)
    position = frame + found[0].offset
    valid = np.ones(len(heard), dtype=bool)
    for _ in range(_FITS):
        if position[0] < HALF_TAPS + 1 or position[-1] > len(around) - HALF_TAPS - 2:
            return None
        taken = interpolate(around, position)
        left = fit(heard, taken.value, valid, taken.slope, with_rate=True)
        delay, rate = np.clip([left.delay, left.rate], *_MOST_OFF)
        position = position + delay + rate * (frame - (len(heard) - 1) / 2)
    scaled = taken.value / max(float(np.abs(taken.value).max()), 1e-12)
    bends = np.cumprod(np.tile(scaled[:, None], 7), axis=1)[:, 1:]
    unbent = left.residual - bends @ np.linalg.lstsq(bends, left.residual, rcond=None)[0]
    window = np.hanning(len(heard))
    spectra = np.fft.rfft(np.stack([left.gain * taken.value, left.residual, unbent]) * window, axis=1)
    powers = np.square(np.abs(spectra[:, : int(_HIGHEST * len(heard))]))
    edges = np.linspace(0, powers.shape[1], _BANDS, endpoint=False).astype(np.int64)
    return Probe(*(np.add.reduceat(powers, edges, axis=1) / len(heard) ** 2))


def is_codec(probes: list[Probe]) -> bool:
    """Return whether the residual of pieces from all over a recording is the noise of a lossy codec.

    Parameters
    ----------
    probes
        What :func:`probe` found.

    Returns
    -------
    bool
        Whether it is.
    """
    content, left, unbent = (
        np.stack([getattr(item, name) for item in probes]) + _LEAST_POWER for name in ("content", "left", "unbent")
    )
    if 10.0 * np.log10(left.sum() / unbent.sum()) > _BENT_DB:
        return False
    content_db, left_db = 10.0 * np.log10(content), 10.0 * np.log10(left)
    if median(left_db - content_db) < _BELOW_DB:
        return False
    rises_db, left_rises_db = (levels - median(levels, axis=0) for levels in (content_db, left_db))
    spread = float((rises_db * rises_db).sum())
    return spread > _LEAST_SPREAD * rises_db.size and float((rises_db * left_rises_db).sum()) > _FOLLOWS * spread
