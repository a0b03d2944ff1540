from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from pydantic import ValidationError

from rtpverify.daemon.sinks.event_log import EventLog, EventLogTable, LineFile
from tests.helpers.documents import Telling
from tests.helpers.patience import until
from tests.helpers.sinks import started

pytestmark = pytest.mark.usefixtures("impatient")

Opening = Callable[..., AbstractAsyncContextManager[EventLog]]


@pytest.fixture
def opened(bench: Telling) -> Opening:
    def opened(path: Path | str, **options: object) -> AbstractAsyncContextManager[EventLog]:
        table = EventLogTable.model_validate({"path": str(path), **options})
        return started(EventLog(table, bench))  # type: ignore[arg-type]

    return opened


def frames(path: Path) -> list[int]:
    text = path.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["start_frame"] for line in text.splitlines()]


async def test_events_are_lines_of_a_file_that_goes_on(opened: Opening, bench: Telling, tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    for number in (1, 2):
        async with opened(path) as sink:
            told = bench.told(number)
            sink.tell([told])
    assert frames(path) == [1, 2]
    assert json.loads(path.read_text().splitlines()[1]) == told.document


async def test_events_go_to_standard_output(opened: Opening, bench: Telling, capfd: pytest.CaptureFixture[str]) -> None:
    async with opened("-", streams=["right"]) as sink:
        sink.tell([bench.told(1), Telling("right").told(2)])
    (line,) = capfd.readouterr().out.splitlines()
    assert (json.loads(line)["stream"], json.loads(line)["start_frame"]) == ("right", 2)


async def test_what_is_no_regular_file_is_not_waited_for(opened: Opening, bench: Telling, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    os.mkfifo(path)
    with pytest.raises(ValidationError, match="is not a regular file; - is standard output"):
        opened(path)
    path.unlink()
    async with opened(path) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
        path.unlink()
        os.mkfifo(path)  # while it runs
        sink.tell([bench.told(2)])
        await until(lambda: sink.trouble is not None)
        assert sink.trouble == f"{path}: is not a regular file"
        path.unlink()
        await until(lambda: sink.counts["written"] == 2)
    assert frames(path) == [2]


async def test_a_file_that_was_moved_away_is_begun_anew(opened: Opening, bench: Telling, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    async with opened(path) as sink:
        sink.tell([bench.told(1)])
        await until(lambda: sink.counts["written"] == 1)
        path.rename(tmp_path / "rotated.jsonl")
        sink.tell([bench.told(2)])
        await until(lambda: sink.counts["written"] == 2)
        path.unlink()
        path.write_text("")  # logrotate's "create"
        sink.tell([bench.told(3)])
    assert frames(tmp_path / "rotated.jsonl") == [1]
    assert frames(path) == [3]


async def test_a_full_disk_leaves_whole_lines_and_nothing_is_lost(
    opened: Opening, bench: Telling, small_disk: Path
) -> None:
    path, filler = small_disk / "events.jsonl", small_disk / "filler"
    async with opened(path) as sink:
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(2 << 20))
        sink.tell([bench.told(number) for number in range(100)])
        await until(lambda: sink.counts["failed"] > 2)
        assert sink.trouble == f"{path}: No space left on device"
        assert frames(path) == []
        filler.unlink()
        await until(lambda: sink.waiting == 0)
        assert sink.trouble is None
    assert frames(path) == list(range(100))
    assert [line["event"] for line in bench.logged] == ["event log not written", "event log writable again"]


def test_a_file_is_put_aside_once_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = LineFile(path, max_bytes=20, files=3)
    for letter in "abcdefghi":
        file.write(f"{letter * 9}\n".encode())
    file.close()
    contents = {item.name: item.read_text() for item in tmp_path.iterdir()}
    assert contents == {
        "events.jsonl": "iiiiiiiii\n",
        "events.jsonl.1": "ggggggggg\nhhhhhhhhh\n",
        "events.jsonl.2": "eeeeeeeee\nfffffffff\n",
    }


def test_one_file_alone_is_begun_anew(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "events.jsonl", max_bytes=20, files=1)
    for letter in "abc":
        file.write(f"{letter * 9}\n".encode())
    file.close()
    assert os.listdir(tmp_path) == ["events.jsonl"]  # noqa: PTH208
    assert (tmp_path / "events.jsonl").read_text() == "ccccccccc\n"


def test_a_line_longer_than_the_file_may_be_is_written_all_the_same(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "events.jsonl", max_bytes=5, files=2)
    file.write(b"0123456789\n")
    file.write(b"abcdefghij\n")
    file.close()
    assert (tmp_path / "events.jsonl").read_text() == "abcdefghij\n"
