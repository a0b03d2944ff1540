"""Where a piece of audio lies in a longer one: cross-correlation to the frame, interpolation and fit below it.

All arrays are float64 and one channel; positions and offsets count in frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.farrow import farrow_coefficients, farrow_taps

HALF_TAPS = 24
"""Frames on each side that an interpolated value is made of."""
_KAISER_BETA = 9.0
_ORDER = 9
"""Degree in which the taps follow the fraction of a frame; up to 0.43 of the rate no error is above -86 dB."""
_AT_ONCE = 1 << 17
"""Frames that are transformed at once: so many stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a piece may lie: frames from the start of the reference, and the correlation there, -1 to 1."""

    offset: int
    correlation: float


def correlate(piece: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the normalised correlation of a piece with every stretch of the reference of its length.

    Parameters
    ----------
    piece
        Shape (n,).
    reference
        Shape (m,), m ≥ n.

    Returns
    -------
    ndarray
        Shape (m - n + 1,), cosine of the angle between the piece and the stretch at each offset; 0 where either is
        silent. Single precision in, single precision out.
    """
    n, m = len(piece), len(reference)
    size = _fast_length(min(m, 4 * n))
    step = min(size, m) - n + 1
    segments = -(-(m - n + 1) // step)
    spectrum = np.conj(np.fft.rfft(piece, size))
    out = np.empty(segments * step, piece.dtype)
    rows = out.reshape(segments, step)
    at_once = max(1, _AT_ONCE // size)
    for first in range(0, segments, at_once):
        last = min(first + at_once, segments)
        part = np.zeros((last - first - 1) * step + size, reference.dtype)
        there = reference[first * step : first * step + len(part)]
        part[: len(there)] = there
        pieces = np.lib.stride_tricks.sliding_window_view(part, size)[::step]
        rows[first:last] = np.fft.irfft(np.fft.rfft(pieces, axis=1) * spectrum, size, axis=1)[:, :step]
    out = out[: m - n + 1]
    energy = np.concatenate([[0.0], np.cumsum(np.square(reference, dtype=np.float64))])
    stretch = np.maximum(energy[n:] - energy[:-n], 0.0)
    own = float(np.dot(piece.astype(np.float64), piece))
    # What rounding leaves of a silent stretch's energy must not make it look like a match.
    stretch[stretch < 1e-9 * max(own, float(stretch.max(initial=0.0)))] = np.inf
    return out / np.sqrt(own * stretch).astype(piece.dtype) if own > 0.0 else np.zeros_like(out)


def candidates(correlation: NDArray[np.floating], most: int, apart: int, share: float = 0.9) -> list[Candidate]:
    """Return the highest peaks of a correlation by magnitude, the strongest first.

    Parameters
    ----------
    correlation
        Shape (n,).
    most
        How many at most.
    apart
        Peaks nearer to a stronger one than this are part of it.
    share
        Peaks below this share of the highest are omitted.

    Returns
    -------
    list of Candidate
        At most so many as are looked for, with lag and height.
    """
    size = np.abs(correlation)
    floor = share * float(size.max(initial=0.0))
    found: list[Candidate] = []
    if floor <= 0.0:
        return found
    inner = np.flatnonzero(size >= floor)
    for at in inner[np.argsort(size[inner], kind="stable")[::-1]].tolist():
        if all(abs(at - other.offset) >= apart for other in found):
            found.append(Candidate(at, float(correlation[at])))
            if len(found) == most:
                break
    return found


@dataclass(frozen=True, slots=True)
class Interpolated:
    """Values and slopes (per frame) of a signal between its frames, both of shape (n,)."""

    value: NDArray[np.float64]
    slope: NDArray[np.float64]


def interpolate(x: NDArray[np.float64], position: NDArray[np.float64]) -> Interpolated:
    """Return the band-limited signal through ``x`` at positions between its frames.

    Parameters
    ----------
    x
        Shape (m,).
    position
        Frames from the start of ``x``, shape (n,), rising by about 1; at least ``HALF_TAPS`` from either end.

    Returns
    -------
    Interpolated
        Values, and where they are certain.
    """
    whole = np.rint(position).astype(np.int64)
    fraction = position - whole
    first = int(whole[0]) - HALF_TAPS
    part = x[first : int(whole[-1]) + HALF_TAPS + 1]
    taps = farrow_taps(HALF_TAPS, _KAISER_BETA, _ORDER)
    value, slope = np.zeros(len(position)), np.zeros(len(position))
    for coefficient in farrow_coefficients(part, taps)[:, whole - int(whole[0])]:
        slope = slope * fraction + value
        value = value * fraction + coefficient
    return Interpolated(value, slope)


@dataclass(frozen=True, slots=True)
class Fit:
    """How a stretch follows from a reference: ``received = gain * reference(t + delay + rate * t) + dc``.

    ``delay`` and ``rate`` (frames, and frames per frame, with t = 0 in the middle) correct the positions at which the
    reference was taken. ``residual`` is what remains, shape (n,), 0 where frames are not valid.
    """

    gain: float
    dc: float
    delay: float
    rate: float
    residual: NDArray[np.float64]

    @property
    def rms(self) -> float:
        """RMS of the residual."""
        return float(np.sqrt(np.mean(np.square(self.residual)))) if len(self.residual) else 0.0


def fit(
    received: NDArray[np.float64],
    reference: NDArray[np.float64],
    valid: NDArray[np.bool_],
    slope: NDArray[np.float64] | None = None,
    *,
    with_rate: bool = False,
) -> Fit:
    """Fit gain and offset, and with the reference's slope a small delay and rate, by linear least squares.

    Where the reference does not move, nothing can be said of what depends on it: the gain is 1 then, the delay 0.

    Parameters
    ----------
    received
        Shape (n,).
    reference
        The same frames of the reference, aligned, shape (n,).
    valid
        Which frames take part, shape (n,).
    slope
        Change of the reference per frame, shape (n,); None: no delay is fitted.
    with_rate
        Whether a rate is fitted too.

    Returns
    -------
    Fit
        The parameters, and the residual's RMS.
    """
    columns = [reference, np.ones_like(reference)]
    if slope is not None:
        columns.append(slope)
        if with_rate:
            columns.append(slope * (np.arange(len(slope)) - (len(slope) - 1) / 2))
    basis = np.stack(columns, axis=1) * valid[:, None]
    scale = np.sqrt(np.einsum("ij,ij->j", basis, basis))
    used = scale > 0.0
    scale[~used] = 1.0
    scaled = basis / scale
    wanted = np.where(valid, received, 0.0)
    normal = scaled.T @ scaled + np.diag(np.where(used, 1e-12, 1.0))
    weights = np.linalg.solve(normal, scaled.T @ wanted) / scale
    gain = float(weights[0]) if used[0] else 1.0
    per_gain = [float(weight) / gain if gain else 0.0 for weight in weights[2:]]
    delay, rate = [*per_gain, 0.0, 0.0][:2]
    return Fit(gain, float(weights[1]), delay, rate, wanted - basis @ weights)


def _fast_length(length: int) -> int:
    """Return the next power of two."""
    return 1 << max(0, length - 1).bit_length()
