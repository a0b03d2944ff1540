"""Least-squares fits of a sine whose frequency is nearly known (IEEE 1057 section 4.6, vectorised over blocks).

Conventions
-----------
Time ``t`` counts frames from the middle of a block of ``n`` frames: ``t = arange(n) - (n - 1) / 2``. ``omega`` is the
angular frequency in rad per frame. The signal is ``Re[(z + z' t) exp(i omega t)] + dc`` plus harmonics, so the phasor
``z`` holds amplitude and phase in the middle of the block and ``z' / z = slope + i * d_omega``: relative change of
level and offset of frequency per frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_NEAR_BINS = 6
"""How far :func:`fit_free` may go, three bins, and what a window's main lobe takes."""
MODEL_COLUMNS = 5
"""cos, sin, 1, t·cos, t·sin: what a steady tone with a slow wander needs."""
MAX_HARMONIC = 10
CACHED_SAMPLES = 38400
"""Samples that are fitted at a time: they stay in a core's own cache, and OpenBLAS multiplies so few as they lie."""


def block_time(n: int) -> NDArray[np.float64]:
    """Return frames relative to the middle of a block, shape (n,).

    Parameters
    ----------
    n
        Frames.

    Returns
    -------
    NDArray[np.float64]
        Shape (n,).
    """
    return np.arange(n, dtype=np.float64) - (n - 1) / 2.0


@dataclass(frozen=True, slots=True)
class ToneBasis:
    """Basis of one frequency over blocks of one length.

    Attributes
    ----------
    columns
        Shape (p, n): the five model columns, then cos and sin of each harmonic from the second.
    solver
        Shape (n, p): ``x @ solver`` is the least-squares solution for rows ``x`` of shape (…, n).
    harmonics
        Orders whose columns follow the model, shape (h,).
    """

    omega: float
    n: int
    columns: NDArray[np.float64]
    solver: NDArray[np.float64]
    harmonics: tuple[int, ...]


@lru_cache(maxsize=1024)
def tone_basis(omega: float, n: int) -> ToneBasis:
    """Return the basis of a frequency (rad per frame) over blocks of ``n`` frames, with the harmonics that fit.

    Parameters
    ----------
    omega
        Angular frequency, rad per frame.
    n
        Frames of a block.

    Returns
    -------
    ToneBasis
        The basis and its pseudo-inverse.
    """
    t = block_time(n)
    clearance = 2.0 * math.pi * 3.0 / n
    harmonics = tuple(h for h in range(2, MAX_HARMONIC + 1) if h * omega < math.pi - clearance)
    cos, sin = np.cos(omega * t), np.sin(omega * t)
    scale = 2.0 / n  # keeps the columns of one magnitude, and so the inverse well conditioned
    rows = [cos, sin, np.ones(n), scale * t * cos, scale * t * sin]
    for h in harmonics:
        rows += [np.cos(h * omega * t), np.sin(h * omega * t)]
    columns = np.array(rows)
    solver = np.ascontiguousarray(np.linalg.pinv(columns))
    columns[3:5] /= scale
    solver[:, 3:5] *= scale
    return ToneBasis(omega, n, columns, solver, harmonics)


