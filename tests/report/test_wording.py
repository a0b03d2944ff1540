from rtpverify.report import wording
from rtpverify.result import Result, Signal, StreamResult


def test_unmeasured_is_never_a_number():
    assert set(wording.signal_row(Signal(channel=3))[1:]) == {"–"}


def test_headline_says_why(passed, failed, nothing):
    assert wording.headline(passed) == "1 stream verified, no fault"
    passed.streams[0].signal = []
    assert wording.headline(passed) == "transport of 1 stream verified, no fault"
    assert wording.headline(failed) == "4 faults in 1 of 2 streams: 1 slip, 1 gap, 1 click, 1 stall"
    assert wording.headline(nothing) == "nothing to verify arrived"
    assert wording.headline(Result("x", [StreamResult(inconclusive="silence only")])) == "silence only"
    some = [StreamResult(inconclusive="silence only"), StreamResult(), StreamResult(inconclusive="silence only")]
    assert wording.headline(Result("x", some)) == "2 of 3 streams not checked: silence only"
    passed.streams_refused = 3
    assert wording.headline(passed) == "3 more streams came than are verified at a time, and were not"
    failed.streams[0].inconclusive = "encoding unknown"
    assert wording.headline(failed).endswith("1 stall; 1 of 2 streams not checked: encoding unknown")


def test_failed_streams_come_first(failed):
    assert [stream.verdict for stream in wording.in_order(failed.streams)] == ["fail", "pass"]


def test_loss_is_also_a_percentage(failed):
    assert "2 lost (0.067 %)" in dict(wording.transport(failed.streams[1]))["Packets"]


def test_a_file_has_no_transport():
    stream = StreamResult(sample_rate=44100, channels=1, encoding="L16", frames=44100)
    assert wording.transport(stream) == []
    assert wording.identity(stream) == "File"
    assert wording.form(stream) == "L16/44100/1, 1.000 s (44,100 frames)"
