"""Frames come back as they were written, holes as holes, whatever wraps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.media.timeline import GROWTH, MAX_SHIFTS, MediaTime, Timeline
from tests.helpers.memory import held_bytes

BLOCK, HISTORY, AHEAD = 20, 100, 60


def samples_of(frame, channels):
    """What stands at each frame: its number, and the channel behind the point."""
    return np.asarray(frame)[..., None] + np.arange(channels) / 8


def make(channels=2, packet_frames=1, streams=1):
    timeline = Timeline(channels, BLOCK, HISTORY, AHEAD, packet_frames)
    for row in range(streams):
        assert timeline.add() == row
    return timeline


def one(value):
    return np.array([value])


@given(
    packet_frames=st.sampled_from([1, 3, 5, 10, 19, 20, 23]),  # 23 frames fit no ring of whole blocks and packets
    lost=st.sets(st.integers(0, 60), max_size=20),
    offset=st.integers(0, 7),
    packets=st.integers(40, 61),
)
@settings(max_examples=60, deadline=None)
def test_packets_read_back_with_their_holes(packet_frames, lost, offset, packets):
    timeline = make(2, packet_frames)
    there = np.zeros(packets * packet_frames + offset, bool)
    for packet in range(packets):
        frame = offset + packet * packet_frames
        ready = frame // BLOCK - int(timeline.consumed_block[0])
        if ready > 0:
            timeline.consume(one(0), one(ready))
        if packet in lost:
            continue
        span = np.arange(frame, frame + packet_frames)
        assert timeline.write(one(0), one(frame), samples_of(span, 2)[None]) == 0
        there[span] = True
    stop = len(there)
    start = max(0, int(timeline.consumed_block[0]) * BLOCK - HISTORY)
    for channel in range(2):
        x, valid = timeline.read(0, channel, start, stop)
        assert np.array_equal(valid, there[start:])
        assert np.array_equal(x[valid], samples_of(np.arange(start, stop), 2)[valid, channel])


@given(cuts=st.lists(st.integers(1, AHEAD), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_runs_read_back_however_they_are_cut(cuts):
    timeline, frame = make(), 0
    for cut in cuts:
        timeline.write_run(0, frame, samples_of(np.arange(frame, frame + cut), 2))
        frame += cut
        ready = frame // BLOCK - int(timeline.consumed_block[0])
        if ready:
            x, valid = timeline.blocks(one(0), timeline.consumed_block[:1], one(ready))
            assert valid.all()
            first = int(timeline.consumed_block[0]) * BLOCK
            assert np.array_equal(x[0, 1].ravel(), np.arange(first, first + ready * BLOCK) + 1 / 8)
            timeline.consume(one(0), one(ready))
    x, valid = timeline.read(0, 0, max(0, frame - HISTORY), frame)
    assert valid.all()
    assert np.array_equal(x, np.arange(max(0, frame - HISTORY), frame))


def test_frames_outside_the_span_are_left_out_and_counted():
    timeline = make()
    timeline.consume(one(0), one(20))
    low, high = timeline.limits(one(0))
    at = np.array([low[0] - 1, low[0], high[0] - 4, high[0] - 3])
    assert timeline.write(np.zeros(4, np.int64), at, np.ones((4, 4, 2))) == 2
    assert timeline.read(0, 0, int(low[0]), int(low[0]) + 4)[1].all()
    assert not timeline.read(0, 0, int(low[0]) - 1, int(low[0]))[1].any()


def test_what_left_the_history_or_is_not_there_yet_reads_as_holes():
    timeline = make()
    for start in range(0, 400, BLOCK):
        timeline.write_run(0, start, samples_of(np.arange(start, start + BLOCK), 2))
        timeline.consume(one(0), one(1))
    assert not timeline.read(0, 0, 0, 400 - HISTORY)[1].any()
    assert timeline.read(0, 0, 400 - HISTORY, 400)[1].all()
    assert not timeline.read(0, 0, 400, 400 + AHEAD)[1].any()
    assert not timeline.read(0, 0, -50, 0)[1].any()


def test_what_lies_a_whole_ring_ahead_reads_as_a_hole():
    timeline = make()
    timeline.write_run(0, 0, samples_of(np.arange(timeline.capacity), 2))
    assert timeline.read(0, 0, 0, timeline.capacity + 1)[1].tolist() == [True] * timeline.capacity + [False]
    assert timeline.read(0, 1, timeline.capacity - 1, timeline.capacity)[0].tolist() == [timeline.capacity - 1 + 1 / 8]


def test_stepping_past_blocks_keeps_the_history_of_those_that_step_less():
    timeline = make(streams=2)
    for row in range(2):
        timeline.write_run(row, 0, samples_of(np.arange(10 * BLOCK), 2))
    timeline.consume(np.array([0, 1]), np.array([9, 7]))
    for row, blocks in ((0, 9), (1, 7)):
        oldest = blocks * BLOCK - HISTORY
        _, valid = timeline.read(row, 0, oldest - 1, 10 * BLOCK)
        assert valid.tolist() == [False] + [True] * (10 * BLOCK - oldest)


@pytest.mark.parametrize(
    ("packet_frames", "capacity"), [(1, 40), (3, 60), (16, 80), (80, 80), (81, 40), (120, 40), (40, 40), (20, 40)]
)
def test_the_ring_is_of_whole_packets_unless_that_doubles_it(packet_frames, capacity):
    assert Timeline(1, 10, 10, 10, packet_frames).capacity == capacity


@pytest.mark.parametrize("hole", [None, 4 * BLOCK + 3])
def test_a_stretch_is_the_blocks_of_a_row_wherever_the_ring_ends(hole):
    timeline, frames = make(streams=2), 13 * BLOCK
    per_ring = timeline.capacity // BLOCK
    for start in range(0, frames, BLOCK):
        timeline.write_run(1, start, samples_of(np.arange(start, start + BLOCK), 2))
        if start // BLOCK < 8:
            timeline.consume(one(1), one(1))
    if hole is not None:
        timeline.begin(1, 0)
        for start in range(8 * BLOCK):
            if start != hole:
                timeline.write_run(1, start, samples_of([start], 2))
    first, last = (3, 13) if hole is None else (0, 8)
    for start in range(first, last):
        for count in range(1, last - start + 1):
            data, whole = timeline.stretch(1, start, count)
            assert data.shape == (2, count, BLOCK)
            frame = np.arange(start * BLOCK, (start + count) * BLOCK)
            there = frame != hole
            for channel in range(2):
                assert np.array_equal(data[channel].ravel()[there], samples_of(frame, 2)[there, channel])
            assert whole.tolist() == there.reshape(count, BLOCK).all(axis=1).tolist()
    assert per_ring < 13
    assert not timeline.stretch(0, 0, 2)[1].any()


def test_rings_are_made_as_they_are_needed():
    timeline = make(streams=1)
    alone = held_bytes(timeline)
    one_ring = (held_bytes(make(streams=2)) - alone) / (GROWTH - 1)  # there was room for one, and is for four
    for streams in range(2, 40):
        timeline.add()
        rings = 1 + round((held_bytes(timeline) - alone) / one_ring)
        assert streams <= rings < GROWTH * streams


def test_reading_gives_copies():
    timeline = make()
    timeline.write_run(0, 0, samples_of(np.arange(BLOCK), 2))
    x, valid = timeline.read(0, 0, 0, BLOCK)
    x[:], valid[:] = 9.0, False
    again, still = timeline.read(0, 0, 0, BLOCK)
    assert again[3] == 3.0
    assert still.all()


def test_streams_do_not_touch_each_other():
    timeline = make(channels=1, streams=3)
    timeline.write(np.array([2, 0]), np.array([0, 5]), np.array([[[1.0], [2.0]], [[3.0], [4.0]]]))
    timeline.consume(np.array([2]), one(1))
    assert timeline.consumed_block.tolist() == [0, 0, 1]
    assert np.flatnonzero(timeline.read(0, 0, 0, 20)[1]).tolist() == [5, 6]
    assert not timeline.read(1, 0, 0, 20)[1].any()
    assert timeline.read(2, 0, 0, 2)[0].tolist() == [1.0, 2.0]
    assert timeline.add() == 3
    assert timeline.read(0, 0, 5, 7)[0].tolist() == [3.0, 4.0]


def test_no_packets_are_nothing():
    assert make().write(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4, 2))) == 0


@pytest.mark.parametrize("packet_frames", [1, 6, 48, 232, 882, 1009])
@pytest.mark.parametrize("block", [64, 882, 960, 48000])
def test_the_ring_holds_what_it_promises(packet_frames, block):
    timeline = Timeline(1, block, 3 * block, 2 * block, packet_frames)
    assert timeline.capacity >= 5 * block
    assert timeline.capacity <= 24 * block
    assert timeline.capacity % block == 0


def test_a_timeline_that_begins_anew_has_forgotten_what_was_before():
    timeline = Timeline(1, 10, 40, 20)
    row = timeline.add()
    timeline.write_run(row, 0, np.ones((60, 1)))
    timeline.begin(row, 100)
    assert timeline.consumed_block.tolist() == [100]
    assert not timeline.read(row, 0, 960, 1020)[1].any()
    timeline.write(np.array([row]), np.array([1000]), np.full((1, 5, 1), 2.0))
    samples, valid = timeline.read(row, 0, 999, 1006)
    assert valid.tolist() == [False, *[True] * 5, False]
    assert (samples[valid] == 2.0).all()


@pytest.mark.parametrize("first_block", [2, 9])
def test_a_stretch_is_what_its_blocks_are(first_block):
    timeline = Timeline(2, 10, 40, 80)
    row = timeline.add()
    x = np.arange(2 * 160.0).reshape(160, 2)
    timeline.write_run(row, 0, x[:100])
    timeline.consume(np.array([row]), np.array([9]))
    timeline.write_run(row, 100, x[100:153])
    samples, whole = timeline.stretch(row, first_block, 7)
    blocks, valid = timeline.blocks(np.array([row]), np.array([first_block]), np.array([7]))
    assert whole.tolist() == valid[0].all(axis=1).tolist()
    assert (samples == blocks[0])[:, whole].all()


class Moved:
    """What :class:`MediaTime` says, from every jump by itself."""

    def __init__(self):
        self.jumps = []

    def jump(self, frame, by_frames):
        shift = self.shift(frame) + by_frames
        if frame + shift >= 0:
            self.jumps.append((frame, shift))

    def shift(self, frame):
        return next((shift for start, shift in reversed(self.jumps) if start <= frame), 0)

    def kept(self, frame):
        found = [frame - shift for start, shift in self.jumps if frame - shift >= start]
        return found[-1] if found else frame


@given(jumps=st.lists(st.tuples(st.integers(0, 50), st.integers(-80, 80)), max_size=8))
def test_frames_move_with_timestamps(jumps):
    ours, theirs, frame = MediaTime(), Moved(), 0
    for later, by_frames in jumps:
        frame += later
        ours.jump(frame, by_frames)
        theirs.jump(frame, by_frames)
    for at in range(frame + 60):
        assert ours.shift(at) == theirs.shift(at)
        assert ours.kept(at) == theirs.kept(at)


def test_the_latest_jumps_are_remembered():
    moved = MediaTime()
    for number in range(MAX_SHIFTS + 5):
        moved.jump(10 * number, 1)
    assert moved.shift(49) == 0
    assert moved.shift(50) == 6
    assert moved.shift(10 * MAX_SHIFTS + 40) == MAX_SHIFTS + 5
