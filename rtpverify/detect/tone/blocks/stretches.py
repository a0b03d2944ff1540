"""Several stretches of blocks of the same lines at once, each checked as if all those before it were in order.

Noise and thresholds are renewed at the end of each stretch. What they become is known beforehand where every block is
clean, so stretches can be checked together as if each were a line of its own; what lies before the first that is not
clean holds, the rest is checked again one stretch after another. The work for a stretch of a few lines is mostly that
of calling array operations, and so nearly that for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import SMALLEST_NOISE
from rtpverify.detect.tone.blocks.block_test import BlockTest
from rtpverify.detect.tone.blocks.channel_models import Lines, NewBlocks
from rtpverify.detect.tone.blocks.limit_prefilter import LimitWatch
from rtpverify.detect.tone.blocks.movement import Movement
from rtpverify.detect.tone.settings import Settings

_FIGURES = ("phase", "amplitude", "dc", "power")


@dataclass(frozen=True, slots=True)
class Stretches:
    """What was found of ``count`` stretches of each of ``m`` lines.

    Attributes
    ----------
    rows
        Rows of ``state`` and ``movement`` at the beginning of each stretch and after the last, shape (m, count + 1).
    state, movement
        What is known there, where all blocks before are clean.
    clean
        In which stretches every block is clean and no monitor has to be asked, shape (m, count).
    """

    rows: NDArray[np.int64]
    state: Lines
    movement: Movement
    clean: NDArray[np.bool_]


def judge_stretches(
    test: BlockTest,
    watch: LimitWatch,
    state: Lines,
    movement: Movement,
    new: NewBlocks,
    blocks: int,
    settings: Sequence[Settings],
) -> Stretches:
    """Check whole blocks of locked lines, stretches of so many of them at once.

    Parameters
    ----------
    test, watch
        What checks blocks and their figures.
    state, movement
        What is known of all lines.
    new
        The blocks, a whole number of stretches.
    blocks
        Blocks of a stretch, no fewer than those that are remembered.
    settings
        How each of the lines is checked, shape (m,).

    Returns
    -------
    Stretches
        What was found of each stretch.
    """
    lines, m, count = new.lines, len(new.lines), new.count // blocks
    rows = np.arange(m * (count + 1)).reshape(m, count + 1)
    of = np.repeat(lines, count + 1)
    there, moving = state.of(of), movement.of(of)
    for name in _FIGURES:
        setattr(there, name, _windows(getattr(new, name), state.window, blocks))
    there.last_z[rows[:, 1:]] = new.fit.z[:, blocks - 1 :: blocks]
    there.count += np.tile(np.arange(count + 1) * blocks, m)
    _foresee_noise(there, rows, new.fit.peak.reshape(m, count, blocks).max(axis=2), settings)

    each = _each_stretch(new, rows[:, :-1].ravel(), state.window, blocks)
    found = test.innovations(there, each)
    moving.foresee(rows, found)
    judged = test.judge(there, moving, each, found)
    clean = np.asarray((judged.clean & ~judged.faint).all(axis=1))
    clean &= ~watch.any_pass(there, each, np.repeat(lines, count))
    return Stretches(rows, there, moving, clean.reshape(m, count))


def _windows(values: NDArray[np.float64], length: int, blocks: int) -> NDArray[np.float64]:
    """Return ``length`` values of each row from every stretch's beginning on, one after another, shape (…, length)."""
    windows = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)[:, ::blocks]
    return windows.reshape(-1, length)


def _foresee_noise(
    there: Lines, rows: NDArray[np.int64], peak: NDArray[np.float64], settings: Sequence[Settings]
) -> None:
    """Write down noise and threshold after each stretch, of which ``peak`` is the largest deviation, shape (m, count).

    As :meth:`Lines.go_on` and :meth:`Lines.renew_noise` would.
    """
    sigma = np.sqrt(there.power.mean(axis=1))
    for of_line, peaks, item in zip(rows.tolist(), peak.tolist(), settings, strict=True):
        for before, after, largest in zip(of_line, of_line[1:], peaks, strict=False):
            there.peak[after] = max(there.peak[before], min(largest, there.threshold[before]))
            there.sigma[after] = max(sigma[after], SMALLEST_NOISE)
            there.threshold[after] = item.frame_threshold(float(sigma[after]), float(there.peak[after]))


def _each_stretch(new: NewBlocks, lines: NDArray[np.int64], window: int, blocks: int) -> NewBlocks:
    """Return the same blocks with each stretch as a line of its own."""
    stretches = len(lines) // len(new.lines)
    shape = len(lines), blocks
    first = (new.first_block[:, None] + np.arange(stretches) * blocks).ravel()
    known = [_windows(getattr(new, name), window + blocks, blocks) for name in _FIGURES]
    return replace(
        new,
        lines=lines,
        first_block=first,
        due=np.full(len(lines), blocks),
        is_due=new.is_due.reshape(shape),
        holes=new.holes.reshape(shape),
        frames=new.frames.reshape(shape),
        fit=new.fit.reshape(*shape),
        stretches=stretches,
        **dict(zip(_FIGURES, known, strict=True)),  # type: ignore[arg-type]
    )
