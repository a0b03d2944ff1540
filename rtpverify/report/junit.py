"""The result as JUnit XML, as Jenkins and GitLab read it.

One ``testsuite`` per stream and in it one ``testcase`` per family of faults, found or not: the set of cases is the
same in every run, so CI can distinguish a new failure from an old one. A suite's name comes from the destination or
file, never from the SSRC, which changes with every run of a sender. Events that the limits count as faults fail their
case; a stream that could not be verified, or a check to which nothing arrived, is an ``error``; what a check without a
reference does not verify is ``skipped``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from xml.etree import ElementTree as ET

from rtpverify.events import Event, Kind
from rtpverify.report import wording
from rtpverify.report.printable import printable
from rtpverify.result import Result, StreamResult, event_wording

FAMILIES: dict[str, tuple[Kind, ...]] = {
    "transport": (Kind.GAP, Kind.DUPLICATE, Kind.REORDER, Kind.LATE, Kind.STALL, Kind.JITTER),
    "presence": (Kind.ENDED, Kind.MISSING),
    "sender": (
        Kind.SENDER_CHANGE,
        Kind.SSRC_CHANGE,
        Kind.PAYLOAD_TYPE_CHANGE,
        Kind.TIMESTAMP_JUMP,
        Kind.TIMESTAMP_ERROR,
        Kind.RESTART,
    ),
    "continuity": (Kind.SLIP, Kind.DROPOUT, Kind.REPEAT, Kind.CLICK, Kind.SILENCE),
    "frequency": (Kind.FREQUENCY, Kind.SAMPLE_RATE),
    "quality": (
        Kind.GAIN,
        Kind.CLIPPING,
        Kind.DISTORTION,
        Kind.NOISE,
        Kind.DC_OFFSET,
        Kind.CHANNEL_SWAP,
        Kind.POLARITY,
        Kind.WORD_LENGTH,
        Kind.BYTE_ORDER,
        Kind.MISMATCH,
    ),
}
"""Every kind of event, by the test case that it fails."""

_OF_PACKETS = ("transport", "presence", "sender")
"""Families that a file cannot have."""


def render(result: Result) -> str:
    """Return the result as one JUnit XML document.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    str
        One test suite for each stream.
    """
    root = ET.Element("testsuites", name="rtpverify")
    names = _names(result)
    suites = [_suite(name, stream) for name, stream in zip(names, result.streams, strict=True)]
    asked = result.request
    if not suites:
        suites.append(_of_all(result.source, "arrived", "error", "inconclusive", wording.headline(result)))
    if result.streams_refused:
        suites.append(_of_all(result.source, "all verified", "error", "inconclusive", wording.refused(result)))
    if (count := wording.stream_count(result)) is not None:
        suites.append(_of_all(result.source, "expected number of streams", "failure", "streams", count))
    if result.warnings:
        out = suites[0].find("system-out")
        out = ET.SubElement(suites[0], "system-out") if out is None else out
        out.text = "\n".join([*result.warnings, *([out.text] if out.text else [])])
    totals: Counter[str] = Counter()
    for suite in suites:
        counts = {
            "tests": len(suite.findall("testcase")),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        suite.attrib |= {key: str(count) for key, count in counts.items()}
        totals.update(counts)
        if asked is not None:
            suite.attrib |= {"timestamp": asked.time, "hostname": asked.host}
            suite[0].extend(
                ET.Element("property", name=label.lower(), value=text) for label, text in wording.request(result)
            )
        root.append(suite)
    root.attrib |= {key: str(totals[key]) for key in ("tests", "failures", "errors", "skipped")}
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _legal(ET.tostring(root, encoding="unicode")) + "\n"


def _of_all(source: str, title: str, outcome: str, kind: str, message: str) -> ET.Element:
    """Return a suite of one test case that no single stream fails."""
    suite = ET.Element("testsuite", name=_dotless(source))
    ET.SubElement(suite, "properties")
    case = ET.SubElement(suite, "testcase", classname=f"rtpverify.{_dotless(source)}", name=title, time="0")
    ET.SubElement(case, outcome, type=kind, message=message)
    return suite


def _names(result: Result) -> list[str]:
    """Name each stream by its destination or file; streams of one destination are numbered."""
    places = [_dotless(stream.destination or PurePath(result.source).name) for stream in result.streams]
    total, seen = Counter(places), Counter[str]()
    names = []
    for place in places:
        seen[place] += 1
        names.append(place if total[place] == 1 else f"{place} #{seen[place]}")
    return names


def _dotless(text: str) -> str:
    """Replace the dots, at which Jenkins cuts a class name into packages."""
    return text.replace(".", "_")


def _suite(name: str, stream: StreamResult) -> ET.Element:
    duration = stream.frames / stream.sample_rate if stream.sample_rate else 0.0
    suite = ET.Element("testsuite", name=name, time=f"{duration:.3f}")
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(stream):
        ET.SubElement(properties, "property", name=key, value=value)

    def case(title: str) -> ET.Element:
        return ET.SubElement(suite, "testcase", classname=f"rtpverify.{name}", name=title, time="0")

    judged = case("judged")
    if stream.inconclusive:
        ET.SubElement(judged, "error", type="inconclusive", message=stream.inconclusive)
    for family, kinds in FAMILIES.items():
        if stream.transport is None and family in _OF_PACKETS:
            continue
        events = [event for event in stream.events if event.kind in kinds]
        faults = [event for event in events if event.fault]
        element = case(family)
        if faults:
            types = ",".join(dict.fromkeys(str(event.kind) for event in faults))
            failure = ET.SubElement(element, "failure", type=types, message=_message(faults))
            failure.text = _lines(faults, stream.sample_rate)
        elif events:
            ET.SubElement(element, "system-out").text = _lines(events, stream.sample_rate)
        elif stream.is_missing:
            ET.SubElement(element, "skipped", message="no packet of the stream arrived")
        elif not stream.signal and family not in _OF_PACKETS:
            ET.SubElement(element, "skipped", message="the signal was not checked")
    if stream.warnings:
        ET.SubElement(suite, "system-out").text = "\n".join(stream.warnings)
    return suite


def _properties(stream: StreamResult) -> list[tuple[str, str]]:
    pairs = [("stream", wording.identity(stream)), ("format", wording.form(stream)), *wording.transport(stream)]
    pairs += wording.comparison(stream)
    smallest = wording.sensitivity(stream)
    if smallest is not None:
        pairs.append(("detection limits", smallest))
    for signal in stream.signal:
        cells = zip(wording.SIGNAL_COLUMNS[1:], wording.signal_row(signal)[1:], wording.SIGNAL_UNITS[1:], strict=True)
        text = ", ".join(
            f"{title} {cell} {unit}".strip() for title, cell, unit in cells if cell != event_wording.UNMEASURED
        )
        pairs.append((f"channel {signal.channel}", text))
    return pairs


def _message(faults: list[Event]) -> str:
    """Return the first fault's sentence and how many there are."""
    first = min(faults, key=lambda event: event.start_frame)
    sentence = first.message or str(first.kind)
    return sentence if len(faults) == 1 else f"{sentence} (first of {len(faults):,})"


def _lines(events: list[Event], sample_rate: int | None) -> str:
    """Write one line for each of the first events."""
    shown, rest = event_wording.selected(events, 100)
    lines = []
    for event in shown:
        time, frame, channel, kind, cause, packets, size = event_wording.event_row(event, sample_rate)
        lines.append(
            f"{time} s, frame {frame}, channel {channel}: {kind} ({cause}), packets {packets}, {size}. {event.message}"
        )
    if rest:
        lines.append(f"and {len(rest):,} more")
    return "\n".join(lines)


def _legal(text: str) -> str:
    """Escape the control characters that XML 1.0 cannot hold (section 2.2)."""
    return "".join(one if one >= " " or one in "\t\n\r" else printable(one) for one in text)
