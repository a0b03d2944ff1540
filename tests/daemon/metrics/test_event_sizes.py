from __future__ import annotations

import pytest

from rtpverify.daemon.metrics.event_sizes import sizes_of
from rtpverify.events import ClickSize, Event, FrequencySize, GainSize, GapSize, NoiseSize, SlipSize, StallSize


@pytest.mark.parametrize(
    ("event", "sizes"),
    [
        (Event(GapSize(packets_lost=2), 0, 96), {"packets": 2, "duration": 0.002}),
        (Event(SlipSize(slip_frames=-48, phase_step_rad=0.1), 0), {"frames": 48, "duration": 0.0}),
        (Event(SlipSize(slip_frames=None), 0), {"duration": 0.0}),
        (Event(GainSize(gain_db=-3.0), 0, 48), {"db": 3.0, "duration": 0.001}),
        (Event(ClickSize(deviation=0.25), 0, 1), {"ratio": 0.25, "duration": 1 / 48000}),
        (Event(StallSize(stall_seconds=0.5), 0), {"duration": 0.5}),
        (Event(FrequencySize(frequency_error_ppm=-20.0), 0, 48), {"ratio": 2e-5, "duration": 0.001}),
        (Event(NoiseSize(residual_dbfs=0.0), 0, 48), {"ratio": 0.5**0.5, "duration": 0.001}),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Event) else "",
)
def test_sizes_are_positive_and_in_their_units(event: Event, sizes: dict[str, float]) -> None:
    assert dict(sizes_of(event, 48000)) == pytest.approx(sizes)


def test_without_a_sample_rate_nothing_lasts_a_known_time() -> None:
    assert dict(sizes_of(Event(GapSize(), 0, 96), None)) == {}
