import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.errors import ConfigurationError
from rtpverify.events import Kind
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import ToneSignal

RATE_HZ = 48000


@dataclass
class Ramp:
    """Sample = frame / 2^20 + channel / 4: what was read can be read off."""

    channels: int = 2
    frames: int | None = None
    sample_rate_hz: int = RATE_HZ
    period_frames: int | None = None

    @property
    def peak(self):
        return np.ones(self.channels)

    def read(self, start_frame, frames):
        return np.arange(start_frame, start_frame + frames)[:, None] / 2**20 + np.arange(self.channels) / 4


def at(frame):
    return repr(frame / RATE_HZ)


def damaged(*faults, signal=None, bits=24, **options):
    return DamagedSignal(signal or Ramp(), [parse_fault(fault) for fault in faults], bits=bits, **options)


def frames_of(samples):
    """What frame of the ramp each sample came from, shape (frames, channels)."""
    return np.rint((samples - np.arange(samples.shape[1]) / 4) * 2**20).astype(int)


EVERY = [
    "slip:at=0.01,frames=48,channel=1",
    "slip:at=0.05,frames=-7",
    "dropout:at=0.02,frames=33,mode=hold",
    "dropout:at=0.021,frames=33",
    "repeat:at=0.03,frames=100,back=200",
    "click:at=0.031,size=0.2,channel=2",
    "click:at=0.0315,bit=5",
    "gain:at=0.032,db=-3,duration=0.01",
    "gain:at=0.04,drift_db_per_second=2,channel=2",
    "clipping:at=0.045,level=0.05,duration=0.01",
    "distortion:at=0.05,duration=0.01",
    "noise:at=0.055,dbfs=-70",
    "dc_offset:at=0.06,offset=0.01,duration=0.01",
    "frequency:at=0.065,ppm=25,duration=0.02",
    "sample_rate:at=0.09,made_for=44100,channel=1,duration=0.01",
    "silence:at=0.1,channel=2,duration=0.01",
    "channel_swap:at=0.11,duration=0.01",
    "polarity:at=0.12,channel=1,duration=0.01",
    "word_length:at=0.13,bits=12,duration=0.01",
    "byte_order:at=0.14,duration=0.01",
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12), st.integers(0, 3000))
def test_any_way_of_cutting_gives_the_same_samples(sizes, start):
    options = {"signal": ToneSignal([997.0, 1499.0]), "dither": "tpdf", "noise_dbfs": -80.0}
    whole = damaged(*EVERY, **options).read(start, sum(sizes))
    cut = damaged(*EVERY, **options)
    parts, frame = [], start
    for size in sizes:
        parts.append(cut.read(frame, size))
        frame += size
    assert (np.concatenate(parts) == whole).all()


def test_without_faults_it_is_the_signal_rounded():
    tone = ToneSignal([1283.0])
    clean = damaged(signal=tone, bits=16)
    assert (clean.read(100, 5000) == np.rint(tone.read(100, 5000) * 32768) / 32768).all()
    assert clean.period_frames == 48000
    assert clean.expected == []
    assert damaged(signal=tone, bits=16, dither="tpdf").period_frames is None


@pytest.mark.parametrize("frames", [48, -48])
def test_slip_moves_everything_after_it(frames):
    found = frames_of(damaged(f"slip:at={at(1000)},frames={frames},channel=2").read(900, 300))
    expected = np.arange(900, 1200)
    assert (found[:, 0] == expected).all()
    assert (found[:, 1] == np.where(expected < 1000, expected, expected + frames)).all()


def test_slips_add_up():
    found = frames_of(damaged("slip:at=0.01,frames=10", "slip:at=0.02,frames=-3").read(2000, 10))
    assert (found == np.arange(2007, 2017)[:, None]).all()


