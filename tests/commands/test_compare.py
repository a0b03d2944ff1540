"""Two recordings compared as files: the command, its result, and input that cannot be compared."""

import json
import sys

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import assume, given, settings, strategies

from rtpverify.cli.app import main
from rtpverify.commands.compare import compare
from rtpverify.events import Kind
from rtpverify.result import Verdict
from tests.helpers.pairs import LOSSLESS, LOSSY, random_pair
from tests.helpers.programme import RATE_HZ, music, quantised, speech


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("pair") / "reference.wav"
    soundfile.write(path, quantised(music(5, seed=8)), RATE_HZ, "PCM_16")
    return path


def write(tmp_path, frames, name="received.wav", subtype="PCM_16", rate_hz=RATE_HZ):
    path = tmp_path / name
    soundfile.write(path, frames, rate_hz, subtype)
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_identical_files_are_identical(reference, tmp_path):
    received = write(tmp_path, quantised(music(5, seed=8)), "copy.flac")
    result = compare(reference, received)
    assert result.exit_status == 0
    comparison = result.streams[0].comparison
    assert comparison.mfcc_dtw_distance == 0.0
    assert not comparison.recoded
    for channel in comparison.channels:
        assert channel.frames_equal == channel.frames_compared == 5 * RATE_HZ
        assert (channel.offset_frames, channel.gain_db, channel.inverted) == (0.0, 0.0, False)
        assert channel.first_different_frame is None
        assert set(channel.block_frames_different) == {0}


def test_command_writes_every_form(reference, tmp_path):
    frames = np.delete(quantised(music(5, seed=8)), slice(100000, 100048), axis=0)
    frames[150000:150048] = 0.0
    received = write(tmp_path, frames)
    places = [tmp_path / name for name in ("result.json", "junit.xml", "page.html")]
    options = [
        item for name, place in zip(("json", "junit", "html"), places, strict=True) for item in (f"--{name}", place)
    ]
    outcome = run(reference, received, *options)
    assert outcome.exit_code == 1
    assert "2 faults: 1 slip, 1 dropout" in outcome.stdout
    assert "frames bit-identical" in outcome.stdout
    data = json.loads(places[0].read_text())
    assert data["schema"] == "rtpverify.result/1"
    [stream] = data["streams"]
    assert [(event["kind"], event["start_frame"]) for event in stream["events"]] == [
        ("slip", 100000),
        ("dropout", 150000),
    ]
    assert stream["events"][0]["slip_frames"] == 48
    assert all(event["id"] for event in stream["events"])
    for channel in stream["comparison"]["channels"]:
        assert channel["first_different_frame"] == 150000
        assert channel["block_frames_different"][3] == 48
    assert "slip" in places[1].read_text()
    assert "frames bit-identical" in places[2].read_text()


def test_other_rate_is_resampled_and_said_to_be(reference, tmp_path):
    from rtpverify.dsp.resample import resample

    received = write(tmp_path, resample(quantised(music(5, seed=8)), RATE_HZ, 44100), "r.wav", "PCM_24", 44100)
    result = compare(reference, received, with_distance=False)
    assert result.verdict is Verdict.PASS, result.streams[0].events
    assert any(
        "reference.wav has 48000 Hz and was resampled to 44100 Hz" in text for text in result.streams[0].warnings
    )


def test_missing_end_is_told_and_latency_is_not_a_fault(reference, tmp_path):
    frames = quantised(music(5, seed=8))
    late = compare(reference, write(tmp_path, np.concatenate([np.zeros((4321, 2)), frames])[: len(frames)]))
    assert late.verdict is Verdict.PASS
    assert late.streams[0].comparison.channels[0].offset_frames == 4321
    assert any("last 4321 frames" in text for text in late.streams[0].warnings)
    [event] = compare(reference, write(tmp_path, frames[: 3 * RATE_HZ])).streams[0].events
    assert (str(event.kind), event.size.missing_frames) == ("mismatch", 2 * RATE_HZ)


