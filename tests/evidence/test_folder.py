from __future__ import annotations

import json
import subprocess

import pytest

from rtpverify.evidence.folder import EVENT, PACKETS, EvidenceFolder, evidence_in, evidence_of

TIME = "2026-11-22T14:03:{:02d}.123456Z"


def add(folder, number, size=1000):
    files = {EVENT: json.dumps({"number": number}).encode(), PACKETS: bytes(size)}
    return folder.add(TIME.format(number), "studio-1", "slip", f"{number:012x}", files)


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_each_event_has_a_folder_that_names_it(tmp_path):
    root = tmp_path / "deep" / "evidence"
    folder = EvidenceFolder(root, 1 << 20)
    add(folder, 7)
    assert names(root) == ["20261122T140307.123Z_studio-1_slip_000000000007"]
    (item,) = evidence_in(root)
    assert (item.id, item.stream, item.kind) == ("000000000007", "studio-1", "slip")
    assert item.document() == {"number": 7}
    assert sorted(item.files) == [EVENT, PACKETS]
    assert folder.size_bytes == sum(path.stat().st_size for path in item.files.values())


def test_evidence_is_found_by_the_id_of_its_event(tmp_path):
    folder = EvidenceFolder(tmp_path, 1 << 20)
    for number in range(3):
        add(folder, number)
    assert evidence_of(tmp_path, "000000000001").document() == {"number": 1}
    for text in ("000000000009", "", "*", "../..", "1\x00"):
        assert evidence_of(tmp_path, text) is None
    assert evidence_of(tmp_path / "none", "000000000001") is None


def test_the_oldest_goes_where_there_is_too_much(tmp_path):
    folder = EvidenceFolder(tmp_path, 5000)
    (tmp_path / "notes.txt").write_text("not ours")
    removed = [add(folder, number) for number in range(10)]
    assert sum(removed) == 6
    assert [item.document()["number"] for item in evidence_in(tmp_path)] == [6, 7, 8, 9]
    assert (tmp_path / "notes.txt").exists()
    assert folder.size_bytes <= 5000
    assert EvidenceFolder(tmp_path, 5000).size_bytes == folder.size_bytes


def test_somebody_may_tidy_up(tmp_path):
    folder = EvidenceFolder(tmp_path, 5000)
    for number in range(4):
        add(folder, number)
    for item in evidence_in(tmp_path)[:2]:
        subprocess.run(["rm", "-r", str(item.path)], check=True)
    assert [add(folder, number) for number in (4, 5)] == [0, 0]
    assert len(evidence_in(tmp_path)) == 4


def test_what_can_never_fit_removes_nothing(tmp_path):
    folder = EvidenceFolder(tmp_path, 5000)
    add(folder, 1)
    with pytest.raises(OSError, match="exceed the size limit of the folder"):
        add(folder, 2, size=6000)
    assert len(evidence_in(tmp_path)) == 1


def test_a_folder_appears_whole_or_not_at_all(small_disk):
    folder = EvidenceFolder(small_disk, 1 << 30)
    add(folder, 1, size=500_000)
    with pytest.raises(OSError, match="No space left"):
        add(folder, 2, size=700_000)
    assert [item.document()["number"] for item in evidence_in(small_disk)] == [1]
    assert len(names(small_disk)) == 1
    add(folder, 3, size=100_000)
    assert folder.size_bytes == sum(path.stat().st_size for path in small_disk.glob("*/*"))


def test_what_a_crash_left_half_written_goes(tmp_path):
    left = tmp_path / ".partial-20261122T140307.123Z_studio-1_slip_000000000007"
    left.mkdir()
    (left / PACKETS).write_bytes(bytes(9))
    assert evidence_in(tmp_path) == []
    EvidenceFolder(tmp_path, 1 << 20)
    assert names(tmp_path) == []


def test_what_is_said_of_an_event_can_be_renewed(tmp_path):
    folder = EvidenceFolder(tmp_path, 1 << 20)
    add(folder, 1)
    folder.renew("000000000001", b'{"number": 111}')
    folder.renew("000000000002", b"{}")
    (item,) = evidence_in(tmp_path)
    assert item.document() == {"number": 111}
    assert names(item.path) == [EVENT, PACKETS]


def test_evidence_is_for_its_owner_alone(tmp_path):
    folder = EvidenceFolder(tmp_path, 1 << 20)
    add(folder, 1)
    folder.renew(evidence_in(tmp_path)[0].id, b"{}")
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in kept.iterdir()} == {0o600}
