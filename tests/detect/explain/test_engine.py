"""Every fault, against a tone and against recordings: its name, its size, its edges, wherever the stream begins."""

import math
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.detect.explain import change_frame, explain, explain_all
from rtpverify.events import ClickSize, MismatchSize, SlipSize, WordLengthSize
from tests.helpers.departures import Signal, departure, quantised, speech, threshold, tone

AT, FRAMES = 30_000, 50_000
OMEGA = 2 * math.pi * 997 / 48000
speech = lru_cache(maxsize=8)(speech)
FORMS = {
    "tone": lambda bits: Signal(tone(FRAMES), bits, omega=OMEGA),
    "tone as a recording": lambda bits: Signal(quantised(tone(FRAMES), bits), bits),
    "speech": lambda bits: Signal(quantised(speech(FRAMES, 3), bits), bits),
}
NOISES = {"16 bit": (16, None), "24 bit": (24, None), "noise at -80": (24, -80.0), "noise at -60": (24, -60.0)}


def scene(form, noise, seed=0):
    """What should arrive, and a function that rounds what is made of it after the chain added its noise."""
    bits, dbfs = NOISES[noise]
    signal, rng = FORMS[form](bits), np.random.default_rng(seed)
    sigma = None if dbfs is None else 10 ** (dbfs / 20) / math.sqrt(2)
    hiss = np.zeros(FRAMES) if sigma is None else sigma * rng.standard_normal(FRAMES)
    signal = Signal(signal.frames, bits, sigma, signal.omega, other=tone(FRAMES, hz=1499))
    return signal, lambda x: quantised(x + hiss, bits), rng


def faults(signal, part, rng):
    """Kind, size and what each fault makes of the expected signal; None after the chain where it bypasses it."""
    y, n = signal.frames[part], part.stop - part.start
    level, floor = float(np.sqrt(np.mean(y**2))), signal.sigma or 2.0 ** (1 - signal.bits)
    ceiling = 0.6 * float(np.abs(y).max())
    return {
        "gain": ({"gain_db": -3.0}, y * 10 ** (-3 / 20), None),
        "polarity": ({}, -y, None),
        "dc_offset": ({"dc_offset": 0.01}, y + 0.01, None),
        "clipping": ({"clip_level": ceiling}, np.clip(y, -ceiling, ceiling), None),
        "distortion": ({}, y + 0.02 * level * (y / level) ** 3, None),
        "noise": (
            {"residual_dbfs": 20 * math.log10(10 * floor * math.sqrt(2))},
            y + 10 * floor * rng.standard_normal(n),
            None,
        ),
        "frequency": ({"frequency_hz": 1000.0}, level * math.sqrt(2) * np.sin(2 * np.pi * np.arange(n) / 48 + 1), None),
        "channel_swap": ({"reference_channel": 2}, signal.other[part], None),
        "dropout": ({"held_value": 0.0}, None, lambda _: np.zeros(n)),
        "repeat": ({"repeat_distance_frames": n + 333}, None, lambda x: x[part.start - n - 333 : part.stop - n - 333]),
    }


KINDS = tuple(faults(Signal(tone(FRAMES), other=tone(FRAMES)), slice(AT, AT + 2400), np.random.default_rng(0)))


@lru_cache(maxsize=4)
def spoilt(form, noise, kind, first, last):
    part = slice(first, last)
    signal, chain, rng = scene(form, noise)
    size, seen, bypassing = faults(signal, part, rng)[kind]
    wrong = signal.frames.copy()
    if seen is not None:
        wrong[part] = seen
    received = chain(wrong)
    if bypassing is not None:
        received[part] = bypassing(received)
    off = np.abs(received - chain(signal.frames))
    return signal, received, size, np.flatnonzero(off > 0), np.flatnonzero(off > (signal.sigma or 0.0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("noise", "frames"), [("16 bit", 2400), ("24 bit", 4800), ("noise at -80", 2400), ("noise at -60", 9600)]
)
def test_a_fault_has_its_name_its_size_and_its_edges(kind, form, noise, frames):
    if kind == "frequency" and form == "speech":
        pytest.skip("a tone in place of speech has no frequency that it should have")
    part = (AT, AT + frames)
    signal, received, size, changed, visible = spoilt(form, noise, kind, *part)
    found = explain(departure(signal, received, *part))
    assert str(found.kind) == kind, found
    assert found.ended or form == "speech"  # a pause tells nothing
    for name, value in size.items():
        assert found.figure(name) == pytest.approx(value, abs=0.02 * abs(value) + 1e-6), name
    # What a fault changes by less than the noise has no edge.
    slack = 2 if signal.sigma is None or kind in ("dropout", "repeat") else 60
    assert changed[0] - slack <= found.start <= visible[0] + slack, (found.start - changed[0], found.start - visible[0])
    assert visible[-1] - slack < found.stop <= changed[-1] + 1 + slack, (
        found.stop - changed[-1],
        found.stop - visible[-1],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_wherever_what_is_known_begins(kind):
    signal, received, *_ = spoilt("tone", "16 bit", kind, AT, AT + 2400)
    found = {
        (item.kind, item.start, item.stop)
        for shift in range(0, 700, 97)
        if (item := explain(departure(signal, received, AT, AT + 2400, start=AT - 720 + shift)))
    }
    assert len(found) == 1, found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "repeat"])
