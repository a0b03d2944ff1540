"""Spectra against their definition, against scipy's, and against the audio they came from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.spectrum import Spectrogram, Stft, inverse, spectrogram
from rtpverify.errors import RequestError

RATE_HZ = 48000


def noise(frames, channels=2, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (frames, channels))


def test_a_full_scale_sine_is_0_dbfs_in_its_bin():
    frequency_hz = 100 * RATE_HZ / 2048
    found = spectrogram(np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ), RATE_HZ)
    middle = found.dbfs[0, :, 40]
    assert middle.argmax() == 100
    assert found.frequencies_hz[100] == frequency_hz
    assert middle[100] == pytest.approx(0, abs=1e-9)
    assert middle[[99, 101]] == pytest.approx(20 * np.log10(0.5), abs=1e-9)
    assert middle[110:].max() < -200 + 1e-9  # a periodic sine in a periodic window


def test_a_click_stands_in_its_column():
    audio = np.zeros(20000)
    audio[512 * 20] = 1.0
    found = spectrogram(audio, RATE_HZ)
    assert found.values.shape == (1, 1025, 1 + 20000 // 512)
    assert found.magnitude[0].sum(axis=0).argmax() == 20
    assert found.times_seconds[20] == pytest.approx(512 * 20 / RATE_HZ)


def test_like_scipy():
    import scipy.signal

    audio = noise(9000, 1)[:, 0]
    window = scipy.signal.get_window("hann", 1024)
    oracle = scipy.signal.ShortTimeFFT(window, 256, RATE_HZ, phase_shift=None)
    wanted = oracle.stft(audio, p0=0, p1=1 + 9000 // 256) * 2 / window.sum()
    np.testing.assert_allclose(
        spectrogram(audio, RATE_HZ, fft_frames=1024, hop_frames=256).values[0], wanted, atol=1e-14
    )


@settings(max_examples=20, derandomize=True)
@given(
    frames=st.integers(1, 5000),
    size=st.sampled_from([16, 256, 1024, 1000]),
    part=st.sampled_from([2, 3, 4]),
    channels=st.integers(1, 3),
)
def test_the_inverse_is_exact(frames, size, part, channels):
    audio = noise(frames, channels, frames)
    found = spectrogram(audio, RATE_HZ, fft_frames=size, hop_frames=size // part)
    np.testing.assert_allclose(found.inverse(), audio, atol=1e-12)


@settings(max_examples=20, derandomize=True)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6))
def test_the_cut_into_blocks_changes_nothing(lengths):
    audio = noise(max(1, sum(lengths)))
    stft = Stft(2, 1024, 300)
    parts = [part for block in np.split(audio, np.cumsum(lengths)) for part in stft.add(block)] + [*stft.finish()]
    whole = spectrogram(audio, RATE_HZ, fft_frames=1024, hop_frames=300).values
    np.testing.assert_allclose(np.concatenate(parts).transpose(1, 2, 0), whole, rtol=0, atol=1e-14)


def test_bad_requests():
    audio = noise(1000)
    for options, words in (
        ({"fft_frames": 8}, "fft_frames: 8"),
        ({"fft_frames": 1023}, "fft_frames: 1023"),
        ({"hop_frames": 0}, "hop_frames: 0"),
        ({"fft_frames": 1024, "hop_frames": 513}, "hop_frames: 513 .* half of fft_frames"),
    ):
        with pytest.raises(RequestError, match=words):
            spectrogram(audio, RATE_HZ, **options)
    with pytest.raises(RequestError, match="5 bins are not those of fft_frames 2048"):
        inverse(np.zeros((1, 5, 3), np.complex128), 2048, 512)
    with pytest.raises(RequestError, match="more than 3 columns reach"):
        inverse(np.zeros((1, 1025, 3), np.complex128), 2048, 512, 10_000)


def test_results_are_frozen():
    found = spectrogram(noise(100), RATE_HZ)
    assert isinstance(found, Spectrogram)
    with pytest.raises(AttributeError):
        found.frames = 1
