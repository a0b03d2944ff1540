"""Writes small captures for tests, field by field from the specifications and without rtpverify's own code."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

ETHERNET, LINUX_COOKED, LINUX_COOKED_2, RAW_IP = 1, 113, 276, 101
BSD_NULL, BSD_LOOP, RAW_12, RAW_14, RAW_IPV4, RAW_IPV6 = 0, 108, 12, 14, 228, 229


def udp(payload: bytes, source_port: int = 5004, destination_port: int = 5004, length: int | None = None) -> bytes:
    """Write a UDP header (RFC 768) without checksum; ``length`` overrides the true one."""
    return (
        struct.pack(">HHHH", source_port, destination_port, 8 + len(payload) if length is None else length, 0) + payload
    )


def ipv4(
    payload: bytes,
    source: str = "192.0.2.7",
    destination: str = "239.1.2.3",
    *,
    options: bytes = b"",
    protocol: int = 17,
    fragment: int = 0,
) -> bytes:
    """Write an IPv4 header (RFC 791); ``fragment`` is the 16-bit field of flags and offset."""
    size = 20 + len(options) + len(payload)
    header = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, size, 1, fragment, 16, protocol, 0)
    header += ip_address(source).packed + ip_address(destination).packed + options
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack(">H", checksum) + header[12:] + payload


def ipv6(
    payload: bytes,
    source: str = "2001:db8::7",
    destination: str = "ff3e::8000:1",
    *,
    extensions: Sequence[tuple[int, bytes]] = (),
    protocol: int = 17,
) -> bytes:
    """Write an IPv6 header (RFC 8200) and extension headers, each given as type and bytes after its first."""
    kinds = [kind for kind, _ in extensions] + [protocol]
    chain = b"".join(bytes([following]) + body for following, (_, body) in zip(kinds[1:], extensions, strict=True))
    header = struct.pack(">IHBB", 6 << 28, len(chain) + len(payload), kinds[0], 16)
    return header + ip_address(source).packed + ip_address(destination).packed + chain + payload


HOP_BY_HOP = (0, bytes([0, 1, 4, 0, 0, 0, 0]))
DESTINATION_OPTIONS = (60, bytes([1, 1, 12]) + bytes(12))
ROUTING = (43, bytes(7))
ATOMIC_FRAGMENT = (44, bytes([0, 0, 0, 0, 0, 0, 9]))
FIRST_FRAGMENT = (44, bytes([0, 0, 1, 0, 0, 0, 9]))
LATER_FRAGMENT = (44, bytes([0, 0, 8, 0, 0, 0, 9]))


def ethertype(packet: bytes) -> int:
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def ethernet(packet: bytes, vlans: Sequence[int] = (), kind: int | None = None, least: int = 60) -> bytes:
    """Write an Ethernet header, a VLAN tag of each TPID in ``vlans``, and padding to the smallest frame."""
    tags = b"".join(struct.pack(">HH", tpid, 5) for tpid in vlans)
    frame = bytes.fromhex("01005e010203 020000000007") + tags
    frame += struct.pack(">H", ethertype(packet) if kind is None else kind) + packet
    return frame.ljust(least, b"\x55")


def linux_cooked(packet: bytes) -> bytes:
    return struct.pack(">HHH8sH", 0, 1, 6, bytes(8), ethertype(packet)) + packet


def linux_cooked_2(packet: bytes) -> bytes:
    return struct.pack(">HHIHBB8s", ethertype(packet), 0, 3, 1, 0, 6, bytes(8)) + packet


def loopback(packet: bytes, order: str, family_6: int = 30) -> bytes:
    return struct.pack(f"{order}I", family_6 if packet[0] >> 4 == 6 else 2) + packet


Record = tuple[int, bytes]
"""Time in ns and what was captured."""


def pcap(
    records: Iterable[Record],
    link_type: int = ETHERNET,
    *,
    order: str = "<",
    nanoseconds: bool = True,
    snap: int = 65535,
) -> bytes:
    """Write a pcap file; what is longer than ``snap`` is cut."""
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap, link_type)]
    for time_ns, data in records:
        seconds, rest = divmod(time_ns, 1_000_000_000)
        kept = data[:snap]
        parts += [struct.pack(f"{order}IIII", seconds, rest // unit, len(kept), len(data)), kept]
    return b"".join(parts)


def block(order: str, kind: int, body: bytes) -> bytes:
    """Write a pcapng block, padded."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(
    link_type: int = ETHERNET,
    order: str = "<",
    *,
    resolution: int | None = None,
    offset_seconds: int | None = None,
    snap: int = 0,
) -> bytes:
    options = option(order, 2, b"eth0")
    if resolution is not None:
        options += option(order, 9, bytes([resolution]))
    if offset_seconds is not None:
        options += option(order, 14, struct.pack(f"{order}q", offset_seconds))
    return block(order, 1, struct.pack(f"{order}HHI", link_type, 0, snap) + options + option(order, 0, b""))


def enhanced(timestamp: int, data: bytes, order: str = "<", index: int = 0, options: bytes = b"") -> bytes:
    fields = (index, timestamp >> 32, timestamp & 0xFFFFFFFF, len(data), len(data))
    padded = data + bytes(-len(data) % 4)
    return block(order, 6, struct.pack(f"{order}IIIII", *fields) + padded + options)


def obsolete(timestamp: int, data: bytes, order: str = "<", index: int = 0) -> bytes:
    fields = (index, 0xFFFF, timestamp >> 32, timestamp & 0xFFFFFFFF, len(data), len(data))
    return block(order, 2, struct.pack(f"{order}HHIIII", *fields) + data)


def simple(data: bytes, order: str = "<", snap: int = 0) -> bytes:
    kept = data[:snap] if snap else data
    return block(order, 3, struct.pack(f"{order}I", len(data)) + kept)


def pcapng(records: Iterable[Record], link_type: int = ETHERNET, *, order: str = "<") -> bytes:
    """Write a pcapng file of one section and one interface, in ns."""
    head = section(order) + interface(link_type, order, resolution=9)
    return head + b"".join(enhanced(time_ns, data, order) for time_ns, data in records)
