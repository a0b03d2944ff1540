"""Against a real nats-server: what the history holds is there, all of it and once, whatever was killed meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from rtpverify.daemon.nats import publisher
from rtpverify.daemon.nats.publisher import NatsPublisher
from rtpverify.daemon.nats.server import connected
from rtpverify.daemon.nats.subjects import EVENTS, MESSAGE_ID, STATES
from rtpverify.daemon.nats.table import NatsTable
from rtpverify.daemon.sinks.history import History, HistoryTable
from rtpverify.history.outbox import Outbox
from rtpverify.history.query import Query, find
from rtpverify.history.store import Store
from tests.daemon.beside import free_ports, running, sending
from tests.helpers.documents import NOW_NS, Telling, document
from tests.helpers.nats_server import NatsServer, settled
from tests.helpers.patience import until
from tests.helpers.sinks import started


@pytest.fixture
def server(tmp_path: Path) -> NatsServer:
    return NatsServer(tmp_path / "nats")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session that failed begin again at once."""
    monkeypatch.setattr(publisher, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(publisher, "LONGEST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(publisher, "POLL_SECONDS", 0.01)


class Bench(Telling):
    """A service with a history and nothing to show."""

    def __init__(self) -> None:
        super().__init__("left")
        self.history: History | None = None
        self.defects = self

    def sink(self, kind: type[Any]) -> Any:
        return self.history if kind is History else None

    def take(self, *what: object) -> None:
        raise AssertionError(what)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


def table(server: NatsServer, **more: Any) -> NatsTable:
    return NatsTable.model_validate(
        {"servers": [server.url], "site": "north", "bench": "bench-1", **more}, context=server.folder
    )


@asynccontextmanager
async def publishing(
    bench: Bench, server: NatsServer, store: Path, **more: Any
) -> AsyncIterator[tuple[History, NatsPublisher]]:
    bench.history = History(HistoryTable.model_validate({"path": str(store)}), bench)  # type: ignore[arg-type]
    sink = NatsPublisher(table(server, **more), bench)  # type: ignore[arg-type]
    async with started(bench.history) as history, started(sink):
        yield history, sink


def once(messages: list[Any]) -> dict[str, dict[str, Any]]:
    """Return the last message of each event; no state of one was published twice."""
    assert len({headers[MESSAGE_ID] for _, _, headers in messages}) == len(messages)
    states = [(content["event"]["id"], content["event"]["open"]) for _, content, _ in messages]
    assert len(set(states)) == len(states)
    return {content["event"]["id"]: content["event"] for _, content, _ in messages}


def kept(store: Path) -> dict[str, dict[str, Any]]:
    return {event["id"]: event for event in find(store, Query()).events}


async def test_an_event_is_published_on_the_subject_of_its_stream(
    bench: Bench, server: NatsServer, store: Path
) -> None:
    async with server.running(), publishing(bench, server, store) as (history, sink):
        history.tell([bench.told(1)])
        ((to, content, headers),) = await settled(server, EVENTS, len)
        await until(lambda: sink.counts["written"] == 1 and sink.waiting == 0)
        assert sink.trouble is None
    assert to == "rtpverify.event.north.bench-1.left"
    assert (content["schema"], content["site"], content["bench"]) == ("rtpverify.fleet.event/1", "north", "bench-1")
    assert content["event"] == kept(store)["000000000001"]
    assert headers[MESSAGE_ID].startswith("north/bench-1/left/000000000001/")


async def test_one_that_lasts_is_published_as_it_begins_and_as_it_ends(
    bench: Bench, server: NatsServer, store: Path
) -> None:
    async with server.running(), publishing(bench, server, store) as (history, _):
        history.tell([bench.told(1, open=True)])
        await settled(server, EVENTS, len)
        history.tell([bench.told(1, is_new=False, duration_frames=96)])
        messages = await settled(server, EVENTS, lambda found: len(found) == 2)
    assert [content["event"]["open"] for _, content, _ in messages] == [True, False]
    assert once(messages) == kept(store)


async def test_a_server_killed_under_load_has_every_event_once(bench: Bench, server: NatsServer, store: Path) -> None:
    async with server.running(), publishing(bench, server, store) as (history, sink):
        for kills in range(4):
            for number in range(10):
                first = 1000 * kills + 100 * number
                history.tell([bench.told(first + more) for more in range(100)])
                if number == 5:
                    await until(lambda kills=kills: sink.counts["written"] > 1000 * kills)  # in the middle of it
                    server.kill()
            await until(lambda: sink.trouble)
            await server.start()
        await until(lambda: sink.counts["written"] == 4000 and sink.waiting == 0, lambda: (sink.counts, sink.trouble))
        found = once(await settled(server, EVENTS, lambda found: len(found) >= 4000))
    assert found == kept(store)
    assert len(found) == 4000
    assert {line["event"] for line in bench.logged} >= {"nats not reached", "nats reached again"}


async def test_what_was_stored_without_being_confirmed_is_not_published_again(
    bench: Bench, server: NatsServer, store: Path
) -> None:
    """Not even where the server has forgotten the identities of messages by then."""
    async with server.running():
        async with connected(table(server), "test") as connection:
            from nats.js.api import StreamConfig

            forgetful = StreamConfig(name=EVENTS, subjects=["rtpverify.event.>"], duplicate_window=0.1)
            await connection.jetstream.add_stream(forgetful)
            with closing(Store(store, max_age_seconds=1e9, max_bytes=1 << 30)) as made:
                made.write([document(number) for number in range(5)], NOW_NS)
            sender = NatsPublisher(table(server), bench)  # type: ignore[arg-type]
            with closing(Outbox(store)) as outbox:  # sends three, and is killed before the server confirms
                unsent = [sender.message_of(item, outbox.place) for item in outbox.next(3)]
            await connection.publish(unsent, EVENTS)
        await asyncio.sleep(0.3)  # past the window
        async with publishing(bench, server, store) as (_, sink):
            await until(lambda: sink.counts["written"] == 2)
            messages = await settled(server, EVENTS, lambda found: len(found) == 5)
    assert once(messages) == kept(store)


async def test_events_wait_on_the_disk_while_nothing_runs(bench: Bench, server: NatsServer, store: Path) -> None:
    for number in range(3):
        async with publishing(bench, server, store) as (history, sink):
            history.tell([bench.told(number)])
            await until(lambda: sink.trouble)
    async with server.running(), publishing(bench, server, store) as (_, sink):
        await until(lambda: sink.counts["written"] == 3)
        assert once(await server.messages(EVENTS)) == kept(store)


async def test_a_history_that_is_begun_anew_is_published_too(bench: Bench, server: NatsServer, store: Path) -> None:
    async with server.running(), publishing(bench, server, store) as (history, sink):
        history.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
        store.unlink()
        history.tell([bench.told(2)])
        await until(lambda: sink.counts["written"] == 2, lambda: (sink.trouble, bench.logged))
        assert len(once(await server.messages(EVENTS))) == 2


async def test_an_event_that_is_too_large_keeps_no_other_back(bench: Bench, tmp_path: Path, store: Path) -> None:
    server = NatsServer(tmp_path / "nats", "max_payload: 4096")
    async with server.running(), publishing(bench, server, store) as (history, sink):
        history.tell([bench.told(1), bench.told(2, message="x" * 8000), bench.told(3)])
        await until(lambda: sink.counts["written"] == 2 and sink.waiting == 0)
        assert sink.counts["refused"] == 1
        assert once(await server.messages(EVENTS)).keys() == {f"{1:012x}", f"{3:012x}"}
    assert [line["id"] for line in bench.logged if line["event"] == "nats refused event"] == [f"{2:012x}"]


async def test_a_stream_that_is_full_loses_nothing(bench: Bench, server: NatsServer, store: Path) -> None:
    from nats.js.api import DiscardPolicy, StreamConfig

    config = StreamConfig(name=EVENTS, subjects=["rtpverify.event.>"], max_msgs=2, discard=DiscardPolicy.NEW)
    async with server.running(), connected(table(server), "test") as connection:
        await connection.jetstream.add_stream(config)
        async with publishing(bench, server, store) as (history, sink):
            history.tell([bench.told(number) for number in range(5)])
            await until(lambda: sink.trouble and "maximum messages exceeded" in sink.trouble, lambda: sink.trouble)
            assert (sink.counts["written"], sink.waiting) == (2, 3)
            await connection.jetstream.update_stream(config.evolve(max_msgs=9))
            await until(lambda: sink.counts["written"] == 5 and sink.trouble is None, lambda: sink.trouble)
            assert once(await server.messages(EVENTS)) == kept(store)


async def test_who_may_publish(bench: Bench, tmp_path: Path, store: Path) -> None:
    server = NatsServer(tmp_path / "nats", 'authorization { token: "open sesame" }')
    (server.folder / "token").write_text("open sesame\n")
    (server.folder / "wrong").write_text("close sesame\n")
    async with server.running():
        async with publishing(bench, server, store, token_file="wrong") as (history, sink):  # noqa: S106
            history.tell([bench.told(1)])
            await until(lambda: sink.trouble and "Authorization" in sink.trouble, lambda: sink.trouble)
        async with publishing(bench, server, store, token_file="token") as (_, sink):  # noqa: S106
            await until(lambda: sink.counts["written"] == 1)
    assert "sesame" not in str(bench.logged)


async def test_a_seed_lets_in(bench: Bench, tmp_path: Path, store: Path) -> None:
    nkeys, seed = pytest.importorskip("nkeys"), b"SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU"
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    server = NatsServer(tmp_path / "nats", f"authorization {{ users: [ {{ nkey: {public} }} ] }}")
    (server.folder / "seed").write_bytes(seed)
    async with server.running(), publishing(bench, server, store, nkey_file="seed") as (history, sink):
        history.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1, lambda: sink.trouble)


@pytest.fixture
def tls(tmp_path: Path, certificate: dict[str, str]) -> NatsServer:
    files = f'cert_file: "{certificate["certificate"]}", key_file: "{certificate["key"]}"'
    return NatsServer(
        tmp_path / "nats", f'tls {{ {files}, ca_file: "{certificate["certificate"]}", verify: true }}', scheme="tls"
    )


async def test_both_ends_show_a_certificate(
    bench: Bench, tls: NatsServer, store: Path, certificate: dict[str, str]
) -> None:
    async with tls.running():
        async with publishing(bench, tls, store) as (history, sink):  # the system trusts no such certificate
            history.tell([bench.told(1)])
            await until(lambda: sink.trouble and "certificate" in sink.trouble, lambda: sink.trouble)
        options = {"ca_file": certificate["certificate"], **certificate}
        async with publishing(bench, tls, store, **options) as (_, sink):
            await until(lambda: sink.counts["written"] == 1, lambda: sink.trouble)


async def test_how_streams_and_the_daemon_fare(tmp_path: Path, server: NatsServer) -> None:
    (port,) = free_ports(1)
    text = (
        f'[metrics]\nlisten = "127.0.0.1:0"\n[history]\npath = "events.sqlite"\n[nats]\nservers = ["{server.url}"]\n'
        'site = "north"\nbench = "b.1"\nstate_seconds = 0.5\n[[stream]]\nname = "a.1"\n'
        f'source = "rtp://127.0.0.1:{port}"\nencoding = "L24/48000/2"\nreference = "tone:1283"\n'
    )

    def shows(found: list[Any], health: str) -> bool:
        return any(content.get("stream", {}).get("health") == health for _, content, _ in found)

    async with server.running(at_once=False):
        async with running(tmp_path / "bench.toml", text) as bench:
            await bench.until(lambda: any("nats" in reason for reason in bench.service.unready()))
            await server.start()
            await bench.until(lambda: not bench.service.unready())
            with sending(port, seconds=60.0):
                found = await settled(server, STATES, lambda found: shows(found, "ok"))
            assert [to for to, _, _ in found] == ["rtpverify.state.north.b%2E1.a%2E1", "rtpverify.bench.north.b%2E1"]
            state, about = found[0][1], found[1][1]
            assert state["stream"]["name"] == "a.1"
            assert (about["state"], about["streams"], about["reasons"]) == ("running", ["a.1"], [])
            assert {one["name"] for one in about["host"]["sinks"]} == {"metrics", "history", "nats"}
            await settled(server, STATES, lambda found: shows(found, "down"))
        assert (await server.messages(STATES))[-1][1]["state"] == "stopped"
        (ended,) = once(await server.messages(EVENTS)).values()
    assert (ended["kind"], ended["open"]) == ("ended", False)


def test_what_is_needed() -> None:
    """Without the extra a daemon says what to install."""
    code = (
        "import sys, asyncio; sys.modules['nats'] = None\n"
        "from rtpverify.daemon.nats.server import require_nats\n"
        "from rtpverify.errors import RequestError\n"
        "try: require_nats()\n"
        "except RequestError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'rtpverify[nats]'" in done.stdout
