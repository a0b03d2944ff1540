"""Ring buffers on the media timeline: frames where they belong, holes known.

One :class:`Timeline` holds all streams of one shape (channels, block length). Samples are planar with full
scale ±1.0; frames count from each stream's own origin. A stream's ring remembers ``capacity`` frames; each frame is
either valid or a hole. The writer never runs further ahead than ``capacity`` minus the kept history.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

FIRST_ROWS = 1
"""Rings made at first."""
GROWTH = 4
"""How many times as many rings are made when they are used up."""
MAX_SHIFTS = 1024
"""Jumps of a stream's timestamp that are remembered; events are reported within seconds."""


class Timeline:
    """Planar rings of many streams.

    Parameters
    ----------
    channels
        Channels of every stream.
    block_frames
        Length of an analysis block; blocks start at multiples of it.
    history_frames
        How late after the last consumed block frames stay readable.
    ahead_frames
        How far past the last consumed block frames may be written.
    packet_frames
        Frames of the usual packet, where there are packets: writes of this length on its grid are plain row copies.
    dtype
        What samples are kept as; what is read is float64 always. float32 holds every encoding of RTP exactly.
    """

    def __init__(
        self,
        channels: int,
        block_frames: int,
        history_frames: int,
        ahead_frames: int,
        packet_frames: int = 1,
        dtype: type[np.float32 | np.float64] = np.float64,
    ) -> None:
        self.channels = channels
        self.block_frames = block_frames
        self.packet_frames = packet_frames
        grain = math.lcm(block_frames, packet_frames)
        wanted = history_frames + ahead_frames + 2 * block_frames
        if grain > 2 * wanted:
            grain = block_frames
        self.capacity = -(-wanted // grain) * grain
        self._on_grid = self.capacity % packet_frames == 0 and packet_frames > 1
        self._history_blocks = -(-history_frames // block_frames)
        self.streams = 0
        """Number of streams."""
        # There may be more rows than streams: memory that is not touched costs nothing, copies of rings do.
        self._data: NDArray[np.float32 | np.float64] = np.zeros((FIRST_ROWS, channels, self.capacity), dtype)
        self._valid = np.zeros((FIRST_ROWS, self.capacity), np.bool_)
        self.consumed_block = np.zeros(0, np.int64)
        """First block of each stream that has not been consumed yet."""

    def add(self) -> int:
        """Add a stream whose timeline starts at frame 0; return its row.

        Returns
        -------
        int
            The row.
        """
        if self.streams == len(self._data):
            data, valid = self._by_block()
            self._data = np.zeros((GROWTH * len(data), *self._data.shape[1:]), data.dtype)
            self._valid = np.zeros((GROWTH * len(data), self.capacity), np.bool_)
            row, block = np.nonzero(valid.any(axis=2))
            longer, longer_valid = self._by_block()
            # Rings of streams that brought little are not touched, which makes all the difference in a flood of them.
            for channel in range(self.channels):
                longer[row, channel, block] = data[row, channel, block]
            longer_valid[row, block] = valid[row, block]
        self.consumed_block = np.append(self.consumed_block, 0)
        self.streams += 1
        return self.streams - 1

    def _by_block(self) -> tuple[NDArray[np.float32 | np.float64], NDArray[np.bool_]]:
        """Return views of the rings, shape (rows, channels, blocks, frames), and of what is valid, without channels."""
        rows, per_ring = len(self._data), self.capacity // self.block_frames
        data = self._data.reshape(rows, self.channels, per_ring, self.block_frames)
        return data, self._valid.reshape(rows, per_ring, self.block_frames)

    def begin(self, row: int, block: int) -> None:
        """Let a stream's timeline begin at a block, with nothing but holes before and after it.

        Parameters
        ----------
        row
            Row of the stream.
        block
            Index of the first block, counted from frame 0.
        """
        self._valid[row] = False
        self.consumed_block[row] = block

    def limits(self, row: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return first and one-past-last frame that may be written, for each row.

        Parameters
        ----------
        row
            Row of each stream, shape (n,).

        Returns
        -------
        tuple[NDArray[np.int64], NDArray[np.int64]]
            Two arrays of shape (n,): the first frame that may be written, and the one after the last.
        """
        start = self.consumed_block[row] * self.block_frames
        oldest = np.maximum(start - self._history_blocks * self.block_frames, 0)
        return start, oldest + self.capacity

    def write(self, row: NDArray[np.int64], frame: NDArray[np.int64], samples: NDArray[np.float32 | np.float64]) -> int:
        """Write packets of equal length.

        Parameters
        ----------
        row, frame
            Stream and first frame of each packet, shape (n,).
        samples
            Shape (n, frames, channels).

        Returns
        -------
        int
            Packets that lay outside the writable span and were omitted.
        """
        frames = samples.shape[1]
        low, high = self.limits(row)
        inside = (frame >= low) & (frame + frames <= high)
        left_out = 0
        if not inside.all():
            left_out = len(row) - int(np.count_nonzero(inside))
            row, frame, samples = row[inside], frame[inside], samples[inside]
        if len(row) == 0:
            return left_out
        planar = samples.transpose(0, 2, 1)
        if self._on_grid and frames == self.packet_frames and not (frame % frames).any():
            slot = frame // frames % (self.capacity // frames)
            self._data.reshape(len(self._data), self.channels, -1, frames)[row, :, slot] = planar
            self._valid.reshape(len(self._data), -1, frames)[row, slot] = True
            return left_out
        position = (frame[:, None] + np.arange(frames)) % self.capacity
        for channel in range(self.channels):
            self._data[row[:, None], channel, position] = planar[:, channel]
        self._valid[row[:, None], position] = True
        return left_out

    def write_run(self, row: int, frame: int, samples: NDArray[np.float64]) -> None:
        """Write one long run of frames, shape (n, channels), of a source that has no packets.

        Parameters
        ----------
        row
            Row of the stream.
        frame
            Where the run begins.
        samples
            Full scale ±1.0, shape (n, channels).
        """
        planar = samples.T
        start = frame % self.capacity
        head = min(len(samples), self.capacity - start)
        self._data[row, :, start : start + head] = planar[:, :head]
        self._valid[row, start : start + head] = True
        if head < len(samples):
            self._data[row, :, : len(samples) - head] = planar[:, head:]
            self._valid[row, : len(samples) - head] = True

    def blocks(
        self, row: NDArray[np.int64], first_block: NDArray[np.int64], count: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return ``count`` blocks, one at least, from ``first_block`` of each row.

        Samples have shape (n, channels, max(count), block_frames), their validity (n, max(count), block_frames); in
        rows that have fewer blocks the last one is in the place of the others.

        Parameters
        ----------
        row
            Row of each stream, shape (n,).
        first_block
            Index of the first block of each row, shape (n,).
        count
            Blocks wanted of each row, at least 1, shape (n,).

        Returns
        -------
        tuple[NDArray[np.float64], NDArray[np.bool_]]
            Samples of shape (n, channels, max(count), block_frames), and which of them are valid, shape (n, max(count),
            block_frames).
        """
        data, valid = self._by_block()
        slot = (first_block[:, None] + np.minimum(np.arange(count.max()), count[:, None] - 1)) % data.shape[2]
        channel = np.arange(self.channels)
        blocks = data[row[:, None, None], channel[None, :, None], slot[:, None, :]]
        return blocks.astype(np.float64, copy=False), valid[row[:, None], slot]

    def stretch(
        self, row: int, first_block: int, count: int
    ) -> tuple[NDArray[np.float32 | np.float64], NDArray[np.bool_]]:
        """Return blocks of one row as they are kept, not copied where they lie one after another, and which are whole.

        Parameters
        ----------
        row
            Row of the stream.
        first_block
            Index of the first block.
        count
            Blocks wanted.

        Returns
        -------
        tuple[NDArray[np.float32 or np.float64], NDArray[np.bool_]]
            Samples of shape (channels, count, block_frames), only to be read and only until the next write, and
            whether every frame of a block is valid, shape (count,).
        """
        data, valid = self._by_block()
        per_ring = data.shape[2]
        start = first_block % per_ring
        if start + count <= per_ring:
            there = valid[row, start : start + count]
            # All of them at once takes a fraction of the time.
            whole = np.ones(count, np.bool_) if there.all() else np.asarray(there.all(axis=1))
            return data[row, :, start : start + count], whole
        slot = np.arange(first_block, first_block + count) % per_ring
        return data[row][:, slot], np.asarray(valid[row, slot].all(axis=1))

    def consume(self, row: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Step past ``count`` blocks of each row; what falls out of the history becomes a hole for later frames.

        Parameters
        ----------
        row
            Row of each stream, shape (n,).
        count
            Blocks to step past, shape (n,).
        """
        per_ring = self.capacity // self.block_frames
        first = self.consumed_block[row] - self._history_blocks
        forgotten = first[:, None] + np.arange(count.max())
        _, valid = self._by_block()
        rows, columns = np.nonzero((forgotten >= 0) & (forgotten < (first + count)[:, None]))
        valid[row[rows], forgotten[rows, columns] % per_ring] = False
        self.consumed_block[row] += count

    def read(self, row: int, channel: int, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return frames ``start`` to ``stop`` of one channel and which of them are valid; both are copies.

        Frames that have left the history, or are not there yet, read as holes.

        Parameters
        ----------
        row
            Row of the stream.
        channel
            Channel, from 0.
        start
            First frame.
        stop
            Frame after the last one.

        Returns
        -------
        tuple[NDArray[np.float64], NDArray[np.bool_]]
            Samples and their validity, both of shape (stop - start,).
        """
        oldest = max(0, (int(self.consumed_block[row]) - self._history_blocks) * self.block_frames)
        first = start % self.capacity
        if oldest <= start and stop <= oldest + self.capacity and first + stop - start <= self.capacity:
            part = slice(first, first + stop - start)
            return self._data[row, channel, part].astype(np.float64), self._valid[row, part].copy()
        position = np.arange(start, stop)
        inside = (position >= oldest) & (position < oldest + self.capacity)
        position %= self.capacity
        samples = self._data[row, channel, position].astype(np.float64, copy=False)
        return samples, self._valid[row, position] & inside


class MediaTime:
    """Where the frames of one stream lie on its media timeline.

    Frames are kept one after another whatever the sender's numbers do. Events count on the unwrapped RTP timestamp
    instead: after a timestamp jump frames move with it, as far as that has a meaning. A restart or another SSRC begins
    with any timestamp; there the timeline continues directly, and so it does where a jump would lead before frame 0.
    """

    def __init__(self) -> None:
        self._from: list[int] = []
        self._shift: list[int] = []

    def jump(self, frame: int, by_frames: int) -> None:
        """Take in that the timestamp jumped at ``frame``, as frames are kept.

        Parameters
        ----------
        frame
            First frame after the jump, as frames are kept.
        by_frames
            How far the timestamp is ahead of its place there; negative where it went back.
        """
        shift = (self._shift[-1] if self._shift else 0) + by_frames
        if frame + shift < 0:
            return
        self._from.append(frame)
        self._shift.append(shift)
        del self._from[:-MAX_SHIFTS], self._shift[:-MAX_SHIFTS]

    def shift(self, frame: int) -> int:
        """Return how far frames are shifted from ``frame``, as they are kept, on.

        Parameters
        ----------
        frame
            Frame as frames are kept.

        Returns
        -------
        int
            Frames to add.
        """
        index = bisect_right(self._from, frame)
        return self._shift[index - 1] if index else 0

    def kept(self, frame: int) -> int:
        """Return where a frame of the media timeline lies as frames are kept; the latest place where it has several.

        Parameters
        ----------
        frame
            Frame of the media timeline.

        Returns
        -------
        int
            Frame as frames are kept.
        """
        for start, shift in zip(reversed(self._from), reversed(self._shift), strict=True):
            if frame - shift >= start:
                return frame - shift
        return frame