def test_repeat_plays_an_earlier_stretch_and_is_back_in_step():
    found = frames_of(damaged(f"repeat:at={at(1000)},frames=100").read(950, 200))[:, 0]
    assert found.tolist() == [*range(950, 1000), *range(900, 1000), *range(1100, 1150)]


def test_dropout_mutes_or_holds():
    zero = damaged(f"dropout:at={at(1000)},frames=5,channel=1").read(998, 9)
    assert zero[2:7, 0].tolist() == [0.0] * 5
    assert (frames_of(zero)[:, 1] == np.arange(998, 1007)).all()
    held = frames_of(damaged(f"dropout:at={at(1000)},frames=5,mode=hold").read(998, 9))[:, 0]
    assert held.tolist() == [998, 999, *[999] * 5, 1005, 1006]


def test_click_by_size_and_by_bit():
    clean = damaged().read(990, 20)
    size = damaged(f"click:at={at(1000)},size=-0.125,channel=1").read(990, 20) - clean
    assert np.argwhere(size).tolist() == [[10, 0]]
    assert size[10, 0] == -0.125
    bit = damaged(f"click:at={at(1000)},bit=0,channel=2").read(990, 20) - clean
    assert np.argwhere(bit).tolist() == [[10, 1]]
    assert abs(bit[10, 1]) == 2.0**-23


def test_gain_steps_and_drifts():
    tone = ToneSignal([1000.0])
    clean = tone.read(0, RATE_HZ)
    step = damaged("gain:at=0.25,db=-6,duration=0.5", signal=tone, bits=None).read(0, RATE_HZ)
    gain = np.where((np.arange(RATE_HZ) >= 12000) & (np.arange(RATE_HZ) < 36000), 10 ** (-6 / 20), 1.0)
    np.testing.assert_allclose(step, clean * gain[:, None], atol=1e-15)
    drift = damaged("gain:at=0.5,drift_db_per_second=2", signal=tone, bits=None).read(47988, 1)
    np.testing.assert_allclose(drift, tone.read(47988, 1) * 10 ** ((47988 - 24000) / 24000 / 20), atol=1e-15)


def test_distortion_adds_the_harmonics_asked_for_and_no_other():
    tone = ToneSignal([1000.0], level_dbfs=-12.0)
    faulty = damaged("distortion:at=0,harmonics_db=-40/-60/-50", signal=tone, bits=None)
    spectrum = np.abs(np.fft.rfft(faulty.read(0, RATE_HZ)[:, 0]))
    levels = 20 * np.log10(np.maximum(spectrum, 1e-9) / spectrum[1000])
    np.testing.assert_allclose(levels[[2000, 3000, 4000]], [-40, -60, -50], atol=1e-3)
    levels[[1000, 2000, 3000, 4000]] = -300
    assert levels[1:].max() < -200
    assert faulty.expected[0].size["thd_db"] == pytest.approx(10 * math.log10(1e-4 + 1e-6 + 1e-5))


def test_noise_has_the_level_asked_for():
    tone = ToneSignal([1000.0])
    noise = damaged("noise:at=0,dbfs=-60", signal=tone, bits=None).read(0, RATE_HZ) - tone.read(0, RATE_HZ)
    assert 10 * np.log10(2 * np.mean(noise**2)) == pytest.approx(-60, abs=0.1)


@pytest.mark.parametrize(
    ("fault", "frequency_hz"),
    [
        ("frequency:at=1,ppm=50", 1000.05),
        ("frequency:at=1,hz=1200", 1200.0),
        ("sample_rate:at=1,made_for=44100", 1000 * 48000 / 44100),
    ],
)
def test_frequency_changes_with_the_phase_going_on(fault, frequency_hz):
    faulty = damaged(fault, signal=ToneSignal([1000.0]), bits=None)
    samples = faulty.read(RATE_HZ, RATE_HZ)[:, 0]
    expected = 0.1 * np.sin(2 * np.pi * frequency_hz / RATE_HZ * np.arange(RATE_HZ))
    np.testing.assert_allclose(samples, expected, atol=1e-11)
    assert faulty.expected[0].size["frequency_hz"] == pytest.approx(frequency_hz)


