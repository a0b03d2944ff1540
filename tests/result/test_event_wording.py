import pytest

from rtpverify.events import (
    ClickSize,
    DcOffsetSize,
    Event,
    FrequencySize,
    GainSize,
    GapSize,
    Kind,
    RepeatSize,
    SilenceSize,
    SlipSize,
    SsrcChangeSize,
    StallSize,
)
from rtpverify.result import event_wording


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 s"), (21.3e-6, "21.3 µs"), (0.001, "1 ms"), (-0.25, "-250 ms"), (12.5, "12.5 s")],
)
def test_duration_is_written_in_the_unit_of_its_size(value, text):
    assert event_wording.seconds(value) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event(GapSize(), 0, 48), "48 frames (1 ms)"),
        (Event(ClickSize(deviation=0.25), 0, 1), "1 frame (20.83 µs), deviation 0.25 of full scale"),
        (Event(SlipSize(slip_frames=-48), 0), "-48 frames"),
        (Event(SlipSize(slip_frames=48, phase_step_rad=1.778), 0), "+48 frames, phase step +1.778 rad"),
        (Event(SlipSize(candidate_slip_frames=[48, -96]), 0), "candidate slip frames 48 or -96"),
        (Event(RepeatSize(repeat_distance_frames=48000), 0), "distance 48,000 frames"),
        (Event(GainSize(gain_db=-1.0), 0), "-1.000 dB"),
        (Event(DcOffsetSize(dc_offset=0.01), 0), "0.01 of full scale"),
        (Event(FrequencySize(frequency_hz=998.5, frequency_error_ppm=1.5), 0), "998.50000 Hz, error +1.500 ppm"),
        (Event(StallSize(stall_seconds=0.2), 0, open=True), "200 ms, ongoing"),
        (Event(SsrcChangeSize(to_ssrc="0x00000001"), 0), "to ssrc 0x00000001"),
        (Event(SilenceSize(), 0), "–"),
    ],
)
def test_size_of_an_event_carries_its_units(event, text):
    assert event_wording.size(event, 48000) == text


def test_zero_has_no_minus():
    assert event_wording.number(-1e-9, "+.3f") == "+0.000"
    assert event_wording.number(-1e-9, ".3f") == "0.000"
    assert event_wording.number(-1e-9, "+.1e") == "-1.0e-09"


def test_a_lone_slip_is_not_hidden_behind_many_gaps():
    events = [Event(SlipSize(), 10_000), *(Event(GapSize(), 48 * index) for index in range(100))]
    shown, rest = event_wording.selected(events, 5)
    assert [(event.kind, event.start_frame) for event in shown] == [
        (Kind.GAP, 0),
        (Kind.GAP, 48),
        (Kind.GAP, 96),
        (Kind.GAP, 144),
        (Kind.SLIP, 10_000),
    ]
    assert event_wording.by_kind(rest) == "96 gap"
