"""The capture reader against captures written field by field, against tshark, and against damage."""

import os
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow
from rtpverify.sources.capture import reader as module
from rtpverify.sources.capture import stored_bytes
from rtpverify.sources.capture.reader import BATCH_RECORDS, is_capture, read_capture
from tests.helpers import captures as c

START_NS = 1_600_000_000_123_456_789
V4 = Flow("192.0.2.7:5004", "239.1.2.3:5004")
V6 = Flow("[2001:db8::7]:5004", "[ff3e::8000:1]:5004")
IN_FILE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def payload_of(index: int, size: int = 40) -> bytes:
    return struct.pack(">BBHI", 0x80, 97, index % 65536, index * 48).ljust(size, bytes([index % 251]))


def packets(count: int = 6) -> list[bytes]:
    """IP packets with a datagram each, IPv4 and IPv6 in turn, with and without options."""
    shapes = [
        c.ipv4,
        c.ipv6,
        lambda data: c.ipv4(data, options=b"\x94\x04\x00\x00"),
        lambda data: c.ipv6(data, extensions=[c.HOP_BY_HOP, c.ROUTING, c.ATOMIC_FRAGMENT, c.DESTINATION_OPTIONS]),
    ]
    return [shapes[index % 4](c.udp(payload_of(index, 20 + 7 * index))) for index in range(count)]


def timed(records: list[bytes]) -> list[c.Record]:
    return [(START_NS + 125_001 * index, record) for index, record in enumerate(records)]


ON_LINK = {
    "ethernet": (c.ETHERNET, c.ethernet),
    "vlan": (c.ETHERNET, lambda packet: c.ethernet(packet, [0x8100])),
    "qinq": (c.ETHERNET, lambda packet: c.ethernet(packet, [0x88A8, 0x8100])),
    "cooked": (c.LINUX_COOKED, c.linux_cooked),
    "cooked2": (c.LINUX_COOKED_2, c.linux_cooked_2),
    "raw": (c.RAW_IP, bytes),
    "raw12": (c.RAW_12, bytes),
    "raw14": (c.RAW_14, bytes),
    "null": (c.BSD_NULL, lambda packet: c.loopback(packet, "<")),
    "null-big": (c.BSD_NULL, lambda packet: c.loopback(packet, ">", 24)),
    "loop": (c.BSD_LOOP, lambda packet: c.loopback(packet, ">")),
}
FORMATS = {
    "pcap": c.pcap,
    "pcap-big": lambda records, link: c.pcap(records, link, order=">"),
    "pcap-micro": lambda records, link: c.pcap(records, link, nanoseconds=False),
    "pcap-big-micro": lambda records, link: c.pcap(records, link, order=">", nanoseconds=False),
    "pcapng": c.pcapng,
    "pcapng-big": lambda records, link: c.pcapng(records, link, order=">"),
}


