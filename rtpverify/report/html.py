"""The result as one HTML page to hand on: nothing loaded, light or dark as the reader has it, also on paper.

Without a script everything can be read; where the result has clips of its largest events, a script in the page draws
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from rtpverify.events import Event, rfc3339
from rtpverify.report import wording
from rtpverify.report.axes import ticks
from rtpverify.result import Result, StreamResult, Verdict, event_wording
from rtpverify.version import __version__

if TYPE_CHECKING:
    from rtpverify.result.clip import EventClip

EVENTS_SHOWN = 1000
"""Events of one stream that are listed; the rest is counted by kind. The timeline draws all of them."""

_TITLE = {Verdict.PASS: "Pass", Verdict.FAIL: "Fail", Verdict.INCONCLUSIVE: "Inconclusive"}

STYLE = """
:root { color-scheme: light dark; }
:root, .paper {
  --page: #f6f7f9; --card: #fff; --text: #1b2027; --quiet: #5d6673; --line: #d9dee5;
  --pass: #0f7a3d; --fail: #c1272d; --inconclusive: #8a5a00;
  --network: #2f6fde; --upstream: #c1272d; --unknown: #8a5a00;
  --wave: #2f6fde; --reference: #0f7a3d; --rest: #8a3fc7; --event: #c1272d; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171c; --card: #1d2128; --text: #e6e9ee; --quiet: #9aa4b2; --line: #343b46;
  --pass: #4cc27c; --fail: #ff6b6b; --inconclusive: #e0b04c;
  --network: #6ea2ff; --upstream: #ff6b6b; --unknown: #e0b04c;
  --wave: #6ea2ff; --reference: #4cc27c; --rest: #c79bff; --event: #ff6b6b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--page); color: var(--text);
  font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .4rem 1rem; margin-bottom: 1rem; }
h1 { font-size: 1.25rem; margin: 0; font-weight: 600; }
h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: .8rem; margin: 1.3rem 0 .4rem; color: var(--quiet); text-transform: uppercase; letter-spacing: .04em; }
.source, footer { color: var(--quiet); flex-basis: 100%; overflow-wrap: anywhere; }
.verdict { border: 2px solid; border-radius: .4rem; padding: .1rem .7rem; font-weight: 700; text-transform: uppercase; }
.pass { color: var(--pass); } .fail { color: var(--fail); } .inconclusive { color: var(--inconclusive); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.2rem;
  margin: 0 0 1rem; }
.title { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .5rem; align-items: baseline; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0 0; }
dt { color: var(--quiet); } dd { margin: 0; }
.warning { border-left: 4px solid var(--inconclusive); padding: .3rem .8rem; margin: .7rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--quiet); font-weight: 500; font-size: .85rem; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap; }
td.text { white-space: normal; min-width: 18rem; }
.number { text-align: right; }
.quiet { color: var(--quiet); }
.timeline { display: grid; grid-template-columns: max-content 1fr; gap: 0 1.2rem; padding-right: 1rem; }
.timeline div { font-size: 12px; line-height: 26px; }
svg { display: block; width: 100%; overflow: visible; }
svg rect { stroke-width: 2px; }
svg text { fill: var(--quiet); font-size: 12px; }
svg .rule { stroke: var(--line); }
.network { fill: var(--network); stroke: var(--network); } .upstream { fill: var(--upstream); stroke: var(--upstream); }
.unknown { fill: var(--unknown); stroke: var(--unknown); }
.key { display: inline-block; width: .7rem; height: .7rem; margin: 0 .3rem 0 0; }
.key.network { background: var(--network); } .key.upstream { background: var(--upstream); }
.key.unknown { background: var(--unknown); }
.legend span + span { margin-left: 1rem; }
.first { font-size: 1.1rem; border-left: 4px solid var(--fail); padding: .4rem .8rem; margin: .8rem 0; }
.first b { font-weight: 600; } a { color: var(--network); }
details.event { border-bottom: 1px solid var(--line); }
summary { display: grid; grid-template-columns: 8.5rem 7rem 4rem 9rem 6rem 1fr; gap: 0 .9rem; padding: .4rem 0;
  cursor: pointer; font-variant-numeric: tabular-nums; list-style-position: inside; }
