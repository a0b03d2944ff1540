"""Slow changes of the sine are no faults; single frames are, however much the sine changes."""

import pytest

from tests.helpers.clean import Clean


def events(stream, seconds, wrong=None):
    """Return the events of a stream whose frame ``wrong``, if any, is off by one step."""
    x = stream.read(0, seconds * stream.rate_hz)
    if wrong is not None:
        x[wrong] += 2.0 ** (1 - stream.bits)
    verifier = stream.verifier()
    verifier.feed(x)
    verifier.finish()
    told = verifier.result("drift").streams[0].events
    return [(str(event.kind), event.start_frame, event.duration_frames) for event in told]


MOVING_PHASES = [
    Clean(48000, frequency_hz=6000.0, level_dbfs=-0.1, wander_ppm_per_second=0.1, seed=1808239605),
    Clean(44100, frequency_hz=3150.0, level_dbfs=-6.0, wander_ppm_per_second=0.1, seed=117091761),
    Clean(48000, frequency_hz=1000.0, level_dbfs=-1.0, wander_ppm_per_second=0.03, seed=855625789),
    Clean(48000, frequency_hz=1000.0, level_dbfs=-0.1, wander_ppm_per_second=0.03, seed=506456969),
    Clean(44100, frequency_hz=3150.0, level_dbfs=-0.1, wander_ppm_per_second=0.03, seed=2948425721),
    Clean(44100, frequency_hz=441.0, level_dbfs=-0.1, wander_ppm_per_second=0.03, seed=1007773001),
]
"""Few phases that move on slowly: plain rounding changes at the same frames again and again."""


@pytest.mark.parametrize("stream", MOVING_PHASES)
def test_rounding_that_changes_as_the_phases_move_is_no_fault(stream):
    assert events(stream, 2) == []


def test_a_wrong_low_bit_stands_out_while_the_phases_move():
    for frame in (51_512, 60_578, 71_155):
        assert events(MOVING_PHASES[2], 2, wrong=frame) == [("click", frame, 1)]
