"""When packets arrive against when they should: jitter, delay variation, clock drift, stalls, packet time.

Times are arrival times in ns and unwrapped timestamps in frames, of accepted packets in order of arrival; the transit
time of a packet is its arrival less its media time, both since the stream's first packet. No figure depends on how the
input is cut into batches. What needs the clock rate is None while that is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rtpverify.transport.placement import Break
from rtpverify.transport.rows import Groups, Rows, RowTable, group_by_stream

TSDF_WINDOW_SECONDS = 0.2
DRIFT_BUCKETS = 128
"""Points a drift is fitted to."""
FIRST_BUCKET_NS = 10_000_000
"""Media time of a drift bucket at first; it doubles whenever they are used up."""
MIN_DRIFT_NS = 1_000_000_000
"""Time it takes to show a drift, by the media clock or, where that is far too slow, by the arrival clock."""
MIN_DRIFT_POINTS = 8
"""Points it takes to distinguish a slow clock from a pause, of which two points know nothing."""
MAX_DRIFT_SPREAD_PPM = 20.0
"""How far the middle half of the points may lie apart next to the line, over the time that they cover."""
MAX_DRIFT_SPREAD = 0.1
"""The same as part of the drift: a pause or a loss leaves two levels, which a line misses by a quarter of the step."""
INTERVAL_EDGES_NS = tuple(digit * 10**power for power in range(4, 10) for digit in (1, 2, 5))
"""Upper edges of the inter-arrival histogram, 10 µs to 5 s; a last bucket holds what is longer."""
STEADY_STEPS = 16
"""Packets one after the other with another packet time that make it the packet time."""
MAX_CHANGES = 16
"""Changes of packet time remembered per stream; all of them are counted."""
MAX_STEPS = 64
"""Different packet times remembered per stream."""
_DECAY = 15 / 16
_INTERVAL_EDGES_NS = np.array(INTERVAL_EDGES_NS)


@dataclass(slots=True)
class PacketTiming:
    """Timing of each packet, shape (n,), in the order given.

    Attributes
    ----------
    interval_ns
        Since the stream's packet before; -1 for its first one and the first one after a break.
    jitter_seconds
        Interarrival jitter so far (RFC 3550 A.8); nan where the clock rate is unknown.
    """

    interval_ns: NDArray[np.int64]
    jitter_seconds: NDArray[np.float64]


class Timing(Rows):
    """Timing of any number of streams.

    Parameters
    ----------
    table
        As :class:`~rtpverify.transport.rows.Rows`.
    tsdf_window_seconds
        Window of the time-stamped delay factor (EBU Tech 3337).
    """

    FRESH: ClassVar = {
        "_tsdf_window_ns": 0,
        "_rate": 0.0,
        "_started": False,
        "_sequence": 0,
        "_timestamp": 0,
        "_arrival": 0,
        "_first_timestamp": 0,
        "_first_arrival": 0,
        "_jitter": 0.0,
        "_max_jitter": -1.0,
        "_max_interval": -1,
        "_interval_sum_ns": 0,
        "_window_start": 0,
        "_window_low": np.inf,
        "_window_high": -np.inf,
        "_tsdf": -1.0,
        "_max_tsdf": -1.0,
        "_usual_step": 0,
        "_usual_count": 0,
        "_other_steps": lambda _: Counter(),
        "_run_step": 0,
        "_run_length": 0,
        "_steady_step": 0,
        "_changes": lambda _: [],
        "_change_count": 0,
        "_intervals": np.zeros(len(INTERVAL_EDGES_NS) + 1, np.int64),
        "_bucket_ns": FIRST_BUCKET_NS,
        "_bucket_time": np.zeros(DRIFT_BUCKETS),
        "_bucket_transit": np.full(DRIFT_BUCKETS, np.inf),
        "_earlier_drift": lambda _: None,
    }
    _tsdf_window_ns: NDArray[np.int64]
    _rate: NDArray[np.float64]
    _started: NDArray[np.bool_]
    # The packet before, and the first one since the last break.
    _sequence: NDArray[np.int64]
    _timestamp: NDArray[np.int64]
    _arrival: NDArray[np.int64]
    _first_timestamp: NDArray[np.int64]
    _first_arrival: NDArray[np.int64]
    _jitter: NDArray[np.float64]
    _max_jitter: NDArray[np.float64]
    """-1 until there is a jitter."""
    _max_interval: NDArray[np.int64]
    _interval_sum_ns: NDArray[np.int64]
    # Least and most transit in the current TS-DF window.
    _window_start: NDArray[np.int64]
    _window_low: NDArray[np.float64]
    _window_high: NDArray[np.float64]
    _tsdf: NDArray[np.float64]
    _max_tsdf: NDArray[np.float64]
    _usual_step: NDArray[np.int64]
    _usual_count: NDArray[np.int64]
    _other_steps: list[Counter[int]]
    # The step of the latest packets and how many had it, and the one that was steady before.
    _run_step: NDArray[np.int64]
    _run_length: NDArray[np.int64]
    _steady_step: NDArray[np.int64]
    _changes: list[list[tuple[float, float]]]
    _change_count: NDArray[np.int64]
    _intervals: NDArray[np.int64]
    # Least transit in each stretch of media time, and when.
    _bucket_ns: NDArray[np.int64]
    _bucket_time: NDArray[np.float64]
    _bucket_transit: NDArray[np.float64]
    _earlier_drift: list[float | None]

    def __init__(self, table: RowTable[Any] | None = None, *, tsdf_window_seconds: float = TSDF_WINDOW_SECONDS) -> None:
        self._default_window_ns = round(tsdf_window_seconds * 1e9)
        super().__init__(table)

    def fresh_row(self, row: int) -> None:
        """Give a stream a fresh row, without a clock rate.

        Parameters
        ----------
        row
            Row of the stream.
        """
        super().fresh_row(row)
        self._tsdf_window_ns[row] = self._default_window_ns

    def start_over(self, stream: int) -> None:
        """Measure a stream again, by the clock rate and window that it has.

        Parameters
        ----------
        stream
            Index of the stream.
        """
        rate_hz, window_ns = self._rate[stream], self._tsdf_window_ns[stream]
        self.fresh_row(stream)
        self._rate[stream], self._tsdf_window_ns[stream] = rate_hz, window_ns

    def set_clock_rate(self, stream: int, rate_hz: int) -> None:
        """Set how many timestamp units a second has, before the stream's first packet.

        Parameters
        ----------
        stream
            Index of the stream.
        rate_hz
            Clock rate: timestamp units a second; 0 where it is not known.
        """
        self._rate[stream] = rate_hz

    def clock_rate_hz(self, stream: int) -> int:
        """Return how many timestamp units a second has, 0 where that is not known.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        int
            Timestamp units a second.
        """
        return int(self._rate[stream])

    def change_clock_rate(self, stream: int, rate_hz: int) -> None:
        """Continue with another clock rate: jitter continues where there is one, drift and packet time are found again.

        Parameters
        ----------
        stream
            Index of the stream.
        rate_hz
            The clock rate from its next packet on; 0: none.
        """
        self._break(stream)
        self._rate[stream] = rate_hz
        for steps in (self._usual_step, self._usual_count, self._run_step, self._run_length, self._steady_step):
            steps[stream] = 0
        self._other_steps[stream].clear()

    def set_tsdf_window(self, stream: int, seconds: float) -> None:
        """Set the window of a stream's time-stamped delay factor, before its first packet.

        Parameters
        ----------
        stream
            Index of the stream.
        seconds
            Length of the window.
        """
        self._tsdf_window_ns[stream] = max(round(seconds * 1e9), 1)

    def update(
        self,
        stream: NDArray[np.int64],
        sequence: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
        breaks: Sequence[Break] = (),
    ) -> PacketTiming:
        """Take accepted packets in order of arrival.

        Parameters
        ----------
        stream, sequence, timestamp
            Stream index, extended sequence number and unwrapped timestamp, shape (n,).
        arrival_ns
            Arrival time, shape (n,).
        breaks
            Breaks of this update: delays before and after them are not compared.

        Returns
        -------
        PacketTiming
            Of each packet, in the order given.
        """
        if len(stream) == 0:
            return PacketTiming(np.zeros(0, np.int64), np.zeros(0))
        found = PacketTiming(np.zeros(len(stream), np.int64), np.zeros(len(stream)))
        start = 0
        at_row = []
        for item in breaks:
            behind = np.flatnonzero((stream == item.stream) & (sequence >= item.sequence))
            at_row.append((int(behind[0]) if len(behind) else len(stream), item.stream))
        for stop, broken in [*sorted(at_row), (len(stream), -1)]:
            part = slice(start, stop)
            if stop > start:
                part_found = self._update(stream[part], sequence[part], timestamp[part], arrival_ns[part])
                found.interval_ns[part] = part_found.interval_ns
                found.jitter_seconds[part] = part_found.jitter_seconds
            start = stop
            if broken >= 0:
                self._break(broken)
        return found

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock that was set: what arrived before counts by the new one.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        self._arrival += by_ns
        self._first_arrival += by_ns
        self._window_start += by_ns

    def jitter_seconds(self, stream: int) -> float | None:
        """Return the interarrival jitter (RFC 3550 A.8) as it is.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            None before two packets of a known clock rate.
        """
        return float(self._jitter[stream]) if self._max_jitter[stream] >= 0 else None

    def max_jitter_seconds(self, stream: int) -> float | None:
        """Return the most that the interarrival jitter has been.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            None before two packets of a known clock rate.
        """
        return float(self._max_jitter[stream]) if self._max_jitter[stream] >= 0 else None

    def longest_interval_seconds(self, stream: int) -> float | None:
        """Return the longest time between two packets that came one after the other.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            None before two packets.
        """
        return float(self._max_interval[stream]) / 1e9 if self._has_interval(stream) else None

    def mean_interval_seconds(self, stream: int) -> float | None:
        """Return the mean time between two packets that came one after the other.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            None before two packets.
        """
        count = int(self._intervals[stream].sum())
        return float(self._interval_sum_ns[stream]) / count / 1e9 if count else None

    def tsdf_seconds(self, stream: int) -> float | None:
        """Return the time-stamped delay factor of the last whole window (EBU Tech 3337).

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            None before the first window is over.
        """
        return float(self._tsdf[stream]) / 1e9 if self._tsdf[stream] >= 0 else None

    def max_tsdf_seconds(self, stream: int) -> float | None:
        """Return the largest time-stamped delay factor of a whole window.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            None before the first window is over.
        """
        return float(self._max_tsdf[stream]) / 1e9 if self._max_tsdf[stream] >= 0 else None

    def intervals(self, stream: int) -> list[int]:
        """Return how many inter-arrival times there were up to each of the edges, and beyond the last.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        list of int
            One count for each of ``INTERVAL_EDGES_NS``, and one more.
        """
        counts: list[int] = self._intervals[stream].tolist()
        return counts

    def packet_time_changes(self, stream: int) -> tuple[int, list[tuple[float, float]]]:
        """Return how often the packet time changed for good, and the first changes as seconds before and after.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        tuple[int, list[tuple[float, float]]]
            The number of changes, and at most ``MAX_CHANGES`` of them.
        """
        return int(self._change_count[stream]), list(self._changes[stream])

    def packet_frames(self, stream: int) -> int | None:
        """Return the packet time in frames: the most frequent timestamp step between neighbours in sequence.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        int or None
            None before two packets that follow each other.
        """
        steps = self._other_steps[stream] + Counter({int(self._usual_step[stream]): int(self._usual_count[stream])})
        return max(steps, key=lambda step: (steps[step], -step)) if steps else None

    def packet_time_seconds(self, stream: int) -> float | None:
        """Return the packet time.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            None where it, or the clock rate, is not known.
        """
        frames = self.packet_frames(stream)
        return frames / float(self._rate[stream]) if frames and self._rate[stream] else None

    def clock_drift_ppm(self, stream: int) -> float | None:
        """Return how fast the sender's media clock runs against the arrival clock; positive: fast.

        The median slope between points of the lower envelope of the transit time (Theil and Sen), so that neither
        jitter nor outliers pull at it. None before a second, where arrival times do not advance, and
        where the points lie on no line: while jitter is too much for the time so far, or where the delay made a step.

        Parameters
        ----------
        stream
            Index of the stream.

        Returns
        -------
        float or None
            Parts per million.
        """
        drift = self._fitted_drift_ppm(stream)
        return self._earlier_drift[stream] if drift is None else drift

    def _has_interval(self, stream: int) -> bool:
        return bool(self._max_interval[stream] >= 0)

    def _break(self, stream: int) -> None:
        """Compare nothing after here with what was before."""
        self._earlier_drift[stream] = self.clock_drift_ppm(stream)
        self._started[stream] = False
        self._clear_buckets(stream)

    def _clear_buckets(self, stream: int) -> None:
        self._bucket_ns[stream] = FIRST_BUCKET_NS
        self._bucket_transit[stream] = np.inf

    def _update(
        self,
        stream: NDArray[np.int64],
        sequence: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
    ) -> PacketTiming:
        groups = group_by_stream(stream)
        of, first, last, rows = groups.stream, groups.first, groups.stop - 1, groups.rows
        sequence, timestamp, arrival_ns = sequence[rows], timestamp[rows], arrival_ns[rows]
        started = self._started[of]
        self._begin(of[~started], timestamp[first[~started]], arrival_ns[first[~started]])

        interval = _steps(arrival_ns, first, self._arrival[of])
        frames = _steps(timestamp, first, self._timestamp[of])
        neighbour = _steps(sequence, first, self._sequence[of]) == 1
        fresh = first[~started]
        neighbour[fresh] = False
        self._count_steps(groups, frames, neighbour)

        known = self._rate[of] > 0
        rate = np.repeat(np.where(known, self._rate[of], np.nan), groups.count)
        variation = np.abs(interval / 1e9 - frames / rate)
        variation[fresh] = self._jitter[of[~started]]
        interval[fresh] = -1
        self._count_intervals(np.repeat(of, groups.count), interval)
        jitter = _smooth(variation, groups, self._jitter[of])
        media_ns = (timestamp - np.repeat(self._first_timestamp[of], groups.count)) * 1e9 / rate
        transit_ns = arrival_ns - np.repeat(self._first_arrival[of], groups.count) - media_ns

        self._sequence[of], self._timestamp[of], self._arrival[of] = sequence[last], timestamp[last], arrival_ns[last]
        self._started[of] = True
        self._jitter[of[known]] = jitter[last[known]]
        measured = known & (started | (groups.count > 1))
        most = np.fmax.reduceat(jitter, first)[measured]
        self._max_jitter[of[measured]] = np.maximum(self._max_jitter[of[measured]], most)
        self._max_interval[of] = np.maximum(self._max_interval[of], np.maximum.reduceat(interval, first))
        self._follow_windows(groups, known, arrival_ns, transit_ns)
        self._fill_buckets(np.repeat(of, groups.count), media_ns, transit_ns)

        found = PacketTiming(np.empty_like(interval), np.empty_like(jitter))
        found.interval_ns[rows] = interval
        found.jitter_seconds[rows] = jitter
        return found

    def _begin(self, of: NDArray[np.int64], timestamp: NDArray[np.int64], arrival_ns: NDArray[np.int64]) -> None:
        """Take the first packets of streams."""
        self._timestamp[of] = self._first_timestamp[of] = timestamp
        self._arrival[of] = self._first_arrival[of] = self._window_start[of] = arrival_ns
        self._window_low[of] = np.inf
        self._window_high[of] = -np.inf

    def _count_steps(self, groups: Groups, frames: NDArray[np.int64], neighbour: NDArray[np.bool_]) -> None:
        """Count timestamp steps between neighbours in sequence."""
        of = groups.stream
        self._follow_steady(groups, frames, neighbour)
        usual = neighbour & (frames == np.repeat(self._usual_step[of], groups.count))
        self._usual_count[of] += np.add.reduceat(usual, groups.first)
        other = neighbour & ~usual
        if not other.any():
            return
        for group in np.flatnonzero(np.logical_or.reduceat(other, groups.first)).tolist():
            stream, part = int(of[group]), slice(int(groups.first[group]), int(groups.stop[group]))
            found = frames[part][other[part]]
            steps, at, count = np.unique(found, return_index=True, return_counts=True)
            counter = self._other_steps[stream]
            for i in np.argsort(at).tolist():
                step = int(steps[i])
                if step in counter or len(counter) < MAX_STEPS:
                    counter[step] += int(count[i])
            # From now on the fast way counts the step that is the most frequent so far.
            best, most = max(counter.items(), key=lambda item: (item[1], -item[0]))
            if most > self._usual_count[stream]:
                counter[int(self._usual_step[stream])] += int(self._usual_count[stream])
                del counter[best]
                self._usual_step[stream], self._usual_count[stream] = best, most

    def _count_intervals(self, of: NDArray[np.int64], interval_ns: NDArray[np.int64]) -> None:
        """Count inter-arrival times; -1 is none."""
        known = interval_ns >= 0
        buckets = self._intervals.shape[1]
        slot = of[known] * buckets + np.searchsorted(_INTERVAL_EDGES_NS, interval_ns[known])
        self._intervals += np.bincount(slot, minlength=self._intervals.size).reshape(self._intervals.shape)
        # Sums below 2**53 ns, 104 days between two packets of one batch, are exact in double precision.
        sums = np.bincount(of[known], interval_ns[known], len(self._interval_sum_ns))
        self._interval_sum_ns += sums.astype(np.int64)

    def _follow_steady(self, groups: Groups, frames: NDArray[np.int64], neighbour: NDArray[np.bool_]) -> None:
        """See packet times that change for good."""
        of, first = groups.stream, groups.first
        goes_on = frames == np.repeat(self._run_step[of], groups.count)
        same = np.logical_and.reduceat(goes_on | ~neighbour, first)
        self._run_length[of[same]] += np.add.reduceat(neighbour, first, dtype=np.int64)[same]
        for group in np.flatnonzero(~same).tolist():
            stream, part = int(of[group]), slice(int(first[group]), int(groups.stop[group]))
            steps = frames[part][neighbour[part]]
            ends = np.append(np.flatnonzero(np.diff(steps)), len(steps) - 1)
            for step, length in zip(steps[ends].tolist(), np.diff(ends, prepend=-1).tolist(), strict=True):
                before = int(self._run_length[stream]) if step == self._run_step[stream] else 0
                self._run_step[stream], self._run_length[stream] = step, before + length
                self._note_steady(stream)
        for stream in of[same & (self._run_step[of] != self._steady_step[of])].tolist():
            self._note_steady(stream)

    def _note_steady(self, stream: int) -> None:
        """Take the step of the latest packets for the packet time once there are enough of them."""
        step, steady = int(self._run_step[stream]), int(self._steady_step[stream])
        if step == steady or step <= 0 or self._run_length[stream] < STEADY_STEPS:
            return
        self._steady_step[stream] = step
        rate = float(self._rate[stream])
        if steady and rate:
            self._change_count[stream] += 1
            if len(self._changes[stream]) < MAX_CHANGES:
                self._changes[stream].append((steady / rate, step / rate))

    def _follow_windows(
        self,
        groups: Groups,
        known: NDArray[np.bool_],
        arrival_ns: NDArray[np.int64],
        transit_ns: NDArray[np.float64],
    ) -> None:
        """Widen the span of transit times, window by window; a window starts with the first packet past the last."""
        at = np.flatnonzero(known)
        of, start, stop = groups.stream[at], groups.first[at], groups.stop[at]
        if not len(at):
            return
        # Nothing before the first packet of a window is past its end: the latest arrival so far finds that packet.
        latest_ns, origin_ns, last_ns = _latest_so_far(groups, arrival_ns)
        origin_ns, last_ns = origin_ns[at], last_ns[at]
        windows = []
        while len(of):
            end_ns = np.minimum(self._window_start[of] + self._tsdf_window_ns[of] + origin_ns, last_ns + 1)
            end = np.clip(np.searchsorted(latest_ns, end_ns), start, stop)
            windows.append((of, start, end, end < stop))
            whole = end < stop
            of, start, stop, origin_ns, last_ns = (each[whole] for each in (of, end, stop, origin_ns, last_ns))
            self._window_start[of] = arrival_ns[start]
        of, start, end, whole = (np.concatenate(parts) for parts in zip(*windows, strict=True))
        low, high = np.full(len(of), np.inf), np.full(len(of), -np.inf)
        some = np.flatnonzero(end > start)
        # After the last row is what changes nothing: a window may end there.
        transit_ns, stretches = np.append(transit_ns, np.nan), _ends(start[some], end[some])
        low[some] = np.fmin.reduceat(transit_ns, stretches)[::2] if len(some) else 0.0
        high[some] = np.fmax.reduceat(transit_ns, stretches)[::2] if len(some) else 0.0
        going_on = slice(len(at))
        low[going_on] = np.fmin(low[going_on], self._window_low[of[going_on]])
        high[going_on] = np.fmax(high[going_on], self._window_high[of[going_on]])
        # Windows of a stream are in order: the last value stays.
        self._window_low[of], self._window_high[of] = low, high
        span = high[whole] - low[whole]
        self._tsdf[of[whole]] = span
        np.maximum.at(self._max_tsdf, of[whole], span)

    def _fill_buckets(
        self, stream: NDArray[np.int64], media_ns: NDArray[np.float64], transit_ns: NDArray[np.float64]
    ) -> None:
        """Keep the least transit of each stretch of media time; of equal ones the first."""
        usable = np.flatnonzero(media_ns >= 0)
        stream, media_ns, transit_ns = stream[usable], media_ns[usable], transit_ns[usable]
        bucket = (media_ns / self._bucket_ns[stream]).astype(np.int64)
        while (beyond := bucket >= DRIFT_BUCKETS).any():
            for full in np.unique(stream[beyond]).tolist():
                self._halve_buckets(full)
            bucket = (media_ns / self._bucket_ns[stream]).astype(np.int64)
        less = np.flatnonzero(transit_ns < self._bucket_transit[stream, bucket])
        if len(less) == 0:
            return
        # Where a place is assigned to twice the last one stays: the least, and the first of equal ones.
        less = less[np.lexsort((-less, -transit_ns[less]))]
        self._bucket_transit[stream[less], bucket[less]] = transit_ns[less]
        self._bucket_time[stream[less], bucket[less]] = media_ns[less]

    def _halve_buckets(self, stream: int) -> None:
        """Join drift buckets in pairs."""
        pairs = self._bucket_transit[stream].reshape(-1, 2)
        least = (np.arange(DRIFT_BUCKETS // 2), pairs.argmin(axis=1))
        transit, time = pairs[least], self._bucket_time[stream].reshape(-1, 2)[least]
        self._bucket_transit[stream] = np.concatenate([transit, np.full(DRIFT_BUCKETS // 2, np.inf)])
        self._bucket_time[stream] = np.concatenate([time, np.zeros(DRIFT_BUCKETS // 2)])
        self._bucket_ns[stream] *= 2

    def _fitted_drift_ppm(self, stream: int) -> float | None:
        """Fit the drift to the points since the last break."""
        filled = np.flatnonzero(np.isfinite(self._bucket_transit[stream]))
        time, transit = self._bucket_time[stream, filled], self._bucket_transit[stream, filled]
        if len(filled) < 2:
            return None
        media_ns = float(time[-1] - time[0])
        arrival_ns = media_ns + float(transit[-1] - transit[0]) if len(filled) >= MIN_DRIFT_POINTS else 0.0
        if max(media_ns, arrival_ns) < MIN_DRIFT_NS:
            return None
        one, other = _distant_pairs(len(filled))
        slopes = (transit[other] - transit[one]) / (time[other] - time[one])
        middle = [(len(slopes) - 1) // 2, len(slopes) // 2]
        slope = float(np.partition(slopes, middle)[middle].mean())  # the median; np.median takes its time
        if slope <= -1:
            return None
        drift_ppm = -1e6 * slope / (1 + slope)
        quarters = [len(filled) // 4, 3 * len(filled) // 4]
        low, high = np.partition(transit - slope * time, quarters)[quarters]
        spread_ppm = 1e6 * float(high - low) / float(time[-1] - time[0])
        return drift_ppm if spread_ppm <= max(MAX_DRIFT_SPREAD_PPM, MAX_DRIFT_SPREAD * abs(drift_ppm)) else None


@lru_cache(maxsize=DRIFT_BUCKETS)
def _distant_pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return every pair of ``n`` points that half of them lie between."""
    return np.triu_indices(n, max(n // 2, 1))


def _latest_so_far(
    groups: Groups, arrival_ns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the latest arrival in each group so far, shape (n,), on a clock on which groups follow one another.

    Also what has to be added to times of each group, and its latest arrival on that clock, shape (groups,).
    """
    earliest, latest = (extreme.reduceat(arrival_ns, groups.first) for extreme in (np.minimum, np.maximum))
    length_ns = latest - earliest + 1
    origin_ns = np.cumsum(length_ns) - length_ns - earliest
    on_clock = arrival_ns + np.repeat(origin_ns, groups.count)
    return np.maximum.accumulate(on_clock), origin_ns, latest + origin_ns


def _ends(start: NDArray[np.intp], stop: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the indices for ``reduceat`` at which stretches start and stop; every other result is of a stretch."""
    return np.stack([start, stop], axis=1).reshape(-1)


def _steps(values: NDArray[np.int64], first: NDArray[np.intp], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each value less the one before in its group; ``before`` is before the groups."""
    steps = np.empty_like(values)
    np.subtract(values[1:], values[:-1], out=steps[1:])
    steps[first] = values[first] - before
    return steps


def _smooth(values: NDArray[np.float64], groups: Groups, before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return j += (value - j) / 16 after each value of each group, with j from ``before``."""
    smoothed = values * (1 - _DECAY)
    smoothed[groups.first] += _DECAY * before
    position = np.arange(len(values)) - np.repeat(groups.first, groups.count)
    # Sums over 2, 4, 8, … values; what lies 1024 back weighs less than the last bit.
    reach = 1
    while reach < min(int(position.max()) + 1, 1024):
        smoothed[reach:] += np.where(position[reach:] >= reach, _DECAY**reach * smoothed[:-reach], 0.0)
        reach *= 2
    return smoothed
