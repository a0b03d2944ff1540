"""The constant-Q transform against its definition (Brown 1991), computed directly, and against librosa."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.constant_q import ConstantQStream, Plan, constant_q
from rtpverify.errors import RequestError

RATE_HZ = 48000
A1_HZ = 55.0


def directly(audio, frequency_hz, frame, bins_per_octave, rate_hz=RATE_HZ):
    """Return one value by the definition: audio times a windowed exponential, no tricks."""
    length = rate_hz / frequency_hz / (2 ** (1 / bins_per_octave) - 1)
    half = int(np.ceil(length / 2))
    offset = np.arange(-half, half + 1)
    window = np.where(np.abs(offset) < length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * offset / length), 0)
    padded = np.pad(audio, half)
    wave = np.exp(-2j * np.pi * frequency_hz / rate_hz * offset)
    return 2 / window.sum() * np.sum(padded[frame : frame + 2 * half + 1] * window * wave)


@pytest.mark.parametrize("bins_per_octave", [12, 24])
def test_every_bin_is_what_its_definition_says(bins_per_octave):
    audio = np.random.default_rng(1).uniform(-1, 1, 60000)
    found = constant_q(audio, RATE_HZ, lowest_hz=A1_HZ, bins_per_octave=bins_per_octave, hop_frames=700)
    for k in range(0, len(found.frequencies_hz), 7):
        frequency_hz = A1_HZ * 2 ** (k / bins_per_octave)
        assert found.frequencies_hz[k] == pytest.approx(frequency_hz)
        for column in (0, 1, 40, 85):
            wanted = directly(audio, frequency_hz, 700 * column, bins_per_octave)
            # Halving the rate is flat to 0.003 dB up to 0.8 of the band; wide windows reach beyond.
            assert found.values[0, k, column] == pytest.approx(wanted, abs=6e-4)


@pytest.mark.parametrize("k", [0, 13, 58, 101, 180, 205])
def test_a_sine_falls_in_its_bin_with_its_level_and_phase(k):
    frequency_hz = A1_HZ * 2 ** (k / 24)
    audio = 0.25 * np.cos(2 * np.pi * frequency_hz * np.arange(3 * RATE_HZ) / RATE_HZ + 0.7)
    found = constant_q(audio, RATE_HZ, lowest_hz=A1_HZ, hop_frames=480)
    column = found.values[0, :, 150]
    assert np.abs(column).argmax() == k
    assert found.dbfs[0, k, 150] == pytest.approx(20 * np.log10(0.25), abs=0.002)
    at = 150 * 480
    expected = np.exp(1j * (2 * np.pi * frequency_hz * at / RATE_HZ + 0.7))
    assert column[k] / np.abs(column[k]) == pytest.approx(expected, abs=1e-3)
    assert found.times_seconds[150] == pytest.approx(1.5)


def test_notes_stand_where_librosa_puts_them():
    librosa = pytest.importorskip("librosa")
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    notes_hz = (110.0, 277.18, 659.26, 2093.0)
    audio = sum(0.2 * np.sin(2 * np.pi * f * time) for f in notes_hz)
    found = constant_q(audio, RATE_HZ, lowest_hz=A1_HZ, highest_hz=A1_HZ * 2**6.99, bins_per_octave=12)
    theirs = np.abs(
        librosa.cqt(audio, sr=RATE_HZ, fmin=A1_HZ, n_bins=84, bins_per_octave=12, hop_length=512, scale=False)
    )
    assert found.values.shape[1:] == theirs.shape
    column = found.dbfs[0, :, 94]
    mine = [k for k in range(1, 83) if column[k] > max(column[k - 1], column[k + 1], -20)]
    column = 20 * np.log10(theirs[:, 94] / theirs[:, 94].max())
    assert mine == [k for k in range(1, 83) if column[k] > max(column[k - 1], column[k + 1], -30)]
    assert mine == [round(12 * np.log2(f / A1_HZ)) for f in notes_hz]


@settings(max_examples=6, derandomize=True)
@given(st.lists(st.integers(0, 20000), min_size=1, max_size=5))
def test_the_cut_into_blocks_changes_nothing(lengths):
    audio = np.random.default_rng(1).uniform(-1, 1, (max(1, sum(lengths)), 2))
    whole = constant_q(audio, RATE_HZ, lowest_hz=110.0).values
    stream = ConstantQStream(Plan.of(RATE_HZ, 110.0, None, 24), 2, 512)
    parts = [part for block in np.split(audio, np.cumsum(lengths)) for part in stream.add(block)] + [*stream.finish()]
    np.testing.assert_allclose(np.concatenate(parts).transpose(1, 2, 0), whole, atol=1e-10)


def test_segments_of_a_long_recording_join(monkeypatch):
    audio = np.random.default_rng(1).uniform(-1, 1, (150_000, 1))
    whole = constant_q(audio, RATE_HZ, lowest_hz=110.0).values
    monkeypatch.setattr("rtpverify.dsp.constant_q._SEGMENT_FRAMES", 20_000)
    np.testing.assert_allclose(constant_q(audio, RATE_HZ, lowest_hz=110.0).values, whole, atol=1e-7)


def test_short_windows_do_not_miss_what_lies_between_columns():
    audio = np.zeros((30_000, 1))
    audio[512 * 20 + 256] = 1.0
    plan = Plan.of(RATE_HZ, 110.0, None, 24)
    held, textbook = (ConstantQStream(plan, 1, 512, holds_peaks=holds) for holds in (True, False))
    held, textbook = (np.concatenate([*stream.add(audio), *stream.finish()])[20, 0] for stream in (held, textbook))
    highest = plan.frequencies_hz > 10_000
    assert np.abs(textbook[highest]).max() < 1e-3
    assert np.abs(held[highest]).min() > 0.5 * 2 / (RATE_HZ / 10_000 / (2 ** (1 / 24) - 1)) * 2
    low = plan.frequencies_hz < 200
    np.testing.assert_allclose(held[low], textbook[low], atol=1e-12)


def test_bad_requests():
    audio = np.zeros(1000)
    for options, words in (
        ({"lowest_hz": 0}, "lowest_hz"),
        ({"lowest_hz": 23000}, "no range below half the sample rate of 48000 Hz"),
        ({"highest_hz": 24000}, "no range below half"),
        ({"bins_per_octave": 0}, "bins_per_octave: 0"),
        ({"hop_frames": 0}, "hop_frames: 0"),
    ):
        with pytest.raises(RequestError, match=words):
            constant_q(audio, RATE_HZ, **options)