def file_of(folder: Path, content: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


Seen = tuple[int, Flow, bytes]


def datagrams(reader: module.CaptureReader) -> list[Seen]:
    """Read everything and check what holds for every batch."""
    seen = []
    for batch in reader:
        assert 0 < len(batch) <= module.BATCH_RECORDS
        for values in (batch.offset, batch.length, batch.arrival_ns, batch.flow):
            assert values.shape == (len(batch),)
            assert values.dtype == np.int64
        assert (batch.offset >= 0).all()
        assert (batch.length >= 0).all()
        assert (batch.offset + batch.length <= len(batch.arena)).all()
        assert (np.diff(batch.offset) > 0).all()
        for offset, length, arrival_ns, flow in zip(
            batch.offset, batch.length, batch.arrival_ns, batch.flow, strict=True
        ):
            seen.append((int(arrival_ns), batch.flows[flow], batch.arena[offset : offset + length].tobytes()))
    assert reader.records == len(seen) + reader.skipped.total() - reader.skipped["cut_off"] - reader.skipped["damaged"]
    return seen


def read(folder: Path, content: bytes) -> tuple[list[Seen], Counter[str]]:
    reader = read_capture(file_of(folder, content))
    return datagrams(reader), reader.skipped


def records_only(folder: Path, *records: bytes, **options: int) -> tuple[list[bytes], Counter[str]]:
    seen, skipped = read(folder, c.pcap(timed(list(records)), **options))
    return [payload for _, _, payload in seen], skipped


# What is read


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("link", ON_LINK)
def test_every_link_type_in_every_format(tmp_path, link, form):
    link_type, wrap = ON_LINK[link]
    seen, skipped = read(tmp_path, FORMATS[form](timed([wrap(packet) for packet in packets()]), link_type))
    unit = 1000 if "micro" in form else 1
    expected = [
        ((START_NS + 125_001 * index) // unit * unit, V6 if index % 2 else V4, payload_of(index, 20 + 7 * index))
        for index in range(6)
    ]
    assert seen == expected
    assert not skipped


@pytest.mark.parametrize(("link_type", "packet", "flow"), [(228, c.ipv4, V4), (229, c.ipv6, V6)])
def test_raw_ip_of_one_version(tmp_path, link_type, packet, flow):
    seen, skipped = read(tmp_path, c.pcap(timed([packet(c.udp(payload_of(1)))]), link_type))
    assert seen == [(START_NS, flow, payload_of(1))]
    assert not skipped


def test_bits_about_the_check_sequence_are_no_part_of_the_link_type(tmp_path):
    seen, _ = read(tmp_path, c.pcap(timed([one(0) + b"\x00\x01\x02\x03"]), 0x24000000 | c.ETHERNET))
    assert seen == [(START_NS, V4, payload_of(0))]


@given(sizes=st.lists(st.integers(0, 90), min_size=1, max_size=6), runs=st.lists(st.integers(1, 120), max_size=6))
@example(sizes=[40], runs=[9000])
@example(sizes=[40, 41], runs=[5000, 1, 4096])
@pytest.mark.parametrize("form", ["pcap", "pcapng-big"])
@IN_FILE
def test_records_of_equal_and_unequal_size(tmp_path, form, sizes, runs):
    sent = [payload_of(turn, size) for run, size in zip(runs, sizes * 6, strict=False) for turn in range(run)]
    records = timed([c.ethernet(c.ipv4(c.udp(payload)), least=0) for payload in sent])
    seen, skipped = read(tmp_path, FORMATS[form](records, c.ETHERNET))
    assert seen == [(time_ns, V4, payload) for (time_ns, _), payload in zip(records, sent, strict=True)]
    assert not skipped


def test_payloads_stay_in_the_file(tmp_path):
    records = timed([c.ethernet(c.ipv4(c.udp(payload_of(index)))) for index in range(9000)])
    batches = list(read_capture(file_of(tmp_path, c.pcap(records))))
    assert [len(batch) for batch in batches] == [BATCH_RECORDS, 9000 - BATCH_RECORDS]
    assert all(batch.arena is batches[0].arena for batch in batches)
    assert not batches[0].arena.flags.writeable


def test_flows_are_numbered_in_order_of_appearance(tmp_path):
    ends = [(f"192.0.2.{index * 7 % 16}", 6000 - index % 3) for index in range(9000)]
    records = [c.ethernet(c.ipv4(c.udp(b"", port), address)) for address, port in ends]
    reader = read_capture(file_of(tmp_path, c.pcap(timed(records))))
    seen = [flow for _, flow, _ in datagrams(reader)]
    expected = [Flow(f"{address}:{port}", "239.1.2.3:5004") for address, port in ends]
    assert seen == expected
    assert reader.flows == list(dict.fromkeys(expected))


def test_reading_again_starts_from_the_top(tmp_path):
    arp = c.ethernet(bytes(28), kind=0x0806)
    reader = read_capture(file_of(tmp_path, c.pcap(timed([arp, *map(c.ethernet, packets())]))))
    assert datagrams(reader) == datagrams(reader)
    assert reader.skipped == {"not_ip": 1}
    assert reader.link_types == {c.ETHERNET: 7}
    assert reader.records == 7


def test_memory_of_what_was_read_is_released(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_bytes, "_RELEASE_BYTES", 8192)
    records = timed([c.ethernet(c.ipv4(c.udp(payload_of(index, 300)))) for index in range(9000)])
    seen, _ = read(tmp_path, c.pcap(records))
    assert [payload for _, _, payload in seen] == [payload_of(index, 300) for index in range(9000)]


# What is counted


def test_other_protocols(tmp_path):
    tcp = bytes(20)
    payloads, skipped = records_only(
        tmp_path,
        c.ethernet(bytes(28), kind=0x0806),
        c.ethernet(bytes(30), kind=46),
        c.ethernet(c.ipv4(tcp, protocol=6)),
        c.ethernet(c.ipv6(tcp, protocol=6)),
        c.ethernet(c.ipv6(bytes(8), protocol=59, extensions=[c.HOP_BY_HOP])),
        c.ethernet(c.ipv4(c.udp(b"x"))),
    )
    assert payloads == [b"x"]
    assert skipped == {"not_ip": 2, "not_udp": 3}


def test_fragments(tmp_path):
    whole = c.udp(bytes(32))
    payloads, skipped = records_only(
        tmp_path,
        c.ethernet(c.ipv4(whole, fragment=0x2000)),
        c.ethernet(c.ipv4(whole, fragment=0x0005)),
        c.ethernet(c.ipv4(whole, fragment=0x4000)),
        c.ethernet(c.ipv6(whole, extensions=[c.FIRST_FRAGMENT])),
        c.ethernet(c.ipv6(whole, extensions=[c.HOP_BY_HOP, c.LATER_FRAGMENT])),
        c.ethernet(c.ipv4(whole, fragment=0x2000, protocol=6)),
    )
    assert payloads == [bytes(32)]
    assert skipped == {"fragment": 4, "not_udp": 1}


def test_what_a_snap_length_cuts_off_is_counted(tmp_path):
    """Within the headers, that of RTP among them, the record is of no use; beyond, what is missing is known."""
    shapes = {
        c.ethernet(c.ipv4(c.udp(bytes(30))), [0x88A8, 0x8100]),
        c.ethernet(c.ipv6(c.udp(bytes(30)), extensions=[c.HOP_BY_HOP, c.DESTINATION_OPTIONS])),
        c.ethernet(c.ipv4(c.udp(bytes(30)), options=bytes([1] * 40))),
    }
    for record in shapes:
        for snap in range(len(record)):
            there = snap - (len(record) - 30)
            if there < 12:
                assert records_only(tmp_path, record, record, snap=snap) == ([], {"truncated": 2})
                continue
            assert records_only(tmp_path, record, record, snap=snap) == ([bytes(there)] * 2, {})
            (tmp_path / "cut.pcap").write_bytes(c.pcap(timed([record]), snap=snap))
            [batch] = read_capture(tmp_path / "cut.pcap")
            assert (batch.length.tolist(), batch.cut_bytes.tolist()) == ([there], [30 - there])
        assert records_only(tmp_path, record) == ([bytes(30)], {})


@pytest.mark.parametrize(
    "packet",
    [
        c.ipv4(c.udp(bytes(9), length=7)),
        c.ipv4(c.udp(bytes(9), length=18)),
        c.ipv4(bytes(7)),
        b"\x44" + c.ipv4(c.udp(bytes(9), source_port=12))[1:],
        b"\x65" + c.ipv4(c.udp(bytes(9)))[1:],
        c.ipv4(b"")[:2] + struct.pack(">H", 19) + c.ipv4(b"")[4:],
        c.ipv6(c.udp(bytes(9), length=18)),
        c.ipv6(bytes(7)),
    ],
)
def test_headers_that_contradict_each_other(tmp_path, packet):
    kind = 0x86DD if len(packet) > 40 and packet[6] == 17 else 0x0800
    assert records_only(tmp_path, c.ethernet(packet, kind=kind)) == ([], {"malformed": 1})


def test_endless_headers_end(tmp_path):
    tags = c.ethernet(c.ipv4(c.udp(b"x")), [0x8100] * 500)
    options = c.ethernet(c.ipv6(c.udp(b"x"), extensions=[c.HOP_BY_HOP] * 500))
    assert records_only(tmp_path, tags, options) == ([], {"not_ip": 1, "not_udp": 1})


def test_a_last_record_that_is_not_whole(tmp_path):
    for form in FORMATS.values():
        content = form(timed([c.ethernet(packet) for packet in packets(2)]), c.ETHERNET)
        seen, skipped = read(tmp_path, content[:-1])
        assert [payload for _, _, payload in seen] == [payload_of(0, 20)]
        assert skipped == {"cut_off": 1}


def test_an_absurd_record_length_ends_the_reading(tmp_path):
    records = timed([c.ethernet(packet) for packet in packets(4)])
    head, tail = c.pcap(records[:2]), c.pcap(records[2:])[24:]
    seen, skipped = read(tmp_path, head + struct.pack("<IIII", 1, 2, 262_145, 60) + tail)
    assert len(seen) == 2
    assert skipped == {"damaged": 1}

    head, tail = c.pcapng(records[:2]), c.pcapng(records[2:])
    for size in (0, 8, 13, 1 << 31):
        seen, skipped = read(tmp_path, head + struct.pack("<II", 6, size) + bytes(5) + struct.pack("<I", size) + tail)
        assert len(seen) == 2
        assert skipped == {"damaged": 1}


def test_a_capture_without_records_is_empty(tmp_path):
    assert read(tmp_path, c.pcap([])) == ([], {})
    assert read(tmp_path, c.pcapng([])) == ([], {})
    assert read(tmp_path, c.section()) == ([], {})


# What only pcapng has


def one(index: int) -> bytes:
    return c.ethernet(c.ipv4(c.udp(payload_of(index))))


@pytest.mark.parametrize("order", "<>")
def test_blocks_of_every_kind(tmp_path, order):
    stamp = START_NS // 1000
    content = (
        c.section(order)
        + c.block(order, 0xBAD, b"unknown")
        + c.interface(order=order)
        + c.enhanced(stamp, one(0), order, options=c.option(order, 1, b"comment") + c.option(order, 0, b""))
        + c.simple(one(1), order)
        + c.block(order, 4, b"names")
        + c.interface(c.LINUX_COOKED, order, resolution=9)
        + c.obsolete(stamp + 1, one(2), order)
        + c.enhanced(START_NS, c.linux_cooked(c.ipv4(c.udp(payload_of(3)))), order, index=1)
        + c.block(order, 5, bytes(12))
        + c.simple(one(4), order)
    )
    reader = read_capture(file_of(tmp_path, content))
    micro_ns = stamp * 1000
    times_ns = [micro_ns, micro_ns, micro_ns + 1000, START_NS, START_NS]
    assert datagrams(reader) == [(time_ns, V4, payload_of(index)) for index, time_ns in enumerate(times_ns)]
    assert not reader.skipped
    assert reader.records_untimed == 2
    assert reader.link_types == {c.ETHERNET: 4, c.LINUX_COOKED: 1}


@pytest.mark.parametrize("orders", ["<>", "><", "<<", "><>"])
def test_sections_have_their_own_byte_order_and_interfaces(tmp_path, orders):
    content, expected = b"", []
    for turn, order in enumerate(orders):
        times_ns = [(turn + 1) * 10**9 + index for index in range(100)]
        content += c.section(order) + c.interface(order=order, resolution=9)
        content += b"".join(c.enhanced(time_ns, one(turn), order) for time_ns in times_ns)
        expected += [(time_ns, V4, payload_of(turn)) for time_ns in times_ns]
    assert read(tmp_path, content) == (expected, {})


@pytest.mark.parametrize(
    ("resolution", "stamp", "expected_ns"),
    [
        (None, 1_500_000_000_123_456, 1_500_000_000_123_456_000),
        (0, 1_500_000_000, 1_500_000_000_000_000_000),
        (3, 1_500_000_000_123, 1_500_000_000_123_000_000),
        (9, 1_500_000_000_123_456_789, 1_500_000_000_123_456_789),
        (10, 15_000_000_001_234_567_899, 1_500_000_000_123_456_789),
        (40, 2**63, 0),
        (28, 2**63, 0),
        (27, 2**63, 9),
        (0x80, 1_500_000_000, 1_500_000_000_000_000_000),
        (0x80 | 10, (1_500_000_000 << 10) + 768, 1_500_000_000_750_000_000),
        (0x80 | 33, (2_000_000_000 << 33) + (3 << 31), 2_000_000_000_750_000_000),
        (0x80 | 50, (16_000 << 50) + (3 << 48), 16_000_750_000_000),
        (0x80 | 127, 2**64 - 1, 0),
    ],
)
def test_clock_resolutions(tmp_path, resolution, stamp, expected_ns):
    for offset_seconds in (None, 0, 3600, -7200):
        content = c.section() + c.interface(resolution=resolution, offset_seconds=offset_seconds)
        seen, _ = read(tmp_path, content + c.enhanced(stamp, one(0)))
        assert seen[0][0] == expected_ns + (offset_seconds or 0) * 10**9


def test_a_simple_packet_is_cut_at_the_snap_length(tmp_path):
    content = c.section() + c.interface(snap=50) + c.simple(one(0), snap=50)
    assert read(tmp_path, content) == ([], {"truncated": 1})


def test_damaged_blocks_are_passed_over(tmp_path):
    too_long = c.block("<", 6, struct.pack("<IIIII", 0, 0, 0, 200, 200) + bytes(60))
    content = (
        c.section()
        + c.block("<", 1, b"tiny")
        + c.interface(resolution=9)
        + c.enhanced(5, one(0), index=1)
        + too_long
        + c.block("<", 6, b"tiny")
        + c.block("<", 3, b"")
        + c.enhanced(6, one(1))
    )
    assert read(tmp_path, content) == ([(6, V4, payload_of(1))], {"damaged": 5})


def test_a_block_length_must_be_a_multiple_of_four(tmp_path):
    content = c.section() + c.interface() + struct.pack("<II5xI", 0xBAD, 17, 17) + c.simple(one(0))
    assert read(tmp_path, content) == ([], {"damaged": 1})


def test_a_packet_without_time_follows_one_of_the_section_before(tmp_path):
    content = c.pcapng([(START_NS, one(0))]) + c.section(">") + c.interface(order=">") + c.simple(one(1), ">")
    assert read(tmp_path, content)[0] == [(START_NS, V4, payload_of(0)), (START_NS, V4, payload_of(1))]


def test_lengths_at_both_ends_of_a_block_must_agree(tmp_path):
    first, second = c.enhanced(1, one(0)), c.enhanced(2, one(1))
    broken = second[:-4] + struct.pack("<I", len(second) + 4)
    content = c.section() + c.interface(resolution=9) + first + broken + second
    assert read(tmp_path, content) == ([(1, V4, payload_of(0))], {"damaged": 1})


# What is refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"RIFF\x24\x00\x00\x00WAVE", "not a pcap or pcapng capture: starts with 52 49 46 46"),
        (c.pcap([])[:23], "capture header cut off: 23 of 24 bytes"),
        (c.section()[:27], "capture header cut off: 27 of 28 bytes"),
        (c.pcap(timed([bytes(80)]), 127), "capture of link type 127, which is not supported"),
    ],
)
def test_unusable_files_are_refused_by_name_and_reason(tmp_path, content, reason):
    path = file_of(tmp_path, content)
    with pytest.raises(SourceError) as caught:
        list(read_capture(path))
    assert str(caught.value) == f"{path}: {reason}"


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reasons = {"missing": "No such file or directory", ".": "a directory", "pipe": "not a regular file"}
    for name, reason in reasons.items():
        for use in (is_capture, read_capture):
            with pytest.raises(SourceError) as caught:
                use(tmp_path / name)
            assert str(caught.value) == f"{tmp_path / name}: {reason}"


