"""From placed packets to checked frames: payloads are decoded, written where they belong, and compared with references.

Streams of one format and encoding share a timeline; packets of one length are decoded and written together. A stream
whose sender continues in another encoding continues in another track; its frames count on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.format_group import Analysis, Format, stream_format
from rtpverify.engine.placed import PlacedBatch, PlacedPacket
from rtpverify.engine.stream import FormatRow, Stream
from rtpverify.errors import RequestError
from rtpverify.events import Event
from rtpverify.failure import RowError, contained
from rtpverify.reference import Recording, Tone
from rtpverify.rtp.payload import COMPANDED, Encoding, decode
from rtpverify.transport.rows import Rows, RowTable
from rtpverify.transport.sequence import SequenceTracker

AHEAD_SECONDS = 0.5
"""How far packets may run ahead of what is settled before a batch is taken in pieces."""
STORED_AHEAD_SECONDS = 4.0
"""The same where all of them are there already: what is checked at once is then worth the memory."""
FEW_SOURCES = 8
"""Where more come at once, they share the work, and what each is ahead takes memory."""
MANY_STRETCHES = 2
"""A group that has room for more can wait until a stretch is whole."""
PIECE_SAMPLES = 1 << 17
"""Samples that are decoded and written at a time: they stay in a core's own cache."""
JUDGED_NS = 100_000_000
"""Arrival time for which settled frames may wait to be checked: the cost of checking is by the call."""
HURRIED_NS = 20_000_000
"""The same while a disturbance is being examined: what the frames after it say is waited for."""


NEVER = np.iinfo(np.int64).max
MAX_FORMATS = 8
"""Formats that one stream is checked in; where its sender continues to further ones, those are not."""


@dataclass(slots=True)
class Packets:
    """Decoded packets of one length.

    ``row`` is the row of the stream, ``sequence`` and ``timestamp`` are extended, all of shape (n,); ``samples`` has
    shape (n, frames, channels).
    """

    row: NDArray[np.int64]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    samples: NDArray[np.float32]

    def take(self, chosen: NDArray[np.bool_]) -> Packets:
        """Return some of the packets.

        Parameters
        ----------
        chosen
            Which packets, shape (n,).

        Returns
        -------
        Packets
            These packets, in the same order.
        """
        return Packets(
            self.row[chosen],
            self.sequence[chosen],
            self.timestamp[chosen],
            self.arrival_ns[chosen],
            self.samples[chosen],
        )


class _Group(Rows):
    """All streams of one format and encoding, which have rows of their own here."""

    FRESH: ClassVar = {"index": -1}
    index: NDArray[np.int64]
    """Stream index of each row; -1 where the stream was removed."""

    def __init__(self, form: Format, encoding: Encoding, ahead_seconds: float) -> None:
        super().__init__()
        self.encoding = encoding
        ahead_frames = int(ahead_seconds * form.sample_rate_hz)
        self.analysis = Analysis(form, ahead_frames, np.float32)
        self.ahead_frames = ahead_frames
        self.longest_frames = ahead_frames // 2
        """Frames that are written at once where packets are long or of several lengths."""
        self.streams: list[Stream] = []
        self.rows = np.zeros(0, np.int64)
        """Rows in which their stream continues."""

    def add(self, stream: Stream, reference: Tone | Recording, frame: int) -> int:
        """Give a stream a row that begins at ``frame``: the one that it had before, where there is one."""
        if self.has(stream):
            row = int(np.flatnonzero(self.index == stream.index)[0])
        else:
            companded = self.encoding.name in COMPANDED
            row = self.analysis.add(reference, stream.spec.limits, self.encoding.bits, companded=companded)
            self.streams[row : row + 1] = [stream]
            self.fresh_row(row)
            self.index[row] = stream.index
        self.analysis.begin(row, frame)
        self.rows = np.union1d(self.rows, row)
        return row

    def has(self, stream: Stream) -> bool:
        """Return whether a stream has, or had, a row here."""
        return bool((self.index == stream.index).any())

    def leave(self, row: int) -> None:
        """Let a stream continue elsewhere; the rest of its row is still to be checked."""
        self.rows = np.setdiff1d(self.rows, row)

    def remove(self, row: int) -> None:
        """Take a row from its stream, which has been finished."""
        self.analysis.remove(row)
        self.leave(row)
        self.index[row] = -1


Fail = Callable[[Stream | None, str, Exception], None]
"""Takes that something failed of a stream, or of one that is not known: where, and how."""
OnFrames = Callable[[Stream, NDArray[np.int64], NDArray[np.float32]], None]
"""Takes packets of one stream: the first frame of each, shape (n,), and their samples, shape (n, frames, channels)."""


