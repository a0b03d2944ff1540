"""Every event names the packets that carried it and when they arrived, however long packets are and input is cut."""

import itertools
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtpverify.engine.expectation import StreamSpec
from rtpverify.limits import with_values
from rtpverify.reference import Tone
from rtpverify.rtp.payload import encode, parse_rtpmap
from tests.engine.test_verifier import FLOWS, START_NS, UNSHRUNK, Sender, brief, verify

FORMS = [
    ("L16/48000/1", 6),
    ("L16/48000/1", 48),
    ("L24/48000/1", 192),
    ("L16/44100/1", 441),
    ("L16/32000/1", 640),
    ("PCMU/8000/1", 160),
    ("PCMA/8000/1", 480),
]
"""Encoding and frames a packet: 125 microseconds to 60 ms."""


ENCODINGS = {97 + at: parse_rtpmap(form) for at, (form, _) in enumerate(FORMS)}
SPEC = StreamSpec("stream", encodings=ENCODINGS, reference=Tone((997.0,)))


def sender_of(at, seconds, **more):
    form, frames = FORMS[at]
    return Sender(form, frames, seconds, payload_type=97 + at, ssrc=at, flow=at % len(FLOWS), **more)


def facts(verifier):
    """Return what is told of the events of each stream."""
    return {
        result.ssrc: [(str(e.kind), e.start_frame, e.duration_frames, e.packets, e.time_ns) for e in result.events]
        for result in verifier.result("test").streams
    }


@pytest.mark.parametrize("at", range(len(FORMS)), ids=[f"{form} {frames}" for form, frames in FORMS])
@pytest.mark.parametrize("batch_packets", [100_000, 4096, 7])
def test_every_event_names_packets_and_time(at, batch_packets):
    seconds = (12.0 if batch_packets > 7 else 6.0) if FORMS[at][1] > 6 else 4.0
    rate, length = parse_rtpmap(FORMS[at][0]).sample_rate_hz, FORMS[at][1]
    slips = {round(second * rate) + 7: 5 for second in np.arange(0.9, seconds - 0.5, 1.1)}
    sender = sender_of(at, seconds, slips=slips)
    packets = sender.send()
    verifier, _ = verify(packets, SPEC, range(batch_packets, len(packets), batch_packets))
    events = verifier.result("test").streams[0].events
    assert [event.start_frame for event in events] == pytest.approx(list(slips), abs=2)
    for event in events:
        number = event.start_frame // length
        assert event.packets == (sender.sequence + number, sender.sequence + number)
        assert event.time_ns == packets[number][0]


