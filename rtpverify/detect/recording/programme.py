"""The recording as the detector sees it: one channel at a time, once or repeatedly, and where a piece of it lies.

Positions count in frames of the recording; in a looped one they continue counting from pass to pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.align import HALF_TAPS, Interpolated, candidates, correlate, interpolate
from rtpverify.reference import ReferenceAudio

EDGE = 0.44
"""Share of the sample rate up to which interpolation is faithful."""
_EDGE_SLOPE = 0.045
SKETCH_HZ = 8000
"""Least sample rate of the copy in which a piece is looked for first."""
SECTION_SECONDS = 600
"""The copy is made and kept in sections of this length."""
SECTIONS_KEPT = 3
MOST_CANDIDATES = 32
_LEAST_CORRELATION = 0.4
"""In the sketch; what a true place keeps of 1 where sketches were not begun at the same frame."""


class Programme:
    """A recording that audio is compared with.

    Parameters
    ----------
    audio
        At the sample rate of the stream.
    sample_rate_hz
        That rate.
    looped
        Whether it is played repeatedly.
    in_step
        Whether frame n of a stream is known to be its frame n.
    """

    def __init__(self, audio: ReferenceAudio, sample_rate_hz: int, *, looped: bool, in_step: bool = False) -> None:
        self.audio = audio
        self.sample_rate_hz = sample_rate_hz
        self.looped = looped
        self.in_step = in_step
        self.frames = audio.frames
        self.channels = audio.channels
        self.is_whole = audio.bandwidth >= 0.5
        """Whether nothing was taken from the recording by resampling."""
        self.edge = min(EDGE, audio.bandwidth - _EDGE_SLOPE)
        """Share of the sample rate above which values between frames, and resampled ones, are not to be trusted."""
        self.decimation = max(1, sample_rate_hz // SKETCH_HZ)
        self._sections: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._section_frames = SECTION_SECONDS * sample_rate_hz // self.decimation * self.decimation

    def read(self, channel: int, start: int, stop: int) -> NDArray[np.float64]:
        """Return positions ``start`` to ``stop`` of a channel, shape (stop - start,).

        Parameters
        ----------
        channel
            Counted from 0.
        start
            First position.
        stop
            The one after the last.

        Returns
        -------
        NDArray[np.float64]
            Zeros outside the recording.
        """
        if not self.looped:
            return self.audio.read(start, stop)[:, channel]
        first = start % self.frames
        if first + stop - start <= self.frames:
            return self.audio.read(first, first + stop - start)[:, channel]
        parts = []
        while start < stop:
            first = start % self.frames
            count = min(stop - start, self.frames - first)
            parts.append(self.audio.read(first, first + count)[:, channel])
            start += count
        return np.concatenate(parts)

    def holds(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which of the positions from ``start`` to ``stop`` are of the recording, shape (stop - start,).

        Parameters
        ----------
        start
            First position.
        stop
            The one after the last.

        Returns
        -------
        NDArray[np.bool_]
            Whether each is.
        """
        held = np.ones(stop - start, np.bool_)
        if not self.looped:
            held[: max(0, -start)] = held[max(0, self.frames - start) :] = False
        return held

    def between(self, channel: int, position: NDArray[np.float64]) -> Interpolated:
        """Return the signal and its slope at rising positions between the frames, shape (n,).

        Parameters
        ----------
        channel
            Counted from 0.
        position
            Rising positions, shape (n,).

        Returns
        -------
        Interpolated
            Signal and slope, shape (n,) each.
        """
        first = int(np.rint(position[0])) - HALF_TAPS
        last = int(np.rint(position[-1])) + HALF_TAPS + 1
        return interpolate(self.read(channel, first, last), position - first)

    def distance(self, position: int, other: int) -> int:
        """Return how far ``position`` is ahead of another; in a loop the shorter way round.

        Parameters
        ----------
        position
            A position.
        other
            Another one.

        Returns
        -------
        int
            In frames; negative where it is before.
        """
        apart = position - other
        if not self.looped:
            return apart
        return (apart + self.frames // 2) % self.frames - self.frames // 2

    def places(self, piece: NDArray[np.float64], expected: int) -> Iterator[tuple[int, int]]:
        """Yield where a piece may begin, as channel and position, from the whole recording, the likeliest first.

        Sections are searched outwards from the expected position; positions are good to a few frames.

        Parameters
        ----------
        piece
            Of one channel, shape (n,).
        expected
            Where it is expected.

        Yields
        ------
        tuple[int, int]
            Channel and position.
        """
        sketch = _sketch(piece, self.decimation)
        for section in self._sections_around(expected):
            found: list[tuple[float, int, int]] = []
            for channel, whole in enumerate(self._section(section)):
                if len(whole) < len(sketch):
                    continue
                match = correlate(sketch, whole)
                found += [
                    (abs(item.correlation), channel, item.offset)
                    for item in candidates(match, MOST_CANDIDATES, apart=2, share=0.8)
                    if abs(item.correlation) > _LEAST_CORRELATION
                ]
            for _, channel, offset in sorted(found, reverse=True)[:MOST_CANDIDATES]:
                yield channel, section * self._section_frames + offset * self.decimation

    def _sections_around(self, position: int) -> list[int]:
        count = -(-self.frames // self._section_frames)
        here = (position % self.frames if self.looped else min(max(position, 0), self.frames - 1)) // (
            self._section_frames
        )
        return sorted(range(count), key=lambda section: abs(section - here))

    def _section(self, section: int) -> NDArray[np.float32]:
        """Return the sketch of a section and of what follows it, shape (channels, frames of the sketch)."""
        known = self._sections.get(section)
        if known is None:
            start = section * self._section_frames
            # A piece may begin in one section and end in the next, or in a loop in the first.
            overlap = 4 * self.sample_rate_hz
            stop = min(start + self._section_frames, self.frames)
            stop += overlap if self.looped or stop < self.frames else 0
            known = np.stack([self._sketched(channel, start, stop) for channel in range(self.channels)])
            self._sections[section] = known
            if len(self._sections) > SECTIONS_KEPT:
                self._sections.popitem(last=False)
        else:
            self._sections.move_to_end(section)
        return known

    def _sketched(self, channel: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return the sketch of a long stretch, made piece by piece."""
        parts = []
        step = 1 << 14
        for first in range(start, stop, step * self.decimation):
            last = min(first + step * self.decimation, stop) + _SPREAD * self.decimation
            parts.append(_sketch(self.read(channel, first, last), self.decimation))
        return np.concatenate(parts)


_SPREAD = 3
"""How far, in frames of the sketch, each of its frames reaches beyond its own."""


def _sketch(x: NDArray[np.float64], decimation: int) -> NDArray[np.float32]:
    """Return a low-passed copy at a fraction of the rate, differentiated: what is low and loud would hide the rest.

    Shape (len(x) // decimation - 3,).
    """
    window = np.hanning(_SPREAD * decimation + 2)[1:-1].reshape(_SPREAD, decimation).T
    rows = x[: len(x) // decimation * decimation].reshape(-1, decimation) @ window
    count = len(rows) - _SPREAD + 1
    low = sum((rows[k : k + count, k] for k in range(_SPREAD)), np.zeros(count))
    return np.diff(low).astype(np.float32)
