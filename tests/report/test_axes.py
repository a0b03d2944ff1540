"""Marks of axes are round, evenly spaced, within the range and few enough."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.report.axes import frequency_text, frequency_ticks, ticks, time_label, time_text


@given(
    low=st.floats(-1e3, 1e3),
    span=st.floats(1e-3, 1e6),
    most=st.integers(2, 12),
)
def test_ticks_are_round_and_few(low, span, most):
    marks = ticks(low, low + span, most)
    assert len(marks) <= most + 1
    assert len(marks) >= most // 3
    steps = {f"{after - before:.4e}" for before, after in pairwise(marks)}
    assert len(steps) <= 1
    if steps:
        assert steps.pop()[0] in "125"
    slack = 1e-6 * span
    assert all(low - slack <= mark <= low + span + slack for mark in marks)


def test_an_empty_range_has_one_mark():
    assert ticks(3.0, 3.0) == [3.0]


def test_frequencies_are_those_one_reads():
    assert frequency_ticks(20, 20_000) == [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]
    assert [frequency_text(hz) for hz in (20, 500, 1000, 20_000)] == ["20", "500", "1k", "20k"]


@pytest.mark.parametrize(
    ("seconds", "span", "text"), [(1.5, 10, "1.5"), (3661.2, 7200, "1:01:01"), (0, 600, "0:00:00")]
)
def test_times_are_written_by_the_length_of_the_axis(seconds, span, text):
    assert time_text(seconds, span) == text
    assert time_label(span) == ("Time, s" if span < 600 else "Time, h:mm:ss")
