"""Finding where in the recording a channel is: to the frame, then below it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.recording.model import Model, Noise, learn_noise, static_fit
from rtpverify.detect.recording.programme import Programme
from rtpverify.dsp.align import correlate, fit
from rtpverify.dsp.levels import amplitude_ratio

NEAR_SECONDS = 1.0
"""How far from where it is expected content is looked for first."""
LEAST_CORRELATION = 0.7
"""A place where a piece resembles the recording less than this is none."""
_PREFERENCE = 0.01
"""A place that is less likely must resemble the piece more by this: channels often resemble each other."""
_AS_GOOD = 4.0
"""A place is as good as another where it leaves not more than so many times as much energy."""
_LEAST_UNEXPLAINED, _EXPLAINED = 1e-9, 1e-3
"""Shares of the energy. Where more than the second is unexplained everywhere, what is added to it counts."""
_WORTH_FITTING = amplitude_ratio(-100.0)
"""Where less than this of the signal is left, it does not lie between frames."""
_LARGEST_RATE = 1e-3
_PIECES, _LEAST_PIECE_FRAMES = 10, 16
_ALIKE = 0.05
"""Pieces whose gains differ by less, relative, are of one kind."""
_UNKNOWN = Noise(0.0, 0.0)


def locate(
    programme: Programme,
    x: NDArray[np.float64],
    valid: NDArray[np.bool_],
    start: int,
    *,
    channel: int,
    likely: Iterable[Model],
    expected: int,
    step: float | None,
    everywhere: bool,
) -> Model | None:
    """Find where a piece of a channel lies in the recording.

    Parameters
    ----------
    programme
        The recording.
    x, valid, start
        The piece, which of its frames are there (shape (n,) each), and the number of its first frame.
    channel
        Channel of the recording that it is likeliest to be.
    likely
        What may hold; around them is looked first.
    expected
        Position in the recording that is likeliest for the first frame, where ``likely`` says nothing.
    step
        Of the quantiser, None where there is none.
    everywhere
        Whether to look through the whole recording when it is nowhere near.

    Returns
    -------
    Model or None
        None where the piece is silent or resembles nothing.
    """
    x = np.where(valid, x, 0.0)
    if not is_telling(x, step):
        return None
    reach = int(NEAR_SECONDS * programme.sample_rate_hz)
    places = dict.fromkeys([*(round(model.position(start)) for model in likely), expected])
    sources = sorted(range(programme.channels), key=lambda source: source != channel)
    centres = [(source, place) for place in places for source in sources]
    best: tuple[float, int, int] | None = None
    for source, centre in centres:
        found = _best_near(programme, x, source, centre, reach)
        if found is not None and (best is None or abs(found[0]) > abs(best[0]) + _PREFERENCE):
            best = found
        if best is not None and abs(best[0]) > 0.999:
            break
    if (best is None or abs(best[0]) < 0.99) and everywhere:
        for source, position in programme.places(x, expected):
            found = _best_near(programme, x, source, position, 2 * programme.decimation)
            if found is not None and (best is None or abs(found[0]) > abs(best[0]) + 1e-9):
                best = found
            if best is not None and abs(best[0]) > 0.999:
                break
    if best is None or abs(best[0]) < LEAST_CORRELATION:
        return None
    if best[1] != channel:
        own = _best_near(programme, x, channel, best[2], reach)
        if own is not None and abs(own[0]) > abs(best[0]) - _PREFERENCE:
            best = own
    model = Model(programme, best[1], best[2] - start, _UNKNOWN)
    span = _undamaged(model, x, valid, start)
    return refine(model, x[span], valid[span], start + span.start, step)


def _undamaged(model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int) -> slice:
    """Return the longest part of a piece that follows the recording alike, so that a fault in it spoils nothing."""
    count = min(_PIECES, max(1, len(x) // _LEAST_PIECE_FRAMES))
    edges = np.linspace(0, len(x), count + 1).astype(np.int64).tolist()
    gains, shares = [], []
    for first, last in pairwise(edges):
        part = slice(first, last)
        found = fit(x[part], model.content(start + first, start + last), valid[part])
        energy = float(x[part] @ x[part])
        gains.append(found.gain if energy > 0.0 else 0.0)
        shares.append(found.rms * np.sqrt(last - first) / np.sqrt(energy) if energy > 0.0 else np.inf)
    best = int(np.argmin(shares))
    alike = [
        share <= max(4.0 * shares[best], 1e-3) and abs(gain / gains[best] - 1.0) < _ALIKE
        for gain, share in zip(gains, shares, strict=True)
    ]
    first, last = best, best + 1
    while first > 0 and alike[first - 1]:
        first -= 1
    while last < len(alike) and alike[last]:
        last += 1
    return slice(edges[first], edges[last])


def is_telling(x: NDArray[np.float64], step: float | None) -> bool:
    """Return whether there is enough in a piece to know it by: more than silence and a few wrong frames.

    Parameters
    ----------
    x
        The piece, shape (n,).
    step
        Of the quantiser, None where there is none.

    Returns
    -------
    bool
        Whether there is.
    """
    return int(np.count_nonzero(np.abs(np.diff(x)) > (step or 1e-9))) > max(32, len(x) // 50)


def _best_near(
    programme: Programme, x: NDArray[np.float64], source: int, centre: int, reach: int
) -> tuple[float, int, int] | None:
    """Return correlation, channel and position of the best place within ``reach`` of a position.

    Of places that leave about as little of the piece unexplained, as those of a steady tone do, it is the nearest that
    is upright, or just where it is expected: half a period on, a tone looks inverted.
    """
    around = programme.read(source, centre - reach, centre + reach + len(x))
    match = correlate(np.diff(x), np.diff(around))
    unexplained = 1.0 - np.square(match)
    if not np.any(match):
        return None
    least = float(unexplained.min())
    more = (_AS_GOOD - 1.0) * min(least, _EXPLAINED) + _LEAST_UNEXPLAINED
    good = np.flatnonzero(unexplained <= least + more)
    first = np.flatnonzero(np.diff(good, prepend=-2) > 1)
    of_run = np.repeat(np.minimum.reduceat(unexplained[good], first), np.diff(first, append=len(good)))
    peaks = good[unexplained[good] == of_run]
    off = np.abs(peaks - reach)
    offset = int(peaks[np.where((match[peaks] < 0.0) & (off > 0), off + len(match), off).argmin()])
    return float(match[offset]), source, centre - reach + offset


def refine(
    model: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int, step: float | None
) -> Model | None:
    """Return a model, known to the frame, with gain, offset, place between the frames, clock and noise of a piece.

    Parameters
    ----------
    model
        Known to the frame.
    x
        The piece, shape (n,).
    valid
        Which of its frames are there, shape (n,).
    start
        Number of its first frame.
    step
        Of the quantiser, None where there is none.

    Returns
    -------
    Model or None
        None where the piece is not what the recording has there.
    """
    static = static_fit(model, x, valid, start, step)
    if static is None:
        return None
    rms = float(np.sqrt(np.mean(np.square(x[valid]))))
    if static.noise.sigma <= max(_WORTH_FITTING * rms, 0.9 * (step or 0.0)):
        return static
    moving = _between(static, x, valid, start)
    if moving is None:
        return static
    expected = moving.expected(start, start + len(x))
    moving = replace(moving, noise=learn_noise((x - expected)[valid], expected[valid], step))
    return moving if moving.noise.sigma < 0.8 * static.noise.sigma else static


def _between(static: Model, x: NDArray[np.float64], valid: NDArray[np.bool_], start: int) -> Model | None:
    """Fit place and clock below the frame: first by correlation of short pieces, then by slopes."""
    if len(x) < _PIECES * 4 * _LEAST_PIECE_FRAMES:
        return None  # a delay of so few frames is what noise makes of it
    edges = np.linspace(0, len(x), _PIECES + 1).astype(np.int64)
    at, delay, weight = [], [], []
    place = start + static.shift
    for first, last in pairwise(edges.tolist()):
        content = static.programme.read(static.source, place + first - 8, place + last + 8)
        peaks = correlate(np.where(valid, x, 0.0)[first:last], content)
        top = int(np.abs(peaks).argmax())
        if 0 < top < len(peaks) - 1 and abs(peaks[top]) > LEAST_CORRELATION:
            left, middle, right = np.abs(peaks[top - 1 : top + 2])
            bend = left - 2 * middle + right
            at.append((first + last) / 2)
            delay.append(top - 8 + (0.5 * (left - right) / bend if bend else 0.0))
            weight.append(float(np.sqrt(np.sum(np.square(x[first:last])))))
    if len(at) < 3:
        return None
    rate, fraction = np.polyfit(np.array(at) - len(x) / 2, delay, 1, w=weight)
    model = replace(
        static,
        rate=float(np.clip(rate, -_LARGEST_RATE, _LARGEST_RATE)),
        fraction=float(fraction),
        anchor=start + (len(x) - 1) / 2,
    )
    for _ in range(6):
        between = model.programme.between(model.source, model.positions(start, start + len(x)))
        found = fit(x, between.value, valid, between.slope, with_rate=True)
        model = replace(
            model,
            gain=found.gain,
            dc=found.dc,
            fraction=model.fraction + float(np.clip(found.delay, -0.5, 0.5)),
            rate=float(np.clip(model.rate + found.rate, -_LARGEST_RATE, _LARGEST_RATE)),
        )
        if abs(found.delay) < 1e-6 and abs(found.rate) * len(x) < 1e-6:
            break
    whole = round(model.fraction)
    return replace(model, shift=model.shift + whole, fraction=model.fraction - whole)
