"""The functions of ``import rtpverify``: what each gives, that importing costs nothing, and what a mistake says."""

import dataclasses
import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import rtpverify
from rtpverify.result import Verdict

RATE_HZ = 48000


def test_importing_loads_nothing():
    script = "import sys, rtpverify; dir(rtpverify)\nprint(sorted(name for name in sys.modules if name in "
    script += "('numpy', 'scipy', 'click', 'soundfile', 'pydantic') or name.startswith('rtpverify.')))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "['rtpverify.version']"


def test_every_name_is_there_and_described():
    for name in rtpverify.__all__:
        assert name in dir(rtpverify)
        assert getattr(rtpverify, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'spectogram'"):
        rtpverify.spectogram  # noqa: B018


def test_no_module_has_the_name_of_a_function():
    modules = {module.name for module in pkgutil.iter_modules(rtpverify.__path__)}
    assert modules.isdisjoint(rtpverify.__all__)


def test_results_are_frozen(tmp_path):
    audio = rtpverify.tone(997, channels=2)
    soundfile.write(tmp_path / "tone.wav", audio, RATE_HZ, "PCM_24")
    results = [
        rtpverify.read(tmp_path / "tone.wav"),
        rtpverify.envelope(audio, RATE_HZ),
        rtpverify.spectrogram(audio, RATE_HZ),
        rtpverify.constant_q(audio, RATE_HZ),
        rtpverify.histogram(audio),
        rtpverify.mfcc(audio, RATE_HZ),
        rtpverify.levels(audio, RATE_HZ)[0],
        rtpverify.inspect(tmp_path / "tone.wav"),
    ]
    for result in results:
        name = dataclasses.fields(result)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, name, None)


class TestTone:
    def test_it_is_what_send_sends(self):
        audio = rtpverify.tone([997, 1499], seconds=0.5, channels=2, level_dbfs=-6.0, bits=16)
        time = np.arange(24000)[:, None] / RATE_HZ
        ideal = 10 ** (-6 / 20) * np.sin(2 * np.pi * np.array([[997.0, 1499.0]]) * time)
        np.testing.assert_array_equal(audio * 32768, np.round(ideal * 32768))

    def test_full_scale_stays_within_the_range(self):
        assert rtpverify.tone(1000, level_dbfs=0.0, bits=16).max() == 1 - 2**-15

    def test_bad_requests(self):
        for options, words in (
            ({"seconds": 0}, "seconds"),
            ({"bits": 1}, "bits: 1"),
            ({"frequency_hz": 24000}, "24000 Hz"),
            ({"frequency_hz": [1, 2, 3]}, "3 frequencies"),
        ):
            with pytest.raises(rtpverify.RequestError, match=words):
                rtpverify.tone(**options)


class TestCheck:
    def test_an_array_gives_what_its_file_gives(self, tmp_path):
        audio = rtpverify.tone(997, seconds=2, channels=2, level_dbfs=-6, bits=24)
        audio[50000:50048, 1] = 0
        soundfile.write(tmp_path / "tone.wav", audio, RATE_HZ, "PCM_24")
        from_file = rtpverify.check(tmp_path / "tone.wav", reference="tone:997")
        from_array = rtpverify.check(audio, RATE_HZ, reference="tone:997", bits=24)
        assert from_array.verdict is from_file.verdict is Verdict.FAIL
        [found] = from_array.streams[0].events
        assert (str(found.kind), found.channel, found.start_frame) == ("dropout", 2, 50000)
        assert [event.message for event in from_file.streams[0].events] == [found.message]

    def test_a_capture(self, write_capture):
        result = rtpverify.check(write_capture(encoding="L16/44100/2", payload_type=10), reference="tone:997")
        assert result.verdict is Verdict.PASS

    def test_bad_requests(self):
        audio = rtpverify.tone(997)
        for arguments, options, words in (
            ([audio], {}, "sample_rate_hz: an array has none of its own"),
            ([audio, RATE_HZ], {"reference": "none"}, "nothing to verify"),
            ([audio, RATE_HZ], {"profile": "tape"}, "profile: 'tape' is not one of digital, analog"),
            ([np.zeros((2, 2, 2)), RATE_HZ], {}, "source: shape"),
            (["none.wav"], {}, "none.wav: No such file"),
        ):
            with pytest.raises(rtpverify.RequestError, match=words):
                rtpverify.check(*arguments, **options)


class TestCompare:
    def test_arrays_and_files(self, tmp_path):
        audio = np.round(np.random.default_rng(1).normal(0, 0.1, (3 * RATE_HZ, 2)) * 2**23) / 2**23
        copy = audio.copy()
        copy[70_000] += 0.01
        soundfile.write(tmp_path / "master.wav", audio, RATE_HZ, "PCM_24")
        assert rtpverify.compare(audio, audio, RATE_HZ, with_distance=False).verdict is Verdict.PASS
        result = rtpverify.compare(tmp_path / "master.wav", copy, RATE_HZ, with_distance=False)
        assert (result.verdict, result.source) == (Verdict.FAIL, "array")
        assert [(str(event.kind), event.start_frame) for event in result.streams[0].events] == [("click", 70_000)]

    def test_bad_requests(self, tmp_path):
        audio = rtpverify.tone(997)
        with pytest.raises(rtpverify.RequestError, match="sample_rate_hz: an array has none"):
            rtpverify.compare(audio, audio)
        with pytest.raises(rtpverify.RequestError, match="received: int64 holds no full scale"):
            rtpverify.compare(audio, np.zeros(5, np.int64), RATE_HZ)
        with pytest.raises(rtpverify.RequestError, match="No such file"):
            rtpverify.compare(tmp_path / "none.wav", tmp_path / "none.wav")


