"""Loss, duplication, reordering, wraps and restarts."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.transport.counts import PacketCounts
from rtpverify.transport.placement import Discontinuity, Gap, Jump, Mark, TimestampError
from rtpverify.transport.sequence import Placement, SequenceTracker
from rtpverify.transport.stream_order import HORIZON_WINDOWS, StreamOrder

WINDOW = 480
Sent = tuple[int, int, int, int]  # stream, sequence, timestamp, frames; the numbers need not be wrapped


@dataclass
class Report:
    """All that came out, by packet number."""

    placed: dict[int, tuple[int, int]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    discontinuities: list[Discontinuity] = field(default_factory=list)
    breaks: list[tuple[int, int]] = field(default_factory=list)
    errors: list[TimestampError] = field(default_factory=list)
    counts: dict[int, PacketCounts] = field(default_factory=dict)
    run_lengths: dict[int, Counter[int]] = field(default_factory=dict)
    origin: list[int] = field(default_factory=list)


def run(
    packets: list[Sent],
    cuts: list[int] | None = None,
    window: int = WINDOW,
    marks: list[int] | None = None,
    rate_hz: int = 0,
) -> Report:
    tracker = SequenceTracker()
    report = Report()
    streams = sorted({packet[0] for packet in packets})
    for stream in range(streams[-1] + 1):
        tracker.fresh_row(stream)
        tracker.set_window(stream, window, rate_hz)
    held: dict[int, int] = {}
    settled = np.zeros(0, np.int64)
    begun = np.zeros(0, np.bool_)
    placements: list[tuple[int, Placement]] = []
    for start, stop in pairwise([0, *sorted(cuts or []), len(packets)]):
        stream, sequence, timestamp, frames = np.array(packets[start:stop], np.int64).reshape(-1, 4).T
        said = None if marks is None else np.array(marks[start:stop], np.int64)
        out = tracker.update(stream, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, frames, said)
        placements.append((start, out))
        assert (tracker.settled[: len(settled)] >= settled)[begun].all()
        settled = tracker.settled
        begun = np.array([tracker.counts(stream).received > 0 for stream in range(len(settled))])
        for resolved in out.resolved:
            report.placed[held[resolved.stream]] = (resolved.sequence, resolved.timestamp)
        for row in np.flatnonzero(out.accepted):
            report.placed[start + row] = (int(out.sequence[row]), int(out.timestamp[row]))
        for row in np.flatnonzero(out.held):
            held[int(stream[row])] = start + row
        assert not (out.held & out.accepted).any()
        for gap in out.found.gaps:
            assert gap.start_frame + gap.frames <= tracker.settled[gap.stream]
    last = tracker.finish()
    for resolved in last.resolved:
        report.placed[held[resolved.stream]] = (resolved.sequence, resolved.timestamp)
    placements.append((0, last))
    report.gaps = [gap for _, out in placements for gap in out.found.gaps]
    report.gaps.sort(key=lambda gap: (gap.stream, gap.first_sequence))
    report.discontinuities = [item for _, out in placements for item in out.found.discontinuities]
    report.discontinuities.sort(key=lambda item: item.stream)
    report.breaks = sorted((item.stream, item.sequence) for _, out in placements for item in out.breaks)
    report.errors = [item for _, out in placements for item in out.found.timestamp_errors if not item.is_open]
    report.errors.sort(key=lambda item: (item.stream, item.start_frame))
    report.counts = {stream: tracker.counts(stream) for stream in streams}
    report.run_lengths = {stream: tracker.run_lengths(stream) for stream in streams}
    for stream, counts in report.counts.items():
        assert tracker.expected_and_lost(stream) == (counts.expected, counts.lost)
        placed = [sequence for row, (sequence, _) in report.placed.items() if packets[row][0] == stream]
        assert tracker.head_sequence(stream) == max(placed, default=tracker.head_sequence(stream))
    report.origin = tracker.origin_timestamp.tolist()
    assert tracker.origin_settled[streams].all()
    assert (tracker.settled[streams] == tracker.end_timestamp[streams]).all()
    return report


def steady(count: int, first: int = 0, timestamp: int | None = None, frames: int = 48, stream: int = 0) -> list[Sent]:
    start = first * frames if timestamp is None else timestamp
    return [(stream, first + i, start + i * frames, frames) for i in range(count)]


def every_cut(packets: list[Sent], window: int = WINDOW, marks: list[int] | None = None) -> Report:
    """Run whole, packet by packet, and cut once at every place: the same must come out."""
    whole = run(packets, window=window, marks=marks)
    assert run(packets, list(range(1, len(packets))), window, marks) == whole
    for cut in range(1, len(packets)):
        assert run(packets, [cut], window, marks) == whole
    return whole


# --- against an oracle with unbounded integers -----------------------------------------------------------------------


class Oracle:
    """One stream, one packet at a time; knows true numbers and never sees a wrap."""

    def __init__(self, window: int, frames: int) -> None:
        self.window, self.frames = max(window, 3 * frames), frames
        self.received: set[int] = set()
        self.lost: set[int] = set()
        self.counts = PacketCounts()

    def packet(self, number: int) -> bool:
        if number in self.received:
            self.counts.duplicated += 1
            return False
        if self.received and (max(self.received) - number) * self.frames > self.window:
            self.counts.late += 1
            return False
        self.counts.reordered += bool(self.received) and number < max(self.received)
        self.received.add(number)
        return True

    def finish(self) -> list[tuple[int, int]]:
        """Return the runs of lost packets."""
        missing = [n for n in range(min(self.received), max(self.received)) if n not in self.received]
        self.counts.received, self.counts.lost = len(self.received), len(missing)
        runs: list[list[int]] = []
        for number in missing:
            if runs and runs[-1][1] == number - 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        return [(first, last) for first, last in runs]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    frames=st.sampled_from([6, 48, 160]),
    window=st.sampled_from([0, 100, 480]),
    loss=st.sampled_from([0, 0.02, 0.3]),
    copies=st.sampled_from([0, 0.05]),
    delayed=st.sampled_from([0, 0.05, 0.4]),
    wrap=st.booleans(),
)
def test_tracker_equals_the_oracle(
    seed: int, frames: int, window: int, loss: float, copies: float, delayed: float, wrap: bool
) -> None:
    rng = random.Random(seed)
    packets: list[tuple[float, int, int]] = []
    farthest = 1.5 * max(window / frames, 3)
    starts = [65530 if wrap else 1000, 65000, 7]
    for stream in range(3):
        for i in range(150):
            for _ in range(1 + (rng.random() < copies)):
                delay = rng.uniform(0, farthest) if rng.random() < delayed else 0.0
                if rng.random() >= loss:
                    packets.append((i + delay + stream / 10, stream, starts[stream] + i))
    packets.sort()
    base = [(1 << 32) - 20 * frames if wrap else 5, 0, 1 << 31]

    oracles: dict[int, Oracle] = {}
    first_cycles: dict[int, tuple[int, int]] = {}
    accepted = {}
    for index, (_, stream, number) in enumerate(packets):
        timestamp = base[stream] + (number - starts[stream]) * frames
        # Numbers count on from those that the first packet has on the wire.
        cycles = first_cycles.setdefault(stream, (number & ~0xFFFF, timestamp & ~0xFFFFFFFF))
        if oracles.setdefault(stream, Oracle(window, frames)).packet(number):
            accepted[index] = (number - cycles[0], timestamp - cycles[1])
    cuts = [rng.randrange(len(packets) + 1) for _ in range(rng.choice([0, 1, 8, 100]))]
    sent = [(s, number, base[s] + (number - starts[s]) * frames, frames) for _, s, number in packets]
    report = run(sent, cuts, window)

    expected_gaps = []
    for stream, oracle in sorted(oracles.items()):
        sequences, frames_before = first_cycles[stream]
        for first, last in oracle.finish():
            start = base[stream] + (first - starts[stream]) * frames - frames_before
            expected_gaps.append(Gap(stream, first - sequences, last - sequences, start, (last - first + 1) * frames))
        assert report.counts[stream] == oracle.counts
        assert report.run_lengths[stream] == Counter(gap.packets for gap in expected_gaps if gap.stream == stream)
        assert report.origin[stream] == base[stream] + (min(oracle.received) - starts[stream]) * frames - frames_before
    assert report.placed == accepted
    assert report.gaps == expected_gaps
    assert not report.discontinuities


WIRE = 1 << 32


def timestamps_of(pattern: str, numbers: int, frames: int, rng: random.Random) -> list[int]:
    """Return what a sender writes on packets 0, 1, ...; each holds ``frames``."""
    a, b = sorted(rng.sample(range(1, numbers), 2))
    every, each, grid = rng.choice([2, 3, 10, 37, 100]), rng.choice([2, 3, 5]), rng.choice([1, 8, frames])
    step = rng.choice([1, 20, frames * 6, frames * 2, frames // 2, 1 << 28])
    by = rng.choice([5000, -5000, 1, 1 << 31])
    written: dict[str, Callable[[int], int]] = {
        "exact": lambda n: n * frames,
        "every so many": lambda n: n * frames + (n % every == 1),
        "one frame either way": lambda n: n * frames + rng.choice([-1, 0, 1]),
        "shared": lambda n: n // each * each * frames,
        "frozen": lambda n: min(n, a) * frames,
        "frozen for a while": lambda n: a * frames if a <= n < b else n * frames,
        "frozen and on from there": lambda n: min(n, max(a, n - b + a)) * frames,
        "constant": lambda _: 77,
        "backwards": lambda n: -n * frames,
        "another clock": lambda n: n * step,
        "wall clock": lambda n: round((n * frames + rng.uniform(0, 2.5 * frames)) / grid) * grid,
        "anything": lambda _: rng.randrange(WIRE),
        "jump, then jitter": lambda n: n * frames + by * (n >= a) + (n >= b and rng.choice([0, 1])),
    }
    return [written[pattern](n) for n in range(numbers)]


PATTERNS = [
    "exact", "every so many", "one frame either way", "shared", "frozen", "frozen for a while",
    "frozen and on from there", "constant", "backwards", "another clock", "wall clock", "anything", "jump, then jitter",
]  # fmt: skip


RATES_HZ = (0, 480, 48_000)
"""Not known; one at which 200 packets take long enough for jumps to be forgotten; the usual one."""


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    pattern=st.sampled_from(PATTERNS),
    frames=st.sampled_from([6, 48, 160, -1]),
    window=st.sampled_from([0, 480, 2400]),
    loss=st.sampled_from([0, 0.02, 0.2]),
    copies=st.sampled_from([0, 0.05]),
    delayed=st.sampled_from([0, 0.05, 0.3]),
    wrap=st.booleans(),
    rate_hz=st.sampled_from(RATES_HZ),
)
def test_only_numbers_that_did_not_come_in_time_are_lost_whatever_the_timestamps(
    seed: int,
    pattern: str,
    frames: int,
    window: int,
    loss: float,
    copies: float,
    delayed: float,
    wrap: bool,
    rate_hz: int,
) -> None:
    rng = random.Random(seed)
    numbers, held = 200, max(frames, 1)
    reach = max(window, 3 * held) / held if frames > 0 else 3
    timestamps = timestamps_of(pattern, numbers, frames if frames > 0 else 48, rng)
    start, first = rng.randrange(WIRE) if wrap else 0, 65_450 if wrap else 100
    arrived = []
    for number in range(numbers):
        for copy in range(1 + (rng.random() < copies)):
            delay = rng.uniform(0, 1.2 * min(reach, 50)) if rng.random() < delayed else 0.0
            if number == 0 or rng.random() >= loss:
                arrived.append((number + (delay if number else 0) + copy / 100, number))
    arrived.sort()
    oracle = Oracle(window if frames > 0 else 0, held)
    for _, number in arrived:
        oracle.packet(number)
    oracle.finish()
    packets = [(0, first + number, start + timestamps[number], frames) for _, number in arrived]
    cuts = [rng.randrange(len(packets) + 1) for _ in range(rng.choice([0, 1, 8, 100]))]
    report = run(packets, cuts, window, rate_hz=rate_hz)
    assert report == run(packets, [], window, rate_hz=rate_hz)
    assert report.counts[0] == oracle.counts
    assert sum(gap.packets for gap in report.gaps) == oracle.counts.lost
    if frames > 0:
        # In step whatever the timestamps say: where every packet has a length of its own there is no doubt.
        places = {sequence - first: place for sequence, place in report.placed.values()}
        origin = report.origin[0]
        assert places == {number: origin + number * frames for number in places}


SOUP = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 30)),
        st.tuples(st.just("skip"), st.integers(1, 40)),
        st.tuples(st.just("skip_sequence"), st.integers(1, 5)),
        st.tuples(st.just("jump"), st.integers(-5000, 5000)),
        st.tuples(st.just("again"), st.integers(1, 30)),
        st.tuples(st.just("restart"), st.integers(0, 1 << 48)),
        st.tuples(st.just("wild"), st.integers(0, 1 << 48)),
        st.tuples(st.just("frames"), st.sampled_from([0, 6, 48, 48, 192, -1])),
        st.tuples(st.just("step"), st.sampled_from([0, 0, 24, 96])),
        st.tuples(st.just("mark"), st.sampled_from([*Mark])),
    ),
    max_size=30,
)


def sent_of(parts: list[tuple[str, int]]) -> tuple[list[Sent], list[int]]:
    """Return the packets that parts make, and what each says of itself."""
    packets: list[Sent] = [(0, 10, 10, 48)]
    sequence, timestamp, frames, step, mark, marks = 11, 58, 48, 0, 0, [0]
    for what, value in parts:
        marks += [mark] * (len(packets) - len(marks))
        if what == "next":
            for _ in range(value):
                packets.append((0, sequence, timestamp, frames))
                sequence, timestamp = sequence + 1, timestamp + (step or max(frames, 0))
        elif what == "skip":
            sequence, timestamp = sequence + value, timestamp + value * (step or max(frames, 0))
        elif what == "skip_sequence":
            sequence += value
        elif what == "jump":
            timestamp += value
        elif what == "again":
            packets.append(packets[-min(value, len(packets))])
        elif what == "restart":
            sequence, timestamp = value & 0xFFFF, value >> 16
        elif what == "wild":
            packets.append((0, value & 0xFFFF, value >> 16, frames))
        elif what == "frames":
            frames = value
        elif what == "mark":
            mark = value
        else:
            step = value
    marks += [mark] * (len(packets) - len(marks))
    return packets, marks


@settings(max_examples=200, deadline=None)
@given(
    parts=SOUP,
    cuts=st.lists(st.integers(0, 400), max_size=30),
    window=st.sampled_from([0, 100, 480]),
    rate_hz=st.sampled_from(RATES_HZ),
)
def test_whatever_comes_cuts_change_nothing(
    parts: list[tuple[str, int]], cuts: list[int], window: int, rate_hz: int
) -> None:
    packets, marks = sent_of(parts)
    whole = run(packets, window=window, marks=marks, rate_hz=rate_hz)
    assert run(packets, [min(cut, len(packets)) for cut in cuts], window, marks, rate_hz) == whole
    counts = whole.counts[0]
    assert counts.received == len(whole.placed)
    assert counts.received + counts.duplicated + counts.late + counts.stray == len(packets)
    assert counts.lost == sum(gap.packets for gap in whole.gaps)
    assert len({sequence for sequence, _ in whole.placed.values()}) == len(whole.placed)
    for index, (sequence, _) in whole.placed.items():
        assert (sequence - packets[index][1]) % 0x10000 == 0


# --- one thing at a time ---------------------------------------------------------------------------------------------


def test_in_order_with_wraps_nothing_is_amiss() -> None:
    packets = steady(100, 65500, (1 << 32) - 1000)
    report = every_cut(packets)
    assert report.placed == {i: (65500 + i, (1 << 32) - 1000 + 48 * i) for i in range(100)}
    assert report.counts[0] == PacketCounts(received=100)
    assert not report.gaps
    assert not report.discontinuities


def test_one_adjacent_swap_loses_nothing() -> None:
    packets = steady(30)
    packets[10], packets[11] = packets[11], packets[10]
    report = every_cut(packets)
    assert report.counts[0] == PacketCounts(received=30, reordered=1)
    assert not report.gaps


def test_first_packets_in_reverse() -> None:
    packets = steady(30, 65534, 0)
    packets[:4] = [packets[2], packets[3], packets[0], packets[1]]
    report = every_cut(packets)
    assert report.counts[0] == PacketCounts(received=30, reordered=2)
    assert report.origin == [0]
    assert report.placed[2] == (-2, 0)  # the first one received is number 0


def test_a_packet_before_the_first_beyond_the_window_is_late() -> None:
    report = every_cut([*steady(20, 100), (0, 99, 99 * 48, 48)])
    assert report.counts[0] == PacketCounts(received=20, late=1)
    assert report.origin == [4800]


def test_the_edge_of_the_window() -> None:
    packets = steady(30)
    missing = packets.pop(5)
    inside = [*packets[:15], missing, *packets[15:]]  # the head is at 15: exactly ten packets, 480 frames, on
    assert every_cut(inside).counts[0] == PacketCounts(received=30, reordered=1)
    outside = [*packets[:16], missing, *packets[16:], missing]
    report = every_cut(outside)
    assert report.counts[0] == PacketCounts(received=29, lost=1, late=2)
    assert report.gaps == [Gap(0, 5, 5, 240, 48)]


def test_three_packets_are_the_least_window() -> None:
    packets = steady(30, frames=480)
    missing = packets.pop(5)
    assert every_cut([*packets[:8], missing, *packets[8:]]).counts[0] == PacketCounts(received=30, reordered=1)
    assert every_cut([*packets[:9], missing, *packets[9:]]).counts[0] == PacketCounts(received=29, lost=1, late=1)


def test_a_burst_is_one_gap_even_where_its_middle_came_late() -> None:
    packets = steady(60)
    report = every_cut([*packets[:10], *packets[40:55], packets[12], *packets[55:]])
    assert report.gaps == [Gap(0, 10, 39, 480, 1440)]
    assert report.counts[0] == PacketCounts(received=30, lost=30, late=1)
    assert report.run_lengths[0] == Counter({30: 1})


def test_the_lost_counter_goes_by_packet_and_never_falls() -> None:
    tracker = SequenceTracker()
    tracker.fresh_row(0)
    tracker.set_window(0, WINDOW)
    lost = []
    for stream, sequence, timestamp, frames in [*steady(5), *steady(30, 20)]:
        tracker.update(*(np.array([value]) for value in (stream, sequence, timestamp, frames)))
        lost.append(tracker.counts(0).lost)
    # With the head at 20, packets before 10 are out of the window: 5 to 9; then one more with each packet.
    assert lost == [0] * 5 + [5, 6, 7, 8, 9, 10, 11, 12, 13, 14] + [15] * 20


def test_settled_waits_for_what_may_still_come() -> None:
    tracker = SequenceTracker()
    tracker.fresh_row(0)
    tracker.set_window(0, WINDOW)

    def feed(packets: list[Sent]) -> int:
        tracker.update(*np.array(packets, np.int64).T)
        return int(tracker.settled[0])

    assert feed(steady(10, 100)) == 109 * 48 - WINDOW
    assert not tracker.origin_settled[0]
    assert feed(steady(1, 110)) == 111 * 48
    assert tracker.origin_settled[0]
    assert feed(steady(4, 112)) == 111 * 48
    assert feed(steady(1, 111)) == 116 * 48
    assert feed(steady(4, 117)) == 116 * 48
    assert feed(steady(6, 121)) == 116 * 48
    assert feed(steady(1, 127)) == 128 * 48


@pytest.mark.parametrize("skipped", [1, 3])
def test_sequence_numbers_skipped_without_media_time_are_a_gap_of_no_frames(skipped: int) -> None:
    report = every_cut([*steady(20), *steady(20, 20 + skipped, 960)])
    assert report.gaps == [Gap(0, 20, 19 + skipped, 960, 0)]
    assert report.counts[0] == PacketCounts(received=40, lost=skipped)
    assert not report.discontinuities
    assert report.placed[20] == (20 + skipped, 960)


@pytest.mark.parametrize("jump", [1000, -1000, 1, 1 << 30, -48])
def test_a_timestamp_jump_with_contiguous_sequence(jump: int) -> None:
    report = every_cut([*steady(20), *steady(20, 20, 960 + jump)])
    assert report.counts[0] == PacketCounts(received=40)
    assert report.discontinuities == [
        Discontinuity(0, Jump.TIMESTAMP, 20, 960, 20, 20, 960, (960 + jump) & 0xFFFFFFFF, jump)
    ]
    assert report.placed[20] == (20, 960)
    assert report.placed[39] == (39, 39 * 48)


def test_a_timestamp_jump_across_a_lost_packet() -> None:
    report = every_cut([*steady(20), *steady(20, 21, 50_000)])
    assert report.gaps == [Gap(0, 20, 20, 960, 48)]
    assert report.discontinuities == [Discontinuity(0, Jump.TIMESTAMP, 21, 1008, 21, 21, 1008, 50_000, 48_992)]
    assert report.placed[20] == (21, 1008)


@pytest.mark.parametrize(("sequence", "timestamp"), [(40_000, 1 << 31), (5, 1 << 20), (20_000, 5_000), (30_000, 0)])
def test_a_restart_loses_nothing(sequence: int, timestamp: int) -> None:
    report = every_cut([*steady(20, 1000), *steady(20, sequence, timestamp)])
    assert report.counts[0] == PacketCounts(received=40)
    assert not report.gaps
    (jump,) = report.discontinuities
    assert (jump.kind, jump.frame, jump.from_sequence, jump.to_sequence) == (Jump.RESTART, 1020 * 48, 1020, sequence)
    assert jump.to_timestamp == timestamp
    assert report.placed[20][1] == 1020 * 48
    assert report.placed[39][1] == 1039 * 48
    assert jump.sequence == report.placed[20][0] > report.placed[19][0]


def test_packets_on_their_way_during_a_restart_are_counted_and_no_restart() -> None:
    before, after = steady(20, 1000), steady(30, 40_000, 9)
    missing = before.pop(10)
    report = every_cut([*before, *after[:3], before[5], missing, *after[3:]])
    assert report.counts[0] == PacketCounts(received=49, lost=1, late=1, duplicated=1)
    assert [jump.kind for jump in report.discontinuities] == [Jump.RESTART]


def test_what_was_missing_is_lost_with_the_restart() -> None:
    before = steady(20, 1000)
    before.pop(18)
    report = every_cut([*before, *steady(5, 40_000, 9)])
    assert report.gaps == [Gap(0, 1018, 1018, 1018 * 48, 48)]


def test_a_restart_of_which_every_packet_comes_twice() -> None:
    twice = [packet for packet in [*steady(20, 1000), *steady(20, 40_000, 9)] for _ in range(2)]
    assert every_cut(twice).counts[0] == PacketCounts(received=40, duplicated=40)


def test_a_restart_with_its_first_packets_in_reverse() -> None:
    after = steady(20, 40_000, 9)
    after[0], after[1] = after[1], after[0]
    report = every_cut([*steady(20, 1000), *after])
    assert report.counts[0] == PacketCounts(received=40)
    assert len(report.discontinuities) == 1


@pytest.mark.parametrize("wild", [(0, 30_000, 77, 48), (0, 20, 1 << 30, 48), (0, 40_000, 960, 48), (0, 3, 1 << 31, 48)])
def test_a_wild_packet_disturbs_nothing(wild: Sent) -> None:
    packets = steady(40)
    report = every_cut([*packets[:20], wild, *packets[20:]])
    assert report.counts[0] == PacketCounts(received=40, stray=1)
    assert 20 not in report.placed
    assert not report.gaps
    assert not report.discontinuities
    assert every_cut([*packets, wild]).counts[0] == PacketCounts(received=40, stray=1)


def test_a_long_outage_is_counted_in_full_though_the_sequence_wraps() -> None:
    report = every_cut([*steady(20, frames=6), *steady(20, 100_000, frames=6)])
    assert report.gaps == [Gap(0, 20, 99_999, 120, 99_980 * 6)]
    assert report.counts[0] == PacketCounts(received=40, lost=99_980)
    assert report.placed[39] == (100_019, 100_019 * 6)


def test_packets_of_44_and_45_frames() -> None:
    packets: list[Sent] = []
    timestamp = 0
    for i in range(60):
        frames = 45 if i % 10 == 9 else 44
        packets.append((0, i, timestamp, frames))
        timestamp += frames
    assert every_cut(packets).counts[0] == PacketCounts(received=60)
    report = every_cut([*packets[:18], *packets[21:]])
    assert report.gaps == [Gap(0, 18, 20, packets[18][2], 133)]
    assert not report.discontinuities


def test_a_changed_packet_time_is_in_step() -> None:
    report = every_cut([*steady(20), *steady(50, 20, 960, frames=6), *steady(20, 70, 1260, frames=192)])
    assert report.counts[0] == PacketCounts(received=90)
    assert not report.discontinuities


@pytest.mark.parametrize("frames", [-1, 0])
def test_frames_that_are_not_known(frames: int) -> None:
    """Where timestamps are evenly spaced they tell how long a gap is."""
    packets = [(0, i, 48 * i, frames) for i in range(40)]
    report = every_cut([*packets[:10], *packets[12:20], packets[21], packets[20], *packets[22:], packets[30]])
    assert report.counts[0] == PacketCounts(received=38, lost=2, reordered=1, duplicated=1)
    assert report.gaps == [Gap(0, 10, 11, 480, 96)]
    assert not report.discontinuities


def test_packets_that_are_not_decoded_are_followed_by_their_numbers_alone() -> None:
    """Ten packets of each picture, pictures out of order, timestamps that jump: only what is missing is lost."""
    pictures = [0, 3, 1, 2, 6, 4, 5, 1 << 30, (1 << 30) + 1, 7, 8, 9]
    packets = [(0, 65_500 + 10 * i + k, 3600 * p, -1) for i, p in enumerate(pictures) for k in range(10)]
    lost = {15, 16, 70, 85}
    kept = [packet for i, packet in enumerate(packets) if i not in lost]
    kept[40], kept[41] = kept[41], kept[40]
    report = every_cut(kept)
    assert report.counts[0] == PacketCounts(received=116, lost=4, reordered=1)
    assert [(gap.first_sequence - 65_500, gap.packets) for gap in report.gaps] == [(15, 2), (70, 1), (85, 1)]
    assert not report.discontinuities
    assert not report.errors
    places = [report.placed[i][1] for i in sorted(report.placed, key=lambda i: report.placed[i][0])]
    assert places == sorted(places)


def test_a_sender_of_packets_that_are_not_decoded_starts_over() -> None:
    packets = [(0, number, 7, -1) for number in [*range(1000, 1030), *range(9000, 9030), *range(20, 50)]]
    report = every_cut(packets)
    assert report.counts[0] == PacketCounts(received=90)
    assert [(jump.kind, jump.to_sequence) for jump in report.discontinuities] == [
        (Jump.RESTART, 9000),
        (Jump.RESTART, 20),
    ]


def test_a_long_loss_of_packets_that_are_not_decoded_and_a_wild_one() -> None:
    packets = [(0, number, 7, -1) for number in [*range(1000, 1030), 1900, *range(1030, 1060), *range(3060, 3090)]]
    report = every_cut(packets)
    assert report.counts[0] == PacketCounts(received=90, lost=2000, stray=1)
    assert [(gap.first_sequence, gap.packets) for gap in report.gaps] == [(1060, 2000)]


def test_two_packets_of_unknown_encoding() -> None:
    assert every_cut([(0, 7, 96, -1), (0, 8, 144, -1)]).counts[0] == PacketCounts(received=2)
    assert every_cut([(0, 8, 144, -1), (0, 7, 96, -1)]).counts[0] == PacketCounts(received=2, reordered=1)


def test_streams_do_not_touch_each_other() -> None:
    one, two = steady(40), steady(40, 60_000, 7, 6, stream=2)
    two.pop(20)
    mixed = [packet for pair in zip(one, two, strict=False) for packet in pair]
    report = every_cut(mixed)
    assert report.counts == {0: PacketCounts(received=39), 2: PacketCounts(received=39, lost=1)}
    assert [gap.stream for gap in report.gaps] == [2]


def test_a_fresh_row_starts_over() -> None:
    tracker = SequenceTracker()
    tracker.fresh_row(0)
    tracker.set_window(0, WINDOW)
    tracker.update(*np.array(steady(20), np.int64).T)
    tracker.fresh_row(0)
    assert tracker.counts(0) == PacketCounts()
    out = tracker.update(*np.array(steady(20, 9000, 3), np.int64).T)
    assert out.accepted.all()
    assert tracker.origin_timestamp.tolist() == [3]


def test_an_empty_update() -> None:
    tracker = SequenceTracker()
    none = np.zeros(0, np.int64)
    assert len(tracker.update(none, none, none, none).accepted) == 0
    assert len(tracker.settled) == 0


def test_what_fails_of_one_stream_costs_no_other_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two streams each lack a packet at the end, and one's state cannot be settled."""
    original = StreamOrder.finish

    def failing(order: StreamOrder, out: Placement) -> None:
        original(order, out)
        if order.stream == 0:
            raise ZeroDivisionError

    monkeypatch.setattr(StreamOrder, "finish", failing)
    tracker = SequenceTracker()
    for stream in (0, 1):
        tracker.fresh_row(stream)
        tracker.set_window(stream, 480, 48_000)
    number = np.array([*range(20), 21])
    for stream in (0, 1):
        tracker.update(np.full(21, stream), number, 48 * number, np.full(21, 48))
    placement = tracker.finish()
    assert [(gap.stream, gap.first_sequence) for gap in placement.found.gaps] == [(1, 20)]
    assert [(stream, type(error)) for stream, error in placement.failed] == [(0, ZeroDivisionError)]


