"""A daemon that runs beside a test, in its own process, and senders for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import structlog

from rtpverify.daemon.configuration import read_config
from rtpverify.daemon.service import Service
from rtpverify.result import Result
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import until


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def sending(*ports: int, seconds: float, faults: Sequence[str] = ()) -> Iterator[Sender]:
    parsed = [parse_fault(fault) for fault in faults]
    settings = [
        StreamSettings(Endpoint("127.0.0.1", port), ssrc=port, sequence=0, timestamp=0, faults=parsed) for port in ports
    ]
    with Sender(settings, duration_seconds=seconds) as sender:
        sender.start()
        yield sender


class Bench:
    """A daemon that runs beside the test, and what it logged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        self.stop = asyncio.Event()

        def keep(_logger: object, method: str, line: dict[str, Any]) -> str:
            self.lines.append({"level": method, **line})
            raise structlog.DropEvent

        log = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep])
        self.service = Service(read_config(path), log, path=path)
        self.result: Result | None = None

    def write(self, text: str) -> None:
        self.path.write_text(text)

    async def until(self, holds: Callable[[], object]) -> None:
        await until(holds, lambda: self.lines)

    async def reload(self, text: str) -> None:
        """Write another configuration, and wait until it was looked at."""
        before = len(self.told("configuration"))
        self.write(text)
        await self.until(lambda: len(self.told("configuration")) > before)

    def told(self, start: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if str(line["event"]).startswith(start)]

    def packets(self, name: str, count: str = "received") -> int:
        return self.service.states[name].snapshot.packets[count]


@asynccontextmanager
async def running(path: Path, text: str) -> AsyncIterator[Bench]:
    path.write_text(text)
    bench = Bench(path)
    async with bench.service:
        task = asyncio.create_task(bench.service.run(bench.stop))
        yield bench
        bench.stop.set()
        bench.result = await task
