"""What is fuzzed: something that reads bytes, valid bytes to begin with, and what may come of any bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property

from rtpverify.errors import RequestError

ALLOWED = (RequestError,)
"""The only exceptions that bytes may cause, with a message in one line; every other one is a bug."""

MILLION = 1_000_000


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Attributes
    ----------
    take
        Reads some bytes, and raises where what it found is wrong.
    seeds
        Makes valid bytes to begin with.
    guided_by
        Packages and modules whose branches guide the campaign.
    inputs, hours
        How long the campaign lasts: so many inputs, or so much time.
    longest
        Most bytes of an input.
    opened
        What is needed to read bytes, made once: gives what takes them. None where ``take`` is all.
    """

    seeds: Callable[[], Sequence[bytes]]
    guided_by: tuple[str, ...]
    take: Callable[[bytes], None] | None = None
    opened: Callable[[], AbstractContextManager[Callable[[bytes], None]]] | None = None
    inputs: int | None = None
    hours: float | None = None
    longest: int = 1024

    def open(self) -> AbstractContextManager[Callable[[bytes], None]]:
        """Return what takes bytes, as long as it is open."""
        if self.opened is not None:
            return self.opened()
        assert self.take is not None
        return nullcontext(self.take)

    @cached_property
    def corpus(self) -> tuple[bytes, ...]:
        """The seeds."""
        return tuple(self.seeds())


@contextmanager
def refusal() -> Iterator[None]:
    """Let input be refused: with an exception that is allowed and a message that can be shown."""
    try:
        yield
    except ALLOWED as error:
        for line in str(error).split("\n"):
            require_line(line)


def require_line(text: str) -> None:
    """Fail for text that is no line for a person; what steers a terminal is escaped where it is shown."""
    assert text.strip()
    assert "\n" not in text


def parts(data: bytes) -> list[bytes]:
    """Cut bytes into datagrams: a byte of length, then so many bytes; 255 takes the rest."""
    cut, at = [], 0
    while at < len(data):
        length = data[at] if data[at] < 255 else len(data)
        cut.append(data[at + 1 : at + 1 + length])
        at += 1 + length
    return cut


def joined(datagrams: Sequence[bytes]) -> bytes:
    """Return what :func:`parts` cuts into these datagrams; all but the last are of at most 254 bytes."""
    *first, last = datagrams
    return b"".join(bytes([len(one)]) + one for one in first) + b"\xff" + last
