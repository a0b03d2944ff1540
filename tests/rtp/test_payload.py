"""Decoding and encoding of payloads."""

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.errors import ConfigurationError
from rtpverify.rtp import payload
from rtpverify.rtp.payload import (
    Encoding,
    decode,
    encode,
    is_rounded_to,
    parse_encodings,
    parse_rtpmap,
    static_encoding,
    static_name,
)

LINEAR = ["L8", "L16", "L20", "L24", "AM824"]


def decode_one(encoding: Encoding, data: bytes) -> np.ndarray:
    arena = np.frombuffer(data, np.uint8)
    return decode(encoding, arena, np.array([0]), len(data) // encoding.bytes_per_frame)[0]


def integers(encoding: Encoding, data: bytes) -> list[int]:
    """The samples as integers, read one by one with unbounded integers."""
    bits = {"L8": 8, "L16": 16, "L20": 20, "L24": 24, "AM824": 32}[encoding.name]
    whole = int.from_bytes(data, "big")
    count = len(data) * 8 // bits
    words = [whole >> bits * (count - 1 - i) & (1 << bits) - 1 for i in range(count)]
    if encoding.name == "L8":
        return [word - 128 for word in words]
    if encoding.name == "AM824":
        words, bits = [word & 0xFFFFFF for word in words], 24
    return [word - (1 << bits) if word >> (bits - 1) else word for word in words]


@pytest.mark.parametrize("name", LINEAR)
@given(data=st.binary(min_size=120, max_size=120))
def test_linear_samples_decode_exactly_and_come_back(name: str, data: bytes) -> None:
    encoding = Encoding(name, 48000, 2)
    frames = decode_one(encoding, data)
    assert frames.dtype == np.float32
    assert frames.shape == (120 // encoding.bytes_per_frame, 2)
    assert encoding.bits is not None
    full_scale = 2.0 ** (encoding.bits - 1)
    assert (frames.reshape(-1) * full_scale).tolist() == integers(encoding, data)
    again = encode(encoding, frames)
    assert decode_one(encoding, again).tolist() == frames.tolist()
    if name != "AM824":  # its flags are not kept
        assert again == data


@pytest.mark.parametrize("name", LINEAR)
def test_encode_rounds_to_the_nearest_and_clips(name: str) -> None:
    encoding = Encoding(name, 48000, 2)
    lsb = 2.0 ** (1 - encoding.bits)  # type: ignore[operator]
    samples = np.array([[1.0, -1.0], [7.0, -7.0], [0.6 * lsb, -0.6 * lsb], [0.4 * lsb, -0.4 * lsb]])
    expected = [[1 - lsb, -1.0], [1 - lsb, -1.0], [lsb, -lsb], [0.0, 0.0]]
    assert decode_one(encoding, encode(encoding, samples)).tolist() == expected


@pytest.mark.parametrize("name", payload.FORMATS)
@pytest.mark.parametrize("spacing", ["equal", "unequal", "one", "none"])
def test_batches_decode_like_single_payloads(name: str, spacing: str) -> None:
    rng = np.random.default_rng(1)
    encoding = Encoding(name, 48000, 4)
    frames = 6
    size = frames * encoding.bytes_per_frame
    arena = rng.integers(0, 256, 4000, np.uint8)
    if name == "F32":
        arena = np.frombuffer(rng.uniform(-1, 1, 1000).astype(">f4").tobytes(), np.uint8)
    offset = {
        "equal": np.arange(5) * 200 + 12,
        "unequal": np.array([1200, 12, 0, 4000 - size, 12]),
        "one": np.array([4000 - size]),
        "none": np.array([], np.int64),
    }[spacing]
    together = decode(encoding, arena, offset, frames)
    assert together.shape == (len(offset), frames, 4)
    for row, start in zip(together, offset, strict=True):
        assert row.tolist() == decode_one(encoding, arena[start : start + size].tobytes()).tolist()


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("rows", [1, 3])
def test_payloads_of_a_single_sample(name: str, rows: int) -> None:
    encoding = Encoding(name, 48000, 2 if name == "L20" else 1)
    size = encoding.bytes_per_frame
    arena = np.random.default_rng(3).integers(0, 256, rows * size, np.uint8)
    decoded = decode(encoding, arena, np.arange(rows) * size, 1)
    full_scale = 2.0 ** (encoding.bits - 1)  # type: ignore[operator]
    assert (decoded.reshape(-1) * full_scale).tolist() == integers(encoding, arena.tobytes())


def test_f32_keeps_values_past_full_scale_and_drops_what_is_not_finite() -> None:
    encoding = Encoding("F32", 48000, 1)
    values = np.array([0.5, -1.5, np.nan, np.inf, -np.inf, 1e-30], ">f4")
    assert decode_one(encoding, values.tobytes())[:, 0].tolist() == [0.5, -1.5, 0, 0, 0, float(values[5])]
    assert decode_one(encoding, bytes.fromhex("7f800001"))[0, 0] == 0  # a signalling NaN, without a warning
    finite = np.array([[0.25], [-1.5]])
    assert decode_one(encoding, encode(encoding, finite)).tolist() == finite.tolist()


@pytest.mark.parametrize(
    ("name", "code", "level"),
    [  # G.711 tables 1 and 2: end points and the steps beside zero, as 14 and 13 bits scaled to 16
        ("PCMU", 0x80, 32124),
        ("PCMU", 0x00, -32124),
        ("PCMU", 0xFF, 0),
        ("PCMU", 0x7F, 0),
        ("PCMU", 0xFE, 8),
        ("PCMU", 0x7E, -8),
        ("PCMU", 0xEF, 132),
        ("PCMA", 0xAA, 32256),
        ("PCMA", 0x2A, -32256),
        ("PCMA", 0xD5, 8),
        ("PCMA", 0x55, -8),
        ("PCMA", 0xC5, 264),
    ],
)
def test_g711_levels_of_the_standard(name: str, code: int, level: int) -> None:
    assert decode_one(Encoding(name, 8000, 1), bytes([code]))[0, 0] == level / 32768


@pytest.mark.parametrize("name", ["PCMU", "PCMA"])
def test_g711_encodes_to_the_nearest_level(name: str) -> None:
    encoding = Encoding(name, 8000, 1)
    levels = decode_one(encoding, bytes(range(256)))[:, 0]
    codes = encode(encoding, levels[:, None])
    assert decode_one(encoding, codes)[:, 0].tolist() == levels.tolist()
    samples = np.random.default_rng(2).uniform(-1.2, 1.2, 2000)
    nearest = np.abs(samples[:, None] - levels).min(axis=1)
    error = np.abs(decode_one(encoding, encode(encoding, samples[:, None]))[:, 0] - samples)
    np.testing.assert_allclose(error, nearest, rtol=0, atol=1e-12)
    assert encode(encoding, np.zeros((1, 1))) == (b"\xff" if name == "PCMU" else b"\xd5")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize(("name", "demuxer"), [("PCMU", "mulaw"), ("PCMA", "alaw"), ("L24", "s24be"), ("L16", "s16be")])
def test_decoding_equals_ffmpeg(name: str, demuxer: str) -> None:
    data = bytes(range(256)) * 3
    command = ["ffmpeg", "-v", "error", "-f", demuxer, "-ar", "8000", "-i", "-", "-f", "f64le", "-"]
    decoded = np.frombuffer(subprocess.run(command, input=data, capture_output=True, check=True).stdout, "<f8")
    assert decode_one(Encoding(name, 8000, 1), data)[:, 0].tolist() == decoded.tolist()


def test_am824_takes_the_audio_and_leaves_the_flags() -> None:
    encoding = Encoding("AM824", 48000, 2)
    frames = decode_one(encoding, bytes.fromhex("3f7fffff 15800000"))
    assert frames.tolist() == [[1 - 2.0**-23, -1.0]]
    assert encode(encoding, frames).hex() == "007fffff00800000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("L24/48000/2", Encoding("L24", 48000, 2)),
        ("L16/44100", Encoding("L16", 44100, 1)),
        ("pcmu/8000", Encoding("PCMU", 8000, 1)),
        (" AM824/96000/8 ", Encoding("AM824", 96000, 8)),
    ],
)
def test_rtpmap(text: str, expected: Encoding) -> None:
    assert parse_rtpmap(text) == expected
    assert parse_rtpmap(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("L24", "NAME/RATE"),
        ("L24/48000/2/1", "NAME/RATE"),
        ("L24/48k", "NAME/RATE"),
        ("L24/-1", "NAME/RATE"),
        ("", "NAME/RATE"),
        ("L24/²", "NAME/RATE"),
        ("opus/48000/2", "unknown"),
        ("L24/0", "sample rate 0"),
        ("L24/9999999", "sample rate 9999999"),
        ("L24/" + "9" * 5000, "out of range"),
        ("L24/48000/0", "channel count 0"),
        ("L24/48000/2000", "channel count 2000"),
        ("L20/48000/3", "whole number of bytes"),
    ],
)
def test_a_wrong_rtpmap_names_place_and_value(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_rtpmap(text, "bench.sdp:7")
    assert str(caught.value).startswith("bench.sdp:7: ")
    assert repr(text) in str(caught.value)
    assert reason in str(caught.value)


@given(text=st.text() | st.from_regex(r"[LP0-9A-Z/]{0,20}"))
def test_any_text_is_an_encoding_or_a_configuration_error(text: str) -> None:
    try:
        encoding = parse_rtpmap(text)
    except ConfigurationError:
        return
    assert encoding.bytes_per_frame >= 1


@pytest.mark.parametrize(
    ("payload_type", "text"), [(0, "PCMU/8000/1"), (8, "PCMA/8000/1"), (10, "L16/44100/2"), (11, "L16/44100/1")]
)
def test_static_payload_types(payload_type: int, text: str) -> None:
    assert str(static_encoding(payload_type)) == text


def test_other_payload_types_are_not_guessed() -> None:
    assert {static_encoding(number) for number in range(128)} - {None} == {
        static_encoding(number) for number in (0, 8, 10, 11)
    }


def test_encodings_for_all_payload_types_and_for_some() -> None:
    l24, l16 = Encoding("L24", 48000, 2), Encoding("L16", 44100, 1)
    assert parse_encodings([]) == (None, {})
    assert parse_encodings(["L24/48000/2"]) == (l24, {})
    texts = ["96=L16/44100", "L24/48000/2", " 127 =L24/48000/2", "0=L16/44100", "96=L16/44100/1", "L24/48000/2"]
    assert parse_encodings(texts) == (l24, {96: l16, 127: l24, 0: l16})


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["128=L16/8000"], "--encoding: '128=L16/8000': payload type '128' is not a number from 0 to 127"),
        (["x=L16/8000"], "--encoding: 'x=L16/8000': payload type 'x' is not a number from 0 to 127"),
        (["\u0661=L16/8000"], "payload type '\u0661' is not a number from 0 to 127"),
        (["96=L9/8000"], "--encoding: '96=L9/8000': "),
        (["L16/8000", "L24/8000"], "--encoding: L16/8000/1 and L24/8000/1 are both given for all payload types; "),
        (["96=L16/8000", "96=L24/8000"], "--encoding: L16/8000/1 and L24/8000/1 are both given for payload type 96; "),
    ],
)
def test_encodings_that_are_none_or_contradict(texts: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_encodings(texts)
    assert said in str(caught.value)


def test_sample_rates_are_bounded() -> None:
    assert parse_rtpmap("L24/1536000").sample_rate_hz == 1_536_000
    with pytest.raises(ConfigurationError, match="1536001"):
        parse_rtpmap("L24/1536001")


def test_static_payload_types_are_those_of_rfc_3551() -> None:
    audio = {0: "PCMU", 3: "GSM", 4: "G723", 5: "DVI4", 6: "DVI4", 7: "LPC", 8: "PCMA", 9: "G722", 10: "L16", 11: "L16"}
    audio |= {12: "QCELP", 13: "comfort noise", 14: "MPEG audio", 15: "G728", 16: "DVI4", 17: "DVI4", 18: "G729"}
    video = {25: "CelB", 26: "JPEG", 28: "nv", 31: "H261", 32: "MPEG", 33: "MPEG", 34: "H263"}
    for number in range(128):
        name = static_name(number)
        if number in audio:
            assert name == audio[number]
        elif number in video:
            assert name is not None
            assert name.split()[0] == video[number]
        else:
            assert name is None


@pytest.mark.parametrize("name", ["PCMU", "PCMA", "L16", "L20"])
def test_what_an_encoding_rounds_to_is_known(name):
    x = np.random.default_rng(1).uniform(-0.9, 0.9, (500, 2))
    form = Encoding(name, 8000, 2)
    payload = np.frombuffer(encode(form, x), np.uint8)
    coded = decode(form, payload, np.zeros(1, np.int64), 500)[0].astype(np.float64)
    assert is_rounded_to(name, x, coded, 0.0)
    coded[77, 1] += 0.1
    assert not is_rounded_to(name, x, coded, 1e-3)