summary::marker { content: ""; }
summary > :first-child::before { content: "▸ "; color: var(--quiet); }
details[open] > summary > :first-child::before { content: "▾ "; }
summary .kind { font-weight: 600; }
.plots { padding: .2rem 0 1rem; }
.plots canvas { display: block; width: 100%; height: 15rem; touch-action: pan-y; }
.plots .wave { height: 24rem; cursor: grab; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin-top: .6rem; }
.tools { display: flex; gap: .4rem; align-items: center; margin-bottom: .4rem; }
button { font: inherit; color: var(--text); background: var(--page); border: 1px solid var(--line);
  border-radius: .35rem; padding: .1rem .7rem; cursor: pointer; }
svg a { cursor: pointer; }
@media (max-width: 46rem) {
  body { padding: .7rem; }
  section { padding: .7rem .8rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .35rem; overflow-wrap: anywhere; }
  summary { grid-template-columns: auto auto 1fr; }
  summary .size { grid-column: 1 / -1; }
  .pair { grid-template-columns: 1fr; }
  .timeline { gap: 0 .6rem; }
  .events, .events tbody { display: block; } .events thead { display: none; }
  .events tr { display: grid; grid-template-columns: auto auto 1fr; gap: 0 .9rem; padding: .4rem 0;
    border-bottom: 1px solid var(--line); }
  .events td { border: 0; padding: 0; text-align: left; } .events td.text { grid-column: 1 / -1; min-width: 0; }
  .plots .wave { height: 19rem; } .plots canvas { height: 12rem; }
}
@media print {
  :root { --page: #fff; --card: #fff; --text: #000; --quiet: #444; --line: #ccc; --pass: #0f7a3d; --fail: #b00;
    --inconclusive: #8a5a00; --network: #2f6fde; --upstream: #b00; --unknown: #8a5a00; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10.5pt; background: #fff; }
  section { border: 0; padding: 0; } .tools { display: none; }
  .scroll { overflow: visible; } th, td { white-space: normal; padding-right: .5rem; }
  summary { grid-template-columns: 7.5rem 6rem 3.5rem 6.5rem 5rem 1fr; gap: 0 .5rem; break-inside: avoid; }
  .plots, tr, .title, .first { break-inside: avoid; } h3 { break-after: avoid; }
  .plots .wave { height: 17rem; } .plots canvas { height: 11rem; }
}
"""


def render(result: Result) -> str:
    """Return the result as one self-contained page.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.
    """
    verdict = result.verdict
    clips: list[dict[str, Any]] = []
    streams = "\n".join(_stream(stream, result.clips, clips) for stream in wording.in_order(result.streams))
    asked = wording.request(result)
    about = [*wording.host_lines(result), *result.warnings]
    if (count := wording.stream_count(result)) is not None:
        about.insert(0, count)
    host = "".join(f'<p class="warning">{escape(line)}</p>' for line in about)
    script = ""
    if clips:
        from rtpverify.report import event_plots

        data = f'<script type="application/json" id="clips">{event_plots.as_script(clips)}</script>'
        script = f"{data}\n<script>{event_plots.script()}</script>\n"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_TITLE[verdict]}: {escape(result.source)} – rtpverify</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<span class="verdict {verdict}">{_TITLE[verdict]}</span>
<h1>{escape(wording.headline(result))}</h1>
<div class="source">{escape(result.source)}</div>
</header>
{_first_fault(result)}{host}
{f"<section><h2>What was asked</h2>{_facts(asked)}</section>" if asked else ""}
{streams}
<footer>rtpverify {__version__}</footer>
{script}</body>
</html>
"""


def _first_fault(result: Result) -> str:
    """Say what went wrong first: the line that most readers want."""
    faults = [
        (event.start_frame / (stream.sample_rate or 1), n, event, stream)
        for n, stream in enumerate(result.streams)
        for event in stream.events
        if event.fault
    ]
    if not faults:
        return ""
    _, _, event, stream = min(faults, key=lambda item: item[:2])
    time, frame, channel, kind, cause, packets, _ = event_wording.event_row(event, stream.sample_rate)
    where = f"at {time} s (frame {frame})" if stream.sample_rate else f"at frame {frame}"
    on = "all channels" if channel == "all" else f"channel {channel}"
    carried = f", packets {packets}" if event.packets else ""
    name = f" of {' '.join(wording.identity(stream).split())}" if len(result.streams) > 1 else ""
    words = f"{where}, {on}{carried}{name}: {event.message or kind} (cause: {cause})"
    pictured = f' <a href="#{_anchor(event)}">picture</a>' if event.id in result.clips else ""
    return f'<p class="first"><b>First fault: {escape(kind)}</b> {escape(words)}{pictured}</p>\n'


def _stream(stream: StreamResult, clips: Mapping[str, EventClip], drawn: list[dict[str, Any]]) -> str:
    """Return a stream; data of the events that are drawn is added to ``drawn``."""
    facts = [("Format", wording.form(stream)), *wording.transport(stream), *wording.comparison(stream)]
    smallest = wording.sensitivity(stream)
    if smallest is not None:
        facts.append(("Detection limits", smallest))
    blind = {signal.blind_slip_frames for signal in stream.signal if signal.blind_slip_frames}
    if blind:
        facts.append(
            ("Blind spots", f"slips of {' or '.join(f'{frames:,}' for frames in sorted(blind))} frames or multiples")
        )
    if stream.inconclusive:
        facts.append(("Reason", stream.inconclusive))
    badge = f'<span class="verdict {stream.verdict}">{_TITLE[stream.verdict]}</span>'
    parts = [
        f'<div class="title"><h2>{escape(wording.identity(stream))}</h2>{badge}</div>',
        *([_timeline(stream, clips)] if stream.events else []),
        _facts(facts),
        *(f'<p class="warning">{escape(warning)}</p>' for warning in stream.warnings),
    ]
    if stream.signal:
        titles = [
            f"{title} {unit}".strip() for title, unit in zip(wording.SIGNAL_COLUMNS, wording.SIGNAL_UNITS, strict=True)
        ]
        cells = [[_cell(text, "number") for text in wording.signal_row(signal)] for signal in stream.signal]
        parts += ["<h3>Channels</h3>", _table([(title, "number") for title in titles], cells)]
    if stream.events:
        parts += ["<h3>Events</h3>", _drawn_events(stream, clips, drawn), _events(stream, clips)]
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    """Return a list of labels and values."""
    return "<dl>" + "\n".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in facts) + "</dl>"


