"""A large capture is shared among workers, and its row is that of one worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtpverify.commands.batch import command, shares
from rtpverify.commands.batch.job import Job, Row, Status, lost
from rtpverify.commands.batch.members import Member
from rtpverify.commands.batch.shares import Joining, split
from rtpverify.engine.share import Share
from rtpverify.limits import PROFILES
from rtpverify.report.request import request_now
from tests.engine.test_share import assert_same
from tests.helpers.archive import write_tone
from tests.helpers.many import write_many


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a capture of five streams, a recording, and what only claims to be a capture."""
    folder = tmp_path / "archive"
    folder.mkdir()
    write_many(folder / "many.pcap")
    write_tone(folder / "tone.wav", 1.0)
    (folder / "broken.pcap").write_bytes(b"\xd4\xc3\xb2\xa1" + bytes(8))
    return folder


@pytest.fixture
def job() -> Job:
    limits = PROFILES["digital"]
    request = request_now("rtpverify batch", reference="tone", encoding=None, profile="digital", limits=limits)
    return Job(request, "tone", limits, encoding="L24/48000/2")


def rows(folder: Path, job: Job, out: Path, processes: int) -> dict[str, Row]:
    found = command.batch([str(folder)], str(out), job, processes=processes)
    return {Path(row["member"]).name: row for row in found}


def test_a_shared_member_has_the_row_of_a_whole_one(
    folder: Path, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows(folder, job, tmp_path / "whole", 1)
    monkeypatch.setattr(shares, "LARGE_BYTES", 1)
    shared = rows(folder, job, tmp_path / "shared", 2)
    assert {name: row["status"] for name, row in shared.items()} == {
        "many.pcap": Status.FAIL,
        "tone.wav": Status.PASS,
        "broken.pcap": Status.UNREADABLE,
    }
    for name, row in whole.items():
        assert shared[name].keys() == row.keys()
        for key in row.keys() - {"seconds", "worker"}:
            assert_same(shared[name][key], row[key], name)


def test_large_members_are_shared_by_all_workers_and_small_ones_are_not() -> None:
    small, large, unknown = Member("a", 1000), Member("b", shares.LARGE_BYTES), Member("c", None)
    assert split([small, large, unknown], 1) == [small, large, unknown]
    assert [(one.address, one.share) for one in split([small, large, unknown], 2)] == [
        ("a", Share()),
        ("b", Share(0, 2)),
        ("b", Share(1, 2)),
        ("c", Share()),
    ]
    assert len(split([large], 1000)) == shares.MOST_SHARES


def test_a_share_that_fails_is_what_became_of_the_member(folder: Path) -> None:
    joining = Joining()
    first, second = split([Member(str(folder / "many.pcap"), shares.LARGE_BYTES)], 2)
    assert joining.take([{"member": first.address, "share": first.share, "part": None, "attempts": 1}]) == []
    (row,) = joining.take([lost(second, "killed", 3)])
    assert (row["status"], row["error"], row["attempts"]) == (Status.UNREADABLE, "killed", 3)
    assert not row.keys() & {"share", "part"}
    whole = {"member": "other", "status": Status.PASS}
    assert joining.take([whole]) == [whole]
