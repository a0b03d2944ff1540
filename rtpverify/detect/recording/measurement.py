"""What is measured of one channel against the recording, second by second."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_BINS = 600
"""Residuals that are kept of one channel; beyond, two neighbours become one."""
_SUMS = 7


@dataclass(frozen=True, slots=True)
class Window:
    """Figures of one stretch of a channel, all of it on one model.

    ``gain`` and ``dc`` are those of the channel against the recording, with a standard deviation of ``gain_error`` and
    ``dc_error``; ``level`` and ``residual`` are RMS.
    """

    start: int
    stop: int
    frames: int
    gain: float | None
    gain_error: float
    dc: float
    dc_error: float
    level: float
    residual: float


@dataclass(slots=True)
class Measurement:
    """Sums over the frames of one channel that were held against the recording.

    Attributes
    ----------
    window_frames
        The length over which gain, offset and residual are judged.
    compared, equal
        Frames held against the recording, and those that are what it holds, bit by bit.
    first_different
        First frame that is not.
    """

    window_frames: int
    compared: int = 0
    equal: int = 0
    first_different: int | None = None
    squares: float = 0.0
    residual_squares: float = 0.0
    total: float = 0.0
    measured: int = 0
    bin_frames: int = 0
    bins: dict[int, tuple[float, int]] = field(default_factory=dict)
    """Energy of the residual and frames of each bin."""
    different: dict[int, int] = field(default_factory=dict)
    """Frames of each bin that are not what the recording holds."""
    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_SUMS))
    _window_start: int = -1

    def __post_init__(self) -> None:
        self.bin_frames = self.window_frames

    def compare(
        self, start: int, x: NDArray[np.float64], content: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> None:
        """Count frames, and those that are the recording's bit by bit."""
        different = (x != content) & valid
        count = int(np.count_nonzero(valid))
        unequal = int(np.count_nonzero(different))
        self.compared += count
        self.equal += count - unequal
        if unequal:
            at = start + np.flatnonzero(different)
            self.first_different = int(at[0]) if self.first_different is None else self.first_different
            for number, frames in zip(*np.unique(at // self.bin_frames, return_counts=True), strict=True):
                self.different[int(number)] = self.different.get(int(number), 0) + int(frames)

    def add(
        self,
        start: int,
        x: NDArray[np.float64],
        content: NDArray[np.float64],
        residual: NDArray[np.float64],
        valid: NDArray[np.bool_],
    ) -> list[Window]:
        """Take frames that follow from the recording; return the windows that they complete."""
        windows = []
        at, n = 0, self.window_frames
        while at < len(x):
            count = min(len(x) - at, n - (start + at) % n)
            part = slice(at, at + count)
            self._add(start + at, x[part], content[part], residual[part], valid[part])
            at += count
            if (start + at) % n == 0 and self._sums[0] >= n / 4:
                windows.append(self._window(start + at))
            if (start + at) % n == 0:
                self.begin(start + at)
        return windows

    def begin(self, frame: int) -> None:
        """Begin a new window: what comes follows another model."""
        self._sums[:] = 0.0
        self._window_start = frame

    def _add(
        self,
        start: int,
        x: NDArray[np.float64],
        content: NDArray[np.float64],
        residual: NDArray[np.float64],
        valid: NDArray[np.bool_],
    ) -> None:
        if not valid.all():
            x, content, residual = x[valid], content[valid], residual[valid]
        if self._window_start < 0:
            self._window_start = start
        energy = _dot(residual, residual)
        sums = np.array([len(x), x.sum(), content.sum(), _dot(x, x), _dot(content, content), _dot(x, content), energy])
        self._sums += sums
        self.measured += len(x)
        self.squares += float(sums[3])
        self.total += float(sums[1])
        self.residual_squares += energy
        known, frames = self.bins.get(start // self.bin_frames, (0.0, 0))
        self.bins[start // self.bin_frames] = (known + energy, frames + len(x))
        if len(self.bins) > MOST_BINS:
            self._halve()

    def _halve(self) -> None:
        """Let each bin be twice as long."""
        halved: dict[int, tuple[float, int]] = {}
        for at, (energy, frames) in self.bins.items():
            known = halved.get(at // 2, (0.0, 0))
            halved[at // 2] = (known[0] + energy, known[1] + frames)
        different: dict[int, int] = {}
        for at, frames in self.different.items():
            different[at // 2] = different.get(at // 2, 0) + frames
        self.bins, self.different, self.bin_frames = halved, different, 2 * self.bin_frames

    def _window(self, stop: int) -> Window:
        n, x, c, xx, cc, xc, energy = self._sums.tolist()
        spread = cc - c * c / n
        residual = (energy / n) ** 0.5
        gain = (xc - x * c / n) / spread if spread > 1e-9 * n * max(cc / n, 1e-12) else None
        left = max(xx - x * x / n - (gain or 0.0) ** 2 * spread, 0.0)
        return Window(
            start=self._window_start,
            stop=stop,
            frames=int(n),
            gain=gain,
            gain_error=(left / n / spread) ** 0.5 if gain is not None else 0.0,
            dc=(x - (gain if gain is not None else 1.0) * c) / n,
            dc_error=(left / n / n) ** 0.5,
            level=(xx / n) ** 0.5,
            residual=residual,
        )


def _dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the sum of products; without BLAS, whose threads cost more than they bring on short stretches."""
    return float(np.einsum("i,i->", one, other))
