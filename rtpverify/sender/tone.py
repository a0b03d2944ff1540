"""Sines whose phase is exact at any frame.

The phase of frame k is (p·k mod q)/q cycles, where p/q is frequency over sample rate in lowest terms: integers, so
nothing accumulates, and the tone after ten hours is the tone of the first second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import RequestError

DEFAULT_FREQUENCY_HZ = 1283.0
"""A slip of any usual block size steps its phase by at least 0.83 rad at 48 kHz."""
DEFAULT_LEVEL_DBFS = -20.0

_PIECE_FRAMES = 1 << 16
_MAX_DENOMINATOR = 1 << 46
"""With pieces of 2^16 frames every product stays below 2^63."""


@dataclass(frozen=True, slots=True)
class FrequencyChange:
    """From this frame on the tone of a channel (from 0) runs at another frequency; the phase continues."""

    at_frame: int
    channel: int
    frequency_hz: Fraction


@dataclass(frozen=True, slots=True)
class _Segment:
    """One frequency, from ``start_frame`` on; phases in cycles, ``step`` per frame."""

    start_frame: int
    phase: Fraction
    step: Fraction


class ToneSignal:
    """A sine per channel; a :class:`rtpverify.sender.signal.SentSignal`. Phase 0 is at frame 0.

    Parameters
    ----------
    frequencies_hz
        One frequency for every channel, or one per channel.
    sample_rate_hz
        Frames per second.
    channels
        How many.
    level_dbfs
        A full-scale sine is 0 dBFS.
    changes
        In order of ``at_frame``.

    Raises
    ------
    RequestError
        For a frequency that is not above 0 and below half the sample rate, or their number fits no channel count.
    """

    frames: int | None = None

    def __init__(
        self,
        frequencies_hz: Sequence[float] = (DEFAULT_FREQUENCY_HZ,),
        sample_rate_hz: int = 48000,
        channels: int = 2,
        *,
        level_dbfs: float = DEFAULT_LEVEL_DBFS,
        changes: Sequence[FrequencyChange] = (),
    ) -> None:
        if len(frequencies_hz) not in (1, channels):
            raise RequestError(f"tone: {len(frequencies_hz)} frequencies for {channels} channel(s)")
        for frequency_hz in frequencies_hz:
            if not 0 < frequency_hz < sample_rate_hz / 2:
                raise RequestError(
                    f"tone: {frequency_hz:g} Hz is not above 0 and below half the sample rate of {sample_rate_hz} Hz"
                )
        if not level_dbfs <= 0:
            raise RequestError(f"tone: level {level_dbfs:g} dBFS is not 0 or below")
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        per_channel = [frequencies_hz[k if len(frequencies_hz) > 1 else 0] for k in range(channels)]
        self.frequencies_hz = tuple(Fraction(str(frequency_hz)) for frequency_hz in per_channel)
        self.level_dbfs = level_dbfs
        self._changes = tuple(changes)
        self._segments = [self._segments_of(channel) for channel in range(channels)]

    @property
    def peak(self) -> NDArray[np.float64]:
        """The amplitude of each channel, shape (channels,)."""
        return np.full(self.channels, 10 ** (self.level_dbfs / 20))

    @property
    def period_frames(self) -> int | None:
        """After how many frames all channels repeat exactly; None where the frequency changes."""
        if self._changes:
            return None
        return math.lcm(*(segments[0].step.denominator for segments in self._segments))

    def changed(self, changes: Sequence[FrequencyChange]) -> ToneSignal:
        """Return this tone with further changes of frequency.

        Parameters
        ----------
        changes
            In order of ``at_frame``.

        Returns
        -------
        ToneSignal
            Another tone, with the same phase up to the first of them.
        """
        return ToneSignal(
            [float(frequency_hz) for frequency_hz in self.frequencies_hz],
            self.sample_rate_hz,
            self.channels,
            level_dbfs=self.level_dbfs,
            changes=sorted([*self._changes, *changes], key=lambda change: change.at_frame),
        )

    def read(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return a stretch, shape (frames, channels); frames before 0 belong to the tone as well.

        Parameters
        ----------
        start_frame
            First frame.
        frames
            How many.

        Returns
        -------
        NDArray[np.float64]
            Shape (frames, channels), full scale ±1.0.
        """
        out = np.empty((frames, self.channels))
        for channel, segments in enumerate(self._segments):
            twin = self._segments.index(segments)
            out[:, channel] = out[:, twin] if twin < channel else self._sine(segments, start_frame, frames)
        return out * self.peak

    def _segments_of(self, channel: int) -> list[_Segment]:
        segments = [_Segment(0, Fraction(0), self._step(self.frequencies_hz[channel]))]
        for change in self._changes:
            if change.channel == channel:
                last = segments[-1]
                phase = (last.phase + last.step * (change.at_frame - last.start_frame)) % 1
                segments.append(_Segment(change.at_frame, phase, self._step(change.frequency_hz)))
        return segments

    def _step(self, frequency_hz: Fraction) -> Fraction:
        return (frequency_hz / self.sample_rate_hz).limit_denominator(_MAX_DENOMINATOR)

    @staticmethod
    def _sine(segments: list[_Segment], start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return a sine of amplitude 1, shape (frames,)."""
        cycles = np.empty(frames)
        end_frame = start_frame + frames
        ends = [segment.start_frame for segment in segments[1:]] + [end_frame]
        frame = start_frame
        for segment, segment_end in zip(segments, ends, strict=True):
            p, q = segment.step.numerator % segment.step.denominator, segment.step.denominator
            while frame < min(segment_end, end_frame):
                count = min(segment_end - frame, end_frame - frame, _PIECE_FRAMES)
                first = p * (frame - segment.start_frame) % q
                residue = (first + p * np.arange(count, dtype=np.int64)) % q
                cycles[frame - start_frame : frame - start_frame + count] = residue / q + float(segment.phase)
                frame += count
        return np.sin(2 * np.pi * cycles)
