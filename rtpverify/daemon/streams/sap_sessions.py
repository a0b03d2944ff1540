"""``[announced]``: which announced sessions the daemon follows, and what it expects of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from rtpverify.daemon.streams.expected import ExpectationTable, FollowedStream, followed_of, label
from rtpverify.errors import RequestError
from rtpverify.live.sap_listener import SapListener
from rtpverify.live.sdp_session import session_of
from rtpverify.rtp.sap import Announcement
from rtpverify.sources.open_receiver import Backend


class AnnouncedTable(ExpectationTable):
    """``[announced]``: sessions to follow as they are announced (SAP)."""

    names: Annotated[tuple[Annotated[str, Field(strict=True, min_length=1)], ...], Field(min_length=1)]
    """Patterns of session names, with ``*``, ``?`` and ``[...]``."""
    max_streams: Annotated[int, Field(strict=True, ge=1, le=256)] = 16


class AnnouncedSessions:
    """The sessions that are to be followed; a context that listens for them.

    A session's streams keep their names when it is announced again with other contents. One whose source withdraws it
    is no longer monitored; one whose announcements just cease is: its stream may be what failed.

    Parameters
    ----------
    table
        Its table of the configuration.
    backend
        How packets are received; None: as this system does best.

    Raises
    ------
    RequestError
        On entering, where no announcements can be received.
    """

    def __init__(self, table: AnnouncedTable, backend: Backend | None = None) -> None:
        self.table = table
        self._listener = SapListener(table.interface, backend)
        self._names: dict[str, list[str]] = {}
        """Names of the streams of each session, by its owner."""
        self.streams: dict[str, list[FollowedStream]] = {}
        """The streams that are to be followed, by the owner of their session."""
        self.refused: dict[str, str] = {}
        """Why a session is not monitored, or not as it is announced now, by its owner."""

    def __enter__(self) -> AnnouncedSessions:
        self._listener.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.__exit__()

    def hear(self, taken: Collection[str]) -> Mapping[str, Sequence[FollowedStream]]:
        """Take what was announced meanwhile; return the streams that are to be followed, by session.

        Parameters
        ----------
        taken
            Names that streams bear already.

        Returns
        -------
        Mapping[str, Sequence[FollowedStream]]
            Streams by session.
        """
        announcements = self._listener.drain()
        sessions = self._listener.directory.sessions
        withdrawn = [owner for owner in (*self.streams, *self.refused) if owner not in sessions]
        for owner in withdrawn:
            for known in (self.streams, self._names, self.refused):
                known.pop(owner, None)
        for announcement in announcements:
            self.take(announcement, taken)
        return self.streams

    def take(self, announcement: Announcement, taken: Collection[str]) -> Sequence[FollowedStream]:
        """Add or update an announced session.

        Parameters
        ----------
        announcement
            What was announced.
        taken
            Names that streams bear already.

        Returns
        -------
        Sequence[FollowedStream]
            The streams to monitor; if the session is unusable, those that it had before.
        """
        owner = announcement.owner
        if not any(fnmatchcase(announcement.name, pattern) for pattern in self.table.names):
            self.streams.pop(owner, None)
            return []
        place = announcement.message.place
        try:
            streams = followed_of(session_of(announcement.description, place), self.table)
            others = sum(len(known) for other, known in self.streams.items() if other != owner)
            left = self.table.max_streams - others
            if len(streams) > left:
                raise RequestError(f"{place}: has {len(streams)} streams, {left} of max_streams are left")
        except RequestError as error:
            self.refused[owner] = str(error)
            return self.streams.get(owner, [])
        self.refused.pop(owner, None)
        names = self._names.setdefault(owner, [])
        borne = {*taken, *(name for known in self._names.values() for name in known)}
        while len(names) < len(streams):
            names.append(label(announcement.name, borne))
            borne.add(names[-1])
        self.streams[owner] = [
            replace(stream, spec=replace(stream.spec, name=name)) for stream, name in zip(streams, names, strict=False)
        ]
        return self.streams[owner]
