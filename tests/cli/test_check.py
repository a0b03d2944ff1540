import contextlib
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields
from datetime import datetime
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile

from rtpverify import __version__
from rtpverify.limits import TRANSPORT_LIMITS, Limits
from tests.helpers.command import refused, run
from tests.helpers.patience import PATIENCE_SECONDS, wait_until


def test_usage_errors_have_status_2(tone_wav):
    assert run("check").exit_code == 2
    assert run("check", tone_wav, "--profile", "tape").exit_code == 2
    assert run("check", tone_wav, "--duration", "0").exit_code == 2
    assert run("check", tone_wav, "--json", "-", "--html", "-").exit_code == 2


def test_reports_into_a_missing_folder_are_refused_before_the_check(tone_wav, tmp_path):
    outcome = run("check", tone_wav, "--json", tmp_path / "none" / "result.json")
    assert outcome.exit_code == 2
    assert "no such folder" in outcome.stderr


def test_the_request_is_part_of_the_result(tone_wav, tmp_path):
    limits = tmp_path / "limits.toml"
    limits.write_text("max_dc_offset = 0.5\n")
    options = ["--profile", "analog", "--limits", limits, "--max-gain-db", "3", "--reference", "tone", "--json", "-"]
    data = json.loads(run("check", tone_wav, *options).stdout)
    asked = data["request"]
    assert asked["command"] == shlex.join(["rtpverify", "check", str(tone_wav), *map(str, options)])
    assert (asked["reference"], asked["encoding"], asked["profile"]) == ("tone", None, "analog")
    assert asked["limits"] == {"max_dc_offset": 0.5, "max_gain_db": 3.0}
    assert (asked["version"], asked["host"]) == (__version__, socket.gethostname())
    assert abs(datetime.fromisoformat(asked["time"]).timestamp() - time.time()) < 600
    data = json.loads(run("compare", tone_wav, tone_wav, "--json", "-").stdout)
    assert (data["request"]["reference"], data["request"]["limits"]) == (str(tone_wav), {})


class TestDuration:
    """Files and captures: only the beginning is verified."""

    def frames(self, *arguments):
        outcome = run("check", *arguments, "--json", "-")
        (stream,) = json.loads(outcome.stdout)["streams"]
        return outcome.exit_code, stream["frames"]

    def test_file(self, tone_wav):
        assert self.frames(tone_wav, "--duration", 0.5) == (0, 24_000)
        assert self.frames(tone_wav, "--duration", 1.9999999) == (0, 96_000)
        assert self.frames(tone_wav, "--duration", 60) == (0, 96_000)

    def test_fault_after_it_in_a_file_is_not_looked_at(self, tmp_path):
        path = tmp_path / "faulty.wav"
        tone = 0.5 * np.sin(2 * np.pi * 997 * np.arange(144_000) / 48_000)
        tone[120_000:120_050] = 0.0
        soundfile.write(path, tone, 48_000, "PCM_24")
        assert self.frames(path)[0] == 1
        assert self.frames(path, "--duration", 2) == (0, 96_000)

    def test_capture(self, write_capture):
        options = ["--encoding", "L24/48000/2", "--reference", "tone:997"]
        capture = write_capture(seconds=2.0, lost=[1500])
        assert self.frames(capture, *options) == (1, 96_000)
        assert self.frames(capture, *options, "--duration", 1) == (0, 48_000)
        assert self.frames(capture, *options, "--duration", 1.5025) == (1, 72_144)
        assert self.frames(capture, *options, "--duration", 60) == (1, 96_000)

    def test_capture_from_its_first_packet_of_rtp_on(self, write_capture):
        capture = write_capture(seconds=1.0)
        content = bytearray(capture.read_bytes())
        record = 16 + int.from_bytes(content[32:36], "little")
        for number in range(500):  # half a second of something else
            content[24 + number * record + 16 + 42] = 0
        capture.write_bytes(content)
        options = ["--encoding", "L24/48000/2", "--reference", "none"]
        assert self.frames(capture, *options, "--duration", 0.25)[1] == 12_000


