from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from rtpverify.daemon.metrics import Snapshot
from rtpverify.daemon.tables import Listen
from rtpverify.daemon.web import MetricsTable, WebServer
from rtpverify.errors import SourceError


def server_of(latest: Callable[[], Snapshot], listen: Listen = Listen("127.0.0.1", 0)) -> WebServer:  # noqa: B008
    class Bench:
        @property
        def snapshot(self) -> Snapshot:
            return latest()

    return MetricsTable(listen=str(listen)).open(Bench())  # type: ignore[arg-type]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("application/openmetrics-text", "application/openmetrics-text"), ("*/*", "text/plain")],
)
async def test_metrics_come_in_the_form_asked_for(
    session: aiohttp.ClientSession, accept: str, content_type: str
) -> None:
    server = server_of(lambda: Snapshot(receive_buffer_dropped=5))
    await server.start()
    try:
        async with session.get(f"http://{server.listen}/metrics", headers={"Accept": accept}) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith(content_type)
            assert "rtpverify_receive_buffer_dropped_total 5\n" in await answer.text()
        async with session.get(f"http://{server.listen}/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
    finally:
        await server.stop()


async def test_a_port_in_use_is_named() -> None:
    first = server_of(Snapshot)
    await first.start()
    second = server_of(Snapshot, first.listen)
    try:
        with pytest.raises(SourceError, match=rf"^metrics listen {first.listen}: Address already in use$"):
            await second.start()
    finally:
        await first.stop()
        await second.stop()