# --- silence that is left out, and packets beside the audio ----------------------------------------------------------

FRAMES = 160


def spoken(count: int, first: int, timestamp: int) -> list[Sent]:
    return steady(count, first, timestamp, FRAMES)


@pytest.mark.parametrize("mark", [Mark.SPURT, Mark.NONE])
def test_silence_that_was_left_out_is_a_pause_where_the_sender_says_so(mark: int) -> None:
    packets = spoken(5, 0, 0) + spoken(5, 5, 5 * FRAMES + 8000)
    report = every_cut(packets, marks=[Mark.SPEECH] * 5 + [mark] + [Mark.SPEECH] * 4)
    assert (report.counts[0].received, report.counts[0].lost) == (10, 0)
    [jump] = report.discontinuities
    assert (jump.frames, jump.to_sequence, jump.to_timestamp) == (8000, 5, 5 * FRAMES + 8000)
    assert (jump.kind is Jump.PAUSE) == (mark == Mark.SPURT)
    assert report.placed[5] == (5, 5 * FRAMES)  # frames are kept one after the other
    assert report.breaks == [(0, 5)]


def test_what_is_lost_before_a_pause_is_lost() -> None:
    packets = spoken(5, 0, 0) + spoken(5, 7, 7 * FRAMES + 8000)
    report = every_cut(packets, marks=[Mark.SPEECH] * 5 + [Mark.SPURT] + [Mark.SPEECH] * 4)
    [jump], [gap] = report.discontinuities, report.gaps
    assert (jump.kind, jump.frames) == (Jump.PAUSE, 8000)
    assert (gap.first_sequence, gap.last_sequence, gap.start_frame, gap.frames) == (5, 6, 5 * FRAMES, 2 * FRAMES)


