"""Files that are read for long: as they were when they were opened, though others may have taken their names since."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

Stamp = tuple[int, int, int]
"""What distinguishes a version of a file from another without reading it: inode, size, time of change in ns."""


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file, None where it cannot be examined.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Stamp or None
        What changes when the file does.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class HeldFile:
    """A file that is there for as long as this is, also once it was removed or another was moved over it.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    path
        Opens it again, each time from its beginning. Elsewhere than on Linux that is its name, and holds nothing.

    Raises
    ------
    OSError
        Where it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        again = Path(f"/proc/self/fd/{descriptor}")
        self.path = again if again.exists() else path
