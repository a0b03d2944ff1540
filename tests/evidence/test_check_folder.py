"""The folder of a check that did not pass: whole files, and nothing of an earlier check."""

import json

import pytest

from rtpverify.errors import OutputError
from rtpverify.evidence.check_folder import keep_check, packet_memory
from rtpverify.result import Result
from rtpverify.sources.capture.reader import read_capture


def test_result_report_and_packets_as_they_arrived(tmp_path, write_capture):
    packets = packet_memory()
    for batch in read_capture(write_capture(seconds=0.1)):
        packets.put(batch)
    keep_check(tmp_path / "a" / "b", Result("rtp://127.0.0.1:5004"), packets)
    folder = tmp_path / "a" / "b"
    assert json.loads((folder / "result.json").read_text())["verdict"] == "inconclusive"
    assert "nothing to verify arrived" in (folder / "report.html").read_text()
    assert sum(map(len, read_capture(folder / "packets.pcap"))) == 100


def test_nothing_of_an_earlier_check_is_left_and_other_files_stay(tmp_path):
    keep_check(tmp_path, Result("first"), packet_memory(), "Traceback")
    (tmp_path / "notes.txt").write_text("mine")
    keep_check(tmp_path, None, packet_memory(), "ValueError")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["error.txt", "notes.txt"]
    assert (tmp_path / "error.txt").read_text() == "ValueError"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"evidence .*file/check: "):
        keep_check(tmp_path / "file" / "check", None, packet_memory(), "ValueError")