@pytest.mark.parametrize("noise", ["16 bit", "noise at -60"])
def test_what_reaches_to_the_end_has_not_ended(kind, noise):
    signal, received, size, changed, _ = spoilt("tone", noise, kind, AT, FRAMES)
    found = explain(departure(signal, received[: AT + 6000], AT, AT + 6000, after=0))
    assert (str(found.kind), found.ended) == (kind, False)
    assert abs(found.start - changed[0]) <= (2 if noise == "16 bit" else 60)
    for name, value in size.items():
        assert found.figure(name) == pytest.approx(value, abs=0.02 * abs(value) + 1e-6), name


@pytest.mark.parametrize("kind", KINDS)
def test_lost_frames_within_say_nothing(kind):
    signal, received, size, changed, _ = spoilt("tone", "24 bit", kind, AT, AT + 4800)
    valid = np.ones(FRAMES, bool)
    valid[AT + 1000 : AT + 1480] = valid[AT + 4000 : AT + 4010] = False
    received = np.where(valid, received, 0.0)
    found = explain(departure(signal, received, AT, AT + 4800, valid=valid))
    assert str(found.kind) == kind
    assert (found.start, found.stop) == (pytest.approx(changed[0], abs=2), pytest.approx(changed[-1] + 1, abs=2))
    assert {name: found.figure(name) for name in size} == pytest.approx(size, rel=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_several_at_once_are_explained_one_by_one(form):
    signal, chain, _ = scene(form, "24 bit")
    wrong = signal.frames.copy()
    wrong[AT : AT + 6000] *= 0.5
    wrong[AT + 2000] += 0.1
    wrong[AT + 3000 : AT + 3200] = 0.0
    found = explain_all(departure(signal, chain(wrong), AT, AT + 6000), threshold(signal))
    kinds = [(str(item.kind), item.start - AT) for item in found]
    assert [kind for kind, _ in kinds] == ["gain", "click", "dropout"], kinds
    assert kinds[1] == ("click", 2000)
    assert 3000 <= kinds[2][1] < 3200 or form == "speech"  # in a pause all is alike


@pytest.mark.parametrize("bit", [1, 5, 14])
def test_a_wrong_frame_is_a_click_with_its_wrong_bits(bit):
    signal, chain, _ = scene("tone as a recording", "16 bit")
    received = chain(signal.frames)
    word = int(received[AT] * 2**15)
    received[AT] = (word ^ (1 << bit)) / 2**15
    found = explain(departure(signal, received, AT, AT + 1))
    assert (str(found.kind), found.start, found.stop) == ("click", AT, AT + 1)
    assert found.size == ClickSize(deviation=2.0 ** (bit - 15), bit_errors=1)


@pytest.mark.parametrize("bits", [12, 16, 20])
def test_empty_bits_are_counted(bits):
    signal, chain, _ = scene("tone as a recording", "24 bit")
    received = chain(signal.frames)
    received[AT : AT + 2400] = np.floor(received[AT : AT + 2400] * 2.0 ** (bits - 1)) / 2.0 ** (bits - 1)
    found = explain(departure(signal, received, AT, AT + 2400))
    assert found.size == WordLengthSize(effective_bits=bits)
    assert (found.start, found.stop) == (pytest.approx(AT, abs=1), pytest.approx(AT + 2400, abs=1))


@pytest.mark.parametrize("noise", ["16 bit", "24 bit", "noise at -80"])
def test_swapped_bytes_are_known(noise):
    signal, chain, _ = scene("speech", noise)
    received = chain(signal.frames)
    bits = signal.bits
    words = np.rint(received[AT : AT + 2400] * 2.0 ** (bits - 1)).astype(int).tolist()
    wire = [word.to_bytes(bits // 8, "big", signed=True) for word in words]
    sent = received.copy()
    received[AT : AT + 2400] = [int.from_bytes(item, "little", signed=True) / 2 ** (bits - 1) for item in wire]
    found = explain(departure(signal, received, AT, AT + 2400))
    changed = np.flatnonzero(received != sent)
    assert (str(found.kind), found.start, found.stop) == ("byte_order", changed[0], changed[-1] + 1)


def test_what_another_place_of_the_recording_holds_is_a_slip():
    signal, chain, _ = scene("speech", "24 bit")
    signal = Signal(signal.frames, 24, lags=(480, -17))
    received = chain(signal.frames)
    received[AT : FRAMES - 480] = received[AT + 480 :].copy()
    found = explain(departure(signal, received[: AT + 4800], AT, AT + 4800, after=0))
    assert (found.size, found.start, found.ended) == (SlipSize(slip_frames=480), AT, False)


@pytest.mark.parametrize("block", [12, 48, 240])
def test_exchanged_blocks_are_known(block):
    signal, chain, _ = scene("speech", "16 bit")
    received = chain(signal.frames)
    one, other = received[AT : AT + block].copy(), received[AT + block : AT + 2 * block].copy()
    received[AT : AT + block], received[AT + block : AT + 2 * block] = other, one
    found = explain(departure(signal, received, AT, AT + 2 * block))
    assert found.size == MismatchSize(exchanged_frames=block)
    assert (found.start, found.stop) == (AT, AT + 2 * block)


@pytest.mark.parametrize("seed", range(4))
def test_something_else_is_a_mismatch_and_noise_is_noise(seed):
    signal, chain, rng = scene("speech", "24 bit")
    received = chain(signal.frames)
    other = quantised(speech(FRAMES, 50 + seed), 24)
    loudest = int(np.convolve(other**2, np.ones(4800), "valid").argmax())
    received[AT : AT + 4800] = other[loudest : loudest + 4800]
    assert str(explain(departure(signal, received, AT, AT + 4800)).kind) == "mismatch"
    received = chain(signal.frames + 1e-3 * rng.standard_normal(FRAMES))
    received[:AT], received[AT + 4800 :] = chain(signal.frames)[:AT], chain(signal.frames)[AT + 4800 :]
    assert str(explain(departure(signal, received, AT, AT + 4800)).kind) == "noise"


def test_two_explanations_of_the_same_frames_are_both_named():
    """Half a period of a tone ago, it was inverted."""
    signal = Signal(tone(FRAMES, hz=1000.0), 24, omega=2 * math.pi / 48, lags=(24,))
    received = quantised(signal.frames, 24)
    received[AT : AT + 2400] *= -1
    found = explain(departure(signal, received, AT, AT + 2400))
    assert str(found.kind) == "polarity"
    assert 0.5 < found.confidence <= 1.0
    assert sum(found.alternatives.values()) <= 1.0 - found.confidence + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_frames_have_an_answer(data):
    count = data.draw(st.integers(1, 400))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    form = data.draw(st.sampled_from(["zeros", "noise", "loud", "steps", "nothing"]))
    x = {
        "zeros": np.zeros(count),
        "noise": 1e-3 * rng.standard_normal(count),
        "loud": rng.uniform(-1, 1, count),
        "steps": np.repeat(rng.uniform(-1, 1, count // 9 + 1), 9)[:count],
        "nothing": np.full(count, 0.5),
    }[form]
    signal = FORMS[data.draw(st.sampled_from(sorted(FORMS)))](16)
    received = np.concatenate([np.zeros(300), x])
    valid = rng.random(len(received)) > data.draw(st.sampled_from([0.0, 0.5]))
    valid[300] = True
    received[300] = 1.0
    whole = departure(signal, np.where(valid, received, 0.0), 300, 300 + count, valid=valid, after=0)
    for item in explain_all(whole, threshold(signal)):
        assert whole.start <= item.start < item.stop <= whole.start + len(whole.x)
        assert 0.0 < item.confidence <= 1.0


def test_nothing_that_is_in_order_is_explained():
    signal, chain, _ = scene("tone", "noise at -80")
    received = chain(signal.frames)
    received[AT] += 9 * signal.sigma
    found = explain(departure(signal, received, AT, AT + 1))
    assert found is None or (str(found.kind), found.start, found.stop) == ("click", AT, AT + 1)


@given(st.integers(0, 300), st.integers(0, 10**6))
def test_one_explanation_gives_way_to_another_where_both_are_likeliest(at, seed):
    rng = np.random.default_rng(seed)
    before, after = rng.standard_normal((2, 300))
    before[:at] += 20
    after[at:] += 20
    assert change_frame(before, after) == at
