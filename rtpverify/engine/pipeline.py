"""What becomes of packets whose streams are known: their places, their times, their frames, and what they tell.

Here the parts meet that each know one thing of a stream: :mod:`rtpverify.transport.sequence` the place of a packet,
:mod:`rtpverify.engine.payload_types` how it is decoded, :mod:`rtpverify.transport.arrivals` when it came,
:mod:`rtpverify.engine.frame_writer` where its frames go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.frame_writer import Fail, OnFrames, Tracks
from rtpverify.engine.payload_types import PayloadTypes
from rtpverify.engine.placed import PlacedBatch, PlacedPacket
from rtpverify.engine.stream import UNKNOWN_RATE_HZ, Stream
from rtpverify.errors import RequestError
from rtpverify.events import Event
from rtpverify.failure import contained
from rtpverify.rtp.batch import Flow, RtpBatch
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.rtcp import Arrived
from rtpverify.transport.arrivals import Accepted, Arrivals, Stall
from rtpverify.transport.figures import Reception, WireFigures, WireGlance
from rtpverify.transport.host_drops import HostDrops
from rtpverify.transport.packet_index import PacketIndex
from rtpverify.transport.placement import Discontinuity, Jump, PacketCounts, Resolved
from rtpverify.transport.presentation import HostClock, Presentation, seconds_to_add
from rtpverify.transport.row_arrays import Rows, put
from rtpverify.transport.sequence import Placement, SequenceTracker


class Intake(Rows):
    """Takes the packets of any number of streams.

    Parameters
    ----------
    tell
        Takes events.
    fail
        Takes what failed, and of which stream where that is known; it is to be given up then.
    host_clock
        What arrival times count.
    on_frames
        Takes all frames of every stream that has a reference, where given.

    Attributes
    ----------
    packets
        Which packet carried a frame, and when it arrived.
    payload_types
        How the packets of each stream are decoded.
    tracks
        Where the frames of each stream go; what judges them.
    """

    FRESH: ClassVar = {"_octets": 0, "_unread": 0}
    _octets: NDArray[np.int64]
    """Payload bytes of accepted packets of each stream."""
    _unread: NDArray[np.int64]
    """Accepted packets of each stream whose payload is not decoded."""

    def __init__(
        self, tell: Callable[[Stream, Event], None], fail: Fail, host_clock: HostClock, on_frames: OnFrames | None
    ) -> None:
        super().__init__()
        self._tell = tell
        self._fail = fail
        self._host_clock = host_clock
        self._streams: list[Stream] = []
        """The stream of each index; one that was removed stands there until the index is another's."""
        self.payload_types = PayloadTypes()
        self._tracker = SequenceTracker()
        self.packets = PacketIndex()
        self._arrivals = Arrivals(lambda of, error: fail(None if of is None else self._streams[of], "transport", error))
        self._presentation = Presentation()
        self._host_drops = HostDrops()
        self.tracks = Tracks(self._tracker, tell, fail, on_frames)
        self._held: dict[int, PlacedPacket] = {}
        """Packets of which the next ones decide whether they are right."""

    # Streams --------------------------------------------------------------------------------------------------------

    def add(self, stream: Stream, payload_bytes: int) -> None:
        """Take in a stream whose first payload has so many bytes."""
        index, encoding, limits = stream.index, stream.encoding, stream.spec.limits
        put(self._streams, index, stream)
        self.fresh_row(index)
        self.payload_types.add(stream)
        self._arrivals.begin(index, stream.first_arrival_ns, limits.max_stall_seconds)
        rate_hz = encoding.sample_rate_hz if encoding else 0
        self._set_rate(stream, rate_hz)
        packet_frames = payload_bytes // encoding.bytes_per_frame if encoding else 0
        if encoding is not None:
            self._arrivals.set_format(index, rate_hz, packet_frames, limits.tsdf_window_seconds)
        self._measure_lead(stream)
        self.tracks.add(stream, packet_frames)

    def fresh_row(self, row: int) -> None:
        """Give a stream a fresh row in every store: nothing else does, so what one has, all have."""
        super().fresh_row(row)
        stores = (self.payload_types, self._tracker, self.packets, self._arrivals, self._presentation, self.tracks)
        for store in stores:
            store.fresh_row(row)

    def remove(self, stream: Stream) -> None:
        """Forget a stream that has ended; its index may be another's."""
        self.fresh_row(stream.index)
        self._host_drops.forget(stream.index)
        self._held.pop(stream.index, None)
        self.tracks.remove(stream)

    def renumber(self, number_of: Mapping[int, int]) -> None:
        """Know flows by other numbers, and forget those that have none."""
        self._host_drops.renumber(number_of)

    def take_over(self, index: int, ssrc: int, flow: Flow, payload_type: int) -> None:
        """Let another source go on with a stream."""
        self._streams[index].take_over(ssrc, flow)
        self.payload_types.take_over(index, payload_type)
        self._tracker.succeed(index)

    def finish(self) -> None:
        """End the input: what is missing is lost, what is settled is judged."""
        placement = self._tracker.finish()
        self.tracks.settle_origins()
        resolved = self._resolve(placement.resolved)
        self._remember_resolved(resolved)
        for packet in resolved:
            stream = self._streams[packet.stream]
            if self.payload_types.is_change(packet):
                self._change_payload_type(stream, packet, [])
            self.tracks.write_one(stream, packet)
        for jump in placement.found.discontinuities:
            self.tracks.restart(self._streams[jump.stream], self._tracker.frame_of(jump.stream, jump.frame))
        self._tell_silences(self._take_arrivals(resolved), placement)
        self._tell_transport(placement)
        for index, error in placement.failed:
            self._fail(self._streams[index], "transport", error)
        self.tracks.judge()

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

    # Packets --------------------------------------------------------------------------------------------------------

    def take(
        self, part: RtpBatch, stream: NDArray[np.int64], frames: NDArray[np.int64], whole: NDArray[np.bool_]
    ) -> list[tuple[int, Exception]]:
        """Take packets of known streams, of all copies the first; ``whole`` are those that hold whole frames.

        Returns
        -------
        list of (int, Exception)
            Streams whose packets could not be taken in, and why; how far they were is not known.
        """
        changed = self.payload_types.changed(part, stream)
        beside = changed
        if changed.any():
            beside = self.payload_types.beside(part, stream, changed)
            changed = changed & ~beside
        odd = (frames >= 0) & ~(whole & (frames > 0)) & ~beside
        for index in stream[odd].tolist() if odd.any() else ():
            self._streams[index].odd_lengths += 1
        marks = self.payload_types.marks(part, stream, beside)
        decoded = np.where(whole & ~beside, frames, 0)
        placement = self._tracker.update(stream, part.sequence, part.timestamp, decoded, marks)
        octets = np.bincount(stream, part.payload_length * placement.accepted, len(self._octets))
        self._octets += octets.astype(np.int64)
        if part.cut_bytes is not None:
            for index in stream[placement.accepted & ~part.is_whole].tolist():
                self._streams[index].packets_cut += 1
        for row in np.flatnonzero(beside & placement.accepted).tolist() if beside.any() else ():
            is_noise = self.payload_types.is_noise(int(stream[row]), int(part.payload_type[row]))
            self._streams[int(stream[row])].take_beside(int(placement.sequence[row]), is_noise=is_noise)
        self.tracks.settle_origins()

        readable = decoded * part.is_whole
        batch = PlacedBatch(part, stream, readable, placement)
        if part.source.host_dropped is not None:
            kept = np.flatnonzero(placement.accepted)
            dropped = part.source.host_dropped[part.row[kept]]
            self._host_drops.take(stream[kept], part.flow[kept], placement.sequence[kept], dropped)
        audio = placement.accepted & ~beside
        resolved = self._resolve(placement.resolved)
        self._remember(batch, audio, resolved)
        unread = np.bincount(stream, audio & (decoded <= 0), len(self._unread))
        self._unread += unread.astype(np.int64)
        changing = {item.stream for item in resolved if self.payload_types.is_change(item)}
        changing.update(np.unique(stream[changed]).tolist() if changed.any() else ())
        new_encodings: list[PlacedPacket] = []
        for index in sorted(changing):
            with self._contained(self._streams[index]):
                self._take_changing(batch, index, np.flatnonzero(audio & (stream == index)), resolved, new_encodings)
        with contained(lambda error: self._fail(None, "transport", error)):
            self._watch_arrivals(batch, audio, resolved, new_encodings)
        wanted = audio & (batch.frames > 0)
        if changing:
            wanted &= ~np.isin(stream, list(changing))
        self._write(batch, wanted, [item for item in resolved if item.stream not in changing], changing)
        for row in np.flatnonzero(placement.held).tolist():
            self._held[int(stream[row])] = self._packet(batch, row)
        self._tell_transport(placement)
        return placement.failed

    def _remember(self, batch: PlacedBatch, audio: NDArray[np.bool_], resolved: Sequence[PlacedPacket]) -> None:
        """Remember which packets arrived, those that were held first."""
        self._remember_resolved(resolved)
        placement = batch.placement
        rows: slice | NDArray[np.bool_] = slice(None) if placement.accepted.all() else placement.accepted
        self.packets.write(
            batch.stream[rows],
            placement.sequence[rows],
            placement.timestamp[rows],
            batch.part.arrival_ns[rows],
            audio[rows],
        )

    def _remember_resolved(self, resolved: Sequence[PlacedPacket]) -> None:
        """Remember packets that were held."""
        for item in resolved:
            of, sequence, timestamp, arrival_ns = np.array(
                [[item.stream], [item.sequence], [item.timestamp], [item.arrival_ns]], np.int64
            )
            self.packets.write(of, sequence, timestamp, arrival_ns, np.ones(1, np.bool_))

    def _resolve(self, resolved: Sequence[Resolved]) -> list[PlacedPacket]:
        """Return packets that were held and turned out to be right, in their places."""
        packets = [
            replace(self._held.pop(item.stream), sequence=item.sequence, timestamp=item.timestamp) for item in resolved
        ]
        for packet in packets:
            self._octets[packet.stream] += len(packet.payload)
            self._unread[packet.stream] += packet.frames <= 0
        return packets

    def _packet(self, batch: PlacedBatch, row: int) -> PlacedPacket:
        """Return one packet of a batch by itself."""
        part, index, payload_type = batch.part, int(batch.stream[row]), int(batch.part.payload_type[row])
        return PlacedPacket(
            stream=index,
            payload_type=payload_type,
            encoding=self.payload_types.encoding(index, payload_type),
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
        new_encodings: list[PlacedPacket],
    ) -> None:
        """Take packets of a stream that may go on in another encoding among them, one by one.

        ``new_encodings`` takes the first packet of each.
        """
        stream = self._streams[index]
        packets = [item for item in resolved if item.stream == index] + [self._packet(batch, row) for row in rows]
        breaks = deque(jump for jump in batch.placement.found.discontinuities if jump.stream == index)
        for packet in sorted(packets, key=lambda packet: packet.sequence):
            while breaks and breaks[0].frame <= packet.timestamp:
                self.tracks.restart(stream, self._tracker.frame_of(index, breaks.popleft().frame))
            if self.payload_types.is_change(packet):
                self._change_payload_type(stream, packet, new_encodings)
            self.tracks.write_one(stream, packet)

    def _change_payload_type(self, stream: Stream, packet: PlacedPacket, new_encodings: list[PlacedPacket]) -> None:
        """Let a stream go on with another payload type from this packet on."""
        frame = self._tracker.frame_of(stream.index, packet.timestamp)
        self._tell(stream, stream.payload_type_change(packet.payload_type, packet.sequence, frame, packet.arrival_ns))
        if self.payload_types.change(packet):
            self._go_on_in(stream, packet.encoding, packet.frames, frame)
            new_encodings.append(packet)

    def correct(self, stream: Stream, encoding: Encoding, payload_bytes: int) -> None:
        """Let a stream go on in another encoding, which its packets have shown, from its end on."""
        index, frames = stream.index, payload_bytes // encoding.bytes_per_frame
        self.payload_types.correct(index, encoding)
        end_frame = self._tracker.frame_of(index, int(self._tracker.end_timestamp[index]))
        self._go_on_in(stream, encoding, frames, end_frame)
        if encoding.sample_rate_hz != self._arrivals.timing.clock_rate_hz(index):
            self._arrivals.change_format(index, encoding.sample_rate_hz, frames)

    def _go_on_in(self, stream: Stream, encoding: Encoding | None, packet_frames: int, frame: int) -> None:
        """Let a stream go on in another encoding from ``frame`` on."""
        before = stream.encoding
        stream.go_on_in(encoding, frame)
        try:
            self.tracks.switch(stream, encoding, packet_frames, frame)
        except RequestError as error:
            stream.not_judged = str(error)
        if encoding is None or (before is not None and before.sample_rate_hz == encoding.sample_rate_hz):
            return
        self._set_rate(stream, encoding.sample_rate_hz)
        self._measure_lead(stream)

    def _set_rate(self, stream: Stream, rate_hz: int) -> None:
        """Set how many frames of a stream make a second, 0 where that is not known."""
        window_frames = int(stream.spec.limits.reorder_window_seconds * rate_hz)
        self._tracker.set_window(stream.index, window_frames, rate_hz)
        self.packets.set_rate(stream.index, rate_hz or UNKNOWN_RATE_HZ)

    def _write(
        self, batch: PlacedBatch, wanted: NDArray[np.bool_], resolved: list[PlacedPacket], done: Collection[int]
    ) -> None:
        """Write packets; a stream begins anew at each break, once what lies before is written."""
        for jump in batch.placement.found.discontinuities:
            owner = self._streams[jump.stream]
            if owner.track is None or jump.stream in done:
                continue
            for packet in resolved:
                if packet.stream == jump.stream and packet.timestamp < jump.frame:
                    self.tracks.write_one(owner, packet)
            earlier = wanted & (batch.stream == jump.stream) & (batch.placement.timestamp < jump.frame)
            self.tracks.write(batch, earlier)
            wanted = wanted & ~earlier
            self.tracks.restart(owner, self._tracker.frame_of(jump.stream, jump.frame))
            resolved = [item for item in resolved if item.stream != jump.stream or item.timestamp >= jump.frame]
        for packet in resolved:
            self.tracks.write_one(self._streams[packet.stream], packet)
        self.tracks.write(batch, wanted)

    def _watch_arrivals(
        self,
        batch: PlacedBatch,
        audio: NDArray[np.bool_],
        resolved: Sequence[PlacedPacket],
        new_encodings: Sequence[PlacedPacket],
    ) -> None:
        """Follow arrival times; tell of senders that fell silent."""
        self._arrivals.heard(batch.stream, batch.part.arrival_ns)
        if not batch.part.source.timed:
            return
        placement = batch.placement
        silences = self._take_arrivals(resolved, new_encodings)
        left = placement.breaks
        for packet in new_encodings:
            mine = audio & (batch.stream == packet.stream)
            first = np.flatnonzero(mine & (placement.sequence == packet.sequence))
            if len(first) == 0 or not self._has_other_rate(packet):
                continue
            before = mine & (np.arange(len(mine)) < first[0])
            breaks = [item for item in left if item.stream == packet.stream and item.sequence < packet.sequence]
            left = [item for item in left if item not in breaks]
            silences += self._arrivals.take(batch.accepted(before, breaks))
            audio = audio & ~before
            self._arrivals.change_format(packet.stream, _rate_hz(packet), packet.frames)
        silences += self._arrivals.take(batch.accepted(audio, left))
        self._presentation.update(batch.stream[audio], batch.part.timestamp[audio], batch.part.arrival_ns[audio])
        self._arrivals.judge_when_due()
        self._tell_silences(silences, placement)

    def _tell_silences(self, silences: Sequence[Stall], placement: Placement) -> None:
        """Tell of senders that fell silent, except where their numbers broke."""
        behind_breaks = {(item.stream, item.sequence) for item in placement.breaks}
        for silence in silences:
            quiet = self._streams[silence.stream]
            if (silence.stream, silence.sequence) in behind_breaks or quiet.said_goodbye:
                continue
            if quiet.end_within(silence.arrival_ns - round(1e9 * silence.seconds), silence.arrival_ns) is None:
                frame = self._tracker.frame_of(silence.stream, silence.timestamp)
                self._tell(quiet, quiet.stall(silence.sequence, frame, silence.seconds, silence.arrival_ns))

    def _has_other_rate(self, packet: PlacedPacket) -> bool:
        """Tell whether the timing of a stream is measured by another clock rate than that of this packet."""
        return _rate_hz(packet) != self._arrivals.timing.clock_rate_hz(packet.stream)

    def _take_arrivals(
        self, resolved: Sequence[PlacedPacket], new_encodings: Sequence[PlacedPacket] = ()
    ) -> list[Stall]:
        """Follow the arrival of packets that were held; return the silences before them."""
        silences = []
        for item in resolved:
            if any(item is packet for packet in new_encodings) and self._has_other_rate(item):
                self._arrivals.change_format(item.stream, _rate_hz(item), item.frames)
            of, sequence = np.array([item.stream]), np.array([item.sequence])
            timestamp, arrival_ns = np.array([item.timestamp]), np.array([item.arrival_ns])
            silences += self._arrivals.take(Accepted(of, sequence, timestamp, arrival_ns))
        return silences

    def _tell_transport(self, placement: Placement) -> None:
        for jump in placement.found.discontinuities:
            with self._contained(self._streams[jump.stream]):
                self._tell_jump(self._streams[jump.stream], jump)
        for gap in placement.found.gaps:
            stream = self._streams[gap.stream]
            with self._contained(stream):
                dropped = self._host_drops.between(stream.index, gap.first_sequence, gap.last_sequence)
                self._tell(stream, stream.gap(gap, dropped))
        for error in placement.found.timestamp_errors:
            stream = self._streams[error.stream]
            with self._contained(stream):
                if stream.encoding is not None:
                    self._tell(stream, stream.timestamp_error(error))

    def _contained(self, stream: Stream) -> AbstractContextManager[None]:
        """Let what fails cost this stream alone."""
        return contained(lambda error: self._fail(stream, "transport", error))

    def _tell_jump(self, stream: Stream, jump: Discontinuity) -> None:
        """Report that the sender's numbers broke; silence that it left out is only noted.

        Where that came with its return after an end, the end is what is reported.
        """
        end = stream.end_before(self._tracker.frame_of(stream.index, jump.frame))
        if jump.kind is Jump.PAUSE:
            # Where telephone events were sent instead, nothing was hidden.
            stream.pauses += jump.sequence - 1 not in stream.events_beside
            if end is not None:
                end.fault, end.message = False, f"{end.message}: the sender had suppressed silence"
                self._tell(stream, end)
        else:
            event = stream.jump(jump)
            if end is None or jump.kind is Jump.SSRC:
                event.fault &= end is None
                self._tell(stream, event)
            stream.start_over()
        if jump.kind in (Jump.PAUSE, Jump.TIMESTAMP):
            stream.media_time.jump(self._tracker.frame_of(stream.index, jump.frame), jump.frames)

    # Figures --------------------------------------------------------------------------------------------------------

    def arrived(self, stream: Stream) -> tuple[Arrived, PacketCounts]:
        """Return what has come of a stream by now, for what its sender reports."""
        index = stream.index
        return Arrived(self._tracker.head_sequence(index), int(self._octets[index])), self._tracker.counts(index)

    def last_arrival_ns(self, stream: Stream) -> int:
        """Return when the last packet of a stream arrived."""
        return int(self._arrivals.last_ns[stream.index])

    def heard(self, stream: NDArray[np.int64], arrival_ns: NDArray[np.int64]) -> None:
        """Take note that packets arrived which are taken in no further, shape (n,), in order."""
        self._arrivals.heard(stream, arrival_ns)

    def down_ns(self, stream: Stream) -> int:
        """Return for how long nothing comes of a stream that has ended, where its sender leaves no silence out."""
        return int(self._arrivals.down_ns[stream.index])

    def may_follow_an_end(self, stream: NDArray[np.int64], arrival_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell of which packets the stream may have ended before, shape (n,); False is certain."""
        may: NDArray[np.bool_] = arrival_ns - self._arrivals.last_ns[stream] >= self._arrivals.down_ns[stream]
        return may

    def reached(self, stream: Stream) -> tuple[int, int]:
        """Return the frame after the last one that arrived, and the extended sequence number of the last packet."""
        index = stream.index
        frame = self._tracker.frame_of(index, int(self._tracker.end_timestamp[index]))
        return frame, self._tracker.head_sequence(index)

    def glance(self, stream: Stream) -> WireGlance:
        """Return what the wire did to a stream so far, at a glance: :meth:`result_of` costs more."""
        index, timing = stream.index, self._arrivals.timing
        expected, lost = self._tracker.expected_and_lost(index)
        left_out = self.packets_left_out(stream)
        return WireGlance(expected, lost, left_out, timing.jitter_seconds(index), self.last_arrival_ns(stream))

    def packets_left_out(self, stream: Stream) -> int:
        """Return how many packets were not read, but for comfort noise and telephone events.

        Where nothing is decoded at all, only those that fit nowhere count.
        """
        unread = int(self._unread[stream.index]) if stream.encoding is not None else 0
        return self._tracker.counts(stream.index).stray + unread

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
            last_arrival_ns=self.last_arrival_ns(stream),
            last_report=reports.last_ntp >> 16 & 0xFFFFFFFF if reports else 0,
            last_report_ns=reports.last_arrival_ns if reports else 0,
        )

    def refresh(self, stream: Stream) -> None:
        """Bring the figures of a stream up to date."""
        self._arrivals.judge()
        index, timing = stream.index, self._arrivals.timing
        stream.counts = self._tracker.counts(index)
        stream.end_frame = self._tracker.frame_of(index, int(self._tracker.end_timestamp[index]))
        stream.last_arrival_ns = self.last_arrival_ns(stream)
        stream.jitter_seconds = timing.jitter_seconds(index)
        stream.clock_drift_ppm = timing.clock_drift_ppm(index)
        stream.packet_time_seconds = timing.packet_time_seconds(index)
        stream.lead_seconds = self._presentation.lead_seconds(index)
        stream.clock_off_seconds = self._presentation.off_seconds(index)
        stream.packets_short_of_lead = self._presentation.packets_short(index)
        stream.packets_left_out = self.packets_left_out(stream)
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


def _rate_hz(packet: PlacedPacket) -> int:
    """Return the clock rate of a packet, 0 where that is not known."""
    return packet.encoding.sample_rate_hz if packet.encoding else 0
