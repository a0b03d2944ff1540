"""What a request cannot mean for a source of its form, and what cannot be verified at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import RequestError, SourceError

if TYPE_CHECKING:
    from rtpverify.engine.verifier import Verifier


def refuse_redundant(source: str, redundant: bool) -> None:
    """Refuse ``--redundant`` where it says nothing.

    Parameters
    ----------
    source
        Name of the source, for the message.
    redundant
        Whether it was given.

    Raises
    ------
    RequestError
        Where it was.
    """
    if redundant:
        raise RequestError(
            f"{source}: --redundant applies to captures only; a session description declares legs with a=group:DUP"
        )


def require_decodable(specs: Sequence[StreamSpec]) -> None:
    """Refuse a description of which nothing can be verified; where something can, the rest is inconclusive.

    Parameters
    ----------
    specs
        What is expected.

    Raises
    ------
    RequestError
        Where no medium that is described can be decoded.
    """
    described = [spec.announced for spec in specs if spec.announced is not None]
    if not described or any(one.medium.is_decodable for one in described):
        return
    spec, medium = specs[0], described[0].medium
    if spec.reference is not None and (spec.encoding is None or medium.is_encrypted):
        raise RequestError(
            f"{described[0].place}: {medium.why_undecodable()}; --reference none verifies transport alone"
        )


def refuse_mistakes(verifier: Verifier) -> None:
    """Raise what is the caller's mistake: a source that cannot be read, a reference that can hold for no stream.

    Parameters
    ----------
    verifier
        What contained it.

    Raises
    ------
    RequestError
        The first such failure.
    """
    mistakes = [failure.error for failure in verifier.failures if isinstance(failure.error, RequestError)]
    for error in mistakes:
        none_is_judged = all(stream.failure is not None for stream in verifier.streams)
        if isinstance(error, SourceError) or none_is_judged:
            raise error


def require_encodings(verifier: Verifier, source: str) -> None:
    """Refuse a source of which no stream can be decoded that should be verified, unless a description says why.

    Parameters
    ----------
    verifier
        What took its packets.
    source
        Name of the source, for the message.

    Raises
    ------
    RequestError
        Where streams came, and none can be decoded.
    """
    streams = verifier.streams
    if streams and all(stream.encoding is None and stream.spec.reference is not None for stream in streams):
        if any(stream.spec.announced and stream.spec.announced.is_known(stream.payload_type) for stream in streams):
            return
        doubts = dict.fromkeys(stream.doubt or "encoding unknown" for stream in streams)
        raise RequestError(
            f"{source}: {'; '.join(doubts)}; give --encoding or --sdp, or --reference none for transport alone"
        )
