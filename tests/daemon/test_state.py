from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rtpverify.daemon.state import UP_NS, StreamState
from rtpverify.events import Event, Kind
from rtpverify.reference import Tone
from rtpverify.result import Signal, StreamResult, Transport
from rtpverify.spec import StreamSpec
from rtpverify.verifier import StreamEvent


@dataclass
class Identity:
    """A stream of the verifier whose measurements a test sets."""

    last_arrival_ns: int = 0
    transport: Transport = field(default_factory=Transport)
    level_dbfs: float | None = None

    def result(self) -> StreamResult:
        return StreamResult(transport=self.transport, signal=[Signal(1, level_dbfs=self.level_dbfs)])


def state(*identities: Any) -> StreamState:
    made = StreamState(StreamSpec(name="a", reference=Tone()))
    for identity in identities:
        made.add(identity)
    return made


def test_counters_add_up_over_identities_and_never_fall() -> None:
    first = Identity(1, Transport(packets_received=100, packets_lost=7))
    followed = state(first)
    followed.refresh(Identity.result, 0)
    assert followed.snapshot.packets["received"] == 100
    second = Identity(2, Transport(packets_received=3))
    followed.add(second)  # type: ignore[arg-type]
    followed.refresh(Identity.result, 0)
    assert followed.snapshot.packets["received"] == 103
    first.transport.packets_lost = 5
    followed.refresh(Identity.result, 0)
    assert followed.snapshot.packets["lost"] == 7
    first.transport.packets_lost = 8
    followed.refresh(Identity.result, 0)
    assert followed.snapshot.packets["lost"] == 8


def test_measurements_are_those_of_the_identity_heard_last() -> None:
    followed = state(Identity(5, level_dbfs=-20.0), Identity(3, level_dbfs=-6.0))
    followed.refresh(Identity.result, 0)
    assert [signal.level_dbfs for signal in followed.snapshot.signal] == [-20.0]


def test_a_snapshot_handed_out_never_changes() -> None:
    identity = Identity(1, Transport(packets_received=1))
    followed = state(identity)
    followed.refresh(Identity.result, 0)
    before = followed.snapshot
    identity.transport.packets_received = 2
    followed.count(StreamEvent(identity, Event(Kind.GAP, 0), is_new=True))  # type: ignore[arg-type]
    followed.refresh(Identity.result, 0)
    assert before.packets["received"] == 1
    assert before.events["gap", "network"] == 0
    assert followed.snapshot.events["gap", "network"] == 1


def test_an_event_told_again_is_not_counted_again() -> None:
    followed = state()
    event = Event(Kind.GAP, 0)
    for is_new in (True, False, False):
        followed.count(StreamEvent(None, event, is_new=is_new))  # type: ignore[arg-type]
    assert followed.snapshot.events["gap", "network"] == 1


def test_a_stream_is_up_while_its_last_packet_is_young() -> None:
    identity = Identity(10 * UP_NS)
    nobody, followed = state(), state(identity)
    changes = [followed.refresh(Identity.result, 11 * UP_NS + late) for late in (-1, -1, 0, 0)]
    assert changes == [True, False, True, False]
    assert not followed.snapshot.up
    assert not nobody.refresh(Identity.result, 11 * UP_NS)
    identity.last_arrival_ns = 11 * UP_NS
    followed.refresh(Identity.result, 11 * UP_NS)
    assert followed.snapshot.up
