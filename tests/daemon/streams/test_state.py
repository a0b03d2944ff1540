"""What is kept of a stream: counters that never fall, figures of now, events that go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtpverify.daemon.metrics.families import families
from rtpverify.daemon.metrics.snapshot import Snapshot
from rtpverify.daemon.metrics.text import Exemplar
from rtpverify.daemon.streams.state import INTERVAL_EDGES_SECONDS, StreamState
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.presence import AwaitedStream
from rtpverify.engine.verifier import StreamEvent
from rtpverify.events import SIZES, DistortionSize, Event, GapSize, Kind, MissingSize, NoiseSize, StallSize
from rtpverify.live.histogram import BucketCounts
from rtpverify.reference import Tone
from rtpverify.result import Leg, Signal, StreamResult, Transport
from rtpverify.rtp.payload import Encoding
from rtpverify.transport.arrivals import DOWN_NS

L24 = Encoding("L24", 48000, 2)


@dataclass(eq=False)
class Identity:
    """A stream of the verifier whose measurements a test sets."""

    last_arrival_ns: int = 0
    transport: Transport = field(default_factory=Transport)
    whole_dbfs: float | None = None
    present_dbfs: float | None = None
    bit_errors: int | None = None
    legs: Sequence[Leg] = ()
    differing: int | None = None
    inconclusive: str | None = None
    encoding: Encoding | None = L24
    first_arrival_ns: int = 0


class Measured:
    """Stands for the verifier."""

    @staticmethod
    def result_of(stream: Any) -> StreamResult:
        return StreamResult(
            transport=replace(stream.transport),
            signal=[Signal(1, level_dbfs=stream.whole_dbfs, bit_errors=stream.bit_errors)],
            legs=list(stream.legs),
            packets_differing=stream.differing,
            inconclusive=stream.inconclusive,
        )

    @staticmethod
    def last_arrival_ns(stream: Any) -> int:
        return int(stream.last_arrival_ns)

    @staticmethod
    def present(stream: Any, measured: Sequence[Signal]) -> list[Signal]:
        return [replace(signal, level_dbfs=stream.present_dbfs) for signal in measured]

    def __init__(self, *up: str) -> None:
        self.up = set(up)

    def is_up(self, name: str) -> bool:
        return name in self.up


MEASURED = Measured("a")


def state(*identities: Any, reference: Tone | None = Tone()) -> StreamState:  # noqa: B008
    made = StreamState(StreamSpec(name="a", reference=reference))
    for identity in identities:
        made.add(identity)
    return made


def told(stream: Any, event: Event, *, is_new: bool = True) -> StreamEvent:
    return StreamEvent(stream, event, is_new)


def test_counters_add_up_over_identities_and_never_fall() -> None:
    first = Identity(1, Transport(packets_received=100, packets_lost=7))
    followed = state(first)
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.packets["received"] == 100
    followed.add(Identity(2, Transport(packets_received=3)))  # type: ignore[arg-type]
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.packets["received"] == 103
    first.transport.packets_lost = 5
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.packets["lost"] == 7
    first.transport.packets_lost = 8
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.packets["lost"] == 8


Step = tuple[int, Transport, list[Leg], int | None, Kind, bool]
counts = st.integers(0, 1000)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.builds(
                Transport,
                packets_received=counts,
                packets_lost=counts,
                packets_stray=counts,
                loss_bursts=counts,
                mean_interval_seconds=st.none() | st.floats(0, 1),
                interarrival_histogram=st.lists(
                    st.tuples(st.sampled_from([*INTERVAL_EDGES_SECONDS, None]), counts), unique_by=lambda item: item[0]
                ),
            ),
            st.lists(st.builds(Leg, st.none(), st.none(), packets_lost=counts), max_size=2),
            st.none() | counts,
            st.sampled_from([*Kind]),
            st.booleans(),
        )
    )
)
def test_no_counter_ever_falls_and_none_disappears(steps: list[Step]) -> None:
    identities = [Identity(n) for n in range(3)]
    followed = state()
    before: dict[tuple[str, str], float] = {}
    for number, (which, transport, legs, count, kind, is_another) in enumerate(steps):
        if is_another:
            followed.expect(StreamSpec(name="a", reference=Tone() if number % 2 else None))
            identities = [Identity(n) for n in range(3)]
        identity = identities[which]
        identity.transport, identity.legs, identity.differing, identity.bit_errors = transport, legs, count, count
        followed.count(told(identity, Event(SIZES[kind](), number, duration_frames=number, id=str(number))))
        followed.refresh(MEASURED, number)
        now: dict[tuple[str, str], float] = {}
        for family in families(Snapshot((followed.snapshot,))):
            for label, value, _ in family.samples:
                if isinstance(value, BucketCounts):
                    now |= {(family.name, f"{label}/{n}"): bucket for n, bucket in enumerate(value.counts)}
                    now[family.name, f"{label}/sum"] = value.total
                elif family.kind == "counter":
                    now[family.name, label] = value
        assert {key: value for key, value in before.items() if now.get(key, -1) < value} == {}
        before = now


def test_measurements_are_those_of_the_identity_heard_last_and_of_now() -> None:
    followed = state(Identity(5, present_dbfs=-20.0, whole_dbfs=-10.0), Identity(3, present_dbfs=-6.0))
    followed.refresh(MEASURED, 0)
    assert [signal.level_dbfs for signal in followed.snapshot.signal] == [-20.0]
    assert followed.summary()["level_dbfs"] == [-20.0]
    assert followed.summary(whole=True)["level_dbfs"] == [-10.0]


def test_a_snapshot_handed_out_never_changes() -> None:
    identity = Identity(1, Transport(packets_received=1))
    followed = state(identity)
    followed.refresh(MEASURED, 0)
    before = followed.snapshot
    identity.transport.packets_received = 2
    event = Event(GapSize(), 0, id="1", open=True)
    followed.count(told(identity, event))
    event.open = False
    followed.count(told(identity, event, is_new=False))
    followed.refresh(MEASURED, 0)
    assert before.packets["received"] == 1
    assert before.events["gap", "network"] == 0
    assert (before.open_events, before.sizes, before.exemplars) == ({}, {}, {})
    assert followed.snapshot.events["gap", "network"] == 1


def test_an_event_told_again_is_not_counted_again() -> None:
    followed, identity = state(), Identity()
    event = Event(GapSize(packets_lost=2), 0, 48, id="1")
    for is_new in (True, False, False):
        followed.count(told(identity, event, is_new=is_new))
    assert followed.snapshot.events["gap", "network"] == 1
    assert followed.snapshot.sizes["packets", "gap"].total == 2
    assert followed.snapshot.sizes["duration", "gap"].total == 0.001


def test_an_event_that_goes_on_is_open_until_it_ends_and_measured_then() -> None:
    followed, identity = state(), Identity()
    event = Event(DistortionSize(residual_dbfs=-40.0), 0, 4800, id="1", open=True)
    followed.count(told(identity, event))
    assert followed.snapshot.open_events == {("distortion", "upstream"): 1}
    assert followed.snapshot.sizes == {}
    followed.count(told(identity, event, is_new=False))
    assert followed.snapshot.open_events == {("distortion", "upstream"): 1}
    event.open, event.duration_frames = False, 96000
    followed.count(told(identity, event, is_new=False))
    assert followed.snapshot.open_events == {("distortion", "upstream"): 0}
    assert followed.snapshot.sizes["duration", "distortion"].total == 2.0
    assert sum(followed.snapshot.sizes["ratio", "distortion"].counts) == 1


def test_nothing_goes_on_in_an_identity_that_another_one_followed() -> None:
    first, second = Identity(0), Identity(0)
    followed = state(first, second)
    for number, identity in enumerate((first, second)):
        followed.count(told(identity, Event(NoiseSize(), 0, id=str(number), open=True)))
    key = "noise", "upstream"
    second.last_arrival_ns = DOWN_NS // 2
    followed.refresh(MEASURED, DOWN_NS - 1)
    assert followed.snapshot.open_events[key] == 2
    followed.refresh(MEASURED, DOWN_NS)
    assert followed.snapshot.open_events[key] == 1
    followed.refresh(MEASURED, 10 * DOWN_NS)
    assert followed.snapshot.open_events[key] == 1


def test_a_summary_does_not_pass_beside_faults_of_any_identity() -> None:
    first, second = Identity(0), Identity(5)
    followed = state(first, second)
    followed.refresh(MEASURED, 10)
    assert followed.summary()["verdict"] == "pass"
    event = Event(StallSize(), 0, id="1", open=True)
    followed.count(told(first, event))
    assert followed.summary()["verdict"] == "fail"
    event.fault, event.open = False, False  # it was silence suppression
    followed.count(told(first, event, is_new=False))
    assert followed.summary()["verdict"] == "pass"
    followed.count(told(first, Event(GapSize(), 0, id="2")))
    followed.forget(first)
    summary = followed.summary(whole=True)
    assert (summary["verdict"], summary["events"]) == ("fail", 2)


def test_the_exemplar_is_the_latest_event() -> None:
    followed, identity = state(), Identity(first_arrival_ns=7)
    for event_id, time_ns in (("1", 5), ("2", 9), ("3", 8), ("4", None)):
        followed.count(told(identity, Event(GapSize(), 0, id=event_id, time_ns=time_ns)))
    assert followed.snapshot.exemplars == {("gap", "network"): Exemplar("2", 9)}


def test_a_stream_goes_up_and_down_with_what_is_told_of_it() -> None:
    measured, followed = Measured(), state(Identity())
    changes = []
    for up in ((), ("b",), ("a", "b"), ("a",), ()):
        measured.up = set(up)
        changes.append(followed.watch(measured))
        assert followed.snapshot.up is followed.up is ("a" in up)
    assert changes == [False, False, True, False, True]


def test_a_stream_is_judged_while_it_is_up_and_its_reference_is_found() -> None:
    identity = Identity()
    followed, transport_only = state(identity), state(identity, reference=None)
    assert followed.snapshot.judged is False
    for one in (followed, transport_only):
        one.refresh(MEASURED, 0)
        one.watch(MEASURED)
    assert followed.snapshot.judged is True
    assert transport_only.snapshot.judged is None
    identity.inconclusive = "no tone"
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.judged is False
    identity.inconclusive = None
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.judged is True
    followed.watch(Measured())
    assert followed.snapshot.judged is False


def test_events_of_what_never_came_are_counted() -> None:
    followed = state()
    absent = AwaitedStream(StreamSpec(name="a"))
    event = Event(MissingSize(missing_seconds=10.0), 0, id="x", time_ns=7, open=True)
    followed.count(told(absent, event))
    key = "missing", "unknown"
    assert (followed.snapshot.events[key], followed.snapshot.open_events[key]) == (1, 1)
    assert followed.snapshot.exemplars[key] == Exemplar("x", 7)
    event.open, event.size = False, MissingSize(missing_seconds=25.0)
    followed.count(told(absent, event, is_new=False))
    assert (followed.snapshot.events[key], followed.snapshot.open_events[key]) == (1, 0)
    assert followed.snapshot.sizes["duration", "missing"].total == 25.0
    assert not followed.up


def test_legs_are_told_apart_by_number_over_all_identities() -> None:
    one = Identity(1, legs=[Leg(None, None, packets_lost=2), Leg(None, None, packets_lost=3, skew_seconds=0.5)])
    two = Identity(2, legs=[Leg(None, None, packets_lost=10, skew_seconds=0.25)])
    followed = state(one, two)
    followed.refresh(MEASURED, 0)
    assert [leg.packets["lost"] for leg in followed.snapshot.legs] == [12, 3]
    assert [leg.skew_seconds for leg in followed.snapshot.legs] == [0.25, None]


def test_an_identity_that_is_forgotten_leaves_its_counts() -> None:
    old = Identity(5, Transport(packets_received=4))
    new = Identity(9, Transport(packets_received=10))
    followed = state(old, new)
    followed.refresh(MEASURED, 0)
    assert followed.silent_identities(5) == []
    assert followed.silent_identities(100) == [old]
    followed.forget(old)  # type: ignore[arg-type]
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.packets["received"] == 14
    assert followed.silent_identities(100) == []


def test_the_identity_that_sent_most_is_never_forgotten() -> None:
    sender, *strangers = (Identity(5 + at, Transport(packets_received=sent)) for at, sent in enumerate((1000, 0, 0)))
    followed = state(sender, *strangers)
    followed.refresh(MEASURED, 0)
    assert followed.silent_identities(100) == strangers[:1]


def test_what_was_counted_stays_where_something_else_is_expected_and_what_was_measured_goes() -> None:
    leg = Leg(None, None, packets_lost=2)
    old = Identity(5, Transport(packets_received=10, packets_stray=3), present_dbfs=-6.0, legs=[leg], differing=1)
    followed = state(old, reference=None)
    followed.count(told(old, Event(GapSize(), 0, id="x")))
    followed.refresh(MEASURED, 0)
    assert followed.watch(MEASURED)
    followed.expect(StreamSpec(name="a", reference=Tone()))
    seen = followed.snapshot
    assert (seen.up, seen.transport, seen.signal, followed.result) == (False, None, (), None)
    assert (seen.packets["received"], seen.counts["packets_stray"], seen.packets_differing) == (10, 3, 1)
    assert (seen.events["gap", "network"], seen.events["click", "upstream"]) == (1, 0)
    assert seen.legs[0].packets["lost"] == 2
    followed.add(Identity(9, Transport(packets_received=4), legs=[leg, leg]))  # type: ignore[arg-type]
    followed.refresh(MEASURED, 0)
    assert followed.snapshot.packets["received"] == 14
    assert [one.packets["lost"] for one in followed.snapshot.legs] == [4, 2]
