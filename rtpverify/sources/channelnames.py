"""What the channels of an audio file are called, where the file or its format says.

Names are those of ST 2110-30 (L, R, C, LFE, Ls, Rs; with four surrounds Lss, Rss, Lrs, Rrs), so that a file and a
stream of the same programme read alike. Two channels are L and R by universal use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

POSITIONS = (
    "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR".split()  # noqa: SIM905 - reads as the table does
)
"""Bits of dwChannelMask from the lowest (WAVEFORMATEXTENSIBLE)."""

_NAMES = {"FL": "L", "FR": "R", "FC": "C", "FLC": "Lc", "FRC": "Rc", "BC": "Cs"}
_SURROUND = {"BL": "Ls", "BR": "Rs", "SL": "Ls", "SR": "Rs"}
_SIDE_AND_BACK = {"BL": "Lrs", "BR": "Rrs", "SL": "Lss", "SR": "Rss"}

_FLAC = {
    3: "FL FR FC",
    4: "FL FR BL BR",
    5: "FL FR FC BL BR",
    6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR",
    8: "FL FR FC LFE BL BR SL SR",
}
"""RFC 9639 section 9.1.3."""
_VORBIS = {
    3: "FL FC FR",
    4: "FL FR BL BR",
    5: "FL FC FR BL BR",
    6: "FL FC FR BL BR LFE",
    7: "FL FC FR SL SR BC LFE",
    8: "FL FC FR SL SR BL BR LFE",
}
"""Vorbis I section 4.3.9; Opus has the same (RFC 7845 section 5.1.1.2)."""
_FIXED = {"FLAC": _FLAC, "VORBIS": _VORBIS, "OPUS": _VORBIS}

_MAX_CHUNKS = 64


def names_of(positions: Sequence[str]) -> tuple[str, ...]:
    """Return what channels at these positions are called.

    >>> names_of(["FL", "FR", "FC", "LFE", "BL", "BR"])
    ('L', 'R', 'C', 'LFE', 'Ls', 'Rs')
    """
    has_four = {"BL", "SL"} <= set(positions)
    table = _NAMES | (_SIDE_AND_BACK if has_four else _SURROUND)
    return tuple(table.get(position, position) for position in positions)


def names_by_format(name: str, channels: int) -> tuple[str, ...]:
    """Return the names that a format (``FLAC``, ``VORBIS``, ``OPUS``) gives to so many channels, or nothing."""
    if channels == 2:
        return ("L", "R")
    fixed = _FIXED.get(name, {}).get(channels, "")
    return names_of(fixed.split())


def names_by_wave_header(file: BinaryIO, channels: int) -> tuple[str, ...]:
    """Return the names that the channel mask of a WAV or RF64 file gives, or nothing where it has none."""
    file.seek(0)
    if file.read(4) not in (b"RIFF", b"RF64", b"BW64") or file.read(8)[4:] != b"WAVE":
        return ()
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if len(head) < 8 or head[:4] == b"data":
            return ()
        if head[:4] == b"fmt ":
            form = file.read(min(length, 40))
            is_extensible = len(form) >= 24 and form[:2] == b"\xfe\xff"
            mask = int.from_bytes(form[20:24], "little") if is_extensible else 0
            present = [position for bit, position in enumerate(POSITIONS) if mask >> bit & 1]
            return names_of(present) if len(present) == channels and mask < 1 << len(POSITIONS) else ()
        file.seek(length + length % 2, 1)
    return ()