def test_nothing_in_common_is_said(reference, tmp_path):
    [event] = compare(reference, write(tmp_path, quantised(speech(5, seed=3)))).streams[0].events
    assert (str(event.kind), event.message) == ("mismatch", "the reference was not found in it")
    [event] = compare(reference, write(tmp_path, np.zeros((5 * RATE_HZ, 2)))).streams[0].events
    assert str(event.kind) == "silence"


@pytest.mark.parametrize("frames", [1, 100, RATE_HZ])
def test_short_and_silent_files_equal_themselves(tmp_path, frames):
    path = write(tmp_path, np.zeros((frames, 1)))
    assert compare(path, path).verdict is Verdict.PASS
    path = write(tmp_path, quantised(music(5, seed=8))[1000 : 1000 + frames])
    assert compare(path, path).verdict is Verdict.PASS


def test_recoded_files_are_compared_by_what_they_play(reference, tmp_path):
    frames = quantised(music(5, seed=8))
    clean = compare(reference, write(tmp_path, frames, "clean.mp3", None), with_distance=False)
    assert clean.verdict is Verdict.PASS, clean.streams[0].events
    assert clean.streams[0].comparison.recoded
    cut = write(tmp_path, np.delete(frames, slice(120000, 124800), axis=0), "cut.mp3", None)
    [event] = compare(reference, cut, with_distance=False).streams[0].events
    assert str(event.kind) == "slip"
    assert event.size.slip_frames == pytest.approx(4800, abs=240)


def test_frames_that_went_through_a_codec_are_not_followed(reference, tmp_path, monkeypatch):
    """To explain what a codec did to each of them would take minutes, and tell hundreds of clicks."""
    write(tmp_path, quantised(music(5, seed=8)), "coded.mp3", None)
    decoded, rate_hz = soundfile.read(tmp_path / "coded.mp3", always_2d=True)
    path = write(tmp_path, decoded, "decoded.wav")
    monkeypatch.setattr(
        "rtpverify.engine.file_verifier.FrameVerifier.feed", lambda *_: pytest.fail("frames were followed")
    )
    result = compare(reference, path, with_distance=False)
    assert rate_hz == RATE_HZ
    assert result.verdict is Verdict.PASS, result.streams[0].events
    assert result.streams[0].comparison.recoded
    assert result.streams[0].frames == len(decoded)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "empty file"), (b"hello" * 100, "not a readable audio file")],
)
@pytest.mark.parametrize("first", [False, True])
def test_input_that_cannot_be_compared(reference, tmp_path, content, reason, first):
    bad = tmp_path / "bad.wav"
    if content is not None:
        bad.write_bytes(content)
    outcome = run(bad, reference) if first else run(reference, bad)
    assert outcome.exit_code == 2
    assert f"bad.wav: {reason}" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_truncated_file_is_refused_and_wrong_extension_is_none(reference, tmp_path):
    data = reference.read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    outcome = run(reference, tmp_path / "cut.wav")
    assert (outcome.exit_code, "cut off" in outcome.stderr) == (2, True)
    (tmp_path / "copy.mp3").write_bytes(data)
    assert run(reference, tmp_path / "copy.mp3").exit_code == 0


def test_channel_counts_must_go_together(reference, tmp_path):
    mono = write(tmp_path, quantised(music(5, seed=8))[:, 0], "mono.wav")
    outcome = run(reference, mono)
    assert outcome.exit_code == 2
    assert "mono.wav: 1 channel(s)" in outcome.stderr
    stereo = write(tmp_path, quantised(music(5, seed=8))[:, [0, 0]], "stereo.wav")
    assert compare(mono, stereo).verdict is Verdict.PASS


