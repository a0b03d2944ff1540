"""Whatever else comes to its port, a stream that is expected keeps its figures: all of them, exactly."""

import struct

import numpy as np
import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.presence import Ends
from rtpverify.engine.verifier import Verifier
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.engine.test_verifier import START_NS, Sender, assert_same_stream, brief

DESTINATION = "239.1.2.3:5004"
FLOWS = [Flow("192.0.2.1:5004", DESTINATION), *(Flow(f"198.51.100.{host}:5004", DESTINATION) for host in range(1, 60))]
SENDER = Sender(seconds=2.0, slips={60_000: 48}, clicks={30_000: 0.01})
OURS = SENDER.send(lost=(500, 501), copied=(700,), delayed={900: 2.5})


def header(payload_type=97, sequence=0, timestamp=0, ssrc=SENDER.ssrc, first=0x80):
    return struct.pack(">BBHII", first, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)


def garbage(rng, _number):
    return rng.bytes(int(rng.integers(0, 400)))


def other_sources(rng, number):
    """Valid packets of strangers, each a stream by itself."""
    return header(sequence=number // 8, timestamp=48 * (number // 8), ssrc=number % 8) + rng.bytes(288)


def random_sources(rng, number):
    return header(sequence=number, timestamp=48 * number, ssrc=int(rng.integers(2**32))) + bytes(288)


def our_ssrc(rng, number):
    """Our stream's identity from another address."""
    return header(sequence=SENDER.sequence + number, timestamp=SENDER.timestamp + 48 * number) + rng.bytes(288)


def absurd_timestamps(rng, number):
    return header(sequence=number, timestamp=int(rng.integers(2**32)), ssrc=7) + bytes(288)


def goodbyes(_rng, _number):
    report = struct.pack(">BBHI", 0x80, 201, 1, SENDER.ssrc)
    return report + struct.pack(">BBHI", 0x81, 203, 1, SENDER.ssrc)


def sender_reports(rng, _number):
    return struct.pack(">BBHIIIIII", 0x80, 200, 6, SENDER.ssrc, *rng.integers(2**32, size=5).tolist())


def huge(_rng, number):
    return header(sequence=number, timestamp=48 * number, ssrc=9) + bytes(65_000)


FLOODS = [garbage, other_sources, random_sources, our_ssrc, absurd_timestamps, goodbyes, sender_reports, huge]


def found(hostile=()):
    """Return what is found of our stream, and what was told of it."""
    spec = StreamSpec("desk", DESTINATION, None, parse_rtpmap("L24/48000/2"), reference=parse_reference("tone:997"))
    verifier, told = Verifier([spec], ends=Ends.WATCHED, max_streams=8), []
    packets = sorted([*OURS, *hostile], key=lambda packet: packet[0])
    for start in range(0, len(packets), 300):
        part = packets[start : start + 300]
        length = np.array([len(datagram) for _, _, datagram in part], np.int64)
        arena = np.frombuffer(b"".join(datagram for *_, datagram in part), np.uint8)
        arrival_ns, flow = (np.array([packet[place] for packet in part], np.int64) for place in (0, 1))
        told += verifier.feed(PacketBatch(arena, np.cumsum(length) - length, length, arrival_ns, flow, FLOWS))
        told += verifier.advance(int(arrival_ns[-1]))
    told += verifier.finish(OURS[-1][0])
    [ours] = [stream for stream in verifier.streams if stream.flow == FLOWS[0]]
    events = [(item.event, item.is_new) for item in told if item.stream is ours]
    return verifier.result_of(ours), events


@pytest.fixture(scope="module")
def alone():
    result, events = found()
    return result, [(*brief([event]), event.id, event.packets, event.time_ns, new) for event, new in events]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_flood_changes_nothing(flood, alone):
    rng = np.random.default_rng(5)
    count = 40 if flood is huge else 1500
    times = START_NS + np.sort(rng.integers(0, 2_000_000_000, count))
    hostile = [
        (int(at_ns), 1 + (0 if flood is our_ssrc else number % 59), flood(rng, number))
        for number, at_ns in enumerate(times)
    ]
    result, events = found(hostile)
    assert [(*brief([event]), event.id, event.packets, event.time_ns, new) for event, new in events] == alone[1]
    assert {kind for (kind, *_), *_ in alone[1]} == {"gap", "slip", "click"}
    assert_same_stream(result, alone[0])
