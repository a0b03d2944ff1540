"""The familiar distance against librosa and dtw-python."""

import numpy as np
import pytest

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


@pytest.fixture(params=["dtw-python's warping", "our own"])
def warping(request, monkeypatch):
    if request.param == "our own":
        monkeypatch.setattr("rtpverify.dsp.distance._SHORT_FRAMES", 0)


def librosas(reference, received):
    from dtw import dtw

    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    x, y = (librosa.feature.mfcc(y=signal, sr=RATE_HZ).T for signal in (reference, received))
    return dtw(x, y, distance_only=True).normalizedDistance


@pytest.mark.usefixtures("warping")
@pytest.mark.parametrize("name", DAMAGED)
def test_distance_is_that_of_librosa_and_dtw_python(name):
    expected = librosas(SIGNAL, DAMAGED[name])
    assert mfcc_distance(SIGNAL, DAMAGED[name], RATE_HZ) == pytest.approx(expected, rel=1e-10)


@pytest.mark.usefixtures("warping")
@pytest.mark.parametrize("name", DAMAGED)
def test_distance_of_files_in_single_precision_is_at_least_as_exact(name):
    """librosa computes in the precision of what it loaded, how exactly is for its processor to say."""
    reference, received = SIGNAL.astype(np.float32), DAMAGED[name].astype(np.float32)
    exact = librosas(reference.astype(np.float64), received.astype(np.float64))
    found, of_librosa = mfcc_distance(reference, received, RATE_HZ), librosas(reference, received)
    assert found == pytest.approx(exact, rel=1e-10)
    assert of_librosa == pytest.approx(exact, rel=1e-5), "what the documentation says of a script's number"


def test_distance_of_nearly_equal_files_is_as_exact():
    """One bit of 24 in 480 frames: what single precision rounds away would be a good part of that."""
    reference = SIGNAL.astype(np.float32)
    received = reference.copy()
    received[50_000:50_480] += 2.0**-23 * np.random.default_rng(7).integers(-1, 2, 480).astype(np.float32)
    exact = librosas(reference.astype(np.float64), received.astype(np.float64))
    assert mfcc_distance(reference, received, RATE_HZ) == pytest.approx(exact, rel=1e-5)


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
