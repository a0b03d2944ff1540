"""Ogg files page by page (RFC 3533): whether they are whole, and which streams follow one another in them.

Decoders read an Ogg file that was cut off as if it were whole. The last page of a stream says that it is the last, and
every page has a number and a checksum.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from rtpverify.errors import SourceError

_CAPTURE = b"OggS"
_HEAD_BYTES = 27
_SEARCH_BYTES = 1 << 16
_FIRST, _LAST = 0x02, 0x04
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(slots=True)
class Link:
    """One logical stream of audio.

    Attributes
    ----------
    codec, sample_rate_hz, channels
        As its first packet states them; Opus is 48,000 Hz whatever was fed to its encoder.
    start_byte
        Where it begins in the file.
    granule
        Of its last page on which a packet ends.
    is_ended
        Whether a page said that it is the last.
    """

    codec: str
    sample_rate_hz: int
    channels: int
    start_byte: int
    granule: int = 0
    is_ended: bool = False
    _next_page: int = field(default=0, repr=False)


def links_of(path: Path, file: BinaryIO) -> list[Link]:
    """Return the streams of audio in an Ogg file that follow one another; none where it is no Ogg file.

    Of streams that lie side by side the first is followed, as decoders do.

    Parameters
    ----------
    path
        The file.
    file
        The file, open for reading in binary.

    Returns
    -------
    list of Link
        In the order of the file.

    Raises
    ------
    SourceError
        Where the file was cut off or is damaged: a page is missing, not whole or altered, or no page says that it is
        the last.
    """
    file.seek(0)
    if file.read(4) != _CAPTURE:
        return []
    links: list[Link] = []
    serials: dict[int, Link | None] = {}
    at = 0
    while page := _page(path, file, at := _next_page(file, at)):
        flags, granule, serial, number, body, size = page
        if flags & _FIRST:
            is_beside = bool(links) and not links[-1].is_ended and links[-1].granule == 0
            link = None if is_beside else _link(body, at)
            serials[serial] = link
            if link is not None:
                if links and not links[-1].is_ended:
                    raise SourceError(f"{path}: cut off: no page before byte {at} ends the stream that began before it")
                links.append(link)
        link = serials.get(serial)
        if link is not None:
            if number != link._next_page:  # noqa: SLF001 - its own module
                raise SourceError(
                    f"{path}: damaged: page {link._next_page} is missing before byte {at}"  # noqa: SLF001
                )
            link._next_page = number + 1  # noqa: SLF001
            link.is_ended = link.is_ended or bool(flags & _LAST)
            if granule >= 0:
                link.granule = granule
        at += size
    if links and not links[-1].is_ended:
        raise SourceError(f"{path}: cut off: no page says that it is the last of the stream")
    return links


def check_alike(path: Path, links: list[Link]) -> None:
    """Raise SourceError where streams that follow one another differ in sample rate or channels.

    Parameters
    ----------
    path
        The file.
    links
        The streams.

    Raises
    ------
    SourceError
        Where they differ, with both values.
    """
    seconds = 0.0
    for before, link in pairwise(links):
        seconds += before.granule / before.sample_rate_hz
        changes = []
        if before.sample_rate_hz != link.sample_rate_hz:
            changes.append(f"sample rate changes from {before.sample_rate_hz} Hz to {link.sample_rate_hz} Hz")
        if before.channels != link.channels:
            changes.append(f"channel count changes from {before.channels} to {link.channels}")
        if changes:
            raise SourceError(
                f"{path}: its {' and its '.join(changes)} at byte {link.start_byte} ({seconds:.3f} s): split it there"
            )


def _next_page(file: BinaryIO, at: int) -> int:
    """Return where the next page begins, what lies before it omitted; the end of the file where there is none."""
    file.seek(at)
    found = file.read(len(_CAPTURE))
    if found == _CAPTURE:
        return at
    kept = found
    while more := file.read(_SEARCH_BYTES):
        place = (kept + more).find(_CAPTURE)
        if place >= 0:
            return at + place
        at += len(kept) + len(more) - len(_CAPTURE) + 1
        kept = (kept + more)[1 - len(_CAPTURE) :]
    return file.seek(0, 2)


def _page(path: Path, file: BinaryIO, at: int) -> tuple[int, int, int, int, bytes, int] | None:
    """Return flags, granule position, serial and page number, content and length of a page; None at the end."""
    file.seek(at)
    head = file.read(_HEAD_BYTES)
    if not head:
        return None
    lacing = file.read(head[26]) if len(head) == _HEAD_BYTES else b""
    body = file.read(sum(lacing))
    if len(head) < _HEAD_BYTES or len(lacing) < head[26] or len(body) < sum(lacing):
        raise SourceError(f"{path}: cut off within the page at byte {at}")
    stated = int.from_bytes(head[22:26], "little")
    if _checksum(head[:22] + bytes(4) + head[26:] + lacing + body) != stated:
        raise SourceError(f"{path}: damaged: the checksum of the page at byte {at} is wrong")
    granule = int.from_bytes(head[6:14], "little", signed=True)
    serial, number = (int.from_bytes(head[place : place + 4], "little") for place in (14, 18))
    return head[5], granule, serial, number, body, _HEAD_BYTES + len(lacing) + len(body)


def _checksum(page: bytes) -> int:
    """Return the CRC of RFC 3533: that of zlib with every byte and the result mirrored, from 0 and not inverted."""
    crc = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def _link(packet: bytes, at: int) -> Link | None:
    """Return the stream that a first packet opens, None where it is no audio."""
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        return Link("VORBIS", int.from_bytes(packet[12:16], "little") or 1, packet[11], at)
    if packet[:8] == b"OpusHead" and len(packet) >= 10:
        return Link("OPUS", 48000, packet[9], at)
    if packet[:5] == b"\x7fFLAC" and len(packet) >= 31:
        word = int.from_bytes(packet[27:31])
        return Link("FLAC", word >> 12 or 1, (word >> 9 & 7) + 1, at)
    if packet[:8] == b"Speex   " and len(packet) >= 52:
        rate_hz, channels = (int.from_bytes(packet[place : place + 4], "little") for place in (36, 48))
        return Link("SPEEX", rate_hz or 1, channels, at)
    return None
