"""Dynamic time warping of two sequences of vectors, equal to dtw-python's default where that can do it.

The local distance d is Euclidean. A path goes from the first pair of vectors to the last, by a step in one sequence
(costs d of the pair it reaches) or in both (costs twice d): "symmetric2" of Sakoe and Chiba, IEEE Trans. ASSP 26
(1978), normalised by the sum of both lengths. So each row and each column that a path comes to costs the d of one pair.

dtw-python takes 24 to 41 bytes for each pair. Here rows are followed one after the other within a band, and the
distances of only some rows are held at a time; where the band leaves out pairs, a lower bound of what any path through
them costs tells whether it must be wider.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_RADIUS = 48
"""Half the width of the band that is tried first, in vectors."""
_LONG_RADIUS = 192
"""The same for sequences that are too long for every pair: two seconds of audio at 48 kHz."""
_ROWS_AT_ONCE = 256
_PAIRS_AT_ONCE = 1 << 19
_SINGLE_ERROR = 4e-6
"""What single precision makes of the square of a distance, against those of the longest vectors."""
_CLOSE = 1e-5
"""Square of a distance, against the squares of the vectors, under which it is computed by differences: the product of
matrices would leave fewer than ten digits of it."""
EXACT_PAIRS = 150_000_000
"""Up to so many pairs the result is that of an unlimited band: over two minutes of audio against as much."""
_LIBRARY_PAIRS = 1_000_000
"""Up to so many pairs a path is sought by dtw-python itself."""


class Vectors(Protocol):
    """A sequence of vectors: an array of shape (n, k), or what computes slices of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Alignment:
    """The cheapest path through two sequences.

    Attributes
    ----------
    distance
        Cost of the path, divided by the sum of both lengths.
    rows, columns
        Indices of the pairs on the path, shape (n,), from (0, 0) to the last pair.
    """

    distance: float
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Band:
    """The pairs a path may use: of row i the columns within ``radius`` of ``centre[i]``, which never falls.

    It holds the first and the last pair.
    """

    centre: NDArray[np.int64]
    radius: int

    @property
    def columns(self) -> int:
        """Columns of each row, those that do not exist included."""
        return 2 * self.radius + 1

    @property
    def steps(self) -> NDArray[np.int64]:
        """How far the centre has moved since the row before, of each row."""
        return np.diff(self.centre, prepend=self.centre[:1])


