"""Jitter, drift, delay factor and packet time against plain recursions and real captures."""

import os
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtpverify.transport.placement import Discontinuity, Jump
from rtpverify.transport.timing import MAX_CHANGES, STEADY_STEPS, PacketTiming, Timing
from tests.helpers.memory import held_bytes

SECOND = 1_000_000_000
FIGURES = (
    "jitter_seconds",
    "max_jitter_seconds",
    "longest_interval_seconds",
    "tsdf_seconds",
    "max_tsdf_seconds",
    "packet_frames",
    "packet_time_seconds",
    "clock_drift_ppm",
)


def figures(timing: Timing, stream: int = 0) -> list[float | None]:
    return [getattr(timing, name)(stream) for name in FIGURES]


def rated(*rates_hz: int, tsdf_window_seconds: float = 0.2) -> Timing:
    timing = Timing(tsdf_window_seconds=tsdf_window_seconds)
    for stream, rate_hz in enumerate(rates_hz):
        timing.fresh_row(stream)
        timing.set_clock_rate(stream, rate_hz)
    return timing


def feed(
    timing: Timing, arrival_ns: NDArray[np.int64], frames: int = 48, stream: int = 0, first: int = 0
) -> PacketTiming:
    number = np.arange(first, first + len(arrival_ns))
    return timing.update(np.full(len(number), stream), number, number * frames, arrival_ns)


