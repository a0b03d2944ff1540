"""Every channel of every stream of one format, judged block by block at once.

A *line* is one channel of one stream: line ``row * channels + channel``. Phases are kept relative to the rotation of
the line's basis frequency from block to block, so that nothing loses precision however long a stream runs.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.crosstalk import Crosstalk
from rtpverify.detect.tone.forms import empty_low_bits
from rtpverify.detect.tone.measurement import Measurements
from rtpverify.detect.tone.monitor import Reading
from rtpverify.detect.tone.scanner import Scanner
from rtpverify.detect.tone.settings import NOISE_POWER_RANGE, SMALLEST_NOISE, Settings, sensitivity
from rtpverify.detect.tone.steps import Step
from rtpverify.dsp.levels import amplitude_ratio
from rtpverify.dsp.sine import MODEL_COLUMNS, BlockFit, Sine, block_time, fit_blocks, fit_runs, tone_basis, wrap_phase
from rtpverify.dsp.slip import FALSE_ALARM_Z
from rtpverify.events import Event, Kind
from rtpverify.result import Signal
from rtpverify.timeline import Timeline

PREDICTOR_BLOCKS = 8
"""Blocks whose straight line predicts the phase of the next."""
STATE_BLOCKS = 64
"""Noise and thresholds are renewed at multiples of this block number only, whatever way the input is cut."""
OPPOSITE_RAD = 0.02
"""How near to half a period the phases of two channels lie where one is inverted."""
WORD_LENGTH_SECONDS = 1.0
"""How long the low bits must stay empty before the word length is told."""


def _predictor(n: int) -> NDArray[np.float64]:
    """Return the weights that carry the straight line through ``n`` points on to the next, shape (n,)."""
    t = block_time(n)
    return 1.0 / n + t * ((n + 1) / 2.0) / float(t @ t)


def _step_estimator(n: int) -> NDArray[np.float64]:
    """Return the weights that measure a step in the middle of ``n`` points on a straight line, shape (n,)."""
    t = block_time(n)
    columns = np.array([np.ones(n), t, np.arange(n) >= n // 2])
    weights: NDArray[np.float64] = np.linalg.pinv(columns)[:, 2]
    return weights


def _line_ends(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the straight line through each row of values at its last point, and its slope, shape (rows,) each."""
    t = block_time(values.shape[1])
    slope = values @ t / float(t @ t)
    return values.mean(axis=1) + slope * float(t[-1]), slope