def test_a_spurt_without_silence_is_nothing_at_all() -> None:
    report = every_cut(spoken(10, 0, 0), marks=[Mark.SPEECH] * 5 + [Mark.SPURT] + [Mark.SPEECH] * 4)
    assert report.discontinuities == []
    assert report.gaps == []


def beside(first: int, count: int, timestamp: int) -> list[Sent]:
    """Packets that take numbers and no media time, such as telephone events."""
    return [(0, first + i, timestamp, -1) for i in range(count)]


def test_packets_beside_the_audio_take_numbers_and_no_time() -> None:
    packets = spoken(4, 0, 0) + beside(4, 3, 4 * FRAMES) + spoken(4, 7, 4 * FRAMES)
    report = every_cut(packets, marks=[0] * 4 + [Mark.BESIDE] * 3 + [0] * 4)
    assert (report.counts[0].received, report.counts[0].lost) == (11, 0)
    assert report.discontinuities == []
    assert [report.placed[row][0] for row in range(11)] == list(range(11))
    assert [report.placed[row][1] for row in range(7, 11)] == [FRAMES * number for number in range(4, 8)]


def test_silence_after_packets_beside_the_audio_is_a_pause() -> None:
    packets = spoken(4, 0, 0) + beside(4, 2, 4 * FRAMES) + spoken(4, 6, 4 * FRAMES + 3200)
    report = every_cut(packets, marks=[0] * 4 + [Mark.BESIDE] * 2 + [0] * 4)
    [jump] = report.discontinuities
    assert (jump.kind, jump.frames, jump.from_sequence) == (Jump.PAUSE, 3200, 6)
    assert report.counts[0].lost == 0


