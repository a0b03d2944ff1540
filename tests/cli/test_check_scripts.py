"""What scripts and CI ask of ``check``: pipes and archives, excerpts, streams counted and listed, annotations."""

import fcntl
import gzip
import io
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile

from rtpverify.report import annotations
from tests.helpers.command import refused, run
from tests.helpers.patience import PATIENCE_SECONDS, wait_until

L24 = ("--encoding", "L24/48000/2", "--reference", "tone:997")


@pytest.fixture
def two(write_capture, tmp_path):
    """A capture of two streams, the second with payload type 98 and L16."""
    first = write_capture("one.pcap", seconds=0.5).read_bytes()
    other = write_capture("other.pcap", seconds=0.5, encoding="L16/48000/2", payload_type=98).read_bytes()
    path = tmp_path / "two.pcap"
    path.write_bytes(first + other[24:].replace(bytes.fromhex("5eed0001"), bytes.fromhex("5eed0002")))
    return path


def piped(content, *arguments, interrupt=False):
    """Run ``check -`` with a capture on its standard input, which stays open until an interrupt where there is one."""
    command = [sys.executable, "-m", "rtpverify", "check", "-", *L24, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if interrupt:
        process.stdin.write(content)
        process.stdin.flush()
        wait_until(lambda: _unread(process.stdin) == 0)
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(None if interrupt else content, timeout=PATIENCE_SECONDS)
    return process.returncode, output.decode(), errors.decode()


def _unread(pipe):
    """Return how many bytes wait in a pipe."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


class TestStandardInput:
    def test_a_capture_is_verified_as_a_file_is(self, write_capture):
        path = write_capture(seconds=0.5, lost=[100])
        of_file = json.loads(run("check", path, *L24, "--json", "-").stdout)
        for content in (path.read_bytes(), gzip.compress(path.read_bytes())):
            status, output, _ = piped(content, "--json", "-")
            found = json.loads(output)
            assert (status, found["source"], found["streams"]) == (1, "-", of_file["streams"])

    def test_ctrl_c_ends_it_with_a_verdict(self, write_capture):
        status, output, _ = piped(write_capture(seconds=0.5).read_bytes(), interrupt=True)
        assert (status, output.splitlines()[0]) == (0, "PASS  1 stream verified, no fault")

    def test_what_is_no_capture(self):
        for content, reason in ((b"", "empty file"), (b"RIFF" + bytes(60), "not a pcap or pcapng capture")):
            status, output, errors = piped(content)
            assert (status, output) == (2, "")
            assert f"rtpverify: -: {reason}" in errors.splitlines()[-1]

    def test_a_terminal(self, monkeypatch):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        from rtpverify.commands.standard_input import standard_input
        from rtpverify.errors import RequestError

        monkeypatch.setattr(sys, "stdin", Terminal())
        with pytest.raises(RequestError, match="is a terminal; pipe a capture into it"), standard_input():
            pass


class TestArchives:
    def test_compressed(self, write_capture, tmp_path):
        path = write_capture(seconds=0.3)
        (tmp_path / "capture.pcap.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert run("check", tmp_path / "capture.pcap.gz", *L24).exit_code == 0

    def test_one_that_is_cut_off_gives_no_verdict(self, write_capture, tmp_path):
        packed = tmp_path / "capture.pcap.gz"
        packed.write_bytes(gzip.compress(write_capture(seconds=0.3).read_bytes())[:-20])
        assert f"rtpverify: {packed}: its gzip data ends before its end after " in refused("check", packed, *L24)


class TestExcerpts:
    def stream(self, *arguments):
        outcome = run("check", *arguments, "--json", "-")
        (stream,) = json.loads(outcome.stdout)["streams"]
        return outcome.exit_code, stream

    @pytest.fixture
    def muted(self, tmp_path):
        """Two seconds of a tone that is muted from frame 60,000 on for 480 frames."""
        frames = np.round(2**22 * np.sin(2 * np.pi * 997 * np.arange(96_000) / 48_000)) / 2**23
        frames[60_000:60_480] = 0.0
        soundfile.write(tmp_path / "muted.wav", frames, 48_000, "PCM_24")
        return tmp_path / "muted.wav"

    @pytest.mark.parametrize("start", [0.5, 1.0, 1.2])
    def test_frames_of_a_file_count_from_its_first(self, muted, start):
        status, stream = self.stream(muted, "--reference", "tone:997", "--start", start)
        [event] = stream["events"]
        assert (status, event["start_frame"], event["duration_frames"]) == (1, 60_000, 480)
        assert (stream["first_frame"], stream["frames"]) == (round(48_000 * start), 96_000 - round(48_000 * start))

    def test_what_lies_outside_is_not_verified(self, muted):
        for excerpt in (["--duration", 1.2], ["--start", 1.3], ["--start", 1.3, "--duration", 0.5]):
            assert run("check", muted, *excerpt).exit_code == 0

    def test_of_a_recording(self, tmp_path):
        rng = np.random.default_rng(3)
        noise = np.round(rng.uniform(-(2**13), 2**13, (96_000, 2))) / 2**15
        soundfile.write(tmp_path / "reference.wav", noise, 48_000, "PCM_16")
        status, stream = self.stream(
            tmp_path / "reference.wav", "--reference", tmp_path / "reference.wav", "--start", 1
        )
        assert status == 0
        assert stream["comparison"]["channels"][0]["offset_frames"] % 96_000 == 0

    def test_beyond_the_end(self, muted, write_capture):
        line = refused("check", muted, "--start", 2)
        assert line == f"rtpverify: {muted}: --start 2 is after its end; it has 96,000 frames (2.000 s)"
        line = refused("check", write_capture(seconds=0.1), *L24, "--start", 9)
        assert line.endswith("--start 9 is after its last packet, 0.099 s after its first")

    def test_capture(self, write_capture):
        capture = write_capture(seconds=1.0, lost=[300])
        assert self.stream(capture, *L24, "--start", 0.2)[1]["frames"] == 38_400
        assert self.stream(capture, *L24, "--start", 0.2)[1]["events"][0]["start_frame"] == 4_800
        status, stream = self.stream(capture, *L24, "--start", 0.4, "--duration", 0.25)
        assert status == 0
        assert not [warning for warning in stream["warnings"] if "no packet in the last" in warning]


class TestSilence:
    """Silence at both ends is trimmed, all else stays."""

    @pytest.fixture
    def padded(self, tmp_path):
        def write(middle=None):
            frame = np.arange(48_000)
            tone = np.round(2**22 * np.sin(2 * np.pi * 997 * frame / 48_000)) / 2**23
            if middle is not None:
                tone[middle] = 0.0
            silence = np.zeros(24_000)
            frames = np.concatenate([silence, tone, silence])
            soundfile.write(tmp_path / "padded.wav", np.stack([frames, frames], 1), 48_000, "PCM_24")
            return tmp_path / "padded.wav"

        return write

    def test_of_a_file(self, padded):
        assert run("check", padded(), "--reference", "tone:997").exit_code == 1
        outcome = run("check", padded(), "--reference", "tone:997", "--trim-silence")
        assert outcome.exit_code == 0
        assert "the first 0.500 s and the last 0.500 s are silent and not verified (--trim-silence)" in outcome.stdout

    @pytest.mark.parametrize("where", [slice(0, 480), slice(20_000, 20_480), slice(47_000, 47_900)])
    def test_what_is_muted_within_the_signal_stays_a_fault(self, padded, where):
        """However near it is to an end, what is heard after it makes it a fault."""
        outcome = run("check", padded(where), "--reference", "tone:997", "--trim-silence")
        assert outcome.exit_code == (0 if where.start == 0 else 1)

    def test_one_silent_channel_is_a_fault(self, tmp_path):
        tone = np.round(2**22 * np.sin(2 * np.pi * 997 * np.arange(48_000) / 48_000)) / 2**23
        soundfile.write(tmp_path / "one.wav", np.stack([tone, 0 * tone], 1), 48_000, "PCM_24")
        assert run("check", tmp_path / "one.wav", "--trim-silence").exit_code == 1

    def test_nothing_but_silence_is_a_fault(self, tmp_path, write_capture):
        soundfile.write(tmp_path / "none.wav", np.zeros((48_000, 2)), 48_000, "PCM_24")
        assert run("check", tmp_path / "none.wav", "--reference", "tone:997", "--trim-silence").exit_code == 1
        silent = write_capture(seconds=1.0, frequency_hz=0.0)
        assert run("check", silent, *L24, "--trim-silence").exit_code == 1

    def test_packets_are_verified_throughout(self, write_capture, tmp_path):
        capture = write_capture("silent.pcap", seconds=0.5, frequency_hz=0.0, lost=[100]).read_bytes()
        sound = write_capture("sound.pcap", seconds=1.0).read_bytes()
        shifted = bytearray(sound[24:])
        position = 0
        for index in range(1000):  # half a second later, in time, sequence and timestamp
            shifted[position : position + 8] = _later(shifted[position : position + 8], 500_000_000)
            rtp = position + 16 + 42
            shifted[rtp + 2 : rtp + 4] = ((65_500 + 500 + index) % 65_536).to_bytes(2, "big")
            shifted[rtp + 4 : rtp + 8] = (48 * (500 + index)).to_bytes(4, "big")
            position += 16 + int.from_bytes(shifted[position + 8 : position + 12], "little")
        (tmp_path / "both.pcap").write_bytes(capture + bytes(shifted))
        found = json.loads(run("check", tmp_path / "both.pcap", *L24, "--trim-silence", "--json", "-").stdout)
        assert [event["kind"] for event in found["streams"][0]["events"]] == ["gap"]

    def test_without_audio_it_is_refused(self, write_capture):
        line = refused("check", write_capture(seconds=0.1), "--reference", "none", "--trim-silence")
        assert "--trim-silence has no effect with --reference none" in line


def _later(stamp, ns):
    seconds, rest = int.from_bytes(stamp[:4], "little"), int.from_bytes(stamp[4:], "little")
    seconds, rest = divmod(seconds * 1_000_000_000 + rest + ns, 1_000_000_000)
    return seconds.to_bytes(4, "little") + rest.to_bytes(4, "little")


BOTH = ("--encoding", "97=L24/48000/2", "--encoding", "98=L16/48000/2", "--reference", "tone:997")


class TestStreams:
    def test_an_encoding_for_each_payload_type(self, two):
        outcome = run("check", two, *BOTH, "--json", "-")
        found = json.loads(outcome.stdout)
        assert outcome.exit_code == 0
        assert [stream["encoding"] for stream in found["streams"]] == ["L24", "L16"]
        assert found["request"]["encoding"] == "97=L24/48000/2, 98=L16/48000/2"

    def test_one_for_a_type_goes_before_that_for_all(self, two):
        options = ["--encoding", "L24/48000/2", "--encoding", "98=L16/48000/2", "--reference", "tone:997"]
        assert run("check", two, *options).exit_code == 0

    @pytest.mark.parametrize(
        ("texts", "reason"),
        [
            (["128=L16/8000"], "payload type '128' is not a number from 0 to 127"),
            (["x=L16/8000"], "payload type 'x' is not"),
            (["L16/8000", "L24/8000"], "are both given for all payload types"),
            (["96=L16/8000", "96=L24/8000"], "are both given for payload type 96"),
        ],
    )
    def test_encodings_that_contradict_each_other(self, two, texts, reason):
        assert reason in refused("check", two, *(part for text in texts for part in ("--encoding", text)))

    @pytest.mark.parametrize("expected", [1, 3])
    def test_more_or_fewer_than_expected(self, two, expected, tmp_path):
        reports = ["--json", tmp_path / "result.json", "--junit", tmp_path / "junit.xml"]
        outcome = run("check", two, *BOTH, "--expect-streams", expected, *reports)
        assert outcome.exit_code == 1
        assert outcome.stdout.splitlines()[0] == f"FAIL  2 streams of {expected} expected"
        [line] = [line for line in outcome.stdout.splitlines() if line.startswith("Streams ")]
        assert "0x5eed0001 192.0.2.7:5004 → 239.1.2.3:5004; Stream 0x5eed0002" in line
        found = json.loads((tmp_path / "result.json").read_text())
        assert (found["verdict"], found["streams_expected"], len(found["streams"])) == ("fail", expected, 2)
        [failure] = ET.fromstring((tmp_path / "junit.xml").read_bytes()).iter("failure")  # noqa: S314
        assert failure.attrib["type"] == "streams"
        assert failure.attrib["message"] in line

    def test_as_many_as_expected(self, two):
        assert run("check", two, *BOTH, "--expect-streams", 2).exit_code == 0

    def test_listed(self, two):
        outcome = run("check", two, "--list-streams", "--encoding", "97=L24/48000/2")
        assert outcome.exit_code == 0
        _title, first, second, *_notes = outcome.stdout.splitlines()
        assert first.split()[:5] == ["0x5eed0001", "192.0.2.7:5004", "239.1.2.3:5004", "97", "L24/48000/2"]
        assert first.split()[-3:] == ["500", "0", "0.500"]
        assert second.split()[3] == "98"

    def test_of_a_file(self, tone_wav):
        assert "an audio file has no streams" in refused("check", tone_wav, "--list-streams")
        assert "an audio file has no streams" in refused("check", tone_wav, "--expect-streams", 1)


class TestCi:
    def test_quiet(self, two):
        outcome = run("check", two, *BOTH, "--expect-streams", 3, "--quiet")
        assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (1, "", "")

    def test_annotations_of_github(self, write_capture, monkeypatch):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        faulty = write_capture(seconds=0.5, lost=[100])
        [line] = run("check", faulty, *L24, "-q").stdout.splitlines()
        assert line.startswith("::error title=rtpverify%3A gap::")
        assert "0.100000 s (frame 4,800)" in line
        outcome = run("check", faulty, *L24, "--json", "-")
        json.loads(outcome.stdout)
        assert "\n::error " in outcome.stderr
        assert run("check", write_capture(seconds=0.5), *L24, "-q").stdout == ""

    def test_no_more_annotations_than_are_shown(self, write_capture, monkeypatch):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        lost = range(20, 500, 20)
        lines = run("check", write_capture(seconds=0.6, lost=lost), *L24, "-q").stdout.splitlines()
        assert len(lines) == annotations.MOST
        assert "24 faults: 24 gap" in lines[-1]

    def test_code_quality_of_gitlab(self, write_capture, tmp_path):
        """What stays from run to run has the same fingerprint, and no two faults have one."""
        issues = []
        for ssrc in ("5eed0001", "5eed0009"):
            path = write_capture(seconds=0.5, lost=[100, 200])
            path.write_bytes(path.read_bytes().replace(bytes.fromhex("5eed0001"), bytes.fromhex(ssrc)))
            run("check", path, *L24, "--code-quality", tmp_path / "quality.json")
            issues.append(json.loads((tmp_path / "quality.json").read_text()))
        assert issues[0] == issues[1]
        assert [issue["check_name"] for issue in issues[0]] == ["rtpverify/gap"] * 2
        assert len({issue["fingerprint"] for issue in issues[0]}) == 2
        assert all(
            set(issue) == {"description", "check_name", "fingerprint", "severity", "location"} for issue in issues[0]
        )

    def test_options_from_the_environment_are_part_of_the_request(self, write_capture):
        environment = os.environ | {"RTPVERIFY_CHECK_PROFILE": "analog", "RTPVERIFY_CHECK_ENCODING": "L24/48000/2"}
        command = [sys.executable, "-m", "rtpverify", "check", write_capture(seconds=0.3), "--json", "-"]
        found = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
        assert found["request"]["profile"] == "analog"
        assert "RTPVERIFY_CHECK_PROFILE=analog" in found["request"]["command"]


def test_wait_is_for_live_sources(tone_wav):
    assert refused("check", tone_wav, "--wait", 1) == f"rtpverify: {tone_wav}: --wait is for live sources"


def test_start_is_for_files_and_captures():
    assert "--start is for files and captures" in refused("check", "rtp://127.0.0.1:5004", "--start", 1)


def test_the_interface_of_a_description_that_names_none(tmp_path, tone_wav):
    description = tmp_path / "stream.sdp"
    description.write_text("v=0\ns=x\nm=audio 5004 RTP/AVP 96\nc=IN IP4 239.1.2.3/32\na=rtpmap:96 L24/48000/2\n")
    assert "no interface 'eth99' on this host" in refused("check", description, "--interface", "eth99")
    assert "--interface is for live sources" in refused("check", tone_wav, "--interface", "eth99")
