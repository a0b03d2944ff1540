"""Channels that carry one tone, held against each other: which are upside down."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rtpverify.dsp.sine import Sine, wrap_phase

OPPOSITE_RAD = 0.02
"""How near to half a period the phases of two channels lie where one is inverted."""


def inverted(sines: Mapping[int, Sine], block_frames: int) -> list[int]:
    """Return the keys of the sines that are the same tone as the others, upside down.

    Only those of the same frequency as the first, as far as it can be known, are held against it. The few are taken
    for the inverted ones; of two, the one that does not begin as a sine does.
    """
    first = next(iter(sines.values()))
    frame = first.anchor
    same = [
        key
        for key, sine in sines.items()
        if abs(sine.omega - first.omega) * max(abs(sine.anchor - frame), block_frames) < OPPOSITE_RAD / 4.0
    ]
    turn = np.array([wrap_phase(sines[key].phase_at(frame) - first.phase_at(frame)) for key in same])
    opposite = np.abs(np.abs(turn) - math.pi) < OPPOSITE_RAD
    if not opposite.any():
        return []
    others = 2 * int(np.count_nonzero(opposite)) > len(same)
    if len(same) == 2:
        others = abs(wrap_phase(sines[same[1]].phase_at(0.0) + math.pi / 2.0)) < OPPOSITE_RAD
    return [key for key, is_opposite in zip(same, opposite.tolist(), strict=True) if is_opposite != others]
