"""Sources become streams."""

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.batch import Flow, PacketBatch, parse
from rtpverify.transport import demux as module
from rtpverify.transport import places
from rtpverify.transport.demux import Demux, Held, Part, Source
from rtpverify.transport.places import RESERVED, Claim
from tests.helpers.memory import held_bytes

FLOWS = [Flow(f"192.0.2.{i}:5004", "239.1.2.3:5004") for i in range(40)]
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


def test_nothing_is_kept_of_streams_that_are_forgotten() -> None:
    """As much is kept where each came from a place of its own as where all came from one."""
    held = []
    for place in (lambda flow, _: flow, lambda *_: 0):
        demux = Demux(place=place)
        for ssrc in range(len(FLOWS)):
            run(demux, [(ssrc, ssrc, sequence, 96) for sequence in (1, 2)])
            assert [one.stream for one in demux.take_admitted()] == [0]
            demux.release(0)
        held.append(held_bytes(demux))
    assert held[0] == held[1]
    run(demux, [(0, 1000, sequence, 96) for sequence in (1, 2)])
    assert [one.stream for one in demux.take_admitted()] == [0]
    demux.release(0)
    assert held_bytes(demux) == held[1]


def test_a_flood_of_unknown_sources_costs_bounded_memory() -> None:
    demux = Demux()
    run(demux, [(0, ssrc, 1, 96) for ssrc in range(3000)], [1000, 2000])
    assert demux.waiting_sources == module.MAX_PROBATION
    assert demux.refused == Counter(probation=3000 - module.MAX_PROBATION)
    demux.finish()
    assert demux.refused == Counter(probation=3000)
    assert demux.held_bytes == 0


def test_of_one_source_that_proves_nothing_the_latest_packets_are_held() -> None:
    demux = Demux(proof=lambda *_: None)
    assert run(demux, [(0, 7, number, 96) for number in range(100)]) == {}
    assert demux.refused == Counter(probation=100 - module.MAX_HELD_PACKETS)
    assert demux.held_bytes == 14 * module.MAX_HELD_PACKETS
    [held] = demux.finish()
    assert [packet.sequence for packet in held] == list(range(100 - module.MAX_HELD_PACKETS, 100))


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


def test_of_several_streams_at_one_place_one_is_forgotten() -> None:
    went = Went(by_type=True)
    packets = [(number, (0, ssrc, number, 96)) for number in range(10) for ssrc in (7, 8)]
    went.feed(packets)
    assert [source.ssrc for source in went.demux.sources if source] == [7, 8]
    went.demux.release(0)
    assert went.demux.sources == [None, Source(0, 8, 96)]
    went.feed([(100, (0, 8, 10, 96)), (101, (0, 8, 11, 96))])
    assert went.streams[1][-2:] == [(8, 10), (8, 11)]
    # Who comes now takes over the one that is left.
    went.feed(alternating(9, 1, 3, LATER_NS))
    assert went.demux.sources == [None, Source(0, 9, 96)]


def test_the_older_of_two_streams_in_a_flow_is_taken_over() -> None:
    went = Went()
    went.feed([(number, (0, ssrc, number, 96)) for number in range(10) for ssrc in (7, 8)])
    later = module.SILENT_NS // 2
    went.feed(alternating(8, 10, 3, later))
    went.feed(alternating(9, 1, 3, module.SILENT_NS + 1000))
    assert [source.ssrc for source in went.demux.sources if source] == [9, 8]
    went.feed(alternating(8, 13, 2, module.SILENT_NS + 9000))
    assert went.streams[1][-2:] == [(8, 13), (8, 14)]


def test_a_place_that_was_reserved_is_free_again() -> None:
    demux = Demux(max_streams=0, claim=claim)
    assert [len(of) for of in run(demux, [(2, 7, 1, 96), (2, 7, 2, 96)]).values()] == [2]
    demux.release(0)
    for ssrc in range(8, 8 + RESERVED):
        assert [len(of) for of in run(demux, [(2, ssrc, 1, 96), (2, ssrc, 2, 96)]).values()] == [2]
        demux.release(0)


@pytest.mark.parametrize("max_streams", [0, 1])
def test_what_came_before_a_long_loss_proves_a_source_by_itself(max_streams: int) -> None:
    """Three packets where four are asked for, but at the end two are enough; then far other numbers."""

    def proof(packets: Sequence[Held], at_end: bool) -> int | None:
        return 96 if len(packets) >= (2 if at_end else 4) else None

    demux = Demux(max_streams, proof=proof)
    packets = [(0, 7, number, 96) for number in (1, 2, 3, 5000, 5001)]
    streams = run(demux, packets, [1, 2, 3, 4])
    assert numbers(streams) == ({0: [0, 1, 2, 3, 4]} if max_streams else {})
    demux.finish()
    assert sum(demux.refused.values()) == (0 if max_streams else 5)


