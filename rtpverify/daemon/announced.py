"""Which announced sessions the daemon follows, and what it expects of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from rtpverify.daemon.config import AnnouncedTable
from rtpverify.errors import RequestError
from rtpverify.reference import Tone
from rtpverify.rtp.sap import Announcement
from rtpverify.sources.endpoint import Endpoint
from rtpverify.sources.session import session_of
from rtpverify.spec import StreamSpec

LABEL_LENGTH = 48
"""Of the announced name; a number may follow."""


class AnnouncedSessions:
    """Picks sessions by name, each once, up to the number of streams that the configuration allows."""

    def __init__(self, table: AnnouncedTable) -> None:
        self._table = table
        self._left = table.max_streams
        self._known: set[str] = set()

    def streams_of(
        self, announcement: Announcement, taken: Collection[str]
    ) -> Sequence[tuple[Sequence[Endpoint], StreamSpec]]:
        """Return the streams of a session that is to be followed; nothing where it is not, or is already.

        Parameters
        ----------
        taken
            Names that streams bear already.

        Raises
        ------
        RequestError
            Where the session cannot be followed; the message names its source.
        """
        if announcement.owner in self._known or not any(
            fnmatchcase(announcement.name, pattern) for pattern in self._table.names
        ):
            return []
        place = f"session {announcement.name!r} of {announcement.message.origin}"
        streams = session_of(announcement.description, place).streams(self._table.spec())
        if len(streams) > self._left:
            raise RequestError(f"{place}: has {len(streams)} streams, {self._left} of max_streams are left")
        named: list[tuple[Sequence[Endpoint], StreamSpec]] = []
        names = set(taken)
        for endpoints, spec in streams:
            for encoding in spec.encodings.values():
                if isinstance(spec.reference, Tone):
                    spec.reference.check(encoding.sample_rate_hz, encoding.channels)
            name = _label(announcement.name, names)
            names.add(name)
            through = [replace(endpoint, interface=self._table.interface) for endpoint in endpoints]
            named.append((through, replace(spec, name=name)))
        self._known.add(announcement.owner)
        self._left -= len(streams)
        return named


def _label(name: str, taken: Collection[str]) -> str:
    """Return a name that a label may bear and no stream bears yet."""
    base = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:LABEL_LENGTH] or "session"
    number, label = 1, base
    while label in taken:
        number += 1
        label = f"{base}-{number}"
    return label
