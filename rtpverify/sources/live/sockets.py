"""UDP sockets to receive RTP on: bind, join, size the buffer, and say in one line what went wrong.

A unicast socket is bound without SO_REUSEADDR, so that a port in use is reported; a multicast socket is bound to its
group and hears only what it joined itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import itertools
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rtpverify.errors import SourceError
from rtpverify.sources.live.endpoint import Endpoint

RECEIVE_BUFFER_BYTES = 8 << 20
"""Asked for by default: at 64,000 packets a second on one socket it holds a tenth of a second."""

# Of Linux (asm-generic/socket.h, linux/in.h, linux/in6.h); the socket module of Python 3.11 lacks them.
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO_FIELDS = 9
_MEMINFO_DROPS = 8
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_MCAST_JOIN_SOURCE_GROUP = 46
_MCAST_LEAVE_SOURCE_GROUP = 47

_LINUX = sys.platform == "linux"


@dataclass(slots=True)
class ReceiveSocket:
    """An open socket with what it receives.

    Attributes
    ----------
    endpoints
        Those that share it: they differ in the sender alone.
    senders
        The addresses its endpoints take; None takes all.
    """

    socket: socket.socket
    endpoints: list[Endpoint]
    senders: frozenset[str] | None
    _dropped: int = field(default=0, init=False)
    _thrown_away: int = field(default=0, init=False)

    @property
    def endpoint(self) -> Endpoint:
        """One of its endpoints."""
        return self.endpoints[0]

    def receive_for(self, endpoints: list[Endpoint]) -> None:
        """Receive for other endpoints, at least one, of the same address, port and interface.

        Parameters
        ----------
        endpoints
            The endpoints.

        Raises
        ------
        SourceError
            Where the kernel refuses a sender; packets that come all the same are taken as asked.
        """
        before, self.endpoints, self.senders = self.senders, endpoints, _senders_of(endpoints)
        if self.endpoint.is_multicast and before != self.senders:
            try:
                index = 0 if self.endpoint.interface is None else interface_index(self.endpoint.interface)
                _change_membership(self.socket, self.endpoint, index, before, self.senders)
            except OSError as error:
                raise SourceError(f"{self.endpoint.destination}: {_reason(error, self.endpoint)}") from error

    def dropped(self) -> int:
        """Return how many packets were dropped on this socket so far; off Linux the kernel does not show its own.

        Asks the kernel, so it is up to date even where no packet follows the dropped ones.

        Returns
        -------
        int
            Packets.
        """
        if _LINUX and self.socket.fileno() >= 0:
            raw = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _MEMINFO_FIELDS)
            drops = struct.unpack(f"{_MEMINFO_FIELDS}I", raw)[_MEMINFO_DROPS]
            self._dropped += (drops - self._dropped) & 0xFFFFFFFF
        return self._dropped + self._thrown_away

    def lose(self, count: int) -> None:
        """Count packets that were received and are thrown away as dropped.

        Parameters
        ----------
        count
            Packets.
        """
        self._thrown_away += count

    def fill(self) -> float | None:
        """Return which part of the receive buffer is full now; None where the system does not show.

        Returns
        -------
        float or None
            From 0 to 1.
        """
        if not _LINUX or self.socket.fileno() < 0:
            return None
        raw = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _MEMINFO_FIELDS)
        used, size = struct.unpack_from("2I", raw)
        return used / size if size else None

    def buffer_bytes(self) -> int:
        """Return the size of the receive buffer as the kernel accounts it, overhead included.

        Returns
        -------
        int
            Bytes.
        """
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def close(self) -> None:
        """Close it, keeping the last count of dropped packets. May be called twice."""
        self.dropped()
        self.socket.close()


def open_sockets(
    endpoints: Iterable[Endpoint], receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES
) -> list[ReceiveSocket]:
    """Open one socket per distinct (address, port, interface); endpoints that differ in the sender alone share it.

    Parameters
    ----------
    endpoints
        Where packets are sent to.
    receive_buffer_bytes
        Receive buffer asked of the kernel.

    Returns
    -------
    list of ReceiveSocket
        In the order of the endpoints.

    Raises
    ------
    SourceError
        Where one cannot be opened: port in use, address not on this host, no permission, no such interface. The message
        names address, port and reason; no socket stays open.
    SourceError
        Where one cannot be opened, with address, port and reason.
    """
    with contextlib.ExitStack() as stack:
        opened = []
        for group in _by_socket(endpoints).values():
            senders = _senders_of(group)
            sock = stack.enter_context(_open(group[0], senders, receive_buffer_bytes))
            opened.append(ReceiveSocket(sock, group, senders))
        stack.pop_all()
    return opened


_Name = tuple[str, int, str | None]
"""What endpoints of one socket share: address, port, interface."""


def _name(endpoint: Endpoint) -> _Name:
    return endpoint.address, endpoint.port, endpoint.interface


def _by_socket(endpoints: Iterable[Endpoint]) -> dict[_Name, list[Endpoint]]:
    groups: dict[_Name, list[Endpoint]] = {}
    for endpoint in endpoints:
        for part in endpoint.parts:
            groups.setdefault(_name(part), []).append(part)
    return groups


def _senders_of(endpoints: list[Endpoint]) -> frozenset[str] | None:
    """Return the senders that endpoints of one socket take; None takes all."""
    senders = [endpoint.sender for endpoint in endpoints if endpoint.sender is not None]
    return frozenset(senders) if len(senders) == len(endpoints) else None


class SocketTable:
    """The open sockets of a receiver, by number; the number of one that was closed is used again.

    Parameters
    ----------
    receive_buffer_bytes
        Asked for per socket.
    """

    def __init__(self, receive_buffer_bytes: int) -> None:
        self._buffer_asked = receive_buffer_bytes
        self._items: dict[int, ReceiveSocket] = {}
        self._dropped_before = 0
        """Packets that were dropped on sockets closed since."""

    def __getitem__(self, number: int) -> ReceiveSocket:
        return self._items[number]

    def __iter__(self) -> Iterator[ReceiveSocket]:
        return iter(self._items.values())

    @property
    def dropped(self) -> int:
        """Packets the kernel dropped, the sockets' buffers being full; asks it, so always up to date."""
        return self._dropped_before + sum(item.dropped() for item in self)

    def dropped_to(self) -> dict[str, int]:
        """Return what was dropped so far by the destination of the sockets that are open.

        Returns
        -------
        dict[str, int]
            Packets, by ``address:port``.
        """
        counts: Counter[str] = Counter()
        for item in self:
            counts[item.endpoint.destination] += item.dropped()
        return dict(counts)

    @property
    def buffer_bytes(self) -> int:
        """The smallest receive buffer granted, as the kernel accounts it."""
        return min((item.buffer_bytes() for item in self), default=self._buffer_asked)

    def add(self, endpoints: Iterable[Endpoint]) -> tuple[list[int], list[int]]:
        """Receive for more endpoints; return the sockets that were opened, and those that take more senders now.

        Parameters
        ----------
        endpoints
            Where packets are sent to.

        Returns
        -------
        tuple[list[int], list[int]]
            Numbers of the sockets opened, and of those changed.

        Raises
        ------
        SourceError
            Where one cannot be obtained, and then none is.
        """
        known = {_name(item.endpoint): number for number, item in self._items.items()}
        groups = _by_socket(endpoints)
        for name, group in groups.items():
            senders, more = self._items[known[name]].senders if name in known else frozenset(), _senders_of(group)
            if name in known and (senders is None or more is None or senders & more):
                raise SourceError(f"{group[0].destination}: port {group[0].port} is in use")
        opened = open_sockets(
            (one for name, group in groups.items() if name not in known for one in group), self._buffer_asked
        )
        changed: list[tuple[int, list[Endpoint]]] = []
        try:
            for name, group in groups.items():
                if name in known:
                    item = self._items[known[name]]
                    changed.append((known[name], item.endpoints))
                    item.receive_for(item.endpoints + group)
        except SourceError:
            for number, before in changed:
                with contextlib.suppress(SourceError):
                    self._items[number].receive_for(before)
            for item in opened:
                item.close()
            raise
        free = (number for number in itertools.count() if number not in self._items)
        numbers = list(itertools.islice(free, len(opened)))
        self._items |= zip(numbers, opened, strict=True)
        return numbers, [number for number, _ in changed]

    def remove(self, endpoints: Iterable[Endpoint]) -> tuple[list[int], list[int]]:
        """Receive for fewer endpoints; return the sockets nobody needs any more, and those that take fewer senders.

        The former are to be closed by :meth:`close`.

        Parameters
        ----------
        endpoints
            Where packets are sent to.

        Returns
        -------
        tuple[list[int], list[int]]
            Numbers of the sockets not needed, and of those changed.
        """
        needless, changed = [], []
        groups = _by_socket(endpoints)
        for number, item in self._items.items():
            if _name(item.endpoint) in groups:
                left = list(item.endpoints)
                for endpoint in groups[_name(item.endpoint)]:
                    left.remove(endpoint)
                if left:
                    with contextlib.suppress(SourceError):  # on an interface that has gone there is nothing to leave
                        item.receive_for(left)
                    changed.append(number)
                else:
                    needless.append(number)
        return needless, changed

    def close(self, number: int) -> None:
        """Close a socket; what was dropped on it stays counted.

        Parameters
        ----------
        number
            Number of the socket.
        """
        item = self._items.pop(number)
        item.close()
        self._dropped_before += item.dropped()

    def close_all(self) -> None:
        """Close every socket. May be called twice."""
        for number in list(self._items):
            self.close(number)


