"""The connections of the HTTP server, bounded and timed from the moment they are accepted.

Rules: a connection counts from accept until its socket is closed, TLS handshake included. Handshake and first request
have a deadline. Where there are too many, the connection that has waited longest for its handshake or a request is
ended for the new one: first those that never asked anything, then those between two requests, never one that is being
answered; where all are being answered, the new one is refused. Descriptors from
:func:`rtpverify.daemon.descriptors.first_reserved` on are never kept. What accept cannot do is tried again later, at
growing intervals.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

from rtpverify.daemon.config.base import Listen
from rtpverify.daemon.descriptors import first_reserved

MAX_CONNECTIONS = 128
HANDSHAKE_SECONDS = 10.0
"""Longest time for a TLS handshake."""
REQUEST_SECONDS = 30.0
"""Longest time until the first request is there, headers complete."""
GOODBYE_SECONDS = 2.0
"""Longest time for the end of TLS."""
BACKLOG = 128
"""Connections that the kernel holds until they are accepted."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.05, 1.0
"""After an accept that failed; doubled each time."""
TURNS_TO_CLOSE = 3
"""Turns of an event loop until a connection that was ended is closed."""

COUNTS = (
    "accepts_failed",
    "connections_refused",
    "connections_ended_for_others",
    "connections_timed_out",
    "handshakes_failed",
)


