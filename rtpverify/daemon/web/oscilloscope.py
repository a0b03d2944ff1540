"""A look at one channel while it is verified: frames, the reference laid over them, what it leaves, the spectrum.

:func:`take` copies frames out of the rings and belongs on the thread that verifies; :func:`measure` works on the copy
alone and may run in any other. Times count from the trigger: a rising zero crossing of the reference, or the frame
asked for, so that a picture drawn again does not move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.sine import Sine, fit_free
from rtpverify.engine.stream import Stream

MOST_COLUMNS = 1200
"""Longer stretches come as the least and greatest value of each of so many columns."""
LONGEST_SECONDS = 1.0
SPECTRUM_FRAMES = 16384
SPECTRUM_POINTS = 480
LOWEST_HZ = 20.0
FIT_SECONDS = 0.1
"""How much before a frame asked for the reference is fitted to."""
BEFORE = 0.3
"""Part of the span that is shown before a frame asked for."""

_WINDOW = (
    0.27105140069342,
    -0.43329793923448,
    0.21812299954311,
    -0.06592544638803,
    0.01081174209837,
    -0.00077658482522,
    0.00001388721735,
)
"""Cosine terms of the minimum seven-term Blackman-Harris window: side lobes 180 dB down (Albrecht, ICASSP 2001)."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Frames of one channel, copied.

    Attributes
    ----------
    channel
        Counted from 1.
    start_frame, shift_frames
        First frame as frames are kept, and how far the media timeline lies from there.
    samples, valid
        Full scale ±1.0, and which of them arrived, shape (n,).
    first
        Index of the first frame to be shown; those before it serve the spectrum and the fit.
    frame
        The frame asked for, as frames are kept; None where the latest were.
    """

    channel: int
    sample_rate_hz: int
    bits: int | None
    start_frame: int
    shift_frames: int
    samples: NDArray[np.float64]
    valid: NDArray[np.bool_]
    first: int
    frame: int | None
    sine: Sine | None
    reference_hz: float | None
    threshold: float | None
    content: NDArray[np.float64] | None
    """What the recording gives for these frames, where they are compared with one."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is seen of one channel; arrays run over frames, or over columns of ``frames_per_column`` frames each.

    Attributes
    ----------
    start_frame, frames
        What is shown, on the media timeline.
    start_seconds
        Time of the first frame shown, counted from the trigger.
    low, high
        Least and greatest sample, NaN where no frame arrived; the same where a column is one frame.
    residual_low, residual_high
        The same of what the reference leaves; None without a reference.
    amplitude, phase_rad, dc, omega
        A tone as reference: ``amplitude * cos(omega * sample_rate * seconds + phase_rad) + dc``; None without one.
    content_low, content_high
        A recording as reference: its least and greatest value, as it is expected; None without one.
    threshold
        Detection threshold: no frame of a clean signal deviates by this much.
    step
        Smallest step of the encoding; None where it has no linear quantiser.
    spectrum_hz, spectrum_dbfs
        Greatest value around each of some frequencies, a full-scale sine at 0 dBFS; empty where too little arrived.
    resolution_hz
        Distance of two lines of the spectrum.
    """

    channel: int
    sample_rate_hz: int
    start_frame: int
    frames: int
    frames_per_column: int
    start_seconds: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    residual_low: NDArray[np.float64] | None
    residual_high: NDArray[np.float64] | None
    amplitude: float | None
    phase_rad: float | None
    dc: float | None
    omega: float | None
    content_low: NDArray[np.float64] | None
    content_high: NDArray[np.float64] | None
    reference_hz: float | None
    threshold: float | None
    step: float | None
    spectrum_hz: NDArray[np.float64]
    spectrum_dbfs: NDArray[np.float64]
    resolution_hz: float


def take(stream: Stream, channel: int, span_seconds: float, frame: int | None = None) -> Taken | None:
    """Copy the latest frames of a channel, or those around a frame of the media timeline.

    Parameters
    ----------
    stream
        The stream.
    channel
        From 1.
    span_seconds
        How much is to be seen, at most ``LONGEST_SECONDS``.
    frame
        Frame of the media timeline; None: the latest.

    Returns
    -------
    Taken or None
        None where no frames of the stream are kept: it has no reference or its encoding is not known.
    """
    track, encoding = stream.track, stream.encoding
    if track is None or encoding is None:
        return None
    analysis, row, rate_hz = track.analysis, track.row, encoding.sample_rate_hz
    span = max(1, round(min(span_seconds, LONGEST_SECONDS) * rate_hz))
    present = analysis.detector.followed(row, channel - 1)
    if frame is None:
        kept = None
        stop = int(analysis.timeline.consumed_block[row]) * analysis.form.block_frames
        period = 2.0 * math.pi / present.sine.omega if present.sine else 0.0
        first = max(SPECTRUM_FRAMES - span, math.ceil(min(period, span)))
    else:
        kept = stream.log.media_time.kept(frame)
        before = round(BEFORE * span)
        stop = kept - before + span
        first = max(round(FIT_SECONDS * rate_hz) - before, 0)
    start = stop - span - first
    samples, valid = analysis.timeline.read(row, channel - 1, start, stop)
    content = None if present.content is None else present.content(start, stop, kept)
    return Taken(
        channel=channel,
        sample_rate_hz=rate_hz,
        bits=encoding.bits,
        start_frame=start,
        shift_frames=stream.log.media_time.shift(start + first),
        samples=samples,
        valid=valid,
        first=first,
        frame=kept,
        sine=present.sine,
        reference_hz=present.reference_hz,
        threshold=present.threshold,
        content=content,
    )


def measure(taken: Taken) -> Scope:
    """Return what is seen of the frames that were taken.

    Parameters
    ----------
    taken
        The frames.

    Returns
    -------
    Scope
        Its curve, spectrum and figures, as the page draws them.
    """
    rate_hz = taken.sample_rate_hz
    sine = taken.sine if taken.frame is None else _sine_before(taken)
    first, trigger = taken.first, float(taken.start_frame + taken.first)
    if taken.frame is not None:
        trigger = float(taken.frame)
    elif sine is not None:
        trigger = _rising_crossing(sine, trigger)
        # The trigger is the first frame shown or one of the period before it.
        first = max(0, math.ceil(trigger) - taken.start_frame)
    shown = slice(first, first + len(taken.samples) - taken.first)
    start = taken.start_frame + first
    x = np.where(taken.valid, taken.samples, np.nan)[shown]
    content = None if taken.content is None else taken.content[shown]
    expected = content if sine is None else sine.at(start, start + len(x))
    residual = None if expected is None else x - expected
    columns = -(-len(x) // MOST_COLUMNS)
    low, high = _columns(x, columns)
    residual_low, residual_high = (None, None) if residual is None else _columns(residual, columns)
    content_low, content_high = (None, None) if content is None else _columns(content, columns)
    hz, dbfs, resolution_hz = _spectrum(taken)
    return Scope(
        channel=taken.channel,
        sample_rate_hz=rate_hz,
        start_frame=start + taken.shift_frames,
        frames=len(x),
        frames_per_column=columns,
        start_seconds=(start - trigger) / rate_hz,
        low=low,
        high=high,
        residual_low=residual_low,
        residual_high=residual_high,
        amplitude=sine.amplitude_at(trigger) if sine else None,
        phase_rad=math.remainder(sine.phase_at(trigger), 2.0 * math.pi) if sine else None,
        dc=sine.dc if sine else None,
        omega=sine.omega if sine else None,
        content_low=content_low,
        content_high=content_high,
        reference_hz=taken.reference_hz,
        threshold=None if expected is None else taken.threshold,
        step=None if taken.bits is None else 2.0 ** (1 - taken.bits),
        spectrum_hz=hz,
        spectrum_dbfs=dbfs,
        resolution_hz=resolution_hz,
    )


def _sine_before(taken: Taken) -> Sine | None:
    """Return the sine that continued up to the frame asked for; that of now where too little is left of it."""
    if taken.frame is None or taken.reference_hz is None:
        return taken.sine
    omega = 2.0 * math.pi * taken.reference_hz / taken.sample_rate_hz
    before = slice(0, max(0, taken.frame - taken.start_frame))
    x, valid = taken.samples[before], taken.valid[before]
    if np.count_nonzero(valid) < 4.0 * math.pi / omega:
        return taken.sine
    fit = fit_free(x, taken.start_frame, omega, valid)
    return taken.sine if fit is None else fit.sine


def _rising_crossing(sine: Sine, frame: float) -> float:
    """Return the last moment up to ``frame`` at which a sine rises through its middle, in frames."""
    turns = (sine.phase_at(frame) + math.pi / 2.0) / (2.0 * math.pi)
    return frame - (turns - math.floor(turns)) * 2.0 * math.pi / sine.omega


def _columns(x: NDArray[np.float64], frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and greatest value of each so many frames; NaN where there is none."""
    if frames == 1:
        return x, x
    filled = np.full(-(-len(x) // frames) * frames, np.nan)
    filled[: len(x)] = x
    table = filled.reshape(-1, frames)
    empty = np.isnan(table).all(axis=1)
    low = np.where(np.isnan(table), np.inf, table).min(axis=1)
    high = np.where(np.isnan(table), -np.inf, table).max(axis=1)
    low[empty] = high[empty] = np.nan
    return low, high


def _spectrum(taken: Taken) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return frequencies, the greatest level around each, and the distance of two lines."""
    n = min(SPECTRUM_FRAMES, len(taken.samples))
    resolution_hz = taken.sample_rate_hz / n
    x, valid = taken.samples[-n:], taken.valid[-n:]
    if np.count_nonzero(valid) < n // 2:
        return np.zeros(0), np.zeros(0), resolution_hz
    if not valid.all():
        start = taken.start_frame + len(taken.samples) - n
        x = np.where(valid, x, 0.0 if taken.sine is None else taken.sine.at(start, start + n))
    turns = 2.0 * math.pi * np.arange(n) / n
    window = np.sum([weight * np.cos(order * turns) for order, weight in enumerate(_WINDOW)], axis=0)
    amplitude = 2.0 * np.abs(np.fft.rfft(x * window)) / window.sum()
    edges = np.geomspace(LOWEST_HZ, taken.sample_rate_hz / 2.0, SPECTRUM_POINTS + 1)
    lines = np.unique(np.clip(np.round(edges / resolution_hz).astype(np.int64), 1, len(amplitude) - 1))
    greatest = np.maximum.reduceat(amplitude, lines)
    hz = np.append(np.sqrt(lines[:-1] * (lines[1:] - 1.0)), lines[-1]) * resolution_hz
    # A full-scale sine has amplitude 1: its level is 0 dBFS.
    return hz, 20.0 * np.log10(np.maximum(greatest, 1e-12)), resolution_hz
