"""From placed packets to judged frames: payloads are decoded, written where they belong, and held against references.

Streams of one format and encoding share a timeline; packets of one length are decoded and written together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rtpverify.analysis import Analysis, Format, tone_format
from rtpverify.events import Event
from rtpverify.frames import COMPANDED
from rtpverify.packets import PacketIndex, Packets
from rtpverify.reference import Tone
from rtpverify.rtp.batch import RtpBatch
from rtpverify.rtp.payload import Encoding, decode
from rtpverify.rtp.sequence import Placement, SequenceTracker
from rtpverify.rtp.verdicts import Resolved
from rtpverify.slots import put, put_value
from rtpverify.stream import Stream, Track

AHEAD_SECONDS = 0.5
"""How far packets may run ahead of what is settled before a batch is taken in pieces."""
JUDGED_NS = 100_000_000
"""Arrival time for which settled frames may wait to be judged: the cost of judging is by the call."""


class _Group:
    """All streams of one format and encoding; arrays run over its rows."""

    def __init__(self, form: Format, encoding: Encoding) -> None:
        self.encoding = encoding
        self.analysis = Analysis(form, int(AHEAD_SECONDS * form.sample_rate_hz))
        self.packets = PacketIndex(form.packet_frames, form.sample_rate_hz)
        self.streams: list[Stream] = []
        self.index = np.zeros(0, np.int64)
        """Stream index of each row; -1 where the stream was removed."""
        self.rows = np.zeros(0, np.int64)
        """Rows that hold a stream."""

    def add(self, stream: Stream, reference: Tone) -> None:
        """Give a stream a row."""
        companded = self.encoding.name in COMPANDED
        row = self.analysis.add(reference, stream.spec.limits, self.encoding.bits, companded=companded)
        if row < len(self.streams):
            self.packets.reset(row)
        else:
            self.packets.add()
        put(self.streams, row, stream)
        self._set_index(row, stream.index)
        stream.track = Track(self.analysis, self.packets, row)

    def remove(self, row: int) -> None:
        """Take a row from its stream, which has been finished."""
        self.analysis.remove(row)
        self._set_index(row, -1)

    def _set_index(self, row: int, index: int) -> None:
        self.index = put_value(self.index, row, index)
        self.rows = np.flatnonzero(self.index >= 0)


class Tracks:
    """The frames of all streams.

    Parameters
    ----------
    tracker
        Where packets belong and what is settled.
    tell
        Takes the events that detectors tell.
    """

    def __init__(self, tracker: SequenceTracker, tell: Callable[[Stream, Event], None]) -> None:
        self._tracker = tracker
        self._tell = tell
        self._streams: list[Stream] = []
        self._groups: dict[tuple[Format, Encoding], _Group] = {}
        self._origin = np.zeros(0, np.int64)
        """Unwrapped timestamp of frame 0 of each stream, -1 until it is known."""
        self._held: dict[int, Packets] = {}
        self._judged_ns = 0

    def add(self, stream: Stream, packet_frames: int) -> None:
        """Take in a stream; it gets a track where it has a reference and whole frames.

        Raises
        ------
        RequestError
            Where its reference cannot hold for its encoding.
        """
        put(self._streams, stream.index, stream)
        self._origin = put_value(self._origin, stream.index, -1)
        reference, encoding = stream.spec.reference, stream.encoding
        if isinstance(reference, Tone) and encoding is not None and packet_frames > 0:
            reference.check(encoding.sample_rate_hz, encoding.channels)
            form = tone_format(encoding.sample_rate_hz, encoding.channels, packet_frames, reference)
            if (form, encoding) not in self._groups:
                self._groups[form, encoding] = _Group(form, encoding)
            self._groups[form, encoding].add(stream, reference)

    def remove(self, stream: Stream) -> None:
        """Forget a stream that has been finished, and a format that no stream has any more."""
        self.drop_held(stream.index)
        self._origin[stream.index] = -1
        if stream.track is None:
            return
        group = self._group(stream)
        group.remove(stream.track.row)
        if len(group.rows) == 0:
            self._groups = {form: one for form, one in self._groups.items() if one is not group}

    # Writing --------------------------------------------------------------------------------------------------------

    def write(
        self,
        part: RtpBatch,
        stream: NDArray[np.int64],
        frames: NDArray[np.int64],
        placement: Placement,
        wanted: NDArray[np.bool_],
    ) -> None:
        """Decode payloads and write their frames to the timelines, packets of one format and length together."""
        for group in self._groups.values():
            row_of = np.full(len(self._streams), -1)
            row_of[group.index[group.rows]] = group.rows
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

    def write_before_breaks(
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
            owner = self._streams[jump.stream]
            if owner.track is None:
                continue
            before = [item for item in placement.resolved if item.stream == jump.stream and item.timestamp < jump.frame]
            self.write_resolved(before)
            placement.resolved = [item for item in placement.resolved if item not in before]
            earlier = wanted & (stream == jump.stream) & (placement.timestamp < jump.frame)
            self.write(part, stream, frames, placement, earlier)
            wanted = wanted & ~earlier
            frame = self._tracker.frame_of(jump.stream, jump.frame)
            for event in owner.track.analysis.restart(owner.track.row, frame):
                self._tell(owner, event)
        return wanted

    def hold(self, part: RtpBatch, index: int, row: int, frames: int) -> None:
        """Keep the payload of a packet of which the next ones decide whether it is right."""
        stream = self._streams[index]
        at = slice(row, row + 1)
        samples = np.zeros((1, 0, 1))
        if stream.track is not None and stream.encoding is not None and frames > 0:
            samples = decode(stream.encoding, part.source.arena, part.payload_offset[at], frames)
        none = np.zeros(1, np.int64)
        self._held[index] = Packets(none, none, none, part.arrival_ns[at].copy(), samples)

    def held_arrival_ns(self, index: int) -> NDArray[np.int64]:
        """Return when the packet arrived that is held for a stream, shape (1,)."""
        return self._held[index].arrival_ns

    def drop_held(self, index: int) -> None:
        """Forget the packet that is held for a stream, where there is one."""
        self._held.pop(index, None)

    def write_resolved(self, packets: Sequence[Resolved]) -> None:
        """Write packets that had been held and turned out to be right."""
        for resolved in packets:
            held = self._held.pop(resolved.stream)
            stream = self._streams[resolved.stream]
            if stream.track is None or held.samples.shape[1] == 0:
                continue
            group = self._group(stream)
            row = np.array([stream.track.row])
            sequence, timestamp = np.array([resolved.sequence]), np.array([resolved.timestamp])
            self._place(group, Packets(row, sequence, timestamp, held.arrival_ns, held.samples))

    def settle_origins(self) -> None:
        """Start the timeline of streams whose earliest packet is known now, with the packets that waited for it."""
        settled = self._tracker.origin_settled
        origins = self._tracker.origin_timestamp
        for index in np.flatnonzero((self._origin < 0) & settled[: len(self._origin)]).tolist():
            stream = self._streams[index]
            stream.origin = int(origins[index])
            self._origin[index] = origins[index]
            early, stream.early = stream.early, []
            for packets in early:
                self._write_frames(self._group(stream), packets, packets.timestamp - stream.origin)

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

    # Judging --------------------------------------------------------------------------------------------------------

    def judge_when_due(self, now_ns: int) -> None:
        """Judge what is settled, unless that was done a moment ago; a clock that was set back does not put it off."""
        if not self._judged_ns <= now_ns < self._judged_ns + JUDGED_NS:
            self._judged_ns = now_ns
            self.judge()

    def judge(self) -> None:
        """Judge every block that is settled, and collect what the detectors tell."""
        settled = self._tracker.settled
        for group in self._groups.values():
            origin = self._origin[group.index[group.rows]]
            rows, origin = group.rows[origin >= 0], origin[origin >= 0]
            group.analysis.advance(rows, settled[group.index[rows]] - origin)
            for row, event in group.analysis.take_events():
                self._tell(group.streams[row], event)

    def finish(self, stream: Stream) -> None:
        """Judge what is left of a stream that ends."""
        if stream.track is not None:
            for event in stream.track.analysis.finish(stream.track.row, stream.end_frame):
                self._tell(stream, event)

    def _group(self, stream: Stream) -> _Group:
        if stream.track is None:
            raise AssertionError(f"stream {stream.index} has no frames to judge")
        return next(group for group in self._groups.values() if group.analysis is stream.track.analysis)