@pytest.mark.parametrize(
    ("order", "reordered"), [([4, 5, 6], 0), ([5, 4, 6], 1), ([6, 5, 4], 2), ([4, 6], 0), ([6], 0)]
)
def test_packets_beside_the_audio_out_of_order_and_lost(order: list[int], reordered: int) -> None:
    packets = spoken(4, 0, 0) + [(0, number, 4 * FRAMES, -1) for number in order] + spoken(8, 7, 4 * FRAMES)
    marks = [0] * 4 + [Mark.BESIDE] * len(order) + [0] * 8
    report = every_cut(packets, marks=marks)
    counts = report.counts[0]
    assert (counts.received, counts.lost, counts.reordered) == (12 + len(order), 3 - len(order), reordered)
    assert (counts.duplicated, counts.late, counts.stray) == (0, 0, 0)
    assert sum(gap.packets for gap in report.gaps) == 3 - len(order)


def test_copies_of_packets_beside_the_audio_are_copies() -> None:
    packets = spoken(4, 0, 0) + beside(4, 1, 640) + beside(4, 1, 640) + spoken(2, 5, 640) + beside(4, 1, 640)
    report = every_cut(packets, marks=[0] * 4 + [Mark.BESIDE] * 2 + [0] * 2 + [Mark.BESIDE])
    assert (report.counts[0].received, report.counts[0].duplicated) == (7, 2)


