"""An exception at any boundary of the daemon costs that step alone: streams keep their counts, and it is seen."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import rtpverify.daemon.defects
import rtpverify.daemon.service
import rtpverify.daemon.sink_set
import rtpverify.daemon.supervisor
import rtpverify.daemon.web.stream_status
from rtpverify.daemon.defects import MOST_KEPT, Defects
from rtpverify.daemon.reload import ConfigurationFiles
from rtpverify.daemon.sd_notify import Notifier
from rtpverify.daemon.sinks.event_log import EventLog
from rtpverify.daemon.sinks.evidence import Recorder
from rtpverify.daemon.sinks.history import History
from rtpverify.daemon.sinks.webhook import Webhook
from rtpverify.daemon.streams.sdp_folder import SdpFolder
from rtpverify.daemon.streams.state import StreamState
from rtpverify.daemon.web.api import Api
from rtpverify.daemon.web.server import WebServer
from rtpverify.daemon.web.sse import Hub
from rtpverify.daemon.web.stream_status import Board
from rtpverify.detect.tone.detector import ToneBank
from rtpverify.engine.verifier import Verifier
from rtpverify.errors import SourceError
from rtpverify.live.receiver_reports import Feedback
from rtpverify.rtp.batch import PacketBatch
from rtpverify.sources.live.recvmmsg import UdpReceiver
from tests.daemon.beside import free_ports, running, sending

CONFIGURATION = """
metrics.listen = "127.0.0.1:0"
log.state_seconds = 1
receive.receiver_reports = true

[history]
path = "events.sqlite"

[event_log]
path = "events.jsonl"

[recorder]
path = "evidence"

[[webhook]]
url = "http://127.0.0.1:9/"

[[folder]]
path = "."
reference = "none"

[[stream]]
name = "one"
source = "rtp://127.0.0.1:{one}"
encoding = "L24/48000/2"
reference = "tone:1283"
limits.max_stall_seconds = 60

