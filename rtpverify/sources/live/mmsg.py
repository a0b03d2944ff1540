"""``recvmmsg`` and ``sendmmsg`` of Linux: many datagrams a system call, described by numpy arrays.

The C structures are numpy dtypes, so thousands of message headers are prepared and read without a Python loop. Layouts
follow recvmsg(2), recvmmsg(2) and cmsg(3) with native sizes and alignment. Who fills an address field keeps the memory
it points to alive.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

MSG_DONTWAIT = 0x40

NAME_BYTES = 28
"""Size of ``sockaddr_in6``, the longest address an IP socket writes."""

IOVEC = np.dtype([("base", np.uintp), ("length", np.uintp)], align=True)
"""``struct iovec``."""

_MSGHDR = np.dtype(
    [
        ("name", np.uintp),
        ("name_length", np.uint32),
        ("iovec", np.uintp),
        ("iovec_count", np.uintp),
        ("control", np.uintp),
        ("control_length", np.uintp),
        ("flags", np.int32),
    ],
    align=True,
)

MESSAGE = np.dtype([("header", _MSGHDR), ("length", np.uint32)], align=True)
"""``struct mmsghdr``; ``length`` is how many bytes the kernel received or sent."""

available = sys.platform == "linux"
"""Whether this system has the two calls."""

if available:
    _libc = ctypes.CDLL(None, use_errno=True)
    _recvmmsg = _libc.recvmmsg
    _recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    _sendmmsg = _libc.sendmmsg
    _sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)

_NOTHING_THERE = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


def messages(slots: int, parts: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ``slots`` message headers with ``parts`` buffer descriptions each.

    Parameters
    ----------
    slots
        Messages.
    parts
        Buffers of each.

    Returns
    -------
    headers
        Shape (slots,), dtype :data:`MESSAGE`; each points to its row of ``buffers``.
    buffers
        Shape (slots, parts), dtype :data:`IOVEC`, zeroed. Must live as long as ``headers`` is used.
    """
    headers = np.zeros(slots, MESSAGE)
    buffers = np.zeros((slots, parts), IOVEC)
    headers["header"]["iovec"] = addresses(buffers)
    headers["header"]["iovec_count"] = parts
    return headers, buffers


def addresses(array: NDArray[Any]) -> NDArray[np.uintp]:
    """Return the memory address of each row of ``array``, shape (len(array),).

    Parameters
    ----------
    array
        Contiguous, shape (n, …).

    Returns
    -------
    NDArray[np.uintp]
        Shape (n,).
    """
    return array.ctypes.data + np.arange(len(array), dtype=np.uintp) * np.uintp(array.strides[0])


def receive(descriptor: int, headers_address: int, count: int) -> int:
    """Receive up to ``count`` datagrams without waiting; return how many came.

    Parameters
    ----------
    descriptor
        File descriptor of the socket.
    headers_address
        Memory address of the first message header.
    count
        Datagrams at most.

    Returns
    -------
    int
        Datagrams.

    Raises
    ------
    OSError
        As recvmmsg(2), except where there is nothing to receive: that is 0.
    OSError
        Where the kernel refuses.
    """
    received: int = _recvmmsg(descriptor, headers_address, count, MSG_DONTWAIT, None)
    if received >= 0:
        return received
    error = ctypes.get_errno()
    if error in _NOTHING_THERE:
        return 0
    raise OSError(error, os.strerror(error))


def send(descriptor: int, headers_address: int, count: int) -> int:
    """Send up to ``count`` datagrams; return how many went out (fewer where the socket would block).

    Parameters
    ----------
    descriptor
        File descriptor of the socket.
    headers_address
        Memory address of the first message header.
    count
        Datagrams.

    Returns
    -------
    int
        Datagrams.

    Raises
    ------
    OSError
        As sendmmsg(2), except where the socket would block: that is 0.
    OSError
        Where the kernel refuses.
    """
    sent: int = _sendmmsg(descriptor, headers_address, count, 0)
    if sent >= 0:
        return sent
    error = ctypes.get_errno()
    if error in _NOTHING_THERE:
        return 0
    raise OSError(error, os.strerror(error))
