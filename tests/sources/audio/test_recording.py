"""Any stretch of a recording, in any order, as the whole file has it."""

import gc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtpverify.dsp.resample import resample
from rtpverify.errors import SourceError
from rtpverify.sources.audio.recording import open_recording

RATE_HZ = 48000


@pytest.fixture(scope="module")
def frames():
    return np.round(np.random.default_rng(1).uniform(-0.5, 0.5, (200000, 2)) * 2**15) / 2**15


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_stretches_in_any_order(tmp_path, frames, name):
    path = tmp_path / name
    soundfile.write(path, frames, RATE_HZ)
    whole, _ = soundfile.read(path, always_2d=True)
    audio = open_recording(path).at_rate(RATE_HZ)
    rng = np.random.default_rng(2)
    assert audio.frames == len(whole)
    for start in [150000, 0, 190000, *rng.integers(-5000, 205000, 20).tolist(), 0]:
        stop = start + int(rng.integers(1, 90000))
        wanted = np.zeros((stop - start, 2))
        first, last = max(start, 0), min(stop, len(whole))
        if first < last:
            wanted[first - start : last - start] = whole[first:last]
        # MP3 is decoded by FFmpeg here, by mpg123 there.
        np.testing.assert_allclose(audio.read(start, stop), wanted, rtol=0, atol=1e-5 if path.suffix == ".mp3" else 0)


def test_resampled_stretches_are_those_of_the_resampled_whole(tmp_path, frames):
    path = tmp_path / "a.wav"
    soundfile.write(path, frames, RATE_HZ, "PCM_16")
    audio = open_recording(path).at_rate(44100)
    whole = resample(frames, RATE_HZ, 44100)
    assert audio.frames == len(whole)
    assert audio.bandwidth < 0.5
    for start, stop in ((100, 1000), (120000, 170000), (29000, 61000)):
        np.testing.assert_allclose(audio.read(start, stop), whole[start:stop], atol=1e-6)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.m4a"])
def test_a_file_that_is_replaced_or_removed_is_read_on(tmp_path, frames, name):
    path, other = tmp_path / name, tmp_path / f"other-{name}"
    _write(path, frames)
    _write(other, -frames)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    recording = open_recording(path)
    audio = recording.at_rate(RATE_HZ)
    whole = audio.read(0, audio.frames).copy()
    assert recording == open_recording(path)
    other.replace(path)
    assert recording != open_recording(path)
    for _ in range(2):  # its blocks have left the cache by then
        np.testing.assert_array_equal(audio.read(0, audio.frames), whole)
        path.unlink(missing_ok=True)
    assert not audio.file.has_grown
    del recording, audio
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def _write(path, frames):
    if path.suffix != ".m4a":
        soundfile.write(path, frames, RATE_HZ, subtype="PCM_16")
        return
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        part = av.AudioFrame.from_ndarray(frames.T.astype(np.float32).copy(), format="fltp", layout="stereo")
        part.sample_rate = RATE_HZ
        container.mux([*stream.encode(part), *stream.encode(None)])


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"none\.wav: No such file"):
        open_recording(tmp_path / "none.wav")
