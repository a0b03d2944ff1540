"""Channels that carry one tone, compared with each other: which are inverted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rtpverify.detect.noise_thresholds import EVENT_Z
from rtpverify.dsp.sine import Sine, wrap_phase

LEAST_RAD = 1e-6
"""How near to half a period arithmetic takes the phases of two channels of which one is inverted."""
SAME_TONE_RAD = 0.005
"""Up to here two tones that part over a block are one."""
BEGINS_RAD = 0.02
"""How near to that of a sine the first phase lies of a channel that begins as one."""


def inverted(sines: Mapping[int, Sine], deviations: Mapping[int, float], block_frames: int) -> list[int]:
    """Return the keys of the sines that are the same tone as the others, inverted.

    Only those of the same frequency as the first, as far as it can be known, are compared with it. One that is not half
    a period off, as far as noise leaves that open, has another phase. The few are taken for the inverted ones; of two,
    the one that does not begin as a sine does.

    Parameters
    ----------
    sines, deviations
        Of each channel, and the standard deviation of its phase, rad.
    block_frames
        Length of a block.

    Returns
    -------
    list[int]
        Keys.
    """
    first = next(iter(sines.values()))
    frame = first.anchor
    same = [
        key
        for key, sine in sines.items()
        if abs(sine.omega - first.omega) * max(abs(sine.anchor - frame), block_frames) < SAME_TONE_RAD
    ]
    turn = np.array([wrap_phase(sines[key].phase_at(frame) - first.phase_at(frame)) for key in same])
    known = EVENT_Z * np.array([math.hypot(deviations[key], deviations[same[0]]) for key in same])
    opposite = np.abs(np.abs(turn) - math.pi) <= known + LEAST_RAD
    if not opposite.any():
        return []
    others = 2 * int(np.count_nonzero(opposite)) > len(same)
    if len(same) == 2:
        others = abs(wrap_phase(sines[same[1]].phase_at(0.0) + math.pi / 2.0)) < BEGINS_RAD
    return [key for key, is_opposite in zip(same, opposite.tolist(), strict=True) if is_opposite != others]
