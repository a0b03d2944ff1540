"""From (flow, SSRC) to streams.

A source becomes a stream once its packets prove it: of those that belong together, because their sequence numbers are
at most :data:`NEAR` apart, either way round, a :data:`Proof` says whether they are enough, and which payload type is
the stream's own. Until then they are held, and when the source is admitted they are played back ahead of the one that
proved it, so a stream loses nothing at its start.

A source that turns up where another one was (same *place*) takes over its stream once that one has been silent for
:data:`SILENT_NS`: a sender came back with a new SSRC. Where the other one continues, they are two streams. Until that
is known the newcomer's packets are held, and then played back. How the input is cut into batches changes nothing.

Bounded against floods of unknown sources: by the places that there are (:mod:`rtpverify.transport.places`), by the
number of sources not yet proved, and by the packets and bytes held for them. Where those are too many, the oldest gives
way of the stream for which the most wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtpverify.rtp.batch import PacketBatch, RtpBatch, parse
from rtpverify.rtp.serial import wrap_difference
from rtpverify.transport.places import MAX_STREAMS, Claim, Places
from rtpverify.transport.rows import RowTable

NEAR = 16
"""Sequence numbers this far apart still belong together."""
MAX_PROBATION = 1024
"""Sources on probation."""
RECENT_NS = 1_000_000_000
"""Sources on probation that were heard in the last second stay on it when flows are forgotten."""
MAX_HELD_PACKETS = 64
"""Packets held for one source on probation."""
MAX_HELD_BYTES = 4 << 20
"""Bytes held for all sources on probation."""


SILENT_NS = 100_000_000
"""A stream that is silent for longer may be taken over."""
STRAGGLERS = 4
"""A stream continues that sends this many packets after a newcomer began; fewer may have been on their way."""
MAX_WAITING_PACKETS = 1024
"""Packets for which a newcomer waits at most."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends a stream: index of its flow, SSRC, and the payload type that is its own."""

    flow: int
    ssrc: int
    payload_type: int


class Part(NamedTuple):
    """Packets and the stream of each, shape (n,); ``newcomer`` where they are the first ones of a new source."""

    rtp: RtpBatch
    stream: NDArray[np.int64]
    newcomer: Source | None = None


@dataclass(slots=True)
class Held:
    """One packet on probation; ``row`` is its index in the batch at hand, None once that batch is gone."""

    row: int | None
    flow: int
    payload_type: int
    sequence: int
    timestamp: int
    arrival_ns: int
    datagram: bytes
    payload_start: int
    payload_bytes: int
    cut_bytes: int = 0
    """Bytes at its end that a capture omitted."""
    copy: int | None = None
    """As in :class:`~rtpverify.rtp.batch.RtpBatch`."""

    @property
    def payload(self) -> bytes:
        """The payload, without header and padding, as far as it is there."""
        return self.datagram[self.payload_start : self.payload_start + self.payload_bytes]


Proof = Callable[[Sequence[Held], bool], int | None]
"""Takes packets that belong together, in order of arrival, and whether the input has ended; returns the payload type of
the stream that they prove, None while they prove none."""


class Admitted(NamedTuple):
    """A source that has become a stream, and the packets that proved it, in order of arrival."""

    stream: int
    source: Source
    packets: Sequence[Held]


@dataclass(slots=True)
class _Newcomer:
    """A source that has proved itself, and the streams of its place with the packets they have sent since.

    ``packets`` are its packets so far but the one at hand, ``proof`` those that proved it.
    """

    payload_type: int
    packets: list[Held]
    proof: Sequence[Held]
    since: dict[int, int]


def two_alike(packets: Sequence[Held], _at_end: bool) -> int | None:
    """Take two packets of one payload type as proof (RFC 3550 A.1, MIN_SEQUENTIAL).

    Parameters
    ----------
    packets
        Packets of one source that belong together, in order of arrival.
    _at_end
        Makes no difference: two packets are enough at any time.

    Returns
    -------
    int or None
        The payload type; None while there are no two of one.
    """
    latest = packets[-1]
    alike = {packet.sequence for packet in packets if packet.payload_type == latest.payload_type}
    return latest.payload_type if len(alike) > 1 else None


