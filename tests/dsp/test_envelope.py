import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.envelope import EnvelopeMeter, PointMeter, envelope
from rtpverify.dsp.hilbert import HALF_FRAMES
from rtpverify.errors import RequestError


def test_values_of_every_hop():
    found = envelope(np.array([1.0, -2.0, 3.0, 0.5, 0.25, 7.0, -1.0]) / 8, 10.0, hop_frames=3)
    assert (found.minimum * 8).tolist() == [[-2.0, 0.25, -1.0]]
    assert (found.maximum * 8).tolist() == [[3.0, 7.0, -1.0]]
    np.testing.assert_allclose(found.times_seconds, [0.0, 0.3, 0.6])


@settings(max_examples=30, derandomize=True)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(1, 20))
def test_the_cut_into_blocks_changes_nothing(lengths, hop):
    audio = np.random.default_rng(1).uniform(-1, 1, (max(1, sum(lengths)), 2))
    meter = EnvelopeMeter(2, hop)
    for block in np.split(audio, np.cumsum(lengths)):
        meter.add(block)
    part, whole = meter.result(48000), envelope(audio, 48000, hop_frames=hop)
    np.testing.assert_array_equal(part.minimum, whole.minimum)
    np.testing.assert_array_equal(part.maximum, whole.maximum)
    np.testing.assert_allclose(part.rms, whole.rms, atol=1e-15)
    np.testing.assert_allclose(part.hilbert, whole.hilbert, atol=1e-13)
    assert whole.minimum.shape == (2, -(-len(audio) // hop))


def test_what_is_no_audio_is_refused():
    for bad, words in (
        (np.zeros(0), "at least one frame"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros(3, np.int16), "int16 holds no full scale"),
        (np.array([0.0, 1.0, np.nan]), "frame 2 holds a value that is not finite"),
    ):
        with pytest.raises(RequestError, match=words):
            envelope(bad, 48000)
    with pytest.raises(RequestError, match="hop_frames: 0"):
        envelope(np.zeros(3), 48000, hop_frames=0)
    with pytest.raises(RequestError, match="sample_rate_hz"):
        envelope(np.zeros(3), -1)


class TestAt:
    @pytest.mark.parametrize("seconds", [0.3, 0.7512, 1.2])
    def test_a_tone_has_its_amplitude_everywhere(self, seconds):
        time = np.arange(2 * 48000) / 48000
        tones = np.stack([0.5 * np.sin(2 * np.pi * 997 * time), 0.1 * np.cos(2 * np.pi * 60 * time + 1)], axis=1)
        point = envelope(tones, 48000).at(seconds)
        np.testing.assert_allclose(point.hilbert, [0.5, 0.1], rtol=2e-4)
        np.testing.assert_allclose(point.peak[0], 0.5, rtol=1e-3)
        np.testing.assert_allclose(point.rms[0], 0.5 / np.sqrt(2), rtol=0.02)

    def test_a_beat_is_followed(self):
        time = np.arange(2 * 48000) / 48000
        amplitude = 0.3 + 0.2 * np.cos(2 * np.pi * 4 * time)
        found = envelope(amplitude * np.sin(2 * np.pi * 3000 * time), 48000)
        for frame in range(20_000, 70_000, 777):
            np.testing.assert_allclose(found.at(frame / 48000).hilbert, [amplitude[frame]], rtol=1e-3)

    def test_peak_and_rms_are_those_of_the_hop(self):
        audio = np.array([1.0, -2.0, 3.0, 0.5, 0.25, 7.0, -1.0]) / 8
        found = envelope(audio, 10.0, hop_frames=3)
        point = found.at(0.45)
        assert point.peak.tolist() == [7 / 8]
        np.testing.assert_allclose(point.rms, np.sqrt(np.mean(audio[3:6] ** 2)))
        assert found.at(0.7).peak.tolist() == [1 / 8]
        for outside in (-0.1, 0.91):
            with pytest.raises(RequestError, match=r"is not within the 0\.9 s"):
                found.at(outside)

    @settings(max_examples=20, derandomize=True)
    @given(st.integers(0, 29_999), st.lists(st.integers(1, 20_000), min_size=1, max_size=5))
    def test_a_point_is_that_of_the_audio_around_it_however_it_is_cut(self, frame, lengths):
        audio = np.random.default_rng(2).uniform(-1, 1, (30_000, 2))
        meter, first = PointMeter(frame, 2), 0
        for block in np.split(audio, np.cumsum(lengths)):
            meter.add(first, block)
            first += len(block)
        point = meter.result()
        around = audio[max(0, frame - 240) : frame + 240]
        np.testing.assert_allclose(point.peak, np.abs(around).max(axis=0))
        np.testing.assert_allclose(point.rms, np.sqrt(np.mean(around**2, axis=0)))
        exact = envelope(audio, 48000, hop_frames=1)
        np.testing.assert_allclose(point.hilbert, exact.hilbert[:, frame], atol=1e-12)


def test_the_hilbert_envelope_is_scipys_within_the_signal():
    from scipy.signal import hilbert

    noise = np.random.default_rng(3).standard_normal(60_000)
    band = np.fft.irfft(np.fft.rfft(noise) * (np.abs(np.fft.rfftfreq(60_000) - 0.25) < 0.24))
    found = envelope(band, 48000, hop_frames=1).hilbert[0]
    inside = slice(HALF_FRAMES, -HALF_FRAMES)
    assert np.abs(found - np.abs(hilbert(band)))[inside].max() < 1e-3 * np.abs(band).max()
