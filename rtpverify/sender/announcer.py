"""Sessions announced by SAP (RFC 2974): again and again while they last, and withdrawn at their end."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from rtpverify.rtp.sap import PORT, group_for, write_sap
from rtpverify.sender.rtp_sender import open_socket, socket_address
from rtpverify.sources.live.endpoint import Endpoint

INTERVAL_NS = 30_000_000_000
"""Between two announcements."""
_TTL = 255


class Announcer:
    """Announces sessions.

    Parameters
    ----------
    sessions
        The destination of each session, the address that it comes from, and its description.

    Attributes
    ----------
    failure
        Why announcements could not be sent; None where all were.

    Raises
    ------
    SourceError
        Where no socket can be opened.
    """

    def __init__(self, sessions: Sequence[tuple[Endpoint, str, str]]) -> None:
        self.failure: str | None = None
        self._due_ns: int | None = None
        self._sessions: list[tuple[Endpoint, str]] = []
        self._sockets: dict[Endpoint, socket.socket] = {}
        try:
            for destination, origin, text in sessions:
                group = Endpoint(group_for(destination.address), PORT, origin, destination.interface or origin)
                if group not in self._sockets:
                    self._sockets[group] = open_socket(group, _TTL)
                self._sessions.append((group, text))
        except BaseException:
            self.close()
            raise

    def tick(self, now_ns: int) -> None:
        """Announce all sessions where that is due.

        Parameters
        ----------
        now_ns
            Time, in ns since the Unix epoch.
        """
        if self._due_ns is None or now_ns >= self._due_ns:
            self._due_ns = now_ns + INTERVAL_NS
            self._send(deletes=False)

    def withdraw(self) -> None:
        """Say that the sessions end."""
        self._send(deletes=True)

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets.values():
            sock.close()

    def _send(self, *, deletes: bool) -> None:
        for group, text in self._sessions:
            announcement = write_sap(group.sender or "", text, deletes=deletes)
            try:
                self._sockets[group].sendto(announcement, socket_address(group))
            except OSError as error:
                self.failure = f"{group.destination}: {error.strerror or error}"
