"""Recordings that went through a codec and a clock of their own: what was done to them is found, and nothing else."""

import shutil
import subprocess
from functools import lru_cache

import numpy as np
import pytest
import soundfile
import soxr

from rtpverify.detect.recording.warped import compare_warped, is_recoded
from rtpverify.dsp.align import interpolate

RATE_HZ = 48000
SECONDS = 10
FAST_PPM = 1000.0

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@lru_cache
def music(seed=0):
    """Return decaying chords and strokes of noise, one channel."""
    rng, frames = np.random.default_rng(seed), SECONDS * RATE_HZ
    out = 2e-4 * rng.standard_normal(frames)
    for beat in range(4 * SECONDS):
        start = max(0, int((beat / 4 + rng.normal(0, 0.01)) * RATE_HZ))
        for _ in range(rng.integers(1, 4)):
            pitch_hz = 110 * 2 ** (rng.integers(0, 36) / 12)
            time_s = np.arange(min(int(rng.uniform(0.2, 1.5) * RATE_HZ), frames - start)) / RATE_HZ
            note = sum(np.sin(2 * np.pi * pitch_hz * h * time_s + h) / h**1.3 for h in range(1, 8))
            out[start : start + len(time_s)] += 0.05 * np.minimum(1, time_s / 0.004) * np.exp(-4 * time_s) * note
        stroke = 0.08 * rng.standard_normal(4000) * np.exp(-np.arange(4000) / 800)
        out[start : start + 4000] += stroke[: frames - start]
    return 0.5 * out / np.abs(out).max()


@lru_cache
def speech(seed=0):
    """Return gliding vowels, hisses and pauses, one channel."""
    rng, parts, frames = np.random.default_rng(seed), [], 0
    while frames < SECONDS * RATE_HZ:
        count = int(rng.uniform(0.06, 0.22) * RATE_HZ)
        envelope, kind = np.sqrt(np.sin(np.pi * (np.arange(count) + 0.5) / count)), rng.random()
        if kind < 0.7:
            pitch_hz = rng.uniform(90, 220) * (1 + rng.uniform(-0.15, 0.15) * np.linspace(0, 1, count))
            phase, formants_hz = (
                2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ,
                rng.uniform((300, 900, 2300), (800, 2200, 3000)),
            )
            part = sum(
                np.cos(h * phase + rng.uniform(0, 6))
                * (0.01 + (1 / (1 + ((h * pitch_hz.mean() - formants_hz) / 80) ** 2)).sum())
                for h in range(1, int(4000 / pitch_hz.max()))
            )
            part = part * 0.1 * envelope * rng.uniform(0.3, 1)
        else:
            part = 0.03 * envelope * np.diff(rng.standard_normal(count + 1)) * (kind < 0.85)
        parts.append(part)
        frames += count
    return np.concatenate(parts)[: SECONDS * RATE_HZ] + 1e-4 * rng.standard_normal(SECONDS * RATE_HZ)


MATERIAL = {"music": music, "speech": speech}


def resampled(signal, ppm):
    """Return the signal with so many more frames."""
    return soxr.resample(signal, 1e6, 1e6 + ppm)


def wandering(signal):
    """Return the signal from a clock that wanders by a hundredth of a frame within milliseconds."""
    frames = len(signal) - 200
    knots = np.arange(0, frames + 240, 240)
    off = 0.01 * np.random.default_rng(3).standard_normal(len(knots))
    return interpolate(signal, 100.3 + np.arange(frames) + np.interp(np.arange(frames), knots, off)).value


def recoded(signal, codec, folder, bit_rate="128k"):
    """Return the signal after a way through a codec, shape (n, channels)."""
    encoder, suffix = {"mp3": ("libmp3lame", "mp3"), "aac": ("aac", "m4a")}[codec]
    coded = folder / f"coded.{suffix}"
    soundfile.write(folder / "in.wav", signal, RATE_HZ, subtype="PCM_16")
    for arguments in (["in.wav", "-c:a", encoder, "-b:a", bit_rate, str(coded)], [str(coded), "out.wav"]):
        command = ["ffmpeg", "-loglevel", "error", "-y", "-i", *arguments]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if "Unknown encoder" in ended.stderr:
            pytest.skip(f"ffmpeg has no {encoder}")
        assert ended.returncode == 0, ended.stderr
    return soundfile.read(folder / "out.wav", always_2d=True)[0]