def test_a_packet_beside_the_audio_that_comes_too_late_is_late() -> None:
    packets = spoken(4, 0, 0) + spoken(9, 5, 640) + beside(4, 1, 640)
    report = every_cut(packets, marks=[0] * 13 + [Mark.BESIDE])
    assert (report.counts[0].lost, report.counts[0].late) == (1, 1)


def test_one_that_is_held_is_settled_by_a_packet_beside_the_audio() -> None:
    # Number 4 continues with a wild timestamp: nothing says yet what that means when the event comes.
    packets = [*spoken(4, 0, 0), (0, 4, 99_999, FRAMES), *beside(5, 1, 5 * FRAMES), *spoken(4, 6, 5 * FRAMES)]
    report = every_cut(packets, marks=[0] * 5 + [Mark.BESIDE] + [0] * 4)
    assert (report.counts[0].received, report.counts[0].lost, report.counts[0].stray) == (10, 0, 0)
    assert report.placed[4] == (4, 4 * FRAMES)


# --- packets that are not decoded ------------------------------------------------------------------------------------


def test_packets_that_are_not_decoded_before_the_first_are_taken_within_the_window() -> None:
    for first, taken in ((9, True), (8, True), (6, False)):
        packets = [
            (0, 10, 1000, -1),
            (0, first, 1000 - 100 * (10 - first), -1),
            *[(0, 11 + i, 1100, -1) for i in range(6)],
        ]
        report = every_cut(packets)
        counts = report.counts[0]
        assert (counts.received, counts.late) == ((8, 0) if taken else (7, 1))
        assert counts.lost == (max(9 - first, 0) if taken else 0)


