"""What PNG and HTML share, so that both show the same: panels, their axes and units, colours and ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.commands.inspect.measure import PICTURE_COLUMNS, Grid, Inspection, View
from rtpverify.dsp.histogram import Histogram
from rtpverify.dsp.levels import decibels
from rtpverify.dsp.spectrum import FLOOR_DB
from rtpverify.result.event_wording import number, seconds

HISTOGRAM_BARS = 256

_COLOURS = ("#07060f", "#1d1147", "#51127c", "#8b2981", "#c73d73", "#f1605d", "#fd9a6a", "#fed799", "#fcfdd5")
"""From nothing to loudest; even steps of lightness, readable in grey and by colour-blind eyes."""
_LEAST_RANGE_DB, _MOST_RANGE_DB = 60.0, 140.0


@dataclass(frozen=True, slots=True)
class Axes:
    """How a view over time is drawn.

    Attributes
    ----------
    title, row_label, unit
        Of the picture, its vertical axis and its colours.
    is_log
        Whether the vertical axis is logarithmic.
    """

    title: str
    row_label: str
    unit: str
    is_log: bool = False


AXES = {
    View.SPECTROGRAM: Axes("Spectrogram", "Frequency, kHz", "dBFS"),
    View.CONSTANT_Q: Axes("Constant-Q spectrogram", "Frequency, Hz", "dBFS", is_log=True),
    View.MEL: Axes("Mel spectrogram", "Frequency of the band, Hz", "dB", is_log=True),
    View.MFCC: Axes("MFCC, all but the first", "Coefficient", "dB"),
}


@dataclass(frozen=True, slots=True)
class Image:
    """A grid as it is drawn.

    Attributes
    ----------
    values
        Shape (channels, rows, columns), at most 1200 columns.
    left_seconds, right_seconds
        Edges of the first and last column.
    bottom, top
        Edges of the first and last row: frequency in Hz, or coefficients.
    low, high
        Values of the darkest and the brightest colour.
    note
        How it was made coarser, where it was.
    """

    axes: Axes
    values: NDArray[np.float32]
    left_seconds: float
    right_seconds: float
    bottom: float
    top: float
    low: float
    high: float
    note: str


def image(grid: Grid, start_seconds: float) -> Image:
    """Return a grid as it is drawn: made coarser where it has more columns than a picture, with a range of colours.

    Parameters
    ----------
    grid
        A view over time and frequency.
    start_seconds
        Time of the first frame.

    Returns
    -------
    Image
        What is drawn.
    """
    if grid.view is View.MFCC:  # the first is the loudness, far beyond all others
        grid = replace(grid, values=grid.values[:, 1:], rows=grid.rows[1:])
    together = -(-grid.values.shape[2] // PICTURE_COLUMNS)
    values, step, merged = grid.values, grid.seconds_per_column * together, grid.columns_merged * together
    if together > 1:
        values = np.maximum.reduceat(values, np.arange(0, values.shape[2], together), axis=2)
    left = start_seconds - grid.seconds_per_column / 2
    low, high = _range(grid.view, values)
    bottom, top = _edges(grid)
    note = f"each column shows the largest of {merged:,}" if merged > 1 else ""
    return Image(AXES[grid.view], values, left, left + step * values.shape[2], bottom, top, low, high, note)


def _edges(grid: Grid) -> tuple[float, float]:
    """Return where the first row begins and the last one ends."""
    rows = grid.rows
    if not AXES[grid.view].is_log:
        half = (rows[1] - rows[0]) / 2
        return float(rows[0] - half), float(rows[-1] + half)
    step = math.sqrt(rows[1] / rows[0]) if len(rows) > 1 else 1.02
    return float(rows[0] / step), float(rows[-1] * step)


def _range(view: View, values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the values of the darkest and the brightest colour, whole tens of decibels."""
    if view is View.MFCC:
        low, high = np.percentile(values, [1, 99])
        return math.floor(low / 10) * 10.0, max(math.ceil(high / 10) * 10.0, math.floor(low / 10) * 10.0 + 10.0)
    there = values[values > FLOOR_DB + 1.0]
    if not len(there):
        return -_LEAST_RANGE_DB, 0.0
    high = math.ceil(float(there.max()) / 10) * 10.0
    low = math.floor(float(np.percentile(there, 5)) / 10) * 10.0
    return min(max(low, high - _MOST_RANGE_DB), high - _LEAST_RANGE_DB), high


