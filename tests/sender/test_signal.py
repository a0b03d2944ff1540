import numpy as np
import pytest

from rtpverify.sender.signal import gaussian, quantise, uniform


def test_noise_depends_on_seed_and_frame_alone():
    whole = gaussian(5, 0, 20_000, 2)
    parts = np.concatenate([gaussian(5, start, 1000, 2) for start in range(0, 20_000, 1000)])
    assert (whole == parts).all()
    assert (gaussian(6, 0, 100, 2) != whole[:100]).all()
    assert np.std(whole) == pytest.approx(1.0, abs=0.02)
    assert abs(np.corrcoef(whole.T)[0, 1]) < 0.05


def test_uniform_spreads_evenly():
    values = uniform(1, 0, 50_000, 1)
    assert values.min() >= -0.5
    assert values.max() < 0.5
    assert np.var(values) == pytest.approx(1 / 12, rel=0.02)


def test_rounding_clips_at_the_ends_of_twos_complement():
    samples = np.array([[1.0, -1.0], [0.3, -2.0]])
    assert quantise(samples, 8).tolist() == [[127 / 128, -1.0], [38 / 128, -1.0]]


@pytest.mark.parametrize(("dither", "variance_lsb2"), [("none", 1 / 12), ("rpdf", 2 / 12), ("tpdf", 3 / 12)])
def test_noise_of_the_quantiser_is_the_textbook_one(dither, variance_lsb2):
    """Wannamaker et al., "A theory of nonsubtractive dither" (2000); the error averaged over a busy signal."""
    frames = np.arange(200_000)
    samples = 0.3 * np.sin(2 * np.pi * 0.0387 * frames)[:, None]
    error_lsb = (quantise(samples, 16, dither, seed=3) - samples) * 32768
    assert np.var(error_lsb) == pytest.approx(variance_lsb2, rel=0.02)
    assert (quantise(samples, 16, dither, seed=3) * 32768 % 1 == 0).all()
