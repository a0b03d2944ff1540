"""What becomes of an exception that nobody expected: a defect of rtpverify, kept in a file for who can mend it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from rtpverify import __version__

EXIT_STATUS = 70
"""``EX_SOFTWARE`` of ``sysexits.h``: the fault is neither in the audio nor in the request."""


def in_one_line(error: BaseException) -> str:
    """Return the kind of an exception and what it says, in one line."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def keep(traceback_text: str) -> Path | None:
    """Write a traceback to a temporary file that only the user may read; return its path, None where that fails."""
    about = [f"rtpverify {__version__}, Python {platform.python_version()}, {platform.platform()}", " ".join(sys.argv)]
    path = None
    with suppress(OSError):
        descriptor, name = tempfile.mkstemp(prefix="rtpverify-", suffix=".traceback")
        path = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join([*about, "", traceback_text]))
        return path
    if path is not None:
        path.unlink(missing_ok=True)
    return None


def report(message: str, traceback_text: str) -> str:
    """Keep a traceback; return what a person is told of it: one line, or the traceback where it cannot be kept."""
    path = keep(traceback_text)
    if path is None:
        return f"{traceback_text}rtpverify: a defect of rtpverify: {message}"
    return f"rtpverify: a defect of rtpverify: {message}; please report it with {path}, where the traceback is"


def report_exception(error: BaseException) -> str:
    """Keep the traceback of an exception; return what a person is told of it."""
    return report(in_one_line(error), "".join(traceback.format_exception(error)))
