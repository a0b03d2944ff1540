"""Flows that no stream needs may be forgotten between any two batches, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.result import stream_as_dict
from rtpverify.transport.redundancy import LegEnds
from tests.engine.test_removal import FEED_NS, spec
from tests.engine.test_verifier import FLOWS, LONG, START_NS, Sender, batch_of


class Source:
    """Numbers flows as a live source does: by first appearance, and anew where some are forgotten."""

    def __init__(self):
        self.flows = []

    def keep(self, numbers):
        self.flows = [self.flows[number] for number in numbers]

    def batch(self, packets):
        renumbered = []
        for arrival_ns, flow, datagram in packets:
            if FLOWS[flow] not in self.flows:
                self.flows.append(FLOWS[flow])
            renumbered.append((arrival_ns, self.flows.index(FLOWS[flow]), datagram))
        return replace(batch_of(renumbered), flows=self.flows)


def verify(specs, packets, *, forgetful):
    """Return the results of all streams, what was told, and how many flows were known at most."""
    verifier, source, most, told = Verifier(specs), Source(), 0, []
    slots = np.array([packet[0] // FEED_NS for packet in packets])
    for slot in np.unique(slots).tolist():
        told += verifier.feed(source.batch([packets[i] for i in np.flatnonzero(slots == slot)]))
        most = max(most, len(source.flows))
        if forgetful:
            source.keep(verifier.keep_flows().tolist())
    told += verifier.finish()
    results = [stream_as_dict(verifier.result_of(stream)) for stream in verifier.streams]
    return results, [(item.stream.name, str(item.event.kind), item.event.start_frame) for item in told], most


def test_streams_go_on_whatever_is_forgotten():
    first = Sender(seconds=1.0, slips={20_000: 48})
    strange = Sender(seconds=1.0, ssrc=5, flow=3)
    other = Sender(*LONG, seconds=1.0, ssrc=6, flow=1)
    specs = [spec("first", first), spec("other", other)]
    packets = sorted(strange.send(start_ns=START_NS - 1000) + first.send(lost=[700]) + other.send())
    expected = verify(specs, packets, forgetful=False)
    assert verify(specs, packets, forgetful=True) == expected
    assert [one["transport"]["packets_lost"] for one in expected[0]] == [1, 0]


def test_a_sender_that_comes_back_from_another_port_takes_over_all_the_same():
    before = Sender(seconds=0.6)
    after = Sender(seconds=0.6, ssrc=9, flow=4)
    packets = before.send() + after.send(start_ns=START_NS + 1_000_000_000)
    expected = verify([spec("a", before)], packets, forgetful=False)
    assert verify([spec("a", before)], packets, forgetful=True)[:2] == expected[:2]
    assert [kind for _, kind, _ in expected[1]] == ["ssrc_change"]


@pytest.mark.parametrize("redundant", [False, True])
def test_legs_stay_legs(redundant):
    legs = [Sender(seconds=1.0, flow=flow) for flow in (2, 1)]
    ends = () if redundant else tuple(LegEnds(FLOWS[leg.flow].destination, FLOWS[leg.flow].sender) for leg in legs)
    merged = spec("a", legs[0], sender=None, legs=ends, redundant=redundant)
    packets = sorted(
        Sender(seconds=1.0, ssrc=7, flow=0).send(start_ns=START_NS - 1000) * (not redundant)
        + legs[0].send(lost=[500])
        + legs[1].send(start_ns=START_NS + 500, lost=[600])
    )
    expected = verify([merged], packets, forgetful=False)
    assert verify([merged], packets, forgetful=True)[:2] == expected[:2]
    assert [leg["packets_lost"] for leg in expected[0][0]["legs"]] == [1, 1]


def test_flows_of_no_stream_are_forgotten_and_those_of_legs_that_moved():
    verifier, source = Verifier([StreamSpec("a", redundant=False, sender="192.0.2.1")]), Source()
    stays = Sender(seconds=0.2)
    strangers = [Sender(seconds=0.2, ssrc=flow, flow=flow) for flow in (1, 2, 3)]
    packets = sorted(packet for one in (stays, *strangers) for packet in one.send())
    verifier.feed(source.batch(packets))
    assert len(source.flows) == 4
    source.keep(verifier.keep_flows().tolist())
    assert source.flows == [FLOWS[0]]
    assert verifier.keep_flows().tolist() == [0]
