"""Faults for some of several streams and legs, and faults that are drawn."""

from dataclasses import replace
from statistics import mean

import pytest

from rtpverify.errors import ConfigurationError
from rtpverify.sender.fault_plan import Sent, plan_faults

ONE = Sent(streams=1, legs=1, packet_seconds=0.001, duration_seconds=1000.0, seed=7)
MANY = replace(ONE, streams=3, legs=2)


def drawn(text, sent=ONE, target=(0, 0)):
    return plan_faults([text], sent)[target]


def test_faults_of_a_schedule_concern_all():
    plan = plan_faults(["slip:at=1,frames=48", "loss:at=2,packets=3"], MANY)
    assert set(plan) == {(stream, leg) for stream in range(3) for leg in range(2)}
    assert {tuple(map(str, faults)) for faults in plan.values()} == {
        ("slip:at=1,frames=48", "loss:at=2,seed=1,packets=3")
    }


def test_some_streams_and_legs():
    plan = plan_faults(["loss:at=1,packets=3,stream=2,leg=1", "click:at=1,bit=3,stream=3"], MANY)
    assert {target: [fault.kind for fault in faults] for target, faults in plan.items() if faults} == {
        (1, 0): ["loss"],
        (2, 0): ["click"],
        (2, 1): ["click"],
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("click:per_second=2,bit=3", 2000), ("reorder:rate=0.002", 2000), ("late:rate=0.001,delay=0.2", 1000)],
)
def test_as_many_are_drawn_as_the_probability_says(text, expected):
    counts = [len(drawn(text, replace(ONE, seed=seed))) for seed in range(20)]
    assert abs(mean(counts) - expected) < 4 * (expected / 20) ** 0.5
    times = [fault.at_seconds for fault in drawn(text)]
    assert times == sorted(times)
    assert all(0.001 <= at < 1000 for at in times)


def test_the_seed_decides():
    text = "click:per_second=1,bit=3"
    assert list(map(str, drawn(text))) == list(map(str, drawn(text)))
    assert list(map(str, drawn(text))) != list(map(str, drawn(text, replace(ONE, seed=8))))
    assert list(map(str, drawn(f"{text},seed=7", replace(ONE, seed=8)))) == list(map(str, drawn(text)))


@pytest.mark.parametrize("fault", ["loss:{}rate=0.01", "reorder:{}rate=0.01"])
def test_faults_of_two_legs_are_drawn_apart(fault):
    plan = plan_faults([fault.format("leg=1,"), fault.format("leg=2,")], MANY)
    first, second = ([(one.at_seconds, str(one.values)) for one in plan[0, leg]] for leg in (0, 1))
    assert first
    assert not set(first) & set(second)


def test_streams_and_kinds_are_drawn_apart():
    """But the legs of one stream are the same, unless a leg is named."""
    plan = plan_faults(["click:per_second=1,bit=3", "slip:per_second=1,frames=4"], MANY)
    times = {target: [fault.at_seconds for fault in faults] for target, faults in plan.items()}
    assert times[0, 0] == times[0, 1] != times[1, 0]
    by_kind = [{fault.at_seconds for fault in plan[0, 0] if fault.kind == kind} for kind in ("click", "slip")]
    assert not by_kind[0] & by_kind[1]


def test_stretches_do_not_overlap():
    faults = drawn("dropout:per_second=100,duration=0.5")
    assert len(faults) > 1000
    ends = [fault.at_seconds + 0.5 for fault in faults]
    assert all(end <= fault.at_seconds for end, fault in zip(ends, faults[1:], strict=False))


def test_noise_differs_from_stretch_to_stretch():
    seeds = [fault.values["seed"] for fault in drawn("noise:per_second=0.1,duration=0.5,dbfs=-50")]
    assert len(set(seeds)) == len(seeds) > 10


def test_loss_by_rate_needs_no_time():
    [fault] = drawn("loss:rate=0.01")
    assert (fault.at_seconds, fault.values) == (0.001, {"rate": 0.01, "seed": 7})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("loss:at=1,packets=3,stream=4", "stream=4 is not a number from 1 to 3"),
        ("loss:at=1,packets=3,leg=0", "leg=0 is not a number from 1 to 2"),
        ("click:at=1,bit=3,leg=1", "leg is for faults of packets; click is in the audio"),
        ("click:per_second=0,bit=3", "per_second=0 is not above 0"),
        ("click:per_second=x,bit=3", "per_second=x is not a number"),
        ("reorder:rate=1.5", "rate=1.5 is not above 0 and up to 1"),
        ("reorder:rate=0.1,per_second=3", "give per_second or rate, not both"),
        ("click:rate=0.1,bit=3", "rate is the probability for a packet; give per_second for click"),
        ("click:per_second=1000,bit=3", "makes more than 100,000 faults; give a smaller per_second"),
        ("crackle:per_second=1", "unknown fault 'crackle'"),
    ],
)
def test_mistakes_are_named(text, reason):
    with pytest.raises(ConfigurationError, match="--fault") as caught:
        plan_faults([text], MANY)
    assert reason in str(caught.value)
    assert text in str(caught.value)


def test_nothing_is_drawn_without_an_end():
    with pytest.raises(ConfigurationError, match="so --duration is needed"):
        plan_faults(["click:per_second=1,bit=3"], replace(ONE, duration_seconds=None))
