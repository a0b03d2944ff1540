"""Verification of frames that come without packets: an audio file, or an array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.format_group import Analysis, blindness, stream_format
from rtpverify.events import SIZES, Cause, Event, Kind, SilenceSize
from rtpverify.result import Result, StreamResult
from rtpverify.rtp.payload import COMPANDED

if TYPE_CHECKING:
    from rtpverify.limits import Limits
    from rtpverify.reference import Recording, Tone

SILENT = 10.0 ** (-60 / 20)
"""Nothing that stays below this (of full scale) is missed, or taken for the beginning of a signal."""
CAUSE_UNKNOWN = (
    "a recording cannot show whether a fault arose on the network or in the sender; "
    "check a capture of the packets to find out"
)
_PIECE_SAMPLES = 1 << 19
"""Samples taken at a time: enough that the work on them outweighs that around it, and few enough for the cache."""
_PIECE_BLOCKS = 64
"""Frames are taken in pieces of so many blocks, or of as many times as many as the samples allow."""
_TOGETHER_SECONDS = 0.01
"""Channels that begin no farther apart begin together, as a sine needs some time to rise; wrong values no farther apart
are one event."""
_AT_ONCE_SECONDS = 0.001
"""A recording that is heard so soon begins with its signal: a sine begins at its zero."""
_LEAST_DROPOUT_FRAMES = 3
"""Shorter runs without samples are wrong frames, not a dropout."""


def of_recording(source: str, stream: StreamResult) -> Result:
    """Return what was found of frames that came without packets: their cause is not known.

    Parameters
    ----------
    source
        Name of the source.
    stream
        What was found of the frames.

    Returns
    -------
    Result
        The result, with causes unknown.
    """
    for event in stream.events:
        event.cause = Cause.UNKNOWN
    if any(event.fault for event in stream.events):
        stream.warnings.append(CAUSE_UNKNOWN)
    return Result(source, [stream])


class StoredAudio(Protocol):
    """What is known of an audio file."""

    @property
    def sample_rate_hz(self) -> int:
        """Frames per second."""

    @property
    def channels(self) -> int:
        """Samples per frame."""

    @property
    def encoding(self) -> str:
        """Name of the encoding."""

    @property
    def bits(self) -> int | None:
        """Quantiser bits of linear PCM; None otherwise."""

    @property
    def is_floating(self) -> bool:
        """Whether samples are stored in floating point."""

    def rounded_bits(self) -> int | None:
        """Return the word length that samples in floating point were rounded to; None if none.

        Returns
        -------
        int or None
            Bits.
        """


class FrameVerifier:
    """Frames in, events and a result out; sans-I/O.

    Parameters
    ----------
    reference
        What they are compared with.
    limits
        What counts as a fault.
    sample_rate_hz, channels
        Format of the frames.
    encoding, bits
        Name of the encoding for the result, and its bits where it has linear quantisation.
    may_begin_late
        Whether silence before the signal is no fault: recorders are started before what they record.

    Raises
    ------
    RequestError
        Where the reference cannot hold for the format.
    """

    def __init__(
        self,
        reference: Tone | Recording,
        limits: Limits,
        sample_rate_hz: int,
        channels: int,
        encoding: str,
        bits: int | None,
        *,
        may_begin_late: bool = False,
    ) -> None:
        self.reference = reference
        self.encoding = encoding
        self.frames = 0
        self._missing = _NotFinite(sample_rate_hz, channels)
        self._beginning = _Beginning(sample_rate_hz, channels) if may_begin_late else None
        form = stream_format(sample_rate_hz, channels, 1, reference)
        least = _PIECE_BLOCKS * form.block_frames
        self._piece = max(1, _PIECE_SAMPLES // (least * channels)) * least
        self._analysis = Analysis(form, self._piece)
        self._row = np.array([self._analysis.add(reference, limits, bits, companded=encoding in COMPANDED)])
        self._events: dict[str, Event] = {}
        self._told: list[Event] = []

    def feed(self, frames: NDArray[np.float64]) -> list[Event]:
        """Take the next frames, shape (n, channels), full scale ±1.0; return events that are new or have changed.

        Frames are checked a piece at a time, so events may come with a later call.

        Parameters
        ----------
        frames
            Full scale ±1.0, shape (n, channels).

        Returns
        -------
        list of Event
            In the order in which they were found.
        """
        start = 0
        while start < len(frames):
            room = self._piece - self.frames % self._piece
            piece = frames[start : start + room]
            start += len(piece)
            for first, stop in self._missing.finite_stretches(self.frames, piece):
                if self._beginning is not None:
                    self._beginning.look(self.frames + first, piece[first:stop])
                self._analysis.timeline.write_run(int(self._row[0]), self.frames + first, piece[first:stop])
            self.frames += len(piece)
            if self.frames % self._piece == 0:
                self._judge()
        return self._take_told()

    def pass_over(self, frames: NDArray[np.float64]) -> None:
        """Take the next frames, shape (n, channels), and report only values in them that are no finite numbers.

        Parameters
        ----------
        frames
            Shape (n, channels).
        """
        self._missing.finite_stretches(self.frames, frames)
        self.frames += len(frames)

    def finish(self) -> list[Event]:
        """End the input; return events that are new or have changed.

        Returns
        -------
        list of Event
            In the order in which they were found.
        """
        self._tell(self.not_finite)
        self._judge()
        self._tell(self._analysis.finish(int(self._row[0]), self.frames))
        return self._take_told()

    def _judge(self) -> None:
        """Check every whole block that is there."""
        self._analysis.advance(self._row, np.array([self.frames]))
        self._tell([event for _, event in self._analysis.take_events()])

    def _tell(self, told: list[Event]) -> None:
        for event in told:
            if not event.id:
                event.name("")
            self._events[event.id] = event
        self._told += told

    def _take_told(self) -> list[Event]:
        told, self._told = self._told, []
        return told

    @classmethod
    def of(cls, audio: StoredAudio, reference: Tone | Recording, limits: Limits) -> FrameVerifier:
        """Return the verifier of an audio file.

        Floating point promises no word length: its samples are checked as what they are, which is what was rounded to
        fewer bits before it was written, and a short word is no fault.

        Parameters
        ----------
        audio
            The file.
        reference
            What its channels are compared with.
        limits
            How much of something is no fault.

        Returns
        -------
        FrameVerifier
            One that has been fed nothing.

        Raises
        ------
        RequestError
            Where the reference cannot hold for the file's format.
        """
        bits = audio.bits
        if audio.is_floating:
            bits, limits = audio.rounded_bits(), replace(limits, word_length_is_fault=False)
        # Of a recording that is played once, the recording says what should be heard from the first frame on.
        late = reference.may_begin_late
        return cls(reference, limits, audio.sample_rate_hz, audio.channels, audio.encoding, bits, may_begin_late=late)

    @property
    def not_finite(self) -> list[Event]:
        """An event for every run of values so far that are no finite numbers."""
        return self._missing.events()

    def result(self, source: str) -> Result:
        """Return what was found so far.

        Parameters
        ----------
        source
            Name of the source.

        Returns
        -------
        Result
            With one stream.
        """
        return of_recording(source, self.stream())

    def stream(self) -> StreamResult:
        """Return what was found so far of the frames alone.

        Returns
        -------
        StreamResult
            Without transport.
        """
        self._judge()
        form, row = self._analysis.form, int(self._row[0])
        signal = self._analysis.detector.signal(row)
        inconclusive = self._analysis.why_inconclusive(row, self.reference, self.frames)
        events, warnings = list(self._events.values()), blindness(signal, form.sample_rate_hz)
        if self._beginning is not None and inconclusive is None:
            events, lead_in = self._beginning.without_silence(events)
            if lead_in:
                length = f"{lead_in:,} frames ({lead_in / form.sample_rate_hz:.3f} s)"
                warnings.append(f"silent for its first {length}: audio before the signal begins is not checked")
        return StreamResult(
            sample_rate=form.sample_rate_hz,
            channels=form.channels,
            encoding=self.encoding,
            frames=self.frames,
            signal=signal,
            comparison=self._analysis.detector.comparison(row),
            events=sorted(events, key=lambda event: (event.start_frame, event.channel or 0)),
            warnings=warnings,
            inconclusive=inconclusive,
        )


@dataclass(slots=True)
class _Run:
    """Frames of a channel, first and one past the last, of which ``count`` have no number."""

    start: int
    stop: int
    count: int


class _NotFinite:
    """Where values are NaN or infinite: no samples, and so holes for whoever checks the others.

    Parameters
    ----------
    sample_rate_hz, channels
        Format of the frames.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._apart = round(_TOGETHER_SECONDS * sample_rate_hz)
        self._runs: list[list[_Run]] = [[] for _ in range(channels)]

    def finite_stretches(self, frame: int, samples: NDArray[np.float64]) -> list[tuple[int, int]]:
        """Take in frames from ``frame`` on; return the stretches of them that lie in no run of any channel."""
        with np.errstate(invalid="ignore", over="ignore"):
            total = samples.sum()
        if np.isfinite(total):  # what is not would be in the sum
            return [(0, len(samples))]
        finite = np.isfinite(samples)
        if finite.all():
            return [(0, len(samples))]
        whole = np.ones(len(samples), np.bool_)
        for runs, column in zip(self._runs, finite.T, strict=True):
            for start, stop, count in _runs(~column, self._apart):
                whole[start:stop] = False
                if runs and frame + start - runs[-1].stop <= self._apart:
                    runs[-1].stop, runs[-1].count = frame + stop, runs[-1].count + count
                else:
                    runs.append(_Run(frame + start, frame + stop, count))
        return [(start, stop) for start, stop, _ in _runs(whole, 0)]

    def events(self) -> list[Event]:
        """Return an event for every run, one where it is the same on all channels."""
        if len(self._runs) > 1 and all(runs == self._runs[0] for runs in self._runs):
            return [_run_event(run, None) for run in self._runs[0]]
        return [_run_event(run, channel) for channel, runs in enumerate(self._runs, start=1) for run in runs]


