"""A process that makes evidence, so that the one that receives keeps the interpreter to itself.

Cases go in through its standard input and files come back through its standard output, one after another. It is
after everything else on this host (nice), and ends when its input does, with whoever started it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from typing import IO

from rtpverify.evidence.case import Case, Kept, files_of

NICENESS = 10
CLOSE_SECONDS = 1.0


class Maker:
    """The near side: starts the process with the first case, and again after it died; for one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def files_of(self, case: Case, kept: Kept) -> dict[str, bytes]:
        """Return the files of a case; see :func:`rtpverify.evidence.case.files_of`.

        Parameters
        ----------
        case
            The case.
        kept
            Its packets.

        Returns
        -------
        dict[str, bytes]
            Content by name.

        Raises
        ------
        OSError
            Where the process cannot be started, or died.
        Exception
            What making them raised, a mistake of ours.
        """
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        try:
            pickle.dump((case, kept), process.stdin, protocol=5)
            process.stdin.flush()
            answer: dict[str, bytes] | Exception = pickle.load(process.stdout)  # noqa: S301 - our own process
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            status = self._end()
            raise OSError(f"the evidence process exited with status {status}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing. May be called twice, and by another thread."""
        self._closed = True
        self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise OSError("no more evidence is written")
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rtpverify.evidence.worker_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what is left in it is for nobody
                    pipe.close()
        return process.wait(CLOSE_SECONDS)


def serve(cases: IO[bytes], answers: IO[bytes]) -> None:
    """Make evidence of each case until there are no more.

    Parameters
    ----------
    cases
        Where pickled pairs of case and packets come from.
    answers
        Where pickled files or exceptions go.
    """
    while True:
        try:
            case, kept = pickle.load(cases)  # noqa: S301 - from the process that started this one
        except EOFError:
            return
        answer: dict[str, bytes] | Exception
        try:
            answer = files_of(case, kept)
        except Exception as error:
            answer = RuntimeError(repr(error))
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


if __name__ == "__main__":
    # Who manages services stops all processes of one at once; what is begun is to be ended.
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        with suppress(OSError):  # a service may be forbidden to; it works all the same
            os.nice(NICENESS)
    serve(sys.stdin.buffer, sys.stdout.buffer)
