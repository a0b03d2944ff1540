"""What is measured of one channel against the recording, second by second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_BINS = 600
"""Residuals that are kept of one channel; beyond, two neighbours become one."""
LEAST_WINDOW_FRAMES = 64
"""Fewer frames distinguish no residual from a few wrong frames."""
Sums = tuple[float, float, float, float, float, float, float]
"""Of some frames: their number; x and content; the products x x, content content, x content; energy of the residual."""


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
    """Sums over the frames of one channel that were compared with the recording.

    Attributes
    ----------
    window_frames
        The length over which gain, offset and residual are checked.
    compared, equal
        Frames compared with the recording, and those that are what it holds, bit by bit.
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
    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(7))
    _window_start: int = -1

    def __post_init__(self) -> None:
        self.bin_frames = self.window_frames

    def compare(
        self, start: int, x: NDArray[np.float64], content: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> None:
        """Count frames, and those that are the recording's bit by bit.

        Parameters
        ----------
        start
            Number of the first frame.
        x
            What arrived, shape (n,).
        content
            What the recording has there, shape (n,).
        valid
            Which frames are there, shape (n,).
        """
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
        """Take frames that follow from the recording; return the windows that they complete.

        Parameters
        ----------
        start
            Number of the first frame.
        x
            What arrived, shape (n,).
        content
            What the recording has there, shape (n,).
        residual
            What remains without it, shape (n,).
        valid
            Which frames are there, shape (n,).

        Returns
        -------
        list[Window]
            In order of time.
        """

        def sums(part: slice) -> Sums:
            return _sums(x[part], content[part], residual[part], valid[part])

        return self._take(start, len(x), sums)

    def _take(self, start: int, frames: int, sums: Callable[[slice], Sums]) -> list[Window]:
        """Take the sums of so many frames, which are asked for in pieces that end where windows do."""
        windows = []
        at, n = 0, self.window_frames
        while at < frames:
            count = min(frames - at, n - (start + at) % n)
            self._add(start + at, sums(slice(at, at + count)))
            at += count
            if (start + at) % n == 0 and self._sums[0] >= n / 4:
                windows.append(self._window(start + at))
            if (start + at) % n == 0:
                self.begin(start + at)
        return windows

    def add_equal(self, start: int, x: NDArray[np.float64]) -> list[Window]:
        """Take frames that are the recording's bit by bit; return the windows that they complete.

        Parameters
        ----------
        start
            Number of the first frame.
        x
            What arrived, shape (n,).

        Returns
        -------
        list[Window]
            In order of time.
        """
        self.compared += len(x)
        self.equal += len(x)
        return self._take(start, len(x), lambda part: _sums_of_equal(x[part]))

    def finish(self, stop: int) -> list[Window]:
        """Return the window that ends with the stream, before a frame, where enough of it is there.

        Parameters
        ----------
        stop
            The frame after the last.

        Returns
        -------
        list[Window]
            At most one.
        """
        window = [self._window(stop)] if self._sums[0] >= LEAST_WINDOW_FRAMES else []
        self.begin(stop)
        return window

    def begin(self, frame: int) -> None:
        """Begin a new window: what comes follows another model.

        Parameters
        ----------
        frame
            Its first frame.
        """
        self._sums[:] = 0.0
        self._window_start = frame

    def _add(self, start: int, sums: Sums) -> None:
        if self._window_start < 0:
            self._window_start = start
        frames, total, _, squares, _, _, energy = sums
        self._sums += sums
        self.measured += int(frames)
        self.squares += squares
        self.total += total
        self.residual_squares += energy
        known, counted = self.bins.get(start // self.bin_frames, (0.0, 0))
        self.bins[start // self.bin_frames] = (known + energy, counted + int(frames))
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


def _sums(
    x: NDArray[np.float64], content: NDArray[np.float64], residual: NDArray[np.float64], valid: NDArray[np.bool_]
) -> Sums:
    if not valid.all():
        x, content, residual = x[valid], content[valid], residual[valid]
    products = (_dot(x, x), _dot(content, content), _dot(x, content), _dot(residual, residual))
    return (len(x), float(x.sum()), float(content.sum()), *products)


def _sums_of_equal(x: NDArray[np.float64]) -> Sums:
    total, square = float(x.sum()), _dot(x, x)
    return (len(x), total, total, square, square, square, 0.0)


def _dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the sum of products; without BLAS, whose threads cost more than they bring on short stretches."""
    return float(np.einsum("i,i->", one, other))
