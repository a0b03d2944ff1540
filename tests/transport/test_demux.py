"""Sources become streams."""

import struct
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.batch import Flow, PacketBatch, parse
from rtpverify.transport import demux as module
from rtpverify.transport import places
from rtpverify.transport.demux import Demux, Source
from rtpverify.transport.places import RESERVED, Claim

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
    assert demux.waiting_sources == module.MAX_PROBATION
    assert demux.refused == Counter(probation=3000 - module.MAX_PROBATION)
    demux.finish()
    assert demux.refused == Counter(probation=3000)
    assert demux.held_bytes == 0


def test_held_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD_BYTES", 14 * 10)
    demux = Demux()
    run(demux, [(0, ssrc, 1, 96) for ssrc in range(25)])
    assert demux.held_bytes == 140
    assert demux.refused == Counter(probation=15)


def claim(flow: int) -> Claim | None:
    """Flows 0 and 1 come from two hosts to one stream, 2 goes to another; 3 to none."""
    return [Claim((0, "a"), "one"), Claim((0, "a"), "two"), Claim((1, "b"), "one"), None][flow]


def flood(flow: int, sources: int, packets: int = 3, first: int = 1000) -> list[Sent]:
    return [(flow, first + ssrc, sequence, 96) for sequence in range(packets) for ssrc in range(sources)]


class TestPlaces:
    """Who finds a place where more come than there are places."""

    @pytest.mark.parametrize("cuts", [[], [7, 50, 100], list(range(0, 300, 3))])
    def test_strangers_cost_no_other_stream_its_place(self, cuts: list[int]) -> None:
        demux = Demux(max_streams=5, claim=claim)
        strangers, late = flood(0, 30, 8), [(flow, 7, sequence, 96) for sequence in range(4) for flow in (1, 2)]
        streams = run(demux, strangers + late, cuts)
        # Of one host one has a reserved place, and five others; whoever sends from elsewhere, or elsewhere to, has one.
        assert [source.flow for source in demux.sources if source] == [0] * 6 + [1, 2]
        assert [len(packets) for packets in streams.values()] == [8] * 6 + [4, 4]
        demux.finish()
        assert demux.places.refused_streams == {(0, "a"): 24}
        assert demux.refused == Counter(too_many_streams=24 * 8)

    def test_reserved_places_of_one_stream_are_bounded(self) -> None:
        hosts = RESERVED + 3
        demux = Demux(max_streams=2, claim=lambda flow: Claim((0, "a"), str(flow)))
        for flow in range(hosts):
            many = batch_of([(flow, 7, sequence, 96) for sequence in range(3)])
            many.flows = [FLOWS[0]] * hosts
            demux.assign(parse(many))
        assert len(demux.sources) == RESERVED + 2
        assert demux.places.refused_streams == {(0, "a"): 1}

    def test_without_a_claim_nothing_is_reserved(self) -> None:
        demux = Demux(max_streams=2, claim=claim)
        run(demux, flood(3, 10))
        assert len(demux.sources) == 2
        assert demux.places.refused_streams == {None: 8}

    def test_what_never_proves_itself_is_no_stream_that_was_refused(self) -> None:
        demux = Demux(max_streams=1)
        run(demux, flood(0, 1) + flood(1, 50, packets=1))
        demux.finish()
        assert demux.places.refused_streams == {}
        assert demux.refused == Counter(probation=50)

    def test_a_released_place_is_the_next_ones(self) -> None:
        demux = Demux(max_streams=1)
        run(demux, flood(0, 2))
        demux.release(0)
        assert numbers(run(demux, [(0, 1001, 3, 96), (0, 1001, 4, 96)])) == {0: [0, 1]}
        assert demux.places.refused_streams == {None: 1}

    def test_many_that_were_refused_cost_bounded_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(places, "MAX_REFUSED", 10)
        demux = Demux(max_streams=1)
        for first in range(0, 3000, 300):
            run(demux, flood(0, 300, packets=2, first=first))
        assert sum(demux.places.has_refused(ssrc) for ssrc in range(10_000)) == 10
        assert demux.places.refused_streams[None] == 2999
        assert demux.refused["too_many_streams"] == 2 * 2999

    def test_strangers_on_probation_do_not_push_out_others(self) -> None:
        """Between two packets of the stream that is expected come as many sources as can wait, and more."""
        demux = Demux(claim=claim)
        packets: list[Sent] = []
        for sequence in range(3):
            packets += [(2, 7, sequence, 96), *flood(0, 2 * module.MAX_PROBATION, 1, 10_000 * (sequence + 1))]
        assert [len(of) for of in run(demux, packets, list(range(0, len(packets), 500))).values()] == [3]
        assert demux.sources == [Source(2, 7, 96)]
        assert demux.waiting_sources <= module.MAX_PROBATION

    def test_nor_do_their_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_HELD_BYTES", 14 * 10)
        demux = Demux(claim=claim)
        packets = [(2, 7, 0, 96), *flood(0, 50, 1), (2, 7, 1, 96)]
        assert [len(of) for of in run(demux, packets).values()] == [2]

    def test_what_waits_goes_on_waiting_when_flows_are_forgotten(self) -> None:
        demux = Demux()
        assert run(demux, [(0, 8, 0, 96), (2, 7, 5, 96)]) == {}
        kept = np.array(sorted(demux.flows_in_use() - {0}))
        demux.renumber(kept, {2: 0})
        assert [len(of) for of in run(demux, [(0, 7, 6, 96)]).values()] == [2]
        assert demux.sources == [Source(0, 7, 96)]


PACKETS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 40), st.sampled_from([96, 96, 96, 97])), max_size=40
)


@pytest.mark.parametrize("claims", [lambda _: None, claim])
@given(packets=PACKETS, cuts=st.lists(st.integers(0, 40), max_size=8), max_streams=st.integers(1, 8))
def test_cuts_change_nothing_and_every_packet_is_accounted_for(
    claims: Callable[[int], Claim | None], packets: list[Sent], cuts: list[int], max_streams: int
) -> None:
    whole, cut = Demux(max_streams, claim=claims), Demux(max_streams, claim=claims)
    streams = run(whole, packets)
    assert run(cut, packets, [min(position, len(packets)) for position in cuts]) == streams
    assert cut.sources == whole.sources
    cut.finish()
    whole.finish()
    assert cut.refused == whole.refused
    assert cut.places.refused_streams == whole.places.refused_streams
    assert (whole.held_bytes, whole.waiting_sources) == (0, 0)
    assert sum(map(len, streams.values())) + sum(whole.refused.values()) == len(packets)
    for arrivals in numbers(streams).values():
        assert arrivals == sorted(arrivals)
