"""Everything on one page: self-contained, nothing loaded, readable without a script.

Drawn as inline SVG like the project's other pages, not by bokeh: the page needs no extra, is a tenth of the size, and
prints. Spectra are images in the page; a few lines of script show time, frequency and level under the pointer.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from html import escape

import numpy as np
from numpy.typing import NDArray

from rtpverify.commands.inspect import layout
from rtpverify.commands.inspect.measure import Inspection
from rtpverify.report import axes
from rtpverify.report.html import STYLE
from rtpverify.version import __version__

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 1200, 62, 86, 26, 24
_INNER = _WIDTH - _LEFT - _RIGHT
_HEIGHT = {"waveform": 130, "image": 210, "histogram": 200}
_STRIP_ROWS = 128

_MORE_STYLE = """
body { max-width: 82rem; }
svg .name { fill: var(--text); font-weight: 600; font-size: 13px; }
svg .wave { fill: var(--network); stroke: var(--network); stroke-width: .6; }
svg .line { fill: none; stroke: var(--network); stroke-width: 1; }
svg .frame { fill: none; stroke: var(--quiet); }
svg image { image-rendering: pixelated; }
#told { position: fixed; display: none; pointer-events: none; padding: .15rem .5rem; border-radius: .3rem;
  background: var(--text); color: var(--page); font-variant-numeric: tabular-nums; white-space: nowrap; }
"""

_SCRIPT = """
const told = document.getElementById("told");
function show(event, text) {
  told.textContent = text; told.style.display = "block";
  told.style.left = Math.min(event.clientX + 14, innerWidth - told.offsetWidth - 4) + "px";
  told.style.top = event.clientY + 14 + "px";
}
for (const node of document.querySelectorAll("[data-about]")) {
  const about = JSON.parse(node.dataset.about);
  let pixels = null;
  if (about.kind === "image") {
    const picture = new Image();
    picture.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = picture.width; canvas.height = picture.height;
      const context = canvas.getContext("2d");
      context.drawImage(picture, 0, 0);
      const data = context.getImageData(0, 0, picture.width, picture.height).data;
      const index = new Map(about.colours.map((colour, i) => [colour, i]));
      pixels = (x, y) => {
        const at = 4 * (y * picture.width + x);
        return index.get(data[at] * 65536 + data[at + 1] * 256 + data[at + 2]);
      };
      pixels.width = picture.width; pixels.height = picture.height;
    };
    picture.src = node.getAttribute("href");
  }
  node.addEventListener("pointermove", (event) => {
    const box = node.getBoundingClientRect();
    const x = Math.min(.999999, Math.max(0, (event.clientX - box.left) / box.width));
    const y = Math.min(.999999, Math.max(0, (event.clientY - box.top) / box.height));
    const time = (about.left + x * (about.right - about.left)).toFixed(4) + " s";
    if (about.kind === "wave") {
      const i = Math.floor(x * about.low.length);
      show(event, time + "   " + about.low[i].toPrecision(6) + " to " + about.high[i].toPrecision(6));
    } else if (pixels) {
      const row = about.log ? about.bottom * Math.pow(about.top / about.bottom, 1 - y)
        : about.bottom + (1 - y) * (about.top - about.bottom);
      const level = about.low + pixels(Math.floor(x * pixels.width), Math.floor(y * pixels.height))
        * (about.high - about.low) / 255;
      const where = about.hz ? row.toFixed(row < 100 ? 1 : 0) + " Hz" : "coefficient " + Math.round(row);
      show(event, time + "   " + where + "   " + level.toFixed(0) + " " + about.unit);
    }
  });
  node.addEventListener("pointerleave", () => { told.style.display = "none"; });
}
"""


def render(inspection: Inspection) -> str:
    """Return the page.

    Parameters
    ----------
    inspection
        What was measured.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.
    """
    figures = []
    channels = range(inspection.source.channels)
    if inspection.envelope is not None:
        figures += [_waveform(inspection, channel) for channel in channels]
    for grid in layout.picture_views(inspection):
        drawn = layout.image(grid, inspection.source.start_seconds)
        figures += [_image(drawn, inspection, channel) for channel in channels]
    if inspection.histogram is not None:
        figures += [_histogram(inspection, channel) for channel in channels]
    warnings = "".join(f'<p class="warning">{escape(line)}</p>' for line in inspection.warnings)
    silence = "".join(f'<p class="warning">{escape(line)}</p>' for line in layout.silence_lines(inspection))
    values = "".join(f"<dt>Value at</dt><dd>{escape(line)}</dd>" for line in layout.value_lines(inspection))
    spectra = f"<dt>Spectra</dt><dd>{escape(layout.hop_text(inspection))}</dd>" if inspection.grids else ""
    body = "\n".join(figures)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(inspection.source.name)} – rtpverify inspect</title>
<style>{STYLE}{_MORE_STYLE}</style>
</head>
<body>
<header><h1>{escape(inspection.source.name)}</h1>
<div class="source">{escape(layout.title(inspection))}</div></header>
<section>{warnings}{silence}{_table(inspection)}<dl>{spectra}{values}</dl></section>
<section>
{body}
</section>
<footer>rtpverify {__version__}</footer>
<div id="told"></div>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _table(inspection: Inspection) -> str:
    titles = "".join(
        f'<th class="number">{escape(title)} {escape(unit)}</th>'
        for title, unit in zip(layout.COLUMNS, layout.UNITS, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="number">{escape(cell)}</td>' for cell in layout.row(inspection, channel))
        + "</tr>"
        for channel in range(inspection.source.channels)
    )
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'


def _waveform(inspection: Inspection, channel: int) -> str:
    envelope, height = inspection.envelope, _HEIGHT["waveform"]
    if envelope is None:
        raise AssertionError("a waveform is drawn from an envelope")
    low, high = envelope.minimum[channel], envelope.maximum[channel]
    peak = 1.08 * (max(float(-envelope.minimum.min()), float(envelope.maximum.max())) or 1.0)
    hops = inspection.source.frames_seen / envelope.hop_frames
    x = _LEFT + (np.arange(len(low)) + (0.0 if envelope.hop_frames == 1 else 0.5)) * _INNER / hops

    def at(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(_TOP + height * (1 - values / peak) / 2, np.float64)

    if envelope.hop_frames == 1:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, at(low), strict=True))
        shape = f'<polyline class="line" points="{points}"/>'
    else:
        there = [f"{a:.1f},{b:.1f}" for a, b in zip(x, at(high), strict=True)]
        back = [f"{a:.1f},{b:.1f}" for a, b in zip(x[::-1], at(low)[::-1], strict=True)]
        shape = f'<polygon class="wave" points="{" ".join(there + back)}"/>'
    about = _about("wave", inspection) | {
        "low": [float(f"{value:.7g}") for value in low],
        "high": [float(f"{value:.7g}") for value in high],
    }
    marks = [(float(at(np.array([value]))[0]), f"{value:g}") for value in axes.ticks(-peak, peak, 5)]
    target = f'<rect x="{_LEFT}" y="{_TOP}" width="{_INNER}" height="{height}" fill="transparent" {_data(about)}/>'
    name = f"{layout.channel_title(inspection, channel)} – Waveform, full scale"
    return _svg(height, name, shape + _time_axis(inspection, height) + _side(marks) + target)


def _image(drawn: layout.Image, inspection: Inspection, channel: int) -> str:
    height = _HEIGHT["image"]
    scale = 255.0 / (drawn.high - drawn.low)
    pixels = np.clip(np.rint((drawn.values[channel] - drawn.low) * scale), 0, 255).astype(np.uint8)
    about = {
        "kind": "image",
        "left": drawn.left_seconds,
        "right": drawn.right_seconds,
        "bottom": drawn.bottom,
        "top": drawn.top,
        "low": drawn.low,
        "high": drawn.high,
        "unit": drawn.axes.unit,
        "log": drawn.axes.is_log,
        "hz": drawn.axes.row_label != "Coefficient",
        "colours": (layout.colours().astype(int) @ [65536, 256, 1]).tolist(),
    }
    per_second = _INNER / inspection.source.seconds_seen
    x = _LEFT + (drawn.left_seconds - inspection.source.start_seconds) * per_second
    width = (drawn.right_seconds - drawn.left_seconds) * per_second
    clip = f"clip-{drawn.axes.title.split()[0]}-{channel}"
    inner = f'<image clip-path="url(#{clip})" x="{x:.2f}" y="{_TOP}" width="{width:.2f}" height="{height}" '
    inner += f'preserveAspectRatio="none" href="{_png(pixels[::-1])}" {_data(about)}/>'
    inner += f'<clipPath id="{clip}"><rect x="{_LEFT}" y="{_TOP}" width="{_INNER}" height="{height}"/></clipPath>'
    inner += _colour_bar(drawn, height)
    name = f"{layout.channel_title(inspection, channel)} – {drawn.axes.title}, {drawn.axes.row_label}"
    name += f" – {drawn.note}" if drawn.note else ""
    return _svg(height, name, inner + _time_axis(inspection, height) + _side(_row_marks(drawn, height)))


def _row_marks(drawn: layout.Image, height: int) -> list[tuple[float, str]]:
    """Return where ticks of the vertical axis are, and what they say."""
    if drawn.axes.is_log:
        octaves = np.log2(drawn.top / drawn.bottom)
        return [
            (_TOP + height * (1 - float(np.log2(row / drawn.bottom) / octaves)), axes.frequency_text(row))
            for row in axes.frequency_ticks(drawn.bottom, drawn.top)
        ]
    kilo = 1000.0 if drawn.axes.row_label.endswith("kHz") else 1.0
    span = drawn.top - drawn.bottom
    return [
        (_TOP + height * (1 - (row - drawn.bottom) / span), f"{row / kilo:g}")
        for row in axes.ticks(max(drawn.bottom, 0.0), drawn.top, 6)
    ]


def _colour_bar(drawn: layout.Image, height: int) -> str:
    strip = np.linspace(255, 0, _STRIP_ROWS).astype(np.uint8)[:, None]
    x = _WIDTH - _RIGHT + 12
    parts = [
        f'<image x="{x}" y="{_TOP}" width="12" height="{height}" preserveAspectRatio="none" href="{_png(strip)}"/>',
        f'<text x="{x}" y="{_TOP - 8}">{drawn.axes.unit}</text>',
    ]
    for value in axes.ticks(drawn.low, drawn.high, 8):
        y = _TOP + height * (drawn.high - value) / (drawn.high - drawn.low)
        parts.append(f'<text x="{x + 17}" y="{y + 4:.1f}">{value:g}</text>')
    return "".join(parts)


def _histogram(inspection: Inspection, channel: int) -> str:
    histogram, height = layout.bars(inspection), _HEIGHT["histogram"]
    most = float(np.log10(max(10.0, 2.0 * float(histogram.counts.max()))))
    low, high = float(histogram.edges[0]), float(histogram.edges[-1])
    scale = _INNER / (high - low)
    bars = []
    for start, stop, count in zip(
        histogram.edges[:-1], histogram.edges[1:], histogram.counts[channel].tolist(), strict=True
    ):
        if count:
            tall = height * (float(np.log10(count)) + 0.15) / (most + 0.15)
            bars.append(
                f'<rect class="wave" x="{_LEFT + (start - low) * scale:.2f}" y="{_TOP + height - tall:.2f}" '
                f'width="{max(0.5, (stop - start) * scale - 0.3):.2f}" height="{tall:.2f}">'
                f"<title>{count:,} samples from {start:.9g} to {stop:.9g}</title></rect>"
            )
    marks = [(_TOP + height * (1 - (power + 0.15) / (most + 0.15)), f"{10**power:,}") for power in range(int(most) + 1)]
    below = "".join(_down(_LEFT + (value - low) * scale, height, f"{value:.6g}") for value in axes.ticks(low, high, 10))
    name = f"{layout.channel_title(inspection, channel)} – Histogram, samples by value (full scale)"
    return _svg(height, name, "".join(bars) + below + _side(marks))


def _svg(height: int, name: str, inner: str) -> str:
    frame = f'<rect class="frame" pointer-events="none" x="{_LEFT}" y="{_TOP}" width="{_INNER}" height="{height}"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_TOP + height + _BOTTOM}" role="img" aria-label="{escape(name)}">'
        f'<text class="name" x="{_LEFT}" y="{_TOP - 8}">{escape(name)}</text>{inner}{frame}</svg>'
    )


def _side(marks: list[tuple[float, str]]) -> str:
    """Draw ticks of the vertical axis."""
    return "".join(
        f'<line class="rule" x1="{_LEFT - 5}" x2="{_LEFT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        for y, text in marks
    )


def _down(x: float, height: int, text: str) -> str:
    """Draw a tick of the horizontal axis."""
    y = _TOP + height
    return (
        f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 5}"/>'
        f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle">{text}</text>'
    )


def _time_axis(inspection: Inspection, height: int) -> str:
    start, span = inspection.source.start_seconds, inspection.source.seconds_seen
    unit = " s" if span < 600 else ""
    return "".join(
        _down(_LEFT + (time - start) * _INNER / span, height, axes.time_text(time, span) + unit)
        for time in axes.ticks(start, start + span, 12)
    )


def _about(kind: str, inspection: Inspection) -> dict[str, object]:
    start = inspection.source.start_seconds
    return {"kind": kind, "left": start, "right": start + inspection.source.seconds_seen}


def _data(about: dict[str, object]) -> str:
    return f'data-about="{escape(json.dumps(about, separators=(",", ":")))}"'


def _png(pixels: NDArray[np.uint8]) -> str:
    """Return an image of palette indices, shape (rows, columns), as a data URI (PNG, ISO/IEC 15948)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows, columns = pixels.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), pixels], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", layout.colours().tobytes()), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, part) for name, part in parts)
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
