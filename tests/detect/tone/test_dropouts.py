"""Where dropouts begin and end, to the frame."""

from dataclasses import replace

import pytest

from tests.helpers.corpus import Case, verify


def edges(case, hold=None):
    """Return start and length of the dropouts told; ``hold`` are frames that exactly repeat the one before them."""
    x = case.signal().read(0, case.frames)
    if hold is not None:
        x[hold] = x[hold.start - 1]
    events = verify(case.verifier(), x).events
    assert {str(event.kind) for event in events} == {"dropout"}
    return [(event.start_frame, event.duration_frames) for event in events]


@pytest.mark.parametrize(
    ("start", "frames", "level_dbfs", "frequency_hz", "bits"),
    [
        (713, 480, -6.0, 997.0, 16),
        (745, 100, -20.0, 2769.0, 24),
        (342, 480, -20.0, 4513.0, 24),
        (652, 742, -40.0, 780.0, 16),
        (1200, 900, -1.0, 1283.0, 24),
    ],
)
@pytest.mark.parametrize("dither", ["none", "tpdf"])
@pytest.mark.parametrize("rate_hz", [48000, 96000])
def test_a_value_held_soon_after_the_start_is_told_to_the_frame(
    start, frames, level_dbfs, frequency_hz, bits, dither, rate_hz
):
    case = Case(
        rate_hz=rate_hz,
        bits=bits,
        dither=dither,
        frequencies_hz=(frequency_hz,),
        level_dbfs=level_dbfs,
        seconds=1.2,
    )
    dropout = f"dropout:at={start / rate_hz!r},frames={frames},mode=hold"
    assert edges(replace(case, faults=(dropout,))) == [(start, frames)]
    assert edges(case, slice(start, start + frames)) == [(start, frames)]


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize(("frequency_hz", "rate_hz"), [(997.0, 48000), (1283.0, 96000), (997.0, 44100)])
def test_what_is_muted_where_the_tone_passes_zero_begins_there(frequency_hz, rate_hz, bits):
    """As it does at each second of a tone of whole Hz: the first muted frame is what it would be anyway."""
    case = Case(rate_hz=rate_hz, bits=bits, frequencies_hz=(frequency_hz,), level_dbfs=-20.0, seconds=1.5)
    assert edges(replace(case, faults=("dropout:at=1,frames=480",))) == [(rate_hz, 480)]
