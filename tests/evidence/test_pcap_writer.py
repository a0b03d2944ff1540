from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.evidence.pcap_writer import pcap
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.capture.reader import read_capture
from tests.helpers import captures
from tests.helpers.patience import PATIENCE_SECONDS

FLOWS = [
    Flow("192.0.2.7:5004", "239.129.2.3:5006"),
    Flow("127.0.0.1:40000", "127.0.0.1:5004"),
    Flow("[2001:db8::7]:5004", "[ff3e::8000:1]:5004"),
    Flow("[fe80::1%eth0]:5004", "[::1]:5004"),
]


def batch_of(datagrams: list[tuple[int, int, bytes]]) -> PacketBatch:
    length = np.array([len(data) for _, _, data in datagrams], np.int64)
    return PacketBatch(
        np.frombuffer(b"".join(data for _, _, data in datagrams) + b"\0", np.uint8),
        np.cumsum(length) - length,
        length,
        np.array([at for at, _, _ in datagrams], np.int64),
        np.array([flow for _, flow, _ in datagrams], np.int64),
        FLOWS,
    )


def read(path: Path) -> list[tuple[int, Flow, bytes]]:
    return [
        (int(at), batch.flows[int(flow)], batch.arena[offset : offset + length].tobytes())
        for batch in read_capture(path)
        for at, flow, offset, length in zip(batch.arrival_ns, batch.flow, batch.offset, batch.length, strict=True)
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 4_000_000_000 * 10**9), st.integers(0, 2), st.binary(min_size=0, max_size=70)),
        max_size=20,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, datagrams):
    path = tmp_path_factory.mktemp("pcap") / "clip.pcap"
    path.write_bytes(pcap(batch_of(datagrams)))
    assert read(path) == [(at, FLOWS[flow], data) for at, flow, data in datagrams]


def test_headers_are_those_of_the_specifications():
    """Against the writer of the tests, which knows nothing of ours; it leaves UDP checksums out."""
    ours = pcap(batch_of([(1_790_000_000_123_456_789, 0, b"\x80\x61" + bytes(50))]))
    packet = captures.ipv4(
        captures.udp(b"\x80\x61" + bytes(50), 5004, 5006), source="192.0.2.7", destination="239.129.2.3"
    )
    theirs = captures.pcap([(1_790_000_000_123_456_789, captures.ethernet(packet, least=0))])
    assert len(ours) == len(theirs)
    assert ours[:16] == theirs[:16]
    assert ours[24:46] == theirs[24:40] + bytes.fromhex("01005e010203")
    different = {place - 54 for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b and place >= 54}
    # Identification, flags, hops and checksum of IP; checksum of UDP.
    assert different <= {4, 5, 6, 7, 8, 10, 11, 26, 27}


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not here")
def test_tshark_finds_every_checksum_right(tmp_path):
    path = tmp_path / "clip.pcap"
    rng = np.random.default_rng(5)
    datagrams = [
        (1_790_000_000_000_000_000 + number, number % 4, rng.bytes(int(length)))
        for number, length in enumerate(rng.integers(0, 300, 200))
    ]
    path.write_bytes(pcap(batch_of(datagrams)))
    options = ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    fields = ["frame.time_epoch", "udp.checksum.status", "ip.checksum.status", "udp.length"]
    command = ["tshark", "-n", "-r", str(path), *options, "-T", "fields", *(x for f in fields for x in ("-e", f))]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout
    rows = [line.split("\t") for line in output.splitlines()]
    assert len(rows) == 200
    for (at, flow, data), (time, udp, ip, length) in zip(datagrams, rows, strict=True):
        assert time == f"{at // 10**9}.{at % 10**9:09d}"
        assert udp in ("1", "Good")
        assert ip in (("1", "Good") if flow < 2 else ("",))
        assert int(length) == 8 + len(data)
