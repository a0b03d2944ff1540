"""The text is what prometheus_client's parsers read out of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rtpverify.daemon.metrics.text import EOF, Exemplar, Family, exposition, labels
from rtpverify.live.histogram import BucketCounter, BucketCounts

numbers = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)


@given(numbers, st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('"\\\n'), max_size=20))
def test_values_and_labels_come_back(value: float, label: str) -> None:
    family = Family("x_seconds", "gauge", "Says what.")
    family.add(labels({"a": label, "b": "2"}), value)
    for text, parse in (
        (exposition([family], openmetrics=False), parse_text),
        (exposition([family], openmetrics=True) + EOF, parse_openmetrics),
    ):
        (found,) = parse(text)
        (sample,) = found.samples
        assert (found.name, found.type, found.documentation) == ("x_seconds", "gauge", "Says what.")
        assert (sample.name, sample.labels, sample.value) == ("x_seconds", {"a": label, "b": "2"}, value)


@given(st.lists(st.floats(0, 10)))
def test_histograms_come_back(values: list[float]) -> None:
    histogram = BucketCounter((0.001, 1, 5.0))
    for value in values:
        histogram.add(value)
    family = Family("x_seconds", "histogram", "Says what.")
    family.add('a="1"', histogram.counts())
    (found,) = parse_openmetrics(exposition([family], openmetrics=True) + EOF)
    by_name = {(sample.name, sample.labels.get("le")): sample.value for sample in found.samples}
    for edge in ("0.001", "1.0", "5.0", "+Inf"):
        assert by_name["x_seconds_bucket", edge] == sum(value <= float(edge) for value in values)
    assert by_name["x_seconds_count", None] == len(values)
    assert by_name["x_seconds_sum", None] == pytest.approx(math.fsum(values))


def test_numbers_of_any_type_are_numbers() -> None:
    family = Family("x", "gauge", "Says what.")
    for value in (True, np.float64(0.5), np.int64(3), float("inf")):
        family.add("", value)
    text = exposition([family], openmetrics=False)
    assert text.splitlines()[2:] == ["x 1", "x 0.5", "x 3", "x inf"]
    assert [sample.value for found in parse_text(text) for sample in found.samples] == [1.0, 0.5, 3.0, math.inf]


def test_what_has_no_value_has_no_sample() -> None:
    family = Family("x", "gauge", "Says what.")
    family.add("", None)
    assert exposition([family], openmetrics=False) == "# HELP x Says what.\n# TYPE x gauge\n"


def test_an_exemplar_keeps_its_nanoseconds_and_stands_in_openmetrics_alone() -> None:
    family = Family("x", "counter", "Says what.")
    family.add('a="1"', 3, Exemplar("00ff", 1_790_000_000_000_000_009))
    assert (
        exposition([family], openmetrics=True).splitlines()[-1]
        == 'x_total{a="1"} 3 # {event_id="00ff"} 1 1790000000.000000009'
    )
    assert exposition([family], openmetrics=False).splitlines()[-1] == 'x_total{a="1"} 3'


def test_counts_are_as_of_one_moment() -> None:
    histogram = BucketCounter((1.0,))
    histogram.add(1.0)
    before = histogram.counts()
    histogram.add(2.0)
    assert before == BucketCounts((1.0,), (1, 0), 1.0)
    assert histogram.counts() == BucketCounts((1.0,), (1, 1), 3.0)
