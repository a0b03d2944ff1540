"""How long tests wait for what should take no time: only so that a program that hangs ends a test, too.

No test may fail because a machine is slow or busy, so that whoever waits does so for a condition, and this long.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE_SECONDS = 120.0


def wait_until(holds: Callable[[], object], explain: Callable[[], object] = lambda: "") -> None:
    """Look again and again until something holds; where it never does, fail with an explanation."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up, explain()
        time.sleep(0.005)


async def until(holds: Callable[[], object], explain: Callable[[], object] = lambda: "") -> None:
    """Let others go on until something holds; where it never does, fail with an explanation."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up, explain()
        await asyncio.sleep(0.005)
