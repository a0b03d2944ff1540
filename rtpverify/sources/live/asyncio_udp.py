"""Live reception over asyncio-dgram: any system and any loop, a Python step per datagram.

Arrival times are those at which the loop handed the datagram over, not the kernel's.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable
from typing import Any, Self

import asyncio_dgram
import numpy as np

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.flow_table import DISCARD_REASONS, MAX_FLOWS, FlowTable
from rtpverify.sources.live.sockets import RECEIVE_BUFFER_BYTES, ReceiveSocket, SocketTable

MAX_QUEUED = 16384
"""Most datagrams that wait for the next drain."""


class DgramReceiver:
    """Receives on many endpoints at once; make it inside a running loop, and let the loop run between drains.

    Exceptions are those of :class:`rtpverify.sources.live.recvmmsg.UdpReceiver`.

    Parameters
    ----------
    endpoints, receive_buffer_bytes, max_flows
        As :class:`~rtpverify.sources.live.recvmmsg.UdpReceiver` has them.
    max_queued
        Datagrams that wait for the next drain; further ones count as dropped by this host.

    Attributes
    ----------
    clear_ns
        A time, in ns since the Unix epoch, before which all that arrived was handed over; 0 before the second drain.
    discarded
        Datagrams received and thrown away, by reason: ``flows`` (too many senders), ``sender`` (not the sender the
        endpoint asks for).
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        max_flows: int = MAX_FLOWS,
        max_queued: int = MAX_QUEUED,
    ) -> None:
        self.clear_ns = 0
        self._empty_ns = 0
        """When every socket was found empty; what had been read then is in the queue at the next drain."""
        self._readable = selectors.DefaultSelector()
        self.discarded: Counter[str] = Counter()
        self._sockets = SocketTable(receive_buffer_bytes)
        self._table = FlowTable(max_flows)
        self._queue: deque[tuple[bytes, int, int]] = deque()
        self._max_queued = max_queued
        self._queue_dropped = 0
        self._streams: dict[int, asyncio_dgram.DatagramServer | asyncio_dgram.DatagramClient] = {}
        self._pumps: dict[int, asyncio.Task[None]] = {}
        self.add(endpoints)

    @property
    def flows(self) -> list[Flow]:
        """Every flow seen so far; it grows until some are forgotten."""
        return self._table.flows

    def keep_flows(self, numbers: Iterable[int]) -> None:
        """Forget all flows but these; from the next batch on, they are numbered by their place here.

        Parameters
        ----------
        numbers
            Present numbers of the flows that are kept; their place here is the new number.
        """
        number_of = self._table.keep(numbers)
        waiting = [(payload, at_ns, number_of[flow]) for payload, at_ns, flow in self._queue if flow in number_of]
        self._queue = deque(waiting)

    @property
    def dropped(self) -> int:
        """Packets this host lost: by the full queue, and on Linux by the kernel's full buffers."""
        return self._queue_dropped + self._sockets.dropped

    def dropped_to(self) -> dict[str, int]:
        """Return what this host dropped so far by the destination of its sockets; the queue is that of all.

        Returns
        -------
        dict[str, int]
            Packets, by ``address:port``; ``""`` for what the queue dropped.
        """
        return {to: count + self._queue_dropped for to, count in self._sockets.dropped_to().items()}

    @property
    def receive_buffer_bytes(self) -> int:
        """The smallest receive buffer granted, as the kernel accounts it."""
        return self._sockets.buffer_bytes

    def take_fill(self) -> float | None:
        """Return which part of a receive buffer is full now, at most; the loop empties them between two drains.

        Returns
        -------
        float or None
            From 0 to 1; None where the system does not show.
        """
        fills = [fill for item in self._sockets if (fill := item.fill()) is not None]
        return max([*fills, len(self._queue) / self._max_queued], default=None)

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive on more endpoints; SourceError where one cannot be opened, and then none is added.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        loop = asyncio.get_running_loop()
        opened, changed = self._sockets.add(endpoints)
        for number in opened:
            self._readable.register(self._sockets[number].socket, selectors.EVENT_READ)
        self._pumps |= {number: loop.create_task(self._pump(number, self._sockets[number])) for number in opened}
        self._forget(changed)

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive no longer on endpoints that were added; the others lose nothing.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        needless, changed = self._sockets.remove(endpoints)
        for number in needless:
            self._close(number)
        self._forget(needless + changed)

    def drain(self) -> PacketBatch | None:
        """Take what has arrived, without waiting; None where nothing has. Order is that of arrival.

        Returns
        -------
        PacketBatch or None
            At most so many as are queued.

        Raises
        ------
        SourceError
            Where a socket failed; the next call continues with it, and no datagram is lost by this one.
        """
        for number, pump in self._pumps.items():
            if pump.done() and not pump.cancelled():
                self._pumps[number] = asyncio.create_task(self._pump(number, self._sockets[number]))
                pump.result()
        self.clear_ns, now_ns = self._empty_ns, time.time_ns()
        if not self._readable.get_map() or not self._readable.select(0):
            self._empty_ns = now_ns
        if not self._queue:
            return None
        payloads, arrivals, flows = zip(*self._queue, strict=True)
        self._queue.clear()
        length = np.fromiter(map(len, payloads), np.int64, len(payloads))
        return PacketBatch(
            arena=np.frombuffer(b"".join(payloads), np.uint8),
            offset=np.cumsum(length) - length,
            length=length,
            arrival_ns=np.array(arrivals, np.int64),
            flow=np.array(flows, np.int64),
            flows=self.flows,
        )

    def abandon(self, until_ns: int) -> None:
        """Throw away what arrived before a time and still waits; it counts as dropped by this host.

        What the system holds back is out of reach here, and is not counted.

        Parameters
        ----------
        until_ns
            In ns since the Unix epoch.
        """
        kept = [item for item in self._queue if item[1] >= until_ns]
        self._queue_dropped += len(self._queue) - len(kept)
        self._queue = deque(kept)

    def close(self) -> None:
        """Stop receiving and close every socket. May be called twice."""
        for number in list(self._pumps):
            self._close(number)
        self._readable.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close(self, number: int) -> None:
        """Stop receiving on a socket, and close it."""
        self._pumps.pop(number).cancel()
        self._readable.unregister(self._sockets[number].socket)
        stream = self._streams.pop(number, None)
        if stream is not None:
            # The loop must forget the descriptor before its number is free for others.
            stream.close()
        self._sockets.close(number)

    def _forget(self, sockets: Collection[int]) -> None:
        """Look again at addresses on these sockets."""
        if sockets:
            self._table.forget(lambda key: key[0] in sockets)

    async def _pump(self, number: int, item: ReceiveSocket) -> None:
        """Move datagrams from asyncio-dgram's queue, which has no bound, into ours, which has.

        ``recv`` does not suspend while its queue holds something, so that queue never holds more than the loop read in
        one step.
        """
        try:
            if number not in self._streams:
                self._streams[number] = await asyncio_dgram.from_socket(item.socket)
            stream = self._streams[number]
            while True:
                payload, address = await stream.recv()
                arrival_ns = time.time_ns()
                flow = self._flow(number, item, address)
                if flow < 0:
                    self.discarded[DISCARD_REASONS[flow]] += 1
                elif len(self._queue) >= self._max_queued:
                    self._queue_dropped += 1
                else:
                    self._queue.append((payload, arrival_ns, flow))
        except OSError as error:
            raise SourceError(f"{item.endpoint.destination}: {error.strerror}") from error

    def _flow(self, number: int, item: ReceiveSocket, address: Any) -> int:
        """Return the flow of a datagram, or a negative reason (:mod:`rtpverify.sources.live.flow_table`)."""
        host = address[0].partition("%")[0]
        key = (number, host, address[1])
        flow = self._table.known.get(key)
        if flow is None:
            flow = self._table.learn(key, host, address[1], (item.endpoint.destination, item.senders))
        return flow
