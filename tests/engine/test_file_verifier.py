"""Frames in, result out: corner cases have a clear answer, and the cut into pieces changes nothing."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.errors import RequestError
from rtpverify.limits import Limits
from rtpverify.reference import Tone
from rtpverify.result import Verdict, stream_as_dict
from tests.helpers.corpus import Case, verify

RATE_HZ = 48000


def verifier(channels=1, bits=16, reference=None, rate_hz=RATE_HZ):
    return FrameVerifier(
        reference or Tone((997.0,)), Limits(), rate_hz, channels, "F32" if bits is None else f"L{bits}", bits
    )


def tone(frames, channels=1, amplitude=0.5, bits=16):
    x = amplitude * np.sin(2 * np.pi * 997 / RATE_HZ * np.arange(frames))
    if bits is not None:
        x = np.rint(x * 2 ** (bits - 1)) / 2 ** (bits - 1)
    return np.repeat(x[:, None], channels, axis=1)


def only_numbers(value):
    """Tell that nothing in a result is NaN or infinite."""
    if isinstance(value, dict):
        return all(only_numbers(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(only_numbers(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def unmeasured(signal):
    """Return what a channel that had no tone claims to have measured."""
    named = ("frequency_hz", "level_dbfs", "thd_db", "thd_plus_n_db", "frequency_error_ppm", "effective_bits")
    return {name: value for name, value in asdict(signal).items() if name in named and value is not None}


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 15, 16, 63])
@pytest.mark.parametrize("bits", [16, 24, None])
def test_too_short_to_say_anything(frames, bits):
    result = verify(verifier(bits=bits), tone(frames, bits=bits))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.inconclusive
    assert not result.events
    assert not unmeasured(result.signal[0])
    assert only_numbers(stream_as_dict(result))


@pytest.mark.parametrize("frames", [960, 2000, 4799, 48000])
def test_short_streams_are_judged_when_there_is_enough(frames):
    result = verify(verifier(), tone(frames))
    assert result.verdict is Verdict.PASS
    assert result.signal[0].frequency_hz == pytest.approx(997, rel=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_channels_that_hold_one_value_are_silent(channels, value):
    result = verify(verifier(channels), np.full((RATE_HZ, channels), value))
    assert {str(event.kind) for event in result.events} <= {"silence", "dc_offset"}
    assert "silence" in {str(event.kind) for event in result.events}
    assert result.verdict is Verdict.FAIL
    assert result.inconclusive
    assert not any(unmeasured(signal) for signal in result.signal)
    assert only_numbers(stream_as_dict(result))


@pytest.mark.parametrize("amplitude", [0.0, 1e-3, 3e-3])
def test_a_tone_under_the_noise_is_not_made_up(amplitude):
    x = tone(3 * RATE_HZ, amplitude=amplitude) + 0.1 * np.random.default_rng(1).standard_normal((3 * RATE_HZ, 1))
    result = verify(verifier(), np.clip(np.rint(x * 32768), -32768, 32767) / 32768)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "997" in result.inconclusive
    assert not unmeasured(result.signal[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("start", "frames"), [(0, 1), (30_000, 1), (30_000, 2), (30_000, 100), (95_999, 1), (61_430, 20)]
)
@pytest.mark.parametrize("channel", [2, None])
def test_frames_that_are_no_numbers_are_events(bad, start, frames, channel):
    x = tone(2 * RATE_HZ, 2, bits=None)
    x[start : start + frames, slice(1, 2) if channel else slice(None)] = bad
    subject = verifier(2, None)
    result = verify(subject, x, range(0, len(x), 7001))
    kind = "dropout" if frames > 2 else "click"
    assert [(str(e.kind), e.channel, e.start_frame, e.duration_frames) for e in result.events] == [
        (kind, channel, start, frames)
    ]
    assert result.events[0].message == f"NaN or infinity instead of samples for {frames} frame(s)"
    assert only_numbers(stream_as_dict(result))
    assert result.signal[0].frequency_hz == pytest.approx(997)


def test_runs_that_differ_between_channels_are_events_of_each():
    x = tone(RATE_HZ, 2, bits=None)
    x[1000:1010] = x[5000:5010, 0] = x[5000:5005, 1] = np.nan
    found = [(e.channel, e.start_frame, e.duration_frames) for e in verify(verifier(2, None), x).events]
    assert found == [(1, 1000, 10), (2, 1000, 10), (1, 5000, 10), (2, 5000, 5)]


@pytest.mark.parametrize("step", [2, 3, 100])
def test_values_that_are_no_numbers_close_together_are_one_event(step):
    """However many there are."""
    x = tone(2 * RATE_HZ, bits=None)
    x[10_000:80_000:step] = np.nan
    [event] = verify(verifier(1, None), x, range(0, len(x), 9973)).events
    stop = 10_000 + (69_999 // step) * step + 1
    assert (str(event.kind), event.start_frame, event.duration_frames) == ("dropout", 10_000, stop - 10_000)
    assert f"in {-(-70_000 // step)} of {stop - 10_000} frames" in event.message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_but_what_is_no_number(bad):
    result = verify(verifier(2, None), np.full((RATE_HZ, 2), bad))
    assert result.verdict is not Verdict.PASS
    assert result.inconclusive
    assert only_numbers(stream_as_dict(result))


@given(st.integers(0, 2**32), st.sampled_from([None, 16, 24]), st.integers(1, 12_000))
@settings(max_examples=25, deadline=None)
def test_whatever_comes_is_no_exception(seed, bits, frames):
    """Random mixtures of tone, noise, constants and steps."""
    rng = np.random.default_rng(seed)
    x = tone(frames, bits=None)[:, 0]
    for _ in range(rng.integers(0, 6)):
        start, length = rng.integers(0, frames), rng.integers(1, 3000)
        part = x[start : start + length]
        damage = rng.integers(0, 5)
        part[:] = [part * 0, part * 1e6, rng.standard_normal(len(part)), part[::-1], part + rng.standard_normal()][
            damage
        ]
    if bits is not None:
        x = np.clip(np.rint(x * 2 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) / 2 ** (bits - 1)
    result = verify(verifier(bits=bits), x[:, None])
    assert only_numbers(stream_as_dict(result))
    for event in result.events:
        assert 0 <= event.start_frame <= frames
        assert 0 <= event.duration_frames <= frames - event.start_frame
        assert not event.open


@pytest.mark.parametrize("hz", [24000.0, 30000.0])
def test_a_tone_above_half_the_rate_is_refused(hz):
    with pytest.raises(RequestError, match=f"tone:{hz:g}.*48000"):
        verifier(reference=Tone((hz,)))


def test_as_many_frequencies_as_channels():
    with pytest.raises(RequestError, match=r"2 frequencies .* 3 channel"):
        verifier(3, reference=Tone((997.0, 1499.0)))


EVERY = [
    "slip:at=0.9,frames=48",
    "slip:at=0.9,frames=-960,channel=1",
    "dropout:at=0.9,frames=40",
    "dropout:at=0.9,frames=30000,mode=hold",
    "repeat:at=0.9,frames=480",
    "click:at=0.9,size=0.01",
    "gain:at=0.9,db=-0.5,duration=0.4",
    "gain:at=0.9,drift_db_per_second=0.2",
    "clipping:at=0.9,level=0.4",
    "distortion:at=0.9,duration=0.5",
    "noise:at=0.9,dbfs=-50,duration=0.5",
    "dc_offset:at=0.9,offset=0.001",
    "frequency:at=0.9,ppm=50",
    "sample_rate:at=0.9,made_for=44100",
    "silence:at=0,duration=0.3",
    "polarity:at=0.9,channel=2",
    "word_length:at=0,bits=12",
    "byte_order:at=0.9",
]


@pytest.mark.parametrize("fault", EVERY)
@given(dither=st.sampled_from(["none", "tpdf"]), cuts=st.lists(st.integers(1, 80_000), max_size=40, unique=True))
@example(dither="none", cuts=list(range(960, 80_000, 960)))
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_the_cut_into_pieces_changes_nothing(fault, dither, cuts):
    case = Case((fault,), dither=dither, seconds=1.7)
    whole = stream_as_dict(case.run())["events"]
    assert whole
    assert stream_as_dict(case.run(cuts))["events"] == whole


@pytest.mark.parametrize("piece", [1, 7, 48])
def test_small_pieces(piece):
    frames = 8000
    x = Case(("click:at=0.08,size=0.1", "dropout:at=0.12,frames=50")).signal().read(0, frames)
    whole = verify(verifier(2), x)
    cut = verify(verifier(2), x, range(0, frames, piece))
    assert stream_as_dict(whole)["events"] == stream_as_dict(cut)["events"]
    assert len(whole.events) == 2


def test_events_are_told_once_and_grow_in_place():
    case = Case(("click:at=0.5,size=0.1", "gain:at=0.8,db=-1,duration=0.7"), seconds=2.5)
    subject, told = case.verifier(), {}
    x = case.signal().read(0, case.frames)
    for start in range(0, len(x), 480):
        for event in subject.feed(x[start : start + 480]):
            assert event.id
            told.setdefault(event.id, []).append((event.duration_frames, event.open))
    for event in subject.finish():
        told.setdefault(event.id, []).append((event.duration_frames, event.open))
    assert len(told) == 2
    assert len({event.id for event in subject.result("x").streams[0].events}) == 2
    for history in told.values():
        durations = [duration for duration, _ in history]
        assert durations == sorted(durations)
        assert [is_open for _, is_open in history].count(False) == 1
        assert not history[-1][1]


def test_a_result_can_be_had_at_any_time():
    case = Case(("click:at=0.5,size=0.1",), seconds=2.0)
    subject, x = case.verifier(), case.signal().read(0, case.frames)
    subject.feed(x[:30_000])
    assert [event.to_dict()["kind"] for event in subject.result("x").streams[0].events] == ["click"]
    assert subject.result("x").streams[0].frames == 30_000
    subject.feed(x[30_000:])
    subject.finish()
    assert len(subject.result("x").streams[0].events) == 1


# What a recording cannot tell, and how it begins


def test_the_cause_of_a_fault_in_a_recording_is_unknown():
    case = Case(("click:at=0.5,size=0.1", "slip:at=0.8,frames=48"), seconds=1.5)
    result = verify(case.verifier(), case.signal().read(0, case.frames))
    assert len(result.events) == 2
    assert {str(event.cause) for event in result.events} == {"unknown"}
    assert sum("check a capture of the packets" in warning for warning in result.warnings) == 1
    clean = Case((), seconds=1.5)
    assert not verify(clean.verifier(), clean.signal().read(0, clean.frames)).warnings


def recorded(*heads, dead=False):
    """Return the verdict, warnings and faults of a recording whose channels begin with so much silence."""
    whole = tone(2 * RATE_HZ, bits=24)[:, 0]
    x = np.zeros((3 * RATE_HZ, len(heads)))
    for channel, head in enumerate(heads):
        x[head : head + len(whole), channel] = whole
    x = x[: 2 * RATE_HZ]
    if dead:
        x[:, -1] = 0.0
    subject = FrameVerifier(Tone((997.0,)), Limits(), RATE_HZ, len(heads), "L24", 24, may_begin_late=True)
    result = verify(subject, x)
    faults = [(str(event.kind), event.channel, event.start_frame) for event in result.events if event.fault]
    return result, faults


@pytest.mark.parametrize("head", [100, 4321, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_silence_before_the_signal_is_said_and_no_fault(head, channels):
    result, faults = recorded(*[head] * channels)
    assert (result.verdict, faults) == (Verdict.PASS, [])
    [warning] = result.warnings
    assert warning.startswith(f"silent for its first {head + 1:,} frames")
    assert result.frames == 2 * RATE_HZ


def test_a_channel_that_begins_later_than_another_is_silent():
    result, faults = recorded(24_000, 30_000)
    assert (result.verdict, faults) == (Verdict.FAIL, [("silence", 2, 24_001)])
    [event] = [event for event in result.events if event.fault]
    assert event.duration_frames == pytest.approx(6000, abs=2)


@pytest.mark.parametrize("head", [0, 24_000])
def test_a_channel_that_never_begins_is_silent(head):
    result, faults = recorded(head, head, dead=True)
    start = head + 1 if head else 0  # the first sample of a sine is 0
    assert faults == [("silence", 2, start)]
    assert any("silent for its first" in warning for warning in result.warnings) == bool(head)


def test_a_recording_that_is_silent_is_no_lead_in():
    result, faults = recorded(0, dead=True)
    assert (result.verdict, faults) == (Verdict.FAIL, [("silence", 1, 0)])


def test_a_click_in_the_lead_in_ends_it():
    x = np.concatenate([np.zeros((24_000, 1)), tone(RATE_HZ, bits=24)])
    x[3000] = 0.3
    subject = FrameVerifier(Tone((997.0,)), Limits(), RATE_HZ, 1, "L24", 24, may_begin_late=True)
    result = verify(subject, x)
    assert result.verdict is Verdict.FAIL
    assert any("first 3,000 frames" in warning for warning in result.warnings)
