"""Sequence numbers and timestamps of all streams at once.

What is in step (the next sequence number, the timestamp one packet on) is handled for the whole batch in numpy; the
packets of a stream in which something is not go through :class:`rtpverify.transport.stream_order.StreamOrder`, which
holds the rules, and there only those that are not in step one by one. Both keep the same state, so it makes no
difference how the input is cut into batches. A stream is an index from 0, as the demultiplexer gives it.

Extended sequence numbers and unwrapped timestamps continue over restarts and timestamp jumps: the low 16 bits of the
former are always those on the wire, the latter continue directly after the last packet. Both start with the numbers of
the first packet received, so earlier ones that come after it may be negative.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.failure import contained
from rtpverify.transport.counts import LossPattern, PacketCounts
from rtpverify.transport.placement import Break, Mark, Resolved, StreamFindings
from rtpverify.transport.rows import Groups, Rows, group_by_stream
from rtpverify.transport.stream_order import MAX_STEP_FRAMES, MIN_WINDOW_STEPS, StreamOrder

_NEVER = np.iinfo(np.int64).max
_FAR_FRAMES = 1 << 40


@dataclass(slots=True)
class Placement:
    """Verdict on each packet of an update, shape (n,), in the order given.

    Attributes
    ----------
    sequence, timestamp
        Extended sequence number and unwrapped timestamp in frames, int64; valid where ``accepted``.
    accepted
        False for duplicates, late packets and ignored packets, and while ``held``.
    held
        The packet is in doubt and the next ones decide; at most one per stream. Its payload is worth keeping: should
        it turn out right, it is in ``resolved`` of a later update. A newer one in the same stream replaces it.
    resolved
        Held packets of earlier updates that are accepted now.
    found
        What became certain with this update. A timestamp jump is certain some packets after it; what follows it
        is not settled before.
    breaks
        Packets of this update before which delays are not compared with those after.
    groups
        The packets by stream; None where there were none.
    failed
        Streams of which packets could not be checked, and why: nothing of theirs is in the rest, and how far they were
        taken in is not known.
    """

    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    accepted: NDArray[np.bool_]
    held: NDArray[np.bool_]
    resolved: list[Resolved] = field(default_factory=list)
    found: StreamFindings = field(default_factory=StreamFindings)
    breaks: list[Break] = field(default_factory=list)
    groups: Groups | None = None
    failed: list[tuple[int, Exception]] = field(default_factory=list)

    def accept(self, row: int, sequence: int, timestamp: int) -> None:
        """Accept the packet in this row.

        Parameters
        ----------
        row
            Row of the packet in the update.
        sequence
            Extended sequence number.
        timestamp
            Unwrapped timestamp, in frames.
        """
        self.sequence[row] = sequence
        self.timestamp[row] = timestamp
        self.accepted[row] = True

    def hold(self, row: int) -> None:
        """Leave the packet in this row open.

        Parameters
        ----------
        row
            Row of the packet in the update.
        """
        self.held[row] = True

    def fail(self, stream: int, rows: NDArray[np.intp], error: Exception) -> None:
        """Take back everything of a stream, of whose packets these are the rows.

        Parameters
        ----------
        stream
            Index of the stream.
        rows
            Rows of its packets in the update, shape (n,).
        error
            Why they could not be placed.
        """
        self.accepted[rows] = self.held[rows] = False
        self.found.forget(stream)
        self.resolved = [item for item in self.resolved if item.stream != stream]
        self.breaks = [item for item in self.breaks if item.stream != stream]
        self.failed.append((stream, error))


class SequenceTracker(Rows):
    """Tracks the order of packets of any number of streams."""

    FRESH: ClassVar = {
        "_orders": StreamOrder,
        "_sequence": 0,
        "_timestamp": 0,
        "_frames": 0,
        "_shift": 0,
        "_shortest_step": MAX_STEP_FRAMES,
        "_longest_step": 0,
        "_received": 0,
        "_window": 0,
        "_started": False,
        "_open": False,
        "_lags": False,
        "_origin": 0,
        "_origin_open": False,
        "_front": _NEVER,
    }
    _orders: list[StreamOrder]
    # The head of each stream; the rest of a stream's state is in its StreamOrder.
    _sequence: NDArray[np.int64]
    _timestamp: NDArray[np.int64]
    _frames: NDArray[np.int64]
    _shift: NDArray[np.int64]
    _shortest_step: NDArray[np.int64]
    _longest_step: NDArray[np.int64]
    _received: NDArray[np.int64]
    _window: NDArray[np.int64]
    _started: NDArray[np.bool_]
    _open: NDArray[np.bool_]
    _lags: NDArray[np.bool_]
    # What follows from a stream's own state.
    _origin: NDArray[np.int64]
    _origin_open: NDArray[np.bool_]
    _front: NDArray[np.int64]

    def set_window(self, stream: int, frames: int, rate_hz: int = 0) -> None:
        """Set a stream's reorder window, which is never less than three packets, and its frames a second.

        Parameters
        ----------
        stream
            Index of the stream.
        frames
            Length of the window.
        rate_hz
            Clock rate: timestamp units a second; 0 where it is not known.
        """
        self._window[stream] = frames
        self._orders[stream].window = frames
        self._orders[stream].timestamps.rate_hz = rate_hz

    def succeed(self, stream: int) -> None:
        """Take a stream's next packet for the first of another sender, who continues the stream.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        order = self._load(stream)
        order.succeed()
        self._store(order)

    def update(
        self,
        stream: NDArray[np.int64],
        sequence: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        frames: NDArray[np.int64],
        marks: NDArray[np.int64] | None = None,
    ) -> Placement:
        """Place packets, in order of arrival.

        Parameters
        ----------
        stream
            Stream index of each packet, shape (n,).
        sequence, timestamp
            As on the wire, shape (n,).
        frames
            Frames in each payload, shape (n,); 0 or less where it is not decoded.
        marks
            What else each packet says of its place, a :class:`Mark`, shape (n,); None: nothing.

        Returns
        -------
        Placement
            A verdict on each packet, and what became certain.
        """
        n = len(stream)
        out = Placement(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_), np.zeros(n, np.bool_))
        if n == 0:
            return out
        groups = out.groups = group_by_stream(stream)
        by_stream, of, first, stop = groups.rows, groups.stream, groups.first, groups.stop
        sequence, timestamp, frames = sequence[by_stream], timestamp[by_stream], frames[by_stream]
        marks = np.zeros(n, np.int64) if marks is None else marks[by_stream]
        frames = np.where(frames > 0, frames, -1)
        in_step = self._in_step(of, first, sequence, timestamp, frames)
        beside = marks == Mark.BESIDE
        in_step &= ~beside
        in_step[1:] &= ~beside[:-1]

        count = stop - first
        position = np.arange(n) - np.repeat(first - 1, count)
        elapsed = timestamp - np.repeat(self._timestamp[of] - self._shift[of], count) & 0xFFFFFFFF
        out.sequence[by_stream] = np.repeat(self._sequence[of], count) + position
        out.timestamp[by_stream] = np.repeat(self._timestamp[of], count) + elapsed
        shortest, longest = _lengths(frames, first)
        regular = np.logical_and.reduceat(in_step, first) & ~self._lags[of]
        # While something is pending, a longer packet time changes the window on the way.
        pending = self._open[of]
        regular &= ~pending | (longest <= self._longest_step[of])
        out.accepted[by_stream] = np.repeat(regular, count)

        run = regular & ~pending
        ends = stop[run] - 1
        self._move_heads(of[run], count[run], elapsed[ends], frames[ends], shortest[run], longest[run])
        for i in np.flatnonzero(~run).tolist():
            rows, index = groups.rows_of(i), int(of[i])
            with contained(partial(out.fail, index, rows)):
                if regular[i]:
                    order = self._load(index)
                    end = int(stop[i]) - 1
                    order.run(
                        int(count[i]), int(elapsed[end]), int(frames[end]), int(shortest[i]), int(longest[i]), out
                    )
                    self._store(order)
                else:
                    part = slice(int(first[i]), int(stop[i]))
                    self._judge(
                        index, rows, sequence[part], timestamp[part], frames[part], marks[part], in_step[part], out
                    )
        return out

    def finish(self) -> Placement:
        """Settle everything that is still pending; the rows of the result are empty.

        Returns
        -------
        Placement
            What became certain.
        """
        none = np.zeros(0, np.int64)
        out = Placement(none, none, none.astype(np.bool_), none.astype(np.bool_))
        for stream in np.flatnonzero(self._open).tolist():
            with contained(partial(out.fail, stream, np.zeros(0, np.intp))):
                order = self._load(stream)
                order.finish(out)
                self._store(order)
        return out

    @property
    def settled(self) -> NDArray[np.int64]:
        """Unwrapped timestamp up to which nothing can change any more, shape (streams,); it never falls.

        Until the origin is settled it lies before it.
        """
        window = np.maximum(self._window, MIN_WINDOW_STEPS * self._longest_step)
        # How far back a packet lies that is not decoded, nobody can know.
        window = np.where(self._frames < 0, _FAR_FRAMES, window)
        end = np.minimum(self._front, self.end_timestamp)
        return np.where(self._origin_open, self._timestamp - window, end)

    @property
    def origin_timestamp(self) -> NDArray[np.int64]:
        """Unwrapped timestamp of the earliest packet so far, shape (streams,); valid for streams that have begun."""
        return self._origin.copy()

    @property
    def origin_settled(self) -> NDArray[np.bool_]:
        """Whether no earlier packet can come any more, shape (streams,)."""
        return self._started & ~self._origin_open

    @property
    def end_timestamp(self) -> NDArray[np.int64]:
        """Unwrapped timestamp after the packet furthest ahead, shape (streams,)."""
        return self._timestamp + np.maximum(self._frames, 0)

    def frame_of(self, stream: int, timestamp: int) -> int:
        """Return the frame of an unwrapped timestamp, counted from the stream's earliest packet so far.

        Parameters
        ----------
        stream
            Index of the stream.
        timestamp
            Unwrapped timestamp, in frames.

        Returns
        -------
        int
            Negative for packets that lie before it.
        """
        return timestamp - int(self._origin[stream])

    def end_frame(self, stream: int) -> int:
        """Return the frame after the packet furthest ahead, counted from the stream's earliest packet so far.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        int
            The frame.
        """
        return self.frame_of(stream, int(self._timestamp[stream]) + max(int(self._frames[stream]), 0))

    def counts(self, stream: int) -> PacketCounts:
        """Return a stream's counters; ``expected`` is received and lost together.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        PacketCounts
            A copy.
        """
        return self._load(stream).counts.copy()

    def expected_and_lost(self, stream: int) -> tuple[int, int]:
        """Return how many packets should have come by now, and how many of them did not.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        tuple[int, int]
            Packets expected, and packets lost.
        """
        counts = self._load(stream).counts
        return counts.expected, counts.lost

    def head_sequence(self, stream: int) -> int:
        """Return the extended sequence number of the packet furthest ahead.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        int
            Extended sequence number.
        """
        return int(self._sequence[stream])

    def run_lengths(self, stream: int) -> Counter[int]:
        """Return how often each number of consecutive packets was lost.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        Counter[int]
            By length in packets; runs longer than 65536 count as that.
        """
        return Counter(self._orders[stream].missing.run_lengths)

    def loss_pattern(self, stream: int) -> LossPattern:
        """Return how a stream's losses lie together (RFC 3611 section 4.7.2).

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        LossPattern
            The figures so far.
        """
        order = self._load(stream)
        return order.missing.bursts.pattern(order.counts.expected)

    def _in_step(
        self,
        of: NDArray[np.int64],
        first: NDArray[np.int64],
        sequence: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        frames: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Return which packets directly follow the one before in their stream, and lie where their timestamps say."""
        before_sequence, before_timestamp, step = np.empty((3, len(sequence)), np.int64)
        before_sequence[1:], before_timestamp[1:], step[1:] = sequence[:-1], timestamp[:-1], frames[:-1]
        before_sequence[first] = self._sequence[of]
        before_timestamp[first] = self._timestamp[of] - self._shift[of]
        step[first] = self._frames[of]
        elapsed = timestamp - before_timestamp & 0xFFFFFFFF
        in_step: NDArray[np.bool_] = elapsed == step
        unknown = step < 0
        if unknown.any():
            in_step |= unknown & (elapsed <= MAX_STEP_FRAMES)
        in_step &= unknown == (frames < 0)
        in_step &= sequence - before_sequence & 0xFFFF == 1
        in_step[first] &= self._started[of]
        return in_step

    def _move_heads(
        self,
        of: NDArray[np.int64],
        count: NDArray[np.int64],
        elapsed: NDArray[np.int64],
        frames: NDArray[np.int64],
        shortest: NDArray[np.int64],
        longest: NDArray[np.int64],
    ) -> None:
        """Move the heads of streams in which all is in step and nothing pending."""
        self._sequence[of] += count
        self._timestamp[of] += elapsed
        self._frames[of] = frames
        self._received[of] += count
        self._shortest_step[of] = np.minimum(self._shortest_step[of], shortest)
        self._longest_step[of] = np.maximum(self._longest_step[of], longest)

    def _judge(
        self,
        stream: int,
        rows: NDArray[np.intp],
        sequence: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        frames: NDArray[np.int64],
        marks: NDArray[np.int64],
        in_step: NDArray[np.bool_],
        out: Placement,
    ) -> None:
        """Check one stream's packets: runs in step at once, the others one by one."""
        order = self._load(stream)
        starts = np.union1d(0, np.flatnonzero(~in_step))
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
            at = start
            while at < stop:
                row = int(rows[at])
                order.packet(row, int(sequence[at]), int(timestamp[at]), int(frames[at]), out, int(marks[at]))
                at += 1
                if at == stop or not (out.accepted[row] and out.sequence[row] == order.sequence):
                    continue
                part = slice(at, stop)
                shortest, longest = _lengths(frames[part], np.zeros(1, np.intp))
                if order.open and longest[0] > order.longest_step:
                    continue
                elapsed = timestamp[part] - timestamp[at - 1] & 0xFFFFFFFF
                lag = order.timestamps.base - order.shift if order.lags else 0
                out.sequence[rows[part]] = order.sequence + np.arange(1, stop - at + 1)
                out.timestamp[rows[part]] = order.timestamp + np.maximum(elapsed + lag, 0)
                out.accepted[rows[part]] = True
                order.run(stop - at, int(elapsed[-1]), int(frames[stop - 1]), int(shortest[0]), int(longest[0]), out)
                at = stop
        order.end_update(out)
        self._store(order)

    def _load(self, stream: int) -> StreamOrder:
        """Bring a stream's own state up to date with its head."""
        order = self._orders[stream]
        order.sequence = int(self._sequence[stream])
        order.timestamp = int(self._timestamp[stream])
        order.frames = int(self._frames[stream])
        order.shortest_step = int(self._shortest_step[stream])
        order.longest_step = order.timestamps.longest_frames = int(self._longest_step[stream])
        order.counts.received = int(self._received[stream])
        return order

    def _store(self, order: StreamOrder) -> None:
        """Take over the head and what can be determined from a stream's own state."""
        stream = order.stream
        self._sequence[stream] = order.sequence
        self._timestamp[stream] = order.timestamp
        self._frames[stream] = order.frames
        self._shift[stream] = order.shift
        self._shortest_step[stream] = order.shortest_step
        self._longest_step[stream] = order.longest_step
        self._received[stream] = order.counts.received
        self._started[stream] = order.started
        self._open[stream] = order.open
        self._lags[stream] = order.lags
        self._origin[stream] = order.origin
        self._origin_open[stream] = order.origin_open
        front = order.front
        self._front[stream] = _NEVER if front is None else front


def _lengths(frames: NDArray[np.int64], first: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and the most frames of decoded packets from each of some rows on up to the next of them."""
    shortest = np.minimum.reduceat(np.where(frames > 0, frames, MAX_STEP_FRAMES), first)
    return shortest, np.maximum(np.maximum.reduceat(frames, first), 0)
