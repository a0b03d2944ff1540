"""One pass over audio that takes down everything there is to see of it, in bounded memory.

What goes into a picture is made coarser as the audio gets longer: of the waveform and of spectra over time, each column
of the picture keeps the extremes of what falls into it, so that no peak is lost. Data is never made coarser: what would
not fit in memory is refused, with what to ask for instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.arrays import ShowsShapes
from rtpverify.dsp.constant_q import BINS_PER_OCTAVE, LOWEST_HZ, ConstantQStream, Plan
from rtpverify.dsp.envelope import Envelope, EnvelopeMeter, PointMeter
from rtpverify.dsp.histogram import Histogram, HistogramMeter
from rtpverify.dsp.mfcc import BANDS, COEFFICIENTS, WINDOW_FRAMES, mel_filters, mfcc
from rtpverify.dsp.mfcc import HOP_FRAMES as MEL_HOP_FRAMES
from rtpverify.dsp.spectrum import FFT_FRAMES, HOP_FRAMES, Stft, bin_frequencies, check_window, hann, to_db
from rtpverify.dsp.statistics import LevelMeter, Levels
from rtpverify.errors import RequestError

if TYPE_CHECKING:
    from rtpverify.media.audio import ReadableAudio

PICTURE_COLUMNS = 1200
"""Most columns of a picture: what a screen shows."""
DATA_BYTES = 1 << 28
"""Most memory that one array of data takes."""

_BLOCK_FRAMES = 65536
_ENVELOPES_A_SECOND = 100


class View(StrEnum):
    """What can be shown."""

    WAVEFORM = "waveform"
    HISTOGRAM = "histogram"
    SPECTROGRAM = "spectrogram"
    CONSTANT_Q = "constant-q"
    MEL = "mel"
    MFCC = "mfcc"


DEFAULT_VIEWS = (View.WAVEFORM, View.HISTOGRAM, View.SPECTROGRAM, View.CONSTANT_Q, View.MFCC)


@dataclass(frozen=True, slots=True)
class InspectRequest:
    """What to look at, and how closely.

    Attributes
    ----------
    views
        In addition to the figures of each channel, which are always taken.
    at_seconds
        Times at which values are wanted.
    start_seconds, length_seconds
        The part of the audio that is measured; None: to its end. Times count from the beginning of all of it.
    fft_frames, hop_frames
        Of spectra.
    lowest_hz, bins_per_octave
        Of the constant-Q transform.
    keeps_data
        Whether everything is kept at full resolution, not only what a picture shows.
    keeps_phase
        Whether the spectrogram's complex values are kept, too.
    """

    views: tuple[View, ...] = ()
    at_seconds: tuple[float, ...] = ()
    start_seconds: float = 0.0
    length_seconds: float | None = None
    fft_frames: int = FFT_FRAMES
    hop_frames: int = HOP_FRAMES
    lowest_hz: float = LOWEST_HZ
    bins_per_octave: int = BINS_PER_OCTAVE
    keeps_data: bool = False
    keeps_phase: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """The frame at a time: one number per channel, full scale ±1.0.

    Attributes
    ----------
    values
        Of the frame itself.
    peak, rms, hilbert
        The envelope there (:class:`rtpverify.dsp.envelope.EnvelopePoint`): peak and RMS of the 10 ms around the frame
        (480 frames at 48 kHz), the Hilbert envelope at it.
    """

    seconds: float
    frame: int
    values: tuple[float, ...]
    peak: tuple[float, ...]
    rms: tuple[float, ...]
    hilbert: tuple[float, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Grid(ShowsShapes):
    """Numbers over time and something else.

    Attributes
    ----------
    view
        What it is.
    values
        Shape (channels, rows, columns), float32; levels in dBFS, mel bands in dB, cepstral coefficients in dB.
    seconds_per_column
        Distance of columns; the first one is at ``start_seconds``.
    rows
        Frequency in Hz, or number of the coefficient, of each row; shape (rows,).
    columns_merged
        How many columns are in each of these: the largest value of them.
    """

    view: View
    values: NDArray[np.float32]
    seconds_per_column: float
    rows: NDArray[np.float64]
    columns_merged: int = 1

    def times_seconds(self, start_seconds: float) -> NDArray[np.float64]:
        """Return the time of each column.

        Parameters
        ----------
        start_seconds
            Time of the first frame.

        Returns
        -------
        NDArray[np.float64]
            In seconds, shape (columns,).
        """
        return np.asarray(start_seconds + np.arange(self.values.shape[2]) * self.seconds_per_column, np.float64)


@dataclass(frozen=True, slots=True)
class InspectedSource:
    """What was inspected.

    Attributes
    ----------
    name
        File or address.
    encoding, sample_rate_hz, channels, bits
        Its format; ``bits`` is None where there is no linear quantiser.
    frames
        Length of all of it.
    start_frame, frames_seen
        The part that was inspected.
    channel_names
        One for each channel: what the source calls it, or its number from 1.
    """

    name: str
    encoding: str
    sample_rate_hz: int
    channels: int
    bits: int | None
    frames: int
    start_frame: int
    frames_seen: int
    channel_names: tuple[str, ...]

    @property
    def start_seconds(self) -> float:
        """Where the part begins that was inspected."""
        return self.start_frame / self.sample_rate_hz

    @property
    def seconds_seen(self) -> float:
        """Length of the part that was inspected."""
        return self.frames_seen / self.sample_rate_hz


@dataclass(frozen=True, slots=True, repr=False)
class Inspection(ShowsShapes):
    """What there is to see of audio.

    Attributes
    ----------
    source
        What was inspected.
    request
        How.
    levels
        Figures of each channel.
    values
        At the times asked for.
    warnings
        What a reader should know before trusting this.
    envelope, envelope_data
        For the picture, and every hundredth of a second.
    histogram, grids
        The other views.
    phase
        The spectrogram's complex values, shape (channels, bins, columns), where they were wanted.
    """

    source: InspectedSource
    request: InspectRequest
    levels: tuple[Levels, ...]
    values: tuple[Value, ...] = ()
    warnings: tuple[str, ...] = ()
    envelope: Envelope | None = None
    envelope_data: Envelope | None = None
    histogram: Histogram | None = None
    grids: Mapping[View, Grid] = field(default_factory=dict)
    phase: NDArray[np.complex128] | None = None


def measure(audio: ReadableAudio, source: str, request: InspectRequest) -> Inspection:
    """Look at audio.

    Parameters
    ----------
    audio
        The audio.
    source
        Name of the source.
    request
        What is measured.

    Returns
    -------
    Inspection
        Figures and views of each channel.

    Raises
    ------
    RequestError
        Where the request does not fit the audio, or asks for more data than memory should hold.
    SourceError
        Where the audio cannot be read to its end.
    """
    start, stop = _span(audio, request)
    seen = stop - start
    wanted = [_frame_at(seconds, audio, source) for seconds in request.at_seconds]
    found: dict[int, tuple[float, ...]] = {}
    hop_frames = max(1, audio.sample_rate_hz // _ENVELOPES_A_SECOND)
    points = {frame: PointMeter(frame, audio.channels, hop_frames) for frame in wanted}
    meters = _Meters(audio, request, seen)
    not_finite = 0
    for first, block in _positioned(audio):
        for frame, point in points.items():
            if first <= frame < first + len(block):
                found[frame] = tuple(block[frame - first].tolist())
            point.add(first, block)
        part = block[max(0, start - first) : max(0, stop - first)]
        if len(part):
            finite = np.isfinite(part)
            if not finite.all():
                not_finite += int(np.count_nonzero(~finite.all(axis=1)))
                part = np.where(finite, part, 0.0)
            meters.add(part)
        if first + len(block) > max([stop - 1, *(point.last_frame for point in points.values())]):
            break
    warnings = audio.told()
    if not_finite:
        warnings.append(f"{not_finite:,} frames hold a value that is not finite; replaced by 0")
    values = []
    for seconds, frame in zip(request.at_seconds, wanted, strict=True):
        around = points[frame].result()
        envelope = (tuple(figures.tolist()) for figures in (around.peak, around.rms, around.hilbert))
        values.append(Value(seconds, frame, found[frame], *envelope))
    labels = audio.channel_names or ("",) * audio.channels
    names = tuple(label or str(number) for number, label in enumerate(labels, 1))
    what = InspectedSource(
        source, audio.encoding, audio.sample_rate_hz, audio.channels, audio.bits, audio.frames, start, seen, names
    )
    return meters.result(what, values, warnings)


def _positioned(audio: ReadableAudio) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield blocks, each with the frame that it starts at."""
    first = 0
    for block in audio.blocks(_BLOCK_FRAMES):
        yield first, block
        first += len(block)


