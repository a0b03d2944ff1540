"""The order of packets in one stream, checked one packet at a time.

:class:`rtpverify.transport.sequence.SequenceTracker` handles everything in step by itself and comes here only with
packets that are not. Sequence numbers say what arrived, timestamps say where it lies:

- *Numbers*. A packet has an extended sequence number (RFC 3550 A.1). The *head* is the packet furthest ahead. A number
  that comes while it is in the window is never lost, whatever its timestamp; what is lost are missing numbers, and
  nothing else.
- *Place*. A packet has a place on the media timeline in frames. The packet after the head follows the frames that
  the head holds. Where packets are missing between, it lies where its timestamp says, if they can have been that long:
  as long each as packets that were seen. Else they are taken for as long as the head.
- *Timestamps* that say otherwise (:mod:`rtpverify.transport.timestamps`) are measured: they jumped, or they are wrong.
  While they contradict the numbers, the stream is followed by its numbers alone.
- *Doubt*. A packet whose timestamp is the first to deviate is held: should another one with its number come that fits,
  it was none of the stream (``stray``); else it is accepted when a later one comes. A number that is neither near nor
  borne out by its timestamp is held too: if the next packet continues from there, the sender started over; else it was
  an ignored packet. (RFC 3550 A.1 does the same with ``bad_seq``.)
- *Window*. It is in frames of media time; neither a clock nor the cut into batches matters. It is what was set, and
  at least :data:`MIN_WINDOW_STEPS` packets. A missing packet is lost once the head is further from it than the window.
  It is never found again: it comes late.
- *Not decoded*. Where the frames of packets are not known, the stream is followed by its numbers alone: several packets
  may have one timestamp, or a lower one. Its window is in packets. Its timeline is that of the timestamps, which there
  never goes back.
- *Restarts*. The timeline continues directly after the head, whatever the new numbers are. What was missing before is
  lost at once.
- *Start over*. A run of copies of earlier packets, longer than the window and with nothing new between them, is a
  sender that started over with the same numbers.
- *Pauses*. Where a sender may leave silence out, a packet that says so lies ahead in time with the next sequence
  number, and the timeline continues directly after the head. Packets *besides* the audio (comfort noise, telephone
  events) take sequence numbers and no media time.
- *Start*. Packets before the first one received are good while they lie in the window; the earliest is the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtpverify.rtp.serial import wrap_difference
from rtpverify.transport.counts import PacketCounts
from rtpverify.transport.pending_gaps import Hole, Missing
from rtpverify.transport.placement import Break, Discontinuity, Jump, Mark, Resolved, StreamFindings, Verdicts
from rtpverify.transport.timestamps import Timestamps

MIN_WINDOW_STEPS = 3
"""Least reorder window, in packets."""
HORIZON_WINDOWS = 20
"""Numbers that jump further than this, back or ahead without the timestamps bearing it out, mean a restart."""
MAX_DROPOUT = 3000
"""Packets that may be missing in a row where timestamps show nothing (RFC 3550 A.1)."""
MAX_MISORDER = 100
"""How far back a number may lie there."""
NEAR_PACKETS = 16
"""Numbers this far apart may bear each other out."""
MAX_STEP_FRAMES = 1 << 20
"""Longest step between timestamps of packets that are not decoded."""


@dataclass(slots=True)
class Packet:
    """A packet as it came; ``row`` is None once its update is over. ``frames`` is negative where not known."""

    row: int | None
    sequence: int
    timestamp: int
    frames: int
    mark: int = Mark.NONE
    copies: int = 0
    """Further ones like it, while it is held."""
    goes_on: bool = False
    """While it is held: its number continues from the head, and only its timestamp is in doubt."""


class StreamOrder:
    """State of one stream.

    ``sequence`` (extended), ``timestamp`` (its place, unwrapped) and ``frames`` belong to the head; ``shift`` is its
    place less its timestamp on the wire; ``frames`` is negative where the packet is not decoded.

    Parameters
    ----------
    stream
        Index of the stream.
    """

    __slots__ = (
        "_beside",
        "_copies",
        "_found",
        "_held",
        "_last_copy",
        "_previous",
        "_segment_sequence",
        "_segment_timestamp",
        "_succeeds",
        "counts",
        "frames",
        "longest_step",
        "missing",
        "origin",
        "origin_open",
        "sequence",
        "shift",
        "shortest_step",
        "started",
        "stream",
        "timestamp",
        "timestamps",
        "window",
    )

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.window = 0
        self.started = False
        self.origin_open = False
        self.origin = self.sequence = self.timestamp = self.frames = self.shift = 0
        self.shortest_step = MAX_STEP_FRAMES
        self.longest_step = 0
        self.counts = PacketCounts()
        self.missing = Missing(stream)
        self.timestamps = Timestamps(stream)
        self._found = StreamFindings()
        """What is certain but for its place, which is not settled yet."""
        self._succeeds = False
        self._beside: int | None = None
        """The head, where the packet there is none of audio."""
        self._copies = 0
        """Copies one after another, with nothing new between them."""
        self._last_copy: tuple[int, int] | None = None
        """The last of them, and the head at that time."""
        self._held: Packet | None = None
        self._segment_sequence = self._segment_timestamp = 0
        self._previous: tuple[int, int, int] | None = None

    @property
    def step(self) -> int:
        """Frames of the head, 0 where they are not known."""
        return max(self.frames, 0)

    @property
    def open(self) -> bool:
        """Whether packets in step can still settle something."""
        return self.origin_open or bool(self.missing) or self._held is not None or self.timestamps.is_open or self.lags

    @property
    def lags(self) -> bool:
        """Whether the timestamp of a head that is not decoded lies before one that came earlier."""
        return self.frames < 0 and self.shift != self.timestamps.base

    @property
    def front(self) -> int | None:
        """First frame that is not settled: of a packet that may still come, or of timestamps that are in doubt."""
        missing, pending = self.missing.front, self.timestamps.pending
        if missing is None or pending is None:
            return pending if missing is None else missing
        return min(missing, pending)

    def succeed(self) -> None:
        """Take the next packet for the first of another sender, who continues in place of this one."""
        self._succeeds = self.started
        self.started = False

    def packet(
        self, row: int | None, sequence: int, timestamp: int, frames: int, out: Verdicts, mark: int = Mark.NONE
    ) -> None:
        """Check one packet.

        Parameters
        ----------
        row
            Where its verdict goes in ``out``; None for a packet of an earlier update.
        sequence, timestamp
            As on the wire.
        frames
            Frames in the payload; negative where it is not decoded.
        out
            Takes the verdicts.
        mark
            What else the packet says of its place, a :class:`Mark`.
        """
        packet = Packet(row, sequence, timestamp, frames, mark)
        if self.started:
            self._judge(packet, out)
            return
        self.started = True
        if self._succeeds:
            self._succeeds = False
            self._release(out)
            self._break(packet, Jump.SSRC, out)
        else:
            self._begin(packet, out)

    def run(self, count: int, elapsed: int, frames: int, shortest: int, longest: int, out: Verdicts) -> None:
        """Move the head over ``count`` packets in step, ``elapsed`` frames in all; the last one has ``frames``.

        Where :attr:`open`, none of them may be longer than any before. ``shortest`` and ``longest`` are the frames of
        those that are decoded.

        Parameters
        ----------
        count
            Packets.
        elapsed
            Frames from the head to the last of them.
        frames
            Frames of the last one; less than 1 where they are not known.
        shortest
            Fewest frames of any of them.
        longest
            Most frames of any of them.
        out
            Takes the verdicts.
        """
        held = self._held
        if held is not None and held.goes_on and count < self._ahead(held) <= 1 + self._reach:
            self.counts.reordered += count
        else:
            self._drop_held(out)
        place = self.timestamp + elapsed
        if self.frames < 0:
            place = max(self.timestamp, place + self.timestamps.base - self.shift)
            self.shift += place - self.timestamp - elapsed
        else:
            self.timestamps.agree(count, elapsed - self.frames + frames)
        self.sequence += count
        self.timestamp = place
        self.frames = frames
        self._see_length(shortest)
        self._see_length(longest)
        self.counts.received += count
        self.settle(out)

    def settle(self, out: Verdicts) -> None:
        """Count what has left the window as lost, and decide about timestamps.

        Parameters
        ----------
        out
            Takes the verdicts.
        """
        if self.origin_open and self._has_passed(self._segment_sequence, self.origin):
            self.origin_open = False
        self.timestamps.settle(self.timestamp, self._found)
        if self.missing:
            self._close()
        self._report(out)

    def end_update(self, out: Verdicts) -> None:
        """Say which packet of this update is still held.

        Parameters
        ----------
        out
            Takes the verdicts.
        """
        if self._held is not None and self._held.row is not None:
            out.hold(self._held.row)
            self._held.row = None

    def finish(self, out: Verdicts) -> None:
        """Settle everything: what is missing is lost; what is held is accepted where its number continues.

        Parameters
        ----------
        out
            Takes the verdicts.
        """
        self._release(out)
        self._end_segment(out)

    def _end_segment(self, out: Verdicts) -> None:
        """Settle everything before here."""
        self._close(everything=True)
        self.timestamps.finish(self._found)
        self.origin_open = False
        self._report(out)

    # Lengths and windows --------------------------------------------------------------------------------------------

    @property
    def window_frames(self) -> int:
        """Reorder window in frames."""
        return max(self.window, MIN_WINDOW_STEPS * self.longest_step)

    @property
    def _reach(self) -> int:
        """Reorder window in packets as long as the longest."""
        return max(MIN_WINDOW_STEPS, self.window // self.longest_step if self.longest_step else 0)

    @property
    def _horizon(self) -> int:
        return HORIZON_WINDOWS * self.window_frames

    @property
    def _by_numbers(self) -> bool:
        """Whether timestamps say nothing of a packet's place now."""
        return self.frames < 0 or self.timestamps.unsettled

    def _see_length(self, frames: int) -> None:
        if frames > 0:
            self.shortest_step = min(self.shortest_step, frames)
            self.longest_step = max(self.longest_step, frames)
            self.timestamps.longest_frames = self.longest_step

    def _usual(self, packet: Packet) -> int:
        """Return how long a missing packet before this one is taken for."""
        return max(self.step, packet.frames, 1)

    def _ahead(self, packet: Packet) -> int:
        return wrap_difference(packet.sequence, self.sequence, 16)

    def _has_passed(self, sequence: int, place: int) -> bool:
        """Return whether an earlier packet with this number and place has left the window."""
        if self.frames < 0:
            return self.sequence - sequence >= self._reach
        return self.timestamp - place >= self.window_frames

    def _can_hold(self, packets: int, frames: int, other: int) -> bool:
        """Return whether so many packets can hold ``frames`` in all: each what was seen, or ``other`` where known."""
        shortest, longest = self.shortest_step, self.longest_step
        if other > 0:
            shortest, longest = min(shortest, other), max(longest, other)
        return packets * shortest <= frames <= packets * longest

    # Ahead of the head ----------------------------------------------------------------------------------------------

    def _begin(self, packet: Packet, out: Verdicts) -> None:
        self.origin_open = True
        self.origin = self._segment_timestamp = packet.timestamp
        self._segment_sequence = packet.sequence
        self.timestamps.begin(0)
        self._advance(packet, packet.sequence, packet.timestamp, None, out)

    def _judge(self, packet: Packet, out: Verdicts) -> None:
        ahead = self._ahead(packet)
        if packet.mark == Mark.BESIDE:
            self._take_beside(packet, ahead, out)
            return
        place = self._place(packet, ahead) if ahead > 0 else None
        if place is not None:
            if self._settles_held(ahead, out):
                self._judge(packet, out)
            else:
                self._go_on(packet, ahead, place, out)
        elif self._ends_pause(packet, ahead):
            if self._settles_held(ahead, out):
                self._judge(packet, out)
            else:
                self._pause(packet, ahead, out)
        elif ahead > 0 and ahead - 1 <= self._most_missing(packet):
            self._go_on_in_doubt(packet, ahead, out)
        elif not (ahead <= 0 and self._behind(packet, ahead, out)) and not self._of_previous_segment(packet):
            self._doubt(packet, out)

    def _place(self, packet: Packet, ahead: int) -> int | None:
        """Return where a packet ahead of the head lies, None where its number and timestamp contradict each other."""
        end, missing = self.timestamp + self.step, ahead - 1
        beyond = wrap_difference(packet.timestamp + self.timestamps.base, end, 32)
        if self.frames < 0 or packet.frames < 0:
            if missing > MAX_MISORDER:
                return None
            can_be = 0 <= beyond <= MAX_STEP_FRAMES * ahead and (missing or self.frames < 0)
            return end + (beyond if can_be else missing * self.step)
        if self._can_hold(missing, beyond, packet.frames):
            return end + beyond
        # Where the timestamp of the head deviates this one may continue from there.
        beyond = wrap_difference(packet.timestamp + self.shift, end, 32)
        return end + beyond if self._can_hold(missing, beyond, packet.frames) else None

    def _most_missing(self, packet: Packet) -> int:
        """Return how many packets may be missing before one whose timestamp does not say where it lies."""
        if self.frames < 0:
            return MAX_DROPOUT
        return max(MAX_DROPOUT if self._by_numbers else 0, self._horizon // self._usual(packet))

    def _settles_held(self, ahead: int, out: Verdicts) -> bool:
        """Decide about the packet that is held, now that the stream continues ``ahead`` of its head.

        Return whether the held one is the head now.
        """
        held = self._held
        if held is None:
            return False
        held_ahead = self._ahead(held)
        if held.goes_on and 0 < held_ahead < ahead:
            self._release(out)
            return True
        if held.goes_on and ahead < held_ahead <= ahead + self._reach:
            self.counts.reordered += 1
        else:
            self._drop_held(out)
        return False

    def _go_on_in_doubt(self, packet: Packet, ahead: int, out: Verdicts) -> None:
        """Check a packet whose number continues from the head while its timestamp does not."""
        held = self._held
        if held is None and (not self._by_numbers or ahead > MAX_MISORDER):
            packet.goes_on = True
            self._held = packet
        elif held is not None and held.sequence == packet.sequence:
            if held.timestamp == packet.timestamp:
                held.copies += 1
            else:
                self.counts.stray += 1
        elif held is not None and self._bears_out(held, packet):
            self._start_over(held, packet, out)
        elif held is not None and (not held.goes_on or 0 < self._ahead(held) < ahead):
            self._release(out, packet)
            self._judge(packet, out)
        else:
            self.counts.reordered += held is not None
            self._go_on(packet, ahead, self._usual_place(packet, ahead), out)
            self._release(out)

    def _usual_place(self, packet: Packet, ahead: int) -> int:
        return self.timestamp + self.step + (ahead - 1) * (self._usual(packet) if self.step else 0)

    def _release(self, out: Verdicts, following: Packet | None = None) -> None:
        """Accept the packet that is held where its number continues from the head; else drop it.

        ``following`` is a later one that continues from there, or does not.
        """
        held = self._held
        ahead = 0 if held is None else self._ahead(held)
        if held is None or not held.goes_on or ahead < 1:
            self._drop_held(out)
            return
        self._held = None
        place = self._place(held, ahead)
        if place is None:
            follows = following is None or self._is_in_step(held, following)
            skipped = wrap_difference(held.timestamp + self.shift, self.timestamp + self.step, 32) == 0
            place = self.timestamp + self.step if skipped and follows else self._usual_place(held, ahead)
        self.counts.duplicated += held.copies
        self._go_on(held, ahead, place, out)

    def _go_on(self, packet: Packet, ahead: int, place: int, out: Verdicts) -> None:
        """Accept a packet ahead of the head, and miss those between."""
        missing = ahead - 1
        if missing:
            start = self.timestamp + (self.step or (place - self.timestamp) // ahead)
            self.missing.add(Hole(self.sequence + 1, missing, start, place))
        elapsed = None if missing else wrap_difference(packet.timestamp, self.timestamp - self.shift, 32)
        self._advance(packet, self.sequence + ahead, place, elapsed, out)

    def _advance(self, packet: Packet, sequence: int, place: int, elapsed: int | None, out: Verdicts) -> None:
        """Accept a packet as the head; ``elapsed`` is None where the one before is missing."""
        timestamps = self.timestamps
        deviation = wrap_difference(packet.timestamp + timestamps.base - place, 0, 32)
        if packet.frames >= 0 and self.frames >= 0:
            is_pause = packet.mark == Mark.SPEECH and elapsed is None
            step = None if elapsed is None else (elapsed, self.frames)
            if timestamps.breaks_at(place, deviation, packet.frames):
                out.breaks.append(Break(self.stream, sequence))
            timestamps.take(sequence, place, packet.timestamp, packet.frames, step, self._found, may_end_pause=is_pause)
        elif deviation and not (packet.frames < 0 and self.frames < 0 and -MAX_STEP_FRAMES <= deviation < 0):
            # How long the packet before is is not known, or timestamps that show no place went elsewhere.
            timestamps.anchor(sequence, deviation, self._found)
            deviation = 0
        self.shift = timestamps.base - deviation
        self.sequence, self.timestamp, self.frames = sequence, place, packet.frames
        self._see_length(packet.frames)
        self._accept(packet.row, sequence, place, out)
        self.settle(out)

    def _accept(self, row: int | None, sequence: int, place: int, out: Verdicts) -> None:
        self.counts.received += 1
        if row is None:
            out.resolved.append(Resolved(self.stream, sequence, place))
        else:
            out.accept(row, sequence, place)

    # Pauses and packets next to the audio ----------------------------------------------------------------------------

    def _ends_pause(self, packet: Packet, ahead: int) -> bool:
        """Return whether a packet ends silence that its sender omitted."""
        if ahead < 1 or self.frames < 0 or packet.frames < 0:
            return False
        if packet.mark != Mark.SPURT and self._beside != self.sequence:
            return False
        place = self._usual_place(packet, ahead)
        return place - self.timestamp <= self._horizon and self._silence(packet, place) > 0

    def _silence(self, packet: Packet, place: int) -> int:
        """Return how far ahead of a place a timestamp lies, counted from the head's."""
        return wrap_difference(packet.timestamp + self.shift, place, 32)

    def _pause(self, packet: Packet, ahead: int, out: Verdicts) -> None:
        """Continue with a packet that ends silence directly after the head, and those that are missing."""
        place, sequence = self._usual_place(packet, ahead), self.sequence + ahead
        silence = self._silence(packet, place)
        self._report_break(packet, Jump.PAUSE, sequence, place, place - self.shift, silence, out)
        self.timestamps.move(sequence, silence)
        self.shift -= silence
        self._go_on(packet, ahead, place, out)

    def _take_beside(self, packet: Packet, ahead: int, out: Verdicts) -> None:
        """Check a packet that takes a sequence number and no media time."""
        if ahead > 0 and ahead - 1 <= self._most_missing(packet):
            if self._settles_held(ahead, out):
                ahead = self._ahead(packet)
            missing = (ahead - 1) * self.step
            if ahead > 1:
                start = self.timestamp + self.step
                self.missing.add(Hole(self.sequence + 1, ahead - 1, start, start + missing))
                self.timestamp += missing
            self.sequence += ahead
            self._beside = self.sequence
            self._accept(packet.row, self.sequence, self.timestamp, out)
            self.settle(out)
            return
        sequence = self.sequence + ahead
        hole = self.missing.at(sequence)
        if hole is not None and sequence - hole.first >= hole.lost:
            middle = hole.frame(sequence - hole.first)
            self.missing.fill(hole, sequence, middle, middle)
            self.counts.reordered += 1
            self._accept(packet.row, sequence, middle, out)
            return
        self._count_old(sequence)

    # Behind the head ------------------------------------------------------------------------------------------------

    def _behind(self, packet: Packet, ahead: int, out: Verdicts) -> bool:
        """Check a packet that is not ahead of the head; return False where it does not fit."""
        sequence, step = self.sequence + ahead, self._usual(packet)
        if self._by_numbers:
            near = -ahead <= max(MAX_MISORDER, 0 if self.frames < 0 else self._horizon // step)
        else:
            base = self.timestamps.base_of(sequence)
            near = self._lies_near(ahead, wrap_difference(packet.timestamp + base, self.timestamp, 32), step)
        if not near:
            return False
        if sequence < self._segment_sequence:
            self._before_start(packet, sequence, out)
            return True
        hole = self.missing.at(sequence)
        if hole is not None:
            self._fill(hole, packet, sequence, out)
            return True
        if self._starts_over(sequence, step):
            return False
        self._count_old(sequence)
        return True

    def _lies_near(self, ahead: int, elapsed: int, step: int) -> bool:
        """Return whether a packet that is not ahead lies where one of this stream may have been."""
        if ahead == 0:
            return elapsed == 0
        return ahead * step >= -self._horizon and max(2 * ahead * step, -self._horizon) <= elapsed <= 0

    def _starts_over(self, sequence: int, step: int) -> bool:
        """Return whether the last copies came in order, with nothing new between, for longer than the window."""
        if self.missing.was_lost(sequence):
            return False
        goes_on = self._last_copy == (sequence - 1, self.sequence)
        self._copies = self._copies + 1 if goes_on else 1
        self._last_copy = (sequence, self.sequence)
        return self._copies > MAX_MISORDER if self.frames < 0 else self._copies * step > self.window_frames

    def _before_start(self, packet: Packet, sequence: int, out: Verdicts) -> None:
        """Check a packet before the first one of the segment."""
        ahead = self._segment_sequence - sequence
        end, base = self._segment_timestamp, self.timestamps.base_of(sequence)
        length = max(packet.frames, 0)
        between = wrap_difference(end, packet.timestamp + base, 32) - length
        if packet.frames < 0:
            if not 0 <= between <= MAX_STEP_FRAMES * ahead:
                between = 0
        elif not self._can_hold(ahead - 1, between, packet.frames):
            between = (ahead - 1) * length
        place = end - between - length
        passed = (
            self.sequence - sequence > self._reach if self.frames < 0 else self.timestamp - place > self.window_frames
        )
        if not self.origin_open or passed:
            self.counts.late += 1
            return
        if ahead > 1:
            start = place + (length or between // ahead)
            self.missing.add(Hole(sequence + 1, ahead - 1, start, end), first=True)
        if packet.frames >= 0:
            self.timestamps.note(sequence, place, packet.timestamp, packet.frames, self._found)
        self._segment_sequence = sequence
        self.origin = self._segment_timestamp = place
        self.counts.reordered += 1
        self._accept(packet.row, sequence, place, out)

    def _fill(self, hole: Hole, packet: Packet, sequence: int, out: Verdicts) -> None:
        """Check a packet whose place is empty."""
        index = sequence - hole.first
        if index < hole.lost:
            self.counts.late += 1
            return
        start, end = hole.frame(index), hole.frame(index + 1)
        said = hole.start + wrap_difference(packet.timestamp + self.timestamps.base_of(sequence), hole.start, 32)
        said_end = said + max(packet.frames, 0)
        if packet.frames < 0:
            can_be = hole.start <= said <= hole.end
        else:
            before, after = said - hole.start, hole.end - said_end
            can_be = self._can_hold(index, before, packet.frames)
            can_be = can_be and self._can_hold(hole.count - index - 1, after, packet.frames)
        if can_be:
            start, end = said, said_end
        if packet.frames >= 0:
            self.timestamps.note(sequence, start, packet.timestamp, packet.frames, self._found)
        self.missing.fill(hole, sequence, start, end)
        self.counts.reordered += 1
        self._accept(packet.row, sequence, start, out)
        self.settle(out)

    def _count_old(self, sequence: int) -> None:
        """Count a packet whose place is settled: late where it was lost, else a duplicate."""
        if self.missing.was_lost(sequence):
            self.counts.late += 1
        else:
            self.counts.duplicated += 1

    def _of_previous_segment(self, packet: Packet) -> bool:
        """Count a packet that was on its way while the sender started over."""
        if self._previous is None:
            return False
        if self._has_passed(self._segment_sequence, self._segment_timestamp):
            self._previous = None
            return False
        head, wire_timestamp, step = self._previous
        ahead = wrap_difference(packet.sequence, head, 16)
        elapsed = wrap_difference(packet.timestamp, wire_timestamp, 32)
        if ahead > 0 or not (-ahead <= MAX_MISORDER if self.frames < 0 else self._lies_near(ahead, elapsed, step)):
            return False
        self._count_old(head + ahead)
        return True

    # Doubt and restarts ---------------------------------------------------------------------------------------------

    def _doubt(self, packet: Packet, out: Verdicts) -> None:
        """Hold a packet that continues from nothing, or see that two of them bear each other out."""
        held = self._held
        if held is None:
            self._held = packet
        elif held.sequence == packet.sequence and held.timestamp == packet.timestamp:
            held.copies += 1
        elif self._bears_out(held, packet):
            self._start_over(held, packet, out)
        elif held.goes_on:
            self._release(out)
            self._judge(packet, out)
        else:
            self._drop_held(out)
            self._held = packet

    def _bears_out(self, held: Packet, packet: Packet) -> bool:
        """Return whether a packet and the one that is held, which continues from nothing, continue from each other."""
        if held.goes_on:
            return False
        ahead = wrap_difference(packet.sequence, held.sequence, 16)
        first, second = (held, packet) if ahead > 0 else (packet, held)
        return abs(ahead) == 1 or (abs(ahead) <= NEAR_PACKETS and self._is_in_step(first, second))

    def _is_in_step(self, first: Packet, second: Packet) -> bool:
        """Return whether number and timestamp of a packet continue from another one."""
        missing = wrap_difference(second.sequence, first.sequence, 16) - 1
        beyond = wrap_difference(second.timestamp, first.timestamp, 32) - first.frames
        return missing >= 0 and first.frames >= 0 and self._can_hold(missing, beyond, second.frames)

    def _start_over(self, held: Packet, packet: Packet, out: Verdicts) -> None:
        """Continue with two packets that bear each other out although they continue from nothing."""
        self._held = None
        first, second = (held, packet) if wrap_difference(packet.sequence, held.sequence, 16) > 0 else (packet, held)
        usual = self._usual(first)
        missed = wrap_difference(first.timestamp + self.shift, self.timestamp + self.step, 32)
        missing, rest = divmod(missed, usual)
        if self.frames >= 0 and missing > 0 and rest == 0 and (missing + 1 - self._ahead(first)) % 0x10000 == 0:
            # So long a gap that the sequence number wrapped meanwhile.
            self._go_on(first, missing + 1, self.timestamp + self.step + missed, out)
        else:
            self._break(first, Jump.RESTART, out)
        self.counts.duplicated += held.copies
        self._judge(second, out)

    def _drop_held(self, out: Verdicts) -> None:
        """Continue without the packet that is held: its number may still be missing, else it is ignored."""
        held, self._held = self._held, None
        if held is None:
            return
        sequence = self.sequence + self._ahead(held)
        hole = self.missing.at(sequence)
        if hole is not None and sequence - hole.first >= hole.lost:
            self._fill(hole, held, sequence, out)
            self.counts.duplicated += held.copies
        else:
            self.counts.stray += 1 + held.copies

    def _break(self, packet: Packet, kind: Jump, out: Verdicts) -> None:
        """Continue with a packet that starts over, directly after the head."""
        self._end_segment(out)
        place, sequence = self.timestamp + self.step, self.sequence + 1
        sequence += (packet.sequence - sequence) & 0xFFFF
        expected = place - self.shift
        self._report_break(
            packet, kind, sequence, place, expected, wrap_difference(packet.timestamp, expected, 32), out
        )
        self._previous = (self.sequence, self.timestamp - self.shift, max(self.step, 1))
        if kind is Jump.SSRC:
            self._previous = None
        self.timestamps.begin(place - packet.timestamp)
        self._segment_sequence, self._segment_timestamp = sequence, place
        self._advance(packet, sequence, place, None, out)

    def _report_break(
        self, packet: Packet, kind: Jump, sequence: int, place: int, expected: int, frames: int, out: Verdicts
    ) -> None:
        """Report that the sender's numbers broke before a packet, whose timestamp should have been ``expected``."""
        out.breaks.append(Break(self.stream, sequence))
        came = packet.sequence if kind is Jump.PAUSE else self.sequence + 1
        item = Discontinuity(
            stream=self.stream,
            kind=kind,
            sequence=sequence,
            frame=place,
            from_sequence=came & 0xFFFF,
            to_sequence=packet.sequence,
            from_timestamp=expected & 0xFFFFFFFF,
            to_timestamp=packet.timestamp,
            frames=frames,
        )
        self._found.discontinuities.append(item)

    # Losses ---------------------------------------------------------------------------------------------------------

    def _close(self, *, everything: bool = False) -> None:
        """Count missing packets that have left the window as lost."""

        def passed(hole: Hole) -> int:
            if everything:
                return hole.count
            if self.frames < 0:
                return min(max(self.sequence - self._reach - hole.first, 0), hole.count)
            return hole.passed(self.timestamp - self.window_frames)

        self.counts.lost += self.missing.close(passed, self.sequence, self._found.gaps)

    def _report(self, out: Verdicts) -> None:
        """Report what became certain, unless it is open where it lies."""
        if not self.origin_open and self.timestamps.pending is None:
            self._found.move_to(out.found)
