"""What is there while no tone is: told once, from where it begins to where it ends, also before the first tone."""

import tracemalloc

import numpy as np
import pytest

from rtpverify.sender.signal import quantise
from tests.helpers.corpus import Case, verify

CASE = Case(channels=1, dither="tpdf", seconds=1.0)


def tone(frames, start=7):
    return CASE.signal().read(start, frames)


def noise(frames):
    x = 0.1 * np.random.default_rng(7).standard_normal((frames, 1))
    return quantise(x, 16, "none", 0, 0)


def muted(frames):
    return quantise(np.zeros((frames, 1)), 16, "tpdf", 5, 0)


def told(*parts):
    """Return kind, start and length of the events that are told of these parts, one after another."""
    x = np.concatenate(parts)
    whole = verify(CASE.verifier(), x).events
    cut = verify(CASE.verifier(), x, range(0, len(x), 1000)).events
    events = [(str(event.kind), event.start_frame, event.duration_frames) for event in whole]
    assert events == [(str(event.kind), event.start_frame, event.duration_frames) for event in cut]
    return events


@pytest.mark.parametrize("frames", [600, 3000, 6000, 12_000, 90_000])
def test_something_else_before_the_tone(frames):
    assert told(noise(frames), tone(48_000)) == [("noise", 0, frames)]


@pytest.mark.parametrize("fragment", [100, 600, 900])
@pytest.mark.parametrize("frames", [3000, 5000, 9000, 20_000])
@pytest.mark.parametrize("noise_dbfs", [None, -80.0])
def test_a_dropout_after_less_than_a_block_of_tone(fragment, frames, noise_dbfs):
    fault = f"dropout:at={fragment / 48000!r},frames={frames}"
    case = Case((fault,), channels=1, dither="tpdf", noise_dbfs=noise_dbfs, seconds=1.0)
    [event] = case.run().events
    assert (str(event.kind), event.start_frame, event.duration_frames) == ("dropout", fragment, frames)


def test_something_else_then_silence_then_the_tone():
    assert told(noise(1500), muted(20_000), tone(48_000)) == [("noise", 0, 1500), ("silence", 1500, 20_000)]


def test_something_else_gives_way_to_silence():
    before, after = tone(48_000), tone(48_000, start=7 + 48_000 + 28_000)
    events = told(before, noise(4000), muted(24_000), after)
    assert events == [("noise", 48_000, 4000), ("dropout", 52_000, 24_000)]


def test_something_else_without_a_tone_is_nothing_to_judge():
    assert told(noise(96_000)) == []


@pytest.mark.parametrize("before", [np.zeros((160_000, 1)), noise(160_000)], ids=["silence", "noise"])
def test_what_came_long_before_the_tone_is_not_read_again(before):
    verifier = CASE.verifier()
    for _ in range(3):
        verifier.feed(before)
    tracemalloc.start()
    verifier.feed(tone(48_000))
    verifier.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    [event] = verifier.result("x").streams[0].events
    assert (event.start_frame, event.duration_frames) == (0, 480_000)
    assert peak < 8 * 480_000
