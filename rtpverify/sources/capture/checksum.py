"""UDP checksums (RFC 768, RFC 8200 section 8.1) of many datagrams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import gather
from rtpverify.sources.capture.records import distinct

UDP_HEADER_BYTES = 8
_UDP = 17


def are_right(
    arena: NDArray[np.uint8], offset: NDArray[np.int64], length: NDArray[np.int64], addresses: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Return whether each datagram has the checksum that its bytes give, or none, shape (n,).

    Parameters
    ----------
    arena
        Holds the datagrams, each with its UDP header before its payload.
    offset, length
        Of the payloads, shape (n,).
    addresses
        Sender and destination, shape (n, 8) or (n, 32).

    Returns
    -------
    NDArray[np.bool_]
        True where none can be computed.
    """
    right = np.ones(len(offset), np.bool_)
    pseudo = addresses.view(">u2").sum(axis=1, dtype=np.uint64) + np.uint64(_UDP)
    for payload_bytes in distinct(length):
        rows = np.flatnonzero(length == payload_bytes)
        udp_bytes = payload_bytes + UDP_HEADER_BYTES
        datagrams = gather(arena, offset[rows] - UDP_HEADER_BYTES, udp_bytes)
        padded = np.zeros((len(rows), udp_bytes + udp_bytes % 2), np.uint8)
        padded[:, :udp_bytes] = datagrams
        words = padded.view(">u2")
        total = words.sum(axis=1, dtype=np.uint64) + pseudo[rows] + np.uint64(udp_bytes)
        for _ in range(3):
            total = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
        right[rows] = (total == 0xFFFF) | (words[:, 3] == 0)
    return right
