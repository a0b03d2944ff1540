"""Stretches in which a recording, in phase with its reference, does not hold the reference's content.

Positions count in frames of the low rate. The residual of each channel, received less reference, is compared with the
powers of both: a codec leaves a small part of them, other content as much as both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.recording.course import Piece
from rtpverify.dsp.align import candidates, correlate
from rtpverify.dsp.decimate import BoundedSignal, interpolated
from rtpverify.events import Kind

STEP = 40
"""Frames whose sums are taken together: 5 ms at 8 kHz."""
_UNEXPLAINED = 0.65
"""Share of both powers that is left where the content is another."""
_WINDOWS = ((4, 1e-2), (16, 1e-3))
"""Steps of a window, and the least power in it against the mean: fainter content is checked over longer windows."""
_CHUNK_STEPS = 2048
_JOINED_STEPS = 4
_AROUND = 8 * STEP
_SHORTEST, _SHORTEST_OTHER = 96, 320
"""Frames of a dropout, and of other content, at least (12 and 40 ms at 8 kHz): codecs may make what is shorter."""
_LONG = 800
"""Noise is replaced by other noise of the same spectrum, but not for so long."""
_MUTED = 0.03
"""Power left in a dropout, against that of the reference."""
_FAINT = 1e-3
_SPECTRAL_BANDS = 16
_SPECTRAL_FLOOR = 1e-3
_OTHER_DB = 3.0
_EDGE = 0.5
_REPEAT_REACH = 16_384
_REPEAT_CORRELATION = 0.8


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of one channel (from 0) that does not hold the reference's content.

    ``back`` is how many frames earlier the received recording held the same, where it is a repeat.
    """

    kind: Kind
    channel: int
    start: int
    stop: int
    back: int | None = None