def _drawn_events(stream: StreamResult, clips: Mapping[str, EventClip], drawn: list[dict[str, Any]]) -> str:
    """Return the events that have a picture; the first one on the page is open."""
    parts = []
    for event in sorted(stream.events, key=lambda event: event.start_frame):
        clip = clips.get(event.id)
        if clip is None:
            continue
        from rtpverify.report import event_plots

        time, frame, channel, kind, cause, _, size = event_wording.event_row(event, stream.sample_rate)
        cells = [f"<span>{time} s</span>", f"<span>{frame}</span>", f"<span>ch {channel}</span>"]
        cells += [f'<span class="kind">{escape(kind)}</span>', f"<span>{cause}</span>"]
        cells.append(f'<span class="size">{escape(size)}{_words(event)}</span>')
        plots = event_plots.PLOTS.format(number=len(drawn))
        parts.append(
            f'<details class="event" id="{_anchor(event)}"{"" if drawn else " open"}>'
            f"<summary>{''.join(cells)}</summary>{plots}</details>"
        )
        drawn.append(event_plots.encoded(stream, event, clip))
    return "\n".join(parts)


def _anchor(event: Event) -> str:
    return f"event-{escape(event.id)}"


def _events(stream: StreamResult, clips: Mapping[str, EventClip]) -> str:
    """Return the events without a picture as a table."""
    listed = [event for event in stream.events if event.id not in clips]
    if not listed:
        return ""
    shown, rest = event_wording.selected(listed, EVENTS_SHOWN)
    titles = [(title, "number" if title in ("Time s", "Frame", "Ch") else "") for title in event_wording.EVENT_COLUMNS]
    rows = []
    for event in shown:
        *cells, size = event_wording.event_row(event, stream.sample_rate)
        row = [_cell(text, style) for text, (_, style) in zip(cells, titles[:-1], strict=True)]
        rows.append([*row, f'<td class="text">{escape(size)}{_words(event)}</td>'])
    more = f"<p>and {len(rest):,} more: {escape(event_wording.by_kind(rest))}</p>" if rest else ""
    return _table(titles, rows, "events") + more


