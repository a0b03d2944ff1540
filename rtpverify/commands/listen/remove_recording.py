"""The residual of audio: what remains when the recording that it follows is subtracted.

The alignment is that of ``rtpverify compare``: place, gain, polarity and clock of each channel, and the slips that were
found. Frame by frame the recording is put where it belongs and subtracted; where the place lies between two of its
frames, it is interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.align import HALF_TAPS, interpolate
from rtpverify.dsp.levels import amplitude_ratio
from rtpverify.errors import RequestError
from rtpverify.events import SlipSize
from rtpverify.reference import ReferenceAudio
from rtpverify.result import ChannelComparison, StreamResult

_NEAR_FRAMES = 1e-6
"""A place this near to a frame is that frame."""


@dataclass(slots=True)
class _Course:
    """Where a channel is in the recording: from each frame on, ``place`` is what is added to the frame's number."""

    channel: int
    gain: float
    rate: float
    """Frames of the recording for each frame."""
    offset: float
    starts: list[int] = field(default_factory=lambda: [0])
    shifts: list[int] = field(default_factory=lambda: [0])

    def spans(self, first: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the stretches of one shift within some frames, each with that shift."""
        ends = [*self.starts[1:], stop]
        for start, end, shift in zip(self.starts, ends, self.shifts, strict=True):
            low, high = max(first, start), min(stop, max(end, start))
            if low < high:
                yield low, high, shift


class RecordingRemover:
    """Takes a recording away from audio, as :func:`rtpverify.commands.compare.compare` found it there.

    Parameters
    ----------
    reference
        The recording.
    stream
        How the audio follows from it.
    source
        Name of the audio, for messages.

    Raises
    ------
    RequestError
        Where the recording was not found in a channel, or only by its content.
    """

    def __init__(self, reference: ReferenceAudio, stream: StreamResult, source: str) -> None:
        comparison = stream.comparison
        if comparison is None or comparison.recoded:
            raise RequestError(
                f"{source}: not sample-identical to the reference (lossy coding or a different clock): "
                "no residual can be computed"
            )
        self._reference = reference
        self._courses = [_course(channel, stream, source) for channel in comparison.channels]

    def left(self, first: int, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the residual of frames from ``first`` on, shape (n, channels).

        Parameters
        ----------
        first
            The first frame.
        block
            Audio, shape (n, channels).

        Returns
        -------
        NDArray[np.float64]
            Shape (n, channels).
        """
        out = block.copy()
        for column, course in enumerate(self._courses):
            for low, high, shift in course.spans(first, first + len(block)):
                out[low - first : high - first, column] -= course.gain * self._content(course, low, high, shift)
        return out

    def _content(self, course: _Course, low: int, high: int, shift: int) -> NDArray[np.float64]:
        """Return the recording where a channel has it in these frames, shape (high - low,)."""
        begin = (low - course.offset) * course.rate + shift
        if course.rate == 1.0 and abs(begin - round(begin)) < _NEAR_FRAMES:
            return self._reference.read(round(begin), round(begin) + high - low)[:, course.channel]
        place = begin + np.arange(high - low, dtype=np.float64) * course.rate
        start = int(np.floor(place[0])) - HALF_TAPS - 1
        around = self._reference.read(start, int(np.ceil(place[-1])) + HALF_TAPS + 2)[:, course.channel]
        return interpolate(around, place - start).value


def _course(channel: ChannelComparison, stream: StreamResult, source: str) -> _Course:
    if channel.offset_frames is None or channel.reference_channel is None:
        raise RequestError(f"{source}: the recording was not found in channel {channel.channel}")
    gain = amplitude_ratio(channel.gain_db or 0.0) * (-1.0 if channel.inverted else 1.0)
    rate = 1.0 + (channel.clock_offset_ppm or 0.0) * 1e-6
    course = _Course(channel.reference_channel - 1, gain, rate, channel.offset_frames)
    for event in stream.events:
        if isinstance(event.size, SlipSize) and event.channel in (None, channel.channel):
            course.starts.append(event.start_frame)
            course.shifts.append(course.shifts[-1] + (event.size.slip_frames or 0))
    return course


def remover(reference: Path, received: Path) -> RecordingRemover:
    """Align a file with its recording and return what takes that away.

    Parameters
    ----------
    reference
        The recording.
    received
        What it is subtracted from.

    Returns
    -------
    RecordingRemover
        What takes it away.

    Raises
    ------
    RequestError
        Where a file cannot be read, or the recording is not in the other.
    """
    from rtpverify.commands.compare import compare
    from rtpverify.sources.audio.recording import open_recording

    stream = compare(reference, received, with_distance=False).streams[0]
    audio = open_recording(reference, looped=False).at_rate(stream.sample_rate or 0)
    return RecordingRemover(audio, stream, str(received))
