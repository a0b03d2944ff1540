"""Datagrams as a capture: pcap with times in ns, each datagram in the headers it must have come in.

Addresses, ports, bytes and times are what they were. What this host does not get to know – hardware addresses, time to
live, the identification of IP packets – is made up: hardware addresses of groups as RFC 1112 and RFC 2464 have them,
locally administered ones else, and 64 hops.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import Flow, PacketBatch, gather

_FILE_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)
"""Magic number of nanoseconds, version 2.4, UTC, accuracy, snap length, Ethernet."""
_HOPS = 64
_UDP = 17


def pcap(batch: PacketBatch) -> bytes:
    """Return a capture of datagrams, in their order.

    Parameters
    ----------
    batch
        The datagrams.

    Returns
    -------
    bytes
        A file of the classic format, with times in ns.

    Raises
    ------
    ValueError
        Where a flow has no numeric addresses.
    """
    records: list[bytes] = [b""] * len(batch)
    for rows, flow, length in _alike(batch):
        for row, record in zip(rows.tolist(), _records(batch, rows, flow, length), strict=True):
            records[row] = record
    return _FILE_HEADER + b"".join(records)


def _alike(batch: PacketBatch) -> Iterator[tuple[NDArray[np.int64], Flow, int]]:
    """Yield the rows of each flow and length."""
    kind = batch.flow * (1 << 32) + batch.length
    for value in np.unique(kind).tolist():
        rows = np.flatnonzero(kind == value)
        yield rows, batch.flows[value >> 32], value & 0xFFFFFFFF


def _records(batch: PacketBatch, rows: NDArray[np.int64], flow: Flow, length: int) -> Iterator[bytes]:
    """Yield the record of each datagram; all are of one flow and length."""
    (source, source_port), (destination, destination_port) = map(_address, (flow.sender, flow.destination))
    udp_bytes = 8 + length
    payload = gather(batch.arena, batch.offset[rows], length)
    pseudo = source.packed + destination.packed + struct.pack(">II", udp_bytes, _UDP)
    ports = struct.pack(">HHH", source_port, destination_port, udp_bytes)
    checksum = _complement(_word_sum(payload) + _words(pseudo) + _words(ports))
    checksum[checksum == 0] = 0xFFFF  # 0 means none (RFC 768)
    headers = _ethernet(source, destination) + _ip(source, destination, udp_bytes) + ports
    captured = len(headers) + 2 + length
    for at, check, data in zip(batch.arrival_ns[rows].tolist(), checksum.tolist(), payload, strict=True):
        record = struct.pack("<IIII", *divmod(at, 1_000_000_000), captured, captured)
        yield b"".join((record, headers, struct.pack(">H", check), data.tobytes()))


Address = IPv4Address | IPv6Address


def _address(end: str) -> tuple[Address, int]:
    host, _, port = end.rpartition(":")
    return ip_address(host.strip("[]").partition("%")[0]), int(port)


def _ethernet(source: Address, destination: Address) -> bytes:
    return _hardware(destination) + _hardware(source) + (b"\x08\x00" if source.version == 4 else b"\x86\xdd")


def _hardware(address: Address) -> bytes:
    if not address.is_multicast:
        return b"\x02\x00" + address.packed[-4:]
    if address.version == 6:
        return b"\x33\x33" + address.packed[-4:]
    return b"\x01\x00\x5e" + bytes([address.packed[1] & 0x7F]) + address.packed[2:]


def _ip(source: Address, destination: Address, udp_bytes: int) -> bytes:
    """Return an IPv4 header (RFC 791), not to be fragmented, or an IPv6 header (RFC 8200)."""
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, udp_bytes, _UDP, _HOPS) + source.packed + destination.packed
    fixed = struct.pack(">BBHHHBB", 0x45, 0, 20 + udp_bytes, 0, 0x4000, _HOPS, _UDP)
    ends = source.packed + destination.packed
    check = _complement(np.array([_words(fixed) + _words(ends)]))
    return fixed + struct.pack(">H", int(check[0])) + ends


def _words(data: bytes) -> int:
    """Return the sum of 16-bit words."""
    return sum(struct.unpack(f">{len(data) // 2}H", data))


def _word_sum(payload: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the sum of the 16-bit words of each row, the last one filled up with 0; shape (n,)."""
    high, low = payload[:, 0::2].sum(axis=1, dtype=np.int64), payload[:, 1::2].sum(axis=1, dtype=np.int64)
    total: NDArray[np.int64] = (high << 8) + low
    return total


def _complement(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the Internet checksum of sums of words (RFC 1071)."""
    for _ in range(3):
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
