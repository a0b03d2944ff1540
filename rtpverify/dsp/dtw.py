"""Dynamic time warping of two sequences of vectors, equal to dtw-python's default where that can do it.

The local distance d is Euclidean. A path goes from the first pair of vectors to the last, by a step in one sequence
(costs d of the pair it reaches) or in both (costs twice d): "symmetric2" of Sakoe and Chiba, IEEE Trans. ASSP 26
(1978), normalised by the sum of both lengths. So each row and each column that a path comes to costs the d of one pair.

dtw-python takes 24 to 41 bytes for each pair. Here rows are followed one after the other within a band, and the
distances of only some rows are held at a time. Where the band leaves out pairs, every path through them goes within the
band up to where it first leaves it, and from where it last comes back: both cost what was found from the start and from
the end. Between them it costs for each row and column at least the least distance that lies outside the band. Where
that is not less than the cheapest path within the band, the band is wide enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_RADIUS = 24
"""Half the width of the band that is tried first, in vectors."""
_WIDER = 4
"""How much wider the next one is."""
_GROUPS = (8, 1)
"""Rows that share a bound of their distances outside the band: what is quick to decide is tried first."""
_LONG_RADIUS = 192
"""The same for sequences that are too long for every pair: two seconds of audio at 48 kHz."""
_PIECES = 16
"""Pieces of a band that are followed at once."""
_EARLY_ROWS = 96
"""So many rows before its own a piece starts: the cheapest paths to all columns of the first band come together."""
_SAME = 1e-9
"""Costs that differ by less, relative to themselves, are the same."""
_MOVES_AT_ONCE = 1 << 16
_TABLE_PAIRS = 1 << 20
"""Up to so many pairs in a band, their distances are held."""
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
    """Return the band around the straight line from the first pair to the last; all pairs where it is that wide.

    Parameters
    ----------
    rows
        Vectors of one sequence.
    columns
        Vectors of the other.
    radius
        How far pairs may lie from the line, in vectors.

    Returns
    -------
    Band
        First and last column of each row.
    """
    if rows == 1 or radius >= columns - 1:
        return Band(np.full(rows, columns // 2, dtype=np.int64), columns // 2)
    centre = np.rint(np.linspace(0, columns - 1, rows)).astype(np.int64)
    return Band(centre, max(radius, int(np.diff(centre).max(initial=0))))


def distance(x: Vectors, y: Vectors) -> float:
    """Return the normalised distance of two sequences, shapes (n, k) and (m, k), neither empty.

    The path is free up to ``EXACT_PAIRS`` pairs, and kept near the straight line from start to end beyond.

    Parameters
    ----------
    x
        One sequence, shape (n, k).
    y
        The other, shape (m, k).

    Returns
    -------
    float
        The sum of distances over the cheapest path, by n + m.
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
    while True:
        band = straight_band(len(x), len(y), radius)
        found = _band_edges(x, y, band)
        if found.least_outside(None) >= found.cost or any(
            found.least_outside(_outside(x, y, band, group)) >= found.cost for group in _GROUPS
        ):
            return found.cost / lengths
        radius *= _WIDER


def align(x: Vectors, y: Vectors, band: Band | None = None) -> Alignment:
    """Return the cheapest path of two sequences, shapes (n, k) and (m, k), neither empty, within a band, if any.

    Parameters
    ----------
    x
        One sequence, shape (n, k).
    y
        The other, shape (m, k).
    band
        Pairs that the path may use; None: all.

    Returns
    -------
    Alignment
        The pairs of the path, and its distance.
    """
    if band is None and len(x) * len(y) <= _LIBRARY_PAIRS:
        from dtw import dtw

        found = dtw(x[:], y[:])
        return Alignment(float(found.normalizedDistance), np.asarray(found.index1), np.asarray(found.index2))
    return _band_path(x, y, band or straight_band(len(x), len(y), len(y)))


