from __future__ import annotations

import pytest

from rtpverify.commands.demo.match import match, meets
from rtpverify.events import ClickSize, Event, GainSize, GapSize, Kind, SilenceSize, SlipSize, WordLengthSize
from rtpverify.sender.faults import ExpectedEvent

GAP = ExpectedEvent(Kind.GAP, 48000, 144, size={"packets_lost": 3})
SLIP = ExpectedEvent(Kind.SLIP, 96000, 0, size={"slip_frames": 48})


@pytest.mark.parametrize(
    ("event", "expected", "holds"),
    [
        (Event(GapSize(), 48000, 144), GAP, False),
        (Event(GapSize(packets_lost=3), 48000, 144), GAP, True),
        (Event(GapSize(packets_lost=2), 48000, 144), GAP, False),
        (Event(GapSize(packets_lost=3), 48001, 144), GAP, False),
        (Event(GapSize(packets_lost=3), 48000, 96), GAP, False),
        (Event(SlipSize(), 48000, 144), GAP, False),
        (Event(SlipSize(slip_frames=48), 96002), SLIP, True),
        (Event(SlipSize(slip_frames=48), 96003), SLIP, False),
        (Event(SlipSize(slip_frames=-48), 96000), SLIP, False),
        (
            Event(GainSize(gain_db=-0.52), 100),
            ExpectedEvent(Kind.GAIN, 0, None, size={"gain_db": -0.5}),
            True,
        ),
        (
            Event(GainSize(gain_db=-0.55), 100),
            ExpectedEvent(Kind.GAIN, 0, None, size={"gain_db": -0.5}),
            False,
        ),
        (
            Event(GainSize(gain_db=None), 100),
            ExpectedEvent(Kind.GAIN, 0, None, size={"gain_db": -0.5}),
            False,
        ),
        (Event(ClickSize(), 7, channel=1), ExpectedEvent(Kind.CLICK, 7, 0, 1), True),
        (Event(ClickSize(), 7, channel=2), ExpectedEvent(Kind.CLICK, 7, 0, 1), False),
        (Event(ClickSize(), 7), ExpectedEvent(Kind.CLICK, 7, 0, 1), False),
        (Event(SilenceSize(), 4000, 99999, channel=1), ExpectedEvent(Kind.SILENCE, 0, None, 1), True),
        (Event(SilenceSize(), 5000, 99999, channel=1), ExpectedEvent(Kind.SILENCE, 0, None, 1), False),
    ],
)
def test_an_event_meets_what_it_says(event: Event, expected: ExpectedEvent, holds: bool) -> None:
    assert meets(event, expected) is holds


def told(injected: list[ExpectedEvent], found: list[Event]) -> list[tuple[bool, bool]]:
    return [(item.injected is not None, item.found is not None) for item in match(injected, found, 2)]


def slips(*channels: int | None) -> list[Event]:
    return [Event(SlipSize(slip_frames=48), 96000, channel=channel) for channel in channels]


def test_each_side_stands_alone_where_the_other_is_missing() -> None:
    click, gap = Event(ClickSize(), 1), Event(GapSize(packets_lost=3), 48000, 144)
    assert told([GAP, SLIP], [click, gap]) == [
        (False, True),
        (True, True),
        (True, False),
    ]


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
    assert told([GAP, GAP], [Event(GapSize(packets_lost=3), 48000, 144)]) == [(True, True), (True, False)]


def test_what_is_no_fault_is_no_finding() -> None:
    assert told([], [Event(WordLengthSize(), 0, fault=False)]) == []
