"""Audio that comes in pieces of any length, cut into blocks of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Sample = TypeVar("Sample", bound=np.floating)


def cut(pieces: Iterable[NDArray[Sample]], frames_per_block: int) -> Iterator[NDArray[Sample]]:
    """Yield the same frames in blocks of one length, the last one perhaps shorter.

    Parameters
    ----------
    pieces
        Pieces of any lengths, each of shape (n, channels).
    frames_per_block
        Frames of each block but the last.

    Yields
    ------
    NDArray[Sample]
        Shape (frames_per_block, channels).
    """
    waiting: list[NDArray[Sample]] = []
    frames = 0
    for piece in pieces:
        waiting.append(piece)
        frames += len(piece)
        if frames >= frames_per_block:
            joined = np.concatenate(waiting)
            whole = frames - frames % frames_per_block
            for start in range(0, whole, frames_per_block):
                yield joined[start : start + frames_per_block]
            waiting, frames = [joined[whole:]], frames - whole
    if frames:
        yield np.concatenate(waiting)
