"""Legs against an oracle with a dictionary, packet by packet; the cut into batches changes nothing."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.rtp.batch import Flow, PacketBatch, parse
from rtpverify.transport.redundancy import MAX_LEGS, MAX_LISTED, RING, LegEnds, LegMerger, payload_digest
from rtpverify.transport.rows import RowTable

FLOWS = [Flow(f"192.0.2.{number}:5004", f"239.1.{number}.1:5004") for number in range(MAX_LEGS + 2)]
STEP = 6


def packet(sequence, payload=b"\0" * 18, ssrc=1, timestamp=None):
    timestamp = sequence * STEP if timestamp is None else timestamp
    return struct.pack(">BBHII", 0x80, 96, sequence % 2**16, timestamp % 2**32, ssrc) + payload


def batch_of(arrived):
    """Return packets given as (arrival in ns, flow, datagram)."""
    length = np.array([len(datagram) for *_, datagram in arrived], np.int64)
    return parse(
        PacketBatch(
            np.frombuffer(b"".join(datagram for *_, datagram in arrived), np.uint8),
            np.cumsum(length) - length,
            length,
            np.array([arrival for arrival, *_ in arrived], np.int64),
            np.array([flow for _, flow, _ in arrived], np.int64),
            FLOWS,
        )
    )


def fresh(streams=2):
    table = RowTable()
    for _ in range(streams):
        table.allocate()
    return LegMerger(table)


def merge(arrived, ends=(), cuts=(), merger=None):
    merger = merger or fresh()
    if not merger.legs(0):
        merger.add(0, ends, 0)
    kept = []
    for start, stop in pairwise([0, *sorted(set(cuts)), len(arrived)]):
        part = batch_of(arrived[start:stop])
        none = np.zeros(len(part), np.int64)
        kept += merger.merge(part, none, none + STEP).tolist()
    merger.finish()
    return merger, kept


def counted(merger):
    return [(leg.counts.received, leg.counts.lost) for leg in merger.legs(0)]


def test_the_first_copy_goes_on_and_the_second_is_absorbed():
    arrived = [(0, 0, packet(1)), (50, 1, packet(1)), (100, 1, packet(2)), (130, 0, packet(2))]
    merger, kept = merge(arrived)
    assert kept == [True, False, True, False]
    first, second = merger.legs(0)
    assert (first.flow, second.flow) == (FLOWS[0], FLOWS[1])
    assert first.skew_seconds == pytest.approx(30e-9)
    assert second.max_skew_seconds == pytest.approx(50e-9)
    assert second.skew_seconds == 0
    assert merger.differing(0) == (0, [])


def test_each_leg_is_counted_alone():
    lost = {0: {3, 4, 7}, 1: {4, 9}}
    arrived = [
        (1000 * sequence + flow, flow, packet(sequence))
        for sequence in range(20)
        for flow in (0, 1)
        if sequence not in lost[flow]
    ]
    merger, kept = merge(arrived)
    assert counted(merger) == [(17, 3), (18, 2)]
    assert sum(kept) == 19  # only the packet that both lost is missing


def test_a_copy_over_the_same_leg_goes_on_to_be_counted_as_duplicate():
    merger, kept = merge([(0, 0, packet(1)), (1, 1, packet(1)), (2, 1, packet(1)), (3, 0, packet(1))])
    assert kept == [True, False, True, True]
    assert [leg.counts.duplicated for leg in merger.legs(0)] == [1, 1]


def test_sequence_numbers_that_wrap_and_the_same_number_at_another_time_are_no_copies():
    _, kept = merge([(0, 0, packet(5)), (1, 1, packet(5, timestamp=5 * STEP + 2**16 * STEP))])
    assert kept == [True, True]


def test_payloads_that_differ_are_counted_and_named():
    arrived = []
    for sequence in range(40):
        other = b"\1" + b"\0" * 17 if sequence in (7, 9) else b"\0" * 18
        arrived += [(sequence, 0, packet(sequence)), (sequence, 1, packet(sequence, other))]
    merger, _ = merge(arrived, cuts=[11, 15])
    assert merger.differing(0) == (2, [7, 9])


def test_no_more_numbers_are_kept_than_a_person_reads():
    arrived = []
    for sequence in range(100):
        arrived += [(sequence, 0, packet(sequence)), (sequence, 1, packet(sequence, b"\1" * 18))]
    count, listed = merge(arrived)[0].differing(0)
    assert (count, listed) == (100, list(range(MAX_LISTED)))


def test_a_leg_that_brings_nothing_is_listed():
    ends = [LegEnds(FLOWS[0].destination), LegEnds(FLOWS[1].destination)]
    merger, _ = merge([(0, 1, packet(1)), (1, 1, packet(2))], ends)
    silent, heard = merger.legs(0)
    assert (silent.flow, silent.last_arrival_ns, silent.counts.received, silent.skew_seconds) == (None, None, 0, None)
    assert (heard.flow, heard.last_arrival_ns, heard.counts.received) == (FLOWS[1], 1, 2)


def test_a_leg_is_known_by_its_sender_where_both_go_to_one_address():
    flows = [Flow("192.0.2.1:5004", "239.1.1.1:5004"), Flow("192.0.2.2:5004", "239.1.1.1:5004")]
    ends = [LegEnds("239.1.1.1:5004", "192.0.2.2"), LegEnds("239.1.1.1:5004", "192.0.2.1")]
    assert [[leg.matches(flow) for flow in flows] for leg in ends] == [[False, True], [True, False]]


def test_legs_beyond_what_is_followed_are_refused():
    arrived = [(flow, flow, packet(1)) for flow in range(MAX_LEGS + 2)]
    merger, kept = merge(arrived)
    assert kept == [True] + [False] * (MAX_LEGS + 1)
    assert len(merger.legs(0)) == MAX_LEGS
    assert merger.refused == {"too_many_legs": 2}


def test_streams_without_legs_pass_untouched():
    merger = fresh()
    merger.add(1, [], 0)
    part = batch_of([(0, 0, packet(1)), (1, 1, packet(1))])
    assert merger.merge(part, np.array([0, 0]), np.array([STEP, STEP])).all()
    assert merger.legs(0) == []
    assert merger.differing(0) == (0, [])


def test_copies_are_matched_as_far_back_as_the_ring_goes():
    arrived = [(sequence, 0, packet(sequence)) for sequence in range(RING + 1)]
    _, kept = merge([*arrived, (RING + 1, 1, packet(0)), (RING + 2, 1, packet(1))], cuts=range(0, RING, 4096))
    assert kept[-2:] == [True, False]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_against_a_dictionary_however_it_is_cut(data):
    """Any order of copies over three legs, any cut; numbers jump by the ring's size to fall into one slot."""
    numbers = st.tuples(st.integers(0, 6), st.sampled_from([0, RING]), st.integers(0, 2), st.integers(0, 1))
    plan = data.draw(st.lists(numbers, max_size=40))
    arrived = [
        (10 * at, leg, packet(number + jump, bytes([content]) * 18))
        for at, (number, jump, leg, content) in enumerate(plan)
    ]
    ring: dict[int, tuple[int, dict[int, int], int]] = {}
    expected, differing = [], 0
    for number, jump, leg, content in plan:
        known = ring.get(number)
        if known is None or known[0] != number + jump:
            ring[number] = (number + jump, {leg: 1}, content)
            expected.append(True)
        elif leg in known[1]:
            expected.append(True)
        else:
            known[1][leg] = 1
            differing += content != known[2]
            expected.append(False)
    cuts = data.draw(st.lists(st.integers(0, len(plan)), max_size=5))
    merger, kept = merge(arrived, cuts=cuts)
    assert kept == expected
    assert merger.differing(0)[0] == differing
    whole, _ = merge(arrived)
    assert merger.legs(0) == whole.legs(0)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_one_bit_changes_the_digest(payload, data):
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    other = bytearray(payload)
    other[bit // 8] ^= 1 << bit % 8
    arena = np.frombuffer(payload + bytes(other) + payload, np.uint8)
    size = len(payload)
    one, changed, same = payload_digest(arena, np.array([0, size, 2 * size]), np.full(3, size)).tolist()
    assert one == same != changed


def test_another_sender_may_begin_with_the_same_numbers():
    merger, _ = merge([(0, 0, packet(1)), (1, 1, packet(1)), (2, 0, packet(2)), (3, 1, packet(2))])
    merger.succeed(0)
    merger.succeed(1)  # has no legs
    merger, kept = merge([(4, 0, packet(1)), (5, 1, packet(1)), (6, 0, packet(2)), (7, 1, packet(2))], merger=merger)
    assert kept == [True, False, True, False]
    assert counted(merger) == [(4, 0), (4, 0)]


def test_the_legs_of_a_stream_that_is_gone_are_another_s():
    table = RowTable()
    assert [table.allocate(), table.allocate()] == [0, 1]
    merger = LegMerger(table)
    merge([(0, 0, packet(1)), (50, 1, packet(1)), (60, 0, packet(2)), (70, 1, packet(2))], merger=merger)
    assert merger.flows_in_use() == {0, 1}
    table.retire(0)
    assert table.allocate() == 0
    assert (merger.legs(0), merger.flows_in_use()) == ([], set())
    merger, kept = merge([(100, 2, packet(1)), (110, 3, packet(2))], merger=merger)
    assert kept == [True, True]  # no copies of what the other stream had
    assert [leg.flow for leg in merger.legs(0)] == [FLOWS[2], FLOWS[3]]
    assert [leg.skew_seconds for leg in merger.legs(0)] == [None, None]
    assert [leg.counts.received for leg in merger.legs(0)] == [1, 1]


def test_another_sender_of_the_second_stream_begins_alone():
    """What the first stream has of its legs stays."""
    table = RowTable()
    assert [table.allocate(), table.allocate()] == [0, 1]
    merger = LegMerger(table)
    for stream in (0, 1):
        merger.add(stream, [], 0)

    def feed(arrived, stream):
        part = batch_of(arrived)
        rows = np.full(len(part), stream)
        return merger.merge(part, rows, np.full(len(part), STEP)).tolist()

    assert feed([(0, 0, packet(1)), (1, 0, packet(2))], 0) == [True, True]
    assert feed([(2, 2, packet(1)), (3, 2, packet(2))], 1) == [True, True]
    merger.succeed(1)
    assert feed([(4, 1, packet(1)), (5, 1, packet(2))], 0) == [False, False]
    assert feed([(6, 3, packet(1)), (7, 2, packet(1))], 1) == [True, False]


def test_legs_stay_known_when_flows_are_forgotten():
    arrived = [(0, 1, packet(1)), (50, 3, packet(1))]
    merger, _ = merge(arrived)
    assert merger.flows_in_use() == {1, 3}
    merger.renumber({1: 3, 3: 1})
    merger, kept = merge([(60, 1, packet(2)), (70, 3, packet(2))], merger=merger)
    assert kept == [True, False]
    assert counted(merger) == [(2, 0), (2, 0)]
    assert merger.legs(0)[1].skew_seconds == 0  # now the first one is late
    merger.renumber({1: 0})
    assert merger.flows_in_use() == {0}
    assert merger.legs(0)[1].last_arrival_ns == 60


@pytest.mark.parametrize("by_ns", [-3600 * 10**9, 7 * 10**9])
def test_a_clock_that_is_set_changes_no_skew(by_ns):
    merger, _ = merge([(10**18, 0, packet(1)), (10**18 + 50, 1, packet(1)), (10**18 + 60, 0, packet(2))])
    merger.shift_clock(by_ns)
    merger, kept = merge([(10**18 + 90 + by_ns, 1, packet(2))], merger=merger)
    assert kept == [False]
    assert merger.legs(0)[1].max_skew_seconds == pytest.approx(50e-9)
    assert merger.legs(0)[1].skew_seconds == pytest.approx(30e-9)
    assert merger.legs(0)[0].last_arrival_ns == 10**18 + 60 + by_ns


def test_a_leg_that_brought_nothing_yet_may_begin_with_any_number():
    ends = [LegEnds("239.1.0.1:5004"), LegEnds("239.1.1.1:5004")]
    merger, _ = merge([(0, 0, packet(1)), (2, 0, packet(2))], ends=ends)
    merger.succeed(0)
    merger, kept = merge([(4, 0, packet(9000)), (5, 1, packet(9000)), (6, 1, packet(9001))], merger=merger)
    assert kept == [True, False, True]
    assert counted(merger) == [(3, 0), (2, 0)]


def test_length_and_place_change_the_digest():
    arena = np.frombuffer(b"\1" * 8 + b"\2" * 8 + b"\2" * 8 + b"\1" * 8 + bytes(9), np.uint8)
    digest = payload_digest(arena, np.array([0, 16, 32, 32]), np.array([16, 16, 8, 9]))
    assert len(set(digest.tolist())) == 4
