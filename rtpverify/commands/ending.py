"""How a command ends: its exit status is that of its verdict, whatever becomes of its output or of itself."""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from rtpverify.errors import OutputError, RequestError
from rtpverify.failure import DEFECT_STATUS
from rtpverify.live import defect_files

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
_AGAIN_SECONDS = 0.01
_OF_NAMES = frozenset({errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR})
"""What is wrong with the name of a file that cannot even be looked up: asking whether it is there raises these."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


class _StandardStream(io.RawIOBase):
    """Standard output or error. What a reader that has gone did not read is no failure, and is dropped.

    Parameters
    ----------
    descriptor
        None where the caller has closed it.
    name
        Of the stream, for a person; None: whatever cannot be written is dropped, as nobody would see it.
    """

    def __init__(self, descriptor: int | None, name: str | None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._name = name
        self._drops = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor

    def isatty(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some bytes, or drop them all.

        Raises
        ------
        OutputError
            Once, where they cannot be written for another reason than that nobody reads them.
        """
        length = memoryview(data).nbytes
        while not self._drops:
            try:
                return os.write(self.fileno(), data)
            except BlockingIOError:
                select.select([], [self.fileno()], [])
            except BrokenPipeError:
                self._drops = True
            except OSError as error:
                self._drops = True
                if self._name is not None:
                    raise OutputError(f"{self._name}: {error.strerror}") from error
        return length


def open_standard_streams() -> None:
    """Let standard output and error bear readers that go, and errors of the former reported as such."""
    for name, said in (("stdout", "standard output"), ("stderr", None)):
        stream = getattr(sys, name)
        raw = _StandardStream(None if stream is None else stream.fileno(), said)
        # An arrow is no reason to fail on a terminal that has none.
        renewed = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=getattr(stream, "encoding", None),
            errors="replace",
            line_buffering=raw.isatty() or said is None,
            write_through=getattr(stream, "write_through", False),
        )
        setattr(sys, name, renewed)


def end_at_termination() -> None:
    """Have SIGTERM unwind the program as Ctrl-C does, so that nothing half done is left, and have neither be lost."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    report = sys.unraisablehook

    def send_again(failure: sys.UnraisableHookArgs) -> None:
        if not issubclass(failure.exc_type, KeyboardInterrupt):
            report(failure)
            return
        # Raised where Python ignores what is raised, as in finalizers: it comes again once that is over.
        number = signal.SIGTERM if issubclass(failure.exc_type, Terminated) else signal.SIGINT
        again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = send_again


def exit_status(command: Callable[[], int]) -> int:
    """Run a command; where it fails, say why on standard error, in one line.

    Parameters
    ----------
    command
        Returns its exit status.

    Returns
    -------
    int
        Exit status of the command, or of how it failed.
    """
    try:
        status = command()
        sys.stdout.flush()
    except RequestError as error:
        defect_files.say("\n".join(f"rtpverify: {line}" for line in str(error).splitlines()))
        return error.exit_status
    except OSError as error:
        if error.filename is None or error.errno not in _OF_NAMES:
            defect_files.report_exception(error)
            return DEFECT_STATUS
        defect_files.say(f"rtpverify: {os.fsdecode(error.filename)}: {error.strerror}")
        return RequestError.exit_status
    except KeyboardInterrupt as interrupt:
        return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED
    except Exception as error:
        defect_files.report_exception(error)
        return DEFECT_STATUS
    return status
