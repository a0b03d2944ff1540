"""Steps of the phase, measured as exactly as the noise allows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.detect.tone.settings import Settings
from rtpverify.detect.tone.steps import Step, StepResolver
from rtpverify.dsp.sine import Sine
from rtpverify.dsp.slip import slip_code
from rtpverify.events import Kind
from rtpverify.limits import Limits
from tests.helpers.corpus import Case

OMEGA = 2 * math.pi * 997 / 48000
FRAME = 48_000
SIGMA = 2**-15 / math.sqrt(12)


def resolve(jumps, sigma=SIGMA, packet_frames=48, wander=0.0, seed=0):
    """Return the events of a tone that jumps by so many frames at these frames."""
    total = 3 * FRAME
    frame = np.arange(total, dtype=float)
    content = frame + sum((np.where(frame >= at, by, 0.0) for at, by in jumps), np.zeros(total))
    phase = OMEGA * content + wander * OMEGA * frame**2 / 2 / FRAME
    x = 0.5 * np.cos(phase) + sigma * np.random.default_rng(seed).standard_normal(total)

    def read(start, stop):
        span = np.arange(start, stop)
        inside = (span >= 0) & (span < total)
        return np.where(inside, x[np.clip(span, 0, total - 1)], 0.0), inside

    told = []
    form = Settings(0, 48000, 960, packet_frames, 16, False, (997.0,), Limits())
    resolver = StepResolver(form, read, told.append, lambda *_: None)
    resolver.code = slip_code(997.0, 48000)
    start, ahead = 0, 0.0
    for at, by in jumps:
        resolver.add(Step(at, start, at, at, Sine(OMEGA, 0.0, OMEGA * ahead, 0.5, 0.0), sigma, 0.0))
        start, ahead = at, ahead + by
    for limit in range(FRAME, total, 960):
        resolver.resolve(limit)
    resolver.resolve(total, final=True)
    assert not resolver.waiting
    return told


@given(st.integers(-23_999, 23_999).filter(bool), st.floats(-1e-7, 1e-7))
@settings(max_examples=30, deadline=None)
def test_slips_have_their_exact_length_though_the_generator_wanders(frames, wander):
    told = resolve([(FRAME, frames)], wander=wander)
    assert [(event.kind, event.start_frame, getattr(event.size, "slip_frames", None)) for event in told] == [
        (Kind.SLIP, FRAME, frames)
    ]


def test_too_noisy_for_a_length_gives_the_step_and_candidates():
    (event,) = resolve([(FRAME, 240)], sigma=0.005)
    assert event.size.slip_frames is None
    step = 2 * math.pi * (997 * 240 % 48000) / 48000
    assert (event.size.phase_step_rad - step + math.pi) % (2 * math.pi) - math.pi == pytest.approx(0.0, abs=5e-3)
    assert 240 in event.size.candidate_slip_frames
    assert "240" in event.message


def test_back_in_step_is_a_repeat():
    told = resolve([(FRAME, -480), (FRAME + 480, 480)])
    assert [(event.kind, event.start_frame, event.duration_frames) for event in told] == [(Kind.REPEAT, FRAME, 480)]
    assert told[0].size.repeat_distance_frames == 480


def test_two_slips_are_two():
    told = resolve([(FRAME, -480), (FRAME + 9600, -480)])
    assert [event.size.slip_frames for event in told] == [-480, -480]


def test_no_step_is_no_event():
    assert resolve([(FRAME, 0)]) == []


def test_half_a_period_is_an_inversion():
    """Also where a short slip would do the same: of all its steps, one in a modulus is half a period."""
    told = resolve([(FRAME, 24_000)])
    assert [event.kind for event in told] == [Kind.POLARITY]
    assert told[0].open


@pytest.mark.parametrize(
    ("hz", "slip_frames", "frames", "distance"),
    [
        (997.0, -480, 480, 480),
        (997.0, 480, 480, None),  # from ahead
        (352.0, 685, 815, 815),  # as well 685 - 1500 frames
        (352.0, -500, 5000, 5000),
        (352.0, -500, 500, 500),
        (1000.0, -24, 480, None),  # one in 48 of all
    ],
)
def test_a_repeat_comes_from_before(hz, slip_frames, frames, distance):
    form = Settings(0, 48000, 960, 48, 16, False, (hz,), Limits())
    resolver = StepResolver(form, lambda *_: None, lambda _: None, lambda *_: None)
    resolver.code = slip_code(hz, 48000)
    assert resolver.repeat_distance(slip_frames, frames) == distance


@pytest.mark.parametrize("frames", [815, 5000])
def test_a_repeat_in_noise_of_a_tone_that_tells_slips_modulo_1500_frames(frames):
    fault = f"repeat:at=0.7,frames={frames}"
    case = Case((fault,), channels=1, noise_dbfs=-80.0, frequencies_hz=(352.0,), seconds=1.5)
    [event] = case.run().events
    assert event.kind is Kind.REPEAT
    assert event.size.repeat_distance_frames == frames
    assert "known modulo 1500 frames" in event.message
