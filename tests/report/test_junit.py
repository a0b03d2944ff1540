from xml.etree import ElementTree as ET

import pytest

from rtpverify.events import Event, Kind, MissingSize
from rtpverify.report import junit
from rtpverify.result import Result, Sensitivity, StreamResult, Transport


def _cases(result):
    root = ET.fromstring(junit.render(result).partition("\n")[2])  # noqa: S314
    return root, {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}


def test_every_kind_has_one_family():
    kinds = [kind for family in junit.FAMILIES.values() for kind in family]
    assert sorted(kinds) == sorted(Kind)


def test_clean_stream_passes_every_case(passed):
    root, cases = _cases(passed)
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "0",
        "errors": "0",
        "skipped": "0",
    }
    assert all(len(case) == 0 for case in cases.values())


def test_fault_fails_its_family_alone(failed):
    root, cases = _cases(failed)
    assert root.get("failures") == "2"
    failure = cases["rtpverify.239_1_2_4:5004", "transport"].find("failure")
    assert failure.get("message") == "2 packets lost (first of 2)"
    assert failure.get("type") == "gap,stall"
    assert "1.000000 s, frame 48,000" in failure.text
    assert cases["rtpverify.239_1_2_4:5004", "quality"].find("failure") is None
    assert "word_length" in cases["rtpverify.239_1_2_4:5004", "quality"].findtext("system-out")
    assert "one frame <off> & wrong" in cases["rtpverify.239_1_2_4:5004", "continuity"].findtext("failure")


def test_the_set_of_cases_does_not_depend_on_what_was_found(passed, failed):
    assert set(_cases(passed)[1]) < set(_cases(failed)[1])
    failed.streams[1].events = []
    without = set(_cases(failed)[1])
    assert len(without) == 14


def test_nothing_arrived_is_an_error(nothing):
    root, cases = _cases(nothing)
    assert root.get("errors") == "1"
    [case] = cases.values()
    assert case.find("error").get("message") == "nothing to verify arrived"


def test_streams_that_were_refused_are_an_error(passed):
    passed.streams_refused = 1
    root, _ = _cases(passed)
    assert (root.get("errors"), root.get("failures")) == ("1", "0")
    [error] = root.iter("error")
    assert error.get("message") == "1 more stream came than are verified at a time, and was not"


def test_unjudged_stream_is_an_error_and_its_signal_skipped():
    stream = StreamResult(sample_rate=48000, channels=1, encoding="L16", inconclusive="too short to judge")
    root, cases = _cases(Result("a.b/short.wav", [stream]))
    assert (root.get("errors"), root.get("skipped")) == ("1", "3")
    assert cases["rtpverify.short_wav", "judged"].find("error").get("message") == "too short to judge"


def test_of_a_missing_stream_nothing_but_that_is_judged(clean_stream):
    event = Event(MissingSize(), 0, message="no packet of 239.1.2.9:5004")
    missing = StreamResult(encoding="L16", destination="239.1.2.9:5004", transport=Transport(), events=[event])
    root, cases = _cases(Result("two.sdp", [clean_stream, missing]))
    assert (root.get("failures"), root.get("skipped")) == ("1", "5")
    assert cases["rtpverify.239_1_2_9:5004", "presence"].find("failure").get("type") == "missing"
    event.fault, missing.inconclusive = False, event.message
    root, cases = _cases(Result("two.sdp", [missing]))
    assert (root.get("failures"), root.get("errors")) == ("0", "1")
    assert cases["rtpverify.239_1_2_9:5004", "judged"].find("error").get("message") == event.message


def test_streams_of_one_destination_are_told_apart(failed):
    failed.streams[1].destination = failed.streams[0].destination
    names = {key[0] for key in _cases(failed)[1]}
    assert names == {"rtpverify.239_1_2_3:5004 #1", "rtpverify.239_1_2_3:5004 #2"}


@pytest.mark.parametrize(("character", "shown"), [("\x00", r"\x00"), ("\x1b", r"\x1b"), ("\x0b", r"\x0b")])
def test_characters_that_xml_cannot_hold_are_escaped(failed, character, shown):
    failed.streams[1].events[1].message = f"odd{character}name"
    assert f"odd{shown}name" in junit.render(failed)
    _cases(failed)


def test_says_what_was_asked_and_what_would_have_shown(failed, nothing, asked):
    failed.request = nothing.request = asked
    failed.streams[0].signal[0].sensitivity = Sensitivity(1e-6, 0.01, 1e-4, True)
    for result in (failed, nothing):
        root, _ = _cases(result)
        for suite in root.iter("testsuite"):
            assert (suite.get("timestamp"), suite.get("hostname")) == (asked.time, asked.host)
            assert suite[0].tag == "properties"
            found = {one.get("name"): one.get("value") for one in suite.iter("property")}
            assert (found["command"], found["reference"]) == (asked.command, "tone:997")
    limits = [one.get("value") for one in _cases(failed)[0].iter("property") if one.get("name") == "detection limits"]
    assert [text.partition(",")[0] for text in limits] == ["click of 1.0e-06 FS"]


def test_warnings_about_the_source_are_there_once(failed):
    failed.warnings = ["the capture ends in the middle of a packet"]
    root, _ = _cases(failed)
    texts = [element.text for element in root.iter("system-out")]
    assert sum("the capture ends" in text for text in texts) == 1
    assert all(len(suite.findall("system-out")) <= 1 for suite in root.iter("testsuite"))
