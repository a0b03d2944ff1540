"""Every fault in recordings like music and speech: found, named, to the frame; nothing on clean pairs."""

import numpy as np
import pytest

from tests.helpers.programme import MATERIAL, RATE_HZ, converted, damaged, music, quantised, speech, told, verify

AT = 120000

STRETCHES = {
    "dropout:at=2.5,duration=0.001": ("dropout", None, 48),
    "dropout:at=2.5,duration=0.3,mode=hold": ("dropout", None, 14400),
    "dropout:at=2.5,duration=2": ("dropout", None, 96000),
    "repeat:at=2.5,duration=0.005": ("repeat", None, 240),
    "repeat:at=2.5,duration=0.05,back=4800": ("repeat", None, 2400),
    "click:at=2.5,bit=0": ("click", None, 1),
    "click:at=2.5,size=0.1,frames=3,channel=1": ("click", 1, 3),
    "slip:at=2.5,frames=48": ("slip", None, 0),
    "slip:at=2.5,frames=-48": ("slip", None, 0),
    "slip:at=2.5,frames=1": ("slip", None, 0),
    "slip:at=2.5,frames=-4096": ("slip", None, 0),
    "slip:at=2.5,frames=48,channel=2": ("slip", 2, 0),
    "silence:at=2.5": ("silence", None, None),
    "byte_order:at=2.5": ("byte_order", None, None),
    "word_length:at=2.5,bits=12": ("word_length", None, None),
    "noise:at=2.5,dbfs=-60": ("noise", None, None),
    "noise:at=2.5,dbfs=-60,duration=1.2": ("noise", None, 57600),
    "distortion:at=2.5": ("distortion", None, None),
    "clipping:at=2.5,level=0.25": ("clipping", None, None),
    "gain:at=2.5,db=0.1": ("gain", None, None),
    "gain:at=2.5,db=-6,duration=1": ("gain", None, 48000),
    "gain:at=2.5,drift_db_per_second=0.2": ("gain", None, None),
    "dc_offset:at=2.5,offset=0.001": ("dc_offset", None, None),
    "polarity:at=2.5": ("polarity", None, None),
    "polarity:at=2.5,channel=2": ("polarity", 2, None),
    "channel_swap:at=2.5": ("channel_swap", None, None),
}
"""Kind, channel and duration (None: to the end) that each is told as."""


def visible_from(reference, received):
    """The first frame that differs: none before it can tell."""
    return int(np.flatnonzero((reference != received).any(axis=1))[0])


NAMED = ("dropout:at=2.5,duration=0.001", "slip:at=2.5,frames=48", "gain:at=2.5,db=0.1")
"""What has to be found in both."""
CASES = [
    (fault, material)
    for n, fault in enumerate(STRETCHES)
    for m, material in enumerate(MATERIAL)
    if fault in NAMED or n % 2 == m
]


@pytest.mark.parametrize(("fault", "material"), CASES)
def test_a_fault_is_told_once_with_its_name_and_place(fault, material):
    reference = quantised(MATERIAL[material](5, seed=3))
    received, [expected] = damaged(reference, fault)
    result = verify(reference, received)
    kind, channel, duration = STRETCHES[fault]
    assert len(result.events) == 1, told(result)
    [event] = result.events
    assert (str(event.kind), event.channel) == (kind, channel)
    drifts = "drift" in fault
    start = visible_from(reference, received)
    assert start <= event.start_frame <= start + (0.1 * RATE_HZ if drifts else 0), told(result)
    if duration is None:
        assert event.start_frame + event.duration_frames >= len(received) - 2 * RATE_HZ
    elif kind in ("gain", "polarity", "noise"):
        # Ends where the recording is loud enough to show that it has.
        assert 0 <= event.start_frame + event.duration_frames - (AT + duration) < RATE_HZ
    else:
        stop = int(np.flatnonzero((reference[: len(received)] != received).any(axis=1))[-1]) + 1
        assert kind == "slip" or event.start_frame + event.duration_frames == stop
    if kind == "slip":
        assert event.size.slip_frames == expected.size["slip_frames"]
    elif kind == "gain" and not drifts:
        assert event.size.gain_db == pytest.approx(expected.size["gain_db"], abs=1e-3)