def find(
    reference: BoundedSignal,
    received: BoundedSignal,
    piece: Piece,
    start: int,
    stop: int,
    gain: float,
    power: NDArray[np.float64],
) -> list[Damage]:
    """Return the damaged stretches of a piece between two received frames.

    Parameters
    ----------
    reference, received
        Both recordings, with as many channels.
    piece
        How they lie to each other.
    start
        First received frame.
    stop
        The one after the last.
    gain
        Of the received recording over its reference.
    power
        Mean square of each channel received, shape (channels,).

    Returns
    -------
    list[Damage]
        In order of time.
    """
    steps = max(0, (stop - start) // STEP)
    bad, faint = np.zeros((2, steps, len(power)), dtype=bool)
    overlap = max(length for length, _ in _WINDOWS)
    for first in range(0, steps, _CHUNK_STEPS):
        begin, end = max(0, first - overlap), min(steps, first + _CHUNK_STEPS + overlap)
        heard, expected = _pair(reference, received, piece, start + begin * STEP, start + end * STEP, gain)
        departs, says_nothing = _departures(heard, expected, power)
        bad[begin:end] |= departs
        faint[begin:end] = says_nothing
    return [
        damage
        for channel in range(len(power))
        for run_start, run_stop in _runs(bad[:, channel], faint[:, channel])
        if (
            damage := _bounded(
                reference, received, piece, channel, start + run_start * STEP, start + run_stop * STEP, gain
            )
        )
    ]


def _pair(
    reference: BoundedSignal, received: BoundedSignal, piece: Piece, start: int, stop: int, gain: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what was received between two frames, and what the reference holds there, shapes (n, channels).

    High tones are weakened in both: codecs leave them out of one channel, or replace them.
    """
    frames = np.arange(start - 1, stop + 1, dtype=np.float64)
    heard = received.between(start - 1, stop + 1).astype(np.float64)
    expected = gain * interpolated(reference, frames - piece.lag_at(frames))
    return _weakened(heard), _weakened(expected)


def _weakened(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return frames without the first and last, 6 dB lower at a quarter of the rate and silent at the half."""
    return np.asarray(0.25 * frames[:-2] + 0.5 * frames[1:-1] + 0.25 * frames[2:])


def _departures(
    heard: NDArray[np.float64], expected: NDArray[np.float64], power: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each step and channel whether a window that holds it departs, and whether it is too faint to say.

    Both of shape (steps, channels).
    """
    channels = heard.shape[1]
    left = np.square(heard - expected).reshape(-1, STEP, channels).sum(axis=1)
    both = (np.square(heard) + np.square(expected)).reshape(-1, STEP, channels).sum(axis=1)
    bad = np.zeros(left.shape, dtype=bool)
    for length, least in _WINDOWS:
        if len(left) < length:
            continue
        left_sums, both_sums = (_moving_sum(values, length) for values in (left, both))
        departs = (both_sums > least * power * STEP * length) & (left_sums > _UNEXPLAINED * both_sums)
        for shift in range(length):
            bad[shift : shift + len(departs)] |= departs
    return bad, both < _FAINT * power * STEP


def _moving_sum(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, length, axis=0).sum(axis=-1))


def _runs(bad: NDArray[np.bool_], faint: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and stop of the runs of bad steps; with little or nothing but faint ones between, they are one."""
    edges = np.flatnonzero(np.diff(bad.astype(np.int8), prepend=0, append=0))
    runs: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if runs and np.count_nonzero(~faint[runs[-1][1] : start]) <= _JOINED_STEPS:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs


def _bounded(
    reference: BoundedSignal, received: BoundedSignal, piece: Piece, channel: int, start: int, stop: int, gain: float
) -> Damage | None:
    """Return the damage in a stretch, bounded so that most of it is inside and least of the rest; None if short."""
    first, last = max(start - _AROUND, 0), min(stop + _AROUND, len(received))
    heard, expected = (values[:, channel] for values in _pair(reference, received, piece, first, last, gain))
    excess = np.square(heard - expected) - _EDGE * (np.square(heard) + np.square(expected))
    sums = np.concatenate([[0.0], np.cumsum(excess)])
    gains = sums - np.minimum.accumulate(sums)
    end = int(gains.argmax())
    begin = int(sums[: end + 1].argmin())
    if end - begin < _SHORTEST:
        return None
    inside = slice(begin, end)
    start, stop = first + begin, first + end
    if float(np.square(heard[inside]).sum()) < _MUTED * float(np.square(expected[inside]).sum()):
        return Damage(Kind.DROPOUT, channel, start, stop)
    if end - begin < _SHORTEST_OTHER:
        return None
    back = _repeats(received, channel, start, stop)
    noise_like = end - begin < _LONG and _spectral_distance_db(heard[inside], expected[inside]) < _OTHER_DB
    if back is None and noise_like:
        return None
    return Damage(Kind.MISMATCH if back is None else Kind.REPEAT, channel, start, stop, back)


def _spectral_distance_db(heard: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return the RMS difference of the levels in bands of equal width: codecs may replace noise by noise like it."""
    levels = []
    for signal in (heard, expected):
        power = np.square(np.abs(np.fft.rfft(signal * np.hanning(len(signal)))))
        bands = np.array([band.sum() for band in np.array_split(power, _SPECTRAL_BANDS)])
        levels.append(bands)
    floor = _SPECTRAL_FLOOR * max(float(levels[0].max()), float(levels[1].max()))
    difference = 10.0 * np.log10((levels[0] + floor) / (levels[1] + floor))
    return float(np.sqrt(np.mean(np.square(difference))))


def _repeats(received: BoundedSignal, channel: int, start: int, stop: int) -> int | None:
    """Return how much earlier a stretch had been received before; None where it had not."""
    low = max(0, start - _REPEAT_REACH)
    if start - low < STEP:
        return None
    heard = received.between(low, stop)[:, channel]
    found = candidates(correlate(heard[start - low :].copy(), heard[: start - low + (stop - start) - STEP]), 1, 16)
    if not found or found[0].correlation < _REPEAT_CORRELATION:
        return None
    return start - low - found[0].offset
