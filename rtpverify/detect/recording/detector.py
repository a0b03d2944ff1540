"""The recording detector of all streams on one timeline; a :class:`rtpverify.engine.format_group.Detector`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.channel_view import Followed, Glance
from rtpverify.detect.recording.follower import Follower
from rtpverify.detect.recording.measurement import Measurement
from rtpverify.detect.recording.programme import Programme
from rtpverify.detect.recording.settings import Settings
from rtpverify.detect.recording.track import Read, Track
from rtpverify.dsp.levels import dbfs, decibels
from rtpverify.events import Event
from rtpverify.failure import RowError
from rtpverify.limits import Limits
from rtpverify.media.timeline import Timeline
from rtpverify.reference import Recording
from rtpverify.result import ChannelComparison, Comparison, Signal

HISTORY_SECONDS = 4.0
"""How far back a piece may be examined again: what is searched for, and a second before a stretch."""


class RecordingBank:
    """Streams against recordings, one follower a row.

    Parameters
    ----------
    timeline
        Rings that hold the frames.
    sample_rate_hz
        Rate of all of them.
    history_frames
        How far back they can be read.
    """

    stretch_blocks = 1

    def __init__(self, timeline: Timeline, sample_rate_hz: int, history_frames: int) -> None:
        self.timeline = timeline
        self._sample_rate_hz = sample_rate_hz
        self._history_frames = history_frames
        self._recordings: list[Recording] = []
        self.followers: list[Follower] = []

    def place(self, row: int, reference: Recording, limits: Limits, bits: int | None, *, companded: bool) -> None:
        """Compare the timeline's newest row, or one that has been finished, with a recording.

        Parameters
        ----------
        row
            The row.
        reference
            The recording.
        limits
            How much of something is no fault.
        bits
            Word length of the encoding; None where it has none.
        companded
            Whether the encoding is G.711.
        """
        timeline, rate_hz = self.timeline, self._sample_rate_hz
        audio = reference.at_rate(rate_hz)
        programme = Programme(audio, rate_hz, looped=reference.looped, in_step=reference.in_step)
        settings = Settings(rate_hz, timeline.channels, timeline.block_frames, bits, companded, limits)
        read = [self._reader(row, channel) for channel in range(timeline.channels)]
        at = slice(row, row + 1)
        self.followers[at] = [Follower(programme, settings, read, self._history_frames)]
        self._recordings[at] = [reference]

    def _reader(self, row: int, channel: int) -> Read:
        def read(start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            return self.timeline.read(row, channel, start, stop)

        return read

    def process(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Check the next ``count`` blocks of each of these rows, and consume them.

        Parameters
        ----------
        rows
            Shape (n,).
        count
            Blocks of each, shape (n,).

        Raises
        ------
        RowError
            Where checking failed in one row; those before it were checked.
        """
        rows, count = rows[count > 0], count[count > 0]
        for row, blocks in zip(rows.tolist(), count.tolist(), strict=True):
            stop = int(self.timeline.consumed_block[row]) + blocks
            try:
                self.followers[row].advance(stop * self.timeline.block_frames)
            except Exception as error:
                raise RowError(row) from error
        if len(rows):
            self.timeline.consume(rows, count)

    def finish(self, row: int, stop: int) -> None:
        """Check the rest of a row that ends before frame ``stop``.

        Parameters
        ----------
        row
            The row.
        stop
            The frame after its last.
        """
        self.followers[row].finish(stop)

    def restart(self, row: int, frame: int) -> None:
        """Check the rest of a row before ``frame``, where its sender started over, and what follows by itself.

        Parameters
        ----------
        row
            The row.
        frame
            First frame of the sender that started over.
        """
        self.followers[row].restart(frame)

    def begin(self, row: int, frame: int) -> None:
        """Check a row that has ended, or is new, from ``frame`` on.

        Parameters
        ----------
        row
            The row.
        frame
            Its first frame.
        """
        self.followers[row].begin(frame)

    def horizon(self, row: int) -> int:
        """Return the frame up to which every event of a row has been reported.

        Parameters
        ----------
        row
            The row.

        Returns
        -------
        int
            Frame of the timeline.
        """
        return self.followers[row].horizon

    def rows_with_events(self) -> set[int]:
        """Return the rows that have events to be taken.

        Returns
        -------
        set[int]
            Rows.
        """
        return {row for row, follower in enumerate(self.followers) if follower.events}

    def take_events(self, row: int) -> list[tuple[int | None, Event]]:
        """Return the events since the last call, each with its channel (from 0), None where it is of all.

        Parameters
        ----------
        row
            The row.

        Returns
        -------
        list[tuple[int or None, Event]]
            In the order in which they were found.
        """
        follower = self.followers[row]
        told, follower.events = follower.events, []
        return told

    def signal(self, row: int) -> list[Signal]:
        """Return what each channel of a row measured so far.

        Parameters
        ----------
        row
            The row.

        Returns
        -------
        list[Signal]
            One for each channel.
        """
        return [_signal(track) for track in self.followers[row].tracks]

    def comparison(self, row: int) -> Comparison:
        """Return how the channels of a row follow from the recording so far.

        Parameters
        ----------
        row
            The row.

        Returns
        -------
        Comparison
            Place, gain and clock of each channel, and how much of it is the recording's.
        """
        follower, recording = self.followers[row], self._recordings[row]
        block = max(track.measured.bin_frames for track in follower.tracks)
        channels = [_compared(track) for track in follower.tracks]
        frames = follower.programme.frames
        return Comparison(str(recording.path), frames, recording.sample_rate_hz, block, channels)

    def present(self, row: int, measured: Sequence[Signal]) -> list[Signal]:
        """Return what each channel of a row carries now: level and offset of the last second.

        The rest is as in ``measured``, what :meth:`signal` returned.

        Parameters
        ----------
        row
            The row.
        measured
            What :meth:`signal` returned.

        Returns
        -------
        list[Signal]
            One for each channel.
        """
        signals = []
        for track, signal in zip(self.followers[row].tracks, measured, strict=True):
            x, _ = self._last_second(row, track)
            level_dbfs = dbfs(float(np.sqrt(np.mean(np.square(x))))) if np.any(x) else None
            signals.append(replace(signal, level_dbfs=level_dbfs, dc_offset=float(x.mean()) if len(x) else None))
        return signals

    def _last_second(self, row: int, track: Track) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return the frames of a channel that are there, and what the recording leaves of them where it is followed."""
        stop = int(self.timeline.consumed_block[row]) * self.timeline.block_frames
        start = max(0, stop - track.settings.sample_rate_hz)
        x, valid = track.read(start, stop)
        model = track.model
        if model is None or track.broken is not None or stop == start:
            return x[valid], None
        return x[valid], (x - model.expected(start, stop))[valid]

    def glance(self, rows: NDArray[np.int64]) -> Glance:
        """Return what is seen of every channel of these rows at a glance.

        Parameters
        ----------
        rows
            Shape (n,).

        Returns
        -------
        Glance
            Figures of each channel, shape (n, channels) each.
        """
        shape = len(rows), self.timeline.channels
        followed, rms, residual_rms = np.zeros(shape, np.bool_), np.full(shape, np.nan), np.full(shape, np.nan)
        for at, row in enumerate(rows.tolist()):
            for track in self.followers[row].tracks:
                place = at, track.channel
                x, residual = self._last_second(row, track)
                if len(x):
                    rms[place] = np.sqrt(np.mean(np.square(x)))
                if residual is not None and len(residual):
                    followed[place], residual_rms[place] = True, np.sqrt(np.mean(np.square(residual)))
        return Glance(followed, rms, residual_rms, np.full(shape, np.nan))

    def followed(self, row: int, channel: int) -> Followed:
        """Return what a channel (from 0) is compared with now: no sine.

        Parameters
        ----------
        row
            The row.
        channel
            Counted from 0.

        Returns
        -------
        Followed
            With the frames of the recording, where the channel was found in it.
        """
        track = self.followers[row].tracks[channel]
        if track.model is None:
            return Followed(None, None, None)

        def content(start: int, stop: int, before: int | None) -> NDArray[np.float64]:
            model = track.model if before is None else track.model_before(before)
            return np.full(stop - start, np.nan) if model is None else model.expected(start, stop)

        return Followed(None, None, track.model.noise.floor, content)

    @property
    def in_a_hurry(self) -> bool:
        """Whether the next blocks are waited for: a recording is checked by longer stretches anyway."""
        return False

    def ever_acquired(self, row: int) -> bool:
        """Return whether the recording was found on any channel of a row.

        Parameters
        ----------
        row
            The row.

        Returns
        -------
        bool
            Whether it was.
        """
        return any(track.ever_acquired for track in self.followers[row].tracks)


def _signal(track: Track) -> Signal:
    """Return what was measured of a channel."""
    measured: Measurement = track.measured
    signal = Signal(track.channel + 1)
    if measured.measured:
        n = measured.measured
        signal.level_dbfs = _level(measured.squares / n)
        signal.residual_dbfs = _level(measured.residual_squares / n)
        signal.dc_offset = measured.total / n
        signal.frames_exact = measured.equal
    if track.last is not None and measured.measured:
        signal.frequency_error_ppm = 1e6 * track.last.rate
    return signal


def _compared(track: Track) -> ChannelComparison:
    """Return how a channel follows from the recording."""
    measured, model = track.measured, track.first
    compared = ChannelComparison(
        channel=track.channel + 1,
        frames_compared=measured.compared,
        frames_equal=measured.equal,
        first_different_frame=measured.first_different,
    )
    if measured.measured:
        compared.residual_dbfs = _level(measured.residual_squares / measured.measured)
    count = max([*measured.bins, *measured.different], default=-1) + 1
    for number in range(count):
        energy, frames = measured.bins.get(number, (0.0, 0))
        compared.block_residual_dbfs.append(_level(energy / frames) if frames else None)
        different = measured.different.get(number, 0)
        compared.block_frames_different.append(different if frames or different else None)
    if model is not None:
        compared.reference_channel = model.source + 1
        offset = -model.position(0)
        length = model.programme.frames
        # Adding 0.0 makes a negative zero positive.
        compared.offset_frames = 0.0 + (offset if not model.programme.looped else -(-offset % length))
        compared.gain_db = decibels(abs(model.gain))
        compared.inverted = model.gain < 0.0
        compared.clock_offset_ppm = 1e6 * (track.last or model).rate
    return compared


def _level(power: float) -> float | None:
    return dbfs(float(np.sqrt(power))) if power > 0.0 else None
