import pytest

from rtpverify.events import Event, Kind
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
        (Event(Kind.GAP, 0, 48), "48 frames (1 ms)"),
        (Event(Kind.CLICK, 0, 1, size={"deviation": 0.25}), "1 frame (20.83 µs), deviation 0.25 of full scale"),
        (Event(Kind.SLIP, 0, size={"slip_frames": -48}), "-48 frames"),
        (Event(Kind.SLIP, 0, size={"slip_frames": 48, "phase_step_rad": 1.778}), "+48 frames, phase step +1.778 rad"),
        (Event(Kind.SLIP, 0, size={"candidate_slip_frames": [48, -96]}), "candidate slip frames 48 or -96"),
        (Event(Kind.REPEAT, 0, size={"distance_frames": 48000}), "distance 48,000 frames"),
        (Event(Kind.GAIN, 0, size={"gain_db": -1.0}), "-1.000 dB"),
        (Event(Kind.DC_OFFSET, 0, size={"dc_offset": 0.01}), "0.01 of full scale"),
        (Event(Kind.FREQUENCY, 0, size={"frequency_hz": 998.5, "error_ppm": 1.5}), "998.50000 Hz, error +1.500 ppm"),
        (Event(Kind.STALL, 0, size={"stall_seconds": 0.2}, open=True), "200 ms, ongoing"),
        (Event(Kind.RESTART, 0, size={"ssrc": "0x00000001"}), "ssrc 0x00000001"),
        (Event(Kind.SILENCE, 0), "–"),
    ],
)
def test_size_of_an_event_carries_its_units(event, text):
    assert event_wording.size(event, 48000) == text


def test_zero_has_no_minus():
    assert event_wording.number(-1e-9, "+.3f") == "+0.000"
    assert event_wording.number(-1e-9, ".3f") == "0.000"
    assert event_wording.number(-1e-9, "+.1e") == "-1.0e-09"


def test_a_lone_slip_is_not_hidden_behind_many_gaps():
    events = [Event(Kind.SLIP, 10_000), *(Event(Kind.GAP, 48 * index) for index in range(100))]
    shown, rest = event_wording.selected(events, 5)
    assert [(event.kind, event.start_frame) for event in shown] == [
        (Kind.GAP, 0),
        (Kind.GAP, 48),
        (Kind.GAP, 96),
        (Kind.GAP, 144),
        (Kind.SLIP, 10_000),
    ]
    assert event_wording.by_kind(rest) == "96 gap"
