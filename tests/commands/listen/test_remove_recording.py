"""What is left of a copy when its recording is taken away."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from rtpverify.cli import app as cli

RATE_HZ = 48000


def run(*arguments):
    return CliRunner().invoke(cli.main, ["listen", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def programme():
    """Four seconds of band-limited noise, 24 bits."""
    random = np.random.default_rng(1)
    spectrum = np.zeros((2 * RATE_HZ + 1, 2), complex)
    spectrum[100:40_000] = random.normal(size=(39_900, 2)) + 1j * random.normal(size=(39_900, 2))
    audio = np.fft.irfft(spectrum, axis=0)
    return np.round(audio / np.abs(audio).max() * 0.7 * 2**23) / 2**23


def left_of(received, programme, tmp_path, subtype="PCM_24"):
    soundfile.write(tmp_path / "master.wav", programme, RATE_HZ, "PCM_24")
    soundfile.write(tmp_path / "copy.wav", received, RATE_HZ, subtype)
    outcome = run(tmp_path / "copy.wav", "--reference", tmp_path / "master.wav", "--out", tmp_path / "out.wav")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.startswith(f"without the recording {tmp_path / 'master.wav'}")
    return soundfile.read(tmp_path / "out.wav")[0]


def test_only_what_was_added_is_left_and_a_slip_is_followed(programme, tmp_path):
    copy = np.concatenate([programme[1000:80_000], programme[80_048:]])
    copy[40_000] += 0.0625
    left = left_of(copy, programme, tmp_path)
    assert np.flatnonzero(left.any(axis=1)).tolist() == [40_000]
    np.testing.assert_allclose(left[40_000], 0.0625, atol=1e-7)


def test_gain_and_polarity_are_taken_into_account(programme, tmp_path):
    copy = programme * [0.5, -0.25]
    copy[40_000] += 0.0625
    left = left_of(copy, programme, tmp_path, "DOUBLE")
    np.testing.assert_allclose(left[40_000], 0.0625, atol=1e-4)
    left[40_000] = 0
    assert np.abs(left).max() < 1e-4


def test_what_does_not_follow_it(programme, tmp_path):
    soundfile.write(tmp_path / "master.wav", programme, RATE_HZ, "PCM_24")
    other = np.random.default_rng(5).normal(0, 0.1, programme.shape)
    soundfile.write(tmp_path / "other.wav", other, RATE_HZ, "PCM_24")
    outcome = run(tmp_path / "other.wav", "--reference", tmp_path / "master.wav", "--out", tmp_path / "out.wav")
    assert outcome.exit_code == 2
    assert "other.wav: " in outcome.stderr
    assert not (tmp_path / "out.wav").exists()


def test_packets(write_capture, programme, tmp_path):
    soundfile.write(tmp_path / "master.wav", programme, RATE_HZ, "PCM_24")
    arguments = ["--encoding", "L24/48000/2", "--reference", tmp_path / "master.wav", "--out", tmp_path / "out.wav"]
    outcome = run(write_capture(seconds=0.2), *arguments)
    assert outcome.exit_code == 2
    assert "a recording can be subtracted from an audio file only" in outcome.stderr
