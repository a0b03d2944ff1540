"""A recording as the engine of explanations sees it."""

import numpy as np
import pytest

from rtpverify.detect.explain import Explanation, Noise
from rtpverify.detect.recording.model import in_step, learn_noise, static_fit
from rtpverify.detect.recording.programme import Programme
from rtpverify.detect.recording.reference import ModelReference, event_of
from rtpverify.detect.recording.settings import Settings
from rtpverify.events import ChannelSwapSize, RepeatSize, SlipSize
from rtpverify.limits import PROFILES
from tests.helpers.programme import RATE_HZ, Audio, music, quantised

AT, FRAMES = 100_000, 2400


@pytest.fixture(scope="module")
def audio():
    return quantised(music(4, seed=5))


def reference(audio, *, companded=False):
    programme = Programme(Audio(audio), RATE_HZ, looped=False)
    settings = Settings(RATE_HZ, 2, 960, None if companded else 16, companded, PROFILES["digital"])
    return ModelReference(in_step(programme, 0, settings.step), settings)


def test_it_expects_what_the_recording_holds(audio):
    held = reference(audio)
    np.testing.assert_array_equal(held.expected(AT, AT + FRAMES), audio[AT : AT + FRAMES, 0])
    assert (held.sample_rate_hz, held.bits, held.omega) == (RATE_HZ, 16, None)


@pytest.mark.parametrize("lag", [1, -1, 480, -4800, 40_000])
def test_content_of_another_place_is_found_to_the_frame(audio, lag):
    x = audio[AT + lag : AT + lag + FRAMES, 0]
    first, *_ = reference(audio).elsewhere(AT, x, np.ones(FRAMES, bool))
    assert first.size == SlipSize(slip_frames=lag)
    np.testing.assert_array_equal(first.reference.expected(AT, AT + FRAMES), x)


def test_the_other_channels_are_known(audio):
    [other] = reference(audio).others()
    assert other.size == ChannelSwapSize(reference_channel=2)
    np.testing.assert_array_equal(other.reference.expected(AT, AT + FRAMES), audio[AT : AT + FRAMES, 1])


def test_noise_in_order_is_that_of_the_channel(audio):
    held = reference(audio)
    assert held.noise(AT, AT + FRAMES) == Noise.of_rounding(2.0**-15)
    rng = np.random.default_rng(1)
    x = audio[AT : AT + 48_000, 0] + 1e-3 * rng.standard_normal(48_000)
    noisy = static_fit(held.model, x, np.ones(len(x), bool), AT, held.settings.step)
    noise = ModelReference(noisy, held.settings).noise(AT, AT + FRAMES)
    assert noise.rms == pytest.approx(1e-3, rel=0.1)


def test_noise_of_companded_audio_goes_with_the_signal(audio):
    held = reference(audio, companded=True)
    assert learn_noise(np.zeros(1), np.zeros(1), None).sigma == 0.0
    sigma = held.noise(AT, AT + FRAMES).sigma
    expected = np.abs(held.expected(AT, AT + FRAMES))
    assert sigma[expected.argmax()] > sigma[expected.argmin()] > 0.0


@pytest.mark.parametrize(
    ("frames", "ended", "size"),
    [
        (-480, True, RepeatSize(repeat_distance_frames=480)),
        (-480, False, SlipSize(slip_frames=-480)),
        (480, True, SlipSize(slip_frames=480)),
    ],
)
def test_content_from_before_and_back_in_step_is_a_repeat(frames, ended, size):
    empty = np.zeros(0)
    found = Explanation(SlipSize(slip_frames=frames), "", 10, 30, 99.0, 1.0, {}, ended, empty, Noise(1.0), empty > 0)
    event = event_of(found)
    assert (event.size, event.start_frame, event.duration_frames, event.confidence) == (size, 10, 20, 1.0)
