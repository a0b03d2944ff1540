"""Where lines for a person go: styled on a terminal, plain in a file or pipe."""

from __future__ import annotations

import os
import shutil
from typing import IO, Any

import click

from rtpverify.report.printable import printable

Style = dict[str, Any]
"""What :func:`click.style` takes."""

BOLD: Style = {"bold": True}
DIM: Style = {"dim": True}


def coloured(colour: str, **more: bool) -> Style:
    """Return a style in one of the terminal's eight colours.

    Parameters
    ----------
    colour
        Its name.
    **more
        Such as ``bold=True``.

    Returns
    -------
    Style
        The style.
    """
    return {"fg": colour, **more}


class Paper:
    """Lines of a report.

    Styled where ``out`` is a terminal and ``NO_COLOR`` is not set, or where ``FORCE_COLOR`` is.

    Parameters
    ----------
    out
        Where they go.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self.is_terminal = out.isatty()
        able = self.is_terminal and os.environ.get("TERM") not in ("dumb", "unknown")
        self._styled = (able or bool(os.environ.get("FORCE_COLOR"))) and not os.environ.get("NO_COLOR")

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return shutil.get_terminal_size().columns

    def line(self, *parts: str | tuple[str, Style]) -> None:
        """Write one line of parts, each text or text and style; control characters in them are escaped.

        Parameters
        ----------
        *parts
            Written one after the other.
        """
        texts = [
            printable(part)
            if isinstance(part, str)
            else click.style(printable(part[0]), **part[1])
            if self._styled
            else printable(part[0])
            for part in parts
        ]
        click.echo("".join(texts), file=self._out, color=self._styled)
