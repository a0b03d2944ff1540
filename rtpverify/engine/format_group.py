"""Streams of one format on one timeline, and the detector that checks them.

This is where frames meet a reference: packets or file blocks are written to the timeline, whole blocks that are settled
go to the detector, the channels' events are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.channel_view import Followed, Glance
from rtpverify.detect.merge_channels import ChannelMerger
from rtpverify.events import Event
from rtpverify.failure import RowError
from rtpverify.limits import Limits
from rtpverify.media.timeline import Timeline
from rtpverify.reference import Recording, Reference, Tone
from rtpverify.result import Comparison, Signal

TOLERANCE_BLOCKS = 3
SMALL_BLIND_SECONDS = 0.1
"""A tone that cannot distinguish slips this far apart is called blind: common buffers are shorter."""


class Detector(Protocol):
    """What checks the rows of a timeline. A detector keeps one slot for every row.

    Attributes
    ----------
    stretch_blocks
        Blocks that are best checked at once, or a multiple of them; they begin at multiples.
    """

    stretch_blocks: int

    def place(self, row: int, reference: Any, limits: Limits, bits: int | None, *, companded: bool) -> None:
        """Compare the timeline's newest row, or one that has been finished, with a reference of the detector's kind.

        ``bits`` is None without linear quantisation, ``companded`` says G.711.

        Parameters
        ----------
        row
            The row.
        reference
            A reference of the detector's kind.
        limits
            How much of something is no fault.
        bits
            Bits of the quantiser; None without linear quantisation.
        companded
            Whether it is G.711, whose steps grow with the level.
        """

    def process(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Check the next ``count`` blocks of each of these rows, and consume them.

        Parameters
        ----------
        rows
            Rows of the format group, shape (n,).
        count
            Blocks of each row, shape (n,).

        Raises
        ------
        RowError
            Where one row cannot be checked, and the others can continue with the next call.
        """

    def finish(self, row: int, stop: int) -> None:
        """Check the rest of a row that ends before frame ``stop``.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        stop
            Frame after the last one.
        """

    def restart(self, row: int, frame: int) -> None:
        """Check the rest of a row before ``frame``, where its sender started over, and what follows again.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        frame
            First frame after the break.
        """

    def begin(self, row: int, frame: int) -> None:
        """Check a row that has ended, or is new, from ``frame`` on.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        frame
            First frame.
        """

    def horizon(self, row: int) -> int:
        """Return the frame up to which every event of a row has been reported.

        Parameters
        ----------
        row
            Row of the stream in its format group.

        Returns
        -------
        int
            A frame; later events begin at or after it.
        """

    def rows_with_events(self) -> set[int]:
        """Return the rows of which events have been reported.

        Returns
        -------
        set[int]
            Rows.
        """

    def take_events(self, row: int) -> Sequence[tuple[int | None, Event]]:
        """Return the events reported since the last call, each with its channel (from 0), None where it is of all.

        Parameters
        ----------
        row
            Row of the stream in its format group.

        Returns
        -------
        Sequence[tuple[int or None, Event]]
            Channel and event, in order of detection.
        """

    def signal(self, row: int) -> list[Signal]:
        """Return what each channel of a row measured so far.

        Parameters
        ----------
        row
            Row of the stream in its format group.

        Returns
        -------
        list of Signal
            One for each channel.
        """

    def present(self, row: int, measured: Sequence[Signal]) -> list[Signal]:
        """Return what each channel of a row carries now; ``measured`` is what :meth:`signal` returned.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        measured
            One for each channel, as :meth:`signal` returned it.

        Returns
        -------
        list of Signal
            One for each channel, of about the last second.
        """

    @property
    def in_a_hurry(self) -> bool:
        """Whether something has just happened that the next blocks explain."""

    def ever_acquired(self, row: int) -> bool:
        """Return whether the reference was found on any channel of a row.

        Parameters
        ----------
        row
            Row of the stream in its format group.

        Returns
        -------
        bool
            Whether it was, at any time.
        """

    def glance(self, rows: NDArray[np.int64]) -> Glance:
        """Return what is seen of every channel of these rows at a glance.

        Parameters
        ----------
        rows
            Rows of the format group, shape (n,).

        Returns
        -------
        Glance
            Arrays of shape (n, channels).
        """

    def followed(self, row: int, channel: int) -> Followed:
        """Return what a channel (from 0) is compared with now.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        channel
            Channel, from 0.

        Returns
        -------
        Followed
            The reference signal, as it is expected now.
        """

    def comparison(self, row: int) -> Comparison | None:
        """Return how a row follows from the recording that it is compared with, None where it is no recording.

        Parameters
        ----------
        row
            Row of the stream in its format group.

        Returns
        -------
        Comparison or None
            Offset, gain, polarity and clock.
        """


