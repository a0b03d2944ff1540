import numpy as np
import pytest
import soundfile

RATE_HZ = 48000


@pytest.fixture
def stereo_wav(tmp_path):
    """Left: 1 kHz at -6 dBFS with a dropout at 0.5 s; right: 100 Hz, then dither from 0.7 s on. One second."""
    time = np.arange(RATE_HZ) / RATE_HZ
    random = np.random.default_rng(1)
    left = 0.5 * np.sin(2 * np.pi * 1000 * time)
    left[24000:24480] = 0.0
    right = 0.25 * np.sin(2 * np.pi * 100 * time)
    right[33600:] = np.round(random.random(14400) - random.random(14400)) * 2.0**-15
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), RATE_HZ, "PCM_24")
    return path
