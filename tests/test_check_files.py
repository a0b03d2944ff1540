"""``check FILE --reference tone:F`` on real files of every format: is the source itself the sine it should be?"""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from rtpverify.check import check
from rtpverify.limits import PROFILES, with_values
from rtpverify.reference import Tone
from rtpverify.result import Verdict

RATE_HZ = 48000
GOOD = with_values(
    PROFILES["digital"], {"max_thd_n_db": -30.0, "max_level_change_db": 0.5, "max_dc_offset": 0.01}, "test"
)
"""What a tone that went through a lossy codec holds, and one with a fault does not."""

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


def tone(faulty, seconds=3.0):
    frame = np.arange(round(RATE_HZ * seconds))
    audio = 0.5 * np.sin(2 * np.pi * 440 * frame / RATE_HZ)[:, None] * [1.0, 0.5]
    if faulty:
        audio[70_000:70_960, 0] = 0.0
    return audio


def judge(path, limits=PROFILES["digital"], frequency_hz=440.0):
    return check(str(path), reference=Tone((frequency_hz,)), limits=limits)


@pytest.mark.parametrize(("form", "subtype"), EXACT)
def test_a_perfect_source_passes_and_a_faulty_one_does_not(tmp_path, form, subtype):
    path = tmp_path / "source"
    for faulty in (False, True):
        soundfile.write(path, tone(faulty), RATE_HZ, subtype, format=form.upper())
        result = judge(path)
        assert result.verdict is (Verdict.FAIL if faulty else Verdict.PASS)
        if faulty:
            found = [event for event in result.streams[0].events if event.kind == "dropout"]
            assert [(event.channel, event.start_frame, event.duration_frames) for event in found] == [(1, 70_000, 960)]
    assert judge(path, frequency_hz=441.0).verdict is Verdict.FAIL


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("suffix", LOSSY)
def test_a_lossy_copy_is_no_perfect_sine_but_may_be_a_good_one(tmp_path, suffix):
    if suffix == "m4a":
        pytest.importorskip("av", exc_type=ImportError)
    for faulty in (False, True):
        soundfile.write(tmp_path / "source.wav", tone(faulty), RATE_HZ, "PCM_24")
        path = tmp_path / f"copy.{suffix}"
        quality = ["-b:a", "256k"] if suffix != "ogg" else ["-c:a", "libvorbis", "-q:a", "8"]
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", tmp_path / "source.wav", *quality, path], check=True)
        assert judge(path).verdict is Verdict.FAIL
        levels = [channel.level_dbfs for channel in judge(path, GOOD).streams[0].signal]
        assert levels == pytest.approx([-6.02, -12.04], abs=0.2)
        assert judge(path, GOOD).verdict is (Verdict.FAIL if faulty else Verdict.PASS)


def test_a_file_that_states_no_length_is_judged_with_a_warning(tmp_path):
    path = tmp_path / "source.wav"
    soundfile.write(path, tone(faulty=False), RATE_HZ, "PCM_16")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    result = judge(path)
    assert result.verdict is Verdict.PASS
    assert "states no length" in result.streams[0].warnings[0]
