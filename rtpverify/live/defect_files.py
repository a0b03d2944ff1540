"""Internal errors: an unexpected exception is reported in one line and its traceback kept in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rtpverify.failure import Failure, in_one_line
from rtpverify.report.printable import printable_lines
from rtpverify.version import __version__


def keep(traceback_text: str) -> Path | None:
    """Write a traceback to a temporary file that only the user may read; return its path, None where that fails.

    Parameters
    ----------
    traceback_text
        As Python prints it.

    Returns
    -------
    Path or None
        The file.
    """
    import platform
    import tempfile

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


def report(message: str, traceback_text: str) -> None:
    """Keep a traceback and report it on standard error: in one line, or with the traceback where it cannot be kept.

    Parameters
    ----------
    message
        What happened, in one line.
    traceback_text
        As Python prints it.
    """
    path = keep(traceback_text)
    if path is None:
        say(f"{traceback_text}rtpverify: internal error: {message}")
    else:
        say(f"rtpverify: internal error: {message}; please report it with {path}, where the traceback is")


def report_exception(error: BaseException) -> None:
    """Keep and report an exception.

    Parameters
    ----------
    error
        The exception.
    """
    import traceback

    report(in_one_line(error), "".join(traceback.format_exception(error)))


def report_failures(failures: Iterable[Failure]) -> None:
    """Keep and report what was contained, once where the same happened again.

    Parameters
    ----------
    failures
        What the verifier contained.
    """
    for failure in {(one.where, one.stream, one.message): one for one in failures}.values():
        whose = f" of stream {failure.stream!r}" if failure.stream else ""
        report(f"{failure.where}{whose}: {failure.message}", failure.traceback)


def say(text: str) -> None:
    """Report to a person; where there is nobody, the exit status alone has to do.

    Parameters
    ----------
    text
        One line.
    """
    with suppress(OSError, ValueError):
        print(printable_lines(text), file=sys.stderr, flush=True)
