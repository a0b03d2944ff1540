"""What a container says of its audio: whole or cut off, its length, its word length, where its form changes."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.errors import SourceError
from rtpverify.sources.audio.file import AudioFile, open_audio
from tests.helpers.audiofiles import (
    box,
    ffmpeg,
    flac_total,
    little_endian,
    needs_ffmpeg,
    needs_libav,
    sine,
    tagged,
    wave_file,
)


def samples(audio: AudioFile) -> np.ndarray:
    return np.concatenate(list(audio.blocks(1000)))


def refusal(path) -> str:
    with pytest.raises(SourceError) as caught:
        samples(open_audio(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# Cut off anywhere

BY_SNDFILE = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAVEX", "PCM_24"),
    ("WAV", "ULAW"),
    ("RF64", "PCM_24"),
    ("W64", "PCM_24"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
]
BY_FFMPEG = {
    "m4a": ("-c:a", "aac"),
    "faststart.m4a": ("-c:a", "aac", "-movflags", "faststart"),
    "alac.m4a": ("-c:a", "alac", "-movflags", "faststart"),
    "mka": ("-c:a", "flac"),
    "flac.oga": ("-c:a", "flac", "-f", "ogg"),
    "spx": ("-c:a", "libspeex", "-ar", "16000"),
    "mp3": ("-c:a", "libmp3lame", "-id3v2_version", "0"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Callable[..., bytes]:
    folder = tmp_path_factory.mktemp("whole")
    made = {}

    def content(kind) -> bytes:
        if kind not in made:
            path = folder / str(len(made))
            if isinstance(kind, tuple):
                sine(path, *kind, channels=2)
            else:
                path = ffmpeg(folder / f"{len(made)}.{kind}", *BY_FFMPEG[kind], channels=2)
            made[kind] = path.read_bytes()
        return made[kind]

    return content


def check_cuts(kind, whole, tmp_path, cuts) -> None:
    content = whole(kind)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert open_audio(path).frames > 0
    for cut in cuts:
        path.write_bytes(content[: 1 + int(cut * (len(content) - 2))])
        assert refusal(path)


LAST_BYTES = st.lists(st.floats(0, 1), min_size=4, max_size=4).map(lambda cuts: [*cuts, 1.0])


@pytest.mark.parametrize("kind", BY_SNDFILE, ids="-".join)
@given(cuts=LAST_BYTES)
@settings(max_examples=5, deadline=None)
def test_a_file_that_was_cut_off_anywhere_is_refused(kind, cuts, whole, tmp_path_factory):
    check_cuts(kind, whole, tmp_path_factory.mktemp("cut"), cuts)


@needs_ffmpeg
@pytest.mark.parametrize("kind", BY_FFMPEG)
@given(cuts=LAST_BYTES)
@settings(max_examples=3, deadline=None)
def test_a_file_for_libav_that_was_cut_off_anywhere_is_refused(kind, cuts, whole, tmp_path_factory):
    needs_libav()
    check_cuts(kind, whole, tmp_path_factory.mktemp("cut"), cuts)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_cut_between_pages_is_refused(tmp_path, subtype):
    path = sine(tmp_path / "file", "OGG", subtype, seconds=30.0)
    content = path.read_bytes()
    last = content.rindex(b"OggS")
    path.write_bytes(content[:last])
    assert refusal(path) == "cut off: no page says that it is the last of the stream"
    middle = content.rindex(b"OggS", 0, last)
    path.write_bytes(content[:middle] + content[last:])
    assert "is missing before byte" in refusal(path)


def test_an_ogg_page_that_was_altered_is_damage(tmp_path):
    path = sine(tmp_path / "file", "OGG", "VORBIS")
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert "checksum" in refusal(path)
    assert f"byte {bytes(content).rindex(b'OggS')}" in refusal(path)


def test_filling_between_ogg_pages_is_none(tmp_path):
    path = sine(tmp_path / "file", "OGG", "VORBIS")
    content = path.read_bytes()
    second = content.index(b"OggS", 4)
    path.write_bytes(content[:second] + bytes(70000) + content[second:] + bytes(100))
    assert open_audio(path).frames == 24000


def test_what_follows_the_audio_may_be_cut(tmp_path):
    """The audio is whole then, and judged; that something is missing is said."""
    path = tmp_path / "file.wav"
    content = wave_file(bytes(2000), bits=16, sample_bytes=2)
    path.write_bytes(content + b"LIST" + struct.pack("<I", 100) + bytes(60))
    audio = open_audio(path)
    assert audio.frames == 1000
    assert audio.warnings == ("cut off after the audio: 40 bytes of its chunk LIST are missing",)


def test_a_matroska_file_that_states_no_length_is_read(tmp_path):
    needs_libav()
    if not needs_ffmpeg.args[0]:
        path = ffmpeg(tmp_path / "file.mka", "-c:a", "flac", "-live", "1")
        assert open_audio(path).frames == 48000


# Length and start


@needs_ffmpeg
def test_an_itunes_tag_says_where_the_audio_is(tmp_path):
    """Without an edit list FFmpeg leaves the priming out, and counts it still."""
    needs_libav()
    path = ffmpeg(tmp_path / "file.m4a", "-c:a", "aac", "-use_editlist", "0", "-f", "ipod", rate_hz=44100)
    untagged = samples(open_audio(path))
    path.write_bytes(tagged(path.read_bytes(), 1024, 956, 44100))
    audio = open_audio(path)
    assert (audio.frames, audio.warnings) == (44100, ())
    np.testing.assert_allclose(samples(audio), untagged[1024 : 1024 + 44100], atol=1e-6)
    path.write_bytes(tagged(path.read_bytes(), 2112, 892, 43000))
    assert open_audio(path).frames == 43000


@needs_ffmpeg
def test_without_a_tag_everything_that_is_decoded_is_read(tmp_path):
    needs_libav()
    path = ffmpeg(tmp_path / "file.m4a", "-c:a", "aac", "-use_editlist", "0", "-f", "ipod")
    audio = open_audio(path)
    assert audio.frames == len(samples(audio)) >= 48000
    assert audio.warnings == ()


@needs_ffmpeg
def test_tags_in_any_characters_are_read(tmp_path):
    needs_libav()
    path = ffmpeg(tmp_path / "file.m4a", "-c:a", "aac", "-metadata", "title=Caf@ au lait")
    content = path.read_bytes()
    assert b"Caf@" in content
    path.write_bytes(content.replace(b"Caf@", b"Caf\xe9"))
    assert samples(open_audio(path)).shape == (48000, 1)


@needs_ffmpeg
def test_mp3_in_wav_is_read_to_its_end(tmp_path):
    needs_libav()
    audio = open_audio(ffmpeg(tmp_path / "file.wav", "-c:a", "libmp3lame"))
    assert (audio.encoding, audio.frames == len(samples(audio)) >= 48000) == ("MP3", True)


@pytest.mark.parametrize("stated", [0, 100, 23999])
def test_flac_that_states_too_little_is_read_whole(tmp_path, stated):
    path = sine(tmp_path / "file.flac", "FLAC", "PCM_16")
    original = samples(open_audio(path))
    path.write_bytes(flac_total(path.read_bytes(), stated))
    if stated:
        needs_libav()
    audio = open_audio(path)
    assert audio.frames == 24000
    [warning] = audio.warnings
    assert ("states no length" if not stated else f"states {stated} frames, 24000 are present") in warning
    np.testing.assert_array_equal(samples(audio), original)


def test_flac_that_states_too_little_needs_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("rtpverify.sources.audio.libav.is_installed", lambda: False)
    path = sine(tmp_path / "file.flac", "FLAC", "PCM_16")
    path.write_bytes(flac_total(path.read_bytes(), 100))
    assert refusal(path).endswith("24000 are present; convert it to WAV or install rtpverify[mp4]")


@pytest.mark.parametrize("stated", [0, 100])
def test_flac_of_unknown_length_is_not_whole_within_a_codec_frame(tmp_path, stated):
    path = sine(tmp_path / "file.flac", "FLAC", "PCM_16")
    path.write_bytes(flac_total(path.read_bytes(), stated)[:-1])
    assert "cut off or damaged within the codec frame at byte" in refusal(path)


@needs_ffmpeg
def test_mp3_that_goes_on_after_its_stated_length_is_read_whole(tmp_path, monkeypatch):
    needs_libav()
    one = ffmpeg(tmp_path / "one.mp3", "-c:a", "libmp3lame", "-id3v2_version", "0").read_bytes()
    path = tmp_path / "both.mp3"
    path.write_bytes(one + one)
    audio = open_audio(path)
    assert audio.frames > 2 * 48000
    assert any("states" in warning and "are read" in warning for warning in audio.warnings)
    monkeypatch.setattr("rtpverify.sources.audio.libav.is_installed", lambda: False)
    assert refusal(path).startswith("continues after the length that it states")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_streams_alike_that_follow_one_another_are_read_as_one(tmp_path, subtype):
    path = sine(tmp_path / "file", "OGG", subtype)
    content, alone = path.read_bytes(), samples(open_audio(path))
    path.write_bytes(content + content)
    audio = open_audio(path)
    assert (audio.frames, audio.seekable) == (48000, False)
    np.testing.assert_array_equal(samples(audio), np.concatenate([alone, alone]))
    np.testing.assert_array_equal(
        np.concatenate(list(audio.single_blocks(777))), np.concatenate([alone, alone]).astype(np.float32)
    )


# A form that changes


@needs_ffmpeg
@pytest.mark.parametrize(
    ("options", "suffix"),
    [
        (("-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"), "mp3"),
        (("-c:a", "libmp3lame", "-id3v2_version", "0"), "mp3"),
        (("-c:a", "aac"), "aac"),
        (("-c:a", "libvorbis"), "ogg"),
        (("-c:a", "flac"), "oga"),
    ],
)
@pytest.mark.parametrize(
    ("second", "change"),
    [
        ({"channels": 2}, "channel count changes from 1 to 2"),
        ({"rate_hz": 32000}, "sample rate changes from 48000 Hz to 32000 Hz"),
        (
            {"channels": 2, "rate_hz": 32000},
            "sample rate changes from 48000 Hz to 32000 Hz and its channel count changes from 1 to 2",
        ),
    ],
)
def test_a_form_that_changes_is_refused_with_its_place(tmp_path, options, suffix, second, change):
    needs_libav()
    parts = [ffmpeg(tmp_path / f"{n}.{suffix}", *options, **form) for n, form in enumerate([{}, second])]
    path = tmp_path / "both"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    message = refusal(path)
    assert message.startswith(f"its {change} at ")
    seconds = float(message.split("(")[1].split(" s)")[0])
    assert seconds == pytest.approx(1.0, abs=0.06)


def joined_flac(first: bytes, second: bytes) -> bytes:
    """Return the codec frames of two files under the first one's header, numbered on."""
    frames = second[second.index(b"\xff\xf8") :]
    return first + frames


