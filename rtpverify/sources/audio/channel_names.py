"""What the channels of an audio file are called, where the file or its format says.

Names are those of ST 2110-30 (L, R, C, LFE, Ls, Rs; with four surrounds Lss, Rss, Lrs, Rrs), so that a file and a
stream of the same programme read alike. Two channels are L and R by universal use.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def names_of(positions: Sequence[str]) -> tuple[str, ...]:
    """Return what channels at these positions are called.

    >>> names_of(["FL", "FR", "FC", "LFE", "BL", "BR"])
    ('L', 'R', 'C', 'LFE', 'Ls', 'Rs')

    Parameters
    ----------
    positions
        Names of the positions, such as ``"front left"``.

    Returns
    -------
    tuple[str, ...]
        One short name a channel.
    """
    has_four = {"BL", "SL"} <= set(positions)
    table = _NAMES | (_SIDE_AND_BACK if has_four else _SURROUND)
    return tuple(table.get(position, position) for position in positions)


def names_by_format(name: str, channels: int) -> tuple[str, ...]:
    """Return the names that a format (``FLAC``, ``VORBIS``, ``OPUS``) gives to so many channels, or nothing.

    Parameters
    ----------
    name
        Name of the format.
    channels
        Channels.

    Returns
    -------
    tuple[str, ...]
        One name a channel; empty where the format says nothing.
    """
    if channels == 2:
        return ("L", "R")
    fixed = _FIXED.get(name, {}).get(channels, "")
    return names_of(fixed.split())


def names_by_mask(mask: int, channels: int) -> tuple[str, ...]:
    """Return the names that a WAV file's channel mask gives, or nothing where it is for another number of channels.

    Parameters
    ----------
    mask
        ``dwChannelMask`` of WAVEFORMATEXTENSIBLE.
    channels
        Channels.

    Returns
    -------
    tuple[str, ...]
        One name a channel.
    """
    present = [position for bit, position in enumerate(POSITIONS) if mask >> bit & 1]
    return names_of(present) if len(present) == channels and mask < 1 << len(POSITIONS) else ()