@dataclass(frozen=True, slots=True)
class _Outside:
    """What all rows up to one cost at least on one side of the band, and all columns, each shape (rows or columns,)."""

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Side:
    """Where paths may leave the band on one side, and where they may come back.

    To get from the start to the pair (i, ``exit_columns[i]``) costs ``exit_costs[i]``, infinite where no path leaves
    there; from (i, ``entry_columns[i]``) to the end ``entry_costs[i]``.
    """

    exit_columns: NDArray[np.int64]
    exit_costs: NDArray[np.float64]
    entry_columns: NDArray[np.int64]
    entry_costs: NDArray[np.float64]

    def least(self, outside: _Outside | None) -> float:
        """Return what any path costs at least that is outside the band on this side."""
        out, back = self.exit_costs.copy(), self.entry_costs.copy()
        if outside is not None:
            out -= outside.rows + outside.columns[self.exit_columns]
            # The pair at which a path comes back counts nothing here: its row or its column may.
            back[1:] += outside.rows[:-1]
            back += np.where(self.entry_columns > 0, outside.columns[self.entry_columns - 1], 0.0)
        return float((np.minimum.accumulate(out)[:-1] + back[1:]).min(initial=np.inf))


@dataclass(frozen=True, slots=True)
class _BandEdges:
    """The cost of the cheapest path within a band, and its sides: left of it (smaller columns) and right."""

    cost: float
    left: _Side
    right: _Side

    def least_outside(self, outside: tuple[_Outside, _Outside] | None) -> float:
        """Return what any path that leaves the band costs at least, by what lies left and right of it."""
        left, right = outside or (None, None)
        return min(self.left.least(left), self.right.least(right))


