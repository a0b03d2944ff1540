from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from rtpverify.daemon.sinks import evidence
from rtpverify.daemon.sinks.base import ReportedEvent
from rtpverify.daemon.sinks.evidence import Recorder, RecorderTable
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import StreamEvent, Verifier
from rtpverify.evidence.folder import AUDIO, EVENT, PACKETS, PLOT, EvidenceFolder, evidence_in
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.documents import Telling
from tests.helpers.faulty import packets
from tests.helpers.patience import PATIENCE_SECONDS, until
from tests.helpers.processes import started_processes
from tests.helpers.sinks import started

Opening = Callable[..., AbstractAsyncContextManager[Recorder]]


@pytest.fixture
def opened(bench: Telling) -> Opening:
    def opened(path: Path | str, **options: object) -> AbstractAsyncContextManager[Recorder]:
        table = RecorderTable.model_validate({"path": str(path), **options})
        return started(Recorder(table, bench))  # type: ignore[arg-type]

    return opened


def feed(sink: Recorder, faults: Sequence[str], seconds: float = 3.0, **options: Any) -> list[ReportedEvent]:
    """Let a sink see what a verifier sees and tells; return what was told."""
    encoding = "L24/16000/2"
    spec = StreamSpec("left", encoding=parse_rtpmap(encoding), reference=parse_reference("tone:1283"))
    verifier = Verifier([spec])
    everything: list[ReportedEvent] = []

    def tell(told: Sequence[StreamEvent]) -> None:
        everything.extend(ReportedEvent(item.stream, item.event, item.is_new) for item in told)
        sink.tell([ReportedEvent(item.stream, item.event, item.is_new) for item in told])

    for batch in packets(faults, seconds, encoding=encoding, packet_frames=64, **options):
        sink.take(batch)
        tell(verifier.feed(batch))
    tell(verifier.finish())
    return everything


async def test_evidence_is_kept_of_each_event(opened: Opening, tmp_path: Path) -> None:
    async with opened(tmp_path / "new" / "evidence") as sink:
        feed(sink, ["loss:at=1,packets=3", "slip:at=2,frames=5"], seconds=4)
        await until(lambda: sink.counts["written"] == 2)
        gap, slip = evidence_in(sink.path)
        assert (gap.kind, slip.kind) == ("gap", "slip")
        assert sorted(gap.files) == sorted([AUDIO, EVENT, PACKETS, PLOT])
        assert gap.document()["event"]["stream"] == "left"
        assert sink.size_bytes == sum(path.stat().st_size for item in (gap, slip) for path in item.files.values())
        assert sink.memory_bytes > 0
        assert sink.counts == {"written": 2, "dropped": 0, "limited": 0, "empty": 0, "failed": 0, "removed": 0}


async def test_only_chosen_events_are_recorded(opened: Opening, tmp_path: Path) -> None:
    async with opened(tmp_path, kinds=["slip"]) as sink:
        feed(sink, ["loss:at=1,packets=3", "slip:at=2,frames=5"], seconds=4)
        await until(lambda: sink.counts["written"] == 1)
    assert [item.kind for item in evidence_in(tmp_path)] == ["slip"]


async def test_what_becomes_of_an_event_is_added_to_its_evidence(opened: Opening, tmp_path: Path) -> None:
    async with opened(tmp_path) as sink:
        told = feed(sink, ["noise:at=1,dbfs=-60,duration=3"], seconds=7)
        await until(lambda: sink.counts["written"] == 1)
    (item,) = evidence_in(tmp_path)
    event = item.document()["event"]
    assert not event["open"]
    assert event["duration_frames"] == told[-1].event.duration_frames > 40_000
    assert sorted(path.name for path in item.path.iterdir()) == sorted([AUDIO, EVENT, PACKETS, PLOT])


async def test_of_one_stream_no_more_than_so_many_a_minute(opened: Opening, tmp_path: Path) -> None:
    faults = [f"click:at={1 + 0.05 * number},size=0.1" for number in range(20)]
    async with opened(tmp_path, max_per_minute=3) as sink:
        told = feed(sink, faults)
        await until(lambda: sink.counts["written"] >= 3)
    kept = sink.counts["written"]
    assert sink.counts["limited"] == len({item.event.id for item in told}) - kept > 10
    assert len(evidence_in(tmp_path)) == kept


