"""Header parsing, held against a parser that reads one datagram at a time."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtpverify.rtp.batch import Flow, PacketBatch, gather, parse


@dataclass
class Packet:
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_one(datagram: bytes) -> Packet | str:
    """Read one datagram as RFC 3550 section 5.1 has it; a string is the reason why it is no RTP."""
    if len(datagram) < 12:
        return "short"
    if datagram[0] >> 6 != 2:
        return "version"
    if 192 <= datagram[1] <= 223:
        return "rtcp"
    rest = datagram[12:]
    sources = datagram[0] & 15
    if len(rest) < 4 * sources:
        return "csrc"
    rest = rest[4 * sources :]
    if datagram[0] & 0x10:
        if len(rest) < 4 or len(rest) < 4 + 4 * int.from_bytes(rest[2:4], "big"):
            return "extension"
        rest = rest[4 + 4 * int.from_bytes(rest[2:4], "big") :]
    if datagram[0] & 0x20:
        if not rest or not 1 <= rest[-1] <= len(rest):
            return "padding"
        rest = rest[: -rest[-1]]
    return Packet(
        payload_type=datagram[1] & 127,
        marker=datagram[1] >= 128,
        sequence=int.from_bytes(datagram[2:4], "big"),
        timestamp=int.from_bytes(datagram[4:8], "big"),
        ssrc=int.from_bytes(datagram[8:12], "big"),
        payload=rest,
    )


def batch_of(datagrams: list[bytes], stride: int | None = None) -> PacketBatch:
    """Lay datagrams out equally spaced, or one after the other with nothing between."""
    offset = np.cumsum([0] + [stride or len(datagram) for datagram in datagrams])
    arena = np.full(offset[-1], 0x90, np.uint8)
    for start, datagram in zip(offset, datagrams, strict=False):
        arena[start : start + len(datagram)] = np.frombuffer(datagram, np.uint8)
    n = len(datagrams)
    return PacketBatch(
        arena=arena,
        offset=offset[:-1].astype(np.int64),
        length=np.array([len(datagram) for datagram in datagrams], np.int64),
        arrival_ns=np.arange(n) * 1000 + 7,
        flow=np.arange(n) % 2,
        flows=[Flow("192.0.2.1:5004", "192.0.2.2:5004"), Flow("192.0.2.1:5006", "192.0.2.2:5004")],
    )


def check(datagrams: list[bytes], stride: int | None = None) -> None:
    batch = batch_of(datagrams, stride)
    rtp = parse(batch)
    expected = [parse_one(datagram) for datagram in datagrams]
    packets = [packet for packet in expected if isinstance(packet, Packet)]
    found = [
        Packet(
            int(rtp.payload_type[i]),
            bool(rtp.marker[i]),
            int(rtp.sequence[i]),
            int(rtp.timestamp[i]),
            int(rtp.ssrc[i]),
            batch.arena[rtp.payload_offset[i] :][: rtp.payload_length[i]].tobytes(),
        )
        for i in range(len(rtp))
    ]
    assert found == packets
    assert rtp.row.tolist() == [i for i, packet in enumerate(expected) if isinstance(packet, Packet)]
    assert rtp.discarded == Counter(reason for reason in expected if isinstance(reason, str))
    assert rtp.arrival_ns.tolist() == [1000 * row + 7 for row in rtp.row]
    assert rtp.flow.tolist() == [row % 2 for row in rtp.row]


HEADERS = st.builds(
    lambda first, second, rest, extension, body, pad: (
        bytes([first, second]) + rest + extension.to_bytes(2, "big") + body + bytes([pad])
    ),
    first=st.integers(0x80, 0xBF),
    second=st.integers(0, 255),
    rest=st.binary(min_size=12, max_size=12),
    extension=st.integers(0, 3),
    body=st.binary(max_size=80),
    pad=st.integers(0, 90),
)
FULL = bytes.fromhex("b2e1 fffe fffffffd 89abcdef 00000001 00000002 bede0001 10aa0000 0102030405060708 0000000004")


@given(datagrams=st.lists(HEADERS | st.binary(max_size=60), max_size=12), equal=st.booleans())
@example(datagrams=[], equal=False)
@example(datagrams=[FULL], equal=False)
def test_any_datagrams_read_as_one_by_one(datagrams: list[bytes], equal: bool) -> None:
    check(datagrams, 200 if equal else None)


def test_every_prefix_is_read_or_counted() -> None:
    check([FULL[:length] for length in range(len(FULL) + 1)])
    empty_extension = FULL[:20] + bytes.fromhex("bede0000 0102")
    check([bytes([first]) + empty_extension[1:length] for first in (0x92, 0xB2) for length in range(12, 27)])


def test_every_first_and_second_byte() -> None:
    check([bytes([first]) + FULL[1:] for first in range(256)])
    check([FULL[:1] + bytes([second]) + FULL[2:] for second in range(256)])


def test_a_full_header_yields_its_fields() -> None:
    packet = parse_one(FULL)
    assert packet == Packet(97, True, 65534, 4294967293, 0x89ABCDEF, bytes(range(1, 9)) + b"\0")
    check([FULL, FULL])


@pytest.mark.parametrize("offset", [[], [3], [0, 5, 10], [10, 5, 0], [7, 7], [0, 1, 3, 90]])
@pytest.mark.parametrize("length", [0, 1, 10])
def test_gather_returns_the_bytes_at_each_offset(offset: list[int], length: int) -> None:
    arena = np.arange(100, dtype=np.uint8)
    found = gather(arena, np.array(offset, np.int64), length)
    assert found.shape == (len(offset), length)
    assert found.tolist() == [list(range(start, start + length)) for start in offset]


def test_sockets_behind_one_another_are_put_in_order_of_arrival() -> None:
    near = np.array([3, 9, 8], np.int64)  # only the last is out of order
    assert PacketBatch(np.arange(3, dtype=np.uint8), near, near, near, near, []).by_arrival().offset.tolist() == [
        3,
        8,
        9,
    ]
    arrival = np.array([5, 7, 9, 4, 7], np.int64)
    index = np.arange(5, dtype=np.int64)
    batch = PacketBatch(np.arange(5, dtype=np.uint8), index, index, arrival, index, [])
    ordered = batch.by_arrival()
    assert ordered.arrival_ns.tolist() == [4, 5, 7, 7, 9]
    for field in (ordered.offset, ordered.length, ordered.flow):
        assert field.tolist() == [3, 0, 1, 4, 2]  # those of one moment stay as they stood
    assert ordered.by_arrival() is ordered


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("there", [12, 13, 20, 31, 32])
def test_of_a_packet_that_was_cut_off_the_payload_is_what_was_sent(there: int, padding: int) -> None:
    """The byte that says how long padding is, is the first that a capture omits: only a whole packet has any."""
    datagram = bytes([0xA0 if padding else 0x80]) + FULL[1:12] + bytes(19) + bytes([padding or 1])
    batch = batch_of([datagram[:there], datagram])
    batch.cut_bytes = np.array([len(datagram) - there, 0])
    rtp = parse(batch)
    assert rtp.payload_length.tolist() == [20 - (padding if there == 32 else 0), 20 - padding]
    assert rtp.payload_offset.tolist() == [12, there + 12]
    assert rtp.cut_bytes is not None
    assert rtp.cut_bytes.tolist() == [32 - there, 0]
    assert rtp.is_whole.tolist() == [there == 32, True]


@pytest.mark.parametrize(("there", "counted"), [(12, 1), (15, 1), (16, 0), (20, 0)])
def test_of_an_extension_that_was_cut_off_its_length_must_be_there(there: int, counted: int) -> None:
    datagram = bytes([0x90]) + FULL[1:12] + bytes.fromhex("bede0001 10aa0000") + bytes(8)
    batch = batch_of([datagram[:there]])
    batch.cut_bytes = np.array([len(datagram) - there])
    rtp = parse(batch)
    assert rtp.discarded == Counter({"extension": 1} if counted else {})
    assert rtp.payload_length.tolist() == ([] if counted else [8])


def test_reports_that_were_cut_off_say_nothing() -> None:
    report = b"\x80\xc8" + bytes(26)
    batch = batch_of([report, report])
    assert parse(batch).rtcp.tolist() == [0, 1]
    batch.cut_bytes = np.array([4, 0])
    assert parse(batch).rtcp.tolist() == [1]
