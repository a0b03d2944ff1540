"""Captures of real networks: the figures that other tools measured in them."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from tests.end_to_end import wire
from tests.end_to_end.programs import check_capture, require

pytestmark = pytest.mark.skipif(
    "RTPVERIFY_CAPTURES" not in os.environ, reason="RTPVERIFY_CAPTURES names no folder of captures"
)


def check(name, *options):
    return check_capture(Path(os.environ["RTPVERIFY_CAPTURES"]) / name, *options)


def test_a_clean_stream_of_a_commercial_sender():
    exit_status, result = check("l16-48000-2ch-1ms.pcap", "--encoding", "L16/48000/2", "--reference", "tone:1000")
    assert (exit_status, result["verdict"], result["discarded"]) == (0, "pass", {})
    [stream] = result["streams"]
    assert stream["events"] == []
    assert (stream["ssrc"], stream["payload_type"]) == ("0x007c3d72", 98)
    assert stream["packet_time_seconds"] == 0.001
    transport = stream["transport"]
    assert (transport["packets_received"], transport["packets_expected"]) == (10_062, 10_062)
    assert transport["clock_drift_ppm"] == pytest.approx(24.6, abs=0.05)
    assert transport["jitter_seconds"] == pytest.approx(21.3e-6, abs=0.05e-6)
    assert [signal["channel"] for signal in stream["signal"]] == [1, 2]
    for signal in stream["signal"]:
        # 1000.00053 Hz at first, 1000.00061 Hz from 5.5 s on.
        assert 1000.00053 < signal["frequency_hz"] < 1000.00061
        assert signal["level_dbfs"] == pytest.approx(-20.0, abs=0.001)
        assert signal["dc_offset"] * 2**15 == pytest.approx(-0.496, abs=0.002)
        # Measured with numpy over stretches of 20 ms to 1 s: 0.279 to 0.290 steps.
        assert 2**15 / 2**0.5 * 10 ** (signal["residual_dbfs"] / 20) == pytest.approx(0.2845, abs=0.006)
        assert signal["blind_slip_frames"] == 48
        assert signal["effective_bits"] == 16
    [warning] = stream["warnings"]
    assert "cannot reveal slips of 48 frames" in warning


def test_a_telephone_call():
    exit_status, result = check("g711a.pcap", "--reference", "none")
    assert exit_status == 0
    [stream] = result["streams"]
    assert (stream["ssrc"], stream["encoding"], stream["sample_rate"]) == ("0xdee0ee8f", "PCMA", 8000)
    assert stream["packet_time_seconds"] == 0.03
    assert stream["transport"]["packets_received"] == stream["transport"]["packets_expected"] == 236
    assert stream["transport"]["jitter_seconds"] == pytest.approx(0.365e-3, abs=0.5e-6)
    assert stream["signal"] == []


def test_two_legs_with_losses_of_their_own():
    exit_status, result = check("st2022-7-l24-dropped-in-both.pcap", "--encoding", "L24/48000/1", "--reference", "none")
    assert exit_status == 1
    legs = result["streams"]
    assert [leg["ssrc"] for leg in legs] == ["0x01020304", "0x01020304"]
    assert [leg["packet_time_seconds"] for leg in legs] == [0.000125, 0.000125]
    counts = [(leg["transport"]["packets_received"], leg["transport"]["packets_lost"]) for leg in legs]
    assert counts == [(189, 11), (185, 5)]
    for leg in legs:
        gap = leg["events"][-1]
        assert (gap["kind"], gap["packets"], gap["duration_frames"]) == ("gap", [24967, 24971], 30)


@pytest.mark.parametrize("told_by", ["option", "description"])
def test_two_legs_merged(told_by, tmp_path):
    options = ["--redundant", "--encoding", "L24/48000/1"]
    if told_by == "description":
        lines = ["v=0", "o=- 1 1 IN IP4 192.168.120.2", "s=legs", "t=0 0", "a=group:DUP 1 2"]
        for leg in (1, 2):
            lines += ["m=audio 6000 RTP/AVP 96", f"c=IN IP4 239.1.2.{leg}/32", "a=rtpmap:96 L24/48000", f"a=mid:{leg}"]
        (tmp_path / "legs.sdp").write_text("\n".join(lines))
        options = ["--sdp", str(tmp_path / "legs.sdp")]
    exit_status, result = check("st2022-7-l24-dropped-in-both.pcap", "--reference", "none", *options)
    assert exit_status == 1
    [stream] = result["streams"]
    assert (stream["transport"]["packets_received"], stream["transport"]["packets_lost"]) == (195, 5)
    [gap] = stream["events"]
    assert (gap["kind"], gap["packets"], gap["duration_frames"]) == ("gap", [24967, 24971], 30)
    first, second = stream["legs"]
    assert (first["destination"], first["packets_received"], first["packets_lost"]) == ("239.1.2.1:6000", 189, 11)
    assert (second["destination"], second["packets_received"], second["packets_lost"]) == ("239.1.2.2:6000", 185, 5)
    assert first["max_skew_seconds"] < 1e-6
    assert second["max_skew_seconds"] < 1e-6
    assert stream["packets_differing"] == 1
    [warning] = stream["warnings"]
    assert "in 1 packet (sequence 25081)" in warning


WHAT = {
    "g711a.pcap": (2006, ()),
    "l16-48000-2ch-1ms.pcap": (5004, ("--encoding", "L16/48000/2")),
    "st2022-7-l24-dropped-in-both.pcap": (6000, ("--encoding", "L24/48000/1")),
}


@pytest.mark.parametrize("name", WHAT)
def test_the_counts_are_those_of_tshark(name):
    require("tshark")
    port, options = WHAT[name]
    capture = Path(os.environ["RTPVERIFY_CAPTURES"]) / name
    _, result = check_capture(capture, *options, "--reference", "none")
    ours = {stream["destination"]: stream for stream in result["streams"]}
    theirs = {seen.destination: seen for seen in wire.statistics(capture, port)}
    assert ours.keys() == theirs.keys()
    for destination, seen in theirs.items():
        stream, transport = ours[destination], ours[destination]["transport"]
        assert stream["ssrc"] == f"0x{seen.ssrc:08x}"
        assert (transport["packets_received"], transport["packets_lost"]) == (seen.packets, seen.lost)
        assert transport["packets_expected"] == seen.packets + seen.lost
        numbers = [sequence for sequence, _ in wire.headers(capture, port, destination)]
        steps = [(after - before) % 2**16 for before, after in pairwise(numbers)]
        assert sum(event["packets_lost"] for event in stream["events"]) == sum(step - 1 for step in steps)
        assert len(stream["events"]) == sum(step != 1 for step in steps)  # sequence errors
        assert transport["packets_duplicated"] == transport["packets_reordered"] == transport["packets_late"] == 0
        # tshark prints microseconds.
        assert transport["mean_interval_seconds"] == pytest.approx(seen.mean_interval_ms / 1000, abs=0.6e-6)
        assert transport["longest_interval_seconds"] == pytest.approx(seen.max_interval_ms / 1000, abs=0.6e-6)
        if stream["payload_type"] < 96:
            assert transport["max_jitter_seconds"] == pytest.approx(seen.max_jitter_ms / 1000, abs=0.6e-6)
        else:
            # Nothing in a capture tells tshark the clock rate of a dynamic payload type; without one it reports no
            # jitter at all, where there is some.
            assert seen.max_jitter_ms == 0 < transport["max_jitter_seconds"]
