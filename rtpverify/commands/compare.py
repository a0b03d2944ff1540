"""Compare two recordings: the Python API of ``rtpverify compare``.

>>> from pathlib import Path
>>> from rtpverify.commands.compare import compare
>>> result = compare(Path("master.wav"), Path("copy.wav"))  # doctest: +SKIP
>>> result.streams[0].comparison.channels[0].frames_equal  # doctest: +SKIP
480000
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.levels import dbfs
from rtpverify.engine.file_verifier import SILENT, FrameVerifier, of_recording
from rtpverify.errors import RequestError
from rtpverify.events import Event, Kind, MismatchSize, NoiseSize, PolaritySize, SilenceSize, SlipSize
from rtpverify.limits import Limits
from rtpverify.reference import ReferenceAudio
from rtpverify.result import ChannelComparison, Comparison, Result, Signal, StreamResult
from rtpverify.rtp.payload import COMPANDED, is_rounded_to

if TYPE_CHECKING:
    from rtpverify.detect.recording.warped import Pair as Content
    from rtpverify.detect.recording.warped import WarpedComparison
    from rtpverify.reference import Recording
    from rtpverify.sources.audio.file import AudioFile

BLOCK_FRAMES = 65536
LATENCY_SECONDS = 1.0
"""So much may be missing at the start or end of the reference: recorders are started late and stopped early."""
RECODED_RESIDUAL_DB = -35.0
"""Where the residual is this large, relative to the signal, its frames are not the recording's."""
COMPANDING_SLACK = 2.0**-12
"""Half the smallest step of A-law: encoders of G.711 that round to 12 bits first are so far off."""
LOSSY_RESIDUAL_DB, LOSSY_RESIDUAL_DBFS = -80.0, -100.0
"""The same for a file in a lossy encoding; and its residual where its reference is itself, rounded to 16 bits."""


def compare(
    reference: Path,
    received: Path,
    *,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    with_distance: bool = True,
    with_clips: bool = False,
) -> Result:
    """Compare a recording with the one that it should be.

    Parameters
    ----------
    reference, received
        Audio files. A reference of another sample rate is resampled; a mono reference is that of every channel.
    limits
        What counts as a fault.
    with_distance
        Measure the distance by dynamic time warping of cepstra, too.
    with_clips
        Keep what reports draw of the largest events.

    Returns
    -------
    Result
        One stream with a :class:`rtpverify.result.Comparison`; frames of its events count in the received file.

    Raises
    ------
    RequestError
        Where a file cannot be read, or their channels do not go together.
    """
    from rtpverify.sources.audio.file import open_audio
    from rtpverify.sources.audio.recording import recording_of

    original, audio = open_audio(reference), open_audio(received)
    recording = recording_of(original, looped=False)
    try:
        recording.check(audio.sample_rate_hz, audio.channels)
    except RequestError:
        raise RequestError(
            f"{received}: {audio.channels} channel(s), and {reference} has {recording.channels}"
        ) from None
    same_rate = recording.sample_rate_hz == audio.sample_rate_hz
    levels = equal_levels(original, audio) if same_rate else None
    if levels is not None:
        stream = _equal(recording, audio, levels)
        if stream.comparison is not None and with_distance:
            stream.comparison.mfcc_dtw_distance = 0.0
        return _told(received, stream, original, audio)
    stream = _differing(recording, audio, limits)
    if not same_rate:
        stream.warnings.append(
            f"{reference.name} has {recording.sample_rate_hz} Hz and was resampled to {audio.sample_rate_hz} Hz: "
            "frames cannot be bit-identical, and the residual is not checked"
        )
    if stream.comparison is not None and with_distance:
        stream.comparison.mfcc_dtw_distance = _distance(original, audio)
    result = _told(received, stream, original, audio)
    if with_clips:
        from rtpverify.commands.event_clips import add_file_clips

        add_file_clips(result, received, recording)
    return result


def _told(received: Path, stream: StreamResult, original: AudioFile, audio: AudioFile) -> Result:
    """Return the result, with what a reader of either file should know now that they have been read."""
    stream.warnings += [*audio.told(), *(f"{original.path.name}: {text}" for text in original.told())]
    return of_recording(str(received), stream)


