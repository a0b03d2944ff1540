"""What a check is asked for from Python, in the terms of the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.errors import RequestError
from rtpverify.limits import PROFILES, Limits, with_values
from rtpverify.reference import Recording, Reference, Tone
from rtpverify.report.request import request_now
from rtpverify.rtp.payload import parse_encodings
from rtpverify.sources.audio.reference_text import parse_reference

if TYPE_CHECKING:
    from rtpverify.result import Request
    from rtpverify.rtp.payload import Encoding

DEFAULT_PROFILE = "digital"

GivenEncoding = str | Sequence[str] | None
"""One for all payload types, or several for some of them: ``["L24/48000/2", "96=L16/48000/2"]``."""

GivenLimits = Limits | Mapping[str, float | bool | None] | None
"""A mapping goes over the limits of the profile, a :class:`Limits` replaces them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What audio is compared with and by which limits, and how that was written."""

    reference: Reference
    limits: Limits
    encoding: Encoding | None
    encodings: Mapping[int, Encoding]
    request: Request


def asked(
    call: str, *, encoding: GivenEncoding, reference: str | Reference, profile: str, limits: GivenLimits
) -> Asked:
    """Read what was given.

    Parameters
    ----------
    call
        As Python writes it.
    encoding
        As the caller gave it.
    reference
        As the caller gave it.
    profile
        Name of a profile.
    limits
        As the caller gave them.

    Returns
    -------
    Asked
        What the functions of :mod:`rtpverify.commands` take.

    Raises
    ------
    RequestError
        For a value that is unusable; the message names it.
    """
    judged_by = limits_of(profile, limits)
    found = parse_reference(reference) if isinstance(reference, str) else reference
    written = reference if isinstance(reference, str) else _written(found)
    texts = listed(encoding)
    rest, encodings = parse_encodings(texts, "encoding")
    request = request_now(call, reference=written, encoding=", ".join(texts) or None, profile=profile, limits=judged_by)
    return Asked(found, judged_by, rest, encodings, request)


def listed(texts: str | Sequence[str] | None) -> Sequence[str]:
    """Return texts of which one may be given alone.

    Parameters
    ----------
    texts
        One, several, or None.

    Returns
    -------
    Sequence[str]
        Nothing for None.
    """
    return (texts,) if isinstance(texts, str) else tuple(texts or ())


def limits_of(profile: str, limits: GivenLimits) -> Limits:
    """Return the limits that a profile and what goes over it make.

    Parameters
    ----------
    profile
        Name of a profile.
    limits
        A mapping goes over the profile, a ``Limits`` replaces it.

    Returns
    -------
    Limits
        The limits.

    Raises
    ------
    RequestError
        For an unknown profile or limit, or a value that is none.
    """
    if profile not in PROFILES:
        raise RequestError(f"profile: {profile!r} is not one of {', '.join(PROFILES)}")
    if isinstance(limits, Limits):
        return limits
    if limits is None:
        return PROFILES[profile]
    if not isinstance(limits, Mapping):
        raise RequestError(f"limits: {limits!r} is neither a mapping, such as {{'max_thd_n_db': -60}}, nor a Limits")
    return with_values(PROFILES[profile], dict(limits), "limits")


def call_text(function: str, *arguments: object, **options: object) -> str:
    """Return a call as Python writes it, without the options that were not given.

    Parameters
    ----------
    function
        Its name.
    *arguments
        What is given by position.
    **options
        What is given by name; None where it was not.

    Returns
    -------
    str
        Such as ``rtpverify.check('a.pcap', reference='tone:997')``.
    """
    given = {name: value for name, value in options.items() if not _is_default(value)}
    written = [
        *(_value(value) for value in arguments if value is not None),
        *(f"{name}={_value(value)}" for name, value in given.items()),
    ]
    return f"rtpverify.{function}({', '.join(written)})"


def _is_default(value: object) -> bool:
    return value is None or value is False or (isinstance(value, str) and value == DEFAULT_PROFILE)


def _value(value: object) -> str:
    """Return a value as it is written; of an array its shape."""
    if isinstance(value, Path):
        value = str(value)
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"<array of shape {shape}>"


def _written(reference: Reference) -> str:
    """Return a reference as requests write it."""
    match reference:
        case None:
            return "none"
        case Recording():
            return str(reference.path)
        case Tone():
            return ":".join(["tone", ",".join(map(repr, reference.frequencies_hz))]).rstrip(":")
