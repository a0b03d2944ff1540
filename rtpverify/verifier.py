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

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.analysis import Analysis, Format, tone_format
from rtpverify.announced import fitting
from rtpverify.events import Event
from rtpverify.frames import COMPANDED
from rtpverify.packets import PacketIndex, Packets
from rtpverify.reference import Tone
from rtpverify.result import Result, StreamResult
from rtpverify.rtp.batch import Flow, PacketBatch, RtpBatch, gather, header_field, parse
from rtpverify.rtp.demux import Demux, Part
from rtpverify.rtp.groups import group_by_stream
from rtpverify.rtp.order import Discontinuity, Jump, Mark, Resolved, wrap_difference
from rtpverify.rtp.payload import Encoding, decode
from rtpverify.rtp.redundancy import LegMerger
from rtpverify.rtp.rtcp import Arrived, Bye, parse_rtcp
from rtpverify.rtp.sequence import Placement, SequenceTracker
from rtpverify.rtp.timing import Timing
from rtpverify.spec import Selection, StreamSpec
from rtpverify.stream import Stream, Track, WireFigures

AHEAD_SECONDS = 0.5
"""How far packets may run ahead of what is settled before a batch is taken in pieces."""
COMFORT_NOISE = 13
"""Payload type that a sender uses between stretches of speech (RFC 3389)."""
RTCP_BYTES = 8
"""Header of an RTCP packet and the SSRC of its sender (RFC 3550 section 6.4)."""
TELEPHONE_EVENT_BYTES = 4
"""Payload of a telephone event (RFC 4733 section 2.3)."""
FIRST_DYNAMIC = 96
"""Least payload type whose encoding is agreed on elsewhere (RFC 3551)."""
TIMED_PACKETS = 4096
"""Packets whose timing is judged at a time: its cost is by the batch."""
JUDGED_NS = 100_000_000
"""Arrival time for which settled frames may wait to be judged: the cost of judging is by the call."""
FIRST_PACKETS = 8
"""Packets of a new stream that are looked at for its packet time."""
STALL_PACKETS = 10
"""A stall is never shorter than this many packet times."""


@dataclass(slots=True)
class StreamEvent:
    """An event and its stream; ``is_new`` is False where an event that was told before has changed."""

    stream: Stream
    event: Event
    is_new: bool


@dataclass(slots=True)
class _Arrivals:
    """Accepted packets whose timing is still to be judged, and the jumps among them."""

    stream: NDArray[np.int64]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    jumps: list[Discontinuity]