@pytest.mark.parametrize(
    ("second", "change"),
    [
        ((44100, 2, "PCM_16"), "channel count changes from 1 to 2"),
        ((48000, 1, "PCM_16"), "sample rate changes from 44100 Hz to 48000 Hz"),
        ((44100, 1, "PCM_24"), "sample size changes from 16 bits to 24 bits"),
    ],
)
def test_flac_whose_form_changes_is_refused_with_its_place(tmp_path, second, change):
    """Of the first file one codec frame, number 0, and of the second its frame number 1."""
    head = sine(tmp_path / "first", "FLAC", "PCM_16", rate_hz=44100).read_bytes()
    start = head.index(b"\xff\xf8")
    ends = [at for at in range(start + 1, len(head)) if head[at : at + 2] == b"\xff\xf8" and head[at + 4] == 1]
    rate_hz, channels, subtype = second
    other = sine(tmp_path / "second", "FLAC", subtype, rate_hz=rate_hz, channels=channels).read_bytes()
    body = other.index(b"\xff\xf8")
    next_frame = next(
        at for at in range(body + 1, len(other)) if other[at : at + 2] == b"\xff\xf8" and other[at + 4] == 1
    )
    path = tmp_path / "file.flac"
    path.write_bytes(flac_total(head[: ends[0]] + other[next_frame:], 0))
    assert refusal(path) == f"its {change} at frame 4096 (0.093 s): split it there"