def _span(audio: ReadableAudio, request: InspectRequest) -> tuple[int, int]:
    """Return first and one-past-last frame to look at."""
    start = round(request.start_seconds * audio.sample_rate_hz)
    if not 0 <= start < audio.frames:
        length = audio.frames / audio.sample_rate_hz
        raise RequestError(f"--start {request.start_seconds:g}: not within the {length:.3f} s that there are")
    if request.length_seconds is None:
        return start, audio.frames
    count = max(1, round(request.length_seconds * audio.sample_rate_hz))
    return start, min(audio.frames, start + count)


def _frame_at(seconds: float, audio: ReadableAudio, source: str) -> int:
    """Return the frame nearest to a time."""
    frame = round(seconds * audio.sample_rate_hz)
    if not 0 <= frame < audio.frames:
        length = audio.frames / audio.sample_rate_hz
        raise RequestError(f"--at {seconds:g}: {source} has no such time, it is {length:.3f} s long")
    return frame


class _Columns:
    """Columns of spectra as they come, shape (c, channels, rows): all of them, or the largest of every few."""

    def __init__(self, columns: int, merged: int) -> None:
        self.merged = merged
        self._columns = columns
        self._kept: NDArray[np.float32] | None = None
        self._next = 0

    def add(self, levels: NDArray[np.float32]) -> None:
        """Take the next columns, in dB."""
        if self._kept is None:
            shape = (-(-self._columns // self.merged), *levels.shape[1:])
            self._kept = np.full(shape, -np.inf, np.float32)
        index = (self._next + np.arange(len(levels))) // self.merged
        starts = np.flatnonzero(np.diff(index, prepend=-1))
        at = index[starts]
        self._kept[at] = np.maximum(self._kept[at], np.maximum.reduceat(levels, starts, axis=0))
        self._next += len(levels)

    def result(self) -> NDArray[np.float32]:
        """Return shape (channels, rows, columns)."""
        if self._kept is None:
            raise AssertionError("spectra have at least one column")
        return np.ascontiguousarray(self._kept.transpose(1, 2, 0))


class _Meter(Protocol):
    """What takes audio block by block."""

    def add(self, block: NDArray[np.float64], /) -> None: ...


class _Transform(Protocol):
    """What turns audio into columns, each of shape (c, channels, rows)."""

    def add(self, block: NDArray[np.float64], /) -> Iterator[NDArray[np.complex128]]: ...

    def finish(self) -> Iterator[NDArray[np.complex128]]: ...


class _Spectral:
    """One view of spectra over time: a transform, and the columns it has given."""

    def __init__(self, view: View, transform: _Transform, columns: _Columns, rows: NDArray[np.float64]) -> None:
        self.view, self.columns, self.rows = view, columns, rows
        self._transform = transform

    def add(self, block: NDArray[np.float64]) -> None:
        """Take the next frames."""
        self.take(self._transform.add(block))

    def finish(self) -> None:
        """Take the columns that are left."""
        self.take(self._transform.finish())

    def take(self, parts: Iterator[NDArray[np.complex128]]) -> None:
        """Take columns."""
        for part in parts:
            self.columns.add(to_db(np.abs(part)).astype(np.float32))


class _WithPhase(_Spectral):
    """Spectra whose complex values are kept, too."""

    def __init__(self, view: View, transform: _Transform, columns: _Columns, rows: NDArray[np.float64]) -> None:
        super().__init__(view, transform, columns, rows)
        self.kept: list[NDArray[np.complex128]] = []

    def take(self, parts: Iterator[NDArray[np.complex128]]) -> None:
        """Take columns."""
        for part in parts:
            self.kept.append(part)
            super().take(iter([part]))


class _MelBands:
    """Square roots of the power in mel bands, with the window, hop and scale of librosa's defaults."""

    def __init__(self, channels: int, rate_hz: float) -> None:
        self._stft = Stft(channels, WINDOW_FRAMES, MEL_HOP_FRAMES)
        self._filters = mel_filters(rate_hz).T.astype(np.float64)
        self._scale = float(hann(WINDOW_FRAMES).sum() / 2.0)

    def add(self, block: NDArray[np.float64]) -> Iterator[NDArray[np.complex128]]:
        """Take the next frames; yield columns."""
        yield from map(self._bands, self._stft.add(block))

    def finish(self) -> Iterator[NDArray[np.complex128]]:
        """Yield the columns that are left."""
        yield from map(self._bands, self._stft.finish())

    def _bands(self, part: NDArray[np.complex128]) -> NDArray[np.complex128]:
        return np.sqrt(np.abs(part * self._scale) ** 2 @ self._filters).astype(np.complex128)


def band_frequencies(rate_hz: float) -> NDArray[np.float64]:
    """Return the middle of each mel band in Hz, shape (128,): the centre of gravity of its filter.

    Parameters
    ----------
    rate_hz
        Sample rate.

    Returns
    -------
    NDArray[np.float64]
        In Hz, ascending, shape (128,).
    """
    filters = mel_filters(rate_hz).astype(np.float64)
    frequencies = bin_frequencies(WINDOW_FRAMES, rate_hz)
    return np.asarray(filters @ frequencies / np.maximum(filters.sum(axis=1), np.finfo(np.float64).tiny), np.float64)


class _Meters:
    """Everything that one request asks for."""

    def __init__(self, audio: ReadableAudio, request: InspectRequest, frames: int) -> None:
        self._request, self._frames, self._rate_hz = request, frames, audio.sample_rate_hz
        self._channels = channels = audio.channels
        check_window(request.fft_frames, request.hop_frames)
        self._levels = LevelMeter(channels, self._rate_hz, audio.bits)
        self._envelope = self._envelope_data = self._histogram = None
        self._spectral: list[_Spectral] = []
        self._audio: list[NDArray[np.float32]] | None = None
        self._left_out: list[str] = []
        if View.WAVEFORM in request.views:
            self._envelope = EnvelopeMeter(channels, max(1, frames // PICTURE_COLUMNS))
            if request.keeps_data:
                self._envelope_data = EnvelopeMeter(channels, max(1, self._rate_hz // _ENVELOPES_A_SECOND))
        if View.HISTOGRAM in request.views:
            self._histogram = HistogramMeter(channels, audio.bits)
        if View.SPECTROGRAM in request.views:
            rows = bin_frequencies(request.fft_frames, self._rate_hz)
            columns = self._room(View.SPECTROGRAM, len(rows), 20 if request.keeps_phase else 4, request.hop_frames)
            kind = _WithPhase if request.keeps_phase else _Spectral
            stft = Stft(channels, request.fft_frames, request.hop_frames)
            self._spectral.append(kind(View.SPECTROGRAM, stft, columns, rows))
        if View.CONSTANT_Q in request.views:
            plan = Plan.of(self._rate_hz, request.lowest_hz, None, request.bins_per_octave)
            columns = self._room(View.CONSTANT_Q, len(plan.frequencies_hz), 4, request.hop_frames)
            stream = ConstantQStream(plan, channels, request.hop_frames, holds_peaks=True)
            self._spectral.append(_Spectral(View.CONSTANT_Q, stream, columns, plan.frequencies_hz))
        if View.MEL in request.views:
            columns = self._room(View.MEL, BANDS, 4, MEL_HOP_FRAMES)
            centres = band_frequencies(self._rate_hz)
            self._spectral.append(_Spectral(View.MEL, _MelBands(channels, self._rate_hz), columns, centres))
        if View.MFCC in request.views:
            self._prepare_mfcc()
        meters = (self._levels, self._envelope, self._envelope_data, self._histogram)
        self._meters: list[_Meter] = [meter for meter in (*meters, *self._spectral) if meter is not None]

    def _room(self, view: View, rows: int, value_bytes: int, hop_frames: int) -> _Columns:
        """Return where columns go."""
        columns = 1 + self._frames // hop_frames
        if not self._request.keeps_data:
            return _Columns(columns, -(-columns // PICTURE_COLUMNS))
        per_column = rows * self._channels * value_bytes
        if columns * per_column > DATA_BYTES:
            raise self._too_large(view, columns * per_column, DATA_BYTES // per_column * hop_frames)
        return _Columns(columns, 1)

    def _prepare_mfcc(self) -> None:
        """Keep the audio: no coefficient is known before the loudest band of all is known."""
        size = 4 * self._frames * self._channels
        if size <= DATA_BYTES:
            self._audio = []
        elif self._request.keeps_data:
            raise self._too_large(View.MFCC, size, DATA_BYTES // (4 * self._channels))
        else:
            self._left_out.append(f"{self._too_large(View.MFCC, size, DATA_BYTES // (4 * self._channels))}")

    def _too_large(self, view: View, size: int, frames: int) -> RequestError:
        return RequestError(
            f"{view} of {self._frames / self._rate_hz:.0f} s takes {size >> 20} MB of memory, more than "
            f"{DATA_BYTES >> 20}: take a part with --start and --duration {math.floor(frames / self._rate_hz)}, or "
            "leave it out with --show"
        )

    def add(self, block: NDArray[np.float64]) -> None:
        """Take the next frames, all finite."""
        for meter in self._meters:
            meter.add(block)
        if self._audio is not None:
            self._audio.append(block.astype(np.float32))

    def result(self, source: InspectedSource, values: Sequence[Value], warnings: Sequence[str]) -> Inspection:
        """Return what was found."""
        grids: dict[View, Grid] = {}
        phase = None
        for spectral in self._spectral:
            spectral.finish()
            hop = MEL_HOP_FRAMES if spectral.view is View.MEL else self._request.hop_frames
            columns = spectral.columns
            step = hop * columns.merged / self._rate_hz
            grids[spectral.view] = Grid(spectral.view, columns.result(), step, spectral.rows, columns.merged)
            if isinstance(spectral, _WithPhase):
                phase = np.concatenate(spectral.kept).transpose(1, 2, 0)
        if self._audio is not None:
            grids[View.MFCC] = self._cepstra(np.concatenate(self._audio))
        return Inspection(
            source=source,
            request=self._request,
            levels=self._levels.result(),
            values=tuple(values),
            warnings=(*warnings, *self._left_out),
            envelope=self._envelope.result(self._rate_hz) if self._envelope else None,
            envelope_data=self._envelope_data.result(self._rate_hz) if self._envelope_data else None,
            histogram=self._histogram.result() if self._histogram else None,
            grids={view: grids[view] for view in self._request.views if view in grids},
            phase=phase,
        )

    def _cepstra(self, audio: NDArray[np.float32]) -> Grid:
        values = np.stack([mfcc(np.ascontiguousarray(column), self._rate_hz).T for column in audio.T])
        rows = np.arange(COEFFICIENTS, dtype=np.float64)
        return Grid(View.MFCC, values.astype(np.float32), MEL_HOP_FRAMES / self._rate_hz, rows)