@dataclass(slots=True)
class BlockFit:
    """Fits of many blocks at once; every array has the leading shape of the input.

    Attributes
    ----------
    n
        Frames of a block.
    z, slope_z
        Phasor in the middle of the block and its change per frame, complex128.
    dc
        Mean offset, float64.
    harmonics
        Phasors of the harmonics from the second to the tenth, shape (…, 9), complex128; 0 where above half the rate.
    square_sum
        Sum of the squared residual, float64.
    peak
        Largest absolute residual, float64.
    """

    n: int
    z: NDArray[np.complex128]
    slope_z: NDArray[np.complex128]
    dc: NDArray[np.float64]
    harmonics: NDArray[np.complex128]
    square_sum: NDArray[np.float64]
    peak: NDArray[np.float64]

    def reshape(self, *shape: int) -> BlockFit:
        """Return the same fits with another leading shape.

        Parameters
        ----------
        *shape
            The shape, for as many fits.

        Returns
        -------
        BlockFit
            Views of the same arrays.
        """
        return BlockFit(
            self.n,
            self.z.reshape(shape),
            self.slope_z.reshape(shape),
            self.dc.reshape(shape),
            self.harmonics.reshape(*shape, -1),
            self.square_sum.reshape(shape),
            self.peak.reshape(shape),
        )

    @classmethod
    def stacked(cls, fits: Sequence[BlockFit]) -> BlockFit:
        """Return fits of one leading shape as one, with an axis for them before it.

        Parameters
        ----------
        fits
            At least one, of blocks of one length.

        Returns
        -------
        BlockFit
            Leading shape (len(fits), …).
        """
        names = ("z", "slope_z", "dc", "harmonics", "square_sum", "peak")
        return cls(fits[0].n, *(np.stack([getattr(fit, name) for fit in fits]) for name in names))

    def take(self, index: NDArray[np.intp] | tuple[slice, ...]) -> BlockFit:
        """Return the fits at ``index`` of the leading axes.

        Parameters
        ----------
        index
            Indices of the first axis, shape (m,), or a part of each leading axis.

        Returns
        -------
        BlockFit
            Copies; of parts, views.
        """
        return BlockFit(
            self.n,
            self.z[index],
            self.slope_z[index],
            self.dc[index],
            self.harmonics[index],
            self.square_sum[index],
            self.peak[index],
        )

    @property
    def d_omega(self) -> NDArray[np.float64]:
        """Offset of the frequency from the basis, rad per frame."""
        ratio = np.divide(self.slope_z, self.z, out=np.zeros_like(self.z), where=self.z != 0)
        return ratio.imag


def fit_blocks(x: NDArray[np.float64], basis: ToneBasis) -> BlockFit:
    """Fit every row of ``x``, shape (r, n).

    The residual is what the five model columns leave, harmonics included.

    Parameters
    ----------
    x
        One block a row, shape (r, n).
    basis
        Of the frequency, over n frames.

    Returns
    -------
    BlockFit
        Arrays of shape (r,) and (r, …).
    """
    return fit_runs(x, [(basis, len(x))])


