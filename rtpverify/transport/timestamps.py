"""Whether the timestamps of one stream agree with the frames that its packets hold.

A packet has a place on the media timeline that follows from its sequence number and from the frames of the packets
before it (:mod:`rtpverify.transport.stream_order`). Its *deviation* is how far its timestamp lies from there. Rules:

- *Base*. Place less timestamp, as agreed. While every packet has it, nothing deviates.
- *Jump*. Where packets in a row agree on one other deviation, the sender's timeline moved there:
  :data:`SETTLED_PACKETS` of them, or as many as :data:`SETTLED_SECONDS` hold, but :data:`MIN_SETTLED_PACKETS` at least.
  It takes :data:`SMALL_SETTLED_SECONDS` for up to :data:`SMALL_SECONDS`, which a clock that is rounded may stay off.
- *Error*. Packets that deviate without settling are one error, from the first to the last of them, until none has
  deviated for :data:`QUIET_SECONDS` and :data:`QUIET_PACKETS`. What settles in between belongs to it: the timeline
  moves on, and nothing else is reported.
- *Jumps in a row*. A jump within :data:`CALM_SECONDS` of another joins it. Timestamps that are rounded from a clock of
  their own jump by :data:`ROUNDING_FRAMES` each time that clock has drifted so far: such a jump joins one the same way
  within :data:`DRIFT_SECONDS`.
- *Rounding*. Where they scatter by as much, that is an error, and the same one if it comes again within that time;
  meanwhile it is *dormant*, and what settles belongs to it.
- *Pending*. While it is open whether a jump or an error has begun, nothing after the first of its packets is settled.

What is decided depends on the packets alone, not on when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import gcd

from rtpverify.rtp.serial import wrap_difference
from rtpverify.transport.placement import Discontinuity, Jump, StreamFindings, TimestampError

MIN_SETTLED_PACKETS, SETTLED_PACKETS = 3, 16
SETTLED_SECONDS = 0.1
SMALL_SECONDS = 1e-3
SMALL_SETTLED_SECONDS = 0.4
QUIET_SECONDS = 1.0
QUIET_PACKETS = 256
CALM_SECONDS = 1.0
ROUNDING_FRAMES = 1
"""How far off timestamps are that are rounded to frames."""
DRIFT_SECONDS = 30.0
"""A clock that is 0.7 ppm off continues by one frame at 48 kHz."""
MAX_STEPS = 64
"""Different steps remembered of an error."""


@dataclass(slots=True)
class Run:
    """Packets in a row that agree on one deviation; the first one's numbers, and how many packets and frames."""

    sequence: int
    position: int
    timestamp: int
    deviation: int
    packet_frames: int
    is_pause: bool
    packets: int = 0
    frames: int = 0


@dataclass(slots=True)
class DeviatingPackets:
    """An error: packets that deviate without settling."""

    first_sequence: int
    last_sequence: int
    start: int
    stop: int
    packets: int = 0
    largest: int = 0
    lowest: int = 0
    highest: int = 0
    moves: int = 0
    moved: int = 0
    first_move: int = 0
    last_move: int = 0
    steps: Counter[int] = field(default_factory=Counter)
    """How far timestamps advanced where the deviation changed."""
    step_frames: int = 0
    """Frames over which they should have."""
    quantum: int = 0
    """Greatest common divisor of all steps."""
    told_at: int = 0

    def add_step(self, step: int, frames: int) -> None:
        """Take in how far the timestamp advanced over ``frames``, which is not as far.

        Parameters
        ----------
        step
            Frames by which the timestamp advanced.
        frames
            Frames that the packet before holds.
        """
        if step in self.steps or len(self.steps) < MAX_STEPS:
            self.steps[step] += 1
            self.step_frames += frames
        self.quantum = gcd(self.quantum, step)