def test_one_frame_more_than_the_window_before_the_first_is_late() -> None:
    for count, late in ((10, 0), (11, 1)):
        report = every_cut([*steady(count, 1, 48), (0, 0, 0, 48)], window=480)
        assert report.counts[0].late == late, count


# --- small steps of timestamps, with a known clock -------------------------------------------------------------------


def stepped(steps: dict[int, int], count: int) -> list[Sent]:
    """Packets whose timestamps step by some frames at some of them, and stay there."""
    return [
        (0, number, 48 * number + sum(by for at, by in steps.items() if number >= at), 48) for number in range(count)
    ]


@pytest.mark.parametrize(("by", "joined"), [([1, 1, 1], [False, True, True]), ([1, -1, 1], [False, False, False])])
def test_steps_of_a_frame_one_way_are_the_drift_of_a_clock(by: list[int], joined: list[bool]) -> None:
    steps = dict(zip((300, 3300, 6300), by, strict=True))
    report = run(stepped(steps, 8000), rate_hz=48_000)
    assert [jump.frames for jump in report.discontinuities] == by
    assert [jump.joins for jump in report.discontinuities] == joined
    assert report.errors == []


def test_a_step_of_a_frame_within_rounding_is_part_of_it() -> None:
    packets = stepped({2500: 1}, 5000)
    for at in range(500, 700, 3):
        packets[at] = (0, at, 48 * at + 1, 48)
    report = run(packets, rate_hz=48_000)
    [error] = report.errors
    assert (error.first_sequence, error.moves, error.moved, error.deviation) == (500, 1, 1, 1)
    assert report.discontinuities == []


