"""What timestamps that contradict the sequence numbers do instead: a known mistake of senders, where it is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rtpverify.rtp.payload import Encoding
from rtpverify.transport.placement import TimestampError

MOST = 0.9
"""Part of the steps that must be alike."""
NEAR = 0.01
"""How near a ratio must be to that of a known clock."""
RARE = 0.02
"""Part of the steps below which one is no part of the pattern: it begins or ends it."""
DRIFTS = 3
"""Frames by which timestamps move, on the whole, that are the drift of a clock."""
FAST = 0.02
"""A clock further off than this is another one, and no bad oscillator."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What timestamps do; ``name`` is None where that is none of the known mistakes, ``size`` its figures."""

    name: str | None
    text: str
    size: dict[str, Any] = field(default_factory=dict)


def pattern_of(error: TimestampError, encoding: Encoding) -> Pattern:
    """Return what the timestamps of an error do, by how far they advance from packet to packet.

    Parameters
    ----------
    error
        The timestamps that contradict the sequence numbers.
    encoding
        Encoding of the stream.

    Returns
    -------
    Pattern
        The pattern, with its name, text and sizes.
    """
    steps, rate_hz = dict(error.steps), encoding.sample_rate_hz
    total = sum(steps.values())
    ppm = _drift_ppm(error)
    if ppm is not None:
        text = (
            f"are rounded from a clock that runs {abs(ppm):.3g} ppm {'fast' if ppm > 0 else 'slow'} against the audio"
        )
        return Pattern("rounded", text, {"timestamp_quantum_frames": 1, "timestamp_clock_ppm": ppm})
    if total == 0:
        return Pattern(None, "deviate from their expected values")
    frozen = steps.get(0, 0)
    if frozen >= MOST * total or (frozen > 1 and frozen == total - 1):
        return Pattern("frozen", "do not advance")
    if sum(count for step, count in steps.items() if step < 0) >= MOST * total:
        return Pattern("backwards", "run backwards")
    packet_frames = error.step_frames / total
    longest = max(steps, key=lambda step: (step > 0, steps[step]))
    sharing, rest = divmod(longest, round(packet_frames))
    if sharing > 1 and rest == 0 and abs(frozen / (total - frozen) - (sharing - 1)) < 0.2:
        return Pattern("shared", f"are shared by {sharing} packets each", {"packets_sharing": sharing})
    ratio = _usual_step(steps) / packet_frames
    for name, counted, text in (
        ("bytes", encoding.bytes_per_frame, "count bytes"),
        ("samples", encoding.channels, "count the samples of all channels"),
        ("milliseconds", 1e3 / rate_hz, "count milliseconds"),
        ("microseconds", 1e6 / rate_hz, "count microseconds"),
    ):
        if abs(ratio / counted - 1) < NEAR and abs(counted - 1) > FAST:
            return Pattern(name, text)
    if ratio > 0 and abs(ratio - 1) > FAST and error.spread > FAST * error.step_frames:
        hz = round(ratio * rate_hz, 3)
        return Pattern("clock_rate", f"count at {hz:.0f} Hz", {"timestamp_rate_hz": hz})
    if 1 < error.quantum < packet_frames:
        text = f"are rounded to {error.quantum} frames ({1e3 * error.quantum / rate_hz:.3g} ms)"
        return Pattern("rounded", text, {"timestamp_quantum_frames": error.quantum})
    if error.spread <= 1:
        return Pattern("rounded", "are rounded from a clock", {"timestamp_quantum_frames": 1})
    return Pattern("scattered", "scatter about their expected values")


def _drift_ppm(error: TimestampError) -> float | None:
    """Return how fast a clock runs that timestamps are rounded from, to frames; None where they show no drift."""
    if abs(error.moved) >= DRIFTS and error.spread <= 2:
        # They move each time the clocks are a frame further apart: one move more than frames between first and last.
        return 1e6 * (error.moved - (1 if error.moved > 0 else -1)) / max(error.move_frames, 1)
    total = sum(count for _, count in error.steps)
    if not total or any(abs(step - error.step_frames / total) > 1 for step, _ in error.steps):
        return None
    drift = sum(step * count for step, count in error.steps) - error.step_frames
    return 1e6 * drift / error.frames if abs(drift) >= max(DRIFTS, MOST * error.spread) else None


def _usual_step(steps: dict[int, int]) -> float:
    """Return how far timestamps advance on average, but for rare steps; 0 where most are rare."""
    total = sum(steps.values())
    usual = {step: count for step, count in steps.items() if count >= max(2, RARE * total)}
    if sum(usual.values()) < MOST * total:
        return 0.0
    return sum(step * count for step, count in usual.items()) / sum(usual.values())
