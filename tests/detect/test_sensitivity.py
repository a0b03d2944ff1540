"""What a result says could have been seen: faults of that size are found, and no smaller size could be promised."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.events import Kind
from rtpverify.reference import Tone
from rtpverify.sender.signal import gaussian, quantise
from tests.helpers.corpus import Case, Z
from tests.helpers.seeds import generator

STREAMS = [
    Case(rate_hz=48000, bits=16, dither="none", frequencies_hz=(997.0,), channels=1, seconds=3.5),
    Case(rate_hz=48000, bits=16, dither="tpdf", frequencies_hz=(1283.0,), channels=1, seconds=3.5),
    Case(rate_hz=44100, bits=24, dither="tpdf", frequencies_hz=(997.0,), noise_dbfs=-80.0, channels=1, seconds=3.5),
    Case(rate_hz=48000, bits=24, dither="none", frequencies_hz=(3011.0,), noise_dbfs=-60.0, channels=1, seconds=3.5),
]
TIMES = 3
WANDER_TURN = 0.2e-6
"""From rising by 0.1 ppm a second to falling by it, per second."""


def stated(case):
    return case.run().signal[0].sensitivity


def stepped(case, at, phase_rad, gain_db):
    """Return frames whose phase and level step at frame ``at``."""
    t = np.arange(case.frames)
    turns = 2 * np.pi * case.frequencies_hz[0] * t / case.rate_hz + np.where(t >= at, phase_rad, 0.0)
    wave = case.amplitude * np.where(t >= at, 10 ** (gain_db / 20), 1.0) * np.sin(turns)
    noise = case.noise_rms * gaussian(case.seed, 0, case.frames, 1)[:, 0]
    return quantise((wave + noise)[:, None], case.bits, case.dither, case.seed, 0)


def kinds(case, frames):
    verifier = case.verifier()
    verifier.feed(frames)
    verifier.finish()
    return [(event.kind, event.start_frame) for event in verifier.result("x").streams[0].events if event.fault]


@pytest.mark.parametrize("case", STREAMS, ids=range(len(STREAMS)))
def test_faults_of_the_stated_size_are_found(case, request):
    rng, size = generator(request.node.name), stated(case)
    for _ in range(TIMES):
        case = replace(case, seed=rng.randrange(10**6))
        at = rng.randrange(round(1.5 * case.rate_hz), round(2.5 * case.rate_hz))
        clicked = stepped(case, at, 0.0, 0.0)
        clicked[at] += rng.choice([-1, 1]) * math.ceil(size.click / case.step) * case.step
        assert kinds(case, clicked) == [(Kind.CLICK, at)]
        assert [kind for kind, _ in kinds(case, stepped(case, at, 0.0, size.level_step_db))] == [Kind.GAIN]
        assert [kind for kind, _ in kinds(case, stepped(case, at, size.phase_step_rad, 0.0))] == [Kind.SLIP]


@pytest.mark.parametrize("case", STREAMS, ids=range(len(STREAMS)))
def test_the_stated_size_is_within_twice_what_theory_allows(case):
    """Cramér–Rao bounds over a second at the false-alarm rate; limits and the smallest slip where they are larger.

    A phase step has to stand out of the wander that is no fault, too: its stretches are as long as that allows.
    """
    size, ratio = stated(case), case.sigma / case.amplitude
    assert size.click <= 2.1 * case.frame_threshold
    level_db = 8.686 * Z * ratio * 2 / math.sqrt(case.rate_hz)
    assert size.level_step_db <= 2 * max(case.limits.max_level_change_db, level_db)
    seconds = np.linspace(0.01, 1.0, 1000)
    wander = 2 * math.pi * case.frequencies_hz[0] * WANDER_TURN * seconds**2 / 12
    phase_rad = float((Z * ratio * 4 / np.sqrt(case.rate_hz * seconds) + wander).min())
    half_slip_rad = math.pi / case.rate_hz
    assert size.phase_step_rad <= 2.0001 * max(half_slip_rad, phase_rad)


def stepping(case, every, step_rad, encode, seconds):
    """Return frames whose phase steps again and again, and where."""
    t = np.arange(round(seconds * case.rate_hz))
    count = t // every
    wave = case.amplitude * np.sin(2 * np.pi * case.frequencies_hz[0] * t / case.rate_hz + step_rad * count)
    noise = case.noise_rms * gaussian(case.seed, 0, len(t), 1)[:, 0]
    return encode(case, (wave + noise)[:, None]), [every * (k + 1) for k in range(int(count[-1]))]


def linear(case, frames):
    return quantise(frames, case.bits, case.dither, case.seed, 0)


def companded(_, frames):
    """Return what G.711 makes of frames: for each the nearest level of mu-law (ITU-T G.711, table 2a)."""
    steps = np.arange(16)
    levels = np.concatenate([(2 * steps + 33) * 2**segment - 33 for segment in range(8)]) * 4 / 32768
    edges = (levels[1:] + levels[:-1]) / 2
    return np.sign(frames) * levels[np.searchsorted(edges, np.abs(frames))]


def slips(case, frames, encoding):
    bits = None if encoding == "PCMU" else case.bits
    verifier = FrameVerifier(Tone(case.frequencies_hz), case.limits, case.rate_hz, 1, encoding, bits)
    verifier.feed(frames)
    verifier.finish()
    stream = verifier.result("x").streams[0]
    return [event for event in stream.events if event.fault], stream.signal[0].sensitivity


def all_are_told(events, places, tolerance):
    assert {event.kind for event in events} == {Kind.SLIP}
    assert len(events) == len(places)
    for event, place in zip(sorted(events, key=lambda event: event.start_frame), places, strict=True):
        assert abs(event.start_frame - place) <= tolerance


@pytest.mark.parametrize("case", STREAMS, ids=range(len(STREAMS)))
@pytest.mark.parametrize("seconds_apart", [2.0, 2.27])
def test_every_step_of_the_stated_size_is_told_again_and_again(case, seconds_apart):
    apart = round(seconds_apart * case.rate_hz)
    frames, places = stepping(case, apart, stated(case).phase_step_rad, linear, 4 * seconds_apart + 1.5)
    events, _ = slips(case, frames, f"L{case.bits}")
    all_are_told(events, places, 0.3 * case.rate_hz)


@pytest.mark.parametrize("step_rad", [-0.025, 0.025, -0.05, 0.1])
@pytest.mark.parametrize("seconds_apart", [0.252, 0.504, 1.5])
def test_a_generator_whose_table_does_not_close_steps_each_time(step_rad, seconds_apart):
    """As that of a widely used telephony server does, in PCMU: 0.025 rad every 0.252 s."""
    case = Case(rate_hz=8000, frequencies_hz=(1004.0,), channels=1, seconds=3.5, level_dbfs=-10.0)
    frames, places = stepping(case, round(seconds_apart * 8000), step_rad, companded, 9.0)
    events, size = slips(case, frames, "PCMU")
    assert size.phase_step_rad < abs(step_rad)
    last = 8.5 * 8000
    all_are_told(
        [event for event in events if event.start_frame < last], [place for place in places if place < last], 200
    )