class TestOptionsThatTellNothing:
    @pytest.mark.parametrize("option", [["--rtcp"], ["--receiver-reports"], ["--backend", "recvmmsg"]])
    def test_of_live_sources(self, option, tone_wav, write_capture):
        for source in (tone_wav, write_capture(seconds=0.1)):
            assert refused("check", source, *option) == f"rtpverify: {source}: {option[0]} is for live sources"

    def test_clock_of_the_host(self, tone_wav, write_capture, tmp_path):
        capture = write_capture(seconds=0.1)
        assert "has no effect without --link-offset-seconds" in refused("check", capture, "--host-clock", "utc")
        limits = tmp_path / "limits.toml"
        limits.write_text("link_offset_seconds = 0.01")
        assert "no arrival times" in refused("check", tone_wav, "--host-clock", "tai", "--limits", limits)

    @pytest.mark.parametrize("name", sorted(TRANSPORT_LIMITS))
    def test_limits_of_packets_for_recordings(self, name, tone_wav, tmp_path):
        option = f"--{name.replace('_', '-')}"
        for command in (["check", tone_wav], ["compare", tone_wav, tone_wav]):
            line = refused(*command, option, "1")
            assert line == f"rtpverify: {tone_wav}: {option} limits packets, but an audio file has none"
        limits = tmp_path / "limits.toml"
        limits.write_text(f"{name} = 1")
        assert run("check", tone_wav, "--limits", limits).exit_code == 0

    def test_every_limit_of_packets_is_a_limit(self):
        assert {item.name for item in fields(Limits)} > TRANSPORT_LIMITS


