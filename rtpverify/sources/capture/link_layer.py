"""From captured records to UDP datagrams: link, IP and UDP headers of many records at a time.

Each step reads one header of all records that are left, drops those that go no further, counted under the first reason
that holds, and moves on to the next header. Reasons:

``link_type``   the link type is none of :data:`LINK_TYPES`
``not_ip``      another network protocol
``not_udp``     another transport protocol
``fragment``    part of a fragmented IP packet (they are not put together)
``truncated``   the capture holds less of what was sent than its headers (snap length)
``malformed``   headers that contradict each other
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import HEADER_BYTES, header_field
from rtpverify.sources.capture.records import RecordBatch, distinct, read_headers

Kept = NDArray[np.bool_] | slice
_ALL = slice(None)

_ETHERTYPE_VERSION = {0x0800: 4, 0x86DD: 6}
_VLAN_ETHERTYPES = (0x8100, 0x88A8, 0x9100)
_MOST_VLAN_TAGS = 8
_FAMILY_VERSION = {2: 4, 10: 6, 24: 6, 28: 6, 30: 6}
"""IP version by address family: AF_INET is 2 everywhere, AF_INET6 differs between Linux, the BSDs and macOS."""
_UDP = 17
_IPV6_FRAGMENT = 44
_IPV6_OPTION_HEADERS = (0, 43, 60)
"""Hop-by-hop options, routing, destination options (RFC 8200 section 4)."""
_MOST_EXTENSION_HEADERS = 8


@dataclass(slots=True)
class Datagrams:
    """UDP datagrams of one IP version; integers are int64, shape (n,).

    Attributes
    ----------
    row
        Index of the record in its batch.
    offset, length
        Where the UDP payload starts in the file, and how many bytes of it are there.
    cut_bytes
        How many more were sent.
    ends
        Sender address, destination address, sender port, destination port as on the wire, shape (n, 12) or (n, 36),
        uint8.
    """

    row: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    cut_bytes: NDArray[np.int64]
    ends: NDArray[np.uint8]

    def drop(self, rows: NDArray[np.int64]) -> None:
        """Drop some of them, by index.

        Parameters
        ----------
        rows
            Indices of datagrams, shape (m,).
        """
        for column in ("row", "offset", "length", "cut_bytes", "ends"):
            setattr(self, column, np.delete(getattr(self, column), rows, axis=0))


@dataclass(slots=True)
class _Records:
    """Frames that may still hold a datagram: their row, where the next header starts, where the captured bytes end."""

    arena: NDArray[np.uint8]
    row: NDArray[np.int64]
    position: NDArray[np.int64]
    end: NDArray[np.int64]
    skipped: Counter[str]

    def __len__(self) -> int:
        return len(self.row)

    def select(self, rows: Kept) -> _Records:
        """Return some of the records."""
        return _Records(self.arena, self.row[rows], self.position[rows], self.end[rows], self.skipped)

    def keep(self, *tests: tuple[str, NDArray[np.bool_]]) -> Kept:
        """Drop the records that fail a test, counted by the first that they fail; return which are left."""
        if all(passed.all() for _, passed in tests):
            return _ALL
        left = np.ones(len(self), np.bool_)
        for reason, passed in tests:
            if failed := int(np.count_nonzero(left & ~passed)):
                self.skipped[reason] += failed
            left &= passed
        self.row, self.position, self.end = self.row[left], self.position[left], self.end[left]
        return left

    def whole(self, size: int) -> NDArray[np.bool_]:
        """Return which records have ``size`` more captured bytes."""
        return self.end - self.position >= size

    def header(self, size: int) -> NDArray[np.uint8]:
        """Return the next ``size`` bytes of each record, shape (n, size)."""
        return read_headers(self.arena, self.position, size)

    def need(self, size: int) -> NDArray[np.uint8]:
        """Drop the records that are cut off within the next ``size`` bytes and return these bytes of the others."""
        self.keep(("truncated", self.whole(size)))
        return self.header(size)


def find_datagrams(arena: NDArray[np.uint8], records: RecordBatch, skipped: Counter[str]) -> list[Datagrams]:
    """Return the UDP datagrams of a batch, apart by link type and IP version; count other records in ``skipped``.

    Parameters
    ----------
    arena
        Bytes of the records, shape (n,).
    records
        The records.
    skipped
        Counts records without a datagram, by reason.

    Returns
    -------
    list of Datagrams
        One for each link type and IP version that occurs.
    """
    candidates = _Records(
        arena, np.arange(len(records.offset)), records.offset, records.offset + records.length, skipped
    )
    found = []
    for link_type in distinct(records.link_type):
        linked = candidates.select(_where(records.link_type == link_type))
        read_link = LINK_TYPES.get(link_type)
        if read_link is None:
            skipped["link_type"] += len(linked)
            continue
        version = read_link(linked)
        version = version[linked.keep(("not_ip", version != 0))]
        for number, read_ip in ((4, _ipv4), (6, _ipv6)):
            if (datagrams := read_ip(linked.select(_where(version == number)))) is not None:
                found.append(datagrams)
    return found


def _where(chosen: NDArray[np.bool_]) -> Kept:
    return _ALL if chosen.all() else chosen


def _ethernet(records: _Records) -> NDArray[np.int64]:
    """Read Ethernet headers and VLAN tags; return the IP version of each record that is left, 0 for no IP."""
    return _ethertype_version(records, records.need(14), ethertype_at=12)


def _linux_cooked(records: _Records) -> NDArray[np.int64]:
    return _ethertype_version(records, records.need(16), ethertype_at=14)


def _linux_cooked_2(records: _Records) -> NDArray[np.int64]:
    return _ethertype_version(records, records.need(20), ethertype_at=0)


def _ethertype_version(records: _Records, header: NDArray[np.uint8], ethertype_at: int) -> NDArray[np.int64]:
    """Step over a link header and the VLAN tags (IEEE 802.1Q, stacked too) after it."""
    ethertype = header_field(header, ethertype_at, ">u2")
    records.position = records.position + header.shape[1]
    for _ in range(_MOST_VLAN_TAGS):
        tagged = _is_one_of(ethertype, _VLAN_ETHERTYPES)
        if not tagged.any():
            break
        kept = records.keep(("truncated", ~tagged | records.whole(4)))
        ethertype, tagged = ethertype[kept], tagged[kept]
        tag = read_headers(records.arena, records.position[tagged], 4)
        ethertype[tagged] = header_field(tag, 2, ">u2")
        records.position[tagged] += 4
    return _translate(ethertype, _ETHERTYPE_VERSION)


def _raw_ip(records: _Records) -> NDArray[np.int64]:
    version = records.need(1)[:, 0] >> 4
    return _translate(version, {4: 4, 6: 6})


def _bsd_loopback(records: _Records) -> NDArray[np.int64]:
    """Read the address family, which is in the byte order of whatever host captured it."""
    header = records.need(4)
    records.position = records.position + 4
    little, big = (header_field(header, 0, dtype) for dtype in ("<u4", ">u4"))
    return _translate(np.minimum(little, big), _FAMILY_VERSION)


def _is_one_of(values: NDArray[np.int64], wanted: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which values are wanted; for a few, faster than numpy.isin."""
    result = np.zeros(len(values), np.bool_)
    for value in wanted:
        result |= values == value
    return result