@pytest.mark.parametrize("differs", [False, True])
@pytest.mark.parametrize("which", ["reference", "received"])
def test_a_file_that_grows_is_compared_as_it_was_and_told(tmp_path, monkeypatch, which, differs):
    """Something is appended while it is read, as by a recorder that has not been stopped: it comes to an end."""
    frames = quantised(music(5, seed=8))
    original = write(tmp_path, frames, "master.wav")
    if differs:
        frames[100000:100048] = 0.0
    received = write(tmp_path, frames)
    growing = original if which == "reference" else received
    module = sys.modules["rtpverify.commands.compare"]
    compared = module.equal_levels

    def grow(*files):
        with growing.open("ab") as file:
            file.write(bytes(100_000))
        return compared(*files)

    monkeypatch.setattr(module, "equal_levels", grow)
    result = compare(original, received)
    assert [str(event.kind) for event in result.streams[0].events] == ["dropout"] * differs
    [warning] = [text for text in result.streams[0].warnings if "has grown" in text]
    assert warning.startswith("master.wav: " if which == "reference" else "it has grown")
    assert result.streams[0].frames == len(frames)


def test_a_steady_tone_through_mp3_is_where_it_was(tmp_path):
    """It looks the same at every period, and what a codec leaves of it is faint."""
    whole = 0.5 * np.sin(2 * np.pi * 1000 / RATE_HZ * np.arange(8 * RATE_HZ))
    reference, received = write(tmp_path, whole, "reference.wav"), tmp_path / "received.mp3"
    soundfile.write(received, whole, RATE_HZ, format="MP3")
    stream = compare(reference, received).streams[0]
    assert (stream.verdict, stream.comparison.recoded) == (Verdict.PASS, True)
    assert abs(stream.comparison.channels[0].offset_frames) < 1


def test_a_tone_that_is_found_everywhere_is_sought_where_it_is_expected(tmp_path):
    """Steps in its first tenth of a second leave each other period of the reference as little unexplained."""
    whole = 0.5 * np.sin(2 * np.pi * 1000 / RATE_HZ * np.arange(4 * RATE_HZ))
    copy = whole + 2.0**-15 * np.random.default_rng(1).standard_normal(len(whole))
    copy[50:300] *= 0.98
    stream = compare(write(tmp_path, whole, "reference.wav"), write(tmp_path, copy), with_distance=False).streams[0]
    assert stream.comparison.channels[0].offset_frames == 0.0
    assert {event.kind for event in stream.events} <= {Kind.NOISE, Kind.GAIN, Kind.CLICK}


SHORT = (2, 10, 40, 64, 100, 480, 1000, 2399, 2400, 4000, 4799, 4800, 9600)


def noise(frames, seed=3):
    return quantised(0.1 * np.random.default_rng(seed).normal(size=(frames, 1)), 24)


def compared(tmp_path, original, received, subtype="PCM_24", name="received.wav"):
    return compare(
        write(tmp_path, original, "original.wav", subtype),
        write(tmp_path, received, name, subtype if name.endswith("wav") else None),
        with_distance=False,
    )


def kinds(result):
    return [str(event.kind) for event in result.streams[0].events]


