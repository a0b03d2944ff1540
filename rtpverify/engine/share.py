"""Checking the streams of one capture in several processes, so that all of it is what one process finds.

Each process reads all packets and follows the transport of every stream, which costs little; it decodes and checks the
audio of its share of them alone. So whatever concerns all streams (which there are, what was discarded, which sources
are one) is the same in each, and what is found of a stream comes from the process that checks it, with nothing cut.

A stream is not cut by time: what is in order is learned from all that came before (how a channel wanders, how noisy it
is, which faults it has shown), and a detector that begins later, however far it overlaps, has learned something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rtpverify.result import Result, StreamResult


@dataclass(frozen=True, slots=True, order=True)
class Share:
    """The streams whose audio is checked: in order of appearance, every ``of``-th from the ``number``-th on.

    Attributes
    ----------
    number
        From 0.
    of
        How many shares there are.
    """

    number: int = 0
    of: int = 1

    def includes(self, position: int) -> bool:
        """Return whether a stream is one of them.

        Parameters
        ----------
        position
            Its number in order of appearance, from 0.

        Returns
        -------
        bool
            Whether it is.
        """
        return position % self.of == self.number


WHOLE = Share()
"""All streams."""


def merged(parts: Sequence[Result]) -> Result:
    """Return the result of all shares together: what one verifier finds that checks all streams.

    Parameters
    ----------
    parts
        One of each share.

    Returns
    -------
    Result
        As of one check.

    Raises
    ------
    ValueError
        Where they are not all shares of the same input.
    """
    first = parts[0]
    if len({tuple(_identity(stream) for stream in part.streams) for part in parts}) > 1:
        raise ValueError("shares of one capture found different streams in it")
    streams = []
    for position, stream in enumerate(first.streams):
        # What never came is checked by none.
        by = [part.streams[position] for part in parts if position < len(part.checked) and part.checked[position]]
        if len(by) > 1 or (not by and position < len(first.checked)):
            raise ValueError(f"stream {position + 1} was checked by {len(by)} shares of one capture")
        streams.append(by[0] if by else stream)
    checked = tuple(any(of_one) for of_one in zip(*(part.checked for part in parts), strict=True))
    failures = [failure for part in parts for failure in part.failures]
    return replace(first, streams=streams, failures=failures, checked=checked)


def _identity(stream: StreamResult) -> tuple[object, ...]:
    """Return what every share knows of a stream."""
    received = stream.transport.packets_received if stream.transport else None
    return stream.ssrc, stream.sender, stream.destination, received
