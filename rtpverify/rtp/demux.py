"""From (flow, SSRC) to streams.

A source becomes a stream once two of its packets belong together (RFC 3550 A.1, MIN_SEQUENTIAL): same payload type,
sequence numbers at most :data:`NEAR` apart, either way round. Until then its packets are held, and when it is admitted
those that belong together are played back ahead of the one that proved it, so a stream loses nothing at its start.
Everything goes by the order of packets alone: how the input is cut into batches changes nothing.

Bounded against floods of unknown sources: by ``max_streams``, by the number of sources on probation and by the bytes
held for them, the oldest giving way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import PacketBatch, RtpBatch, parse

NEAR = 16
"""Sequence numbers this far apart still prove a source."""
MAX_PROBATION = 1024
"""Sources on probation."""
MAX_HELD_PACKETS = 4
"""Packets held for one source on probation."""
MAX_HELD_BYTES = 4 << 20
"""Bytes held for all sources on probation."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends a stream: index of its flow, SSRC, and the payload type it began with."""

    flow: int
    ssrc: int
    payload_type: int


@dataclass(slots=True)
class _Held:
    """One packet on probation; ``row`` is its index in the batch at hand, None once that batch is gone."""

    row: int | None
    flow: int
    payload_type: int
    sequence: int
    arrival_ns: int
    datagram: bytes


