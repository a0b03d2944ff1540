"""The order of packets in one stream, judged one packet at a time.

:class:`rtpverify.rtp.sequence.SequenceTracker` handles everything in step by itself and comes here only with packets
that are not. Rules:

- *Position*. A packet has an extended sequence number (RFC 3550 A.1) and a place on the media timeline in frames. The
  *head* is the packet furthest ahead. A packet's *step* is the timestamp distance to the next one: its frames, or what
  the sender's timestamps say where they steadily say something else or the encoding is unknown.
- *Time*. Windows are in frames of media time; neither a clock nor the cut into batches matters. The reorder window is
  what was set, at least :data:`MIN_WINDOW_STEPS` steps. A missing packet is lost once the head is further from it
  than the window. It is never found again: it comes late.
- *Fit*. A packet fits where sequence number and timestamp agree about its place. One that does not fit is held; the
  next one decides: if it continues the held packet, both are right and the stream has jumped; if it continues the
  head, the held one was a stray. (RFC 3550 A.1 does the same with ``bad_seq``.)
- *Jumps*. After a restart or timestamp jump the timeline goes on directly behind the head, whatever the new numbers
  are. What was missing before is lost at once.
- *Start over*. A run of copies of earlier packets, longer than the window and with nothing new between them, is a
  sender that started over with the same numbers.
- *Pauses*. Where a sender may leave silence out, a packet that says so lies ahead in time with the next sequence
  number, and the timeline goes on directly behind the head there too. Packets *beside* the audio (comfort noise,
  telephone events) take sequence numbers and no media time.
- *Start*. Packets before the first one received are good while they lie in the window; the earliest is the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtpverify.rtp.missing import Hole, Missing
from rtpverify.rtp.verdicts import Counts, Discontinuity, Jump, Mark, Resolved, Verdicts
from rtpverify.rtp.wrap import wrap_difference

MIN_WINDOW_STEPS = 3
"""Least reorder window, in packets."""
HORIZON_WINDOWS = 20
"""Numbers that jump further than this, back or ahead without the timestamps bearing it out, mean a restart."""
MAX_STEP_FRAMES = 1 << 20
"""Longest step learned from timestamps."""


@dataclass(slots=True)
class Held:
    """A packet that does not fit; ``row`` is None once its update is over."""

    row: int | None
    sequence: int
    timestamp: int
    frames: int
    mark: int = Mark.NONE
    copies: int = 0


class StreamOrder:
    """State of one stream.

    ``sequence``, ``timestamp`` (unwrapped), ``frames`` and ``step`` belong to the head; ``shift`` is the unwrapped
    timestamp less the one on the wire; ``frames`` is negative where the encoding is unknown.
    """

    __slots__ = (
        "_beside",
        "_copies",
        "_held",
        "_last_copy",
        "_previous",
        "_segment_sequence",
        "_segment_timestamp",
        "_succeeds",
        "counts",
        "frames",
        "learned_step",
        "longest_step",
        "missing",
        "origin",
        "origin_open",
        "sequence",
        "shift",
        "started",
        "stream",
        "timestamp",
        "window",
    )

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.window = 0
        self.started = False
        self.origin_open = False
        self.origin = self.sequence = self.timestamp = self.frames = self.shift = 0
        self.learned_step = 0
        self.longest_step = 0
        self.counts = Counts()
        self.missing = Missing(stream)
        self._succeeds = False
        self._beside: int | None = None
        """The head, where the packet there is none of audio."""
        self._copies = 0
        """Copies one after another, with nothing new between them."""
        self._last_copy: tuple[int, int] | None = None
        """The last of them, and the head at that time."""
        self._held: Held | None = None
        self._segment_sequence = self._segment_timestamp = 0
        self._previous: tuple[int, int, int] | None = None

    @property
    def step(self) -> int:
        """Step of the head; -1 while it is unknown."""
        return self.learned_step or self.frames

    @property
    def open(self) -> bool:
        """Whether packets in step can still settle something."""
        return self.origin_open or bool(self.missing) or self._held is not None

    @property
    def front(self) -> int | None:
        """Unwrapped timestamp of the first packet that is missing and may still come."""
        return self.missing.front

    def succeed(self) -> None:
        """Take the next packet for the first of another sender, who goes on in place of this one."""
        self._drop_held()
        self._succeeds = self.started
        self.started = False

    def packet(
        self, row: int | None, sequence: int, timestamp: int, frames: int, out: Verdicts, mark: int = Mark.NONE
    ) -> None:
        """Judge one packet.

        Parameters
        ----------
        row
            Where its verdict goes in ``out``; None for a packet of an earlier update.
        sequence, timestamp
            As on the wire.
        frames
            Frames in the payload; negative where unknown.
        mark
            What else the packet says of its place, a :class:`Mark`.
        """
        if not self.started:
            self._begin(row, sequence, timestamp, frames, out)
            return
        ahead = wrap_difference(sequence, self.sequence, 16)
        if mark == Mark.BESIDE:
            self._take_beside(row, ahead, out)
            return
        elapsed = wrap_difference(timestamp, self.timestamp - self.shift, 32)
        if self.step < 0 and ahead and elapsed % ahead == 0 and 0 < elapsed // ahead <= MAX_STEP_FRAMES:
            self.learned_step = elapsed // ahead
        if self.learned_step and ahead == 1 and elapsed == self.frames:
            self.learned_step = 0
        if self._follows(ahead, elapsed, self.step, frames):
            self._move_on(row, ahead, elapsed, frames, out)
        elif self._ends_pause(ahead, elapsed, frames, mark):
            self._break(Held(row, sequence, timestamp, frames), Jump.PAUSE, ahead - 1, out)
        elif not (ahead <= 0 and self._behind(row, ahead, elapsed, frames, out)) and not self._of_previous_segment(
            sequence, timestamp
        ):
            self._doubt(Held(row, sequence, timestamp, frames, mark), out)

    def run(self, count: int, elapsed: int, frames: int, longest_step: int, out: Verdicts) -> None:
        """Move the head over ``count`` packets in step, ``elapsed`` frames in all; the last one has ``frames``.

        Where :attr:`open`, none of them may have a longer step than any before.
        """
        self._drop_held()
        self.sequence += count
        self.timestamp += elapsed
        self.frames = frames
        self.longest_step = max(self.longest_step, longest_step)
        self.counts.received += count
        self.settle(out)

    def settle(self, out: Verdicts) -> None:
        """Count what has left the window as lost."""
        limit = self.timestamp - self._window
        if self.origin_open and self.origin <= limit:
            self.origin_open = False
        if self.missing:
            self._close(limit, out)

    def end_update(self, out: Verdicts) -> None:
        """Tell which packet of this update is still held."""
        if self._held is not None and self._held.row is not None:
            out.hold(self._held.row)
            self._held.row = None

    def finish(self, out: Verdicts) -> None:
        """Settle everything: what is missing is lost, what is held is a stray."""
        self._drop_held()
        self._close(None, out)
        self.origin_open = False

    @property
    def _window(self) -> int:
        return max(self.window, MIN_WINDOW_STEPS * self.longest_step)

    @property
    def _horizon(self) -> int:
        return HORIZON_WINDOWS * self._window

    def _begin(self, row: int | None, sequence: int, timestamp: int, frames: int, out: Verdicts) -> None:
        self.started = True
        if self._succeeds:
            self._succeeds = False
            self._break(Held(row, sequence, timestamp, frames), Jump.SSRC, 0, out)
            return
        self.origin_open = True
        self.origin = self._segment_timestamp = timestamp
        self._segment_sequence = sequence
        self._advance(row, sequence, timestamp, frames, out)

    def _follows(self, ahead: int, elapsed: int, step: int, frames: int) -> bool:
        """Tell whether a packet fits behind another one with ``step``, with nothing or lost packets between."""
        if ahead < 1 or step < 0:
            return False
        if ahead == 1:
            return elapsed == step
        # A lost packet may have been a frame longer or shorter (44 and 45 at 44.1 kHz and 1 ms), but such a fit is too
        # weak to decide against a held packet.
        usual = self.learned_step or max(step, frames)
        slack = 0 if self._held else min(ahead - 1, usual)
        return elapsed >= step and abs(elapsed - step - (ahead - 1) * usual) <= slack

    def _ends_pause(self, ahead: int, elapsed: int, frames: int, mark: int) -> bool:
        """Tell whether a packet ends silence that its sender left out."""
        if ahead < 1 or self.step < 0 or not (mark == Mark.SPURT or self._beside == self.sequence):
            return False
        missing = (ahead - 1) * (self.learned_step or max(self.step, frames))
        return missing <= self._horizon and elapsed > max(self.step, 0) + missing

    def _take_beside(self, row: int | None, ahead: int, out: Verdicts) -> None:
        """Judge a packet that takes a sequence number and no media time."""
        step = max(self.step, 0)
        missing = (ahead - 1) * step
        if ahead >= 1 and missing <= self._horizon:
            self._drop_held()
            if ahead > 1:
                start = self.timestamp + step
                self.missing.add(Hole(self.sequence + 1, ahead - 1, start, start + missing))
                self.timestamp += missing
            self.sequence += ahead
            self._beside = self.sequence
            self._accept(row, self.sequence, self.timestamp, out)
            self.settle(out)
            return
        sequence = self.sequence + ahead
        hole = self.missing.at(sequence)
        if hole is not None and sequence - hole.first >= hole.lost:
            middle = hole.frame(sequence - hole.first)
            self.missing.fill(hole, sequence, middle, middle)
            self.counts.reordered += 1
            self._accept(row, sequence, middle, out)
            return
        self._count_old(sequence)

    def _move_on(self, row: int | None, ahead: int, elapsed: int, frames: int, out: Verdicts) -> None:
        """Accept a packet ahead of the head, and miss those between."""
        if ahead > 1:
            start = self.timestamp + max(self.step, 0)
            self.missing.add(Hole(self.sequence + 1, ahead - 1, start, self.timestamp + elapsed))
        self._advance(row, self.sequence + ahead, self.timestamp + elapsed, frames, out)

    def _advance(self, row: int | None, sequence: int, timestamp: int, frames: int, out: Verdicts) -> None:
        """Accept a packet as the head."""
        self._drop_held()
        self.sequence, self.timestamp, self.frames = sequence, timestamp, frames
        self.longest_step = max(self.longest_step, self.step)
        self._accept(row, sequence, timestamp, out)
        self.settle(out)

    def _accept(self, row: int | None, sequence: int, timestamp: int, out: Verdicts) -> None:
        self.counts.received += 1
        if row is None:
            out.resolved.append(Resolved(self.stream, sequence, timestamp))
        else:
            out.accept(row, sequence, timestamp)

    def _is_near(self, ahead: int, elapsed: int, step: int) -> bool:
        """Tell whether a packet that is not ahead lies where one of this stream may have been."""
        if ahead == 0:
            return elapsed == 0
        return ahead * step >= -self._horizon and max(2 * ahead * step, -self._horizon) <= elapsed <= 0

    def _behind(self, row: int | None, ahead: int, elapsed: int, frames: int, out: Verdicts) -> bool:
        """Judge a packet that is not ahead of the head; return False where it does not fit."""
        step = self.learned_step or max(frames, 0)
        if not self._is_near(ahead, elapsed, max(self.step, step, 1)):
            return False
        sequence, timestamp = self.sequence + ahead, self.timestamp + elapsed
        if sequence < self._segment_sequence:
            return self._before_start(row, sequence, timestamp, step, out)
        hole = self.missing.at(sequence)
        if hole is not None:
            return self._fill(hole, row, sequence, timestamp, step, out)
        if self._starts_over(sequence, step):
            return False
        self._count_old(sequence)
        return True

    def _starts_over(self, sequence: int, step: int) -> bool:
        """Tell whether the last copies came in order and with nothing new between them, for longer than the window."""
        if self.missing.was_lost(sequence):
            return False
        goes_on = self._last_copy == (sequence - 1, self.sequence)
        self._copies = self._copies + 1 if goes_on else 1
        self._last_copy = (sequence, self.sequence)
        return self._copies * max(step, 1) > self._window

    def _before_start(self, row: int | None, sequence: int, timestamp: int, step: int, out: Verdicts) -> bool:
        """Judge a packet before the first one of the segment."""
        if not self.origin_open or timestamp < self.timestamp - self._window:
            self.counts.late += 1
            return True
        ahead, elapsed = self._segment_sequence - sequence, self._segment_timestamp - timestamp
        if not self._follows(ahead, elapsed, step, step):
            return False
        if ahead > 1:
            self.missing.add(Hole(sequence + 1, ahead - 1, timestamp + step, self._segment_timestamp), first=True)
        self._segment_sequence = sequence
        self.origin = self._segment_timestamp = timestamp
        self.counts.reordered += 1
        self._accept(row, sequence, timestamp, out)
        return True

    def _fill(self, hole: Hole, row: int | None, sequence: int, timestamp: int, step: int, out: Verdicts) -> bool:
        """Judge a packet whose place is empty."""
        if sequence - hole.first < hole.lost:
            self.counts.late += 1
            return True
        end = timestamp + step
        if not hole.start <= timestamp <= end <= hole.end:
            return False
        self.missing.fill(hole, sequence, timestamp, end)
        self.counts.reordered += 1
        self._accept(row, sequence, timestamp, out)
        self.settle(out)
        return True

    def _count_old(self, sequence: int) -> None:
        """Count a packet whose place is settled: late where it was lost, else a duplicate."""
        if self.missing.was_lost(sequence):
            self.counts.late += 1
        else:
            self.counts.duplicated += 1

    def _of_previous_segment(self, sequence: int, timestamp: int) -> bool:
        """Count a packet that was on its way while the stream jumped."""
        if self._previous is None:
            return False
        if self.timestamp - self._segment_timestamp > self._window:
            self._previous = None
            return False
        head, wire_timestamp, step = self._previous
        ahead = wrap_difference(sequence, head, 16)
        if ahead > 0 or not self._is_near(ahead, wrap_difference(timestamp, wire_timestamp, 32), step):
            return False
        self._count_old(head + ahead)
        return True

    def _drop_held(self) -> None:
        """Go on without the packet that does not fit."""
        if self._held is not None:
            self.counts.stray += 1 + self._held.copies
            self._held = None

    def _doubt(self, packet: Held, out: Verdicts) -> None:
        """Hold a packet that does not fit, or see that two of them bear each other out."""
        held = self._held
        if held is None:
            self._held = packet
            return
        ahead = wrap_difference(packet.sequence, held.sequence, 16)
        elapsed = wrap_difference(packet.timestamp, held.timestamp, 32)
        if ahead == 0 and elapsed == 0:
            held.copies += 1
            return
        first, second = held, packet
        if ahead < 0:
            first, second, ahead, elapsed = packet, held, -ahead, -elapsed
        step = self.learned_step or first.frames
        follows = elapsed == step or self._follows(ahead, elapsed, step, second.frames)
        if ahead and follows and elapsed <= self._horizon:
            self._held = None
            self._jump(first, out)
        elif ahead and self._learn_step(first, ahead, elapsed):
            self._held = None
            self.packet(first.row, first.sequence, first.timestamp, first.frames, out)
        else:
            self._drop_held()
            self._held = packet
            return
        self.counts.duplicated += held.copies
        self.packet(second.row, second.sequence, second.timestamp, second.frames, out)

    def _learn_step(self, first: Held, ahead: int, elapsed: int) -> bool:
        """See whether head, ``first`` and the packet behind it are evenly spaced, other than their frames say."""
        ahead_of_head = wrap_difference(first.sequence, self.sequence, 16)
        elapsed_from_head = wrap_difference(first.timestamp, self.timestamp - self.shift, 32)
        step, rest = divmod(elapsed, ahead)
        if rest or not 0 < step <= MAX_STEP_FRAMES or ahead_of_head < 1 or elapsed_from_head != ahead_of_head * step:
            return False
        self.learned_step = 0 if step == self.frames == first.frames else step
        return True

    def _jump(self, first: Held, out: Verdicts) -> None:
        """Go on with ``first``, which another packet bears out although it does not fit."""
        step = max(self.step, 0)
        usual = max(self.learned_step or max(step, first.frames), 1)
        ahead = wrap_difference(first.sequence, self.sequence, 16)
        elapsed = wrap_difference(first.timestamp, self.timestamp - self.shift, 32)
        missing, missed = ahead - 1, elapsed - step
        near = ahead >= 1 and missing * usual <= self._horizon
        if near and missing and (missed == 0 or missing * usual <= 2 * missed <= 4 * missing * usual):
            self._move_on(first.row, ahead, elapsed, first.frames, out)
            return
        if missed > 0 and missed % usual == 0 and (missed // usual - missing) % 0x10000 == 0:
            # So long a gap that the sequence number wrapped meanwhile.
            self._move_on(first.row, missed // usual + 1, elapsed, first.frames, out)
            return
        kind = Jump.TIMESTAMP if near else Jump.RESTART
        if near and missing and missed > missing * usual and first.mark == Mark.SPEECH:
            kind = Jump.PAUSE
        self._break(first, kind, missing if near else 0, out)

    def _break(self, first: Held, kind: Jump, missing: int, out: Verdicts) -> None:
        """Go on with ``first`` directly behind the head and ``missing`` packets that are lost."""
        self._close(None, out)
        step = max(self.step, 0)
        usual = max(self.learned_step or max(step, first.frames), 1)
        sequence = self.sequence + 1 + missing
        if kind in (Jump.RESTART, Jump.SSRC):
            sequence += (first.sequence - sequence) & 0xFFFF
        lost_start = self.timestamp + step
        start = lost_start + missing * usual
        expected_timestamp = (start - self.shift) & 0xFFFFFFFF
        out.discontinuities.append(
            Discontinuity(
                stream=self.stream,
                kind=kind,
                sequence=sequence,
                frame=start,
                from_sequence=(self.sequence + 1 + missing) & 0xFFFF,
                to_sequence=first.sequence,
                from_timestamp=expected_timestamp,
                to_timestamp=first.timestamp,
                frames=wrap_difference(first.timestamp, expected_timestamp, 32),
            )
        )
        if missing:
            self.missing.add(Hole(self.sequence + 1, missing, lost_start, start))
            self._close(None, out)
        self._previous = (self.sequence, self.timestamp - self.shift, max(step, 1))
        if kind is Jump.SSRC:
            self._previous = None
            self.learned_step = 0
        self.shift = start - first.timestamp
        self._segment_sequence, self._segment_timestamp = sequence, start
        self.origin_open = False
        self._advance(first.row, sequence, start, first.frames, out)

    def _close(self, limit: int | None, out: Verdicts) -> None:
        """Count missing packets that start before ``limit`` as lost, all of them where it is None."""
        self.counts.lost += self.missing.close(limit, self.sequence, out)
