import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from rtpverify.errors import SourceError
from rtpverify.sender.recording import FileSignal


@pytest.fixture
def recording(tmp_path):
    samples = np.arange(-500, 500).reshape(-1, 2) * 2.0**-15
    path = tmp_path / "ramp.wav"
    soundfile.write(path, samples, 44100, subtype="PCM_16")
    return path, samples


def test_reads_any_stretch_and_silence_beyond(recording):
    path, samples = recording
    signal = FileSignal(path)
    assert (signal.sample_rate_hz, signal.channels, signal.frames) == (44100, 2, 500)
    assert (signal.read(100, 50) == samples[100:150]).all()
    assert (signal.read(-3, 10) == np.concatenate([np.zeros((3, 2)), samples[:7]])).all()
    assert (signal.read(495, 10) == np.concatenate([samples[495:], np.zeros((5, 2))])).all()
    assert (signal.read(10_000, 5) == 0).all()


def test_goes_round(recording):
    path, samples = recording
    signal = FileSignal(path, loop=True)
    assert signal.frames is None
    assert (signal.read(490, 1020) == np.concatenate([samples[490:], samples, samples, samples[:10]])).all()
    assert (signal.read(-10, 20) == np.concatenate([samples[490:], samples[:10]])).all()


def test_a_file_that_is_no_audio_or_empty_is_told(tmp_path):
    path = tmp_path / "x.wav"
    with pytest.raises(SourceError, match=r"x\.wav"):
        FileSignal(path)
    soundfile.write(path, np.zeros((0, 1)), 8000)
    with pytest.raises(SourceError, match=r"x\.wav: holds no audio"):
        FileSignal(path)


def test_the_name_does_not_matter(recording):
    path, samples = recording
    signal = FileSignal(path.rename(path.with_name("ramp.raw")))
    assert (signal.read(0, 500) == samples).all()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_what_only_pyav_can_read(recording):
    pytest.importorskip("av", exc_type=ImportError)
    path, samples = recording
    packed = path.with_suffix(".wv")
    subprocess.run(["ffmpeg", "-v", "error", "-i", path, packed], check=True)
    signal = FileSignal(packed, loop=True)
    assert (signal.read(490, 20) == np.concatenate([samples[490:], samples[:10]])).all()


def test_a_steady_tone_in_mp3_has_no_holes(tmp_path):
    path = tmp_path / "tone.mp3"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 1000 / 48000 * np.arange(3 * 48000)), 48000, format="MP3")
    expected, _ = soundfile.read(path, always_2d=True)
    signal = FileSignal(path, loop=True)
    packets = np.concatenate([signal.read(frame, 48) for frame in range(0, 2 * 144_000, 48)])
    assert np.abs(packets - np.concatenate([expected, expected])).max() < 2.0**-14