class Connections:
    """Accepts connections and hands them to a protocol.

    Parameters
    ----------
    protocol
        Makes what serves one connection.
    counts
        :data:`COUNTS` are kept there.
    on_defect
        Called with an exception that nobody expected; it costs one connection.
    """

    def __init__(
        self, protocol: Callable[[], asyncio.Protocol], counts: Counter[str], on_defect: Callable[[BaseException], None]
    ) -> None:
        self._protocol = protocol
        self._counts = counts
        counts.update(dict.fromkeys(COUNTS, 0))
        self._on_defect = on_defect
        self._tls: ssl.SSLContext | None = None
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._open: dict[_Connection, None] = {}
        """In the order in which they began to wait."""
        self._by_transport: dict[asyncio.BaseTransport, _Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def listen(self, listen: Listen, tls: ssl.SSLContext | None) -> Listen:
        """Accept connections from now on, encrypted by ``tls``; return where, with the port that was taken.

        Parameters
        ----------
        listen
            Address and port; port 0 takes a free one.
        tls
            None: nothing is encrypted.

        Returns
        -------
        Listen
            Address and port.

        Raises
        ------
        OSError
            Where the address cannot be obtained.
        """
        self._tls = tls
        family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
        self._listening = socket.create_server((listen.address, listen.port), family=family, backlog=BACKLOG)
        self._listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._listening))
        return Listen(listen.address, self._listening.getsockname()[1])

    async def stop_listening(self) -> None:
        """Accept no more, and end what has not shaken hands yet. May be called twice."""
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            accepting.cancel()
            await asyncio.wait([accepting])
        if self._listening is not None:
            self._listening.close()
        for connection in [one for one in self._open if one.transport is None]:
            connection.end()

    def end_all(self) -> None:
        """End every connection."""
        for connection in list(self._open):
            connection.end()

    @contextmanager
    def answering(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Keep a connection while a request of it is answered.

        Parameters
        ----------
        transport
            Of the request; None where it is closed.

        Yields
        ------
        None
            Nothing.
        """
        connection = None if transport is None else self._by_transport.get(transport)
        if connection is None:
            yield
            return
        connection.begin_answer()
        try:
            yield
        finally:
            connection.end_answer()
            if connection in self._open:  # it waits again, after all others
                del self._open[connection]
                self._open[connection] = None

    # Accepting ------------------------------------------------------------------------------------------------------

    async def _accept(self, listening: socket.socket) -> None:
        """Accept one connection after another, so that a flood of them leaves the loop to others in between."""
        loop = asyncio.get_running_loop()
        retry_seconds = FIRST_RETRY_SECONDS
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError:  # no descriptor or memory is left, or the other end has gone
                self._counts["accepts_failed"] += 1
                self._end_one_that_waits()
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, LONGEST_RETRY_SECONDS)
            else:
                retry_seconds = FIRST_RETRY_SECONDS
                await self.admit(accepted)
                await asyncio.sleep(0)

    async def admit(self, accepted: socket.socket) -> None:
        """Serve a connection, or refuse it.

        Parameters
        ----------
        accepted
            Its socket, which is owned from now on.
        """
        reserved = accepted.fileno() >= first_reserved()
        if reserved or len(self._open) >= MAX_CONNECTIONS:
            made_room = self._end_one_that_waits()
            if reserved and made_room:
                accepted = await _moved_down(accepted)
            if not made_room or accepted.fileno() >= first_reserved():
                self._counts["connections_refused"] += 1
                accepted.close()
                return
        connection = _Connection(self, self._protocol())
        self._open[connection] = None
        connection.shake_hands(accepted, self._tls)

    def _end_one_that_waits(self) -> bool:
        """End the connection that one can do without most easily; return whether there was one."""
        waiting = [one for one in self._open if not one.is_answering]
        chosen = next((one for one in waiting if not one.has_asked), next(iter(waiting), None))
        if chosen is None:
            return False
        self._counts["connections_ended_for_others"] += 1
        chosen.end()
        return True

    # What connections show ------------------------------------------------------------------------------------------

    def made(self, connection: _Connection, transport: asyncio.BaseTransport) -> None:
        """Take in that hands were shaken.

        Parameters
        ----------
        connection
            The connection.
        transport
            What it speaks through.
        """
        self._by_transport[transport] = connection

    def timed_out(self, connection: _Connection) -> None:
        """End a connection that never asked anything.

        Parameters
        ----------
        connection
            The connection.
        """
        self._counts["connections_timed_out"] += 1
        connection.end()

    def handshake_failed(self, error: BaseException) -> None:
        """Take in why a connection never came about.

        Parameters
        ----------
        error
            Why.
        """
        self._counts["handshakes_failed"] += 1
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._on_defect(error)

    def lost(self, connection: _Connection) -> None:
        """Forget a connection that is closed. May be called twice.

        Parameters
        ----------
        connection
            The connection.
        """
        self._open.pop(connection, None)
        if connection.transport is not None:
            self._by_transport.pop(connection.transport, None)


async def _moved_down(accepted: socket.socket) -> socket.socket:
    """Return a connection under the lowest descriptor that is free once another one was closed."""
    for _ in range(TURNS_TO_CLOSE):
        await asyncio.sleep(0)
    with suppress(OSError):
        moved = accepted.dup()
        accepted.close()
        return moved
    return accepted


class _Connection(asyncio.Protocol):
    """One connection: is between the transport and the protocol that serves it."""

    def __init__(self, owner: Connections, protocol: asyncio.Protocol) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_answering = False
        self.has_asked = False
        self._owner = owner
        self._protocol = protocol
        self._handshake: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_ended = False

    def shake_hands(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Begin, in a task of its own."""
        self._handshake = asyncio.create_task(self._shake_hands(accepted, tls))
        self._handshake.add_done_callback(lambda task: self._shaken(accepted, task))

    def begin_answer(self) -> None:
        """Take in that a request is there."""
        self.is_answering = self.has_asked = True
        if self._deadline is not None:
            self._deadline.cancel()

    def end_answer(self) -> None:
        """Take in that it was answered."""
        self.is_answering = False

    def end(self) -> None:
        """End it at once."""
        self._is_ended = True
        self._owner.lost(self)
        if self.transport is not None:
            self.transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()

    async def _shake_hands(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: self,
            accepted,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=GOODBYE_SECONDS if tls else None,
        )

    def _shaken(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshake = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._owner.handshake_failed(error)
        if error is not None or task.cancelled():
            accepted.close()
            self._owner.lost(self)

    # The protocol ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by what it does alone
        if self._is_ended:
            self.transport.abort()
        self._owner.made(self, transport)
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self._owner.timed_out, self)
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.lost(self)
        self._protocol.connection_lost(exc)
