"""A ring of slots that the kernel fills with the frames that pass an interface (packet(7), ``TPACKET_V2``).

Every slot has the same size, so what is in them are columns of one array: a run of filled slots is found by looking at
one column, and given back by one store. No system call for any frame.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import socket
import struct
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import SourceError
from rtpverify.sources.capture.records import RecordBatch
from rtpverify.sources.ring.packet_filter import attach, compiled, nothing_program, udp_program
from rtpverify.sources.ring.tap import EVERY_INTERFACE, Tap

# Of linux/if_packet.h, linux/if_ether.h, linux/net_tstamp.h and asm-generic/socket.h.
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP, _PACKET_MR_PROMISC = 1, 1
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_PACKET_TIMESTAMP, _RAW_HARDWARE = 17, 1 << 6
_PACKET_FANOUT, _FANOUT_UNIQUE_ID, _FANOUT_IGNORE_OUTGOING, _FANOUT_DEFRAGMENT = 18, 0x2000, 0x4000, 0x8000
_PACKET_IGNORE_OUTGOING = 23
_TPACKET_V2 = 1
_EVERY_PROTOCOL = 3
_LOOPBACK = 772
_LINK_TYPES = {1: 1, _LOOPBACK: 1, 65534: 101, 776: 101, 768: 101, 778: 101}
"""``LINKTYPE_`` value of tcpdump.org by ``ARPHRD_`` value: Ethernet and loopback; tunnels without a link header."""
_UNKNOWN_LINK = -1
_MULTICAST, _OUTGOING = 2, 4
"""``PACKET_HOST`` and ``PACKET_BROADCAST`` are below; 3 is what is addressed to others."""
_GROUP_BIT = 1
"""Of the first byte of an Ethernet address."""

_USER, _LOSING, _CHECKSUM_NOT_READY, _TAGGED, _CHECKSUM_VALID = 1, 4, 8, 16, 128
_SLOT = np.dtype(
    [
        ("status", np.uint32),
        ("sent_bytes", np.uint32),
        ("captured_bytes", np.uint32),
        ("link_offset", np.uint16),
        ("network_offset", np.uint16),
        ("seconds", np.uint32),
        ("nanoseconds", np.uint32),
        ("vlan", np.uint32),
        ("padding", np.uint32),
        ("family", np.uint16),
        ("protocol", np.uint16),
        ("interface", np.int32),
        ("hardware", np.uint16),
        ("packet_type", np.uint8),
    ]
)
"""``struct tpacket2_hdr``, followed by the start of ``struct sockaddr_ll``."""
_BLOCK_BYTES = 1 << 20
_FIRST_LOOK = 64
"""Slots whose status is read at first: a status lies in a cache line of its own."""


class PacketRing:
    """The frames of one tap. Linux only, and only where the process may (CAP_NET_RAW).

    Parameters
    ----------
    tap
        What is taken.
    program
        What the kernel passes where the tap has no filter, as :mod:`rtpverify.sources.ring.packet_filter` makes it.

    Attributes
    ----------
    slots
        How many there are.
    dropped
        Frames the kernel had to drop so far, the ring being full.

    Raises
    ------
    SourceError
        Where it cannot be obtained; the message says why, and what to do.
    """

    def __init__(self, tap: Tap, program: bytes = udp_program()) -> None:
        self.tap = tap
        self._program = program
        self.slots = tap.ring_mb * _BLOCK_BYTES // tap.slot_bytes
        self.dropped = 0
        self._position = 0
        self._taken = slice(0, 0)
        if not hasattr(socket, "AF_PACKET"):
            raise SourceError(f"{tap}: capturing from an interface needs Linux; capture to a file instead")
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise SourceError(
                f"{tap}: no right to capture packets: run as root, or give Python the right "
                "(setcap cap_net_raw+ep PATH_OF_PYTHON; in a systemd unit AmbientCapabilities=CAP_NET_RAW)"
            ) from error
        try:
            self._memory = self._open()
        except OSError as error:
            self._socket.close()
            raise SourceError(f"{tap}: {self._reason(error)}") from error
        except SourceError as error:
            self._socket.close()
            raise SourceError(f"{tap}: {error}") from error
        self.arena = np.frombuffer(self._memory, np.uint8)
        self._columns = np.ndarray((self.slots,), _SLOT, self._memory, strides=(tap.slot_bytes,))
        self._status = self._columns["status"]

    def _open(self) -> mmap.mmap:
        """Make the ring, then let frames in; return its memory."""
        tap, sock = self.tap, self._socket
        sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        attach(sock, compiled(tap.filter) if tap.filter else self._program)
        if tap.hardware_time:
            sock.setsockopt(_SOL_PACKET, _PACKET_TIMESTAMP, _RAW_HARDWARE)
        size = struct.pack("@4I", _BLOCK_BYTES, tap.ring_mb, tap.slot_bytes, self.slots)
        sock.setsockopt(_SOL_PACKET, _PACKET_RX_RING, size)
        memory = mmap.mmap(sock.fileno(), tap.ring_mb * _BLOCK_BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        every = tap.interface == EVERY_INTERFACE
        self._index = 0 if every else socket.if_nametoindex(tap.interface)
        # What leaves by the loopback interface comes in by it: each packet is taken once.
        ignores_outgoing = not tap.outgoing or self._is_loopback()
        if ignores_outgoing:
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        _bind(sock, self._index)
        if not every and sock.getsockname()[3] not in _LINK_TYPES:
            raise SourceError(f"interface {tap.interface} has a link layer that is not supported")
        if not every:
            promiscuous = struct.pack("@iHH8x", self._index, _PACKET_MR_PROMISC, 0)
            sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
        fanout = _FANOUT_UNIQUE_ID | _FANOUT_DEFRAGMENT | (_FANOUT_IGNORE_OUTGOING if ignores_outgoing else 0)
        with contextlib.suppress(OSError):  # an older kernel leaves fragments as they are, and they are counted
            sock.setsockopt(_SOL_PACKET, _PACKET_FANOUT, struct.pack("@I", fanout << 16))
        return memory

    def _is_loopback(self) -> bool:
        """Return whether the tap is on the loopback interface, which has index 1 in every network namespace."""
        return self.tap.interface == "lo" or self._index == 1

    def _reason(self, error: OSError) -> str:
        """Say in words what a user can act on."""
        if isinstance(error, PermissionError):
            return "no right to capture packets on this interface"
        if error.errno in (errno.ENODEV, errno.ENXIO) or "no interface" in str(error):
            known = ", ".join(name for _, name in socket.if_nameindex())
            return f"no interface {self.tap.interface!r} on this host; there are {known}"
        if error.errno == errno.ENOMEM:
            return f"no memory for a ring of {self.tap.ring_mb} MiB; ask for less with ring_mb="
        if error.errno == errno.ENETDOWN:
            return f"interface {self.tap.interface} is down"
        return error.strerror or str(error)

    def pass_only(self, program: bytes) -> None:
        """Let the kernel pass other frames from now on.

        Parameters
        ----------
        program
            Instructions of classic BPF; it takes the place of the one before.
        """
        attach(self._socket, program)

    @property
    def is_current(self) -> bool:
        """Whether the interface is still the one that was opened: one of its name made later is another."""
        if not self._index:
            return True
        try:
            return socket.if_nametoindex(self.tap.interface) == self._index
        except OSError:
            return False

    def raise_fault(self) -> None:
        """Raise what the kernel has to say of the interface, once each time.

        Raises
        ------
        SourceError
            Where it went down, or away.
        """
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise SourceError(f"{self.tap}: {self._reason(OSError(number, errno.errorcode.get(number, '')))}")

    def take(self, most: int) -> int:
        """Give back the slots taken before, and take up to ``most`` filled ones that follow; return how many.

        Parameters
        ----------
        most
            The most slots to take.

        Returns
        -------
        int
            Slots taken; 0 where the next one is not filled.
        """
        self._status[self._taken] = 0
        start, limit = self._position, min(most, self.slots - self._position)
        count, width = 0, _FIRST_LOOK
        while count < limit:
            width = min(width, limit - count)
            ready = self._status[start + count : start + count + width] & _USER
            if not ready.all():
                count += int(ready.argmin())
                break
            count += width
            width *= 4
        self._taken = slice(start, start + count)
        self._position = (start + count) % self.slots
        return count

    def clear_ns(self, now_ns: int) -> int:
        """Return a time before which all that passed was taken, where nothing more was there at ``now_ns``.

        Parameters
        ----------
        now_ns
            When the ring was read, in ns since the Unix epoch.

        Returns
        -------
        int
            In ns since the Unix epoch.
        """
        if not self.has_more:
            return now_ns
        if self._taken.start == self._taken.stop:
            return 0
        last = self._columns[self._taken.stop - 1]
        return int(last["seconds"]) * 1_000_000_000 + int(last["nanoseconds"])

    def for_this_host(self) -> NDArray[np.bool_]:
        """Return of each slot taken whether this host's sockets on that very interface may take it, shape (n,).

        Not what is addressed to others, nor what has a VLAN tag: that comes again from the interface of its VLAN. Of
        what this host itself sends to a group, other than through the loopback interface, its sockets get a copy.

        Returns
        -------
        NDArray[np.bool_]
            Whether they may, shape (n,).
        """
        taken = self._columns[self._taken]
        may_take = taken["packet_type"] <= _MULTICAST
        sent = np.flatnonzero((taken["packet_type"] == _OUTGOING) & (taken["hardware"] != _LOOPBACK))
        if len(sent):
            start = self.taken_start + sent * self.tap.slot_bytes + taken["link_offset"][sent]
            may_take[sent] = (self.arena[start] & _GROUP_BIT) != 0
        return np.asarray(((taken["status"] & _TAGGED) == 0) & may_take)

    def interfaces(self) -> NDArray[np.int32]:
        """Return the index of the interface at which each slot taken came in, shape (n,).

        Returns
        -------
        NDArray[np.int32]
            As the kernel numbers interfaces, shape (n,).
        """
        return np.ascontiguousarray(self._columns["interface"][self._taken])

    @property
    def has_more(self) -> bool:
        """Whether the next slot is filled already."""
        return bool(self._status[self._position] & _USER)

    def records(self) -> RecordBatch:
        """Return the frames in the slots taken; offsets count in :attr:`arena`, which is theirs until the next take.

        Returns
        -------
        RecordBatch
            One record for each slot.
        """
        taken = self._columns[self._taken]
        start = np.arange(self._taken.start, self._taken.stop, dtype=np.int64) * self.tap.slot_bytes
        arrival_ns = taken["seconds"].astype(np.int64)
        arrival_ns *= 1_000_000_000
        arrival_ns += taken["nanoseconds"]
        return RecordBatch(
            start + taken["link_offset"],
            taken["captured_bytes"].astype(np.int64),
            arrival_ns,
            _link_types(taken["hardware"]),
            # Where it need not be, the interface has, or the packet never left this host.
            unverified=(taken["status"] & (_CHECKSUM_NOT_READY | _CHECKSUM_VALID)) == 0,
        )

    @property
    def taken_start(self) -> int:
        """Where in :attr:`arena` the first slot taken begins."""
        return self._taken.start * self.tap.slot_bytes

    @property
    def taken_bytes(self) -> NDArray[np.uint8]:
        """The slots taken, shape (n * slot_bytes,)."""
        return self.arena[self.taken_start : self._taken.stop * self.tap.slot_bytes]

    def host_dropped(self) -> NDArray[np.int64] | None:
        """Return how many frames may have been dropped before each slot taken, shape (n,); None: none at all.

        Asks the kernel for what it has dropped since it was asked last.

        Returns
        -------
        NDArray[np.int64] or None
            Frames dropped since the ring was opened, shape (n,).
        """
        before = self.dropped
        self.count_dropped()
        if not self.dropped:
            return None
        # The kernel marks every slot that it fills after a drop, until it is asked.
        losing = (self._status[self._taken] & _LOSING) != 0
        first = int(losing.argmax()) if losing.any() else len(losing)
        return np.where(np.arange(len(losing)) < first, before, self.dropped)

    def count_dropped(self) -> None:
        """Ask the kernel what it has dropped; it forgets what it has answered."""
        if self._socket.fileno() >= 0:
            raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            self.dropped += struct.unpack("@2I", raw)[1]

    def close(self) -> None:
        """Close it, keeping the last count of dropped frames. May be called twice.

        The kernel keeps the ring as long as an array shows its memory; nothing comes into it any more.
        """
        self.count_dropped()
        if self._socket.fileno() >= 0:
            self.pass_only(nothing_program())
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bind(sock: socket.socket, index: int) -> None:
    """Let in the frames of an interface, or of all: the socket module takes no index, and 0 has no name."""
    address = struct.pack("@HHi12x", socket.AF_PACKET, socket.htons(_EVERY_PROTOCOL), index)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(sock.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _link_types(hardware: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return the ``LINKTYPE_`` value of each ``ARPHRD_`` value."""
    if len(hardware) and (hardware == hardware[0]).all():
        return np.full(len(hardware), _LINK_TYPES.get(int(hardware[0]), _UNKNOWN_LINK))
    return np.array([_LINK_TYPES.get(value, _UNKNOWN_LINK) for value in hardware.tolist()], np.int64)
