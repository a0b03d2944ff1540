"""The result as one HTML page to hand on: no script, nothing loaded, light or dark as the reader has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape

from rtpverify.events import Event, rfc3339
from rtpverify.report import wording
from rtpverify.report.axes import ticks
from rtpverify.result import Result, StreamResult, Verdict, event_wording
from rtpverify.version import __version__

EVENTS_SHOWN = 1000
"""Events of one stream that are listed; the rest is counted by kind. The timeline draws all of them."""

_TITLE = {Verdict.PASS: "Pass", Verdict.FAIL: "Fail", Verdict.INCONCLUSIVE: "Inconclusive"}

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #1b2027; --quiet: #5d6673; --line: #d9dee5;
  --pass: #0f7a3d; --fail: #c1272d; --inconclusive: #8a5a00;
  --network: #2f6fde; --upstream: #c1272d; --unknown: #8a5a00; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171c; --card: #1d2128; --text: #e6e9ee; --quiet: #9aa4b2; --line: #343b46;
  --pass: #4cc27c; --fail: #ff6b6b; --inconclusive: #e0b04c;
  --network: #6ea2ff; --upstream: #ff6b6b; --unknown: #e0b04c; } }
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
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--quiet); font-size: 12px; }
svg .rule { stroke: var(--line); }
.network { fill: var(--network); } .upstream { fill: var(--upstream); } .unknown { fill: var(--unknown); }
.key { display: inline-block; width: .7rem; height: .7rem; margin: 0 .3rem 0 0; }
.key.network { background: var(--network); } .key.upstream { background: var(--upstream); }
.key.unknown { background: var(--unknown); }
.legend span + span { margin-left: 1rem; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


def render(result: Result) -> str:
    """Return the result as one self-contained page."""
    verdict = result.verdict
    streams = "\n".join(_stream(stream) for stream in wording.in_order(result.streams))
    asked = wording.request(result)
    about = [*wording.host_lines(result), *result.warnings]
    host = "".join(f'<p class="warning">{escape(line)}</p>' for line in about)
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
{host}
{streams}
<footer>{_facts(asked) if asked else f"rtpverify {__version__}"}</footer>
</body>
</html>
"""


def _stream(stream: StreamResult) -> str:
    facts = [("Format", wording.form(stream)), *wording.transport(stream), *wording.comparison(stream)]
    smallest = wording.sensitivity(stream)
    if smallest is not None:
        facts.append(("Detection limits", smallest))
    if stream.inconclusive:
        facts.append(("Reason", stream.inconclusive))
    badge = f'<span class="verdict {stream.verdict}">{_TITLE[stream.verdict]}</span>'
    parts = [
        f'<div class="title"><h2>{escape(wording.identity(stream))}</h2>{badge}</div>',
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
        parts += ["<h3>Timeline</h3>", _timeline(stream), "<h3>Events</h3>", _events(stream)]
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    """Return a list of labels and values."""
    return "<dl>" + "\n".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in facts) + "</dl>"


def _events(stream: StreamResult) -> str:
    shown, rest = event_wording.selected(stream.events, EVENTS_SHOWN)
    titles = [(title, "number" if title in ("Time s", "Frame", "Ch") else "") for title in event_wording.EVENT_COLUMNS]
    rows = []
    for event in shown:
        *cells, size = event_wording.event_row(event, stream.sample_rate)
        row = [_cell(text, style) for text, (_, style) in zip(cells, titles[:-1], strict=True)]
        message = f'<br><span class="quiet">{escape(event.message)}</span>' if event.message else ""
        moment = rfc3339(event.time_ns) or event_wording.UNMEASURED
        rows.append([*row, f'<td class="text">{escape(size)}{message}</td>', _cell(moment, "")])
    more = f"<p>and {len(rest):,} more: {escape(event_wording.by_kind(rest))}</p>" if rest else ""
    return _table([*titles, ("Arrival", "")], rows) + more


def _cell(text: str, style: str) -> str:
    attribute = f' class="{style}"' if style else ""
    return f"<td{attribute}>{escape(text)}</td>"


def _table(titles: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(
        f'<th class="{style}">{escape(title)}</th>' if style else f"<th>{escape(title)}</th>" for title, style in titles
    )
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


_WIDTH, _LEFT, _LANE, _BAR = 1100, 150, 26, 14
"""Of the timeline, in SVG units: whole width, room for the lanes' names, height of a lane and of a mark in it."""


def _timeline(stream: StreamResult) -> str:
    """Draw every event on the media timeline, one lane per kind in order of appearance."""
    span = max(1, stream.frames, *(event.start_frame + event.duration_frames for event in stream.events))
    events = sorted(stream.events, key=lambda event: event.start_frame)
    kinds = list(dict.fromkeys(event.kind for event in events))
    bottom = _LANE * len(kinds)
    scale = (_WIDTH - _LEFT - 10) / span
    parts = []
    for lane, kind in enumerate(kinds):
        y = lane * _LANE
        count = sum(event.kind is kind for event in events)
        parts.append(f'<text x="0" y="{y + 17}">{kind} ({count:,})</text>')
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y + _LANE}" y2="{y + _LANE}"/>')
        parts += _marks([event for event in events if event.kind is kind], y + (_LANE - _BAR) / 2, scale, stream)
    rate, unit = (stream.sample_rate, " s") if stream.sample_rate else (1, "")
    for time in ticks(0, span / rate):
        x = _LEFT + time * rate * scale
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom + 5}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{time:g}{unit}</text>')
    causes = dict.fromkeys(str(event.cause) for event in events)
    legend = "".join(f'<span><i class="key {cause}"></i>{cause}</span>' for cause in causes)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 28}" role="img" aria-label="Events over time">{"".join(parts)}</svg>'
        f'<div class="legend quiet">{legend}</div>'
    )


def _marks(events: Sequence[Event], y: float, scale: float, stream: StreamResult) -> list[str]:
    """Return a lane's marks; events that fall on the same spot share one."""
    spots: dict[tuple[int, int, str], list[Event]] = defaultdict(list)
    for event in events:
        width = max(3, round(event.duration_frames * scale))
        spots[round(event.start_frame * scale), width, str(event.cause)].append(event)
    marks = []
    for (x, width, cause), here in spots.items():
        time, frame, channel, *_, size = event_wording.event_row(here[0], stream.sample_rate)
        title = f"{here[0].kind} at {time} s, frame {frame}, channel {channel}: {size}"
        if len(here) > 1:
            title += f" (and {len(here) - 1:,} more here)"
        marks.append(
            f'<rect class="{cause}" x="{_LEFT + x}" y="{y:g}" width="{width}" height="{_BAR}" rx="1">'
            f"<title>{escape(title)}</title></rect>"
        )
    return marks
