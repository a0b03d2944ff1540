"""Sleeps that end when they should: Linux lets them run over by 50 µs to save power, unless a thread asks it not to."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30
_LEAST_NS = 1


@contextmanager
def exact_timers() -> Iterator[None]:
    """Let this thread's sleeps end as exactly as the system can (prctl(2), PR_SET_TIMERSLACK).

    Yields
    ------
    None
        Nothing.
    """
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None).prctl
    before_ns = prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)
    prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(_LEAST_NS), 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(before_ns), 0, 0, 0)
