"""Every channel of every stream of one format, checked block by block at once.

A line (one channel of one stream) is either *locked*, and checked with all others in a few array operations, or in the
hands of its scanner. A block that is not clean hands a line to its scanner, which gives it back when it is quiet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.channel_view import Followed, Glance
from rtpverify.detect.tone.acquisition import LARGEST_RESIDUAL, Acquired
from rtpverify.detect.tone.blocks.block_test import BlockTest, fit_lines, take_blocks, take_whole_blocks
from rtpverify.detect.tone.blocks.channel_models import SEED_BLOCKS, Lines, NewBlocks
from rtpverify.detect.tone.blocks.crosstalk import Crosstalk
from rtpverify.detect.tone.blocks.current_figures import present_level, present_tones
from rtpverify.detect.tone.blocks.figures import Measurements
from rtpverify.detect.tone.blocks.limit_prefilter import LimitWatch
from rtpverify.detect.tone.blocks.movement import PREDICTOR_BLOCKS, Innovations, Movement
from rtpverify.detect.tone.blocks.polarity import inverted
from rtpverify.detect.tone.blocks.stretches import Stretches, judge_stretches
from rtpverify.detect.tone.moves import Moves, moving_sigma
from rtpverify.detect.tone.scanner import Scanner
from rtpverify.detect.tone.settings import Settings, sensitivity
from rtpverify.detect.tone.track import Track
from rtpverify.detect.tone.word_length import WordLength
from rtpverify.dsp.levels import amplitude_ratio
from rtpverify.dsp.sine import Sine, fit_blocks, tone_basis, wrap_phase
from rtpverify.events import Event
from rtpverify.failure import RowError
from rtpverify.limits import Limits
from rtpverify.media.timeline import Timeline
from rtpverify.reference import Tone
from rtpverify.result import Signal

STATE_BLOCKS = 64
"""Noise and thresholds are renewed at multiples of this block number only, whatever way the input is cut."""
LEAST_STRETCHES, MOST_STRETCHES = 2, 16
"""Stretches of :data:`STATE_BLOCKS` that are checked together: the more were clean so far, the more."""
MOST_SAMPLES = 1 << 20
"""Samples of several rows that are checked together: more would cost no less each, and memory."""
HISTORY_SECONDS = 2.2
"""How far back frames are read: a second before a step, a second after it, and the blocks that are being explained."""
DISTURBED_BLOCKS = 10
"""A line that has not settled after so many blocks is in no hurry any more."""


class ToneBank:
    """The tone detector of all streams on one timeline.

    Parameters
    ----------
    timeline
        Rings that hold the frames.
    sample_rate_hz
        Rate of all of them.
    """

    stretch_blocks = STATE_BLOCKS

    def __init__(self, timeline: Timeline, sample_rate_hz: int) -> None:
        self.timeline = timeline
        self._block = timeline.block_frames
        self._sample_rate_hz = sample_rate_hz
        window = max(PREDICTOR_BLOCKS, sample_rate_hz // timeline.block_frames)
        self._lines = Lines(timeline.block_frames, window)
        self._movement = Movement(timeline.block_frames, sample_rate_hz, window)
        self._test = BlockTest(self._movement, window)
        self._watch = LimitWatch()
        self._measured = Measurements()
        self._exact_frames = np.zeros(0, np.int64)
        """Frames of clean blocks of each line."""
        self._scanners: list[Scanner] = []
        self._settings: list[Settings] = []
        self._crosstalk: list[Crosstalk] = []
        self._word_length: list[WordLength] = []
        self._compared = np.zeros(0, np.bool_)
        """Rows whose channels have been compared with each other."""
        self._unlocked_at = np.zeros(0, np.int64)
        """Block at which each line was last disturbed."""
        self._ahead = np.zeros(0, np.int64)
        """How many stretches of each row are checked together next; below :data:`LEAST_STRETCHES`: none."""
        self._start = np.zeros(0, np.int64)
        """Frame from which on each row is of one sender."""

    # Rows -----------------------------------------------------------------------------------------------------------

    def place(self, row: int, reference: Tone, limits: Limits, bits: int | None, *, companded: bool) -> None:
        """Compare the timeline's newest row, or one that has been finished, with a tone.

        Parameters
        ----------
        row
            The row.
        reference
            The tone.
        limits
            How much of something is no fault.
        bits
            Word length of the encoding; None where it has none.
        companded
            Whether the encoding is G.711.
        """
        timeline, rate_hz = self.timeline, self._sample_rate_hz
        of_channels = range(timeline.channels)
        references = tuple(reference.frequency_hz(channel) for channel in of_channels)
        settings = [
            Settings(channel, rate_hz, self._block, timeline.packet_frames, bits, companded, references, limits)
            for channel in of_channels
        ]
        (self._add if row == len(self._start) else self._replace)(row, settings)

    def _add(self, row: int, settings: list[Settings]) -> None:
        n = len(settings)
        self._lines.add(settings)
        self._movement.grow(n)
        self._watch.grow(n)
        self._measured.grow(n)
        self._exact_frames = np.append(self._exact_frames, np.zeros(n, np.int64))
        self._unlocked_at = np.append(self._unlocked_at, np.full(n, -DISTURBED_BLOCKS))
        self._scanners += [self._scanner(row, channel, item) for channel, item in enumerate(settings)]
        self._settings += settings
        self._crosstalk += [Crosstalk() for _ in settings]
        self._word_length += [WordLength(item) for item in settings]
        self._compared = np.append(self._compared, n == 1)
        self._start = np.append(self._start, 0)
        self._ahead = np.append(self._ahead, 0)

    def _replace(self, row: int, settings: list[Settings]) -> None:
        for channel, (line, item) in enumerate(zip(self._lines_of(row), settings, strict=True)):
            self._lines.reset(line, item)
            self._movement.reset(line)
            self._watch.reset(line)
            self._measured.reset(line)
            self._exact_frames[line] = 0
            self._unlocked_at[line] = -DISTURBED_BLOCKS
            self._scanners[line] = self._scanner(row, channel, item)
            self._settings[line] = item
            self._crosstalk[line] = Crosstalk()
            self._word_length[line] = WordLength(item)
        self._compared[row] = len(settings) == 1
        self._start[row] = 0

    def _scanner(self, row: int, channel: int, settings: Settings) -> Scanner:
        def read(start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            return self.timeline.read(row, channel, start, stop)

        line = row * self.timeline.channels + channel

        def moves(frame: int, omega: float) -> Moves:
            return self._movement.moves(line, frame // self._block, omega)

        return Scanner(Track(settings, read, moves))

    def _track(self, line: int) -> Track:
        return self._scanners[line].track

    def process(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Check the next ``count`` blocks of each of these rows, and consume them.

        Parameters
        ----------
        rows
            Shape (n,).
        count
            Blocks of each, shape (n,).
        """
        rows, left = rows[count > 0], count[count > 0]
        while len(rows):
            judged = self._judge_ahead(rows, left)
            if judged.any():
                left -= judged
                rows, left = rows[left > 0], left[left > 0]
                continue
            # Cut at the blocks where the state is renewed, and never beyond what the history can give back.
            step = np.minimum(left, STATE_BLOCKS - self.timeline.consumed_block[rows] % STATE_BLOCKS)
            # Rows go together where that wastes little on what the shorter ones have not got.
            now = np.flatnonzero(2 * step >= step.max())
            now = now[: max(1, MOST_SAMPLES // (int(step.max()) * self._block * self.timeline.channels))]
            self._process(rows[now], step[now])
            left[now] -= step[now]
            self._ahead[rows[now]] = np.maximum(self._ahead[rows[now]], LEAST_STRETCHES)
            rows, left = rows[left > 0], left[left > 0]

    def _judge_ahead(self, rows: NDArray[np.int64], left: NDArray[np.int64]) -> NDArray[np.int64]:
        """Check several stretches of rows at once where that is less work; return how many blocks of each, shape (n,).

        ``left`` is how many blocks of each are there, shape (n,).
        """
        judged = np.zeros(len(rows), np.int64)
        begins = self.timeline.consumed_block[rows] % STATE_BLOCKS == 0
        there = np.where(begins, left // STATE_BLOCKS, 0)
        if there.max() < LEAST_STRETCHES * len(rows):
            return judged  # together, the next stretch of every row is less
        for i in np.flatnonzero(np.minimum(there, self._ahead[rows]) >= LEAST_STRETCHES).tolist():
            row = int(rows[i])
            judged[i] = STATE_BLOCKS * self._judge_stretches(row, int(min(there[i], self._ahead[row])))
        return judged

    def _judge_stretches(self, row: int, count: int) -> int:
        """Check so many stretches of a row at once, and consume those of them that are clean; return how many."""
        lines, state, first = np.array(self._lines_of(row)), self._lines, int(self.timeline.consumed_block[row])
        if not state.locked[lines].all() or state.window > STATE_BLOCKS or self._watch.departed(lines):
            return 0
        if not self._compared[row] or any(self._track(line).steps.waiting for line in lines.tolist()):
            return 0
        x, is_whole = self.timeline.stretch(row, first, count * STATE_BLOCKS)
        if not is_whole.all():
            count = int(is_whole.argmin()) // STATE_BLOCKS
            if count < LEAST_STRETCHES:
                return 0
            x = x[:, : count * STATE_BLOCKS]
        settings = [self._settings[line] for line in lines.tolist()]
        new = take_whole_blocks(state, lines, x, np.full(len(lines), first))
        found = judge_stretches(self._test, self._watch, state, self._movement, new, STATE_BLOCKS, settings)
        clean = found.clean.all(axis=0)
        taken = count if clean.all() else int(clean.argmin())
        self._ahead[row] = min(2 * count, MOST_STRETCHES) if taken == count else 0
        if taken:
            self._take_in_stretches(new, found, taken)
            self.timeline.consume(np.array([row]), np.array([taken * STATE_BLOCKS]))
        return taken

    def _take_in_stretches(self, new: NewBlocks, found: Stretches, count: int) -> None:
        """Measure the first ``count`` stretches of lines, which are clean, and continue from the last of them."""
        state, lines, stop = self._lines, new.lines, count * STATE_BLOCKS
        kept = np.ones((len(lines), STATE_BLOCKS), np.bool_)
        for i, line in enumerate(lines.tolist()):
            for at in range(count):
                part = slice(at * STATE_BLOCKS, (at + 1) * STATE_BLOCKS)
                if self._word_length[line].watching:
                    self._word_length[line].watch(new.x[i, part], self._track(line))
                block = int(new.first_block[i]) + part.stop
                self._measure_crosstalk(line, block, found.state, int(found.rows[i, at + 1]))
        # Only what is remembered longest has to be recorded.
        for start in range(max(0, stop - 2 * STATE_BLOCKS), stop, STATE_BLOCKS):
            fit = new.fit.take((slice(None), slice(start, start + STATE_BLOCKS)))
            self._movement.record(lines, new.first_block + start, fit, kept, fit.square_sum / self._block)
        for start, end in ((0, stop - STATE_BLOCKS), (stop - STATE_BLOCKS, stop)):
            if start < end:
                part = slice(start, end)
                fit, phase = new.fit.take((slice(None), part)), new.phase[:, state.window :][:, part]
                counted = np.ones_like(new.is_due[:, part])
                self._measured.add(lines, state.omega[lines], fit, phase, new.frames[:, part], counted)
                self._measured.renew_harmonics(lines)
        self._exact_frames[lines] += stop * self._block
        state.put(lines, found.state, found.rows[:, count])
        self._movement.put(lines, found.movement, found.rows[:, count])

    def _process(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        timeline, channels = self.timeline, self.timeline.channels
        first_block = timeline.consumed_block[rows]
        x, valid = timeline.blocks(rows, first_block, count)
        lines = rows[:, None] * channels + np.arange(channels)
        locked = self._lines.locked[lines]
        if locked.all():
            at = np.repeat(np.arange(len(rows)), channels)
            self._judge(lines.ravel(), x.reshape(-1, *x.shape[2:]), valid[at], first_block[at], count[at])
        elif locked.any():
            at, channel = np.nonzero(locked)
            self._judge(lines[at, channel], x[at, channel], valid[at], first_block[at], count[at])
        if not locked.all():
            at, channel = np.nonzero(~locked)
            self._record(lines[at, channel], x[at, channel], valid[at], first_block[at], count[at])
        timeline.consume(rows, count)
        # From here on rows are looked at one by one, and the next call goes on wherever one stops.
        for row, limit in zip(rows.tolist(), (timeline.consumed_block[rows] * self._block).tolist(), strict=True):
            try:
                self._go_on(row, limit)
            except Exception as error:
                raise RowError(row) from error

    def _record(
        self,
        lines: NDArray[np.int64],
        x: NDArray[np.float64],
        valid: NDArray[np.bool_],
        first_block: NDArray[np.int64],
        due: NDArray[np.int64],
    ) -> None:
        """Keep how lines move that are not locked, where the frequency of their tone is known."""
        nominal = self._nominal_hz(lines)
        known = np.isfinite(nominal)
        if known.any():
            omega = 2.0 * math.pi * nominal[known] / self._sample_rate_hz
            fit, whole = fit_lines(omega, x[known]), valid[known].all(axis=2)
            noise = fit.square_sum / self._block
            whole &= (np.arange(whole.shape[1]) < due[known, None]) & (noise < (LARGEST_RESIDUAL * np.abs(fit.z)) ** 2)
            self._movement.record(lines[known], first_block[known], fit, whole, noise)

    def _go_on(self, row: int, limit: int) -> None:
        """Leave the rest to the scanners and steps of a row, before frame ``limit``."""
        if not self._compared[row]:
            self._compare_channels(row)
        for line in self._lines_of(row):
            if not self._lines.locked[line]:
                self._follow(line, limit)
            elif self._track(line).steps.waiting:
                self._track(line).steps.resolve(limit)

    def finish(self, row: int, stop: int) -> None:
        """Check the rest of a row that ends before frame ``stop``.

        Parameters
        ----------
        row
            The row.
        stop
            The frame after its last.
        """
        for line in self._lines_of(row):
            self._end_line(row, line, stop)
            self._word_length[line].finish(stop, self._track(line))

    def restart(self, row: int, frame: int) -> None:
        """Check the rest of a row before ``frame``, where its sender started over, and what follows by itself.

        Parameters
        ----------
        row
            The row.
        frame
            First frame of the sender that started over.
        """
        for line in self._lines_of(row):
            self._end_line(row, line, frame)
        self.begin(row, frame)

    def begin(self, row: int, frame: int) -> None:
        """Check a row that has ended, or is new, from ``frame`` on.

        Parameters
        ----------
        row
            The row.
        frame
            Its first frame.
        """
        for channel, line in enumerate(self._lines_of(row)):
            scanner = self._scanner(row, channel, self._settings[line])
            scanner.track.begin_at(frame, self._track(line))
            self._scanners[line] = scanner
        self._start[row] = frame
        self._compared[row] = self.timeline.channels == 1

    def _end_line(self, row: int, line: int, stop: int) -> None:
        """Check the rest of a line that ends before frame ``stop``."""
        if self._lines.locked[line]:
            if not self._crosstalk[line].measured:
                self._measure_crosstalk(line, int(self.timeline.consumed_block[row]), self._lines, line)
            self._unlock(line, int(self.timeline.consumed_block[row]))
        self._scanners[line].advance(stop, final=True)
        self._scanners[line].finish(stop)

    def _lines_of(self, row: int) -> range:
        return range(row * self.timeline.channels, (row + 1) * self.timeline.channels)

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
        consumed = int(self.timeline.consumed_block[row]) * self._block
        return min(
            self._track(line).steps.horizon(consumed) if self._lines.locked[line] else self._scanners[line].horizon
            for line in self._lines_of(row)
        )

    def rows_with_events(self) -> set[int]:
        """Return the rows that have events to be taken.

        Returns
        -------
        set[int]
            Rows.
        """
        return {line // self.timeline.channels for line, scanner in enumerate(self._scanners) if scanner.events}

    def take_events(self, row: int) -> list[tuple[int, Event]]:
        """Return the events since the last call, each with its channel (from 0).

        Parameters
        ----------
        row
            The row.

        Returns
        -------
        list[tuple[int, Event]]
            In the order in which they were found.
        """
        told = []
        for channel, line in enumerate(self._lines_of(row)):
            events = self._scanners[line].events
            told += [(channel, event) for event in events]
            events.clear()
        return told

    def comparison(self, row: int) -> None:
        """Return None: a tone is no recording.

        Parameters
        ----------
        row
            The row.
        """

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
        signals = [self._signal(line) for line in self._lines_of(row)]
        amplitudes = {
            channel: amplitude_ratio(signal.level_dbfs)
            for channel, signal in enumerate(signals)
            if signal.level_dbfs is not None
        }
        for line, signal in zip(self._lines_of(row), signals, strict=True):
            signal.crosstalk_db = self._crosstalk[line].worst_db(amplitudes)
        return signals

    def _signal(self, line: int) -> Signal:
        """Return what a line measured so far, alone and against the first of the same tone."""
        track, settings, code = self._track(line), self._settings[line], self._track(line).code
        sigma, threshold = track.sigma, track.threshold
        if self._lines.locked[line]:
            sigma, threshold = float(self._lines.sigma[line]), float(self._lines.threshold[line])
        signal = self._measured.signal(line, settings, track.sine, sigma)
        if signal.level_dbfs is None or signal.frequency_hz is None:
            return signal
        signal.blind_slip_frames = code.blind_frames if code else None
        if settings.bits is not None:
            signal.effective_bits = settings.bits - self._word_length[line].empty_bits
        if settings.is_plain(threshold):
            signal.frames_exact = int(self._exact_frames[line]) + track.exact_frames
            signal.bit_errors = track.bit_errors
        signal.phase_degrees = self._phase_between(self._same_tone(line), line)
        omega = 2.0 * math.pi * signal.frequency_hz / settings.sample_rate_hz
        amplitude = amplitude_ratio(signal.level_dbfs)
        moves = self._movement.shown(line, omega)
        signal.sensitivity = sensitivity(settings, omega, amplitude, sigma, threshold, code, moves)
        return signal

    def present(self, row: int, measured: Sequence[Signal]) -> list[Signal]:
        """Return what each channel of a row carries now.

        Level, offset, frequency and residual are those of the last second of a line that is locked (harmonics: of its
        last :data:`STATE_BLOCKS` blocks that were measured together). A line that is not has no tone that holds, only a
        level and an offset, those of its last blocks. What is counted, or true of the channel as such, is as in
        ``measured``, what :meth:`signal` returned.

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
        lines, present = np.array(self._lines_of(row)), list(measured)
        locked = self._lines.locked[lines]
        if locked.any():
            channels, which = np.flatnonzero(locked).tolist(), lines[locked]
            settings = [self._settings[line] for line in which.tolist()]
            harmonics = self._measured.latest_harmonics(which)
            tones = present_tones([measured[channel] for channel in channels], self._lines, which, settings, harmonics)
            for channel, signal in zip(channels, tones, strict=True):
                present[channel] = signal
        stop = int(self.timeline.consumed_block[row]) * self._block
        start = max(0, stop - PREDICTOR_BLOCKS * self._block)
        for channel in np.flatnonzero(~locked).tolist():
            x, valid = self.timeline.read(row, channel, start, stop)
            present[channel] = present_level(measured[channel], x[valid])
        return present

    @property
    def in_a_hurry(self) -> bool:
        """Whether a line has just been disturbed: the next blocks show by what."""
        block = np.repeat(self.timeline.consumed_block[: len(self._start)], self.timeline.channels)
        return bool((~self._lines.locked & (block - self._unlocked_at < DISTURBED_BLOCKS)).any())

    def ever_acquired(self, row: int) -> bool:
        """Return whether a tone was found on any channel of a row.

        Parameters
        ----------
        row
            The row.

        Returns
        -------
        bool
            Whether one was.
        """
        return any(self._track(line).ever_acquired for line in self._lines_of(row))

    # Looking on -----------------------------------------------------------------------------------------------------

    def glance(self, rows: NDArray[np.int64]) -> Glance:
        """Return what is seen of every channel of these rows at a glance, all of them in a few array operations.

        Parameters
        ----------
        rows
            Shape (n,).

        Returns
        -------
        Glance
            Figures of each channel, shape (n, channels) each.
        """
        state, timeline, n = self._lines, self.timeline, self._block
        lines = rows[:, None] * timeline.channels + np.arange(timeline.channels)
        followed = state.locked[lines]
        last_block = timeline.consumed_block[rows] - 1
        reference_hz = self._nominal_hz(lines)
        middle = last_block[:, None] * n + (n - 1) / 2.0
        reference_turns = np.mod(reference_hz * middle / self._sample_rate_hz, 1.0)
        phase = np.angle(state.last_z[lines] * np.exp(-2j * math.pi * reference_turns))
        power = state.power[lines].mean(axis=2)
        square = (state.amplitude[lines] ** 2).mean(axis=2) / 2.0 + power + (state.dc[lines] ** 2).mean(axis=2)
        rms = np.where(followed, np.sqrt(square), np.nan)
        behind = np.flatnonzero(~followed.all(axis=1) & (last_block >= 0))
        if len(behind):
            x, valid = timeline.blocks(rows[behind], last_block[behind], np.ones(len(behind), np.int64))
            there = valid[:, None, 0, :]
            heard = np.sqrt((x[:, :, 0, :] ** 2 * there).sum(axis=2) / np.maximum(there.sum(axis=2), 1))
            rms[behind] = np.where(followed[behind], rms[behind], heard)
        return Glance(
            followed=followed,
            rms=rms,
            residual_rms=np.where(followed, np.sqrt(power), np.nan),
            phase_rad=np.where(followed, phase, np.nan),
        )

    def _nominal_hz(self, lines: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the frequency that each line should have; NaN before it was found, where it is to be found."""
        nominal = [self._track(line).monitor.nominal_hz for line in lines.ravel().tolist()]
        return np.array([math.nan if hz is None else hz for hz in nominal]).reshape(lines.shape)

    def followed(self, row: int, channel: int) -> Followed:
        """Return what a channel (from 0) is compared with now.

        Parameters
        ----------
        row
            The row.
        channel
            Counted from 0.

        Returns
        -------
        Followed
            With its sine, where a tone was found.
        """
        line = row * self.timeline.channels + channel
        track = self._track(line)
        sine = self._present_sine(line, int(self.timeline.consumed_block[row]))
        threshold = float(self._lines.threshold[line]) if self._lines.locked[line] else track.threshold
        known = sine is not None and math.isfinite(threshold)
        return Followed(sine, track.monitor.nominal_hz, threshold if known else None)

    # Locking --------------------------------------------------------------------------------------------------------

    def _follow(self, line: int, limit: int) -> None:
        """Let the scanner of a line that is not locked continue; lock it where it is quiet, and catch up."""
        scanner = self._scanners[line]
        while True:
            scanner.advance(limit)
            if not scanner.quiet:
                return
            block = scanner.track.position // self._block
            self._lock(line, block)
            remaining = limit // self._block - block
            row, channel = divmod(line, self.timeline.channels)
            while remaining > 0 and self._lines.locked[line]:
                step = min(remaining, STATE_BLOCKS - block % STATE_BLOCKS)
                x, valid = self.timeline.read(row, channel, block * self._block, (block + step) * self._block)
                shape = (1, step, self._block)
                one = np.array([line]), x.reshape(shape), valid.reshape(shape), np.array([block]), np.array([step])
                self._judge(*one)
                block += step
                remaining -= step
            if self._lines.locked[line]:
                scanner.track.steps.resolve(limit)
                return

    def _lock(self, line: int, block: int) -> None:
        """Take a line over from its scanner, which is quiet up to ``block``."""
        track, n = self._track(line), self._block
        row, channel = divmod(line, self.timeline.channels)
        start = (block - SEED_BLOCKS) * n
        x, valid = self.timeline.read(row, channel, start, block * n)
        x = np.where(valid, x, track.model.at(start, block * n)).reshape(SEED_BLOCKS, n)
        seed = fit_blocks(x, tone_basis(track.model.omega, n))
        self._lines.lock(line, track, block, seed)
        self._movement.lock(line, block)
        self._watch.learn(line, self._settings[line], track.monitor)
        at = np.array([line])
        self._measured.begin(at)
        self._measured.add(
            at,
            self._lines.omega[at],
            seed.reshape(1, SEED_BLOCKS),
            self._lines.phase[at, -SEED_BLOCKS:],
            np.full((1, SEED_BLOCKS), n),
            np.ones((1, SEED_BLOCKS), np.bool_),
        )
        self._word_length[line].watch(x, track)

    def _unlock(self, line: int, block: int) -> None:
        """Hand a line to its scanner, which continues at ``block``."""
        lines, n = self._lines, self._block
        frames = min(PREDICTOR_BLOCKS, int(lines.count[line])) * n
        lines.locked[line] = False
        self._unlocked_at[line] = block
        self._measured.end(line)
        model, sigma, threshold = lines.sine(line, block), float(lines.sigma[line]), float(lines.threshold[line])
        self._track(line).take_over(block * n, model, frames, sigma, threshold)

    # Channels against each other ------------------------------------------------------------------------------------

    def _compare_channels(self, row: int) -> None:
        """Report channels that began with the same tone inverted, once a tone was found on every channel."""
        lines = self._lines_of(row)
        found = {line: first for line in lines if (first := self._track(line).first) is not None}
        if len(found) < len(lines):
            return
        self._compared[row] = True
        sines = {line: first.sine for line, first in found.items()}
        deviations = {line: self._phase_deviation(line, first) for line, first in found.items()}
        for line in inverted(sines, deviations, self._block):
            self._track(line).steps.begin_inversion(int(self._start[row]))

    def _phase_deviation(self, line: int, found: Acquired) -> float:
        """Return the standard deviation of the phase of a tone that was found, rad."""
        sine, settings = found.sine, self._settings[line]
        frames = settings.telling_frames(sine.omega, sine.amplitude, found.sigma, found.stop - found.start)
        sigma = moving_sigma(found.sigma, self._track(line).moves.phase_over(found.stop - found.start))
        return sigma / sine.amplitude * math.sqrt(2.0 / max(frames, 1))

    def _phase_between(self, one: int, other: int) -> float | None:
        """Return how far the tone of a line is ahead of another's, degrees; None where either has none now."""
        if one == other:
            return None
        if self._lines.locked[one] and self._lines.locked[other]:
            # Both phasors are of the middle of the block that was judged last.
            return math.degrees(float(np.angle(self._lines.last_z[other] * np.conj(self._lines.last_z[one]))))
        block = int(self.timeline.consumed_block[one // self.timeline.channels])
        sines = [self._present_sine(line, block) for line in (one, other)]
        if sines[0] is None or sines[1] is None:
            return None
        frame = float(block * self._block)
        return math.degrees(wrap_phase(sines[1].phase_at(frame) - sines[0].phase_at(frame)))

    def _present_sine(self, line: int, block: int) -> Sine | None:
        """Return the sine of a line that is checked up to ``block``, None where it has none."""
        return self._lines.sine(line, block) if self._lines.locked[line] else self._track(line).sine

    def _same_tone(self, line: int) -> int:
        """Return the first line of the row with the same reference."""
        hz = self._settings[line].reference_hz
        lines = self._lines_of(line // self.timeline.channels)
        return next(other for other in lines if self._settings[other].reference_hz == hz)

    # Judging --------------------------------------------------------------------------------------------------------

    def _judge(
        self,
        lines: NDArray[np.int64],
        x: NDArray[np.float64],
        valid: NDArray[np.bool_],
        first_block: NDArray[np.int64],
        due: NDArray[np.int64],
    ) -> None:
        """Check the first ``due`` blocks of locked lines: ``x`` and ``valid`` have shape (lines, blocks, frames)."""
        state, new = self._lines, take_blocks(self._lines, lines, x, valid, first_block, due)
        self._movement.record(lines, first_block, new.fit, new.is_due & ~new.holes, new.fit.square_sum / self._block)
        found = self._test.innovations(state, new)
        judged = self._test.judge(state, self._movement, new, found)
        plain = judged.clean & ~judged.faint
        clean_blocks = np.where(plain.all(axis=1), new.count, plain.argmin(axis=1))
        for i in np.flatnonzero(clean_blocks < new.count).tolist():
            k = int(clean_blocks[i])
            if judged.clean[i, k] and judged.faint[i, k]:
                line, phase, block = int(lines[i]), new.phase[i, k + 1 : k + 1 + state.window], int(first_block[i]) + k
                self._track(line).steps.add(self._test.faint_step(state, line, block, phase, int(judged.by[i, k])))
        for line, reading in self._watch.readings(state, self._movement, new, clean_blocks):
            self._track(line).judge(reading)
            self._watch.learn(line, self._settings[line], self._track(line).monitor)
        self._take_in(new, found, clean_blocks)
        for i in np.flatnonzero(clean_blocks < due).tolist():
            self._unlock(int(lines[i]), int(first_block[i] + clean_blocks[i]))
        due_now = ((first_block + due) % STATE_BLOCKS == 0) & (clean_blocks == due)
        self._renew(lines[due_now], (first_block + due)[due_now])

    def _take_in(self, new: NewBlocks, found: Innovations, clean_blocks: NDArray[np.int64]) -> None:
        """Measure the clean blocks of each line, and continue from the last of them."""
        lines = new.lines
        kept = np.arange(new.count) < clean_blocks[:, None]
        self._movement.learn(lines, found, kept)
        self._measured.add(
            lines, self._lines.omega[lines], new.fit, new.phase[:, self._lines.window :], new.frames, kept
        )
        self._exact_frames[lines] += (new.frames * kept).sum(axis=1)
        self._lines.go_on(new, clean_blocks, kept)
        for i, line in enumerate(lines.tolist()):
            if self._word_length[line].watching:
                self._word_length[line].watch(new.x[i][kept[i] & ~new.holes[i]], self._track(line))

    def _renew(self, lines: NDArray[np.int64], blocks: NDArray[np.int64]) -> None:
        """Renew noise and threshold of lines from their last second, which ends before ``blocks``."""
        self._measured.renew_harmonics(lines)
        self._movement.forget(lines)
        for line, block in zip(lines.tolist(), blocks.tolist(), strict=True):
            if self._lines.locked[line]:
                self._lines.renew_noise(line, self._settings[line])
                self._measure_crosstalk(line, block, self._lines, line)

    def _measure_crosstalk(self, line: int, block: int, state: Lines, at: int) -> None:
        """Look for the other channels' tones in the second of a line before ``block``, in row ``at`` of ``state``."""
        settings, row = self._settings[line], line // self.timeline.channels
        others = settings.other_omegas
        if not others:
            return
        start = (block - state.known_blocks(at)) * self._block
        x, valid = self.timeline.read(row, settings.channel, start, block * self._block)
        if valid.all():
            self._crosstalk[line].measure(x, state.sine(at, block).omega, others, float(state.sigma[at]))
