"""What is wrong with a capture itself is told, and nothing is made up for it."""

import struct

import numpy as np
import pytest

from rtpverify.commands.check import check
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.events import rfc3339
from rtpverify.limits import Limits, with_values
from rtpverify.report import wording
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.transport.redundancy import LegEnds
from tests.helpers import captures as c

L16 = parse_rtpmap("L16/48000/1")
START_NS = 1_790_000_000_000_000_000


def datagrams(packets, lost=()):
    """Return frames of a stream of packets of 48 frames of silence."""
    for index in range(packets):
        if index not in lost:
            rtp = struct.pack(">BBHII", 0x80, 97, 100 + index, 48 * index, 9) + bytes(96)
            yield START_NS + 1_000_000 * index, c.ethernet(c.ipv4(c.udp(rtp)))


def result_of(tmp_path, content):
    path = tmp_path / "capture.pcapng"
    path.write_bytes(content)
    return check(str(path), encoding=L16, reference=parse_reference("none"))


def test_frames_without_a_time_of_arrival(tmp_path):
    """Losses are found all the same; what takes times is not measured, and no time is invented."""
    blocks = b"".join(c.simple(frame) for _, frame in datagrams(200, lost=[70, 71]))
    result = result_of(tmp_path, c.section() + c.interface() + blocks)
    [stream] = result.streams
    transport = stream.transport
    assert (transport.packets_received, transport.packets_lost) == (198, 2)
    [gap] = stream.events
    assert (gap.start_frame, gap.duration_frames, rfc3339(gap.time_ns)) == (70 * 48, 96, None)
    for name in ("jitter", "max_jitter", "tsdf", "max_tsdf", "longest_interval"):
        assert getattr(transport, f"{name}_seconds") is None
    assert (transport.clock_drift_ppm, transport.interarrival_histogram) == (None, [])
    [warning] = result.warnings
    assert warning.startswith("198 of 198 captured frames have no time of arrival")
    assert result.to_dict()["warnings"] == [warning]


@pytest.mark.parametrize("snap", [54, 58, 149])
@pytest.mark.parametrize("reference", ["tone:997", "none"])
def test_packets_of_which_only_the_headers_were_captured(tmp_path, snap, reference):
    """Transport is judged in full, and the result says that the signal is not."""
    path = tmp_path / "headers.pcap"
    path.write_bytes(c.pcap(datagrams(200), snap=snap))
    clean = check(str(path), encoding=L16, reference=parse_reference(reference))
    [stream] = clean.streams
    assert (stream.events, stream.frames, stream.packet_time_seconds) == ([], 9600, 0.001)
    assert str(clean.verdict) == ("pass" if reference == "none" else "inconclusive")
    told = "the capture contains only the beginning of 200 packets (snap length): transport checked, signal not checked"
    assert told in (stream.warnings if reference == "none" else [stream.inconclusive])
    path.write_bytes(c.pcap(datagrams(200, lost=[70, 71]), snap=snap))
    [stream] = check(str(path), encoding=L16, reference=parse_reference(reference)).streams
    assert [(str(event.kind), event.start_frame, event.duration_frames) for event in stream.events] == [
        ("gap", 70 * 48, 96)
    ]
    assert (stream.transport.packets_received, stream.transport.packets_lost) == (198, 2)


@pytest.mark.parametrize("link", [c.ethernet, c.linux_cooked])
def test_fragments_and_a_last_frame_that_is_not_whole(tmp_path, link):
    whole = [(time_ns, link(frame[14:])) for time_ns, frame in datagrams(50)]
    parts = [(START_NS + 60_000_000, link(c.ipv4(bytes(400), fragment=flags))) for flags in (0x2000, 50, 100)]
    link_type = c.ETHERNET if link is c.ethernet else c.LINUX_COOKED
    result = result_of(tmp_path, c.pcapng(whole + parts, link_type)[:-30])
    assert result.streams[0].transport.packets_received == 50
    assert result.discarded == {"fragment": 2, "cut_off": 1}
    assert result.warnings == [
        "2 IP fragments were not put together: audio in them counts as lost",
        "the capture ends in the middle of a packet",
    ]


def test_a_sound_capture_has_no_warnings(tmp_path):
    assert result_of(tmp_path, c.pcapng(datagrams(50))).warnings == []


SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=desk
c=IN IP4 239.1.2.3/32
t=0 0
m=audio 5004 RTP/AVP 97
a=rtpmap:97 L16/48000/1
a=ts-refclk:ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:0
a=mediaclk:{clock}
"""


def presented(tmp_path, *, clock="direct=1000", host_clock="utc", leads_ms=(1.5, 0.8, -0.3), limits=None, leap=37):
    """Check a capture of packets that arrive so long before they are due, link offset 2 ms."""
    records = []
    for index, lead_ms in enumerate([1.5] * 100 + list(leads_ms)):
        sampled_ns = START_NS + 1_000_000 * index
        timestamp = (sampled_ns + leap * 10**9) * 48_000 // 10**9 + 1000
        rtp = struct.pack(">BBHII", 0x80, 97, 100 + index, timestamp % 2**32, 9) + bytes(96)
        records.append((sampled_ns + round((2.0 - lead_ms) * 1e6), c.ethernet(c.ipv4(c.udp(rtp)))))
    (tmp_path / "lead.pcap").write_bytes(c.pcap(records))
    (tmp_path / "lead.sdp").write_text(SDP.format(clock=clock))
    limits = with_values(Limits(), {"link_offset_seconds": 0.002, **(limits or {})}, "test")
    [stream] = check(
        str(tmp_path / "lead.pcap"),
        sdp=tmp_path / "lead.sdp",
        reference=parse_reference("none"),
        limits=limits,
        host_clock=host_clock,
    ).streams
    return stream


def test_packets_that_come_too_late_to_be_presented(tmp_path):
    stream = presented(tmp_path)
    assert stream.transport.packets_lost == stream.transport.packets_late == 0
    assert stream.transport.presentation_lead_seconds == pytest.approx(-0.0003, abs=1e-9)
    assert stream.transport.min_presentation_lead_seconds == pytest.approx(-0.0003, abs=1e-9)
    assert stream.transport.packets_short_of_lead == 1
    [event] = stream.events
    assert (str(event.kind), str(event.cause), event.size.packets_counted) == ("late", "unknown", 1)
    assert "lead down to -0.300 ms" in event.message
    assert dict(wording.transport(stream))["Timing"].endswith("presentation lead at least -0.300 ms")


def test_the_lead_that_is_wanted_is_a_limit(tmp_path):
    stream = presented(tmp_path, leads_ms=[1.1], limits={"min_presentation_lead_seconds": 0.0012})
    assert stream.transport.packets_short_of_lead == 1
    assert presented(tmp_path, leads_ms=[1.1]).events == []


def test_a_host_clock_of_tai(tmp_path):
    assert presented(tmp_path, host_clock="tai", leap=0).transport.packets_short_of_lead == 1
    [warning] = presented(tmp_path, host_clock="tai", leap=37).warnings
    assert warning == "presentation lead not measured: the timestamps are 37.0 s off the clock of this host"


def test_a_media_clock_of_its_own_has_no_lead(tmp_path):
    stream = presented(tmp_path, clock="sender")
    assert stream.transport.presentation_lead_seconds is None
    [warning] = stream.warnings
    assert warning == "presentation lead not measured: the media clock follows no known reference clock"


def duplicated(tmp_path, lost=((), ()), ahead=20):
    """Check a capture of a stream that comes twice to one port, the second time under another SSRC and later."""
    records = []
    for ssrc, gone, delay_ms in zip((1000, 1010), lost, (0, ahead), strict=True):
        for index in range(300):
            rtp = struct.pack(">BBHII", 0x80, 97, (65_400 + index) % 2**16, 48 * index, ssrc) + bytes(
                [index % 250] * 96
            )
            if index not in gone:
                records.append((START_NS + 10**6 * (index + delay_ms), c.ethernet(c.ipv4(c.udp(rtp)))))
    (tmp_path / "twice.pcap").write_bytes(c.pcap(sorted(records, key=lambda record: record[0])))
    lines = ["v=0", "o=- 1 1 IN IP4 192.0.2.7", "s=twice", "c=IN IP4 239.1.2.3/32", "t=0 0"]
    lines += ["m=audio 5004 RTP/AVP 97", "a=rtpmap:97 L16/48000/1", "a=ssrc-group:DUP 1000 1010"]
    (tmp_path / "twice.sdp").write_text("\n".join(lines))
    result = check(str(tmp_path / "twice.pcap"), sdp=tmp_path / "twice.sdp", reference=parse_reference("none"))
    assert result.discarded == {}
    [stream] = result.streams
    return stream


def test_two_ssrcs_that_carry_the_same_are_one_stream(tmp_path):
    stream = duplicated(tmp_path, lost=([70, 71, 150], [150, 200]))
    transport = stream.transport
    assert (stream.ssrc, transport.packets_received, transport.packets_lost) == (1000, 299, 1)
    assert (transport.packets_duplicated, transport.packets_reordered) == (0, 2)
    [gap] = stream.events
    assert (str(gap.kind), gap.start_frame, gap.duration_frames) == ("gap", 150 * 48, 48)
    assert "lost on all legs" in gap.message
    first, second = stream.legs
    assert (first.ssrc, first.packets_received, first.packets_lost) == ("0x000003e8", 297, 3)
    assert (second.ssrc, second.packets_received, second.packets_lost) == ("0x000003f2", 298, 2)
    assert second.max_skew_seconds == pytest.approx(0.02)
    assert stream.packets_differing == 0
    assert dict(wording.transport(stream))["Leg"].startswith("2: SSRC 0x000003f2, ")


@pytest.mark.parametrize("silent", [0, 1])
def test_one_of_the_two_alone(tmp_path, silent):
    lost = [(), ()]
    lost[silent] = range(300)
    stream = duplicated(tmp_path, lost=lost)
    assert (stream.ssrc, stream.transport.packets_received, stream.events) == (1000, 300, [])
    [warning] = stream.warnings
    assert warning.startswith(f"no packet arrived on leg {silent + 1} (SSRC 0x{(1000, 1010)[silent]:08x})")


def test_two_ssrcs_however_the_packets_are_cut():
    """The first packets of a source are held back until it has proved itself; they are known by the same SSRC."""
    legs = tuple(LegEnds("239.1.2.3:5004", None, ssrc, copy) for copy, ssrc in enumerate((1000, 1010)))
    spec = StreamSpec(encoding=L16, legs=legs, duplicate_ssrcs=((1000, 1010),))
    verifier = Verifier([spec])
    for index in range(40):
        for ssrc in (1010, 1000):
            rtp = struct.pack(">BBHII", 0x80, 97, index, 48 * index, ssrc) + bytes(96)
            at = np.array([START_NS + 10**6 * index])
            arena, one = np.frombuffer(rtp, np.uint8), np.zeros(1, np.int64)
            verifier.feed(PacketBatch(arena, one, one + len(rtp), at, one, [Flow("192.0.2.7:1", "239.1.2.3:5004")]))
    verifier.finish()
    [stream] = verifier.result("test").streams
    assert (stream.ssrc, stream.transport.packets_received, stream.transport.packets_duplicated) == (1000, 40, 0)
    assert [leg.packets_received for leg in stream.legs] == [40, 40]


@pytest.mark.parametrize("calls", [256, 257, 600])
def test_more_calls_than_are_verified_at_a_time(tmp_path, calls):
    """Nothing is said of those that found no place, and the result does not pass."""
    frames = [
        (START_NS + 20_000_000 * index + 1000 * call, c.ethernet(c.ipv4(c.udp(rtp, 20_000 + call, 30_000 + call))))
        for index in range(12)
        for call in range(calls)
        for rtp in [struct.pack(">BBHII", 0x80, 8, index, 160 * index, call) + bytes([0xD5] * 160)]
    ]
    path = tmp_path / "calls.pcap"
    path.write_bytes(c.pcap(frames))
    result = check(str(path), reference=parse_reference("none"))
    assert [stream.transport.packets_received for stream in result.streams] == [12] * 256
    assert result.streams_refused == result.to_dict()["streams_refused"] == calls - 256
    assert result.discarded == ({"too_many_streams": 12 * (calls - 256)} if calls > 256 else {})
    assert result.exit_status == (0 if calls == 256 else 3)
    if calls == 600:
        assert wording.headline(result) == "344 more streams came than are verified at a time, and were not"