class Tracks(Rows):
    """The frames of all streams.

    Parameters
    ----------
    table
        Where the rows of streams come from.
    tracker
        Where packets belong and what is settled.
    tell
        Takes the events that detectors report.
    fail
        Takes what failed, and of which stream where that is known; it is to be given up then.
    on_frames
        Takes all frames of every stream, where given.
    ahead_seconds
        How far packets of a few sources may run ahead of what is settled before a batch is taken in pieces.

    Attributes
    ----------
    sources
        How many sources the packets of the present batch are of, as far as that is known.
    """

    FRESH: ClassVar = {"_origin": -1, "_group": -1, "_row": -1, "_due": NEVER}
    _origin: NDArray[np.int64]
    """Unwrapped timestamp of frame 0, -1 until it is known."""
    _group: NDArray[np.int64]
    """Number of the group that a stream's frames go to; -1: none."""
    _row: NDArray[np.int64]
    """Row of that group."""
    _due: NDArray[np.int64]
    """Unwrapped timestamp at which frames have waited for long enough to be checked, whenever they arrived."""

    def __init__(
        self,
        table: RowTable[Stream],
        tracker: SequenceTracker,
        tell: Callable[[Stream, Event], None],
        fail: Fail,
        on_frames: OnFrames | None,
        ahead_seconds: float,
    ) -> None:
        self._ahead_seconds = ahead_seconds
        self.sources = 0
        self._table = table
        self._tracker = tracker
        self._tell = tell
        self._fail = fail
        self._on_frames = on_frames
        self._groups: dict[int, _Group] = {}
        self._number: dict[tuple[Format, Encoding], int] = {}
        self._next_number = 0
        self._without_origin: set[int] = set()
        """Streams of which the earliest packet is not known for sure yet."""
        self._early: dict[int, list[tuple[_Group, Packets]]] = {}
        """Packets that came before the earliest packet of their stream is known for sure."""
        self._ending: list[tuple[Stream, FormatRow]] = []
        """Tracks that were left; packets of theirs may still come."""
        self._judged_ns = 0
        self._in_a_hurry = False
        super().__init__(table)

    # Streams --------------------------------------------------------------------------------------------------------

    def add(self, stream: Stream, packet_frames: int) -> None:
        """Take in a stream; it gets a track where it has a reference and whole frames.

        Parameters
        ----------
        stream
            The stream.
        packet_frames
            Frames of its packets.
        """
        self._without_origin.add(stream.index)
        with self._contained(stream):
            self._begin(stream, stream.encoding, packet_frames, 0)

    def switch(self, stream: Stream, encoding: Encoding | None, packet_frames: int, frame: int) -> None:
        """Let a stream continue in another encoding from ``frame`` on; None: it cannot be decoded any more.

        Parameters
        ----------
        stream
            The stream.
        encoding
            The encoding.
        packet_frames
            Frames of its packets from then on.
        frame
            First frame in the new encoding.

        Raises
        ------
        RequestError
            Where its reference cannot hold for that encoding, or it had too many of them; it has no track then.
        """
        track = stream.track
        if track is not None:
            track.stop_frame = frame
            self._groups[track.group].leave(track.row)
            self._ending.append((stream, track))
            stream.earlier = [*stream.earlier[1 - MAX_FORMATS :], track]
            stream.track = None
            self._leave(stream.index)
        self._begin(stream, encoding, packet_frames, frame)

    def restart(self, stream: Stream, frame: int) -> None:
        """Check a stream again from ``frame`` on, where its sender's numbers broke, but nothing twice.

        Parameters
        ----------
        stream
            The stream.
        frame
            First frame after the break.
        """
        with self._contained(stream):
            if stream.track is not None:
                frame = max(frame, stream.track.analysis.judged_frame(stream.track.row))
                for event in stream.track.analysis.restart(stream.track.row, frame):
                    self._tell(stream, event)

    def finish(self, stream: Stream) -> None:
        """Check the rest of a stream that ends.

        Parameters
        ----------
        stream
            The stream.
        """
        with self._contained(stream):
            self._end(stream)
            if stream.track is not None:
                for event in stream.track.analysis.finish(stream.track.row, self._tracker.end_frame(stream.index)):
                    self._tell(stream, event)

    def give_up(self, stream: Stream) -> None:
        """Check a stream no further, as that failed; what it showed until then stays.

        Parameters
        ----------
        stream
            The stream.
        """
        for event in stream.log.close_signal(self._tracker.end_frame(stream.index)):
            self._tell(stream, event)
        self._leave(stream.index)
        self._forget(stream.index)
        stream.track, stream.earlier = None, []

    def _leave(self, index: int) -> None:
        """Let the frames of a stream go nowhere."""
        self._group[index] = self._row[index] = -1
        self._due[index] = NEVER

    def _contained(self, stream: Stream) -> AbstractContextManager[None]:
        """Let what fails cost this stream alone."""
        return contained(lambda error: self._fail(stream, "signal", error))

    def fresh_row(self, row: int) -> None:
        """Make a row fresh: its stream has been finished, or is another one.

        Parameters
        ----------
        row
            Row of the stream.
        """
        self._forget(row)
        self._without_origin.discard(row)
        super().fresh_row(row)

    def _forget(self, index: int) -> None:
        """Forget the frames of a stream, and formats that no stream has any more."""
        self._ending = [item for item in self._ending if item[0].index != index]
        self._early.pop(index, None)
        for number, group in list(self._groups.items()):
            for row in np.flatnonzero(group.index == index).tolist():
                group.remove(row)
            if (group.index < 0).all():
                del self._groups[number]
        self._number = {key: number for key, number in self._number.items() if number in self._groups}

    def _begin(self, stream: Stream, encoding: Encoding | None, packet_frames: int, frame: int) -> None:
        """Give a stream a track from ``frame`` on, where there is something to check."""
        reference = stream.spec.reference
        if reference is None or encoding is None or packet_frames <= 0 or stream.failure is not None:
            return
        if not stream.is_checked:
            return
        key = stream_format(encoding.sample_rate_hz, encoding.channels, packet_frames, reference), encoding
        formats = [number for number, group in self._groups.items() if group.has(stream)]
        number = self._number.get(key, self._next_number)
        if number not in formats and len(formats) >= MAX_FORMATS:
            raise RequestError(f"the stream had {MAX_FORMATS} formats before")
        if number == self._next_number:
            self._number[key] = number
            ahead_seconds = self._ahead_seconds if self.sources <= FEW_SOURCES else AHEAD_SECONDS
            self._groups[number] = _Group(*key, ahead_seconds)
            self._next_number += 1
        group = self._groups[number]
        self._end(stream, group)
        row = group.add(stream, reference, frame)
        stream.track = FormatRow(number, group.analysis, row, encoding, frame)
        self._group[stream.index], self._row[stream.index] = number, row
        self._due[stream.index] = -NEVER

    def _end(self, stream: Stream, group: _Group | None = None) -> None:
        """Check the tracks that a stream has left to their ends, in one group or in all."""
        for item in [item for item in self._ending if item[0] is stream]:
            track = item[1]
            if group is None or self._groups[track.group] is group:
                self._ending.remove(item)
                stop = track.stop_frame or 0
                track.analysis.advance(np.array([track.row]), np.array([stop]))
                for event in track.analysis.finish(track.row, stop):
                    self._tell(stream, event)

    # Writing --------------------------------------------------------------------------------------------------------

    def write(self, batch: PlacedBatch, wanted: NDArray[np.bool_]) -> None:
        """Decode payloads in the present encodings of their streams and write their frames to the timelines.

        Packets of one format and length go together. Where lengths mix, what is far ahead of the first packets waits
        until all that lies before it is written: it may have to be checked to make room.

        Parameters
        ----------
        batch
            Packets and their places.
        wanted
            Which of them are written, shape (n,).
        """
        of_group, frames = self._group[batch.stream], batch.frames
        for number, group in list(self._groups.items()):
            at = np.flatnonzero(wanted & (of_group == number))
            lengths = np.unique(frames[at]).tolist()
            for stretch in self._stretches(group, batch, at) if len(lengths) > 1 else [at]:
                for length in lengths:
                    self._write_alike(group, batch, stretch[frames[stretch] == length], length)

    def _stretches(self, group: _Group, batch: PlacedBatch, at: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield packets of any lengths in stretches that the timelines have room for, and make it."""
        stream, timestamp = batch.stream[at], batch.placement.timestamp[at]
        first = np.full(len(self._origin), NEVER)
        np.minimum.at(first, stream, timestamp)
        number = (timestamp - first[stream]) // group.longest_frames
        # A packet may reach past the end of its stretch; a very long one is the last of it, and written last.
        room_frames = group.longest_frames + min(int(batch.frames[at].max()), group.longest_frames)
        for one in np.unique(number).tolist():
            chosen = number == one
            known = chosen & (self._origin[stream] >= 0)
            self._make_room(group, self._row[stream[known]], (timestamp - self._origin[stream])[known], room_frames)
            yield at[chosen]

    def _write_alike(self, group: _Group, batch: PlacedBatch, rows: NDArray[np.int64], length: int) -> None:
        """Decode and write packets of one group and length; what fails is tried for each stream by itself."""
        try:
            self._write_rows(group, batch, rows, length)
        except Exception:
            # Written twice, a frame is what it was: whoever is not at fault loses nothing.
            for index in np.unique(batch.stream[rows]).tolist():
                with self._contained(self._table.owner(index)):
                    self._write_rows(group, batch, rows[batch.stream[rows] == index], length)

    def _write_rows(self, group: _Group, batch: PlacedBatch, rows: NDArray[np.int64], length: int) -> None:
        """Decode and write packets of one group and length; those of streams that were given up are omitted."""
        rows = rows[self._row[batch.stream[rows]] >= 0]
        if len(rows) == 0:
            return
        arrival_ns = batch.part.arrival_ns
        at_once = max(1, PIECE_SAMPLES // (length * group.encoding.channels))
        for part in (rows[start : start + at_once] for start in range(0, len(rows), at_once)):
            packets = Packets(
                self._row[batch.stream[part]],
                batch.placement.sequence[part],
                batch.placement.timestamp[part],
                arrival_ns[part],
                decode(group.encoding, batch.part.source.arena, batch.part.payload_offset[part], length),
            )
            self._place(group, packets)

    def write_one(self, stream: Stream, packet: PlacedPacket) -> None:
        """Write one packet, whatever its encoding, to the track that its stream had there.

        Parameters
        ----------
        stream
            The stream.
        packet
            The packet and its place.
        """
        with self._contained(stream):
            self._write_one(stream, packet)

    def _write_one(self, stream: Stream, packet: PlacedPacket) -> None:
        frame = self._tracker.frame_of(stream.index, packet.timestamp)
        track = stream.track_at(frame)
        if track is None or packet.encoding != track.encoding or packet.frames <= 0:
            return
        row, sequence = np.array([track.row]), np.array([packet.sequence])
        timestamp, arrival_ns = np.array([packet.timestamp]), np.array([packet.arrival_ns])
        samples = decode(track.encoding, packet.payload, np.zeros(1, np.int64), packet.frames)
        self._place(self._groups[track.group], Packets(row, sequence, timestamp, arrival_ns, samples))

    def settle_origins(self) -> None:
        """Start the timeline of streams whose earliest packet is known now, with the packets that waited for it."""
        if not self._without_origin:
            return
        settled, origins = self._tracker.origin_settled, self._tracker.origin_timestamp
        for index in sorted(index for index in self._without_origin if settled[index]):
            self._without_origin.remove(index)
            origin = int(origins[index])
            stream = self._table.owner(index)
            stream.origin = self._origin[index] = origin
            with self._contained(stream):
                for group, packets in self._early.pop(index, ()):
                    self._write_frames(group, packets, packets.timestamp - origin)

    def _place(self, group: _Group, packets: Packets) -> None:
        """Write decoded packets of one length; those of a stream whose origin is not known yet wait for it."""
        of = group.index[packets.row]
        origin = self._origin[of]
        early = origin < 0
        if early.any():
            for index in np.unique(of[early]).tolist():
                self._early.setdefault(index, []).append((group, packets.take(early & (of == index))))
            packets, origin = packets.take(~early), origin[~early]
        if len(packets.row):
            self._write_frames(group, packets, packets.timestamp - origin)

    def _write_frames(self, group: _Group, packets: Packets, frame: NDArray[np.int64]) -> None:
        """Write packets at their frames, very long ones piece by piece."""
        if self._on_frames is not None:
            for row in np.unique(packets.row).tolist():
                mine = packets.row == row
                self._on_frames(group.streams[row], frame[mine], packets.samples[mine])
        frames, longest = packets.samples.shape[1], group.longest_frames
        if frames <= longest:
            self._write_pieces(group, packets.row, frame, packets.samples)
            return
        for at, row in enumerate(packets.row[:, None]):
            for start in range(0, frames, longest):
                piece = packets.samples[at : at + 1, start : start + longest]
                self._write_pieces(group, row, frame[at : at + 1] + start, piece)

    def _write_pieces(
        self, group: _Group, row: NDArray[np.int64], frame: NDArray[np.int64], samples: NDArray[np.float32]
    ) -> None:
        """Write frames; where they run far ahead, check what lies before them first."""
        timeline, frames = group.analysis.timeline, samples.shape[1]
        while True:
            fits = frame + frames <= timeline.limits(row)[1]
            if fits.all():
                timeline.write(row, frame, samples)
                return
            # The samples of a stream in order are cut, not copied.
            first = int(np.argmin(fits))
            rest: NDArray[np.bool_] | slice = slice(first, None) if not fits[first:].any() else ~fits
            done: NDArray[np.bool_] | slice = slice(first) if isinstance(rest, slice) else fits
            timeline.write(row[done], frame[done], samples[done])
            row, frame, samples = row[rest], frame[rest], samples[rest]
            self._make_room(group, row, frame, frames)
            going_on = group.index[row] >= 0
            if not going_on.all():
                row, frame, samples = row[going_on], frame[going_on], samples[going_on]

    def _make_room(self, group: _Group, row: NDArray[np.int64], frame: NDArray[np.int64], frames: int) -> None:
        """Check timelines as far as it takes to write so many frames from the first of these on, shape (n,).

        None of them has been written. What is not settled is checked only where there is no room otherwise.
        """
        timeline, rows = group.analysis.timeline, np.unique(row)
        first = np.array([frame[row == one].min() for one in rows.tolist()], np.int64)
        of = group.index[rows]
        settled = np.minimum(self._tracker.settled[of] - self._origin[of], first)
        stretch = group.analysis.stretch_frames
        # Whole stretches are less work than parts of them.
        for until in (settled // stretch * stretch, settled, first):
            full = (first + frames > timeline.limits(rows)[1]) & (group.index[rows] >= 0)
            if full.any():
                self._advance(group, rows[full], until[full])

    # Checking --------------------------------------------------------------------------------------------------------

    def judge_when_due(self, now_ns: int) -> None:
        """Check what is settled, unless that was done a moment ago; a clock that was set back does not put it off.

        Parameters
        ----------
        now_ns
            Arrival clock, in ns since the Unix epoch.
        """
        wait_ns = HURRIED_NS if self._in_a_hurry else JUDGED_NS
        is_due = (self._tracker.end_timestamp >= self._due).any()
        if is_due or not self._judged_ns <= now_ns < self._judged_ns + wait_ns:
            self._judged_ns = now_ns
            self.judge(to_end=False)
            self._in_a_hurry = any(group.analysis.in_a_hurry for group in self._groups.values())

    def judge(self, *, to_end: bool = True) -> None:
        """Check every block that is settled, and collect what the detectors show.

        Parameters
        ----------
        to_end
            Whether also a rest that can wait until a whole stretch is there, in groups that have room for it.
        """
        settled, end = self._tracker.settled, self._tracker.end_timestamp
        for group in list(self._groups.values()):
            streams = group.index[group.rows]
            self._due[streams] = end[streams] + group.ahead_frames
            origin = self._origin[streams]
            rows, origin = group.rows[origin >= 0], origin[origin >= 0]
            until, stretch = settled[group.index[rows]] - origin, group.analysis.stretch_frames
            if not to_end and group.ahead_frames > MANY_STRETCHES * stretch:
                until = until // stretch * stretch
            self._advance(group, rows, until)
            self._take_events(group)
        for stream in [stream for stream, track in self._ending if self._is_settled(stream, track, settled)]:
            with self._contained(stream):
                self._end(stream)

    def _advance(self, group: _Group, rows: NDArray[np.int64], settled: NDArray[np.int64]) -> None:
        """Check rows of a group before their settled frames; who cannot be checked is given up."""
        failed, renewed = group.analysis.advance_each(rows, settled)
        for row in renewed:
            stream = group.streams[row]
            stream.restarted_frame = group.analysis.judged_frame(row)
            for event in stream.log.close_signal(stream.restarted_frame):
                self._tell(stream, event)
        for at, error in failed:
            self._fail(None if at is None else group.streams[at], "signal", error)

    def _take_events(self, group: _Group) -> None:
        """Take what the detector of a group says."""
        for _ in range(len(group.streams) + 1):
            try:
                for row, event in group.analysis.take_events():
                    self._tell(group.streams[row], event)
            except RowError as error:
                self._fail(group.streams[error.row], "signal", error)
            else:
                return

    def _is_settled(self, stream: Stream, track: FormatRow, settled: NDArray[np.int64]) -> bool:
        """Return whether nothing can come any more of a track that was left."""
        origin = int(self._origin[stream.index])
        return origin >= 0 and int(settled[stream.index]) - origin >= (track.stop_frame or 0)
