"""What is written to be heard, from audio, packets and spectra."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from rtpverify.cli import app as cli

RATE_HZ = 48000


def run(*arguments):
    return CliRunner().invoke(cli.main, ["listen", *map(str, arguments)], catch_exceptions=False)


def refused(*arguments):
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    [line] = outcome.stderr.splitlines()
    return line


def read(path):
    audio, rate_hz = soundfile.read(path, always_2d=True)
    assert rate_hz == RATE_HZ
    assert soundfile.info(path).subtype == "FLOAT"
    return audio


@pytest.fixture
def left_over():
    """What is hidden under the tones: a click and a dropout on the left, a second tone on the right."""
    rest = np.zeros((RATE_HZ, 2))
    rest[20000, 0] = 0.01
    rest[30000:, 1] = 0.001 * np.sin(2 * np.pi * 5000 * np.arange(18000) / RATE_HZ)
    return rest


@pytest.fixture
def audio(left_over):
    time = np.arange(RATE_HZ)[:, None] / RATE_HZ
    return 0.5 * np.sin(2 * np.pi * np.array([[997.0, 1499.0]]) * time) + left_over


@pytest.fixture
def wav(tmp_path, audio):
    soundfile.write(tmp_path / "tone.wav", audio, RATE_HZ, "PCM_24")
    return tmp_path / "tone.wav"


@pytest.mark.parametrize("reference", [[], ["--reference", "tone:997,1499"]])
def test_the_residual(wav, tmp_path, left_over, reference):
    outcome = run(wav, "--out", tmp_path / "out.wav", *reference)
    assert outcome.exit_code == 0
    np.testing.assert_allclose(read(tmp_path / "out.wav"), left_over, atol=1e-5)
    lines = outcome.stdout.splitlines()
    assert lines[0] == "without the tone: L 997.000 Hz, R 1499.000 Hz"
    assert lines[1].startswith("channel L: level ")
    assert "peak -40.00 dBFS" in lines[1]
    assert lines[3] == f"wrote 48,000 frames (1.000 s) to {tmp_path / 'out.wav'}"


def test_the_residual_made_loud(wav, tmp_path, left_over):
    outcome = run(wav, "--out", tmp_path / "out.wav", "--gain", "auto")
    heard = read(tmp_path / "out.wav")
    assert np.abs(heard).max() == pytest.approx(10 ** (-1 / 20), abs=1e-6)
    assert "made 39.00 dB louder" in outcome.stdout
    np.testing.assert_allclose(heard, left_over * 10 ** (39 / 20), atol=1e-3)
    run(wav, "--out", tmp_path / "loud.wav", "--gain", "20")
    np.testing.assert_allclose(read(tmp_path / "loud.wav"), left_over * 10, atol=1e-4)


def test_a_band_of_it_and_a_part(wav, tmp_path, audio):
    assert run(wav, "--out", tmp_path / "out.wav", "--band", "4000:6000").exit_code == 0
    heard = read(tmp_path / "out.wav")
    wanted = np.zeros(17000)
    wanted = 0.001 * np.sin(2 * np.pi * 5000 * np.arange(18000) / RATE_HZ)
    np.testing.assert_allclose(heard[32000:47000, 1], wanted[2000:17000], atol=2e-5)
    assert np.abs(heard[2000:18000, 1]).max() < 2e-5
    run(wav, "--out", tmp_path / "part.wav", "--reference", "none", "--start", "0.25", "--duration", "0.5")
    np.testing.assert_allclose(read(tmp_path / "part.wav"), audio[12000:36000], atol=2e-7)


def test_packets(write_capture, tmp_path):
    outcome = run(write_capture(lost=(700,)), "--encoding", "L24/48000/2", "--out", tmp_path / "out.wav")
    assert "warning: 48 of 96,000 frames never arrived and read as 0" in outcome.stdout
    heard = read(tmp_path / "out.wav")
    wanted = np.zeros(96000)
    wanted[33600:33648] = -0.5 * np.sin(2 * np.pi * 997 * np.arange(33600, 33648) / RATE_HZ)
    np.testing.assert_allclose(heard[:, 0], wanted, atol=1e-6)


class TestSpectra:
    @pytest.fixture
    def npz(self, wav, tmp_path):
        arguments = [
            "inspect",
            wav,
            "--npz",
            tmp_path / "out.npz",
            "--phase",
            "--show",
            "spectrogram",
            "--show",
            "mfcc",
        ]
        arguments += ["--show", "mel", "--duration", "0.2"]
        assert CliRunner().invoke(cli.main, [str(one) for one in arguments], catch_exceptions=False).exit_code == 0
        return tmp_path / "out.npz"

    def test_with_its_phase_the_sound_is_the_same(self, npz, tmp_path, audio):
        outcome = run(npz, "--out", tmp_path / "out.wav")
        np.testing.assert_allclose(read(tmp_path / "out.wav"), audio[:9600], atol=2e-7)
        assert outcome.stdout.startswith("made with its own phase, error of its spectra -3")

    def test_from_magnitudes(self, npz, tmp_path):
        outcome = run(npz, "--out", tmp_path / "out.wav", "--from", "spectrogram", "--iterations", "30")
        assert "phases found from its magnitudes" in outcome.stdout
        error_db = float(outcome.stdout.partition("error of its spectra ")[2].split()[0])
        assert error_db < -15
        level = np.sqrt(2 * np.mean(read(tmp_path / "out.wav")[2000:-2000] ** 2, axis=0))
        np.testing.assert_allclose(level, 0.5, rtol=0.1)

    @pytest.mark.parametrize("form", ["mel", "mfcc"])
    def test_from_mel_bands_and_cepstra(self, npz, tmp_path, form):
        pytest.importorskip("librosa")
        outcome = run(npz, "--out", tmp_path / "out.wav", "--from", form, "--iterations", "4")
        error_db = float(outcome.stdout.partition("error of its spectra ")[2].split()[0])
        assert error_db < (-10 if form == "mel" else -5)
        spectrum = np.abs(np.fft.rfft(read(tmp_path / "out.wav")[:, 1]))
        assert spectrum.argmax() * RATE_HZ / 9600 == pytest.approx(1499, abs=120)

    def test_what_it_does_not_hold(self, npz, wav, tmp_path):
        path = tmp_path / "levels.npz"
        arguments = ["inspect", str(wav), "--npz", str(path), "--show", "histogram"]
        assert CliRunner().invoke(cli.main, arguments, catch_exceptions=False).exit_code == 0
        assert "holds no spectrogram, mel or mfcc" in refused(path, "--out", tmp_path / "out.wav")
        assert "holds no mel" in refused(path, "--out", tmp_path / "out.wav", "--from", "mel")
        assert "spectra have no reference" in refused(npz, "--out", tmp_path / "out.wav", "--reference", "tone")
        np.savez(path, other=np.zeros(3))
        assert "not written by rtpverify inspect --npz" in refused(path, "--out", tmp_path / "out.wav")
        path.write_bytes(npz.read_bytes()[:-100])
        assert refused(path, "--out", tmp_path / "out.wav").startswith(f"rtpverify: {path}: ")

    def test_a_missing_librosa_is_told_with_its_extra(self, npz, tmp_path, monkeypatch):
        monkeypatch.setattr("rtpverify.dsp.mel_inversion.find_spec", lambda _name: None)
        line = refused(npz, "--out", tmp_path / "out.wav", "--from", "mel")
        assert line == f"rtpverify: {npz}: mel needs librosa: install rtpverify[mel]"


def test_bad_requests(wav, tmp_path):
    out = tmp_path / "out.wav"
    assert "has no tone of 500 Hz to subtract" in refused(wav, "--out", out, "--reference", "tone:500")
    assert "no band" in refused(wav, "--out", out, "--band", "5:2")
    assert "--from applies only to spectra" in refused(wav, "--out", out, "--from", "mel")
    assert "--start 5: not within" in refused(wav, "--out", out, "--start", "5")
    for option, value in (("--band", "5"), ("--gain", "loud")):
        assert run(wav, "--out", out, option, value).exit_code == 2
    out.write_text("mine")
    assert refused(wav, "--out", out) == f"rtpverify: --out {out}: already exists (use --force to overwrite)"
    assert out.read_text() == "mine"
    assert run(wav, "--out", out, "--force").exit_code == 0
    soundfile.write(tmp_path / "zero.wav", np.zeros((4800, 1)), RATE_HZ)
    assert "channel 1 has no tone to subtract" in refused(tmp_path / "zero.wav", "--out", tmp_path / "new.wav")
    assert not (tmp_path / "new.wav").exists()


def test_a_source_that_ends_too_early_leaves_no_file(tmp_path):
    random = np.random.default_rng(1)
    soundfile.write(tmp_path / "noise.flac", random.normal(0, 0.1, (200_000, 2)), RATE_HZ, "PCM_24")
    content = (tmp_path / "noise.flac").read_bytes()
    (tmp_path / "noise.flac").write_bytes(content[: len(content) // 2])
    line = refused(tmp_path / "noise.flac", "--reference", "none", "--out", tmp_path / "out.wav")
    assert "cut off" in line
    assert not (tmp_path / "out.wav").exists()
