"""Which packet carried which frames."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.media.packet_index import PacketIndex, Packets


def filled(packets, packet_frames=48, first=65_000, lost=(), streams=1, row=0):
    index = PacketIndex(packet_frames, 48000)
    for _ in range(streams):
        index.add()
    kept = np.array([i for i in range(packets) if i not in lost], np.int64)
    index.write(np.full(len(kept), row), first + kept, kept * packet_frames, 1_000 + kept)
    return index


@given(st.integers(0, 199 * 48), st.integers(1, 500))
def test_carriers_are_the_packets_that_hold_the_frames(start, frames):
    stop = min(start + frames, 200 * 48)
    assert filled(200).carriers(0, start, stop) == (65_000 + start // 48, 65_000 + (stop - 1) // 48)


def test_an_instant_has_the_packet_it_lies_in():
    index = filled(10)
    assert index.carriers(0, 48, 48) in ((65_001, 65_001), (65_000, 65_000))
    assert index.carriers(0, 50, 50) == (65_001, 65_001)
    assert index.carriers(0, 0, 1) == (65_000, 65_000)


@given(st.sets(st.integers(1, 99), max_size=30), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_arrival_of_packets_that_came(lost, packet):
    index = filled(100, lost=lost)
    assert index.arrival_ns(0, 65_000 + packet) == (None if packet in lost else 1_000 + packet)


def test_what_is_forgotten_is_not_told():
    index = PacketIndex(48, 48000)
    index.add()
    assert index.carriers(0, 0, 10) is None
    assert index.arrival_ns(0, 5) is None
    many = np.arange(20_000)
    for part in np.split(many, 20):
        index.write(np.zeros(len(part), np.int64), part, part * 48, part)
    assert index.carriers(0, 0, 10) is None
    assert index.arrival_ns(0, 0) is None
    assert index.arrival_ns(0, 19_999) == 19_999
    assert index.carriers(0, 19_990 * 48, 19_991 * 48) == (19_990, 19_990)


def test_four_seconds_are_remembered():
    index = filled(4000)
    assert index.arrival_ns(0, 65_000) == 1_000


def test_streams_are_apart():
    index = filled(10, streams=2, row=1)
    assert index.carriers(0, 0, 10) is None
    assert index.carriers(1, 0, 10) == (65_000, 65_000)


def test_some_of_the_packets_can_be_taken():
    n = np.arange(4)
    packets = Packets(n, n + 10, n * 48, n, np.ones((4, 48, 2)) * n[:, None, None])
    some = packets.take(n % 2 == 1)
    assert some.sequence.tolist() == [11, 13]
    assert some.samples.shape == (2, 48, 2)
    assert some.samples[1, 0, 0] == 3