class TestBadInput:
    """Status 2 and one line that names place and value."""

    def test_missing_file(self, tmp_path):
        assert refused("check", tmp_path / "none.wav") == f"rtpverify: {tmp_path}/none.wav: No such file or directory"

    def test_neither_capture_nor_audio(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("nothing to hear here\n" * 20)
        assert str(path) in refused("check", path)

    def test_capture_of_something_else(self, write_capture):
        path = write_capture(seconds=0.1)
        content = bytearray(path.read_bytes())
        position = 24
        while position < len(content):  # RTP version 0 in every packet
            length = int.from_bytes(content[position + 8 : position + 12], "little")
            content[position + 16 + 42] = 0
            position += 16 + length
        path.write_bytes(content)
        line = refused("check", path)
        assert f"{path}: no RTP stream among its 100 frames" in line
        assert "100 not RTP (its version is 2)" in line

    def test_unknown_encoding_name(self, write_capture):
        line = refused("check", write_capture(seconds=0.1), "--encoding", "L99/48000")
        assert "--encoding" in line
        assert "L99/48000" in line

    def test_unknown_encoding_of_a_payload_type(self, write_capture):
        path = write_capture(seconds=0.1, frequency_hz=0.0)
        line = refused("check", path)
        assert f"{path}: payload type 97: encoding unknown; 288-byte payloads, 48 frames: " in line
        assert "L24/48000/2" in line

    def test_unknown_encoding_that_the_samples_tell(self, write_capture):
        """It is used for what is measured, and what was not asked for does not pass."""
        outcome = run("check", write_capture(seconds=0.5))
        assert outcome.exit_code == 3
        assert "the samples say L24/48000/2, used for this check; set --encoding L24/48000/2" in outcome.stdout
        assert "997.000" in outcome.stdout

    def test_tone_above_half_the_sample_rate(self, write_capture, tone_wav):
        capture = write_capture(seconds=0.1)
        for source in ([capture, "--encoding", "L24/48000/2"], [tone_wav]):
            line = refused("check", *source, "--reference", "tone:24000")
            assert "tone:24000" in line
            assert "48000 Hz" in line

    def test_reference_that_is_no_frequency(self, tone_wav):
        assert refused("check", tone_wav, "--reference", "tone:-5") == (
            "rtpverify: reference tone:-5: '-5' is not a frequency above 0 Hz"
        )

    def test_more_frequencies_than_channels(self, tone_wav):
        assert "3 frequencies" in refused("check", tone_wav, "--reference", "tone:1,2,3")

    def test_no_reference_for_a_file(self, tone_wav):
        assert "has no transport" in refused("check", tone_wav, "--reference", "none")

    def test_encoding_for_a_file(self, tone_wav):
        assert "states its own encoding" in refused("check", tone_wav, "--encoding", "L24/48000/2")

    def test_malformed_limits(self, tone_wav, tmp_path):
        path = tmp_path / "limits.toml"
        path.write_text("max_thd_n_db = 'low'\n")
        assert (
            refused("check", tone_wav, "--limits", path) == f"rtpverify: {path}: max_thd_n_db = 'low' is not a number"
        )
        path.write_text("max_thd = -60\n")
        assert "unknown limit 'max_thd'" in refused("check", tone_wav, "--limits", path)

    def test_negative_limit(self, tone_wav):
        assert "max_dc_offset = -1.0 is negative" in refused("check", tone_wav, "--max-dc-offset", "-1")

    def test_address_that_is_none(self):
        assert "'0'" in refused("check", "rtp://127.0.0.1:0", "--duration", "1")

    def test_port_in_use(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            line = refused("check", f"rtp://127.0.0.1:{port}", "--encoding", "L16/48000", "--duration", "1")
        assert str(port) in line

    def test_unwritable_report(self, tone_wav, tmp_path):
        target = tmp_path / ("x" * 300)
        outcome = run("check", tone_wav, "--reference", "tone:997", "--json", target)
        assert outcome.exit_code == 2
        assert "File name too long" in outcome.stderr
        assert "Traceback" not in outcome.stderr


class TestCheck:
    def test_clean_file(self, tone_wav):
        outcome = run("check", tone_wav, "--reference", "tone:997")
        assert outcome.exit_code == 0
        assert outcome.stdout.startswith("PASS  1 stream verified, no fault\n")
        assert outcome.stderr == ""

    def test_the_frequency_is_found_by_default(self, tone_wav):
        outcome = run("check", tone_wav, "--json", "-")
        assert outcome.exit_code == 0
        [stream] = json.loads(outcome.stdout)["streams"]
        assert stream["signal"][0]["frequency_hz"] == pytest.approx(997, abs=1e-4)

    def test_wrong_frequency_is_a_fault(self, tone_wav):
        outcome = run("check", tone_wav, "--reference", "tone:1000", "--json", "-")
        assert outcome.exit_code == 1
        [stream] = json.loads(outcome.stdout)["streams"]
        assert {event["kind"] for event in stream["events"]} == {"frequency"}

    def test_clean_capture(self, write_capture):
        path = write_capture()
        outcome = run("check", path, "--encoding", "L24/48000/2", "--reference", "tone:997")
        assert outcome.exit_code == 0, outcome.output
        assert "2,000 received of 2,000, 0 lost" in outcome.stdout

    def test_lost_packets_are_one_gap(self, write_capture):
        path = write_capture(lost=(700, 701))
        outcome = run("check", path, "--encoding", "L24/48000/2", "--reference", "tone:997", "--json", "-")
        assert outcome.exit_code == 1
        data = json.loads(outcome.stdout)
        assert data["verdict"] == "fail"
        [stream] = data["streams"]
        [event] = stream["events"]
        assert (event["kind"], event["start_frame"], event["duration_frames"]) == ("gap", 700 * 48, 96)
        assert stream["transport"]["packets_lost"] == 2

    def test_the_summary_makes_way_for_a_report_on_standard_output(self, write_capture):
        path = write_capture(seconds=1, lost=(500,))
        outcome = run("check", path, "--encoding", "L24/48000/2", "--reference", "tone:997", "--junit", "-")
        assert ET.fromstring(outcome.stdout.partition("\n")[2]).get("failures") == "1"  # noqa: S314
        assert outcome.stderr.startswith("FAIL  1 fault: 1 gap\n")

    def test_reports_into_files(self, write_capture, tmp_path):
        path = write_capture(seconds=1)
        places = {name: tmp_path / f"report.{name}" for name in ("json", "junit", "html")}
        options = [item for name, place in places.items() for item in (f"--{name}", place)]
        outcome = run("check", path, "--encoding", "L24/48000/2", "--reference", "tone:997", *options)
        assert outcome.stdout.startswith("PASS")
        assert json.loads(places["json"].read_text(encoding="utf-8"))["verdict"] == "pass"
        assert places["junit"].read_text(encoding="utf-8").startswith("<?xml")
        assert places["html"].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")

    def test_transport_alone_needs_no_encoding(self, write_capture):
        outcome = run("check", write_capture(seconds=0.5, lost=(100,)), "--reference", "none", "--json", "-")
        assert outcome.exit_code == 1
        [stream] = json.loads(outcome.stdout)["streams"]
        assert stream["transport"]["packets_lost"] == 1
        assert stream["signal"] == []

    def test_the_name_of_a_capture_does_not_matter(self, write_capture):
        path = write_capture("capture.wav", seconds=1)
        assert run("check", path, "--encoding", "L24/48000/2", "--reference", "tone:997").exit_code == 0

    def test_option_over_file_over_profile(self, tone_wav, tmp_path):
        limits = tmp_path / "limits.toml"
        limits.write_text("max_frequency_error_ppm = 0.5\n")
        off = ["check", tone_wav, "--reference", "tone:997.00399", "--profile", "analog"]  # 4 ppm
        assert run(*off).exit_code == 0
        assert run(*off, "--limits", limits).exit_code == 1
        assert run(*off, "--limits", limits, "--max-frequency-error-ppm", "10").exit_code == 0

    def test_empty_capture_is_nothing_to_verify(self, write_capture):
        path = write_capture()
        path.write_bytes(path.read_bytes()[:24])
        outcome = run("check", path)
        assert outcome.exit_code == 3
        assert outcome.stdout.startswith("INCONCLUSIVE  nothing to verify arrived\n")

    def test_session_description_of_a_capture(self, write_capture, tmp_path):
        path = write_capture(seconds=1)
        description = tmp_path / "stream.sdp"
        description.write_text(SDP.format(address="239.1.2.3/32", port=5004))
        assert run("check", path, "--sdp", description, "--reference", "tone:997").exit_code == 0
        description.write_text(SDP.format(address="239.1.2.4/32", port=5004))
        outcome = run("check", path, "--sdp", description, "--reference", "tone:997")
        assert outcome.exit_code == 0
        assert ":6: announced for 239.1.2.4:5004, packets go to 239.1.2.3:5004\n" in outcome.stdout


SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=tone
c=IN IP4 {address}
t=0 0
m=audio {port} RTP/AVP 97
a=rtpmap:97 L24/48000/2
a=ptime:1
"""


def _free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def program():
    """Start rtpverify as a process of its own; whatever is left of it at the end is killed."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            process = subprocess.Popen(
                [sys.executable, "-m", "rtpverify", *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


class TestLive:
    """Real processes."""

    def test_nothing_arrives(self, program):
        source = f"rtp://127.0.0.1:{_free_port()}"
        process = program("check", source, "--encoding", "L16/48000", "--duration", "0.3")
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, stderr) == (3, f"listening on {source}\n")
        assert stdout.startswith("INCONCLUSIVE  nothing to verify arrived\n")

    def test_an_interrupt_ends_it_with_what_was_found(self, program, write_capture):
        port = _free_port()
        # A busy machine may hold the sender up, which is no matter of this test.
        options = ["--encoding", "L24/48000/2", "--reference", "tone:997", "--max-stall-seconds", "60"]
        process = program("check", f"rtp://127.0.0.1:{port}", *options, "--json", "-")
        packets = _payloads(write_capture(lost=(1200,)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            _wait_until_bound(port)
            start = time.monotonic()
            for index, packet in enumerate(packets):
                time.sleep(max(0.0, start + index * 0.001 - time.monotonic()))
                sender.sendto(packet, ("127.0.0.1", port))
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1, stderr
        assert "Traceback" not in stderr
        [stream] = json.loads(stdout)["streams"]
        assert stream["transport"]["packets_received"] == 1999
        assert stream["transport"]["packets_lost"] == 1
        assert [event["kind"] for event in stream["events"]] == ["gap"]

    def test_a_sender_started_after_the_line_listening_is_waited_for(self, program, write_capture):
        """The duration counts from its first packet, and 1 s from the start of the check that would be over."""
        port = _free_port()
        options = ["--encoding", "L24/48000/2", "--reference", "tone:997", "--wait", "60", "--duration", "1", "-q"]
        process = program("check", f"rtp://127.0.0.1:{port}", *options, "--json", "-")
        assert process.stderr.readline() == f"listening on rtp://127.0.0.1:{port}\n"
        listening = time.monotonic()
        wait_until(lambda: time.monotonic() > listening + 1.2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            packets = iter(_payloads(write_capture()) * 100)
            while process.poll() is None:
                sender.sendto(next(packets), ("127.0.0.1", port))
                time.sleep(0.001)
        stdout, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert json.loads(stdout)["streams"][0]["transport"]["packets_received"] > 0

    def test_nothing_to_wait_for(self, program):
        source = f"rtp://127.0.0.1:{_free_port()}"
        process = program("check", source, "--encoding", "L16/48000", "--wait", "0.2", "--duration", "3600")
        stdout, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 3
        assert stdout.startswith("INCONCLUSIVE  nothing to verify arrived\n")

    def test_session_description(self, program, tmp_path):
        description = tmp_path / "stream.sdp"
        port = _free_port()
        description.write_text(SDP.format(address="127.0.0.1", port=port))
        process = program("check", description, "--duration", "0.3")
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, stderr) == (3, f"listening on rtp://127.0.0.1:{port}\n")
        assert stdout.startswith("INCONCLUSIVE")


def _payloads(path):
    """Return the UDP payloads of a capture written by write_capture."""
    content = path.read_bytes()
    packets, position = [], 24
    while position < len(content):
        length = int.from_bytes(content[position + 8 : position + 12], "little")
        packets.append(content[position + 16 + 42 : position + 16 + length])
        position += 16 + length
    return packets


def _wait_until_bound(port):
    """Return once somebody else holds the port."""

    def taken():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return True
        return False

    wait_until(taken, lambda: f"nobody took port {port}")