@pytest.mark.parametrize("frames", SHORT)
def test_a_fault_is_named_however_short_the_recordings_are(tmp_path, frames):
    x = noise(frames)
    at = frames // 2
    clicked = x.copy()
    clicked[at] += 0.25
    [event] = compared(tmp_path, x, clicked).streams[0].events
    assert (str(event.kind), event.start_frame, event.duration_frames) == ("click", at, 1)
    if frames >= 40:
        muted = x.copy()
        muted[frames // 3 : frames // 3 + frames // 5] = 0.0
        [event] = compared(tmp_path, x, muted).streams[0].events
        assert (str(event.kind), event.start_frame, event.duration_frames) == ("dropout", frames // 3, frames // 5)
    assert kinds(compared(tmp_path, x, noise(frames, seed=4))) == ["mismatch"]


@pytest.mark.parametrize("frames", [100, 480, 1000, 2400, 4799, 9600])
def test_what_lasts_and_what_is_cut_is_named_in_short_recordings(tmp_path, frames):
    x = noise(frames)
    assert kinds(compared(tmp_path, x, 0.5 * x)) == ["gain"]
    assert kinds(compared(tmp_path, x, -x)) == ["polarity"]
    assert kinds(compared(tmp_path, x, x + 0.01 * noise(frames, seed=5))) == ["noise"]
    at, missing = frames // 2, frames // 20
    [event] = compared(tmp_path, x, np.delete(x, slice(at, at + missing), axis=0)).streams[0].events
    assert (str(event.kind), event.start_frame, event.size.slip_frames) == ("slip", at, missing)


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_a_click_in_a_recording_that_does_not_move_is_a_click(tmp_path, value):
    x = np.full((6 * RATE_HZ, 1), value)
    clicked = x.copy()
    clicked[1000], clicked[5 * RATE_HZ] = 0.5, -0.5
    events = compared(tmp_path, x, clicked).streams[0].events
    assert [(str(event.kind), event.start_frame) for event in events] == [("click", 1000), ("click", 5 * RATE_HZ)]


@pytest.mark.parametrize("frames", [100, 1500, RATE_HZ, 5 * RATE_HZ])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_without_signal_is_told_beside_one_that_is_right(tmp_path, frames, channel):
    x = quantised(music(5, seed=8))[RATE_HZ // 4 : RATE_HZ // 4 + frames]
    muted = x.copy()
    muted[:, channel] = 0.0
    events = compared(tmp_path, x, muted, "PCM_16").streams[0].events
    assert {(str(event.kind), event.channel) for event in events} <= {
        ("silence", channel + 1),
        ("dropout", channel + 1),
    }
    assert events


@pytest.mark.parametrize("frames", [391, 4091, RATE_HZ])
def test_what_is_muted_at_the_start_is_no_lead_in_where_the_reference_is_heard(tmp_path, frames):
    x = np.sign(noise(frames)) / 2
    x[0] = 0.0
    for start, stop in ((0, frames // 4), (1, frames // 3), (100, 200)):
        muted = x.copy()
        muted[start:stop] = 0.0
        result = compared(tmp_path, x, muted, "PCM_16")
        assert result.exit_status == 1
        assert set(kinds(result)) <= {"silence", "dropout"}


def test_frames_are_compared_only_where_there_is_something_to_compare_with(tmp_path):
    x = noise(RATE_HZ)
    longer = np.concatenate([np.zeros((300, 1)), x, np.zeros((5000, 1))])
    result = compared(tmp_path, x, longer)
    [channel] = result.streams[0].comparison.channels
    assert result.verdict is Verdict.PASS
    assert (channel.offset_frames, channel.frames_compared, channel.frames_equal) == (300, RATE_HZ, RATE_HZ)


@pytest.mark.parametrize("level", [0.003, 0.03, 0.1])
@pytest.mark.parametrize("material", ["music", "noise"])
def test_noise_under_frames_that_are_in_step_is_no_codec(tmp_path, material, level):
    rng = np.random.default_rng(6)
    x = quantised(music(5, seed=8)[: 2 * RATE_HZ] if material == "music" else 0.1 * rng.normal(size=(2 * RATE_HZ, 2)))
    result = compared(tmp_path, x, x + level * rng.standard_normal(x.shape), "PCM_16")
    assert result.exit_status == 1


@pytest.mark.parametrize("frequency_hz", [440, 997, 1283])
@pytest.mark.parametrize("where", ["start", "middle", "ends", "nowhere"])
def test_what_is_missing_of_a_steady_tone_through_a_codec_is_told_and_not_guessed(tmp_path, frequency_hz, where):
    x = 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(3 * RATE_HZ) / RATE_HZ)[:, None]
    if where == "nowhere":
        assert compared(tmp_path, x, 0.8 * x, "PCM_16", "received.mp3").verdict is Verdict.PASS
        return
    at, missing = {440: (1996, 3451), 997: (24571, 4708), 1283: (33215, 570)}[frequency_hz]
    y = {
        "start": x[at:],
        "middle": np.delete(x, slice(at, at + missing), axis=0),
        "ends": np.delete(x, slice(at, at + missing), axis=0)[:-missing],
    }[where]
    result = compared(tmp_path, x, y, "PCM_16", "received.mp3")
    assert result.exit_status == 1
    assert set(kinds(result)) <= {"slip", "mismatch"}
    [event] = result.streams[0].events
    assert event.size.missing_frames >= 400


@pytest.mark.parametrize(
    ("frequency_hz", "form"), [(5000, "received.mp3"), (9001, "received.ogg"), (15_000, "received.mp3")]
)
def test_tones_above_the_rate_at_which_content_is_followed_are_followed_too(tmp_path, frequency_hz, form):
    x = 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(2 * RATE_HZ) / RATE_HZ)[:, None]
    assert compared(tmp_path, x, x, "PCM_16", form).verdict is Verdict.PASS
    muted = x.copy()
    muted[60_000:70_000] = 0.0
    [event] = compared(tmp_path, x, muted, "PCM_16", form).streams[0].events
    assert event.kind is Kind.DROPOUT
    assert (event.start_frame, event.duration_frames) == (
        pytest.approx(60_000, abs=100),
        pytest.approx(10_000, abs=200),
    )


@pytest.mark.parametrize("band_hz", [(1000, 1200), (5000, 6000)])
def test_content_of_a_narrow_band_that_is_inverted_is_not_called_late(tmp_path, band_hz):
    rng = np.random.default_rng(1)
    spectrum = np.fft.rfft(rng.standard_normal(3 * RATE_HZ))
    frequency_hz = np.fft.rfftfreq(3 * RATE_HZ, 1 / RATE_HZ)
    spectrum[(frequency_hz < band_hz[0]) | (frequency_hz > band_hz[1])] = 0.0
    x = np.fft.irfft(spectrum)[:, None]
    x *= 0.5 / np.abs(x).max()
    result = compared(tmp_path, x, -x, "PCM_16", "received.ogg")
    assert kinds(result) == ["polarity"]
    assert result.streams[0].comparison.channels[0].offset_frames == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize("subtype", ["ALAW", "ULAW"])
@pytest.mark.parametrize("peak_dbfs", [-90.0, -72.0, -60.0, -40.0])
def test_what_companding_makes_of_faint_audio_is_no_fault(tmp_path, subtype, peak_dbfs):
    """A-law writes half a step for whatever is smaller: that is much louder, and square."""
    x = speech(3, seed=2)[:, :1] * (np.sin(2 * np.pi * 0.4 * np.arange(3 * RATE_HZ) / RATE_HZ) > 0.0)[:, None]
    x = quantised(10 ** (peak_dbfs / 20) * x / np.abs(x).max())
    one, other = write(tmp_path, x, "one.wav"), write(tmp_path, x, "other.wav", subtype)
    assert compare(one, other, with_distance=False).verdict is Verdict.PASS
    damaged = x.copy()
    damaged[50_000, 0] += 2.0**-8
    result = compare(one, write(tmp_path, damaged, "other.wav", subtype), with_distance=False)
    assert result.exit_status == 1


def test_faint_steps_that_are_equal_to_the_last_bit_tell_their_place(tmp_path):
    """What came first and again is inserted, though it moves by no more than a few steps of eight bits."""
    x = np.round(100 * music(5, seed=1)[:10_450, :1]) / 128
    y = np.concatenate([x[:4415], x[2117:]])
    result = compared(tmp_path, x, y, "PCM_U8")
    assert [(str(event.kind), event.size.slip_frames) for event in result.streams[0].events] == [("slip", -2298)]


def test_frames_that_are_equal_where_they_are_need_tell_no_place(tmp_path):
    """A low square wave moves too seldom to be found by, and every period of it is like the others."""
    x = 0.5 * np.sign(np.sin(2 * np.pi * 390.3 * np.arange(18_895) / RATE_HZ + 0.1))[:, None]
    stream = compared(tmp_path, x, x[:-92], "PCM_U8").streams[0]
    [channel] = stream.comparison.channels
    assert (channel.offset_frames, channel.frames_equal) == (0.0, 18_803)
    assert not stream.comparison.recoded
    assert stream.warnings == ["the last 92 frames (0.002 s) of the reference are missing"]


@given(seed=strategies.integers(0, 2**32 - 1), original=strategies.sampled_from(LOSSLESS), lossy=strategies.booleans())
@settings(max_examples=60, deadline=None)
def test_random_pairs_end_in_a_verdict_that_is_true(tmp_path_factory, seed, original, lossy):
    rng = np.random.default_rng(seed)
    pair = random_pair(rng)
    folder = tmp_path_factory.mktemp("random")
    form = LOSSY[seed % len(LOSSY)] if lossy else original
    try:
        one = write(folder, pair.reference, f"one.{original[0]}", original[1])
        other = write(folder, pair.received, f"other.{form[0]}", form[1])
    except soundfile.LibsndfileError:
        assume(False)
    x, y = (soundfile.read(path, always_2d=True)[0] for path in (one, other))
    assume(len(y))
    result = compare(one, other, with_distance=bool(seed % 3 == 0))
    stream = result.streams[0]
    assert result.exit_status in (0, 1)
    for event in stream.events:
        assert 0 <= event.start_frame <= len(y)
        assert 0 <= event.duration_frames <= len(y) - event.start_frame + 1
    for channel in stream.comparison.channels:
        assert 0 <= channel.frames_equal <= channel.frames_compared <= len(y)
    if x.shape == y.shape and np.array_equal(x, y):
        assert result.exit_status == 0
    elif result.exit_status == 0 and not lossy:
        assert farthest_off(x, y, stream.comparison) <= 4 * 2.0 ** -(7 if original[1] == "PCM_U8" else 15) + 1e-4


def farthest_off(x, y, comparison):
    """Return by how much any frame is off the reference at the place where it is said to lie; silence beyond it."""
    off = 0.0
    for at, channel in enumerate(comparison.channels):
        place = np.arange(len(y)) - round(channel.offset_frames or 0)
        there = (place >= 0) & (place < len(x))
        content = x[np.clip(place, 0, len(x) - 1), min((channel.reference_channel or at + 1) - 1, x.shape[1] - 1)]
        off = max(off, float(np.abs(y[:, at] - np.where(there, content, 0.0)).max()))
    return off


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers(tmp_path, bad):
    """In the reference they are the caller's mistake, in what was received a fault: whatever else is compared."""
    x = quantised(music(2, seed=8))
    damaged = x.copy()
    damaged[1000, 1] = bad
    good, broken = write(tmp_path, x, "good.wav"), write(tmp_path, damaged, "broken.wav", "FLOAT")
    [event] = compare(good, broken, with_distance=True).streams[0].events
    assert (str(event.kind), event.channel, event.start_frame, event.duration_frames) == ("click", 2, 1000, 1)
    for arguments in (["compare", broken, good], ["compare", broken, broken], ["check", good, "--reference", broken]):
        outcome = CliRunner().invoke(main, list(map(str, arguments)))
        assert outcome.exit_code == 2
        assert outcome.stderr.endswith(f"broken.wav: channel 2, frame 1000: {bad} is no sample\n")
        assert len(outcome.stderr.splitlines()) == 1


def test_values_that_are_no_numbers_in_what_was_recoded(reference, tmp_path):
    write(tmp_path, quantised(music(5, seed=8)), "coded.mp3", None)
    decoded, _ = soundfile.read(tmp_path / "coded.mp3", always_2d=True)
    decoded[70_000:70_010] = np.nan
    stream = compare(reference, write(tmp_path, decoded, subtype="FLOAT"), with_distance=False).streams[0]
    assert stream.comparison.recoded
    assert [(str(event.kind), event.start_frame) for event in stream.events] == [("dropout", 70_000)]


def test_the_cause_of_a_difference_is_unknown(reference, tmp_path):
    frames = np.delete(quantised(music(5, seed=8)), slice(100000, 100048), axis=0)
    outcome = run(reference, write(tmp_path, frames), "--json", "-")
    [stream] = json.loads(outcome.stdout[outcome.stdout.index("{") :])["streams"]
    assert {event["cause"] for event in stream["events"]} == {"unknown"}
    assert any("check a capture of the packets" in warning for warning in stream["warnings"])