def test_one_step_of_a_frame_is_a_jump() -> None:
    report = run(stepped({300: 1}, 1500), rate_hz=48_000)
    assert [(jump.kind, jump.frames, jump.frame) for jump in report.discontinuities] == [(Jump.TIMESTAMP, 1, 14_400)]
    assert report.errors == []


@pytest.mark.parametrize(("apart", "joins"), [(900, True), (1100, False)])
def test_jumps_near_each_other_are_one_fault(apart: int, joins: bool) -> None:
    report = run(stepped({300: 700, 300 + apart: 900}, 2500), rate_hz=48_000)
    assert [(jump.frames, jump.joins) for jump in report.discontinuities] == [(700, False), (900, joins)]


def test_a_timestamp_that_is_off_once_and_comes_again_much_later_is_two_errors() -> None:
    packets = stepped({}, 3000)
    for at in (500, 2400):
        packets[at] = (0, at, 48 * at + 200, 48)
    report = run(packets, rate_hz=48_000)
    assert [(error.first_sequence, error.packets, error.deviation) for error in report.errors] == [
        (500, 1, 200),
        (2400, 1, 200),
    ]


def test_rounding_that_rests_for_a_while_is_the_same_error() -> None:
    packets = stepped({}, 5000)
    for at in (*range(500, 600, 3), *range(3000, 3100, 3)):
        packets[at] = (0, at, 48 * at + 1, 48)
    [error] = run(packets, rate_hz=48_000).errors
    assert (error.first_sequence, error.last_sequence, error.packets) == (500, 3099, 68)


def test_rounding_that_rests_for_long_is_another_error() -> None:
    packets = [(0, number, 480 * number, 480) for number in range(5000)]
    for at in (*range(500, 600, 3), *range(4000, 4100, 3)):
        packets[at] = (0, at, 480 * at + 1, 480)
    report = run(packets, rate_hz=48_000)
    assert [(error.first_sequence, error.packets) for error in report.errors] == [(500, 34), (4000, 34)]


# --- packets in doubt ------------------------------------------------------------------------------------------------


