"""What the configuration expects of streams, wherever they are known from, and what following them takes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from rtpverify.daemon.config.base import Table, text_of, told
from rtpverify.engine.expectation import DOWN_AFTER_SECONDS, MISSING_AFTER_SECONDS, StreamSpec
from rtpverify.errors import RequestError
from rtpverify.limits import PROFILES, with_values
from rtpverify.live.sdp_session import Session
from rtpverify.reference import Reference
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.ring.tap import is_tap, parse_taps

LABEL_LENGTH = 48
"""Of a name that is made from a session's or a file's; a number may follow."""


def reference_of(value: object, folder: Path) -> Reference:
    """Read what a stream is compared with, a recording relative to a folder; None: nothing.

    Parameters
    ----------
    value
        What the configuration holds.
    folder
        Folder of the configuration.

    Returns
    -------
    Reference
        The reference.

    Raises
    ------
    PydanticCustomError
        Where it is none.
    """
    text = text_of(value)
    try:
        return parse_reference(text, folder)
    except RequestError as error:
        raise told(error, f"reference {text}") from None


def _reference_field(value: object, info: ValidationInfo) -> Reference:
    return reference_of(value, info.context or Path())


Patience = Annotated[float, Field(strict=True, ge=1, le=86400)]
"""Seconds for which nothing comes of a stream without that being a fault."""


def _interface(text: str) -> str:
    if is_tap(text):
        try:
            parse_taps(text, "interface")
        except RequestError as error:
            raise told(error, f"interface: {text!r}") from None
    return text


InterfaceField = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_interface)]
"""Name or address of a network interface, or a tap."""


class PresenceTable(Table):
    """``[presence]``: how long any stream may be away that its own table says nothing of."""

    down_after_seconds: Patience = DOWN_AFTER_SECONDS
    missing_after_seconds: Patience = MISSING_AFTER_SECONDS


class ExpectationTable(Table):
    """What is expected of one stream or of several."""

    reference: Annotated[Reference, BeforeValidator(_reference_field)]
    profile: Literal["digital", "analog"] = "digital"
    limits: dict[str, Any] = Field(default_factory=dict)
    interface: InterfaceField | None = None
    """The routing table decides if omitted."""
    rtcp: Annotated[bool, Field(strict=True)] = False
    """Receive RTCP on the next port too, or on the one that a description names."""
    down_after_seconds: Patience | None = None
    """How long a sender may pause that leaves silence out; of ``[presence]`` if omitted."""
    missing_after_seconds: Patience | None = None
    """How long it may take until its first packet; the same."""

    def with_presence(self, presence: PresenceTable) -> Self:
        """Return the table with what it leaves out of presence.

        Parameters
        ----------
        presence
            The presence of the whole configuration.

        Returns
        -------
        Self
            A copy.
        """
        return self.model_copy(update={name: value for name, value in presence if getattr(self, name) is None})

    def base_spec(self) -> StreamSpec:
        """Return what is expected, whatever the name, the place and the encoding.

        Returns
        -------
        StreamSpec
            Without a place.
        """
        limits = with_values(PROFILES[self.profile], self.limits, "limits")
        said = {name: getattr(self, name) for name in PresenceTable.model_fields}
        presence = {name: value for name, value in said.items() if value is not None}
        return StreamSpec(reference=self.reference, limits=limits, **presence)


@dataclass(frozen=True, slots=True)
class FollowedStream:
    """A stream that is to be followed: where its packets arrive, one place or one for each leg, and what is expected.

    Two that are equal are the same stream, and nothing needs to be done to go from one to the other.
    """

    endpoints: tuple[Endpoint, ...]
    spec: StreamSpec

    @property
    def name(self) -> str:
        """Its configured name."""
        return self.spec.name

    def through(self, interface: str | None) -> FollowedStream:
        """Return the same, received through an interface where one is given.

        Parameters
        ----------
        interface
            Name or address of an interface.

        Returns
        -------
        FollowedStream
            A copy; the same where none is given.
        """
        if interface is None:
            return self
        return replace(self, endpoints=tuple(replace(one, interface=interface) for one in self.endpoints))

    def overlaps(self, other: FollowedStream) -> bool:
        """Return whether a packet could belong to both.

        Parameters
        ----------
        other
            Another stream.

        Returns
        -------
        bool
            Whether one could.
        """
        return any(overlap(one, another) for one in self.endpoints for another in other.endpoints)


def overlap(one: Endpoint, other: Endpoint) -> bool:
    """Return whether a packet could arrive for both, RTCP included.

    Parameters
    ----------
    one
        A place.
    other
        Another place.

    Returns
    -------
    bool
        Whether one could.
    """
    if one.address != other.address or (None not in (one.sender, other.sender) and one.sender != other.sender):
        return False
    return not {part.port for part in one.parts}.isdisjoint(part.port for part in other.parts)


def followed_of(session: Session, table: ExpectationTable) -> list[FollowedStream]:
    """Return the streams of a session description, without names yet.

    Parameters
    ----------
    session
        The description.
    table
        How its streams are checked.

    Returns
    -------
    list[FollowedStream]
        One for each that is described.

    Raises
    ------
    RequestError
        Where one cannot be received, or not be compared with the reference.
    """
    found = []
    for endpoints, spec in session.streams(table.base_spec(), rtcp=table.rtcp):
        for encoding in spec.encodings.values():
            if spec.reference is not None:
                spec.reference.check(encoding.sample_rate_hz, encoding.channels)
        found.append(FollowedStream(tuple(endpoints), spec).through(table.interface))
    return found


def named(streams: Sequence[FollowedStream], name: str) -> list[FollowedStream]:
    """Return streams with the name, of several each with its number after it.

    Parameters
    ----------
    streams
        The streams.
    name
        The name.

    Returns
    -------
    list[FollowedStream]
        Copies.
    """
    numbers = [""] if len(streams) == 1 else [f"-{number}" for number in range(1, len(streams) + 1)]
    return [
        replace(stream, spec=replace(stream.spec, name=f"{name}{number}"))
        for stream, number in zip(streams, numbers, strict=True)
    ]


def label(text: str, taken: Collection[str] = ()) -> str:
    """Return a name that a metric's label may bear and that is not taken.

    Parameters
    ----------
    text
        The name that is wanted.
    taken
        Names that are there.

    Returns
    -------
    str
        In printable characters, with a number where it is taken.
    """
    base = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:LABEL_LENGTH] or "session"
    number, found = 1, base
    while found in taken:
        number += 1
        found = f"{base}-{number}"
    return found
