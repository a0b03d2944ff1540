"""Finding the sine."""

import math
from collections import Counter

import numpy as np
import pytest

from rtpverify.detect.tone import acquisition
from rtpverify.detect.tone.acquisition import acquire, is_byte_swapped, is_silent
from rtpverify.detect.tone.settings import Settings
from rtpverify.dsp.sample_words import swap_bytes
from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.limits import Limits
from rtpverify.reference import Tone
from tests.helpers.programme import music, speech

N = 4800


def settings(bits=16):
    return Settings(0, 48000, 960, 48, bits, False, (997.0,), Limits())


def tone(hz=997.0, amplitude=0.5, frames=N):
    x = amplitude * np.sin(2 * math.pi * hz / 48000 * np.arange(frames) + 0.4)
    return np.rint(x * 32768) / 32768


def found_hz(found):
    return found.sine.omega * 48000 / (2 * math.pi)


@pytest.mark.parametrize("hz", [997.0, 440.0, 3150.5, 15000.0])
@pytest.mark.parametrize("nominal_hz", [997.0, None])
def test_the_tone_is_found_at_its_frequency_or_anywhere(hz, nominal_hz):
    found = acquire(settings(), tone(hz), np.ones(N, bool), 100, nominal_hz)
    assert found_hz(found) == pytest.approx(hz, rel=1e-5)
    assert found.confirmed
    assert (found.start, found.stop) == (100, 100 + N)
    assert found.sigma == pytest.approx(2**-15 / math.sqrt(12), rel=0.2)
    assert np.abs(found.sine.at(100, 100 + N) - tone(hz)).max() < 2**-15


def test_faults_do_not_enter_the_noise():
    x = tone()
    x[1000] += 0.3
    x[3000:3010] = 0.0
    found = acquire(settings(), x, np.ones(N, bool), 0, 997.0)
    assert found.sigma == pytest.approx(2**-15 / math.sqrt(12), rel=0.2)
    assert found.stop - found.start >= 960


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(N),
        np.full(N, 0.3),
        np.random.default_rng(1).standard_normal(N) / 10,
        tone(amplitude=0.001) + np.random.default_rng(2).standard_normal(N) / 100,
        np.zeros(1),
        tone(frames=8),
    ],
    ids=["zeros", "constant", "noise", "tone under noise", "one frame", "eight frames"],
)
@pytest.mark.parametrize("nominal_hz", [997.0, None])
def test_no_tone_is_made_up(x, nominal_hz):
    assert acquire(settings(), x, np.ones(len(x), bool), 0, nominal_hz) is None


def test_holes_are_no_signal():
    valid = np.ones(N, bool)
    valid[100:2000] = False
    x = np.where(valid, tone(), 0.0)
    assert found_hz(acquire(settings(), x, valid, 0, 997.0)) == pytest.approx(997, rel=1e-5)
    assert acquire(settings(), x, np.zeros(N, bool), 0, 997.0) is None


def test_silence_is_quiet():
    rng = np.random.default_rng(3)
    assert is_silent(settings(), np.zeros(100))
    assert is_silent(settings(), rng.integers(-1, 2, N) / 32768)
    assert not is_silent(settings(), rng.standard_normal(N) / 100)


def test_swapped_bytes_are_noticed():
    valid = np.ones(N, bool)
    assert is_byte_swapped(settings(), swap_bytes(tone(), 16), valid, 997.0)
    assert not is_byte_swapped(settings(), np.random.default_rng(4).standard_normal(N) / 10, valid, 997.0)
    assert not is_byte_swapped(settings(None), swap_bytes(tone(), 16), valid, 997.0)


@pytest.mark.parametrize("seed", [167, 808])
def test_noise_with_its_bytes_swapped_is_no_tone_close_to_half_the_rate(seed):
    """There cosine and sine are one, and their amplitudes are anything."""
    noise = np.rint(3000 * np.random.default_rng(seed).standard_normal(800)) / 32768
    subject = Settings(0, 8000, 160, 1, 16, False, (997.0,), Limits())
    assert not is_byte_swapped(subject, noise, np.ones(800, bool), 997.0)


def without_a_tone(kind, rate_hz, seconds, rng):
    """Return frames that hold no steady tone."""
    n = seconds * rate_hz
    t = np.arange(n) / rate_hz
    match kind:
        case "noise":
            return 0.1 * rng.standard_normal(n)
        case "random bytes":
            return rng.integers(-(2**23), 2**23, n) / 2**23
        case "music":
            return np.resize(music(5, seed=1, rate_hz=rate_hz)[:, 0], n)
        case "speech":
            return np.resize(speech(5, seed=1, rate_hz=rate_hz)[:, 0], n)
        case "silence":
            return np.zeros(n)
        case "dither":
            return rng.integers(-1, 2, n) / 2**15
        case "square":
            return 0.5 * np.sign(np.sin(2 * np.pi * 437.3 * t))
        case "DTMF":
            return np.where(t % 0.2 < 0.1, 0.3 * (np.sin(2 * np.pi * 697 * t) + np.sin(2 * np.pi * 1209 * t)), 0.0)
        case "two tones":
            return 0.3 * (np.sin(2 * np.pi * 500 * t) + np.sin(2 * np.pi * 731 * t))
        case "held values":
            return np.repeat(0.1 * rng.standard_normal(n // 7 + 1), 7)[:n]
    return 0.5 * (rng.random(n) < 0.001)


KINDS = (
    *("noise", "random bytes", "music", "speech", "silence", "dither"),
    *("square", "DTMF", "two tones", "held values", "impulses"),
)


@pytest.mark.parametrize("rate_hz", [8000, 48000])
@pytest.mark.parametrize("frequencies_hz", [(), (997.0,)])
@pytest.mark.parametrize("kind", KINDS)
def test_looking_for_a_tone_costs_no_more_than_some_fits_a_second(kind, frequencies_hz, rate_hz, monkeypatch):
    """Where none is: ten looks a second, each a spectrum, and fits only of blocks in which a line stands out."""
    calls = Counter()

    def counted(module, name):
        whole = getattr(module, name)

        def count(*arguments):
            calls[name] += 1
            return whole(*arguments)

        monkeypatch.setattr(module, name, count)

    counted(acquisition, "strongest_line")
    counted(acquisition, "fit_free")
    counted(acquisition, "refine_omega")
    seconds = 4
    frames = without_a_tone(kind, rate_hz, seconds, np.random.default_rng(5))
    verifier = FrameVerifier(Tone(frequencies_hz), Limits(), rate_hz, 1, "L24", 24)
    verifier.feed(frames[:, None])
    verifier.finish()
    assert calls["strongest_line"] <= 60 * seconds
    assert calls["fit_free"] + calls["refine_omega"] <= 200 * seconds
    if kind in ("noise", "random bytes", "silence", "dither"):
        assert calls["fit_free"] <= seconds
