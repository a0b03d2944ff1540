from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rtpverify.daemon.metrics.event_sizes import SIZES
from rtpverify.daemon.metrics.exposition import Exposition
from rtpverify.daemon.metrics.snapshot import (
    MEASURED_COUNTERS,
    OTHER_COUNTERS,
    PACKET_COUNTERS,
    LegSnapshot,
    LoopSnapshot,
    SinkSnapshot,
    Snapshot,
    StreamSnapshot,
    countable_events,
)
from rtpverify.daemon.metrics.text import Exemplar
from rtpverify.live.histogram import BucketCounts
from rtpverify.reference import Tone
from rtpverify.result import Rtcp, Sensitivity, Signal, Transport

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
ID = "0123456789ab"
FULL = Snapshot(
    streams=(
        StreamSnapshot(
            name="a",
            up=True,
            packets={name: number for number, name in enumerate(PACKET_COUNTERS, 10)},
            counts={name: number for number, name in enumerate((*OTHER_COUNTERS, *MEASURED_COUNTERS), 20)},
            packets_differing=4,
            events={("gap", "network"): 3, ("slip", "upstream"): 0},
            open_events={("noise", "upstream"): 1},
            exemplars={("gap", "network"): Exemplar(ID, 1_790_000_000_123_456_789)},
            sizes={(size, "gap"): BucketCounts((1.0, 2.0), (1, 0, 2), 12.0) for size in SIZES},
            intervals=BucketCounts((0.001, 0.002), (5, 1, 1), 0.5),
            transport=Transport(
                jitter_seconds=0.00025,
                clock_drift_ppm=24.6,
                tsdf_seconds=0.0001,
                max_tsdf_seconds=0.0002,
                presentation_lead_seconds=0.0015,
                min_presentation_lead_seconds=0.001,
                packets_short_of_lead=2,
                max_jitter_seconds=0.0003,
                longest_interval_seconds=0.004,
                burst_density=0.5,
                gap_density=0.01,
                burst_duration_seconds=0.02,
                gap_duration_seconds=3.0,
                rtcp=Rtcp(3, media_clock_drift_ppm=1.5, fraction_lost=0.25, delay_since_last_sender_report_seconds=2.5),
            ),
            encoding="L24/48000/2",
            packet_time_seconds=0.001,
            judged=True,
            last_packet_ns=1_790_000_000_500_000_000,
            legs=(
                LegSnapshot(dict.fromkeys(PACKET_COUNTERS, 5)),
                LegSnapshot(dict.fromkeys(PACKET_COUNTERS, 6), 0.002),
            ),
            signal=(
                Signal(
                    1,
                    frequency_hz=997.0,
                    level_dbfs=-6.02,
                    dc_offset=0.0,
                    residual_dbfs=-140.5,
                    frequency_error_ppm=-0.5,
                    thd_db=-150.0,
                    thd_plus_n_db=-134,
                    effective_bits=24,
                    crosstalk_db=-90.0,
                    sensitivity=Sensitivity(1e-6, 0.005, 1e-4, True),
                ),
                Signal(2, level_dbfs=-20.0),
            ),
            channel_counts={("bit_errors", 1): 2, ("frames_exact", 1): 48000},
        ),
        StreamSnapshot(name="b", packets=dict.fromkeys(PACKET_COUNTERS, 0), signal=(Signal(1),)),
    ),
    discarded={"short": 2},
    receive_buffer_dropped=7,
    receive_buffer_bytes=212992,
    receive_buffer_fill=0.125,
    behind_seconds=0.25,
    loop=LoopSnapshot(9, 0.75, *(BucketCounts((1.0,), (1, 1), 3.0) for _ in range(3))),
    sinks={"history": SinkSnapshot({"written": 3, "dropped": 1}, waiting=5, works=False)},
    last_reload_successful=False,
    last_reload_seconds=1.79e9,
    sources_refused=2,
    streams_refused={"a": 4},
    defects={"signal": 3},
)


