"""A capture on standard input, as ``tcpdump -U -w -`` writes it: verified while it comes."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rtpverify.errors import RequestError
from rtpverify.sources.capture.stored_bytes import CHUNK_BYTES, Read

STANDARD_INPUT = "-"
"""How a command line names it."""

_GATHER_SECONDS = 0.05
"""What comes within this time is verified together."""
_LOOK_SECONDS = 0.1


@contextmanager
def standard_input() -> Iterator[Read]:
    """Give a function that returns what comes next; at its end, or after Ctrl-C or SIGTERM, it returns nothing.

    Yields
    ------
    Read
        The function.

    Raises
    ------
    RequestError
        Where standard input is closed, or a terminal.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise RequestError(f"{STANDARD_INPUT}: standard input is closed")
    if sys.stdin.isatty():
        raise RequestError(
            f"{STANDARD_INPUT}: standard input is a terminal; pipe a capture into it: "
            "tcpdump -U -w - udp | rtpverify check -"
        )
    descriptor = sys.stdin.fileno()
    stopped = threading.Event()

    def waits(seconds: float) -> bool:
        return bool(select.select([descriptor], [], [], seconds)[0])

    def read() -> bytes:
        while not waits(_LOOK_SECONDS):
            if stopped.is_set():
                return b""
        if stopped.is_set():
            return b""
        data = more = os.read(descriptor, CHUNK_BYTES)
        deadline = time.monotonic() + _GATHER_SECONDS
        while more and len(data) < CHUNK_BYTES and waits(max(0.0, deadline - time.monotonic())):
            more = os.read(descriptor, CHUNK_BYTES - len(data))
            data += more
        return data

    with _set_by_signals(stopped):
        yield read


@contextmanager
def _set_by_signals(stopped: threading.Event) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM set an event, where this thread gets signals."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
