"""FLAC files frame by frame (RFC 9639), without decoding: how long they are, and where their form changes.

A decoder stops where the stream's own statement of its length ends, whatever follows, and takes a sample rate that
changes for the one it began with. Frames are found by their sync code, and known by the checksum of their head and by
their number, which must follow that of the frame before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rtpverify.errors import SourceError

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 16
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_RATES_HZ = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_BITS = (0, 8, 12, -1, 16, 20, 24, 32)
_ID3V1_BYTES = 128


def _crc_table(bits: int, polynomial: int) -> tuple[int, ...]:
    """Return the checksum of every byte, of so many bits."""
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> bits - 1 & 1 else 0)
        table.append(value & (1 << bits) - 1)
    return tuple(table)


_CRC8 = _crc_table(8, 0x07)
_CRC16 = _crc_table(16, 0x8005)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a FLAC file states of itself; ``frames`` is 0 where it does not know its length."""

    sample_rate_hz: int
    channels: int
    bits: int
    frames: int
    first_byte: int
    """Where its audio begins."""


@dataclass(frozen=True, slots=True)
class _Head:
    """A codec frame's head: where it is, and what its frames are."""

    byte: int
    number: int
    frames: int
    sample_rate_hz: int
    channels: int
    bits: int


def stream_info(file: BinaryIO) -> StreamInfo | None:
    """Read what a FLAC file states of itself; None where it is none, or not as the format has it.

    Parameters
    ----------
    file
        The file, open for reading in binary.

    Returns
    -------
    StreamInfo or None
        Its STREAMINFO.
    """
    file.seek(0)
    head = file.read(10)
    at = 0
    if head[:3] == b"ID3" and len(head) == 10:
        at = 10 + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[:5:-1]))
    file.seek(at)
    if file.read(4) != b"fLaC":
        return None
    at += 4
    found = b""
    while True:
        file.seek(at)
        block = file.read(4)
        if len(block) < 4:
            return None
        size = int.from_bytes(block[1:])
        if block[0] & 0x7F == 0:
            found = file.read(34)
        at += 4 + size
        if block[0] & 0x80:
            break
    if len(found) < 34:
        return None
    word = int.from_bytes(found[10:18])
    return StreamInfo(word >> 44, (word >> 41 & 7) + 1, (word >> 36 & 0x1F) + 1, word & (1 << 36) - 1, at)


def frames_of(path: Path, file: BinaryIO, info: StreamInfo) -> int:
    """Return how many frames are there.

    Parameters
    ----------
    path
        The file.
    file
        The file, open for reading in binary.
    info
        What the file states of itself.

    Returns
    -------
    int
        Frames that can be decoded.

    Raises
    ------
    SourceError
        Where its sample rate, channel count or sample size changes, there are fewer frames than it states, or more of
        which the last ones are not whole.
    """
    frames = 0
    form = info.sample_rate_hz, info.channels, info.bits
    last: _Head | None = None
    for head in _heads(file, info):
        _check_same(path, form, head, frames)
        frames += head.frames
        last = head
    if frames < info.frames:
        raise SourceError(f"{path}: cut off: {frames} of {info.frames} frames are there")
    if last is not None and frames > info.frames and not _is_whole(file, last):
        raise SourceError(f"{path}: cut off or damaged within the codec frame at byte {last.byte}, frame {frames}")
    return frames


def _is_whole(file: BinaryIO, head: _Head) -> bool:
    """Return whether the last codec frame reaches the end of the file, or an ID3v1 tag there, by its checksum."""
    file.seek(head.byte)
    raw = file.read()
    end = len(raw) - _ID3V1_BYTES if raw[-_ID3V1_BYTES:][:3] == b"TAG" else len(raw)
    crc = 0
    for value in raw[:end]:
        crc = (crc << 8 ^ _CRC16[crc >> 8 ^ value]) & 0xFFFF
    return crc == 0


def _check_same(path: Path, form: tuple[int, int, int], head: _Head, frame: int) -> None:
    found = head.sample_rate_hz, head.channels, head.bits
    if found == form:
        return
    names, units = ("sample rate", "channel count", "sample size"), (" Hz", "", " bits")
    differing = [change for change in zip(names, units, form, found, strict=True) if change[2] != change[3]]
    if frame == 0:
        changes = [
            f"{name} is {old}{unit} by its header and {new}{unit} in its first" for name, unit, old, new in differing
        ]
        raise SourceError(f"{path}: damaged: its {' and its '.join(changes)} codec frame")
    changes = [f"{name} changes from {old}{unit} to {new}{unit}" for name, unit, old, new in differing]
    raise SourceError(
        f"{path}: its {' and its '.join(changes)} at frame {frame} ({frame / form[0]:.3f} s): split it there"
    )


def _heads(file: BinaryIO, info: StreamInfo) -> Iterator[_Head]:
    """Yield the heads of codec frames that follow one another."""
    last: _Head | None = None
    for head in _candidates(file, info):
        # The number counts codec frames, or their frames where their length varies, which old files do not say.
        if last is None or head.number in (last.number + 1, last.number + last.frames):
            yield head
            last = head


def _candidates(file: BinaryIO, info: StreamInfo) -> Iterator[_Head]:
    """Yield everything that looks like a head, its checksum included."""
    at = info.first_byte
    file.seek(at)
    data = file.read(_CHUNK_BYTES)
    while data:
        more = file.read(_CHUNK_BYTES)
        window = data + more[: _HEAD_BYTES - 1]
        for found in _SYNC.finditer(window, 0, len(data) + 1):
            place = found.start()
            head = _head(window[place : place + _HEAD_BYTES], at + place, info)
            if head is not None:
                yield head
        at += len(data)
        data = more


def _head(raw: bytes, byte: int, info: StreamInfo) -> _Head | None:
    """Read a frame header (RFC 9639 section 9.1), None where this is none."""
    if len(raw) < 6:
        return None
    block, rate, layout, bits = raw[2] >> 4, raw[2] & 15, raw[3] >> 4, raw[3] >> 1 & 7
    if block == 0 or rate == 15 or layout > 10 or bits == 3 or raw[3] & 1:
        return None
    leading = f"{raw[4]:08b}".find("0")  # the number is coded as UTF-8 codes characters
    length = {0: 1, -1: 0}.get(leading, leading)
    if length in (0, 8) or leading == 1:
        return None
    number = raw[4] & (0x7F if length == 1 else (1 << 7 - length) - 1)
    for continued in raw[5 : 4 + length]:
        if continued & 0xC0 != 0x80:
            return None
        number = number << 6 | continued & 0x3F
    at = 4 + length
    extra = {6: 1, 7: 2}.get(block, 0), {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if len(raw) <= at + sum(extra):
        return None
    coded = int.from_bytes(raw[at : at + extra[0]])
    frames = coded + 1 if extra[0] else 192 if block == 1 else 576 << block - 2 if block < 6 else 1 << block
    at += extra[0]
    coded = int.from_bytes(raw[at : at + extra[1]])
    at += extra[1]
    crc = 0
    for value in raw[:at]:
        crc = _CRC8[crc ^ value]
    if crc != raw[at]:
        return None
    rate_hz = {12: 1000 * coded, 13: coded, 14: 10 * coded}.get(rate) or (_RATES_HZ[rate] if rate < 12 else 0)
    return _Head(
        byte,
        number,
        frames,
        rate_hz or info.sample_rate_hz,
        2 if layout > 7 else layout + 1,
        _BITS[bits] or info.bits,
    )
