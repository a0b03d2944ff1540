"""Several streams at once, with a fault or two in most of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtpverify.evidence.pcap_writer import pcap
from rtpverify.rtp.batch import Flow, PacketBatch
from tests.helpers.faulty import START_NS, packets

FAULTS = [
    ["loss:at=2.2,packets=3", "click:at=2.6,frames=2,channel=1,size=0.02"],
    ["slip:at=2.4,frames=48", "duplicate:at=2.5"],
    [],
    ["restart:at=2.3", "dropout:at=2.7,frames=480"],
    ["ssrc_change:at=2.3", "gain:at=2.5,db=-3,duration=0.2"],
    ["payload_type_change:at=2.4,to=96", "noise:at=2.6,dbfs=-40,duration=0.2"],
    ["timestamp_jump:at=2.4,frames=96"],
]


def arrivals(encoding: str) -> list[PacketBatch]:
    """Return what arrives of several streams, in order, each batch of one of them."""
    flows = [Flow(f"192.0.2.{number + 1}:5004", f"239.1.2.{number + 1}:5004") for number in range(len(FAULTS))]
    sources: list[Iterator[PacketBatch]] = []
    for number, faults in enumerate(FAULTS):
        start_ns = START_NS + 3_100_000 * number
        sources.append(packets(faults, 3.2, encoding=encoding, ssrc=0x5EED0000 + number, start_ns=start_ns))

    def numbered(source: Iterator[PacketBatch], number: int) -> Iterator[tuple[int, int, PacketBatch]]:
        for batch in source:
            yield int(batch.arrival_ns[0]), number, replace(batch, flow=np.full(len(batch.flow), number), flows=flows)

    return [batch for _, _, batch in heapq.merge(*map(numbered, sources, range(len(sources))))]


def write_many(path: Path, encoding: str = "L24/48000/2") -> None:
    """Write what arrives as a capture."""
    files = [pcap(batch) for batch in arrivals(encoding)]
    header = 24
    path.write_bytes(files[0][:header] + b"".join(file[header:] for file in files))
