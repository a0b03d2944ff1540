"""References as a request writes them: ``tone``, ``tone:997``, ``none`` or the path of a recording."""

from __future__ import annotations

import os
from pathlib import Path

from rtpverify.errors import RequestError
from rtpverify.reference import Reference, Tone, parse_frequencies
from rtpverify.sources.audio.recording import open_recording


def parse_reference(text: str, folder: Path = Path()) -> Reference:
    """Read ``tone``, ``tone:F``, ``tone:F1,F2``, ``none`` or the path of a recording, relative to a folder.

    Parameters
    ----------
    text
        The reference.
    folder
        Folder of relative paths.

    Returns
    -------
    Reference
        None for ``none``.

    Raises
    ------
    RequestError
        For a frequency that is not a positive number, and a recording that cannot be read.
    RequestError
        Where it is none of these.
    """
    if text == "none":
        return None
    if text == "tone":
        return Tone()
    if not text.startswith("tone:"):
        try:
            return open_recording(folder / text)
        except RequestError as error:
            raise RequestError(f"reference {error}{_hint(text, folder)}") from error
    return Tone(parse_frequencies(text.removeprefix("tone:"), f"reference {text}"))


def _hint(text: str, folder: Path) -> str:
    """Return what a text that names no file may have meant."""
    if os.path.exists(folder / text):  # noqa: PTH110 - of a name that no file can have, Path's raises
        return ""
    frequencies = text.rpartition(":")[2]
    try:
        parse_frequencies(frequencies, "")
    except RequestError:
        return ""
    return f"; a tone is written tone:{frequencies}"
