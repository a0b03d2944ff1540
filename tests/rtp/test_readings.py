"""The samples tell how they are written, or nothing is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.payload import encode, parse_rtpmap
from rtpverify.rtp.readings import MIN_FRAMES, SampleEvidence, code_bits, is_audio, readings

ENCODINGS = (
    "L16/48000/1",
    "L16/48000/2",
    "L16/48000/3",
    "L16/48000/6",
    "L24/48000/1",
    "L24/48000/2",
    "L24/48000/8",
    "L20/48000/2",
    "AM824/48000/2",
    "F32/48000/2",
    "L8/8000/1",
    "PCMU/8000/1",
    "PCMA/8000/1",
    "PCMU/8000/2",
)


def said(form, samples):
    return evidence(form, encode(form, samples)).said


def evidence(form, payload):
    return SampleEvidence(readings(form.bytes_per_frame, form.sample_rate_hz), payload)


def tones(form, frames, amplitude, hz):
    frame = np.arange(frames)[:, None]
    return amplitude * np.sin(2 * np.pi * hz * frame / form.sample_rate_hz + np.arange(form.channels))


@pytest.mark.parametrize("text", ENCODINGS)
@pytest.mark.parametrize("amplitude", [0.9, 0.2])
@pytest.mark.parametrize("hz", [401.0, 997.0, 3001.0])
def test_a_tone_tells_in_two_packets(text, amplitude, hz):
    form = parse_rtpmap(text)
    packet_frames = form.sample_rate_hz // (1000 if form.sample_rate_hz > 8000 else 50)
    assert said(form, tones(form, 2 * packet_frames, amplitude, hz)) == form


@pytest.mark.parametrize("text", ENCODINGS)
def test_noise_and_silence_tell_nothing(text):
    form = parse_rtpmap(text)
    shape = (480, form.channels)
    assert said(form, np.zeros(shape)) is None
    assert said(form, np.random.default_rng(1).uniform(-1, 1, shape)) in (None, form)
    assert said(form, np.full(shape, 0.25)) is None


def speech_like(form, frames, seed):
    """Return voiced sound with breath in it, pauses between, different on each channel."""
    rng, time = np.random.default_rng(seed), np.arange(frames) / form.sample_rate_hz
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 3 * time)) / form.sample_rate_hz
    channels = []
    for _ in range(form.channels):
        voice = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 20)) / 4
        channels.append(rng.uniform(0.001, 1) * voice + rng.uniform(0, 0.1) * rng.normal(size=frames))
    samples = np.stack(channels, axis=1)
    samples[:, rng.random(form.channels) < 0.3] *= 1e-4
    return np.clip(samples, -1, 1)


@given(
    text=st.sampled_from(ENCODINGS),
    frames=st.sampled_from([12, 48, 96, 480]),
    seed=st.integers(0, 2**32),
    bits=st.sampled_from([None, 8, 12, 16, 24]),
    kind=st.sampled_from(["speech", "noise", "tone", "offset", "one channel", "full-scale noise", "8 bits of noise"]),
)
def test_no_other_encoding_is_claimed(text, frames, seed, bits, kind):
    form, rng = parse_rtpmap(text), np.random.default_rng(seed)
    samples = speech_like(form, frames, seed)
    if kind == "noise":
        samples = 10 ** rng.uniform(-5, 0) * rng.normal(size=samples.shape)
    elif kind == "tone":
        samples = tones(form, frames, 10 ** rng.uniform(-4, 0), rng.uniform(20, form.sample_rate_hz / 2))
    elif kind == "offset":
        samples += rng.uniform(-0.5, 0.5)
    elif kind == "one channel":
        samples[:, 1:] = 0
    elif kind in ("full-scale noise", "8 bits of noise"):
        at = rng.random(form.channels) < 0.5
        noise = rng.uniform(-1, 1, samples.shape)
        samples[:, at] = (np.rint(127 * noise) / 128 if kind == "8 bits of noise" else noise)[:, at]
    if bits is not None:
        samples = np.rint(samples * 2 ** (bits - 1)) / 2 ** (bits - 1)
    found = evidence(form, encode(form, samples))
    assert found.said in (None, form)
    for other in readings(form.bytes_per_frame, form.sample_rate_hz):
        assert found.refuting(other) in ((None,) if other == form else (None, form))


@pytest.mark.parametrize(("sent", "other"), [("L24/48000/2", "L16/48000/3"), ("L16/48000/6", "L24/48000/4")])
@pytest.mark.parametrize("noise", ["white", "pink", "brown"])
@pytest.mark.parametrize("rms_dbfs", [-12, -20, -40])
def test_loud_noise_of_any_colour_is_not_read_in_another_word_size(sent, other, noise, rms_dbfs):
    """As long as it is not clipped: then its high bytes are noise as well."""
    form, frames = parse_rtpmap(sent), 384
    spectrum = np.fft.rfft(np.random.default_rng(-rms_dbfs).normal(size=(frames, form.channels)), axis=0)
    spectrum /= np.arange(1, len(spectrum) + 1)[:, None] ** {"white": 0.0, "pink": 0.5, "brown": 1.0}[noise]
    samples = np.fft.irfft(spectrum, axis=0)
    samples *= 10 ** (rms_dbfs / 20) / samples.std()
    found = evidence(form, encode(form, np.clip(samples, -1, 1)))
    assert found.refuting(parse_rtpmap(other)) == form
    assert found.refuting(form) is None


FILLS = {
    "noise": lambda n, rng: rng.integers(0, 256, n),
    "letters": lambda n, rng: rng.integers(65, 91, n),
    "digits and commas": lambda n, rng: np.frombuffer(",".join(map(str, rng.integers(0, 9999, n))).encode(), np.uint8)[
        :n
    ],
    "records": lambda n, rng: np.where(np.arange(n) % 6 == 0, 1, rng.integers(0, 256, n)),
    "noise between counters": lambda n, rng: np.where(np.arange(n) % 3, np.arange(n) // 3, rng.integers(0, 256, n)),
}


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("text", ["L16/48000/3", "L24/48000/2", "L16/48000/6", "L24/48000/4"])
def test_what_somebody_made_up_refutes_nothing(fill, text):
    form = parse_rtpmap(text)
    payload = FILLS[fill](form.bytes_per_frame * 480, np.random.default_rng(3)).astype(np.uint8).tobytes()
    assert evidence(form, payload).refuting(form) is None


def test_swapped_bytes_are_no_other_encoding():
    form = parse_rtpmap("L16/48000/2")
    payload = np.frombuffer(encode(form, tones(form, 480, 0.5, 997.0)), ">i2").astype("<i2").tobytes()
    assert evidence(form, payload).said is None


def test_encrypted_payloads_are_no_audio():
    form = parse_rtpmap("PCMA/8000/1")
    assert is_audio(form, np.random.default_rng(1).bytes(1600)) is False
    assert is_audio(form, bytes([0xD5]) * 1600) is None
    assert is_audio(form, encode(form, tones(form, 1600, 0.2, 1004.0))) is True


def test_every_encoding_of_a_frame_size():
    assert [str(one) for one in readings(6, 48_000)] == [
        "L8/48000/6",
        "L16/48000/3",
        "L24/48000/2",
        "PCMU/48000/6",
        "PCMA/48000/6",
    ]
    assert readings(4096, 48_000) != []


def test_where_there_is_nothing_to_choose_from_nothing_is_said():
    form = parse_rtpmap("L16/48000")
    payload = said_bytes(form)
    assert SampleEvidence([form], payload).said is None
    assert SampleEvidence([form, parse_rtpmap("L8/48000/2")], payload[: 2 * (MIN_FRAMES - 1)]).said is None


def said_bytes(form):
    frame = np.arange(200)[:, None]
    return bytes(encode(form, 0.5 * np.sin(0.13 * frame) * np.ones(form.channels)))


@pytest.mark.parametrize("channels", [1, 2])
def test_the_code_of_a_tone_is_as_long_as_what_it_leaves_open(channels):
    """A sine follows from the samples before it: what is left is rounding, and in floats the noise of theirs."""
    frames = 400
    for name, most_bits in (("L16", 3.0), ("L24", 3.0), ("F32", 12.0), ("PCMU", 8.0), ("AM824", 4.0)):
        form = parse_rtpmap(f"{name}/48000/{channels}")
        tone = 0.5 * np.sin(0.05 * np.arange(frames)[:, None] + np.arange(channels))
        octets = np.frombuffer(encode(form, tone), np.uint8)
        assert code_bits(form, octets) / (frames * channels) < most_bits, name
        noise = np.random.default_rng(1).uniform(-1, 1, (frames, channels))
        whole = code_bits(form, np.frombuffer(encode(form, noise), np.uint8)) / (frames * channels)
        assert 0.85 * (24 if name == "AM824" else form.bits or 8) < whole <= 34, name


def test_the_code_of_a_constant_is_the_constant():
    for name, bits in (("L16", 16), ("L24", 24), ("PCMU", 8), ("AM824", 8 + 24)):
        form = parse_rtpmap(f"{name}/48000")
        octets = np.frombuffer(encode(form, np.full((100, 1), 0.25)), np.uint8)
        assert code_bits(form, octets) == bits


def test_numbers_that_count_are_no_audio_of_another_size():
    counting = np.arange(400, dtype=">u2").tobytes()
    stereo = parse_rtpmap("L8/48000/2")
    assert SampleEvidence([stereo, parse_rtpmap("L16/48000")], counting).refuting(stereo) is None


def test_a_packet_of_few_frames_has_no_code_that_predicts():
    form = parse_rtpmap("L16/48000")
    octets = np.frombuffer(encode(form, 0.5 * np.sin(0.05 * np.arange(5)[:, None])), np.uint8)
    assert 0 < code_bits(form, octets) <= 5 * 16
