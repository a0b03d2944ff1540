"""Files that are read whole, such as configurations, session descriptions and secrets: never without bound.

A daemon waits for no file, and takes regular ones only: a pipe that nobody writes to would hold it up for ever. A
command that runs once takes pipes, too, and Ctrl-C ends its waiting.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 4 << 20
"""The largest that is read: hundreds of times what any of these files needs."""


def read_small(path: Path, *, is_patient: bool = False) -> bytes:
    """Return what a file holds; symbolic links are followed.

    Parameters
    ----------
    path
        The file.
    is_patient
        Take pipes and devices, too, and wait for what they give.

    Returns
    -------
    bytes
        Its bytes.

    Raises
    ------
    OSError
        Where it cannot be read, is larger than :data:`MAX_BYTES`, or is no regular file where that is asked for;
        ``strerror`` says so.
    OSError
        Where it is larger than such a file is, or cannot be read.
    """
    if not is_patient:
        require_regular(path.stat())
    descriptor = os.open(path, os.O_RDONLY | (0 if is_patient else getattr(os, "O_NONBLOCK", 0)))
    with os.fdopen(descriptor, "rb") as file:
        if not is_patient:
            require_regular(os.fstat(descriptor))  # another may have taken the name meanwhile
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"is larger than {MAX_BYTES >> 20} MiB")
    return content


def require_regular(status: os.stat_result) -> None:
    """Raise OSError where a file is none that is simply read or written: a pipe, device or socket, but for folders.

    Parameters
    ----------
    status
        Of the file, as ``os.stat`` gives it.

    Raises
    ------
    OSError
        With what it is instead.
    """
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "is not a regular file")
