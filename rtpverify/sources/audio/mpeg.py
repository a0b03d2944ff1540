"""MPEG audio (MP3): what a file states of its length before its first frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

_RATES_HZ = (44100, 48000, 32000)
_START_BYTES = 4096
_NAME = re.compile(b"Xing|Info")
_SIDE_BYTES = (13, 21, 36)
"""Of a frame up to its side information's end: MPEG 2 mono; MPEG 1 mono and MPEG 2 stereo; MPEG 1 stereo."""
_MOST_TAGS = 8


@dataclass(frozen=True, slots=True)
class XingHeader:
    """The Xing or Info header: codec frames, and bytes from its own frame on; None where it does not say."""

    codec_frames: int | None
    bytes: int | None
    start: int
    """Where the frame that holds it begins."""


def audio_start(file: BinaryIO) -> int:
    """Return where a file begins after its ID3v2 tags.

    Parameters
    ----------
    file
        The file, open for reading in binary.

    Returns
    -------
    int
        Offset in bytes.
    """
    at = 0
    for _ in range(_MOST_TAGS):
        file.seek(at)
        tag = file.read(10)
        if tag[:3] != b"ID3" or len(tag) < 10:
            break
        size = 0
        for byte in tag[6:]:  # "synchsafe": 7 bits a byte (ID3v2 section 3.1)
            size = size << 7 | byte & 0x7F
        at += len(tag) + size
    return at


def has_sync(head: bytes) -> bool:
    """Return whether bytes begin with the eleven set bits that a frame of MPEG audio, or of AAC in ADTS, begins with.

    Parameters
    ----------
    head
        The first bytes, four at least.

    Returns
    -------
    bool
        Whether they do.
    """
    return len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def is_frame(head: bytes) -> bool:
    """Return whether bytes begin as a frame of MPEG audio does: eleven set bits, and a layer.

    Parameters
    ----------
    head
        The first bytes, four at least.

    Returns
    -------
    bool
        Whether they do.
    """
    return has_sync(head) and head[1] & 0x06 != 0


def form(head: bytes) -> tuple[int, int] | None:
    """Return sample rate and channels by the first four bytes of a frame (ISO/IEC 11172-3 section 2.4.1.3).

    Parameters
    ----------
    head
        The first bytes, four at least.

    Returns
    -------
    tuple[int, int] or None
        Sample rate in Hz, and channels; None where they are reserved values.
    """
    if len(head) < 4 or not is_frame(head) or head[2] >> 2 & 3 == 3:
        return None
    halvings = {3: 0, 2: 1, 0: 2}.get(head[1] >> 3 & 3)  # MPEG 1, 2 and 2.5
    if halvings is None:
        return None
    return _RATES_HZ[head[2] >> 2 & 3] >> halvings, 1 if head[3] >> 6 == 3 else 2


def is_mpeg(file: BinaryIO) -> bool:
    """Return whether a file is MPEG audio by its first bytes, or by an ID3v2 tag before nothing else that is known.

    Parameters
    ----------
    file
        The file, open for reading in binary.

    Returns
    -------
    bool
        Whether it is.
    """
    at = audio_start(file)
    file.seek(at)
    head = file.read(4)
    return is_frame(head) or (at > 0 and head not in (b"fLaC", b"RIFF", b"FORM", b"OggS", b"wvpk", b"MAC ", b"TTA1"))


def statement(file: BinaryIO) -> XingHeader | None:
    """Return the Xing or Info header of a file, None where it has none.

    Parameters
    ----------
    file
        The file, open for reading in binary.

    Returns
    -------
    XingHeader or None
        What it states of the length and of the encoder's delay.
    """
    at = audio_start(file)
    file.seek(at)
    start = file.read(_START_BYTES)
    place = next((found.start() for found in _NAME.finditer(start) if _frame_before(start, found.start())), -1)
    if place < 0 or len(start) < place + 16:
        return None
    flags = start[place + 7]
    numbers = [int.from_bytes(start[place + 8 + 4 * index : place + 12 + 4 * index]) for index in range(2)]
    frames = numbers.pop(0) if flags & 1 else None
    return XingHeader(frames, numbers[0] if flags & 2 else None, at + place - (_frame_before(start, place) or 0))


def _frame_before(start: bytes, place: int) -> int | None:
    """Return how far before a place the frame begins whose side information ends there, None where there is none."""
    return next((back for back in _SIDE_BYTES if place >= back and form(start[place - back :][:4])), None)


def goes_on(file: BinaryIO, stated: XingHeader) -> bool:
    """Return whether another frame follows where a file should be at its end.

    Parameters
    ----------
    file
        The file, open for reading in binary.
    stated
        The header that states the length.

    Returns
    -------
    bool
        Whether there is more than the header states.
    """
    if stated.bytes is None:
        return False
    file.seek(stated.start + stated.bytes)
    return is_frame(file.read(2))
