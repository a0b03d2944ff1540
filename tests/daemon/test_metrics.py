from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rtpverify.daemon.metrics import (
    PACKET_COUNTERS,
    Exposition,
    Snapshot,
    StreamSnapshot,
    countable_events,
)
from rtpverify.reference import Tone
from rtpverify.result import Signal

CONTRACT = {
    "rtpverify_packets_received_total": {"stream"},
    "rtpverify_packets_expected_total": {"stream"},
    "rtpverify_packets_lost_total": {"stream"},
    "rtpverify_packets_duplicated_total": {"stream"},
    "rtpverify_packets_reordered_total": {"stream"},
    "rtpverify_packets_late_total": {"stream"},
    "rtpverify_interarrival_jitter_seconds": {"stream"},
    "rtpverify_clock_drift_ratio": {"stream"},
    "rtpverify_events_total": {"stream", "kind", "cause"},
    "rtpverify_level_dbfs": {"stream", "channel"},
    "rtpverify_residual_dbfs": {"stream", "channel"},
    "rtpverify_thd_plus_n_db": {"stream", "channel"},
    "rtpverify_stream_up": {"stream"},
    "rtpverify_receive_buffer_dropped_total": set(),
}
FULL = Snapshot(
    streams=(
        StreamSnapshot(
            name="a",
            up=True,
            packets={name: number for number, name in enumerate(PACKET_COUNTERS, 10)},
            events={("gap", "network"): 3, ("slip", "upstream"): 0},
            jitter_seconds=0.00025,
            clock_drift_ppm=24.6,
            signal=(
                Signal(
                    1, frequency_hz=997.0, level_dbfs=-6.02, dc_offset=0.0, residual_dbfs=-140.5, thd_plus_n_db=-134
                ),
                Signal(2, level_dbfs=-20.0),
            ),
        ),
        StreamSnapshot(name="b", packets=dict.fromkeys(PACKET_COUNTERS, 0), signal=(Signal(1),)),
    ),
    discarded={"short": 2},
    receive_buffer_dropped=7,
)


def exposed(snapshot: Snapshot, accept: str = "") -> str:
    return Exposition(lambda: snapshot).render(accept)[0].decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return value by name and label values, in the order in which the contract names the labels."""
    order = ("stream", "channel", "kind", "cause", "reason", "version")
    return {
        (sample.name, *(sample.labels[name] for name in order if name in sample.labels)): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def test_the_contract_is_served_with_its_labels() -> None:
    labels: dict[str, set[str]] = {}
    families: list[Metric] = list(parse_text(exposed(FULL)))
    for family in families:
        for sample in family.samples:
            labels.setdefault(sample.name, set(sample.labels))
    assert {name: labels.get(name) for name in CONTRACT} == CONTRACT


def test_values_are_in_the_units_of_the_names() -> None:
    found = samples(exposed(FULL))
    assert found["rtpverify_packets_received_total", "a"] == 10
    assert found["rtpverify_packets_lost_total", "a"] == 12
    assert found["rtpverify_clock_drift_ratio", "a"] == pytest.approx(24.6e-6)
    assert found["rtpverify_interarrival_jitter_seconds", "a"] == 0.00025
    assert found["rtpverify_events_total", "a", "gap", "network"] == 3
    assert found["rtpverify_level_dbfs", "a", "2"] == -20.0
    assert found["rtpverify_thd_plus_n_db", "a", "1"] == -134
    assert (found["rtpverify_stream_up", "a"], found["rtpverify_stream_up", "b"]) == (1, 0)
    assert found["rtpverify_receive_buffer_dropped_total",] == 7
    assert found["rtpverify_datagrams_discarded_total", "short"] == 2


def test_what_was_not_measured_is_absent_and_what_was_counted_as_nothing_is_zero() -> None:
    found = samples(exposed(FULL))
    assert ("rtpverify_residual_dbfs", "a", "2") not in found
    assert not [key for key in found if key[1:2] == ("b",) and "packets" not in key[0] and "up" not in key[0]]
    assert found["rtpverify_packets_lost_total", "b"] == 0


def test_openmetrics_is_served_where_it_is_asked_for() -> None:
    text, content_type = Exposition(lambda: FULL).render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    open_names = {sample.name for family in parse_openmetrics(text.decode()) for sample in family.samples}
    assert open_names == {key[0] for key in samples(exposed(FULL))}
    assert Exposition(lambda: FULL).render("text/plain")[1].startswith("text/plain")


def test_countable_events_follow_the_reference() -> None:
    assert ("slip", "upstream") not in countable_events(None)
    assert ("gap", "network") in countable_events(None)
    tone = countable_events(Tone())
    assert {("slip", "upstream"), ("stall", "network"), ("stall", "upstream")} <= tone.keys()
    assert ("mismatch", "upstream") not in tone
    assert set(tone.values()) == {0}


def test_names_pass_promtool() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposed(FULL).encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_documentation_lists_every_metric() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(rtpverify_\w+)` \|", text, re.MULTILINE))
    assert listed == {key[0] for key in samples(exposed(FULL))}
