"""Comparison of recordings whose frames do not match one by one: recoded, and on a clock of their own.

The received recording is followed through its reference at a low rate (:mod:`.trail`), its pieces are put together
(:mod:`.course`); where the lag jumps, frames are missing or were inserted (:mod:`.splice`), and within the pieces
content was muted, repeated or replaced (:mod:`.damage`). What a codec does to a waveform is no fault here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.recording import codec, damage, splice
from rtpverify.detect.recording.course import SHORT_BLOCKS, Piece, common_slope, pieces_of
from rtpverify.detect.recording.trail import BLOCK, HOP, Tracker, period_of
from rtpverify.dsp.decimate import BoundedSignal, Decimated, Frames, Mixed, interpolated, telling_factor
from rtpverify.dsp.levels import decibels
from rtpverify.dsp.median import median
from rtpverify.events import SIZES, Event, Kind, MismatchSize, RepeatSize, SlipSize

_WORK_RATE_HZ = 8000
"""The low rate, unless hardly anything of the reference is below half of it."""
_GAIN_BLOCKS = 100
_SHORTEST_SLIP_SECONDS = 0.001
_REPLACED_SECONDS = 0.02
"""Frames at a jump that match neither side and are more than the jump explains, from which on they are reported."""
_END_STEPS = 4
"""Frames of the low rate from an end of the reference that are as good as the end."""
_EXPLAINED = 0.1
"""Share of the power that is left where two pieces explain the content between them."""
_SAME_SECONDS = 0.03
_LONGEST_EXCURSION_SECONDS = 10.0
_CANCELLED = 0.01
"""Power of the mean of all channels, against that of the loudest, under which the loudest is taken for all."""


_PROBED_SECONDS = 30.0
_PROBES = 24


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the received recording that follows the reference without a jump; frames of either."""

    received_start: int
    received_stop: int
    reference_start: int
    reference_stop: int


@dataclass(frozen=True, slots=True)
class WarpedComparison:
    """How a recording that was recoded differs from its reference.

    Attributes
    ----------
    related
        False where no part of the received recording was found in the reference; all else is empty then.
    events
        Faults, in order; ``start_frame`` counts received frames.
    passages
        Which stretches of the received recording hold which of the reference.
    offset_frames
        Received frame at which frame 0 of the reference lies, or would lie: of the first passage.
    rate_offset_ppm
        How many more frames the received recording takes for the same content.
    gain_db, polarity
        Of the received recording against its reference; polarity is -1 where it is inverted.
    period_frames
        After how many frames the reference repeats itself all along, None where it does not: places, lengths of slips
        and polarity are known only but for that.
    """

    related: bool
    events: list[Event] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    offset_frames: float | None = None
    rate_offset_ppm: float | None = None
    gain_db: float | None = None
    polarity: int | None = None
    period_frames: int | None = None


def compare_warped(reference: Frames, received: Frames, rate_hz: int) -> WarpedComparison:
    """Compare two recordings of one sample rate, each of shape (n, channels), full scale ±1.0.

    Content is followed through clocks that differ by up to 2 % and wander. Where both have as many channels, each is
    checked; otherwise their means are. Positions are good to some milliseconds, the length of what is missing or was
    inserted to less than one, as long as the content distinguishes one place from another.

    Parameters
    ----------
    reference
        The reference, shape (n, channels).
    received
        What was received, shape (n, channels).
    rate_hz
        Sample rate of both.

    Returns
    -------
    WarpedComparison
        Passages, and the events between and within them.
    """
    return Pair(reference, received, rate_hz).compare()


def is_recoded(reference: Frames, received: Frames, rate_hz: int) -> bool:
    """Return whether a recording plays its reference, but went through a lossy codec: by its first half minute.

    Takes the same as :func:`compare_warped`, and less time.

    Parameters
    ----------
    reference
        The reference.
    received
        What was received.
    rate_hz
        Sample rate of both.

    Returns
    -------
    bool
        Whether it does.
    """
    return Pair(reference, received, rate_hz).is_recoded()


