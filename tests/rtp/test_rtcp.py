"""Sender and receiver reports, descriptions and goodbyes, whole, cut off and random."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.rtcp import (
    Arrived,
    Bye,
    ReceiverReport,
    ReceptionBlock,
    SenderReport,
    SenderReports,
    SourceDescription,
    parse_rtcp,
    write_goodbye,
    write_receiver_report,
    write_sender_report,
)

BLOCK = struct.pack(">IIIIII", 0x11223344, 64 << 24 | 0xFFFFFE, 70_000, 12, 0x56781234, 65_536)
READ_BLOCK = ReceptionBlock(0x11223344, 64, -2, 70_000, 12, 0x56781234, 65_536)


def packet(kind, count, body, *, padding=0):
    body += bytes(-len(body) % 4)
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    return struct.pack(">BBH", 0x80 | (0x20 if padding else 0) | count, kind, len(body) // 4) + body


SR = packet(200, 1, struct.pack(">IQIII", 9, 0x1234_5678_9ABC_DEF0, 48_000, 1000, 288_000) + BLOCK)
RR = packet(201, 1, struct.pack(">I", 8) + BLOCK)
SDES = packet(202, 2, struct.pack(">IBB", 9, 1, 4) + b"a@bc\0\0" + struct.pack(">IBB", 8, 1, 1) + b"x\0")
BYE = packet(203, 1, struct.pack(">IB", 9, 3) + b"end")
WHOLE = SR + RR + SDES + BYE


def test_a_compound_packet():
    found = parse_rtcp(WHOLE)
    assert found.reports == [
        SenderReport(9, 0x1234_5678_9ABC_DEF0, 48_000, 1000, 288_000, (READ_BLOCK,)),
        ReceiverReport(8, (READ_BLOCK,)),
        SourceDescription(9, ((1, "a@bc"),)),
        SourceDescription(8, ((1, "x"),)),
        Bye((9,), "end"),
    ]
    assert not found.unread


def test_padding_is_no_content():
    assert parse_rtcp(packet(203, 1, struct.pack(">I", 9), padding=4)).reports == [Bye((9,))]
    filled = struct.pack(">BBHI", 0xA1, 203, 2, 9) + b"\2hi\4"  # would be a reason
    assert parse_rtcp(filled).reports == [Bye((9,))]
    assert parse_rtcp(filled[:-1] + b"\xc8").unread == {"truncated": 1}  # more than there is


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_prefix(length):
    found = parse_rtcp(WHOLE[:length])
    assert found.reports == parse_rtcp(WHOLE).reports[: len(found.reports)]
    whole = length in (0, len(SR), len(SR + RR), len(SR + RR + SDES))
    assert sum(found.unread.values()) == (0 if whole else 1)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (packet(200, 1, bytes(24)), "truncated"),
        (packet(203, 2, bytes(4)), "truncated"),
        (packet(202, 1, struct.pack(">IBB", 9, 1, 200) + b"x"), "truncated"),
        (packet(205, 1, bytes(8)), "type"),
        (b"\x00\xc8\x00\x00", "version"),
    ],
)
def test_what_cannot_be_read_is_counted(datagram, reason):
    found = parse_rtcp(datagram)
    assert (found.reports, dict(found.unread)) == ([], {reason: 1})


@given(datagram=st.binary(max_size=200) | st.builds(lambda head, rest: head + rest, st.just(b"\x81\xc8"), st.binary()))
def test_random_bytes(datagram):
    parse_rtcp(datagram)


def report(seconds, packets, *, rate_hz=48_000.0, octets=None):
    ntp = round((4e9 + seconds) * 2**32)
    octets = 288 * packets if octets is None else octets
    return SenderReport(9, ntp, round(4_294_900_000 + seconds * rate_hz) % 2**32, packets % 2**32, octets % 2**32)


def test_against_what_arrived():
    reports = SenderReports(48_000)
    assert (reports.drift_ppm, reports.packets, reports.octets) == (None, None, None)
    for seconds in (0, 5, 10):
        reports.add(
            report(seconds, 2**32 - 3000 + 1000 * seconds, rate_hz=48_000.96), Arrived(500 + 998 * seconds, 7), 0
        )
    assert reports.drift_ppm == pytest.approx(20.0, abs=1.0)  # to a frame
    assert reports.packets == (10_000, 9_980)
    assert reports.octets == (2_880_000, 0)
    assert (reports.last_ntp, reports.last_arrival_ns) == (report(10, 0).ntp, 0)
    reports.start_over()
    assert (reports.count, reports.drift_ppm, reports.packets) == (3, None, None)


@given(
    ssrc=st.integers(0, 2**32 - 1),
    ntp=st.integers(0, 2**64 - 1),
    timestamp=st.integers(0, 2**40),
    packets=st.integers(0, 2**40),
    octets=st.integers(0, 2**40),
)
def test_a_sender_report_is_read_as_it_was_written(ssrc, ntp, timestamp, packets, octets):
    found = parse_rtcp(write_sender_report(SenderReport(ssrc, ntp, timestamp, packets, octets), "bench"))
    low = 2**32 - 1
    report, description = found.reports
    assert report == SenderReport(ssrc, ntp, timestamp & low, packets & low, octets & low)
    assert (description.ssrc, description.items) == (ssrc, ((1, "bench"),))


@pytest.mark.parametrize(("seconds", "drift_ppm"), [(0.99, None), (1.0, 0.0), (1.5, 0.0)])
def test_drift_needs_a_second(seconds, drift_ppm):
    reports = SenderReports(48_000)
    reports.add(report(0, 0), Arrived(0, 0), 0)
    reports.add(report(seconds, 0), Arrived(0, 0), 0)
    assert reports.drift_ppm == drift_ppm


def test_a_goodbye_of_several_and_why():
    body = struct.pack(">III", 9, 8, 7) + b"\x07the end"
    assert parse_rtcp(packet(203, 3, body)).reports == [Bye((9, 8, 7), "the end")]
    assert parse_rtcp(packet(203, 3, body[:12])).reports == [Bye((9, 8, 7))]
    assert parse_rtcp(packet(203, 0, b"\x02no")).reports == [Bye((), "no")]


BLOCKS = st.builds(
    ReceptionBlock,
    ssrc=st.integers(0, 2**32 - 1),
    fraction_lost=st.integers(0, 255),
    cumulative_lost=st.integers(-(2**23), 2**23 - 1),
    highest_sequence=st.integers(0, 2**32 - 1),
    jitter=st.integers(0, 2**32 - 1),
    last_report=st.integers(0, 2**32 - 1),
    delay_since_last_report=st.integers(0, 2**32 - 1),
)


@given(ssrc=st.integers(0, 2**32 - 1), blocks=st.lists(BLOCKS, max_size=31), cname=st.sampled_from(["", "a", "abcdef"]))
def test_a_receiver_report_is_read_as_it_was_written(ssrc, blocks, cname):
    written = write_receiver_report(ssrc, blocks, cname)
    found = parse_rtcp(written)
    assert found.reports == [ReceiverReport(ssrc, tuple(blocks)), SourceDescription(ssrc, ((1, cname),))]
    assert not found.unread
    assert len(written) % 4 == 0


def test_a_goodbye_is_read_as_it_was_written():
    found = parse_rtcp(write_goodbye(7, "bench"))
    assert found.reports == [ReceiverReport(7), SourceDescription(7, ((1, "bench"),)), Bye((7,))]
