"""Figures of a channel against numpy's on the same values, and verdicts on what sounds like silence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.silence import SilenceKind
from rtpverify.dsp.statistics import LevelMeter, levels
from rtpverify.errors import RequestError

RATE_HZ = 48000
FRAMES = 2 * RATE_HZ
LSB = 2.0**-15


def sine(level_dbfs, frequency_hz=997.0, frames=FRAMES):
    return 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * frequency_hz * np.arange(frames) / RATE_HZ)


def dither(seed=1, frames=FRAMES):
    """Triangular dither of two steps, as it stands in a file of 16 bits that holds nothing else."""
    random = np.random.default_rng(seed)
    return random.random(frames) - random.random(frames)


def quantised(audio, bits=16):
    return np.round(audio * 2 ** (bits - 1)) / 2 ** (bits - 1)


def one(audio, bits=16):
    [found] = levels(audio, RATE_HZ, bits=bits)
    return found


def test_a_sine():
    found = one(quantised(sine(-20) + 0.01, 24), bits=24)
    assert found.level_dbfs == pytest.approx(-20, abs=1e-4)
    assert found.crest_db == pytest.approx(3.0103, abs=1e-3)
    assert found.dc_offset == pytest.approx(0.01, abs=1e-7)
    assert found.peak_dbfs == pytest.approx(20 * np.log10(0.11), abs=1e-3)
    assert found.noise_floor_dbfs == pytest.approx(20 * np.log10(2.0**-23 / np.sqrt(6)), abs=1.5)
    assert (found.bits_used, found.frames_full_scale, found.silence) == (24, 0, None)


def test_extremes_and_where_they_stand():
    audio = np.zeros((100, 2))
    audio[[10, 30], 0], audio[[20, 50], 0], audio[60:75, 1] = 0.5, -1.0, 0.25
    left, right = levels(audio, RATE_HZ, bits=16)
    assert (left.minimum, left.minimum_frame, left.maximum, left.maximum_frame) == (-1.0, 20, 0.5, 10)
    assert (left.frames_zero, left.frames_full_scale, left.longest_run_frames) == (96, 2, 49)
    assert (right.minimum, right.maximum, right.maximum_frame, right.longest_run_frames) == (0.0, 0.25, 60, 60)
    assert (left.bits_used, right.bits_used) == (2, 3)


@settings(max_examples=25, derandomize=True)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=5), st.integers(0, 9))
def test_the_cut_into_blocks_changes_nothing(lengths, seed):
    audio = quantised(np.random.default_rng(seed).normal(0, 1e-4, (max(1, sum(lengths)), 2)))
    meter = LevelMeter(2, RATE_HZ, 16)
    for block in np.split(audio, np.cumsum(lengths)):
        meter.add(block)
    for part, whole, column in zip(meter.result(), levels(audio, RATE_HZ, bits=16), audio.T, strict=True):
        assert part.longest_run_frames == whole.longest_run_frames
        assert (part.minimum, part.maximum, part.frames_zero) == (column.min(), column.max(), (column == 0).sum())
        assert part.maximum_frame == whole.maximum_frame == column.argmax()
        assert part.dc_offset == pytest.approx(column.mean(), abs=1e-12)
        if column.any() and (column != column[0]).any():
            assert part.level_dbfs == pytest.approx(20 * np.log10(column.std() * np.sqrt(2)), abs=1e-6)
            assert part.noise_floor_dbfs == pytest.approx(whole.noise_floor_dbfs)


@pytest.mark.parametrize("level_dbfs", [-30.0, -90.0, -120.0])
def test_the_noise_floor_is_that_of_the_noise_under_tones(level_dbfs):
    noise = np.random.default_rng(1).normal(0, 10 ** (level_dbfs / 20) / np.sqrt(2), FRAMES)
    assert one(sine(-6) + sine(-12, 3001.3) + noise, bits=None).noise_floor_dbfs == pytest.approx(level_dbfs, abs=0.5)


def test_the_noise_floor_is_that_of_a_pause():
    audio = np.random.default_rng(1).normal(0, 1e-4, 4 * RATE_HZ)
    audio[:RATE_HZ] += np.random.default_rng(2).normal(0, 0.1, RATE_HZ)
    audio[3 * RATE_HZ :] = 0.0  # and what is no noise at all does not count
    assert one(audio, bits=None).noise_floor_dbfs == pytest.approx(20 * np.log10(1e-4 * np.sqrt(2)), abs=0.6)


class TestSilence:
    def test_digital_silence(self):
        found = one(np.zeros(FRAMES))
        assert (found.silence.kind, found.silence.is_silent) == (SilenceKind.DIGITAL_SILENCE, True)
        unmeasured = (found.level_dbfs, found.peak_dbfs, found.crest_db, found.noise_floor_dbfs, found.bits_used)
        assert unmeasured == (None,) * 5

    @pytest.mark.parametrize(("steps", "level"), [(3, "-80.8"), (4, "-78.3"), (8192, "-12.0"), (-32768, "0.0")])
    def test_dc_only_is_told_in_steps_of_the_encoding(self, steps, level):
        found = one(np.full(FRAMES, steps * LSB))
        assert found.silence.kind is SilenceKind.DC_ONLY
        assert found.silence.level_dbfs == pytest.approx(20 * np.log10(abs(steps) * LSB))
        assert found.silence.text == f"not silent: DC only, every frame is {steps:+,d} LSB ({level} dBFS)"
        assert found.level_dbfs is None

    def test_one_lsb(self):
        audio = np.zeros(FRAMES)
        audio[[7, 5000, 70000]] = -LSB
        found = one(audio)
        assert found.silence.kind is SilenceKind.ONE_LSB
        assert "3 of 96,000 frames are -1 LSB (-90.3 dBFS) and the rest 0" in found.silence.text

    def test_the_lowest_bit_in_use(self):
        audio = np.full(FRAMES, 4 * LSB)
        audio[[7, 5000, 70000]] = 6 * LSB
        found = one(audio)
        assert found.silence.kind is SilenceKind.ONE_LSB
        assert "the lowest of 15 bits in use, 3 of 96,000 frames are +6 LSB" in found.silence.text
        assert "the rest +4 LSB" in found.silence.text

    @pytest.mark.parametrize("mean", [0.0, 0.4, 5.0])
    def test_dither_only(self, mean):
        found = one(np.round(dither() + mean) * LSB)
        assert found.silence.kind is SilenceKind.DITHER_ONLY
        assert found.silence.level_dbfs == pytest.approx(-93.3, abs=0.8)
        assert "dither of 16 bits only" in found.silence.text

    def test_dither_of_16_bits_in_24(self):
        found = one(np.round(dither()) * LSB, bits=24)
        assert found.silence.kind is SilenceKind.DITHER_ONLY
        assert "dither of 16 bits only, -1 to +1 LSB" in found.silence.text

    @pytest.mark.parametrize("level_dbfs", [-70.0, -90.0, -100.0])
    def test_a_signal_far_down(self, level_dbfs):
        found = one(np.round(sine(level_dbfs) / LSB + dither()) * LSB)
        assert found.silence.kind is SilenceKind.LOW_LEVEL_SIGNAL
        assert found.silence.frequency_hz == pytest.approx(997, abs=1)
        assert f"({level_dbfs:.1f} dBFS)" in found.silence.text

    @pytest.mark.parametrize("bits", [16, None])
    def test_noise_far_down(self, bits):
        noise = np.random.default_rng(1).normal(0, 1e-4, FRAMES)
        found = one(quantised(noise) if bits else noise, bits=bits)
        assert found.silence.kind is SilenceKind.LOW_LEVEL_NOISE
        assert found.silence.level_dbfs == pytest.approx(-77, abs=0.1)

    def test_a_signal(self):
        assert one(sine(-59)).silence is None
        assert one(np.random.default_rng(1).normal(0, 0.01, FRAMES), bits=None).silence is None

    @pytest.mark.parametrize("frames", [1, 2, 100, 5000])
    def test_short_ones(self, frames):
        assert one(np.zeros(frames)).silence.is_silent
        assert one(sine(-6, frames=frames) + 0.1, bits=None).silence is None or frames == 1
        assert one(np.round(dither(frames=frames)) * LSB).silence is not None


def test_bad_requests():
    with pytest.raises(RequestError, match="int16 holds no full scale"):
        levels(np.zeros(5, np.int16), RATE_HZ)
    with pytest.raises(RequestError, match="sample_rate_hz"):
        levels(np.zeros(5), 0)
