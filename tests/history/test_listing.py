from __future__ import annotations

import csv
import io
import json
import re

from rtpverify.history.listing import CSV_COLUMNS, write
from rtpverify.history.query import FoundEvents
from tests.helpers.documents import document
from tests.helpers.terminal import Terminal

EVENTS = [
    document(1),
    document(2, kind="slip", cause="upstream", channel=1, slip_frames=48, message='48 frames, "missing"', packets=None),
    document(3, open=True, fault=False, cause="unknown", kind="stall", time=None),
    document(4, cut_off=True, kind="noise"),
]


def written(form, events=EVENTS, total=4, out=None):
    out = out or io.StringIO()
    write(FoundEvents(events, total, [0] * len(events)), form, out)
    return out.getvalue()


def test_json_is_everything():
    data = json.loads(written("json", total=9))
    assert data == {"schema": "rtpverify.events/1", "total": 9, "events": EVENTS}


def test_json_lines_are_one_event_each():
    assert [json.loads(line) for line in written("jsonl").splitlines()] == EVENTS


def test_csv_is_read_back_by_any_reader():
    rows = list(csv.DictReader(io.StringIO(written("csv"))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["id"] for row in rows] == [event["id"] for event in EVENTS]
    assert (rows[0]["first_packet"], rows[0]["fault"], rows[0]["channel"]) == ("1", "true", "")
    assert (rows[1]["first_packet"], rows[1]["message"]) == ("", '48 frames, "missing"')
    assert json.loads(rows[1]["sizes"]) == {"packets_lost": 1, "slip_frames": 48}
    assert json.loads(rows[3]["sizes"]) == {"packets_lost": 1}
    assert rows[2]["time"] == ""


def test_the_table_has_one_line_an_event_and_says_what_is_left_out():
    title, *lines, last = written("table", total=9).splitlines()
    assert title.split() == ["Time", "(UTC)", "Stream", "Kind", "Cause", "Ch", "Frame", "Id", "What"]
    assert len(lines) == 4
    assert lines[0].split()[:8] == ["2026-09-21", "14:13:20.124", "left", "gap", "network", "all", "1", "000000000001"]
    assert lines[0].endswith("  1 packet lost in the network")
    assert "stall (no fault)" in lines[2]
    assert lines[2].endswith("(ongoing)")
    assert lines[3].endswith("(still open when monitoring stopped)")
    assert last == "the latest 4 of 9 events; --limit 0 lists all"


def test_on_a_narrow_terminal_what_happened_stands_below(monkeypatch):
    for name, value in (("COLUMNS", "80"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    long = document(5, message="content jumped while the timeline continued: 48 frames are missing (1.000 ms) " * 2)
    title, first, *below = re.sub(r"\x1b\[[\d;]*m", "", written("table", [long], 1, Terminal())).splitlines()
    assert "What" not in title
    assert "content" not in first
    assert len(below) == 3
    assert all(line.startswith(" " * 25) and len(line) <= 80 for line in below)


def test_kinds_of_a_later_version_are_listed():
    later = [document(1, kind="sneeze", cause="pollen", loudness_db=3.0)]
    assert "sneeze" in written("table", later, 1)
    [row] = csv.DictReader(io.StringIO(written("csv", later, 1)))
    assert json.loads(row["sizes"])["loudness_db"] == 3.0


def test_no_event_is_said():
    assert written("table", [], 0) == "no matching event\n"
    assert written("csv", [], 0).count("\n") == 1
    assert json.loads(written("json", [], 0))["events"] == []
