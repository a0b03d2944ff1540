"""What arrives on the wire: RTP, RTCP, SDP and SAP, each by itself, and streams of RTP through the whole verifier."""

from __future__ import annotations

import json
import math
import zlib

import numpy as np

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.presence import Ends
from rtpverify.engine.verifier import Verifier
from rtpverify.live.sdp_session import session_of
from rtpverify.report.json import render
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.rtp.rtcp import (
    Arrived,
    ReceptionBlock,
    SenderReport,
    SenderReports,
    parse_rtcp,
    write_goodbye,
    write_receiver_report,
    write_sender_report,
)
from rtpverify.rtp.sap import SessionDirectory, write_sap
from rtpverify.rtp.sdp_reader import parse_sdp, sdp_text
from rtpverify.sources.audio.reference_text import parse_reference
from tests.fuzz.target import ALLOWED, MILLION, Target, joined, parts, refusal, require_line
from tests.rtp.test_batch import FULL, check

SDP = """v=0
o=- 7 1 IN IP4 192.0.2.7
s=Desk
c=IN IP4 239.1.2.3/32
t=0 0
a=group:DUP one two
a=source-filter: incl IN IP4 * 192.0.2.7
a=ts-refclk:ptp=IEEE1588-2008:00-11-22-FF-FE-33-44-55:0
m=audio 5004 RTP/AVP 97 0
a=rtpmap:97 L24/48000/2
a=fmtp:97 channel-order=SMPTE2110.(ST)
a=ptime:1
a=mediaclk:direct=0
a=mid:one
a=rtcp:5005
m=audio 5006/2 RTP/AVP 98
c=IN IP4 239.1.2.4/32/2
a=rtpmap:98 L16/44100
a=framecount:48-64
a=ssrc-group:DUP 7 8
a=mid:two
a=rtcp-mux
m=audio 5008 RTP/SAVP 96
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x
m=video 5010 RTP/AVP 99
"""

# RTP ----------------------------------------------------------------------------------------------------------------


def take_rtp(data: bytes) -> None:
    """Read datagrams as a parser does that reads one at a time, wherever they lie."""
    check(parts(data[1:]), 300 if data[:1] < b"\x80" and len(data) < 200 else None)


def rtp_seeds() -> list[bytes]:
    plain = bytes.fromhex("8061 0001 00000030 5eed0001") + bytes(24)
    return [b"\x00" + joined([plain, FULL]), b"\xff" + joined([FULL[:20], b"\x80\xc8" + bytes(26), plain])]


# RTCP ---------------------------------------------------------------------------------------------------------------


def take_rtcp(data: bytes) -> None:
    """Read datagrams, and compare what they report with what arrived."""
    reports, arrived = SenderReports(48_000), 0
    for datagram in parts(data):
        found = parse_rtcp(datagram)
        assert sum(found.unread.values()) <= len(datagram)
        for report in found.reports:
            if isinstance(report, SenderReport):
                arrived += 3
                reports.add(report, Arrived(arrived, 2 * arrived), 1_000_000 * arrived)
    for figure in (reports.drift_ppm, *(reports.packets or ()), *(reports.octets or ())):
        assert figure is None or math.isfinite(figure)


def rtcp_seeds() -> list[bytes]:
    block = ReceptionBlock(7, 64, 3, 70_000, 9, 5, 6)
    sent = [SenderReport(9, (4_000_000_000 + 5 * at) << 32, 240_000 * at, 5000 * at, 7000 * at) for at in range(3)]
    return [
        joined([write_sender_report(one, "desk@192.0.2.7") for one in sent]),
        joined([write_receiver_report(9, [block], "desk"), write_goodbye(9, "desk")]),
    ]


# SDP and SAP --------------------------------------------------------------------------------------------------------


def take_sdp(data: bytes) -> None:
    """Read a description, and all that is asked of one."""
    with refusal():
        described = parse_sdp(sdp_text(data), "desk.sdp")
        for warning in described.warnings:
            require_line(warning)
        for medium in described.media:
            medium.why_undecodable()
            for payload_type in medium.payload_types:
                medium.why_undecodable(payload_type)
                medium.channel_order(payload_type)
            for encoding in medium.encodings.values():
                medium.packet_frames(encoding)
        base = StreamSpec("desk", reference=parse_reference("tone:997"))
        for endpoints, spec in session_of(described, "desk.sdp").streams(base, rtcp=True):
            assert endpoints
            assert spec.announced is not None or spec.legs
            for payload_type, encoding in spec.encodings.items():
                assert spec.encoding_of(payload_type) in (encoding, None)
                spec.announced.labels(payload_type, encoding.channels)
                contradictions = spec.announced.contradictions(
                    destination="239.1.2.3:5004",
                    payload_type=payload_type,
                    encoding=parse_rtpmap("L16/44100/2"),
                    packet_time_seconds=0.003,
                    is_leg=bool(spec.legs),
                )
                for line in contradictions:
                    require_line(line)


