"""Defects of rtpverify itself that are contained: one stream's costs what that stream is checked by, and no other's.

The core does not report them: it keeps what a person needs to mend them, and continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

DEFECT_STATUS = 70
"""Exit status, ``EX_SOFTWARE`` of ``sysexits.h``: the fault is neither in the audio nor in the request."""


class RowError(Exception):
    """Checking failed in one row, and left the others as they were; ``__cause__`` is how.

    Parameters
    ----------
    row
        The row.
    """

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def in_one_line(error: BaseException) -> str:
    """Return the kind of an exception and what it says, in one line.

    Parameters
    ----------
    error
        The exception.

    Returns
    -------
    str
        Such as ``ValueError: no frames``.
    """
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that was contained.

    Attributes
    ----------
    where
        What failed: ``input`` (before packets are known to be of a stream), ``encoding`` (to see how they are decoded),
        ``transport`` (to see their places and times), ``signal`` (to decode and check), ``result`` (to put figures
        together).
    stream
        Name of the stream, None where it is not known of which it is.
    error
        The exception, without what its frames hold.
    traceback
        As Python prints it.
    """

    where: str
    stream: str | None
    error: Exception
    traceback: str

    @classmethod
    def of(cls, where: str, stream: str | None, error: Exception) -> Failure:
        """Return what is kept of an exception: its frames would keep whole batches in memory.

        Parameters
        ----------
        where
            What failed.
        stream
            Name of the stream, None where it is not known of which it is.
        error
            The exception.
        """
        import traceback

        text = "".join(traceback.format_exception(error))
        while isinstance(error, RowError) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        return cls(where, stream, error.with_traceback(None), text)

    @property
    def message(self) -> str:
        """What happened, in one line."""
        return in_one_line(self.error)


@contextmanager
def contained(fail: Callable[[Exception], None]) -> Iterator[None]:
    """Hand an exception over instead of passing it on.

    Parameters
    ----------
    fail
        Called with the exception.

    Yields
    ------
    None
        Nothing.
    """
    try:
        yield
    except Exception as error:
        fail(error)