def _words(event: Event) -> str:
    """Return what happened, and when it arrived, as a line below the size."""
    arrived = f"arrived {rfc3339(event.time_ns)}" if event.time_ns is not None else ""
    words = "; ".join(part for part in (event.message, arrived) if part)
    return f'<br><span class="quiet">{escape(words)}</span>' if words else ""


def _cell(text: str, style: str) -> str:
    attribute = f' class="{style}"' if style else ""
    return f"<td{attribute}>{escape(text)}</td>"


def _table(titles: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], style: str = "") -> str:
    head = "".join(
        f'<th class="{style}">{escape(title)}</th>' if style else f"<th>{escape(title)}</th>" for title, style in titles
    )
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{style}"><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


_LANE, _BAR = 26, 14
"""Height of a lane of the timeline, and of a mark in it, in pixels; widths are shares of whatever there is."""
_SPOTS = 1000
"""Events that start within the same so many part of the timeline, and are as long, share a mark."""


def _timeline(stream: StreamResult, clips: Mapping[str, EventClip]) -> str:
    """Draw every event on the media timeline, one lane per kind in order of appearance."""
    first = stream.first_frame
    span = max(1, stream.frames, *(event.start_frame + event.duration_frames - first for event in stream.events))
    events = sorted(stream.events, key=lambda event: event.start_frame)
    kinds = list(dict.fromkeys(event.kind for event in events))
    bottom = _LANE * len(kinds)
    names, parts, marks = [], [], []
    for lane, kind in enumerate(kinds):
        y = lane * _LANE
        here = [event for event in events if event.kind is kind]
        names.append(f"<div>{kind} ({len(here):,})</div>")
        parts.append(f'<line class="rule" x1="0" x2="100%" y1="{y + _LANE}" y2="{y + _LANE}"/>')
        marks += _marks(here, y + (_LANE - _BAR) / 2, _SPOTS / span, stream, clips)
    rate, unit = (stream.sample_rate, " s") if stream.sample_rate else (1, "")
    for time in ticks(first / rate, (first + span) / rate):
        x = f"{100 * (time * rate - first) / span:.2f}%"
        parts.append(f'<line class="rule" x1="{x}" x2="{x}" y1="0" y2="{bottom + 5}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{time:g}{unit}</text>')
    causes = dict.fromkeys(str(event.cause) for event in events)
    legend = "".join(f'<span><i class="key {cause}"></i>{cause}</span>' for cause in causes)
    drawn = "".join(parts + marks)
    return (
        f'<div class="timeline"><div class="quiet">{"".join(names)}</div>'
        f'<svg role="img" aria-label="Events over time" style="height:{bottom + 28}px">{drawn}</svg></div>'
        f'<div class="legend quiet">{legend}</div>'
    )


def _marks(
    events: Sequence[Event], y: float, scale: float, stream: StreamResult, clips: Mapping[str, EventClip]
) -> list[str]:
    """Return a lane's marks; events that fall on the same spot share one."""
    spots: dict[tuple[int, int, str], list[Event]] = defaultdict(list)
    for event in events:
        width = max(1, round(event.duration_frames * scale))
        spots[round((event.start_frame - stream.first_frame) * scale), width, str(event.cause)].append(event)
    marks = []
    for (x, width, cause), here in spots.items():
        time, frame, channel, *_, size = event_wording.event_row(here[0], stream.sample_rate)
        title = f"{here[0].kind} at {time} s, frame {frame}, channel {channel}: {size}"
        if len(here) > 1:
            title += f" (and {len(here) - 1:,} more here)"
        left, length = 100 * x / _SPOTS, 100 * width / _SPOTS
        mark = (
            f'<rect class="{cause}" x="{left:g}%" y="{y:g}" width="{length:g}%" height="{_BAR}" rx="1">'
            f"<title>{escape(title)}</title></rect>"
        )
        pictured = next((event for event in here if event.id in clips), None)
        marks.append(mark if pictured is None else f'<a href="#{_anchor(pictured)}">{mark}</a>')
    return marks
