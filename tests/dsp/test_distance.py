"""The familiar distance against librosa and dtw-python."""

import numpy as np
import pytest
from dtw import dtw

from rtpverify.dsp.distance import mfcc_distance, mono

RATE_HZ = 48000


def music(seconds=3.0):
    """Return decaying notes, as a 16-bit recording holds them."""
    rng = np.random.default_rng(5)
    signal = 1e-3 * rng.standard_normal(int(seconds * RATE_HZ))
    for _ in range(round(8 * seconds)):
        start, frequency_hz = rng.integers(0, len(signal)), rng.uniform(100, 2000)
        time_s = np.arange(len(signal) - start) / RATE_HZ
        signal[start:] += 0.1 * np.exp(-6 * time_s) * np.sin(2 * np.pi * frequency_hz * time_s)
    return np.round(signal * 2**15) / 2**15


def damaged(signal):
    rng = np.random.default_rng(6)
    muted = signal.copy()
    muted[50_000:50_048] = 0.0
    tpdf = (rng.random(len(signal)) - rng.random(len(signal))) / 2**15
    return {
        "dropout of 1 ms": muted,
        "slip": np.delete(signal, slice(60_000, 60_048)),
        "inserted": np.insert(signal, 70_000, signal[60_000:64_800]),
        "gain": np.round(signal * 0.99 * 2**15) / 2**15,
        "late": np.concatenate([np.zeros(100), signal]),
        "dithered": np.round((signal + tpdf) * 2**15) / 2**15,
        "unrelated": rng.uniform(-0.1, 0.1, 100_000),
    }


SIGNAL = music()
DAMAGED = damaged(SIGNAL)


def test_equal_signals_are_at_zero():
    assert mfcc_distance(SIGNAL, SIGNAL.copy(), RATE_HZ) == 0.0


def test_inverted_polarity_weighs_nothing():
    assert mfcc_distance(SIGNAL, -SIGNAL, RATE_HZ) == 0.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", DAMAGED)
def test_distance_is_that_of_librosa_and_dtw_python(name, dtype):
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    reference, received = SIGNAL.astype(dtype), DAMAGED[name].astype(dtype)
    x, y = (librosa.feature.mfcc(y=signal, sr=RATE_HZ).T for signal in (reference, received))
    expected = dtw(x, y, distance_only=True).normalizedDistance
    tolerance = 1e-10 if dtype is np.float64 else 1e-7
    assert mfcc_distance(reference, received, RATE_HZ) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", DAMAGED)
def test_distance_of_long_signals_is_that_in_double_precision(name, monkeypatch):
    expected = mfcc_distance(SIGNAL, DAMAGED[name], RATE_HZ)
    monkeypatch.setattr("rtpverify.dsp.distance._SHORT_FRAMES", 0)
    assert mfcc_distance(SIGNAL, DAMAGED[name], RATE_HZ) == pytest.approx(expected, rel=1e-10)
    reference, received = SIGNAL.astype(np.float32), DAMAGED[name].astype(np.float32)
    assert mfcc_distance(reference, received, RATE_HZ) == pytest.approx(expected, rel=1e-6)


def test_signals_may_be_read_by_slices(monkeypatch):
    class Slices:
        def __init__(self, signal):
            self._signal = signal

        def __len__(self):
            return len(self._signal)

        def __getitem__(self, frames):
            assert isinstance(frames, slice)
            return self._signal[frames]

    expected = mfcc_distance(SIGNAL, DAMAGED["slip"], RATE_HZ)
    monkeypatch.setattr("rtpverify.dsp.distance._SHORT_FRAMES", 0)
    monkeypatch.setattr("rtpverify.dsp.mfcc.WINDOWS_KEPT", 0)
    monkeypatch.setattr("rtpverify.dsp.distance.WINDOWS_KEPT", 0)
    monkeypatch.setattr("rtpverify.dsp.dtw.EXACT_PAIRS", 0)
    found = mfcc_distance(Slices(SIGNAL), Slices(DAMAGED["slip"]), RATE_HZ)
    assert found == pytest.approx(expected, rel=1e-9)
    assert mfcc_distance(Slices(SIGNAL), Slices(SIGNAL.copy()), RATE_HZ) == 0.0


def test_an_empty_signal_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="without frames"):
        mfcc_distance(SIGNAL, SIGNAL[:0], RATE_HZ)


def test_mono_is_the_mean_of_the_channels():
    frames = np.array([[0.5, 0.25, 0.0], [1.0, -1.0, -0.75]])
    np.testing.assert_allclose(mono(frames), [0.25, -0.25])
    assert mono(frames).dtype == np.float32
    assert mono(frames[:, :1]).shape == (2,)