class _Group:
    """All streams of one format and encoding; arrays run over its rows."""

    def __init__(self, form: Format, encoding: Encoding) -> None:
        self.encoding = encoding
        self.analysis = Analysis(form, int(AHEAD_SECONDS * form.sample_rate_hz))
        self.packets = PacketIndex(form.packet_frames, form.sample_rate_hz)
        self.streams: list[Stream] = []
        self.index = np.zeros(0, np.int64)
        """Stream index of each row."""

    def add(self, stream: Stream, reference: Tone) -> None:
        """Give a stream a row."""
        companded = self.encoding.name in COMPANDED
        row = self.analysis.add(reference, stream.spec.limits, self.encoding.bits, companded=companded)
        self.packets.add()
        self.streams.append(stream)
        self.index = np.append(self.index, stream.index)
        stream.track = Track(self.analysis, self.packets, row)


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

    Attributes
    ----------
    streams
        Streams in order of appearance.
    """

    def __init__(
        self, specs: Sequence[StreamSpec], *, max_streams: int = 256, selection: Selection | None = None
    ) -> None:
        self.specs = list(specs)
        self._selection = selection
        self.streams: list[Stream] = []
        self._no_rtp: Counter[str] = Counter()
        self._demux = Demux(max_streams, self._place_of)
        self._tracker = SequenceTracker()
        self._timing = Timing()
        self._untimed: list[_Arrivals] = []
        self._untimed_packets = 0
        self._groups: dict[tuple[Format, Encoding], _Group] = {}
        self._told: list[StreamEvent] = []
        self._judged_ns = 0
        self._held: dict[int, Packets] = {}
        self._merger: LegMerger | None = None
        self._flows: Sequence[Flow] = ()
        self._spec_of_flow = np.zeros(0, np.int64)
        self._source_flow = np.zeros(0, np.int64)
        """The flow by which the source of each flow's packets is known: the first of all legs."""
        self._selected_flow = np.zeros(0, np.bool_)
        # One entry a stream.
        self._bytes_per_frame = np.zeros(0, np.int64)
        self._payload_type = np.zeros(0, np.int64)
        self._foreign = np.zeros(0, np.bool_)
        """Whether the present payload type is decoded otherwise than the one the stream began with."""
        self._octets = np.zeros(0, np.int64)
        """Payload bytes of accepted packets."""
        self._is_speech = np.zeros(0, np.bool_)
        """Whether the sender may leave silence out (RFC 3551 section 4.1)."""
        self._origin = np.zeros(0, np.int64)
        self._last_arrival_ns = np.zeros(0, np.int64)
        self._accepted_ns = np.zeros(0, np.int64)
        self._accepted_sequence = np.zeros(0, np.int64)
        self._stall_ns = np.zeros(0, np.int64)

    @property
    def discarded(self) -> Counter[str]:
        """Datagrams that are no RTP, or belong to no stream, by reason."""
        refused = self._no_rtp + self._demux.refused
        return refused if self._merger is None else refused + self._merger.refused

    def add(self, spec: StreamSpec) -> None:
        """Expect one more stream; flows seen before stay with what they matched then."""
        self.specs.append(spec)

    @property
    def merges(self) -> bool:
        """Whether streams have legs; their packets are to be fed in order of arrival."""
        return any(spec.is_merged for spec in self.specs)

    # Input ----------------------------------------------------------------------------------------------------------

    def feed(self, batch: PacketBatch) -> list[StreamEvent]:
        """Take datagrams in order of arrival; return events that are new or have changed."""
        rtp = parse(batch)
        rest = self._matching(rtp)
        for row in self._report_rows(rtp).tolist():
            # What a report says is held against what arrived before it.
            self._take_rtp(rest.take(np.flatnonzero(rest.row < row)))
            rest = rest.take(np.flatnonzero(rest.row > row))
            self._take_report(batch, row)
        self._take_rtp(rest)
        return self._take_told()

    def _take_rtp(self, rtp: RtpBatch) -> None:
        """Take packets that are wanted."""
        if len(rtp):
            parts = self._demux.assign(rtp, None if self._merger is None else self._source_flow[rtp.flow])
            self._take_parts(parts)

    def advance(self, now_ns: int) -> list[StreamEvent]:
        """Let the arrival clock go on without packets; return events that are new or have changed.

        Everything here is settled in media time, which only packets carry on: a stream that stops is seen by its last
        arrival, not by an event.
        """
        self._judge_when_due(now_ns)
        return self._take_told()

    def finish(self) -> list[StreamEvent]:
        """End the input; return events that are new or have changed."""
        self._take_undecided()
        self._demux.finish()
        if self._merger is not None:
            self._merger.finish()
        placement = self._tracker.finish()
        self._settle_origins()
        self._write_resolved(placement.resolved)
        self._tell_transport(placement)
        self._advance_groups()
        self._time_arrivals()
        for stream in self.streams:
            self._refresh(stream)
            if stream.track is not None:
                for event in stream.track.analysis.finish(stream.track.row, stream.end_frame):
                    self._tell(stream, event)
            for event in stream.judge_counts():
                self._tell(stream, event)
        return self._take_told()

    def result(self, source: str, receive_buffer_dropped: int = 0) -> Result:
        """Return what was found so far."""
        results = [self.result_of(stream) for stream in self.streams]
        return Result(source, results, dict(self.discarded), receive_buffer_dropped)

    def result_of(self, stream: Stream) -> StreamResult:
        """Return what was found of one stream so far."""
        self._refresh(stream)
        return stream.result()

    # Identity -------------------------------------------------------------------------------------------------------

    def _matching(self, rtp: RtpBatch) -> RtpBatch:
        """Leave out packets whose flow no spec matches."""
        self._no_rtp.update(rtp.discarded)
        self._flows = flows = rtp.source.flows
        for flow in flows[len(self._spec_of_flow) :]:
            self._note_flow(flow)
        wanted = self._spec_of_flow[rtp.flow] >= 0
        if not wanted.all():
            self._no_rtp["unmatched"] += len(rtp) - int(np.count_nonzero(wanted))
            rtp = rtp.take(np.flatnonzero(wanted))
        return rtp if self._selection is None else self._selected(rtp, self._selection)

    def _note_flow(self, flow: Flow) -> None:
        """Find out what is expected of a flow that was not seen before."""
        number = len(self._spec_of_flow)
        spec = next((i for i, spec in enumerate(self.specs) if spec.matches(flow)), -1)
        source = number
        if spec >= 0 and self.specs[spec].is_merged:
            self._merger = self._merger or LegMerger()
            source = int(np.append(np.flatnonzero(self._spec_of_flow == spec), number)[0])
        self._spec_of_flow = np.append(self._spec_of_flow, spec)
        self._source_flow = np.append(self._source_flow, source)
        chosen = self._selection is None or self._selection.matches(flow)
        self._selected_flow = np.append(self._selected_flow, chosen)

    def _place_of(self, flow: int, payload_type: int) -> Hashable:
        """Return what two sources share where one may come back as the other.

        A sender that is started again has another port as often as not, and may have another payload type.
        """
        spec, ends = int(self._spec_of_flow[flow]), self._flows[flow]
        encoding = self.specs[spec].encoding_of(payload_type) or payload_type
        if self.specs[spec].is_merged:
            return spec, encoding
        return spec, ends.sender.rpartition(":")[0], ends.destination, encoding

    def _take_over(self, part: Part) -> None:
        """Let another source go on with a stream."""
        index = int(part.stream[0])
        stream, flow = self.streams[index], part.rtp.source.flows[int(part.rtp.flow[0])]
        payload_type = int(part.rtp.payload_type[0])
        stream.take_over(int(part.rtp.ssrc[0]), flow, payload_type)
        self._payload_type[index] = payload_type
        self._tracker.succeed(index)
        if self._merger is not None:
            self._merger.succeed(index)
        self._held.pop(index, None)

    def _take_undecided(self) -> None:
        """Take in sources of which it was open whether they go on with a stream."""
        if self._flows:
            none = np.zeros(0, np.int64)
            parts = self._demux.settle(PacketBatch(none.astype(np.uint8), none, none, none, none, self._flows))
            self._take_parts(parts)

    def _selected(self, rtp: RtpBatch, selection: Selection) -> RtpBatch:
        """Leave out packets that the selection does not pick."""
        chosen = np.ones(len(rtp), np.bool_)
        if selection.ssrcs or selection.ends:
            chosen = self._selected_flow[rtp.flow] | np.isin(rtp.ssrc, list(selection.ssrcs))
        if selection.payload_types is not None:
            chosen &= np.isin(rtp.payload_type, list(selection.payload_types))
        self._no_rtp["not_selected"] += len(rtp) - int(np.count_nonzero(chosen))
        return rtp.take(np.flatnonzero(chosen))

    def _report_rows(self, rtp: RtpBatch) -> NDArray[np.int64]:
        """Return the rows of RTCP datagrams that begin with the SSRC of a stream, or of a packet of this batch."""
        rows = rtp.rtcp[rtp.source.length[rtp.rtcp] >= RTCP_BYTES] if len(rtp.rtcp) else rtp.rtcp
        if len(rows) == 0:
            return rows
        ssrc = header_field(gather(rtp.source.arena, rtp.source.offset[rows], RTCP_BYTES), 4, ">u4")
        known = np.append(np.unique(rtp.ssrc), [stream.ssrc for stream in self.streams])
        return rows[np.isin(ssrc, known)]

    def _take_report(self, batch: PacketBatch, row: int) -> None:
        """Take what a sender reports of itself, where it is the sender of a stream."""
        start = int(batch.offset[row])
        host = batch.flows[int(batch.flow[row])].sender.rpartition(":")[0]
        compound = parse_rtcp(batch.arena[start : start + int(batch.length[row])].tobytes())
        taken = False
        for report in compound.reports:
            ssrcs = report.ssrcs if isinstance(report, Bye) else (report.ssrc,)
            for stream in self.streams:
                if stream.ssrc in ssrcs and stream.flow.sender.rpartition(":")[0] == host:
                    taken = True
                    arrived = Arrived(self._tracker.head_sequence(stream.index), int(self._octets[stream.index]))
                    counts = self._tracker.counts(stream.index)
                    stream.take_report(report, arrived, counts, int(batch.arrival_ns[row]))
        self._no_rtp["rtcp"] -= taken

    def _take_parts(self, parts: Sequence[Part]) -> None:
        """Take packets whose streams are known."""
        self._open_streams(parts)
        for part in parts:
            if part.takes_over:
                self._take_over(part)
            self._take(part.rtp, part.stream)

    def _open_streams(self, parts: Sequence[Part]) -> None:
        """Take in streams that the demultiplexer has just admitted, at the first packet that any part holds of them."""
        for index, source in enumerate(self._demux.sources[len(self.streams) :], len(self.streams)):
            if source is None:
                raise AssertionError(f"stream {index} was released before it was taken in")
            part, first = next((part, int(np.argmax(of == index))) for part, of, _ in parts if (of == index).any())
            first_arrival_ns = int(part.arrival_ns[first])
            # What the demultiplexer knows of a source may be of one that took over since.
            payload_type = int(part.payload_type[first])
            spec = self.specs[self._spec_of_flow[int(part.flow[first])]]
            encoding = _encoding_of(parts, index, spec, payload_type)
            opened = Stream(
                index=index,
                spec=spec,
                flow=part.source.flows[int(part.flow[first])],
                ssrc=int(part.ssrc[first]),
                payload_type=payload_type,
                encoding=encoding,
                first_arrival_ns=first_arrival_ns,
                last_arrival_ns=first_arrival_ns,
            )
            self.streams.append(opened)
            self._tracker.resize(index + 1)
            self._bytes_per_frame = np.append(self._bytes_per_frame, encoding.bytes_per_frame if encoding else 0)
            self._payload_type = np.append(self._payload_type, payload_type)
            self._foreign = np.append(self._foreign, False)
            self._octets = np.append(self._octets, 0)
            self._is_speech = np.append(self._is_speech, encoding is not None and encoding.name in COMPANDED)
            self._origin = np.append(self._origin, -1)
            self._last_arrival_ns = np.append(self._last_arrival_ns, first_arrival_ns)
            self._accepted_ns = np.append(self._accepted_ns, first_arrival_ns)
            self._accepted_sequence = np.append(self._accepted_sequence, -1)
            self._stall_ns = np.append(self._stall_ns, int(1e9 * spec.limits.max_stall_seconds))
            window_frames = int(spec.limits.reorder_window_seconds * (encoding.sample_rate_hz if encoding else 0))
            if self._merger is not None and spec.is_merged:
                self._merger.add(index, spec.legs, window_frames)
            if encoding is None:
                continue
            rate_hz = encoding.sample_rate_hz
            self._timing.set_clock_rate(index, rate_hz)
            self._timing.set_tsdf_window(index, spec.limits.tsdf_window_seconds)
            self._tracker.set_window(index, window_frames)
            packet_frames = int(part.payload_length[first]) // encoding.bytes_per_frame
            self._stall_ns[index] = max(self._stall_ns[index], STALL_PACKETS * packet_frames * 10**9 // rate_hz)
            if isinstance(spec.reference, Tone) and packet_frames > 0:
                spec.reference.check(rate_hz, encoding.channels)
                form = tone_format(rate_hz, encoding.channels, packet_frames, spec.reference)
                if (form, encoding) not in self._groups:
                    self._groups[form, encoding] = _Group(form, encoding)
                self._groups[form, encoding].add(opened, spec.reference)

    # Packets --------------------------------------------------------------------------------------------------------

    def _take(self, part: RtpBatch, stream: NDArray[np.int64]) -> None:
        """Take packets of known streams."""
        per_frame = self._bytes_per_frame[stream]
        known = per_frame > 0
        frames = np.where(known, part.payload_length // np.maximum(per_frame, 1), -1)
        now_ns = int(part.arrival_ns[-1])
        if self._merger is not None:
            kept = np.flatnonzero(self._merger.merge(part, stream, frames))
            part, stream, frames = part.take(kept), stream[kept], frames[kept]
            per_frame, known = per_frame[kept], known[kept]
        if len(part):
            self._take_first_copies(part, stream, frames, known & (frames * per_frame == part.payload_length))
        self._judge_when_due(now_ns)

    def _take_first_copies(
        self, part: RtpBatch, stream: NDArray[np.int64], frames: NDArray[np.int64], whole: NDArray[np.bool_]
    ) -> None:
        """Take packets that no other leg brought before; ``whole`` are those that hold whole frames."""
        changed = part.payload_type != self._payload_type[stream]
        beside = self._beside(part, changed) if changed.any() else changed
        odd = (frames >= 0) & ~(whole & (frames > 0)) & ~beside
        for index in stream[odd].tolist() if odd.any() else ():
            self.streams[index].odd_lengths += 1
        whole = whole & ~odd & ~beside & ~self._foreign[stream]
        frames = np.where(beside, 0, frames)
        placement = self._tracker.update(
            stream, part.sequence, part.timestamp, frames, self._marks(part, stream, beside)
        )
        octets = np.bincount(stream, part.payload_length * placement.accepted, len(self._octets))
        self._octets += octets.astype(np.int64)
        self._settle_origins()
        if changed.any():
            whole &= ~self._change_payload_types(part, stream, placement, beside, np.unique(stream[changed]))
        self._watch_arrivals(part, stream, placement, beside)
        rest = self._restart_rows(part, stream, frames, placement, placement.accepted & whole)
        self._write_resolved(placement.resolved)
        for row in np.flatnonzero(placement.held).tolist():
            self._hold(part, int(stream[row]), row, int(frames[row]) if whole[row] else 0)
        self._write(part, stream, frames, placement, rest)
        self._tell_transport(placement)

    def _beside(self, part: RtpBatch, changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which packets of another payload type lie beside the audio: comfort noise and telephone events."""
        event = (part.payload_type >= FIRST_DYNAMIC) & (part.payload_length == TELEPHONE_EVENT_BYTES)
        beside: NDArray[np.bool_] = changed & ((part.payload_type == COMFORT_NOISE) | event)
        return beside

    def _marks(self, part: RtpBatch, stream: NDArray[np.int64], beside: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Return what packets say of their place beside their numbers."""
        speech = self._is_speech[stream]
        if not (speech | beside).any():
            return None
        audio = np.where(part.marker, Mark.SPURT, Mark.SPEECH)
        return np.where(beside, Mark.BESIDE, np.where(speech, audio, Mark.NONE))

    def _restart_rows(
        self,
        part: RtpBatch,
        stream: NDArray[np.int64],
        frames: NDArray[np.int64],
        placement: Placement,
        wanted: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Write and judge what lies before each break of a stream, which begins anew there.

        Return which of the packets that are ``wanted`` are still to be written.
        """
        for jump in placement.discontinuities:
            owner = self.streams[jump.stream]
            if owner.track is None:
                continue
            before = [item for item in placement.resolved if item.stream == jump.stream and item.timestamp < jump.frame]
            self._write_resolved(before)
            placement.resolved = [item for item in placement.resolved if item not in before]
            earlier = wanted & (stream == jump.stream) & (placement.timestamp < jump.frame)
            self._write(part, stream, frames, placement, earlier)
            wanted = wanted & ~earlier
            for event in owner.track.analysis.restart(owner.track.row, self._frame(owner, jump.frame)):
                self._tell(owner, event)
        return wanted

    def _change_payload_types(
        self,
        part: RtpBatch,
        stream: NDArray[np.int64],
        placement: Placement,
        beside: NDArray[np.bool_],
        changing: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Tell of other payload types in streams that have some.

        Return which packets cannot be decoded as the rest of their stream.
        """
        foreign = np.zeros(len(part), np.bool_)
        for row in np.flatnonzero(np.isin(stream, changing) & ~beside).tolist():
            owner, payload_type = self.streams[int(stream[row])], int(part.payload_type[row])
            foreign[row] = owner.spec.encoding_of(payload_type) != owner.encoding
            if payload_type == owner.payload_type or not placement.accepted[row]:
                continue
            frame = self._frame(owner, int(placement.timestamp[row]))
            sequence = int(placement.sequence[row])
            event = owner.payload_type_change(payload_type, sequence, frame, int(part.arrival_ns[row]))
            self._tell(owner, event)
            owner.payload_type = payload_type
            self._payload_type[owner.index] = payload_type
            self._foreign[owner.index] = foreign[row]
        return foreign

    def _watch_arrivals(
        self, part: RtpBatch, stream: NDArray[np.int64], placement: Placement, beside: NDArray[np.bool_]
    ) -> None:
        """Follow arrival times: jitter, drift, and senders that fall silent."""
        self._last_arrival_ns[stream] = part.arrival_ns
        for index in stream[beside & placement.accepted].tolist() if beside.any() else ():
            self.streams[index].packets_beside += 1
        behind_breaks = {(jump.stream, jump.sequence) for jump in placement.discontinuities}
        for resolved in placement.resolved:
            held = self._held[resolved.stream]
            owner, sequence = np.array([resolved.stream]), np.array([resolved.sequence])
            self._note_arrivals(
                _Arrivals(owner, sequence, np.array([resolved.timestamp]), held.arrival_ns, []), behind_breaks
            )
        kept = placement.accepted & ~beside
        self._note_arrivals(
            _Arrivals(
                stream[kept],
                placement.sequence[kept],
                placement.timestamp[kept],
                part.arrival_ns[kept],
                placement.discontinuities,
            ),
            behind_breaks,
        )
        if self._untimed_packets >= TIMED_PACKETS:
            self._time_arrivals()

    def _note_arrivals(self, arrivals: _Arrivals, behind_breaks: set[tuple[int, int]]) -> None:
        """Tell of silences, except where the sender's numbers broke, and keep the arrivals.

        The timing of many of them is judged at once.
        """
        self._untimed.append(arrivals)
        self._untimed_packets += len(arrivals.stream)
        if len(arrivals.stream) == 0:
            return
        groups = group_by_stream(arrivals.stream)
        of, first, last = arrivals.stream[groups.rows], groups.first, groups.stop - 1
        at, sequence = arrivals.arrival_ns[groups.rows], arrivals.sequence[groups.rows]
        before, before_sequence = np.empty_like(at), np.empty_like(sequence)
        before[1:], before_sequence[1:] = at[:-1], sequence[:-1]
        before[first] = self._accepted_ns[groups.stream]
        before_sequence[first] = self._accepted_sequence[groups.stream]
        self._accepted_ns[groups.stream] = at[last]
        self._accepted_sequence[groups.stream] = sequence[last]
        silent = (at - before > self._stall_ns[of]) & (sequence - before_sequence == 1)
        for i in np.flatnonzero(silent).tolist():
            owner = self.streams[int(of[i])]
            if (owner.index, int(sequence[i])) in behind_breaks or owner.said_goodbye:
                continue
            frame = self._frame(owner, int(arrivals.timestamp[groups.rows][i]))
            self._tell(owner, owner.stall(int(sequence[i]), frame, int(at[i] - before[i]) / 1e9, int(at[i])))

    def _time_arrivals(self) -> None:
        """Bring jitter, drift and packet times up to date."""
        queue, self._untimed, self._untimed_packets = self._untimed, [], 0
        if queue:
            self._timing.update(
                np.concatenate([item.stream for item in queue]),
                np.concatenate([item.sequence for item in queue]),
                np.concatenate([item.timestamp for item in queue]),
                np.concatenate([item.arrival_ns for item in queue]),
                [jump for item in queue for jump in item.jumps],
            )

    # Frames ---------------------------------------------------------------------------------------------------------

    def _write(
        self,
        part: RtpBatch,
        stream: NDArray[np.int64],
        frames: NDArray[np.int64],
        placement: Placement,
        wanted: NDArray[np.bool_],
    ) -> None:
        """Decode payloads and write their frames to the timelines, packets of one format and length together."""
        for group in self._groups.values():
            row_of = np.full(len(self.streams), -1)
            row_of[group.index] = np.arange(len(group.index))
            row = row_of[stream]
            at = np.flatnonzero(wanted & (row >= 0))
            if len(at) == 0:
                continue
            for length in np.unique(frames[at]).tolist():
                rows = at[frames[at] == length]
                samples = decode(group.encoding, part.source.arena, part.payload_offset[rows], length)
                packets = Packets(
                    row[rows],
                    placement.sequence[rows],
                    placement.timestamp[rows],
                    part.arrival_ns[rows],
                    samples,
                )
                self._place(group, packets)

    def _place(self, group: _Group, packets: Packets) -> None:
        """Write decoded packets of one length; those of a stream whose origin is not known yet wait for it."""
        origin = self._origin[group.index[packets.row]]
        early = origin < 0
        if early.any():
            for row in np.unique(packets.row[early]).tolist():
                group.streams[row].early.append(packets.take(early & (packets.row == row)))
            packets, origin = packets.take(~early), origin[~early]
        if len(packets.row):
            self._write_frames(group, packets, packets.timestamp - origin)

    def _write_frames(self, group: _Group, packets: Packets, frame: NDArray[np.int64]) -> None:
        """Write packets at their frames; where they run far ahead, judge what lies before them first."""
        timeline, frames = group.analysis.timeline, packets.samples.shape[1]
        group.packets.write(packets.row, packets.sequence, frame, packets.arrival_ns)
        while True:
            _, high = timeline.limits(packets.row)
            fits = frame + frames <= high
            if fits.all():
                timeline.write(packets.row, frame, packets.samples)
                return
            timeline.write(packets.row[fits], frame[fits], packets.samples[fits])
            packets, frame = packets.take(~fits), frame[~fits]
            rows = np.unique(packets.row)
            next_frame = np.array([frame[packets.row == row].min() for row in rows.tolist()])
            group.analysis.advance(rows, next_frame)

    def _write_resolved(self, packets: Sequence[Resolved]) -> None:
        """Write packets that had been held and turned out to be right."""
        for resolved in packets:
            held = self._held.pop(resolved.stream)
            stream = self.streams[resolved.stream]
            if stream.track is None or held.samples.shape[1] == 0:
                continue
            group = self._group(stream)
            row = np.array([stream.track.row])
            sequence, timestamp = np.array([resolved.sequence]), np.array([resolved.timestamp])
            self._place(group, Packets(row, sequence, timestamp, held.arrival_ns, held.samples))

    def _hold(self, part: RtpBatch, index: int, row: int, frames: int) -> None:
        """Keep the payload of a packet of which the next ones decide whether it is right."""
        stream = self.streams[index]
        at = slice(row, row + 1)
        samples = np.zeros((1, 0, 1))
        if stream.track is not None and stream.encoding is not None and frames > 0:
            samples = decode(stream.encoding, part.source.arena, part.payload_offset[at], frames)
        none = np.zeros(1, np.int64)
        self._held[index] = Packets(none, none, none, part.arrival_ns[at].copy(), samples)

    def _settle_origins(self) -> None:
        """Start the timeline of streams whose earliest packet is known now, with the packets that waited for it."""
        settled = self._tracker.origin_settled
        origins = self._tracker.origin_timestamp
        for index in np.flatnonzero((self._origin < 0) & settled[: len(self._origin)]).tolist():
            stream = self.streams[index]
            stream.origin = int(origins[index])
            self._origin[index] = origins[index]
            early, stream.early = stream.early, []
            for packets in early:
                self._write_frames(self._group(stream), packets, packets.timestamp - stream.origin)

    def _judge_when_due(self, now_ns: int) -> None:
        """Judge what is settled, unless that was done a moment ago; a clock that was set back does not put it off."""
        if not self._judged_ns <= now_ns < self._judged_ns + JUDGED_NS:
            self._judged_ns = now_ns
            self._advance_groups()

    def _advance_groups(self) -> None:
        """Judge every block that is settled, and collect what the detectors tell."""
        settled = self._tracker.settled
        for group in self._groups.values():
            origin = self._origin[group.index]
            rows = np.flatnonzero(origin >= 0)
            group.analysis.advance(rows, settled[group.index[rows]] - origin[rows])
            for row, event in group.analysis.take_events():
                self._tell(group.streams[row], event)

    def _group(self, stream: Stream) -> _Group:
        if stream.track is None:
            raise AssertionError(f"stream {stream.index} has no frames to judge")
        return next(group for group in self._groups.values() if group.analysis is stream.track.analysis)

    def _frame(self, stream: Stream, timestamp: int) -> int:
        """Return the frame of an unwrapped timestamp, counted from the stream's earliest packet so far."""
        origin = stream.origin
        return timestamp - (int(self._tracker.origin_timestamp[stream.index]) if origin is None else origin)

    # Telling --------------------------------------------------------------------------------------------------------

    def _tell_transport(self, placement: Placement) -> None:
        for jump in placement.discontinuities:
            self._tell_jump(self.streams[jump.stream], jump)
        for gap in placement.gaps:
            stream = self.streams[gap.stream]
            self._tell(stream, stream.gap(gap))

    def _tell_jump(self, stream: Stream, jump: Discontinuity) -> None:
        """Tell that the sender's numbers broke; silence that it left out is only noted."""
        if jump.kind is Jump.PAUSE:
            stream.pauses += 1
        else:
            self._tell(stream, stream.jump(jump))
            stream.start_over()
        if jump.kind in (Jump.PAUSE, Jump.TIMESTAMP):
            stream.media_time.jump(self._frame(stream, jump.frame), jump.frames)

    def _tell(self, stream: Stream, event: Event) -> None:
        self._told.append(StreamEvent(stream, *stream.told(event)))

    def _take_told(self) -> list[StreamEvent]:
        told, self._told = self._told, []
        return told

    def _refresh(self, stream: Stream) -> None:
        """Bring the figures of a stream up to date."""
        index = stream.index
        stream.counts = self._tracker.counts(index)
        stream.end_frame = self._frame(stream, int(self._tracker.end_timestamp[index]))
        stream.last_arrival_ns = int(self._last_arrival_ns[index])
        stream.jitter_seconds = self._timing.jitter_seconds(index)
        stream.clock_drift_ppm = self._timing.clock_drift_ppm(index)
        stream.packet_time_seconds = self._timing.packet_time_seconds(index)
        stream.extended_sequence = self._tracker.head_sequence(index)
        stream.wire = WireFigures(
            run_lengths=self._tracker.run_lengths(index),
            pattern=self._tracker.loss_pattern(index),
            intervals=self._timing.intervals(index),
            packet_time_changes=self._timing.packet_time_changes(index),
            max_jitter_seconds=self._timing.max_jitter_seconds(index),
            tsdf_seconds=self._timing.tsdf_seconds(index),
            max_tsdf_seconds=self._timing.max_tsdf_seconds(index),
            longest_interval_seconds=self._timing.longest_interval_seconds(index),
        )
        if self._merger is not None:
            stream.legs = self._merger.legs(index)
            stream.differing = self._merger.differing(index)


def _encoding_of(parts: Sequence[Part], index: int, spec: StreamSpec, payload_type: int) -> Encoding | None:
    """Return how a new stream is decoded; what a description says of the channels gives way to its first packets."""
    encoding = spec.encoding_of(payload_type)
    if spec.announced is None:
        return encoding
    encoding = encoding or spec.announced.encoding(payload_type)
    if encoding is None:
        return None
    seen: tuple[int, int] | None = None
    for part, of, _ in parts:
        for row in np.flatnonzero((of == index) & (part.payload_type == payload_type))[:FIRST_PACKETS].tolist():
            sequence, timestamp = int(part.sequence[row]), int(part.timestamp[row])
            if seen is not None and sequence != seen[0]:
                steps = wrap_difference(sequence, seen[0], 16)
                step, rest = divmod(wrap_difference(timestamp, seen[1], 32), steps)
                if rest or not _takes_any_channels(spec):
                    return encoding
                return fitting(encoding, int(part.payload_length[row]), step)
            seen = seen or (sequence, timestamp)
    return encoding


def _takes_any_channels(spec: StreamSpec) -> bool:
    """Tell whether the reference holds for another number of channels than announced."""
    return not isinstance(spec.reference, Tone) or len(spec.reference.frequencies_hz) <= 1