def test_frequency_after_a_slip_sets_in_where_it_should():
    tone = ToneSignal([1000.0])
    faulty = damaged("slip:at=0.5,frames=480000", "frequency:at=1,hz=1500", signal=tone, bits=None)
    assert (faulty.read(30_000, 18_000) == tone.read(510_000, 18_000)).all()
    later = faulty.read(RATE_HZ, 480)[:, 0]
    np.testing.assert_allclose(later, 0.1 * np.sin(2 * np.pi * 1500 / RATE_HZ * np.arange(480)), atol=1e-11)


def test_the_plain_ones():
    clean = damaged().read(0, 100)
    assert (damaged("polarity:at=0,channel=1").read(0, 100) == clean * [-1, 1]).all()
    assert (damaged("silence:at=0,channel=2").read(0, 100) == clean * [1, 0]).all()
    assert (damaged("channel_swap:at=0").read(0, 100) == clean[:, ::-1]).all()
    assert (damaged("dc_offset:at=0,offset=0.125").read(0, 100) == clean + 0.125).all()
    assert (damaged("clipping:at=0,level=0.125").read(0, 100) == np.minimum(clean, 0.125)).all()


def test_bits_are_emptied_and_bytes_swapped():
    clean = np.rint(damaged().read(-50, 100) * 2**23).astype(int)
    empty = np.rint(damaged("word_length:at=0,bits=16").read(0, 50) * 2**23).astype(int)
    assert (empty == (clean[50:] >> 8) << 8).all()
    swapped = np.rint(damaged("byte_order:at=0").read(0, 50) * 2**23).astype(int)
    for before, after in zip(clean[50:].ravel(), swapped.ravel(), strict=True):
        assert int(before).to_bytes(3, "big", signed=True) == int(after).to_bytes(3, "little", signed=True)


def test_what_a_perfect_verifier_reports():
    faulty = damaged(*EVERY, signal=ToneSignal([997.0, 1499.0]))
    found = [(item.kind, item.channel, item.start_frame, item.duration_frames) for item in faulty.expected]
    assert found[0] == (Kind.SLIP, 1, 480, 0)
    assert found[2] == (Kind.DROPOUT, None, 960, 33)
    assert found[5] == (Kind.CLICK, 2, 1488, 1)
    assert found[8] == (Kind.GAIN, 2, 1920, None)
    assert found[16] == (Kind.CHANNEL_SWAP, None, 5280, 480)
    assert faulty.expected[0].size == {"slip_frames": 48}
    assert faulty.expected[6].size == {"deviation": 2.0**-18}


@pytest.mark.parametrize(
    ("fault", "options", "told"),
    [
        ("slip:at=1,frames=4,channel=3", {}, "channel=3 of 2"),
        ("channel_swap:at=1,other=1", {}, "other=1"),
        ("channel_swap:at=1", {"signal": Ramp(channels=1)}, "other=2"),
        ("frequency:at=1,ppm=3", {}, "frequency needs a tone"),
        ("frequency:at=1,hz=24000", {"signal": ToneSignal()}, "24000 Hz"),
        ("word_length:at=1,bits=24", {}, "bits=24 in samples of 24 bits"),
        ("click:at=1,bit=16", {"bits": 16}, "bit=16 in samples of 16 bits"),
        ("byte_order:at=1", {"bits": None}, "linear PCM"),
        ("byte_order:at=1", {"bits": 20}, "not 20"),
        ("loss:at=1,packets=1", {}, "is a transport fault and needs packets"),
    ],
)
def test_a_fault_that_does_not_fit_is_told(fault, options, told):
    with pytest.raises(ConfigurationError, match=told) as error:
        damaged(fault, **options)
    assert fault in str(error.value)