def test_flac_that_lacks_a_codec_frame_is_refused(tmp_path):
    content = sine(tmp_path / "file", "FLAC", "PCM_16").read_bytes()
    places = [at for at in range(len(content)) if content[at : at + 2] == b"\xff\xf8" and content[at + 4] in range(6)]
    (tmp_path / "file").write_bytes(content[: places[2]] + content[places[3] :])
    assert "cut off: 8192 of 24000 frames are there" in refusal(tmp_path / "file")


# Word lengths and containers


def values(bits: int, channels: int = 2) -> np.ndarray:
    found = np.random.default_rng(bits).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (3000, channels))
    found[0], found[1], found[2] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, -1
    return found


@pytest.mark.parametrize("where", ["upper", "lower", "lower, without its sign"])
@pytest.mark.parametrize(
    ("bits", "sample_bytes", "extensible"),
    [(24, 4, True), (24, 4, False), (20, 3, True), (12, 2, True), (20, 4, False), (16, 4, False), (16, 3, True)],
)
def test_samples_in_wider_containers(tmp_path, where, bits, sample_bytes, extensible):
    wanted = values(bits)
    spare = 8 * sample_bytes - bits
    stored = wanted << spare if where == "upper" else wanted
    if where == "lower, without its sign":
        stored = np.where(stored < 0, stored + (1 << bits), stored)
        stored = np.where(stored >= 1 << 8 * sample_bytes - 1, stored - (1 << 8 * sample_bytes), stored)
    stated = 8 * sample_bytes if extensible else bits
    content = wave_file(
        little_endian(stored, sample_bytes),
        channels=2,
        bits=stated,
        sample_bytes=sample_bytes,
        valid_bits=bits if extensible else None,
    )
    path = tmp_path / "file.wav"
    path.write_bytes(content)
    audio = open_audio(path)
    assert (audio.encoding, audio.bits, audio.frames, audio.warnings) == (f"L{bits}", bits, 3000, ())
    np.testing.assert_array_equal(samples(audio) * 2.0 ** (bits - 1), wanted)
    np.testing.assert_array_equal(next(audio.blocks(100, start=1234)) * 2.0 ** (bits - 1), wanted[1234:1334])


