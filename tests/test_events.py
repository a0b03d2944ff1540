"""Every kind of event has one record of its figures, and everything that shows them has them from there."""

from dataclasses import FrozenInstanceError

import pytest

from rtpverify.daemon.metrics.event_sizes import SIZES as MEASURES
from rtpverify.daemon.web.openapi import document
from rtpverify.events import SIZES, Event, Kind, SlipSize, figures_of
from tools.result_docs import PAGE, page


@pytest.mark.parametrize("kind", Kind)
def test_an_event_has_the_figures_of_its_kind_and_null_where_nothing_was_measured(kind):
    event = Event(SIZES[kind](), 7)
    assert event.kind is kind
    shown = event.to_dict()
    assert {name: shown[name] for name in figures_of(kind)} == dict.fromkeys(figures_of(kind))


@pytest.mark.parametrize("kind", Kind)
def test_no_figure_has_the_name_of_what_every_event_has(kind):
    common = Event(SIZES[Kind.BYTE_ORDER](), 0).to_dict()
    assert not common.keys() & figures_of(kind).keys()


def test_a_figure_that_the_kind_does_not_have_is_refused_and_a_size_never_changes():
    with pytest.raises(TypeError):
        SIZES[Kind.GAIN](slip_frames=48)
    with pytest.raises(FrozenInstanceError):
        SlipSize(slip_frames=48).slip_frames = 49


def test_every_measure_is_one_of_the_metrics_and_every_metric_has_figures():
    measures = {figure.measure for kind in Kind for _, figure in figures_of(kind).values()} - {None}
    assert measures == set(MEASURES)


def test_the_schema_names_the_figures_of_every_kind():
    schemas = {schema["title"]: schema for schema in document()["components"]["schemas"]["Event"]["oneOf"]}
    for kind in Kind:
        assert set(schemas[kind]["properties"]) == {"kind", *figures_of(kind)}


def test_the_documentation_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: PYTHONPATH=. python tools/result_docs.py"


def test_what_was_compared_is_named_with_its_probability():
    event = Event(SlipSize(slip_frames=48), 0, confidence=0.7, alternatives={Kind.REPEAT: 0.3})
    shown = event.to_dict()
    assert (shown["confidence"], shown["alternatives"]) == (0.7, {"repeat": 0.3})
    assert Event(SlipSize(), 0).to_dict()["alternatives"] is None


def test_a_field_can_be_asked_for_by_its_name_in_json():
    event = Event(SlipSize(slip_frames=48), 4800, channel=2)
    assert (event["kind"], event["slip_frames"], event["channel"], event["time"]) == ("slip", 48, 2, None)
    with pytest.raises(KeyError, match="gain_db"):
        event["gain_db"]