def test_captures_are_told_by_content_not_by_name(tmp_path):
    for form in FORMATS.values():
        assert is_capture(file_of(tmp_path, form([], c.ETHERNET), "audio.wav"))
    assert not is_capture(file_of(tmp_path, b"RIFF\x24\x00\x00\x00WAVEfmt ", "capture.pcap"))
    assert not is_capture(file_of(tmp_path, b"", "capture.pcap"))
    assert not is_capture(file_of(tmp_path, b"\x0a\x0d\x0d\x0a" + bytes(20), "capture.pcapng"))


# Damage


def survives(folder: Path, content: bytes) -> list[Seen]:
    """Read whatever it is: datagrams and counts, or SourceError, and nothing else."""
    try:
        return read(folder, content)[0]
    except SourceError:
        return []


SMALL = {
    form: write(timed([c.ethernet(packet) for packet in packets(4)]), c.ETHERNET) for form, write in FORMATS.items()
} | {"sections": c.pcapng(timed([one(0), one(1)])) + c.pcapng(timed([one(2)]), order=">") + c.simple(one(3), ">")}


@pytest.mark.parametrize("form", SMALL)
def test_every_prefix_gives_what_stands_before_the_cut(tmp_path, form):
    content = SMALL[form]
    whole = survives(tmp_path, content)
    assert len(whole) == 4
    counts = []
    for end in range(len(content)):
        seen = survives(tmp_path, content[:end])
        assert seen == whole[: len(seen)]
        counts.append(len(seen))
    assert counts == sorted(counts)
    assert counts[-1] == 3


