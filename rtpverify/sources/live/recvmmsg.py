"""Live reception on Linux: every socket drained into one arena, kernel arrival times, a whole batch at a time.

Call :meth:`UdpReceiver.drain` on a short tick. The cost of a datagram falls with the size of the batch, and the socket
buffers hold what arrives between two ticks.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.sources.live import mmsg
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.flow_table import DISCARD_REASONS, MAX_FLOWS, FlowTable
from rtpverify.sources.live.sockets import RECEIVE_BUFFER_BYTES, SocketTable

MAX_DATAGRAM_BYTES = 2048
"""Longest datagram taken; RTP audio keeps below an Ethernet frame."""
MAX_BATCH = 4096
"""Most datagrams of one batch."""
LEAST_SHARE = 32
"""Datagrams that a socket may give in its turn, at least: a system call should pay."""

_SLOT_BYTES = MAX_DATAGRAM_BYTES + 64
"""Room for one datagram: an odd number of cache lines, or all headers would fall into the same few cache sets."""

_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40

_HEADER = [("length", np.uintp), ("level", np.int32), ("type", np.int32)]
"""``struct cmsghdr``."""
_TIMESTAMP = np.dtype([*_HEADER, ("seconds", np.intp), ("nanoseconds", np.intp)], align=True)
"""The ``struct timespec`` of SCM_TIMESTAMPNS."""
_DROPPED = np.dtype([*_HEADER, ("count", np.uint32)], align=True)
"""What was dropped on the socket before this datagram; only where that is anything."""
_CONTROL = np.dtype([("time", _TIMESTAMP), ("dropped", _DROPPED)], align=True)

_HASH = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)


class UdpReceiver:
    """Receives on many endpoints at once. Linux only; see :mod:`rtpverify.sources.live.asyncio_udp` for other systems.

    Parameters
    ----------
    endpoints
        Where to receive; those that differ in the sender alone share a socket.
    receive_buffer_bytes
        Asked for per socket, past the system's limit where the process may (CAP_NET_ADMIN).
    max_flows
        Datagrams of further senders are discarded.

    Attributes
    ----------
    clear_ns
        A time, in ns since the Unix epoch, before which all that arrived was handed over; 0 before the first drain.
    discarded
        Datagrams received and thrown away, by reason: ``truncated`` (longer than 2048 bytes), ``flows`` (too many
        senders), ``sender`` (not the sender the endpoint asks for).

    Raises
    ------
    SourceError
        Where a socket cannot be opened; the message names address, port and reason.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        *,
        receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        max_flows: int = MAX_FLOWS,
    ) -> None:
        if not mmsg.available:
            raise SourceError("recvmmsg: available on Linux only")
        self.clear_ns = 0
        self.discarded: Counter[str] = Counter()
        self._sockets = SocketTable(receive_buffer_bytes)
        self._descriptors: dict[int, int] = {}
        self._order: list[int] = []
        self._waiting: dict[int, int] = {}
        """Sockets in which something may wait, with a time before which all that came to each was handed over."""
        self._asked_ns = 0
        """When all others were found empty."""
        self._drains = 0
        self._dropped_here = 0
        """Datagrams that were received and then lost by an exception."""
        self._fill: float | None = None
        arena = np.empty((MAX_BATCH, _SLOT_BYTES), np.uint8)
        self._arena = arena.reshape(-1)
        self._offset = np.arange(MAX_BATCH, dtype=np.int64) * _SLOT_BYTES
        # The kernel writes 28 bytes of each name at most; the last four take the socket's number.
        self._names = np.zeros((MAX_BATCH, 4), np.uint64)
        control = np.zeros(MAX_BATCH, _CONTROL)
        messages, self._buffers = mmsg.messages(MAX_BATCH)
        self._buffers["base"][:, 0] = mmsg.addresses(arena)
        # One byte more than is taken, so that a longer datagram shows.
        self._buffers["length"] = MAX_DATAGRAM_BYTES + 1
        header = messages["header"]
        header["name"] = mmsg.addresses(self._names)
        header["control"] = mmsg.addresses(control)
        header["name_length"] = mmsg.NAME_BYTES
        header["control_length"] = _CONTROL.itemsize
        self._messages_address = messages.ctypes.data
        # Views, made once: on small batches the time goes into making them.
        self._length = messages["length"]
        self._name_length = header["name_length"]
        self._control_length = header["control_length"]
        self._seconds, self._nanoseconds = control["time"]["seconds"], control["time"]["nanoseconds"]
        self._dropped = control["dropped"]["count"]
        self._flows = _AddressTable(self._sockets, max_flows)
        self.add(endpoints)

    @property
    def flows(self) -> list[Flow]:
        """Every flow seen so far; it grows until some are forgotten."""
        return self._flows.flows

    def keep_flows(self, numbers: Iterable[int]) -> None:
        """Forget all flows but these; from the next batch on, they are numbered by their place here.

        Parameters
        ----------
        numbers
            Present numbers of the flows that are kept; their place here is the new number.
        """
        self._flows.keep(numbers)

    @property
    def dropped(self) -> int:
        """Packets this host lost: the kernel, asked again, by full buffers; and this process by a defect."""
        return self._sockets.dropped + self._dropped_here

    def dropped_to(self) -> dict[str, int]:
        """Return what this host dropped so far by the destination of its sockets.

        Returns
        -------
        dict[str, int]
            Packets, by ``address:port``.
        """
        return {to: count + self._dropped_here for to, count in self._sockets.dropped_to().items()}

    @property
    def receive_buffer_bytes(self) -> int:
        """The smallest receive buffer granted, as the kernel accounts it."""
        return self._sockets.buffer_bytes

    def take_fill(self) -> float | None:
        """Return which part of a receive buffer was full before it was read, the most since the last call.

        Every drain asks one socket, in turn.

        Returns
        -------
        float or None
            From 0 to 1; None where nothing was read.
        """
        fill, self._fill = self._fill, None
        return fill

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive on more endpoints; SourceError where one cannot be opened, and then none is added.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        opened, changed = self._sockets.add(endpoints)
        for number in opened:
            sock = self._sockets[number].socket
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            self._descriptors[number] = sock.fileno()
        self._order += opened
        self._sockets_changed(changed)

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        """Receive no longer on endpoints that were added; the others lose nothing.

        Parameters
        ----------
        endpoints
            Where packets are sent to.
        """
        needless, changed = self._sockets.remove(endpoints)
        for number in needless:
            self._sockets.close(number)
            del self._descriptors[number]
            self._order.remove(number)
            self._waiting.pop(number, None)
        self._sockets_changed(needless + changed)

    def _sockets_changed(self, others: Collection[int]) -> None:
        """Continue with other sockets, some of which mean something else than before."""
        if others:
            self._flows.forget(lambda raw: int(np.frombuffer(raw, np.uint32)[7]) in others)
        self._mixed = len({item.endpoint.is_ipv6 for item in self._sockets}) > 1
        self._name_length[:] = mmsg.NAME_BYTES
        self._names[:] = 0

    def drain(self) -> PacketBatch | None:
        """Take what has arrived, without waiting; None where nothing has.

        Returns
        -------
        PacketBatch
            In order of arrival for each socket, the sockets in turns. At most 4096 datagrams: after a full batch more
            may be waiting. Its arena is overwritten by the next call; copy what is to be kept.

        Raises
        ------
        SourceError
            Where the kernel refuses to continue receiving on a socket; no datagram is lost by that, and the next call
            asks the others first.
        """
        self._look_at_buffer()
        which, arrival_ns = self._receive()
        rows = len(which)
        if rows == 0:
            return None
        try:
            return self._batch(which, arrival_ns)
        except Exception:
            self._dropped_here += rows
            raise
        finally:
            self._control_length[:rows] = _CONTROL.itemsize
            if self._mixed:
                # A row may hold the longer address of the other family next time, or the rest of it now.
                self._name_length[:rows] = mmsg.NAME_BYTES
                self._names[:rows] = 0

    def abandon(self, until_ns: int) -> None:
        """Throw away what arrived before a time and still waits; it counts as dropped by this host.

        Parameters
        ----------
        until_ns
            In ns since the Unix epoch.
        """
        failures = 0
        while self._order and self.clear_ns < until_ns and failures < 2:
            try:
                which, arrival_ns = self._receive()
            except SourceError:  # it is asked last the next time
                failures += 1
                continue
            self._control_length[: len(which)] = _CONTROL.itemsize
            for number, count in zip(*np.unique(which[arrival_ns < until_ns], return_counts=True), strict=True):
                self._sockets[int(number)].lose(int(count))

    def _batch(self, which: NDArray[np.uint32], arrival_ns: NDArray[np.int64]) -> PacketBatch | None:
        """Return what was received into the first rows of the arena, less what is discarded."""
        rows = len(which)
        length = self._length[:rows].astype(np.int64)
        flow = self._flows.lookup(self._names[:rows], which)
        dropped = self._host_dropped(rows)
        offset = self._offset[:rows]
        if length.max() > MAX_DATAGRAM_BYTES or flow.min() < 0:
            truncated = length > MAX_DATAGRAM_BYTES
            keep = ~truncated & (flow >= 0)
            self.discarded["truncated"] += int(np.count_nonzero(truncated))
            for code, reason in DISCARD_REASONS.items():
                self.discarded[reason] += int(np.count_nonzero(~truncated & (flow == code)))
            self.discarded = +self.discarded
            if not keep.any():
                return None
            offset, length, arrival_ns, flow = offset[keep], length[keep], arrival_ns[keep], flow[keep]
            dropped = None if dropped is None else dropped[keep]
        return PacketBatch(self._arena, offset, length, arrival_ns, flow, self.flows, host_dropped=dropped)

    def close(self) -> None:
        """Close every socket. May be called twice."""
        self._sockets.close_all()
        self._descriptors.clear()
        self._order.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look_at_buffer(self) -> None:
        """See how full the buffer of the socket is whose turn it is."""
        if self._order:
            fill = self._sockets[self._order[self._drains % len(self._order)]].fill()
            self._drains += 1
            if fill is not None:
                self._fill = max(self._fill or 0.0, fill)

    def _receive(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Fill the arena, in turns: every socket gives its share, and more where others leave room.

        Returns
        -------
        which
            The socket's number of each row that is used, shape (used,).
        arrival_ns
            When it arrived, shape (used,).
        """
        now_ns, used = time.time_ns(), 0
        numbers: list[int] = []
        counts: list[int] = []
        receive, descriptors, address = mmsg.receive, self._descriptors, self._messages_address
        share = room = max(MAX_BATCH // max(len(self._order), 1), LEAST_SHARE)
        left = self._order
        while left:
            full: list[int] = []
            for place, number in enumerate(left):
                try:
                    count = receive(descriptors[number], address, room)
                except OSError as error:
                    if not used:
                        self._begin_after(number)
                        raise SourceError(f"{self._sockets[number].endpoint.destination}: {error.strerror}") from error
                    self._begin_with(number)  # what was received comes first
                    return self._received(numbers, counts, [*full, *left[place:]], now_ns)
                if not count:
                    continue
                numbers.append(number)
                counts.append(count)
                used += count
                if count == room:
                    full.append(number)
                address, room = self._messages_address + used * mmsg.MESSAGE.itemsize, min(share, MAX_BATCH - used)
                if not room:
                    self._begin_after(number)
                    return self._received(numbers, counts, [*full, *left[place + 1 :]], now_ns)
            left = full
        return self._received(numbers, counts, [], now_ns)

    def _received(
        self, numbers: list[int], counts: list[int], waiting: list[int], now_ns: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return socket and arrival of each row, and note up to when all that arrived was handed over."""
        which = np.repeat(np.array(numbers, np.uint32), counts)
        arrival_ns = self._arrival_ns(len(which))
        self._waiting = {number: self._waiting.get(number, self._asked_ns) for number in waiting}
        if waiting:
            latest = zip(numbers, arrival_ns[np.cumsum(counts) - 1].tolist(), strict=True)
            self._waiting |= {number: at_ns for number, at_ns in latest if number in self._waiting}
        self._asked_ns = now_ns
        self.clear_ns = min([now_ns, *self._waiting.values()])
        return which, arrival_ns

    def _begin_with(self, number: int) -> None:
        """Ask a socket first next time."""
        place = self._order.index(number)
        self._order = self._order[place:] + self._order[:place]

    def _begin_after(self, number: int) -> None:
        """Ask a socket last next time."""
        self._begin_with(number)
        self._order = self._order[1:] + self._order[:1]

    def _arrival_ns(self, rows: int) -> NDArray[np.int64]:
        """Return the kernel's receive time of each row, or now where it gave none, shape (rows,)."""
        arrival_ns = self._seconds[:rows].astype(np.int64)
        arrival_ns *= 1_000_000_000
        arrival_ns += self._nanoseconds[:rows]
        # The time comes first, so the length of the control data shows whether it is there.
        missing = self._control_length[:rows] < _TIMESTAMP.itemsize
        if missing.any():
            arrival_ns[missing] = time.time_ns()
        return arrival_ns

    def _host_dropped(self, rows: int) -> NDArray[np.int64] | None:
        """Return how many datagrams this host may have dropped of each row's socket before it; None: none at all."""
        told = self._control_length[:rows] == _CONTROL.itemsize
        if not (told.any() or self._dropped_here):
            return None
        return np.where(told, self._dropped[:rows], 0).astype(np.int64) + self._dropped_here


class _AddressTable(FlowTable):
    """Numbers flows by the address bytes of a whole batch: one hash, one search; Python only for unknown ones."""

    def __init__(self, sockets: SocketTable, max_flows: int) -> None:
        super().__init__(max_flows)
        self._sockets = sockets
        self._sort()

    def lookup(self, names: NDArray[np.uint64], which: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the flow of each row, or a negative reason (:mod:`rtpverify.sources.live.flow_table`).

        Parameters
        ----------
        names
            ``sockaddr`` bytes, zero-padded, shape (n, 4); the last four bytes are set to ``which``.
        which
            Number of the socket, shape (n,).
        """
        names.view(np.uint32)[:, 7] = which
        key = names @ _HASH
        place = self._hashes.searchsorted(key)
        flow = self._number_at[place]
        words = self._words[place]
        words ^= names
        strange = (words[:, 0] | words[:, 1] | words[:, 2] | words[:, 3]) != 0
        if strange.any():
            flow[strange] = self._learn_all(names[strange])
        return flow

    def forget(self, is_old: Callable[[bytes], bool]) -> None:
        """Look again at some addresses."""
        super().forget(is_old)
        self._sort()

    def keep(self, numbers: Iterable[int]) -> dict[int, int]:
        """Forget all flows but these, and number them by their place here; return the numbers by the old."""
        number_of = super().keep(numbers)
        self._sort()
        return number_of

    def _learn_all(self, names: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the flow of rows that the search did not find, and remember them."""
        distinct, first, inverse = np.unique(names, axis=0, return_index=True, return_inverse=True)
        numbers = np.empty(len(distinct), np.int64)
        before = len(self.known)
        for place in np.argsort(first):
            raw = distinct[place].tobytes()
            number = self.known.get(raw)
            numbers[place] = self._number(raw) if number is None else number
        if len(self.known) > before:
            self._sort()
        return numbers[inverse.reshape(-1)]

    def _number(self, raw: bytes) -> int:
        """Give a number to an address never seen (``sockaddr_in`` or ``sockaddr_in6``, ip(7), ipv6(7))."""
        item = self._sockets[int(np.frombuffer(raw, np.uint32)[7])]
        port = int.from_bytes(raw[2:4], "big")
        if item.endpoint.is_ipv6:
            address = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        else:
            address = socket.inet_ntop(socket.AF_INET, raw[4:8])
        return self.learn(raw, address, port, (item.endpoint.destination, item.senders))

    def _sort(self) -> None:
        """Sort what is known by key.

        Of two addresses with the same key the search finds one; the other takes the slow path and stays exact. The
        last entry has the highest key and is no address, so that every search finds something.
        """
        words = np.frombuffer(b"".join(self.known), np.uint64).reshape(-1, 4)
        numbers = np.fromiter(self.known.values(), np.int64, len(self.known))
        keys = words @ _HASH
        order = np.argsort(keys, kind="stable")
        self._hashes = np.append(keys[order], np.uint64(2**64 - 1))
        self._words = np.append(words[order], np.zeros((1, 4), np.uint64), axis=0)
        self._number_at = np.append(numbers[order], 0)