class Timestamps:
    """The timestamps of one stream.

    Parameters
    ----------
    stream
        Index of the stream.

    Attributes
    ----------
    base
        Place less timestamp, as agreed.
    deviation
        Of the head; positive where its timestamp lies ahead of its place.
    rate_hz
        Frames a second; 0 where that is not known.
    """

    __slots__ = (
        "_base_before",
        "_base_since",
        "_dormant",
        "_jumped_at",
        "_jumped_by",
        "_run",
        "_stream",
        "_stretch",
        "base",
        "deviation",
        "longest_frames",
        "rate_hz",
    )

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self.rate_hz = 0
        self.base = 0
        self.deviation = 0
        self.longest_frames = 0
        self._base_before = 0
        self._base_since: int | None = None
        """Sequence number from which on ``base`` holds, where another one did before."""
        self._jumped_at: int | None = None
        self._jumped_by = 0
        """Place of the last jump, and how far it went."""
        self._run: Run | None = None
        self._stretch: DeviatingPackets | None = None
        self._dormant: DeviatingPackets | None = None
        """An error of rounding that may come again."""

    @property
    def is_open(self) -> bool:
        """Whether time alone may settle something."""
        return self.unsettled or self._dormant is not None

    @property
    def unsettled(self) -> bool:
        """Whether timestamps contradict the sequence numbers now."""
        return self._run is not None or self._stretch is not None

    @property
    def pending(self) -> int | None:
        """First frame of what may be a jump or an error, while that is open."""
        return None if self._run is None or self._stretch is not None else self._run.position

    def begin(self, base: int) -> None:
        """Agree on the base of a first packet, with nothing before it.

        Parameters
        ----------
        base
            Timestamp less position, in frames.
        """
        self.base = self._base_before = base
        self.deviation = 0
        self._base_since = self._jumped_at = self._run = None

    def base_of(self, sequence: int) -> int:
        """Return the base that holds for an extended sequence number.

        Parameters
        ----------
        sequence
            Extended sequence number.

        Returns
        -------
        int
            Timestamp less position, in frames.
        """
        return self._base_before if self._base_since is not None and sequence < self._base_since else self.base

    def move(self, sequence: int, by_frames: int) -> None:
        """Continue with timestamps that are ``by_frames`` ahead from ``sequence`` on; that is no error.

        Parameters
        ----------
        sequence
            Extended sequence number.
        by_frames
            How far they are ahead; negative where they went back.
        """
        self._base_before, self._base_since = self.base, sequence
        self.base -= by_frames

    def anchor(self, sequence: int, by_frames: int, found: StreamFindings) -> None:
        """Continue with other timestamps from ``sequence`` on, of which nobody can show whether they are right.

        Parameters
        ----------
        sequence
            Extended sequence number.
        by_frames
            How far they are ahead; negative where they went back.
        found
            Takes what becomes certain.
        """
        self._end_run(found)
        self.deviation = 0
        self.move(sequence, by_frames)

    def agree(self, packets: int, frames: int) -> None:
        """Take in packets whose timestamps follow the one before, ``frames`` in all.

        Parameters
        ----------
        packets
            Packets, one after the other in sequence.
        frames
            Frames in all.
        """
        if self._run is not None:
            self._run.packets += packets
            self._run.frames += frames

    def take(
        self,
        sequence: int,
        position: int,
        timestamp: int,
        frames: int,
        step: tuple[int, int] | None,
        found: StreamFindings,
        *,
        may_end_pause: bool = False,
    ) -> None:
        """Take in the packet furthest ahead.

        Parameters
        ----------
        sequence, position
            Extended sequence number and place.
        timestamp
            As on the wire.
        frames
            Frames that it holds.
        step
            How far the timestamp of the packet before lies back, and the frames that it holds; None where that packet
            is missing.
        found
            Takes what becomes certain.
        may_end_pause
            Whether its sender may have left silence out before it.
        """
        deviation = wrap_difference(timestamp + self.base - position, 0, 32)
        if deviation == self.deviation:
            self.agree(1, frames)
            return
        self._close_quiet(position, found)
        self._end_run(found)
        if self._stretch is not None and step is not None:
            self._stretch.add_step(*step)
        self.deviation = deviation
        if deviation:
            pause = may_end_pause and deviation > 0
            self._run = Run(sequence, position, timestamp, deviation, frames, pause, 1, frames)

    def note(self, sequence: int, position: int, timestamp: int, frames: int, found: StreamFindings) -> None:
        """Take in a packet that came after later ones.

        Parameters
        ----------
        sequence
            Extended sequence number.
        position
            Unwrapped frame where the sequence numbers place the packet.
        timestamp
            Unwrapped timestamp that it has.
        frames
            Frames it holds.
        found
            Takes what becomes certain.
        """
        deviation = wrap_difference(timestamp + self.base_of(sequence) - position, 0, 32)
        run = self._run
        if run is not None and deviation == run.deviation:
            if sequence == run.sequence - 1:
                run.sequence, run.position, run.timestamp = sequence, position, timestamp
                run.packets += 1
                run.frames += frames
            return
        if deviation and wrap_difference(timestamp + self.base - position, 0, 32):
            self._add(Run(sequence, position, timestamp, deviation, frames, False, 1, frames), found)

    def settle(self, position: int, found: StreamFindings) -> None:
        """Decide what can be decided with the head at ``position``.

        Parameters
        ----------
        position
            Unwrapped frame where the sequence numbers place the packet furthest ahead.
        found
            Takes what becomes certain.
        """
        run = self._run
        if run is not None and self._has_settled(run):
            self._move_to(run, found)
        if self._run is None:
            self._close_quiet(position, found)
        if self._dormant is not None and position - self._dormant.stop > DRIFT_SECONDS * self.rate_hz:
            self._close_dormant(found)

    def breaks_at(self, position: int, deviation: int, frames: int) -> bool:
        """Return whether a jump or an error of a packet or more begins with the next packet: delays are not compared.

        Parameters
        ----------
        position
            Unwrapped frame where the sequence numbers place the next packet.
        deviation
            How far its timestamp is ahead of that, in frames.
        frames
            Frames of a packet.

        Returns
        -------
        bool
            Whether one begins.
        """
        error_goes_on = self._stretch is not None and not self._is_quiet(self._stretch, position)
        return abs(deviation) >= frames and self._run is None and not error_goes_on

    def finish(self, found: StreamFindings) -> None:
        """Decide what is still open: nothing follows.

        Parameters
        ----------
        found
            Takes what becomes certain.
        """
        run = self._run
        if run is not None:
            if run.packets > 1 and self._stretch is None:
                self._move_to(run, found)
            else:
                self._end_run(found)
        self._close(found)
        self._close_dormant(found)

    def _has_settled(self, run: Run) -> bool:
        if run.is_pause:
            return run.packets > 1
        seconds = run.frames / self.rate_hz if self.rate_hz else 0.0
        if abs(run.deviation) <= SMALL_SECONDS * self.rate_hz:
            return run.packets >= MIN_SETTLED_PACKETS and seconds >= SMALL_SETTLED_SECONDS
        is_long = run.packets >= MIN_SETTLED_PACKETS and seconds >= SETTLED_SECONDS
        return run.packets >= SETTLED_PACKETS or is_long

    def _move_to(self, run: Run, found: StreamFindings) -> None:
        """Move the timeline to where a run has settled."""
        self._run = None
        expected = run.position - self.base & 0xFFFFFFFF
        self.move(run.sequence, run.deviation)
        self.deviation = 0
        if self._stretch is not None or (self._resumes(run) and not run.is_pause):
            first = Run(run.sequence, run.position, run.timestamp, run.deviation, run.packet_frames, False)
            first.packets, first.frames = 1, run.packet_frames
            stretch = self._add(first, found)
            stretch.first_move = stretch.first_move if stretch.moves else run.position
            stretch.last_move = run.position
            stretch.moves += 1
            stretch.moved += run.deviation
            return
        self._close_dormant(found)
        joins = not run.is_pause and self._joins(run)
        if not run.is_pause:
            self._jumped_at, self._jumped_by = run.position, run.deviation
        found.discontinuities.append(
            Discontinuity(
                stream=self._stream,
                kind=Jump.PAUSE if run.is_pause else Jump.TIMESTAMP,
                sequence=run.sequence,
                frame=run.position,
                from_sequence=run.sequence & 0xFFFF,
                to_sequence=run.sequence & 0xFFFF,
                from_timestamp=expected,
                to_timestamp=run.timestamp,
                frames=run.deviation,
                joins=joins,
            )
        )

    def _joins(self, run: Run) -> bool:
        """Return whether a jump is one fault with the last one."""
        if self._jumped_at is None:
            return False
        since, is_drift = (
            run.position - self._jumped_at,
            _is_rounding(run.deviation) and run.deviation == self._jumped_by,
        )
        return since < (DRIFT_SECONDS if is_drift else CALM_SECONDS) * self.rate_hz

    def _resumes(self, run: Run) -> bool:
        """Return whether the error that is dormant continues."""
        dormant = self._dormant
        if dormant is None or not _is_rounding(run.deviation):
            return False
        return run.position - dormant.stop <= DRIFT_SECONDS * self.rate_hz

    def _end_run(self, found: StreamFindings) -> None:
        """Count a run that did not settle as an error."""
        run, self._run = self._run, None
        if run is not None:
            self._add(run, found)

    def _add(self, run: Run, found: StreamFindings) -> DeviatingPackets:
        """Add packets that deviate to the error, or begin one."""
        if self._stretch is None and self._resumes(run):
            self._stretch, self._dormant = self._dormant, None
        elif self._stretch is None:
            self._close_dormant(found)
        stretch = self._stretch
        last, stop = run.sequence + run.packets - 1, run.position + run.frames
        if stretch is None:
            stretch = self._stretch = DeviatingPackets(run.sequence, last, run.position, stop)
            stretch.lowest = stretch.highest = run.deviation
            stretch.told_at = stop
            is_told = True
        else:
            is_told = stop - stretch.told_at >= QUIET_SECONDS * max(self.rate_hz, 1)
        stretch.first_sequence = min(stretch.first_sequence, run.sequence)
        stretch.last_sequence = max(stretch.last_sequence, last)
        stretch.start, stretch.stop = min(stretch.start, run.position), max(stretch.stop, stop)
        stretch.packets += run.packets
        stretch.lowest = min(stretch.lowest, run.deviation)
        stretch.highest = max(stretch.highest, run.deviation)
        if abs(run.deviation) > abs(stretch.largest):
            stretch.largest = run.deviation
        if is_told:
            stretch.told_at = stop
            found.timestamp_errors.append(self._record(stretch, is_open=True))
        return stretch

    def _close_quiet(self, position: int, found: StreamFindings) -> None:
        """Close an error after which nothing deviated for long enough; let one of rounding wait."""
        stretch = self._stretch
        if stretch is None or self._run is not None or not self._is_quiet(stretch, position):
            return
        if _is_rounding(stretch.lowest) and _is_rounding(stretch.highest):
            self._stretch, self._dormant = None, stretch
            found.timestamp_errors.append(self._record(stretch, is_open=True))
        else:
            self._close(found)

    def _is_quiet(self, stretch: DeviatingPackets, position: int) -> bool:
        return position - stretch.stop >= max(QUIET_SECONDS * self.rate_hz, QUIET_PACKETS * self.longest_frames)

    def _close(self, found: StreamFindings) -> None:
        stretch, self._stretch = self._stretch, None
        if stretch is not None:
            found.timestamp_errors.append(self._record(stretch, is_open=False))

    def _close_dormant(self, found: StreamFindings) -> None:
        """Close an error of rounding that comes no more."""
        dormant, self._dormant = self._dormant, None
        if dormant is not None:
            found.timestamp_errors.append(self._record(dormant, is_open=False))

    def _record(self, stretch: DeviatingPackets, *, is_open: bool) -> TimestampError:
        return TimestampError(
            stream=self._stream,
            first_sequence=stretch.first_sequence,
            last_sequence=stretch.last_sequence,
            start_frame=stretch.start,
            frames=stretch.stop - stretch.start,
            packets=stretch.packets,
            deviation=stretch.largest,
            spread=stretch.highest - stretch.lowest,
            moves=stretch.moves,
            moved=stretch.moved,
            move_frames=stretch.last_move - stretch.first_move,
            steps=tuple(stretch.steps.most_common()),
            step_frames=stretch.step_frames,
            quantum=stretch.quantum,
            is_open=is_open,
        )


def _is_rounding(deviation: int) -> bool:
    """Return whether rounding explains how far a timestamp is off."""
    return abs(deviation) <= ROUNDING_FRAMES
