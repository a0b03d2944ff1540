"""What a test, a script or a notebook asks a result itself for."""

import sys
from xml.etree import ElementTree as ET

import pytest

import rtpverify
from rtpverify.events import ClickSize, Event, GapSize, Kind, ReorderSize, SlipSize
from rtpverify.result import Result, StreamResult, Transport, Verdict, dataframe


def result_of(*events, inconclusive=None, **options):
    stream = StreamResult(
        sample_rate=48000,
        channels=2,
        encoding="L24",
        frames=96000,
        ssrc=0x5EED0001,
        destination="239.1.2.3:5004",
        transport=Transport(2000, 2000),
        events=list(events),
        inconclusive=inconclusive,
    )
    return Result("capture.pcap", [stream], **options)


SLIP = Event(SlipSize(slip_frames=48), 48000, message="48 frames are missing")
CLICK = Event(ClickSize(deviation=0.25), 24000, 1, channel=2, packets=(500, 500))
REORDER = Event(ReorderSize(packets_counted=3), 0, fault=False)


class TestVerdict:
    @pytest.mark.parametrize(
        ("result", "passed"),
        [
            (result_of(), True),
            (result_of(REORDER), True),
            (result_of(SLIP), False),
            (result_of(inconclusive="encoding unknown"), False),
            (result_of(streams_refused=1), False),
            (Result("capture.pcap"), False),
        ],
    )
    def test_a_result_is_true_where_it_passed(self, result, passed):
        assert (result.passed, bool(result), result.verdict is Verdict.PASS) == (passed, passed, passed)
        if passed:
            result.assert_clean()
        else:
            with pytest.raises(AssertionError, match=r"^capture\.pcap: "):
                result.assert_clean()

    def test_the_assertion_lists_each_fault_with_time_channel_cause_and_size(self):
        with pytest.raises(AssertionError) as raised:
            result_of(SLIP, CLICK, REORDER).assert_clean()
        assert str(raised.value).splitlines() == [
            "capture.pcap: 2 faults: 1 slip, 1 click",
            (
                "  click at 0.500000 s (frame 24,000), channel 2, cause upstream, "
                "1 frame (20.83 µs), deviation 0.25 of full scale, packets 500"
            ),
            "  slip at 1.000000 s (frame 48,000), all channels, cause upstream, +48 frames: 48 frames are missing",
        ]

    def test_a_thousand_faults_are_counted_not_listed(self):
        gaps = [Event(GapSize(), 48 * number, 48) for number in range(1000)]
        with pytest.raises(AssertionError) as raised:
            result_of(*gaps, SLIP).assert_clean()
        lines = str(raised.value).splitlines()
        assert lines[-1] == "  and 951 more: 951 gap"
        assert len(lines) == 52

    def test_allowed_kinds_are_no_faults(self):
        both = result_of(SLIP, CLICK)
        both.assert_clean(allow=("slip", Kind.CLICK))
        with pytest.raises(AssertionError, match="1 fault: 1 click"):
            both.assert_clean(allow=["slip"])

    @pytest.mark.parametrize(
        "result",
        [
            result_of(SLIP, inconclusive="silence only"),
            result_of(SLIP, streams_refused=2),
            Result("x"),
            result_of(inconclusive="silence only"),
        ],
    )
    def test_what_was_not_verified_is_never_clean(self, result):
        with pytest.raises(AssertionError, match="not everything could be verified"):
            result.assert_clean(allow=tuple(Kind))

    def test_kinds_that_are_none(self):
        with pytest.raises(rtpverify.RequestError, match="'ring' is no kind of event; there are gap"):
            result_of().assert_clean(allow=("ring",))
        with pytest.raises(rtpverify.RequestError, match="give a tuple of kinds, such as"):
            result_of().assert_clean(allow="slip")


def test_the_representation_is_one_short_line():
    assert repr(result_of()) == "<Result PASS (1 stream of capture.pcap)>"
    assert repr(result_of(SLIP, SLIP, CLICK)) == "<Result FAIL: 2 slip, 1 click (1 stream of capture.pcap)>"
    assert repr(Result("x")) == "<Result INCONCLUSIVE: nothing to verify arrived (0 streams of x)>"


class TestNotebook:
    def test_the_picture_has_every_event_where_it_is(self):
        page = ET.fromstring(result_of(SLIP, CLICK)._repr_html_())  # noqa: S314 - well-formed
        [svg] = page.iter("{http://www.w3.org/2000/svg}svg")
        marks = {
            mark.findtext("{http://www.w3.org/2000/svg}title").split()[0]: float(mark.get("x"))
            for mark in svg.iter("{http://www.w3.org/2000/svg}rect")
            if len(mark)
        }
        [bar, *_] = [mark for mark in svg.iter("{http://www.w3.org/2000/svg}rect") if not len(mark)]
        left, width = float(bar.get("x")), float(bar.get("width"))
        assert marks == pytest.approx({"slip": left + width / 2, "click": left + width / 4}, abs=0.1)

    def test_nothing_is_loaded_and_no_text_is_markup(self):
        result = result_of(SLIP)
        result.source = "<script>alert(1)</script>"
        result.streams[0].warnings.append("a < b & c")
        shown = result._repr_html_()
        assert "<script" not in shown
        assert "a &lt; b &amp; c" in shown
        assert "http" not in shown.replace("http://www.w3.org/2000/svg", "")

    def test_many_events_stay_small(self):
        events = [Event(ClickSize(), number, 1, channel=1) for number in range(0, 96000, 2)]
        assert len(result_of(*events)._repr_html_()) < 500_000

    def test_results_without_a_timeline(self):
        for result in (Result("x"), result_of(inconclusive="silence only"), Result("x", [StreamResult()])):
            assert result.verdict.upper() in result._repr_html_()


class TestDataFrame:
    @pytest.mark.parametrize("library", dataframe.LIBRARIES)
    def test_a_row_for_each_event(self, library, monkeypatch):
        pytest.importorskip(library)
        monkeypatch.setattr(dataframe, "LIBRARIES", (library,))
        table = result_of(SLIP, CLICK).to_dataframe()
        assert type(table).__module__.startswith(library)
        assert list(table["kind"]) == ["slip", "click"]
        assert list(table["time_seconds"]) == [1.0, 0.5]
        assert next(iter(table["slip_frames"])) == 48
        assert list(result_of().to_dataframe()["kind"]) == []
        channels = rtpverify.check(rtpverify.tone(997, seconds=1), 48000).to_dataframe("channels")
        assert next(iter(channels["frequency_hz"])) == pytest.approx(997)
        assert list(result_of(SLIP).to_dataframe("streams")["packets_received"]) == [2000]

    def test_without_a_library_the_message_says_what_to_install(self, monkeypatch):
        for library in dataframe.LIBRARIES:
            monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(rtpverify.RequestError, match="needs pandas or polars, and neither is installed: pip"):
            result_of().to_dataframe()
        with pytest.raises(rtpverify.RequestError, match="rows: 'faults' is not one of events, channels, streams"):
            result_of().to_dataframe("faults")
