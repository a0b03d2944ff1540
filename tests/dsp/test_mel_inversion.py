"""Sound from bands and from cepstra has those bands again, as nearly as its figure says."""

import numpy as np
import pytest

from rtpverify.dsp import mel_inversion
from rtpverify.dsp.mel_inversion import sound_of_bands, sound_of_cepstra
from rtpverify.dsp.mfcc import HOP_FRAMES, mel_filters, mfcc
from rtpverify.errors import RequestError

pytest.importorskip("librosa")
RATE_HZ = 22_050
FRAMES = 8 * HOP_FRAMES


def chord(channels=1):
    frame = np.arange(FRAMES)[:, None]
    pitches = np.array([220.0, 440.0, 1320.0, 3000.0]) * np.array([1.0, 1.25])[:channels, None]
    return 0.2 * sum(np.sin(2 * np.pi * pitches[:, number] * frame / RATE_HZ) for number in range(4))


def bands_db(audio):
    """Powers in mel bands, dB, shape (channels, bands, columns), by librosa."""
    import librosa

    return np.stack(
        [10 * np.log10(np.maximum(librosa.feature.melspectrogram(y=one, sr=RATE_HZ), 1e-10)) for one in audio.T]
    )


def test_the_filters_are_those_of_librosa():
    import librosa

    np.testing.assert_allclose(mel_filters(RATE_HZ), librosa.filters.mel(sr=RATE_HZ, n_fft=2048), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
def test_sound_of_bands_has_them_again(channels):
    audio = chord(channels)
    wanted = bands_db(audio)
    made = sound_of_bands(wanted, RATE_HZ, frames=FRAMES, iterations=8)
    assert made.frames.shape == (FRAMES, channels)
    assert made.error_db is not None
    assert made.error_db < -15.0
    found = bands_db(made.frames)
    loud = wanted > wanted.max() - 20
    assert np.median(np.abs(found - wanted)[loud]) < 2.0
    louder = sound_of_bands(wanted + 6.0, RATE_HZ, frames=FRAMES, iterations=8)
    ratio = np.sqrt((louder.frames**2).mean() / (made.frames**2).mean())
    assert ratio == pytest.approx(10 ** (6 / 20), rel=0.05)


def test_sound_of_cepstra_has_them_again():
    wanted = mfcc(chord()[:, 0], RATE_HZ)
    made = sound_of_cepstra(wanted.T[None], RATE_HZ, frames=FRAMES, iterations=8)
    assert made.frames.shape == (FRAMES, 1)
    assert made.error_db is not None
    assert made.error_db < -10.0
    found = mfcc(made.frames[:, 0], RATE_HZ)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98


def test_of_silence_no_error_can_be_measured():
    made = sound_of_bands(np.full((1, 128, 4), -np.inf), RATE_HZ, iterations=1)
    assert made.error_db is None
    assert not made.frames.any()


@pytest.mark.parametrize(
    ("make", "form"),
    [(lambda: sound_of_bands(np.zeros((1, 128, 2)), 8000), "mel"), (lambda: sound_of_cepstra([], 1), "mfcc")],
)
def test_without_librosa_it_is_said_what_to_install(monkeypatch, make, form):
    monkeypatch.setattr(mel_inversion, "find_spec", lambda _name: None)
    with pytest.raises(RequestError, match=rf"^{form} needs librosa: install rtpverify\[mel\]$"):
        make()
