"""How events and the figures in them are written, for every report that people read.

A value that was not measured is :data:`UNMEASURED`, never a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rtpverify.events import Event

UNMEASURED = "–"

_UNITS = {
    "frames": ("frames", ",d"),
    "packets": ("packets", ",d"),
    "bits": ("bits", "d"),
    "hz": ("Hz", ",.5f"),
    "ppm": ("ppm", "+.3f"),
    "db": ("dB", "+.3f"),
    "dbfs": ("dBFS", "+.2f"),
    "rad": ("rad", "+.4g"),
}
"""Unit and format of a size, by the last word of its name."""

_SIGNED = ("slip_frames", "timestamp_jump_frames", "timestamp_deviation_frames", "timestamp_moved_frames")
"""Counts whose sign says which way."""

_FULL_SCALE = ("deviation", "dc_offset")
"""Sizes that are fractions of full scale."""

EVENT_COLUMNS = ("Time s", "Frame", "Ch", "Kind", "Cause", "Packets", "Size")


def number(value: float | None, form: str) -> str:
    """Write a number in a format, or :data:`UNMEASURED`.

    Parameters
    ----------
    value
        The number; None where it was not measured.
    form
        Format specification.

    Returns
    -------
    str
        Never ``-0``.
    """
    if value is None:
        return UNMEASURED
    text = format(value, form)
    return text.replace("-", "+" if "+" in form else "") if float(text) == 0 else text


def seconds(value: float | None) -> str:
    """Write a duration in the unit that suits its size.

    Parameters
    ----------
    value
        In seconds; None where it was not measured.

    Returns
    -------
    str
        In s, ms or µs.
    """
    if value is None:
        return UNMEASURED
    if value == 0 or abs(value) >= 1:
        return f"{value:.4g} s"
    return f"{value * 1e3:.4g} ms" if abs(value) >= 1e-3 else f"{value * 1e6:.4g} µs"


def counted(count: int, noun: str) -> str:
    """Write ``1 fault``, ``2 faults``.

    Parameters
    ----------
    count
        How many.
    noun
        What, in the singular.

    Returns
    -------
    str
        Number and noun.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def by_kind(events: Iterable[Event]) -> str:
    """Count events by kind, the most frequent first: ``3 gap, 1 slip``.

    Parameters
    ----------
    events
        The events.

    Returns
    -------
    str
        Empty where there are none.
    """
    return ", ".join(f"{count:,} {kind}" for kind, count in Counter(event.kind for event in events).most_common())


def event_row(event: Event, sample_rate: int | None) -> tuple[str, ...]:
    """Return the cells of one event, under :data:`EVENT_COLUMNS`.

    Parameters
    ----------
    event
        The event.
    sample_rate
        In Hz; None where it is not known.

    Returns
    -------
    tuple[str, ...]
        One text for each column.
    """
    return (
        f"{event.start_frame / sample_rate:.6f}" if sample_rate else UNMEASURED,
        f"{event.start_frame:,}",
        "all" if event.channel is None else str(event.channel),
        str(event.kind) if event.fault else f"{event.kind} (no fault)",
        str(event.cause),
        packets(event.packets),
        size(event, sample_rate),
    )


def packets(span: tuple[int, int] | None) -> str:
    """Write the first and last extended sequence number of an event.

    Parameters
    ----------
    span
        The two numbers; None where no packets carried it.

    Returns
    -------
    str
        One number where both are the same.
    """
    if span is None:
        return UNMEASURED
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"


def size(event: Event, sample_rate: int | None) -> str:
    """Write how long an event lasts and the figures of its kind, each with its unit.

    Parameters
    ----------
    event
        The event.
    sample_rate
        In Hz; None where it is not known.

    Returns
    -------
    str
        Parts separated by commas.
    """
    parts = [] if event.duration_frames == 0 else [counted(event.duration_frames, "frame")]
    if parts and sample_rate:
        parts[0] += f" ({seconds(event.duration_frames / sample_rate)})"
    figures = [_figure(name, value) for name, value in event.size.as_dict().items() if value is not None]
    parts += [figure.removeprefix(f"{event.kind.replace('_', ' ')} ") for figure in figures]
    if event.open:
        parts.append("ongoing")
    return ", ".join(parts) or UNMEASURED


def _figure(name: str, value: object) -> str:
    """Write one size by what its name says of it: the name without the unit, the value, the unit."""
    if name in _FULL_SCALE and isinstance(value, int | float):
        return f"{name.replace('_', ' ')} {value:.3g} of full scale"
    if isinstance(value, list | tuple):
        return f"{name.replace('_', ' ')} {' or '.join(map(str, value))}"
    label, _, suffix = name.rpartition("_")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name.replace('_', ' ')} {value}"
    if suffix == "seconds":
        return f"{label.replace('_', ' ')} {seconds(value)}"
    unit, form = _UNITS.get(suffix, ("", ""))
    if not unit:
        return f"{name.replace('_', ' ')} {value:.6g}"
    if form.endswith("d"):
        value = round(value)
        form = f"+{form}" if name in _SIGNED else form
    return f"{label.replace('_', ' ')} {value:{form}} {unit}".strip()


def selected(events: Sequence[Event], most: int) -> tuple[list[Event], list[Event]]:
    """Return the events to show, in time order, and the rest.

    Where there are more than ``most``, every kind keeps its first ones, so that a single slip is not hidden by a
    thousand gaps.

    Parameters
    ----------
    events
        The events.
    most
        How many to show.

    Returns
    -------
    shown : list of Event
        In order of time.
    rest : list of Event
        The others, in order of time.
    """
    in_time = sorted(events, key=lambda event: event.start_frame)
    rank: Counter[str] = Counter()
    ranked = []
    for place, event in enumerate(in_time):
        ranked.append((rank[event.kind], place))
        rank[event.kind] += 1
    shown = {place for _, place in sorted(ranked)[:most]}
    return (
        [event for place, event in enumerate(in_time) if place in shown],
        [event for place, event in enumerate(in_time) if place not in shown],
    )
