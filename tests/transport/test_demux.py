"""Sources become streams."""

import struct
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.batch import Flow, PacketBatch, parse
from rtpverify.transport import demux as module
from rtpverify.transport.demux import Demux, Source

FLOWS = [Flow(f"192.0.2.{i}:5004", "239.1.2.3:5004") for i in range(4)]
Sent = tuple[int, int, int, int]  # flow, SSRC, sequence, payload type


def batch_of(packets: list[Sent], first_arrival_ns: int = 0) -> PacketBatch:
    datagrams = [
        struct.pack(">BBHII", 0x80, payload_type, sequence, 0, ssrc) + bytes([flow, sequence & 255])
        for flow, ssrc, sequence, payload_type in packets
    ]
    length = np.array([len(datagram) for datagram in datagrams], np.int64)
    return PacketBatch(
        arena=np.frombuffer(b"".join(datagrams), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=np.arange(len(packets)) + first_arrival_ns,
        flow=np.array([packet[0] for packet in packets], np.int64),
        flows=FLOWS,
    )


def run(demux: Demux, packets: list[Sent], cuts: list[int] | None = None) -> dict[int, list[tuple[int, int, bytes]]]:
    """Return arrival number, sequence and payload of the packets of each stream, in the order they come out."""
    streams: dict[int, list[tuple[int, int, bytes]]] = {}
    edges = [0, *sorted(cuts or []), len(packets)]
    batches = [batch_of(packets[start:stop], start) for start, stop in pairwise(edges)]
    parts = [part for batch in batches for part in demux.assign(parse(batch))]
    for rtp, stream, _ in [*parts, *demux.settle(batches[-1])]:
        if rtp:
            assert len(rtp) == len(stream) > 0
            for i in range(len(rtp)):
                payload = rtp.source.arena[rtp.payload_offset[i] :][: rtp.payload_length[i]].tobytes()
                one = (int(rtp.arrival_ns[i]), int(rtp.sequence[i]), payload)
                streams.setdefault(int(stream[i]), []).append(one)
    return streams


def numbers(streams: dict[int, list[tuple[int, int, bytes]]]) -> dict[int, list[int]]:
    return {stream: [one[0] for one in packets] for stream, packets in streams.items()}


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3]])
def test_the_first_packet_is_not_lost(cuts: list[int]) -> None:
    packets = [(0, 7, 65535, 96), (0, 7, 0, 96), (0, 7, 1, 96)]
    demux = Demux()
    streams = run(demux, packets, cuts)
    assert streams == {0: [(0, 65535, b"\x00\xff"), (1, 0, b"\0\0"), (2, 1, b"\0\1")]}
    assert demux.sources == [Source(0, 7, 96)]
    demux.finish()
    assert not demux.refused


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 2, 3]])
def test_first_packets_in_reverse_or_twice(cuts: list[int]) -> None:
    assert numbers(run(Demux(), [(0, 7, 5, 96), (0, 7, 4, 96), (0, 7, 6, 96)], cuts)) == {0: [0, 1, 2]}
    assert numbers(run(Demux(), [(0, 7, 5, 96), (0, 7, 5, 96), (0, 7, 6, 96)], cuts)) == {0: [0, 1, 2]}


def test_what_does_not_belong_together_is_no_source() -> None:
    demux = Demux()
    packets = [(0, 7, 5, 96), (0, 7, 6, 97), (0, 8, 6, 96), (1, 7, 6, 96), (0, 7, 6 + module.NEAR + 1, 96)]
    assert run(demux, packets) == {}
    assert demux.sources == []
    demux.finish()
    assert demux.refused == Counter(probation=5)


def test_a_wild_packet_before_a_source_is_left_out() -> None:
    demux = Demux()
    assert numbers(run(demux, [(0, 7, 30000, 96), (0, 7, 5, 96), (0, 7, 6, 96)])) == {0: [1, 2]}
    assert demux.refused == Counter(probation=1)


def test_several_sources_in_one_flow_and_one_ssrc_in_several_flows() -> None:
    packets = [(flow, ssrc, sequence, 96) for sequence in range(3) for flow in (0, 1) for ssrc in (7, 8)]
    demux = Demux()
    streams = run(demux, packets, [5])
    # Of two in one flow the second has to wait until the first goes on.
    assert numbers(streams) == {0: [0, 4, 8], 1: [2, 6, 10], 2: [1, 5, 9], 3: [3, 7, 11]}
    assert demux.sources == [Source(0, 7, 96), Source(1, 7, 96), Source(0, 8, 96), Source(1, 8, 96)]


def test_more_sources_than_streams() -> None:
    packets = [(0, ssrc, sequence, 96) for sequence in range(4) for ssrc in range(3)]
    for cuts in ([], [4], list(range(12))):
        demux = Demux(max_streams=2)
        assert numbers(run(demux, packets, cuts)) == {0: [0, 3, 6, 9], 1: [1, 4, 7, 10]}
        demux.finish()
        assert demux.refused == Counter(too_many_streams=4)


def test_a_released_index_is_used_again() -> None:
    demux = Demux(max_streams=1)
    run(demux, [(0, 7, 1, 96), (0, 7, 2, 96)])
    demux.release(0)
    demux.release(0)
    assert demux.sources == [None]
    assert numbers(run(demux, [(0, 8, 1, 96), (0, 8, 2, 96), (0, 7, 3, 96)])) == {0: [0, 1]}
    assert demux.sources == [Source(0, 8, 96)]


def test_a_flood_of_unknown_sources_costs_bounded_memory() -> None:
    demux = Demux()
    run(demux, [(0, ssrc, 1, 96) for ssrc in range(3000)], [1000, 2000])
    assert len(demux._probation) == module.MAX_PROBATION
    assert demux.refused == Counter(probation=3000 - module.MAX_PROBATION)
    demux.finish()
    assert demux.refused == Counter(probation=3000)
    assert demux._held_bytes == 0


def test_held_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD_BYTES", 14 * 10)
    demux = Demux()
    run(demux, [(0, ssrc, 1, 96) for ssrc in range(25)])
    assert demux._held_bytes == 140
    assert demux.refused == Counter(probation=15)


PACKETS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 40), st.sampled_from([96, 96, 96, 97])), max_size=40
)


@given(packets=PACKETS, cuts=st.lists(st.integers(0, 40), max_size=8), max_streams=st.integers(1, 8))
def test_cuts_change_nothing_and_every_packet_is_accounted_for(
    packets: list[Sent], cuts: list[int], max_streams: int
) -> None:
    whole, cut = Demux(max_streams), Demux(max_streams)
    streams = run(whole, packets)
    assert run(cut, packets, [min(position, len(packets)) for position in cuts]) == streams
    assert cut.sources == whole.sources
    cut.finish()
    whole.finish()
    assert cut.refused == whole.refused
    assert sum(map(len, streams.values())) + sum(whole.refused.values()) == len(packets)
    for arrivals in numbers(streams).values():
        assert arrivals == sorted(arrivals)