@st.composite
def plans(draw):
    """Plan streams of different packet times that arrive together, each with slips, losses, pauses and a jump."""
    chosen = draw(st.lists(st.integers(1, len(FORMS) - 1), min_size=1, max_size=3, unique=True))
    chosen += [0] * draw(st.sampled_from([0, 0, 0, 1]))
    seconds = draw(st.sampled_from([2.5, 2.5, 2.5, 6.5, 11.0])) if 0 not in chosen else 2.5
    streams = []
    for at in chosen:
        rate = parse_rtpmap(FORMS[at][0]).sample_rate_hz
        frame = st.integers(rate // 2, round(seconds * rate) - rate // 2)
        count = sender_of(at, seconds).packets
        streams.append(
            {
                "at": at,
                "slips": draw(st.dictionaries(frame, st.sampled_from([5, -48, 300]), max_size=5)),
                "sequence": draw(st.integers(0, 65535)),
                "first_lost": draw(st.integers(1, count - 1)),
                "lost": draw(st.sampled_from([0, 1, count // 20, count // 3])),
                "jump_frames": draw(st.sampled_from([0, 0, 1, 17, rate, -3 * rate])),
                "pause_ns": draw(st.sampled_from([0, 0, 3 * 10**9])),
                "moved_from": draw(st.integers(1, count - 1)),
                "start_ns": START_NS + draw(st.integers(0, 10**8)),
            }
        )
    at_once = draw(st.booleans())
    cuts = draw(st.lists(st.integers(1, 30_000), max_size=12))
    return {"seconds": seconds, "streams": streams, "at_once": at_once, "cuts": cuts}


def packets_of(plan):
    """Return what arrives, in order; where all comes at once, each a microsecond after the one before."""
    packets = []
    for stream in plan["streams"]:
        sender = sender_of(stream["at"], plan["seconds"], slips=stream["slips"], sequence=stream["sequence"])
        lost = range(stream["first_lost"], min(stream["first_lost"] + stream["lost"], sender.packets - 2))
        for at, flow, datagram in sender.send(lost=lost, start_ns=stream["start_ns"]):
            if (int.from_bytes(datagram[2:4]) - sender.sequence) % 65536 < stream["moved_from"]:
                packets.append((at, flow, datagram))
                continue
            timestamp = (int.from_bytes(datagram[4:8]) + stream["jump_frames"]) % 2**32
            packets.append((at + stream["pause_ns"], flow, datagram[:4] + timestamp.to_bytes(4) + datagram[8:]))
    packets.sort(key=lambda packet: packet[0])
    if plan["at_once"]:
        return [(START_NS + 1000 * at, flow, datagram) for at, (_, flow, datagram) in enumerate(packets)]
    return packets


ZERO_BEHIND_A_LOSS = {
    "seconds": 6.5,
    "streams": [
        {
            "at": 1,
            "slips": {27_149: -48, 45_048: 5, 113_988: -48},
            "sequence": 17_535,
            "first_lost": 546,
            "lost": 3666,
            "jump_frames": 17,
            "pause_ns": 3 * 10**9,
            "moved_from": 347,
            "start_ns": START_NS,
        }
    ],
    "at_once": True,
    "cuts": [],
}
"""The first frame behind a long loss is the last one of a value: with the missing ones it was a dropout."""


@given(plan=plans(), batch_packets=st.sampled_from([3, 50, 1000, 4096]), fine_from=st.integers(1, 20_000))
@example(plan=ZERO_BEHIND_A_LOSS, batch_packets=50, fine_from=1)
@settings(max_examples=15, deadline=None, phases=UNSHRUNK)
def test_the_cut_changes_no_packets_and_no_times(plan, batch_packets, fine_from):
    packets = packets_of(plan)
    # Small batches take long: so many of them are enough.
    first = 1 + fine_from % (len(packets) - 1) if batch_packets < 50 else batch_packets
    last = first + 300 * batch_packets
    whole = facts(verify(packets, SPEC)[0])
    assert all(packets and time_ns for events in whole.values() for *_, packets, time_ns in events)
    cuts = [cut for cut in plan["cuts"] if cut < len(packets)]
    for edges in (cuts, range(first, min(last, len(packets)), batch_packets)):
        assert facts(verify(packets, SPEC, edges)[0]) == whole


@pytest.mark.parametrize("lengths", [(480, 960), (365, 365, 294), (48, 2400), (960,) * 40 + (48,) * 40])
@pytest.mark.parametrize("batch_packets", [100_000, 100, 1])
def test_packets_of_several_lengths(lengths, batch_packets):
    sender = Sender("L16/48000/1", 1, seconds=6.0, slips={100_003: 5, 200_007: -7})
    packets, starts = repacketised(sender, lengths)
    verifier, _ = verify(packets, SPEC, range(batch_packets, len(packets), batch_packets))
    events = verifier.result("test").streams[0].events
    assert brief(events) == [("slip", 100_003, 0, 1), ("slip", 200_007, 0, 1)]
    for event in events:
        number = int(np.searchsorted(starts, event.start_frame, "right")) - 1
        assert event.packets == (sender.sequence + number, sender.sequence + number)


def repacketised(sender, lengths):
    """Return what a sender sends in packets of these lengths in turn, and the first frame of each."""
    audio, size = encode(sender.form, sender.samples()), sender.form.bytes_per_frame
    edges = [0, *itertools.accumulate(itertools.islice(itertools.cycle(lengths), sender.packets // min(lengths)))]
    edges = [edge for edge in edges if edge * size <= len(audio)]
    packets = []
    for at, (start, stop) in enumerate(itertools.pairwise(edges)):
        sequence, timestamp = (sender.sequence + at) % 2**16, (sender.timestamp + start) % 2**32
        head = struct.pack(">BBHII", 0x80, 97, sequence, timestamp, sender.ssrc)
        arrival_ns = START_NS + round(1e9 * stop / sender.form.sample_rate_hz)
        packets.append((arrival_ns, 0, head + bytes(audio[start * size : stop * size])))
    return packets, edges[:-1]


def test_packet_longer_than_what_is_written_at_once():
    sender = Sender("L16/8000/1", 1, seconds=20.0, slips={100_003: 5}, payload_type=90)
    packets, _ = repacketised(sender, (*(160,) * 20, 16_000))
    spec = StreamSpec("stream", encodings={97: sender.form}, reference=Tone((997.0,)))
    for edges in ((), range(1, len(packets))):
        events = verify(packets, spec, edges)[0].result("test").streams[0].events
        assert [event.start_frame for event in events if event.kind == "slip"] == [100_003]


def test_losses_have_a_time_where_no_signal_is_judged():
    sender = Sender(seconds=6.0)
    packets = sender.send(lost=[500, 501, 4000])
    for spec in (replace(SPEC, reference=None, encodings={97: sender.form}), StreamSpec("stream")):
        [first, second] = verify(packets, spec)[0].result("test").streams[0].events
        assert [first.packets, second.packets] == [(65_900, 65_901), (69_400, 69_400)]
        assert [first.time_ns, second.time_ns] == [START_NS + 502_000_000, START_NS + 4_001_000_000]


def test_counts_past_a_limit_are_of_all_packets():
    sender = Sender(seconds=12.0)
    packets = sender.send(copied=[500, 501])
    spec = replace(SPEC, encodings={97: sender.form}, limits=with_values(SPEC.limits, {"max_duplicated": 0}, "test"))
    [event] = verify(packets, spec, range(100, len(packets), 100))[0].result("test").streams[0].events
    assert (event.kind, event.packets, event.time_ns) == ("duplicate", (65_400, 65_400 + 11_999), START_NS)
