"""The self-test finds what is there, misses what cannot be seen, and says so."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from rtpverify.commands.selftest import run as module
from rtpverify.commands.selftest.cases import Setting, each_kind, sizes
from rtpverify.commands.selftest.outcome import Outcome, SelfTest, Tried, judged
from rtpverify.commands.selftest.views import headline, rows
from rtpverify.commands.selftest.wire import is_one_of
from rtpverify.events import SIZES, Event, Kind
from rtpverify.limits import PROFILES
from rtpverify.reference import Tone
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sender.faults import FAULTS, ExpectedEvent, parse_fault
from tests.helpers.command import run


def setting(encoding="L24/48000/2", frequency_hz=997.0, profile="digital"):
    return Setting(parse_rtpmap(encoding), Tone((frequency_hz,)), PROFILES[profile], 48, 0.1)


def test_every_kind_of_fault_is_made():
    kinds = {case.kind for case in each_kind(setting())}
    assert kinds == set(FAULTS)


@pytest.mark.parametrize("encoding", ["L24/48000/2", "L16/44100", "PCMU/8000", "F32/96000/8"])
@pytest.mark.parametrize("profile", PROFILES)
def test_every_fault_can_be_written(encoding, profile):
    where = setting(encoding, profile=profile)
    for case in [*each_kind(where), *sizes(where)]:
        if not case.why_not:
            assert parse_fault(case.text(2.0)).kind == case.kind


def test_packets_that_nothing_receives_are_refused():
    outcome = run("selftest", "--encoding", "L24/96000/8", "--packet-time", 0.001)
    assert outcome.exit_code == 2
    assert "96 frames of L24/96000/8 are payloads of 2,304 bytes; up to 2,036 are received" in outcome.stderr


def test_of_the_stalls_of_a_late_host_only_the_one_that_was_made_counts():
    made = [ExpectedEvent(Kind.STALL, 96_000)]
    stalls = [Event(SIZES[Kind.STALL](), frame, 0, None) for frame in (95_000, 140_000)]
    assert [is_one_of(stall, made, setting()) for stall in stalls] == [True, False]


def test_what_a_format_cannot_have_has_a_reason():
    reasons = {case.kind: case.why_not for case in each_kind(setting("PCMU/8000")) if case.why_not}
    assert set(reasons) == {"channel_swap", "word_length", "byte_order"}
    blind = {case.kind for case in each_kind(setting(frequency_hz=1000.0)) if case.is_blind and case.why_not}
    assert blind == {"slip", "channel_swap"}


class TestJudged:
    MADE = (ExpectedEvent(Kind.CLICK, 48_000, 1, 1),)

    def event(self, kind=Kind.CLICK, frame=48_000, channel=1, fault=True):
        return Event(SIZES[kind](), frame, 1, channel, fault=fault, message="words")

    def test_found(self):
        assert judged(self.MADE, [self.event()], 48_000) == (True, ())
        assert judged(self.MADE, [self.event(channel=None)], 48_000) == (True, ())

    @pytest.mark.parametrize(
        "other", [{"kind": Kind.NOISE}, {"frame": 100_000}, {"channel": 2}], ids=["kind", "place", "channel"]
    )
    def test_something_else_is_a_false_alarm_and_the_fault_is_missed(self, other):
        found, false = judged(self.MADE, [self.event(**other)], 48_000)
        assert not found
        assert len(false) == 1
        assert "words" in false[0]

    def test_what_is_no_fault_counts_for_nothing(self):
        assert judged(self.MADE, [self.event(fault=False)], 48_000) == (False, ())

    def test_what_clean_audio_has_too_is_no_news(self):
        noise = self.event(Kind.NOISE)
        assert judged(self.MADE, [self.event(), noise], 48_000, usual=[Kind.NOISE]) == (True, ())

    def test_what_is_seen_of_a_fault_too_small_to_be_required_may_go_by_any_name_while_it_lasts(self):
        during, after = self.event(Kind.NOISE), self.event(Kind.NOISE, frame=100_000)
        for required, beyond in ((True, 2), (False, 1)):
            found, false = judged(self.MADE, [self.event(), during, after], 48_000, required=required)
            assert (found, len(false)) == (True, beyond)

    def test_what_is_counted_only(self):
        made = [ExpectedEvent(Kind.REORDER, 48_000, counted_only=True)]
        assert judged(made, [], 48_000, counted=True) == (True, ())
        assert judged(made, [], 48_000, counted=False) == (False, ())


@pytest.fixture
def few(monkeypatch):
    """Some of the faults only, and little clean audio."""

    def only(kinds, of_sizes=()):
        monkeypatch.setattr(module, "_CLEAN_SECONDS", 3.0)
        monkeypatch.setattr(
            module, "each_kind", lambda where: [case for case in each_kind(where) if case.kind in kinds]
        )
        monkeypatch.setattr(module, "sizes", lambda where: [case for case in sizes(where) if case.kind in of_sizes])

    return only


def test_over_the_wire(few, tmp_path):
    few(("loss", "reorder", "missing", "click", "polarity", "channel_swap"))
    options = ["--max-stall-seconds", "60", "--json", tmp_path / "out.json", "--html", tmp_path / "out.html"]
    outcome = run("selftest", "--encoding", "L16/48000/2", *options)
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.startswith(
        "PASS  5 of 5 faults found, 0 missed, 0 false alarms, 1 that this reference cannot"
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["schema"], found["verdict"]) == ("rtpverify.selftest/1", "pass")
    assert found["counts"] == {"found": 5, "missed": 0, "below": 0, "blind": 1, "none": 0, "false": 0}
    assert {one["over"] for one in found["tried"]} == {"wire", "engine"}
    assert found["request"]["limits"] == {"max_stall_seconds": 60}
    page = (tmp_path / "out.html").read_text()
    assert "<td>polarity</td>" in page
    assert "http" not in page


def test_sizes_down_to_what_cannot_be_seen(few):
    few((), ("click", "gain"))
    outcome = run("selftest", "--offline", "--encoding", "L16/48000/1")
    assert outcome.exit_code == 0, outcome.output
    [gain] = [re.split("  +", line) for line in outcome.stdout.splitlines() if line.startswith("gain ")]
    assert gain == ["gain", "–", "-0.01 dB", "-0.003 dB", "–"]


def test_limits_that_even_clean_audio_exceeds(few):
    few((), ("gain",))
    outcome = run("selftest", "--offline", "--encoding", "PCMA/8000", "--profile", "analog", "--reference", "tone:997")
    assert outcome.exit_code == 1
    assert "clean audio in this format is past the limits (noise)" in outcome.stdout
    assert outcome.stdout.count("noise above the limit") <= 1


def test_the_users_own_recording(few, tmp_path):
    few(("dropout", "frequency"))
    rng = np.random.default_rng(1)
    noise = np.round(rng.uniform(-(2**13), 2**13, (240_000, 1))) / 2**15
    soundfile.write(tmp_path / "reference.wav", noise, 48_000, "PCM_16")
    outcome = run("selftest", "--offline", "--reference", tmp_path / "reference.wav")
    assert outcome.exit_code == 0, outcome.output
    assert "Format    L16/48000/1" in outcome.stdout
    assert "a recording has no frequency of its own" in outcome.stdout


def test_the_matrix():
    request = SimpleNamespace(reference="tone", profile="digital", limits={}, command="", time="", version="", host="")
    test = SelfTest("L24/48000/2", "loopback", request)
    test.tried = [
        Tried(Kind.GAIN, "gain:at=2,db=-1", "-1 dB", "wire", Outcome.FOUND),
        Tried(Kind.GAIN, "", "-1 dB", "engine", Outcome.FOUND),
        Tried(Kind.GAIN, "", "-0.1 dB", "engine", Outcome.FOUND),
        Tried(Kind.GAIN, "", "-0.01 dB", "engine", Outcome.MISSED),
        Tried(Kind.GAIN, "", "-0.001 dB", "engine", Outcome.BELOW),
        Tried(Kind.SLIP, "slip:at=2", "48 frames", "wire", Outcome.MISSED, false=("click at 2 s",)),
    ]
    assert list(rows(test)) == [
        ("gain", "found", "-0.1 dB", "-0.001 dB", "-0.01 dB"),
        ("slip", "MISSED", "–", "–", "–"),
    ]
    assert headline(test) == "3 of 5 faults found, 2 missed, 1 false alarm"
    assert not test.passed


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--reference", "none"], "the self-test compares audio"),
        (["--reference", "tone:30000"], "30000 Hz is not above 0 and below half the sample rate"),
        (["--encoding", "L99/48000"], "--encoding: 'L99/48000'"),
        (["--interface", "nowhere0", "--encoding", "L16/8000"], "nowhere0"),
    ],
)
def test_mistakes(few, options, reason):
    few(("click",))
    outcome = run("selftest", *options)
    assert outcome.exit_code == 2
    assert reason in outcome.stderr.splitlines()[-1]
