"""What one pass takes down, against the same taken down from all of the audio at once."""

import numpy as np
import pytest
import soundfile

from rtpverify.commands.inspect import layout
from rtpverify.commands.inspect import measure as module
from rtpverify.commands.inspect.measure import InspectRequest, View, measure
from rtpverify.dsp.constant_q import constant_q
from rtpverify.dsp.envelope import envelope
from rtpverify.dsp.mfcc import mfcc
from rtpverify.dsp.spectrum import spectrogram
from rtpverify.errors import RequestError
from rtpverify.sources.audio.file import open_audio

RATE_HZ = 48000


def look(path, **options):
    return measure(open_audio(path), str(path), InspectRequest(**options))


def test_data_is_that_of_the_functions(stereo_wav, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_FRAMES", 7001)
    audio, _ = soundfile.read(stereo_wav)
    found = look(stereo_wav, views=tuple(View), keeps_data=True, keeps_phase=True)
    spectra = spectrogram(audio, RATE_HZ)
    np.testing.assert_allclose(found.grids[View.SPECTROGRAM].values, spectra.dbfs, atol=1e-4)
    np.testing.assert_allclose(found.phase, spectra.values, atol=1e-14)
    octaves = constant_q(audio, RATE_HZ)
    low = octaves.frequencies_hz < 1000  # above, windows are shorter than a hop, and its largest value is taken
    values = found.grids[View.CONSTANT_Q].values
    wanted = np.maximum(octaves.dbfs, -150.0)
    np.testing.assert_allclose(np.maximum(values, -150.0)[:, low], wanted[:, low], atol=1e-3)
    assert (np.maximum(values, -150.0) >= wanted - 1e-3).all()
    for channel in (0, 1):
        wanted = mfcc(audio[:, channel].astype(np.float32), RATE_HZ)
        np.testing.assert_allclose(
            found.grids[View.MFCC].values[channel].T, wanted, rtol=np.finfo(np.float32).eps, atol=1e-9
        )
    np.testing.assert_array_equal(found.envelope_data.minimum, envelope(audio, RATE_HZ, hop_frames=480).minimum)
    assert found.envelope.minimum.shape == (2, 1200)
    assert found.histogram.counts.sum(axis=1).tolist() == [48000, 48000]


def test_mel_bands_are_librosas(stereo_wav):
    librosa = pytest.importorskip("librosa")
    audio, _ = soundfile.read(stereo_wav)
    found = look(stereo_wav, views=(View.MEL,), keeps_data=True).grids[View.MEL]
    theirs = librosa.feature.melspectrogram(y=audio[:, 0], sr=RATE_HZ, pad_mode="constant")
    wanted = librosa.power_to_db(theirs, amin=1e-10, top_db=None)
    np.testing.assert_allclose(np.maximum(found.values[0], -100), wanted, atol=2e-3)
    centres = librosa.mel_frequencies(130, fmax=RATE_HZ / 2)[1:-1]
    assert np.abs(found.rows - centres).max() < 30


def test_pictures_keep_every_peak(stereo_wav, monkeypatch):
    monkeypatch.setattr(module, "PICTURE_COLUMNS", 20)
    fine = look(stereo_wav, views=(View.SPECTROGRAM,), keeps_data=True).grids[View.SPECTROGRAM]
    coarse = look(stereo_wav, views=(View.SPECTROGRAM, View.WAVEFORM))
    grid = coarse.grids[View.SPECTROGRAM]
    assert (grid.columns_merged, grid.values.shape) == (5, (2, 1025, 19))
    np.testing.assert_array_equal(grid.values[:, :, 3], fine.values[:, :, 15:20].max(axis=2))
    np.testing.assert_array_equal(grid.values[:, :, 18], fine.values[:, :, 90:].max(axis=2))
    assert grid.times_seconds(0.0)[1] == pytest.approx(5 * 512 / RATE_HZ)
    assert coarse.envelope.minimum.shape == (2, 20)


def test_values_at_times_and_parts(stereo_wav):
    audio, _ = soundfile.read(stereo_wav)
    found = look(stereo_wav, at_seconds=(0.9, 0.15, 0.15001), start_seconds=0.2, length_seconds=0.3)
    assert [value.frame for value in found.values] == [43200, 7200, 7200]
    for value in found.values:
        assert value.values == tuple(audio[value.frame])
    assert (found.source.start_frame, found.source.frames_seen, found.source.frames) == (9600, 14400, 48000)
    assert found.levels[0].maximum == audio[9600:24000, 0].max()
    assert found.source.channel_names == ("L", "R")
    assert look(stereo_wav, start_seconds=0.9, length_seconds=5.0).source.frames_seen == 4800


def test_values_that_are_no_numbers_are_told(tmp_path):
    audio = np.full(1000, 0.5, np.float32)
    audio[[3, 500]] = np.nan, np.inf
    soundfile.write(tmp_path / "file.wav", audio, RATE_HZ, "FLOAT")
    found = look(tmp_path / "file.wav", views=(View.HISTOGRAM,))
    assert found.warnings == ("2 frames hold a value that is not finite; replaced by 0",)
    assert (found.levels[0].maximum, found.levels[0].frames_zero) == (0.5, 2)


def test_data_that_would_not_fit_is_refused_and_pictures_leave_it_out(stereo_wav, monkeypatch):
    monkeypatch.setattr(module, "DATA_BYTES", 100_000)
    with pytest.raises(
        RequestError, match=r"spectrogram of 1 s takes 0 MB of memory.*--start and --duration 0.*--show"
    ):
        look(stereo_wav, views=(View.SPECTROGRAM,), keeps_data=True)
    found = look(stereo_wav, views=(View.MFCC, View.SPECTROGRAM))
    assert list(found.grids) == [View.SPECTROGRAM]
    assert "mfcc of 1 s takes" in found.warnings[0]


def test_bad_requests(stereo_wav):
    for options, words in (
        ({"at_seconds": (1.0,)}, r"--at 1: .* is 1.000 s long"),
        ({"at_seconds": (-0.1,)}, "--at -0.1"),
        ({"start_seconds": 1.0}, "--start 1: not within the 1.000 s"),
        ({"fft_frames": 7}, "fft_frames: 7"),
        ({"hop_frames": 2000}, "hop_frames: 2000"),
        ({"views": (View.CONSTANT_Q,), "lowest_hz": 30_000.0}, "lowest_hz 30000"),
    ):
        with pytest.raises(RequestError, match=words):
            look(stereo_wav, **options)


def test_bars_stand_around_the_values_they_count(tmp_path):
    values = np.repeat([-1, 0, 0, 1], 100)
    soundfile.write(tmp_path / "lsb.wav", values.astype(np.int16), RATE_HZ, "PCM_16")
    drawn = layout.bars(look(tmp_path / "lsb.wav", views=(View.HISTOGRAM,)))
    assert (drawn.edges * 32768).tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert drawn.counts.tolist() == [[100, 200, 100]]
