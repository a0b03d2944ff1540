"""Text from outside – names of files, sessions and channels – as a terminal, a log and a document may show it."""

from __future__ import annotations

import re

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python makes of bytes in a file name that are no UTF-8 (PEP 383); no encoding holds it."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (ECMA-48), line separators and what reverses the direction of text (UAX 9), too."""


def encodable(text: str) -> str:
    r"""Return text that any Unicode encoding holds: bytes of file names that are no UTF-8 as ``\xff``.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The same where nothing is to be replaced.
    """
    return _LONE_SURROGATE.sub(_escaped, text)


def printable(text: str) -> str:
    r"""Return text in one line that moves no cursor and colours nothing: such characters as ``\x1b`` or ``\u202e``.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The same where nothing is to be escaped.
    """
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub(_escaped, text)


def printable_lines(text: str) -> str:
    """Return text of several lines, each of them :func:`printable`.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The same where nothing is to be escaped.
    """
    return "\n".join(map(printable, text.split("\n")))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
