from __future__ import annotations

import threading

import numpy as np
import pytest

from rtpverify.evidence.packet_history import PacketHistory, select
from rtpverify.rtp.batch import Flow, PacketBatch

SECOND_NS = 1_000_000_000
LEFT, RIGHT = Flow("192.0.2.7:5004", "239.1.2.3:5004"), Flow("192.0.2.8:5004", "239.1.2.4:5004")


def datagram(number: int, ssrc: int, length: int = 40) -> bytes:
    return bytes([0x80, 97]) + number.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + bytes(length - 12)


def batch_of(*datagrams: tuple[int, int, bytes], flows=(LEFT, RIGHT), slot: int = 64) -> PacketBatch:
    """Return datagrams, each with its arrival and flow, in an arena of slots as a receiver has it."""
    arena = np.full(max(1, len(datagrams)) * slot, 0xAA, np.uint8)
    for row, (_, _, data) in enumerate(datagrams):
        arena[row * slot : row * slot + len(data)] = np.frombuffer(data, np.uint8)
    return PacketBatch(
        arena,
        np.arange(len(datagrams), dtype=np.int64) * slot,
        np.array([len(data) for _, _, data in datagrams], np.int64),
        np.array([at for at, _, _ in datagrams], np.int64),
        np.array([flow for _, flow, _ in datagrams], np.int64),
        list(flows),
    )


def everything(ring: PacketHistory, ssrcs=(1, 2), start_ns=0, stop_ns=1 << 62, matches=lambda _flow: True):
    batch = select(ring.pieces(), matches, ssrcs, start_ns, stop_ns)
    return [
        (int(at), batch.flows[int(flow)], batch.arena[offset : offset + length].tobytes())
        for at, flow, offset, length in zip(batch.arrival_ns, batch.flow, batch.offset, batch.length, strict=True)
    ]


@pytest.mark.parametrize("lengths", [(40, 40, 40), (40, 52, 12), (8, 40, 60)], ids=["equal", "mixed", "short ones"])
def test_datagrams_come_back_as_they_were_also_when_the_arena_is_used_again(lengths):
    ring = PacketHistory(10, 1 << 20)
    put = [(10 + row, row % 2, datagram(row, 1, max(length, 12))[:length]) for row, length in enumerate(lengths)]
    batch = batch_of(*put)
    ring.put(batch)
    batch.arena[:], batch.arrival_ns[:], batch.flow[:] = 0, 0, 0
    expected = [(at, (LEFT, RIGHT)[flow], data) for at, flow, data in put if len(data) >= 12]
    assert everything(ring) == expected


def test_what_is_too_old_is_forgotten():
    ring = PacketHistory(5, 1 << 20)
    for second in range(20):
        ring.put(batch_of((second * SECOND_NS, 0, datagram(second, 1))))
    assert [at // SECOND_NS for at, _, _ in everything(ring)] == [14, 15, 16, 17, 18, 19]


def test_memory_is_bounded_whatever_arrives():
    ring = PacketHistory(1e6, 100_000)
    for number in range(2000):
        ring.put(batch_of(*((number, 0, datagram(number, 1)) for _ in range(5))))
        assert ring.size_bytes <= 100_000
    kept = everything(ring)
    assert len(kept) == 5 * (100_000 // (5 * 56))
    assert kept[-1][0] == 1999
    ring.put(batch_of())
    assert ring.size_bytes == sum(piece.size_bytes for piece in ring.pieces())


def test_a_clock_that_is_set_back_forgets_nothing_it_should_keep():
    ring = PacketHistory(5, 1 << 20)
    ring.put(batch_of((100 * SECOND_NS, 0, datagram(1, 1))))
    ring.put(batch_of((50 * SECOND_NS, 0, datagram(2, 1))))
    assert [at // SECOND_NS for at, _, _ in everything(ring)] == [50, 100]


def rtcp(ssrc: int) -> bytes:
    return bytes([0x80, 200, 0, 6]) + ssrc.to_bytes(4, "big") + bytes(20)


def test_one_stream_is_picked_by_source_flow_and_time():
    ring = PacketHistory(100, 1 << 20)
    ring.put(
        batch_of(
            (1, 0, datagram(1, 1)),
            (2, 0, datagram(2, 9)),  # another source
            (3, 1, datagram(3, 1)),  # another flow
            (4, 0, rtcp(1)),
            (5, 0, rtcp(9)),
            (6, 0, bytes(5)),
        )
    )
    ring.put(batch_of((8, 0, datagram(8, 2)), (7, 1, datagram(7, 1))))
    ring.put(batch_of((9, 0, datagram(9, 1)), flows=[RIGHT]))  # another receiver, with numbers of its own

    def left(flow: Flow) -> bool:
        return flow == LEFT

    assert [at for at, _, _ in everything(ring, matches=left)] == [1, 4, 8]
    assert [at for at, _, _ in everything(ring, ssrcs=[1])] == [1, 3, 4, 7, 9]
    assert [at for at, _, _ in everything(ring, start_ns=3, stop_ns=8)] == [3, 4, 7]
    assert everything(ring, ssrcs=[77]) == []


def test_one_thread_may_take_while_another_puts():
    ring = PacketHistory(1e6, 200_000)
    stop = threading.Event()
    failures: list[BaseException] = []

    def take() -> None:
        try:
            while not stop.is_set():
                numbers = [at for at, _, _ in everything(ring)]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    for number in range(3000):
        ring.put(batch_of((number, 0, datagram(number % 65536, 1))))
    stop.set()
    thread.join()
    assert not failures
