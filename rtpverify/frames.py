"""Verification of frames that come without packets: an audio file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.analysis import Analysis, stream_format
from rtpverify.events import Event
from rtpverify.result import Result, StreamResult
from rtpverify.sensitivity import blindness, why_inconclusive

if TYPE_CHECKING:
    from rtpverify.limits import Limits
    from rtpverify.reference import Recording, Tone

_PIECE_SECONDS = 1.28
"""Frames taken at a time: long enough that the work on whole blocks outweighs that around them."""


class FrameVerifier:
    """Frames in, events and a result out; sans-I/O.

    Parameters
    ----------
    reference
        What they are held against.
    limits
        What counts as a fault.
    sample_rate_hz, channels
        Format of the frames.
    encoding, bits
        Name of the encoding for the result, and its bits where it has linear quantisation.

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
    ) -> None:
        self.reference = reference
        self.encoding = encoding
        self.frames = 0
        self.not_finite = 0
        """Frames with a value that is no finite number."""
        form = stream_format(sample_rate_hz, channels, 1, reference)
        self._piece = max(1, int(_PIECE_SECONDS * sample_rate_hz) // form.block_frames) * form.block_frames
        self._analysis = Analysis(form, self._piece)
        self._row = np.array([self._analysis.add(reference, limits, bits, companded=encoding in COMPANDED)])
        self._events: dict[str, Event] = {}
        self._told: list[Event] = []

    def feed(self, frames: NDArray[np.float64]) -> list[Event]:
        """Take the next frames, shape (n, channels), full scale ±1.0; return events that are new or have changed.

        Frames are judged a piece at a time, so events may come with a later call.
        """
        start = 0
        while start < len(frames):
            room = self._piece - self.frames % self._piece
            piece = frames[start : start + room]
            start += len(piece)
            finite = np.isfinite(piece)
            if not finite.all():
                self.not_finite += int(np.count_nonzero(~finite.all(axis=1)))
                piece = np.where(finite, piece, 0.0)
            self._analysis.timeline.write_run(int(self._row[0]), self.frames, piece)
            self.frames += len(piece)
            if self.frames % self._piece == 0:
                self._judge()
        return self._take_told()

    def finish(self) -> list[Event]:
        """End the input; return events that are new or have changed."""
        self._judge()
        self._tell(self._analysis.finish(int(self._row[0]), self.frames))
        return self._take_told()

    def _judge(self) -> None:
        """Judge every whole block that is there."""
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

    def result(self, source: str) -> Result:
        """Return what was found so far."""
        self._judge()
        form, row = self._analysis.form, int(self._row[0])
        signal = self._analysis.detector.signal(row)
        stream = StreamResult(
            sample_rate=form.sample_rate_hz,
            channels=form.channels,
            encoding=self.encoding,
            frames=self.frames,
            signal=signal,
            comparison=self._analysis.detector.comparison(row),
            events=sorted(self._events.values(), key=lambda event: (event.start_frame, event.channel or 0)),
            warnings=blindness(signal, form.sample_rate_hz),
            inconclusive=why_inconclusive(self._analysis, row, self.reference, self.frames),
        )
        if self.not_finite:
            stream.warnings.append(f"{self.not_finite} frames hold NaN or infinity and were taken as 0")
        return Result(source, [stream])


COMPANDED = frozenset({"PCMU", "PCMA"})
"""Encodings whose quantiser is not uniform (ITU-T G.711)."""
