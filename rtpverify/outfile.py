"""Files that commands write: nothing is written over unless that is said."""

from __future__ import annotations

from pathlib import Path

from rtpverify.errors import RequestError


def refuse_overwriting(option: str, path: Path, *, force: bool) -> None:
    """Raise RequestError where a file cannot be written: its folder is missing, or it is there and ``force`` is not."""
    if not path.absolute().parent.is_dir():
        raise RequestError(f"{option} {path}: no such folder")
    if path.is_dir():
        raise RequestError(f"{option} {path}: is a folder")
    if path.exists() and not force:
        raise RequestError(f"{option} {path}: is there already; --force writes over it")
