from __future__ import annotations

from contextlib import closing

import pytest

from rtpverify.errors import SourceError
from rtpverify.history.query import Query, find, streams
from rtpverify.history.store import Store
from tests.helpers.documents import NOW_NS, document


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("history") / "events.sqlite"
    with closing(Store(path, max_age_seconds=86400, max_bytes=1 << 30)) as store:
        store.write(
            [
                document(1),
                document(2, kind="slip", cause="upstream", slip_frames=48),
                document(3, stream="right-b", kind="stall", cause="unknown"),
                document(4, stream="right-c", kind="ssrc_change", cause="upstream", fault=False),
            ],
            NOW_NS,
        )
    return path


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), [1, 2, 3, 4]),
        (Query(streams=("left",)), [1, 2]),
        (Query(streams=("right-*",)), [3, 4]),
        (Query(streams=("left", "right-[ab]")), [1, 2, 3]),
        (Query(streams=("LEFT",)), []),
        (Query(kinds=("slip", "stall")), [2, 3]),
        (Query(causes=("upstream",)), [2, 4]),
        (Query(causes=("upstream",), faults_only=True), [2]),
        (Query(ids=(document(3)["id"],)), [3]),
        (Query(since_ns=NOW_NS + 2_000_000), [2, 3, 4]),
        (Query(until_ns=NOW_NS + 2_000_000), [1]),
        (Query(since_ns=NOW_NS + 2_000_000, until_ns=NOW_NS + 4_000_000, kinds=("stall",)), [3]),
        (Query(limit=2), [3, 4]),
        (Query(kinds=("'; DROP TABLE event; --",)), []),
    ],
)
def test_events_that_fit_everything_are_found_in_order_of_time(path, query, expected):
    found = find(path, query)
    assert [event["start_frame"] for event in found.events] == expected
    assert found.total == (4 if query.limit else len(expected))


def test_streams_are_listed(path):
    assert streams(path) == ["left", "right-b", "right-c"]


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(SourceError, match=r"none\.sqlite: No such file or directory"):
        find(tmp_path / "none.sqlite", Query())
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_none_is_named(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("nothing to see here\n" * 100)
    with pytest.raises(SourceError, match=r"notes\.txt: file is not a database"):
        find(path, Query())
