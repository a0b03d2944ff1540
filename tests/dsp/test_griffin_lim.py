"""Griffin-Lim against librosa's on the same magnitudes, and against what it must reach."""

import numpy as np
import pytest

from rtpverify.dsp.griffin_lim import griffin_lim, spectral_error_db
from rtpverify.dsp.spectrum import spectrogram
from rtpverify.errors import RequestError

RATE_HZ = 16000


def chords(seconds=1.0):
    time = np.arange(round(RATE_HZ * seconds)) / RATE_HZ
    tones = (0.2 * np.sin(2 * np.pi * (f + 20 * time) * time) for f in (220, 331, 557, 1411))
    return sum(tones) * np.minimum(1, 5 * np.abs(np.sin(2 * np.pi * time)))


def test_magnitudes_come_back():
    wanted = spectrogram(chords(), RATE_HZ, fft_frames=1024, hop_frames=256)
    made = griffin_lim(wanted.magnitude, fft_frames=1024, hop_frames=256, frames=RATE_HZ)
    assert made.frames.shape == (RATE_HZ, 1)
    assert made.error_db < -20
    again = spectrogram(made.frames, RATE_HZ, fft_frames=1024, hop_frames=256).magnitude
    energy = np.sum((again - wanted.magnitude) ** 2) / np.sum(wanted.magnitude**2)
    assert made.error_db == pytest.approx(10 * np.log10(energy))


def test_as_good_as_librosa():
    librosa = pytest.importorskip("librosa")
    wanted = spectrogram(chords(), RATE_HZ, fft_frames=1024, hop_frames=256)
    mine = griffin_lim(wanted.magnitude, fft_frames=1024, hop_frames=256, frames=RATE_HZ, iterations=32)
    scale = np.hanning(1025)[:-1].sum() / 2
    theirs = librosa.griffinlim(
        wanted.magnitude[0] * scale,
        n_iter=32,
        hop_length=256,
        n_fft=1024,
        length=RATE_HZ,
        pad_mode="constant",
        random_state=0,
    )
    assert mine.error_db < spectral_error_db(theirs[:, None], wanted.magnitude, 1024, 256) + 1.0


def test_the_same_seed_gives_the_same_audio():
    wanted = spectrogram(chords(0.2), RATE_HZ, fft_frames=512, hop_frames=128).magnitude
    first, second, third = (
        griffin_lim(wanted[0], fft_frames=512, hop_frames=128, iterations=4, seed=seed).frames for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_nothing_becomes_nothing():
    made = griffin_lim(np.zeros((2, 257, 9)), fft_frames=512, hop_frames=128, iterations=2)
    assert not made.frames.any()
    assert made.error_db is None


def test_bad_requests():
    with pytest.raises(RequestError, match="magnitude"):
        griffin_lim(np.zeros(5))
    with pytest.raises(RequestError, match="magnitude"):
        griffin_lim(np.full((1, 1025, 4), -1.0))
    with pytest.raises(RequestError, match="iterations: 0"):
        griffin_lim(np.zeros((1025, 4)), iterations=0)
    with pytest.raises(RequestError, match="hold no frame"):
        griffin_lim(np.zeros((1025, 1)))
