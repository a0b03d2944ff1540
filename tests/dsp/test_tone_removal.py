"""What is left of a tone with something added is that something."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.tone_removal import ToneRemover, block_frames

RATE_HZ = 48000


def left_of(audio, frequency_hz, cuts=()):
    omega = 2 * np.pi * frequency_hz / RATE_HZ
    remover = ToneRemover([omega] * audio.shape[1], block_frames(omega, RATE_HZ))
    parts = [part for block in np.split(audio, cuts) for part in remover.add(block)] + [*remover.finish()]
    return np.concatenate([np.zeros((0, audio.shape[1])), *parts])


def tone(frequency_hz=997.0, frames=RATE_HZ, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(frames)[:, None] / RATE_HZ + 0.4)


@pytest.mark.parametrize("frames", [100, 4799, 4800, 4801, 10000, 48000])
def test_nothing_is_left_of_a_tone(frames):
    left = left_of(tone(frames=frames), 997.0)
    assert left.shape == (frames, 1)
    assert np.abs(left).max() < 1e-9


@pytest.mark.parametrize("off_ppm", [1, 100])
def test_a_frequency_that_is_a_little_off_is_followed(off_ppm):
    left = left_of(tone(997.0 * (1 + off_ppm * 1e-6)), 997.0)
    assert np.abs(left).max() < 1e-7


def test_noise_stays_as_it_was():
    noise = np.random.default_rng(1).normal(0, 1e-4, (RATE_HZ, 1))
    left = left_of(tone() + noise, 997.0)
    assert np.std(left - noise) < 0.06 * np.std(noise)


def test_low_frequencies_and_offset_stay():
    hum = 0.01 + 0.001 * np.sin(2 * np.pi * 20 * np.arange(RATE_HZ)[:, None] / RATE_HZ)
    np.testing.assert_allclose(left_of(tone() + hum, 997.0), hum, atol=5e-5)


def test_a_click_and_a_dropout_stay_and_spread_nothing():
    audio = tone()
    wanted = np.zeros_like(audio)
    wanted[20000], wanted[30000:30300] = 0.3, -audio[30000:30300]
    left = left_of(audio + wanted, 997.0)
    np.testing.assert_allclose(left, wanted, atol=1e-6)


def test_a_slip_is_a_short_burst():
    audio = np.concatenate([tone()[:24000], tone()[24010:]])
    left = left_of(audio, 997.0)
    size = block_frames(2 * np.pi * 997 / RATE_HZ, RATE_HZ)
    assert np.abs(left[: 24000 - size]).max() < 1e-9
    assert np.abs(left[24000 + size :]).max() < 1e-9
    assert np.abs(left[24000 - 100 : 24100]).max() > 0.01


@settings(max_examples=10, derandomize=True)
@given(st.lists(st.integers(0, 20000), max_size=4))
def test_the_cut_into_blocks_changes_nothing_to_be_heard(cuts):
    audio = tone(frames=20000) + np.random.default_rng(1).normal(0, 1e-3, (20000, 1))
    np.testing.assert_allclose(left_of(audio, 997.0, sorted(cuts)), left_of(audio, 997.0), atol=1e-5)
