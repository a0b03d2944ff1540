"""Packets in, events and results out: the whole product in one place, without I/O.

    batch -> RTP headers -> stream of each packet -> place on the media timeline -> frames in rings -> detector
                                     |                        |
                                     +-- payload type,        +-- gaps, restarts, jitter, drift
                                         identity

Every arrow handles a whole batch over all streams at once; Python looks at single streams only where something
irregular happened. The result depends on the packets and their arrival times alone, not on how they were cut into
batches.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.arrivals import Accepted, Arrivals
from rtpverify.errors import RequestError
from rtpverify.events import Event
from rtpverify.findings import stream_result
from rtpverify.identity import Identity
from rtpverify.payload_types import PayloadTypes, first_encoding, lie_beside
from rtpverify.reports import report_rows, reports_of
from rtpverify.result import Result, Signal, StreamResult
from rtpverify.rtp.batch import Flow, PacketBatch, RtpBatch, parse
from rtpverify.rtp.demux import MAX_STREAMS, Demux, Part
from rtpverify.rtp.hostdrops import HostDrops
from rtpverify.rtp.presentation import HostClock, Presentation, seconds_to_add
from rtpverify.rtp.redundancy import LegMerger
from rtpverify.rtp.rtcp import Arrived
from rtpverify.rtp.sequence import Placement, SequenceTracker
from rtpverify.rtp.verdicts import Discontinuity, Jump, Resolved
from rtpverify.slots import put, put_value
from rtpverify.spec import Selection, StreamSpec
from rtpverify.stream import Stream
from rtpverify.tracks import OnFrames, PlacedBatch, PlacedPacket, Tracks
from rtpverify.wire import Reception, WireFigures, WireGlance


@dataclass(slots=True)
class StreamEvent:
    """An event and its stream; ``is_new`` is False where an event that was told before has changed."""

    stream: Stream
    event: Event
    is_new: bool


class Verifier:
    """Verifies every stream that any of the specs matches.

    Parameters
    ----------
    specs
        What is expected; the first that matches a flow holds for its streams.
    max_streams
        Streams at a time; packets of further sources are counted as ``too_many_streams``.
    selection
        Packets of other streams are counted as ``not_selected``; None takes all.
    host_clock
        What arrival times count.
    on_frames
        Takes all frames of every stream that has a reference, where given.

    Attributes
    ----------
    streams
        Streams in order of appearance, without those that were removed.
    """

    def __init__(
        self,
        specs: Sequence[StreamSpec],
        *,
        max_streams: int = MAX_STREAMS,
        selection: Selection | None = None,
        host_clock: HostClock = "utc",
        on_frames: OnFrames | None = None,
    ) -> None:
        self.streams: list[Stream] = []
        self._slots: list[Stream] = []
        """The stream of each index; one that was removed stands there until the index is another's."""
        self._identity = Identity(specs, selection)
        self._demux = Demux(max_streams, self._identity.place_of)
        self._merger: LegMerger | None = None
        self._payload_types = PayloadTypes()
        self._tracker = SequenceTracker()
        self._arrivals = Arrivals()
        self._presentation = Presentation()
        self._host_drops = HostDrops()
        self._host_clock: HostClock = host_clock
        self._tracks = Tracks(self._tracker, self._tell, on_frames)
        self._held: dict[int, PlacedPacket] = {}
        """Packets of which the next ones decide whether they are right."""
        self._no_rtp: Counter[str] = Counter()
        self._told: list[StreamEvent] = []
        self._flows: Sequence[Flow] = ()
        self._octets = np.zeros(0, np.int64)
        """Payload bytes of accepted packets of each stream."""

    @property
    def specs(self) -> Sequence[StreamSpec]:
        """What is expected."""
        return [spec for spec in self._identity.specs if spec is not None]

    @property
    def discarded(self) -> Counter[str]:
        """Datagrams that are no RTP, or belong to no stream, by reason."""
        refused = self._no_rtp + self._identity.refused + self._demux.refused
        return refused if self._merger is None else refused + self._merger.refused

    def add(self, spec: StreamSpec) -> None:
        """Expect one more stream; flows seen before stay with what they matched then, if anything."""
        self._identity.add(spec)

    def remove(self, spec: StreamSpec) -> list[StreamEvent]:
        """Expect a stream no longer: judge what came of it to its end, and forget it.

        Nothing changes for other streams. Packets that come later are matched against what is still expected.

        Returns
        -------
        list of StreamEvent
            Events that are new or have changed.
        """
        told = [item for stream in list(self.streams) if stream.spec == spec for item in self.forget(stream)]
        self._identity.remove(spec)
        return told

    def forget(self, stream: Stream) -> list[StreamEvent]:
        """Judge a stream to its end, and forget it; return events that are new or have changed.

        Where its sender goes on, that is another stream.
        """
        self._tracks.judge()
        self._end(stream)
        self.streams.remove(stream)
        self._demux.release(stream.index)
        self._tracker.reset(stream.index)
        self._arrivals.remove(stream.index)
        self._tracks.remove(stream)
        if self._merger is not None:
            self._merger.remove(stream.index)
        return self._take_told()

    def keep_flows(self) -> NDArray[np.int64]:
        """Forget flows that no stream needs; return the others, shape (n,).

        Between two batches. From the next one on, flows are numbered by their place in what is returned: the source
        has to do the same. Anybody can send from any number of ports, and a sender that starts over has another one.
        """
        used = self._demux.flows_in_use()
        if self._merger is not None:
            used |= self._merger.flows_in_use()
        used |= self._identity.sources_of(used)
        kept = np.array(sorted(used), np.int64)
        number_of = {number: place for place, number in enumerate(kept.tolist())}
        self._demux.renumber(kept, number_of)
        self._identity.renumber(kept, number_of)
        if self._merger is not None:
            self._merger.renumber(number_of)
        self._host_drops.renumber(number_of)
        self._flows = [self._flows[number] for number in kept.tolist()]
        return kept

    @property
    def merges(self) -> bool:
        """Whether streams have legs; their packets are to be fed in order of arrival."""
        return any(spec.is_merged for spec in self.specs)

    # Input ----------------------------------------------------------------------------------------------------------

    def feed(self, batch: PacketBatch) -> list[StreamEvent]:
        """Take datagrams in order of arrival; return events that are new or have changed."""
        rtp = parse(batch)
        self._no_rtp.update(rtp.discarded)
        self._flows = batch.flows
        rest = self._identity.known_by_first(self._identity.matching(rtp))
        if self._merger is None and self._identity.has_legs:
            self._merger = LegMerger()
        for row in report_rows(rtp, self.streams).tolist():
            # What a report says is held against what arrived before it, maybe on another socket.
            at_ns = batch.arrival_ns[row]
            before = (rest.arrival_ns < at_ns) | ((rest.arrival_ns == at_ns) & (rest.row < row))
            self._take_rtp(rest.take(np.flatnonzero(before)))
            rest = rest.take(np.flatnonzero(~before))
            self._take_report(batch, row)
        self._take_rtp(rest)
        return self._take_told()

    def advance(self, now_ns: int) -> list[StreamEvent]:
        """Let the arrival clock go on without packets; return events that are new or have changed.

        Everything here is settled in media time, which only packets carry on: a stream that stops is seen by its last
        arrival, not by an event.
        """
        self._tracks.judge_when_due(now_ns)
        return self._take_told()

    def finish(self) -> list[StreamEvent]:
        """End the input; return events that are new or have changed."""
        if self._flows:
            # Sources of which it is open whether they go on with a stream.
            none = np.zeros(0, np.int64)
            nothing = PacketBatch(none.astype(np.uint8), none, none, none, none, self._flows)
            self._take_parts(self._demux.settle(nothing))
        self._demux.finish()
        if self._merger is not None:
            self._merger.finish()
        placement = self._tracker.finish()
        self._tracks.settle_origins()
        self._tell_transport(placement)
        self._tracks.judge()
        for stream in self.streams:
            self._end(stream)
        return self._take_told()

    def result(self, source: str, receive_buffer_dropped: int = 0) -> Result:
        """Return what was found so far."""
        results = [self.result_of(stream) for stream in self.streams]
        return Result(source, results, dict(self.discarded), receive_buffer_dropped)

    def result_of(self, stream: Stream) -> StreamResult:
        """Return what was found of one stream so far."""
        self._refresh(stream)
        return stream_result(stream)

    def present(self, stream: Stream) -> list[Signal]:
        """Return what each channel of a stream carries now; nothing where its signal is not judged."""
        return [] if stream.track is None else stream.track.analysis.detector.present(stream.track.row)

    def wire(self, stream: Stream) -> WireGlance:
        """Return what the wire did to a stream so far, at a glance: :meth:`result_of` costs more."""
        index, timing = stream.index, self._arrivals.timing
        last_ns = int(self._arrivals.last_ns[index])
        return WireGlance(self._tracker.counts(index), timing.jitter_seconds(index), last_ns)

    def reception(self, stream: Stream) -> Reception:
        """Return what a receiver would report of a stream."""
        self._arrivals.judge()
        index, reports = stream.index, stream.reports
        jitter = self._arrivals.timing.jitter_seconds(index)
        rate_hz = stream.encoding.sample_rate_hz if stream.encoding else 0
        return Reception(
            counts=self._tracker.counts(index),
            sequence=self._tracker.head_sequence(index),
            jitter_frames=None if jitter is None or not rate_hz else round(jitter * rate_hz),
            last_arrival_ns=int(self._arrivals.last_ns[index]),
            last_report=reports.last_ntp >> 16 & 0xFFFFFFFF if reports else 0,
            last_report_ns=reports.last_arrival_ns if reports else 0,
        )

    # Streams --------------------------------------------------------------------------------------------------------

    def _take_rtp(self, rtp: RtpBatch) -> None:
        """Take packets that are wanted."""
        if len(rtp):
            self._take_parts(self._demux.assign(rtp, self._identity.source_flow(rtp)))

    def _take_parts(self, parts: Sequence[Part]) -> None:
        """Take packets whose streams are known."""
        self._open_streams(parts)
        for part in parts:
            if part.takes_over:
                self._take_over(part)
            self._take(self._identity.known_by_first(part.rtp), part.stream)

    def _open_streams(self, parts: Sequence[Part]) -> None:
        """Take in streams that the demultiplexer has just admitted, at the first packet that any part holds of them."""
        for index in self._demux.take_admitted():
            part, first = next((part, int(np.argmax(of == index))) for part, of, _ in parts if (of == index).any())
            # What the demultiplexer knows of a source may be of one that took over since.
            payload_type = int(part.payload_type[first])
            spec = self._identity.spec_of(int(part.flow[first]))
            first_arrival_ns = int(part.arrival_ns[first])
            stream = Stream(
                index=index,
                spec=spec,
                flow=part.source.flows[int(part.flow[first])],
                ssrc=int(part.ssrc[first]),
                payload_type=payload_type,
                encoding=first_encoding(parts, index, spec, payload_type),
                first_arrival_ns=first_arrival_ns,
                last_arrival_ns=first_arrival_ns,
            )
            self._open(stream, int(part.payload_length[first]))

    def _open(self, stream: Stream, payload_bytes: int) -> None:
        """Take in a stream whose first payload has so many bytes."""
        index, encoding, limits = stream.index, stream.encoding, stream.spec.limits
        self.streams.append(stream)
        put(self._slots, index, stream)
        self._octets = put_value(self._octets, index, 0)
        self._tracker.resize(index + 1)
        self._payload_types.add(stream)
        self._arrivals.add(index, stream.first_arrival_ns, limits.max_stall_seconds)
        rate_hz = encoding.sample_rate_hz if encoding else 0
        window_frames = int(limits.reorder_window_seconds * rate_hz)
        if self._merger is not None and stream.spec.is_merged:
            self._merger.add(index, stream.spec.legs, window_frames)
        self._tracker.set_window(index, window_frames)
        packet_frames = payload_bytes // encoding.bytes_per_frame if encoding else 0
        if encoding is not None:
            self._arrivals.set_format(index, rate_hz, packet_frames, limits.tsdf_window_seconds)
        self._presentation.add(index)
        self._host_drops.forget(index)
        self._measure_lead(stream)
        self._tracks.add(stream, packet_frames)

    def _measure_lead(self, stream: Stream) -> None:
        """Measure how long before its presentation each packet comes, where that is asked for and can be told."""
        encoding, limits = stream.encoding, stream.spec.limits
        self._presentation.stop(stream.index)
        if encoding is None or limits.link_offset_seconds is None:
            return
        medium = stream.spec.announced.medium if stream.spec.announced else None
        add_seconds = seconds_to_add(medium, self._host_clock, stream.first_arrival_ns // 1_000_000_000)
        stream.lead_clock = add_seconds
        if add_seconds is not None:
            offset = medium.media_clock.offset if medium and medium.media_clock else None
            link_offset, least = limits.link_offset_seconds, limits.min_presentation_lead_seconds
            self._presentation.set(stream.index, encoding.sample_rate_hz, add_seconds, offset or 0, link_offset, least)

    def _end(self, stream: Stream) -> None:
        """Judge what is left of a stream that ends."""
        self._refresh(stream)
        self._tracks.finish(stream)
        for event in stream.judge_counts():
            self._tell(stream, event)

    def _take_over(self, part: Part) -> None:
        """Let another source go on with a stream."""
        index = int(part.stream[0])
        flow = part.rtp.source.flows[int(part.rtp.flow[0])]
        payload_type = int(part.rtp.payload_type[0])
        self._slots[index].take_over(int(part.rtp.ssrc[0]), flow)
        self._payload_types.take_over(index, payload_type)
        self._tracker.succeed(index)
        if self._merger is not None:
            self._merger.succeed(index)
        self._held.pop(index, None)

    def _take_report(self, batch: PacketBatch, row: int) -> None:
        """Take what senders of streams report of themselves."""
        taken = False
        for stream, report in reports_of(batch, row, self.streams):
            taken = True
            arrived = Arrived(self._tracker.head_sequence(stream.index), int(self._octets[stream.index]))
            counts = self._tracker.counts(stream.index)
            sender = batch.flows[int(batch.flow[row])].sender
            stream.take_report(report, arrived, counts, int(batch.arrival_ns[row]), sender)
        self._no_rtp["rtcp"] -= taken

    # Packets --------------------------------------------------------------------------------------------------------

    def _take(self, part: RtpBatch, stream: NDArray[np.int64]) -> None:
        """Take packets of known streams."""
        frames, whole = self._payload_types.frames(part, stream)
        now_ns = int(part.arrival_ns[-1])
        if self._merger is not None:
            kept = np.flatnonzero(self._merger.merge(part, stream, frames))
            part, stream, frames, whole = part.take(kept), stream[kept], frames[kept], whole[kept]
        if len(part):
            self._take_first_copies(part, stream, frames, whole)
        self._tracks.judge_when_due(now_ns)

    def _take_first_copies(
        self, part: RtpBatch, stream: NDArray[np.int64], frames: NDArray[np.int64], whole: NDArray[np.bool_]
    ) -> None:
        """Take packets that no other leg brought before; ``whole`` are those that hold whole frames."""
        changed = self._payload_types.changed(part, stream)
        beside = changed
        if changed.any():
            beside = lie_beside(part, changed)
            changed = changed & ~beside
        odd = (frames >= 0) & ~(whole & (frames > 0)) & ~beside
        for index in stream[odd].tolist() if odd.any() else ():
            self._slots[index].odd_lengths += 1
        marks = self._payload_types.marks(part, stream, beside)
        placement = self._tracker.update(stream, part.sequence, part.timestamp, np.where(beside, 0, frames), marks)
        octets = np.bincount(stream, part.payload_length * placement.accepted, len(self._octets))
        self._octets += octets.astype(np.int64)
        for index in stream[beside & placement.accepted].tolist() if beside.any() else ():
            self._slots[index].packets_beside += 1
        self._tracks.settle_origins()

        batch = PlacedBatch(part, stream, np.where(whole & ~beside, frames, 0), placement)
        if part.source.host_dropped is not None:
            kept = np.flatnonzero(placement.accepted)
            dropped = part.source.host_dropped[part.row[kept]]
            self._host_drops.take(stream[kept], part.flow[kept], placement.sequence[kept], dropped)
        audio = placement.accepted & ~beside
        resolved = self._resolve(placement.resolved)
        changing = {item.stream for item in resolved if self._payload_types.is_change(item)}
        changing.update(np.unique(stream[changed]).tolist() if changed.any() else ())
        new_rates: dict[int, PlacedPacket] = {}
        for index in sorted(changing):
            self._take_changing(batch, index, np.flatnonzero(audio & (stream == index)), resolved, new_rates)
        self._watch_arrivals(batch, audio, resolved, new_rates)
        wanted = audio & (batch.frames > 0)
        if changing:
            wanted &= ~np.isin(stream, list(changing))
        self._write(batch, wanted, [item for item in resolved if item.stream not in changing], changing)
        for row in np.flatnonzero(placement.held).tolist():
            self._held[int(stream[row])] = self._packet(batch, row)
        self._tell_transport(placement)

    def _resolve(self, resolved: Sequence[Resolved]) -> list[PlacedPacket]:
        """Return packets that were held and turned out to be right, in their places."""
        return [
            replace(self._held.pop(item.stream), sequence=item.sequence, timestamp=item.timestamp) for item in resolved
        ]

    def _packet(self, batch: PlacedBatch, row: int) -> PlacedPacket:
        """Return one packet of a batch by itself."""
        part, index, payload_type = batch.part, int(batch.stream[row]), int(batch.part.payload_type[row])
        return PlacedPacket(
            stream=index,
            payload_type=payload_type,
            encoding=self._payload_types.encoding(index, payload_type),
            sequence=int(batch.placement.sequence[row]),
            timestamp=int(batch.placement.timestamp[row]),
            arrival_ns=int(part.arrival_ns[row]),
            frames=int(batch.frames[row]),
            payload=part.source.arena[part.payload_offset[row] :][: part.payload_length[row]].copy(),
        )

    def _take_changing(
        self,
        batch: PlacedBatch,
        index: int,
        rows: NDArray[np.int64],
        resolved: Sequence[PlacedPacket],
        new_rates: dict[int, PlacedPacket],
    ) -> None:
        """Take packets of a stream that may go on in another encoding among them, one by one.

        ``new_rates`` takes the first packet of a stream that has another clock rate.
        """
        stream = self._slots[index]
        packets = [item for item in resolved if item.stream == index] + [self._packet(batch, row) for row in rows]
        breaks = deque(jump for jump in batch.placement.discontinuities if jump.stream == index)
        for packet in sorted(packets, key=lambda packet: packet.timestamp):
            while breaks and breaks[0].frame <= packet.timestamp:
                self._tracks.restart(stream, self._tracker.frame_of(index, breaks.popleft().frame))
            if self._payload_types.is_change(packet):
                self._change_payload_type(stream, packet, new_rates)
            self._tracks.write_one(stream, packet)

    def _change_payload_type(self, stream: Stream, packet: PlacedPacket, new_rates: dict[int, PlacedPacket]) -> None:
        """Let a stream go on with another payload type from this packet on."""
        frame = self._tracker.frame_of(stream.index, packet.timestamp)
        self._tell(stream, stream.payload_type_change(packet.payload_type, packet.sequence, frame, packet.arrival_ns))
        before = stream.encoding
        if not self._payload_types.change(packet):
            return
        stream.go_on_in(packet.payload_type, packet.encoding, frame)
        try:
            self._tracks.switch(stream, packet.encoding, packet.frames, frame)
        except RequestError as error:
            stream.not_judged = str(error)
        if packet.encoding is not None and (before is None or before.sample_rate_hz != packet.encoding.sample_rate_hz):
            window_frames = int(stream.spec.limits.reorder_window_seconds * packet.encoding.sample_rate_hz)
            self._tracker.set_window(stream.index, window_frames)
            self._measure_lead(stream)
            new_rates.setdefault(stream.index, packet)

    def _write(
        self, batch: PlacedBatch, wanted: NDArray[np.bool_], resolved: list[PlacedPacket], done: Collection[int]
    ) -> None:
        """Write packets; a stream begins anew at each break, once what lies before is written."""
        for jump in batch.placement.discontinuities:
            owner = self._slots[jump.stream]
            if owner.track is None or jump.stream in done:
                continue
            for packet in resolved:
                if packet.stream == jump.stream and packet.timestamp < jump.frame:
                    self._tracks.write_one(owner, packet)
            earlier = wanted & (batch.stream == jump.stream) & (batch.placement.timestamp < jump.frame)
            self._tracks.write(batch, earlier)
            wanted = wanted & ~earlier
            self._tracks.restart(owner, self._tracker.frame_of(jump.stream, jump.frame))
            resolved = [item for item in resolved if item.stream != jump.stream or item.timestamp >= jump.frame]
        for packet in resolved:
            self._tracks.write_one(self._slots[packet.stream], packet)
        self._tracks.write(batch, wanted)

    def _watch_arrivals(
        self,
        batch: PlacedBatch,
        audio: NDArray[np.bool_],
        resolved: Sequence[PlacedPacket],
        new_rates: Mapping[int, PlacedPacket],
    ) -> None:
        """Follow arrival times; tell of senders that fell silent, except where their numbers broke."""
        self._arrivals.heard(batch.stream, batch.part.arrival_ns)
        if not batch.part.source.timed:
            return
        placement = batch.placement
        silences = []
        for item in resolved:
            of, sequence = np.array([item.stream]), np.array([item.sequence])
            timestamp, arrival_ns = np.array([item.timestamp]), np.array([item.arrival_ns])
            silences += self._arrivals.take(Accepted(of, sequence, timestamp, arrival_ns))
        for index, packet in new_rates.items():
            before = audio & (batch.stream == index) & (placement.sequence < packet.sequence)
            silences += self._arrivals.take(batch.accepted(before))
            audio = audio & ~before
            if packet.encoding is not None:
                self._arrivals.change_format(index, packet.encoding.sample_rate_hz, packet.frames)
        silences += self._arrivals.take(batch.accepted(audio, placement.discontinuities))
        self._presentation.update(batch.stream[audio], batch.part.timestamp[audio], batch.part.arrival_ns[audio])
        self._arrivals.judge_when_due()
        behind_breaks = {(jump.stream, jump.sequence) for jump in placement.discontinuities}
        for silence in silences:
            quiet = self._slots[silence.stream]
            if (silence.stream, silence.sequence) not in behind_breaks and not quiet.said_goodbye:
                frame = self._tracker.frame_of(silence.stream, silence.timestamp)
                self._tell(quiet, quiet.stall(silence.sequence, frame, silence.seconds, silence.arrival_ns))

    # Telling --------------------------------------------------------------------------------------------------------

    def _tell_transport(self, placement: Placement) -> None:
        for jump in placement.discontinuities:
            self._tell_jump(self._slots[jump.stream], jump)
        for gap in placement.gaps:
            stream = self._slots[gap.stream]
            dropped = self._host_drops.between(stream.index, gap.first_sequence, gap.last_sequence)
            self._tell(stream, stream.gap(gap, dropped))

    def _tell_jump(self, stream: Stream, jump: Discontinuity) -> None:
        """Tell that the sender's numbers broke; silence that it left out is only noted."""
        if jump.kind is Jump.PAUSE:
            stream.pauses += 1
        else:
            self._tell(stream, stream.jump(jump))
            stream.start_over()
        if jump.kind in (Jump.PAUSE, Jump.TIMESTAMP):
            stream.media_time.jump(self._tracker.frame_of(stream.index, jump.frame), jump.frames)

    def _tell(self, stream: Stream, event: Event) -> None:
        self._told.append(StreamEvent(stream, *stream.told(event)))

    def _take_told(self) -> list[StreamEvent]:
        told, self._told = self._told, []
        return told

    def _refresh(self, stream: Stream) -> None:
        """Bring the figures of a stream up to date."""
        self._arrivals.judge()
        index, timing = stream.index, self._arrivals.timing
        stream.counts = self._tracker.counts(index)
        stream.end_frame = self._tracker.frame_of(index, int(self._tracker.end_timestamp[index]))
        stream.last_arrival_ns = int(self._arrivals.last_ns[index])
        stream.jitter_seconds = timing.jitter_seconds(index)
        stream.clock_drift_ppm = timing.clock_drift_ppm(index)
        stream.packet_time_seconds = timing.packet_time_seconds(index)
        stream.lead_seconds = self._presentation.lead_seconds(index)
        stream.clock_off_seconds = self._presentation.off_seconds(index)
        stream.packets_short_of_lead = self._presentation.packets_short(index)
        stream.extended_sequence = self._tracker.head_sequence(index)
        stream.wire = WireFigures(
            run_lengths=self._tracker.run_lengths(index),
            pattern=self._tracker.loss_pattern(index),
            intervals=timing.intervals(index),
            packet_time_changes=timing.packet_time_changes(index),
            max_jitter_seconds=timing.max_jitter_seconds(index),
            tsdf_seconds=timing.tsdf_seconds(index),
            max_tsdf_seconds=timing.max_tsdf_seconds(index),
            mean_interval_seconds=timing.mean_interval_seconds(index),
            longest_interval_seconds=timing.longest_interval_seconds(index),
        )
        if self._merger is not None:
            stream.legs = self._merger.legs(index)
            stream.differing = self._merger.differing(index)