def _outside(x: NDArray[np.float64], y: NDArray[np.float64], band: Band, group: int) -> tuple[_Outside, _Outside]:
    """Return what the rows and columns cost at least left and right of a band.

    Some rows together have one bound: the distances of their mean, less how far they are from it. In single
    precision, less what that may be wrong by.
    """
    middle = x.mean(axis=0)
    x, y = x - middle, y - middle
    first = np.arange(0, len(x), group)
    mean = np.add.reduceat(x, first) / np.diff(first, append=len(x))[:, None]
    spread = np.zeros(len(mean), dtype=np.float32)
    if group > 1:
        off = np.sqrt(np.square(x - np.repeat(mean, group, axis=0)[: len(x)]).sum(axis=1))
        spread = np.maximum.reduceat(off, first).astype(np.float32)
    mean_power, y_power = np.square(mean).sum(axis=1), np.square(y).sum(axis=1)
    wrong = _SINGLE_ERROR * (mean_power.max() + y_power.max())
    # The square of a distance is one product of vectors that are longer by two.
    rows = np.column_stack([-2.0 * mean, mean_power, np.ones(len(mean))]).astype(np.float32)
    columns = np.column_stack([y, np.ones(len(y)), y_power - wrong]).astype(np.float32).T
    last = np.minimum(first + group, len(x)) - 1
    # Columns below the one stop and from the other on are outside for some row of the group.
    stop, start = band.centre[last] - band.radius, band.centre[first] + band.radius + 1
    row_least = np.full((2, len(mean)), np.inf, dtype=np.float32)
    column_least = np.full((2, len(y)), np.inf, dtype=np.float32)
    at_once = max(1, _PAIRS_AT_ONCE // len(y))
    column = np.arange(len(y))
    for begin in range(0, len(mean), at_once):
        part = slice(begin, begin + at_once)
        distances = rows[part] @ columns
        if group > 1:
            np.sqrt(np.maximum(distances, 0.0, out=distances), out=distances)
            distances -= spread[part, None]
        # Some columns are outside for all of these rows, the others for none or only some of them.
        clear, edge = np.clip([stop[part][0], stop[part][-1]], 0, len(y)).tolist()
        mixed = np.where(column[clear:edge] < stop[part, None], distances[:, clear:edge], np.float32(np.inf))
        _take_least(row_least[0, part], column_least[0], distances[:, :clear], 0)
        _take_least(row_least[0, part], column_least[0], mixed, clear)
        edge, clear = np.clip([start[part][0], start[part][-1]], 0, len(y)).tolist()
        mixed = np.where(column[edge:clear] >= start[part, None], distances[:, edge:clear], np.float32(np.inf))
        _take_least(row_least[1, part], column_least[1], mixed, edge)
        _take_least(row_least[1, part], column_least[1], distances[:, clear:], clear)
    if group == 1:
        row_least, column_least = (np.sqrt(np.maximum(squares, 0.0)) for squares in (row_least, column_least))
    left, right = (
        _Outside(_sums(np.repeat(of_rows, group)[: len(x)]), _sums(of_columns))
        for of_rows, of_columns in zip(row_least, column_least, strict=True)
    )
    return left, right


def _take_least(
    rows: NDArray[np.float32], columns: NDArray[np.float32], distances: NDArray[np.float32], first: int
) -> None:
    """Lower the least distances of some rows, and of the columns from ``first`` on, to those of their pairs."""
    if distances.size:
        np.minimum(rows, distances.min(axis=1), out=rows)
        part = columns[first : first + distances.shape[1]]
        np.minimum(part, distances.min(axis=0), out=part)


def _sums(least: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sums of least distances up to each; where there is no pair, nothing is known, and it counts 0."""
    return np.cumsum(np.where(np.isfinite(least), np.maximum(least, 0.0), 0.0), dtype=np.float64)


def _rows_at_once(band: Band) -> int:
    return max(8, min(_ROWS_AT_ONCE, _PAIRS_AT_ONCE // band.columns))


def _band_distances(x: Vectors, y: Vectors, band: Band, first: int, stop: int) -> NDArray[np.float64]:
    """Return the distances of some rows within the band, shape (rows, columns); 0 where no column is."""
    row = np.arange(first, stop)[:, None]
    column = band.centre[row] + np.arange(-band.radius, band.radius + 1)
    absent = (column < 0) | (column >= len(y))
    np.clip(column, 0, len(y) - 1, out=column)
    left = int(column[0, 0])
    row_vectors, column_vectors = x[first:stop], y[left : int(column[-1, -1]) + 1]
    column -= left
    row_power, column_power = np.square(row_vectors).sum(axis=1), np.square(column_vectors).sum(axis=1)
    scale = row_power[:, None] + column_power[column]
    squares = scale - 2.0 * np.take_along_axis(row_vectors @ column_vectors.T, column, axis=1)
    close = np.nonzero((squares < _CLOSE * scale) & ~absent)
    if len(close[0]):
        squares[close] = np.square(row_vectors[close[0]] - column_vectors[column[close]]).sum(axis=1)
    np.sqrt(squares, out=squares, where=~absent)
    squares[absent] = 0.0
    return np.asarray(squares)


def _costs(
    before: NDArray[np.float64],
    moves: NDArray[np.float64],
    sums: NDArray[np.float64],
    steps: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the costs of the cheapest paths to the pairs of some rows, and before them those of the row before.

    Within a row F[j] = min(F[j-1] + d[j], c[j]), with c the cost of coming from the row before; less the running sum
    of d that is a running minimum.

    Parameters
    ----------
    before
        Costs of the row before, shape (k, 1 + columns + largest step), of k ways that are followed at once. Infinite
        cost surrounds the band.
    moves
        What a step in rows and columns costs, and one in the rows, less ``sums``; shape (rows, k, 2, columns).
    sums
        The running sums of each row, shape (rows, k, columns).
    steps
        How far the band moves to each row, shape (rows, k).
    """
    width = moves.shape[3]
    costs = np.full((1 + len(moves), *before.shape), np.inf)
    costs[0] = before
    came = np.empty(moves.shape[1:])
    by_both, by_row = came[:, 0], came[:, 1]
    previous = np.lib.stride_tricks.sliding_window_view(costs, width, axis=2)
    rows = zip(previous, moves, sums, costs[1:, :, 1 : 1 + width], steps.tolist(), strict=False)
    for before_it, move, sum_, current, step in rows:
        if min(step) == max(step):
            np.add(before_it[:, step[0] : step[0] + 2], move, out=came)
        else:
            for way, own in enumerate(step):
                np.add(before_it[way, own : own + 2], move[way], out=came[way])
        np.minimum(by_both, by_row, out=by_row)
        np.minimum.accumulate(by_row, axis=1, out=by_row)
        np.add(by_row, sum_, out=current)
    return costs


def _before(band: Band, place: int) -> NDArray[np.float64]:
    """Return the costs before the first row, for a first pair at this place of it.

    A step in one sequence, and none in both, leads to that pair.
    """
    before = np.full(1 + band.columns + int(band.steps.max()), np.inf)
    before[1 + place] = 0.0
    return before


def _band_rows(x: Vectors, y: Vectors, band: Band) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the first of some rows, their distances and the costs of the cheapest paths to them.

    Shapes (rows, columns) and (1 + rows, 1 + columns + largest step): the first row of costs is the one before, and
    infinite cost surrounds the band. What is where no column is, is of no use.
    """
    steps, at_once = band.steps, _rows_at_once(band)
    before = _before(band, band.radius - int(band.centre[0]))
    for first in range(0, len(x), at_once):
        d = _band_distances(x, y, band, first, min(first + at_once, len(x)))
        sums = np.cumsum(d, axis=1)
        moves = np.stack([2.0 * d - sums, d - sums], axis=1)
        if first == 0:
            moves[0, 0] = np.inf
        costs = _costs(before[None], moves[:, None], sums[:, None], steps[first : first + len(d), None])[:, 0]
        before = costs[-1]
        yield first, d, costs


def _last_place(band: Band, columns: int) -> int:
    """Return where the last pair is in the last row of costs."""
    return band.radius + columns - int(band.centre[-1])


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows that were followed from several places at once, by so many ways.

    Attributes
    ----------
    first, last
        Costs at the first columns of each row, as many as the band moves at most, and at its last column. Shapes
        (ways, rows, columns) and (ways, rows).
    costs
        Costs of the rows that were asked for, each of shape (ways, columns).
    """

    first: NDArray[np.float64]
    last: NDArray[np.float64]
    costs: dict[int, NDArray[np.float64]]


class BothWays:
    """Costs of the cheapest paths from the start of a band to its pairs, and from their mirror images to its end.

    The mirror image of row i and column k of the band is row n - 1 - i and column -1 - k. What is where no column
    is, is of no use.

    To the end F[j] = min(F[j+1] + d[j+1], c[j]), with c the cost of continuing to the row after: the distance that
    counts is that of the pair after.

    Parameters
    ----------
    x
        Shape (n, features).
    y
        Shape (m, features).
    band
        The pairs that a path may go through.
    """

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64], band: Band) -> None:
        self._x, self._y, self._band = x, y, band
        self.most = max(1, int(band.steps.max()))
        self._steps = np.stack([band.steps, np.append(0, band.steps[:0:-1])])
        n, m, width = len(x), len(y), band.columns
        self._places = band.radius - int(band.centre[0]), band.radius + int(band.centre[-1]) - (m - 1)
        self._table = None
        if n * width <= _TABLE_PAIRS:
            starts = range(0, n, _rows_at_once(band))
            parts = [_band_distances(x, y, band, at, min(at + _rows_at_once(band), n)) for at in starts]
            self._table = np.concatenate(parts)

    def all(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return costs at the first columns, at the last one, and all those of the last row, of both ways.

        Returns
        -------
        first : NDArray[np.float64]
            Shape (2, rows, most).
        last : NDArray[np.float64]
            Shape (2, rows).
        of_last_row : NDArray[np.float64]
            Shape (2, columns).
        """
        found = self.in_pieces()
        if found is None:
            run = self.follow(np.zeros(1, dtype=np.int64), len(self._x), set())
            found = run.first, run.last, run.costs[len(self._x) - 1]
        return found

    def in_pieces(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the same from pieces that are followed at once; None where that cannot be.

        What a piece starts with is not known: it starts with no cost anywhere, some rows early. Where the cheapest
        paths to all columns have come together since, the costs after are those from the start, less a constant.

        Returns
        -------
        first : NDArray[np.float64]
            Shape (2, rows, most).
        last : NDArray[np.float64]
            Shape (2, rows).
        of_last_row : NDArray[np.float64]
            Shape (2, columns).
        """
        n, band = len(self._x), self._band
        hop = -(-(n - _EARLY_ROWS) // _PIECES)
        if hop < 2 * _EARLY_ROWS:
            return None
        rows = hop + _EARLY_ROWS
        starts = np.minimum(np.arange(_PIECES) * hop, n - rows)
        seams = starts[:-1] + rows - 1
        run = self.follow(starts, rows, set((seams - starts[1:]).tolist()))
        first, last = np.empty((2, n, self.most)), np.empty((2, n))
        end = np.empty((2, band.columns))
        for way in range(2):
            constant = 0.0
            for piece, start in enumerate(starts.tolist()):
                mine = 2 * piece + way
                of = slice(0, rows)
                if piece:
                    seam = int(seams[piece - 1])
                    known, free = run.costs[rows - 1][mine - 2] + constant, run.costs[seam - start][mine]
                    column = np.arange(band.columns) + self._left(way, seam)
                    there = (column >= 0) & (column < len(self._y))
                    more = known[there] - free[there]
                    if not np.isfinite(more).all() or np.ptp(more) > _SAME * np.abs(known[there]).max():
                        return None
                    constant, of = float(more[0]), slice(seam + 1 - start, rows)
                first[way, start + of.start : start + rows] = run.first[mine, of] + constant
                last[way, start + of.start : start + rows] = run.last[mine, of] + constant
            end[way] = run.costs[rows - 1][mine] + constant
        return first, last, end

    def follow(self, starts: NDArray[np.int64], rows: int, asked: set[int]) -> _Run:
        """Follow rows from several places at once: way 2 i from row ``starts[i]``, way 2 i + 1 in the mirror.

        What starts at row 0 starts at the first pair there, all else with no cost at any pair. The last row, and those
        that are asked for, are counted from the start of each way.

        Parameters
        ----------
        starts
            First row of each, shape (n,).
        rows
            How many rows are followed.
        asked
            Rows, counted from the start of each way, whose costs are wanted.

        Returns
        -------
        _Run
            What :meth:`all` returns, and the costs of the rows asked for.
        """
        width, ways = self._band.columns, 2 * len(starts)
        steps = self._steps[:, starts[:, None] + np.arange(rows)].transpose(2, 1, 0).reshape(rows, ways)
        before = np.stack([self._before(way % 2, int(start)) for way, start in enumerate(np.repeat(starts, 2))])
        first, last = np.empty((ways, rows, self.most)), np.empty((ways, rows))
        kept = {}
        at_once = max(8, min(_rows_at_once(self._band), _MOVES_AT_ONCE // (ways * width)))
        for begin in range(0, rows, at_once):
            stop = min(begin + at_once, rows)
            moves, sums = self._moves(starts, begin, stop)
            costs = _costs(before, moves, sums, steps[begin:stop])
            before = costs[-1]
            found = costs[1:, :, 1 : 1 + width]
            first[:, begin:stop] = found[:, :, : self.most].swapaxes(0, 1)
            last[:, begin:stop] = found[:, :, -1].T
            for row in asked.union([rows - 1]).intersection(range(begin, stop)):
                kept[row] = found[row - begin].copy()
        return _Run(first, last, kept)

    def _left(self, way: int, row: int) -> int:
        """Return the column at which a row starts, on its way."""
        band = self._band
        if way == 0:
            return int(band.centre[row]) - band.radius
        return len(self._y) - 1 - (int(band.centre[len(self._x) - 1 - row]) + band.radius)

    def _before(self, way: int, start: int) -> NDArray[np.float64]:
        """Return the costs before a first row."""
        if start == 0:
            return _before(self._band, self._places[way])
        before = np.full(1 + self._band.columns + int(self._band.steps.max()), np.inf)
        column = np.arange(self._band.columns) + self._left(way, start - 1)
        before[1 : 1 + len(column)][(column >= 0) & (column < len(self._y))] = 0.0
        return before

    def _distances(self, first: int, stop: int) -> NDArray[np.float64]:
        if self._table is not None:
            return self._table[first:stop]
        return _band_distances(self._x, self._y, self._band, first, stop)

    def _moves(
        self, starts: NDArray[np.int64], begin: int, stop: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return moves and sums of some rows of every way, as :func:`_costs` takes them."""
        n, width, rows, pieces = len(self._x), self._band.columns, stop - begin, len(starts)
        sums = np.empty((rows, pieces, 2, width))
        moves = np.empty((rows, pieces, 2, 2, width))
        padded = np.zeros((rows + 1, 1 + width + int(self._steps.max())))
        for piece, start in enumerate(starts.tolist()):
            first, last = start + begin, start + stop
            forth = self._distances(first, last)
            np.cumsum(forth, axis=1, out=sums[:, piece, 0])
            moves[:, piece, 0, 0], moves[:, piece, 0, 1] = 2.0 * forth, forth
            # In the mirror, the row before the first is needed too; there is none before all.
            back = self._distances(n - last, min(n - first + 1, n))[::-1, ::-1]
            padded[: len(padded) - len(back)] = 0.0
            padded[len(padded) - len(back) :, 1 : 1 + width] = back
            own = back[len(back) - rows :]
            np.subtract(np.cumsum(own, axis=1), own, out=sums[:, piece, 1])
            step = self._steps[1, first:last]
            if step.min() == step.max():
                behind = padded[:-1, int(step[0]) :]
                moves[:, piece, 1, 0], moves[:, piece, 1, 1] = 2.0 * behind[:, :width], behind[:, 1 : 1 + width]
            else:
                row, at = np.arange(rows)[:, None], step[:, None] + np.arange(width)
                moves[:, piece, 1, 0], moves[:, piece, 1, 1] = 2.0 * padded[row, at], padded[row, at + 1]
        moves -= sums[:, :, :, None]
        if begin == 0:
            moves[0, starts == 0, :, 0] = np.inf
        return moves.reshape(rows, 2 * pieces, 2, width), sums.reshape(rows, 2 * pieces, width)


def _band_edges(x: NDArray[np.float64], y: NDArray[np.float64], band: Band) -> _BandEdges:
    """Return the cost of the cheapest path within a band, and what it costs to get to its edges from both ends."""
    ways = BothWays(x, y, band)
    # In the mirror, rows are counted from the end, and right is left.
    (to_left, from_right), (to_right, from_left), (last, _) = ways.all()
    from_right, from_left, most = from_right[::-1].copy(), from_left[::-1].copy(), ways.most
    moves, comes = np.append(band.steps[1:], 0)[:, None], band.steps[:, None]
    left, right = band.centre - band.radius, band.centre + band.radius
    of = np.arange(most)
    # To the right out of the last column and back from the row before, which may end left of here; down out of the
    # first columns and back into the first one.
    to_left[(of >= moves) | (left[:, None] + of < 0)] = np.inf
    from_right[(of >= comes) | (right[:, None] - of >= len(y))] = np.inf
    to_right[right >= len(y) - 1] = np.inf
    from_left[left < 1] = np.inf
    clipped = [np.clip(edge, 0, len(y) - 1) for edge in (left, left + moves[:, 0] - 1, right, right - comes[:, 0] + 1)]
    return _BandEdges(
        float(last[_last_place(band, len(y)) - 1]),
        _Side(clipped[1], to_left.min(axis=1), clipped[0], from_left),
        _Side(clipped[2], to_right, clipped[3], from_right.min(axis=1)),
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
