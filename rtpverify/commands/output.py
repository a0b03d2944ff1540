"""Files that commands write: none is written over unless that is said, and none bears its name before it is whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rtpverify.errors import OutputError, RequestError
from rtpverify.report.printable import encodable


def refuse_overwriting(option: str, path: Path, *, force: bool) -> None:
    """Raise where a file cannot be written: its folder is missing, or it is there and ``force`` is not given.

    Parameters
    ----------
    option
        The option that names it, for the message.
    path
        The file.
    force
        Whether it may be written over.

    Raises
    ------
    RequestError
        Where it cannot be written.
    """
    if not path.absolute().parent.is_dir():
        raise RequestError(f"{option} {path}: no such folder")
    if path.is_dir():
        raise RequestError(f"{option} {path}: is a folder")
    if path.is_file() and not force:
        raise RequestError(f"{option} {path}: already exists (use --force to overwrite)")


def refuse_clashes(outputs: Iterable[tuple[str, Path]], inputs: Iterable[Path] = ()) -> None:
    """Raise where two outputs are one file, or one of them is an input.

    Whatever the names: links are followed. Devices and pipes may be named more than once.

    Parameters
    ----------
    outputs
        Each with its option.
    inputs
        What is read.

    Raises
    ------
    RequestError
        Where two are one.
    """
    used = [(path, f"is read by this command ({path})") for path in inputs if _status(path)]
    for option, path in outputs:
        if _is_special(path):
            continue
        for other, reason in used:
            if _are_one(path, other):
                raise RequestError(f"{option} {path}: {reason}".strip())
        used.append((path, f"is written by {option} too" if option else "is written twice"))


def _are_one(path: Path, other: Path) -> bool:
    """Return whether two names are names of one file, which need not exist yet."""
    status, its = _status(path), _status(other)
    if status is not None and its is not None:
        return os.path.samestat(status, its)
    return os.path.realpath(path) == os.path.realpath(other)


@contextmanager
def replacing(option: str, path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which takes the place of ``path`` once it is whole, and else is removed.

    A device, a pipe, and a file in a folder that takes no other are written as they are.

    Parameters
    ----------
    option
        The option that names it, for messages; empty where there is none.
    path
        The file.

    Yields
    ------
    Path
        The path to write.

    Raises
    ------
    OutputError
        For an OSError within, except of a pipe that nobody reads; the message starts with the option, where there is
        one, and the path.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}")
    try:
        try:
            if _is_special(path) or not _made(beside, target):
                yield path
            else:
                yield beside
                beside.replace(target)
        except BaseException:  # an interrupt too, wherever it comes
            beside.unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        return
    except OSError as error:
        raise OutputError(f"{option} {path}: {error.strerror or error}".strip()) from error


def _status(path: Path) -> os.stat_result | None:
    """Return what is known of a file, None where there is none: any text may be asked for."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _is_special(path: Path) -> bool:
    """Return whether a path names a device or pipe, or a file that is open already (``/dev/stdout``)."""
    status = _status(path)
    return (status is not None and not stat.S_ISREG(status.st_mode)) or path.absolute().parts[1:2] in (
        ("dev",),
        ("proc",),
    )


def _made(beside: Path, target: Path) -> bool:
    """Make an empty file next to another one, with its mode; return False where that has to be written itself."""
    mode = None
    if target.exists():
        if not os.access(target, os.W_OK):
            raise PermissionError(0, "Permission denied")
        mode = stat.S_IMODE(target.stat().st_mode)
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except PermissionError:
        if mode is None:
            raise
        return False
    if mode is not None:
        beside.chmod(mode)
    return True


def write_text(option: str, path: Path, content: str) -> None:
    """Write a whole text file.

    Parameters
    ----------
    option
        The option that names it, for messages.
    path
        The file.
    content
        What it is to hold.

    Raises
    ------
    OutputError
        Where it cannot be written.
    """
    with replacing(option, path) as place:
        place.write_text(encodable(content), encoding="utf-8")
