"""Everything on one picture, by matplotlib: waveform, spectra and histogram of every channel, one time axis for all."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from rtpverify.commands.inspect import layout
from rtpverify.commands.inspect.measure import Grid, Inspection
from rtpverify.errors import RequestError
from rtpverify.report.axes import frequency_text, frequency_ticks, ticks, time_label, time_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

EXTRA = "png"
_WIDTH_INCHES, _DOTS_PER_INCH = 13.0, 110
_INCHES = {"waveform": 1.35, "image": 2.15, "histogram": 2.3}
_INK, _QUIET, _WAVE = "#1b2027", "#5d6673", "#2f6fde"
_HISTOGRAMS_IN_A_ROW = 4


def require() -> None:
    """Raise RequestError where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise RequestError(f"--png needs matplotlib: install rtpverify[{EXTRA}]; --html needs nothing")


def render(inspection: Inspection) -> bytes:
    """Return the picture as a PNG file.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    RequestError
        Where matplotlib is missing.
    """
    require()
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    channels = inspection.source.channels
    rows: list[tuple[str, Grid | None, int]] = []
    if inspection.envelope is not None:
        rows += [("waveform", None, channel) for channel in range(channels)]
    for grid in layout.picture_views(inspection):
        rows += [("image", grid, channel) for channel in range(channels)]
    bars = -(-channels // _HISTOGRAMS_IN_A_ROW) if inspection.histogram is not None else 0
    head = 0.68 + 0.2 * len(_head(inspection))
    timed = sum(_INCHES[kind] for kind, _, _ in rows) + 0.45 * bool(rows)
    heights = [height for height in (head, timed, bars * _INCHES["histogram"]) if height]
    figure = Figure(figsize=(_WIDTH_INCHES, sum(heights)), dpi=_DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    parts = iter(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel().tolist())
    _write_head(next(parts), inspection, head)
    if rows:
        _draw_rows(next(parts), inspection, rows)
    if bars:
        _draw_histograms(next(parts), inspection, bars)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": "rtpverify"})
    return out.getvalue()


def _head(inspection: Inspection) -> list[str]:
    """Return the lines under the title."""
    lines = []
    for channel in range(inspection.source.channels):
        cells = dict(zip(layout.COLUMNS, layout.row(inspection, channel), strict=True))
        lines.append(
            f"{layout.channel_title(inspection, channel)}: peak {cells['Peak']} dBFS, level {cells['Level']} dBFS, "
            f"crest {cells['Crest']} dB, DC {cells['DC offset']} of FS, noise floor {cells['Noise floor']} dBFS"
        )
    return [*lines, *layout.silence_lines(inspection), *inspection.warnings]


def _write_head(part: SubFigure, inspection: Inspection, height: float) -> None:
    part.text(0.008, 1 - 0.12 / height, inspection.source.name, size=13, weight="bold", color=_INK, va="top")
    part.text(0.008, 1 - 0.38 / height, layout.title(inspection), size=9.5, color=_QUIET, va="top")
    for index, line in enumerate(_head(inspection)):
        part.text(0.008, 1 - (0.62 + 0.2 * index) / height, line, size=9.5, color=_INK, va="top")


def _draw_rows(part: SubFigure, inspection: Inspection, rows: list[tuple[str, Grid | None, int]]) -> None:
    """Draw what has a time axis."""
    ratios = [_INCHES[kind] for kind, _, _ in rows]
    axes = np.atleast_1d(part.subplots(len(rows), 1, sharex=True, gridspec_kw={"height_ratios": ratios})).tolist()
    start, span = inspection.source.start_seconds, inspection.source.seconds_seen
    for axis, (kind, grid, channel) in zip(axes, rows, strict=True):
        if kind == "waveform":
            _draw_waveform(axis, inspection, channel)
        elif grid is not None:
            _draw_image(part, axis, grid, inspection, channel)
        axis.tick_params(labelsize=8, colors=_QUIET)
    last = axes[-1]
    last.set_xlim(start, start + span)
    at = ticks(start, start + span, 12)
    last.set_xticks(at, [time_text(time, span) for time in at])
    last.set_xlabel(time_label(span), size=9, color=_INK)


def _draw_waveform(axis: Axes, inspection: Inspection, channel: int) -> None:
    envelope = inspection.envelope
    if envelope is None:
        raise AssertionError("a waveform is drawn from an envelope")
    start = inspection.source.start_seconds
    hop = envelope.hop_frames / inspection.source.sample_rate_hz
    low, high = envelope.minimum[channel], envelope.maximum[channel]
    if envelope.hop_frames == 1:
        axis.plot(start + envelope.times_seconds, low, color=_WAVE, linewidth=0.8)
    else:
        middle = start + envelope.times_seconds + hop / 2
        axis.fill_between(middle, low, high, color=_WAVE, linewidth=0.5)
    peak = max(float(-envelope.minimum.min()), float(envelope.maximum.max())) or 1.0
    axis.set_ylim(-1.08 * peak, 1.08 * peak)
    axis.axhline(0, color=_QUIET, linewidth=0.4)
    axis.grid(visible=True, color="#d9dee5", linewidth=0.5)
    axis.set_ylabel("Full scale", size=9, color=_INK)
    _name(axis, "Waveform", inspection, channel)


def _draw_image(part: SubFigure, axis: Axes, grid: Grid, inspection: Inspection, channel: int) -> None:
    from matplotlib.colors import ListedColormap

    drawn = layout.image(grid, inspection.source.start_seconds)
    kilo = 1000.0 if drawn.axes.row_label.endswith("kHz") else 1.0
    vertical = (drawn.bottom / kilo, drawn.top / kilo)
    # On a logarithmic axis equal steps of the image are equal ratios: it is drawn in octaves.
    if drawn.axes.is_log:
        vertical = (np.log2(drawn.bottom), np.log2(drawn.top))
    mapped = axis.imshow(
        drawn.values[channel],
        origin="lower",
        aspect="auto",
        extent=(drawn.left_seconds, drawn.right_seconds, *vertical),
        vmin=drawn.low,
        vmax=drawn.high,
        cmap=ListedColormap(layout.colours() / 255.0),
        interpolation="nearest",
    )
    if drawn.axes.is_log:
        at = frequency_ticks(drawn.bottom, drawn.top)
        axis.set_yticks(np.log2(at), [frequency_text(frequency) for frequency in at])
    elif kilo == 1.0:
        axis.set_yticks(ticks(drawn.bottom, drawn.top, 5))
        axis.set_ylim(drawn.bottom, drawn.top)
    else:
        axis.set_ylim(0, vertical[1])
    axis.set_ylabel(drawn.axes.row_label, size=9, color=_INK)
    bar = part.colorbar(mapped, ax=axis, pad=0.008, fraction=0.03, aspect=14)
    bar.set_label(drawn.axes.unit, size=9, color=_INK)
    bar.ax.tick_params(labelsize=8, colors=_QUIET)
    _name(axis, drawn.axes.title + (f" – {drawn.note}" if drawn.note else ""), inspection, channel)


def _draw_histograms(part: SubFigure, inspection: Inspection, rows: int) -> None:
    coarse = layout.bars(inspection)
    channels = inspection.source.channels
    columns = min(channels, _HISTOGRAMS_IN_A_ROW)
    axes = np.atleast_1d(part.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()).tolist()
    for axis in axes[channels:]:
        axis.set_visible(False)
    for channel, axis in enumerate(axes[:channels]):
        axis.bar(coarse.edges[:-1], coarse.counts[channel], np.diff(coarse.edges), align="edge", color=_WAVE, log=True)
        axis.set_ylim(0.7, max(10.0, 2.0 * float(coarse.counts.max())))
        axis.grid(visible=True, color="#d9dee5", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8, colors=_QUIET, labelbottom=True)
        axis.set_xlabel("Value, full scale", size=9, color=_INK)
        if channel % columns == 0:
            axis.set_ylabel("Samples", size=9, color=_INK)
        _name(axis, "Histogram", inspection, channel)


def _name(axis: Axes, text: str, inspection: Inspection, channel: int) -> None:
    axis.set_title(
        f"{layout.channel_title(inspection, channel)} – {text}", size=9.5, color=_INK, loc="left", pad=3, weight="bold"
    )
