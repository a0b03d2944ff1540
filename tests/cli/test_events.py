import contextlib
import json
import os

import pytest

from rtpverify.history.store import Store
from tests.helpers.command import refused, run
from tests.helpers.documents import NOW_NS, document


class TestEvents:
    @pytest.fixture
    def history(self, tmp_path):
        path = tmp_path / "events.sqlite"
        with contextlib.closing(Store(path, max_age_seconds=1e9, max_bytes=1 << 30)) as store:
            store.write([document(1), document(2, kind="slip", cause="upstream")], NOW_NS)
        return path

    def test_events_are_listed(self, history):
        outcome = run("events", history)
        assert outcome.exit_code == 0
        assert [line.split()[3] for line in outcome.stdout.splitlines()[1:]] == ["gap", "slip"]

    def test_events_that_are_asked_for(self, history):
        since = ["--since", "2026-09-21T14:13:20Z", "--until", "now", "--limit", "0"]
        outcome = run("events", history, *since, "--kind", "slip", "--stream", "l*", "--faults", "--format", "jsonl")
        assert [json.loads(line)["start_frame"] for line in outcome.stdout.splitlines()] == [2]
        assert run("events", history, "--cause", "unknown").exit_code == 3

    def test_numbers_beyond_any_event(self, history):
        for since in ("9" * 400 + "d", "0001-01-01"):
            outcome = run("events", history, "--since", since, "--limit", "9" * 30)
            assert len(outcome.stdout.splitlines()) == 3
        assert run("events", history, "--since", "9999-12-31").exit_code == 3

    @pytest.mark.parametrize("option", ["--stream", "--id"])
    def test_names_that_are_not_utf_8_are_those_of_no_event(self, history, option):
        assert run("events", history, option, "\udcff").exit_code == 3

    def test_the_history_of_a_configuration(self, history, tmp_path):
        configuration = tmp_path / "bench.toml"
        stream = '[[stream]]\nname = "a"\nsource = "rtp://127.0.0.1:5004"\nreference = "none"\n'
        configuration.write_text(f'[history]\npath = "{history.name}"\n{stream}')
        assert run("events", configuration, "--format", "json").exit_code == 0

    def test_what_cannot_be_asked_for(self, history, tmp_path):
        assert refused("events", tmp_path / "none.sqlite").endswith("none.sqlite: No such file or directory")
        assert "--since: 'soon' is neither a time" in refused("events", history, "--since", "soon")
        assert run("events", history, "--kind", "sneeze").exit_code == 2
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", "/dev/zero"):
            assert refused("events", path).endswith(f"{path}: is not a regular file")
