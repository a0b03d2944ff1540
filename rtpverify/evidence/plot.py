"""What an event looks like, as one SVG picture: no script, nothing loaded, light or dark as the reader has it.

Time runs in seconds from the event's start, in all panels but the close-up. From the top: the waveform; the event close
up, with the reference laid over it; the residual without the reference, in dBFS; the time between packets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.sine import Sine, find_omega, fit_free
from rtpverify.evidence.audio import ClipAudio
from rtpverify.reference import Tone
from rtpverify.report.axes import ticks

WIDTH, LEFT, RIGHT, TOP, GAP = 1000, 70, 16, 74, 46
"""In SVG units: the picture, and the room around its panels."""
COLUMNS = 900
"""Points of a panel across."""
PERIODS = 4.0
"""Of the reference, shown on either side of an event close up."""
MOST_PERIODS, LEAST_CLOSE_UP = 16.0, 500
"""Periods of the reference, or frames, for which an event that lasts is shown close up: the more of both."""
MOST_CLOSE_UP = 2000
"""Frames, so that single samples can be distinguished."""
FIT_SECONDS = 1.0
"""Most audio before the event to which the reference is fitted."""
FLOOR_DBFS = -160.0

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b2027; --quiet: #5d6673; --line: #d9dee5;
  --wave: #2f6fde; --reference: #0f7a3d; --residual: #8a3fc7; --event: #c1272d; --hole: #c1272d; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --text: #e6e9ee; --quiet: #9aa4b2; --line: #343b46;
  --wave: #6ea2ff; --reference: #4cc27c; --residual: #c79bff; --event: #ff6b6b; --hole: #ff6b6b; } }
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--quiet); }
.title { font-size: 17px; font-weight: 600; fill: var(--text); } .name { fill: var(--text); font-weight: 600; }
.page { fill: var(--page); } .rule { stroke: var(--line); fill: none; }
.wave { stroke: var(--wave); fill: none; } .area { fill: var(--wave); stroke: var(--wave); stroke-width: .5; }
.dot { fill: var(--wave); }
.reference { stroke: var(--reference); fill: none; stroke-width: 1.5; stroke-dasharray: 5 3; }
.residual { stroke: var(--residual); fill: none; } .hole { fill: var(--hole); opacity: .16; }
.event { fill: var(--event); opacity: .12; } .start { stroke: var(--event); stroke-width: 1.5; }
.lost { fill: var(--hole); }
"""


@dataclass(frozen=True, slots=True)
class Marked:
    """Where the event lies in a clip: its first frame, how many it lasts, and the channel (from 0) to be shown."""

    frame: int
    frames: int
    channel: int


