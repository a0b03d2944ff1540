from __future__ import annotations

import pytest

from rtpverify.daemon.metrics.event_sizes import sizes_of
from rtpverify.events import Event, Kind


@pytest.mark.parametrize(
    ("event", "sizes"),
    [
        (Event(Kind.GAP, 0, 96, size={"packets_lost": 2}), {"packets": 2, "duration": 0.002}),
        (Event(Kind.SLIP, 0, size={"slip_frames": -48, "phase_step_rad": 0.1}), {"frames": 48, "duration": 0.0}),
        (Event(Kind.SLIP, 0, size={"slip_frames": None}), {"duration": 0.0}),
        (Event(Kind.GAIN, 0, 48, size={"gain_db": -3.0}), {"db": 3.0, "duration": 0.001}),
        (Event(Kind.CLICK, 0, 1, size={"deviation": 0.25}), {"ratio": 0.25, "duration": 1 / 48000}),
        (Event(Kind.STALL, 0, size={"stall_seconds": 0.5}), {"duration": 0.5}),
        (Event(Kind.FREQUENCY, 0, 48, size={"frequency_error_ppm": -20.0}), {"ratio": 2e-5, "duration": 0.001}),
        (Event(Kind.NOISE, 0, 48, size={"residual_dbfs": 0.0}), {"ratio": 0.5**0.5, "duration": 0.001}),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Event) else "",
)
def test_sizes_are_positive_and_in_their_units(event: Event, sizes: dict[str, float]) -> None:
    assert dict(sizes_of(event, 48000)) == pytest.approx(sizes)


def test_without_a_sample_rate_nothing_lasts_a_known_time() -> None:
    assert dict(sizes_of(Event(Kind.GAP, 0, 96), None)) == {}
