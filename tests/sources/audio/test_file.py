"""Audio files against samples that were written, and against files cut off at every kind of place."""

import itertools
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtpverify.errors import SourceError
from rtpverify.sources.audio.file import AudioFile, open_audio

LINEAR = [
    ("WAV", "PCM_U8", 8),
    ("WAV", "PCM_16", 16),
    ("WAV", "PCM_24", 24),
    ("WAV", "PCM_32", 32),
    ("RF64", "PCM_16", 16),
    ("RF64", "PCM_24", 24),
    ("W64", "PCM_24", 24),
    ("W64", "PCM_32", 32),
    ("AIFF", "PCM_S8", 8),
    ("AIFF", "PCM_16", 16),
    ("AIFF", "PCM_24", 24),
    ("FLAC", "PCM_S8", 8),
    ("FLAC", "PCM_16", 16),
    ("FLAC", "PCM_24", 24),
]


def integers(bits: int, frames: int = 5000, channels: int = 2) -> np.ndarray:
    """Return every kind of sample value, both ends of the range too, as integers of ``bits``."""
    values = np.random.default_rng(bits).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (frames, channels))
    values[0], values[1] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values[2], values[3] = -1, 1
    return values


def write(path: Path, values: np.ndarray, form: str, subtype: str, bits: int) -> Path:
    left_justified = (values << (32 - bits)).astype(np.int32)
    soundfile.write(path, left_justified, 48000, subtype=subtype, format=form)
    return path


def tone(path: Path, form: str, subtype: str, seconds: float = 0.5) -> Path:
    time = np.arange(round(48000 * seconds)) / 48000
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 997 * time), 48000, subtype=subtype, format=form)
    return path


def samples(audio: AudioFile, frames_per_block: int = 1024) -> np.ndarray:
    return np.concatenate(list(audio.blocks(frames_per_block)))


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        samples(open_audio(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# Values


@pytest.mark.parametrize(("form", "subtype", "bits"), LINEAR)
def test_integers_come_out_exact(tmp_path, form, subtype, bits):
    values = integers(bits)
    audio = open_audio(write(tmp_path / "file", values, form, subtype, bits))
    assert audio == AudioFile(tmp_path / "file", 48000, 2, 5000, f"L{bits}", bits)
    read = samples(audio)
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read * 2.0 ** (bits - 1), values)


def test_24_bits_written_byte_by_byte(tmp_path):
    values = [-(2**23), 2**23 - 1, -1, 0, 1, 0x123456]
    data = b"".join(value.to_bytes(3, "little", signed=True) for value in values)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, 96000, 288000, 3, 24)
    path = tmp_path / "file.wav"
    path.write_bytes(head + struct.pack("<4sI", b"data", len(data)) + data)
    audio = open_audio(path)
    assert (audio.sample_rate_hz, audio.channels, audio.encoding) == (96000, 1, "L24")
    assert samples(audio)[:, 0].tolist() == [value * 2.0**-23 for value in values]


@pytest.mark.parametrize(("subtype", "encoding"), [("FLOAT", "F32"), ("DOUBLE", "F64")])
def test_floats_come_out_as_they_are(tmp_path, subtype, encoding):
    dtype = np.float32 if subtype == "FLOAT" else np.float64
    values = np.random.default_rng(1).normal(0, 2, (3000, 3)).astype(dtype)
    soundfile.write(tmp_path / "file.wav", values, 44100, subtype=subtype)
    audio = open_audio(tmp_path / "file.wav")
    assert audio == AudioFile(tmp_path / "file.wav", 44100, 3, 3000, encoding, None)
    np.testing.assert_array_equal(samples(audio), values.astype(np.float64))


@pytest.mark.parametrize(
    ("subtype", "encoding", "largest", "smallest"), [("ULAW", "PCMU", 32124, 0), ("ALAW", "PCMA", 32256, 8)]
)
def test_g711_has_the_levels_of_its_tables(tmp_path, subtype, encoding, largest, smallest):
    ramp = np.arange(-32768, 32768, dtype=np.int16)
    soundfile.write(tmp_path / "file.wav", ramp, 8000, subtype=subtype)
    audio = open_audio(tmp_path / "file.wav")
    assert (audio.encoding, audio.bits) == (encoding, None)
    levels = np.unique(np.abs(samples(audio))) * 32768
    assert levels[-1] == largest
    assert levels[0] == smallest
    assert len(levels) == 128