def _differing(recording: Recording, audio: AudioFile, limits: Limits) -> StreamResult:
    """Return what is found of a file that is not equal to its reference."""
    from rtpverify.sources.audio.recording import RecordingAudio

    rate_hz = audio.sample_rate_hz
    both = recording.at_rate(rate_hz), RecordingAudio(audio, rate_hz)

    @cache
    def content() -> Content:
        from rtpverify.detect.recording.warped import Pair

        return Pair(_Frames(both[0]), _Frames(both[1]), rate_hz)

    if audio.encoding in COMPANDED and _is_companded(*both, audio.encoding):
        # What the law makes of each frame is no fault, however much it is of faint ones.
        stream, _ = _followed(replace(recording, in_step=True), audio, limits)
        stream.events, stream.inconclusive = [], None
        return stream
    through_codec = audio.encoding not in COMPANDED and not _begin_equal(*both) and content().is_recoded()
    stream, not_finite = _followed(recording, audio, limits, frame_by_frame=not through_codec)
    pair = _Pair(*both, stream, content, not_finite, codec=through_codec or audio.is_lossy)
    if stream.inconclusive is not None and not through_codec and pair.is_mostly_equal():
        # Too little moves to tell a place by, but most frames are right where they are.
        stream, _ = _followed(replace(recording, in_step=True), audio, limits)
        replace(pair, stream=stream).judge_ends()
        return stream
    recoded = through_codec or is_recoded(stream, lossy=audio.is_lossy)
    if recoded and pair.judge_content():
        return stream
    if stream.inconclusive is None:
        pair.judge_ends()
        return stream
    pair.judge_as_it_is()
    return stream


def _followed(
    recording: Recording, audio: AudioFile, limits: Limits, *, frame_by_frame: bool = True
) -> tuple[StreamResult, list[Event]]:
    """Return what is found of a file as it is followed through the recording, and its values that are no numbers."""
    verifier = FrameVerifier.of(audio, recording, limits)
    take = verifier.feed if frame_by_frame else verifier.pass_over
    for frames in audio.blocks(BLOCK_FRAMES):
        take(frames)
    verifier.finish()
    return verifier.stream(), verifier.not_finite


def _distance(reference: AudioFile, received: AudioFile) -> float:
    """Return the normalised distance by dynamic time warping of cepstra."""
    from rtpverify.dsp.distance import mfcc_distance
    from rtpverify.sources.audio.mixdown import Mono
    from rtpverify.sources.audio.recording import RecordingAudio

    rate_hz = received.sample_rate_hz
    one, other = (Mono(RecordingAudio(file, rate_hz)) for file in (reference, received))
    return mfcc_distance(one, other, rate_hz)


@dataclass(frozen=True, slots=True)
class ChannelMeans:
    """Mean square and mean of each channel, shape (channels,)."""

    square: NDArray[np.float64]
    mean: NDArray[np.float64]


def equal_levels(reference: AudioFile, received: AudioFile) -> ChannelMeans | None:
    """Return the levels of two recordings that are equal, frame by frame; None where they are not.

    Parameters
    ----------
    reference
        The reference.
    received
        What was received.

    Returns
    -------
    ChannelMeans or None
        Means of each channel.
    """
    if (reference.frames, reference.channels) != (received.frames, received.channels):
        return None
    squares, total = np.zeros((2, received.channels))
    for content, x in zip(reference.blocks(BLOCK_FRAMES), received.blocks(BLOCK_FRAMES), strict=True):
        if not np.array_equal(x, content):
            return None
        squares += np.einsum("ij,ij->j", x, x)
        total += x.sum(axis=0)
    return ChannelMeans(squares / received.frames, total / received.frames)