def test_a_jump_whose_first_packets_change_places() -> None:
    jumped = steady(20, 5, 5 * 48 + 5000)
    report = every_cut([*steady(5), jumped[1], jumped[0], *jumped[2:]])
    assert (report.counts[0].received, report.counts[0].reordered, report.counts[0].lost) == (25, 1, 0)
    assert [report.placed[row] for row in (5, 6)] == [(6, 6 * 48), (5, 5 * 48)]


def test_a_wild_timestamp_that_comes_twice_is_a_copy_and_another_one_is_ignored() -> None:
    wild = (0, 5, 99_999, 48)
    counts = every_cut([*steady(5), wild, wild, *steady(10, 6)]).counts[0]
    assert (counts.received, counts.duplicated, counts.stray, counts.lost) == (16, 1, 0, 0)
    counts = every_cut([*steady(5), wild, (0, 5, 77_777, 48), *steady(10, 6)]).counts[0]
    assert (counts.received, counts.duplicated, counts.stray, counts.lost) == (16, 0, 1, 0)


def test_a_missing_number_with_a_wild_timestamp_takes_its_place() -> None:
    packets = [*steady(5), *steady(3, 6), (0, 5, 9_999_999, 48), *steady(10, 9)]
    report = every_cut(packets)
    assert (report.counts[0].received, report.counts[0].lost, report.counts[0].stray) == (19, 0, 0)
    assert report.placed[8] == (5, 5 * 48)
    [error] = report.errors
    assert (error.first_sequence, error.packets, error.deviation) == (5, 1, 9_999_999 - 5 * 48)


@pytest.mark.parametrize("late", [0, 1])
def test_a_jump_begins_with_its_first_packet_though_that_comes_later(late: int) -> None:
    jumped = steady(20, 5, 5 * 48 + 5000)
    first = jumped.pop(late)
    report = run([*steady(5), *jumped[:3], first, *jumped[3:]])
    assert [(jump.frames, jump.sequence) for jump in report.discontinuities] == [(5000, 5)]
    assert (report.counts[0].received, report.counts[0].lost, report.errors) == (25, 0, [])


def test_a_packet_that_comes_later_with_another_timestamp_is_an_error() -> None:
    report = run([*steady(5), *steady(3, 6), (0, 5, 5 * 48 + 7, 48), *steady(30, 9)])
    [error] = report.errors
    assert (error.first_sequence, error.last_sequence, error.packets, error.deviation) == (5, 5, 1, 7)


def test_copies_in_order_for_longer_than_the_window_are_a_sender_that_starts_over() -> None:
    again = WINDOW // 48
    report = every_cut([*steady(40), *steady(again)])
    assert (report.counts[0].duplicated, report.discontinuities) == (again, [])
    report = every_cut([*steady(40), *steady(40)])
    assert [jump.kind for jump in report.discontinuities] == [Jump.RESTART]
    assert report.counts[0].duplicated == again


def test_before_the_first_packet_timestamps_that_are_no_places_are_not_read() -> None:
    packets = [(0, 10, 1000, -1), (0, 9, 1000 + (1 << 30), -1), *[(0, 11 + i, 1000, -1) for i in range(5)]]
    counts = every_cut(packets).counts[0]
    assert (counts.received, counts.lost, counts.stray) == (7, 0, 0)


def test_what_continues_neither_from_here_nor_from_before_a_restart_is_ignored() -> None:
    restarted = steady(6, 5000, 1_000_000)
    report = every_cut([*steady(20), *restarted[:3], (0, 30, 30 * 48, 48), *restarted[3:]])
    assert [jump.kind for jump in report.discontinuities] == [Jump.RESTART]
    assert (report.counts[0].received, report.counts[0].stray, report.counts[0].lost) == (26, 1, 0)


def test_two_packets_at_the_edge_of_what_may_be_missing_bear_each_other_out_in_any_order() -> None:
    most = HORIZON_WINDOWS * WINDOW // 48
    there = steady(6, 4 + most + 1, 10**6)
    report = every_cut([*steady(5), there[1], there[0], *there[2:]])
    assert [(jump.kind, jump.to_sequence) for jump in report.discontinuities] == [(Jump.RESTART, 4 + most + 1)]
    assert (report.counts[0].received, report.counts[0].lost) == (11, 0)


def test_two_packets_of_which_one_is_not_decoded_bear_each_other_out_by_their_places() -> None:
    for apart, kinds in ((96, [Jump.RESTART]), (9999, [])):
        packets = [*steady(20), (0, 5000, 10**6, 48), (0, 5002, 10**6 + apart, -1)]
        report = every_cut(packets)
        assert [jump.kind for jump in report.discontinuities] == kinds, apart


def test_what_seems_to_end_silence_settles_what_was_in_doubt() -> None:
    packets = [*spoken(4, 0, 0), (0, 4, 99_999, FRAMES), *spoken(5, 5, 5 * FRAMES + 8000)]
    report = every_cut(packets, marks=[Mark.SPEECH] * 5 + [Mark.SPURT] + [Mark.SPEECH] * 4)
    assert (report.counts[0].received, report.counts[0].lost, report.counts[0].stray) == (10, 0, 0)
    assert [report.placed[row] for row in (4, 5)] == [(4, 4 * FRAMES), (5, 5 * FRAMES)]
    [error] = report.errors  # nothing bears out that silence was left out: the packet before it was wild
    assert (error.first_sequence, error.packets) == (4, 6)


def test_silence_of_which_the_first_packet_after_it_is_lost_is_a_pause_all_the_same() -> None:
    packets = [*spoken(5, 0, 0), *spoken(6, 6, 6 * FRAMES + 8000)]
    report = run(packets, marks=[Mark.SPEECH] * len(packets), rate_hz=8000)
    [jump], [gap] = report.discontinuities, report.gaps
    assert (jump.kind, jump.frames) == (Jump.PAUSE, 8000)
    assert (gap.first_sequence, gap.packets) == (5, 1)
    assert report.errors == []
