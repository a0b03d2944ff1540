"""Processes do all of the work, whatever happens to some of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.commands.batch import workers
from rtpverify.commands.batch.job import MOST_ATTEMPTS, Status
from rtpverify.commands.batch.members import Member, find_members
from rtpverify.errors import RequestError
from tests.helpers.archive import deadly, deadly_at_first, job, write_archive, write_tone

SIZES = st.one_of(st.none(), st.integers(0, 1 << 24))


@given(st.lists(SIZES, max_size=200))
def test_every_member_is_in_one_group_and_none_is_too_much(sizes):
    members = [Member(str(number), size) for number, size in enumerate(sizes)]
    groups = workers.grouped(members)
    assert sorted(member for group in groups for member in group) == sorted(members)
    for group in groups:
        assert len(group) == 1 or sum(4 << 20 if one.size_bytes is None else one.size_bytes for one in group) <= 4 << 20
        assert len(group) <= 32


@given(st.lists(st.integers(1 << 22, 1 << 24), max_size=20))
def test_the_largest_come_first(sizes):
    groups = workers.grouped([Member(str(number), size) for number, size in enumerate(sizes)])
    assert [group[0].size_bytes for group in groups] == sorted(sizes, reverse=True)


def statuses(folder, groups):
    rows = [row for rows in groups for row in rows]
    found = {str(Path(row["member"]).relative_to(folder)): row["status"] for row in rows}
    assert len(found) == len(rows)
    return found, {Path(row["member"]).name: row for row in rows}


def test_all_is_verified(tmp_path):
    expected = write_archive(tmp_path)
    found, _ = statuses(tmp_path, workers.in_processes(job(), find_members([str(tmp_path)]), 2))
    assert found == expected


def test_a_process_that_dies_costs_nothing_but_its_member(tmp_path):
    expected = write_archive(tmp_path) | {"deadly.wav": Status.UNREADABLE}
    write_tone(tmp_path / "deadly.wav", 0.1)
    found, rows = statuses(tmp_path, workers.in_processes(job(), find_members([str(tmp_path)]), 2, deadly))
    assert found == expected
    assert rows["deadly.wav"]["attempts"] == MOST_ATTEMPTS
    assert "died" in rows["deadly.wav"]["error"]
    assert rows["muted.wav"]["attempts"] == 1


def test_a_process_that_dies_once_is_forgiven(tmp_path):
    write_tone(tmp_path / "deadly.wav", 0.1)
    [[row]] = list(workers.in_processes(job(), find_members([str(tmp_path)]), 1, deadly_at_first))
    assert (row["status"], row["attempts"]) == (Status.PASS, 2)


def test_a_scheduler_that_is_not_there(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "_SCHEDULER_SECONDS", 0.2)
    with pytest.raises(RequestError, match=r"--scheduler tcp://127\.0\.0\.1:1: cannot be reached"):
        list(workers.on_cluster(job(), [Member("x")], "tcp://127.0.0.1:1"))