[[stream]]
name = "two"
source = "rtp://127.0.0.1:{two}"
encoding = "L24/48000/2"
reference = "tone:1283"
limits.max_stall_seconds = 60
"""
SECONDS = 2.0
PACKETS = 2000


class InjectedError(Exception):
    """What nobody expects."""


def always(*_: Any, **__: Any) -> bool:
    return True


def of_two(of: Any, *_: Any, **__: Any) -> bool:
    return bool(of.name == "two")


BOUNDARIES = [
    # What, where it is counted, and which calls fail.
    (ToneBank, "_follow", "signal", lambda _, line, *__: line in (0, 1)),
    (Verifier, "present", "stream", lambda _, stream, *__: stream.name == "two"),
    (StreamState, "refresh", "stream", of_two),
    (StreamState, "count", "stream", of_two),
    (StreamState, "summary", "stream", of_two),
    (History, "tell", "outlet", always),
    (History, "tick", "outlet", always),
    (History, "_write", "outlet", always),
    (EventLog, "tell", "outlet", always),
    (EventLog, "_write", "outlet", always),
    (Webhook, "tell", "outlet", always),
    (Webhook, "_send", "outlet", always),
    (Recorder, "take", "outlet", always),
    (Recorder, "tell", "outlet", always),
    (Recorder, "_record", "outlet", always),
    (Recorder, "_next", "outlet", always),
    (Recorder, "stop", "outlet", always),
    (WebServer, "tell", "outlet", always),
    (WebServer, "take", "outlet", always),
    (Board, "look", "outlet", always),
    (Hub, "say", "outlet", always),
    (ToneBank, "glance", "page", always),
    (SdpFolder, "look", "supervisor", always),
    (ConfigurationFiles, "have_changed", "supervisor", always),
    (Notifier, "alive", "loop", always),
    (Feedback, "tick", "loop", always),
    (rtpverify.daemon.service.Service, "_renew_totals", "loop", always),
    (rtpverify.daemon.sink_set.SinkSet, "retry", "supervisor", always),
]


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return iter(())


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def inject(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, fails: Callable[..., bool]) -> list[bool]:
    """Let a function raise once the daemon runs; return whether it does, and who it has raised for."""
    original, armed = getattr(owner, name), [False]

    def failing(*args: Any, **options: Any) -> Any:
        if armed[0] and fails(*args, **options):
            raise InjectedError("in the middle of it")
        return original(*args, **options)

    async def failing_later(*args: Any, **options: Any) -> Any:
        return failing(*args, **options) if armed[0] else await original(*args, **options)

    monkeypatch.setattr(owner, name, failing_later if asyncio.iscoroutinefunction(original) else failing)
    return armed


@pytest.mark.parametrize(
    ("owner", "name", "where", "fails"), BOUNDARIES, ids=[f"{one[0].__name__}.{one[1]}" for one in BOUNDARIES]
)
async def test_daemon_goes_on(
    owner: Any, name: str, where: str, fails: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = free_ports(2)
    armed = inject(monkeypatch, owner, name, fails)
    async with running(tmp_path / "bench.toml", CONFIGURATION.format(one=one, two=two)) as bench:
        service = bench.service
        armed[0] = True
        with sending(one, two, faults=["loss:at=1.2,packets=3"], seconds=SECONDS) as sender:
            await asyncio.to_thread(sender.wait, 60)
        await bench.until(lambda: service.verifier.streams)
        await bench.until(
            lambda: (
                sum(service.verifier.wire(stream).packets_expected for stream in service.verifier.streams)
                == 2 * PACKETS
            )
        )
        if name not in ("stop", "summary"):
            await bench.until(lambda: service.defects.counts[where])
            # Seen in the metrics, and whoever asks whether the daemon is ready is told.
            await bench.until(lambda: service.snapshot.defects.get(where))
            status, text = await asyncio.to_thread(get, f"{service.metrics_url}")
            assert status == 200
            assert f'rtpverify_internal_errors_total{{where="{where}"}}' in text
            assert f'rtpverify_internal_errors_total{{where="{where}"}} 0' not in text
            status, text = await asyncio.to_thread(get, service.metrics_url.replace("/metrics", "/readyz"))
            assert status == 503
            assert "InjectedError: in the middle of it" in text
        for stream in service.verifier.streams:
            glance = service.verifier.wire(stream)
            assert (glance.packets_expected, glance.packets_lost) == (PACKETS, 3)
        counted = {name for name in ("one", "two") if name == "one" or fails is not of_two}
        if name not in ("present", "refresh", "count"):
            for stream_name in counted:
                await bench.until(lambda: bench.packets(stream_name) == PACKETS - 3)  # noqa: B023 - awaited here
        bench.stop.set()
    assert bench.result is not None
    logged = [line for line in bench.lines if line["event"] == "defect of rtpverify"]
    assert logged
    assert {line["where"] for line in logged} == {where}
    assert logged[0]["reason"] == "InjectedError: in the middle of it"
    assert "in the middle of it" in Path(logged[0]["traceback"]).read_text()


@pytest.mark.parametrize(
    "error", [InjectedError("in the middle of it"), SourceError("127.0.0.1:1: Input/output error")]
)
async def test_daemon_receives_again_once_it_can(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = free_ports(2)
    async with running(tmp_path / "bench.toml", CONFIGURATION.format(one=one, two=two)) as bench:
        service = bench.service
        original, fails = UdpReceiver.drain, [True]

        def drain(receiver: UdpReceiver) -> PacketBatch | None:
            if fails[0]:
                raise error
            return original(receiver)

        await bench.until(lambda: service.unready() == [])
        monkeypatch.setattr(UdpReceiver, "drain", drain)
        with sending(one, two, faults=["loss:at=0.3,packets=3"], seconds=0.5) as sender:
            await asyncio.to_thread(sender.wait, 60)
        reason = "cannot receive: 127" if isinstance(error, SourceError) else "InjectedError: in the middle of it"
        await bench.until(lambda: any(reason in line for line in service.unready()))
        fails[0] = False
        await bench.until(lambda: bench.packets("one") == bench.packets("two") == 497)
        assert {service.verifier.wire(stream).packets_lost for stream in service.verifier.streams} == {3}
        bench.stop.set()
    assert bench.result is not None
    told = [line["event"] for line in bench.lines if line["event"] in ("cannot receive", "receiving again")]
    assert told == (["cannot receive", "receiving again"] if isinstance(error, SourceError) else [])
    assert bool(bench.told("defect of rtpverify")) is not isinstance(error, SourceError)


async def test_stream_that_cannot_be_judged_is_shown_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = free_ports(2)
    armed = inject(monkeypatch, ToneBank, "_follow", lambda _, line, *__: line in (0, 1))
    async with running(tmp_path / "bench.toml", CONFIGURATION.format(one=one, two=two)) as bench:
        armed[0] = True
        url = bench.service.metrics_url.removesuffix("metrics")
        with sending(one, two, seconds=20):
            await bench.until(lambda: any(stream.failure for stream in bench.service.verifier.streams))
            failed = next(stream for stream in bench.service.verifier.streams if stream.failure)
            other = "two" if failed.name == "one" else "one"
            seen: dict[str, Any] = {}

            async def look() -> None:
                _, text = await asyncio.to_thread(get, f"{url}api/streams")
                seen.update({line["name"]: line for line in json.loads(text)["streams"]})

            for _ in range(200):
                await look()
                if seen[failed.name]["health"] == "unjudged" and seen[other]["health"] == "ok":
                    break
                await asyncio.sleep(0.1)
            assert seen[other]["health"] == "ok"
            assert seen[failed.name]["health"] == "unjudged"
            assert "internal error in rtpverify: InjectedError" in seen[failed.name]["reason"]
            _, ready = await asyncio.to_thread(get, f"{url}readyz")
            assert f"stream {failed.name}: not checked" in ready
            await bench.until(lambda: bench.service.states[failed.name].snapshot.judged is False)
            await bench.until(lambda: bench.service.states[other].snapshot.judged is True)
        bench.stop.set()


async def test_page_that_fails_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = free_ports(2)
    armed = inject(monkeypatch, Api, "streams", always)
    async with running(tmp_path / "bench.toml", CONFIGURATION.format(one=one, two=two)) as bench:
        armed[0] = True
        url = bench.service.metrics_url.removesuffix("metrics")
        status, _ = await asyncio.to_thread(get, f"{url}api/streams")
        assert status == 500
        assert bench.service.defects.counts["page"] == 1
        armed[0] = False
        status, _ = await asyncio.to_thread(get, f"{url}api/streams")
        assert status == 200
        bench.stop.set()


async def test_reload_that_fails_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = free_ports(2)
    text = CONFIGURATION.format(one=one, two=two)
    armed = inject(monkeypatch, rtpverify.daemon.sink_set.SinkSet, "swap", always)
    async with running(tmp_path / "bench.toml", text) as bench:
        armed[0] = True
        bench.write(text.replace('name = "two"', 'name = "three"'))
        await bench.until(lambda: bench.service.defects.counts["supervisor"])
        assert set(bench.service.states) == {"one", "two"}
        assert bench.service.snapshot.last_reload_successful is False
        armed[0] = False
        bench.service.ask_reload()
        await bench.until(lambda: set(bench.service.states) == {"one", "three"})
        assert bench.service.snapshot.last_reload_successful is True
        bench.stop.set()


class TestDefects:
    @pytest.fixture
    def lines(self) -> list[dict[str, Any]]:
        return []

    @pytest.fixture
    def defects(self, lines: list[dict[str, Any]]) -> Defects:
        def keep(_logger: object, _method: str, line: dict[str, Any]) -> str:
            lines.append(line)
            raise structlog.DropEvent

        return Defects(structlog.wrap_logger(structlog.PrintLogger(), processors=[keep]))

    def test_the_same_again_is_counted_and_told_once(self, defects: Defects, lines: list[dict[str, Any]]) -> None:
        for _ in range(5):
            with defects.contained("outlet", "history"):
                raise InjectedError("again")
        assert defects.counts["outlet"] == 5
        assert len(lines) == 1
        assert defects.recent() == ["internal error in rtpverify: sink of history: InjectedError: again"]

    def test_flood_of_different_ones_is_bounded(
        self, defects: Defects, lines: list[dict[str, Any]], tmp_path: Path
    ) -> None:
        for number in range(3 * MOST_KEPT):
            with defects.contained("page", f"/{number}"):
                raise InjectedError("flood")
        assert defects.counts["page"] == 3 * MOST_KEPT
        assert len(lines) == len(list(tmp_path.glob("rtpverify-*.traceback"))) == MOST_KEPT

    def test_what_is_long_ago_is_no_reason_not_to_be_ready(
        self, defects: Defects, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with defects.contained("loop"):
            raise InjectedError("once")
        assert defects.recent()
        monkeypatch.setattr(rtpverify.daemon.defects, "RECENT_SECONDS", -1.0)
        assert defects.recent() == []