def take_sap(data: bytes) -> None:
    """Take announcements, one after the other."""
    directory = SessionDirectory(max_sessions=3)
    datagrams = parts(data)
    for datagram in datagrams:
        directory.take(datagram)
    assert len(directory.sessions) <= 3
    assert sum(directory.discarded.values()) <= len(datagrams)
    for mistake in directory.mistakes:
        require_line(mistake)


def sap_seeds() -> list[bytes]:
    short = SDP[: SDP.index("m=audio 5006")]
    announced = write_sap("192.0.2.7", short)
    body = zlib.compress(b"application/sdp\0" + short.encode())
    small = "v=0\r\no=- 7 1 IN IP4 192.0.2.7\r\ns=x\r\nc=IN IP4 239.1.2.3\r\nm=audio 5004 RTP/AVP 0\r\n"
    return [
        joined([announced]),
        joined([announced[:1].replace(b"\x20", b"\x21") + announced[1:8] + body]),
        joined([write_sap("192.0.2.7", small), write_sap("192.0.2.7", small, deletes=True)]),
        joined([write_sap("2001:db8::7", small)]),
    ]


# Streams ------------------------------------------------------------------------------------------------------------

STEP = 8
"""Bytes that say what comes next, :func:`take_streams`."""
FLOWS = [
    *(Flow(f"192.0.2.{host}:5004", "239.1.2.3:5004") for host in range(1, 4)),
    Flow("192.0.2.1:5004", "239.1.2.4:5004"),
    Flow("192.0.2.9:5004", "239.1.2.5:5004"),
]
LEAPS = (0, 1, 1, 1, 1, 1, 1, 2, 3, 50, -1, -2, 400, 3000, 32_768, -70)
"""Steps of sequence numbers, in packets."""
OFFSETS = (0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 48, 960, 12_345, 2**31, -480)
"""What timestamps deviate by from where they should be, in frames; they stay there."""
WAITS_NS = (1, 10, 10, 10, 10, 10, 10, 11, 0, 30, 100, 3000, 12_000, -20, 10, 10)
"""Steps of arrival times, in tenths of a millisecond."""
TYPES = (97, 97, 97, 97, 97, 97, 97, 0, 8, 10, 96, 98, 101, 13, 127, 97)
SIZES = (288, 288, 288, 288, 288, 288, 288, 144, 96, 0, 1, 287, 289, 12, 1400, 288)
SINE = np.round(2**22 * np.sin(2 * np.pi * 997 / 48_000 * np.arange(96_000))).astype(">i4")
AUDIO = np.repeat(SINE.view(np.uint8).reshape(-1, 4)[:, 1:], 2, axis=0).tobytes()
"""Two seconds of a tone, L24, two channels."""


def take_streams(data: bytes) -> None:
    """Have streams verified that do as the bytes say, eight for each step, and account for every packet."""
    mode = data[0] if data else 0
    tone = parse_reference("tone:997") if mode & 128 else None
    specs = [
        StreamSpec("desk", "239.1.2.3:5004", None, parse_rtpmap("L24/48000/2"), reference=tone),
        StreamSpec("spare", "239.1.2.4:5004", "192.0.2.1", parse_rtpmap("L16/48000/2"), redundant=True),
        StreamSpec("any", reference=tone, finds_encoding=True),
    ]
    verifier = Verifier(specs, ends=list(Ends)[mode % 3], max_streams=3)
    state = _Senders()
    batch: list[tuple[int, int, bytes]] = []
    datagrams = 0
    for at in range(1, len(data) - STEP + 1, STEP):
        step = data[at : at + STEP]
        sent = state.send(step)
        batch += sent
        datagrams += len(sent)
        if step[7] & 1 or at + 2 * STEP > len(data):
            verifier.feed(_batch_of(batch))
            batch = []
        if step[7] & 2:
            verifier.advance(state.now_ns)
        if step[7] & 0xF0 == 0xF0 and not batch:
            state.now_ns += 1_000_000 * (step[6] - 128)
            verifier.shift_clock(1_000_000 * (step[6] - 128))
        if step[7] & 0xF4 == 0xE4:
            verifier.take_host_drops({"239.1.2.3:5004": step[6]})
        if step[7] & 0xFC == 0xD0 and verifier.streams:
            verifier.forget(verifier.streams[step[6] % len(verifier.streams)])
    verifier.finish(None if mode & 64 else state.now_ns)
    failures = verifier.take_failures()
    assert all(isinstance(failure.error, ALLOWED) for failure in failures), failures[0].traceback
    document = json.loads(render(verifier.result("fuzz")))
    for stream in document["streams"]:
        counts = stream["transport"]
        distinct = counts["packets_expected"] - counts["packets_lost"]
        assert 0 <= distinct <= counts["packets_received"] <= datagrams, counts
        assert counts["packets_lost"] >= 0, counts


