from __future__ import annotations

import pytest

from rtpverify.commands.demo.match import match, meets
from rtpverify.events import Event, Kind
from rtpverify.sender.faults import ExpectedEvent

GAP = ExpectedEvent(Kind.GAP, 48000, 144, size={"packets_lost": 3})
SLIP = ExpectedEvent(Kind.SLIP, 96000, 0, size={"slip_frames": 48})


@pytest.mark.parametrize(
    ("event", "expected", "holds"),
    [
        (Event(Kind.GAP, 48000, 144), GAP, True),
        (Event(Kind.GAP, 48000, 144, size={"packets_lost": 3}), GAP, True),
        (Event(Kind.GAP, 48000, 144, size={"packets_lost": 2}), GAP, False),
        (Event(Kind.GAP, 48001, 144), GAP, False),
        (Event(Kind.GAP, 48000, 96), GAP, False),
        (Event(Kind.SLIP, 48000, 144), GAP, False),
        (Event(Kind.SLIP, 96002, size={"slip_frames": 48}), SLIP, True),
        (Event(Kind.SLIP, 96003, size={"slip_frames": 48}), SLIP, False),
        (Event(Kind.SLIP, 96000, size={"slip_frames": -48}), SLIP, False),
        (
            Event(Kind.GAIN, 100, size={"gain_db": -0.52}),
            ExpectedEvent(Kind.GAIN, 0, None, size={"gain_db": -0.5}),
            True,
        ),
        (
            Event(Kind.GAIN, 100, size={"gain_db": -0.55}),
            ExpectedEvent(Kind.GAIN, 0, None, size={"gain_db": -0.5}),
            False,
        ),
        (
            Event(Kind.GAIN, 100, size={"gain_db": None}),
            ExpectedEvent(Kind.GAIN, 0, None, size={"gain_db": -0.5}),
            False,
        ),
        (Event(Kind.CLICK, 7, channel=1), ExpectedEvent(Kind.CLICK, 7, 0, 1), True),
        (Event(Kind.CLICK, 7, channel=2), ExpectedEvent(Kind.CLICK, 7, 0, 1), False),
        (Event(Kind.CLICK, 7), ExpectedEvent(Kind.CLICK, 7, 0, 1), False),
        (Event(Kind.SILENCE, 4000, 99999, channel=1), ExpectedEvent(Kind.SILENCE, 0, None, 1), True),
        (Event(Kind.SILENCE, 5000, 99999, channel=1), ExpectedEvent(Kind.SILENCE, 0, None, 1), False),
    ],
)
def test_an_event_meets_what_it_says(event: Event, expected: ExpectedEvent, holds: bool) -> None:
    assert meets(event, expected) is holds


def told(injected: list[ExpectedEvent], found: list[Event]) -> list[tuple[bool, bool]]:
    return [(item.injected is not None, item.found is not None) for item in match(injected, found, 2)]


def slips(*channels: int | None) -> list[Event]:
    return [Event(Kind.SLIP, 96000, channel=channel, size={"slip_frames": 48}) for channel in channels]


def test_each_side_stands_alone_where_the_other_is_missing() -> None:
    click = Event(Kind.CLICK, 1)
    assert told([GAP, SLIP], [click, Event(Kind.GAP, 48000, 144)]) == [(False, True), (True, True), (True, False)]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ([None], [(True, True)]),
        ([1, 2], [(True, True)]),
        ([1, 2, 1], [(True, True), (False, True)]),
        ([1], [(True, False), (False, True)]),
    ],
)
def test_one_event_on_every_channel_tells_the_same_as_one_for_all(
    channels: list[int | None], expected: list[tuple[bool, bool]]
) -> None:
    assert told([SLIP], slips(*channels)) == expected


def test_an_event_is_used_once() -> None:
    assert told([GAP, GAP], [Event(Kind.GAP, 48000, 144)]) == [(True, True), (True, False)]


def test_what_is_no_fault_is_no_finding() -> None:
    assert told([], [Event(Kind.WORD_LENGTH, 0, fault=False)]) == []
