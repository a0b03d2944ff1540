"""Connections count from accept, have deadlines, and make room for others in a stated order; on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import re
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rtpverify.daemon.web import connections
from tests.daemon.web.bench import Client, serving
from tests.helpers.patience import PATIENCE_SECONDS, until

LATER = 3600.0
"""A deadline that does not come."""
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
Run = Callable[[Coroutine[Any, Any, None]], None]
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = None if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(main, PATIENCE_SECONDS))

    return run


async def connect(client: Client) -> Peer:
    """Open a connection, and wait until it was accepted."""
    before = accepted(client)
    peer = await asyncio.open_connection(client.server.listen.address, client.server.listen.port)
    await until(lambda: accepted(client) > before)
    return peer


def accepted(client: Client) -> int:
    counts = client.server.counts
    return len(client.server.connections) + counts["connections_refused"] + counts["connections_ended_for_others"]


async def ask(peer: Peer, path: bytes = b"/healthz") -> bytes:
    """Send a request; return the status of its answer, which is read to its end where it has one."""
    peer[1].write(GET % path)
    head = await peer[0].readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    await peer[0].readexactly(int(length[1]) if length else 0)
    return head.split()[1]


async def is_ended(peer: Peer) -> bool:
    """Read until the other end has closed; it always has in the end, or the test takes too long."""
    with contextlib.suppress(ConnectionError):
        while await peer[0].read(4096):
            pass
    return True


@contextlib.asynccontextmanager
async def closing(*peers: Peer) -> Any:
    try:
        yield
    finally:
        for _, writer in peers:
            writer.close()


def test_who_never_asked_goes_first_and_then_who_waits_longest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)

    async def main() -> None:
        async with serving() as client:
            asked = [await connect(client)]
            assert await ask(asked[0]) == b"200"
            asked.append(await connect(client))
            assert await ask(asked[1]) == b"200"
            silent = await connect(client)
            newest = await connect(client)
            assert await is_ended(silent)
            assert await ask(newest) == b"200"
            assert await ask(asked[0]) == b"200"  # now it waits after the others
            another = await connect(client)
            assert await is_ended(asked[1])
            for peer in (asked[0], newest, another):
                assert await ask(peer) == b"200"
            assert client.server.counts["connections_ended_for_others"] == 2
            assert client.server.counts["connections_refused"] == 0
            async with closing(*asked, silent, newest, another):
                pass

    run(main())


def test_where_all_are_being_answered_the_new_one_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)

    async def main() -> None:
        async with serving() as client:
            live = [await connect(client) for _ in range(2)]
            for peer in live:
                assert await ask(peer, b"/api/live") == b"200"
            refused = await connect(client)
            assert await is_ended(refused)
            assert client.server.counts["connections_refused"] == 1
            assert client.server.counts["connections_ended_for_others"] == 0
            client.server.hub.say("events", "still here")
            for reader, _ in live:
                await reader.readuntil(b"still here")
            async with closing(*live, refused):
                pass

    run(main())


def test_handshakes_count(run: Run, certificate: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", LATER)

    async def main() -> None:
        async with serving(**certificate) as client:
            trust = ssl.create_default_context(cafile=certificate["certificate"])
            url, last = f"{client.url}/healthz", {"Connection": "close"}
            async with client.session.get(url, ssl=trust, headers=last) as answer:
                assert answer.status == 200
            await until(lambda: len(client.server.connections) == 0)
            before = descriptors()
            silent = []
            for _ in range(10):
                silent.append(await connect(client))
                assert len(client.server.connections) <= 3
            for peer in silent[:7]:
                assert await is_ended(peer)
            async with client.session.get(url, ssl=trust, headers=last) as answer:
                assert answer.status == 200
            assert await is_ended(silent[7])
            assert client.server.counts["connections_ended_for_others"] == 8
            for _, writer in silent:
                writer.close()
            await until(lambda: len(client.server.connections) == 0)
            await until(lambda: descriptors() <= before)

    run(main())


def test_a_handshake_has_a_deadline(run: Run, certificate: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.1)

    async def main() -> None:
        async with serving(**certificate) as client:
            silent, halfway = await connect(client), await connect(client)
            halfway[1].write(b"\x16\x03\x01\x02\x00\x01")  # how a hello begins
            for peer in (silent, halfway):
                assert await is_ended(peer)
            await until(lambda: len(client.server.connections) == 0)
            assert client.server.counts["handshakes_failed"] == 2
            assert client.server.counts["connections_ended_for_others"] == 0
            async with closing(silent, halfway):
                pass

    run(main())


def test_a_first_request_has_a_deadline_and_an_answer_that_goes_on_has_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 1.0)

    async def main() -> None:
        async with serving() as client:
            live = await connect(client)
            assert await ask(live, b"/api/live") == b"200"
            silent, halfway = await connect(client), await connect(client)
            halfway[1].write(b"GET /healthz HTTP/1.1\r\nHost: local")
            for peer in (silent, halfway):
                assert await is_ended(peer)
            assert client.server.counts["connections_timed_out"] == 2
            client.server.hub.say("events", "still here")
            await live[0].readuntil(b"still here")
            async with closing(live, silent, halfway):
                pass

    run(main())


def test_reserved_descriptors_are_not_kept_and_room_is_made(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving() as client:
            silent = await connect(client)
            highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
            filling = [os.dup(0)]
            while filling[-1] < highest:  # a free one below would do as well
                filling.append(os.dup(0))
            os.close(filling.pop())
            # Those of the client itself are taken; one is free where the silent one was.
            monkeypatch.setattr(connections, "first_reserved", lambda: highest + 1)
            served = await connect(client)
            assert await ask(served) == b"200"
            assert await is_ended(silent)
            monkeypatch.setattr(connections, "first_reserved", lambda: 0)
            refused = await connect(client)
            assert await is_ended(refused)
            assert await is_ended(served)
            assert client.server.counts["connections_refused"] == 1
            async with closing(silent, refused, served):
                pass
            for descriptor in filling:
                os.close(descriptor)

    run(main())


async def test_what_cannot_be_accepted_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    original, tries = loop.sock_accept, list[float]()

    async def accept(listening: Any) -> Any:
        tries.append(loop.time())
        if len(tries) <= 4:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return await original(listening)

    monkeypatch.setattr(loop, "sock_accept", accept)
    async with serving() as client:
        peer = await connect(client)
        assert await ask(peer) == b"200"
        assert client.server.counts["accepts_failed"] == 4
        peer[1].close()
    waits = [after - before for before, after in itertools.pairwise(tries)][:4]
    shortest = [connections.FIRST_RETRY_SECONDS * 2**number for number in range(4)]
    assert all(wait >= 0.9 * least for wait, least in zip(waits, shortest, strict=True))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