def straight_band(rows: int, columns: int, radius: int) -> Band:
    """Return the band around the straight line from the first pair to the last; all pairs where it is that wide."""
    if rows == 1 or radius >= columns - 1:
        return Band(np.full(rows, columns // 2, dtype=np.int64), columns // 2)
    centre = np.rint(np.linspace(0, columns - 1, rows)).astype(np.int64)
    return Band(centre, max(radius, int(np.diff(centre).max(initial=0))))


def distance(x: Vectors, y: Vectors) -> float:
    """Return the normalised distance of two sequences, shapes (n, k) and (m, k), neither empty.

    The path is free up to ``EXACT_PAIRS`` pairs, and kept near the straight line from start to end beyond.
    """
    lengths = len(x) + len(y)
    if len(x) * len(y) > EXACT_PAIRS:
        band = straight_band(len(x), len(y), _LONG_RADIUS)
        for _, _, costs in _band_rows(x, y, band):
            last = costs[-1]
        return float(last[_last_place(band, len(y))]) / lengths
    x, y = x[:], y[:]
    if np.array_equal(x, y):
        return 0.0
    radius = _RADIUS
    found = _band_cost(x, y, straight_band(len(x), len(y), radius))
    if found.least_outside(None) < found.cost:
        least = _least_costs(x, y)
        while found.least_outside(least) < found.cost:
            radius *= 2
            found = _band_cost(x, y, straight_band(len(x), len(y), radius))
    return found.cost / lengths


def align(x: Vectors, y: Vectors, band: Band | None = None) -> Alignment:
    """Return the cheapest path of two sequences, shapes (n, k) and (m, k), neither empty, within a band, if any."""
    if band is None and len(x) * len(y) <= _LIBRARY_PAIRS:
        from dtw import dtw

        found = dtw(x[:], y[:])
        return Alignment(float(found.normalizedDistance), np.asarray(found.index1), np.asarray(found.index2))
    return _band_path(x, y, band or straight_band(len(x), len(y), len(y)))


@dataclass(frozen=True, slots=True)
class _Least:
    """What the rows after row i (index i), and the columns after a column, cost at least, whatever the path."""

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _BandCost:
    """The cheapest path within a band, and from where paths may leave it.

    To get to the pair of ``exit_rows`` and ``exit_columns`` within the band costs ``exit_costs`` or more.
    """

    cost: float
    exit_costs: NDArray[np.float64]
    exit_rows: NDArray[np.int64]
    exit_columns: NDArray[np.int64]

    def least_outside(self, least: _Least | None) -> float:
        """Return what any path that leaves the band costs at least."""
        total = self.exit_costs
        if least is not None:
            total = total + least.rows[self.exit_rows] + least.columns[self.exit_columns]
        return float(total.min(initial=np.inf))


def _least_costs(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Least:
    """Return the sums of the least distance of each row, and of each column, from any on to the end.

    In single precision, less what that may be wrong by.
    """
    middle = x.mean(axis=0)
    x, y = x - middle, y - middle
    x_power, y_power = np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    # The square of a distance is one product of vectors that are longer by two.
    left = np.column_stack([-2.0 * x, x_power, np.ones(len(x))]).astype(np.float32)
    right = np.column_stack([y, np.ones(len(y)), y_power]).astype(np.float32)
    row_least = np.empty(len(x))
    column_least = np.full(len(y), np.inf)
    at_once = max(1, _PAIRS_AT_ONCE // len(y))
    for first in range(0, len(x), at_once):
        squares = left[first : first + at_once] @ right.T
        row_least[first : first + at_once] = squares.min(axis=1)
        np.minimum(column_least, squares.min(axis=0), out=column_least)
    wrong = _SINGLE_ERROR * (x_power.max() + y_power.max())
    return _Least(_sums_after(row_least - wrong), _sums_after(column_least - wrong))


def _sums_after(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the roots of all elements after each, negative ones taken as 0."""
    roots = np.sqrt(np.maximum(squares, 0.0))
    return np.asarray(np.append(np.cumsum(roots[:0:-1])[::-1], 0.0))


def _band_distances(x: Vectors, y: Vectors, band: Band) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the first of some rows and their distances within the band, shape (rows, columns); 0 where no column is."""
    at_once = max(8, min(_ROWS_AT_ONCE, _PAIRS_AT_ONCE // band.columns))
    offsets = np.arange(-band.radius, band.radius + 1)
    for first in range(0, len(x), at_once):
        row = np.arange(first, min(first + at_once, len(x)))[:, None]
        column = band.centre[row] + offsets
        absent = (column < 0) | (column >= len(y))
        np.clip(column, 0, len(y) - 1, out=column)
        left = int(column[0, 0])
        row_vectors, column_vectors = x[first : first + len(row)], y[left : int(column[-1, -1]) + 1]
        column -= left
        row_power, column_power = np.square(row_vectors).sum(axis=1), np.square(column_vectors).sum(axis=1)
        scale = row_power[:, None] + column_power[column]
        squares = scale - 2.0 * np.take_along_axis(row_vectors @ column_vectors.T, column, axis=1)
        close = np.nonzero((squares < _CLOSE * scale) & ~absent)
        if len(close[0]):
            squares[close] = np.square(row_vectors[close[0]] - column_vectors[column[close]]).sum(axis=1)
        np.sqrt(squares, out=squares, where=~absent)
        squares[absent] = 0.0
        yield first, squares


def _band_rows(x: Vectors, y: Vectors, band: Band) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the first of some rows, their distances and the costs of the cheapest paths to them.

    Shapes (rows, columns) and (1 + rows, 1 + columns + largest step): the first row of costs is the one before, and
    infinite cost surrounds the band. What stands where no column is, is of no use.

    Within a row F[j] = min(F[j-1] + d[j], c[j]), with c the cost of coming from the row before; less the running sum
    of d that is a running minimum.
    """
    steps = band.steps
    width, margin = band.columns, int(steps.max())
    before = np.full(1 + width + margin, np.inf)
    # A step in one sequence, and none in both, leads from before the first pair to it.
    before[1 + band.radius - int(band.centre[0])] = 0.0
    for first, d in _band_distances(x, y, band):
        costs = np.full((1 + len(d), len(before)), np.inf)
        costs[0] = before
        sums = np.cumsum(d, axis=1)
        one, both = d - sums, 2.0 * d - sums
        if first == 0:
            both[0] = np.inf
        scratch = np.empty(width)
        for i, step in enumerate(steps[first : first + len(d)].tolist()):
            previous, current = costs[i], costs[i + 1, 1 : 1 + width]
            np.add(previous[1 + step : 1 + step + width], one[i], out=current)
            np.add(previous[step : step + width], both[i], out=scratch)
            np.minimum(current, scratch, out=current)
            np.minimum.accumulate(current, out=current)
            np.add(current, sums[i], out=current)
        before = costs[-1]
        yield first, d, costs


def _last_place(band: Band, columns: int) -> int:
    """Return where the last pair stands in the last row of costs."""
    return band.radius + columns - int(band.centre[-1])


def _band_cost(x: Vectors, y: Vectors, band: Band) -> _BandCost:
    """Return the cost of the cheapest path within a band, and what may be cheaper outside."""
    # To the right out of the last column, or down out of the first ones where the band moves on.
    moves = np.append(band.steps[1:], 0)
    right, left = band.centre + band.radius, band.centre - band.radius + moves - 1
    right_costs, left_costs = np.empty(len(x)), np.empty(len(x))
    for first, d, costs in _band_rows(x, y, band):
        rows = slice(first, first + len(d))
        inside = costs[1:, 1 : 1 + band.columns]
        right_costs[rows] = inside[:, -1]
        lowest = np.minimum.accumulate(inside[:, : max(1, int(moves[rows].max()))], axis=1)
        left_costs[rows] = lowest[np.arange(len(d)), np.maximum(moves[rows] - 1, 0)]
    rightward, downward = np.flatnonzero(right < len(y) - 1), np.flatnonzero((moves > 0) & (left >= 0))
    return _BandCost(
        float(costs[-1, _last_place(band, len(y))]),
        np.concatenate([right_costs[rightward], left_costs[downward]]),
        np.concatenate([rightward, downward]),
        np.concatenate([right[rightward], left[downward]]),
    )


def _band_path(x: Vectors, y: Vectors, band: Band) -> Alignment:
    """Return the cheapest path within a band; memory is a byte for each pair in it."""
    columns, steps = band.columns, band.steps
    moves = np.empty((len(x), columns), dtype=np.int8)
    for first, d, costs in _band_rows(x, y, band):
        row = np.arange(len(d))[:, None]
        column = steps[first : first + len(d), None] + np.arange(columns)
        came = np.stack([costs[row, column] + 2.0 * d, costs[row, column + 1] + d, costs[1:, :columns] + d])
        moves[first : first + len(d)] = came.argmin(axis=0)
    total = float(costs[-1, _last_place(band, len(y))])
    path_rows, path_columns = _trace(moves, band, len(x) - 1, len(y) - 1)
    return Alignment(total / (len(x) + len(y)), path_rows, path_columns)


def _trace(moves: NDArray[np.int8], band: Band, row: int, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of a path that ends at one, from the move that led to each (0 both, 1 the row, 2 the column)."""
    rows, columns = [row], [column]
    left = (band.centre - band.radius).tolist()
    while row or column:
        move = 2 if not row else moves[row, column - left[row]]
        row -= move != 2
        column -= move != 1
        rows.append(row)
        columns.append(column)
    return np.array(rows[::-1]), np.array(columns[::-1])
