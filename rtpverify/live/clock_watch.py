"""The clock by which packets arrive, which may be set while they do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rtpverify.rtp.batch import PacketBatch

STEP_NS = 10_000_000
"""A clock that is slewed gains no more than this within a second; one that differs by more was set."""


class ClockWatch:
    """Watches the clock of this host against one that nobody sets."""

    def __init__(self) -> None:
        self._steady_ns, self._wall_ns = time.monotonic_ns(), time.time_ns()
        self._before_ns, self._elapsed_ns = self._wall_ns, 0

    def take_step(self) -> int:
        """Return how far the clock was set forward since the last call, in ns; 0 where it was not.

        Returns
        -------
        int
            In ns, negative where it was set back.
        """
        steady_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        self._elapsed_ns, self._before_ns = steady_ns - self._steady_ns, self._wall_ns
        step_ns = wall_ns - self._wall_ns - self._elapsed_ns
        self._steady_ns, self._wall_ns = steady_ns, wall_ns
        return step_ns if abs(step_ns) > STEP_NS else 0

    def correct(self, batch: PacketBatch, step_ns: int) -> None:
        """Let all packets of a batch have arrived by the clock as it is now, which was set since the batch before.

        Those that arrived before that show by their times: they lie in the time that has passed by the old
        clock.

        Parameters
        ----------
        batch
            The batch; its times are changed.
        step_ns
            How far the clock was set forward.
        """
        middle_ns = self._before_ns + (self._elapsed_ns + step_ns) // 2
        is_old = (batch.arrival_ns < middle_ns) == (step_ns > 0)
        batch.arrival_ns = batch.arrival_ns + np.where(is_old, step_ns, 0)
