"""When the packets of streams arrive: senders that fall silent, and what :mod:`rtpverify.transport.timing` measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.failure import contained
from rtpverify.transport.placement import Break
from rtpverify.transport.rows import Groups, Rows, RowTable, group_by_stream
from rtpverify.transport.timing import Timing

TIMED_PACKETS = 8192
"""Packets whose timing is checked at a time: its cost is by the batch."""
STALL_PACKETS = 10
"""A stall is never shorter than this many packet times, and no stream has ended before they are over."""
DOWN_NS = 1_000_000_000
"""A stream has ended of which nothing comes for so long."""


@dataclass(slots=True)
class Accepted:
    """Accepted packets in order of arrival, shape (n,), and the breaks among them.

    ``sequence`` is extended, ``timestamp`` unwrapped; ``groups`` are the packets by stream, where that is known.
    """

    stream: NDArray[np.int64]
    sequence: NDArray[np.int64]
    timestamp: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    breaks: Sequence[Break] = ()
    groups: Groups | None = None

    def take(self, chosen: NDArray[np.bool_], breaks: Sequence[Break]) -> Accepted:
        """Return some of the packets, with these breaks.

        Parameters
        ----------
        chosen
            Which packets, shape (n,).
        breaks
            The breaks among them.

        Returns
        -------
        Accepted
            These packets, in the same order.
        """
        return Accepted(
            self.stream[chosen], self.sequence[chosen], self.timestamp[chosen], self.arrival_ns[chosen], breaks
        )


@dataclass(frozen=True, slots=True)
class Stall:
    """No packet came for too long, and then the next one; fields are those of that one."""

    stream: int
    sequence: int
    timestamp: int
    arrival_ns: int
    seconds: float


class Arrivals(Rows):
    """Follows the arrivals of any number of streams.

    Parameters
    ----------
    table
        Where the rows of streams come from.
    fail
        Takes what failed, and of which stream: one that is not at fault is followed again.

    Attributes
    ----------
    timing
        Jitter, drift and packet times as of the last :meth:`judge`.
    last_ns
        Latest arrival of each stream, whatever became of the packet, shape (streams,).
    down_ns
        For how long nothing comes of a stream that has ended, shape (streams,).
    """

    FRESH: ClassVar = {"last_ns": 0, "_accepted_ns": 0, "_accepted_sequence": -1, "_stall_ns": 0, "down_ns": DOWN_NS}
    last_ns: NDArray[np.int64]
    _accepted_ns: NDArray[np.int64]
    _accepted_sequence: NDArray[np.int64]
    _stall_ns: NDArray[np.int64]
    down_ns: NDArray[np.int64]

    def __init__(self, table: RowTable[Any], fail: Callable[[int | None, Exception], None]) -> None:
        self._fail = fail
        self._waiting: list[Accepted] = []
        self._waiting_packets = 0
        super().__init__(table)
        self.timing = Timing(table)

    def fresh_row(self, row: int) -> None:
        """Make a row fresh; what waits of the stream that had it before is checked first.

        Parameters
        ----------
        row
            Row of the stream.
        """
        self.judge()
        super().fresh_row(row)

    def begin(self, stream: int, first_arrival_ns: int, max_stall_seconds: float) -> None:
        """Follow a stream from its first packet on.

        Parameters
        ----------
        stream
            Index of the stream.
        first_arrival_ns
            Arrival of its first packet, in ns since the Unix epoch.
        max_stall_seconds
            Silence from which on it is a stall.
        """
        self.last_ns[stream] = self._accepted_ns[stream] = first_arrival_ns
        self._stall_ns[stream] = int(1e9 * max_stall_seconds)

    def set_format(self, stream: int, rate_hz: int, packet_frames: int, tsdf_window_seconds: float) -> None:
        """Set what the timing of a stream is measured by, before its first packet.

        Parameters
        ----------
        stream
            Index of the stream.
        rate_hz
            Clock rate: timestamp units a second; 0 where it is not known.
        packet_frames
            Frames of its packets.
        tsdf_window_seconds
            Window of the time-stamped delay factor.
        """
        self.timing.set_clock_rate(stream, rate_hz)
        self.timing.set_tsdf_window(stream, tsdf_window_seconds)
        self._wait_for_packets(stream, rate_hz, packet_frames)

    def change_format(self, stream: int, rate_hz: int, packet_frames: int) -> None:
        """Measure the timing of a stream by another clock rate from its next packet on; 0: by none.

        Parameters
        ----------
        stream
            Index of the stream.
        rate_hz
            Clock rate: timestamp units a second; 0 where it is not known.
        packet_frames
            Frames of its packets from then on.
        """
        self.judge()
        self.timing.change_clock_rate(stream, rate_hz)
        if rate_hz:
            self._wait_for_packets(stream, rate_hz, packet_frames)

    def _wait_for_packets(self, stream: int, rate_hz: int, packet_frames: int) -> None:
        """Take no silence for a stall, nor for an end, in which few packets were due."""
        packets_ns = STALL_PACKETS * packet_frames * 10**9 // rate_hz
        self._stall_ns[stream] = max(self._stall_ns[stream], packets_ns)
        self.down_ns[stream] = max(self.down_ns[stream], packets_ns)

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock that was set: what arrived before counts by the new one.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        self.judge()
        self.last_ns += by_ns
        self._accepted_ns += by_ns
        self.timing.shift_clock(by_ns)

    def may_follow_an_end(self, stream: NDArray[np.int64], arrival_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for which packets the stream may have ended before, shape (n,); False is certain.

        Parameters
        ----------
        stream
            Stream index of each packet, shape (n,).
        arrival_ns
            Arrival of each packet in ns since the Unix epoch, shape (n,), in order.

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        may: NDArray[np.bool_] = arrival_ns - self.last_ns[stream] >= self.down_ns[stream]
        return may

    def take(self, accepted: Accepted) -> list[Stall]:
        """Take in packets; return the silences that were too long and broke no sequence.

        The timing of many of them is checked at once.

        Parameters
        ----------
        accepted
            Packets in order of arrival.

        Returns
        -------
        list of Stall
            One for each packet that came too late after the one before it in sequence.
        """
        silences: list[Stall] = []
        self._try(lambda part: silences.extend(self._take(part)), accepted)
        if self._waiting_packets >= TIMED_PACKETS:
            self.judge()
        return silences

    def _try(self, take: Callable[[Accepted], object], accepted: Accepted) -> None:
        """Take in packets; where that fails, follow each stream of them again, by itself."""
        try:
            take(accepted)
            return
        except Exception as error:
            self._fail(None, error)
        for stream in np.unique(accepted.stream).tolist():
            self._accepted_sequence[stream] = -1
            self.timing.start_over(stream)
            mine = accepted.stream == stream
            breaks = [item for item in accepted.breaks if item.stream == stream]
            with contained(partial(self._fail, stream)):
                take(accepted.take(mine, breaks))

    def _take(self, accepted: Accepted) -> list[Stall]:
        self._waiting.append(accepted)
        self._waiting_packets += len(accepted.stream)
        if len(accepted.stream) == 0:
            return []
        groups = accepted.groups or group_by_stream(accepted.stream)
        of, first, last = accepted.stream[groups.rows], groups.first, groups.stop - 1
        at, sequence = accepted.arrival_ns[groups.rows], accepted.sequence[groups.rows]
        before, before_sequence = np.empty_like(at), np.empty_like(sequence)
        before[1:], before_sequence[1:] = at[:-1], sequence[:-1]
        before[first] = self._accepted_ns[groups.stream]
        before_sequence[first] = self._accepted_sequence[groups.stream]
        self._accepted_ns[groups.stream] = at[last]
        self._accepted_sequence[groups.stream] = sequence[last]
        silent = at - before > self._stall_ns[of]
        if not silent.any():
            return []
        silent &= sequence - before_sequence == 1
        return [
            Stall(
                stream=int(of[i]),
                sequence=int(sequence[i]),
                timestamp=int(accepted.timestamp[groups.rows][i]),
                arrival_ns=int(at[i]),
                seconds=int(at[i] - before[i]) / 1e9,
            )
            for i in np.flatnonzero(silent).tolist()
        ]

    def judge(self) -> None:
        """Bring jitter, drift and packet times up to date."""
        waiting, self._waiting, self._waiting_packets = self._waiting, [], 0
        if waiting:
            together = Accepted(
                np.concatenate([item.stream for item in waiting]),
                np.concatenate([item.sequence for item in waiting]),
                np.concatenate([item.timestamp for item in waiting]),
                np.concatenate([item.arrival_ns for item in waiting]),
                [item for accepted in waiting for item in accepted.breaks],
            )
            self._try(self._time, together)

    def _time(self, packets: Accepted) -> None:
        self.timing.update(packets.stream, packets.sequence, packets.timestamp, packets.arrival_ns, packets.breaks)
