"""What the channels of a stream are called: the ``channel-order`` of ST 2110-30 section 6.2.2.

An order is ``SMPTE2110.(ST,51)``: groups that follow one another, each for a fixed number of channels.
"""

from __future__ import annotations

import re

_GROUPS: dict[str, tuple[str, ...]] = {
    "M": ("M",),
    "DM": ("M1", "M2"),
    "ST": ("L", "R"),
    "LtRt": ("Lt", "Rt"),
    "51": ("L", "R", "C", "LFE", "Ls", "Rs"),
    "71": ("L", "R", "C", "LFE", "Lss", "Rss", "Lrs", "Rrs"),
    # SMPTE ST 2036-2 table 1.
    "222": (
        "FL",
        "FR",
        "FC",
        "LFE1",
        "BL",
        "BR",
        "FLc",
        "FRc",
        "BC",
        "LFE2",
        "SiL",
        "SiR",
        "TpFL",
        "TpFR",
        "TpFC",
        "TpC",
        "TpBL",
        "TpBR",
        "TpSiL",
        "TpSiR",
        "TpBC",
        "BtFC",
        "BtFL",
        "BtFR",
    ),
    "SGRP": ("1", "2", "3", "4"),
}
_UNDEFINED = re.compile(r"U(\d{2})")


def channel_labels(order: str, channels: int) -> list[str]:
    """Return a label for each channel; nothing where the order cannot be read or is of another number of channels.

    Channels that the order leaves without a name, at its end or by ``Uxx``, have an empty label.

    >>> channel_labels("SMPTE2110.(ST,M)", 3)
    ['L', 'R', 'M']

    Parameters
    ----------
    order
        Value of ``channel-order``, such as ``SMPTE2110.(51,ST)``.
    channels
        Channels of the stream.

    Returns
    -------
    list of str
        One label a channel, such as ``"L"``; empty where they are not known.
    """
    match = re.fullmatch(r"SMPTE2110\.\((.*)\)", order.replace(" ", ""))
    if match is None:
        return []
    labels: list[str] = []
    for symbol in match[1].split(","):
        undefined = _UNDEFINED.fullmatch(symbol)
        if undefined:
            labels += [""] * int(undefined[1])
        elif symbol in _GROUPS:
            labels += _GROUPS[symbol]
        else:
            return []
    return labels + [""] * (channels - len(labels)) if len(labels) <= channels else []
