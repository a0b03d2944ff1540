import numpy as np
import pytest
import soundfile


@pytest.fixture
def tone_wav(tmp_path):
    path = tmp_path / "tone.wav"
    tone = 0.5 * np.sin(2 * np.pi * 997 * np.arange(96000) / 48000)
    soundfile.write(path, np.stack([tone, tone], axis=1), 48000, "PCM_24")
    return path
