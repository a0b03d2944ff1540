"""Server-sent events: one speaker, many browsers, bounded memory for each.

Events have numbers and wait in a queue; the state has none and only its latest waits. A browser whose queue is full is
cut off and counted: it comes back with the number it saw last and gets what it missed, as far as that is remembered.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter, deque
from contextlib import suppress
from typing import Any

from aiohttp import web

MAX_CLIENTS = 32
MAX_WAITING = 256
"""Messages that wait for one browser."""
REMEMBERED = 1024
"""Messages with numbers that a browser which comes back may have missed."""
REMEMBERED_BYTES = 4 << 20
SEND_BUFFER_BYTES = 1 << 17
"""Asked of the kernel for each browser: a slow one must not be shown an old state from a long buffer."""


class _Client:
    """One browser."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.state: bytes | None = None
        self.something = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self.is_cut = False

    def take(self) -> bytes:
        """Return all that waits."""
        self.something.clear()
        text = b"".join(self.waiting)
        self.waiting.clear()
        if self.state is not None:
            text, self.state = text + self.state, None
        return text


class Hub:
    """Speaks to every browser that listens.

    Parameters
    ----------
    epoch
        Distinguishes the numbers of this run from those of another.
    counts
        ``live_clients_refused``, ``live_clients_dropped`` and ``live_states_skipped`` are kept there.
    """

    def __init__(self, epoch: str, counts: Counter[str]) -> None:
        self.epoch = epoch
        self._counts = counts
        self._clients: set[_Client] = set()
        self._number = 0
        self._remembered: deque[tuple[int, bytes]] = deque()
        self.remembered_bytes = 0
        self._state: bytes | None = None

    @property
    def clients(self) -> int:
        """How many browsers listen."""
        return len(self._clients)

    @property
    def waiting(self) -> int:
        """Messages that wait to be sent, over all clients."""
        return sum(len(client.waiting) for client in self._clients)

    def say(self, name: str, document: Any) -> None:
        """Send everybody something that must not be missed.

        Parameters
        ----------
        name
            Name of the event.
        document
            Its data, in values of JSON's types.
        """
        self._number += 1
        message = _message(name, document, f"{self.epoch}-{self._number}")
        self._remembered.append((self._number, message))
        self.remembered_bytes += len(message)
        while len(self._remembered) > REMEMBERED or self.remembered_bytes > REMEMBERED_BYTES:
            self.remembered_bytes -= len(self._remembered.popleft()[1])
        for client in self._clients:
            if len(client.waiting) >= MAX_WAITING:
                self._cut(client)
            else:
                client.waiting.append(message)
                client.something.set()

    def show(self, document: Any) -> None:
        """Show everybody the state; who has not taken the one before misses that.

        Parameters
        ----------
        document
            The state, in values of JSON's types.
        """
        self._state = _message("state", document)
        for client in self._clients:
            if client.state is not None:
                self._counts["live_states_skipped"] += 1
            client.state = self._state
            client.something.set()

    def close(self) -> None:
        """Let every browser go."""
        for client in self._clients:
            client.is_cut = True
            client.something.set()

    async def listen(self, request: web.Request, hello: Any) -> web.StreamResponse:
        """Serve one browser until it goes or is cut off.

        Parameters
        ----------
        request
            The request of the browser.
        hello
            What is sent first, in values of JSON's types.

        Returns
        -------
        web.StreamResponse
            Ended once the browser has gone.
        """
        if len(self._clients) >= MAX_CLIENTS:
            self._counts["live_clients_refused"] += 1
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        client = _Client()
        client.transport = request.transport
        _shorten_buffers(request.transport)
        client.waiting.append(b"retry: 1000\n" + _message("hello", hello))
        client.waiting.extend(self._missed(request.headers.get("Last-Event-ID") or request.query.get("last_event_id")))
        client.state = self._state
        client.something.set()
        self._clients.add(client)
        try:
            while not client.is_cut:
                await client.something.wait()
                # OSError: the browser has gone, or was cut off while it did not read.
                with suppress(OSError):
                    await response.write(client.take())
                    continue
                break
        finally:
            self._clients.discard(client)
        return response

    def _cut(self, client: _Client) -> None:
        """Let a browser go that does not take what it is sent."""
        if not client.is_cut:
            self._counts["live_clients_dropped"] += 1
        client.is_cut = True
        client.waiting.clear()
        client.something.set()
        if client.transport is not None:
            client.transport.abort()

    def _missed(self, last_id: str | None) -> list[bytes]:
        """Return what was said since a browser was here, or that it cannot be determined."""
        if not last_id:
            return []
        epoch, _, number = last_id.rpartition("-")
        if epoch == self.epoch and number.isascii() and number.isdigit():
            seen = int(number)
            oldest = self._remembered[0][0] if self._remembered else self._number + 1
            if oldest - 1 <= seen <= self._number:
                return [message for at, message in self._remembered if at > seen]
        return [_message("reset", {"detail": "events were missed and are no longer available here"})]


def _message(name: str, document: Any, number: str = "") -> bytes:
    """Return one event in the form of the HTML standard, section 9.2.6."""
    head = f"id: {number}\n" if number else ""
    data = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


def _shorten_buffers(transport: asyncio.BaseTransport | None) -> None:
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
