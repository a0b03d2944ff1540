"""What a channel carries now is told by its last second, whatever it carried before."""

import math

import numpy as np
import pytest

from rtpverify.engine.format_group import Analysis, stream_format
from rtpverify.limits import Limits
from rtpverify.reference import Tone
from tests.helpers.corpus import Case

RATE_HZ = 48000
PIECE = 9600


def present(case: Case, hole: tuple[int, int] | None = None, noise_from: int | None = None):
    """Return what the channels of a signal carry at its end, and what they measured over all of it."""
    reference, frames = Tone((997.0,)), round(case.seconds * RATE_HZ)
    x = case.signal().read(0, frames)
    if noise_from is not None:
        x[noise_from:, 0] = np.random.default_rng(1).normal(0.0, 0.01, frames - noise_from)
    analysis = Analysis(stream_format(RATE_HZ, 2, 48, reference), PIECE)
    row = analysis.add(reference, Limits(), case.bits)
    for start in range(0, frames, PIECE):
        stop = start + PIECE
        for low, high in (
            [(start, stop)] if hole is None else [(start, min(stop, hole[0])), (max(start, hole[1]), stop)]
        ):
            if low < high:
                analysis.timeline.write_run(row, low, x[low:high])
        analysis.advance(np.array([row]), np.array([stop]))
        analysis.take_events()
    measured = analysis.detector.signal(row)
    return analysis.detector.present(row, measured), measured


def test_a_steady_tone_is_now_what_it_was_all_along():
    now, whole = present(Case(seconds=3.0))
    for one, other in zip(now, whole, strict=True):
        assert one.frequency_hz == pytest.approx(other.frequency_hz, rel=1e-8)
        assert one.level_dbfs == pytest.approx(other.level_dbfs, abs=1e-4)
        assert one.residual_dbfs == pytest.approx(other.residual_dbfs, abs=0.2)
        assert one.effective_bits == other.effective_bits


def test_what_changed_three_seconds_ago_is_all_there_is_now():
    (now, _), (whole, _) = present(
        Case(("gain:at=3,db=-6,channel=1", "dc_offset:at=3,offset=0.01,channel=1"), seconds=6.0)
    )
    before = Case().level_dbfs
    assert now.level_dbfs == pytest.approx(before - 6.0, abs=0.01)
    assert now.dc_offset == pytest.approx(0.01, rel=0.01)
    assert whole.level_dbfs > before - 5.0


def test_harmonics_and_residual_are_those_of_now():
    (now, other), _ = present(Case(("distortion:at=3,harmonics_db=-40,channel=1",), seconds=6.0))
    assert now.thd_db == pytest.approx(-40.0, abs=0.1)
    assert now.thd_plus_n_db == pytest.approx(-40.0, abs=0.1)
    assert other.thd_plus_n_db < -80.0
    (over, _), _ = present(Case(("distortion:at=1,harmonics_db=-40,duration=1",), seconds=5.0))
    assert over.thd_plus_n_db < -80.0


def test_a_channel_without_a_tone_has_a_level_alone():
    (noisy, good), _ = present(Case(seconds=4.0), noise_from=100_000)
    assert noisy.level_dbfs == pytest.approx(20 * math.log10(0.01 * math.sqrt(2.0)), abs=0.5)
    assert noisy.frequency_hz is None
    assert noisy.residual_dbfs is None
    assert good.frequency_hz == pytest.approx(997.0)
    (silent, _), _ = present(Case(("silence:at=2",), seconds=4.0))
    assert (silent.level_dbfs, silent.frequency_hz, silent.dc_offset) == (None, None, 0.0)


def test_frames_that_are_missing_add_no_harmonics():
    (now, _), (whole, _) = present(Case(seconds=2.0), hole=(94_990, 95_100))
    assert now.thd_db < -100.0
    assert now.level_dbfs == pytest.approx(whole.level_dbfs, abs=1e-4)