def colours() -> NDArray[np.uint8]:
    """Return the colour map, shape (256, 3): red, green, blue.

    Returns
    -------
    NDArray[np.uint8]
        Dark to bright.
    """
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in _COLOURS])
    at = np.linspace(0, len(anchors) - 1, 256)
    mixed = [np.interp(at, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.asarray(np.rint(np.stack(mixed, axis=1)), np.uint8)


def channel_title(inspection: Inspection, channel: int) -> str:
    """Name a channel (from 0): its number, and what it is called where that is something else.

    Parameters
    ----------
    inspection
        What was measured.
    channel
        Channel, from 0.

    Returns
    -------
    str
        Such as ``Channel 1``.
    """
    name = inspection.source.channel_names[channel]
    return f"Channel {channel + 1}" if name == str(channel + 1) else f"Channel {channel + 1} ({name})"


def title(inspection: Inspection) -> str:
    """Say what was inspected: format, length, and which part of it.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    str
        In one line.
    """
    source = inspection.source
    text = f"{source.encoding}/{source.sample_rate_hz}/{source.channels}, {source.frames / source.sample_rate_hz:.3f} s"
    text += f" ({source.frames:,} frames)"
    if source.frames_seen < source.frames:
        text += f"; seen {source.start_seconds:.3f} s to {source.start_seconds + source.seconds_seen:.3f} s"
    return text


COLUMNS = (
    "Ch",
    "Min",
    "Max",
    "Peak",
    "Level",
    "Crest",
    "DC offset",
    "Noise floor",
    "Bits",
    "At 0",
    "Full scale",
    "Run",
)
UNITS = ("", "of FS", "of FS", "dBFS", "dBFS", "dB", "of FS", "dBFS", "", "frames", "frames", "frames")


def row(inspection: Inspection, channel: int) -> tuple[str, ...]:
    """Return a channel's figures (from 0) for a table of :data:`COLUMNS`.

    Parameters
    ----------
    inspection
        What was measured.
    channel
        Channel, from 0.

    Returns
    -------
    tuple[str, ...]
        One text for each column.
    """
    found, name = inspection.levels[channel], inspection.source.channel_names[channel]
    return (
        name if name == str(channel + 1) else f"{channel + 1} {name}",
        f"{found.minimum:+.6g}",
        f"{found.maximum:+.6g}",
        number(found.peak_dbfs, ".2f"),
        number(found.level_dbfs, ".2f"),
        number(found.crest_db, ".2f"),
        f"{found.dc_offset:+.2g}",
        number(found.noise_floor_dbfs, ".1f"),
        number(found.bits_used, "d"),
        f"{found.frames_zero:,}",
        f"{found.frames_full_scale:,}",
        f"{found.longest_run_frames:,}",
    )


def value_lines(inspection: Inspection) -> list[str]:
    """Say what the frames at the times asked for hold.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    list[str]
        A line for each time.
    """
    lines = []
    for value in inspection.values:
        parts = [
            f"{name} {one:+.9f}{f' ({decibels(abs(one)):.2f} dBFS)' if one else ''}, "
            f"peak {peak:.6f}, RMS {rms:.6f}, Hilbert envelope {hilbert:.6f}"
            for name, one, peak, rms, hilbert in zip(
                inspection.source.channel_names, value.values, value.peak, value.rms, value.hilbert, strict=True
            )
        ]
        lines.append(f"{value.seconds:g} s (frame {value.frame:,}): {'; '.join(parts)}")
    return lines


def silence_lines(inspection: Inspection) -> list[str]:
    """Say of each channel that sounds like nothing what it is; of all at once where they are the same.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    list[str]
        Nothing where every channel sounds.
    """
    texts = [found.silence.text if found.silence else "" for found in inspection.levels]
    if len(texts) > 1 and texts[0] and len(set(texts)) == 1:
        return [f"All channels: {texts[0]}"]
    return [f"{channel_title(inspection, index)}: {text}" for index, text in enumerate(texts) if text]


def hop_text(inspection: Inspection) -> str:
    """Say how finely spectra were taken.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    str
        In one line.
    """
    request, rate_hz = inspection.request, inspection.source.sample_rate_hz
    bins = rate_hz / request.fft_frames
    return (
        f"Hann window of {request.fft_frames} frames ({seconds(request.fft_frames / rate_hz)}), bins of {bins:.4g} Hz, "
        f"every {request.hop_frames} frames ({seconds(request.hop_frames / rate_hz)})"
    )


def bars(inspection: Inspection) -> Histogram:
    """Return the histogram as it is drawn: coarse enough, and where values have steps, its bars around the values.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    Histogram
        The histogram of each channel.
    """
    if inspection.histogram is None:
        raise AssertionError("histograms are drawn where there are some")
    coarse, bits = inspection.histogram.coarser(HISTOGRAM_BARS), inspection.source.bits
    return Histogram(coarse.counts, coarse.edges - 2.0**-bits) if bits else coarse


def picture_views(inspection: Inspection) -> Sequence[Grid]:
    """Return the views over time and frequency, in the order of the request.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    Sequence[Grid]
        The views.
    """
    return list(inspection.grids.values())
