"""Streams of one format on one timeline, and the detector that judges them.

This is where frames meet a reference: packets or file blocks are written to the timeline, whole blocks that are settled
go to the detector, the channels' events are put together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.glance import Followed, Glance
from rtpverify.detect.merge import ChannelMerger
from rtpverify.detect.tone.bank import ToneBank
from rtpverify.detect.tone.settings import Settings, block_frames
from rtpverify.events import Event
from rtpverify.limits import Limits
from rtpverify.reference import Tone
from rtpverify.result import Signal
from rtpverify.timeline import Timeline

HISTORY_SECONDS = 2.2
"""How far back a detector may look: a second before a step, a second after it, and the blocks it is explaining."""
TOLERANCE_BLOCKS = 3


class Detector(Protocol):
    """What judges the rows of a timeline. A detector keeps one slot for every row."""

    def process(self, rows: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Judge the next ``count`` blocks of each of these rows, and consume them."""

    def finish(self, row: int, stop: int) -> None:
        """Judge what is left of a row that ends before frame ``stop``."""

    def restart(self, row: int, frame: int) -> None:
        """Judge what is left of a row before ``frame``, where its sender started over, and what follows anew."""

    def begin(self, row: int, frame: int) -> None:
        """Judge a row that has ended, or is new, from ``frame`` on."""

    def horizon(self, row: int) -> int:
        """Return the frame up to which every event of a row has been told."""

    def rows_with_events(self) -> set[int]:
        """Return the rows of which events have been told."""

    def take_events(self, row: int) -> list[tuple[int, Event]]:
        """Return the events told since the last call, each with its channel (from 0)."""

    def signal(self, row: int) -> list[Signal]:
        """Return what each channel of a row measured so far."""

    def present(self, row: int) -> list[Signal]:
        """Return what each channel of a row carries now."""

    def ever_acquired(self, row: int) -> bool:
        """Tell whether the reference was found on any channel of a row."""

    def glance(self, rows: NDArray[np.int64]) -> Glance:
        """Return what is seen of every channel of these rows at a glance."""

    def followed(self, row: int, channel: int) -> Followed:
        """Return what a channel (from 0) is held against now."""


@dataclass(frozen=True, slots=True)
class Format:
    """What streams must share to be judged together."""

    sample_rate_hz: int
    channels: int
    packet_frames: int
    block_frames: int


def tone_format(sample_rate_hz: int, channels: int, packet_frames: int, reference: Tone) -> Format:
    """Return the format group of a stream held against a tone."""
    frequencies = tuple(reference.frequency_hz(channel) for channel in range(channels))
    return Format(sample_rate_hz, channels, packet_frames, block_frames(sample_rate_hz, frequencies))


class Analysis:
    """All streams of one format, each a row.

    Parameters
    ----------
    form
        The format.
    ahead_frames
        How far the writer may run ahead of what is settled.
    dtype
        What samples are kept as (:class:`~rtpverify.timeline.Timeline`).
    """

    def __init__(self, form: Format, ahead_frames: int, dtype: type[np.float32 | np.float64] = np.float64) -> None:
        self.form = form
        history = max(int(HISTORY_SECONDS * form.sample_rate_hz), 16 * form.block_frames)
        # What is consumed at once must not push out of reach what a decision about its first block looks back to.
        self.timeline = Timeline(
            form.channels, form.block_frames, history + ahead_frames, ahead_frames, form.packet_frames, dtype
        )
        self._bank = ToneBank(self.timeline, form.sample_rate_hz)
        self._mergers: list[ChannelMerger] = []
        self._free: list[int] = []
        """Rows of streams that were removed."""

    @property
    def detector(self) -> Detector:
        """The detector of every row."""
        return self._bank

    def add(self, reference: Tone, limits: Limits, bits: int | None, *, companded: bool = False) -> int:
        """Add a stream; return its row."""
        form = self.form
        references = tuple(reference.frequency_hz(channel) for channel in range(form.channels))
        settings = [
            Settings(
                channel,
                form.sample_rate_hz,
                form.block_frames,
                form.packet_frames,
                bits,
                companded,
                references,
                limits,
            )
            for channel in range(form.channels)
        ]
        merger = ChannelMerger(form.channels, TOLERANCE_BLOCKS * form.block_frames)
        if self._free:
            row = self._free.pop()
            self.timeline.begin(row, 0)
            self._bank.replace(row, settings)
            self._mergers[row] = merger
        else:
            row = self.timeline.add()
            self._bank.add(row, settings)
            self._mergers.append(merger)
        return row

    def remove(self, row: int) -> None:
        """Give up a row that has been finished; a stream that is added later may get it."""
        self._free.append(row)

    def advance(self, rows: NDArray[np.int64], settled: NDArray[np.int64]) -> None:
        """Judge every whole block that lies before the settled frame of its row."""
        ready = settled // self.form.block_frames - self.timeline.consumed_block[rows]
        self.detector.process(rows, ready)

    def take_events(self) -> list[tuple[int, Event]]:
        """Return events that are new or have changed, each with its row."""
        told: list[tuple[int, Event]] = []
        waiting = {row for row, merger in enumerate(self._mergers) if merger.waiting}
        for row in sorted(waiting.union(self.detector.rows_with_events())):
            merger = self._mergers[row]
            for channel, event in self.detector.take_events(row):
                merger.add(channel, event)
            told += [(row, event) for event in merger.take(self.detector.horizon(row))]
        return told

    def restart(self, row: int, frame: int) -> list[Event]:
        """Judge a row before ``frame`` to its end and what follows anew; return the events that were left."""
        row_only = np.array([row])
        self.advance(row_only, np.array([frame]))
        self.detector.restart(row, frame)
        return self._take_rest(row)

    def begin(self, row: int, frame: int) -> None:
        """Judge a row that has ended, or is new, from ``frame`` on."""
        self.timeline.begin(row, frame // self.form.block_frames)
        self.detector.begin(row, frame)

    def finish(self, row: int, stop: int) -> list[Event]:
        """End a row before frame ``stop``; return the events that were left."""
        self.detector.finish(row, stop)
        return self._take_rest(row)

    def _take_rest(self, row: int) -> list[Event]:
        """Return all events of a row that has ended."""
        merger = self._mergers[row]
        for channel, event in self.detector.take_events(row):
            merger.add(channel, event)
        return merger.take(None)
