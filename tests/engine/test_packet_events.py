"""The events of packets: kind, place, figures and words, for one stream by itself."""

import numpy as np
import pytest

from rtpverify.engine import packet_events
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.stream import Stream
from rtpverify.events import Cause, Kind
from rtpverify.rtp.batch import Flow
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.transport.packet_index import PacketIndex
from rtpverify.transport.placement import Discontinuity, Gap, Jump

ARRIVAL_NS = 1_700_000_000_000_000_000


@pytest.fixture
def stream():
    """A stream of 48-frame packets that begins at timestamp 1000, of which 100 to 109 arrived."""
    packets, row = PacketIndex(), np.zeros(10, np.int64)
    packets.fresh_row(0)
    number = np.arange(100, 110)
    arrival_ns = ARRIVAL_NS + 10**6 * (number - 100)
    packets.write(row, number, 1000 + 48 * (number - 100), arrival_ns, np.ones(10, np.bool_))
    made = Stream(
        index=0,
        spec=StreamSpec("studio"),
        flow=Flow("192.0.2.1:5004", "239.1.2.3:5004"),
        ssrc=0x1234,
        payload_type=97,
        encoding=parse_rtpmap("L24/48000/2"),
        first_arrival_ns=ARRIVAL_NS,
        packets=packets,
    )
    made.origin = 1000
    return made


def test_a_gap_has_the_time_of_the_packet_after_it(stream):
    event = packet_events.gap_event(stream, Gap(0, 103, 104, 1000 + 3 * 48, 96))
    assert (event.kind, event.start_frame, event.duration_frames, event.packets) == (Kind.GAP, 144, 96, (103, 104))
    assert (event.cause, event.fault, event.time_ns) == (Cause.NETWORK, True, ARRIVAL_NS + 5 * 10**6)
    assert event.message == "2 packets lost in the network, 96 frames (2.000 ms) never arrived"


@pytest.mark.parametrize(("dropped", "fault"), [(1, True), (2, False)])
def test_a_gap_that_this_host_made_is_not_the_networks(stream, dropped, fault):
    event = packet_events.gap_event(stream, Gap(0, 103, 104, 1000 + 3 * 48, 96), dropped)
    assert (event.cause, event.fault, event.size.packets_dropped_by_host) == (Cause.UNKNOWN, fault, dropped)
    assert f"this host dropped {dropped} at that time" in event.message


def test_what_is_not_decoded_has_gaps_of_unknown_length(stream):
    stream.encoding = None
    assert packet_events.gap_event(stream, Gap(0, 103, 103, 0, 0)).message == (
        "1 packet lost in the network; length unknown"
    )


def jump(kind, frames, frame=1480, *, joins=False):
    return Discontinuity(
        stream=0,
        kind=kind,
        sequence=105,
        frame=frame,
        from_sequence=105,
        to_sequence=7,
        from_timestamp=1480,
        to_timestamp=1480 + frames,
        frames=frames,
        joins=joins,
    )


def test_a_restart_names_the_numbers_before_and_after(stream):
    event = packet_events.jump_event(stream, jump(Jump.RESTART, 500))
    assert (event.kind, event.start_frame, event.size.timestamp_jump_frames) == (Kind.RESTART, 480, 500)
    assert "sequence 105 expected, 7 received; timestamp 1480 expected, 1980 received" in event.message


def test_timestamps_that_jump_on_are_one_event_with_the_clock_they_are_rounded_from(stream):
    first = packet_events.jump_event(stream, jump(Jump.TIMESTAMP, 1))
    second = packet_events.jump_event(stream, jump(Jump.TIMESTAMP, 1, 1480 + 10_000, joins=True))
    assert second is first
    assert (first.size.timestamp_jumps, first.size.timestamp_jump_frames, first.duration_frames) == (2, 2, 10_000)
    assert first.size.timestamp_clock_ppm == pytest.approx(100.0)
    assert "100 ppm fast" in first.message


def test_another_source_after_a_bye_is_no_fault(stream):
    stream.take_over(0x5678, stream.flow)
    assert packet_events.jump_event(stream, jump(Jump.SSRC, 0)).fault
    stream.rtcp.said_goodbye = True
    event = packet_events.jump_event(stream, jump(Jump.SSRC, 0))
    assert (event.kind, event.fault) == (Kind.SSRC_CHANGE, False)
    assert event.message == "SSRC 0x00001234 sent RTCP BYE and 0x00005678 continues the stream"


def test_an_end_is_upstream_only_where_the_sender_said_so(stream):
    ended = packet_events.end_event(stream, 480, 109, ARRIVAL_NS, ARRIVAL_NS + 1_500_000_000, ": it is gone")
    assert (ended.kind, ended.cause, ended.message) == (Kind.ENDED, Cause.UNKNOWN, "no packet for 1.5 s: it is gone")
    stream.rtcp.said_goodbye = True
    ended = packet_events.end_event(stream, 480, 109, ARRIVAL_NS, ARRIVAL_NS + 1_500_000_000, "")
    assert (ended.cause, ended.message) == (Cause.UPSTREAM, "the sender sent RTCP BYE, no packet for 1.5 s")