def _open(endpoint: Endpoint, senders: frozenset[str] | None, receive_buffer_bytes: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if endpoint.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        _set_receive_buffer(sock, receive_buffer_bytes)
        index = 0 if endpoint.interface is None else interface_index(endpoint.interface)
        if endpoint.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if endpoint.is_multicast:
            _bind_multicast(sock, endpoint, index, senders)
        else:
            if index and _LINUX:
                name = socket.if_indextoname(index).encode()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            sock.bind(_socket_address(endpoint, index))
    except OSError as error:
        sock.close()
        raise SourceError(f"{endpoint.destination}: {_reason(error, endpoint)}") from error
    return sock


def _bind_multicast(sock: socket.socket, endpoint: Endpoint, index: int, senders: frozenset[str] | None) -> None:
    """Bind to the group, so that no other group comes in, and join it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    level = socket.IPPROTO_IPV6 if endpoint.is_ipv6 else socket.IPPROTO_IP
    if _LINUX:
        # Otherwise whatever any program of this host joined comes in, from any source.
        sock.setsockopt(level, _IPV6_MULTICAST_ALL if endpoint.is_ipv6 else _IP_MULTICAST_ALL, 0)
    sock.bind(_socket_address(endpoint, index))
    _change_membership(sock, endpoint, index, frozenset(), senders)


def _change_membership(
    sock: socket.socket, endpoint: Endpoint, index: int, before: frozenset[str] | None, after: frozenset[str] | None
) -> None:
    """Hear a group from other senders than before; None hears all, an empty set none."""
    level = socket.IPPROTO_IPV6 if endpoint.is_ipv6 else socket.IPPROTO_IP
    group = ipaddress.ip_address(endpoint.address).packed
    if endpoint.is_ipv6:
        join, leave, membership = socket.IPV6_JOIN_GROUP, socket.IPV6_LEAVE_GROUP, group + struct.pack("@I", index)
    else:
        join, leave = socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP
        membership = group + struct.pack("@4si", bytes(4), index)

    def change(option: int, senders: Iterable[str]) -> None:
        for sender in sorted(senders):
            request = struct.pack("@I0Q128s128s", index, sockaddr(endpoint.address), sockaddr(sender))
            sock.setsockopt(level, option, request)

    if not _LINUX:
        # Who sends is examined packet by packet.
        before, after = (frozenset() if before == frozenset() else None), None
    if before is None and after is None:
        return
    if before is None:
        sock.setsockopt(level, leave, membership)
        before = frozenset()
    if after is None:
        change(_MCAST_LEAVE_SOURCE_GROUP, before)
        sock.setsockopt(level, join, membership)
    else:
        change(_MCAST_JOIN_SOURCE_GROUP, after - before)
        change(_MCAST_LEAVE_SOURCE_GROUP, before - after)


def _socket_address(endpoint: Endpoint, index: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return what bind() takes; the scope only where IPv6 needs one."""
    if not endpoint.is_ipv6:
        return endpoint.address, endpoint.port
    return endpoint.address, endpoint.port, 0, scope(endpoint.address, index)


def sockaddr(address: str, port: int = 0, index: int = 0) -> bytes:
    """Return ``sockaddr_in`` (ip(7)) or ``sockaddr_in6`` (ipv6(7)); ``index`` is the interface of a scoped one.

    Parameters
    ----------
    address
        Address, without port.
    port
        UDP port.
    index
        Index of the interface.

    Returns
    -------
    bytes
        As the kernel takes it.
    """
    packed = ipaddress.ip_address(address).packed
    if len(packed) == 4:
        return struct.pack("@HH4s8x", socket.AF_INET, socket.htons(port), packed)
    return struct.pack("@HHI16sI", socket.AF_INET6, socket.htons(port), 0, packed, scope(address, index))


def scope(address: str, index: int) -> int:
    """Return ``index`` for an IPv6 address that means something on one interface only (RFC 4007), else 0.

    Parameters
    ----------
    address
        Address, without port.
    index
        Index of the interface.

    Returns
    -------
    int
        The scope id of the address.
    """
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        return 0
    return index if parsed.is_link_local or (parsed.is_multicast and parsed.packed[1] & 0x0F in (1, 2)) else 0


def _set_receive_buffer(sock: socket.socket, size_bytes: int) -> None:
    """Ask past the system's limit where that is allowed, up to it otherwise."""
    if _LINUX:
        with contextlib.suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size_bytes)
            return
    # A smaller buffer works, and what it cannot hold is counted.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)


