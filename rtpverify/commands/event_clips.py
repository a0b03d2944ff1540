"""Pictures of a report: what the audio and the packets around its largest events were.

Audio of packets is kept in temporary files while they are verified, what is known of packets in memory; both up to a
bound, past which events have no picture. Audio files are read again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.commands.audio_spool import Spool
from rtpverify.dsp.sine import Sine, find_omega, fit_free
from rtpverify.events import Event, Kind
from rtpverify.reference import Recording, Reference, Tone
from rtpverify.result import Result, StreamResult
from rtpverify.result.clip import EventClip
from rtpverify.rtp.batch import parse

if TYPE_CHECKING:
    from rtpverify.engine.stream import Stream
    from rtpverify.rtp.batch import PacketBatch

MOST_CLIPS = 50
MOST_AUDIO_BYTES = 4 << 30
"""On disk: more than two hours of stereo at 48 kHz."""
MOST_PACKETS = 5_000_000
"""In memory, some 200 MB."""

_CLIP_FRAMES = 3072
_BEFORE_PART = 1 / 3
"""Part of a clip before its event."""
_FIT_SECONDS = 1.0
_SPECTRUM_FRAMES = 8192
_SPECTRUM_POINTS = 240
_LOWEST_HZ = 20.0
_GRAM_FFT, _GRAM_ROWS, _GRAM_COLUMNS, _GRAM_SECONDS, _LONGEST_GRAM_SECONDS = 1024, 64, 120, 0.25, 2.0
_FLOOR_DBFS = -160.0
_LEAST_CORRELATION = 0.5


class _Frames(Protocol):
    """Audio that can be read anywhere."""

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return frames, shape (stop - start, channels); zeros outside."""


class ClipRecorder:
    """Keeps what pictures are made of while something is verified."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._bytes = self._packets = 0
        self._batches: list[tuple[NDArray[np.int64], ...]] = []

    def take_frames(self, stream: Stream, frame: NDArray[np.int64], samples: NDArray[np.float32]) -> None:
        """Take packets of one stream: their first frames, shape (n,), and samples, shape (n, frames, channels).

        Parameters
        ----------
        stream
            The stream.
        frame
            First frame of each packet, shape (n,).
        samples
            Full scale ±1.0, shape (n, frames, channels).
        """
        self._bytes += 4 * samples.size
        if self._bytes <= MOST_AUDIO_BYTES:
            self._spool.take(stream, frame, samples)

    def take_packets(self, batch: PacketBatch) -> None:
        """Take datagrams as they arrived.

        Parameters
        ----------
        batch
            Datagrams in order of arrival.
        """
        if self._packets < MOST_PACKETS and batch.timed:
            rtp = parse(batch)
            self._packets += len(rtp)
            self._batches.append((rtp.ssrc, rtp.sequence, rtp.arrival_ns))

    def add_clips(self, result: Result, streams: Sequence[Stream]) -> None:
        """Add pictures of the largest events to the result of streams of packets.

        Parameters
        ----------
        result
            The result.
        streams
            The streams of its entries, in the same order.
        """
        kept = set(map(id, self._spool.streams))
        by_id = {id(found): stream for stream, found in zip(streams, result.streams, strict=False)}
        columns = [np.concatenate(column) for column in zip(*self._batches, strict=True)] or [np.empty(0, np.int64)] * 3
        for found, event in largest(result):
            stream = by_id.get(id(found))
            if stream is None or id(stream) not in kept or not found.sample_rate:
                continue
            audio = self._spool.audio(stream)
            packets = _Packets(columns, found, event)
            clip = _clip(audio, audio.frames, stream.spec.reference, found, event, packets)
            if clip is not None:
                result.clips[event.id] = clip


def add_file_clips(result: Result, path: Path, reference: Reference) -> None:
    """Add pictures of the largest events to the result of an audio file.

    Parameters
    ----------
    result
        The result.
    path
        The file.
    reference
        What it was compared with.
    """
    from rtpverify.sources.audio.file import open_audio
    from rtpverify.sources.audio.recording import RecordingAudio

    file = open_audio(path)
    audio = RecordingAudio(file.hold(), file.sample_rate_hz)
    for found, event in largest(result):
        clip = _clip(audio, file.frames, reference, found, event, None)
        if clip is not None:
            result.clips[event.id] = clip


def largest(result: Result) -> Iterator[tuple[StreamResult, Event]]:
    """Yield the largest events and their streams, the largest of each kind first: one is not hidden by many others.

    Parameters
    ----------
    result
        The result.

    Yields
    ------
    tuple[StreamResult, Event]
        Stream and event.
    """
    by_kind: dict[tuple[bool, Kind], list[tuple[StreamResult, Event]]] = {}
    for stream in result.streams:
        for event in stream.events:
            by_kind.setdefault((not event.fault, event.kind), []).append((stream, event))
    ranked = [sorted(by_kind[key], key=lambda pair: _magnitude(pair[1]), reverse=True) for key in sorted(by_kind)]
    chosen = [pair for tier in zip_longest(*ranked) for pair in tier if pair is not None]
    yield from chosen[:MOST_CLIPS]


def _magnitude(event: Event) -> tuple[float, int]:
    """Return how large an event is among those of its kind: by the first figure of its size, then by its length."""
    sizes = (abs(value) for value in event.size.as_dict().values() if isinstance(value, int | float))
    return (next(sizes, 0.0), event.duration_frames)


class _Packets:
    """Packets around an event, by SSRC and time of arrival."""

    def __init__(self, columns: Sequence[NDArray[np.int64]], stream: StreamResult, event: Event) -> None:
        self._columns, self._stream, self._event = columns, stream, event

    def around(self, start_frame: int, frames: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return first frame, sequence number and interval in seconds of packets whose frames lie in a clip."""
        ssrc, sequence, arrival_ns = self._columns
        event, stream = self._event, self._stream
        packet_frames = round((stream.packet_time_seconds or 0.0) * (stream.sample_rate or 0))
        empty = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        if event.time_ns is None or event.packets is None or not packet_frames:
            return empty
        near_ns = round(1e9 * (2 * frames / (stream.sample_rate or 1) + 1.0))
        rows = np.flatnonzero((ssrc == stream.ssrc) & (np.abs(arrival_ns - event.time_ns) < near_ns))
        if len(rows) == 0:
            return empty
        rows = rows[np.argsort(arrival_ns[rows], kind="stable")]
        # Where the first packet of the event carries its first frame, the others lie a packet time apart.
        since = (sequence[rows] - event.packets[0] + 0x8000) % 0x10000 - 0x8000
        first = event.start_frame // packet_frames * packet_frames + since * packet_frames - start_frame
        interval = np.concatenate([[np.nan], np.diff(arrival_ns[rows]) / 1e9])
        here = (first + packet_frames > 0) & (first < frames)
        return first[here], sequence[rows][here], interval[here]