def _line_end(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the straight line through values at its last point, and its slope."""
    end, slope = _line_ends(values[None])
    return float(end[0]), float(slope[0])


class ToneBank:
    """The tone detector of all streams on one timeline.

    Parameters
    ----------
    timeline
        Rings that hold the frames.
    sample_rate_hz
        Rate of all of them.
    """

    def __init__(self, timeline: Timeline, sample_rate_hz: int) -> None:
        self.timeline = timeline
        self._block = timeline.block_frames
        self._window = max(PREDICTOR_BLOCKS, sample_rate_hz // timeline.block_frames)
        self._weights = _predictor(PREDICTOR_BLOCKS)
        self._step_weights = _step_estimator(self._window)
        self._step_factor = float(np.linalg.norm(self._step_weights))
        self._prediction_factor = math.sqrt(1.0 + float(self._weights @ self._weights))
        self.scanners: list[Scanner] = []
        self._settings: list[Settings] = []
        self._measured = Measurements()
        self._compared = np.zeros(0, np.bool_)
        """Rows whose channels have been held against each other."""
        self._start = np.zeros(0, np.int64)
        """Frame from which on each row is of one sender."""
        self._locked = np.zeros(0, np.bool_)
        self._omega = np.zeros(0)
        self._last_z = np.zeros(0, np.complex128)
        self._phase = np.zeros((0, self._window))
        self._amplitude = np.zeros((0, self._window))
        self._dc = np.zeros((0, self._window))
        self._power = np.zeros((0, self._window))
        self._count = np.zeros(0, np.int64)
        self._sigma = np.zeros(0)
        self._peak = np.zeros(0)
        self._threshold = np.zeros(0)
        self._least_phase = np.zeros(0)
        self._low_bits_open = np.zeros(0, np.bool_)
        self._empty_bits = np.zeros(0, np.int64)
        self._low_bits_blocks = np.zeros(0, np.int64)
        self._departed = np.zeros(0, np.bool_)
        self._line_limits = np.zeros((0, 7))
        """Per line: reference level and how far it may be off, offset, frequency and how far off, residual (per
        amplitude, absolute)."""
        self._half_level_limit = np.zeros(0)
        self._half_dc_limit = np.zeros(0)
        self._exact_frames = np.zeros(0, np.int64)
        self._crosstalk: list[Crosstalk] = []
        self._word_length: dict[int, Event] = {}

    # Rows -----------------------------------------------------------------------------------------------------------

    def add(self, row: int, settings: list[Settings]) -> None:
        """Add the channels of the timeline's newest row, in order."""
        for channel, item in enumerate(settings):
            self.scanners.append(self._scanner(row, channel, item))
            self._settings.append(item)
        n = len(settings)
        self._compared = np.append(self._compared, n == 1)
        self._start = np.append(self._start, 0)
        self._measured.grow(n)
        self._locked = np.append(self._locked, np.zeros(n, np.bool_))
        self._last_z = np.append(self._last_z, np.zeros(n, np.complex128))
        self._count = np.append(self._count, np.zeros(n, np.int64))
        self._low_bits_blocks = np.append(self._low_bits_blocks, np.zeros(n, np.int64))
        self._exact_frames = np.append(self._exact_frames, np.zeros(n, np.int64))
        self._crosstalk += [Crosstalk() for _ in settings]
        self._departed = np.append(self._departed, np.zeros(n, np.bool_))
        self._line_limits = np.concatenate([self._line_limits, np.full((n, 7), math.nan)])
        self._half_level_limit = np.append(
            self._half_level_limit, [item.limits.max_level_change_db / 8.686 / 2.0 for item in settings]
        )
        self._half_dc_limit = np.append(self._half_dc_limit, [item.limits.max_dc_offset / 2.0 for item in settings])
        self._low_bits_open = np.append(self._low_bits_open, [item.bits is not None for item in settings])
        self._empty_bits = np.append(self._empty_bits, np.zeros(n, np.int64))
        for name in ("_omega", "_sigma", "_peak", "_threshold", "_least_phase"):
            setattr(self, name, np.append(getattr(self, name), np.zeros(n)))
        for name in ("_phase", "_amplitude", "_dc", "_power"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros((n, self._window))]))

    def _scanner(self, row: int, channel: int, settings: Settings) -> Scanner:
        def read(start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            return self.timeline.read(row, channel, start, stop)

        return Scanner.of(settings, read)

    def process(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Judge the next ``count`` blocks of each of these rows, and consume them."""
        rows, left = rows[count > 0], count[count > 0]
        while len(rows):
            # Cut at the blocks where the state is renewed, and never beyond what the history can give back.
            step = np.minimum(left, STATE_BLOCKS - self.timeline.consumed_block[rows] % STATE_BLOCKS)
            # Rows go together where that wastes little on what the shorter ones have not got.
            now = 2 * step >= step.max()
            self._process(rows[now], step[now])
            left[now] -= step[now]
            rows, left = rows[left > 0], left[left > 0]

    def _process(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        timeline, channels = self.timeline, self.timeline.channels
        first_block = timeline.consumed_block[rows]
        x, valid = timeline.blocks(rows, first_block, count)
        lines = rows[:, None] * channels + np.arange(channels)
        locked = self._locked[lines]
        if locked.all():
            at = np.repeat(np.arange(len(rows)), channels)
            self._judge(lines.ravel(), x.reshape(-1, *x.shape[2:]), valid[at], first_block[at], count[at])
        elif locked.any():
            at, channel = np.nonzero(locked)
            self._judge(lines[at, channel], x[at, channel], valid[at], first_block[at], count[at])
        timeline.consume(rows, count)
        for row in rows[~self._compared[rows]].tolist():
            self._compare_channels(row)
        limits = timeline.consumed_block[rows] * self._block
        for line, limit in zip(lines.ravel().tolist(), np.repeat(limits, channels).tolist(), strict=True):
            if not self._locked[line]:
                self._follow(line, limit)
            elif self.scanners[line].track.steps.waiting:
                self.scanners[line].track.steps.resolve(limit)

    def finish(self, row: int, stop: int) -> None:
        """Judge what is left of a row that ends before frame ``stop``."""
        channels = self.timeline.channels
        for line in range(row * channels, (row + 1) * channels):
            self._end_line(row, line, stop)
            self._settle_word_length(line)
            event = self._word_length.get(line)
            if event is not None:
                event.duration_frames, event.open = stop, False
                self.scanners[line].events.append(event)

    def restart(self, row: int, frame: int) -> None:
        """Judge what is left of a row before ``frame``, where its sender started over, and what follows anew."""
        channels = self.timeline.channels
        for channel in range(channels):
            line = row * channels + channel
            self._end_line(row, line, frame)
            scanner = self._scanner(row, channel, self._settings[line])
            scanner.track.begin_at(frame, self.scanners[line].track)
            self.scanners[line] = scanner
        self._start[row] = frame
        self._compared[row] = channels == 1

    def _end_line(self, row: int, line: int, stop: int) -> None:
        """Judge what is left of a line that ends before frame ``stop``."""
        if self._locked[line]:
            if not self._crosstalk[line].measured:
                self._measure_crosstalk(line)
            self._unlock(line, int(self.timeline.consumed_block[row]))
        self.scanners[line].advance(stop, final=True)
        self.scanners[line].finish(stop)

    def horizon(self, row: int) -> int:
        """Return the frame up to which every event of a row has been told."""
        channels = self.timeline.channels
        consumed = int(self.timeline.consumed_block[row]) * self._block
        return min(
            self.scanners[line].track.steps.horizon(consumed) if self._locked[line] else self.scanners[line].horizon
            for line in range(row * channels, (row + 1) * channels)
        )

    def rows_with_events(self) -> set[int]:
        """Return the rows of which events have been told."""
        return {line // self.timeline.channels for line, scanner in enumerate(self.scanners) if scanner.events}

    def take_events(self, row: int) -> list[tuple[int, Event]]:
        """Return the events told since the last call, each with its channel (from 0)."""
        told = []
        for channel in range(self.timeline.channels):
            events = self.scanners[row * self.timeline.channels + channel].events
            told += [(channel, event) for event in events]
            events.clear()
        return told

    def signal(self, row: int) -> list[Signal]:
        """Return what each channel of a row measured so far."""
        channels = self.timeline.channels
        first_line = row * channels
        signals = []
        for line in range(first_line, first_line + channels):
            scanner, settings = self.scanners[line], self._settings[line]
            locked = bool(self._locked[line])
            sigma = float(self._sigma[line]) if locked else scanner.track.sigma
            signal = self._measured.signal(line, settings, scanner.track.sine, sigma)
            if signal.level_dbfs is not None:
                signal.blind_slip_frames = scanner.track.code.blind_frames if scanner.track.code else None
                if settings.bits is not None:
                    signal.effective_bits = settings.bits - int(self._empty_bits[line])
                threshold = float(self._threshold[line]) if locked else scanner.track.threshold
                if settings.is_plain(threshold):
                    signal.frames_exact, signal.bit_errors = int(self._exact_frames[line]), scanner.track.bit_errors
                signal.phase_degrees = self._phase_between(self._same_tone(line), line)
                signal.sensitivity = sensitivity(
                    settings, amplitude_ratio(signal.level_dbfs), sigma, threshold, scanner.track.code
                )
            signals.append(signal)
        amplitudes = {
            channel: amplitude_ratio(signal.level_dbfs)
            for channel, signal in enumerate(signals)
            if signal.level_dbfs is not None
        }
        for channel, signal in enumerate(signals):
            signal.crosstalk_db = self._crosstalk[first_line + channel].worst_db(amplitudes)
        return signals

    def _same_tone(self, line: int) -> int:
        """Return the first line of the row with the same reference."""
        first_line = line - line % self.timeline.channels
        reference_hz = self._settings[line].reference_hz
        return next(
            other for other in range(first_line, line + 1) if self._settings[other].reference_hz == reference_hz
        )

    def _phase_between(self, one: int, other: int) -> float | None:
        """Return how far the tone of a line is ahead of another's, degrees; None where either has none now."""
        row = one // self.timeline.channels
        block = int(self.timeline.consumed_block[row])
        sines = [
            self._model(line, block) if self._locked[line] else self.scanners[line].track.sine for line in (one, other)
        ]
        if one == other or sines[0] is None or sines[1] is None:
            return None
        frame = float(block * self._block)
        return math.degrees(wrap_phase(sines[1].phase_at(frame) - sines[0].phase_at(frame)))

    def _measure_crosstalk(self, line: int) -> None:
        """Look for the other channels' tones in the last second of a locked line."""
        settings, row = self._settings[line], line // self.timeline.channels
        others = {
            channel: 2.0 * math.pi * hz / settings.sample_rate_hz
            for channel, hz in enumerate(settings.references_hz)
            if hz is not None and hz != settings.reference_hz
        }
        if not others:
            return
        stop = int(self.timeline.consumed_block[row]) * self._block
        start = stop - min(int(self._count[line]), self._window) * self._block
        x, valid = self.timeline.read(row, settings.channel, start, stop)
        if valid.all():
            omega = self._model(line, stop // self._block).omega
            self._crosstalk[line].measure(x, omega, others, float(self._sigma[line]))

    def ever_acquired(self, row: int) -> bool:
        """Tell whether a tone was found on any channel of a row."""
        channels = self.timeline.channels
        return any(self.scanners[line].track.ever_acquired for line in range(row * channels, (row + 1) * channels))

    # Locking --------------------------------------------------------------------------------------------------------

    def _follow(self, line: int, limit: int) -> None:
        """Let the scanner of a line that is not locked go on; lock it where it is quiet, and catch up."""
        scanner = self.scanners[line]
        while True:
            scanner.advance(limit)
            if not scanner.quiet:
                return
            block = scanner.track.position // self._block
            self._lock(line, block)
            remaining = limit // self._block - block
            row, channel = divmod(line, self.timeline.channels)
            while remaining > 0 and self._locked[line]:
                step = min(remaining, STATE_BLOCKS - block % STATE_BLOCKS)
                x, valid = self.timeline.read(row, channel, block * self._block, (block + step) * self._block)
                shape = (1, step, self._block)
                one = np.array([line]), x.reshape(shape), valid.reshape(shape), np.array([block]), np.array([step])
                self._judge(*one)
                block += step
                remaining -= step
            if self._locked[line]:
                scanner.track.steps.resolve(limit)
                return

    def _lock(self, line: int, block: int) -> None:
        """Take a line over from its scanner, which is quiet up to ``block``."""
        scanner, n = self.scanners[line], self._block
        model = scanner.track.sine
        if model is None:
            raise AssertionError("a quiet scanner has a model")
        seeds = 2
        row, channel = divmod(line, self.timeline.channels)
        start = (block - seeds) * n
        x, valid = self.timeline.read(row, channel, start, block * n)
        x = np.where(valid, x, model.at(start, block * n)).reshape(seeds, n)
        basis = tone_basis(model.omega, n)
        fit = fit_blocks(x, basis)
        self._omega[line] = model.omega
        self._last_z[line] = fit.z[-1]
        # Blocks before these two are taken from the scanner's model.
        middles = (block - 1) * n + (n - 1) / 2.0 + np.arange(1 - self._window, 1) * n
        self._phase[line] = 0.0
        self._phase[line, -1] = wrap_phase(float(np.angle(fit.z[1] * np.conj(fit.z[0]))) - model.omega * n)
        self._amplitude[line] = model.amplitude * (1.0 + model.slope * (middles - model.anchor))
        self._amplitude[line, -seeds:] = np.abs(fit.z)
        self._dc[line] = model.dc
        self._dc[line, -seeds:] = fit.dc
        self._power[line] = scanner.track.sigma**2
        self._count[line] = seeds
        self._sigma[line] = scanner.track.sigma
        self._peak[line] = 0.0
        self._threshold[line] = scanner.track.threshold
        self._least_phase[line] = scanner.track.least_phase
        self._locked[line] = True
        self._learn_limits(line)
        at = np.array([line])
        self._measured.begin(at)
        self._measured.add(
            at,
            self._omega[at],
            fit.reshape(1, seeds),
            self._phase[at, -seeds:],
            np.full((1, seeds), n),
            np.ones((1, seeds), np.bool_),
        )
        self._watch_low_bits(line, x)

    def _unlock(self, line: int, block: int) -> None:
        """Hand a line to its scanner, which goes on at ``block``."""
        n = self._block
        frames = min(PREDICTOR_BLOCKS, int(self._count[line])) * n
        self._locked[line] = False
        self._measured.end(line)
        self.scanners[line].track.take_over(
            block * n, self._model(line, block), frames, float(self._sigma[line]), float(self._threshold[line])
        )

    def _model(self, line: int, block: int) -> Sine:
        """Return the sine of a locked line whose last clean block is the one before ``block``.

        Its phase is the straight line through the latest blocks.
        """
        newest = slice(self._window - PREDICTOR_BLOCKS, None)
        omega, z = float(self._omega[line]), complex(self._last_z[line])
        sine = self._sine(omega, z, self._phase[line, newest], self._amplitude[line, newest], self._dc[line, newest])
        return replace(sine, anchor=sine.anchor + (block - 1) * self._block)

    def _sine(
        self,
        omega: float,
        last_z: complex,
        phase: NDArray[np.float64],
        amplitude: NDArray[np.float64],
        dc: NDArray[np.float64],
    ) -> Sine:
        """Return the sine whose phase and level are the straight lines through those of the latest blocks.

        Frames count from the start of the last of these blocks, whose phasor is ``last_z``.
        """
        n = self._block
        last_phase, bend = _line_end(phase)
        level, slope = _line_end(amplitude)
        angle = float(np.angle(last_z)) + last_phase - float(phase[-1])
        return Sine(omega + bend / n, (n - 1) / 2.0, angle, level, float(dc.mean()), slope / n / level)

    def _learn_limits(self, line: int) -> None:
        """Write down where the monitor of a line has to be asked."""
        settings, monitor = self._settings[line], self.scanners[line].track.monitor
        limits = settings.limits
        self._departed[line] = monitor.departed
        nominal_hz = monitor.nominal_hz or math.nan
        relative_residual = settings.residual_limit(1.0) if settings.residual_limit(0.0) == 0.0 else 0.0
        self._line_limits[line] = (
            monitor.level_reference if monitor.level_settled and monitor.level_reference else math.nan,
            10.0 ** (limits.max_level_change_db / 20.0) - 1.0,
            limits.max_dc_offset,
            2.0 * math.pi * nominal_hz / settings.sample_rate_hz,
            limits.max_frequency_error_ppm * 1e-6,
            relative_residual,
            settings.residual_limit(0.0),
        )

    def _renew(self, lines: NDArray[np.int64]) -> None:
        """Renew noise and threshold of lines from their last second."""
        for line in lines.tolist():
            if self._locked[line]:
                sigma = math.sqrt(float(self._power[line, -int(min(self._count[line], self._window)) :].mean()))
                self._sigma[line] = max(sigma, SMALLEST_NOISE)
                self._measure_crosstalk(line)
                self._threshold[line] = self._settings[line].frame_threshold(sigma, float(self._peak[line]))

    # Channels against each other ------------------------------------------------------------------------------------

    def _compare_channels(self, row: int) -> None:
        """Tell of channels that began with the same tone upside down, once a tone was found on every channel."""
        channels = self.timeline.channels
        lines = range(row * channels, (row + 1) * channels)
        sines = {line: first for line in lines if (first := self.scanners[line].track.first) is not None}
        if len(sines) < channels:
            return
        self._compared[row] = True
        one = lines[0]
        frame = sines[one].anchor
        same = [
            line
            for line, sine in sines.items()
            if abs(sine.omega - sines[one].omega) * max(abs(sine.anchor - frame), self._block) < OPPOSITE_RAD / 4.0
        ]
        turn = np.array([wrap_phase(sines[line].phase_at(frame) - sines[one].phase_at(frame)) for line in same])
        opposite = np.abs(np.abs(turn) - math.pi) < OPPOSITE_RAD
        if not opposite.any():
            return
        # The few are taken for the inverted ones; of two, the one that does not begin as a sine does.
        others = 2 * int(np.count_nonzero(opposite)) > len(same)
        if len(same) == 2:
            others = abs(wrap_phase(sines[same[1]].phase_at(0.0) + math.pi / 2.0)) < OPPOSITE_RAD
        for line in np.array(same)[~opposite if others else opposite].tolist():
            self.scanners[line].track.steps.begin_inversion(int(self._start[row]))

    # Word length ----------------------------------------------------------------------------------------------------

    def _watch_low_bits(self, line: int, x: NDArray[np.float64]) -> None:
        """Follow which low bits were ever used; ``x`` has shape (blocks, frames)."""
        bits = self._settings[line].bits
        if not self._low_bits_open[line] or bits is None or x.size == 0:
            return
        empty = empty_low_bits(x.ravel(), bits)
        first = self._low_bits_blocks[line] == 0
        self._empty_bits[line] = empty if first else min(empty, int(self._empty_bits[line]))
        self._low_bits_blocks[line] += len(x)
        self._low_bits_open[line] = self._empty_bits[line] > 0
        if self._low_bits_blocks[line] * self._block >= WORD_LENGTH_SECONDS * self._settings[line].sample_rate_hz:
            self._settle_word_length(line)

    def _settle_word_length(self, line: int) -> None:
        """Tell of low bits that have been empty all the time."""
        empty, settings, scanner = int(self._empty_bits[line]), self._settings[line], self.scanners[line]
        if not self._low_bits_open[line] or empty == 0 or settings.bits is None:
            return
        self._low_bits_open[line] = False
        if scanner.track.monitor.tells(Kind.WORD_LENGTH):
            return
        event = Event(
            Kind.WORD_LENGTH,
            0,
            size={"effective_bits": settings.bits - empty},
            message=f"the low {empty} of {settings.bits} bits are always empty",
            fault=settings.limits.word_length_is_fault,
            open=True,
        )
        self._word_length[line] = event
        scanner.events.append(event)

    # Judging --------------------------------------------------------------------------------------------------------

    def _judge(
        self,
        lines: NDArray[np.int64],
        x: NDArray[np.float64],
        valid: NDArray[np.bool_],
        first_block: NDArray[np.int64],
        due: NDArray[np.int64],
    ) -> None:
        """Judge the first ``due`` blocks of locked lines: ``x`` and ``valid`` have shape (lines, blocks, frames)."""
        m, count, n = x.shape
        is_due = np.arange(count) < due[:, None]
        holes: NDArray[np.bool_] = np.logical_not(valid.all(axis=2)) & is_due
        frames = np.full((m, count), n)
        sparse = ~is_due
        if holes.any():
            frames = np.count_nonzero(valid, axis=2)
            sparse |= frames < n // 2
            self._fill(lines, x, valid, holes)
        fit = self._fit(lines, x)
        rotation = np.exp(-1j * self._omega[lines] * n)
        before = np.concatenate([self._last_z[lines, None], fit.z[:, :-1]], axis=1)
        advance = np.angle(fit.z * before.conj() * rotation[:, None])
        phase = np.concatenate([self._phase[lines], np.zeros((m, count))], axis=1)
        phase[:, -count:] = phase[:, -count - 1][:, None] + np.cumsum(advance, axis=1)
        amplitude = np.concatenate([self._amplitude[lines], np.abs(fit.z)], axis=1)
        dc = np.concatenate([self._dc[lines], fit.dc], axis=1)
        power = np.concatenate([self._power[lines], fit.square_sum / np.maximum(frames - MODEL_COLUMNS, 1)], axis=1)
        clean = self._steady(lines, fit, phase, amplitude, dc, power) & ~sparse
        clean &= self._peaks_fit(lines, x, valid, fit, clean, phase, amplitude, dc)
        faint = self._faint_steps(lines, phase, amplitude, count)
        clean_blocks = np.where((clean & ~faint).all(axis=1), count, (clean & ~faint).argmin(axis=1))
        for i in np.flatnonzero(clean_blocks < count).tolist():
            k = int(clean_blocks[i])
            if clean[i, k] and faint[i, k]:
                self._add_faint_step(int(lines[i]), int(first_block[i]) + k, phase[i, k + 1 : k + 1 + self._window])
        self._watch_limits(lines, first_block, clean_blocks, phase, amplitude, dc, power)
        kept = np.arange(count) < clean_blocks[:, None]
        self._measured.add(lines, self._omega[lines], fit, phase[:, self._window :], frames, kept)
        newest = clean_blocks[:, None] + np.arange(self._window)
        at = np.arange(m)[:, None]
        self._phase[lines] = phase[at, newest]
        self._amplitude[lines] = amplitude[at, newest]
        self._dc[lines] = dc[at, newest]
        self._power[lines] = power[at, newest]
        self._count[lines] += clean_blocks
        self._exact_frames[lines] += (frames * kept).sum(axis=1)
        self._last_z[lines] = np.where(clean_blocks > 0, fit.z[at[:, 0], clean_blocks - 1], self._last_z[lines])
        # What a block's own fit leaves beyond the threshold, the latest blocks together do not (see _peaks_fit).
        peak = np.minimum(np.where(kept, fit.peak, 0.0).max(axis=1), self._threshold[lines])
        self._peak[lines] = np.maximum(self._peak[lines], peak)
        for i in np.flatnonzero(self._low_bits_open[lines]).tolist():
            self._watch_low_bits(int(lines[i]), x[i][kept[i] & ~holes[i]])
        for i in np.flatnonzero(clean_blocks < due).tolist():
            self._unlock(int(lines[i]), int(first_block[i] + clean_blocks[i]))
        self._renew(lines[((first_block + due) % STATE_BLOCKS == 0) & (clean_blocks == due)])

    def _fit(self, lines: NDArray[np.int64], x: NDArray[np.float64]) -> BlockFit:
        """Fit all blocks; lines of one basis frequency go through one product of matrices."""
        m, count, n = x.shape
        omega = self._omega[lines]
        order = np.argsort(omega, kind="stable")
        first = np.flatnonzero(np.diff(omega[order], prepend=-1.0))
        runs = np.diff(first, append=m) * count
        bases = [tone_basis(value, n) for value in omega[order[first]].tolist()]
        in_order = bool((np.diff(order) > 0).all())
        sorted_x = x if in_order else x[order]
        fit = fit_runs(sorted_x.reshape(m * count, n), list(zip(bases, runs.tolist(), strict=True))).reshape(m, count)
        return fit if in_order else fit.take(np.argsort(order))

    def _fill(
        self, lines: NDArray[np.int64], x: NDArray[np.float64], valid: NDArray[np.bool_], holes: NDArray[np.bool_]
    ) -> None:
        """Put the expected tone where frames are missing, so that the rest of the block can still be judged."""
        n = self._block
        for i, k in np.argwhere(holes).tolist():
            start = (k + 1) * n  # frames from the start of the last clean block
            hole = ~valid[i, k]
            x[i, k, hole] = self._model(int(lines[i]), 1).at(start, start + n)[hole]

    def _peaks_fit(
        self,
        lines: NDArray[np.int64],
        x: NDArray[np.float64],
        valid: NDArray[np.bool_],
        fit: BlockFit,
        steady: NDArray[np.bool_],
        phase: NDArray[np.float64],
        amplitude: NDArray[np.float64],
        dc: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Tell in which blocks no frame departs, shape (lines, blocks).

        A block's own fit is least certain at its edges. Where it leaves a little more than the threshold, the sine of
        the latest blocks together decides.
        """
        fits: NDArray[np.bool_] = fit.peak <= self._threshold[lines, None]
        margin = 6.0 * self._sigma[lines] * math.sqrt(8.0 / self._block)
        close = steady & ~fits & (fit.peak <= (self._threshold[lines] + margin)[:, None])
        i, k = np.nonzero(close)
        if len(i):
            newest = self._window + 1 - PREDICTOR_BLOCKS + k[:, None] + np.arange(PREDICTOR_BLOCKS)
            at, t = i[:, None], block_time(self._block)
            last_phase, bend = _line_ends(phase[at, newest])
            level, slope = _line_ends(amplitude[at, newest])
            angle = np.angle(fit.z[i, k]) + last_phase - phase[i, newest[:, -1]]
            omega = self._omega[lines[i]] + bend / self._block
            wave = np.cos(omega[:, None] * t + angle[:, None]) * (level[:, None] + (slope / self._block)[:, None] * t)
            wave += dc[at, newest].mean(axis=1)[:, None]
            residual = np.where(valid[i, k], np.abs(x[i, k] - wave), 0.0)
            fits[i, k] = residual.max(axis=1) <= self._threshold[lines[i]]
        return fits

    def _steady(
        self,
        lines: NDArray[np.int64],
        fit: BlockFit,
        phase: NDArray[np.float64],
        amplitude: NDArray[np.float64],
        dc: NDArray[np.float64],
        power: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Tell in which blocks the fit goes on where the blocks before left off, shape (lines, blocks)."""
        count, n = fit.z.shape[1], self._block
        sigma, level = self._sigma[lines, None], self._amplitude[lines, -1][:, None]
        spread = FALSE_ALARM_Z * sigma * math.sqrt(2.0 / n)
        first = self._window - PREDICTOR_BLOCKS

        def before(values: NDArray[np.float64]) -> NDArray[np.float64]:
            """Return the blocks that precede each new block, shape (lines, blocks, PREDICTOR_BLOCKS)."""
            return np.lib.stride_tricks.sliding_window_view(values[:, first:-1], PREDICTOR_BLOCKS, axis=1)

        surprise = np.abs(phase[:, self._window :] - before(phase) @ self._weights)
        clean: NDArray[np.bool_] = surprise <= np.maximum(
            self._prediction_factor * spread / level, self._least_phase[lines, None]
        )
        mean_spread = spread * math.sqrt(1.0 + 1.0 / PREDICTOR_BLOCKS)
        level_change = np.abs(amplitude[:, self._window :] - before(amplitude) @ self._weights)
        clean &= level_change <= np.maximum(
            self._prediction_factor * spread, self._half_level_limit[lines, None] * level
        )
        dc_change = np.abs(dc[:, self._window :] - before(dc).mean(axis=2))
        clean &= dc_change <= np.maximum(mean_spread, self._half_dc_limit[lines, None])
        ratio = power[:, -count:] / sigma**2
        clean &= (ratio > NOISE_POWER_RANGE[0]) & (ratio < NOISE_POWER_RANGE[1])
        return clean

    def _faint_steps(
        self, lines: NDArray[np.int64], phase: NDArray[np.float64], amplitude: NDArray[np.float64], count: int
    ) -> NDArray[np.bool_]:
        """Tell with which blocks a step in the middle of the last second stands out of the noise, (lines, blocks).

        A step too faint for single blocks shows in the straight line with a step through all of them. The middle is
        looked at because there a constant change of the frequency has no part in it.
        """
        known = self._count[lines, None] + np.arange(1, count + 1) >= self._window
        if not known.any():
            return known
        windows = np.lib.stride_tricks.sliding_window_view(phase[:, 1:], self._window, axis=1)
        step = np.abs(windows @ self._step_weights)
        level = np.maximum(amplitude[:, -count:], SMALLEST_NOISE)
        deviation = self._sigma[lines, None] / level * math.sqrt(2.0 / self._block) * self._step_factor
        return known & (step > np.maximum(FALSE_ALARM_Z * deviation, self._least_phase[lines, None]))

    def _add_faint_step(self, line: int, block: int, phase: NDArray[np.float64]) -> None:
        """Have a step measured that lies in the middle of the phases of the blocks up to ``block``."""
        n, half = self._block, self._window // 2
        frame = (block + 1 - self._window + half) * n
        last, bend = _line_end(phase[:half])
        # The phasor of the last block before ``block`` belongs to the last but one of these phases.
        angle = float(np.angle(self._last_z[line])) + last - float(phase[-2])
        turns = float(self._omega[line]) * n * (self._window - 1 - half)
        before = Sine(
            float(self._omega[line]) + bend / n,
            frame - (n + 1) / 2.0,
            angle - turns,
            float(self._amplitude[line].mean()),
            float(self._dc[line].mean()),
        )
        start, sigma = frame - half * n, float(self._sigma[line])
        step = Step(frame, start, frame, frame, before, sigma, float(self._least_phase[line]))
        self.scanners[line].track.steps.add(step)

    def _watch_limits(
        self,
        lines: NDArray[np.int64],
        first_block: NDArray[np.int64],
        clean_blocks: NDArray[np.int64],
        phase: NDArray[np.float64],
        amplitude: NDArray[np.float64],
        dc: NDArray[np.float64],
        power: NDArray[np.float64],
    ) -> None:
        """Hold level, offset, frequency and residual against the limits, each over at most the last second."""
        count, n, window = phase.shape[1] - self._window, self._block, self._window
        blocks = np.minimum(self._count[lines, None] + np.arange(1, count + 1), window)
        stop = window + np.arange(1, count + 1)
        at = np.arange(len(lines))[:, None]

        def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
            sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
            result: NDArray[np.float64] = sums[at, stop] - sums[at, stop - blocks]
            return result

        mean_level, mean_dc = total(amplitude) / blocks, total(dc) / blocks
        recent_level = np.lib.stride_tricks.sliding_window_view(
            amplitude[:, window + 1 - PREDICTOR_BLOCKS :], PREDICTOR_BLOCKS, axis=1
        ).mean(axis=2)
        rms = np.sqrt(total(power) / blocks)
        index = np.arange(phase.shape[1], dtype=np.float64)
        centred = phase - phase[:, -1:]  # keeps the sums small after hours of drift
        middle = stop - (blocks + 1) / 2.0
        moment = total(centred * index) - middle * total(centred)
        slope = 12.0 * moment / (blocks * (blocks**2 - 1.0))
        omega = self._omega[lines, None] + slope / n

        limits = self._line_limits
        level_reference = limits[lines, 0][:, None]
        suspicious = ~(np.abs(mean_level / level_reference - 1.0) < limits[lines, 1][:, None])
        suspicious |= ~(np.abs(recent_level / level_reference - 1.0) < limits[lines, 1][:, None])
        suspicious |= np.abs(mean_dc) > limits[lines, 2][:, None]
        suspicious |= np.abs(omega / limits[lines, 3][:, None] - 1.0) > limits[lines, 4][:, None]
        suspicious |= rms > limits[lines, 5][:, None] * mean_level + limits[lines, 6][:, None]
        suspicious |= self._departed[lines, None]
        suspicious &= np.arange(count) < clean_blocks[:, None]
        for i, k in np.argwhere(suspicious).tolist():
            line, used = int(lines[i]), int(blocks[i, k]) * n
            scanner = self.scanners[line]
            end = int(first_block[i] + k + 1) * n
            scanner.track.judge(
                Reading(
                    end - used,
                    used,
                    float(mean_level[i, k]),
                    float(mean_dc[i, k]),
                    float(rms[i, k]),
                    float(self._sigma[line]),
                    float(omega[i, k]),
                    used,
                    float(recent_level[i, k]),
                    # Before there are so many, the model that the line began with stands in for the others.
                    PREDICTOR_BLOCKS * n if blocks[i, k] >= PREDICTOR_BLOCKS else n,
                )
            )
            self._learn_limits(line)
