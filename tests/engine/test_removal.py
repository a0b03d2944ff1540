"""A stream that is no longer expected leaves no trace in the others, and its place holds the next one as a new one."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.result import stream_as_dict
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.transport.redundancy import LegEnds
from tests.engine.test_verifier import FLOWS, FREQUENCY_HZ, L16, L24, START_NS, Sender, batch_of, brief

FEED_NS = 50_000_000
LATER_NS = START_NS + 2_000_000_000


def spec(name, *senders, **changes):
    """Expect what the first sender sends, from its flow."""
    first = senders[0]
    reference = parse_reference(f"tone:{FREQUENCY_HZ:g}")
    sender = FLOWS[first.flow].sender.rpartition(":")[0]
    return replace(StreamSpec(name, sender=sender, encoding=first.form, reference=reference), **changes)


def feed(verifier, packets, steps=()):
    """Feed packets every 50 ms; before those of a time run its step; return what was told."""
    told, waiting, steps = [], list(packets), dict(steps)
    while waiting:
        now_ns = waiting[0][0] // FEED_NS
        for at_ns in sorted(steps):
            if at_ns // FEED_NS <= now_ns:
                told += steps.pop(at_ns)() or []
        batch = [packet for packet in waiting if packet[0] // FEED_NS <= now_ns]
        waiting = waiting[len(batch) :]
        told += verifier.feed(batch_of(batch))
    return told


def one(verifier, name):
    [stream] = [stream for stream in verifier.streams if stream.name == name]
    return stream_as_dict(verifier.result_of(stream))


def alone(sender_spec, packets):
    """Verify one stream by itself; return its result."""
    verifier = Verifier([sender_spec])
    feed(verifier, packets)
    verifier.finish()
    return one(verifier, sender_spec.name)


def same(result, expected):
    """Tell whether two results say the same; the last bits of sums hang on what else is judged with a stream."""

    def rounded(value):
        return float(f"{value:.9g}") if isinstance(value, float) and abs(value) > 1e-9 else value and bool(value)

    for part in (result, expected):
        part["signal"] = [{key: rounded(value) for key, value in channel.items()} for channel in part["signal"]]
    return result == expected


@pytest.mark.parametrize("form", [L24, L16])
def test_the_others_go_on_and_the_place_is_used_again(form):
    stays = Sender(*L24, seconds=3.0, clicks={100_000: 0.1})
    goes = Sender(*form, seconds=3.0, ssrc=2, flow=1, clicks={20_000: 0.1})
    comes = Sender(*form, seconds=1.0, ssrc=3, flow=2, slips={30_000: 48})
    staying, going, coming = spec("stays", stays), spec("goes", goes), spec("comes", comes)
    staying_packets, coming_packets = stays.send(lost=[1500]), comes.send(start_ns=LATER_NS, lost=[30])
    verifier = Verifier([staying, going])
    at_removal = []

    def remove():
        told = verifier.remove(going)
        at_removal.append([stream.name for stream in verifier.streams])
        return told

    packets = sorted(staying_packets + goes.send() + coming_packets, key=lambda packet: packet[0])
    steps = {START_NS + 1_000_000_000: remove, START_NS + 1_500_000_000: lambda: verifier.add(coming)}
    told = feed(verifier, packets, steps)
    told += verifier.finish()
    assert at_removal == [["stays"]]
    assert same(one(verifier, "stays"), alone(staying, staying_packets))
    assert same(one(verifier, "comes"), alone(coming, coming_packets))
    assert [(str(item.event.kind), item.event.start_frame) for item in told if item.stream.name == "goes"] == [
        ("click", 20_000)
    ]
    assert verifier.discarded["unmatched"] == 2000
    assert [stream.index for stream in verifier.streams] == [0, 1]


def test_a_stream_that_ends_within_an_event_is_judged_to_its_end():
    sender = Sender(seconds=1.0, dropouts={40_000: 8000})
    expected = spec("a", sender)
    verifier = Verifier([expected])
    told = feed(verifier, sender.send())
    told += verifier.remove(expected)
    assert brief([told[-1].event]) == [("dropout", 40_000, 8000, None)]
    assert not told[-1].event.open
    assert verifier.streams == []
    assert verifier.finish() == []


def test_a_changed_expectation_begins_anew_with_the_next_packet():
    sender = Sender(seconds=2.0, clicks={10_000: 0.1, 60_000: 0.1})
    before, after = spec("a", sender), spec("a", sender, reference=None)
    verifier = Verifier([before])

    def change():
        told = verifier.remove(before)
        verifier.add(after)
        return told

    told = feed(verifier, sender.send(), {START_NS + 1_000_000_000: change})
    assert [str(item.event.kind) for item in told] == ["click"]
    assert one(verifier, "a")["signal"] == []
    assert one(verifier, "a")["transport"]["packets_received"] == 1000
    assert verifier.discarded == {}


def test_what_waits_to_take_over_a_stream_goes_with_it():
    first = Sender(seconds=0.5)
    second = Sender(seconds=0.02, ssrc=9)
    expected = spec("a", first)
    verifier = Verifier([expected])
    packets = first.send()
    feed(verifier, packets + second.send(start_ns=packets[-1][0] + 1_000_000))
    verifier.remove(expected)
    verifier.add(expected)
    third = Sender(seconds=0.5, ssrc=11)
    feed(verifier, third.send(start_ns=LATER_NS))
    assert one(verifier, "a")["ssrc"] == "0x0000000b"
    assert verifier.finish() == []
    assert verifier.discarded == {"probation": 20}


def test_legs_are_forgotten_too():
    first, second = (Sender(seconds=1.0, flow=flow) for flow in (0, 1))
    legs = tuple(LegEnds(FLOWS[flow].destination, FLOWS[flow].sender) for flow in (0, 1))
    expected = spec("a", first, sender=None, legs=legs)
    again = replace(expected, name="b")
    verifier = Verifier([expected])

    def both(start_ns, lost=()):
        return sorted(first.send(start_ns=start_ns, lost=lost) + second.send(start_ns=start_ns + 1000))

    feed(verifier, both(START_NS, lost=[500]))
    assert one(verifier, "a")["legs"][0]["packets_received"] == 999
    verifier.remove(expected)
    verifier.add(again)
    feed(verifier, both(LATER_NS, lost=[400, 401]))
    verifier.finish()
    assert one(verifier, "b") == alone(again, both(LATER_NS, lost=[400, 401]))
    assert [leg["packets_lost"] for leg in one(verifier, "b")["legs"]] == [2, 0]
    assert verifier.discarded == {}


def test_streams_that_come_and_go_cost_bounded_memory():
    verifier, analyses = Verifier([], max_streams=2), []
    for turn in range(6):
        sender = Sender(seconds=0.3, ssrc=turn + 1, flow=turn % 4)
        expected = spec(f"turn {turn}", sender)
        verifier.add(expected)
        told = feed(verifier, sender.send(start_ns=START_NS + turn * 10**9))
        assert told == []
        assert one(verifier, expected.name)["transport"]["packets_received"] == 300
        assert [stream.index for stream in verifier.streams] == [0]
        analyses += [weakref.ref(stream.track.analysis) for stream in verifier.streams]
        verifier.remove(expected)
    gc.collect()
    assert [analysis() for analysis in analyses] == [None] * 6
