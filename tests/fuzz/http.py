"""What clients of the daemon send to its HTTP server: any bytes, over a connection that it has accepted."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rtpverify.daemon.web.server import WebServer
from rtpverify.daemon.web.table import MetricsTable
from tests.daemon.web.bench import Bench, Sender
from tests.fuzz.target import MILLION, Target

PATIENCE_SECONDS = 0.02
"""How long an answer is waited for; an unfinished request has none."""
STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3})", re.MULTILINE)
FINE = frozenset({200, 206, 301, 302, 304, 400, 401, 404, 405, 408, 411, 413, 414, 416, 417, 421, 426, 431, 503})


class _Complaints(logging.Handler):
    """Keeps what is logged with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))


@contextmanager
def opened_server() -> Iterator[Callable[[bytes], None]]:
    """Serve a bench with streams; each input is what one connection sends."""
    complaints = _Complaints()
    logging.getLogger().addHandler(complaints)
    bench = Bench()
    with asyncio.Runner() as runner:
        server = WebServer(MetricsTable(listen="127.0.0.1:0"), bench)
        bench.sinks["metrics"] = server
        runner.run(server.start())
        bench.feed(Sender(seconds=0.3).send(lost=(50,)))

        async def exchange(data: bytes) -> bytes:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.setblocking(False)
            await server.connections.admit(theirs)
            loop, answer = asyncio.get_running_loop(), b""
            try:
                with suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await loop.sock_sendall(ours, data + b"\r\n\r\n")
                        answer = await loop.sock_recv(ours, 1 << 16)
            finally:
                ours.close()
            return answer

        def take(data: bytes) -> None:
            answer = runner.run(exchange(data))
            assert not complaints.found, complaints.found[0]
            assert not any(bench.defects.counts.values())
            for status in STATUS.findall(answer[:200])[:1]:
                assert int(status) in FINE, answer

        try:
            yield take
        finally:
            runner.run(server.stop())
            logging.getLogger().removeHandler(complaints)


def seeds() -> list[bytes]:
    requests = [
        "GET /api/events?limit=5&kind=gap&since=2026-01-01T00:00:00Z HTTP/1.1\r\nHost: 127.0.0.1",
        "GET /api/streams/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic eDp5",
        "GET /api/streams/a/oscilloscope?channel=1&seconds=0.01 HTTP/1.1\r\nHost: 127.0.0.1",
        "GET /api/streams/a/history?since=5 HTTP/1.1\r\nHost: 127.0.0.1",
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/openmetrics-text\r\nAccept-Encoding: gzip",
        'HEAD /page/style.css HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: "x"\r\nRange: bytes=0-5',
        "POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc",
        "GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: 7-1",
        "GET /evidence/../x%2f..%2fy HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0",
    ]
    return [request.encode() for request in requests]


TARGETS = {
    "http": Target(
        seeds,
        ("rtpverify.daemon.web", "rtpverify.history.time_text"),
        opened=opened_server,
        inputs=MILLION,
        longest=1024,
    )
}
