"""Sinks are made by their tables, started, told everything, and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import structlog

from rtpverify.daemon import sink_set, supervisor
from rtpverify.daemon.configuration import Configuration
from rtpverify.daemon.service import Service
from rtpverify.daemon.sinks.base import ReportedEvent, Sink, SinkTable
from rtpverify.daemon.web.context import ServiceView
from rtpverify.errors import SourceError
from rtpverify.rtp.batch import PacketBatch
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import parse_endpoint
from tests.daemon.test_service import free_ports
from tests.helpers.patience import until


class Spy(Sink):
    made: ClassVar[list[Spy]] = []

    def __init__(self, table: SpyTable, service: ServiceView) -> None:
        super().__init__()
        self.service, self.fails = service, table.fails
        self.made.append(self)
        self.steps: list[str] = []
        self.documents: list[dict[str, object]] = []
        self.datagrams = 0
        self.datagrams_when_told = 0

    async def start(self) -> None:
        self.steps.append("start")
        if self.fails:
            raise SourceError("spy: fails")

    async def stop(self) -> None:
        self.steps.append("stop")

    def tell(self, told: Sequence[ReportedEvent]) -> None:
        self.documents += [item.document for item in told if item.is_new]
        self.datagrams_when_told = self.datagrams

    def take(self, batch: PacketBatch) -> None:
        self.datagrams += len(batch)

    def tick(self, now_ns: int) -> None:
        if now_ns > 0 and self.service.unready() == []:
            self.trouble = "has seen enough"
        if len(self.steps) < 3:
            self.steps.append("tick")


class SpyTable(SinkTable):
    fails: bool = False


class SpiedConfiguration(Configuration):
    spies: tuple[SpyTable, ...] = ()


@pytest.fixture(autouse=True)
def _spies_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sink_set.SINKS, SpyTable, Spy)


def configuration(port: int, *spies: SpyTable) -> Configuration:
    Spy.made.clear()
    stream = {
        "name": "a",
        "source": f"rtp://127.0.0.1:{port}",
        "encoding": "L24/48000/2",
        "reference": "tone:1283",
        "limits": {"max_stall_seconds": 60},  # a busy machine may hold the sender up
    }
    data = {"metrics": {"listen": "127.0.0.1:0"}, "stream": [stream], "spies": [spy.model_dump() for spy in spies]}
    return SpiedConfiguration.model_validate(data)


async def test_an_sink_sees_packets_time_and_events_between_start_and_stop() -> None:
    port = free_ports()["left"]
    stop = asyncio.Event()
    service = Service(configuration(port, SpyTable(), SpyTable()), structlog.get_logger().bind())
    assert service.unready() == ["not receiving yet"]
    async with service:
        running = asyncio.create_task(service.run(stop))
        to = StreamSettings(parse_endpoint(f"rtp://127.0.0.1:{port}"), faults=[parse_fault("loss:at=0.3,packets=3")])
        with Sender([to], duration_seconds=0.8) as sender:
            sender.start()
            while not await asyncio.to_thread(sender.wait, 0.1):
                pass
        await until(lambda: Spy.made[0].datagrams >= 797)
        stop.set()
        await running
    first, second = Spy.made
    assert service.sinks["spies[1]"] is first
    assert service.sink(Spy) is first
    assert first.steps == ["start", "tick", "tick", "stop"]
    (gap,) = first.documents
    assert (gap["stream"], gap["kind"], gap["duration_frames"]) == ("a", "gap", 144)
    assert second.documents[0] is gap
    assert first.datagrams == service.states["a"].snapshot.packets["received"] == 797  # the last ones, too
    assert first.datagrams_when_told >= 303
    assert service.unready()[:1] == ["spies[1]: has seen enough"]


async def test_where_one_cannot_start_those_before_it_are_stopped() -> None:
    table = configuration(free_ports()["left"], SpyTable(), SpyTable(fails=True), SpyTable())
    with pytest.raises(SourceError, match="spy: fails"):
        async with Service(table, structlog.get_logger().bind()):
            pass
    assert [spy.steps for spy in Spy.made] == [["start", "stop"], ["start", "stop"]]


class Unsteady(Spy):
    """Cannot be made, and then cannot start, for some times."""

    not_made: ClassVar[list[Exception]] = []
    not_started: ClassVar[list[Exception]] = []

    def __init__(self, table: SpyTable, service: ServiceView) -> None:
        if self.not_made:
            raise self.not_made.pop(0)
        super().__init__(table, service)

    async def start(self) -> None:
        await super().start()
        if self.not_started:
            raise self.not_started.pop(0)


async def test_what_cannot_start_for_a_reason_nobody_expects_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sink_set, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "WATCH_SECONDS", 0.01)
    monkeypatch.setitem(sink_set.SINKS, SpyTable, Unsteady)
    Unsteady.not_made[:] = [RuntimeError("cannot be made")]
    Unsteady.not_started[:] = [OSError(24, "Too many open files"), SourceError("no place")]
    table = configuration(free_ports()["left"], SpyTable())
    stop = asyncio.Event()
    seen: list[str] = []
    async with Service(table, structlog.get_logger().bind()) as service:
        running = asyncio.create_task(service.run(stop))

        def holds() -> bool:
            trouble = service.sinks["spies[1]"].trouble
            if trouble not in seen:
                seen.append(str(trouble))
            return trouble in (None, "has seen enough") and "tick" in Spy.made[-1].steps

        await until(holds)
        assert isinstance(service.sinks["spies[1]"], Unsteady)
        assert [spy.steps[:2] for spy in Spy.made] == [["start", "stop"], ["start", "stop"], ["start", "tick"]]
        assert service.defects.counts["outlet"] == 2  # that there is no place is no defect
        stop.set()
        await running
    assert set(seen) & {
        "could not start: RuntimeError: cannot be made",
        "could not start: OSError: [Errno 24] Too many open files",
        "could not start: no place",
    }
