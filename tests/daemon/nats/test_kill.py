"""A server and a daemon that are killed and started again: the consumer knows of every fault that was sent, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rtpverify.daemon.nats.subjects import EVENTS
from rtpverify.history.query import Query, find
from rtpverify.sender.rtp_sender import Sender
from tests.daemon.beside import free_ports, sending
from tests.daemon.nats.test_publisher import once
from tests.daemon.test_kill import configuration, daemon
from tests.helpers.nats_server import NatsServer, settled
from tests.helpers.patience import until

SECONDS = 2.5
LOSSES = [f"loss:at={0.5 + number / 10},packets={1 + number % 3}" for number in range(15)]


@asynccontextmanager
async def sent(port: int) -> AsyncIterator[Sender]:
    with sending(port, seconds=SECONDS, faults=LOSSES) as sender:
        yield sender
        await asyncio.to_thread(sender.wait)


def truth(sender: Sender) -> list[tuple[str, int]]:
    return [(str(event.kind), event.start_frame) for event in sender.expected(0, SECONDS)]


def of_kind(kind: str, events: Iterable[dict[str, Any]]) -> list[tuple[str, int]]:
    return sorted((event["kind"], event["start_frame"]) for event in events if event["kind"] == kind)


async def test_what_was_sent_is_what_the_consumer_knows(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    (port,) = free_ports(1)
    path, store = tmp_path / "bench.toml", tmp_path / "events.sqlite"
    nats = f'[nats]\nservers = ["{server.url}"]\nsite = "north"\nbench = "b"\n'
    path.write_text(configuration(tmp_path, port).replace("[[stream]]", f"{nats}[[stream]]"))

    def stored(kind: str) -> int:
        return len(of_kind(kind, find(store, Query()).events)) if store.exists() else 0

    async with server.running():
        with daemon(path, tmp_path / "1.log") as process:
            async with sent(port) as first:
                await settled(server, EVENTS, lambda found: len(found) >= 3)
                server.kill()  # under load
            await until(lambda: stored("ended") == 1)
            process.kill()  # what the server does not have is on the disk alone
            process.wait()
        before = stored("gap")
        with daemon(path, tmp_path / "2.log") as process:
            async with sent(port) as second:
                await until(lambda: stored("gap") > before + 2)
                await server.start()
            await until(lambda: stored("ended") == 2)
            process.terminate()
            assert process.wait() == 0
        found = once(await server.messages(EVENTS))
    assert found == {event["id"]: event for event in find(store, Query()).events}
    assert len(of_kind("ended", found.values())) == 2
    # A busy host may drop packets itself, and says so; what it missed is then not what was sent.
    if not any(event["kind"] == "gap" and event["cause"] == "unknown" for event in found.values()):
        assert of_kind("gap", found.values()) == sorted(truth(first) + truth(second))
