"""Figures of the steady part: right, and as exact as the Cramér–Rao bounds allow."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.limits import Limits
from rtpverify.reference import Tone
from tests.helpers.corpus import Case, verify
from tests.helpers.seeds import generator

RATE_HZ = 8000


def test_frequency_level_and_offset_reach_their_bounds():
    """64 channels are as many trials; the bounds are those of all frames together."""
    rng = np.random.default_rng(generator("figures").randrange(2**32))
    amplitude, sigma, dc, hz, frames, channels = 0.5, 0.005, 1e-3, 997.0, 2 * RATE_HZ, 64
    limits = Limits(max_thd_n_db=-20.0, max_dc_offset=0.1)
    clean = amplitude * np.sin(2 * math.pi * hz / RATE_HZ * np.arange(frames) + 0.3) + dc
    found = []
    for _ in range(5):
        x = clean[:, None] + sigma * rng.standard_normal((frames, channels))
        verifier = FrameVerifier(Tone((hz,)), limits, RATE_HZ, channels, "F32", None)
        result = verify(verifier, x)
        assert not result.events
        found += [(signal.frequency_hz, signal.level_dbfs, signal.dc_offset) for signal in result.signal]
    error = np.array(found) - [hz, 20 * math.log10(math.sqrt(amplitude**2 + 2 * sigma**2)), dc]
    rms = np.sqrt(np.mean(error**2, axis=0))
    bounds = [
        math.sqrt(24 / frames**3) * sigma / amplitude * RATE_HZ / (2 * math.pi),
        20 / math.log(10) * math.sqrt(2 / frames) * sigma / amplitude,
        sigma / math.sqrt(frames),
    ]
    for name, value, bound in zip(("frequency", "level", "offset"), rms, bounds, strict=True):
        assert 0.8 < value / bound < 1.2, name


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_thd_n_of_a_full_scale_tone_is_the_limit_of_the_quantiser(bits, rate_hz):
    case = Case(bits=bits, rate_hz=rate_hz, level_dbfs=-0.001, channels=1, frequencies_hz=(1283.0,), seconds=2.0)
    signal = case.run().signal[0]
    theory_db = -(6.0206 * bits + 1.7609) + 0.001
    assert signal.thd_plus_n_db == pytest.approx(theory_db, abs=0.2)
    assert signal.residual_dbfs == pytest.approx(theory_db - 0.001, abs=0.2)
    assert signal.level_dbfs == pytest.approx(-0.001, abs=1e-4)
    assert signal.effective_bits == bits


@pytest.mark.parametrize("level_db", [-40.0, -60.0, -80.0])
def test_thd_is_that_of_the_harmonics(level_db):
    case = Case((f"distortion:at=0,harmonics_db={level_db}/{level_db}",), bits=24, dither="tpdf", seconds=2.0)
    for signal in case.run().signal:
        assert signal.thd_db == pytest.approx(level_db + 3.01, abs=0.1)
        assert signal.thd_plus_n_db == pytest.approx(level_db + 3.01, abs=0.1)


def test_thd_is_not_noise():
    case = Case(noise_dbfs=-60.0, seconds=3.0)
    signal = case.run().signal[0]
    assert signal.thd_plus_n_db == pytest.approx(-54.0, abs=0.2)
    assert signal.thd_db < -75.0


@pytest.mark.parametrize("ppm", [-1.5, 0.0, 1.5])
def test_the_error_of_the_frequency(ppm):
    case = Case((f"frequency:at=0,ppm={ppm}",) if ppm else (), bits=24, seconds=2.0)
    result = case.run()
    assert not result.events
    assert result.signal[0].frequency_error_ppm == pytest.approx(ppm, abs=0.01)


def test_a_fault_does_not_enter_the_figures():
    clean = Case(bits=24, dither="tpdf", seconds=3.0)
    damaged = replace(clean, faults=("dropout:at=1.2,frames=900", "slip:at=1.8,frames=777"))
    for one, other in zip(clean.run().signal, damaged.run().signal, strict=True):
        assert other.frequency_hz == pytest.approx(one.frequency_hz, rel=1e-8)
        assert other.level_dbfs == pytest.approx(one.level_dbfs, abs=1e-5)
        assert other.residual_dbfs == pytest.approx(one.residual_dbfs, abs=0.1)


def test_channels_are_measured_apart():
    case = Case(channels=3, frequencies_hz=(997.0, 1499.0, 3001.0), seconds=1.5)
    assert [signal.frequency_hz for signal in case.run().signal] == pytest.approx([997.0, 1499.0, 3001.0])
    assert [signal.channel for signal in case.run().signal] == [1, 2, 3]
