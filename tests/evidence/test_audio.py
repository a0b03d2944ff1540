from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from rtpverify.evidence.audio import MAX_SECONDS, assemble, wav
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import Encoding, encode, parse_rtpmap

L16 = parse_rtpmap("L16/48000/2")
START_NS = 1_790_000_000_000_000_000


class Wire:
    """Packets of 48 frames; each frame holds its own number."""

    def __init__(self, encoding: Encoding = L16) -> None:
        self.encoding = encoding
        self.datagrams: list[bytes] = []

    def send(self, first: int, count: int, *, sequence=None, timestamp=None, ssrc=1, payload_type=97) -> Wire:
        """Send the audio of packets ``first`` to ``first + count - 1``; numbers follow it unless given."""
        sequence = first if sequence is None else sequence
        timestamp = 48 * first if timestamp is None else timestamp
        for index in range(count):
            frames = np.arange(48 * (first + index), 48 * (first + index + 1)) / 2.0**15
            header = bytes([0x80, payload_type]) + ((sequence + index) % 2**16).to_bytes(2, "big")
            header += ((timestamp + 48 * index) % 2**32).to_bytes(4, "big") + ssrc.to_bytes(4, "big")
            self.datagrams.append(header + encode(self.encoding, np.repeat(frames[:, None], 2, axis=1)))
        return self

    def batch(self, order=None) -> PacketBatch:
        datagrams = self.datagrams if order is None else [self.datagrams[index] for index in order]
        length = np.array([len(item) for item in datagrams], np.int64)
        return PacketBatch(
            np.frombuffer(b"".join(datagrams), np.uint8),
            np.cumsum(length) - length,
            length,
            START_NS + 1_000_000 * np.arange(len(datagrams)),
            np.zeros(len(datagrams), np.int64),
            [Flow("192.0.2.7:5004", "239.1.2.3:5004")],
        )

    def audio(self, order=None):
        return assemble(self.batch(order), self.encoding, lambda kind: self.encoding if kind == 97 else None)


def numbers(audio) -> list[int]:
    """Return the number that the first frame of each packet's room holds; -1 in a hole."""
    values = np.rint(audio.samples[::48, 1] * 2**15).astype(int) // 48
    return np.where(audio.valid[::48], values, -1).tolist()


def test_frames_stand_where_timestamps_put_them():
    audio = Wire().send(10, 4).send(16, 2).audio()
    assert numbers(audio) == [10, 11, 12, 13, -1, -1, 16, 17]
    assert audio.samples.shape == (8 * 48, 2)
    assert not audio.samples[~audio.valid].any()


def test_order_and_copies_do_not_matter():
    wire = Wire().send(10, 4).send(16, 2)
    assert numbers(wire.audio([0, 2, 1, 3, 5, 4, 2])) == numbers(wire.audio())
    assert numbers(wire.audio([1, 0, 2, 3, 4, 5])) == numbers(wire.audio())


def test_the_first_copy_counts():
    wire = Wire().send(10, 2)
    wire.send(20, 1, sequence=11, timestamp=48 * 11)
    assert numbers(wire.audio()) == [10, 11]


def test_counters_wrap():
    audio = Wire().send(10, 6, sequence=65533, timestamp=2**32 - 100).audio()
    assert numbers(audio) == [10, 11, 12, 13, 14, 15]
    assert audio.place_of(65536 + 1, START_NS) == 4 * 48


@pytest.mark.parametrize(
    "numbers_behind",
    [
        {"ssrc": 7, "sequence": 3, "timestamp": 9},
        {"sequence": 30_000, "timestamp": 2**31},
        {"sequence": 60_000, "timestamp": 5},
        {"sequence": 12, "timestamp": 2**30},
        {"sequence": 12, "timestamp": 48 * 12 - 480},
    ],
    ids=["another source", "started over", "numbers run back", "timestamps jumped far", "timestamps ran back"],
)
def test_what_begins_anew_stands_directly_behind(numbers_behind):
    audio = Wire().send(10, 2).send(40, 3, **numbers_behind).audio()
    assert numbers(audio) == [10, 11, 40, 41, 42]


def test_timestamps_that_jump_on_leave_a_hole():
    audio = Wire().send(10, 2).send(12, 2, sequence=12, timestamp=48 * 14).audio()
    assert numbers(audio) == [10, 11, -1, -1, 12, 13]


def test_other_payload_types_and_broken_packets_are_left_out():
    wire = Wire().send(10, 2)
    wire.send(12, 1, payload_type=13).send(13, 1)
    wire.datagrams += [wire.datagrams[0][:-1], wire.datagrams[0][:12], b"\x80"]
    assert numbers(wire.audio()) == [10, 11, -1, 13]


def test_timestamps_cannot_ask_for_any_memory():
    wire = Wire()
    for index in range(400):
        wire.send(index, 1, sequence=index * 400, timestamp=index * 400 * 48)
    audio = wire.audio()
    assert len(audio.samples) <= MAX_SECONDS * 48000


def test_nothing_gives_nothing():
    audio = assemble(Wire().send(1, 1, payload_type=5).batch(), L16, lambda _: None)
    assert (len(audio.samples), audio.place_of(1, 0), audio.place_at(START_NS)) == (0, None, 0)


def test_places_are_told_by_packet_and_by_arrival():
    audio = Wire().send(10, 4).send(10, 2, ssrc=2).audio()
    assert audio.place_of(11, START_NS) == 48
    assert audio.place_of(11, START_NS + 5_000_000) == 5 * 48
    assert audio.place_of(77, START_NS) is None
    assert audio.place_at(START_NS + 2_500_000) == 3 * 48
    assert audio.place_at(START_NS - 1) == 0


@pytest.mark.parametrize(
    ("encoding", "subtype"),
    [
        ("L8/8000/2", "PCM_U8"),
        ("L16/48000/2", "PCM_16"),
        ("L20/48000/2", "PCM_24"),
        ("L24/96000/2", "PCM_24"),
        ("AM824/48000/2", "PCM_24"),
        ("F32/48000/2", "FLOAT"),
        ("PCMU/8000/2", "PCM_16"),
        ("PCMA/8000/2", "PCM_16"),
    ],
)
def test_a_wav_holds_every_sample_exactly(encoding, subtype):
    form = parse_rtpmap(encoding)
    wire = Wire(form)
    wanted = np.random.default_rng(3).uniform(-1, 1, (48, 2))
    wire.datagrams = [bytes([0x80, 97]) + bytes(10) + encode(form, wanted)]
    audio = wire.audio()
    with soundfile.SoundFile(io.BytesIO(wav(audio))) as file:
        assert (file.subtype, file.samplerate, file.channels) == (subtype, form.sample_rate_hz, 2)
        read = file.read(dtype="float64")
    assert np.array_equal(read, audio.samples)
    assert np.abs(audio.samples - wanted).max() < 0.05