@given(start=st.sampled_from(sorted(SMALL)), length=st.integers(4, 60), noise=st.binary(max_size=400))
@IN_FILE
def test_noise_after_a_valid_start(tmp_path, start, length, noise):
    survives(tmp_path, SMALL[start][:length] + noise)


@given(noise=st.binary(max_size=200))
@IN_FILE
def test_noise(tmp_path, noise):
    survives(tmp_path, noise)


@settings(IN_FILE, max_examples=300)
@given(
    form=st.sampled_from(sorted(SMALL)),
    changes=st.lists(st.tuples(st.integers(0, 900), st.binary(min_size=1, max_size=4)), max_size=6),
)
def test_bytes_changed_anywhere(tmp_path, form, changes):
    content = bytearray(SMALL[form])
    for position, new in changes:
        start = position % len(content)
        content[start : start + len(new)] = new
    survives(tmp_path, bytes(content))


# Independent judges


tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed: no oracle for captures")


def told_by_tshark(path: Path) -> list[Seen]:
    """Have tshark list the whole UDP datagrams of a capture."""
    fields = [
        "frame.time_epoch",
        "ip.src",
        "ipv6.src",
        "ip.dst",
        "ipv6.dst",
        "udp.srcport",
        "udp.dstport",
        "udp.payload",
    ]
    command = ["tshark", "-r", str(path), "-Y", "udp.payload"]
    command += ["-T", "fields", *(part for field in fields for part in ("-e", field))]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seen = []
    for line in output.splitlines():
        time, source, source_6, destination, destination_6, source_port, destination_port, payload = line.split("\t")
        seconds, _, fraction = time.partition(".")
        flow = Flow(
            f"{source or f'[{source_6}]'}:{source_port}", f"{destination or f'[{destination_6}]'}:{destination_port}"
        )
        seen.append((int(seconds) * 10**9 + int(fraction.ljust(9, "0")), flow, bytes.fromhex(payload)))
    return seen


