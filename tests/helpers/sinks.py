"""Sinks of the daemon, started and stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from rtpverify.daemon.sinks.base import Sink

AnySink = TypeVar("AnySink", bound=Sink)


@asynccontextmanager
async def started(sink: AnySink) -> AsyncIterator[AnySink]:
    """Start a sink, and stop it at the end, whatever happens."""
    try:
        await sink.start()
        yield sink
    finally:
        await sink.stop()
