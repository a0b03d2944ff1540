"""Captures that come through a pipe or a compressor give what the file itself gives, however they are cut."""

import gzip
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtpverify.errors import SourceError
from rtpverify.sources.capture import stored_bytes
from rtpverify.sources.capture.reader import is_capture, read_capture, stream_capture
from tests.helpers import captures as c

START_NS = 1_600_000_000_123_456_789
RECORDS = [
    (START_NS + 125_001 * index, c.ethernet(c.ipv4(c.udp(bytes([0x80, 97, index % 251]).ljust(12 + 40 * (index % 3))))))
    for index in range(40)
]
SECOND_SECTION = (
    c.section(">")
    + c.interface(order=">", resolution=9)
    + b"".join(c.enhanced(time_ns, frame, ">") for time_ns, frame in RECORDS)
)
CAPTURES = {
    "pcap": c.pcap(RECORDS),
    "pcap-big": c.pcap(RECORDS, order=">"),
    "pcapng": c.pcapng(RECORDS),
    "two sections": c.pcapng(RECORDS) + SECOND_SECTION,
    "damaged": c.pcapng(RECORDS) + c.block("<", 6, bytes(3))[:-4] + bytes(40),
}
IN_FILE = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def seen(reader):
    found = [
        (arrival_ns, batch.flows[flow], batch.arena[offset : offset + length].tobytes())
        for batch in reader
        for arrival_ns, flow, offset, length in zip(
            batch.arrival_ns.tolist(), batch.flow.tolist(), batch.offset.tolist(), batch.length.tolist(), strict=True
        )
    ]
    return found, dict(reader.skipped), reader.records, reader.last_ns


def pieces(content, sizes):
    """Return a function that gives the content in pieces of these sizes, over and over."""
    cuts = iter([])

    def read():
        nonlocal content, cuts
        size = next(cuts, None)
        if size is None:
            cuts = iter(sizes)
            size = next(cuts)
        piece, content = content[:size], content[size:]
        return piece

    return read


@pytest.mark.parametrize("form", CAPTURES)
@given(sizes=st.lists(st.integers(1, 900), min_size=2, max_size=8), end=st.integers(0, 5000))
@IN_FILE
def test_any_cut_of_a_pipe_gives_the_same(tmp_path, form, sizes, end):
    content = CAPTURES[form][: max(28, len(CAPTURES[form]) - end)]
    (tmp_path / "file").write_bytes(content)
    assert seen(stream_capture(pieces(content, sizes), "-")) == seen(read_capture(tmp_path / "file"))


@pytest.mark.parametrize("program", ["gzip", "zstd"])
@pytest.mark.parametrize("form", CAPTURES)
def test_what_the_compressors_of_this_host_write(tmp_path, form, program):
    (tmp_path / "file").write_bytes(CAPTURES[form])
    packed = subprocess.run([program, "-c", tmp_path / "file"], check=True, capture_output=True).stdout
    (tmp_path / "packed").write_bytes(packed)
    assert is_capture(tmp_path / "packed")
    expected = seen(read_capture(tmp_path / "file"))
    assert seen(read_capture(tmp_path / "packed")) == expected
    assert seen(stream_capture(pieces(packed, [1, 50, 3]), "-")) == expected


def test_members_and_frames_that_follow_one_another_are_one_capture(tmp_path):
    content, half = CAPTURES["pcap"], 700
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    assert seen(read_capture(tmp_path / "packed")) == seen(read_capture(tmp_path / "file"))


@pytest.mark.parametrize("program", ["gzip", "zstd"])
def test_a_damaged_archive_is_refused_and_says_how_far_it_is_whole(tmp_path, program, monkeypatch):
    monkeypatch.setattr(stored_bytes, "CHUNK_BYTES", 512)
    (tmp_path / "file").write_bytes(CAPTURES["pcap"])
    packed = subprocess.run([program, "-c", tmp_path / "file"], check=True, capture_output=True).stdout
    damaged = bytearray(packed)
    damaged[-3] ^= 0xFF
    for content, what in ((packed[:-6], "ends before its end"), (bytes(damaged), "is damaged")):
        path = tmp_path / "packed"
        path.write_bytes(content)
        with pytest.raises(SourceError, match=f"^{path}: its {program} data {what}.* after [0-9,]+ bytes") as caught:
            seen(read_capture(path))
        assert "\n" not in str(caught.value)


def test_compressed_files_that_hold_something_else(tmp_path):
    path = tmp_path / "capture.pcap.gz"
    path.write_bytes(gzip.compress(b"RIFF" + bytes(40)))
    assert not is_capture(path)
    for content, reason in (
        (b"RIFF" + bytes(40), "not a pcap or pcapng capture: starts with 52 49 46 46"),
        (b"", "empty file"),
    ):
        path.write_bytes(gzip.compress(content))
        with pytest.raises(SourceError, match=reason):
            seen(read_capture(path))
        with pytest.raises(SourceError, match=f"-: {reason}"):
            seen(stream_capture(pieces(content, [9]), "-"))


def test_a_pipe_needs_no_memory_for_what_was_read():
    frame = c.ethernet(c.ipv4(c.udp(bytes(1200))))
    records = c.pcap((START_NS + index, frame) for index in range(200))
    content = records + records[24:] * 4
    reader = stream_capture(pieces(content, [40_000]), "-")
    assert max(len(batch.arena) for batch in reader) < 80_000
    assert reader.records == 1000
