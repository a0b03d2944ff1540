"""Cepstra against librosa, and against what they must be."""

import itertools
import math

import numpy as np
import pytest

from rtpverify.dsp.mfcc import Cepstra, mel_filters, mfcc

RATES_HZ = (8000, 22050, 44100, 48000, 96000)


def material(frames, rate_hz=48000, seed=0):
    """Return tones that come and go over noise, with a stretch of silence."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(frames) / rate_hz
    signal = 1e-4 * rng.standard_normal(frames)
    for _ in range(6):
        signal += 0.1 * np.sin(2 * np.pi * rng.uniform(80, 3000) * time_s) * (np.sin(rng.uniform(3, 20) * time_s) > 0)
    signal[frames // 2 : frames // 2 + frames // 10] = 0.0
    return signal


def in_double_precision(signal, rate_hz):
    """Return the coefficients by their definition, step by step, with scipy's transforms."""
    import scipy.fft
    import scipy.signal

    padded = np.pad(np.asarray(signal, dtype=np.float64), 1024)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2048)[::512] * scipy.signal.get_window("hann", 2048)
    power = np.abs(scipy.fft.rfft(windows, axis=1)) ** 2
    levels_db = 10.0 * np.log10(np.maximum(power @ mel_filters(rate_hz).T.astype(np.float64), 1e-10))
    return scipy.fft.dct(np.maximum(levels_db, levels_db.max() - 80.0), axis=1, norm="ortho")[:, :20]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_filters_have_area_one_and_overlap_in_pairs(rate_hz):
    filters = mel_filters(rate_hz).astype(float)
    assert filters.shape == (128, 1025)
    wide = np.count_nonzero(filters, axis=1) > 12
    areas = filters[wide].sum(axis=1) * rate_hz / 2048
    np.testing.assert_allclose(areas, 1.0, atol=0.05)
    assert np.count_nonzero(filters, axis=0).max() <= 2


def test_loudest_first_coefficient_of_silence():
    """All bands at -100 dB: the first cosine is the only one that sees a constant."""
    coefficients = mfcc(np.zeros(3000), 48000)
    assert coefficients.shape == (6, 20)
    np.testing.assert_allclose(coefficients[:, 0], -100.0 * math.sqrt(128))
    np.testing.assert_allclose(coefficients[:, 1:], 0.0, atol=1e-10)


@pytest.mark.parametrize("cuts", [(0, 1, 2, 7, 90), (0, 40, 50, 90), (0, 90)])
def test_slices_are_those_of_the_whole(cuts, monkeypatch):
    signal = material(89 * 512 + 100)
    whole = mfcc(signal, 48000)
    monkeypatch.setattr("rtpverify.dsp.mfcc.WINDOWS_KEPT", 0)
    monkeypatch.setattr("rtpverify.dsp.mfcc._WINDOWS_READ", 16)
    cepstra = Cepstra(signal, 48000)
    assert len(cepstra) == 90
    for first, stop in itertools.pairwise(cuts):
        start = max(first - 5, 0)
        np.testing.assert_allclose(cepstra[start:stop], whole[start:stop], rtol=0, atol=1e-9)
    np.testing.assert_allclose(cepstra[3:9], whole[3:9], rtol=0, atol=1e-9)


class TestAgainstLibrosa:
    @pytest.fixture
    def librosa(self):
        return pytest.importorskip("librosa", reason="librosa is not installed")

    @pytest.mark.filterwarnings("ignore:Empty filters")
    @pytest.mark.parametrize("rate_hz", RATES_HZ)
    def test_filters(self, librosa, rate_hz):
        expected = librosa.filters.mel(sr=rate_hz, n_fft=2048)
        np.testing.assert_allclose(mel_filters(rate_hz), expected, rtol=2 * np.finfo(np.float32).eps)

    @pytest.mark.filterwarnings("ignore:n_fft=2048 is too large", "ignore:Empty filters")
    @pytest.mark.parametrize("frames", [1, 511, 512, 1024, 2047, 2048, 5000, 30_000])
    @pytest.mark.parametrize("rate_hz", [8000, 48000])
    def test_coefficients(self, librosa, frames, rate_hz):
        signal = material(frames, rate_hz)
        expected = librosa.feature.mfcc(y=signal, sr=rate_hz).T
        np.testing.assert_allclose(mfcc(signal, rate_hz), expected, rtol=0, atol=1e-9)

    @pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
    @pytest.mark.parametrize("frames", [512, 5000, 30_000, 200_000])
    def test_of_a_file_in_single_precision_are_at_least_as_exact(self, librosa, frames):
        """librosa computes in the precision of what it loaded, how exactly is for its processor to say."""
        signal = material(frames).astype(np.float32)
        exact = in_double_precision(signal, 48000)
        np.testing.assert_allclose(mfcc(signal, 48000), exact, rtol=0, atol=1e-9)
        librosas = librosa.feature.mfcc(y=signal, sr=48000).T
        assert np.abs(mfcc(signal, 48000) - exact).max() < np.abs(librosas - exact).max() < 1e-2