def exposed(snapshot: Snapshot, *, openmetrics: bool = False) -> str:
    return Exposition(lambda: snapshot).render(openmetrics=openmetrics).decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return value by name and label values, in the order in which the contract names the labels."""
    order = (
        "stream",
        "channel",
        "leg",
        "kind",
        "cause",
        "reason",
        "version",
        "encoding",
        "outlet",
        "outcome",
        "where",
        "le",
    )
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


def test_what_lies_beyond_the_contract_is_in_the_units_of_its_name() -> None:
    found = samples(exposed(FULL))
    assert found["rtpverify_open_events", "a", "noise", "upstream"] == 1
    assert found["rtpverify_delay_factor_seconds", "a"] == 0.0001
    assert found["rtpverify_loss_burst_density_ratio", "a"] == 0.5
    assert found["rtpverify_loss_gap_duration_seconds", "a"] == 3.0
    assert found["rtpverify_rtcp_clock_drift_ratio", "a"] == pytest.approx(1.5e-6)
    assert found["rtpverify_rtcp_fraction_lost_ratio", "a"] == 0.25
    assert found["rtpverify_frequency_error_ratio", "a", "1"] == pytest.approx(-0.5e-6)
    assert found["rtpverify_last_packet_timestamp_seconds", "a"] == 1_790_000_000.5
    assert found["rtpverify_leg_packets_lost_total", "a", "2"] == 6
    assert found["rtpverify_leg_skew_seconds", "a", "2"] == 0.002
    assert ("rtpverify_leg_skew_seconds", "a", "1") not in found
    assert found["rtpverify_packets_differing_total", "a"] == 4
    assert found["rtpverify_bit_errors_total", "a", "1"] == 2
    assert found["rtpverify_smallest_click_ratio", "a", "1"] == 1e-6
    assert found["rtpverify_stream_info", "a", "L24/48000/2"] == 1
    assert found["rtpverify_receive_buffer_fill_ratio",] == 0.125
    assert found["rtpverify_config_last_reload_successful",] == 0
    assert found["rtpverify_sources_refused",] == 2
    assert [found["rtpverify_streams_refused_total", name] for name in "ab"] == [4, 0]
    assert found["rtpverify_internal_errors_total", "signal"] == 3
    outcomes = {key[2]: value for key, value in found.items() if key[0] == "rtpverify_outlet_total"}
    assert outcomes == {"written": 3, "dropped": 1, "failed": 0}
    assert (found["rtpverify_outlet_waiting", "history"], found["rtpverify_outlet_up", "history"]) == (5, 0)
    assert found["rtpverify_busy_seconds_total",] == 0.75


def test_buckets_of_a_histogram_hold_what_those_below_hold() -> None:
    found = samples(exposed(FULL))
    buckets = [found["rtpverify_event_packets_bucket", "a", "gap", edge] for edge in ("1.0", "2.0", "+Inf")]
    assert buckets == [1, 1, 3]
    assert found["rtpverify_event_packets_count", "a", "gap"] == 3
    assert found["rtpverify_event_packets_sum", "a", "gap"] == 12
    assert found["rtpverify_interarrival_seconds_count", "a"] == 7
    assert found["rtpverify_processing_lag_seconds_bucket", "+Inf"] == 2


def test_what_was_not_measured_is_absent_and_what_was_counted_as_nothing_is_zero() -> None:
    found = samples(exposed(FULL))
    assert ("rtpverify_residual_dbfs", "a", "2") not in found
    of_b = {key[0] for key in found if key[1:2] == ("b",)}
    counted = {"rtpverify_streams_refused_total", *(f"rtpverify_packets_{name}_total" for name in PACKET_COUNTERS)}
    assert of_b == {"rtpverify_stream_up", *counted}
    assert found["rtpverify_packets_lost_total", "b"] == 0
    idle = {key[0] for key in samples(exposed(Snapshot()))}
    assert not [name for name in idle if name.startswith(("rtpverify_tick", "rtpverify_receive_buffer_fill"))]


def test_openmetrics_tells_the_same_and_which_event_it_was() -> None:
    text = exposed(FULL, openmetrics=True)
    assert text.endswith("# EOF\n")
    open_samples = [sample for family in parse_openmetrics(text) for sample in family.samples]
    ours = {sample.name for sample in open_samples if sample.name.startswith("rtpverify_")}
    assert ours == {key[0] for key in samples(exposed(FULL)) if key[0].startswith("rtpverify_")}
    ((name, exemplar),) = ((sample.name, sample.exemplar) for sample in open_samples if sample.exemplar)
    assert name == "rtpverify_events_total"
    assert exemplar.labels == {"event_id": ID}
    assert str(exemplar.timestamp) == "1790000000.123456789"
    assert "# {" not in exposed(FULL)


def test_countable_events_follow_the_reference() -> None:
    assert ("slip", "upstream") not in countable_events(None)
    assert ("gap", "network") in countable_events(None)
    tone = countable_events(Tone())
    assert {("slip", "upstream"), ("stall", "network"), ("stall", "upstream"), ("stall", "unknown")} <= tone.keys()
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


def test_the_documentation_lists_every_metric_with_type_and_labels() -> None:
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(rtpverify_\w+)` \| (\w+) \|([^|]*)\|", text, re.MULTILINE)
    listed = {name: (kind, set(re.findall(r"`(\w+)`", names))) for name, kind, names in rows}
    shown: dict[str, tuple[str, set[str]]] = {}
    for family in parse_text(exposed(FULL)):
        for sample in family.samples:
            name = family.name + ("_total" if family.type == "counter" else "")
            _, names = shown.setdefault(name, (family.type, set()))
            names |= set(sample.labels) - {"le"}
    assert listed == {name: value for name, value in shown.items() if name.startswith("rtpverify_")}