@pytest.mark.parametrize("material", MATERIAL)
@pytest.mark.parametrize("block", [12, 48, 2400])
def test_exchanged_blocks_are_named(material, block):
    reference = quantised(MATERIAL[material](6, seed=4))
    received = reference.copy()
    received[AT : AT + block] = reference[AT + block : AT + 2 * block]
    received[AT + block : AT + 2 * block] = reference[AT : AT + block]
    result = verify(reference, received)
    assert told(result) == [("mismatch", None, AT, 2 * block)]
    assert result.events[0].size.exchanged_frames == block
    assert "each in the other's place" in result.events[0].message


@pytest.mark.parametrize("material", MATERIAL)
def test_clean_pairs_are_clean(material):
    whole = MATERIAL[material](6, seed=5)
    reference, tpdf = quantised(whole), np.random.default_rng(1)
    dither = (tpdf.random(whole.shape) - tpdf.random(whole.shape)) * 2.0**-15
    for name, received in {
        "same": reference,
        "dithered again": quantised(reference + dither),
        "from a middle": reference[77777:],
        "late": np.concatenate([np.zeros((12345, 2)), reference]),
    }.items():
        result = verify(reference, received)
        assert (name, result.verdict, told(result)) == (name, "pass", [])
    fine = quantised(whole, 24)
    for name, received in {"rounded": quantised(fine), "dithered": quantised(fine + dither)}.items():
        result = verify(fine, received)
        assert (name, result.verdict, told(result)) == (name, "pass", [])


@pytest.mark.parametrize(("material", "ppm"), [("music", 0.0), ("speech", 100.0), ("music", -100.0)])
def test_converters_change_nothing_that_counts(material, ppm):
    reference = quantised(MATERIAL[material](8, seed=5))
    result = verify(reference, converted(reference, ppm=ppm), bits=24, profile="analog")
    assert (result.verdict, told(result)) == ("pass", [])
    for channel in result.comparison.channels:
        assert channel.clock_offset_ppm == pytest.approx(ppm, abs=0.1)
        assert channel.offset_frames == pytest.approx(-100.37, abs=0.02)
        assert channel.gain_db == pytest.approx(20 * np.log10(0.8), abs=0.002)


@pytest.mark.parametrize("ppm", [0.0, 100.0])
def test_faults_behind_converters_are_found(ppm):
    received = converted(quantised(music(12, seed=4)), ppm=ppm)
    received[AT : AT + 48] = 0.0
    received = np.delete(received, slice(250000, 250048), axis=0)
    received[400000:] *= 10 ** (0.3 / 20)
    result = verify(quantised(music(12, seed=4)), received, bits=24, profile="analog")
    assert [kind for kind, *_ in told(result)] == ["dropout", "slip", "gain"], told(result)
    dropout, slip, gain = result.events
    assert (dropout.start_frame, dropout.duration_frames) == (AT, 48)
    assert slip.size.slip_frames == 48
    assert abs(slip.start_frame - 250000) <= 2
    assert gain.size.gain_db == pytest.approx(0.3, abs=0.01)
    assert abs(gain.start_frame - 400000) < 0.05 * RATE_HZ


def test_another_clock_is_a_fault_where_it_must_not_be():
    reference = quantised(music(8, seed=5))
    result = verify(reference, converted(reference, ppm=50.0, gain=1.0, noise=0.0, bits=16))
    assert [kind for kind, *_ in told(result)] == ["frequency"]
    assert result.events[0].size.frequency_error_ppm == pytest.approx(50.0, abs=0.5)


def test_a_constant_gain_is_a_fault_in_the_digital_profile_only():
    reference = quantised(music(6, seed=5))
    received = quantised(0.5 * reference)
    assert told(verify(reference, received, profile="analog")) == []
    assert [kind for kind, *_ in told(verify(reference, received))] == ["gain"]


@pytest.mark.parametrize("start", [1000, 5 * RATE_HZ + 17])
def test_a_loop_is_followed_from_any_point_over_its_seam(start):
    reference = quantised(music(6, seed=6))
    received = np.concatenate([reference[start:], reference, reference])[: 9 * RATE_HZ]
    result = verify(reference, received, looped=True)
    assert (result.verdict, told(result)) == ("pass", [])
    channel = result.comparison.channels[0]
    assert channel.frames_equal == channel.frames_compared == len(received)


