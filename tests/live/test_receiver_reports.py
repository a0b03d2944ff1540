"""RTCP of live streams: received on a port of its own or on that of RTP, and sent where it is asked for."""

import contextlib
import socket
import struct
import threading
import time

import pytest

from rtpverify.commands.check import check
from rtpverify.live import receiver_reports
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.rtp.rtcp import ReceiverReport, SourceDescription, parse_rtcp
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.sources.live.endpoint import Endpoint, parse_endpoint
from rtpverify.transport.demux import MAX_HELD_PACKETS
from tests.helpers.patience import PATIENCE_SECONDS

PACKETS, LOST, SSRC = 300, 7, 0x5EED0001
NTP = 0xE1234567_80000000


def pair():
    """Return two sockets on neighbouring ports."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            second = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            first.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", first.getsockname()[1] + 1))
                stack.pop_all()
                return first, second
    raise AssertionError("no two ports are free")


def sender_report(index):
    return struct.pack(">BBHIQIII", 0x80, 200, 6, SSRC, NTP + (index << 22), 48 * index, index, 96 * index)


def run(options, mux=False):
    """Check a stream that has a report after each 50 packets but the first, and return what its sender heard, too."""
    ours, ours_rtcp = pair()
    free, free_rtcp = pair()
    port = free.getsockname()[1]
    free.close()
    free_rtcp.close()
    results, listening = [], threading.Event()

    def receive():
        results.append(
            check(
                f"rtp://127.0.0.1:{port}",
                encoding=parse_rtpmap("L16/48000/1"),
                reference=parse_reference("none"),
                duration_seconds=1.2,
                on_listening=lambda _: listening.set(),
                **options,
            )
        )

    receiver = threading.Thread(target=receive)
    receiver.start()
    assert listening.wait(PATIENCE_SECONDS)
    with ours, ours_rtcp:
        started = time.monotonic()
        for index in range(PACKETS):
            if index != LOST:
                rtp = struct.pack(">BBHII", 0x80, 97, index, 48 * index, SSRC) + bytes(96)
                ours.sendto(rtp, ("127.0.0.1", port))
            # The first packets may be held until their times show the clock; what comes meanwhile is of no stream yet.
            if index % 50 == 49 and index > MAX_HELD_PACKETS:
                ours_rtcp.sendto(sender_report(index + 1), ("127.0.0.1", port if mux else port + 1))
            time.sleep(max(0.0, started + 0.002 * index - time.monotonic()))
        receiver.join(20)
        ours_rtcp.setblocking(False)
        heard = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(ours_rtcp.recv(2048))
    [result] = results
    [stream] = result.streams
    return stream, heard


@pytest.mark.parametrize(("options", "mux"), [({"rtcp": True}, False), ({"rtcp": True}, True), ({}, True)])
def test_sender_reports_of_a_live_stream(options, mux):
    stream, heard = run(options, mux)
    rtcp = stream.transport.rtcp
    assert rtcp.sender_reports == 5
    assert (rtcp.packets_sent, rtcp.packets_by_sequence) == (200, 200)
    assert heard == []


def test_what_comes_to_the_next_port_is_not_taken_unasked():
    stream, _ = run({})
    assert stream.transport.rtcp is None


def test_receiver_reports_are_sent_where_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(receiver_reports, "INTERVAL_NS", 150_000_000)
    stream, heard = run({"receiver_reports": True})
    assert stream.transport.packets_lost == 1
    assert len(heard) > 2
    for datagram in heard:
        compound = parse_rtcp(datagram)
        assert not compound.unread
        report, description = compound.reports
        assert isinstance(report, ReceiverReport)
        assert isinstance(description, SourceDescription)
        assert report.ssrc == description.ssrc
        assert description.items == ((1, f"rtpverify-{report.ssrc:08x}"),)
        [block] = report.blocks
        assert block.ssrc == SSRC
        assert block.highest_sequence < PACKETS
    assert block.cumulative_lost == 1
    assert block.last_report & 0xFFFF0000 == NTP >> 16 & 0xFFFF0000
    assert 0 < block.delay_since_last_report < 65536
    fractions = [parse_rtcp(datagram).reports[0].blocks[0].fraction_lost for datagram in heard]
    assert sum(fraction > 0 for fraction in fractions) == 1


@pytest.mark.parametrize(
    ("port", "asked", "expected"),
    [(5004, None, [5004, 5005]), (5004, 5004, [5004]), (5004, 9, [5004, 9]), (65535, None, [65535])],
)
def test_where_rtcp_is_received(port, asked, expected):
    endpoint = parse_endpoint(f"rtp://192.0.2.7@239.1.2.3:{port}?interface=lo").with_rtcp(asked)
    assert endpoint.parts == tuple(Endpoint("239.1.2.3", number, "192.0.2.7", "lo") for number in expected)