@dataclass(frozen=True, slots=True)
class Format:
    """What streams must share to be checked together."""

    sample_rate_hz: int
    channels: int
    packet_frames: int
    block_frames: int
    against: type[Tone] | type[Recording] = Tone
    """What kind of reference they are compared with: each kind has a detector of its own."""


def stream_format(sample_rate_hz: int, channels: int, packet_frames: int, reference: Tone | Recording) -> Format:
    """Return the format group of a stream.

    Parameters
    ----------
    sample_rate_hz
        Sample rate.
    channels
        Channels.
    packet_frames
        Frames of its packets.
    reference
        What its channels are compared with.

    Returns
    -------
    Format
        What its group has in common.

    Raises
    ------
    RequestError
        Where the reference cannot hold for the format.
    """
    reference.check(sample_rate_hz, channels)
    if isinstance(reference, Recording):
        return Format(sample_rate_hz, channels, packet_frames, max(sample_rate_hz // 50, 64), Recording)
    from rtpverify.detect.tone.settings import block_frames

    frequencies = tuple(reference.frequency_hz(channel) for channel in range(channels))
    return Format(sample_rate_hz, channels, packet_frames, block_frames(sample_rate_hz, frequencies))


def _history_seconds(form: Format) -> float:
    """Return how far back the detector of a format may look."""
    if form.against is Recording:
        from rtpverify.detect.recording.detector import HISTORY_SECONDS
    else:
        from rtpverify.detect.tone.detector import HISTORY_SECONDS
    return HISTORY_SECONDS


def _detector(form: Format, timeline: Timeline, history_frames: int) -> Detector:
    """Return the detector of a format; only its own modules are loaded."""
    if form.against is Recording:
        from rtpverify.detect.recording.detector import RecordingBank

        return RecordingBank(timeline, form.sample_rate_hz, history_frames)
    from rtpverify.detect.tone.detector import ToneBank

    return ToneBank(timeline, form.sample_rate_hz)


class Analysis:
    """All streams of one format, each a row.

    Parameters
    ----------
    form
        The format.
    ahead_frames
        How far the writer may run ahead of what is settled.
    dtype
        What samples are kept as (:class:`~rtpverify.media.timeline.Timeline`).
    """

    def __init__(self, form: Format, ahead_frames: int, dtype: type[np.float32 | np.float64] = np.float64) -> None:
        self.form = form
        history = max(int(_history_seconds(form) * form.sample_rate_hz), 16 * form.block_frames)
        # What is consumed at once must not push out of reach what a decision about its first block looks back to.
        self.timeline = Timeline(
            form.channels, form.block_frames, history + ahead_frames, ahead_frames, form.packet_frames, dtype
        )
        self.detector = _detector(form, self.timeline, history)
        """The detector of every row."""
        self.stretch_frames = self.detector.stretch_blocks * form.block_frames
        """Frames that are best checked at once, or a multiple of them; they begin at multiples."""
        self._mergers: list[ChannelMerger] = []
        self._free: list[int] = []
        """Rows of streams that were removed."""
        self._placed: list[Callable[[], None]] = []
        """What begins each row from nothing."""

    def add(self, reference: Tone | Recording, limits: Limits, bits: int | None, *, companded: bool = False) -> int:
        """Add a stream; return its row.

        Parameters
        ----------
        reference
            What its channels are compared with.
        limits
            How much of something is no fault.
        bits
            Bits of the quantiser; None without linear quantisation.
        companded
            Whether it is G.711, whose steps grow with the level.

        Returns
        -------
        int
            The row.
        """
        form = self.form
        merger = ChannelMerger(form.channels, TOLERANCE_BLOCKS * form.block_frames)
        if not self._free:
            row = self.timeline.add()
            self._mergers.append(merger)
        else:
            row = self._free.pop()
            self.timeline.begin(row, 0)
            self._mergers[row] = merger

        def place() -> None:
            self.detector.place(row, reference, limits, bits, companded=companded)

        self._placed[row : row + 1] = [place]
        try:
            place()
        except BaseException:
            self._free.append(row)
            raise
        return row

    def remove(self, row: int) -> None:
        """Give up a row that has been finished; a stream that is added later may get it.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        """
        self._free.append(row)

    def advance(self, rows: NDArray[np.int64], settled: NDArray[np.int64]) -> None:
        """Check every whole block that lies before the settled frame of its row.

        Parameters
        ----------
        rows
            Rows of the format group, shape (n,).
        settled
            Frame of each row before which no packet can change anything, shape (n,).
        """
        ready = settled // self.form.block_frames - self.timeline.consumed_block[rows]
        self.detector.process(rows, ready)

    def advance_each(
        self, rows: NDArray[np.int64], settled: NDArray[np.int64]
    ) -> tuple[list[tuple[int | None, Exception]], list[int]]:
        """Check as :meth:`advance` does, and let no row keep the others from being checked.

        Parameters
        ----------
        rows
            Rows of the format group, shape (n,).
        settled
            Frame of each row before which no packet can change anything, shape (n,).

        Returns
        -------
        list of (int or None, Exception)
            Rows that cannot be checked, and why; None where no row by itself is at fault.
        list of int
            Rows that are checked again from their next block on: it is not known what they had taken in.
        """
        try:
            self.advance(rows, settled)
        except RowError as error:
            others = rows != error.row
            failed, renewed = self.advance_each(rows[others], settled[others])
            return [(error.row, error), *failed], renewed
        except Exception as error:
            return self._advance_one_by_one(rows, settled, error)
        return [], []

    def _advance_one_by_one(
        self, rows: NDArray[np.int64], settled: NDArray[np.int64], error: Exception
    ) -> tuple[list[tuple[int | None, Exception]], list[int]]:
        """Find the rows that are at fault for what happened to all of them together."""
        if len(rows) == 1:
            return [(int(rows[0]), error)], []
        failed: list[tuple[int | None, Exception]] = []
        renewed = []
        for at, row in enumerate(rows.tolist()):
            one = slice(at, at + 1)
            try:
                self._placed[row]()
                self.detector.begin(row, int(self.timeline.consumed_block[row]) * self.form.block_frames)
                self.advance(rows[one], settled[one])
                renewed.append(row)
            except Exception as its_own:
                failed.append((row, its_own))
        return failed or [(None, error)], renewed

    def take_events(self) -> Iterator[tuple[int, Event]]:
        """Yield events that are new or have changed, each with its row.

        Yields
        ------
        tuple[int, Event]
            Row and event.

        Raises
        ------
        RowError
            Where those of one row cannot be obtained; the others can be asked for again.
        """
        waiting = {row for row, merger in enumerate(self._mergers) if merger.waiting}
        for row in sorted(waiting.union(self.detector.rows_with_events()).difference(self._free)):
            try:
                told = self._events_of(row)
            except Exception as error:
                raise RowError(row) from error
            yield from ((row, event) for event in told)

    def _events_of(self, row: int) -> list[Event]:
        """Return the events of a row that every channel has been explained past."""
        merger = self._mergers[row]
        for channel, event in self.detector.take_events(row):
            merger.add(channel, event)
        return merger.take(self.detector.horizon(row))

    @property
    def in_a_hurry(self) -> bool:
        """Whether the next blocks are waited for to show an event."""
        return self.detector.in_a_hurry or any(
            merger.waiting for row, merger in enumerate(self._mergers) if row not in self._free
        )

    def judged_frame(self, row: int) -> int:
        """Return the frame up to which a row is checked.

        Parameters
        ----------
        row
            Row of the stream in its format group.

        Returns
        -------
        int
            A multiple of the block length.
        """
        return int(self.timeline.consumed_block[row]) * self.form.block_frames

    def restart(self, row: int, frame: int) -> list[Event]:
        """Check a row before ``frame`` to its end and what follows again; return the events that were left.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        frame
            First frame after the break.

        Returns
        -------
        list of Event
            Events that begin before it.
        """
        row_only = np.array([row])
        self.advance(row_only, np.array([frame]))
        self.detector.restart(row, frame)
        return self._take_rest(row)

    def begin(self, row: int, frame: int) -> None:
        """Check a row that has ended, or is new, from ``frame`` on.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        frame
            First frame.
        """
        self.timeline.begin(row, frame // self.form.block_frames)
        self.detector.begin(row, frame)

    def finish(self, row: int, stop: int) -> list[Event]:
        """End a row before frame ``stop``; return the events that were left.

        Parameters
        ----------
        row
            Row of the stream in its format group.
        stop
            Frame after the last one.

        Returns
        -------
        list of Event
            In the order of their first frames.
        """
        self.detector.finish(row, stop)
        return self._take_rest(row)

    def _take_rest(self, row: int) -> list[Event]:
        """Return all events of a row that has ended."""
        merger = self._mergers[row]
        for channel, event in self.detector.take_events(row):
            merger.add(channel, event)
        return merger.take(None)

    def why_inconclusive(self, row: int, reference: Reference, frames: int) -> str | None:
        """Return why nothing can be said of the signal of a row, None where something can.

        Parameters
        ----------
        row
            The row.
        reference
            What its channels are compared with.
        frames
            Frames that arrived.

        Returns
        -------
        str or None
            A sentence for the result.
        """
        if frames == 0:
            return "no frames arrived"
        if self.detector.ever_acquired(row):
            return None
        if isinstance(reference, Recording):
            return f"{reference.path.name} was not found in the {frames} frames that arrived"
        wanted = "tone"
        if isinstance(reference, Tone) and reference.frequencies_hz:
            wanted = "tone of " + ", ".join(f"{hz:g}" for hz in reference.frequencies_hz) + " Hz"
        return f"no {wanted} found above the noise in the {frames} frames that arrived"


def blindness(signal: Sequence[Signal], sample_rate_hz: int) -> list[str]:
    """Return a warning for tones that leave common slips unseen, one for channels that share it.

    Parameters
    ----------
    signal
        What each channel measured.
    sample_rate_hz
        Sample rate.

    Returns
    -------
    list of str
        Sentences for the result.
    """
    warnings = []
    for blind in sorted({item.blind_slip_frames for item in signal if item.blind_slip_frames is not None}):
        if blind >= SMALL_BLIND_SECONDS * sample_rate_hz:
            continue
        at = [item for item in signal if item.blind_slip_frames == blind]
        hz = at[0].frequency_hz
        tone = f"{hz:.0f} Hz" if hz is not None else "this tone"
        where = "" if len(at) == len(signal) else f" on channel {', '.join(str(item.channel) for item in at)}"
        warnings.append(
            f"a tone of {tone} at {sample_rate_hz} Hz{where} cannot reveal slips of {blind} frames "
            f"({1000 * blind / sample_rate_hz:.3g} ms) or multiples of it; use 1283 Hz to detect slips of any length"
        )
    return warnings