@pytest.mark.parametrize(("form", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_lossy_codecs(tmp_path, form, subtype):
    audio = open_audio(tone(tmp_path / "file", form, subtype))
    assert (audio.frames, audio.channels, audio.bits) == (24000, 1, None)
    assert audio.encoding == {"MPEG_LAYER_III": "MP3"}.get(subtype, subtype)
    middle = samples(audio)[8000:16000, 0]
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("frames_per_block", [1000, 65536])
@pytest.mark.parametrize(("form", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_lossy_audio_is_the_same_however_it_is_cut(tmp_path, form, subtype, frames_per_block):
    """A steady tone takes few bits, and a decoder that was sent to a place has to read many packets before it."""
    whole = 0.5 * np.sin(2 * np.pi * 1000 / 48000 * np.arange(6 * 48000))
    soundfile.write(tmp_path / "file", whole, 48000, format=form, subtype=subtype)
    at_once, _ = soundfile.read(tmp_path / "file")
    found = samples(open_audio(tmp_path / "file"), frames_per_block)[:, 0]
    assert np.abs(found - at_once).max() < 2.0**-14


# Blocks


@pytest.mark.parametrize("frames_per_block", [1, 7, 1024, 4999, 5000, 5001, 1 << 20])
@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_24")])
def test_any_block_size_gives_the_same_frames(tmp_path, monkeypatch, form, subtype, frames_per_block):
    monkeypatch.setattr("rtpverify.sources.audio.sndfile._SAMPLES_PER_READ", 3000)
    bits = int(subtype.removeprefix("PCM_"))
    values = integers(bits)
    audio = open_audio(write(tmp_path / "file", values, form, subtype, bits))
    blocks = list(audio.blocks(frames_per_block))
    assert all(len(block) == frames_per_block for block in blocks[:-1])
    assert 0 < len(blocks[-1]) <= frames_per_block
    np.testing.assert_array_equal(np.concatenate(blocks) * 2.0 ** (bits - 1), values)


def test_every_iteration_starts_from_the_top(tmp_path):
    audio = open_audio(write(tmp_path / "file", integers(16), "WAV", "PCM_16", 16))
    unfinished = audio.blocks(100)
    next(unfinished)
    np.testing.assert_array_equal(samples(audio, 100), samples(audio, 300))
    unfinished.close()


# Names and refusals


@pytest.mark.parametrize("name", ["file.raw", "file.mp3", "file.pcap", "no-extension", "ümläut.wav"])
def test_the_name_does_not_matter(tmp_path, name):
    path = write(tmp_path / name, integers(16), "WAV", "PCM_16", 16)
    assert open_audio(path).encoding == "L16"
    assert open_audio(str(path)).frames == 5000


def test_what_is_no_audio_is_refused(tmp_path):
    assert refusal(tmp_path / "missing") == "No such file or directory"
    assert refusal(tmp_path) == "Is a directory"
    (tmp_path / "empty.wav").touch()
    assert refusal(tmp_path / "empty.wav") == "empty file"
    (tmp_path / "text.wav").write_text("no audio at all " * 100)
    assert refusal(tmp_path / "text.wav").startswith("not a readable audio file: Format not recognised.")
    soundfile.write(tmp_path / "zero.wav", np.empty((0, 2)), 48000)
    assert refusal(tmp_path / "zero.wav") == "holds no audio frames"


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "FLAC", "CAF", "AU"])
def test_a_file_that_was_cut_off_is_refused(tmp_path, form):
    path = write(tmp_path / "file", integers(16), form, "PCM_16", 16)
    content = path.read_bytes()
    assert samples(open_audio(path)).shape == (5000, 2)
    for size in (len(content) * 2 // 3, len(content) - 1000):
        path.write_bytes(content[:size])
        assert "cut off" in refusal(path) or (form == "CAF" and "malformed" in refusal(path))


@pytest.mark.parametrize(("form", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_a_compressed_file_that_was_cut_off_is_refused(tmp_path, form, subtype):
    path = tone(tmp_path / "file", form, subtype, seconds=3.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert refusal(path).startswith("cut off")


@pytest.mark.parametrize("unknown", [0xFFFFFFFF, 0x7FFFF000, 0x7FFF0000])
def test_a_length_that_means_unknown_is_no_cut(tmp_path, unknown):
    values = integers(16)
    path = write(tmp_path / "file.wav", values, "WAV", "PCM_16", 16)
    content = bytearray(path.read_bytes())
    assert content[36:40] == b"data"
    content[4:8] = content[40:44] = struct.pack("<I", unknown)
    path.write_bytes(content)
    np.testing.assert_array_equal(samples(open_audio(path)) * 32768, values)


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def ffmpeg(source: Path, path: Path, *options: str) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, *options, path], check=True)
    return path


def written_to_a_pipe(source: Path, form: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-i", source, "-f", form, "pipe:1"]
    path = source.with_name("file")
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path


@needs_ffmpeg
@pytest.mark.parametrize("form", ["wav", "flac"])
def test_a_file_written_to_a_pipe_is_read_to_its_end(tmp_path, form):
    source = tone(tmp_path / "source.wav", "WAV", "PCM_16")
    audio = open_audio(written_to_a_pipe(source, form))
    assert audio == AudioFile(tmp_path / "file", 48000, 1, 24000, "L16", 16)
    np.testing.assert_array_equal(samples(audio), samples(open_audio(source)))


@needs_ffmpeg
def test_a_length_that_is_not_stated_needs_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("rtpverify.sources.audio.libav.is_installed", lambda: False)
    path = written_to_a_pipe(tone(tmp_path / "source.wav", "WAV", "PCM_16"), "mp3")
    assert refusal(path) == ("does not state how many frames it holds; convert it to WAV or install rtpverify[mp4]")


# What libsndfile cannot read


@needs_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "encoding", "frames"),
    [("m4a", "AAC", 48000), ("wv", "WAVPACK", 48000), ("webm", "OPUS", 48000), ("mka", "VORBIS", None)],
)
def test_other_formats_by_libav(tmp_path, suffix, encoding, frames):
    pytest.importorskip("av", exc_type=ImportError)
    source, time = tmp_path / "source.wav", np.arange(48000) / 48000
    soundfile.write(source, np.sin(2 * np.pi * 997 * time)[:, None] * [0.5, 0.25], 48000, "PCM_16")
    path = ffmpeg(source, tmp_path / f"file.{suffix}").rename(tmp_path / "wrong-extension.wav")
    audio = open_audio(path)
    assert (audio.sample_rate_hz, audio.channels, audio.encoding, audio.channel_names) == (
        48000,
        2,
        encoding,
        ("L", "R"),
    )
    assert audio.frames == frames or frames is None
    blocks = list(audio.blocks(1000))
    assert {len(block) for block in blocks[:-1]} == {1000}
    read, original = np.concatenate(blocks), samples(open_audio(source))
    assert read.shape == (audio.frames, 2)
    middle = slice(10000, 30000)
    # In its place, too: the priming of the codec is left out.
    np.testing.assert_allclose(read[middle], original[middle], atol=1e-12 if suffix == "wv" else 0.04)


@needs_ffmpeg
def test_damaged_mp4_is_refused(tmp_path):
    pytest.importorskip("av", exc_type=ImportError)
    source = tone(tmp_path / "source.wav", "WAV", "PCM_16", seconds=2.0)
    path = ffmpeg(source, tmp_path / "file.m4a", "-movflags", "faststart")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert "cut off" in refusal(path)
    path.write_bytes(content[:100])
    assert refusal(path).startswith("cut off")


def test_mp4_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("rtpverify.sources.audio.libav.is_installed", lambda: False)
    (tmp_path / "file.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(2000))
    assert refusal(tmp_path / "file.m4a") == "is MP4; convert it to WAV or install rtpverify[mp4]"


# Files that others still write


def test_a_recording_that_goes_on_is_read_to_where_it_was(tmp_path):
    values = integers(16)
    path = write(tmp_path / "file.wav", values, "WAV", "PCM_16", 16)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    audio = open_audio(path)
    assert "states no length" in audio.warnings[0]
    assert not audio.has_grown
    with path.open("ab") as file:
        file.write(bytes(20000))
    assert audio.has_grown
    np.testing.assert_array_equal(samples(audio) * 32768, values)


def test_a_recording_whose_header_is_not_written_yet(tmp_path):
    path = write(tmp_path / "file.wav", integers(16), "WAV", "PCM_16", 16)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    path.write_bytes(content)
    assert "still being written, or its writer was stopped" in refusal(path)


def test_what_has_no_end_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "is a pipe, not a file: it has no end"
    assert refusal(Path("/dev/zero")) == "is a device, not a file: it has no end"


# Channels


@needs_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "layout", "names"),
    [
        ("wav", "5.1", "L R C LFE Ls Rs"),
        ("wav", "5.1(side)", "L R C LFE Ls Rs"),
        ("wav", "7.1", "L R C LFE Lrs Rrs Lss Rss"),
        ("wav", "mono", ""),
        ("flac", "5.1", "L R C LFE Ls Rs"),
        ("ogg", "5.1", "L C R Ls Rs LFE"),
        ("m4a", "5.1", "L R C LFE Ls Rs"),
    ],
)
def test_channels_are_called_what_they_are(tmp_path, suffix, layout, names):
    if suffix == "m4a":
        pytest.importorskip("av", exc_type=ImportError)
    at = {
        "L": 0.1,
        "R": 0.2,
        "C": 0.3,
        "LFE": 0.05,
        "Ls": 0.5,
        "Rs": 0.6,
        "Lrs": 0.5,
        "Rrs": 0.6,
        "Lss": 0.7,
        "Rss": 0.8,
    }
    order = {"mono": "L", "7.1": "L R C LFE Lrs Rrs Lss Rss"}.get(layout, "L R C LFE Ls Rs").split()
    waves = "|".join(f"{at[name]}*sin(2*PI*{60 if name == 'LFE' else 500}*t)" for name in order)
    path = tmp_path / f"file.{suffix}"
    source = ["-f", "lavfi", "-i", f"aevalsrc={waves}:c={layout}:s=48000:d=1"]
    subprocess.run(["ffmpeg", "-v", "error", *source, path], check=True)
    audio = open_audio(path)
    assert audio.channel_names == tuple(names.split())
    level = np.abs(samples(audio)[9600:38400]).max(axis=0)
    for name, peak in zip(audio.channel_names, level, strict=False):
        assert peak == pytest.approx(at[name], rel=0.2, abs=0.02), name


def test_a_mask_of_another_number_of_channels_names_none(tmp_path):
    form = struct.pack("<HHIIHH", 0xFFFE, 4, 48000, 384000, 8, 16) + struct.pack("<HHI", 22, 16, 0x3F)
    form += bytes.fromhex("0100000000001000800000aa00389b71")
    data = bytes(8 * 10)
    head = struct.pack("<4sI4s4sI", b"RIFF", 60 + len(data), b"WAVE", b"fmt ", 40) + form
    path = tmp_path / "file.wav"
    path.write_bytes(head + struct.pack("<4sI", b"data", len(data)) + data)
    assert open_audio(path).channel_names == ()


def test_mp3_with_a_picture_before_its_length(tmp_path):
    path = tone(tmp_path / "file.mp3", "MP3", "MPEG_LAYER_III")
    picture = bytes(20000)
    size = bytes([0, 20000 >> 14, 20000 >> 7 & 0x7F, 20000 & 0x7F])
    path.write_bytes(b"ID3\x04\x00\x00" + size + picture + path.read_bytes())
    assert open_audio(path).frames == 24000


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64"])
@pytest.mark.parametrize("channels", [1, 2, 7])
def test_samples_of_three_bytes_are_those_of_libsndfile(tmp_path, form, channels):
    words = np.random.default_rng(channels).integers(-(2**23), 2**23, (1001, channels)) << 8
    path = tmp_path / "a.wav"
    soundfile.write(path, words.astype(np.int32), 48000, "PCM_24", format=form)
    audio = open_audio(path)
    assert audio.encoding == "L24"
    for start, frames_per_block in ((0, 4096), (0, 100), (333, 1), (1000, 7)):
        blocks = list(itertools.islice(audio.blocks(frames_per_block, start=start), 20))
        found = np.concatenate(blocks)
        expected, _ = soundfile.read(path, start=start, dtype="float64", always_2d=True)
        assert (found == expected[: len(found)]).all()
        assert all(len(block) == frames_per_block for block in blocks[:-1])


def test_samples_of_three_bytes_that_go_while_they_are_read(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((1000, 2)), 48000, "PCM_24")
    audio = open_audio(path)
    os.truncate(path, path.stat().st_size - 6)
    with pytest.raises(SourceError, match=r"a\.wav"):
        list(audio.blocks(100))
