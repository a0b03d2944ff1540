"""Names on the NATS server: subjects, streams of JetStream, and the identity of a message.

Rules: a subject is ``rtpverify.KIND.SITE.BENCH`` and, of a stream, ``.STREAM``; what NATS gives a meaning to (``.``,
``*``, ``>``, white space) is written as ``%XX`` there, and every message holds the names as they are. ``KIND`` is of
:class:`Subject`. Of states only the latest of each subject is kept.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import quote

EVENTS, STATES = "RTPVERIFY_EVENTS", "RTPVERIFY_STATES"
"""The streams of JetStream that take events, and the latest states."""

MESSAGE_ID = "Nats-Msg-Id"
"""Header by which the server knows a message that it has already."""


class Subject(StrEnum):
    """What is published."""

    EVENT = "event"
    """An event: when it begins, where it lasts, and when it is over."""
    STATE = "state"
    """How a stream fares."""
    BENCH = "bench"
    """How a daemon fares, and which streams it has."""


TAKES = {EVENTS: (Subject.EVENT,), STATES: (Subject.STATE, Subject.BENCH)}
"""Which subjects each stream of JetStream takes."""


def token(name: str) -> str:
    """Return a name as one part of a subject.

    Parameters
    ----------
    name
        Of a site, bench or stream.

    Returns
    -------
    str
        ASCII without white space and ``.``, ``*``, ``>``, ``/``.
    """
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def subject(kind: Subject, *names: str) -> str:
    """Return the subject of a site, a bench or a stream; of less than is published on, with ``>`` for the rest.

    Parameters
    ----------
    kind
        What is published.
    *names
        Of site, bench and stream.

    Returns
    -------
    str
        To publish on, or to subscribe to.
    """
    parts = ["rtpverify", str(kind), *map(token, names)]
    wanted = 2 if kind is Subject.BENCH else 3
    return ".".join(parts if len(names) == wanted else [*parts, ">"])


def message_id(site: str, bench: str, stream: str, event_id: str, place: str, revision: int) -> str:
    """Return the identity of an event's message: the event, and which state of it.

    Parameters
    ----------
    site, bench, stream
        Whose event it is.
    event_id
        The event's.
    place, revision
        Of its entry in the outbox; a message that is sent again has the same.

    Returns
    -------
    str
        The identity.
    """
    return f"{token(site)}/{token(bench)}/{token(stream)}/{event_id}/{place}.{revision}"


def revision_in(identity: str, place: str) -> int | None:
    """Return the revision that a message has in an outbox, None where it is of another one.

    Parameters
    ----------
    identity
        Of a message.
    place
        Of an outbox.

    Returns
    -------
    int or None
        The revision.
    """
    found, _, revision = identity.rpartition("/")[2].rpartition(".")
    return int(revision) if found == place and revision.isdecimal() else None
