"""A service in memory: packets are fed by hand, and a server shows what comes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import structlog

from rtpverify.daemon.defects import Defects
from rtpverify.daemon.metrics import Snapshot
from rtpverify.daemon.sinks.base import ReportedEvent, Sink
from rtpverify.daemon.streams.state import StreamState
from rtpverify.daemon.web.server import WebServer
from rtpverify.daemon.web.table import MetricsTable
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.presence import Ends
from rtpverify.engine.verifier import Verifier
from rtpverify.reference import Reference, Tone
from rtpverify.rtp.payload import parse_rtpmap
from tests.engine.test_verifier import START_NS, Sender, batch_of

TONE = Tone((997.0,))


class Bench:
    """What a sink sees of the service; ``a`` is held against a reference, ``b`` followed on transport alone."""

    def __init__(self, snapshot: Any = Snapshot, reference: Reference = TONE) -> None:
        encoding = parse_rtpmap("L24/48000/2")
        specs = [
            StreamSpec("a", "239.1.2.3:5004", "192.0.2.1:5004", encoding, reference=reference),
            StreamSpec("b", "239.1.2.3:5004", "192.0.2.2:5004", encoding),
        ]
        self.verifier = Verifier(specs, ends=Ends.WATCHED)
        self.states = {spec.name: StreamState(spec) for spec in specs}
        self.log = structlog.get_logger()
        self.defects = Defects(self.log)
        self.sinks: dict[str, Sink] = {}
        self.now_ns = START_NS
        self.reasons: list[str] = []
        self.behind_seconds = 0.0
        self._snapshot = snapshot
        self._known = 0

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot()

    def sink(self, kind: type[Sink]) -> Sink | None:
        return next((sink for sink in self.sinks.values() if isinstance(sink, kind)), None)

    def unready(self) -> list[str]:
        return self.reasons

    def feed(self, packets: Sequence[tuple[int, int, bytes]]) -> None:
        """Take packets a tenth of a second at a time, as the service does."""
        for start in range(0, len(packets), 100):
            part = list(packets[start : start + 100])
            told = self.verifier.feed(batch_of(part))
            self.now_ns = part[-1][0] + 1_000_000
            told += self.verifier.advance(self.now_ns)
            for stream in self.verifier.streams[self._known :]:
                self.states[stream.name].add(stream)
            self._known = len(self.verifier.streams)
            items = [ReportedEvent(item.stream, item.event, item.is_new) for item in told]
            for sink in self.sinks.values():
                if items:
                    sink.tell(items)
                sink.tick(self.now_ns)
        for state in self.states.values():
            state.watch(self.verifier)
            state.refresh(self.verifier, self.now_ns)

    def pass_time(self, seconds: float, *, caught_up: bool = True) -> None:
        """Let time go on without packets; with ``caught_up`` none that arrived waits to be read."""
        self.now_ns += round(seconds * 1e9)
        told = self.verifier.advance(self.now_ns) if caught_up else []
        items = [ReportedEvent(item.stream, item.event, item.is_new) for item in told]
        for sink in self.sinks.values():
            if items:
                sink.tell(items)
            sink.tick(self.now_ns)


class Client:
    """Asks a server."""

    def __init__(self, bench: Bench, server: WebServer, session: aiohttp.ClientSession) -> None:
        self.bench, self.server, self.session = bench, server, session

    @property
    def url(self) -> str:
        return self.server.url.rstrip("/")

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        async with self.session.get(self.url + path, **options) as answer:
            assert answer.status == status, await answer.text()
            form = "application/problem+json" if status >= 400 else "application/json"
            assert answer.content_type == form
            return await answer.json(content_type=form)


@asynccontextmanager
async def serving(bench: Bench | None = None, **table: Any) -> AsyncIterator[Client]:
    """Serve a bench on a free port."""
    bench = bench or Bench()
    server = WebServer(MetricsTable(**{"listen": "127.0.0.1:0", **table}), bench)
    bench.sinks["metrics"] = server
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(bench, server, session)
    finally:
        await server.stop()


__all__ = ["START_NS", "Bench", "Client", "Sender", "serving"]
