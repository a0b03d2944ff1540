"""Sustained departures against the limits."""

import math
from dataclasses import replace

import pytest

from rtpverify.detect.tone.monitor import Monitor, Reading
from rtpverify.detect.tone.settings import Settings
from rtpverify.events import Kind
from rtpverify.limits import PROFILES, Limits

OMEGA = 2 * math.pi * 997 / 48000
SECOND = 48000
GOOD = Reading(0, SECOND, 0.5, 0.0, 1e-5, 1e-5, OMEGA, SECOND, 0.5, 0.0, 8 * 960)


def monitor(limits=None, reference_hz=997.0):
    told = []
    settings = Settings(0, 48000, 960, 48, 16, False, (reference_hz,), limits or Limits())
    return Monitor(settings, told.append, lambda *_: (Kind.NOISE, {})), told


def at(frame, **changes):
    if "amplitude" in changes:
        changes.setdefault("recent_amplitude", changes["amplitude"])
    if "dc" in changes:
        changes.setdefault("recent_dc", changes["dc"])
    return replace(GOOD, start=frame, **changes)


def judged(reading, limits=None):
    subject, told = monitor(limits)
    subject.judge(GOOD, 0)
    subject.judge(reading, reading.start)
    return [(event.kind, event.start_frame, event.open) for event in told]


def test_what_holds_the_limits_tells_nothing():
    assert judged(at(SECOND)) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"amplitude": 0.5 * 10 ** (0.01 / 20)}, Kind.GAIN),
        ({"amplitude": 0.5 * 10 ** (-0.01 / 20)}, Kind.GAIN),
        ({"dc": 1e-4}, Kind.DC_OFFSET),
        ({"dc": -1e-4}, Kind.DC_OFFSET),
        ({"omega": OMEGA * (1 + 3e-6)}, Kind.FREQUENCY),
        ({"omega": OMEGA * 48000 / 44100}, Kind.SAMPLE_RATE),
        ({"rms": 4e-5, "sigma": 4e-5}, Kind.NOISE),
    ],
)
def test_every_aspect_has_its_limit(changes, kind):
    assert judged(at(SECOND, **changes)) == [(kind, SECOND, True)]


@pytest.mark.parametrize(
    "changes", [{"amplitude": 0.5 * 10 ** (0.05 / 20)}, {"dc": 0.005}, {"omega": OMEGA * (1 + 5e-5)}, {"rms": 1e-4}]
)
def test_the_analog_profile_allows_what_the_digital_one_does_not(changes):
    assert judged(at(SECOND, **changes), PROFILES["analog"]) == []
    assert len(judged(at(SECOND, **changes))) == 1


def test_what_noise_explains_is_no_departure():
    noisy = Limits(max_thd_n_db=-20.0)
    for changes in ({"amplitude": 0.5 * (1 + 8e-4)}, {"dc": 1e-4}):
        assert judged(at(SECOND, sigma=0.01, rms=0.01, **changes), noisy) == []
        assert len(judged(at(SECOND, **changes), noisy)) == 1


def test_a_departure_is_one_event_from_start_to_end():
    subject, told = monitor()
    subject.judge(GOOD, 0)
    for second in range(1, 4):
        subject.judge(at(second * SECOND, dc=1e-3), second * SECOND)
    assert subject.departed
    subject.judge(at(4 * SECOND), 4 * SECOND)
    assert not subject.departed
    assert all(event is told[0] for event in told)
    assert (told[0].start_frame, told[0].duration_frames, told[0].open) == (SECOND, 3 * SECOND, False)
    assert told[0].size.dc_offset == pytest.approx(1e-3)


def test_the_end_of_the_stream_ends_what_is_open():
    subject, told = monitor()
    subject.judge(at(0, dc=1e-3), 0)
    subject.close(70_000)
    assert (told[-1].duration_frames, told[-1].open) == (70_000, False)
    subject.close(80_000)
    assert told[-1].duration_frames == 70_000


def test_a_rate_is_named_after_the_content():
    subject, told = monitor()
    subject.judge(at(0, omega=OMEGA * 48000 / 44100), 0)
    assert told[0].kind is Kind.SAMPLE_RATE
    assert told[0].size.content_rate_hz == 44100


@pytest.mark.parametrize("hz", [997.0, 997.02, 1000.0227, 440.6])
def test_without_a_reference_the_first_second_tells_the_frequency(hz):
    subject, told = monitor(reference_hz=None)
    omega = 2 * math.pi * hz / 48000
    subject.judge(replace(GOOD, omega=omega * (1 + 2e-9), omega_frames=SECOND // 6), 0)
    subject.judge(replace(GOOD, omega=omega), 0)
    assert subject.nominal_hz == pytest.approx(hz, rel=1e-12)
    subject.judge(at(SECOND, omega=omega * (1 + 1.5e-6)), SECOND)
    assert told == []
    subject.judge(at(2 * SECOND, omega=omega * (1 + 3e-6)), 2 * SECOND)
    assert [(event.kind, event.start_frame) for event in told] == [(Kind.FREQUENCY, 2 * SECOND)]
    assert subject.nominal_hz == pytest.approx(hz, rel=1e-12)