def _translate(values: NDArray[np.integer], table: dict[int, int]) -> NDArray[np.int64]:
    """Look each value up; 0 where the table has none."""
    result = np.zeros(len(values), np.int64)
    for value, meaning in table.items():
        result[values == value] = meaning
    return result


def _ipv4(records: _Records) -> Datagrams | None:
    """Read IPv4 headers (RFC 791 section 3.1) and what follows."""
    header = records.need(20)
    header_bytes = (header[:, 0] & 0x0F).astype(np.int64) * 4
    total_bytes = header_field(header, 2, ">u2")
    kept = records.keep(
        ("malformed", (header[:, 0] >> 4 == 4) & (header_bytes >= 20)),
        ("not_udp", header[:, 9] == _UDP),
        ("fragment", header_field(header, 6, ">u2") & 0x3FFF == 0),
    )
    ip_end = records.position + total_bytes[kept]
    records.position = records.position + header_bytes[kept]
    return _udp(records, ip_end, header[kept, 12:20])


def _ipv6(records: _Records) -> Datagrams | None:
    """Read IPv6 headers (RFC 8200 section 3), extension headers, and what follows."""
    header = records.need(40)
    header = header[records.keep(("malformed", header[:, 0] >> 4 == 6))]
    ip_end = records.position + 40 + header_field(header, 4, ">u2")
    addresses = header[:, 8:40]
    following = header[:, 6].astype(np.int64)
    records.position = records.position + 40
    for _ in range(_MOST_EXTENSION_HEADERS):
        extended = _is_one_of(following, (*_IPV6_OPTION_HEADERS, _IPV6_FRAGMENT))
        if not extended.any():
            break
        kept = records.keep(("truncated", ~extended | records.whole(8)))
        ip_end, addresses, following, extended = ip_end[kept], addresses[kept], following[kept], extended[kept]
        extension = read_headers(records.arena, records.position[extended], 8)
        is_fragment = following[extended] == _IPV6_FRAGMENT
        records.position[extended] += np.where(is_fragment, 8, 8 * (extension[:, 1].astype(np.int64) + 1))
        # Offset and more-flag are 0 in the "atomic fragment" of RFC 6946, a whole packet.
        is_part = is_fragment & (header_field(extension, 2, ">u2") & 0xFFF9 != 0)
        following[extended] = extension[:, 0]
        part = np.zeros(len(records), np.bool_)
        part[extended] = is_part
        kept = records.keep(("fragment", ~part))
        ip_end, addresses, following = ip_end[kept], addresses[kept], following[kept]
    kept = records.keep(("not_udp", following == _UDP))
    return _udp(records, ip_end[kept], addresses[kept])


def _udp(records: _Records, ip_end: NDArray[np.int64], addresses: NDArray[np.uint8]) -> Datagrams | None:
    """Read UDP headers (RFC 768); ``ip_end`` is where each IP packet ends by its own account."""
    kept = records.keep(("malformed", ip_end - records.position >= 8), ("truncated", records.whole(8)))
    ip_end, addresses = ip_end[kept], addresses[kept]
    header = records.header(8)
    udp_bytes = header_field(header, 4, ">u2")
    udp_end = records.position + udp_bytes
    kept = records.keep(
        ("malformed", (udp_bytes >= 8) & (udp_end <= ip_end)),
        ("truncated", (udp_end <= records.end) | records.whole(8 + HEADER_BYTES)),
    )
    if not len(records):
        return None
    ends = np.concatenate([addresses[kept], header[kept, :4]], axis=1)
    cut_bytes = np.maximum(udp_end[kept] - records.end, 0)
    return Datagrams(records.row, records.position + 8, udp_bytes[kept] - 8 - cut_bytes, cut_bytes, ends)


LINK_TYPES: dict[int, Callable[[_Records], NDArray[np.int64]]] = {
    0: _bsd_loopback,
    1: _ethernet,
    12: _raw_ip,
    14: _raw_ip,
    101: _raw_ip,
    108: _bsd_loopback,
    113: _linux_cooked,
    228: _raw_ip,
    229: _raw_ip,
    276: _linux_cooked_2,
}
"""How the first header is read, by ``LINKTYPE_`` value."""