def _runs(mask: NDArray[np.bool_], apart: int) -> list[tuple[int, int, int]]:
    """Return start, end and set places of stretches of a mask, shape (n,), that lie farther apart than ``apart``."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    if not len(starts):
        return []
    first = np.flatnonzero(np.append(True, starts[1:] - stops[:-1] > apart))
    last = np.append(first[1:], len(starts)) - 1
    counts = np.add.reduceat(stops - starts, first)
    return list(zip(starts[first].tolist(), stops[last].tolist(), counts.tolist(), strict=True))


def _run_event(run: _Run, channel: int | None) -> Event:
    length = run.stop - run.start
    where = f"for {length} frame(s)" if run.count == length else f"in {run.count} of {length} frames"
    return Event(
        SIZES[Kind.DROPOUT if run.count >= _LEAST_DROPOUT_FRAMES else Kind.CLICK](),
        run.start,
        length,
        channel=channel,
        message=f"NaN or infinity instead of samples {where}",
    )


class _Beginning:
    """Where each channel begins to be heard: recorders are started before what they record.

    Parameters
    ----------
    sample_rate_hz, channels
        Format of the frames.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._tolerance = round(_TOGETHER_SECONDS * sample_rate_hz)
        self._at_once = round(_AT_ONCE_SECONDS * sample_rate_hz)
        self._heard: list[int | None] = [None] * channels

    def look(self, frame: int, samples: NDArray[np.float64]) -> None:
        """Look at frames from ``frame`` on, shape (n, channels)."""
        for channel, heard in enumerate(self._heard):
            if heard is None:
                loud = np.abs(samples[:, channel]) > SILENT
                if loud.any():
                    self._heard[channel] = frame + int(loud.argmax())

    def without_silence(self, events: list[Event]) -> tuple[list[Event], int]:
        """Return events without the silence that all channels begin with, and its length in frames."""
        silent = [event for event in events if event.kind is Kind.SILENCE and event.start_frame == 0]
        concerned = {event.channel for event in silent}
        heard = [frame for frame in self._heard if frame is not None]
        if heard:
            lead_in = min(heard)
        elif None in concerned or len(concerned) == len(self._heard):
            lead_in = min(event.duration_frames for event in silent)
        else:
            return events, 0
        kept = [event for event in events if event not in silent and not self._is_muted_before(event, lead_in)]
        if lead_in == 0 or len(kept) == len(events):
            return events, 0
        if lead_in <= self._at_once:
            lead_in = 0
        for channel, frame in enumerate(self._heard, start=1):
            # Of all channels together only the last end is known: one that is heard before it has its own.
            of_it = [event.duration_frames for event in silent if event.channel == channel]
            of_all = [event.duration_frames for event in silent] if frame is None else [frame]
            length = min(of_it or of_all, default=lead_in) - lead_in
            if length > self._tolerance:
                message = f"no signal for {length} frames, while another channel has one"
                late = Event(SilenceSize(), lead_in, length, channel=channel, message=message)
                late.name("")
                kept.append(late)
        return kept, lead_in

    def _is_muted_before(self, event: Event, frame: int) -> bool:
        """Return whether an event is of a stretch before a frame that is muted."""
        stop = event.start_frame + event.duration_frames
        return event.kind is Kind.DROPOUT and event.start_frame < frame and stop <= frame + self._tolerance