class Demux:
    """Assigns packets to streams.

    Parameters
    ----------
    max_streams
        Streams at a time, beyond those in reserved places; further sources are refused.
    place
        What two sources must share for one to take over the stream of the other, from flow and payload type; by
        default the flow.
    proof
        What the packets of a source must show.
    claim
        By what the sources of a flow may take a reserved place; None where by nothing.
    table
        Gives out the rows of streams, which are their indices; None: one of its own.

    Attributes
    ----------
    sources
        Source of each stream by stream index; None for an index that was released.
    places
        Which streams have a place, and how many sources found none.
    """

    def __init__(
        self,
        max_streams: int = MAX_STREAMS,
        place: Callable[[int, int], Hashable] = lambda flow, _: flow,
        proof: Proof = two_alike,
        claim: Callable[[int], Claim | None] = lambda _: None,
        table: RowTable[Any] | None = None,
    ) -> None:
        self.places = Places(max_streams, claim)
        self._place = place
        self._proof = proof
        self.sources: list[Source | None] = []
        self._table: RowTable[Any] = RowTable() if table is None else table
        self._admitted: list[Admitted] = []
        self._unproved_packets = 0
        self._probation: dict[int, list[Held]] = {}
        self._newcomers: dict[int, _Newcomer] = {}
        self._group_of: dict[int, Hashable] = {}
        """What each source on probation, and each newcomer, competes with."""
        self._waiting: Counter[Hashable] = Counter()
        """How many of them there are in each group."""
        self._held_bytes: Counter[Hashable] = Counter()
        """Bytes held for them."""
        self._at_place: dict[Hashable, list[int]] = {}
        self._last_arrival_ns: NDArray[np.int64] = np.zeros(0, np.int64)
        # Latest SSRC and stream of each flow: nearly always the answer.
        self._flow_ssrc = np.zeros(0, np.int64)
        self._flow_stream = np.zeros(0, np.int64)
        # All known sources, sorted by key.
        self._keys = np.zeros(0, np.int64)
        self._key_stream = np.zeros(0, np.int64)

    def assign(self, rtp: RtpBatch, flow: NDArray[np.int64] | None = None) -> list[Part]:
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
        list of Part
            To be taken in this order: where a source that was held back is admitted, first its packets of earlier
            batches, one part per stream, then those of ``rtp``, without what is on probation or refused. Where a
            source takes over, they are cut there, with all the packets that were held of it between.
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
        if unknown.any():
            stream[unknown] = self._look_up(_key(flow[unknown], rtp.ssrc[unknown]))
        if self._newcomers or (unknown.any() and stream.min() < 0):
            return self._admit(rtp, flow, stream)
        self._last_arrival_ns[stream] = rtp.arrival_ns
        return [Part(rtp, stream)]

    @property
    def refused(self) -> Counter[str]:
        """Packets of no stream, by reason: ``too_many_streams``, ``probation`` (never proved to be a source)."""
        return +Counter(too_many_streams=self.places.refused_packets, probation=self._unproved_packets)

    @property
    def waiting_sources(self) -> int:
        """Sources that have not proved themselves, or of which it is open whether they take over a stream."""
        return len(self._group_of)

    @property
    def held_bytes(self) -> int:
        """Bytes of packets that are held for them."""
        return self._held_bytes.total()

    def take_admitted(self) -> list[Admitted]:
        """Return the streams that are new since the last call.

        Returns
        -------
        list of Admitted
            In order of their admission.
        """
        admitted, self._admitted = self._admitted, []
        return admitted

    def flows_in_use(self) -> set[int]:
        """Return the flows by which the sources of streams are known, and of those that may become streams.

        Returns
        -------
        set[int]
            Indices of flows.
        """
        heard_ns = max((held[-1].arrival_ns for held in self._probation.values()), default=0)
        recent = {key: held for key, held in self._probation.items() if heard_ns - held[-1].arrival_ns <= RECENT_NS}
        held: list[Sequence[Held]] = [*recent.values(), *(newcomer.packets for newcomer in self._newcomers.values())]
        held += [newcomer.proof for newcomer in self._newcomers.values()]
        used = {packet.flow for packets in held for packet in packets}
        used.update(key >> 32 for key in (*recent, *self._newcomers))
        return used | {source.flow for source in self.sources if source is not None}

    def renumber(self, kept: NDArray[np.int64], number_of: Mapping[int, int]) -> None:
        """Know flows by other numbers: those that are ``kept``, in order; sources of others are given up.

        Parameters
        ----------
        kept
            Present numbers of the flows that are kept, shape (n,).
        number_of
            New number of each flow that is kept.
        """
        for key, held in list(self._probation.items()):
            if not number_of.keys() >= {key >> 32, *(packet.flow for packet in held)}:
                self._evict(key)

        def renumbered(key: int) -> int:
            return number_of[key >> 32] << 32 | key & 0xFFFFFFFF

        self._probation = {renumbered(key): held for key, held in self._probation.items()}
        self._newcomers = {renumbered(key): newcomer for key, newcomer in self._newcomers.items()}
        self._group_of = {renumbered(key): group for key, group in self._group_of.items()}
        for packet in {id(packet): packet for packets in self._held() for packet in packets}.values():
            packet.flow = number_of[packet.flow]
        self.places.reconsider()
        self.sources = [source and replace(source, flow=number_of[source.flow]) for source in self.sources]
        flow = np.array([number_of[number] for number in (self._keys >> 32).tolist()], np.int64)
        keys = _key(flow, self._keys & 0xFFFFFFFF)
        order = np.argsort(keys)
        self._keys, self._key_stream = keys[order], self._key_stream[order]
        known = kept[kept < len(self._flow_ssrc)]
        self._flow_ssrc, self._flow_stream = self._flow_ssrc[known], self._flow_stream[known]

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock that was set: what arrived before counts by the new one.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        self._last_arrival_ns += by_ns
        for packet in {id(packet): packet for packets in self._held() for packet in packets}.values():
            packet.arrival_ns += by_ns

    def settle(self, flows: PacketBatch) -> list[Part]:
        """Decide at the end of the input what was still open; ``flows`` is any batch of the source.

        Parameters
        ----------
        flows
            Any batch of the source.

        Returns
        -------
        list of Part
            Packets that were held back, one part a stream.
        """
        parts = []
        for key in list(self._probation):
            self._prove_by_held(key)
        for key, newcomer in list(self._newcomers.items()):
            silent = [stream for stream, packets in newcomer.since.items() if packets == 0]
            if silent:
                parts.append(self._take_over(key, max(silent, key=self._heard_ns), flows))
            else:
                parts += self._join(key, None, None, flows)
        return parts

    def release(self, stream: int) -> None:
        """Forget a stream; a later source may get its index, and its own source would have to prove itself again.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        source = self.sources[stream]
        if source is None:
            return
        for key in [key for key, newcomer in self._newcomers.items() if stream in newcomer.since]:
            self._evict(key)
        self.sources[stream] = None
        self._table.retire(stream)
        self.places.release(stream)
        place = self._place(source.flow, source.payload_type)
        self._at_place[place].remove(stream)
        if not self._at_place[place]:
            del self._at_place[place]  # there are as many as senders have addresses
        kept = self._key_stream != stream
        self._keys, self._key_stream = self._keys[kept], self._key_stream[kept]
        if self._flow_stream[source.flow] == stream:
            self._flow_ssrc[source.flow] = self._flow_stream[source.flow] = -1

    def finish(self) -> list[list[Held]]:
        """End the input: sources that were never proved are refused; return the latest packets of each.

        Returns
        -------
        list[list[Held]]
            One list a source.
        """
        unproved = list(self._probation.values())
        for key in list(self._probation):
            self._evict(key)
        return unproved

    def _look_up(self, key: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the stream of each key, -1 where unknown."""
        if len(self._keys) == 0:
            return np.full(len(key), -1)
        position = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys[position] == key, self._key_stream[position], -1)

    def _admit(self, rtp: RtpBatch, flow: NDArray[np.int64], stream: NDArray[np.int64]) -> list[Part]:
        """Check the packets of unknown sources in order; fill in ``stream`` where one is admitted."""
        keys = _key(flow, rtp.ssrc)
        refused = (stream < 0) & self.places.are_refused(keys)
        if refused.any():
            self.places.refused_packets += int(np.count_nonzero(refused))
            kept = np.flatnonzero(~refused)
            rtp, keys, stream = rtp.take(kept), keys[kept], stream[kept]
        unknown, arrival_ns = stream < 0, rtp.arrival_ns
        watched = self._watched(keys[unknown], rtp.payload_type[unknown])
        replayed: list[Part] = []
        cuts: list[tuple[int, Part]] = []
        for row in np.flatnonzero(unknown | np.isin(stream, list(watched))).tolist():
            key, index = int(keys[row]), int(stream[row])
            if index >= 0:
                joining = [key for key, newcomer in self._newcomers.items() if self._goes_on(newcomer, index)]
            else:
                newcomer = self._newcomers.get(key) or self._newcomer(key, rtp, row)
                joining = [key] if newcomer is not None and not newcomer.since else []
            for other in joining:
                replayed += self._join(other, keys, stream, rtp.source, row)
            if stream[row] >= 0:
                self._last_arrival_ns[stream[row]] = arrival_ns[row]
            if joining or index >= 0 or newcomer is None:
                continue
            silent = self._silent(newcomer, int(arrival_ns[row]))
            if silent is None:
                self._wait(key, hold(rtp, row))
                continue
            cuts.append((row, self._take_over(key, silent, rtp.source)))
            # What still comes of the one before has to prove itself again.
            stream[row:][stream[row:] == silent] = -1
            stream[row:][keys[row:] == key] = silent
            self._last_arrival_ns[silent] = arrival_ns[row]
        self._end_batch()
        known = np.flatnonzero(stream >= 0)
        self._last_arrival_ns[stream[known]] = arrival_ns[known]
        start, parts = 0, replayed
        for stop, part in [*cuts, (len(rtp), None)]:
            rows = start + np.flatnonzero(stream[start:stop] >= 0)
            if len(rows):
                parts.append(Part(rtp.take(rows), stream[rows]))
            if part is not None:
                parts.append(part)
            start = stop
        return parts

    def _watched(self, keys: NDArray[np.int64], payload_type: NDArray[np.int64]) -> set[int]:
        """Return the streams that packets of unknown sources may take over."""
        watched = {of for newcomer in self._newcomers.values() for of in newcomer.since}
        kinds = set(zip((keys >> 32).tolist(), payload_type.tolist(), strict=True))
        for key in self._probation.keys() & set(keys.tolist()):
            kinds.update((key >> 32, packet.payload_type) for packet in self._probation[key])
        for kind in kinds:
            watched.update(self._at_place.get(self._place(*kind), ()))
        return watched

    def _end_batch(self) -> None:
        """Forget where held packets are in the batch at hand."""
        for packets in (*self._probation.values(), *(newcomer.packets for newcomer in self._newcomers.values())):
            for packet in packets:
                packet.row = None

    def _held(self) -> Iterator[Sequence[Held]]:
        """Yield the packets that are held of each source."""
        yield from self._probation.values()
        for newcomer in self._newcomers.values():
            yield newcomer.packets
            yield newcomer.proof

    def _count(self, key: int, held: Sequence[Held] = (), let_go: Sequence[Held] = ()) -> None:
        """Count what is held of a source that waits."""
        if key not in self._group_of:
            self._group_of[key] = self.places.group(key >> 32)
            self._waiting[self._group_of[key]] += 1
        held_bytes = sum(len(packet.datagram) for packet in held) - sum(len(packet.datagram) for packet in let_go)
        self._held_bytes[self._group_of[key]] += held_bytes

    def _stop_waiting(self, key: int, held: Sequence[Held]) -> None:
        """Count a source no longer that has waited, of which these packets were held."""
        self._count(key, let_go=held)
        self._waiting[self._group_of.pop(key)] -= 1
        self._waiting, self._held_bytes = +self._waiting, +self._held_bytes

    def _wait(self, key: int, packet: Held) -> None:
        """Hold a newcomer's packet."""
        self._newcomers[key].packets.append(packet)
        self._count(key, [packet])
        self._make_room()

    def _newcomer(self, key: int, rtp: RtpBatch, row: int) -> _Newcomer | None:
        """Put a packet of an unknown source on probation; return the source where this proves it."""
        if self.places.has_refused(key):
            self.places.refuse(key, key >> 32, 1)
            return None
        packet, held_back = hold(rtp, row), self._probation.setdefault(key, [])
        # After a long loss, what came before it may prove a source by itself; otherwise that was no part of one.
        if len(_together(held_back, packet)) < len(held_back) and self._prove_by_held(key):
            if self.places.has_refused(key):
                self.places.refuse(key, key >> 32, 1)
            return self._newcomers.get(key)
        if self._prove(key, held_back, packet):
            return self._newcomers.get(key)
        held_back.append(packet)
        self._count(key, [packet])
        if len(held_back) > MAX_HELD_PACKETS:
            self._count(key, let_go=[held_back.pop(0)])
            self._unproved_packets += 1
        self._make_room()
        return None

    def _prove(self, key: int, held_back: Sequence[Held], packet: Held, *, at_end: bool = False) -> bool:
        """Take a source off probation where its latest packet and those held prove it; return whether they did."""
        together = _together(held_back, packet)
        payload_type = self._proof([*together, packet], at_end)
        if payload_type is None:
            return False
        self._unproved_packets += len(held_back) - len(together)
        held = self._probation.pop(key)
        streams = self._at_place.get(self._place(key >> 32, payload_type), ())
        if not streams and not self.places.has_room(key >> 32):
            self._stop_waiting(key, held)
            self.places.refuse(key, key >> 32, len(together) + 1)
            return True
        since_ns = together[0].arrival_ns if together else packet.arrival_ns
        since = {stream: int(self._heard_ns(stream) > since_ns) for stream in streams}
        self._newcomers[key] = _Newcomer(payload_type, together, [*together, packet], since)
        self._count(key, together, held)
        return True

    def _prove_by_held(self, key: int) -> bool:
        """Take a source off probation where what is held proves it, and nothing else will; return whether it did."""
        *earlier, latest = self._probation[key]
        is_proved = self._prove(key, earlier, latest, at_end=True)
        if key in self._newcomers:
            self._wait(key, latest)
        return is_proved

    def _goes_on(self, newcomer: _Newcomer, stream: int) -> bool:
        """Count a packet of a stream that a newcomer may take over; return whether all of them continue."""
        if stream not in newcomer.since:
            return False
        newcomer.since[stream] += 1
        if newcomer.since[stream] >= STRAGGLERS:
            del newcomer.since[stream]
        return not newcomer.since

    def _silent(self, newcomer: _Newcomer, now_ns: int) -> int | None:
        """Return the stream that a newcomer takes over, None while that is open."""
        if len(newcomer.packets) >= MAX_WAITING_PACKETS:
            return max(newcomer.since, key=self._heard_ns)
        silent = [stream for stream in newcomer.since if now_ns - self._heard_ns(stream) > SILENT_NS]
        return max(silent, key=self._heard_ns, default=None)

    def _heard_ns(self, stream: int) -> int:
        return int(self._last_arrival_ns[stream])

    def _join(
        self,
        key: int,
        keys: NDArray[np.int64] | None,
        stream: NDArray[np.int64] | None,
        source: PacketBatch,
        row: int = 0,
    ) -> list[Part]:
        """Make a newcomer a stream of its own from ``row`` on; return its packets of earlier batches.

        ``keys`` and ``stream`` are of the batch at hand, None at the end of the input.
        """
        newcomer = self._newcomers.pop(key)
        self._stop_waiting(key, newcomer.packets)
        if not self.places.has_room(key >> 32):
            at_hand = 0 if keys is None else int(keys[row] == key)
            self.places.refuse(key, key >> 32, len(newcomer.packets) + at_hand)
            return []
        index = self._new_stream(key, newcomer)
        self._last_arrival_ns[index] = newcomer.proof[-1].arrival_ns
        if keys is not None and stream is not None:
            stream[row:][keys[row:] == key] = index
            stream[[packet.row for packet in newcomer.packets if packet.row is not None]] = index
        earlier = [packet for packet in newcomer.packets if packet.row is None]
        return [replay(earlier, index, source)] if earlier else []

    def _take_over(self, key: int, stream: int, source: PacketBatch) -> Part:
        """Let a newcomer continue with a stream; return all its packets so far."""
        newcomer = self._newcomers.pop(key)
        packets = newcomer.packets
        self._stop_waiting(key, packets)
        before = self.sources[stream]
        if before is None:
            raise AssertionError(f"stream {stream} was released before it was taken over")
        kept = self._key_stream != stream
        self._keys, self._key_stream = self._keys[kept], self._key_stream[kept]
        if self._flow_stream[before.flow] == stream:
            self._flow_ssrc[before.flow] = self._flow_stream[before.flow] = -1
        after = self.sources[stream] = Source(key >> 32, key & 0xFFFFFFFF, newcomer.payload_type)
        self._learn(key, stream)
        self._last_arrival_ns[stream] = packets[-1].arrival_ns
        return replay(packets, stream, source)._replace(newcomer=after)

    def _make_room(self) -> None:
        """Give up sources where too many wait: the oldest of the group that has the most, or holds the most."""
        while len(self._group_of) > MAX_PROBATION:
            self._evict_of(max(self._waiting, key=self._waiting.__getitem__))
        while self._held_bytes.total() > MAX_HELD_BYTES:
            self._evict_of(max(self._held_bytes, key=self._held_bytes.__getitem__))

    def _evict_of(self, group: Hashable) -> None:
        """Give up the oldest source of a group, of those on probation first."""
        waiting = chain(self._probation, self._newcomers)
        self._evict(next(key for key in waiting if self._group_of[key] == group))

    def _evict(self, key: int) -> None:
        """Give up a source on probation."""
        packets = self._probation.pop(key) if key in self._probation else self._newcomers.pop(key).packets
        self._stop_waiting(key, packets)
        self._unproved_packets += len(packets)

    def _new_stream(self, key: int, newcomer: _Newcomer) -> int:
        """Admit a source; return its stream index."""
        source = Source(key >> 32, key & 0xFFFFFFFF, newcomer.payload_type)
        index = self._table.allocate()
        self.sources[index : index + 1] = [source]
        self._last_arrival_ns = np.append(
            self._last_arrival_ns, np.zeros(len(self._table) - len(self._last_arrival_ns), np.int64)
        )
        self.places.take(index, source.flow)
        self._admitted.append(Admitted(index, source, newcomer.proof))
        self._at_place.setdefault(self._place(source.flow, source.payload_type), []).append(index)
        self._learn(key, index)
        return index

    def _learn(self, key: int, index: int) -> None:
        """Know the packets of a source by their stream from now on."""
        flow, ssrc = key >> 32, key & 0xFFFFFFFF
        self._flow_ssrc[flow] = ssrc
        self._flow_stream[flow] = index
        position = int(np.searchsorted(self._keys, key))
        self._keys = np.insert(self._keys, position, key)
        self._key_stream = np.insert(self._key_stream, position, index)


