"""What timestamps do instead of following the audio is named, however many packets and whatever frames they hold."""

from collections import Counter
from itertools import pairwise

import pytest

from rtpverify.rtp.payload import Encoding, parse_rtpmap
from rtpverify.transport.placement import TimestampError
from rtpverify.transport.timestamp_patterns import pattern_of
from tests.transport.test_sequence import run

L24 = parse_rtpmap("L24/48000/2")


def found(written, frames: int = 48, encoding: Encoding = L24):
    """Return the pattern of what a sender writes on packets 0, 1, ... after a hundred that are right."""
    right, numbers = 100, 600
    packets = [(0, number, number * frames, frames) for number in range(right)]
    packets += [
        (0, number, right * frames + round(written(number - right)), frames) for number in range(right, numbers)
    ]
    [error] = run(packets).errors
    return pattern_of(error, encoding)


def of_steps(*steps: int, frames: int = 48, **more):
    """Return an error whose timestamps advance so from packet to packet."""
    counts = Counter(steps)
    figures = {
        "frames": frames * len(steps),
        "packets": len(steps),
        "deviation": 100,
        "spread": 100,
        "moves": 0,
        "moved": 0,
        "move_frames": 0,
        "step_frames": frames * len(steps),
        "quantum": 1,
        **more,
    }
    return TimestampError(0, 1, 2, 0, steps=tuple(counts.most_common()), is_open=False, **figures)


@pytest.mark.parametrize(
    ("written", "name", "size"),
    [
        (lambda _: 0, "frozen", {}),
        (lambda n: -48 * n, "backwards", {}),
        (lambda n: n // 2 * 96, "shared", {"packets_sharing": 2}),
        (lambda n: n // 5 * 240, "shared", {"packets_sharing": 5}),
        (lambda n: 48 * 6 * n, "bytes", {}),
        (lambda n: 48 * 2 * n, "samples", {}),
        (lambda n: n, "milliseconds", {}),
        (lambda n: 1000 * n, "microseconds", {}),
        (lambda n: 48 * n * 44_100 / 48_000, "clock_rate", {"timestamp_rate_hz": 44_100}),
        (lambda n: 48 * n / 2, "clock_rate", {"timestamp_rate_hz": 24_000}),
    ],
)
def test_known_mistakes(written, name, size):
    pattern = found(written)
    assert pattern.name == name
    assert pattern.text
    assert pattern.size == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize(("step", "ppm"), [(47, -1e6 / 288), (49, 1e6 / 288)])
def test_rounded_from_a_clock_that_drifts(step, ppm):
    pattern = pattern_of(of_steps(*[48] * 50, *[step] * 10, spread=10), L24)
    assert pattern.name == "rounded"
    assert pattern.size == {"timestamp_quantum_frames": 1, "timestamp_clock_ppm": pytest.approx(ppm)}
    assert f"{abs(ppm):.3g} ppm {'fast' if ppm > 0 else 'slow'}" in pattern.text
    assert pattern_of(of_steps(*[48] * 50, *[step] * 10, spread=12), L24).name == "scattered"
    assert pattern_of(of_steps(*[48] * 50, *[step] * 2, spread=1), L24).size == {"timestamp_quantum_frames": 1}


def test_rounded_to_a_quantum():
    grid = 16
    steps = [b - a for a, b in pairwise([round(50 * n / grid) * grid for n in range(400)])]
    pattern = pattern_of(of_steps(*steps, frames=50, quantum=grid, spread=grid), L24)
    assert (pattern.name, pattern.size) == ("rounded", {"timestamp_quantum_frames": grid})
    assert "16 frames (0.333 ms)" in pattern.text


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (of_steps(), None),
        (of_steps(0, 0, 0, 96), "frozen"),
        (of_steps(0, 96), "shared"),
        (of_steps(*[0] * 90, *[500] * 10), "frozen"),
        (of_steps(*[0] * 89, *[501] * 11, spread=96), "scattered"),
        (of_steps(*[-48] * 90, *[700] * 10), "backwards"),
        (of_steps(*[-48] * 89, *[700] * 11, spread=96), "scattered"),
        (of_steps(*[48] * 50, *[49] * 3, *[47] * 3, spread=1), "rounded"),
        (of_steps(*[48] * 50, *[50] * 3, *[46] * 3, spread=2), "scattered"),
        (of_steps(*[40] * 40, *[56] * 40, quantum=8), "rounded"),
        (of_steps(*[48] * 3, *[12] * 20, *[84] * 20, quantum=48), "scattered"),
        # A step that comes rarely is no part of a clock: but most must be of it.
        (of_steps(*[24] * 99, 5000, spread=3000), "clock_rate"),
        (of_steps(*[24] * 85, *range(5000, 5015), spread=3000), "scattered"),
        # A clock that is a little off is no other clock.
        (of_steps(*[48] * 99, 40, 60, spread=3), "scattered"),
    ],
)
def test_the_edges_of_each(error, name):
    assert pattern_of(error, L24).name == name


@pytest.mark.parametrize(
    ("moved", "move_frames", "spread", "ppm"),
    [(3, 100_000, 2, 20.0), (-3, 100_000, 2, -20.0), (3, 0, 0, 2e6), (2, 100_000, 2, None), (3, 100_000, 3, None)],
)
def test_moves_are_the_drift_of_a_clock(moved, move_frames, spread, ppm):
    pattern = pattern_of(of_steps(moved=moved, move_frames=move_frames, spread=spread), L24)
    assert pattern.size.get("timestamp_clock_ppm") == (None if ppm is None else pytest.approx(ppm))


def test_what_counts_alike_is_told_apart_by_the_encoding():
    mono = parse_rtpmap("L16/8000/1")
    assert pattern_of(of_steps(*[96] * 50, frames=48), mono).name == "bytes"
    assert pattern_of(of_steps(*[96] * 50, frames=48), L24).name == "samples"
    eight = parse_rtpmap("PCMU/8000/1")  # its bytes and samples are frames
    assert pattern_of(of_steps(*[160] * 50, frames=160, spread=1), eight).name == "rounded"
    assert pattern_of(of_steps(*[20] * 50, frames=160), eight).name == "milliseconds"