def test_something_else_is_not_found():
    result = verify(quantised(music(6, seed=6)), quantised(speech(6, seed=7)), looped=True)
    assert result.verdict == "inconclusive"
    assert "reference.wav was not found" in result.inconclusive


@pytest.mark.parametrize("seed", range(2))
def test_the_cut_of_the_input_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    reference = quantised(music(6, seed=3))
    received, _ = damaged(
        reference,
        "slip:at=1.2,frames=96",
        "gain:at=2,db=-1,duration=0.7",
        "dropout:at=3.3,duration=0.02,channel=1",
        "noise:at=4,dbfs=-70,duration=0.5",
    )
    whole = verify(reference, received)
    cut = verify(reference, received, cuts=rng.integers(0, len(received), 40).tolist())
    assert told(cut) == told(whole)
    assert [event.size for event in cut.events] == [event.size for event in whole.events]


@pytest.mark.parametrize("seconds", [0.05, 0.3, 2.0])
def test_a_jump_into_silence_is_told_once(seconds):
    """What is missing was sound, and what comes instead is silent: only the sound behind it tells that it is a jump."""
    reference = quantised(music(6, seed=4)).copy()
    reference[AT : AT + int(seconds * RATE_HZ)] = 0.0
    received = np.delete(reference, slice(AT - 960, AT), axis=0)
    result = verify(reference, received)
    assert told(result) == [("slip", None, AT - 960, 0)]
    assert result.events[0].size.slip_frames == 960


def test_a_dithered_mute_is_one():
    reference = quantised(speech(5, seed=3))
    received, tpdf = reference.copy(), np.random.default_rng(1)
    received[AT : AT + 4800] = 0.0
    received = quantised(received + (tpdf.random(received.shape) - tpdf.random(received.shape)) * 2.0**-15)
    [event] = verify(reference, received).events
    assert str(event.kind) == "dropout"


@pytest.mark.parametrize("material", MATERIAL)
def test_noise_in_a_pause_is_held_against_what_is_heard_otherwise(material):
    reference = quantised(MATERIAL[material](8, seed=5)).copy()
    reference[3 * RATE_HZ : 6 * RATE_HZ] = 0.0
    for received in (converted(reference, ppm=30.0), converted(reference[2 * RATE_HZ + 24000 :])):
        result = verify(reference, received, bits=24, profile="analog")
        assert (result.verdict, told(result)) == ("pass", [])


def test_a_small_value_that_is_held_long_under_dither_is_no_clipping():
    """Nearly all that should be there goes beyond it, to either side."""
    reference = quantised(music(6, seed=3), 24)[:, :1]
    start, frames = 150_000, 16_000
    small = start + int(np.abs(reference[start : start + 4800, 0] - 0.0015).argmin())
    received = reference.copy()
    received[small + 1 : small + 1 + frames] = received[small]
    tpdf = np.random.default_rng(1)
    received = quantised(received + (tpdf.random(received.shape) - tpdf.random(received.shape)) * 2.0**-23, 24)
    result = verify(reference, received, bits=24)
    [event] = result.events
    assert (event.kind, event.duration_frames) == ("dropout", pytest.approx(frames, abs=1))


@pytest.mark.parametrize("bits", [20, 22, 23])
def test_few_bits_that_are_empty_from_a_frame_on_are_told(bits):
    reference = quantised(music(4, seed=1), 24)
    received, step = reference.copy(), 2.0 ** (1 - bits)
    received[AT:] = np.floor(received[AT:] / step) * step
    changed = int(np.flatnonzero((received != reference).any(axis=1))[0])
    [event] = verify(reference, received, bits=24).events
    assert (str(event.kind), event.size.effective_bits) == ("word_length", bits)
    assert event.start_frame == pytest.approx(changed, abs=2)


def test_two_frames_that_lie_lower_on_a_crest_are_no_clipping():
    """Clipping leaves nothing around them that is higher."""
    reference = quantised(
        0.3 * np.sin(2 * np.pi * 55 / 48000 * np.arange(6 * 48000))[:, None] + music(6, seed=4)[:, :1] * 1e-3
    )
    crest = 100_000 + int(reference[100_000:101_000, 0].argmax())
    received = reference.copy()
    received[crest : crest + 2] = reference[crest : crest + 2].min() - 3 * 2.0**-15
    result = verify(reference, received)
    assert told(result) == [("click", 1, crest, 2)]
