from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from rtpverify.errors import DamagedError, SourceError
from rtpverify.events import nanoseconds, rfc3339
from rtpverify.history.query import Query, find
from rtpverify.history.store import Store, is_damage, set_aside
from tests.helpers.documents import NOW_NS, document

HOUR_NS = 3_600_000_000_000


@contextmanager
def store(path: Path, **options):
    with closing(Store(path, **({"max_age_seconds": 86400, "max_bytes": 1 << 30} | options))) as opened:
        yield opened


def kept(path: Path) -> list[str]:
    return [event["id"] for event in find(path, Query()).events]


def test_what_is_written_is_found_as_it_was(tmp_path):
    path = tmp_path / "deep" / "events.sqlite"
    written = [document(2), document(1, stream="right", kind="click", cause="upstream", deviation=0.25, channel=1)]
    with store(path) as opened:
        assert opened.write(written, NOW_NS) == 2
        assert find(path, Query()).events == written[::-1]
    assert find(path, Query()).events == written[::-1]


def test_an_event_that_changes_is_kept_once_as_it_is_last(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1, open=True, kind="noise")], NOW_NS)
        opened.write([document(1, open=True, duration_frames=90), document(1, duration_frames=100)], NOW_NS)
    (event,) = find(path, Query()).events
    assert (event["duration_frames"], event["open"]) == (100, False)


def test_the_same_id_in_two_streams_is_two_events(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1), document(1, stream="right")], NOW_NS)
    assert [event["stream"] for event in find(path, Query()).events] == ["left", "right"]


def test_numbers_that_json_has_no_word_for_are_null(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1, gain_db=float("-inf"))], NOW_NS)
    assert find(path, Query()).events[0]["gain_db"] is None


def test_an_event_of_unknown_arrival_has_the_time_it_was_told(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1, time=None)], NOW_NS - HOUR_NS)
        opened.write([document(2)], NOW_NS)
        opened.write([document(1, time=None, duration_frames=9)], NOW_NS + HOUR_NS)
    events = find(path, Query()).events
    assert [event["start_frame"] for event in events] == [1, 2]
    assert events[0]["time"] is None
    assert find(path, Query(until_ns=NOW_NS)).total == 1


def test_an_event_that_went_on_when_the_writer_ended_is_cut_off(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1, open=True), document(2)], NOW_NS)
    assert [event["open"] for event in find(path, Query()).events] == [True, False]
    with store(path) as opened:
        opened.begin(NOW_NS)
        first, second = find(path, Query()).events
    assert (first["open"], first["cut_off"]) == (False, True)
    assert "cut_off" not in second


def test_events_past_the_age_go(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path, max_age_seconds=3600) as opened:
        opened.write([document(1, time=rfc3339(NOW_NS - HOUR_NS - 1000)), document(2)], NOW_NS)
        assert opened.trim(NOW_NS) == 1
        assert opened.trim(NOW_NS) == 0
    assert kept(path) == [document(2)["id"]]


def test_the_oldest_events_go_where_the_size_is_past_its_limit(tmp_path):
    path = tmp_path / "events.sqlite"
    limit = 1_000_000
    with store(path, max_bytes=limit) as opened:
        for start in range(0, 6000, 500):
            opened.write([document(number) for number in range(start, start + 500)], NOW_NS)
            while opened.trim(NOW_NS):
                pass
            assert opened.bytes_used <= limit
    assert path.stat().st_size <= 1.3 * limit
    ids = kept(path)
    assert ids == [document(number)["id"] for number in range(6000 - len(ids), 6000)]
    assert len(ids) > 1000