# --- one source after another in its place --------------------------------------------------------------------------

Timed = tuple[int, Sent]
"""When it arrives, in ns, and the packet."""
GAPS_NS = (1, 1, 1, 1, module.SILENT_NS // 3, module.SILENT_NS, module.SILENT_NS + 1)


def timed(packets: list[Timed], number_of: Sequence[int] = (0, 1, 2, 3)) -> PacketBatch:
    """Return packets whose flows are known by other numbers."""
    batch = batch_of([(number_of[flow], *rest) for _, (flow, *rest) in packets])
    return replace(batch, arrival_ns=np.array([at_ns for at_ns, _ in packets], np.int64))


class Went:
    """Runs packets through a demultiplexer, and notes which stream each packet of which sender is of."""

    def __init__(self, *, by_type: bool = False, max_streams: int = 8) -> None:
        self.demux = Demux(max_streams, lambda flow, kind: kind if by_type else self.number_of.index(flow))
        self.streams: dict[int, list[tuple[int, int]]] = {}
        self.newcomers: list[tuple[int, Source]] = []
        self.number_of = [0, 1, 2, 3]
        self.later_ns = 0

    def feed(self, packets: list[Timed]) -> None:
        shifted = [(at_ns + self.later_ns, packet) for at_ns, packet in packets]
        self._take(self.demux.assign(parse(timed(shifted, self.number_of))))

    def settle(self) -> None:
        self._take(self.demux.settle(timed([])))

    def _take(self, parts: list[Part]) -> None:
        for rtp, stream, newcomer in parts:
            if newcomer is not None:
                self.newcomers.append((int(stream[0]), replace(newcomer, flow=self.number_of.index(newcomer.flow))))
            for i in range(len(rtp)):
                # The second byte of a payload says which number it bears, the header who sent it.
                self.streams.setdefault(int(stream[i]), []).append((int(rtp.ssrc[i]), int(rtp.sequence[i])))


def alternating(ssrc: int, first: int, count: int, at_ns: int, *, flow: int = 0) -> list[Timed]:
    return [(at_ns + 1000 * number, (flow, ssrc, first + number, 96)) for number in range(count)]


LATER_NS = 2 * module.SILENT_NS


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("flow", [0, 1])
def test_after_a_silence_another_source_continues_the_stream(cut: bool, flow: int) -> None:
    went = Went(by_type=True)
    packets = alternating(7, 1, 5, 0) + alternating(8, 50, 5, LATER_NS, flow=flow)
    for part in [[packet] for packet in packets] if cut else [packets]:
        went.feed(part)
    assert went.streams == {0: [(7, number) for number in range(1, 6)] + [(8, number) for number in range(50, 55)]}
    assert went.newcomers == [(0, Source(flow, 8, 96))]
    assert went.demux.sources == [Source(flow, 8, 96)]
    # What still comes of the one before has to prove itself again.
    went.feed(alternating(7, 6, 1, LATER_NS + 6000))
    assert len(went.streams[0]) == 10
    assert went.demux.waiting_sources == 1


def test_who_continues_a_stream_needs_no_room_of_its_own() -> None:
    went = Went(max_streams=1)
    went.feed(alternating(7, 1, 3, 0))
    went.feed(alternating(8, 1, 3, LATER_NS))
    assert went.demux.sources == [Source(0, 8, 96)]
    went.feed(alternating(9, 1, 3, LATER_NS + 9000, flow=1))  # at another place
    assert went.demux.refused == Counter(too_many_streams=3)


@pytest.mark.parametrize(("silent_ns", "continues"), [(module.SILENT_NS, False), (module.SILENT_NS + 1, True)])
def test_how_long_a_silence_it_takes(silent_ns: int, continues: bool) -> None:
    went = Went()
    went.feed([(0, (0, 7, 1, 96)), (0, (0, 7, 2, 96)), (1, (0, 8, 1, 96)), (2, (0, 8, 2, 96))])
    went.feed([(silent_ns, (0, 8, 3, 96))])
    assert went.streams[0] == [(7, 1), (7, 2), *([(8, 1), (8, 2), (8, 3)] if continues else [])]


def test_stragglers_are_no_sign_that_a_stream_continues() -> None:
    went = Went()
    went.feed(alternating(7, 1, 3, 0))
    went.feed(alternating(8, 1, 2, 4000))
    went.feed(alternating(7, 4, module.STRAGGLERS - 1, 7000))
    went.feed(alternating(8, 3, 2, 20_000))
    assert went.demux.sources == [Source(0, 7, 96)]
    went.feed(alternating(7, 3 + module.STRAGGLERS, 1, 30_000))
    went.feed(alternating(8, 5, 1, 40_000))
    assert went.demux.sources == [Source(0, 7, 96), Source(0, 8, 96)]
    assert went.streams[1] == [(8, number) for number in range(1, 6)]
    assert went.newcomers == []


def test_a_newcomer_does_not_wait_for_ever() -> None:
    went = Went()
    went.feed(alternating(7, 1, 3, 0))
    went.feed(alternating(8, 1, module.MAX_WAITING_PACKETS, 10_000))
    assert went.demux.sources == [Source(0, 7, 96)]
    went.feed(alternating(8, module.MAX_WAITING_PACKETS + 1, 1, 90_000_000))
    assert went.demux.sources == [Source(0, 8, 96)]
    assert len(went.streams[0]) == 3 + module.MAX_WAITING_PACKETS + 1


@pytest.mark.parametrize(("stragglers", "sources"), [(0, [8]), (1, [7, 8])])
def test_at_the_end_a_newcomer_continues_what_was_silent_since(stragglers: int, sources: list[int]) -> None:
    went = Went()
    went.feed(alternating(7, 1, 3, 0) + alternating(8, 1, 3, 4000) + alternating(7, 4, stragglers, 8000))
    went.settle()
    assert [source.ssrc for source in went.demux.sources if source] == sources
    assert sum(map(len, went.streams.values())) == 6 + stragglers


def test_at_the_end_there_may_be_no_room_for_a_newcomer() -> None:
    went = Went(max_streams=1)
    went.feed(alternating(7, 1, 3, 0) + alternating(8, 1, 3, 4000) + alternating(7, 4, 1, 8000))
    went.settle()
    assert [source.ssrc for source in went.demux.sources if source] == [7]
    assert went.demux.refused == Counter(too_many_streams=3)
    assert went.demux.held_bytes == 0


def test_nobody_waits_for_a_stream_that_is_forgotten() -> None:
    went = Went()
    went.feed(alternating(7, 1, 3, 0) + alternating(8, 1, 3, 4000))
    went.demux.release(0)
    assert went.demux.sources == [None]
    assert went.demux.refused == Counter(probation=3)
    assert (went.demux.waiting_sources, went.demux.held_bytes) == (0, 0)


TIMED = st.lists(
    st.tuples(st.sampled_from(GAPS_NS), st.integers(0, 3), st.integers(0, 2), st.integers(0, 30)), max_size=50
)


@given(
    steps=TIMED,
    cuts=st.lists(st.integers(0, 50), max_size=6),
    shift_ns=st.sampled_from([-(10**18), 3 * module.SILENT_NS]),
    order=st.permutations(range(4)),
    by_type=st.booleans(),
)
def test_neither_cuts_nor_clocks_nor_the_numbers_of_flows_change_anything(
    steps: list[tuple[int, int, int, int]], cuts: list[int], shift_ns: int, order: list[int], by_type: bool
) -> None:
    at_ns, packets = 2 * 10**18, []
    for gap_ns, flow, ssrc, sequence in steps:
        at_ns += gap_ns
        packets.append((at_ns, (flow, ssrc, sequence, 96)))
    whole, other = Went(by_type=by_type), Went(by_type=by_type)
    whole.feed(packets)
    for start, stop in pairwise([0, *sorted(min(cut, len(packets)) for cut in cuts), len(packets)]):
        other.feed(packets[start:stop])
        other.demux.shift_clock(shift_ns)
        other.later_ns += shift_ns
        if set(range(4)) <= other.demux.flows_in_use():  # no source is given up
            renumbered = {number: order.index(number) for number in range(4)}
            other.number_of = [renumbered[number] for number in other.number_of]
            other.demux.renumber(np.array(order), renumbered)
    for went in (whole, other):
        went.settle()
        went.demux.finish()
    assert other.streams == whole.streams
    assert other.newcomers == whole.newcomers
    assert other.demux.refused == whole.demux.refused
    back = {number: flow for flow, number in enumerate(other.number_of)}
    assert [source and replace(source, flow=back[source.flow]) for source in other.demux.sources] == whole.demux.sources
    assert sum(map(len, whole.streams.values())) + sum(whole.demux.refused.values()) == len(packets)
