"""The examples as files of one's own: all of them, never over others, and whole or not at all."""

import os

import pytest

from rtpverify.commands.example_config import write_examples
from rtpverify.daemon.configuration import read_config
from rtpverify.errors import OutputError, RequestError

NEEDED = (
    "bench.toml",
    "rtpverify.service",
    "alertmanager/alertmanager.yml",
    "grafana/dashboards/bench.json",
    "grafana/dashboards/stream.json",
    "prometheus/prometheus.yml",
    "prometheus/rules/alerts.yml",
    "prometheus/rules/recording.yml",
)


def test_every_example_is_written_and_can_be_used(tmp_path):
    written = write_examples(tmp_path / "mine")
    assert {path.relative_to(tmp_path / "mine").as_posix() for path in written} >= set(NEEDED)
    assert read_config(tmp_path / "mine" / "bench.toml").stream
    assert os.access(tmp_path / "mine" / "bench.toml", os.W_OK)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_text("mine")])
def test_nothing_is_written_over(tmp_path, make):
    make(tmp_path / "mine")
    before = (tmp_path / "mine").stat()
    with pytest.raises(RequestError, match="mine: exists already"):
        write_examples(tmp_path / "mine")
    assert (tmp_path / "mine").stat().st_mtime_ns == before.st_mtime_ns


def test_the_parent_must_be_there(tmp_path):
    with pytest.raises(RequestError, match=r"mine: no folder .*absent"):
        write_examples(tmp_path / "absent" / "mine")


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        write_examples(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []
