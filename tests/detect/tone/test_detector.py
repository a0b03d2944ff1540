"""Streams judged together are judged as if they were alone."""

import itertools

import numpy as np

from rtpverify.engine.format_group import Analysis, stream_format
from rtpverify.limits import Limits
from rtpverify.reference import Tone
from tests.helpers.corpus import Case

RATE_HZ = 48000
PIECE = 9600
FAULTS = [
    "click:at=0.7,size=0.01",
    "slip:at=0.8,frames=48",
    "gain:at=0.6,db=-1,duration=0.4",
    "dropout:at=0.9,frames=99",
]


def judge(streams, frames, holes=()):
    """Return the events of each row of one analysis; ``holes`` never arrive, on any of them."""
    reference = Tone((997.0,))
    analysis = Analysis(stream_format(RATE_HZ, 2, 1, reference), PIECE)
    rows = np.array([analysis.add(reference, Limits(), 16) for _ in streams])
    told = {row: {} for row in rows.tolist()}
    for start in range(0, frames, PIECE):
        edges = [start, *(edge for hole in holes for edge in hole if start < edge < start + PIECE), start + PIECE]
        for low, high in itertools.pairwise(edges):
            if any(first <= low < last for first, last in holes):
                continue
            for row, x in zip(rows.tolist(), streams, strict=True):
                analysis.timeline.write_run(row, low, x[low:high])
        analysis.advance(rows, np.full(len(rows), start + PIECE))
        for row, event in analysis.take_events():
            told[row][id(event)] = event
    for row in rows.tolist():
        for event in analysis.finish(row, frames):
            told[row][id(event)] = event
    signals = [analysis.detector.signal(row) for row in rows.tolist()]
    return [[event.to_dict() for event in told[row].values()] for row in rows.tolist()], signals


def test_rows_together_are_what_they_are_alone():
    frames = 8 * PIECE
    streams = [Case((fault,), seconds=2.0).signal().read(0, frames) for fault in FAULTS]
    together, signals = judge(streams, frames)
    for fault, events, signal, x in zip(FAULTS, together, signals, streams, strict=True):
        (alone,), (alone_signal,) = judge([x], frames)
        assert events == alone, fault
        assert len(events) == 1
        assert events[0]["kind"] == fault.partition(":")[0]
        assert [item.frequency_hz for item in signal] == [item.frequency_hz for item in alone_signal]


def test_holes_of_any_size_are_no_fault_of_the_signal():
    frames = 8 * PIECE
    x = Case(seconds=2.0).signal().read(0, frames)
    holes = [(20_000, 20_048), (30_100, 30_101), (40_000, 45_000), (57_000, 57_600), (60_000, 60_006)]
    (events,), signals = judge([x], frames, holes)
    assert events == []
    assert abs(signals[0][0].frequency_hz - 997.0) < 1e-5


def test_a_fault_beside_a_hole_is_found():
    frames = 8 * PIECE
    x = Case(("click:at=0.6252,size=0.1",), seconds=2.0).signal().read(0, frames)
    (events,), _ = judge([x], frames, [(30_000, 30_005), (30_100, 30_148)])
    assert [(event["kind"], event["start_frame"]) for event in events] == [("click", 30_010)]
