"""Signals that an event loop minds, also where the loop itself cannot (Windows)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def mind(loop: asyncio.AbstractEventLoop, number: int, call: Callable[[], object]) -> None:
    """Have a loop call something at each signal of a number, from now on.

    Parameters
    ----------
    loop
        The loop.
    number
        Number of the signal.
    call
        What is called, in the loop.

    Raises
    ------
    RuntimeError, ValueError
        Where this is not the main thread.
    """
    try:
        loop.add_signal_handler(number, call)
    except NotImplementedError:
        signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(call))