def _equal(recording: Recording, audio: AudioFile, levels: ChannelMeans) -> StreamResult:
    """Return of recordings that are equal what following their frames would find."""
    from rtpverify.detect.recording.measurement import MOST_BINS

    frames, block_frames = audio.frames, audio.sample_rate_hz
    while frames > MOST_BINS * block_frames:
        block_frames *= 2
    blocks = -(-frames // block_frames)
    stream = StreamResult(
        sample_rate=audio.sample_rate_hz, channels=audio.channels, encoding=audio.encoding, frames=frames
    )
    stream.comparison = Comparison(str(recording.path), frames, recording.sample_rate_hz, block_frames, [])
    for number, (square, mean) in enumerate(zip(levels.square.tolist(), levels.mean.tolist(), strict=True), start=1):
        level = dbfs(square**0.5) if square else None
        stream.signal.append(
            Signal(number, level_dbfs=level, dc_offset=mean, frequency_error_ppm=0.0, frames_exact=frames)
        )
        stream.comparison.channels.append(
            ChannelComparison(
                number, number, 0.0, 0.0, False, 0.0, frames, frames, None, None, [None] * blocks, [0] * blocks
            )
        )
    return stream


def _is_companded(reference: ReferenceAudio, received: ReferenceAudio, encoding: str) -> bool:
    """Return whether every frame received is that of the reference, rounded by G.711."""
    if reference.frames != received.frames:
        return False
    for start in range(0, received.frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, received.frames)
        x, content = received.read(start, stop), reference.read(start, stop)
        if not is_rounded_to(encoding, np.broadcast_to(content, x.shape), x, COMPANDING_SLACK):
            return False
    return True


def _begin_equal(reference: ReferenceAudio, received: ReferenceAudio) -> bool:
    """Return whether the first frames are equal: then there is no need to look for the noise of a codec."""
    frames = min(BLOCK_FRAMES, reference.frames, received.frames)
    return np.array_equal(reference.read(0, frames), received.read(0, frames))


def is_recoded(stream: StreamResult, *, lossy: bool) -> bool:
    """Return whether frames are not those of the recording at all: not found in it, or with much else in them.

    A file in a lossy encoding is recoded unless it is the decoded reference itself.

    Parameters
    ----------
    stream
        What was found when it was compared frame by frame.
    lossy
        Whether its encoding is lossy.

    Returns
    -------
    bool
        Whether it is recoded.
    """
    if stream.comparison is None:
        return False
    least_db, least_dbfs = (LOSSY_RESIDUAL_DB, LOSSY_RESIDUAL_DBFS) if lossy else (RECODED_RESIDUAL_DB, math.inf)
    for channel, signal in zip(stream.comparison.channels, stream.signal, strict=True):
        if channel.offset_frames is not None and channel.frames_compared:
            if channel.residual_dbfs is None or signal.level_dbfs is None:
                return False
            if channel.residual_dbfs - signal.level_dbfs < least_db and channel.residual_dbfs < least_dbfs:
                return False
            if not lossy and channel.clock_offset_ppm == 0.0 and channel.offset_frames.is_integer():
                return False  # frame on frame with more than noise between: a codec would have been recognised
    return True


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two recordings at one sample rate, and what was found of the second."""

    reference: ReferenceAudio
    received: ReferenceAudio
    stream: StreamResult
    content: Callable[[], Content]
    not_finite: Sequence[Event]
    """Values of the second that are no finite numbers, which is known whatever is compared."""
    codec: bool
    """Whether the second went through a codec, as its file or the form of its noise shows."""

    @property
    def comparison(self) -> Comparison:
        """What was compared of the second."""
        if self.stream.comparison is None:
            raise AssertionError("a stream compared with a recording has a comparison")
        return self.stream.comparison

    def judge_ends(self) -> None:
        """Report what of the reference was never reached: before the first frame received, and after the last."""
        found = [channel for channel in self.comparison.channels if channel.offset_frames is not None]
        start = -min(int(channel.offset_frames or 0.0) for channel in found)
        slips = sum(
            (event.size.slip_frames or 0) / (len(found) if event.channel is not None else 1)
            for event in self.stream.events
            if isinstance(event.size, SlipSize)
        )
        self._judge_end(0, min(start, self.reference.frames), 0, "first")
        stop = max(start + self.stream.frames + round(slips), 0)
        self._judge_end(stop, self.reference.frames, self.stream.frames, "last")

    def _judge_end(self, first: int, last: int, frame: int, where: str) -> None:
        """Report that a stretch of the reference at one of its ends is missing, unless it is silent or short."""
        rate = self.stream.sample_rate or 1
        if last <= first or not self._is_heard(first, last):
            return
        text = f"the {where} {last - first} frames ({(last - first) / rate:.3f} s) of the reference are missing"
        if last - first <= LATENCY_SECONDS * rate:
            self.stream.warnings.append(text)
        else:
            self._tell(Event(MismatchSize(missing_frames=last - first), frame, 0, message=text))

    def judge_content(self) -> bool:
        """Compare a recoded recording by what it plays, not frame by frame; return whether that was possible."""
        found, comparison = self.content().compare(), self.comparison
        if not found.related:
            return False
        comparison.recoded = True
        self.stream.inconclusive = None
        self.stream.events = []
        for channel in comparison.channels:
            channel.offset_frames, channel.clock_offset_ppm = found.offset_frames, _content_ppm(found.rate_offset_ppm)
            channel.gain_db, channel.inverted = found.gain_db, found.polarity == -1
            channel.reference_channel = channel.reference_channel or min(channel.channel, self.reference.channels)
        self.stream.warnings.append(
            "not sample-identical to the reference (lossy coding or a different clock): "
            "compared by content, to within a few milliseconds"
        )
        events = found.events
        left_db = None if self.codec else self.content().left_db
        if left_db is not None and left_db > RECODED_RESIDUAL_DB:
            text = f"residual {left_db:.1f} dB relative to the signal, more than a codec explains"
            levels = [signal.level_dbfs for signal in self.stream.signal if signal.level_dbfs is not None]
            size = NoiseSize(residual_dbfs=max(levels) + left_db if levels else None, thd_plus_n_db=left_db)
            events = [*events, Event(size, 0, self.stream.frames, message=text)]
        if found.polarity == -1:
            events = [*events, Event(PolaritySize(), 0, self.stream.frames, message="inverted")]
        if found.period_frames is not None:
            events = self._of_periodic(found, events, found.period_frames)
        for event in (*events, *self.not_finite):
            self._tell(event)
        if found.passages and found.period_frames is None:
            self._judge_end(0, found.passages[0].reference_start, 0, "first")
            last = found.passages[-1].reference_stop
            self._judge_end(last, self.reference.frames, self.stream.frames, "last")
        return True

    def _of_periodic(self, found: WarpedComparison, events: list[Event], period_frames: int) -> list[Event]:
        """Return the events where the reference repeats itself: no others than muted and noisy stretches show there."""
        missing = self.reference.frames - sum(
            passage.reference_stop - passage.reference_start for passage in found.passages
        )
        known = [event for event in events if event.kind in (Kind.DROPOUT, Kind.NOISE)]
        if missing < period_frames and len(known) == len(events):
            return known
        text = (
            f"{missing} frames of the reference are missing, or the content is shifted or inverted: "
            f"the reference repeats every {period_frames} frames, so these cases cannot be distinguished"
        )
        size = MismatchSize(missing_frames=missing, period_frames=period_frames)
        return [*known, Event(size, 0, self.stream.frames, message=text)]

    def is_mostly_equal(self) -> bool:
        """Return whether half of the frames received, or more, are those of the reference at the same place."""
        return 2 * int(self._equal_frames().sum()) >= self.received.frames * self.received.channels

    def _equal_frames(self) -> NDArray[np.int64]:
        """Return how many frames of each channel are those of the reference at the same place, bit by bit."""
        frames = min(self.reference.frames, self.received.frames)
        equal = np.zeros(self.received.channels, np.int64)
        for start in range(0, frames, BLOCK_FRAMES):
            stop = min(start + BLOCK_FRAMES, frames)
            equal += np.count_nonzero(self.received.read(start, stop) == self.reference.read(start, stop), axis=0)
        return equal

    def judge_as_it_is(self) -> None:
        """Compare recordings that were not found in each other: silent, or too short, or of different things."""
        frames, comparison = min(self.reference.frames, self.received.frames), self.comparison
        equal = self._equal_frames()
        for number, channel in enumerate(comparison.channels):
            comparison.channels[number] = ChannelComparison(
                channel.channel, frames_compared=frames, frames_equal=int(equal[number])
            )
        self.stream.inconclusive = None
        if not _is_loud(self.received, 0, self.received.frames, 0.0) and self._is_heard(0, self.reference.frames):
            self._tell(Event(SilenceSize(), 0, self.stream.frames, message="no signal"))
            return
        text = "the reference was not found in it"
        self._tell(Event(MismatchSize(), 0, self.stream.frames, message=text))

    def _tell(self, event: Event) -> None:
        event.name("")
        self.stream.events.append(event)

    def _is_heard(self, first: int, last: int) -> bool:
        """Return whether the reference is more than silence anywhere in a stretch."""
        return _is_loud(self.reference, first, last, SILENT)


def _is_loud(audio: ReferenceAudio, first: int, last: int, level: float) -> bool:
    """Return whether any value in a stretch is beyond a level."""
    starts = range(first, last, BLOCK_FRAMES)
    parts = (audio.read(start, min(start + BLOCK_FRAMES, last)) for start in starts)
    return any(float(np.abs(part).max(initial=0.0)) > level for part in parts)


def _content_ppm(rate_offset_ppm: float | None) -> float | None:
    """Return by how much content runs fast, of how many more frames it takes."""
    return None if rate_offset_ppm is None else 1e6 * (1.0 / (1.0 + 1e-6 * rate_offset_ppm) - 1.0)


@dataclass(frozen=True, slots=True)
class _Frames:
    """A recording as an array of which slices are read; a :class:`rtpverify.dsp.decimate.Frames`."""

    audio: ReferenceAudio

    @property
    def shape(self) -> tuple[int, ...]:
        return self.audio.frames, self.audio.channels

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        start, stop, _ = part.indices(self.audio.frames)
        return self.audio.read(start, max(start, stop))