def fit_runs(x: NDArray[np.floating], runs: Sequence[tuple[ToneBasis, int]]) -> BlockFit:
    """Fit every row of ``x``, shape (r, n), each run of so many rows by a basis of its own, all of ``n`` frames.

    Parameters
    ----------
    x
        One block a row, shape (r, n); float32 becomes float64 in pieces that stay in the cache.
    runs
        Basis and number of rows of each run.

    Returns
    -------
    BlockFit
        Arrays of shape (r,) and (r, …).
    """
    rows, n = x.shape
    coefficients = np.zeros((rows, MODEL_COLUMNS + 2 * (MAX_HARMONIC - 1)))
    square_sum, peak = np.empty((2, rows))
    step = max(1, CACHED_SAMPLES // n)
    stops = np.cumsum([count for _, count in runs]).tolist()
    for (basis, count), stop in zip(runs, stops, strict=True):
        columns = basis.columns[:MODEL_COLUMNS]
        for start in range(stop - count, stop, step):
            part = slice(start, min(start + step, stop))
            piece = x[part].astype(np.float64, copy=False)
            solution = piece @ basis.solver
            residual = solution[:, :MODEL_COLUMNS] @ columns
            np.subtract(piece, residual, out=residual)
            coefficients[part, : solution.shape[1]] = solution
            np.einsum("rn,rn->r", residual, residual, out=square_sum[part])
            np.maximum(residual.max(axis=1), -residual.min(axis=1), out=peak[part])
    pairs = coefficients[:, MODEL_COLUMNS:]
    return BlockFit(
        n=n,
        z=coefficients[:, 0] - 1j * coefficients[:, 1],
        slope_z=coefficients[:, 3] - 1j * coefficients[:, 4],
        dc=coefficients[:, 2].copy(),
        harmonics=pairs[:, 0::2] - 1j * pairs[:, 1::2],
        square_sum=square_sum,
        peak=peak,
    )


@dataclass(frozen=True, slots=True)
class Sine:
    """A sine: ``amplitude * (1 + slope * t) * cos(omega * t + phase) + dc`` with ``t = frame - anchor``.

    ``anchor`` may lie between frames; ``slope`` is the relative change of level per frame.
    """

    omega: float
    anchor: float
    phase: float
    amplitude: float
    dc: float
    slope: float = 0.0

    def at(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the frames from ``start`` to ``stop``, shape (stop - start,).

        Parameters
        ----------
        start
            First frame.
        stop
            Frame after the last one.

        Returns
        -------
        NDArray[np.float64]
            Shape (stop - start,).
        """
        t = np.arange(start, stop, dtype=np.float64) - self.anchor
        wave: NDArray[np.float64] = np.cos(self.omega * t + self.phase) * self.amplitude
        if self.slope:
            wave *= 1.0 + self.slope * t
        return wave + self.dc

    def amplitude_at(self, frame: float) -> float:
        """Return the amplitude at a frame.

        Parameters
        ----------
        frame
            May lie between frames.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        return self.amplitude * (1.0 + self.slope * (frame - self.anchor))

    def phase_at(self, frame: float) -> float:
        """Return the phase at a frame, rad, not wrapped.

        Parameters
        ----------
        frame
            May lie between frames.

        Returns
        -------
        float
            In rad.
        """
        return self.phase + self.omega * (frame - self.anchor)


def fit_phasor(
    x: NDArray[np.float64], start: int, omega: float, valid: NDArray[np.bool_] | None = None, *, with_dc: bool = True
) -> Sine | None:
    """Fit amplitude, phase and offset at a known frequency to frames ``start`` … (three-parameter fit of IEEE 1057).

    Frames where ``valid`` is False are omitted; None where fewer than four are left.

    Parameters
    ----------
    x
        Frames, shape (n,).
    start
        Frame number of ``x[0]``.
    omega
        Angular frequency, rad per frame.
    valid
        Which frames take part, shape (n,); None: all.
    with_dc
        Whether an offset is fitted.

    Returns
    -------
    Sine or None
        None where too few frames take part.
    """
    t = block_time(len(x))
    if valid is not None:
        x, t = x[valid], t[valid]
    if len(x) < 4:
        return None
    columns = [np.cos(omega * t), np.sin(omega * t)] + ([np.ones(len(t))] if with_dc else [])
    solution = np.linalg.lstsq(np.array(columns).T, x, rcond=None)[0]
    anchor = start + (len(valid if valid is not None else x) - 1) / 2.0
    return Sine(
        omega,
        anchor,
        math.atan2(-solution[1], solution[0]),
        math.hypot(solution[0], solution[1]),
        float(solution[2]) if with_dc else 0.0,
    )


def find_omega(x: NDArray[np.float64]) -> float | None:
    """Return the frequency of the strongest sine in ``x``, rad per frame, or None where nothing rises out of the noise.

    That of the strongest line, refined by a four-parameter fit.

    Parameters
    ----------
    x
        Frames, shape (n,).

    Returns
    -------
    float or None
        None where nothing is above the noise.
    """
    omega = strongest_line(x)
    return None if omega is None else refine_omega(x, omega)


def strongest_line(x: NDArray[np.float64]) -> float | None:
    """Return the frequency of the strongest line in the spectrum of ``x``, rad per frame; None where there is none.

    Peak of a Hann-windowed spectrum, interpolated.

    Parameters
    ----------
    x
        Frames, shape (n,).

    Returns
    -------
    float or None
        By the peak of the windowed spectrum.
    """
    n = len(x)
    if n < 16:
        return None
    power = np.abs(np.fft.rfft((x - x.mean()) * _hann(n))) ** 2
    power[:2] = 0.0
    peak = int(power.argmax())
    if power[peak] <= 0.0 or not np.isfinite(power[peak]):
        return None
    left, right = math.sqrt(power[max(peak - 1, 0)]), math.sqrt(power[min(peak + 1, len(power) - 1)])
    middle = math.sqrt(power[peak])
    # Two-bin interpolation of a Hann window's main lobe: the ratio of neighbours gives the offset exactly.
    offset = (2 * right - middle) / (right + middle) if right > left else -(2 * left - middle) / (left + middle)
    return 2.0 * math.pi * (peak + offset) / n


def share_near(x: NDArray[np.float64], omega: float) -> NDArray[np.float64]:
    """Return which share of each row's power, without its mean, lies near a frequency, shape (m,).

    Near enough for :func:`fit_free` to find a sine there. ``x`` has shape (m, n); a row that is constant has none.

    Parameters
    ----------
    x
        One block a row, shape (m, n).
    omega
        Angular frequency, rad per frame.

    Returns
    -------
    NDArray[np.float64]
        From 0 to 1, shape (m,).
    """
    n = x.shape[1]
    power = np.abs(np.fft.rfft((x - x.mean(axis=1, keepdims=True)) * _hann(n), axis=1)) ** 2
    middle = round(omega * n / (2.0 * math.pi))
    near = power[:, max(middle - _NEAR_BINS, 0) : middle + _NEAR_BINS + 1].sum(axis=1)
    total = power.sum(axis=1)
    share: NDArray[np.float64] = np.divide(near, total, out=np.zeros(len(x)), where=total > 0.0)
    return share


@lru_cache(maxsize=16)
def _hann(n: int) -> NDArray[np.float64]:
    """Return a Hann window, symmetric about the middle of n frames."""
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2.0 * math.pi * (np.arange(n) + 0.5) / n)
    window.flags.writeable = False
    return window


def refine_omega(x: NDArray[np.float64], omega: float) -> float | None:
    """Improve a frequency by a four-parameter fit (IEEE 1057 section 4.6.3); None where the fit runs away.

    Parameters
    ----------
    x
        Frames, shape (n,).
    omega
        A frequency near the right one, rad per frame.

    Returns
    -------
    float or None
        In rad per frame.
    """
    n = len(x)
    if not 0.0 < omega < math.pi:
        return None
    start = omega
    t = block_time(n)
    for _ in range(12):
        cos, sin = np.cos(omega * t), np.sin(omega * t)
        columns = np.array([cos, sin, np.ones(n), (2.0 / n) * t * cos, (2.0 / n) * t * sin]).T
        a, b, _, da, db = np.linalg.lstsq(columns, x, rcond=None)[0]
        if a == 0.0 and b == 0.0:
            return None
        step = ((da - 1j * db) / (a - 1j * b)).imag * 2.0 / n
        # A step of more than a bin means that the line left the reach of the linearisation.
        step = max(-math.pi / n, min(math.pi / n, step))
        omega += step
        if not 0.0 < omega < math.pi or abs(omega - start) > 4.0 * math.pi / n:
            return None
        if abs(step) < 1e-13:
            break
    return omega


def omega_deviation(noise_to_amplitude: float, n: int) -> float:
    """Return the Cramér–Rao bound of the angular frequency, rad per frame: √(24/n³) σ/A.

    Parameters
    ----------
    noise_to_amplitude
        Standard deviation of the noise over the amplitude.
    n
        Frames.

    Returns
    -------
    float
        Standard deviation, rad per frame.
    """
    return noise_to_amplitude * math.sqrt(24.0 / n**3)


def distinct_phases(omega: float, n: int) -> int:
    """Return how many different phases ``n`` frames of a sine take, near enough: its period in frames where short.

    The error of plain rounding repeats with them, so that more frames do not average it any further. (The first
    continued fraction p/q of the frequency whose pattern of q phases does not move on within n frames.)

    Parameters
    ----------
    omega
        Angular frequency, rad per frame.
    n
        Frames.

    Returns
    -------
    int
        At most ``n``.
    """
    return _pattern(omega, n)[0]


def distinct_errors(omega: float, amplitude: float, n: int) -> int:
    """Return how many different errors plain rounding makes of ``n`` frames of a sine of so many steps' amplitude.

    As many as the sine takes phases, and as often again as the pattern of these moves on by a step.

    Parameters
    ----------
    omega
        Angular frequency, rad per frame.
    amplitude
        In quantiser steps.
    n
        Frames.

    Returns
    -------
    int
        At most ``n``.
    """
    phases, move = _pattern(omega, n)
    return min(n, int(phases * max(1.0, 2.0 * math.pi * move * amplitude)))


def _pattern(omega: float, n: int) -> tuple[int, float]:
    """Return how many phases repeat, and by how much of a period they move on within ``n`` frames."""
    x = omega / (2.0 * math.pi)
    rest, before, q = x, 0, 1
    while q < n and abs(q * x - round(q * x)) * n >= 1.0:
        fraction = rest - math.floor(rest)
        if fraction < 1e-12:
            break
        rest = 1.0 / fraction
        before, q = q, math.floor(rest) * q + before
    q = min(q, n)
    return q, abs(q * x - round(q * x)) * n / q


@lru_cache(maxsize=256)
def rounding_beat(omega: float, amplitude: float, n: int) -> float:
    """Return how far plain rounding makes the phase of a sine go to and fro from block to block, rad.

    Parameters
    ----------
    omega
        Rad per frame.
    amplitude
        In steps of the quantiser.
    n
        Frames of a block; faster beats are averaged out in it.

    Returns
    -------
    float
        The most of it.

    Notes
    -----
    The error of rounding a sine of amplitude a holds harmonics k of 2/π J_k(2πa) steps (N. M. Blachman, The
    intermodulation and distortion due to quantization of sinusoids, 1985), and they are largest, 0.675 k^(-1/3), where
    k is 2πa. Two of them, k - 1 and k + 1, fall on nearly the frequency of the sine where k of its periods are nearly a
    whole number of frames.
    """
    turn = 2.0 * math.pi * amplitude
    k = np.arange(2.0, turn + 2.0 * turn ** (1.0 / 3.0) + 2.0)
    cycles = k * omega / (2.0 * math.pi)
    k = k[np.abs(cycles - np.round(cycles)) * n < 1.0]
    if len(k) == 0:
        return 0.0
    largest = 0.675 * k ** (-1.0 / 3.0)
    below = np.maximum(turn**2 - k**2, 1.0)
    bessel = np.where(k < turn, np.minimum(largest, np.sqrt(2.0 / math.pi / np.sqrt(below))), largest)
    return float(bessel.max()) * 4.0 / math.pi / amplitude


def wrap_phase(phase: float) -> float:
    """Return the phase in (-π, π].

    Parameters
    ----------
    phase
        In rad.

    Returns
    -------
    float
        In rad.
    """
    return math.pi - (math.pi - phase) % (2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class FreeFit:
    """A sine fitted with its frequency free, and what it leaves.

    ``rms`` and ``peak`` are of the residual in full scale; ``frames`` counts the frames that took part.
    """

    sine: Sine
    rms: float
    peak: float
    frames: int


def fit_free(
    x: NDArray[np.float64], start: int, omega: float, valid: NDArray[np.bool_] | None = None
) -> FreeFit | None:
    """Fit a sine near ``omega`` to frames ``start`` …, frequency and a linear change of level free.

    Frames where ``valid`` is False are omitted. None where too few are left, or nothing like a sine is there.

    Parameters
    ----------
    x
        Frames, shape (n,).
    start
        Frame number of ``x[0]``.
    omega
        A frequency near the right one, rad per frame.
    valid
        Which frames take part, shape (n,); None: all.

    Returns
    -------
    FreeFit or None
        The sine, and what remains.
    """
    n = len(x)
    t = block_time(n)
    # A fit that runs away to less than half a period, of itself or of its beat with half the rate, has any amplitude.
    least = min(math.pi / n, min(omega, math.pi - omega) / 2.0)
    if valid is not None and not valid.all():
        x, t = x[valid], t[valid]
    if len(x) < 2 * MODEL_COLUMNS:
        return None
    scale = 2.0 / n
    for _ in range(6):
        angle = omega * t
        cos, sin = np.cos(angle), np.sin(angle)
        columns = np.array([cos, sin, np.ones(len(t)), scale * t * cos, scale * t * sin])
        solution = np.linalg.lstsq(columns.T, x, rcond=None)[0]
        z, slope_z = complex(solution[0], -solution[1]), complex(solution[3], -solution[4]) * scale
        if z == 0:
            return None
        step = (slope_z / z).imag
        if abs(step) * n < 1e-4:
            break
        omega += max(-math.pi / n, min(math.pi / n, step))
        if not 0.0 < omega < math.pi:
            return None
    if not least <= omega + step <= math.pi - least:
        return None
    residual = x - solution @ columns
    anchor, slope = start + (n - 1) / 2.0, (slope_z / z).real
    sine = Sine(omega + step, anchor, math.atan2(z.imag, z.real), abs(z), float(solution[2]), slope)
    rms = math.sqrt(float(residual @ residual) / (len(x) - MODEL_COLUMNS))
    return FreeFit(sine, rms, float(np.abs(residual).max()), len(x))
