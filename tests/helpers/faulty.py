"""Packets of a tone, or of what else is played, with faults, as the sender would send them: no wire, no waiting."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import encode, parse_rtpmap
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.signal import SentSignal
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import ToneSignal
from rtpverify.sender.transport_faults import FirstHeader, TransportPlan

START_NS = 1_790_000_000_000_000_000
FLOW = Flow("192.0.2.7:5004", "239.1.2.3:5004")


def packets(
    faults: Sequence[str],
    seconds: float,
    *,
    encoding: str = "L24/48000/2",
    packet_frames: int = 48,
    frequencies_hz: tuple[float, ...] = (1283.0,),
    played: SentSignal | None = None,
    batch_packets: int = 40,
    start_ns: int = START_NS,
    flow: Flow = FLOW,
    ssrc: int = 0x5EED0001,
) -> Iterator[PacketBatch]:
    """Yield what arrives, in batches."""
    form = parse_rtpmap(encoding)
    rate_hz, count = form.sample_rate_hz, round(seconds * form.sample_rate_hz / packet_frames)
    parsed = [parse_fault(fault) for fault in faults]
    sent_well = played or ToneSignal(frequencies_hz, rate_hz, form.channels, level_dbfs=-20.0)
    signal = DamagedSignal(sent_well, [fault for fault in parsed if not fault.transport], bits=form.bits)
    audio = encode(form, signal.read(0, count * packet_frames))
    size = packet_frames * form.bytes_per_frame
    plan = TransportPlan(
        [fault for fault in parsed if fault.transport],
        FirstHeader(ssrc, 97, 65_000, 2**32 - 9_000),
        packet_frames=packet_frames,
        sample_rate_hz=rate_hz,
    )
    sent = plan.transmissions(0, count)
    order = np.argsort(sent.position, kind="stable")
    for start in range(0, len(order), batch_packets):
        rows = order[start : start + batch_packets].tolist()
        datagrams = [
            struct.pack(">BBHII", 0x80, sent.payload_type[row], sent.sequence[row], sent.timestamp[row], sent.ssrc[row])
            + audio[sent.number[row] * size : (sent.number[row] + 1) * size]
            for row in rows
        ]
        length = np.array([len(datagram) for datagram in datagrams], np.int64)
        yield PacketBatch(
            arena=np.frombuffer(b"".join(datagrams), np.uint8),
            offset=np.cumsum(length) - length,
            length=length,
            arrival_ns=start_ns + np.rint(sent.position[rows] * packet_frames * 1e9 / rate_hz).astype(np.int64),
            flow=np.zeros(len(rows), np.int64),
            flows=[flow],
        )