def told(comparison):
    return [
        (
            str(event.kind),
            event.start_frame / RATE_HZ,
            getattr(event.size, "slip_frames", event.duration_frames) / RATE_HZ,
        )
        for event in comparison.events
    ]


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["mp3", "aac"])
@pytest.mark.parametrize("name", MATERIAL)
def test_nothing_is_told_of_a_recoded_recording(name, codec, tmp_path):
    reference = MATERIAL[name]()
    comparison = compare_warped(reference[:, None], recoded(resampled(reference, FAST_PPM), codec, tmp_path), RATE_HZ)
    assert comparison.related
    assert told(comparison) == []
    assert comparison.rate_offset_ppm == pytest.approx(FAST_PPM, abs=2.0)
    assert comparison.offset_frames == pytest.approx(0.0, abs=10.0)
    assert comparison.gain_db == pytest.approx(0.0, abs=1.0)
    assert comparison.polarity == 1
    [passage] = comparison.passages
    assert (passage.reference_start, passage.reference_stop) == (0, len(reference))


AT = 5 * RATE_HZ


def edited(signal, edit, frames):
    return {
        "missing": lambda: np.delete(signal, slice(AT, AT + frames)),
        "silence": lambda: np.insert(signal, AT, np.zeros(frames)),
        "again": lambda: np.insert(signal, AT, signal[AT - frames : AT]),
        "other": lambda: np.insert(signal, AT, signal[AT + 2 * RATE_HZ :][:frames]),
    }[edit]()


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "codec", "edit", "length_ms"),
    [
        ("music", "mp3", "missing", 20),
        ("music", "mp3", "other", 150),
        ("music", "aac", "again", 20),
        ("music", "aac", "silence", 150),
        ("speech", "mp3", "silence", 20),
        ("speech", "mp3", "again", 150),
        ("speech", "aac", "other", 20),
        ("speech", "aac", "missing", 150),
    ],
)
def test_missing_and_inserted_pieces_are_found_with_their_length(name, codec, edit, length_ms, tmp_path):
    reference = MATERIAL[name]()
    received = recoded(resampled(edited(reference, edit, length_ms * RATE_HZ // 1000), FAST_PPM), codec, tmp_path)
    [(kind, at_seconds, slip_seconds)] = told(compare_warped(reference[:, None], received, RATE_HZ))
    assert kind == "slip"
    assert slip_seconds == pytest.approx((1 if edit == "missing" else -1) * length_ms / 1000, abs=0.005)
    assert at_seconds == pytest.approx(1.001 * AT / RATE_HZ, abs=0.06)


class TestWithoutCodec:
    """What needs no codec to be shown."""

    def test_muted(self):
        received = resampled(music(), 300.0)
        received[AT : AT + 2400] = 0.0
        [(kind, at_seconds, seconds)] = told(compare_warped(music()[:, None], received[:, None], RATE_HZ))
        assert kind == "dropout"
        assert at_seconds == pytest.approx(5.0, abs=0.005)
        assert seconds == pytest.approx(0.05, abs=0.005)

    def test_one_channel_muted(self):
        received = np.stack([resampled(music(), 300.0), resampled(music(seed=1), 300.0)], axis=1)
        received[AT : AT + 4800, 1] = 0.0
        comparison = compare_warped(np.stack([music(), music(seed=1)], axis=1), received, RATE_HZ)
        [event] = comparison.events
        assert (str(event.kind), event.channel) == ("dropout", 2)

    @pytest.mark.parametrize("length_ms", [100, 900])
    def test_repeated_in_place(self, length_ms):
        frames = length_ms * RATE_HZ // 1000
        received = music().copy()
        received[AT : AT + frames] = music()[AT - frames : AT]
        [(kind, at_seconds, seconds)] = told(
            compare_warped(music()[:, None], resampled(received, 100.0)[:, None], RATE_HZ)
        )
        assert kind == "repeat"
        assert at_seconds == pytest.approx(5.0, abs=0.02)
        assert seconds == pytest.approx(length_ms / 1000, abs=0.02)

    def test_other_content(self):
        received = speech().copy()
        received[AT : AT + 24_000] = speech(seed=5)[:24_000]
        found = told(compare_warped(speech()[:, None], resampled(received, 100.0)[:, None], RATE_HZ))
        assert {kind for kind, _, _ in found} <= {"mismatch", "dropout"}
        assert found[0][1] == pytest.approx(5.0, abs=0.1)
        assert sum(seconds for _, _, seconds in found) == pytest.approx(0.5, abs=0.15)

    def test_inverted_softer_and_late(self):
        received = np.concatenate([np.zeros(70_000), -0.5 * resampled(music(), -500.0)])
        comparison = compare_warped(music()[:, None], received[:, None], RATE_HZ)
        assert comparison.events == []
        assert comparison.polarity == -1
        assert comparison.gain_db == pytest.approx(-6.02, abs=0.05)
        assert comparison.offset_frames == pytest.approx(70_000, abs=5)
        assert comparison.rate_offset_ppm == pytest.approx(-500.0, abs=2.0)

    def test_stereo_against_its_mono(self):
        stereo = np.stack([music(), 0.5 * music()], axis=1)
        comparison = compare_warped(stereo, resampled(music(), 100.0)[:, None], RATE_HZ)
        assert comparison.related
        assert comparison.events == []

    def test_nothing_in_common(self):
        assert not compare_warped(music()[:, None], speech()[:, None], RATE_HZ).related

    @pytest.mark.parametrize("received", [np.zeros((0, 1)), np.zeros((5, 1)), np.zeros((100_000, 1))])
    def test_nothing_there(self, received):
        assert not compare_warped(music()[:, None], received, RATE_HZ).related
        assert not compare_warped(received, music()[:, None], RATE_HZ).related


class TestIsRecoded:
    @needs_ffmpeg
    @pytest.mark.parametrize(("codec", "bit_rate"), [("mp3", "64k"), ("aac", "96k"), ("mp3", "320k"), ("aac", "320k")])
    @pytest.mark.parametrize("name", MATERIAL)
    def test_through_a_codec(self, name, codec, bit_rate, tmp_path):
        reference = MATERIAL[name]()
        assert is_recoded(reference[:, None], recoded(reference, codec, tmp_path, bit_rate), RATE_HZ)

    @pytest.mark.parametrize("name", MATERIAL)
    @pytest.mark.parametrize(
        "damage",
        [
            lambda x: x,
            lambda x: -0.3 * x,
            lambda x: np.delete(x, slice(AT, AT + 48)),
            lambda x: x + 1e-3 * np.random.default_rng(1).standard_normal(len(x)),
            lambda x: np.round(2**11 * x) / 2**11,
            lambda x: np.tanh(2 * x) / 2,
            lambda x: np.clip(x, -0.2, 0.2),
            lambda x: resampled(np.clip(x, -0.2, 0.2), 50.0),
            lambda x: resampled(x + 0.05 * x**3, 50.0),
            lambda x: x * (1 + 0.2 * np.sin(np.arange(len(x)) / 2e4)),
            wandering,
            lambda x: resampled(x, 50.0),
            np.zeros_like,
        ],
        ids=[
            "equal",
            "inverted",
            "slip",
            "noise",
            "12 bits",
            "distorted",
            "clipped",
            "clipped, another clock",
            "distorted, another clock",
            "gain",
            "wandering clock",
            "another clock",
            "silent",
        ],
    )
    def test_other_damage_is_no_codec(self, name, damage):
        reference = MATERIAL[name]()
        assert not is_recoded(reference[:, None], damage(reference)[:, None], RATE_HZ)
