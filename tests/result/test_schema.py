"""The JSON Schema of a result describes every result, in full, and documentation and file follow it."""

import json
import re
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.events import SIZES, Event
from rtpverify.limits import Limits
from rtpverify.report.json import strict
from rtpverify.report.request import request_now
from rtpverify.result import ChannelComparison, Comparison, Leg, Result, Rtcp, Signal, StreamResult, Transport
from rtpverify.result.schema import schema
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.faulty import packets
from tools.result_docs import SCHEMA_FILE, schema_text

DOCS = Path(__file__).parents[2] / "docs"
VALIDATOR = jsonschema.Draft202012Validator(schema())


def of_packets() -> Result:
    verifier = Verifier([StreamSpec(encoding=parse_rtpmap("L24/48000/2"), reference=parse_reference("tone:1283"))])
    for batch in packets(["loss:at=0.5,packets=3", "click:at=0.8,size=0.02"], 1.2):
        verifier.feed(batch)
    verifier.finish()
    result = verifier.result("stream")
    result.request = request_now(
        "rtpverify check", reference="tone:1283", encoding="L24/48000/2", profile="digital", limits=Limits()
    )
    return result


def of_copies() -> Result:
    stream = StreamResult(transport=Transport(rtcp=Rtcp()), ssrc=1, legs=[Leg("a:1", "b:2", "0x00000001")])
    missing = StreamResult(transport=Transport(), destination="b:2")
    stream.events = [Event(size(), 0) for size in SIZES.values()]
    return Result("copies", [stream, missing], {"not_rtp": 2}, streams_expected=2)


def of_a_file() -> Result:
    comparison = Comparison("sent.wav", 10, 48000, 5, [ChannelComparison(1, block_residual_dbfs=[None, -90.0])])
    return Result("received.wav", [StreamResult(sample_rate=48000, signal=[Signal(1)], comparison=comparison)])


@pytest.fixture(params=[of_packets, of_copies, of_a_file], scope="module")
def document(request):
    return strict(request.param().to_dict())


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_result_conforms_and_no_field_is_undescribed(document):
    VALIDATOR.validate(document)
    closed = deepcopy(schema())
    for name, definition in closed["$defs"].items():
        if "properties" in definition and name != "EventDocument":  # its figures are in one of several
            definition["additionalProperties"] = False
    jsonschema.Draft202012Validator(closed | {"additionalProperties": False}).validate(document)


def test_what_lacks_a_field_or_has_another_type_does_not_conform(document):
    for name in document:
        assert not VALIDATOR.is_valid({key: value for key, value in document.items() if key != name}), name
    other = deepcopy(document)
    other["streams"][0]["frames"] = "many"
    assert not VALIDATOR.is_valid(other)
    for event in document["streams"][0]["events"]:
        other = deepcopy(document)
        other["streams"][0]["events"] = [{**event, "kind": "gap" if event["kind"] != "gap" else "slip"}]
        assert not VALIDATOR.is_valid(other)


def test_every_field_is_in_the_documentation():
    pages = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("result.md", "compare.md"))
    described = set(re.findall(r"`(\w+)`", pages))
    parts = [schema(), *schema()["$defs"].values()]
    fields = {name for part in parts for name in part.get("properties", ())}
    assert fields - described == set()


def test_the_file_in_the_documentation_is_up_to_date():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()
    assert json.loads(schema_text()) == schema()