class _Senders:
    """What senders send whose every step bytes decide."""

    def __init__(self) -> None:
        self.now_ns = 1_790_000_000_000_000_000
        self._sequence = [65_500, 7, 40_000, 1]
        self._timestamp = [2**32 - 900, 0, 77, 1 << 31]

    def send(self, step: bytes) -> list[tuple[int, int, bytes]]:
        """Return what a step sends: datagrams with their arrival times and flows."""
        who, flow = step[0] & 3, (step[0] >> 2) % len(FLOWS)
        leap, payload = LEAPS[step[1] & 15], SIZES[step[2] & 15]
        kind, wait_ns = TYPES[step[2] >> 4], 100_000 * WAITS_NS[step[3] & 15]
        self._timestamp[who] += 48 * leap + OFFSETS[step[1] >> 4]
        self._sequence[who] += leap
        self.now_ns += wait_ns
        sent = []
        for number in range(1 + (step[4] & 0x3F if step[4] & 0xC0 == 0xC0 else 0)):
            if number:
                self._sequence[who] += 1
                self._timestamp[who] += 48
                self.now_ns += 1_000_000
            octets = (6 * self._timestamp[who]) % 288_000 if step[5] < 200 else step[5]
            header = bytes([0x80 | (step[3] >> 4 if step[3] >> 4 == step[5] >> 4 else 0), kind])
            header += (self._sequence[who] % 2**16).to_bytes(2, "big")
            header += (self._timestamp[who] % 2**32).to_bytes(4, "big") + bytes([0, 0, 0, who])
            sent.append((self.now_ns, flow, header + AUDIO[octets : octets + payload]))
        if step[4] & 0xC0 == 0x80:
            sent.append((self.now_ns, flow, self._report(who, step)))
        if step[4] & 0xC0 == 0x40:
            sent += sent[: step[4] & 1]
            sent.append((self.now_ns, step[5] % len(FLOWS), bytes(step)))
        return sent

    def _report(self, who: int, step: bytes) -> bytes:
        if step[4] & 1:
            return write_goodbye(who, "desk")
        ntp = (2_208_988_800 + self.now_ns // 1_000_000_000) << 32
        return write_sender_report(SenderReport(who, ntp, self._timestamp[who] % 2**32, step[5], step[6]), "desk")


def _batch_of(packets: list[tuple[int, int, bytes]]) -> PacketBatch:
    length = np.array([len(datagram) for *_, datagram in packets], np.int64)
    return PacketBatch(
        arena=np.frombuffer(b"".join(datagram for *_, datagram in packets), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=np.array([arrival for arrival, *_ in packets], np.int64),
        flow=np.array([flow for _, flow, _ in packets], np.int64),
        flows=FLOWS,
    )


def stream_seeds() -> list[bytes]:
    second = bytes([0, 1, 0, 1, 0xFF, 0, 0, 3])
    lost = bytes([0, 7, 0, 1, 0xFF, 0, 0, 1])
    other = bytes([5, 1, 0, 1, 0xC8, 0, 0, 1])
    report = bytes([0, 1, 0, 1, 0x80, 0, 0, 1])
    return [
        b"\x80" + 6 * second,
        b"\x01" + 3 * second + lost + report + 3 * second,
        b"\x02" + 2 * (second + other) + lost + report + bytes([0, 13, 0, 1, 0xFF, 0, 0, 1]) + second,
        b"\x01" + 4 * second + bytes([0, 1, 0, 11, 0, 0, 200, 0xF3, 0, 0xB1, 0, 1, 0xFF, 7, 0, 1]) + 3 * second,
    ]


TARGETS = {
    "rtp": Target(rtp_seeds, ("rtpverify.rtp.batch",), take_rtp, inputs=10 * MILLION, longest=512),
    "rtcp": Target(rtcp_seeds, ("rtpverify.rtp.rtcp",), take_rtcp, inputs=10 * MILLION, longest=512),
    "sdp": Target(
        lambda: [SDP.encode(), SDP[: SDP.index("m=audio 5006")].replace("\n", "\r\n").encode()],
        ("rtpverify.rtp", "rtpverify.live.sdp_session", "rtpverify.sources.live.endpoint"),
        take_sdp,
        inputs=10 * MILLION,
        longest=1500,
    ),
    "sap": Target(
        sap_seeds, ("rtpverify.rtp.sap", "rtpverify.rtp.sdp_reader"), take_sap, inputs=10 * MILLION, longest=1500
    ),
    "streams": Target(
        stream_seeds, ("rtpverify.transport", "rtpverify.engine"), take_streams, inputs=MILLION, longest=160
    ),
}