@tshark
@pytest.mark.parametrize("form", FORMATS)
def test_tshark_sees_the_same_datagrams(tmp_path, form):
    arp = c.ethernet(bytes.fromhex("0001080006040001") + bytes(20), kind=0x0806)
    tcp = c.ethernet(c.ipv4(struct.pack(">HHIIHHHH", 80, 81, 0, 0, 0x5000, 9, 0, 0), protocol=6))
    parts = [
        c.ethernet(c.ipv4(c.udp(bytes(32)), fragment=0x2000)),
        c.ethernet(c.ipv6(c.udp(bytes(32)), extensions=[c.FIRST_FRAGMENT])),
    ]
    wrapped = [
        c.ethernet(packet, vlans)
        for packet, vlans in zip(packets(), [(), (0x8100,), (0x88A8, 0x8100)] * 2, strict=True)
    ]
    path = file_of(tmp_path, FORMATS[form](timed([*wrapped, arp, tcp, *parts, *wrapped]), c.ETHERNET))
    reader = read_capture(path)
    seen = datagrams(reader)
    assert seen == told_by_tshark(path)
    assert len(seen) == 12
    assert reader.skipped == {"not_ip": 1, "not_udp": 1, "fragment": 2}


@tshark
@pytest.mark.parametrize("order", "<>")
def test_tshark_sees_the_same_on_every_link_type_and_clock(tmp_path, order):
    clocks = [(None, 1000), (9, 1), (3, 1_000_000), (7, 100)]
    content = c.section(order)
    blocks = b""
    for index, (link_type, wrap) in enumerate(ON_LINK.values()):
        resolution, unit_ns = clocks[index % len(clocks)]
        content += c.interface(link_type, order, resolution=resolution)
        blocks += b"".join(c.enhanced(START_NS // unit_ns, wrap(packet), order, index) for packet in packets())
    path = file_of(
        tmp_path, content + blocks + c.section(order) + c.interface(order=order) + c.enhanced(7, one(0), order)
    )
    seen = datagrams(read_capture(path))
    assert seen == told_by_tshark(path)
    assert len(seen) == 6 * len(ON_LINK) + 1


@pytest.mark.skipif("RTPVERIFY_CAPTURES" not in os.environ, reason="RTPVERIFY_CAPTURES names no folder of captures")
@pytest.mark.parametrize(
    ("name", "count", "flows"),
    [
        ("l16-48000-2ch-1ms.pcap", 10062, [Flow("192.168.61.114:5004", "239.31.114.5:5004")]),
        ("g711a.pcap", 236, [Flow("10.1.3.143:5000", "10.1.6.18:2006")]),
        (
            "st2022-7-l24-dropped-in-both.pcap",
            374,
            [Flow("192.168.120.2:6000", "239.1.2.1:6000"), Flow("192.168.130.2:6000", "239.1.2.2:6000")],
        ),
    ],
)
def test_real_captures(name, count, flows):
    path = Path(os.environ["RTPVERIFY_CAPTURES"]) / name
    reader = read_capture(path)
    seen = datagrams(reader)
    assert len(seen) == count
    assert reader.flows == flows
    assert not reader.skipped
    if shutil.which("tshark") is not None:
        assert seen == told_by_tshark(path)
