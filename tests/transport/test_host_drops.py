"""What this host dropped, told apart from what the network lost."""

import socket
import struct

import numpy as np
import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.presence import Ends
from rtpverify.engine.verifier import Verifier
from rtpverify.events import GapSize
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.live import mmsg
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.transport.host_drops import MAX_NOTES, HostDrops


def fresh(streams=2):
    drops = HostDrops()
    for stream in range(streams):
        drops.fresh_row(stream)
    return drops


def take(drops, sequence, dropped, stream=0, flow=0):
    n = len(sequence)
    drops.take(np.full(n, stream), np.full(n, flow), np.array(sequence), np.array(dropped))


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
def test_drops_lie_between_the_packets_that_tell_of_them(cut):
    """However the input is cut."""
    drops = fresh()
    sequence, dropped = [10, 11, 15, 16], [0, 0, 3, 3]
    for part in (slice(None, cut), slice(cut, None)):
        if sequence[part]:
            take(drops, sequence[part], dropped[part])
    assert drops.between(0, 12, 14) == 3
    assert drops.between(0, 17, 19) == drops.between(1, 12, 14) == 0
    assert drops.between(0, 8, 9) == 0


def test_the_first_packets_may_tell_of_drops_already():
    """Before the first drop nothing is told at all."""
    drops = fresh()
    take(drops, [15, 16], [3, 3])
    assert drops.between(0, 12, 14) == 3


def test_every_socket_counts_for_itself():
    drops = fresh()
    take(drops, [10, 12], [5, 5], stream=0, flow=0)
    take(drops, [10, 12], [0, 2], stream=0, flow=1)
    take(drops, [10, 12], [9, 9], stream=1, flow=2)
    assert drops.between(0, 11, 11) == 2
    assert drops.between(1, 11, 11) == 0
    drops.renumber({1: 0})
    take(drops, [13, 15], [2, 6], stream=0, flow=0)
    assert drops.between(0, 14, 14) == 4
    drops.fresh_row(0)
    assert drops.between(0, 11, 11) == drops.between(0, 14, 14) == 0


def test_a_counter_that_starts_over_has_dropped_nothing():
    drops = fresh()
    take(drops, [10, 12, 14], [5, 2, 4])
    assert drops.between(0, 11, 11) == 0
    assert drops.between(0, 13, 13) == 2
    drops.take_last(0, 0, 9)
    drops.take_last(0, 0, 3)
    assert drops.total[0] == 5 + 2 + 5


def test_memory_is_bounded():
    drops = fresh()
    take(drops, np.arange(0, 2000, 2), np.arange(1000))
    assert sum(drops.between(0, after, after) for after in range(1, 1998, 2)) == MAX_NOTES
    assert drops.between(0, 1997, 1997) == 1
    assert drops.between(0, 3, 3) == 0


@pytest.mark.skipif(not mmsg.available, reason="only Linux tells")
def test_a_full_receive_buffer_is_not_the_networks_fault():
    from rtpverify.sources.live.recvmmsg import UdpReceiver

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = Endpoint("127.0.0.1", port)
    verifier = Verifier([StreamSpec(destination=endpoint.destination, encoding=parse_rtpmap("L16/48000/1"))])
    told = []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        UdpReceiver([endpoint], receive_buffer_bytes=16_384) as receiver,
    ):
        for number in range(400):
            if number != 20:  # the network lost this one
                header = struct.pack(">BBHII", 0x80, 97, number, 48 * number, 9)
                sender.sendto(header + bytes(96), ("127.0.0.1", port))
            if number < 100 or number >= 300:  # and meanwhile nobody reads
                batch = receiver.drain()
                if batch is not None:
                    told += verifier.feed(batch)
        dropped = receiver.dropped
        verifier.take_host_drops(receiver.dropped_to())
    told += verifier.finish()
    assert 100 < dropped < 200
    lost, overflow = [item.event for item in told if item.is_new]
    assert (str(lost.kind), str(lost.cause), lost.packets) == ("gap", "network", (20, 20))
    assert "dropped" not in lost.message
    assert (str(overflow.kind), str(overflow.cause)) == ("gap", "unknown")
    assert overflow.size == GapSize(packets_lost=dropped, packets_dropped_by_host=dropped)
    assert f"this host dropped {dropped} at that time" in overflow.message
    assert (lost.fault, overflow.fault) == (True, False)
    (stream,) = verifier.result("live").streams
    assert (
        stream.inconclusive
        == f"this host dropped {dropped} packets at the stream's socket: more arrived than it could take"
    )


@pytest.mark.parametrize("follows", [True, False], ids=["packets follow", "none follows"])
def test_a_stream_whose_socket_dropped_packets_is_inconclusive_and_no_other(follows):
    flows = [Flow("192.0.2.1:5004", "127.0.0.1:5004"), Flow("192.0.2.1:5004", "127.0.0.1:5006")]
    specs = [StreamSpec(destination=flow.destination, encoding=parse_rtpmap("L16/48000/1")) for flow in flows]
    verifier = Verifier(specs, ends=Ends.ALLOWED)

    def feed(numbers, dropped):
        packets = [(number, flow) for number in numbers for flow in (0, 1)]
        datagrams = [struct.pack(">BBHII", 0x80, 97, number, 48 * number, 9) + bytes(96) for number, _ in packets]
        length = np.full(len(packets), 108)
        flow = np.array([flow for _, flow in packets])
        arrival_ns = 10**18 + 10**6 * np.array([number for number, _ in packets])
        arena, counts = (
            np.frombuffer(b"".join(datagrams), np.uint8),
            None if dropped is None else np.where(flow, 0, dropped),
        )
        verifier.feed(
            PacketBatch(arena, np.cumsum(length) - length, length, arrival_ns, flow, flows, host_dropped=counts)
        )

    feed(range(100), None)
    feed(range(103, 150) if follows else range(100, 150), 3 if follows else None)
    verifier.take_host_drops({flows[0].destination: 3, flows[1].destination: 0})
    verifier.finish()
    dropping, other = verifier.result("live").streams
    assert (str(dropping.verdict), str(other.verdict)) == ("inconclusive", "pass" if not follows else "fail")
    assert (
        dropping.inconclusive == "this host dropped 3 packets at the stream's socket: more arrived than it could take"
    )
    assert other.inconclusive is None


def test_a_stream_that_begins_after_drops_had_none():
    drops = fresh()
    take(drops, np.arange(5), np.full(5, 7))
    assert drops.total[0] == 7
    drops.fresh_row(0)
    drops.begin(0)
    take(drops, np.arange(5), np.full(5, 7))
    assert drops.total[0] == 0
    take(drops, np.arange(5, 9), np.full(4, 9))
    drops.take_last(0, 0, 12)
    drops.take_last(0, 0, 12)
    assert drops.total[0] == 5