def test_inspect(tmp_path):
    soundfile.write(tmp_path / "tone.wav", rtpverify.tone(997, channels=2), RATE_HZ, "PCM_24")
    seen = rtpverify.inspect(tmp_path / "tone.wav", views=["mfcc"], start_seconds=0.5)
    assert seen.source.start_frame == 24000
    wanted = rtpverify.mfcc(rtpverify.read(tmp_path / "tone.wav").frames[24000:], RATE_HZ)
    np.testing.assert_allclose(seen.grids["mfcc"].values, wanted.values, atol=1e-3)
    assert wanted.times_seconds[1] == 512 / RATE_HZ
    with pytest.raises(rtpverify.RequestError, match="'chroma' is not a valid View; there are waveform"):
        rtpverify.inspect(tmp_path / "tone.wav", views=["chroma"])
    with pytest.raises(rtpverify.RequestError, match="nothing ends the reception of a live source; give duration="):
        rtpverify.inspect("rtp://127.0.0.1:5004")


def test_sound_from_cepstra():
    pytest.importorskip("librosa")
    tones = rtpverify.tone([440, 880], seconds=1, channels=2)
    made = rtpverify.mfcc(tones, RATE_HZ).sound(frames=RATE_HZ, iterations=16)
    assert made.frames.shape == (RATE_HZ, 2)
    assert made.error_db < -15
    spectra = rtpverify.spectrogram(made.frames, RATE_HZ)
    loudest = spectra.frequencies_hz[np.abs(spectra.values[:, :, 40]).argmax(axis=1)]
    np.testing.assert_allclose(loudest, [440, 880], atol=40)


class TestEverythingOfTheCommand:
    def test_an_excerpt(self, write_capture):
        capture = write_capture(lost=(700, 701))
        options = {"encoding": "L24/48000/2", "reference": "tone:997"}
        assert rtpverify.check(capture, **options).reason == "1 gap"
        assert rtpverify.check(capture, **options, duration=0.5).passed
        assert rtpverify.check(capture, **options, start=1.0).streams[0].frames == pytest.approx(48_000, abs=48)
        audio = rtpverify.tone(997, seconds=2, bits=24)
        audio[RATE_HZ] += 0.1
        assert rtpverify.check(audio, RATE_HZ, reference="tone:997", bits=24, start=1.1).passed
        assert rtpverify.check(audio, RATE_HZ, reference="tone:997", bits=24, duration=0.9).passed
        assert rtpverify.check(audio, RATE_HZ, reference="tone:997", bits=24, start=0.9).reason == "1 click"

    def test_streams(self, write_capture):
        capture = write_capture()
        options = {"encoding": ["97=L24/48000/2", "L16/8000"], "reference": "tone:997"}
        assert rtpverify.check(capture, **options, streams="0x5eed0001", expect_streams=1).passed
        miscounted = rtpverify.check(capture, **options, expect_streams=2)
        assert (miscounted.passed, miscounted.reason) == (False, "1 stream of 2 expected")
        with pytest.raises(AssertionError, match="1 stream of 2 expected"):
            miscounted.assert_clean()

    def test_limits(self, write_capture):
        capture = write_capture()
        options = {"encoding": "L24/48000/2", "reference": "tone:997"}
        strict = rtpverify.check(capture, **options, limits={"max_thd_n_db": -200})
        assert strict.reason == "1 noise"
        assert (strict.request.limits, strict.request.profile) == ({"max_thd_n_db": -200}, "digital")
        assert rtpverify.check(capture, **options, limits=rtpverify.Limits(max_thd_n_db=-60)).passed
        assert rtpverify.check(capture, **options, profile="analog", limits={"max_gain_db": None}).passed

    def test_what_was_asked_is_in_the_result(self, write_capture):
        capture = write_capture()
        request = rtpverify.check(capture, encoding="L24/48000/2", reference="tone:997", duration=1).request
        assert request.command == (
            f"rtpverify.check({str(capture)!r}, reference='tone:997', encoding='L24/48000/2', duration=1)"
        )
        assert (request.reference, request.encoding) == ("tone:997", "L24/48000/2")
        assert (
            rtpverify.check(np.zeros(8), 8).request.command
            == "rtpverify.check(<array of shape (8,)>, 8, reference='tone')"
        )
        compared = rtpverify.compare(rtpverify.tone(997), rtpverify.tone(997), RATE_HZ, with_distance=False)
        assert compared.request.command.startswith("rtpverify.compare(<array of shape (48000, 1)>, <array")

    def test_bad_requests(self, write_capture):
        for options, words in (
            ({"encoding": ["L24/48000/2", "L16/48000/2"]}, "encoding: .*two encodings|encoding: "),
            (
                {"encoding": "L24/48000/2", "limits": {"max_gain_db": "loud"}},
                "limits: max_gain_db = 'loud' is not a number",
            ),
            ({"encoding": "L24/48000/2", "duration": -1}, "duration: -1"),
            ({"encoding": "L24/48000/2", "bits": 16}, "apply to arrays only"),
        ):
            with pytest.raises(rtpverify.RequestError, match=words):
                rtpverify.check(write_capture(), **options)
        for options, words in (
            ({"encoding": "L24/48000/2"}, "encoding: does not apply to audio in an array"),
            ({"start": 3}, "start: 3 is not within the audio"),
        ):
            with pytest.raises(rtpverify.RequestError, match=words):
                rtpverify.check(rtpverify.tone(997), RATE_HZ, **options)