def picture(audio: ClipAudio, marked: Marked, reference: Tone | None, title: str, lines: Sequence[str]) -> str:
    """Return the picture of an event.

    Parameters
    ----------
    audio
        What is drawn.
    marked
        The stretch that the event concerns.
    reference
        None where the audio was compared with nothing.
    title, lines
        What is above it.

    Returns
    -------
    str
        A document in SVG.
    """
    sine = None if reference is None else _fitted(audio, marked, reference)
    panels: list[_Panel] = [_Waveform(audio, marked), _CloseUp(audio, marked, sine)]
    if sine is not None:
        panels.append(_Residual(audio, marked, sine))
    panels.append(_Packets(audio, marked))
    y = TOP + 16 * max(0, len(lines) - 2)
    parts = [f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>']
    parts += [f'<text x="{LEFT}" y="{44 + 16 * row}">{escape(line)}</text>' for row, line in enumerate(lines)]
    for panel in panels:
        y += 22
        parts += [f'<text class="name" x="{LEFT}" y="{y - 6}">{escape(panel.name)}</text>', *panel.draw(y)]
        y += panel.height + GAP - 22
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="{escape(title)}"><style>{_STYLE}</style><rect class="page" width="{WIDTH}" height="{y}"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _fitted(audio: ClipAudio, marked: Marked, reference: Tone) -> Sine | None:
    """Return the tone as it was before the event, or where there is too little of that, after it."""
    rate_hz = audio.encoding.sample_rate_hz
    before = (max(0, marked.frame - int(FIT_SECONDS * rate_hz)), marked.frame)
    after_event = marked.frame + marked.frames
    after = (after_event, min(len(audio.samples), after_event + int(FIT_SECONDS * rate_hz)))
    start, stop = before if before[1] - before[0] >= rate_hz // 20 else after
    x, valid = audio.samples[start:stop, marked.channel], audio.valid[start:stop]
    if np.count_nonzero(valid) < rate_hz // 100:
        return None
    hz = reference.frequency_hz(marked.channel)
    omega = 2.0 * math.pi * hz / rate_hz if hz is not None else find_omega(x)
    fit = fit_free(x, start, omega, valid) if omega is not None else None
    return None if fit is None or fit.rms > fit.sine.amplitude else fit.sine


class _Panel:
    """A drawing over time; ``low`` and ``high`` are the ends of both axes."""

    name = ""
    height = 150
    unit = " s"

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = x, y
        self._top = 0

    def draw(self, top: int) -> list[str]:
        """Return the panel with its upper edge at ``top``."""
        self._top = top
        return [*self._axes(), *self._content()]

    def _content(self) -> Iterable[str]:
        raise NotImplementedError

    def x(self, value: float) -> float:
        """Return where a time is."""
        return float(_scaled(np.array([value]), *self._x, LEFT, WIDTH - RIGHT)[0])

    def y(self, value: float) -> float:
        """Return where a value is."""
        return float(_scaled(np.array([value]), *self._y, self._top + self.height, self._top)[0])

    def points(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
        """Return where points are, as SVG has them."""
        across = _scaled(x, *self._x, LEFT, WIDTH - RIGHT)
        down = _scaled(y, *self._y, self._top + self.height, self._top)
        return " ".join(map("%.1f,%.1f".__mod__, zip(across.tolist(), down.tolist(), strict=True)))

    def _axes(self) -> Iterable[str]:
        bottom = self._top + self.height
        for value in ticks(*self._x, 10):
            x = self.x(value)
            yield f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{self._top}" y2="{bottom}"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{value:.6g}{self.unit}</text>'
        for value in ticks(*self._y, 4):
            y = self.y(value)
            yield f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>'

    def line(self, style: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
        """Return a line through points."""
        return f'<polyline class="{style}" points="{self.points(x, y)}"/>'

    def bar(self, style: str, start: float, stop: float, title: str = "") -> str:
        """Return a mark from the upper to the lower edge."""
        x = self.x(start)
        width = max(self.x(stop) - x, 1.0)
        words = f"<title>{escape(title)}</title>" if title else ""
        box = f'x="{x:.1f}" y="{self._top}" width="{width:.1f}" height="{self.height}"'
        return f'<rect class="{style}" {box}>{words}</rect>'

    def start(self, at: float) -> str:
        """Return the mark of the event's first frame."""
        x = self.x(at)
        return f'<line class="start" x1="{x:.1f}" x2="{x:.1f}" y1="{self._top}" y2="{self._top + self.height}"/>'


class _Waveform(_Panel):
    """Least and greatest sample of each column."""

    def __init__(self, audio: ClipAudio, marked: Marked) -> None:
        self._audio, self._marked = audio, marked
        rate = audio.encoding.sample_rate_hz
        x = audio.samples[:, marked.channel]
        peak = 1.1 * (float(np.abs(x).max()) if len(x) else 0.0) or 1.0
        super().__init__((-marked.frame / rate, (max(len(x), 1) - marked.frame) / rate), (-peak, peak))
        self.name = f"Waveform, channel {marked.channel + 1} (of full scale)"

    def _content(self) -> Iterable[str]:
        audio, marked = self._audio, self._marked
        rate = audio.encoding.sample_rate_hz
        yield from _holes(self, audio, marked)
        yield self.bar("event", 0.0, marked.frames / rate, "the event")
        yield self.start(0.0)
        x = audio.samples[:, marked.channel]
        for start, stop in _runs(audio.valid):
            columns = _columns(start, stop, max(1, len(x) // COLUMNS))
            times = (columns - marked.frame) / rate
            low, high = np.minimum.reduceat(x[:stop], columns), np.maximum.reduceat(x[:stop], columns)
            outline = self.points(np.concatenate([times, times[::-1]]), np.concatenate([high, low[::-1]]))
            yield f'<polygon class="area" points="{outline}"/>'


class _CloseUp(_Panel):
    """Single samples around the event's start, and the reference."""

    height = 200
    unit = " ms"

    def __init__(self, audio: ClipAudio, marked: Marked, sine: Sine | None) -> None:
        self._audio, self._marked, self._sine = audio, marked, sine
        rate = audio.encoding.sample_rate_hz
        period = 2 * math.pi / sine.omega if sine else rate / 1000
        wing = min(int(max(PERIODS * period, 24)), MOST_CLOSE_UP // 2)
        shown = min(marked.frames, int(max(MOST_PERIODS * period, LEAST_CLOSE_UP)), MOST_CLOSE_UP - wing)
        self._start = max(0, marked.frame - wing)
        self._stop = max(self._start + 1, min(len(audio.samples), marked.frame + shown + wing))
        x = audio.samples[self._start : self._stop, marked.channel]
        peak = max(float(np.abs(x).max()) if len(x) else 0.0, sine.amplitude if sine else 0.0) or 1.0
        ends = [1000 * (frame - marked.frame) / rate for frame in (self._start, self._stop)]
        super().__init__((ends[0], ends[1]), (-1.1 * peak, 1.1 * peak))
        self.name = f"Close up, from frame {self._start:,} of the clip" + (
            ": samples, and the tone as it was before (dashed)" if sine else ""
        )

    def _content(self) -> Iterable[str]:
        audio, marked, rate = self._audio, self._marked, self._audio.encoding.sample_rate_hz
        yield from _holes(self, audio, marked, 1000.0)
        yield self.bar("event", 0.0, 1000 * marked.frames / rate)
        yield self.start(0.0)
        if self._sine is not None:
            fine = np.linspace(self._start, self._stop - 1, COLUMNS)
            wave = self._sine.amplitude * np.cos(self._sine.omega * (fine - self._sine.anchor) + self._sine.phase)
            yield self.line("reference", 1000 * (fine - marked.frame) / rate, wave + self._sine.dc)
        for start, stop in _runs(audio.valid[self._start : self._stop]):
            frame = np.arange(self._start + start, self._start + stop)
            times, values = 1000 * (frame - marked.frame) / rate, audio.samples[frame, marked.channel]
            yield self.line("wave", times, values)
            if self._stop - self._start <= 400:
                points = zip(times, values, strict=True)
                yield "".join(
                    f'<circle class="dot" cx="{self.x(t):.1f}" cy="{self.y(v):.1f}" r="1.8"/>' for t, v in points
                )


class _Residual(_Panel):
    """Largest departure from the reference in each column."""

    def __init__(self, audio: ClipAudio, marked: Marked, sine: Sine) -> None:
        self._audio, self._marked = audio, marked
        rate = audio.encoding.sample_rate_hz
        x = audio.samples[:, marked.channel]
        with np.errstate(divide="ignore"):
            self._level = 20 * np.log10(np.abs(x - sine.at(0, len(x))))
        self._level = np.maximum(self._level, FLOOR_DBFS)
        ends = (-marked.frame / rate, (len(x) - marked.frame) / rate)
        known = self._level[audio.valid]
        floor = float(np.percentile(known, 10)) - 20 if len(known) else FLOOR_DBFS
        super().__init__(ends, (min(max(FLOOR_DBFS, 20 * math.floor(floor / 20)), -20.0), 0.0))
        self.name = "Residual: departure from the tone as it was before (dBFS, peak)"

    def _content(self) -> Iterable[str]:
        audio, marked = self._audio, self._marked
        rate = audio.encoding.sample_rate_hz
        yield from _holes(self, audio, marked)
        yield self.bar("event", 0.0, marked.frames / rate)
        yield self.start(0.0)
        for start, stop in _runs(audio.valid):
            columns = _columns(start, stop, max(1, len(self._level) // COLUMNS))
            peaks = np.maximum.reduceat(self._level[:stop], columns)
            yield self.line("residual", (columns - marked.frame) / rate, peaks)


class _Packets(_Panel):
    """Time from packet to packet, at the place of each; lost ones as bars."""

    height = 110

    def __init__(self, audio: ClipAudio, marked: Marked) -> None:
        self._audio, self._marked = audio, marked
        rate = audio.encoding.sample_rate_hz
        order = np.argsort(audio.arrival_ns, kind="stable")
        self._times = (audio.frame[order][1:] - marked.frame) / rate
        self._intervals = np.diff(audio.arrival_ns[order]) / 1e6
        high = float(self._intervals.max()) if len(self._intervals) else 1.0
        length = max(len(audio.samples), 1)
        super().__init__((-marked.frame / rate, (length - marked.frame) / rate), (0.0, 1.1 * high or 1.0))
        self.name = "Time between packets as they arrived (ms)"

    def _content(self) -> Iterable[str]:
        yield from _holes(self, self._audio, self._marked)
        yield self.start(0.0)
        count = max(1, len(self._times) // COLUMNS)
        if len(self._times):
            columns = np.arange(0, len(self._times), count)
            yield self.line("wave", self._times[columns], np.maximum.reduceat(self._intervals, columns))


def _holes(panel: _Panel, audio: ClipAudio, marked: Marked, scale: float = 1.0) -> Iterable[str]:
    """Yield a mark for each stretch that never arrived."""
    rate = audio.encoding.sample_rate_hz
    for start, stop in _runs(~audio.valid):
        title = f"{stop - start} frames never arrived"
        yield panel.bar("hole", scale * (start - marked.frame) / rate, scale * (stop - marked.frame) / rate, title)


def _runs(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and stop of each stretch that is True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _columns(start: int, stop: int, width: int) -> NDArray[np.int64]:
    """Return the first frame of each column between two frames."""
    return np.arange(start, stop, width, dtype=np.int64)


def _scaled(values: NDArray[np.float64], low: float, high: float, start: float, stop: float) -> NDArray[np.float64]:
    """Return where values between ``low`` and ``high`` are between two edges; what lies beyond is on them."""
    scaled: NDArray[np.float64] = start + (stop - start) * np.clip((values - low) / (high - low), 0.0, 1.0)
    return scaled