def jitter_of(timestamp: NDArray[np.int64], arrival_ns: NDArray[np.int64], rate_hz: int) -> list[float]:
    """RFC 3550 A.8 as it is written, in timestamp units."""
    jitter, found, transit = 0.0, [0.0], arrival_ns[0] * 1e-9 * rate_hz - timestamp[0]
    for arrival, time in zip(arrival_ns[1:].tolist(), timestamp[1:].tolist(), strict=True):
        now = arrival * 1e-9 * rate_hz - time
        jitter += (abs(now - transit) - jitter) / 16
        transit = now
        found.append(jitter / rate_hz)
    return found


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(0, 1500), max_size=20))
def test_jitter_equals_the_recursion_over_streams_and_cuts(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    rates = (48_000, 8_000, 44_100)
    n = 1500
    stream = rng.choice(3, n, p=[0.9, 0.05, 0.05])
    arrival = np.sort(rng.integers(0, 4 * SECOND, n))
    number = np.zeros(n, np.int64)
    for i in range(3):
        number[stream == i] = np.arange((stream == i).sum())
    timestamp = number * 53 + rng.integers(0, 30, n)
    whole, cut = rated(*rates), rated(*rates)
    expected = whole.update(stream, number, timestamp, arrival)
    for i, rate in enumerate(rates):
        mine = stream == i
        recursion = jitter_of(timestamp[mine], arrival[mine], rate)
        np.testing.assert_allclose(expected.jitter_seconds[mine], recursion, rtol=1e-9, atol=1e-12)
        assert whole.jitter_seconds(i) == pytest.approx(recursion[-1], rel=1e-9)
        assert whole.max_jitter_seconds(i) == pytest.approx(max(recursion), rel=1e-9)
        assert expected.interval_ns[mine].tolist() == [-1, *np.diff(arrival[mine]).tolist()]
    for start, stop in pairwise([0, *sorted(cuts), n]):
        part = slice(start, stop)
        found = cut.update(stream[part], number[part], timestamp[part], arrival[part])
        assert found.interval_ns.tolist() == expected.interval_ns[part].tolist()
        np.testing.assert_allclose(found.jitter_seconds, expected.jitter_seconds[part], rtol=1e-9, atol=1e-15)
    for i in range(3):
        for one, other in zip(figures(cut, i), figures(whole, i), strict=True):
            assert one == (other if other is None else pytest.approx(other, rel=1e-9))


@pytest.mark.parametrize("ppm", [0.0, 24.6, -100.0, 1000.0])
def test_drift_is_found_through_jitter_and_outliers(ppm: float) -> None:
    rng = np.random.default_rng(3)
    arrival = np.arange(30_000) * 1_000_000 / (1 + ppm * 1e-6)
    arrival += rng.exponential(200_000, len(arrival))
    arrival[rng.random(len(arrival)) < 0.02] += 20_000_000
    arrival[12_000:12_400] += 50_000_000
    timing = rated(48_000)
    feed(timing, arrival.astype(np.int64))
    drift = timing.clock_drift_ppm(0)
    assert drift == pytest.approx(ppm, abs=0.5)


def test_drift_needs_a_second() -> None:
    timing = rated(48_000)
    feed(timing, np.arange(900) * 1_000_000)
    assert timing.clock_drift_ppm(0) is None
    feed(timing, np.arange(900, 1100) * 1_000_000, first=900)
    assert timing.clock_drift_ppm(0) == pytest.approx(0, abs=1e-6)


def test_a_clock_that_is_far_too_slow_shows_within_seconds_of_arrival() -> None:
    """Packets of 8 kHz that are said to be of 96 kHz: a second by that clock takes twelve."""
    timing = rated(96_000)
    arrival = np.arange(400) * 6_000_000 + np.random.default_rng(2).exponential(10_000_000, 400).astype(np.int64)
    feed(timing, np.sort(arrival))
    assert timing.clock_drift_ppm(0) == pytest.approx(1e6 / 12 - 1e6, rel=0.01)


@pytest.mark.parametrize("packets", [20, 100, 300])
@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_pause_of_a_short_stream_is_no_slow_clock(packets: int, at: float) -> None:
    timing = rated(48_000)
    arrival = np.arange(packets) * 1_000_000
    arrival[round(at * packets) :] += 2_500_000_000
    feed(timing, arrival)
    assert abs(timing.clock_drift_ppm(0) or 0.0) < 1.0


@pytest.mark.parametrize("seconds", [2, 20, 200])
@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("step_ns", [60_000_000, -340_000_000])
def test_a_step_of_the_delay_is_no_drift(seconds: int, at: float, step_ns: int) -> None:
    """A pause, or a loss of which the length is not what it should be."""
    timing = rated(48_000)
    arrival = np.arange(1000 * seconds) * 1_000_000 + np.random.default_rng(2).integers(0, 50_000, 1000 * seconds)
    arrival[round(at * len(arrival)) :] += step_ns
    feed(timing, np.sort(arrival))
    assert timing.clock_drift_ppm(0) is None


def test_drift_waits_until_jitter_lets_it_be_seen() -> None:
    timing = rated(48_000)
    number = np.arange(20_000)
    arrival = (number * 1e6 / (1 + 30e-6) + np.random.default_rng(2).exponential(2e6, len(number))).astype(np.int64)
    feed(timing, arrival[:1500])
    assert timing.clock_drift_ppm(0) is None
    feed(timing, arrival[1500:], first=1500)
    assert timing.clock_drift_ppm(0) == pytest.approx(30, abs=3)


def test_no_drift_against_a_clock_that_stands_still() -> None:
    timing = rated(48_000)
    feed(timing, np.full(3000, 5))
    assert timing.clock_drift_ppm(0) is None


def test_memory_stays_while_the_drift_goes_on() -> None:
    timing = rated(48_000)
    number = np.array([0, 10**4, 10**7, 10**9])  # the last one 11 days later
    held = []
    for i in number:
        feed(timing, np.array([i * 999_000]), first=int(i))
        held.append(held_bytes(timing))
    assert held == held[:1] * len(number)
    assert timing.clock_drift_ppm(0) == pytest.approx(1e6 / 0.999 - 1e6, rel=1e-6)


def test_delay_factor_by_hand() -> None:
    late = np.array([0, 5, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0]) * 1000
    timing = rated(48_000, tsdf_window_seconds=0.004)
    feed(timing, np.arange(12) * 1_000_000 + late)
    # Windows start with packets 0, 4, 8: the third one is not whole.
    assert timing.max_tsdf_seconds(0) == pytest.approx(9e-6, abs=1e-15)
    assert timing.tsdf_seconds(0) == pytest.approx(9e-6, abs=1e-15)
    one_window = rated(48_000, tsdf_window_seconds=0.02)
    feed(one_window, np.arange(12) * 1_000_000 + late)
    assert one_window.tsdf_seconds(0) is None


def test_packet_time_is_the_most_frequent_step() -> None:
    timing = rated(44_100)
    step = np.array([44, 44, 45, 44, 44, 441, 44, 45])
    number = np.array([0, 1, 2, 3, 4, 5, 15, 16, 17])
    timing.update(np.zeros(9, np.int64), number, np.concatenate([[0], np.cumsum(step)]), np.arange(9))
    assert timing.packet_frames(0) == 44
    assert timing.packet_time_seconds(0) == 44 / 44_100
    for _ in range(3):
        number = number + 100
        timing.update(np.zeros(9, np.int64), number, number * 6, np.arange(9))
    assert timing.packet_frames(0) == 6


def test_different_steps_are_bounded() -> None:
    timing = rated(48_000)
    timestamp = np.cumsum(np.arange(1000))
    timing.update(np.zeros(1000, np.int64), np.arange(1000), timestamp, timestamp)
    held = held_bytes(timing)
    timing.update(
        np.zeros(5000, np.int64),
        np.arange(1000, 6000),
        timestamp[-1] + np.cumsum(np.arange(1000, 6000)),
        np.arange(5000) + timestamp[-1],
    )
    assert held_bytes(timing) == held


def test_a_break_is_no_jitter_and_keeps_the_drift() -> None:
    timing = rated(48_000)
    arrival = np.arange(4000) * 1_000_000
    arrival[2000:] += 7 * SECOND
    number = np.arange(4000)
    item = Discontinuity(0, Jump.RESTART, 2000, 2000 * 48, 2000, 9, 0, 0, 5)
    found = timing.update(np.zeros(4000, np.int64), number, number * 48, arrival, [item])
    assert found.interval_ns[2000] == -1
    assert timing.max_jitter_seconds(0) == pytest.approx(0, abs=1e-12)
    assert timing.longest_interval_seconds(0) == 0.001
    assert timing.clock_drift_ppm(0) == pytest.approx(0, abs=1e-6)
    timing.update(np.zeros(0, np.int64), number[:0], number[:0], arrival[:0])
    again = Discontinuity(0, Jump.RESTART, 4000, 4000 * 48, 4000, 9, 0, 0, 5)
    timing.update(np.zeros(1, np.int64), np.array([4000]), np.array([4000 * 48]), arrival[-1:] + SECOND, [again])
    assert timing.clock_drift_ppm(0) == pytest.approx(0, abs=1e-6)  # what was measured before


def test_nothing_measured_is_none() -> None:
    timing = rated(48_000)
    assert figures(timing) == [None] * 8
    feed(timing, np.array([5]))
    assert figures(timing) == [None] * 8


def test_without_a_clock_rate_frames_and_intervals_remain() -> None:
    timing = rated(0)
    found = feed(timing, np.arange(2000) * 1_000_000)
    assert np.isnan(found.jitter_seconds[1:]).all()
    assert dict(zip(FIGURES, figures(timing), strict=True)) == {
        **dict.fromkeys(FIGURES),
        "packet_frames": 48,
        "longest_interval_seconds": 0.001,
    }


@pytest.mark.parametrize("before", [0, 44_100])
def test_jitter_is_measured_from_the_first_interval_of_a_known_clock_on(before: int) -> None:
    """What was measured by another clock goes on; where there was none, it begins with the change."""
    timing = rated(before)
    wander = np.random.default_rng(4).integers(0, 200_000, 200)
    feed(timing, np.arange(100) * 1_000_000 + wander[:100], frames=44)
    earlier = timing.jitter_seconds(0)
    assert (earlier is None) == (before == 0)
    timing.change_clock_rate(0, 48_000)
    arrival = np.arange(100, 200) * 1_000_000 + wander[100:]
    feed(timing, arrival[:1], first=100)
    assert timing.jitter_seconds(0) == earlier
    feed(timing, arrival[1:], first=101)
    expected = jitter_of(np.arange(100) * 48, arrival, 48_000)[-1] + (earlier or 0.0) * (15 / 16) ** 99
    assert timing.jitter_seconds(0) == pytest.approx(expected, rel=1e-9)
    assert timing.max_jitter_seconds(0) >= timing.jitter_seconds(0)


def test_a_fresh_row_knows_nothing() -> None:
    timing = rated(48_000, 48_000)
    for stream in (0, 1):
        feed(timing, np.arange(2000) * 1_000_000 + np.arange(2000) % 7 * 1000, stream=stream)
    before = figures(timing, 1)
    timing.fresh_row(0)
    timing.set_clock_rate(0, 48_000)
    assert figures(timing, 0) == [None] * 8
    assert figures(timing, 1) == before
    feed(timing, np.arange(2000) * 1_000_000 + np.arange(2000) % 7 * 1000)
    assert figures(timing, 0) == before


def read(name: str) -> tuple[NDArray[np.int64], ...]:
    """Return sequence, timestamp and arrival of the UDP packets in a little-endian Ethernet pcap."""
    folder = os.environ.get("RTPVERIFY_CAPTURES")
    if not folder:
        pytest.skip("RTPVERIFY_CAPTURES is not set")
    data = (Path(folder) / name).read_bytes()
    unit = 1 if data[:4] == b"\x4d\x3c\xb2\xa1" else 1000
    found, at = [], 24
    while at < len(data):
        seconds, fraction, size, _ = struct.unpack_from("<4I", data, at)
        rtp = at + 16 + 14 + 20 + 8
        sequence, timestamp = struct.unpack_from(">xxHI", data, rtp)
        found.append((sequence, timestamp, seconds * SECOND + fraction * unit))
        at += 16 + size
    sequence, timestamp, arrival = np.array(found, np.int64).T
    return sequence, timestamp, arrival


@pytest.mark.parametrize(("window", "tsdf_us"), [(0.2, 49.2), (1.0, 67.9)])
def test_a_real_capture_of_linear_pcm(window: float, tsdf_us: float) -> None:
    sequence, timestamp, arrival = read("l16-48000-2ch-1ms.pcap")
    timing = rated(48_000, tsdf_window_seconds=window)
    timing.update(np.zeros(len(sequence), np.int64), sequence, timestamp, arrival)
    assert timing.max_tsdf_seconds(0) == pytest.approx(tsdf_us * 1e-6, abs=0.05e-6)
    assert timing.clock_drift_ppm(0) == pytest.approx(24.6, abs=0.05)
    assert timing.jitter_seconds(0) == pytest.approx(21.3e-6, abs=0.05e-6)
    assert timing.packet_time_seconds(0) == 0.001


def test_a_real_capture_of_telephony() -> None:
    sequence, timestamp, arrival = read("g711a.pcap")
    timing = rated(8_000)
    timing.update(np.zeros(len(sequence), np.int64), sequence, timestamp, arrival)
    assert timing.jitter_seconds(0) == pytest.approx(0.365e-3, abs=0.5e-6)
    assert timing.packet_time_seconds(0) == 0.03


def test_packet_times_that_change_for_good_are_noted() -> None:
    timing = rated(48_000)
    assert timing.clock_rate_hz(0) == 48_000
    steps = np.repeat([48, 96, 48, 240], [2 * STEADY_STEPS, STEADY_STEPS, STEADY_STEPS - 1, STEADY_STEPS])
    number, timestamp = np.arange(len(steps) + 1), np.concatenate([[0], np.cumsum(steps)])
    for cut in (0, 3):
        timing = rated(48_000)
        for part in np.array_split(np.arange(len(number)), cut + 1):
            timing.update(np.zeros(len(part), np.int64), number[part], timestamp[part], timestamp[part] * 20_833)
        assert timing.packet_time_changes(0) == (2, [(0.001, 0.002), (0.002, 0.005)])


def test_packet_times_that_keep_changing_are_counted_and_some_kept() -> None:
    timing = rated(48_000)
    steps = np.repeat(np.tile([48, 96], MAX_CHANGES), STEADY_STEPS)
    number, timestamp = np.arange(len(steps) + 1), np.concatenate([[0], np.cumsum(steps)])
    timing.update(np.zeros(len(number), np.int64), number, timestamp, timestamp * 20_833)
    count, changes = timing.packet_time_changes(0)
    assert (count, len(changes)) == (2 * MAX_CHANGES - 1, MAX_CHANGES)
