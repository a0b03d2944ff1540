"""Faults that last: where they begin and end, what is within them, and what is expected afterwards."""

import numpy as np
import pytest

from tests.helpers.corpus import Case, verify

START, STOP = 60_007, 120_011
CASE = Case(channels=1, seconds=3.5, bits=24)


def said(change, case=CASE):
    """Return kind, start, duration and whether it is open of what is said of a tone that ``change`` was done to."""
    x = case.signal().read(0, case.frames)
    events = verify(case.verifier(), change(x[:, 0], 2.0 ** (1 - case.bits))[:, None]).events
    return [(str(event.kind), event.start_frame, event.duration_frames, event.open) for event in events]


def between(make, start=START, stop=STOP):
    """Return what puts something made of a tone in the place of some of its frames."""

    def change(x, step):
        x = x.copy()
        x[start:stop] = np.rint(make(x)[start:stop] / step) * step
        return x

    return change


def rough(x):
    return x + 1e-3 * np.random.default_rng(1).standard_normal(len(x))


def other_tone(x):
    return 0.3 * np.sin(0.17 * np.arange(len(x)))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: 0.7 * x, "gain"),
        (lambda x: x + 0.01, "dc_offset"),
        (lambda x: x + 0.1 * x**3, "distortion"),
        (rough, "noise"),
        (other_tone, "frequency"),
        (lambda x: np.floor(x * 2.0**11) / 2.0**11, "word_length"),
    ],
)
def test_what_lasts_is_one_event_with_the_edges_of_its_frames(make, kind):
    told = said(between(make))
    assert [(name, is_open) for name, _, _, is_open in told] == [(kind, False)]
    assert told[0][1] == pytest.approx(START, abs=4)
    assert told[0][1] + told[0][2] == pytest.approx(STOP, abs=4)
    [(name, start, duration, is_open)] = said(between(make, stop=CASE.frames))
    assert (name, is_open) == (kind, False)
    assert start == pytest.approx(START, abs=4)
    assert start + duration == pytest.approx(CASE.frames, abs=4)


@pytest.mark.parametrize("stop", [STOP, CASE.frames])
def test_clipping_lasts_from_the_first_frame_that_is_cut_to_the_last(stop):
    x = CASE.signal().read(0, CASE.frames)[:, 0]
    cut = np.flatnonzero(np.abs(x[START:stop]) > 0.3)
    expected = ("clipping", START + int(cut[0]), int(cut[-1] - cut[0]) + 1, False)
    assert said(between(lambda x: np.clip(x, -0.3, 0.3), stop=stop)) == [expected]


def test_a_click_within_what_lasts_is_one_more_event():
    def change(x, step):
        x = between(lambda x: 0.7 * x)(x, step)
        x[90_000] += 0.1
        return x

    assert said(change) == [("gain", START, STOP - START, False), ("click", 90_000, 1, False)]


def test_a_level_that_changes_within_noise_is_one_more_event():
    def change(x, step):
        x = between(lambda x: 0.5 * x, 80_000, 100_000)(x, step)
        return between(rough)(x, step)

    told = said(change)
    assert [name for name, *_ in told] == ["noise", "gain"]
    assert told[0][1:3] == (pytest.approx(START, abs=4), pytest.approx(STOP - START, abs=8))
    assert told[1][1:3] == (pytest.approx(80_000, abs=4), pytest.approx(20_000, abs=8))


def test_one_fault_after_another_that_lasts():
    def change(x, step):
        return between(lambda x: 0.5 * x, 90_000)(between(lambda x: x + 0.02, START, 90_000)(x, step), step)

    assert said(change) == [("dc_offset", START, 90_000 - START, False), ("gain", 90_000, STOP - 90_000, False)]


def test_noise_within_the_limits_is_no_event():
    assert said(between(lambda x: x + 1e-8 * np.random.default_rng(1).standard_normal(len(x)))) == []
