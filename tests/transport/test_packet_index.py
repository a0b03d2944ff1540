"""Which packet carried which frames, and when it arrived."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.transport import packet_index as module
from rtpverify.transport.packet_index import PACKET, PacketIndex

RATE_HZ = 48_000


def new_index(streams=1):
    index = PacketIndex()
    for row in range(streams):
        index.fresh_row(row)
        index.set_rate(row, RATE_HZ)
    return index


def write(index, row, sequence, timestamp, *, is_audio=True):
    sequence = np.asarray(sequence, np.int64)
    timestamp = np.broadcast_to(np.asarray(timestamp, np.int64), sequence.shape)
    index.write(np.full(len(sequence), row), sequence, timestamp, 1_000 + sequence, np.full(len(sequence), is_audio))


def filled(packets, first=65_000, lost=()):
    index = new_index()
    kept = np.array([i for i in range(packets) if i not in lost], np.int64)
    write(index, 0, first + kept, kept * 48)
    return index


@given(st.integers(0, 199 * 48), st.integers(1, 500))
def test_carriers_are_the_packets_that_hold_the_frames(start, frames):
    stop = min(start + frames, 200 * 48)
    assert filled(200).carriers(0, start, stop) == (65_000 + start // 48, 65_000 + (stop - 1) // 48)


def test_an_instant_has_the_packet_it_lies_in():
    index = filled(10)
    assert index.carriers(0, 48, 48) == (65_001, 65_001)
    assert index.carriers(0, 50, 50) == (65_001, 65_001)
    assert index.carriers(0, 0, 1) == (65_000, 65_000)


@given(st.sets(st.integers(1, 99), max_size=30), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_arrival_of_packets_that_came(lost, packet):
    index = filled(100, lost=lost)
    assert index.arrival_ns(0, 65_000 + packet) == (None if packet in lost else 66_000 + packet)
    assert index.timestamp(0, 65_000 + packet) == (None if packet in lost else 48 * packet)


def test_what_is_no_audio_carries_nothing_and_has_arrived():
    index = filled(10)
    write(index, 0, [65_010, 65_011], 480, is_audio=False)
    write(index, 0, [65_012], 12 * 48)
    assert index.carriers(0, 490, 500) == (65_009, 65_009)
    assert index.arrival_ns(0, 65_011) == 66_011


def test_nothing_is_known_of_a_stream_that_has_no_packets():
    index = filled(10)
    index.fresh_row(1)
    index.fresh_row(0)
    assert [index.carriers(row, 0, 10) for row in (0, 1)] == [None, None]
    assert index.arrival_ns(0, 65_000) is None
    assert index.first_sequence(0) is None
    assert filled(10, first=65_530).first_sequence(0) == 65_530


PACKET_FRAMES = st.sampled_from([6, 48, 192, 441, 960, 2880])


@st.composite
def arrivals(draw):
    """Plan streams that send packets of one length each, in batches of any size."""
    streams = draw(st.lists(PACKET_FRAMES, min_size=1, max_size=4))
    batches = draw(st.lists(st.integers(0, 3000), min_size=1, max_size=12))
    return streams, batches, draw(st.integers(0, 2**32 - 1))


@given(arrivals())
@settings(max_examples=60, deadline=None)
def test_what_may_still_be_judged_is_remembered(plan):
    """What came in the remembered time before the packets at hand is known, and they are: of every stream."""
    streams, batches, seed = plan
    rng, index = np.random.default_rng(seed), new_index(len(streams))
    sent, before = [0] * len(streams), [0] * len(streams)
    for size in batches:
        row = rng.integers(0, len(streams), size)
        number = np.zeros(size, np.int64)
        for one in range(len(streams)):
            number[row == one] = sent[one] + np.arange(np.count_nonzero(row == one))
            before[one], sent[one] = sent[one], sent[one] + np.count_nonzero(row == one)
        length = np.array(streams)[row]
        index.write(row, 7 + number, number * length, number, np.ones(size, np.bool_))
        for one, frames in enumerate(streams):
            remembered = int(module.REMEMBERED_SECONDS * RATE_HZ / frames)
            for wanted in {max(0, before[one] - remembered + 1), before[one] - 1, before[one], sent[one] - 1}:
                if 0 <= wanted < sent[one]:
                    assert index.arrival_ns(one, 7 + wanted) == wanted
                    carried = index.carriers(one, wanted * frames, (wanted + 1) * frames)
                    assert carried == (7 + wanted, 7 + wanted)


@pytest.mark.parametrize("step", [0, 1, 48, 2880])
def test_memory_is_bounded(step, monkeypatch):
    monkeypatch.setattr(module, "MOST_PACKETS", 4096)
    index, before = new_index(), 0
    for part in np.split(np.arange(200_000), 200):
        write(index, 0, part, part * step)
        before = max(before, index.memory_bytes)
    assert before <= 2 * 2 * 4096 * PACKET.itemsize
    assert index.arrival_ns(0, 199_999) == 200_999
    assert index.carriers(0, 0, 1) is None or step == 0
    assert index.arrival_ns(0, 0) is None


def test_rings_of_streams_that_are_gone_are_used_again():
    index = new_index()
    sizes = set()
    for turn in range(50):
        write(index, 0, turn + np.arange(3000), 48 * np.arange(3000))
        index.fresh_row(0)
        index.set_rate(0, RATE_HZ)
        sizes.add(index.memory_bytes)
    assert len(sizes) == 1
