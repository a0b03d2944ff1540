"""Silences that are stalls, streams that may have ended, and clocks that are set: by arrival times alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.transport.arrivals import DOWN_NS, STALL_PACKETS, TIMED_PACKETS, Accepted, Arrivals
from rtpverify.transport.placement import Break
from rtpverify.transport.rows import RowTable

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000


def followed(streams=1, rate_hz=48_000, max_stall_seconds=0.02, failures=None):
    table, failed = RowTable(), [] if failures is None else failures
    arrivals = Arrivals(table, lambda stream, error: failed.append((stream, error)))
    for stream in range(streams):
        assert table.allocate() == stream
        arrivals.begin(stream, START_NS, max_stall_seconds)
        arrivals.set_format(stream, rate_hz, 48, 0.2)
    return arrivals


def packets(at_ms, *, stream=0, sequence=None, breaks=()):
    at = np.array(at_ms, float)
    numbers = np.arange(len(at)) if sequence is None else np.array(sequence)
    return Accepted(
        np.zeros(len(at), np.int64) + np.array(stream, np.int64),
        numbers.astype(np.int64),
        48 * numbers.astype(np.int64),
        START_NS + np.rint(MS * at).astype(np.int64),
        list(breaks),
    )


@given(
    steps=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 2)), min_size=1, max_size=40),
    cut=st.integers(0, 40),
)
def test_a_silence_is_a_stall_where_no_number_is_missing(steps, cut):
    at, sequence = [0], [5]
    for wait, step in steps:
        at.append(at[-1] + wait)
        sequence.append(sequence[-1] + step)
    expected = [
        (sequence[i], (at[i] - at[i - 1]) / 1e3)
        for i in range(1, len(at))
        if at[i] - at[i - 1] > 20 and sequence[i] - sequence[i - 1] == 1
    ]
    arrivals, cut = followed(), min(cut, len(at))
    stalls = arrivals.take(packets(at[:cut], sequence=sequence[:cut]))
    stalls += arrivals.take(packets(at[cut:], sequence=sequence[cut:]))
    assert [(stall.sequence, stall.seconds) for stall in stalls] == expected
    for stall in stalls:
        assert (stall.stream, stall.timestamp) == (0, 48 * stall.sequence)
        assert stall.arrival_ns == START_NS + MS * at[sequence.index(stall.sequence)]


def test_streams_are_silent_each_for_itself():
    arrivals = followed(streams=2)
    order = packets([0, 1, 15, 30, 31], stream=[0, 1, 0, 1, 0], sequence=[1, 1, 2, 2, 3])
    assert [(stall.stream, stall.sequence) for stall in arrivals.take(order)] == [(1, 2)]


def test_a_silence_in_which_few_packets_were_due_is_none():
    arrivals = followed(max_stall_seconds=0.0)
    packet_ms = 1
    due_ms = STALL_PACKETS * packet_ms
    assert arrivals.take(packets([0, due_ms])) == []
    assert len(arrivals.take(packets([2 * due_ms + 0.001], sequence=[2]))) == 1


@pytest.mark.parametrize("packet_frames", [48, 96_000])
def test_when_a_stream_may_have_ended(packet_frames):
    arrivals = followed(streams=2)
    arrivals.change_format(1, 48_000, packet_frames)
    down_ns = max(DOWN_NS, STALL_PACKETS * packet_frames * 10**9 // 48_000)
    at = START_NS + np.array([DOWN_NS - 1, DOWN_NS, down_ns - 1, down_ns])
    assert arrivals.may_follow_an_end(np.array([0, 0, 1, 1]), at).tolist() == [False, True, False, True]


def test_without_a_clock_rate_the_silence_that_is_an_end_stays():
    arrivals = followed()
    arrivals.change_format(0, 0, 96_000)
    assert arrivals.down_ns[0] == DOWN_NS


@pytest.mark.parametrize("by_ns", [-3600 * 10**9, 50 * MS])
def test_a_clock_that_is_set_changes_nothing(by_ns):
    def told(shift_ns):
        arrivals = followed()
        at = np.cumsum(np.random.default_rng(1).uniform(0.8, 1.2, 400))
        arrivals.last_ns[0] = START_NS
        stalls = arrivals.take(packets(at[:200]))
        if shift_ns:
            arrivals.shift_clock(shift_ns)
        stalls += arrivals.take(packets(at[200:] + shift_ns / MS, sequence=np.arange(200, 400)))
        arrivals.judge()
        timing = arrivals.timing
        figures = [timing.jitter_seconds(0), timing.clock_drift_ppm(0), timing.tsdf_seconds(0)]
        return stalls, int(arrivals.last_ns[0]) - shift_ns, figures

    stalls, last_ns, figures = told(by_ns)
    assert (stalls, last_ns) == told(0)[:2]
    assert stalls == []
    for shifted, plain in zip(figures, told(0)[2], strict=True):
        assert (shifted is None) == (plain is None)
        assert plain is None or shifted == pytest.approx(plain, rel=1e-6, abs=1e-9)


def test_what_waits_is_timed_once_it_is_much():
    arrivals = followed()
    arrivals.take(packets(np.arange(TIMED_PACKETS - 1)))
    assert arrivals.timing.jitter_seconds(0) is None
    arrivals.take(packets([TIMED_PACKETS], sequence=[TIMED_PACKETS - 1]))
    assert arrivals.timing.jitter_seconds(0) is not None


def test_what_fails_of_one_stream_costs_no_other(monkeypatch):
    failures = []
    arrivals = followed(streams=2, failures=failures)
    right = arrivals.timing.update

    def broken(stream, *rest):
        if (stream == 1).any():
            raise ValueError("one")
        right(stream, *rest)

    monkeypatch.setattr(arrivals.timing, "update", broken)
    both = packets(np.arange(400) / 2, stream=np.arange(400) % 2, sequence=np.arange(400) // 2, breaks=[Break(1, 3)])
    arrivals.take(both)
    arrivals.judge()
    assert [stream for stream, _ in failures] == [None, 1]
    assert arrivals.timing.jitter_seconds(0) is not None
    assert arrivals.timing.jitter_seconds(1) is None


def test_a_row_that_is_given_back_is_timed_first():
    table = RowTable()
    arrivals = Arrivals(table, lambda _stream, error: pytest.fail(str(error)))
    row = table.allocate()
    arrivals.begin(row, START_NS, 0.02)
    arrivals.set_format(row, 48_000, 48, 0.2)
    arrivals.take(packets(np.arange(10)))
    table.retire(row)
    assert table.allocate() == row
    arrivals.judge()
    assert arrivals.timing.jitter_seconds(row) is None