def _reason(error: OSError, endpoint: Endpoint) -> str:
    """Say in words what a user can act on."""
    interface = "" if endpoint.interface is None else f" through interface {endpoint.interface}"
    if error.errno == errno.EADDRINUSE:
        return f"port {endpoint.port} is in use; end the program that uses it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"address {endpoint.address} is not on this host{interface}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"no permission to receive on port {endpoint.port}{interface}"
    if error.errno == errno.ENODEV and endpoint.interface is None:
        return "no route to this group; name the interface with ?interface=NAME"
    return f"{error.strerror or error}{interface if error.errno else ''}"


def own_address(destination: Endpoint) -> str:
    """Return the address that packets to an endpoint come from: the one it names, or the one that the host would take.

    Parameters
    ----------
    destination
        The endpoint.

    Returns
    -------
    str
        An address of this host.

    Raises
    ------
    SourceError
        Where the host has no way there.
    """
    if destination.sender is not None:
        return destination.sender
    family = socket.AF_INET6 if destination.is_ipv6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            if destination.interface is not None:
                index = interface_index(destination.interface)
                if destination.is_ipv6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
                else:
                    request = struct.pack("@4s4si", bytes(4), bytes(4), index)
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
            sock.connect((destination.address, destination.port))
            return str(sock.getsockname()[0])
    except OSError as error:
        raise SourceError(f"{destination.destination}: cannot be reached: {error.strerror or error}") from error


