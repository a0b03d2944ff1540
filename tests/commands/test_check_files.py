"""``check FILE --reference tone:F`` on real files of every format: is the source itself the sine it should be?"""

import json
import shutil
import subprocess

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from rtpverify.cli.app import main
from rtpverify.commands.check import check
from rtpverify.reference import Tone
from rtpverify.result import Verdict

RATE_HZ = 48000

EXACT = [
    ("wav", "PCM_U8"),
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "PCM_32"),
    ("wav", "FLOAT"),
    ("wav", "DOUBLE"),
    ("wav", "ALAW"),
    ("wav", "ULAW"),
    ("rf64", "PCM_24"),
    ("w64", "PCM_24"),
    ("aiff", "PCM_16"),
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
]
"""Formats that keep every sample as it was, or as far as their own quantiser goes."""
LOSSY = ["mp3", "ogg", "opus", "m4a"]


def tone(faulty, seconds=2.0):
    frame = np.arange(round(RATE_HZ * seconds))
    audio = 0.5 * np.sin(2 * np.pi * 440 * frame / RATE_HZ)[:, None] * [1.0, 0.5]
    if faulty:
        audio[70_000:70_960, 0] = 0.0
    return audio


def rounded(audio, subtype):
    """Return integers where the format has some: libsndfile turns floats into 8 bits half a step too low."""
    if not subtype.startswith("PCM"):
        return audio
    bits = int(subtype[-2:].lstrip("SU"))
    return (np.round(audio * 2 ** (bits - 1)).astype(np.int64) << (32 - bits)).astype(np.int32)


def judge(path, frequency_hz=440.0):
    return check(str(path), reference=Tone((frequency_hz,)))


@pytest.mark.parametrize(("form", "subtype"), EXACT)
def test_a_perfect_source_passes_and_a_faulty_one_does_not(tmp_path, form, subtype):
    path = tmp_path / "source"
    for faulty in (False, True):
        soundfile.write(path, rounded(tone(faulty), subtype), RATE_HZ, subtype, format=form.upper())
        result = judge(path)
        assert result.verdict is (Verdict.FAIL if faulty else Verdict.PASS)
        if faulty:
            found = [event for event in result.streams[0].events if event.kind == "dropout"]
            assert [(event.channel, event.start_frame, event.duration_frames) for event in found] == [(1, 70_000, 960)]


def test_a_source_of_another_frequency_does_not_pass(tmp_path):
    soundfile.write(tmp_path / "source.wav", tone(faulty=False), RATE_HZ, "PCM_24")
    assert judge(tmp_path / "source.wav", frequency_hz=441.0).verdict is Verdict.FAIL


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("suffix", LOSSY)
def test_a_lossy_copy_is_no_perfect_sine(tmp_path, suffix):
    if suffix == "m4a":
        pytest.importorskip("av", exc_type=ImportError)
    soundfile.write(tmp_path / "source.wav", tone(faulty=False, seconds=1.0), RATE_HZ, "PCM_24")
    path = tmp_path / f"copy.{suffix}"
    quality = ["-b:a", "256k"] if suffix != "ogg" else ["-c:a", "libvorbis", "-q:a", "8"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", tmp_path / "source.wav", *quality, path], check=True)
    result = judge(path)
    assert result.verdict is Verdict.FAIL
    measured = result.streams[0].signal
    assert [channel.level_dbfs for channel in measured] == pytest.approx([-6.02, -12.04], abs=0.5)
    assert [channel.frequency_hz for channel in measured] == pytest.approx([440, 440], abs=0.5)


def test_a_file_that_states_no_length_is_judged_with_a_warning(tmp_path):
    path = tmp_path / "source.wav"
    soundfile.write(path, tone(faulty=False), RATE_HZ, "PCM_16")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    result = judge(path)
    assert result.verdict is Verdict.PASS
    assert any("states no length" in warning for warning in result.streams[0].warnings)


@pytest.mark.parametrize("bits", [16, 20, 24])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floating_point_of_samples_that_were_rounded_is_judged_as_what_they_are(tmp_path, bits, subtype):
    """A short word is no fault: floating point promises none."""
    for used, faulty in ((bits, False), (12, False), (bits, True)):
        audio = np.round(tone(faulty) * 2 ** (used - 1)) / 2 ** (used - 1)
        soundfile.write(tmp_path / "file.wav", audio, RATE_HZ, subtype)
        result = judge(tmp_path / "file.wav")
        assert result.verdict is (Verdict.FAIL if faulty else Verdict.PASS), result.streams[0].events
        assert [signal.effective_bits for signal in result.streams[0].signal] == [used] * 2


def test_floating_point_with_noise_of_sixteen_bits_and_no_rounding_fails(tmp_path):
    noise = 2.0**-16 * np.random.default_rng(1).standard_normal((2 * RATE_HZ, 2))
    soundfile.write(tmp_path / "file.wav", tone(False) + noise, RATE_HZ, "FLOAT")
    [*events] = judge(tmp_path / "file.wav").streams[0].events
    assert {str(event.kind) for event in events} == {"noise"}


def test_what_listen_writes_of_a_stream_passes_as_the_stream_does(tmp_path):
    soundfile.write(tmp_path / "source.wav", rounded(tone(False), "PCM_16"), RATE_HZ, "PCM_16")
    source, heard = str(tmp_path / "source.wav"), str(tmp_path / "heard.wav")
    outcome = CliRunner().invoke(main, ["listen", source, "--reference", "none", "--out", heard])
    assert outcome.exit_code == 0
    for name in ("source.wav", "heard.wav"):
        assert judge(tmp_path / name).verdict is Verdict.PASS


def test_no_form_of_the_result_blames_the_sender_for_what_a_file_holds(tmp_path):
    soundfile.write(tmp_path / "file.wav", rounded(tone(True), "PCM_24"), RATE_HZ, "PCM_24")
    forms = {name: tmp_path / name for name in ("json", "junit", "html")}
    options = [item for name, path in forms.items() for item in (f"--{name}", str(path))]
    arguments = ["check", f"{tmp_path}/file.wav", "--reference", "tone:440", *options]
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 1
    [event] = json.loads(forms["json"].read_text())["streams"][0]["events"]
    assert (event["kind"], event["cause"]) == ("dropout", "unknown")
    for text in (outcome.stdout, *(path.read_text() for path in forms.values())):
        assert "unknown" in text
        assert "check a capture of the packets" in text
        assert "upstream" not in text.replace("--upstream", "").replace(".upstream", "")
