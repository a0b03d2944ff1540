"""What is wrong with a capture itself is told, and nothing is made up for it."""

import struct

import captures as c
import pytest

from rtpverify.check import check
from rtpverify.reference import parse_reference
from rtpverify.report import figures
from rtpverify.result import rfc3339
from rtpverify.rtp.payload import parse_rtpmap

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
    assert warning in figures.host_lines(result)
    assert result.as_dict()["warnings"] == [warning]


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
        "the capture ends in the middle of a frame",
    ]


def test_a_sound_capture_has_no_warnings(tmp_path):
    assert result_of(tmp_path, c.pcapng(datagrams(50))).warnings == []
