"""One fault on all channels is one event; anything else stays one per channel."""

from hypothesis import given
from hypothesis import strategies as st

from rtpverify.detect.merge_channels import INSTANT_TOLERANCE_FRAMES, ChannelMerger
from rtpverify.events import ClickSize, DropoutSize, Event, GainSize, SlipSize


def click(start, duration=1, **size):
    return Event(ClickSize(**size), start, duration)


def merged(channels, *events, horizon=None):
    merger = ChannelMerger(channels, 3000)
    for channel, event in events:
        merger.add(channel, event)
    return merger.take(horizon)


def test_all_channels_become_one():
    told = merged(3, (0, click(100)), (1, click(100)), (2, click(100)))
    assert [(event.channel, event.start_frame) for event in told] == [(None, 100)]


def test_some_channels_stay_apart():
    told = merged(3, (0, click(100)), (2, click(100)))
    assert [event.channel for event in told] == [1, 3]


def test_one_channel_is_told_as_channel_1():
    assert [event.channel for event in merged(1, (0, click(100)))] == [1]


def test_other_kinds_slips_and_frames_do_not_merge():
    assert len(merged(2, (0, click(100)), (1, Event(DropoutSize(), 100, 5)))) == 2
    slips = [(channel, Event(SlipSize(slip_frames=48 + channel), 100)) for channel in range(2)]
    assert len(merged(2, *slips)) == 2
    assert len(merged(2, (0, click(100)), (1, click(100 + INSTANT_TOLERANCE_FRAMES + 1)))) == 2
    assert len(merged(2, (0, click(100)), (1, click(100 + INSTANT_TOLERANCE_FRAMES)))) == 1


def test_sustained_departures_may_start_further_apart():
    told = merged(2, (0, Event(GainSize(), 1000, 9000)), (1, Event(GainSize(), 3500, 6500)))
    assert [event.channel for event in told] == [None]
    assert told[0].start_frame + told[0].duration_frames == 10_000


def test_nothing_is_told_before_every_channel_is_explained():
    merger = ChannelMerger(2, 3000)
    merger.add(0, click(100))
    assert merger.take(100) == []
    assert merger.waiting
    merger.add(1, click(102))
    assert [event.channel for event in merger.take(1000)] == [None]
    assert not merger.waiting


def test_an_open_event_is_told_again_as_the_same_object():
    merger = ChannelMerger(2, 3000)
    members = [Event(GainSize(), 1000, 500, open=True) for _ in range(2)]
    for channel, event in enumerate(members):
        merger.add(channel, event)
    (first,) = merger.take(10_000)
    assert first.open
    for channel, event in enumerate(members):
        event.duration_frames, event.open, event.message = 7000 + channel, False, "ended"
        merger.add(channel, event)
    again = merger.take(20_000)
    assert len(again) == 1
    assert again[0] is first
    assert first.message == members[0].message
    assert (first.duration_frames, first.open) == (7001, False)


@given(
    channels=st.integers(1, 4),
    starts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), max_size=12),
    horizons=st.lists(st.integers(0, 500), max_size=5),
)
def test_every_event_is_told_exactly_once_in_order(channels, starts, horizons):
    merger = ChannelMerger(channels, 3000)
    events = [(channel, click(start)) for channel, start in starts if channel < channels]
    for channel, event in events:
        merger.add(channel, event)
    told = [event for horizon in sorted(horizons) for event in merger.take(horizon)] + merger.take(None)
    weight = sum(channels if event.channel is None else 1 for event in told)
    assert weight == len(events)
    assert len({id(event) for event in told}) == len(told)
    assert merger.take(None) == []
