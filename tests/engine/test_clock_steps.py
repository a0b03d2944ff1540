"""A clock of this host that is set while packets arrive changes nothing of what is found."""

from dataclasses import replace

import numpy as np
import pytest

from rtpverify.engine.presence import Ends
from rtpverify.engine.verifier import Verifier
from rtpverify.transport.redundancy import LegEnds
from tests.engine.test_verifier import FLOWS, Sender, assert_same_stream, batch_of, spec_of

SENDER = Sender(seconds=2.0, slips={70_000: 48})
SENT = SENDER.send(lost=(700, 701), copied=(1200,), delayed={1700: 2.5})


def verified(packets, spec, steps=()):
    """Return what is found of packets, where the clock is set forward before some batches by so many seconds."""
    verifier, told, shift_ns = Verifier([spec], ends=Ends.WATCHED), [], 0
    for number, start in enumerate(range(0, len(packets), 97)):
        by_ns = round(1e9 * dict(steps).get(number, 0.0))
        if by_ns:
            verifier.shift_clock(by_ns)
            shift_ns += by_ns
        batch = batch_of(packets[start : start + 97])
        batch.arrival_ns = batch.arrival_ns + shift_ns
        told += verifier.feed(batch)
        told += verifier.advance(int(batch.arrival_ns[-1]) + 1_000_000)
    told += verifier.finish(int(batch.arrival_ns[-1]))
    return verifier, told


@pytest.mark.parametrize("seconds", [3600.0, 3.0, 0.05, -2.0])
@pytest.mark.parametrize("number", [1, 15])
def test_a_step_changes_nothing(seconds, number):
    spec = replace(spec_of(SENDER), destination=FLOWS[0].destination, name="desk")
    [plain] = verified(SENT, spec)[0].result("live").streams
    verifier, _ = verified(SENT, spec, [(number, seconds)])
    [stepped] = verifier.result("live").streams
    assert_same_stream(stepped, replace(plain, events=without_times(plain, stepped)))
    assert {str(event.kind) for event in stepped.events} == {"gap", "slip"}
    assert any("clock of this host was set 1 time" in warning for warning in verifier.result("live").warnings)


def without_times(plain, stepped):
    """Return events of one result with the times of another's, which are by another clock."""
    pairs = zip(plain.events, stepped.events, strict=True)
    return [replace(event, time_ns=other.time_ns, id=other.id) for event, other in pairs]


def test_an_end_lasts_as_long_by_any_clock():
    spec = replace(spec_of(SENDER), destination=FLOWS[0].destination, name="desk")
    verifier, packets = Verifier([spec], ends=Ends.WATCHED), SENDER.send()
    told = verifier.feed(batch_of(packets[:1000]))
    first_ns = packets[999][0]
    told += verifier.advance(first_ns + 1_500_000_000)
    verifier.shift_clock(3_600_000_000_000)
    batch = batch_of(packets[1000:1200])
    batch.arrival_ns = np.array(batch.arrival_ns) + 3_600_000_000_000 + 2_000_000_000
    told += verifier.feed(batch)
    [ended] = {id(item.event): item.event for item in told if str(item.event.kind) == "ended"}.values()
    assert ended.size.ended_seconds == pytest.approx(2.001)


def test_legs_keep_their_skew():
    legs = (LegEnds(FLOWS[0].destination, "192.0.2.1"), LegEnds(FLOWS[0].destination, "192.0.2.2"))
    spec = replace(spec_of(SENDER), legs=legs)
    first = SENDER.send(lost=(100,))
    both = sorted([*first, *((at_ns + 300_000, 1, datagram) for at_ns, _, datagram in SENDER.send())])
    [plain] = verified(both, spec)[0].result("live").streams
    [stepped] = verified(both, spec, [(12, 5.0)])[0].result("live").streams
    assert stepped.legs == plain.legs
    assert stepped.transport.packets_lost == 0
