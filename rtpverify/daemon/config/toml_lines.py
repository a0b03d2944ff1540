"""On which line of a TOML file a value is, and a mistake in it as one line of text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]
"""Keys, and indexes from 0 in lists, that lead to a value."""

_TABLE_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.\s\"'-]+?)\s*\]")
_KEY = re.compile(r"^\s*([\w.\"'-]+)\s*=")


def find_lines(text: str) -> dict[Place, int]:
    """Return the line, from 1, of every table header and of every key that starts a line.

    Parameters
    ----------
    text
        A document in TOML.

    Returns
    -------
    dict[Place, int]
        Lines by place.
    """
    lines: dict[Place, int] = {}
    lengths: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE_HEADER.match(line):
            names = _keys(header[2])
            table = ()
            for depth, name in enumerate(names, 1):
                table += (name,)
                if header[1] == "[[" and depth == len(names):
                    lengths[table] = lengths.get(table, 0) + 1
                if table in lengths:
                    table += (lengths[table] - 1,)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(table + _keys(key[1]), number)
    return lines


def _keys(text: str) -> tuple[str, ...]:
    """Split a dotted key."""
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def line_of(lines: Mapping[Place, int], place: Place) -> int:
    """Return the line of a value, or else of what holds it; 0 where not even that is known.

    Parameters
    ----------
    lines
        What :func:`find_lines` returned.
    place
        Keys and indices, from the outermost on.

    Returns
    -------
    int
        Counted from 1.
    """
    return next((lines[place[:depth]] for depth in range(len(place), 0, -1) if place[:depth] in lines), 0)


def write_mistake(path: Path, line: int, place: Place, data: Any, message: str) -> str:
    """Write one mistake of what ``data`` holds as one line, ``FILE:LINE: KEY = VALUE: message``; line 0 is omitted.

    Parameters
    ----------
    path
        The file.
    line
        Line of the value, 0 where it is not known.
    place
        Keys and indices, from the outermost on.
    data
        What the file holds.
    message
        What is wrong with the value.

    Returns
    -------
    str
        Without a newline.
    """
    key = ""
    for part in place:
        key += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if key else part
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
    value = "" if data is None or isinstance(data, dict) else f" = {json.dumps(data, default=str, ensure_ascii=False)}"
    return f"{path}{f':{line}' if line else ''}: {key}{value[:80]}: {message}"
