"""Files and captures that benchmarks are run on: tones, written in pieces, of any length."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 48000
FREQUENCY_HZ = 1283
"""A whole number of periods fits one second, so a second of it can be written over and over."""
PORT = 5004
_PACKET_FRAMES = 48
_START_NS = 1_700_000_000 * 10**9


def second(channels: int) -> NDArray[np.float64]:
    """Return a second of the tone on every channel, shape (frames, channels)."""
    wave = 0.5 * np.sin(2.0 * np.pi * FREQUENCY_HZ / RATE_HZ * np.arange(RATE_HZ))
    return np.repeat(wave[:, None], channels, axis=1)


def write_audio(path: Path, seconds: int, channels: int, subtype: str) -> Path:
    """Write an audio file of the tone; return its path."""
    with soundfile.SoundFile(path, "w", RATE_HZ, channels, subtype, format="RF64") as file:
        for _ in range(seconds):
            file.write(second(channels))
    return path


def write_capture(path: Path, seconds: int, *, streams: int = 1, channels: int = 2, loss: float = 0.0) -> Path:
    """Write a capture of L24 streams in packets of 1 ms, of which a part is missing at random; return its path."""
    words = np.rint(second(channels) * 2**23).astype(np.int64) << 8
    samples = words.astype(">i4").view(np.uint8).reshape(RATE_HZ // _PACKET_FRAMES, -1, 4)[:, :, :3]
    payload = samples.reshape(len(samples), -1)
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for at in range(seconds):
            file.write(_records(at, payload, streams, random, loss).tobytes())
    return path


def _records(
    at: int, payload: NDArray[np.uint8], streams: int, random: np.random.Generator, loss: float
) -> NDArray[np.uint8]:
    """Return the records of one second, shape (packets, bytes)."""
    packets, size = payload.shape
    number, stream = np.divmod(np.arange(packets * streams), streams)
    number += at * packets
    time_ns = _START_NS + number * 1_000_000 + stream * 1000 + number * 7919 % 500
    datagram = 12 + size
    length = 14 + 20 + 8 + datagram
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, length - 14, 0, 0, 16, 17, 0, bytes([10, 0, 0, 1]), bytes([239, 1, 2, 3])
    )
    head = bytes.fromhex("01005e0102030200000000010800") + ip + struct.pack(">HHHH", PORT, PORT, 8 + datagram, 0)
    records = np.zeros((len(number), 16 + length), np.uint8)
    fields: Iterable[tuple[int, NDArray[np.int64], str]] = (
        (0, time_ns // 10**9, "<u4"),
        (4, time_ns % 10**9, "<u4"),
        (8, np.full_like(number, length), "<u4"),
        (12, np.full_like(number, length), "<u4"),
        (16 + 42, np.full_like(number, 0x8061), ">u2"),
        (16 + 44, number & 0xFFFF, ">u2"),
        (16 + 46, number * _PACKET_FRAMES & 0xFFFFFFFF, ">u4"),
        (16 + 50, stream + 1, ">u4"),
    )
    records[:, 16 : 16 + len(head)] = np.frombuffer(head, np.uint8)
    for start, values, form in fields:
        records[:, start : start + np.dtype(form).itemsize] = values.astype(form)[:, None].view(np.uint8)
    records[:, 16 + 54 :] = payload[number % packets]
    return records if loss == 0.0 else records[random.random(len(records)) >= loss]