class Demux:
    """Assigns packets to streams.

    Parameters
    ----------
    max_streams
        Streams at a time; packets of further sources are refused.

    Attributes
    ----------
    sources
        Source of each stream by stream index; None for an index that was released.
    refused
        Packets of no stream, by reason: ``too_many_streams``, ``probation`` (never proved to be a source).
    """

    def __init__(self, max_streams: int = 256) -> None:
        self.max_streams = max_streams
        self.sources: list[Source | None] = []
        self.refused: Counter[str] = Counter()
        self._free: list[int] = []
        self._probation: dict[int, list[_Held]] = {}
        self._held_bytes = 0
        # Latest SSRC and stream of each flow: nearly always the answer.
        self._flow_ssrc = np.zeros(0, np.int64)
        self._flow_stream = np.zeros(0, np.int64)
        # All known sources, sorted by key.
        self._keys = np.zeros(0, np.int64)
        self._key_stream = np.zeros(0, np.int64)

    def assign(
        self, rtp: RtpBatch, flow: NDArray[np.int64] | None = None
    ) -> list[tuple[RtpBatch, NDArray[np.int64]]]:
        """Find the stream of each packet.

        Parameters
        ----------
        rtp
            Packets in order of arrival.
        flow
            Flow by which each packet's source is known, shape (n,), where that is not the one it came over: the legs
            of one stream have one source.

        Returns
        -------
        list of (RtpBatch, NDArray[np.int64])
            Packets and their stream index, shape (n,), to be taken in this order: where a source that was held back
            is admitted, first its packets of earlier batches, one batch per stream, then those of ``rtp``, without
            what is on probation or refused.
        """
        if len(rtp) == 0:
            return []
        flow = rtp.flow if flow is None else flow
        if len(rtp.source.flows) > len(self._flow_ssrc):
            more = len(rtp.source.flows) - len(self._flow_ssrc)
            self._flow_ssrc = np.append(self._flow_ssrc, np.full(more, -1))
            self._flow_stream = np.append(self._flow_stream, np.full(more, -1))
        stream = self._flow_stream[flow]
        unknown = self._flow_ssrc[flow] != rtp.ssrc
        if not unknown.any():
            return [(rtp, stream)]
        stream[unknown] = self._look_up(_key(flow[unknown], rtp.ssrc[unknown]))
        replayed = [] if stream.min() >= 0 else self._admit(rtp, flow, stream)
        if stream.min() < 0:
            index = np.flatnonzero(stream >= 0)
            rtp, stream = rtp.take(index), stream[index]
        return [*replayed, (rtp, stream)] if len(rtp) else replayed

    def release(self, stream: int) -> None:
        """Forget a stream; a later source may get its index, and its own source would have to prove itself again."""
        source = self.sources[stream]
        if source is None:
            return
        self.sources[stream] = None
        self._free.append(stream)
        kept = self._key_stream != stream
        self._keys, self._key_stream = self._keys[kept], self._key_stream[kept]
        if self._flow_stream[source.flow] == stream:
            self._flow_ssrc[source.flow] = self._flow_stream[source.flow] = -1

    def finish(self) -> list[Source]:
        """End the input; return the sources that never sent two packets that belong together."""
        left = [
            Source(key >> 32, key & 0xFFFFFFFF, packets[0].payload_type) for key, packets in self._probation.items()
        ]
        for key in list(self._probation):
            self._evict(key)
        return left

    def _look_up(self, key: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the stream of each key, -1 where unknown."""
        if len(self._keys) == 0:
            return np.full(len(key), -1)
        position = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys[position] == key, self._key_stream[position], -1)

    @property
    def _full(self) -> bool:
        return len(self.sources) - len(self._free) >= self.max_streams

    def _admit(
        self, rtp: RtpBatch, flow: NDArray[np.int64], stream: NDArray[np.int64]
    ) -> list[tuple[RtpBatch, NDArray[np.int64]]]:
        """Judge the packets of unknown sources in order; fill in ``stream`` where one is admitted."""
        replayed: list[tuple[RtpBatch, NDArray[np.int64]]] = []
        keys = _key(flow, rtp.ssrc)
        for row in np.flatnonzero(stream < 0).tolist():
            if stream[row] >= 0:
                continue
            if self._full:
                self.refused["too_many_streams"] += int(np.count_nonzero(stream[row:] < 0))
                break
            key = int(keys[row])
            near = self._hold(key, _held(rtp, row))
            if near is None:
                continue
            index = self._new_stream(key, near[0].payload_type)
            stream[row:][keys[row:] == key] = index
            stream[[packet.row for packet in near if packet.row is not None]] = index
            earlier = [packet for packet in near if packet.row is None]
            if earlier:
                replay = parse(_batch_of(earlier, rtp.source))
                replayed.append((replay, np.full(len(replay), index)))
        for packets in self._probation.values():
            for packet in packets:
                packet.row = None
        return replayed

    def _hold(self, key: int, packet: _Held) -> list[_Held] | None:
        """Put a packet on probation; where it proves its source, return the earlier packets to be played back."""
        held_back = self._probation.setdefault(key, [])
        near = [held for held in held_back if _distance(held, packet) <= NEAR]
        if any(held.sequence != packet.sequence for held in near):
            if len(near) < len(held_back):
                self.refused["probation"] += len(held_back) - len(near)
            self._held_bytes -= sum(len(held.datagram) for held in held_back)
            del self._probation[key]
            return near
        held_back.append(packet)
        self._held_bytes += len(packet.datagram)
        if len(held_back) > MAX_HELD_PACKETS:
            self._held_bytes -= len(held_back.pop(0).datagram)
            self.refused["probation"] += 1
        while len(self._probation) > MAX_PROBATION or self._held_bytes > MAX_HELD_BYTES:
            self._evict(next(iter(self._probation)))
        return None

    def _evict(self, key: int) -> None:
        """Give up a source on probation."""
        packets = self._probation.pop(key)
        self._held_bytes -= sum(len(held.datagram) for held in packets)
        self.refused["probation"] += len(packets)

    def _new_stream(self, key: int, payload_type: int) -> int:
        """Admit a source; return its stream index."""
        source = Source(key >> 32, key & 0xFFFFFFFF, payload_type)
        if self._free:
            index = min(self._free)
            self._free.remove(index)
            self.sources[index] = source
        else:
            index = len(self.sources)
            self.sources.append(source)
        self._flow_ssrc[source.flow] = source.ssrc
        self._flow_stream[source.flow] = index
        position = int(np.searchsorted(self._keys, key))
        self._keys = np.insert(self._keys, position, key)
        self._key_stream = np.insert(self._key_stream, position, index)
        return index


def _key(flow: NDArray[np.int64], ssrc: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return flow and SSRC as one number."""
    key: NDArray[np.int64] = flow << 32 | ssrc
    return key


def _distance(one: _Held, other: _Held) -> int:
    """Return how far apart two packets are in sequence numbers; more than any where payload types differ."""
    if one.payload_type != other.payload_type:
        return 1 << 16
    forward = (other.sequence - one.sequence) & 0xFFFF
    return min(forward, 0x10000 - forward)


def _held(rtp: RtpBatch, index: int) -> _Held:
    """Copy one packet out of its batch."""
    source, row = rtp.source, int(rtp.row[index])
    start = int(source.offset[row])
    return _Held(
        row=index,
        flow=int(source.flow[row]),
        payload_type=int(rtp.payload_type[index]),
        sequence=int(rtp.sequence[index]),
        arrival_ns=int(source.arrival_ns[row]),
        datagram=source.arena[start : start + int(source.length[row])].tobytes(),
    )


def _batch_of(packets: list[_Held], source: PacketBatch) -> PacketBatch:
    """Return held packets as a batch of their own."""
    length = np.array([len(packet.datagram) for packet in packets], np.int64)
    return PacketBatch(
        arena=np.frombuffer(b"".join(packet.datagram for packet in packets), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=np.array([packet.arrival_ns for packet in packets], np.int64),
        flow=np.array([packet.flow for packet in packets], np.int64),
        flows=source.flows,
    )
