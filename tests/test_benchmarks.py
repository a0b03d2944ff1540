"""What benchmarks are run on is what they say, and a ratio that got worse is found."""

import json

import pytest

from benchmarks import measuring, regression
from benchmarks.material import FREQUENCY_HZ, write_audio, write_capture
from rtpverify import check


@pytest.mark.parametrize("channels", [1, 2])
def test_captures_are_clean(tmp_path, channels):
    path = write_capture(tmp_path / "a.pcap", 2, streams=2, channels=channels)
    result = check(path, encoding=f"L24/48000/{channels}", reference=f"tone:{FREQUENCY_HZ}")
    assert result.verdict == "pass"
    assert [stream.frames for stream in result.streams] == [96_000, 96_000]


def test_captures_with_loss_have_nothing_but_gaps(tmp_path):
    path = write_capture(tmp_path / "a.pcap", 2, loss=0.1)
    [stream] = check(path, encoding="L24/48000/2", reference=f"tone:{FREQUENCY_HZ}").streams
    assert {event.kind for event in stream.events} == {"gap"}


def test_files_are_clean(tmp_path):
    path = write_audio(tmp_path / "a.wav", 2, 1, "PCM_16")
    assert check(path, reference=f"tone:{FREQUENCY_HZ}").verdict == "pass"


def rows(ours, theirs):
    return [
        measuring.Row("work", measuring.OURS, [9.0, ours]),
        measuring.Row("work", "other", [theirs, 9.0]),
        measuring.Row("work that is only theirs", "other", [1.0]),
    ]


def test_ratios_are_of_the_least_times():
    assert measuring.ratios(rows(2.0, 4.0)) == {"work: other": 2.0}


def test_the_circumstances_name_the_command_and_no_place_of_this_machine(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/benchmarks/regression.py", "--rounds", "3"])
    assert measuring.circumstances()["command"] == "python -m benchmarks.regression --rounds 3"
    for recorded in json.loads(regression.BASELINE.read_text()).values():
        assert " /" not in recorded["circumstances"]["command"]


@pytest.mark.parametrize(("recorded", "status"), [(2.0, 0), (2.4, 0), (2.6, 1), (1.0, 0), (None, 2)])
def test_what_got_worse_fails(tmp_path, monkeypatch, capsys, recorded, status):
    baseline = tmp_path / "baseline.json"
    if recorded is not None:
        baseline.write_text(json.dumps({measuring.processor(): {"ratios": {"work: other": recorded}}}))
    monkeypatch.setattr(regression, "BASELINE", baseline)
    monkeypatch.setattr(regression.files, "commands", lambda *_: [])
    monkeypatch.setattr(regression.capture, "commands", lambda *_: [])
    monkeypatch.setattr(regression, "measure", lambda *_: rows(2.0, 4.0))
    monkeypatch.setattr("sys.argv", ["regression"])
    assert regression.main() == status
    said = capsys.readouterr()
    assert ("worse: work: other" in said.out) == (status == 1)
    assert ("--record" in said.err) == (status == 2)


def test_what_is_recorded_is_compared_with(tmp_path, monkeypatch):
    monkeypatch.setattr(regression, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(regression.files, "commands", lambda *_: [])
    monkeypatch.setattr(regression.capture, "commands", lambda *_: [])
    for argv, ours, status in (("--record", 2.0, 0), ("--rounds=1", 2.2, 0), ("--rounds=1", 4.0, 1)):
        monkeypatch.setattr(regression, "measure", lambda *_, ours=ours: rows(ours, 4.0))
        monkeypatch.setattr("sys.argv", ["regression", argv])
        assert regression.main() == status
