"""What a notebook shows of a result: one piece of HTML with a picture of when what happened, nothing loaded."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Protocol

from rtpverify.events import Event
from rtpverify.result.event_wording import EVENT_COLUMNS, by_kind, counted, event_row, number, selected

EVENTS_LISTED = 20
"""Of one stream; the rest is counted by kind. The picture has all of them."""

_COLOURS = {"pass": "#0f7a3d", "fail": "#c1272d", "inconclusive": "#8a5a00"}
_CAUSES = {"network": "#2f6fde", "upstream": "#c1272d", "unknown": "#8a5a00"}
_WIDTH, _LEFT, _ROW, _TICKS = 760, 70, 22, 6
_MIN_MARK = 2.0
"""Least width of a mark, so that a single frame is seen."""


class ShownChannel(Protocol):
    """What was measured of one channel."""

    channel: int
    frequency_hz: float | None
    level_dbfs: float | None
    residual_dbfs: float | None
    thd_plus_n_db: float | None


class ShownStream(Protocol):
    """One stream of a result."""

    sample_rate: int | None
    frames: int
    events: list[Event]
    warnings: list[str]
    inconclusive: str | None

    @property
    def title(self) -> str:
        """What distinguishes it from the others."""

    @property
    def verdict(self) -> str:
        """Of this stream."""

    @property
    def signal(self) -> Sequence[ShownChannel]:
        """One entry per channel."""


def page(verdict: str, source: str, reason: str, streams: Sequence[ShownStream]) -> str:
    """Return verdict and source, then each stream with its picture, figures and events.

    Parameters
    ----------
    verdict
        The verdict.
    source
        Name of the source.
    reason
        Why it is not ``pass``; empty where it is.
    streams
        The streams.

    Returns
    -------
    str
        A fragment of HTML that needs no script.
    """
    about = html.escape(f"{source}: {reason}" if reason else source)
    return f"<div>{_badge(verdict)} {about}{''.join(map(_stream, streams))}</div>"


def _badge(verdict: str) -> str:
    colour = _COLOURS[verdict]
    style = f"color:#fff;background:{colour};border-radius:3px;padding:1px 7px"
    return f'<b style="{style}">{html.escape(verdict.upper())}</b>'


def _stream(stream: ShownStream) -> str:
    length = f", {stream.frames / stream.sample_rate:.3f} s" if stream.sample_rate else ""
    parts = [f'<p style="margin:.6em 0 .2em">{_badge(stream.verdict)} {html.escape(stream.title + length)}</p>']
    parts += [f"<p>{html.escape(line)}</p>" for line in (stream.inconclusive, *stream.warnings) if line]
    if stream.sample_rate and stream.frames:
        parts.append(_picture(stream, stream.sample_rate))
    if stream.signal:
        titles = ("Ch", "Frequency Hz", "Level dBFS", "Residual dBFS", "THD+N dB")
        parts.append(_table(titles, [_figures(channel) for channel in stream.signal]))
    if stream.events:
        keys = (f'<span style="color:{colour}">■</span> {cause}' for cause, colour in _CAUSES.items())
        parts.append(f"<p>{' '.join(keys)}</p>")
        shown, rest = selected(stream.events, EVENTS_LISTED)
        parts.append(_table(EVENT_COLUMNS, [event_row(event, stream.sample_rate) for event in shown]))
        if rest:
            parts.append(f"<p>and {len(rest):,} more: {html.escape(by_kind(rest))}</p>")
    return "".join(parts)


def _figures(channel: ShownChannel) -> tuple[str, ...]:
    levels = (channel.level_dbfs, channel.residual_dbfs, channel.thd_plus_n_db)
    return (str(channel.channel), number(channel.frequency_hz, ".5f"), *(number(value, ".2f") for value in levels))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _picture(stream: ShownStream, rate_hz: int) -> str:
    """Return the events over time, a row for each channel that has any of its own and one for those of all."""
    frames = max([stream.frames, *(event.start_frame + event.duration_frames for event in stream.events)])
    scale = (_WIDTH - _LEFT - 10) / frames
    rows = sorted({event.channel or 0 for event in stream.events}) or [0]
    height = _ROW * len(rows) + 22
    drawn = []
    for place, channel in enumerate(rows):
        top = place * _ROW + 4
        label = f"ch {channel}" if channel else "all"
        drawn.append(f'<text x="0" y="{top + 13}" fill="currentColor">{label}</text>')
        drawn.append(
            f'<rect x="{_LEFT}" y="{top}" width="{stream.frames * scale:.1f}" height="{_ROW - 6}" '
            'fill="currentColor" fill-opacity=".12"/>'
        )
        here = [event for event in stream.events if (event.channel or 0) == channel]
        # Where many events lie within a pixel, one mark stands for those of a cause.
        marks = {(round(event.start_frame * scale), event.cause, event.fault): event for event in reversed(here)}
        drawn += [_mark(event, top, scale, rate_hz) for event in marks.values()]
    for tick in range(_TICKS):
        at = frames * tick / (_TICKS - 1)
        anchor = "end" if tick == _TICKS - 1 else "middle"
        drawn.append(
            f'<text x="{_LEFT + at * scale:.1f}" y="{height - 4}" fill="currentColor" text-anchor="{anchor}">'
            f"{at / rate_hz:.4g} s</text>"
        )
    said = html.escape(f"{counted(len(stream.events), 'event')} in {stream.frames / rate_hz:.3f} s", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" viewBox="0 0 {_WIDTH} {height}" '
        f'style="max-width:{_WIDTH}px;width:100%" font-family="sans-serif" font-size="11">{"".join(drawn)}</svg>'
    )


def _mark(event: Event, top: float, scale: float, rate_hz: int) -> str:
    time, frame, channel, kind, cause, packets, size = event_row(event, rate_hz)
    where = "all channels" if event.channel is None else f"channel {channel}"
    said = html.escape(f"{kind} at {time} s (frame {frame}), {where}, {cause}, {size}, packets {packets}")
    width = max(event.duration_frames * scale, _MIN_MARK)
    colour = _CAUSES[str(event.cause)]
    opacity = "1" if event.fault else ".4"
    return (
        f'<rect x="{_LEFT + event.start_frame * scale:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 6}" '
        f'fill="{colour}" fill-opacity="{opacity}"><title>{said}</title></rect>'
    )
