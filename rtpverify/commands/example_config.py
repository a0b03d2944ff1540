"""The examples that ship with the package: configuration, rules, dashboards and unit, as files of the user's."""

from __future__ import annotations

import secrets
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from rtpverify.errors import OutputError, RequestError


def write_examples(out: Path) -> list[Path]:
    """Write a copy of every example into a new folder.

    Parameters
    ----------
    out
        The folder; it must not be there, and its parent must.

    Returns
    -------
    list of Path
        The files, sorted.

    Raises
    ------
    RequestError
        Where the folder exists already, or cannot be made.
    OutputError
        Where a file cannot be written; then nothing is left.
    """
    if out.exists() or out.is_symlink():
        raise RequestError(f"{out}: exists already; name a folder that does not")
    if not out.absolute().parent.is_dir():
        raise RequestError(f"{out}: no folder {out.absolute().parent}")
    unfinished = out.absolute().with_name(f".{out.absolute().name[:200]}.{secrets.token_hex(4)}")
    try:
        with as_file(files("rtpverify") / "configs") as examples:
            for path in examples.rglob("*"):
                if path.is_file():
                    copy = unfinished / path.relative_to(examples)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)  # not its mode: an installed package may be read-only
        unfinished.rename(out)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return sorted(path for path in out.rglob("*") if path.is_file())