class Pair:
    """Two recordings, of which the received one is checked by what it plays.

    At the low rate, with channels mixed to one to follow them.

    Parameters
    ----------
    reference
        The reference.
    received
        What was received.
    rate_hz
        Sample rate of both.
    """

    def __init__(self, reference: Frames, received: Frames, rate_hz: int) -> None:
        self.factor = telling_factor(reference, max(1, round(rate_hz / _WORK_RATE_HZ)))
        self._rate_hz = rate_hz
        self._at_full_rate = reference, received
        self._reference_frames, self._received_frames = reference.shape[0], received.shape[0]
        self._whole = Decimated(reference, self.factor), Decimated(received, self.factor)
        self._begun: tuple[list[list[float]], Tracker] | None = None
        """A tracker that has learnt the start, and how channels were mixed for it."""

    def is_recoded(self) -> bool:
        """Return the same as :func:`is_recoded`.

        Returns
        -------
        bool
            Whether it went through a codec.
        """
        probes = self._probes
        return len(probes) >= _PROBES // 4 and codec.is_codec(probes)

    @property
    def left_db(self) -> float | None:
        """The residual in the first half minute, relative to it; None where it was not found."""
        if not self._probes:
            return None
        left, content = (sum(float(getattr(item, name).sum()) for item in self._probes) for name in ("left", "content"))
        return decibels((left / content) ** 0.5) if left > 0.0 and content > 0.0 else None

    @cached_property
    def _probes(self) -> list[codec.Probe]:
        """The residual of pieces from all over the first half minute."""
        frames = int(_PROBED_SECONDS * self._rate_hz) // self.factor
        trail = self._mix(frames).begin(max(0, (frames - BLOCK) // HOP + 1))
        if not len(trail.centre):
            return []
        chosen = np.unique(np.linspace(0, len(trail.centre) - 1, _PROBES).astype(int))
        places = zip(self.factor * trail.centre[chosen], self.factor * trail.lag[chosen], strict=True)
        return [found for centre, lag in places if (found := self._probe(int(centre), float(lag)))]

    def compare(self) -> WarpedComparison:
        """Return the same as :func:`compare_warped`.

        Returns
        -------
        WarpedComparison
            Passages, and the events between and within them.
        """
        trail = self._mix(None).follow()
        if not len(trail.centre):
            return WarpedComparison(related=False)
        pieces = pieces_of(trail)
        slope = common_slope(trail)
        gain = self.gain(pieces)
        pieces, splices = self.join(pieces, gain)
        passages = self.passages(pieces, splices)
        events = self.slips(splices)
        for piece, (start, stop) in zip(pieces, passages, strict=True):
            events += self.damages(piece, start, stop, gain)
        period = period_of(self.reference)
        return WarpedComparison(
            related=True,
            events=sorted(events, key=lambda event: (event.start_frame, event.channel or 0)),
            passages=[self.passage(piece, *bounds) for piece, bounds in zip(pieces, passages, strict=True)],
            offset_frames=self.factor * self.received_of(pieces[0], 0.0),
            rate_offset_ppm=1e6 * slope / (1.0 - slope),
            gain_db=decibels(abs(gain)),
            polarity=-1 if gain < 0.0 else 1,
            period_frames=None if period is None else period * self.factor,
        )

    def _mix(self, frames: int | None) -> Tracker:
        """Mix channels by what so many frames of the low rate are like, or all; return what follows the mix."""
        powers = self._whole[1].powers(frames)
        self._weights = _weights(self._whole[0].powers(frames)), _weights(powers)
        self.reference, self.received = (
            Mixed(whole, weights) for whole, weights in zip(self._whole, self._weights, strict=True)
        )
        self.power = float(self._weights[1] @ powers @ self._weights[1])
        same = self._whole[0].channels == self._whole[1].channels
        self._judged: tuple[BoundedSignal, BoundedSignal] = self._whole if same else (self.reference, self.received)
        self._powers = np.diagonal(powers) if same else np.array([self.power])
        mixed = [weights.tolist() for weights in self._weights]
        if self._begun is None or self._begun[0] != mixed:
            self._begun = mixed, Tracker(self.reference, self.received, self.power)
        tracker = self._begun[1]
        tracker.power = self.power
        return tracker

    def _probe(self, centre: int, lag: float) -> codec.Probe | None:
        """Return the residual of the frames about one; None where they are not all there, or silent."""
        reference, received = self._at_full_rate
        start = centre - codec.PIECE_FRAMES // 2
        low = round(start - lag) - codec.REACH_FRAMES
        high = low + codec.PIECE_FRAMES + 2 * codec.REACH_FRAMES
        if min(low, start) < 0 or high > self._reference_frames or start + codec.PIECE_FRAMES > self._received_frames:
            return None
        heard = np.asarray(received[start : start + codec.PIECE_FRAMES] @ self._weights[1], dtype=np.float64)
        return codec.probe(heard, np.asarray(reference[low:high] @ self._weights[0], dtype=np.float64))

    def gain(self, pieces: list[Piece]) -> float:
        """Return the gain over the reference, negative where inverted: the median of blocks all over the pieces.

        Parameters
        ----------
        pieces
            How the recordings lie to each other.

        Returns
        -------
        float
            As a ratio.
        """
        centres = np.concatenate([piece.centre for piece in pieces])
        owner = np.concatenate([np.full(len(piece.centre), index) for index, piece in enumerate(pieces)])
        gains = []
        for at in range(0, len(centres), max(1, len(centres) // _GAIN_BLOCKS)):
            start = int(centres[at]) - BLOCK // 2
            frames = np.arange(start, start + BLOCK, dtype=np.float64)
            expected = interpolated(self.reference, frames - pieces[owner[at]].lag_at(frames))[:, 0]
            power = float(expected @ expected)
            if power > 0.0:
                gains.append(float(expected @ self.received.between(start, start + BLOCK)[:, 0]) / power)
        return float(median(gains)) if gains else 1.0

    def join(self, pieces: list[Piece], gain: float) -> tuple[list[Piece], list[splice.Splice]]:
        """Return the pieces without those that their neighbours explain as well, and what joins them.

        Parameters
        ----------
        pieces
            How the recordings lie to each other.
        gain
            Of the received recording over its reference.

        Returns
        -------
        pieces : list of Piece
            Those that remain.
        splices : list of Splice
            One between each two of them.
        """

        def between(before: Piece, after: Piece) -> splice.Splice:
            return splice.locate(self.reference, self.received, (before, after), gain, self.power)

        kept = pieces[:1]
        splices: list[splice.Splice] = []
        for at, piece in enumerate(pieces[1:], start=1):
            if at + 1 < len(pieces) and len(piece.centre) <= SHORT_BLOCKS:
                around = between(kept[-1], pieces[at + 1])
                if around.unexplained < _EXPLAINED:
                    continue
            splices.append(between(kept[-1], piece))
            kept.append(piece)
        return kept, splices

    def received_of(self, piece: Piece, position: float) -> float:
        """Return the received frame, both at the low rate, at which a piece holds a position of the reference.

        Parameters
        ----------
        piece
            How the recordings lie to each other.
        position
            Frame of the reference.

        Returns
        -------
        float
            Frame received.
        """
        frame = position + float(piece.lag[0])
        for _ in range(8):
            frame = position + float(piece.lag_at(np.array([frame]))[0])
        return frame

    def passages(self, pieces: list[Piece], splices: list[splice.Splice]) -> list[tuple[int, int]]:
        """Return the received frames at which each piece begins and ends; the reference bounds the first and last.

        Parameters
        ----------
        pieces
            How the recordings lie to each other.
        splices
            What joins them.

        Returns
        -------
        list[tuple[int, int]]
            First frame, and the one after the last, at the low rate.
        """
        begin = max(0, math.ceil(self.received_of(pieces[0], 0.0)))
        end = min(len(self.received), math.floor(self.received_of(pieces[-1], float(len(self.reference)))))
        starts = [begin, *(found.stop for found in splices)]
        stops = [*(found.start for found in splices), end]
        return list(zip(starts, stops, strict=True))

    def passage(self, piece: Piece, start: int, stop: int) -> Passage:
        """Return a passage in frames of both recordings; an end of the reference within a few frames is that end.

        Parameters
        ----------
        piece
            How the recordings lie to each other.
        start
            First received frame, at the low rate.
        stop
            The one after the last.

        Returns
        -------
        Passage
            In frames of the full rate.
        """
        bounds = np.array([start, stop], dtype=np.float64)
        first, last = np.rint((bounds - piece.lag_at(bounds)) * self.factor).astype(int).tolist()
        if first <= _END_STEPS * self.factor:
            first = 0
        if last >= self._reference_frames - _END_STEPS * self.factor:
            last = self._reference_frames
        return Passage(start * self.factor, min(stop * self.factor, self._received_frames), first, last)

    def slips(self, splices: list[splice.Splice]) -> list[Event]:
        """Return the events of the jumps; there and back again is content of another place.

        Parameters
        ----------
        splices
            What joins the pieces.

        Returns
        -------
        list[Event]
            In order of time.
        """
        events = []
        at = 0
        while at < len(splices):
            first = splices[at]
            second = splices[at + 1] if at + 1 < len(splices) else None
            if second and abs(first.jump + second.jump) < self._least_jump and self._is_short(first, second):
                events.append(self._replaced(first, second))
                at += 2
                continue
            if abs(first.jump) >= self._least_jump:
                events.append(self._slip(first))
            at += 1
        return events

    @property
    def _least_jump(self) -> float:
        return _SHORTEST_SLIP_SECONDS * self._rate_hz / self.factor

    def _is_short(self, first: splice.Splice, second: splice.Splice) -> bool:
        return second.stop - first.start <= _LONGEST_EXCURSION_SECONDS * self._rate_hz / self.factor

    def _replaced(self, first: splice.Splice, second: splice.Splice) -> Event:
        """Return the event of content of another place between two jumps that undo each other."""
        frames = (second.stop - first.start) * self.factor
        away = round(first.jump * self.factor)
        size = RepeatSize(repeat_distance_frames=away) if away > 0 else MismatchSize()
        told = "what had been received before" if away > 0 else "what comes later in the reference"
        return Event(
            size,
            first.start * self.factor,
            frames,
            message=f"{told}, instead of the reference, for about {1e3 * frames / self._rate_hz:.0f} ms",
        )

    def _slip(self, found: splice.Splice) -> Event:
        slip_frames = -round(found.jump * self.factor)
        replaced = (found.stop - found.start - max(found.jump, 0.0)) * self.factor
        duration = round(replaced) if replaced > _REPLACED_SECONDS * self._rate_hz else 0
        seconds = abs(slip_frames) / self._rate_hz
        what = "are missing" if slip_frames > 0 else "were inserted"
        also = f", and {duration} frames match nothing of the reference" if duration else ""
        return Event(
            SlipSize(slip_frames=slip_frames),
            found.start * self.factor,
            duration,
            message=f"about {abs(slip_frames)} frames ({1e3 * seconds:.1f} ms) {what}{also}",
        )

    def damages(self, piece: Piece, start: int, stop: int, gain: float) -> list[Event]:
        """Return the events within a piece; what all channels share at once is one event.

        Parameters
        ----------
        piece
            How the recordings lie to each other.
        start
            First received frame, at the low rate.
        stop
            The one after the last.
        gain
            Of the received recording over its reference.

        Returns
        -------
        list[Event]
            In order of time.
        """
        found = damage.find(*self._judged, piece, start, stop, gain, self._powers)
        found.sort(key=lambda item: item.start)
        same = _SAME_SECONDS * self._rate_hz / self.factor
        events = []
        while found:
            group = [found[0]]
            for item in found[1:]:
                taken = {other.channel for other in group}
                if item.start - group[0].start <= same and item.channel not in taken and item.kind is group[0].kind:
                    group.append(item)
            if len(group) < len(self._powers):
                group = group[:1]
            found = [item for item in found if item not in group]
            events.append(self._event(group))
        return events

    def _event(self, group: list[damage.Damage]) -> Event:
        start = min(item.start for item in group) * self.factor
        stop = min(max(item.stop for item in group) * self.factor, self._received_frames)
        first = group[0]
        message = f"{_TOLD[first.kind]} for about {1e3 * (stop - start) / self._rate_hz:.0f} ms"
        size = SIZES[first.kind]()
        if first.back is not None:
            size = RepeatSize(repeat_distance_frames=first.back * self.factor)
        return Event(
            size,
            start,
            stop - start,
            channel=None if len(group) == len(self._powers) and len(self._powers) > 1 else first.channel + 1,
            message=message,
        )


_TOLD = {
    Kind.DROPOUT: "muted, where the reference is not,",
    Kind.REPEAT: "what had been received before, instead of the reference,",
    Kind.MISMATCH: "other content than the reference's",
}


def _weights(powers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the weights by which channels are mixed: their mean, or the loudest alone where they cancel."""
    channels = len(powers)
    weights = np.full(channels, 1.0 / channels, dtype=np.float32)
    if float(weights @ powers @ weights) < _CANCELLED * float(np.diagonal(powers).max()):
        weights = np.eye(channels, dtype=np.float32)[int(np.diagonal(powers).argmax())]
    return weights
