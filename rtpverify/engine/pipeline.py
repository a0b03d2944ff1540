"""What becomes of packets whose streams are known: their places, their times, their frames, and what they show.

Here the parts meet that each know one thing of a stream: :mod:`rtpverify.transport.sequence` the place of a packet,
:mod:`rtpverify.engine.payload_types` how it is decoded, :mod:`rtpverify.transport.arrivals` when it came,
:mod:`rtpverify.engine.frame_writer` where its frames go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.frame_writer import Fail, OnFrames, Tracks
from rtpverify.engine.packet_events import (
    gap_event,
    jump_event,
    payload_type_change_event,
    stall_event,
    timestamp_error_event,
)
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
from rtpverify.transport.counts import PacketCounts, Reception, WireGlance
from rtpverify.transport.host_drops import HostDrops
from rtpverify.transport.packet_index import PacketIndex
from rtpverify.transport.placement import Break, Discontinuity, Jump, Resolved
from rtpverify.transport.presentation import HostClock, Presentation, seconds_to_add
from rtpverify.transport.rows import Rows, RowTable
from rtpverify.transport.sequence import Placement, SequenceTracker


class Intake(Rows):
    """Takes the packets of any number of streams.

    Parameters
    ----------
    table
        Where the rows of streams come from.
    tell
        Takes events.
    fail
        Takes what failed, and of which stream where that is known; it is to be given up then.
    host_clock
        What arrival times count.
    on_frames
        Takes all frames of every stream that has a reference, where given.
    ahead_seconds
        How far packets may run ahead of what is settled before a batch is taken in pieces.

    Attributes
    ----------
    packets
        Which packet carried a frame, and when it arrived.
    payload_types
        How the packets of each stream are decoded.
    tracker, arrivals, presentation
        Where packets belong, when they came, how long before their presentation.
    tracks
        Where the frames of each stream go; what checks them.
    odd_lengths
        Packets of each stream whose payload is no whole number of frames, shape (streams,).
    packets_cut
        Packets of each stream whose payload a capture did not keep whole, shape (streams,).
    lead_clock
        Seconds from the host's clock to the one that timestamps of each stream follow; None where that is not known.
    """

    FRESH: ClassVar = {
        "_octets": 0,
        "_unread": 0,
        "odd_lengths": 0,
        "packets_cut": 0,
        "lead_clock": lambda _: None,
        "_held": lambda _: None,
    }
    _octets: NDArray[np.int64]
    """Payload bytes of accepted packets of each stream."""
    _unread: NDArray[np.int64]
    """Accepted packets of each stream whose payload is not decoded."""
    odd_lengths: NDArray[np.int64]
    packets_cut: NDArray[np.int64]
    lead_clock: list[int | None]
    _held: list[PlacedPacket | None]
    """The packet of each stream of which the next ones decide whether it is right."""

    def __init__(
        self,
        table: RowTable[Stream],
        tell: Callable[[Stream, Event], None],
        fail: Fail,
        host_clock: HostClock,
        on_frames: OnFrames | None,
        ahead_seconds: float,
    ) -> None:
        super().__init__(table)
        self._table = table
        self._tell = tell
        self._fail = fail
        self._host_clock = host_clock
        self.payload_types = PayloadTypes(table)
        self.tracker = SequenceTracker(table)
        self.packets = PacketIndex(table)
        self.arrivals = Arrivals(table, self._arrivals_failed)
        self.presentation = Presentation(table)
        self.host_drops = HostDrops(table)
        self.tracks = Tracks(table, self.tracker, tell, fail, on_frames, ahead_seconds)

    # Streams --------------------------------------------------------------------------------------------------------

    def add(self, stream: Stream, payload_bytes: int) -> None:
        """Take in a stream, which has its row, and whose first payload has so many bytes.

        Parameters
        ----------
        stream
            The stream.
        payload_bytes
            Length of its first payload.
        """
        index, encoding, limits = stream.index, stream.encoding, stream.spec.limits
        self.payload_types.add(stream)
        self.host_drops.begin(index)
        self.arrivals.begin(index, stream.first_arrival_ns, limits.max_stall_seconds)
        rate_hz = encoding.sample_rate_hz if encoding else 0
        self._set_rate(stream, rate_hz)
        packet_frames = payload_bytes // encoding.bytes_per_frame if encoding else 0
        if encoding is not None:
            self.arrivals.set_format(index, rate_hz, packet_frames, limits.tsdf_window_seconds)
        self._measure_lead(stream)
        self.tracks.add(stream, packet_frames)

    def _arrivals_failed(self, index: int | None, error: Exception) -> None:
        self._fail(None if index is None else self._table.owner(index), "transport", error)

    def take_over(self, index: int, ssrc: int, flow: Flow, payload_type: int) -> None:
        """Let another source continue with a stream.

        Parameters
        ----------
        index
            Index of the stream.
        ssrc
            SSRC of the new source.
        flow
            Its two ends.
        payload_type
            Payload type that it begins with.
        """
        self._table.owner(index).take_over(ssrc, flow)
        self.payload_types.take_over(index, payload_type)
        self.tracker.succeed(index)

    def finish(self) -> None:
        """End the input: what is missing is lost, what is settled is checked."""
        placement = self.tracker.finish()
        self.tracks.settle_origins()
        resolved = self._resolve(placement.resolved)
        self._remember_resolved(resolved)
        for packet in resolved:
            stream = self._table.owner(packet.stream)
            if self.payload_types.is_change(packet):
                self._change_payload_type(stream, packet, [])
            self.tracks.write_one(stream, packet)
        for jump in placement.found.discontinuities:
            self.tracks.restart(self._table.owner(jump.stream), self.tracker.frame_of(jump.stream, jump.frame))
        self._tell_silences(self._take_arrivals(resolved), placement)
        self._tell_transport(placement)
        for index, error in placement.failed:
            self._fail(self._table.owner(index), "transport", error)
        self.tracks.judge()

    def _measure_lead(self, stream: Stream) -> None:
        """Measure how long before its presentation each packet comes, where that is asked for and can be determined."""
        encoding, limits = stream.encoding, stream.spec.limits
        self.presentation.stop(stream.index)
        if encoding is None or limits.link_offset_seconds is None:
            return
        medium = stream.spec.announced.medium if stream.spec.announced else None
        add_seconds = seconds_to_add(medium, self._host_clock, stream.first_arrival_ns // 1_000_000_000)
        self.lead_clock[stream.index] = add_seconds
        if add_seconds is not None:
            offset = medium.media_clock.offset if medium and medium.media_clock else None
            link_offset, least = limits.link_offset_seconds, limits.min_presentation_lead_seconds
            self.presentation.set(stream.index, encoding.sample_rate_hz, add_seconds, offset or 0, link_offset, least)

    # Packets --------------------------------------------------------------------------------------------------------

    def take(
        self, part: RtpBatch, stream: NDArray[np.int64], frames: NDArray[np.int64], whole: NDArray[np.bool_]
    ) -> list[tuple[int, Exception]]:
        """Take packets of known streams, of all copies the first; ``whole`` are those that hold whole frames.

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Stream index of each packet, shape (n,).
        frames
            Frames in each payload, -1 where that is not known, shape (n,).
        whole
            Which payloads are a whole number of frames, shape (n,).

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
        _count(self.odd_lengths, stream, (frames >= 0) & ~(whole & (frames > 0)) & ~beside)
        marks = self.payload_types.marks(part, stream, beside)
        decoded = np.where(whole & ~beside, frames, 0)
        placement = self.tracker.update(stream, part.sequence, part.timestamp, decoded, marks)
        octets = np.bincount(stream, part.payload_length * placement.accepted, len(self._octets))
        self._octets += octets.astype(np.int64)
        if part.cut_bytes is not None:
            _count(self.packets_cut, stream, placement.accepted & ~part.is_whole)
        for row in np.flatnonzero(beside & placement.accepted).tolist() if beside.any() else ():
            is_noise = self.payload_types.is_noise(int(stream[row]), int(part.payload_type[row]))
            suppression = self._table.owner(int(stream[row])).suppression
            suppression.take(int(placement.sequence[row]), is_noise=is_noise)
        self.tracks.settle_origins()

        readable = decoded * part.is_whole
        batch = PlacedBatch(part, stream, part.arrival_ns, readable, placement)
        if part.source.host_dropped is not None:
            kept = np.flatnonzero(placement.accepted)
            dropped = part.source.host_dropped[part.row[kept]]
            self.host_drops.take(stream[kept], part.flow[kept], placement.sequence[kept], dropped)
        audio = placement.accepted & ~beside
        resolved = self._resolve(placement.resolved) if placement.resolved else []
        self._remember(batch, audio, resolved)
        _count(self._unread, stream, audio & (decoded <= 0))
        changing = {item.stream for item in resolved if self.payload_types.is_change(item)}
        changing.update(np.unique(stream[changed]).tolist() if changed.any() else ())
        new_encodings: list[PlacedPacket] = []
        for index in sorted(changing):
            with self._contained(self._table.owner(index)):
                self._take_changing(batch, index, np.flatnonzero(audio & (stream == index)), resolved, new_encodings)
        try:
            self._watch_arrivals(batch, audio, resolved, new_encodings)
        except Exception as error:
            self._fail(None, "transport", error)
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
        if resolved:
            self._remember_resolved(resolved)
        placement = batch.placement
        rows: slice | NDArray[np.bool_] = placement.accepted
        groups = None
        if placement.accepted.all():
            rows, groups = slice(None), placement.groups
        self.packets.write(
            batch.stream[rows],
            placement.sequence[rows],
            placement.timestamp[rows],
            batch.arrival_ns[rows],
            audio[rows],
            groups,
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
        packets = []
        for item in resolved:
            held, self._held[item.stream] = self._held[item.stream], None
            if held is None:
                raise AssertionError(f"no packet of stream {item.stream} is held")
            packets.append(replace(held, sequence=item.sequence, timestamp=item.timestamp))
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
            arrival_ns=int(batch.arrival_ns[row]),
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
        """Take packets of a stream that may continue in another encoding among them, one by one.

        ``new_encodings`` takes the first packet of each.
        """
        stream = self._table.owner(index)
        packets = [item for item in resolved if item.stream == index] + [self._packet(batch, row) for row in rows]
        breaks = deque(jump for jump in batch.placement.found.discontinuities if jump.stream == index)
        for packet in sorted(packets, key=lambda packet: packet.sequence):
            while breaks and breaks[0].frame <= packet.timestamp:
                self.tracks.restart(stream, self.tracker.frame_of(index, breaks.popleft().frame))
            if self.payload_types.is_change(packet):
                self._change_payload_type(stream, packet, new_encodings)
            self.tracks.write_one(stream, packet)

    def _change_payload_type(self, stream: Stream, packet: PlacedPacket, new_encodings: list[PlacedPacket]) -> None:
        """Let a stream continue with another payload type from this packet on."""
        frame = self.tracker.frame_of(stream.index, packet.timestamp)
        self._tell(
            stream,
            payload_type_change_event(stream, packet.payload_type, packet.sequence, frame, packet.arrival_ns),
        )
        if self.payload_types.change(packet):
            self._go_on_in(stream, packet.encoding, packet.frames, frame)
            new_encodings.append(packet)

    def correct(self, stream: Stream, encoding: Encoding, payload_bytes: int) -> None:
        """Let a stream continue in another encoding, which its packets have shown, from its end on.

        Parameters
        ----------
        stream
            The stream.
        encoding
            The encoding.
        payload_bytes
            Length of a payload.
        """
        index, frames = stream.index, payload_bytes // encoding.bytes_per_frame
        self.payload_types.correct(index, encoding)
        self._go_on_in(stream, encoding, frames, self.tracker.end_frame(index))
        if encoding.sample_rate_hz != self.arrivals.timing.clock_rate_hz(index):
            self.arrivals.change_format(index, encoding.sample_rate_hz, frames)

    def _go_on_in(self, stream: Stream, encoding: Encoding | None, packet_frames: int, frame: int) -> None:
        """Let a stream continue in another encoding from ``frame`` on."""
        before = stream.encoding
        stream.go_on_in(encoding, frame)
        try:
            self.tracks.switch(stream, encoding, packet_frames, frame)
        except RequestError as error:
            stream.not_checked = str(error)
        if encoding is None or (before is not None and before.sample_rate_hz == encoding.sample_rate_hz):
            return
        self._set_rate(stream, encoding.sample_rate_hz)
        self._measure_lead(stream)

    def _set_rate(self, stream: Stream, rate_hz: int) -> None:
        """Set how many frames of a stream make a second, 0 where that is not known."""
        window_frames = int(stream.spec.limits.reorder_window_seconds * rate_hz)
        self.tracker.set_window(stream.index, window_frames, rate_hz)
        self.packets.set_rate(stream.index, rate_hz or UNKNOWN_RATE_HZ)

    def _write(
        self, batch: PlacedBatch, wanted: NDArray[np.bool_], resolved: list[PlacedPacket], done: Collection[int]
    ) -> None:
        """Write packets; a stream begins again at each break, once what lies before is written."""
        for jump in batch.placement.found.discontinuities:
            owner = self._table.owner(jump.stream)
            if owner.track is None or jump.stream in done:
                continue
            for packet in resolved:
                if packet.stream == jump.stream and packet.timestamp < jump.frame:
                    self.tracks.write_one(owner, packet)
            earlier = wanted & (batch.stream == jump.stream) & (batch.placement.timestamp < jump.frame)
            self.tracks.write(batch, earlier)
            wanted = wanted & ~earlier
            self.tracks.restart(owner, self.tracker.frame_of(jump.stream, jump.frame))
            resolved = [item for item in resolved if item.stream != jump.stream or item.timestamp >= jump.frame]
        for packet in resolved:
            self.tracks.write_one(self._table.owner(packet.stream), packet)
        self.tracks.write(batch, wanted)

    def _watch_arrivals(
        self,
        batch: PlacedBatch,
        audio: NDArray[np.bool_],
        resolved: Sequence[PlacedPacket],
        new_encodings: Sequence[PlacedPacket],
    ) -> None:
        """Follow arrival times; report senders that fell silent."""
        stream, placement, arrival_ns = batch.stream, batch.placement, batch.arrival_ns
        self.arrivals.last_ns[stream] = arrival_ns
        if not batch.part.source.timed:
            return

        def accepted(chosen: NDArray[np.bool_], breaks: Sequence[Break]) -> Accepted:
            if chosen.all():
                return Accepted(stream, placement.sequence, placement.timestamp, arrival_ns, breaks, placement.groups)
            sequence, timestamp = placement.sequence[chosen], placement.timestamp[chosen]
            return Accepted(stream[chosen], sequence, timestamp, arrival_ns[chosen], breaks)

        silences = self._take_arrivals(resolved, new_encodings) if resolved else []
        left = placement.breaks
        for packet in new_encodings:
            mine = audio & (stream == packet.stream)
            first = np.flatnonzero(mine & (placement.sequence == packet.sequence))
            if len(first) == 0 or not self._has_other_rate(packet):
                continue
            before = mine & (np.arange(len(mine)) < first[0])
            breaks = [item for item in left if item.stream == packet.stream and item.sequence < packet.sequence]
            left = [item for item in left if item not in breaks]
            silences += self.arrivals.take(accepted(before, breaks))
            audio = audio & ~before
            self.arrivals.change_format(packet.stream, _rate_hz(packet), packet.frames)
        silences += self.arrivals.take(accepted(audio, left))
        if self.presentation.measures:
            self.presentation.update(stream[audio], batch.part.timestamp[audio], arrival_ns[audio])
        if silences:
            self._tell_silences(silences, placement)

    def _tell_silences(self, silences: Sequence[Stall], placement: Placement) -> None:
        """Report senders that fell silent, except where their numbers broke."""
        behind_breaks = {(item.stream, item.sequence) for item in placement.breaks}
        for silence in silences:
            quiet = self._table.owner(silence.stream)
            if (silence.stream, silence.sequence) in behind_breaks or quiet.rtcp.said_goodbye:
                continue
            if quiet.end_within(silence.arrival_ns - round(1e9 * silence.seconds), silence.arrival_ns) is None:
                frame = self.tracker.frame_of(silence.stream, silence.timestamp)
                self._tell(quiet, stall_event(silence.sequence, frame, silence.seconds, silence.arrival_ns))

    def _has_other_rate(self, packet: PlacedPacket) -> bool:
        """Return whether the timing of a stream is measured by another clock rate than that of this packet."""
        return _rate_hz(packet) != self.arrivals.timing.clock_rate_hz(packet.stream)

    def _take_arrivals(
        self, resolved: Sequence[PlacedPacket], new_encodings: Sequence[PlacedPacket] = ()
    ) -> list[Stall]:
        """Follow the arrival of packets that were held; return the silences before them."""
        silences = []
        for item in resolved:
            if any(item is packet for packet in new_encodings) and self._has_other_rate(item):
                self.arrivals.change_format(item.stream, _rate_hz(item), item.frames)
            of, sequence = np.array([item.stream]), np.array([item.sequence])
            timestamp, arrival_ns = np.array([item.timestamp]), np.array([item.arrival_ns])
            silences += self.arrivals.take(Accepted(of, sequence, timestamp, arrival_ns))
        return silences

    def _tell_transport(self, placement: Placement) -> None:
        for jump in placement.found.discontinuities:
            with self._contained(self._table.owner(jump.stream)):
                self._tell_jump(self._table.owner(jump.stream), jump)
        for gap in placement.found.gaps:
            stream = self._table.owner(gap.stream)
            with self._contained(stream):
                dropped = self.host_drops.between(stream.index, gap.first_sequence, gap.last_sequence)
                self._tell(stream, gap_event(stream, gap, dropped))
        for error in placement.found.timestamp_errors:
            stream = self._table.owner(error.stream)
            with self._contained(stream):
                if stream.encoding is not None:
                    self._tell(stream, timestamp_error_event(stream, error))

    def _contained(self, stream: Stream) -> AbstractContextManager[None]:
        """Let what fails cost this stream alone."""
        return contained(lambda error: self._fail(stream, "transport", error))

    def _tell_jump(self, stream: Stream, jump: Discontinuity) -> None:
        """Report that the sender's numbers broke; silence that it omitted is only noted.

        Where that came with its return after an end, the end is what is reported.
        """
        end = stream.end_before(self.tracker.frame_of(stream.index, jump.frame))
        if jump.kind is Jump.PAUSE:
            # Where telephone events were sent instead, nothing was hidden.
            stream.suppression.pauses += jump.sequence - 1 not in stream.suppression.telephone_events
            if end is not None:
                end.fault, end.message = False, f"{end.message}: the sender had suppressed silence"
                self._tell(stream, end)
        else:
            event = jump_event(stream, jump)
            if end is None or jump.kind is Jump.SSRC:
                event.fault &= end is None
                self._tell(stream, event)
            stream.rtcp.start_over()
        if jump.kind in (Jump.PAUSE, Jump.TIMESTAMP):
            stream.log.media_time.jump(self.tracker.frame_of(stream.index, jump.frame), jump.frames)

    # Figures --------------------------------------------------------------------------------------------------------

    def arrived(self, stream: Stream) -> tuple[Arrived, PacketCounts]:
        """Return what has come of a stream by now, for what its sender reports.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        tuple[Arrived, PacketCounts]
            Head and octets, and the counts of its packets.
        """
        index = stream.index
        return Arrived(self.tracker.head_sequence(index), int(self._octets[index])), self.tracker.counts(index)

    def glance(self, stream: Stream) -> WireGlance:
        """Return what the wire did to a stream so far, at a glance: :meth:`result_of` costs more.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        WireGlance
            Counts, jitter as of the last time it was computed, and the latest arrival.
        """
        index, timing = stream.index, self.arrivals.timing
        expected, lost = self.tracker.expected_and_lost(index)
        left_out = self.packets_left_out(stream)
        return WireGlance(expected, lost, left_out, timing.jitter_seconds(index), int(self.arrivals.last_ns[index]))

    def packets_left_out(self, stream: Stream) -> int:
        """Return how many packets were not read, but for comfort noise and telephone events.

        Where nothing is decoded at all, only those that fit nowhere count.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        int
            Packets.
        """
        unread = int(self._unread[stream.index]) if stream.encoding is not None else 0
        return self.tracker.counts(stream.index).stray + unread

    def reception(self, stream: Stream) -> Reception:
        """Return what a receiver would report of a stream.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        Reception
            The figures of a reception report block.
        """
        self.arrivals.judge()
        index, reports = stream.index, stream.rtcp.reports
        jitter = self.arrivals.timing.jitter_seconds(index)
        rate_hz = stream.encoding.sample_rate_hz if stream.encoding else 0
        return Reception(
            counts=self.tracker.counts(index),
            sequence=self.tracker.head_sequence(index),
            jitter_frames=None if jitter is None or not rate_hz else round(jitter * rate_hz),
            last_arrival_ns=int(self.arrivals.last_ns[index]),
            last_report=reports.last_ntp >> 16 & 0xFFFFFFFF if reports else 0,
            last_report_ns=reports.last_arrival_ns if reports else 0,
        )


def _count(column: NDArray[np.int64], stream: NDArray[np.int64], chosen: NDArray[np.bool_]) -> None:
    """Count the packets chosen, shape (n,), for their streams."""
    if chosen.any():
        column += np.bincount(stream[chosen], minlength=len(column))


def _rate_hz(packet: PlacedPacket) -> int:
    """Return the clock rate of a packet, 0 where that is not known."""
    return packet.encoding.sample_rate_hz if packet.encoding else 0