def interface_index(interface: str) -> int:
    """Return the index of an interface given by name or by one of its addresses.

    Parameters
    ----------
    interface
        Name or address.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    OSError
        Where there is no such interface.
    """
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(interface)
    if _LINUX:
        with contextlib.suppress(ValueError):
            wanted = ipaddress.ip_address(interface)
            for name, address in interface_addresses():
                if address == wanted:
                    return socket.if_nametoindex(name)
    known = ", ".join(name for _, name in socket.if_nameindex())
    raise OSError(f"no interface {interface!r} on this host; there are {known}")


class _InterfaceAddress(ctypes.Structure):
    """``struct ifaddrs`` of getifaddrs(3), as far as it is read."""


_InterfaceAddress._fields_ = [
    ("next", ctypes.POINTER(_InterfaceAddress)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.POINTER(ctypes.c_ubyte)),
]


def interface_addresses() -> list[tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address]]:
    """Return every IP address of this host with the name of its interface (getifaddrs(3), Linux layout).

    Returns
    -------
    list of tuple of str and IPv4Address or IPv6Address
        Name and address.

    Raises
    ------
    OSError
        Where the system does not say.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    head = ctypes.POINTER(_InterfaceAddress)()
    if libc.getifaddrs(ctypes.byref(head)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    found: list[tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address]] = []
    item = head
    while item:
        entry = item.contents
        if entry.address:
            family = int.from_bytes(bytes(entry.address[:2]), sys.byteorder)
            if family == socket.AF_INET:
                found.append((os.fsdecode(entry.name), ipaddress.IPv4Address(bytes(entry.address[4:8]))))
            elif family == socket.AF_INET6:
                found.append((os.fsdecode(entry.name), ipaddress.IPv6Address(bytes(entry.address[8:24]))))
        item = entry.next
    libc.freeifaddrs(head)
    return found