async def test_a_thread_that_hangs_holds_nobody_up(
    opened: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "CAPACITY", 4)
    monkeypatch.setattr(evidence, "STOP_SECONDS", 0.05)
    free = threading.Event()
    monkeypatch.setattr(EvidenceFolder, "add", lambda *_: free.wait(PATIENCE_SECONDS))
    faults = [f"click:at={1 + 0.05 * number},size=0.1" for number in range(20)]
    async with opened(tmp_path, max_per_minute=100) as sink:
        told = feed(sink, faults)
        assert sink.waiting <= 4
    assert sink.counts["dropped"] >= len({item.event.id for item in told}) - 2
    free.set()


async def test_a_full_disk_costs_evidence_and_is_told(opened: Opening, bench: Telling, small_disk: Path) -> None:
    root = small_disk / "evidence"
    async with opened(root) as sink:
        filler = small_disk / "filler"
        filler.write_bytes(bytes(1_000_000))
        feed(sink, ["slip:at=1,frames=5"])
        await until(lambda: sink.counts["failed"] == 1)
        assert str(sink.trouble).endswith("No space left on device")
        assert [path.name for path in root.iterdir()] == []
        filler.unlink()
        feed(sink, ["slip:at=1,frames=7"], ssrc=5)
        await until(lambda: sink.counts["written"] == 1)
        assert sink.trouble is None
    assert [line["event"] for line in bench.logged] == ["evidence not written", "evidence writable again"]


async def test_a_folder_that_cannot_be_made_is_told_at_once(opened: Opening, bench: Telling, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with opened(tmp_path / "file" / "evidence") as sink:
        await until(lambda: sink.trouble)
        assert str(sink.trouble).endswith("evidence: Not a directory")
        feed(sink, ["slip:at=1,frames=5"])
        await until(lambda: sink.counts["failed"] == 2)
    assert [line["event"] for line in bench.logged] == ["evidence not written"]


async def test_a_process_that_dies_costs_one_event(
    opened: Opening, bench: Telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = started_processes(monkeypatch)
    async with opened(tmp_path) as sink:
        feed(sink, ["click:at=1,size=0.1"])
        await until(lambda: sink.counts["written"] == 1)
        processes[0].kill()
        processes[0].wait()
        feed(sink, ["slip:at=1,frames=5"], ssrc=5)
        await until(lambda: sink.counts["failed"] == 1)
        feed(sink, ["slip:at=1,frames=7"], ssrc=6)
        await until(lambda: sink.counts["written"] == 2)
    assert bench.logged[0]["reason"] == "the evidence process exited with status -9"


async def test_what_waits_at_the_end_is_recorded_with_what_is_there(opened: Opening, tmp_path: Path) -> None:
    async with opened(tmp_path) as sink:
        start_ns = time.time_ns() + 60_000_000_000  # what comes behind the event is still to come
        feed(sink, ["click:at=1.8,size=0.1"], seconds=2, start_ns=start_ns)
        assert sink.waiting == 1
    (item,) = evidence_in(tmp_path)
    assert json.loads((item.path / EVENT).read_text())["clip"]["frames"] == pytest.approx(1.2 * 16_000, abs=64)


async def test_what_is_not_made_in_time_at_the_end_is_dropped_without_a_word(
    opened: Opening, bench: Telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "STOP_SECONDS", 0.0)
    async with opened(tmp_path) as sink:
        feed(sink, ["slip:at=1,frames=5"])  # the process that makes it takes longer to start
        await until(lambda: sink.waiting == 0)
    await until(lambda: not any(thread.name == "recorder" for thread in threading.enumerate()))
    assert sink.counts["dropped"] + sink.counts["written"] == 1
    assert bench.logged == []


async def test_events_without_packets_are_counted(opened: Opening, tmp_path: Path) -> None:
    async with opened(tmp_path, memory_bytes=1 << 20) as sink:
        sink.take = lambda _batch: None  # type: ignore[method-assign]
        feed(sink, ["slip:at=1,frames=5"])
        await until(lambda: sink.counts["empty"] == 1)
    assert evidence_in(tmp_path) == []
