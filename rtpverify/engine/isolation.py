"""What happens where packets of several streams cannot be taken together: the stream at fault is found, and pays alone.

A step over several streams that fails may have been left halfway in each of them. So each begins again by itself, as
another stream, with the packets of that step; what was counted before them stays. A stream that fails by itself is
given up: its packets are counted, and placed no more. Where none does, they are never taken together again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtpverify.failure import contained
from rtpverify.rtp.batch import RtpBatch

TakeTogether = Callable[[RtpBatch, NDArray[np.int64]], list[tuple[int, Exception]]]
"""Takes packets and the index of the stream of each, shape (n,); returns the streams that failed alone, and why."""


class Isolation:
    """Finds the stream that packets cannot be taken of.

    Parameters
    ----------
    take_together
        Takes packets of several streams at once.
    begin_again
        Lets a stream continue as another one, from the first of the packets given on.
    fail
        Called with the index of the stream at fault, None where it is not known, and the exception.

    Attributes
    ----------
    given_up
        Packets ignored of each stream that was given up, by index.
    by_themselves
        Whether no packets of two streams are taken together, as that failed and neither was at fault.
    """

    def __init__(
        self,
        take_together: TakeTogether,
        begin_again: Callable[[int, RtpBatch], None],
        fail: Callable[[int | None, Exception], None],
    ) -> None:
        self._take_together = take_together
        self._begin_again = begin_again
        self._fail = fail
        self.given_up: dict[int, int] = {}
        self.by_themselves = False

    def take_each(self, part: RtpBatch, stream: NDArray[np.int64]) -> None:
        """Take the packets of each stream by themselves.

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Index of the stream of each, shape (n,).
        """
        for index in np.unique(stream).tolist():
            rows = np.flatnonzero(stream == index)
            self._take_one(part.take(rows), stream[rows])

    def take_apart(self, part: RtpBatch, stream: NDArray[np.int64], error: Exception) -> None:
        """Take the packets of each stream by themselves, as they could not be taken together.

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Index of the stream of each, shape (n,).
        error
            Why they could not.
        """
        self._fail(None, error)
        given_up = len(self.given_up)
        for index in np.unique(stream).tolist():
            self._take_again(part, stream, index)
        self.by_themselves = len(self.given_up) == given_up

    def take_failed(self, part: RtpBatch, stream: NDArray[np.int64], failed: list[tuple[int, Exception]]) -> None:
        """Let each stream that alone could not be taken continue with its packets as another one.

        Parameters
        ----------
        part
            Packets of known streams.
        stream
            Index of the stream of each, shape (n,).
        failed
            Index of each stream that failed, and why.
        """
        for index, error in failed:
            self._fail(index, error)
            self._take_again(part, stream, index)

    def leave_out(self, stream: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Count packets of streams that were given up.

        Parameters
        ----------
        stream
            Index of the stream of each packet, shape (n,).

        Returns
        -------
        NDArray[np.bool_]
            Whether it is of such a stream, shape (n,).
        """
        for index in self.given_up:
            self.given_up[index] += int(np.count_nonzero(stream == index))
        return np.isin(stream, list(self.given_up))

    def _take_again(self, part: RtpBatch, stream: NDArray[np.int64], index: int) -> None:
        rows = np.flatnonzero(stream == index)
        mine = part.take(rows)
        self._begin_again(index, mine)
        self._take_one(mine, stream[rows])

    def _take_one(self, part: RtpBatch, stream: NDArray[np.int64]) -> None:
        """Take the packets of one stream; where that is not possible, give it up."""
        failed: list[Exception] = []
        with contained(failed.append):
            failed += [error for _, error in self._take_together(part, stream)]
        index = int(stream[0])
        for error in failed:
            self._fail(index, error)
            self.given_up[index] = len(part)