def test_all_of_a_batch_is_kept_or_nothing(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        with pytest.raises(sqlite3.IntegrityError):
            opened.write([document(1), document(2, kind=None)], NOW_NS)
        opened.write([document(3)], NOW_NS)
    assert kept(path) == [document(3)["id"]]


def test_a_reader_does_not_hold_the_writer_up(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        opened.write([document(1)], NOW_NS)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (1,)
        opened.write([document(2)], NOW_NS)
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (1,)
    assert len(kept(path)) == 2


WRITER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.helpers.documents import document, NOW_NS
from rtpverify.history.store import Store
store = Store(Path(sys.argv[1]), max_age_seconds=1e6, max_bytes=1 << 30)
for start in range(0, 10**9, 50):
    store.write([document(number) for number in range(start, start + 50)], NOW_NS)
    print(start + 50, flush=True)
"""


def test_what_was_written_survives_a_kill(tmp_path):
    path = tmp_path / "events.sqlite"
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parents[1])], stdout=subprocess.PIPE, text=True
        ) as process:
            told = [int(process.stdout.readline()) for _ in range(20)][-1]
            os.kill(process.pid, signal.SIGKILL)
            told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
        ids = kept(path)
        assert ids[:told] == [document(number)["id"] for number in range(told)]
        assert len(ids) % 50 == 0
    with store(path) as opened:  # and it can be written to again
        opened.write([document(10**9)], NOW_NS)


def damage(path: Path, start: int, stop: int) -> None:
    content = bytearray(path.read_bytes())
    content[start:stop] = os.urandom(stop - start)
    path.write_bytes(content)


@pytest.mark.parametrize("place", ["header", "pages"])
def test_a_damaged_file_is_told_apart_and_moved_aside(tmp_path, place):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(number) for number in range(2000)], NOW_NS)
    damage(path, *((0, 100) if place == "header" else (8192, 300_000)))
    with pytest.raises((sqlite3.DatabaseError, DamagedError)) as caught, store(path):
        pass
    assert is_damage(caught.value)
    aside = set_aside(path, NOW_NS)
    assert aside.name == "events.sqlite.damaged-20260921T141320Z"
    with store(path) as opened:
        opened.write([document(1)], NOW_NS)
    assert aside.exists()
    assert kept(path) == [document(1)["id"]]


def test_an_error_of_the_disk_is_no_damage(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(sqlite3.OperationalError) as caught, store(path):
        pass
    assert not is_damage(caught.value)


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mail (subject TEXT)")
    before = path.read_bytes()
    with pytest.raises(SourceError, match=r"other\.sqlite: is a database of another program"), store(path):
        pass
    assert path.read_bytes() == before


def test_a_store_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path):
        pass
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 9")
    with pytest.raises(SourceError, match="has layout 9; this version of rtpverify knows 1"), store(path):
        pass
    with pytest.raises(SourceError, match="has layout 9"):
        find(path, Query())


def fill(opened: Store) -> sqlite3.OperationalError:
    for number in range(1, 100_000):
        try:
            opened.write([document(number)], NOW_NS)
        except sqlite3.OperationalError as error:
            return error
    raise AssertionError("there was room for all")


def test_a_full_disk_is_an_error_that_passes(small_disk):
    path = small_disk / "events.sqlite"
    with store(path) as opened:
        opened.write([document(0)], NOW_NS)
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(2 << 20))
        error = fill(opened)
        assert "full" in str(error)
        assert not is_damage(error)
        filler.unlink()
        opened.write([document(10**9)], NOW_NS)
    ids = kept(path)
    assert ids[-1] == document(10**9)["id"]
    assert ids[:-1] == [document(number)["id"] for number in range(len(ids) - 1)]


def test_a_disk_that_cannot_be_written_to_can_be_read(small_disk):
    path = small_disk / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1)], NOW_NS)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert kept(path) == [document(1)["id"]]
    with pytest.raises(sqlite3.OperationalError, match=r"readonly|unable to open") as caught, store(path):
        pass
    assert not is_damage(caught.value)


def test_times_are_kept_to_the_microsecond():
    assert nanoseconds(datetime.fromisoformat(rfc3339(NOW_NS))) == NOW_NS


def test_a_store_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1)], NOW_NS)
        files = list(tmp_path.iterdir())
        assert len(files) > 1  # the write-ahead log, too
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SourceError, match="is not a regular file"), store(path):
            pass
        with pytest.raises(SourceError, match="is not a regular file"):
            find(path, Query())


def test_a_run_that_did_not_end_is_known_to_the_next_one(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        assert not opened.has_begun
        assert opened.begin(NOW_NS) is None
        opened.write([document(1)], NOW_NS + 5)
        opened.write([document(2)], NOW_NS + 7)
    with store(path) as opened:
        assert opened.has_begun
        assert opened.begin(NOW_NS + 20) == NOW_NS + 7
        opened.end()
        assert not opened.has_begun
    with store(path) as opened:
        assert opened.begin(NOW_NS + 30) is None


def test_a_store_of_before_knows_no_runs(tmp_path):
    path = tmp_path / "events.sqlite"
    with store(path) as opened:
        opened.write([document(1)], NOW_NS)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE run")
    with store(path) as opened:
        assert opened.begin(NOW_NS) is None
        opened.write([document(2)], NOW_NS)
    assert len(kept(path)) == 2