def test_samples_that_use_more_than_their_header_states(tmp_path):
    path = tmp_path / "file.wav"
    path.write_bytes(wave_file(little_endian(values(32), 4), channels=2, bits=32, sample_bytes=4, valid_bits=24))
    audio = open_audio(path)
    assert (audio.bits, audio.warnings) == (32, ("its header states 24 bits, and its samples use 32",))
    np.testing.assert_array_equal(samples(audio) * 2.0**31, values(32))


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["flac", "oga"])
def test_flac_in_ogg_and_of_many_bits(tmp_path, suffix):
    needs_libav()
    options = (
        ("-c:a", "flac", "-sample_fmt", "s32", "-bits_per_raw_sample", "24") if suffix == "flac" else ("-c:a", "flac")
    )
    path = ffmpeg(tmp_path / f"file.{suffix}", *options)
    audio = open_audio(path)
    bits = 24 if suffix == "flac" else 16
    assert (audio.encoding, audio.bits, audio.frames) == (f"L{bits}", bits, 48000)
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "f64le", "-"], capture_output=True, check=True
    ).stdout
    np.testing.assert_array_equal(samples(audio)[:, 0], np.frombuffer(decoded))


@needs_ffmpeg
def test_speex(tmp_path):
    needs_libav()
    audio = open_audio(ffmpeg(tmp_path / "file.spx", "-c:a", "libspeex", rate_hz=16000))
    assert (audio.encoding, audio.sample_rate_hz, audio.channels) == ("SPEEX", 16000, 1)
    assert audio.frames == pytest.approx(16000, abs=320)


# Decoders that write to standard error


@pytest.mark.parametrize("with_extra", [False, True])
def test_decoders_write_nothing_to_standard_error(tmp_path, with_extra):
    """The length that the Xing header states is 2 % off, of which libmpg123 warns by itself."""
    if with_extra:
        needs_libav()
    path = sine(tmp_path / "file.mp3", "MP3", "MPEG_LAYER_III", seconds=3.0)
    content = bytearray(path.read_bytes())
    at = content.index(b"Xing") if b"Xing" in content else content.index(b"Info")
    assert content[at + 7] & 3 == 3
    stated = int.from_bytes(content[at + 12 : at + 16])
    content[at + 12 : at + 16] = struct.pack(">I", stated * 49 // 50)
    path.write_bytes(content)
    script = (
        "import sys, rtpverify.sources.audio.libav as libav\n"
        f"libav.is_installed = lambda: {with_extra}\n"
        "from rtpverify.sources.audio.file import open_audio\n"
        "from rtpverify.errors import SourceError\n"
        "try: print(sum(map(len, open_audio(sys.argv[1]).blocks(4096))))\n"
        "except SourceError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True, env=os.environ
    )
    assert (run.stderr, bool(run.stdout)) == ("", True)


def test_an_mp4_without_audio_is_refused_in_one_line(tmp_path):
    path = tmp_path / "file.mp4"
    path.write_bytes(box(b"ftyp", b"isom" + bytes(8)) + box(b"free", bytes(10)))
    assert refusal(path).startswith("not a readable audio file")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_big_endian_wav(tmp_path, subtype):
    wanted = np.random.default_rng(1).integers(-(2**15), 2**15, (1000, 2)) / 2**15
    soundfile.write(tmp_path / "file.wav", wanted, 48000, subtype=subtype, endian="BIG")
    assert (tmp_path / "file.wav").read_bytes()[:4] == b"RIFX"
    np.testing.assert_array_equal(samples(open_audio(tmp_path / "file.wav")), wanted)


@needs_ffmpeg
def test_a_video_without_sound_is_no_audio_file(tmp_path):
    needs_libav()
    path = tmp_path / "file.mp4"
    source = ["-f", "lavfi", "-i", "color=size=64x64:duration=0.2:rate=10"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", "mpeg4", path], check=True)
    assert refusal(path) == "not a readable audio file: it holds no audio"


def test_words_of_64_bits(tmp_path):
    needs_libav()
    path = tmp_path / "file.wav"
    path.write_bytes(wave_file(little_endian(values(64), 8), channels=2, bits=64, sample_bytes=8))
    np.testing.assert_allclose(samples(open_audio(path)), values(64) * 2.0**-63, rtol=0, atol=1e-15)


def test_words_that_no_decoder_knows(tmp_path):
    needs_libav()
    path = tmp_path / "file.wav"
    path.write_bytes(wave_file(bytes(5000), bits=40, sample_bytes=5))
    assert refusal(path).startswith("not a readable audio file")