def _clip(
    audio: _Frames, length: int, reference: Reference, stream: StreamResult, event: Event, packets: _Packets | None
) -> EventClip | None:
    """Return the picture of an event; None where there is no audio."""
    rate_hz, channel = stream.sample_rate or 0, (event.channel or 1) - 1
    start = max(0, min(event.start_frame - int(_CLIP_FRAMES * _BEFORE_PART), length - _CLIP_FRAMES))
    stop = min(length, start + _CLIP_FRAMES)
    if stop <= start or event.start_frame > length:
        return None

    def read(first: int, last: int) -> NDArray[np.float64]:
        return audio.read(first, last)[:, channel]

    received = read(start, stop).copy()
    expected = _expected(reference, read, length, stream, event, channel, start, stop)
    around = packets.around(start, stop - start) if packets else (np.empty(0, np.int64),) * 2 + (np.empty(0),)
    gaps = [one for one in stream.events if one.kind is Kind.GAP]
    holes = tuple(
        (max(one.start_frame, start) - start, min(one.start_frame + one.duration_frames, stop) - start)
        for one in gaps
        if one.start_frame < stop and one.start_frame + one.duration_frames > start
    )
    for first, last in holes:
        received[first:last] = 0.0
    residual = None if expected is None else received - expected
    gram, gram_start, gram_frames = _spectrogram(read, length, rate_hz, event)
    middle = event.start_frame + min(event.duration_frames, _SPECTRUM_FRAMES) // 2
    hz = np.geomspace(_LOWEST_HZ, rate_hz / 2, _SPECTRUM_POINTS)
    return EventClip(
        channel=channel + 1,
        sample_rate_hz=rate_hz,
        start_frame=start,
        received=received.astype(np.float32),
        residual=None if residual is None else residual.astype(np.float32),
        holes=holes,
        packet_frame=around[0],
        packet_sequence=around[1],
        packet_interval_seconds=around[2],
        spectrum_hz=hz,
        before_dbfs=_spectrum(read, event.start_frame - _SPECTRUM_FRAMES, length, rate_hz, hz),
        around_dbfs=_spectrum(read, middle - _SPECTRUM_FRAMES // 2, length, rate_hz, hz),
        spectrogram_dbfs=gram,
        spectrogram_start_frame=gram_start,
        spectrogram_frames=gram_frames,
    )


class _Read(Protocol):
    def __call__(self, first: int, last: int, /) -> NDArray[np.float64]: ...


def _expected(
    reference: Reference,
    read: _Read,
    length: int,
    stream: StreamResult,
    event: Event,
    channel: int,
    start: int,
    stop: int,
) -> NDArray[np.float64] | None:
    """Return what the reference is there, as it was before the event; None where that is not known."""
    if isinstance(reference, Tone):
        sine = _tone_before(reference, read, length, stream, event, channel)
        return None if sine is None else sine.at(start, stop)
    if isinstance(reference, Recording):
        return _recording_there(reference, read, stream, event, channel, start, stop)
    return None


def _tone_before(
    reference: Tone, read: _Read, length: int, stream: StreamResult, event: Event, channel: int
) -> Sine | None:
    """Return the tone as it was before the event, or where there is too little of that, after it."""
    rate_hz = stream.sample_rate or 0
    span, least = int(_FIT_SECONDS * rate_hz), rate_hz // 100
    stop = event.start_frame + event.duration_frames
    others = [one for one in stream.events if one is not event and one.channel in (None, event.channel, channel + 1)]
    ends = [one.start_frame + one.duration_frames for one in others if one.start_frame < event.start_frame]
    first, last = max(0, event.start_frame - span, *(min(end, event.start_frame) for end in ends)), event.start_frame
    if last - first < least:
        starts = [one.start_frame for one in others if one.start_frame >= stop]
        first, last = stop, min(length, stop + span, *starts)
    if last - first < least:
        return None
    x = np.ascontiguousarray(read(first, last))
    hz = reference.frequency_hz(channel)
    omega = find_omega(x) if hz is None else 2.0 * math.pi * hz / rate_hz
    fit = None if omega is None else fit_free(x, first, omega, np.ones(len(x), np.bool_))
    return None if fit is None or fit.rms > fit.sine.amplitude else fit.sine


def _recording_there(
    reference: Recording, read: _Read, stream: StreamResult, event: Event, channel: int, start: int, stop: int
) -> NDArray[np.float64] | None:
    """Return the recording at the place where it was found, if it is what plays before the event."""
    found = [one for one in (stream.comparison.channels if stream.comparison else []) if one.channel == channel + 1]
    if not found or found[0].offset_frames is None:
        return None
    audio = reference.at_rate(stream.sample_rate or 0)
    column = (found[0].reference_channel or 1) - 1
    gain = 10 ** ((found[0].gain_db or 0.0) / 20) * (-1 if found[0].inverted else 1)
    offset = round(found[0].offset_frames)

    def there(first: int, last: int) -> NDArray[np.float64]:
        if not reference.looped:
            return gain * audio.read(first - offset, last - offset)[:, column]
        played = np.empty(last - first)
        done = 0
        while done < len(played):
            frame = (first - offset + done) % audio.frames
            count = min(len(played) - done, audio.frames - frame)
            played[done : done + count] = audio.read(frame, frame + count)[:, column]
            done += count
        return gain * played

    before = max(0, event.start_frame - _SPECTRUM_FRAMES)
    if event.start_frame - before < _CLIP_FRAMES // 4:
        return there(start, stop)
    heard, played = read(before, event.start_frame), there(before, event.start_frame)
    power = float(np.sqrt((heard @ heard) * (played @ played)))
    return there(start, stop) if power and float(heard @ played) / power > _LEAST_CORRELATION else None


def _spectrum(
    read: _Read, start: int, length: int, rate_hz: int, hz: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the level of the strongest line near each frequency, shape of ``hz``."""
    if start < 0 or start + _SPECTRUM_FRAMES > length:
        return None
    power = _power(read(start, start + _SPECTRUM_FRAMES)[None])[0]
    edges = np.sqrt(hz[1:] * hz[:-1])
    bins = np.searchsorted(edges, np.arange(len(power)) * rate_hz / _SPECTRUM_FRAMES)
    strongest = np.full(len(hz), -np.inf)
    np.maximum.at(strongest, bins, power)
    known = np.isfinite(strongest)
    filled: NDArray[np.float64] = np.interp(np.arange(len(hz)), np.flatnonzero(known), strongest[known])
    return filled


def _spectrogram(read: _Read, length: int, rate_hz: int, event: Event) -> tuple[NDArray[np.float64], int, int]:
    """Return levels, shape (rows, columns), and which frames they cover."""
    wing = int(_GRAM_SECONDS * rate_hz)
    start = max(0, event.start_frame - wing)
    lasts = min(event.duration_frames + wing, int(_LONGEST_GRAM_SECONDS * rate_hz))
    stop = min(length, max(event.start_frame + lasts, start + 2 * _GRAM_FFT))
    x = read(start - _GRAM_FFT // 2, stop + _GRAM_FFT // 2)
    at = np.linspace(0, max(stop - start - 1, 0), _GRAM_COLUMNS).astype(np.int64)
    power = _power(x[at[:, None] + np.arange(_GRAM_FFT)])[:, 1:]
    rows: NDArray[np.float64] = power.reshape(len(power), _GRAM_ROWS, -1).max(axis=2).T
    return rows, start, stop - start


def _power(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return levels in dBFS of the lines of each row, shape (rows, frames // 2 + 1); a full-scale sine is 0."""
    window = np.hanning(rows.shape[1])
    lines = np.abs(np.fft.rfft(rows * window)) / (window.sum() / 2)
    levels: NDArray[np.float64] = np.maximum(20 * np.log10(np.maximum(lines, 1e-12)), _FLOOR_DBFS)
    return levels
