"""The choice of what receives live packets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from rtpverify.sources.live import mmsg
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.receiver import Receiver
from rtpverify.sources.live.sockets import RECEIVE_BUFFER_BYTES

Backend = Literal["ring", "recvmmsg", "asyncio-dgram"]


def open_receiver(
    endpoints: Iterable[Endpoint],
    backend: Backend | None = None,
    receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
) -> Receiver:
    """Open the receiver of this system, or the one asked for; ``asyncio-dgram`` needs a running loop.

    Parameters
    ----------
    endpoints
        Where packets are sent to.
    backend
        What receives; None: what this system has.
    receive_buffer_bytes
        Receive buffer asked of the kernel.

    Returns
    -------
    Receiver
        Open; to be closed by the caller.

    Raises
    ------
    SourceError
        Where a socket cannot be opened; the message names address, port and reason.
    SourceError
        Where a socket cannot be opened.
    """
    if backend == "ring":
        from rtpverify.sources.ring.endpoint_receiver import RingReceiver

        return RingReceiver(endpoints, receive_buffer_bytes=receive_buffer_bytes)
    if backend == "recvmmsg" or (backend is None and mmsg.available):
        from rtpverify.sources.live.recvmmsg import UdpReceiver

        return UdpReceiver(endpoints, receive_buffer_bytes=receive_buffer_bytes)
    from rtpverify.sources.live.asyncio_udp import DgramReceiver

    return DgramReceiver(endpoints, receive_buffer_bytes=receive_buffer_bytes)