def _key(flow: NDArray[np.int64], ssrc: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return flow and SSRC as one number."""
    key: NDArray[np.int64] = flow << 32 | ssrc
    return key


def _together(held_back: Sequence[Held], packet: Held) -> list[Held]:
    """Return the packets held whose sequence numbers lead to that of another one in steps of at most :data:`NEAR`."""
    offsets = [wrap_difference(held.sequence, packet.sequence, 16) for held in held_back]
    low = high = 0
    for offset in sorted(offsets, key=abs):
        low = offset if low - NEAR <= offset < low else low
        high = offset if high < offset <= high + NEAR else high
    return [held for held, offset in zip(held_back, offsets, strict=True) if low <= offset <= high]


def hold(rtp: RtpBatch, index: int) -> Held:
    """Return a copy of one packet, which outlives its batch.

    Parameters
    ----------
    rtp
        The batch.
    index
        Index of the packet in it.

    Returns
    -------
    Held
        The packet, with its whole datagram.
    """
    source, row = rtp.source, int(rtp.row[index])
    start = int(source.offset[row])
    return Held(
        row=index,
        flow=int(source.flow[row]),
        payload_type=int(rtp.payload_type[index]),
        sequence=int(rtp.sequence[index]),
        timestamp=int(rtp.timestamp[index]),
        arrival_ns=int(source.arrival_ns[row]),
        datagram=source.arena[start : start + int(source.length[row])].tobytes(),
        payload_start=int(rtp.payload_offset[index]) - start,
        payload_bytes=int(rtp.payload_length[index]),
        cut_bytes=0 if source.cut_bytes is None else int(source.cut_bytes[row]),
        copy=None if rtp.copy is None else int(rtp.copy[index]),
    )


def replay(packets: list[Held], stream: int, source: PacketBatch) -> Part:
    """Return held packets as a part of one stream.

    Parameters
    ----------
    packets
        Held packets of one source, in order of arrival.
    stream
        Index of the stream.
    source
        A batch of the source that they came from.

    Returns
    -------
    Part
        The packets, in a batch of their own.
    """
    rtp = parse(_batch_of(packets, source))
    copies = [packet.copy for packet in packets if packet.copy is not None]
    rtp.copy = np.array(copies, np.int64) if len(copies) == len(packets) else None
    return Part(rtp, np.full(len(rtp), stream))


def _batch_of(packets: list[Held], source: PacketBatch) -> PacketBatch:
    """Return held packets as a batch of their own."""
    length = np.array([len(packet.datagram) for packet in packets], np.int64)
    return PacketBatch(
        arena=np.frombuffer(b"".join(packet.datagram for packet in packets), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=np.array([packet.arrival_ns for packet in packets], np.int64),
        flow=np.array([packet.flow for packet in packets], np.int64),
        flows=source.flows,
        timed=source.timed,
        cut_bytes=np.array([packet.cut_bytes for packet in packets], np.int64),
    )
